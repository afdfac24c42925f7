/* SPDX-License-Identifier: BSD-3-Clause */
/* tracking_call.c -- a call of a client that tracks: what it reads is noted in front of it, what it wrote is told behind it. */
#include "server/conn.h"
#include "server/effects.h"
#include "server/node.h"
#include "server/script_reads.h"
#include "server/tracking.h"
#include "server/tracking_client_inner.h"
#include "server/transaction.h"
#include "server/worker.h"
#include "tiers/tiers.h"

#include <string.h>

enum {
    EFFORT =
        100 /* rows that leave a full table in front of a call, and as many more at each next one, as Redis */
};

void tracking_keep_within_limit(struct worker *worker)
{
    struct tracking_desk *desk = &worker->tracking;
    const size_t most =
        (size_t)atomic_load_explicit(&worker->node->live.tracking_max_keys, memory_order_relaxed);
    const bool fits = tracking_limit(worker->node->tracking, most, rand_next(&worker->rand),
                                     EFFORT * (desk->overfull + 1));
    desk->overfull = fits ? 0 : desk->overfull + 1;
}

/* --- reads --------------------------------------------------------------------------------------------------------- */

/* Whether Redis tracks what the call reads. */
static bool goes_by_line(const struct tracking_client *client, const struct call *call)
{
    return client->line != NULL && call->line != NULL &&
           call->line == tracking_line_voice(client->line);
}

/* A key that finds no place in the table is told at once, behind the reply. */
static void note_key(const struct conn *conn, struct slice key, uint64_t hash)
{
    const struct worker *worker = conn->worker;
    struct tracking *tracking = worker->node->tracking;
    const uint64_t id = conn->session.id;
    if (key.size > LIMIT_TRACKING_KEY ||
        tracking_table_add(tracking->table, key, hash, tracking_name(worker->index, id)) != OK) {
        const struct news news = {.kind = NEWS_KEY, .client = id, .bytes = key};
        tracking_tell(tracking, worker->index, &news);
    }
}

/* --- writes of this node ------------------------------------------------------------------------------------------- */

/* Or it does not say what: an array may be that of EXEC, which reads, too. */
static bool changed_nothing(struct slice reply)
{
    static const char *const beginnings[] = {"-", "$-1", "*", "_", ":0\r"};
    for (size_t i = 0; i < sizeof(beginnings) / sizeof(beginnings[0]); i++) {
        if (slice_begins(reply, beginnings[i])) {
            return true;
        }
    }
    return reply.size == 0;
}

void tracking_on_send(struct node *node, const struct tiers_relay *write)
{
    for (size_t i = 0; i < write->key_count && tracking_is_wanted(node->tracking); i++) {
        tracking_sent(node->tracking, write->keys[i].bytes, write->keys[i].hash);
    }
}

void tracking_on_write(struct node *node, const struct conn *writer,
                       const struct tiers_relay *write, struct slice reply)
{
    if (!tracking_is_wanted(node->tracking) || changed_nothing(reply) ||
        !tracking_begin_written(node->tracking)) {
        return;
    }
    struct tracking_client *client = writer == NULL ? NULL : writer->session.tracking;
    const bool by_line = client != NULL && client->line != NULL && write->line != NULL &&
                         write->line == tracking_line_voice(client->line);
    for (size_t i = 0; i < write->key_count; i++) {
        tracking_written(node->tracking, write->keys[i].bytes, write->keys[i].hash);
        if (by_line) {
            tracking_drop_row(client, write->keys[i].bytes, write->keys[i].hash);
        }
    }
    tracking_end_written(node->tracking);
}

/* --- around a call ------------------------------------------------------------------------------------------------- */

/* Of a script that reads, all keys that it names count as read; one whose text is not here may. */
static bool call_reads(const struct call *call)
{
    const struct command *command = call->command;
    if ((command->flags & COMMAND_PUBSUB) != 0) {
        return false;
    }
    if (effects_is_script(command)) {
        const bool has_text =
            strcmp(command->name, "eval") == 0 || strcmp(command->name, "eval_ro") == 0;
        return !has_text || call->argc < 2 || call->node->tiers == NULL ||
               script_may_read(call->argv[1], tiers_commands(call->node->tiers));
    }
    return (command->flags & COMMAND_READONLY) != 0;
}

/* Whether it is told of no more than it has read, and this call counts. */
static bool wants_rows(const struct tracking_client *client)
{
    const bool caching = (client->flags & TRACKING_CACHING) != 0;
    return (client->flags & TRACKING_BCAST) == 0 &&
           ((client->flags & TRACKING_OPTIN) == 0 || caching) &&
           ((client->flags & TRACKING_OPTOUT) == 0 || !caching);
}

/* It cannot be asked of L2, on whatever connection. */
static bool is_answered_here(const struct call *call)
{
    return (call->command->flags & COMMAND_OWN) != 0 || call->managed != NULL;
}

void tracking_note_reads(struct call *call)
{
    struct worker *worker = call->worker;
    if (!call_reads(call)) {
        return;
    }
    const struct key_range range = effects_key_range(call);
    struct tracking_client *client = call->conn->session.tracking;
    const bool rows = wants_rows(client);
    const bool by_line = goes_by_line(client, call);
    for (uint32_t i = range.first; i <= range.last && rows; i += range.step) {
        const struct l1_key key = call_key(call, i).at;
        note_key(call->conn, key.bytes,
                 by_line ? tracking_hash_apart(key.hash, call->conn->session.id) : key.hash);
        client->keeps = client->keeps || by_line;
    }
    client->reads_here = client->reads_here || is_answered_here(call);
    if (worker->window !=
        NULL) { /* also for who is told of all: of a doubt he may have heard since the batch began */
        tiers_window_tracks(worker->window, true, clock_now_ms(&worker->node->clock));
    }
}

bool tracking_client_settles(const struct conn *conn)
{
    return conn->session.tracking != NULL && conn->session.tracking->settles;
}

/* All that it asks of L2 goes over its line, but for what cannot (tracking_line.h). */
static void direct(struct call *call)
{
    struct tracking_client *client = call->conn->session.tracking;
    client->settles = client->settles && call->conn->answer_count > 0;
    if (client->line != NULL && call->command->road != ROAD_LINE && !is_answered_here(call) &&
        transaction_line(call->conn->transaction) == NULL) {
        call->line = tracking_line_voice(client->line);
    }
}

void tracking_before_queued(const struct call *call)
{
    tracking_keep_within_limit(call->worker);
    tracking_read_news(call->worker);
}

void tracking_before(struct call *call)
{
    direct(call);
    call->worker->tracking.running = call->conn->session.id;
    tracking_keep_within_limit(call->worker);
    tracking_read_news(call->worker);
    tracking_note_reads(call);
}

/* CLIENT, with whatever subcommand, does not use CLIENT CACHING up; nor does a command that is queued. */
static bool is_client_command(const struct command *command)
{
    static const char name[] = "client|";
    return command != NULL && strncmp(command->full_name, name, sizeof(name) - 1) == 0;
}

void tracking_after(struct conn *conn, const struct call *call)
{
    conn->worker->tracking.running = 0;
    if (conn->worker->window != NULL) {
        tiers_window_tracks(conn->worker->window, false, 0);
    }
    if (conn->session.tracking == NULL) {
        return;
    }
    if (!is_client_command(call->command) && !transaction_is_open(conn->transaction)) {
        conn->session.tracking->flags &= ~(unsigned)TRACKING_CACHING;
    }
    tracking_read_news(conn->worker);
}
