/* SPDX-License-Identifier: BSD-3-Clause */
/* control.h -- the loop that does what is no client's request: accepting, the bus, beats, sweeps, admin, the end.
 *
 * L2 is seen through two links of its own: control_l2.h.
 *
 *      tick (25 ms)    links, beats, sweep of expired entries, samples
 *      node_stop       readiness off -> listeners closed -> workers drain -> links end -> letters run dry -> loops end
 *
 * The end goes in ROUNDS: one letter to every worker, the next step when all have answered. So no worker ends while
 * another may still write to it.
 *
 * Threads: its own loop; control_stop and control_ready may be called by any. */
#ifndef TERRACE_SERVER_CONTROL_H
#define TERRACE_SERVER_CONTROL_H

#include "protocol/bytes.h"

struct control;
struct link_request;
struct l2_finder_description;
struct l2_rights_description;
struct mailbox;
struct node;
struct node_watcher;
struct options;

enum {
    CONTROL_ERROR_MAX = 320
};

/* Opens listeners and admin; nothing runs yet. INVALID: `error` says why. */
enum status control_new(struct node *node, struct control **ret_control,
                        char error[CONTROL_ERROR_MAX]) MUST_USE;
/* Starts its thread, which runs until control_stop is through, and calls the callbacks of node.h. */
void control_start(struct control *control, const struct node_watcher *watcher);
void control_stop(struct control *control); /* begins the drain; any thread, more than once */
void control_join(struct control *control); /* at once if it never ran; NULL is fine */
void control_free(struct control *control);

/* These options wait for the workers to stand still, then node_rebuild gets them; ones that waited already are dropped.
 * NULL: none wait any more. Takes them over. Under options_lock; any thread. */
void control_rebuild(struct control *control, struct options *next);

/* Which endpoints of L2 there are and how they fare; any thread. Only with an L2. */
void control_describe_l2(const struct control *control, struct l2_finder_description *ret);
/* What L2 lets this node do; any thread. Only with an L2. */
void control_describe_rights(const struct control *control, struct l2_rights_description *ret);
/* CACHE.FAILOVER, as l2_finder_choose; its loop's. */
enum status control_choose_l2(struct control *control, struct slice address, char error[]) MUST_USE;
/* One request over the control link, as link_ask; its loop's. */
enum status control_ask_l2(struct control *control, struct link_request *request,
                           struct slice bytes) MUST_USE;
struct mailbox *control_mailbox(struct control *control); /* letters for its loop; any thread */
int control_port(const struct control *control);          /* clients' first TCP port; 0: none */
/* Whether new work should come here; `reasons` gets one line per thing that is missing, and may be NULL. Any thread. */
bool control_ready(const struct control *control, struct buf *reasons);

#endif
