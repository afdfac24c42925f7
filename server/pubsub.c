/* SPDX-License-Identifier: BSD-3-Clause */
#include "server/pubsub.h"

#include "protocol/resp_write.h"
#include "server/acl_check.h"
#include "server/commands.h"
#include "server/conn.h"
#include "server/node.h"
#include "server/pubsub_line.h"
#include "server/push.h"
#include "server/transaction.h"
#include "server/worker.h"
#include "tiers/base/glob.h"
#include "tiers/bus_reply.h"

#include <stdlib.h>
#include <string.h>

enum {
    /* A message from this size on goes round before the next call of its connection. */
    ALONE_BYTES = 64 * 1024
};

/* --- the nodes' own ---------------------------------------------------------------------------------------------------- */

static bool is_of_nodes(struct slice channel)
{
    return slice_begins(channel, BUS_CHANNELS_PREFIX);
}

bool pubsub_hides(struct slice channel)
{
    return slice_is(channel, BUS_CHANNEL_KEYS) || is_of_nodes(channel);
}

bool pubsub_names_hidden(const struct call *call, uint32_t first, uint32_t end)
{
    while (first < end && !pubsub_hides(call->argv[first])) {
        first++;
    }
    return first < end;
}

static bool names_nodes(const struct call *call)
{
    uint32_t i = 1;
    while (i < call->argc && !is_of_nodes(call->argv[i])) {
        i++;
    }
    return i < call->argc;
}

bool pubsub_forbids(struct call *call)
{
    const bool forbidden = call->node->tiers != NULL &&
                           ((call->command->run == cmd_publish && pubsub_hides(call->argv[1])) ||
                            (call->command->run == cmd_subscribe && names_nodes(call)));
    if (forbidden) {
        reply_error(
            call->reply,
            "NOPERM these are the channels of Terrace nodes, closed to clients. A node that was "
            "given another node as its L2 needs the Redis behind that one");
    }
    return forbidden;
}

/* --- who listens ------------------------------------------------------------------------------------------------------ */

bool pubsub_is_subscribed(const struct conn *conn)
{
    for (int kind = 0; conn->subscriber != NULL && kind < CHANNEL_KINDS; kind++) {
        if (conn->subscriber->counts[kind] > 0) {
            return true;
        }
    }
    return false;
}

bool pubsub_hears_too_much(const struct conn *conn, const struct acl_user *user)
{
    for (int kind = 0; conn->subscriber != NULL && kind < CHANNEL_KINDS; kind++) {
        const struct list *head = &conn->subscriber->topics[kind];
        for (const struct list *at = head->next; at != head; at = at->next) {
            const struct subscription *one = LIST_ENTRY(at, struct subscription, in_subscriber);
            if (!acl_check_channel(user, topic_name(one->topic), kind == CHANNEL_PATTERN)) {
                return true;
            }
        }
    }
    return false;
}

unsigned pubsub_count(const struct conn *conn, enum channel_kind kind)
{
    return conn->subscriber == NULL ? 0 : conn->subscriber->counts[kind];
}

struct slice pubsub_oldest(const struct conn *conn, enum channel_kind kind)
{
    return topic_name(subscriber_oldest(conn->subscriber, kind));
}

bool pubsub_refuses(struct call *call)
{
    if (call->conn->session.proto != 2 || !pubsub_is_subscribed(call->conn)) {
        return false;
    }
    if (call->command != NULL && (call->command->flags & COMMAND_SUBSCRIBER) != 0) {
        return false;
    }
    if (call->command->run == cmd_exec) {
        transaction_abort(call, "Can't execute 'exec': only (P|S)SUBSCRIBE / (P|S)UNSUBSCRIBE / "
                                "PING / QUIT / RESET are allowed in this context");
        return true;
    }
    reply_errorf(
        call->reply,
        "ERR Can't execute '%s': only (P|S)SUBSCRIBE / (P|S)UNSUBSCRIBE / PING / QUIT / RESET are "
        "allowed in this context",
        call->command->full_name);
    return true;
}

struct subscriber *pubsub_subscriber(struct conn *conn)
{
    if (conn->subscriber == NULL) {
        conn->subscriber = malloc(sizeof(*conn->subscriber));
        if (conn->subscriber != NULL) {
            subscriber_open(conn->subscriber, conn, conn->session.id);
        }
    }
    return conn->subscriber;
}

enum status pubsub_subscribe(struct conn *conn, enum channel_kind kind, struct slice name)
{
    struct worker *worker = conn->worker;
    const size_t memory = atomic_load_explicit(&worker->node->live.memory, memory_order_relaxed);
    struct subscriber *subscriber = pubsub_subscriber(conn);
    if (subscriber == NULL) {
        return NO_MEMORY;
    }
    const enum status status =
        channels_add(&worker->channels, subscriber, kind, name, memory / LIMIT_SUBSCRIBED_SHARE);
    conn->listens = conn->monitor != NULL || pubsub_is_subscribed(conn);
    return status;
}

void pubsub_unsubscribe(struct conn *conn, enum channel_kind kind, struct slice name)
{
    if (conn->subscriber != NULL) {
        channels_remove(&conn->worker->channels, conn->subscriber, kind, name);
        conn->listens = conn->monitor != NULL || pubsub_is_subscribed(conn);
    }
}

void pubsub_forget(struct conn *conn)
{
    if (conn->subscriber != NULL) {
        pubsub_line_end(conn->subscriber->line);
        channels_remove_all(&conn->worker->channels, conn->subscriber);
        free(conn->subscriber);
        conn->subscriber = NULL;
        conn->listens = conn->monitor != NULL;
    }
}

/* --- delivering ------------------------------------------------------------------------------------------------------- */

/* To all who listen to one topic; how many. The text is made once, for the first. */
static uint64_t deliver_to_topic(const struct topic *topic, const struct slice *words, size_t count)
{
    struct buf text = {0};
    uint64_t listeners = 0;
    const enum status status = resp_append_request(&text, count, words);
    if (status == OK) {
        text.data[0] = '>';
    }
    for (struct list *at = topic->subscribers.next; at != &topic->subscribers; at = at->next) {
        struct conn *conn = LIST_ENTRY(at, struct subscription, in_topic)->subscriber->conn;
        if (status == OK) {
            push_write(conn, buf_slice(&text));
        } else {
            push_lost(conn);
        }
        listeners++;
    }
    buf_done(&text);
    return listeners;
}

/* To all listeners of one worker; how many times. */
static uint64_t deliver(const struct worker *worker, enum channel_kind kind, struct slice channel,
                        struct slice message)
{
    const struct channels *channels = &worker->channels;
    if (atomic_load_explicit(&channels->count, memory_order_relaxed) == 0) {
        return 0;
    }
    uint64_t listeners = 0;
    const struct topic *topic = channels_find(channels, kind, channel);
    if (topic != NULL) {
        const struct slice words[] = {kind == CHANNEL_SHARD ? SLICE_LITERAL("smessage")
                                                            : SLICE_LITERAL("message"),
                                      channel, message};
        listeners += deliver_to_topic(topic, words, 3);
    }
    const struct list *patterns = &channels->patterns;
    for (struct list *at = patterns->next; kind == CHANNEL_NAMED && at != patterns; at = at->next) {
        topic = LIST_ENTRY(at, struct topic, in_patterns);
        if (glob_match(topic_name(topic), channel, false)) {
            const struct slice words[] = {SLICE_LITERAL("pmessage"), topic_name(topic), channel,
                                          message};
            listeners += deliver_to_topic(topic, words, 4);
        }
    }
    return listeners;
}

/* --- publishing -------------------------------------------------------------------------------------------------------- */

struct publishing {
    struct tour tour; /* first: a tour is cast back */
    struct answer *answer;
    enum channel_kind kind;
    bool alone;
    uint64_t listeners;
    struct slice channel;
    struct slice message;
    char bytes[];
};

static void publish_visit(struct tour *tour, struct worker *worker)
{
    struct publishing *publishing = (struct publishing *)(void *)tour;
    if (worker != tour->home) {
        publishing->listeners +=
            deliver(worker, publishing->kind, publishing->channel, publishing->message);
    }
}

static void publish_done(struct tour *tour)
{
    struct publishing *publishing = (struct publishing *)(void *)tour;
    struct answer *answer = publishing->answer;
    reply_integer(&answer->reply, (int64_t)publishing->listeners);
    if (answer->conn != NULL && publishing->alone) {
        conn_unhold(answer->conn, HOLD_ALONE);
    }
    answer_land(answer);
    free(publishing);
}

static struct publishing *publishing_new(const struct call *call, enum channel_kind kind)
{
    const struct slice channel = call->argv[1];
    const struct slice message = call->argv[2];
    struct publishing *publishing = malloc(sizeof(*publishing) + channel.size + message.size);
    if (publishing == NULL) {
        return NULL;
    }
    *publishing = (struct publishing){.tour = {.visit = publish_visit, .done = publish_done},
                                      .kind = kind,
                                      .alone = message.size >= ALONE_BYTES,
                                      .channel = {publishing->bytes, channel.size},
                                      .message = {publishing->bytes + channel.size, message.size}};
    memcpy(publishing->bytes, channel.data, channel.size);
    memcpy(publishing->bytes + channel.size, message.data, message.size);
    return publishing;
}

static bool others_listen(const struct worker *worker)
{
    const struct node *node = worker->node;
    for (unsigned i = 0; i < node->worker_count; i++) {
        if (i != worker->index && atomic_load(&node->workers[i]->channels.count) > 0) {
            return true;
        }
    }
    return false;
}

void pubsub_publish(struct call *call, enum channel_kind kind)
{
    struct publishing *publishing = NULL;
    if (others_listen(call->worker)) {
        publishing = publishing_new(call, kind);
        if (publishing == NULL) {
            reply_out_of_memory(call->reply);
            return;
        }
    }
    const uint64_t listeners = deliver(call->worker, kind, call->argv[1], call->argv[2]);
    if (publishing == NULL) {
        reply_integer(call->reply, (int64_t)listeners);
        return;
    }
    publishing->listeners = listeners;
    publishing->answer = call_defer(call, WAIT_LOCAL);
    if (publishing->alone) {
        conn_hold(call->conn, HOLD_ALONE);
    }
    tour_start(&publishing->tour, call->worker);
}
