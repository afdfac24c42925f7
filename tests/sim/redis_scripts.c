/* SPDX-License-Identifier: BSD-3-Clause */
/* What the nodes' scripts do, once more. */
#include "protocol/check.h"
#include "protocol/envelope.h"
#include "protocol/frame.h"
#include "tests/sim/node.h"
#include "tests/sim/oracle.h"
#include "tests/sim/redis_inner.h"
#include "tiers/beat.h"
#include "tiers/replay.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

extern const char managed_script[]; /* tiers/managed_write.c */

static void say(const struct redis_request *request, const char *text)
{
    CHECK(buf_append(&request->conn->out, text, strlen(text)) == OK);
}

static int64_t number_of(const struct redis_request *request, uint32_t i)
{
    int64_t number = 0;
    CHECK(slice_to_i64(request->argv[i], &number) == OK);
    return number;
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
static bool beat_epoch(const struct redis_request *request)
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
        data->log_count = 0;
        redis_log(redis, &(struct redis_logged){.seq = data->seq, .is_record = true});
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

static void beat_reign(const struct redis_request *request)
{
    const struct redis *redis = request->redis;
    CHECK(buf_printf(&request->conn->out, "$40\r\n%040" PRIx64 "\r\n$40\r\n%040" PRIx64 "\r\n",
                     redis->run, redis->replid) == OK);
}

static void beat_answer(const struct redis_request *request, bool began)
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

static void run_check(const struct redis_request *request)
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

static void beat_publish(const struct redis_request *request)
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

static void run_beat(const struct redis_request *request)
{
    struct redis *redis = request->redis;
    CHECK(request->argc == BEAT_ARGC);
    const bool checks = slice_is(request->argv[BEAT_FRAME], "CHECK");
    TRACE(redis->world, "redis %" PRIu64 ": conn %" PRIu64 " (node %u.%u) %s", redis->run,
          request->conn->id, request->conn->thread->node->slot, request->conn->thread->index,
          checks                               ? "checks"
          : request->argv[BEAT_FRAME].size > 0 ? "beats"
                                               : "greets");
    const char *refusal = checks ? redis_refusal_of_del(redis) : redis_refusal_text(redis);
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

/* --- the log -------------------------------------------------------------------------------------------------------- */

void redis_log(struct redis *redis, const struct redis_logged *logged)
{
    struct redis_data *data = &redis->data;
    if (data->log_count == REDIS_LOG) {
        redis_trim(redis, REDIS_LOG - 1);
    }
    data->log[data->log_count++] = *logged;
}

void redis_trim(struct redis *redis, unsigned keep)
{
    struct redis_data *data = &redis->data;
    if (keep < data->log_count) {
        memmove(data->log, data->log + data->log_count - keep, keep * sizeof data->log[0]);
        data->log_count = keep;
    }
}

void redis_logged_frame(const struct redis *redis, const struct redis_logged *logged,
                        struct buf *out)
{
    char flush[FRAME_FLUSH_BODY_MAX];
    struct buf keys = {0};
    struct frame frame = {
        .type = FRAME_FLUSH,
        .epoch = {.counter = redis->data.epoch, .random = redis->data.random},
        .seq_first = logged->seq,
        .node = logged->node,
        .body = frame_flush_write(flush, &(struct frame_flush){.kind = FRAME_FLUSH_DROP, .dbs = 1}),
    };
    for (unsigned i = 0; i < SIM_SLOTS; i++) {
        if ((logged->slots & 1u << i) != 0) {
            CHECK(frame_append_key(&keys, (uint8_t)redis_slot_db(i), redis_slot_key(i)) == OK);
        }
    }
    if (logged->slots != 0) {
        frame.type = FRAME_KEYS;
        frame.count = (uint32_t)__builtin_popcount(logged->slots);
        frame.body = buf_slice(&keys);
    }
    CHECK(frame_write(out, &frame) == OK);
    buf_done(&keys);
}

/* scripts/replay.lua. */
enum {
    REPLAY_COUNTER = 4,
    REPLAY_RANDOM,
    REPLAY_FROM,
    REPLAY_ENTRIES,
    REPLAY_ARGC
};

static bool is_epoch(const struct redis_request *request, uint32_t at)
{
    const struct redis_data *data = &request->redis->data;
    return data->has_meta && data->has_seq && data->epoch == (uint64_t)number_of(request, at) &&
           data->random == get_u64le(request->argv[at + 1].data);
}

static void say_number(const struct redis_request *request, int64_t number)
{
    char text[32];
    const int size = snprintf(text, sizeof text, "%" PRId64, number);
    CHECK(buf_printf(&request->conn->out, "$%d\r\n%s\r\n", size, text) == OK);
}

static void run_replay(const struct redis_request *request)
{
    const struct redis *redis = request->redis;
    const struct redis_data *data = &redis->data;
    CHECK(request->argc == REPLAY_ARGC);
    if (!is_epoch(request, REPLAY_COUNTER)) {
        say(request, "*1\r\n:0\r\n");
        return;
    }
    const uint64_t from = (uint64_t)number_of(request, REPLAY_FROM);
    const unsigned most = 1 + (unsigned)(data->seq % 5); /* pages are small here */
    unsigned count = 0;
    uint64_t through = data->seq;
    struct buf frames = {0};
    for (unsigned i = 0; i < data->log_count && count < most; i++) {
        if (data->log[i].seq < from || data->log[i].is_record) {
            continue;
        }
        struct buf frame = {0};
        redis_logged_frame(redis, &data->log[i], &frame);
        CHECK(buf_printf(&frames, "$%zu\r\n", frame.size) == OK);
        CHECK(buf_append_slice(&frames, buf_slice(&frame)) == OK);
        CHECK(buf_append(&frames, "\r\n", 2) == OK);
        buf_done(&frame);
        if (++count == most) {
            through = data->log[i].seq;
        }
    }
    CHECK(buf_printf(&request->conn->out, "*%u\r\n:1\r\n", 4 + count) == OK);
    say_number(request, (int64_t)data->seq);
    say_number(request, data->log_count > 0 ? (int64_t)data->log[0].seq : -1);
    say_number(request, (int64_t)through);
    CHECK(buf_append_slice(&request->conn->out, buf_slice(&frames)) == OK);
    buf_done(&frames);
}

/* --- managed writes: scripts/managed.lua, of which P without a condition ------------------------------------------- */

enum {
    MANAGED_COUNTER = 4,
    MANAGED_FRAME = 7,
    MANAGED_COMMANDS,
    MANAGED_PUT_WORDS = 4
};

void redis_append_envelope(struct buf *out, struct redis_value value)
{
    char text[I64_DIGITS_MAX + 1] = "v";
    const size_t size = 1 + i64_format(text + 1, (int64_t)value.write);
    CHECK(envelope_write(out,
                         &(struct envelope){.kind = ENVELOPE_RAW,
                                            .version = value.version,
                                            .fresh_ms = value.fresh_ms,
                                            .value_size = (uint32_t)size,
                                            .body = {text, size}},
                         NULL) == OK);
}

/* The slots that the frame names. */
static uint32_t named_slots(struct slice bytes)
{
    struct frame frame;
    struct slice key;
    size_t position = 0;
    uint8_t db = 0;
    uint32_t slots = 0;
    CHECK(frame_read(bytes, &frame) == OK && frame.type == FRAME_KEYS);
    while (frame_next_key(frame.body, &position, &db, &key) == OK) {
        slots |= 1u << redis_slot(db, key);
    }
    return slots;
}

/* I8: what changes was named by a frame before. */
static void run_put(const struct redis_request *request, uint32_t i, uint32_t named)
{
    struct redis *redis = request->redis;
    struct buf bytes = {0};
    struct envelope envelope;
    char version[8];
    put_u64le(version, redis->data.seq);
    const struct slice word = request->argv[i];
    CHECK(word.size == 2 + ENVELOPE_VERSION_OFFSET && word.data[0] == 'P');
    CHECK(buf_append(&bytes, word.data + 2, ENVELOPE_VERSION_OFFSET) == OK);
    CHECK(buf_append(&bytes, version, sizeof version) == OK);
    CHECK(buf_append_slice(&bytes, request->argv[i + 3]) == OK);
    CHECK(envelope_read(buf_slice(&bytes), &envelope) == OK);
    const int slot = redis_slot(word.data[1], request->argv[i + 1]);
    const int64_t px_ms = number_of(request, i + 2);
    CHECK(slot >= 0);
    if ((named & 1u << slot) == 0) {
        world_fail(redis->world, "I8", "a write of slot %d was not announced", slot);
    }
    uint64_t write = envelope.load_ms;
    struct redis_value value = {0};
    if (envelope.kind == ENVELOPE_RAW) {
        CHECK(slice_to_u64((struct slice){envelope.body.data + 1, envelope.body.size - 1},
                           &write) == OK);
        value = (struct redis_value){.write = write,
                                     .version = redis->data.seq,
                                     .fresh_ms = envelope.fresh_ms,
                                     .expire_us =
                                         px_ms > 0 ? redis->world->now_us + px_ms * SIM_MS : 0};
    }
    redis_change(redis, (unsigned)slot, write, value, SIM_NEVER);
    buf_done(&bytes);
}

static void run_managed(const struct redis_request *request)
{
    struct redis *redis = request->redis;
    const char *refusal = redis_refusal_text(redis);
    if (refusal != NULL) {
        say(request, refusal);
        return;
    }
    if (!is_epoch(request, MANAGED_COUNTER)) {
        say(request, "*1\r\n:0\r\n");
        return;
    }
    const struct slice frame = request->argv[MANAGED_FRAME];
    char *copy = sim_alloc(frame.size);
    redis->data.seq++;
    redis_touch(redis, REDIS_KEY_SEQ);
    memcpy(copy, frame.data, frame.size);
    put_u64le(copy + 16, redis->data.epoch);
    put_u64le(copy + 24, redis->data.random);
    put_u64le(copy + 32, redis->data.seq);
    const uint32_t named = named_slots((struct slice){copy, frame.size});
    redis_log(redis, &(struct redis_logged){
                         .seq = redis->data.seq, .node = get_u64le(copy + 48), .slots = named});
    redis_publish(redis, "terrace:bus", (struct slice){copy, frame.size});
    free(copy);
    const uint32_t count = (request->argc - MANAGED_COMMANDS) / MANAGED_PUT_WORDS;
    CHECK(buf_printf(&request->conn->out, "*%u\r\n:%" PRIu64 "\r\n", 1 + count, redis->data.seq) ==
          OK);
    for (uint32_t i = 0; i < count; i++) {
        run_put(request, MANAGED_COMMANDS + i * MANAGED_PUT_WORDS, named);
        say(request, ":1\r\n");
    }
}

/* --- all of them ------------------------------------------------------------------------------------------------------ */

static bool is_text(struct slice script, const char *text)
{
    return slice_is(script, text);
}

static const char managed_name[] = "0123456789012345678901234567890123456789";

void redis_run_script(const struct redis_request *request)
{
    struct redis *redis = request->redis;
    if (slice_is_nocase(request->argv[0], "SCRIPT")) {
        CHECK(is_text(request->argv[2], managed_script));
        redis->knows_script = true;
        CHECK(buf_printf(&request->conn->out, "$40\r\n%s\r\n", managed_name) == OK);
    } else if (slice_is_nocase(request->argv[0], "EVALSHA")) {
        CHECK(is_text(request->argv[1], managed_name));
        if (redis->knows_script) {
            run_managed(request);
        } else {
            say(request, "-NOSCRIPT No matching script. Please use EVAL.\r\n");
        }
    } else if (is_text(request->argv[1], managed_script)) {
        redis->knows_script = true;
        run_managed(request);
    } else if (is_text(request->argv[1], replay_script)) {
        run_replay(request);
    } else {
        CHECK(is_text(request->argv[1], beat_script));
        run_beat(request);
    }
}
