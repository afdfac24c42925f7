/* SPDX-License-Identifier: BSD-3-Clause */
#include "protocol/frame.h"
#include "protocol/hash.h"
#include "protocol/limits.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static struct frame sample(struct slice body)
{
    return (struct frame){
        .type = FRAME_BEAT,
        .flags = FRAME_SKIPPABLE,
        .shard = 0x1122,
        .epoch = {.counter = 3, .random = UINT64_C(0xfedcba9876543210)},
        .seq_first = 77,
        .count = 5,
        .node = UINT64_C(0xa1a2a3a4a5a6a7a8),
        .nonce = 9,
        .body = body,
    };
}

/* A frame as bytes; the caller frees it with buf_done. */
static struct buf written(const struct frame *frame)
{
    struct buf out = {0};
    assert_int_equal(frame_write(&out, frame), OK);
    return out;
}

/* After a deliberate change outside the checksum's care: makes the frame whole again. */
static void seal(struct buf *out)
{
    char copy[1024];
    const size_t covered = out->size - FRAME_CHECKSUM_SIZE;
    assert_true(covered <= sizeof copy);
    memcpy(copy, out->data, covered);
    memset(copy + FRAME_REDIS_WORDS_OFFSET, 0, FRAME_REDIS_WORDS_SIZE);
    put_u64le(out->data + covered, hash_checksum((struct slice){copy, covered}));
}

static enum status read_it(const struct buf *out)
{
    struct frame frame;
    return frame_read(buf_slice(out), &frame);
}

static void a_written_frame_is_read_back_the_same(void **state)
{
    (void)state;
    const struct frame frame = sample(SLICE_LITERAL("body\0bytes"));
    struct buf out = written(&frame);
    assert_int_equal(out.size, FRAME_HEADER_SIZE + 10 + FRAME_CHECKSUM_SIZE);
    struct frame back;
    assert_int_equal(frame_read(buf_slice(&out), &back), OK);
    assert_int_equal(back.type, FRAME_BEAT);
    assert_int_equal(back.flags, FRAME_SKIPPABLE);
    assert_int_equal(back.shard, 0x1122);
    assert_true(epoch_equal(back.epoch, frame.epoch));
    assert_true(back.seq_first == 77 && back.nonce == 9 && back.node == frame.node);
    assert_int_equal(back.count, 5);
    assert_true(slice_equal(back.body, frame.body));
    buf_done(&out);
}

static void the_layout_is_the_drawn_one(void **state)
{
    (void)state;
    const struct frame frame = sample(SLICE_LITERAL("xyz"));
    struct buf out = written(&frame);
    static const unsigned char expected[] = {
        'T',  1,    'B',  1,    64, 0, 0x22, 0x11, 0,    0,    0,    0,    0,    0,
        0,    0,    3,    0,    0,  0, 0,    0,    0,    0,    0x10, 0x32, 0x54, 0x76,
        0x98, 0xba, 0xdc, 0xfe, 77, 0, 0,    0,    0,    0,    0,    0,    5,    0,
        0,    0,    0,    0,    0,  0, 0xa8, 0xa7, 0xa6, 0xa5, 0xa4, 0xa3, 0xa2, 0xa1,
        9,    0,    0,    0,    0,  0, 0,    0,    'x',  'y',  'z',
    };
    assert_memory_equal(out.data, expected, sizeof expected);
    buf_done(&out);
}

static void a_flipped_bit_outside_redis_words_is_noticed(void **state)
{
    (void)state;
    const struct frame frame = sample(SLICE_LITERAL("some body"));
    struct buf out = written(&frame);
    for (size_t bit = 0; bit < out.size * 8; bit++) {
        out.data[bit / 8] = (char)(out.data[bit / 8] ^ (1 << (bit % 8)));
        const bool in_redis_words = bit / 8 - FRAME_REDIS_WORDS_OFFSET < FRAME_REDIS_WORDS_SIZE;
        assert_int_equal(read_it(&out), in_redis_words ? OK : MALFORMED);
        out.data[bit / 8] = (char)(out.data[bit / 8] ^ (1 << (bit % 8)));
    }
    buf_done(&out);
}

static void redis_may_write_its_words_after_the_checksum(void **state)
{
    (void)state;
    struct frame frame = sample(SLICE_LITERAL("b"));
    frame.epoch = (struct epoch){0};
    frame.seq_first = 0;
    struct buf out = written(&frame);
    put_u64le(out.data + FRAME_REDIS_WORDS_OFFSET, 11);
    put_u64le(out.data + FRAME_REDIS_WORDS_OFFSET + 8, 12);
    put_u64le(out.data + FRAME_REDIS_WORDS_OFFSET + 16, 13);
    struct frame back;
    assert_int_equal(frame_read(buf_slice(&out), &back), OK);
    assert_true(back.epoch.counter == 11 && back.epoch.random == 12 && back.seq_first == 13);
    buf_done(&out);
}

static void a_frame_cut_anywhere_does_not_parse(void **state)
{
    (void)state;
    const struct frame frame = sample(SLICE_LITERAL("some body"));
    struct buf out = written(&frame);
    for (size_t size = 0; size < out.size; size++) {
        char *cut = malloc(size > 0 ? size : 1); /* exact: a read behind the end is seen */
        assert_non_null(cut);
        memcpy(cut, out.data, size);
        struct frame back;
        assert_int_equal(frame_read((struct slice){cut, size}, &back), MALFORMED);
        free(cut);
    }
    buf_done(&out);
}

static void a_byte_too_many_does_not_parse(void **state)
{
    (void)state;
    const struct frame frame = sample(SLICE_LITERAL(""));
    struct buf out = written(&frame);
    assert_int_equal(buf_append(&out, "", 1), OK);
    assert_int_equal(read_it(&out), MALFORMED);
    buf_done(&out);
}

static void an_unknown_type_parses_only_when_it_may_be_skipped(void **state)
{
    (void)state;
    struct frame frame = sample(SLICE_LITERAL("future"));
    frame.type = (enum frame_type)'Z';
    frame.flags = FRAME_SKIPPABLE;
    struct buf out = written(&frame);
    struct frame back;
    assert_int_equal(frame_read(buf_slice(&out), &back), OK);
    assert_int_equal(back.type, 'Z');
    buf_done(&out);
    frame.flags = 0;
    out = written(&frame);
    assert_int_equal(read_it(&out), MALFORMED);
    buf_done(&out);
}

static void every_drawn_type_is_known_and_no_other(void **state)
{
    (void)state;
    int known = 0;
    for (unsigned type = 0; type < 256; type++) {
        known += frame_type_known((uint8_t)type) ? 1 : 0;
    }
    assert_int_equal(known, 7);
    for (const char *type = "KPGFBMW"; *type != '\0'; type++) {
        assert_true(frame_type_known((uint8_t)*type));
    }
}

static void a_well_sealed_frame_of_another_layout_does_not_parse(void **state)
{
    (void)state;
    static const struct {
        size_t at;
        char value;
    } changes[] = {{0, 'U'}, {1, 2}, {3, 2},  {3, (char)0x80}, {4, 72},
                   {5, 1},   {8, 1}, {15, 1}, {44, 1}};
    for (size_t i = 0; i < sizeof changes / sizeof changes[0]; i++) {
        const struct frame frame = sample(SLICE_LITERAL("body"));
        struct buf out = written(&frame);
        seal(&out);
        assert_int_equal(read_it(&out), OK);
        out.data[changes[i].at] = changes[i].value;
        seal(&out);
        assert_int_equal(read_it(&out), MALFORMED);
        buf_done(&out);
    }
}

static void the_largest_frame_passes_and_one_byte_more_does_not(void **state)
{
    (void)state;
    const size_t most = LIMIT_FRAME - FRAME_HEADER_SIZE - FRAME_CHECKSUM_SIZE;
    char *body = calloc(1, most + 1);
    assert_non_null(body);
    struct frame frame = sample((struct slice){body, most});
    struct buf out = written(&frame);
    assert_int_equal(out.size, LIMIT_FRAME);
    assert_int_equal(read_it(&out), OK);
    frame.body.size++;
    assert_int_equal(frame_write(&out, &frame), TOO_BIG);
    assert_int_equal(out.size, LIMIT_FRAME);
    assert_int_equal(buf_append(&out, "", 1), OK);
    assert_int_equal(read_it(&out), TOO_BIG);
    buf_done(&out);
    free(body);
}

static void a_beat_is_read_back_the_same(void **state)
{
    (void)state;
    const struct frame_beat beat = {.applied_seq = UINT64_C(0x1234567890abcdef),
                                    .bound_ms = 1500,
                                    .flags = FRAME_BEAT_ACK,
                                    .since_seq = UINT64_C(0x1234567890abcd00),
                                    .stream_hash = 42,
                                    .epoch_mark = 43,
                                    .state = 2,
                                    .hit_permille = 999,
                                    .load = 70000};
    char body[FRAME_BEAT_BODY_SIZE];
    memset(body, 'x', sizeof body);
    frame_beat_write(body, &beat);
    struct frame_beat back;
    assert_int_equal(frame_beat_read((struct slice){body, sizeof body}, &back), OK);
    assert_true(back.applied_seq == beat.applied_seq && back.stream_hash == 42);
    assert_true(back.since_seq == beat.since_seq && back.flags == FRAME_BEAT_ACK);
    assert_int_equal(back.bound_ms, 1500);
    assert_int_equal(back.epoch_mark, 43);
    assert_int_equal(back.state, 2);
    assert_int_equal(back.hit_permille, 999);
    assert_int_equal(back.load, 70000);
    assert_int_equal(frame_beat_read((struct slice){body, sizeof body - 1}, &back), MALFORMED);
    assert_int_equal(frame_beat_read((struct slice){0}, &back), MALFORMED);
}

static void a_beat_that_cannot_be_is_malformed(void **state)
{
    (void)state;
    static const struct frame_beat wrong[] = {
        {.flags = 8},
        {.flags = 0x80000000},
        {.applied_seq = 7, .since_seq = 8},
        {.hit_permille = 1001},
        {.bound_ms = FRAME_BEAT_BOUND_MAX_MS + 1},
        {.bound_ms = UINT32_MAX},
    };
    char body[FRAME_BEAT_BODY_SIZE];
    struct frame_beat back;
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        frame_beat_write(body, &wrong[i]);
        assert_int_equal(frame_beat_read((struct slice){body, sizeof body}, &back), MALFORMED);
    }
}

/* As before there were figures: rows of namespaces, then the address. */
static void a_beat_without_figures_says_a_full_weight(void **state)
{
    (void)state;
    char body[FRAME_BEAT_BODY_SIZE + FRAME_HOME_SIZE + 3] = {0};
    const struct frame_beat beat = {.weight = 1, .homes = {body, FRAME_HOME_SIZE}};
    struct frame_beat back;
    frame_beat_write(body, &beat);
    memcpy(body + sizeof body - 3, "a:1", 3);
    assert_int_equal(frame_beat_read((struct slice){body, sizeof body}, &back), OK);
    assert_int_equal(back.weight, FRAME_WEIGHT_FULL);
    assert_int_equal(back.reads_per_s, 0);
    assert_int_equal(back.homes.size, FRAME_HOME_SIZE);
    assert_int_equal(back.figures.size, 0);
    assert_true(slice_is(back.address, "a:1"));
}

/* One row of a namespace, the figures, one that no version has yet. Returns the size of it all. */
static size_t body_with_figures(char body[FRAME_BEAT_BODY_SIZE + 8 * FRAME_HOME_SIZE],
                                const struct frame_beat *beat)
{
    struct frame_beat told = *beat;
    char *rows = body + FRAME_BEAT_BODY_SIZE;
    memset(rows, 0, 8 * (size_t)FRAME_HOME_SIZE);
    told.homes = (struct slice){rows, FRAME_HOME_SIZE};
    char *figures = rows + FRAME_HOME_SIZE;
    size_t size = frame_figures_write(figures, 7, beat);
    assert_int_equal(size, FRAME_FIGURES_MAX * FRAME_HOME_SIZE);
    put_u32le(figures + size, 77);
    put_u32le(figures + size + 8, FRAME_FIGURE);
    size += FRAME_HOME_SIZE;
    told.figures = (struct slice){figures, size};
    frame_beat_write(body, &told);
    return FRAME_BEAT_BODY_SIZE + FRAME_HOME_SIZE + size;
}

static void figures_of_a_beat_are_read_back_and_strange_ones_skipped(void **state)
{
    (void)state;
    char body[FRAME_BEAT_BODY_SIZE + 8 * FRAME_HOME_SIZE];
    struct frame_beat back;
    size_t size =
        body_with_figures(body, &(struct frame_beat){.weight = 250, .reads_per_s = 4000000000u});
    assert_int_equal(frame_beat_read((struct slice){body, size}, &back), OK);
    assert_int_equal(back.weight, 250);
    assert_int_equal(back.reads_per_s, 4000000000u);
    assert_int_equal(back.homes.size, FRAME_HOME_SIZE);
    assert_int_equal(back.figures.size, (FRAME_FIGURES_MAX + 1) * FRAME_HOME_SIZE);
    assert_int_equal(back.address.size, 0);
    size = body_with_figures(body, &(struct frame_beat){.weight = FRAME_WEIGHT_FULL + 1});
    assert_int_equal(frame_beat_read((struct slice){body, size}, &back), MALFORMED);
}

static void a_namespace_behind_a_figure_is_malformed(void **state)
{
    (void)state;
    char body[FRAME_BEAT_BODY_SIZE + 8 * FRAME_HOME_SIZE];
    struct frame_beat back;
    const size_t size = body_with_figures(body, &(struct frame_beat){.weight = 1});
    put_u32le(body + size - 4, 0);
    assert_int_equal(frame_beat_read((struct slice){body, size}, &back), MALFORMED);
}

static void where_no_row_is_left_fewer_figures_are_said(void **state)
{
    (void)state;
    char rows[FRAME_HOME_SIZE];
    const struct frame_beat beat = {.weight = 3};
    assert_int_equal(frame_figures_write(rows, 1, &beat), FRAME_HOME_SIZE);
    assert_int_equal(get_u32le(rows), FRAME_FIGURE_WEIGHT);
    assert_int_equal(frame_figures_write(rows, 0, &beat), 0);
}

static void the_mark_of_an_epoch_depends_on_all_of_it(void **state)
{
    (void)state;
    const struct epoch epoch = {.counter = 5, .random = UINT64_C(0x0123456789abcdef)};
    struct epoch other = epoch;
    other.counter++;
    assert_int_not_equal(frame_epoch_mark(other), frame_epoch_mark(epoch));
    other = epoch;
    other.random ^= 1;
    assert_int_not_equal(frame_epoch_mark(other), frame_epoch_mark(epoch));
    other.random = epoch.random ^ UINT64_C(1) << 63;
    assert_int_not_equal(frame_epoch_mark(other), frame_epoch_mark(epoch));
}

static void keys_come_back_in_order(void **state)
{
    (void)state;
    struct buf body = {0};
    assert_int_equal(frame_append_key(&body, 0, SLICE_LITERAL("one")), OK);
    assert_int_equal(frame_append_key(&body, 15, SLICE_LITERAL("")), OK);
    assert_int_equal(frame_append_key(&body, 255, SLICE_LITERAL("thr\0ee")), OK);
    size_t position = 0;
    uint8_t db = 99;
    struct slice key;
    assert_int_equal(frame_next_key(buf_slice(&body), &position, &db, &key), OK);
    assert_int_equal(db, 0);
    assert_true(slice_is(key, "one"));
    assert_int_equal(frame_next_key(buf_slice(&body), &position, &db, &key), OK);
    assert_int_equal(db, 15);
    assert_int_equal(key.size, 0);
    assert_int_equal(frame_next_key(buf_slice(&body), &position, &db, &key), OK);
    assert_int_equal(db, 255);
    assert_true(slice_equal(key, SLICE_LITERAL("thr\0ee")));
    assert_int_equal(frame_next_key(buf_slice(&body), &position, &db, &key), AGAIN);
    buf_done(&body);
}

static void keys_cut_or_of_an_unknown_kind_do_not_parse(void **state)
{
    (void)state;
    struct buf body = {0};
    assert_int_equal(frame_append_key(&body, 0, SLICE_LITERAL("key")), OK);
    uint8_t db = 0;
    struct slice key;
    for (size_t size = 1; size < body.size; size++) {
        char *cut = malloc(size);
        assert_non_null(cut);
        memcpy(cut, body.data, size);
        size_t position = 0;
        assert_int_equal(frame_next_key((struct slice){cut, size}, &position, &db, &key),
                         MALFORMED);
        assert_int_equal(position, 0);
        free(cut);
    }
    size_t beyond = body.size + 1;
    assert_int_equal(frame_next_key(buf_slice(&body), &beyond, &db, &key), MALFORMED);
    body.data[0] = 1;
    size_t position = 0;
    assert_int_equal(frame_next_key(buf_slice(&body), &position, &db, &key), MALFORMED);
    buf_done(&body);
}

static void keys_are_refused_before_their_frame_gets_too_big(void **state)
{
    (void)state;
    char *bytes = calloc(1, UINT16_MAX);
    assert_non_null(bytes);
    struct buf body = {0};
    assert_int_equal(frame_append_key(&body, 0, (struct slice){bytes, UINT16_MAX}), TOO_BIG);
    assert_int_equal(body.size, 0);
    unsigned appended = 0;
    while (frame_append_key(&body, 0, (struct slice){bytes, 1000}) == OK) {
        appended++;
    }
    assert_int_equal(appended, (LIMIT_FRAME - 72) / 1004);
    const struct frame frame = {.type = FRAME_KEYS, .count = appended, .body = buf_slice(&body)};
    struct buf out = written(&frame);
    assert_int_equal(read_it(&out), OK);
    buf_done(&out);
    buf_done(&body);
    free(bytes);
}

static void epochs_are_equal_in_both_words_or_not(void **state)
{
    (void)state;
    assert_true(epoch_equal((struct epoch){1, 2}, (struct epoch){1, 2}));
    assert_false(epoch_equal((struct epoch){1, 2}, (struct epoch){1, 3}));
    assert_false(epoch_equal((struct epoch){1, 2}, (struct epoch){2, 2}));
}

static void a_beat_may_end_with_an_address_that_can_be_printed(void **state)
{
    (void)state;
    char body[FRAME_BEAT_BODY_SIZE + FRAME_ADDRESS_MAX + 1];
    const struct frame_beat beat = {.bound_ms = 1000};
    struct frame_beat back;
    memset(body, 'a', sizeof body);
    frame_beat_write(body, &beat);
    assert_int_equal(frame_beat_read((struct slice){body, FRAME_BEAT_BODY_SIZE + 5}, &back), OK);
    assert_true(slice_is(back.address, "aaaaa"));
    assert_int_equal(frame_beat_read((struct slice){body, sizeof body - 1}, &back), OK);
    assert_int_equal(back.address.size, FRAME_ADDRESS_MAX);
    assert_int_equal(frame_beat_read((struct slice){body, sizeof body}, &back), MALFORMED);
    static const char bad[] = {'\0', '\n', ' ', '\x7f', '\xe4'};
    for (size_t i = 0; i < sizeof bad; i++) {
        body[FRAME_BEAT_BODY_SIZE + 2] = bad[i];
        assert_int_equal(frame_beat_read((struct slice){body, FRAME_BEAT_BODY_SIZE + 5}, &back),
                         MALFORMED);
    }
}

static void a_beat_may_tell_of_its_namespaces_in_front_of_the_address(void **state)
{
    (void)state;
    static char body[FRAME_BEAT_BODY_SIZE + (FRAME_HOMES_MAX + 2) * FRAME_HOME_SIZE];
    memset(body, 'a', sizeof body);
    char *const rows = body + FRAME_BEAT_BODY_SIZE;
    struct frame_beat beat = {.bound_ms = 1000, .homes = {rows, 2 * (size_t)FRAME_HOME_SIZE}};
    struct frame_beat back;
    frame_beat_write(body, &beat);
    rows[3] = '\0';
    const size_t size = FRAME_BEAT_BODY_SIZE + beat.homes.size;
    assert_int_equal(frame_beat_read((struct slice){body, size}, &back), OK);
    assert_true(back.homes.data == rows && back.homes.size == beat.homes.size);
    assert_int_equal(back.address.size, 0);
    assert_int_equal(frame_beat_read((struct slice){body, size + 3}, &back), OK);
    assert_true(slice_is(back.address, "aaa"));
    assert_int_equal(frame_beat_read((struct slice){body, size - 1}, &back), MALFORMED);
    beat.homes.size = (size_t)FRAME_HOMES_MAX * FRAME_HOME_SIZE;
    frame_beat_write(body, &beat);
    assert_int_equal(
        frame_beat_read((struct slice){body, FRAME_BEAT_BODY_SIZE + beat.homes.size}, &back), OK);
    beat.homes.size += FRAME_HOME_SIZE;
    frame_beat_write(body, &beat);
    assert_int_equal(
        frame_beat_read((struct slice){body, FRAME_BEAT_BODY_SIZE + beat.homes.size}, &back),
        MALFORMED);
}

static void a_flush_comes_back_as_it_was(void **state)
{
    (void)state;
    char body[FRAME_FLUSH_BODY_MAX];
    static const struct frame_flush all[] = {
        {.kind = FRAME_FLUSH_SUSPECT},
        {.kind = FRAME_FLUSH_DROP},
        {.kind = FRAME_FLUSH_DROP, .dbs = 0x8001},
        {.kind = FRAME_FLUSH_DROP, .name = SLICE_LITERAL("response")},
        {.kind = FRAME_FLUSH_DROP,
         .name = SLICE_LITERAL("0123456789012345678901234567890123456789012345678901234567890123")},
    };
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++) {
        struct frame_flush back;
        assert_int_equal(frame_flush_read(frame_flush_write(body, &all[i]), &back), OK);
        assert_int_equal(back.kind, all[i].kind);
        assert_int_equal(back.dbs, all[i].dbs);
        assert_true(slice_equal(back.name, all[i].name));
    }
    struct frame_flush back = {.kind = FRAME_FLUSH_DROP};
    assert_int_equal(frame_flush_read((struct slice){0}, &back), OK);
    assert_int_equal(back.kind, FRAME_FLUSH_SUSPECT);
}

static void a_flush_that_is_not_one_does_not_parse(void **state)
{
    (void)state;
    static const struct slice wrong[] = {
        SLICE_LITERAL("\1\0\0\0\0"),     /* cut */
        SLICE_LITERAL("\2\0\0\0\0\0"),   /* no such kind */
        SLICE_LITERAL("\1\1\0\0\0\0"),   /* reserved */
        SLICE_LITERAL("\1\0\0\0\2\0x"),  /* the name is cut */
        SLICE_LITERAL("\1\0\0\0\1\0xy"), /* something behind it */
    };
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        struct frame_flush back;
        assert_int_equal(frame_flush_read(wrong[i], &back), MALFORMED);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_written_frame_is_read_back_the_same),
        cmocka_unit_test(the_layout_is_the_drawn_one),
        cmocka_unit_test(a_flipped_bit_outside_redis_words_is_noticed),
        cmocka_unit_test(redis_may_write_its_words_after_the_checksum),
        cmocka_unit_test(a_frame_cut_anywhere_does_not_parse),
        cmocka_unit_test(a_byte_too_many_does_not_parse),
        cmocka_unit_test(an_unknown_type_parses_only_when_it_may_be_skipped),
        cmocka_unit_test(every_drawn_type_is_known_and_no_other),
        cmocka_unit_test(a_well_sealed_frame_of_another_layout_does_not_parse),
        cmocka_unit_test(the_largest_frame_passes_and_one_byte_more_does_not),
        cmocka_unit_test(a_beat_is_read_back_the_same),
        cmocka_unit_test(a_beat_that_cannot_be_is_malformed),
        cmocka_unit_test(a_beat_without_figures_says_a_full_weight),
        cmocka_unit_test(figures_of_a_beat_are_read_back_and_strange_ones_skipped),
        cmocka_unit_test(a_namespace_behind_a_figure_is_malformed),
        cmocka_unit_test(where_no_row_is_left_fewer_figures_are_said),
        cmocka_unit_test(the_mark_of_an_epoch_depends_on_all_of_it),
        cmocka_unit_test(a_beat_may_end_with_an_address_that_can_be_printed),
        cmocka_unit_test(a_beat_may_tell_of_its_namespaces_in_front_of_the_address),
        cmocka_unit_test(a_flush_comes_back_as_it_was),
        cmocka_unit_test(a_flush_that_is_not_one_does_not_parse),
        cmocka_unit_test(keys_come_back_in_order),
        cmocka_unit_test(keys_cut_or_of_an_unknown_kind_do_not_parse),
        cmocka_unit_test(keys_are_refused_before_their_frame_gets_too_big),
        cmocka_unit_test(epochs_are_equal_in_both_words_or_not),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
