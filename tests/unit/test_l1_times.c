/* SPDX-License-Identifier: BSD-3-Clause */
/* Times over a year, and a clock that goes back, as told. */
#include "tests/unit/l1_help.h"
#include "tiers/l1_shard.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#define DAY_MS  INT64_C(86400000)
#define YEAR_MS (365 * DAY_MS)
#define NOW_MS  INT64_C(1800000000000)

static struct l1_key key_of(struct l1 *l1, char room[32], const char *kind, unsigned n)
{
    int size = snprintf(room, 32, "%s:%u", kind, n);
    return l1_key(l1, 0, (struct slice){room, (size_t)size});
}

static void sweep(struct l1 *l1, int64_t now_ms)
{
    for (int i = 0; i < 50; i++) {
        (void)l1_sweep(l1, now_ms, 64);
    }
}

/* The footprint of an item of 16 and 32 bytes as it is made now. */
static size_t footprint(struct l1 *l1, int64_t expire_at_ms, int64_t stamped_at_ms)
{
    struct l1_key key = l1_key(l1, 0, SLICE_LITERAL("sixteen bytes, k"));
    struct item *item = l1_item_new(l1, key.hash,
                                    &(struct item_spec){.key = key.bytes,
                                                        .value_size = 32,
                                                        .expire_at_ms = expire_at_ms,
                                                        .stamped_at_ms = stamped_at_ms});
    assert_non_null(item);
    assert_int_equal(item_expire_at_ms(item), expire_at_ms);
    assert_int_equal(item_stamped_at_ms(item), stamped_at_ms);
    const size_t bytes = item_footprint(item);
    item_release(item);
    return bytes;
}

/* --- a year --------------------------------------------------------------------------------------------------------- */

enum {
    LIVES = 12,
    STEPS = 540
};

static const int64_t lives_ms[LIVES] = {1,           2,           999,          60000,
                                        DAY_MS / 24, DAY_MS,      DAY_MS * 36,  DAY_MS * 37 + 1,
                                        DAY_MS * 50, YEAR_MS + 1, YEAR_MS * 10, YEAR_MS * 50};

/* Lives begun at every step: alive to the last millisecond, gone in the next, and told exactly. */
static void lives_are_exact_to_the_millisecond_for_a_year(void **state)
{
    (void)state;
    struct l1 *l1 = help_new(8 << 20, &policy_lru, 2);
    static int64_t ends_ms[STEPS][LIVES];
    int64_t now_ms = NOW_MS;
    unsigned alive = 0;
    unsigned gone = 0;
    for (unsigned step = 0; step < STEPS; step++) {
        char room[32];
        for (unsigned i = 0; i < LIVES; i++) {
            struct l1_key key = key_of(l1, room, "life", step * LIVES + i);
            ends_ms[step][i] = now_ms + lives_ms[i];
            assert_int_equal(help_swap(l1, &key, L1_ANY, "v", ends_ms[step][i], now_ms), OK);
            struct l1_peek peek;
            assert_int_equal(l1_peek(l1, &key, ends_ms[step][i] - 1, 0, &peek), OK);
            assert_int_equal(peek.expire_at_ms, ends_ms[step][i]);
        }
        now_ms += DAY_MS * 7 / 10 + step;
        sweep(l1, now_ms);
        for (unsigned n = step % 7; n < (step + 1) * LIVES; n += 7) {
            struct l1_key key = key_of(l1, room, "life", n);
            struct l1_look look;
            const int64_t end_ms = ends_ms[n / LIVES][n % LIVES];
            l1_look(l1, &key, now_ms, &look);
            assert_int_equal(look.has_value, end_ms > now_ms);
            assert_true(!look.has_value || look.expire_at_ms == end_ms);
            alive += look.has_value;
            gone += !look.has_value;
        }
    }
    assert_true(now_ms > NOW_MS + YEAR_MS);
    assert_true(alive > 10000 && gone > 10000);
    assert_int_equal(help_stats(l1).evictions, 0);
    sweep(l1, now_ms + 60 * YEAR_MS);
    assert_int_equal(help_stats(l1).items, 0);
    l1_free(l1);
}

static void times_take_few_bytes_for_years(void **state)
{
    (void)state;
    struct l1 *l1 = help_new(1 << 20, NULL, 1);
    sweep(l1, NOW_MS);
    const size_t plain = footprint(l1, 0, 0);
    for (int64_t now_ms = NOW_MS; now_ms < NOW_MS + 30 * YEAR_MS; now_ms += 11 * DAY_MS) {
        const size_t more = now_ms < NOW_MS + 36 * DAY_MS ? 0 : 4; /* cells are of steps of 4 */
        assert_true(footprint(l1, now_ms + DAY_MS / 24, 0) <= plain + 4 + more);
        assert_true(footprint(l1, 0, now_ms) <= plain + 4 + more);
        assert_true(footprint(l1, now_ms + DAY_MS / 24, now_ms) <= plain + 8 + more);
    }
    l1_free(l1);
}

/* Whatever is written first: what others take does not depend on it. */
static void a_first_life_of_ten_years_costs_the_others_nothing(void **state)
{
    (void)state;
    const int64_t firsts_ms[] = {10 * YEAR_MS, 13 * DAY_MS, 1, 1000 * YEAR_MS};
    for (unsigned i = 0; i < sizeof firsts_ms / sizeof firsts_ms[0]; i++) {
        struct l1 *l1 = help_new(1 << 20, NULL, 1);
        const size_t plain = footprint(l1, 0, 0);
        help_set(l1, 0, "first", "v", NOW_MS + firsts_ms[i], NOW_MS);
        assert_int_equal(footprint(l1, NOW_MS + 5000, NOW_MS - 5000), plain + 8);
        l1_free(l1);
    }
}

/* Moving to another namespace's L1 keeps times, and their size. */
static void times_move_house_with_their_items(void **state)
{
    (void)state;
    struct l1 *l1 = help_new(1 << 20, NULL, 1);
    struct l1 *kin = l1_new(&(struct l1_options){.bytes_max = 1 << 20, .kin = l1, .shards = 1});
    assert_non_null(kin);
    help_set(l1, 0, "k", "v", NOW_MS + 777, NOW_MS);
    help_set(kin, 0, "other", "v", NOW_MS + YEAR_MS, NOW_MS + 200 * DAY_MS);
    struct l1_key key = l1_key(l1, 0, SLICE_LITERAL("k"));
    struct item *held = l1_hold(l1, &key, NOW_MS);
    const struct l1_change changes[] = {
        {.l1 = l1, .key = key, .seen = held, .item = NULL},
        {.l1 = kin, .key = key, .seen = NULL, .item = held}, /* as RENAME would do without a copy */
    };
    assert_int_equal(l1_commit(changes, 2, NOW_MS), OK);
    item_release(held);
    struct l1_peek peek;
    assert_int_equal(l1_peek(kin, &key, NOW_MS, 0, &peek), OK);
    assert_int_equal(peek.expire_at_ms, NOW_MS + 777);
    l1_free(l1);
    assert_int_equal(l1_peek(kin, &key, NOW_MS + 776, 0, &peek), OK);
    assert_int_equal(l1_peek(kin, &key, NOW_MS + 777, 0, &peek), MISS);
    l1_free(kin);
}

/* --- a clock that goes back ------------------------------------------------------------------------------------------- */

/* Nothing lives for longer than its time says, in whichever direction that came; eviction and sweeps go on. */
static void a_clock_that_goes_back_by_days_stops_nothing(void **state)
{
    (void)state;
    const struct policy *policy;
    for (unsigned p = 0; (policy = policy_at(p)) != NULL; p++) {
        struct l1 *l1 = help_new(256 << 10, policy, 1);
        const bool refuses = policy->refuses;
        int64_t now_ms = NOW_MS;
        char room[32];
        for (unsigned n = 0; n < 2000; n++) {
            struct l1_key key = key_of(l1, room, "before", n);
            (void)!help_swap(l1, &key, L1_ANY, "value", now_ms + DAY_MS, now_ms + n);
        }
        now_ms -= 5 * DAY_MS;
        sweep(l1, now_ms);
        for (unsigned n = 0; n < 20000; n++) { /* far more than there is room for */
            struct l1_key key = key_of(l1, room, "after", n);
            const enum status status =
                help_swap(l1, &key, L1_ANY, "a value of some more bytes", now_ms + 1000, now_ms);
            assert_true(status == OK || (refuses && status == TOO_BIG));
        }
        assert_true(help_stats(l1).bytes_used <= 300 << 10);
        sweep(l1, now_ms + 1000);
        for (unsigned n = 0; n < 20000; n++) {
            struct l1_key key = key_of(l1, room, "after", n);
            struct l1_look look;
            l1_look(l1, &key, now_ms, &look);
            assert_false(look.has_value);
        }
        sweep(l1, NOW_MS + DAY_MS);
        assert_int_equal(help_stats(l1).items, 0);
        l1_free(l1);
    }
}

/* Words are settled by the new time, or LRU would take for just used what was not for hours. */
static void words_are_settled_by_the_new_time(void **state)
{
    (void)state;
    struct l1 *l1 = help_new(1 << 20, &policy_lru, 1);
    sweep(l1, NOW_MS);
    const int64_t then_ms = NOW_MS - 6 * DAY_MS;
    sweep(l1, then_ms);
    help_set(l1, 0, "k", "v", 0, then_ms);
    for (int64_t ms = then_ms; ms <= then_ms + 2 * DAY_MS; ms += DAY_MS / 48) {
        sweep(l1, ms);
    }
    struct l1_key key = l1_key(l1, 0, SLICE_LITERAL("k"));
    struct l1_peek peek;
    assert_int_equal(l1_peek(l1, &key, then_ms + 2 * DAY_MS, 0, &peek), OK);
    assert_in_range(peek.idle_ms, 2 * DAY_MS - 10000, 2 * DAY_MS + 10000);
    l1_free(l1);
}

static void a_claim_of_a_time_to_come_is_not_joined(void **state)
{
    (void)state;
    struct l1 *l1 = help_new(1 << 20, NULL, 1);
    struct l1_key key = l1_key(l1, 0, SLICE_LITERAL("k"));
    struct l1_ask ask = {.now_ms = NOW_MS, .generation = 1, .join_ms = 1000};
    struct l1_value value = {0};
    struct l1_claim first;
    struct l1_claim second;
    assert_int_equal(l1_ask(l1, &key, &ask, &value, &first), CLAIMED);
    ask.now_ms = NOW_MS - 5; /* another thread's clock */
    assert_int_equal(l1_ask(l1, &key, &ask, &value, &second), TAKEN);
    ask.now_ms = NOW_MS - DAY_MS;
    assert_int_equal(l1_ask(l1, &key, &ask, &value, &second), CLAIMED);
    assert_true(first.token != second.token);
    l1_free(l1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lives_are_exact_to_the_millisecond_for_a_year),
        cmocka_unit_test(times_take_few_bytes_for_years),
        cmocka_unit_test(a_first_life_of_ten_years_costs_the_others_nothing),
        cmocka_unit_test(times_move_house_with_their_items),
        cmocka_unit_test(a_clock_that_goes_back_by_days_stops_nothing),
        cmocka_unit_test(words_are_settled_by_the_new_time),
        cmocka_unit_test(a_claim_of_a_time_to_come_is_not_joined),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
