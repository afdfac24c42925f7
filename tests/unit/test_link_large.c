/* SPDX-License-Identifier: BSD-3-Clause */
/* Large replies of a link: gathered, passed over, or handed on as they come; held; lost in the middle. */
#include "protocol/limits.h"
#include "tests/unit/link_help.h"
#include "tiers/link.h"

#include <stdlib.h>

#define HEAD "$2000000\r\n"
enum {
    VALUE = 2000000,
    WHOLE = sizeof HEAD - 1 + VALUE + 2
};

/* A question that says which way its reply comes. */
struct large {
    struct question question; /* first */
    enum link_way way;
    unsigned heads;
    uint64_t size;
    bool fenced;
    struct buf pieces;
    uint64_t ended_behind; /* bytes of pieces */
};

static enum link_way on_large(struct link_request *request, const struct link_large_reply *reply)
{
    struct large *large = (struct large *)(void *)request;
    large->heads++;
    large->size = reply->size;
    large->fenced = reply->is_fenced;
    assert_int_equal(reply->beginning.size, request->beginning);
    return large->way;
}

static void on_piece(struct link_request *request, struct slice bytes)
{
    struct large *large = (struct large *)(void *)request;
    assert_int_equal(large->question.ends, 0);
    assert_int_equal(buf_append_slice(&large->pieces, bytes), OK);
}

static void on_end(struct link_request *request, enum status status, struct slice reply)
{
    struct large *large = (struct large *)(void *)request;
    large->question.ends++;
    large->question.status = status;
    large->ended_behind = large->pieces.size;
    assert_int_equal(buf_append_slice(&large->question.reply, reply), OK);
}

static void ask(struct roof *roof, struct large *large, enum link_way way, int64_t deadline_ms)
{
    *large = (struct large){.question = help_question(roof, false, deadline_ms), .way = way};
    large->question.request.on_reply = on_end;
    large->question.request.on_large = on_large;
    large->question.request.on_piece = on_piece;
    help_ask(&large->question, 0, "GET k\r\n");
}

/* `size` bytes of the reply from `at` on, as Redis says them. */
static void say_part(struct roof *roof, size_t at, size_t size)
{
    static char reply[WHOLE];
    memset(reply, 'v', sizeof reply);
    memcpy(reply, HEAD, sizeof HEAD - 1);
    reply[WHOLE - 2] = '\r';
    reply[WHOLE - 1] = '\n';
    help_feed(roof, (struct slice){.data = reply + at, .size = size}, HELP_NOW);
}

static void say_in_pieces(struct roof *roof, size_t from, size_t piece)
{
    for (size_t at = from; at < WHOLE; at += piece) {
        say_part(roof, at, WHOLE - at < piece ? WHOLE - at : piece);
    }
}

static size_t room_after(struct roof *roof)
{
    size_t room = 0;
    assert_non_null(link_read_room(roof->link, 1, &room));
    return room;
}

static void a_reply_that_is_passed_over_ends_at_its_head(void **state)
{
    (void)state;
    for (size_t piece = 1; piece < WHOLE; piece = piece * 7 + 3) {
        struct roof roof = {0};
        struct large large;
        help_open_ready(&roof);
        ask(&roof, &large, LINK_PASS_OVER, 0);
        struct question next = help_question(&roof, true, 0);
        help_ask(&next, 0, "DEL k\r\n");
        for (size_t i = 0; i < sizeof HEAD - 2; i++) {
            say_part(&roof, i, 1);
        }
        assert_int_equal(large.question.ends, 0);
        say_part(&roof, sizeof HEAD - 2, 1);
        assert_int_equal(large.heads, 1);
        assert_int_equal(large.size, WHOLE);
        help_ended(&large.question, TOO_BIG, "");
        const size_t step = piece < 5000 ? 5000 + piece : piece;
        say_in_pieces(&roof, sizeof HEAD - 1, step);
        assert_true(room_after(&roof) < VALUE); /* it was not gathered */
        assert_int_equal(next.ends, 0);
        HELP_SAY(&roof, ":1\r\n");
        help_ended(&next, OK, ":1\r\n");
        assert_true(link_is_quiet(roof.link));
        help_done(&roof);
    }
}

static void a_reply_that_streams_comes_in_pieces(void **state)
{
    (void)state;
    struct roof roof = {0};
    struct large large;
    help_open_ready(&roof);
    ask(&roof, &large, LINK_STREAM, HELP_NOW + 100);
    say_in_pieces(&roof, 0, 70001);
    assert_true(large.fenced);
    assert_int_equal(large.ended_behind, WHOLE);
    assert_int_equal(large.pieces.size, WHOLE);
    assert_memory_equal(large.pieces.data, HEAD "vv", sizeof HEAD + 1);
    assert_memory_equal(large.pieces.data + WHOLE - 3, "v\r\n", 3);
    help_ended(&large.question, OK, "");
    assert_true(link_is_quiet(roof.link));
    buf_done(&large.pieces);
    help_done(&roof);
}

static void what_is_gathered_is_asked_about_once(void **state)
{
    (void)state;
    struct roof roof = {0};
    struct large large;
    help_open_ready(&roof);
    ask(&roof, &large, LINK_GATHER, 0);
    say_in_pieces(&roof, 0, 100000);
    assert_int_equal(large.heads, 1);
    assert_int_equal(large.question.ends, 1);
    assert_int_equal(large.question.reply.size, WHOLE);
    buf_done(&large.question.reply);
    ask(&roof, &large, LINK_PASS_OVER, 0); /* and so is the next one */
    say_in_pieces(&roof, 0, 100000);
    assert_int_equal(large.heads, 1);
    help_ended(&large.question, TOO_BIG, "");
    help_done(&roof);
}

static void small_replies_and_other_kinds_are_gathered(void **state)
{
    (void)state;
    static const char *const replies[] = {"$5\r\nhello\r\n", "$1048557\r\n", "*1\r\n$2000000\r\n",
                                          "$-1\r\n", "-ERR 2000000\r\n"};
    for (size_t i = 0; i < sizeof replies / sizeof replies[0]; i++) {
        struct roof roof = {0};
        struct large large;
        help_open_ready(&roof);
        ask(&roof, &large, LINK_PASS_OVER, 0);
        for (size_t at = 0; at < strlen(replies[i]); at++) {
            help_feed(&roof, (struct slice){.data = replies[i] + at, .size = 1}, HELP_NOW);
        }
        assert_int_equal(large.heads, 0);
        help_done(&roof);
        buf_done(&large.question.reply);
    }
}

static void a_late_reply_that_nobody_waits_for_is_not_gathered(void **state)
{
    (void)state;
    struct roof roof = {0};
    help_open_ready(&roof);
    struct question question = help_question(&roof, false, HELP_NOW + 10);
    help_ask(&question, 0, "GET k\r\n");
    link_tick(roof.link, HELP_NOW + 20);
    help_ended(&question, L2_DOWN, "");
    say_in_pieces(&roof, 0, 50000);
    assert_true(room_after(&roof) < VALUE);
    assert_true(link_is_quiet(roof.link));
    help_done(&roof);
}

static void a_stream_has_no_deadline_and_ends_with_its_link(void **state)
{
    (void)state;
    struct roof roof = {0};
    struct large large;
    help_open_ready(&roof);
    ask(&roof, &large, LINK_STREAM, HELP_NOW + 10);
    say_part(&roof, 0, 1000);
    link_tick(roof.link, HELP_NOW + 60000);
    assert_int_equal(large.question.ends, 0);
    link_on_lost(roof.link, "gone", HELP_NOW - 5000); /* so that it may try again */
    help_ended(&large.question, L2_DOWN, "");
    assert_int_equal(large.ended_behind, 1000);
    buf_done(&large.pieces);
    help_make_ready(&roof); /* and nothing of it is left */
    struct question question = help_question(&roof, false, 0);
    help_ask(&question, 0, "GET a\r\n");
    HELP_SAY(&roof, "$1\r\nA\r\n");
    help_ended(&question, OK, "$1\r\nA\r\n");
    help_done(&roof);
}

/* A read may be two requests, and the second takes the memory of the first with it: they end in order. */
static void behind_a_closed_fence_it_ends_in_order(void **state)
{
    (void)state;
    struct roof roof = {0};
    struct large large;
    help_open_ready(&roof);
    struct question first = help_question(&roof, false, 0);
    first.request.fence_ms = 1000;
    first.request.asked_ms = HELP_NOW;
    help_ask(&first, 0, "PTTL k\r\n");
    large = (struct large){.question = help_question(&roof, false, 0), .way = LINK_PASS_OVER};
    large.question.request = (struct link_request){
        .on_reply = on_end, .on_large = on_large, .fence_ms = 1000, .asked_ms = HELP_NOW};
    help_ask(&large.question, 0, "GET k\r\n");
    help_feed(&roof, SLICE_LITERAL(":-1\r\n"), HELP_NOW + 5000);
    help_feed(&roof, SLICE_LITERAL(HEAD), HELP_NOW + 5000);
    assert_int_equal(large.heads, 1);
    assert_false(large.fenced);
    assert_int_equal(first.ends + large.question.ends, 0);
    say_in_pieces(&roof, sizeof HEAD - 1, 90000);
    assert_int_equal(first.ends + large.question.ends, 0);
    help_feed(&roof, SLICE_LITERAL(HELP_BEAT_ANSWER), HELP_NOW + 5000);
    help_ended(&first, OK, ":-1\r\n");
    help_ended(&large.question, TOO_BIG, "");
    help_done(&roof);
}

static void what_it_begins_with_is_told(void **state)
{
    (void)state;
    for (unsigned fenced = 0; fenced < 2; fenced++) {
        struct roof roof = {0};
        struct large large;
        help_open_ready(&roof);
        ask(&roof, &large, LINK_PASS_OVER, 0);
        large.question.request.beginning = 5;
        large.question.request.fence_ms = 1000;
        const int64_t now_ms = HELP_NOW + (fenced ? 0 : 5000);
        help_feed(&roof, SLICE_LITERAL(HEAD "abcd"), now_ms);
        assert_int_equal(large.heads, 0);
        help_feed(&roof, SLICE_LITERAL("efg"), now_ms);
        assert_int_equal(large.heads, 1);
        if (!fenced) {
            assert_int_equal(large.question.ends, 0);
            say_in_pieces(&roof, sizeof HEAD - 1 + 7, 90000);
            help_feed(&roof, SLICE_LITERAL(HELP_BEAT_ANSWER), now_ms);
        }
        help_ended(&large.question, TOO_BIG, "abcde");
        help_done(&roof);
    }
}

static unsigned reads_wanted;
static void wants_read(void *arg, struct link *link)
{
    (void)arg;
    (void)link;
    reads_wanted++;
}

static void a_link_that_is_held_says_so_until_it_goes_on(void **state)
{
    (void)state;
    struct roof roof = {0};
    struct link_options options = help_options(&roof, &here);
    options.io.wants_read = wants_read;
    reads_wanted = 0;
    help_open(&roof, &options);
    help_make_ready(&roof);
    assert_false(link_is_held(roof.link));
    link_hold(roof.link, true);
    link_hold(roof.link, true);
    assert_true(link_is_held(roof.link));
    link_hold(roof.link, false);
    assert_int_equal(reads_wanted, 1);
    link_hold(roof.link, true);
    link_on_lost(roof.link, "gone", HELP_NOW);
    assert_false(link_is_held(roof.link));
    help_done(&roof);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_reply_that_is_passed_over_ends_at_its_head),
        cmocka_unit_test(a_reply_that_streams_comes_in_pieces),
        cmocka_unit_test(what_is_gathered_is_asked_about_once),
        cmocka_unit_test(small_replies_and_other_kinds_are_gathered),
        cmocka_unit_test(a_late_reply_that_nobody_waits_for_is_not_gathered),
        cmocka_unit_test(a_stream_has_no_deadline_and_ends_with_its_link),
        cmocka_unit_test(behind_a_closed_fence_it_ends_in_order),
        cmocka_unit_test(what_it_begins_with_is_told),
        cmocka_unit_test(a_link_that_is_held_says_so_until_it_goes_on),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
