/* SPDX-License-Identifier: BSD-3-Clause */
/* l1_help.h -- short ways to say what the L1 tests say often. Time is a plain number. */
#ifndef TERRACE_TESTS_UNIT_L1_HELP_H
#define TERRACE_TESTS_UNIT_L1_HELP_H

#include "tests/unit/seed_help.h"
#include "tiers/base/rand.h"
#include "tiers/namespace.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static inline struct l1 *help_new(size_t bytes_max, const struct policy *policy, unsigned shards)
{
    struct l1 *l1 = l1_new(&(struct l1_options){
        .bytes_max = bytes_max, .policy = policy, .seed = 1, .shards = shards});
    assert_non_null(l1);
    return l1;
}

static inline const struct policy *help_policy(struct rand *rand)
{
    unsigned count = 0;
    while (policy_at(count) != NULL) {
        count++;
    }
    return policy_at((unsigned)rand_below(rand, count));
}

/* The namespaces of a node that has only `default`. */
static inline struct namespaces *help_namespaces(size_t bytes_max)
{
    struct namespace_spec spec = {.name = SLICE_LITERAL("default"),
                                  .settings = {.mode = {.bound_ms = 1000}, .memory = bytes_max}};
    struct namespaces *namespaces = namespaces_new(&spec, 1, 1);
    assert_non_null(namespaces);
    return namespaces;
}

/* An item that no L1 made. */
static inline struct item *help_item_new(uint8_t db, struct slice key, size_t value_size)
{
    struct item *item =
        item_new(&(struct item_spec){.db = db, .key = key, .value_size = value_size});
    assert_non_null(item);
    return item;
}

static inline struct item *help_item_value(uint8_t db, struct slice key, struct slice value)
{
    return item_write(help_item_new(db, key, value.size), value);
}

static inline struct item *help_item(const struct l1_key *key, const char *value,
                                     int64_t expire_at_ms, int64_t stamped_at_ms)
{
    const struct item_spec spec = {.db = key->db,
                                   .key = key->bytes,
                                   .value_size = strlen(value),
                                   .expire_at_ms = expire_at_ms,
                                   .stamped_at_ms = stamped_at_ms};
    struct item *item = item_write(item_new(&spec), slice_of(value));
    assert_non_null(item);
    return item;
}

/* The same, by the L1 where it is to stand. */
static inline struct item *help_item_in(struct l1 *l1, const struct l1_key *key, const char *value,
                                        int64_t expire_at_ms, int64_t stamped_at_ms)
{
    const struct item_spec spec = {.db = key->db,
                                   .key = key->bytes,
                                   .value_size = strlen(value),
                                   .expire_at_ms = expire_at_ms,
                                   .stamped_at_ms = stamped_at_ms};
    struct item *item = item_write(l1_item_new(l1, key->hash, &spec), slice_of(value));
    assert_non_null(item);
    return item;
}

static inline enum status help_swap(struct l1 *l1, const struct l1_key *key, struct item *seen,
                                    const char *value, int64_t expire_at_ms, int64_t now_ms)
{
    struct item *item = value != NULL ? help_item_in(l1, key, value, expire_at_ms, 0) : NULL;
    enum status status = l1_commit(
        &(struct l1_change){.l1 = l1, .key = *key, .seen = seen, .item = item}, 1, now_ms);
    item_release(item);
    return status;
}

static inline void help_set(struct l1 *l1, uint8_t db, const char *name, const char *value,
                            int64_t expire_at_ms, int64_t now_ms)
{
    struct l1_key key = l1_key(l1, db, slice_of(name));
    assert_int_equal(help_swap(l1, &key, L1_ANY, value, expire_at_ms, now_ms), OK);
}

/* Whether the key is served with exactly this value; NULL: not served. */
static inline bool help_is(struct l1 *l1, uint8_t db, const char *name, const char *value,
                           int64_t now_ms)
{
    struct l1_key key = l1_key(l1, db, slice_of(name));
    char room[256];
    struct l1_value got = {.copy = room, .copy_room = sizeof room};
    if (l1_get(l1, &key, now_ms, 0, &got) == MISS) {
        return value == NULL;
    }
    bool same = value != NULL && slice_is(got.bytes, value);
    item_release(got.item);
    return same;
}

static inline struct l1_stats help_stats(const struct l1 *l1)
{
    struct l1_stats stats;
    l1_stats(l1, &stats);
    return stats;
}

/* assert_true for random tests: says how to run the failing one again. */
#define HELP_CHECK(condition, seed)                                                  \
    do {                                                                             \
        if (!(condition)) {                                                          \
            print_error("replay with TEST_SEED=%llu\n", (unsigned long long)(seed)); \
            fail_msg("%s", #condition);                                              \
        }                                                                            \
    } while (0)

/* Stores "kind:number". NO_MEMORY: already the item could not be made. */
static inline enum status help_put(struct l1 *l1, const char *kind, unsigned number,
                                   size_t value_size, int64_t expire_at_ms, int64_t now_ms)
{
    char name[32];
    snprintf(name, sizeof name, "%s:%u", kind, number);
    struct l1_key key = l1_key(l1, 0, slice_of(name));
    struct item *item =
        l1_item_new(l1, key.hash,
                    &(struct item_spec){
                        .key = key.bytes, .value_size = value_size, .expire_at_ms = expire_at_ms});
    if (item == NULL) {
        return NO_MEMORY;
    }
    memset(item_value_room(item), 'v', value_size);
    const enum status status = l1_commit(
        &(struct l1_change){.l1 = l1, .key = key, .item = item, .seen = L1_ANY}, 1, now_ms);
    item_release(item);
    return status;
}

#endif
