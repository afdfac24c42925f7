/* SPDX-License-Identifier: BSD-3-Clause */
/* The fence of a link: when it asks whether Redis is still the master, and what becomes of replies meanwhile. What its checks
 * find: test_link_check.c. */
#include "protocol/limits.h"
#include "tests/unit/fence_help.h"

#include <stdlib.h>

/* --- when it asks ------------------------------------------------------------------------------------------------ */

static void a_young_beat_needs_no_other(void **state)
{
    (void)state;
    struct roof roof = {0};
    open_ready(&roof);
    struct question a = fenced(&roof, HELP_NOW + QUARTER, 0);
    help_ask(&a, 0, "GET a\r\n");
    help_expect_written(&roof, "GET a\r\n");
    say_at(&roof, "$1\r\nA\r\n", HELP_NOW + FENCE);
    help_ended(&a, OK, "$1\r\nA\r\n");
    assert_int_equal(metrics_read(&roof.metrics, M_L2_CHECKS), 0);
    help_done(&roof);
}

static void an_older_beat_is_renewed_in_front_of_the_read(void **state)
{
    (void)state;
    struct roof roof = {0};
    open_ready(&roof);
    struct question a = fenced(&roof, HELP_NOW + QUARTER + 1, 0);
    struct question b = fenced(&roof, HELP_NOW + QUARTER + 2, 0);
    help_ask(&a, 0, "GET a\r\n");
    help_ask(&b, 0, "GET b\r\n"); /* the one under way is young */
    written_check(&roof, "5", "GET a\r\nGET b\r\n");
    prove(&roof, HELP_NOW + FENCE + 100);
    say_at(&roof, "$1\r\nA\r\n", HELP_NOW + FENCE + 100);
    say_at(&roof, "$1\r\nB\r\n", HELP_NOW + QUARTER + 1 + FENCE);
    help_ended(&a, OK, "$1\r\nA\r\n");
    help_ended(&b, OK, "$1\r\nB\r\n");
    assert_int_equal(metrics_read(&roof.metrics, M_L2_REPLIES_KEPT), 0);
    struct question c = fenced(&roof, HELP_NOW + QUARTER + 3, 0);
    help_ask(&c, 0,
             "GET c\r\n"); /* what counts is when the beat was sent, not when it was answered */
    say_at(&roof, "$1\r\nC\r\n", HELP_NOW + QUARTER + 1 + FENCE + 1);
    assert_int_equal(c.ends, 0);
    help_done(&roof);
    help_ended(&c, L2_DOWN, "");
}

static void writes_and_unfenced_reads_ask_for_no_proof(void **state)
{
    (void)state;
    struct roof roof = {0};
    open_ready(&roof);
    struct question writes = help_question(&roof, true, 0);
    struct question reads = help_question(&roof, false, 0);
    help_ask(&writes, 0, "DEL a\r\n");
    help_ask(&reads, 0, "GET a\r\n");
    help_expect_written(&roof, "DEL a\r\nGET a\r\n");
    say_at(&roof, ":1\r\n$-1\r\n", HELP_NOW + 100 * FENCE);
    help_ended(&writes, OK, ":1\r\n");
    help_ended(&reads, OK, "$-1\r\n");
    help_done(&roof);
}

static void checks_that_are_not_answered_do_not_pile_up(void **state)
{
    (void)state;
    struct roof roof = {0};
    open_ready(&roof);
    struct question q[20];
    for (int i = 0; i < 20; i++) {
        q[i] = fenced(&roof, HELP_NOW + (i + 1) * FENCE, 0);
        help_ask(&q[i], 0, "GET a\r\n");
    }
    assert_int_equal(metrics_read(&roof.metrics, M_L2_CHECKS), 4);
    help_done(&roof);
    for (int i = 0; i < 20; i++) {
        help_ended(&q[i], L2_DOWN, "");
    }
}

/* --- kept replies ------------------------------------------------------------------------------------------------ */

static void a_reply_that_meets_a_closed_fence_waits_for_the_next_beat(void **state)
{
    (void)state;
    struct roof roof = {0};
    open_ready(&roof);
    const int64_t late_ms = HELP_NOW + FENCE + 1;
    struct question a = fenced(&roof, HELP_NOW, 0);
    struct question b = fenced(&roof, HELP_NOW, 0);
    struct question writes = help_question(&roof, true, 0);
    struct question c = fenced(&roof, HELP_NOW, 0);
    help_ask(&a, 0, "GET a\r\n");
    help_ask(&b, 0, "GET b\r\n");
    help_ask(&writes, 0, "DEL a\r\n");
    help_ask(&c, 0, "GET c\r\n");
    help_expect_written(&roof, "GET a\r\nGET b\r\nDEL a\r\nGET c\r\n");
    say_at(&roof, "$1\r\nA\r\n", late_ms);
    written_check(&roof, "5", ""); /* at once, and one for all */
    say_at(&roof, "$1\r\nB\r\n:1\r\n$1\r\nC\r\n", late_ms + 1);
    help_ended(&writes, OK, ":1\r\n"); /* overtakes them */
    assert_int_equal(a.ends + b.ends + c.ends, 0);
    assert_int_equal(link_output(roof.link).size, 0);
    prove(&roof, late_ms + 10 * FENCE); /* however late: Redis was the master after it read */
    help_ended(&a, OK, "$1\r\nA\r\n");
    help_ended(&b, OK, "$1\r\nB\r\n");
    help_ended(&c, OK, "$1\r\nC\r\n");
    assert_int_equal(metrics_read(&roof.metrics, M_L2_REPLIES_KEPT), 3);
    assert_int_equal(metrics_read(&roof.metrics, M_L2_CHECKS), 1);
    help_done(&roof);
}

static void note_order(struct question *question)
{
    assert_int_equal(question->tag, question->roof->ended);
    question->roof->ended++;
}

static void kept_replies_stay_in_order_and_in_front_of_later_ones(void **state)
{
    (void)state;
    struct roof roof = {0};
    open_ready(&roof);
    struct question q[5];
    for (unsigned i = 0; i < 5; i++) {
        q[i] = fenced(&roof, HELP_NOW, 0);
        q[i].tag = i;
        q[i].then = note_order;
        q[i].request.fence_ms = i == 2 ? 100 * FENCE : FENCE; /* it alone would pass */
        help_ask(&q[i], 0, "GET a\r\n");
    }
    say_at(&roof, "+0\r\n+1\r\n+2\r\n+3\r\n", HELP_NOW + FENCE + 1);
    assert_int_equal(roof.ended, 0);
    struct question last = fenced(&roof, HELP_NOW + FENCE + 1, 0);
    help_ask(&last, 0, "GET b\r\n");
    last.tag = 5;
    last.then = note_order;
    say_at(&roof, "+4\r\n", HELP_NOW + FENCE + 1); /* it ran before the beat, too */
    prove(&roof, HELP_NOW + FENCE + 2);
    say_at(&roof, "+5\r\n", HELP_NOW + FENCE + 2);
    assert_int_equal(roof.ended, 6);
    help_done(&roof);
    for (unsigned i = 0; i < 5; i++) {
        buf_done(&q[i].reply);
    }
    buf_done(&last.reply);
}

static void a_beat_already_under_way_behind_the_read_is_waited_for(void **state)
{
    (void)state;
    struct roof roof = {0};
    open_ready(&roof);
    struct question a = fenced(&roof, HELP_NOW, 0);
    struct question b = fenced(&roof, HELP_NOW + 2 * FENCE, 0);
    help_ask(&a, 0, "GET a\r\n");
    help_ask(&b, 0, "GET b\r\n");
    say_at(&roof, "$1\r\nA\r\n", HELP_NOW + 2 * FENCE);
    assert_int_equal(metrics_read(&roof.metrics, M_L2_CHECKS), 1);
    prove(&roof, HELP_NOW + 2 * FENCE);
    help_ended(&a, OK, "$1\r\nA\r\n");
    say_at(&roof, "$1\r\nB\r\n", HELP_NOW + 2 * FENCE);
    help_ended(&b, OK, "$1\r\nB\r\n");
    help_done(&roof);
}

static void the_deadline_of_a_kept_reply_counts(void **state)
{
    (void)state;
    struct roof roof = {0};
    open_ready(&roof);
    const int64_t late_ms = HELP_NOW + FENCE + 1;
    struct question a = fenced(&roof, HELP_NOW, late_ms + 10);
    struct question b = fenced(&roof, HELP_NOW, 0);
    help_ask(&a, 0, "GET a\r\n");
    help_ask(&b, 0, "GET b\r\n");
    say_at(&roof, "$1\r\nA\r\n$1\r\nB\r\n", late_ms);
    link_tick(roof.link, late_ms + 9);
    assert_int_equal(a.ends, 0);
    link_tick(roof.link, late_ms + 10);
    help_ended(&a, L2_DOWN, "");
    a.request = (struct link_request){0}; /* it is the asker's again */
    prove(&roof, late_ms + 11);
    help_ended(&b, OK, "$1\r\nB\r\n"); /* its own bytes */
    help_done(&roof);
}

static void kept_replies_end_with_the_link(void **state)
{
    (void)state;
    struct roof roof = {0};
    open_ready(&roof);
    struct question a = fenced(&roof, HELP_NOW, 0);
    struct question b = fenced(&roof, HELP_NOW, 0);
    help_ask(&a, 0, "GET a\r\n");
    help_ask(&b, 0, "GET b\r\n");
    say_at(&roof, "$1\r\nA\r\n", HELP_NOW + FENCE + 1);
    link_on_lost(roof.link, "reset", HELP_NOW + FENCE + 2);
    help_ended(&a, L2_DOWN, "");
    help_ended(&b, L2_DOWN, "");
    assert_int_equal(link_target(roof.link), 0);
    help_done(&roof);
}

/* A read may be two requests, whose memory goes with the end of the second. */
static void what_finds_no_room_ends_after_what_was_kept_before(void **state)
{
    (void)state;
    struct roof roof = {0};
    open_ready(&roof);
    const int64_t late_ms = HELP_NOW + FENCE + 1;
    struct question q[3];
    for (unsigned i = 0; i < 3; i++) {
        q[i] = fenced(&roof, HELP_NOW, 0);
        q[i].tag = i;
        q[i].then = note_order;
        help_ask(&q[i], 0, "GET a\r\n");
    }
    say_at(&roof, "$1\r\nA\r\n", late_ms);
    char head[32];
    const size_t head_size = (size_t)snprintf(head, sizeof head, "$%llu\r\n", LINK_KEPT_BYTES_MAX);
    const size_t size = head_size + LINK_KEPT_BYTES_MAX + 2;
    size_t room = 0;
    char *at = link_read_room(roof.link, size, &room);
    assert_non_null(at);
    memcpy(at, head, head_size);
    memcpy(at + size - 2, "\r\n", 2);
    link_on_read(roof.link, size, late_ms);
    assert_int_equal(roof.ended, 2);
    help_ended(&q[0], L2_DOWN, "");
    help_ended(&q[1], L2_DOWN, "");
    say_at(&roof, "$1\r\nC\r\n", late_ms);
    prove(&roof, late_ms + 1);
    help_ended(&q[2], OK, "$1\r\nC\r\n");
    help_done(&roof);
}

static void kept_replies_count_in_the_queue(void **state)
{
    (void)state;
    struct roof roof = {0};
    open_ready(&roof);
    struct question *q = calloc(LIMIT_LINK_QUEUE + 1, sizeof *q);
    for (unsigned i = 0; i < LIMIT_LINK_QUEUE; i++) {
        q[i] = fenced(&roof, HELP_NOW, 0);
        help_ask(&q[i], 0, "GET a\r\n");
    }
    for (unsigned i = 0; i < LIMIT_LINK_QUEUE; i++) {
        say_at(&roof, "+x\r\n", HELP_NOW + FENCE + 1);
    }
    struct question *extra = &q[LIMIT_LINK_QUEUE];
    *extra = fenced(&roof, HELP_NOW, 0);
    assert_int_equal(link_ask(roof.link, &extra->request, 0, SLICE_LITERAL("GET a\r\n")), BUSY);
    prove(&roof, HELP_NOW + FENCE + 2);
    for (unsigned i = 0; i < LIMIT_LINK_QUEUE; i++) {
        help_ended(&q[i], OK, "+x\r\n");
    }
    help_done(&roof);
    free(q);
}

static void a_kept_reply_may_close_the_link_and_the_others_still_get_theirs(void **state)
{
    (void)state;
    struct roof roof = {0};
    open_ready(&roof);
    struct question a = fenced(&roof, HELP_NOW, 0);
    struct question b = fenced(&roof, HELP_NOW, 0);
    a.then = help_close_link;
    help_ask(&a, 0, "GET a\r\n");
    help_ask(&b, 0, "GET b\r\n");
    say_at(&roof, "$1\r\nA\r\n$1\r\nB\r\n", HELP_NOW + FENCE + 1);
    help_feed(&roof, SLICE_LITERAL(PROVED "+rubbish\r\n"), HELP_NOW + FENCE + 1);
    help_ended(&a, OK, "$1\r\nA\r\n");
    help_ended(&b, OK, "$1\r\nB\r\n");
    assert_int_equal(roof.closes, 1);
    help_done(&roof);
}

static void a_black_hole_closes_the_link(void **state)
{
    (void)state;
    struct roof roof = {0};
    open_ready(&roof);
    const int64_t late_ms = HELP_NOW + FENCE + 1;
    struct question a = fenced(&roof, HELP_NOW, late_ms + 100);
    help_ask(&a, 0, "GET a\r\n");
    say_at(&roof, "$1\r\nA\r\n", late_ms); /* the last that is heard: the check goes nowhere */
    link_tick(roof.link, late_ms + 100);
    help_ended(&a, L2_DOWN, "");
    link_tick(roof.link, late_ms + 100 + LINK_SILENCE_MS - 1);
    assert_int_equal(link_state(roof.link), LINK_READY);
    link_tick(roof.link, late_ms + 100 + LINK_SILENCE_MS);
    assert_int_equal(link_state(roof.link), LINK_DOWN);
    help_done(&roof);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_young_beat_needs_no_other),
        cmocka_unit_test(an_older_beat_is_renewed_in_front_of_the_read),
        cmocka_unit_test(writes_and_unfenced_reads_ask_for_no_proof),
        cmocka_unit_test(checks_that_are_not_answered_do_not_pile_up),
        cmocka_unit_test(a_reply_that_meets_a_closed_fence_waits_for_the_next_beat),
        cmocka_unit_test(kept_replies_stay_in_order_and_in_front_of_later_ones),
        cmocka_unit_test(a_beat_already_under_way_behind_the_read_is_waited_for),
        cmocka_unit_test(the_deadline_of_a_kept_reply_counts),
        cmocka_unit_test(kept_replies_end_with_the_link),
        cmocka_unit_test(what_finds_no_room_ends_after_what_was_kept_before),
        cmocka_unit_test(kept_replies_count_in_the_queue),
        cmocka_unit_test(a_kept_reply_may_close_the_link_and_the_others_still_get_theirs),
        cmocka_unit_test(a_black_hole_closes_the_link),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
