/* SPDX-License-Identifier: BSD-3-Clause */
/* barriers.h -- who waits until this node serves nothing older than what Redis had done by now (COHERENCE section 9).
 *
 * A command whose keys are not all known (a script, a module) may have changed, or shown, any key. Redis announces at the
 * end of the cycle of its event loop in which the command ran, and the answer may leave before that (coherence.h, PROOF).
 * A PING on the bus that is sent after the answer runs in the same cycle or a later one. A second PING that is sent after
 * the first one's pong runs in a later cycle than the first, for Redis reads a connection once in a cycle: so its pong
 * stands behind the announcements. The bus is in order and each reply is done with before the next: when the second pong
 * is home, the entries have ended. A marker would prove the same, but it is a script and told to all nodes.
 *
 *      worker's link:  EVAL ->   Redis  -> answer                     | the answer is kept here
 *      bus:            ... pong 7 | k1, k2 changed | ... | pong 8      | and given out there
 *                         PING 7 ->                     PING 8 ->
 *
 * All who ask in one turn of the loop share their PINGs, and the second of some is the first of others. A script that
 * blocks Redis answers PINGs with -BUSY, which no barrier takes for a pong. When no pong can come (the bus is lost or not
 * confirmed, or at another process than the one that ran the command, or it is silent for too long), the floor rises
 * instead: then everything that stands is a suspect, which is as good.
 *
 * Owns:    nothing; a barrier is the asker's and is borrowed until its on_done.
 * Threads: the control loop's. on_done may ask again, also from inside.
 * Units:   milliseconds of clock.h. */
#ifndef TERRACE_TIERS_BARRIERS_H
#define TERRACE_TIERS_BARRIERS_H

#include "protocol/bytes.h"
#include "tiers/base/list.h"

#define BARRIER_RUN_ANY  UINT64_C(0) /* whichever process the bus is at */
#define BARRIER_RUN_NONE UINT64_MAX  /* several: the bus cannot be at all of them */

struct barrier {
    uint64_t run;                             /* the process that ran the command (link_run) */
    int64_t deadline_ms;                      /* then the floor rises */
    void (*on_done)(struct barrier *barrier); /* exactly once */
    /* private: */
    struct list link;
    uint64_t ping;  /* whose pong it waits for; the next one, if that is not sent yet */
    bool has_first; /* the first pong is home, the second is waited for */
};

struct barriers {
    struct list list; /* by `ping` */
    uint64_t pings;   /* sent ever */
    bool wanted;      /* somebody waits for one that is not sent */
};

void barriers_open(struct barriers *barriers);
bool barriers_empty(const struct barriers *barriers);
void barriers_add(struct barriers *barriers, struct barrier *barrier);
/* The next PING, if somebody needs one, as a request for the bus; it is out when this returns OK. AGAIN: nobody does. */
enum status barriers_ping(struct barriers *barriers, struct buf *out) MUST_USE;
/* A pong; one that no barrier waits for is none of ours. */
void barriers_pong(struct barriers *barriers, struct slice text);
/* Whether somebody has waited too long. */
bool barriers_late(const struct barriers *barriers, int64_t now_ms);
/* All are done. */
void barriers_release(struct barriers *barriers);

#endif
