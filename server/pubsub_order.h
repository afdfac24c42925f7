/* SPDX-License-Identifier: BSD-3-Clause */
/* pubsub_order.h -- who publishes does not overtake who subscribed before him.
 *
 * With an L2 a SUBSCRIBE goes over a connection of its client's own, which must often be made first; a PUBLISH goes over a
 * shared link that is there. So what a library says in this order, on two connections of one node, would come to Redis in
 * the other: the message would be lost, PUBSUB NUMSUB would count nobody. Libraries that do not wait for the confirmation of
 * SUBSCRIBE are many, and with Redis they need not.
 *
 *      SUBSCRIBE: pubsub_order_enter ........................... confirmed: pubsub_order_leave ~> conn_unhold
 *      PUBLISH:        pubsub_order_holds: the connection is held (HOLD_PUBSUB) ..........................| goes to L2
 *
 * A connection waits for what began before its call, and for ORDER_WAIT_MS at most: a SUBSCRIBE that takes longer than that
 * finds an L2 which is not well, and says so itself. A PUBLISH inside of EXEC or of a script does not wait.
 * What came before is what the node had read before: a new connection is accepted by one thread and read by another, so that
 * on a machine with no processor to spare a SUBSCRIBE on it may be read after a PUBLISH that was sent later.
 *
 * Owns:    the waits. A turn is borrowed from enter to leave.
 * Threads: any; nothing is locked while no SUBSCRIBE is under way.
 * Limits:  one wait for each connection. */
#ifndef TERRACE_SERVER_PUBSUB_ORDER_H
#define TERRACE_SERVER_PUBSUB_ORDER_H

#include "protocol/status.h"
#include "tiers/base/list.h"

#include <stdbool.h>
#include <stdint.h>

struct call;
struct pubsub_order;
struct worker;

/* Of one SUBSCRIBE, or UNSUBSCRIBE, that L2 has not confirmed yet. */
struct pubsub_turn {
    struct list link;
    uint64_t number;
};

struct pubsub_order *pubsub_order_new(void);        /* NULL: no memory */
void pubsub_order_free(struct pubsub_order *order); /* NULL is fine */

void pubsub_order_enter(struct pubsub_order *order, struct pubsub_turn *turn);
void pubsub_order_leave(struct pubsub_order *order, struct pubsub_turn *turn);
/* Whether this PUBLISH or PUBSUB has to wait; then its connection is held, and the call is tried again. */
bool pubsub_order_holds(struct call *call);
/* Lets those go that have waited long enough. */
void pubsub_order_tick(struct worker *worker);

#endif
