/* SPDX-License-Identifier: BSD-3-Clause */
/* A link's requests: order, loss, callbacks, limits. How it comes up: test_link_greeting.c. */
#include "protocol/limits.h"
#include "tests/unit/link_help.h"
#include "tiers/link.h"

#include <stdlib.h>

static void replies_come_home_in_the_order_of_asking(void **state)
{
    (void)state;
    struct roof roof = {0};
    help_open_ready(&roof);
    struct question a = help_question(&roof, false, 0);
    struct question b = help_question(&roof, true, 0);
    help_ask(&a, 0, "GET a\r\n");
    help_ask(&b, -1, "DEL b\r\n");
    help_expect_written(&roof, "GET a\r\nDEL b\r\n");
    HELP_SAY(&roof, "$1\r\nA\r\n:");
    help_ended(&a, OK, "$1\r\nA\r\n");
    assert_int_equal(b.ends, 0);
    HELP_SAY(&roof, "1\r\n");
    help_ended(&b, OK, ":1\r\n");
    help_done(&roof);
}

static unsigned parts_seen;
static bool count_part(struct link_request *request, struct slice reply)
{
    (void)request;
    parts_seen++;
    return slice_equal(reply, SLICE_LITERAL("+QUEUED\r\n"));
}

static void a_part_that_is_refused_ends_the_connection(void **state)
{
    (void)state;
    struct roof roof = {0};
    help_open_ready(&roof);
    struct question a = help_question(&roof, true, 0);
    a.request.parts = 2;
    a.request.on_part = count_part;
    parts_seen = 0;
    help_ask(&a, 0, "MULTI\r\nDEL a\r\nEXEC\r\n");
    help_expect_written(&roof, "MULTI\r\nDEL a\r\nEXEC\r\n");
    HELP_SAY(&roof, "-NOPERM no\r\n+OK\r\n");
    assert_int_equal(parts_seen, 1);
    assert_int_equal(link_state(roof.link), LINK_DOWN);
    help_done(&roof);
}

static void a_request_of_several_parts_ends_with_the_last_reply(void **state)
{
    (void)state;
    struct roof roof = {0};
    help_open_ready(&roof);
    struct question a = help_question(&roof, true, 0);
    struct question b = help_question(&roof, true, 0);
    a.request.parts = 2;
    a.request.on_part = count_part;
    parts_seen = 0;
    help_ask(&a, 0, "MULTI\r\nDEL a\r\nEXEC\r\n");
    help_ask(&b, 0, "DEL b\r\n");
    help_expect_written(&roof, "MULTI\r\nDEL a\r\nEXEC\r\nDEL b\r\n");
    HELP_SAY(&roof, "+QUEUED\r\n+QUEUED\r\n");
    assert_int_equal(parts_seen, 2);
    assert_int_equal(a.ends, 0);
    HELP_SAY(&roof, "*1\r\n:1\r\n:0\r\n");
    help_ended(&a, OK, "*1\r\n:1\r\n");
    help_ended(&b, OK, ":0\r\n");
    help_done(&roof);
}

static void an_error_reply_is_a_reply(void **state)
{
    (void)state;
    struct roof roof = {0};
    help_open_ready(&roof);
    struct question a = help_question(&roof, true, 0);
    help_ask(&a, 0, "INCR a\r\n");
    HELP_SAY(&roof, "-WRONGTYPE no\r\n");
    help_ended(&a, OK, "-WRONGTYPE no\r\n");
    assert_int_equal(link_state(roof.link), LINK_READY);
    help_done(&roof);
}

static void replies_cut_at_every_byte_are_the_same(void **state)
{
    (void)state;
    struct roof roof = {0};
    help_open_ready(&roof);
    struct question a = help_question(&roof, false, 0);
    struct question b = help_question(&roof, false, 0);
    help_ask(&a, 0, "MGET a b\r\n");
    help_ask(&b, 0, "GET b\r\n");
    static const char text[] = "*2\r\n$3\r\nA\r\n\r\n*1\r\n$-1\r\n+PONG\r\n";
    for (size_t i = 0; i < sizeof text - 1; i++) {
        help_feed(&roof, (struct slice){text + i, 1}, HELP_NOW);
    }
    help_ended(&a, OK, "*2\r\n$3\r\nA\r\n\r\n*1\r\n$-1\r\n");
    help_ended(&b, OK, "+PONG\r\n");
    help_done(&roof);
}

static void the_roof_is_told_once_that_there_is_output(void **state)
{
    (void)state;
    struct roof roof = {0};
    help_open_ready(&roof);
    const unsigned before = roof.flushes;
    struct question a[3] = {help_question(&roof, false, 0), help_question(&roof, false, 0),
                            help_question(&roof, false, 0)};
    help_ask(&a[0], 0, "GET a\r\n");
    help_ask(&a[1], 0, "GET b\r\n");
    assert_int_equal(roof.flushes, before + 1);
    help_expect_written(&roof, "GET a\r\nGET b\r\n");
    help_ask(&a[2], 0, "GET c\r\n");
    assert_int_equal(roof.flushes, before + 2);
    help_done(&roof);
}

static void output_written_in_pieces_loses_nothing(void **state)
{
    (void)state;
    struct roof roof = {0};
    help_open_ready(&roof);
    struct question *questions = calloc(20000, sizeof *questions);
    struct buf asked = {0};
    struct buf written = {0};
    for (unsigned i = 0; i < 20000; i++) {
        questions[i] = help_question(&roof, false, 0);
        char text[32];
        (void)snprintf(text, sizeof text, "GET key:%u\r\n", i);
        help_ask(&questions[i], 0, text);
        assert_int_equal(buf_append_slice(&asked, slice_of(text)), OK);
        struct slice output = link_output(roof.link);
        output.size = output.size < 13 ? output.size : 13;
        assert_int_equal(buf_append_slice(&written, output), OK);
        link_on_written(roof.link, output.size);
    }
    struct buf rest = help_written(&roof);
    assert_int_equal(buf_append_slice(&written, buf_slice(&rest)), OK);
    assert_true(slice_equal(buf_slice(&asked), buf_slice(&written)));
    buf_done(&asked);
    buf_done(&written);
    buf_done(&rest);
    help_done(&roof);
    free(questions);
}

/* --- loss -------------------------------------------------------------------------------------------------------- */

static void a_lost_link_tells_reads_down_and_written_writes_unknown(void **state)
{
    (void)state;
    struct roof roof = {0};
    help_open_ready(&roof);
    struct question reads = help_question(&roof, false, 0);
    struct question writes = help_question(&roof, true, 0);
    struct question cut = help_question(&roof, true, 0);
    struct question unsent = help_question(&roof, true, 0);
    help_ask(&reads, 0, "GET a\r\n");
    help_ask(&writes, 0, "DEL a\r\n");
    help_ask(&cut, 0, "DEL b\r\n");
    help_ask(&unsent, 0, "DEL c\r\n");
    link_on_written(roof.link, 7 + 7 + 6); /* all but the last byte of DEL b */
    link_on_lost(roof.link, "reset", HELP_NOW);
    help_ended(&reads, L2_DOWN, "");
    help_ended(&writes, UNKNOWN, "");
    help_ended(&cut, L2_DOWN, "");
    help_ended(&unsent, L2_DOWN, "");
    assert_int_equal(roof.downs, 1);
    assert_int_equal(roof.closes, 0); /* the socket is gone already */
    assert_string_equal(roof.why, "reset");
    assert_string_equal(link_why_down(roof.link), "reset");
    assert_int_equal(metrics_read(&roof.metrics, M_L2_LOSSES), 1);
    assert_int_equal(link_client_id(roof.link), 0);
    help_done(&roof);
}

static void nothing_of_a_lost_connection_is_sent_on_the_next(void **state)
{
    (void)state;
    struct roof roof = {0};
    help_open_ready(&roof);
    struct question a = help_question(&roof, true, 0);
    help_ask(&a, 3, "DEL a\r\n");
    HELP_SAY(&roof, "+OK\r\n*2\r\n$1\r\na\r\n$5\r\nhal"); /* SELECT's, and half a reply */
    link_on_lost(roof.link, "reset", HELP_NOW);
    help_ended(&a, L2_DOWN, "");
    assert_int_equal(link_output(roof.link).size, 0);
    link_tick(roof.link, HELP_NOW + 1000);
    help_make_ready(&roof); /* the half reply is forgotten too */
    struct question b = help_question(&roof, false, 0);
    help_ask(&b, 3, "GET b\r\n"); /* and what was selected */
    help_expect_written(&roof, SELECT_3 "GET b\r\n");
    help_done(&roof);
    buf_done(&b.reply);
}

static void closing_drops_the_socket_and_says_why(void **state)
{
    (void)state;
    struct roof roof = {0};
    help_open_ready(&roof);
    struct question a = help_question(&roof, true, 0);
    help_ask(&a, 0, "DEL a\r\n");
    help_expect_written(&roof, "DEL a\r\n");
    link_close(roof.link, "enough", HELP_NOW);
    help_ended(&a, UNKNOWN, "");
    assert_int_equal(roof.closes, 1);
    link_close(roof.link, "again", HELP_NOW); /* nothing to close */
    assert_int_equal(roof.closes, 1);
    assert_string_equal(link_why_down(roof.link), "enough");
    help_done(&roof);
}

static void bytes_that_are_no_reply_close_the_link(void **state)
{
    (void)state;
    struct roof roof = {0};
    help_open_ready(&roof);
    struct question a = help_question(&roof, true, 0);
    help_ask(&a, 0, "DEL a\r\n");
    help_expect_written(&roof, "DEL a\r\n");
    HELP_SAY(&roof, "HTTP/1.1 400 Bad Request\r\n");
    help_ended(&a, UNKNOWN, "");
    assert_int_equal(link_state(roof.link), LINK_DOWN);
    help_done(&roof);
}

static void a_reply_that_nobody_asked_for_closes_the_link(void **state)
{
    (void)state;
    struct roof roof = {0};
    help_open_ready(&roof);
    HELP_SAY(&roof, "+OK\r\n");
    assert_int_equal(link_state(roof.link), LINK_DOWN);
    assert_int_equal(roof.closes, 1);
    help_done(&roof);
}

static void freeing_ends_every_request_once_and_takes_no_more(void **state)
{
    (void)state;
    struct roof roof = {0};
    help_open_ready(&roof);
    struct question reads = help_question(&roof, false, 0);
    struct question writes = help_question(&roof, true, 0);
    help_ask(&reads, 0, "GET a\r\n");
    help_ask(&writes, 0, "DEL a\r\n");
    help_expect_written(&roof, "GET a\r\nDEL a\r\n");
    help_done(&roof);
    help_ended(&reads, L2_DOWN, "");
    help_ended(&writes, UNKNOWN, "");
    assert_int_equal(roof.closes, 1);
    assert_int_equal(roof.downs, 0);
}

/* --- callbacks that do things ------------------------------------------------------------------------------------ */

static void a_reply_may_ask_the_next_question(void **state)
{
    (void)state;
    struct roof roof = {0};
    help_open_ready(&roof);
    struct question a = help_question(&roof, false, 0);
    struct question second = help_question(&roof, false, 0);
    a.then = help_ask_other;
    a.other = &second;
    help_ask(&a, 0, "GET a\r\n");
    help_expect_written(&roof, "GET a\r\n");
    HELP_SAY(&roof, "$1\r\nA\r\n");
    help_expect_written(&roof, "GET second\r\n");
    HELP_SAY(&roof, "$1\r\nB\r\n");
    help_ended(&a, OK, "$1\r\nA\r\n");
    help_ended(&second, OK, "$1\r\nB\r\n");
    help_done(&roof);
}

static void a_reply_may_close_the_link(void **state)
{
    (void)state;
    struct roof roof = {0};
    help_open_ready(&roof);
    struct question a = help_question(&roof, false, 0);
    struct question b = help_question(&roof, true, 0);
    a.then = help_close_link;
    b.then = help_close_link;
    help_ask(&a, 0, "GET a\r\n");
    help_ask(&b, 0, "DEL b\r\n");
    help_expect_written(&roof, "GET a\r\nDEL b\r\n");
    HELP_SAY(&roof, "$1\r\nA\r\n:1\r\n+rubbish behind the close\r\n");
    help_ended(&a, OK, "$1\r\nA\r\n");
    help_ended(&b, UNKNOWN, ""); /* its reply was there, but the link had been given up before */
    assert_int_equal(roof.closes, 1);
    assert_int_equal(link_state(roof.link), LINK_DOWN);
    link_tick(roof.link, HELP_NOW + 1000);
    help_make_ready(&roof); /* the rubbish went with its connection */
    help_done(&roof);
}

static void a_request_that_ends_with_the_link_may_ask_again_and_waits(void **state)
{
    (void)state;
    struct roof roof = {0};
    help_open_ready(&roof);
    struct question a = help_question(&roof, false, 0);
    struct question second = help_question(&roof, false, 0);
    a.then = help_ask_other;
    a.other = &second;
    help_ask(&a, 0, "GET a\r\n");
    link_on_lost(roof.link, "reset", HELP_NOW);
    help_ended(&a, L2_DOWN, "");
    assert_int_equal(second.ends, 0);
    link_tick(roof.link, HELP_NOW + 1000);
    help_make_ready(&roof);
    help_expect_written(&roof, "GET second\r\n");
    HELP_SAY(&roof, "_\r\n");
    help_ended(&second, OK, "_\r\n");
    help_done(&roof);
}

/* --- pushes and the bus ------------------------------------------------------------------------------------------ */

static void pushes_are_skipped_between_replies(void **state)
{
    (void)state;
    struct roof roof = {0};
    help_open_ready(&roof);
    struct question a = help_question(&roof, false, 0);
    help_ask(&a, 0, "GET a\r\n");
    HELP_SAY(&roof, ">2\r\n+invalidate\r\n*1\r\n+k\r\n$1\r\nA\r\n>1\r\n+x\r\n");
    help_ended(&a, OK, "$1\r\nA\r\n");
    assert_int_equal(link_state(roof.link), LINK_READY);
    help_done(&roof);
}

static void a_bus_hands_over_what_no_request_waits_for(void **state)
{
    (void)state;
    struct roof roof = {0};
    struct link_options options = help_options(&roof, &here);
    options.on_push = help_on_push;
    help_open(&roof, &options);
    link_tick(roof.link, HELP_NOW);
    link_on_connected(roof.link, HELP_NOW);
    struct buf greeting = help_written(&roof);
    assert_null(
        memmem(greeting.data, greeting.size, "$6\r\nSELECT\r\n", 12)); /* no tries of databases */
    buf_done(&greeting);
    HELP_SAY(&roof, ":7\r\n" HELP_BEAT_ANSWER);
    assert_int_equal(link_state(roof.link), LINK_READY);
    assert_int_equal(link_say(roof.link, SLICE_LITERAL("SUBSCRIBE x\r\n")), OK);
    help_expect_written(&roof, "SUBSCRIBE x\r\n");
    struct question a = help_question(&roof, false, 0);
    HELP_SAY(&roof, "*3\r\n+subscribe\r\n+x\r\n:1\r\n>1\r\n+p\r\n");
    help_ask(&a, -1, "PING\r\n");
    HELP_SAY(&roof, "+PONG\r\n+more\r\n");
    help_ended(&a, OK, "+PONG\r\n");
    assert_true(
        slice_is(buf_slice(&roof.pushed), "*3\r\n+subscribe\r\n+x\r\n:1\r\n>1\r\n+p\r\n+more\r\n"));
    help_done(&roof);
}

static void saying_something_wants_a_ready_link(void **state)
{
    (void)state;
    struct roof roof = {0};
    const struct link_options options = help_options(&roof, &here);
    help_open(&roof, &options);
    assert_int_equal(link_say(roof.link, SLICE_LITERAL("PING\r\n")), L2_DOWN);
    link_tick(roof.link, HELP_NOW);
    link_on_connected(roof.link, HELP_NOW);
    assert_int_equal(link_say(roof.link, SLICE_LITERAL("PING\r\n")), L2_DOWN);
    help_done(&roof);
}

/* --- limits ------------------------------------------------------------------------------------------------------ */

static void a_full_queue_is_busy(void **state)
{
    (void)state;
    struct roof roof = {0};
    help_open_ready(&roof);
    struct question *questions = calloc(LIMIT_LINK_QUEUE + 1, sizeof *questions);
    for (unsigned i = 0; i < LIMIT_LINK_QUEUE; i++) {
        questions[i] = help_question(&roof, false, 0);
        help_ask(&questions[i], 0, "PING\r\n");
    }
    struct question *extra = &questions[LIMIT_LINK_QUEUE];
    *extra = help_question(&roof, false, 0);
    assert_int_equal(link_ask(roof.link, &extra->request, 0, SLICE_LITERAL("PING\r\n")), BUSY);
    HELP_SAY(&roof, "+PONG\r\n");
    help_ended(&questions[0], OK, "+PONG\r\n");
    help_ask(extra, 0, "PING\r\n");
    help_done(&roof);
    for (unsigned i = 1; i <= LIMIT_LINK_QUEUE; i++) {
        help_ended(&questions[i], L2_DOWN, "");
    }
    free(questions);
}

static void unwritten_output_is_bounded_but_one_large_request_passes(void **state)
{
    (void)state;
    struct roof roof = {0};
    help_open_ready(&roof);
    const struct slice large = {.data = calloc(1, (size_t)LINK_OUTPUT_MAX + 1),
                                .size = (size_t)LINK_OUTPUT_MAX + 1};
    assert_non_null(large.data);
    struct question a = help_question(&roof, true, 0);
    struct question b = help_question(&roof, true, 0);
    assert_int_equal(link_ask(roof.link, &a.request, 0, large), OK);
    assert_int_equal(link_ask(roof.link, &b.request, 0, SLICE_LITERAL("PING\r\n")), BUSY);
    link_on_written(roof.link, large.size);
    assert_int_equal(link_ask(roof.link, &b.request, 0, SLICE_LITERAL("PING\r\n")), OK);
    free((void *)large.data);
    help_done(&roof);
    help_ended(&a, UNKNOWN, "");
    help_ended(&b, L2_DOWN, "");
}

static void the_read_buffer_shrinks_after_a_large_reply(void **state)
{
    (void)state;
    struct roof roof = {0};
    help_open_ready(&roof);
    enum {
        LARGE = 8 << 20
    };
    struct buf reply = {0};
    assert_int_equal(buf_printf(&reply, "$%d\r\n", LARGE), OK);
    assert_int_equal(buf_reserve(&reply, LARGE + 2), OK);
    memset(reply.data + reply.size, 'x', LARGE);
    reply.size += LARGE;
    assert_int_equal(buf_append(&reply, "\r\n", 2), OK);
    struct question a = help_question(&roof, false, 0);
    help_ask(&a, 0, "GET a\r\n");
    for (size_t at = 0; at < reply.size; at += 65536) {
        const size_t left = reply.size - at;
        help_feed(&roof, (struct slice){reply.data + at, left < 65536 ? left : 65536}, HELP_NOW);
    }
    assert_int_equal(a.ends, 1);
    assert_true(slice_equal(buf_slice(&a.reply), buf_slice(&reply)));
    size_t room = 0;
    assert_non_null(link_read_room(roof.link, 65536, &room));
    assert_true(room <= 256 * 1024);
    buf_done(&a.reply);
    buf_done(&reply);
    help_done(&roof);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(replies_come_home_in_the_order_of_asking),
        cmocka_unit_test(a_request_of_several_parts_ends_with_the_last_reply),
        cmocka_unit_test(a_part_that_is_refused_ends_the_connection),
        cmocka_unit_test(an_error_reply_is_a_reply),
        cmocka_unit_test(replies_cut_at_every_byte_are_the_same),
        cmocka_unit_test(the_roof_is_told_once_that_there_is_output),
        cmocka_unit_test(output_written_in_pieces_loses_nothing),
        cmocka_unit_test(a_lost_link_tells_reads_down_and_written_writes_unknown),
        cmocka_unit_test(nothing_of_a_lost_connection_is_sent_on_the_next),
        cmocka_unit_test(closing_drops_the_socket_and_says_why),
        cmocka_unit_test(bytes_that_are_no_reply_close_the_link),
        cmocka_unit_test(a_reply_that_nobody_asked_for_closes_the_link),
        cmocka_unit_test(freeing_ends_every_request_once_and_takes_no_more),
        cmocka_unit_test(a_reply_may_ask_the_next_question),
        cmocka_unit_test(a_reply_may_close_the_link),
        cmocka_unit_test(a_request_that_ends_with_the_link_may_ask_again_and_waits),
        cmocka_unit_test(pushes_are_skipped_between_replies),
        cmocka_unit_test(a_bus_hands_over_what_no_request_waits_for),
        cmocka_unit_test(saying_something_wants_a_ready_link),
        cmocka_unit_test(a_full_queue_is_busy),
        cmocka_unit_test(unwritten_output_is_bounded_but_one_large_request_passes),
        cmocka_unit_test(the_read_buffer_shrinks_after_a_large_reply),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
