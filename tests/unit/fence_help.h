/* SPDX-License-Identifier: BSD-3-Clause */
/* fence_help.h -- a link with a fence, and what Redis answers to its checks. */
#ifndef TERRACE_TESTS_UNIT_FENCE_HELP_H
#define TERRACE_TESTS_UNIT_FENCE_HELP_H

#include "tests/unit/link_help.h"

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

static inline struct epoch expected(void *arg)
{
    return ((struct roof *)arg)->expected;
}

static inline void open_ready(struct roof *roof)
{
    struct link_options options = help_options(roof, &here);
    options.expected_epoch = expected;
    help_open(roof, &options);
    help_make_ready(roof); /* its beat was sent at HELP_NOW */
}

static inline struct question fenced(struct roof *roof, int64_t now_ms, int64_t deadline_ms)
{
    struct question question = help_question(roof, false, deadline_ms);
    question.request.fence_ms = FENCE;
    question.request.asked_ms = now_ms;
    return question;
}

static inline void say_at(struct roof *roof, const char *text, int64_t now_ms)
{
    help_feed(roof, slice_of(text), now_ms);
}

static inline void prove(struct roof *roof, int64_t now_ms)
{
    help_feed(roof, SLICE_LITERAL(PROVED), now_ms);
}

/* What was written since is a check that expects this counter, then `rest`. */
static inline void written_check(struct roof *roof, const char *counter, const char *rest)
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

#endif
