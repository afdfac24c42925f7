/* SPDX-License-Identifier: BSD-3-Clause */
/* download.h -- the answer to GET of a value that is never here as a whole: journey 2, when the value is larger than L1 keeps.
 *
 *      conn queue:   [answer 1: download] [answer 2: done] ...       conn->reply   "$300000000\r\n" [ bytes, more to come ]
 *
 * It begins when its answer is the first of the queue, so that one connection has one at most, and what is read goes straight
 * to its output. While LIMIT_STREAM_AHEAD bytes or more wait there for the client, L2 is not read; LIMIT_OUTPUT_PAUSE if what
 * he has sent behind it waits for it (he may be one who reads when all is sent). Pushes (push.h) that come
 * meanwhile stand behind it: inside a value they would be read as a part of it.
 *
 * As a read on another link than the connection's (WAIT_FOREIGN) it holds back later writes until it is over; and it does not
 * begin if one is under way already, which L2 would run before it. Then the value is held whole, as any other.
 *
 * If L2 is lost in the middle, or falls silent, the client is closed: RESP has no other way to say so. A client that takes
 * nothing for LIMIT_OUTPUT_PAUSE_MS is closed, too.
 *
 * Owns:    itself, until it has landed the answer or its connection closes.
 * Threads: the worker's. */
#ifndef TERRACE_SERVER_DOWNLOAD_H
#define TERRACE_SERVER_DOWNLOAD_H

#include "server/call.h"
#include "tiers/download.h"

struct download;

/* Its protocol lets a value be sent before all of it is here: a frame says its size first. */
bool download_speaks(const struct conn *conn);
/* The answer's read may be asked for anew, elsewhere: nothing was sent behind it that L2 must not run before it, and from now
 * on nothing is, for it may take a while until it is (a fence). */
bool download_may_begin(struct answer *answer);
/* The value of this key is the answer, which lands later. Copies the key. Of a managed one: */
struct download_managed {
    struct tiers_seen seen;
    /* If another one stands there by now: who looks again. The answer is his. */
    void (*again)(struct answer *answer, const struct l1_key *key);
};
/* `managed`: NULL: it is a plain one. */
void download_begin(struct answer *answer, const struct l1_key *key,
                    const struct download_managed *managed);
/* A GET that is to be relayed, of a key that is known to be large, and others of its connection wait: it is held. */
bool download_holds(struct call *call);

/* From the connection: */
void download_turn(struct download *download);    /* its answer is the first now; again and again */
void download_on_sent(struct download *download); /* the output shrank */
void download_leave(struct download *download);   /* the client is gone; frees the answer, too */
/* Where a push goes while some of the value has been written. */
struct out *download_aside(struct download *download);

#endif
