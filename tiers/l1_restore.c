/* SPDX-License-Identifier: BSD-3-Clause */
/* What outlives the process (snapshot.h): every value of an L1 with what its policy knows of it, and back. */
#include "protocol/check.h"
#include "tiers/l1_shard.h"

#include <stdlib.h>

enum {
    SURVEY_ROOM = 64 /* values that are looked at under one lock; longer chains need memory */
};

/* --- out ------------------------------------------------------------------------------------------------------------ */

/* The values of one chain, each with a reference. */
struct sights {
    size_t count;
    struct l1_sight *all; /* `first`, or memory of its own */
    struct l1_sight first[SURVEY_ROOM];
};

static bool sights_reserve(struct sights *sights, struct l1_place place)
{
    size_t length = 0;
    for (; l1_place_item(&place) != NULL; l1_place_next(&place)) {
        length++;
    }
    sights->count = 0;
    sights->all = length <= SURVEY_ROOM ? sights->first : malloc(length * sizeof(struct l1_sight));
    return sights->all != NULL;
}

/* What clients call each database that an item may have (item_db), since SWAPDB. */
static void read_databases(const struct l1 *l1, uint8_t ret_shown[LIMIT_DATABASES])
{
    for (uint8_t db = 0; db < LIMIT_DATABASES; db++) {
        ret_shown[l1_db_stored(l1, db)] = db;
    }
}

static void sights_take(struct sights *sights, const struct l1 *l1, const struct l1_shard *shard,
                        struct l1_place place, int64_t now_ms)
{
    struct item *item;
    uint8_t shown[LIMIT_DATABASES];
    read_databases(l1, shown);
    for (; (item = l1_place_item(&place)) != NULL; l1_place_next(&place)) {
        if (!l1_is_claim(item) && !item_expired(item, now_ms)) {
            const uint32_t word = l1_place_word(&place);
            sights->all[sights->count++] = (struct l1_sight){
                .item = item_ref(item),
                .db = shown[item_db(item)],
                .idle_ms = shard->policy->idle_ms(shard->memory, word, now_ms),
                .hotness = shard->policy->hotness(shard->memory, word, now_ms),
                .kept = shard->policy->keep(shard->memory, word, now_ms),
            };
        }
    }
}

static void sights_show(struct sights *sights, l1_sight_fn *visit, void *arg)
{
    for (size_t i = 0; i < sights->count; i++) {
        visit(arg, &sights->all[i]);
        item_release(sights->all[i].item);
    }
    if (sights->all != sights->first) {
        free(sights->all);
    }
}

static enum status survey_shard(struct l1 *l1, struct l1_shard *shard, int64_t now_ms,
                                l1_sight_fn *visit, void *arg)
{
    uint64_t cursor = 0;
    do {
        struct sights sights;
        l1_lock_shard(shard);
        const struct l1_place place = l1_table_chain(&shard->table, cursor);
        const bool has_room = sights_reserve(&sights, place);
        if (has_room) {
            sights_take(&sights, l1, shard, place, now_ms);
            cursor = l1_table_cursor_next(&shard->table, cursor);
        }
        l1_unlock_unchanged(shard);
        if (!has_room) {
            return NO_MEMORY;
        }
        sights_show(&sights, visit, arg);
    } while (cursor != 0);
    return OK;
}

enum status l1_survey(struct l1 *l1, int64_t now_ms, l1_sight_fn *visit, void *arg)
{
    CHECK_MAGIC(l1, L1_MAGIC);
    enum status status = OK;
    for (unsigned i = 0; i < l1->shard_count && status == OK; i++) {
        status = survey_shard(l1, &l1->shards[i], now_ms, visit, arg);
    }
    return status;
}

/* --- and back ------------------------------------------------------------------------------------------------------- */

static bool has_room(const struct l1 *l1, size_t footprint)
{
    const size_t used = atomic_load_explicit(&l1->bytes_used, memory_order_relaxed);
    const size_t max = atomic_load_explicit(&l1->bytes_max, memory_order_relaxed);
    return used <= max && footprint <= max - used;
}

/* On the base that later items count from. */
static struct item *item_of(struct l1_shard *shard, const struct item_spec *spec,
                            struct slice value, int64_t now_ms)
{
    l1_tell_time(shard, now_ms);
    return item_write(item_new_in(shard->arena, spec), value);
}

enum status l1_restore(struct l1 *l1, uint64_t hash, const struct item_spec *spec,
                       struct slice value, const struct l1_past *past, int64_t now_ms)
{
    const struct l1_key key = {.bytes = spec->key, .hash = hash, .db = spec->db};
    struct l1_place place;
    struct l1_shard *shard = l1_lock(l1, hash);
    enum status status = l1_find(l1, shard, &key, &place) ? TAKEN : OK;
    struct item *item = status == OK ? item_of(shard, spec, value, now_ms) : NULL;
    if (status == OK && item == NULL) {
        status = NO_MEMORY;
    } else if (status == OK && !has_room(l1, item_footprint(item))) {
        status = TOO_BIG;
    } else if (status == OK) {
        item_set_db(item, l1_db_stored(l1, spec->db));
        const struct policy_former former = {.size = item_footprint(item),
                                             .idle_ms = past->idle_ms,
                                             .now_ms = now_ms,
                                             .kept = past->kept};
        status = l1_insert(shard, hash, item, shard->policy->adopt(shard->memory, &former));
    }
    if (status != OK && item != NULL) {
        item_release_in(shard->arena, item);
    }
    l1_unlock(l1, shard);
    return status;
}
