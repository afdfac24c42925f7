/* SPDX-License-Identifier: BSD-3-Clause */
/* pubsub_line.h -- a client's subscriptions in L2: one connection there for each client that subscribed (tiers/line.h), so that
 * what PUBLISH and PUBSUB NUMSUB count is what Redis counts.
 *
 *      SUBSCRIBE > line_say ~> confirmations > answer_land          a message > push_write
 *
 * Confirmations are the answer, in the place of their call. Messages are pushes; those of the nodes' own channels, which a
 * pattern may match, stop here. PING of a subscribed client goes over its line, too, so that it learns whether messages can
 * come, and hears those that came before its answer first; so does PUBLISH of one that speaks RESP3, which Redis tells of its
 * own message before the number. These calls wait until calls on other links are answered, and all others for these: what a
 * client may say depends on whether it is subscribed.
 *
 * The line ends with the last subscription. If it is lost, messages may be missing, and nobody could tell the client: it is
 * closed, as by a Redis that dies, and its library subscribes anew.
 *
 * Owns:    the line; a call's answer until it lands.
 * Threads: the worker's.
 * Limits:  l2-subscribers-max lines of the node; what waits to be said, by line_say. */
#ifndef TERRACE_SERVER_PUBSUB_LINE_H
#define TERRACE_SERVER_PUBSUB_LINE_H

#include "server/channel_index.h"

#include <stdbool.h>

struct call;
struct command;
struct conn;
struct pubsub_line;

/* Whether a call of this command belongs on the client's line. */
bool pubsub_line_takes(const struct conn *conn, const struct command *command);
/* COMPATIBILITY rule 1: whether a call of this command may not be looked at before others of its connection are answered. */
bool pubsub_line_holds(const struct conn *conn, const struct command *command);

/* Answers now, if L2 cannot be asked, or later. */
void pubsub_line_subscribe(struct call *call, enum channel_kind kind);
/* The following only of a client that has a line. */
bool pubsub_line_has(const struct conn *conn);
void pubsub_line_unsubscribe(struct call *call, enum channel_kind kind);
void pubsub_line_ping(struct call *call);
void pubsub_line_relay(struct call *call);
void pubsub_line_reset(struct call *call);
/* Its client is gone, or reset: no call of it waits for an answer that is heard. NULL is fine. */
void pubsub_line_end(struct pubsub_line *line);

#endif
