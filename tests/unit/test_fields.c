/* SPDX-License-Identifier: BSD-3-Clause */
#include "tests/unit/fields_ops.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static struct fields_draft open_draft(const struct hash_secret *secret)
{
    struct fields_draft draft;
    assert_int_equal(fields_open(&draft, secret, (struct slice){0}, 0), OK);
    return draft;
}

static bool set(struct fields_draft *draft, const char *field, const char *value)
{
    bool is_new = false;
    assert_int_equal(fields_set(draft, slice_of(field), slice_of(value), &is_new), OK);
    return is_new;
}

static bool set_numbered(struct fields_draft *draft, unsigned n, const char *value)
{
    char name[16];
    (void)snprintf(name, sizeof name, "field%u", n);
    return set(draft, name, value);
}

static bool holds(const struct fields_draft *draft, const char *field, const char *value)
{
    struct slice found;
    return fields_find(fields_bytes(draft), draft->secret, slice_of(field), &found) == OK &&
           slice_is(found, value);
}

/* Names and values in their order, as "a=1 b=2 ". */
static void expect_order(const struct fields_draft *draft, const char *expected)
{
    char text[256] = "";
    struct fields_pair pair;
    for (size_t at = 0; fields_next(fields_bytes(draft), &at, &pair);) {
        const size_t size = strlen(text);
        (void)snprintf(text + size, sizeof text - size, "%.*s=%.*s ", (int)pair.field.size,
                       pair.field.data, (int)pair.value.size, pair.value.data);
    }
    assert_string_equal(text, expected);
}

static void few_fields_keep_their_order_whatever_their_values_become(void **state)
{
    (void)state;
    const struct hash_secret secret = ops_secret();
    struct fields_draft draft = open_draft(&secret);
    assert_true(set(&draft, "a", "1"));
    assert_true(set(&draft, "b", "2"));
    assert_true(set(&draft, "", ""));
    assert_false(set(&draft, "a", "longer"));
    expect_order(&draft, "a=longer b=2 = ");
    assert_false(set(&draft, "b", ""));
    assert_true(fields_remove(&draft, SLICE_LITERAL("a")));
    assert_false(fields_remove(&draft, SLICE_LITERAL("a")));
    expect_order(&draft, "b= = ");
    assert_int_equal(fields_count(fields_bytes(&draft)), 2);
    assert_true(holds(&draft, "", ""));
    assert_false(holds(&draft, "a", "longer"));
    fields_close(&draft);
}

static void sizes_around_the_width_of_a_size_come_back(void **state)
{
    (void)state;
    static char text[70000];
    static const unsigned sizes[] = {0, 1, 252, 253, 254, 255, 256, 257, 258, 259, 65535, 70000};
    const struct hash_secret secret = ops_secret();
    struct fields_draft draft = open_draft(&secret);
    bool is_new = false;
    memset(text, 'x', sizeof text);
    for (unsigned many = 0; many < 2; many++) {
        for (unsigned i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
            char name[300] = {0};
            const struct slice field = {name, 3 + i * 23};
            name[0] = (char)i;
            assert_int_equal(fields_set(&draft, field, (struct slice){text, sizes[i]}, &is_new),
                             OK);
            struct slice found;
            assert_int_equal(fields_find(fields_bytes(&draft), &secret, field, &found), OK);
            assert_int_equal(found.size, sizes[i]);
            assert_int_equal(fields_set(&draft, field, SLICE_LITERAL("short"), &is_new), OK);
            assert_false(is_new); /* leaves a gap of each size where there are many */
        }
        for (unsigned i = 0; i < 2 * FIELDS_FEW; i++) {
            set_numbered(&draft, i, "v");
        }
    }
    ops_check_whole(&draft);
    fields_close(&draft);
}

static void an_index_comes_with_many_fields_and_goes_with_few(void **state)
{
    (void)state;
    const struct hash_secret secret = ops_secret();
    struct fields_draft draft = open_draft(&secret);
    for (unsigned i = 0; i < 10000; i++) {
        assert_true(set_numbered(&draft, i, "value"));
    }
    assert_int_equal(fields_count(fields_bytes(&draft)), 10000);
    ops_check_whole(&draft);
    const size_t full = fields_bytes(&draft).size;
    assert_in_range(full, 10000 * 15, 10000 * 32);
    for (unsigned i = 0; i < 9950; i++) {
        char name[16];
        (void)snprintf(name, sizeof name, "field%u", i);
        assert_true(fields_remove(&draft, slice_of(name)));
    }
    assert_true(holds(&draft, "field9950", "value"));
    ops_check_whole(&draft);
    assert_true(fields_bytes(&draft).size < 2000);
    fields_close(&draft);
}

static void a_draft_begins_with_a_copy(void **state)
{
    (void)state;
    const struct hash_secret secret = ops_secret();
    struct fields_draft first = open_draft(&secret);
    for (unsigned i = 0; i < 700; i++) {
        set_numbered(&first, i, "old");
    }
    struct fields_draft second;
    assert_int_equal(fields_open(&second, &secret, fields_bytes(&first), 10), OK);
    set(&second, "field7", "newer");
    assert_true(holds(&first, "field7", "old"));
    assert_true(holds(&second, "field7", "newer"));
    fields_close(&first);
    ops_check_whole(&second);
    fields_close(&second);
}

struct seen {
    unsigned times[4000];
    unsigned count;
};

static void on_visit(void *arg, const struct fields_pair *pair)
{
    struct seen *seen = arg;
    unsigned n = 0;
    char name[16] = {0};
    memcpy(name, pair->field.data, pair->field.size);
    assert_int_equal(sscanf(name, "field%u", &n), 1);
    seen->times[n]++;
    seen->count++;
}

static void a_walk_meets_every_field_once_and_does_little_per_step(void **state)
{
    (void)state;
    static struct seen seen;
    memset(&seen, 0, sizeof seen);
    const struct hash_secret secret = ops_secret();
    struct fields_draft draft = open_draft(&secret);
    for (unsigned i = 0; i < 1000; i++) {
        set_numbered(&draft, i, "v");
    }
    uint64_t cursor = 0;
    unsigned steps = 0;
    do {
        const unsigned before = seen.count;
        cursor = fields_scan(fields_bytes(&draft), &secret, cursor, 10, on_visit, &seen);
        assert_true(seen.count - before < 100);
        steps++;
    } while (cursor != 0);
    assert_in_range(steps, 20, 101);
    for (unsigned i = 0; i < 1000; i++) {
        assert_int_equal(seen.times[i], 1);
    }
    fields_close(&draft);
}

static void a_walk_meets_what_was_there_all_the_time_while_it_grows_and_shrinks(void **state)
{
    (void)state;
    static struct seen seen;
    const struct hash_secret secret = ops_secret();
    for (unsigned round = 0; round < 2; round++) {
        struct fields_draft draft = open_draft(&secret);
        unsigned next = 600;
        uint64_t cursor = 0;
        memset(&seen, 0, sizeof seen);
        for (unsigned i = 0; i < (round == 0 ? 600u : 4000u); i++) {
            set_numbered(&draft, i, "v");
        }
        do {
            cursor = fields_scan(fields_bytes(&draft), &secret, cursor, 20, on_visit, &seen);
            for (unsigned i = 0; i < 150 && next < 4000; i++, next++) {
                char name[16];
                (void)snprintf(name, sizeof name, "field%u", next);
                if (round == 0) {
                    set(&draft, name, "w");
                } else {
                    assert_true(fields_remove(&draft, slice_of(name)));
                }
            }
        } while (cursor != 0);
        assert_int_equal(next, 4000);
        for (unsigned i = 0; i < 600; i++) {
            assert_true(seen.times[i] >= 1);
        }
        fields_close(&draft);
    }
}

static void any_cursor_is_a_place_to_go_on(void **state)
{
    (void)state;
    static struct seen seen;
    static const uint64_t cursors[] = {1, UINT32_MAX, UINT64_C(1) << 32, UINT64_MAX, 12345};
    const struct hash_secret secret = ops_secret();
    struct fields_draft draft = open_draft(&secret);
    for (unsigned i = 0; i < 600; i++) {
        set_numbered(&draft, i, "v");
    }
    for (unsigned i = 0; i < sizeof cursors / sizeof cursors[0]; i++) {
        memset(&seen, 0, sizeof seen);
        uint64_t cursor = cursors[i];
        for (unsigned steps = 0; steps == 0 || cursor != 0; steps++) {
            assert_true(steps < 100);
            cursor = fields_scan(fields_bytes(&draft), &secret, cursor, 50, on_visit, &seen);
        }
    }
    fields_close(&draft);
}

static enum status read_reply(const char *reply, struct fields_draft *draft)
{
    static struct hash_secret secret;
    secret = ops_secret();
    *draft = open_draft(&secret);
    return fields_read_scan(draft, slice_of(reply));
}

static void what_redis_says_to_hscan_becomes_fields_in_its_order(void **state)
{
    (void)state;
    struct fields_draft draft;
    assert_int_equal(
        read_reply("*2\r\n$1\r\n0\r\n*4\r\n$1\r\nz\r\n$1\r\n1\r\n$1\r\na\r\n$0\r\n\r\n", &draft),
        OK);
    expect_order(&draft, "z=1 a= ");
    fields_close(&draft);
    assert_int_equal(read_reply("*2\r\n$1\r\n0\r\n*0\r\n", &draft), MISS);
    fields_close(&draft);
    assert_int_equal(read_reply("*2\r\n$2\r\n17\r\n*2\r\n$1\r\na\r\n$1\r\nb\r\n", &draft), TOO_BIG);
    fields_close(&draft);
}

static void a_reply_that_is_no_hash_is_malformed(void **state)
{
    (void)state;
    static const char *const replies[] = {
        "",
        "+OK\r\n",
        "*2\r\n$1\r\n0\r\n",
        "*3\r\n$1\r\n0\r\n*0\r\n*0\r\n",
        "*2\r\n:0\r\n*0\r\n",
        "*2\r\n$1\r\n0\r\n*1\r\n$1\r\na\r\n",
        "*2\r\n$1\r\n0\r\n*2\r\n$1\r\na\r\n:1\r\n",
        "*2\r\n$1\r\n0\r\n*4\r\n$1\r\na\r\n$1\r\nb\r\n",
        "*2\r\n$1\r\n0\r\n*2\r\n$1\r\na\r\n$-1\r\n",
        "*-1\r\n",
    };
    for (unsigned i = 0; i < sizeof replies / sizeof replies[0]; i++) {
        struct fields_draft draft;
        assert_int_equal(read_reply(replies[i], &draft), MALFORMED);
        fields_close(&draft);
    }
}

static void what_is_beyond_the_limit_changes_nothing(void **state)
{
    (void)state;
    const struct hash_secret secret = ops_secret();
    struct fields_draft draft = open_draft(&secret);
    bool is_new = false;
    set(&draft, "a", "1");
    const struct slice huge = {"never read", FIELDS_BYTES_MAX};
    assert_int_equal(fields_set(&draft, SLICE_LITERAL("b"), huge, &is_new), TOO_BIG);
    assert_int_equal(fields_set(&draft, huge, huge, &is_new), TOO_BIG);
    expect_order(&draft, "a=1 ");
    fields_close(&draft);
}

static void random_changes_are_those_of_a_naive_list(void **state)
{
    (void)state;
    uint64_t random = 88172645463325252;
    for (unsigned run = 0; run < 60; run++) {
        uint8_t input[6000];
        for (size_t i = 0; i < sizeof input; i++) {
            random ^= random << 13;
            random ^= random >> 7;
            random ^= random << 17;
            input[i] = (uint8_t)(random >> 32);
        }
        fields_ops_run(input, sizeof input);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(few_fields_keep_their_order_whatever_their_values_become),
        cmocka_unit_test(sizes_around_the_width_of_a_size_come_back),
        cmocka_unit_test(an_index_comes_with_many_fields_and_goes_with_few),
        cmocka_unit_test(a_draft_begins_with_a_copy),
        cmocka_unit_test(a_walk_meets_every_field_once_and_does_little_per_step),
        cmocka_unit_test(a_walk_meets_what_was_there_all_the_time_while_it_grows_and_shrinks),
        cmocka_unit_test(any_cursor_is_a_place_to_go_on),
        cmocka_unit_test(what_redis_says_to_hscan_becomes_fields_in_its_order),
        cmocka_unit_test(a_reply_that_is_no_hash_is_malformed),
        cmocka_unit_test(what_is_beyond_the_limit_changes_nothing),
        cmocka_unit_test(random_changes_are_those_of_a_naive_list),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
