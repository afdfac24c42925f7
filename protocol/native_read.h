/* SPDX-License-Identifier: BSD-3-Clause */
/* native_read.h -- the metadata of the answer to a read, which a node writes more often than anything else: the bytes that
 * native_reply_pack would write of the same fields, without its walk through all fields that there are (90 ns, of a hit's 500).
 *
 * Threads: pure. */
#ifndef TERRACE_PROTOCOL_NATIVE_READ_H
#define TERRACE_PROTOCOL_NATIVE_READ_H

#include "protocol/native_codec.h"

enum {
    NATIVE_READ_TOKEN_MAX = 64,
    NATIVE_READ_META_MAX = 128
};

/* state, age_ms, ttl_ms, token (at most NATIVE_READ_TOKEN_MAX bytes), near_ms and index of `reply` into
 * NATIVE_READ_META_MAX bytes at `dst`; returns how many. */
size_t native_read_meta(const struct native_reply *reply, char *dst);

#endif
