/* SPDX-License-Identifier: BSD-3-Clause */
#include "server/tracking_line.h"

#include "protocol/resp_read.h"
#include "protocol/resp_write.h"
#include "server/node.h"
#include "server/worker.h"
#include "tiers/bus_reply.h"
#include "tiers/line.h"
#include "tiers/tiers.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

enum {
    PINGS_PER_BOUND = 4,
    LEAST_BOUND_MS = 400, /* of so many ticks */
    FIRST_PREFIX = 7
};

enum state {
    OPENING,
    OPEN,
    CLOSED, /* nobody's: until what was asked is answered */
};

struct tracking_line {
    struct line_user voice_user;
    struct line_user ear_user;
    struct link_request begin;
    struct list in_worker;
    struct worker *worker;
    struct tracking_line_user *user;
    struct line *voice; /* NULL when it has ended, as the next */
    struct line *ear;
    enum state state;
    bool begun;        /* CLIENT TRACKING was said */
    int64_t heard_ms;  /* everything that Redis said before was heard */
    int64_t pinged_ms; /* 0: no PING is under way */
    bool broadcasts;
    size_t prefix_count;
    struct slice prefixes[]; /* and their bytes */
};

/* --- the end ------------------------------------------------------------------------------------------------------------ */

static void end_voice(struct tracking_line *line)
{
    struct line *voice = line->voice;
    line->voice = NULL;
    line_end(voice);
}

static void line_free(struct tracking_line *line)
{
    end_voice(line);
    list_remove(&line->in_worker);
    free(line);
}

void tracking_line_close(struct tracking_line *line)
{
    if (line != NULL) {
        struct line *ear = line->ear;
        line->state = CLOSED;
        line->user = NULL;
        line->ear = NULL;
        line_end(ear);
    } /* the rest at the next tick */
}

static void lose(struct tracking_line *line)
{
    if (line->state != CLOSED) {
        line->user->on_lost(line->user);
    }
}

static void voice_on_lost(struct line_user *user, const char *why)
{
    struct tracking_line *line = LIST_ENTRY(user, struct tracking_line, voice_user);
    (void)why;
    if (line->state == CLOSED) {
        end_voice(line); /* nobody waits for what became of its writes */
    } else {
        lose(line);
    }
}

static void ear_on_lost(struct line_user *user, const char *why)
{
    (void)why;
    lose(LIST_ENTRY(user, struct tracking_line, ear_user));
}

/* --- beginning ---------------------------------------------------------------------------------------------------------- */

static void on_begun(struct link_request *request, enum status status, struct slice reply)
{
    struct tracking_line *line = LIST_ENTRY(request, struct tracking_line, begin);
    if (line->state != OPENING) {
        return;
    }
    if (status != OK || reply.data[0] != REPLY_STATUS) {
        lose(line);
        return;
    }
    line->state = OPEN;
    line->heard_ms = line->worker->now_ms;
    line->user->on_open(line->user);
}

static enum status begin_request(const struct tracking_line *line, struct buf *out)
{
    char id[32];
    const int size = snprintf(id, sizeof(id), "%" PRIu64, line_client_id(line->ear));
    struct slice *words = malloc((FIRST_PREFIX + 2 * line->prefix_count) * sizeof(*words));
    if (words == NULL) {
        return NO_MEMORY;
    }
    size_t count = 0;
    words[count++] = SLICE_LITERAL("CLIENT");
    words[count++] = SLICE_LITERAL("TRACKING");
    words[count++] = SLICE_LITERAL("ON");
    words[count++] = SLICE_LITERAL("REDIRECT");
    words[count++] = (struct slice){id, (size_t)size};
    words[count++] = SLICE_LITERAL("NOLOOP");
    if (line->broadcasts) {
        words[count++] = SLICE_LITERAL("BCAST");
    }
    for (size_t i = 0; i < line->prefix_count; i++) {
        words[count++] = SLICE_LITERAL("PREFIX");
        words[count++] = line->prefixes[i];
    }
    const enum status status = resp_append_request(out, count, words);
    free(words);
    return status;
}

/* The ear listens. */
static void begin(struct tracking_line *line)
{
    struct buf request = {0};
    line->begun = true;
    line->begin = (struct link_request){
        .on_reply = on_begun,
        .deadline_ms = line->worker->now_ms + atomic_load(&line->worker->node->live.l2_timeout_ms),
    };
    if (begin_request(line, &request) != OK ||
        line_ask(line->voice, &line->begin, -1, buf_slice(&request)) != OK) {
        lose(line);
    }
    buf_done(&request);
}

/* --- hearing ------------------------------------------------------------------------------------------------------------- */

/* What stands behind the channel of a message: an array of keys; nil is what the node tells by itself. */
static void message_came(struct tracking_line *line, struct reply_cursor *cursor)
{
    struct reply_element channel;
    if (line->state == OPEN && reply_next(cursor, &channel) == OK && cursor->rest.size > 0 &&
        cursor->rest.data[0] == REPLY_ARRAY) {
        line->user->on_keys(line->user, cursor->rest);
    }
}

static void ear_on_push(struct line_user *user, struct slice bytes)
{
    struct tracking_line *line = LIST_ENTRY(user, struct tracking_line, ear_user);
    struct reply_cursor cursor = {bytes};
    struct reply_element head;
    struct reply_element word;
    if (line->state == CLOSED) {
        return;
    }
    if (reply_next(&cursor, &head) != OK || head.type != REPLY_ARRAY ||
        reply_next(&cursor, &word) != OK || word.type != REPLY_BULK) {
        lose(line);
    } else if (slice_is(word.text, "message")) {
        message_came(line, &cursor);
    } else if (slice_is(word.text, "pong")) {
        line->heard_ms = line->pinged_ms;
        line->pinged_ms = 0;
    } else if (slice_is(word.text, "subscribe") && !line->begun) {
        begin(line);
    }
}

/* --- life ---------------------------------------------------------------------------------------------------------------- */

static void keep_prefixes(struct tracking_line *line, const struct slice *prefixes)
{
    char *bytes = (char *)&line->prefixes[line->prefix_count];
    for (size_t i = 0; i < line->prefix_count; i++) {
        if (prefixes[i].size > 0) {
            memcpy(bytes, prefixes[i].data, prefixes[i].size);
        }
        line->prefixes[i] = (struct slice){bytes, prefixes[i].size};
        bytes += prefixes[i].size;
    }
}

/* Half of the pool stays for those who block and watch: they cannot do without. */
static bool leaves_room(const struct worker *worker)
{
    const struct line_counts *counts = tiers_lines(worker->node->tiers);
    return atomic_load(&counts->used) < atomic_load(&counts->max) / 2;
}

struct tracking_line *tracking_line_open(struct worker *worker, int proto, bool broadcasts,
                                         const struct slice *prefixes, size_t prefix_count,
                                         struct tracking_line_user *user)
{
    size_t size = prefix_count * sizeof(*prefixes);
    for (size_t i = 0; i < prefix_count; i++) {
        size += prefixes[i].size;
    }
    struct tracking_line *line = leaves_room(worker) ? malloc(sizeof(*line) + size) : NULL;
    if (line == NULL) {
        return NULL;
    }
    *line = (struct tracking_line){
        .voice_user = {.on_lost = voice_on_lost},
        .ear_user = {.on_lost = ear_on_lost, .on_push = ear_on_push},
        .worker = worker,
        .user = user,
        .heard_ms = worker->now_ms,
        .broadcasts = broadcasts,
        .prefix_count = prefix_count,
    };
    keep_prefixes(line, prefixes);
    list_push_back(&worker->tracking.lines, &line->in_worker);
    static const char subscribe[] = "*2\r\n$9\r\nSUBSCRIBE\r\n$20\r\n" BUS_CHANNEL_KEYS "\r\n";
    if (line_take(worker->window, proto, LINE_ALONE, &line->voice_user, &line->voice) != OK ||
        line_take(worker->window, 2, LINE_SUBSCRIBER, &line->ear_user, &line->ear) != OK ||
        line_say(line->ear, slice_of(subscribe)) != OK) {
        tracking_line_close(line);
        return NULL;
    }
    return line;
}

void tracking_line_hand_over(struct tracking_line *line, struct tracking_line_user *user)
{
    line->user = user;
}

struct line *tracking_line_voice(const struct tracking_line *line)
{
    return line->state == OPEN ? line->voice : NULL;
}

struct hello {
    struct link_request request;
};

static void on_hello(struct link_request *request, enum status status, struct slice reply)
{
    (void)status;
    (void)reply;
    free(LIST_ENTRY(request, struct hello, request));
}

void tracking_line_speak(struct tracking_line *line, int proto)
{
    struct hello *hello = calloc(1, sizeof(*hello));
    const struct slice bytes = proto == 3 ? SLICE_LITERAL("*2\r\n$5\r\nHELLO\r\n$1\r\n3\r\n")
                                          : SLICE_LITERAL("*2\r\n$5\r\nHELLO\r\n$1\r\n2\r\n");
    if (hello != NULL) {
        hello->request.on_reply = on_hello;
    }
    if (hello == NULL || line_ask(line->voice, &hello->request, -1, bytes) != OK) {
        free(hello);
        lose(line);
    }
}

/* --- time ---------------------------------------------------------------------------------------------------------------- */

static void line_tick(struct tracking_line *line, int64_t now_ms, int64_t bound_ms)
{
    const int64_t limit_ms =
        line->state == OPENING ? atomic_load(&line->worker->node->live.l2_timeout_ms) : bound_ms;
    if (line->state == CLOSED) {
        if (line->voice == NULL || link_is_quiet(line_link(line->voice))) {
            line_free(line);
        }
    } else if (now_ms - line->heard_ms > limit_ms) {
        lose(line);
    } else if (line->state == OPEN && line->pinged_ms == 0 &&
               now_ms - line->heard_ms >= bound_ms / PINGS_PER_BOUND) {
        line->pinged_ms = now_ms;
        if (line_say(line->ear, SLICE_LITERAL("*1\r\n$4\r\nPING\r\n")) != OK) {
            lose(line);
        }
    }
}

void tracking_line_tick_all(struct list *lines, int64_t now_ms, int64_t bound_ms)
{
    const int64_t bound = bound_ms > LEAST_BOUND_MS ? bound_ms : LEAST_BOUND_MS;
    struct list due;
    list_init(&due);
    list_splice_back(&due, lines);
    while (!list_empty(&due)) {
        struct tracking_line *line = LIST_ENTRY(due.next, struct tracking_line, in_worker);
        list_remove(&line->in_worker);
        list_push_back(lines, &line->in_worker);
        line_tick(line, now_ms, bound);
    }
}

void tracking_line_end_all(struct list *lines)
{
    while (!list_empty(lines)) {
        struct tracking_line *line = LIST_ENTRY(lines->next, struct tracking_line, in_worker);
        tracking_line_close(line);
        line_free(line);
    }
}
