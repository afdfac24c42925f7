/* SPDX-License-Identifier: BSD-3-Clause */
#include "server/channels.h"

#include "protocol/check.h"

#include <stdlib.h>
#include <string.h>

void channels_open(struct channels *channels, struct channel_index *index)
{
    *channels = (struct channels){.index = index};
    list_init(&channels->patterns);
}

void channels_close(struct channels *channels)
{
    CHECK(channels->topics.count == 0 && channels->subscriptions.count == 0);
}

void subscriber_open(struct subscriber *subscriber, struct conn *conn, uint64_t number)
{
    *subscriber = (struct subscriber){.number = number, .conn = conn};
    for (int kind = 0; kind < CHANNEL_KINDS; kind++) {
        list_init(&subscriber->topics[kind]);
    }
}

struct slice topic_name(const struct topic *topic)
{
    return (struct slice){topic->name, topic->size};
}

/* --- topics ----------------------------------------------------------------------------------------------------------- */

static struct topic *topic_find(const struct channels *channels, enum channel_kind kind,
                                struct slice name, uint64_t hash)
{
    for (struct map_node *node = map_find(&channels->topics, hash); node != NULL;
         node = map_next(node)) {
        struct topic *topic = MAP_ENTRY(node, struct topic, in_map);
        if (topic->kind == kind && slice_equal(topic_name(topic), name)) {
            return topic;
        }
    }
    return NULL;
}

struct topic *channels_find(const struct channels *channels, enum channel_kind kind,
                            struct slice name)
{
    return topic_find(channels, kind, name, channel_index_hash(channels->index, kind, name));
}

static struct topic *topic_new(struct channels *channels, enum channel_kind kind, struct slice name,
                               uint64_t hash)
{
    struct topic *topic = malloc(sizeof(*topic) + name.size);
    if (topic == NULL) {
        return NULL;
    }
    *topic = (struct topic){.kind = kind, .size = name.size};
    if (name.size > 0) {
        memcpy(topic->name, name.data, name.size);
    }
    list_init(&topic->subscribers);
    list_init(&topic->in_patterns);
    if (map_add(&channels->topics, &topic->in_map, hash) != OK) {
        free(topic);
        return NULL;
    }
    if (kind == CHANNEL_PATTERN) {
        list_push_back(&channels->patterns, &topic->in_patterns);
    }
    return topic;
}

static void topic_leave(struct channels *channels, struct topic *topic)
{
    if (list_empty(&topic->subscribers)) {
        list_remove(&topic->in_patterns);
        map_remove(&channels->topics, &topic->in_map);
        free(topic);
    }
}

/* --- subscriptions ---------------------------------------------------------------------------------------------------- */

static uint64_t subscription_hash(const struct topic *topic, const struct subscriber *subscriber)
{
    return topic->in_map.hash ^ subscriber->number * 0x9e3779b97f4a7c15u;
}

static struct subscription *subscription_find(const struct channels *channels,
                                              const struct topic *topic,
                                              const struct subscriber *subscriber)
{
    for (struct map_node *node =
             map_find(&channels->subscriptions, subscription_hash(topic, subscriber));
         node != NULL; node = map_next(node)) {
        struct subscription *subscription = MAP_ENTRY(node, struct subscription, in_map);
        if (subscription->topic == topic && subscription->subscriber == subscriber) {
            return subscription;
        }
    }
    return NULL;
}

static enum status subscription_new(struct channels *channels, struct topic *topic,
                                    struct subscriber *subscriber)
{
    struct subscription *subscription = malloc(sizeof(*subscription));
    if (subscription == NULL) {
        return NO_MEMORY;
    }
    *subscription = (struct subscription){.topic = topic, .subscriber = subscriber};
    if (map_add(&channels->subscriptions, &subscription->in_map,
                subscription_hash(topic, subscriber)) != OK) {
        free(subscription);
        return NO_MEMORY;
    }
    list_push_back(&topic->subscribers, &subscription->in_topic);
    list_push_back(&subscriber->topics[topic->kind], &subscription->in_subscriber);
    subscriber->counts[topic->kind]++;
    atomic_fetch_add(&channels->count, 1);
    return OK;
}

static void subscription_end(struct channels *channels, struct subscription *subscription)
{
    struct topic *topic = subscription->topic;
    map_remove(&channels->subscriptions, &subscription->in_map);
    list_remove(&subscription->in_topic);
    list_remove(&subscription->in_subscriber);
    subscription->subscriber->counts[topic->kind]--;
    atomic_fetch_sub(&channels->count, 1);
    channel_index_remove(channels->index, topic->kind, topic_name(topic));
    free(subscription);
    topic_leave(channels, topic);
}

enum status channels_add(struct channels *channels, struct subscriber *subscriber,
                         enum channel_kind kind, struct slice name, size_t bytes_max)
{
    const uint64_t hash = channel_index_hash(channels->index, kind, name);
    struct topic *topic = topic_find(channels, kind, name, hash);
    if (topic != NULL && subscription_find(channels, topic, subscriber) != NULL) {
        return OK;
    }
    enum status status = channel_index_add(channels->index, kind, name, bytes_max);
    if (status != OK) {
        return status;
    }
    if (topic == NULL) {
        topic = topic_new(channels, kind, name, hash);
    }
    status = topic == NULL ? NO_MEMORY : subscription_new(channels, topic, subscriber);
    if (status != OK) {
        channel_index_remove(channels->index, kind, name);
        if (topic != NULL) {
            topic_leave(channels, topic);
        }
    }
    return status;
}

void channels_remove(struct channels *channels, struct subscriber *subscriber,
                     enum channel_kind kind, struct slice name)
{
    const struct topic *topic = channels_find(channels, kind, name);
    struct subscription *subscription =
        topic == NULL ? NULL : subscription_find(channels, topic, subscriber);
    if (subscription != NULL) {
        subscription_end(channels, subscription);
    }
}

void channels_remove_all(struct channels *channels, struct subscriber *subscriber)
{
    for (int kind = 0; kind < CHANNEL_KINDS; kind++) {
        while (!list_empty(&subscriber->topics[kind])) {
            subscription_end(channels, LIST_ENTRY(subscriber->topics[kind].next,
                                                  struct subscription, in_subscriber));
        }
    }
}

const struct topic *subscriber_oldest(const struct subscriber *subscriber, enum channel_kind kind)
{
    const struct list *topics = &subscriber->topics[kind];
    return list_empty(topics) ? NULL
                              : LIST_ENTRY(topics->next, struct subscription, in_subscriber)->topic;
}
