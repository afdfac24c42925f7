/* SPDX-License-Identifier: BSD-3-Clause */
/* relay_request.h -- the bytes that go down to L2: the client's own, or what is said in their place.
 *
 * Said otherwise are: what ends databases in which managed keys may be (it is numbered and logged, tiers/beat.h), what would
 * show the nodes' own keys (hiding.h), what a user may do only by rights that are looked at in L2 (script_rights.h), WAIT, a
 * request that came inline, one whose value lies elsewhere (the words are written around it), and several calls as one.
 *
 * Owns:    what it has made; slices borrow from it and from the call.
 * Threads: any; nothing else is kept.
 * Errors:  NO_MEMORY. */
#ifndef TERRACE_SERVER_RELAY_REQUEST_H
#define TERRACE_SERVER_RELAY_REQUEST_H

#include "server/call.h"

struct relay_request {
    struct slice bytes;   /* the first of three pieces, never empty */
    struct slice more[2]; /* mostly empty */
    struct buf made;
};

enum status relay_request_make(const struct call *call, struct relay_request *ret) MUST_USE;
/* Several calls, one behind the other. Whatever SELECT and HELLO among them change of the link is put back behind them, by
 * *ret_back requests more; in one piece. */
enum status relay_request_make_block(const struct call *exec, const struct call *calls,
                                     size_t count, struct relay_request *ret,
                                     unsigned *ret_back) MUST_USE;
void relay_request_done(struct relay_request *request); /* also of what could not be made */

#endif
