/* SPDX-License-Identifier: BSD-3-Clause */
/* Moving house: what happens to the entries of an L1 when namespaces come, go, or change their prefixes. */
#include "protocol/check.h"
#include "tiers/l1_shard.h"

/* Takes out of the chain what has its home elsewhere. False: `dead` is full and some may be left. */
static bool take_from_chain(struct l1 *l1, struct l1_shard *shard, struct l1_place place,
                            l1_home_fn *home, const void *arg, struct l1_dead *dead)
{
    const struct item *item;
    while ((item = l1_place_item(&place)) != NULL) {
        if (home(arg, item_key(item)) == l1) {
            l1_place_next(&place);
            continue;
        }
        if (l1_dead_full(dead)) {
            return false;
        }
        l1_bury(dead, l1_remove(shard, &place));
    }
    return true;
}

/* Takes over the reference. Kin number their databases alike, so the item stands as it is. */
static void bring_home(struct l1 *l1, struct item *item)
{
    uint64_t hash = l1_hash(l1, item_key(item));
    struct l1_shard *shard = l1_lock(l1, hash);
    enum status status = l1_insert(shard, hash, item);
    l1_unlock(l1, shard);
    if (status != OK) {
        item_release(item);
    }
}

static void resettle(struct l1_dead *taken, l1_home_fn *home, const void *arg)
{
    struct l1_dead rest;
    rest.count = 0;
    for (unsigned i = 0; i < taken->count; i++) {
        struct item *item = taken->items[i];
        if (l1_is_claim(item)) {
            l1_bury(&rest, item);
        } else {
            bring_home(home(arg, item_key(item)), item);
        }
    }
    taken->count = 0;
    l1_dead_release(&rest);
}

static void move_shard(struct l1 *l1, struct l1_shard *shard, l1_home_fn *home, const void *arg,
                       bool keep)
{
    uint64_t cursor = 0;
    bool done = false;
    while (!done) {
        struct l1_dead taken;
        taken.count = 0;
        l1_lock_shard(shard);
        struct l1_place chain = l1_table_chain(&shard->table, cursor);
        if (take_from_chain(l1, shard, chain, home, arg, &taken)) {
            cursor = l1_table_cursor_next(&shard->table, cursor);
            done = cursor == 0;
        } /* else the same chain again, with an empty `taken` */
        l1_unlock(l1, shard);
        if (keep) {
            resettle(&taken, home, arg);
        }
        l1_dead_release(&taken);
    }
}

void l1_move(struct l1 *l1, l1_home_fn *home, const void *arg, bool keep)
{
    CHECK_MAGIC(l1, L1_MAGIC);
    for (unsigned i = 0; i < l1->shard_count; i++) {
        move_shard(l1, &l1->shards[i], home, arg, keep);
    }
}
