/* SPDX-License-Identifier: BSD-3-Clause */
#include "server/body.h"

#include "server/commands.h"
#include "server/conn.h"
#include "server/node.h"
#include "server/upload.h"
#include "server/worker.h"

#include <string.h>

enum {
    BODY_SHARE = 32,
    BODY_MEMORY_SHARE = 4,
};

/* Which argument the command stores as it is, alone or with an L2; 0: none. Behind it there may be words for its expiry,
 * or they are ahead. */
static uint32_t value_arg(const struct command *command, bool has_l2)
{
    if (command == NULL) {
        return 0;
    }
    if (command->run == cmd_set || command->run == cmd_setnx || command->run == cmd_getset ||
        (has_l2 && command->run == cmd_cache_set)) {
        return 2;
    }
    return command->run == cmd_setex || command->run == cmd_psetex ? 3 : 0;
}

/* `most`: the memory of the key's namespace, which no value on its way may empty. */
static bool memory_take(struct node *node, size_t size, size_t most)
{
    size_t before = atomic_fetch_add_explicit(&node->bodies, size, memory_order_relaxed);
    if (before + size <= most / BODY_MEMORY_SHARE) {
        return true;
    }
    atomic_fetch_sub_explicit(&node->bodies, size, memory_order_relaxed);
    return false;
}

/* NULL: there is no memory. */
static struct item *item_for(const struct conn *conn, struct slice key, size_t size,
                             bool may_expire)
{
    struct node *node = conn->worker->node;
    const struct ns_key home = namespaces_key(node->namespaces, 0, key);
    const struct item_spec spec = {.key = key, .value_size = size, .expires_later = may_expire};
    if (!memory_take(node, size, l1_bytes_max(home.ns->l1))) {
        return NULL;
    }
    struct item *item = l1_item_begin(home.ns->l1, home.at.hash, &spec, conn->worker->now_ms);
    if (item == NULL) {
        atomic_fetch_sub_explicit(&node->bodies, size, memory_order_relaxed);
    }
    return item;
}

size_t body_begin(struct conn *conn, struct slice rest)
{
    struct request_body at;
    if (body_is_there(&conn->body) || conn->reader == NULL || !request_body(conn->reader, &at) ||
        at.size < LIMIT_BODY || at.arg < 2) {
        return 0;
    }
    const size_t here = rest.size - at.offset;
    const struct slice key = request_arg(conn->reader, rest, 1);
    const struct command *command = command_find(request_arg(conn->reader, rest, 0));
    const bool has_l2 = conn->worker->node->tiers != NULL;
    if (here >= at.size || key.size >= LIMIT_L1_KEY || value_arg(command, has_l2) != at.arg) {
        return 0;
    }
    struct body body = {.size = at.size, .got = here, .arg = at.arg};
    if (has_l2) {
        body.upload = upload_begin(conn, command, rest, &at);
    } else if (here >= at.size / BODY_SHARE) {
        body.item = item_for(conn, key, at.size, at.args_total > 3);
    }
    if (!body_is_there(&body)) {
        return 0;
    }
    if (body.item != NULL) {
        memcpy(item_value_room(body.item), rest.data + at.offset, here);
    }
    conn->body = body;
    request_elsewhere(conn->reader, at.arg);
    return here;
}

void body_leave(struct conn *conn)
{
    if (conn->body.upload != NULL) {
        upload_end(conn->body.upload);
    }
}

void body_end(struct conn *conn)
{
    if (conn->body.item != NULL) {
        item_release(conn->body.item);
        atomic_fetch_sub_explicit(&conn->worker->node->bodies, conn->body.size,
                                  memory_order_relaxed);
    } else if (conn->body.upload != NULL) {
        upload_free(conn->body.upload);
    }
    conn->body = (struct body){0};
}
