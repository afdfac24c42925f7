/* SPDX-License-Identifier: BSD-3-Clause */
/* cmd_cache.h -- what the CACHE.* commands share: reading milliseconds, saying that a wait failed, and landing an answer
 * whose connection was held meanwhile.
 *
 * A call of CACHE.* that waits holds its connection: what is pipelined behind it runs after it, since whoever waits does
 * so for the sake of what comes next. */
#ifndef TERRACE_SERVER_CMD_CACHE_H
#define TERRACE_SERVER_CMD_CACHE_H

#include "server/call.h"
#include "tiers/waiters.h"

/* The argument as milliseconds from 0 to a day. false: an error is answered. */
bool cache_ms(struct call *call, uint32_t i, int64_t *ret_ms);
/* Defers the call and holds its connection. */
struct answer *cache_defer(struct call *call);
void cache_land(struct answer *answer);
/* A wait for the bus that did not end well: "-STALE `what` within `ms` ms", -BUSY, -L2DOWN. */
void cache_refuse(struct reply *reply, enum status status, const char *what, int64_t ms);
/* A node's id as everywhere: 16 hex digits. */
void reply_node_id(struct reply *reply, uint64_t node);

/* What CACHE.NAMESPACES and CACHE.NODES answer, for whoever asks without a call (admin_json.h): the reply needs no worker. */
void cache_reply_namespaces(struct reply *reply, const struct node *node);
enum status cache_reply_nodes(struct reply *reply,
                              const struct node *node) MUST_USE; /* control loop. NO_MEMORY */

#endif
