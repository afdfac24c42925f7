/* SPDX-License-Identifier: BSD-3-Clause */
/* Watches of L1: what counts as a change of a key, and what does not. */
#include "tests/unit/l1_help.h"

enum {
    T0 = 1000000
};

struct rig {
    struct l1 *l1;
    struct l1_watch watch;
};

static void rig_open(struct rig *rig, const char *key)
{
    const struct l1_key at = l1_key(rig->l1, 0, slice_of(key));
    assert_int_equal(l1_watch(rig->l1, &rig->watch, &at, T0), OK);
}

static bool touched(struct rig *rig)
{
    return l1_watch_touched(&rig->watch, T0);
}

static void put(struct l1 *l1, uint8_t db, const char *key, const char *value, int64_t expire_at_ms)
{
    const struct l1_key at = l1_key(l1, db, slice_of(key));
    assert_int_equal(l1_put(l1, &at, slice_of(value), expire_at_ms, T0), OK);
}

static void drop(struct l1 *l1, const char *key)
{
    const struct l1_change change = {.l1 = l1, .key = l1_key(l1, 0, slice_of(key)), .seen = L1_ANY};
    assert_int_equal(l1_commit(&change, 1, T0), OK);
}

static void look(struct l1 *l1, const char *key, int64_t now_ms)
{
    struct l1_peek peek;
    const struct l1_key at = l1_key(l1, 0, slice_of(key));
    (void)!l1_peek(l1, &at, now_ms, 0, &peek);
}

static void a_key_that_came_and_went_has_changed(void **state)
{
    (void)state;
    struct rig rig = {.l1 = help_new(1 << 20, NULL, 4)};
    rig_open(&rig, "k");
    assert_false(touched(&rig));
    put(rig.l1, 0, "k", "v", 0);
    drop(rig.l1, "k");
    assert_true(touched(&rig));
    l1_unwatch(&rig.watch);
    l1_free(rig.l1);
}

static void a_value_written_over_in_place_has_changed(void **state)
{
    (void)state;
    struct rig rig = {.l1 = help_new(1 << 20, NULL, 4)};
    put(rig.l1, 0, "k", "same", 0);
    rig_open(&rig, "k");
    look(rig.l1, "k", T0);
    assert_false(touched(&rig));
    put(rig.l1, 0, "k", "same", 0); /* as many bytes: the item stays where it is */
    assert_true(touched(&rig));
    l1_unwatch(&rig.watch);
    l1_free(rig.l1);
}

static void other_keys_and_databases_do_not_matter(void **state)
{
    (void)state;
    struct rig rig = {.l1 = help_new(1 << 20, NULL, 1)};
    put(rig.l1, 0, "k", "v", 0);
    rig_open(&rig, "k");
    for (unsigned n = 0; n < 500; n++) { /* of all buckets of the watches */
        char name[32];
        (void)snprintf(name, sizeof name, "other:%u", n);
        put(rig.l1, 0, name, "v", 0);
        drop(rig.l1, name);
    }
    put(rig.l1, 1, "k", "v", 0);
    l1_flush(rig.l1, 1);
    drop(rig.l1, "missing");
    assert_false(touched(&rig));
    l1_flush(rig.l1, 0);
    assert_true(touched(&rig));
    l1_unwatch(&rig.watch);
    l1_free(rig.l1);
}

static void an_expiry_is_a_change_only_of_what_was_alive(void **state)
{
    (void)state;
    struct rig rig = {.l1 = help_new(1 << 20, NULL, 4)};
    struct l1_watch over;
    put(rig.l1, 0, "lives", "v", T0 + 10);
    put(rig.l1, 0, "over", "v", T0 + 5);
    rig_open(&rig, "lives");
    const struct l1_key at = l1_key(rig.l1, 0, SLICE_LITERAL("over"));
    assert_int_equal(l1_watch(rig.l1, &over, &at, T0 + 5), OK);
    assert_false(l1_watch_touched(&rig.watch, T0 + 9));
    assert_true(l1_watch_touched(&rig.watch, T0 + 10)); /* nobody has met it: it goes now */
    assert_false(l1_watch_touched(&over, T0 + 10));
    l1_unwatch(&rig.watch);
    l1_unwatch(&over);
    l1_free(rig.l1);
}

static void a_swap_is_a_change_where_either_database_has_the_key(void **state)
{
    (void)state;
    struct rig rig = {.l1 = help_new(1 << 20, NULL, 4)};
    struct rig missing = {.l1 = rig.l1};
    put(rig.l1, 1, "k", "v", 0);
    rig_open(&rig, "k");
    rig_open(&missing, "m");
    l1_swap(&rig.l1, 1, 2, 3, 0);
    assert_false(touched(&rig));
    l1_swap(&rig.l1, 1, 0, 1, 0);
    assert_true(touched(&rig));
    assert_false(touched(&missing));
    put(rig.l1, 1, "m", "v", 0); /* where its entry would be had it been there before the swap */
    assert_false(touched(&missing));
    put(rig.l1, 0, "m", "v", 0);
    assert_true(touched(&missing));
    l1_unwatch(&rig.watch);
    l1_unwatch(&missing.watch);
    l1_free(rig.l1);
}

static void a_swap_that_brings_what_has_expired_is_none(void **state)
{
    (void)state;
    struct rig rig = {.l1 = help_new(1 << 20, NULL, 4)};
    struct rig lives = {.l1 = rig.l1};
    put(rig.l1, 1, "k", "v", T0 + 5);
    put(rig.l1, 0, "lives", "v", T0 + 5);
    rig_open(&rig, "k");
    rig_open(&lives, "lives");
    l1_swap(&rig.l1, 1, 0, 1, T0 + 5);
    assert_false(l1_watch_touched(&rig.watch, T0 + 5));
    assert_true(l1_watch_touched(&lives.watch, T0 + 5)); /* it was there when its watch began */
    l1_unwatch(&rig.watch);
    l1_unwatch(&lives.watch);
    l1_free(rig.l1);
}

static void an_eviction_is_a_change(void **state)
{
    (void)state;
    struct rig rig = {.l1 = help_new(1 << 20, policy_find(SLICE_LITERAL("lru")), 1)};
    static char value[2000];
    memset(value, 'x', sizeof value - 1);
    put(rig.l1, 0, "k", "v", 0);
    rig_open(&rig, "k");
    for (unsigned n = 0; n < 5000 && !touched(&rig); n++) {
        char name[32];
        (void)snprintf(name, sizeof name, "other:%u", n);
        const struct l1_key at = l1_key(rig.l1, 0, slice_of(name));
        assert_int_equal(l1_put(rig.l1, &at, slice_of(value), 0, T0 + 100 * n), OK);
    }
    assert_true(touched(&rig));
    l1_unwatch(&rig.watch);
    l1_free(rig.l1);
}

static void several_watch_one_key_and_leave_in_any_order(void **state)
{
    (void)state;
    struct rig rigs[3];
    rigs[0].l1 = help_new(1 << 20, NULL, 4);
    for (unsigned i = 0; i < 3; i++) {
        rigs[i].l1 = rigs[0].l1;
        rig_open(&rigs[i], "k");
    }
    l1_unwatch(&rigs[1].watch);
    l1_unwatch(&rigs[1].watch); /* twice is fine */
    put(rigs[0].l1, 0, "k", "v", 0);
    assert_true(touched(&rigs[0]) && touched(&rigs[2]));
    l1_unwatch(&rigs[2].watch);
    l1_unwatch(&rigs[0].watch);
    put(rigs[0].l1, 0, "k", "v", 0);
    l1_free(rigs[0].l1);
}

static struct l1 *home_of(const void *arg, struct slice key)
{
    struct l1 *const *homes = arg;
    return homes[slice_is(key, "k") ? 0 : 1];
}

static void watches_end_as_touched_when_namespaces_change(void **state)
{
    (void)state;
    struct rig rig = {.l1 = help_new(1 << 20, NULL, 4)};
    struct l1 *const homes[2] = {help_new(1 << 20, NULL, 4), rig.l1};
    put(rig.l1, 0, "k", "v", 0);
    rig_open(&rig, "k");
    l1_move(rig.l1, home_of, homes, true, T0);
    l1_free(rig.l1);
    assert_true(touched(&rig));
    l1_unwatch(&rig.watch);
    l1_free(homes[0]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_key_that_came_and_went_has_changed),
        cmocka_unit_test(a_value_written_over_in_place_has_changed),
        cmocka_unit_test(other_keys_and_databases_do_not_matter),
        cmocka_unit_test(an_expiry_is_a_change_only_of_what_was_alive),
        cmocka_unit_test(a_swap_is_a_change_where_either_database_has_the_key),
        cmocka_unit_test(a_swap_that_brings_what_has_expired_is_none),
        cmocka_unit_test(an_eviction_is_a_change),
        cmocka_unit_test(several_watch_one_key_and_leave_in_any_order),
        cmocka_unit_test(watches_end_as_touched_when_namespaces_change),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
