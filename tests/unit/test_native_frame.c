/* SPDX-License-Identifier: BSD-3-Clause */
#include "protocol/limits.h"
#include "protocol/native_frame.h"
#include "tests/unit/seed_help.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static const struct native_limits wide = {
    .meta = LIMIT_NATIVE_META, .keys = LIMIT_NATIVE_KEYS, .body = (uint32_t)LIMIT_BULK};

static void append(struct buf *to, const char *bytes, size_t size)
{
    assert_int_equal(buf_append(to, bytes, size), OK);
}

/* Appends a frame whose parts are as large as `header` says, filled with one letter each. */
static void append_frame(struct buf *to, const struct native_header *header)
{
    char head[NATIVE_HEADER_SIZE];
    native_header_write(head, header);
    append(to, head, sizeof head);
    const uint32_t sizes[] = {header->meta_size, header->keys_size, header->body_size};
    for (size_t part = 0; part < 3; part++) {
        for (uint32_t i = 0; i < sizes[part]; i++) {
            append(to, &"mkb"[part], 1);
        }
    }
}

static void assert_header(const struct native_header *a, const struct native_header *b)
{
    char bytes_a[NATIVE_HEADER_SIZE];
    char bytes_b[NATIVE_HEADER_SIZE];
    native_header_write(bytes_a, a);
    native_header_write(bytes_b, b);
    assert_memory_equal(bytes_a, bytes_b, sizeof bytes_a);
}

static void assert_filled(struct slice part, size_t size, char letter)
{
    assert_int_equal(part.size, size);
    for (size_t i = 0; i < size; i++) {
        assert_int_equal(part.data[i], letter);
    }
}

/* Reads from an exact copy, so that a step beyond the input is seen. */
static enum status read_cut(struct slice input, const struct native_limits *limits,
                            struct native_header *ret_header, size_t *ret_missing)
{
    char *own = malloc(input.size > 0 ? input.size : 1);
    assert_non_null(own);
    if (input.size > 0) {
        memcpy(own, input.data, input.size);
    }
    struct native_frame frame = {0};
    size_t used = 0;
    const enum status status =
        native_frame_read((struct slice){own, input.size}, limits, &frame, &used, ret_missing);
    assert_true(status == OK || used == 0);
    *ret_header = frame.header;
    free(own);
    return status;
}

static void the_header_is_the_drawn_one(void **state)
{
    (void)state;
    const struct native_header header = {
        .version = 1,
        .op = NATIVE_EVENT,
        .flags = NATIVE_ANSWER | NATIVE_MORE,
        .id = 0x04030201,
        .meta_size = 0x08070605,
        .keys_size = 0x0c0b0a09,
        .body_size = 0x100f0e0d,
        .word = 0x14131211,
    };
    char head[NATIVE_HEADER_SIZE];
    native_header_write(head, &header);
    static const unsigned char expected[] = {0xf7, 1,  64, 3,  1,  2,  3,  4,  5,  6,  7,  8,
                                             9,    10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20};
    assert_memory_equal(head, expected, sizeof expected);
}

static void the_numbers_of_the_wire_are_the_documented_ones(void **state)
{
    (void)state;
    assert_int_equal(NATIVE_HELLO, 1);
    assert_int_equal(NATIVE_SET, 5);
    assert_int_equal(NATIVE_WATCH, 10);
    assert_int_equal(NATIVE_CALL, 15);
    assert_int_equal(NATIVE_GOODBYE, 65);
    assert_int_equal(NATIVE_STALE, 3);
    assert_int_equal(NATIVE_NOAUTH, 8);
    assert_int_equal(NATIVE_ERROR, 13);
    assert_int_equal(NATIVE_STATE_NEGATIVE, 3);
}

static void frames_one_after_the_other_are_read_in_turn(void **state)
{
    (void)state;
    const struct native_header headers[] = {
        {.version = 1, .op = NATIVE_BEAT, .id = 1},
        {.version = 1, .op = NATIVE_SET, .id = 2, .meta_size = 3, .keys_size = 4, .body_size = 5},
        {.version = 1, .op = 200, .flags = 0x80, .id = UINT32_MAX, .body_size = 1, .word = 7},
    };
    struct buf stream = {0};
    for (size_t i = 0; i < 3; i++) {
        append_frame(&stream, &headers[i]);
    }
    struct slice rest = buf_slice(&stream);
    for (size_t i = 0; i < 3; i++) {
        struct native_frame frame;
        size_t used = 0;
        size_t missing = 0;
        assert_int_equal(native_frame_read(rest, &wide, &frame, &used, &missing), OK);
        assert_header(&frame.header, &headers[i]);
        assert_filled(frame.meta, headers[i].meta_size, 'm');
        assert_filled(frame.keys, headers[i].keys_size, 'k');
        assert_filled(frame.body, headers[i].body_size, 'b');
        rest = (struct slice){rest.data + used, rest.size - used};
    }
    assert_int_equal(rest.size, 0);
    buf_done(&stream);
}

static void a_frame_cut_anywhere_asks_for_exactly_what_is_missing(void **state)
{
    (void)state;
    const struct native_header header = {
        .version = 1, .op = NATIVE_GET, .id = 9, .meta_size = 5, .keys_size = 6, .body_size = 7};
    struct buf stream = {0};
    append_frame(&stream, &header);
    for (size_t size = 0; size < stream.size; size++) {
        struct native_header read = {0};
        size_t missing = 0;
        const struct slice cut = {stream.data, size};
        assert_int_equal(read_cut(cut, &wide, &read, &missing), AGAIN);
        const bool has_header = size >= NATIVE_HEADER_SIZE;
        assert_int_equal(missing, (has_header ? stream.size : NATIVE_HEADER_SIZE) - size);
        assert_int_equal(read.id, has_header ? 9 : 0);
    }
    buf_done(&stream);
}

static void a_first_byte_that_is_no_magic_is_refused_at_once(void **state)
{
    (void)state;
    for (unsigned byte = 0; byte < 256; byte++) {
        const char first = (char)byte;
        struct native_header header;
        size_t missing = 0;
        assert_int_equal(read_cut((struct slice){&first, 1}, &wide, &header, &missing),
                         byte == NATIVE_MAGIC ? AGAIN : MALFORMED);
    }
}

static void another_version_is_told_with_its_id_before_its_sizes_are_believed(void **state)
{
    (void)state;
    const struct native_header header = {.version = 2,
                                         .op = NATIVE_HELLO,
                                         .id = 77,
                                         .meta_size = UINT32_MAX,
                                         .keys_size = UINT32_MAX,
                                         .body_size = UINT32_MAX};
    char head[NATIVE_HEADER_SIZE];
    native_header_write(head, &header);
    struct native_header read;
    size_t missing = 0;
    assert_int_equal(read_cut((struct slice){head, sizeof head}, &wide, &read, &missing), INVALID);
    assert_int_equal(read.version, 2);
    assert_int_equal(read.id, 77);
    head[1] = 0;
    assert_int_equal(read_cut((struct slice){head, sizeof head}, &wide, &read, &missing), INVALID);
}

static void a_part_over_its_limit_is_too_big_from_the_header_alone(void **state)
{
    (void)state;
    const struct native_limits limits = {.meta = 10, .keys = 20, .body = 30};
    const struct native_header fits = {
        .version = 1, .op = NATIVE_SET, .id = 5, .meta_size = 10, .keys_size = 20, .body_size = 30};
    for (unsigned part = 0; part < 4; part++) {
        struct native_header header = fits;
        header.meta_size += part == 1 ? 1 : 0;
        header.keys_size += part == 2 ? 1 : 0;
        header.body_size = part == 3 ? UINT32_MAX : header.body_size;
        char head[NATIVE_HEADER_SIZE];
        native_header_write(head, &header);
        struct native_header read;
        size_t missing = 0;
        assert_int_equal(read_cut((struct slice){head, sizeof head}, &limits, &read, &missing),
                         part == 0 ? AGAIN : TOO_BIG);
        assert_int_equal(read.id, 5);
    }
}

static void sizes_whose_sum_has_more_than_32_bits_are_added_up_right(void **state)
{
    (void)state;
    const struct native_limits limits = {UINT32_MAX, UINT32_MAX, UINT32_MAX};
    const struct native_header header = {.version = 1,
                                         .op = NATIVE_SET,
                                         .meta_size = UINT32_MAX,
                                         .keys_size = UINT32_MAX,
                                         .body_size = UINT32_MAX};
    char head[NATIVE_HEADER_SIZE];
    native_header_write(head, &header);
    struct native_header read;
    size_t missing = 0;
    assert_int_equal(read_cut((struct slice){head, sizeof head}, &limits, &read, &missing), AGAIN);
    assert_true(missing == 3 * (uint64_t)UINT32_MAX);
}

/* xorshift64*, Vigna 2016. */
static uint32_t draw(uint64_t *random, uint32_t below)
{
    *random ^= *random >> 12;
    *random ^= *random << 25;
    *random ^= *random >> 27;
    return (uint32_t)(*random * UINT64_C(2685821657736338717) >> 32) % below;
}

static void a_stream_cut_anyhow_gives_the_same_frames(void **state)
{
    (void)state;
    uint64_t random = help_seed() * 2 + 1;
    for (unsigned round = 0; round < 200; round++) {
        struct native_header headers[20];
        struct buf stream = {0};
        for (size_t i = 0; i < 20; i++) {
            headers[i] = (struct native_header){.version = 1,
                                                .op = (uint8_t)draw(&random, 256),
                                                .flags = (uint8_t)draw(&random, 256),
                                                .id = draw(&random, UINT32_MAX),
                                                .meta_size = draw(&random, 30),
                                                .keys_size = draw(&random, 30),
                                                .body_size = draw(&random, 3) * 40,
                                                .word = draw(&random, UINT32_MAX)};
            append_frame(&stream, &headers[i]);
        }
        struct buf arrived = {0};
        size_t seen = 0;
        for (size_t at = 0; at < stream.size;) {
            const size_t piece = 1 + draw(&random, 70);
            const size_t size = piece < stream.size - at ? piece : stream.size - at;
            append(&arrived, stream.data + at, size);
            at += size;
            struct native_frame frame;
            size_t used = 0;
            size_t missing = 0;
            while (native_frame_read(buf_slice(&arrived), &wide, &frame, &used, &missing) == OK) {
                assert_true(seen < 20);
                assert_header(&frame.header, &headers[seen]);
                assert_filled(frame.body, headers[seen].body_size, 'b');
                buf_consume(&arrived, used);
                seen++;
            }
        }
        assert_int_equal(seen, 20);
        assert_int_equal(arrived.size, 0);
        buf_done(&arrived);
        buf_done(&stream);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_header_is_the_drawn_one),
        cmocka_unit_test(the_numbers_of_the_wire_are_the_documented_ones),
        cmocka_unit_test(frames_one_after_the_other_are_read_in_turn),
        cmocka_unit_test(a_frame_cut_anywhere_asks_for_exactly_what_is_missing),
        cmocka_unit_test(a_first_byte_that_is_no_magic_is_refused_at_once),
        cmocka_unit_test(another_version_is_told_with_its_id_before_its_sizes_are_believed),
        cmocka_unit_test(a_part_over_its_limit_is_too_big_from_the_header_alone),
        cmocka_unit_test(sizes_whose_sum_has_more_than_32_bits_are_added_up_right),
        cmocka_unit_test(a_stream_cut_anyhow_gives_the_same_frames),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
