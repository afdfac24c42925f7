/* SPDX-License-Identifier: BSD-3-Clause */
#include "tests/sim/nemesis.h"

#include "protocol/check.h"
#include "protocol/frame.h"
#include "tests/sim/client.h"
#include "tests/sim/node.h"
#include "tests/sim/oracle.h"
#include "tests/sim/redis.h"
#include "tests/sim/saved.h"

#include <inttypes.h>
#include <stdlib.h>

struct nemesis {
    unsigned kinds[FAULT_COUNT]; /* enum fault */
    unsigned kind_count;
    int64_t pace_us;
    bool failing_over; /* one at a time */
    struct redis_data replica;
};

const char *const nemesis_names[FAULT_COUNT] = {
#define FAULT(name, text) #name,
    NEMESIS_FAULTS(FAULT)
#undef FAULT
};

static int64_t bound_us(const struct world *world)
{
    return (int64_t)world->bound_ms * SIM_MS;
}

/* Mostly about T, sometimes much longer. */
static int64_t duration_us(struct world *world)
{
    return world_between(world, SIM_MS,
                         (world_chance(world, 200) ? 4 : 1) * bound_us(world) * 3 / 2);
}

static struct node *some_node(struct world *world)
{
    return world->nodes[world_below(world, world->node_count)];
}

static bool is_open(const struct conn *conn)
{
    return conn->link != NULL && conn->connected;
}

static struct conn *some_conn(struct world *world)
{
    unsigned count = 0;
    for (struct conn *conn = world->conns; conn != NULL; conn = conn->next) {
        count += is_open(conn);
    }
    uint64_t turn = count > 0 ? world_below(world, count) : 0;
    for (struct conn *conn = world->conns; conn != NULL; conn = conn->next) {
        if (is_open(conn) && turn-- == 0) {
            return conn;
        }
    }
    return NULL;
}

/* --- nodes ----------------------------------------------------------------------------------------------------------- */

static void stop_thread(struct thread *thread, int64_t until_us)
{
    if (thread->paused_until_us < until_us) {
        thread->paused_until_us = until_us;
    }
}

static void do_pause(struct world *world)
{
    struct node *node = some_node(world);
    const int64_t until_us = world->now_us + duration_us(world);
    TRACE(world, "node %u stops until %" PRId64 " us", node->slot, until_us);
    for (unsigned i = 0; i <= world->worker_count; i++) {
        stop_thread(&node->threads[i], until_us + (int64_t)world_below(world, 300));
    }
}

static void do_stall(struct world *world)
{
    struct node *node = some_node(world);
    const unsigned i = (unsigned)world_below(world, world->worker_count + 1);
    const int64_t until_us = world->now_us + duration_us(world);
    TRACE(world, "thread %u of node %u stops until %" PRId64 " us", i, node->slot, until_us);
    stop_thread(&node->threads[i], until_us);
}

static void do_kill(struct world *world)
{
    struct node *node = some_node(world);
    const unsigned slot = node->slot;
    TRACE(world, "node %u is killed", slot);
    client_node_dies(world, node);
    node_kill(node);
    (void)node_new(world, slot);
}

static void do_save(struct world *world)
{
    struct node *node = some_node(world);
    if (!node->dying) {
        saved_begin(node, false);
    }
}

/* Its goodbye may overtake what it has not heard yet. */
static void slow_down_bus(struct world *world, const struct node *node)
{
    for (struct conn *conn = world->conns; conn != NULL; conn = conn->next) {
        if (is_open(conn) && conn->link == node->bus) {
            conn->latency_us += world_between(world, SIM_MS, bound_us(world) / 2);
        }
    }
}

static void on_left(struct world *world, void *arg, uint64_t number)
{
    struct node *node = arg;
    (void)number;
    if (world->nodes[node->slot] == node) { /* else it was killed meanwhile */
        node_kill(node);
        (void)node_new(world, node->slot);
    }
}

/* Whether its goodbye gets through or not, it is gone a while later. */
static void do_leave(struct world *world)
{
    struct node *node = some_node(world);
    if (node->dying) {
        return;
    }
    TRACE(world, "node %u leaves", node->slot);
    if (world_chance(world, 500)) {
        slow_down_bus(world, node);
    }
    client_node_dies(world, node);
    node_leave(node);
    if ((world->plan.faults & UINT64_C(1) << FAULT_save) != 0) {
        saved_begin(node, true);
    }
    world_at(world, world_between(world, SIM_MS, bound_us(world)), NULL, on_left, node, 0);
}

/* --- connections --------------------------------------------------------------------------------------------------------- */

static void on_fast(struct world *world, void *arg, uint64_t number)
{
    struct conn *conn = arg;
    (void)world;
    (void)number;
    conn->latency_us = conn->usual_latency_us;
}

static void do_slow(struct world *world)
{
    struct conn *conn = some_conn(world);
    if (conn != NULL) {
        world_at(world, duration_us(world), NULL, on_fast, conn, 0);
        conn->latency_us += world_between(world, SIM_MS, bound_us(world) * 3 / 2);
        TRACE(world, "conn %" PRIu64 " is slow: %" PRId64 " us", conn->id, conn->latency_us);
    }
}

static void on_thaw(struct world *world, void *arg, uint64_t number)
{
    (void)world;
    (void)number;
    net_thaw(arg);
}

static void freeze_for(struct world *world, struct pipe *pipe, int64_t time_us)
{
    net_freeze(pipe);
    world_at(world, time_us, NULL, on_thaw, pipe, 0);
}

static void do_hole(struct world *world)
{
    struct conn *conn = some_conn(world);
    if (conn != NULL) {
        struct pipe *pipe = world_chance(world, 500) ? &conn->up : &conn->down;
        TRACE(world, "conn %" PRIu64 " carries nothing %s", conn->id,
              pipe->to_client ? "down" : "up");
        freeze_for(world, pipe, duration_us(world));
    }
}

static void on_uncut(struct world *world, void *arg, uint64_t number)
{
    struct node *node = arg;
    (void)world;
    (void)number;
    node->is_cut = false;
}

static void do_cut(struct world *world)
{
    struct node *node = some_node(world);
    const int64_t time_us = duration_us(world);
    TRACE(world, "node %u is cut off for %" PRId64 " us", node->slot, time_us);
    node->is_cut = true;
    world_at(world, time_us, NULL, on_uncut, node, 0);
    for (struct conn *conn = world->conns; conn != NULL; conn = conn->next) {
        if (conn->link != NULL && conn->thread->node == node) {
            freeze_for(world, &conn->up, time_us);
            freeze_for(world, &conn->down, time_us);
        }
    }
}

static void hang_up(struct world *world, bool reset)
{
    struct conn *conn = some_conn(world);
    if (conn != NULL && conn->server != NULL) {
        TRACE(world, "conn %" PRIu64 " is %s", conn->id, reset ? "reset" : "closed by Redis");
        redis_forget(conn->server, conn);
        net_hang_up(conn, reset);
    }
}

static void do_reset(struct world *world)
{
    hang_up(world, true);
}

static void do_half(struct world *world)
{
    hang_up(world, false);
}

/* --- Redis ---------------------------------------------------------------------------------------------------------------- */

static void do_doze(struct world *world)
{
    world->truth->paused_until_us = world->now_us + duration_us(world);
    TRACE(world, "redis dozes until %" PRId64 " us", world->truth->paused_until_us);
}

static void do_restart(struct world *world)
{
    const struct redis *redis = world->truth;
    if (world->nemesis->failing_over) {
        return;
    }
    struct redis_data data = {0};
    const uint64_t turn = world_below(world, 3);
    if (turn > 0) {
        data = redis_past(redis, turn == 1 ? 0 : world_between(world, 0, 3 * bound_us(world)));
    }
    const int64_t gone_us = world_chance(world, 300) ? 0 : duration_us(world);
    TRACE(world, "redis %" PRIu64 " restarts with %s of its data", redis->run,
          turn == 0   ? "none"
          : turn == 1 ? "all"
                      : "some");
    (void)redis_restart(world->truth, &data, gone_us);
}

static void do_unsaid(struct world *world)
{
    world->truth->dies_unsaid = !world->nemesis->failing_over;
}

static void on_endpoint(struct world *world, void *arg, uint64_t number)
{
    (void)arg;
    (void)number;
    world->endpoint = world->truth;
}

/* What a replica has: the state a moment ago. */
static struct redis_data replica_data(struct world *world)
{
    return redis_past(world->truth,
                      world_chance(world, 500) ? 0 : world_between(world, 0, 300 * SIM_MS));
}

static void take_over(struct world *world, const struct redis_data *data)
{
    struct redis *old = world->truth;
    struct redis *next = redis_promote(old, data);
    TRACE(world, "redis %" PRIu64 " takes over from %" PRIu64, next->run, old->run);
    if (world_chance(world, 300)) { /* the address still leads to the old one */
        world->endpoint = old;
        world_at(world, world_between(world, 0, SIM_MS * 1000), NULL, on_endpoint, NULL, 0);
    }
}

static void on_old_gone(struct world *world, void *arg, uint64_t number)
{
    struct redis *old = arg;
    (void)number;
    if (old != world->truth) {
        old->alive = false;
        redis_cut_all(old, true);
    }
}

static void do_promote(struct world *world)
{
    struct redis *old = world->truth;
    if (world->nemesis->failing_over || !old->alive) {
        return;
    }
    const struct redis_data data = replica_data(world);
    old->is_master = false;
    take_over(world, &data);
    if (world_chance(world, 500)) {
        world_at(world, world_between(world, 0, 10 * bound_us(world)), NULL, on_old_gone, old, 0);
    }
}

static void on_crash_over(struct world *world, void *arg, uint64_t number)
{
    (void)arg;
    (void)number;
    if (!world->nemesis->failing_over) {
        return; /* it is calm */
    }
    world->nemesis->failing_over = false;
    take_over(world, &world->nemesis->replica);
}

static void do_crash(struct world *world)
{
    struct redis *old = world->truth;
    if (world->nemesis->failing_over || !old->alive) {
        return;
    }
    world->nemesis->failing_over = true;
    world->nemesis->replica = replica_data(world);
    old->alive = false;
    TRACE(world, "redis %" PRIu64 " crashes", old->run);
    if (world_chance(world, 700)) { /* else its machine is gone, and nobody is told */
        redis_cut_all(old, true);
    }
    world_at(world, duration_us(world), NULL, on_crash_over, NULL, 0);
}

static void on_split_over(struct world *world, void *arg, uint64_t number)
{
    struct redis *old = arg;
    on_crash_over(world, NULL, number);
    if (old != world->truth && world_chance(world, 500)) {
        old->is_master = false; /* it has met the new one */
    }
}

/* min-replicas-max-lag is over: it refuses from here on; down-after leaves T and a second more. */
static void on_split_refuses(struct world *world, void *arg, uint64_t number)
{
    struct redis *old = arg;
    (void)number;
    if (!world->nemesis->failing_over) {
        return;
    }
    old->refusal = REDIS_NOREPLICAS;
    world_at(world, oracle_bound_us(world, SIM_SLOTS - 1) + world_between(world, 0, SIM_MS * 1000),
             NULL, on_split_over, old, 0);
}

static void do_split(struct world *world)
{
    struct redis *old = world->truth;
    if (world->nemesis->failing_over || !old->alive) {
        return;
    }
    world->nemesis->failing_over = true;
    old->dies_unsaid = false;
    world->nemesis->replica = replica_data(world);
    TRACE(world, "redis %" PRIu64 " is cut off from its replica", old->run);
    world_at(world, world_between(world, 0, SIM_MS * 1000), NULL, on_split_refuses, old, 0);
}

static void on_writes_again(struct world *world, void *arg, uint64_t number)
{
    struct redis *redis = arg;
    (void)number;
    if (redis == world->truth && !world->nemesis->failing_over) {
        redis->refusal = REDIS_WRITES;
    }
}

static void do_refuse(struct world *world)
{
    struct redis *redis = world->truth;
    if (!world->nemesis->failing_over) {
        redis->refusal = world_chance(world, 500) ? REDIS_OOM : REDIS_NOREPLICAS;
        TRACE(world, "redis refuses to write");
        world_at(world, duration_us(world), NULL, on_writes_again, redis, 0);
    }
}

static void do_flush(struct world *world)
{
    const bool all = world_chance(world, 500);
    TRACE(world, "a stranger flushes %s", all ? "everything" : "database 0");
    redis_flush(world->truth, all);
}

static void do_meddle(struct world *world)
{
    struct redis_data *data = &world->truth->data;
    const bool seq = world_chance(world, 500);
    TRACE(world, "terrace:%s is deleted by hand", seq ? "seq" : "meta");
    if (seq) {
        data->has_seq = false;
        data->seq = 0;
    } else {
        data->has_meta = false;
    }
}

static void do_attach(struct world *world)
{
    if (world->truth->replid2 == 0) {
        world->truth->replid = ++world->next_id;
    }
}

/* --- the bus --------------------------------------------------------------------------------------------------------------- */

static void do_frames(struct world *world)
{
    struct redis *redis = world->truth;
    const unsigned count = 1 + (unsigned)world_below(world, 4);
    unsigned *const troubles[] = {&redis->drop_frames, &redis->repeat_frames, &redis->gaps};
    *troubles[world_below(world, 3)] += count;
}

static void do_early(struct world *world)
{
    world->truth->long_cycles += 1 + (unsigned)world_below(world, 20);
}

static void do_deaf(struct world *world)
{
    world->truth->drop_keys += 1 + (unsigned)world_below(world, 3);
}

static void do_flip(struct world *world)
{
    world->truth->flips += 1 + (unsigned)world_below(world, 3);
}

static void do_forge(struct world *world)
{
    struct redis *redis = world->truth;
    char junk[96];
    for (size_t i = 0; i < sizeof junk; i++) {
        junk[i] = (char)world_below(world, 256);
    }
    const uint64_t turn = world_below(world, 3);
    if (turn == 0) {
        redis_forge(redis, "__redis__:invalidate", (struct slice){junk, 40});
        return;
    }
    if (turn == 1) {
        redis_forge(redis, "terrace:bus", (struct slice){junk, sizeof junk});
        return;
    }
    /* A frame that is well made and not Redis'. */
    struct buf frame = {0};
    CHECK(frame_write(&frame,
                      &(struct frame){
                          .type = FRAME_FLUSH,
                          .epoch = {.counter = redis->data.epoch + world_below(world, 3),
                                    .random = world_chance(world, 500) ? redis->data.random : 7},
                          .seq_first = redis->data.seq + world_below(world, 3),
                          .count = 1,
                          .node = 1}) == OK);
    redis_forge(redis, "terrace:bus", buf_slice(&frame));
    buf_done(&frame);
}

static void do_trim(struct world *world)
{
    const unsigned keep = world_chance(world, 300) ? 0 : (unsigned)world_below(world, REDIS_LOG);
    TRACE(world, "the log keeps %u entries", keep);
    redis_trim(world->truth, keep);
}

/* --- all of it -------------------------------------------------------------------------------------------------------------- */

static void (*const deeds[FAULT_COUNT])(struct world *world) = {
#define FAULT(name, text) do_##name,
    NEMESIS_FAULTS(FAULT)
#undef FAULT
};

static void on_deed(struct world *world, void *arg, uint64_t number)
{
    (void)arg;
    (void)number;
    if (world->calm) {
        return;
    }
    const struct nemesis *nemesis = world->nemesis;
    if (nemesis->kind_count > 0) {
        deeds[nemesis->kinds[world_below(world, nemesis->kind_count)]](world);
    }
    world_at(world, world_between(world, 0, world->nemesis->pace_us), NULL, on_deed, NULL, 0);
}

void nemesis_start(struct world *world)
{
    /* Few kinds at a time, and sometimes all: what is rare must have room to show. */
    static const int64_t paces_us[] = {20 * SIM_MS, 80 * SIM_MS, 300 * SIM_MS};
    struct nemesis *nemesis = world->nemesis = sim_alloc(sizeof *nemesis);
    const unsigned share = world_chance(world, 200) ? 1000 : world_chance(world, 500) ? 300 : 120;
    for (unsigned i = 0; i < FAULT_COUNT; i++) {
        if ((world->plan.faults & UINT64_C(1) << i) != 0 &&
            (world_chance(world, share) || world->plan.faults == UINT64_C(1) << i)) {
            nemesis->kinds[nemesis->kind_count++] = i;
        }
    }
    nemesis->pace_us = paces_us[world_below(world, 3)];
    world_at(world, bound_us(world) * 3, NULL, on_deed, NULL, 0);
}

void nemesis_heal(struct world *world)
{
    TRACE(world, "calm");
    world->calm = true;
    for (unsigned i = 0; i < world->node_count; i++) {
        for (unsigned j = 0; j < NODE_THREADS; j++) {
            world->nodes[i]->threads[j].paused_until_us = 0;
        }
        world->nodes[i]->is_cut = false;
    }
    if (world->nemesis->failing_over) { /* the split heals, the crashed one is replaced */
        world->nemesis->failing_over = false;
        if (!world->truth->alive) {
            take_over(world, &world->nemesis->replica);
        }
    }
    for (struct redis *redis = world->redis; redis != NULL; redis = redis->next) {
        redis->drop_frames = redis->repeat_frames = redis->drop_keys = redis->flips = redis->gaps =
            0;
        redis->long_cycles = 0;
        redis->dies_unsaid = false;
        redis->paused_until_us = 0;
        redis->has_beside = false;
    }
    world->truth->refusal = REDIS_WRITES;
    world->truth->alive = true;
    world->endpoint = world->truth;
    redis_wake(world->truth);
    for (struct conn *conn = world->conns; conn != NULL; conn = conn->next) {
        net_thaw(&conn->up);
        net_thaw(&conn->down);
        conn->latency_us = conn->usual_latency_us = 200;
        conn->jitter_us = 200;
    }
}

void nemesis_free(struct nemesis *nemesis)
{
    free(nemesis);
}
