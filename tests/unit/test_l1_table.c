/* SPDX-License-Identifier: BSD-3-Clause */
#include "tests/unit/l1_help.h"
#include "tiers/l1_table.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

struct world {
    struct hash_secret secret;
    struct l1_table table;
    struct arena *arena;
};

static void world_init(struct world *world)
{
    unsigned char bytes[HASH_SECRET_SIZE];
    struct rand rand;
    rand_seed(&rand, 5);
    for (size_t i = 0; i < sizeof bytes; i++) {
        bytes[i] = (unsigned char)rand_next(&rand);
    }
    hash_secret_init(&world->secret, bytes);
    world->arena = arena_new();
    assert_non_null(world->arena);
    assert_int_equal(l1_table_init(&world->table, &world->secret, world->arena), OK);
}

static struct slice name_of(char room[32], unsigned number)
{
    int size = snprintf(room, 32, "key:%u", number);
    return (struct slice){room, (size_t)size};
}

static void put(struct world *world, unsigned number)
{
    char room[32];
    struct slice name = name_of(room, number);
    struct item *item = item_new_in(world->arena, &(struct item_spec){.key = name});
    assert_non_null(item);
    assert_int_equal(
        l1_table_insert(&world->table, hash_key(&world->secret, name), item, number & 1023), OK);
}

static bool has(struct world *world, unsigned number, struct l1_place *ret_place)
{
    char room[32];
    struct slice name = name_of(room, number);
    return l1_table_find(&world->table, hash_key(&world->secret, name), 0, name, ret_place);
}

static bool take(struct world *world, unsigned number)
{
    struct l1_place place;
    if (!has(world, number, &place)) {
        return false;
    }
    struct item *item = l1_place_item(&place);
    l1_table_remove(&world->table, &place);
    item_release(item);
    return true;
}

static void settle_wholly(struct world *world)
{
    l1_table_settle(&world->table, 1u << 30);
}

static void a_bucket_is_one_cache_line(void **state)
{
    (void)state;
    assert_int_equal(sizeof(struct l1_bucket), 64);
}

static void every_key_is_found_at_every_size_while_growing_and_shrinking(void **state)
{
    (void)state;
    struct world world;
    world_init(&world);
    struct l1_place place;
    const unsigned keys = 3000;
    for (unsigned i = 0; i < keys; i++) {
        put(&world, i);
        l1_table_settle(&world.table, 1);
        if (i % 16 == 0) {
            for (unsigned j = 0; j <= i; j++) {
                assert_true(has(&world, j, &place));
            }
            assert_false(has(&world, i + 1, &place));
        }
    }
    assert_int_equal(world.table.entries, keys);
    for (unsigned i = 0; i < keys; i++) {
        assert_true(take(&world, i));
        l1_table_settle(&world.table, 1);
        if (i % 16 == 0) {
            assert_false(has(&world, i, &place));
            for (unsigned j = i + 1; j < keys; j++) {
                assert_true(has(&world, j, &place));
            }
        }
    }
    settle_wholly(&world);
    assert_int_equal(l1_table_buckets(&world.table), L1_BUCKETS_MIN);
    l1_table_done(&world.table);
    arena_close(world.arena);
}

static void long_chains_work_when_the_table_does_not_settle(void **state)
{
    (void)state;
    struct world world;
    world_init(&world);
    struct l1_place place;
    size_t empty_bytes = world.table.bytes;
    for (unsigned i = 0; i < 1000; i++) { /* 125 a bucket */
        put(&world, i);
    }
    for (unsigned i = 0; i < 1000; i++) {
        assert_true(has(&world, i, &place));
    }
    settle_wholly(&world); /* splits chains of many buckets */
    for (unsigned i = 0; i < 1000; i++) {
        assert_true(has(&world, i, &place));
    }
    for (unsigned i = 0; i < 1000; i++) {
        assert_true(take(&world, i));
    }
    settle_wholly(&world);
    assert_int_equal(world.table.bytes, empty_bytes);
    l1_table_done(&world.table);
    arena_close(world.arena);
}

static void merging_full_buckets_loses_nothing(void **state)
{
    (void)state;
    struct world world;
    world_init(&world);
    struct l1_place place;
    for (unsigned i = 0; i < 2000; i++) {
        put(&world, i);
        l1_table_settle(&world.table, 1);
    }
    settle_wholly(&world);
    uint64_t buckets = l1_table_buckets(&world.table);
    for (unsigned i = 0; i < 1990;
         i++) { /* without settling: then all buckets are merged at once */
        assert_true(take(&world, i));
    }
    for (unsigned i = 2000; i < 2000 + buckets; i++) {
        put(&world, i);
    }
    settle_wholly(&world);
    assert_true(l1_table_buckets(&world.table) < buckets);
    for (unsigned i = 1990; i < 2000 + buckets; i++) {
        assert_true(has(&world, i, &place));
        assert_true(take(&world, i));
    }
    l1_table_done(&world.table);
    arena_close(world.arena);
}

static void a_removal_in_a_walk_shows_the_next_unseen_entry(void **state)
{
    (void)state;
    struct world world;
    world_init(&world);
    for (unsigned i = 0; i < 500; i++) {
        put(&world, i);
    }
    unsigned odd = 0;
    unsigned even = 0;
    for (uint64_t b = 0; b < l1_table_buckets(&world.table); b++) {
        struct l1_place place = l1_table_bucket(&world.table, b);
        struct item *item;
        while ((item = l1_place_item(&place)) != NULL) {
            struct slice name = item_key(item);
            if ((name.data[name.size - 1] - '0') % 2 == 0) {
                even++;
                l1_table_remove(&world.table, &place);
                item_release(item);
            } else {
                odd++;
                l1_place_next(&place);
            }
        }
    }
    assert_int_equal(odd, 250);
    assert_int_equal(even, 250);
    for (unsigned i = 0; i < 500; i++) {
        assert_int_equal(take(&world, i), i % 2 == 1);
    }
    l1_table_done(&world.table);
    arena_close(world.arena);
}

static void a_walk_by_cursor_visits_every_bucket_once_at_any_size(void **state)
{
    (void)state;
    struct world world;
    world_init(&world);
    for (unsigned keys = 0; keys < 1200; keys++) {
        put(&world, keys);
        l1_table_settle(&world.table, 1);
        unsigned seen = 0;
        uint64_t steps = 0;
        uint64_t cursor = 0;
        do {
            struct l1_place place = l1_table_chain(&world.table, cursor);
            for (; l1_place_item(&place) != NULL; l1_place_next(&place)) {
                seen++;
            }
            steps++;
            cursor = l1_table_cursor_next(&world.table, cursor);
        } while (cursor != 0);
        assert_int_equal(seen, keys + 1);
        assert_int_equal(steps, l1_table_buckets(&world.table));
    }
    for (unsigned keys = 0; keys < 1200; keys++) {
        assert_true(take(&world, keys));
    }
    l1_table_done(&world.table);
    arena_close(world.arena);
}

static void any_cursor_a_client_may_invent_is_safe(void **state)
{
    (void)state;
    struct world world;
    world_init(&world);
    for (unsigned i = 0; i < 777; i++) {
        put(&world, i);
    }
    settle_wholly(&world);
    struct rand rand;
    rand_seed(&rand, 9);
    for (int i = 0; i < 1000; i++) {
        uint64_t cursor = rand_next(&rand);
        int steps = 0;
        do {
            assert_non_null(l1_table_chain(&world.table, cursor).head);
            cursor = l1_table_cursor_next(&world.table, cursor);
            assert_true(++steps <= 777);
        } while (cursor != 0);
    }
    for (unsigned i = 0; i < 777; i++) {
        assert_true(take(&world, i));
    }
    l1_table_done(&world.table);
    arena_close(world.arena);
}

static void the_same_key_lives_apart_in_each_database(void **state)
{
    (void)state;
    struct world world;
    world_init(&world);
    struct slice name = SLICE_LITERAL("name");
    uint64_t hash = hash_key(&world.secret, name);
    struct l1_place place;
    for (uint8_t db = 0; db < 16; db++) {
        struct item *item = item_new_in(world.arena, &(struct item_spec){.db = db, .key = name});
        assert_int_equal(l1_table_insert(&world.table, hash, item, 0), OK);
    }
    for (uint8_t db = 0; db < 16; db++) {
        assert_true(l1_table_find(&world.table, hash, db, name, &place));
        assert_int_equal(item_db(l1_place_item(&place)), db);
    }
    int found = 0;
    while (l1_table_find(&world.table, hash, L1_DB_ANY, name, &place)) {
        item_release(l1_place_item(&place));
        l1_table_remove(&world.table, &place);
        found++;
    }
    assert_int_equal(found, 16);
    l1_table_done(&world.table);
    arena_close(world.arena);
}

static void the_table_costs_few_bytes_an_entry(void **state)
{
    (void)state;
    struct world world;
    world_init(&world);
    for (unsigned i = 0; i < 50000; i++) {
        put(&world, i);
        l1_table_settle(&world.table, 2);
        if (i >= 10000 && i % 1000 == 0) {
            assert_true(world.table.bytes < (size_t)i * 16);
        }
    }
    for (unsigned i = 0; i < 50000; i++) {
        assert_true(take(&world, i));
    }
    l1_table_done(&world.table);
    arena_close(world.arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_bucket_is_one_cache_line),
        cmocka_unit_test(every_key_is_found_at_every_size_while_growing_and_shrinking),
        cmocka_unit_test(long_chains_work_when_the_table_does_not_settle),
        cmocka_unit_test(merging_full_buckets_loses_nothing),
        cmocka_unit_test(a_removal_in_a_walk_shows_the_next_unseen_entry),
        cmocka_unit_test(a_walk_by_cursor_visits_every_bucket_once_at_any_size),
        cmocka_unit_test(any_cursor_a_client_may_invent_is_safe),
        cmocka_unit_test(the_same_key_lives_apart_in_each_database),
        cmocka_unit_test(the_table_costs_few_bytes_an_entry),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
