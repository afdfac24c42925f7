/* SPDX-License-Identifier: BSD-3-Clause */
/* turns.h -- how long a worker's turns take, as the clients answered in them feel it.
 *
 * A TURN begins when the loop wakes, and ends when the answers of its batch have been handed to the kernel (worker.h). What a
 * client waits inside the node for an answer that needs nothing of L2 is the turn in which its bytes were read: its own
 * command, all others that came with it, and whatever else the loop had to do just then, such as the landings of warming.
 * So each turn counts as many times as it executed requests. Not in it: the time in which bytes wait in the kernel because
 * the turn before is not over (as long as that, at most), the network, and L2.
 *
 * It costs a look at the clock per turn.
 *
 * Bins are eighths of a power of two: what is read is at most an eighth too long.
 *
 * Threads: turns_end is the worker's; turns_add any.
 * Units:   microseconds. */
#ifndef TERRACE_SERVER_TURNS_H
#define TERRACE_SERVER_TURNS_H

#include <uv.h>

#include <stdatomic.h>
#include <stdint.h>

enum {
    TURNS_STEPS = 8,   /* in a power of two */
    TURNS_POWERS = 22, /* up to 4 s */
    TURNS_BINS = TURNS_STEPS * TURNS_POWERS
};

struct turns {
    uint64_t ended_ns; /* the last one, by the loop's clock */
    uint64_t idle_ns;  /* how long the loop had slept by then */
    _Atomic uint64_t counts[TURNS_BINS];
};

/* A turn that executed so many requests is over. The loop measures its idle time. */
void turns_end(struct turns *turns, uv_loop_t *loop, unsigned requests);

struct turns_sum {
    uint64_t counts[TURNS_BINS];
};
/* Adds what is counted so far. */
void turns_add(const struct turns *turns, struct turns_sum *sum);
/* What `share` (0 to 1) of the requests between two sums did not exceed; -1: there were none. */
int64_t turns_percentile_us(const struct turns_sum *before, const struct turns_sum *now,
                            double share);

unsigned turns_bin(uint64_t us);         /* for tests, as the next */
uint64_t turns_bin_end_us(unsigned bin); /* the first time that is not in it */

#endif
