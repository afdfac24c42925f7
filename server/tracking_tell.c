/* SPDX-License-Identifier: BSD-3-Clause */
/* tracking_tell.c -- how a client that tracks is told: in RESP3 as a push, in RESP2 by another one's subscription, and
 * what Redis says to its line. */
#include "protocol/resp_read.h"
#include "server/conn.h"
#include "server/native.h"
#include "server/node.h"
#include "server/pubsub.h"
#include "server/push.h"
#include "server/tracking.h"
#include "server/tracking_client_inner.h"
#include "server/worker.h"

#include <inttypes.h>
#include <stdio.h>

enum {
    KEPT = 64 * 1024 /* of buffers, between turns */
};

void tracking_empty(struct buf *buf)
{
    buf->size = 0;
    if (buf->capacity > KEPT) {
        buf_done(buf);
    }
}

static void push_value(struct conn *conn, struct slice head, struct slice value)
{
    struct buf *push = &conn->worker->tracking.push;
    push->size = 0;
    if (buf_append_slice(push, head) == OK && buf_append_slice(push, value) == OK) {
        push_write(conn, buf_slice(push));
        tracking_empty(push);
    } else {
        push_lost(conn);
    }
}

void tracking_deliver(struct conn *conn, struct slice value, bool redirected)
{
    if (conn->native != NULL) {
        native_tell(conn, value);
    } else if (conn->session.proto == 3) {
        push_value(conn, SLICE_LITERAL(">2\r\n$10\r\ninvalidate\r\n"), value);
    } else if (redirected && pubsub_is_subscribed(conn)) {
        push_value(conn, SLICE_LITERAL("*3\r\n$7\r\nmessage\r\n$20\r\n__redis__:invalidate\r\n"),
                   value);
    }
}

void tracking_say_broken(struct tracking_client *client)
{
    char number[32];
    client->flags |= TRACKING_BROKEN;
    if (client->conn->session.proto == 3) {
        const int size = snprintf(number, sizeof(number), ":%" PRIu64 "\r\n", client->redirect);
        push_value(client->conn, SLICE_LITERAL(">2\r\n$21\r\ntracking-redir-broken\r\n"),
                   (struct slice){number, (size_t)size});
    }
}

/* `value` is the second half: an array of keys, or nil. */
static void tell_client(struct tracking_client *client, struct slice value)
{
    struct conn *conn = client->conn;
    struct worker *worker = conn->worker;
    if (client->redirect == 0) {
        tracking_deliver(conn, value, false);
        return;
    }
    if (client->redirect_worker != worker->index) {
        const struct news news = {
            .kind = NEWS_PASSED_ON,
            .client = client->redirect,
            .other = conn->session.id,
            .to_worker = worker->index,
            .bytes = value,
        };
        tracking_tell(worker->node->tracking, client->redirect_worker, &news);
        return;
    }
    struct conn *target = conn_find(worker, client->redirect);
    if (target != NULL) {
        tracking_deliver(target, value, true);
    } else {
        tracking_say_broken(client);
    }
}

enum status tracking_append_count(struct buf *out, char type, size_t count)
{
    return buf_printf(out, "%c%zu\r\n", type, count);
}

enum status tracking_append_key(struct buf *out, struct slice key)
{
    enum status status = tracking_append_count(out, '$', key.size);
    if (status == OK) {
        status = buf_append_slice(out, key);
    }
    return status == OK ? buf_append(out, "\r\n", 2) : status;
}

/* Without memory to say which: everything. */
void tracking_tell_built(struct tracking_client *client, enum status status)
{
    struct slice nil =
        client->conn->session.proto == 3 ? SLICE_LITERAL("_\r\n") : SLICE_LITERAL("$-1\r\n");
    tell_client(client, status == OK ? buf_slice(&client->conn->worker->tracking.value) : nil);
}

void tracking_tell_key(struct tracking_client *client, struct slice key)
{
    struct buf *value = &client->conn->worker->tracking.value;
    value->size = 0;
    enum status status = tracking_append_count(value, '*', 1);
    tracking_tell_built(client, status == OK ? tracking_append_key(value, key) : status);
    tracking_empty(value);
}

/* The next key of an array that stands in `keys` at its first element. */
static bool next_key(struct reply_cursor *keys, struct slice *ret_key)
{
    struct reply_element element;
    *ret_key = (struct slice){0};
    if (reply_next(keys, &element) != OK) {
        return false;
    }
    *ret_key = element.type == REPLY_BULK ? element.text : *ret_key;
    return true;
}

void tracking_tell_line_keys(struct tracking_client *client, struct slice keys)
{
    struct tracking_desk *desk = &client->conn->worker->tracking;
    const struct namespaces *spaces = client->conn->worker->node->namespaces;
    struct reply_cursor cursor = {keys};
    struct reply_element head;
    struct slice key;
    size_t count = 0;
    if (reply_next(&cursor, &head) != OK) {
        return;
    }
    struct reply_cursor again = cursor;
    while (next_key(&cursor, &key)) {
        tracking_drop_row(client, key, namespaces_hash(spaces, key));
        count += !tracking_is_own(key);
    }
    desk->value.size = 0;
    enum status status = tracking_append_count(&desk->value, '*', count);
    while (status == OK && next_key(&again, &key)) {
        status = tracking_is_own(key) ? OK : tracking_append_key(&desk->value, key);
    }
    if (count > 0) {
        tracking_tell_built(client, status);
    }
    tracking_empty(&desk->value);
}
