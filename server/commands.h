/* SPDX-License-Identifier: BSD-3-Clause */
/* commands.h -- the handlers of all commands, as commands.def lists them.
 *
 * Who writes a cmd_*.c includes this; nobody calls a handler but the dispatcher, through struct command. */
#ifndef TERRACE_SERVER_COMMANDS_H
#define TERRACE_SERVER_COMMANDS_H

#include "server/command.h"

/* A handler that serves many commands (cmd_later, cmd_refused, cmd_container) is declared by each of their lines. */
/* NOLINTBEGIN(readability-redundant-declaration) */
#define COMMAND(name, handler, ...)        void handler(struct call *call);
#define SUBCOMMAND(id, name, handler, ...) void handler(struct call *call);
#include "server/commands.def"
void cmd_later(struct call *call); /* for what no line is there yet */
/* NOLINTEND(readability-redundant-declaration) */

#endif
