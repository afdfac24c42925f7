/* SPDX-License-Identifier: BSD-3-Clause */
/* Large requests of a link: poured piece by piece, ended by a question, lost before and behind their last byte. */
#include "protocol/limits.h"
#include "tests/unit/link_help.h"
#include "tiers/link.h"

#include <stdlib.h>

static unsigned rooms;
static void on_room(struct link *link, void *arg)
{
    (void)link;
    (void)arg;
    rooms++;
}

static void open_ready(struct roof *roof)
{
    struct link_options options = help_options(roof, &here);
    options.on_room = on_room;
    rooms = 0;
    help_open(roof, &options);
    help_make_ready(roof);
}

static void pour(struct roof *roof, const char *bytes)
{
    assert_int_equal(link_pour(roof->link, slice_of(bytes)), OK);
}

static void the_end_is_asked_and_answered(void **state)
{
    (void)state;
    struct roof roof = {0};
    open_ready(&roof);
    struct question hello = help_question(&roof, false, 0);
    help_ask(&hello, 3, "PING\r\n");
    help_expect_written(&roof, "*2\r\n$6\r\nSELECT\r\n$1\r\n3\r\nPING\r\n");
    HELP_SAY(&roof, "+OK\r\n+PONG\r\n");
    help_ended(&hello, OK, "+PONG\r\n");
    assert_true(link_is_quiet(roof.link));
    pour(&roof, "head ");
    assert_false(link_is_quiet(roof.link));
    help_expect_written(&roof, "head ");
    pour(&roof, "body ");
    pour(&roof, "body ");
    struct question question = help_question(&roof, true, 0);
    help_ask(&question, 3, "end\r\n");
    help_expect_written(&roof, "body body end\r\n");
    HELP_SAY(&roof, "+OK\r\n");
    help_ended(&question, OK, "+OK\r\n");
    assert_true(link_is_quiet(roof.link));
    help_done(&roof);
}

/* L2 runs nothing before the last byte, and may have run all behind it. */
static void what_is_lost_goes_by_the_last_byte(void **state)
{
    (void)state;
    for (size_t unsent = 0; unsent < 3; unsent++) {
        struct roof roof = {0};
        open_ready(&roof);
        pour(&roof, "head body ");
        struct question question = help_question(&roof, true, 0);
        help_ask(&question, 0, "end\r\n");
        link_on_written(roof.link, link_output(roof.link).size - unsent);
        link_on_lost(roof.link, "gone", HELP_NOW);
        help_ended(&question, unsent == 0 ? UNKNOWN : L2_DOWN, "");
        help_done(&roof);
    }
}

static void what_was_poured_is_gone_with_its_connection(void **state)
{
    (void)state;
    struct roof roof = {0};
    open_ready(&roof);
    pour(&roof, "head ");
    link_on_lost(roof.link, "gone", HELP_NOW);
    assert_int_equal(link_pour(roof.link, SLICE_LITERAL("body")), L2_DOWN);
    link_tick(roof.link, HELP_NOW + 2000);
    help_make_ready(&roof);
    assert_true(link_is_quiet(roof.link));
    struct question question = help_question(&roof, false, 0);
    help_ask(&question, 0, "GET a\r\n");
    help_expect_written(&roof, "GET a\r\n");
    help_done(&roof);
    buf_done(&question.reply);
}

static void what_redis_says_in_the_middle_is_no_answer(void **state)
{
    (void)state;
    struct roof roof = {0};
    open_ready(&roof);
    pour(&roof, "*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$900000000\r\n");
    HELP_SAY(&roof, "-ERR Protocol error: invalid bulk length\r\n");
    assert_int_equal(link_state(roof.link), LINK_DOWN);
    assert_int_equal(roof.closes, 1);
    help_done(&roof);
}

/* Once for each time that it was too much. */
static void room_is_told_when_half_is_written(void **state)
{
    (void)state;
    static const char piece[LIMIT_STREAM_AHEAD];
    const struct slice bytes = {piece, sizeof piece};
    struct roof roof = {0};
    open_ready(&roof);
    for (unsigned turn = 1; turn <= 2; turn++) {
        assert_int_equal(link_pour(roof.link, bytes), OK);
        link_on_written(roof.link, sizeof piece / 2);
        assert_int_equal(rooms, turn - 1);
        link_on_written(roof.link, 1);
        assert_int_equal(rooms, turn);
        link_on_written(roof.link, sizeof piece / 2 - 1);
        assert_int_equal(rooms, turn);
    }
    assert_true(link_written(roof.link) >= 2 * sizeof piece);
    struct question question = help_question(&roof, true, 0);
    assert_int_equal(link_pour(roof.link, bytes), OK);
    help_ask(&question, 0, "end\r\n");
    struct buf written = help_written(&roof);
    buf_done(&written);
    assert_int_equal(rooms, 2); /* nobody pours behind the end */
    help_done(&roof);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_end_is_asked_and_answered),
        cmocka_unit_test(what_is_lost_goes_by_the_last_byte),
        cmocka_unit_test(what_was_poured_is_gone_with_its_connection),
        cmocka_unit_test(what_redis_says_in_the_middle_is_no_answer),
        cmocka_unit_test(room_is_told_when_half_is_written),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
