/* SPDX-License-Identifier: BSD-3-Clause */
/* Any sequence of failures, recoveries, time and new lists, against an oracle that knows only the rules of cluster.h:
 *
 *   1. The current region is not DOWN if any is not. It changes only when it is DOWN or has left, to the best that is not DOWN,
 *      or when a better region was UP at every moment of the last hold-down, to the best such one. (So: the healthy one of
 *      highest priority is the current one, except during its hold-down.)
 *   2. From one failback to a region to the next one to it passes a hold-down; no endpoint goes DOWN twice within 0.8 of its
 *      breaker's time; a failover needs that all of a region went DOWN. So the number of changes is bounded, whatever fails.
 *   3. What is chosen is never DOWN, is in the current region, is not the excepted one if there is another; nothing is chosen
 *      only if all of the current region is DOWN, and then all other regions are DOWN, too, or the region was forced.
 *   4. By hash no endpoint is over its bound; an affinity stays where it is as long as that one may be asked.
 *   5. In the end nothing is under way anywhere, and endpoints that left are gone (ASan sees the others).
 */
#include "protocol/hash.h"
#include "tests/unit/cluster_oracle.h"

#include <math.h>

enum {
    SEQUENCES = 2000
};

/* --- what happens ------------------------------------------------------------------------------------------------------ */

static int who_is(const struct world *world, const struct cluster_endpoint *endpoint)
{
    for (int i = 0; i < UNIVERSE; i++) {
        if (strcmp(addresses[i], cluster_endpoint_address(endpoint)) == 0) {
            return i;
        }
    }
    fail_msg("seed %llu: %s is nobody", (unsigned long long)world->seed,
             cluster_endpoint_address(endpoint));
    return -1;
}

static int free_slot(const struct world *world)
{
    for (int i = 0; i < UNDER_WAY_MAX; i++) {
        if (world->under_way[i].endpoint == NULL) {
            return i;
        }
    }
    return -1;
}

static void begin(struct world *world, struct cluster_endpoint *endpoint, bool is_probe)
{
    int slot = free_slot(world);
    int who = who_is(world, endpoint);
    DEMAND(slot >= 0);
    world->under_way[slot].endpoint = endpoint;
    world->under_way[slot].who = who;
    world->under_way[slot].has_left = false;
    world->under_way[slot].is_probe = is_probe;
    world->under_way[slot].is_half_open = is_probe && world->known[who].health == CLUSTER_DOWN;
}

static void end(struct world *world, int slot)
{
    struct cluster_endpoint *endpoint = world->under_way[slot].endpoint;
    int who = world->under_way[slot].who;
    bool is_probe = world->under_way[slot].is_probe;
    bool has_left = world->under_way[slot].has_left;
    bool says_nothing = is_probe && world->known[who].health == CLUSTER_DOWN &&
                        !world->under_way[slot].is_half_open;
    bool ok = world->known[who].is_alive;
    DEMAND(cluster_endpoint_has_left(endpoint) == has_left);
    world->under_way[slot].endpoint = NULL;
    if (is_probe) {
        cluster_on_probe(world->cluster, endpoint, ok, ok ? NULL : "no answer", world->now_ms);
    } else if (draw(world, 8) == 0) {
        cluster_on_left(world->cluster, endpoint);
        says_nothing = true;
    } else if (ok) {
        cluster_on_answered(world->cluster, endpoint, (int64_t)draw(world, 5000), world->now_ms);
    } else {
        cluster_on_failed(world->cluster, endpoint, "no answer", world->now_ms);
    }
    if (has_left || says_nothing) {
        return;
    }
    if (ok) {
        oracle_succeeds(world, who, is_probe);
    } else {
        oracle_fails(world, who);
    }
}

static void probe_those_due(struct world *world)
{
    struct cluster_endpoint *endpoint = NULL;
    while (free_slot(world) >= 0 && cluster_next_probe(world->cluster, world->now_ms, &endpoint)) {
        for (int i = 0; i < UNDER_WAY_MAX; i++) {
            DEMAND(world->under_way[i].endpoint != endpoint || !world->under_way[i].is_probe);
        }
        begin(world, endpoint, true);
    }
}

/* Of what may be chosen: in the region, not DOWN; those that drain and the excepted one only if there is no other. */
static int standing(const struct world *world, int who, const struct cluster_endpoint *except)
{
    const struct known *known = &world->known[who];
    if (!is_in(world, who, world->current) || known->health == CLUSTER_DOWN) {
        return 0;
    }
    if (except != NULL && strcmp(cluster_endpoint_address(except), addresses[who]) == 0) {
        return 1;
    }
    return known->weight > 0 ? 3 : 2;
}

static void is_within_its_bound(struct world *world, int chosen,
                                const struct cluster_endpoint *except, int best)
{
    double shares = 0;
    unsigned all = 0;
    for (int i = 0; i < UNIVERSE; i++) {
        if (standing(world, i, except) == best) {
            const struct known *known = &world->known[i];
            shares += (known->weight > 0 ? known->weight : 1) * known->warmth;
            all += help_describe(world->cluster, addresses[i]).inflight;
        }
    }
    const struct known *known = &world->known[chosen];
    double share = (known->weight > 0 ? known->weight : 1) * known->warmth;
    double bound = ceil(1.25 * (all + 1) * share / shares);
    DEMAND(help_describe(world->cluster, addresses[chosen]).inflight + 1 <= bound);
}

/* It is asked if it may be; if not, the affinity moves, but not for a retry elsewhere. */
static void stays_at_home(struct world *world, unsigned affinity, int chosen,
                          const struct cluster_endpoint *except, int best)
{
    int home = world->home[affinity];
    if (home >= 0 && standing(world, home, except) == best) {
        DEMAND(home == chosen);
    } else if (home < 0 || except == NULL || who_is(world, except) != home) {
        world->home[affinity] = chosen;
    }
}

static void ask(struct world *world)
{
    unsigned affinity = (unsigned)draw(world, AFFINITIES);
    uint64_t hash = hash_checksum((struct slice){(const char *)&affinity, sizeof affinity});
    const struct cluster_endpoint *except = NULL;
    if (draw(world, 4) == 0) {
        except = help_find(world->cluster,
                           addresses[world->order[draw(world, (uint64_t)world->listed)]]);
    }
    int best = 0;
    for (int i = 0; i < UNIVERSE; i++) {
        int one = standing(world, i, except);
        best = one > best ? one : best;
    }
    int64_t wait_ms = -1;
    struct cluster_endpoint *chosen =
        cluster_choose(world->cluster, hash, except, world->now_ms, &wait_ms);
    if (chosen == NULL) {
        DEMAND(best == 0 && wait_ms > 0);
        DEMAND((world->is_pinned && world->is_forced) || best_of(world, serves) < 0);
        return;
    }
    int who = who_is(world, chosen);
    DEMAND(wait_ms == 0 && best > 0);
    DEMAND(standing(world, who, except) == best);
    if (world->strategy == CLUSTER_HASH) {
        is_within_its_bound(world, who, except, best);
    }
    if (world->strategy == CLUSTER_STICKY) {
        stays_at_home(world, affinity, who, except, best);
    }
    if (free_slot(world) >= 0) {
        cluster_on_sent(world->cluster, chosen, world->now_ms);
        begin(world, chosen, false);
        if (cluster_endpoint_user(chosen) == NULL && draw(world, 2) == 0) {
            cluster_endpoint_set_user(chosen, &world->users);
        }
    }
}

static void relist(struct world *world)
{
    struct cluster_endpoint_spec specs[UNIVERSE];
    bool was_listed[UNIVERSE];
    for (int i = 0; i < UNIVERSE; i++) {
        was_listed[i] = world->known[i].is_listed;
        world->known[i].is_listed = false;
    }
    if (world->has_hands || world->current < 0) {
        for (int i = 0; i < REGIONS; i++) {
            world->priority[i] = (unsigned)draw(world, 3);
        }
    }
    int count = 0;
    int first = (int)draw(world, UNIVERSE);
    for (int i = 0; i < UNIVERSE; i++) {
        int who = (first + i) % UNIVERSE;
        if (draw(world, 4) == 0 && (count > 0 || i < UNIVERSE - 1)) {
            continue;
        }
        struct known *known = &world->known[who];
        known->is_listed = true;
        known->region = draw(world, 8) == 0 ? (int)draw(world, REGIONS) : who % REGIONS;
        known->weight = draw(world, 6) == 0 ? 0 : 1 + (double)draw(world, 3);
        known->warmth = draw(world, 3) == 0 ? 0.25 : 1;
        if (!was_listed[who]) {
            known->health = CLUSTER_UNKNOWN;
            known->failures = 0;
            known->went_down_ms = -1;
        }
        world->order[count] = who;
        specs[count++] = (struct cluster_endpoint_spec){
            .address = addresses[who],
            .region = region_names[known->region],
            .priority = world->priority[known->region],
            .weight = known->weight,
            .warmth = known->warmth,
        };
    }
    for (int i = 0; i < UNIVERSE; i++) {
        for (int j = 0; j < UNDER_WAY_MAX; j++) {
            bool is_of_it = world->under_way[j].endpoint != NULL && world->under_way[j].who == i;
            world->under_way[j].has_left |= is_of_it && was_listed[i] && !world->known[i].is_listed;
        }
        for (int j = 0; j < AFFINITIES; j++) {
            bool has_left = was_listed[i] && !world->known[i].is_listed;
            world->home[j] = has_left && world->home[j] == i ? -1 : world->home[j];
        }
    }
    world->listed = count;
    DEMAND(cluster_update(world->cluster, specs, (size_t)count, world->now_ms) == OK);
    for (struct cluster_endpoint *left = cluster_next_left(world->cluster); left != NULL;
         left = cluster_next_left(world->cluster)) {
        DEMAND(cluster_endpoint_user(left) == &world->users);
        world->held[world->held_count++] = left;
    }
}

static void by_hand(struct world *world)
{
    int region = (int)draw(world, REGIONS + 1);
    bool force = draw(world, 3) == 0;
    enum status status = cluster_use_region(
        world->cluster, region == REGIONS ? NULL : region_names[region], force, world->now_ms);
    if (region == REGIONS) {
        DEMAND(status == OK);
        world->is_pinned = false;
    } else if (!exists(world, region)) {
        DEMAND(status == INVALID);
    } else if (!force && !serves(world, region)) {
        DEMAND(status == L2_DOWN);
    } else {
        DEMAND(status == OK);
        world->current = region;
        world->is_pinned = true;
        world->is_forced = force;
    }
}

static void let_one_go(struct world *world)
{
    if (world->held_count > 0) {
        struct cluster_endpoint *one = world->held[--world->held_count];
        DEMAND(cluster_endpoint_has_left(one));
        cluster_endpoint_set_user(one, NULL);
    }
}

static void pass_time(struct world *world)
{
    static const uint64_t most_ms[] = {5, 200, 1200, 5000};
    world->now_ms += (int64_t)draw(world, most_ms[draw(world, 4)]);
    int64_t next_ms = cluster_next_tick_ms(world->cluster, world->now_ms);
    DEMAND(next_ms >= 0 && next_ms <= 1000);
    cluster_tick(world->cluster, world->now_ms);
}

static void step(struct world *world)
{
    uint64_t what = draw(world, 100);
    int slot = (int)draw(world, UNDER_WAY_MAX);
    if (what < 20) {
        pass_time(world);
    } else if (what < 26) {
        int who = (int)draw(world, UNIVERSE);
        world->known[who].is_alive = !world->known[who].is_alive;
    } else if (what < 40) {
        probe_those_due(world);
    } else if (what < 60) {
        ask(world);
    } else if (what < 93) {
        if (world->under_way[slot].endpoint != NULL) {
            end(world, slot);
        }
    } else if (what < 95) {
        let_one_go(world);
    } else if (what < 97 && world->has_hands) {
        by_hand(world);
    } else if (what < 98) {
        relist(world);
    }
    compare(world);
}

static void nothing_is_left(struct world *world)
{
    for (int i = 0; i < UNDER_WAY_MAX; i++) {
        if (world->under_way[i].endpoint != NULL) {
            end(world, i);
            compare(world);
        }
    }
    while (world->held_count > 0) {
        let_one_go(world);
    }
    for (int i = 0; i < world->listed; i++) {
        DEMAND(help_describe(world->cluster, addresses[world->order[i]]).inflight == 0);
    }
    struct cluster_counters counters;
    cluster_counters(world->cluster, &counters);
    DEMAND(counters.went_down == world->went_down);
    DEMAND(counters.failbacks == world->failbacks);
    DEMAND(counters.failovers >= world->failovers);
    if (!world->has_hands) {
        int64_t holds = world->now_ms / world->hold_ms + 1;
        DEMAND(world->failbacks <= REGIONS * holds);
        DEMAND(world->failovers <= UNIVERSE * (world->now_ms / (OPEN_MS * 8 / 10) + 1));
    }
}

struct totals {
    unsigned failovers;
    unsigned failbacks;
    unsigned went_down;
};

static void one_sequence(uint64_t seed, struct totals *totals)
{
    static struct world one;
    struct world *world = &one;
    *world = (struct world){.random = seed, .seed = seed, .current = -1};
    world->strategy = (enum cluster_strategy)draw(world, CLUSTER_STICKY + 1);
    world->hold_ms = draw(world, 2) == 0 ? 10000 : 2000;
    world->has_hands = draw(world, 2) == 0;
    for (int i = 0; i < UNIVERSE; i++) {
        world->known[i].is_alive = draw(world, 3) != 0;
    }
    for (int i = 0; i < REGIONS; i++) {
        world->failback_ms[i] = -1;
    }
    for (int i = 0; i < AFFINITIES; i++) {
        world->home[i] = -1;
    }
    const struct cluster_options options = {
        .strategy = world->strategy,
        .seed = seed,
        .hold_down_ms = world->hold_ms,
        .sticky_ttl_ms = INT32_MAX,
    };
    world->cluster = cluster_new(&options);
    DEMAND(world->cluster != NULL);
    relist(world);
    compare(world);
    for (int i = 0; i < STEPS; i++) {
        step(world);
    }
    nothing_is_left(world);
    cluster_free(world->cluster);
    totals->failovers += world->failovers;
    totals->failbacks += world->failbacks;
    totals->went_down += world->went_down;
}

static void the_current_region_is_the_healthy_one_of_highest_priority_except_in_its_hold_down(
    void **state)
{
    (void)state;
    uint64_t seed = help_seed();
    unsigned sequences = help_replays() ? 1 : HELP_ROUNDS(SEQUENCES);
    struct totals totals = {0};
    for (unsigned i = 0; i < sequences; i++) {
        one_sequence(seed + i, &totals);
    }
    print_message("%u sequences: %u times down, %u failovers, %u failbacks\n", sequences,
                  totals.went_down, totals.failovers, totals.failbacks);
    if (sequences > 1) { /* that all of it happens */
        assert_true(totals.went_down > sequences);
        assert_true(totals.failovers > sequences / 4);
        assert_true(totals.failbacks > sequences / 20);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(
            the_current_region_is_the_healthy_one_of_highest_priority_except_in_its_hold_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
