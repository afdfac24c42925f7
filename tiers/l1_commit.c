/* SPDX-License-Identifier: BSD-3-Clause */
/* Writing without an L2: compare and swap over any number of keys, in one L1 or several.
 *
 * All shards concerned are locked, in the one order, before the first comparison and until the last change. Only the
 * insertion of a new key can fail (for want of memory), so insertions come first, and are taken back if one fails. */
#include "protocol/check.h"
#include "tiers/l1_shard.h"

#include <stdlib.h>

struct commit {
    const struct l1_change *changes;
    size_t count;
    int64_t now_ms;
    struct l1_locks locks;
    struct item *
        *replaced; /* what left the table, to be released after unlocking: at most one per change */
    size_t replaced_count;
};

static bool live_value(const struct item *item, int64_t now_ms)
{
    return !l1_is_claim(item) && !item_expired(item, now_ms);
}

/* Whether the entry found (`before`, NULL if none) is what the change wants to have seen. */
static bool seen_stands(const struct l1_change *change, struct item *before, int64_t now_ms)
{
    if (change->seen == L1_ANY) {
        return true;
    }
    return change->seen == (before != NULL && live_value(before, now_ms) ? before : NULL);
}

/* Makes an item ready to stand for the key. One that stands already (a change that only compares) stays as it is. */
static struct item *adopt(struct l1_shard *shard, const struct l1_change *change,
                          const struct item *before, int64_t now_ms)
{
    struct item *item = change->item;
    const struct policy *policy = l1_policy_now(change->l1);
    bool known = before != NULL && live_value(before, now_ms);
    item_set_db(item, l1_db_stored(change->l1, change->key.db));
    item->use =
        known ? policy->touch(before->use, now_ms, rand_next(&shard->rand)) : policy->first(now_ms);
    return item_ref(item);
}

static struct l1_shard *shard_at(const struct commit *commit, size_t i)
{
    const struct l1_change *change = &commit->changes[i];
    return &change->l1->shards[l1_shard_of(change->l1, change->key.hash)];
}

/* Applies one change; hands back what left the table, or NULL. NO_MEMORY only if the key is new to the table. */
static enum status apply(struct l1_shard *shard, const struct l1_change *change, int64_t now_ms,
                         struct item **ret_replaced)
{
    struct l1_place place;
    bool found = l1_find(change->l1, shard, &change->key, &place);
    struct item *before = found ? l1_place_item(&place) : NULL;
    *ret_replaced = NULL;
    if (before == change->item) {
        return OK; /* both NULL, or the item stands already */
    }
    if (change->item == NULL) {
        *ret_replaced = l1_remove(shard, &place);
        return OK;
    }
    struct item *item = adopt(shard, change, before, now_ms);
    if (found) {
        *ret_replaced = l1_replace(shard, place, item);
        return OK;
    }
    enum status status = l1_insert(shard, change->key.hash, item);
    if (status != OK) {
        item_release(item); /* the caller's own reference remains */
    }
    return status;
}

static enum status commit_one(const struct l1_change *change, int64_t now_ms)
{
    struct l1 *l1 = change->l1;
    struct l1_dead dead;
    dead.count = 0;
    struct l1_place place;
    struct item *replaced = NULL;
    struct l1_shard *shard = l1_lock(l1, change->key.hash);
    enum status status = AGAIN;
    bool found = change->seen != L1_ANY && l1_find(l1, shard, &change->key, &place);
    if (seen_stands(change, found ? l1_place_item(&place) : NULL, now_ms)) {
        status = apply(shard, change, now_ms, &replaced);
    }
    if (replaced != NULL) {
        l1_bury(&dead, replaced);
    }
    l1_unlock(l1, shard);
    l1_dead_release(&dead);
    return status;
}

/* --- many --------------------------------------------------------------------------------------------------------- */

static bool all_seen_stand(const struct commit *commit)
{
    for (size_t i = 0; i < commit->count; i++) {
        struct l1_place place;
        bool found =
            l1_find(commit->changes[i].l1, shard_at(commit, i), &commit->changes[i].key, &place);
        if (!seen_stands(&commit->changes[i], found ? l1_place_item(&place) : NULL,
                         commit->now_ms)) {
            return false;
        }
    }
    return true;
}

/* Until all new keys are in, `replaced` notes which changes put one in. */
static void take_back(const struct commit *commit, size_t end)
{
    for (size_t i = 0; i < end; i++) {
        struct l1_place place;
        if (commit->replaced[i] != NULL) {
            CHECK(l1_find(commit->changes[i].l1, shard_at(commit, i), &commit->changes[i].key,
                          &place));
            item_release(
                l1_remove(shard_at(commit, i), &place)); /* the caller's own reference remains */
        }
    }
}

static enum status insert_new_keys(const struct commit *commit)
{
    for (size_t i = 0; i < commit->count; i++) {
        const struct l1_change *change = &commit->changes[i];
        struct l1_place place;
        commit->replaced[i] = NULL;
        if (change->item == NULL ||
            l1_find(change->l1, shard_at(commit, i), &change->key, &place)) {
            continue;
        }
        struct item *none;
        enum status status = apply(shard_at(commit, i), change, commit->now_ms, &none);
        if (status != OK) {
            take_back(commit, i);
            return status;
        }
        commit->replaced[i] = change->item;
        /* The table grows with the keys, not after them: half a million keys in one MSET would otherwise stand in
         * chains of thousands until the end. Nothing was removed yet, so nothing needs the spare buckets. */
        l1_table_settle(&shard_at(commit, i)->table, 2);
    }
    return OK;
}

static void apply_all(struct commit *commit)
{
    for (size_t i = 0; i < commit->count; i++) {
        struct item *replaced;
        /* Cannot fail: new keys are in, and a key that an earlier change of this commit removed goes back in without
         * memory (l1_table_insert). */
        CHECK(apply(shard_at(commit, i), &commit->changes[i], commit->now_ms, &replaced) == OK);
        if (replaced != NULL) {
            commit->replaced[commit->replaced_count++] = replaced;
        }
    }
}

static void release_replaced(struct commit *commit)
{
    for (size_t i = 0; i < commit->replaced_count; i++) {
        struct l1_dead dead;
        dead.count = 0;
        l1_bury(&dead, commit->replaced[i]);
        l1_dead_release(&dead);
    }
}

/* What each L1 gets and which of its shards are concerned. */
static void note_changes(struct commit *commit)
{
    for (size_t i = 0; i < commit->count; i++) {
        const struct l1_change *change = &commit->changes[i];
        CHECK_MAGIC(change->l1, L1_MAGIC);
        struct l1_lock_set *set = l1_locks_at(&commit->locks, change->l1);
        set->shards |= UINT64_C(1) << l1_shard_of(change->l1, change->key.hash);
        if (change->item != NULL) {
            CHECK(item_key(change->item).size == change->key.bytes.size);
            set->added += item_footprint(change->item);
            set->last = change;
        }
    }
}

static bool all_fit(const struct commit *commit)
{
    for (unsigned i = 0; i < commit->locks.count; i++) {
        const struct l1_lock_set *set = &commit->locks.sets[i];
        if (set->added > atomic_load_explicit(&set->l1->bytes_max, memory_order_relaxed)) {
            return false;
        }
    }
    return true;
}

static void evict_all(const struct commit *commit)
{
    for (unsigned i = 0; i < commit->locks.count; i++) {
        const struct l1_lock_set *set = &commit->locks.sets[i];
        if (set->last != NULL) {
            l1_evict(set->l1, set->last->key.hash, set->last->item, set->added, commit->now_ms);
        }
    }
}

static enum status commit_many(const struct l1_change *changes, size_t count, int64_t now_ms)
{
    struct commit commit;
    commit.changes = changes;
    commit.count = count;
    commit.now_ms = now_ms;
    commit.locks.count = 0;
    commit.replaced_count = 0;
    note_changes(&commit);
    if (!all_fit(&commit)) {
        return TOO_BIG;
    }
    commit.replaced = malloc(count * sizeof *commit.replaced);
    if (commit.replaced == NULL) {
        return NO_MEMORY;
    }
    l1_locks_take(&commit.locks);
    enum status status = AGAIN;
    if (all_seen_stand(&commit)) {
        status = insert_new_keys(&commit);
    }
    if (status == OK) {
        apply_all(&commit);
    }
    l1_locks_release(&commit.locks);
    release_replaced(&commit);
    free(commit.replaced);
    if (status == OK) {
        evict_all(&commit);
    }
    return status;
}

static enum status commit_and_evict(const struct l1_change *change, int64_t now_ms)
{
    struct l1 *l1 = change->l1;
    CHECK_MAGIC(l1, L1_MAGIC);
    size_t added = 0;
    if (change->item != NULL) {
        CHECK(item_key(change->item).size == change->key.bytes.size);
        added = item_footprint(change->item);
    }
    if (added > atomic_load_explicit(&l1->bytes_max, memory_order_relaxed)) {
        return TOO_BIG;
    }
    enum status status = commit_one(change, now_ms);
    if (status == OK && change->item != NULL) {
        l1_evict(l1, change->key.hash, change->item, added, now_ms);
    }
    return status;
}

enum status l1_commit(const struct l1_change *changes, size_t count, int64_t now_ms)
{
    if (count == 0) {
        return OK;
    }
    return count == 1 ? commit_and_evict(changes, now_ms) : commit_many(changes, count, now_ms);
}
