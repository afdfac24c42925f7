/* SPDX-License-Identifier: BSD-3-Clause */
#include "tiers/base/map.h"

#include "protocol/check.h"

#include <stdlib.h>

enum {
    CHAINS_MIN = 16,
    SPARSE = 8 /* chains per thing from which on the table halves */
};

static struct map_node **chain_of(const struct map *map, uint64_t hash)
{
    return &map->chains[hash & (map->chain_count - 1)];
}

static enum status map_resize(struct map *map, size_t chain_count)
{
    struct map next = {.chains = calloc(chain_count, sizeof(*next.chains)),
                       .chain_count = chain_count,
                       .count = map->count};
    if (next.chains == NULL) {
        return NO_MEMORY;
    }
    for (size_t i = 0; i < map->chain_count; i++) {
        struct map_node *node = map->chains[i];
        while (node != NULL) {
            struct map_node *rest = node->next;
            struct map_node **chain = chain_of(&next, node->hash);
            node->next = *chain;
            *chain = node;
            node = rest;
        }
    }
    free(map->chains);
    *map = next;
    return OK;
}

enum status map_add(struct map *map, struct map_node *node, uint64_t hash)
{
    if (map->count >= map->chain_count) {
        const size_t chain_count = map->chain_count == 0 ? CHAINS_MIN : map->chain_count * 2;
        if (map_resize(map, chain_count) != OK && map->chain_count == 0) {
            return NO_MEMORY;
        }
    }
    struct map_node **chain = chain_of(map, hash);
    *node = (struct map_node){.next = *chain, .hash = hash};
    *chain = node;
    map->count++;
    return OK;
}

void map_remove(struct map *map, struct map_node *node)
{
    CHECK(map->count > 0);
    struct map_node **at = chain_of(map, node->hash);
    while (*at != node) {
        CHECK(*at != NULL);
        at = &(*at)->next;
    }
    *at = node->next;
    node->next = NULL;
    map->count--;
    if (map->count == 0) {
        map_done(map);
    } else if (map->chain_count > CHAINS_MIN && map->count * SPARSE < map->chain_count) {
        (void)!map_resize(map, map->chain_count / 2);
    }
}

/* The first of that hash from `node` on. */
static struct map_node *same_hash(struct map_node *node, uint64_t hash)
{
    while (node != NULL && node->hash != hash) {
        node = node->next;
    }
    return node;
}

struct map_node *map_find(const struct map *map, uint64_t hash)
{
    return map->count == 0 ? NULL : same_hash(*chain_of(map, hash), hash);
}

struct map_node *map_next(const struct map_node *node)
{
    return same_hash(node->next, node->hash);
}

struct map_node *map_any(const struct map *map, struct map_node *after)
{
    if (after != NULL && after->next != NULL) {
        return after->next;
    }
    size_t i = after == NULL ? 0 : (size_t)(after->hash & (map->chain_count - 1)) + 1;
    for (; i < map->chain_count; i++) {
        if (map->chains[i] != NULL) {
            return map->chains[i];
        }
    }
    return NULL;
}

void map_done(struct map *map)
{
    free(map->chains);
    *map = (struct map){0};
}
