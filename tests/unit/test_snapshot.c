/* SPDX-License-Identifier: BSD-3-Clause */
/* The file of a snapshot: what was written is read again, and nothing is believed of a file that is not whole. */
#include "protocol/check.h"
#include "protocol/codec.h"
#include "protocol/hash.h"
#include "protocol/limits.h"
#include "tiers/snapshot.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static enum status to_buf(void *arg, struct slice bytes)
{
    return buf_append_slice(arg, bytes);
}

static enum status from_buf(void *arg, uint64_t offset, char *dst, size_t size)
{
    const struct buf *file = arg;
    assert_true(offset <= file->size && size <= file->size - offset);
    memcpy(dst, file->data + offset, size);
    return OK;
}

static const struct snapshot_head a_head = {
    .l2 = 11,
    .node = 22,
    .epoch = {.counter = 3, .random = 44},
    .run = 55,
    .seq = 66,
    .horizon_ms = 77,
    .floor_ms = 88,
    .managed_floor_ms = 99,
    .now_ms = 1000,
    .boot_ms = 2000,
    .unix_ms = 3000,
    .boot = "a boot",
    .name_count = 2,
    .names = {{.name = {"default", 7}, .policy = {"lru", 3}},
              {.name = {"other", 5}, .policy = {"density", 7}, .managed = true}},
};

static struct snapshot_record record_of(const char *key, struct slice value)
{
    return (struct snapshot_record){.db = 3,
                                    .place = 1,
                                    .look = ITEM_LOOK_RAW,
                                    .capped = true,
                                    .hotness = 201,
                                    .kept = 43210,
                                    .idle_ms = 17,
                                    .expire_at_ms = 5000,
                                    .stamped_at_ms = 900,
                                    .key = slice_of(key),
                                    .value = value};
}

static void begin(struct snapshot_writer *writer, struct buf *file)
{
    assert_int_equal(
        snapshot_begin(writer, (struct snapshot_sink){.write = to_buf, .arg = file}, &a_head), OK);
}

static void end(struct snapshot_writer *writer)
{
    assert_int_equal(snapshot_end(writer), OK);
    snapshot_writer_done(writer);
}

static enum status open_it(struct snapshot_reader *reader, struct buf *file)
{
    const struct snapshot_source source = {.read = from_buf, .arg = file, .size = file->size};
    return snapshot_open(reader, &source, UINT64_MAX);
}

/* A small file: records of two bands, in three blocks. */
static struct buf small_file(void)
{
    struct snapshot_writer writer;
    struct buf file = {0};
    begin(&writer, &file);
    const struct snapshot_record cold = record_of("cold", SLICE_LITERAL("some value"));
    const struct snapshot_record hot = record_of("hot", SLICE_LITERAL("another value"));
    const struct snapshot_record none = record_of("", SLICE_LITERAL(""));
    assert_int_equal(snapshot_put(&writer, 0, &cold), OK);
    assert_int_equal(snapshot_put(&writer, 15, &hot), OK);
    assert_int_equal(snapshot_put(&writer, 7, &none), OK);
    end(&writer);
    return file;
}

/* Reads to the end: how many records. */
static uint64_t read_all(struct snapshot_reader *reader, enum status *ret_status)
{
    struct snapshot_record record;
    uint64_t count = 0;
    while ((*ret_status = snapshot_next(reader, &record)) == OK) {
        count++;
    }
    return count;
}

static void what_was_written_is_read_again_the_hottest_first(void **state)
{
    static const char *const keys[] = {"hot", "", "cold"};
    struct snapshot_reader reader;
    struct snapshot_record record;
    struct buf file = small_file();
    (void)state;
    assert_int_equal(open_it(&reader, &file), OK);
    assert_int_equal(reader.head.seq, 66);
    assert_true(reader.head.epoch.counter == 3 && reader.head.epoch.random == 44);
    assert_true(reader.head.l2 == 11 && reader.head.node == 22 && reader.head.run == 55);
    assert_true(reader.head.horizon_ms == 77 && reader.head.floor_ms == 88);
    assert_true(reader.head.managed_floor_ms == 99 && reader.head.now_ms == 1000);
    assert_true(reader.head.boot_ms == 2000 && reader.head.unix_ms == 3000);
    assert_string_equal(reader.head.boot, "a boot");
    assert_false(reader.head.is_alone || reader.head.has_ended);
    assert_true(reader.head.name_count == 2 && slice_is(reader.head.names[1].name, "other"));
    assert_true(reader.head.names[1].managed && !reader.head.names[0].managed);
    assert_true(slice_is(reader.head.names[0].policy, "lru") &&
                slice_is(reader.head.names[1].policy, "density"));
    for (size_t i = 0; i < 3; i++) {
        assert_int_equal(snapshot_next(&reader, &record), OK);
        assert_true(slice_is(record.key, keys[i]));
        assert_true(record.db == 3 && record.place == 1 && record.look == ITEM_LOOK_RAW);
        assert_true(record.capped && record.idle_ms == 17 && record.expire_at_ms == 5000);
        assert_true(record.hotness == 201 && record.kept == 43210);
        assert_int_equal(record.stamped_at_ms, 900);
    }
    assert_true(slice_is(record.value, "some value"));
    assert_int_equal(snapshot_next(&reader, &record), MISS);
    snapshot_close(&reader);
    buf_done(&file);
}

static void many_values_and_large_ones_pass(void **state)
{
    enum {
        COUNT = 5000,
        LARGE = 3 << 20
    };
    struct snapshot_writer writer;
    struct snapshot_reader reader;
    struct buf file = {0};
    char key[32];
    enum status status = OK;
    char *large = calloc(1, LARGE);
    (void)state;
    assert_non_null(large);
    begin(&writer, &file);
    for (unsigned i = 0; i < COUNT; i++) {
        (void)snprintf(key, sizeof key, "key%u", i);
        const struct snapshot_record record = record_of(key, slice_of(key));
        assert_int_equal(snapshot_put(&writer, i % SNAPSHOT_BANDS, &record), OK);
    }
    const struct snapshot_record record = record_of("large", (struct slice){large, LARGE});
    assert_int_equal(snapshot_put(&writer, 3, &record), OK);
    end(&writer);
    assert_true(file.size < LARGE / 10);
    assert_int_equal(open_it(&reader, &file), OK);
    assert_int_equal(read_all(&reader, &status), COUNT + 1);
    assert_int_equal(status, MISS);
    assert_int_equal(reader.totals.records, COUNT + 1);
    snapshot_close(&reader);
    free(large);
    buf_done(&file);
}

static void a_file_with_any_byte_changed_is_refused_whole(void **state)
{
    struct buf file = small_file();
    (void)state;
    for (size_t at = 0; at < file.size; at++) {
        for (unsigned bit = 0; bit < 8; bit++) {
            struct snapshot_reader reader;
            enum status status = OK;
            file.data[at] = (char)(file.data[at] ^ 1 << bit);
            if (at >= SNAPSHOT_ENDED_OFFSET && at < SNAPSHOT_ENDED_OFFSET + 8) {
                assert_int_equal(open_it(&reader, &file), OK);
                assert_false(reader.head.has_ended);
                assert_int_equal(read_all(&reader, &status), 3);
            } else {
                assert_int_equal(open_it(&reader, &file), MALFORMED);
                assert_true(reader.error[0] != '\0');
            }
            snapshot_close(&reader);
            file.data[at] = (char)(file.data[at] ^ 1 << bit);
        }
    }
    buf_done(&file);
}

static void a_file_of_any_other_length_is_refused(void **state)
{
    struct buf file = small_file();
    const size_t size = file.size;
    struct snapshot_reader reader;
    (void)state;
    for (file.size = 0; file.size < size; file.size++) {
        assert_int_equal(open_it(&reader, &file), MALFORMED);
        snapshot_close(&reader);
    }
    assert_int_equal(buf_append(&file, "x", 1), OK);
    assert_int_equal(open_it(&reader, &file), MALFORMED);
    snapshot_close(&reader);
    buf_done(&file);
}

static void the_word_at_the_beginning_says_that_the_node_ended_in_order(void **state)
{
    struct snapshot_writer writer;
    struct snapshot_reader reader;
    struct buf file = {0};
    (void)state;
    begin(&writer, &file);
    const uint64_t word = snapshot_ended(&writer);
    end(&writer);
    put_u64le(file.data + SNAPSHOT_ENDED_OFFSET, word);
    assert_int_equal(open_it(&reader, &file), OK);
    assert_true(reader.head.has_ended);
    snapshot_close(&reader);
    put_u64le(file.data + SNAPSHOT_ENDED_OFFSET, word + 1);
    assert_int_equal(open_it(&reader, &file), OK);
    assert_false(reader.head.has_ended);
    snapshot_close(&reader);
    buf_done(&file);
}

/* Whose sums are right, whatever is in it. */
static struct buf hostile_file(uint32_t raw, struct slice packed)
{
    struct snapshot_writer writer;
    struct buf file = {0};
    char head[SNAPSHOT_BLOCK_HEAD] = {0};
    begin(&writer, &file);
    put_u32le(head, 0x4b4c4254);
    put_u32le(head + 8, raw);
    put_u32le(head + 12, (uint32_t)packed.size);
    put_u64le(head + 16, hash_checksum_of_two((struct slice){head, 16}, packed));
    assert_int_equal(buf_append(&file, head, sizeof head), OK);
    assert_int_equal(buf_append_slice(&file, packed), OK);
    writer.totals = (struct snapshot_totals){.blocks = 1, .records = 1};
    end(&writer);
    return file;
}

static enum status fate_of(uint32_t raw, struct slice packed, uint64_t raw_max)
{
    struct snapshot_reader reader;
    struct snapshot_record record;
    struct buf file = hostile_file(raw, packed);
    const struct snapshot_source source = {.read = from_buf, .arg = &file, .size = file.size};
    enum status status = snapshot_open(&reader, &source, raw_max);
    assert_true(status == OK || reader.raw.capacity == 0);
    if (status == OK) {
        status = snapshot_next(&reader, &record);
    }
    snapshot_close(&reader);
    buf_done(&file);
    return status;
}

/* Before anything is made of it. */
static bool opens(uint32_t raw, struct slice packed, uint64_t raw_max)
{
    struct snapshot_reader reader;
    struct buf file = hostile_file(raw, packed);
    const struct snapshot_source source = {.read = from_buf, .arg = &file, .size = file.size};
    const enum status status = snapshot_open(&reader, &source, raw_max);
    snapshot_close(&reader);
    buf_done(&file);
    return status == OK;
}

static void a_block_that_says_more_than_it_can_be_costs_no_memory(void **state)
{
    char junk[64] = {0};
    const struct slice packed = {junk, sizeof junk};
    (void)state;
    assert_false(opens(UINT32_MAX, packed, UINT64_MAX));
    assert_false(opens(CODEC_EXPANSION_MAX * (sizeof junk + 1), packed, UINT64_MAX));
    assert_false(opens(sizeof junk - 1, packed, UINT64_MAX));
    assert_true(opens(1 << 10, packed, UINT64_MAX));
    assert_int_equal(fate_of(1 << 10, packed, UINT64_MAX), MALFORMED); /* no LZ4 */
}

static void a_value_that_is_larger_than_the_reader_may_take_is_left_out_and_the_rest_is_not(
    void **state)
{
    enum {
        LARGE = 3 << 20,
        ROOM = 1 << 20
    };
    struct snapshot_writer writer;
    struct snapshot_reader reader;
    struct snapshot_record record;
    struct buf file = {0};
    char *large = calloc(1, LARGE);
    (void)state;
    begin(&writer, &file);
    const struct snapshot_record values[] = {record_of("small", SLICE_LITERAL("value")),
                                             record_of("large", (struct slice){large, LARGE}),
                                             record_of("last", SLICE_LITERAL("value"))};
    for (size_t i = 0; i < 3; i++) {
        assert_int_equal(snapshot_put(&writer, 7, &values[i]), OK);
    }
    end(&writer);
    const struct snapshot_source source = {.read = from_buf, .arg = &file, .size = file.size};
    assert_int_equal(snapshot_open(&reader, &source, ROOM), OK);
    assert_int_equal(snapshot_next(&reader, &record), OK);
    assert_true(slice_is(record.key, "small"));
    assert_int_equal(snapshot_next(&reader, &record), OK);
    assert_true(slice_is(record.key, "last"));
    assert_int_equal(snapshot_next(&reader, &record), MISS); /* and their number was right */
    assert_int_equal(reader.left_out, 1);
    assert_true(reader.raw.capacity <= ROOM && reader.packed.capacity <= ROOM);
    snapshot_close(&reader);
    free(large);
    buf_done(&file);
}

static void a_record_that_reaches_beyond_its_block_is_refused(void **state)
{
    char raw[64] = {0};
    const struct slice block = {raw, sizeof raw};
    (void)state;
    put_u32le(raw + 24, 16);
    put_u32le(raw + 28, 17); /* a byte too many */
    assert_int_equal(fate_of(sizeof raw, block, UINT64_MAX), MALFORMED);
    put_u32le(raw + 28, UINT32_MAX);
    assert_int_equal(fate_of(sizeof raw, block, UINT64_MAX), MALFORMED);
    put_u32le(raw + 24, LIMIT_L1_KEY);
    assert_int_equal(fate_of(sizeof raw, block, UINT64_MAX), MALFORMED);
    put_u32le(raw + 24, 16);
    put_u32le(raw + 28, 16);
    assert_int_equal(fate_of(sizeof raw, block, UINT64_MAX), OK);
    raw[1] = 2; /* of a namespace that it does not name */
    assert_int_equal(fate_of(sizeof raw, block, UINT64_MAX), MALFORMED);
    raw[1] = 0;
    raw[0] = (char)(ITEM_LOOK_CLAIM << 4);
    assert_int_equal(fate_of(sizeof raw, block, UINT64_MAX), MALFORMED);
    raw[0] = 0;
    put_u64le(raw + 8, UINT64_MAX); /* a time before all times */
    assert_int_equal(fate_of(sizeof raw, block, UINT64_MAX), MALFORMED);
}

static enum status refuse(void *arg, struct slice bytes)
{
    unsigned *left = arg;
    (void)bytes;
    return (*left)-- > 0 ? OK : INVALID;
}

static void a_sink_that_refuses_is_told_of(void **state)
{
    (void)state;
    for (unsigned good = 0; good < 4; good++) {
        struct snapshot_writer writer;
        const struct snapshot_record record = record_of("key", SLICE_LITERAL("value"));
        unsigned left = good;
        enum status status =
            snapshot_begin(&writer, (struct snapshot_sink){.write = refuse, .arg = &left}, &a_head);
        status = status == OK ? snapshot_put(&writer, 0, &record) : status;
        status = status == OK ? snapshot_end(&writer) : status;
        assert_int_equal(status, INVALID);
        snapshot_writer_done(&writer);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_was_written_is_read_again_the_hottest_first),
        cmocka_unit_test(many_values_and_large_ones_pass),
        cmocka_unit_test(a_file_with_any_byte_changed_is_refused_whole),
        cmocka_unit_test(a_file_of_any_other_length_is_refused),
        cmocka_unit_test(the_word_at_the_beginning_says_that_the_node_ended_in_order),
        cmocka_unit_test(a_block_that_says_more_than_it_can_be_costs_no_memory),
        cmocka_unit_test(
            a_value_that_is_larger_than_the_reader_may_take_is_left_out_and_the_rest_is_not),
        cmocka_unit_test(a_record_that_reaches_beyond_its_block_is_refused),
        cmocka_unit_test(a_sink_that_refuses_is_told_of),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
