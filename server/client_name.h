/* SPDX-License-Identifier: BSD-3-Clause */
/* client_name.h -- the name a client gives itself (CLIENT SETNAME, HELLO SETNAME).
 *
 * CLIENT LIST is cut at spaces and lines, so a name has printable ASCII without spaces only.
 *
 * Threads: the connection's worker. */
#ifndef TERRACE_SERVER_CLIENT_NAME_H
#define TERRACE_SERVER_CLIENT_NAME_H

#include "protocol/bytes.h"

extern const char client_name_error[]; /* the error's whole text */

bool client_name_is_valid(struct slice name);
/* Replaces what `text` holds. */
enum status client_text_set(struct buf *text, struct slice value) MUST_USE;

#endif
