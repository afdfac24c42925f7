/* SPDX-License-Identifier: BSD-3-Clause */
/* The budget, and who leaves when it is spent. */
#include "tests/unit/l1_help.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

enum {
    T0 = 1000000,
    VALUE_SIZE = 64
};

static void put(struct l1 *l1, const char *kind, unsigned number, size_t value_size,
                int64_t expire_at_ms, int64_t now_ms)
{
    assert_int_equal(help_put(l1, kind, number, value_size, expire_at_ms, now_ms), OK);
}

/* A budget for so many items of VALUE_SIZE with names as above, which all have an expiry or all have none. */
static size_t room_for(size_t count)
{
    enum {
        ITEM_BYTES = 84,
        TABLE_SHARE = 15,
        FIRST_PAGES = 4 * ARENA_PAGE
    };
    return count * (ITEM_BYTES + TABLE_SHARE) + FIRST_PAGES;
}

static bool use(struct l1 *l1, const char *kind, unsigned number, int64_t now_ms)
{
    char name[32];
    char room[VALUE_SIZE];
    snprintf(name, sizeof name, "%s:%u", kind, number);
    struct l1_key key = l1_key(l1, 0, slice_of(name));
    struct l1_value value = {.copy = room, .copy_room = sizeof room};
    enum status status = l1_get(l1, &key, now_ms, 0, &value);
    if (status == OK) {
        item_release(value.item);
    }
    return status == OK;
}

static unsigned present(struct l1 *l1, const char *kind, unsigned end)
{
    unsigned count = 0;
    for (unsigned n = 0; n < end; n++) {
        char name[32];
        struct l1_peek peek;
        snprintf(name, sizeof name, "%s:%u", kind, n);
        struct l1_key key = l1_key(l1, 0, slice_of(name));
        count += l1_peek(l1, &key, T0, 0, &peek) == OK;
    }
    return count;
}

static void the_bytes_of_an_empty_l1_come_back_when_all_is_removed(void **state)
{
    (void)state;
    struct l1 *l1 = help_new(1 << 26, NULL, 8);
    size_t empty_bytes = help_stats(l1).bytes_used;
    for (int round = 0; round < 3; round++) {
        for (unsigned n = 0; n < 20000; n++) {
            put(l1, "k", n, n % 300, n % 3 == 0 ? T0 + 100 : 0, T0);
        }
        assert_true(help_stats(l1).bytes_used > 20000 * 150);
        for (unsigned n = 0; n < 20000; n++) {
            char name[32];
            snprintf(name, sizeof name, "k:%u", n);
            if (round == 0) {
                help_set(l1, 0, name, NULL, 0, T0);
            } else if (round == 1) {
                assert_int_equal(l1_forget(l1, slice_of(name)), 1);
            }
        }
        if (round == 2) {
            l1_flush_all(l1);
        }
        assert_int_equal(help_stats(l1).items, 0);
        l1_sweep(l1, T0, 8000);
        assert_int_equal(help_stats(l1).bytes_used, empty_bytes);
        assert_true(help_stats(l1).bytes_tables < empty_bytes);
    }
    l1_free(l1);
}

static void claims_and_suspects_are_counted_and_given_back(void **state)
{
    (void)state;
    struct l1 *l1 = help_new(1 << 26, NULL, 1);
    size_t empty_bytes = help_stats(l1).bytes_used;
    struct l1_ask ask = {.now_ms = T0, .floor_ms = INT64_MAX, .join_ms = 10};
    struct l1_value value = {0};
    struct l1_claim claim;
    struct l1_key key = l1_key(l1, 0, SLICE_LITERAL("k:1"));
    put(l1, "k", 1, 5000, 0, T0);
    size_t full_bytes = help_stats(l1).bytes_used;
    assert_int_equal(l1_ask(l1, &key, &ask, &value, &claim), CLAIMED);
    assert_true(help_stats(l1).bytes_used > full_bytes);
    l1_unclaim(l1, &key, claim.token);
    l1_sweep(l1, T0, 2);
    l1_sweep(l1, T0, 2);
    assert_int_equal(help_stats(l1).bytes_used, full_bytes);
    assert_int_equal(l1_ask(l1, &key, &ask, &value, &claim), CLAIMED);
    l1_invalidate(l1, &key);
    l1_sweep(l1, T0, 2);
    l1_sweep(l1, T0, 2);
    assert_int_equal(help_stats(l1).bytes_used, empty_bytes);
    l1_free(l1);
}

static void the_budget_holds_after_every_insertion(void **state)
{
    (void)state;
    struct l1 *l1 = help_new(1 << 20, NULL, 4);
    uint64_t seed = help_seed();
    struct rand rand;
    rand_seed(&rand, seed);
    for (unsigned n = 0; n < 20000; n++) {
        size_t size =
            rand_below(&rand, 50) == 0 ? rand_below(&rand, 400 << 10) : rand_below(&rand, 200);
        put(l1, "k", n, size, 0, T0 + n);
        HELP_CHECK(help_stats(l1).bytes_used <= 1 << 20, seed);
    }
    l1_free(l1);
}

static void one_item_may_be_larger_than_the_share_of_a_shard(void **state)
{
    (void)state;
    /* What a shard has of its own, first pages and 12 KiB of the policy, is a tenth of this. */
    struct l1 *l1 = help_new(4 << 20, NULL, 16);
    for (unsigned n = 0; n < 40000; n++) {
        put(l1, "small", n, VALUE_SIZE, 0, T0 + n);
    }
    put(l1, "large", 0, 2400 << 10, 0, T0 + 40000);
    assert_int_equal(present(l1, "large", 1), 1);
    assert_true(present(l1, "small", 40000) > 6000); /* and the rest of the room is used */
    l1_free(l1);
}

static void the_item_just_inserted_stays_if_anything_else_can_go(void **state)
{
    (void)state;
    struct l1 *l1 =
        help_new(144 << 10, &policy_lfu, 4); /* of these, 110 are there from the start */
    for (unsigned n = 0; n < 2000; n++) {
        put(l1, "k", n, n % 3000, 0, T0);
        assert_true(use(l1, "k", n, T0));
        for (int i = 0; i < 3; i++) {
            use(l1, "k", n, T0);
        }
    }
    l1_free(l1);
}

static void a_smaller_budget_is_reached_at_once(void **state)
{
    (void)state;
    struct l1 *l1 = help_new(4 << 20, NULL, 4);
    for (unsigned n = 0; n < 20000; n++) {
        put(l1, "k", n, VALUE_SIZE, 0, T0 + n);
    }
    l1_resize(l1, 1 << 20, T0 + 30000);
    assert_true(help_stats(l1).bytes_used <= 1 << 20);
    assert_int_equal(help_stats(l1).bytes_max, 1 << 20);
    assert_true(help_stats(l1).items > 5000);
    l1_free(l1);
}

/* Fills twice the capacity while a hot tenth is read again and again; returns how much of it survives. */
static double hot_share_surviving(const struct policy *policy)
{
    enum {
        HOT = 1000,
        FILL = 20000
    };
    struct l1 *l1 = help_new(room_for(10000), policy, 0);
    int64_t now_ms = T0;
    for (unsigned n = 0; n < HOT; n++) {
        put(l1, "hot", n, VALUE_SIZE, 0, now_ms);
    }
    for (unsigned n = 0; n < FILL; n++) {
        put(l1, "cold", n, VALUE_SIZE, 0, now_ms);
        use(l1, "hot", n % HOT, now_ms);
        now_ms += n % 4 == 0; /* 20000 insertions in 5 s */
    }
    assert_in_range(help_stats(l1).items, 9000, 11000);
    double share = present(l1, "hot", HOT) / (double)HOT;
    l1_free(l1);
    return share;
}

static void the_hot_tenth_survives_filling_twice_the_capacity(void **state)
{
    (void)state;
    assert_true(hot_share_surviving(&policy_lru) >= 0.99);
    assert_true(hot_share_surviving(&policy_lfu) >= 0.99);
    assert_true(hot_share_surviving(&policy_density) >= 0.99);
    assert_true(hot_share_surviving(&policy_s3fifo) >= 0.99);
}

static void a_scan_once_cannot_push_out_what_lfu_saw_often(void **state)
{
    (void)state;
    enum {
        OFTEN = 2000,
        SCAN = 50000
    };
    struct l1 *l1 = help_new(room_for(10000), &policy_lfu, 0);
    for (unsigned n = 0; n < OFTEN; n++) {
        put(l1, "often", n, VALUE_SIZE, 0, T0);
        for (int i = 0; i < 10; i++) {
            use(l1, "often", n, T0);
        }
    }
    for (unsigned n = 0; n < SCAN; n++) { /* nobody reads the others meanwhile */
        put(l1, "once", n, VALUE_SIZE, 0, T0 + n / 50);
    }
    assert_true(present(l1, "often", OFTEN) >= OFTEN * 99 / 100);
    l1_free(l1);
}

static void what_was_often_used_leaves_lfu_when_its_time_is_over(void **state)
{
    (void)state;
    enum {
        OFTEN = 2000,
        MINUTE = 60000
    };
    struct l1 *l1 = help_new(room_for(10000), &policy_lfu, 0);
    for (unsigned n = 0; n < OFTEN; n++) {
        put(l1, "often", n, VALUE_SIZE, 0, T0);
        for (int i = 0; i < 100; i++) {
            use(l1, "often", n, T0);
        }
    }
    for (unsigned n = 0; n < 40000; n++) {
        put(l1, "later", n, VALUE_SIZE, 0, T0 + 60 * MINUTE + n);
    }
    assert_true(present(l1, "often", OFTEN) < OFTEN / 20);
    l1_free(l1);
}

static void under_ttl_the_nearest_expiry_leaves_first_and_none_last(void **state)
{
    (void)state;
    enum {
        EACH = 3000,
        MORE = 2400
    };
    struct l1 *l1 = help_new(room_for(10400), &policy_ttl, 0); /* of several sizes */
    for (unsigned n = 0; n < EACH; n++) {
        put(l1, "never", n, VALUE_SIZE, 0, T0);
        put(l1, "far", n, VALUE_SIZE, T0 + 10000000 + n, T0);
        put(l1, "near", n, VALUE_SIZE, T0 + 1000000 + n, T0);
    }
    for (unsigned n = 0; n < MORE; n++) { /* a third of the near ones is enough */
        put(l1, "more", n, VALUE_SIZE, T0 + 20000000, T0 + 100);
    }
    assert_true(help_stats(l1).evictions > 500);
    assert_int_equal(present(l1, "never", EACH), EACH);
    assert_true(present(l1, "far", EACH) >= EACH * 99 / 100);
    assert_true(present(l1, "more", MORE) >= MORE * 99 / 100);
    assert_true(present(l1, "near", EACH) < EACH * 5 / 6);
    l1_free(l1);
}

static void under_ttl_of_equal_expiries_what_is_idle_longest_leaves_first(void **state)
{
    (void)state;
    enum {
        EACH = 4500,
        MORE = 2400
    };
    const int64_t expiries_ms[] = {T0 + 1000000, 0};
    for (size_t e = 0; e < 2; e++) {
        struct l1 *l1 = help_new(room_for(10000), &policy_ttl, 0);
        for (unsigned n = 0; n < EACH; n++) {
            put(l1, "idle", n, VALUE_SIZE, expiries_ms[e], T0);
            put(l1, "used", n, VALUE_SIZE, expiries_ms[e], T0);
        }
        for (unsigned n = 0; n < EACH; n++) {
            assert_true(use(l1, "used", n, T0 + 1000));
        }
        for (unsigned n = 0; n < MORE; n++) {
            put(l1, "more", n, VALUE_SIZE, expiries_ms[e], T0 + 2000);
        }
        assert_true(help_stats(l1).evictions > 500);
        assert_true(present(l1, "used", EACH) >= EACH * 99 / 100);
        assert_true(present(l1, "more", MORE) >= MORE * 99 / 100);
        assert_true(present(l1, "idle", EACH) < EACH - 400);
        l1_free(l1);
    }
}

static void expired_entries_leave_before_live_ones_under_every_policy(void **state)
{
    (void)state;
    const struct policy *policy;
    for (unsigned p = 0; (policy = policy_at(p)) != NULL; p++) {
        struct l1 *l1 = help_new(room_for(10000), policy, 1);
        for (unsigned n = 0; n < 4500; n++) {
            put(l1, "live", n, VALUE_SIZE, 0, T0);
            put(l1, "dead", n, VALUE_SIZE, T0 + 10, T0 + 1);
        }
        for (unsigned n = 0; n < 3000; n++) { /* a third of the dead is enough */
            put(l1, "more", n, VALUE_SIZE, 0, T0 + 20);
        }
        struct l1_stats stats = help_stats(l1);
        assert_true(stats.expirations > 1500);
        assert_true(stats.evictions < stats.expirations / 20);
        l1_free(l1);
    }
}

/* Puts in keys of a kind until no more have room; how many had. */
static unsigned fill_up(struct l1 *l1, const char *kind, int64_t expire_at_ms)
{
    unsigned n = 0;
    while (n < 1000000 && help_put(l1, kind, n, VALUE_SIZE, expire_at_ms, T0) == OK) {
        n++;
    }
    return n;
}

static void without_eviction_a_full_l1_refuses_and_keeps_everything(void **state)
{
    (void)state;
    struct l1 *l1 = help_new(1 << 20, &policy_noeviction, 4);
    const unsigned count = fill_up(l1, "k", 0);
    /* 84 bytes an item and about 15 of table, first pages taken off, make 9900; how full buckets and pages are, varies. */
    assert_in_range(count, 9000, 11000);
    assert_int_equal(present(l1, "k", count), count);
    assert_int_equal(help_stats(l1).evictions, 0);
    assert_int_equal(help_put(l1, "k", count, VALUE_SIZE, 0, T0), TOO_BIG);
    /* What does not grow is no question of room. */
    struct l1_key key = l1_key(l1, 0, SLICE_LITERAL("k:1"));
    struct item *seen = l1_hold(l1, &key, T0);
    struct item *item = help_item_value(0, key.bytes, SLICE_LITERAL("less"));
    assert_int_equal(l1_commit(&(struct l1_change){l1, key, seen, item}, 1, T0), OK);
    item_release(seen);
    item_release(item);
    for (unsigned n = 0; n < 100; n++) {
        char name[32];
        snprintf(name, sizeof name, "k:%u", n);
        help_set(l1, 0, name, NULL, 0, T0);
    }
    assert_int_equal(help_put(l1, "k", count, VALUE_SIZE, 0, T0), OK);
    l1_free(l1);
}

/* What a refused write had taken for itself goes back when its client lets go; it is no room for the next. */
static void without_eviction_refused_writes_make_no_room_for_others(void **state)
{
    (void)state;
    struct l1 *l1 = help_new(1 << 20, &policy_noeviction, 4);
    unsigned taken = fill_up(l1, "k", 0);
    const size_t live = help_stats(l1).bytes_live;
    for (unsigned n = 0; n < 20000; n++) {
        taken += help_put(l1, "m", n, VALUE_SIZE, 0, T0) == OK;
    }
    /* Cells that are free on pages in use are taken. */
    assert_true(help_stats(l1).items == taken);
    assert_true(help_stats(l1).bytes_used <= (1 << 20) + 4 * ARENA_PAGE);
    assert_true(help_stats(l1).bytes_live <= live + 16 * ARENA_PAGE);
    l1_free(l1);
}

static void without_eviction_what_has_expired_still_makes_room(void **state)
{
    (void)state;
    struct l1 *l1 = help_new(1 << 20, &policy_noeviction, 4);
    const unsigned count = fill_up(l1, "k", T0 + 10);
    for (unsigned n = 0; n < count / 2; n++) {
        assert_int_equal(help_put(l1, "m", n, VALUE_SIZE, 0, T0 + 10), OK);
    }
    assert_int_equal(help_stats(l1).evictions, 0);
    l1_free(l1);
}

/* Of another size, so that pages must come free; those are far larger than what one insertion lets go of. */
static void without_eviction_what_has_expired_makes_room_for_other_sizes(void **state)
{
    (void)state;
    enum {
        BUDGET = 16 << 20,
        OTHERS = 20000
    };
    struct l1 *l1 = help_new(BUDGET, &policy_noeviction, 1);
    assert_true(fill_up(l1, "k", T0 + 10) > 100000);
    for (unsigned n = 0; n < OTHERS; n++) {
        put(l1, "other", n, 300, 0, T0 + 10);
        assert_true(help_stats(l1).bytes_used <= BUDGET + BUDGET / 50);
    }
    assert_true(help_stats(l1).bytes_used <= BUDGET);
    assert_int_equal(present(l1, "other", OTHERS), OTHERS);
    assert_int_equal(help_stats(l1).evictions, 0);
    l1_free(l1);
}

static void without_eviction_a_read_from_l2_that_finds_no_room_is_not_kept(void **state)
{
    (void)state;
    struct l1 *l1 = help_new(1 << 20, &policy_noeviction, 1);
    const unsigned count = fill_up(l1, "k", 0);
    struct l1_ask ask = {.now_ms = T0, .join_ms = 10};
    struct l1_value value = {0};
    struct l1_claim claim;
    struct l1_key key = l1_key(l1, 0, SLICE_LITERAL("other"));
    assert_int_equal(l1_ask(l1, &key, &ask, &value, &claim), CLAIMED);
    struct item *item =
        help_item_value(0, key.bytes, SLICE_LITERAL("a value of L2 that has some size"));
    const struct l1_landing landing = {.token = claim.token, .install = true, .now_ms = T0};
    assert_int_equal(l1_fill(l1, &key, &landing, item), TOO_BIG);
    item_release(item);
    assert_int_equal(present(l1, "k", count), count);
    assert_int_equal(help_stats(l1).claims, 0);
    l1_free(l1);
}

static void policies_of_expiring_keys_refuse_only_when_none_is_left(void **state)
{
    (void)state;
    const struct policy *policies[] = {&policy_volatile_lru, &policy_volatile_lfu,
                                       &policy_volatile_random, &policy_ttl_strict};
    for (size_t p = 0; p < sizeof policies / sizeof policies[0]; p++) {
        struct l1 *l1 = help_new(1 << 20, policies[p], 2);
        for (unsigned n = 0; n < 2000; n++) {
            put(l1, "stays", n, VALUE_SIZE, 0, T0);
        }
        for (unsigned n = 0; n < 20000; n++) {
            put(l1, "goes", n, VALUE_SIZE, T0 + 100000 + n, T0 + n);
            assert_true(help_stats(l1).bytes_used <= 1 << 20);
        }
        assert_int_equal(present(l1, "stays", 2000), 2000);
        const unsigned more = fill_up(l1, "more", 0);
        assert_true(more > 2000);
        assert_int_equal(present(l1, "more", more), more);
        assert_int_equal(present(l1, "stays", 2000), 2000);
        assert_true(present(l1, "goes", 20000) < 300);
        l1_free(l1);
    }
}

static void under_random_nobody_is_safe_and_nobody_is_first(void **state)
{
    (void)state;
    struct l1 *l1 = help_new(room_for(10000), &policy_random, 1);
    for (unsigned n = 0; n < 15000; n++) {
        put(l1, "k", n, VALUE_SIZE, 0, T0 + n);
    }
    const unsigned oldest = present(l1, "k", 5000);
    assert_in_range(oldest, 5000 * 45 / 100, 5000 * 75 / 100);
    l1_free(l1);
}

/* Through all policies, with contents that fit. */
static void policies_are_switched_without_losing_the_contents(void **state)
{
    (void)state;
    struct l1 *l1 = help_new(4 << 20, NULL, 0);
    for (unsigned n = 0; n < 1000; n++) {
        put(l1, "k", n, VALUE_SIZE, 0, T0);
    }
    const struct policy *policy;
    for (unsigned p = 0; (policy = policy_at(p)) != NULL; p++) {
        l1_set_policy(l1, policy, T0);
        assert_ptr_equal(l1_policy(l1), policy);
        assert_int_equal(present(l1, "k", 1000), 1000);
        for (unsigned n = 0; n < 1000; n++) {
            assert_true(use(l1, "k", n, T0 + 1));
        }
    }
    l1_free(l1);
}

static struct l1_peek peek_at(struct l1 *l1, unsigned n, int64_t now_ms)
{
    char name[32];
    struct l1_peek peek = {0};
    snprintf(name, sizeof name, "k:%u", n);
    const struct l1_key key = l1_key(l1, 0, slice_of(name));
    assert_int_equal(l1_peek(l1, &key, now_ms, 0, &peek), OK);
    return peek;
}

/* Whenever it is: some policies keep times as remainders of it. */
static void how_long_an_entry_was_idle_outlives_its_policy(void **state)
{
    (void)state;
    enum {
        IDLE_MS = 100 * 1000,
        SLACK_MS = 4096
    };
    for (int64_t now_ms = T0; now_ms < T0 + INT64_C(60) * 24 * 3600 * 1000;
         now_ms += INT64_C(47) * 60 * 1000 + 1) {
        struct l1 *l1 = help_new(1 << 20, &policy_lru, 1);
        put(l1, "k", 1, VALUE_SIZE, 0, now_ms - IDLE_MS);
        put(l1, "k", 2, VALUE_SIZE, 0, now_ms);
        l1_set_policy(l1, &policy_lfu, now_ms);
        assert_in_range(peek_at(l1, 1, now_ms).frequency, 3, 4); /* of 5, a minute or two ago */
        assert_int_equal(peek_at(l1, 2, now_ms).frequency, 5);
        assert_int_equal(peek_at(l1, 2, now_ms).idle_ms, -1);
        l1_set_policy(l1, &policy_volatile_lru, now_ms);
        assert_in_range(peek_at(l1, 1, now_ms).idle_ms, IDLE_MS - SLACK_MS, IDLE_MS + SLACK_MS);
        assert_in_range(peek_at(l1, 2, now_ms).idle_ms, 0, SLACK_MS);
        assert_int_equal(peek_at(l1, 2, now_ms).frequency, -1);
        l1_set_policy(l1, &policy_density, now_ms); /* which knows no time before itself */
        assert_in_range(peek_at(l1, 1, now_ms + IDLE_MS).idle_ms, IDLE_MS - 1000, IDLE_MS + 1000);
        l1_free(l1);
    }
}

static void under_changing_policies_the_budget_holds(void **state)
{
    (void)state;
    const uint64_t seed = help_seed();
    struct rand rand;
    rand_seed(&rand, seed);
    struct l1 *l1 = help_new(512 << 10, NULL, 2);
    const struct policy *policy = &policy_density;
    for (unsigned n = 0; n < 60000; n++) {
        if (rand_below(&rand, 300) == 0) {
            policy = help_policy(&rand);
            l1_set_policy(l1, policy, T0);    /* it may remember something, which takes room; */
            l1_resize(l1, 512 << 10, T0 + n); /* so a node says the budget again, as here */
        }
        const unsigned number = (unsigned)rand_below(&rand, 9000);
        if (!use(l1, "k", number, T0 + n)) {
            const int64_t life_ms = (int64_t)rand_below(&rand, 5000);
            const enum status status = help_put(l1, "k", number, VALUE_SIZE,
                                                life_ms < 2500 ? 0 : T0 + n + life_ms, T0 + n);
            HELP_CHECK(status == OK || policy->refuses, seed);
        }
        /* 512 KiB, and what the tables may have grown by where nothing could be evicted for it. */
        HELP_CHECK(help_stats(l1).bytes_used <= 528 << 10, seed);
    }
    l1_free(l1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_bytes_of_an_empty_l1_come_back_when_all_is_removed),
        cmocka_unit_test(claims_and_suspects_are_counted_and_given_back),
        cmocka_unit_test(the_budget_holds_after_every_insertion),
        cmocka_unit_test(one_item_may_be_larger_than_the_share_of_a_shard),
        cmocka_unit_test(the_item_just_inserted_stays_if_anything_else_can_go),
        cmocka_unit_test(a_smaller_budget_is_reached_at_once),
        cmocka_unit_test(the_hot_tenth_survives_filling_twice_the_capacity),
        cmocka_unit_test(a_scan_once_cannot_push_out_what_lfu_saw_often),
        cmocka_unit_test(what_was_often_used_leaves_lfu_when_its_time_is_over),
        cmocka_unit_test(under_ttl_the_nearest_expiry_leaves_first_and_none_last),
        cmocka_unit_test(under_ttl_of_equal_expiries_what_is_idle_longest_leaves_first),
        cmocka_unit_test(expired_entries_leave_before_live_ones_under_every_policy),
        cmocka_unit_test(without_eviction_a_full_l1_refuses_and_keeps_everything),
        cmocka_unit_test(without_eviction_refused_writes_make_no_room_for_others),
        cmocka_unit_test(without_eviction_what_has_expired_still_makes_room),
        cmocka_unit_test(without_eviction_what_has_expired_makes_room_for_other_sizes),
        cmocka_unit_test(without_eviction_a_read_from_l2_that_finds_no_room_is_not_kept),
        cmocka_unit_test(policies_of_expiring_keys_refuse_only_when_none_is_left),
        cmocka_unit_test(under_random_nobody_is_safe_and_nobody_is_first),
        cmocka_unit_test(policies_are_switched_without_losing_the_contents),
        cmocka_unit_test(how_long_an_entry_was_idle_outlives_its_policy),
        cmocka_unit_test(under_changing_policies_the_budget_holds),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
