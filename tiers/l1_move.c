/* SPDX-License-Identifier: BSD-3-Clause */
/* Moving house: what happens to the entries of an L1 when namespaces come, go, or change their prefixes. */
#include "protocol/check.h"
#include "tiers/l1_shard.h"

/* Entries on their way from one L1 to another. */
struct moved {
    unsigned count;
    const struct policy *policy; /* that made the words */
    int64_t now_ms;
    struct item *items[L1_LET_GO_MAX];
    uint32_t words[L1_LET_GO_MAX];
    int64_t idle_ms[L1_LET_GO_MAX];
    uint16_t kept[L1_LET_GO_MAX];
};

/* Takes out of the chain what has its home elsewhere. False: `moved` is full and some may be left. */
static bool take_from_chain(struct l1 *l1, struct l1_shard *shard, struct l1_place place,
                            l1_home_fn *home, const void *arg, struct moved *moved)
{
    const struct item *item;
    while ((item = l1_place_item(&place)) != NULL) {
        if (home(arg, item_key(item)) == l1) {
            l1_place_next(&place);
            continue;
        }
        if (moved->count == L1_LET_GO_MAX) {
            return false;
        }
        const uint32_t word = l1_place_word(&place);
        const int64_t idle_ms = shard->policy->idle_ms(shard->memory, word, moved->now_ms);
        moved->words[moved->count] = word;
        moved->idle_ms[moved->count] = idle_ms > 0 ? idle_ms : 0;
        moved->kept[moved->count] = shard->policy->keep(shard->memory, word, moved->now_ms);
        moved->items[moved->count++] = l1_remove(shard, &place);
    }
    return true;
}

/* A copy in the memory of its new home. Kin number their databases alike, so the item stands as it is. */
static void bring_home(struct l1 *l1, const struct moved *moved, unsigned i)
{
    const struct item *item = moved->items[i];
    uint64_t hash = l1_hash(l1, item_key(item));
    struct l1_shard *shard = l1_lock(l1, hash);
    if (arena_base_ms(shard->arena) == 0) {
        arena_set_base_ms(shard->arena, arena_base_ms(arena_of(item)));
    }
    uint32_t word = moved->words[i];
    if (!l1_same_word(moved->policy, shard->policy)) {
        const bool alike = policy_keeps_alike(moved->policy, shard->policy);
        word = shard->policy->adopt(
            shard->memory,
            &(struct policy_former){.size = item_footprint(item),
                                    .idle_ms = moved->idle_ms[i],
                                    .now_ms = moved->now_ms,
                                    .kept = alike ? moved->kept[i] : POLICY_KEPT_NONE});
    }
    struct item *copy = item_copy_in(shard->arena, item);
    if (copy != NULL && l1_insert(shard, hash, copy, word) != OK) {
        item_release_in(shard->arena, copy);
    }
    l1_unlock(l1, shard);
}

static void resettle(struct l1 *from, struct l1_shard *shard, struct moved *moved, l1_home_fn *home,
                     const void *arg, bool keep)
{
    for (unsigned i = 0; i < moved->count; i++) {
        const struct item *item = moved->items[i];
        if (keep && !l1_is_claim(item)) {
            bring_home(home(arg, item_key(item)), moved, i);
        }
    }
    l1_lock_shard(shard);
    for (unsigned i = 0; i < moved->count; i++) {
        l1_bury(shard, moved->items[i]);
    }
    l1_unlock(from, shard);
}

static void move_shard(struct l1 *l1, struct l1_shard *shard, l1_home_fn *home, const void *arg,
                       bool keep, int64_t now_ms)
{
    uint64_t cursor = 0;
    bool done = false;
    while (!done) {
        struct moved taken;
        taken.count = 0;
        taken.now_ms = now_ms;
        l1_lock_shard(shard);
        taken.policy = shard->policy;
        l1_watches_end(shard);
        struct l1_place chain = l1_table_chain(&shard->table, cursor);
        if (take_from_chain(l1, shard, chain, home, arg, &taken)) {
            cursor = l1_table_cursor_next(&shard->table, cursor);
            done = cursor == 0;
        } /* else the same chain again, with an empty `taken` */
        l1_unlock(l1, shard);
        resettle(l1, shard, &taken, home, arg, keep);
    }
}

void l1_move(struct l1 *l1, l1_home_fn *home, const void *arg, bool keep, int64_t now_ms)
{
    CHECK_MAGIC(l1, L1_MAGIC);
    for (unsigned i = 0; i < l1->shard_count; i++) {
        move_shard(l1, &l1->shards[i], home, arg, keep, now_ms);
    }
}
