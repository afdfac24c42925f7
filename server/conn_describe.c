/* SPDX-License-Identifier: BSD-3-Clause */
/* conn_describe.c -- a connection as a line of CLIENT LIST, field by field as Redis 7.0 prints it. */
#include "server/conn.h"

#include <string.h>

enum status conn_describe(const struct conn *conn, int64_t now_ms, struct buf *line)
{
    const struct session *session = &conn->session;
    size_t waiting = conn_waiting_bytes(conn);
    char events[3] = {0};
    size_t n = 0;
    if ((conn->events & UV_READABLE) != 0) {
        events[n++] = 'r';
    }
    if ((conn->events & UV_WRITABLE) != 0) {
        events[n++] = 'w';
    }
    char flags[8] = {0};
    n = 0;
    if (conn->blocking != NULL) {
        flags[n++] = 'b';
    }
    if (strchr(session->local, '/') != NULL) {
        flags[n++] = 'U';
    }
    if (session->no_evict) {
        flags[n++] = 'e';
    }
    if (n == 0) {
        flags[n] = 'N';
    }
    size_t queued = conn->in.capacity - conn->in.size;
    return buf_printf(
        line,
        "id=%llu addr=%s laddr=%s fd=%d name=%.*s age=%lld idle=%lld flags=%s db=%u sub=0 psub=0 ssub=0 multi=-1 "
        "qbuf=%zu qbuf-free=%zu argv-mem=0 multi-mem=0 rbs=0 rbp=0 obl=0 oll=%u omem=%zu tot-mem=%zu events=%s cmd=%s "
        "user=default redir=-1 resp=%u",
        (unsigned long long)session->id, session->peer, session->local, conn->fd,
        (int)session->name.size, session->name.size == 0 ? "" : session->name.data,
        (long long)(now_ms - session->created_at_ms) / 1000,
        (long long)(now_ms - session->active_at_ms) / 1000, flags, session->db,
        conn->in.size + conn->body.got, queued, conn->answer_count, waiting,
        sizeof(*conn) + conn->in.capacity + conn->body.size + waiting, events,
        session->last_command == NULL ? "NULL" : session->last_command->full_name, session->proto);
}
