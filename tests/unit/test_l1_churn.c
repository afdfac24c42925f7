/* SPDX-License-Identifier: BSD-3-Clause */
/* Sizes that change for as long as a week would take, while some values are held all the time. */
#include "tests/unit/l1_help.h"
#include "tiers/l1_shard.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

enum {
    T0 = 1000000,
    BUDGET = 48 << 20,
    HELD = 400,
    DAYS = 14,
    WRITES_A_DAY = 12000,
};

struct churn {
    struct l1 *l1;
    struct rand rand;
    struct item *held[HELD];
    char held_fill[HELD];
    int64_t now_ms;
    unsigned number;
};

/* Each day its own sizes: from a few bytes to tens of thousands. */
static size_t size_of_day(struct churn *churn, unsigned day)
{
    const size_t most = (size_t)30 << (day * 5 % 11);
    return 1 + rand_below(&churn->rand, most);
}

static void hold_some(struct churn *churn, const struct l1_key *key, char filled)
{
    const unsigned i = (unsigned)rand_below(&churn->rand, HELD);
    struct item *item = l1_hold(churn->l1, key, churn->now_ms);
    if (item == NULL) {
        return;
    }
    if (churn->held[i] != NULL) {
        const struct slice value = item_value(churn->held[i]);
        assert_int_equal(value.data[0], churn->held_fill[i]);
        assert_int_equal(value.data[value.size - 1], churn->held_fill[i]);
        item_release(churn->held[i]);
    }
    churn->held[i] = item;
    churn->held_fill[i] = filled;
}

static void write_one(struct churn *churn, size_t size)
{
    char name[32];
    snprintf(name, sizeof name, "k:%u", (unsigned)rand_below(&churn->rand, 200000));
    const struct l1_key key = l1_key(churn->l1, 0, slice_of(name));
    const char filled = (char)('a' + churn->number++ % 26);
    const struct item_spec spec = {
        .key = key.bytes,
        .value_size = size,
        .expire_at_ms = churn->number % 2 == 0 ? 0 : churn->now_ms + 20000,
    };
    struct item *item = l1_item_new(churn->l1, key.hash, &spec);
    assert_non_null(item);
    memset(item_value_room(item), filled, size);
    assert_int_equal(l1_commit(&(struct l1_change){churn->l1, key, L1_ANY, item}, 1, churn->now_ms),
                     OK);
    item_release(item);
    if (churn->number % 60 == 0) {
        hold_some(churn, &key, filled);
    }
}

static void day_of_churn(struct churn *churn, unsigned day)
{
    for (unsigned n = 0; n < WRITES_A_DAY; n++) {
        write_one(churn, size_of_day(churn, day));
        churn->now_ms += 5;
        if (n % 20 == 0) {
            (void)l1_sweep(churn->l1, churn->now_ms, 64);
        }
    }
}

static void what_is_held_costs_little_more_than_itself(void **state)
{
    (void)state;
    const uint64_t seed = help_seed();
    struct churn *churn = calloc(1, sizeof *churn);
    churn->now_ms = T0;
    churn->l1 = help_new(BUDGET, &policy_lru, 2);
    rand_seed(&churn->rand, seed);
    for (unsigned day = 0; day < DAYS; day++) {
        day_of_churn(churn, day);
        const struct l1_stats stats = help_stats(churn->l1);
        print_message("day %u: %zu KiB used, %zu in use\n", day, stats.bytes_used >> 10,
                      stats.bytes_live >> 10);
        HELP_CHECK(stats.bytes_used <= BUDGET + BUDGET / 50, seed);
        HELP_CHECK(stats.bytes_live >= stats.bytes_used * 3 / 4, seed);
    }
    for (unsigned i = 0; i < HELD; i++) {
        item_release(churn->held[i]);
    }
    for (int i = 0; i < 2000;
         i++) { /* half of the rest expires; all that is not in use comes back */
        churn->now_ms += 100;
        (void)l1_sweep(churn->l1, churn->now_ms, 64);
    }
    const struct l1_stats stats = help_stats(churn->l1);
    print_message("after: %zu KiB used, %zu in use\n", stats.bytes_used >> 10,
                  stats.bytes_live >> 10);
    /* What is left over is part of a slab for each of a hundred sizes in both shards, of which the large ones have 120 KiB. */
    HELP_CHECK(stats.bytes_live >= stats.bytes_used * 3 / 4, seed);
    l1_free(churn->l1);
    free(churn);
}

/* A budget that no arena has handles for is one that can be spent. */
static void a_budget_is_no_larger_than_arenas_may_be(void **state)
{
    (void)state;
    struct l1 *l1 = help_new((size_t)1 << 44, NULL, 2);
    assert_int_equal(help_stats(l1).bytes_max, (size_t)30 << 30);
    l1_resize(l1, (size_t)20 << 30, T0);
    assert_int_equal(help_stats(l1).bytes_max, (size_t)20 << 30);
    l1_resize(l1, (size_t)40 << 30, T0);
    assert_int_equal(help_stats(l1).bytes_max, (size_t)30 << 30);
    l1_free(l1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_held_costs_little_more_than_itself),
        cmocka_unit_test(a_budget_is_no_larger_than_arenas_may_be),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
