/* SPDX-License-Identifier: BSD-3-Clause */
#include "server/tracking_client.h"

#include "protocol/check.h"
#include "server/conn.h"
#include "server/node.h"
#include "server/tracking.h"
#include "server/tracking_client_inner.h"
#include "server/worker.h"

#include <stdlib.h>
#include <string.h>

/* --- the desk ------------------------------------------------------------------------------------------------------ */

void tracking_desk_open(struct tracking_desk *desk, uint64_t secret)
{
    *desk = (struct tracking_desk){0};
    list_init(&desk->clients);
    prefix_index_open(&desk->prefixes, secret);
    list_init(&desk->lines);
}

void tracking_desk_done(struct tracking_desk *desk)
{
    CHECK(list_empty(&desk->clients) && list_empty(&desk->lines));
    prefix_index_done(&desk->prefixes);
    buf_done(&desk->broadcasts);
    buf_done(&desk->value);
    buf_done(&desk->push);
}

/* --- prefixes ------------------------------------------------------------------------------------------------------ */

int tracking_compare(struct slice a, struct slice b)
{
    const size_t least = a.size < b.size ? a.size : b.size;
    const int order = least > 0 ? memcmp(a.data, b.data, least) : 0;
    return order != 0 ? order : (a.size > b.size) - (a.size < b.size);
}

struct slice tracking_client_prefix(const struct tracking_client *client, size_t i)
{
    return tracking_prefix_bytes(client->prefixes[i]->prefix);
}

static void prefix_drop_if_empty(struct tracking_desk *desk, struct tracking_prefix *prefix)
{
    if (list_empty(&prefix->members)) {
        prefix_index_drop(&desk->prefixes, prefix);
    }
}

/* Where a prefix is among the client's, or would be. */
static size_t prefix_place(const struct tracking_client *client, struct slice bytes)
{
    size_t i = 0;
    while (i < client->prefix_count &&
           tracking_compare(tracking_client_prefix(client, i), bytes) < 0) {
        i++;
    }
    return i;
}

static enum status enter(struct tracking_client *client, size_t place,
                         struct tracking_prefix *prefix)
{
    struct tracking_membership *membership = malloc(sizeof(*membership));
    void *grown = realloc(client->prefixes,
                          (client->prefix_count + 1) * sizeof(struct tracking_membership *));
    client->prefixes = grown != NULL ? grown : client->prefixes;
    enum status status = membership == NULL || grown == NULL
                             ? NO_MEMORY
                             : tracking_use_prefix(client->conn->worker->node->tracking,
                                                   tracking_prefix_bytes(prefix));
    if (status != OK) {
        free(membership);
        return status;
    }
    *membership = (struct tracking_membership){.client = client, .prefix = prefix};
    list_push_back(&prefix->members, &membership->in_prefix);
    memmove(client->prefixes + place + 1, client->prefixes + place,
            (client->prefix_count - place) * sizeof(struct tracking_membership *));
    client->prefixes[place] = membership;
    client->prefix_count++;
    return OK;
}

static enum status add_prefix(struct tracking_client *client, struct slice bytes)
{
    const size_t place = prefix_place(client, bytes);
    if (place < client->prefix_count && slice_equal(tracking_client_prefix(client, place), bytes)) {
        return OK;
    }
    struct tracking_desk *desk = &client->conn->worker->tracking;
    struct tracking_prefix *prefix = prefix_index_take(&desk->prefixes, bytes);
    if (prefix == NULL) {
        return NO_MEMORY;
    }
    const enum status status = enter(client, place, prefix);
    prefix_drop_if_empty(desk, prefix);
    return status;
}

static void leave_prefixes(struct tracking_client *client)
{
    for (size_t i = 0; i < client->prefix_count; i++) {
        struct tracking_membership *membership = client->prefixes[i];
        struct tracking_prefix *prefix = membership->prefix;
        tracking_drop_prefix(client->conn->worker->node->tracking, tracking_prefix_bytes(prefix));
        list_remove(&membership->in_prefix);
        free(membership);
        prefix_drop_if_empty(&client->conn->worker->tracking, prefix);
    }
    free(client->prefixes);
}

/* --- whom Redis tracks for ----------------------------------------------------------------------------------------- */

static void client_on_keys(struct tracking_line_user *user, struct slice keys)
{
    tracking_tell_line_keys(LIST_ENTRY(user, struct tracking_client, line_user), keys);
}

/* Redis will tell no more of what was read over it. */
static void close_line(struct tracking_client *client)
{
    client->settles = client->settles || (client->line != NULL && client->conn->answer_count > 0);
    tracking_line_close(client->line);
    client->line = NULL;
    if (client->keeps) {
        client->keeps = false;
        tracking_tell_built(client, NO_MEMORY);
    }
}

static void client_on_lost(struct tracking_line_user *user)
{
    struct tracking_client *client = LIST_ENTRY(user, struct tracking_client, line_user);
    client->keeps = client->keeps || (client->flags & TRACKING_BCAST) != 0;
    close_line(client);
}

/* Between the old line and the new one nothing is missed if both listen to prefixes. */
static void take_line(struct tracking_client *client, struct tracking_line *line, bool is_new)
{
    const bool broadcasts = (client->flags & TRACKING_BCAST) != 0;
    client->keeps =
        client->keeps || (broadcasts && !is_new && (client->line == NULL) != (line == NULL));
    close_line(client);
    client->line = line;
    client->line_user =
        (struct tracking_line_user){.on_keys = client_on_keys, .on_lost = client_on_lost};
    if (line != NULL) {
        tracking_line_hand_over(line, &client->line_user);
    }
}

void tracking_client_change_protocol(struct conn *conn)
{
    const struct tracking_client *client = conn->session.tracking;
    if (client != NULL && client->line != NULL) {
        tracking_line_speak(client->line, conn->session.proto);
    }
}

void tracking_drop_row(struct tracking_client *client, struct slice key, uint64_t hash)
{
    const struct conn *conn = client->conn;
    tracking_row_free(tracking_table_take(conn->worker->node->tracking->table, key,
                                          tracking_hash_apart(hash, conn->session.id)));
}

/* --- life ---------------------------------------------------------------------------------------------------------- */

static struct tracking_client *client_new(struct conn *conn, unsigned flags)
{
    struct tracking_client *client = calloc(1, sizeof(*client));
    if (client != NULL) {
        struct worker *worker = conn->worker;
        client->conn = conn;
        conn->session.tracking = client;
        list_push_back(&worker->tracking.clients, &client->in_desk);
        tracking_count(worker->node->tracking, worker->index, (flags & TRACKING_BCAST) != 0, 1);
    }
    return client;
}

enum status tracking_client_begin(struct conn *conn, const struct tracking_wish *wish)
{
    struct tracking_client *client = conn->session.tracking;
    const bool is_new = client == NULL;
    if (is_new && (client = client_new(conn, wish->flags)) == NULL) {
        return NO_MEMORY;
    }
    client->flags = wish->flags | (client->flags & TRACKING_CACHING);
    client->redirect = wish->redirect;
    client->redirect_worker = wish->redirect_worker;
    enum status status = OK;
    if ((wish->flags & TRACKING_BCAST) != 0 && wish->prefix_count == 0) {
        status = add_prefix(client, (struct slice){0});
    }
    for (size_t i = 0; i < wish->prefix_count && status == OK; i++) {
        status = add_prefix(client, wish->prefixes[i]);
    }
    if (status != OK) { /* half of what it wants would be silence about the other half */
        tracking_client_end(conn);
        return status;
    }
    take_line(client, wish->line, is_new);
    return OK;
}

void tracking_client_end(struct conn *conn)
{
    struct tracking_client *client = conn->session.tracking;
    if (client == NULL) {
        return;
    }
    struct worker *worker = conn->worker;
    tracking_line_close(client->line);
    leave_prefixes(client);
    list_remove(&client->in_desk);
    tracking_count(worker->node->tracking, worker->index, (client->flags & TRACKING_BCAST) != 0,
                   -1);
    conn->session.tracking = NULL;
    free(client);
}
