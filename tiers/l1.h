/* SPDX-License-Identifier: BSD-3-Clause */
/* l1.h -- the values this node holds in memory.
 *
 * L1 is a bounded map from (database, key) to item. It is cut into shards; each has its own lock, table and random
 * state. Callers never see shards or locks.
 *
 * Behind an L2 the one hard promise is about time. Between a miss and its fill another node may write the key. So a
 * miss hands out a TOKEN (a claim that stands in the table in the value's place), every invalidation of the key ends
 * it, and a fill with an ended token is refused:
 *
 *      l1_ask(k)   -> CLAIMED, token 7      |
 *      ... L2 is asked ...                  |   l1_invalidate(k)   ends token 7
 *      l1_fill(k, old value, token 7)       |
 *          -> STALE, nothing kept           v   time
 *
 * While a claim stands, others who ask for the key get TAKEN with the owner's worker number, and wait for the owner
 * instead of asking L2 again. Any landing of a read whose own token has ended drops whatever stands for the key
 * (COHERENCE T3: without this rule reads go backwards; model-checked). A claim may be spared, if its fill must agree with
 * what has landed: who saw the one has seen the other.
 *
 * A value read before the FLOOR is suspect: l1_ask treats it as a miss, keeps it aside in the claim, and puts it back
 * if L2 could not be asked (l1_unclaim): nothing is flushed blindly.
 *
 * A node has one L1 per namespace, all KIN of each other (namespace.h); each key has its home in one of them.
 *
 * Without an L2 this is the store itself, and writers use l1_commit: a compare-and-swap over any number of keys, in one
 * L1 or several, all or nothing. INCR, MSETNX and RENAME are all the same step: read items, build new ones, commit; on AGAIN
 * somebody was faster, so read again.
 *
 * SCAN walks a table that may grow or shrink meanwhile and never skips a key that was there all the time: cursors
 * count in reverse binary, as Redis' dictScan does, over a linear-hashing table (Litwin 1980; Noordhuis' cursor).
 *
 * Owns:    the items it holds; what it hands out carries a reference for the caller.
 * Threads: any. A call waits at most for shard locks, held for one table operation; commit, swap and what looks at
 *          several keys at once take several: L1s by address, shards of each by number.
 * Units:   bytes; milliseconds of clock.h, handed in as now_ms.
 * Limits:  bytes_max over all shards, counted as the system counts: pages, whatever is on them. At most 15 GiB a shard,
 *          whose number is that of the start. Keys below LIMIT_L1_KEY.
 * Errors:  MISS, CLAIMED, TAKEN, STALE, AGAIN, TOO_BIG, NO_MEMORY; whatever is returned, L1 stays whole. */
#ifndef TERRACE_TIERS_L1_H
#define TERRACE_TIERS_L1_H

#include "protocol/hash.h"
#include "protocol/limits.h"
#include "tiers/base/list.h"
#include "tiers/item.h"
#include "tiers/policy.h"
#include "tiers/whatif.h"

struct l1;

struct l1_options {
    size_t bytes_max;            /* 0: 64 MiB */
    const struct policy *policy; /* NULL: policy_density */
    /* Another L1 of the same node, whose hash secret and database numbers it takes over: a hash made for one is right in
     * the other, and l1_commit, l1_swap and l1_move may span both. NULL: a new secret. */
    const struct l1 *kin;
    uint64_t seed;    /* of sampling and table hash, for tests that replay; 0: unpredictable */
    unsigned threads; /* that will use it; 0: unknown */
    /* Rounded up to a power of two; 0: 4 per thread, at most 64 and one per 16 MiB. */
    unsigned shards;
};

struct l1_key {
    struct slice bytes; /* borrowed */
    /* l1_hash(bytes): the database is not in it, so one walk finds a key in all databases. */
    uint64_t hash;
    uint8_t db;
};

/* NULL: no memory. */
struct l1 *l1_new(const struct l1_options *options);
void l1_free(struct l1 *l1);

uint64_t l1_hash(const struct l1 *l1, struct slice key);
const struct hash_secret *l1_secret(const struct l1 *l1); /* the same in all its kin */
struct l1_key l1_key(const struct l1 *l1, uint8_t db, struct slice bytes);
/* A new item for a key whose home this L1 is and whose hash this is: in the memory where it will stand. As item_new. */
struct item *l1_item_new(struct l1 *l1, uint64_t hash, const struct item_spec *spec);
/* The same, for one that will be written for a while: it counts from now on, and others leave for it. NULL also if the policy
 * has no room. */
struct item *l1_item_begin(struct l1 *l1, uint64_t hash, const struct item_spec *spec,
                           int64_t now_ms);
struct l1_bucket;
/* Starts loading the bucket of `hash`, which it returns (NULL: there is none). Call for a whole batch, then look up. */
const struct l1_bucket *l1_prefetch(const struct l1 *l1, uint64_t hash);
/* Starts loading the item: a second round over the batch, when the buckets have come. It need not be the bucket of `hash`
 * any more: at worst something else is loaded. */
void l1_prefetch_item(const struct l1 *l1, const struct l1_bucket *bucket, uint64_t hash);

/* --- reading ---------------------------------------------------------------------------------------------------- */

/* Where a found value goes. Values up to copy_room are copied under the lock (two atomic operations saved); larger
 * ones are handed out as a reference in `item`, which the caller releases. */
struct l1_value {
    char *copy;            /* in: the caller's memory, or NULL to always get a reference */
    size_t copy_room;      /* in */
    struct item *item;     /* out: NULL if the value was copied */
    struct slice bytes;    /* out: the value, in `copy` or in `item` */
    bool is_hash;          /* out: they are those of fields.h */
    int64_t expire_at_ms;  /* out */
    int64_t stamped_at_ms; /* out */
};

/* Plain lookup: OK or MISS. Counts as a use. A suspect (below floor_ms) or an expired entry is a MISS, and stays or goes
 * as its rules say; `floor_ms` 0 accepts every stamp. Of a claim, the value that it keeps aside counts. */
enum status l1_get(struct l1 *l1, const struct l1_key *key, int64_t now_ms, int64_t floor_ms,
                   struct l1_value *value) MUST_USE;

struct l1_peek {
    size_t value_size;
    int64_t expire_at_ms;
    bool is_hash;
    bool capped;      /* it lives longer in L2 than expire_at_ms says (item.h) */
    int64_t idle_ms;  /* -1: the policy does not keep it, or keeps a frequency instead, as Redis */
    int frequency;    /* -1: the policy does not keep it */
    size_t footprint; /* bytes, table share included */
};

/* As l1_get but not a use, and without the value (EXISTS, TTL, OBJECT, MEMORY USAGE). */
enum status l1_peek(struct l1 *l1, const struct l1_key *key, int64_t now_ms, int64_t floor_ms,
                    struct l1_peek *ret) MUST_USE;

/* One of several keys that are read in one step. */
struct l1_several {
    struct l1 *l1;     /* the key's home */
    struct l1_key key; /* borrowed */
    struct item *item; /* out: what stands, with a reference for the caller; NULL: nothing */
};
/* What stands for all of them at one moment: no commit is seen half done, and no two writes in another order than they were
 * made. All shards concerned are locked meanwhile. `uses`: as l1_get of each; else as l1_peek. */
void l1_get_several(struct l1_several *keys, size_t count, bool uses, int64_t now_ms);

/* What stands for a key, served or not, for explanations: changes nothing and counts nothing. */
struct l1_look {
    bool has_value; /* and it has not expired; with a claim: a suspect that the claim keeps aside */
    bool has_claim; /* somebody reads L2 for it */
    bool is_hash;   /* the value */
    int64_t stamped_at_ms; /* of the value, as its expiry */
    int64_t expire_at_ms;
    int64_t claimed_at_ms;
};
void l1_look(struct l1 *l1, const struct l1_key *key, int64_t now_ms, struct l1_look *ret);

/* --- reading through, behind an L2 ------------------------------------------------------------------------------- */

struct l1_claim {
    uint64_t token;      /* never 0 */
    uint32_t owner;      /* worker that reads L2 */
    uint64_t generation; /* of the bus connection when it was issued */
};

/* OK: a value that may be served: stamped at floor_ms or later (contract.h; INT64_MAX passes every value over), also one
 * that a claim keeps aside: nothing has landed or changed since.
 * CLAIMED: *ret_claim is yours; end it with l1_fill, l1_unclaim or let an invalidation end it.
 * TAKEN: *ret_claim says whose it is. A claim older than `join_ms` is not joinable: it is replaced, answer CLAIMED.
 * NO_MEMORY: read L2 yourself, install nothing. */
struct l1_ask {
    int64_t now_ms;
    int64_t floor_ms;    /* stamps below are suspect */
    uint32_t worker;     /* who asks */
    uint64_t generation; /* current one */
    int64_t join_ms;
    bool claims_known_only; /* MISS in place of CLAIMED where nothing stands for the key */
    bool on_probation;      /* nothing leaves for the claim: its landing is that, too */
};
enum status l1_ask(struct l1 *l1, const struct l1_key *key, const struct l1_ask *ask,
                   struct l1_value *value, struct l1_claim *ret_claim) MUST_USE;

/* Claims a key that nobody asks for, to read it for those who will. Not a use, and counted nowhere; of `ask` joining does not
 * matter. OK: a value stands that is no suspect (stamped at floor_ms or later). CLAIMED: with what stood, if anything, and a
 * reference for the caller. TAKEN: somebody reads L2 for it. MISS, NO_MEMORY as l1_ask. */
enum status l1_claim_unasked(struct l1 *l1, const struct l1_key *key, const struct l1_ask *ask,
                             struct item **ret_before, struct l1_claim *ret_claim) MUST_USE;

/* A read landed with a value. OK: `item`, which must be new, stands in L1 (it takes a reference of its own). STALE: the
 * token had ended, its generation is not `generation`, install is false, or the value has expired; whatever stood for
 * the key is gone. TOO_BIG: as STALE; no room for it. BUSY: as STALE; it was on probation, and there is no room but that of
 * what is hotter. */
struct l1_landing {
    uint64_t token;      /* 0: a read that never had one */
    uint64_t generation; /* current one */
    bool install;        /* false: the bus is not confirmed; nothing may be kept */
    bool unused;         /* nobody asked for it: the policy's word of the suspect stays as it is */
    bool on_probation;   /* and if there was none, it enters so (policy.h), with: */
    uint8_t heat;
    /* Without a live token: a claim of somebody else's stands on, if in the end it brings the same value. For who has many
     * reads of one key under way: each that lands late would end the claim of the next, for ever. */
    bool spares_claims;
    size_t about; /* with that: so many bytes in front of a value are about it, and may differ */
    int64_t now_ms;
};
enum status l1_fill(struct l1 *l1, const struct l1_key *key, const struct l1_landing *landing,
                    struct item *item);
/* Whether one on probation would be kept, as far as can be told without it: L1 is not full, or a sample has something
 * colder. */
bool l1_has_room_for(struct l1 *l1, const struct l1_key *key, uint8_t heat, int64_t now_ms);
/* A read landed without a value (nil, wrong type): ends every token and drops the entry. */
void l1_land(struct l1 *l1, const struct l1_key *key);
/* L2 could not be asked: if the token stands, the claim goes and the suspect it kept aside stands again. */
void l1_unclaim(struct l1 *l1, const struct l1_key *key, uint64_t token);

/* Ends entry and token of the key. Returns how many values went (0 or 1). */
unsigned l1_invalidate(struct l1 *l1, const struct l1_key *key);
/* The same in all databases: announcements carry no database. Returns how many entries went. */
unsigned l1_forget(struct l1 *l1, struct slice bytes);

/* --- writing, without an L2 -------------------------------------------------------------------------------------- */

/* One change. `seen` is what the caller read: an item it holds a reference to, NULL for "no such key", or L1_ANY. An
 * expired item, or a claim, counts as no key. `item` is what shall stand (L1 takes a reference, and sets its database,
 * so it must be new), NULL removes. `seen` == `item` only compares. Changes of one key apply in order. */
struct l1_change {
    struct l1 *l1; /* the key's home */
    struct l1_key key;
    struct item *seen;
    struct item *item;
};
#define L1_ANY ((struct item *)-1) /* NOLINT(performance-no-int-to-ptr): compared, never followed */

enum {
    L1_KIN_MAX = 64 /* L1s that one commit or swap may span */
};

/* OK: all changes applied at once for every observer of single keys. AGAIN: some `seen` is not what stands; nothing
 * changed. TOO_BIG: does not fit in some L1's bytes_max, or its policy has no room; nothing changed. NO_MEMORY: nothing
 * changed. Then evicts as needed. */
enum status l1_commit(const struct l1_change *changes, size_t count, int64_t now_ms) MUST_USE;
/* Stores one value, whatever stands: a commit with L1_ANY, at half the price while the value is small. If nobody holds the
 * item that stands and the new one takes as many bytes, it is written over. */
enum status l1_put(struct l1 *l1, const struct l1_key *key, struct slice value,
                   int64_t expire_at_ms, int64_t now_ms) MUST_USE;
/* The item that stands for the key with a reference for the caller, or NULL; not a use. What `seen` wants. */
struct item *l1_hold(struct l1 *l1, const struct l1_key *key, int64_t now_ms);

/* Whether a key changes from now on, or is exchanged with its database, evicted, or expires: also if the change is undone
 * before anybody looks. A key that has expired is none, and its end no change. When namespaces change, all watches end as
 * touched. */
struct l1_watch {
    struct l1 *l1; /* NULL: it has ended */
    struct l1_key key;
    struct list in_shard; /* under its lock, as the next */
    uint8_t stored;
    bool touched;
};
/* From now on, until l1_unwatch; the key's bytes are borrowed so long. NO_MEMORY: nothing is watched. */
enum status l1_watch(struct l1 *l1, struct l1_watch *watch, const struct l1_key *key,
                     int64_t now_ms) MUST_USE;
void l1_unwatch(struct l1_watch *watch);
bool l1_watch_touched(struct l1_watch *watch, int64_t now_ms);

/* Who hears of each key that changed, came or ended, by expiry and eviction, too, but not of a flush or a swap of databases.
 * With the lock of the key's shard held: it must be quick, and may ask nothing of L1. For an L1 that is the data itself. */
struct l1_listener {
    void (*on_change)(void *arg, struct slice key, uint64_t hash);
    void *arg;
};
/* Borrowed; NULL: nobody. An L1 that is made as kin of this one has the same. */
void l1_set_listener(struct l1 *l1, const struct l1_listener *listener);

/* --- looking over everything ------------------------------------------------------------------------------------- */

typedef void l1_visit_fn(void *arg,
                         struct item *item); /* item borrowed; called without any lock held */

/* One step of a scan: visits about `count` entries of database `db` (values only, not expired) and returns the next
 * cursor; begin and end are 0. Guarantee as Redis: a key that was there from the first to the last call is visited at
 * least once. */
uint64_t l1_scan(struct l1 *l1, uint8_t db, uint64_t cursor, size_t count, int64_t now_ms,
                 l1_visit_fn *visit, void *arg);
/* A random live item of the database with a reference, or NULL if there is none. */
struct item *l1_random(struct l1 *l1, uint8_t db, int64_t now_ms);
uint64_t l1_count(const struct l1 *l1, uint8_t db); /* entries */
/* The same of all of these at one moment, as DBSIZE. */
uint64_t l1_count_several(struct l1 *const *l1s, size_t count, uint8_t db);
uint64_t l1_count_expiring(const struct l1 *l1, uint8_t db); /* of these, with an expiry */
int64_t l1_average_ttl_ms(const struct l1 *l1,
                          uint8_t db);    /* estimate of the sweep; 0: not known */
void l1_flush(struct l1 *l1, uint8_t db); /* drops entries and tokens of one database */
void l1_flush_all(struct l1 *l1);
/* SWAPDB: what was reached as a is reached as b, in all of these L1s. One atomic step; entries do not move. */
void l1_swap(struct l1 *const *l1s, size_t count, uint8_t a, uint8_t b, int64_t now_ms);
/* Takes out every entry whose key has its home elsewhere. `keep`: values go there; claims, their suspects, and values
 * that find no memory, end. Budgets are not looked at: l1_resize follows. For one thread, while nobody reads or writes
 * either L1. */
typedef struct l1 *l1_home_fn(const void *arg, struct slice key);
void l1_move(struct l1 *l1, l1_home_fn *home, const void *arg, bool keep, int64_t now_ms);

/* --- what outlives the process: l1_restore.c ---------------------------------------------------------------------- */

/* A value, and what the policy knows of it. */
struct l1_sight {
    struct item *item; /* borrowed */
    uint8_t db;        /* as clients called it at that moment */
    int64_t idle_ms;   /* -1: the policy does not keep it */
    uint8_t hotness;   /* policy.h, as the next */
    uint16_t kept;
};
typedef void l1_sight_fn(void *arg,
                         const struct l1_sight *sight); /* called without any lock held */
/* Visits every value once that is there from beginning to end and has not expired, of all databases; one that comes, goes or
 * changes meanwhile perhaps, or twice. Claims are passed over, and the suspects that they keep aside. Locks one chain at a
 * time. NO_MEMORY: some were not visited. */
enum status l1_survey(struct l1 *l1, int64_t now_ms, l1_sight_fn *visit, void *arg) MUST_USE;
/* What a policy knew of a value that outlived a process. */
struct l1_past {
    int64_t idle_ms; /* 0: just used, or not known */
    int kept;        /* as policy_former, by a policy that keeps alike; POLICY_KEPT_NONE */
};
/* Puts it in: OK. TAKEN: something stands for the key. TOO_BIG: L1 is full; nothing leaves for it. NO_MEMORY. */
enum status l1_restore(struct l1 *l1, uint64_t hash, const struct item_spec *spec,
                       struct slice value, const struct l1_past *past, int64_t now_ms) MUST_USE;

/* --- housekeeping ------------------------------------------------------------------------------------------------ */

/* Drops expired entries, looking at no more than `steps` buckets from where the last sweep ended, and shrinks tables.
 * Returns how many entries went. */
unsigned l1_sweep(struct l1 *l1, int64_t now_ms, unsigned steps);
void l1_resize(struct l1 *l1, size_t bytes_max, int64_t now_ms); /* evicts down to the new budget */
size_t l1_bytes_max(const struct l1 *l1);
void l1_purge(struct l1 *l1); /* gives back to the system what is free at once */
/* Visits every entry, shard by shard, each under its lock (some milliseconds for a hundred thousand), unless both policies
 * keep the same word. */
void l1_set_policy(struct l1 *l1, const struct policy *policy, int64_t now_ms);
const struct policy *l1_policy(const struct l1 *l1);

struct l1_stats {
    size_t bytes_max;
    size_t bytes_used; /* what it has from the system */
    size_t bytes_live; /* of these, in use: the rest is room in half-empty pages */
    size_t bytes_tables;
    size_t bytes_whatif; /* of these, the simulators' */
    uint64_t items;      /* values, all databases */
    uint64_t claims;
    uint64_t evictions;
    uint64_t expirations;
    uint64_t refused_fills; /* STALE landings */
    uint64_t fills;
    uint64_t invalidations; /* entries that an invalidation ended */
    uint64_t hits;          /* l1_get and l1_ask that found a value that may be served */
    uint64_t misses;        /* and those that did not */
};
void l1_stats(const struct l1 *l1, struct l1_stats *ret_stats);
void l1_stats_add(struct l1_stats *sum, const struct l1_stats *more);

/* --- what if ------------------------------------------------------------------------------------------------------ */

/* Simulates other policies and sizes on a sample of the keys (whatif.h), from the first shard: keys of an L1 have shards
 * at random. A new L1 does not. */
struct l1_whatif_setting {
    unsigned slots;  /* as whatif_options; 0: by bytes_max, whatif_slots_for */
    uint64_t window; /* 0: WHATIF_WINDOW */
};
/* NULL: no more. The same setting again changes nothing. Without memory there will be no simulation. */
void l1_set_whatif(struct l1 *l1, const struct l1_whatif_setting *setting);
void l1_restart_whatif(struct l1 *l1); /* counts begin now, as after a change of the policy */
/* MISS: there is no simulation. */
enum status l1_whatif(struct l1 *l1, struct whatif_report *ret_report) MUST_USE;

#endif
