/* SPDX-License-Identifier: BSD-3-Clause */
/* bench_policy: hit ratios of the eviction policies on recorded traces (trace.h), through the real L1.
 *
 *      bench_policy [--sizes] [--ttl] [--room 0.01,0.1] [--policies lru,density] [--shards N] TRACE...
 *
 * Each request reads its key; a miss stores it. The room is a share of all distinct keys of the trace, each counted once
 * as it first appears: in objects, or with --sizes in bytes of values. Simulators of policies count no overhead and no
 * pages, so L1 has no limit of its own here: before an insertion it is made to evict until the room holds what comes.
 * What is measured is thus whom L1 chooses, in the table, by the sampling and with the ghosts that a node has. --ttl lets
 * values expire by the trace's clock; otherwise a request takes a millisecond and nothing expires.
 *
 * Prints a line per trace, room and policy: hits, hits weighed by value size, the mean number of items. The numbers of
 * one seed are the same every time. */
#include "bench/core/sweep.h"
#include "protocol/check.h"
#include "tiers/l1_shard.h"

#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    ROOM_STEP = 256, /* requests between two looks at how many items there are */
    OBJECTS_MIN = 10,
};

struct choice {
    bool sizes;
    unsigned shards;
    struct sweep sweep;
};

struct run {
    const struct choice *choice;
    const struct trace *trace;
    struct l1 *l1;
    double room;     /* objects or bytes */
    double used;     /* of it */
    uint32_t *sizes; /* by key: as last stored */
    double overhead; /* of an item, beside its value (or all of it, if objects are counted) */
    unsigned turn;   /* shard that evicts next */
    int64_t now_ms;
    uint64_t hits;
    uint64_t bytes;
    uint64_t bytes_hit;
    double items_sum;
    uint64_t items_seen;
};

static struct item *make_item(const struct run *run, const struct l1_key *key,
                              const struct trace_request *request)
{
    const size_t size = run->choice->sizes ? request->size : 1;
    return sweep_item(&run->choice->sweep, run->l1, key, request, size, run->now_ms);
}

/* What an item takes beside the room that the simulators count, on average over the distinct keys. */
static double measure_overhead(const struct run *run)
{
    double footprints = 0;
    for (uint32_t i = 0; i < run->trace->key_count; i++) {
        const struct l1_key key = l1_key(run->l1, 0, trace_key(run->trace, i));
        struct item *item = make_item(run, &key, trace_first(run->trace, i));
        footprints += (double)item_footprint(item);
        item_release(item);
    }
    const double values = run->choice->sizes ? (double)run->trace->value_bytes : 0;
    return (footprints - values) / run->trace->key_count;
}

static uint64_t count_items(const struct run *run)
{
    struct l1_stats stats;
    l1_stats(run->l1, &stats);
    return stats.items;
}

/* The policy measures ages by the bytes that a full L1 holds. */
static void tell_room(struct run *run)
{
    const uint64_t items = count_items(run);
    const double bytes =
        run->choice->sizes ? run->room + (double)items * run->overhead : run->room * run->overhead;
    for (unsigned i = 0; i < run->l1->shard_count; i++) {
        struct policy_memory *memory = run->l1->shards[i].memory;
        if (memory != NULL) {
            policy_memory_set_budget(memory, (size_t)(bytes / run->l1->shard_count));
        }
    }
    run->items_sum += (double)items;
    run->items_seen++;
}

static double room_of(const struct run *run, uint32_t size)
{
    return run->choice->sizes ? size : 1;
}

static void make_room(struct run *run, uint32_t size)
{
    unsigned barren = 0;
    while (run->used + room_of(run, size) > run->room && barren < run->l1->shard_count) {
        struct item *victim = l1_evict_one(run->l1, run->turn, run->now_ms);
        run->turn = (run->turn + 1) % run->l1->shard_count;
        barren = victim == NULL ? barren + 1 : 0;
        if (victim != NULL) {
            run->used -= room_of(run, (uint32_t)item_value_size(victim));
            item_release(victim);
        }
    }
}

static void store(struct run *run, const struct trace_request *request, uint32_t size)
{
    const struct l1_key key = l1_key(run->l1, 0, trace_key(run->trace, request->key));
    struct item *item = make_item(run, &key, request);
    const struct l1_change change = {.l1 = run->l1, .key = key, .seen = L1_ANY, .item = item};
    const uint64_t before = count_items(run);
    CHECK(l1_commit(&change, 1, run->now_ms) == OK);
    item_release(item);
    run->used += room_of(run, size);
    if (count_items(run) == before) { /* in the place of one that had expired */
        run->used -= room_of(run, run->sizes[request->key]);
    }
    run->sizes[request->key] = size;
}

static void replay_one(struct run *run, const struct trace_request *request)
{
    const struct l1_key key = l1_key(run->l1, 0, trace_key(run->trace, request->key));
    const uint32_t size = run->choice->sizes ? request->size : 1;
    struct l1_value value = {.copy = NULL};
    run->bytes += size;
    const uint64_t before = run->choice->sweep.ttl ? count_items(run) : 0;
    if (l1_get(run->l1, &key, run->now_ms, 0, &value) == OK) {
        run->hits++;
        run->bytes_hit += size;
        item_release(value.item);
        return;
    }
    if (run->choice->sweep.ttl && count_items(run) < before) { /* it had expired, and is gone */
        run->used -= room_of(run, run->sizes[request->key]);
    }
    if (run->choice->sizes && size > run->room) {
        return;
    }
    make_room(run, size);
    store(run, request, size);
}

static void replay(struct run *run)
{
    run->overhead = measure_overhead(run);
    run->sizes = calloc(run->trace->key_count, sizeof *run->sizes);
    if (run->sizes == NULL) {
        sweep_die("out of memory", "");
    }
    for (uint32_t i = 0; i < run->trace->count; i++) {
        run->now_ms = sweep_time(&run->choice->sweep, run->trace, i, run->now_ms);
        if (i % ROOM_STEP == 0) {
            tell_room(run);
        }
        replay_one(run, &run->trace->requests[i]);
    }
    free(run->sizes);
}

static void replay_policy(const struct choice *choice, const struct trace *trace, const char *name,
                          double share, const struct policy *policy)
{
    const double all = choice->sizes ? (double)trace->value_bytes : trace->key_count;
    struct run run = {.choice = choice, .trace = trace, .room = all * share, .now_ms = SWEEP_T0};
    if (share * trace->key_count < OBJECTS_MIN) {
        return;
    }
    run.l1 = sweep_l1(policy, SIZE_MAX / 2, choice->shards);
    replay(&run);
    (void)printf("%-28s %-6g %-16s hits %.4f  bytes %.4f  items %.0f\n", name, share, policy->name,
                 (double)run.hits / trace->count, (double)run.bytes_hit / (double)run.bytes,
                 run.items_sum / (double)run.items_seen);
    (void)fflush(stdout);
    l1_free(run.l1);
}

static void replay_trace(const struct choice *choice, const char *path)
{
    struct trace trace = {0};
    const char *name = sweep_read(&trace, path);
    for (unsigned r = 0; trace.count > 0 && r < choice->sweep.room_count; r++) {
        for (unsigned p = 0; p < choice->sweep.policy_count; p++) {
            replay_policy(choice, &trace, name, choice->sweep.rooms[r], choice->sweep.policies[p]);
        }
    }
    trace_done(&trace);
}

/* --- options ------------------------------------------------------------------------------------------------------ */

static void take_shards(struct choice *choice, const char *text)
{
    int64_t number = 0;
    if (slice_to_i64(slice_of(text), &number) != OK || number < 1 || number > 64) {
        sweep_die("--shards: not a number from 1 to 64: ", text);
    }
    choice->shards = (unsigned)number;
}

int main(int argc, char **argv)
{
    static const struct option options[] = {
        {"sizes", no_argument, NULL, 's'},        {"ttl", no_argument, NULL, 't'},
        {"room", required_argument, NULL, 'r'},   {"policies", required_argument, NULL, 'p'},
        {"shards", required_argument, NULL, 'n'}, {0},
    };
    struct choice choice = {
        .shards = 1,
        .sweep = {.room_count = 2,
                  .rooms = {0.01, 0.1},
                  .policy_count = 4,
                  .policies = {&policy_lru, &policy_lfu, &policy_s3fifo, &policy_density}}};
    for (int option; (option = getopt_long(argc, argv, "", options, NULL)) != -1;) {
        switch (option) {
        case 's': choice.sizes = true; break;
        case 't': choice.sweep.ttl = true; break;
        case 'r': sweep_take_rooms(&choice.sweep, optarg); break;
        case 'p': sweep_take_policies(&choice.sweep, optarg); break;
        case 'n': take_shards(&choice, optarg); break;
        default: return SWEEP_USAGE;
        }
    }
    if (optind == argc) {
        sweep_die(
            "which trace? usage: bench_policy [--sizes] [--ttl] [--room SHARES] [--policies NAMES] "
            "[--shards N] TRACE...",
            "");
    }
    for (int i = optind; i < argc; i++) {
        replay_trace(&choice, argv[i]);
    }
    return 0;
}
