/* SPDX-License-Identifier: BSD-3-Clause */
#include "tiers/base/category.h"

static const char *const names[CATEGORY_COUNT] = {
    "keyspace", "read",   "write",       "set",       "sortedset",  "list",        "hash",
    "string",   "bitmap", "hyperloglog", "geo",       "stream",     "pubsub",      "admin",
    "fast",     "slow",   "blocking",    "dangerous", "connection", "transaction", "scripting",
};

const char *category_name(unsigned i)
{
    return i < CATEGORY_COUNT ? names[i] : NULL;
}

uint32_t category_find(struct slice name)
{
    for (unsigned i = 0; i < CATEGORY_COUNT; i++) {
        if (slice_is_nocase(name, names[i])) {
            return UINT32_C(1) << i;
        }
    }
    return 0;
}
