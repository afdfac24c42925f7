/* SPDX-License-Identifier: BSD-3-Clause */
/* barriers.h -- who waits until this node serves nothing older than what Redis had done by now (COHERENCE section 9).
 *
 * A command whose keys are not all known (a script, a module) may have changed, or shown, any key. Redis writes what it
 * announces into our bus before it writes the answer of the command that caused it; a PING on the bus that is sent after
 * that answer has its pong behind the announcements; the bus is in order and each reply is done with before the next. So
 * when the pong is home, the entries have ended. A marker would prove the same, but it is a script and told to all nodes.
 *
 *      worker's link:  EVAL ->   Redis   -> answer          | the answer is kept here
 *      bus:            ... k1 changed | k2 changed | pong 7  | and given out there
 *                                       PING 7 ->
 *
 * All who ask in one turn of the loop share one PING. When no pong can come (the bus is lost or not confirmed, or at
 * another process than the one that ran the command, or it is silent for too long), the floor rises instead: then
 * everything that stands is a suspect, which is as good.
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
    uint64_t ping; /* 0: not sent yet */
};

struct barriers {
    struct list list; /* in the order of asking: those whose PING is out stand in front */
    uint64_t pings;   /* sent ever */
    uint64_t unasked; /* for whom no PING is out */
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
