/* SPDX-License-Identifier: BSD-3-Clause */
#include "client/health.h"

#include "client/backoff.h"

void health_init(struct health *health, int64_t now_ms)
{
    *health = (struct health){
        .state = CLUSTER_UNKNOWN,
        .probe_at_ms = now_ms,
        .since_ms = now_ms,
    };
}

enum cluster_breaker health_breaker(const struct health *health)
{
    if (health->state != CLUSTER_DOWN) {
        return CLUSTER_CLOSED;
    }
    return health->is_half_open ? CLUSTER_HALF_OPEN : CLUSTER_OPEN;
}

static enum health_change turn(struct health *health, enum cluster_health state, int64_t now_ms)
{
    if (health->state == state) {
        return HEALTH_SAME;
    }
    health->state = state;
    health->since_ms = now_ms;
    return state == CLUSTER_UP ? HEALTH_WENT_UP : HEALTH_WENT_DOWN;
}

static enum health_change open_breaker(struct health *health, const struct health_rules *rules,
                                       uint64_t *random_state, int64_t now_ms)
{
    health->openings++;
    health->probe_at_ms = now_ms + backoff_between_ms(random_state, rules->open_ms,
                                                      rules->open_most_ms, health->openings);
    return turn(health, CLUSTER_DOWN, now_ms);
}

enum health_change health_on_answer(struct health *health, const struct health_rules *rules,
                                    int64_t now_ms)
{
    if (health->state == CLUSTER_DOWN) {
        return HEALTH_SAME;
    }
    health->failures = 0;
    health->probe_at_ms = now_ms + rules->probe_every_ms;
    return turn(health, CLUSTER_UP, now_ms);
}

enum health_change health_on_failure(struct health *health, const struct health_rules *rules,
                                     uint64_t *random_state, int64_t now_ms)
{
    if (health->state == CLUSTER_DOWN) {
        return HEALTH_SAME;
    }
    health->failures++;
    if (health->failures >= rules->failures_to_down) {
        return open_breaker(health, rules, random_state, now_ms);
    }
    health->probe_at_ms = now_ms;
    return HEALTH_SAME;
}

void health_probe_begin(struct health *health)
{
    health->is_probing = true;
    health->is_half_open = health->state == CLUSTER_DOWN;
}

/* A probe that began before the failures that opened the breaker says nothing, as the requests of then: so DOWN lasts as
 * long as the breaker is open at least, and flaps are bounded. */
enum health_change health_on_probe(struct health *health, const struct health_rules *rules, bool ok,
                                   uint64_t *random_state, int64_t now_ms)
{
    bool says_nothing = health->state == CLUSTER_DOWN && !health->is_half_open;
    health->is_probing = false;
    health->is_half_open = false;
    if (says_nothing) {
        return HEALTH_SAME;
    }
    if (ok) {
        health->failures = 0;
        health->openings = 0;
        health->probe_at_ms = now_ms + rules->probe_every_ms;
        return turn(health, CLUSTER_UP, now_ms);
    }
    if (health->state == CLUSTER_DOWN) {
        return open_breaker(health, rules, random_state, now_ms);
    }
    enum health_change change = health_on_failure(health, rules, random_state, now_ms);
    if (change == HEALTH_SAME) {
        health->probe_at_ms = now_ms + HEALTH_SUSPECT_MS;
    }
    return change;
}
