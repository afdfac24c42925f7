/* SPDX-License-Identifier: BSD-3-Clause */
/* conn_write.c -- calls on their way to the socket. */
#include "client/conn_inner.h"

#include <stdlib.h>
#include <string.h>

enum {
    SLOTS_MIN = 64,
    OUT_KEPT = 256 << 10 /* a buffer that grew larger is given back when it is empty */
};

struct payload *payload_new(size_t size)
{
    struct payload *payload = malloc(sizeof *payload + size);
    if (payload != NULL) {
        payload->refs = 1;
        payload->size = size;
    }
    return payload;
}

void payload_release(struct payload *payload)
{
    if (payload != NULL && --payload->refs == 0) {
        free(payload);
    }
}

static void conn_mark_dirty(struct conn *conn)
{
    struct conn_setting *setting = conn->setting;
    if (conn->is_dirty) {
        return;
    }
    conn->is_dirty = true;
    conn->prev_dirty = NULL;
    conn->next_dirty = setting->dirty;
    if (setting->dirty != NULL) {
        setting->dirty->prev_dirty = conn;
    }
    setting->dirty = conn;
    setting->hooks->on_output(conn);
}

void conn_unmark_dirty(struct conn *conn)
{
    if (!conn->is_dirty) {
        return;
    }
    conn->is_dirty = false;
    *(conn->prev_dirty != NULL ? &conn->prev_dirty->next_dirty : &conn->setting->dirty) =
        conn->next_dirty;
    if (conn->next_dirty != NULL) {
        conn->next_dirty->prev_dirty = conn->prev_dirty;
    }
}

void conn_flush_dirty(struct conn_setting *setting)
{
    while (setting->dirty != NULL) {
        conn_flush(setting->dirty);
    }
}

bool conn_has_output(const struct conn *conn)
{
    return conn->first != NULL || conn->out.size > conn->out_at;
}

uint64_t conn_unsent(const struct conn *conn)
{
    uint64_t bytes = conn->small_queued - conn->small_sent;
    for (const struct piece *piece = conn->first; piece != NULL; piece = piece->next) {
        bytes += piece->bytes.size - piece->sent;
    }
    return bytes;
}

/* --- calls ---------------------------------------------------------------------------------------------------------------- */

void conn_await(struct conn *conn, struct call *call)
{
    *call = (struct call){.conn = conn, .next = &conn->waiting, .prev = conn->waiting.prev};
    call->prev->next = call;
    conn->waiting.prev = call;
    conn->waiting_count++;
}

bool conn_was_sent(const struct call *call)
{
    const struct conn *conn = call->conn;
    if (conn == NULL || call->id == 0) {
        return call->was_sent;
    }
    /* What waits in our buffer goes out all the same, asked for or not, as long as there is a connection. */
    return conn->state != CONN_CLOSED || call->was_sent ||
           (call->payload == NULL && conn->small_sent >= call->ends_at);
}

/* The payload may be half way through the socket: then its rest must follow, whosever it is. */
static void give_pieces(struct conn *conn, const struct call *from, struct call *to)
{
    for (struct piece *piece = conn->first; piece != NULL; piece = piece->next) {
        if (piece->call == from) {
            piece->call = to;
        }
    }
}

void conn_move(struct call *from, struct call *to)
{
    struct conn *conn = from->conn;
    *to = *from;
    conn->slots[from->id - 1].call = to;
    give_pieces(conn, from, to);
    *from = (struct call){0};
}

void conn_cancel(struct call *call)
{
    struct conn *conn = call->conn;
    if (conn == NULL) {
        return;
    }
    const bool was_sent = conn_was_sent(call);
    if (call->id == 0) {
        call->prev->next = call->next;
        call->next->prev = call->prev;
        conn->waiting_count--;
    } else {
        conn->slots[call->id - 1].call = NULL;
        if (call->payload != NULL) {
            give_pieces(conn, call, NULL);
        }
    }
    *call = (struct call){.was_sent = was_sent};
}

static bool take_slot(struct conn *conn, uint32_t *ret_id)
{
    if (conn->slot_free == 0) {
        if (conn->slot_count == conn->slot_room) {
            const uint32_t room = conn->slot_room == 0 ? SLOTS_MIN : conn->slot_room * 2;
            struct slot *slots = realloc(conn->slots, room * sizeof *slots);
            if (slots == NULL) {
                return false;
            }
            conn->slots = slots;
            conn->slot_room = room;
        }
        conn->slots[conn->slot_count++] = (struct slot){0};
        *ret_id = conn->slot_count;
    } else {
        *ret_id = conn->slot_free;
        conn->slot_free = conn->slots[*ret_id - 1].next_free;
    }
    conn->taken++;
    return true;
}

/* --- frames --------------------------------------------------------------------------------------------------------------- */

static enum status reserve_out(struct conn *conn, size_t size)
{
    struct buf *out = &conn->out;
    if (conn->out_at > out->size / 2) { /* it is seldom empty: what was sent goes */
        memmove(out->data, out->data + conn->out_at, out->size - conn->out_at);
        out->size -= conn->out_at;
        conn->out_at = 0;
    }
    return buf_reserve(out, size);
}

static enum status append_frame(struct conn *conn, const struct native_header *header,
                                struct slice rest)
{
    struct buf *out = &conn->out;
    const enum status status = reserve_out(conn, NATIVE_HEADER_SIZE + rest.size);
    if (status == OK) {
        native_header_write(out->data + out->size, header);
        if (rest.size > 0) {
            memcpy(out->data + out->size + NATIVE_HEADER_SIZE, rest.data, rest.size);
        }
        out->size += NATIVE_HEADER_SIZE + rest.size;
        conn->small_queued += NATIVE_HEADER_SIZE + rest.size;
    }
    return status;
}

static struct piece *new_piece(const struct conn_frame *frame, struct call *call)
{
    struct piece *piece = malloc(sizeof *piece);
    if (piece != NULL) {
        *piece = (struct piece){.bytes = frame->rest, .payload = frame->payload, .call = call};
    }
    return piece;
}

static void append_piece(struct conn *conn, struct piece *piece)
{
    piece->payload->refs++;
    piece->at = conn->small_queued;
    *(conn->first != NULL ? &conn->last->next : &conn->first) = piece;
    conn->last = piece;
}

enum status conn_send(struct conn *conn, struct call *call, const struct conn_frame *frame)
{
    const bool by_piece = frame->payload != NULL && frame->rest.size > FRAME_COPIED;
    struct piece *piece = by_piece ? new_piece(frame, call) : NULL;
    if (by_piece && piece == NULL) {
        return NO_MEMORY;
    }
    struct native_header header = {
        .version = NATIVE_VERSION,
        .op = frame->op,
        .meta_size = frame->meta_size,
        .keys_size = frame->keys_size,
        .body_size = (uint32_t)(frame->rest.size - frame->meta_size - frame->keys_size),
        .word = frame->word,
    };
    /* The buffer first: a slot that was taken cannot be given back without an answer. */
    if (reserve_out(conn, NATIVE_HEADER_SIZE + (by_piece ? 0 : frame->rest.size)) != OK ||
        !take_slot(conn, &header.id)) {
        free(piece);
        return NO_MEMORY;
    }
    (void)append_frame(conn, &header, by_piece ? (struct slice){0} : frame->rest); /* has room */
    if (by_piece) {
        append_piece(conn, piece);
    }
    *call = (struct call){.conn = conn,
                          .id = header.id,
                          .ends_at = conn->small_queued,
                          .payload = by_piece ? frame->payload : NULL};
    conn->slots[header.id - 1] = (struct slot){.call = call, .is_taken = true};
    conn_mark_dirty(conn);
    return OK;
}

enum status conn_write_own(struct conn *conn, uint8_t op, uint32_t id, struct slice meta,
                           struct slice keys)
{
    const struct native_header header = {.version = NATIVE_VERSION,
                                         .op = op,
                                         .id = id,
                                         .meta_size = (uint32_t)meta.size,
                                         .keys_size = (uint32_t)keys.size};
    enum status status = reserve_out(conn, NATIVE_HEADER_SIZE + meta.size + keys.size);
    if (status == OK) {
        status = append_frame(conn, &header, meta);
    }
    if (status == OK) {
        status = buf_append_slice(&conn->out, keys);
        conn->small_queued += keys.size;
        conn_mark_dirty(conn);
    }
    return status;
}

bool conn_beat(struct conn *conn, uint64_t near_hits, int64_t *ret_since_ms)
{
    if (conn->beat_sent_ms != 0) {
        *ret_since_ms = conn->beat_sent_ms;
        return false;
    }
    const struct native_request request = {.near_hits = near_hits};
    struct buf meta = {0};
    const int64_t now_ms = clock_ms();
    if (native_request_pack(&request, &meta) == OK &&
        conn_write_own(conn, NATIVE_BEAT, ID_BEAT, buf_slice(&meta), (struct slice){0}) == OK) {
        conn->beat_sent_ms = now_ms;
    }
    buf_done(&meta);
    return true;
}

/* --- to the socket -------------------------------------------------------------------------------------------------------- */

/* Small bytes and payloads in their order. */
static size_t gather(const struct conn *conn, struct iovec parts[PARTS_MAX])
{
    const struct piece *piece = conn->first;
    uint64_t at = conn->small_sent;
    size_t offset = conn->out_at;
    size_t count = 0;
    while (count < PARTS_MAX) {
        const uint64_t until = piece != NULL ? piece->at : conn->small_queued;
        if (until > at) {
            parts[count++] = (struct iovec){conn->out.data + offset, (size_t)(until - at)};
            offset += (size_t)(until - at);
            at = until;
        } else if (piece != NULL) {
            parts[count++] = (struct iovec){(char *)(uintptr_t)piece->bytes.data + piece->sent,
                                            piece->bytes.size - piece->sent};
            piece = piece->next;
        } else {
            break;
        }
    }
    return count;
}

static void end_piece(struct conn *conn)
{
    struct piece *piece = conn->first;
    conn->first = piece->next;
    if (piece->call != NULL) {
        piece->call->payload = NULL;
        piece->call->was_sent = true;
    }
    payload_release(piece->payload);
    free(piece);
}

static void on_sent(struct conn *conn, size_t sent)
{
    tally_add(&conn->setting->tally->bytes_out, sent);
    while (sent > 0) {
        struct piece *piece = conn->first;
        const uint64_t until = piece != NULL ? piece->at : conn->small_queued;
        const uint64_t small = until - conn->small_sent;
        if (small > 0) {
            const size_t some = sent < small ? sent : (size_t)small;
            conn->small_sent += some;
            conn->out_at += some;
            sent -= some;
        } else {
            const size_t left = piece->bytes.size - piece->sent;
            const size_t some = sent < left ? sent : left;
            piece->sent += some;
            conn->piece_bytes_sent += some;
            sent -= some;
            if (piece->sent == piece->bytes.size) {
                end_piece(conn);
            }
        }
    }
    if (conn->out_at == conn->out.size) {
        conn->out_at = conn->out.size = 0;
        if (conn->out.capacity > OUT_KEPT) {
            buf_done(&conn->out);
        }
    }
}

void conn_flush(struct conn *conn)
{
    enum status status = OK;
    conn_unmark_dirty(conn);
    if (conn->state < CONN_GREETING || conn->state == CONN_CLOSED) {
        return;
    }
    while (status == OK && conn_has_output(conn)) {
        struct iovec parts[PARTS_MAX];
        size_t sent = 0;
        status = link_send(&conn->link, parts, gather(conn, parts), &sent);
        if (status == OK) {
            on_sent(conn, sent);
        }
    }
    if (status != OK && status != AGAIN) {
        conn_break(conn, TERRACE_UNREACHABLE, "%s",
                   status == CLOSE ? "the node closed the connection" : conn->link.why);
    } else {
        conn_poll_for_more(conn);
    }
}

void conn_free_output(struct conn *conn)
{
    while (conn->first != NULL) {
        conn->first->call = NULL;
        end_piece(conn);
    }
    buf_done(&conn->out);
}
