/* SPDX-License-Identifier: BSD-3-Clause */
#include "server/faults.h"

#include "server/node.h"
#include "server/worker.h"

#include <inttypes.h>
#include <string.h>

const char *fault_shown(struct slice bytes, char room[FAULT_ROOM])
{
    const size_t size = bytes.size < FAULT_SHOWN_MAX ? bytes.size : FAULT_SHOWN_MAX;
    for (size_t i = 0; i < size; i++) {
        const char c = bytes.data[i];
        room[i] = (char)(c >= ' ' && c <= '~' ? c : '?');
    }
    memcpy(room + size, "...", 4);
    if (size == bytes.size) {
        room[size] = '\0';
    }
    return room;
}

void fault_word(const struct call *call, uint32_t i, const char *expected)
{
    char room[FAULT_ROOM];
    char name[FAULT_ROOM];
    fault_shown(call->argv[0], name);
    if (i < call->argc) {
        reply_errorf(call->reply,
                     "ERR syntax error: '%s' at argument %" PRIu32 " of %s, expected %s",
                     fault_shown(call->argv[i], room), i, name, expected);
    } else {
        reply_errorf(call->reply, "ERR syntax error: nothing behind '%s' of %s, expected %s",
                     fault_shown(call->argv[call->argc - 1], room), name, expected);
    }
}

void fault_twice(const struct call *call, uint32_t i)
{
    char room[FAULT_ROOM];
    char name[FAULT_ROOM];
    reply_errorf(call->reply,
                 "ERR syntax error: %s takes '%s' once, and at argument %" PRIu32
                 " it stands once more",
                 fault_shown(call->argv[0], name), fault_shown(call->argv[i], room), i);
}

void fault_value(const struct call *call, uint32_t i, const char *text)
{
    char room[FAULT_ROOM];
    reply_errorf(call->reply, "%s: '%s' at argument %" PRIu32, text,
                 fault_shown(call->argv[i], room), i);
}

void fault_key(struct reply *reply, struct slice key, const char *text, const char *advice)
{
    char room[FAULT_ROOM];
    const char *gap = advice == NULL ? "" : "; ";
    advice = advice == NULL ? "" : advice;
    if (key.data == NULL) {
        reply_errorf(reply, "%s%s%s", text, gap, advice);
        return;
    }
    reply_errorf(reply, "%s: key '%s' of namespace '%s'%s%s", text, fault_shown(key, room),
                 namespace_of(reply->worker->node->namespaces, key)->name, gap, advice);
}
