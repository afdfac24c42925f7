/* SPDX-License-Identifier: BSD-3-Clause */
/* admin_reply.h -- where a command's writer writes for the admin listener, and how that becomes the answer.
 *
 * It is a reply of no worker's: errors, which are counted by workers, must not be written there.
 *
 * Threads: the admin's loop. */
#ifndef TERRACE_SERVER_ADMIN_REPLY_H
#define TERRACE_SERVER_ADMIN_REPLY_H

#include "server/admin_request.h"
#include "server/reply.h"

struct admin_reply {
    struct out_pool pool;
    struct reply reply;
};

void admin_reply_begin(struct admin_reply *place); /* it may not be moved from here on */
/* Answers with what was written, as JSON; unless `status` says that it could not be. */
void admin_reply_end(struct admin_reply *place, struct admin_request *request, enum status status);

#endif
