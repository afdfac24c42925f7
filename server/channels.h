/* SPDX-License-Identifier: BSD-3-Clause */
/* channels.h -- who of one worker's clients listens to what.
 *
 * A TOPIC is a channel, a pattern or a shard channel that somebody listens to; a SUBSCRIPTION ties a subscriber to one. What
 * a subscriber subscribed to stands in his order, who listens to a topic in theirs:
 *
 *      topic "news"    -> [client 1] [client 3]
 *      topic "n*"      -> [client 3]                      client 3: "news", "n*"
 *
 * Owns:    topics and subscriptions. A subscriber is the connection's (pubsub.h); its subscriptions end before it does.
 * Threads: the worker's; `count` may be read by any.
 * Limits:  those of the index. */
#ifndef TERRACE_SERVER_CHANNELS_H
#define TERRACE_SERVER_CHANNELS_H

#include "server/channel_index.h"
#include "tiers/base/list.h"
#include "tiers/base/map.h"

#include <stdatomic.h>

struct conn;
struct pubsub_line;

struct topic {
    struct map_node in_map;
    struct list in_patterns; /* channels->patterns, if it is one */
    struct list subscribers; /* of struct subscription, in_topic */
    enum channel_kind kind;
    size_t size;
    char name[];
};

struct subscriber {
    struct list topics[CHANNEL_KINDS]; /* of struct subscription, in_subscriber */
    unsigned counts[CHANNEL_KINDS];
    uint64_t number;          /* tells it from all others */
    struct conn *conn;        /* the owner's, as the rest; not looked at */
    struct pubsub_line *line; /* to L2; NULL: none */
};

struct subscription {
    struct map_node in_map; /* by topic and subscriber */
    struct list in_topic;
    struct list in_subscriber;
    struct topic *topic;
    struct subscriber *subscriber;
};

struct channels {
    struct channel_index *index;
    struct map topics;
    struct map subscriptions;
    struct list patterns; /* topics that are patterns, the oldest first */
    _Atomic size_t count; /* of subscriptions */
};

void channels_open(struct channels *channels, struct channel_index *index);
void channels_close(struct channels *channels); /* when nobody listens any more */

void subscriber_open(struct subscriber *subscriber, struct conn *conn, uint64_t number);
struct slice topic_name(const struct topic *topic);

/* OK also if it listens already. TOO_BIG, NO_MEMORY: it does not. */
enum status channels_add(struct channels *channels, struct subscriber *subscriber,
                         enum channel_kind kind, struct slice name, size_t bytes_max) MUST_USE;
/* Nothing happens if it does not listen. */
void channels_remove(struct channels *channels, struct subscriber *subscriber,
                     enum channel_kind kind, struct slice name);
void channels_remove_all(struct channels *channels, struct subscriber *subscriber);
/* What it listened to first, of those that it still does; NULL: nothing. */
const struct topic *subscriber_oldest(const struct subscriber *subscriber, enum channel_kind kind);
struct topic *channels_find(const struct channels *channels, enum channel_kind kind,
                            struct slice name); /* NULL: nobody here listens */

#endif
