/* SPDX-License-Identifier: BSD-3-Clause */
/* rand.h -- random numbers: a fast generator for sampling, and the kernel's for secrets.
 *
 * The fast one is xoshiro256** (Blackman and Vigna, 2018): never for secrets. It is seeded, so that a test replays. */
#ifndef TERRACE_TIERS_BASE_RAND_H
#define TERRACE_TIERS_BASE_RAND_H

#include <stddef.h>
#include <stdint.h>

struct rand {
    uint64_t state[4];
};

void rand_seed(struct rand *rand, uint64_t seed);
uint64_t rand_next(struct rand *rand);
uint64_t rand_below(struct rand *rand,
                    uint64_t bound); /* 0 <= n < bound, bound >= 1; bias below 2^-32 */

void rand_secret(
    void *dst,
    size_t size); /* from the kernel; any thread; stops the process if the kernel refuses */

#endif
