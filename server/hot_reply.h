/* SPDX-License-Identifier: BSD-3-Clause */
/* hot_reply.h -- a list of hot keys as CACHE.HOT answers it, for whoever shows the same (HTTP, the command line).
 *
 * An array of maps, hottest first: key (bytes, whatever they are), db, ns, count, error, per_s, error_per_s, heat, frequency.
 * Doubles are bulk strings in RESP2, and frequency is null where the policy of the key's namespace keeps none, or the key is
 * not in L1.
 *
 * Threads: any loop's; the reply needs no worker. */
#ifndef TERRACE_SERVER_HOT_REPLY_H
#define TERRACE_SERVER_HOT_REPLY_H

#include "server/reply.h"
#include "tiers/hot_list.h"

struct node;

enum {
    HOT_REPLY_ROWS = 10 /* unless asked otherwise */
};

/* The first `rows` of the list; NULL: of an empty one. */
void hot_reply(struct reply *reply, const struct node *node, const struct hot_list *list,
               size_t rows, int64_t now_ms);

#endif
