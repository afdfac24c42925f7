/* SPDX-License-Identifier: BSD-3-Clause */
/* SLOWLOG. */
#include "server/commands.h"
#include "server/node.h"
#include "server/slowlog.h"
#include "server/subcommand.h"

enum {
    DEFAULT_COUNT = 10
}; /* as Redis */

static void answer_begin(void *arg, size_t count)
{
    reply_array(arg, count);
}

static void answer_entry(void *arg, const struct slowlog_entry *entry)
{
    struct reply *reply = arg;
    struct slice words = entry->note.words;
    reply_array(reply, 6);
    reply_integer(reply, (int64_t)entry->id);
    reply_integer(reply, entry->note.unix_s);
    reply_integer(reply, (int64_t)entry->note.usec);
    reply_array(reply, slowlog_words_count(words));
    while (words.size > 0) {
        reply_bulk(reply, slowlog_words_next(&words));
    }
    reply_bulk(reply, entry->note.peer);
    reply_bulk(reply, entry->note.name);
}

void cmd_slowlog_get(struct call *call)
{
    int64_t count = DEFAULT_COUNT;
    if (call->argc > 3) {
        subcommand_error(call, "SLOWLOG");
        return;
    }
    if (call->argc == 3 && (slice_to_i64(call->argv[2], &count) != OK || count < -1)) {
        reply_error(call->reply, "ERR count should be greater than or equal to -1");
        return;
    }
    struct slowlog_visitor visitor = {
        .arg = call->reply, .begin = answer_begin, .each = answer_entry};
    slowlog_visit(call->node->slowlog, count == -1 ? SIZE_MAX : (size_t)count, &visitor);
}

void cmd_slowlog_len(struct call *call)
{
    reply_integer(call->reply, (int64_t)slowlog_length(call->node->slowlog));
}

void cmd_slowlog_reset(struct call *call)
{
    slowlog_reset(call->node->slowlog);
    reply_ok(call->reply);
}

void cmd_slowlog_help(struct call *call)
{
    static const char *const lines[] = {
        "GET [<count>]",
        "    Return the newest <count> entries (default: 10, -1 means all). Each is made of",
        "    id, Unix time, microseconds, arguments, client address and client name.",
        "LEN",
        "    Return how many entries there are.",
        "RESET",
        "    Drop all entries.",
    };
    reply_help(call->reply, "SLOWLOG", lines, sizeof(lines) / sizeof(lines[0]));
}
