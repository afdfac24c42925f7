/* SPDX-License-Identifier: BSD-3-Clause */
/* Writing without an L2: compare and swap over any number of keys, in one L1 or several; and one value whatever stands.
 *
 * All shards concerned are locked, in the one order, before the first comparison and until the last change. Only the
 * insertion of a new key can fail (for want of memory), so insertions come first, and are taken back if one fails. */
#include "protocol/check.h"
#include "tiers/l1_shard.h"

#include <stdlib.h>

enum {
    PUT_BUDGET_MIN = 128 << 10, /* below, a single item may be too big */
};

struct commit {
    const struct l1_change *changes;
    size_t count;
    int64_t now_ms;
    struct l1_locks locks;
    bool *inserted; /* of each change: it brought a new key */
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

/* What the policy says of the entry: used, or new. */
static uint32_t word_after(struct l1_shard *shard, const struct l1_change *change,
                           const struct l1_place *place, int64_t now_ms)
{
    const struct item *before = place == NULL ? NULL : l1_place_item(place);
    const bool known = before != NULL && live_value(before, now_ms);
    return known ? l1_word_used(shard, l1_place_word(place), change->item, now_ms)
                 : l1_word_first(shard, change->key.hash, change->item, now_ms);
}

static struct l1_shard *shard_at(const struct commit *commit, size_t i)
{
    const struct l1_change *change = &commit->changes[i];
    return &change->l1->shards[l1_shard_of(change->l1, change->key.hash)];
}

/* Applies one change where the key stands (`place`, NULL: nowhere). NO_MEMORY only if the key is new to the table. */
static enum status apply(struct l1_shard *shard, const struct l1_change *change,
                         struct l1_place *place, int64_t now_ms)
{
    l1_tell_time(shard, now_ms);
    struct item *before = place == NULL ? NULL : l1_place_item(place);
    struct item *item = change->item;
    if (item == NULL) {
        l1_note(change->l1, shard, &change->key, WHATIF_END, NULL, now_ms);
    }
    if (before == item) {
        return OK; /* both NULL, or the item stands already */
    }
    if (item == NULL) {
        l1_bury(shard, l1_remove(shard, place));
        return OK;
    }
    l1_note(change->l1, shard, &change->key, WHATIF_WRITE, item, now_ms);
    uint32_t word = word_after(shard, change, place, now_ms);
    item_set_db(item, l1_db_stored(change->l1, change->key.db));
    item_ref(item);
    if (place != NULL) {
        l1_bury(shard, l1_replace(shard, *place, item));
        l1_place_set_word(place, word);
        return OK;
    }
    enum status status = l1_insert(shard, change->key.hash, item, word);
    if (status != OK) {
        item_release_in(shard->arena, item); /* the caller's own reference remains */
    }
    return status;
}

static enum status commit_one(const struct l1_change *change, int64_t now_ms)
{
    struct l1 *l1 = change->l1;
    struct l1_place place;
    struct l1_shard *shard = l1_lock(l1, change->key.hash);
    enum status status = AGAIN;
    bool found = l1_find(l1, shard, &change->key, &place);
    if (seen_stands(change, found ? l1_place_item(&place) : NULL, now_ms)) {
        status = apply(shard, change, found ? &place : NULL, now_ms);
    }
    l1_unlock(l1, shard);
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

static void take_back(const struct commit *commit, size_t end)
{
    for (size_t i = 0; i < end; i++) {
        struct l1_place place;
        if (commit->inserted[i]) {
            CHECK(l1_find(commit->changes[i].l1, shard_at(commit, i), &commit->changes[i].key,
                          &place));
            l1_bury(shard_at(commit, i), l1_remove(shard_at(commit, i), &place));
        }
    }
}

static enum status insert_new_keys(const struct commit *commit)
{
    for (size_t i = 0; i < commit->count; i++) {
        const struct l1_change *change = &commit->changes[i];
        struct l1_place place;
        commit->inserted[i] = false;
        if (change->item == NULL ||
            l1_find(change->l1, shard_at(commit, i), &change->key, &place)) {
            continue;
        }
        enum status status = apply(shard_at(commit, i), change, NULL, commit->now_ms);
        if (status != OK) {
            take_back(commit, i);
            return status;
        }
        commit->inserted[i] = true;
        /* The table grows with the keys, not after them: half a million keys in one MSET would otherwise stand in
         * chains of thousands until the end. Nothing was removed yet, so nothing needs the spare buckets. */
        l1_table_settle(&shard_at(commit, i)->table, 2);
    }
    return OK;
}

static void apply_all(const struct commit *commit)
{
    for (size_t i = 0; i < commit->count; i++) {
        /* Cannot fail: new keys are in, and a key that an earlier change of this commit removed goes back in without
         * memory (l1_table_insert). */
        const struct l1_change *change = &commit->changes[i];
        struct l1_place place;
        bool found = l1_find(change->l1, shard_at(commit, i), &change->key, &place);
        CHECK(apply(shard_at(commit, i), change, found ? &place : NULL, commit->now_ms) == OK);
    }
}

/* Bytes of what the change replaces, if it says what that is. */
static size_t freed_by(const struct l1_change *change)
{
    return change->seen != NULL && change->seen != L1_ANY ? item_footprint(change->seen) : 0;
}

/* Whether the bytes may come: always, but for what is too large or a policy that finds no room for more. */
static bool fits(struct l1 *l1, uint64_t shards, size_t added, size_t freed, int64_t now_ms)
{
    return added <= atomic_load_explicit(&l1->bytes_max, memory_order_relaxed) &&
           l1_make_room(l1, shards, added > freed ? added - freed : 0, now_ms);
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
        set->freed += freed_by(change);
    }
}

static bool all_fit(const struct commit *commit)
{
    for (unsigned i = 0; i < commit->locks.count; i++) {
        const struct l1_lock_set *set = &commit->locks.sets[i];
        if (set->last != NULL &&
            !fits(set->l1, set->shards, set->added, set->freed, commit->now_ms)) {
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
    note_changes(&commit);
    if (!all_fit(&commit)) {
        return TOO_BIG;
    }
    commit.inserted = malloc(count * sizeof *commit.inserted);
    if (commit.inserted == NULL) {
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
    free(commit.inserted);
    if (status == OK) {
        evict_all(&commit);
    }
    return status;
}

/* What has no room here might have some elsewhere. */
static void note_refused(const struct l1_change *change, int64_t now_ms)
{
    struct l1_shard *shard = l1_lock(change->l1, change->key.hash);
    if (change->item != NULL) {
        l1_note(change->l1, shard, &change->key, WHATIF_WRITE, change->item, now_ms);
    }
    l1_unlock(change->l1, shard);
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
    const uint64_t shards = UINT64_C(1) << l1_shard_of(l1, change->key.hash);
    if (!fits(l1, shards, added, freed_by(change), now_ms)) {
        note_refused(change, now_ms);
        return TOO_BIG;
    }
    enum status status = commit_one(change, now_ms);
    if (status == OK && change->item != NULL) {
        l1_evict(l1, change->key.hash, change->item, added, now_ms);
    }
    return status;
}

/* --- items made elsewhere ---------------------------------------------------------------------------------------- */

/* Whether the item lies in the memory where it is to stand. If not, namespaces have changed since it was made, or its maker
 * did not know its home. */
static bool is_at_home(const struct l1_change *change)
{
    const struct l1 *l1 = change->l1;
    return change->item == NULL ||
           item_is_in(change->item, l1->shards[l1_shard_of(l1, change->key.hash)].arena);
}

static bool all_at_home(const struct l1_change *changes, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        CHECK_MAGIC(changes[i].l1, L1_MAGIC);
        if (!is_at_home(&changes[i])) {
            return false;
        }
    }
    return true;
}

static enum status commit_as_they_are(const struct l1_change *changes, size_t count, int64_t now_ms)
{
    return count == 1 ? commit_and_evict(changes, now_ms) : commit_many(changes, count, now_ms);
}

static struct item *copy_home(const struct l1_change *change)
{
    struct l1_shard *shard = l1_lock(change->l1, change->key.hash);
    struct item *copy = item_copy_in(shard->arena, change->item);
    l1_unlock(change->l1, shard);
    return copy;
}

static enum status commit_copies(const struct l1_change *changes, size_t count, int64_t now_ms)
{
    enum status status = OK;
    size_t done = 0;
    struct l1_change *own = malloc(count * sizeof *own);
    if (own == NULL) {
        return NO_MEMORY;
    }
    for (; done < count && status == OK; done++) {
        own[done] = changes[done];
        if (changes[done].item != NULL) {
            own[done].item = is_at_home(&changes[done]) ? item_ref(changes[done].item)
                                                        : copy_home(&changes[done]);
            status = own[done].item == NULL ? NO_MEMORY : OK;
        }
    }
    if (status == OK) {
        status = commit_as_they_are(own, count, now_ms);
    }
    for (size_t i = 0; i < done; i++) {
        item_release(own[i].item);
    }
    free(own);
    return status;
}

enum status l1_commit(const struct l1_change *changes, size_t count, int64_t now_ms)
{
    if (count == 0) {
        return OK;
    }
    return all_at_home(changes, count) ? commit_as_they_are(changes, count, now_ms)
                                       : commit_copies(changes, count, now_ms);
}

/* --- one value ---------------------------------------------------------------------------------------------------- */

/* Writes over the value that stands, if nobody else can be reading it and the new one takes just as much: then a write
 * touches what a read does, and the arena not at all. */
static bool overwrite(struct l1_shard *shard, const struct l1_key *key,
                      const struct l1_place *place, const struct item_spec *spec,
                      struct slice value, int64_t now_ms)
{
    struct item *item = l1_place_item(place);
    const bool lives = live_value(item, now_ms);
    const bool expired_before = item_expire_at_ms(item) != ITEM_NEVER;
    if (l1_is_claim(item) || !item_rebuild_in(shard->arena, item, spec)) {
        return false;
    }
    (void)item_write(item, value);
    l1_touch(shard, item);
    const bool expires = spec->expire_at_ms != ITEM_NEVER;
    if (expires != expired_before) {
        shard->count_expiring[spec->db] += expires ? 1 : UINT64_MAX;
        l1_table_replace(*place, item); /* whoever samples the slot must know */
    }
    l1_place_set_word(place, lives ? l1_word_used(shard, l1_place_word(place), item, now_ms)
                                   : l1_word_first(shard, key->hash, item, now_ms));
    return true;
}

/* By building, then committing: what is large is not copied under the lock, and a policy that refuses makes room first. */
static enum status put_apart(struct l1 *l1, const struct l1_key *key, const struct item_spec *spec,
                             struct slice value, int64_t now_ms)
{
    struct item *item = item_write(l1_item_new(l1, key->hash, spec), value);
    if (item == NULL) {
        return NO_MEMORY;
    }
    const struct l1_change change = {.l1 = l1, .key = *key, .seen = L1_ANY, .item = item};
    enum status status = commit_and_evict(&change, now_ms);
    item_release(item);
    return status;
}

enum status l1_put(struct l1 *l1, const struct l1_key *key, struct slice value,
                   int64_t expire_at_ms, int64_t now_ms)
{
    struct item_spec spec = {
        .key = key->bytes, .value_size = value.size, .expire_at_ms = expire_at_ms, .db = key->db};
    struct l1_change change = {.l1 = l1, .key = *key, .seen = L1_ANY};
    if (expire_at_ms != ITEM_NEVER && expire_at_ms <= now_ms) {
        return l1_commit(&change, 1, now_ms);
    }
    if (value.size > LIMIT_COPY ||
        atomic_load_explicit(&l1->bytes_max, memory_order_relaxed) < PUT_BUDGET_MIN) {
        return put_apart(l1, key, &spec, value, now_ms);
    }
    struct l1_place place;
    struct l1_shard *shard = l1_lock(l1, key->hash);
    const bool found = l1_find(l1, shard, key, &place);
    l1_tell_time(shard, now_ms);
    spec.db = l1_db_stored(l1, key->db);
    if (found && overwrite(shard, key, &place, &spec, value, now_ms)) {
        l1_unlock_unchanged(shard);
        return OK;
    }
    if (shard->policy->refuses) {
        l1_unlock_unchanged(shard);
        spec.db = key->db;
        return put_apart(l1, key, &spec, value, now_ms);
    }
    change.item = item_write(item_new_in(shard->arena, &spec), value);
    enum status status = NO_MEMORY;
    size_t added = 0;
    if (change.item != NULL) {
        added = item_footprint(change.item);
        status = apply(shard, &change, found ? &place : NULL, now_ms);
        item_release_in(shard->arena, change.item); /* the table has its own */
    }
    l1_unlock(l1, shard);
    if (status == OK && l1_over_budget(l1)) {
        /* The item is compared only: it may be gone. */
        l1_evict(l1, key->hash, change.item, added, now_ms);
    }
    return status;
}
