/* SPDX-License-Identifier: BSD-3-Clause */
#include "tiers/link.h"

#include "protocol/check.h"
#include "protocol/limits.h"
#include "tiers/link_inner.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    BUFFER_KEPT = 256 * 1024, /* an empty buffer larger than this is given back */
    OUTPUT_SLACK = 64 * 1024, /* written bytes in front of the output that are not worth a move */
};

struct link *link_new(const struct link_options *options)
{
    CHECK(options->proto == 2 || options->proto == 3);
    struct link *link = calloc(1, sizeof *link);
    if (link == NULL) {
        return NULL;
    }
    link->magic = LINK_MAGIC;
    link->options = *options;
    uint64_t seed = options->seed;
    if (seed == 0) {
        rand_secret(&seed, sizeof seed);
    }
    rand_seed(&link->rand, seed);
    link_fence_lost(link);
    (void)snprintf(link->why, sizeof link->why, "not connected yet");
    return link;
}

const struct l2_url *link_url(const struct link *link)
{
    CHECK_MAGIC(link, LINK_MAGIC);
    return link->options.url;
}

void link_go_to(struct link *link, const struct l2_url *url, int64_t delay_ms, int64_t now_ms)
{
    CHECK_MAGIC(link, LINK_MAGIC);
    if (url != link->options.url) {
        link_close(link, "L2 is at another address", now_ms);
        link->options.url = url; /* after it: what is lost was lost at the former one */
    }
    link->retry_at_ms = now_ms + delay_ms;
    link->down = link->down && delay_ms > 0; /* what is asked meanwhile waits for the attempt */
}

void link_poke(struct link *link, int64_t now_ms)
{
    CHECK_MAGIC(link, LINK_MAGIC);
    if (link->state == LINK_DOWN && link->down) {
        link_go_to(link, link->options.url, 0, now_ms);
    }
}

enum link_state link_state(const struct link *link)
{
    CHECK_MAGIC(link, LINK_MAGIC);
    return link->state;
}

bool link_is_down(const struct link *link)
{
    CHECK_MAGIC(link, LINK_MAGIC);
    return link->down;
}

const char *link_why_down(const struct link *link)
{
    CHECK_MAGIC(link, LINK_MAGIC);
    return link->why;
}

void link_set_socket(struct link *link, void *socket)
{
    CHECK_MAGIC(link, LINK_MAGIC);
    link->socket = socket;
}

void *link_socket(const struct link *link)
{
    CHECK_MAGIC(link, LINK_MAGIC);
    return link->socket;
}

uint64_t link_client_id(const struct link *link)
{
    CHECK_MAGIC(link, LINK_MAGIC);
    return link->state == LINK_READY ? link->client_id : 0;
}

uint64_t link_target(const struct link *link)
{
    CHECK_MAGIC(link, LINK_MAGIC);
    return link->state == LINK_READY ? link->fence.target : 0;
}

uint64_t link_run(const struct link *link)
{
    CHECK_MAGIC(link, LINK_MAGIC);
    return link->state == LINK_READY ? link->greeting.run : 0;
}

/* While it is up. */
void link_explain(struct link *link, const char *why)
{
    (void)snprintf(link->why, sizeof link->why, "%s", why);
}

void link_count(struct link *link, enum metric id)
{
    if (link->options.metrics != NULL) {
        metrics_count(link->options.metrics, id);
    }
}

void link_move(struct link *link, enum link_state to)
{
    static const unsigned allowed[] = {
        [LINK_DOWN] = 1u << LINK_CONNECTING,
        [LINK_CONNECTING] = 1u << LINK_GREETING | 1u << LINK_DOWN,
        [LINK_GREETING] = 1u << LINK_READY | 1u << LINK_DOWN,
        [LINK_READY] = 1u << LINK_DOWN,
    };
    CHECK((allowed[link->state] & 1u << to) != 0); /* the drawing in link.h */
    link->state = to;
}

/* --- the end of requests ---------------------------------------------------------------------------------------- */

void link_end_request(struct link *link, struct link_request *request, enum status status,
                      struct slice reply)
{
    link->callbacks++;
    request->on_reply(request, status, reply);
    link->callbacks--;
}

/* Ends all of a ring that is no longer the link's: callbacks may ask again meanwhile. */
static void end_all(struct link *link, struct link_fifo *fifo, bool were_sent, uint64_t written)
{
    while (fifo->count > 0) {
        const struct link_slot slot = link_fifo_pop(fifo);
        if (slot.request != NULL) {
            const bool may_have_run = were_sent && slot.request->writes && slot.ends_at <= written;
            link_end_request(link, slot.request, may_have_run ? UNKNOWN : L2_DOWN,
                             (struct slice){0});
        }
    }
    link_fifo_done(fifo);
}

static void end_everything(struct link *link, int64_t now_ms)
{
    struct link_fifo sent = link->sent;
    struct link_fifo waiting = link->waiting;
    const uint64_t written = link->written;
    link->sent = (struct link_fifo){0};
    link->waiting = (struct link_fifo){0};
    link->earliest_ms = 0;
    buf_done(&link->held);
    link->out_head = 0;
    buf_done(&link->out);
    if (!link->freed) {
        link_doom(link, &sent, written, now_ms);
    }
    link_fence_end_kept(link);
    end_all(link, &sent, true, written);
    end_all(link, &waiting, false, written);
}

/* What was read of the connection that is gone. While link_on_read is at work a reply in it may still be looked at, and it
 * is cleared there. */
static void forget_input(struct link *link)
{
    link->connection++;
    link->poured = false;
    link->framer = (struct reply_framer){0};
    link->large = (struct link_large){0};
    if (!link->reading) {
        link->in.size = 0;
        link->in_head = 0;
    }
}

void link_end(struct link *link)
{
    CHECK_MAGIC(link, LINK_MAGIC);
    if (link->freed) {
        return;
    }
    link->freed = true;
    if (link->state != LINK_DOWN) {
        link_move(link, LINK_DOWN);
        link->options.io.close(link->options.io.roof, link);
    }
    forget_input(link);
    end_everything(link, 0);
    link_doom_free(link);
}

void link_free(struct link *link)
{
    if (link == NULL) {
        return;
    }
    CHECK_MAGIC(link, LINK_MAGIC);
    CHECK(link->callbacks == 0);
    link_end(link);
    buf_done(&link->in);
    link->magic = 0;
    free(link);
}

/* When to try again: 250, 500, 1000, 1000 ... ms, a quarter more or less. */
static int64_t retry_delay_ms(struct link *link)
{
    static const uint64_t delays_ms[] = {250, 500, 1000};
    const size_t last = sizeof delays_ms / sizeof delays_ms[0] - 1;
    const uint64_t delay_ms = delays_ms[link->failures < last ? link->failures : last];
    link->failures++;
    return (int64_t)(delay_ms * 3 / 4 + rand_below(&link->rand, delay_ms / 2 + 1));
}

/* The one way down. */
static void lose(struct link *link, const char *why, int64_t now_ms)
{
    const bool was_ready = link->state == LINK_READY;
    link_move(link, LINK_DOWN);
    link->down = !was_ready;
    link->silent_since_ms = 0;
    forget_input(link);
    link_fence_lost(link);
    link_doom_lost(link);
    char text[LINK_WHY_MAX]; /* `why` may be link->why itself */
    (void)snprintf(text, sizeof text, "%s", why);
    memcpy(link->why, text, sizeof text);
    link->retry_at_ms = now_ms + retry_delay_ms(link);
    if (was_ready) {
        link_count(link, M_L2_LOSSES);
    }
    if (link->options.on_down != NULL) {
        link->callbacks++;
        link->options.on_down(link, link->options.arg, text);
        link->callbacks--;
    }
    end_everything(link, now_ms);
}

void link_close(struct link *link, const char *why, int64_t now_ms)
{
    CHECK_MAGIC(link, LINK_MAGIC);
    if (link->state == LINK_DOWN) {
        return;
    }
    link->options.io.close(link->options.io.roof, link);
    lose(link, why, now_ms);
}

void link_on_lost(struct link *link, const char *why, int64_t now_ms)
{
    CHECK_MAGIC(link, LINK_MAGIC);
    if (link->state != LINK_DOWN) {
        lose(link, why, now_ms);
    }
}

/* --- output ------------------------------------------------------------------------------------------------------ */

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
        if (link->out.capacity > BUFFER_KEPT) {
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

/* --- becoming ready -------------------------------------------------------------------------------------------------- */

void link_on_connected(struct link *link, int64_t now_ms)
{
    CHECK_MAGIC(link, LINK_MAGIC);
    link_move(link, LINK_GREETING);
    link->overdue_at_ms = now_ms + LINK_ATTEMPT_MS;
    link->selected = 0;
    link->databases = 0;
    link->client_id = 0;
    if (link_greeting_append(link, now_ms) != OK) {
        link_close(link, "no memory for the greeting", now_ms);
        return;
    }
    link_out_announce(link, 0);
}

/* Sends what waited, in order. Without memory for all of it, all ends: a read may be two requests, and its second must
 * not end before its first. */
static void send_waiting(struct link *link)
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

void link_become_ready(struct link *link)
{
    link_move(link, LINK_READY);
    link->down = false;
    link_explain(link, "no answer within the deadline"); /* almost all that can go wrong then */
    link->failures = 0;
    link_count(link, M_L2_CONNECTS);
    if (link->options.on_ready != NULL) {
        link->callbacks++;
        link->options.on_ready(link, link->options.arg, &link->greeting);
        link->callbacks--;
    }
    if (link->state == LINK_READY) {
        send_waiting(link);
    }
}

/* --- replies ----------------------------------------------------------------------------------------------------- */

static void push_take(struct link *link, struct slice reply)
{
    link->callbacks++;
    link->options.on_push(link, link->options.arg, reply);
    link->callbacks--;
}

static void reply_take(struct link *link, struct slice reply, int64_t now_ms)
{
    const bool is_push = reply.data[0] == REPLY_PUSH;
    if (is_push || link->sent.count == 0) {
        if (link->options.on_push != NULL) {
            push_take(link, reply);
        } else if (!is_push) {
            link_close(link, "L2 answered what nobody asked", now_ms);
        }
        return;
    }
    struct link_slot *first = link_fifo_at(&link->sent, 0);
    if (first->parts > 0) {
        first->parts--;
        if (first->request != NULL && !first->request->on_part(first->request, reply)) {
            link_close(link, "L2 refused a part of a request", now_ms);
        }
        return;
    }
    const struct link_slot slot = link_fifo_pop(&link->sent);
    if (slot.kind == SLOT_BEAT) {
        link_fence_take_beat(link, reply, now_ms);
    } else if (slot.kind == SLOT_SELECT && reply.data[0] != REPLY_STATUS) {
        link_close(link, "L2 refused SELECT of a database that it had accepted", now_ms);
    } else if (slot.request == NULL) {
        return; /* its deadline passed */
    } else if (link_fence_is_open(link, slot.request, now_ms)) {
        link_end_request(link, slot.request, OK, reply);
    } else {
        link_fence_keep(link, slot.request, reply, OK, now_ms);
    }
}

/* A large buffer that is empty is given back; what is left of a reply moves to the front when room is wanted. */
static void in_tidy(struct link *link)
{
    if (link->in_head < link->in.size) {
        return;
    }
    link->in.size = 0;
    link->in_head = 0;
    if (link->in.capacity > BUFFER_KEPT) {
        buf_done(&link->in);
    }
}

char *link_read_room(struct link *link, size_t want, size_t *ret_room)
{
    CHECK_MAGIC(link, LINK_MAGIC);
    CHECK(!link->reading);
    buf_consume(&link->in, link->in_head);
    link->in_head = 0;
    if (buf_reserve(&link->in, want) != OK) {
        return NULL;
    }
    *ret_room = link->in.capacity - link->in.size;
    return link->in.data + link->in.size;
}

void link_on_read(struct link *link, size_t size, int64_t now_ms)
{
    CHECK_MAGIC(link, LINK_MAGIC);
    CHECK(!link->reading && size <= link->in.capacity - link->in.size);
    if (link->state != LINK_GREETING && link->state != LINK_READY) {
        return; /* bytes of a connection that was given up in this turn */
    }
    link->in.size += size;
    link->silent_since_ms = 0;
    link->reading = true;
    const uint64_t connection = link->connection;
    while (connection == link->connection && link->in_head < link->in.size) {
        const struct slice rest = {.data = link->in.data + link->in_head,
                                   .size = link->in.size - link->in_head};
        size_t reply_size = 0;
        if (link->large.left > 0) {
            link->in_head += link_large_take(link, rest);
            continue;
        }
        const enum status status = reply_frame(&link->framer, rest, &reply_size);
        if (status == AGAIN && link_large_begin(link, rest, now_ms)) {
            continue;
        }
        if (status == AGAIN) {
            break;
        }
        if (status != OK) {
            link_close(link, "L2 sent bytes that are no reply of Redis", now_ms);
            break;
        }
        link->in_head += reply_size;
        link->large.gathers = false;
        const struct slice reply = {.data = rest.data, .size = reply_size};
        if (link->state == LINK_GREETING) {
            link_greeting_take(link, reply, now_ms);
        } else {
            reply_take(link, reply, now_ms);
        }
    }
    link->reading = false;
    if (connection != link->connection) {
        link->in_head = link->in.size;
    }
    in_tidy(link);
}

/* --- time -------------------------------------------------------------------------------------------------------- */

void link_tick(struct link *link, int64_t now_ms)
{
    CHECK_MAGIC(link, LINK_MAGIC);
    if (link->freed) {
        return;
    }
    switch (link->state) {
    case LINK_DOWN:
        if (now_ms >= link->retry_at_ms && link->options.url != NULL) {
            link_move(link, LINK_CONNECTING);
            link->overdue_at_ms = now_ms + LINK_ATTEMPT_MS;
            link->options.io.connect(link->options.io.roof, link);
        }
        break;
    case LINK_CONNECTING:
        if (now_ms >= link->overdue_at_ms) {
            link_close(link, "L2 did not accept the connection in time", now_ms);
        }
        break;
    case LINK_GREETING:
        if (now_ms >= link->overdue_at_ms) {
            link_close(link, "L2 did not answer the greeting in time", now_ms);
        }
        break;
    case LINK_READY:
        if (link->silent_since_ms != 0 && now_ms - link->silent_since_ms >= LINK_SILENCE_MS) {
            link_close(link, "L2 is silent", now_ms);
        } else {
            link_fence_tick(link, now_ms);
        }
        break;
    }
    link_deadline_tick(link, now_ms);
    link_doom_tick(link, now_ms);
}
