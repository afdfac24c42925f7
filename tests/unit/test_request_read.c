/* SPDX-License-Identifier: BSD-3-Clause */
#include "protocol/limits.h"
#include "protocol/resp_read.h"
#include "protocol/resp_write.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
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

/* Everything a stream of requests led to, as text: the arguments in order, and how it ended. */
static void record(struct buf *story, const struct request_reader *reader, struct slice input)
{
    assert_int_equal(buf_printf(story, "(%u:", reader->argc), OK);
    for (uint32_t i = 0; i < reader->argc; i++) {
        const struct slice arg = request_arg(reader, input, i);
        assert_int_equal(buf_printf(story, "%zu=", arg.size), OK);
        assert_int_equal(buf_append_slice(story, arg), OK);
    }
    assert_int_equal(buf_append(story, ")", 1), OK);
}

/* Bytes at an address of their own, of exactly their size: the sanitizer sees every step beyond. */
static char *moved(struct slice bytes)
{
    char *copy = malloc(bytes.size > 0 ? bytes.size : 1);
    assert_non_null(copy);
    if (bytes.size > 0) {
        memcpy(copy, bytes.data, bytes.size);
    }
    return copy;
}

/* Delivers a stream in pieces. */
struct delivery {
    size_t cut;     /* the first piece ends here; 0: by `seed` */
    uint64_t seed;  /* sizes of pieces; 0: all the rest at once */
    size_t longest; /* of a random piece */
};

/* What is taken plainly is what a reader says of it. */
struct plain {
    size_t used; /* 0: nothing */
    uint32_t argc;
    struct slice argv[8];
};

static struct plain plain_of(const struct request_reader *reader, struct slice input)
{
    struct plain plain = {0};
    plain.used = request_take_plain(reader, input, plain.argv, 8, &plain.argc);
    return plain;
}

static void assert_is_same(const struct plain *plain, enum status status,
                           const struct request_reader *reader, struct slice input)
{
    assert_int_equal(status, OK);
    assert_false(reader->is_inline);
    assert_int_equal(plain->used, reader->used);
    assert_int_equal(plain->argc, reader->argc);
    for (uint32_t i = 0; i < plain->argc; i++) {
        assert_true(slice_equal(plain->argv[i], request_arg(reader, input, i)));
    }
}

static size_t piece_size(struct delivery *how, size_t arrived, size_t size)
{
    size_t piece = size - arrived;
    if (arrived < how->cut) {
        piece = how->cut - arrived;
    } else if (how->seed != 0) {
        piece = 1 + random_below(&how->seed, how->longest);
    }
    return piece < size - arrived ? piece : size - arrived;
}

static struct buf story_of(struct slice stream, struct delivery how)
{
    struct buf story = {0};
    struct request_reader reader;
    request_reader_init(&reader);
    size_t start = 0;
    size_t arrived = 0;
    enum status status = AGAIN;
    while (status == AGAIN && arrived < stream.size) {
        arrived += piece_size(&how, arrived, stream.size);
        do {
            const struct slice here = {.data = stream.data + start, .size = arrived - start};
            char *copy = moved(here);
            const struct slice input = {.data = copy, .size = here.size};
            const struct plain plain = plain_of(&reader, input);
            status = request_read(&reader, input);
            assert_true(reader.span_capacity <= 16 + arrived); /* in proportion to what came */
            if (plain.used > 0) {
                assert_is_same(&plain, status, &reader, input);
            }
            if (status == OK) {
                assert_true(reader.used > 0 && reader.used <= input.size);
                record(&story, &reader, input);
                start += reader.used;
                request_reader_reset(&reader);
            } else if (status == AGAIN) {
                assert_true(request_missing(&reader, input) >= 1);
            }
            free(copy);
        } while (status == OK && start < arrived);
        status = status == OK ? AGAIN : status;
    }
    assert_int_equal(buf_printf(&story, "[%d %s %zu]", (int)status, reader.error, start), OK);
    request_reader_done(&reader);
    return story;
}

static void assert_same_story(const struct buf *whole, struct slice stream, struct delivery how,
                              const char *what, uint64_t seed)
{
    struct buf story = story_of(stream, how);
    if (!slice_equal(buf_slice(whole), buf_slice(&story))) {
        print_error("differs %s, cut %zu; replay with seed %llu\nwhole: %.*s\nparts: %.*s\n", what,
                    how.cut, (unsigned long long)seed, (int)whole->size, whole->data,
                    (int)story.size, story.data);
        fail();
    }
    buf_done(&story);
}

static void expect(struct slice stream, const char *story_text)
{
    struct buf story = story_of(stream, (struct delivery){0});
    if (!slice_is(buf_slice(&story), story_text)) {
        print_error("expected %s\n     got %.*s\n", story_text, (int)story.size, story.data);
        fail();
    }
    for (size_t cut = 1; cut < stream.size && stream.size < 1000; cut++) {
        assert_same_story(&story, stream, (struct delivery){.cut = cut}, "at a cut", 0);
    }
    buf_done(&story);
}

#define EXPECT(stream, story)        expect(SLICE_LITERAL(stream), story)
#define EXPECT_ERROR(stream, reason) EXPECT(stream, "[9 Protocol error: " reason " 0]")

_Static_assert(AGAIN == 1 && MALFORMED == 9 && CLOSE == 10, "the numbers in the stories below");

static void a_pipeline_of_requests_is_read_one_by_one(void **state)
{
    (void)state;
    EXPECT("*2\r\n$3\r\nGET\r\n$1\r\nk\r\n*1\r\n$4\r\nPING\r\n", "(2:3=GET1=k)(1:4=PING)[1  34]");
}

static size_t plain_bytes(struct slice input, uint32_t room)
{
    struct request_reader reader;
    struct slice argv[8];
    uint32_t argc = 0;
    request_reader_init(&reader);
    reader.limit_args = LIMIT_UNAUTH_ARGS;
    reader.limit_bulk = LIMIT_UNAUTH_BULK;
    return request_take_plain(&reader, input, argv, room, &argc);
}
#define PLAIN(text, room) plain_bytes(SLICE_LITERAL(text), room)

static void what_is_whole_and_plain_is_taken_at_once(void **state)
{
    (void)state;
    assert_int_equal(PLAIN("*1\r\n$4\r\nPING\r\n", 1), 14);
    assert_int_equal(PLAIN("*2\r\n$3\r\nGET\r\n$1\r\nk\r\n*1\r\n", 2), 20);
    assert_int_equal(PLAIN("*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$0\r\n\r\n", 8), 26);
}

static void what_is_not_is_left_to_a_reader(void **state)
{
    (void)state;
    assert_int_equal(PLAIN("*2\r\n$3\r\nGET\r\n$1\r\nk\r\n", 1), 0); /* no room */
    assert_int_equal(PLAIN("*2\r\n$3\r\nGET\r\n$1\r\nk\r", 2), 0);   /* cut off */
    assert_int_equal(PLAIN("*2\r\n$3\r\nGET\r\n$1\r\nkk\r\n", 2), 0);
    assert_int_equal(PLAIN("*1\r\n$99\r\nPING\r\n", 1), 0);
    assert_int_equal(PLAIN("*1\r\n$16385\r\n", 1), 0);
    assert_int_equal(PLAIN("*1\r\n:4\r\nPING\r\n", 1), 0);
    assert_int_equal(PLAIN("*0\r\n", 1), 0);
    assert_int_equal(PLAIN("*-1\r\n", 1), 0);
    assert_int_equal(PLAIN("*01\r\n$4\r\nPING\r\n", 1), 0);
    assert_int_equal(PLAIN("PING\r\n", 1), 0);
    assert_int_equal(PLAIN("*", 1), 0);
    assert_int_equal(PLAIN("", 1), 0);
    assert_int_equal(PLAIN("*11\r\n$0\r\n\r\n$0\r\n\r\n$0\r\n\r\n$0\r\n\r\n$0\r\n\r\n$0\r\n\r\n$0"
                           "\r\n\r\n$0\r\n\r\n$0\r\n\r\n$0\r\n\r\n$0\r\n\r\n",
                           64),
                     0); /* more than a client before AUTH may say; nothing is written there */
}

static void empty_arguments_are_arguments(void **state)
{
    (void)state;
    EXPECT("*1\r\n$0\r\n\r\n", "(1:0=)[1  10]");
    EXPECT("*3\r\n$0\r\n\r\n$0\r\n\r\n$1\r\nx\r\n", "(3:0=0=1=x)[1  23]");
}

static void arguments_may_hold_any_bytes(void **state)
{
    (void)state;
    struct request_reader reader;
    request_reader_init(&reader);
    const struct slice input = SLICE_LITERAL("*2\r\n$3\r\nGET\r\n$6\r\n\r\n\0$*\xff\r\n");
    assert_int_equal(request_read(&reader, input), OK);
    assert_true(slice_equal(request_arg(&reader, input, 1), SLICE_LITERAL("\r\n\0$*\xff")));
    assert_int_equal(reader.used, input.size);
    request_reader_done(&reader);
}

static void empty_requests_are_consumed_without_arguments(void **state)
{
    (void)state;
    EXPECT("*0\r\n", "(0:)[1  4]");
    EXPECT("*-1\r\n", "(0:)[1  5]");
    EXPECT("*-5\r\nPING\r\n", "(0:)(1:4=PING)[1  11]");
    EXPECT("\r\n\n  \t \r\n*0\r\n", "(0:)(0:)(0:)(0:)[1  13]");
}

static void wrong_counts_are_refused(void **state)
{
    (void)state;
    EXPECT_ERROR("*\r\n", "invalid multibulk length");
    EXPECT_ERROR("*-\r\n", "invalid multibulk length");
    EXPECT_ERROR("*01\r\n", "invalid multibulk length");
    EXPECT_ERROR("*+1\r\n", "invalid multibulk length");
    EXPECT_ERROR("* 1\r\n", "invalid multibulk length");
    EXPECT_ERROR("*1 \r\n", "invalid multibulk length");
    EXPECT_ERROR("*1a\r\n", "invalid multibulk length");
    EXPECT_ERROR("*1\rx", "invalid multibulk length");
    EXPECT_ERROR("*1\n$4\nPING\r\n", "invalid multibulk length");
    EXPECT_ERROR("*16777217\r\n", "invalid multibulk length");
    EXPECT_ERROR("*9223372036854775807\r\n", "invalid multibulk length");
    EXPECT_ERROR("*9223372036854775808\r\n", "invalid multibulk length");
    EXPECT("*16777216\r\n", "[1  0]");
}

static void wrong_sizes_are_refused(void **state)
{
    (void)state;
    EXPECT_ERROR("*1\r\n$\r\n", "invalid bulk length");
    EXPECT_ERROR("*1\r\n$-1\r\n", "invalid bulk length");
    EXPECT_ERROR("*1\r\n$01\r\n", "invalid bulk length");
    EXPECT_ERROR("*1\r\n$1\rx", "invalid bulk length");
    EXPECT_ERROR("*1\r\n$536870913\r\n", "invalid bulk length");
    EXPECT_ERROR("*1\r\n$5368709120\r\n", "invalid bulk length");
    EXPECT("*1\r\n$536870912\r\n", "[1  0]");
}

static void what_stands_for_a_size_is_named(void **state)
{
    (void)state;
    EXPECT_ERROR("*1\r\nx1\r\n", "expected '$', got 'x'");
    EXPECT_ERROR("*2\r\n$1\r\na\r\n:1\r\n", "expected '$', got ':'");
    EXPECT_ERROR("*1\r\n\xff\r\n", "expected '$', got '\xff'");
    EXPECT_ERROR("*1\r\n\x01\r\n", "expected '$', got '\x01'");
}

static void no_error_text_has_a_line_end(void **state)
{
    (void)state;
    EXPECT_ERROR("*1\r\n\r\n", "expected '$', got ' '");
    EXPECT_ERROR("*1\r\n\nx\r\n", "expected '$', got ' '");
    EXPECT_ERROR("*1\r\n\0x\r\n", "expected '$', got ' '");
}

static void an_argument_ends_with_crlf_exactly(void **state)
{
    (void)state;
    EXPECT_ERROR("*1\r\n$4\r\nPINGxx", "expected CRLF after bulk");
    EXPECT_ERROR("*1\r\n$4\r\nPING\n\r", "expected CRLF after bulk");
    EXPECT_ERROR("*1\r\n$4\r\nPINGS\r\n", "expected CRLF after bulk");
    EXPECT_ERROR("*1\r\n$4\r\nPING\rx", "expected CRLF after bulk");
    EXPECT_ERROR("*1\r\n$0\r\n*1\r\n", "expected CRLF after bulk");
    /* The first argument of a reader's life makes room for spans; the later ones take the fast path. */
    EXPECT_ERROR("*2\r\n$1\r\na\r\n$4\r\nPING\rx", "expected CRLF after bulk");
    EXPECT_ERROR("*2\r\n$1\r\na\r\n$4\r\nPINGx\n", "expected CRLF after bulk");
}

static void expect_filled(struct slice head, char fill, size_t fill_size, struct slice tail,
                          const char *story)
{
    struct buf stream = {0};
    assert_int_equal(buf_append_slice(&stream, head), OK);
    assert_int_equal(buf_reserve(&stream, fill_size), OK);
    memset(stream.data + stream.size, fill, fill_size);
    stream.size += fill_size;
    assert_int_equal(buf_append_slice(&stream, tail), OK);
    expect(buf_slice(&stream), story);
    struct buf whole = story_of(buf_slice(&stream), (struct delivery){0});
    assert_same_story(&whole, buf_slice(&stream), (struct delivery){.seed = 5, .longest = 9000},
                      "in random pieces", 5);
    buf_done(&whole);
    buf_done(&stream);
}

static void lines_are_at_most_64_kib(void **state)
{
    (void)state;
    const struct slice none = {0};
    const struct slice crlf = SLICE_LITERAL("\r\n");
    expect_filled(SLICE_LITERAL("*"), '1', LIMIT_INLINE, none,
                  "[9 Protocol error: too big mbulk count string 0]");
    expect_filled(SLICE_LITERAL("*"), '1', LIMIT_INLINE, crlf,
                  "[9 Protocol error: too big mbulk count string 0]");
    expect_filled(SLICE_LITERAL("*"), '1', LIMIT_INLINE - 1, none, "[1  0]");
    expect_filled(SLICE_LITERAL("*"), '1', LIMIT_INLINE - 1, crlf,
                  "[9 Protocol error: invalid multibulk length 0]");
    expect_filled(SLICE_LITERAL("*1\r\n$"), '1', LIMIT_INLINE, none,
                  "[9 Protocol error: too big bulk count string 0]");
    expect_filled(SLICE_LITERAL("a"), ' ', LIMIT_INLINE, none,
                  "[9 Protocol error: too big inline request 0]");
    expect_filled(SLICE_LITERAL("a"), ' ', LIMIT_INLINE, SLICE_LITERAL("\n"),
                  "[9 Protocol error: too big inline request 0]");
    expect_filled(SLICE_LITERAL("a"), ' ', LIMIT_INLINE - 1, none, "[1  0]");
    expect_filled(SLICE_LITERAL("a"), ' ', LIMIT_INLINE - 1, SLICE_LITERAL("\n"),
                  "(1:1=a)[1  65537]");
}

static void a_client_before_auth_has_little_room(void **state)
{
    (void)state;
    static const struct {
        const char *stream;
        enum status status;
        const char *error;
    } cases[] = {
        {"*10\r\n", AGAIN, ""},
        {"*11\r\n", MALFORMED, "Protocol error: unauthenticated multibulk length"},
        {"*16777216\r\n", MALFORMED, "Protocol error: unauthenticated multibulk length"},
        {"*16777217\r\n", MALFORMED, "Protocol error: invalid multibulk length"},
        {"*-11\r\n", OK, ""},
        {"*1\r\n$16384\r\n", AGAIN, ""},
        {"*1\r\n$16385\r\n", MALFORMED, "Protocol error: unauthenticated bulk length"},
        {"*1\r\n$536870913\r\n", MALFORMED, "Protocol error: invalid bulk length"},
    };
    struct request_reader reader;
    request_reader_init(&reader);
    reader.limit_args = LIMIT_UNAUTH_ARGS;
    reader.limit_bulk = LIMIT_UNAUTH_BULK;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        assert_int_equal(request_read(&reader, slice_of(cases[i].stream)), cases[i].status);
        assert_string_equal(reader.error, cases[i].error);
        request_reader_reset(&reader);
    }
    request_reader_done(&reader);
}

static void a_configured_limit_is_refused_as_invalid(void **state)
{
    (void)state;
    struct request_reader reader;
    request_reader_init(&reader);
    reader.limit_bulk = 1 << 20;
    reader.limit_args = 100;
    assert_int_equal(request_read(&reader, SLICE_LITERAL("*1\r\n$1048577\r\n")), MALFORMED);
    assert_string_equal(reader.error, "Protocol error: invalid bulk length");
    request_reader_reset(&reader);
    assert_int_equal(request_read(&reader, SLICE_LITERAL("*101\r\n")), MALFORMED);
    assert_string_equal(reader.error, "Protocol error: invalid multibulk length");
    request_reader_done(&reader);
}

static void the_limit_also_holds_for_a_whole_argument_in_one_piece(void **state)
{
    (void)state;
    struct request_reader reader;
    request_reader_init(&reader);
    reader.limit_bulk = 3;
    const struct slice input = SLICE_LITERAL("*3\r\n$3\r\nabc\r\n$3\r\nabc\r\n$4\r\nabcd\r\n");
    assert_int_equal(request_read(&reader, input), MALFORMED);
    assert_string_equal(reader.error, "Protocol error: unauthenticated bulk length");
    request_reader_done(&reader);
}

static void inline_commands_are_words(void **state)
{
    (void)state;
    EXPECT("PING\r\n", "(1:4=PING)[1  6]");
    EXPECT("PING\n", "(1:4=PING)[1  5]");
    EXPECT("  SET\ta  b \r\n", "(3:3=SET1=a1=b)[1  13]");
    EXPECT("a\rb\r\r\n", "(2:1=a1=b)[1  6]");
    EXPECT("\v\fa\vb\f c\n", "(2:4=a\vb\f1=c)[1  9]");
    EXPECT(" *1\r\n", "(1:2=*1)[1  5]");
    EXPECT("\xff\x80\r\n", "(1:2=\xff\x80)[1  4]");
}

static void double_quotes_know_escapes(void **state)
{
    (void)state;
    EXPECT("\"a b\"\n", "(1:3=a b)[1  6]");
    EXPECT("\"\" x \"\"\n", "(3:0=1=x0=)[1  8]");
    EXPECT("\"\\n\\r\\t\\b\\a\\\\\\\"\\q\"\n", "(1:8=\n\r\t\b\a\\\"q)[1  19]");
    EXPECT("\"\\x41\\x7a\\xFf\"\n", "(1:3=Az\xff)[1  15]");
    EXPECT("\"\\x4\\xg1\\x\"\n", "(1:6=x4xg1x)[1  12]");
    EXPECT("foo\"bar\" x\n", "(2:6=foobar1=x)[1  11]");
    EXPECT("\"it's\"\n", "(1:4=it's)[1  7]");
    EXPECT("\"a\"\vb\n", "(2:1=a1=b)[1  6]");
    struct request_reader reader;
    request_reader_init(&reader);
    assert_int_equal(request_read(&reader, SLICE_LITERAL("\"\\x00\"\n")), OK);
    const struct slice zero = request_arg(&reader, SLICE_LITERAL("\"\\x00\"\n"), 0);
    assert_true(slice_equal(zero, SLICE_LITERAL("\0")));
    request_reader_done(&reader);
}

static void single_quotes_know_only_themselves(void **state)
{
    (void)state;
    EXPECT("'a \\n\\x41'\n", "(1:8=a \\n\\x41)[1  11]");
    EXPECT("'it\\'s'\n", "(1:4=it's)[1  8]");
    EXPECT("'\"'\n", "(1:1=\")[1  4]");
    EXPECT("'a\\'\n", "[9 Protocol error: unbalanced quotes in request 0]");
}

static void quotes_that_do_not_close_a_word_are_refused(void **state)
{
    (void)state;
    EXPECT_ERROR("\"\n", "unbalanced quotes in request");
    EXPECT_ERROR("'\r\n", "unbalanced quotes in request");
    EXPECT_ERROR("a \"b\n", "unbalanced quotes in request");
    EXPECT_ERROR("\"a\"b\n", "unbalanced quotes in request");
    EXPECT_ERROR("'a'b\n", "unbalanced quotes in request");
    EXPECT_ERROR("'a''b'\n", "unbalanced quotes in request");
    EXPECT_ERROR("\"a\\\"\n", "unbalanced quotes in request");
    EXPECT_ERROR("\"a\\\n", "unbalanced quotes in request");
}

static void a_nul_in_an_inline_command_never_ends_it(void **state)
{
    (void)state;
    EXPECT_ERROR("a\0b\r\n", "too big inline request");
    EXPECT_ERROR("\0", "too big inline request");
    EXPECT("a\n\0", "(1:1=a)[9 Protocol error: too big inline request 2]");
}

static void other_protocols_are_hung_up_on(void **state)
{
    (void)state;
    EXPECT("\x16\x03\x01", "[10  0]");
    EXPECT("POST / HTTP/1.1\r\n", "[10  0]");
    EXPECT("hOST: example\r\n", "[10  0]");
    EXPECT("\"po\\x73t\"\n", "[10  0]");
    EXPECT("GET / HTTP/1.1\r\nHost: a\r\n", "(3:3=GET1=/8=HTTP/1.1)[10  16]");
    EXPECT("POSTS\r\nHost\r\n", "(1:5=POSTS)(1:4=Host)[1  13]");
    EXPECT("PING POST\r\n", "(2:4=PING4=POST)[1  11]");
}

static void announced_arguments_cost_nothing_until_they_come(void **state)
{
    (void)state;
    struct request_reader reader;
    request_reader_init(&reader);
    assert_int_equal(request_read(&reader, SLICE_LITERAL("*16777216\r\n$1\r\na\r\n")), AGAIN);
    assert_true(reader.span_capacity <= 16);
    request_reader_done(&reader);
    assert_null(reader.spans);
}

static void memory_of_usual_size_is_kept_and_of_unusual_size_given_back(void **state)
{
    (void)state;
    struct request_reader reader;
    request_reader_init(&reader);
    const struct slice small = SLICE_LITERAL("*2\r\n$3\r\nGET\r\n$1\r\nk\r\n");
    assert_int_equal(request_read(&reader, small), OK);
    const struct span *spans = reader.spans;
    request_reader_reset(&reader);
    assert_int_equal(request_read(&reader, small), OK);
    assert_ptr_equal(reader.spans, spans);
    request_reader_reset(&reader);

    struct slice argv[5000];
    for (size_t i = 0; i < 5000; i++) {
        argv[i] = SLICE_LITERAL("x");
    }
    struct buf large = {0};
    assert_int_equal(resp_append_request(&large, 5000, argv), OK);
    assert_int_equal(request_read(&reader, buf_slice(&large)), OK);
    assert_int_equal(reader.argc, 5000);
    request_reader_reset(&reader);
    assert_int_equal(reader.span_capacity, 0);
    assert_int_equal(request_read(&reader, small), OK);
    buf_done(&large);
    request_reader_done(&reader);
}

static void missing_bytes_are_counted_for_the_argument_being_read(void **state)
{
    (void)state;
    struct request_reader reader;
    request_reader_init(&reader);
    const struct slice all = SLICE_LITERAL("*2\r\n$3\r\nSET\r\n$100\r\nabc");
    static const size_t missing[] = {1, 1, 1, 1, 1, 1, 1, 1, 5, 4, 3, 2, 1, 1, 1, 1, 1, 1, 1, 102};
    for (size_t size = 0; size < 20; size++) {
        const struct slice input = {all.data, size};
        assert_int_equal(request_read(&reader, input), AGAIN);
        assert_int_equal(request_missing(&reader, input), missing[size]);
    }
    assert_int_equal(request_read(&reader, all), AGAIN);
    assert_int_equal(request_missing(&reader, all), 99);
    request_reader_done(&reader);
}

static void append_random_request(struct buf *stream, uint64_t *seed)
{
    static const char *const inlines[] = {
        "PING\r\n",      "SET a 'b c'\n", "\"\\x41\\n\" x\r\n", "\r\n",
        "*0\r\n",        "*-3\r\n",       "a \"unbalanced\r\n", "POST x\r\n",
        "*1\r\n$01\r\n", "*1\r\nx\r\n",   "*99999999999\r\n",   "*1\r\n$2\r\nabcd",
        "'' \"\"\n",
    };
    const size_t kind = random_below(seed, 40);
    if (kind < sizeof inlines / sizeof inlines[0] && random_below(seed, 2) == 0) {
        assert_int_equal(buf_append_slice(stream, slice_of(inlines[kind])), OK);
        return;
    }
    char bytes[64];
    for (size_t i = 0; i < sizeof bytes; i++) {
        bytes[i] = "\r\n$*01\0\xff"[random_below(seed, 8)];
    }
    struct slice argv[40];
    const size_t argc = random_below(seed, random_below(seed, 8) == 0 ? 40 : 5);
    for (size_t i = 0; i < argc; i++) {
        argv[i] = (struct slice){bytes, random_below(seed, sizeof bytes)};
    }
    assert_int_equal(resp_append_request(stream, argc, argv), OK);
}

static void random_streams_give_the_same_however_they_are_cut(void **state)
{
    (void)state;
    for (uint64_t round = 1; round <= 150; round++) {
        uint64_t seed = round;
        struct buf stream = {0};
        for (size_t i = 1 + random_below(&seed, 6); i > 0; i--) {
            append_random_request(&stream, &seed);
        }
        if (random_below(&seed, 3) == 0 && stream.size > 0) { /* one wrong byte */
            stream.data[random_below(&seed, stream.size)] = "\r\n$*0-"[random_below(&seed, 6)];
        }
        const struct slice bytes = buf_slice(&stream);
        struct buf whole = story_of(bytes, (struct delivery){0});
        for (size_t cut = 1; cut < bytes.size; cut++) {
            assert_same_story(&whole, bytes, (struct delivery){.cut = cut}, "at a cut", round);
        }
        for (size_t longest = 1; longest < 200; longest = longest * 2 + 1) {
            const struct delivery how = {.seed = round, .longest = longest};
            assert_same_story(&whole, bytes, how, "in random pieces", round);
        }
        buf_done(&whole);
        buf_done(&stream);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_pipeline_of_requests_is_read_one_by_one),
        cmocka_unit_test(what_is_whole_and_plain_is_taken_at_once),
        cmocka_unit_test(what_is_not_is_left_to_a_reader),
        cmocka_unit_test(empty_arguments_are_arguments),
        cmocka_unit_test(arguments_may_hold_any_bytes),
        cmocka_unit_test(empty_requests_are_consumed_without_arguments),
        cmocka_unit_test(wrong_counts_are_refused),
        cmocka_unit_test(wrong_sizes_are_refused),
        cmocka_unit_test(what_stands_for_a_size_is_named),
        cmocka_unit_test(no_error_text_has_a_line_end),
        cmocka_unit_test(an_argument_ends_with_crlf_exactly),
        cmocka_unit_test(lines_are_at_most_64_kib),
        cmocka_unit_test(a_client_before_auth_has_little_room),
        cmocka_unit_test(a_configured_limit_is_refused_as_invalid),
        cmocka_unit_test(the_limit_also_holds_for_a_whole_argument_in_one_piece),
        cmocka_unit_test(inline_commands_are_words),
        cmocka_unit_test(double_quotes_know_escapes),
        cmocka_unit_test(single_quotes_know_only_themselves),
        cmocka_unit_test(quotes_that_do_not_close_a_word_are_refused),
        cmocka_unit_test(a_nul_in_an_inline_command_never_ends_it),
        cmocka_unit_test(other_protocols_are_hung_up_on),
        cmocka_unit_test(announced_arguments_cost_nothing_until_they_come),
        cmocka_unit_test(memory_of_usual_size_is_kept_and_of_unusual_size_given_back),
        cmocka_unit_test(missing_bytes_are_counted_for_the_argument_being_read),
        cmocka_unit_test(random_streams_give_the_same_however_they_are_cut),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
