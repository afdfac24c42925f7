/* SPDX-License-Identifier: BSD-3-Clause */
/* wakes.h -- for which keys somebody of the node waits (load.h), so that the control loop, which reads every frame of the
 * bus, knows whom to tell, and for all other keys looks at one word.
 *
 * Keys are kept as a few bits of their hash. Who is told for nothing looks and goes on waiting.
 *
 *      worker: wakes_wait(hash) ... asks L2 ... is told to wait        control: frame names a key -> wakes_of(hash) -> letters
 *
 * A worker marks the key before it asks L2 whether it must wait: what is published after L2's answer finds the mark.
 *
 * Threads: a seat is its worker's; wakes_of is any thread's.
 * Limits:  WAKES_WORKERS. */
#ifndef TERRACE_TIERS_WAKES_H
#define TERRACE_TIERS_WAKES_H

#include "protocol/status.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

enum {
    WAKES_WORKERS = 128,
    WAKES_WORDS = WAKES_WORKERS / 64,
    WAKES_BUCKETS = 1024
};

struct wakes {
    _Atomic uint64_t workers[WAKES_BUCKETS][WAKES_WORDS];
};

/* A worker's part: how many of its keys are in a bucket. */
struct wakes_seat {
    struct wakes *wakes;
    unsigned worker;
    uint32_t counts[WAKES_BUCKETS];
};

/* The bits of a key are those of its hash (namespaces_hash), whatever its database. */
void wakes_wait(struct wakes_seat *seat, uint64_t hash);
void wakes_leave(struct wakes_seat *seat, uint64_t hash);

/* Workers that wait for a key of that hash, as bits. False: none. */
static inline bool wakes_of(const struct wakes *wakes, uint64_t hash,
                            uint64_t ret_workers[WAKES_WORDS])
{
    uint64_t any = 0;
    for (unsigned i = 0; i < WAKES_WORDS; i++) {
        ret_workers[i] =
            atomic_load_explicit(&wakes->workers[hash % WAKES_BUCKETS][i], memory_order_seq_cst);
        any |= ret_workers[i];
    }
    return any != 0;
}

#endif
