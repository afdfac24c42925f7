/* SPDX-License-Identifier: BSD-3-Clause */
/* slurp.h -- all that comes out of a file, to its end.
 *
 * Limits:  LIMIT_BULK: TOO_BIG.
 * Errors:  INVALID with errno; NO_MEMORY. */
#ifndef TERRACE_CLIENT_CLI_SLURP_H
#define TERRACE_CLIENT_CLI_SLURP_H

#include "protocol/bytes.h"

enum status slurp(int fd, struct buf *to) MUST_USE;

#endif
