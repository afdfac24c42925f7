/* SPDX-License-Identifier: BSD-3-Clause */
#include "protocol/check.h"
#include "protocol/frame.h"
#include "tests/sim/node.h"
#include "tests/sim/oracle.h"
#include "tests/sim/redis_inner.h"
#include "tiers/beat.h"

#include <inttypes.h>
#include <string.h>

struct request {
    struct redis *redis;
    struct conn *conn;
    uint32_t argc;
    struct slice argv[16];
};

static void say(const struct request *request, const char *text)
{
    CHECK(buf_append(&request->conn->out, text, strlen(text)) == OK);
}

static void say_integer(const struct request *request, int64_t number)
{
    char text[I64_DIGITS_MAX + 3] = ":";
    const size_t size = i64_format(text + 1, number);
    memcpy(text + 1 + size, "\r\n", 2);
    CHECK(buf_append(&request->conn->out, text, size + 3) == OK);
}

static int64_t number_of(const struct request *request, uint32_t i)
{
    int64_t number = 0;
    CHECK(slice_to_i64(request->argv[i], &number) == OK);
    return number;
}

static const char *refusal_text(const struct redis *redis)
{
    switch (redis->is_master ? redis->refusal : REDIS_READONLY) {
    case REDIS_WRITES: break;
    case REDIS_READONLY: return "-READONLY You can't write against a read only replica.\r\n";
    case REDIS_NOREPLICAS: return "-NOREPLICAS Not enough good replicas to write.\r\n";
    case REDIS_OOM: return "-OOM command not allowed when used memory > 'maxmemory'.\r\n";
    }
    return NULL;
}

/* --- what clients ask ---------------------------------------------------------------------------------------------- */

static int slot_of(const struct request *request, uint32_t i)
{
    const int slot = redis_slot(request->conn->db, request->argv[i]);
    CHECK(slot >= 0); /* nobody asks for others */
    return slot;
}

static void run_get(const struct request *request)
{
    const struct redis_value value = redis_look(request->redis, (unsigned)slot_of(request, 1));
    if (value.write == 0) {
        say(request, request->conn->resp3 ? "_\r\n" : "$-1\r\n");
        return;
    }
    char text[I64_DIGITS_MAX + 1] = "v";
    const size_t size = 1 + i64_format(text + 1, (int64_t)value.write);
    CHECK(buf_printf(&request->conn->out, "$%zu\r\n%.*s\r\n", size, (int)size, text) == OK);
}

static void run_pttl(const struct request *request)
{
    const struct redis_value value = redis_look(request->redis, (unsigned)slot_of(request, 1));
    if (value.write == 0) {
        say_integer(request, -2);
    } else if (value.expire_us == 0) {
        say_integer(request, -1);
    } else {
        say_integer(request, (value.expire_us - request->redis->world->now_us) / SIM_MS);
    }
}

/* "v17" or "op17". */
static uint64_t write_of(struct slice text, size_t letters)
{
    uint64_t write = 0;
    CHECK(text.size > letters);
    CHECK(slice_to_u64((struct slice){text.data + letters, text.size - letters}, &write) == OK);
    return write;
}

static void run_set(const struct request *request)
{
    const char *refusal = refusal_text(request->redis);
    if (refusal != NULL) {
        say(request, refusal);
        return;
    }
    struct redis_value value = {.write = write_of(request->argv[2], 1)};
    if (request->argc == 5) {
        value.expire_us = request->redis->world->now_us + number_of(request, 4) * SIM_MS;
    }
    redis_change(request->redis, (unsigned)slot_of(request, 1), value.write, value, SIM_NEVER);
    say(request, "+OK\r\n");
}

/* Memory that is full does not hinder DEL. */
static const char *refusal_of_del(const struct redis *redis)
{
    const bool full = redis->refusal == REDIS_OOM && redis->is_master;
    return full ? NULL : refusal_text(redis);
}

static void run_del(const struct request *request)
{
    const char *refusal = refusal_of_del(request->redis);
    if (refusal != NULL) {
        say(request, refusal);
        return;
    }
    const unsigned slot = (unsigned)slot_of(request, 1);
    const bool stood = redis_look(request->redis, slot).write != 0;
    if (stood) {
        redis_change(request->redis, slot, write_of(request->argv[2], 2), (struct redis_value){0},
                     SIM_NEVER);
    } else if (request->redis ==
               request->redis->world->truth) { /* nobody is told: a version for the oracle */
        oracle_changed(request->redis->world->oracle, slot, write_of(request->argv[2], 2), 0, 0,
                       SIM_NEVER);
    }
    say_integer(request, stood);
}

/* --- what links ask ------------------------------------------------------------------------------------------------- */

static void run_client(const struct request *request)
{
    struct conn *conn = request->conn;
    if (slice_is_nocase(request->argv[1], "ID")) {
        say_integer(request, (int64_t)conn->id);
    } else if (slice_is_nocase(request->argv[1], "TRACKING")) {
        CHECK(request->argc == 6 && (uint64_t)number_of(request, 4) == conn->id);
        conn->tracks = true;
        say(request, "+OK\r\n");
    } else if (slice_is_nocase(request->argv[1], "KILL")) {
        const uint64_t id = (uint64_t)number_of(request, 3);
        int64_t killed = 0;
        for (unsigned i = 0; i < request->redis->client_count; i++) {
            struct conn *victim = request->redis->clients[i];
            if (victim->id == id && victim != conn) {
                redis_forget(request->redis, victim);
                net_hang_up(victim, false);
                killed = 1;
                break;
            }
        }
        TRACE(request->redis->world, "CLIENT KILL ID %" PRIu64 ": %" PRId64, id, killed);
        say_integer(request, killed);
    } else {
        say(request, "-ERR unknown subcommand\r\n");
    }
}

static void run_subscribe(const struct request *request)
{
    request->conn->subscribed = true;
    for (uint32_t i = 1; i < request->argc; i++) {
        CHECK(buf_printf(&request->conn->out, "*3\r\n$9\r\nsubscribe\r\n$%zu\r\n%.*s\r\n:%u\r\n",
                         request->argv[i].size, (int)request->argv[i].size, request->argv[i].data,
                         i) == OK);
    }
}

/* --- the beat: scripts/beat.lua once more ---------------------------------------------------------------------------- */

enum {
    BEAT_DB = 3,
    BEAT_KNOWN,
    BEAT_RANDOM,
    BEAT_NODE,
    BEAT_DEADLINE,
    BEAT_FRAME,
    BEAT_ARGC
};

/* Why a new epoch must begin; NULL: it need not. */
static const char *beat_why(const struct redis *redis, uint64_t known)
{
    const struct redis_data *data = &redis->data;
    if (!data->has_meta) {
        return "terrace:meta is missing";
    }
    if (data->epoch < known) {
        return "a larger epoch was seen";
    }
    if (data->run != redis->run) {
        return "another process has the data";
    }
    if (data->replid != redis->replid && redis->replid2 != 0) {
        return "it was promoted";
    }
    return data->has_seq ? NULL : "terrace:seq is missing";
}

/* Decides the epoch; true: this call began it. */
static bool beat_epoch(const struct request *request)
{
    struct redis *redis = request->redis;
    struct redis_data *data = &redis->data;
    const uint64_t known = (uint64_t)number_of(request, BEAT_KNOWN);
    const uint64_t counter = data->has_meta ? data->epoch : 0;
    const char *why = beat_why(redis, known);
    if (why != NULL) {
        data->epoch = (counter > known ? counter : known) + 1;
        data->random = get_u64le(request->argv[BEAT_RANDOM].data);
        data->has_meta = true;
        data->seq = data->has_seq ? data->seq : 0;
        data->seq = data->seq < data->epoch << 32 ? data->epoch << 32 : data->seq;
        data->has_seq = true;
        TRACE(redis->world, "redis %" PRIu64 ": epoch %" PRIu64 " begins: %s", redis->run,
              data->epoch, why);
    }
    if (why != NULL || data->replid != redis->replid) {
        data->run = redis->run;
        data->replid = redis->replid;
        redis_touch(redis, REDIS_KEY_META);
    }
    return why != NULL;
}

static void beat_reign(const struct request *request)
{
    const struct redis *redis = request->redis;
    CHECK(buf_printf(&request->conn->out, "$40\r\n%040" PRIx64 "\r\n$40\r\n%040" PRIx64 "\r\n",
                     redis->run, redis->replid) == OK);
}

static void beat_answer(const struct request *request, bool began)
{
    const struct redis_data *data = &request->redis->data;
    struct buf *out = &request->conn->out;
    char random[8];
    put_u64le(random, data->random);
    CHECK(buf_printf(out, "*6\r\n:%" PRIu64 "\r\n$8\r\n", data->epoch) == OK);
    CHECK(buf_append(out, random, sizeof random) == OK);
    CHECK(buf_printf(out, "\r\n:%" PRIu64 "\r\n:%d\r\n", data->seq, began ? 1 : 0) == OK);
    beat_reign(request);
}

static void run_check(const struct request *request)
{
    const struct redis_data *data = &request->redis->data;
    const uint64_t known = (uint64_t)number_of(request, BEAT_KNOWN);
    const char *why = beat_why(request->redis, known);
    if (why == NULL && data->epoch != known) {
        why = "the epoch is larger";
    } else if (why == NULL && data->random != get_u64le(request->argv[BEAT_RANDOM].data)) {
        why = "another epoch has the number";
    }
    if (why == NULL) {
        beat_answer(request, false);
    } else {
        CHECK(buf_printf(&request->conn->out, "*6\r\n:0\r\n$%zu\r\n%s\r\n:0\r\n:0\r\n", strlen(why),
                         why) == OK);
        beat_reign(request);
    }
}

/* How many announcements the node's bus has got when all is announced that ran until its beat: the next one says the rest
 * (I6). */
static void note_echo(struct redis *redis, uint64_t node, uint64_t nonce)
{
    for (unsigned i = 0; i < redis->client_count; i++) {
        struct conn *conn = redis->clients[i];
        if (conn->subscribed && node_id(conn->thread->node) == node) {
            const unsigned at = conn->echo_count++ % CONN_ECHOES;
            conn->echoes[at].nonce = nonce;
            conn->echoes[at].announced = conn->announced + 1;
        }
    }
}

static void beat_publish(const struct request *request)
{
    struct redis *redis = request->redis;
    struct slice frame = request->argv[BEAT_FRAME];
    char copy[1024];
    CHECK(frame.size <= sizeof copy && frame.size > FRAME_HEADER_SIZE);
    memcpy(copy, frame.data, frame.size);
    put_u64le(copy + 16, redis->data.epoch);
    put_u64le(copy + 24, redis->data.random);
    put_u64le(copy + 32, redis->data.seq);
    note_echo(redis, get_u64le(copy + 48), get_u64le(copy + 56));
    redis_publish(redis, "terrace:bus", (struct slice){.data = copy, .size = frame.size});
}

static void run_beat(const struct request *request)
{
    struct redis *redis = request->redis;
    CHECK(request->argc == BEAT_ARGC);
    const bool checks = slice_is(request->argv[BEAT_FRAME], "CHECK");
    TRACE(redis->world, "redis %" PRIu64 ": conn %" PRIu64 " (node %u.%u) %s", redis->run,
          request->conn->id, request->conn->thread->node->slot, request->conn->thread->index,
          checks                               ? "checks"
          : request->argv[BEAT_FRAME].size > 0 ? "beats"
                                               : "greets");
    const char *refusal = checks ? refusal_of_del(redis) : refusal_text(redis);
    if (refusal != NULL) {
        say(request, refusal);
        return;
    }
    if (checks) {
        run_check(request);
        return;
    }
    redis_touch(redis, REDIS_KEY_NODES);
    const bool began = beat_epoch(request);
    if (request->argv[BEAT_FRAME].size > 0) {
        redis->data.seq++;
        redis_touch(redis, REDIS_KEY_SEQ);
        beat_publish(request);
    }
    beat_answer(request, began);
}

static void run_eval(const struct request *request)
{
    const struct slice script = request->argv[1];
    CHECK(script.size == strlen(beat_script) && memcmp(script.data, beat_script, 64) == 0);
    run_beat(request);
}

/* --- all of them ------------------------------------------------------------------------------------------------------ */

static void run_select(const struct request *request)
{
    const int64_t db = number_of(request, 1);
    if (db < 0 || db > 15) {
        say(request, "-ERR DB index is out of range\r\n");
        return;
    }
    request->conn->db = (int)db;
    say(request, "+OK\r\n");
}

static void run_hello(const struct request *request)
{
    request->conn->resp3 = true;
    say(request, "%1\r\n$5\r\nproto\r\n:3\r\n");
}

static void run_ping(const struct request *request)
{
    say(request, request->conn->subscribed ? "*2\r\n$4\r\npong\r\n$0\r\n\r\n" : "+PONG\r\n");
}

static const struct {
    const char *name;
    void (*run)(const struct request *request);
} commands[] = {
    {"GET", run_get},       {"PTTL", run_pttl},   {"SET", run_set},
    {"SELECT", run_select}, {"EVAL", run_eval},   {"DEL", run_del},
    {"CLIENT", run_client}, {"HELLO", run_hello}, {"SUBSCRIBE", run_subscribe},
    {"PING", run_ping},
};

void redis_execute(struct redis *redis, struct conn *conn, const struct request_reader *reader,
                   struct slice input)
{
    struct request request = {.redis = redis, .conn = conn, .argc = reader->argc};
    CHECK(request.argc > 0 && request.argc <= sizeof request.argv / sizeof request.argv[0]);
    for (uint32_t i = 0; i < request.argc; i++) {
        request.argv[i] = request_arg(reader, input, i);
    }
    for (size_t i = 0; i < sizeof commands / sizeof commands[0]; i++) {
        if (slice_is_nocase(request.argv[0], commands[i].name)) {
            commands[i].run(&request);
            return;
        }
    }
    say(&request, "-ERR unknown command\r\n");
}
