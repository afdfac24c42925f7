/* SPDX-License-Identifier: BSD-3-Clause */
/* Looking over everything: scans, counts, random keys, flushes, sweeps.
 *
 * All of them go chain by chain and let go of the lock in between. A chain is the unit, because entries move within it
 * on every removal; from one chain to the next a reverse-binary cursor leads (l1_table.h). */
#include "protocol/check.h"
#include "tiers/l1_shard.h"

#include <stdlib.h>

enum {
    SCAN_BUCKETS_PER_ENTRY =
        10,         /* as Redis: a step gives up after so many buckets per entry wanted */
    SCAN_ROOM = 64, /* longer chains need memory */
    RANDOM_TRIES = 64,
    BUCKETS_PER_LOCK = 16,
    AVERAGE_SHARE_LOG = 4, /* a sweep step moves the estimate of the mean TTL by 1/16 */
};

/* --- scan --------------------------------------------------------------------------------------------------------- */

/* Items of one chain, each with a reference. */
struct harvest {
    size_t count;
    size_t room;
    struct item **items; /* `first`, or memory of its own */
    struct item *first[SCAN_ROOM];
};

static bool wanted(const struct item *item, uint8_t db, int64_t now_ms)
{
    return !l1_is_claim(item) && item_db(item) == db && !item_expired(item, now_ms);
}

static bool harvest_reserve(struct harvest *harvest, struct l1_place place)
{
    harvest->count = 0;
    harvest->room = SCAN_ROOM;
    harvest->items = harvest->first;
    size_t length = 0;
    for (; l1_place_item(&place) != NULL; l1_place_next(&place)) {
        length++;
    }
    if (length > SCAN_ROOM) {
        harvest->items = malloc(length * sizeof(struct item *));
        harvest->room = length;
    }
    return harvest->items != NULL;
}

static void harvest_chain(struct harvest *harvest, struct l1_place place, uint8_t db,
                          int64_t now_ms)
{
    struct item *item;
    for (; (item = l1_place_item(&place)) != NULL; l1_place_next(&place)) {
        if (wanted(item, db, now_ms)) {
            harvest->items[harvest->count++] = item_ref(item);
        }
    }
}

static void harvest_visit(struct harvest *harvest, l1_visit_fn *visit, void *arg)
{
    for (size_t i = 0; i < harvest->count; i++) {
        visit(arg, harvest->items[i]);
        item_release(harvest->items[i]);
    }
    if (harvest->items != harvest->first) {
        free(harvest->items);
    }
}

/* A scan's cursor is that of the table with the shard below it: within a shard, 0 means its end. */
struct scan {
    unsigned shard;
    uint64_t cursor;
};

static struct scan scan_of(const struct l1 *l1, uint64_t cursor)
{
    return (struct scan){
        .shard = (unsigned)cursor & (l1->shard_count - 1),
        .cursor = cursor >> __builtin_ctz(l1->shard_count),
    };
}

static uint64_t scan_cursor(const struct l1 *l1, struct scan scan)
{
    return scan.shard == l1->shard_count
               ? 0
               : scan.cursor << __builtin_ctz(l1->shard_count) | scan.shard;
}

static void scan_advance(struct scan *scan, const struct l1_shard *shard, uint8_t db)
{
    bool empty = shard->count[db] == 0;
    scan->cursor = empty ? 0 : l1_table_cursor_next(&shard->table, scan->cursor);
    scan->shard += scan->cursor == 0;
}

uint64_t l1_scan(struct l1 *l1, uint8_t db, uint64_t cursor, size_t count, int64_t now_ms,
                 l1_visit_fn *visit, void *arg)
{
    CHECK_MAGIC(l1, L1_MAGIC);
    struct scan scan = scan_of(l1, cursor);
    size_t wanted_count = count > 0 ? count : 1;
    size_t seen = 0;
    size_t buckets_left = wanted_count > SIZE_MAX / SCAN_BUCKETS_PER_ENTRY
                              ? SIZE_MAX
                              : wanted_count * SCAN_BUCKETS_PER_ENTRY;
    while (scan.shard < l1->shard_count && seen < wanted_count && buckets_left > 0) {
        struct l1_shard *shard = &l1->shards[scan.shard];
        struct harvest harvest;
        l1_lock_shard(shard);
        uint8_t stored = l1_db_stored(l1, db);
        struct l1_place place = l1_table_chain(&shard->table, scan.cursor);
        bool room = harvest_reserve(&harvest, place);
        if (room) {
            harvest_chain(&harvest, place, stored, now_ms);
            scan_advance(&scan, shard, stored);
        }
        l1_unlock(l1, shard);
        if (!room) {
            break; /* the caller comes back with the same cursor */
        }
        seen += harvest.count;
        buckets_left--;
        harvest_visit(&harvest, visit, arg);
    }
    return scan_cursor(l1, scan);
}

/* --- one at random ------------------------------------------------------------------------------------------------ */

static struct item *pick_in_chain(struct l1_shard *shard, struct l1_place place, uint8_t db,
                                  int64_t now_ms)
{
    struct item *picked = NULL;
    uint64_t candidates = 0;
    struct item *item;
    for (; (item = l1_place_item(&place)) != NULL; l1_place_next(&place)) {
        /* Each later one replaces the choice with the chance that makes all equal (reservoir of one). */
        if (wanted(item, db, now_ms) && rand_below(&shard->rand, ++candidates) == 0) {
            picked = item;
        }
    }
    return picked != NULL ? item_ref(picked) : NULL;
}

/* Random chains first. Where the database has few entries among many of others, the rest of the shard is walked from a
 * random bucket, letting go of the lock every few buckets. */
static struct item *pick_in_shard(struct l1 *l1, struct l1_shard *shard, uint8_t db, int64_t now_ms)
{
    struct item *picked = NULL;
    l1_lock_shard(shard);
    for (int i = 0; i < RANDOM_TRIES && picked == NULL && shard->count[db] > 0; i++) {
        uint64_t index = rand_below(&shard->rand, l1_table_buckets(&shard->table));
        picked = pick_in_chain(shard, l1_table_bucket(&shard->table, index), db, now_ms);
    }
    uint64_t start = rand_next(&shard->rand);
    for (uint64_t i = 0;
         picked == NULL && shard->count[db] > 0 && i < l1_table_buckets(&shard->table); i++) {
        uint64_t index = (start + i) % l1_table_buckets(&shard->table);
        picked = pick_in_chain(shard, l1_table_bucket(&shard->table, index), db, now_ms);
        if (i % BUCKETS_PER_LOCK == BUCKETS_PER_LOCK - 1) {
            l1_unlock(l1, shard);
            l1_lock_shard(shard);
        }
    }
    l1_unlock(l1, shard);
    return picked;
}

struct item *l1_random(struct l1 *l1, uint8_t db, int64_t now_ms)
{
    CHECK_MAGIC(l1, L1_MAGIC);
    uint8_t stored = l1_db_stored(l1, db);
    uint64_t counts[L1_SHARDS_MAX];
    uint64_t total = 0;
    uint64_t draw = 0;
    for (unsigned i = 0; i < l1->shard_count; i++) {
        struct l1_shard *shard = &l1->shards[i];
        l1_lock_shard(shard);
        counts[i] = shard->count[stored];
        total += counts[i];
        draw ^= rand_next(&shard->rand);
        l1_unlock(l1, shard);
    }
    if (total == 0) {
        return NULL;
    }
    draw %= total;
    unsigned chosen = 0;
    while (draw >= counts[chosen]) {
        draw -= counts[chosen++];
    }
    /* Usually the first answers. The others are for a shard whose entries have all expired, or left since. */
    struct item *picked = NULL;
    for (unsigned i = 0; i < l1->shard_count && picked == NULL; i++) {
        picked =
            pick_in_shard(l1, &l1->shards[(chosen + i) & (l1->shard_count - 1)], stored, now_ms);
    }
    return picked;
}

/* --- counts ------------------------------------------------------------------------------------------------------- */

struct counts {
    uint64_t entries;
    uint64_t expiring;
    int64_t average_ttl_ms;
};

static struct counts counts_of(const struct l1 *l1, uint8_t db)
{
    CHECK_MAGIC(l1, L1_MAGIC);
    struct counts counts = {0};
    uint64_t weighed = 0;
    double sum_ms = 0;
    for (unsigned i = 0; i < l1->shard_count; i++) {
        struct l1_shard *shard = &l1->shards[i];
        l1_lock_shard(shard);
        uint8_t stored = l1_db_stored(l1, db);
        counts.entries += shard->count[stored];
        counts.expiring += shard->count_expiring[stored];
        if (shard->average_ttl_ms[stored] > 0 && shard->count_expiring[stored] > 0) {
            weighed += shard->count_expiring[stored];
            sum_ms += (double)shard->average_ttl_ms[stored] * (double)shard->count_expiring[stored];
        }
        l1_unlock_unchanged(shard);
    }
    counts.average_ttl_ms = weighed > 0 ? (int64_t)(sum_ms / (double)weighed) : 0;
    return counts;
}

uint64_t l1_count(const struct l1 *l1, uint8_t db)
{
    return counts_of(l1, db).entries;
}

/* The locks of everything. */
static void lock_whole(struct l1_locks *locks, struct l1 *const *l1s, size_t count)
{
    locks->count = 0;
    for (size_t i = 0; i < count; i++) {
        CHECK_MAGIC(l1s[i], L1_MAGIC);
        /* All shards: shard_count is a power of two up to 64. */
        l1_locks_at(locks, l1s[i])->shards = UINT64_MAX >> (L1_SHARDS_MAX - l1s[i]->shard_count);
    }
    l1_locks_take(locks);
}

uint64_t l1_count_several(struct l1 *const *l1s, size_t count, uint8_t db)
{
    struct l1_locks locks;
    uint64_t entries = 0;
    lock_whole(&locks, l1s, count);
    for (size_t i = 0; i < count; i++) {
        for (unsigned j = 0; j < l1s[i]->shard_count; j++) {
            entries += l1s[i]->shards[j].count[l1_db_stored(l1s[i], db)];
        }
    }
    l1_locks_release(&locks);
    return entries;
}

uint64_t l1_count_expiring(const struct l1 *l1, uint8_t db)
{
    return counts_of(l1, db).expiring;
}

int64_t l1_average_ttl_ms(const struct l1 *l1, uint8_t db)
{
    return counts_of(l1, db).average_ttl_ms;
}

/* --- flush and swap ----------------------------------------------------------------------------------------------- */

/* Removes from the chain what belongs to the database. False: that is enough for once, and some may be left. */
static bool flush_chain(struct l1_shard *shard, struct l1_place place, uint8_t db, unsigned *went)
{
    const struct item *item;
    while ((item = l1_place_item(&place)) != NULL) {
        if (db != L1_DB_ANY && item_db(item) != db) {
            l1_place_next(&place);
            continue;
        }
        if (*went == L1_LET_GO_MAX) {
            return false;
        }
        l1_bury(shard, l1_remove(shard, &place));
        ++*went;
    }
    return true;
}

static void flush_shard(struct l1 *l1, struct l1_shard *shard, uint8_t db)
{
    uint64_t cursor = 0;
    bool done = false;
    while (!done) {
        unsigned went = 0;
        l1_lock_shard(shard);
        const struct l1_listener *listener = shard->listener;
        shard->listener = NULL; /* who asked for it tells of all at once */
        if (cursor == 0) {
            l1_whatif_flush(shard, db);
        }
        for (int i = 0; i < BUCKETS_PER_LOCK && !done; i++) {
            if (!flush_chain(shard, l1_table_chain(&shard->table, cursor), db, &went)) {
                break; /* the same chain again */
            }
            cursor = l1_table_cursor_next(&shard->table, cursor);
            done = cursor == 0;
        }
        shard->listener = listener;
        l1_unlock(l1, shard);
    }
}

void l1_flush(struct l1 *l1, uint8_t db)
{
    CHECK_MAGIC(l1, L1_MAGIC);
    uint8_t stored = l1_db_stored(l1, db);
    for (unsigned i = 0; i < l1->shard_count; i++) {
        flush_shard(l1, &l1->shards[i], stored);
    }
}

void l1_flush_all(struct l1 *l1)
{
    CHECK_MAGIC(l1, L1_MAGIC);
    for (unsigned i = 0; i < l1->shard_count; i++) {
        flush_shard(l1, &l1->shards[i], L1_DB_ANY);
    }
}

static void swap_one(struct l1 *l1, uint8_t a, uint8_t b)
{
    uint64_t map = atomic_load_explicit(&l1->db_map, memory_order_relaxed);
    uint64_t differ = (uint64_t)(l1_db_stored(l1, a) ^ l1_db_stored(l1, b));
    map ^= a == b ? 0 : (differ << (a * 4)) | (differ << (b * 4));
    atomic_store_explicit(&l1->db_map, map, memory_order_relaxed);
}

void l1_swap(struct l1 *const *l1s, size_t count, uint8_t a, uint8_t b, int64_t now_ms)
{
    struct l1_locks locks;
    lock_whole(&locks, l1s, count);
    for (size_t i = 0; i < count; i++) {
        swap_one(l1s[i], a, b);
        l1_watches_swapped(l1s[i], now_ms);
    }
    l1_locks_release(&locks);
}

/* --- sweep -------------------------------------------------------------------------------------------------------- */

#define TTL_SEEN_MAX_MS (INT64_C(1) << 42) /* 139 years; so that a sum of them cannot overflow */

/* What one locked step of a sweep saw of live TTLs, by database. */
struct ttl_sample {
    int64_t sum_ms[LIMIT_DATABASES];
    int64_t count[LIMIT_DATABASES];
};

/* What a sweep does to one entry, which is no claim and has not expired. */
static void sweep_one(struct l1_shard *shard, const struct l1_place *place, int64_t now_ms,
                      struct ttl_sample *sample)
{
    uint32_t word = l1_place_word(place);
    uint32_t settled = shard->policy->settle(shard->memory, word, now_ms);
    if (settled != word) {
        l1_place_set_word(place, settled);
    }
    if (l1_place_wants_look(place)) {
        const struct item *item = l1_place_item(place);
        int64_t left_ms = item_expire_at_ms(item) - now_ms;
        sample->sum_ms[item_db(item)] += left_ms < TTL_SEEN_MAX_MS ? left_ms : TTL_SEEN_MAX_MS;
        sample->count[item_db(item)]++;
    }
}

/* False: that is enough for once, and some may be left. */
static bool sweep_chain(struct l1_shard *shard, struct l1_place place, int64_t now_ms,
                        struct ttl_sample *sample, unsigned *went)
{
    const struct item *item;
    while ((item = l1_place_item(&place)) != NULL) {
        bool is_claim = l1_place_wants_look(&place) && l1_is_claim(item);
        if (is_claim || !l1_place_wants_look(&place) || !item_expired(item, now_ms)) {
            if (!is_claim) {
                sweep_one(shard, &place, now_ms, sample);
            }
            l1_place_next(&place);
            continue;
        }
        if (*went == L1_LET_GO_MAX) {
            return false;
        }
        l1_bury(shard, l1_remove(shard, &place));
        shard->expirations++;
        ++*went;
    }
    return true;
}

static void average_update(struct l1_shard *shard, const struct ttl_sample *sample)
{
    for (unsigned db = 0; db < LIMIT_DATABASES; db++) {
        if (sample->count[db] > 0) {
            int64_t mean_ms = sample->sum_ms[db] / sample->count[db];
            int64_t *average_ms = &shard->average_ttl_ms[db];
            *average_ms +=
                *average_ms == 0 ? mean_ms : (mean_ms - *average_ms) / (1 << AVERAGE_SHARE_LOG);
        } else if (shard->count_expiring[db] == 0) {
            shard->average_ttl_ms[db] = 0;
        }
    }
}

static bool anything_expires(const struct l1_shard *shard)
{
    for (unsigned db = 0; db < LIMIT_DATABASES; db++) {
        if (shard->count_expiring[db] > 0) {
            return true;
        }
    }
    return false;
}

/* Without a TTL in the shard there is nothing to look for but words to settle, and that has time. */
static bool sweep_is_due(struct l1_shard *shard, int64_t now_ms)
{
    if (shard->sweep_cursor != 0) {
        return true;
    }
    const int64_t since_ms = now_ms - shard->pass_began_ms;
    if (!anything_expires(shard) && since_ms >= 0 && since_ms < POLICY_SETTLE_MS / 2) {
        return false;
    }
    shard->pass_began_ms = now_ms;
    return true;
}

static unsigned sweep_shard(struct l1 *l1, struct l1_shard *shard, int64_t now_ms, unsigned steps)
{
    unsigned went = 0;
    struct ttl_sample sample = {{0}, {0}};
    l1_lock_shard(shard);
    l1_tell_time(shard, now_ms);
    for (unsigned i = 0; i < steps && sweep_is_due(shard, now_ms); i++) {
        struct l1_place place = l1_table_chain(&shard->table, shard->sweep_cursor);
        if (!sweep_chain(shard, place, now_ms, &sample, &went)) {
            break; /* the next sweep comes back to this chain */
        }
        shard->sweep_cursor = l1_table_cursor_next(&shard->table, shard->sweep_cursor);
    }
    average_update(shard, &sample);
    l1_tidy(l1, shard, now_ms);
    if (shard->whatif != NULL) {
        whatif_sweep(shard->whatif, now_ms);
    }
    l1_unlock(l1, shard);
    return went;
}

unsigned l1_sweep(struct l1 *l1, int64_t now_ms, unsigned steps)
{
    CHECK_MAGIC(l1, L1_MAGIC);
    unsigned went = 0;
    while (steps > 0) {
        unsigned next = atomic_fetch_add_explicit(&l1->sweep_shard, 1, memory_order_relaxed);
        unsigned some = steps < BUCKETS_PER_LOCK ? steps : BUCKETS_PER_LOCK;
        went += sweep_shard(l1, &l1->shards[next & (l1->shard_count - 1)], now_ms, some);
        steps -= some;
    }
    return went;
}
