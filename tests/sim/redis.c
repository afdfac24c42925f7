/* SPDX-License-Identifier: BSD-3-Clause */
#include "tests/sim/redis.h"

#include "protocol/check.h"
#include "tests/sim/node.h"
#include "tests/sim/oracle.h"
#include "tests/sim/redis_inner.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

/* --- keys -------------------------------------------------------------------------------------------------------- */

static const char *const key_names[] = {
    "k0", "k1", "k2", "k3", "k4", "k5", "terrace:meta", "terrace:nodes", "terrace:seq"};
_Static_assert(REDIS_KEY_COUNT == sizeof key_names / sizeof key_names[0], "bits of announce");

int redis_slot_db(unsigned slot)
{
    return slot < SIM_KEYS ? 0 : 3;
}

struct slice redis_slot_key(unsigned slot)
{
    return slice_of(key_names[slot % SIM_KEYS]);
}

int redis_slot(int db, struct slice key)
{
    if ((db != 0 && db != 3) || key.size != 2 || key.data[0] != 'k' || key.data[1] < '0' ||
        key.data[1] >= '0' + SIM_KEYS) {
        return -1;
    }
    return (key.data[1] - '0') + (db == 3 ? SIM_KEYS : 0);
}

/* --- changes ----------------------------------------------------------------------------------------------------- */

void redis_touch(struct redis *redis, unsigned key_bit)
{
    redis->changed = true;
    redis->announce |= 1u << key_bit;
}

void redis_change(struct redis *redis, unsigned slot, uint64_t write, struct redis_value value,
                  int64_t acked_us)
{
    redis->data.slots[slot] = value;
    redis_touch(redis, slot % SIM_KEYS);
    if (redis == redis->world->truth) {
        oracle_changed(redis->world->oracle, slot, write, value.write, value.expire_us, acked_us);
    }
}

static bool is_over(const struct redis *redis, struct redis_value value)
{
    return value.write != 0 && value.expire_us != 0 && value.expire_us <= redis->world->now_us;
}

struct redis_value redis_look(struct redis *redis, unsigned slot)
{
    const struct redis_value value = redis->data.slots[slot];
    if (!is_over(redis, value)) {
        return value;
    }
    if (redis->is_master && redis->refusal != REDIS_READONLY) {
        redis_change(redis, slot, 0, (struct redis_value){0}, value.expire_us);
    }
    return (struct redis_value){0};
}

/* What the replica at the same moment has not got is in the past. */
static void remember(struct redis *redis)
{
    const uint64_t at = redis->past_count++ % REDIS_PAST;
    redis->past[at].at_us = redis->world->now_us;
    redis->past[at].data = redis->data;
}

struct redis_data redis_past(const struct redis *redis, int64_t age_us)
{
    const uint64_t oldest = redis->past_count > REDIS_PAST ? redis->past_count - REDIS_PAST : 0;
    for (uint64_t i = redis->past_count; i > oldest; i--) {
        if (redis->past[(i - 1) % REDIS_PAST].at_us <= redis->world->now_us - age_us) {
            return redis->past[(i - 1) % REDIS_PAST].data;
        }
    }
    return redis->past_count == 0 ? redis->data : redis->past[oldest % REDIS_PAST].data;
}

/* --- what subscribers get ------------------------------------------------------------------------------------------ */

static void append(struct buf *out, const void *data, size_t size)
{
    CHECK(buf_append(out, data, size) == OK);
}

static void append_bulk(struct buf *out, struct slice bytes)
{
    char digits[I64_DIGITS_MAX];
    append(out, "$", 1);
    append(out, digits, i64_format(digits, (int64_t)bytes.size));
    append(out, "\r\n", 2);
    append(out, bytes.data, bytes.size);
    append(out, "\r\n", 2);
}

/* A message for one subscriber, through the trouble that is prepared for it. `count` is what goes missing or wrong. */
static void deliver(struct redis *redis, struct conn *conn, struct slice message, bool is_frame)
{
    if (conn->in_gap) {
        conn->in_gap = !is_frame;
        conn->announced -= !is_frame; /* the numbering of the frames will tell */
        return;
    }
    unsigned *drops = is_frame ? &redis->drop_frames : &redis->drop_keys;
    if (*drops > 0 && !redis->dropped && world_chance(redis->world, 300)) {
        --*drops;
        redis->dropped = true; /* what nobody hears nobody can find missing */
        if (!is_frame) {
            net_tamper(conn);
        }
        TRACE(redis->world, "conn %" PRIu64 ": a message is dropped", conn->id);
        return;
    }
    const size_t at = conn->out.size;
    append(&conn->out, message.data, message.size);
    if (is_frame && redis->repeat_frames > 0 && world_chance(redis->world, 500)) {
        redis->repeat_frames--;
        append(&conn->out, message.data, message.size);
        TRACE(redis->world, "conn %" PRIu64 ": a frame is repeated", conn->id);
    }
    if (redis->flips > 0 && world_chance(redis->world, 300)) {
        redis->flips--;
        net_tamper(conn);
        char *byte = conn->out.data + at + world_below(redis->world, message.size);
        *byte = (char)(*byte ^ (1 << world_below(redis->world, 8)));
        TRACE(redis->world, "conn %" PRIu64 ": a byte is flipped", conn->id);
    }
}

void redis_publish(struct redis *redis, const char *channel, struct slice payload)
{
    struct buf message = {0};
    append(&message, "*3\r\n$7\r\nmessage\r\n", 17);
    append_bulk(&message, slice_of(channel));
    append_bulk(&message, payload);
    redis->dropped = false;
    for (unsigned i = 0; i < redis->client_count; i++) {
        struct conn *conn = redis->clients[i];
        if (conn->subscribed) {
            deliver(redis, conn, buf_slice(&message), true);
        }
    }
    buf_done(&message);
}

static void announce(struct redis *redis)
{
    struct buf message = {0};
    static const char head[] = "*3\r\n$7\r\nmessage\r\n$20\r\n__redis__:invalidate\r\n*";
    append(&message, head, sizeof head - 1);
    char digits[I64_DIGITS_MAX];
    append(&message, digits, i64_format(digits, __builtin_popcount(redis->announce)));
    append(&message, "\r\n", 2);
    for (unsigned i = 0; i < REDIS_KEY_COUNT; i++) {
        if ((redis->announce & 1u << i) != 0) {
            append_bulk(&message, slice_of(key_names[i]));
        }
    }
    redis->announce = 0;
    redis->dropped = false;
    for (unsigned i = 0; i < redis->client_count; i++) {
        struct conn *conn = redis->clients[i];
        if (conn->tracks) {
            conn->announced++;
            if (redis->gaps > 0 && world_chance(redis->world, 300)) {
                redis->gaps--;
                conn->in_gap = true;
                TRACE(redis->world, "conn %" PRIu64 ": a gap begins", conn->id);
            }
            deliver(redis, conn, buf_slice(&message), false);
        }
    }
    buf_done(&message);
}

static void announce_flush(struct redis *redis)
{
    static const char message[] = "*3\r\n$7\r\nmessage\r\n$20\r\n__redis__:invalidate\r\n*-1\r\n";
    for (unsigned i = 0; i < redis->client_count; i++) {
        struct conn *conn = redis->clients[i];
        if (conn->tracks) {
            conn->announced++;
            append(&conn->out, message, sizeof message - 1);
        }
    }
}

/* --- cycles -------------------------------------------------------------------------------------------------------- */

static void take_requests(struct redis *redis, struct conn *conn)
{
    struct request_reader reader;
    request_reader_init(&reader);
    size_t head = 0;
    while (conn->server == redis) {
        const struct slice rest = {.data = conn->in.data + head, .size = conn->in.size - head};
        const enum status status = rest.size == 0 ? AGAIN : request_read(&reader, rest);
        if (status != OK) {
            CHECK(status == AGAIN); /* links speak RESP */
            break;
        }
        redis_execute(redis, conn, &reader, rest);
        head += reader.used;
        request_reader_reset(&reader);
    }
    if (conn->server == redis) {
        buf_consume(&conn->in, head);
    }
    request_reader_done(&reader);
}

static void write_beside(struct redis *redis)
{
    const struct redis_stranger write = redis->beside;
    redis->has_beside = false;
    const struct redis_value value = {
        .write = write.ttl_us < 0 ? 0 : write.write,
        .expire_us = write.ttl_us > 0 ? redis->world->now_us + write.ttl_us : 0,
    };
    redis_change(redis, write.slot, write.write, value, redis->world->now_us);
}

static void say_all(const struct redis *redis)
{
    for (unsigned i = 0; i < redis->client_count; i++) {
        if (redis->clients[i]->out.size > 0) {
            net_say(redis->clients[i]);
        }
    }
}

static void end_cycle(struct redis *redis)
{
    if (redis->in_cycle) {
        return; /* a stranger came into the middle of it */
    }
    if (redis->has_beside && (redis->announce & 1u << redis->beside.slot % SIM_KEYS) != 0 &&
        redis->is_master && redis->refusal == REDIS_WRITES) {
        TRACE(redis->world, "a stranger writes v%" PRIu64 " into the same cycle",
              redis->beside.write);
        write_beside(redis);
    }
    if (redis->dies_unsaid && redis->announce != 0 && redis == redis->world->truth) {
        TRACE(redis->world, "redis %" PRIu64 " dies with what it would have said", redis->run);
        const struct redis_data data = redis->data;
        (void)redis_restart(redis, &data, 0);
        return;
    }
    if (redis->announce != 0) {
        announce(redis);
    }
    if (redis->changed) {
        remember(redis);
    }
    redis->changed = false;
    say_all(redis);
}

static void on_cycle(struct world *world, void *arg, uint64_t number);

/* Answers leave before what they acknowledge is announced: a script runs for longer than busy-reply-threshold, or a
 * client is written to as soon as its socket takes more (docs/decisions/011). */
static bool answers_early(struct redis *redis)
{
    struct world *world = redis->world;
    redis->in_cycle = redis->long_cycles > 0 && redis->announce != 0 &&
                      (!redis->in_cycle || world_chance(world, 500));
    if (!redis->in_cycle) {
        return false;
    }
    redis->long_cycles--;
    say_all(redis);
    const int64_t most_us = world_chance(world, 700) ? 20 * SIM_MS : oracle_bound_us(world, 0);
    redis->cycle_planned = true;
    world_at(world, world_between(world, SIM_MS / 10, most_us), NULL, on_cycle, redis, 0);
    return true;
}

static void on_cycle(struct world *world, void *arg, uint64_t number)
{
    struct redis *redis = arg;
    (void)number;
    redis->cycle_planned = false;
    if (!redis->alive) {
        return;
    }
    if (redis->paused_until_us > world->now_us) {
        redis_wake(redis);
        return;
    }
    bool left_over = false;
    redis->cycle += !redis->in_cycle;
    const unsigned first =
        redis->client_count > 0 ? (unsigned)world_below(world, redis->client_count) : 0;
    struct conn *turn[REDIS_CLIENTS_MAX]; /* clients may leave meanwhile */
    const unsigned count = redis->client_count;
    for (unsigned i = 0; i < count; i++) {
        turn[i] = redis->clients[(first + i) % count];
    }
    for (unsigned i = 0; i < count; i++) {
        if (turn[i]->server != redis || turn[i]->in.size == 0) {
            continue;
        }
        if (turn[i]->read_in == redis->cycle || world_chance(world, 200)) {
            left_over = true;
        } else {
            turn[i]->read_in = redis->cycle;
            take_requests(redis, turn[i]);
        }
    }
    if (answers_early(redis)) {
        return;
    }
    end_cycle(redis);
    if (left_over) {
        redis_wake(redis);
    }
}

void redis_wake(struct redis *redis)
{
    if (redis->cycle_planned || !redis->alive) {
        return;
    }
    struct world *world = redis->world;
    int64_t delay_us = world_between(world, 10, 120);
    if (redis->paused_until_us > world->now_us + delay_us) {
        delay_us = redis->paused_until_us - world->now_us;
    }
    redis->cycle_planned = true;
    world_at(world, delay_us, NULL, on_cycle, redis, 0);
}

/* --- strangers ------------------------------------------------------------------------------------------------------- */

static bool works(const struct redis *redis)
{
    return redis->alive && redis->is_master && redis->refusal == REDIS_WRITES &&
           redis->paused_until_us <= redis->world->now_us;
}

void redis_stranger_write(struct redis *redis, struct redis_stranger write)
{
    if (!works(redis)) {
        return;
    }
    const bool had_beside = redis->has_beside;
    const struct redis_stranger beside = redis->beside;
    redis->beside = write;
    write_beside(redis);
    redis->beside = beside;
    redis->has_beside = had_beside;
    end_cycle(redis);
}

/* As a node does it: one frame that says so, in the log and on the bus, before it is done. */
static void flush_numbered(struct redis *redis)
{
    const struct redis_logged logged = {.seq = ++redis->data.seq, .node = 1};
    struct buf frame = {0};
    redis_touch(redis, REDIS_KEY_SEQ);
    redis_log(redis, &logged);
    redis_logged_frame(redis, &logged, &frame);
    redis_publish(redis, "terrace:bus", buf_slice(&frame));
    buf_done(&frame);
}

void redis_flush(struct redis *redis, bool all)
{
    if (!works(redis)) {
        return;
    }
    if (!all && redis->world->plan.managed && redis->data.has_meta && redis->data.has_seq) {
        flush_numbered(redis);
    }
    announce_flush(redis);
    const uint32_t owed = redis->announce; /* of this cycle, still to be said at its end */
    for (unsigned i = 0; i < SIM_SLOTS; i++) {
        if (redis->data.slots[i].write != 0 && (all || redis_slot_db(i) == 0)) {
            redis_change(redis, i, 0, (struct redis_value){0}, redis->world->now_us);
        }
    }
    redis->announce = owed; /* nil said the rest */
    if (all) {
        redis->data = (struct redis_data){0};
    }
    redis->changed = true;
    end_cycle(redis);
}

void redis_forge(struct redis *redis, const char *channel, struct slice payload)
{
    if (redis->alive && redis->paused_until_us <= redis->world->now_us) {
        redis_publish(redis, channel, payload);
        end_cycle(redis);
    }
}

void redis_expire(struct redis *redis)
{
    if (!works(redis)) {
        return;
    }
    for (unsigned i = 0; i < SIM_SLOTS; i++) {
        (void)redis_look(redis, i);
    }
    end_cycle(redis);
}

/* --- life ------------------------------------------------------------------------------------------------------------ */

void redis_accept(struct redis *redis, struct conn *conn)
{
    CHECK(redis->client_count < REDIS_CLIENTS_MAX);
    redis->clients[redis->client_count++] = conn;
    conn->server = redis;
}

void redis_forget(struct redis *redis, struct conn *conn)
{
    for (unsigned i = 0; i < redis->client_count; i++) {
        if (redis->clients[i] == conn) {
            redis->clients[i] = redis->clients[--redis->client_count];
            conn->server = NULL;
            return;
        }
    }
}

void redis_cut_all(struct redis *redis, bool reset)
{
    while (redis->client_count > 0) {
        struct conn *conn = redis->clients[0];
        redis_forget(redis, conn);
        net_hang_up(conn, reset);
    }
}

static struct redis *process_new(struct world *world)
{
    struct redis *redis = sim_alloc(sizeof *redis);
    redis->world = world;
    redis->next = world->redis;
    world->redis = redis;
    redis->is_master = true;
    redis->alive = true;
    redis->run = ++world->next_id;
    redis->replid = ++world->next_id;
    return redis;
}

struct redis *redis_new(struct world *world)
{
    return process_new(world);
}

/* The oracle learns what is not there any more, as of now. */
static void tell_lost(struct redis *redis)
{
    struct world *world = redis->world;
    for (unsigned i = 0; i < SIM_SLOTS; i++) {
        const struct history *history = &world->oracle->slots[i];
        const struct version *stands = &history->versions[history->count - 1];
        const struct redis_value value = redis->data.slots[i];
        if (value.write != stands->write) {
            oracle_changed(world->oracle, i, 0, value.write, value.expire_us, world->now_us);
        }
    }
}

static void on_listen(struct world *world, void *arg, uint64_t number)
{
    struct redis *redis = arg;
    (void)number;
    if (world->truth == redis) { /* else a failover came first */
        redis->alive = true;
        TRACE(world, "redis %" PRIu64 " listens", redis->run);
    }
}

struct redis *redis_restart(struct redis *redis, const struct redis_data *data, int64_t gone_us)
{
    struct world *world = redis->world;
    redis->alive = false;
    redis_cut_all(redis, world_chance(world, 500));
    struct redis *next = process_new(world);
    next->data = *data;
    next->alive = gone_us == 0;
    world->truth = next;
    world->endpoint = next;
    tell_lost(next);
    if (gone_us > 0) {
        world_at(world, gone_us, NULL, on_listen, next, 0);
    }
    return next;
}

struct redis *redis_promote(struct redis *redis, const struct redis_data *data)
{
    struct world *world = redis->world;
    struct redis *next = process_new(world);
    next->data = *data;
    next->replid2 = redis->replid;
    world->promoted_us = world->now_us;
    world->truth = next;
    world->endpoint = next;
    tell_lost(next);
    return next;
}

void redis_free_all(struct world *world)
{
    while (world->redis != NULL) {
        struct redis *redis = world->redis;
        world->redis = redis->next;
        free(redis);
    }
}
