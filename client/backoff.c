/* SPDX-License-Identifier: BSD-3-Clause */
#include "client/backoff.h"

uint64_t chance_next(uint64_t *state)
{
    *state += 0x9e3779b97f4a7c15ull;
    uint64_t word = *state;
    word = (word ^ (word >> 30)) * 0xbf58476d1ce4e5b9ull;
    word = (word ^ (word >> 27)) * 0x94d049bb133111ebull;
    return word ^ (word >> 31);
}

uint64_t chance_below(uint64_t *state, uint64_t bound)
{
    return (uint64_t)(((unsigned __int128)chance_next(state) * bound) >> 64);
}

int64_t backoff_between_ms(uint64_t *random_state, int64_t first_ms, int64_t most_ms, unsigned nth)
{
    int64_t ms = first_ms;
    for (unsigned i = 1; i < nth && ms < most_ms; i++) {
        ms *= 2;
    }
    ms = ms < most_ms ? ms : most_ms;
    int64_t swing = ms * BACKOFF_JITTER_PERCENT / 100;
    return ms - swing + (int64_t)chance_below(random_state, (uint64_t)(2 * swing + 1));
}

int64_t backoff_ms(uint64_t *random_state, unsigned nth)
{
    return backoff_between_ms(random_state, BACKOFF_FIRST_MS, BACKOFF_MOST_MS, nth);
}
