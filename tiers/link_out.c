/* SPDX-License-Identifier: BSD-3-Clause */
/* link_out.c -- what goes out over a link: requests in the order they were asked, now or when it is READY. */
#include "protocol/check.h"
#include "protocol/limits.h"
#include "tiers/link_inner.h"

enum {
    OUTPUT_SLACK = 64 * 1024, /* written bytes in front of the output that are not worth a move */
};

static size_t out_size(const struct link *link)
{
    return link->out.size - link->out_head;
}

static enum status out_reserve(struct link *link, size_t more)
{
    if (link->out_head > OUTPUT_SLACK && link->out_head > link->out.size / 2) {
        buf_consume(&link->out, link->out_head);
        link->out_head = 0;
    }
    return buf_reserve(&link->out, more);
}

/* Room is reserved. */
static void out_append(struct link *link, struct slice bytes)
{
    CHECK(buf_append_slice(&link->out, bytes) == OK);
}

/* After bytes were put behind `size_before`. The roof flushes on its own what it could not write at once. */
void link_out_announce(struct link *link, size_t size_before)
{
    if (size_before == 0 && out_size(link) > 0) {
        link->options.io.wants_flush(link->options.io.roof, link);
    }
}

static void slot_push(struct link *link, struct link_request *request, enum link_slot_kind kind)
{
    link_fifo_push(&link->sent, (struct link_slot){.request = request,
                                                   .ends_at = link->written + out_size(link),
                                                   .kind = kind});
}

static void slot_push_request(struct link *link, struct link_request *request, unsigned parts)
{
    slot_push(link, request, SLOT_REQUEST);
    link_fifo_at(&link->sent, link->sent.count - 1)->parts = parts;
}

enum status link_out_beat(struct link *link, struct slice check)
{
    CHECK(!link->poured);
    const size_t before = out_size(link);
    enum status status = link_fifo_reserve(&link->sent, 1);
    if (status == OK) {
        status = out_reserve(link, check.size);
    }
    if (status == OK) {
        out_append(link, check);
        slot_push(link, NULL, SLOT_BEAT);
        link_out_announce(link, before);
    }
    return status;
}

static size_t pieces_size(const struct link_pieces *pieces)
{
    size_t size = 0;
    for (size_t i = 0; i < LINK_PIECES; i++) {
        size += pieces->at[i].size;
    }
    return size;
}

/* All or nothing. */
static enum status send_request(struct link *link, struct link_request *request, int db,
                                const struct link_pieces *pieces)
{
    const size_t before = out_size(link);
    enum status status = link_fifo_reserve(&link->sent, 2);
    if (status == OK) {
        status = out_reserve(link, pieces_size(pieces) + LINK_SELECT_MAX);
    }
    if (status != OK) {
        return status;
    }
    char select[LINK_SELECT_MAX];
    struct link_pieces error;
    unsigned parts = request->parts;
    if (db >= 0 && (link->databases & 1u << db) == 0) {
        parts = 0;
        /* Its error is the request's reply, in its place among the others. */
        error = (struct link_pieces){{{.data = select, .size = link_select_write(select, -1)}}};
        pieces = &error;
    } else if (db >= 0 && db != link->selected) {
        out_append(link, (struct slice){.data = select, .size = link_select_write(select, db)});
        slot_push(link, NULL, SLOT_SELECT);
        link->selected = db;
    }
    for (size_t i = 0; i < LINK_PIECES; i++) {
        out_append(link, pieces->at[i]);
    }
    link->poured = false;
    slot_push_request(link, request, parts);
    link_out_announce(link, before);
    return OK;
}

static enum status hold_request(struct link *link, struct link_request *request, int db,
                                const struct link_pieces *pieces)
{
    const size_t size = pieces_size(pieces);
    enum status status = link_fifo_reserve(&link->waiting, 1);
    if (status == OK) {
        status = buf_reserve(&link->held, size);
    }
    for (size_t i = 0; i < LINK_PIECES && status == OK; i++) {
        status = buf_append_slice(&link->held, pieces->at[i]);
    }
    if (status == OK) {
        link_fifo_push(&link->waiting,
                       (struct link_slot){.request = request, .ends_at = size, .db = db});
    }
    return status;
}

enum status link_ask(struct link *link, struct link_request *request, int db, struct slice bytes)
{
    return link_ask_pieces(link, request, db, &(const struct link_pieces){{bytes}});
}

enum status link_ask_pieces(struct link *link, struct link_request *request, int db,
                            const struct link_pieces *pieces)
{
    CHECK_MAGIC(link, LINK_MAGIC);
    CHECK(pieces->at[0].size > 0 && db >= -1 && db < (int)LIMIT_DATABASES);
    if (link->freed || (link->down && link->state != LINK_READY)) {
        return L2_DOWN;
    }
    const size_t unwritten = out_size(link) + link->held.size;
    if (link->sent.count + link->waiting.count + link->fence.kept.count >= LIMIT_LINK_QUEUE ||
        (unwritten > 0 && unwritten + pieces_size(pieces) > LINK_OUTPUT_MAX)) {
        return BUSY;
    }
    if (request->fence_ms != 0) {
        link_fence_ask(link, request);
    }
    const enum status status = link->state == LINK_READY ? send_request(link, request, db, pieces)
                                                         : hold_request(link, request, db, pieces);
    if (status == OK) {
        link_deadline_note(link, request);
    }
    return status;
}

enum status link_say(struct link *link, struct slice bytes)
{
    CHECK_MAGIC(link, LINK_MAGIC);
    if (link->state != LINK_READY) {
        return L2_DOWN;
    }
    const size_t before = out_size(link);
    const enum status status = out_reserve(link, bytes.size);
    if (status == OK) {
        out_append(link, bytes);
        link_out_announce(link, before);
    }
    return status;
}

enum status link_pour(struct link *link, struct slice bytes)
{
    CHECK_MAGIC(link, LINK_MAGIC);
    CHECK(link->poured || link_is_quiet(link));
    link->poured = true;
    const enum status status = link_say(link, bytes);
    link->poured = link->poured && link->state == LINK_READY;
    return status;
}

struct slice link_output(const struct link *link)
{
    CHECK_MAGIC(link, LINK_MAGIC);
    if (out_size(link) == 0) {
        return (struct slice){0};
    }
    return (struct slice){.data = link->out.data + link->out_head, .size = out_size(link)};
}

void link_on_written(struct link *link, size_t size)
{
    CHECK_MAGIC(link, LINK_MAGIC);
    CHECK(size <= out_size(link));
    const size_t much = LIMIT_STREAM_AHEAD / 2;
    const bool shrinks = link->poured && out_size(link) >= much && out_size(link) - size < much;
    link->out_head += size;
    link->written += size;
    if (out_size(link) == 0) {
        link->out.size = 0;
        link->out_head = 0;
        if (link->out.capacity > LINK_BUFFER_KEPT) {
            buf_done(&link->out);
        }
    }
    if (shrinks && link->options.on_room != NULL) {
        link->callbacks++;
        link->options.on_room(link, link->options.arg);
        link->callbacks--;
    }
}

uint64_t link_written(const struct link *link)
{
    CHECK_MAGIC(link, LINK_MAGIC);
    return link->written;
}

/* Without memory for all of it, all ends: a read may be two requests, and its second must not end before its first. */
void link_out_waiting(struct link *link)
{
    struct link_fifo waiting = link->waiting;
    struct buf held = link->held;
    link->waiting = (struct link_fifo){0};
    link->held = (struct buf){0};
    size_t at = 0;
    const bool fits = link_fifo_reserve(&link->sent, 2 * waiting.count) == OK &&
                      out_reserve(link, held.size + waiting.count * LINK_SELECT_MAX) == OK;
    while (waiting.count > 0) {
        const struct link_slot slot = link_fifo_pop(&waiting);
        const struct link_pieces pieces = {
            {{.data = held.data + at, .size = (size_t)slot.ends_at}}};
        at += pieces.at[0].size;
        if (slot.request == NULL) {
            continue; /* its deadline passed */
        }
        if (!fits || link->state != LINK_READY ||
            send_request(link, slot.request, slot.db, &pieces) != OK) {
            link_end_request(link, slot.request, L2_DOWN, (struct slice){0});
        }
    }
    link_fifo_done(&waiting);
    buf_done(&held);
}
