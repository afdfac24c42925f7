/* SPDX-License-Identifier: BSD-3-Clause */
/* announced.h -- when each key was last said to have changed, and by whom: what CACHE.EXPLAIN tells.
 *
 * A table of fixed size, overwritten: a slot holds the last announcement of any key whose hash ends in the slot's
 * number. It is asked by hash and may have forgotten, or (1 in 2^48) speak of another key; nothing but an explanation
 * depends on it.
 *
 * An announcement of Redis comes between two numbered frames, so it is known to lie between their seqs. What a frame
 * announces has the seq of the frame and the node that sent it.
 *
 * Owns:    2 MiB.
 * Threads: the control loop's.
 * Limits:  ANNOUNCED_SLOTS keys. */
#ifndef TERRACE_TIERS_ANNOUNCED_H
#define TERRACE_TIERS_ANNOUNCED_H

#include <stdbool.h>
#include <stdint.h>

enum {
    ANNOUNCED_SLOTS = 1 << 16
};

struct announcement {
    uint64_t after_seq; /* of the last frame before it; 0: none of this epoch was seen yet */
    uint64_t node;      /* that sent the frame that names the key; 0: Redis announced it */
    int64_t at_ms;      /* when it was applied here */
    uint16_t epoch;     /* last bits of its counter: seqs of another epoch mean nothing */
};

struct announced;
struct announced *announced_new(void); /* NULL: no memory */
void announced_free(struct announced *announced);

void announced_put(struct announced *announced, uint64_t hash,
                   const struct announcement *announcement);
bool announced_find(const struct announced *announced, uint64_t hash, struct announcement *ret);

#endif
