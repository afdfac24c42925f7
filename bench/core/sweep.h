/* SPDX-License-Identifier: BSD-3-Clause */
/* sweep.h -- which rooms and policies a benchmark goes through: --room 0.01,0.1 and --policies lru,density. */
#ifndef TERRACE_BENCH_CORE_SWEEP_H
#define TERRACE_BENCH_CORE_SWEEP_H

#include "tiers/policy.h"

enum {
    SWEEP_MAX = 32, /* rooms, and policies */
    SWEEP_USAGE = 64,
};

struct sweep {
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

#endif
