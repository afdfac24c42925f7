/* SPDX-License-Identifier: BSD-3-Clause */
/* TIME, ROLE, LASTSAVE, MODULE and LOLWUT. */
#include "server/commands.h"
#include "server/node.h"
#include "server/version.h"
#include "server/worker.h"

void cmd_time(struct call *call)
{
    int64_t now_us = clock_unix_us();
    reply_array(call->reply, 2);
    reply_bulk_integer(call->reply, now_us / 1000000);
    reply_bulk_integer(call->reply, now_us % 1000000);
}

/* For its clients a node is what they may write to; what replicas L2 has is L2's own affair. */
void cmd_role(struct call *call)
{
    reply_array(call->reply, 3);
    reply_bulk_text(call->reply, "master");
    reply_integer(call->reply, 0);
    reply_array(call->reply, 0);
}

/* Alone. Redis, too, says when it started if it has saved nothing since. */
void cmd_lastsave(struct call *call)
{
    reply_integer(call->reply, call->node->started_at_ms / 1000);
}

/* Alone. */
void cmd_module_list(struct call *call)
{
    reply_array(call->reply, 0);
}

void cmd_module_help(struct call *call)
{
    static const char *const lines[] = {
        "LIST",
        "    Return the modules that L2 has loaded.",
    };
    reply_help(call->reply, "MODULE", lines, sizeof(lines) / sizeof(lines[0]));
}

/* --- LOLWUT ------------------------------------------------------------------------------------------------------ */

enum {
    HILL_COLUMNS = 64,
    HILL_TERRACES = 7
};

/* A hillside: each terrace is a wall with a flat top, lower ones reach further, and rice grows where it is flat. */
static enum status hill_draw(struct rand *rand, struct buf *text)
{
    unsigned edges[HILL_TERRACES];
    unsigned edge = 3 + (unsigned)rand_below(rand, 5);
    enum status status = OK;
    for (int i = 0; i < HILL_TERRACES; i++) {
        edges[i] = edge;
        edge += 3 + (unsigned)rand_below(rand, 9);
    }
    for (int i = 0; i < HILL_TERRACES && status == OK; i++) {
        char line[HILL_COLUMNS + 1];
        unsigned begin = i == 0 ? 0 : edges[i - 1];
        unsigned end = edges[i] < HILL_COLUMNS ? edges[i] : HILL_COLUMNS;
        for (unsigned at = 0; at < end; at++) {
            line[at] = at < begin ? ':' : rand_below(rand, 3) == 0 ? 'v' : '_';
        }
        line[end == 0 ? 0 : end - 1] = '|';
        line[end] = '\n';
        status = buf_append(text, line, end + 1);
    }
    return status;
}

void cmd_lolwut(struct call *call)
{
    struct buf text = {0};
    int64_t version = 0;
    if (call->argc > 2 && slice_is_nocase(call->argv[1], "version") &&
        slice_to_i64(call->argv[2], &version) != OK) {
        reply_not_integer(call->reply);
        return;
    }
    if (hill_draw(&call->worker->rand, &text) == OK &&
        buf_printf(&text, "\nTerrace " TERRACE_VERSION ", speaking as:\nRedis ver. " REDIS_VERSION
                          "\n") == OK) {
        reply_verbatim(call->reply, buf_slice(&text));
    } else {
        reply_out_of_memory(call->reply);
    }
    buf_done(&text);
}
