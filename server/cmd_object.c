/* SPDX-License-Identifier: BSD-3-Clause */
/* OBJECT, on a node without L2. */
#include "server/call.h"
#include "server/commands.h"
#include "server/node.h"
#include "server/object.h"

/* false: there is no such key, and null is answered. */
static bool object_peek(struct call *call, struct l1_peek *ret_peek)
{
    struct ns_key key = call_key(call, 2);
    if (l1_peek(key.ns->l1, &key.at, call->now_ms, 0, ret_peek) != OK) {
        reply_null(call->reply);
        return false;
    }
    return true;
}

/* The item with a reference; NULL: there is no such key, and null is answered. */
static struct item *object_hold(struct call *call)
{
    struct ns_key key = call_key(call, 2);
    struct item *item = l1_hold(key.ns->l1, &key.at, call->now_ms);
    if (item == NULL) {
        reply_null(call->reply);
    }
    return item;
}

void cmd_object_encoding(struct call *call)
{
    struct item *item = object_hold(call);
    if (item != NULL) {
        reply_bulk_text(call->reply, object_encoding(item_value(item), item_look(item)));
        item_release(item);
    }
}

void cmd_object_refcount(struct call *call)
{
    struct item *item = object_hold(call);
    if (item != NULL) {
        reply_integer(call->reply, object_refcount(item_value(item), item_look(item)));
        item_release(item);
    }
}

void cmd_object_freq(struct call *call)
{
    struct l1_peek peek;
    if (!object_peek(call, &peek)) {
        return;
    }
    if (peek.frequency < 0) {
        reply_error(
            call->reply,
            "ERR An LFU maxmemory policy is not selected, access frequency not tracked. Please "
            "note that when switching between policies at runtime LRU and LFU data will take "
            "some time to adjust.");
        return;
    }
    reply_integer(call->reply, peek.frequency);
}

void cmd_object_idletime(struct call *call)
{
    struct l1_peek peek;
    if (!object_peek(call, &peek)) {
        return;
    }
    if (peek.idle_ms < 0) {
        reply_error(
            call->reply,
            "ERR An LFU maxmemory policy is selected, idle time not tracked. Please note that when "
            "switching between policies at runtime LRU and LFU data will take some time to "
            "adjust.");
        return;
    }
    reply_integer(call->reply, peek.idle_ms / 1000);
}

void cmd_object_help(struct call *call)
{
    static const char *const lines[] = {
        "ENCODING <key>",
        "    Return how Redis would keep the value: int, embstr or raw.",
        "FREQ <key>",
        "    Return the logarithmic access counter of the key, under an LFU policy.",
        "IDLETIME <key>",
        "    Return the seconds since the key was last used, under other policies.",
        "REFCOUNT <key>",
        "    Return the number of references to the value.",
    };
    reply_help(call->reply, "OBJECT", lines, sizeof(lines) / sizeof(lines[0]));
}
