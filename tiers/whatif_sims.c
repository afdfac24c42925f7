/* SPDX-License-Identifier: BSD-3-Clause */
#include "tiers/whatif_sims.h"

#include "protocol/check.h"
#include "tiers/policy_memory.h"
#include "tiers/policy_tick.h"

enum {
    TRACK_TICK = 0,
    TRACK_SCALES = WHATIF_TRACKS - WHATIF_SCALES,
    DRAWS = 64,
    TRIES_SPARSE = 8,  /* of policies that find no victim at times */
    VICTIMS_MAX = 256, /* per value that comes: a large one among small ones has to find its room */
    PLACE_BYTES = 14,  /* of the table of L1, for an item (l1_table.h) */
};

const double whatif_scales[WHATIF_SCALES] = {0.5, 2, 4};

/* --- life --------------------------------------------------------------------------------------------------------- */

static bool is_tick(const struct policy *policy)
{
    return policy->first == policy_tick_first;
}

static void track_join(struct whatif_sims *sims, unsigned sim, unsigned track)
{
    sims->at[sim].track = track;
    sims->tracks[track].sims |= (uint16_t)(1U << sim);
    sims->tracks[track].policy = sims->at[sim].policy;
}

/* Simulators of the policies, whose tracks are the first ones. */
static void join_policies(struct whatif_sims *sims)
{
    const struct policy *policy;
    unsigned tracks = TRACK_TICK + 1;
    for (unsigned i = 0; (policy = policy_at(i)) != NULL; i++) {
        CHECK(i < WHATIF_POLICIES_MAX);
        sims->at[i] = (struct whatif_sim){.policy = policy, .scale = 1};
        track_join(sims, i, is_tick(policy) ? TRACK_TICK : tracks++);
        sims->policies = i + 1;
    }
    CHECK(tracks <= TRACK_SCALES);
    sims->count = sims->policies + WHATIF_SCALES;
    sims->all = (uint16_t)((1U << sims->count) - 1);
}

static void join_scales(struct whatif_sims *sims, const struct policy *policy)
{
    for (unsigned i = 0; i < sims->policies; i++) {
        sims->own = sims->at[i].policy == policy ? i : sims->own;
    }
    for (unsigned i = 0; i < WHATIF_SCALES; i++) {
        struct whatif_sim *sim = &sims->at[sims->policies + i];
        sim->policy = policy;
        sim->scale = whatif_scales[i];
        track_join(sims, sims->policies + i, is_tick(policy) ? TRACK_TICK : TRACK_SCALES + i);
    }
}

enum status whatif_sims_init(struct whatif_sims *sims, struct arena *arena,
                             const struct policy *policy, uint64_t seed)
{
    rand_seed(&sims->rand, seed);
    join_policies(sims);
    join_scales(sims, policy);
    for (unsigned i = TRACK_TICK + 1; i < WHATIF_TRACKS; i++) {
        struct whatif_track *track = &sims->tracks[i];
        const bool remembers = track->policy != NULL && track->policy->remembers;
        if (remembers || i >= TRACK_SCALES) { /* the scales' policy may change */
            track->memory = policy_memory_new(arena);
            if (track->memory == NULL) {
                return NO_MEMORY;
            }
        }
    }
    return OK;
}

void whatif_sims_done(struct whatif_sims *sims)
{
    for (unsigned i = 0; i < WHATIF_TRACKS; i++) {
        policy_memory_free(sims->tracks[i].memory);
    }
}

size_t whatif_sims_bytes(const struct whatif_sims *sims)
{
    size_t bytes = 0;
    for (unsigned i = 0; i < WHATIF_TRACKS; i++) {
        const struct policy_memory *memory = sims->tracks[i].memory;
        bytes += memory != NULL ? sizeof *memory + policy_memory_bytes(memory) : 0;
    }
    return bytes;
}

void whatif_sims_set_policy(struct whatif_sims *sims, const struct policy *policy)
{
    for (unsigned i = 0; i < WHATIF_SCALES; i++) {
        struct whatif_track *track = &sims->tracks[sims->at[sims->policies + i].track];
        track->sims &= (uint16_t) ~(1U << (sims->policies + i));
        policy_memory_reset(sims->tracks[TRACK_SCALES + i].memory);
    }
    join_scales(sims, policy);
}

void whatif_sims_set_budget(struct whatif_sims *sims, double bytes)
{
    for (unsigned i = 0; i < sims->count; i++) {
        struct whatif_sim *sim = &sims->at[i];
        struct policy_memory *memory = sims->tracks[sim->track].memory;
        sim->budget = (size_t)(bytes * sim->scale);
        if (memory != NULL) {
            policy_memory_set_budget(memory, sim->budget);
        }
    }
}

/* --- evicting ----------------------------------------------------------------------------------------------------- */

static size_t bytes_held(const struct whatif_sim *sim)
{
    return sim->bytes + sim->held * PLACE_BYTES;
}

static void let_go(struct whatif_sims *sims, unsigned i, int slot)
{
    struct whatif_sim *sim = &sims->at[i];
    sims->table.held[slot] &= (uint16_t) ~(1U << i);
    sim->bytes -= sims->table.rows[slot].size;
    sim->held--;
}

/* When it expires for the simulator. */
static int64_t expiry_of(const struct whatif_row *row, unsigned sim)
{
    return (row->old >> sim & 1) != 0 ? row->old_expire_at_ms : row->expire_at_ms;
}

static bool is_over(int64_t expire_at_ms, int64_t now_ms)
{
    return expire_at_ms != 0 && now_ms >= expire_at_ms;
}

struct choice {
    unsigned sim;
    int keep; /* not this slot */
    int64_t now_ms;
    uint64_t noise;
    unsigned seen;
    uint64_t best;
    int victim;
};

static void consider(const struct whatif_sims *sims, struct choice *choice, int slot)
{
    const struct whatif_sim *sim = &sims->at[choice->sim];
    const struct whatif_row *row = &sims->table.rows[slot];
    const int64_t expire_at_ms = expiry_of(row, choice->sim);
    choice->seen++;
    if (is_over(expire_at_ms, choice->now_ms)) {
        choice->best = UINT64_MAX;
        choice->victim = slot;
        return;
    }
    choice->noise = policy_noise_next(choice->noise);
    const struct policy_candidate candidate = {
        .word = row->words[sim->track], .expire_at_ms = expire_at_ms, .noise = choice->noise};
    const uint64_t score =
        sim->policy->score(sims->tracks[sim->track].memory, &candidate, choice->now_ms);
    if (score > choice->best) {
        choice->best = score;
        choice->victim = slot;
    }
}

static void consider_span(const struct whatif_sims *sims, struct choice *choice, unsigned span)
{
    const unsigned bit = 1U << choice->sim;
    for (unsigned slot = span * WHATIF_SPAN; slot < (span + 1) * WHATIF_SPAN; slot++) {
        if ((sims->table.held[slot] & bit) != 0 && (int)slot != choice->keep) {
            consider(sims, choice, (int)slot);
        }
    }
}

/* Where few are held draws find few: then one span after the other is looked at, until there are enough. */
static int find_victim(struct whatif_sims *sims, struct choice *choice)
{
    const unsigned spans = sims->table.slots / WHATIF_SPAN;
    const struct policy *policy = sims->at[choice->sim].policy;
    const unsigned samples = policy_samples(policy);
    const unsigned tries = policy->refuses ? TRIES_SPARSE : 1;
    choice->victim = WHATIF_NO_SLOT;
    choice->best = 0;
    for (unsigned i = 0; i < tries && choice->victim == WHATIF_NO_SLOT; i++) {
        choice->seen = 0;
        choice->noise = rand_next(&sims->rand);
        for (unsigned draw = 0; draw < DRAWS && choice->seen < samples; draw++) {
            consider_span(sims, choice, (unsigned)rand_below(&sims->rand, spans));
        }
    }
    unsigned span = (unsigned)rand_below(&sims->rand, spans);
    for (unsigned left = spans; left > 0 && choice->seen < samples; left--) {
        consider_span(sims, choice, span);
        span = (span + 1) % spans;
    }
    return choice->victim;
}

static void evict(struct whatif_sims *sims, unsigned i, int slot, int64_t now_ms)
{
    const struct whatif_sim *sim = &sims->at[i];
    const struct whatif_row *row = &sims->table.rows[slot];
    let_go(sims, i, slot);
    if (sim->policy->evicted != NULL && !is_over(expiry_of(row, i), now_ms)) {
        sim->policy->evicted(sims->tracks[sim->track].memory,
                             whatif_print_hash(sims->table.prints[slot]), row->words[sim->track]);
    }
}

/* Whether the bytes have room now. `keep` stays. */
static bool make_room(struct whatif_sims *sims, unsigned i, size_t bytes, int keep, int64_t now_ms)
{
    const struct whatif_sim *sim = &sims->at[i];
    if (bytes_held(sim) + bytes <= sim->budget) {
        return true;
    }
    if (sim->policy->evicted != NULL) {
        policy_ghost_settle(&sims->tracks[sim->track].memory->ghost, sim->held, sim->bytes);
    }
    struct choice choice = {.sim = i, .keep = keep, .now_ms = now_ms};
    for (unsigned n = 0; n < VICTIMS_MAX && sim->held > 0; n++) {
        const int victim = find_victim(sims, &choice);
        if (victim == WHATIF_NO_SLOT) {
            break;
        }
        evict(sims, i, victim, now_ms);
        if (bytes_held(sim) + bytes <= sim->budget) {
            return true;
        }
    }
    return false;
}

/* --- holding ------------------------------------------------------------------------------------------------------ */

void whatif_sims_touch(struct whatif_sims *sims, int slot, size_t size, int64_t now_ms)
{
    uint32_t *words = sims->table.rows[slot].words;
    const unsigned held = sims->table.held[slot];
    for (unsigned i = 0; i < WHATIF_TRACKS; i++) {
        const struct whatif_track *track = &sims->tracks[i];
        if ((track->sims & held) != 0) {
            words[i] =
                track->policy->touch(track->memory, words[i], size, now_ms, rand_next(&sims->rand));
        }
    }
}

void whatif_sims_set_value(struct whatif_sims *sims, int slot, size_t size, int64_t expire_at_ms,
                           bool fetched)
{
    struct whatif_row *row = &sims->table.rows[slot];
    const uint16_t held = sims->table.held[slot];
    const uint32_t row_size = size < UINT32_MAX ? (uint32_t)size : UINT32_MAX;
    for (unsigned left = held; left != 0; left &= left - 1) {
        struct whatif_sim *sim = &sims->at[__builtin_ctz(left)];
        sim->bytes += (size_t)row_size - row->size; /* modulo 2^64 */
    }
    if (fetched && (row->old & held) == 0) {
        row->old_expire_at_ms = row->expire_at_ms;
    }
    row->old = fetched ? held : 0;
    row->size = row_size;
    row->expire_at_ms = expire_at_ms;
}

static void admit(struct whatif_sims *sims, unsigned i, int slot, int64_t now_ms)
{
    struct whatif_sim *sim = &sims->at[i];
    struct whatif_row *row = &sims->table.rows[slot];
    const struct policy_newcomer newcomer = {
        .hash = whatif_print_hash(sims->table.prints[slot]), .size = row->size, .now_ms = now_ms};
    const size_t bytes = row->size + PLACE_BYTES;
    if (bytes > sim->budget || (!make_room(sims, i, bytes, slot, now_ms) && sim->policy->refuses)) {
        return; /* too large: the sample stands for less than one such value */
    }
    row->words[sim->track] = sim->policy->first(sims->tracks[sim->track].memory, &newcomer);
    sims->table.held[slot] |= (uint16_t)(1U << i);
    row->old &= (uint16_t) ~(1U << i);
    sim->bytes += row->size;
    sim->held++;
}

void whatif_sims_admit(struct whatif_sims *sims, unsigned bits, int slot, int64_t now_ms)
{
    for (; bits != 0; bits &= bits - 1) {
        admit(sims, (unsigned)__builtin_ctz(bits), slot, now_ms);
    }
}

void whatif_sims_shrink(struct whatif_sims *sims, int slot, int64_t now_ms)
{
    for (unsigned held = sims->table.held[slot]; held != 0; held &= held - 1) {
        (void)make_room(sims, (unsigned)__builtin_ctz(held), 0, slot, now_ms);
    }
}

void whatif_sims_expire(struct whatif_sims *sims, int slot, int64_t now_ms)
{
    for (unsigned held = sims->table.held[slot]; held != 0; held &= held - 1) {
        const unsigned i = (unsigned)__builtin_ctz(held);
        if (is_over(expiry_of(&sims->table.rows[slot], i), now_ms)) {
            let_go(sims, i, slot);
        }
    }
}

void whatif_sims_end(struct whatif_sims *sims, int slot)
{
    for (unsigned held = sims->table.held[slot]; held != 0; held &= held - 1) {
        let_go(sims, (unsigned)__builtin_ctz(held), slot);
    }
    sims->table.rows[slot].asked = false;
}

void whatif_sims_settle(struct whatif_sims *sims, int slot, int64_t now_ms)
{
    uint32_t *words = sims->table.rows[slot].words;
    for (unsigned i = 0; i < WHATIF_TRACKS; i++) {
        const struct whatif_track *track = &sims->tracks[i];
        if ((track->sims & sims->table.held[slot]) != 0) {
            words[i] = track->policy->settle(track->memory, words[i], now_ms);
        }
    }
}
