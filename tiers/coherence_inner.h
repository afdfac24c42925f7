/* SPDX-License-Identifier: BSD-3-Clause */
/* coherence_inner.h -- the inside of the state machine, for coherence.c (fence, epochs, beats, time),
 * coherence_target.c (which L2) and coherence_bus.c (what the bus brings). */
#ifndef TERRACE_TIERS_COHERENCE_INNER_H
#define TERRACE_TIERS_COHERENCE_INNER_H

#include "tiers/announced.h"
#include "tiers/base/rand.h"
#include "tiers/bus_reply.h"
#include "tiers/coherence.h"
#include "tiers/coherence_stream.h"
#include "tiers/own_beats.h"
#include "tiers/replay.h"

#include <pthread.h>

enum {
    COHERENCE_MAGIC = 0x434f4845,
    COHERENCE_WHY_MAX = 120,
    BEAT_INTERVAL_MIN_MS = 25,
    PATIENCE_MIN_MS = 500,
};

enum bus_phase {
    BUS_DOWN,
    BUS_ASKED,
    BUS_CONFIRMED
};

/* What the greeting of the bus must bring, as bits. */
enum {
    HAVE_TRACKING = 1,
    HAVE_KEYS = 2,
    HAVE_FRAMES = 4,
    HAVE_ALL = 7
};

/* What a link showed of the process behind it. */
struct seen_run {
    uint64_t run;     /* 0: nothing */
    uint64_t counter; /* of its epoch */
};

/* What the frames since the last announcement of keys will prove, once the next one is applied (coherence.h, PROOF). */
struct unproved {
    uint64_t seq;     /* the newest of them; 0: there are none */
    int64_t home_ms;  /* send time of the newest own beat among them; 0: none */
    uint32_t told_ms; /* T as that beat said */
    uint64_t marker;  /* ordinal of the newest own marker among them; 0: none */
    uint64_t marker_seq;
    bool ack; /* one asks all who applied it to beat at once */
};

/* How far it is known what was published, without a gap (coherence_replay.c). */
struct heard {
    uint64_t
        whole; /* all frames up to here were obeyed, or came before the floor; 0: of this epoch nothing is known */
    uint64_t
        run; /* the first frame of those that followed one another on the bus until now; 0: none did */
    bool pending; /* something between may have been missed, and the log can tell */
    bool asked;   /* a question is under way */
    bool stale;   /* ... which was asked before the last gap; more must be asked for */
    bool void_;   /* ... whose answer says nothing any more */
    uint64_t asked_from;
    uint64_t until;    /* what is behind came by the bus; 0: not known yet */
    int64_t resume_ms; /* the floor that stands if nothing was missed */
    int64_t resume_proven_ms;
    int64_t resume_prior_ms;
    int64_t ask_at_ms;
    unsigned failures; /* in a row, that L2 answered */
};

struct coherence {
    unsigned magic;
    struct coherence_options options;
    uint32_t most_ms; /* the largest T of any namespace */
    uint32_t told_ms; /* as the newest beat said that is proved; 0: none is */
    struct coherence_view view;
    struct rand rand;
    enum coherence_state state;
    char reason[COHERENCE_REASON_MAX];
    char trouble[COHERENCE_WHY_MAX]; /* why the last beat failed, or "" */
    uint64_t doubts;
    char doubt[COHERENCE_REASON_MAX]; /* the last */
    struct coherence_figures figures;

    enum bus_phase phase;
    unsigned have;
    bool refused;
    bool tracks; /* Redis announces changes on this bus */
    char untracked_why[COHERENCE_WHY_MAX];

    struct epoch epoch;   /* counter 0: none seen */
    uint64_t known_epoch; /* the next beat asks for at least this counter */
    uint64_t run;         /* the process that all links must be at; 0: none */
    bool confirmed;       /* no worker has a link to another one */
    struct seen_run control;
    struct seen_run bus;
    int64_t
        home_ms; /* send time of the newest own beat that is proved since the last doubt; 0: none */
    bool has_seq;
    uint64_t seq; /* of the newest frame; how much is applied: view.applied_seq */
    struct unproved unproved;
    int64_t unannounced_from_ms; /* the first own echo since Redis announced keys; 0: none came since */
    struct heard heard;
    struct coherence_mark former; /* of a process that ended, until an epoch is met; seq 0: none */
    enum coherence_former former_is;
    struct coherence_stream stream;
    uint64_t reported_seq; /* the next report begins here: the last one that came home ended here */
    uint64_t
        doubted_seq; /* when a report differed: what was announced until here is suspect anyway */

    struct own_beats beats;
    struct peers peers;
    struct waiters waiters;
    struct barriers barriers;
    struct announced *announced;
    bool ack;      /* a marker that is applied asks for a beat at once */
    bool no_more;  /* nobody may wait any more: the node ends */
    bool leaving;  /* the next beat is the last, and says so */
    bool has_left; /* it was sent */
    size_t nodes;  /* live ones, at the last tick */
    size_t disagreeing;
    char disagreement[COHERENCE_DISAGREEMENT_MAX];
    size_t address_size;
    char address_room[FRAME_ADDRESS_MAX];
    int64_t newest_horizon_ms; /* of all that were ever stored */
    bool hurry;                /* an echo is what the fence waits for */
    int64_t beat_at_ms;
    int64_t heard_at_ms; /* last sign of life, control link or bus */
    int64_t ticked_at_ms;
    int64_t patient_from_ms; /* end of the last pause of this process */
    int64_t echo_ms;

    pthread_mutex_t lock; /* of `described` only */
    struct coherence_description described;
};

/* What another's epoch means for ours. */
enum epoch_verdict {
    EPOCH_OURS,
    EPOCH_ADOPTED,
    EPOCH_OLD,
    EPOCH_CLASH
};

void coherence_count(struct coherence *coherence, enum metric id, uint64_t n);
/* The one place where the state changes; checks the move against the drawing in coherence.h. */
void coherence_move(struct coherence *coherence, enum coherence_state to, const char *reason, ...)
    __attribute__((format(printf, 3, 4)));
/* The copy for other threads, at the end of each call that may have changed something worth showing. */
void coherence_show(struct coherence *coherence);
/* Everything stamped until now is suspect, in managed namespaces only if the log does not tell otherwise; `cause` counts
 * it. */
void coherence_raise_floor(struct coherence *coherence, int64_t now_ms, enum metric cause);
void coherence_show_applied(struct coherence *coherence, uint64_t seq); /* to the workers */
uint64_t coherence_applied_seq(const struct coherence *coherence);
void coherence_allow_install(struct coherence *coherence, bool allowed);
/* Tokens of the old generation install nothing from here on. */
void coherence_next_generation(struct coherence *coherence);
/* Something on the bus is missing or wrong: the floor rises, and only a new echo opens again. */
void coherence_doubt(struct coherence *coherence, int64_t now_ms, enum metric cause,
                     const char *why, ...) __attribute__((format(printf, 4, 5)));
/* The same, and what came home before proves nothing any more. */
void coherence_doubt_epoch(struct coherence *coherence, int64_t now_ms, const char *why);
enum epoch_verdict coherence_judge_epoch(struct coherence *coherence, struct epoch epoch,
                                         int64_t now_ms);

/* coherence_target.c: */
/* Nothing installs until the control link has met the epoch. */
void coherence_lose_target(struct coherence *coherence);
/* H := the send time of the newest echo, unless something still forbids it. */
void coherence_open(struct coherence *coherence);
/* A beat of the control link, its greeting's too, was answered. */
enum epoch_verdict coherence_control_said(struct coherence *coherence,
                                          const struct beat_answer *answer, int64_t now_ms);

/* --- coherence_wait.c --- */
/* A beat or marker must leave at once, for somebody waits for it. */
bool coherence_is_asked(const struct coherence *coherence, int64_t now_ms);
/* Own frames, on their way or unproved, prove nothing any more; nodes may have beat unheard. */
void coherence_interrupt(struct coherence *coherence, int64_t now_ms);
/* Who sent a beat, this node included; before anything else that the beat brings. */
void coherence_hear_peer(struct coherence *coherence, const struct frame *frame,
                         const struct frame_beat *beat, int64_t now_ms);
/* Which live nodes differ in their namespaces, for those who ask. */
void coherence_count_disagreements(struct coherence *coherence, int64_t now_ms);
/* All announcements in front of the newest frame are applied, and so are those that Redis owed when it made it. */
void coherence_prove(struct coherence *coherence, int64_t now_ms);
/* No pong can come, or not in time. */
void coherence_release_barriers(struct coherence *coherence, int64_t now_ms);
/* A key that Redis announced (node 0), or a frame: what stands of it ends, and whoever must know hears of it. */
void coherence_forget(struct coherence *coherence, struct slice key, uint64_t node, int64_t now_ms);
void coherence_forgot_all(const struct coherence *coherence); /* of one message */
void coherence_tell_flush(const struct coherence *coherence);
void coherence_tell_doubt(const struct coherence *coherence);

/* --- coherence_bus.c --- */
/* A frame that this version can believe in, and what a beat says. Its numbers were written before the script gave the
 * frame its epoch: of an older epoch they say nothing. */
bool coherence_read_frame(const struct coherence *coherence, struct slice text, struct frame *frame,
                          struct frame_beat *beat);
/* What it asks for. NULL, or what is malformed in it. */
const char *coherence_obey_frame(struct coherence *coherence, const struct frame *frame,
                                 int64_t now_ms);

/* --- coherence_replay.c --- */
void coherence_raise(struct coherence_floor *floor, int64_t floor_ms, int64_t newest_horizon_ms);
/* Frames of managed namespaces may have been missed. Until the log has told, all their values are suspects. */
void coherence_gap(struct coherence *coherence, int64_t now_ms);
/* All of their values are suspects, whatever the log may say. `new_epoch`: seqs of before mean nothing. */
void coherence_managed_doubt(struct coherence *coherence, bool new_epoch, int64_t now_ms);
/* A numbered frame of the present epoch came on the bus: as the first of a subscription, or behind the one before it, or
 * anywhere else; then a doubt follows (frame_came). */
enum heard_after {
    HEARD_FIRST,
    HEARD_IN_ORDER,
    HEARD_BEHIND_A_HOLE
};
void coherence_heard(struct coherence *coherence, uint64_t seq, enum heard_after after,
                     int64_t now_ms);

#endif
