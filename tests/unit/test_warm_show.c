/* SPDX-License-Identifier: BSD-3-Clause */
/* What jobs look like: sums over lanes, and until when. */
#include "server/warm_desk_inner.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum {
    LANES_MAX = 3,
    FIELDS = 21
};

struct job {
    const char *state;
    const char *total;
    const char *expected;
    const char *complete;
    /* "next from loaded skipped absent failed bytes rate yield before". */
    const char *lanes[LANES_MAX];
};

/* What it was submitted with. */
struct begin {
    const char *priority;
    const char *submitted;
};
static const struct begin usual = {"4", "1000"};

static void bulk(struct buf *out, const char *text)
{
    char head[32];
    (void)snprintf(head, sizeof head, "$%zu\r\n", strlen(text));
    assert_int_equal(buf_append(out, head, strlen(head)), OK);
    assert_int_equal(buf_append(out, text, strlen(text)), OK);
    assert_int_equal(buf_append(out, "\r\n", 2), OK);
}

static void head(struct buf *out, size_t count)
{
    char text[32];
    (void)snprintf(text, sizeof text, "*%zu\r\n", count);
    assert_int_equal(buf_append(out, text, strlen(text)), OK);
}

/* What the script says of one job, at 9000. */
static struct buf answer_of(const struct job *job, const struct begin *begin, const char *below)
{
    struct buf out = {0};
    size_t lanes = 0;
    while (lanes < LANES_MAX && job->lanes[lanes] != NULL) {
        lanes++;
    }
    const char *const fields[FIELDS] = {"7",
                                        job->state,
                                        "pattern *",
                                        "0",
                                        "missing",
                                        "all",
                                        "0",
                                        begin->priority,
                                        "0",
                                        job->total,
                                        job->expected,
                                        job->complete,
                                        begin->submitted,
                                        "2000",
                                        "0",
                                        "0",
                                        "",
                                        "",
                                        "0",
                                        "",
                                        "0"};
    head(&out, 6);
    bulk(&out, "OK");
    bulk(&out, "9000");
    bulk(&out, below);
    head(&out, FIELDS);
    for (size_t i = 0; i < FIELDS; i++) {
        bulk(&out, fields[i]);
    }
    head(&out, 2 * lanes);
    for (size_t i = 0; i < lanes; i++) {
        bulk(&out, i == 0 ? "0a 127.0.0.1:1" : i == 1 ? "0b 127.0.0.1:2" : "0c 127.0.0.1:3");
        bulk(&out, job->lanes[i]);
    }
    head(&out, 0);
    return out;
}

static void read_into(struct warm_call *call, const struct job *job, const struct begin *begin,
                      const char *below, uint64_t expected_below)
{
    struct warm_desk desk = {0};
    struct warm_answer answer;
    struct buf bytes = answer_of(job, begin, below);
    uint64_t next = 0;
    assert_int_equal(warm_answer_read(buf_slice(&bytes), &answer), OK);
    assert_int_equal(warm_show_read(&desk, &answer, call, &next), OK);
    assert_int_equal(next, expected_below);
    buf_done(&bytes);
}

static struct warm_status status_with(const struct job *job, const struct begin *begin)
{
    struct warm_call call = {.verb = WARM_STATUS};
    read_into(&call, job, begin, "0", 0);
    warm_show_end(&call);
    assert_int_equal(call.count, 1);
    struct warm_status status = call.statuses[0];
    status.nodes = NULL;
    free(call.statuses);
    buf_done(&call.memory);
    buf_done(&call.nodes);
    return status;
}

static struct warm_status status_of(const struct job *job)
{
    return status_with(job, &usual);
}

static void all_lanes_have_all_keys_once_the_source_has_told_them(void **state)
{
    (void)state;
    const struct warm_status status = status_of(
        &(struct job){"running",
                      "1000",
                      "",
                      "1",
                      {"1 0 200 50 0 0 9 50000 1000 0", "1 0 300 0 100 0 9 50000 1000 0"}});
    assert_int_equal(status.total, 2000);
    assert_int_equal(status.processed, 650);
    assert_int_equal(status.node_count, 2);
    assert_int_equal(status.eta_ms, 15000); /* the first has 750 to do, at 50 a second */
}

static void before_that_it_is_what_the_source_expects_or_not_known(void **state)
{
    (void)state;
    assert_int_equal(status_of(&(struct job){"running", "256", "900", "0", {"0", "0"}}).total,
                     1800);
    assert_int_equal(status_of(&(struct job){"running", "256", "100", "0", {"0", "0"}}).total, 512);
    const struct warm_status status =
        status_of(&(struct job){"running", "256", "", "0", {"1 0 200 50 0 0 9 50000 1000 0"}});
    assert_int_equal(status.total, UINT64_MAX);
    assert_int_equal(status.eta_ms, -1);
}

static void a_lane_that_came_late_has_not_to_do_what_was_before_it(void **state)
{
    (void)state;
    const struct warm_status status = status_of(
        &(struct job){"running",
                      "1000",
                      "",
                      "1",
                      {"4 0 1000 0 0 0 9 50000 1000 0", "3 3 100 0 0 0 9 50000 1000 700"}});
    assert_int_equal(status.total, 1300);
    assert_int_equal(status.processed, 1100);
    assert_int_equal(status.eta_ms, 4000);
}

static void a_lane_that_begins_again_has_so_much_more_to_do(void **state)
{
    (void)state;
    const struct warm_status status =
        status_of(&(struct job){"running", "1000", "", "1", {"1 0 450 0 0 0 9 50000 1000 -400"}});
    assert_int_equal(status.total, 1400);
    assert_int_equal(status.processed, 450);
    assert_int_equal(status.eta_ms, 19000);
}

static void the_slowest_lane_says_until_when(void **state)
{
    (void)state;
    const struct warm_status status = status_of(&(struct job){
        "running", "1000", "", "1", {"1 0 0 0 0 0 9 1000 1000 0", "1 0 0 0 0 0 9 999000 1000 0"}});
    assert_int_equal(status.eta_ms, 1000000);
}

static void who_has_not_begun_has_the_rate_of_all(void **state)
{
    (void)state;
    const struct warm_status status = status_of(&(struct job){
        "running", "1000", "", "1", {"0 0 0 0 0 0 0 0 0 0", "4 0 1000 0 0 0 9 100000 1000 0"}});
    assert_int_equal(status.eta_ms, 10000);
}

static void a_list_of_several_answers_is_one(void **state)
{
    (void)state;
    struct warm_call call = {.verb = WARM_LIST};
    read_into(&call, &(struct job){"queued", "0", "", "0", {"0", "0"}}, &usual, "7", 7);
    read_into(&call, &(struct job){"running", "9", "", "1", {"0 0 5"}}, &usual, "0", 0);
    warm_show_end(&call);
    assert_int_equal(call.count, 2);
    assert_int_equal(call.statuses[0].node_count, 2);
    assert_string_equal(call.statuses[0].nodes[1].node, "0b");
    assert_int_equal(call.statuses[1].node_count, 1);
    assert_string_equal(call.statuses[1].nodes[0].address, "127.0.0.1:1");
    assert_int_equal(call.statuses[1].nodes[0].loaded, 5);
    free(call.statuses);
    buf_done(&call.nodes);
}

static void numbers_that_no_node_wrote_are_within_bounds(void **state)
{
    (void)state;
    static const char *const edges[] = {"-9223372036854775808", "9223372036854775807",
                                        "70368744177665", "-1"};
    for (size_t i = 0; i < sizeof edges / sizeof edges[0]; i++) {
        const struct warm_status status =
            status_with(&(struct job){"queued", edges[i], edges[i], "1", {"0 0 0 0 0 0 0 0 0 0"}},
                        &(struct begin){edges[i], edges[i]});
        assert_true(status.priority == 0 || status.priority == WARM_PRIORITY_MAX);
        assert_int_equal(status.effective, status.priority); /* nobody knows how long it waits */
        assert_int_equal(status.submitted_at_ms, 0);
    }
}

/* The sanitizers see to it. */
static void lanes_that_no_node_wrote_make_no_sum_overflow(void **state)
{
    (void)state;
    static const char lane[] = "9223372036854775807 -9223372036854775808 9223372036854775807 "
                               "9223372036854775807 9223372036854775807 9223372036854775807 "
                               "9223372036854775807 9223372036854775807 9223372036854775807 "
                               "-9223372036854775808";
    const struct warm_status status =
        status_of(&(struct job){"running", "9223372036854775807", "", "1", {lane, lane, lane}});
    assert_int_equal(status.node_count, 3);
    assert_true(status.rate > 0 && status.eta_ms >= -1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(numbers_that_no_node_wrote_are_within_bounds),
        cmocka_unit_test(lanes_that_no_node_wrote_make_no_sum_overflow),
        cmocka_unit_test(all_lanes_have_all_keys_once_the_source_has_told_them),
        cmocka_unit_test(before_that_it_is_what_the_source_expects_or_not_known),
        cmocka_unit_test(a_lane_that_came_late_has_not_to_do_what_was_before_it),
        cmocka_unit_test(a_lane_that_begins_again_has_so_much_more_to_do),
        cmocka_unit_test(the_slowest_lane_says_until_when),
        cmocka_unit_test(who_has_not_begun_has_the_rate_of_all),
        cmocka_unit_test(a_list_of_several_answers_is_one),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
