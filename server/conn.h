/* SPDX-License-Identifier: BSD-3-Clause */
/* conn.h -- one client connection: its socket, its session, and the calls it waits for.
 *
 * A connection takes calls from what it reads, and flushes answers in the order of the calls. It stops taking while
 * something says HOLD (see enum conn_hold); the rest of its bytes waits in `in`, and is taken up again when the last
 * hold goes. It stops reading its socket when `in` is long enough: back-pressure, not memory.
 *
 * Answers are memory, too: those that the client has not read, those that are here and wait for their turn or for their
 * release (a barrier, all nodes of a strict namespace), and those that are still to come. Of the last only the number is
 * known, so each is taken for as large as the large ones of late (`likely`). While all that is more than
 * LIMIT_OUTPUT_PAUSE, no call is taken. Who guesses wrong (large answers after small ones) is closed when what is here
 * passes LIMIT_OUTPUT_CLOSE; so a client takes that and one answer at most, and LIMIT_CALLS chunks (out.h) of slack.
 *
 * Large values in answers are those of L1 itself, referred to: while they are sent, what was evicted or overwritten is still
 * there and counts. So that clients that read slowly do not take the memory from all others, no more than a quarter of it
 * may be held so (LIMIT_HELD_SHARE): beyond that each client may have LIMIT_OUTPUT_PRESSED, and one call's answer.
 *
 *      OPEN -> FLUSHING (no more calls; close when all is sent) -> CLOSED (out of every list; freed by its poll handle)
 *
 * Threads: the worker's own. CLIENT LIST and KILL come by tour. */
#ifndef TERRACE_SERVER_CONN_H
#define TERRACE_SERVER_CONN_H

#include "protocol/resp_read.h"
#include "server/asked.h"
#include "server/body.h"
#include "server/call.h"
#include "server/tls.h"
#include "tiers/base/map.h"

#include <uv.h>

struct download;
struct monitor;
struct native_conn;
struct subscriber;

enum conn_state {
    CONN_OPEN,
    CONN_FLUSHING,
    CONN_CLOSED
};

/* Why calls are not taken, as bits. */
enum conn_hold {
    HOLD_QUEUE = 1,  /* LIMIT_CALLS answers wait */
    HOLD_ORDER = 2,  /* the next call may not overtake those that wait (COMPATIBILITY rule 1) */
    HOLD_OUTPUT = 4, /* LIMIT_OUTPUT_PAUSE bytes of answers wait, or are expected */
    HOLD_PAUSE = 8,  /* CLIENT PAUSE, or write-behind (behind_fence) */
    HOLD_ALONE =
        16, /* CLIENT LIST and KILL, DEBUG SLEEP: the next call begins when they have ended */
    HOLD_BLOCKED = 32, /* one waits in L2 for as long as it likes (blocking.h) */
    HOLD_EXEC = 64,    /* the node has a part in the EXEC under way (execution.h) */
    HOLD_PUBSUB = 128, /* it publishes, and others have subscribed before (pubsub_order.h) */
    HOLD_UPLOAD =
        256, /* a large value is on its way to L2, which has no room, or has not answered yet (upload.h) */
};

enum reply_mode {
    REPLY_ON,
    REPLY_OFF,
    REPLY_SKIP_NEXT,
    REPLY_SKIP
};

struct acl_user;

/* What commands see and change; first what each call looks at. */
struct session {
    uint8_t db;
    uint8_t proto;
    bool authenticated; /* may run commands (auth.h); */
    bool guarded;       /* those that its user may */
    bool logged_in;     /* by AUTH, or when nobody had to */
    bool no_evict;
    enum reply_mode reply_mode;
    struct tracking_client *tracking; /* CLIENT TRACKING; NULL: off */
    const char *last_command; /* its full name, for good (l2_commands.h, too); NULL: none yet */
    int64_t active_at_ms;
    uint64_t id;
    const struct acl_user *user; /* of worker->users */
    int64_t created_at_ms;
    struct buf name; /* CLIENT SETNAME */
    struct buf lib_name;
    struct buf lib_ver;
    char peer[112]; /* "127.0.0.1:52000", "/path:0" */
    char local[112];
};

/* In the order in which a turn needs it, so that a connection which reads what is in L1 touches few cache lines. */
struct conn {
    uint32_t magic;
    enum conn_state state;
    struct worker *worker;
    int fd;
    int events;        /* what the poll handle watches */
    unsigned holds;    /* enum conn_hold */
    bool send_blocked; /* the last write did not take all: more when the socket is writable */
    bool listens;      /* subscribed, or monitors: it lives by pushes (push.h) */
    bool began;        /* bytes of it were looked at */
    bool heard_out;    /* its call has waited for those who subscribed before (pubsub_order.h) */
    /* A request was stepped over: all behind it are, and are parsed again after settling. */
    bool parse_again;
    struct tls_stream *tls;          /* NULL: plain */
    struct native_conn *native;      /* it speaks frames (native.h); NULL: RESP */
    struct transaction *transaction; /* NULL: neither MULTI nor WATCH */

    struct request_reader *reader; /* NULL unless a request is cut in two */
    /* While taken: what was read and not executed yet; lies in read memory or in `in`. */
    struct slice region;
    struct buf in; /* bytes that no call was made of yet */
    unsigned answer_count;
    unsigned writes_waiting;
    unsigned managed_waiting; /* of these */
    unsigned foreign_waiting;

    struct list in_dirty;         /* worker->dirty: something to flush; or worker->unsent */
    struct list in_taken;         /* worker->taken: read something that is not settled yet */
    struct list in_woken;         /* worker->woken: its last hold went */
    struct list answers;          /* that wait for their turn */
    struct reply reply;           /* answers ready to be sent */
    struct blocking *blocking;    /* with HOLD_BLOCKED; else NULL */
    struct download *download;    /* of the first answer, some of which is in `reply`; or NULL */
    int64_t output_high_since_ms; /* 0: below LIMIT_OUTPUT_PAUSE */
    struct body body;             /* of the request that `in` begins with */
    struct session session;

    uv_poll_t poll;
    struct list in_worker; /* worker->conns */
    struct map_node by_id; /* worker->conns_by_id */
    unsigned reads_waiting;
    unsigned coming;               /* answers whose bytes are not here yet */
    size_t likely;                 /* what one of them may take */
    size_t kept;                   /* bytes of the answers in the queue that are here */
    size_t pushed;                 /* bytes of pushes among what waits, at most (push.h) */
    size_t charged;                /* of client_memory.h */
    struct asked asked;            /* keys of the reads that wait */
    struct monitor *monitor;       /* NULL: it does not (monitor.h) */
    struct subscriber *subscriber; /* from its first SUBSCRIBE on (pubsub.h) */
    struct leases *leases; /* managed keys that it is to load (leases.h); NULL: none so far */
};

/* Takes the socket over, and the stream of its TLS; NULL: it is plain. NULL: no memory, the socket is closed. */
struct conn *conn_open(struct worker *worker, int fd, uint64_t id, struct tls_stream *tls);
struct conn *conn_find(const struct worker *worker, uint64_t id); /* NULL: not here, or closed */
/* No more calls; what is answered is still sent, then it closes. */
void conn_close_after_reply(struct conn *conn);
/* At once. Answers that wait lose their connection. Safe inside a handler; the memory goes with the loop's next turn. */
void conn_close(struct conn *conn);

void conn_hold(struct conn *conn, enum conn_hold why);
void conn_unhold(struct conn *conn, enum conn_hold why); /* takes up the bytes that waited */

/* CLIENT REPLY OFF, or SKIP of the command before. */
static inline bool session_is_silent(const struct session *session)
{
    return session->reply_mode == REPLY_OFF || session->reply_mode == REPLY_SKIP;
}
/* A command has ended: CLIENT REPLY SKIP is of the next one, or was of this. */
void conn_pass_skip(struct conn *conn);
/* Back to the state of a new connection (RESET): db 0, RESP2, no name, not authenticated unless no password is set. */
void conn_reset_session(struct conn *conn);
/* One line of CLIENT LIST, without the newline, as Redis 7.0 prints it. `asking`: the call that wants to know, or NULL; of
 * its own connection it is seen as in the middle of it. */
enum status conn_describe(const struct conn *conn, const struct call *asking, int64_t now_ms,
                          struct buf *line) MUST_USE;

/* The loop's stages (worker.c): */
void conn_on_read(struct conn *conn);      /* socket -> read memory -> batch */
void conn_take_waiting(struct conn *conn); /* `in` -> batch, after the last hold went */
void conn_after_call(
    struct conn *conn); /* a call was executed: its output may be too much already */
void conn_settle(
    struct conn *conn); /* after the batch: keep what was not executed, watch what is needed */
void conn_flush(struct conn *conn, size_t limit); /* answers -> socket, `limit` bytes at most */
void conn_tick(struct conn *conn,
               int64_t now_ms); /* about every second: idle, and clients that do not read */
/* An answer landed, or the output shrank: send what is ready, take up what waited. */
void conn_advance(struct conn *conn);
/* Answers, here or to come, are as much as may wait. */
bool conn_is_full(const struct conn *conn);
size_t conn_waiting_bytes(const struct conn *conn); /* of answers that are here */
/* What is ready and the socket has not taken. */
static inline size_t conn_unsent(const struct conn *conn)
{
    return conn->reply.out.size + (conn->tls == NULL ? 0 : tls_waiting(conn->tls));
}
/* The bytes of an answer are here (answer_arrive); closes the connection if they are too many. */
void conn_on_arrival(struct conn *conn, struct answer *answer);

#endif
