/* SPDX-License-Identifier: BSD-3-Clause */
#include "server/conn.h"

#include "protocol/check.h"
#include "server/auth.h"
#include "server/blocking.h"
#include "server/conn_tls.h"
#include "server/dispatch.h"
#include "server/monitor.h"
#include "server/node.h"
#include "server/pubsub.h"
#include "server/read_scripts.h"
#include "server/tracking_client.h"
#include "server/transaction.h"
#include "server/worker.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <unistd.h>

enum {
    CONN_MAGIC = 0xc0441e01,
    CONN_BODY_READ_MAX = 1024 * 1024,
    CONN_IN_KEEP = 32 * 1024,
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

static void conn_watch(struct conn *conn);

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

static void conn_free_reader(struct conn *conn)
{
    if (conn->reader != NULL) {
        request_reader_done(conn->reader);
        free(conn->reader);
        conn->reader = NULL;
    }
}

static void conn_on_closed(uv_handle_t *handle)
{
    struct conn *conn = handle->data;
    conn_free_reader(conn);
    body_end(conn);
    tls_stream_free(conn->tls);
    buf_done(&conn->in);
    asked_clear(&conn->asked);
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
    map_remove(&worker->conns_by_id, &conn->by_id);
    tracking_client_end(conn);
    list_remove(&conn->in_dirty);
    list_remove(&conn->in_woken);
    /* in_taken stays: the batch may still hold its requests; settle skips what is closed. */
    while (!list_empty(&conn->answers)) {
        struct answer *answer = LIST_ENTRY(conn->answers.next, struct answer, link);
        list_remove(&answer->link);
        answer->conn = NULL;
        if (answer->landed) {
            answer_free(answer);
        } else {
            out_done(&answer->reply.out); /* it may be kept for long */
        }
    }
    if (conn->blocking != NULL) {
        blocking_leave(conn->blocking);
    }
    conn_unhold(conn, HOLD_PAUSE);
    transaction_orphan(conn);
    out_done(&conn->reply.out);
    if (conn->tls != NULL) {
        conn_tls_close(conn);
    }
    monitor_end(conn);
    pubsub_forget(conn);
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

/* --- reading --------------------------------------------------------------------------------------------------------- */

/* Asks the poll handle for what the connection needs now, if that changed. */
static void conn_watch(struct conn *conn)
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
        conn->function_is = FUNCTION_UNKNOWN;
    }
    conn->holds = holds;
}

void conn_hold(struct conn *conn, enum conn_hold why)
{
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

/* The protocol was broken: say so after the answers that are due, then close. */
static void conn_refuse(struct conn *conn, enum status status, const char *error)
{
    metrics_count(conn->worker->metrics, M_PROTOCOL_ERRORS);
    if (status != MALFORMED) {
        conn_close(conn);
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
    if (conn->body.item != NULL && rest.data == conn->region.data) {
        request_elsewhere(reader, conn->body.arg);
    }
}

/* Parses the unexecuted region into the batch. */
static void conn_take_calls(struct conn *conn)
{
    struct worker *worker = conn->worker;
    struct slice rest = conn->region;
    struct request_reader *reader = conn->reader;
    if (reader == NULL) {
        reader = &worker->reader;
        request_reader_reset(reader);
    }
    conn_prepare_reader(conn, reader, rest);
    while (rest.size > 0 && conn->state == CONN_OPEN && conn->holds == 0) {
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
            continue;
        }
        dispatch_take(conn, reader, rest);
        rest.data += reader->used;
        rest.size -= reader->used;
        request_reader_reset(reader);
        dispatch_set_limits(conn, reader);
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

/* Where the next bytes go: behind an unfinished request, so that a large body is read into place; else read memory. */
static char *conn_read_room(struct conn *conn, size_t *ret_room)
{
    struct worker *worker = conn->worker;
    if (conn->in.size == 0) {
        if (READ_MEMORY - worker->read_used < LIMIT_READ) {
            worker_run_batch(worker);
        }
        *ret_room = LIMIT_READ;
        return worker->read_memory + worker->read_used;
    }
    size_t room = LIMIT_READ;
    if (conn->reader != NULL) {
        size_t missing = request_missing(conn->reader, buf_slice(&conn->in));
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
    if (got == 0) { /* it will send no more; what it asked for is still answered */
        conn_close_after_reply(conn);
        conn_watch(conn);
        return false;
    }
    metrics_add(conn->worker->metrics, M_BYTES_IN, (uint64_t)got);
    metrics_count(conn->worker->metrics, M_READS);
    conn->session.active_at_ms = conn->worker->now_ms;
    return true;
}

/* The rest of a value into its item, and, if that is all of it, what comes behind it into `in`. Returns whether there is
 * something to parse. */
static bool conn_read_body(struct conn *conn)
{
    struct body *body = &conn->body;
    const size_t missing = body->size - body->got;
    struct iovec parts[2] = {
        {.iov_base = item_value_room(body->item) + body->got,
         .iov_len = missing < CONN_BODY_READ_MAX ? missing : CONN_BODY_READ_MAX}};
    struct msghdr message = {.msg_iov = parts, .msg_iovlen = 1};
    if (missing <= CONN_BODY_READ_MAX) {
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
    return (size_t)got > taken;
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
    }
    return true;
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
    const size_t elsewhere = conn->state == CONN_OPEN && rest.size > 0 ? body_begin(conn, rest) : 0;
    rest.size -= elsewhere;
    conn->in.size -= conn->in.size > 0 ? elsewhere : 0;
    if (conn->in.size == 0) {
        return rest.size == 0 ? OK : buf_append_slice(&conn->in, rest);
    }
    buf_consume(&conn->in, conn->in.size - rest.size);
    if (conn->in.size == 0 && conn->in.capacity > 0) {
        buf_done(&conn->in); /* idle connections hold no memory */
    }
    return OK;
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
    if (conn->tls != NULL && conn->holds == 0 && list_empty(&conn->in_woken) &&
        tls_is_ended(conn->tls)) {
        conn_close_after_reply(conn); /* it said so; the socket itself may stay open */
    }
    conn_watch(conn);
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

void conn_on_arrival(struct conn *conn, struct answer *answer)
{
    const size_t before = conn_waiting_bytes(conn);
    answer->size = answer->reply.out.size;
    conn->coming--;
    conn->kept += answer->size;
    if (answer->began_ns != 0) {
        conn_learn_size(conn, answer->size);
    }
    if (answer->size > 0 && before > LIMIT_OUTPUT_CLOSE) {
        metrics_count(conn->worker->metrics, M_OUTPUT_CLOSED);
        conn_close(conn);
    }
}

static void conn_output_limits(struct conn *conn)
{
    const size_t unread = conn_unsent(conn);
    const size_t limit = conn_pause_limit(conn);
    const size_t high = conn->listens ? LIMIT_PUSH_HIGH : LIMIT_OUTPUT_PAUSE;
    if (unread > high) {
        if (conn->output_high_since_ms == 0) {
            conn->output_high_since_ms = conn->worker->now_ms;
        }
    } else if (unread < high / 2) {
        conn->output_high_since_ms = 0;
    }
    if (unread > limit) {
        conn_hold(conn, HOLD_OUTPUT);
    } else if ((conn->holds & HOLD_OUTPUT) != 0 && conn_expected_bytes(conn) < limit / 2) {
        conn_unhold(conn, HOLD_OUTPUT);
    }
}

void conn_after_call(struct conn *conn)
{
    if (conn->reply.out.size > LIMIT_OUTPUT_PRESSED) {
        conn_output_limits(conn);
    }
    worker_mark_dirty(conn->worker, conn);
}

/* Moves landed answers into the output, in order. */
static void conn_collect(struct conn *conn)
{
    while (!list_empty(&conn->answers)) {
        struct answer *answer = LIST_ENTRY(conn->answers.next, struct answer, link);
        if (!answer->landed) {
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
        size_t before = conn->reply.out.size;
        enum status status = conn->tls == NULL ? out_send(&conn->reply.out, conn->fd, limit)
                                               : conn_tls_send(conn, limit);
        if (status == CLOSE) {
            conn_close(conn);
            return;
        }
        conn->send_blocked = status == AGAIN;
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
}

/* --- housekeeping ----------------------------------------------------------------------------------------------------- */

void conn_tick(struct conn *conn, int64_t now_ms)
{
    int64_t timeout_ms = atomic_load(&conn->worker->node->live.timeout_ms);
    bool waits_for_us = conn->answer_count > 0 || (conn->holds & (HOLD_PAUSE | HOLD_PUBSUB)) != 0;
    if (timeout_ms > 0 && !waits_for_us && !conn->listens &&
        now_ms - conn->session.active_at_ms > timeout_ms) {
        conn_close(conn);
        return;
    }
    if (conn->tls != NULL && conn_tls_is_late(conn, now_ms)) {
        conn_close(conn);
        return;
    }
    const bool is_high_for_long = conn->output_high_since_ms != 0 &&
                                  now_ms - conn->output_high_since_ms > LIMIT_OUTPUT_PAUSE_MS;
    const bool reads_nothing = conn_unsent(conn) > conn_pause_limit(conn) &&
                               now_ms - conn->session.active_at_ms > LIMIT_OUTPUT_PAUSE_MS;
    if (is_high_for_long || reads_nothing) {
        metrics_count(conn->worker->metrics, M_OUTPUT_CLOSED);
        conn_close(conn);
    }
}
