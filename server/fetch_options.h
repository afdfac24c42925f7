/* SPDX-License-Identifier: BSD-3-Clause */
/* fetch_options.h -- the words of CACHE.FETCH behind the key. */
#ifndef TERRACE_SERVER_FETCH_OPTIONS_H
#define TERRACE_SERVER_FETCH_OPTIONS_H

#include "server/call.h"
#include "tiers/contract.h"

enum {
    FETCH_NO_BUDGET = -1
};

struct fetch_options {
    struct wish wish;
    bool has_wish; /* some word was said but NOLOAD */
    int64_t soft_ms;
    int64_t hard_ms;
    bool no_load;
};

/* false: the error is answered. */
bool fetch_read_options(struct call *call, struct fetch_options *options);

#endif
