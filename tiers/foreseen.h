/* SPDX-License-Identifier: BSD-3-Clause */
/* foreseen.h -- misses that did not happen, because somebody had read the value anew before it ended: counted one by one.
 *
 *      read anew        former end (from)          new end (until)
 *          |  ordinary hits  |  the first hit: one miss less  |
 *          |-----------------|--------------------------------|
 *                           armed, until that hit, a miss, or `until`
 *
 * Whoever reads a key asks foreseen_is_armed, which is a load and a compare while nothing is, and one more of each while
 * something is. Keys are armed a moment before their former end, so that few reads come before it.
 *
 * A miss disarms: what was read anew has gone in some other way, and the value that comes then is owed to nobody.
 *
 * Owns:    copies of the keys that are armed.
 * Threads: any; what is armed is under a lock.
 * Units:   milliseconds of clock.h.
 * Limits:  FORESEEN_MAX keys, FORESEEN_OWNERS owners; beyond that they are not counted. */
#ifndef TERRACE_TIERS_FORESEEN_H
#define TERRACE_TIERS_FORESEEN_H

#include "tiers/l1.h"

#include <pthread.h>

enum {
    FORESEEN_MAX = 4096,
    FORESEEN_OWNERS = 64,
    FORESEEN_PLACES = 8192
};

struct foreseen_key;

struct foreseen {
    _Atomic unsigned armed;
    _Atomic uint16_t places[FORESEEN_PLACES]; /* by hash: how many are armed */
    pthread_mutex_t lock;
    struct foreseen_key *chains[FORESEEN_PLACES]; /* under it, as below */
    struct {
        uint64_t owner; /* 0: free */
        uint64_t count;
    } counts[FORESEEN_OWNERS];
};

void foreseen_init(struct foreseen *foreseen);
void foreseen_done(struct foreseen *foreseen);

static inline bool foreseen_is_armed(const struct foreseen *foreseen, uint64_t hash)
{
    return atomic_load_explicit(&foreseen->armed, memory_order_relaxed) != 0 &&
           atomic_load_explicit(&foreseen->places[hash % FORESEEN_PLACES], memory_order_relaxed) !=
               0;
}

/* The key would have been a miss from `from_ms` on, and is one again at `until_ms`. One that is armed already is armed anew.
 * `owner`, not 0: who gets the count. */
void foreseen_arm(struct foreseen *foreseen, const struct l1_key *key, int64_t from_ms,
                  int64_t until_ms, uint64_t owner);
/* A client read the key, whose place is armed. True: one miss less. */
bool foreseen_on_read(struct foreseen *foreseen, const struct l1_key *key, bool is_hit,
                      int64_t now_ms);
/* Those whose time is over are armed no more. */
void foreseen_sweep(struct foreseen *foreseen, int64_t now_ms);
/* Misses less since it was taken last. */
uint64_t foreseen_take(struct foreseen *foreseen, uint64_t owner);

#endif
