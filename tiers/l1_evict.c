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
    VICTIMS_PER_LOCK = 16,
    VICTIMS_MIN = 64,    /* per insertion, whatever it added */
    SMALLEST_ENTRY = 48, /* bytes that any victim gives back at least */
};

struct sample {
    unsigned count;
    struct l1_place places[SAMPLES_ROOM];
};

static void sample_chain(struct sample *sample, struct l1_place place)
{
    const struct item *item;
    while (sample->count < SAMPLES_ROOM && (item = l1_place_item(&place)) != NULL) {
        __builtin_prefetch(item);
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
        const struct item *item = l1_place_item(&sample->places[i]);
        if (l1_is_claim(item) || item == keep) {
            continue;
        }
        if (item_expired(item, now_ms)) {
            *ret_place = sample->places[i];
            return true;
        }
        uint64_t score = policy->score(item->use, item_expire_at_ms(item), now_ms);
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
    used += shard->bytes_items + shard->table.bytes - shard->bytes_published;
    return used > atomic_load_explicit(&l1->bytes_max, memory_order_relaxed);
}

static unsigned evict_some(struct l1 *l1, struct l1_shard *shard, const struct item *keep,
                           size_t most, int64_t now_ms)
{
    struct l1_dead dead;
    dead.count = 0;
    const struct policy *policy = l1_policy_now(l1);
    struct l1_place place;
    l1_lock_shard(shard);
    while (dead.count < most && dead.count < VICTIMS_PER_LOCK && still_over(l1, shard) &&
           find_victim(shard, policy, keep, now_ms, &place)) {
        struct item *victim = l1_remove(shard, &place);
        if (item_expired(victim, now_ms)) {
            shard->expirations++;
        } else {
            shard->evictions++;
        }
        l1_bury(&dead, victim);
    }
    l1_unlock(l1, shard);
    unsigned went = dead.count;
    l1_dead_release(&dead);
    return went;
}

static void evict_last(struct l1 *l1, uint64_t hash, const struct item *keep)
{
    struct l1_dead dead;
    dead.count = 0;
    struct l1_shard *shard = l1_lock(l1, hash);
    struct l1_place place = l1_table_chain(&shard->table, hash);
    const struct item *item;
    while ((item = l1_place_item(&place)) != NULL && item != keep) {
        l1_place_next(&place);
    }
    if (item != NULL && still_over(l1, shard)) {
        l1_bury(&dead, l1_remove(shard, &place));
        shard->evictions++;
    }
    l1_unlock(l1, shard);
    l1_dead_release(&dead);
}

void l1_evict(struct l1 *l1, uint64_t hash, const struct item *keep, size_t added_bytes,
              int64_t now_ms)
{
    size_t most = VICTIMS_MIN + added_bytes / SMALLEST_ENTRY;
    unsigned index = l1_shard_of(l1, hash);
    unsigned barren = 0; /* shards in a row that had no victim */
    while (l1_over_budget(l1) && most > 0 && barren < l1->shard_count) {
        unsigned went = evict_some(l1, &l1->shards[index], keep, most, now_ms);
        most -= went;
        barren = went > 0 ? 0 : barren + 1;
        index = (index + 1) & (l1->shard_count - 1);
    }
    if (barren == l1->shard_count && keep != NULL) {
        evict_last(l1, hash, keep);
    }
}
