/* SPDX-License-Identifier: BSD-3-Clause */
/* pubsub.h -- messages from clients to clients.
 *
 * A node alone delivers them itself. Who publishes delivers to the listeners of its own worker at once, then a letter visits
 * the other workers if anybody listens there, and brings home how many got it:
 *
 *      PUBLISH at worker 1: push to its own | worker 0: push ~> worker 2: push ~> worker 1: answer
 *
 * So the number is exact, everybody who is counted has the message in front of whatever he gets later, and messages of one
 * publisher, or of one who has heard of another's, arrive in their order everywhere. Two publishers who know nothing of each
 * other may be heard in different orders on different workers.
 *
 * Threads: the worker's, but pubsub_publish's letter, which visits all. */
#ifndef TERRACE_SERVER_PUBSUB_H
#define TERRACE_SERVER_PUBSUB_H

#include "server/channels.h"

struct acl_user;
struct call;
struct conn;
struct worker;

/* With an L2 the nodes' own channels are nobody else's: a frame that a client made up would be taken for news of a node.
 * They are terrace:*, and the one of Redis' announcements: on that a client may listen, to what CLIENT TRACKING says to it,
 * and nobody may publish. */
bool pubsub_hides(struct slice channel);
bool pubsub_names_hidden(const struct call *call, uint32_t first, uint32_t end); /* among argv */
/* true: it is answered with an error, as Redis does of channels that a user may not have. */
bool pubsub_forbids(struct call *call);

/* RESP2: while it is subscribed it may only change that. true: the error is answered. */
bool pubsub_refuses(struct call *call);
bool pubsub_is_subscribed(const struct conn *conn);
/* Of one kind: what CLIENT LIST shows. */
unsigned pubsub_count(const struct conn *conn, enum channel_kind kind);
/* The name it has listened to longest, if it listens to any. */
struct slice pubsub_oldest(const struct conn *conn, enum channel_kind kind);
/* Whether it listens to anything that its user may not. */
bool pubsub_hears_too_much(const struct conn *conn, const struct acl_user *user);
/* It listens to nothing any more (RESET, the end). */
void pubsub_forget(struct conn *conn);

struct subscriber *pubsub_subscriber(struct conn *conn); /* made at first; NULL: no memory */
/* What this node knows of it: alone that is all there is; with an L2, what was confirmed (pubsub_line.h). */
enum status pubsub_subscribe(struct conn *conn, enum channel_kind kind, struct slice name) MUST_USE;
void pubsub_unsubscribe(struct conn *conn, enum channel_kind kind, struct slice name);

/* Alone: answers the call, now or later, with the number of listeners. */
void pubsub_publish(struct call *call, enum channel_kind kind);

#endif
