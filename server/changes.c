/* SPDX-License-Identifier: BSD-3-Clause */
#include "server/changes.h"

#include <stdlib.h>

static size_t slots_for(size_t count)
{
    size_t slots = CHANGES_FEW_SLOTS;
    while (slots < 2 * count) {
        slots *= 2;
    }
    return slots;
}

enum status changes_open(struct changes *changes, size_t count)
{
    *changes = (struct changes){.mask = CHANGES_FEW_SLOTS - 1};
    changes->at = changes->few;
    changes->slots = changes->few_slots;
    if (count <= CHANGES_FEW) {
        return OK;
    }
    const size_t slots = slots_for(count);
    changes->at = calloc(count, sizeof *changes->at);
    changes->slots = calloc(slots, sizeof *changes->slots);
    changes->mask = slots - 1;
    return changes->at != NULL && changes->slots != NULL ? OK : NO_MEMORY;
}

static bool same_key(const struct l1_key *a, const struct l1_key *b)
{
    return a->hash == b->hash && a->db == b->db && slice_equal(a->bytes, b->bytes);
}

static void let_go(const struct l1_change *change)
{
    item_release(change->seen != L1_ANY ? change->seen : NULL);
    item_release(change->item);
}

void changes_add(struct changes *changes, const struct l1_change *change)
{
    size_t slot = (size_t)change->key.hash & changes->mask;
    while (changes->slots[slot] != 0) {
        struct l1_change *earlier = &changes->at[changes->slots[slot] - 1];
        if (same_key(&earlier->key, &change->key)) {
            let_go(earlier);
            *earlier = *change;
            return;
        }
        slot = (slot + 1) & changes->mask;
    }
    changes->at[changes->count] = *change;
    changes->slots[slot] = (uint32_t)++changes->count;
}

void changes_close(struct changes *changes)
{
    for (size_t i = 0; i < changes->count; i++) {
        let_go(&changes->at[i]);
    }
    if (changes->at != changes->few) {
        free(changes->at);
        free(changes->slots);
    }
    changes->count = 0;
}
