/* SPDX-License-Identifier: BSD-3-Clause */
#include "protocol/check.h"
#include "tests/sim/node.h"
#include "tests/sim/oracle.h"
#include "tests/sim/redis_inner.h"

#include <inttypes.h>
#include <string.h>

static void say(const struct redis_request *request, const char *text)
{
    CHECK(buf_append(&request->conn->out, text, strlen(text)) == OK);
}

static void say_integer(const struct redis_request *request, int64_t number)
{
    char text[I64_DIGITS_MAX + 3] = ":";
    const size_t size = i64_format(text + 1, number);
    memcpy(text + 1 + size, "\r\n", 2);
    CHECK(buf_append(&request->conn->out, text, size + 3) == OK);
}

static int64_t number_of(const struct redis_request *request, uint32_t i)
{
    int64_t number = 0;
    CHECK(slice_to_i64(request->argv[i], &number) == OK);
    return number;
}

const char *redis_refusal_text(const struct redis *redis)
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

static int slot_of(const struct redis_request *request, uint32_t i)
{
    const int slot = redis_slot(request->conn->db, request->argv[i]);
    CHECK(slot >= 0); /* nobody asks for others */
    return slot;
}

enum {
    LARGE_EVERY = 16 /* writes */
};

/* What a GET of the slot says, but for head and line end. Nothing: there is no such key. */
static struct buf bytes_of(const struct redis_request *request)
{
    struct buf bytes = {0};
    const unsigned slot = (unsigned)slot_of(request, 1);
    const struct redis_value value = redis_look(request->redis, slot);
    if (value.write != 0 && SIM_IS_MANAGED(request->redis->world, slot)) {
        redis_append_envelope(&bytes, value);
    } else if (value.write != 0) {
        CHECK(buf_printf(&bytes, "v%" PRIu64, value.write) == OK);
    }
    return bytes;
}

static void say_bulk(const struct redis_request *request, struct slice bytes)
{
    CHECK(buf_printf(&request->conn->out, "$%zu\r\n", bytes.size) == OK);
    CHECK(buf_append_slice(&request->conn->out, bytes) == OK);
    say(request, "\r\n");
}

static void run_get(const struct redis_request *request)
{
    struct buf bytes = bytes_of(request);
    if (bytes.size == 0) {
        say(request, request->conn->resp3 ? "_\r\n" : "$-1\r\n");
    } else {
        say_bulk(request, buf_slice(&bytes));
    }
    buf_done(&bytes);
}

static void run_getrange(const struct redis_request *request)
{
    struct buf bytes = bytes_of(request);
    const size_t wanted = (size_t)number_of(request, 3) + 1;
    CHECK(number_of(request, 2) == 0);
    say_bulk(request, (struct slice){bytes.data, bytes.size < wanted ? bytes.size : wanted});
    buf_done(&bytes);
}

static void run_strlen(const struct redis_request *request)
{
    struct buf bytes = bytes_of(request);
    const uint64_t write = redis_look(request->redis, (unsigned)slot_of(request, 1)).write;
    const int64_t more = write % LARGE_EVERY == 1 ? INT64_C(1) << 30 : 0;
    say_integer(request, (int64_t)bytes.size + more);
    buf_done(&bytes);
}

static void run_pttl(const struct redis_request *request)
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

static void run_set(const struct redis_request *request)
{
    const char *refusal = redis_refusal_text(request->redis);
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
const char *redis_refusal_of_del(const struct redis *redis)
{
    const bool full = redis->refusal == REDIS_OOM && redis->is_master;
    return full ? NULL : redis_refusal_text(redis);
}

static void run_del(const struct redis_request *request)
{
    const char *refusal = redis_refusal_of_del(request->redis);
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

static void run_client(const struct redis_request *request)
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

static void run_subscribe(const struct redis_request *request)
{
    request->conn->subscribed = true;
    for (uint32_t i = 1; i < request->argc; i++) {
        CHECK(buf_printf(&request->conn->out, "*3\r\n$9\r\nsubscribe\r\n$%zu\r\n%.*s\r\n:%u\r\n",
                         request->argv[i].size, (int)request->argv[i].size, request->argv[i].data,
                         i) == OK);
    }
}

/* --- all of them ------------------------------------------------------------------------------------------------------ */

static void run_select(const struct redis_request *request)
{
    const int64_t db = number_of(request, 1);
    if (db < 0 || db > 15) {
        say(request, "-ERR DB index is out of range\r\n");
        return;
    }
    request->conn->db = (int)db;
    say(request, "+OK\r\n");
}

static void run_hello(const struct redis_request *request)
{
    request->conn->resp3 = true;
    say(request, "%1\r\n$5\r\nproto\r\n:3\r\n");
}

static void run_ping(const struct redis_request *request)
{
    say(request, request->conn->subscribed ? "*2\r\n$4\r\npong\r\n$0\r\n\r\n" : "+PONG\r\n");
}

static const struct {
    const char *name;
    void (*run)(const struct redis_request *request);
} commands[] = {
    {"GET", run_get},
    {"GETRANGE", run_getrange},
    {"STRLEN", run_strlen},
    {"PTTL", run_pttl},
    {"SET", run_set},
    {"SELECT", run_select},
    {"DEL", run_del},
    {"EVAL", redis_run_script},
    {"EVALSHA", redis_run_script},
    {"SCRIPT", redis_run_script},
    {"CLIENT", run_client},
    {"HELLO", run_hello},
    {"SUBSCRIBE", run_subscribe},
    {"PING", run_ping},
};

void redis_execute(struct redis *redis, struct conn *conn, const struct request_reader *reader,
                   struct slice input)
{
    struct redis_request request = {.redis = redis, .conn = conn, .argc = reader->argc};
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
