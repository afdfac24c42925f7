/* SPDX-License-Identifier: BSD-3-Clause */
/* warm_reply.h -- a warm job as a map, for whoever shows it: RESP, the native protocol, HTTP.
 *
 * Threads: any; of the reply only its bytes are touched. */
#ifndef TERRACE_SERVER_WARM_REPLY_H
#define TERRACE_SERVER_WARM_REPLY_H

#include "server/reply.h"
#include "server/warm.h"

/* One whole answer: a map with the field names that CACHE HELP lists. */
void warm_reply(struct reply *reply, const struct warm_status *status);

#endif
