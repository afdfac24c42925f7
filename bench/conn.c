/* SPDX-License-Identifier: BSD-3-Clause */
#include "bench/conn.h"

#include "bench/memcached.h"
#include "protocol/check.h"
#include "protocol/resp_write.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
    RECEIVE_SIZE = 16 << 10,
    GREETING_ARGS = 5
};

/* AUTH or HELLO, and SELECT. A power of two, as every capacity of the ring: places are found by a mask. */
enum {
    GREETING_CALLS_MAX = 2
};

enum status conn_init(struct conn *conn, uint32_t id, uint32_t calls_max)
{
    *conn = (struct conn){.fd = -1, .id = id, .call_capacity = GREETING_CALLS_MAX};
    while (conn->call_capacity < calls_max) {
        conn->call_capacity *= 2;
    }
    conn->calls = calloc(conn->call_capacity, sizeof *conn->calls);
    return conn->calls == NULL ? NO_MEMORY : OK;
}

void conn_done(struct conn *conn)
{
    conn_stop(conn);
    free(conn->calls);
    buf_done(&conn->in);
    buf_done(&conn->out);
    conn->calls = NULL;
}

static enum status lose(struct conn *conn, const char *why)
{
    (void)snprintf(conn->error, sizeof conn->error, "%s", why);
    return CLOSE;
}

/* ------------------------------------------------------------------ begin and end */

static enum status queue_greeting(struct conn *conn, const struct greeting *greeting)
{
    const struct call hello = {0};
    struct slice user = slice_of(greeting->user != NULL ? greeting->user : "default");
    enum status status = OK;
    if (greeting->resp == 3) {
        struct slice argv[GREETING_ARGS] = {SLICE_LITERAL("HELLO"), SLICE_LITERAL("3")};
        size_t argc = 2;
        if (greeting->password != NULL) {
            argv[argc++] = SLICE_LITERAL("AUTH");
            argv[argc++] = user;
            argv[argc++] = slice_of(greeting->password);
        }
        status = conn_send(conn, hello, argc, argv);
    } else if (greeting->password != NULL) {
        struct slice argv[3] = {SLICE_LITERAL("AUTH")};
        size_t argc = 1;
        if (greeting->user != NULL) {
            argv[argc++] = user;
        }
        argv[argc++] = slice_of(greeting->password);
        status = conn_send(conn, hello, argc, argv);
    }
    if (status == OK && greeting->db != 0) {
        char digits[I64_DIGITS_MAX];
        struct slice argv[2] = {
            SLICE_LITERAL("SELECT"),
            {.data = digits, .size = i64_format(digits, (int64_t)greeting->db)}};
        status = conn_send(conn, hello, 2, argv);
    }
    return status;
}

enum status conn_start(struct conn *conn, const struct target *target,
                       const struct greeting *greeting)
{
    CHECK(conn->state == CONN_CLOSED && conn->call_count == 0);
    conn->out.size = 0;
    conn->out_at = 0;
    conn->in.size = 0;
    conn->in_at = 0;
    conn->framer = (struct reply_framer){0};
    conn->wants_write = false;
    conn->memcached = greeting->memcached;
    if (queue_greeting(conn, greeting) != OK) {
        conn_forget_calls(conn);
        return NO_MEMORY;
    }
    int family = target->address.ss_family;
    int fd = socket(family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0) {
        conn_forget_calls(conn);
        return lose(conn, strerrordesc_np(errno));
    }
    if (family != AF_UNIX) {
        int yes = 1;
        (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes);
    }
    if (connect(fd, (const struct sockaddr *)&target->address, target->address_size) != 0 &&
        errno != EINPROGRESS) {
        int reason = errno;
        (void)close(fd);
        conn_forget_calls(conn);
        return lose(conn, strerrordesc_np(reason));
    }
    conn->fd = fd;
    conn->lives++;
    conn->state = CONN_CONNECTING;
    return OK;
}

enum status conn_on_connected(struct conn *conn)
{
    int reason = 0;
    socklen_t size = sizeof reason;
    if (getsockopt(conn->fd, SOL_SOCKET, SO_ERROR, &reason, &size) != 0) {
        reason = errno;
    }
    if (reason != 0) {
        return lose(conn, strerrordesc_np(reason));
    }
    conn->state = conn->call_count == 0 ? CONN_OPEN : CONN_GREETING;
    return OK;
}

void conn_stop(struct conn *conn)
{
    if (conn->fd >= 0) {
        (void)close(conn->fd);
    }
    conn->fd = -1;
    conn->state = CONN_CLOSED;
}

void conn_forget_calls(struct conn *conn)
{
    conn->call_head = 0;
    conn->call_count = 0;
}

/* ------------------------------------------------------------------ out and in */

enum status conn_send(struct conn *conn, struct call call, size_t argc, const struct slice *argv)
{
    CHECK(conn->call_count < conn->call_capacity);
    if ((conn->memcached ? memcached_append_request(&conn->out, argc, argv)
                         : resp_append_request(&conn->out, argc, argv)) != OK) {
        return NO_MEMORY;
    }
    conn->calls[(conn->call_head + conn->call_count) & (conn->call_capacity - 1)] = call;
    conn->call_count++;
    return OK;
}

enum status conn_flush(struct conn *conn)
{
    while (conn->out_at < conn->out.size) {
        ssize_t sent = send(conn->fd, conn->out.data + conn->out_at, conn->out.size - conn->out_at,
                            MSG_NOSIGNAL);
        if (sent < 0 && errno == EINTR) {
            continue;
        }
        if (sent < 0 && errno == EAGAIN) {
            return AGAIN;
        }
        if (sent < 0) {
            return lose(conn, strerrordesc_np(errno));
        }
        conn->out_at += (size_t)sent;
        conn->bytes_out += (uint64_t)sent;
    }
    conn->out.size = 0;
    conn->out_at = 0;
    return OK;
}

enum status conn_receive(struct conn *conn)
{
    buf_consume(&conn->in, conn->in_at);
    conn->in_at = 0;
    if (buf_reserve(&conn->in, RECEIVE_SIZE) != OK) {
        return NO_MEMORY;
    }
    ssize_t got =
        recv(conn->fd, conn->in.data + conn->in.size, conn->in.capacity - conn->in.size, 0);
    if (got > 0) {
        conn->in.size += (size_t)got;
        conn->bytes_in += (uint64_t)got;
        return OK;
    }
    if (got < 0 && (errno == EAGAIN || errno == EINTR)) {
        return AGAIN;
    }
    return lose(conn, got == 0 ? "the server closed the connection" : strerrordesc_np(errno));
}

/* The next whole reply, pushes included. */
static enum status frame(struct conn *conn, struct slice *ret_reply)
{
    struct slice input = {.data = conn->in.data + conn->in_at, .size = conn->in.size - conn->in_at};
    if (input.size == 0) {
        return AGAIN;
    }
    size_t size = 0;
    enum status status = OK;
    if (conn->memcached) {
        status = memcached_take_reply(conn->in.data + conn->in_at, input.size, &size, ret_reply);
    } else {
        status = reply_frame(&conn->framer, input, &size);
        *ret_reply = (struct slice){.data = input.data, .size = size};
    }
    if (status != OK) {
        return status == AGAIN ? AGAIN : MALFORMED;
    }
    conn->in_at += size;
    return OK;
}

enum status conn_take(struct conn *conn, struct call *ret_call, struct slice *ret_reply)
{
    enum status status = OK;
    do { /* a push comes out of band and answers nothing */
        status = frame(conn, ret_reply);
    } while (status == OK && ret_reply->data[0] == REPLY_PUSH);
    if (status == AGAIN) {
        return AGAIN;
    }
    if (status != OK || conn->call_count == 0) {
        const char *strange = conn->memcached ? "the server does not speak memcached's protocol"
                                              : "the server does not speak RESP";
        (void)lose(conn, status == OK ? "a reply nobody asked for" : strange);
        return MALFORMED;
    }
    *ret_call = conn->calls[conn->call_head];
    conn->call_head = (conn->call_head + 1) & (conn->call_capacity - 1);
    conn->call_count--;
    return OK;
}
