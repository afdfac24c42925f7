/* SPDX-License-Identifier: BSD-3-Clause */
#include "tiers/tiers.h"

#include "protocol/check.h"
#include "tiers/bans.h"
#include "tiers/dictionary.h"
#include "tiers/foreseen.h"
#include "tiers/line.h"
#include "tiers/sighting.h"
#include "tiers/turnstile.h"
#include "tiers/wakes.h"

#include <pthread.h>
#include <stdlib.h>

enum {
    TIERS_MAGIC = 0x71e55001
};

/* Tables of commands are few (one per version of L2 met) and are kept, so that readers need no lock. */
struct learned {
    struct learned *older;
    struct l2_commands *commands;
};

struct tiers {
    uint32_t magic;
    struct tiers_options options;
    struct coherence *coherence;
    struct bans *bans;
    struct dictionaries *dictionaries;
    _Atomic(const struct l2_url *) url;
    _Atomic(const struct l2_commands *) commands;
    struct learned *learned; /* control loop's */
    _Atomic bool l2_up;
    _Atomic int64_t l2_lost_at_ms; /* 0: it is up, or never was */
    _Atomic int64_t l2_back_at_ms; /* after it was away; 0: it never was */
    _Atomic int64_t returns_until_ms;
    _Atomic unsigned let_in; /* how often a link was */
    _Atomic uint64_t reads;
    struct line_counts lines;
    struct wakes wakes;
    struct sighting sighting;
    struct foreseen foreseen;
    /* struct tiers_revalidation, each by itself: */
    _Atomic bool revalidating;
    _Atomic uint64_t revalidate_rate;
    _Atomic uint64_t suspects;
    _Atomic int parked; /* writes that wait for L2 to have others of their keys */
};

struct tiers *tiers_new(const struct tiers_options *options)
{
    struct tiers *tiers = calloc(1, sizeof(*tiers));
    if (tiers == NULL) {
        return NULL;
    }
    tiers->magic = TIERS_MAGIC;
    tiers->options = *options;
    tiers_set_url(tiers, options->url);
    tiers->coherence = coherence_new(&(struct coherence_options){
        .namespaces = options->namespaces,
        .metrics = options->metrics,
        .node = options->node,
        .seed = options->seed,
        .coherence_db = options->coherence_db,
        .listener = options->listener,
        .managed = options->managed,
        .bound_ms = (uint32_t)namespaces_least_bound_ms(options->namespaces),
    });
    sighting_init(&tiers->sighting);
    foreseen_init(&tiers->foreseen);
    tiers->bans = bans_new();
    tiers->dictionaries = dictionaries_new();
    if (tiers->coherence == NULL || tiers->bans == NULL || tiers->dictionaries == NULL) {
        coherence_free(tiers->coherence);
        bans_free(tiers->bans);
        dictionaries_free(tiers->dictionaries);
        sighting_done(&tiers->sighting);
        foreseen_done(&tiers->foreseen);
        free(tiers);
        return NULL;
    }
    return tiers;
}

void tiers_free(struct tiers *tiers)
{
    if (tiers == NULL) {
        return;
    }
    CHECK_MAGIC(tiers, TIERS_MAGIC);
    while (tiers->learned != NULL) {
        struct learned *learned = tiers->learned;
        tiers->learned = learned->older;
        l2_commands_free(learned->commands);
        free(learned);
    }
    coherence_free(tiers->coherence);
    bans_free(tiers->bans);
    dictionaries_free(tiers->dictionaries);
    sighting_done(&tiers->sighting);
    foreseen_done(&tiers->foreseen);
    tiers->magic = 0;
    free(tiers);
}

struct namespaces *tiers_namespaces(const struct tiers *tiers)
{
    return tiers->options.namespaces;
}

struct coherence *tiers_coherence(const struct tiers *tiers)
{
    return tiers->coherence;
}

struct behind *tiers_behind(const struct tiers *tiers)
{
    return tiers->options.behind.behind;
}

void tiers_behind_wake(const struct tiers *tiers)
{
    tiers->options.behind.wake(tiers->options.behind.arg);
}

void tiers_behind_park(struct tiers *tiers, int more)
{
    atomic_fetch_add(&tiers->parked, more);
}

bool tiers_behind_parks(const struct tiers *tiers)
{
    return atomic_load(&tiers->parked) > 0;
}

void tiers_behind_flushed(struct tiers *tiers)
{
    if (tiers_behind_parks(tiers)) {
        tiers->options.behind.flushed(tiers->options.behind.arg);
    }
}

void tiers_behind_taken(const struct tiers *tiers, const struct l1_key *key)
{
    tiers->options.behind.taken(tiers->options.behind.arg, key);
}

void tiers_behind_refused(const struct tiers *tiers, unsigned worker, struct slice key,
                          struct slice error, bool all)
{
    tiers->options.behind.refused(tiers->options.behind.arg, worker, key, error, all);
}

struct wakes *tiers_wakes(struct tiers *tiers)
{
    return &tiers->wakes;
}

struct sighting *tiers_sighting(struct tiers *tiers)
{
    return &tiers->sighting;
}

struct bans *tiers_bans(const struct tiers *tiers)
{
    return tiers->bans;
}

const struct l2_url *tiers_url(const struct tiers *tiers)
{
    return atomic_load_explicit(&tiers->url, memory_order_acquire);
}

void tiers_set_url(struct tiers *tiers, const struct l2_url *url)
{
    atomic_store_explicit(&tiers->url, url, memory_order_release);
}

unsigned tiers_coherence_db(const struct tiers *tiers)
{
    return tiers->options.coherence_db;
}

int64_t tiers_log_length(const struct tiers *tiers)
{
    return tiers->options.log_length > 0 ? tiers->options.log_length : LOG_LENGTH_DEFAULT;
}

struct dictionaries *tiers_dictionaries(const struct tiers *tiers)
{
    return tiers->dictionaries;
}

uint64_t tiers_node(const struct tiers *tiers)
{
    return tiers->options.node;
}

struct foreseen *tiers_foreseen(struct tiers *tiers)
{
    return &tiers->foreseen;
}

/* A table is kept for good: somebody may be reading it, and sessions name commands of it. One that was learned before comes
 * back (a module that is loaded and unloaded again and again takes memory once). */
void tiers_learn_commands(struct tiers *tiers, struct l2_commands *commands)
{
    CHECK_MAGIC(tiers, TIERS_MAGIC);
    struct learned *learned = tiers->learned;
    while (learned != NULL && !l2_commands_equal(learned->commands, commands)) {
        learned = learned->older;
    }
    if (learned != NULL) {
        l2_commands_free(commands);
    } else if ((learned = malloc(sizeof(*learned))) != NULL) {
        *learned = (struct learned){.older = tiers->learned, .commands = commands};
        tiers->learned = learned;
    } else {
        l2_commands_free(commands);
        return; /* the table of before goes on serving */
    }
    atomic_store_explicit(&tiers->commands, learned->commands, memory_order_release);
}

const struct l2_commands *tiers_commands(const struct tiers *tiers)
{
    return atomic_load_explicit(&tiers->commands, memory_order_acquire);
}

void tiers_set_l2_up(struct tiers *tiers, bool up, int64_t now_ms)
{
    const bool was_up = atomic_load(&tiers->l2_up);
    const int64_t lost_at_ms = atomic_load(&tiers->l2_lost_at_ms);
    if (!up && was_up) {
        atomic_store(&tiers->l2_lost_at_ms, now_ms);
    } else if (up && lost_at_ms != 0) {
        if (now_ms - lost_at_ms >= TURNSTILE_AWAY_MS) {
            atomic_store(&tiers->l2_back_at_ms, now_ms);
            atomic_store(&tiers->returns_until_ms, now_ms + 2 * TURNSTILE_CALM_MS);
        }
        atomic_store(&tiers->l2_lost_at_ms, 0);
    }
    atomic_store(&tiers->l2_up, up);
}

bool tiers_is_returning(const struct tiers *tiers, int64_t now_ms)
{
    const int64_t lost_at_ms = atomic_load_explicit(&tiers->l2_lost_at_ms, memory_order_relaxed);
    return (lost_at_ms != 0 && now_ms - lost_at_ms >= TURNSTILE_AWAY_MS) ||
           now_ms < atomic_load_explicit(&tiers->returns_until_ms, memory_order_relaxed);
}

void tiers_row_is_waiting(struct tiers *tiers, int64_t now_ms)
{
    const int64_t most_ms = atomic_load(&tiers->l2_back_at_ms) + TURNSTILE_MOST_MS;
    const int64_t until_ms = now_ms + TURNSTILE_CALM_MS;
    atomic_store(&tiers->returns_until_ms, until_ms < most_ms ? until_ms : most_ms);
}

void tiers_let_in(struct tiers *tiers)
{
    atomic_fetch_add_explicit(&tiers->let_in, 1, memory_order_relaxed);
}

bool tiers_others_let_in(const struct tiers *tiers, unsigned *seen)
{
    const unsigned before = *seen;
    *seen = atomic_load_explicit(&tiers->let_in, memory_order_relaxed);
    return *seen != before;
}

struct line_counts *tiers_lines(struct tiers *tiers)
{
    return &tiers->lines;
}

void tiers_add_reads(struct tiers *tiers, uint64_t n)
{
    atomic_fetch_add_explicit(&tiers->reads, n, memory_order_relaxed);
}

uint64_t tiers_reads(const struct tiers *tiers)
{
    return atomic_load_explicit(&tiers->reads, memory_order_relaxed);
}

void tiers_show_revalidation(struct tiers *tiers, const struct tiers_revalidation *now)
{
    atomic_store_explicit(&tiers->revalidating, now->running, memory_order_relaxed);
    atomic_store_explicit(&tiers->revalidate_rate, now->rate, memory_order_relaxed);
    atomic_store_explicit(&tiers->suspects, now->suspects, memory_order_relaxed);
}

void tiers_describe(const struct tiers *tiers, struct tiers_description *ret)
{
    ret->l2_state = atomic_load_explicit(&tiers->l2_up, memory_order_relaxed) ? "up" : "down";
    ret->revalidation = (struct tiers_revalidation){
        .running = atomic_load_explicit(&tiers->revalidating, memory_order_relaxed),
        .rate = atomic_load_explicit(&tiers->revalidate_rate, memory_order_relaxed),
        .suspects = atomic_load_explicit(&tiers->suspects, memory_order_relaxed),
    };
    coherence_describe(tiers->coherence, &ret->coherence);
}
