/* SPDX-License-Identifier: BSD-3-Clause */
/* own_beats.h -- the beats that this node sent and has not seen the end of.
 *
 * A beat comes home twice: as the answer on the control link (in the order of sending, without a name) and as the echo
 * on the bus (with its nonce). The two connections know nothing of each other, so either may be first.
 *
 * A beat is VOID when its echo must prove nothing any more: the bus or the epoch is another one since. It still keeps
 * its place, for its answer is still to come.
 *
 * Threads: the control loop's. All zeros is empty. For coherence.c. */
#ifndef TERRACE_TIERS_OWN_BEATS_H
#define TERRACE_TIERS_OWN_BEATS_H

#include <stdbool.h>
#include <stdint.h>

enum {
    OWN_BEATS_MAX = 32,
    OWN_BEATS_UNANSWERED_MAX = 8
};

struct own_beat {
    uint64_t nonce;
    uint64_t applied_seq; /* as it says */
    uint64_t marker;      /* ordinal among the markers (waiters.h); 0: nobody waits for it */
    int64_t sent_at_ms;
    int64_t answered_at_ms; /* 0: not, or it failed */
    bool is_void;
    bool is_home; /* its echo came, or a later one did */
};

struct own_beats {
    uint64_t next;     /* counts all beats ever; the newest is at (next - 1) % OWN_BEATS_MAX */
    uint64_t answered; /* the first that is not answered */
    struct own_beat ring[OWN_BEATS_MAX];
};

/* How many answers are outstanding; above OWN_BEATS_UNANSWERED_MAX nothing may be sent. */
uint64_t own_beats_unanswered(const struct own_beats *beats);
/* Takes nonce, applied_seq, marker and sent_at_ms from `beat`. */
void own_beats_sent(struct own_beats *beats, const struct own_beat *beat);
uint64_t own_beats_next_marker(const struct own_beats *beats); /* of the oldest unanswered one */
/* The oldest unanswered one has its answer. `as_void`: and it proves nothing. */
void own_beats_answered(struct own_beats *beats, int64_t now_ms, bool as_void);
void own_beats_failed(struct own_beats *beats); /* ... will get none; its echo may still come */
/* The echo came: the beat, until the next call, or NULL if none waits for it. Older beats will not come home any more. */
const struct own_beat *own_beats_home(struct own_beats *beats, uint64_t nonce);
void own_beats_void(struct own_beats *beats);
/* When the oldest beat was answered that has no echo yet; 0: there is none. */
int64_t own_beats_waiting_since_ms(const struct own_beats *beats);

#endif
