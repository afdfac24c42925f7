/* SPDX-License-Identifier: BSD-3-Clause */
/* l1_shard.h -- one shard of L1, and the whole of them: what the files l1*.c share and nobody else sees.
 *
 * Every operation has the same shape:
 *
 *      shard = l1_lock(l1, hash)
 *      ... find, insert, replace, remove; what goes is let go of ...
 *      l1_unlock(l1, shard)        the table settles, the byte count is published
 *      l1_evict(...)               after an insertion only
 *
 * An entry is a value, or a CLAIM: an item whose value area is a struct l1_claim_body. Claims belong to L1 alone (they
 * are never handed out), count as bytes but not as entries, and are not evicted, scanned or swept; a read in flight
 * owns each of them and ends it. A claim may keep a suspect value aside, and its slot the suspect's word.
 *
 * Items and table lie in the shard's arena, and what that has from the system is what counts. An item made elsewhere is
 * copied in. A shard that must become smaller moves its items together.
 *
 * Databases: the db of an l1_key is what a client says; that of an item in the table is what it stands for since
 * l1_swap. They are translated under the shard lock, and l1_swap holds all locks, so nobody sees half a swap.
 *
 * Lock order: L1s by ascending address, in each shards by ascending index; nothing else is locked below them. */
#ifndef TERRACE_TIERS_L1_SHARD_H
#define TERRACE_TIERS_L1_SHARD_H

#include "protocol/check.h"
#include "tiers/base/count.h"
#include "tiers/base/lock.h"
#include "tiers/base/rand.h"
#include "tiers/l1.h"
#include "tiers/l1_table.h"
#include "tiers/policy_memory.h"
#include "tiers/whatif.h"

enum {
    L1_SHARDS_MAX = 1 << L1_HASH_SHARD_BITS,
    L1_LET_GO_MAX = 64, /* entries that a walk lets go of before it opens the lock for others */
};

struct l1_watches;

struct l1_claim_body {
    uint64_t token;
    uint64_t generation;
    int64_t issued_at_ms;
    struct item *suspect; /* kept aside, owned; or NULL */
    uint64_t noted;       /* what landed meanwhile without a token: l1_claim.c; 0: nothing */
    uint32_t owner;
};

struct l1_shard {
    /* Line 1: the lock, and all that a hit needs beside the table. */
    _Alignas(64) struct lock lock;
    struct arena *arena;
    const struct policy *policy;
    struct policy_memory *memory; /* of the policy; NULL if that remembers nothing */
    uint64_t whatif_limit;        /* keys whose hash is below this are sampled; 0: none */
    _Atomic uint64_t hits;        /* added to under the lock, read by any */
    _Atomic uint64_t misses;

    /* What changes with every write. */
    _Alignas(64) struct rand rand;
    _Atomic size_t bytes_published;     /* part of l1->bytes_used that is ours */
    struct l1_watches *watches;         /* NULL: nobody watches a key */
    const struct l1_listener *listener; /* of changes; NULL: nobody */
    int64_t pass_began_ms;              /* of the sweep */
    size_t bytes_swept;                 /* arena_bytes as it last ended */
    int64_t trimmed_at_ms;              /* when a sweep gave back what was kept idly */
    int64_t retry_at_ms;                /* then cells that could not be moved are tried again */
    struct whatif *whatif;              /* of the whole L1, in its first shard; NULL: none */

    /* By database as stored. */
    _Alignas(64) uint64_t count[LIMIT_DATABASES];
    uint64_t count_expiring[LIMIT_DATABASES];
    int64_t average_ttl_ms[LIMIT_DATABASES]; /* of what the sweep saw; 0: nothing yet */

    uint64_t token_next;
    uint64_t sweep_cursor;
    uint64_t claims;
    uint64_t evictions;
    uint64_t expirations;
    uint64_t refused_fills;
    uint64_t fills;
    uint64_t invalidations;

    /* On lines of its own: l1_prefetch reads it without the lock. */
    _Alignas(64) struct l1_table table;
};

struct l1 {
    uint32_t magic;
    unsigned shard_count;
    struct hash_secret secret;
    _Atomic(const struct policy *) policy;
    _Atomic uint64_t db_map; /* 16 nibbles: what database n is stored as */
    _Atomic size_t bytes_max;
    _Alignas(64) _Atomic size_t bytes_used; /* of its own line: every write adds to it */
    _Atomic unsigned sweep_shard;
    struct l1_shard *shards;
    bool whatif_wanted; /* under the lock of the first shard, as the next */
    struct l1_whatif_setting whatif_setting;
};

enum {
    L1_MAGIC = 0x4c315431
};

static inline unsigned l1_shard_of(const struct l1 *l1, uint64_t hash)
{
    return (unsigned)(hash >> L1_HASH_BUCKET_BITS) & (l1->shard_count - 1);
}

/* Under the lock, by whoever knows the time: items that are made later tell their times from it. Stamps may be a little
 * older than the first time heard of, so the base lies 12 days before. */
static inline void l1_tell_time(struct l1_shard *shard, int64_t now_ms)
{
    if (arena_base_ms(shard->arena) == 0) {
        arena_set_base_ms(shard->arena, now_ms - (INT64_C(1) << 30));
    }
}

static inline void l1_lock_shard(struct l1_shard *shard)
{
    lock_take(&shard->lock);
}

static inline struct l1_shard *l1_lock(struct l1 *l1, uint64_t hash)
{
    CHECK_MAGIC(l1, L1_MAGIC);
    struct l1_shard *shard = &l1->shards[l1_shard_of(l1, hash)];
    l1_lock_shard(shard);
    return shard;
}

void l1_unlock(struct l1 *l1, struct l1_shard *shard);
/* After looking only. */
static inline void l1_unlock_unchanged(struct l1_shard *shard)
{
    lock_release(&shard->lock);
}

/* Under a shard lock; elsewhere it is a snapshot. */
static inline uint8_t l1_db_stored(const struct l1 *l1, uint8_t db)
{
    CHECK(db < LIMIT_DATABASES);
    uint64_t map = atomic_load_explicit(&l1->db_map, memory_order_relaxed);
    return (uint8_t)(map >> (db * 4) & 15);
}

/* Under the lock: the entry of a key, of whatever kind. */
static inline bool l1_find(const struct l1 *l1, const struct l1_shard *shard,
                           const struct l1_key *key, struct l1_place *ret_place)
{
    return l1_table_find(&shard->table, key->hash, l1_db_stored(l1, key->db), key->bytes,
                         ret_place);
}
/* Lets go of the value that stands there, if it has expired (counted). False: it has. */
bool l1_still_lives(struct l1_shard *shard, struct l1_place *place, int64_t now_ms);
/* As l1_find, but an expired value is let go of first and is then not found. */
static inline bool l1_find_live(const struct l1 *l1, struct l1_shard *shard,
                                const struct l1_key *key, int64_t now_ms,
                                struct l1_place *ret_place)
{
    return l1_find(l1, shard, key, ret_place) &&
           (!l1_place_wants_look(ret_place) || l1_still_lives(shard, ret_place, now_ms));
}

/* Under the lock: counts a use of the entry; hands the value out. */
void l1_use(struct l1_shard *shard, const struct l1_place *place, int64_t now_ms);
/* The word of an entry after a use that brings such an item, and of one that is new to the shard. */
uint32_t l1_word_used(struct l1_shard *shard, uint32_t word, const struct item *item,
                      int64_t now_ms);
uint32_t l1_word_first(struct l1_shard *shard, uint64_t hash, const struct item *item,
                       int64_t now_ms);
uint32_t l1_word_probation(struct l1_shard *shard, uint64_t hash, size_t size, uint8_t heat,
                           int64_t now_ms);
void l1_value_set(const struct l1_shard *shard, struct l1_value *value, struct item *item);

/* --- l1_watch.c, under the lock ------------------------------------------------------------------------------------ */

void l1_touch_watches(struct l1_shard *shard, const struct item *item);
void l1_tell_listener(const struct l1_shard *shard, const struct item *item); /* l1_shard.c */
static inline void l1_touch(struct l1_shard *shard, const struct item *item)
{
    if (shard->watches != NULL) {
        l1_touch_watches(shard, item);
    }
    if (shard->listener != NULL) {
        l1_tell_listener(shard, item);
    }
}
void l1_watches_swapped(struct l1 *l1,
                        int64_t now_ms);     /* with all locks, after l1_swap changed the numbers */
void l1_watches_end(struct l1_shard *shard); /* all of them, as touched */

/* Under the lock: all changes of a table go through these three, which keep the counters. The table takes over one
 * reference, `remove` and `replace` hand back what stood there. Items are of the shard's arena. */
enum status l1_insert(struct l1_shard *shard, uint64_t hash, struct item *item,
                      uint32_t word) MUST_USE;
struct item *l1_replace(struct l1_shard *shard, struct l1_place place, struct item *item);
struct item *l1_remove(struct l1_shard *shard, struct l1_place *place);

void l1_bury(struct l1_shard *shard,
             struct item *entry); /* lets go of what has left, a claim's suspect too */

/* The body of a claim lies unaligned in the item. */
struct l1_claim_body l1_claim_read(const struct item *claim);
void l1_claim_write(struct item *claim, const struct l1_claim_body *body);
/* The value that a claim keeps aside, if it may be served: stamped at floor_ms or later, not expired. Else NULL. */
struct item *l1_claim_spare(const struct item *claim, int64_t now_ms, int64_t floor_ms);

static inline bool l1_is_claim(const struct item *item)
{
    return item_is_claim(item);
}

/* --- many locks at once: l1_shard.c ------------------------------------------------------------------------------- */

struct l1_lock_set {
    struct l1 *l1;
    uint64_t shards;              /* one bit per shard */
    size_t added;                 /* bytes that a commit brings */
    size_t freed;                 /* bytes of what it replaces, as far as it has seen that */
    const struct l1_change *last; /* of its changes, the last that brings some; NULL: none */
};

struct l1_locks {
    unsigned count;
    struct l1_lock_set sets[L1_KIN_MAX];
};

/* The set of an L1, added if there is none. Valid until the next call. */
struct l1_lock_set *l1_locks_at(struct l1_locks *locks, struct l1 *l1);
void l1_locks_take(struct l1_locks *locks); /* sorts the sets: the one order of all threads */
void l1_locks_release(const struct l1_locks *locks);

/* --- l1_whatif.c -------------------------------------------------------------------------------------------------- */

/* Under the lock: what happened to a key, for the simulators. `item`: of what was hit or has come; else NULL. */
void l1_whatif_note(struct l1 *l1, struct l1_shard *shard, const struct l1_key *key,
                    enum whatif_event event, const struct item *item, int64_t now_ms);
static inline void l1_note(struct l1 *l1, struct l1_shard *shard, const struct l1_key *key,
                           enum whatif_event event, const struct item *item, int64_t now_ms)
{
    if (key->hash < shard->whatif_limit) {
        l1_whatif_note(l1, shard, key, event, item, now_ms);
    }
}
void l1_whatif_forget(struct l1_shard *shard, uint64_t hash); /* in all databases */
void l1_whatif_flush(struct l1_shard *shard, uint8_t db);     /* L1_DB_ANY: all */
/* Whether entries keep their words when they come from one to the other. */
bool l1_same_word(const struct policy *a, const struct policy *b);
void l1_whatif_switch(struct l1 *l1, struct l1_shard *shard); /* shard->policy is another */
void l1_whatif_resize(struct l1 *l1); /* after a change of bytes_max, without locks */

/* --- l1_evict.c --------------------------------------------------------------------------------------------------- */

/* While over budget, drops entries and moves others together: in the shard of `hash` while that has more than its share,
 * then some in each next one, round and round. Work is bounded by what was added: at most enough victims to make room for
 * `added_bytes` of smallest items, and some more; what is over budget then goes with the next insertion.
 * `keep`, an item just put in under `hash` (borrowed, may be NULL), goes only if nothing else can, and not even
 * then under a policy that refuses. Takes locks. */
void l1_evict(struct l1 *l1, uint64_t hash, const struct item *keep, size_t added_bytes,
              int64_t now_ms);

/* The same for one that was put in on probation with this word: in its shard only, and nothing but what is colder goes. If
 * that is not enough the entry itself goes, unless it was used meanwhile: false. */
bool l1_evict_colder(struct l1 *l1, const struct l1_key *key, uint32_t word, size_t added_bytes,
                     int64_t now_ms);

/* Under the lock, now and then: moves items together while much memory is not in use, gives back what is kept idly. */
void l1_tidy(struct l1 *l1, struct l1_shard *shard, int64_t now_ms);

/* Before items that lie in these shards (one bit each) are put in, under a policy that may find no victim: evicts what it
 * can. False: there is no room for that much more, and nothing may be put in. Others make room afterwards: true. Takes
 * locks. */
bool l1_make_room(struct l1 *l1, uint64_t shards, size_t growth, int64_t now_ms);

/* One eviction, whatever the budget, for measuring what a policy chooses. The victim with a reference for the caller; NULL:
 * none. Takes the lock. */
struct item *l1_evict_one(struct l1 *l1, unsigned shard_index, int64_t now_ms);

static inline bool l1_over_budget(const struct l1 *l1)
{
    return atomic_load_explicit(&l1->bytes_used, memory_order_relaxed) >
           atomic_load_explicit(&l1->bytes_max, memory_order_relaxed);
}

#endif
