/* SPDX-License-Identifier: BSD-3-Clause */
/* cmd_later.c -- what this version does not serve yet says so, instead of pretending. */
#include "server/call.h"
#include "server/commands.h"

void cmd_later(struct call *call)
{
    struct slice name = call->argv[0];
    reply_errorf(call->reply,
                 "ERR '%.*s' is not served by this version of terraced: it comes with a later one",
                 name.size < 64 ? (int)name.size : 64, name.data);
}
