/* SPDX-License-Identifier: BSD-3-Clause */
/* Life, plain reading and housekeeping. Reading through is in l1_claim.c, writing in l1_commit.c, walking in l1_scan.c,
 * eviction in l1_evict.c; what one shard can do is in l1_shard.c. */
#include "tiers/l1.h"

#include "protocol/check.h"
#include "tiers/l1_shard.h"

#include <stdlib.h>
#include <string.h>

enum {
    BYTES_PER_SHARD = 16 << 20,
    BYTES_DEFAULT = 64 << 20,
    /* So that two of them seldom want the same lock. More would cost: what a lookup reads of its shard, some six lines,
     * then stays in no cache (64 shards for one thread: 5 to 15 % of a GET, 20 % of a SET; measured 2026-11-21). */
    SHARDS_PER_THREAD = 4,
};

/* An arena has handles for 16 GiB; half of that, since keys are not spread evenly and budgets are raised. */
#define BYTES_PER_SHARD_MAX ((size_t)8 << 30)

#define DB_MAP_START UINT64_C(0xfedcba9876543210)

/* --- life --------------------------------------------------------------------------------------------------------- */

static unsigned shard_bits_for(const struct l1_options *options, size_t bytes_max)
{
    size_t wanted = options->shards;
    if (wanted == 0) {
        const size_t least = bytes_max / BYTES_PER_SHARD_MAX;
        wanted =
            options->threads > 0 ? (size_t)options->threads * SHARDS_PER_THREAD : L1_SHARDS_MAX;
        wanted = wanted < bytes_max / BYTES_PER_SHARD ? wanted : bytes_max / BYTES_PER_SHARD;
        wanted = wanted > least ? wanted : least;
    }
    unsigned bits = 0;
    while (bits < L1_HASH_SHARD_BITS && (size_t)1 << bits < wanted) {
        bits++;
    }
    return bits;
}

static void set_policy_budget(const struct l1 *l1, struct l1_shard *shard)
{
    if (shard->memory != NULL) {
        const size_t bytes_max = atomic_load_explicit(&l1->bytes_max, memory_order_relaxed);
        policy_memory_set_budget(shard->memory, bytes_max / l1->shard_count);
    }
}

bool l1_same_word(const struct policy *a, const struct policy *b)
{
    return a->first == b->first && !a->remembers;
}

/* A policy that remembers asks for sizes, the others for idle times. */
static void adopt_chain(struct l1_shard *shard, struct l1_place place, const struct policy *policy,
                        int64_t now_ms)
{
    for (const struct item *item; (item = l1_place_item(&place)) != NULL; l1_place_next(&place)) {
        struct policy_former former = {.now_ms = now_ms, .kept = POLICY_KEPT_NONE};
        if (policy->remembers) {
            former.size = item_footprint(item);
        } else {
            const int64_t idle_ms =
                shard->policy->idle_ms(shard->memory, l1_place_word(&place), now_ms);
            former.idle_ms = idle_ms > 0 ? idle_ms : 0;
        }
        l1_place_set_word(&place, policy->adopt(shard->memory, &former));
    }
}

static void adopt_all(struct l1_shard *shard, const struct policy *policy, int64_t now_ms)
{
    enum {
        AHEAD = 4 /* buckets; what is far away is loaded while others are worked on */
    };
    const uint64_t buckets = l1_table_buckets(&shard->table);
    for (uint64_t i = 0; i < buckets; i++) {
        if (policy->remembers && i + AHEAD < buckets) {
            struct l1_place ahead = l1_table_bucket(&shard->table, i + AHEAD);
            for (const struct item *item; (item = l1_place_item(&ahead)) != NULL;
                 l1_place_next(&ahead)) {
                __builtin_prefetch(item);
            }
        }
        adopt_chain(shard, l1_table_bucket(&shard->table, i), policy, now_ms);
    }
}

/* Without memory for what the policy remembers, the shard goes by lru until a policy is set again. */
static void set_policy(const struct l1 *l1, struct l1_shard *shard, const struct policy *policy,
                       int64_t now_ms)
{
    if (policy->remembers && shard->memory == NULL) {
        shard->memory = policy_memory_new(shard->arena);
        policy = shard->memory == NULL ? &policy_lru : policy;
    }
    if (policy->remembers) {
        policy_memory_reset(shard->memory);
        policy_memory_note_use(shard->memory, now_ms); /* what is adopted counts as used now */
    }
    if (shard->policy != NULL && !l1_same_word(shard->policy, policy)) {
        adopt_all(shard, policy, now_ms);
    }
    if (!policy->remembers) {
        policy_memory_free(shard->memory);
        shard->memory = NULL;
    }
    shard->policy = policy;
    set_policy_budget(l1, shard);
}

static enum status shard_init(struct l1 *l1, struct l1_shard *shard, uint64_t seed)
{
    memset(shard, 0, sizeof *shard);
    shard->arena = arena_new();
    if (shard->arena == NULL || l1_table_init(&shard->table, &l1->secret, shard->arena) != OK) {
        arena_close(shard->arena);
        return NO_MEMORY;
    }
    arena_count(shard->arena, sizeof *shard);
    set_policy(l1, shard, atomic_load_explicit(&l1->policy, memory_order_relaxed), 0);
    rand_seed(&shard->rand, seed);
    shard->token_next = 1;
    atomic_init(&shard->bytes_published, arena_bytes(shard->arena));
    atomic_fetch_add_explicit(&l1->bytes_used, arena_bytes(shard->arena), memory_order_relaxed);
    return OK;
}

static void release_entries(struct l1_shard *shard)
{
    uint64_t buckets = l1_table_buckets(&shard->table);
    for (uint64_t i = 0; i < buckets; i++) {
        struct item *item;
        for (struct l1_place place = l1_table_bucket(&shard->table, i);
             (item = l1_place_item(&place)) != NULL; l1_place_next(&place)) {
            l1_bury(shard, item);
        }
    }
}

static void shard_done(struct l1_shard *shard)
{
    l1_watches_end(shard);
    whatif_free(shard->whatif);
    release_entries(shard);
    l1_table_done(&shard->table);
    policy_memory_free(shard->memory);
    arena_close(shard->arena); /* goes with the last item that somebody still holds */
}

/* With a seed the table hash follows from it too, so that a test replays; never so in production. */
static void secret_init(struct l1 *l1, struct rand *rand, uint64_t seed)
{
    unsigned char bytes[HASH_SECRET_SIZE];
    if (seed == 0) {
        rand_secret(bytes, sizeof bytes);
        rand_secret(&seed, sizeof seed);
        rand_seed(rand, seed);
    } else {
        rand_seed(rand, seed);
        for (size_t i = 0; i < sizeof bytes; i++) {
            bytes[i] = (unsigned char)rand_next(rand);
        }
    }
    hash_secret_init(&l1->secret, bytes);
}

/* No more than the arenas have handles for, less a 16th, as shards are not all alike: so that what is too much is evicted
 * for the budget, and not refused for want of handles. */
static size_t bytes_within(const struct l1 *l1, size_t bytes_max)
{
    const size_t arena_max = (size_t)ARENA_REGIONS_MAX * ARENA_REGION;
    const size_t most = (arena_max - arena_max / 16) * l1->shard_count;
    return bytes_max < most ? bytes_max : most;
}

struct l1 *l1_new(const struct l1_options *options)
{
    size_t bytes_max = options->bytes_max > 0 ? options->bytes_max : BYTES_DEFAULT;
    unsigned bits = shard_bits_for(options, bytes_max);
    struct l1 *l1 = aligned_alloc(_Alignof(struct l1), sizeof *l1);
    if (l1 == NULL) {
        return NULL;
    }
    memset(l1, 0, sizeof *l1);
    l1->magic = L1_MAGIC;
    l1->shard_count = 1u << bits;
    atomic_init(&l1->policy, options->policy != NULL ? options->policy : &policy_density);
    atomic_init(&l1->db_map, DB_MAP_START);
    atomic_init(&l1->bytes_max, bytes_within(l1, bytes_max));
    l1->shards = aligned_alloc(_Alignof(struct l1_shard), l1->shard_count * sizeof *l1->shards);
    if (l1->shards == NULL) {
        free(l1);
        return NULL;
    }
    struct rand rand;
    secret_init(l1, &rand, options->seed);
    if (options->kin != NULL) {
        l1->secret = options->kin->secret;
        atomic_init(&l1->db_map, atomic_load_explicit(&options->kin->db_map, memory_order_relaxed));
    }
    for (unsigned i = 0; i < l1->shard_count; i++) {
        if (shard_init(l1, &l1->shards[i], rand_next(&rand)) != OK) {
            l1->shard_count = i;
            l1_free(l1);
            return NULL;
        }
        l1->shards[i].listener = options->kin != NULL ? options->kin->shards[0].listener : NULL;
    }
    return l1;
}

void l1_free(struct l1 *l1)
{
    if (l1 == NULL) {
        return;
    }
    CHECK_MAGIC(l1, L1_MAGIC);
    for (unsigned i = 0; i < l1->shard_count; i++) {
        shard_done(&l1->shards[i]);
    }
    l1->magic = 0;
    free(l1->shards);
    free(l1);
}

uint64_t l1_hash(const struct l1 *l1, struct slice key)
{
    return hash_key(&l1->secret, key);
}

const struct hash_secret *l1_secret(const struct l1 *l1)
{
    return &l1->secret;
}

struct l1_key l1_key(const struct l1 *l1, uint8_t db, struct slice bytes)
{
    CHECK_MAGIC(l1, L1_MAGIC);
    return (struct l1_key){.bytes = bytes, .hash = l1_hash(l1, bytes), .db = db};
}

struct item *l1_item_new(struct l1 *l1, uint64_t hash, const struct item_spec *spec)
{
    struct l1_shard *shard = l1_lock(l1, hash);
    struct item *item = item_new_in(shard->arena, spec);
    l1_unlock_unchanged(shard); /* the commit or fill that follows publishes the bytes */
    return item;
}

struct item *l1_item_begin(struct l1 *l1, uint64_t hash, const struct item_spec *spec,
                           int64_t now_ms)
{
    struct l1_shard *shard = l1_lock(l1, hash);
    struct item *item = item_new_in(shard->arena, spec);
    l1_unlock(l1, shard);
    if (item == NULL) {
        return NULL;
    }
    const size_t size = item_footprint(item);
    if (!l1_make_room(l1, UINT64_C(1) << l1_shard_of(l1, hash), size, now_ms)) {
        shard = l1_lock(l1, hash);
        item_release_in(shard->arena, item);
        l1_unlock(l1, shard);
        return NULL;
    }
    l1_evict(l1, hash, NULL, size, now_ms);
    return item;
}

const struct l1_bucket *l1_prefetch(const struct l1 *l1, uint64_t hash)
{
    return l1_table_prefetch(&l1->shards[l1_shard_of(l1, hash)].table, hash);
}

void l1_prefetch_item(const struct l1 *l1, const struct l1_bucket *bucket, uint64_t hash)
{
    l1_table_prefetch_items(&l1->shards[l1_shard_of(l1, hash)].table, bucket, hash);
}

/* --- reading ------------------------------------------------------------------------------------------------------ */

/* The value of a key that may be served, and where its entry stands; or NULL. */
static struct item *find_served(const struct l1 *l1, struct l1_shard *shard,
                                const struct l1_key *key, int64_t now_ms, int64_t floor_ms,
                                struct l1_place *ret_place)
{
    if (!l1_find_live(l1, shard, key, now_ms, ret_place)) {
        return NULL;
    }
    struct item *item = l1_place_item(ret_place);
    if (l1_is_claim(item)) {
        return l1_claim_spare(item, now_ms, floor_ms);
    }
    return item_stamped_in_ms(shard->arena, item) < floor_ms ? NULL : item;
}

uint32_t l1_word_used(struct l1_shard *shard, uint32_t word, const struct item *item,
                      int64_t now_ms)
{
    const size_t size = item != NULL ? item_footprint(item) : 0;
    const struct policy *policy = shard->policy;
    return policy->touch(shard->memory, word, size, now_ms,
                         policy->draws ? rand_next(&shard->rand) : 0);
}

uint32_t l1_word_first(struct l1_shard *shard, uint64_t hash, const struct item *item,
                       int64_t now_ms)
{
    return shard->policy->first(
        shard->memory,
        &(struct policy_newcomer){.hash = hash, .size = item_footprint(item), .now_ms = now_ms});
}

uint32_t l1_word_probation(struct l1_shard *shard, uint64_t hash, size_t size, uint8_t heat,
                           int64_t now_ms)
{
    return shard->policy->probation(
        shard->memory, &(struct policy_newcomer){.hash = hash, .size = size, .now_ms = now_ms},
        heat);
}

void l1_use(struct l1_shard *shard, const struct l1_place *place, int64_t now_ms)
{
    uint32_t before = l1_place_word(place);
    uint32_t word = l1_word_used(shard, before, NULL, now_ms);
    if (word != before) { /* most hits come within the same tick: leave the line clean */
        l1_place_set_word(place, word);
    }
}

void l1_value_set(const struct l1_shard *shard, struct l1_value *value, struct item *item)
{
    const struct slice bytes = item_value(item);
    value->expire_at_ms = item_expire_in_ms(shard->arena, item);
    value->stamped_at_ms = item_stamped_in_ms(shard->arena, item);
    value->is_hash = item_is_hash(item);
    if (value->copy != NULL && bytes.size <= value->copy_room) {
        memcpy(value->copy, bytes.data, bytes.size);
        value->item = NULL;
        value->bytes = (struct slice){.data = value->copy, .size = bytes.size};
    } else {
        value->item = item_ref(item);
        value->bytes = bytes;
    }
}

enum status l1_get(struct l1 *l1, const struct l1_key *key, int64_t now_ms, int64_t floor_ms,
                   struct l1_value *value)
{
    struct l1_place place;
    struct l1_shard *shard = l1_lock(l1, key->hash);
    struct item *item = find_served(l1, shard, key, now_ms, floor_ms, &place);
    if (item != NULL) {
        count_add(&shard->hits, 1);
        l1_use(shard, &place, now_ms);
        l1_value_set(shard, value, item);
        l1_note(l1, shard, key, WHATIF_HIT, item, now_ms);
        l1_unlock_unchanged(shard);
        return OK;
    }
    count_add(&shard->misses, 1);
    l1_note(l1, shard, key, WHATIF_MISS, NULL, now_ms);
    l1_unlock(l1, shard);
    return MISS;
}

enum status l1_peek(struct l1 *l1, const struct l1_key *key, int64_t now_ms, int64_t floor_ms,
                    struct l1_peek *ret)
{
    struct l1_place place;
    struct l1_shard *shard = l1_lock(l1, key->hash);
    const struct item *item = find_served(l1, shard, key, now_ms, floor_ms, &place);
    if (item != NULL) {
        const uint32_t word = l1_place_word(&place);
        const int frequency = shard->policy->frequency(word, now_ms);
        *ret = (struct l1_peek){
            .value_size = item_value_size(item),
            .expire_at_ms = item_expire_at_ms(item),
            .is_hash = item_is_hash(item),
            .capped = item_is_capped(item),
            .idle_ms = frequency >= 0 ? -1 : shard->policy->idle_ms(shard->memory, word, now_ms),
            .frequency = frequency,
            .footprint = item_footprint(item) + shard->table.bytes / shard->table.entries,
        };
    }
    l1_unlock(l1, shard);
    return item != NULL ? OK : MISS;
}

enum {
    PREFETCH_KEYS = 16
};

/* With the locks of their shards. */
static void get_some(struct l1_several *keys, size_t count, bool uses, int64_t now_ms)
{
    const struct l1_bucket *buckets[PREFETCH_KEYS];
    for (size_t i = 0; i < count; i++) {
        buckets[i] = l1_prefetch(keys[i].l1, keys[i].key.hash);
    }
    for (size_t i = 0; i < count; i++) {
        l1_prefetch_item(keys[i].l1, buckets[i], keys[i].key.hash);
    }
    for (size_t i = 0; i < count; i++) {
        struct l1 *l1 = keys[i].l1;
        const struct l1_key *key = &keys[i].key;
        struct l1_shard *shard = &l1->shards[l1_shard_of(l1, key->hash)];
        struct l1_place place;
        struct item *item = find_served(l1, shard, key, now_ms, 0, &place);
        keys[i].item = item == NULL ? NULL : item_ref(item);
        if (uses && item != NULL) {
            l1_use(shard, &place, now_ms);
        }
        if (uses) {
            count_add(item != NULL ? &shard->hits : &shard->misses, 1);
            l1_note(l1, shard, key, item != NULL ? WHATIF_HIT : WHATIF_MISS, item, now_ms);
        }
    }
}

void l1_get_several(struct l1_several *keys, size_t count, bool uses, int64_t now_ms)
{
    struct l1_locks locks;
    locks.count = 0;
    for (size_t i = 0; i < count; i++) {
        CHECK_MAGIC(keys[i].l1, L1_MAGIC);
        l1_locks_at(&locks, keys[i].l1)->shards |= UINT64_C(1)
                                                   << l1_shard_of(keys[i].l1, keys[i].key.hash);
    }
    l1_locks_take(&locks);
    for (size_t at = 0; at < count; at += PREFETCH_KEYS) {
        get_some(keys + at, count - at < PREFETCH_KEYS ? count - at : PREFETCH_KEYS, uses, now_ms);
    }
    l1_locks_release(&locks);
}

struct item *l1_hold(struct l1 *l1, const struct l1_key *key, int64_t now_ms)
{
    struct l1_shard *shard = l1_lock(l1, key->hash);
    struct l1_place place;
    struct item *item = l1_find_live(l1, shard, key, now_ms, &place) ? l1_place_item(&place) : NULL;
    item = item == NULL || l1_is_claim(item) ? NULL : item_ref(item);
    l1_unlock(l1, shard);
    return item;
}

/* --- housekeeping ------------------------------------------------------------------------------------------------- */

void l1_resize(struct l1 *l1, size_t bytes_max, int64_t now_ms)
{
    CHECK_MAGIC(l1, L1_MAGIC);
    atomic_store_explicit(&l1->bytes_max, bytes_within(l1, bytes_max), memory_order_relaxed);
    for (unsigned i = 0; i < l1->shard_count; i++) {
        l1_lock_shard(&l1->shards[i]);
        set_policy_budget(l1, &l1->shards[i]);
        l1_unlock(l1, &l1->shards[i]);
    }
    l1_whatif_resize(l1);
    l1_evict(l1, 0, NULL, atomic_load_explicit(&l1->bytes_used, memory_order_relaxed), now_ms);
}

size_t l1_bytes_max(const struct l1 *l1)
{
    return atomic_load_explicit(&l1->bytes_max, memory_order_relaxed);
}

void l1_purge(struct l1 *l1)
{
    CHECK_MAGIC(l1, L1_MAGIC);
    for (unsigned i = 0; i < l1->shard_count; i++) {
        size_t went;
        do { /* a bounded number of calls of the system under each lock */
            l1_lock_shard(&l1->shards[i]);
            went = arena_trim(l1->shards[i].arena, ARENA_TRIM_ALL);
            l1_unlock(l1, &l1->shards[i]);
        } while (went > 0);
    }
}

void l1_set_policy(struct l1 *l1, const struct policy *policy, int64_t now_ms)
{
    CHECK_MAGIC(l1, L1_MAGIC);
    atomic_store_explicit(&l1->policy, policy, memory_order_relaxed);
    for (unsigned i = 0; i < l1->shard_count; i++) {
        struct l1_shard *shard = &l1->shards[i];
        l1_lock_shard(shard);
        if (shard->policy != policy) {
            set_policy(l1, shard, policy, now_ms);
            l1_whatif_switch(l1, shard);
        }
        l1_unlock(l1, shard);
    }
}

const struct policy *l1_policy(const struct l1 *l1)
{
    CHECK_MAGIC(l1, L1_MAGIC);
    return atomic_load_explicit(&l1->policy, memory_order_relaxed);
}

void l1_set_listener(struct l1 *l1, const struct l1_listener *listener)
{
    CHECK_MAGIC(l1, L1_MAGIC);
    for (unsigned i = 0; i < l1->shard_count; i++) {
        l1_lock_shard(&l1->shards[i]);
        l1->shards[i].listener = listener;
        l1_unlock_unchanged(&l1->shards[i]);
    }
}

void l1_stats(const struct l1 *l1, struct l1_stats *ret_stats)
{
    CHECK_MAGIC(l1, L1_MAGIC);
    struct l1_stats sum = {.bytes_max = atomic_load_explicit(&l1->bytes_max, memory_order_relaxed)};
    for (unsigned i = 0; i < l1->shard_count; i++) {
        struct l1_shard *shard = &l1->shards[i];
        l1_lock_shard(shard);
        sum.bytes_used += arena_bytes(shard->arena);
        sum.bytes_live += arena_bytes(shard->arena) - arena_slack(shard->arena);
        sum.bytes_tables += shard->table.bytes;
        for (unsigned db = 0; db < LIMIT_DATABASES; db++) {
            sum.items += shard->count[db];
        }
        sum.claims += shard->claims;
        sum.evictions += shard->evictions;
        sum.expirations += shard->expirations;
        sum.refused_fills += shard->refused_fills;
        sum.fills += shard->fills;
        sum.invalidations += shard->invalidations;
        sum.hits += atomic_load_explicit(&shard->hits, memory_order_relaxed);
        sum.misses += atomic_load_explicit(&shard->misses, memory_order_relaxed);
        sum.bytes_whatif += shard->whatif != NULL ? whatif_bytes(shard->whatif) : 0;
        l1_unlock_unchanged(shard);
    }
    *ret_stats = sum;
}

void l1_stats_add(struct l1_stats *sum, const struct l1_stats *more)
{
    sum->bytes_max += more->bytes_max;
    sum->bytes_used += more->bytes_used;
    sum->bytes_live += more->bytes_live;
    sum->bytes_tables += more->bytes_tables;
    sum->bytes_whatif += more->bytes_whatif;
    sum->items += more->items;
    sum->claims += more->claims;
    sum->evictions += more->evictions;
    sum->expirations += more->expirations;
    sum->refused_fills += more->refused_fills;
    sum->fills += more->fills;
    sum->invalidations += more->invalidations;
    sum->hits += more->hits;
    sum->misses += more->misses;
}
