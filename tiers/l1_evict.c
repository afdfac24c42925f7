/* SPDX-License-Identifier: BSD-3-Clause */
#include "tiers/l1_shard.h"

/* Sixteen samples: 5, 8, 16 and 32 differ by less than half a point of hit ratio on all traces tried. They come from
 * about four buckets, each chosen independently and each with the same chance, so that every entry has the same chance.
 * Neighbouring buckets would cost a little less, but were tried and drift apart: buckets that have split in the current
 * round stand next to each other, hold half as much, and so were emptied of all but the hottest entries (6 % of a hot
 * set lost where none should be). A chain is never cut off in the middle, or entries at its end would live longer. */
enum {
    SAMPLES = 16,
    SAMPLES_ROOM = 64,
    DRAWS = 4, /* buckets that are loaded together */
    DRAWS_MAX = 16,
    BUCKETS_WALKED = 64, /* after draws without a victim */
    VICTIMS_PER_LOCK = 32,
    MOVES_PER_STEP = 32,
    MOVES_PER_LOCK = 128,
    MOVES_PER_VICTIM = 4, /* that cost as much */
    VICTIMS_MIN = 128,    /* per insertion, whatever it added */
    SMALLEST_ENTRY = 32,  /* bytes that any victim gives back at least */
    TRIM_MS = 1000,
    RETRY_MS = 10000,    /* then what was held may be held no longer */
    SLACK_SHARE_LOG = 4, /* a sweep moves items together while a 16th of the memory is not in use */
};

struct sample {
    unsigned count;
    struct l1_place places[SAMPLES_ROOM];
};

static void sample_chain(struct sample *sample, struct l1_place place)
{
    const struct item *item;
    while (sample->count < SAMPLES_ROOM && (item = l1_place_item(&place)) != NULL) {
        if (l1_place_wants_look(&place)) {
            __builtin_prefetch(item);
        }
        sample->places[sample->count++] = place;
        l1_place_next(&place);
    }
}

/* The best victim of the sample; false if it has none. An expired entry is always best. */
static bool sample_best(const struct sample *sample, const struct policy *policy,
                        const struct item *keep, int64_t now_ms, struct l1_place *ret_place)
{
    bool found = false;
    uint64_t best = 0;
    for (unsigned i = 0; i < sample->count; i++) {
        const struct l1_place *place = &sample->places[i];
        const struct item *item = l1_place_item(place);
        int64_t expire_at_ms = ITEM_NEVER;
        if (item == keep) {
            continue;
        }
        if (l1_place_wants_look(place)) { /* the others' items are not touched */
            if (l1_is_claim(item)) {
                continue;
            }
            expire_at_ms = item_expire_at_ms(item);
        }
        if (expire_at_ms != ITEM_NEVER && now_ms >= expire_at_ms) {
            *ret_place = *place;
            return true;
        }
        uint64_t score = policy->score(l1_place_word(place), expire_at_ms, now_ms);
        if (!found || score > best) {
            found = true;
            best = score;
            *ret_place = sample->places[i];
        }
    }
    return found;
}

static void sample_draw(struct sample *sample, struct l1_shard *shard)
{
    uint64_t buckets = l1_table_buckets(&shard->table);
    sample->count = 0;
    for (unsigned drawn = 0; drawn < DRAWS_MAX && sample->count < SAMPLES; drawn += DRAWS) {
        struct l1_place chains[DRAWS];
        for (unsigned i = 0; i < DRAWS; i++) {
            chains[i] = l1_table_bucket(&shard->table, rand_below(&shard->rand, buckets));
            __builtin_prefetch(chains[i].head);
        }
        for (unsigned i = 0; i < DRAWS && sample->count < SAMPLES; i++) {
            sample_chain(sample, chains[i]);
        }
    }
}

/* Where draws find nothing, few entries are left, or many are claims: then one bucket after the other is looked at.
 * Tables shrink with their entries, so a walk in vain means a shard with next to nothing that could go. */
static bool find_victim(struct l1_shard *shard, const struct policy *policy,
                        const struct item *keep, int64_t now_ms, struct l1_place *ret_place)
{
    struct sample sample;
    sample_draw(&sample, shard);
    if (sample_best(&sample, policy, keep, now_ms, ret_place)) {
        return true;
    }
    uint64_t buckets = l1_table_buckets(&shard->table);
    uint64_t index = rand_below(&shard->rand, buckets);
    for (uint64_t left = buckets < BUCKETS_WALKED ? buckets : BUCKETS_WALKED; left > 0; left--) {
        sample.count = 0;
        sample_chain(&sample, l1_table_bucket(&shard->table, index));
        if (sample_best(&sample, policy, keep, now_ms, ret_place)) {
            return true;
        }
        index = index + 1 == buckets ? 0 : index + 1;
    }
    return false;
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

static void evict_one(struct l1_shard *shard, struct l1_place *place, int64_t now_ms)
{
    struct item *victim = l1_remove(shard, place);
    if (item_expired(victim, now_ms)) {
        shard->expirations++;
    } else {
        shard->evictions++;
    }
    l1_bury(shard, victim);
}

/* What costs nobody anything first: pages that are free, then such as become free by moving items together. Returns how
 * much was done, in victims; 0: nothing can be. */
static size_t relieve(struct l1 *l1, struct l1_shard *shard, const struct item *keep, size_t most,
                      int64_t now_ms)
{
    struct mover mover = {.l1 = l1, .shard = shard};
    const struct policy *policy = l1_policy_now(l1);
    struct l1_place place;
    size_t trims = 0;
    size_t moves = 0;
    size_t went = 0;
    l1_lock_shard(shard);
    while (still_over(l1, shard) && moves < MOVES_PER_LOCK) {
        if (arena_trim(shard->arena, ARENA_TRIM_ALL) > 0) {
            trims++;
        } else if (arena_compact(shard->arena, move_item, &mover, MOVES_PER_STEP)) {
            moves += MOVES_PER_STEP;
        } else if (went < most && went < VICTIMS_PER_LOCK &&
                   find_victim(shard, policy, keep, now_ms, &place)) {
            evict_one(shard, &place, now_ms);
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

void l1_evict(struct l1 *l1, uint64_t hash, const struct item *keep, size_t added_bytes,
              int64_t now_ms)
{
    size_t most = VICTIMS_MIN + added_bytes / SMALLEST_ENTRY;
    unsigned index = l1_shard_of(l1, hash);
    unsigned barren = 0; /* shards in a row where nothing could be done */
    while (l1_over_budget(l1) && most > 0 && barren < l1->shard_count) {
        struct l1_shard *shard = &l1->shards[index];
        size_t done = relieve(l1, shard, keep, most, now_ms);
        most -= done < most ? done : most;
        barren = done > 0 ? 0 : barren + 1;
        if (done == 0 || !over_its_share(l1, shard)) {
            index = (index + 1) & (l1->shard_count - 1);
        }
    }
    if (barren == l1->shard_count && keep != NULL) {
        evict_last(l1, hash, keep);
    }
}
