/* SPDX-License-Identifier: BSD-3-Clause */
/* Barriers: done when the pong is home, or when the floor stands in for it. */
#include "tests/unit/coherence_help.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

struct asked {
    struct barrier barrier;
    unsigned done;
    struct coherence *again; /* asks once more from inside */
    int64_t now_ms;
};

static void on_done(struct barrier *barrier)
{
    struct asked *asked = LIST_ENTRY(barrier, struct asked, barrier);
    struct coherence *again = asked->again;
    asked->done++;
    asked->again = NULL;
    if (again != NULL) {
        coherence_barrier(again, barrier, asked->now_ms);
    }
}

static void ask(struct stage *stage, struct asked *asked)
{
    asked->barrier.on_done = on_done;
    asked->barrier.deadline_ms = stage->now_ms + 300;
    asked->now_ms = stage->now_ms;
    coherence_barrier(stage->coherence, &asked->barrier, stage->now_ms);
}

/* The PING that is due, which must carry `nonce`; NULL: none is. */
static void expect_ping(struct stage *stage, const char *nonce)
{
    struct buf out = {0};
    struct buf expected = {0};
    assert_int_equal(coherence_ping(stage->coherence, &out), nonce == NULL ? AGAIN : OK);
    if (nonce != NULL) {
        assert_int_equal(
            buf_printf(&expected, "*2\r\n$4\r\nPING\r\n$%zu\r\n%s\r\n", strlen(nonce), nonce), OK);
    }
    assert_true(slice_equal(buf_slice(&out), buf_slice(&expected)));
    buf_done(&out);
    buf_done(&expected);
}

static void pong(struct stage *stage, const char *nonce)
{
    struct buf reply = {0};
    assert_int_equal(buf_printf(&reply, "*2\r\n$4\r\npong\r\n$%zu\r\n%s\r\n", strlen(nonce), nonce),
                     OK);
    stage_reply(stage, buf_slice(&reply));
    buf_done(&reply);
}

/* The PING that is due, and its pong. */
static void round_trip(struct stage *stage, const char *nonce)
{
    expect_ping(stage, nonce);
    expect_ping(stage, NULL);
    pong(stage, nonce);
}

static void the_second_pong_ends_the_wait_of_all_who_asked_before_the_first_ping(void **state)
{
    (void)state;
    struct stage stage;
    struct asked a = {0};
    struct asked b = {0};
    struct asked late = {0};
    stage_open_synced(&stage);
    expect_ping(&stage, NULL);
    const int64_t floor_ms = stage_floor(&stage);
    ask(&stage, &a);
    ask(&stage, &b);
    expect_ping(&stage, "1");
    expect_ping(&stage, NULL);
    ask(&stage, &late);
    pong(&stage, "1");
    assert_int_equal(a.done + b.done, 0);
    expect_ping(&stage, "2"); /* the second of two, the first of one */
    pong(&stage, "1");        /* again: nothing */
    pong(&stage, "x");
    pong(&stage, "");
    pong(&stage, "3"); /* nobody sent it */
    assert_int_equal(a.done + b.done, 0);
    pong(&stage, "2");
    assert_int_equal(a.done + b.done, 2);
    assert_int_equal(late.done, 0);
    round_trip(&stage, "3");
    assert_int_equal(late.done, 1);
    expect_ping(&stage, NULL);
    assert_int_equal(stage_floor(&stage), floor_ms);
    assert_int_equal(stage_count(&stage, M_BARRIER_PINGS), 3);
    stage_done(&stage);
}

/* A PING that was sent before the first pong came may have been read in the same cycle of Redis. */
static void a_ping_that_was_out_before_the_first_pong_is_no_second_one(void **state)
{
    (void)state;
    struct stage stage;
    struct asked a = {0};
    struct asked b = {0};
    stage_open_synced(&stage);
    ask(&stage, &a);
    expect_ping(&stage, "1");
    ask(&stage, &b);
    expect_ping(&stage, "2");
    pong(&stage, "1");
    pong(&stage, "2");
    assert_int_equal(a.done + b.done, 0);
    round_trip(&stage, "3");
    assert_int_equal(a.done + b.done, 2);
    stage_done(&stage);
}

/* What Redis answered in the middle of its cycle it announces behind the first pong. */
static void an_entry_that_is_announced_between_the_pongs_has_ended(void **state)
{
    (void)state;
    struct stage stage;
    struct asked a = {0};
    stage_open_synced(&stage);
    help_set(stage.l1, 0, "k", "v", ITEM_NEVER, stage.now_ms);
    ask(&stage, &a);
    round_trip(&stage, "1");
    assert_int_equal(a.done, 0);
    stage_announce(&stage, "k");
    round_trip(&stage, "2");
    assert_int_equal(a.done, 1);
    assert_true(help_is(stage.l1, 0, "k", NULL, stage.now_ms));
    stage_done(&stage);
}

static void who_asks_from_inside_waits_for_two_more(void **state)
{
    (void)state;
    struct stage stage;
    struct asked a = {0};
    stage_open_synced(&stage);
    a.again = stage.coherence;
    ask(&stage, &a);
    round_trip(&stage, "1");
    round_trip(&stage, "2");
    assert_int_equal(a.done, 1);
    round_trip(&stage, "3");
    assert_int_equal(a.done, 1);
    round_trip(&stage, "4");
    assert_int_equal(a.done, 2);
    stage_done(&stage);
}

static void without_a_bus_the_floor_rises_at_once(void **state)
{
    (void)state;
    struct stage stage;
    struct asked a = {0};
    struct asked b = {0};
    stage_open_synced(&stage);
    assert_int_equal(stage_fill(&stage, "k", stage_claim(&stage, "k"), stage.now_ms), OK);
    assert_true(stage_serves(&stage, "k"));
    coherence_on_bus_lost(stage.coherence, "cut", stage.now_ms);
    assert_true(stage_serves(&stage, "k")); /* within the bound, and nobody knows better */
    ask(&stage, &a);
    assert_int_equal(a.done, 1);
    assert_false(stage_serves(&stage, "k"));
    assert_int_equal(l1_count(stage.l1, 0), 1);
    expect_ping(&stage, NULL);
    stage_bus_up(&stage); /* not confirmed yet */
    ask(&stage, &b);
    assert_int_equal(b.done, 1);
    assert_int_equal(stage_count(&stage, M_FLOORS_BARRIER), 2);
    stage_done(&stage);
}

static void a_bus_that_is_lost_with_the_ping_raises_the_floor(void **state)
{
    (void)state;
    struct stage stage;
    struct asked a = {0};
    struct asked b = {0};
    stage_open_synced(&stage);
    ask(&stage, &a);
    expect_ping(&stage, "1");
    ask(&stage, &b);
    stage.now_ms += 7;
    coherence_on_bus_lost(stage.coherence, "cut", stage.now_ms);
    assert_int_equal(a.done + b.done, 2);
    assert_int_equal(stage_floor(&stage), stage.now_ms + 1);
    assert_int_equal(stage_count(&stage, M_FLOORS_BARRIER), 1);
    expect_ping(&stage, NULL);
    stage_done(&stage);
}

static void a_pong_that_is_late_is_not_waited_for(void **state)
{
    (void)state;
    struct stage stage;
    struct asked a = {0};
    stage_open_synced(&stage);
    ask(&stage, &a);
    expect_ping(&stage, "1");
    stage.now_ms += 299;
    coherence_tick(stage.coherence, stage.now_ms);
    assert_int_equal(a.done, 0);
    stage.now_ms += 1;
    coherence_tick(stage.coherence, stage.now_ms);
    assert_int_equal(a.done, 1);
    assert_int_equal(stage_floor(&stage), stage.now_ms + 1);
    pong(&stage, "1");
    assert_int_equal(a.done, 1);
    stage_done(&stage);
}

/* A pong of one process says nothing about what another one has run. */
static void a_bus_at_another_process_cannot_answer(void **state)
{
    (void)state;
    static const uint64_t runs[] = {10, BARRIER_RUN_NONE};
    struct stage stage;
    stage_open_synced(&stage);
    for (size_t i = 0; i < sizeof runs / sizeof runs[0]; i++) {
        struct asked a = {.barrier = {.run = runs[i]}};
        stage.now_ms++;
        ask(&stage, &a);
        assert_int_equal(a.done, 1);
        assert_int_equal(stage_floor(&stage), stage.now_ms + 1);
    }
    struct asked same = {.barrier = {.run = stage.run}};
    ask(&stage, &same);
    assert_int_equal(same.done, 0);
    round_trip(&stage, "1");
    round_trip(&stage, "2");
    assert_int_equal(same.done, 1);
    stage_done(&stage);
}

static void the_end_of_the_node_ends_all(void **state)
{
    (void)state;
    struct stage stage;
    struct asked a = {0};
    struct asked late = {0};
    stage_open_synced(&stage);
    ask(&stage, &a);
    coherence_end_waits(stage.coherence);
    assert_int_equal(a.done, 1);
    ask(&stage, &late);
    assert_int_equal(late.done, 1);
    expect_ping(&stage, NULL);
    stage_done(&stage);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_second_pong_ends_the_wait_of_all_who_asked_before_the_first_ping),
        cmocka_unit_test(a_ping_that_was_out_before_the_first_pong_is_no_second_one),
        cmocka_unit_test(an_entry_that_is_announced_between_the_pongs_has_ended),
        cmocka_unit_test(who_asks_from_inside_waits_for_two_more),
        cmocka_unit_test(without_a_bus_the_floor_rises_at_once),
        cmocka_unit_test(a_bus_that_is_lost_with_the_ping_raises_the_floor),
        cmocka_unit_test(a_pong_that_is_late_is_not_waited_for),
        cmocka_unit_test(a_bus_at_another_process_cannot_answer),
        cmocka_unit_test(the_end_of_the_node_ends_all),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
