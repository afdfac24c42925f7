/* SPDX-License-Identifier: BSD-3-Clause */
/* When keys go. An expiry that is already past removes the key at once, as Redis does. */
#include "server/cmd_common.h"
#include "server/commands.h"
#include "server/expire_options.h"
#include "server/node.h"

static void expire(struct call *call, int64_t base_ms, int64_t unit_ms)
{
    struct expire_options options;
    if (!expire_options_parse(call, base_ms, unit_ms, &options)) {
        return;
    }
    const int64_t at_ms = options.at_ms;
    struct update update;
    bool done = false;
    update_open(&update, call, 1, KIND_ANY);
    while (update_next(&update)) {
        done = update.old != NULL && expire_options_hold(&options, item_expire_at_ms(update.old));
        if (done && at_ms <= call->now_ms) { /* also 0, which would say ITEM_NEVER */
            update_remove(&update);
        } else if (!done || at_ms == item_expire_at_ms(update.old)) {
            update_leave(&update);
        } else {
            update_expire(&update, at_ms);
        }
    }
    if (update_ok(&update)) {
        reply_integer(call->reply, done ? 1 : 0);
    }
    update_close(&update);
}

void cmd_expire(struct call *call)
{
    expire(call, call->now_ms, 1000);
}

void cmd_pexpire(struct call *call)
{
    expire(call, call->now_ms, 1);
}

void cmd_expireat(struct call *call)
{
    expire(call, 0, 1000);
}

void cmd_pexpireat(struct call *call)
{
    expire(call, 0, 1);
}

void cmd_persist(struct call *call)
{
    struct update update;
    bool done = false;
    update_open(&update, call, 1, KIND_ANY);
    while (update_next(&update)) {
        done = update_expire_at_ms(&update) != ITEM_NEVER;
        if (done) {
            update_expire(&update, ITEM_NEVER);
        } else {
            update_leave(&update);
        }
    }
    if (update_ok(&update)) {
        reply_integer(call->reply, done ? 1 : 0);
    }
    update_close(&update);
}

enum {
    NO_EXPIRY = -1,
    NO_KEY = -2
};

static void expire_time(struct call *call, int64_t unit_ms)
{
    const struct ns_key key = call_key(call, 1);
    struct l1_peek peek;
    const bool found = key.at.bytes.size < LIMIT_L1_KEY &&
                       l1_peek(key.ns->l1, &key.at, call->now_ms, 0, &peek) == OK;
    call_count_lookup(call, found);
    if (!found) {
        reply_integer(call->reply, NO_KEY);
    } else if (peek.expire_at_ms == ITEM_NEVER) {
        reply_integer(call->reply, NO_EXPIRY);
    } else {
        /* Rounded to the nearest; in two parts, since the largest time leaves no room to add. */
        const int64_t rest = peek.expire_at_ms % unit_ms;
        reply_integer(call->reply, peek.expire_at_ms / unit_ms + (2 * rest >= unit_ms ? 1 : 0));
    }
}

void cmd_expiretime(struct call *call)
{
    expire_time(call, 1000);
}

void cmd_pexpiretime(struct call *call)
{
    expire_time(call, 1);
}
