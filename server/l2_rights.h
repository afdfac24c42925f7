/* SPDX-License-Identifier: BSD-3-Clause */
/* l2_rights.h -- whether L2 lets this node do its work: asks on a link of its own, at the start, whenever L2 is
 * another process, and every 15 s, since rights and policies change while it runs (tiers/rights.h says what).
 *
 * A link of its own, since without the rights the others do not even come up, and would not say what else is missing.
 *
 *      the first L2 that the node reaches at its first attempt refuses      the node ends (node_fail)
 *      any later refusal                                                    it is logged, and asked again every 5 s
 *
 * A node that starts while L2 is away must not be ended later by what somebody does there: it keeps to its contract
 * without the rights, only slower (what cannot be proved is not served). It is not ready before they were granted once.
 *
 * Owns:    its link.
 * Threads: the control loop's, except l2_rights_describe and l2_rights_granted. */
#ifndef TERRACE_SERVER_L2_RIGHTS_H
#define TERRACE_SERVER_L2_RIGHTS_H

#include "server/l2_socket.h"
#include "tiers/rights.h"

struct l2_rights;
struct node;

struct l2_rights *l2_rights_new(struct node *node, struct l2_roof *roof); /* NULL: no memory */
void l2_rights_close(struct l2_rights *rights); /* on the loop: its link ends */
void l2_rights_free(struct l2_rights *rights);  /* after l2_rights_close; NULL is fine */
void l2_rights_tick(struct l2_rights *rights, int64_t now_ms);
/* L2 is this process now (beat.h). */
void l2_rights_on_up(struct l2_rights *rights, uint64_t run);

struct l2_rights_description {
    bool known;    /* some L2 has answered; the rest is of the last that did */
    bool suffices; /* the node may do all that it must */
    char missing[RIGHTS_TEXT_MAX];
    struct rights rights;
    bool clock_known;
    int64_t clock_ahead_ms; /* L2's wall clock less this node's, when the rights were asked for */
};
void l2_rights_describe(struct l2_rights *rights,
                        struct l2_rights_description *ret); /* any thread */
bool l2_rights_granted(const struct l2_rights *rights);     /* once, at least; any thread */

#endif
