/* SPDX-License-Identifier: BSD-3-Clause */
/* conn_describe.c -- a connection as a line of CLIENT LIST, field by field as Redis 7.0 prints it. */
#include "server/acl_user.h"
#include "server/client_memory.h"
#include "server/conn.h"
#include "server/pubsub.h"
#include "server/tracking_client.h"
#include "server/transaction.h"

#include <string.h>

enum {
    FLAGS_MAX = 16
};

static void add_flag(char flags[FLAGS_MAX], bool is, char flag)
{
    const size_t size = strlen(flags);
    if (is) {
        flags[size] = flag;
        flags[size + 1] = '\0';
    }
}

/* In Redis' order. */
static void conn_flags(const struct conn *conn, int64_t now_ms, char flags[FLAGS_MAX])
{
    const struct tracking_client *tracking = conn->session.tracking;
    const unsigned tracks = tracking == NULL ? 0 : tracking->flags;
    flags[0] = '\0';
    add_flag(flags, conn->monitor != NULL, 'O');
    add_flag(flags, pubsub_is_subscribed(conn), 'P');
    add_flag(flags, transaction_is_open(conn->transaction), 'x');
    add_flag(flags, conn->blocking != NULL || (conn->holds & HOLD_PAUSE) != 0, 'b');
    add_flag(flags, tracking != NULL, 't');
    add_flag(flags, (tracks & TRACKING_BROKEN) != 0, 'R');
    add_flag(flags, (tracks & TRACKING_BCAST) != 0, 'B');
    add_flag(flags, transaction_fails(conn->transaction, now_ms), 'd');
    add_flag(flags, conn->state == CONN_FLUSHING, 'c');
    add_flag(flags, strchr(conn->session.local, '/') != NULL, 'U');
    add_flag(flags, conn->session.no_evict, 'e');
    add_flag(flags, flags[0] == '\0', 'N');
}

enum status conn_describe(const struct conn *conn, const struct call *asking, int64_t now_ms,
                          struct buf *line)
{
    const bool asks = asking != NULL && asking->conn == conn;
    const struct session *session = &conn->session;
    size_t waiting = conn_waiting_bytes(conn);
    char events[3] = {0};
    size_t n = 0;
    if (asks || (conn->events & UV_READABLE) != 0) {
        events[n++] = 'r';
    }
    if ((conn->events & UV_WRITABLE) != 0) {
        events[n++] = 'w';
    }
    char flags[FLAGS_MAX];
    conn_flags(conn, now_ms, flags);
    const struct transaction *transaction = conn->transaction;
    const int queue = transaction_is_open(transaction) ? (int)transaction->count : -1;
    const size_t queue_bytes = transaction != NULL ? transaction->bytes : 0;
    size_t queued = conn->in.capacity - conn->in.size;
    return buf_printf(
        line,
        "id=%llu addr=%s laddr=%s fd=%d name=%.*s age=%lld idle=%lld flags=%s db=%u sub=%u psub=%u ssub=%u multi=%d "
        "qbuf=%zu qbuf-free=%zu argv-mem=0 multi-mem=%zu rbs=0 rbp=0 obl=0 oll=%u omem=%zu tot-mem=%zu events=%s cmd=%s "
        "user=%.*s redir=%lld resp=%u",
        (unsigned long long)session->id, session->peer, session->local, conn->fd,
        (int)session->name.size, session->name.size == 0 ? "" : session->name.data,
        (long long)(now_ms - session->created_at_ms) / 1000,
        (long long)(now_ms - session->active_at_ms) / 1000, flags, session->db,
        pubsub_count(conn, CHANNEL_NAMED), pubsub_count(conn, CHANNEL_PATTERN),
        pubsub_count(conn, CHANNEL_SHARD), queue,
        conn->in.size + (conn->body.item != NULL ? conn->body.got : 0) +
            (asks ? asking->raw.size : 0),
        queued, queue_bytes, asks && asking->deferred ? conn->answer_count - 1 : conn->answer_count,
        waiting, client_memory_of(conn), events,
        session->last_command == NULL ? "NULL" : session->last_command,
        (int)session->user->name.size, session->user->name.data,
        session->tracking == NULL ? -1 : (long long)session->tracking->redirect, session->proto);
}
