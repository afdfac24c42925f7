/* SPDX-License-Identifier: BSD-3-Clause */
#include "protocol/hash.h"
#include "protocol/history.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum {
    MANY = 3000
};

static struct history_writer *new_writer(void)
{
    struct history_writer *writer = test_calloc(1, sizeof *writer);
    const struct history_header header = {.seed = 3,
                                          .bound_ns = 1000,
                                          .slack_ns = 3,
                                          .keys = 10,
                                          .nodes = 2,
                                          .node = {{1000, "a"}, {0, "redis"}},
                                          .prefix = "k:",
                                          .description = "a test"};
    assert_int_equal(history_write_header(writer, &header), OK);
    return writer;
}

static void free_writer(struct history_writer *writer)
{
    history_writer_done(writer);
    test_free(writer);
}

static struct history_record read_at(uint64_t time_ns)
{
    return (struct history_record){.kind = HISTORY_READ,
                                   .what = HISTORY_FINAL,
                                   .invoked_ns = time_ns - 1,
                                   .completed_ns = time_ns,
                                   .value = 77,
                                   .key = 9,
                                   .session = 5,
                                   .node = 1};
}

static void write_all(struct history_writer *writer, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        assert_int_equal(history_write(writer, read_at(i + 1)), OK);
    }
    assert_int_equal(history_write_end(writer), OK);
}

/* Reads in pieces of `piece` bytes; returns what stopped it, OK at the end. */
static enum status read_all(struct history_reader *reader, struct slice bytes, size_t piece,
                            uint32_t *ret_count)
{
    struct history_record records[HISTORY_BLOCK_RECORDS];
    size_t at = 0;
    size_t known = 0;
    *ret_count = 0;
    for (;;) {
        uint32_t count = 0;
        size_t used = 0;
        enum status status = history_read(reader, (struct slice){bytes.data + at, known - at},
                                          records, &count, &used);
        if (status == AGAIN && known == bytes.size) {
            return history_read_end(reader, known - at);
        }
        if (status != OK && status != AGAIN) {
            return status;
        }
        if (status == AGAIN) {
            known = bytes.size - known < piece ? bytes.size : known + piece;
        }
        at += used;
        for (uint32_t i = 0; i < count; i++) {
            struct history_record expected = read_at(++*ret_count);
            assert_int_equal(records[i].completed_ns, expected.completed_ns);
            assert_int_equal(records[i].invoked_ns, expected.invoked_ns);
            assert_int_equal(records[i].value, expected.value);
            assert_int_equal(records[i].key, expected.key);
            assert_int_equal(records[i].session, expected.session);
            assert_int_equal(records[i].node, expected.node);
            assert_int_equal(records[i].what, expected.what);
        }
    }
}

static void what_is_written_is_read_in_whatever_pieces(void **state)
{
    (void)state;
    struct history_writer *writer = new_writer();
    write_all(writer, MANY);
    const size_t pieces[] = {1, 7, 4096, 1 << 20};
    for (size_t i = 0; i < sizeof pieces / sizeof pieces[0]; i++) {
        struct history_reader reader = {0};
        uint32_t count = 0;
        assert_int_equal(read_all(&reader, buf_slice(&writer->out), pieces[i], &count), OK);
        assert_int_equal(count, MANY);
        assert_int_equal(reader.header.bound_ns, 1000);
        assert_int_equal(reader.header.nodes, 2);
        assert_string_equal(reader.header.node[1].name, "redis");
        assert_string_equal(reader.header.prefix, "k:");
        assert_string_equal(reader.header.description, "a test");
    }
    free_writer(writer);
}

static void a_moment_before_the_last_is_moved_up(void **state)
{
    (void)state;
    struct history_writer *writer = new_writer();
    assert_int_equal(history_write(writer, read_at(50)), OK);
    assert_int_equal(
        history_write(writer,
                      (struct history_record){.kind = HISTORY_SET, .value = 1, .invoked_ns = 40}),
        OK);
    assert_int_equal(writer->last_ns, 50);
    assert_int_equal(get_u64le(writer->open + HISTORY_RECORD_SIZE), 50);
    free_writer(writer);
}

static void assert_stops(struct slice bytes, const char *place)
{
    struct history_reader reader = {0};
    uint32_t count = 0;
    assert_int_equal(read_all(&reader, bytes, 1 << 20, &count), MALFORMED);
    if (strncmp(reader.error, place, strlen(place)) != 0) {
        fail_msg("expected '%s...', found '%s'", place, reader.error);
    }
}

static void what_is_cut_off_is_refused_wherever_it_is_cut(void **state)
{
    (void)state;
    struct history_writer *writer = new_writer();
    write_all(writer, 3);
    for (size_t size = 0; size < writer->out.size; size += size < 64 ? 1 : 3) {
        char place[64];
        (void)snprintf(place, sizeof place, "at byte %zu: ", size);
        assert_stops((struct slice){writer->out.data, size}, place);
    }
    free_writer(writer);
}

static void a_flipped_bit_is_found_wherever_it_is(void **state)
{
    (void)state;
    struct history_writer *writer = new_writer();
    write_all(writer, 3);
    for (size_t at = 0; at < writer->out.size; at++) {
        writer->out.data[at] ^= 0x10;
        assert_stops(buf_slice(&writer->out), "at byte ");
        writer->out.data[at] ^= 0x10;
    }
    free_writer(writer);
}

static void bytes_behind_the_end_are_refused(void **state)
{
    (void)state;
    struct history_writer *writer = new_writer();
    write_all(writer, 1);
    size_t size = writer->out.size;
    char place[64];
    (void)snprintf(place, sizeof place, "at byte %zu: bytes after the end mark", size);
    assert_int_equal(buf_append(&writer->out, "x", 1), OK);
    assert_stops(buf_slice(&writer->out), place);
    free_writer(writer);
}

/* One record changed, its checksum made right: what remains is the check of the fields. */
static void assert_refused(struct history_record record, const char *why)
{
    struct history_writer *writer = new_writer();
    assert_int_equal(history_write(writer, read_at(100)), OK);
    assert_int_equal(history_write(writer, record), OK);
    put_u64le(writer->open + HISTORY_RECORD_SIZE, record.invoked_ns);
    put_u64le(writer->open + HISTORY_RECORD_SIZE + 8, record.completed_ns);
    assert_int_equal(history_write_end(writer), OK);
    char place[128];
    (void)snprintf(place, sizeof place, "at byte %d: %s",
                   HISTORY_HEADER_SIZE + HISTORY_BLOCK_HEAD_SIZE + HISTORY_RECORD_SIZE, why);
    assert_stops(buf_slice(&writer->out), place);
    free_writer(writer);
}

static void records_that_cannot_be_are_refused_by_name(void **state)
{
    (void)state;
    struct history_record record = read_at(99);
    assert_refused(record, "not sorted");
    record = read_at(101);
    record.key = 10;
    assert_refused(record, "a key that the header does not have");
    record = read_at(101);
    record.key = HISTORY_ALL_KEYS;
    assert_refused(record, "a key that the header does not have");
    record = read_at(101);
    record.node = 2;
    assert_refused(record, "a node that the header does not have");
    record = read_at(101);
    record.session = HISTORY_SESSIONS_MAX;
    assert_refused(record, "a session number");
    record = read_at(101);
    record.invoked_ns = 102;
    assert_refused(record, "times that cannot be");
    record = read_at(101);
    record.what = 4;
    assert_refused(record, "no such outcome or mark");
    record = read_at(101);
    record.life_ms = 1;
    assert_refused(record, "a life of what is not SET");
    record = read_at(101);
    record.kind = 6;
    assert_refused(record, "no such kind of record");
    record = (struct history_record){.kind = HISTORY_SET, .invoked_ns = 101};
    assert_refused(record, "a write without a name");
    record = (struct history_record){.kind = HISTORY_END, .value = 1, .completed_ns = 101};
    assert_refused(record, "no such outcome or mark");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_written_is_read_in_whatever_pieces),
        cmocka_unit_test(a_moment_before_the_last_is_moved_up),
        cmocka_unit_test(what_is_cut_off_is_refused_wherever_it_is_cut),
        cmocka_unit_test(a_flipped_bit_is_found_wherever_it_is),
        cmocka_unit_test(bytes_behind_the_end_are_refused),
        cmocka_unit_test(records_that_cannot_be_are_refused_by_name),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
