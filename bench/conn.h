/* SPDX-License-Identifier: BSD-3-Clause */
/* conn.h -- one client connection: a socket, what is still to be sent, and the calls whose replies are awaited.
 *
 *      CLOSED --conn_start--> CONNECTING --socket writable--> GREETING --last reply--> OPEN
 *         ^                                                                              |
 *         +------------------------------ conn_stop (lost, or done) <-------------------+
 *
 * Replies come in the order of the calls; a call is whatever its sender needs to judge the reply. The connection moves
 * bytes and knows no commands but its greeting (AUTH or HELLO, SELECT). Requests and replies are RESP to whoever uses
 * it, also where the server speaks memcached's protocol.
 *
 * Owns:    its socket and memory.
 * Threads: one.
 * Limits:  conn->call_capacity calls at a time; whoever sends looks first (conn_room).
 * Errors:  CLOSE: the connection is lost, errno or the peer's goodbye in `error`; MALFORMED: another protocol; NO_MEMORY. */
#ifndef TERRACE_BENCH_CONN_H
#define TERRACE_BENCH_CONN_H

#include "bench/target.h"
#include "protocol/resp_read.h"

enum conn_state {
    CONN_CLOSED,
    CONN_CONNECTING,
    CONN_GREETING,
    CONN_OPEN
};

/* Who we are to the server, and in which protocol; NULL is not said. */
struct greeting {
    bool memcached; /* its text protocol, which has no greeting; see memcached.h */
    const char *user;
    const char *password;
    int resp;
    uint64_t db;
};

struct call {
    uint64_t due_ns; /* when it was sent, or in an open loop should have been */
    uint64_t number; /* the sender's: a key, a place in a trace */
    uint32_t count;  /* the sender's: how many keys */
    uint32_t kind;   /* the sender's */
};

struct conn {
    int fd;
    enum conn_state state;
    uint32_t id;
    uint64_t lives; /* how often it was opened */
    struct buf out;
    size_t out_at; /* sent so far */
    bool wants_write;
    struct buf in;
    size_t in_at; /* taken so far */
    bool memcached;
    struct reply_framer framer;
    struct call *calls; /* a ring */
    uint32_t call_capacity;
    uint32_t call_head;
    uint32_t call_count;
    uint64_t bytes_in;
    uint64_t bytes_out;
    uint64_t resume_at_ns; /* the owner's: think time, or when to connect again */
    char error[128];
};

enum status conn_init(struct conn *conn, uint32_t id, uint32_t calls_max) MUST_USE;
void conn_done(struct conn *conn);

/* Opens a non-blocking socket and queues the greeting. OK: CONNECTING; CLOSE, NO_MEMORY: still CLOSED. */
enum status conn_start(struct conn *conn, const struct target *target,
                       const struct greeting *greeting) MUST_USE;
/* The socket became writable: did it connect? OK: GREETING, or OPEN if there is nothing to say. */
enum status conn_on_connected(struct conn *conn) MUST_USE;
void conn_stop(
    struct conn
        *conn); /* closes; the calls stay until conn_forget_calls, so that they can be counted */
void conn_forget_calls(struct conn *conn);

static inline uint32_t conn_room(const struct conn *conn)
{
    return conn->call_capacity - conn->call_count;
}

/* Queues a request and its call; nothing is sent before conn_flush. There must be room. */
enum status conn_send(struct conn *conn, struct call call, size_t argc,
                      const struct slice *argv) MUST_USE;
/* OK: all is out. AGAIN: the socket is full. */
enum status conn_flush(struct conn *conn) MUST_USE;
/* One recv. OK: something came. AGAIN: nothing there. */
enum status conn_receive(struct conn *conn) MUST_USE;
/* The next whole reply, as bytes that live until the next conn_receive, and its call. AGAIN: none yet. */
enum status conn_take(struct conn *conn, struct call *ret_call, struct slice *ret_reply) MUST_USE;

#endif
