/* SPDX-License-Identifier: BSD-3-Clause */
/* cmd_check.h -- `terrace check FILE...`: judges a recorded history (docs/history.md). */
#ifndef TERRACE_CLIENT_CLI_CMD_CHECK_H
#define TERRACE_CLIENT_CLI_CMD_CHECK_H

#include "client/cli/exit_code.h"

#include <stdbool.h>

enum {
    CHECK_ERROR_SIZE = 512
};

/* `argv` begins behind the verb. EXIT_USAGE: `error` says why, and is told by the caller. */
enum exit_code cmd_check(int argc, char **argv, bool json, char error[CHECK_ERROR_SIZE]);

#endif
