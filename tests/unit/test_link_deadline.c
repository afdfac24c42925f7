/* SPDX-License-Identifier: BSD-3-Clause */
/* What is overdue on a link, and a link that says nothing any more. */
#include "protocol/limits.h"
#include "tests/unit/link_help.h"
#include "tiers/link.h"

#include <stdlib.h>

static void an_overdue_read_ends_and_its_late_reply_is_dropped(void **state)
{
    (void)state;
    struct roof roof = {0};
    help_open_ready(&roof);
    struct question late = help_question(&roof, false, HELP_NOW + 100);
    struct question next = help_question(&roof, false, HELP_NOW + 1000);
    help_ask(&late, 0, "GET late\r\n");
    help_ask(&next, 0, "GET next\r\n");
    link_tick(roof.link, HELP_NOW + 99);
    assert_int_equal(late.ends, 0);
    link_tick(roof.link, HELP_NOW + 100);
    help_ended(&late, L2_DOWN, "");
    late.request = (struct link_request){0}; /* it is the asker's again */
    HELP_SAY(&roof, "$4\r\nlate\r\n$4\r\nnext\r\n");
    help_ended(&next, OK, "$4\r\nnext\r\n");
    assert_int_equal(late.ends, 1);
    assert_int_equal(link_state(roof.link), LINK_READY);
    help_done(&roof);
}

static void a_deadline_asked_after_later_ones_is_kept(void **state)
{
    (void)state;
    struct roof roof = {0};
    help_open_ready(&roof);
    struct question slow = help_question(&roof, false, HELP_NOW + 5000);
    struct question quick = help_question(&roof, false, HELP_NOW + 10);
    help_ask(&slow, 0, "GET slow\r\n");
    link_tick(roof.link, HELP_NOW); /* the link has looked at deadlines */
    help_ask(&quick, 0, "GET quick\r\n");
    link_tick(roof.link, HELP_NOW + 10);
    help_ended(&quick, L2_DOWN, "");
    assert_int_equal(slow.ends, 0);
    link_tick(roof.link, HELP_NOW + 2000);
    help_done(&roof);
}

static void an_overdue_write_closes_the_link(void **state)
{
    (void)state;
    struct roof roof = {0};
    help_open_ready(&roof);
    struct question reads = help_question(&roof, false, 0);
    struct question writes = help_question(&roof, true, HELP_NOW + 100);
    help_ask(&reads, 0, "GET a\r\n");
    help_ask(&writes, 0, "DEL a\r\n");
    help_expect_written(&roof, "GET a\r\nDEL a\r\n");
    link_tick(roof.link, HELP_NOW + 100);
    help_ended(&reads, L2_DOWN, "");
    help_ended(&writes, UNKNOWN, "");
    assert_int_equal(link_state(roof.link), LINK_DOWN);
    assert_int_equal(roof.closes, 1);
    help_done(&roof);
}

static void an_overdue_read_may_ask_close_or_fall_with_the_rest(void **state)
{
    (void)state;
    struct roof roof = {0};
    help_open_ready(&roof);
    struct question a = help_question(&roof, false, HELP_NOW + 1);
    struct question b = help_question(&roof, false, HELP_NOW + 1);
    struct question c = help_question(&roof, false, 0);
    struct question second = help_question(&roof, false, 0);
    a.then = help_ask_other;
    a.other = &second;
    b.then = help_close_link;
    help_ask(&a, 0, "GET a\r\n");
    help_ask(&b, 0, "GET b\r\n");
    help_ask(&c, 0, "GET c\r\n");
    link_tick(roof.link, HELP_NOW + 1);
    help_ended(&a, L2_DOWN, "");
    help_ended(&b, L2_DOWN, "");
    help_ended(&c, L2_DOWN, "");
    help_ended(&second, L2_DOWN, "");
    help_done(&roof);
}

static void a_link_that_swallows_reads_and_says_nothing_is_closed(void **state)
{
    (void)state;
    struct roof roof = {0};
    help_open_ready(&roof);
    struct question a = help_question(&roof, false, HELP_NOW + 100);
    help_ask(&a, 0, "GET a\r\n");
    link_tick(roof.link, HELP_NOW + 100);
    help_ended(&a, L2_DOWN, "");
    link_tick(roof.link, HELP_NOW + 100 + LINK_SILENCE_MS - 1);
    assert_int_equal(link_state(roof.link), LINK_READY);
    link_tick(roof.link, HELP_NOW + 100 + LINK_SILENCE_MS);
    assert_int_equal(link_state(roof.link), LINK_DOWN);
    assert_string_equal(link_why_down(roof.link), "L2 is silent");
    help_done(&roof);
}

static void one_byte_shows_that_the_link_lives(void **state)
{
    (void)state;
    struct roof roof = {0};
    help_open_ready(&roof);
    struct question a = help_question(&roof, false, HELP_NOW + 100);
    help_ask(&a, 0, "GET a\r\n");
    link_tick(roof.link, HELP_NOW + 100);
    HELP_SAY(&roof, "$");
    link_tick(roof.link, HELP_NOW + 100 + LINK_SILENCE_MS);
    assert_int_equal(link_state(roof.link), LINK_READY);
    help_ended(&a, L2_DOWN, "");
    help_done(&roof);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_overdue_read_ends_and_its_late_reply_is_dropped),
        cmocka_unit_test(a_deadline_asked_after_later_ones_is_kept),
        cmocka_unit_test(an_overdue_write_closes_the_link),
        cmocka_unit_test(an_overdue_read_may_ask_close_or_fall_with_the_rest),
        cmocka_unit_test(a_link_that_swallows_reads_and_says_nothing_is_closed),
        cmocka_unit_test(one_byte_shows_that_the_link_lives),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
