/* SPDX-License-Identifier: BSD-3-Clause */
/* sim -- several nodes, one fake Redis, one thread, virtual time (RELIABILITY R14).
 *
 *      sim [--seed N | --seeds A..B] [--steps N] [--nodes N] [--managed] [--faults a,b,..] [--count] [--strict] [--trace]
 *
 * Each seed is a storm of faults over nodes that run the product's own tiers/, followed by calm; invariants of COHERENCE
 * section 9 are judged all the time (oracle.h, node.c) and at rest (here). The first seed that violates one ends the
 * run: exit 1, with the invariant, what happened, and how to see it again. --managed makes k1 and k2 managed keys,
 * whose missed writes come out of the log (coherence_replay.c); --count goes on and counts; --strict judges
 * sessions across a split brain, too; --trace tells everything.
 *
 * Exit: 0 all seeds hold; 1 a violation, or a CHECK of the product failed; 2 usage. */
#include "protocol/check.h"
#include "tests/sim/client.h"
#include "tests/sim/nemesis.h"
#include "tests/sim/node.h"
#include "tests/sim/oracle.h"
#include "tests/sim/redis.h"
#include "tests/sim/saved.h"
#include "tests/sim/warmer.h"
#include "tiers/managed.h"

#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum {
    STEPS_DEFAULT = 300,
    STEP_US = 10000,
    REST_STEP_US = 20000,
};
/* Back to SYNCED within 5 s of the end of all trouble is the product's promise; what waited for an answer may have
 * waited that long before. */
#define REST_US (20000 * SIM_MS)

struct totals {
    uint64_t seeds;
    uint64_t failed;
    uint64_t events;
    uint64_t reads;
    uint64_t hits;
    uint64_t old_reads;
    uint64_t writes;
    uint64_t told;
    uint64_t replays_whole;
    uint64_t replays_short;
    uint64_t warmed;
    uint64_t saves;
    uint64_t returns;
    uint64_t returns_whole;
};

/* For the handler of SIGABRT, which gets no argument. */
static uint64_t seed_under_way; // NOLINT

static void on_abort(int signal)
{
    char text[96];
    (void)signal;
    const int size =
        snprintf(text, sizeof text, "sim: a CHECK failed in seed %" PRIu64 "\n", seed_under_way);
    (void)!write(STDERR_FILENO, text, (size_t)size);
    _exit(1);
}

/* --- at rest -------------------------------------------------------------------------------------------------------- */

/* Everything that changed is older than what each node has proved. */
static bool is_settled(const struct world *world, int64_t calm_us)
{
    for (unsigned i = 0; i < world->node_count; i++) {
        const struct node *node = world->nodes[i];
        if (!node_is_synced(node) || node_proved_us(node) <= calm_us ||
            node_proved_us(node) <= world->oracle->changed_us ||
            (node->deaf_us != 0 && world->now_us - node->deaf_us < 2 * oracle_bound_us(world, 0))) {
            return false;
        }
    }
    return client_busy(world) == 0;
}

/* I2. */
static void judge_rest(struct world *world)
{
    for (unsigned i = 0; i < world->node_count * SIM_SLOTS && !world->failed; i++) {
        struct node *node = world->nodes[i / SIM_SLOTS];
        const unsigned slot = i % SIM_SLOTS;
        const struct redis_value truth = world->truth->data.slots[slot];
        if (truth.expire_us != 0 && truth.expire_us <= world->now_us) {
            continue; /* its end is on its way */
        }
        char room[128];
        struct l1_value value = {.copy = room, .copy_room = sizeof room};
        const struct ns_key key =
            namespaces_key(node->namespaces, (uint8_t)redis_slot_db(slot), redis_slot_key(slot));
        if (tiers_get_here(node_begin_batch(node, 0), &key, &value) != OK) {
            continue;
        }
        struct slice shown = value.bytes;
        struct managed_value managed;
        if (key.ns->managed && managed_open(value.bytes, ITEM_NEVER, &managed) == OK) {
            shown = managed.value;
        }
        char text[32];
        const int size = snprintf(text, sizeof text, "v%" PRIu64, truth.write);
        if (shown.size != (size_t)size || memcmp(shown.data, text, (size_t)size) != 0) {
            world_fail(world, "I2", "at rest node %u holds %.*s in slot %u, Redis v%" PRIu64,
                       node->slot, (int)shown.size, shown.data, slot, truth.write);
        }
        item_release(value.item);
    }
}

static void rest(struct world *world)
{
    const int64_t calm_us = world->now_us;
    nemesis_heal(world);
    while (!world->failed && !is_settled(world, calm_us)) {
        if (world->now_us - calm_us > REST_US) {
            unsigned synced = 0;
            for (unsigned i = 0; i < world->node_count; i++) {
                synced += node_is_synced(world->nodes[i]);
                node_trace(world->nodes[i]);
            }
            world_fail(
                world, "LIVE",
                "%d s after the last trouble %u of %u nodes are SYNCED, %u calls have no answer",
                (int)(REST_US / SIM_MS / 1000), synced, world->node_count, client_busy(world));
            return;
        }
        world_run(world, world->now_us + REST_STEP_US);
    }
    if (!world->failed) {
        judge_rest(world);
    }
}

/* --- a seed --------------------------------------------------------------------------------------------------------- */

static void choose(struct world *world)
{
    static const uint32_t bounds_ms[] = {200, 400, 1000};
    static const int64_t timeouts_ms[] = {150, 500, 2000};
    world->bound_ms = bounds_ms[world_below(world, 3)];
    world->wide_bound_ms = world->bound_ms * (world_chance(world, 200) ? 3 : 1);
    world->read_timeout_ms = timeouts_ms[world_below(world, 3)];
    world->relay_timeout_ms = world->read_timeout_ms * 2;
    world->l1_bytes = world_chance(world, 100) ? 4096 : 1 << 20;
    world->look_bytes = world->plan.seed % 2 == 0 ? 3 : 0;
    world->lags = world_chance(world, 400);
    world->refusals = world_chance(world, 300) ? 400 : 30;
    world->slices = world_chance(world, 200);
    world->has_strict = world_chance(world, 400);
    world->node_count =
        world->plan.nodes != 0 ? world->plan.nodes : 1 + (unsigned)world_below(world, 4);
    world->worker_count = 1 + (unsigned)world_below(world, SIM_WORKERS_MAX);
}

static void world_free(struct world *world)
{
    node_free_all(world);
    client_free(world->client);
    warmer_free(world->warmer);
    nemesis_free(world->nemesis);
    redis_free_all(world);
    saved_free(world);
    net_free_all(world);
    oracle_free(world->oracle);
    world_done(world);
}

static bool run_seed(const struct plan *plan, struct totals *totals)
{
    struct world world = {.plan = *plan};
    seed_under_way = plan->seed;
    rand_seed(&world.rand, plan->seed);
    world.now_us = SIM_MS;
    choose(&world);
    world.oracle = oracle_new(&world);
    world.truth = world.endpoint = redis_new(&world);
    for (unsigned i = 0; i < world.node_count; i++) {
        (void)node_new(&world, i);
    }
    world.client = client_new(&world);
    client_start(&world);
    nemesis_start(&world);
    world.warmer = warmer_new(&world);
    warmer_start(&world);
    world_run(&world, (int64_t)plan->steps * STEP_US);
    if (!world.failed) {
        rest(&world);
    }
    world.calm = true;
    totals->seeds++;
    totals->failed += world.failed;
    totals->events += world.events_run;
    totals->reads += world.oracle->reads;
    totals->hits += world.oracle->hits;
    totals->old_reads += world.oracle->old_reads;
    totals->writes += world.oracle->write_count;
    totals->warmed += world.warmed;
    totals->told += world.oracle->told_count;
    totals->replays_whole += world.replays_whole;
    totals->replays_short += world.replays_short;
    totals->saves += world.saves;
    totals->returns += world.returns;
    totals->returns_whole += world.returns_whole;
    const bool failed = world.failed;
    if (failed) {
        printf("sim: seed %" PRIu64 ": %s\n", plan->seed, world.failure);
    }
    world.failed = true; /* what the end says is judged by nobody */
    world_free(&world);
    return !failed;
}

/* --- arguments ------------------------------------------------------------------------------------------------------ */

struct arguments {
    struct plan plan;
    uint64_t first;
    uint64_t last;
    bool count;
};

static void usage(const char *what)
{
    fprintf(stderr,
            "sim: %s\nusage: sim [--seed N | --seeds A..B] [--steps N] [--nodes 1..%d] [--managed] "
            "[--faults all|default|NAME,NAME...] [--count] [--strict] [--trace]\nfaults:",
            what, SIM_NODES_MAX);
    for (unsigned i = 0; i < FAULT_COUNT; i++) {
        fprintf(stderr, " %s", nemesis_names[i]);
    }
    fputc('\n', stderr);
    exit(2);
}

static uint64_t faults_of(char *names)
{
    uint64_t faults = 0;
    for (char *name = strtok(names, ","); name != NULL; name = strtok(NULL, ",")) {
        unsigned i = 0;
        while (i < FAULT_COUNT && strcmp(name, nemesis_names[i]) != 0) {
            i++;
        }
        if (strcmp(name, "all") == 0) {
            faults = (UINT64_C(1) << FAULT_COUNT) - 1;
        } else if (strcmp(name, "default") == 0) {
            faults |= NEMESIS_DEFAULT;
        } else if (i == FAULT_COUNT) {
            usage("unknown fault");
        } else {
            faults |= UINT64_C(1) << i;
        }
    }
    return faults;
}

static uint64_t number(const char *text, char **end)
{
    const uint64_t value = strtoull(text, end, 10);
    if (*end == text) {
        usage("a number is expected");
    }
    return value;
}

static struct arguments arguments_read(int argc, char **argv)
{
    struct arguments arguments = {
        .plan = {.steps = STEPS_DEFAULT, .faults = NEMESIS_DEFAULT}, .first = 1, .last = 1000};
    for (int i = 1; i < argc; i++) {
        const char *name = argv[i];
        char *end = NULL;
        if (strcmp(name, "--count") == 0) {
            arguments.count = true;
            continue;
        }
        if (strcmp(name, "--strict") == 0) {
            arguments.plan.strict = true;
            continue;
        }
        if (strcmp(name, "--managed") == 0) {
            arguments.plan.managed = true;
            arguments.plan.faults = NEMESIS_MANAGED;
            continue;
        }
        if (strcmp(name, "--trace") == 0) {
            arguments.plan.trace = true;
            continue;
        }
        if (i + 1 == argc) {
            usage("an argument is missing");
        }
        char *value = argv[++i];
        if (strcmp(name, "--seed") == 0) {
            arguments.first = arguments.last = number(value, &end);
        } else if (strcmp(name, "--seeds") == 0) {
            arguments.first = number(value, &end);
            if (strncmp(end, "..", 2) != 0) {
                usage("--seeds wants A..B");
            }
            arguments.last = number(end + 2, &end);
        } else if (strcmp(name, "--steps") == 0) {
            arguments.plan.steps = (unsigned)number(value, &end);
        } else if (strcmp(name, "--nodes") == 0) {
            arguments.plan.nodes = (unsigned)number(value, &end);
            if (arguments.plan.nodes > SIM_NODES_MAX) {
                usage("too many nodes");
            }
        } else if (strcmp(name, "--faults") == 0) {
            arguments.plan.faults = faults_of(value);
            end = value + strlen(value);
        } else {
            usage("unknown argument");
        }
    }
    return arguments;
}

int main(int argc, char **argv)
{
    struct arguments arguments = arguments_read(argc, argv);
    struct totals totals = {0};
    (void)signal(SIGABRT, on_abort);
    const clock_t began = clock();
    for (uint64_t seed = arguments.first; seed <= arguments.last; seed++) {
        arguments.plan.seed = seed;
        if (!run_seed(&arguments.plan, &totals) && !arguments.count) {
            printf("sim: to see it: sim --seed %" PRIu64 " --steps %u%s --trace\n", seed,
                   arguments.plan.steps, argc > 3 ? " (and what else was said)" : "");
            break;
        }
    }
    const double seconds = (double)(clock() - began) / CLOCKS_PER_SEC;
    printf("sim: %" PRIu64 " seeds, %" PRIu64 " failed; %" PRIu64 " events, %" PRIu64
           " reads (%" PRIu64 " hits, %" PRIu64 " of them or others not the newest), %" PRIu64
           " writes, %" PRIu64 " keys warmed, %" PRIu64 " strict answers, %" PRIu64
           " gaps told by the log, %" PRIu64 " not; %" PRIu64 " snapshots, %" PRIu64
           " nodes back with managed values, %" PRIu64 " of them proved; %.1f s\n",
           totals.seeds, totals.failed, totals.events, totals.reads, totals.hits, totals.old_reads,
           totals.writes, totals.warmed, totals.told, totals.replays_whole, totals.replays_short,
           totals.saves, totals.returns, totals.returns_whole, seconds);
    return totals.failed > 0 ? 1 : 0;
}
