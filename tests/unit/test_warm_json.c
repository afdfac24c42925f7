/* SPDX-License-Identifier: BSD-3-Clause */
#include "server/warm_json.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static struct warm_job good(const char *json)
{
    struct warm_job job;
    char error[WARM_ERROR_MAX];
    const enum status status = warm_job_parse(slice_of(json), &job, error);
    if (status != OK) {
        print_message("%s: %s\n", json, error);
    }
    assert_int_equal(status, OK);
    return job;
}

static void bad(const char *json, const char *expected)
{
    struct warm_job job;
    char error[WARM_ERROR_MAX];
    assert_int_equal(warm_job_parse(slice_of(json), &job, error), INVALID);
    if (strstr(error, expected) == NULL) {
        print_message("%s\n  said     %s\n  expected %s\n", json, error, expected);
    }
    assert_non_null(strstr(error, expected));
    assert_null(job.text);
    assert_null(job.keys.data);
}

static void a_job_of_a_source_alone_has_the_documented_defaults(void **state)
{
    (void)state;
    struct warm_job job = good("{\"source\":{\"pattern\":\"w:*\"}}");
    assert_int_equal(job.source, WARM_PATTERN);
    assert_string_equal(job.text, "w:*");
    assert_int_equal(job.priority, WARM_PRIORITY_DEFAULT);
    assert_int_equal(job.mode, PREFETCH_MISSING);
    assert_int_equal(job.target, WARM_ALL);
    assert_int_equal(job.rate + job.byte_rate + job.n, 0);
    assert_int_equal(job.deadline_s, 0);
    assert_false(job.dry);
    assert_null(job.schedule);
    warm_job_done(&job);
}

static void every_name_is_read(void **state)
{
    (void)state;
    struct warm_job job =
        good("{\"source\":{\"zset\":\"z\",\"n\":7},\"db\":3,\"priority\":9,\"rate\":50,\"bytes\":"
             "1000,\"mode\":\"force\",\"target\":\"l2\",\"deadline\":60,\"dryrun\":true,"
             "\"schedule\":\"every 5m\"}");
    assert_int_equal(job.source, WARM_ZSET);
    assert_int_equal(job.n, 7);
    assert_int_equal(job.db, 3);
    assert_int_equal(job.priority, 9);
    assert_int_equal(job.rate, 50);
    assert_int_equal(job.byte_rate, 1000);
    assert_int_equal(job.mode, PREFETCH_FORCE);
    assert_int_equal(job.target, WARM_L2);
    assert_int_equal(job.deadline_s, 60);
    assert_true(job.dry);
    assert_string_equal(job.schedule, "every 5m");
    warm_job_done(&job);
    job = good("{\"source\":{\"hot\":100},\"before_expiry\":\"20%\"}");
    assert_int_equal(job.before_expiry_percent, 20);
    warm_job_done(&job);
}

static void keys_are_kept_in_their_order_with_every_byte(void **state)
{
    (void)state;
    struct warm_job job = good("{\"source\":{\"keys\":[\"a\",\"\",\"b\\u0000c\"]}}");
    assert_int_equal(job.key_count, 3);
    assert_int_equal(job.keys.size, 4 + 1 + 4 + 4 + 3);
    assert_memory_equal(job.keys.data, "\1\0\0\0a\0\0\0\0\3\0\0\0b\0c", job.keys.size);
    warm_job_done(&job);
}

static void an_error_names_the_path_and_what_is_expected_there(void **state)
{
    (void)state;
    bad("", "$: JSON is expected; line 1, column 0:");
    bad("{\"source\":{\"hot\":1}", "$: JSON is expected; line 1, column 19:");
    bad("[]", "$: an object with source, db");
    bad("{}", "$.source: an object with one of keys, file");
    bad("{\"source\":5}", "$.source: an object with one of");
    bad("{\"source\":{}}", "$.source: an object with one of");
    bad("{\"source\":{\"hot\":0}}", "$.source.hot: a number from 1 to 1000000");
    bad("{\"source\":{\"hot\":1000001}}", "$.source.hot: a number from 1 to 1000000");
    bad("{\"source\":{\"hot\":\"9\"}}", "$.source.hot: a number");
    bad("{\"source\":{\"hot\":1.5}}", "$.source.hot: a number");
    bad("{\"source\":{\"hot\":1,\"tag\":\"t\"}}", "$.source: only one of hot and tag");
    bad("{\"source\":{\"hto\":1}}", "$.source.hto: no such name");
    bad("{\"source\":{\"zset\":\"z\"}}", "$.source.n: a number from 1");
    bad("{\"source\":{\"set\":\"z\",\"n\":3}}", "$.source.n: only with zset or log");
    bad("{\"source\":{\"keys\":[]}}", "$.source.keys: a list of 1 to 100000 strings");
    bad("{\"source\":{\"keys\":[\"a\",3]}}", "$.source.keys[1]: a string");
    bad("{\"source\":{\"pattern\":\"\"}}", "$.source.pattern: a pattern");
    bad("{\"source\":{\"hot\":1},\"priority\":10}", "$.priority: a number from 0 to 9");
    bad("{\"source\":{\"hot\":1},\"priority\":-1}", "$.priority: a number from 0 to 9");
    bad("{\"source\":{\"hot\":1},\"mode\":\"cold\"}",
        "$.mode: \"missing\", \"stale\" or \"force\"");
    bad("{\"source\":{\"hot\":1},\"target\":1}", "$.target: \"all\", \"self\" or \"l2\"");
    bad("{\"source\":{\"hot\":1},\"dryrun\":1}", "$.dryrun: true or false");
    bad("{\"source\":{\"hot\":1},\"db\":16}", "$.db: a number from 0 to 15");
    bad("{\"source\":{\"hot\":1},\"deadline\":0}", "$.deadline: a number from 1");
    bad("{\"source\":{\"hot\":1},\"pritority\":1}", "$.pritority: no such name; a job has source");
    bad("{\"source\":{\"hot\":1},\"rate\":1,\"rate\":2}", "duplicate");
    bad("{\"source\":{\"tag\":\"t\"},\"before_expiry\":\"20%\"}", "$.before_expiry: only with");
    bad("{\"source\":{\"hot\":1},\"before_expiry\":20}", "$.before_expiry: a part of a life from");
    bad("{\"source\":{\"hot\":1},\"before_expiry\":\"100%\"}", "$.before_expiry: a part of a life");
    bad("{\"source\":{\"hot\":1},\"schedule\":\"\"}", "$.schedule: a schedule as");
}

static void a_name_of_a_file_leads_nowhere_else(void **state)
{
    (void)state;
    static const char *const names[] = {
        "", "..", ".", ".hidden", "a/b", "/etc/passwd", "../up", "a/..", "a\\u0000b"};
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        char json[80];
        (void)snprintf(json, sizeof(json), "{\"source\":{\"file\":\"%s\"}}", names[i]);
        bad(json, "$.source.file: the name of a file in warm-dir");
        (void)snprintf(json, sizeof(json), "{\"source\":{\"log\":\"%s\",\"n\":5}}", names[i]);
        bad(json, "$.source.log: the name of a file in warm-dir");
        (void)snprintf(json, sizeof(json), "{\"source\":{\"snapshot\":\"%s\"}}", names[i]);
        if (names[i][0] != '\0') {
            bad(json, "$.source.snapshot: the name of a snapshot");
        }
    }
}

static void nothing_is_parsed_that_nests_without_end(void **state)
{
    (void)state;
    char json[8192];
    memset(json, '[', sizeof(json) - 1);
    json[sizeof(json) - 1] = '\0';
    bad(json, "$: JSON is expected");
}

static void a_source_is_described_in_one_printable_line(void **state)
{
    (void)state;
    static const char *const pairs[][2] = {
        {"{\"source\":{\"pattern\":\"w:*\"}}", "pattern w:*"},
        {"{\"source\":{\"keys\":[\"a\",\"b\"]}}", "keys 2"},
        {"{\"source\":{\"hot\":12}}", "hot 12"},
        {"{\"source\":{\"zset\":\"top\",\"n\":5}}", "zset top 5"},
        {"{\"source\":{\"snapshot\":\"\"}}", "snapshot"},
        {"{\"source\":{\"tag\":\"a\\r\\nb\"}}", "tag a..b"},
    };
    for (size_t i = 0; i < sizeof(pairs) / sizeof(pairs[0]); i++) {
        char shown[WARM_SOURCE_TEXT_MAX];
        struct warm_job job = good(pairs[i][0]);
        warm_job_describe(&job, shown);
        assert_string_equal(shown, pairs[i][1]);
        warm_job_done(&job);
    }
}

/* A list of as many `items`, as the keys of a job. */
static char *job_of(const char *item, size_t count)
{
    static const char head[] = "{\"source\":{\"keys\":[";
    const size_t size = strlen(item);
    char *json = malloc(sizeof head + count * (size + 1) + 4);
    assert_non_null(json);
    memcpy(json, head, sizeof head - 1);
    char *at = json + sizeof head - 1;
    for (size_t i = 0; i < count; i++) {
        memcpy(at, item, size);
        at += size;
        *at++ = ',';
    }
    memcpy(at - 1, "]}}", sizeof "]}}");
    return json;
}

static void more_values_than_a_job_can_have_are_refused_before_they_are_made(void **state)
{
    (void)state;
    char *json = job_of("[]", 2 * WARM_KEYS_MAX);
    bad(json, "$: at most 100000 keys");
    free(json);
    json = job_of("\"a,[{\\\",\"", WARM_KEYS_MAX); /* signs in strings are none */
    struct warm_job job = good(json);
    assert_int_equal(job.key_count, WARM_KEYS_MAX);
    warm_job_done(&job);
    free(json);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_job_of_a_source_alone_has_the_documented_defaults),
        cmocka_unit_test(every_name_is_read),
        cmocka_unit_test(keys_are_kept_in_their_order_with_every_byte),
        cmocka_unit_test(an_error_names_the_path_and_what_is_expected_there),
        cmocka_unit_test(a_name_of_a_file_leads_nowhere_else),
        cmocka_unit_test(nothing_is_parsed_that_nests_without_end),
        cmocka_unit_test(a_source_is_described_in_one_printable_line),
        cmocka_unit_test(more_values_than_a_job_can_have_are_refused_before_they_are_made),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
