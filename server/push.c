/* SPDX-License-Identifier: BSD-3-Clause */
#include "server/push.h"

#include "server/conn.h"
#include "server/download.h"
#include "server/worker.h"

void push_lost(struct conn *conn)
{
    conn->reply.out.broken = true;
    worker_mark_dirty(conn->worker, conn);
}

/* With those that stand behind a large value. */
static size_t waiting_bytes(const struct conn *conn)
{
    const size_t aside = conn->download == NULL ? 0 : download_aside(conn->download)->size;
    return conn_waiting_bytes(conn) + aside;
}

/* Of one that does not live by pushes, those that it leaves unread are limited by themselves: it may have asked for large
 * answers, but not for these (CLIENT TRACKING). No more of them can wait than waits at all. */
static bool pushes_fit(struct conn *conn, size_t size)
{
    const size_t waiting = waiting_bytes(conn);
    conn->pushed = (conn->pushed < waiting ? conn->pushed : waiting) + size;
    return conn->listens || conn->pushed <= LIMIT_PUSH_CLOSE;
}

/* Whether it may take so much more; if not, it is closed when it is flushed. */
static bool push_fits(struct conn *conn, size_t size)
{
    const size_t most = conn->worker->limits.hard[conn->listens];
    const size_t limit = most < LIMIT_OUTPUT_CLOSE ? most : LIMIT_OUTPUT_CLOSE;
    if (pushes_fit(conn, size) && waiting_bytes(conn) + size <= limit) {
        return true;
    }
    metrics_count(conn->worker->metrics, M_OUTPUT_CLOSED);
    push_lost(conn);
    return false;
}

static void push_into(struct out *out, const struct conn *conn, struct slice bytes)
{
    const bool is_array = bytes.data[0] == '>' && conn->session.proto == 2;
    out_append(out, is_array ? "*" : bytes.data, 1);
    out_append(out, bytes.data + 1, bytes.size - 1);
}

/* Whether it may be written to at all. */
static bool push_begin(struct conn *conn, struct slice bytes)
{
    if (conn->state != CONN_OPEN || conn->reply.out.broken || bytes.size == 0) {
        return false;
    }
    worker_mark_dirty(conn->worker, conn);
    return push_fits(conn, bytes.size);
}

void push_ahead(struct conn *conn, struct slice bytes)
{
    if (push_begin(conn, bytes)) {
        push_into(conn->download == NULL ? &conn->reply.out : download_aside(conn->download), conn,
                  bytes);
    }
}

void push_write(struct conn *conn, struct slice bytes)
{
    if (conn->answer_count == 0 || conn->blocking != NULL) { /* the one answer may be hours away */
        push_ahead(conn, bytes);
    } else if (push_begin(conn, bytes)) {
        struct out more;
        out_init(&more, &conn->worker->pool);
        push_into(&more, conn, bytes);
        answer_put(conn, &more);
    }
}
