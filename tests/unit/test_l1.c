/* SPDX-License-Identifier: BSD-3-Clause */
/* L1 as the store itself, without an L2. */
#include "tests/unit/l1_help.h"
#include "tiers/l1_shard.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

enum {
    T0 = 1000000
};

static void what_is_set_is_read(void **state)
{
    (void)state;
    struct l1 *l1 = help_new(1 << 20, NULL, 0);
    assert_true(help_is(l1, 0, "k", NULL, T0));
    help_set(l1, 0, "k", "v", 0, T0);
    assert_true(help_is(l1, 0, "k", "v", T0));
    help_set(l1, 0, "k", "w", 0, T0);
    assert_true(help_is(l1, 0, "k", "w", T0));
    help_set(l1, 0, "k", NULL, 0, T0);
    assert_true(help_is(l1, 0, "k", NULL, T0));
    l1_free(l1);
}

static void small_values_are_copied_and_large_ones_handed_out(void **state)
{
    (void)state;
    struct l1 *l1 = help_new(1 << 20, NULL, 0);
    struct l1_key key = l1_key(l1, 0, SLICE_LITERAL("k"));
    help_set(l1, 0, "k", "12345", T0 + 7, T0);
    char room[5];
    struct l1_value fits = {.copy = room, .copy_room = 5};
    assert_int_equal(l1_get(l1, &key, T0, 0, &fits), OK);
    assert_null(fits.item);
    assert_ptr_equal(fits.bytes.data, room);
    assert_int_equal(fits.expire_at_ms, T0 + 7);
    struct l1_value large = {.copy = room, .copy_room = 4};
    assert_int_equal(l1_get(l1, &key, T0, 0, &large), OK);
    assert_non_null(large.item);
    help_set(l1, 0, "k", NULL, 0, T0);
    assert_true(slice_is(large.bytes, "12345")); /* the reference outlives the entry */
    item_release(large.item);
    l1_free(l1);
}

static void an_expired_entry_is_no_key(void **state)
{
    (void)state;
    struct l1 *l1 = help_new(1 << 20, NULL, 0);
    struct l1_key key = l1_key(l1, 0, SLICE_LITERAL("k"));
    help_set(l1, 0, "k", "v", T0 + 10, T0);
    assert_true(help_is(l1, 0, "k", "v", T0 + 9));
    assert_null(l1_hold(l1, &key, T0 + 10));
    assert_true(help_is(l1, 0, "k", NULL, T0 + 10));
    assert_int_equal(l1_count(l1, 0), 0); /* and its memory is gone too */
    assert_int_equal(help_stats(l1).expirations, 1);
    help_set(l1, 0, "k", "v", T0 + 10, T0);
    assert_int_equal(help_swap(l1, &key, NULL, "new", 0, T0 + 10), OK);
    l1_free(l1);
}

static void a_change_applies_only_to_what_was_seen(void **state)
{
    (void)state;
    struct l1 *l1 = help_new(1 << 20, NULL, 0);
    struct l1_key key = l1_key(l1, 0, SLICE_LITERAL("k"));
    assert_int_equal(help_swap(l1, &key, NULL, "1", 0, T0), OK);
    assert_int_equal(help_swap(l1, &key, NULL, "2", 0, T0), AGAIN);
    struct item *seen = l1_hold(l1, &key, T0);
    assert_int_equal(help_swap(l1, &key, seen, "2", 0, T0), OK);
    assert_int_equal(help_swap(l1, &key, seen, "3", 0, T0), AGAIN);
    assert_int_equal(help_swap(l1, &key, seen, NULL, 0, T0), AGAIN);
    assert_true(help_is(l1, 0, "k", "2", T0));
    item_release(seen);
    l1_free(l1);
}

static void the_commit_of_many_is_all_or_nothing(void **state)
{
    (void)state;
    struct l1 *l1 = help_new(1 << 20, NULL, 16);
    enum {
        COUNT = 50
    };
    struct l1_change changes[COUNT];
    char names[COUNT][32];
    for (int i = 0; i < COUNT; i++) {
        snprintf(names[i], sizeof names[i], "key:%d", i);
        struct l1_key key = l1_key(l1, 0, slice_of(names[i]));
        changes[i] = (struct l1_change){
            .l1 = l1, .key = key, .seen = NULL, .item = help_item(&key, "v", 0, 0)};
    }
    help_set(l1, 0, names[COUNT - 1], "there", 0, T0);
    assert_int_equal(l1_commit(changes, COUNT, T0), AGAIN);
    assert_int_equal(l1_count(l1, 0), 1);
    assert_true(help_is(l1, 0, names[COUNT - 1], "there", T0));
    changes[COUNT - 1].seen = L1_ANY;
    assert_int_equal(l1_commit(changes, COUNT, T0), OK);
    assert_int_equal(l1_count(l1, 0), COUNT);
    for (int i = 0; i < COUNT; i++) {
        assert_true(help_is(l1, 0, names[i], "v", T0));
        item_release(changes[i].item);
    }
    l1_free(l1);
}

static void of_several_changes_of_one_key_the_last_stands(void **state)
{
    (void)state;
    struct l1 *l1 = help_new(1 << 20, NULL, 4);
    struct l1_key key = l1_key(l1, 0, SLICE_LITERAL("k"));
    struct item *a = help_item_in(l1, &key, "a", 0, 0);
    struct item *b = help_item_in(l1, &key, "b", 0, 0);
    struct l1_change set_twice[] = {{l1, key, L1_ANY, a}, {l1, key, L1_ANY, b}};
    assert_int_equal(l1_commit(set_twice, 2, T0), OK);
    assert_true(help_is(l1, 0, "k", "b", T0));
    struct item *c = help_item_in(l1, &key, "c", 0, 0);
    struct l1_change remove_and_set[] = {{l1, key, b, NULL}, {l1, key, b, c}};
    assert_int_equal(l1_commit(remove_and_set, 2, T0), OK);
    assert_true(help_is(l1, 0, "k", "c", T0));
    struct item *d = help_item_in(l1, &key, "d", 0, 0);
    struct l1_change set_and_remove[] = {{l1, key, c, d}, {l1, key, c, NULL}};
    assert_int_equal(l1_commit(set_and_remove, 2, T0), OK);
    assert_true(help_is(l1, 0, "k", NULL, T0));
    assert_int_equal(l1_count(l1, 0), 0);
    item_release(a);
    item_release(b);
    item_release(c);
    item_release(d);
    l1_free(l1);
}

static void a_change_may_only_compare(void **state)
{
    (void)state;
    struct l1 *l1 = help_new(1 << 20, NULL, 4);
    struct l1_key watched = l1_key(l1, 0, SLICE_LITERAL("watched"));
    struct l1_key absent = l1_key(l1, 0, SLICE_LITERAL("absent"));
    struct l1_key key = l1_key(l1, 0, SLICE_LITERAL("k"));
    help_set(l1, 0, "watched", "w", 0, T0);
    struct item *seen = l1_hold(l1, &watched, T0);
    struct item *item = help_item_in(l1, &key, "v", 0, 0);
    struct l1_change changes[] = {
        {l1, watched, seen, seen}, {l1, absent, NULL, NULL}, {l1, key, L1_ANY, item}};
    assert_int_equal(l1_commit(changes, 3, T0), OK);
    assert_true(help_is(l1, 0, "watched", "w", T0));
    assert_true(help_is(l1, 0, "k", "v", T0));
    help_set(l1, 0, "watched", "x", 0, T0);
    assert_int_equal(l1_commit(changes, 3, T0), AGAIN);
    item_release(seen);
    item_release(item);
    l1_free(l1);
}

static void what_does_not_fit_is_refused_and_changes_nothing(void **state)
{
    (void)state;
    struct l1 *l1 = help_new(64 << 10, NULL, 1);
    help_set(l1, 0, "k", "v", 0, T0);
    struct l1_key key = l1_key(l1, 0, SLICE_LITERAL("k"));
    struct item *item = help_item_new(0, key.bytes, 64 << 10);
    assert_int_equal(l1_commit(&(struct l1_change){l1, key, L1_ANY, item}, 1, T0), TOO_BIG);
    item_release(item);
    assert_true(help_is(l1, 0, "k", "v", T0));
    l1_free(l1);
}

static void a_write_ends_the_claim_that_stands(void **state)
{
    (void)state;
    struct l1 *l1 = help_new(1 << 20, NULL, 1);
    struct l1_key key = l1_key(l1, 0, SLICE_LITERAL("k"));
    struct l1_ask ask = {.now_ms = T0, .join_ms = 10};
    struct l1_value value = {0};
    struct l1_claim claim;
    assert_int_equal(l1_ask(l1, &key, &ask, &value, &claim), CLAIMED);
    assert_int_equal(help_swap(l1, &key, NULL, "v", 0, T0), OK); /* a claim is no key */
    assert_int_equal(help_stats(l1).claims, 0);
    struct item *late = help_item(&key, "late", 0, T0);
    struct l1_landing landing = {.token = claim.token, .install = true, .now_ms = T0};
    assert_int_equal(l1_fill(l1, &key, &landing, late), STALE);
    item_release(late);
    l1_free(l1);
}

static struct item *put_and_hold(struct l1 *l1, const struct l1_key *key, const char *value,
                                 int64_t expire_at_ms)
{
    assert_int_equal(l1_put(l1, key, slice_of(value), expire_at_ms, T0), OK);
    return l1_hold(l1, key, T0);
}

static void a_put_writes_over_what_nobody_holds(void **state)
{
    (void)state;
    struct l1 *l1 = help_new(1 << 22, NULL, 1);
    struct l1_key key = l1_key(l1, 0, SLICE_LITERAL("k"));
    struct item *first = put_and_hold(l1, &key, "12345", 0);
    const struct item *const at = first;
    struct item *second = put_and_hold(l1, &key, "abcde", 0); /* `first` is held: it stays whole */
    assert_ptr_not_equal(second, at);
    assert_true(slice_is(item_value(first), "12345"));
    assert_true(help_is(l1, 0, "k", "abcde", T0));
    item_release(first);
    const struct item *const now_at = second;
    item_release(second);
    second = put_and_hold(l1, &key, "fghij", 0);
    assert_ptr_equal(second, now_at);
    assert_true(help_is(l1, 0, "k", "fghij", T0));
    item_release(second);
    second = put_and_hold(l1, &key, "f", T0 + 5); /* as many bytes: an expiry takes four */
    assert_ptr_equal(second, now_at);
    assert_int_equal(item_expire_at_ms(second), T0 + 5);
    item_release(second);
    assert_true(help_is(l1, 0, "k", NULL, T0 + 5));
    l1_free(l1);
}

/* Whoever samples slots for eviction looks at the item only if its slot says so. */
static void a_put_over_an_expiry_counts_as_one(void **state)
{
    (void)state;
    struct l1 *l1 = help_new(1 << 22, NULL, 1);
    struct l1_key key = l1_key(l1, 3, SLICE_LITERAL("k"));
    const struct l1_shard *shard = &l1->shards[0];
    const uint8_t db = l1_db_stored(l1, 3);
    struct l1_place place;
    for (int i = 0; i < 3; i++) {
        item_release(put_and_hold(l1, &key, "12345", 0));
        assert_int_equal(shard->count_expiring[db], 0);
        assert_true(l1_find(l1, shard, &key, &place) && !l1_place_wants_look(&place));
        item_release(put_and_hold(l1, &key, "1", T0 + 5));
        assert_int_equal(shard->count_expiring[db], 1);
        assert_true(l1_find(l1, shard, &key, &place) && l1_place_wants_look(&place));
    }
    assert_int_equal(l1_put(l1, &key, SLICE_LITERAL("1"), T0, T0), OK); /* it is over already */
    assert_true(help_is(l1, 3, "k", NULL, T0));
    assert_int_equal(shard->count_expiring[db], 0);
    assert_int_equal(l1_count(l1, 3), 0);
    l1_free(l1);
}

static void a_put_ends_the_claim_that_stands(void **state)
{
    (void)state;
    struct l1 *l1 = help_new(1 << 22, NULL, 1);
    struct l1_key key = l1_key(l1, 0, SLICE_LITERAL("k"));
    struct l1_ask ask = {.now_ms = T0, .join_ms = 10};
    struct l1_value value = {0};
    struct l1_claim claim;
    assert_int_equal(l1_ask(l1, &key, &ask, &value, &claim), CLAIMED);
    char same_size[sizeof(struct l1_claim_body) + 1] = {0};
    memset(same_size, 'v', sizeof same_size - 1);
    item_release(put_and_hold(l1, &key, same_size, 0));
    assert_int_equal(help_stats(l1).claims, 0);
    assert_true(help_is(l1, 0, "k", same_size, T0));
    l1_free(l1);
}

static void looking_is_not_a_use(void **state)
{
    (void)state;
    struct l1 *l1 = help_new(1 << 20, &policy_lru, 1);
    struct l1_key key = l1_key(l1, 0, SLICE_LITERAL("k"));
    help_set(l1, 0, "k", "value", T0 + 100000, T0);
    struct l1_peek peek;
    assert_int_equal(l1_peek(l1, &key, T0 + 40000, 0, &peek), OK);
    assert_int_equal(peek.idle_ms, 40000);
    assert_int_equal(peek.value_size, 5);
    assert_int_equal(peek.expire_at_ms, T0 + 100000);
    assert_int_equal(peek.frequency, -1);
    assert_true(peek.footprint > 5);
    item_release(l1_hold(l1, &key, T0 + 41000));
    assert_int_equal(l1_peek(l1, &key, T0 + 42000, 0, &peek), OK);
    assert_int_equal(peek.idle_ms, 42000);
    assert_true(help_is(l1, 0, "k", "value", T0 + 42000));
    assert_int_equal(l1_peek(l1, &key, T0 + 42000, 0, &peek), OK);
    assert_int_equal(peek.idle_ms, 0);
    l1_set_policy(l1, &policy_lfu, T0);
    assert_int_equal(l1_peek(l1, &key, T0 + 42000, 0, &peek), OK);
    assert_int_equal(peek.idle_ms, -1);
    assert_true(peek.frequency >= 0);
    l1_free(l1);
}

static void several_are_looked_at_at_once(void **state)
{
    (void)state;
    struct l1 *l1 = help_new(1 << 20, &policy_lru, 4);
    struct l1 *kin = l1_new(&(struct l1_options){.bytes_max = 1 << 20, .kin = l1, .shards = 2});
    const char *const names[] = {"here", "nowhere", "expired", "here"};
    struct l1_several keys[5];
    help_set(l1, 0, "here", "value", 0, T0);
    help_set(l1, 0, "expired", "value", T0 + 1000, T0);
    help_set(kin, 0, "elsewhere", "value", 0, T0);
    for (size_t i = 0; i < 4; i++) {
        keys[i] = (struct l1_several){.l1 = l1, .key = l1_key(l1, 0, slice_of(names[i]))};
    }
    keys[4] = (struct l1_several){.l1 = kin, .key = l1_key(kin, 0, SLICE_LITERAL("elsewhere"))};
    for (int uses = 0; uses < 2; uses++) {
        struct l1_peek peek;
        struct l1_stats stats;
        l1_get_several(keys, 5, uses, T0 + 40000);
        assert_true(slice_is(item_value(keys[0].item), "value"));
        assert_null(keys[1].item);
        assert_null(keys[2].item);
        assert_ptr_equal(keys[3].item, keys[0].item);
        assert_true(slice_is(item_key(keys[4].item), "elsewhere"));
        item_release(keys[0].item);
        item_release(keys[3].item);
        item_release(keys[4].item);
        assert_int_equal(l1_peek(l1, &keys[0].key, T0 + 40000, 0, &peek), OK);
        assert_int_equal(peek.idle_ms, uses ? 0 : 40000);
        l1_stats(l1, &stats);
        assert_int_equal(stats.hits, uses ? 2 : 0);
        assert_int_equal(stats.misses, uses ? 2 : 0);
    }
    assert_int_equal(l1_count_several((struct l1 *[]){l1, kin}, 2, 0), 2);
    assert_int_equal(l1_count_several((struct l1 *[]){l1, kin}, 2, 1), 0);
    l1_free(kin);
    l1_free(l1);
}

static void entries_are_counted_by_database(void **state)
{
    (void)state;
    struct l1 *l1 = help_new(1 << 20, NULL, 4);
    help_set(l1, 0, "a", "1", 0, T0);
    help_set(l1, 0, "b", "1", T0 + 1000, T0);
    help_set(l1, 9, "a", "1", T0 + 1000, T0);
    assert_int_equal(l1_count(l1, 0), 2);
    assert_int_equal(l1_count(l1, 9), 1);
    assert_int_equal(l1_count_expiring(l1, 0), 1);
    help_set(l1, 0, "b", "1", 0, T0);
    assert_int_equal(l1_count_expiring(l1, 0), 0);
    l1_flush(l1, 0);
    assert_int_equal(l1_count(l1, 0), 0);
    assert_int_equal(l1_count(l1, 9), 1);
    l1_flush_all(l1);
    assert_int_equal(l1_count(l1, 9), 0);
    assert_int_equal(l1_count_expiring(l1, 9), 0);
    l1_free(l1);
}

static void swapped_databases_change_names_at_once(void **state)
{
    (void)state;
    struct l1 *l1 = help_new(1 << 20, NULL, 4);
    help_set(l1, 0, "a", "zero", 0, T0);
    help_set(l1, 5, "a", "five", 0, T0);
    help_set(l1, 5, "b", "five", 0, T0);
    l1_swap(&l1, 1, 0, 5, 0);
    assert_true(help_is(l1, 0, "a", "five", T0));
    assert_true(help_is(l1, 5, "a", "zero", T0));
    assert_int_equal(l1_count(l1, 0), 2);
    help_set(l1, 0, "a", "new", 0, T0);
    help_set(l1, 5, "c", "new", 0, T0);
    l1_swap(&l1, 1, 3, 3, 0);
    l1_swap(&l1, 1, 5, 7, 0);
    assert_true(help_is(l1, 7, "a", "zero", T0));
    assert_true(help_is(l1, 7, "c", "new", T0));
    assert_true(help_is(l1, 5, "a", NULL, T0));
    assert_true(help_is(l1, 0, "a", "new", T0));
    l1_flush(l1, 7);
    assert_int_equal(l1_count(l1, 7), 0);
    assert_int_equal(l1_count(l1, 0), 2);
    l1_free(l1);
}

static void a_sweep_drops_what_has_expired_and_estimates_ttls(void **state)
{
    (void)state;
    struct l1 *l1 = help_new(1 << 20, NULL, 4);
    for (int i = 0; i < 1000; i++) {
        char name[32];
        snprintf(name, sizeof name, "k:%d", i);
        help_set(l1, 2, name, "v", i % 2 == 0 ? T0 + 10 : T0 + 60010, T0);
    }
    assert_int_equal(l1_average_ttl_ms(l1, 2), 0);
    unsigned went = 0;
    for (int i = 0; i < 100; i++) {
        went += l1_sweep(l1, T0 + 10, 64);
    }
    assert_int_equal(went, 500);
    assert_int_equal(l1_count(l1, 2), 500);
    assert_int_equal(help_stats(l1).expirations, 500);
    assert_int_equal(l1_average_ttl_ms(l1, 2), 60000);
    assert_int_equal(l1_average_ttl_ms(l1, 3), 0);
    l1_free(l1);
}

static void a_sweep_looks_at_no_more_buckets_than_it_may(void **state)
{
    (void)state;
    struct l1 *l1 = help_new(1 << 20, NULL, 1);
    for (int i = 0; i < 4000; i++) {
        char name[32];
        snprintf(name, sizeof name, "k:%d", i);
        help_set(l1, 0, name, "v", T0 + 10, T0);
    }
    assert_in_range(l1_sweep(l1, T0 + 10, 4), 1, 200);
    l1_free(l1);
}

static void random_keys_come_from_the_database_asked_for(void **state)
{
    (void)state;
    struct l1 *l1 = help_new(1 << 20, NULL, 8);
    assert_null(l1_random(l1, 0, T0));
    for (int i = 0; i < 3000; i++) {
        char name[32];
        snprintf(name, sizeof name, "k:%d", i);
        help_set(l1, 0, name, "v", 0, T0);
    }
    help_set(l1, 1, "lonely", "v", 0, T0);
    help_set(l1, 2, "gone", "v", T0 + 1, T0);
    struct item *lonely = l1_random(l1, 1, T0);
    assert_true(slice_is(item_key(lonely), "lonely"));
    item_release(lonely);
    assert_null(l1_random(l1, 2, T0 + 1));
    int different = 0;
    struct item *before = l1_random(l1, 0, T0);
    for (int i = 0; i < 100; i++) {
        struct item *item = l1_random(l1, 0, T0);
        assert_int_equal(item_db(item), 0);
        different += item != before;
        item_release(before);
        before = item;
    }
    item_release(before);
    assert_true(different > 80);
    l1_free(l1);
}

/* --- against a trivial map ---------------------------------------------------------------------------------------- */

enum {
    MODEL_KEYS = 40,
    MODEL_DBS = 3,
    MODEL_STEPS = 60000
};

struct model_entry {
    bool there;
    int64_t expire_at_ms;
    unsigned value;
};

struct model {
    struct l1 *l1;
    struct rand rand;
    uint64_t seed;
    int64_t now_ms;
    struct model_entry entries[MODEL_DBS][MODEL_KEYS];
};

static struct model_entry *model_live(struct model *model, uint8_t db, unsigned k)
{
    struct model_entry *entry = &model->entries[db][k];
    if (entry->there && entry->expire_at_ms != 0 && model->now_ms >= entry->expire_at_ms) {
        entry->there = false;
    }
    return entry;
}

static void model_compare(struct model *model, uint8_t db, unsigned k)
{
    char name[32];
    char text[32];
    snprintf(name, sizeof name, "key:%u", k);
    struct model_entry *entry = model_live(model, db, k);
    snprintf(text, sizeof text, "%u", entry->value);
    HELP_CHECK(help_is(model->l1, db, name, entry->there ? text : NULL, model->now_ms),
               model->seed);
}

/* Up to eight random changes, some with an outdated `seen`; the map says whether they may apply. */
static void model_commit(struct model *model)
{
    struct l1_change changes[8];
    char names[8][32];
    unsigned picked[8];
    unsigned values[8];
    bool used[MODEL_KEYS] = {false};
    size_t count = 1 + rand_below(&model->rand, 8);
    uint8_t db = (uint8_t)rand_below(&model->rand, MODEL_DBS);
    bool may = true;
    for (size_t i = 0; i < count; i++) {
        do {
            picked[i] = (unsigned)rand_below(&model->rand, MODEL_KEYS);
        } while (used[picked[i]]);
        used[picked[i]] = true;
        snprintf(names[i], sizeof names[i], "key:%u", picked[i]);
        struct l1_key key = l1_key(model->l1, db, slice_of(names[i]));
        struct model_entry *entry = model_live(model, db, picked[i]);
        changes[i] = (struct l1_change){.l1 = model->l1, .key = key, .seen = L1_ANY, .item = NULL};
        uint64_t kind = rand_below(&model->rand, 20);
        if (kind == 0) { /* pretends that there is no such key */
            changes[i].seen = NULL;
            may = may && !entry->there;
        } else if (kind < 10) {
            changes[i].seen = l1_hold(model->l1, &key, model->now_ms);
            HELP_CHECK((changes[i].seen != NULL) == entry->there, model->seed);
        }
        values[i] = (unsigned)rand_below(&model->rand, 1000000);
        if (rand_below(&model->rand, 3) > 0) {
            char text[32];
            snprintf(text, sizeof text, "%u", values[i]);
            int64_t expire_at_ms = rand_below(&model->rand, 2) == 0
                                       ? 0
                                       : model->now_ms + 1 + (int64_t)rand_below(&model->rand, 50);
            changes[i].item = rand_below(&model->rand, 4) == 0
                                  ? help_item(&key, text, expire_at_ms, 0)
                                  : help_item_in(model->l1, &key, text, expire_at_ms, 0);
        }
    }
    enum status status = l1_commit(changes, count, model->now_ms);
    HELP_CHECK(status == (may ? OK : AGAIN), model->seed);
    for (size_t i = 0; i < count; i++) {
        if (status == OK) {
            struct item *item = changes[i].item;
            model->entries[db][picked[i]] =
                (struct model_entry){.there = item != NULL,
                                     .expire_at_ms = item != NULL ? item_expire_at_ms(item) : 0,
                                     .value = values[i]};
        }
        if (changes[i].seen != L1_ANY) {
            item_release(changes[i].seen);
        }
        item_release(changes[i].item);
        model_compare(model, db, picked[i]);
    }
}

static void model_put(struct model *model, uint8_t db, unsigned k)
{
    char name[32];
    char text[32];
    snprintf(name, sizeof name, "key:%u", k);
    const unsigned value = (unsigned)rand_below(&model->rand, 1000000);
    snprintf(text, sizeof text, "%u", value);
    const struct l1_key key = l1_key(model->l1, db, slice_of(name));
    const uint64_t kind = rand_below(&model->rand, 8);
    const int64_t expire_at_ms =
        kind < 4 ? 0 : model->now_ms + (int64_t)rand_below(&model->rand, 50); /* or now: gone */
    struct item *held = kind == 0 ? l1_hold(model->l1, &key, model->now_ms) : NULL;
    const unsigned before = model->entries[db][k].value;
    HELP_CHECK(l1_put(model->l1, &key, slice_of(text), expire_at_ms, model->now_ms) == OK,
               model->seed);
    if (held != NULL) {
        snprintf(text, sizeof text, "%u", before);
        HELP_CHECK(slice_is(item_value(held), text), model->seed);
        item_release(held);
    }
    model->entries[db][k] =
        (struct model_entry){.there = expire_at_ms == 0 || expire_at_ms > model->now_ms,
                             .expire_at_ms = expire_at_ms,
                             .value = value};
    model_compare(model, db, k);
}

static void model_step(struct model *model)
{
    uint8_t db = (uint8_t)rand_below(&model->rand, MODEL_DBS);
    uint8_t other = (uint8_t)rand_below(&model->rand, MODEL_DBS);
    unsigned k = (unsigned)rand_below(&model->rand, MODEL_KEYS);
    char name[32];
    snprintf(name, sizeof name, "key:%u", k);
    switch (rand_below(&model->rand, 100)) {
    case 0:
        l1_swap(&model->l1, 1, db, other, 0);
        for (unsigned i = 0; i < MODEL_KEYS; i++) {
            struct model_entry entry = model->entries[db][i];
            model->entries[db][i] = model->entries[other][i];
            model->entries[other][i] = entry;
        }
        break;
    case 1:
        if (rand_below(&model->rand, 20) == 0) {
            l1_flush(model->l1, db);
            memset(model->entries[db], 0, sizeof model->entries[db]);
        }
        break;
    case 2:
        l1_forget(model->l1, slice_of(name));
        for (unsigned i = 0; i < MODEL_DBS; i++) {
            model->entries[i][k].there = false;
        }
        break;
    case 3: l1_sweep(model->l1, model->now_ms, 8); break;
    case 4:
    case 5:
    case 6: model->now_ms += (int64_t)rand_below(&model->rand, 10); break;
    default:
        if (rand_below(&model->rand, 2) == 0) {
            model_commit(model);
        } else if (rand_below(&model->rand, 2) == 0) {
            model_put(model, db, k);
        } else {
            model_compare(model, db, k);
        }
    }
}

static void l1_behaves_as_a_trivial_map(void **state)
{
    (void)state;
    struct model model = {.l1 = help_new(1 << 22, NULL, 4), .seed = help_seed(), .now_ms = T0};
    rand_seed(&model.rand, model.seed);
    for (int i = 0; i < MODEL_STEPS; i++) {
        model_step(&model);
    }
    for (uint8_t db = 0; db < MODEL_DBS; db++) {
        for (unsigned k = 0; k < MODEL_KEYS; k++) {
            model_compare(&model, db, k);
        }
    }
    l1_free(model.l1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_set_is_read),
        cmocka_unit_test(small_values_are_copied_and_large_ones_handed_out),
        cmocka_unit_test(an_expired_entry_is_no_key),
        cmocka_unit_test(a_change_applies_only_to_what_was_seen),
        cmocka_unit_test(the_commit_of_many_is_all_or_nothing),
        cmocka_unit_test(of_several_changes_of_one_key_the_last_stands),
        cmocka_unit_test(a_change_may_only_compare),
        cmocka_unit_test(what_does_not_fit_is_refused_and_changes_nothing),
        cmocka_unit_test(a_write_ends_the_claim_that_stands),
        cmocka_unit_test(a_put_writes_over_what_nobody_holds),
        cmocka_unit_test(a_put_over_an_expiry_counts_as_one),
        cmocka_unit_test(a_put_ends_the_claim_that_stands),
        cmocka_unit_test(looking_is_not_a_use),
        cmocka_unit_test(several_are_looked_at_at_once),
        cmocka_unit_test(entries_are_counted_by_database),
        cmocka_unit_test(swapped_databases_change_names_at_once),
        cmocka_unit_test(a_sweep_drops_what_has_expired_and_estimates_ttls),
        cmocka_unit_test(a_sweep_looks_at_no_more_buckets_than_it_may),
        cmocka_unit_test(random_keys_come_from_the_database_asked_for),
        cmocka_unit_test(l1_behaves_as_a_trivial_map),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
