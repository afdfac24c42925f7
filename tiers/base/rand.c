/* SPDX-License-Identifier: BSD-3-Clause */
#include "tiers/base/rand.h"

#include "protocol/check.h"

#include <errno.h>
#include <sys/random.h>

/* SplitMix64 (Steele, Lea and Flood, 2014) spreads one word over the state, as the authors of xoshiro advise: a state
 * of mostly zero bits would take many steps to recover. */
static uint64_t splitmix(uint64_t *state)
{
    uint64_t word = (*state += UINT64_C(0x9e3779b97f4a7c15));
    word = (word ^ (word >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    word = (word ^ (word >> 27)) * UINT64_C(0x94d049bb133111eb);
    return word ^ (word >> 31);
}

void rand_seed(struct rand *rand, uint64_t seed)
{
    for (int i = 0; i < 4; i++) {
        rand->state[i] = splitmix(&seed);
    }
}

static uint64_t rotate_left(uint64_t word, int bits)
{
    return (word << bits) | (word >> (64 - bits));
}

uint64_t rand_next(struct rand *rand)
{
    uint64_t *state = rand->state;
    uint64_t word = rotate_left(state[1] * 5, 7) * 9;
    uint64_t shifted = state[1] << 17;
    state[2] ^= state[0];
    state[3] ^= state[1];
    state[1] ^= state[2];
    state[0] ^= state[3];
    state[2] ^= shifted;
    state[3] = rotate_left(state[3], 45);
    return word;
}

uint64_t rand_below(struct rand *rand, uint64_t bound)
{
    CHECK(bound >= 1);
    if (bound <= UINT32_MAX) { /* multiply and shift: no division */
        return ((rand_next(rand) >> 32) * bound) >> 32;
    }
    /* The high half of a 128-bit product, so the bias stays below bound / 2^64. */
    return (uint64_t)(((unsigned __int128)rand_next(rand) * bound) >> 64);
}

void rand_secret(void *dst, size_t size)
{
    char *at = dst;
    while (size > 0) {
        ssize_t got = getrandom(at, size, 0);
        if (got < 0) {
            CHECK(errno == EINTR);
            continue;
        }
        at += got;
        size -= (size_t)got;
    }
}
