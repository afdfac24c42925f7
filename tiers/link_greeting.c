/* SPDX-License-Identifier: BSD-3-Clause */
#include "protocol/limits.h"
#include "protocol/resp_write.h"
#include "tiers/link_inner.h"
#include "tiers/rights.h"

#include <stdio.h>

/* Life of the node's record in terrace:nodes by a greeting. */
#define RECORD_MS 10000

size_t link_select_write(char dst[LINK_SELECT_MAX], int db)
{
    char digits[I64_DIGITS_MAX];
    const int digit_count = (int)i64_format(digits, db);
    return (size_t)snprintf(dst, LINK_SELECT_MAX, "*2\r\n$6\r\nSELECT\r\n$%d\r\n%.*s\r\n",
                            digit_count, digit_count, digits);
}

static enum greeting_step step_first(const struct link *link)
{
    const struct l2_url *url = link->options.url;
    if (url->user != NULL || url->pass != NULL) {
        return GREET_AUTH;
    }
    return link->options.proto == 3 ? GREET_HELLO : GREET_CLIENT_ID;
}

static enum status auth_append(struct buf *out, const struct l2_url *url)
{
    struct slice words[3] = {SLICE_LITERAL("AUTH")};
    size_t word_count = 1;
    if (url->user != NULL) {
        words[word_count++] = slice_of(url->user);
    }
    words[word_count++] = slice_of(url->pass != NULL ? url->pass : ""); /* a user without one */
    return resp_append_request(out, word_count, words);
}

enum status link_greeting_append(struct link *link, int64_t now_ms)
{
    const struct link_options *options = &link->options;
    const struct slice hello[] = {SLICE_LITERAL("HELLO"), SLICE_LITERAL("3")};
    const struct slice client_id[] = {SLICE_LITERAL("CLIENT"), SLICE_LITERAL("ID")};
    const struct beat_request beat = {
        .coherence_db = options->coherence_db,
        .known_epoch = options->known_epoch != NULL ? options->known_epoch(options->arg) : 0,
        .fresh_random = rand_next(&link->rand),
        .node = options->node,
        .deadline_ms = now_ms + RECORD_MS,
    };
    enum status status = OK;
    link->greeted_at_ms = now_ms;
    link->step = step_first(link);
    if (link->step == GREET_AUTH) {
        status = auth_append(&link->out, options->url);
    }
    if (status == OK && options->proto == 3) {
        status = resp_append_request(&link->out, 2, hello);
    }
    if (status == OK) {
        status = resp_append_request(&link->out, 2, client_id);
    }
    if (status == OK && !options->plain) {
        status = beat_write(&link->out, &beat);
    }
    /* Downwards, so that the link ends in database 0. A bus asks nothing of any database. */
    link->select_next = options->on_push == NULL && !options->plain ? (int)LIMIT_DATABASES - 1 : -1;
    for (int db = link->select_next; db >= 0 && status == OK; db--) {
        char select[LINK_SELECT_MAX];
        status = buf_append(&link->out, select, link_select_write(select, db));
    }
    return status;
}

/* --- what is answered --------------------------------------------------------------------------- */

static void greeting_end(struct link *link)
{
    if (link_doom_waits(link)) {
        link->step = GREET_KILL;
        return;
    }
    if (link->selected == 0) {
        link->databases |= 1; /* where a connection begins, SELECT or not */
    }
    link_become_ready(link);
}

/* Keeps the server's words as the reason. */
static void refuse_greeting(struct link *link, struct slice text, int64_t now_ms)
{
    char why[LINK_WHY_MAX];
    const size_t size = text.size < sizeof why ? text.size : sizeof why - 1;
    for (size_t i = 0; i < size; i++) {
        const char byte = text.data[i];
        why[i] = (char)(byte >= ' ' && byte != 0x7f ? byte : ' ');
    }
    why[size] = '\0';
    link_close(link, why, now_ms);
}

static void greeting_take_beat(struct link *link, struct slice reply, int64_t now_ms)
{
    char error[BEAT_ERROR_MAX];
    if (beat_read(reply, &link->greeting, error) != OK) {
        link_close(link, error, now_ms);
        return;
    }
    link_fence_greeted(link);
    link->step = GREET_SELECT;
    const uint64_t connection = link->connection;
    link_doom_greeted(link);
    if (connection == link->connection && link->select_next < 0) {
        greeting_end(link);
    }
}

static void greeting_take_select(struct link *link, bool accepted)
{
    if (accepted) {
        link->databases |= 1u << link->select_next;
        link->selected = link->select_next;
    }
    link->select_next--;
    if (link->select_next < 0) {
        greeting_end(link);
    }
}

static void greeting_take_kill(struct link *link, bool is_number)
{
    const uint64_t connection = link->connection;
    link_doom_take_kill(link, is_number);
    if (connection == link->connection) {
        greeting_end(link);
    }
}

void link_greeting_take(struct link *link, struct slice reply, int64_t now_ms)
{
    struct reply_cursor cursor = {reply};
    struct reply_element element;
    if (reply_next(&cursor, &element) != OK) {
        link_close(link, "L2 does not speak as Redis does", now_ms);
        return;
    }
    const bool is_error = element.type == REPLY_ERROR || element.type == REPLY_BULK_ERROR;
    if (link->step == GREET_CLIENT_ID && is_error && rights_is_unknown(element.text)) {
        link->step =
            GREET_BEAT; /* no CLIENT at all: a lost write cannot be killed, and its asker hears so */
        return;
    }
    if (is_error && link->step < GREET_BEAT) {
        refuse_greeting(link, element.text, now_ms);
        return;
    }
    switch (link->step) {
    case GREET_AUTH: link->step = link->options.proto == 3 ? GREET_HELLO : GREET_CLIENT_ID; return;
    case GREET_HELLO: link->step = GREET_CLIENT_ID; return;
    case GREET_CLIENT_ID:
        if (element.type != REPLY_INTEGER || element.number <= 0) {
            link_close(link, "L2 does not answer CLIENT ID with a number", now_ms);
            return;
        }
        link->client_id = (uint64_t)element.number;
        link->step = GREET_BEAT;
        if (link->options.plain) {
            link->greeting = (struct beat_answer){0};
            greeting_end(link);
        }
        return;
    case GREET_BEAT: greeting_take_beat(link, reply, now_ms); return;
    case GREET_SELECT: greeting_take_select(link, !is_error); return;
    case GREET_KILL: greeting_take_kill(link, element.type == REPLY_INTEGER); return;
    }
}
