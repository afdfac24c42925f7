/* SPDX-License-Identifier: BSD-3-Clause */
/* What the default policy learns, what it remembers of those evicted, and that it acts by it. */
#include "tests/unit/l1_help.h"
#include "tiers/policy_memory.h"

enum {
    T0 = 1000000,
    MANY = 4000
};

static uint64_t hash_of(uint64_t n)
{
    return n * UINT64_C(0x9e3779b97f4a7c15);
}

/* --- ghosts ------------------------------------------------------------------------------------------------------- */

static void settle_whole(struct policy_ghost *ghost, size_t residents, size_t bytes)
{
    for (size_t before = SIZE_MAX; before != policy_ghost_bytes(ghost);) {
        before = policy_ghost_bytes(ghost);
        for (int i = 0; i < GHOST_CHUNK_LINES; i++) {
            policy_ghost_settle(ghost, residents, bytes);
        }
    }
}

static unsigned known(struct policy_ghost *ghost, uint64_t begin, uint64_t end)
{
    unsigned count = 0;
    struct policy_ghost_entry entry;
    for (uint64_t n = begin; n < end; n++) {
        count += policy_ghost_take(ghost, hash_of(n), &entry);
    }
    return count;
}

static void a_ghost_gives_back_what_was_put_in_once(void **state)
{
    (void)state;
    struct policy_ghost ghost = {.arena = arena_new()};
    struct policy_ghost_entry entry = {.tick = 1023, .group = 31};
    policy_ghost_put(&ghost, hash_of(1), entry); /* without room: nothing happens */
    assert_false(policy_ghost_take(&ghost, hash_of(1), &entry));
    policy_ghost_settle(&ghost, 1, 100);
    policy_ghost_put(&ghost, hash_of(1), entry);
    entry = (struct policy_ghost_entry){0};
    assert_false(policy_ghost_take(&ghost, hash_of(2), &entry));
    assert_true(policy_ghost_take(&ghost, hash_of(1), &entry));
    assert_int_equal(entry.tick, 1023);
    assert_int_equal(entry.group, 31);
    assert_false(policy_ghost_take(&ghost, hash_of(1), &entry));
    policy_ghost_clear(&ghost);
    arena_close(ghost.arena);
}

static void a_ghost_remembers_about_as_many_as_are_resident_and_the_newest(void **state)
{
    (void)state;
    struct policy_ghost ghost = {.arena = arena_new()};
    settle_whole(&ghost, MANY, MANY * 100);
    for (uint64_t n = 0; n < MANY * 3; n++) {
        policy_ghost_put(&ghost, hash_of(n), (struct policy_ghost_entry){.tick = 1});
    }
    assert_true(known(&ghost, MANY * 5 / 2, MANY * 3) > MANY / 2 * 95 / 100);
    assert_true(known(&ghost, 0, MANY * 3 / 2) < MANY / 20);
    policy_ghost_clear(&ghost);
    arena_close(ghost.arena);
}

static size_t bytes_for(size_t residents, size_t resident_bytes)
{
    struct policy_ghost ghost = {.arena = arena_new()};
    settle_whole(&ghost, residents, resident_bytes);
    const size_t bytes = policy_ghost_bytes(&ghost);
    policy_ghost_clear(&ghost);
    assert_int_equal(policy_ghost_bytes(&ghost), 0);
    arena_close(ghost.arena);
    return bytes;
}

static void a_ghost_takes_four_bytes_a_resident_and_a_64th_of_large_ones(void **state)
{
    (void)state;
    enum {
        ENTRIES = 100000,
        ROUNDING = 32768 /* a chunk, and pointers to chunks */
    };
    assert_in_range(bytes_for(ENTRIES, ENTRIES * 100), 4 * ENTRIES, 4 * ENTRIES + ROUNDING);
    assert_in_range(bytes_for(ENTRIES, ENTRIES * 512), 8 * ENTRIES, 8 * ENTRIES + ROUNDING);
    assert_in_range(bytes_for(ENTRIES, (size_t)ENTRIES << 20), 16 * ENTRIES,
                    16 * ENTRIES + ROUNDING);
}

static void what_a_ghost_knows_survives_its_growing_and_shrinking(void **state)
{
    (void)state;
    struct policy_ghost ghost = {.arena = arena_new()};
    settle_whole(&ghost, MANY, 0);
    for (uint64_t n = 0; n < MANY / 4; n++) {
        policy_ghost_put(&ghost, hash_of(n), (struct policy_ghost_entry){.tick = 1});
    }
    settle_whole(&ghost, 5 * MANY, 0);
    assert_true(known(&ghost, 0, MANY / 4) > MANY / 4 * 99 / 100);
    for (uint64_t n = 0; n < 4 * MANY; n++) {
        policy_ghost_put(&ghost, hash_of(n), (struct policy_ghost_entry){.tick = 1});
    }
    settle_whole(&ghost, MANY, 0); /* those in the lines that stay */
    assert_in_range(known(&ghost, 0, 4 * MANY), MANY / 2, MANY * 2);
    policy_ghost_clear(&ghost);
    arena_close(ghost.arena);
}

/* --- learning ----------------------------------------------------------------------------------------------------- */

static void compute_all(struct policy_learn *learn)
{
    for (unsigned group = 0; group < LEARN_GROUPS; group++) {
        policy_learn_compute(learn, (uint8_t)group);
    }
}

static void what_was_not_seen_yet_is_worth_less_with_age_and_more_with_uses(void **state)
{
    (void)state;
    struct policy_learn learn;
    policy_learn_init(&learn);
    for (uint16_t age = 1; age <= POLICY_AGE_MAX; age++) {
        assert_true(policy_learn_cost(&learn, 0, age) >= policy_learn_cost(&learn, 0, age - 1));
    }
    for (uint8_t uses = 1; uses < LEARN_USES; uses++) {
        assert_true(policy_learn_cost(&learn, uses, 10) < policy_learn_cost(&learn, uses - 1, 10));
    }
}

static void uses_and_waits_make_the_group(void **state)
{
    (void)state;
    uint8_t group = policy_learn_group_after(LEARN_GROUP_NEW, 0);
    assert_int_equal(group % LEARN_USES, 1);
    assert_int_equal(group / LEARN_USES, 0);
    for (int i = 0; i < 20; i++) {
        group = policy_learn_group_after(group, POLICY_AGE_MAX);
    }
    assert_int_equal(group, LEARN_GROUPS - 1);
    for (uint16_t age = 1; age <= POLICY_AGE_MAX; age++) {
        const unsigned step = policy_learn_age_bin(age) - policy_learn_age_bin(age - 1);
        assert_true(step <= 1);
        assert_true(step == 0 || policy_learn_age_begin(policy_learn_age_bin(age)) == age);
    }
    assert_int_equal(policy_learn_age_bin(POLICY_AGE_MAX), LEARN_AGES - 1);
}

static void once_a_scan_is_known_its_entries_are_worth_less_than_before(void **state)
{
    (void)state;
    struct policy_learn learn;
    policy_learn_init(&learn);
    const float before = policy_learn_cost(&learn, LEARN_GROUP_NEW, 0);
    for (int i = 0; i < 10000; i++) {
        policy_learn_newcomer(&learn);
    }
    compute_all(&learn);
    assert_true(policy_learn_cost(&learn, LEARN_GROUP_NEW, 0) > before * 10);
}

/* All keys come again after 80 ticks: the nearer to that, the more a place is worth; after it, next to nothing. */
static void entries_of_a_loop_are_worth_more_the_older_they_get(void **state)
{
    (void)state;
    struct policy_learn learn;
    policy_learn_init(&learn);
    uint8_t group = LEARN_GROUP_NEW;
    for (int round = 0; round < 20; round++) {
        for (int i = 0; i < 1000; i++) {
            policy_learn_use(&learn, group, 80);
        }
        group = policy_learn_group_after(group, 80);
    }
    for (int i = 0; i < 1000; i++) {
        policy_learn_use(&learn, group, 80);
    }
    compute_all(&learn);
    assert_true(policy_learn_cost(&learn, group, 60) < policy_learn_cost(&learn, group, 40));
    assert_true(policy_learn_cost(&learn, group, 40) < policy_learn_cost(&learn, group, 5));
    assert_true(policy_learn_cost(&learn, group, 200) > 10 * policy_learn_cost(&learn, group, 60));
}

static void old_times_fade(void **state)
{
    (void)state;
    struct policy_learn learn;
    policy_learn_init(&learn);
    for (int i = 0; i < 1000; i++) {
        policy_learn_use(&learn, 3, 7);
    }
    for (int i = 0; i < 600; i++) {
        policy_learn_compute(&learn, 3);
    }
    assert_true(learn.uses[3][policy_learn_age_bin(7)] < 1);
}

/* --- through L1 --------------------------------------------------------------------------------------------------- */

static bool get(struct l1 *l1, uint64_t n, size_t value_size, int64_t now_ms)
{
    char name[32];
    char room[64];
    snprintf(name, sizeof name, "k:%llu", (unsigned long long)n);
    struct l1_key key = l1_key(l1, 0, slice_of(name));
    struct l1_value value = {.copy = room, .copy_room = sizeof room};
    if (l1_get(l1, &key, now_ms, 0, &value) == OK) {
        item_release(value.item);
        return true;
    }
    struct item *item =
        l1_item_new(l1, key.hash, &(struct item_spec){.key = key.bytes, .value_size = value_size});
    memset(item_value_room(item), 'v', value_size);
    assert_int_equal(l1_commit(&(struct l1_change){l1, key, L1_ANY, item}, 1, now_ms), OK);
    item_release(item);
    return false;
}

/* Hits of a loop over `length` keys where about `room` have room, once it has gone round a few times. */
static double loop_hits(const struct policy *policy, unsigned length, unsigned room)
{
    enum {
        ROUNDS = 20,
        WARM = 8
    };
    /* 84 bytes of item, 15 of table, 4 of ghost; and what an empty L1 has already. Pages make it coarse. */
    struct l1 *l1 = help_new(1 << 20, policy, 1);
    const size_t empty_bytes = help_stats(l1).bytes_used;
    l1_resize(l1, empty_bytes + (size_t)room * (policy->remembers ? 103 : 99), T0);
    unsigned hits = 0;
    for (unsigned round = 0; round < ROUNDS; round++) {
        for (unsigned n = 0; n < length; n++) {
            hits += get(l1, n, 64, T0 + (int64_t)round * length + n) && round >= WARM;
        }
    }
    assert_in_range(help_stats(l1).items, room * 95 / 100, room * 105 / 100);
    l1_free(l1);
    return hits / (double)((ROUNDS - WARM) * length);
}

static void of_a_loop_a_little_too_long_most_is_kept(void **state)
{
    (void)state;
    const double lru = loop_hits(&policy_lru, 5000, 4000);
    const double density = loop_hits(&policy_density, 5000, 4000);
    assert_true(lru < 0.2);
    assert_true(density > 0.4);
}

static void a_scan_does_not_push_out_what_is_read_again(void **state)
{
    (void)state;
    enum {
        COUNTED = HELP_ROUNDS(160000)
    };
    struct l1 *l1 = help_new(4000 * 160, &policy_density, 1);
    unsigned hits = 0;
    for (unsigned i = 0; i < 2 * COUNTED;
         i++) { /* 3000 keys read again and again, and one of a scan each time */
        const bool hit = get(l1, i * UINT64_C(7919) % 3000, 64, T0 + i);
        hits += hit && i >= COUNTED;
        get(l1, 1000000 + i, 64, T0 + i);
    }
    assert_true(hits > COUNTED * 95 / 100);
    l1_free(l1);
}

/* Hits of 9000 small keys, each as often read as each of 1000 large ones that fill the room four times. */
static double small_hits(const struct policy *policy)
{
    enum {
        READS = HELP_ROUNDS(200000)
    };
    struct l1 *l1 = help_new(2 << 20, policy, 1);
    unsigned hits = 0;
    unsigned reads = 0;
    struct rand rand;
    rand_seed(&rand, 7);
    for (unsigned i = 0; i < READS; i++) {
        const uint64_t n = rand_below(&rand, 10000);
        const bool hit = get(l1, n, n % 10 == 0 ? 8000 : 64, T0 + i);
        hits += hit && n % 10 != 0;
        reads += n % 10 != 0;
    }
    l1_free(l1);
    return hits / (double)reads;
}

static void small_items_stay_where_a_large_one_would_take_the_room_of_many(void **state)
{
    (void)state;
    const double lru = small_hits(&policy_lru);
    const double density = small_hits(&policy_density);
    assert_true(density > lru * 1.5);
}

static void ghosts_are_counted_in_the_budget_and_given_back(void **state)
{
    (void)state;
    struct l1 *l1 = help_new(8 << 20, &policy_density, 2);
    const size_t empty_bytes = help_stats(l1).bytes_used;
    for (unsigned n = 0; n < 200000; n++) {
        get(l1, n, 64, T0);
        /* A segment of the table comes as a whole: what it takes beyond goes with the next insertions. */
        assert_true(help_stats(l1).bytes_used <= (8 << 20) + (128 << 10));
    }
    assert_true(help_stats(l1).bytes_used <= 8 << 20);
    const size_t with_ghosts = help_stats(l1).items;
    l1_set_policy(l1, &policy_lru, T0);
    for (unsigned n = 200000; n < 400000; n++) {
        get(l1, n, 64, T0);
    }
    assert_in_range(help_stats(l1).items - with_ghosts, with_ghosts / 50, with_ghosts / 12);
    l1_set_policy(l1, &policy_density, T0);
    for (unsigned n = 0; n < 200000; n++) {
        get(l1, n, 64, T0);
    }
    l1_flush_all(l1);
    l1_purge(l1);
    l1_sweep(l1, T0, 8000);
    l1_purge(l1);
    assert_true(help_stats(l1).bytes_used <= empty_bytes + (64 << 10));
    l1_free(l1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_ghost_gives_back_what_was_put_in_once),
        cmocka_unit_test(a_ghost_remembers_about_as_many_as_are_resident_and_the_newest),
        cmocka_unit_test(a_ghost_takes_four_bytes_a_resident_and_a_64th_of_large_ones),
        cmocka_unit_test(what_a_ghost_knows_survives_its_growing_and_shrinking),
        cmocka_unit_test(what_was_not_seen_yet_is_worth_less_with_age_and_more_with_uses),
        cmocka_unit_test(uses_and_waits_make_the_group),
        cmocka_unit_test(once_a_scan_is_known_its_entries_are_worth_less_than_before),
        cmocka_unit_test(entries_of_a_loop_are_worth_more_the_older_they_get),
        cmocka_unit_test(old_times_fade),
        cmocka_unit_test(of_a_loop_a_little_too_long_most_is_kept),
        cmocka_unit_test(a_scan_does_not_push_out_what_is_read_again),
        cmocka_unit_test(small_items_stay_where_a_large_one_would_take_the_room_of_many),
        cmocka_unit_test(ghosts_are_counted_in_the_budget_and_given_back),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
