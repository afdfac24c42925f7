/* SPDX-License-Identifier: BSD-3-Clause */
/* What L1 tells its simulators, and what they need to know of it. They are in the first shard, under its lock; what is
 * asked of the others is read without theirs. */
#include "tiers/l1_shard.h"

static struct whatif_truth truth_of(const struct l1 *l1)
{
    struct whatif_truth truth = {0};
    for (unsigned i = 0; i < l1->shard_count; i++) {
        truth.hits += atomic_load_explicit(&l1->shards[i].hits, memory_order_relaxed);
        truth.misses += atomic_load_explicit(&l1->shards[i].misses, memory_order_relaxed);
    }
    return truth;
}

/* The shard as it is, for as much more as L1 is from full. What the simulators take themselves is no room for items in
 * any of the sizes that are compared. */
static struct whatif_full full_of(const struct l1 *l1, const struct l1_shard *shard)
{
    const size_t ghosts = shard->memory != NULL ? policy_memory_bytes(shard->memory) : 0;
    const size_t own = whatif_bytes(shard->whatif);
    const size_t bytes = arena_bytes(shard->arena);
    const size_t used = atomic_load_explicit(&l1->bytes_used, memory_order_relaxed);
    const size_t all = used > bytes ? used : bytes; /* what has just come is not in `used` yet */
    const size_t max = atomic_load_explicit(&l1->bytes_max, memory_order_relaxed);
    const size_t beside = arena_slack(shard->arena) + ghosts + own;
    if (max <= own || all <= own || bytes <= beside) {
        return (struct whatif_full){0};
    }
    const double times = (double)(max - own) / (double)(all - own);
    return (struct whatif_full){.bytes = (size_t)((double)(bytes - beside) * times),
                                .items = (size_t)((double)shard->table.entries * times)};
}

void l1_whatif_note(struct l1 *l1, struct l1_shard *shard, const struct l1_key *key,
                    enum whatif_event event, const struct item *item, int64_t now_ms)
{
    const struct whatif_note note = {
        .event = event,
        .db = l1_db_stored(l1, key->db),
        .hash = key->hash,
        .size = item != NULL ? item_footprint(item) : 0,
        .expire_at_ms = item != NULL ? item_expire_at_ms(item) : ITEM_NEVER,
        .now_ms = now_ms,
        .full = item != NULL ? full_of(l1, shard) : (struct whatif_full){0},
    };
    whatif_note(shard->whatif, &note);
    shard->whatif_limit = whatif_limit(shard->whatif);
    if (whatif_is_due(shard->whatif)) {
        const struct whatif_truth truth = truth_of(l1);
        whatif_fade(shard->whatif, &truth);
    }
}

void l1_whatif_forget(struct l1_shard *shard, uint64_t hash)
{
    for (uint8_t db = 0; hash < shard->whatif_limit && db < LIMIT_DATABASES; db++) {
        whatif_note(shard->whatif,
                    &(struct whatif_note){.event = WHATIF_END, .db = db, .hash = hash});
    }
}

void l1_whatif_flush(struct l1_shard *shard, uint8_t db)
{
    if (shard->whatif != NULL) {
        whatif_flush(shard->whatif, db == L1_DB_ANY ? -1 : db);
    }
}

static void restart(const struct l1 *l1, const struct l1_shard *shard)
{
    if (shard->whatif != NULL) {
        const struct whatif_truth truth = truth_of(l1);
        whatif_restart(shard->whatif, &truth);
    }
}

void l1_whatif_switch(struct l1 *l1, struct l1_shard *shard)
{
    if (shard->whatif != NULL) {
        whatif_set_policy(shard->whatif, shard->policy);
        restart(l1, shard);
    }
}

/* --- on and off --------------------------------------------------------------------------------------------------- */

static unsigned slots_wanted(const struct l1 *l1)
{
    if (!l1->whatif_wanted || l1->whatif_setting.slots > 0) {
        return l1->whatif_wanted ? l1->whatif_setting.slots : 0;
    }
    return whatif_slots_for(atomic_load_explicit(&l1->bytes_max, memory_order_relaxed));
}

/* Makes the simulators what they should be. Those that are already stay, and what they have counted. */
static void fit(struct l1 *l1, struct l1_shard *shard)
{
    const unsigned slots = slots_wanted(l1);
    if (slots == (shard->whatif != NULL ? whatif_slots(shard->whatif) : 0)) {
        return;
    }
    whatif_free(shard->whatif);
    shard->whatif = slots == 0
                        ? NULL
                        : whatif_new(&(struct whatif_options){.policy = shard->policy,
                                                              .arena = shard->arena,
                                                              .slots = slots,
                                                              .window = l1->whatif_setting.window,
                                                              .seed = rand_next(&shard->rand)});
    shard->whatif_limit = shard->whatif != NULL ? whatif_limit(shard->whatif) : 0;
    restart(l1, shard);
}

void l1_set_whatif(struct l1 *l1, const struct l1_whatif_setting *setting)
{
    struct l1_shard *shard = l1_lock(l1, 0);
    l1->whatif_wanted = setting != NULL;
    l1->whatif_setting = setting != NULL ? *setting : (struct l1_whatif_setting){0};
    fit(l1, shard);
    l1_unlock(l1, shard);
}

void l1_whatif_resize(struct l1 *l1)
{
    struct l1_shard *shard = l1_lock(l1, 0);
    fit(l1, shard);
    l1_unlock(l1, shard);
}

void l1_restart_whatif(struct l1 *l1)
{
    struct l1_shard *shard = l1_lock(l1, 0);
    restart(l1, shard);
    l1_unlock(l1, shard);
}

enum status l1_whatif(struct l1 *l1, struct whatif_report *ret_report)
{
    struct l1_shard *shard = l1_lock(l1, 0);
    const struct whatif_truth truth = truth_of(l1);
    const enum status status = shard->whatif != NULL ? OK : MISS;
    if (status == OK) {
        whatif_report(shard->whatif, &truth, ret_report);
    }
    l1_unlock(l1, shard);
    return status;
}
