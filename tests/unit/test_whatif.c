/* SPDX-License-Identifier: BSD-3-Clause */
/* What the simulators say, where the answer is known: from counting by hand, from exact stack distances. Beside L1 itself:
 * test_whatif_l1.c. */
#include "tests/unit/whatif_help.h"

/* --- simulators alone --------------------------------------------------------------------------------------------- */

static void nothing_is_said_before_the_first_request(void **state)
{
    (void)state;
    struct lab lab = lab_new(&policy_lru, SLOTS, 100);
    assert_int_equal(report_of(&lab).requests, 0);
    note(&lab, WHATIF_WRITE, 1);
    assert_int_equal(report_of(&lab).requests, 0);
    note(&lab, WHATIF_HIT, 1);
    assert_int_equal(report_of(&lab).requests, 1);
    assert_true(report_of(&lab).hit_ratio == 1);
    lab_free(&lab);
}

/* A loop over 100 keys, L1 has room for 60 and lets nobody leave: so 60 of each round hit, 30 with half the memory, and
 * with twice as much all. */
static void without_eviction_a_loop_hits_what_had_room(void **state)
{
    (void)state;
    enum {
        ROUNDS = 20
    };
    struct lab lab = lab_new(&policy_noeviction, SLOTS, 60);
    for (uint64_t i = 0; i < 100 * ROUNDS; i++) {
        const uint64_t key = i % 100;
        const bool hits = i >= 100 && key < 60;
        note(&lab, hits ? WHATIF_HIT : WHATIF_MISS, key);
        if (!hits) {
            note(&lab, WHATIF_WRITE, key);
        }
    }
    const struct whatif_report report = report_of(&lab);
    const double all = 100 * ROUNDS;
    const double again = ROUNDS - 1;
    assert_int_equal(report.requests, 100 * ROUNDS);
    assert_true(report.share == 1);
    assert_true(fabs(report.hit_ratio - 60 * again / all) < 1e-9);
    assert_true(fabs(report.at_policy[place_of(&policy_noeviction)] - 60 * again / all) < 1e-9);
    assert_true(fabs(report.at_scale[0] - 30 * again / all) < 1e-9);
    assert_true(fabs(report.at_scale[1] - 100 * again / all) < 1e-9);
    assert_true(fabs(report.at_scale[2] - 100 * again / all) < 1e-9);
    assert_true(fabs(report.at_policy[place_of(&policy_volatile_lru)] - 60 * again / all) < 1e-9);
    lab_free(&lab);
}

/* How many other keys were used since the last use of each key (Mattson 1970): exact LRU hits where that is below its
 * room. */
static void lru_hits_as_stack_distances_say(void **state)
{
    (void)state;
    enum {
        KEYS = 1600,
        REQUESTS = 30000,
        ROOM = 200
    };
    static uint64_t stack[KEYS];
    unsigned hits[4] = {0}; /* at 0.5, 1, 2, 4 */
    unsigned depth = 0;
    struct rand rand;
    struct lab lab = lab_new(&policy_lru, SLOTS, ROOM);
    rand_seed(&rand, 7);
    for (unsigned i = 0; i < REQUESTS; i++) {
        const uint64_t key = skewed(&rand, KEYS);
        unsigned at = 0;
        while (at < depth && stack[at] != key) {
            at++;
        }
        const bool is_known = at < depth;
        for (unsigned scale = 0; scale < 4; scale++) {
            hits[scale] += is_known && at < (ROOM / 2u) << scale;
        }
        depth += !is_known;
        memmove(stack + 1, stack, at * sizeof stack[0]);
        stack[0] = key;
        lab.now_ms += 4;
        note(&lab, is_known && at < ROOM ? WHATIF_HIT : WHATIF_MISS, key);
        if (!is_known || at >= ROOM) {
            note(&lab, WHATIF_WRITE, key);
        }
    }
    const struct whatif_report report = report_of(&lab);
    const double said[] = {report.at_scale[0], report.hit_ratio, report.at_scale[1],
                           report.at_scale[2]};
    for (unsigned scale = 0; scale < 4; scale++) {
        const double exact = (double)hits[scale] / REQUESTS;
        print_message("%gx: exact %.4f, said %.4f\n", 0.5 * (1 << scale), exact, said[scale]);
        assert_true(fabs(said[scale] - exact) < 0.01);
    }
    lab_free(&lab);
}

static void what_was_removed_or_is_over_is_missed_by_all(void **state)
{
    (void)state;
    struct lab lab = lab_new(&policy_lru, SLOTS, 100);
    note(&lab, WHATIF_WRITE, 1);
    note(&lab, WHATIF_HIT, 1);
    assert_true(counted(&lab, &policy_lfu) == 1);
    note(&lab, WHATIF_END, 1);
    note(&lab, WHATIF_MISS, 1); /* 1 of 2 */
    note_sized(&lab, WHATIF_WRITE, 2, 0, SIZE, lab.now_ms + 50);
    lab.now_ms += 49;
    note(&lab, WHATIF_HIT, 2); /* 2 of 3 */
    lab.now_ms += 1;
    note(&lab, WHATIF_MISS, 2); /* 2 of 4 */
    const struct whatif_report report = report_of(&lab);
    for (unsigned i = 0; policy_at(i) != NULL; i++) {
        assert_true(report.at_policy[i] == 0.5);
    }
    assert_true(report.at_scale[0] == 0.5 && report.at_scale[2] == 0.5);
    lab_free(&lab);
}

static void a_flush_takes_one_database_or_all(void **state)
{
    (void)state;
    struct lab lab = lab_new(&policy_lru, SLOTS, 100);
    for (uint8_t db = 0; db < 3; db++) {
        note_sized(&lab, WHATIF_WRITE, 1, db, SIZE, 0);
    }
    whatif_flush(lab.whatif, 1);
    note_sized(&lab, WHATIF_HIT, 1, 0, SIZE, 0);
    note_sized(&lab, WHATIF_MISS, 1, 1, 0, 0);
    note_sized(&lab, WHATIF_HIT, 1, 2, SIZE, 0);
    assert_true(fabs(report_of(&lab).at_scale[2] - 2.0 / 3) < 1e-9);
    whatif_flush(lab.whatif, -1);
    note_sized(&lab, WHATIF_MISS, 1, 0, 0, 0);
    note_sized(&lab, WHATIF_MISS, 1, 2, 0, 0);
    assert_true(fabs(report_of(&lab).at_scale[2] - 2.0 / 5) < 1e-9);
    lab_free(&lab);
}

/* L1 may serve it no more, whatever its size: so it is no hit anywhere, but it is not gone. */
static void a_suspect_is_missed_by_all_and_stays(void **state)
{
    (void)state;
    struct lab lab = lab_new(&policy_lru, SLOTS, 100);
    note(&lab, WHATIF_WRITE, 1);
    note(&lab, WHATIF_SUSPECT, 1);
    assert_true(report_of(&lab).at_scale[2] == 0);
    note(&lab, WHATIF_REFRESH, 1);
    note(&lab, WHATIF_HIT, 1);
    assert_true(report_of(&lab).at_scale[2] == 0.5);
    lab_free(&lab);
}

/* Who misses what L1 hits would have fetched it. */
static void a_hit_is_fetched_where_it_was_missed(void **state)
{
    (void)state;
    struct lab lab = lab_new(&policy_lru, 64, 4); /* 2 at half the memory */
    for (uint64_t key = 0; key < 4; key++) {
        fetch(&lab, key);
    }
    for (int round = 0; round < 50; round++) { /* L1 holds all four, half of it only the last two */
        for (uint64_t key = 0; key < 2; key++) {
            lab.now_ms += 4;
            note(&lab, WHATIF_HIT, key);
        }
    }
    assert_true(fabs(report_of(&lab).hit_ratio - 100.0 / 104) < 1e-9);
    assert_true(fabs(report_of(&lab).at_scale[0] - 98.0 / 104) < 1e-9);
    lab_free(&lab);
}

/* The share of these keys that the simulator that is as L1 is holds. */
static double held(struct lab *lab, uint64_t begin, uint64_t end)
{
    whatif_restart(lab->whatif, &lab->truth);
    for (uint64_t key = begin; key < end; key++) {
        note(lab, WHATIF_MISS, key);
    }
    return report_of(lab).simulated;
}

/* The keys from 100 on are misses of L1 each time, which reads and stores them; for who holds them that is one use, as a
 * hit of the others is. */
static void a_value_that_answers_a_miss_is_no_use_of_its_own(void **state)
{
    (void)state;
    struct lab lab = lab_new(&policy_lfu, 4096, 200);
    for (uint64_t key = 0; key < 200; key++) {
        fetch(&lab, key);
    }
    for (int round = 0; round < 60; round++) {
        for (uint64_t key = 0; key < 100; key++) {
            note(&lab, WHATIF_HIT, key);
            fetch(&lab, 100 + key);
        }
    }
    lab.items = 100; /* half of them have to go: those with the lowest counts */
    for (int i = 0; i < 10; i++) {
        fetch(&lab, 1000);
    }
    const double hit = held(&lab, 0, 100);
    const double fetched = held(&lab, 100, 200);
    print_message("held: %.2f of those hit, %.2f of those fetched\n", hit, fetched);
    assert_true(fabs(hit - fetched) < 0.35);
    lab_free(&lab);
}

/* L1 fetches it anew and with a new TTL; for who still held it, it ends when it did. */
static void what_was_fetched_anew_expires_as_before_where_it_was_held(void **state)
{
    (void)state;
    struct lab lab = lab_new(&policy_lru, SLOTS, 100);
    note_sized(&lab, WHATIF_WRITE, 1, 0, SIZE, lab.now_ms + 100);
    for (int round = 0; round < 3; round++) { /* L1 has lost it, the simulators have not */
        lab.now_ms += 30;
        note(&lab, WHATIF_MISS, 1);
        note_sized(&lab, WHATIF_WRITE, 1, 0, SIZE, lab.now_ms + 100);
    }
    assert_true(report_of(&lab).simulated == 1);
    lab.now_ms += 10; /* 100 since it came */
    note(&lab, WHATIF_MISS, 1);
    assert_true(report_of(&lab).simulated == 0.75);
    note_sized(&lab, WHATIF_WRITE, 1, 0, SIZE, lab.now_ms + 100);
    lab.now_ms += 99;
    note(&lab, WHATIF_HIT, 1);
    assert_true(report_of(&lab).simulated == 0.8);
    note_sized(&lab, WHATIF_WRITE, 1, 0, SIZE,
               lab.now_ms + 100); /* nobody had asked: it is new to all */
    lab.now_ms += 99;
    note(&lab, WHATIF_HIT, 1);
    assert_true(fabs(report_of(&lab).simulated - 5.0 / 6) < 1e-9);
    lab_free(&lab);
}

static void values_that_grow_push_others_out(void **state)
{
    (void)state;
    struct lab lab = lab_new(&policy_lru, 1024, 100);
    for (uint64_t key = 0; key < 100; key++) {
        fetch(&lab, key);
    }
    assert_true(held(&lab, 0, 100) == 1);
    for (uint64_t key = 0; key < 40; key++) {
        lab.now_ms += 4;
        note_sized(&lab, WHATIF_WRITE, key, 0, SIZE + ITEM, 0);
    }
    assert_true(held(&lab, 0, 40) > 0.9);
    const double others = held(&lab, 40, 100);
    assert_true(others > 0.2 && others < 0.45); /* 20 of 60 */
    lab_free(&lab);
}

static void what_has_expired_leaves_first(void **state)
{
    (void)state;
    struct lab lab = lab_new(&policy_lru, 1024, 100);
    for (uint64_t key = 0; key < 50; key++) {
        fetch(&lab, key);
    }
    for (uint64_t key = 50; key < 100; key++) {
        note_sized(&lab, WHATIF_WRITE, key, 0, SIZE, lab.now_ms + 10);
    }
    lab.now_ms += 10;
    for (uint64_t key = 100; key < 130; key++) {
        fetch(&lab, key);
    }
    assert_true(held(&lab, 0, 50) > 0.9); /* idle longest, and alive */
    lab_free(&lab);
}

/* A scan of 400 keys between two of a hot set of 50, at a room of 100: the counts of lfu protect the hot set, if what was
 * fetched is not taken for used once more; lru loses it. */
static void policies_differ_as_they_should(void **state)
{
    (void)state;
    struct lab lab = lab_new(&policy_lru, 2048, 100);
    uint64_t scanned = 1000;
    for (int round = 0; round < 40; round++) {
        for (int i = 0; i < 150; i++) {
            fetch(&lab, (uint64_t)i % 50);
        }
        for (int i = 0; i < 400; i++) {
            fetch(&lab, scanned++);
        }
    }
    const struct whatif_report report = report_of(&lab);
    assert_true(report.at_policy[place_of(&policy_random)] <
                report.at_policy[place_of(&policy_density)]);
    lab_free(&lab);
    lab = lab_new(&policy_lru, 2048, 100);
    uint64_t hits = 0;
    scanned = 1000;
    for (int round = 0; round < 40; round++) { /* the same, with what exact LRU does as the truth */
        for (int i = 0; i < 150; i++) {
            const bool is_first = i < 50;
            lab.now_ms += 4;
            note(&lab, is_first ? WHATIF_MISS : WHATIF_HIT, (uint64_t)i % 50);
            if (is_first) {
                note(&lab, WHATIF_WRITE, (uint64_t)i % 50);
            }
            hits += !is_first;
        }
        for (int i = 0; i < 400; i++) {
            fetch(&lab, scanned++);
        }
    }
    const struct whatif_report truthful = report_of(&lab);
    assert_true(fabs(truthful.hit_ratio - (double)hits / 22000) < 1e-9);
    assert_true(fabs(truthful.at_policy[place_of(&policy_lru)] - truthful.hit_ratio) < 1e-9);
    assert_true(truthful.at_policy[place_of(&policy_lfu)] > truthful.hit_ratio + 0.05);
    assert_true(truthful.at_policy[place_of(&policy_density)] > truthful.hit_ratio + 0.05);
    lab_free(&lab);
}

/* The sample is as large as the table bears, and its share of all keys is told. */
static void many_keys_make_the_share_small_and_few_keys_large(void **state)
{
    (void)state;
    struct lab lab = lab_new(&policy_lru, 1024, 100000);
    struct rand rand;
    rand_seed(&rand, 1);
    for (int i = 0; i < 200000; i++) {
        fetch(&lab, rand_below(&rand, 400000));
    }
    const double share = report_of(&lab).share;
    assert_true(share <= 1024.0 / (4 * 100000));
    assert_true(share >= 1024.0 / (40 * 100000));
    assert_true(whatif_bytes(lab.whatif) < 200 << 10);
    assert_true(fabs((double)report_of(&lab).requests / 200000 / share - 1) < 0.5);
    lab.items = 500; /* the values became much larger */
    for (int i = 0; i < 20000; i++) {
        fetch(&lab, rand_below(&rand, 1000));
    }
    assert_true(report_of(&lab).share > share * 8);
    lab_free(&lab);
}

/* Where other policies hold quite other keys than expected, the table would be full: the share falls then, too. */
static void a_full_table_makes_the_share_small(void **state)
{
    (void)state;
    struct lab lab = lab_new(&policy_lru, 64, 8);
    for (uint64_t i = 0; i < 20000; i++) {
        lab.now_ms += 4;
        note_sized(&lab, WHATIF_WRITE, i, (uint8_t)(i % 16), 0, 0); /* takes next to nothing */
    }
    assert_true(report_of(&lab).share < 1);
    lab_free(&lab);
}

static void counts_fade_to_what_was_last(void **state)
{
    (void)state;
    struct lab lab = lab_new(&policy_lru, SLOTS, 100);
    whatif_free(lab.whatif);
    lab.whatif = whatif_new(&(struct whatif_options){
        .policy = &policy_lru, .arena = lab.arena, .slots = 2048, .window = 1000, .seed = 1});
    assert_non_null(lab.whatif);
    for (uint64_t i = 0; i < 20000; i++) {
        fetch(&lab, i);
        if (whatif_is_due(lab.whatif)) {
            whatif_fade(lab.whatif, &lab.truth);
        }
    }
    assert_true(report_of(&lab).hit_ratio == 0);
    for (uint64_t i = 0; i < 5000; i++) {
        note(&lab, WHATIF_HIT, 19999);
        if (whatif_is_due(lab.whatif)) {
            whatif_fade(lab.whatif, &lab.truth);
        }
    }
    assert_true(report_of(&lab).requests < 1000);
    assert_true(report_of(&lab).hit_ratio > 0.99);
    whatif_restart(lab.whatif, &lab.truth);
    assert_int_equal(report_of(&lab).requests, 0);
    lab_free(&lab);
}

static void a_policy_is_switched_without_losing_contents(void **state)
{
    (void)state;
    struct lab lab = lab_new(&policy_density, SLOTS, 1000);
    for (uint64_t i = 0; i < 400; i++) {
        fetch(&lab, i);
    }
    for (unsigned p = 0; policy_at(p) != NULL; p++) {
        whatif_set_policy(lab.whatif, policy_at(p));
        whatif_restart(lab.whatif, &lab.truth);
        for (uint64_t i = 0; i < 400; i++) {
            note(&lab, WHATIF_HIT, i);
        }
        const struct whatif_report report = report_of(&lab);
        assert_ptr_equal(report.policy, policy_at(p));
        assert_true(report.at_scale[0] == 1 && report.at_scale[2] == 1);
        whatif_sweep(lab.whatif, lab.now_ms + POLICY_SETTLE_MS);
    }
    lab_free(&lab);
}

/* --- the table ---------------------------------------------------------------------------------------------------- */

/* Against a plain array, with all homes close together. */
static void rows_are_found_whatever_was_dropped_around_them(void **state)
{
    (void)state;
    enum {
        PRINTS = 48,
        STEPS = 20000
    };
    struct arena *arena = arena_new();
    struct whatif_table table = {0};
    uint32_t sizes[PRINTS + 1] = {0}; /* by print; 0: not there */
    struct rand rand;
    rand_seed(&rand, 3);
    assert_int_equal(whatif_table_init(&table, arena, 64), OK);
    for (uint32_t step = 1; step <= STEPS; step++) {
        const uint32_t print = 1 + (uint32_t)rand_below(&rand, PRINTS);
        /* homes 56..63: the last eight, so that clusters wrap around */
        const uint32_t key = print << 8 | (56 + print % 8);
        int slot = whatif_table_find(&table, key);
        assert_int_equal(slot != WHATIF_NO_SLOT, sizes[print] != 0);
        if (slot == WHATIF_NO_SLOT) {
            slot = whatif_table_add(&table, key);
            table.rows[slot].size = step;
            sizes[print] = step;
        } else {
            assert_int_equal(table.rows[slot].size, sizes[print]);
            whatif_table_drop(&table, slot);
            sizes[print] = 0;
        }
    }
    whatif_table_done(&table);
    arena_close(arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nothing_is_said_before_the_first_request),
        cmocka_unit_test(without_eviction_a_loop_hits_what_had_room),
        cmocka_unit_test(lru_hits_as_stack_distances_say),
        cmocka_unit_test(what_was_removed_or_is_over_is_missed_by_all),
        cmocka_unit_test(a_flush_takes_one_database_or_all),
        cmocka_unit_test(a_suspect_is_missed_by_all_and_stays),
        cmocka_unit_test(a_hit_is_fetched_where_it_was_missed),
        cmocka_unit_test(a_value_that_answers_a_miss_is_no_use_of_its_own),
        cmocka_unit_test(what_was_fetched_anew_expires_as_before_where_it_was_held),
        cmocka_unit_test(values_that_grow_push_others_out),
        cmocka_unit_test(what_has_expired_leaves_first),
        cmocka_unit_test(policies_differ_as_they_should),
        cmocka_unit_test(many_keys_make_the_share_small_and_few_keys_large),
        cmocka_unit_test(a_full_table_makes_the_share_small),
        cmocka_unit_test(counts_fade_to_what_was_last),
        cmocka_unit_test(a_policy_is_switched_without_losing_contents),
        cmocka_unit_test(rows_are_found_whatever_was_dropped_around_them),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
