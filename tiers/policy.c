/* SPDX-License-Identifier: BSD-3-Clause */
#include "tiers/policy.h"

const char policy_names[] = "lru, lfu, ttl";

const struct policy *policy_find(struct slice name)
{
    static const struct policy *const policies[] = {&policy_lru, &policy_lfu, &policy_ttl};
    for (size_t i = 0; i < sizeof policies / sizeof policies[0]; i++) {
        if (slice_is_nocase(name, policies[i]->name)) {
            return policies[i];
        }
    }
    return NULL;
}
