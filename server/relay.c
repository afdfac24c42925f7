/* SPDX-License-Identifier: BSD-3-Clause */
#include "server/relay.h"

#include "protocol/check.h"
#include "protocol/resp_read.h"
#include "protocol/resp_write.h"
#include "server/barrier.h"
#include "server/blocking.h"
#include "server/busy.h"
#include "server/commands.h"
#include "server/conn.h"
#include "server/download.h"
#include "server/effects.h"
#include "server/errorstats.h"
#include "server/leases.h"
#include "server/module_waits.h"
#include "server/node.h"
#include "server/pubsub_line.h"
#include "server/read_scripts.h"
#include "server/relay_request.h"
#include "server/script_kill.h"
#include "server/tracking_client.h"
#include "server/worker.h"
#include "tiers/stream.h"
#include "tiers/tiers.h"
#include "tiers/upload.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* One allocation: this, the keys, their bytes. */
struct relay {
    struct tiers_relay tiers;
    struct worker *worker;
    struct answer *answer;
    struct blocking *blocking;       /* NULL: it does not, or no more */
    struct relay_splice *splice;     /* may be NULL */
    bool owes;                       /* a barrier */
    bool kept;                       /* the answer has the reply already */
    bool watched;                    /* it runs a script (busy.h) */
    bool uploads;                    /* its connection is held */
    char error[ERRORSTATS_WORD_MAX]; /* of a reply that is kept: counted when it is told */
    struct barrier_place place;
    struct waits_place waits;    /* of a module's command on a shared link */
    struct tiers_upload *upload; /* its line; NULL: it has none */
    size_t size;                 /* of all of it, keys and bytes */
    struct l1_key keys[];
};

/* NULL is fine. */
static void relay_free(struct relay *relay)
{
    if (relay != NULL) {
        spares_give(&relay->worker->spares, relay, relay->size);
    }
}

static bool is_error(struct slice reply)
{
    return reply.size > 0 && reply.data[0] == REPLY_ERROR;
}

/* And not RESP2's nil, "*-1". */
static bool is_array(struct slice reply)
{
    return reply.size > 1 && reply.data[0] == REPLY_ARRAY && reply.data[1] != '-';
}

void relay_refuse(struct reply *reply, struct worker *worker, enum status status)
{
    if (status == L2_DOWN) {
        reply_errorf(reply, "L2DOWN L2 cannot be asked: %s", tiers_why_down(worker->window));
    } else if (status == BUSY) {
        reply_error(reply, "BUSY too many requests wait for L2");
    } else if (status == STALE) {
        reply_error(reply, "STALE L2 has answered, but it is not known whether every node is rid "
                           "of what is older (mode strict)");
    } else {
        reply_out_of_memory(reply);
    }
}

void relay_refuse_read(struct reply *reply, struct worker *worker, enum status status,
                       struct slice error)
{
    if (status == L2_ERROR) {
        reply_errorf(reply, "%.*s", (int)error.size, error.size == 0 ? "" : error.data);
    } else {
        relay_refuse(reply, worker, status);
    }
}

static void relay_say_unknown(struct reply *reply, struct worker *worker, bool confirmed)
{
    if (confirmed) {
        reply_error(reply, "UNKNOWN the write may or may not have run; it cannot run any more");
    } else {
        reply_errorf(reply, "UNKNOWN the write may or may not have run, and may still run: %s",
                     tiers_why_down(worker->window));
    }
}

/* --- the way up ------------------------------------------------------------------------------------------------------- */

/* The kind of an error, or as much of it as is counted. */
static void relay_error_kind(struct slice reply, char kind[ERRORSTATS_WORD_MAX])
{
    const size_t most = ERRORSTATS_WORD_MAX - 1;
    const size_t size = reply.size - 1 < most ? reply.size - 1 : most;
    memcpy(kind, reply.data + 1, size);
    kind[size] = '\0';
    kind[strcspn(kind, "\r\n")] = '\0';
}

void relay_refuse_write(struct reply *reply, struct worker *worker, enum status status,
                        bool confirmed, bool failed)
{
    if (status == UNKNOWN) {
        relay_say_unknown(reply, worker, confirmed);
    } else if (status == STALE && failed) {
        reply_error(reply, "STALE L2 has answered the write with an error, but it is not known "
                           "whether every node is rid of what is older (mode strict)");
    } else if (status == STALE) {
        reply_error(reply, "STALE the write was done, but it is not known whether every node has "
                           "applied it (mode strict)");
    } else {
        relay_refuse(reply, worker, status);
    }
}

/* Strict: what L2 answered may not be told, but what came of a write is. */
static void relay_say_stale(struct answer *answer, const struct tiers_relay *tiers, bool failed)
{
    if (tiers->writes) {
        relay_refuse_write(&answer->reply, answer->worker, STALE, true, failed);
    } else {
        relay_refuse(&answer->reply, answer->worker, STALE);
    }
}

/* The elements of a block's own array. */
static struct slice relay_elements(const struct tiers_relay *tiers, struct slice bytes,
                                   int64_t *ret_count)
{
    struct reply_cursor cursor = {bytes};
    struct reply_element element;
    CHECK(reply_next(&cursor, &element) == OK && element.type == REPLY_ARRAY);
    *ret_count = element.number - tiers->frames;
    for (unsigned i = 0; i < tiers->frames; i++) {
        CHECK(reply_skip(&cursor) == OK);
    }
    return cursor.rest;
}

/* `tiers` may be NULL. */
static void relay_put(struct answer *answer, const struct tiers_relay *tiers, struct slice bytes)
{
    answer->reply.failed = answer->reply.failed || is_error(bytes);
    if (answer->conn == NULL) {
        return;
    }
    if (tiers != NULL && tiers->frames > 0 && is_array(bytes)) {
        int64_t count = 0;
        const struct slice elements = relay_elements(tiers, bytes, &count);
        reply_array(&answer->reply, (size_t)count);
        reply_raw(&answer->reply, elements);
    } else {
        reply_raw(&answer->reply, bytes);
    }
}

void relay_answer(struct answer *answer, const struct tiers_relay *tiers, enum status status,
                  struct slice bytes)
{
    if (status == STALE) {
        relay_say_stale(answer, tiers, is_error(bytes));
        return;
    }
    if (status == UNKNOWN) {
        relay_say_unknown(&answer->reply, answer->worker, tiers == NULL || tiers->confirmed);
        return;
    }
    if (status != OK) {
        relay_refuse(&answer->reply, answer->worker, status);
        return;
    }
    if (is_error(bytes)) {
        char kind[ERRORSTATS_WORD_MAX];
        relay_error_kind(bytes, kind);
        errorstats_count(answer->worker->node->errorstats, kind);
    }
    relay_put(answer, tiers, bytes);
}

/* L2 has answered, or is lost. */
static void relay_end_upload(struct relay *relay, bool has_run)
{
    if (relay->upload != NULL && has_run) {
        metrics_count(relay->answer->worker->metrics, M_LARGE_WRITES);
        stream_note_large(relay->tiers.window, &relay->tiers.keys[0]);
    }
    tiers_upload_end(relay->upload);
    relay->upload = NULL;
}

/* Strict: it waits in the answer, where it is counted, and dropped when its client goes. */
static void relay_on_kept(struct tiers_relay *tiers, struct slice bytes)
{
    struct relay *relay = (struct relay *)(void *)tiers;
    relay->kept = true;
    waits_end(&relay->waits);
    relay_end_upload(relay, !is_error(bytes));
    if (is_error(bytes)) {
        relay_error_kind(bytes, relay->error);
    }
    relay_put(relay->answer, tiers, bytes);
    answer_arrive(relay->answer);
}

static void relay_take_back(struct answer *answer, const struct tiers_relay *tiers)
{
    out_done(&answer->reply.out);
    relay_say_stale(answer, tiers, answer->reply.failed);
}

static void relay_end(struct relay *relay)
{
    struct answer *answer = relay->answer;
    struct relay_splice *splice = relay->splice;
    if (relay->uploads && answer->conn != NULL) {
        conn_unhold(answer->conn, HOLD_UPLOAD);
    }
    relay_free(relay);
    if (splice != NULL) {
        splice->on_done(splice);
    } else {
        answer_land(answer);
    }
}

/* After FLUSHALL an epoch begins, for the nodes' own keys are gone, too. Until it has begun L1 serves nothing, and what clients
 * keep is in doubt; so the answer waits for it, unless that takes long: then the bus has other troubles. */
enum {
    EPOCH_WAIT_MS = 500
};

struct new_epoch {
    struct bus_wait wait; /* first: an errand is cast back */
    struct relay *relay;
};

static void relay_on_epoch(struct errand *errand)
{
    struct new_epoch *epoch = (struct new_epoch *)(void *)errand;
    struct relay *relay = epoch->relay;
    free(epoch);
    relay_end(relay);
}

static bool relay_waits_for_epoch(struct relay *relay)
{
    struct worker *worker = relay->answer->worker;
    struct new_epoch *epoch =
        relay->tiers.ends_dbs == DATABASES_ALL ? calloc(1, sizeof(*epoch)) : NULL;
    if (epoch == NULL) {
        return false;
    }
    epoch->relay = relay;
    epoch->wait.errand.done = relay_on_epoch;
    epoch->wait.waiter.kind = WAITER_MARKER;
    epoch->wait.waiter.deadline_ms = worker->now_ms + EPOCH_WAIT_MS;
    if (bus_wait_send(&epoch->wait, worker) != OK) {
        free(epoch);
        return false;
    }
    return true;
}

static void relay_on_reply(struct tiers_relay *tiers, enum status status, struct slice bytes)
{
    struct relay *relay = (struct relay *)(void *)tiers;
    struct answer *answer = relay->answer;
    if (relay->watched) {
        busy_script_ends(answer->worker);
    }
    waits_end(&relay->waits);
    relay_end_upload(relay, status == OK && !relay->kept && !is_error(bytes));
    if (status == TOO_BIG) {
        download_begin(answer, &tiers->keys[0], NULL);
        relay_free(relay);
        return;
    }
    if (relay->blocking != NULL) {
        blocking_end(relay->blocking, bytes);
    }
    if (relay->splice != NULL && status == OK && is_array(bytes)) {
        int64_t count = 0;
        relay->splice->on_array(relay->splice, relay_elements(tiers, bytes, &count));
    } else if (!relay->kept) {
        relay_answer(answer, tiers, status, bytes);
        if (tiers->writes && status == OK) {
            tracking_on_write(answer->worker->node, answer->conn, tiers, bytes);
        }
    } else if (status != OK) {
        relay_take_back(answer, tiers);
    } else if (relay->error[0] != '\0') {
        errorstats_count(answer->worker->node->errorstats, relay->error);
    }
    if (relay->owes && status != L2_DOWN) {
        if (relay->splice == NULL) {
            answer_arrive(answer);
        }
        barrier_hold(answer->worker, &relay->place, tiers->run);
        return;
    }
    if (status != OK || !relay_waits_for_epoch(relay)) {
        relay_end(relay);
    }
}

static bool relay_takes_large(struct tiers_relay *tiers)
{
    return download_may_begin(((struct relay *)(void *)tiers)->answer);
}

static void relay_on_passed(struct barrier_place *place)
{
    relay_end(LIST_ENTRY(place, struct relay, place));
}

/* --- the way down ----------------------------------------------------------------------------------------------------- */

/* What ends in L1, counted and then written down. */
struct relay_keys {
    size_t count;
    size_t size;        /* of their bytes */
    bool left_out;      /* a key too long for L1, whose namespace may be the strictest */
    struct relay *into; /* NULL: while they are counted */
    char *bytes;
};

static void relay_take_key(struct relay_keys *keys, const struct call *call, struct slice key,
                           uint16_t dbs)
{
    if (key.size >= LIMIT_L1_KEY) {
        keys->left_out = true;
        return;
    }
    for (unsigned left = dbs; left != 0; left &= left - 1) {
        const uint8_t db = (uint8_t)__builtin_ctz(left);
        if (keys->into != NULL) {
            const struct slice own = {keys->bytes + keys->size, key.size};
            if (key.size > 0) {
                memcpy(keys->bytes + keys->size, key.data, key.size);
            }
            keys->into->keys[keys->count] = namespaces_key(call->node->namespaces, db, own).at;
        }
        keys->count++;
        keys->size += key.size;
    }
}

static void relay_take_keys(struct relay_keys *keys, const struct call *calls, size_t count,
                            uint8_t db)
{
    uint16_t dbs = effects_db_bit(db);
    for (size_t i = 0; i < count; i++) {
        const struct call *call = &calls[i];
        const struct key_range range = effects_key_range(call);
        const uint16_t all = (uint16_t)(dbs | effects_other_db(call));
        for (uint32_t arg = range.first; arg <= range.last; arg += range.step) {
            relay_take_key(keys, call, call->argv[arg], all);
        }
        dbs = effects_dbs_after(call, dbs);
    }
}

/* What one call adds to what is known of the whole. */
static void relay_note(struct relay *relay, const struct call *call, uint16_t dbs)
{
    struct tiers_relay *tiers = &relay->tiers;
    tiers->ends_dbs |= effects_ended_dbs(call, dbs);
    tiers->writes = tiers->writes || effects_write(call->command);
    tiers->keyless = tiers->keyless && (call->command->flags & COMMAND_PUBSUB) != 0;
    relay->owes = relay->owes || effects_owe(call);
    read_scripts_note(call);
    tiers->runs_code = tiers->runs_code || effects_is_script(call->command) ||
                       (call->command->flags & COMMAND_MODULE) != 0;
    tiers->strays = tiers->strays || effects_stray(call->command);
    /* A hash may have a million fields, and come or go in one request. */
    tiers->patient = tiers->patient || call->command->run == NULL ||
                     call->command->first_key == 0 || strcmp(call->command->group, "hash") == 0;
}

/* `carrier` says over what L2 is asked, and is answered: the call itself, or EXEC. */
static struct relay *relay_new(const struct call *carrier, const struct call *calls, size_t count)
{
    struct relay_keys keys = {0};
    relay_take_keys(&keys, calls, count, carrier->db);
    const size_t size = sizeof(struct relay) + keys.count * sizeof(struct l1_key) + keys.size;
    struct relay *relay = spares_take(&carrier->worker->spares, size);
    if (relay == NULL) {
        return NULL;
    }
    *relay = (struct relay){.tiers = {.on_kept = relay_on_kept,
                                      .on_reply = relay_on_reply,
                                      .keys = relay->keys,
                                      .key_count = keys.count,
                                      .keyless = true,
                                      .line = carrier->line,
                                      .blocks = carrier->blocking != NULL,
                                      .of_hash = (carrier->command->flags & COMMAND_OF_HASH) != 0,
                                      .patient = keys.count > 1,
                                      .db = carrier->db},
                            .worker = carrier->worker,
                            .blocking = carrier->blocking,
                            .size = size,
                            .place = {.on_passed = relay_on_passed}};
    list_init(&relay->waits.link);
    uint16_t dbs = effects_db_bit(carrier->db);
    for (size_t i = 0; i < count; i++) {
        relay_note(relay, &calls[i], dbs);
        dbs = effects_dbs_after(&calls[i], dbs);
    }
    relay->tiers.keys_unknown = relay->owes || keys.left_out;
    keys = (struct relay_keys){.into = relay, .bytes = (char *)&relay->keys[keys.count]};
    relay_take_keys(&keys, calls, count, carrier->db);
    return relay;
}

/* Sends it. NULL: why not is answered, and the relay is gone. */
static struct answer *relay_send(struct call *call, struct relay *relay, struct slice bytes)
{
    if (relay->tiers.ends_dbs != 0) {
        leases_end_plain(call->conn); /* what it writes behind this ends no load */
    }
    const enum status status =
        tiers_relay(call->worker->window, &relay->tiers, call->conn->session.proto, bytes);
    if (status != OK) {
        relay_refuse(call->reply, call->worker, status);
        relay_free(relay);
        return NULL;
    }
    if (relay->tiers.writes) {
        tracking_on_send(call->node, &relay->tiers);
    }
    /* Behind a read that owes, too, no read may hit L1; nor behind several calls, whose keys nobody notes (asked.h). */
    const bool writes = relay->tiers.writes && !relay->tiers.keyless;
    const bool holds_back = writes || relay->owes || relay->tiers.is_block;
    relay->answer = call_defer(call, holds_back ? WAIT_WRITE : WAIT_READ);
    relay->watched = relay->tiers.runs_code && call->blocking == NULL;
    if (relay->watched) {
        busy_script_begins(call->worker);
    }
    if ((call->command->flags & COMMAND_MODULE) != 0 && call->line == NULL) {
        relay->waits.relay = &relay->tiers;
        relay->waits.name = call->command->name;
        waits_begin(call->worker, &relay->waits, call->conn->session.proto);
    }
    return relay->answer;
}

void relay_call(struct call *call)
{
    if (is_script_kill(call)) {
        script_kill(call);
        return;
    }
    if (pubsub_line_takes(call->conn, call->command)) {
        pubsub_line_relay(call);
        return;
    }
    if (download_holds(call)) {
        return;
    }
    struct relay_request request;
    const enum status status = relay_request_make(call, &request);
    struct relay *relay = status == OK ? relay_new(call, call, 1) : NULL;
    if (relay == NULL) {
        reply_out_of_memory(call->reply);
    } else {
        const bool may_be_large = call->command->run == cmd_get && call->line == NULL &&
                                  relay->tiers.key_count == 1 && download_speaks(call->conn);
        relay->tiers.takes_large = may_be_large ? relay_takes_large : NULL;
        relay->tiers.parts = call->blocking != NULL && blocking_is_wait(call->command);
        relay->tiers.more[0] = request.more[0];
        relay->tiers.more[1] = request.more[1];
        (void)relay_send(call, relay, request.bytes);
    }
    relay_request_done(&request);
}

void relay_upload(struct call *call, struct tiers_upload *upload, struct slice rest)
{
    struct line *line = NULL;
    const enum status status = tiers_upload_line(upload, &line);
    struct relay *relay = status == OK ? relay_new(call, call, 1) : NULL;
    if (relay == NULL) {
        relay_refuse(call->reply, call->worker, status == OK ? NO_MEMORY : status);
        tiers_upload_end(upload);
        return;
    }
    relay->tiers.line = line;
    relay->tiers.patient = true;
    relay->upload = upload;
    relay->uploads = true;
    if (relay_send(call, relay, rest) == NULL) {
        tiers_upload_end(upload);
    } else {
        conn_hold(call->conn, HOLD_UPLOAD);
    }
}

struct answer *relay_calls(struct call *exec, const struct call *calls, size_t count,
                           struct relay_splice *splice)
{
    struct relay_request request;
    unsigned more = 0;
    struct answer *answer = NULL;
    const enum status status = relay_request_make_block(exec, calls, count, &request, &more);
    struct relay *relay = status == OK ? relay_new(exec, calls, count) : NULL;
    if (relay == NULL) {
        reply_out_of_memory(exec->reply);
    } else {
        CHECK(more == 0 || splice != NULL);
        relay->splice = splice;
        relay->tiers.is_block = true;
        relay->tiers.commands = (unsigned)count + more;
        relay->tiers.on_kept = splice != NULL ? NULL : relay_on_kept;
        answer = relay_send(exec, relay, request.bytes);
    }
    relay_request_done(&request);
    return answer;
}

void relay_deferred(struct answer *answer, uint8_t db, struct slice *argv, uint32_t argc)
{
    struct worker *worker = answer->worker;
    const struct call call = {.node = worker->node,
                              .worker = worker,
                              .conn = answer->conn,
                              .command = answer->command,
                              .argv = argv,
                              .argc = argc,
                              .db = db,
                              .now_ms = worker->now_ms};
    struct buf made = {0};
    enum status status = resp_append_request(&made, argc, argv);
    struct relay *relay = status == OK ? relay_new(&call, &call, 1) : NULL;
    if (relay == NULL) {
        status = NO_MEMORY;
    } else {
        relay->answer = answer;
        status = tiers_relay(worker->window, &relay->tiers, answer->reply.proto, buf_slice(&made));
    }
    buf_done(&made);
    if (status != OK) {
        relay_free(relay);
        relay_refuse(&answer->reply, answer->worker, status);
        answer_land(answer);
    }
}
