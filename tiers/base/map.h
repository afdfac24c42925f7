/* SPDX-License-Identifier: BSD-3-Clause */
/* map.h -- things found by a hash: an intrusive table of chains.
 *
 * Who embeds a map_node brings the hash and compares the names: several things may have one hash.
 *
 *      for (struct map_node *node = map_find(&map, hash); node != NULL; node = map_next(node)) ...
 *
 * The table doubles when chains get long and halves when it is nearly empty; without memory it stays as it is, and works
 * with longer chains.
 *
 * Owns:    the table, not what is in it.
 * Threads: one at a time. All zeros is empty.
 * Limits:  none; the owner's. Hashes of names from outside need a secret (hash.h). */
#ifndef TERRACE_TIERS_BASE_MAP_H
#define TERRACE_TIERS_BASE_MAP_H

#include "protocol/status.h"

#include <stddef.h>
#include <stdint.h>

struct map_node {
    struct map_node *next; /* private */
    uint64_t hash;
};

#define MAP_ENTRY(node, type, member) ((type *)(void *)((char *)(node)-offsetof(type, member)))

struct map {
    struct map_node **chains;
    size_t chain_count; /* 0 or a power of two */
    size_t count;
};

/* NO_MEMORY only for the first one. */
enum status map_add(struct map *map, struct map_node *node, uint64_t hash) MUST_USE;
void map_remove(struct map *map, struct map_node *node);         /* which is in it */
struct map_node *map_find(const struct map *map, uint64_t hash); /* NULL: none */
struct map_node *map_next(const struct map_node *node);          /* of the same hash */
struct map_node *map_any(const struct map *map,
                         struct map_node *after); /* all in turn, from NULL on, in no order;
    nothing may be added or removed meanwhile */
void map_done(struct map *map);                   /* empty again */

#endif
