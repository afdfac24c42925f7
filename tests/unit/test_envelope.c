/* SPDX-License-Identifier: BSD-3-Clause */
#include "protocol/envelope.h"
#include "protocol/hash.h"
#include "protocol/limits.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static const struct slice sample_tags[] = {{"user:7", 6}, {"\0\xff", 2}, {"p", 1}};

static struct envelope sample(void)
{
    return (struct envelope){
        .kind = ENVELOPE_LZ4_DICTIONARY,
        .soft = true,
        .version = UINT64_C(0x1f020304050607),
        .fresh_ms = 86400000,
        .swr_ms = 1000,
        .sie_ms = 60000,
        .load_ms = 35,
        .value_size = 137,
        .dictionary = 300,
        .tag_count = 3,
        .body = SLICE_LITERAL("squeezed"),
    };
}

/* The caller frees it. */
static struct buf written(const struct envelope *envelope, const struct slice *tags)
{
    struct buf out = {0};
    assert_int_equal(envelope_write(&out, envelope, tags), OK);
    return out;
}

/* Makes the checksum right again, as envelope.h draws it. */
static void seal(char *bytes, size_t size)
{
    char head[23];
    memcpy(head, bytes, 4);
    memcpy(head + 4, bytes + 5, 3);
    memcpy(head + 7, bytes + 24, 16);
    put_u64le(bytes + 40, hash_checksum_of_two((struct slice){head, sizeof head},
                                               (struct slice){bytes + 48, size - 48}));
}

/* As if read from L2: at an address of its own, so that a sanitizer sees every step beyond. */
static enum status read_alone(const char *bytes, size_t size, bool make_whole)
{
    char *own = malloc(size + 1);
    assert_non_null(own);
    memcpy(own, bytes, size);
    if (make_whole) {
        seal(own, size);
    }
    char *exact = realloc(own, size == 0 ? 1 : size);
    assert_non_null(exact);
    struct envelope envelope;
    const enum status status = envelope_read((struct slice){exact, size}, &envelope);
    free(exact);
    return status;
}

static void a_written_envelope_is_read_back_the_same(void **state)
{
    (void)state;
    const struct envelope envelope = sample();
    struct buf out = written(&envelope, sample_tags);
    struct envelope back;
    assert_int_equal(envelope_read(buf_slice(&out), &back), OK);
    assert_int_equal(back.kind, ENVELOPE_LZ4_DICTIONARY);
    assert_true(back.soft);
    assert_true(back.version == envelope.version && back.fresh_ms == envelope.fresh_ms);
    assert_int_equal(back.swr_ms, 1000);
    assert_int_equal(back.sie_ms, 60000);
    assert_int_equal(back.load_ms, 35);
    assert_int_equal(back.value_size, 137);
    assert_int_equal(back.dictionary, 300);
    assert_true(slice_equal(back.body, envelope.body));
    assert_int_equal(back.tag_count, 3);
    size_t at = 0;
    struct slice tag;
    for (unsigned i = 0; i < 3; i++) {
        assert_true(envelope_next_tag(&back, &at, &tag));
        assert_true(slice_equal(tag, sample_tags[i]));
        assert_true(tag.data > out.data && tag.data + tag.size < out.data + out.size);
    }
    assert_false(envelope_next_tag(&back, &at, &tag));
    buf_done(&out);
}

static void the_layout_is_the_drawn_one(void **state)
{
    (void)state;
    const struct envelope envelope = {.version = 0x0102,
                                      .fresh_ms = 3,
                                      .swr_ms = 4,
                                      .sie_ms = 5,
                                      .value_size = 2,
                                      .load_ms = 6,
                                      .tag_count = 1,
                                      .body = SLICE_LITERAL("hi")};
    struct buf out = written(&envelope, &(struct slice){"t", 1});
    static const unsigned char expected[] = {0xf5, 'T', 'E', 1, 0, 0, 3, 0, 2, 1, 0, 0, 0, 0,
                                             0,    0,   3,   0, 0, 0, 0, 0, 0, 0, 4, 0, 0, 0,
                                             5,    0,   0,   0, 2, 0, 0, 0, 6, 0, 0, 0};
    static const unsigned char rest[] = {1 << 3 | 2, 1, 't', 'h', 'i'};
    assert_int_equal(out.size, ENVELOPE_HEAD_SIZE + sizeof rest);
    assert_memory_equal(out.data, expected, sizeof expected);
    assert_memory_equal(out.data + ENVELOPE_HEAD_SIZE, rest, sizeof rest);
    const uint64_t checksum = get_u64le(out.data + 40);
    seal(out.data, out.size);
    assert_true(get_u64le(out.data + 40) == checksum);
    buf_done(&out);
}

static void a_value_without_the_magic_is_foreign(void **state)
{
    (void)state;
    static const char *const foreign[] = {
        "", "x", "TE", "plain text, longer than the head of an envelope is", "{\"json\":true}"};
    struct envelope envelope;
    for (size_t i = 0; i < sizeof foreign / sizeof *foreign; i++) {
        assert_int_equal(envelope_read(slice_of(foreign[i]), &envelope), MISS);
    }
    assert_int_equal(envelope_read(SLICE_LITERAL("\xf5T"), &envelope), MISS);
    assert_int_equal(envelope_read(SLICE_LITERAL("\xf5TE"), &envelope), MALFORMED);
}

static void a_later_layout_is_malformed_not_foreign(void **state)
{
    (void)state;
    const struct envelope envelope = sample();
    struct buf out = written(&envelope, sample_tags);
    out.data[3] = 2;
    assert_int_equal(read_alone(out.data, out.size, true), MALFORMED);
    buf_done(&out);
}

static void every_cut_is_refused(void **state)
{
    (void)state;
    const struct envelope envelope = sample();
    struct buf out = written(&envelope, sample_tags);
    for (size_t size = 0; size < out.size; size++) {
        assert_int_equal(read_alone(out.data, size, false), size < 3 ? MISS : MALFORMED);
    }
    assert_int_equal(buf_append(&out, "x", 1), OK);
    assert_int_equal(read_alone(out.data, out.size, false), MALFORMED);
    buf_done(&out);
}

/* Bytes that scripts change, which no checksum covers: only their range is looked at. */
static bool is_open(size_t at)
{
    return at == 4 || (at >= 8 && at < 24);
}

static void every_flipped_bit_is_seen_but_where_scripts_write(void **state)
{
    (void)state;
    const struct envelope envelope = sample();
    struct buf out = written(&envelope, sample_tags);
    for (size_t bit = 0; bit < 8 * out.size; bit++) {
        const size_t at = bit / 8;
        out.data[at] = (char)(out.data[at] ^ 1 << bit % 8);
        const enum status status = read_alone(out.data, out.size, false);
        if (at < 3) {
            assert_int_equal(status, MISS);
        } else if (!is_open(at)) {
            assert_int_equal(status, MALFORMED);
        } else if (at == 4 && bit % 8 != 0) {
            assert_int_equal(status, MALFORMED);
        } else if ((at == 14 || at == 22) && bit % 8 >= 5) { /* 2^53 and up */
            assert_int_equal(status, MALFORMED);
        } else if (at == 15 || at == 23) {
            assert_int_equal(status, MALFORMED);
        } else {
            assert_int_equal(status, OK);
        }
        out.data[at] = (char)(out.data[at] ^ 1 << bit % 8);
    }
    buf_done(&out);
}

static void what_a_script_writes_in_place_is_read(void **state)
{
    (void)state;
    struct envelope envelope = sample();
    envelope.soft = false;
    struct buf out = written(&envelope, sample_tags);
    out.data[ENVELOPE_SOFT_OFFSET] = 1;
    put_u64le(out.data + ENVELOPE_VERSION_OFFSET, ENVELOPE_NUMBER_END - 1);
    put_u64le(out.data + ENVELOPE_FRESH_OFFSET, 5);
    struct envelope back;
    assert_int_equal(envelope_read(buf_slice(&out), &back), OK);
    assert_true(back.soft && back.version == ENVELOPE_NUMBER_END - 1 && back.fresh_ms == 5);
    buf_done(&out);
}

static void limits_hold_when_writing(void **state)
{
    (void)state;
    static char longest[ENVELOPE_TAG_MAX + 1];
    struct slice tags[ENVELOPE_TAGS_MAX + 1];
    for (unsigned i = 0; i <= ENVELOPE_TAGS_MAX; i++) {
        tags[i] = (struct slice){longest, ENVELOPE_TAG_MAX};
    }
    struct envelope envelope = sample();
    envelope.tag_count = ENVELOPE_TAGS_MAX;
    envelope.dictionary = UINT64_MAX;
    struct buf out = written(&envelope, tags);
    struct envelope back;
    assert_int_equal(envelope_read(buf_slice(&out), &back), OK);
    assert_int_equal(back.tag_count, ENVELOPE_TAGS_MAX);
    assert_true(back.dictionary == UINT64_MAX);
    const size_t size = out.size;

    envelope.tag_count = ENVELOPE_TAGS_MAX + 1;
    assert_int_equal(envelope_write(&out, &envelope, tags), INVALID);
    envelope.tag_count = 1;
    tags[0].size = ENVELOPE_TAG_MAX + 1;
    assert_int_equal(envelope_write(&out, &envelope, tags), INVALID);
    tags[0].size = 0;
    assert_int_equal(envelope_write(&out, &envelope, tags), INVALID);
    tags[0].size = 1;
    envelope.version = ENVELOPE_NUMBER_END;
    assert_int_equal(envelope_write(&out, &envelope, tags), INVALID);
    envelope.version = 1;
    envelope.fresh_ms = ENVELOPE_NUMBER_END;
    assert_int_equal(envelope_write(&out, &envelope, tags), INVALID);
    assert_int_equal(out.size, size);
    buf_done(&out);
}

static void kinds_have_what_they_need_and_nothing_else(void **state)
{
    (void)state;
    struct buf out = {0};
    const struct slice body = SLICE_LITERAL("abc");
    const struct envelope bad[] = {
        {.kind = ENVELOPE_RAW, .value_size = 2, .body = body},
        {.kind = ENVELOPE_RAW, .value_size = 3, .body = body, .dictionary = 1},
        {.kind = ENVELOPE_LZ4, .value_size = 3, .body = body},
        {.kind = ENVELOPE_LZ4, .value_size = 4, .body = body, .dictionary = 1},
        {.kind = ENVELOPE_LZ4, .value_size = 4},
        {.kind = ENVELOPE_LZ4, .value_size = (uint32_t)LIMIT_BULK + 1, .body = body},
        {.kind = ENVELOPE_LZ4_DICTIONARY, .value_size = 4, .body = body},
        {.kind = ENVELOPE_NEGATIVE, .value_size = 3, .body = body},
        {.kind = ENVELOPE_NEGATIVE, .value_size = 1},
        {.kind = ENVELOPE_NEGATIVE + 1},
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        assert_int_equal(envelope_write(&out, &bad[i], NULL), INVALID);
    }
    const struct envelope good[] = {{.kind = ENVELOPE_RAW},
                                    {.kind = ENVELOPE_LZ4, .value_size = 4, .body = body},
                                    {.kind = ENVELOPE_NEGATIVE}};
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        out.size = 0;
        assert_int_equal(envelope_write(&out, &good[i], NULL), OK);
        assert_int_equal(read_alone(out.data, out.size, false), OK);
        out.data[5] = ENVELOPE_LZ4_DICTIONARY; /* which says no number */
        assert_int_equal(read_alone(out.data, out.size, true), MALFORMED);
    }
    buf_done(&out);
}

/* A raw envelope of the value "v" around any metadata, with the right checksum. */
static enum status read_metadata(const void *metadata, size_t size)
{
    char *bytes = calloc(1, ENVELOPE_HEAD_SIZE + size + 1);
    assert_non_null(bytes);
    memcpy(bytes, "\xf5TE\1", 4);
    put_u16le(bytes + 6, (uint16_t)size);
    put_u32le(bytes + 32, 1);
    memcpy(bytes + ENVELOPE_HEAD_SIZE, metadata, size);
    bytes[ENVELOPE_HEAD_SIZE + size] = 'v';
    const enum status status = read_alone(bytes, ENVELOPE_HEAD_SIZE + size + 1, true);
    free(bytes);
    return status;
}

static void metadata_of_others_is_read_as_far_as_it_is_sound(void **state)
{
    (void)state;
    assert_int_equal(read_metadata("", 0), OK);
    assert_int_equal(read_metadata("\x0a\1a", 3), OK);
    assert_int_equal(read_metadata("\x0a\1a\x18\5", 5), OK);        /* a field to come */
    assert_int_equal(read_metadata("\x18\5\x0a\1a", 5), MALFORMED); /* tags not in front */
    assert_int_equal(read_metadata("\x0a\1a\x18\5\x0a\1b", 8), MALFORMED);
    assert_int_equal(read_metadata("\x0a\0", 2), MALFORMED);  /* an empty tag */
    assert_int_equal(read_metadata("\x0a\2a", 3), MALFORMED); /* beyond the end */
    assert_int_equal(read_metadata("\x0a\xff\xff\xff\xff\x0f", 6), MALFORMED);
    assert_int_equal(read_metadata("\x0a\x81\x80\0a", 5), MALFORMED); /* a length in three bytes */
    assert_int_equal(read_metadata("\x08\1", 2), MALFORMED);          /* a number as a tag */
    assert_int_equal(read_metadata("\x10\1", 2), MALFORMED);          /* raw with a dictionary */
    assert_int_equal(read_metadata("\xff\xff\xff\xff\xff\xff", 6), MALFORMED);
}

static void metadata_that_wants_much_memory_is_malformed(void **state)
{
    (void)state;
    /* Each field of two bytes that nobody knows costs protobuf-c some forty. */
    static char fields[ENVELOPE_METADATA_MAX + 2];
    for (size_t i = 0; i < sizeof fields; i += 2) {
        memcpy(fields + i, "\x18\5", 2);
    }
    assert_int_equal(read_metadata(fields, 200), OK);
    assert_int_equal(read_metadata(fields, ENVELOPE_METADATA_MAX), MALFORMED);
    assert_int_equal(read_metadata(fields, ENVELOPE_METADATA_MAX + 2), MALFORMED);
    for (size_t i = 0; i + 3 <= sizeof fields; i += 3) {
        memcpy(fields + i, "\x0a\1a", 3);
    }
    assert_int_equal(read_metadata(fields, 3 * ENVELOPE_TAGS_MAX), OK);
    assert_int_equal(read_metadata(fields, 3 * ENVELOPE_TAGS_MAX + 3), MALFORMED);
    assert_int_equal(read_metadata(fields, 3 * 5000), MALFORMED);
}

static struct envelope raw(void)
{
    struct envelope envelope = sample();
    envelope.kind = ENVELOPE_RAW;
    envelope.dictionary = 0;
    envelope.body = SLICE_LITERAL("a value that is not squeezed");
    envelope.value_size = (uint32_t)envelope.body.size;
    return envelope;
}

static void one_that_comes_in_pieces_is_known_by_its_beginning(void **state)
{
    (void)state;
    const struct envelope envelope = raw();
    struct buf out = written(&envelope, sample_tags);
    const size_t before = out.size - envelope.body.size;
    struct envelope begun;
    for (size_t size = 0; size <= out.size; size++) {
        char *own = malloc(size + 1);
        assert_non_null(own);
        memcpy(own, out.data, size);
        const enum status status = envelope_begin((struct slice){own, size}, out.size, &begun);
        assert_int_equal(status, size < before ? AGAIN : OK);
        if (status == OK) {
            assert_int_equal(begun.version, envelope.version);
            assert_int_equal(begun.tag_count, 3);
            assert_int_equal(begun.body.size, size - before);
        }
        free(own);
    }
    assert_int_equal(envelope_begin(buf_slice(&out), out.size + 1, &begun), MALFORMED);
    out.data[0] = 'x';
    assert_int_equal(envelope_begin((struct slice){out.data, 1}, out.size, &begun), MISS);
    buf_done(&out);
    const struct envelope squeezed = sample();
    struct buf other = written(&squeezed, sample_tags);
    assert_int_equal(envelope_begin(buf_slice(&other), other.size, &begun), INVALID);
    buf_done(&other);
}

static void its_checksum_is_found_along_the_way(void **state)
{
    (void)state;
    const struct envelope envelope = raw();
    struct buf out = written(&envelope, sample_tags);
    for (size_t bad = 47; bad <= out.size; bad++) { /* 47: in the checksum; out.size: nothing */
        struct hash_sum sum;
        out.data[bad % out.size] ^= (char)(bad < out.size);
        envelope_sum_begin(&sum, out.data);
        for (size_t at = ENVELOPE_HEAD_SIZE; at < out.size; at++) {
            hash_sum_add(&sum, (struct slice){out.data + at, 1});
        }
        assert_int_equal(envelope_sum_fits(&sum, out.data), bad == out.size);
        out.data[bad % out.size] ^= (char)(bad < out.size);
    }
    buf_done(&out);
}

/* Head behind the value: the same bytes as of one that was written whole, and what scripts and its end change is not summed. */
static void a_head_that_is_written_behind_its_value(void **state)
{
    (void)state;
    const struct slice value = SLICE_LITERAL("a value that came in pieces");
    struct envelope envelope = {.kind = ENVELOPE_RAW,
                                .fresh_ms = 5000,
                                .swr_ms = 10,
                                .sie_ms = 20,
                                .value_size = (uint32_t)value.size,
                                .body = value};
    struct buf whole = {0};
    assert_int_equal(envelope_write(&whole, &envelope, NULL), OK);
    char head[ENVELOPE_HEAD_SIZE];
    struct hash_sum sum;
    envelope.fresh_ms = 0; /* not known yet */
    envelope_head_begin(head, &envelope);
    envelope_sum_begin(&sum, head);
    for (size_t at = 0; at < value.size; at++) {
        hash_sum_add(&sum, (struct slice){value.data + at, 1});
    }
    envelope_head_end(head, 5000, &sum);
    assert_memory_equal(head, whole.data, sizeof head);
    struct envelope back;
    assert_int_equal(envelope_read(buf_slice(&whole), &back), OK);
    assert_true(slice_equal(back.body, value));
    buf_done(&whole);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_that_comes_in_pieces_is_known_by_its_beginning),
        cmocka_unit_test(its_checksum_is_found_along_the_way),
        cmocka_unit_test(a_written_envelope_is_read_back_the_same),
        cmocka_unit_test(the_layout_is_the_drawn_one),
        cmocka_unit_test(a_value_without_the_magic_is_foreign),
        cmocka_unit_test(a_later_layout_is_malformed_not_foreign),
        cmocka_unit_test(every_cut_is_refused),
        cmocka_unit_test(every_flipped_bit_is_seen_but_where_scripts_write),
        cmocka_unit_test(what_a_script_writes_in_place_is_read),
        cmocka_unit_test(limits_hold_when_writing),
        cmocka_unit_test(kinds_have_what_they_need_and_nothing_else),
        cmocka_unit_test(metadata_of_others_is_read_as_far_as_it_is_sound),
        cmocka_unit_test(metadata_that_wants_much_memory_is_malformed),
        cmocka_unit_test(a_head_that_is_written_behind_its_value),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
