/* SPDX-License-Identifier: BSD-3-Clause */
#include "client/conn.h"

#include "client/conn_inner.h"

#include <linux/sockios.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>

int64_t clock_us(void)
{
    return (int64_t)(uv_hrtime() / 1000);
}

int64_t clock_ms(void)
{
    struct timespec now = {0};
    (void)clock_gettime(CLOCK_BOOTTIME, &now);
    return now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

void *conn_user(const struct conn *conn)
{
    return conn->user;
}

bool conn_is_ready(const struct conn *conn)
{
    return conn->state == CONN_READY;
}

bool conn_is_opening(const struct conn *conn)
{
    return conn->state < CONN_READY;
}

bool conn_is_closed(const struct conn *conn)
{
    return conn->state == CONN_CLOSED;
}

/* A machine that is gone acknowledges nothing; one whose node stands still takes what its socket has room for, and no more. */
int64_t conn_heard_ms(struct conn *conn)
{
    int on_the_way = 0;
    if (conn->state < CONN_GREETING || conn->state == CONN_CLOSED ||
        ioctl(conn->link.fd, SIOCOUTQ, &on_the_way) != 0 || on_the_way < 0) {
        return conn->heard_ms;
    }
    const uint64_t sent = conn->small_sent + conn->piece_bytes_sent;
    const uint64_t taken = sent > (uint64_t)on_the_way ? sent - (uint64_t)on_the_way : 0;
    if (conn->backlog_seen > BACKLOG_LARGE && taken > conn->taken_seen) {
        conn->heard_ms = clock_ms();
    }
    conn->taken_seen = taken;
    conn->backlog_seen = (uint64_t)on_the_way + conn_unsent(conn);
    return conn->heard_ms;
}

const char *conn_why(const struct conn *conn)
{
    return conn->why;
}

size_t conn_load(const struct conn *conn)
{
    return conn->waiting_count + conn->taken;
}

/* --- the end ---------------------------------------------------------------------------------------------------------- */

static void on_handle_closed(uv_handle_t *handle)
{
    struct conn *conn = handle->data;
    const struct conn_hooks *hooks = conn->setting->hooks;
    void *user = conn->user;
    link_close(&conn->link); /* not before: libuv names it to epoll while it closes a handle */
    free(conn->slots);
    free(conn->body);
    buf_done(&conn->in);
    conn_free_output(conn);
    free(conn);
    hooks->on_freed(user);
}

static void lose_calls(struct conn *conn, enum terrace_status why)
{
    const struct conn_hooks *hooks = conn->setting->hooks;
    while (conn->waiting.next != &conn->waiting) {
        struct call *call = conn->waiting.next;
        conn_cancel(call);
        hooks->on_call_lost(conn, call, why);
    }
    for (uint32_t i = 0; i < conn->slot_count; i++) {
        struct call *call = conn->slots[i].call;
        if (call != NULL) {
            conn_cancel(call);
            hooks->on_call_lost(conn, call, why);
        }
    }
}

static void end(struct conn *conn, enum terrace_status why)
{
    if (conn->state == CONN_READY || conn->state == CONN_LEAVING) {
        tally_add(&conn->setting->tally->disconnects, 1);
    }
    conn->state = CONN_CLOSED;
    conn_unmark_dirty(conn);
    wheel_clear(&conn->timer);
    link_done(&conn->link);
    uv_close((uv_handle_t *)&conn->poll, on_handle_closed);
    lose_calls(conn, why);
}

void conn_close(struct conn *conn, enum terrace_status why)
{
    if (conn->state != CONN_CLOSED) {
        error_say(conn->why, sizeof conn->why, "closed");
        end(conn, why);
    }
}

void conn_break(struct conn *conn, enum terrace_status why, const char *format, ...)
{
    va_list args;
    if (conn->state == CONN_CLOSED) {
        return;
    }
    va_start(args, format);
    (void)vsnprintf(conn->why, sizeof conn->why, format, args);
    va_end(args);
    end(conn, why);
    conn->setting->hooks->on_lost(conn, why, conn->why);
}

/* --- the beginning ------------------------------------------------------------------------------------------------------ */

/* A call may give calls to other connections; more may begin to wait here only while it is opening, which it is no more. */
static void become_ready(struct conn *conn)
{
    const struct conn_hooks *hooks = conn->setting->hooks;
    conn->state = CONN_READY;
    wheel_clear(&conn->timer);
    tally_add(&conn->setting->tally->connects, 1);
    hooks->on_ready(conn);
    while (conn->state == CONN_READY && conn->waiting.next != &conn->waiting) {
        struct call *call = conn->waiting.next;
        conn_cancel(call);
        hooks->on_turn(conn, call);
    }
}

static void greet(struct conn *conn)
{
    const struct terrace_options *options = conn->setting->options;
    const struct native_hello hello = {
        .user = slice_of(options->user),
        .password = slice_of(options->password),
        .has_auth = options->password[0] != '\0' || options->user[0] != '\0',
        .db = (uint32_t)options->db,
        .client_name = slice_of(options->client_name),
        .lib_name = slice_of("libterrace"),
        .lib_version = slice_of(terrace_version()),
    };
    struct buf meta = {0};
    conn->state = CONN_GREETING;
    enum status status = native_hello_pack(&hello, &meta);
    if (status == OK) {
        status = conn_write_own(conn, NATIVE_HELLO, ID_HELLO, buf_slice(&meta), (struct slice){0});
    }
    buf_done(&meta);
    if (status != OK) {
        conn_break(conn, TERRACE_UNREACHABLE, "no memory to log in");
    }
}

static void begin_watch(struct conn *conn)
{
    const uint32_t size = (uint32_t)conn->prefix.size;
    const bool by_prefix = conn->watch == CONN_WATCH_PREFIX;
    const struct native_request request = {
        .watch = by_prefix, .key_sizes = &size, .key_count = by_prefix && size > 0 ? 1 : 0};
    struct buf meta = {0};
    conn->state = CONN_WATCHING;
    enum status status = native_request_pack(&request, &meta);
    if (status == OK) {
        status = conn_write_own(conn, NATIVE_WATCH, ID_WATCH, buf_slice(&meta),
                                by_prefix ? conn->prefix : (struct slice){0});
    }
    buf_done(&meta);
    if (status != OK) {
        conn_break(conn, TERRACE_UNREACHABLE, "no memory to watch");
    }
}

static void shake(struct conn *conn)
{
    const enum status status = link_handshake(&conn->link);
    if (status == OK) {
        greet(conn);
        conn_poll_for_more(conn);
    } else if (status == AGAIN) {
        conn_poll_for_more(conn);
    } else {
        conn_break(conn, TERRACE_UNREACHABLE, "%s",
                   status == CLOSE ? "closed during the TLS handshake" : conn->link.why);
    }
}

static void refused(struct conn *conn, const char *what, const struct native_frame *frame)
{
    const bool denied = frame->header.word == NATIVE_NOAUTH || frame->header.word == NATIVE_NOPERM;
    conn_break(conn, denied ? TERRACE_DENIED : TERRACE_UNREACHABLE, "%s: %.*s", what,
               (int)(frame->body.size < 120 ? frame->body.size : 120),
               frame->body.size > 0 ? frame->body.data : "");
}

static void on_beat_answer(struct conn *conn, const struct native_frame *frame)
{
    const int64_t sent_ms = conn->beat_sent_ms;
    struct native_reply reply;
    conn->beat_sent_ms = 0;
    if (frame->header.word != NATIVE_OK) {
        refused(conn, "BEAT", frame);
    } else if (native_reply_unpack(frame->meta, &reply) != OK) {
        conn_break(conn, TERRACE_UNREACHABLE, "an answer that cannot be read");
    } else {
        const bool trusted = conn->setting->hooks->on_beat(conn, sent_ms, &reply);
        native_reply_done(&reply);
        if (!trusted) {
            conn_break(conn, TERRACE_UNREACHABLE, "the stream of changes has a gap");
        }
    }
}

void conn_on_own_answer(struct conn *conn, const struct native_frame *frame)
{
    const bool ok = frame->header.word == NATIVE_OK;
    if (frame->header.id == ID_HELLO && conn->state == CONN_GREETING) {
        if (!ok) {
            refused(conn, "login", frame);
        } else if (conn->watch != CONN_WATCH_NOTHING) {
            begin_watch(conn);
        } else {
            become_ready(conn);
        }
    } else if (frame->header.id == ID_WATCH && conn->state == CONN_WATCHING) {
        if (ok) {
            become_ready(conn);
        } else {
            refused(conn, "WATCH", frame);
        }
    } else if (frame->header.id == ID_BEAT && conn->beat_sent_ms != 0) {
        on_beat_answer(conn, frame);
    } else {
        conn_break(conn, TERRACE_UNREACHABLE, "an answer to what was not asked");
    }
}

void conn_set_timer(struct conn *conn)
{
    wheel_set(conn->setting->wheel, &conn->timer,
              clock_ms() + conn->setting->options->connect_timeout_ms);
}

static bool is_waited_for(const struct conn *conn)
{
    for (uint32_t i = 0; i < conn->slot_count; i++) {
        if (conn->slots[i].call != NULL) {
            return true;
        }
    }
    return false;
}

/* It closes behind what it answers still; but answers that nobody waits for any more may never come. */
static void leave(struct conn *conn)
{
    if (is_waited_for(conn)) {
        conn_set_timer(conn);
    } else {
        conn_break(conn, TERRACE_UNREACHABLE, "the node said goodbye");
    }
}

static void on_timer(struct timer *timer)
{
    struct conn *conn = (struct conn *)((char *)timer - offsetof(struct conn, timer));
    if (conn->state == CONN_LEAVING) {
        leave(conn);
        return;
    }
    static const char *const doing[] = {[CONN_CONNECTING] = "connecting",
                                        [CONN_SHAKING] = "the TLS handshake",
                                        [CONN_GREETING] = "login",
                                        [CONN_WATCHING] = "WATCH"};
    conn_break(conn, TERRACE_UNREACHABLE, "%s took longer than %lld ms",
               conn->state <= CONN_WATCHING ? doing[conn->state] : "opening",
               (long long)conn->setting->options->connect_timeout_ms);
}

/* --- what the socket says ----------------------------------------------------------------------------------------------- */

static void on_poll(uv_poll_t *poll, int error, int events)
{
    struct conn *conn = poll->data;
    if (error != 0) { /* reading or connecting says what it is */
        events = UV_READABLE | UV_WRITABLE;
    }
    switch (conn->state) {
    case CONN_CONNECTING:
        if ((events & UV_WRITABLE) != 0) {
            if (link_connected(&conn->link) != OK) {
                conn_break(conn, TERRACE_UNREACHABLE, "%s", conn->link.why);
                return;
            }
            conn->state = CONN_SHAKING;
            shake(conn);
        }
        return;
    case CONN_SHAKING: shake(conn); return;
    case CONN_GREETING:
    case CONN_WATCHING:
    case CONN_READY:
    case CONN_LEAVING:
        if ((events & UV_READABLE) != 0 || conn->link.wants_write) {
            conn_read(conn);
        }
        if (conn->state != CONN_CLOSED && (events & UV_WRITABLE) != 0) {
            conn_flush(conn);
        }
        return;
    case CONN_CLOSED: return;
    }
}

void conn_look(struct conn *conn)
{
    if (conn->state >= CONN_GREETING && conn->state < CONN_CLOSED) {
        conn_read(conn);
    }
}

void conn_poll_for_more(struct conn *conn)
{
    const bool connecting = conn->state == CONN_CONNECTING;
    const bool writes = connecting || conn_has_output(conn) || conn->link.wants_write;
    const int wanted = (connecting ? 0 : UV_READABLE) | (writes ? UV_WRITABLE : 0);
    if (conn->state != CONN_CLOSED && wanted != conn->polled) {
        conn->polled = wanted;
        (void)uv_poll_start(&conn->poll, wanted, on_poll); /* fails only for bad descriptors */
    }
}

static bool take_memory(struct conn *conn)
{
    return buf_reserve(&conn->in, IN_ROOM) == OK;
}

struct conn *conn_open(struct conn_setting *setting, const struct conn_target *target, char *why,
                       size_t why_size)
{
    struct conn *conn = calloc(1, sizeof *conn);
    if (conn == NULL || !take_memory(conn)) {
        free(conn);
        error_say(why, why_size, "no memory");
        return NULL;
    }
    conn->setting = setting;
    conn->user = target->user;
    conn->watch = target->watch;
    conn->prefix = target->prefix;
    conn->waiting.next = conn->waiting.prev = &conn->waiting;
    conn->timer.on_due = on_timer;
    if (link_open(&conn->link, setting->links, target->address, target->address_size,
                  target->tls_name) != OK) {
        error_say(why, why_size, "%s", conn->link.why);
    } else if (uv_poll_init(setting->loop, &conn->poll, conn->link.fd) != 0) {
        error_say(why, why_size, "the loop takes no more descriptors");
        link_done(&conn->link);
        link_close(&conn->link);
    } else {
        conn->poll.data = conn;
        conn_poll_for_more(conn);
        conn_set_timer(conn);
        return conn;
    }
    buf_done(&conn->in);
    free(conn);
    return NULL;
}
