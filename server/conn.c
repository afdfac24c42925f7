/* SPDX-License-Identifier: BSD-3-Clause */
#include "server/conn.h"

#include "protocol/check.h"
#include "server/auth.h"
#include "server/blocking.h"
#include "server/client_memory.h"
#include "server/conn_inner.h"
#include "server/conn_tls.h"
#include "server/download.h"
#include "server/leases.h"
#include "server/monitor.h"
#include "server/native.h"
#include "server/node.h"
#include "server/pubsub.h"
#include "server/tracking_client.h"
#include "server/transaction.h"
#include "server/worker.h"

#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <unistd.h>

enum {
    CONN_LIKELY_SHARE = 16
};

/* --- opening and closing -------------------------------------------------------------------------------------------- */

static void address_format(const struct sockaddr_storage *address, char *dst, size_t size)
{
    char host[INET6_ADDRSTRLEN] = "";
    if (address->ss_family == AF_INET) {
        const struct sockaddr_in *in = (const struct sockaddr_in *)(const void *)address;
        (void)inet_ntop(AF_INET, &in->sin_addr, host, sizeof(host));
        (void)snprintf(dst, size, "%s:%u", host, ntohs(in->sin_port));
    } else if (address->ss_family == AF_INET6) {
        const struct sockaddr_in6 *in6 = (const struct sockaddr_in6 *)(const void *)address;
        (void)inet_ntop(AF_INET6, &in6->sin6_addr, host, sizeof(host));
        (void)snprintf(dst, size, "[%s]:%u", host, ntohs(in6->sin6_port));
    } else {
        const struct sockaddr_un *un = (const struct sockaddr_un *)(const void *)address;
        (void)snprintf(dst, size, "%.107s:0", un->sun_path);
    }
}

static void conn_name_ends(struct conn *conn)
{
    struct sockaddr_storage address = {0};
    socklen_t size = sizeof(address);
    (void)getsockname(conn->fd, (struct sockaddr *)&address, &size);
    address_format(&address, conn->session.local, sizeof(conn->session.local));
    if (address.ss_family ==
        AF_UNIX) { /* a Unix client has no name: Redis shows the server's path */
        (void)snprintf(conn->session.peer, sizeof(conn->session.peer), "%s", conn->session.local);
        return;
    }
    size = sizeof(address);
    (void)getpeername(conn->fd, (struct sockaddr *)&address, &size);
    address_format(&address, conn->session.peer, sizeof(conn->session.peer));
}

static void conn_set_socket(struct conn *conn)
{
    int one = 1;
    (void)setsockopt(conn->fd, IPPROTO_TCP, TCP_NODELAY, &one,
                     sizeof(one)); /* fails on a Unix socket: no matter */
    int idle_s = (int)atomic_load(&conn->worker->node->live.tcp_keepalive_s);
    if (idle_s > 0) {
        int interval_s = idle_s / 3 > 0 ? idle_s / 3 : 1;
        int count = 3;
        (void)setsockopt(conn->fd, SOL_SOCKET, SO_KEEPALIVE, &one, sizeof(one));
        (void)setsockopt(conn->fd, IPPROTO_TCP, TCP_KEEPIDLE, &idle_s, sizeof(idle_s));
        (void)setsockopt(conn->fd, IPPROTO_TCP, TCP_KEEPINTVL, &interval_s, sizeof(interval_s));
        (void)setsockopt(conn->fd, IPPROTO_TCP, TCP_KEEPCNT, &count, sizeof(count));
    }
}

static void conn_on_poll(uv_poll_t *poll, int status, int events)
{
    struct conn *conn = poll->data;
    if (status <
        0) { /* the socket has an error: a reset is seen at once, whatever else the connection waits for */
        conn_close(conn);
        return;
    }
    if ((events & UV_DISCONNECT) != 0 && conn->blocking != NULL) {
        blocking_hang_up(conn->blocking);
        if (conn->state != CONN_CLOSED) {
            conn_watch(conn);
        }
        return;
    }
    if (events & UV_WRITABLE) {
        worker_mark_dirty(conn->worker, conn);
    }
    if (events & UV_READABLE) {
        conn_on_read(conn);
    }
}

struct conn *conn_open(struct worker *worker, int fd, uint64_t id, struct tls_stream *tls)
{
    struct conn *conn = calloc(1, sizeof(*conn));
    if (conn == NULL || map_add(&worker->conns_by_id, &conn->by_id, id) != OK) {
        free(conn);
        (void)close(fd);
        return NULL;
    }
    if (uv_poll_init(&worker->loop, &conn->poll, fd) != 0) {
        map_remove(&worker->conns_by_id, &conn->by_id);
        free(conn);
        (void)close(fd);
        return NULL;
    }
    conn->magic = CONN_MAGIC;
    conn->worker = worker;
    conn->fd = fd;
    conn->tls = tls;
    conn->poll.data = conn;
    conn->session.id = id;
    conn->session.created_at_ms = worker->now_ms;
    conn->session.active_at_ms = worker->now_ms;
    list_init(&conn->in_dirty);
    list_init(&conn->in_taken);
    list_init(&conn->in_woken);
    list_init(&conn->answers);
    out_init(&conn->reply.out, &worker->pool);
    conn->reply.worker = worker;
    conn->likely = LIMIT_ANSWER_GUESS;
    auth_catch_up(worker);
    conn_reset_session(conn);
    conn_set_socket(conn);
    conn_name_ends(conn);
    list_push_back(&worker->conns, &conn->in_worker);
    conn_watch(conn);
    return conn;
}

struct conn *conn_find(const struct worker *worker, uint64_t id)
{
    struct map_node *node = map_find(&worker->conns_by_id, id); /* an id is its own hash */
    return node == NULL ? NULL : MAP_ENTRY(node, struct conn, by_id);
}

static void conn_on_closed(uv_handle_t *handle)
{
    struct conn *conn = handle->data;
    conn_free_reader(conn);
    body_end(conn);
    tls_stream_free(conn->tls);
    buf_done(&conn->in);
    asked_clear(&conn->asked);
    native_free(conn);
    buf_done(&conn->session.name);
    buf_done(&conn->session.lib_name);
    buf_done(&conn->session.lib_ver);
    conn->magic = 0;
    free(conn);
}

void conn_close(struct conn *conn)
{
    CHECK_MAGIC(conn, CONN_MAGIC);
    if (conn->state == CONN_CLOSED) {
        return;
    }
    conn->state = CONN_CLOSED;
    conn_unhold(conn, HOLD_PAUSE);
    struct worker *worker = conn->worker;
    list_remove(&conn->in_worker);
    client_memory_forget(conn);
    map_remove(&worker->conns_by_id, &conn->by_id);
    tracking_client_end(conn);
    list_remove(&conn->in_dirty);
    list_remove(&conn->in_woken);
    /* in_taken stays: the batch may still hold its requests; settle skips what is closed. */
    while (!list_empty(&conn->answers)) {
        struct answer *answer = LIST_ENTRY(conn->answers.next, struct answer, link);
        list_remove(&answer->link);
        answer->conn = NULL;
        if (conn->native != NULL) {
            native_forget(answer);
        }
        if (answer->download != NULL) {
            download_leave(answer->download);
        } else if (answer->landed) {
            answer_free(answer);
        } else {
            out_done(&answer->reply.out); /* it may be kept for long */
        }
    }
    conn->download = NULL;
    body_leave(conn);
    if (conn->blocking != NULL) {
        blocking_leave(conn->blocking);
    }
    conn_unhold(conn, HOLD_PAUSE);
    transaction_orphan(conn);
    leases_end(conn);
    out_done(&conn->reply.out);
    if (conn->tls != NULL) {
        conn_tls_close(conn);
    }
    monitor_end(conn);
    pubsub_forget(conn);
    native_end(conn);
    uv_close((uv_handle_t *)&conn->poll,
             conn_on_closed); /* before close: libuv still names the descriptor to epoll */
    (void)close(conn->fd);
    atomic_fetch_sub(&worker->load, 1);
    atomic_fetch_sub(&worker->node->conns_open, 1);
}

void conn_close_after_reply(struct conn *conn)
{
    if (conn->state == CONN_OPEN) {
        conn->state = CONN_FLUSHING;
        worker_mark_dirty(conn->worker, conn);
    }
}

void conn_pass_skip(struct conn *conn)
{
    struct session *session = &conn->session;
    if (session->reply_mode == REPLY_SKIP) {
        session->reply_mode = REPLY_ON;
    } else if (session->reply_mode == REPLY_SKIP_NEXT) {
        session->reply_mode = REPLY_SKIP;
    }
}

void conn_reset_session(struct conn *conn)
{
    struct session *session = &conn->session;
    transaction_end(conn);
    session->db = 0;
    session->proto = 2;
    auth_begin(conn);
    session->no_evict = false;
    session->reply_mode = REPLY_ON;
    session->name.size = 0;
    monitor_end(conn);
    pubsub_forget(conn);
    tracking_client_end(conn);
    conn->reply.proto = 2;
}

/* --- holding --------------------------------------------------------------------------------------------------------- */

void conn_watch(struct conn *conn)
{
    int events = 0;
    if (conn->state == CONN_OPEN && conn->holds == 0) {
        events |= UV_READABLE;
    }
    if (conn->blocking != NULL && !blocking_is_leaving(conn->blocking)) {
        events |= UV_DISCONNECT;
    }
    if (conn->send_blocked) {
        events |= UV_WRITABLE;
    }
    if (events == conn->events) {
        return;
    }
    conn->events = events;
    if (events == 0) {
        (void)uv_poll_stop(&conn->poll);
    } else if (uv_poll_start(&conn->poll, events, conn_on_poll) != 0) {
        conn_close(conn);
    }
}

/* Redis calls those that a pause holds blocked, too. */
static void conn_set_holds(struct conn *conn, unsigned holds)
{
    const bool was_paused = (conn->holds & HOLD_PAUSE) != 0;
    const bool is_paused = (holds & HOLD_PAUSE) != 0;
    if (is_paused && !was_paused) {
        atomic_fetch_add(&conn->worker->node->conns_blocked, 1);
    } else if (was_paused && !is_paused) {
        atomic_fetch_sub(&conn->worker->node->conns_blocked, 1);
    }
    conn->holds = holds;
}

void conn_hold(struct conn *conn, enum conn_hold why)
{
    if (conn->native != NULL && (why & (HOLD_ORDER | HOLD_ALONE)) != 0) {
        return; /* of its requests none waits for another */
    }
    conn_set_holds(conn, conn->holds | (unsigned)why);
}

void conn_unhold(struct conn *conn, enum conn_hold why)
{
    if (conn->holds == 0) {
        return;
    }
    conn_set_holds(conn, conn->holds & ~(unsigned)why);
    if (conn->holds == 0 && conn->state == CONN_OPEN) {
        worker_mark_woken(conn->worker, conn);
    }
}

/* --- answering ------------------------------------------------------------------------------------------------------- */

size_t conn_waiting_bytes(const struct conn *conn)
{
    return conn_unsent(conn) + conn->kept;
}

static size_t conn_expected_bytes(const struct conn *conn)
{
    return conn_waiting_bytes(conn) + conn->coming * conn->likely;
}

static size_t conn_pause_limit(const struct conn *conn)
{
    return worker_is_pressed(conn->worker) ? LIMIT_OUTPUT_PRESSED : LIMIT_OUTPUT_PAUSE;
}

bool conn_is_full(const struct conn *conn)
{
    return conn_expected_bytes(conn) >= conn_pause_limit(conn);
}

/* A large answer counts at once, a small one by a sixteenth: after some forty of them the first guess is forgotten. */
static void conn_learn_size(struct conn *conn, size_t size)
{
    if (size >= conn->likely) {
        conn->likely = size;
    } else {
        conn->likely -= (conn->likely - size) / CONN_LIKELY_SHARE;
    }
}

/* More waits for its client than may. */
static void conn_close_full(struct conn *conn)
{
    metrics_count(conn->worker->metrics, M_OUTPUT_CLOSED);
    log_write(&conn->worker->node->log, LOG_NOTICE, "client_output_limit",
              "client=%s id=%llu unread=%zu", conn->session.peer,
              (unsigned long long)conn->session.id, conn_waiting_bytes(conn));
    conn_close(conn);
}

void conn_on_arrival(struct conn *conn, struct answer *answer)
{
    const size_t before = conn_waiting_bytes(conn);
    answer->size = answer->reply.out.size;
    conn->coming--;
    conn->kept += answer->size;
    if (answer->began_ns != 0) {
        conn_learn_size(conn, answer->size);
    }
    if (answer->size > 0 && (before > LIMIT_OUTPUT_CLOSE ||
                             before + answer->size > conn->worker->limits.hard[conn->listens])) {
        conn_close_full(conn);
    }
}

static bool conn_is_high_for_long(const struct conn *conn, int64_t now_ms)
{
    return conn->output_high_since_ms != 0 &&
           now_ms - conn->output_high_since_ms > conn->worker->limits.soft_ms[conn->listens];
}

static bool conn_is_too_full(const struct conn *conn)
{
    const struct worker_limits *limits = &conn->worker->limits;
    return conn_unsent(conn) > limits->look &&
           (conn_waiting_bytes(conn) > limits->hard[conn->listens] ||
            conn_is_high_for_long(conn, conn->worker->now_ms));
}

static void conn_output_limits(struct conn *conn)
{
    const struct worker_limits *limits = &conn->worker->limits;
    const size_t unread = conn_unsent(conn);
    const size_t limit = conn_pause_limit(conn);
    if (unread > limits->soft[conn->listens]) {
        if (conn->output_high_since_ms == 0) {
            conn->output_high_since_ms = conn->worker->now_ms;
        }
    } else if (unread <= limits->low[conn->listens]) {
        conn->output_high_since_ms = 0;
    }
    if (conn->download != NULL) {
        download_on_sent(conn->download);
    }
    if (unread > limit) {
        conn_hold(conn, HOLD_OUTPUT);
    } else if ((conn->holds & HOLD_OUTPUT) != 0 && conn_expected_bytes(conn) < limit / 2) {
        conn_unhold(conn, HOLD_OUTPUT);
    }
}

void conn_after_call(struct conn *conn)
{
    if (conn->reply.out.size > conn->worker->limits.look) {
        conn_output_limits(conn);
        if (conn_is_too_full(conn)) {
            conn_close_full(conn);
        }
    }
    worker_mark_dirty(conn->worker, conn);
}

/* Moves landed answers into the output, in order. */
static void conn_collect(struct conn *conn)
{
    while (!list_empty(&conn->answers)) {
        struct answer *answer = LIST_ENTRY(conn->answers.next, struct answer, link);
        if (!answer->landed) {
            if (answer->download != NULL) {
                download_turn(answer->download);
            }
            break;
        }
        list_remove(&answer->link);
        conn->answer_count--;
        conn->kept -= answer->size;
        if (!answer->silent) {
            out_move(&conn->reply.out, &answer->reply.out);
        }
        answer_free(answer);
    }
}

void conn_advance(struct conn *conn)
{
    conn_collect(conn);
    if (conn->answer_count < LIMIT_CALLS / 2) {
        conn_unhold(conn, HOLD_QUEUE);
    }
    conn_unhold(conn, HOLD_ORDER); /* the next call is tried again, and held again if it must */
    conn_output_limits(conn);
    worker_mark_dirty(conn->worker, conn);
}

void conn_flush(struct conn *conn, size_t limit)
{
    CHECK_MAGIC(conn, CONN_MAGIC);
    if (conn_unsent(conn) > 0) {
        if (conn_is_too_full(conn)) {
            conn_close_full(conn);
            return;
        }
        size_t before = conn->reply.out.size;
        enum status status = conn->tls == NULL ? out_send(&conn->reply.out, conn->fd, limit)
                                               : conn_tls_send(conn, limit);
        if (status == CLOSE) {
            conn_close(conn);
            return;
        }
        conn->send_blocked = status == AGAIN;
        if (conn->send_blocked && !conn->session.authenticated &&
            conn_unsent(conn) > LIMIT_UNAUTH_OUTPUT) {
            conn_close_full(conn);
            return;
        }
        if (status == PENDING) {
            worker_mark_unsent(conn->worker, conn);
        }
        metrics_add(conn->worker->metrics, M_BYTES_OUT, before - conn->reply.out.size);
        metrics_count(conn->worker->metrics, M_WRITES);
        if (conn->reply.out.size < before) {
            conn->session.active_at_ms = conn->worker->now_ms;
        }
        conn_output_limits(conn);
    }
    if (conn->reply.out.broken) {
        conn_close(conn);
        return;
    }
    if (conn->state == CONN_FLUSHING && conn->reply.out.size == 0 && list_empty(&conn->answers)) {
        if (conn->tls == NULL || conn_tls_leave(conn)) {
            conn_close(conn);
            return;
        }
        conn->send_blocked = true;
    }
    conn_watch(conn);
    client_memory_note(conn);
}

/* --- housekeeping ----------------------------------------------------------------------------------------------------- */

void conn_tick(struct conn *conn, int64_t now_ms)
{
    int64_t timeout_ms = atomic_load(&conn->worker->node->live.timeout_ms);
    bool waits_for_us =
        conn->answer_count > 0 || (conn->holds & (HOLD_PAUSE | HOLD_PUBSUB | HOLD_UPLOAD)) != 0;
    if (timeout_ms > 0 && !waits_for_us && !conn->listens &&
        now_ms - conn->session.active_at_ms > timeout_ms) {
        conn_close(conn);
        return;
    }
    if (conn->tls != NULL && conn_tls_is_late(conn, now_ms)) {
        conn_close(conn);
        return;
    }
    if (conn->body.upload != NULL && !waits_for_us &&
        now_ms - conn->session.active_at_ms > LIMIT_OUTPUT_PAUSE_MS) {
        conn_close(conn);
        return;
    }
    if (conn->download != NULL) {
        download_on_sent(conn->download); /* more may wait by now */
    }
    const size_t much = conn->download != NULL ? 0 : conn_pause_limit(conn);
    const bool reads_nothing =
        conn_unsent(conn) > much && now_ms - conn->session.active_at_ms > LIMIT_OUTPUT_PAUSE_MS;
    if (reads_nothing || conn_is_high_for_long(conn, now_ms)) {
        conn_close_full(conn);
    }
}
