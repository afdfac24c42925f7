/* SPDX-License-Identifier: BSD-3-Clause */
#include "tiers/l1_shard.h"

/* Samples (policy_samples) come from about four buckets or seven, each chosen independently and each with the same chance,
 * so that every entry has the same chance.
 * Neighbouring buckets would cost a little less, but were tried and drift apart: buckets that have split in the current
 * round stand next to each other, hold half as much, and so were emptied of all but the hottest entries (6 % of a hot
 * set lost where none should be). A chain is never cut off in the middle, or entries at its end would live longer. */
enum {
    SAMPLES_ROOM = 64,
    DRAWS = 4, /* buckets that are loaded together */
    DRAWS_MAX = 16,
    SAMPLES_SPARSE = 8,  /* drawn where few entries may leave at all */
    BUCKETS_WALKED = 64, /* after draws without a victim */
    VICTIMS_PER_LOCK = 32,
    MOVES_PER_STEP = 32,
    MOVES_PER_LOCK = 128,
    MOVES_PER_VICTIM = 4, /* that cost as much */
    VICTIMS_MIN = 128,    /* per insertion, whatever it added */
    SMALLEST_ENTRY = 32,  /* bytes that any victim gives back at least */
    TRIM_MS = 1000,
    RETRY_MS = 10000,    /* then what was held may be held no longer */
    FULL_LOG = 6,        /* L1 is full when it is but for a 64th */
    SLACK_SHARE_LOG = 4, /* a sweep moves items together while a 16th of the memory is not in use */
};

/* Scores are taken as buckets are walked. Candidates whose items must be looked at wait until all are on their way. */
struct sample {
    const struct item *keep;
    int64_t now_ms;
    uint64_t noise;
    unsigned count;
    uint64_t best;        /* score; what must stay scores 0 */
    uint64_t colder_than; /* 0: or what is hotter */
    struct l1_place best_place;
    unsigned look_count;
    struct l1_place looks[SAMPLES_ROOM];
};

static void sample_begin(struct sample *sample, struct l1_shard *shard, const struct item *keep,
                         int64_t now_ms)
{
    sample->keep = keep;
    sample->now_ms = now_ms;
    sample->noise = rand_next(&shard->rand);
    sample->count = 0;
    sample->best = 0;
    sample->colder_than = 0;
    sample->look_count = 0;
}

static void sample_score(struct sample *sample, const struct l1_shard *shard,
                         const struct l1_place *place, int64_t expire_at_ms)
{
    sample->noise = policy_noise_next(sample->noise);
    const struct policy_candidate candidate = {
        .word = l1_place_word(place), .expire_at_ms = expire_at_ms, .noise = sample->noise};
    const uint64_t score = shard->policy->score(shard->memory, &candidate, sample->now_ms);
    if (score > sample->best && (sample->colder_than == 0 ||
                                 shard->policy->coldness(shard->memory, candidate.word,
                                                         sample->now_ms) > sample->colder_than)) {
        sample->best = score;
        sample->best_place = *place;
    }
}

static void sample_chain(struct sample *sample, const struct l1_shard *shard, struct l1_place place)
{
    const struct item *item;
    while (sample->count < SAMPLES_ROOM && (item = l1_place_item(&place)) != NULL) {
        if (l1_place_wants_look(&place)) {
            __builtin_prefetch(item);
            sample->looks[sample->look_count++] = place;
        } else if (item != sample->keep) {
            sample_score(sample, shard, &place, ITEM_NEVER);
        }
        sample->count++;
        l1_place_next(&place);
    }
}

/* The best victim of the sample; false if it has none. An expired entry is always best. */
static bool sample_best(struct sample *sample, const struct l1_shard *shard,
                        struct l1_place *ret_place)
{
    for (unsigned i = 0; i < sample->look_count; i++) {
        const struct l1_place *place = &sample->looks[i];
        const struct item *item = l1_place_item(place);
        if (item == sample->keep || l1_is_claim(item)) {
            continue;
        }
        if (item_expired(item, sample->now_ms)) {
            *ret_place = *place;
            return true;
        }
        sample_score(sample, shard, place, item_expire_at_ms(item));
    }
    *ret_place = sample->best_place;
    return sample->best > 0;
}

static void sample_draw(struct sample *sample, struct l1_shard *shard)
{
    const unsigned wanted = policy_samples(shard->policy);
    const uint64_t buckets = l1_table_buckets(&shard->table);
    for (unsigned drawn = 0; drawn < DRAWS_MAX && sample->count < wanted; drawn += DRAWS) {
        struct l1_place chains[DRAWS];
        for (unsigned i = 0; i < DRAWS; i++) {
            chains[i] = l1_table_bucket(&shard->table, rand_below(&shard->rand, buckets));
            __builtin_prefetch(chains[i].head);
        }
        for (unsigned i = 0; i < DRAWS && sample->count < wanted; i++) {
            sample_chain(sample, shard, chains[i]);
        }
    }
}

/* Where draws find nothing, few entries are left, or many are claims: then one bucket after the other is looked at.
 * Tables shrink with their entries, so a walk in vain means a shard with next to nothing that could go. */
static bool find_victim(struct l1_shard *shard, const struct item *keep, int64_t now_ms,
                        struct l1_place *ret_place)
{
    struct sample sample;
    for (unsigned drawn = 0; drawn < (shard->policy->refuses ? SAMPLES_SPARSE : 1); drawn++) {
        sample_begin(&sample, shard, keep, now_ms);
        sample_draw(&sample, shard);
        if (sample_best(&sample, shard, ret_place)) {
            return true;
        }
    }
    uint64_t buckets = l1_table_buckets(&shard->table);
    uint64_t index = rand_below(&shard->rand, buckets);
    for (uint64_t left = buckets < BUCKETS_WALKED ? buckets : BUCKETS_WALKED; left > 0; left--) {
        sample_begin(&sample, shard, keep, now_ms);
        sample_chain(&sample, shard, l1_table_bucket(&shard->table, index));
        if (sample_best(&sample, shard, ret_place)) {
            return true;
        }
        index = index + 1 == buckets ? 0 : index + 1;
    }
    return false;
}

/* For an entry on probation one draw is enough: what is colder and rare may stay. */
static bool find_colder(struct l1_shard *shard, uint64_t colder_than, int64_t now_ms,
                        struct l1_place *ret_place)
{
    struct sample sample;
    sample_begin(&sample, shard, NULL, now_ms);
    sample.colder_than = colder_than;
    sample_draw(&sample, shard);
    return sample_best(&sample, shard, ret_place);
}

/* bytes_used as it will be when the shard publishes its count. */
static bool still_over(const struct l1 *l1, const struct l1_shard *shard)
{
    size_t used = atomic_load_explicit(&l1->bytes_used, memory_order_relaxed);
    used += arena_bytes(shard->arena) -
            atomic_load_explicit(&shard->bytes_published, memory_order_relaxed);
    return used > atomic_load_explicit(&l1->bytes_max, memory_order_relaxed);
}

/* --- moving together ---------------------------------------------------------------------------------------------- */

struct mover {
    const struct l1 *l1;
    struct l1_shard *shard;
};

/* An item that nobody but the table refers to, or a claim for its suspect, moves to another cell. Others that have one
 * reference are held by somebody without the lock, who may let go of them at any time. */
static bool move_item(void *arg, void *from, void *to)
{
    const struct mover *mover = arg;
    struct item *item = from;
    if (!item_ref_sole(item)) {
        return false;
    }
    uint64_t hash = l1_hash(mover->l1, item_key(item));
    struct l1_place place = l1_table_chain(&mover->shard->table, hash);
    struct item *entry;
    for (; (entry = l1_place_item(&place)) != NULL; l1_place_next(&place)) {
        if (entry == item) {
            item_move(item, to);
            l1_table_replace(place, to);
            return true;
        }
        if (l1_place_wants_look(&place) && l1_is_claim(entry)) {
            struct l1_claim_body body = l1_claim_read(entry);
            if (body.suspect == item) {
                item_move(item, to);
                body.suspect = to;
                l1_claim_write(entry, &body);
                return true;
            }
        }
    }
    item_release_in(mover->shard->arena, item); /* not in the table yet, or no longer */
    return false;
}

void l1_tidy(struct l1 *l1, struct l1_shard *shard, int64_t now_ms)
{
    struct mover mover = {.l1 = l1, .shard = shard};
    size_t bytes = arena_bytes(shard->arena);
    if (arena_slack(shard->arena) > bytes >> SLACK_SHARE_LOG &&
        !arena_compact(shard->arena, move_item, &mover, MOVES_PER_STEP) &&
        (now_ms >= shard->retry_at_ms || now_ms < shard->retry_at_ms - RETRY_MS)) {
        arena_retry(shard->arena);
        shard->retry_at_ms = now_ms + RETRY_MS;
    }
    /* Nothing more was taken in since the last sweep, so what is kept is kept for nobody; but where values are replaced all
     * the time, it is not. One sweep may come here several times, and then does not stop. */
    const int64_t since_ms = now_ms - shard->trimmed_at_ms;
    if (bytes == shard->bytes_swept && (since_ms <= 0 || since_ms >= TRIM_MS)) {
        (void)arena_trim(shard->arena, ARENA_TRIM_IDLE);
        shard->trimmed_at_ms = now_ms;
    }
    shard->bytes_swept = arena_bytes(shard->arena);
}

/* --- making room -------------------------------------------------------------------------------------------------- */

/* Who makes room, at what expense. */
struct clearing {
    const struct item *keep;
    uint64_t colder_than; /* 0: anything may go; `keep` then does not matter */
    int64_t now_ms;
    size_t most;  /* victims that may still go */
    size_t freed; /* bytes of those that went */
};

static bool clearing_find(const struct clearing *clearing, struct l1_shard *shard,
                          struct l1_place *ret_place)
{
    return clearing->colder_than == 0
               ? find_victim(shard, clearing->keep, clearing->now_ms, ret_place)
               : find_colder(shard, clearing->colder_than, clearing->now_ms, ret_place);
}

static void evict_one(const struct l1 *l1, struct l1_shard *shard, struct l1_place *place,
                      struct clearing *clearing)
{
    const uint32_t word = l1_place_word(place);
    struct item *victim = l1_remove(shard, place);
    if (item_expired(victim, clearing->now_ms)) {
        shard->expirations++;
    } else {
        shard->evictions++;
        if (shard->policy->evicted != NULL) {
            shard->policy->evicted(shard->memory, l1_hash(l1, item_key(victim)), word);
        }
    }
    clearing->freed += item_footprint(victim);
    l1_bury(shard, victim);
}

static void settle_ghost(struct l1_shard *shard)
{
    if (shard->policy->evicted != NULL) {
        policy_ghost_settle(&shard->memory->ghost, shard->table.entries,
                            arena_bytes(shard->arena) - shard->table.bytes);
    }
}

/* What costs nobody anything first: pages that are free, then such as become free by moving items together. Returns how
 * much was done, in victims; 0: nothing can be. */
static size_t relieve(struct l1 *l1, struct l1_shard *shard, struct clearing *clearing)
{
    struct mover mover = {.l1 = l1, .shard = shard};
    struct l1_place place;
    size_t trims = 0;
    size_t moves = 0;
    size_t went = 0;
    l1_lock_shard(shard);
    if (clearing->colder_than == 0) { /* else nothing that is known leaves */
        settle_ghost(shard);          /* before the bytes are compared: ghosts take some */
    }
    while (still_over(l1, shard) && moves < MOVES_PER_LOCK) {
        if (arena_trim(shard->arena, ARENA_TRIM_ALL) > 0) {
            trims++;
        } else if (arena_compact(shard->arena, move_item, &mover, MOVES_PER_STEP)) {
            moves += MOVES_PER_STEP;
        } else if (went < clearing->most && went < VICTIMS_PER_LOCK &&
                   clearing_find(clearing, shard, &place)) {
            evict_one(l1, shard, &place, clearing);
            went++;
            l1_table_settle(&shard->table, 1);
        } else {
            break;
        }
    }
    l1_unlock(l1, shard);
    return went + moves / MOVES_PER_VICTIM + trims;
}

static void evict_last(struct l1 *l1, uint64_t hash, const struct item *keep)
{
    struct l1_shard *shard = l1_lock(l1, hash);
    struct l1_place place = l1_table_chain(&shard->table, hash);
    const struct item *item;
    while ((item = l1_place_item(&place)) != NULL && item != keep) {
        l1_place_next(&place);
    }
    if (item != NULL && still_over(l1, shard)) {
        l1_bury(shard, l1_remove(shard, &place));
        shard->evictions++;
    }
    l1_unlock(l1, shard);
}

static bool over_its_share(const struct l1 *l1, const struct l1_shard *shard)
{
    return atomic_load_explicit(&shard->bytes_published, memory_order_relaxed) >
           atomic_load_explicit(&l1->bytes_max, memory_order_relaxed) / l1->shard_count;
}

/* From shard `index` on, until all fits, or `most` entries went, or nothing could be done in any shard: false. */
static bool evict_for(struct l1 *l1, unsigned index, struct clearing *clearing)
{
    unsigned barren = 0; /* shards in a row where nothing could be done */
    while (l1_over_budget(l1) && clearing->most > 0 && barren < l1->shard_count) {
        struct l1_shard *shard = &l1->shards[index];
        size_t done = relieve(l1, shard, clearing);
        clearing->most -= done < clearing->most ? done : clearing->most;
        barren = done > 0 ? 0 : barren + 1;
        if (done == 0 || !over_its_share(l1, shard)) {
            index = (index + 1) & (l1->shard_count - 1);
        }
    }
    return barren < l1->shard_count;
}

static size_t victims_for(size_t added_bytes)
{
    return VICTIMS_MIN + added_bytes / SMALLEST_ENTRY;
}

void l1_evict(struct l1 *l1, uint64_t hash, const struct item *keep, size_t added_bytes,
              int64_t now_ms)
{
    struct clearing clearing = {.keep = keep, .now_ms = now_ms, .most = victims_for(added_bytes)};
    if (!evict_for(l1, l1_shard_of(l1, hash), &clearing) && keep != NULL &&
        !l1_policy(l1)->refuses) {
        evict_last(l1, hash, keep);
    }
}

/* False: the entry is gone. */
static bool stay_or_go(struct l1 *l1, const struct l1_key *key, uint32_t word)
{
    struct l1_place place;
    struct l1_shard *shard = l1_lock(l1, key->hash);
    const bool goes = still_over(l1, shard) && l1_find(l1, shard, key, &place) &&
                      !l1_is_claim(l1_place_item(&place)) && l1_place_word(&place) == word;
    if (goes) {
        l1_bury(shard, l1_remove(shard, &place));
        (void)arena_trim(shard->arena, ARENA_TRIM_ALL);
    }
    l1_unlock(l1, shard);
    return !goes;
}

bool l1_evict_colder(struct l1 *l1, const struct l1_key *key, uint32_t word, size_t added_bytes,
                     int64_t now_ms)
{
    struct l1_shard *shard = &l1->shards[l1_shard_of(l1, key->hash)];
    struct clearing clearing = {.now_ms = now_ms, .most = victims_for(added_bytes)};
    l1_lock_shard(shard);
    clearing.colder_than = shard->policy->coldness(shard->memory, word, now_ms);
    l1_unlock_unchanged(shard);
    while (l1_over_budget(l1) && clearing.most > 0) {
        const size_t done = relieve(l1, shard, &clearing);
        clearing.most -= done < clearing.most ? done : clearing.most;
        if (done == 0) {
            break;
        }
    }
    return !l1_over_budget(l1) || stay_or_go(l1, key, word);
}

bool l1_has_room_for(struct l1 *l1, const struct l1_key *key, uint8_t heat, int64_t now_ms)
{
    const size_t bytes_max = atomic_load_explicit(&l1->bytes_max, memory_order_relaxed);
    if (atomic_load_explicit(&l1->bytes_used, memory_order_relaxed) <
        bytes_max - (bytes_max >> FULL_LOG)) {
        return true;
    }
    struct l1_place place;
    struct l1_shard *shard = l1_lock(l1, key->hash);
    const size_t mean = arena_bytes(shard->arena) / (shard->table.entries + 1);
    const uint32_t word = l1_word_probation(shard, key->hash, mean, heat, now_ms);
    const bool found =
        find_colder(shard, shard->policy->coldness(shard->memory, word, now_ms), now_ms, &place);
    l1_unlock_unchanged(shard);
    return found;
}

/* The bytes as they stand, items that are to be put in among them: those count once their shard has published. */
static void publish(struct l1 *l1, uint64_t shards)
{
    for (uint64_t left = shards; left != 0; left &= left - 1) {
        struct l1_shard *shard = &l1->shards[__builtin_ctzll(left)];
        l1_lock_shard(shard);
        l1_unlock(l1, shard);
    }
}

bool l1_make_room(struct l1 *l1, uint64_t shards, size_t growth, int64_t now_ms)
{
    if (growth == 0 || !l1_policy(l1)->refuses) {
        return true;
    }
    publish(l1, shards);
    if (!l1_over_budget(l1)) {
        return true;
    }
    /* What has expired stood on many pages, none of which may be free yet. Insertions move the rest together, and as long as
     * as much goes as comes, there is no more of it. What went is counted, not what L1 has before and after: others let go
     * of what was refused to them meanwhile. */
    struct clearing clearing = {.now_ms = now_ms, .most = victims_for(growth)};
    (void)evict_for(l1, (unsigned)__builtin_ctzll(shards), &clearing);
    return !l1_over_budget(l1) || clearing.freed >= growth;
}

struct item *l1_evict_one(struct l1 *l1, unsigned shard_index, int64_t now_ms)
{
    struct l1_shard *shard = &l1->shards[shard_index];
    struct item *victim = NULL;
    struct l1_place place;
    l1_lock_shard(shard);
    settle_ghost(shard);
    if (find_victim(shard, NULL, now_ms, &place)) {
        struct clearing clearing = {.now_ms = now_ms};
        victim = item_ref(l1_place_item(&place));
        evict_one(l1, shard, &place, &clearing);
    }
    l1_unlock(l1, shard);
    return victim;
}
