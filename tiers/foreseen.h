/* SPDX-License-Identifier: BSD-3-Clause */
/* foreseen.h -- misses that did not happen, because somebody had read the value anew before it ended: counted one by one.
 *
 * Of each such key it is known what would stand without that: nothing from `from_ms` on. The first hit behind it is a
 * miss less; it would have brought a value that lived for `life_ms`, so the next one can come no sooner than that:
 *
 *      read anew    from: the former end        hit: counted              from, now
 *         |              |                         |--------- life ----------|
 *         |--------------|-------------------------|-------------------------|----------> while it is read anew again and again
 *
 * A key is ARMED from FORESEEN_AHEAD_MS before `from` until that hit. Whoever reads a key asks foreseen_is_armed, which
 * is a load and a compare while nothing is, and one more of each while something is; what it finds armed takes a lock.
 *
 * A miss ends it: what was read anew has gone in some other way, and the value that comes then is owed to nobody.
 *
 * Owns:    copies of the keys.
 * Threads: any; foreseen_tick one.
 * Units:   milliseconds of clock.h.
 * Limits:  FORESEEN_MAX keys, FORESEEN_OWNERS owners that were not dropped; beyond that they are not counted. */
#ifndef TERRACE_TIERS_FORESEEN_H
#define TERRACE_TIERS_FORESEEN_H

#include "tiers/l1.h"

#include <pthread.h>

enum {
    FORESEEN_MAX = 65536,
    FORESEEN_OWNERS = 64,
    FORESEEN_PLACES = 8192,
    FORESEEN_AHEAD_MS = 150
};

struct foreseen_key;

struct foreseen_life {
    int64_t from_ms;
    int64_t until_ms;
    int64_t life_ms;
};

struct foreseen {
    _Atomic unsigned armed;
    _Atomic unsigned known;
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

/* The key was read anew, and stands until `until_ms` now. Without that it would have ended at `from_ms`; of a key that is known
 * already that stays as it is. `owner`, not 0: who gets the count. */
void foreseen_watch(struct foreseen *foreseen, const struct l1_key *key,
                    const struct foreseen_life *life, uint64_t owner, int64_t now_ms);
/* A client read the key, whose place is armed. True: one miss less. */
bool foreseen_on_read(struct foreseen *foreseen, const struct l1_key *key, bool is_hit,
                      int64_t now_ms);
/* Ten times a second: arms those whose time comes, and forgets those that have ended. */
void foreseen_tick(struct foreseen *foreseen, int64_t now_ms);
/* Misses less since it was taken last. */
uint64_t foreseen_take(struct foreseen *foreseen, uint64_t owner);
/* The owner has gone: its keys are not counted any more, its figure is lost, and its place is another's. */
void foreseen_drop(struct foreseen *foreseen, uint64_t owner);

#endif
