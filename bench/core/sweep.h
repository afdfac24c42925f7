/* SPDX-License-Identifier: BSD-3-Clause */
/* sweep.h -- recorded traces through an L1, in several rooms (--room 0.01,0.1) and under several policies (--policies
 * lru,density): what bench_policy and bench_whatif have in common. The same seed each time, so the same numbers.
 *
 * Units:   milliseconds of a clock that stands at SWEEP_T0 when the trace begins.
 * Errors:  the program ends with SWEEP_USAGE. */
#ifndef TERRACE_BENCH_CORE_SWEEP_H
#define TERRACE_BENCH_CORE_SWEEP_H

#include "bench/trace.h"
#include "tiers/l1.h"

enum {
    SWEEP_MAX = 32, /* rooms, and policies */
    SWEEP_USAGE = 64,
    SWEEP_T0 = 1000000
};

struct sweep {
    bool ttl; /* values expire by the trace's clock; else never, and a request takes a ms */
    unsigned room_count;
    double rooms[SWEEP_MAX]; /* shares above 0 and up to 1 */
    unsigned policy_count;
    const struct policy *policies[SWEEP_MAX];
};

/* Says both on stderr and ends with SWEEP_USAGE. */
void sweep_die(const char *text, const char *what) __attribute__((noreturn));
/* Instead of what was there. `text` is cut into words; a bad one ends the program. */
void sweep_take_rooms(struct sweep *sweep, char *text);
void sweep_take_policies(struct sweep *sweep, char *text);

/* Returns what the trace is called in a row of a table, a part of `path`. The caller ends it by trace_done. */
const char *sweep_read(struct trace *trace, const char *path);
/* When request i comes, of which the one before came at before_ms: the trace's seconds, told apart within, so that requests
 * of the same second are a millisecond apart. */
int64_t sweep_time(const struct sweep *sweep, const struct trace *trace, uint32_t i,
                   int64_t before_ms);
/* `shards` 0: as many as a node has. */
struct l1 *sweep_l1(const struct policy *policy, size_t bytes_max, unsigned shards);
/* What answers the request, with a reference for the caller. */
struct item *sweep_item(const struct sweep *sweep, struct l1 *l1, const struct l1_key *key,
                        const struct trace_request *request, size_t value_size, int64_t now_ms);

#endif
