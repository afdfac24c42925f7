/* SPDX-License-Identifier: BSD-3-Clause */
/* waiters.h -- those who wait until the bus has come as far as they need (COHERENCE T5).
 *
 *      MARKER       "what was acknowledged until now": done when an own marker, sent after the question, came home; its
 *                   seq is the answer. Whatever a writer, node or stranger, was answered before has then ended its
 *                   entries here.
 *      APPLIED      done when this node has applied a seq of the current epoch (an earlier marker of any node)
 *      EVERYWHERE   done when no live node can serve what was acknowledged before the question as fresh any more
 *
 * All who wait in one turn of the loop share one marker. A marker says ACK when somebody needs EVERYWHERE: every node
 * that applies it beats at once, and its beat says how far it is.
 *
 * EVERYWHERE, the proof. Let W be a change that Redis acknowledged before the question, and let node P serve, as fresh,
 * something older than W. P's horizon is the send time of an own beat b whose echo P applied; had Redis published b
 * after W, P would have applied W's announcement before it. So Redis ran b before W, and therefore before our marker m:
 * b was sent before W's acknowledgement, and P's fence closes T_P after b was sent. Hence P cannot do it
 *      - when P has said that it applied m or more, for then it has applied W;
 *      - when P's last beat was heard longer than T_P(1 + rho) ago, for b is that beat or an older one (had P's beats
 *        after m come home to it, m would have, too);
 *      - when T_P(1 + rho) has passed since the question, wherever P's beats are: b was sent before it.
 * The first two need to know every P by name: the nodes live when m came home, if nothing was missed on the bus for as
 * long as a node can be live (peers.h). The third needs only the largest T, as known when m came home.
 * A node that raises its T must announce it in a beat that came home before it makes use of it.
 *
 * When the bus is lost, doubted, or of another epoch, markers on their way prove nothing: whoever waits is asked again
 * when it is back. What the third rule promised once (a time after which all are fenced) stays true.
 *
 * Owns:    nothing; a waiter is the asker's and is borrowed until its on_done.
 * Threads: the control loop's. on_done may ask again, also from inside.
 * Units:   milliseconds of clock.h.
 * Limits:  LIMIT_WAITERS. */
#ifndef TERRACE_TIERS_WAITERS_H
#define TERRACE_TIERS_WAITERS_H

#include "tiers/base/list.h"
#include "tiers/peers.h"

enum waiter_kind {
    WAITER_MARKER,
    WAITER_APPLIED,
    WAITER_EVERYWHERE
};

struct coherence_waiter {
    enum waiter_kind kind;
    uint64_t seq;        /* APPLIED: what to wait for. Else, once done: the marker's */
    int64_t deadline_ms; /* then it ends with TIMEOUT */
    /* Exactly once. OK, TIMEOUT, L2_DOWN (the node ends). The waiter is the asker's again when it is called. */
    void (*on_done)(struct coherence_waiter *waiter, enum status status);
    /* private: */
    struct list link;
    int64_t asked_at_ms;
    uint64_t marker;      /* ordinal of the marker on its way; 0: none */
    uint64_t home;        /* ordinal of the marker that came home; 0: none of this bus and epoch */
    uint64_t heard;       /* peers.heard then */
    int64_t patience_ms;  /* of the peers then */
    bool knows_all;       /* the peers then were all there are */
    int64_t fenced_at_ms; /* from then on nobody can serve older; 0: not known yet */
};

/* What the next marker must say. */
enum waiters_need {
    NEED_NOTHING,
    NEED_MARKER,
    NEED_ACK /* a marker with the flag */
};

struct waiters {
    struct list list; /* all, in the order of asking */
    size_t count;
    size_t unasked;        /* for whom no marker is on its way or home */
    size_t unasked_acks;   /* of these, who need EVERYWHERE */
    uint64_t markers;      /* sent ever */
    int64_t not_before_ms; /* of the next marker: after a failure they are not sent without end */
    int64_t cap_ms;        /* no deadline is later; 0: no cap */
};

void waiters_open(struct waiters *waiters);
/* BUSY: too many; on_done is not called then. */
enum status waiters_add(struct waiters *waiters, struct coherence_waiter *waiter,
                        int64_t now_ms) MUST_USE;
/* Who waits for what has not been asked yet. */
enum waiters_need waiters_need(const struct waiters *waiters, int64_t now_ms);
/* A marker with what waiters_need said is on its way. Returns its ordinal. */
uint64_t waiters_sent(struct waiters *waiters);
/* It will not come home: its waiters are asked again, not before then. */
void waiters_lost(struct waiters *waiters, uint64_t marker, int64_t not_before_ms);
/* Nothing that is on its way proves anything any more: all are asked again, not before then. */
void waiters_void(struct waiters *waiters, int64_t not_before_ms);
/* The marker came home as `seq`; so did all before it, in effect. */
void waiters_home(struct waiters *waiters, uint64_t marker, uint64_t seq, const struct peers *peers,
                  int64_t now_ms);
/* This node has applied `seq`. */
void waiters_applied(struct waiters *waiters, uint64_t seq);
/* A node has said how far it is, or time has passed. */
void waiters_look(struct waiters *waiters, const struct peers *peers, int64_t now_ms);
/* When there is something to look for, or a marker to send again, even if nothing comes; INT64_MAX: never. */
int64_t waiters_due_ms(const struct waiters *waiters, int64_t now_ms);
/* No deadline, also of those to come, is later than this. */
void waiters_cap(struct waiters *waiters, int64_t cap_ms);
/* All end with L2_DOWN. */
void waiters_end(struct waiters *waiters);

#endif
