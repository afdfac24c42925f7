/* SPDX-License-Identifier: BSD-3-Clause */
/* warm_run.h -- brings lists of keys in, no faster than its pace: one engine, on the first worker's loop, for everything that
 * warms: jobs of the queue, the join of a node, suspects of a snapshot, refreshes before expiry.
 *
 *      warm_run_new -> warm_run_feed (a list of keys)
 *          each millisecond, and with each answer: paces say how many -> tiers_prefetch each ~> on_result
 *          ~> (all) on_hungry -> feed ...
 *
 * WHO GOES FIRST: of several runs the one of the highest priority; equals in turn, WARM_TURN keys each. What a run may
 * not do by its own pace is the next one's.
 *
 * YIELDING: the engine's pace (tiers/warm_pace.h) is `warm-rate` keys a second of all runs together, 0: none at all. Each
 * second it halves if the foreground's p99 (turns.h: of all workers, in that second) is above `warm-p99-target`, or L2's
 * round trip (the mean of those of its own reads that L2 answered in that second) above `warm-l2-target`; else it grows
 * by a tenth.
 *
 * FAILURES that may pass (changed meanwhile, no answer) are tried again, WARM_ATTEMPTS_MAX times, after 100, 200, 400 ... ms,
 * a quarter up and down. While nothing can be kept or L2 cannot be asked, no run goes on, and no key counts as tried; the
 * engine tries again with one key after such delays, of 5 s at most. When the node drains it stops.
 *
 * Owns:    runs; keys, tag and pace of a run are the feeder's, a key until its result.
 * Threads: the first worker's loop; warm_engine_describe any. Callbacks come from that loop's turns, never from inside
 *          warm_run_new or warm_run_feed; a callback may feed and end any run.
 * Limits:  prefetches under way over all runs: twice as many as its rate takes at L2's round trip, 8 to WARM_ASKS_MAX, so that
 *          no queue builds up before the clients' reads, and not much lands in one turn. */
#ifndef TERRACE_SERVER_WARM_RUN_H
#define TERRACE_SERVER_WARM_RUN_H

#include "tiers/prefetch.h"
#include "tiers/warm_pace.h"

enum {
    WARM_ASKS_MAX = 32,
    WARM_ATTEMPTS_MAX = 5,
    WARM_TURN = 64
};

struct worker;
struct warm_run;

struct warm_key {
    struct slice key;
    uint8_t db;
    uint8_t heat; /* prefetch.h; 0: not known */
};

struct warm_result {
    enum prefetch_outcome outcome;
    size_t bytes;      /* LOADED: of the value */
    struct slice why;  /* SKIPPED, FAILED: in words. During the call */
    unsigned attempts; /* 1 and more */
};

struct warm_run_options {
    struct warm_pace *pace; /* the run's own limits; NULL: none */
    enum prefetch_mode mode;
    enum prefetch_act act;
    struct slice only_tag; /* as tiers_prefetch */
    int priority;          /* higher first */
    void (*on_result)(void *arg, size_t index, const struct warm_result *result); /* may be NULL */
    /* All that was fed has its result: feed more, or end. Once per list. */
    void (*on_hungry)(void *arg);
    void *arg;
};

/* `worker`: the node's first. NULL: no memory, or the node is alone. */
struct warm_run *warm_run_new(struct worker *worker, const struct warm_run_options *options);
/* One list at a time, not empty. BUSY: the last one is not done. NO_MEMORY. */
enum status warm_run_feed(struct warm_run *run, const struct warm_key *keys, size_t count) MUST_USE;
void warm_run_set_priority(struct warm_run *run, int priority);
/* Not while it is paused: what is under way ends, nothing else begins. */
void warm_run_pause(struct warm_run *run, bool paused);
/* No callback after it, and what it was fed is the feeder's again; prefetches under way are let go. NULL is fine. */
void warm_run_end(struct warm_run *run);

/* --- the engine: the first worker's -------------------------------------------------------------------------------- */

struct warm_engine;
struct warm_engine *warm_engine_new(struct worker *worker); /* NULL: no memory */
void warm_engine_tick(struct warm_engine *engine);          /* each 100 ms */
/* Nothing begins any more, nobody is called back. Before the window's links end. NULL is fine, as below. */
void warm_engine_stop(struct warm_engine *engine);
void warm_engine_close(
    struct warm_engine *engine); /* its timer, after the links; then the loop runs out */
void warm_engine_free(struct warm_engine *engine);

struct warm_engine_description {
    double factor;  /* of warm-rate that is left by yielding: WARM_FACTOR_MIN to 1 */
    int64_t p99_us; /* of the last second; -1: no requests */
    int64_t l2_us;  /* -1: nothing was asked */
    unsigned runs;  /* that have something to do */
    unsigned asks;  /* under way */
    bool is_halted; /* nothing can be kept, or L2 cannot be asked */
};
/* Any thread. NULL: all zero, factor 1. */
void warm_engine_describe(const struct warm_engine *engine, struct warm_engine_description *ret);

#endif
