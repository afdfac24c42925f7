/* SPDX-License-Identifier: BSD-3-Clause */
#include "tiers/revalidate.h"

#include "protocol/check.h"
#include "tiers/managed.h"
#include "tiers/rights.h"
#include "tiers/window.h"

#include <stdlib.h>
#include <string.h>

enum {
    REVALIDATE_MAGIC = 0x71e55003,
    FOUND_ROOM =
        REVALIDATE_LIST_MAX + 2 * REVALIDATE_SLICE, /* the last chain of a slice is whole */
    MILLI = 1000,
    BURST_MS = 200, /* two ticks' worth */
    FREQUENCY_MAX = 255,
    SLICE_STEPS = 24, /* a step may find little: all databases, and some namespaces */
};
#define HEAT_ONE (INT64_C(1) << 20) /* used at this moment, or as often as can be told */

struct candidate {
    int64_t heat;
    struct l1_key key;
    char bytes[];
};

/* One read under way. */
struct revalidate_ask {
    struct tiers_reader reader; /* first */
    struct revalidate *revalidate;
    struct item *suspect; /* NULL: the place is free */
};

struct revalidate {
    uint32_t magic;
    struct tiers_window *window;
    int64_t rate; /* as set */
    /* the load: */
    int64_t measured_at_ms;
    uint64_t measured_reads;
    double load;        /* L2 reads a second */
    int64_t calm_at_ms; /* when service was last undisturbed */
    /* the round: */
    int64_t floor_ms; /* that it is about */
    int64_t began_at_ms;
    bool running;
    /* the pass: */
    unsigned db; /* where the walk is; LIMIT_DATABASES: at its end */
    uint64_t cursor;
    uint64_t suspects; /* met */
    uint64_t asked;
    uint64_t refused; /* of those: the node's user may not read what nobody waits for */
    uint64_t settled; /* of the suspects met: answered, or gone when their turn came */
    size_t looked;    /* at how many, in this tick */
    /* what to ask for: found[first] to found[count - 1], the hottest first, each malloc'ed */
    size_t first;
    size_t count;
    struct candidate *found[FOUND_ROOM];
    /* Heat of the last one when they were sorted, if the list was full; else -1, as what is cold. */
    int64_t coldest;
    /* asking: */
    int64_t budget; /* thousandths of a question */
    int64_t budget_at_ms;
    bool halted; /* L2 could not be asked: no more before the next tick */
    unsigned asks_busy;
    struct revalidate_ask asks[REVALIDATE_ASKS_MAX];
    struct tiers_revalidation shown;
};

/* --- life -------------------------------------------------------------------------------------------------------- */

struct revalidate *revalidate_new(struct tiers_window *window)
{
    struct revalidate *revalidate = calloc(1, sizeof *revalidate);
    if (revalidate != NULL) {
        revalidate->magic = REVALIDATE_MAGIC;
        revalidate->window = window;
        revalidate->rate = REVALIDATE_AUTO;
    }
    return revalidate;
}

static void forget_found(struct revalidate *revalidate)
{
    for (size_t i = revalidate->first; i < revalidate->count; i++) {
        free(revalidate->found[i]);
    }
    revalidate->first = 0;
    revalidate->count = 0;
    revalidate->coldest = -1;
}

void revalidate_free(struct revalidate *revalidate)
{
    if (revalidate == NULL) {
        return;
    }
    CHECK_MAGIC(revalidate, REVALIDATE_MAGIC);
    CHECK(revalidate->asks_busy == 0);
    forget_found(revalidate);
    revalidate->magic = 0;
    free(revalidate);
}

void revalidate_set_rate(struct revalidate *revalidate, int64_t rate)
{
    CHECK_MAGIC(revalidate, REVALIDATE_MAGIC);
    revalidate->rate = rate;
}

/* --- looking for suspects ---------------------------------------------------------------------------------------- */

/* Below 0: cold. Entries met at different times must compare, so it does not fall while time passes. */
static int64_t heat_of(const struct revalidate *revalidate, const struct policy *policy,
                       const struct l1_peek *peek)
{
    const int64_t now_ms = revalidate->window->now_ms;
    const int64_t cold_ms = revalidate->calm_at_ms - REVALIDATE_HOT_MS;
    if (peek->frequency >= 0) {
        const int64_t least = policy->frequency(
            policy->first(NULL, &(struct policy_newcomer){.now_ms = cold_ms}), now_ms);
        return (peek->frequency - least) * HEAT_ONE / (FREQUENCY_MAX - least);
    }
    return (now_ms - peek->idle_ms - cold_ms) * HEAT_ONE / REVALIDATE_HOT_MS;
}

static void keep(struct revalidate *revalidate, const struct l1_key *key, int64_t heat)
{
    if (revalidate->count == FOUND_ROOM || heat <= revalidate->coldest) {
        return; /* the next pass meets it again */
    }
    struct candidate *candidate = malloc(sizeof *candidate + key->bytes.size);
    if (candidate == NULL) {
        return;
    }
    candidate->heat = heat;
    candidate->key = *key;
    memcpy(candidate->bytes, key->bytes.data, key->bytes.size);
    candidate->key.bytes.data = candidate->bytes;
    revalidate->found[revalidate->count++] = candidate;
}

static void on_entry(void *arg, struct item *item)
{
    struct revalidate *revalidate = arg;
    struct tiers_window *window = revalidate->window;
    struct l1_peek peek;
    revalidate->looked++;
    if (item_stamped_at_ms(item) >= revalidate->floor_ms) {
        return;
    }
    const struct ns_key key =
        namespaces_key(window->namespaces, (uint8_t)revalidate->db, item_key(item));
    const struct proof *proof = window_proof(window, key.ns);
    if (namespace_kind(key.ns) == NAMESPACE_TTL || namespace_kind(key.ns) == NAMESPACE_STRICT ||
        !proof_is_whole(proof) || item_stamped_at_ms(item) >= proof->floor_ms) {
        return;
    }
    revalidate->suspects++;
    if (l1_peek(key.ns->l1, &key.at, window->now_ms, 0, &peek) != OK) {
        return;
    }
    keep(revalidate, &key.at, heat_of(revalidate, l1_policy(key.ns->l1), &peek));
}

static int by_heat(const void *a, const void *b)
{
    const int64_t heat_a = (*(struct candidate *const *)a)->heat;
    const int64_t heat_b = (*(struct candidate *const *)b)->heat;
    return heat_a > heat_b ? -1 : heat_a < heat_b;
}

static void sort_found(struct revalidate *revalidate)
{
    const size_t left = revalidate->count - revalidate->first;
    memmove(revalidate->found, revalidate->found + revalidate->first,
            left * sizeof revalidate->found[0]);
    qsort(revalidate->found, left, sizeof revalidate->found[0], by_heat);
    revalidate->first = 0;
    revalidate->count = left < REVALIDATE_LIST_MAX ? left : REVALIDATE_LIST_MAX;
    for (size_t i = revalidate->count; i < left; i++) {
        free(revalidate->found[i]);
    }
    revalidate->coldest = revalidate->count == REVALIDATE_LIST_MAX
                              ? revalidate->found[REVALIDATE_LIST_MAX - 1]->heat
                              : -1;
}

/* One step: of one database and namespace, or over a database without entries. */
static void look_on(struct revalidate *revalidate)
{
    struct namespaces *namespaces = revalidate->window->namespaces;
    const uint8_t db = (uint8_t)revalidate->db;
    if (revalidate->cursor == 0 && namespaces_count(namespaces, db).entries == 0) {
        revalidate->db++;
        return;
    }
    revalidate->cursor =
        namespaces_scan(namespaces, db, revalidate->cursor, REVALIDATE_SLICE - revalidate->looked,
                        revalidate->window->now_ms, on_entry, revalidate);
    revalidate->db += revalidate->cursor == 0;
}

static void look_further(struct revalidate *revalidate)
{
    revalidate->looked = 0;
    for (unsigned step = 0; step < SLICE_STEPS && revalidate->looked < REVALIDATE_SLICE &&
                            revalidate->db < LIMIT_DATABASES;
         step++) {
        look_on(revalidate);
    }
    if (revalidate->looked > 0) {
        sort_found(revalidate);
    }
}

/* --- asking ------------------------------------------------------------------------------------------------------ */

static void ask_on(struct revalidate *revalidate);

static enum metric result_of(const struct revalidate_ask *ask, enum status status,
                             const struct tiers_value *value)
{
    if (status == TOO_BIG) { /* a value that has grown beyond what is kept */
        return M_REVALIDATED_CHANGED;
    }
    if (status != OK) {
        return M_REVALIDATED_FAILED;
    }
    if (value->item == NULL) {
        return M_REVALIDATED_GONE;
    }
    const bool is_same = ask->reader.managed
                             ? managed_is_same(value->item, ask->suspect)
                             : slice_equal(item_value(value->item), item_value(ask->suspect));
    return is_same ? M_REVALIDATED_SAME : M_REVALIDATED_CHANGED;
}

static void on_value(struct tiers_reader *reader, enum status status,
                     const struct tiers_value *value)
{
    struct revalidate_ask *ask = (struct revalidate_ask *)(void *)reader;
    struct revalidate *revalidate = ask->revalidate;
    metrics_count(revalidate->window->options.metrics, result_of(ask, status, value));
    item_release(ask->suspect);
    ask->suspect = NULL;
    revalidate->asks_busy--;
    /* An error about the key: it holds another type now. */
    if (status == L2_ERROR && rights_is_denial(value->error)) {
        revalidate->refused++;
    } else if (status == OK || status == L2_ERROR || status == TOO_BIG) {
        revalidate->settled++;
        revalidate->shown.suspects -= revalidate->shown.suspects > 0;
    } else {
        revalidate->halted = true;
    }
    ask_on(revalidate);
}

static struct revalidate_ask *free_ask(struct revalidate *revalidate)
{
    struct revalidate_ask *ask = revalidate->asks;
    while (ask->suspect != NULL) {
        ask++;
    }
    return ask;
}

/* false: not now. */
static bool ask_for(struct revalidate *revalidate, const struct candidate *candidate)
{
    struct revalidate_ask *ask = free_ask(revalidate);
    const struct ns_key key = window_key(revalidate->window, &candidate->key);
    *ask = (struct revalidate_ask){.reader = {.on_value = on_value, .in_background = true},
                                   .revalidate = revalidate};
    const enum status status =
        tiers_revalidate(revalidate->window, &key, &ask->reader, &ask->suspect);
    if (status == PENDING) {
        revalidate->asks_busy++;
        revalidate->asked++;
        revalidate->budget -= MILLI;
    }
    revalidate->settled += status == MISS; /* somebody else was faster */
    return status == PENDING || status == MISS;
}

/* As far as the budget goes; the rest when answers come, so that no queue builds up before the clients' reads. */
static void ask_on(struct revalidate *revalidate)
{
    while (!revalidate->halted && revalidate->budget >= MILLI &&
           revalidate->asks_busy < REVALIDATE_ASKS_MAX && revalidate->first < revalidate->count) {
        struct candidate *candidate = revalidate->found[revalidate->first];
        if (ask_for(revalidate, candidate)) {
            revalidate->first++;
            free(candidate);
        } else {
            revalidate->halted = true;
        }
    }
}

/* --- time -------------------------------------------------------------------------------------------------------- */

/* What clients ask for right after the floor rose is the suspects; it says nothing about the usual load. */
static void measure(struct revalidate *revalidate, bool usual)
{
    const int64_t now_ms = revalidate->window->now_ms;
    const uint64_t reads = tiers_reads(revalidate->window->options.tiers);
    const int64_t passed_ms = now_ms - revalidate->measured_at_ms;
    if (usual && revalidate->measured_at_ms != 0 && passed_ms > 0) {
        const double now_load =
            (double)(reads - revalidate->measured_reads) * MILLI / (double)passed_ms;
        const double share =
            passed_ms < REVALIDATE_LOAD_MS ? (double)passed_ms / REVALIDATE_LOAD_MS : 1;
        revalidate->load += (now_load - revalidate->load) * share;
    }
    revalidate->measured_at_ms = now_ms;
    revalidate->measured_reads = reads;
}

static int64_t rate_now(const struct revalidate *revalidate)
{
    if (revalidate->rate != REVALIDATE_AUTO) {
        return revalidate->rate;
    }
    const int64_t half = (int64_t)(revalidate->load / 2);
    return half > REVALIDATE_RATE_MIN ? half : REVALIDATE_RATE_MIN;
}

static void earn(struct revalidate *revalidate, int64_t rate)
{
    const int64_t now_ms = revalidate->window->now_ms;
    const int64_t passed_ms = now_ms - revalidate->budget_at_ms;
    const int64_t most = rate * BURST_MS > MILLI ? rate * BURST_MS : MILLI;
    revalidate->budget += rate * (passed_ms < BURST_MS ? passed_ms : BURST_MS);
    revalidate->budget = revalidate->budget < most ? revalidate->budget : most;
    revalidate->budget_at_ms = now_ms;
}

static void begin_pass(struct revalidate *revalidate)
{
    forget_found(revalidate);
    revalidate->db = 0;
    revalidate->cursor = 0;
    revalidate->suspects = 0;
    revalidate->asked = 0;
    revalidate->refused = 0;
    revalidate->settled = 0;
}

static void begin_round(struct revalidate *revalidate, int64_t floor_ms)
{
    struct l1_stats stats;
    namespaces_stats(revalidate->window->namespaces, &stats);
    begin_pass(revalidate);
    revalidate->floor_ms = floor_ms;
    revalidate->running = true;
    revalidate->began_at_ms = revalidate->window->now_ms;
    revalidate->budget = 0;
    revalidate->budget_at_ms = revalidate->window->now_ms;
    revalidate->shown.suspects = stats.items;
}

static void end_pass(struct revalidate *revalidate)
{
    /* What this pass settled was counted when it was met. */
    revalidate->shown.suspects = revalidate->suspects - revalidate->settled;
    revalidate->running = revalidate->asked > revalidate->refused;
    begin_pass(revalidate);
}

static void go_on(struct revalidate *revalidate)
{
    look_further(revalidate);
    ask_on(revalidate);
    if (revalidate->db == LIMIT_DATABASES && revalidate->first == revalidate->count &&
        revalidate->asks_busy == 0) {
        end_pass(revalidate);
    }
}

/* Off: when it is on again, there may be suspects. */
static void stop(struct revalidate *revalidate)
{
    if (revalidate->running) {
        forget_found(revalidate);
        revalidate->running = false;
        revalidate->floor_ms = 0;
    }
}

/* What the clients' use of keys and of L2 says at this moment. */
static void observe(struct revalidate *revalidate, bool fresh, bool same_floor)
{
    const int64_t now_ms = revalidate->window->now_ms;
    const bool calm = fresh && same_floor && !revalidate->running;
    const bool storm = !same_floor || now_ms - revalidate->began_at_ms <= REVALIDATE_LOAD_MS;
    measure(revalidate, calm || (fresh && !storm));
    if (calm || revalidate->calm_at_ms == 0) {
        revalidate->calm_at_ms = now_ms;
    }
}

/* Of managed namespaces it rises later than the other, when the log could not tell what was missed, or not at all. */
static int64_t newest_floor(const struct tiers_window *window)
{
    const struct proof *managed = &window->proofs[true];
    const int64_t plain_ms = window->proofs[false].floor_ms;
    return proof_is_whole(managed) && managed->floor_ms > plain_ms ? managed->floor_ms : plain_ms;
}

void revalidate_tick(struct revalidate *revalidate)
{
    CHECK_MAGIC(revalidate, REVALIDATE_MAGIC);
    struct tiers_window *window = revalidate->window;
    const bool fresh = coherence_fresh(window->view, window->now_ms);
    const int64_t floor_ms = newest_floor(window);
    const int64_t rate = rate_now(revalidate);
    observe(revalidate, fresh, rate == 0 || floor_ms == revalidate->floor_ms);
    if (rate == 0) {
        stop(revalidate);
    } else if (floor_ms != revalidate->floor_ms) {
        begin_round(revalidate, floor_ms);
    }
    revalidate->halted = false;
    if (revalidate->running && fresh && window->now_ms >= floor_ms) {
        earn(revalidate, rate);
        go_on(revalidate);
    } else {
        revalidate->budget = 0;
        revalidate->budget_at_ms = window->now_ms; /* a pause earns nothing */
    }
    revalidate->shown.rate = (uint64_t)rate;
    revalidate->shown.running = revalidate->running;
    tiers_show_revalidation(window->options.tiers, &revalidate->shown);
}
