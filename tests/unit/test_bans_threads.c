/* SPDX-License-Identifier: BSD-3-Clause */
/* Readers while the table grows, is cleaned and replaced: for ThreadSanitizer and AddressSanitizer, and that a reader who
 * was told of a ban finds it. */
#include "tests/unit/bans_help.h"
#include "tests/unit/seed_help.h"

#include <pthread.h>

enum {
    READERS = 3,
    TURNS = HELP_ROUNDS(8000),
    LIFE_MS = 1500,
    STEP_MS = 8,
    LIVE = 1000 /* bans younger than that are there for sure */
};

struct stage {
    struct bans *bans;
    _Atomic uint64_t issued; /* bans up to this seq were added */
    _Atomic uint64_t misses;
    _Atomic bool over;
};

static void text_of(uint64_t seq, char dst[32])
{
    snprintf(dst, 32, seq % 3 == 2 ? "*%u:?" : "%u:", (unsigned)seq);
}

static enum frame_ban_kind kind_of(uint64_t seq)
{
    static const enum frame_ban_kind kinds[] = {FRAME_BAN_TAG, FRAME_BAN_PREFIX, FRAME_BAN_GLOB};
    return kinds[seq % 3];
}

static bool is_bound(const struct stage *stage, struct bans_memo *memo, uint64_t seq)
{
    char text[32];
    char key[32] = "k";
    text_of(seq, text);
    const char *tags[] = {text};
    if (kind_of(seq) != FRAME_BAN_TAG) {
        snprintf(key, sizeof key, "%u:x", (unsigned)seq);
    }
    return help_check(stage->bans, memo, "a", key, seq - 1, tags, 1) == BAN_HARD;
}

static void *read_all_the_time(void *arg)
{
    struct stage *stage = arg;
    struct bans_memo *memo = bans_memo_new(stage->bans);
    struct rand rand;
    rand_seed(&rand, (uint64_t)(uintptr_t)&rand);
    while (!atomic_load(&stage->over)) {
        for (unsigned i = 0; i < 50; i++) {
            const uint64_t issued = atomic_load_explicit(&stage->issued, memory_order_acquire);
            const uint64_t seq = issued > LIVE ? issued - rand_below(&rand, LIVE) : issued;
            if (seq > 0 && !is_bound(stage, memo, seq) &&
                atomic_load(&stage->issued) < seq + LIVE) {
                atomic_fetch_add(&stage->misses, 1);
            }
        }
        bans_quiet(memo);
    }
    bans_memo_free(memo);
    return NULL;
}

static void who_was_told_of_a_ban_finds_it_whatever_is_replaced_meanwhile(void **state)
{
    (void)state;
    struct stage stage = {.bans = bans_new()};
    pthread_t readers[READERS];
    for (unsigned i = 0; i < READERS; i++) {
        assert_int_equal(pthread_create(&readers[i], NULL, read_all_the_time, &stage), 0);
    }
    struct buf removed = {0};
    for (uint64_t seq = 1; seq <= TURNS; seq++) {
        char text[32];
        text_of(seq, text);
        help_ban(stage.bans, kind_of(seq), "", text, seq, 0, (int64_t)seq * STEP_MS);
        atomic_store_explicit(&stage.issued, seq, memory_order_release);
        removed.size = 0;
        bans_over(stage.bans, (int64_t)seq * STEP_MS, LIFE_MS, 64, &removed);
        bans_remove(stage.bans, buf_slice(&removed));
    }
    atomic_store(&stage.over, true);
    for (unsigned i = 0; i < READERS; i++) {
        assert_int_equal(pthread_join(readers[i], NULL), 0);
    }
    assert_int_equal(atomic_load(&stage.misses), 0);
    assert_true(bans_count(stage.bans) < 2 * LIFE_MS);
    buf_done(&removed);
    bans_free(stage.bans);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(who_was_told_of_a_ban_finds_it_whatever_is_replaced_meanwhile),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
