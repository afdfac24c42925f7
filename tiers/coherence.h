/* SPDX-License-Identifier: BSD-3-Clause */
/* coherence.h -- how this node knows that its L1 is not behind L2 (COHERENCE sections 3 and 4).
 *
 * One thing decides about freshness: the HORIZON H, the send time of the newest own beat that came home on the bus.
 * A beat that is sent after a write was acknowledged runs after it; the bus is FIFO, and all that ran before the beat is
 * announced before the beat counts (PROOF); announcements are applied before H is stored. So while now - H <= T, every
 * write acknowledged before H has already ended its entry here.
 *
 *      control link:   beat(seq 41) ->            Redis            -> answer
 *      bus:            ... k1 changed | k2 changed | frame(seq 41) | k3, terrace:seq changed ...
 *                          ^ L1 entries end                          ^ H := send time of beat 41
 *
 * PROOF: what a frame proves counts when the next announcement behind it is applied (docs/decisions/011). Redis announces
 * all that a cycle of its event loop changed in one message at the end of the cycle, a frame at once, and an answer may
 * leave before that: while a script runs longer than busy-reply-threshold, or to a client whose socket was full. Then a
 * write is acknowledged, a beat is sent behind it and comes home in front of the write's announcement. But each frame is
 * made by a script that writes (beat.lua), so Redis owes an announcement behind it, in the same cycle, and that one or an
 * earlier one names all that ran before the frame. Until it is applied here, the frame moves no H, ends no wait and is not
 * reported as applied; what it asks for is done at once, and the numbering, the epoch and the segments of the stream
 * follow the frames. Nil and forged payloads prove nothing. A bus that is not tracked is owed nothing.
 *
 * FLOOR: entries stamped before it are suspects. It rises to now when the bus was lost, a seq is missing, the epoch
 * changed, or a payload is not what it should be. No doubt flushes L1.
 * MANAGED: writes to managed namespaces are numbered and logged, so what was missed of them can be told: their floor does
 * not rise, but is above all stamps until the log was read, and then where it was (coherence_replay.c, with the proof). It
 * rises where the log cannot tell, with a new epoch, and when a flush asks for it.
 * FLUSH: Redis announces FLUSHALL and FLUSHDB by nil in the place of keys, without a database. Then every entry and token
 * ends, as if each key had been announced: they are deleted, and a suspect could still be shown by a mode that serves
 * what is old. Only tracking itself can say nil, and an array: what anybody PUBLISHes is a string, whatever is in it. So
 * who empties L1 this way has emptied a database of L2; a forged string raises the floor, and costs one question per key.
 * With the data our epoch may be gone, so the next beat does not wait for its turn.
 * GENERATION: of the bus connection. It changes when the bus is lost and again when the new subscription is confirmed;
 * tokens of another generation install nothing.
 * A lost bus leaves H alone: it proved what was acknowledged before it, so hits go on until it is T old; nothing
 * installs meanwhile, and no echo can renew it before the new subscription is confirmed.
 *
 * EPOCH: the counter never goes down. A smaller one on the bus is an old message and proves nothing; a larger one is
 * adopted, wherever it is seen. The same counter with another random is two histories of one Redis: neither is trusted,
 * and the next beat asks for a larger counter.
 *
 * TARGET: which process, in which epoch, the control link is at. Two links of a node may be at different processes for a
 * while (a failover; a demoted master keeps its connections), so: a worker installs only what came by a link of the
 * view's target; when the process is another one, the view's target changes, H goes, the floor rises, and H comes back
 * only when every worker has left the former one (coherence_unconfirmed_run, coherence_targets_confirmed) and the bus is
 * at the same process. A new epoch of the same process (FLUSHALL) closes no links: they prove it with their next check.
 *
 * TIME. Each function is handed the clock as read after the last receive of the loop's turn, so what made the floor
 * rise had happened at Redis before now_ms. The floor becomes now_ms + 1: a stamp of the very same millisecond may be
 * older than the event, so it is suspect too (the price: a read issued later in that millisecond is asked again once).
 * A stamp above now_ms was given after the event, and what it read is covered by announcements again.
 *
 * STREAM HASH (coherence_stream.h): each beat reports a hash of all announcements between two frames. Who saw the same
 * segments compares; a difference means that a message was lost inside a living connection, at one of the two, and both
 * raise their floor.
 *
 * UNTRACKED: where CLIENT TRACKING cannot be had (an old server, a proxy, a user without the right), the bus goes on with
 * the nodes' own frames. Writes of strangers are not seen then: namespaces in which they may write fall to `ttl`
 * (namespaces_set_tracked); in those with `writers = nodes` each write carries its announcement with it (announce.h), and
 * all of the above holds of them. Stream hashes are compared among nodes that are told alike.
 *
 * The control loop drives this state machine; it owns no sockets and reads no clock.
 *
 * States:
 *      DETACHED --both subscriptions confirmed--> CATCHUP --own echo--> SYNCED --no echo for T--> SUSPECT
 *          ^                                         ^                   |  ^------- own echo -------+
 *          |                                         +--- hole, epoch ---+---------------------------+
 *          +---------------------- the bus was lost, from anywhere ----------------------------------+
 *
 * Threads: the control loop's; workers only read the `view`, whose fields are atomics; describe is any thread's. */
#ifndef TERRACE_TIERS_COHERENCE_H
#define TERRACE_TIERS_COHERENCE_H

#include "tiers/announced.h"
#include "tiers/barriers.h"
#include "tiers/base/metrics.h"
#include "tiers/beat.h"
#include "tiers/namespace.h"
#include "tiers/peers.h"
#include "tiers/waiters.h"

#include <stdatomic.h>

enum coherence_state {
    COHERENCE_DETACHED,
    COHERENCE_CATCHUP,
    COHERENCE_SYNCED,
    COHERENCE_SUSPECT
};

/* From which stamp on values are no suspects. */
struct coherence_floor {
    /* INT64_MAX, of managed namespaces: it is not known yet what was missed. */
    _Atomic int64_t floor_ms;
    /* What was proved for the entries below the floor, for coherence_proven_age_ms: */
    _Atomic int64_t proven_ms; /* the newest H before the floor last rose; 0: there was none */
    /* Of entries stamped from here on; older ones had lost it before. */
    _Atomic int64_t prior_floor_ms;
};

/* What workers look at. H and the floors are read once per batch, H with acquire. */
struct coherence_view {
    _Atomic int64_t horizon_ms; /* 0: none */
    struct coherence_floor plain;
    struct coherence_floor managed;
    _Atomic uint64_t generation;
    _Atomic bool may_install;  /* a first echo came in this generation and epoch */
    _Atomic uint32_t bound_ms; /* T, the least of all namespaces */
    /* The newest L2 that any link of this node met, as its epoch and 16 bits of its process: coherence_meet. */
    _Atomic uint64_t newest;
    /* Largest counter ever seen: what the greetings of workers' links say. */
    _Atomic uint64_t known_epoch;
    _Atomic uint64_t target; /* of (epoch, run): which Redis all links must speak to; 0: none */
    /* How far the bus is applied here, in the present epoch and subscription; 0: nothing yet. Stored after what it covers
     * was obeyed, and after the floor rose if something in front of it was missed. */
    _Atomic uint64_t applied_seq;
    /* The largest that ever stood there: stays while the bus is lost. */
    _Atomic uint64_t highest_seq;
};

/* Two links of a node may be at two masters for a while after a promotion, each with a fence of its own that is open. A
 * session that was shown what came by the link to the newer one must not be shown what the other still says (I3, I4). So
 * every link tells what it met, and none believes a reply from another process than the newest. Any thread. */
struct coherence;
enum {
    COHERENCE_RUN_BITS = 16
};
void coherence_meet(struct coherence *coherence, const struct beat_answer *answer);
static inline bool coherence_is_newest(const struct coherence_view *view, uint64_t run,
                                       uint64_t counter)
{
    const uint64_t newest = atomic_load_explicit(&view->newest, memory_order_acquire);
    return ((newest ^ run) & ((1u << COHERENCE_RUN_BITS) - 1)) == 0 ||
           counter > newest >> COHERENCE_RUN_BITS || newest == 0;
}

/* The newest seq that this node has heard of; of a former epoch, perhaps. 0: none yet. */
static inline uint64_t coherence_known_seq(const struct coherence_view *view)
{
    const uint64_t applied = atomic_load_explicit(&view->applied_seq, memory_order_acquire);
    return applied != 0 ? applied : atomic_load_explicit(&view->highest_seq, memory_order_acquire);
}

/* now - H; INT64_MAX: no H. Compared with the bound of a key's namespace. */
static inline int64_t coherence_age_ms(const struct coherence_view *view, int64_t now_ms)
{
    int64_t horizon_ms = atomic_load_explicit(&view->horizon_ms, memory_order_acquire);
    return horizon_ms == 0 ? INT64_MAX : now_ms - horizon_ms;
}

/* The fence at serve time under the least bound of all namespaces: fresh iff true (and the entry's stamp >= floor, and
 * its deadline not passed). */
static inline bool coherence_fresh(const struct coherence_view *view, int64_t now_ms)
{
    return coherence_age_ms(view, now_ms) <=
           (int64_t)atomic_load_explicit(&view->bound_ms, memory_order_relaxed);
}

/* How far an entry with this stamp may be behind L2, whatever the fence says: it equalled L2 at its stamp, and no change
 * was missed until H, or for a suspect until H as it was when it became one. An entry that became suspect earlier than
 * with the last floor counts from its stamp. The order of the four reads is the reverse of the writer's, so that a mix of
 * old and new is never younger than the truth. */
static inline int64_t coherence_proven_age_ms(const struct coherence_view *view, bool managed,
                                              int64_t stamp_ms, int64_t now_ms)
{
    const struct coherence_floor *floor = managed ? &view->managed : &view->plain;
    const int64_t horizon_ms = atomic_load_explicit(&view->horizon_ms, memory_order_acquire);
    const int64_t floor_ms = atomic_load_explicit(&floor->floor_ms, memory_order_acquire);
    const int64_t proven_ms = atomic_load_explicit(&floor->proven_ms, memory_order_acquire);
    const int64_t prior_ms = atomic_load_explicit(&floor->prior_floor_ms, memory_order_acquire);
    int64_t known_ms = 0;
    if (stamp_ms >= floor_ms) {
        known_ms = horizon_ms;
    } else if (stamp_ms >= prior_ms) {
        known_ms = proven_ms;
    }
    return now_ms - (known_ms > stamp_ms ? known_ms : stamp_ms);
}

/* Who must hear, too, what L1 is told: those who keep copies of what it served. On the control loop, always after L1 has
 * obeyed. All zeros: nobody. */
struct coherence_listener {
    bool (*wants)(void *arg); /* asked for each key, when L1 has obeyed */
    void (*on_key)(void *arg, struct slice key, uint64_t hash); /* namespaces_hash */
    void (*on_end)(void *arg);                                  /* of the keys of a message */
    void (*on_flush)(void *arg);                                /* all keys of a database ended */
    void (*on_doubt)(void *arg); /* any key may have changed: the floor has risen */
    void *arg;
};

/* Who must hear what is said of managed namespaces. On the control loop; each may be NULL. */
struct coherence_managed_listener {
    /* A frame of tags or prefixes, from the bus or out of the log, perhaps more than once. false: it is malformed. */
    bool (*on_ban)(void *arg, const struct frame *frame);
    /* A key was written, or somebody gave its lease back: who waits for it may look again. */
    void (*on_wake)(void *arg, uint8_t db, struct slice key);
    /* From here on something may have been missed; until the next on_whole. */
    void (*on_gap)(void *arg);
    /* `replayed`: nothing was missed, all of it was heard by now. Else whatever is known is in doubt. */
    void (*on_whole)(void *arg, bool replayed);
    /* Another node's namespaces differ from ours (peer->disagreement), do otherwise than before, or no more. */
    void (*on_disagreement)(void *arg, const struct peer *peer);
    void *arg;
};

struct coherence_options {
    struct namespaces *namespaces; /* borrowed */
    struct metrics *metrics;       /* the control loop's; may be NULL */
    uint64_t node;
    uint64_t seed; /* of nonces and epoch randoms; 0: unpredictable */
    unsigned coherence_db;
    uint32_t bound_ms; /* T, the least of all namespaces; beats go out every T/4. 0: 1000 */
    struct coherence_listener listener;
    struct coherence_managed_listener managed;
};

struct coherence *coherence_new(const struct coherence_options *options); /* NULL: no memory */
void coherence_free(struct coherence *coherence);
/* Valid as long as the coherence; any thread. */
const struct coherence_view *coherence_view(const struct coherence *coherence);

/* The least and the largest T of all namespaces, when they change. Beats go out every quarter of the least, but not less
 * than 25 ms apart, and say the largest: for that long another node may have to reckon with what is served here. */
void coherence_set_bounds(struct coherence *coherence, uint32_t least_ms, uint32_t most_ms);
/* The largest T that the other nodes were told of by the newest beat that is proved. */
uint32_t coherence_told_bound_ms(const struct coherence *coherence);

/* --- beats, over the control link --- */
/* Every T/4; at once when an echo is what the fence waits for; never while too many answers are outstanding. */
bool coherence_beat_due(const struct coherence *coherence, int64_t now_ms);
/* The next beat as a request for the control link; remembers now_ms as its send time. Exactly one of on_beat_answer and
 * on_beat_failed must follow per beat, in the order of sending; its echo may come before or after. BUSY: too many are
 * outstanding. NO_MEMORY. */
enum status coherence_beat(struct coherence *coherence, int64_t now_ms, struct buf *out) MUST_USE;
/* What the next beats tell the other nodes of this one. */
struct coherence_figures {
    uint32_t hit_permille; /* at most 1000 */
    uint32_t load;         /* connections of clients */
    uint32_t weight;       /* at most FRAME_WEIGHT_FULL; to or from 0 it is told at once */
    uint32_t reads_per_s;  /* that were answered of late */
};
void coherence_set_figures(struct coherence *coherence, const struct coherence_figures *figures);
void coherence_on_beat_answer(struct coherence *coherence, const struct beat_answer *answer,
                              int64_t now_ms);
void coherence_on_beat_failed(struct coherence *coherence, const char *why, int64_t now_ms);
uint64_t coherence_known_epoch(const struct coherence *coherence);
/* The control link was greeted; `answer` is its greeting's. */
void coherence_on_control_up(struct coherence *coherence, const struct beat_answer *answer,
                             int64_t now_ms);
void coherence_on_control_lost(struct coherence *coherence);

/* --- the target --- */
/* Other than 0: the process that L2 is now; tell every worker to close its links to any other (link_run), and say so
 * when all have. Until then nothing is fresh. */
uint64_t coherence_unconfirmed_run(const struct coherence *coherence);
/* All workers were told of `run` and have done so. Of another run than the present one it says nothing. */
void coherence_targets_confirmed(struct coherence *coherence, uint64_t run);
enum coherence_link {
    COHERENCE_NO_LINK,
    COHERENCE_CONTROL_LINK,
    COHERENCE_BUS_LINK
};
/* When both links are up at different processes: the one that shows the smaller epoch, which must be closed. Of two
 * equals it is the bus. */
enum coherence_link coherence_wrong_link(const struct coherence *coherence);

/* --- the bus --- */
/* What to say on a fresh bus link, in order: CLIENT TRACKING ON REDIRECT <id> BCAST, SUBSCRIBE. */
enum status coherence_bus_greeting(struct buf *out, uint64_t client_id) MUST_USE;
/* What coherence_bus_greeting wrote was sent; `answer` is of the link's own greeting, before that. */
void coherence_on_bus_up(struct coherence *coherence, const struct beat_answer *answer,
                         int64_t now_ms);
/* Each reply, whole and in order. */
void coherence_on_bus_reply(struct coherence *coherence, struct slice reply, int64_t now_ms);
void coherence_on_bus_lost(struct coherence *coherence, const char *why, int64_t now_ms);
/* True when the bus must be given up: a beat was answered but not echoed for P, or 3P of silence everywhere, or beats came home
 * for 3P and no announcement of what they wrote (Redis sends it to somebody else), or its greeting was refused. P = T, but at least 500 ms: a small T must not make it impatient with a busy Redis. A pause of
 * this process does not count as silence: after one, the sockets are read first. */
bool coherence_bus_is_dead(const struct coherence *coherence, int64_t now_ms);

/* --- the log (replay.h), over the control link --- */
/* The question to ask now; exactly one of the two below must follow, after on_control_lost if the link was lost. AGAIN:
 * there is none. NO_MEMORY. */
enum status coherence_replay(struct coherence *coherence, int64_t now_ms, struct buf *out) MUST_USE;
void coherence_on_replay_answer(struct coherence *coherence, struct slice reply, int64_t now_ms);
void coherence_on_replay_failed(struct coherence *coherence, int64_t now_ms);

/* --- what outlives the process (snapshot.h; docs/decisions/023) --- */
/* What is known of the values in L1 at this moment. Whoever writes them down takes it BEFORE he looks at the first of them. */
struct coherence_mark {
    struct epoch epoch;
    uint64_t run; /* of L2's process */
    /* Managed values from their floor on hold all numbered writes up to here; 0: nothing is known. */
    uint64_t seq;
    int64_t horizon_ms;
    int64_t floor_ms;
    int64_t managed_floor_ms;
};
void coherence_mark(const struct coherence *coherence, struct coherence_mark *ret);
/* A new coherence goes on where another process ended, as after a long cut: the values of then are in L1, and the times of
 * the mark are this node's clock's. Plain ones are suspects from here on. Managed ones are what they were if the first epoch
 * that is met is that of the mark and the log tells of all that came behind its seq; else suspects, too. */
void coherence_resume(struct coherence *coherence, const struct coherence_mark *mark,
                      int64_t now_ms);
/* Whether the first epoch that was met is that of the mark. */
enum coherence_former {
    COHERENCE_FORMER_NONE, /* there was no mark */
    COHERENCE_FORMER_WAITS,
    COHERENCE_FORMER_SAME,
    COHERENCE_FORMER_OTHER /* L2 was emptied, is another one, or was another one meanwhile */
};
enum coherence_former coherence_former(const struct coherence *coherence);

/* --- waiting for the bus (waiters.h) --- */
/* on_done follows, perhaps from inside. BUSY: too many wait. L2_DOWN: the node ends. A beat may be due at once. The
 * clock must have been read after whatever the waiter is about was acknowledged. */
enum status coherence_wait(struct coherence *coherence, struct coherence_waiter *waiter,
                           int64_t now_ms) MUST_USE;
/* When coherence_tick has something to do for those who wait; INT64_MAX: never. */
int64_t coherence_wait_due_ms(const struct coherence *coherence, int64_t now_ms);
void coherence_cap_waits(struct coherence *coherence, int64_t cap_ms); /* no wait is longer */
void coherence_end_waits(
    struct coherence *coherence); /* all end with L2_DOWN, and none begins; barriers, too */
/* After coherence_end_waits, and when this node will never serve anything any more: no hit, no reply of L2. A beat is due
 * that says so, the last one; the other nodes wait for this one no longer. */
void coherence_leave(struct coherence *coherence);
bool coherence_has_left(const struct coherence *coherence); /* and L2 has answered, or will not */
/* on_done follows, perhaps from inside, when nothing is served any more that is older than what Redis had done when this
 * was called (barriers.h). */
void coherence_barrier(struct coherence *coherence, struct barrier *barrier, int64_t now_ms);
/* What the bus must be told for them, if anything. AGAIN: nothing. NO_MEMORY. */
enum status coherence_ping(struct coherence *coherence, struct buf *out) MUST_USE;
const struct peers *coherence_peers(const struct coherence *coherence); /* control loop only */
/* When a key was last said to have changed. Control loop only. false: not known any more. */
bool coherence_announced(const struct coherence *coherence, struct slice key,
                         struct announcement *ret);
/* Where clients reach this node, for the other nodes to show; cut at PEER_ADDRESS_MAX. Before the first beat. */
void coherence_set_address(struct coherence *coherence, const char *address);

void coherence_tick(struct coherence *coherence,
                    int64_t now_ms); /* 10 a second: SYNCED to SUSPECT by the clock */

enum {
    COHERENCE_REASON_MAX = 200,
    COHERENCE_DISAGREEMENT_MAX = PEER_DISAGREEMENT_MAX + PEER_ADDRESS_MAX + 32
};

struct coherence_description {
    enum coherence_state state;
    const char *state_name;            /* "SYNCED" ... */
    char reason[COHERENCE_REASON_MAX]; /* why it is not SYNCED, or "" */
    struct epoch epoch;
    uint64_t seq; /* applied; 0: none of this epoch and subscription yet */
    uint64_t generation;
    int64_t horizon_ms;
    int64_t floor_ms;         /* of plain namespaces */
    int64_t managed_floor_ms; /* INT64_MAX: the log is being asked */
    int64_t echo_ms;          /* last beat's time from send to echo; -1 none */
    uint64_t stream_hash;     /* of the segment that ended with seq; 0: not seen from end to end */
    uint64_t doubts;          /* how often something was found missing or wrong */
    char doubt[COHERENCE_REASON_MAX]; /* what it was last */
    bool tracks;                      /* Redis announces changes; if not, why, in its words */
    char untracked_why[COHERENCE_REASON_MAX];
    size_t nodes;                                  /* live on the bus, this one included */
    size_t disagreeing;                            /* of these: whose namespaces differ from ours */
    char disagreement[COHERENCE_DISAGREEMENT_MAX]; /* of one of them, or "" */
    size_t waiters;
};
const char *coherence_state_name(uint32_t state); /* "?" if there is no such state */
/* Any thread: a copy made at the last change, under a small lock of its own. */
void coherence_describe(const struct coherence *coherence, struct coherence_description *ret);

#endif
