/* SPDX-License-Identifier: BSD-3-Clause */
/* Namespaces: who is at home where, all of them looked over as one, and changed while they hold something. */
#include "protocol/check.h"
#include "tests/unit/l1_help.h"

#include <pthread.h>

enum {
    T0 = 1000000,
    MB = 1 << 20
};

static struct namespace_spec spec_of(const char *name, const char *prefix, size_t memory)
{
    return (struct namespace_spec){
        .name = slice_of(name),
        .prefix = slice_of(prefix),
        .settings = {.mode = {.bound_ms = 1000}, .memory = memory, .policy = &policy_lru}};
}

static struct namespaces *open_three(void)
{
    const struct namespace_spec specs[] = {spec_of("default", "", MB), spec_of("a", "a:", MB),
                                           spec_of("ab", "a:b:", MB)};
    struct namespaces *spaces = namespaces_new(specs, 3, 1);
    assert_non_null(spaces);
    return spaces;
}

static void put(struct namespaces *spaces, uint8_t db, const char *name, const char *value)
{
    struct ns_key key = namespaces_key(spaces, db, slice_of(name));
    assert_int_equal(help_swap(key.ns->l1, &key.at, L1_ANY, value, ITEM_NEVER, T0), OK);
}

static bool has(struct namespaces *spaces, uint8_t db, const char *name, const char *value)
{
    return help_is(namespace_of(spaces, slice_of(name))->l1, db, name, value, T0);
}

/* --- whose key it is ---------------------------------------------------------------------------------------------- */

static void the_longest_prefix_wins(void **state)
{
    (void)state;
    struct namespaces *spaces = open_three();
    assert_string_equal(namespace_of(spaces, slice_of("a:1"))->name, "a");
    assert_string_equal(namespace_of(spaces, slice_of("a:"))->name, "a");
    assert_string_equal(namespace_of(spaces, slice_of("a:b:1"))->name, "ab");
    assert_string_equal(namespace_of(spaces, slice_of("a:b"))->name, "a");
    assert_string_equal(namespace_of(spaces, slice_of("a"))->name, "default");
    assert_string_equal(namespace_of(spaces, slice_of("b:1"))->name, "default");
    assert_string_equal(namespace_of(spaces, slice_of(""))->name, "default");
    struct ns_key key = namespaces_key(spaces, 3, slice_of("a:b:1"));
    assert_int_equal(key.at.hash, l1_hash(spaces->at[0]->l1, slice_of("a:b:1")));
    assert_int_equal(key.at.db, 3);
    namespaces_free(spaces);
}

/* Random bytes of a small alphabet, so that prefixes begin alike and contain each other. */
static struct slice random_text(struct rand *rand, char *room, size_t size_max)
{
    static const char alphabet[] = {'a', 'b', ':', '\xff'};
    size_t size = rand_below(rand, size_max + 1);
    for (size_t i = 0; i < size; i++) {
        room[i] = alphabet[rand_below(rand, sizeof alphabet)];
    }
    return (struct slice){room, size};
}

static unsigned search_slowly(const struct namespace_spec *specs, unsigned count, struct slice key)
{
    unsigned best = 0;
    for (unsigned i = 1; i < count; i++) {
        struct slice prefix = specs[i].prefix;
        if (prefix.size <= key.size && memcmp(prefix.data, key.data, prefix.size) == 0 &&
            prefix.size > specs[best].prefix.size) {
            best = i;
        }
    }
    return best;
}

static void lookup_agrees_with_a_slow_one(void **state)
{
    (void)state;
    enum {
        ROUNDS = 60,
        KEYS = 2000
    };
    struct rand rand;
    uint64_t seed = help_seed();
    rand_seed(&rand, seed);
    for (int round = 0; round < ROUNDS; round++) {
        struct namespace_spec specs[NAMESPACES_MAX] = {spec_of("default", "", MB)};
        char names[NAMESPACES_MAX][8];
        char prefixes[NAMESPACES_MAX][8];
        unsigned count = 1;
        for (unsigned tries = rand_below(&rand, 200) & 0xff; tries > 0 && count < NAMESPACES_MAX;
             tries--) {
            struct slice prefix = random_text(&rand, prefixes[count], 4);
            bool fresh = prefix.size > 0;
            for (unsigned i = 1; i < count; i++) {
                fresh = fresh && !slice_equal(specs[i].prefix, prefix);
            }
            if (fresh) {
                (void)snprintf(names[count], sizeof names[count], "n%u", count);
                specs[count] = spec_of(names[count], "", MB);
                specs[count++].prefix = prefix;
            }
        }
        struct namespaces *spaces = namespaces_new(specs, count, 1);
        assert_non_null(spaces);
        for (int i = 0; i < KEYS; i++) {
            char room[8];
            struct slice key = random_text(&rand, room, 7);
            struct slice wanted = specs[search_slowly(specs, count, key)].name;
            HELP_CHECK(slice_is(wanted, namespace_of(spaces, key)->name), seed);
        }
        namespaces_free(spaces);
    }
}

/* --- as one ------------------------------------------------------------------------------------------------------- */

struct seen {
    unsigned count;
    unsigned of[1000];
};

static void on_visit(void *arg, struct item *item)
{
    struct seen *seen = arg;
    char text[32] = "";
    struct slice key = item_key(item);
    memcpy(text, key.data, key.size);
    seen->count++;
    seen->of[atoi(strrchr(text, ':') + 1)]++;
}

static void a_scan_goes_through_all(void **state)
{
    (void)state;
    static const char *const prefixes[] = {"x:", "a:", "a:b:"};
    struct namespaces *spaces = open_three();
    for (int i = 0; i < 1000; i++) {
        char name[32];
        (void)snprintf(name, sizeof name, "%s%d", prefixes[i % 3], i);
        put(spaces, 2, name, "v");
    }
    put(spaces, 0, "a:0", "another database");
    struct seen seen = {0};
    uint64_t cursor = 0;
    do {
        cursor = namespaces_scan(spaces, 2, cursor, 7, T0, on_visit, &seen);
        assert_true(cursor < UINT64_C(1) << 63);
    } while (cursor != 0);
    assert_int_equal(seen.count, 1000);
    for (int i = 0; i < 1000; i++) {
        assert_int_equal(seen.of[i], 1);
    }
    assert_int_equal(namespaces_count(spaces, 2).entries, 1000);
    assert_int_equal(namespaces_count(spaces, 0).entries, 1);
    /* Cursors that nobody gave out end, wherever they begin. */
    for (uint64_t wild = 1; wild != 0; wild <<= 1) {
        cursor = wild | 63;
        for (int steps = 0; cursor != 0; steps++) {
            assert_true(steps < 10000);
            cursor = namespaces_scan(spaces, 2, cursor, 100, T0, on_visit, &seen);
        }
    }
    namespaces_free(spaces);
}

static void a_random_key_may_be_of_any(void **state)
{
    (void)state;
    static const char *const names[] = {"x:0", "a:1", "a:b:2"};
    struct namespaces *spaces = open_three();
    struct rand rand;
    rand_seed(&rand, 3);
    assert_null(namespaces_random(spaces, 0, rand_next(&rand), T0));
    unsigned drawn[3] = {0};
    for (int i = 0; i < 3; i++) {
        put(spaces, 0, names[i], "v");
    }
    for (int i = 0; i < 600; i++) {
        struct item *item = namespaces_random(spaces, 0, rand_next(&rand), T0);
        assert_non_null(item);
        struct slice key = item_key(item);
        drawn[key.data[key.size - 1] - '0']++;
        item_release(item);
    }
    for (int i = 0; i < 3; i++) {
        assert_in_range(drawn[i], 130, 270);
    }
    namespaces_free(spaces);
}

static void flushes_swaps_and_announcements_reach_all(void **state)
{
    (void)state;
    struct namespaces *spaces = open_three();
    put(spaces, 1, "x", "1");
    put(spaces, 1, "a:x", "1");
    put(spaces, 2, "a:b:x", "2");
    namespaces_swap(spaces, 1, 2, 0);
    assert_true(has(spaces, 2, "x", "1") && has(spaces, 2, "a:x", "1"));
    assert_true(has(spaces, 1, "a:b:x", "2"));
    assert_int_equal(namespaces_forget(spaces, slice_of("a:x")), 1);
    assert_true(has(spaces, 2, "a:x", NULL) && has(spaces, 2, "x", "1"));
    namespaces_flush(spaces, 1);
    assert_true(has(spaces, 1, "a:b:x", NULL));
    put(spaces, 3, "x", "3");
    put(spaces, 3, "a:x", "3");
    namespaces_flush_dbs(spaces, namespaces_find(spaces, SLICE_LITERAL("a")), 1u << 3 | 1u << 7);
    assert_true(has(spaces, 3, "a:x", NULL) && has(spaces, 3, "x", "3"));
    namespaces_flush_dbs(spaces, NULL, 1u << 3);
    assert_true(has(spaces, 3, "x", NULL) && has(spaces, 2, "x", "1"));
    namespaces_flush_dbs(spaces, NULL, DATABASES_ALL);
    assert_true(has(spaces, 2, "x", NULL));
    put(spaces, 2, "x", "1");
    namespaces_flush_all(spaces);
    assert_true(has(spaces, 2, "x", NULL));
    namespaces_free(spaces);
}

/* --- a noisy neighbour -------------------------------------------------------------------------------------------- */

static void a_flood_evicts_nobody_elses_values(void **state)
{
    (void)state;
    struct namespaces *spaces = open_three();
    for (int i = 0; i < 200; i++) {
        char name[32];
        (void)snprintf(name, sizeof name, "a:b:%d", i);
        put(spaces, 0, name, "kept");
        put(spaces, 0, name + 4, "kept");
    }
    char value[1024];
    memset(value, 'x', sizeof value - 1);
    value[sizeof value - 1] = '\0';
    for (int i = 0; i < 5000; i++) {
        char name[32];
        (void)snprintf(name, sizeof name, "a:%d", i);
        put(spaces, 0, name, value);
    }
    struct l1_stats stats;
    l1_stats(namespace_of(spaces, slice_of("a:"))->l1, &stats);
    assert_true(stats.evictions > 3500 && stats.bytes_used <= MB);
    for (int i = 0; i < 200; i++) {
        char name[32];
        (void)snprintf(name, sizeof name, "a:b:%d", i);
        assert_true(has(spaces, 0, name, "kept") && has(spaces, 0, name + 4, "kept"));
    }
    namespaces_stats(spaces, &stats);
    assert_int_equal(stats.bytes_max, 3 * MB);
    namespaces_free(spaces);
}

/* --- commits over several L1s ------------------------------------------------------------------------------------- */

static void a_commit_over_several_is_all_or_nothing(void **state)
{
    (void)state;
    struct namespaces *spaces = open_three();
    put(spaces, 0, "a:x", "old");
    static const char *const names[] = {"x", "a:x", "a:b:x"};
    struct l1_change changes[3];
    for (int i = 0; i < 3; i++) {
        struct ns_key key = namespaces_key(spaces, 0, slice_of(names[i]));
        changes[i] = (struct l1_change){
            .l1 = key.ns->l1, .key = key.at, .item = help_item(&key.at, "new", 0, 0)};
    }
    assert_int_equal(l1_commit(changes, 3, T0), AGAIN);
    assert_true(has(spaces, 0, "x", NULL) && has(spaces, 0, "a:b:x", NULL));
    changes[1].seen = L1_ANY;
    assert_int_equal(l1_commit(changes, 3, T0), OK);
    for (int i = 0; i < 3; i++) {
        assert_true(has(spaces, 0, names[i], "new"));
        item_release(changes[i].item);
    }
    /* One that does not fit its own L1 stops all. */
    struct ns_key small = namespaces_key(spaces, 0, slice_of("x"));
    struct ns_key large = namespaces_key(spaces, 0, slice_of("a:big"));
    struct item *item = help_item(&small.at, "newer", 0, 0);
    struct item *big = help_item_new(0, large.at.bytes, 2 * MB);
    const struct l1_change too_big[] = {
        {.l1 = small.ns->l1, .key = small.at, .seen = L1_ANY, .item = item},
        {.l1 = large.ns->l1, .key = large.at, .seen = L1_ANY, .item = big}};
    assert_int_equal(l1_commit(too_big, 2, T0), TOO_BIG);
    assert_true(has(spaces, 0, "x", "new"));
    item_release(item);
    item_release(big);
    namespaces_free(spaces);
}

/* Writers give both keys the same new value, in either order; readers compare and change nothing. */
struct pair {
    struct namespaces *spaces;
    const char *names[2];
    unsigned number;
    unsigned torn;
};

enum {
    PAIR_TURNS = 20000
};

static void *write_pairs(void *arg)
{
    struct pair *pair = arg;
    for (unsigned i = 0; i < PAIR_TURNS; i++) {
        struct l1_change changes[2];
        char value[32];
        (void)snprintf(value, sizeof value, "%u.%u", pair->number, i);
        for (unsigned j = 0; j < 2; j++) {
            struct ns_key key = namespaces_key(pair->spaces, 0, slice_of(pair->names[(j + i) % 2]));
            changes[j] =
                (struct l1_change){.l1 = key.ns->l1,
                                   .key = key.at,
                                   .seen = L1_ANY,
                                   .item = help_item_value(0, key.at.bytes, slice_of(value))};
        }
        CHECK(l1_commit(changes, 2, T0) == OK);
        item_release(changes[0].item);
        item_release(changes[1].item);
    }
    return NULL;
}

static void *compare_pairs(void *arg)
{
    struct pair *pair = arg;
    for (unsigned i = 0; i < PAIR_TURNS; i++) {
        struct l1_change same[2];
        for (unsigned j = 0; j < 2; j++) {
            struct ns_key key = namespaces_key(pair->spaces, 0, slice_of(pair->names[(j + i) % 2]));
            same[j] = (struct l1_change){.l1 = key.ns->l1, .key = key.at};
            same[j].seen = l1_hold(key.ns->l1, &key.at, T0);
            same[j].item = same[j].seen;
        }
        /* Both stood at one moment: then they are of the same write. */
        if (l1_commit(same, 2, T0) == OK && same[0].seen != NULL && same[1].seen != NULL) {
            pair->torn += !slice_equal(item_value(same[0].seen), item_value(same[1].seen));
        }
        item_release(same[0].seen);
        item_release(same[1].seen);
        if (i % 64 == 0) {
            namespaces_swap(pair->spaces, 3, 4, 0);
        }
    }
    return NULL;
}

static void threads_never_see_half_a_commit(void **state)
{
    (void)state;
    struct namespaces *spaces = open_three();
    struct pair pairs[4];
    pthread_t threads[4];
    for (unsigned i = 0; i < 4; i++) {
        pairs[i] = (struct pair){.spaces = spaces, .names = {"x", "a:b:x"}, .number = i};
        assert_int_equal(
            pthread_create(&threads[i], NULL, i < 2 ? write_pairs : compare_pairs, &pairs[i]), 0);
    }
    for (unsigned i = 0; i < 4; i++) {
        assert_int_equal(pthread_join(threads[i], NULL), 0);
        assert_int_equal(pairs[i].torn, 0);
    }
    namespaces_free(spaces);
}

/* --- change ------------------------------------------------------------------------------------------------------- */

static void settings_change_in_place(void **state)
{
    (void)state;
    struct namespaces *spaces = open_three();
    struct namespace_spec specs[] = {spec_of("default", "", MB), spec_of("ab", "a:b:", MB),
                                     spec_of("a", "a:", MB)};
    assert_true(namespaces_fit(spaces, specs, 3)); /* in any order */
    assert_int_equal(namespaces_least_bound_ms(spaces), 1000);
    specs[1].settings.mode.bound_ms = 200;
    specs[1].settings.ttl_ms = 5000;
    specs[2].settings.policy = &policy_ttl;
    namespaces_apply(spaces, specs, 3, T0);
    assert_int_equal(namespaces_least_bound_ms(spaces), 200);
    assert_int_equal(namespace_bound_ms(namespace_of(spaces, slice_of("a:b:1"))), 200);
    assert_int_equal(namespace_ttl_ms(namespace_of(spaces, slice_of("a:b:1"))), 5000);
    assert_ptr_equal(l1_policy(namespace_of(spaces, slice_of("a:1"))->l1), &policy_ttl);
    assert_false(namespaces_fit(spaces, specs, 2));
    specs[2].prefix = slice_of("aa");
    assert_false(namespaces_fit(spaces, specs, 3));
    namespaces_free(spaces);
}

static void rules_change_in_place_and_formats_do_not(void **state)
{
    (void)state;
    struct namespace_spec specs[] = {spec_of("default", "", MB), spec_of("a", "a:", MB)};
    specs[1].managed = true;
    specs[1].settings.told = true;
    specs[1].settings.rules = (struct ns_rules){.ttl_ms = 7, .write = NAMESPACE_AROUND};
    struct namespaces *spaces = namespaces_new(specs, 2, 1);
    const struct namespace *ns = namespace_of(spaces, slice_of("a:1"));
    assert_true(ns->managed && spaces->managed == 1 && !spaces->at[0]->managed);
    assert_int_equal(namespace_rules(ns).ttl_ms, 7);
    assert_int_equal(namespace_rules(ns).write, NAMESPACE_AROUND);
    specs[1].settings.rules.swr_ms = 9;
    assert_true(namespaces_fit(spaces, specs, 2));
    namespaces_apply(spaces, specs, 2, T0);
    assert_int_equal(namespace_rules(ns).swr_ms, 9);

    const struct ns_key key = namespaces_key(spaces, 0, slice_of("a:1"));
    assert_int_equal(l1_put(key.ns->l1, &key.at, slice_of("in another shape"), 0, T0), OK);
    specs[1].managed = false;
    assert_false(namespaces_fit(spaces, specs, 2));
    assert_int_equal(namespaces_rebuild(spaces, specs, 2, false, T0), OK);
    assert_int_equal(spaces->managed, 0);
    assert_int_equal(namespaces_size(spaces, 0), 0);
    namespaces_free(spaces);
}

static void without_tracking_contracts_fall_to_ttl_unless_writers_tell(void **state)
{
    (void)state;
    struct namespace_spec specs[] = {spec_of("default", "", MB), spec_of("a", "a:", MB),
                                     spec_of("ab", "a:b:", MB)};
    specs[1].settings.told = true;
    specs[2].settings.ttl_ms = 5000;
    struct namespaces *spaces = namespaces_new(specs, 3, 1);
    assert_true(namespaces_any_told(spaces));
    put(spaces, 0, "x", "v");
    put(spaces, 0, "a:x", "v");
    namespaces_set_tracked(spaces, true);
    assert_true(has(spaces, 0, "x", "v"));
    namespaces_set_tracked(spaces, false);
    assert_false(has(spaces, 0, "x", "v")); /* it would live for ever */
    assert_true(has(spaces, 0, "a:x", "v"));
    assert_int_equal(namespace_kind(spaces->at[0]), NAMESPACE_TTL);
    assert_int_equal(namespace_ttl_ms(spaces->at[0]), 1000); /* its bound */
    assert_int_equal(namespace_kind(spaces->at[1]), NAMESPACE_BOUNDED);
    assert_int_equal(namespace_ttl_ms(spaces->at[1]), 0);
    assert_int_equal(namespace_ttl_ms(spaces->at[2]), 5000);
    specs[0].settings.told = true; /* while it is so */
    specs[1].settings.told = false;
    namespaces_apply(spaces, specs, 3, T0);
    assert_int_equal(namespace_kind(spaces->at[0]), NAMESPACE_BOUNDED);
    assert_int_equal(namespace_kind(spaces->at[1]), NAMESPACE_TTL);
    assert_false(has(spaces, 0, "a:x", "v"));
    put(spaces, 0, "a:x", "v");
    namespaces_set_tracked(spaces, true);
    assert_int_equal(namespace_kind(spaces->at[1]), NAMESPACE_BOUNDED);
    assert_int_equal(namespace_ttl_ms(spaces->at[2]), 5000);
    assert_false(has(spaces, 0, "a:x", "v")); /* nobody told of its changes */
    namespaces_free(spaces);
}

static void a_bound_that_is_raised_waits_until_others_were_told(void **state)
{
    (void)state;
    struct namespaces *spaces = open_three();
    struct namespace_spec specs[] = {spec_of("default", "", MB), spec_of("ab", "a:b:", MB),
                                     spec_of("a", "a:", MB), spec_of("new", "n:", MB)};
    struct namespace *ns = namespace_of(spaces, slice_of("a:b:1"));
    specs[1].settings.mode.bound_ms = 5000;
    namespaces_apply(spaces, specs, 3, T0);
    assert_int_equal(namespaces_most_bound_ms(spaces), 5000); /* what is to be told */
    assert_int_equal(namespace_bound_ms(ns), 1000);
    namespaces_allow_bounds(spaces, 1000);
    assert_int_equal(namespace_bound_ms(ns), 1000);
    namespaces_allow_bounds(spaces, 5000);
    assert_int_equal(namespace_bound_ms(ns), 5000);
    specs[1].settings.mode.bound_ms = 100;
    namespaces_apply(spaces, specs, 3, T0);
    assert_int_equal(namespace_bound_ms(ns), 100); /* at once */
    namespaces_allow_bounds(spaces, 5000);
    assert_int_equal(namespace_bound_ms(ns), 100);
    specs[3].settings.mode.bound_ms = 9000;
    assert_int_equal(namespaces_rebuild(spaces, specs, 4, false, T0), OK);
    ns = namespace_of(spaces, slice_of("n:1"));
    assert_int_equal(namespace_bound_ms(ns), 1000);
    namespaces_allow_bounds(spaces, 9000);
    assert_int_equal(namespace_bound_ms(ns), 9000);
    namespaces_free(spaces);
}

static void values_move_to_their_new_homes(void **state)
{
    (void)state;
    enum {
        KEYS = 3000
    };
    static const char *const prefixes[] = {"x:", "a:", "a:b:", "c:"};
    struct namespaces *spaces = open_three();
    put(spaces, 7, "c:0", "before a swap");
    namespaces_swap(spaces, 7, 8, 0);
    for (int i = 0; i < KEYS; i++) {
        char name[32];
        (void)snprintf(name, sizeof name, "%s%d", prefixes[i % 4], i);
        put(spaces, 0, name, name);
    }
    /* `a` goes, `c` comes, `ab` has another prefix. */
    const struct namespace_spec specs[] = {spec_of("default", "", MB), spec_of("c", "c:", MB),
                                           spec_of("ab", "a:b", MB)};
    assert_int_equal(namespaces_rebuild(spaces, specs, 3, true, T0), OK);
    assert_true(namespaces_fit(spaces, specs, 3));
    assert_string_equal(namespace_of(spaces, slice_of("a:1"))->name, "default");
    assert_int_equal(l1_count(namespace_of(spaces, slice_of("c:"))->l1, 0), KEYS / 4);
    for (int i = 0; i < KEYS; i++) {
        char name[32];
        (void)snprintf(name, sizeof name, "%s%d", prefixes[i % 4], i);
        assert_true(has(spaces, 0, name, name));
    }
    assert_true(has(spaces, 8, "c:0", "before a swap"));
    namespaces_swap(spaces, 8, 9, 0);
    assert_true(has(spaces, 9, "c:0", "before a swap"));
    namespaces_free(spaces);
}

static void behind_an_l2_entries_whose_home_changes_end(void **state)
{
    (void)state;
    struct namespaces *spaces = open_three();
    put(spaces, 0, "a:1", "v");
    put(spaces, 0, "a:b:1", "v");
    put(spaces, 0, "x", "v");
    struct ns_key key = namespaces_key(spaces, 0, slice_of("a:claimed"));
    struct l1_claim claim;
    struct l1_value value = {0};
    const struct l1_ask ask = {.now_ms = T0, .join_ms = 1000};
    assert_int_equal(l1_ask(key.ns->l1, &key.at, &ask, &value, &claim), CLAIMED);
    const struct namespace_spec specs[] = {spec_of("default", "", MB), spec_of("ab", "a:b:", MB)};
    assert_int_equal(namespaces_rebuild(spaces, specs, 2, false, T0), OK);
    assert_true(has(spaces, 0, "a:1", NULL));
    assert_true(has(spaces, 0, "a:b:1", "v") && has(spaces, 0, "x", "v"));
    struct l1_stats stats;
    namespaces_stats(spaces, &stats);
    assert_int_equal(stats.claims, 0);
    assert_int_equal(stats.items, 2);
    namespaces_free(spaces);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_longest_prefix_wins),
        cmocka_unit_test(lookup_agrees_with_a_slow_one),
        cmocka_unit_test(a_scan_goes_through_all),
        cmocka_unit_test(a_random_key_may_be_of_any),
        cmocka_unit_test(flushes_swaps_and_announcements_reach_all),
        cmocka_unit_test(a_flood_evicts_nobody_elses_values),
        cmocka_unit_test(a_commit_over_several_is_all_or_nothing),
        cmocka_unit_test(threads_never_see_half_a_commit),
        cmocka_unit_test(settings_change_in_place),
        cmocka_unit_test(rules_change_in_place_and_formats_do_not),
        cmocka_unit_test(without_tracking_contracts_fall_to_ttl_unless_writers_tell),
        cmocka_unit_test(a_bound_that_is_raised_waits_until_others_were_told),
        cmocka_unit_test(values_move_to_their_new_homes),
        cmocka_unit_test(behind_an_l2_entries_whose_home_changes_end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
