/* SPDX-License-Identifier: BSD-3-Clause */
/* native.h -- a client that speaks frames (protocol/native_frame.h): what it asks becomes words of a command, and the
 * command's answer a frame.
 *
 *      first byte 0xF7: conn->native is set, once and for all
 *
 *      frame > native_take: words, key prefetched > batch > dispatch_request > handler
 *                                                             |  now             |  later: answer, with the ticket
 *                                                             v                  v
 *                                                        native_answer <---- native_on_landed     out of order
 *
 * So rights, quotas, pauses, statistics, the slow log, MONITOR and limits are those of RESP; the protocol of the words is
 * RESP3. A read writes its frame itself (fetched.h); any other answer is made from the RESP3 that the handler wrote.
 *
 * ORDER. There is none: no request waits for another one of its connection (conn_hold takes neither HOLD_ORDER nor HOLD_ALONE,
 * dispatch asks for neither), and an answer leaves when it is there. Who needs order waits for the answer. What remains
 * of holds protects memory (QUEUE, OUTPUT, UPLOAD), or is the operator's wish (PAUSE), or another client's right
 * (PUBSUB).
 *      What a connection cannot be in, since CALL refuses the way there: MULTI, WATCH of keys, subscriptions, MONITOR, CLIENT
 * REPLY, blocking calls, RESP2 and other users than HELLO's. Values are never sent in pieces (download.h), for a frame says its
 * size first; nor are they read so (upload.h, body.h).
 *
 * DEADLINES. A frame says how long its client waits; that counts from when it was read. If there is no answer by then,
 * the client is told DEADLINE, or UNKNOWN of a write that has been sent on, and the answer loses its connection, as if
 * the client had left: whatever it brings is dropped, and a load that it wins is handed on. One timer per worker looks
 * every NATIVE_GRAIN_MS, while some answer has a deadline.
 *
 * EVENTS (WATCH) are what CLIENT TRACKING tells, never with NOLOOP, in frames numbered 1, 2, 3 ... of each connection.
 * They go out at once, in front of the answers that wait. Other clients may redirect theirs here (CLIENT TRACKING
 * REDIRECT); that is a frame as any.
 *
 * BEAT tells how old the proof is: `horizon_age_ms` a says that everything that was acknowledged a ms before the node read its
 * clock has been told on this connection, in front of this answer.
 *   With an L2. The worker reads the horizon H first, then empties its inbox, then answers a = now - H + 1. Claim: what was
 *   acknowledged before H was told.
 *      1. It was announced in a message of the bus in front of the frame that proved H (coherence.h, PROOF), and messages are
 *         applied in order by one loop. At the end of each, all its keys are news in the inboxes of the workers whose clients
 *         have rows (tracking_announced_all), those of broadcasts included. So before H was stored, they were there.
 *      2. H was stored with release, after that; the worker read it with acquire, before it looked at its inbox. So it sees them.
 *      3. Emptying the inbox writes EVENT frames into the output, and broadcasts that the worker had gathered, too
 *         (tracking_end_turn). This answer is written behind them.
 *      4. A client has a row before its read is looked up (tracking.h); so who holds a value that was changed before H was told.
 *   A doubt is told by 1 as well: the floor rises, "everything" is news, before H is stored again. News that did not fit
 *   becomes "everything" in the inbox once more (tracking_read_news): it is emptied until nothing is in it; if it does
 *   not end, there is no horizon in the answer. The 1 is for clocks that are cut to whole ms.
 *   What a namespace with write = behind has not brought to L2 is told on the node that took it; elsewhere L2 counts, as
 *   for L1.
   Alone. L1 is the truth, and tells its listener of a change before the command is answered that made it, expiry and eviction
 *   too. So H is the clock as read before the inbox is emptied.
 *
 * NEAR. near_ms: so long after its proof a client may serve a copy of the value, if it watches. What a client keeps is as
 * good as an entry of L1 under the same contract, with the client's H (the last BEAT) in place of the node's: both serve
 * what they were not told of, while H is young enough.
 *      bounded T     T. The fence of L1, with H as it came by BEAT: what is served was not changed before H >= now - T.
 *      strict T      0. Its writes wait until every node has ended what is older. They do not wait for clients.
 *      available G   T. G is for when L2 cannot be heard, and then a client has its own spare values, or asks.
 *      ttl           what is left of its life in L1 (with the cap that a namespace fallen to ttl has), or an hour: there nothing
 *                    else is promised, but changes that are heard are told all the same.
 *      managed       by the mode, as plain ones. Of bans, too, whoever has read what fits is told (tracking_bans.c).
 *   0 of all that is no HIT: a stale value, a load, nothing. And of a SUSPECT (below the floor, which wishes and modes
 *   may get): what changed it may have been missed, and nobody would ever tell of it.
 *   When a namespace changes its mode, clients are told to drop everything (node_apply): what they were promised before
 *   is too much.
 *
 * Owns:    native_conn: what a connection has more than a RESP one. The desk: one per worker, from its first native
 *          connection on.
 * Threads: the worker's.
 * Limits:  of a frame: LIMIT_NATIVE_META, LIMIT_NATIVE_KEYS, LIMIT_BULK; before login LIMIT_UNAUTH_BULK each, and
 *          LIMIT_UNAUTH_ARGS keys. More is answered BAD, said goodbye to, and closed, as is another version and what is
 *          no frame. */
#ifndef TERRACE_SERVER_NATIVE_H
#define TERRACE_SERVER_NATIVE_H

#include "server/native_ticket.h"
#include "server/out.h"

struct answer;
struct call;
struct conn;
struct request;
struct worker;

enum {
    NATIVE_GRAIN_MS = 5,    /* deadlines are kept to this */
    NATIVE_LINGER_MS = 500, /* who drains closes an idle connection so long after GOODBYE */
};

/* --- life ------------------------------------------------------------------------------------------------------------ */

/* The first byte was that of a frame. false: no memory. */
bool native_begin(struct conn *conn);
void native_end(struct conn *conn);            /* it is closed; NULL is fine */
void native_free(struct conn *conn);           /* with it */
void native_close_desk(struct worker *worker); /* its loop ends */
void native_free_desk(struct worker *worker);
/* The node ends: says goodbye; true: it may be closed now, nothing is under way and its client had time to leave. */
bool native_drains(struct conn *conn, bool idle);

/* --- reading --------------------------------------------------------------------------------------------------------- */

/* Frames of the unexecuted region into the batch, as far as they are whole. */
void native_take(struct conn *conn);
size_t native_missing(const struct conn *conn); /* bytes of the frame that `in` begins with */
void native_on_settled(struct conn *conn, size_t consumed); /* what is left lies in `in` */
/* As dispatch_request, for one that came in a frame. */
bool native_execute(struct worker *worker, struct request *request);
void native_done(struct request *request); /* executed, or not: it will be taken again */

/* --- answering ------------------------------------------------------------------------------------------------------- */

/* Where a call's answer is written before it is a frame. */
struct reply *native_place(struct worker *worker, const struct native_ticket *ticket);
/* What a handler wrote, as a frame in the connection's output. */
void native_answer(struct conn *conn, const struct native_ticket *ticket, struct out *from);
/* An answer was deferred; one of a connection that is there has landed: it leaves the queue. */
void native_on_deferred(struct answer *answer, const struct call *call);
void native_on_landed(struct answer *answer);
void native_forget(struct answer *answer); /* its client is gone */
/* CALL may not do that: it would change what the connection is, or hold it up. The error is answered. */
bool native_refuses(const struct call *call);

/* --- events ---------------------------------------------------------------------------------------------------------- */

/* `keys`: an array of keys as RESP, or nil: any key may have changed. */
void native_tell(struct conn *conn, struct slice keys);

#endif
