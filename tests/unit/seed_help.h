/* SPDX-License-Identifier: BSD-3-Clause */
/* seed_help.h -- the seed of random tests, of the environment: TEST_SEED=n replays n, TEST_SEED=random is one that nobody
 * chose. Without it the seed is always the same, so that what is green stays green. */
#ifndef TERRACE_TESTS_UNIT_SEED_HELP_H
#define TERRACE_TESTS_UNIT_SEED_HELP_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

/* Of a loop that is the longer the better: fewer under a sanitizer, which looks at every step. */
#if defined(__SANITIZE_ADDRESS__)
#define HELP_ROUNDS(rounds) ((rounds) / 2)
#elif defined(__SANITIZE_THREAD__)
#define HELP_ROUNDS(rounds) ((rounds) / 10)
#else
#define HELP_ROUNDS(rounds) (rounds)
#endif

/* One seed is to be replayed, and no other run. */
static inline bool help_replays(void)
{
    const char *text = getenv("TEST_SEED"); /* NOLINT(concurrency-mt-unsafe): one thread */
    return text != NULL && strcmp(text, "random") != 0;
}

static inline uint64_t help_seed(void)
{
    const char *text = getenv("TEST_SEED"); /* NOLINT(concurrency-mt-unsafe): one thread */
    uint64_t seed = 1;
    if (help_replays()) {
        seed = strtoull(text, NULL, 0);
    } else if (text != NULL) {
        seed = (uint64_t)time(NULL);
    }
    print_message("TEST_SEED=%llu\n", (unsigned long long)seed);
    return seed;
}

#endif
