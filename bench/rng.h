/* SPDX-License-Identifier: BSD-3-Clause */
/* rng.h -- repeatable random numbers: the same seed, the same run.
 *
 * xoshiro256** (Blackman and Vigna, Scrambled Linear Pseudorandom Number Generators, 2018), its state filled by
 * SplitMix64. Not for secrets.
 *
 * Threads: one at a time. */
#ifndef TERRACE_BENCH_RNG_H
#define TERRACE_BENCH_RNG_H

#include <stdint.h>

struct rng {
    uint64_t state[4];
};

void rng_init(struct rng *rng, uint64_t seed);

/* The finaliser of SplitMix64 (Steele, Lea and Flood, OOPSLA 2014): every bit of the input moves every bit of the output. */
static inline uint64_t rng_mix(uint64_t word)
{
    word += 0x9e3779b97f4a7c15ull;
    word = (word ^ (word >> 30)) * 0xbf58476d1ce4e5b9ull;
    word = (word ^ (word >> 27)) * 0x94d049bb133111ebull;
    return word ^ (word >> 31);
}

static inline uint64_t rng_rotate(uint64_t word, unsigned bits)
{
    return (word << bits) | (word >> (64 - bits));
}

static inline uint64_t rng_next(struct rng *rng)
{
    uint64_t *s = rng->state;
    uint64_t result = rng_rotate(s[1] * 5, 7) * 9;
    uint64_t t = s[1] << 17;
    s[2] ^= s[0];
    s[3] ^= s[1];
    s[1] ^= s[2];
    s[0] ^= s[3];
    s[2] ^= t;
    s[3] = rng_rotate(s[3], 45);
    return result;
}

/* 0 .. bound - 1; the bias is below bound / 2^64, nothing at the sizes a benchmark counts. */
static inline uint64_t rng_below(struct rng *rng, uint64_t bound)
{
    return (uint64_t)(((unsigned __int128)rng_next(rng) * bound) >> 64);
}

/* [0, 1), 53 bits. */
static inline double rng_unit(struct rng *rng)
{
    return (double)(rng_next(rng) >> 11) * 0x1.0p-53;
}

#endif
