/* SPDX-License-Identifier: BSD-3-Clause */
/* The poll stage of a connection: socket -> read memory, or a body in its item -> parser -> batch (conn.h). */
#include "protocol/check.h"
#include "protocol/native_frame.h"
#include "server/client_memory.h"
#include "server/conn_inner.h"
#include "server/conn_tls.h"
#include "server/dispatch.h"
#include "server/leases.h"
#include "server/native.h"
#include "server/node.h"
#include "server/upload.h"
#include "server/worker.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/uio.h>

enum {
    CONN_BODY_READ_MAX = 1024 * 1024
};

void conn_free_reader(struct conn *conn)
{
    if (conn->reader != NULL) {
        request_reader_done(conn->reader);
        free(conn->reader);
        conn->reader = NULL;
    }
}

/* The protocol was broken: say so after the answers that are due, then close. Who wants no answers is told nothing, as by
 * Redis, which leaves him there; here he is closed all the same. */
static void conn_refuse(struct conn *conn, enum status status, const char *error)
{
    metrics_count(conn->worker->metrics, M_PROTOCOL_ERRORS);
    if (status != MALFORMED) {
        conn_close(conn);
        return;
    }
    if (session_is_silent(&conn->session)) {
        reply_errorf(&conn->worker->sink, "ERR %s", error); /* it is counted */
        out_done(&conn->worker->sink.out);
        conn_close_after_reply(conn);
        return;
    }
    struct answer *answer = NULL;
    if (!list_empty(&conn->answers)) {
        answer = answer_new(conn, WAIT_LOCAL);
    }
    reply_errorf(answer != NULL ? &answer->reply : &conn->reply, "ERR %s", error);
    if (answer != NULL) {
        answer_land(answer);
    }
    conn_close_after_reply(conn);
}

/* For the next request of `rest`. Of the first one of the region the value may lie elsewhere, by now or since long. */
static void conn_prepare_reader(const struct conn *conn, struct request_reader *reader,
                                struct slice rest)
{
    dispatch_set_limits(conn, reader);
    if (body_is_there(&conn->body) && rest.data == conn->region.data) {
        request_elsewhere(reader, conn->body.arg);
    }
}

/* Its very first byte says so. */
static bool conn_speaks_frames(struct conn *conn)
{
    if (conn->began || conn->region.size == 0) {
        return conn->native != NULL;
    }
    conn->began = true;
    if ((uint8_t)conn->region.data[0] != NATIVE_MAGIC) {
        return false;
    }
    if (!native_begin(conn)) {
        conn_close(conn);
    }
    return true;
}

/* Parses the unexecuted region into the batch. */
static void conn_take_calls(struct conn *conn)
{
    if (conn_speaks_frames(conn)) {
        if (conn->native != NULL) {
            native_take(conn);
        }
        return;
    }
    struct worker *worker = conn->worker;
    struct slice rest = conn->region;
    struct request_reader *reader = conn->reader;
    if (reader == NULL) {
        reader = &worker->reader;
        request_reader_reset(reader);
    }
    conn_prepare_reader(conn, reader, rest);
    bool is_fresh = conn->reader == NULL && reader->elsewhere == 0;
    while (rest.size > 0 && conn->state == CONN_OPEN && conn->holds == 0) {
        const size_t used = is_fresh ? dispatch_take_plain(conn, reader, rest) : 0;
        if (used > 0) {
            rest.data += used;
            rest.size -= used;
            continue;
        }
        enum status status = request_read(reader, rest);
        if (status == AGAIN) {
            break;
        }
        if (status != OK) {
            bool authenticated = conn->session.authenticated;
            worker_execute(worker); /* what came before is answered first */
            if (conn->state != CONN_OPEN || conn->holds != 0 || conn->parse_again) {
                conn->parse_again = true;
                return;
            }
            if (authenticated == conn->session.authenticated) {
                conn_refuse(conn, status, reader->error);
                return;
            }
            request_reader_reset(reader); /* AUTH was among it: other limits hold now */
            conn_prepare_reader(conn, reader, rest);
            is_fresh = reader->elsewhere == 0;
            continue;
        }
        dispatch_take(conn, reader, rest);
        rest.data += reader->used;
        rest.size -= reader->used;
        request_reader_reset(reader);
        dispatch_set_limits(conn, reader);
        is_fresh = true;
    }
    if (rest.size == 0) {
        conn_free_reader(conn);
    } else if (conn->reader == NULL && conn->state == CONN_OPEN) {
        /* Cut in two: the connection gets a reader of its own, which remembers how far it came. */
        conn->reader = malloc(sizeof(*conn->reader));
        if (conn->reader == NULL) {
            conn_close(conn);
            return;
        }
        request_reader_init(conn->reader);
        conn_prepare_reader(conn, conn->reader, rest);
        if (conn->holds == 0 && request_read(conn->reader, rest) != AGAIN) {
            conn_free_reader(conn); /* a hold came meanwhile; it is parsed again from the start */
        }
    }
}

static void conn_mark_taken(struct conn *conn)
{
    if (list_empty(&conn->in_taken)) {
        list_push_back(&conn->worker->taken, &conn->in_taken);
    }
}

/* Room for LIMIT_READ bytes that need not be kept. */
static char *conn_read_memory(const struct conn *conn)
{
    struct worker *worker = conn->worker;
    if (READ_MEMORY - worker->read_used < LIMIT_READ) {
        worker_run_batch(worker);
    }
    return worker->read_memory + worker->read_used;
}

/* Where the next bytes go: behind an unfinished request, so that a large body is read into place; else read memory. */
static char *conn_read_room(struct conn *conn, size_t *ret_room)
{
    if (conn->in.size == 0) {
        *ret_room = LIMIT_READ;
        return conn_read_memory(conn);
    }
    size_t room = LIMIT_READ;
    if (conn->reader != NULL || conn->native != NULL) {
        size_t missing = conn->native != NULL ? native_missing(conn)
                                              : request_missing(conn->reader, buf_slice(&conn->in));
        /* As much again as there is: soon enough of it to go on in an item (body.h). */
        const size_t most = conn->in.size < CONN_BODY_READ_MAX ? conn->in.size : CONN_BODY_READ_MAX;
        missing = missing < most ? missing : most;
        room = missing > room ? missing : room;
    }
    if (buf_reserve(&conn->in, room) != OK) {
        return NULL;
    }
    *ret_room = room;
    return conn->in.data + conn->in.size;
}

/* What recv says, and what became of the connection if it says no bytes. */
static bool conn_has_read(struct conn *conn, ssize_t got)
{
    if (got < 0) {
        if (errno != EAGAIN && errno != EWOULDBLOCK && errno != EINTR) {
            conn_close(conn);
        }
        return false;
    }
    if (got ==
        0) { /* it will send no more, so fill nothing in; what it asked for is still answered */
        conn_close_after_reply(conn);
        leases_end(conn);
        conn_watch(conn);
        return false;
    }
    metrics_add(conn->worker->metrics, M_BYTES_IN, (uint64_t)got);
    metrics_count(conn->worker->metrics, M_READS);
    conn->session.active_at_ms = conn->worker->now_ms;
    return true;
}

/* Closes it if it has sent more of a request than it may. */
static bool conn_close_long(struct conn *conn)
{
    if (conn->in.size + conn->body.got <= conn->worker->limits.query) {
        return false;
    }
    metrics_count(conn->worker->metrics, M_QUERY_CLOSED);
    log_write(&conn->worker->node->log, LOG_NOTICE, "client_query_limit",
              "client=%s id=%llu sent=%zu", conn->session.peer,
              (unsigned long long)conn->session.id, conn->in.size + conn->body.got);
    conn_close(conn);
    return true;
}

/* The rest of a value into its item, or to L2, and, if that is all of it, what comes behind it into `in`. Returns whether
 * there is something to parse. */
static bool conn_read_body(struct conn *conn)
{
    struct body *body = &conn->body;
    const size_t missing = body->size - body->got;
    const size_t most = body->item != NULL ? CONN_BODY_READ_MAX : LIMIT_READ;
    struct iovec parts[2] = {{.iov_base = body->item != NULL
                                              ? item_value_room(body->item) + body->got
                                              : conn_read_memory(conn),
                              .iov_len = missing < most ? missing : most}};
    struct msghdr message = {.msg_iov = parts, .msg_iovlen = 1};
    if (conn->state != CONN_OPEN) {
        return false;
    }
    if (missing <= most) {
        if (buf_reserve(&conn->in, LIMIT_READ) != OK) {
            conn_close(conn);
            return false;
        }
        parts[1] = (struct iovec){.iov_base = conn->in.data + conn->in.size, .iov_len = LIMIT_READ};
        message.msg_iovlen = 2;
    }
    const ssize_t got = conn->tls == NULL ? recvmsg(conn->fd, &message, MSG_DONTWAIT)
                                          : conn_tls_recv(conn, parts, message.msg_iovlen);
    if (!conn_has_read(conn, got)) {
        return false;
    }
    const size_t taken = (size_t)got < missing ? (size_t)got : missing;
    body->got += taken;
    conn->in.size += (size_t)got - taken;
    if (body->upload != NULL) {
        upload_take(body->upload, (struct slice){parts[0].iov_base, taken});
        conn_watch(conn); /* it may be held now */
    }
    return !conn_close_long(conn) && (size_t)got > taken;
}

static bool conn_read_requests(struct conn *conn)
{
    size_t room = 0;
    char *data = conn_read_room(conn, &room);
    if (data == NULL || conn->state != CONN_OPEN) {
        conn_close(conn);
        return false;
    }
    const ssize_t got =
        conn->tls == NULL
            ? recv(conn->fd, data, room, MSG_DONTWAIT)
            : conn_tls_recv(conn, &(struct iovec){.iov_base = data, .iov_len = room}, 1);
    if (!conn_has_read(conn, got)) {
        return false;
    }
    if (conn->in.size == 0) {
        conn->worker->read_used += (size_t)got;
        conn->region = (struct slice){data, (size_t)got};
    } else {
        conn->in.size += (size_t)got;
        conn->region = buf_slice(&conn->in);
        client_memory_note(conn); /* before it runs and is gone */
    }
    return conn->state != CONN_CLOSED;
}

void conn_on_read(struct conn *conn)
{
    CHECK_MAGIC(conn, CONN_MAGIC);
    if (!list_empty(&conn->in_taken) || conn->state != CONN_OPEN || conn->holds != 0) {
        return; /* the socket stays readable: next turn */
    }
    if (!list_empty(&conn->in_woken)) {
        return; /* what waits in `in` first: the end of the stream must not overtake it */
    }
    if (body_is_open(&conn->body)) {
        if (!conn_read_body(conn)) {
            return;
        }
        conn->region = buf_slice(&conn->in);
    } else if (!conn_read_requests(conn)) {
        return;
    }
    conn_mark_taken(conn);
    conn_take_calls(conn);
}

void conn_take_waiting(struct conn *conn)
{
    if (!list_empty(&conn->in_taken) || conn->state != CONN_OPEN || conn->holds != 0) {
        return; /* settle comes first and looks again */
    }
    conn->region = buf_slice(&conn->in);
    conn_mark_taken(conn);
    conn_take_calls(conn);
}

/* Keeps the unexecuted rest of what was read. */
static enum status conn_keep_rest(struct conn *conn)
{
    struct slice rest = conn->region;
    conn->region = (struct slice){0};
    if (conn->parse_again) { /* even if the hold is gone by now: an answer may have landed since */
        conn_free_reader(conn);
        conn->parse_again = false;
    }
    const size_t before = conn->in.size;
    const size_t elsewhere = conn->state == CONN_OPEN && rest.size > 0 ? body_begin(conn, rest) : 0;
    rest.size -= elsewhere;
    conn->in.size -= conn->in.size > 0 ? elsewhere : 0;
    enum status status = OK;
    if (conn->in.size == 0) {
        status = rest.size == 0 ? OK : buf_append_slice(&conn->in, rest);
    } else {
        buf_consume(&conn->in, conn->in.size - rest.size);
        if (conn->in.size == 0 && conn->in.capacity > 0) {
            buf_done(&conn->in); /* idle connections hold no memory */
        }
    }
    if (conn->native != NULL) {
        native_on_settled(conn, before > conn->in.size ? before - conn->in.size : 0);
    }
    return status;
}

void conn_settle(struct conn *conn)
{
    list_remove(&conn->in_taken);
    if (conn->state == CONN_CLOSED) {
        return;
    }
    if (conn_keep_rest(conn) != OK) {
        conn_close(conn);
        return;
    }
    if (conn_close_long(conn)) {
        return;
    }
    if (conn->tls != NULL && conn->holds == 0 && list_empty(&conn->in_woken) &&
        tls_is_ended(conn->tls)) {
        conn_close_after_reply(conn); /* it said so; the socket itself may stay open */
    }
    conn_watch(conn);
    client_memory_note(conn);
}
