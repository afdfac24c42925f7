/* SPDX-License-Identifier: BSD-3-Clause */
/* cmd_connection.h -- the answer that is heard even after CLIENT REPLY OFF: to RESET, and to CLIENT REPLY ON itself.
 *
 * Threads: the worker's own. */
#ifndef TERRACE_SERVER_CMD_CONNECTION_H
#define TERRACE_SERVER_CMD_CONNECTION_H

struct call;

void reply_status_aloud(struct call *call, const char *text);

#endif
