/* SPDX-License-Identifier: BSD-3-Clause */
#include "tiers/promotion.h"

#include <stddef.h>

static uint32_t steps_of(int64_t ms)
{
    return (uint32_t)(ms / PROMOTION_STEP_MS);
}

/* What passed since, of times that begin anew at 2^32. */
static uint32_t since(uint32_t at, int64_t now_ms)
{
    return steps_of(now_ms) - at;
}

struct promotion_key *promotion_at(struct promotion *promotion, uint64_t hash, int64_t now_ms)
{
    const uint32_t tag = (uint32_t)(hash >> 32) | 1u;
    struct promotion_key *set = promotion->keys[hash % PROMOTION_SETS];
    struct promotion_key *oldest = &set[0];
    for (size_t i = 0; i < PROMOTION_WAYS; i++) {
        if (set[i].tag == tag) {
            return &set[i];
        }
        if (set[i].tag == 0) {
            oldest = &set[i];
            break;
        }
        if (since(set[i].read_at, now_ms) > since(oldest->read_at, now_ms)) {
            oldest = &set[i];
        }
    }
    *oldest = (struct promotion_key){.tag = tag, .read_at = steps_of(now_ms), .wanted = 1};
    return oldest;
}

static bool is_refused(const struct promotion_key *key, int64_t now_ms)
{
    return key->refused_until != 0 && since(key->refused_until, now_ms) >> 31 != 0;
}

bool promotion_wants(const struct promotion_key *key, int64_t now_ms)
{
    return !is_refused(key, now_ms) && key->reads >= key->wanted &&
           (key->wanted == 0 ||
            since(key->read_at, now_ms) <= PROMOTION_LATELY_MS / PROMOTION_STEP_MS);
}

void promotion_passed(struct promotion_key *key, int64_t now_ms)
{
    if (since(key->read_at, now_ms) > PROMOTION_LATELY_MS / PROMOTION_STEP_MS) {
        key->reads = 0;
    }
    if (key->reads < PROMOTION_WANTED_MAX) {
        key->reads++;
    }
    key->read_at = steps_of(now_ms);
}

void promotion_taken(struct promotion_key *key, int64_t now_ms)
{
    if (key->was_hit) {
        key->wanted /= 2;
    } else if (key->was_taken && key->wanted < PROMOTION_WANTED_MAX) {
        key->wanted = (uint8_t)(key->wanted == 0 ? 1 : 2 * key->wanted);
    }
    key->was_taken = true;
    key->was_hit = false;
    key->reads = 0;
    key->read_at = steps_of(now_ms);
}

void promotion_refuse(struct promotion_key *key, int64_t now_ms)
{
    if (is_refused(key, now_ms)) {
        return;
    }
    const uint32_t for_steps = (uint32_t)(PROMOTION_REFUSED_MS / PROMOTION_STEP_MS)
                               << key->refused_log;
    key->refused_until = steps_of(now_ms) + for_steps;
    key->refused_until += key->refused_until == 0;
    if (key->refused_log < PROMOTION_REFUSED_LOG_MAX) {
        key->refused_log++;
    }
}

void promotion_hit(struct promotion_key *key, int64_t now_ms)
{
    const uint32_t now = steps_of(now_ms);
    if (!key->was_hit || key->read_at != now) { /* most hits leave the line clean */
        key->was_hit = true;
        key->read_at = now;
    }
}
