/* SPDX-License-Identifier: BSD-3-Clause */
#include "tiers/base/map.h"
#include "tiers/base/rand.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

enum {
    THINGS = 5000
};

struct thing {
    int number;
    struct map_node in_map;
    int seen;
};

static struct thing *thing_of(struct map_node *node)
{
    return MAP_ENTRY(node, struct thing, in_map);
}

static struct thing *find_number(const struct map *map, uint64_t hash, int number)
{
    for (struct map_node *node = map_find(map, hash); node != NULL; node = map_next(node)) {
        if (thing_of(node)->number == number) {
            return thing_of(node);
        }
    }
    return NULL;
}

static void an_empty_map_finds_nothing(void **state)
{
    (void)state;
    struct map map = {0};
    assert_null(map_find(&map, 0));
    assert_null(map_any(&map, NULL));
    map_done(&map);
}

static void things_of_one_hash_are_told_apart_by_who_asks(void **state)
{
    (void)state;
    struct map map = {0};
    struct thing things[3] = {{.number = 1}, {.number = 2}, {.number = 3}};
    assert_int_equal(map_add(&map, &things[0].in_map, 7), OK);
    assert_int_equal(map_add(&map, &things[1].in_map, 7), OK);
    assert_int_equal(map_add(&map, &things[2].in_map, 7 + 16), OK); /* the same chain */
    assert_ptr_equal(find_number(&map, 7, 1), &things[0]);
    assert_ptr_equal(find_number(&map, 7, 2), &things[1]);
    assert_null(find_number(&map, 7, 3));
    assert_ptr_equal(find_number(&map, 7 + 16, 3), &things[2]);
    map_remove(&map, &things[0].in_map);
    assert_null(find_number(&map, 7, 1));
    assert_ptr_equal(find_number(&map, 7, 2), &things[1]);
    map_done(&map);
}

/* Adds and removes at random; after each thousand, all that should be there is, once, and nothing else. */
static void what_was_added_and_not_removed_is_found(void **state)
{
    (void)state;
    struct map map = {0};
    struct rand rand;
    rand_seed(&rand, 1);
    struct thing *things = calloc(THINGS, sizeof(*things));
    bool *in = calloc(THINGS, sizeof(*in));
    size_t count = 0;
    for (int step = 1; step <= 60000; step++) {
        const int i = (int)(rand_next(&rand) % THINGS);
        const uint64_t hash = (uint64_t)(i / 2); /* pairs share one */
        const bool grows = step < 20000 || step > 50000;
        if (!in[i] && (grows || rand_next(&rand) % 8 == 0)) {
            things[i].number = i;
            assert_int_equal(map_add(&map, &things[i].in_map, hash), OK);
            in[i] = true;
            count++;
        } else if (in[i] && (!grows || rand_next(&rand) % 8 == 0)) {
            map_remove(&map, &things[i].in_map);
            in[i] = false;
            count--;
        }
        assert_int_equal(map.count, count);
        if (step % 1000 != 0) {
            continue;
        }
        for (int j = 0; j < THINGS; j++) {
            assert_ptr_equal(find_number(&map, (uint64_t)(j / 2), j), in[j] ? &things[j] : NULL);
            things[j].seen = 0;
        }
        for (struct map_node *node = map_any(&map, NULL); node != NULL;
             node = map_any(&map, node)) {
            thing_of(node)->seen++;
        }
        for (int j = 0; j < THINGS; j++) {
            assert_int_equal(things[j].seen, in[j]);
        }
    }
    map_done(&map);
    free(in);
    free(things);
}

static void the_table_follows_the_number_of_things(void **state)
{
    (void)state;
    struct map map = {0};
    struct thing *things = calloc(THINGS, sizeof(*things));
    for (int i = 0; i < THINGS; i++) {
        assert_int_equal(map_add(&map, &things[i].in_map, (uint64_t)i), OK);
    }
    assert_in_range(map.chain_count, THINGS, 2 * THINGS);
    for (int i = 10; i < THINGS; i++) {
        map_remove(&map, &things[i].in_map);
    }
    assert_in_range(map.chain_count, 16, 128);
    for (int i = 0; i < 10; i++) {
        assert_ptr_equal(map_find(&map, (uint64_t)i), &things[i].in_map);
        map_remove(&map, &things[i].in_map);
    }
    assert_null(map.chains);
    free(things);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_empty_map_finds_nothing),
        cmocka_unit_test(things_of_one_hash_are_told_apart_by_who_asks),
        cmocka_unit_test(what_was_added_and_not_removed_is_found),
        cmocka_unit_test(the_table_follows_the_number_of_things),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
