/* SPDX-License-Identifier: BSD-3-Clause */
#include "bench/rng.h"

void rng_init(struct rng *rng, uint64_t seed)
{
    for (unsigned i = 0; i < 4; i++) {
        rng->state[i] = rng_mix(seed + i * 0x9e3779b97f4a7c15ull);
    }
}
