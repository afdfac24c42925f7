/* SPDX-License-Identifier: BSD-3-Clause */
/* l1_ops_known.h -- of l1_ops.h: what the bytes say next, and what should stand at each key: a naive map. */
#ifndef TERRACE_TESTS_UNIT_L1_OPS_KNOWN_H
#define TERRACE_TESTS_UNIT_L1_OPS_KNOWN_H

#include "protocol/check.h"
#include "tiers/l1_shard.h"
#include "tiers/namespace.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    OPS_DBS = 3,
    OPS_KEYS = 240, /* names, a third of them below each prefix */
    OPS_HELD = 24,
    OPS_LARGE_MAX = 6, /* values of several MiB, of one run */
    OPS_MANY = 8,
    OPS_GENERATION = 1,
    OPS_JOIN_MS = 1000,
    OPS_LARGE = 2300000,
};

#define OPS_T0 INT64_C(1800000000000)

struct ops_known {
    bool stands; /* here, if it was not evicted */
    uint8_t fill;
    enum item_look look;
    uint32_t size;
    int64_t expire_at_ms;
    int64_t stamped_at_ms;
    uint64_t token; /* of the claim that stands in its place; 0: none */
    int64_t claimed_at_ms;
};

struct ops_held {
    struct item *item;
    unsigned key;
    uint8_t fill;
    uint32_t size;
    int64_t expire_at_ms;
};

struct ops {
    const uint8_t *at;
    size_t left;
    struct namespaces *spaces;
    struct ops_known known[OPS_DBS][OPS_KEYS];
    struct ops_held held[OPS_HELD];
    int64_t now_ms;
    int64_t latest_ms; /* now was never later */
    uint64_t missing;  /* entries found evicted */
    uint64_t evicted;  /* by L1s that are no more */
    unsigned large;
    size_t empty_bytes; /* of one L1 */
    unsigned steps;
};

/* --- input ---------------------------------------------------------------------------------------------------------- */

static inline uint8_t ops_byte(struct ops *ops)
{
    if (ops->left == 0) {
        return 0;
    }
    ops->left--;
    return *ops->at++;
}

static inline uint32_t ops_number(struct ops *ops, uint32_t below)
{
    uint32_t number = ops_byte(ops);
    number |= (uint32_t)ops_byte(ops) << 8;
    return number % below;
}

static inline uint32_t ops_size(struct ops *ops)
{
    const uint8_t kind = ops_byte(ops);
    if (kind < 160) {
        return kind % 2u * 900; /* so many of a size that slabs fill, empty, and come together */
    }
    if (kind < 200) {
        return kind % 40u * 8;
    }
    if (kind < 235) {
        return ops_number(ops, 5000);
    }
    if (kind < 254) {
        return ops_number(ops, 1 << 16) * 4;
    }
    return ops->large++ < OPS_LARGE_MAX ? OPS_LARGE + ops_number(ops, 1 << 16) : 1;
}

static inline int64_t ops_expiry(struct ops *ops)
{
    static const int64_t lives_ms[] = {0,
                                       0,
                                       0,
                                       1,
                                       20,
                                       500,
                                       3600000,
                                       INT64_C(86400000) * 40,
                                       INT64_C(86400000) * 400,
                                       INT64_C(86400000) * 365 * 40};
    const int64_t life_ms = lives_ms[ops_byte(ops) % (sizeof lives_ms / sizeof lives_ms[0])];
    return life_ms == 0 ? 0 : ops->now_ms + life_ms;
}

/* --- keys ----------------------------------------------------------------------------------------------------------- */

struct ops_key {
    char name[24];
    unsigned number;
    uint8_t db;
    struct ns_key at;
    struct ops_known *known;
};

/* Names lie in the caller's struct, so this fills one rather than returning it. */
static inline void ops_key_at(struct ops *ops, uint8_t db, unsigned number, struct ops_key *ret)
{
    static const char *const prefixes[] = {"k:", "a:", "a:b:"};
    int size = snprintf(ret->name, sizeof ret->name, "%s%u", prefixes[number % 3], number);
    ret->number = number;
    ret->db = db;
    ret->at = namespaces_key(ops->spaces, db, (struct slice){ret->name, (size_t)size});
    ret->known = &ops->known[db][number];
}

static inline void ops_key_take(struct ops *ops, struct ops_key *ret)
{
    const uint8_t db = ops_byte(ops) % OPS_DBS;
    ops_key_at(ops, db, ops_byte(ops) % OPS_KEYS, ret);
}

static inline void ops_forget(struct ops_known *known)
{
    *known = (struct ops_known){0};
}

static inline bool ops_is_over(const struct ops *ops, const struct ops_known *known)
{
    return known->expire_at_ms != 0 && known->expire_at_ms <= ops->now_ms;
}

/* Whether L1 has it, by what L1 says: if not, then for a reason. */
static inline void ops_told(struct ops *ops, struct ops_known *known, bool is_there)
{
    if (is_there) {
        CHECK(known->stands && !ops_is_over(ops, known));
    } else if (known->stands && known->token == 0) {
        const bool may_have_expired =
            known->expire_at_ms != 0 && known->expire_at_ms <= ops->latest_ms;
        ops->missing += !may_have_expired;
        ops_forget(known);
    } else if (known->stands) { /* a claim's suspect only expires */
        CHECK(ops_is_over(ops, known));
    }
}

static inline void ops_same(const struct ops_known *known, struct slice value, int64_t expire_at_ms,
                            int64_t stamped_at_ms)
{
    CHECK(value.size == known->size && expire_at_ms == known->expire_at_ms &&
          stamped_at_ms == known->stamped_at_ms);
    const size_t step = value.size > 4096 ? 509 : 1;
    for (size_t i = 0; i < value.size; i += step) {
        CHECK((uint8_t)value.data[i] == known->fill);
    }
    CHECK(value.size == 0 || (uint8_t)value.data[value.size - 1] == known->fill);
}

static inline bool ops_is_hash(const struct ops_known *known)
{
    return known->look == ITEM_LOOK_PACKED || known->look == ITEM_LOOK_TABLE;
}

static inline struct item *ops_item(const struct ops_key *key, const struct ops_known *like,
                                    bool is_loose)
{
    const struct item_spec spec = {.key = key->at.at.bytes,
                                   .value_size = like->size,
                                   .expire_at_ms = like->expire_at_ms,
                                   .stamped_at_ms = like->stamped_at_ms,
                                   .look = like->look};
    struct item *item =
        is_loose ? item_new(&spec) : l1_item_new(key->at.ns->l1, key->at.at.hash, &spec);
    CHECK(item != NULL);
    memset(item_value_room(item), like->fill, like->size);
    return item;
}

static inline struct ops_known ops_value(struct ops *ops)
{
    struct ops_known next = {.stands = true, .fill = ops_byte(ops)};
    next.look = (enum item_look)(next.fill % (ITEM_LOOK_TABLE + 1)); /* not looked into here */
    next.size = ops_size(ops);
    next.expire_at_ms = ops_expiry(ops);
    return next;
}

#endif
