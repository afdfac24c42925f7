/* SPDX-License-Identifier: BSD-3-Clause */
/* Checks of a link: what becomes of one that fails, and whose epoch it must find. */
#include "tests/unit/fence_help.h"

/* --- a check that fails ------------------------------------------------------------------------------------------ */

static void a_refused_check_closes_the_link(void **state)
{
    (void)state;
    static const char *const refusals[] = {"-READONLY terrace: this Redis is not a master\r\n",
                                           "-NOREPLICAS Not enough\r\n", "-LOADING\r\n", "+OK\r\n",
                                           "*0\r\n"};
    for (size_t i = 0; i < sizeof refusals / sizeof refusals[0]; i++) {
        struct roof roof = {0};
        open_ready(&roof);
        const int64_t now_ms = HELP_NOW + FENCE + 1;
        struct question kept = fenced(&roof, HELP_NOW, 0);
        struct question behind = fenced(&roof, now_ms, 0);
        help_ask(&kept, 0, "GET a\r\n");
        help_ask(&behind, 0, "GET b\r\n");
        say_at(&roof, "$1\r\nA\r\n", now_ms);
        say_at(&roof, refusals[i], now_ms);
        help_ended(&kept, L2_DOWN, "");
        help_ended(&behind, L2_DOWN, "");
        assert_int_equal(link_state(roof.link), LINK_DOWN);
        assert_int_equal(roof.closes, 1);
        assert_int_equal(metrics_read(&roof.metrics, M_L2_CHECKS_FAILED), 1);
        if (i == 0) {
            assert_string_equal(link_why_down(roof.link),
                                "READONLY terrace: this Redis is not a master");
        }
        help_done(&roof);
    }
}

static void a_flush_closes_no_fence_and_ends_no_read(void **state)
{
    (void)state;
    struct roof roof = {.expected = {.counter = 5, .random = 1}};
    open_ready(&roof);
    const uint64_t target = link_target(roof.link);
    const int64_t late_ms = HELP_NOW + FENCE + 1;
    struct question kept = fenced(&roof, HELP_NOW, 0);
    help_ask(&kept, 0, "GET a\r\n");
    help_expect_written(&roof, "GET a\r\n");
    say_at(&roof, "$1\r\nA\r\n", late_ms);
    written_check(&roof, "5", "");
    assert_int_equal(kept.ends, 0);
    say_at(&roof, OTHER, late_ms + 1); /* the record of the epoch is gone, the master is the same */
    help_ended(&kept, OK, "$1\r\nA\r\n");
    assert_int_equal(link_target(roof.link), target); /* nobody has begun another yet */

    struct question open = fenced(&roof, late_ms, 0);
    help_ask(&open, 0, "GET b\r\n");
    help_expect_written(&roof, "GET b\r\n");
    say_at(&roof, "$1\r\nB\r\n", late_ms + FENCE); /* counted from when that check was sent */
    help_ended(&open, OK, "$1\r\nB\r\n");

    struct question next = fenced(&roof, late_ms + FENCE, 0);
    roof.expected.counter = 6;
    help_ask(&next, 0, "GET c\r\n");
    written_check(&roof, "6", "GET c\r\n");
    help_feed(&roof, SLICE_LITERAL(ANSWER("6", "abcd") "$1\r\nC\r\n"), late_ms + FENCE);
    help_ended(&next, OK, "$1\r\nC\r\n");
    assert_int_not_equal(link_target(roof.link), target);
    assert_int_equal(metrics_read(&roof.metrics, M_L2_CHECKS_FAILED), 0);
    help_done(&roof);
}

static void what_was_kept_is_released_by_another_epoch_of_the_same_reign(void **state)
{
    (void)state;
    struct roof roof = {.expected = {.counter = 5, .random = 1}};
    open_ready(&roof);
    const int64_t late_ms = HELP_NOW + FENCE + 1;
    struct question kept = fenced(&roof, HELP_NOW, 0);
    help_ask(&kept, 0, "GET a\r\n");
    roof.expected.counter = 6;
    say_at(&roof, "$1\r\nA\r\n", late_ms);
    help_feed(&roof, SLICE_LITERAL(ANSWER("6", "abcd")), late_ms + 1);
    help_ended(&kept, OK, "$1\r\nA\r\n");
    help_done(&roof);
}

static void what_a_demoted_master_may_have_read_is_not_shown(void **state)
{
    (void)state;
    struct roof roof = {.expected = {.counter = 5, .random = 1}};
    open_ready(&roof);
    const int64_t late_ms = HELP_NOW + FENCE + 1;
    struct question kept = fenced(&roof, HELP_NOW, 0);
    help_ask(&kept, 0, "GET a\r\n");
    roof.expected.counter = 6;
    say_at(&roof, "$1\r\nA\r\n", late_ms);
    help_feed(&roof, SLICE_LITERAL(ANSWER_OF("6", "abcd", "r2")),
              late_ms + 1); /* and promoted again */
    help_ended(&kept, L2_DOWN, "");
    assert_string_equal(link_why_down(roof.link), "it was demoted and promoted again meanwhile");
    assert_int_equal(link_state(roof.link), LINK_READY);
    struct question next = fenced(&roof, late_ms, 0);
    help_ask(&next, 0, "GET b\r\n");
    say_at(&roof, "$1\r\nB\r\n", late_ms + 2);
    help_ended(&next, OK, "$1\r\nB\r\n");
    help_done(&roof);
}

static void the_first_replica_ends_no_read(void **state)
{
    (void)state;
    struct roof roof = {.expected = {.counter = 5, .random = 1}};
    open_ready(&roof);
    struct question kept = fenced(&roof, HELP_NOW, 0);
    help_ask(&kept, 0, "GET a\r\n");
    say_at(&roof, "$1\r\nA\r\n", HELP_NOW + FENCE + 1);
    help_feed(&roof, SLICE_LITERAL(ANSWER_OF("5", "abcd", "r2")),
              HELP_NOW + FENCE + 2); /* the epoch stands */
    help_ended(&kept, OK, "$1\r\nA\r\n");
    help_done(&roof);
}

static void another_epoch_and_reign_are_asked_again_until_the_node_knows(void **state)
{
    (void)state;
    struct roof roof = {.expected = {.counter = 5, .random = 1}};
    open_ready(&roof);
    const uint64_t target = link_target(roof.link);
    const int64_t now_ms = HELP_NOW + FENCE / 2;
    struct question open = fenced(&roof, now_ms, 0);
    help_ask(&open, 0, "GET a\r\n");
    written_check(&roof, "5", "GET a\r\n");
    say_at(&roof, OTHER_OF("abcd", "r2") "$1\r\nA\r\n", now_ms);
    help_ended(&open, OK, "$1\r\nA\r\n"); /* the last proof is young enough */
    assert_int_equal(link_target(roof.link), target);

    const int64_t late_ms = HELP_NOW + FENCE + 1;
    struct question kept = fenced(&roof, now_ms, 0);
    help_ask(&kept, 0, "GET b\r\n");
    help_expect_written(&roof, "GET b\r\n");
    say_at(&roof, "$1\r\nB\r\n", late_ms);
    assert_int_equal(link_output(roof.link).size,
                     0); /* not at once: it would ask as fast as it can */
    link_tick(roof.link, late_ms + 100);
    written_check(&roof, "5", "");
    say_at(&roof, OTHER_OF("abcd", "r2"), late_ms + 100); /* said twice it is no more ours */
    assert_int_equal(kept.ends, 0);
    roof.expected.counter = 6;
    link_tick(roof.link, late_ms + 200);
    written_check(&roof, "6", "");
    help_feed(&roof, SLICE_LITERAL(ANSWER_OF("6", "abcd", "r2")), late_ms + 200);
    help_ended(&kept, L2_DOWN, "");
    assert_int_equal(link_state(roof.link), LINK_READY);
    assert_int_not_equal(link_target(roof.link), target);
    struct question next = fenced(&roof, late_ms + 200, 0);
    help_ask(&next, 0, "GET c\r\n");
    say_at(&roof, "$1\r\nC\r\n", late_ms + 200);
    help_ended(&next, OK, "$1\r\nC\r\n");
    help_done(&roof);
}

static void another_epoch_and_reign_for_longer_than_the_fence_close_the_link(void **state)
{
    (void)state;
    struct roof roof = {.expected = {.counter = 5, .random = 1}};
    open_ready(&roof);
    const int64_t late_ms = HELP_NOW + FENCE + 1;
    struct question kept = fenced(&roof, HELP_NOW, 0);
    help_ask(&kept, 0, "GET b\r\n");
    say_at(&roof, "$1\r\nB\r\n", late_ms);
    say_at(&roof, OTHER_OF("abcd", "r2"), late_ms);
    int64_t now_ms = late_ms;
    for (; now_ms <= late_ms + FENCE; now_ms += 100) {
        link_tick(roof.link, now_ms);
        assert_int_equal(link_state(roof.link), LINK_READY);
        say_at(&roof, OTHER_OF("abcd", "r2"), now_ms);
    }
    link_tick(roof.link, now_ms);
    say_at(&roof, OTHER_OF("abcd", "r2"), now_ms);
    assert_int_equal(link_state(roof.link), LINK_DOWN);
    assert_string_equal(link_why_down(roof.link), "other");
    help_ended(&kept, L2_DOWN, "");
    help_done(&roof);
}

/* --- whose epoch ------------------------------------------------------------------------------------------------- */

static void a_greeting_of_the_nodes_epoch_or_a_newer_one_opens_the_fence(void **state)
{
    (void)state;
    static const struct {
        struct epoch node;
        bool open;
    } cases[] = {{{.counter = 0}, true},
                 {{.counter = 5, .random = 1}, true},
                 {{.counter = 4, .random = 9}, true},
                 {{.counter = 5, .random = 2}, false}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct roof roof = {.expected = cases[i].node};
        open_ready(&roof);
        assert_int_equal(link_target(roof.link) != 0, cases[i].open);
        struct question a = fenced(&roof, HELP_NOW, 0);
        help_ask(&a, 0, "GET a\r\n");
        say_at(&roof, "$1\r\nA\r\n", HELP_NOW);
        assert_int_equal(a.ends, cases[i].open);
        help_done(&roof);
        buf_done(&a.reply);
    }
}

static void a_check_expects_the_newer_of_the_nodes_epoch_and_the_links(void **state)
{
    (void)state;
    struct roof roof = {.expected = {.counter = 4, .random = 9}};
    open_ready(&roof);
    struct question a = fenced(&roof, HELP_NOW + FENCE, 0);
    help_ask(&a, 0, "GET a\r\n");
    written_check(&roof, "5", "GET a\r\n");
    roof.expected.counter = 7;
    struct question b = fenced(&roof, HELP_NOW + 2 * FENCE, 0);
    help_ask(&b, 0, "GET b\r\n");
    written_check(&roof, "7", "GET b\r\n");
    help_done(&roof);
}

static void an_epoch_that_the_node_knows_is_looked_for_at_once(void **state)
{
    (void)state;
    struct roof roof = {.expected = {.counter = 5, .random = 1}};
    open_ready(&roof);
    roof.known = 5;
    struct question q[4];
    for (int i = 0; i < 4; i++) {
        q[i] = fenced(&roof, HELP_NOW + 9 + i, 0);
    }
    help_ask(&q[0], 0, "GET a\r\n");
    roof.known = roof.expected.counter = 6;
    help_expect_written(&roof, "GET a\r\n");
    help_ask(&q[1], 0, "GET a\r\n");
    help_ask(&q[2], 0, "GET a\r\n"); /* one is under way */
    written_check(&roof, "6", "GET a\r\nGET a\r\n");
    say_at(&roof, "$-1\r\n" OTHER "$-1\r\n$-1\r\n", HELP_NOW + 11);
    help_ask(&q[3], 0, "GET a\r\n"); /* it was not there: not as fast as it can */
    help_expect_written(&roof, "GET a\r\n");
    say_at(&roof, "$-1\r\n", HELP_NOW + 12);
    struct question last = fenced(&roof, HELP_NOW + 20, 0);
    help_ask(&last, 0, "GET b\r\n");
    written_check(&roof, "6", "GET b\r\n");
    help_feed(&roof, SLICE_LITERAL(ANSWER("6", "abcd") "$-1\r\n"), HELP_NOW + 20);
    struct question done = fenced(&roof, HELP_NOW + 50, 0);
    help_ask(&done, 0, "GET c\r\n");
    help_expect_written(&roof, "GET c\r\n");
    help_done(&roof);
    for (int i = 0; i < 4; i++) {
        help_ended(&q[i], OK, "$-1\r\n");
    }
    help_ended(&last, OK, "$-1\r\n");
    help_ended(&done, L2_DOWN, "");
}

static void a_reconnection_proves_nothing_of_before(void **state)
{
    (void)state;
    struct roof roof = {0};
    open_ready(&roof);
    const uint64_t target = link_target(roof.link);
    const uint64_t run = link_run(roof.link);
    assert_int_not_equal(run, 0);
    struct question a = fenced(&roof, HELP_NOW + FENCE, 0);
    help_ask(&a, 0, "GET a\r\n"); /* a check is under way */
    link_on_lost(roof.link, "reset", HELP_NOW + FENCE);
    help_ended(&a, L2_DOWN, "");
    assert_int_equal(link_run(roof.link), 0);
    link_tick(roof.link, HELP_NOW + 2 * FENCE);
    link_on_connected(roof.link, HELP_NOW + 2 * FENCE);
    struct buf greeting = help_written(&roof);
    buf_done(&greeting);
    help_feed(&roof, SLICE_LITERAL(":8\r\n" ANSWER("5", "bbbb") HELP_SELECTED_8 HELP_SELECTED_8),
              HELP_NOW + 3 * FENCE);
    assert_int_not_equal(link_target(roof.link), target);
    assert_int_not_equal(link_run(roof.link), run);
    struct question b = fenced(&roof, HELP_NOW + 2 * FENCE, 0);
    help_ask(&b, 0, "GET b\r\n");
    help_expect_written(&roof, "GET b\r\n");
    say_at(&roof, "$1\r\nB\r\n", HELP_NOW + 3 * FENCE); /* counted from the greeting's sending */
    help_ended(&b, OK, "$1\r\nB\r\n");
    help_done(&roof);
}

static void the_proof_of_a_lost_connection_does_not_open_the_next(void **state)
{
    (void)state;
    struct roof roof = {.expected = {.counter = 5, .random = 1}};
    open_ready(&roof);
    link_on_lost(roof.link, "reset", HELP_NOW + 1);
    roof.expected.random = 2; /* the next greeting finds what the node does not believe in */
    link_tick(roof.link, HELP_NOW + FENCE);
    help_make_ready(&roof);
    struct question a = fenced(&roof, HELP_NOW, 0);
    help_ask(&a, 0, "GET a\r\n");
    say_at(&roof, "$1\r\nA\r\n", HELP_NOW);
    assert_int_equal(a.ends, 0);
    help_done(&roof);
    help_ended(&a, L2_DOWN, "");
}

/* --- several links ----------------------------------------------------------------------------------------------- */

static void on_met(void *arg, const struct beat_answer *answer)
{
    ((struct roof *)arg)->answer = *answer;
}

static bool is_newest(void *arg, uint64_t run, uint64_t counter)
{
    (void)run;
    return counter >= ((struct roof *)arg)->known;
}

/* Two links may be at two masters for a while, each with a young proof of its own. */
static void a_master_that_another_link_knows_to_be_superseded_is_not_believed(void **state)
{
    (void)state;
    struct roof roof = {0};
    struct link_options options = help_options(&roof, &here);
    options.expected_epoch = expected;
    options.on_met = on_met;
    options.is_newest = is_newest;
    help_open(&roof, &options);
    help_make_ready(&roof);
    struct question a = fenced(&roof, HELP_NOW, 0);
    struct question b = fenced(&roof, HELP_NOW, 0);
    help_ask(&a, 0, "GET a\r\n");
    help_ask(&b, 0, "GET b\r\n");
    help_expect_written(&roof, "GET a\r\nGET b\r\n");
    say_at(&roof, "$1\r\nA\r\n", HELP_NOW);
    help_ended(&a, OK, "$1\r\nA\r\n");
    roof.known = 6;
    say_at(&roof, "$1\r\nB\r\n", HELP_NOW);
    assert_int_equal(b.ends, 0);
    written_check(&roof, "5", "");
    roof.answer = (struct beat_answer){0};
    prove(&roof, HELP_NOW);
    assert_int_equal(roof.answer.epoch.counter, 5); /* the other links are told */
    assert_int_equal(link_state(roof.link), LINK_DOWN);
    help_ended(&b, L2_DOWN, "");
    help_done(&roof);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_master_that_another_link_knows_to_be_superseded_is_not_believed),
        cmocka_unit_test(a_refused_check_closes_the_link),
        cmocka_unit_test(a_flush_closes_no_fence_and_ends_no_read),
        cmocka_unit_test(what_was_kept_is_released_by_another_epoch_of_the_same_reign),
        cmocka_unit_test(what_a_demoted_master_may_have_read_is_not_shown),
        cmocka_unit_test(the_first_replica_ends_no_read),
        cmocka_unit_test(another_epoch_and_reign_are_asked_again_until_the_node_knows),
        cmocka_unit_test(another_epoch_and_reign_for_longer_than_the_fence_close_the_link),
        cmocka_unit_test(a_greeting_of_the_nodes_epoch_or_a_newer_one_opens_the_fence),
        cmocka_unit_test(a_check_expects_the_newer_of_the_nodes_epoch_and_the_links),
        cmocka_unit_test(the_proof_of_a_lost_connection_does_not_open_the_next),
        cmocka_unit_test(a_reconnection_proves_nothing_of_before),
        cmocka_unit_test(an_epoch_that_the_node_knows_is_looked_for_at_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
