/* SPDX-License-Identifier: BSD-3-Clause */
/* values.h -- values that can prove whose they are.
 *
 * A value is a function of its key, a version chosen by the writer, and its size, so a reader that knows nothing but
 * the key can check every byte. 16 bytes and more:
 *
 *      0  u64 owner     a hash of the key
 *      8  u32 version   the writer's
 *     12  u32 check     of owner, version and size: a cut or mixed header shows
 *     16  a stream seeded by owner, version and size
 *
 * Shorter values are the first bytes of the stream with version 0; the shorter, the more likely a foreign value passes
 * (one byte: 1 in 256). All words are little endian.
 *
 * It does NOT tell a fresh value from an old one: any version of the right key is right.
 *
 * Threads: pure. */
#ifndef TERRACE_BENCH_VALUES_H
#define TERRACE_BENCH_VALUES_H

#include "protocol/bytes.h"

enum {
    VALUE_STAMP_SIZE = 16
};

uint64_t value_owner(struct slice key);
void value_write(char *dst, size_t size, uint64_t owner, uint32_t version);
bool value_belongs(struct slice value, uint64_t owner);
/* A size in min .. max that is always the same for one owner. */
size_t value_size_of(uint64_t owner, size_t size_min, size_t size_max);

#endif
