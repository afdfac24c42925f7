/* SPDX-License-Identifier: BSD-3-Clause */
/* control_l2.h -- the control loop's own two links to L2, and the coherence state machine that they feed.
 *
 * The CONTROL LINK sends beats and asks for the COMMAND table; the BUS LINK listens to announcements and to the other
 * nodes. What both bring goes into coherence (tiers/coherence.h), whose view the workers read; its changes of state
 * are logged (l2_events.h).
 *
 * Owns:    both links and their sockets.
 * Threads: the control loop's, except control_l2_was_up. */
#ifndef TERRACE_SERVER_CONTROL_L2_H
#define TERRACE_SERVER_CONTROL_L2_H

#include "protocol/bytes.h"

#include <uv.h>

#include <stdbool.h>
#include <stdint.h>

struct control_l2;
struct link_request;
struct l2_finder_description;
struct l2_rights;
struct node;

struct control_l2 *control_l2_new(struct node *node, uv_loop_t *loop); /* NULL: no memory */
/* On the loop: the links end, the sockets close. Nothing may be asked of it afterwards but to be freed. */
void control_l2_close(struct control_l2 *l2);
/* The control link is up. While it is not, the end of the node waits for no answer of L2. */
bool control_l2_is_reached(const struct control_l2 *l2);
/* This node serves nothing any more: the others are told. */
void control_l2_leave(struct control_l2 *l2);
/* The weight of this node has changed, and the others should hear it with the next beat, which goes out in this turn. */
void control_l2_tell_weight(struct control_l2 *l2);
bool control_l2_has_left(const struct control_l2 *l2); /* they were, or cannot be */
void control_l2_free(struct control_l2 *l2); /* after its loop has run dry; NULL is fine */

void control_l2_tick(struct control_l2 *l2, int64_t now_ms); /* 40 a second */
void control_l2_flush(struct control_l2 *l2); /* twice a turn, before and after polling */
/* As coherence_unconfirmed_run and coherence_targets_confirmed: control.c asks the workers. */
uint64_t control_l2_unconfirmed_run(const struct control_l2 *l2);
void control_l2_targets_confirmed(struct control_l2 *l2, uint64_t run);
enum status control_l2_ask(struct control_l2 *l2, struct link_request *request,
                           struct slice bytes) MUST_USE;
enum status control_l2_choose(struct control_l2 *l2, struct slice address, char error[]) MUST_USE;
void control_l2_describe(const struct control_l2 *l2,
                         struct l2_finder_description *ret); /* any thread */
struct l2_rights *control_l2_rights(struct control_l2 *l2);  /* to look at; any thread */
bool control_l2_was_up(const struct control_l2 *l2); /* L2 told its commands once; any thread */

#endif
