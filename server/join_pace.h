/* SPDX-License-Identifier: BSD-3-Clause */
/* join_pace.h -- how fast a node that comes reads what the others' lists name.
 *
 * Without warming it asks L2 for nearly each of its reads at first. So it reads the lists with an eighth of the reads that it
 * will be asked for, or faster if the target would not be reached in two thirds of warm-deadline, but then with half of them at
 * most; JOIN_RATE_LEAST keys a second at least. Where nobody tells of reads (only the own snapshot is there), all of it in a third
 * of warm-deadline. Once it is ready it leaves of that what its clients' misses take, but half of it, so that L2 has
 * hardly more of it than before.
 *
 * Pure. Units: reads and keys per second, milliseconds. `warm-rate` is the engine's to keep to. */
#ifndef TERRACE_SERVER_JOIN_PACE_H
#define TERRACE_SERVER_JOIN_PACE_H

#include <stddef.h>
#include <stdint.h>

enum {
    JOIN_RATE_LEAST = 200
};

struct join_pace {
    double reads_per_s;  /* that it will be asked for; 0: nobody tells */
    size_t keys;         /* that the lists name, */
    size_t to_target;    /* and of them, the hottest first, those that make the target */
    int64_t deadline_ms; /* 0: there is none */
};

uint64_t join_pace_until_ready(const struct join_pace *pace);
uint64_t join_pace_when_ready(const struct join_pace *pace, uint64_t misses_per_s);

#endif
