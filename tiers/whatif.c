/* SPDX-License-Identifier: BSD-3-Clause */
/* The sample: which keys are in it, what happens to them, and what comes of it. */
#include "tiers/whatif.h"

#include "tiers/whatif_sims.h"

#include <stdlib.h>

enum {
    MEMORY_SHARE = 100,   /* of the memory, so much may be the table's */
    ROWS_PER_ITEM = 6,    /* four for the largest simulator, and what only others hold */
    CROWDED_EIGHTHS = 7,  /* of the slots in use */
    EXPECTED_EIGHTHS = 6, /* of the slots for what a full L1 asks for */
    RANK_SHIFT = 48,
    RANKS = 1 << 16,
    SWEEP_ROWS = 64,
};

struct whatif {
    struct whatif_options options;
    struct whatif_sims sims;
    uint32_t ranks;   /* the sample: keys of lower rank; 1..RANKS, a power of two */
    bool was_crowded; /* that fell for want of slots, so it does not rise any more */
    unsigned tidied;  /* the span that is next */
    unsigned settled; /* the row that is next */
    int64_t pass_began_ms;
    uint64_t requests;
    struct whatif_truth begin; /* when the window began */
    struct whatif_truth faded; /* what is left of before */
};

/* --- life --------------------------------------------------------------------------------------------------------- */

struct whatif *whatif_new(const struct whatif_options *options)
{
    struct whatif *whatif = calloc(1, sizeof *whatif);
    if (whatif == NULL) {
        return NULL;
    }
    whatif->options = *options;
    whatif->options.window = options->window > 0 ? options->window : WHATIF_WINDOW;
    whatif->ranks = RANKS;
    if (whatif_sims_init(&whatif->sims, options->arena, options->policy, options->seed) != OK) {
        whatif_free(whatif);
        return NULL;
    }
    return whatif;
}

void whatif_free(struct whatif *whatif)
{
    if (whatif != NULL) {
        whatif_sims_done(&whatif->sims);
        whatif_table_done(&whatif->sims.table);
        free(whatif);
    }
}

unsigned whatif_slots_for(size_t bytes_max)
{
    const size_t slots = bytes_max / MEMORY_SHARE / WHATIF_SLOT_BYTES;
    if (slots >= WHATIF_SLOTS_MAX) {
        return WHATIF_SLOTS_MAX;
    }
    return slots < WHATIF_SLOTS_LEAST ? 0 : 1U << (31 - __builtin_clz((unsigned)slots));
}

size_t whatif_memory_least(void)
{
    return (size_t)WHATIF_SLOTS_LEAST * WHATIF_SLOT_BYTES * MEMORY_SHARE;
}

unsigned whatif_slots(const struct whatif *whatif)
{
    return whatif->options.slots;
}

size_t whatif_bytes(const struct whatif *whatif)
{
    return (size_t)whatif->sims.table.slots * WHATIF_SLOT_BYTES + whatif_sims_bytes(&whatif->sims);
}

uint64_t whatif_limit(const struct whatif *whatif)
{
    return whatif->ranks == RANKS ? UINT64_MAX : (uint64_t)whatif->ranks << RANK_SHIFT;
}

static uint32_t rank_of(uint64_t hash)
{
    return (uint32_t)(hash >> RANK_SHIFT);
}

/* --- the size of the sample --------------------------------------------------------------------------------------- */

static double share(const struct whatif *whatif)
{
    return (double)whatif->ranks / RANKS;
}

static void drop_ranks(struct whatif *whatif)
{
    const struct whatif_table *table = &whatif->sims.table;
    for (unsigned slot = 0; slot < table->slots;) {
        if (table->prints[slot] != 0 && table->rows[slot].rank >= whatif->ranks) {
            whatif_sims_end(&whatif->sims, (int)slot);
            whatif_table_drop(&whatif->sims.table, (int)slot); /* another may have come here */
        } else {
            slot++;
        }
    }
}

static void set_ranks(struct whatif *whatif, const struct whatif_full *full)
{
    const unsigned slots = whatif->sims.table.slots;
    const double expected = (double)full->items * ROWS_PER_ITEM * share(whatif);
    const double room = (double)slots / 8 * EXPECTED_EIGHTHS;
    const bool is_crowded = whatif->sims.table.used >= slots / 8 * CROWDED_EIGHTHS;
    if ((expected > room || is_crowded) && whatif->ranks > 1) {
        whatif->was_crowded |= is_crowded;
        whatif->ranks /= 2;
        drop_ranks(whatif);
    } else if (expected < room / 4 && whatif->ranks < RANKS && !whatif->was_crowded) {
        whatif->ranks *= 2;
    }
}

/* Frees the rows of a span that nobody holds. */
static void tidy(struct whatif *whatif)
{
    const unsigned begin = whatif->tidied * WHATIF_SPAN;
    for (unsigned slot = begin; slot < begin + WHATIF_SPAN;) {
        if (whatif->sims.table.prints[slot] != 0 && whatif->sims.table.held[slot] == 0) {
            whatif_table_drop(&whatif->sims.table, (int)slot);
        } else {
            slot++;
        }
    }
    whatif->tidied = (whatif->tidied + 1) % (whatif->sims.table.slots / WHATIF_SPAN);
}

/* Before a value is put in: nothing moves until it is. False: not in the sample (any more), or no memory. */
static bool prepare(struct whatif *whatif, const struct whatif_note *note)
{
    if (whatif->sims.table.slots == 0 &&
        whatif_table_init(&whatif->sims.table, whatif->options.arena, whatif->options.slots) !=
            OK) {
        return false;
    }
    tidy(whatif);
    set_ranks(whatif, &note->full);
    whatif_sims_set_budget(&whatif->sims, (double)note->full.bytes * share(whatif));
    return rank_of(note->hash) < whatif->ranks &&
           whatif->sims.table.used < whatif->sims.table.slots - 1;
}

/* --- what happens ------------------------------------------------------------------------------------------------- */

/* The slot of the key, if anybody may hold it. */
static int find(struct whatif *whatif, const struct whatif_note *note)
{
    if (whatif->sims.table.slots == 0) {
        return WHATIF_NO_SLOT;
    }
    const int slot = whatif_table_find(&whatif->sims.table, whatif_print(note->hash, note->db));
    if (slot != WHATIF_NO_SLOT) {
        whatif_sims_expire(&whatif->sims, slot, note->now_ms);
    }
    return slot;
}

static uint16_t holders(const struct whatif *whatif, int slot)
{
    return slot == WHATIF_NO_SLOT ? 0 : whatif->sims.table.held[slot];
}

static void count(struct whatif *whatif, unsigned missing)
{
    whatif->requests++;
    for (; missing != 0; missing &= missing - 1) {
        whatif->sims.at[__builtin_ctz(missing)].misses++;
    }
}

static int add_row(struct whatif *whatif, const struct whatif_note *note)
{
    const int slot = whatif_table_add(&whatif->sims.table, whatif_print(note->hash, note->db));
    whatif->sims.table.rows[slot].rank = (uint16_t)rank_of(note->hash);
    whatif->sims.table.rows[slot].db = note->db;
    whatif_sims_set_value(&whatif->sims, slot, note->size, note->expire_at_ms, false);
    return slot;
}

static void note_hit(struct whatif *whatif, const struct whatif_note *note)
{
    int slot = find(whatif, note);
    const unsigned missing = whatif->sims.all & ~(unsigned)holders(whatif, slot);
    count(whatif, missing);
    if (slot != WHATIF_NO_SLOT) {
        whatif_sims_touch(&whatif->sims, slot, 0, note->now_ms);
    }
    if (missing == 0 || !prepare(whatif, note)) {
        return;
    }
    slot = find(whatif, note); /* rows may have moved */
    if (slot == WHATIF_NO_SLOT) {
        slot = add_row(whatif, note);
    } else if (holders(whatif, slot) == 0) {
        whatif_sims_set_value(&whatif->sims, slot, note->size, note->expire_at_ms, false);
    }
    whatif->sims.table.rows[slot].asked = false;
    whatif_sims_admit(&whatif->sims, missing, slot, note->now_ms);
}

static void note_miss(struct whatif *whatif, const struct whatif_note *note)
{
    const int slot = find(whatif, note);
    count(whatif, whatif->sims.all & ~(unsigned)holders(whatif, slot));
    if (holders(whatif, slot) != 0) {
        whatif_sims_touch(&whatif->sims, slot, 0, note->now_ms);
        whatif->sims.table.rows[slot].asked = true;
    }
}

static void note_suspect(struct whatif *whatif, const struct whatif_note *note)
{
    const int slot = find(whatif, note);
    count(whatif, whatif->sims.all);
    if (slot != WHATIF_NO_SLOT) {
        whatif->sims.table.rows[slot].asked = false;
    }
}

static void note_write(struct whatif *whatif, const struct whatif_note *note)
{
    if (!prepare(whatif, note)) {
        return;
    }
    int slot = find(whatif, note);
    const unsigned missing = whatif->sims.all & ~(unsigned)holders(whatif, slot);
    if (slot == WHATIF_NO_SLOT) {
        slot = add_row(whatif, note);
    } else {
        const bool fetched = whatif->sims.table.rows[slot].asked;
        if (!fetched) {
            whatif_sims_touch(&whatif->sims, slot, note->size, note->now_ms);
        }
        whatif_sims_set_value(&whatif->sims, slot, note->size, note->expire_at_ms, fetched);
        whatif_sims_shrink(&whatif->sims, slot, note->now_ms);
        whatif->sims.table.rows[slot].asked = false;
    }
    whatif_sims_admit(&whatif->sims, missing, slot, note->now_ms);
}

void whatif_note(struct whatif *whatif, const struct whatif_note *note)
{
    int slot;
    switch (note->event) {
    case WHATIF_HIT: note_hit(whatif, note); break;
    case WHATIF_MISS: note_miss(whatif, note); break;
    case WHATIF_SUSPECT: note_suspect(whatif, note); break;
    case WHATIF_WRITE: note_write(whatif, note); break;
    case WHATIF_REFRESH:
        slot = find(whatif, note);
        if (slot != WHATIF_NO_SLOT) {
            whatif_sims_set_value(&whatif->sims, slot, note->size, note->expire_at_ms, false);
        }
        break;
    case WHATIF_END:
        slot = find(whatif, note);
        if (slot != WHATIF_NO_SLOT) {
            whatif_sims_end(&whatif->sims, slot);
        }
        break;
    }
}

void whatif_flush(struct whatif *whatif, int db)
{
    for (unsigned slot = 0; slot < whatif->sims.table.slots; slot++) {
        if (db < 0 || whatif->sims.table.rows[slot].db == db) {
            whatif_sims_end(&whatif->sims, (int)slot);
        }
    }
}

void whatif_sweep(struct whatif *whatif, int64_t now_ms)
{
    if (whatif->sims.table.slots == 0) {
        return;
    }
    if (whatif->settled == 0) {
        if (now_ms - whatif->pass_began_ms < POLICY_SETTLE_MS / 2) {
            return;
        }
        whatif->pass_began_ms = now_ms;
    }
    for (unsigned i = 0; i < SWEEP_ROWS; i++) {
        whatif_sims_settle(&whatif->sims, (int)whatif->settled, now_ms);
        whatif->settled = (whatif->settled + 1) & (whatif->sims.table.slots - 1);
    }
}

void whatif_set_policy(struct whatif *whatif, const struct policy *policy)
{
    whatif->options.policy = policy;
    whatif_sims_set_policy(&whatif->sims, policy);
}

/* --- what comes of it --------------------------------------------------------------------------------------------- */

bool whatif_is_due(const struct whatif *whatif)
{
    return whatif->requests >= whatif->options.window;
}

static struct whatif_truth truth_in_window(const struct whatif *whatif,
                                           const struct whatif_truth *truth)
{
    return (struct whatif_truth){
        .hits = whatif->faded.hits + truth->hits - whatif->begin.hits,
        .misses = whatif->faded.misses + truth->misses - whatif->begin.misses,
    };
}

void whatif_fade(struct whatif *whatif, const struct whatif_truth *truth)
{
    whatif->faded = truth_in_window(whatif, truth);
    whatif->faded.hits /= 2;
    whatif->faded.misses /= 2;
    whatif->begin = *truth;
    whatif->requests /= 2;
    for (unsigned i = 0; i < whatif->sims.count; i++) {
        whatif->sims.at[i].misses /= 2;
    }
}

void whatif_restart(struct whatif *whatif, const struct whatif_truth *truth)
{
    whatif->faded = (struct whatif_truth){0};
    whatif->begin = *truth;
    whatif->requests = 0;
    for (unsigned i = 0; i < whatif->sims.count; i++) {
        whatif->sims.at[i].misses = 0;
    }
}

void whatif_report(const struct whatif *whatif, const struct whatif_truth *truth,
                   struct whatif_report *ret)
{
    const struct whatif_truth seen = truth_in_window(whatif, truth);
    const double requests = (double)(seen.hits + seen.misses);
    const double own = (double)whatif->sims.at[whatif->sims.own].misses;
    *ret = (struct whatif_report){
        .requests = whatif->requests, .share = share(whatif), .policy = whatif->options.policy};
    if (whatif->requests == 0 || seen.hits + seen.misses == 0) {
        ret->requests = 0;
        return;
    }
    ret->hit_ratio = (double)seen.hits / requests;
    ret->simulated = 1 - own / (double)whatif->requests;
    for (unsigned i = 0; i < whatif->sims.count; i++) {
        const double misses = (double)whatif->sims.at[i].misses;
        const double miss_ratio =
            own > 0 ? misses / own * (double)seen.misses / requests
                    : (double)seen.misses / requests + misses / (double)whatif->requests;
        const double hit_ratio = miss_ratio < 1 ? 1 - miss_ratio : 0;
        if (i < whatif->sims.policies) {
            ret->at_policy[i] = hit_ratio;
        } else {
            ret->at_scale[i - whatif->sims.policies] = hit_ratio;
        }
    }
}
