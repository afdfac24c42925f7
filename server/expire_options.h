/* SPDX-License-Identifier: BSD-3-Clause */
/* expire_options.h -- the words behind EXPIRE and its kin, as Redis reads them.
 *
 * Threads: pure, but for the error that is answered. */
#ifndef TERRACE_SERVER_EXPIRE_OPTIONS_H
#define TERRACE_SERVER_EXPIRE_OPTIONS_H

#include "server/call.h"

struct expire_options {
    unsigned conditions; /* NX XX GT LT, for expire_options_hold */
    int64_t at_ms;       /* may be past, or negative */
};

/* argv[2] counts units of unit_ms from base_ms on. false: an error is answered. */
bool expire_options_parse(struct call *call, int64_t base_ms, int64_t unit_ms,
                          struct expire_options *ret_options);
/* Whether they allow it for a key that ends at old_ms (ITEM_NEVER: it does not). */
bool expire_options_hold(const struct expire_options *options, int64_t old_ms);

#endif
