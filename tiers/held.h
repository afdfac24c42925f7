/* SPDX-License-Identifier: BSD-3-Clause */
/* held.h -- what L1 holds, written down for nodes that come: pages, each a hot list of its own (hot_list.h), the hottest first.
 *
 * The sketch of hot keys knows few keys well: at Zipf 0.99 over 50,000 keys its 4,096 rows are sure of half of the reads, while
 * L1 answers nine of ten. So the rest is told, too: every key that L1 holds, and how often it may be expected to be read.
 *
 * WEIGHTS. Known are the reads of all keys together (`total`), how many of them L1 answered (`hits`), the reads of each key
 * that the sketch is sure of, and an order: how hot the policy takes an entry for (policy.h, "hotness"). Not known is how
 * much hotter one is than another, since a policy keeps few bits. But that can be measured. The least rows of a sketch are the
 * keys that were read last: a key that is read with rate r is among them with probability 1 - e^(-rT), T being the time until
 * a row is taken by another. So keys are put into CLASSES of about equal hotness, and if of the n keys of a class m have
 * rows, each is read
 *
 *      r = -ln(1 - m/n) / T        (m + 1/2 of n + 1, so that it is never none or all)
 *
 * T is the same for all classes, and follows from the hits: of each key the larger of what the sketch is sure of and r times
 * a factor is expected, and the factor is that for which all keys in L1 together come to `hits`. What a page says is how
 * much more than in the list that is; list and pages of a node add up. Where the list is short, all come out about even.
 *
 * This measures nothing where the policy, too, knows only what was read last (lru, ttl, random). Their keys are one class, in
 * which the first weigh one and a half times the mean and the last half of it.
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
    HELD_CLASS_LEAST = 256, /* keys: of so many the share that has rows says something */
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
