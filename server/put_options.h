/* SPDX-License-Identifier: BSD-3-Clause */
/* put_options.h -- what a write of a managed key may say of the value's life: the words behind the value of CACHE.FILL and
 * CACHE.SET.
 *
 *      [PX ms] [SWR ms] [SIE ms] [TAGS n tag ...]      in any order, each once
 *
 * Owns: nothing; tags borrow from the call's arguments. */
#ifndef TERRACE_SERVER_PUT_OPTIONS_H
#define TERRACE_SERVER_PUT_OPTIONS_H

#include "server/call.h"

enum {
    PUT_UNSAID = -1
};

struct put_options {
    int64_t px_ms;  /* fresh life, above 0; or PUT_UNSAID, as the others */
    int64_t swr_ms; /* from 0 on */
    int64_t sie_ms;
    const struct slice *tags;
    unsigned tag_count;
};

/* The words from argv[from] on. false: the error is answered. */
bool put_options_parse(struct call *call, uint32_t from, struct put_options *ret_options);

#endif
