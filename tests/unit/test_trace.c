/* SPDX-License-Identifier: BSD-3-Clause */
#include "bench/trace.h"
#include "bench/values.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

/* A trace in a file of its own. */
struct file {
    char name[64];
    struct trace trace;
};

static void file_open(struct file *file, const char *text, const char *end)
{
    memset(file, 0, sizeof *file);
    (void)snprintf(file->name, sizeof file->name, "/tmp/test_trace_XXXXXX%s", end);
    int fd = mkstemps(file->name, (int)strlen(end));
    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, strlen(text)), (ssize_t)strlen(text));
    assert_int_equal(close(fd), 0);
}

static enum status file_read(struct file *file, const char *text, uint64_t limit)
{
    file_open(file, text, "");
    enum status status = trace_read(&file->trace, file->name, limit);
    assert_int_equal(unlink(file->name), 0);
    return status;
}

static void assert_error_says(const struct file *file, const char *place)
{
    char wanted[128];
    (void)snprintf(wanted, sizeof wanted, "%s:%s", file->name, place);
    if (strncmp(file->trace.error, wanted, strlen(wanted)) != 0) {
        fail_msg("expected '%s...', found '%s'", wanted, file->trace.error);
    }
}

static void requests_keep_their_order_and_name_their_keys(void **state)
{
    (void)state;
    struct file file;
    assert_int_equal(file_read(&file, "0 a 10 0\n1 b 20 60\n2.5 a 11 5\n", 0), OK);
    const struct trace *trace = &file.trace;
    assert_int_equal(trace->count, 3);
    assert_int_equal(trace->key_count, 2);
    assert_int_equal(trace->requests[0].key, trace->requests[2].key);
    assert_int_not_equal(trace->requests[0].key, trace->requests[1].key);
    assert_int_equal(trace->requests[1].size, 20);
    assert_int_equal(trace->requests[1].ttl_s, 60);
    assert_true(slice_is(trace_key(trace, trace->requests[0].key), "a"));
    assert_true(slice_is(trace_key(trace, trace->requests[1].key), "b"));
    trace_done(&file.trace);
}

static void a_key_stands_with_the_size_it_first_has(void **state)
{
    (void)state;
    struct file file;
    assert_int_equal(file_read(&file, "0 a 10 1\n1 a 99 2\n2 b 5 0\n", 0), OK);
    assert_int_equal(trace_first(&file.trace, 0)->size, 10);
    assert_int_equal(trace_first(&file.trace, 0)->ttl_s, 1);
    assert_int_equal(file.trace.value_bytes, 15);
    trace_done(&file.trace);
}

static void the_last_line_needs_no_line_end_and_blanks_and_comments_are_skipped(void **state)
{
    (void)state;
    struct file file;
    assert_int_equal(file_read(&file, "# head\n\n  0 \t a  10\t0 \r\n1 b 20 0", 0), OK);
    assert_int_equal(file.trace.count, 2);
    assert_true(slice_is(trace_key(&file.trace, 0), "a"));
    assert_true(slice_is(trace_key(&file.trace, 1), "b"));
    trace_done(&file.trace);
}

static void copies_follow_each_other_with_keys_of_their_own(void **state)
{
    (void)state;
    struct trace trace = {.copies = 3};
    assert_int_equal(trace_add_line(&trace, "t", SLICE_LITERAL("0 a 10 7")), OK);
    assert_int_equal(trace_add_line(&trace, "t", SLICE_LITERAL("1 a 11 8")), OK);
    assert_int_equal(trace.count, 6);
    assert_int_equal(trace.key_count, 3);
    assert_true(slice_is(trace_key(&trace, 0), "a#000"));
    assert_true(slice_is(trace_key(&trace, 2), "a#002"));
    for (uint32_t i = 0; i < trace.count; i++) {
        assert_int_equal(trace.requests[i].key, i % 3);
        assert_int_equal(trace.requests[i].size, i < 3 ? 10 : 11);
    }
    trace_done(&trace);
}

static void a_limit_stops_before_the_line_that_would_be_wrong(void **state)
{
    (void)state;
    struct file file;
    assert_int_equal(file_read(&file, "0 a 10 0\n1 b 20 0\nrubbish\n", 2), OK);
    assert_int_equal(file.trace.count, 2);
    trace_done(&file.trace);
}

static void an_error_names_the_file_and_the_line(void **state)
{
    (void)state;
    const char *const texts[] = {
        "0 a 10 0\n# skipped\n1 b 20\n",   "0 a 10 0\n\n1 b twenty 0\n",
        "0 a 10 0\n\n1 b 20 0 more\n",     "0 a 10 0\n\nnow b 20 0\n",
        "0 a 10 0\n\n1 b 20 -1\n",         "0 a 10 0\n\n1 b 536870913 0\n",
        "0 a 10 0\n\n1 b 20 4294967296\n", "0 a 10 0\n\n1.2.3 b 20 0\n",
        "0 a 10 0\n\n. b 20 0\n",
    };
    for (unsigned i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        struct file file;
        assert_int_not_equal(file_read(&file, texts[i], 0), OK);
        assert_error_says(&file, "3:");
        trace_done(&file.trace);
    }
}

static void a_file_that_is_not_there_is_named(void **state)
{
    (void)state;
    struct trace trace = {0};
    assert_int_equal(trace_read(&trace, "/nowhere/trace.txt", 0), INVALID);
    assert_non_null(strstr(trace.error, "/nowhere/trace.txt: No such file"));
    assert_int_equal(trace_read(&trace, "/nowhere/trace.xz", 0), INVALID);
    assert_non_null(strstr(trace.error, "/nowhere/trace.xz: No such file"));
    trace_done(&trace);
}

static void a_damaged_xz_file_is_refused(void **state)
{
    (void)state;
    struct file file;
    file_open(&file, "this is no xz file\n", ".xz");
    /* xz complains on stderr as well; that is for the user and not looked at here. */
    assert_int_equal(trace_read(&file.trace, file.name, 0), INVALID);
    assert_error_says(&file, "0: xz failed");
    assert_int_equal(unlink(file.name), 0);
    trace_done(&file.trace);
}

static void more_keys_than_the_first_tables_hold_stay_apart(void **state)
{
    (void)state;
    struct trace trace = {0};
    char line[64];
    for (int round = 0; round < 2; round++) {
        for (int i = 0; i < 20000; i++) {
            int size = snprintf(line, sizeof line, "%d key%d %d 0", i, i, i);
            assert_int_equal(trace_add_line(&trace, "made up", (struct slice){line, (size_t)size}),
                             OK);
        }
    }
    assert_int_equal(trace.count, 40000);
    assert_int_equal(trace.key_count, 20000);
    for (int i = 0; i < 20000; i++) {
        (void)snprintf(line, sizeof line, "key%d", i);
        assert_int_equal(trace.requests[i].key, trace.requests[20000 + i].key);
        assert_true(slice_is(trace_key(&trace, trace.requests[i].key), line));
    }
    trace_done(&trace);
}

static void a_line_longer_than_any_key_is_refused(void **state)
{
    (void)state;
    size_t size = 2u << 20;
    char *text = malloc(size + 1);
    assert_non_null(text);
    memset(text, 'x', size);
    text[size] = '\0';
    struct file file;
    assert_int_equal(file_read(&file, text, 0), MALFORMED);
    assert_error_says(&file, "1:");
    trace_done(&file.trace);
    free(text);
}

/* What a replay checks each answer with. */
static void a_value_belongs_to_its_key_and_to_no_other_and_no_byte_may_change(void **state)
{
    (void)state;
    const size_t sizes[] = {8, 15, 16, 17, 24, 32, 33, 100};
    uint64_t mine = value_owner(SLICE_LITERAL("key:000000000001"));
    uint64_t other = value_owner(SLICE_LITERAL("key:000000000002"));
    for (unsigned i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        char bytes[128];
        struct slice value = {bytes, sizes[i]};
        value_write(bytes, sizes[i], mine, 7);
        assert_true(value_belongs(value, mine));
        assert_false(value_belongs(value, other));
        assert_false(value_belongs((struct slice){bytes, sizes[i] - 1}, mine));
        for (size_t j = 0; j < sizes[i]; j++) {
            bytes[j] = (char)(bytes[j] ^ 0x40);
            assert_false(value_belongs(value, mine));
            bytes[j] = (char)(bytes[j] ^ 0x40);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(requests_keep_their_order_and_name_their_keys),
        cmocka_unit_test(a_key_stands_with_the_size_it_first_has),
        cmocka_unit_test(the_last_line_needs_no_line_end_and_blanks_and_comments_are_skipped),
        cmocka_unit_test(copies_follow_each_other_with_keys_of_their_own),
        cmocka_unit_test(a_limit_stops_before_the_line_that_would_be_wrong),
        cmocka_unit_test(an_error_names_the_file_and_the_line),
        cmocka_unit_test(a_file_that_is_not_there_is_named),
        cmocka_unit_test(a_damaged_xz_file_is_refused),
        cmocka_unit_test(more_keys_than_the_first_tables_hold_stay_apart),
        cmocka_unit_test(a_line_longer_than_any_key_is_refused),
        cmocka_unit_test(a_value_belongs_to_its_key_and_to_no_other_and_no_byte_may_change),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
