/* SPDX-License-Identifier: BSD-3-Clause */
/* native_inner.h -- what the files of a native connection share: native.c (life, reading), native_request.c (a frame's words),
 * native_answer.c (an answer's frame), native_hello.c, native_events.c (EVENT, BEAT), native_deadline.c.
 *
 * Threads: the worker's own. */
#ifndef TERRACE_SERVER_NATIVE_INNER_H
#define TERRACE_SERVER_NATIVE_INNER_H

#include "protocol/native_codec.h"
#include "protocol/native_frame.h"
#include "server/conn.h"
#include "server/native.h"
#include "server/worker.h"

enum {
    NATIVE_TEXT = 16 * 1024, /* digits of a batch's requests */
    NATIVE_SLOTS = 256       /* of the wheel of deadlines: more than a second a turn */
};

struct native_conn {
    size_t missing;   /* of the frame that `in` begins with */
    uint64_t told;    /* number of its last EVENT */
    uint32_t stepped; /* requests of the frame at the front that were executed already */
    struct native_several *several; /* of that frame; or NULL */
    int64_t since_ms;               /* when the first `kept` bytes of `in` were read; */
    size_t kept;
    int64_t goodbye_at_ms; /* 0: not said */
};

/* What one frame asks for several times: its last answer says that it is the last. */
struct native_several {
    uint32_t left;  /* answers to come */
    uint32_t holds; /* who knows it; the last one frees it */
};
void native_several_release(struct native_several *several); /* NULL is fine */

struct native_desk {
    struct reply aside;          /* an answer before it is a frame */
    bool is_quiet;               /* of HELLO: what it says now is not answered */
    const struct command *fetch; /* CACHE.FETCH; NULL: rename-command has a say in it */
    struct buf meta;             /* scratch */
    struct buf text;
    size_t digits_used;
    char digits[NATIVE_TEXT]; /* of the requests in the batch */
    struct native_ticket tickets[BATCH_REQUESTS];
    /* native_deadline.c */
    uv_timer_t timer;
    bool ticks;
    unsigned waiting;
    int64_t at; /* the slot that comes next, as a number of NATIVE_GRAIN_MS */
    struct list slots[NATIVE_SLOTS];
};

/* --- native_request.c ------------------------------------------------------------------------------------------------- */

/* The words of a request. `room` has NATIVE_WORDS_MAX, and as many more as it has keys and tags. */
enum {
    NATIVE_WORDS_MAX = 24
};
struct native_words {
    struct slice *at;
    uint32_t count;
    struct native_desk *desk; /* its digits */
};
/* What a read may not say, whatever its key is; NULL: it does not. */
const char *native_refuse_read(const struct native_request *request);
/* NULL: done; else why it is no request. */
const char *native_write_words(struct native_words *words, const struct native_frame *frame,
                               const struct native_request *request);

/* --- native_answer.c -------------------------------------------------------------------------------------------------- */

/* A frame that answers. */
void native_put(struct conn *conn, const struct native_ticket *ticket, enum native_status status,
                const struct native_reply *reply, struct slice body);
void native_put_meta(struct conn *conn, const struct native_ticket *ticket,
                     enum native_status status, struct slice meta, struct slice body);
void native_put_error(struct conn *conn, const struct native_ticket *ticket, struct slice text);
void native_put_bad(struct conn *conn, const struct native_ticket *ticket, const char *text);

/* --- native_hello.c --------------------------------------------------------------------------------------------------- */

bool native_hello(struct worker *worker, const struct request *request); /* as native_execute */

/* --- native_events.c -------------------------------------------------------------------------------------------------- */

void native_beat(struct conn *conn, const struct request *request);

/* --- native_deadline.c ------------------------------------------------------------------------------------------------ */

void native_deadlines_open(struct native_desk *desk, struct worker *worker);
void native_deadlines_close(struct native_desk *desk);
void native_deadline_add(struct answer *answer); /* of an answer that has one */
void native_deadline_drop(struct answer *answer);

#endif
