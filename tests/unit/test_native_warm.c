/* SPDX-License-Identifier: BSD-3-Clause */
/* Bodies of WARM and HOT: made of a command's answer by names, and read back as an application gets them. */
#include "client/warm_list.h"
#include "protocol/native_warm.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

/* Each text has a 0 behind it, that of bytes too. */
static void assert_bytes(const void *bytes, size_t size, const char *expected)
{
    assert_int_equal(size, strlen(expected));
    assert_string_equal(bytes, expected);
}

static void a_job_comes_back_as_the_command_told_it(void **state)
{
    static const char resp[] =
        "*2\r\n"
        "%9\r\n$2\r\nid\r\n:18446744073709551\r\n+state\r\n$7\r\nrunning\r\n$5\r\ntotal\r\n:-1\r\n"
        "$6\r\ndryrun\r\n#t\r\n$4\r\nrate\r\n,12.25\r\n$6\r\neta_ms\r\n:-1\r\n$8\r\nwhatever\r\n*1\r\n:1\r\n"
        "$8\r\nfailures\r\n*2\r\n%2\r\n$3\r\nkey\r\n$2\r\na\xff\r\n$3\r\nwhy\r\n$1\r\nb\r\n"
        "%1\r\n$8\r\nattempts\r\n:3\r\n"
        "$5\r\nnodes\r\n*1\r\n%3\r\n$4\r\nnode\r\n$2\r\nn1\r\n$5\r\nyield\r\n,0.5\r\n$4\r\nrate\r\n:7\r\n"
        "%1\r\n$2\r\nid\r\n:2\r\n";
    struct buf body = {0};
    struct terrace_warm_list list;
    (void)state;
    assert_int_equal(native_warm_list_of((struct slice)SLICE_LITERAL(resp), &body), OK);
    assert_int_equal(warm_list_jobs(buf_slice(&body), &list), OK);
    assert_int_equal(list.count, 2);
    const struct terrace_warm_status *job = &list.jobs[0];
    assert_true(job->id == 18446744073709551 && job->total == -1 && job->eta_ms == -1);
    assert_true(job->dry_run && job->rate == 12.25);
    assert_int_equal(job->state, TERRACE_WARM_RUNNING);
    assert_true(job->source[0] == '\0' && job->error[0] == '\0');
    assert_int_equal(job->failure_count, 2);
    assert_bytes(job->failures[0].key, job->failures[0].key_size, "a\xff");
    assert_string_equal(job->failures[0].why, "b");
    assert_int_equal(job->failures[1].attempts, 3);
    assert_int_equal(job->node_count, 1);
    assert_string_equal(job->nodes[0].node, "n1");
    assert_true(job->nodes[0].yield == 0.5 && job->nodes[0].rate == 7);
    assert_true(list.jobs[1].id == 2 && list.jobs[1].total == 0);
    terrace_warm_list_done(&list);
    buf_done(&body);
}

static void rows_behind_odd_texts_are_where_they_may_be_read_and_long_texts_are_cut(void **state)
{
    static const char resp[] =
        "*2\r\n"
        "%3\r\n+id\r\n:1\r\n+source\r\n$3\r\nabc\r\n+nodes\r\n*2\r\n"
        "%2\r\n+node\r\n$20\r\n01234567890123456789\r\n+done\r\n:5\r\n%1\r\n+done\r\n:6\r\n"
        "%3\r\n+id\r\n:2\r\n+source\r\n$1\r\nz\r\n+failures\r\n*1\r\n%1\r\n+key\r\n$1\r\nk\r\n";
    struct buf body = {0};
    struct terrace_warm_list list;
    (void)state;
    assert_int_equal(native_warm_list_of((struct slice)SLICE_LITERAL(resp), &body), OK);
    assert_int_equal(warm_list_jobs(buf_slice(&body), &list), OK);
    buf_done(&body);
    assert_int_equal(list.count, 2);
    for (size_t i = 0; i < list.count; i++) {
        assert_int_equal((uintptr_t)list.jobs[i].nodes % _Alignof(struct terrace_warm_node), 0);
        assert_int_equal((uintptr_t)list.jobs[i].failures % _Alignof(struct terrace_warm_failure),
                         0);
    }
    assert_string_equal(list.jobs[0].nodes[0].node, "0123456789012345");
    assert_true(list.jobs[0].nodes[0].done == 5 && list.jobs[0].nodes[1].done == 6);
    assert_string_equal(list.jobs[0].source, "abc");
    assert_string_equal(list.jobs[1].source, "z");
    assert_bytes(list.jobs[1].failures[0].key, list.jobs[1].failures[0].key_size, "k");
    terrace_warm_list_done(&list);
    assert_null(list.jobs);
}

static void hot_keys_come_back_and_null_is_nothing(void **state)
{
    static const char resp[] =
        "*1\r\n%4\r\n$3\r\nkey\r\n$1\r\nk\r\n$5\r\ncount\r\n:9\r\n$4\r\nheat\r\n_\r\n"
        "$5\r\nper_s\r\n,1e3\r\n";
    struct buf body = {0};
    struct terrace_hot_list list;
    (void)state;
    assert_int_equal(native_hot_list_of((struct slice)SLICE_LITERAL(resp), &body), OK);
    assert_int_equal(warm_list_keys(buf_slice(&body), &list), OK);
    assert_int_equal(list.count, 1);
    assert_bytes(list.keys[0].key, list.keys[0].key_size, "k");
    assert_string_equal(list.keys[0].ns, "");
    assert_true(list.keys[0].count == 9 && list.keys[0].heat == 0 && list.keys[0].per_s == 1000);
    terrace_hot_done(&list);
    buf_done(&body);
}

static void an_empty_list_is_a_body_of_no_bytes(void **state)
{
    struct buf body = {0};
    struct terrace_warm_list list;
    (void)state;
    assert_int_equal(native_warm_list_of((struct slice)SLICE_LITERAL("*0\r\n"), &body), OK);
    assert_int_equal(body.size, 0);
    assert_int_equal(warm_list_jobs(buf_slice(&body), &list), OK);
    assert_int_equal(list.count, 0);
    terrace_warm_list_done(&list);
}

static void what_is_no_list_of_maps_appends_nothing(void **state)
{
    static const char *const texts[] = {
        "",
        "+OK\r\n",
        ":1\r\n",
        "*1\r\n:1\r\n",
        "*2\r\n%1\r\n+id\r\n:1\r\n",
        "%1\r\n+id\r\n+1\r\n",
        "%1\r\n+state\r\n:1\r\n",
        "%1\r\n+rate\r\n+1\r\n",
        "%1\r\n:1\r\n:1\r\n",
        "%1\r\n+nodes\r\n+x\r\n",
        "%1\r\n+nodes\r\n*1\r\n:1\r\n",
        "*9223372036854775807\r\n",
    };
    struct buf body = {0};
    (void)state;
    assert_int_equal(buf_append(&body, "x", 1), OK);
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        assert_int_equal(native_warm_list_of(slice_of(texts[i]), &body), MALFORMED);
        assert_int_equal(body.size, 1);
    }
    buf_done(&body);
}

static void a_body_that_is_cut_or_broken_is_refused(void **state)
{
    struct terrace_warm_list list;
    struct terrace_hot_list hot;
    (void)state;
    assert_int_equal(warm_list_jobs((struct slice)SLICE_LITERAL("\x0a\x05"), &list), MALFORMED);
    assert_null(list.memory);
    assert_int_equal(warm_list_keys((struct slice)SLICE_LITERAL("\xff\xff"), &hot), MALFORMED);
    /* A field of a later version is passed over. */
    assert_int_equal(warm_list_jobs((struct slice)SLICE_LITERAL("\x0a\x02\xf8\x3e\x0a\x00"), &list),
                     MALFORMED);
    assert_int_equal(warm_list_jobs((struct slice)SLICE_LITERAL("\x0a\x03\xf8\x3e\x01"), &list),
                     OK);
    assert_int_equal(list.count, 1);
    terrace_warm_list_done(&list);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_job_comes_back_as_the_command_told_it),
        cmocka_unit_test(rows_behind_odd_texts_are_where_they_may_be_read_and_long_texts_are_cut),
        cmocka_unit_test(hot_keys_come_back_and_null_is_nothing),
        cmocka_unit_test(an_empty_list_is_a_body_of_no_bytes),
        cmocka_unit_test(what_is_no_list_of_maps_appends_nothing),
        cmocka_unit_test(a_body_that_is_cut_or_broken_is_refused),
    };
    return cmocka_run_group_tests_name("native_warm", tests, NULL, NULL);
}
