/* SPDX-License-Identifier: BSD-3-Clause */
/* category.h -- the categories of commands, as Redis 7.0's ACL CAT names and orders them.
 *
 * A set of them is one word, bit by bit.
 *
 * Threads: constant. */
#ifndef TERRACE_TIERS_BASE_CATEGORY_H
#define TERRACE_TIERS_BASE_CATEGORY_H

#include "protocol/bytes.h"

enum category {
    CATEGORY_KEYSPACE = 1 << 0,
    CATEGORY_READ = 1 << 1,
    CATEGORY_WRITE = 1 << 2,
    CATEGORY_SET = 1 << 3,
    CATEGORY_SORTEDSET = 1 << 4,
    CATEGORY_LIST = 1 << 5,
    CATEGORY_HASH = 1 << 6,
    CATEGORY_STRING = 1 << 7,
    CATEGORY_BITMAP = 1 << 8,
    CATEGORY_HYPERLOGLOG = 1 << 9,
    CATEGORY_GEO = 1 << 10,
    CATEGORY_STREAM = 1 << 11,
    CATEGORY_PUBSUB = 1 << 12,
    CATEGORY_ADMIN = 1 << 13,
    CATEGORY_FAST = 1 << 14,
    CATEGORY_SLOW = 1 << 15,
    CATEGORY_BLOCKING = 1 << 16,
    CATEGORY_DANGEROUS = 1 << 17,
    CATEGORY_CONNECTION = 1 << 18,
    CATEGORY_TRANSACTION = 1 << 19,
    CATEGORY_SCRIPTING = 1 << 20,
};
enum {
    CATEGORY_COUNT = 21
};

/* The name of bit `i`, without an '@'; NULL past the end. */
const char *category_name(unsigned i);
/* The bit of a name in any case, without its '@'; 0: no such category. */
uint32_t category_find(struct slice name);

#endif
