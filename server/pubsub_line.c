/* SPDX-License-Identifier: BSD-3-Clause */
#include "server/pubsub_line.h"

#include "protocol/resp_read.h"
#include "protocol/resp_write.h"
#include "server/commands.h"
#include "server/conn.h"
#include "server/node.h"
#include "server/pubsub.h"
#include "server/pubsub_order.h"
#include "server/push.h"
#include "server/relay.h"
#include "server/worker.h"
#include "tiers/line.h"
#include "tiers/tiers.h"

#include <stdlib.h>
#include <string.h>

struct pubsub_line {
    struct line_user user; /* first */
    struct line *line;
    struct conn *conn;
    struct list calls; /* that L2 has not answered, in order */
    unsigned call_count;
};

enum line_answer {
    CONFIRMS_BEGIN,
    CONFIRMS_END,
    ANSWERS_PING,
    ANSWERS_AS_IS,
    ANSWERS_RESET,
};

struct line_call {
    struct list link;
    struct answer *answer;
    enum line_answer what;
    enum channel_kind kind;
    unsigned missing;        /* confirmations; 0: as many as there are subscriptions of the kind */
    struct pubsub_turn turn; /* of what is confirmed: who publishes later waits for that */
};

/* --- who waits for whom ------------------------------------------------------------------------------------------------- */

static struct pubsub_line *line_of(const struct conn *conn)
{
    return conn->subscriber == NULL ? NULL : conn->subscriber->line;
}

bool pubsub_line_has(const struct conn *conn)
{
    return line_of(conn) != NULL;
}

bool pubsub_line_takes(const struct conn *conn, const struct command *command)
{
    const uint32_t changes = COMMAND_PUBSUB | COMMAND_SUBSCRIBER;
    if (command == NULL) {
        return false;
    }
    const bool publishes = command->run == cmd_publish || command->run == cmd_spublish;
    return (command->flags & changes) == changes ||
           (pubsub_line_has(conn) &&
            (command->run == cmd_ping || (publishes && conn->session.proto == 3)));
}

bool pubsub_line_holds(const struct conn *conn, const struct command *command)
{
    const struct pubsub_line *line = line_of(conn);
    const unsigned on_line = line == NULL ? 0 : line->call_count;
    if (on_line > 0 &&
        LIST_ENTRY(line->calls.prev, struct line_call, link)->what == ANSWERS_RESET) {
        return true;
    }
    return pubsub_line_takes(conn, command) ? conn->answer_count != on_line : on_line > 0;
}

/* --- the end ------------------------------------------------------------------------------------------------------------ */

static void line_free(struct pubsub_line *line)
{
    line->conn->subscriber->line = NULL;
    line_end(line->line);
    free(line);
}

static void call_free(struct line_call *call)
{
    if (call->what <= CONFIRMS_END) {
        pubsub_order_leave(call->answer->worker->node->pubsub_order, &call->turn);
    }
    list_remove(&call->link);
    free(call);
}

/* The last thing that is done with the line: an answer that lands may close its connection. */
static void call_land(struct pubsub_line *line, struct line_call *call)
{
    struct answer *answer = call->answer;
    call_free(call);
    line->call_count--;
    if (list_empty(&line->calls) && !pubsub_is_subscribed(line->conn)) {
        line_free(line);
    }
    answer_land(answer);
}

/* Nobody answers these any more. */
static void calls_fail(struct list *calls)
{
    while (!list_empty(calls)) {
        struct line_call *call = LIST_ENTRY(calls->next, struct line_call, link);
        struct answer *answer = call->answer;
        if (answer->conn == NULL) {
            /* nobody hears it */
        } else if (call->what == ANSWERS_AS_IS) {
            reply_error(
                &answer->reply,
                "UNKNOWN the connection to L2 was lost; the message may or may not have been sent");
        } else {
            relay_refuse(&answer->reply, answer->worker, L2_DOWN);
        }
        call_free(call);
        answer_land(answer);
    }
}

void pubsub_line_end(struct pubsub_line *line)
{
    if (line != NULL) {
        struct list calls;
        list_init(&calls);
        list_splice_back(&calls, &line->calls);
        line_free(line);
        calls_fail(&calls);
    }
}

static void line_lost(struct pubsub_line *line)
{
    struct conn *conn = line->conn;
    const bool was_subscribed = pubsub_is_subscribed(conn);
    pubsub_line_end(line);
    if (was_subscribed && conn->state != CONN_CLOSED) {
        pubsub_forget(conn);
        conn_close_after_reply(conn);
    }
}

static void line_on_lost(struct line_user *user, const char *why)
{
    (void)why;
    line_lost((struct pubsub_line *)(void *)user);
}

/* --- what L2 says ------------------------------------------------------------------------------------------------------- */

/* The first elements of what came: enough for every message and confirmation. */
struct heard {
    struct reply_element elements[4];
    size_t count; /* 0: no array of words */
};

static bool heard_read(struct slice bytes, struct heard *ret_heard)
{
    struct reply_cursor cursor = {.rest = bytes};
    struct reply_element head;
    *ret_heard = (struct heard){0};
    if (reply_next(&cursor, &head) != OK) {
        return false;
    }
    if ((head.type != REPLY_PUSH && head.type != REPLY_ARRAY) || head.number < 1 ||
        head.number > 4) {
        return true;
    }
    for (; ret_heard->count < (size_t)head.number; ret_heard->count++) {
        if (reply_next(&cursor, &ret_heard->elements[ret_heard->count]) != OK) {
            return false;
        }
    }
    return true;
}

static bool says(const struct heard *heard, const char *word, size_t count)
{
    return heard->count == count && heard->elements[0].type == REPLY_BULK &&
           slice_is(heard->elements[0].text, word);
}

/* Whether it is a message, and then on which channel. */
static bool is_message(const struct heard *heard, struct slice *ret_channel)
{
    if (says(heard, "message", 3) || says(heard, "smessage", 3)) {
        *ret_channel = heard->elements[1].text;
        return true;
    }
    if (says(heard, "pmessage", 4)) {
        *ret_channel = heard->elements[2].text;
        return true;
    }
    return false;
}

static bool is_confirmation(const struct heard *heard, const struct line_call *call)
{
    static const char *const words[2][CHANNEL_KINDS] = {
        {"subscribe", "psubscribe", "ssubscribe"}, {"unsubscribe", "punsubscribe", "sunsubscribe"}};
    return call->what <= CONFIRMS_END && says(heard, words[call->what][call->kind], 3) &&
           heard->elements[2].type == REPLY_INTEGER;
}

static void confirm(struct pubsub_line *line, struct line_call *call, const struct heard *heard)
{
    const struct reply_element *name = &heard->elements[1];
    struct reply *reply = &call->answer->reply;
    if (call->missing == 0) {
        const unsigned count = pubsub_count(line->conn, call->kind);
        call->missing = count > 0 ? count : 1;
    }
    reply_push(reply, 3);
    reply_bulk(reply, heard->elements[0].text);
    if (name->type == REPLY_BULK) {
        reply_bulk(reply, name->text);
    } else {
        reply_null(reply);
    }
    reply_integer(reply, heard->elements[2].number);
    if (call->what == CONFIRMS_END && name->type == REPLY_BULK) {
        pubsub_unsubscribe(line->conn, call->kind, name->text);
    } else if (call->what == CONFIRMS_BEGIN &&
               pubsub_subscribe(line->conn, call->kind, name->text) != OK) {
        push_lost(line->conn); /* L2 delivers what we have no room to know of */
    }
    if (--call->missing == 0) {
        call_land(line, call);
    }
}

/* As the client's protocol has it, which may be another than the line's by now. */
static void answer_ping(const struct pubsub_line *line, struct line_call *call,
                        const struct heard *heard, struct slice bytes)
{
    struct reply *reply = &call->answer->reply;
    struct reply_cursor cursor = {.rest = bytes};
    struct reply_element element;
    if (reply->proto == 3 || !pubsub_is_subscribed(line->conn) || says(heard, "pong", 2)) {
        reply_raw(reply, bytes);
        return;
    }
    reply_array(reply, 2);
    reply_bulk_text(reply, "pong");
    const bool has_text = reply_next(&cursor, &element) == OK && element.type == REPLY_BULK;
    reply_bulk(reply, has_text ? element.text : SLICE_LITERAL(""));
}

static void answer_reset(struct line_call *call)
{
    struct answer *answer = call->answer;
    struct conn *conn = answer->conn;
    call_free(call);
    conn_reset_session(conn); /* and the line has gone */
    answer->silent = false;
    answer->reply.proto = conn->session.proto;
    reply_status(&answer->reply, "RESET");
    answer_land(answer);
}

static void line_on_push(struct line_user *user, struct slice bytes)
{
    struct pubsub_line *line = (struct pubsub_line *)(void *)user;
    struct line_call *call =
        list_empty(&line->calls) ? NULL : LIST_ENTRY(line->calls.next, struct line_call, link);
    struct heard heard;
    struct slice channel;
    if (!heard_read(bytes, &heard)) {
        line_lost(line);
    } else if (is_message(&heard, &channel)) {
        if (!pubsub_hides(channel)) {
            push_ahead(line->conn, bytes);
        }
    } else if (call == NULL) {
        line_lost(line); /* what nobody asked for means that we lost count */
    } else if (is_confirmation(&heard, call)) {
        confirm(line, call, &heard);
    } else if (call->what == ANSWERS_PING && bytes.data[0] != REPLY_ERROR) {
        answer_ping(line, call, &heard, bytes);
        call_land(line, call);
    } else if (call->what == ANSWERS_RESET) {
        answer_reset(call);
    } else {
        relay_answer(call->answer, NULL, OK, bytes);
        call_land(line, call);
    }
}

/* --- what clients say ----------------------------------------------------------------------------------------------------- */

static void refuse(struct call *call, enum status status)
{
    if (status == BUSY) {
        reply_errorf(call->reply,
                     "BUSY all %u connections to L2 for clients that subscribe are in use "
                     "(l2-subscribers-max)",
                     atomic_load(&tiers_lines(call->node->tiers)->subscribers_max));
    } else {
        relay_refuse(call->reply, call->worker, status);
    }
}

static enum status line_open(struct call *call)
{
    struct subscriber *subscriber = pubsub_subscriber(call->conn);
    struct pubsub_line *line = calloc(1, sizeof(*line));
    if (subscriber == NULL || line == NULL) {
        free(line);
        return NO_MEMORY;
    }
    line->user = (struct line_user){.on_lost = line_on_lost, .on_push = line_on_push};
    line->conn = call->conn;
    list_init(&line->calls);
    const enum status status = line_take(call->worker->window, call->conn->session.proto,
                                         LINE_SUBSCRIBER, &line->user, &line->line);
    if (status != OK) {
        free(line);
        return status;
    }
    subscriber->line = line;
    return OK;
}

static enum status line_say_call(struct pubsub_line *line, const struct call *call)
{
    if (call->raw.size > 0) {
        return line_say(line->line, call->raw);
    }
    struct buf made = {0}; /* it came inline */
    enum status status = resp_append_request(&made, call->argc, call->argv);
    if (status == OK) {
        status = line_say(line->line, buf_slice(&made));
    }
    buf_done(&made);
    return status;
}

static void line_ask_call(struct call *call, struct line_call asked)
{
    struct pubsub_line *line = line_of(call->conn);
    struct line_call *waiting = malloc(sizeof(*waiting));
    const enum status status = waiting == NULL ? NO_MEMORY : line_say_call(line, call);
    if (status != OK) {
        free(waiting);
        relay_refuse(call->reply, call->worker, status);
        if (line->call_count == 0 && !pubsub_is_subscribed(call->conn)) {
            line_free(line);
        }
        return;
    }
    *waiting = asked;
    waiting->answer = call_defer(call, WAIT_LOCAL);
    if (asked.what <= CONFIRMS_END) {
        waiting->answer->silent = false; /* heard whatever CLIENT REPLY says */
        pubsub_order_enter(call->node->pubsub_order, &waiting->turn);
    }
    list_push_back(&line->calls, &waiting->link);
    line->call_count++;
}

void pubsub_line_subscribe(struct call *call, enum channel_kind kind)
{
    const enum status status = pubsub_line_has(call->conn) ? OK : line_open(call);
    if (status != OK) {
        refuse(call, status);
        return;
    }
    line_ask_call(
        call, (struct line_call){.what = CONFIRMS_BEGIN, .kind = kind, .missing = call->argc - 1});
}

void pubsub_line_unsubscribe(struct call *call, enum channel_kind kind)
{
    line_ask_call(
        call, (struct line_call){.what = CONFIRMS_END, .kind = kind, .missing = call->argc - 1});
}

void pubsub_line_ping(struct call *call)
{
    line_ask_call(call, (struct line_call){.what = ANSWERS_PING});
}

void pubsub_line_relay(struct call *call)
{
    line_ask_call(call, (struct line_call){.what = ANSWERS_AS_IS});
}

void pubsub_line_reset(struct call *call)
{
    line_ask_call(call, (struct line_call){.what = ANSWERS_RESET});
}
