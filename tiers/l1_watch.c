/* SPDX-License-Identifier: BSD-3-Clause */
/* Watching keys: who asked hears of any change, even of one that was undone.
 *
 * That the same item stands says nothing of a key that was not there, came, and went. So watches are in a table of their
 * shard, and the three functions through which all changes of a table go, and l1_put where it writes over a value, look
 * there; a shard without watches has no table. */
#include "tiers/l1_shard.h"

#include <stdlib.h>

enum {
    WATCH_BUCKETS = 64
};

struct l1_watches {
    size_t count;
    struct list buckets[WATCH_BUCKETS]; /* by hash */
};

static struct list *bucket_of(struct l1_watches *watches, uint64_t hash)
{
    return &watches->buckets[hash & (WATCH_BUCKETS - 1)];
}

static struct l1_watches *watches_new(void)
{
    struct l1_watches *watches = malloc(sizeof *watches);
    if (watches != NULL) {
        watches->count = 0;
        for (unsigned i = 0; i < WATCH_BUCKETS; i++) {
            list_init(&watches->buckets[i]);
        }
    }
    return watches;
}

enum status l1_watch(struct l1 *l1, struct l1_watch *watch, const struct l1_key *key,
                     int64_t now_ms)
{
    struct l1_shard *shard = l1_lock(l1, key->hash);
    struct l1_place place;
    (void)l1_find_live(l1, shard, key, now_ms, &place); /* what has expired is no key */
    if (shard->watches == NULL) {
        shard->watches = watches_new();
    }
    if (shard->watches != NULL) {
        *watch = (struct l1_watch){.l1 = l1, .key = *key, .stored = l1_db_stored(l1, key->db)};
        list_push_back(bucket_of(shard->watches, key->hash), &watch->in_shard);
        shard->watches->count++;
    }
    const enum status status = shard->watches != NULL ? OK : NO_MEMORY;
    l1_unlock(l1, shard);
    return status;
}

/* Under the lock. */
static void leave(struct l1_shard *shard, struct l1_watch *watch)
{
    list_remove(&watch->in_shard);
    watch->l1 = NULL;
    if (--shard->watches->count == 0) {
        free(shard->watches);
        shard->watches = NULL;
    }
}

void l1_unwatch(struct l1_watch *watch)
{
    if (watch->l1 != NULL) {
        struct l1_shard *shard = l1_lock(watch->l1, watch->key.hash);
        leave(shard, watch);
        l1_unlock_unchanged(shard);
    }
}

bool l1_watch_touched(struct l1_watch *watch, int64_t now_ms)
{
    if (watch->l1 == NULL) {
        return true; /* its L1 has changed with the namespaces */
    }
    struct l1_shard *shard = l1_lock(watch->l1, watch->key.hash);
    struct l1_place place;
    (void)l1_find_live(watch->l1, shard, &watch->key, now_ms, &place); /* it goes if it is over */
    const bool touched = watch->touched;
    l1_unlock(watch->l1, shard);
    return touched;
}

void l1_touch_watches(struct l1_shard *shard, const struct item *item)
{
    const struct slice key = item_key(item);
    const uint64_t hash = hash_key(shard->table.secret, key);
    const struct list *bucket = bucket_of(shard->watches, hash);
    for (struct list *node = bucket->next; node != bucket; node = node->next) {
        struct l1_watch *watch = LIST_ENTRY(node, struct l1_watch, in_shard);
        if (watch->key.hash == hash && watch->stored == item_db(item) &&
            slice_equal(watch->key.bytes, key)) {
            watch->touched = true;
        }
    }
}

/* Whether it stands in the database that is stored under that number. */
static bool stands(const struct l1_shard *shard, const struct l1_watch *watch, uint8_t stored)
{
    struct l1_place place;
    return l1_table_find(&shard->table, watch->key.hash, stored, watch->key.bytes, &place);
}

/* What has expired is no key, so that nothing changes if it comes: it goes at once. */
static void end_expired(struct l1_shard *shard, const struct l1_watch *watch, uint8_t stored,
                        int64_t now_ms)
{
    struct l1_place place;
    if (l1_table_find(&shard->table, watch->key.hash, stored, watch->key.bytes, &place) &&
        !l1_is_claim(l1_place_item(&place)) && item_expired(l1_place_item(&place), now_ms)) {
        l1_bury(shard, l1_remove(shard, &place));
        shard->expirations++;
    }
}

static void swap_bucket(const struct l1 *l1, struct l1_shard *shard, const struct list *bucket,
                        int64_t now_ms)
{
    for (struct list *node = bucket->next; node != bucket; node = node->next) {
        struct l1_watch *watch = LIST_ENTRY(node, struct l1_watch, in_shard);
        const uint8_t stored = l1_db_stored(l1, watch->key.db);
        if (stored != watch->stored) {
            end_expired(shard, watch, stored, now_ms);
            watch->touched = watch->touched || stands(shard, watch, stored) ||
                             stands(shard, watch, watch->stored);
            watch->stored = stored;
        }
    }
}

void l1_watches_swapped(struct l1 *l1, int64_t now_ms)
{
    for (unsigned i = 0; i < l1->shard_count; i++) {
        struct l1_shard *shard = &l1->shards[i];
        for (unsigned at = 0; shard->watches != NULL && at < WATCH_BUCKETS; at++) {
            swap_bucket(l1, shard, &shard->watches->buckets[at], now_ms);
        }
    }
}

void l1_watches_end(struct l1_shard *shard)
{
    for (unsigned at = 0; shard->watches != NULL && at < WATCH_BUCKETS; at++) {
        const struct list *bucket = &shard->watches->buckets[at];
        while (shard->watches != NULL && !list_empty(bucket)) {
            leave(shard, LIST_ENTRY(bucket->next, struct l1_watch, in_shard));
        }
    }
}
