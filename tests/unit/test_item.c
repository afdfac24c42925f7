/* SPDX-License-Identifier: BSD-3-Clause */
#include "tests/unit/l1_help.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static void an_item_holds_copies_of_key_and_value(void **state)
{
    (void)state;
    char key[] = "name";
    char value[] = "a\0b";
    struct item *item = help_item_value(3, (struct slice){key, 4}, (struct slice){value, 3});
    memset(key, 'x', sizeof key);
    memset(value, 'x', sizeof value);
    assert_true(slice_is(item_key(item), "name"));
    assert_true(slice_equal(item_value(item), (struct slice){"a\0b", 3}));
    assert_int_equal(item_db(item), 3);
    item_release(item);
}

static void a_new_item_never_expires_and_is_not_stamped(void **state)
{
    (void)state;
    struct item *item = help_item_new(0, SLICE_LITERAL("k"), 0);
    assert_int_equal(item_expire_at_ms(item), ITEM_NEVER);
    assert_int_equal(item_stamped_at_ms(item), 0);
    assert_false(item_expired(item, INT64_MAX));
    item_release(item);
}

static void an_item_is_gone_from_the_millisecond_of_its_expiry(void **state)
{
    (void)state;
    struct item *item =
        item_new(&(struct item_spec){.key = SLICE_LITERAL("k"), .expire_at_ms = 1000});
    assert_false(item_expired(item, 999));
    assert_true(item_expired(item, 1000));
    item_release(item);
}

static void a_value_is_written_in_place_before_publishing(void **state)
{
    (void)state;
    struct item *item = help_item_new(0, SLICE_LITERAL("key"), 5);
    memcpy(item_value_room(item), "hello", 5);
    assert_true(slice_is(item_value(item), "hello"));
    assert_true(slice_is(item_key(item), "key"));
    item_release(item);
}

static void empty_keys_and_values_are_items_too(void **state)
{
    (void)state;
    struct item *item = help_item_value(0, (struct slice){0}, (struct slice){0});
    assert_int_equal(item_key(item).size, 0);
    assert_int_equal(item_value(item).size, 0);
    item_release(item);
}

static void an_item_lives_until_its_last_reference_goes(void **state)
{
    (void)state;
    struct item *item = help_item_value(0, SLICE_LITERAL("k"), SLICE_LITERAL("v"));
    assert_ptr_equal(item_ref(item), item);
    item_release(item);
    assert_true(slice_is(item_value(item), "v")); /* a sanitizer objects if it is gone */
    item_release(item);
    item_release(NULL);
}

static void the_footprint_covers_header_key_and_value(void **state)
{
    (void)state;
    struct item *item = help_item_new(0, SLICE_LITERAL("key"), 100);
    assert_true(item_footprint(item) >= sizeof *item + 3 + 100);
    assert_true(item_footprint(item) < sizeof *item + 3 + 100 + 64);
    item_release(item);
}

static void the_longest_key_fits(void **state)
{
    (void)state;
    static char long_key[65535];
    memset(long_key, 'k', sizeof long_key);
    struct item *item =
        help_item_value(0, (struct slice){long_key, sizeof long_key}, SLICE_LITERAL("v"));
    assert_int_equal(item_key(item).size, sizeof long_key);
    assert_true(slice_is(item_value(item), "v"));
    item_release(item);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_item_holds_copies_of_key_and_value),
        cmocka_unit_test(a_new_item_never_expires_and_is_not_stamped),
        cmocka_unit_test(an_item_is_gone_from_the_millisecond_of_its_expiry),
        cmocka_unit_test(a_value_is_written_in_place_before_publishing),
        cmocka_unit_test(empty_keys_and_values_are_items_too),
        cmocka_unit_test(an_item_lives_until_its_last_reference_goes),
        cmocka_unit_test(the_footprint_covers_header_key_and_value),
        cmocka_unit_test(the_longest_key_fits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
