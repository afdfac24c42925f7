/* SPDX-License-Identifier: BSD-3-Clause */
/* native_refuses.c -- what CALL may not ask for (native.h): what changes the connection, or holds up all that it carries. */
#include "protocol/native_frame.h"
#include "server/call.h"
#include "server/commands.h"
#include "server/native.h"

static bool changes_connection(const struct command *command)
{
    static command_fn *const those[] = {
        cmd_multi,       cmd_exec,         cmd_discard,         cmd_watch,
        cmd_unwatch,     cmd_subscribe,    cmd_psubscribe,      cmd_ssubscribe,
        cmd_unsubscribe, cmd_punsubscribe, cmd_sunsubscribe,    cmd_monitor,
        cmd_hello,       cmd_auth,         cmd_reset,           cmd_quit,
        cmd_select,      cmd_client_reply, cmd_client_tracking, cmd_client_caching,
    };
    for (size_t i = 0; i < sizeof(those) / sizeof(those[0]); i++) {
        if (command->run == those[i]) {
            return true;
        }
    }
    return false;
}

bool native_refuses(const struct call *call)
{
    if (call->native->op != NATIVE_CALL ||
        (call->command->road != ROAD_LINE && !changes_connection(call->command))) {
        return false;
    }
    reply_errorf(call->reply, "BAD '%s' is of RESP: it changes its connection, or waits",
                 call->command->full_name);
    return true;
}
