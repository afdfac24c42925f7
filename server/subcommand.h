/* SPDX-License-Identifier: BSD-3-Clause */
/* subcommand.h -- the error for a subcommand's wrong shape, where Redis has a text of its own.
 *
 * Threads: one loop's. */
#ifndef TERRACE_SERVER_SUBCOMMAND_H
#define TERRACE_SERVER_SUBCOMMAND_H

#include "server/call.h"

/* "ERR unknown subcommand or wrong number of arguments for '<argv[1]>'. Try <CONTAINER> HELP." */
void subcommand_error(struct call *call, const char *container_upper);

#endif
