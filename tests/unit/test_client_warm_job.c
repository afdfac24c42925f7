/* SPDX-License-Identifier: BSD-3-Clause */
/* A warm job of an application, as JSON. */
#include "client/warm_job.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

static void expect(const struct terrace_warm_job *job, const char *json)
{
    struct buf text = {0};
    assert_int_equal(warm_job_write(job, &text), TERRACE_OK);
    assert_int_equal(buf_append(&text, "", 1), OK);
    assert_string_equal(text.data, json);
    buf_done(&text);
}

static void a_job_without_wishes_is_its_source(void **state)
{
    static const char *const keys[] = {"a", "b\"\\\n"};
    static const size_t sizes[] = {1, 2};
    (void)state;
    expect(&(struct terrace_warm_job){.source = TERRACE_WARM_PATTERN, .text = "w:*"},
           "{\"source\":{\"pattern\":\"w:*\"},\"mode\":\"missing\",\"target\":\"all\"}");
    expect(&(struct terrace_warm_job){.source = TERRACE_WARM_HOT, .n = 7},
           "{\"source\":{\"hot\":7},\"mode\":\"missing\",\"target\":\"all\"}");
    expect(&(struct terrace_warm_job){.source = TERRACE_WARM_ZSET, .text = "z", .n = 3},
           "{\"source\":{\"zset\":\"z\",\"n\":3},\"mode\":\"missing\",\"target\":\"all\"}");
    expect(
        &(struct terrace_warm_job){.source = TERRACE_WARM_KEYS, .keys = keys, .key_count = 2},
        "{\"source\":{\"keys\":[\"a\",\"b\\u0022\\u005c\\u000a\"]},\"mode\":\"missing\",\"target\":\"all\"}");
    expect(
        &(struct terrace_warm_job){
            .source = TERRACE_WARM_KEYS, .keys = keys, .key_sizes = sizes, .key_count = 2},
        "{\"source\":{\"keys\":[\"a\",\"b\\u0022\"]},\"mode\":\"missing\",\"target\":\"all\"}");
    expect(&(struct terrace_warm_job){.source = TERRACE_WARM_KEYS},
           "{\"source\":{\"keys\":[]},\"mode\":\"missing\",\"target\":\"all\"}");
}

static void wishes_stand_beside_it(void **state)
{
    (void)state;
    expect(
        &(struct terrace_warm_job){.source = TERRACE_WARM_TAG,
                                   .text = "t",
                                   .db = 3,
                                   .priority = 9,
                                   .rate = 5000,
                                   .byte_rate = 1 << 20,
                                   .mode = TERRACE_WARM_FORCE,
                                   .target = TERRACE_WARM_SELF,
                                   .deadline_ms = 1001,
                                   .dry_run = 1,
                                   .schedule = "every 5m",
                                   .before_expiry_percent = 20},
        "{\"source\":{\"tag\":\"t\"},\"db\":3,\"priority\":9,\"rate\":5000,\"bytes\":1048576,\"mode\":\"force\","
        "\"target\":\"self\",\"deadline\":2,\"dryrun\":true,\"schedule\":\"every 5m\",\"before_expiry\":\"20%\"}");
    expect(
        &(struct terrace_warm_job){.source = TERRACE_WARM_SNAPSHOT, .text = "", .priority = -1},
        "{\"source\":{\"snapshot\":\"\"},\"priority\":0,\"mode\":\"missing\",\"target\":\"all\"}");
}

static void json_of_the_application_goes_as_it_is(void **state)
{
    (void)state;
    expect(&(struct terrace_warm_job){.json = "{\"x\":1}", .priority = 77}, "{\"x\":1}");
}

static void what_cannot_be_is_refused_here(void **state)
{
    static const char *const nothing[] = {NULL};
    const struct terrace_warm_job jobs[] = {
        {0},
        {.source = (enum terrace_warm_source)10, .text = "x"},
        {.source = TERRACE_WARM_PATTERN},
        {.source = TERRACE_WARM_HOT, .n = 1, .db = -1},
        {.source = TERRACE_WARM_HOT, .n = 1, .priority = -2},
        {.source = TERRACE_WARM_HOT, .n = 1, .deadline_ms = -1},
        {.source = TERRACE_WARM_HOT, .n = 1, .timeout_ms = -1},
        {.source = TERRACE_WARM_HOT, .n = 1, .mode = (enum terrace_warm_mode)3},
        {.source = TERRACE_WARM_HOT, .n = 1, .target = (enum terrace_warm_target) - 1},
        {.source = TERRACE_WARM_KEYS, .key_count = 1},
        {.source = TERRACE_WARM_KEYS, .key_count = 1, .keys = nothing},
    };
    struct buf text = {0};
    (void)state;
    assert_int_equal(warm_job_write(NULL, &text), TERRACE_BAD_ARGUMENT);
    for (size_t i = 0; i < sizeof jobs / sizeof jobs[0]; i++) {
        assert_int_equal(warm_job_write(&jobs[i], &text), TERRACE_BAD_ARGUMENT);
        assert_int_equal(text.size, 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_job_without_wishes_is_its_source),
        cmocka_unit_test(wishes_stand_beside_it),
        cmocka_unit_test(json_of_the_application_goes_as_it_is),
        cmocka_unit_test(what_cannot_be_is_refused_here),
    };
    return cmocka_run_group_tests_name("client_warm_job", tests, NULL, NULL);
}
