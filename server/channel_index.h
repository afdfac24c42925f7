/* SPDX-License-Identifier: BSD-3-Clause */
/* channel_index.h -- the channels, patterns and shard channels that clients of a node listen to, on whatever worker, and
 * how many listen to each: what PUBSUB and INFO tell.
 *
 * Workers deliver by tables of their own (channels.h) and say here what comes and goes.
 *
 * Owns:    copies of the names.
 * Threads: any; a lock, held for one lookup, or for one walk over all names (PUBSUB CHANNELS).
 * Limits:  bytes_max over names and subscriptions of the node; channel_index_add answers TOO_BIG above. */
#ifndef TERRACE_SERVER_CHANNEL_INDEX_H
#define TERRACE_SERVER_CHANNEL_INDEX_H

#include "protocol/bytes.h"

enum channel_kind {
    CHANNEL_NAMED,
    CHANNEL_PATTERN,
    CHANNEL_SHARD,
    CHANNEL_KINDS
};

struct channel_index;

struct channel_index *channel_index_new(void); /* NULL: no memory */
void channel_index_free(struct channel_index *index);

/* The hash by which all of the node look names up; unpredictable. */
uint64_t channel_index_hash(const struct channel_index *index, enum channel_kind kind,
                            struct slice name);

/* One more who listens, and one less. */
enum status channel_index_add(struct channel_index *index, enum channel_kind kind,
                              struct slice name, size_t bytes_max) MUST_USE;
void channel_index_remove(struct channel_index *index, enum channel_kind kind, struct slice name);

size_t channel_index_count(struct channel_index *index, enum channel_kind kind); /* of names */
uint64_t channel_index_listeners(struct channel_index *index, enum channel_kind kind,
                                 struct slice name);
/* Calls `each` with every name that matches (NULL: all). `name` is valid during the call; nothing may be asked of the
 * index from inside. */
void channel_index_walk(struct channel_index *index, enum channel_kind kind,
                        const struct slice *pattern, void (*each)(void *arg, struct slice name),
                        void *arg);

#endif
