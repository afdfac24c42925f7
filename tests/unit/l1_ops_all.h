/* SPDX-License-Identifier: BSD-3-Clause */
/* l1_ops_all.h -- of l1_ops.h: what is done with all keys: compared, swept, swapped, flushed, moved to other L1s. */
#ifndef TERRACE_TESTS_UNIT_L1_OPS_ALL_H
#define TERRACE_TESTS_UNIT_L1_OPS_ALL_H

#include "tests/unit/l1_ops_keys.h"

/* --- over everything ------------------------------------------------------------------------------------------------ */

struct ops_walk {
    struct ops *ops;
    uint8_t db;
    bool seen[OPS_KEYS];
};

static inline void ops_visit(void *arg, struct item *item)
{
    struct ops_walk *walk = arg;
    const struct slice name = item_key(item);
    unsigned number = 0;
    const char *digits = memrchr(name.data, ':', name.size);
    CHECK(digits != NULL);
    for (digits++; digits < name.data + name.size; digits++) {
        number = number * 10 + (unsigned)(*digits - '0');
    }
    CHECK(number < OPS_KEYS);
    const struct ops_known *known = &walk->ops->known[walk->db][number];
    CHECK(known->stands && known->token == 0 && !ops_is_over(walk->ops, known));
    ops_same(known, item_value(item), item_expire_at_ms(item), item_stamped_at_ms(item));
    walk->seen[number] = true;
}

static inline void ops_check_database(struct ops *ops, uint8_t db, uint64_t *claims)
{
    struct ops_walk walk = {.ops = ops, .db = db};
    uint64_t there = 0;
    for (unsigned k = 0; k < OPS_KEYS; k++) {
        struct ops_key key;
        ops_key_at(ops, db, k, &key);
        ops_get(ops, &key); /* what has expired goes by that */
        there += key.known->stands && key.known->token == 0;
        *claims += key.known->token != 0;
    }
    CHECK(namespaces_count(ops->spaces, db).entries == there);
    uint64_t cursor = 0;
    do {
        cursor = namespaces_scan(ops->spaces, db, cursor, 10, ops->now_ms, ops_visit, &walk);
    } while (cursor != 0);
    for (unsigned k = 0; k < OPS_KEYS; k++) {
        const struct ops_known *known = &ops->known[db][k];
        CHECK(walk.seen[k] == (known->stands && known->token == 0));
    }
}

static inline void ops_check(struct ops *ops)
{
    uint64_t claims = 0;
    for (uint8_t db = 0; db < OPS_DBS; db++) {
        ops_check_database(ops, db, &claims);
    }
    struct l1_stats stats;
    namespaces_stats(ops->spaces, &stats);
    CHECK(stats.claims == claims);
    CHECK(ops->missing <= ops_evictions(ops));
    const struct namespace *ns;
    for (unsigned at = 0; (ns = namespaces_next(ops->spaces, &at)) != NULL;) {
        l1_stats(ns->l1, &stats);
        CHECK(stats.bytes_used == atomic_load(&ns->l1->bytes_used));
        CHECK(stats.bytes_live <= stats.bytes_used && stats.bytes_tables <= stats.bytes_live);
    }
}

static inline void ops_time(struct ops *ops, uint8_t kind)
{
    const int64_t by_ms = ops_number(ops, 1 << 16);
    if (kind % 16 == 0) {
        ops->now_ms += by_ms * 3600 * 24; /* up to 65 days */
    } else if (kind % 16 == 1) {
        ops->now_ms -= by_ms * 3600;
    } else if (kind % 2 == 0) {
        ops->now_ms += by_ms;
    } else {
        ops->now_ms += by_ms % 32;
    }
    ops->latest_ms = ops->now_ms > ops->latest_ms ? ops->now_ms : ops->latest_ms;
}

static inline void ops_swap(struct ops *ops)
{
    const uint8_t a = ops_byte(ops) % OPS_DBS;
    const uint8_t b = ops_byte(ops) % OPS_DBS;
    namespaces_swap(ops->spaces, a, b, 0);
    struct ops_known all[OPS_KEYS];
    memcpy(all, ops->known[a], sizeof all);
    memmove(ops->known[a], ops->known[b], sizeof all);
    memcpy(ops->known[b], all, sizeof all);
}

static inline void ops_flush(struct ops *ops, uint8_t kind)
{
    const uint8_t db = ops_byte(ops) % OPS_DBS;
    if (kind % 2 == 0) {
        namespaces_flush_all(ops->spaces);
        memset(ops->known, 0, sizeof ops->known);
    } else {
        namespaces_flush(ops->spaces, db);
        memset(ops->known[db], 0, sizeof ops->known[db]);
    }
}

static inline struct namespace_spec ops_spec(unsigned number, size_t memory)
{
    static const char *const names[] = {"default", "a", "b"};
    static const char *const prefixes[] = {"", "a:", "a:b:"};
    return (struct namespace_spec){
        .name = slice_of(names[number]),
        .prefix = slice_of(prefixes[number]),
        .settings = {
            .mode = {.bound_ms = 1000}, .memory = memory, .policy = &policy_lru, .told = true}};
}

/* Where a key lives with these namespaces (one bit each). */
static inline unsigned ops_home(unsigned number, unsigned present)
{
    unsigned kind = number % 3;
    while ((present >> kind & 1) == 0) {
        kind--;
    }
    return kind;
}

static inline unsigned ops_present(const struct ops *ops)
{
    return 1u | (namespaces_find(ops->spaces, SLICE_LITERAL("a")) != NULL ? 2u : 0u) |
           (namespaces_find(ops->spaces, SLICE_LITERAL("b")) != NULL ? 4u : 0u);
}

static inline void ops_rebuild(struct ops *ops, uint8_t kind, size_t memory)
{
    const unsigned before = ops_present(ops);
    const unsigned after = 1u | (kind & 6u);
    const bool keep = kind % 16 < 12;
    struct namespace_spec specs[3];
    unsigned count = 0;
    for (unsigned i = 0; i < 3; i++) {
        if ((after >> i & 1) != 0) {
            specs[count++] = ops_spec(i, memory);
        }
    }
    for (unsigned i = 1; i < 3; i++) {
        const struct namespace *ns = namespaces_find(ops->spaces, ops_spec(i, 0).name);
        struct l1_stats stats = {0};
        if (ns != NULL && (after >> i & 1) == 0) {
            l1_stats(ns->l1, &stats);
        }
        ops->evicted += stats.evictions;
    }
    CHECK(namespaces_rebuild(ops->spaces, specs, count, keep, ops->now_ms) == OK);
    for (unsigned db = 0; db < OPS_DBS; db++) {
        for (unsigned k = 0; k < OPS_KEYS; k++) {
            struct ops_known *known = &ops->known[db][k];
            if (ops_home(k, before) != ops_home(k, after) && (!keep || known->token != 0)) {
                ops_forget(known);
            }
        }
    }
}

static inline void ops_budget(struct ops *ops)
{
    static const size_t budgets[] = {192 << 10, 400 << 10, 1 << 20, 4 << 20, 16 << 20, 100};
    struct namespace *ns;
    for (unsigned at = 0; (ns = namespaces_next(ops->spaces, &at)) != NULL;) {
        const uint8_t kind = ops_byte(ops);
        if (kind % 2 == 0) {
            l1_resize(ns->l1, budgets[kind / 2 % (sizeof budgets / sizeof budgets[0])],
                      ops->now_ms);
        }
    }
}

static inline void ops_policy(struct ops *ops)
{
    unsigned count = 0;
    while (policy_at(count) != NULL) {
        count++;
    }
    struct namespace *ns;
    for (unsigned at = 0; (ns = namespaces_next(ops->spaces, &at)) != NULL;) {
        l1_set_policy(ns->l1, policy_at(ops_byte(ops) % count), ops->now_ms);
    }
}

static inline void ops_random(struct ops *ops)
{
    struct ops_walk walk = {.ops = ops, .db = ops_byte(ops) % OPS_DBS};
    struct item *item = namespaces_random(ops->spaces, walk.db, ops_byte(ops), ops->now_ms);
    if (item != NULL) {
        ops_visit(&walk, item);
    }
    item_release(item);
}

#endif
