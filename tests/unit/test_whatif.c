/* SPDX-License-Identifier: BSD-3-Clause */
/* What the simulators say, where the answer is known: from counting by hand, from exact stack distances, from L1 itself. */
#include "tests/unit/l1_help.h"
#include "tiers/whatif_table.h"

#include <math.h>

enum {
    T0 = 1000000,
    SIZE = 86, /* and 14 for the place in the table: 100 bytes an item */
    ITEM = 100,
    SLOTS = 8192,
};

/* --- simulators alone --------------------------------------------------------------------------------------------- */

/* Simulators of an L1 that has room for so many items, with the truth as the test counts it. */
struct lab {
    struct arena *arena;
    struct whatif *whatif;
    struct whatif_truth truth;
    size_t items;
    int64_t now_ms;
};

static struct lab lab_new(const struct policy *policy, unsigned slots, size_t items)
{
    struct lab lab = {.arena = arena_new(), .items = items, .now_ms = T0};
    assert_non_null(lab.arena);
    lab.whatif = whatif_new(&(struct whatif_options){
        .policy = policy, .arena = lab.arena, .slots = slots, .window = UINT64_MAX, .seed = 1});
    assert_non_null(lab.whatif);
    return lab;
}

static void lab_free(struct lab *lab)
{
    whatif_free(lab->whatif);
    arena_close(lab->arena);
}

static uint64_t hash_of(uint64_t n)
{
    return (n + 1) * UINT64_C(0x9e3779b97f4a7c15);
}

static void note_sized(struct lab *lab, enum whatif_event event, uint64_t key, uint8_t db,
                       size_t size, int64_t expire_at_ms)
{
    lab->truth.hits += event == WHATIF_HIT;
    lab->truth.misses += event == WHATIF_MISS || event == WHATIF_SUSPECT;
    if (hash_of(key) < whatif_limit(lab->whatif)) {
        whatif_note(lab->whatif, &(struct whatif_note){
                                     .event = event,
                                     .db = db,
                                     .hash = hash_of(key),
                                     .size = size,
                                     .expire_at_ms = expire_at_ms,
                                     .now_ms = lab->now_ms,
                                     .full = {.bytes = lab->items * ITEM, .items = lab->items}});
    }
}

static void note(struct lab *lab, enum whatif_event event, uint64_t key)
{
    note_sized(lab, event, key, 0, SIZE, 0);
}

/* A request that L1 misses, and the value that is fetched then. */
static void fetch(struct lab *lab, uint64_t key)
{
    lab->now_ms += 4; /* a tick of lru */
    note(lab, WHATIF_MISS, key);
    note(lab, WHATIF_WRITE, key);
}

static struct whatif_report report_of(const struct lab *lab)
{
    struct whatif_report report;
    whatif_report(lab->whatif, &lab->truth, &report);
    return report;
}

static unsigned place_of(const struct policy *policy)
{
    unsigned i = 0;
    while (policy_at(i) != policy) {
        assert_non_null(policy_at(i));
        i++;
    }
    return i;
}

/* The truth that makes a report say what the simulator of the policy counted, and not in proportion to another. */
static double counted(struct lab *lab, const struct policy *policy)
{
    const struct whatif_report unscaled = report_of(lab);
    return unscaled.at_policy[place_of(policy)];
}

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

/* A key drawn with a chance that falls with its number. */
static uint64_t skewed(struct rand *rand, uint64_t keys)
{
    return rand_below(rand, rand_below(rand, rand_below(rand, keys) + 1) + 1);
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

/* --- of an L1 ----------------------------------------------------------------------------------------------------- */

static struct l1 *watched_l1(size_t bytes_max, const struct policy *policy, unsigned slots)
{
    struct l1 *l1 = help_new(bytes_max, policy, 1);
    l1_set_whatif(l1, &(struct l1_whatif_setting){.slots = slots, .window = UINT64_MAX});
    return l1;
}

static struct whatif_report said_by(struct l1 *l1)
{
    struct whatif_report report;
    assert_int_equal(l1_whatif(l1, &report), OK);
    return report;
}

/* Not small: of an L1 that could become full of small values the simulators would follow a part only. */
static char large_value[1000];

static void random_step(struct l1 *l1, struct rand *rand, int64_t now_ms)
{
    char name[16];
    (void)snprintf(name, sizeof name, "k:%u", (unsigned)rand_below(rand, 60));
    const uint8_t db = (uint8_t)rand_below(rand, 3);
    const struct l1_key key = l1_key(l1, db, slice_of(name));
    const int64_t expire_at_ms =
        rand_below(rand, 2) == 0 ? 0 : now_ms + 1 + (int64_t)rand_below(rand, 40);
    struct l1_ask ask = {.now_ms = now_ms,
                         .floor_ms = now_ms - (int64_t)rand_below(rand, 60),
                         .worker = 1,
                         .generation = 1};
    struct l1_value value = {.copy = NULL};
    struct l1_claim claim;
    switch (rand_below(rand, 24)) {
    case 0: help_set(l1, db, name, large_value, expire_at_ms, now_ms); break;
    case 1: (void)help_swap(l1, &key, L1_ANY, NULL, 0, now_ms); break;
    case 2: (void)l1_invalidate(l1, &key); break;
    case 3: (void)l1_forget(l1, key.bytes); break;
    case 4:
        if (rand_below(rand, 10) == 0) {
            l1_flush(l1, db);
        }
        break;
    case 5: l1_swap(&l1, 1, db, (uint8_t)rand_below(rand, 3), 0); break;
    case 6: (void)l1_sweep(l1, now_ms, 4); break;
    case 7:
        if (rand_below(rand, 20) == 0) {
            l1_flush_all(l1);
        }
        break;
    case 8:
    case 9:
    case 10: (void)help_is(l1, db, name, large_value, now_ms); break;
    default:
        if (l1_ask(l1, &key, &ask, &value, &claim) == OK) {
            item_release(value.item);
        } else if (rand_below(rand, 8) == 0) {
            l1_land(l1, &key);
        } else {
            struct item *item = help_item_in(l1, &key, large_value, expire_at_ms, now_ms);
            const struct l1_landing landing = {.token = rand_below(rand, 8) == 0 ? 0 : claim.token,
                                               .generation = 1,
                                               .install = rand_below(rand, 8) != 0,
                                               .now_ms = now_ms};
            (void)l1_fill(l1, &key, &landing, item);
            item_release(item);
        }
        break;
    }
}

/* As long as nothing has to leave, all simulators hold what L1 holds, whatever is done to it: so all say what it does. */
static void with_room_for_all_every_simulator_is_as_l1_is(void **state)
{
    (void)state;
    const uint64_t seed = help_seed();
    struct rand rand;
    struct l1 *l1 = watched_l1(6 << 20, NULL, WHATIF_SLOTS_MAX);
    rand_seed(&rand, seed);
    memset(large_value, 'v', sizeof large_value - 1);
    for (int i = 0; i < 40000; i++) {
        random_step(l1, &rand, T0 + i / 4);
    }
    const struct whatif_report report = said_by(l1);
    const struct l1_stats stats = help_stats(l1);
    HELP_CHECK(report.share == 1, seed);
    HELP_CHECK(report.requests == stats.hits + stats.misses, seed);
    HELP_CHECK(report.hit_ratio > 0.1 && report.hit_ratio < 0.9, seed);
    HELP_CHECK(fabs(report.simulated - report.hit_ratio) < 1e-9, seed);
    for (unsigned i = 0; i < WHATIF_SCALES; i++) {
        HELP_CHECK(fabs(report.at_scale[i] - report.hit_ratio) < 1e-9, seed);
    }
    for (unsigned i = 0; policy_at(i) != NULL; i++) {
        HELP_CHECK(fabs(report.at_policy[i] - report.hit_ratio) < 1e-9, seed);
    }
    l1_free(l1);
}

static void put(struct l1 *l1, const struct l1_key *key, int64_t now_ms)
{
    struct item *item =
        l1_item_new(l1, key->hash, &(struct item_spec){.key = key->bytes, .value_size = 150});
    const enum status status = l1_commit(
        &(struct l1_change){.l1 = l1, .key = *key, .seen = L1_ANY, .item = item}, 1, now_ms);
    assert_true(status == OK || status == TOO_BIG);
    item_release(item);
}

/* Hit ratio of an L1 under a skewed load; misses are filled. */
static double replay(struct l1 *l1, int requests)
{
    struct rand rand;
    char name[16];
    int hits = 0;
    rand_seed(&rand, 5);
    for (int i = 0; i < requests; i++) {
        (void)snprintf(name, sizeof name, "%u", (unsigned)skewed(&rand, 60000));
        const struct l1_key key = l1_key(l1, 0, slice_of(name));
        struct l1_value value = {.copy = NULL};
        const int64_t now_ms = T0 + i / 4;
        if (l1_get(l1, &key, now_ms, 0, &value) == OK) {
            item_release(value.item);
            hits++;
            continue;
        }
        put(l1, &key, now_ms);
    }
    return (double)hits / requests;
}

static double replay_in(size_t bytes_max, const struct policy *policy, int requests)
{
    struct l1 *l1 = help_new(bytes_max, policy, 1);
    const double hit_ratio = replay(l1, requests);
    l1_free(l1);
    return hit_ratio;
}

static double compare(const char *what, double said, double real)
{
    print_message("%s: said %.4f, real %.4f\n", what, said, real);
    assert_true(fabs(said - real) < 0.04);
    return fabs(said - real);
}

/* From a sample of a sixteenth or so. */
static void what_is_said_comes_true(void **state)
{
    (void)state;
    enum {
        REQUESTS = HELP_ROUNDS(150000),
        MEMORY = 2 << 20
    };
    struct l1 *l1 = watched_l1(MEMORY, &policy_lru, 4096);
    const double as_it_is = replay(l1, REQUESTS);
    const struct whatif_report report = said_by(l1);
    double off = 0;
    assert_true(report.share < 0.2);
    assert_true(fabs(report.hit_ratio - as_it_is) < 1e-9);
    const size_t memory = MEMORY - help_stats(l1).bytes_whatif;
    off += compare("0.5x", report.at_scale[0], replay_in(memory / 2, &policy_lru, REQUESTS));
    off += compare("2x", report.at_scale[1], replay_in(memory * 2, &policy_lru, REQUESTS));
    off += compare("4x", report.at_scale[2], replay_in(memory * 4, &policy_lru, REQUESTS));
    const struct policy *const policies[] = {&policy_density, &policy_s3fifo, &policy_lfu,
                                             &policy_random};
    for (unsigned i = 0; i < 4; i++) {
        off += compare(policies[i]->name, report.at_policy[place_of(policies[i])],
                       replay_in(memory, policies[i], REQUESTS));
    }
    assert_true(off / 7 < 0.02);
    l1_free(l1);
}

/* What a full L1 refuses under its policy, others would have taken in. */
static void what_l1_refuses_is_known_to_the_others(void **state)
{
    (void)state;
    enum {
        MEMORY = 2 << 20
    };
    struct l1 *l1 = watched_l1(MEMORY, &policy_noeviction, 4096);
    for (unsigned i = 0; i < 20000; i++) { /* full of what nobody will ask for */
        char name[16];
        (void)snprintf(name, sizeof name, "cold:%u", i);
        const struct l1_key key = l1_key(l1, 0, slice_of(name));
        put(l1, &key, T0);
    }
    assert_true(replay(l1, 60000) < 0.01);
    const struct whatif_report report = said_by(l1);
    const double lru = replay_in(MEMORY - help_stats(l1).bytes_whatif, &policy_lru, 60000);
    compare("lru", report.at_policy[place_of(&policy_lru)], lru);
    assert_true(report.at_scale[2] > 0.1); /* four times as much is not full of it */
    l1_free(l1);
}

static void it_can_be_switched_on_and_off(void **state)
{
    (void)state;
    struct whatif_report report;
    struct l1 *l1 = help_new(64 << 20, NULL, 0);
    const size_t bytes = help_stats(l1).bytes_used;
    const struct l1_whatif_setting setting = {0};
    assert_int_equal(l1_whatif(l1, &report), MISS);
    l1_set_whatif(l1, &setting);
    help_set(l1, 0, "k", "v", 0, T0);
    assert_true(help_is(l1, 0, "k", "v", T0));
    assert_int_equal(l1_whatif(l1, &report), OK);
    l1_set_policy(l1, &policy_s3fifo, T0);
    assert_ptr_equal(said_by(l1).policy, &policy_s3fifo);
    assert_int_equal(said_by(l1).requests, 0);
    l1_set_whatif(l1, NULL);
    assert_int_equal(l1_whatif(l1, &report), MISS);
    assert_int_equal(help_stats(l1).bytes_whatif, 0);
    l1_flush_all(l1);
    l1_purge(l1);
    assert_true(help_stats(l1).bytes_used <= bytes + 2 * ARENA_PAGE);
    l1_set_whatif(l1, &setting);
    l1_resize(l1, 1 << 20, T0); /* too small for any */
    assert_int_equal(l1_whatif(l1, &report), MISS);
    l1_resize(l1, whatif_memory_least(), T0);
    assert_int_equal(l1_whatif(l1, &report), OK);
    l1_free(l1);
}

/* At most half a byte for each of five million items, and a 40th of the memory where there is least. */
static void it_takes_little_memory(void **state)
{
    (void)state;
    static const struct {
        size_t memory;
        size_t most;
    } sizes[] = {{(size_t)4 << 20, (4 << 20) / 40},
                 {(size_t)64 << 20, (64 << 20) / 100},
                 {(size_t)1 << 30, 5000000 / 2}};
    for (unsigned i = 0; i < 3; i++) {
        const unsigned slots = whatif_slots_for(sizes[i].memory);
        struct lab lab = lab_new(&policy_density, slots, sizes[i].memory / ITEM);
        struct rand rand;
        rand_seed(&rand, 1);
        for (int n = 0; n < 400000; n++) {
            fetch(&lab, rand_below(&rand, UINT64_MAX));
        }
        print_message("%zu MiB: %u slots, %zu bytes\n", sizes[i].memory >> 20, slots,
                      whatif_bytes(lab.whatif));
        assert_true(whatif_bytes(lab.whatif) <= sizes[i].most);
        lab_free(&lab);
    }
    assert_int_equal(whatif_slots_for(whatif_memory_least() - 1), 0);
    assert_int_equal(whatif_slots_for(whatif_memory_least()), WHATIF_SLOTS_LEAST);
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
        cmocka_unit_test(with_room_for_all_every_simulator_is_as_l1_is),
        cmocka_unit_test(what_is_said_comes_true),
        cmocka_unit_test(what_l1_refuses_is_known_to_the_others),
        cmocka_unit_test(it_can_be_switched_on_and_off),
        cmocka_unit_test(it_takes_little_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
