/* SPDX-License-Identifier: BSD-3-Clause */
/* conn_inner.h -- what conn.c (life), conn_read.c and conn_write.c share. */
#ifndef TERRACE_CLIENT_CONN_INNER_H
#define TERRACE_CLIENT_CONN_INNER_H

#include "client/conn.h"

enum conn_state {
    CONN_CONNECTING,
    CONN_SHAKING,
    CONN_GREETING,
    CONN_WATCHING,
    CONN_READY,
    CONN_LEAVING, /* the node answers what it has, and closes */
    CONN_CLOSED
};

enum {
    IN_ROOM = 64 << 10,      /* bytes taken from the socket at once */
    BODY_ALONE = 16 << 10,   /* a larger body of an answer is received where it stays */
    FRAME_COPIED = 16 << 10, /* a larger one is sent from where it is */
    READS_MAX = 16,          /* of one connection per wake-up: fair dealing */
    PARTS_MAX = 32,
    BACKLOG_LARGE = 256 << 10 /* more than that takes its time on a slow way */
};

/* Ids of what the connection itself asks; those of calls are below. */
enum {
    ID_HELLO = 0xfffffff1u,
    ID_WATCH = 0xfffffff2u,
    ID_BEAT = 0xfffffff3u
};

struct slot {
    struct call *call;  /* NULL: cancelled, or free */
    bool is_taken;      /* its answer has not come */
    uint32_t next_free; /* index + 1; 0: the last */
};

struct piece { /* a payload in the output */
    struct piece *next;
    uint64_t at; /* behind so many small bytes */
    size_t sent;
    struct slice bytes;
    struct payload *payload;
    struct call *call; /* NULL: cancelled */
};

struct conn {
    struct conn_setting *setting;
    void *user;
    enum conn_state state;
    struct link link;
    uv_poll_t poll;
    int polled; /* what for */
    struct timer timer;
    enum conn_watch watch;
    struct slice prefix;

    struct call waiting; /* head of a ring */
    size_t waiting_count;
    struct slot *slots;
    uint32_t slot_count, slot_room, slot_free; /* slot_free: index + 1 */
    size_t taken;                              /* slots whose answer has not come */

    struct buf in;
    size_t in_at; /* of in.data: what comes before was dealt with */
    /* A large body is being received; its header, metadata and keys stand at in_at. */
    bool is_in_body;
    char *body;        /* NULL: nobody wants it, or there was no memory */
    bool body_refused; /* no memory */
    size_t body_size, body_got;

    struct buf out;
    size_t out_at;
    uint64_t small_queued, small_sent;
    struct piece *first, *last;

    char why[192];
    int64_t heard_ms;
    uint64_t piece_bytes_sent;
    uint64_t taken_seen,
        backlog_seen;     /* conn_heard_ms: by the node's machine, and what it had not taken */
    int64_t beat_sent_ms; /* 0: none is under way */
    struct conn *next_dirty, *prev_dirty;
    bool is_dirty;
};

void conn_poll_for_more(struct conn *conn);
void conn_set_timer(struct conn *conn); /* option connect-timeout from now */
void conn_unmark_dirty(struct conn *conn);
bool conn_has_output(const struct conn *conn);
uint64_t conn_unsent(const struct conn *conn); /* bytes that wait for the socket */

/* A frame of its own: HELLO, WATCH, BEAT. */
enum status conn_write_own(struct conn *conn, uint8_t op, uint32_t id, struct slice meta,
                           struct slice keys) MUST_USE;
void conn_read(struct conn *conn);
void conn_on_own_answer(struct conn *conn, const struct native_frame *frame);
void conn_free_output(struct conn *conn);
void conn_flush(struct conn *conn);

#endif
