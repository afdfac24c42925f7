/* SPDX-License-Identifier: BSD-3-Clause */
#include "tiers/announced.h"

#include <stdlib.h>

/* Half a cache line. The hash' last bits are the slot's number, so their place is free for the epoch. */
struct slot {
    uint64_t hash_and_epoch;
    uint64_t after_seq;
    uint64_t node;
    int64_t at_ms; /* 0: empty */
};

#define SLOT_MASK ((uint64_t)ANNOUNCED_SLOTS - 1)

_Static_assert(SLOT_MASK == UINT16_MAX, "16 bits of the epoch take the place of the slot's number");

struct announced {
    struct slot slots[ANNOUNCED_SLOTS];
};

struct announced *announced_new(void)
{
    return calloc(1, sizeof(struct announced));
}

void announced_free(struct announced *announced)
{
    free(announced);
}

void announced_put(struct announced *announced, uint64_t hash,
                   const struct announcement *announcement)
{
    announced->slots[hash & SLOT_MASK] = (struct slot){
        .hash_and_epoch = (hash & ~SLOT_MASK) | announcement->epoch,
        .after_seq = announcement->after_seq,
        .node = announcement->node,
        .at_ms = announcement->at_ms,
    };
}

bool announced_find(const struct announced *announced, uint64_t hash, struct announcement *ret)
{
    const struct slot *slot = &announced->slots[hash & SLOT_MASK];
    if (slot->at_ms == 0 || (slot->hash_and_epoch & ~SLOT_MASK) != (hash & ~SLOT_MASK)) {
        return false;
    }
    *ret = (struct announcement){
        .after_seq = slot->after_seq,
        .node = slot->node,
        .at_ms = slot->at_ms,
        .epoch = (uint16_t)(slot->hash_and_epoch & SLOT_MASK),
    };
    return true;
}
