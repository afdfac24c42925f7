/* SPDX-License-Identifier: BSD-3-Clause */
/* conn_read.c -- from bytes to answers. */
#include "client/conn_inner.h"
#include "protocol/limits.h"

#include <stdlib.h>
#include <string.h>

static struct slice unread(const struct conn *conn)
{
    return (struct slice){conn->in.data + conn->in_at, conn->in.size - conn->in_at};
}

static struct slot *slot_of(struct conn *conn, uint32_t id)
{
    return id > 0 && id <= conn->slot_count ? &conn->slots[id - 1] : NULL;
}

static void free_slot(struct conn *conn, struct slot *slot)
{
    slot->call = NULL;
    slot->is_taken = false;
    slot->next_free = conn->slot_free;
    conn->slot_free = (uint32_t)(slot - conn->slots) + 1;
    conn->taken--;
}

/* --- one frame ---------------------------------------------------------------------------------------------------------- */

static void on_event_frame(struct conn *conn, const struct native_frame *frame)
{
    struct native_event event;
    bool trusted = false;
    if (native_event_unpack(frame->meta, &event) == OK) {
        trusted = native_keys_fit(frame->keys, event.key_sizes, event.key_count) || event.all;
        trusted = trusted && conn->setting->hooks->on_event(conn, &event, frame->keys);
        native_event_done(&event);
    }
    if (!trusted) {
        conn_break(conn, TERRACE_UNREACHABLE, "the stream of changes has a gap");
    }
}

static void on_goodbye(struct conn *conn, const struct native_frame *frame)
{
    if (conn->state < CONN_READY) {
        conn_break(conn, TERRACE_UNREACHABLE, "%.*s",
                   (int)(frame->body.size < 120 ? frame->body.size : 120),
                   frame->body.size > 0 ? frame->body.data : "the node said goodbye");
    } else if (conn->state == CONN_READY) {
        conn->state = CONN_LEAVING;
        conn_set_timer(conn);
    }
}

/* `taken`: the body has memory of its own, which is the answer's from now on. */
static void on_call_answer(struct conn *conn, const struct native_frame *frame, char *taken,
                           bool refused)
{
    struct slot *slot = slot_of(conn, frame->header.id);
    struct native_reply reply;
    if (slot == NULL || !slot->is_taken) {
        free(taken);
        conn_break(conn, TERRACE_UNREACHABLE, "an answer to what was not asked");
        return;
    }
    if (native_reply_unpack(frame->meta, &reply) != OK) {
        free(taken);
        conn_break(conn, TERRACE_UNREACHABLE, "an answer that cannot be read");
        return;
    }
    struct call *call = slot->call;
    struct conn_answer answer = {.header = &frame->header,
                                 .reply = &reply,
                                 .body = frame->body,
                                 .taken = taken,
                                 .is_last = (frame->header.flags & NATIVE_MORE) == 0,
                                 .has_no_memory = refused};
    if (answer.is_last) {
        free_slot(conn, slot);
        if (call != NULL) {
            *call = (struct call){0};
        }
    }
    tally_add(&conn->setting->tally->answers, 1);
    if (call != NULL) {
        conn->setting->hooks->on_answer(conn, call, &answer);
    }
    free(answer.taken);
    native_reply_done(&reply);
}

static void on_frame(struct conn *conn, const struct native_frame *frame, char *taken, bool refused)
{
    const struct native_header *header = &frame->header;
    if ((header->flags & NATIVE_ANSWER) == 0) {
        if (header->op == NATIVE_EVENT && conn->watch != CONN_WATCH_NOTHING) {
            on_event_frame(conn, frame);
        } else if (header->op == NATIVE_GOODBYE) {
            on_goodbye(conn, frame);
        } /* others are of a later version, and may be passed over */
        free(taken);
    } else if (header->id >= ID_HELLO) {
        conn_on_own_answer(conn, frame);
        free(taken);
    } else {
        on_call_answer(conn, frame, taken, refused);
    }
    if (conn->state == CONN_LEAVING && conn->taken == 0) {
        conn_break(conn, TERRACE_UNREACHABLE, "the node said goodbye");
    }
}

/* --- large bodies ------------------------------------------------------------------------------------------------------- */

/* Makes room for the rest of the frame that begins at in_at. What follows its header is in `header`. */
static enum status expect(struct conn *conn, const struct native_header *header)
{
    const struct slice here = unread(conn);
    const size_t prefix = NATIVE_HEADER_SIZE + (size_t)header->meta_size + header->keys_size;
    memmove(conn->in.data, here.data, here.size);
    conn->in_at = 0;
    conn->in.size = here.size;
    if (header->body_size <= BODY_ALONE || here.size < prefix) {
        const size_t whole = prefix + (header->body_size <= BODY_ALONE ? header->body_size : 0);
        return whole > here.size ? buf_reserve(&conn->in, whole - here.size) : OK;
    }
    const struct slot *slot = slot_of(conn, header->id);
    const bool is_wanted = slot != NULL && slot->call != NULL;
    conn->body = is_wanted ? malloc(header->body_size) : NULL;
    conn->body_refused = is_wanted && conn->body == NULL;
    conn->body_size = header->body_size;
    conn->body_got = here.size - prefix;
    conn->is_in_body = true;
    conn->in.size = prefix;
    if (conn->body != NULL) {
        memcpy(conn->body, conn->in.data + prefix, conn->body_got);
    }
    /* Room for what comes behind the body, or for the body itself if nobody wants it. */
    return buf_reserve(&conn->in, IN_ROOM / 2);
}

static void on_body_complete(struct conn *conn)
{
    const struct slice prefix = unread(conn);
    static const struct native_limits limits = {LIMIT_NATIVE_META, LIMIT_NATIVE_KEYS, UINT32_MAX};
    struct native_frame frame = {0};
    size_t used = 0, missing = 0;
    if (native_frame_read(prefix, &limits, &frame, &used, &missing) != AGAIN) {
        conn_break(conn, TERRACE_UNREACHABLE, "an answer that cannot be read"); /* it was, before */
        return;
    }
    const struct native_header *header = &frame.header;
    frame.meta = (struct slice){prefix.data + NATIVE_HEADER_SIZE, header->meta_size};
    frame.keys = (struct slice){frame.meta.data + header->meta_size, header->keys_size};
    char *body = conn->body;
    frame.body = (struct slice){body, body != NULL ? conn->body_size : 0};
    conn->in_at += NATIVE_HEADER_SIZE + (size_t)header->meta_size + header->keys_size;
    conn->body = NULL;
    conn->is_in_body = false;
    on_frame(conn, &frame, body, conn->body_refused);
}

/* --- bytes -------------------------------------------------------------------------------------------------------------- */

static void on_bytes(struct conn *conn)
{
    const struct native_limits limits = {LIMIT_NATIVE_META, LIMIT_NATIVE_KEYS,
                                         (uint32_t)conn->setting->options->max_value};
    enum status status = OK;
    while (conn->state != CONN_CLOSED && status == OK) {
        struct native_frame frame;
        const struct slice rest = unread(conn);
        size_t used = 0, missing = 0;
        status = native_frame_read(rest, &limits, &frame, &used, &missing);
        if (status == OK) {
            conn->in_at += used;
            on_frame(conn, &frame, NULL, false);
        } else if (status == AGAIN && rest.size >= NATIVE_HEADER_SIZE) {
            status = expect(conn, &frame.header);
            break;
        }
    }
    if (conn->state == CONN_CLOSED) {
        return;
    }
    if (status == NO_MEMORY) {
        conn_break(conn, TERRACE_UNREACHABLE, "no memory for an answer");
    } else if (status != OK && status != AGAIN) {
        conn_break(conn, TERRACE_UNREACHABLE,
                   status == TOO_BIG ? "an answer larger than option max-value"
                                     : "this is no node: its bytes are not the native protocol");
    } else if (conn->in_at == conn->in.size && !conn->is_in_body) {
        conn->in_at = conn->in.size = 0;
    }
}

/* Where the next bytes go. */
static size_t room_for_more(struct conn *conn, struct iovec parts[2])
{
    struct buf *in = &conn->in;
    const struct iovec behind = {in->data + in->size, in->capacity - in->size};
    if (!conn->is_in_body) {
        parts[0] = behind;
        return 1;
    }
    const size_t left = conn->body_size - conn->body_got;
    if (conn->body == NULL) { /* over and over into the same room */
        parts[0] = (struct iovec){behind.iov_base, left < behind.iov_len ? left : behind.iov_len};
        return 1;
    }
    parts[0] = (struct iovec){conn->body + conn->body_got, left};
    parts[1] = behind;
    return 2;
}

static void on_got(struct conn *conn, size_t got)
{
    if (conn->is_in_body) {
        const size_t left = conn->body_size - conn->body_got;
        const size_t of_body = got < left ? got : left;
        conn->body_got += of_body;
        got -= of_body;
    }
    conn->in.size += got;
    if (conn->is_in_body && conn->body_got == conn->body_size) {
        on_body_complete(conn);
    }
    if (conn->state != CONN_CLOSED && !conn->is_in_body) {
        on_bytes(conn);
    }
}

/* At the end of what is here: bytes of a frame that has not come whole move to the front. */
static bool make_room(struct conn *conn)
{
    struct buf *in = &conn->in;
    if (in->capacity > in->size || conn->is_in_body) {
        return true;
    }
    const struct slice here = unread(conn);
    memmove(in->data, here.data, here.size);
    conn->in_at = 0;
    in->size = here.size;
    return in->capacity > in->size || buf_reserve(in, IN_ROOM) == OK;
}

void conn_read(struct conn *conn)
{
    bool is_more = true;
    for (int i = 0;
         is_more && conn->state != CONN_CLOSED && (i < READS_MAX || link_holds_bytes(&conn->link));
         i++) {
        struct iovec parts[2];
        size_t got = 0;
        if (!make_room(conn)) {
            conn_break(conn, TERRACE_UNREACHABLE, "no memory for an answer");
            return;
        }
        const size_t count = room_for_more(conn, parts);
        const size_t room = parts[0].iov_len + (count > 1 ? parts[1].iov_len : 0);
        const enum status status = link_recv(&conn->link, parts, count, &got);
        if (status == OK) {
            tally_add(&conn->setting->tally->bytes_in, got);
            conn->heard_ms = clock_ms();
            is_more = got == room || conn->link.tls != NULL;
            on_got(conn, got);
        } else if (status == AGAIN) {
            is_more = false;
        } else {
            conn_break(conn, TERRACE_UNREACHABLE, "%s",
                       status == CLOSE ? "the node closed the connection" : conn->link.why);
        }
    }
    if (conn->state != CONN_CLOSED) {
        conn_poll_for_more(conn);
    }
}
