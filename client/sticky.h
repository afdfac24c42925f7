/* SPDX-License-Identifier: BSD-3-Clause */
/* sticky.h -- where an affinity was sent last: a bounded table, whose oldest goes when it is full.
 *
 * An affinity is its hash: two of one hash share an endpoint, which hurts nobody.
 *
 * Owns:    its memory, all of it taken by sticky_init.
 * Threads: one at a time.
 * Units:   milliseconds. */
#ifndef TERRACE_CLIENT_STICKY_H
#define TERRACE_CLIENT_STICKY_H

#include "protocol/status.h"

#include <stddef.h>
#include <stdint.h>

struct sticky_entry {
    uint64_t hash;
    int64_t until_ms;
    void *target;
    uint32_t next; /* in its chain; of a free one, in the list of those */
    uint32_t newer;
    uint32_t older;
};

struct sticky {
    struct sticky_entry *entries; /* 0 is nobody: the head of the ring of ages */
    uint32_t *chains;
    uint32_t chain_mask;
    uint32_t free; /* 0: none */
    int64_t ttl_ms;
};

enum status sticky_init(struct sticky *sticky, unsigned max,
                        int64_t ttl_ms) MUST_USE; /* NO_MEMORY */
void sticky_done(struct sticky *sticky);          /* zeros are fine */

/* Where it was sent within the ttl, which begins anew; NULL: nowhere. */
void *sticky_get(struct sticky *sticky, uint64_t hash, int64_t now_ms);
void sticky_set(struct sticky *sticky, uint64_t hash, void *target, int64_t now_ms);
void sticky_forget(struct sticky *sticky,
                   const void *target); /* all that were sent there: walks the table */

#endif
