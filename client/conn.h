/* SPDX-License-Identifier: BSD-3-Clause */
/* conn.h -- one connection to a node that speaks the native protocol.
 *
 *      conn_open --> CONNECTING --> SHAKING --> GREETING --> (WATCHING) --> READY --> LEAVING --> CLOSED
 *                    connect(2)     TLS         HELLO         WATCH                   GOODBYE
 *      Any of them goes to CLOSED: broken, not ready within the connect timeout, conn_close.
 *
 * Many calls share it. Each has an id; the node answers in any order. An id is not given again before its answer has come, so
 * a call may be cancelled at any time: what still comes for it is dropped.
 *
 * Small frames are copied into one buffer, so that all of one turn of the loop leave with one write. Of a large one only the
 * header is; its bytes are referred to where they are. A large answer is received where it stays.
 *
 * A call that is lost was `sent` if the socket took the last byte of its frame: then the node may have done it. A frame
 * that the socket took in part is none. One that is cancelled counts as sent: it leaves with its turn, whoever waits for
 * the answer.
 *
 * Owns:    the socket, buffers. Frees itself when libuv has let go of its handle: after conn_close, or once on_lost was
 *          called, nothing may be asked of it and nothing is called back.
 * Threads: one loop's.   Units: ms of clock_ms().
 * Limits:  the node's answers: LIMIT_NATIVE_META, LIMIT_NATIVE_KEYS, option max-value. */
#ifndef TERRACE_CLIENT_CONN_H
#define TERRACE_CLIENT_CONN_H

#include "client/link.h"
#include "client/tally.h"
#include "client/wheel.h"
#include "protocol/native_codec.h"
#include "protocol/native_frame.h"

#include <uv.h>

struct conn;

int64_t clock_us(void); /* monotonic */
/* It goes on while the machine sleeps: what a node had proved to L0 is as old as it looks. The one clock of calls and
 * timers. */
int64_t clock_ms(void);

/* Bytes that are sent from where they are. */
struct payload {
    unsigned refs;
    size_t size;
    char data[];
};
struct payload *payload_new(size_t size); /* one reference; NULL: no memory */
void payload_release(struct payload *payload);

/* One question on one connection; embedded in what asks. All zeros: not under way. */
struct call {
    struct call *next, *prev; /* of those that wait for the connection to be ready */
    struct conn *conn;        /* NULL: not under way */
    uint32_t id;              /* 0: waits */
    bool was_sent;
    uint64_t ends_at;        /* in the stream of small bytes */
    struct payload *payload; /* not sent yet */
};

struct conn_answer {
    const struct native_header *header; /* word: enum native_status */
    const struct native_reply *reply;
    struct slice body; /* borrowed, until the hook returns */
    char *taken;  /* not NULL: the memory of `body`, by malloc; whoever sets it to NULL owns it */
    bool is_last; /* false: others follow to the same call */
    bool has_no_memory; /* there was none for the body */
};

struct conn_hooks {
    void (*on_ready)(struct conn *conn);
    /* Of each call that conn_await was told of, behind on_ready: it is none any more. */
    void (*on_turn)(struct conn *conn, struct call *call);
    void (*on_answer)(struct conn *conn, struct call *call, struct conn_answer *answer);
    /* Neither answered nor cancelled; call->was_sent says whether the node may have done it. `why`: UNREACHABLE or DENIED. */
    void (*on_call_lost)(struct conn *conn, struct call *call, enum terrace_status why);
    /* Of a connection that watches. false: it cannot be trusted any more, and is closed. */
    bool (*on_event)(struct conn *conn, const struct native_event *event, struct slice keys);
    bool (*on_beat)(struct conn *conn, int64_t sent_ms, const struct native_reply *reply);
    /* The last word, behind all on_call_lost; `conn` is CLOSED. */
    void (*on_lost)(struct conn *conn, enum terrace_status why, const char *text);
    /* conn_flush_dirty has something to do before the loop waits. */
    void (*on_output)(struct conn *conn);
    void (*on_freed)(void *user);
};

/* The same for all connections of a client. Zeros but for what its owner says. */
struct conn_setting {
    uv_loop_t *loop;
    struct wheel *wheel;
    struct link_context *links;
    const struct terrace_options *options;
    const struct conn_hooks *hooks;
    struct tally *tally;
    struct conn *dirty; /* those with output of this turn */
};

enum conn_watch {
    CONN_WATCH_NOTHING = 0,
    CONN_WATCH_READS, /* keys that are read over it */
    CONN_WATCH_PREFIX
};

struct conn_target {
    const struct sockaddr_storage *address;
    socklen_t address_size;
    const char *tls_name; /* NULL: plain */
    enum conn_watch watch;
    struct slice prefix; /* borrowed until on_ready or on_lost */
    void *user;
};

/* NULL: no memory, or what the system said is in `why`. */
struct conn *conn_open(struct conn_setting *setting, const struct conn_target *target, char *why,
                       size_t why_size);
/* Calls that are under way are lost first, to whom `why`. Nothing after it but on_freed. */
void conn_close(struct conn *conn, enum terrace_status why);

void *conn_user(const struct conn *conn);
bool conn_is_ready(const struct conn *conn);
bool conn_is_opening(const struct conn *conn);
bool conn_is_closed(const struct conn *conn);
/* When the last bytes came; 0: none did. Of a connection with much to send also when the node's machine took some of it:
 * what is asked behind a large value is not answered before all of that is there. As of two calls of this: the first only
 * notes. */
int64_t conn_heard_ms(struct conn *conn);
const char *conn_why(const struct conn *conn); /* of one that is CLOSED: why it broke */
size_t conn_load(const struct conn *conn);     /* calls that wait or are under way */

/* on_turn or on_call_lost follows, unless it is cancelled. Only of one that is opening. */
void conn_await(struct conn *conn, struct call *call);

struct conn_frame {
    uint8_t op;
    uint32_t word;
    struct slice rest; /* metadata, keys and body, one behind the other */
    uint32_t meta_size, keys_size;
    struct payload *payload; /* NULL, or what `rest` lies in: then it may be sent from there */
};
/* A connection that cannot be trusted: as if it had broken. */
void conn_break(struct conn *conn, enum terrace_status why, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* Only of one that is ready. NO_MEMORY: nothing was sent. */
enum status conn_send(struct conn *conn, struct call *call,
                      const struct conn_frame *frame) MUST_USE;
/* It is not under way any more, wherever it was. */
void conn_cancel(struct call *call);
/* Under way as `to` from now on; `from` is not any more. Only of one that was sent to conn_send. */
void conn_move(struct call *from, struct call *to);
/* Whether the node may have done it. */
bool conn_was_sent(const struct call *call);

/* Asks for a proof; false: one is under way, since *ret_since_ms. */
bool conn_beat(struct conn *conn, uint64_t near_hits, int64_t *ret_since_ms);

/* Reads what is there, without waiting to be told. */
void conn_look(struct conn *conn);

/* What calls and beats have put into buffers goes to the sockets. */
void conn_flush_dirty(struct conn_setting *setting);

#endif
