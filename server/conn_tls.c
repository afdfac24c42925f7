/* SPDX-License-Identifier: BSD-3-Clause */
#include "server/conn_tls.h"

#include "server/node.h"
#include "server/worker.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>

enum {
    CIPHERTEXT =
        LIMIT_READ - TLS_RECORD, /* with a record that was cut in two: LIMIT_READ at most */
};

struct tls_stream *conn_tls_accept(struct worker *worker)
{
    struct tls_stream *stream = NULL;
    if (worker->handshakes < LIMIT_HANDSHAKES) {
        stream = tls_place_stream(&worker->node->tls, NULL);
    }
    if (stream == NULL) {
        metrics_count(worker->metrics, M_TLS_REFUSED);
        return NULL;
    }
    worker->handshakes++;
    atomic_fetch_add(&worker->node->tls_open, 1);
    return stream;
}

void conn_tls_give_up(struct worker *worker, struct tls_stream *stream)
{
    if (stream != NULL) {
        worker->handshakes--;
        atomic_fetch_sub(&worker->node->tls_open, 1);
        tls_stream_free(stream);
    }
}

/* --- reading -------------------------------------------------------------------------------------------------------- */

static void tls_note_ready(struct conn *conn)
{
    struct worker *worker = conn->worker;
    struct tls_facts facts;
    worker->handshakes--;
    metrics_count(worker->metrics, M_TLS_HANDSHAKES);
    if (atomic_load_explicit(&worker->node->log.level, memory_order_relaxed) <= LOG_VERBOSE) {
        tls_describe(conn->tls, &facts);
        log_write(&worker->node->log, LOG_VERBOSE, "tls_client",
                  "client=%s version=%s cipher=%s certificate=%s", conn->session.peer,
                  facts.version, facts.cipher, facts.peer[0] != '\0' ? facts.peer : "none");
    }
}

static void tls_note_broken(const struct conn *conn)
{
    log_write(&conn->worker->node->log, LOG_VERBOSE, "tls_broken", "client=%s: %s",
              conn->session.peer, tls_error(conn->tls));
}

/* Room in several pieces. */
struct tls_room {
    const struct iovec *part;
    const struct iovec *end;
    size_t used; /* of *part */
    size_t got;  /* in all */
};

static size_t room_left(const struct tls_room *room)
{
    size_t left = 0;
    for (const struct iovec *part = room->part; part < room->end; part++) {
        left += part->iov_len;
    }
    return left - room->used;
}

/* All plaintext that can be had of what was fed. AGAIN, CLOSE, MALFORMED. */
static enum status tls_drain(struct tls_stream *stream, struct tls_room *room)
{
    enum status status = OK;
    while (status == OK) {
        while (room->part < room->end - 1 && room->used == room->part->iov_len) {
            room->part++;
            room->used = 0;
        }
        size_t got = 0;
        status = tls_read(stream, (char *)room->part->iov_base + room->used,
                          room->part->iov_len - room->used, &got);
        room->used += got;
        room->got += got;
    }
    return status;
}

static ssize_t no_bytes(int error)
{
    errno = error;
    return -1;
}

ssize_t conn_tls_recv(struct conn *conn, const struct iovec *parts, size_t count)
{
    char bytes[CIPHERTEXT];
    struct tls_room room = {.part = parts, .end = parts + count};
    const bool was_ready = tls_is_ready(conn->tls);
    enum status status = AGAIN;
    ssize_t got = 0;
    if (!was_ready && conn->worker->handshake_steps++ >= LIMIT_HANDSHAKE_STEPS) {
        return no_bytes(EAGAIN); /* the socket stays readable: next turn */
    }
    do {
        got = recv(conn->fd, bytes, sizeof(bytes), MSG_DONTWAIT);
        if (got <= 0) {
            break;
        }
        tls_feed(conn->tls, (struct slice){bytes, (size_t)got});
        status = tls_drain(conn->tls, &room);
    } while (status == AGAIN && (size_t)got == sizeof(bytes) && room_left(&room) >= LIMIT_READ);
    if (!was_ready && tls_is_ready(conn->tls)) {
        tls_note_ready(conn);
    }
    if (tls_waiting(conn->tls) > 0) {
        worker_mark_dirty(conn->worker, conn);
    }
    if (status == MALFORMED) {
        tls_note_broken(conn);
        return no_bytes(EPROTO);
    }
    if (room.got > 0) {
        return (ssize_t)room.got; /* the end, or an error, is met again at the next read */
    }
    if (status == CLOSE || got == 0) {
        return 0;
    }
    return got < 0 ? -1 : no_bytes(EAGAIN);
}

/* --- answering ------------------------------------------------------------------------------------------------------ */

/* Ciphertext to the socket. OK: none is left; AGAIN; CLOSE. */
static enum status tls_push(struct conn *conn)
{
    while (tls_waiting(conn->tls) > 0) {
        const struct slice output = tls_output(conn->tls);
        const ssize_t sent = send(conn->fd, output.data, output.size, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (sent < 0 && errno == EINTR) {
            continue;
        }
        if (sent < 0) {
            return errno == EAGAIN || errno == EWOULDBLOCK ? AGAIN : CLOSE;
        }
        tls_sent(conn->tls, (size_t)sent);
        conn->session.active_at_ms = conn->worker->now_ms;
    }
    return OK;
}

/* Answers into records, until enough waits. OK: there was no reason to stop but that, or MALFORMED. */
static enum status tls_fill(struct conn *conn, size_t *limit)
{
    char room[TLS_RECORD];
    struct out *out = &conn->reply.out;
    enum status status = OK;
    while (status == OK && out->size > 0 && *limit > 0) {
        const size_t most = *limit < sizeof(room) ? *limit : sizeof(room);
        size_t taken = 0;
        status = tls_write(conn->tls, out_peek(out, most, room), &taken);
        out_take(out, taken);
        *limit -= taken;
    }
    return status == MALFORMED ? MALFORMED : OK;
}

enum status conn_tls_send(struct conn *conn, size_t limit)
{
    for (;;) {
        const enum status pushed = tls_push(conn);
        if (pushed != OK) {
            return pushed;
        }
        if (conn->reply.out.size == 0 || !tls_is_ready(conn->tls)) {
            return OK;
        }
        if (limit == 0) {
            return PENDING;
        }
        if (tls_fill(conn, &limit) != OK) {
            tls_note_broken(conn);
            return CLOSE;
        }
        if (tls_waiting(conn->tls) == 0) { /* goodbye was said already */
            return CLOSE;
        }
    }
}

/* --- leaving -------------------------------------------------------------------------------------------------------- */

bool conn_tls_leave(struct conn *conn)
{
    tls_end(conn->tls);
    return tls_push(conn) != AGAIN;
}

void conn_tls_close(struct conn *conn)
{
    struct worker *worker = conn->worker;
    (void)conn_tls_leave(conn);
    if (!tls_is_ready(conn->tls)) {
        worker->handshakes--;
        metrics_count(worker->metrics, M_TLS_FAILED);
    }
    atomic_fetch_sub(&worker->node->tls_open, 1);
}

bool conn_tls_is_late(const struct conn *conn, int64_t now_ms)
{
    return !tls_is_ready(conn->tls) && now_ms - conn->session.created_at_ms > LIMIT_HANDSHAKE_MS;
}
