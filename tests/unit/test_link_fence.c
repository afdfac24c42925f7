/* SPDX-License-Identifier: BSD-3-Clause */
/* The fence of a link: when it asks whether Redis is still the master, and what becomes of replies meanwhile. */
#include "protocol/limits.h"
#include "tests/unit/link_help.h"
#include "tiers/link.h"

#include <stdlib.h>

enum {
    FENCE = 1000,
    QUARTER = FENCE / 4
};

#define ANSWER_OF(counter, run, replid)                                                           \
    "*6\r\n:" counter "\r\n$8\r\n\1\0\0\0\0\0\0\0\r\n:41\r\n:0\r\n$4\r\n" run "\r\n$2\r\n" replid \
    "\r\n"
#define ANSWER(counter, run) ANSWER_OF(counter, run, "r1")
/* A check that found another epoch, or none. */
#define OTHER_OF(run, replid) \
    "*6\r\n:0\r\n$5\r\nother\r\n:0\r\n:0\r\n$4\r\n" run "\r\n$2\r\n" replid "\r\n"
#define OTHER  OTHER_OF("abcd", "r1")
#define PROVED HELP_BEAT_ANSWER

static const struct l2_url here = {.host = "h", .port = 1};

static struct epoch expected(void *arg)
{
    return ((struct roof *)arg)->expected;
}

static void open_ready(struct roof *roof)
{
    struct link_options options = help_options(roof, &here);
    options.expected_epoch = expected;
    help_open(roof, &options);
    help_make_ready(roof); /* its beat was sent at HELP_NOW */
}

static struct question fenced(struct roof *roof, int64_t now_ms, int64_t deadline_ms)
{
    struct question question = help_question(roof, false, deadline_ms);
    question.request.fence_ms = FENCE;
    question.request.asked_ms = now_ms;
    return question;
}

static void say_at(struct roof *roof, const char *text, int64_t now_ms)
{
    help_feed(roof, slice_of(text), now_ms);
}

static void prove(struct roof *roof, int64_t now_ms)
{
    help_feed(roof, SLICE_LITERAL(PROVED), now_ms);
}

/* What was written since is a check that expects this counter, then `rest`. */
static void written_check(struct roof *roof, const char *counter, const char *rest)
{
    struct buf written = help_written(roof);
    struct request_reader reader;
    request_reader_init(&reader);
    assert_int_equal(request_read(&reader, buf_slice(&written)), OK);
    assert_int_equal(reader.argc, 9);
    assert_true(slice_is(request_arg(&reader, buf_slice(&written), 4), counter));
    assert_true(slice_is(request_arg(&reader, buf_slice(&written), 8), "CHECK"));
    assert_true(
        slice_is((struct slice){written.data + reader.used, written.size - reader.used}, rest));
    request_reader_done(&reader);
    buf_done(&written);
}

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

static void close_link(struct question *question)
{
    link_close(question->roof->link, "closed by a reply", HELP_NOW);
}

static void a_kept_reply_may_close_the_link_and_the_others_still_get_theirs(void **state)
{
    (void)state;
    struct roof roof = {0};
    open_ready(&roof);
    struct question a = fenced(&roof, HELP_NOW, 0);
    struct question b = fenced(&roof, HELP_NOW, 0);
    a.then = close_link;
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
