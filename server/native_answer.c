/* SPDX-License-Identifier: BSD-3-Clause */
/* native_answer.c -- what a handler answered, as a frame.
 *
 * Reads have written theirs themselves (fetched.h), and CALL hands its reply on as it is: neither is copied. Of all others the
 * few words are read, and said anew. */
#include "protocol/native_warm.h"
#include "protocol/resp_read.h"
#include "server/native_inner.h"

#include <stdlib.h>
#include <string.h>

enum {
    FLAGS_AT = 3, /* in the header */
    KEPT = 64 * 1024
};

/* --- frames ----------------------------------------------------------------------------------------------------------- */

/* Of several answers to one frame this is one; whether it is the last. */
static uint8_t flags_of(const struct native_ticket *ticket)
{
    struct native_several *several = ticket->several;
    const bool more = several != NULL && --several->left > 0;
    return NATIVE_ANSWER | (more ? NATIVE_MORE : 0);
}

static void put_head(struct out *out, const struct native_ticket *ticket, enum native_status status,
                     size_t meta_size, size_t body_size)
{
    char head[NATIVE_HEADER_SIZE];
    native_header_write(head, &(struct native_header){.version = NATIVE_VERSION,
                                                      .op = ticket->op,
                                                      .flags = flags_of(ticket),
                                                      .id = ticket->id,
                                                      .meta_size = (uint32_t)meta_size,
                                                      .body_size = (uint32_t)body_size,
                                                      .word = (uint32_t)status});
    out_append(out, head, sizeof(head));
}

void native_put_meta(struct conn *conn, const struct native_ticket *ticket,
                     enum native_status status, struct slice meta, struct slice body)
{
    put_head(&conn->reply.out, ticket, status, meta.size, body.size);
    out_append(&conn->reply.out, meta.data, meta.size);
    out_append(&conn->reply.out, body.data, body.size);
    worker_mark_dirty(conn->worker, conn);
}

void native_put(struct conn *conn, const struct native_ticket *ticket, enum native_status status,
                const struct native_reply *reply, struct slice body)
{
    struct buf *meta = &conn->worker->native->meta;
    meta->size = 0;
    if (native_reply_pack(reply, meta) != OK) {
        conn->reply.out.broken = true;
    }
    native_put_meta(conn, ticket, status, buf_slice(meta), body);
}

void native_put_bad(struct conn *conn, const struct native_ticket *ticket, const char *text)
{
    native_put(conn, ticket, NATIVE_BAD, &(struct native_reply){.index = ticket->index},
               slice_of(text));
}

static enum native_status status_of(struct slice error)
{
    static const struct {
        const char *word;
        enum native_status status;
    } known[] = {
        {"STALE", NATIVE_STALE},   {"L2DOWN", NATIVE_L2DOWN},    {"UNKNOWN", NATIVE_UNKNOWN},
        {"LOST", NATIVE_LOST},     {"BUSY", NATIVE_BUSY},        {"NOAUTH", NATIVE_NOAUTH},
        {"NOPERM", NATIVE_NOPERM}, {"WRONGPASS", NATIVE_NOAUTH}, {"WRONGTYPE", NATIVE_WRONGTYPE},
        {"BAD", NATIVE_BAD},
    };
    const struct slice word = slice_next_word(&error, " ");
    for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++) {
        if (slice_is(word, known[i].word)) {
            return known[i].status;
        }
    }
    return NATIVE_ERROR;
}

void native_put_error(struct conn *conn, const struct native_ticket *ticket, struct slice text)
{
    native_put(conn, ticket, status_of(text), &(struct native_reply){.index = ticket->index}, text);
}

/* --- from RESP -------------------------------------------------------------------------------------------------------- */

/* All of it, together; gone from `from`. */
static struct slice take_text(struct native_desk *desk, struct out *from)
{
    struct buf *text = &desk->text;
    text->size = 0;
    if (buf_reserve(text, from->size) != OK) {
        from->broken = true;
        return (struct slice){0};
    }
    while (from->size > 0) {
        const size_t room = text->capacity - text->size;
        const struct slice part = out_peek(from, room, text->data + text->size);
        if (part.data != text->data + text->size) {
            memcpy(text->data + text->size, part.data, part.size);
        }
        text->size += part.size;
        out_take(from, part.size);
    }
    return buf_slice(text);
}

static bool integer_of(struct reply_cursor *cursor, uint64_t *ret_number)
{
    struct reply_element element;
    if (reply_next(cursor, &element) != OK || element.type != REPLY_INTEGER) {
        return false;
    }
    *ret_number = (uint64_t)element.number;
    return true;
}

static double ratio_of(struct slice number)
{
    char text[32] = {0};
    memcpy(text, number.data, number.size < sizeof(text) - 1 ? number.size : sizeof(text) - 1);
    return strtod(text, NULL);
}

/* One of CACHE.NODES: a map of names and values. */
static bool node_of(struct reply_cursor *cursor, struct native_node *ret)
{
    struct reply_element map;
    *ret = (struct native_node){.weight = 1, .has_weight = true};
    if (reply_next(cursor, &map) != OK || map.type != REPLY_MAP) {
        return false;
    }
    for (int64_t i = 0; i < map.number; i += 2) {
        struct reply_element name;
        struct reply_element value;
        if (reply_next(cursor, &name) != OK || reply_next(cursor, &value) != OK) {
            return false;
        }
        if (slice_is(name.text, "id")) {
            ret->node = value.text;
        } else if (slice_is(name.text, "address")) {
            ret->address = value.text;
        } else if (slice_is(name.text, "state")) {
            ret->state = value.text;
            ret->is_live = !slice_is(value.text, "LEFT") && !slice_is(value.text, "GONE");
        } else if (slice_is(name.text, "hit_ratio")) {
            ret->hit_ratio = ratio_of(value.text);
        } else if (slice_is(name.text, "weight")) {
            ret->weight = ratio_of(value.text);
        } else if (slice_is(name.text, "load")) {
            ret->connections = (uint64_t)value.number;
        } else if (slice_is(name.text, "age_ms")) {
            ret->heard_ms = value.number > 0 ? (uint64_t)value.number : 0;
        } else if (slice_is(name.text, "self")) {
            ret->is_self = value.number != 0;
        }
    }
    return true;
}

static bool topology_of(struct conn *conn, const struct native_ticket *ticket,
                        struct reply_cursor cursor)
{
    struct reply_element head;
    if (reply_next(&cursor, &head) != OK || head.type != REPLY_ARRAY) {
        return false;
    }
    struct native_node *nodes = calloc((size_t)head.number + 1, sizeof(*nodes));
    bool done = nodes != NULL;
    for (int64_t i = 0; i < head.number && done; i++) {
        done = node_of(&cursor, &nodes[i]);
    }
    if (done) {
        const struct native_reply reply = {.nodes = nodes, .node_count = (size_t)head.number};
        native_put(conn, ticket, NATIVE_OK, &reply, (struct slice){0});
    }
    free(nodes);
    return done;
}

/* A list goes into the body; of SUBMIT and REGISTER only the id comes, of the others nothing. */
static bool warming_of(struct conn *conn, const struct native_ticket *ticket,
                       const struct reply_element *first, struct slice text)
{
    struct buf body = {0};
    struct native_reply reply = {0};
    enum status status = OK;
    if (first->type == REPLY_INTEGER) {
        reply.warm_id = (uint64_t)first->number;
    } else if (first->type == REPLY_ARRAY || first->type == REPLY_MAP) {
        status = ticket->op == NATIVE_HOT ? native_hot_list_of(text, &body)
                                          : native_warm_list_of(text, &body);
    }
    if (status == OK) {
        native_put(conn, ticket, NATIVE_OK, &reply, buf_slice(&body));
    }
    buf_done(&body);
    return status == OK;
}

/* What the few words say. false: they are not what this request is answered with. */
static bool put_words(struct conn *conn, const struct native_ticket *ticket, struct slice text)
{
    struct reply_cursor cursor = {text};
    struct reply_element first;
    struct native_reply reply = {0};
    struct slice body = {0};
    enum native_status status = NATIVE_OK;
    if (reply_next(&cursor, &first) != OK) {
        return false;
    }
    const bool is_number = first.type == REPLY_INTEGER;
    switch (ticket->op) {
    case NATIVE_GET:
    case NATIVE_FETCH:
    case NATIVE_MGET: /* of a key too long for L1; how long it lives nobody asked */
        status = first.type == REPLY_NULL ? NATIVE_NIL : NATIVE_OK;
        reply.state = first.type == REPLY_NULL ? NATIVE_STATE_NONE : NATIVE_STATE_HIT;
        reply.age_ms = first.type == REPLY_NULL ? -1 : 0;
        reply.ttl_ms = first.type == REPLY_NULL ? -2 : -1;
        reply.index = ticket->index;
        body = first.text;
        break;
    case NATIVE_SET:
        status = first.type == REPLY_NULL ? NATIVE_NIL : NATIVE_OK;
        reply.seq = is_number ? (uint64_t)first.number : 0;
        break;
    case NATIVE_FILL: reply.seq = is_number ? (uint64_t)first.number : 0; break;
    case NATIVE_DELETE: reply.count = is_number ? (uint64_t)first.number : 0; break;
    case NATIVE_INVALIDATE:
        if (first.type != REPLY_ARRAY || !integer_of(&cursor, &reply.seq) ||
            !integer_of(&cursor, &reply.count)) {
            return false;
        }
        break;
    case NATIVE_STATS: body = first.text; break;
    case NATIVE_TOPOLOGY: return topology_of(conn, ticket, (struct reply_cursor){text});
    case NATIVE_WARM:
    case NATIVE_HOT: return warming_of(conn, ticket, &first, text);
    default: break;
    }
    native_put(conn, ticket, status, &reply, body);
    return true;
}

static void answer_words(struct conn *conn, const struct native_ticket *ticket, struct out *from)
{
    struct native_desk *desk = conn->worker->native;
    const struct slice text = take_text(desk, from);
    struct reply_cursor cursor = {text};
    struct reply_element element;
    if (reply_next(&cursor, &element) != OK) {
        native_put_error(conn, ticket, SLICE_LITERAL("ERR no answer"));
    } else if (element.type == REPLY_ERROR || element.type == REPLY_BULK_ERROR) {
        native_put_error(conn, ticket, element.text);
    } else if (!put_words(conn, ticket, text)) {
        native_put_error(conn, ticket, SLICE_LITERAL("ERR the answer is none to this request"));
    }
    if (desk->text.capacity > KEPT) {
        buf_done(&desk->text);
    }
}

/* --- the way out ------------------------------------------------------------------------------------------------------ */

static void answer_call(struct conn *conn, const struct native_ticket *ticket, struct out *from)
{
    put_head(&conn->reply.out, ticket, NATIVE_OK, 0, from->size);
    out_move(&conn->reply.out, from);
}

/* A read wrote it, and could not know whether it is the last of several. */
static void answer_frame(struct conn *conn, const struct native_ticket *ticket, struct out *from)
{
    char *head = ticket->several == NULL ? NULL : out_head(from, NATIVE_HEADER_SIZE);
    if (head != NULL) {
        head[FLAGS_AT] = (char)flags_of(ticket);
    }
    out_move(&conn->reply.out, from);
}

static void put_answer(struct conn *conn, const struct native_ticket *ticket, struct out *from)
{
    const char *begin = out_head(from, 1); /* of RESP, or of a frame: text in any case */
    const char first = begin == NULL ? '\0' : *begin;
    const bool is_error = first == REPLY_ERROR || first == REPLY_BULK_ERROR;
    if (first == (char)NATIVE_MAGIC) {
        answer_frame(conn, ticket, from);
    } else if (ticket->op == NATIVE_HELLO && (!is_error || conn->worker->native->is_quiet)) {
        out_done(from); /* the welcome comes behind all that HELLO says */
    } else if (ticket->op == NATIVE_CALL && !is_error && from->size <= UINT32_MAX) {
        answer_call(conn, ticket, from);
    } else {
        answer_words(conn, ticket, from);
    }
    worker_mark_dirty(conn->worker, conn);
}

void native_answer(struct conn *conn, const struct native_ticket *ticket, struct out *from)
{
    if (from->size > 0 && conn->state != CONN_CLOSED) { /* it is here, and somebody reads it */
        put_answer(conn, ticket, from);
    }
    /* Without memory for an answer its connection ends; nothing of it stays for who writes there next. */
    out_done(from);
    conn->reply.out.broken = conn->reply.out.broken || from->broken;
    from->broken = false;
}

struct reply *native_place(struct worker *worker, const struct native_ticket *ticket)
{
    struct reply *place = &worker->native->aside;
    place->failed = false;
    place->native = ticket;
    return place;
}

void native_on_deferred(struct answer *answer, const struct call *call)
{
    answer->native = *call->native;
    answer->native.memory = NULL;
    answer->native.traceparent = (struct slice){0};
    answer->reply.native = &answer->native;
    if (answer->native.several != NULL) {
        answer->native.several->holds++;
    }
    if (answer->native.deadline_ms != 0) {
        native_deadline_add(answer);
    }
}

void native_forget(struct answer *answer)
{
    native_deadline_drop(answer);
    native_several_release(answer->native.several);
    answer->native.several = NULL;
}

void native_on_landed(struct answer *answer)
{
    struct conn *conn = answer->conn;
    list_remove(&answer->link);
    conn->answer_count--;
    conn->kept -= answer->size;
    native_answer(conn, &answer->native, &answer->reply.out);
    native_forget(answer);
    answer_free(answer);
}
