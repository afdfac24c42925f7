/* SPDX-License-Identifier: BSD-3-Clause */
/* native_events.c -- what a client that watches is told: EVENT frames, and BEAT, which proves them (native.h). */
#include "protocol/resp_read.h"
#include "server/native_inner.h"
#include "server/node.h"
#include "server/push.h"
#include "server/tracking.h"
#include "tiers/tiers.h"

enum {
    KEYS_SIZE = 64 * 1024, /* of one frame, about: clients read them whole */
    KEYS_COUNT = 1024,
    ROUNDS = 8 /* of an inbox that is never empty */
};

/* --- EVENT ------------------------------------------------------------------------------------------------------------ */

struct event {
    struct native_event said;
    uint32_t sizes[KEYS_COUNT];
    struct buf *keys;
};

static enum status append_event(struct conn *conn, struct event *event, struct buf *frame)
{
    struct buf *meta = &conn->worker->native->meta;
    const struct slice keys = buf_slice(event->keys);
    char head[NATIVE_HEADER_SIZE];
    meta->size = 0;
    event->said.stream_seq = ++conn->native->told;
    enum status status = native_event_pack(&event->said, meta);
    native_header_write(head, &(struct native_header){.version = NATIVE_VERSION,
                                                      .op = NATIVE_EVENT,
                                                      .meta_size = (uint32_t)meta->size,
                                                      .keys_size = (uint32_t)keys.size});
    frame->size = 0;
    if (status == OK) {
        status = buf_append(frame, head, sizeof(head));
    }
    if (status == OK) {
        status = buf_append_slice(frame, buf_slice(meta));
    }
    return status == OK ? buf_append_slice(frame, keys) : status;
}

/* One frame; if it cannot be made, the connection ends, for a number would be missing. */
static void send_event(struct conn *conn, struct event *event)
{
    struct buf *frame = &conn->worker->tracking.push;
    if (append_event(conn, event, frame) == OK) {
        metrics_count(conn->worker->metrics, M_NATIVE_EVENTS);
        push_ahead(conn, buf_slice(frame));
    } else {
        push_lost(conn);
    }
    event->said.key_count = 0;
    event->keys->size = 0;
}

void native_tell(struct conn *conn, struct slice keys)
{
    struct event event = {.keys = &conn->worker->native->text};
    struct reply_cursor cursor = {keys};
    struct reply_element element;
    event.said.key_sizes = event.sizes;
    event.keys->size = 0;
    if (reply_next(&cursor, &element) != OK || element.type != REPLY_ARRAY) {
        event.said.all = true;
        send_event(conn, &event);
        return;
    }
    while (reply_next(&cursor, &element) == OK && element.type == REPLY_BULK) {
        const bool is_full = event.said.key_count == KEYS_COUNT || event.keys->size >= KEYS_SIZE;
        if (is_full) {
            send_event(conn, &event);
        }
        if (buf_append_slice(event.keys, element.text) != OK) {
            push_lost(conn);
            return;
        }
        event.sizes[event.said.key_count++] = (uint32_t)element.text.size;
    }
    if (event.said.key_count > 0) {
        send_event(conn, &event);
    }
}

/* --- BEAT ------------------------------------------------------------------------------------------------------------- */

/* The clock at or before which all that was acknowledged is in the inbox. 0: nobody can say. */
static int64_t horizon_of(const struct node *node)
{
    if (node->tiers == NULL) {
        return clock_now_ms(&node->clock);
    }
    const struct coherence_view *view = coherence_view(tiers_coherence(node->tiers));
    return atomic_load_explicit(&view->horizon_ms, memory_order_acquire);
}

/* Everything in it is frames by now. False: more came all the while. */
static bool empty_inbox(struct worker *worker)
{
    for (unsigned i = 0; i < ROUNDS; i++) {
        tracking_end_turn(worker);
        if (!tracking_has_news(worker->node->tracking, worker->index)) {
            return true;
        }
    }
    return false;
}

/* What the client says of itself. */
static enum status take_report(struct conn *conn, struct slice meta)
{
    struct native_request said;
    const enum status status = native_request_unpack(meta, &said);
    if (status == OK) {
        metrics_add(conn->worker->metrics, M_NEAR_HITS, said.near_hits);
        native_request_done(&said);
    }
    return status;
}

void native_beat(struct conn *conn, const struct request *request)
{
    struct worker *worker = conn->worker;
    const struct native_limits limits = {UINT32_MAX, UINT32_MAX, UINT32_MAX};
    struct native_frame frame;
    size_t used = 0;
    size_t missing = 0;
    if (!conn->session.authenticated) {
        native_put_error(conn, request->native, SLICE_LITERAL("NOAUTH Authentication required."));
        return;
    }
    if (native_frame_read(request->raw, &limits, &frame, &used, &missing) != OK ||
        take_report(conn, frame.meta) != OK) {
        native_put_bad(conn, request->native, "the metadata is malformed");
        return;
    }
    const int64_t horizon_ms = horizon_of(worker->node); /* first: native.h says why */
    const bool is_told = empty_inbox(worker);
    const int64_t age_ms = clock_now_ms(&worker->node->clock) - horizon_ms + 1;
    if (conn->state == CONN_CLOSED) {
        return;
    }
    const bool has_horizon = is_told && horizon_ms != 0;
    const struct native_reply reply = {
        .has_horizon = has_horizon,
        .horizon_age_ms = has_horizon && age_ms > 0 ? (uint64_t)age_ms : 0,
        .stream_seq = conn->native->told,
    };
    native_put(conn, request->native, NATIVE_OK, &reply, (struct slice){0});
}
