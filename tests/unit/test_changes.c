/* SPDX-License-Identifier: BSD-3-Clause */
#include "server/changes.h"
#include "tests/unit/l1_help.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static struct item *new_item(struct slice key, const char *value)
{
    struct item *item = help_item_value(0, key, slice_of(value));
    assert_non_null(item);
    return item;
}

static struct l1_key key_of(const char *bytes, uint64_t hash)
{
    return (struct l1_key){.bytes = slice_of(bytes), .hash = hash};
}

static void the_last_change_of_a_key_counts(void **state)
{
    (void)state;
    struct changes changes;
    assert_int_equal(changes_open(&changes, 3), OK);
    const struct l1_key a = key_of("a", 7);
    const struct l1_key b = key_of("b", 7); /* the same hash is not the same key */
    struct item *first = item_ref(new_item(a.bytes, "1"));
    struct item *last = new_item(a.bytes, "3");
    changes_add(&changes, &(struct l1_change){.key = a, .item = first});
    changes_add(&changes,
                &(struct l1_change){.key = b, .seen = L1_ANY, .item = new_item(b.bytes, "2")});
    changes_add(&changes, &(struct l1_change){.key = a, .item = last});
    assert_int_equal(changes.count, 2);
    assert_ptr_equal(changes.at[0].item, last);
    assert_true(slice_is(item_value(changes.at[1].item), "2"));
    assert_int_equal(atomic_load(&first->refs), 1); /* the one that was replaced is let go */
    item_release(first);
    changes_close(&changes);
}

static void the_same_key_of_two_databases_is_two_keys(void **state)
{
    (void)state;
    struct changes changes;
    assert_int_equal(changes_open(&changes, 2), OK);
    struct l1_key key = key_of("a", 7);
    changes_add(&changes, &(struct l1_change){.key = key});
    key.db = 1;
    changes_add(&changes, &(struct l1_change){.key = key});
    assert_int_equal(changes.count, 2);
    changes_close(&changes);
}

static void many_changes_keep_one_per_key_in_the_order_of_first_mention(void **state)
{
    (void)state;
    enum {
        KEYS = 500,
        ROUNDS = 3
    };
    static char names[KEYS][8];
    struct changes changes;
    assert_int_equal(changes_open(&changes, (size_t)KEYS * ROUNDS), OK);
    for (int i = 0; i < KEYS * ROUNDS; i++) {
        char *name = names[i % KEYS];
        (void)snprintf(name, sizeof names[0], "k%d", i % KEYS);
        /* Few hashes for many keys: the probing has work to do. */
        const struct l1_key key = key_of(name, (uint64_t)(i % KEYS) % 50);
        changes_add(&changes, &(struct l1_change){.key = key, .item = new_item(key.bytes, name)});
    }
    assert_int_equal(changes.count, KEYS);
    for (int i = 0; i < KEYS; i++) {
        assert_true(slice_is(changes.at[i].key.bytes, names[i]));
    }
    changes_close(&changes);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_last_change_of_a_key_counts),
        cmocka_unit_test(the_same_key_of_two_databases_is_two_keys),
        cmocka_unit_test(many_changes_keep_one_per_key_in_the_order_of_first_mention),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
