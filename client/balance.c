/* SPDX-License-Identifier: BSD-3-Clause */
/* balance.c -- the strategies: which of the endpoints that may be asked is asked. */
#include "client/backoff.h"
#include "client/cluster_inner.h"

#include <math.h>

/* Smooth weighted round robin (nginx, commit 52327e0627, 2012): each turn all grow by their share, the largest is taken
 * and pays the sum. Among equal shares that is strict turns; 5:1:1 is a a b a c a a. */
static struct cluster_endpoint *pick_in_turn(const struct candidates *candidates)
{
    struct cluster_endpoint *best = NULL;
    double total = 0;
    for (size_t i = 0; i < candidates->count; i++) {
        struct cluster_endpoint *one = candidates->all[i];
        one->turn += one->share;
        total += one->share;
        if (best == NULL || one->turn > best->turn) {
            best = one;
        }
    }
    best->turn -= total;
    return best;
}

static struct cluster_endpoint *pick_least(const struct candidates *candidates)
{
    struct cluster_endpoint *best = NULL;
    double least = 0;
    for (size_t i = 0; i < candidates->count; i++) {
        struct cluster_endpoint *one = candidates->all[i];
        double load = (one->inflight + 1.0) / one->share;
        bool is_first_of_equals = best != NULL && load <= least && one->chosen < best->chosen;
        if (best == NULL || load < least || is_first_of_equals) {
            best = one;
            least = load;
        }
    }
    return best;
}

/* Two at random and the better of them: nearly as good as the best of all, and clients that know the same do not all run to the
 * same one (Mitzenmacher, The Power of Two Choices in Randomized Load Balancing, 2001). */
static struct cluster_endpoint *pick_quick(struct cluster *cluster,
                                           const struct candidates *candidates, int64_t now_ms)
{
    size_t a = (size_t)chance_below(&cluster->random, candidates->count);
    if (candidates->count == 1) {
        return candidates->all[a];
    }
    size_t b = (size_t)chance_below(&cluster->random, candidates->count - 1);
    b += b >= a;
    const struct cluster_endpoint *first = candidates->all[a];
    const struct cluster_endpoint *other = candidates->all[b];
    double cost_a = latency_cost(&first->latency, first->inflight, now_ms) / first->share;
    double cost_b = latency_cost(&other->latency, other->inflight, now_ms) / other->share;
    return candidates->all[cost_b < cost_a ? b : a];
}

/* --- consistent hashing with bounded loads ---------------------------------------------------------------------------- */

/* Mirrokni, Thorup and Zadimoghaddam, Consistent Hashing with Bounded Loads (2016): of m requests under way, this one among
 * them, none takes more than ceil(c m share / shares); who is full passes on to the next on the ring. Somebody has room, since
 * the bounds add up to m at least. */
static bool has_room(const struct cluster *cluster, const struct cluster_endpoint *one,
                     double shares, uint64_t inflight)
{
    double bound = cluster->options.hash_load * (double)(inflight + 1) * one->share / shares;
    return one->inflight + 1.0 <= ceil(bound);
}

/* One that warms up takes of its keys those whose lot is below its warmth: more and more of them, and none goes back. */
static bool takes_key(const struct cluster_endpoint *one, uint64_t point, uint64_t hash)
{
    if (one->warmth >= 1) {
        return true;
    }
    uint64_t lot = hash ^ point;
    return (double)(chance_next(&lot) >> 11) * 0x1.0p-53 < one->warmth;
}

/* Once around the ring; NULL: nobody has room and (`mind_warmth`) takes the key. */
static struct cluster_endpoint *walk(struct cluster *cluster, const struct candidates *candidates,
                                     uint64_t hash, bool mind_warmth)
{
    double shares = 0;
    uint64_t inflight = 0;
    for (size_t i = 0; i < candidates->count; i++) {
        candidates->all[i]->is_looked_at = false;
        shares += candidates->all[i]->share;
        inflight += candidates->all[i]->inflight;
    }
    const struct ring *ring = &cluster->rings[cluster->regions.current];
    size_t seen = 0;
    size_t at = ring_find(ring, hash);
    for (size_t i = 0; i < ring->count && seen < candidates->count; i++, at++) {
        const struct ring_point *point = &ring->points[at < ring->count ? at : at - ring->count];
        struct cluster_endpoint *one = cluster->listed[point->who];
        if (one->candidacy != cluster->choices || one->is_looked_at) {
            continue;
        }
        one->is_looked_at = true;
        seen++;
        if (has_room(cluster, one, shares, inflight) &&
            (!mind_warmth || takes_key(one, point->hash, hash))) {
            return one;
        }
    }
    return NULL;
}

static struct cluster_endpoint *pick_by_hash(struct cluster *cluster,
                                             const struct candidates *candidates, uint64_t hash)
{
    struct cluster_endpoint *one = walk(cluster, candidates, hash, true);
    one = one != NULL ? one : walk(cluster, candidates, hash, false);
    return one != NULL ? one : pick_least(candidates); /* rounding alone leads here */
}

/* A retry elsewhere does not move the affinity: only one that may not be asked any more is left for good. */
static struct cluster_endpoint *pick_sticky(struct cluster *cluster,
                                            const struct candidates *candidates, uint64_t hash,
                                            const struct cluster_endpoint *except, int64_t now_ms)
{
    struct cluster_endpoint *last = sticky_get(&cluster->sticky, hash, now_ms);
    if (last != NULL && last->candidacy == cluster->choices) {
        return last;
    }
    struct cluster_endpoint *one = pick_in_turn(candidates);
    if (last == NULL || last != except) {
        sticky_set(&cluster->sticky, hash, one, now_ms);
    }
    return one;
}

struct cluster_endpoint *balance_pick(struct cluster *cluster, const struct candidates *candidates,
                                      uint64_t hash, const struct cluster_endpoint *except,
                                      int64_t now_ms)
{
    switch (cluster->options.strategy) {
    case CLUSTER_LEAST_CONNECTIONS: return pick_least(candidates);
    case CLUSTER_LATENCY: return pick_quick(cluster, candidates, now_ms);
    case CLUSTER_HASH: return pick_by_hash(cluster, candidates, hash);
    case CLUSTER_STICKY: return pick_sticky(cluster, candidates, hash, except, now_ms);
    case CLUSTER_ROUND_ROBIN:
    case CLUSTER_WEIGHTED: break;
    }
    return pick_in_turn(candidates);
}
