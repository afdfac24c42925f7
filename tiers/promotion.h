/* SPDX-License-Identifier: BSD-3-Clause */
/* promotion.h -- which hashes are worth reading whole, so that L1 has them.
 *
 * A read of one field costs L2 little, reading all fields for it more. So the first read of a hash that L1 does not have is
 * passed on as it came, and the hash is read whole when it is asked for again:
 *
 *      HGET h a   passed on          reads 1
 *      HGET h b   read whole, kept   reads 0; whoever reads now hits L1
 *      HSET h c   ends it
 *      HGET h a   ...                after so many reads as `wanted` says
 *
 * Who was read whole and then not hit before a write ended it must be read twice as often the next time, and half as often
 * if it was hit: a hash that is written between any two reads (a session with a sliding expiry) costs L2 soon what it did
 * without. One that cannot be kept (too large) is not tried again for a while, each time for longer.
 *
 * Some thousand keys are remembered, those that were read lately: a walk over many hashes promotes none.
 *
 * Owns:    its table.
 * Threads: its window's. Workers learn each for itself.
 * Units:   milliseconds of clock.h; kept in steps of PROMOTION_STEP_MS. */
#ifndef TERRACE_TIERS_PROMOTION_H
#define TERRACE_TIERS_PROMOTION_H

#include <stdbool.h>
#include <stdint.h>

enum {
    PROMOTION_SETS = 1024, /* of PROMOTION_WAYS keys, a cache line each */
    PROMOTION_WAYS = 4,
    PROMOTION_STEP_MS = 256,
    PROMOTION_LATELY_MS = 60000,  /* reads further apart do not count together */
    PROMOTION_REFUSED_MS = 60000, /* the first time; then twice as long, up to: */
    PROMOTION_REFUSED_LOG_MAX = 6,
    PROMOTION_WANTED_MAX = 64,
};

struct promotion_key {
    uint32_t tag; /* 0: the place is free */
    uint32_t read_at;
    uint32_t refused_until;
    uint8_t reads;  /* passed on, since it was read whole */
    uint8_t wanted; /* of these, before it is read whole */
    uint8_t refused_log : 6;
    bool was_taken : 1; /* read whole at some time */
    bool was_hit : 1;   /* since then */
};

struct promotion {
    struct promotion_key keys[PROMOTION_SETS][PROMOTION_WAYS];
};

/* The place of a key, perhaps one of a key that was read longest ago. `hash`: of key and database. */
struct promotion_key *promotion_at(struct promotion *promotion, uint64_t hash, int64_t now_ms);
bool promotion_wants(const struct promotion_key *key, int64_t now_ms); /* to be read whole */
void promotion_passed(struct promotion_key *key, int64_t now_ms);      /* it was passed on */
void promotion_taken(struct promotion_key *key, int64_t now_ms);       /* it is read whole */
void promotion_refuse(struct promotion_key *key,
                      int64_t now_ms); /* it cannot be kept; nothing while that is known */
void promotion_hit(struct promotion_key *key, int64_t now_ms); /* L1 had it */

#endif
