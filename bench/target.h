/* SPDX-License-Identifier: BSD-3-Clause */
/* target.h -- where the server listens: `host:port`, `[v6]:port`, `/path` or `unix:///path`.
 *
 * Errors: INVALID, with one line in `error`. */
#ifndef TERRACE_BENCH_TARGET_H
#define TERRACE_BENCH_TARGET_H

#include "protocol/status.h"

#include <sys/socket.h>

struct target {
    struct sockaddr_storage address;
    socklen_t address_size;
    char name[256]; /* as written */
    char error[320];
};

enum status target_resolve(struct target *target, const char *text) MUST_USE;

#endif
