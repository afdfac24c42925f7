/* SPDX-License-Identifier: BSD-3-Clause */
/* L0 with several threads: readers of the application, one who writes, and the loop's thread, which reads for them and is told
 * by the node of each write, some time after. For ThreadSanitizer; and nobody is shown what its proof rules out.
 *
 * A version is a number; time is counted by the node, one tick for each thing it does. */
#include "tests/unit/near_help.h"
#include "tests/unit/seed_help.h"
#include "tiers/base/rand.h"

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdlib.h>

enum {
    READERS = 3,
    KEYS = 8,
    STEPS = 60000,
    TOLD_MAX = 16, /* writes that wait to be told */
    BOUND = 64,    /* T, in ticks */
};

struct written {
    unsigned key;
    int64_t at;
};

struct world {
    struct near *near;
    uint64_t seed;
    _Atomic uint64_t readers;
    _Atomic int64_t now;            /* ticks, from T0 on */
    _Atomic uint64_t version[KEYS]; /* as the node has it */
    _Atomic int64_t over[KEYS][64]; /* when version % 64 was replaced; 0: not yet */
    _Atomic bool is_over;
    _Atomic unsigned wrong;
    _Atomic uint64_t served;
};

static struct slice name_of(char room[16], unsigned key)
{
    return (struct slice){room, (size_t)snprintf(room, 16, "k%u", key)};
}

/* What is served was not replaced before now - T. */
static void read_one(struct world *world, unsigned key)
{
    char room[16];
    const int64_t now = atomic_load(&world->now);
    struct near_value got;
    if (near_get(world->near, name_of(room, key), now, INT64_MAX, 0, &got) != OK) {
        return;
    }
    uint64_t version;
    if (slice_to_u64(got.bytes, &version) != OK) {
        abort();
    }
    near_value_done(&got);
    const int64_t replaced = atomic_load(&world->over[key][version % 64]);
    if (replaced != 0 && replaced < now - BOUND) {
        atomic_fetch_add(&world->wrong, 1);
    }
    atomic_fetch_add(&world->served, 1);
}

static void *reader_main(void *arg)
{
    struct world *world = arg;
    struct rand rand;
    rand_seed(&rand, world->seed + atomic_fetch_add(&world->readers, 1) + 1);
    while (!atomic_load(&world->is_over)) {
        read_one(world, (unsigned)rand_below(&rand, KEYS));
        if (rand_below(&rand, 64) == 0) {
            char room[16];
            near_drop(world->near, name_of(room, (unsigned)rand_below(&rand, KEYS)));
        }
        if (rand_below(&rand, 256) == 0) {
            struct near_stats stats;
            near_stats(world->near, &stats);
            near_sweep(world->near, atomic_load(&world->now));
        }
    }
    return NULL;
}

/* The node and the loop's thread in one: it writes, answers questions early or late, and tells in order. */
struct node {
    struct world *world;
    struct rand rand;
    struct near_stream stream;
    struct written told[TOLD_MAX];
    unsigned untold;
    bool asks[KEYS];
    struct near_ticket tickets[KEYS];
    uint64_t answers[KEYS]; /* 0: not looked up yet */
};

static int64_t tick(struct node *node)
{
    return atomic_fetch_add(&node->world->now, 1) + 1;
}

static void node_write(struct node *node)
{
    if (node->untold == TOLD_MAX) {
        return;
    }
    const unsigned key = (unsigned)rand_below(&node->rand, KEYS);
    const uint64_t version = atomic_load(&node->world->version[key]);
    const int64_t now = tick(node);
    atomic_store(&node->world->over[key][(version + 1) % 64], 0);
    atomic_store(&node->world->version[key], version + 1);
    atomic_store(&node->world->over[key][version % 64], now);
    node->told[node->untold++] = (struct written){.key = key, .at = now};
}

static void node_tell(struct node *node)
{
    if (node->untold == 0) {
        return;
    }
    char room[16];
    const struct slice key = name_of(room, node->told[0].key);
    const bool all = rand_below(&node->rand, 200) == 0;
    if (near_stream_event(node->world->near, &node->stream, node->stream.seq + 1, &key, 1, all,
                          tick(node)) != OK) {
        abort();
    }
    node->untold--;
    memmove(node->told, node->told + 1, node->untold * sizeof *node->told);
}

/* All that was written before the oldest that is not told yet is proved. */
static void node_beat(struct node *node)
{
    const int64_t sent = tick(node);
    const int64_t proved = node->untold > 0 ? node->told[0].at : sent;
    const struct near_beat beat = {.seq = node->stream.seq,
                                   .sent_ms = sent,
                                   .has_horizon = true,
                                   .horizon_age_ms = (uint64_t)(sent - proved)};
    if (near_stream_beat(node->world->near, &node->stream, &beat, sent) != OK) {
        abort();
    }
}

static void node_ask_or_answer(struct node *node)
{
    struct near *near = node->world->near;
    const unsigned key = (unsigned)rand_below(&node->rand, KEYS);
    char room[16];
    const struct slice name = name_of(room, key);
    if (!node->asks[key]) {
        near_begin(near, &node->stream, name, tick(node), &node->tickets[key]);
        node->asks[key] = true;
        node->answers[key] = 0;
    } else if (node->answers[key] == 0) {
        node->answers[key] = atomic_load(&node->world->version[key]);
    } else {
        char digits[I64_DIGITS_MAX];
        const struct near_answer answer = {
            .value = {digits, i64_format(digits, (int64_t)node->answers[key])},
            .ttl_ms = -1,
            .near_ms = BOUND};
        if (rand_below(&node->rand, 20) == 0) {
            near_fail(near, name, &node->tickets[key]);
        } else {
            near_land(near, name, &node->tickets[key], &answer, tick(node));
        }
        node->asks[key] = false;
    }
}

static void node_step(struct node *node)
{
    switch (rand_below(&node->rand, 16)) {
    case 0: node_write(node); break;
    case 1:
    case 2: node_tell(node); break;
    case 3: node_beat(node); break;
    case 4:
        if (rand_below(&node->rand, 200) == 0) {
            near_stream_lost(node->world->near, &node->stream, tick(node));
            node->untold = 0;
            if (near_stream_open(node->world->near, &node->stream, tick(node)) != OK) {
                abort();
            }
        }
        break;
    default: node_ask_or_answer(node); break;
    }
}

static void nobody_is_shown_what_the_proof_rules_out(void **state)
{
    (void)state;
    static struct world world;
    world = (struct world){.near = help_near(1 << 20), .seed = help_seed()};
    atomic_init(&world.now, T0);
    for (unsigned i = 0; i < KEYS; i++) {
        atomic_init(&world.version[i], 1);
    }
    struct node node = {.world = &world, .stream = help_open(world.near, T0)};
    rand_seed(&node.rand, world.seed);
    pthread_t readers[READERS];
    for (size_t i = 0; i < READERS; i++) {
        assert_int_equal(pthread_create(&readers[i], NULL, reader_main, &world), 0);
    }
    for (unsigned i = 0; i < HELP_ROUNDS(STEPS); i++) {
        node_step(&node);
        if (i % 64 == 0) {
            sched_yield();
        }
    }
    atomic_store(&world.is_over, true);
    for (size_t i = 0; i < READERS; i++) {
        assert_int_equal(pthread_join(readers[i], NULL), 0);
    }
    assert_int_equal(world.wrong, 0);
    assert_true(world.served > 0);
    assert_true(help_near_stats(world.near).fills > 0);
    near_free(world.near);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nobody_is_shown_what_the_proof_rules_out),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
