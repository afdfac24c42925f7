/* SPDX-License-Identifier: BSD-3-Clause */
#include "protocol/frame.h"
#include "protocol/frame_ban.h"
#include "protocol/limits.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static const struct slice none = {.data = "", .size = 0};

static void an_entry_is_read_as_it_was_written(void **state)
{
    (void)state;
    struct buf name = {0};
    struct buf body = {0};
    assert_int_equal(frame_ban_name(&name, FRAME_BAN_TAG, slice_of("resp"), slice_of("red")), OK);
    assert_int_equal(frame_ban_append(&body, buf_slice(&name), 7, 11, 13), OK);
    assert_int_equal(frame_ban_append_own(&body, buf_slice(&name), false), OK);
    assert_int_equal(frame_ban_append_own(&body, buf_slice(&name), true), OK);
    const uint64_t expected[3][2] = {{11, 13}, {99, 0}, {0, 99}};
    size_t position = 0;
    for (unsigned i = 0; i < 3; i++) {
        struct frame_ban ban;
        assert_int_equal(frame_ban_next(buf_slice(&body), 99, &position, &ban), OK);
        assert_int_equal(ban.kind, FRAME_BAN_TAG);
        assert_true(slice_is(ban.ns, "resp"));
        assert_true(slice_is(ban.text, "red"));
        assert_true(slice_equal(ban.name, buf_slice(&name)));
        assert_int_equal(ban.age_s, i == 0 ? 7 : 0);
        assert_int_equal(ban.hard, expected[i][0]);
        assert_int_equal(ban.soft, expected[i][1]);
    }
    struct frame_ban ban;
    assert_int_equal(frame_ban_next(buf_slice(&body), 99, &position, &ban), AGAIN);
    position = 0; /* it would bind what was written behind it */
    assert_int_equal(frame_ban_next(buf_slice(&body), 12, &position, &ban), MALFORMED);
    assert_int_equal(frame_ban_next(buf_slice(&body), 13, &position, &ban), OK);
    /* Whatever is cut off, or changed to what is no ban, is found. */
    for (size_t size = 1; size < body.size / 3; size++) {
        position = 0;
        assert_int_equal(frame_ban_next((struct slice){body.data, size}, 99, &position, &ban),
                         MALFORMED);
        assert_int_equal(position, 0);
    }
    static const size_t flags_at = 2;
    static const size_t zero_at = 3;
    body.data[flags_at] = 4;
    position = 0;
    assert_int_equal(frame_ban_next(buf_slice(&body), 99, &position, &ban), MALFORMED);
    body.data[flags_at] = 0;
    body.data[zero_at] = 1;
    assert_int_equal(frame_ban_next(buf_slice(&body), 99, &position, &ban), MALFORMED);
    buf_done(&name);
    buf_done(&body);
}

static void what_is_no_ban_has_no_name(void **state)
{
    (void)state;
    char long_text[FRAME_BAN_TEXT_MAX + 1];
    memset(long_text, 'x', sizeof long_text);
    const struct slice too_long = {long_text, sizeof long_text};
    const struct slice longest = {long_text, FRAME_BAN_TEXT_MAX};
    const struct {
        enum frame_ban_kind kind;
        struct slice ns;
        struct slice text;
        enum status status;
    } rows[] = {
        {FRAME_BAN_PREFIX, none, none, OK},
        {FRAME_BAN_PREFIX, none, longest, OK},
        {FRAME_BAN_PREFIX, none, too_long, MALFORMED},
        {FRAME_BAN_GLOB, none, too_long, MALFORMED},
        {FRAME_BAN_TAG, none, none, MALFORMED},
        {FRAME_BAN_TAG, none, {long_text, FRAME_BAN_TAG_MAX}, OK},
        {FRAME_BAN_TAG, none, {long_text, FRAME_BAN_TAG_MAX + 1}, MALFORMED},
        {FRAME_BAN_TAG, {long_text, FRAME_BAN_NS_MAX}, slice_of("t"), OK},
        {FRAME_BAN_TAG, {long_text, FRAME_BAN_NS_MAX + 1}, slice_of("t"), MALFORMED},
        {FRAME_BAN_LOST, none, none, OK},
        {FRAME_BAN_LOST, none, slice_of("x"), MALFORMED},
        {FRAME_BAN_ALL_TAGS, none, slice_of("\1a\1b"), OK},
        {FRAME_BAN_ALL_TAGS, none, slice_of("\1b\1a"), MALFORMED}, /* sorted, */
        {FRAME_BAN_ALL_TAGS, none, slice_of("\1a\1a"), MALFORMED}, /* each once, */
        {FRAME_BAN_ALL_TAGS, none, slice_of("\1a"), MALFORMED},    /* two at least */
        {FRAME_BAN_ALL_TAGS, none, slice_of("\1a\2b"), MALFORMED},
        {(enum frame_ban_kind)'X', none, slice_of("x"), MALFORMED},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct buf name = {0};
        assert_int_equal(frame_ban_name(&name, rows[i].kind, rows[i].ns, rows[i].text),
                         rows[i].status);
        assert_true((name.size > 0) == (rows[i].status == OK));
        buf_done(&name);
    }
}

static void tags_of_a_conjunction_are_appended_and_read(void **state)
{
    (void)state;
    struct buf text = {0};
    static const char *const tags[] = {"a", "ab", "b"};
    for (unsigned i = 0; i < 3; i++) {
        assert_int_equal(frame_ban_append_tag(&text, slice_of(tags[i])), OK);
    }
    assert_int_equal(frame_ban_append_tag(&text, none), MALFORMED);
    size_t position = 0;
    struct slice tag;
    for (unsigned i = 0; i < 3; i++) {
        assert_int_equal(frame_ban_next_tag(buf_slice(&text), &position, &tag), OK);
        assert_true(slice_is(tag, tags[i]));
        assert_true(i == 0 || frame_ban_compare_tags(slice_of(tags[i - 1]), tag) < 0);
    }
    assert_int_equal(frame_ban_next_tag(buf_slice(&text), &position, &tag), AGAIN);
    buf_done(&text);
}

static void a_body_ends_where_a_frame_is_full(void **state)
{
    (void)state;
    char text[FRAME_BAN_TEXT_MAX];
    memset(text, 'x', sizeof text);
    struct buf name = {0};
    struct buf body = {0};
    assert_int_equal(
        frame_ban_name(&name, FRAME_BAN_PREFIX, none, (struct slice){text, sizeof text}), OK);
    enum status status = OK;
    unsigned count = 0;
    while ((status = frame_ban_append(&body, buf_slice(&name), 0, 1, 0)) == OK) {
        count++;
    }
    assert_int_equal(status, TOO_BIG);
    assert_int_equal(count, 62);
    struct buf out = {0};
    const struct frame frame = {.type = FRAME_PREFIX, .count = count, .body = buf_slice(&body)};
    assert_int_equal(frame_write(&out, &frame), OK);
    assert_true(out.size <= LIMIT_FRAME);
    buf_done(&out);
    buf_done(&name);
    buf_done(&body);
}

static void a_seq_that_scripts_cannot_count_to_is_malformed(void **state)
{
    (void)state;
    struct buf name = {0};
    struct buf body = {0};
    assert_int_equal(frame_ban_name(&name, FRAME_BAN_TAG, none, slice_of("t")), OK);
    assert_int_equal(frame_ban_append(&body, buf_slice(&name), 0, UINT64_C(1) << 53, 0), OK);
    size_t position = 0;
    struct frame_ban ban;
    assert_int_equal(frame_ban_next(buf_slice(&body), 1, &position, &ban), MALFORMED);
    buf_done(&name);
    buf_done(&body);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_entry_is_read_as_it_was_written),
        cmocka_unit_test(what_is_no_ban_has_no_name),
        cmocka_unit_test(tags_of_a_conjunction_are_appended_and_read),
        cmocka_unit_test(a_body_ends_where_a_frame_is_full),
        cmocka_unit_test(a_seq_that_scripts_cannot_count_to_is_malformed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
