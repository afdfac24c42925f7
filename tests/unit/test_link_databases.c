/* SPDX-License-Identifier: BSD-3-Clause */
/* Databases of a link: SELECT in front of what wants another one; and requests that lie in pieces. */
#include "protocol/limits.h"
#include "tests/unit/link_help.h"
#include "tiers/link.h"

#include <stdlib.h>

static void select_is_sent_when_the_database_changes_and_its_reply_is_kept(void **state)
{
    (void)state;
    struct roof roof = {0};
    help_open_ready(&roof);
    struct question q[5];
    static const int dbs[] = {0, 3, 3, -1, 0};
    for (int i = 0; i < 5; i++) {
        q[i] = help_question(&roof, false, 0);
        help_ask(&q[i], dbs[i], "PING\r\n");
    }
    help_expect_written(&roof, "PING\r\n" SELECT_3 "PING\r\nPING\r\nPING\r\n" SELECT_0 "PING\r\n");
    HELP_SAY(&roof, "+0\r\n+OK\r\n+1\r\n+2\r\n+3\r\n+OK\r\n+4\r\n");
    static const char *const replies[] = {"+0\r\n", "+1\r\n", "+2\r\n", "+3\r\n", "+4\r\n"};
    for (int i = 0; i < 5; i++) {
        help_ended(&q[i], OK, replies[i]);
    }
    help_done(&roof);
}

static enum status ask_in_pieces(struct question *question, int db)
{
    const struct link_pieces pieces = {
        {SLICE_LITERAL("SET a "), SLICE_LITERAL("large"), SLICE_LITERAL(" PX 5\r\n")}};
    return link_ask_pieces(question->roof->link, &question->request, db, &pieces);
}

static void a_request_in_pieces_is_written_as_one(void **state)
{
    (void)state;
    struct roof roof = {0};
    help_open_ready(&roof);
    struct question a = help_question(&roof, true, 0);
    struct question b = help_question(&roof, false, 0);
    assert_int_equal(ask_in_pieces(&a, 3), OK);
    help_ask(&b, 3, "GET a\r\n");
    help_expect_written(&roof, SELECT_3 "SET a large PX 5\r\nGET a\r\n");
    HELP_SAY(&roof, "+OK\r\n+OK\r\n$5\r\nlarge\r\n");
    help_ended(&a, OK, "+OK\r\n");
    help_ended(&b, OK, "$5\r\nlarge\r\n");
    help_done(&roof);
}

static void a_request_in_pieces_waits_for_the_link_as_any_other(void **state)
{
    (void)state;
    struct roof roof = {0};
    const struct link_options options = help_options(&roof, &here);
    help_open(&roof, &options);
    link_tick(roof.link, HELP_NOW);
    struct question a = help_question(&roof, true, 0);
    struct question b = help_question(&roof, false, 0);
    assert_int_equal(ask_in_pieces(&a, 0), OK);
    help_ask(&b, 0, "GET a\r\n");
    help_make_ready(&roof);
    help_expect_written(&roof, "SET a large PX 5\r\nGET a\r\n");
    HELP_SAY(&roof, "+OK\r\n$5\r\nlarge\r\n");
    help_ended(&a, OK, "+OK\r\n");
    help_ended(&b, OK, "$5\r\nlarge\r\n");
    help_done(&roof);
}

static void a_database_that_l2_does_not_have_is_never_asked(void **state)
{
    (void)state;
    struct roof roof = {0};
    const struct link_options options = help_options(&roof, &here);
    help_open(&roof, &options);
    link_tick(roof.link, HELP_NOW);
    link_on_connected(roof.link, HELP_NOW);
    struct buf greeting = help_written(&roof);
    buf_done(&greeting);
    /* 15 downto 4 fail, 3 downto 0 are there */
    HELP_SAY(&roof, ":7\r\n" HELP_BEAT_ANSWER);
    for (int db = 15; db >= 4; db--) {
        HELP_SAY(&roof, "-ERR DB index is out of range\r\n");
    }
    HELP_SAY(&roof, "+OK\r\n+OK\r\n+OK\r\n+OK\r\n");
    assert_int_equal(link_state(roof.link), LINK_READY);
    struct question a = help_question(&roof, true, 0);
    struct question b = help_question(&roof, false, 0);
    assert_int_equal(ask_in_pieces(&a, 15), OK);
    help_ask(&b, 0, "GET b\r\n");
    help_expect_written(&roof, SELECT_NOTHING "GET b\r\n"); /* still in database 0 */
    HELP_SAY(&roof, "-ERR DB index is out of range\r\n$1\r\nB\r\n");
    help_ended(&a, OK, "-ERR DB index is out of range\r\n");
    help_ended(&b, OK, "$1\r\nB\r\n");
    help_done(&roof);
}

static void without_the_right_to_select_database_0_still_works(void **state)
{
    (void)state;
    struct roof roof = {0};
    const struct link_options options = help_options(&roof, &here);
    help_open(&roof, &options);
    link_tick(roof.link, HELP_NOW);
    link_on_connected(roof.link, HELP_NOW);
    struct buf greeting = help_written(&roof);
    buf_done(&greeting);
    HELP_SAY(&roof, ":7\r\n" HELP_BEAT_ANSWER);
    for (int db = 15; db >= 0; db--) {
        HELP_SAY(&roof, "-NOPERM no\r\n");
    }
    struct question a = help_question(&roof, false, 0);
    help_ask(&a, 0, "GET a\r\n");
    help_expect_written(&roof, "GET a\r\n");
    help_done(&roof);
    buf_done(&a.reply);
}

static void a_select_that_fails_later_closes_the_link(void **state)
{
    (void)state;
    struct roof roof = {0};
    help_open_ready(&roof);
    struct question a = help_question(&roof, true, 0);
    help_ask(&a, 15, "DEL a\r\n");
    help_expect_written(&roof, SELECT_15 "DEL a\r\n");
    HELP_SAY(&roof, "-NOPERM no\r\n:1\r\n");
    help_ended(&a, UNKNOWN, ""); /* it may have run in another database */
    assert_int_equal(link_state(roof.link), LINK_DOWN);
    help_done(&roof);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(select_is_sent_when_the_database_changes_and_its_reply_is_kept),
        cmocka_unit_test(a_request_in_pieces_is_written_as_one),
        cmocka_unit_test(a_request_in_pieces_waits_for_the_link_as_any_other),
        cmocka_unit_test(a_database_that_l2_does_not_have_is_never_asked),
        cmocka_unit_test(without_the_right_to_select_database_0_still_works),
        cmocka_unit_test(a_select_that_fails_later_closes_the_link),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
