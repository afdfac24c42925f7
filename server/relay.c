/* SPDX-License-Identifier: BSD-3-Clause */
#include "server/relay.h"

#include "protocol/resp_write.h"
#include "server/barrier.h"
#include "server/blocking.h"
#include "server/commands.h"
#include "server/conn.h"
#include "server/errorstats.h"
#include "server/node.h"
#include "server/pubsub.h"
#include "server/script_kill.h"
#include "server/worker.h"
#include "tiers/bus_reply.h"
#include "tiers/tiers.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* One allocation: this, the keys, their bytes. */
struct relay {
    struct tiers_relay tiers;
    struct answer *answer;
    struct blocking *blocking;       /* NULL: it does not, or no more */
    bool owes;                       /* a barrier */
    bool kept;                       /* the answer has the reply already */
    char error[ERRORSTATS_WORD_MAX]; /* of a reply that is kept: counted when it is told */
    struct barrier_place place;
    struct l1_key keys[];
};

static bool is_error(struct slice reply)
{
    return reply.size > 0 && reply.data[0] == REPLY_ERROR;
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

/* Strict: what L2 answered may not be told, but what came of a write is. */
static void relay_say_stale(struct answer *answer, const struct tiers_relay *tiers, bool failed)
{
    if (!tiers->writes) {
        relay_refuse(&answer->reply, answer->worker, STALE);
    } else if (failed) {
        reply_error(&answer->reply,
                    "STALE L2 has answered the write with an error, but it is not known whether "
                    "every node is rid of what is older (mode strict)");
    } else {
        reply_error(&answer->reply, "STALE the write was done, but it is not known whether every "
                                    "node has applied it (mode strict)");
    }
}

static void relay_put(struct answer *answer, struct slice bytes)
{
    answer->reply.failed = answer->reply.failed || is_error(bytes);
    if (answer->conn != NULL) {
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
    relay_put(answer, bytes);
}

/* Strict: it waits in the answer, where it is counted, and dropped when its client goes. */
static void relay_on_kept(struct tiers_relay *tiers, struct slice bytes)
{
    struct relay *relay = (struct relay *)(void *)tiers;
    relay->kept = true;
    if (is_error(bytes)) {
        relay_error_kind(bytes, relay->error);
    }
    relay_put(relay->answer, bytes);
    answer_arrive(relay->answer);
}

static void relay_take_back(struct answer *answer, const struct tiers_relay *tiers)
{
    out_done(&answer->reply.out);
    relay_say_stale(answer, tiers, answer->reply.failed);
}

static void relay_on_reply(struct tiers_relay *tiers, enum status status, struct slice bytes)
{
    struct relay *relay = (struct relay *)(void *)tiers;
    struct answer *answer = relay->answer;
    if (relay->blocking != NULL) {
        blocking_end(relay->blocking);
    }
    if (!relay->kept) {
        relay_answer(answer, tiers, status, bytes);
    } else if (status != OK) {
        relay_take_back(answer, tiers);
    } else if (relay->error[0] != '\0') {
        errorstats_count(answer->worker->node->errorstats, relay->error);
    }
    if (relay->owes && status != L2_DOWN) {
        answer_arrive(answer);
        barrier_hold(answer->worker, &relay->place, tiers->run);
        return;
    }
    free(relay);
    answer_land(answer);
}

static void relay_on_passed(struct barrier_place *place)
{
    struct relay *relay = LIST_ENTRY(place, struct relay, place);
    struct answer *answer = relay->answer;
    free(relay);
    answer_land(answer);
}

/* --- the nodes' own keys are nobody's business -------------------------------------------------------------------------- */

/* Redis runs these in the database the link selected; a script answers as the command would, without terrace:* keys, or
 * without the channels of the nodes, which are those of the whole server. */
static const struct {
    const char *name; /* in full */
    const char *script;
    bool in_all_dbs;
} hiding[] = {
    {"dbsize",
     "return redis.call('DBSIZE')-redis.call('EXISTS','terrace:meta','terrace:seq','terrace:nodes')",
     false},
    {"keys",
     "local r={} for _,k in ipairs(redis.call('KEYS',ARGV[1])) do "
     "if string.sub(k,1,8)~='terrace:' then r[#r+1]=k end end return r",
     false},
    {"scan",
     "local s=redis.pcall('SCAN',unpack(ARGV)) if s.err then return s end local r={} "
     "for _,k in ipairs(s[2]) do if string.sub(k,1,8)~='terrace:' then r[#r+1]=k end end return {s[1],r}",
     false},
    {"randomkey",
     "for _=1,100 do local k=redis.call('RANDOMKEY') if not k or string.sub(k,1,8)~='terrace:' then "
     "return k end end return false",
     false},
    {"pubsub|channels",
     "local r={} for _,c in ipairs(redis.call('PUBSUB','CHANNELS',unpack(ARGV))) do "
     "if string.sub(c,1,8)~='terrace:' and c~='" BUS_CHANNEL_KEYS
     "' then r[#r+1]=c end end return r",
     true},
    {"pubsub|numsub",
     "local r={} for _,c in ipairs(ARGV) do local n=0 "
     "if string.sub(c,1,8)~='terrace:' and c~='" BUS_CHANNEL_KEYS "' then "
     "n=redis.call('PUBSUB','NUMSUB',c)[2] end r[#r+1]=c r[#r+1]=n end return r",
     true},
};

static const char *hiding_script(const struct call *call)
{
    const bool is_ours = call->db == tiers_coherence_db(call->node->tiers);
    if ((!is_ours && (call->command->flags & COMMAND_PUBSUB) == 0) || call->command->run == NULL ||
        (call->command->run == cmd_pubsub_numsub && !pubsub_names_hidden(call, 2))) {
        return NULL;
    }
    for (size_t i = 0; i < sizeof(hiding) / sizeof(hiding[0]); i++) {
        if ((is_ours || hiding[i].in_all_dbs) &&
            strcmp(call->command->full_name, hiding[i].name) == 0) {
            return hiding[i].script;
        }
    }
    return NULL;
}

static enum status hiding_request(const struct call *call, const char *script, struct buf *out)
{
    const uint32_t first = strchr(call->command->full_name, '|') == NULL ? 1 : 2;
    struct slice *words = malloc((call->argc + 3) * sizeof(*words));
    if (words == NULL) {
        return NO_MEMORY;
    }
    words[0] = SLICE_LITERAL("EVAL");
    words[1] = slice_of(script);
    words[2] = SLICE_LITERAL("0");
    size_t count = 3;
    for (uint32_t i = first; i < call->argc; i++) {
        words[count++] = call->argv[i];
    }
    const enum status status = resp_append_request(out, count, words);
    free(words);
    return status;
}

/* --- the way down ----------------------------------------------------------------------------------------------------- */

/* Of Pub/Sub, only a message that was sent cannot be sent again without harm. */
static bool relay_writes(const struct command *command)
{
    if ((command->flags & COMMAND_PUBSUB) != 0) {
        return command->run == cmd_publish || command->run == cmd_spublish;
    }
    return (command->flags & COMMAND_READONLY) == 0 && !blocking_is_wait(command);
}

/* EVAL script n key ... and its kin, which L2's table says have movable keys. */
static bool is_script(const struct command *command)
{
    static const char *const names[] = {"eval",       "evalsha", "eval_ro",
                                        "evalsha_ro", "fcall",   "fcall_ro"};
    const bool may_be = command->run == NULL && (command->flags & COMMAND_MOVABLE_KEYS) != 0;
    for (size_t i = 0; may_be && i < sizeof(names) / sizeof(names[0]); i++) {
        if (strcmp(command->name, names[i]) == 0) {
            return true;
        }
    }
    return false;
}

static struct key_range script_key_range(const struct call *call)
{
    int64_t count = 0;
    struct key_range range = {.first = 3, .last = 2, .step = 1};
    if (call->argc > 3 && slice_to_i64(call->argv[2], &count) == OK && count > 0 &&
        count <= (int64_t)call->argc - 3) {
        range.last += (uint32_t)count;
    }
    return range;
}

/* SORT and SORT_RO with BY or GET show values of keys that only their patterns name. */
static bool sorts_by_others(const struct call *call)
{
    if (strcmp(call->command->name, "sort") != 0 && strcmp(call->command->name, "sort_ro") != 0) {
        return false;
    }
    for (uint32_t i = 2; i < call->argc; i++) {
        if (slice_is_nocase(call->argv[i], "by") || slice_is_nocase(call->argv[i], "get")) {
            return true;
        }
    }
    return false;
}

/* Which arguments end in L1: those of a read too, since it may have shown its client something newer than L1 holds, and
 * a session must not go back (COHERENCE T3: any landing for a key). */
static struct key_range relay_key_range(const struct call *call)
{
    const struct key_range none = {.first = 1, .last = 0, .step = 1};
    struct key_range range;
    if (is_script(call->command)) {
        return script_key_range(call);
    }
    if ((call->command->flags & COMMAND_PUBSUB) != 0) {
        return none; /* a shard channel stands where keys do, and is none */
    }
    return call_key_range(call, &range) ? range : none;
}

static uint16_t db_bit(int64_t db)
{
    return (uint16_t)(db >= 0 && db < (int64_t)LIMIT_DATABASES ? 1u << db : 0);
}

/* The databases that SWAPDB exchanges; 0: Redis will refuse it, or it is of none that a client can reach. */
static uint16_t swapped_dbs(const struct call *call)
{
    int64_t a = -1;
    int64_t b = -1;
    if (call->argc != 3 || slice_to_i64(call->argv[1], &a) != OK ||
        slice_to_i64(call->argv[2], &b) != OK) {
        return 0;
    }
    return (uint16_t)(db_bit(a) | db_bit(b));
}

/* The databases that end whole. */
static uint16_t relay_ends(const struct call *call)
{
    if (call->command->run == cmd_flushdb) {
        return db_bit(call->db);
    }
    if (call->command->run == cmd_swapdb) {
        return swapped_dbs(call);
    }
    return call->command->run == cmd_flushall ? DATABASES_ALL : 0;
}

/* It may have written, or shown, keys that are not among its arguments. */
static bool relay_owes(const struct call *call)
{
    const struct command *command = call->command;
    if (relay_ends(call) != 0 || blocking_is_wait(command) ||
        (command->flags & COMMAND_PUBSUB) != 0) {
        return false;
    }
    if ((command->flags & COMMAND_MOVABLE_KEYS) == 0) {
        return command->first_key == 0;
    }
    return (command->flags & COMMAND_MODULE) != 0 || is_script(command) || sorts_by_others(call);
}

static void relay_add_key(struct relay *relay, const struct namespaces *namespaces, uint8_t db,
                          struct slice key, char **bytes)
{
    if (key.size > 0) {
        memcpy(*bytes, key.data, key.size);
    }
    relay->keys[relay->tiers.key_count++] =
        namespaces_key(namespaces, db, (struct slice){*bytes, key.size}).at;
    *bytes += key.size;
}

/* COPY ... DB n and MOVE key n write into another database: the key ends there too. -1: no other. */
static int relay_other_db(const struct call *call)
{
    int64_t db = -1;
    if (call->command->run == cmd_move && call->argc == 3 &&
        slice_to_i64(call->argv[2], &db) != OK) {
        return -1;
    }
    for (uint32_t i = 3; call->command->run == cmd_copy && i + 1 < call->argc; i++) {
        if (slice_is_nocase(call->argv[i], "db") && slice_to_i64(call->argv[i + 1], &db) != OK) {
            return -1;
        }
    }
    return db >= 0 && db < (int64_t)LIMIT_DATABASES && db != call->db ? (int)db : -1;
}

/* It may change keys that are not among its arguments as the table names them. */
static bool relay_strays(const struct command *command)
{
    return relay_writes(command) &&
           ((command->flags & COMMAND_MOVABLE_KEYS) != 0 ||
            (command->first_key == 0 && (command->flags & COMMAND_WRITE) != 0));
}

static struct relay *relay_new(const struct call *call)
{
    struct key_range range = relay_key_range(call);
    int other_db = relay_other_db(call);
    size_t copies = other_db >= 0 ? 2 : 1;
    size_t count = 0;
    size_t size = 0;
    bool left_out = false; /* a key too long for L1, whose namespace may be the strictest */
    for (uint32_t i = range.first; i <= range.last; i += range.step) {
        if (call->argv[i].size < LIMIT_L1_KEY) {
            count += copies;
            size += call->argv[i].size * copies;
        } else {
            left_out = true;
        }
    }
    struct relay *relay = malloc(sizeof(*relay) + count * sizeof(relay->keys[0]) + size);
    if (relay == NULL) {
        return NULL;
    }
    *relay = (struct relay){.tiers = {.on_kept = relay_on_kept,
                                      .on_reply = relay_on_reply,
                                      .keys = relay->keys,
                                      .ends_dbs = relay_ends(call),
                                      .line = call->line,
                                      .parts = blocking_is_wait(call->command),
                                      .blocks = call->blocking != NULL,
                                      .writes = relay_writes(call->command),
                                      .keys_unknown = relay_owes(call) || left_out,
                                      .runs_code = is_script(call->command) ||
                                                   (call->command->flags & COMMAND_MODULE) != 0,
                                      .strays = relay_strays(call->command),
                                      .patient = count > 1 || call->command->run == NULL ||
                                                 call->command->first_key == 0,
                                      .db = call->db},
                            .blocking = call->blocking,
                            .owes = relay_owes(call),
                            .place = {.on_passed = relay_on_passed}};
    char *bytes = (char *)&relay->keys[count];
    for (uint32_t i = range.first; i <= range.last; i += range.step) {
        if (call->argv[i].size < LIMIT_L1_KEY) {
            relay_add_key(relay, call->node->namespaces, call->db, call->argv[i], &bytes);
            if (other_db >= 0) {
                relay_add_key(relay, call->node->namespaces, (uint8_t)other_db, call->argv[i],
                              &bytes);
            }
        }
    }
    return relay;
}

/* WAIT, as it must be said on a line (blocking.h). */
static enum status wait_request(const struct call *call, struct buf *out)
{
    const struct slice ping[] = {SLICE_LITERAL("PING")};
    const enum status status = resp_append_request(out, 1, ping);
    return status != OK ? status : resp_append_request(out, call->argc, call->argv);
}

/* What L2 is sent: the client's own bytes, or others, which are made. */
static enum status relay_request(const struct call *call, struct buf *made, struct slice *ret_bytes)
{
    enum status status = OK;
    const char *script = hiding_script(call);
    const uint16_t swapped = call->command->run == cmd_swapdb ? swapped_dbs(call) : 0;
    if (swapped != 0) {
        const struct frame_flush flush = {.kind = FRAME_FLUSH_DROP, .dbs = swapped};
        status = tiers_write_announced(call->worker->window, &flush, call->argv, call->argc, made);
    } else if (script != NULL) {
        status = hiding_request(call, script, made);
    } else if (blocking_is_wait(call->command)) {
        status = wait_request(call, made);
    } else if (call->raw.size == 0) { /* it came inline */
        status = resp_append_request(made, call->argc, call->argv);
    }
    *ret_bytes = made->size > 0 ? buf_slice(made) : call->raw;
    return status;
}

void relay_call(struct call *call)
{
    if (is_script_kill(call)) {
        script_kill(call);
        return;
    }
    if (call->command->run == cmd_publish && pubsub_names_hidden(call, 1)) {
        reply_error(call->reply, pubsub_no_permission);
        return;
    }
    struct buf made = {0};
    struct slice bytes;
    enum status status = relay_request(call, &made, &bytes);
    struct relay *relay = status == OK ? relay_new(call) : NULL;
    if (relay == NULL) {
        buf_done(&made);
        reply_out_of_memory(call->reply);
        return;
    }
    status = tiers_relay(call->worker->window, &relay->tiers, call->conn->session.proto, bytes);
    buf_done(&made);
    if (status != OK) {
        relay_refuse(call->reply, call->worker, status);
        free(relay);
        return;
    }
    /* Behind a read that owes, too, no read may hit L1. */
    const bool holds_back = relay_writes(call->command) || relay->owes;
    relay->answer = call_defer(call, holds_back ? WAIT_WRITE : WAIT_READ);
}
