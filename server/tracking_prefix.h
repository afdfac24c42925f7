/* SPDX-License-Identifier: BSD-3-Clause */
/* tracking_prefix.h -- the prefixes to which clients of one worker listen (CLIENT TRACKING BCAST), found by a key.
 *
 *      key "user:7:name", lengths in use { 0, 5, 7 }  ->  "" "user:" "user:7:", as far as they are there
 *
 * One pass over the key: a hash grows with each byte, and is looked up where prefixes of that length are. So a change costs
 * the length of its key, however many prefixes there are.
 *
 * Owns:    its prefixes, while they have members.
 * Threads: one at a time.
 * Limits:  the owner's (tracking_use_prefix). */
#ifndef TERRACE_SERVER_TRACKING_PREFIX_H
#define TERRACE_SERVER_TRACKING_PREFIX_H

#include "protocol/bytes.h"
#include "tiers/base/list.h"
#include "tiers/base/map.h"

struct tracking_prefix {
    struct map_node node;
    struct list members; /* the owner's */
    size_t first;        /* what of this turn begins with it, the owner's, as the next */
    size_t count;
    size_t size;
    char bytes[];
};

struct prefix_length {
    size_t size;
    size_t count; /* of prefixes; not 0 */
};

struct prefix_index {
    uint64_t base; /* of the hash, secret */
    struct map prefixes;
    struct prefix_length *lengths; /* ascending */
    size_t length_count;
};

/* `secret`: unpredictable. */
void prefix_index_open(struct prefix_index *index, uint64_t secret);
void prefix_index_done(struct prefix_index *index); /* it is empty */
/* Made if it is not there. NULL: no memory. */
struct tracking_prefix *prefix_index_take(struct prefix_index *index, struct slice bytes);
void prefix_index_drop(struct prefix_index *index, struct tracking_prefix *prefix);
struct slice tracking_prefix_bytes(const struct tracking_prefix *prefix);

/* The prefixes of a key in turn, the shortest first. */
struct prefix_walk {
    struct slice key;
    size_t at;     /* bytes that are hashed */
    size_t length; /* of index->lengths */
    uint64_t hash;
};
struct tracking_prefix *prefix_index_next(const struct prefix_index *index,
                                          struct prefix_walk *walk); /* NULL: no more */

#endif
