/* SPDX-License-Identifier: BSD-3-Clause */
/* cluster_oracle.h -- what the rules of cluster.h say must be true now.
 *
 * It keeps everything that ever happened in a log, and looks through it for each question. */
#ifndef TERRACE_TESTS_UNIT_CLUSTER_ORACLE_H
#define TERRACE_TESTS_UNIT_CLUSTER_ORACLE_H

#include "client/backoff.h"
#include "tests/unit/cluster_help.h"

enum {
    UNIVERSE = 8,
    REGIONS = 4,
    STEPS = 400,
    AFFINITIES = 4,
    UNDER_WAY_MAX = 24,
    LOG_MAX = 16 * STEPS,
    OPEN_MS = 500
};

static const char *const addresses[UNIVERSE] = {"a:1", "b:1", "c:1", "d:1",
                                                "e:1", "f:1", "g:1", "unix:/h"};
static const char *const region_names[REGIONS] = {"eu", "us", "asia", ""};

/* --- the oracle ------------------------------------------------------------------------------------------------------ */

struct known {
    bool is_listed;
    int region;
    double weight;
    double warmth;
    enum cluster_health health;
    unsigned failures;
    bool is_alive;           /* the world's secret */
    int64_t went_down_ms;    /* -1: never */
    int64_t half_open_probe; /* number of the probe that may end DOWN; 0: none */
};

struct moment {
    int64_t at_ms;
    unsigned up; /* regions with an endpoint that is UP, as bits */
};

struct world {
    struct cluster *cluster;
    uint64_t random;
    uint64_t seed;
    int64_t now_ms;
    int64_t hold_ms;
    bool has_hands; /* by hand, and new priorities */
    enum cluster_strategy strategy;
    struct known known[UNIVERSE];
    int order[UNIVERSE]; /* of the list */
    int listed;
    unsigned priority[REGIONS];
    struct moment log[LOG_MAX];
    int log_size;
    int current; /* region; -1: none yet */
    bool is_pinned;
    bool is_forced;
    int64_t failback_ms[REGIONS]; /* the last to it; -1: none since it left or so */
    unsigned failbacks;
    unsigned failovers;
    unsigned went_down;
    int home[AFFINITIES]; /* -1: none */
    struct {
        struct cluster_endpoint *endpoint;
        int who;
        bool has_left;
        bool is_probe;
        bool is_half_open;
    } under_way[UNDER_WAY_MAX];
    struct cluster_endpoint *held[UNIVERSE * STEPS]; /* left, and has a user still */
    int held_count;
    int users; /* what users point to */
};

#define DEMAND(condition)                                                      \
    do {                                                                       \
        if (!(condition)) {                                                    \
            fail_msg("seed %llu, t=%lld: %s", (unsigned long long)world->seed, \
                     (long long)world->now_ms, #condition);                    \
        }                                                                      \
    } while (0)

static inline uint64_t draw(struct world *world, uint64_t bound)
{
    return chance_below(&world->random, bound);
}

static inline bool is_in(const struct world *world, int who, int region)
{
    return world->known[who].is_listed && world->known[who].region == region;
}

static inline bool exists(const struct world *world, int region)
{
    for (int i = 0; i < UNIVERSE; i++) {
        if (is_in(world, i, region)) {
            return true;
        }
    }
    return false;
}

static inline bool serves(const struct world *world, int region)
{
    for (int i = 0; i < UNIVERSE; i++) {
        if (is_in(world, i, region) && world->known[i].health != CLUSTER_DOWN) {
            return true;
        }
    }
    return false;
}

static inline unsigned up_now(const struct world *world)
{
    unsigned up = 0;
    for (int i = 0; i < UNIVERSE; i++) {
        if (world->known[i].is_listed && world->known[i].health == CLUSTER_UP) {
            up |= 1u << world->known[i].region;
        }
    }
    return up;
}

/* UP at every moment of the last hold-down: in all moments of the log within it, and in the last one before. */
static inline bool was_up_throughout(const struct world *world, int region)
{
    for (int i = world->log_size - 1; i >= 0; i--) {
        if ((world->log[i].up & 1u << region) == 0) {
            return false;
        }
        if (world->log[i].at_ms <= world->now_ms - world->hold_ms) {
            return true;
        }
    }
    return false;
}

/* In the order of the list, as its first endpoint stands there. */
static inline int place_of(const struct world *world, int region)
{
    for (int i = 0; i < world->listed; i++) {
        if (world->known[world->order[i]].region == region) {
            return i;
        }
    }
    return UNIVERSE;
}

static inline bool is_better(const struct world *world, int a, int b)
{
    if (world->priority[a] != world->priority[b]) {
        return world->priority[a] < world->priority[b];
    }
    return place_of(world, a) < place_of(world, b);
}

static inline int best_of(const struct world *world, bool (*fits)(const struct world *, int))
{
    int best = -1;
    for (int i = 0; i < REGIONS; i++) {
        if (exists(world, i) && fits(world, i) && (best < 0 || is_better(world, i, best))) {
            best = i;
        }
    }
    return best;
}

static inline bool may_be_gone_back_to(const struct world *world, int region)
{
    return world->priority[region] < world->priority[world->current] &&
           was_up_throughout(world, region);
}

static inline void oracle_moves(struct world *world)
{
    bool is_gone = world->current < 0 || !exists(world, world->current);
    bool is_down = is_gone || !serves(world, world->current);
    if (is_gone) {
        world->is_pinned = false;
        world->current = best_of(world, exists);
    }
    if (world->is_pinned && (world->is_forced || !is_down)) {
        return;
    }
    int to = best_of(world, is_down ? serves : may_be_gone_back_to);
    if (to < 0 || to == world->current) {
        return;
    }
    world->is_pinned = false;
    world->current = to;
    if (is_down) {
        world->failovers += !is_gone;
        return;
    }
    world->failbacks++;
    DEMAND(world->has_hands || world->failback_ms[to] < 0 ||
           world->now_ms - world->failback_ms[to] >= world->hold_ms);
    world->failback_ms[to] = world->now_ms;
}

/* After each call into the cluster. */
static inline void compare(struct world *world)
{
    DEMAND(world->log_size < LOG_MAX);
    world->log[world->log_size++] = (struct moment){world->now_ms, up_now(world)};
    oracle_moves(world);
    DEMAND(strcmp(cluster_current_region(world->cluster), region_names[world->current]) == 0);
    struct cluster_endpoint_description infos[UNIVERSE];
    DEMAND(cluster_describe(world->cluster, infos, UNIVERSE) == (size_t)world->listed);
    for (int i = 0; i < world->listed; i++) {
        const struct known *known = &world->known[world->order[i]];
        DEMAND(infos[i].health == known->health);
        DEMAND(strcmp(infos[i].region, region_names[known->region]) == 0);
        DEMAND(infos[i].is_current_region == (known->region == world->current));
    }
}

/* --- health, as the drawing in cluster.h has it ------------------------------------------------------------------------ */

static inline void oracle_fails(struct world *world, int who)
{
    struct known *known = &world->known[who];
    if (known->health == CLUSTER_DOWN) {
        return;
    }
    known->failures++;
    if (known->failures == 3) {
        DEMAND(known->went_down_ms < 0 || world->now_ms - known->went_down_ms >= OPEN_MS * 8 / 10);
        known->health = CLUSTER_DOWN;
        known->went_down_ms = world->now_ms;
        world->went_down++;
    }
}

static inline void oracle_succeeds(struct world *world, int who, bool ends_down)
{
    struct known *known = &world->known[who];
    if (known->health != CLUSTER_DOWN || ends_down) {
        known->health = CLUSTER_UP;
        known->failures = 0;
    }
}

#endif
