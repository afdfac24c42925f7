/* SPDX-License-Identifier: BSD-3-Clause */
#include "tiers/policy.h"

struct known {
    const struct policy *policy;
    const char *redis; /* what Redis calls it; NULL: it has none like it, or the same name */
};

static const struct known known[] = {
    {&policy_density, NULL},
    {&policy_s3fifo, NULL},
    {&policy_lru, "allkeys-lru"},
    {&policy_lfu, "allkeys-lfu"},
    {&policy_ttl, "volatile-ttl"},
    {&policy_ttl_strict, NULL},
    {&policy_random, "allkeys-random"},
    {&policy_noeviction, NULL},
    {&policy_volatile_lru, NULL},
    {&policy_volatile_lfu, NULL},
    {&policy_volatile_random, NULL},
};

enum {
    KNOWN = sizeof known / sizeof known[0]
};

const char policy_names[] =
    "density, s3fifo, lru, lfu, ttl, ttl-strict, random, noeviction, volatile-lru, "
    "volatile-lfu, volatile-random";

const struct policy *policy_at(unsigned index)
{
    return index < KNOWN ? known[index].policy : NULL;
}

const struct policy *policy_find(struct slice name)
{
    for (unsigned i = 0; i < KNOWN; i++) {
        if (slice_is_nocase(name, known[i].policy->name) ||
            (known[i].redis != NULL && slice_is_nocase(name, known[i].redis))) {
            return known[i].policy;
        }
    }
    return NULL;
}

const char *policy_redis_name(const struct policy *policy)
{
    for (unsigned i = 0; i < KNOWN; i++) {
        if (known[i].policy == policy && known[i].redis != NULL) {
            return known[i].redis;
        }
    }
    return policy->name;
}
