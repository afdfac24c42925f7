/* SPDX-License-Identifier: BSD-3-Clause */
#include "tiers/link.h"

#include "protocol/check.h"
#include "tiers/link_inner.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

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

/* Checks the move against the drawing in link.h. */
static void link_move(struct link *link, enum link_state to)
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
        link_out_waiting(link);
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
    if (link->in.capacity > LINK_BUFFER_KEPT) {
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
            link_close(link,
                       link->options.url != NULL && link->options.url->tls
                           ? "TLS: L2 did not end the handshake in time; does it speak TLS there?"
                           : "L2 did not accept the connection in time",
                       now_ms);
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
