/* SPDX-License-Identifier: BSD-3-Clause */
/* held.h -- what L1 holds, written down for nodes that come: pages, each a hot list of its own (hot_list.h), the hottest first.
 *
 * The sketch of hot keys knows few keys well: at Zipf 0.99 over 50,000 keys its 4,096 rows are sure of half of the reads, while
 * L1 answers nine of ten. So the rest is told, too: every key that L1 holds, and how often it may be expected to be read.
 *
 * WEIGHTS. Known are the reads of all keys together (`total`), how many of them L1 answered (`hits`), the reads of each key
 * that the sketch is sure of (hot_list_sure: a key that was sampled once is as good as unknown), and how often the policy
 * expects an entry to be used, beside others (policy.h, HOTNESS). So of each key the larger of what the sketch is sure of and
 * of 2^(hotness/10) times a factor is expected, and the factor is that for which all keys in L1 together come to `hits`. What
 * a page says is how much more than in the list that is; list and pages of a node add up.
 *
 * Where the policy knows only what was read last (lru, ttl, random), that says little: the first of its keys weigh one and a
 * half times the mean, the last half of it. (Tried on 2026-11-22: of keys of about equal hotness the share that has rows of the
 * sketch. Where the sketch was large beside L1, 1,100 keys of 20,000 passed for 95 % of the hits and were 65: because few
 * of many reads had been sampled, which hot_list_sure mends, and perhaps because low rows are the keys that were read
 * last.)
 *
 * A page is PAGE_BYTES at most as it lies in L2, so that no answer on the road holds up what clients ask. What finds no room in
 * HELD_PAGES_MAX of them, or is beyond HELD_KEYS_MAX, is left out: it is the coldest. Its part of the hits is still its own.
 *
 * Owns:    its pages.
 * Threads: held_take any, while namespaces stay: it looks at all of L1, a chain at a time (l1_survey), twice if there is more
 *          than it may take. The rest: one at a time.
 * Units:   reads, as in hot.h.
 * Limits:  HELD_KEYS_MAX keys, HELD_BYTES_MAX of their names; 24 bytes and its name for a key while it works; 4 MiB of pages.
 * Errors:  NO_MEMORY. */
#ifndef TERRACE_TIERS_HELD_H
#define TERRACE_TIERS_HELD_H

#include "tiers/hot_list.h"
#include "tiers/namespace.h"

enum {
    HELD_PAGE_BYTES = 64 << 10,
    HELD_KEYS_MAX = 1 << 18,
    HELD_BYTES_MAX = 16 << 20,
};

struct held_wish {
    const struct hot_list *list; /* of the sketch, with total and hits */
    uint64_t writing;            /* never 0 */
    int64_t now_ms;              /* clock.h */
};

struct held {
    struct held_told told; /* without pages: nothing is to be told beyond the list */
    size_t rows;           /* in all pages */
    struct buf bytes;      /* the pages, one behind the other */
    size_t ends[HELD_PAGES_MAX];
};

enum status held_take(struct held *held, struct namespaces *spaces,
                      const struct held_wish *wish) MUST_USE;
void held_done(struct held *held); /* all zeros is fine */
struct slice held_page(const struct held *held, unsigned page);

#endif
