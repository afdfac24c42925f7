/* SPDX-License-Identifier: BSD-3-Clause */
/* The log of write-behind: what was written is read again, what was torn is cut, what was changed is refused. */
#include "protocol/check.h"
#include "protocol/limits.h"
#include "tiers/behind_log.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static const struct behind_record three[] = {
    {.kind = BEHIND_WRITE,
     .number = 7,
     .db = 3,
     .base = 99,
     .dies_at_ms = 123456789,
     .key = {"key", 3},
     .envelope = {"the value", 9}},
    {.kind = BEHIND_FINISHED, .number = 7, .db = 3, .key = {"key", 3}},
    {.kind = BEHIND_WRITE, .number = 8, .key = {"gone", 4}},
};

static struct buf log_of_three(void)
{
    struct buf log = {0};
    assert_int_equal(behind_log_begin(&log), OK);
    for (size_t i = 0; i < 3; i++) {
        assert_int_equal(behind_log_append(&log, &three[i]), OK);
    }
    return log;
}

static void assert_record(const struct behind_record *record, const struct behind_record *wanted)
{
    assert_int_equal(record->kind, wanted->kind);
    assert_int_equal(record->number, wanted->number);
    assert_int_equal(record->db, wanted->db);
    assert_int_equal(record->base, wanted->base);
    assert_int_equal(record->dies_at_ms, wanted->dies_at_ms);
    assert_true(slice_equal(record->key, wanted->key));
    assert_true(slice_equal(record->envelope, wanted->envelope));
}

/* Reads to the end. Returns how many records were good; *ret_status says what stands behind them. */
static size_t read_all(struct slice file, enum status *ret_status, size_t *ret_offset)
{
    struct behind_log_reader reader;
    struct behind_record record;
    size_t count = 0;
    *ret_status = behind_log_open(&reader, file);
    while (*ret_status == OK && (*ret_status = behind_log_next(&reader, &record)) == OK) {
        assert_record(&record, &three[count % 3]);
        count++;
    }
    *ret_offset = reader.offset;
    return count;
}

static void what_was_written_is_read_again(void **state)
{
    (void)state;
    struct buf log = log_of_three();
    enum status status = OK;
    size_t offset = 0;
    assert_int_equal(read_all(buf_slice(&log), &status, &offset), 3);
    assert_int_equal(status, MISS);
    assert_int_equal(offset, log.size);
    buf_done(&log);
}

static void an_end_that_is_cut_anywhere_is_torn_and_what_stands_before_is_kept(void **state)
{
    (void)state;
    struct buf log = log_of_three();
    size_t ends[4] = {BEHIND_LOG_MAGIC_SIZE};
    struct behind_log_reader reader;
    struct behind_record record;
    assert_int_equal(behind_log_open(&reader, buf_slice(&log)), OK);
    for (size_t i = 1; i < 4; i++) {
        assert_int_equal(behind_log_next(&reader, &record), OK);
        ends[i] = reader.offset;
    }
    for (size_t size = 0; size < log.size; size++) {
        enum status status = OK;
        size_t offset = 0;
        size_t whole = 0;
        while (whole < 3 && ends[whole + 1] <= size) {
            whole++;
        }
        assert_int_equal(read_all((struct slice){log.data, size}, &status, &offset), whole);
        assert_int_equal(status,
                         size >= BEHIND_LOG_MAGIC_SIZE && size == ends[whole] ? MISS : AGAIN);
        assert_int_equal(offset, size < BEHIND_LOG_MAGIC_SIZE ? 0 : ends[whole]);
    }
    buf_done(&log);
}

static void an_end_of_zeros_is_torn(void **state)
{
    (void)state;
    static const char zeros[4096];
    struct buf log = log_of_three();
    const size_t good = log.size;
    enum status status = OK;
    size_t offset = 0;
    assert_int_equal(buf_append(&log, zeros, sizeof zeros), OK);
    assert_int_equal(read_all(buf_slice(&log), &status, &offset), 3);
    assert_int_equal(status, AGAIN);
    assert_int_equal(offset, good);
    buf_done(&log);
}

/* A last record that has its size and not all of its bytes: pages of a file need not come to the disk in order. */
static void a_last_record_with_wrong_bytes_is_torn_and_an_earlier_one_is_refused(void **state)
{
    (void)state;
    struct buf log = log_of_three();
    enum status status = OK;
    size_t offset = 0;
    log.data[log.size - 1] ^= 1;
    assert_int_equal(read_all(buf_slice(&log), &status, &offset), 2);
    assert_int_equal(status, AGAIN);
    log.data[log.size - 1] ^= 1;
    for (size_t i = BEHIND_LOG_MAGIC_SIZE; i < BEHIND_LOG_MAGIC_SIZE + BEHIND_RECORD_HEAD + 20;
         i++) {
        log.data[i] ^= 0x20;
        assert_int_equal(read_all(buf_slice(&log), &status, &offset), 0);
        assert_int_equal(status, MALFORMED);
        assert_int_equal(offset, BEHIND_LOG_MAGIC_SIZE);
        log.data[i] ^= 0x20;
    }
    for (size_t i = 0; i < BEHIND_LOG_MAGIC_SIZE; i++) {
        log.data[i] ^= 0x20;
        assert_int_equal(read_all(buf_slice(&log), &status, &offset), 0);
        assert_int_equal(status, MALFORMED);
        log.data[i] ^= 0x20;
    }
    buf_done(&log);
}

static void the_largest_record_passes(void **state)
{
    (void)state;
    struct buf log = {0};
    struct buf value = {0};
    char key[LIMIT_L1_KEY - 1];
    memset(key, 'k', sizeof key);
    assert_int_equal(buf_reserve(&value, BEHIND_VALUE_MAX), OK);
    memset(value.data, 'v', BEHIND_VALUE_MAX);
    value.size = BEHIND_VALUE_MAX;
    const struct behind_record record = {.kind = BEHIND_WRITE,
                                         .number = 1,
                                         .db = LIMIT_DATABASES - 1,
                                         .key = {key, sizeof key},
                                         .envelope = buf_slice(&value)};
    struct behind_log_reader reader;
    struct behind_record read;
    assert_int_equal(behind_log_begin(&log), OK);
    assert_int_equal(behind_log_append(&log, &record), OK);
    assert_int_equal(behind_log_open(&reader, buf_slice(&log)), OK);
    assert_int_equal(behind_log_next(&reader, &read), OK);
    assert_record(&read, &record);
    assert_int_equal(behind_log_next(&reader, &read), MISS);
    buf_done(&value);
    buf_done(&log);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_was_written_is_read_again),
        cmocka_unit_test(an_end_that_is_cut_anywhere_is_torn_and_what_stands_before_is_kept),
        cmocka_unit_test(an_end_of_zeros_is_torn),
        cmocka_unit_test(a_last_record_with_wrong_bytes_is_torn_and_an_earlier_one_is_refused),
        cmocka_unit_test(the_largest_record_passes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
