/* SPDX-License-Identifier: BSD-3-Clause */
#include "server/subcommand.h"

enum {
    SHOWN_BYTES_MAX = 128
}; /* as Redis */

void subcommand_error(struct call *call, const char *container_upper)
{
    struct slice name = call->argv[1];
    int shown = name.size > SHOWN_BYTES_MAX ? SHOWN_BYTES_MAX : (int)name.size;
    reply_errorf(call->reply,
                 "ERR unknown subcommand or wrong number of arguments for '%.*s'. Try %s HELP.",
                 shown, name.data, container_upper);
}
