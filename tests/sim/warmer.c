/* SPDX-License-Identifier: BSD-3-Clause */
#include "tests/sim/warmer.h"

#include "protocol/check.h"
#include "tests/sim/node.h"
#include "tests/sim/redis.h"
#include "tiers/prefetch.h"

#include <stdlib.h>

struct warmer {
    bool runs;
    int64_t pause_us; /* between two keys, at most */
    unsigned forced;  /* per mille of them: whatever stands */
};

struct warm {
    struct tiers_prefetch prefetch; /* first */
    struct world *world;
    unsigned slot;
};

struct warmer *warmer_new(struct world *world)
{
    struct warmer *warmer = sim_alloc(sizeof *warmer);
    warmer->runs = world_chance(world, 500);
    warmer->pause_us = world_between(world, 1, 30) * SIM_MS;
    warmer->forced = world_chance(world, 300) ? 800 : 100;
    return warmer;
}

void warmer_free(struct warmer *warmer)
{
    free(warmer);
}

static void on_done(struct tiers_prefetch *prefetch, const struct prefetch_result *result)
{
    struct warm *warm = (struct warm *)(void *)prefetch;
    warm->world->warmed += result->outcome == PREFETCH_LOADED;
    free(warm);
}

static void on_warm(struct world *world, void *arg, uint64_t worker)
{
    struct node *node = arg;
    struct prefetch_result result = {0};
    if (node->dying) {
        return;
    }
    struct warm *warm = sim_alloc(sizeof *warm);
    warm->world = world;
    warm->slot = (unsigned)world_below(world, SIM_SLOTS);
    warm->prefetch.on_done = on_done;
    warm->prefetch.heat = (uint8_t)world_below(world, 256);
    warm->prefetch.mode = world_chance(world, world->warmer->forced) ? PREFETCH_FORCE
                          : world_chance(world, 500)                 ? PREFETCH_STALE
                                                                     : PREFETCH_MISSING;
    const struct ns_key key = namespaces_key(node->namespaces, (uint8_t)redis_slot_db(warm->slot),
                                             redis_slot_key(warm->slot));
    const enum status status =
        tiers_prefetch(node_begin_batch(node, (unsigned)worker), &key, &warm->prefetch, &result);
    TRACE(world, "node %u.%u warms slot %u%s", node->slot, (unsigned)worker, warm->slot,
          status == PENDING ? "" : ": not now");
    if (status != PENDING) {
        free(warm);
    }
}

static void on_next(struct world *world, void *arg, uint64_t number)
{
    struct warmer *warmer = arg;
    struct node *node = world->nodes[world_below(world, world->node_count)];
    const unsigned worker = (unsigned)world_below(world, world->worker_count);
    (void)number;
    if (world->calm) {
        return;
    }
    world_at(world, world_between(world, 1, warmer->pause_us), NULL, on_next, warmer, 0);
    if (node != NULL) {
        world_at(world, 0, &node->threads[1 + worker], on_warm, node, worker);
    }
}

void warmer_start(struct world *world)
{
    if (world->warmer->runs) {
        world_at(world, world->warmer->pause_us, NULL, on_next, world->warmer, 0);
    }
}
