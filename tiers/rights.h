/* SPDX-License-Identifier: BSD-3-Clause */
/* rights.h -- asks a Redis, before anything depends on it, whether it lets this node do its work.
 *
 * What is refused shows late otherwise, or never: a user without the channel of announcements could read and write for
 * days, and old values would be all that is seen of it. So each right is tried, with requests that change nothing that
 * anybody looks at: the beat of a greeting, a key that is gone again before anybody sees it, a message on a channel that
 * nobody hears, the kill of a connection that does not exist, and last the very words of the bus.
 *
 *      rights_write -> one piece of requests -> as many replies, each handed to rights_take -> OK: it is known
 *
 * Only what says so is a refusal: NOPERM, and Redis' words about the user of a script. An unknown command is no matter of
 * rights but of the server; it is told apart. Any other error (READONLY, OOM, NOREPLICAS) came after the rights were looked
 * at: the right is there.
 *
 * Pure. Limits: RIGHTS_TEXT_MAX bytes of text, printable. */
#ifndef TERRACE_TIERS_RIGHTS_H
#define TERRACE_TIERS_RIGHTS_H

#include "tiers/beat.h"

/* What `ACL SETUSER name on >password` is followed by: all that the node itself needs. */
#define RIGHTS_ACL_RULES                                                                        \
    "+@read +@write +@connection +@transaction +@pubsub +@scripting -@dangerous +info +client " \
    "+select +wait ~* &terrace:* &__redis__:invalidate"

enum {
    RIGHTS_TEXT_MAX = 480,
    RIGHTS_WHY_MAX = 192,
    RIGHTS_POLICY_MAX = 32
};

struct rights {
    unsigned step;            /* replies that came */
    uint32_t refused;         /* bit per step: by the user's rights */
    uint32_t unknown;         /* bit per step: the server has no such command */
    char why[RIGHTS_WHY_MAX]; /* Redis' words of the first refusal, or "" */
    uint64_t run;             /* of the process that answered the beat; 0: it answered an error */
    char policy[RIGHTS_POLICY_MAX]; /* maxmemory-policy, or "" */
    int64_t maxmemory;              /* 0: no limit; -1: not known */
    int64_t clock_us;               /* Redis' wall clock when it was asked; 0: not known */
};

/* All requests in order, appended; `client_id` is the connection's. `rights` begins anew. */
enum status rights_write(struct rights *rights, const struct beat_request *greeting,
                         uint64_t client_id, struct buf *out) MUST_USE;
/* The next reply. AGAIN: more will come. OK: that was the last one that matters. BUSY: this Redis cannot be asked now
 * (LOADING, a script that does not end); begin again later, on a new connection. */
enum status rights_take(struct rights *rights, struct slice reply) MUST_USE;

/* Whether the node may do all that it must. */
bool rights_suffice(const struct rights *rights);
/* CLIENT TRACKING can be used. */
bool rights_track(const struct rights *rights);
/* What nobody waits for can be read (flight_ask.c): without that nothing is warmed, nor read anew in the background. */
bool rights_warm(const struct rights *rights);
/* Redis may evict the keys of the nodes: they have no TTL, so only a policy for all keys does that. */
bool rights_may_evict(const struct rights *rights);
/* What is refused or unknown, "a, b and c", or "". */
void rights_missing(const struct rights *rights, char dst[RIGHTS_TEXT_MAX]);
/* Whether the text of an error is a refusal of a right. */
bool rights_is_refusal(struct slice text);
/* Whether it says that the server has no such command, or calls it otherwise. */
bool rights_is_unknown(struct slice text);
/* One of the two: to ask again is of no use before somebody has changed the user, or the server. */
bool rights_is_denial(struct slice text);

#endif
