/* SPDX-License-Identifier: BSD-3-Clause */
#include "tiers/l1_shard.h"

#include <stdlib.h>
#include <string.h>

/* Buckets that one operation may add or merge away. Two would do for single changes; batches (evictions, flushes)
 * take out up to L1_LET_GO_MAX entries at once, which is work for about as many half-empty buckets. */
enum {
    SETTLE_STEPS = 32,
    ROOMY_LOG = 3, /* an arena is roomy while an eighth of the budget is free */
};

void l1_bury(struct l1_shard *shard, struct item *entry)
{
    if (l1_is_claim(entry)) {
        item_release_in(shard->arena, l1_claim_read(entry).suspect);
    }
    item_release_in(shard->arena, entry);
}

void l1_unlock(struct l1 *l1, struct l1_shard *shard)
{
    l1_table_settle(&shard->table, SETTLE_STEPS);
    if (shard->table.entries == 0 && shard->memory != NULL) {
        policy_ghost_settle(&shard->memory->ghost, 0, 0);
    }
    arena_collect(shard->arena);
    (void)arena_trim(shard->arena, ARENA_TRIM_SOME);
    size_t bytes = arena_bytes(shard->arena);
    size_t published = atomic_load_explicit(&shard->bytes_published, memory_order_relaxed);
    if (bytes != published) {
        /* Unsigned wrap-around makes this a subtraction when the shard has shrunk. */
        size_t used =
            atomic_fetch_add_explicit(&l1->bytes_used, bytes - published, memory_order_relaxed) +
            bytes - published;
        atomic_store_explicit(&shard->bytes_published, bytes, memory_order_relaxed);
        size_t bytes_max = atomic_load_explicit(&l1->bytes_max, memory_order_relaxed);
        arena_set_roomy(shard->arena, used + (bytes_max >> ROOMY_LOG) < bytes_max);
    }
    struct arena_region *doomed = arena_take_doomed(shard->arena);
    lock_release(&shard->lock);
    arena_unmap(doomed);
}

bool l1_still_lives(struct l1_shard *shard, struct l1_place *place, int64_t now_ms)
{
    const struct item *item = l1_place_item(place);
    if (l1_is_claim(item) || !item_expired(item, now_ms)) {
        return true;
    }
    l1_bury(shard, l1_remove(shard, place));
    shard->expirations++;
    return false;
}

/* --- counters ----------------------------------------------------------------------------------------------------- */

static void count_in(struct l1_shard *shard, const struct item *item)
{
    if (l1_is_claim(item)) {
        shard->claims++;
    } else {
        shard->count[item_db(item)]++;
        shard->count_expiring[item_db(item)] += item_expire_at_ms(item) != ITEM_NEVER;
    }
}

static void count_out(struct l1_shard *shard, const struct item *item)
{
    if (l1_is_claim(item)) {
        shard->claims--;
    } else {
        shard->count[item_db(item)]--;
        shard->count_expiring[item_db(item)] -= item_expire_at_ms(item) != ITEM_NEVER;
    }
}

enum status l1_insert(struct l1_shard *shard, uint64_t hash, struct item *item, uint32_t word)
{
    enum status status = l1_table_insert(&shard->table, hash, item, word);
    if (status == OK) {
        count_in(shard, item);
        l1_touch(shard, item);
    }
    return status;
}

struct item *l1_replace(struct l1_shard *shard, struct l1_place place, struct item *item)
{
    struct item *before = l1_place_item(&place);
    count_out(shard, before);
    l1_table_replace(place, item);
    count_in(shard, item);
    l1_touch(shard, item);
    return before;
}

struct item *l1_remove(struct l1_shard *shard, struct l1_place *place)
{
    struct item *before = l1_place_item(place);
    l1_touch(shard, before);
    l1_table_remove(&shard->table, place);
    count_out(shard, before);
    return before;
}

void l1_tell_listener(const struct l1_shard *shard, const struct item *item)
{
    const struct slice key = item_key(item);
    shard->listener->on_change(shard->listener->arg, key, hash_key(shard->table.secret, key));
}

struct l1_claim_body l1_claim_read(const struct item *claim)
{
    struct l1_claim_body body;
    memcpy(&body, item_value(claim).data, sizeof body);
    return body;
}

void l1_claim_write(struct item *claim, const struct l1_claim_body *body)
{
    memcpy(item_value_room(claim), body, sizeof *body);
}

/* --- many locks at once ------------------------------------------------------------------------------------------- */

struct l1_lock_set *l1_locks_at(struct l1_locks *locks, struct l1 *l1)
{
    for (unsigned i = locks->count; i > 0; i--) {
        if (locks->sets[i - 1].l1 == l1) {
            return &locks->sets[i - 1];
        }
    }
    CHECK(locks->count < L1_KIN_MAX);
    locks->sets[locks->count] = (struct l1_lock_set){.l1 = l1};
    return &locks->sets[locks->count++];
}

static int by_address(const void *a, const void *b)
{
    uintptr_t first = (uintptr_t)((const struct l1_lock_set *)a)->l1;
    uintptr_t second = (uintptr_t)((const struct l1_lock_set *)b)->l1;
    return (first > second) - (first < second);
}

void l1_locks_take(struct l1_locks *locks)
{
    if (locks->count > 1) {
        qsort(locks->sets, locks->count, sizeof locks->sets[0], by_address);
    }
    for (unsigned i = 0; i < locks->count; i++) {
        struct l1 *l1 = locks->sets[i].l1;
        for (uint64_t left = locks->sets[i].shards; left != 0; left &= left - 1) {
            l1_lock_shard(&l1->shards[__builtin_ctzll(left)]);
        }
    }
}

void l1_locks_release(const struct l1_locks *locks)
{
    for (unsigned i = 0; i < locks->count; i++) {
        struct l1 *l1 = locks->sets[i].l1;
        for (uint64_t left = locks->sets[i].shards; left != 0; left &= left - 1) {
            l1_unlock(l1, &l1->shards[__builtin_ctzll(left)]);
        }
    }
}
