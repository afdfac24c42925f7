/* SPDX-License-Identifier: BSD-3-Clause */
/* Bodies of WARM and HOT: made of a command's answer by names, and read back. */
#include "protocol/native_warm.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

static void assert_text(struct slice text, const char *expected)
{
    assert_true(slice_is(text, expected));
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
    struct native_warm_list list;
    (void)state;
    assert_int_equal(native_warm_list_of((struct slice)SLICE_LITERAL(resp), &body), OK);
    assert_int_equal(native_warm_list_unpack(buf_slice(&body), &list), OK);
    assert_int_equal(list.count, 2);
    const struct native_warm_job *job = &list.jobs[0];
    assert_true(job->id == 18446744073709551 && job->total == -1 && job->eta_ms == -1);
    assert_true(job->dryrun && job->rate == 12.25);
    assert_text(job->state, "running");
    assert_int_equal(job->failure_count, 2);
    assert_text(job->failures[0].key, "a\xff");
    assert_text(job->failures[0].why, "b");
    assert_int_equal(job->failures[1].attempts, 3);
    assert_int_equal(job->node_count, 1);
    assert_text(job->nodes[0].node, "n1");
    assert_true(job->nodes[0].yield == 0.5 && job->nodes[0].rate == 7);
    assert_true(list.jobs[1].id == 2 && list.jobs[1].total == 0);
    native_warm_list_done(&list);
    buf_done(&body);
}

static void hot_keys_come_back_and_null_is_nothing(void **state)
{
    static const char resp[] =
        "*1\r\n%4\r\n$3\r\nkey\r\n$1\r\nk\r\n$5\r\ncount\r\n:9\r\n$9\r\nfrequency\r\n_\r\n"
        "$5\r\nper_s\r\n,1e3\r\n";
    struct buf body = {0};
    struct native_hot_list list;
    (void)state;
    assert_int_equal(native_hot_list_of((struct slice)SLICE_LITERAL(resp), &body), OK);
    assert_int_equal(native_hot_list_unpack(buf_slice(&body), &list), OK);
    assert_int_equal(list.count, 1);
    assert_text(list.keys[0].key, "k");
    assert_true(list.keys[0].count == 9 && list.keys[0].frequency == 0 &&
                list.keys[0].per_s == 1000);
    native_hot_list_done(&list);
    buf_done(&body);
}

static void an_empty_list_is_a_body_of_no_bytes(void **state)
{
    struct buf body = {0};
    struct native_warm_list list;
    (void)state;
    assert_int_equal(native_warm_list_of((struct slice)SLICE_LITERAL("*0\r\n"), &body), OK);
    assert_int_equal(body.size, 0);
    assert_int_equal(native_warm_list_unpack(buf_slice(&body), &list), OK);
    assert_int_equal(list.count, 0);
    native_warm_list_done(&list);
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
    struct native_warm_list list;
    struct native_hot_list hot;
    (void)state;
    assert_int_equal(native_warm_list_unpack((struct slice)SLICE_LITERAL("\x0a\x05"), &list),
                     MALFORMED);
    assert_null(list.memory);
    assert_int_equal(native_hot_list_unpack((struct slice)SLICE_LITERAL("\xff\xff"), &hot),
                     MALFORMED);
    /* A field of a later version is passed over. */
    assert_int_equal(
        native_warm_list_unpack((struct slice)SLICE_LITERAL("\x0a\x02\xf8\x3e\x0a\x00"), &list),
        MALFORMED);
    assert_int_equal(
        native_warm_list_unpack((struct slice)SLICE_LITERAL("\x0a\x03\xf8\x3e\x01"), &list), OK);
    assert_int_equal(list.count, 1);
    native_warm_list_done(&list);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_job_comes_back_as_the_command_told_it),
        cmocka_unit_test(hot_keys_come_back_and_null_is_nothing),
        cmocka_unit_test(an_empty_list_is_a_body_of_no_bytes),
        cmocka_unit_test(what_is_no_list_of_maps_appends_nothing),
        cmocka_unit_test(a_body_that_is_cut_or_broken_is_refused),
    };
    return cmocka_run_group_tests_name("native_warm", tests, NULL, NULL);
}
