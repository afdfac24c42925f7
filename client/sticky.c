/* SPDX-License-Identifier: BSD-3-Clause */
#include "client/sticky.h"

#include <stdlib.h>

enum {
    NOBODY = 0
};

enum status sticky_init(struct sticky *sticky, unsigned max, int64_t ttl_ms)
{
    uint32_t chains = 1;
    while (chains < max && chains < 1u << 30) {
        chains *= 2;
    }
    *sticky = (struct sticky){
        .entries = calloc((size_t)max + 1, sizeof *sticky->entries),
        .chains = calloc(chains, sizeof *sticky->chains),
        .chain_mask = chains - 1,
        .ttl_ms = ttl_ms,
    };
    if (sticky->entries == NULL || sticky->chains == NULL) {
        sticky_done(sticky);
        return NO_MEMORY;
    }
    for (uint32_t i = max; i >= 1; i--) {
        sticky->entries[i].next = sticky->free;
        sticky->free = i;
    }
    return OK;
}

void sticky_done(struct sticky *sticky)
{
    free(sticky->entries);
    free(sticky->chains);
    *sticky = (struct sticky){0};
}

/* --- the ring of ages: from the head, `older` is the newest and `newer` the oldest ------------------------------------- */

static void age_unlink(struct sticky *sticky, uint32_t at)
{
    struct sticky_entry *entry = &sticky->entries[at];
    sticky->entries[entry->newer].older = entry->older;
    sticky->entries[entry->older].newer = entry->newer;
}

static void age_push(struct sticky *sticky, uint32_t at)
{
    struct sticky_entry *head = &sticky->entries[NOBODY];
    struct sticky_entry *entry = &sticky->entries[at];
    entry->newer = NOBODY;
    entry->older = head->older;
    sticky->entries[head->older].newer = at;
    head->older = at;
}

/* --- chains ------------------------------------------------------------------------------------------------------------ */

static uint32_t *chain_of(struct sticky *sticky, uint64_t hash)
{
    return &sticky->chains[(hash ^ hash >> 32) & sticky->chain_mask];
}

/* The link that points to it, or the one at the end of its chain. */
static uint32_t *link_of(struct sticky *sticky, uint64_t hash)
{
    uint32_t *link = chain_of(sticky, hash);
    while (*link != NOBODY && sticky->entries[*link].hash != hash) {
        link = &sticky->entries[*link].next;
    }
    return link;
}

static void drop(struct sticky *sticky, uint32_t *link)
{
    uint32_t at = *link;
    struct sticky_entry *entry = &sticky->entries[at];
    *link = entry->next;
    age_unlink(sticky, at);
    *entry = (struct sticky_entry){.next = sticky->free};
    sticky->free = at;
}

static uint32_t take_free(struct sticky *sticky)
{
    if (sticky->free == NOBODY) {
        uint32_t oldest = sticky->entries[NOBODY].newer;
        drop(sticky, link_of(sticky, sticky->entries[oldest].hash));
    }
    uint32_t at = sticky->free;
    sticky->free = sticky->entries[at].next;
    return at;
}

/* --- what others call -------------------------------------------------------------------------------------------------- */

void *sticky_get(struct sticky *sticky, uint64_t hash, int64_t now_ms)
{
    uint32_t *link = link_of(sticky, hash);
    uint32_t at = *link;
    if (at == NOBODY) {
        return NULL;
    }
    struct sticky_entry *entry = &sticky->entries[at];
    if (now_ms >= entry->until_ms) {
        drop(sticky, link);
        return NULL;
    }
    entry->until_ms = now_ms + sticky->ttl_ms;
    age_unlink(sticky, at);
    age_push(sticky, at);
    return entry->target;
}

void sticky_set(struct sticky *sticky, uint64_t hash, void *target, int64_t now_ms)
{
    uint32_t *link = link_of(sticky, hash);
    if (*link != NOBODY) {
        drop(sticky, link);
    }
    uint32_t at = take_free(sticky); /* may take one of this very chain: its place is found anew */
    uint32_t *chain = chain_of(sticky, hash);
    sticky->entries[at] = (struct sticky_entry){
        .hash = hash,
        .until_ms = now_ms + sticky->ttl_ms,
        .target = target,
        .next = *chain,
    };
    *chain = at;
    age_push(sticky, at);
}

void sticky_forget(struct sticky *sticky, const void *target)
{
    for (uint32_t chain = 0; sticky->chains != NULL && chain <= sticky->chain_mask; chain++) {
        uint32_t *link = &sticky->chains[chain];
        while (*link != NOBODY) {
            if (sticky->entries[*link].target == target) {
                drop(sticky, link);
            } else {
                link = &sticky->entries[*link].next;
            }
        }
    }
}
