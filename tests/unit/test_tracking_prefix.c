/* SPDX-License-Identifier: BSD-3-Clause */
#include "server/tracking_prefix.h"
#include "tiers/base/rand.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum {
    MANY = 10000,
    KEYS = 2000,
    TEXT_MAX = 12
};

static struct slice found[64];

static size_t walk(const struct prefix_index *index, struct slice key)
{
    struct prefix_walk walk = {.key = key};
    struct tracking_prefix *prefix;
    size_t count = 0;
    while ((prefix = prefix_index_next(index, &walk)) != NULL) {
        assert_true(count < sizeof(found) / sizeof(found[0]));
        found[count++] = tracking_prefix_bytes(prefix);
    }
    return count;
}

static void the_prefixes_of_a_key_come_from_the_shortest_on(void **state)
{
    static const char *const texts[] = {"", "user:", "user:7:", "user:8:", "use", "userland"};
    struct tracking_prefix *prefixes[6];
    struct prefix_index index;
    (void)state;
    prefix_index_open(&index, 12345);
    assert_int_equal(walk(&index, slice_of("user:7:name")), 0);
    for (size_t i = 0; i < 6; i++) {
        prefixes[i] = prefix_index_take(&index, slice_of(texts[i]));
        assert_ptr_equal(prefix_index_take(&index, slice_of(texts[i])), prefixes[i]);
    }
    assert_int_equal(walk(&index, slice_of("user:7:name")), 4);
    assert_true(slice_is(found[1], "use") && slice_is(found[3], "user:7:"));
    assert_int_equal(walk(&index, slice_of("use")), 2);
    assert_int_equal(walk(&index, slice_of("")), 1);
    prefix_index_drop(&index, prefixes[4]);
    assert_int_equal(walk(&index, slice_of("user:7:name")), 3);
    prefixes[4] = prefixes[5];
    for (size_t i = 0; i < 5; i++) {
        prefix_index_drop(&index, prefixes[i]);
    }
    prefix_index_done(&index);
}

static struct slice random_text(struct rand *rand, char *room, size_t most)
{
    const size_t size = rand_next(rand) % (most + 1);
    for (size_t i = 0; i < size; i++) {
        room[i] = "ab\0"[rand_next(rand) % 3];
    }
    return (struct slice){room, size};
}

/* Against a look at each. */
static void many_are_found_as_one_by_one(void **state)
{
    struct tracking_prefix **prefixes = calloc(MANY, sizeof(struct tracking_prefix *));
    struct prefix_index index;
    struct rand rand;
    char room[TEXT_MAX];
    size_t count = 0;
    (void)state;
    rand_seed(&rand, 7);
    prefix_index_open(&index, rand_next(&rand));
    for (size_t i = 0; i < MANY; i++) {
        const struct slice bytes = random_text(&rand, room, 8);
        const size_t before = index.prefixes.count;
        struct tracking_prefix *prefix = prefix_index_take(&index, bytes);
        if (index.prefixes.count > before) {
            prefixes[count++] = prefix;
        }
    }
    for (size_t i = 0; i < KEYS; i++) {
        const struct slice key = random_text(&rand, room, TEXT_MAX);
        size_t expected = 0;
        for (size_t j = 0; j < count; j++) {
            const struct slice prefix = tracking_prefix_bytes(prefixes[j]);
            expected += prefix.size <= key.size && memcmp(prefix.data, key.data, prefix.size) == 0;
        }
        assert_int_equal(walk(&index, key), expected);
        if (i % 4 == 0 && count > 0) {
            prefix_index_drop(&index, prefixes[--count]);
        }
    }
    while (count > 0) {
        prefix_index_drop(&index, prefixes[--count]);
    }
    prefix_index_done(&index);
    free(prefixes);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_prefixes_of_a_key_come_from_the_shortest_on),
        cmocka_unit_test(many_are_found_as_one_by_one),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
