/* SPDX-License-Identifier: BSD-3-Clause */
/* l1_ops_keys.h -- of l1_ops.h: what is done with one key or a few: written, read, claimed, filled, held. */
#ifndef TERRACE_TESTS_UNIT_L1_OPS_KEYS_H
#define TERRACE_TESTS_UNIT_L1_OPS_KEYS_H

#include "tests/unit/l1_ops_known.h"

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

#endif
