/* SPDX-License-Identifier: BSD-3-Clause */
#include "client/cluster.h"

#include "client/cluster_inner.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* A probe is under way where nothing may be asked: its result is what is waited for, and this only if nobody tells of it. */
#define LOOK_AGAIN_MS 50

static struct cluster_options with_defaults(const struct cluster_options *given)
{
    struct cluster_options options = *given;
    options.failures_to_down = options.failures_to_down > 0 ? options.failures_to_down : 3;
    options.breaker_open_ms = options.breaker_open_ms > 0 ? options.breaker_open_ms : 500;
    options.breaker_most_ms = options.breaker_most_ms > 0 ? options.breaker_most_ms : 2000;
    options.probe_every_ms = options.probe_every_ms > 0 ? options.probe_every_ms : 1000;
    options.hold_down_ms = options.hold_down_ms != 0 ? options.hold_down_ms : 10000;
    options.hold_down_ms = options.hold_down_ms > 0 ? options.hold_down_ms : 0;
    options.sticky_ttl_ms = options.sticky_ttl_ms > 0 ? options.sticky_ttl_ms : 600 * 1000;
    options.sticky_max = options.sticky_max > 0 ? options.sticky_max : 65536;
    options.hash_load = options.hash_load == 0 ? 1.25 : options.hash_load;
    return options;
}

static bool make_sense(const struct cluster_options *options)
{
    return isfinite(options->hash_load) && options->hash_load >= 1 &&
           options->sticky_max <= 1u << 24 && options->strategy <= CLUSTER_STICKY;
}

struct cluster *cluster_new(const struct cluster_options *given)
{
    struct cluster_options options = with_defaults(given);
    struct cluster *cluster = make_sense(&options) ? calloc(1, sizeof *cluster) : NULL;
    if (cluster == NULL) {
        return NULL;
    }
    cluster->options = options;
    cluster->random = options.seed;
    cluster->regions.hold_down_ms = options.hold_down_ms;
    cluster->rules = (struct health_rules){
        .failures_to_down = options.failures_to_down,
        .open_ms = options.breaker_open_ms,
        .open_most_ms = options.breaker_most_ms,
        .probe_every_ms = options.probe_every_ms,
    };
    if (options.strategy == CLUSTER_STICKY &&
        sticky_init(&cluster->sticky, options.sticky_max, options.sticky_ttl_ms) != OK) {
        free(cluster);
        return NULL;
    }
    return cluster;
}

void cluster_free(struct cluster *cluster)
{
    if (cluster == NULL) {
        return;
    }
    for (size_t i = 0; i < cluster->count; i++) {
        free(cluster->listed[i]);
    }
    while (cluster->left != NULL) {
        struct cluster_endpoint *endpoint = cluster->left;
        cluster->left = endpoint->next_left;
        free(endpoint);
    }
    for (unsigned i = 0; i < CLUSTER_REGIONS_MAX; i++) {
        ring_done(&cluster->rings[i]);
    }
    sticky_done(&cluster->sticky);
    free(cluster->listed);
    free(cluster);
}

void *cluster_endpoint_user(const struct cluster_endpoint *endpoint)
{
    return endpoint->user;
}

void cluster_endpoint_set_user(struct cluster_endpoint *endpoint, void *user)
{
    endpoint->user = user;
    cluster_let_go(endpoint);
}

const char *cluster_endpoint_address(const struct cluster_endpoint *endpoint)
{
    return endpoint->address;
}

bool cluster_endpoint_has_left(const struct cluster_endpoint *endpoint)
{
    return endpoint->has_left;
}

/* --- regions --------------------------------------------------------------------------------------------------------- */

static const char *region_of(const struct cluster_endpoint *endpoint)
{
    return endpoint->cluster->regions.all[endpoint->region].name;
}

static void count_health(struct cluster *cluster)
{
    for (unsigned i = 0; i < cluster->regions.count; i++) {
        cluster->regions.all[i].up = 0;
        cluster->regions.all[i].unknown = 0;
    }
    for (size_t i = 0; i < cluster->count; i++) {
        const struct cluster_endpoint *endpoint = cluster->listed[i];
        struct region *region = &cluster->regions.all[endpoint->region];
        region->up += endpoint->health.state == CLUSTER_UP;
        region->unknown += endpoint->health.state == CLUSTER_UNKNOWN;
    }
}

void cluster_settle_regions(struct cluster *cluster, int64_t now_ms)
{
    count_health(cluster);
    unsigned from = 0;
    enum region_move move = regions_settle(&cluster->regions, now_ms, &from);
    if (move == REGION_STAYS) {
        return;
    }
    const char *from_name = cluster->regions.all[from].name;
    const char *to_name = cluster->regions.all[cluster->regions.current].name;
    if (move == REGION_FAILOVER) {
        cluster->counters.failovers++;
        chronicle_note(&cluster->chronicle, now_ms, NULL, to_name, "failover from %s", from_name);
    } else {
        cluster->counters.failbacks++;
        chronicle_note(&cluster->chronicle, now_ms, NULL, to_name, "failback from %s", from_name);
    }
}

enum status cluster_use_region(struct cluster *cluster, const char *region, bool force,
                               int64_t now_ms)
{
    struct regions *regions = &cluster->regions;
    if (region == NULL) {
        regions->is_pinned = false;
        cluster_settle_regions(cluster, now_ms);
        return OK;
    }
    int at = regions_find(regions, region);
    if (at < 0) {
        return INVALID;
    }
    if (!force && region_is_down(&regions->all[at])) {
        return L2_DOWN;
    }
    if (regions->current != (unsigned)at) {
        chronicle_note(&cluster->chronicle, now_ms, NULL, region, "by hand from %s",
                       regions->all[regions->current].name);
    }
    regions->current = (unsigned)at;
    regions->is_pinned = true;
    regions->is_forced = force;
    return OK;
}

/* --- choosing -------------------------------------------------------------------------------------------------------- */

enum standing {
    NOT_NOW,
    IF_NO_OTHER, /* the one that was asked before */
    DRAINS,
    GOOD
};

static enum standing standing_of(const struct cluster *cluster,
                                 const struct cluster_endpoint *endpoint,
                                 const struct cluster_endpoint *except)
{
    if (endpoint->region != cluster->regions.current || endpoint->health.state == CLUSTER_DOWN) {
        return NOT_NOW;
    }
    if (endpoint == except) {
        return IF_NO_OTHER;
    }
    return endpoint->weight > 0 ? GOOD : DRAINS;
}

static double share_of(const struct cluster *cluster, const struct cluster_endpoint *endpoint)
{
    bool by_weight = cluster->options.strategy != CLUSTER_ROUND_ROBIN && endpoint->weight > 0;
    return by_weight ? endpoint->weight * endpoint->warmth : endpoint->warmth;
}

/* Those of the best standing there is. */
static void find_candidates(struct cluster *cluster, const struct cluster_endpoint *except,
                            struct candidates *ret)
{
    enum standing best = NOT_NOW;
    ret->count = 0;
    cluster->choices++;
    for (size_t i = 0; i < cluster->count; i++) {
        struct cluster_endpoint *endpoint = cluster->listed[i];
        enum standing standing = standing_of(cluster, endpoint, except);
        if (standing > best) {
            best = standing;
            ret->count = 0;
        }
        if (standing == best && standing != NOT_NOW) {
            ret->all[ret->count++] = endpoint;
        }
    }
    for (size_t i = 0; i < ret->count; i++) {
        ret->all[i]->candidacy = cluster->choices;
        ret->all[i]->share = share_of(cluster, ret->all[i]);
    }
}

/* When its next probe is due; INT64_MAX: one is under way. */
static int64_t probe_at_ms_of(const struct cluster_endpoint *endpoint)
{
    const struct health *health = &endpoint->health;
    if (health->is_probing) {
        return INT64_MAX;
    }
    int64_t silent_ms = endpoint->heard_ms + CLUSTER_SILENCE_MS;
    bool is_waited_for = endpoint->inflight > 0 && health->state != CLUSTER_DOWN;
    return is_waited_for && silent_ms < health->probe_at_ms ? silent_ms : health->probe_at_ms;
}

static int64_t wait_for_a_probe_ms(const struct cluster *cluster, int64_t now_ms)
{
    int64_t at_ms = now_ms + LOOK_AGAIN_MS;
    bool first = true;
    for (size_t i = 0; i < cluster->count; i++) {
        const struct health *health = &cluster->listed[i]->health;
        int64_t next_ms = health->is_probing ? now_ms + LOOK_AGAIN_MS : health->probe_at_ms;
        if (first || next_ms < at_ms) {
            at_ms = next_ms;
            first = false;
        }
    }
    return at_ms > now_ms ? at_ms - now_ms : 1;
}

struct cluster_endpoint *cluster_choose(struct cluster *cluster, uint64_t hash,
                                        const struct cluster_endpoint *except, int64_t now_ms,
                                        int64_t *ret_wait_ms)
{
    cluster_tick(cluster, now_ms);
    struct candidates candidates;
    find_candidates(cluster, except, &candidates);
    *ret_wait_ms = 0;
    if (candidates.count == 0) {
        *ret_wait_ms = wait_for_a_probe_ms(cluster, now_ms);
        return NULL;
    }
    struct cluster_endpoint *one = balance_pick(cluster, &candidates, hash, except, now_ms);
    one->chosen = cluster->choices;
    return one;
}

/* --- what became of requests and probes ------------------------------------------------------------------------------- */

static void note_change(struct cluster *cluster, struct cluster_endpoint *endpoint,
                        enum health_change change, const char *why, int64_t now_ms)
{
    if (change == HEALTH_SAME || endpoint->has_left) {
        return;
    }
    if (change == HEALTH_WENT_UP) {
        chronicle_note(&cluster->chronicle, now_ms, endpoint->address, region_of(endpoint), "up");
    } else {
        cluster->counters.went_down++;
        endpoint->latency = (struct latency){0};
        chronicle_note(&cluster->chronicle, now_ms, endpoint->address, region_of(endpoint),
                       "down: %s", why == NULL ? "" : why);
    }
    cluster_settle_regions(cluster, now_ms);
}

static void end_one(struct cluster_endpoint *endpoint)
{
    endpoint->inflight -= endpoint->inflight > 0;
    cluster_let_go(endpoint);
}

void cluster_on_sent(struct cluster *cluster, struct cluster_endpoint *endpoint, int64_t now_ms)
{
    (void)cluster;
    if (endpoint->inflight++ == 0) {
        endpoint->heard_ms = now_ms;
    }
    endpoint->requests++;
}

void cluster_on_answered(struct cluster *cluster, struct cluster_endpoint *endpoint,
                         int64_t latency_us, int64_t now_ms)
{
    endpoint->heard_ms = now_ms;
    latency_add(&endpoint->latency, latency_us, now_ms);
    enum health_change change = health_on_answer(&endpoint->health, &cluster->rules, now_ms);
    note_change(cluster, endpoint, change, NULL, now_ms);
    end_one(endpoint);
}

void cluster_on_failed(struct cluster *cluster, struct cluster_endpoint *endpoint, const char *why,
                       int64_t now_ms)
{
    endpoint->failures++;
    enum health_change change =
        health_on_failure(&endpoint->health, &cluster->rules, &cluster->random, now_ms);
    note_change(cluster, endpoint, change, why, now_ms);
    end_one(endpoint);
}

void cluster_on_left(struct cluster *cluster, struct cluster_endpoint *endpoint)
{
    (void)cluster;
    end_one(endpoint);
}

bool cluster_next_probe(struct cluster *cluster, int64_t now_ms,
                        struct cluster_endpoint **ret_endpoint)
{
    for (size_t i = 0; i < cluster->count; i++) {
        struct cluster_endpoint *endpoint = cluster->listed[i];
        if (now_ms >= probe_at_ms_of(endpoint)) {
            health_probe_begin(&endpoint->health);
            *ret_endpoint = endpoint;
            return true;
        }
    }
    *ret_endpoint = NULL;
    return false;
}

void cluster_on_probe(struct cluster *cluster, struct cluster_endpoint *endpoint, bool ok,
                      const char *why, int64_t now_ms)
{
    endpoint->heard_ms = now_ms;
    enum health_change change =
        health_on_probe(&endpoint->health, &cluster->rules, ok, &cluster->random, now_ms);
    note_change(cluster, endpoint, change, why, now_ms);
    cluster_let_go(endpoint);
}

int64_t cluster_next_tick_ms(const struct cluster *cluster, int64_t now_ms)
{
    int64_t at_ms = regions_settle_at_ms(&cluster->regions);
    for (size_t i = 0; i < cluster->count; i++) {
        int64_t probe_at_ms = probe_at_ms_of(cluster->listed[i]);
        at_ms = probe_at_ms < at_ms ? probe_at_ms : at_ms;
    }
    int64_t most_ms = now_ms + cluster->rules.probe_every_ms;
    at_ms = at_ms < most_ms ? at_ms : most_ms;
    return at_ms > now_ms ? at_ms - now_ms : 0;
}

void cluster_tick(struct cluster *cluster, int64_t now_ms)
{
    if (now_ms >= regions_settle_at_ms(&cluster->regions)) {
        cluster_settle_regions(cluster, now_ms);
    }
}

/* --- looking inside -------------------------------------------------------------------------------------------------- */

static void describe(const struct cluster *cluster, const struct cluster_endpoint *endpoint,
                     struct cluster_endpoint_description *ret)
{
    *ret = (struct cluster_endpoint_description){
        .address = endpoint->address,
        .region = region_of(endpoint),
        .endpoint = endpoint,
        .health = endpoint->health.state,
        .breaker = health_breaker(&endpoint->health),
        .is_current_region = endpoint->region == cluster->regions.current,
        .weight = endpoint->weight * endpoint->warmth,
        .latency_us = endpoint->latency.is_known ? (int64_t)endpoint->latency.average_us : -1,
        .inflight = endpoint->inflight,
        .failures_in_row = endpoint->health.failures,
        .requests = endpoint->requests,
        .failures = endpoint->failures,
        .since_ms = endpoint->health.since_ms,
    };
}

size_t cluster_describe(const struct cluster *cluster, struct cluster_endpoint_description *infos,
                        size_t room)
{
    for (size_t i = 0; i < cluster->count && i < room; i++) {
        describe(cluster, cluster->listed[i], &infos[i]);
    }
    return cluster->count;
}

size_t cluster_history(const struct cluster *cluster, struct cluster_event *events, size_t room)
{
    return chronicle_read(&cluster->chronicle, events, room);
}

void cluster_counters(const struct cluster *cluster, struct cluster_counters *ret_counters)
{
    *ret_counters = cluster->counters;
}

const char *cluster_current_region(const struct cluster *cluster)
{
    return cluster->regions.count == 0 ? "" : cluster->regions.all[cluster->regions.current].name;
}
