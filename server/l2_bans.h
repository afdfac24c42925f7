/* SPDX-License-Identifier: BSD-3-Clause */
/* l2_bans.h -- keeps the node's bans (tiers/bans.h) true to L2's: reads terrace:tags when something may have been missed,
 * says what this node knows when an epoch begins, and takes out what binds nothing any more, there and here.
 *
 *      gap  ->  not whole: values are BAN_UNKNOWN
 *      whole, and all was heard of it again  ->  whole, if the table was read in this epoch; else
 *      whole, but something was missed       ->  LOAD, page by page ~> merged by the larger seq ~> whole
 *                                               ~> a new epoch: KNOW, frame by frame (the larger seq stays there, too)
 *      now and then                          ->  rows that are over ~> CLEAN ~> and then from the table, unless L2 has
 *                                                                              heard of values that live longer
 *
 * One question is under way at a time, on the control link. What is issued while the pages are read comes on the bus, which
 * was subscribed before. A page of another epoch than coherence's begins it all anew.
 *
 * A node without managed namespaces asks nothing, and is not whole.
 *
 * Threads: the control loop's. */
#ifndef TERRACE_SERVER_L2_BANS_H
#define TERRACE_SERVER_L2_BANS_H

#include "protocol/frame.h"
#include "tiers/link.h"

struct l2_bans;
struct node;

struct l2_bans *l2_bans_new(struct node *node); /* NULL: no memory. Before tiers are there */
void l2_bans_free(struct l2_bans *bans);        /* behind the end of its link; NULL is fine */

/* As coherence_managed_listener. */
bool l2_bans_on_ban(struct l2_bans *bans, const struct frame *frame);
void l2_bans_on_gap(struct l2_bans *bans);
void l2_bans_on_whole(struct l2_bans *bans, bool replayed);

void l2_bans_tick(struct l2_bans *bans, struct link *control, int64_t now_ms);
void l2_bans_flush(struct l2_bans *bans, struct link *control,
                   int64_t now_ms); /* the end of a turn of the loop: what is asked for leaves */

#endif
