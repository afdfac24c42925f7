/* SPDX-License-Identifier: BSD-3-Clause */
/* cmd_command.h -- what the two halves of COMMAND share. */
#ifndef TERRACE_SERVER_CMD_COMMAND_H
#define TERRACE_SERVER_CMD_COMMAND_H

#include "server/call.h"

/* Relays the call if L2 is up; false: the node answers by itself. */
bool command_ask_l2(struct call *call);
/* A set of statuses out of words separated by spaces. */
void command_reply_key_flags(struct reply *reply, const char *words);

#endif
