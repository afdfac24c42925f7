/* SPDX-License-Identifier: BSD-3-Clause */
/* link_help.h -- a roof without sockets, for the tests of a link. Time is a plain number; Redis' bytes are by hand. */
#ifndef TERRACE_TESTS_UNIT_LINK_HELP_H
#define TERRACE_TESTS_UNIT_LINK_HELP_H

#include "tiers/link.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

enum {
    HELP_NOW = 1000000
};

static const struct l2_url here = {.host = "h", .port = 1};

struct roof {
    struct link *link;
    unsigned connects;
    unsigned closes;
    unsigned flushes;
    unsigned readies;
    unsigned downs;
    char why[200];
    struct beat_answer answer;
    struct buf pushed;
    uint64_t known;
    struct epoch expected; /* for a test's own expected_epoch */
    unsigned ended;        /* for the `then` of a question */
    struct metrics metrics;
    void (*when_ready)(struct roof *roof);
};

static inline void help_connect(void *arg, struct link *link)
{
    struct roof *roof = arg;
    assert_ptr_equal(link, roof->link);
    roof->connects++;
}

static inline void help_close(void *arg, struct link *link)
{
    struct roof *roof = arg;
    assert_ptr_equal(link, roof->link);
    roof->closes++;
}

static inline void help_wants_flush(void *arg, struct link *link)
{
    struct roof *roof = arg;
    assert_ptr_equal(link, roof->link);
    assert_true(link_output(link).size > 0);
    roof->flushes++;
}

static inline void help_on_ready(struct link *link, void *arg, const struct beat_answer *answer)
{
    struct roof *roof = arg;
    assert_int_equal(link_state(link), LINK_READY);
    roof->readies++;
    roof->answer = *answer;
    if (roof->when_ready != NULL) {
        roof->when_ready(roof);
    }
}

static inline void help_on_down(struct link *link, void *arg, const char *why)
{
    struct roof *roof = arg;
    assert_int_equal(link_state(link), LINK_DOWN);
    roof->downs++;
    strncpy(roof->why, why, sizeof roof->why - 1);
}

static inline void help_on_push(struct link *link, void *arg, struct slice reply)
{
    struct roof *roof = arg;
    assert_ptr_equal(link, roof->link);
    assert_int_equal(buf_append_slice(&roof->pushed, reply), OK);
}

static inline uint64_t help_known(void *arg)
{
    return ((struct roof *)arg)->known;
}

static inline struct link_options help_options(struct roof *roof, const struct l2_url *url)
{
    return (struct link_options){
        .url = url,
        .proto = 2,
        .coherence_db = 15,
        .node = 77,
        .seed = 1,
        .metrics = &roof->metrics,
        .io = {.roof = roof,
               .connect = help_connect,
               .close = help_close,
               .wants_flush = help_wants_flush},
        .on_ready = help_on_ready,
        .on_down = help_on_down,
        .arg = roof,
        .known_epoch = help_known,
    };
}

static inline void help_open(struct roof *roof, const struct link_options *options)
{
    roof->link = link_new(options);
    assert_non_null(roof->link);
}

static inline void help_done(struct roof *roof)
{
    link_free(roof->link);
    buf_done(&roof->pushed);
}

/* Redis says these bytes. */
static inline void help_feed(struct roof *roof, struct slice bytes, int64_t now_ms)
{
    size_t room = 0;
    char *at = link_read_room(roof->link, bytes.size, &room);
    assert_non_null(at);
    assert_true(room >= bytes.size);
    memcpy(at, bytes.data, bytes.size);
    link_on_read(roof->link, bytes.size, now_ms);
}

#define HELP_SAY(roof, literal) help_feed((roof), SLICE_LITERAL(literal), HELP_NOW)

/* What the link sent; all of it is written. */
static inline struct buf help_written(struct roof *roof)
{
    struct buf written = {0};
    assert_int_equal(buf_append_slice(&written, link_output(roof->link)), OK);
    link_on_written(roof->link, written.size);
    assert_int_equal(link_output(roof->link).size, 0);
    return written;
}

static inline void help_expect_written(struct roof *roof, const char *text)
{
    struct buf written = help_written(roof);
    if (!slice_is(buf_slice(&written), text)) {
        fail_msg("written: %.*s", (int)written.size, written.data);
    }
    buf_done(&written);
}

#define SELECT_3       "*2\r\n$6\r\nSELECT\r\n$1\r\n3\r\n"
#define SELECT_0       "*2\r\n$6\r\nSELECT\r\n$1\r\n0\r\n"
#define SELECT_15      "*2\r\n$6\r\nSELECT\r\n$2\r\n15\r\n"
#define SELECT_NOTHING "*2\r\n$6\r\nSELECT\r\n$2\r\n-1\r\n"

#define HELP_BEAT_ANSWER \
    "*6\r\n:5\r\n$8\r\n\1\0\0\0\0\0\0\0\r\n:41\r\n:0\r\n$4\r\nabcd\r\n$2\r\nr1\r\n"
#define HELP_SELECTED_8 "+OK\r\n+OK\r\n+OK\r\n+OK\r\n+OK\r\n+OK\r\n+OK\r\n+OK\r\n"

/* From wherever to READY; Redis has all sixteen databases. */
static inline void help_make_ready(struct roof *roof)
{
    if (link_state(roof->link) == LINK_DOWN) {
        link_tick(roof->link, HELP_NOW);
    }
    link_on_connected(roof->link, HELP_NOW);
    struct buf greeting = help_written(roof);
    buf_done(&greeting);
    HELP_SAY(roof, ":7\r\n" HELP_BEAT_ANSWER HELP_SELECTED_8 HELP_SELECTED_8);
    assert_int_equal(link_state(roof->link), LINK_READY);
}

static inline void help_open_ready(struct roof *roof)
{
    const struct link_options options = help_options(roof, &here);
    help_open(roof, &options);
    help_make_ready(roof);
}

/* A request that remembers how it ended. */
struct question {
    struct link_request request;
    struct roof *roof;
    unsigned ends; /* how often on_reply came */
    enum status status;
    struct buf reply;
    void (*then)(struct question *question); /* called by on_reply; may be NULL */
    struct question *other;                  /* for `then` */
    unsigned tag;                            /* for `then` */
};

static inline void help_on_reply(struct link_request *request, enum status status,
                                 struct slice reply)
{
    struct question *question = (struct question *)(void *)request;
    question->ends++;
    question->status = status;
    assert_true(status == OK ? reply.size > 0 : reply.size == 0);
    if (question->then != NULL) {
        question->then(question);
    }
    /* The reply is valid to the end of the call, whatever was done in it. */
    assert_int_equal(buf_append_slice(&question->reply, reply), OK);
}

static inline struct question help_question(struct roof *roof, bool writes, int64_t deadline_ms)
{
    return (struct question){
        .request = {.on_reply = help_on_reply, .writes = writes, .deadline_ms = deadline_ms},
        .roof = roof};
}

static inline void help_ask(struct question *question, int db, const char *bytes)
{
    const unsigned ends = question->ends;
    assert_int_equal(link_ask(question->roof->link, &question->request, db, slice_of(bytes)), OK);
    assert_int_equal(question->ends, ends); /* never from inside */
}

/* For `then`. */
static inline void help_ask_other(struct question *question)
{
    help_ask(question->other, 0, "GET second\r\n");
}

static inline void help_close_link(struct question *question)
{
    link_close(question->roof->link, "closed by a reply", HELP_NOW);
}

static inline void help_ended(struct question *question, enum status status, const char *reply)
{
    assert_int_equal(question->ends, 1);
    assert_int_equal(question->status, status);
    assert_true(slice_is(buf_slice(&question->reply), reply));
    buf_done(&question->reply);
}

#endif
