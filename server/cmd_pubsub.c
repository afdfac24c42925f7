/* SPDX-License-Identifier: BSD-3-Clause */
/* SUBSCRIBE PSUBSCRIBE SSUBSCRIBE, UN-, PUBLISH SPUBLISH, PUBSUB, by this node alone or by pubsub_line.h. */
#include "server/commands.h"
#include "server/conn.h"
#include "server/node.h"
#include "server/pubsub.h"
#include "server/pubsub_line.h"
#include "server/subcommand.h"
#include "server/worker.h"

/* --- SUBSCRIBE and its kin ---------------------------------------------------------------------------------------------- */

/* Confirmations, one for each name, stand in the place of the answer, but are heard even after CLIENT REPLY OFF. */
struct confirming {
    struct reply *reply;
    struct answer *aloud; /* NULL: the call's own reply is heard */
};

static struct confirming confirming_begin(struct call *call)
{
    struct confirming confirming = {.reply = call->reply};
    if (call->reply == &call->worker->sink) {
        confirming.aloud = answer_new(call->conn, WAIT_LOCAL);
        confirming.reply = &confirming.aloud->reply;
    }
    return confirming;
}

static void confirming_end(struct confirming *confirming)
{
    if (confirming->aloud != NULL) {
        answer_land(confirming->aloud);
    }
}

/* Shard channels are counted by themselves. */
static int64_t subscription_count(const struct conn *conn, enum channel_kind kind)
{
    return kind == CHANNEL_SHARD
               ? (int64_t)pubsub_count(conn, CHANNEL_SHARD)
               : (int64_t)pubsub_count(conn, CHANNEL_NAMED) + pubsub_count(conn, CHANNEL_PATTERN);
}

static void subscribe(struct call *call, enum channel_kind kind, const char *word)
{
    if (kind == CHANNEL_SHARD && call->execution != NULL) {
        reply_error(call->reply, "ERR SSUBSCRIBE isn't allowed for a DENY BLOCKING client");
        return;
    }
    if (call->node->tiers != NULL) {
        pubsub_line_subscribe(call, kind);
        return;
    }
    struct confirming confirming = confirming_begin(call);
    for (uint32_t i = 1; i < call->argc; i++) {
        if (pubsub_subscribe(call->conn, kind, call->argv[i]) != OK) {
            reply_out_of_memory(confirming.reply);
            break;
        }
        reply_push(confirming.reply, 3);
        reply_bulk_text(confirming.reply, word);
        reply_bulk(confirming.reply, call->argv[i]);
        reply_integer(confirming.reply, subscription_count(call->conn, kind));
    }
    confirming_end(&confirming);
}

/* `name` may lie in what ends here. */
static void unsubscribe_one(struct call *call, struct reply *reply, enum channel_kind kind,
                            const char *word, struct slice name)
{
    reply_push(reply, 3);
    reply_bulk_text(reply, word);
    reply_bulk(reply, name);
    pubsub_unsubscribe(call->conn, kind, name);
    reply_integer(reply, subscription_count(call->conn, kind));
}

static void unsubscribe(struct call *call, enum channel_kind kind, const char *word)
{
    if (pubsub_line_has(call->conn)) {
        pubsub_line_unsubscribe(call, kind);
        return;
    }
    struct confirming confirming = confirming_begin(call);
    for (uint32_t i = 1; i < call->argc; i++) {
        unsubscribe_one(call, confirming.reply, kind, word, call->argv[i]);
    }
    if (call->argc == 1 && pubsub_count(call->conn, kind) == 0) {
        reply_push(confirming.reply, 3);
        reply_bulk_text(confirming.reply, word);
        reply_null(confirming.reply);
        reply_integer(confirming.reply, subscription_count(call->conn, kind));
    }
    while (call->argc == 1 && pubsub_count(call->conn, kind) > 0) {
        unsubscribe_one(call, confirming.reply, kind, word, pubsub_oldest(call->conn, kind));
    }
    confirming_end(&confirming);
}

void cmd_subscribe(struct call *call)
{
    subscribe(call, CHANNEL_NAMED, "subscribe");
}

void cmd_psubscribe(struct call *call)
{
    subscribe(call, CHANNEL_PATTERN, "psubscribe");
}

void cmd_ssubscribe(struct call *call)
{
    subscribe(call, CHANNEL_SHARD, "ssubscribe");
}

void cmd_unsubscribe(struct call *call)
{
    unsubscribe(call, CHANNEL_NAMED, "unsubscribe");
}

void cmd_punsubscribe(struct call *call)
{
    unsubscribe(call, CHANNEL_PATTERN, "punsubscribe");
}

void cmd_sunsubscribe(struct call *call)
{
    unsubscribe(call, CHANNEL_SHARD, "sunsubscribe");
}

/* --- PUBLISH ------------------------------------------------------------------------------------------------------------ */

void cmd_publish(struct call *call)
{
    pubsub_publish(call, CHANNEL_NAMED);
}

void cmd_spublish(struct call *call)
{
    pubsub_publish(call, CHANNEL_SHARD);
}

/* --- PUBSUB ------------------------------------------------------------------------------------------------------------- */

/* Names are counted while they are written: their number comes first. */
struct name_list {
    struct reply names;
    size_t count;
};

static void list_name(void *arg, struct slice name)
{
    struct name_list *list = arg;
    reply_bulk(&list->names, name);
    list->count++;
}

static void list_names(struct call *call, enum channel_kind kind)
{
    if (call->argc > 3) {
        subcommand_error(call, "PUBSUB");
        return;
    }
    struct name_list list = {.names = {.worker = call->worker}};
    out_init(&list.names.out, &call->worker->pool);
    channel_index_walk(call->node->channel_index, kind, call->argc == 3 ? &call->argv[2] : NULL,
                       list_name, &list);
    reply_array(call->reply, list.count);
    out_move(&call->reply->out, &list.names.out);
}

static void count_listeners(struct call *call, enum channel_kind kind)
{
    reply_array(call->reply, ((size_t)call->argc - 2) * 2);
    for (uint32_t i = 2; i < call->argc; i++) {
        reply_bulk(call->reply, call->argv[i]);
        reply_integer(call->reply, (int64_t)channel_index_listeners(call->node->channel_index, kind,
                                                                    call->argv[i]));
    }
}

void cmd_pubsub_channels(struct call *call)
{
    list_names(call, CHANNEL_NAMED);
}

void cmd_pubsub_shardchannels(struct call *call)
{
    list_names(call, CHANNEL_SHARD);
}

void cmd_pubsub_numsub(struct call *call)
{
    count_listeners(call, CHANNEL_NAMED);
}

void cmd_pubsub_shardnumsub(struct call *call)
{
    count_listeners(call, CHANNEL_SHARD);
}

void cmd_pubsub_numpat(struct call *call)
{
    reply_integer(call->reply,
                  (int64_t)channel_index_count(call->node->channel_index, CHANNEL_PATTERN));
}

void cmd_pubsub_help(struct call *call)
{
    static const char *const lines[] = {
        "CHANNELS [<pattern>]",
        "    Return the currently active channels matching a <pattern> (default: '*').",
        "NUMPAT",
        "    Return number of subscriptions to patterns.",
        "NUMSUB [<channel> ...]",
        "    Return the number of subscribers for the specified channels, excluding",
        "    pattern subscriptions(default: no channels).",
        "SHARDCHANNELS [<pattern>]",
        "    Return the currently active shard level channels matching a <pattern> (default: '*').",
        "SHARDNUMSUB [<shardchannel> ...]",
        "    Return the number of subscribers for the specified shard level channel(s)",
    };
    reply_help(call->reply, "PUBSUB", lines, sizeof(lines) / sizeof(lines[0]));
}
