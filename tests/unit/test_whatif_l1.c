/* SPDX-License-Identifier: BSD-3-Clause */
/* What the simulators of an L1 say, beside what such an L1 then does. */
#include "tests/unit/whatif_help.h"

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
        cmocka_unit_test(with_room_for_all_every_simulator_is_as_l1_is),
        cmocka_unit_test(what_is_said_comes_true),
        cmocka_unit_test(what_l1_refuses_is_known_to_the_others),
        cmocka_unit_test(it_can_be_switched_on_and_off),
        cmocka_unit_test(it_takes_little_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
