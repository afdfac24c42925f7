/* SPDX-License-Identifier: BSD-3-Clause */
/* join.h -- how a node that comes gets its share of the requests, and one that goes gives it back: pure, told the time.
 *
 * A node whose L1 is empty is no help: what it is asked it asks L2. So a node that finds hot lists in L2 (hot_desk.h) is
 * not READY before it holds what they name, and then says with its beats that its WEIGHT is less than a full share until
 * it hits as often as the others do.
 *
 *      APART --L2 was reached--> WARMING --warm-target of the hot mass is held--> WARM   \
 *                                   |-----warm-deadline is over------------------> LATE    > ready
 *                                   |-----there is nothing to warm from----------> NOTHING/
 *
 * The target is where warming may end, not where it gets hard: what comes next is hot, too, and costs L2 less now than when
 * clients miss it. So who has reached it LINGERS for what is left up to JOIN_NEARLY_WARM, JOIN_LINGER_MS at most.
 *
 * HOT MASS: of all hits of the others that the lists name, the share that is of keys which L1 holds and may serve. Keys that
 * L2 does not have any more, or that L1 cannot keep, count for nothing (join_desk.h).
 *
 * WEIGHT: thousandths of a full share. 0: not ready yet, or draining; nothing is sent to such a node while another is there.
 * Once ready: JOIN_START + the rest x own hit ratio / the others' (all reads of the others together). Before
 * JOIN_READS_ENOUGH reads were answered, what the lists promise stands for the own ratio: the part of all reads that they count
 * which is of keys held here. It never falls behind
 * the time since ready / slow-start, so it is full by then, and it stays full once the own ratio is 95 % of the others'.
 * A node without L2, or of whom nobody else reads anything, has a full share.
 *
 * What comes after ready is no longer a matter of readiness: a node that loses all it has stays ready, as one whose L2 is
 * away does.
 *
 * Threads: the control loop's, but for join_tell_* (the first worker's) and what is marked: any.
 * Units:   ms of clock.h; mass and weight in thousandths. */
#ifndef TERRACE_SERVER_JOIN_H
#define TERRACE_SERVER_JOIN_H

#include "protocol/bytes.h"

#include <stdatomic.h>

enum {
    JOIN_FULL = 1000,
    JOIN_START = 100, /* a tenth: enough reads to measure a hit ratio by */
    JOIN_NEARLY_WARM = 950,
    JOIN_LINGER_MS = 2000,
    JOIN_READS_ENOUGH = 100,
    JOIN_TEXT_MAX = 160
};

enum join_state {
    JOIN_APART,
    JOIN_WARMING,
    JOIN_WARM,
    JOIN_LATE,
    JOIN_NOTHING
};

struct join_rules { /* options; zeros: ready at once, and full weight with that */
    unsigned target_percent;
    int64_t deadline_ms;
    int64_t slow_start_ms;
};

/* Reads that the lists count, as they say. */
struct join_mass {
    double held;   /* of keys that L1 holds and may serve */
    double all;    /* of keys that can be kept here */
    double listed; /* all hits of the others, and what the lists name beyond them */
    double total;  /* of all keys */
};

struct join {
    _Atomic int state; /* enum join_state */
    _Atomic unsigned mass;
    _Atomic unsigned fits;      /* what can be kept here, of all hits of the others */
    _Atomic unsigned promise;   /* the hit ratio that follows from what is held */
    _Atomic unsigned mass_then; /* as it was when the node became ready */
    _Atomic unsigned weight;
    _Atomic int64_t began_ms;  /* L2 was reached */
    _Atomic int64_t took_ms;   /* from then to ready */
    _Atomic int64_t target_ms; /* from then to the target; negative: it is not reached */
    const char
        *_Atomic nothing;     /* why there is nothing to warm from; NULL: there may be something */
    _Atomic uint64_t expects; /* reads per second */
    _Atomic uint32_t misses_per_s; /* of clients, of late */
    uint64_t hits;                 /* since ready; the past counts less and less */
    uint64_t reads;
    unsigned
        others; /* as said last: beats may be late for a moment, and that is no reason to take all; 0: never */
    bool is_full; /* it was once, after which it stays so */
};

/* All zeros is APART. This one has no L2: ready, with a full share. */
void join_alone(struct join *join);
/* 40 a second. `reached`: all else that a node must have to be ready is there. */
void join_tick(struct join *join, const struct join_rules *rules, bool reached, int64_t now_ms);
/* Again and again, also after ready. */
void join_tell_mass(struct join *join, const struct join_mass *mass);
/* There is nothing to warm from; `why` is for good. */
void join_tell_nothing(struct join *join, const char *why);

/* What this node answered since the last call, about a second ago. */
void join_note_reads(struct join *join, uint64_t hits, uint64_t reads);
/* So many reads per second it will be asked for, when those of the others now are shared with it; 0: nobody reads. */
void join_expect(struct join *join, uint64_t reads_per_s);
uint64_t join_expects(const struct join *join);      /* any thread */
uint32_t join_misses_per_s(const struct join *join); /* any thread: as noted last */
/* The weight now. `others`: their hit ratio in thousandths, -1: there are none or they read nothing. */
unsigned join_weigh(struct join *join, const struct join_rules *rules, int others, bool drains,
                    int64_t now_ms);

bool join_is_ready(const struct join *join);         /* any thread */
enum join_state join_state(const struct join *join); /* any thread */
const char *join_state_name(
    enum join_state state);                    /* "apart", "warming", "warm", "late", "nothing" */
unsigned join_weight(const struct join *join); /* any thread: the last one */
unsigned join_mass(const struct join *join);   /* any thread; as the next */
unsigned join_fits(const struct join *join);
unsigned join_promise(const struct join *join);
/* How long it took from L2 was reached to ready; -1: it is not ready. Any thread. */
int64_t join_ready_ms(const struct join *join);
/* "warm: 83 % of hot mass after 4.1 s", for people; any thread. */
void join_describe(const struct join *join, const struct join_rules *rules, int64_t now_ms,
                   char text[JOIN_TEXT_MAX]);

#endif
