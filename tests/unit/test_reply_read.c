/* SPDX-License-Identifier: BSD-3-Clause */
#include "protocol/limits.h"
#include "protocol/resp_read.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* Steele, Lea, Flood: Fast Splittable Pseudorandom Number Generators (2014). */
static uint64_t random_next(uint64_t *seed)
{
    uint64_t word = (*seed += UINT64_C(0x9e3779b97f4a7c15));
    word = (word ^ (word >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    word = (word ^ (word >> 27)) * UINT64_C(0x94d049bb133111eb);
    return word ^ (word >> 31);
}

static size_t random_below(uint64_t *seed, size_t limit)
{
    return (size_t)(random_next(seed) % limit);
}

/* Frames the first `size` bytes at an address of their own: the sanitizer sees every step beyond. */
static enum status frame_moved(struct reply_framer *framer, struct slice stream, size_t size,
                               size_t *ret_size)
{
    char *copy = malloc(size > 0 ? size : 1);
    assert_non_null(copy);
    if (size > 0) {
        memcpy(copy, stream.data, size);
    }
    const enum status status = reply_frame(framer, (struct slice){copy, size}, ret_size);
    free(copy);
    return status;
}

/* One reply followed by other bytes: found whole, and with every cut, and byte by byte. */
static void expect_reply(struct slice reply)
{
    struct reply_framer framer = {0};
    size_t size = 0;
    struct buf stream = {0};
    assert_int_equal(buf_append_slice(&stream, reply), OK);
    assert_int_equal(buf_append_slice(&stream, SLICE_LITERAL("+next\r\n")), OK);
    assert_int_equal(frame_moved(&framer, buf_slice(&stream), stream.size, &size), OK);
    assert_int_equal(size, reply.size);
    assert_true(framer.left == 0 && framer.at == 0 && framer.scanned == 0);

    for (size_t cut = 0; cut < reply.size && reply.size < 1000; cut++) {
        size = 0;
        assert_int_equal(frame_moved(&framer, reply, cut, &size), AGAIN);
        assert_int_equal(frame_moved(&framer, reply, reply.size, &size), OK);
        assert_int_equal(size, reply.size);
    }
    for (size_t cut = 0; cut < reply.size; cut += reply.size < 1000 ? 1 : 97) {
        assert_int_equal(frame_moved(&framer, reply, cut, &size), AGAIN);
    }
    size = 0;
    assert_int_equal(frame_moved(&framer, reply, reply.size, &size), OK);
    assert_int_equal(size, reply.size);
    buf_done(&stream);

    struct reply_cursor cursor = {.rest = reply};
    assert_int_equal(reply_skip(&cursor), OK);
    assert_int_equal(cursor.rest.size, 0);
    assert_int_equal(reply_skip(&cursor), AGAIN);
}

/* Wrong wherever it is cut: never OK, and MALFORMED when all is there. */
static void expect_malformed(struct slice reply)
{
    struct reply_framer framer = {0};
    size_t size = 0;
    assert_int_equal(frame_moved(&framer, reply, reply.size, &size), MALFORMED);
    framer = (struct reply_framer){0};
    enum status status = AGAIN;
    for (size_t cut = 0; cut <= reply.size && status == AGAIN; cut++) {
        status = frame_moved(&framer, reply, cut, &size);
    }
    assert_int_equal(status, MALFORMED);
    struct reply_cursor cursor = {.rest = reply};
    assert_int_equal(reply_skip(&cursor), MALFORMED);
    assert_true(slice_equal(cursor.rest, reply));
}

#define EXPECT_REPLY(text)     expect_reply(SLICE_LITERAL(text))
#define EXPECT_MALFORMED(text) expect_malformed(SLICE_LITERAL(text))

static void every_type_is_framed(void **state)
{
    (void)state;
    EXPECT_REPLY("+OK\r\n");
    EXPECT_REPLY("+\r\n");
    EXPECT_REPLY("-ERR no\r\n");
    EXPECT_REPLY(":-12\r\n");
    EXPECT_REPLY("$0\r\n\r\n");
    EXPECT_REPLY("$-1\r\n");
    EXPECT_REPLY("$6\r\n\r\n+OK\r\r\n");
    EXPECT_REPLY("$12\r\nabcdefghijkl\r\n");
    EXPECT_REPLY("*0\r\n");
    EXPECT_REPLY("*-1\r\n");
    EXPECT_REPLY("*2\r\n:1\r\n$1\r\na\r\n");
    EXPECT_REPLY("_\r\n");
    EXPECT_REPLY("#t\r\n");
    EXPECT_REPLY("#f\r\n");
    EXPECT_REPLY(",3.25\r\n");
    EXPECT_REPLY(",-inf\r\n");
    EXPECT_REPLY("(3492890328409238509324850943850943825024385\r\n");
    EXPECT_REPLY("!21\r\nSYNTAX invalid syntax\r\n");
    EXPECT_REPLY("=15\r\ntxt:Some string\r\n");
    EXPECT_REPLY("%0\r\n");
    EXPECT_REPLY("%2\r\n+a\r\n:1\r\n+b\r\n*1\r\n:2\r\n");
    EXPECT_REPLY("~2\r\n+a\r\n+b\r\n");
    EXPECT_REPLY(">3\r\n+message\r\n+channel\r\n$1\r\nx\r\n");
}

static void attributes_belong_to_the_reply_behind_them(void **state)
{
    (void)state;
    EXPECT_REPLY("|1\r\n+ttl\r\n:3600\r\n:7\r\n");
    EXPECT_REPLY("|0\r\n+OK\r\n");
    EXPECT_REPLY("|1\r\n+a\r\n:1\r\n|1\r\n+b\r\n:2\r\n*1\r\n:3\r\n");
    EXPECT_REPLY("*2\r\n|1\r\n+a\r\n*1\r\n:0\r\n:1\r\n:2\r\n");
}

static void what_is_no_reply_is_refused(void **state)
{
    (void)state;
    EXPECT_MALFORMED("x\r\n");
    EXPECT_MALFORMED("\r\n");
    EXPECT_MALFORMED("\0");
    EXPECT_MALFORMED(":\r\n");
    EXPECT_MALFORMED(":1a\r\n");
    EXPECT_MALFORMED("$-2\r\n");
    EXPECT_MALFORMED("$?\r\n");
    EXPECT_MALFORMED("$01\r\na\r\n");
    EXPECT_MALFORMED("$1\r\nab\r\n");
    EXPECT_MALFORMED("$3\nabc\r\n");
    EXPECT_MALFORMED("$18446744073709551615\r\n");
    EXPECT_MALFORMED("*-2\r\n");
    EXPECT_MALFORMED("*?\r\n");
    EXPECT_MALFORMED("%-1\r\n");
    EXPECT_MALFORMED("#x\r\n");
    EXPECT_MALFORMED("#\r\n");
    EXPECT_MALFORMED("_x\r\n");
    EXPECT_MALFORMED(",\r\n");
    EXPECT_MALFORMED("(\r\n");
    EXPECT_MALFORMED("!-1\r\n");
    EXPECT_MALFORMED("=3\r\ntxt\r\n");
    EXPECT_MALFORMED("=4\r\ntext\r\n");
    EXPECT_MALFORMED("*2\r\n:1\r\nx\r\n");
}

static void counts_never_overflow(void **state)
{
    (void)state;
    EXPECT_MALFORMED("*9223372036854775807\r\n");
    EXPECT_MALFORMED("%9223372036854775807\r\n");
    EXPECT_MALFORMED("*281474976710656\r\n*281474976710656\r\n");
    struct reply_framer framer = {0};
    size_t size = 0;
    assert_int_equal(reply_frame(&framer, SLICE_LITERAL("*1000000000\r\n"), &size), AGAIN);
}

static void a_line_of_text_may_be_long_but_a_number_may_not(void **state)
{
    (void)state;
    const size_t size = 300000;
    char *bytes = malloc(size);
    assert_non_null(bytes);
    memset(bytes, '1', size);
    bytes[size - 2] = '\r';
    bytes[size - 1] = '\n';
    bytes[0] = '+';
    expect_reply((struct slice){bytes, size});
    bytes[0] = '-';
    expect_reply((struct slice){bytes, size});
    struct reply_framer framer = {0};
    size_t used = 0;
    bytes[0] = '$';
    assert_int_equal(reply_frame(&framer, (struct slice){bytes, LIMIT_INLINE + 1}, &used),
                     MALFORMED);
    framer = (struct reply_framer){0};
    assert_int_equal(reply_frame(&framer, (struct slice){bytes, LIMIT_INLINE}, &used), AGAIN);
    assert_int_equal(reply_frame(&framer, (struct slice){bytes, size}, &used), MALFORMED);
    free(bytes);
}

static void lone_line_ends_are_part_of_a_text(void **state)
{
    (void)state;
    EXPECT_REPLY("+a\rb\nc\r\r\n");
    struct reply_cursor cursor = {.rest = SLICE_LITERAL("+a\rb\nc\r\r\n")};
    struct reply_element element;
    assert_int_equal(reply_next(&cursor, &element), OK);
    assert_true(slice_is(element.text, "a\rb\nc\r"));
}

/* `depth` aggregates of one type in one another; the innermost is an integer. */
static struct buf nested(const char *head, unsigned depth)
{
    struct buf stream = {0};
    for (unsigned i = 0; i < depth; i++) {
        assert_int_equal(buf_append_slice(&stream, slice_of(head)), OK);
    }
    assert_int_equal(buf_append_slice(&stream, SLICE_LITERAL(":7\r\n")), OK);
    return stream;
}

static void replies_of_both_protocols_may_nest_a_thousand_deep(void **state)
{
    (void)state;
    static const char *const heads[] = {
        "*1\r\n",
        "~1\r\n",
        ">1\r\n",
        "%1\r\n+k\r\n",
        "*3\r\n$1\r\na\r\n_\r\n",
        "|1\r\n+k\r\n:1\r\n",
    };
    for (size_t i = 0; i < sizeof heads / sizeof heads[0]; i++) {
        struct buf stream = nested(heads[i], 1000);
        expect_reply(buf_slice(&stream));
        struct reply_cursor cursor = {.rest = buf_slice(&stream)};
        struct reply_element element = {.type = REPLY_NULL};
        unsigned aggregates = 0;
        while (reply_next(&cursor, &element) == OK) {
            aggregates += strchr("*~>%|", (int)element.type) != NULL ? 1 : 0;
        }
        assert_int_equal(aggregates, 1000);
        assert_int_equal(cursor.rest.size, 0);
        assert_int_equal(element.number, 7);
        buf_done(&stream);
    }
}

static struct reply_element next(struct reply_cursor *cursor)
{
    struct reply_element element;
    assert_int_equal(reply_next(cursor, &element), OK);
    return element;
}

static void a_cursor_walks_elements_in_order(void **state)
{
    (void)state;
    struct reply_cursor cursor = {
        .rest = SLICE_LITERAL("*4\r\n+OK\r\n*2\r\n:-5\r\n$3\r\na\r\n\r\n-ERR x\r\n$-1\r\n")};
    struct reply_element element = next(&cursor);
    assert_int_equal(element.type, REPLY_ARRAY);
    assert_int_equal(element.number, 4);
    element = next(&cursor);
    assert_int_equal(element.type, REPLY_STATUS);
    assert_true(slice_is(element.text, "OK"));
    assert_int_equal(next(&cursor).number, 2);
    element = next(&cursor);
    assert_int_equal(element.type, REPLY_INTEGER);
    assert_int_equal(element.number, -5);
    element = next(&cursor);
    assert_int_equal(element.type, REPLY_BULK);
    assert_true(slice_is(element.text, "a\r\n"));
    element = next(&cursor);
    assert_int_equal(element.type, REPLY_ERROR);
    assert_true(slice_is(element.text, "ERR x"));
    assert_int_equal(next(&cursor).type, REPLY_NULL);
    assert_int_equal(reply_next(&cursor, &element), AGAIN);
}

static void a_cursor_reads_what_only_resp3_has(void **state)
{
    (void)state;
    struct reply_cursor cursor = {
        .rest = SLICE_LITERAL(
            "%2\r\n#t\r\n#f\r\n,1.5\r\n(12\r\n=7\r\nmkd:abc\r\n!3\r\nERR\r\n_\r\n*-1\r\n")};
    struct reply_element element = next(&cursor);
    assert_int_equal(element.type, REPLY_MAP);
    assert_int_equal(element.number, 4);
    assert_int_equal(next(&cursor).number, 1);
    assert_int_equal(next(&cursor).number, 0);
    assert_true(slice_is(next(&cursor).text, "1.5"));
    assert_true(slice_is(next(&cursor).text, "12"));
    element = next(&cursor);
    assert_int_equal(element.type, REPLY_VERBATIM);
    assert_true(slice_is(element.text, "abc"));
    element = next(&cursor);
    assert_int_equal(element.type, REPLY_BULK_ERROR);
    assert_true(slice_is(element.text, "ERR"));
    assert_int_equal(next(&cursor).type, REPLY_NULL);
    assert_int_equal(next(&cursor).type, REPLY_NULL);
}

static void skipping_steps_over_all_that_an_element_holds(void **state)
{
    (void)state;
    struct reply_cursor cursor = {
        .rest = SLICE_LITERAL("*2\r\n*2\r\n:1\r\n*1\r\n$1\r\nx\r\n+after\r\n")};
    assert_int_equal(next(&cursor).number, 2);
    assert_int_equal(reply_skip(&cursor), OK);
    assert_true(slice_is(next(&cursor).text, "after"));
}

static void a_cut_reply_is_malformed_for_a_cursor(void **state)
{
    (void)state;
    const struct slice whole = SLICE_LITERAL("$5\r\nhello\r\n");
    for (size_t size = 1; size < whole.size; size++) {
        struct reply_cursor cursor = {.rest = {whole.data, size}};
        struct reply_element element;
        assert_int_equal(reply_next(&cursor, &element), MALFORMED);
        assert_int_equal(cursor.rest.size, size);
    }
}

/* Appends one random reply, nested as long as `depth` lasts. */
static void append_random_reply(struct buf *stream, uint64_t *seed,
                                unsigned depth) // NOLINT(misc-no-recursion)
{
    static const char *const flat[] = {
        "+OK\r\n",
        "-ERR a b\r\n",
        ":123\r\n",
        "$0\r\n\r\n",
        "$-1\r\n",
        "*-1\r\n",
        "_\r\n",
        "#t\r\n",
        ",inf\r\n",
        "(99999\r\n",
        "!3\r\nE\r\n\r\n",
        "=5\r\ntxt:x\r\n",
        "$4\r\n\r\n+x\r\n",
        "$11\r\nabcdefghijk\r\n",
        "*0\r\n",
    };
    static const char aggregates[] = "*%~>|";
    if (depth == 0 || random_below(seed, 3) > 0) {
        const size_t which = random_below(seed, sizeof flat / sizeof flat[0]);
        assert_int_equal(buf_append_slice(stream, slice_of(flat[which])), OK);
        return;
    }
    const char type = aggregates[random_below(seed, sizeof aggregates - 1)];
    const size_t count = random_below(seed, 4);
    assert_int_equal(buf_printf(stream, "%c%zu\r\n", type, count), OK);
    size_t children = type == '%' || type == '|' ? count * 2 : count;
    children += type == '|' ? 1 : 0;
    for (size_t i = 0; i < children; i++) {
        append_random_reply(stream, seed, depth - 1);
    }
}

static void random_replies_are_framed_the_same_however_they_are_cut(void **state)
{
    (void)state;
    for (uint64_t round = 1; round <= 300; round++) {
        uint64_t seed = round;
        struct buf stream = {0};
        append_random_reply(&stream, &seed, 5);
        const struct slice reply = buf_slice(&stream);
        if (reply.size < 1500) {
            expect_reply(reply);
        }
        struct reply_framer framer = {0};
        size_t size = 0;
        size_t arrived = 0;
        enum status status = AGAIN;
        while (status == AGAIN && arrived < reply.size) {
            arrived += 1 + random_below(&seed, 20);
            arrived = arrived < reply.size ? arrived : reply.size;
            status = frame_moved(&framer, reply, arrived, &size);
        }
        if (status != OK || size != reply.size) {
            print_error("replay with seed %llu\n", (unsigned long long)round);
            fail();
        }
        buf_done(&stream);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_type_is_framed),
        cmocka_unit_test(attributes_belong_to_the_reply_behind_them),
        cmocka_unit_test(what_is_no_reply_is_refused),
        cmocka_unit_test(counts_never_overflow),
        cmocka_unit_test(a_line_of_text_may_be_long_but_a_number_may_not),
        cmocka_unit_test(lone_line_ends_are_part_of_a_text),
        cmocka_unit_test(replies_of_both_protocols_may_nest_a_thousand_deep),
        cmocka_unit_test(a_cursor_walks_elements_in_order),
        cmocka_unit_test(a_cursor_reads_what_only_resp3_has),
        cmocka_unit_test(skipping_steps_over_all_that_an_element_holds),
        cmocka_unit_test(a_cut_reply_is_malformed_for_a_cursor),
        cmocka_unit_test(random_replies_are_framed_the_same_however_they_are_cut),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
