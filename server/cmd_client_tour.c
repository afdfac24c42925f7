/* SPDX-License-Identifier: BSD-3-Clause */
/* CLIENT LIST and CLIENT KILL: they look at the connections of every worker, one worker after another (mailbox.h). */
#include "server/acl.h"
#include "server/client_name.h"
#include "server/commands.h"
#include "server/conn.h"
#include "server/mailbox.h"
#include "server/node.h"
#include "server/pubsub.h"
#include "server/worker.h"

#include <stdlib.h>
#include <string.h>

enum client_type {
    TYPE_ANY,
    TYPE_NORMAL,
    TYPE_PUBSUB,
    TYPE_OTHER
};

/* false: no such type. A node has no replicas and no master; these names are known, and match nobody. */
static bool type_parse(struct slice text, enum client_type *ret_type)
{
    static const char *const others[] = {"master", "replica", "slave"};
    if (slice_is_nocase(text, "normal") || slice_is_nocase(text, "pubsub")) {
        *ret_type = slice_is_nocase(text, "normal") ? TYPE_NORMAL : TYPE_PUBSUB;
        return true;
    }
    for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++) {
        if (slice_is_nocase(text, others[i])) {
            *ret_type = TYPE_OTHER;
            return true;
        }
    }
    return false;
}

static bool type_fits(enum client_type type, const struct conn *conn)
{
    return type == TYPE_ANY || type == (pubsub_is_subscribed(conn) ? TYPE_PUBSUB : TYPE_NORMAL);
}

static void reply_about(struct call *call, const char *what, struct slice text)
{
    reply_errorf(call->reply, "ERR %s '%.*s'", what, text.size > 900 ? 900 : (int)text.size,
                 text.data);
}

/* --- LIST -------------------------------------------------------------------------------------------------------- */

/* Where in `text` the line of a client is. */
struct line {
    uint64_t id;
    size_t offset;
    size_t size;
};

struct client_list {
    struct tour tour; /* first: a tour is cast back */
    struct answer *answer;
    struct call asking; /* what is shown of it: its connection and its size */
    enum client_type type;
    struct buf ids;   /* uint64_t each, in the order they were asked for; empty: all */
    struct buf lines; /* struct line each */
    struct buf text;
    bool failed; /* no memory on the way */
};

static void list_free(struct client_list *list)
{
    buf_done(&list->ids);
    buf_done(&list->lines);
    buf_done(&list->text);
    free(list);
}

static uint64_t list_id(const struct client_list *list, size_t i)
{
    uint64_t id;
    memcpy(&id, list->ids.data + i * sizeof(id), sizeof(id));
    return id;
}

static bool list_wants(const struct client_list *list, const struct conn *conn)
{
    if (!type_fits(list->type, conn) || conn->state == CONN_CLOSED) {
        return false;
    }
    size_t count = list->ids.size / sizeof(uint64_t);
    for (size_t i = 0; i < count; i++) {
        if (list_id(list, i) == conn->session.id) {
            return true;
        }
    }
    return count == 0;
}

static enum status list_add(struct client_list *list, const struct conn *conn, int64_t now_ms)
{
    struct line line = {.id = conn->session.id, .offset = list->text.size};
    enum status status = conn_describe(conn, &list->asking, now_ms, &list->text);
    if (status == OK) {
        status = buf_append(&list->text, "\n", 1);
    }
    if (status == OK) {
        line.size = list->text.size - line.offset;
        status = buf_append(&list->lines, &line, sizeof(line));
    }
    return status;
}

static void list_visit(struct tour *tour, struct worker *worker)
{
    struct client_list *list = (struct client_list *)(void *)tour;
    int64_t now_ms = clock_now_ms(&worker->node->clock);
    for (struct list *at = worker->conns.next; at != &worker->conns && !list->failed;
         at = at->next) {
        const struct conn *conn = LIST_ENTRY(at, struct conn, in_worker);
        if (list_wants(list, conn) && list_add(list, conn, now_ms) != OK) {
            list->failed = true;
        }
    }
}

static int line_compare(const void *left, const void *right)
{
    const struct line *a = left;
    const struct line *b = right;
    return a->id < b->id ? -1 : a->id > b->id;
}

/* The lines by rising id, as Redis' list of clients is; or in the order of the ids that were asked for. */
static enum status list_join(struct client_list *list, struct buf *ret_text)
{
    struct line *lines = (struct line *)(void *)list->lines.data;
    size_t count = list->lines.size / sizeof(struct line);
    size_t asked = list->ids.size / sizeof(uint64_t);
    enum status status = OK;
    if (count > 1) {
        qsort(lines, count, sizeof(struct line), line_compare);
    }
    for (size_t i = 0; i < (asked > 0 ? asked : count) && count > 0 && status == OK; i++) {
        struct line key = {.id = asked > 0 ? list_id(list, i) : lines[i].id};
        const struct line *line = bsearch(&key, lines, count, sizeof(struct line), line_compare);
        if (line != NULL) {
            status = buf_append(ret_text, list->text.data + line->offset, line->size);
        }
    }
    return status;
}

static void list_done(struct tour *tour)
{
    struct client_list *list = (struct client_list *)(void *)tour;
    struct reply *reply = &list->answer->reply;
    struct buf text = {0};
    if (list->failed || list_join(list, &text) != OK) {
        reply_out_of_memory(reply);
    } else {
        reply_verbatim(reply, buf_slice(&text));
    }
    buf_done(&text);
    if (list->answer->conn != NULL) {
        conn_unhold(list->answer->conn, HOLD_ALONE);
    }
    answer_land(list->answer);
    list_free(list);
}

/* false: the error is answered. */
static bool list_parse(struct call *call, struct client_list *list)
{
    if (call->argc == 2) {
        return true;
    }
    if (call->argc == 4 && slice_is_nocase(call->argv[2], "type")) {
        if (!type_parse(call->argv[3], &list->type)) {
            reply_about(call, "Unknown client type", call->argv[3]);
            return false;
        }
        return true;
    }
    if (call->argc < 4 || !slice_is_nocase(call->argv[2], "id")) {
        reply_syntax_error(call->reply);
        return false;
    }
    for (uint32_t i = 3; i < call->argc; i++) {
        int64_t number = 0;
        if (slice_to_i64(call->argv[i], &number) != OK) {
            reply_error(call->reply, "ERR Invalid client ID");
            return false;
        }
        uint64_t id = (uint64_t)number; /* a negative one is nobody's */
        if (buf_append(&list->ids, &id, sizeof(id)) != OK) {
            reply_out_of_memory(call->reply);
            return false;
        }
    }
    return true;
}

void cmd_client_list(struct call *call)
{
    struct client_list *list = calloc(1, sizeof(*list));
    if (list == NULL) {
        reply_out_of_memory(call->reply);
        return;
    }
    if (!list_parse(call, list)) {
        list_free(list);
        return;
    }
    list->answer = call_defer(call, WAIT_LOCAL);
    list->asking = (struct call){
        .conn = call->conn, .raw = {.size = call->raw.size}, .deferred = call->execution == NULL};
    conn_hold(call->conn, HOLD_ALONE); /* one list at a time: with many clients it is megabytes */
    list->tour.visit = list_visit;
    list->tour.done = list_done;
    tour_start(&list->tour, call->worker);
}

/* --- KILL -------------------------------------------------------------------------------------------------------- */

struct client_kill {
    struct tour tour; /* first: a tour is cast back */
    struct answer *answer;
    struct buf address; /* these two: empty is "any" */
    struct buf local_address;
    uint64_t id;      /* 0: any */
    uint64_t user_id; /* 0: any */
    enum client_type type;
    int64_t age_ms_min;
    bool old_form; /* KILL ADDRESS: answers OK or an error, not a number */
    bool skip_self;
    uint64_t self;
    bool hit_self;
    int64_t count;
};

static void kill_free(struct client_kill *kill)
{
    buf_done(&kill->address);
    buf_done(&kill->local_address);
    free(kill);
}

static bool kill_wants(const struct client_kill *kill, const struct conn *conn, int64_t now_ms)
{
    const struct session *session = &conn->session;
    return conn->state == CONN_OPEN && type_fits(kill->type, conn) &&
           (kill->id == 0 || kill->id == session->id) &&
           (kill->user_id == 0 || kill->user_id == session->user->id) &&
           (kill->address.size == 0 || slice_is(buf_slice(&kill->address), session->peer)) &&
           (kill->local_address.size == 0 ||
            slice_is(buf_slice(&kill->local_address), session->local)) &&
           now_ms - session->created_at_ms >= kill->age_ms_min &&
           !(kill->skip_self && session->id == kill->self);
}

static void kill_visit(struct tour *tour, struct worker *worker)
{
    struct client_kill *kill = (struct client_kill *)(void *)tour;
    int64_t now_ms = clock_now_ms(&worker->node->clock);
    for (struct list *at = worker->conns.next, *next; at != &worker->conns; at = next) {
        next = at->next;
        struct conn *conn = LIST_ENTRY(at, struct conn, in_worker);
        if (!kill_wants(kill, conn, now_ms)) {
            continue;
        }
        kill->count++;
        if (conn->session.id == kill->self) {
            kill->hit_self = true; /* gets its answer first */
        } else {
            conn_close(conn);
        }
    }
}

static void kill_done(struct tour *tour)
{
    struct client_kill *kill = (struct client_kill *)(void *)tour;
    struct conn *self = kill->answer->conn;
    if (!kill->old_form) {
        reply_integer(&kill->answer->reply, kill->count);
    } else if (kill->count > 0) {
        reply_ok(&kill->answer->reply);
    } else {
        reply_error(&kill->answer->reply, "ERR No such client");
    }
    if (kill->hit_self && self != NULL) {
        conn_close_after_reply(self);
        kill->answer->is_last = true;
    }
    if (self != NULL) {
        conn_unhold(self, HOLD_ALONE);
    }
    answer_land(kill->answer);
    kill_free(kill);
}

static bool kill_option(struct call *call, struct client_kill *kill, struct slice name,
                        struct slice value)
{
    int64_t number = 0;
    if (slice_is_nocase(name, "id")) {
        if (slice_to_i64(value, &number) != OK || number < 1) {
            reply_error(call->reply, "ERR client-id should be greater than 0");
            return false;
        }
        kill->id = (uint64_t)number;
    } else if (slice_is_nocase(name, "maxage")) {
        if (slice_to_i64(value, &number) != OK || number < 1 || number > INT64_MAX / 1000) {
            reply_error(call->reply, "ERR maxage is not an integer or out of range");
            return false;
        }
        kill->age_ms_min = number * 1000;
    } else if (slice_is_nocase(name, "type")) {
        if (!type_parse(value, &kill->type)) {
            reply_about(call, "Unknown client type", value);
            return false;
        }
    } else if (slice_is_nocase(name, "user")) {
        const struct acl_user *user = acl_find(call->worker->users, value);
        if (user == NULL) {
            reply_about(call, "No such user", value);
            return false;
        }
        kill->user_id = user->id;
    } else if (slice_is_nocase(name, "skipme") &&
               (slice_is_nocase(value, "yes") || slice_is_nocase(value, "no"))) {
        kill->skip_self = slice_is_nocase(value, "yes");
    } else if (slice_is_nocase(name, "addr") || slice_is_nocase(name, "laddr")) {
        /* An empty address would read as "any": it is the address of nobody. */
        struct slice address = value.size > 0 ? value : SLICE_LITERAL("-");
        if (client_text_set(slice_is_nocase(name, "addr") ? &kill->address : &kill->local_address,
                            address) != OK) {
            reply_out_of_memory(call->reply);
            return false;
        }
    } else {
        reply_syntax_error(call->reply);
        return false;
    }
    return true;
}

static bool kill_parse(struct call *call, struct client_kill *kill)
{
    if (call->argc == 3) {
        kill->old_form = true;
        return kill_option(call, kill, SLICE_LITERAL("addr"), call->argv[2]);
    }
    kill->skip_self = true;
    for (uint32_t i = 2; i < call->argc; i += 2) {
        if (i + 1 == call->argc) {
            reply_syntax_error(call->reply);
            return false;
        }
        if (!kill_option(call, kill, call->argv[i], call->argv[i + 1])) {
            return false;
        }
    }
    return true;
}

void cmd_client_kill(struct call *call)
{
    struct client_kill *kill = calloc(1, sizeof(*kill));
    if (kill == NULL) {
        reply_out_of_memory(call->reply);
        return;
    }
    kill->self = call->conn->session.id;
    if (!kill_parse(call, kill)) {
        kill_free(kill);
        return;
    }
    kill->answer = call_defer(call, WAIT_LOCAL);
    /* It may kill itself: what is pipelined behind must not run. */
    conn_hold(call->conn, HOLD_ALONE);
    kill->tour.visit = kill_visit;
    kill->tour.done = kill_done;
    tour_start(&kill->tour, call->worker);
}
