/* SPDX-License-Identifier: BSD-3-Clause */
/* cmd_check.h -- `terrace check FILE...`: judges a recorded history (docs/history.md). */
#ifndef TERRACE_CLIENT_CLI_CMD_CHECK_H
#define TERRACE_CLIENT_CLI_CMD_CHECK_H

#include "client/cli/exit_code.h"

#include <stdbool.h>

/* `argv` begins behind the verb. */
enum exit_code cmd_check(int argc, char **argv, bool json);

#endif
