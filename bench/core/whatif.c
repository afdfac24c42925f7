/* SPDX-License-Identifier: BSD-3-Clause */
/* bench_whatif: how far what the simulators of whatif.h say is from what L1 then does, on recorded traces (trace.h).
 *
 *      bench_whatif [--ttl] [--value BYTES] [--room 0.01,0.1] [--policies lru,density] [--slots N] TRACE...
 *
 * Each request reads its key; a miss stores it. The room is a share of what all distinct keys of the trace take as items.
 * Under each policy named, L1 runs with simulators in that room; then the same without them in the rooms and under the
 * policies that were asked for. --ttl lets values expire by the trace's clock; otherwise a request takes a millisecond.
 * --value: all values have this size instead of the trace's. --slots 0 (the default): as a node has them by its memory.
 *
 * Prints a line per trace, room, and change: predicted, real, the difference; last the mean of what it is without sign.
 * Policies that refuse when they find no victim are counted by themselves: without TTLs all of them keep who came first,
 * so that few keys decide, and a sample can say little. */
#include "bench/core/sweep.h"
#include "protocol/check.h"
#include "tiers/l1.h"

#include <getopt.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    ITEM_BESIDE = 14, /* of the table */
    RESIZE_STEP = 512,
};

struct choice {
    int64_t value; /* -1: of the trace */
    unsigned slots;
    struct sweep sweep;
};

enum kind {
    KIND_MEMORY,
    KIND_EVICTING, /* policies that always find a victim */
    KIND_REFUSING,
    KINDS
};

struct error {
    double sum;
    double worst;
    unsigned count;
};

static struct item *make_item(struct l1 *l1, const struct choice *choice, const struct l1_key *key,
                              const struct trace_request *request, int64_t now_ms)
{
    const size_t size = choice->value >= 0 ? (size_t)choice->value : request->size;
    return sweep_item(&choice->sweep, l1, key, request, size, now_ms);
}

static double bytes_of_all(const struct choice *choice, const struct trace *trace)
{
    struct l1 *l1 = sweep_l1(&policy_lru, 0, 0);
    double bytes = 0;
    for (uint32_t i = 0; i < trace->key_count; i++) {
        const struct l1_key key = l1_key(l1, 0, trace_key(trace, i));
        struct item *item = make_item(l1, choice, &key, trace_first(trace, i), SWEEP_T0);
        bytes += (double)item_footprint(item) + ITEM_BESIDE;
        item_release(item);
    }
    l1_free(l1);
    return bytes;
}

static void store(struct l1 *l1, const struct choice *choice, const struct l1_key *key,
                  const struct trace_request *request, int64_t now_ms)
{
    struct item *item = make_item(l1, choice, key, request, now_ms);
    const struct l1_change change = {.l1 = l1, .key = *key, .seen = L1_ANY, .item = item};
    const enum status status = l1_commit(&change, 1, now_ms);
    CHECK(status == OK || status == TOO_BIG);
    item_release(item);
}

/* What they take comes on top of the room, or that of a small trace would not be the same with them and without. */
static void add_simulators(struct l1 *l1, double bytes, int64_t now_ms)
{
    struct l1_stats stats;
    l1_stats(l1, &stats);
    l1_resize(l1, (size_t)bytes + stats.bytes_whatif, now_ms);
}

/* Hit ratio. `report` NULL: without simulators. */
static double replay(const struct choice *choice, const struct trace *trace,
                     const struct policy *policy, double bytes, struct whatif_report *report)
{
    struct l1 *l1 = sweep_l1(policy, (size_t)bytes, 0);
    int64_t now_ms = SWEEP_T0;
    uint64_t hits = 0;
    if (report != NULL) {
        l1_set_whatif(l1,
                      &(struct l1_whatif_setting){.slots = choice->slots, .window = UINT64_MAX});
    }
    for (uint32_t i = 0; i < trace->count; i++) {
        const struct trace_request *request = &trace->requests[i];
        const struct l1_key key = l1_key(l1, 0, trace_key(trace, request->key));
        struct l1_value value = {.copy = NULL};
        if (report != NULL && i % RESIZE_STEP == 0) {
            add_simulators(l1, bytes, now_ms);
        }
        now_ms = sweep_time(&choice->sweep, trace, i, now_ms);
        if (l1_get(l1, &key, now_ms, 0, &value) == OK) {
            hits++;
            item_release(value.item);
        } else {
            store(l1, choice, &key, request, now_ms);
        }
    }
    if (report != NULL && (l1_whatif(l1, report) != OK || report->requests == 0)) {
        sweep_die("no simulators: give --slots, or more room", "");
    }
    l1_free(l1);
    return (double)hits / trace->count;
}

static void compare(const char *name, double room, const struct policy *policy, const char *change,
                    double predicted, double real, struct error *error)
{
    const double off = 100 * (predicted - real);
    (void)printf("%-26s %-6g %-8s %-16s %.4f  real %.4f  off %+.2f points\n", name, room,
                 policy->name, change, predicted, real, off);
    (void)fflush(stdout);
    error->sum += fabs(off);
    error->worst = fmax(error->worst, fabs(off));
    error->count++;
}

static void replay_policy(const struct choice *choice, const struct trace *trace, const char *name,
                          double room, double bytes, const struct policy *policy,
                          const double *at_policy, struct error errors[KINDS])
{
    struct whatif_report report;
    const struct policy *other;
    (void)replay(choice, trace, policy, bytes, &report);
    (void)printf("%s %g %s: %" PRIu64 " of %u requests sampled\n", name, room, policy->name,
                 report.requests, trace->count);
    for (unsigned i = 0; i < WHATIF_SCALES; i++) {
        char change[16];
        (void)snprintf(change, sizeof change, "%gx", whatif_scales[i]);
        compare(name, room, policy, change, report.at_scale[i],
                replay(choice, trace, policy, bytes * whatif_scales[i], NULL),
                &errors[KIND_MEMORY]);
    }
    for (unsigned i = 0; (other = policy_at(i)) != NULL; i++) {
        if (other != policy) {
            compare(name, room, policy, other->name, report.at_policy[i], at_policy[i],
                    &errors[other->refuses ? KIND_REFUSING : KIND_EVICTING]);
        }
    }
}

static void replay_trace(const struct choice *choice, const char *path, struct error errors[KINDS])
{
    struct trace trace = {0};
    const char *name = sweep_read(&trace, path);
    const double all = bytes_of_all(choice, &trace);
    for (unsigned r = 0; trace.count > 0 && r < choice->sweep.room_count; r++) {
        const double bytes = all * choice->sweep.rooms[r];
        double at_policy[WHATIF_POLICIES_MAX];
        const struct policy *policy;
        for (unsigned i = 0; (policy = policy_at(i)) != NULL; i++) {
            at_policy[i] = replay(choice, &trace, policy, bytes, NULL);
        }
        for (unsigned p = 0; p < choice->sweep.policy_count; p++) {
            replay_policy(choice, &trace, name, choice->sweep.rooms[r], bytes,
                          choice->sweep.policies[p], at_policy, errors);
        }
    }
    trace_done(&trace);
}

/* --- options ------------------------------------------------------------------------------------------------------ */

static int64_t take_number(const char *option, const char *text)
{
    int64_t number = 0;
    if (slice_to_i64(slice_of(text), &number) != OK || number < 0 || number > 1 << 24) {
        sweep_die(option, text);
    }
    return number;
}

int main(int argc, char **argv)
{
    static const struct option options[] = {
        {"ttl", no_argument, NULL, 't'},         {"value", required_argument, NULL, 'v'},
        {"room", required_argument, NULL, 'r'},  {"policies", required_argument, NULL, 'p'},
        {"slots", required_argument, NULL, 'n'}, {0},
    };
    struct choice choice = {.value = -1,
                            .sweep = {.room_count = 2,
                                      .rooms = {0.01, 0.1},
                                      .policy_count = 2,
                                      .policies = {&policy_density, &policy_lru}}};
    struct error errors[KINDS] = {{0}};
    for (int option; (option = getopt_long(argc, argv, "", options, NULL)) != -1;) {
        switch (option) {
        case 't': choice.sweep.ttl = true; break;
        case 'v': choice.value = take_number("--value: not a number of bytes: ", optarg); break;
        case 'r': sweep_take_rooms(&choice.sweep, optarg); break;
        case 'p': sweep_take_policies(&choice.sweep, optarg); break;
        case 'n':
            choice.slots = (unsigned)take_number("--slots: not a power of two: ", optarg);
            break;
        default: return SWEEP_USAGE;
        }
    }
    if (optind == argc) {
        sweep_die("which trace? usage: bench_whatif [--ttl] [--value BYTES] [--room SHARES] "
                  "[--policies NAMES] [--slots N] TRACE...",
                  "");
    }
    for (int i = optind; i < argc; i++) {
        replay_trace(&choice, argv[i], errors);
    }
    static const char *const kinds[] = {"memory", "evicting policies", "refusing policies"};
    for (unsigned i = 0; i < KINDS; i++) {
        (void)printf("%s: mean error %.2f points, largest %.2f, of %u\n", kinds[i],
                     errors[i].sum / errors[i].count, errors[i].worst, errors[i].count);
    }
    return 0;
}
