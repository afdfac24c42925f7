/* SPDX-License-Identifier: BSD-3-Clause */
#include "server/monitor.h"

#include "server/commands.h"
#include "server/conn.h"
#include "server/node.h"
#include "server/pubsub.h"
#include "server/push.h"
#include "server/slowlog.h"
#include "server/worker.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

struct monitor {
    struct list link; /* in worker->monitor.monitors */
    struct conn *conn;
};

void monitor_desk_open(struct monitor_desk *desk)
{
    list_init(&desk->monitors);
}

void monitor_desk_close(struct monitor_desk *desk)
{
    buf_done(&desk->lines);
}

/* --- who watches ------------------------------------------------------------------------------------------------------- */

void cmd_monitor(struct call *call)
{
    struct conn *conn = call->conn;
    if (call->execution != NULL) {
        reply_error(call->reply, "ERR MONITOR isn't allowed for DENY BLOCKING client");
        return;
    }
    if (conn->monitor != NULL) {
        return; /* as Redis: no answer at all */
    }
    conn->monitor = malloc(sizeof(*conn->monitor));
    if (conn->monitor == NULL) {
        reply_out_of_memory(call->reply);
        return;
    }
    conn->monitor->conn = conn;
    conn->listens = true;
    list_push_back(&call->worker->monitor.monitors, &conn->monitor->link);
    atomic_fetch_add(&call->worker->monitor.count, 1);
    atomic_fetch_add(&call->node->live.monitors, 1);
    reply_ok(call->reply);
}

void monitor_end(struct conn *conn)
{
    if (conn->monitor != NULL) {
        list_remove(&conn->monitor->link);
        atomic_fetch_sub(&conn->worker->monitor.count, 1);
        atomic_fetch_sub(&conn->worker->node->live.monitors, 1);
        free(conn->monitor);
        conn->monitor = NULL;
        conn->listens = pubsub_is_subscribed(conn);
    }
}

/* --- lines ------------------------------------------------------------------------------------------------------------- */

/* As Redis' sdscatrepr. */
static size_t escape(char dst[4], unsigned char byte)
{
    static const char hex[] = "0123456789abcdef";
    static const char plain[] = "\n\r\t\a\b\\\"";
    static const char named[] = "nrtab\\\"";
    const char *at = byte == '\0' ? NULL : strchr(plain, byte);
    if (at == NULL && byte >= ' ' && byte <= '~') {
        dst[0] = (char)byte;
        return 1;
    }
    dst[0] = '\\';
    if (at != NULL) {
        dst[1] = named[at - plain];
        return 2;
    }
    dst[1] = 'x';
    dst[2] = hex[byte >> 4];
    dst[3] = hex[byte & 15];
    return 4;
}

static enum status append_word(struct buf *line, struct slice word)
{
    enum status status = buf_reserve(line, 4 * word.size + 3);
    if (status != OK) {
        return status;
    }
    char *at = line->data + line->size;
    *at++ = ' ';
    *at++ = '"';
    for (size_t i = 0; i < word.size; i++) {
        at += escape(at, (unsigned char)word.data[i]);
    }
    *at++ = '"';
    line->size = (size_t)(at - line->data);
    return OK;
}

/* NO_MEMORY also for what no monitor could be sent. */
static enum status append_line(const struct call *call, struct buf *line)
{
    const struct session *session = &call->conn->session;
    const int64_t now_us = clock_unix_us();
    const bool is_unix = session->peer[0] == '/';
    const size_t peer_size = strlen(session->peer) - (is_unix ? 2 : 0); /* ":0" */
    size_t size = 0;
    enum status status = buf_printf(line, "+%" PRId64 ".%06" PRId64 " [%u %s%.*s]",
                                    now_us / 1000000, now_us % 1000000, session->db,
                                    is_unix ? "unix:" : "", (int)peer_size, session->peer);
    for (uint32_t i = 0; i < call->argc && status == OK; i++) {
        size += call->argv[i].size;
        const struct slice word =
            slowlog_is_secret(call->argv, i) ? SLICE_LITERAL("(redacted)") : call->argv[i];
        status = size > LIMIT_PUSH_CLOSE ? NO_MEMORY : append_word(line, word);
    }
    return status == OK ? buf_append(line, "\r\n", 2) : status;
}

/* --- telling ----------------------------------------------------------------------------------------------------------- */

/* Empty: what they should have seen cannot be told. */
static void tell(struct worker *worker, struct slice lines)
{
    struct list *monitors = &worker->monitor.monitors;
    for (struct list *at = monitors->next; at != monitors; at = at->next) {
        struct conn *conn = LIST_ENTRY(at, struct monitor, link)->conn;
        if (lines.size == 0) {
            push_lost(conn);
        } else if (conn->session.reply_mode != REPLY_OFF) {
            push_write(conn, lines);
        }
    }
}

struct lines_letter {
    struct letter letter; /* first */
    size_t size;
    char bytes[];
};

static void lines_on_arrival(struct letter *letter, void *owner)
{
    struct lines_letter *lines = (struct lines_letter *)(void *)letter;
    struct worker *worker = owner;
    atomic_fetch_sub(&worker->monitor.unread, lines->size);
    tell(worker, (struct slice){lines->bytes, lines->size});
    free(lines);
}

static void post(struct worker *to, struct slice bytes)
{
    const bool is_behind = atomic_load(&to->monitor.unread) > LIMIT_PUSH_CLOSE;
    const size_t size = is_behind ? 0 : bytes.size;
    struct lines_letter *lines = malloc(sizeof(*lines) + size);
    if (lines == NULL) {
        return; /* a few lines are missing; nothing else can be said without memory */
    }
    *lines = (struct lines_letter){.letter = {.open = lines_on_arrival}, .size = size};
    if (size > 0) {
        memcpy(lines->bytes, bytes.data, size);
    }
    atomic_fetch_add(&to->monitor.unread, size);
    const enum status status = is_behind ? mailbox_post(&to->mailbox, &lines->letter)
                                         : mailbox_post_urgent(&to->mailbox, &lines->letter);
    if (status != OK) {
        atomic_fetch_sub(&to->monitor.unread, size);
        free(lines);
    }
}

void monitor_send(struct worker *worker)
{
    const struct node *node = worker->node;
    struct buf *lines = &worker->monitor.lines;
    for (unsigned i = 0; i < node->worker_count && lines->size > 0; i++) {
        struct worker *to = node->workers[i];
        if (to != worker && atomic_load(&to->monitor.count) > 0) {
            post(to, buf_slice(lines));
        }
    }
    buf_done(lines);
}

void monitor_show(const struct call *call)
{
    struct worker *worker = call->worker;
    struct monitor_desk *desk = &worker->monitor;
    struct buf line = {0};
    if (append_line(call, &line) != OK) {
        buf_done(&line);
    }
    const unsigned here = atomic_load_explicit(&desk->count, memory_order_relaxed);
    if (here > 0) {
        tell(worker, buf_slice(&line));
    }
    if (atomic_load(&call->node->live.monitors) > here) {
        if (buf_append_slice(&desk->lines, buf_slice(&line)) != OK) {
            buf_done(&desk->lines);
        }
        if (desk->lines.size > LIMIT_READ) {
            monitor_send(worker);
        }
    }
    buf_done(&line);
}
