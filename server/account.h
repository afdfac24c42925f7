/* SPDX-License-Identifier: BSD-3-Clause */
/* account.h -- the books of commands: how often each was called, refused and failed, how long it took, and which calls were
 * slow.
 *
 * A command flagged fast, or brief, is not timed by itself: it gets its share of the batch, since a look at the clock would
 * cost a tenth of a GET.
 *
 * Threads: the worker's, which alone writes its counters (INFO commandstats, LATENCY HISTOGRAM); any thread may read them. */
#ifndef TERRACE_SERVER_ACCOUNT_H
#define TERRACE_SERVER_ACCOUNT_H

#include "server/call.h"
#include "server/worker.h"

struct answer;
struct call;
struct command;

enum {
    COMMAND_DURATIONS = 26
}; /* up to 1, 2, 4 ... microseconds (of 1024 ns); the last takes all that is longer */

struct command_counters {
    _Atomic uint64_t calls;
    _Atomic uint64_t nsec;
    _Atomic uint64_t durations[COMMAND_DURATIONS]; /* how many calls took how long */
    _Atomic uint64_t rejected;
    _Atomic uint64_t failed;
};

static inline struct command_counters *account_of(const struct worker *worker,
                                                  const struct command *command)
{
    return &worker->counters[command->index];
}

/* So many calls took so long each. */
void account_durations(struct command_counters *counters, uint64_t nsec, unsigned calls);
/* A call that is answered, and was timed by itself: into the slow log, and the latency log, if it was slow. */
void account_slow(const struct call *call, uint64_t nsec);
/* A deferred answer is complete: all of it. */
void account_landed(const struct answer *answer);

#endif
