/* SPDX-License-Identifier: BSD-3-Clause */
/* cmd_connection.h -- what others ask of AUTH, HELLO, RESET and CLIENT REPLY.
 *
 * Threads: the worker's own. */
#ifndef TERRACE_SERVER_CMD_CONNECTION_H
#define TERRACE_SERVER_CMD_CONNECTION_H

struct call;
struct session;

/* What AUTH or HELLO will make of the session's user and protocol; another command: nothing. */
void connection_foresee(const struct call *call, struct session *session);
/* Heard even after CLIENT REPLY OFF: the answer to RESET, and to CLIENT REPLY ON itself. */
void reply_status_aloud(struct call *call, const char *text);

#endif
