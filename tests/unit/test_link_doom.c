/* SPDX-License-Identifier: BSD-3-Clause */
/* Writes that were lost with their connection: who waits for what, and when UNKNOWN is said. */
#include "tests/unit/link_help.h"
#include "tiers/link.h"

enum {
    WAIT = 800
};

#define ANSWER(counter, run) \
    "*6\r\n:" counter "\r\n$8\r\n\1\0\0\0\0\0\0\0\r\n:41\r\n:0\r\n$4\r\n" run "\r\n$2\r\nr1\r\n"
#define KILL_7   "*4\r\n$6\r\nCLIENT\r\n$4\r\nKILL\r\n$2\r\nID\r\n$1\r\n7\r\n"
#define SELECTED HELP_SELECTED_8 HELP_SELECTED_8

static int64_t wait_ms(void *arg)
{
    (void)arg;
    return WAIT;
}

/* A link of client 7 that sent a write and a read, and lost both at HELP_NOW. */
static void lose_a_write(struct roof *roof, struct question *writes)
{
    struct link_options options = help_options(roof, &here);
    options.kill_wait_ms = wait_ms;
    help_open(roof, &options);
    help_make_ready(roof);
    *writes = help_question(roof, true, 0);
    struct question reads = help_question(roof, false, 0);
    struct question cut = help_question(roof, true, 0);
    help_ask(writes, 0, "DEL a\r\n");
    help_ask(&reads, 0, "GET a\r\n");
    help_ask(&cut, 0, "DEL b\r\n");
    link_on_written(roof->link, 7 + 7 + 6); /* all but the last byte */
    link_on_lost(roof->link, "reset", HELP_NOW);
    assert_int_equal(writes->ends, 0);
    help_ended(&reads, L2_DOWN, "");
    help_ended(&cut, L2_DOWN, "");
}

/* Whom the next greeting finds. */
static struct slice beat_answer_of(const char *who)
{
    if (strcmp(who, "same") == 0) {
        return SLICE_LITERAL(ANSWER("5", "abcd"));
    }
    return strcmp(who, "newer") == 0 ? SLICE_LITERAL(ANSWER("6", "bbbb"))
                                     : SLICE_LITERAL(ANSWER("5", "bbbb"));
}

/* The greeting up to the beat's answer. */
static void greet(struct roof *roof, const char *who, int64_t now_ms)
{
    link_tick(roof->link, now_ms);
    assert_int_equal(link_state(roof->link), LINK_CONNECTING);
    link_on_connected(roof->link, now_ms);
    struct buf greeting = help_written(roof);
    buf_done(&greeting);
    help_feed(roof, SLICE_LITERAL(":8\r\n"), now_ms);
    help_feed(roof, beat_answer_of(who), now_ms);
}

static void ended_unknown(struct question *writes, bool confirmed)
{
    help_ended(writes, UNKNOWN, "");
    assert_int_equal(writes->request.confirmed, confirmed);
}

static void unknown_is_said_when_the_lost_connection_was_killed(void **state)
{
    (void)state;
    static const char *const answers[] = {":1\r\n", ":0\r\n"}; /* killed; gone before */
    for (int i = 0; i < 2; i++) {
        struct roof roof = {0};
        struct question writes;
        lose_a_write(&roof, &writes);
        greet(&roof, "same", HELP_NOW); /* at once */
        help_expect_written(&roof, KILL_7);
        HELP_SAY(&roof, SELECTED);
        assert_int_equal(link_state(roof.link), LINK_GREETING);
        assert_int_equal(writes.ends, 0);
        help_feed(&roof, slice_of(answers[i]), HELP_NOW + 1);
        ended_unknown(&writes, true);
        assert_int_equal(link_state(roof.link), LINK_READY);
        assert_int_equal(metrics_read(&roof.metrics, M_KILLS_ASKED), 1);
        assert_int_equal(metrics_read(&roof.metrics, M_KILLS_CONFIRMED), 1);
        assert_int_equal(metrics_read(&roof.metrics, M_KILLS_GIVEN_UP), 0);
        help_done(&roof);
    }
}

/* A failover to another address ends nothing at the former one, which may be the master again one day. */
static void another_process_elsewhere_confirms_nothing(void **state)
{
    (void)state;
    static const struct l2_url elsewhere = {.host = "i", .port = 2};
    struct roof roof = {0};
    struct question writes;
    lose_a_write(&roof, &writes);
    link_go_to(roof.link, &elsewhere, 0, HELP_NOW);
    greet(&roof, "newer", HELP_NOW);
    ended_unknown(&writes, false);
    assert_int_equal(link_output(roof.link).size, 0); /* client 7 of that one is a stranger */
    HELP_SAY(&roof, SELECTED);
    assert_int_equal(link_state(roof.link), LINK_READY);
    help_done(&roof);
}

/* What is lost by moving was lost where the link was. */
static void a_write_that_a_move_loses_belongs_to_the_former_address(void **state)
{
    (void)state;
    static const struct l2_url elsewhere = {.host = "i", .port = 2};
    struct roof roof = {0};
    struct link_options options = help_options(&roof, &here);
    options.kill_wait_ms = wait_ms;
    help_open(&roof, &options);
    help_make_ready(&roof);
    struct question writes = help_question(&roof, true, 0);
    help_ask(&writes, 0, "DEL a\r\n");
    link_on_written(roof.link, 7);
    link_go_to(roof.link, &elsewhere, 0, HELP_NOW);
    assert_ptr_equal(link_url(roof.link), &elsewhere);
    assert_int_equal(writes.ends, 0);
    greet(&roof, "newer", HELP_NOW);
    ended_unknown(&writes, false);
    help_done(&roof);
}

static void what_is_asked_meanwhile_runs_after_the_kill(void **state)
{
    (void)state;
    struct roof roof = {0};
    struct question writes;
    lose_a_write(&roof, &writes);
    struct question next = help_question(&roof, true, 0);
    help_ask(&next, 0, "DEL c\r\n");
    greet(&roof, "same", HELP_NOW);
    help_expect_written(&roof, KILL_7);
    HELP_SAY(&roof, SELECTED ":1\r\n");
    help_expect_written(&roof, "DEL c\r\n");
    HELP_SAY(&roof, ":1\r\n");
    help_ended(&next, OK, ":1\r\n");
    ended_unknown(&writes, true);
    help_done(&roof);
}

static void another_process_in_a_newer_epoch_confirms_it(void **state)
{
    (void)state;
    struct roof roof = {0};
    struct question writes;
    lose_a_write(&roof, &writes);
    greet(&roof, "newer", HELP_NOW);
    ended_unknown(&writes, true);
    assert_int_equal(link_output(roof.link).size, 0); /* client 7 of that one is a stranger */
    HELP_SAY(&roof, SELECTED);
    assert_int_equal(link_state(roof.link), LINK_READY);
    help_done(&roof);
}

static void another_process_in_the_same_epoch_confirms_nothing(void **state)
{
    (void)state;
    struct roof roof = {0};
    struct question writes;
    lose_a_write(&roof, &writes);
    greet(&roof, "other", HELP_NOW);
    assert_int_equal(link_output(roof.link).size, 0);
    HELP_SAY(&roof, SELECTED);
    assert_int_equal(link_state(roof.link), LINK_READY);
    assert_int_equal(writes.ends, 0);
    link_tick(roof.link, HELP_NOW + WAIT);
    ended_unknown(&writes, false);
    help_done(&roof);
}

static void without_confirmation_the_wait_ends_and_the_kill_comes_later(void **state)
{
    (void)state;
    struct roof roof = {0};
    struct question writes;
    lose_a_write(&roof, &writes);
    link_tick(roof.link, HELP_NOW);
    link_on_lost(roof.link, "refused", HELP_NOW);
    link_tick(roof.link, HELP_NOW + WAIT - 1);
    assert_int_equal(writes.ends, 0);
    link_tick(roof.link, HELP_NOW + WAIT);
    ended_unknown(&writes, false);
    assert_int_equal(metrics_read(&roof.metrics, M_KILLS_GIVEN_UP), 1);
    if (link_state(roof.link) == LINK_CONNECTING) {
        link_on_lost(roof.link, "refused", HELP_NOW + WAIT);
    }
    greet(&roof, "same", HELP_NOW + 100 * WAIT);
    help_expect_written(&roof, KILL_7);
    HELP_SAY(&roof, SELECTED ":1\r\n");
    assert_int_equal(link_state(roof.link), LINK_READY);
    assert_int_equal(writes.ends, 1);
    assert_int_equal(metrics_read(&roof.metrics, M_KILLS_CONFIRMED), 0);
    link_on_lost(roof.link, "reset", HELP_NOW + 100 * WAIT);
    greet(&roof, "same", HELP_NOW + 200 * WAIT);
    assert_int_equal(link_output(roof.link).size, 0); /* once is enough */
    help_done(&roof);
}

static void the_wait_may_end_while_the_kill_is_under_way(void **state)
{
    (void)state;
    struct roof roof = {0};
    struct question writes;
    lose_a_write(&roof, &writes);
    greet(&roof, "same", HELP_NOW);
    link_tick(roof.link, HELP_NOW + WAIT);
    ended_unknown(&writes, false);
    HELP_SAY(&roof, SELECTED ":1\r\n"); /* its answer is nobody's */
    assert_int_equal(link_state(roof.link), LINK_READY);
    help_done(&roof);
}

static void a_kill_that_is_refused_confirms_nothing(void **state)
{
    (void)state;
    struct roof roof = {0};
    struct question writes;
    lose_a_write(&roof, &writes);
    greet(&roof, "same", HELP_NOW);
    HELP_SAY(&roof, SELECTED "-NOPERM no\r\n");
    ended_unknown(&writes, false);
    assert_int_equal(link_state(roof.link), LINK_READY);
    help_done(&roof);
}

static void a_greeting_that_is_lost_kills_again(void **state)
{
    (void)state;
    struct roof roof = {0};
    struct question writes;
    lose_a_write(&roof, &writes);
    greet(&roof, "same", HELP_NOW);
    link_on_lost(roof.link, "reset", HELP_NOW + 1);
    assert_int_equal(writes.ends, 0);
    link_tick(roof.link,
              HELP_NOW + WAIT - 1); /* the first retry took at most 1250 ms, or it connects now */
    if (link_state(roof.link) == LINK_CONNECTING) {
        link_on_lost(roof.link, "refused", HELP_NOW + WAIT - 1);
    }
    greet(&roof, "same", HELP_NOW + 10 * WAIT);
    help_expect_written(&roof, KILL_7);
    help_done(&roof);
    assert_int_equal(writes.ends, 1);
    buf_done(&writes.reply);
}

static void freeing_does_not_wait(void **state)
{
    (void)state;
    struct roof roof = {0};
    struct question writes;
    lose_a_write(&roof, &writes);
    help_done(&roof);
    ended_unknown(&writes, false);
}

static void the_end_of_a_lost_write_may_close_the_link(void **state)
{
    (void)state;
    static const char *const finds[] = {"same", "newer"};
    for (int i = 0; i < 2; i++) {
        struct roof roof = {0};
        struct question writes;
        lose_a_write(&roof, &writes);
        writes.then = help_close_link;
        greet(&roof, finds[i], HELP_NOW);
        if (i == 0) {
            HELP_SAY(&roof, SELECTED ":1\r\n");
        }
        ended_unknown(&writes, true);
        assert_int_equal(link_state(roof.link), LINK_DOWN);
        help_done(&roof);
    }
}

static void an_overdue_write_waits_for_its_end_too(void **state)
{
    (void)state;
    struct roof roof = {0};
    struct link_options options = help_options(&roof, &here);
    options.kill_wait_ms = wait_ms;
    help_open(&roof, &options);
    help_make_ready(&roof);
    struct question writes = help_question(&roof, true, HELP_NOW + 100);
    help_ask(&writes, 0, "DEL a\r\n");
    help_expect_written(&roof, "DEL a\r\n");
    link_tick(roof.link, HELP_NOW + 100);
    assert_int_equal(roof.closes, 1);
    assert_int_equal(writes.ends, 0);
    greet(&roof, "same", HELP_NOW + 100);
    HELP_SAY(&roof, SELECTED ":1\r\n");
    ended_unknown(&writes, true);
    help_done(&roof);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(unknown_is_said_when_the_lost_connection_was_killed),
        cmocka_unit_test(another_process_elsewhere_confirms_nothing),
        cmocka_unit_test(a_write_that_a_move_loses_belongs_to_the_former_address),
        cmocka_unit_test(what_is_asked_meanwhile_runs_after_the_kill),
        cmocka_unit_test(another_process_in_a_newer_epoch_confirms_it),
        cmocka_unit_test(another_process_in_the_same_epoch_confirms_nothing),
        cmocka_unit_test(without_confirmation_the_wait_ends_and_the_kill_comes_later),
        cmocka_unit_test(the_wait_may_end_while_the_kill_is_under_way),
        cmocka_unit_test(a_kill_that_is_refused_confirms_nothing),
        cmocka_unit_test(a_greeting_that_is_lost_kills_again),
        cmocka_unit_test(freeing_does_not_wait),
        cmocka_unit_test(the_end_of_a_lost_write_may_close_the_link),
        cmocka_unit_test(an_overdue_write_waits_for_its_end_too),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
