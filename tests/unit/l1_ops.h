/* SPDX-License-Identifier: BSD-3-Clause */
/* l1_ops.h -- a sequence of operations, as bytes say, on the L1s of a node and on a naive map beside them.
 *
 * For random bytes (test_l1_ops.c) and for those that a fuzzer finds (fuzz_l1.c). Each step is an opcode and what it
 * needs; there is no input that means nothing. What must hold after each, whatever budget, policy, namespaces and clock do:
 *
 *      what L1 answers is what the map has, value, sizes and times to the millisecond; never what was deleted or is over
 *      what L1 has no more has expired, or was evicted and counted as such
 *      claims stand until they end, and are never evicted
 *      what is held stays as it was, however its entry ends, and wherever others are moved
 *      counts and bytes agree with a walk; in the end all memory comes back
 *
 * Aborts where that is not so. Deterministic: L1 and map have one seed. */
#ifndef TERRACE_TESTS_UNIT_L1_OPS_H
#define TERRACE_TESTS_UNIT_L1_OPS_H

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

/* --- operations ----------------------------------------------------------------------------------------------------- */

static inline void ops_get(struct ops *ops, const struct ops_key *key)
{
    char room[64];
    struct l1_value value = {.copy = room, .copy_room = sizeof room};
    const enum status status = l1_get(key->at.ns->l1, &key->at.at, ops->now_ms, 0, &value);
    CHECK(status == OK || status == MISS);
    ops_told(ops, key->known, status == OK);
    if (status == OK) {
        ops_same(key->known, value.bytes, value.expire_at_ms, value.stamped_at_ms);
        CHECK(value.is_hash == ops_is_hash(key->known));
        item_release(value.item);
    }
}

/* What stands for writers, with a reference: not what a claim keeps aside. */
static inline struct item *ops_hold(struct ops *ops, const struct ops_key *key)
{
    struct item *item = l1_hold(key->at.ns->l1, &key->at.at, ops->now_ms);
    CHECK(item == NULL || key->known->token == 0);
    if (key->known->token == 0) {
        ops_told(ops, key->known, item != NULL);
    }
    if (item != NULL) {
        ops_same(key->known, item_value(item), item_expire_at_ms(item), item_stamped_at_ms(item));
        CHECK(item_look(item) == key->known->look);
    }
    return item;
}

static inline uint64_t ops_evictions(const struct ops *ops)
{
    struct l1_stats stats;
    namespaces_stats(ops->spaces, &stats);
    return stats.evictions + ops->evicted;
}

/* AGAIN: room was made (by a policy that may find none), and what was seen went. */
static inline bool ops_commit(const struct ops *ops, const struct l1_change *changes, size_t count)
{
    const uint64_t evictions = ops_evictions(ops);
    const enum status status = l1_commit(changes, count, ops->now_ms);
    CHECK(status == OK || status == TOO_BIG || (status == AGAIN && ops_evictions(ops) > evictions));
    return status == OK;
}

static inline void ops_set(struct ops *ops, bool compares)
{
    struct ops_key key;
    ops_key_take(ops, &key);
    const struct ops_known next = ops_value(ops);
    struct item *seen = compares ? ops_hold(ops, &key) : L1_ANY;
    struct item *item = ops_item(&key, &next, ops_byte(ops) % 8 == 0);
    const struct l1_change change = {key.at.ns->l1, key.at.at, seen, item};
    if (ops_commit(ops, &change, 1)) {
        *key.known = next;
    }
    item_release(item);
    if (compares) {
        item_release(seen);
    }
}

static inline void ops_delete(struct ops *ops)
{
    struct ops_key key;
    ops_key_take(ops, &key);
    const struct l1_change change = {key.at.ns->l1, key.at.at, L1_ANY, NULL};
    CHECK(ops_commit(ops, &change, 1));
    ops_forget(key.known);
}

static inline void ops_rename(struct ops *ops)
{
    struct ops_key from;
    struct ops_key to;
    ops_key_take(ops, &from);
    ops_key_take(ops, &to);
    if (from.known == to.known) {
        return;
    }
    struct item *seen = ops_hold(ops, &from);
    if (seen == NULL) {
        return;
    }
    const struct ops_known next = *from.known;
    struct item *item = ops_item(&to, &next, false);
    const struct l1_change changes[] = {{from.at.ns->l1, from.at.at, seen, NULL},
                                        {to.at.ns->l1, to.at.at, L1_ANY, item}};
    if (ops_commit(ops, changes, 2)) {
        *to.known = next;
        ops_forget(from.known);
    }
    item_release(item);
    item_release(seen);
}

/* MSET and EXEC: some keys several times, some deleted. The last change of a key stands. */
static inline void ops_many(struct ops *ops)
{
    struct ops_key keys[OPS_MANY];
    struct ops_known next[OPS_MANY];
    struct l1_change changes[OPS_MANY];
    for (unsigned i = 0; i < OPS_MANY; i++) {
        ops_key_take(ops, &keys[i]);
        next[i] = ops_value(ops);
        const bool deletes = ops_byte(ops) % 4 == 0;
        next[i].stands = !deletes;
        changes[i] = (struct l1_change){
            keys[i].at.ns->l1, keys[i].at.at, L1_ANY,
            deletes ? NULL : ops_item(&keys[i], &next[i], ops_byte(ops) % 8 == 0)};
    }
    const bool is_done = ops_commit(ops, changes, OPS_MANY);
    for (unsigned i = 0; i < OPS_MANY; i++) {
        if (is_done) {
            *keys[i].known = next[i];
            if (!next[i].stands) {
                ops_forget(keys[i].known);
            }
        }
        item_release(changes[i].item);
    }
}

/* EXPIRE and PERSIST: the same value with another time. */
static inline void ops_expire(struct ops *ops)
{
    struct ops_key key;
    ops_key_take(ops, &key);
    struct item *seen = ops_hold(ops, &key);
    if (seen == NULL) {
        return;
    }
    struct ops_known next = *key.known;
    next.expire_at_ms = ops_expiry(ops);
    struct item *item = ops_item(&key, &next, false);
    const struct l1_change change = {key.at.ns->l1, key.at.at, seen, item};
    if (ops_commit(ops, &change, 1)) {
        *key.known = next;
    }
    item_release(item);
    item_release(seen);
}

/* --- reading through ------------------------------------------------------------------------------------------------ */

static inline int64_t ops_floor(struct ops *ops)
{
    switch (ops_byte(ops) % 4) {
    case 0: return 0;
    case 1: return ops->now_ms - ops_number(ops, 2000);
    case 2: return 1;
    default: return INT64_MAX;
    }
}

static inline void ops_claimed(const struct ops *ops, struct ops_known *known,
                               const struct l1_claim *claim)
{
    CHECK(claim->token != 0 && claim->token != known->token);
    known->token = claim->token;
    known->claimed_at_ms = ops->now_ms;
}

static inline void ops_ask(struct ops *ops)
{
    struct ops_key key;
    ops_key_take(ops, &key);
    ops_get(ops, &key); /* so that the map knows */
    struct ops_known *known = key.known;
    const struct l1_ask ask = {.now_ms = ops->now_ms,
                               .floor_ms = ops_floor(ops),
                               .generation = OPS_GENERATION,
                               .join_ms = OPS_JOIN_MS};
    struct l1_value value = {0};
    struct l1_claim claim;
    const bool is_good =
        known->stands && !ops_is_over(ops, known) && known->stamped_at_ms >= ask.floor_ms;
    const enum status status = l1_ask(key.at.ns->l1, &key.at.at, &ask, &value, &claim);
    CHECK((status == OK) == is_good);
    if (status == OK) {
        ops_same(known, value.bytes, value.expire_at_ms, value.stamped_at_ms);
        CHECK(value.is_hash == ops_is_hash(known));
        item_release(value.item);
        return;
    }
    const int64_t age_ms = ops->now_ms - known->claimed_at_ms;
    const bool joins = known->token != 0 && age_ms < OPS_JOIN_MS && age_ms > -OPS_JOIN_MS;
    CHECK(status == (joins ? TAKEN : CLAIMED));
    if (joins) {
        CHECK(claim.token == known->token);
    } else {
        ops_claimed(ops, known, &claim);
    }
}

static inline void ops_claim_suspect(struct ops *ops)
{
    struct ops_key key;
    ops_key_take(ops, &key);
    ops_get(ops, &key);
    const struct l1_ask ask = {.now_ms = ops->now_ms,
                               .floor_ms = ops_floor(ops),
                               .generation = OPS_GENERATION,
                               .join_ms = OPS_JOIN_MS,
                               .claims_known_only = true};
    const bool is_suspect = key.known->token == 0 && key.known->stands &&
                            !ops_is_over(ops, key.known) && key.known->stamped_at_ms < ask.floor_ms;
    struct item *suspect = NULL;
    struct l1_claim claim;
    const enum status status = l1_claim_unasked(key.at.ns->l1, &key.at.at, &ask, &suspect, &claim);
    CHECK((status == CLAIMED) == is_suspect);
    if (status == CLAIMED) {
        ops_same(key.known, item_value(suspect), item_expire_at_ms(suspect),
                 item_stamped_at_ms(suspect));
        ops_claimed(ops, key.known, &claim);
    }
    item_release(suspect);
}

/* A read lands: with the token that stands, or with one that does not. */
static inline void ops_fill(struct ops *ops)
{
    struct ops_key key;
    ops_key_take(ops, &key);
    struct ops_known next = ops_value(ops);
    next.stamped_at_ms = ops->now_ms - ops_number(ops, 100);
    const uint8_t kind = ops_byte(ops);
    const bool is_true = kind % 8 != 0 && key.known->token != 0;
    const struct l1_landing landing = {.token = is_true ? key.known->token : 12345,
                                       .generation = OPS_GENERATION,
                                       .install = kind % 16 != 1,
                                       .unused = kind % 2 == 0,
                                       .now_ms = ops->now_ms};
    struct item *item = ops_item(&key, &next, kind % 4 == 0);
    const enum status status = l1_fill(key.at.ns->l1, &key.at.at, &landing, item);
    CHECK(status == OK || status == STALE || status == TOO_BIG);
    CHECK(status != OK || (is_true && landing.install));
    CHECK(status != STALE || !is_true || !landing.install || ops_is_over(ops, &next));
    item_release(item);
    ops_forget(key.known);
    if (status == OK) {
        *key.known = next;
    }
}

static inline void ops_unclaim(struct ops *ops)
{
    struct ops_key key;
    ops_key_take(ops, &key);
    l1_unclaim(key.at.ns->l1, &key.at.at, key.known->token);
    key.known->token = 0;
}

static inline void ops_invalidate(struct ops *ops, uint8_t kind)
{
    struct ops_key key;
    ops_key_take(ops, &key);
    if (kind % 4 == 0) {
        (void)namespaces_forget(ops->spaces, key.at.at.bytes);
        for (unsigned db = 0; db < OPS_DBS; db++) {
            ops_forget(&ops->known[db][key.number]);
        }
        return;
    }
    if (kind % 4 == 1) {
        l1_land(key.at.ns->l1, &key.at.at);
    } else {
        (void)l1_invalidate(key.at.ns->l1, &key.at.at);
    }
    ops_forget(key.known);
}

/* --- what is held --------------------------------------------------------------------------------------------------- */

static inline void ops_let_go(struct ops_held *held)
{
    if (held->item == NULL) {
        return;
    }
    const struct ops_known like = {
        .fill = held->fill, .size = held->size, .expire_at_ms = held->expire_at_ms};
    char name[24];
    static const char *const prefixes[] = {"k:", "a:", "a:b:"};
    (void)snprintf(name, sizeof name, "%s%u", prefixes[held->key % 3], held->key);
    CHECK(slice_is(item_key(held->item), name));
    ops_same(&like, item_value(held->item), item_expire_at_ms(held->item), 0);
    item_release(held->item);
    held->item = NULL;
}

static inline void ops_keep(struct ops *ops)
{
    struct ops_key key;
    struct ops_held *held = &ops->held[ops_byte(ops) % OPS_HELD];
    ops_key_take(ops, &key);
    ops_let_go(held);
    struct item *item = ops_hold(ops, &key);
    if (item == NULL || key.known->stamped_at_ms != 0) {
        item_release(item);
        return;
    }
    *held = (struct ops_held){item, key.number, key.known->fill, key.known->size,
                              key.known->expire_at_ms};
}

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

static inline void ops_rest(struct ops *ops, uint8_t kind)
{
    switch (kind % 8) {
    case 0: ops_budget(ops); break;
    case 1: ops_policy(ops); break;
    case 2: ops_swap(ops); break;
    case 3:
        if (kind % 4 == 3 && ops_byte(ops) % 4 == 0) {
            ops_flush(ops, ops_byte(ops));
        }
        break;
    case 4: ops_rebuild(ops, ops_byte(ops), 4 << 20); break;
    case 5: ops_random(ops); break;
    case 6: l1_purge(namespaces_default(ops->spaces)->l1); break;
    default: ops_check(ops); break;
    }
}

static inline void ops_step(struct ops *ops)
{
    struct ops_key key;
    const uint8_t op = ops_byte(ops);
    switch (op % 32) {
    case 0: ops_rest(ops, ops_byte(ops)); break;
    case 1: ops_set(ops, true); break;
    case 2: ops_delete(ops); break;
    case 3:
    case 4: ops_rename(ops); break;
    case 5: ops_many(ops); break;
    case 6: ops_expire(ops); break;
    case 7:
    case 8: ops_ask(ops); break;
    case 9: ops_claim_suspect(ops); break;
    case 10:
    case 11:
    case 12: ops_fill(ops); break;
    case 13: ops_unclaim(ops); break;
    case 14: ops_invalidate(ops, op / 32); break;
    case 15:
    case 16: ops_keep(ops); break;
    case 17: ops_let_go(&ops->held[ops_byte(ops) % OPS_HELD]); break;
    case 18:
    case 19: (void)namespaces_sweep(ops->spaces, ops->now_ms, 1 + ops_byte(ops) % 64); break;
    case 20: ops_time(ops, ops_byte(ops)); break;
    case 21:
    case 22:
    case 23:
    case 24:
        ops_key_take(ops, &key);
        ops_get(ops, &key);
        break;
    default: ops_set(ops, false); break;
    }
}

/* --- the whole ------------------------------------------------------------------------------------------------------ */

static inline size_t ops_live(const struct l1 *l1)
{
    struct l1_stats stats;
    l1_stats(l1, &stats);
    return stats.bytes_live;
}

static inline void ops_end(struct ops *ops)
{
    ops_check(ops);
    for (unsigned i = 0; i < OPS_HELD; i++) {
        ops_let_go(&ops->held[i]);
    }
    ops_check(ops);
    namespaces_flush_all(ops->spaces);
    struct namespace *ns;
    for (unsigned at = 0; (ns = namespaces_next(ops->spaces, &at)) != NULL;) {
        l1_set_policy(ns->l1, &policy_lru, ops->now_ms);
        for (int i = 0; i < 20; i++) {
            (void)l1_sweep(ns->l1, ops->now_ms + i * 2000, 16);
        }
        CHECK(ops_live(ns->l1) == ops->empty_bytes);
        CHECK(atomic_load(&ns->l1->bytes_used) < ops->empty_bytes + (1 << 20));
    }
}

/* Returns how many entries were evicted. */
static inline uint64_t l1_ops_run(const uint8_t *data, size_t size)
{
    struct ops *ops = calloc(1, sizeof *ops);
    CHECK(ops != NULL);
    const struct namespace_spec specs[] = {ops_spec(0, 4 << 20), ops_spec(1, 4 << 20),
                                           ops_spec(2, 4 << 20)};
    ops->at = data;
    ops->left = size;
    ops->now_ms = OPS_T0;
    ops->latest_ms = OPS_T0;
    ops->spaces = namespaces_new(specs, 3, 1);
    CHECK(ops->spaces != NULL);
    struct namespace *ns;
    for (unsigned at = 0; (ns = namespaces_next(ops->spaces, &at)) != NULL;) {
        ops->empty_bytes = ops_live(ns->l1);
    }
    while (ops->left > 0) {
        ops_step(ops);
        ops->steps++;
    }
    const uint64_t evictions = ops_evictions(ops);
    ops_end(ops);
    namespaces_free(ops->spaces);
    free(ops);
    return evictions;
}

#endif
