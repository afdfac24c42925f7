/* SPDX-License-Identifier: BSD-3-Clause */
#include "protocol/check.h"
#include "server/node.h"
#include "server/solo.h"
#include "server/sweep_inner.h"
#include "server/worker.h"
#include "tiers/base/glob.h"

#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    SWEEP_TICK_MS = 10,
    SWEEP_BURST_MS = 20,
    SWEEP_KEYS_LEAST = 10,
    SWEEP_PACE_FULL = 1000,
    SWEEP_PACE_STEP = 10, /* of SWEEP_PACE_FULL, per tick */
    MILLI = 1000
};
struct sweeps {
    pthread_mutex_t lock;
    struct list running;
    _Atomic unsigned count;
};

/* --- pure ---------------------------------------------------------------------------------------------------------- */

enum status sweep_glob_of_prefix(struct buf *out, struct slice prefix)
{
    enum status status = OK;
    for (size_t i = 0; i < prefix.size && status == OK; i++) {
        if (memchr("*?[]\\", prefix.data[i], 5) != NULL) {
            status = buf_append(out, "\\", 1);
        }
        if (status == OK) {
            status = buf_append(out, prefix.data + i, 1);
        }
    }
    return status == OK ? buf_append(out, "*", 1) : status;
}

/* --- the node's ---------------------------------------------------------------------------------------------------- */

struct sweeps *sweeps_new(void)
{
    struct sweeps *sweeps = calloc(1, sizeof(*sweeps));
    if (sweeps != NULL) {
        CHECK(pthread_mutex_init(&sweeps->lock, NULL) == 0);
        list_init(&sweeps->running);
    }
    return sweeps;
}

void sweeps_free(struct sweeps *sweeps)
{
    if (sweeps != NULL) {
        CHECK(list_empty(&sweeps->running));
        (void)pthread_mutex_destroy(&sweeps->lock);
        free(sweeps);
    }
}

unsigned sweeps_describe(struct sweeps *sweeps, struct sweep_description ret[LIMIT_SWEEPS])
{
    unsigned count = 0;
    (void)pthread_mutex_lock(&sweeps->lock);
    for (struct list *node = sweeps->running.next; node != &sweeps->running; node = node->next) {
        const struct sweep *sweep = LIST_ENTRY(node, struct sweep, in_node);
        ret[count] = sweep->shown;
        ret[count].looked = atomic_load(&sweep->looked);
        ret[count].deleted = atomic_load(&sweep->deleted);
        count++;
    }
    (void)pthread_mutex_unlock(&sweeps->lock);
    return count;
}

static bool sweeps_enter(struct sweeps *sweeps, struct sweep *sweep)
{
    (void)pthread_mutex_lock(&sweeps->lock);
    const bool room = atomic_load(&sweeps->count) < LIMIT_SWEEPS;
    if (room) {
        atomic_fetch_add(&sweeps->count, 1);
        list_push_back(&sweeps->running, &sweep->in_node);
    }
    (void)pthread_mutex_unlock(&sweeps->lock);
    return room;
}

static void sweeps_leave(struct sweeps *sweeps, struct sweep *sweep)
{
    (void)pthread_mutex_lock(&sweeps->lock);
    atomic_fetch_sub(&sweeps->count, 1);
    list_remove(&sweep->in_node);
    (void)pthread_mutex_unlock(&sweeps->lock);
}

/* --- the end ------------------------------------------------------------------------------------------------------- */

static void sweep_free(struct sweep *sweep)
{
    buf_done(&sweep->globs);
    free(sweep->sizes);
    free(sweep->keys);
    free(sweep);
}

/* `error` NULL: it is complete. */
static void sweep_end(struct sweep *sweep, const char *error)
{
    struct worker *worker = sweep->worker;
    struct sweep_user *user = sweep->user;
    const size_t count = atomic_load(&sweep->deleted);
    metrics_count(worker->metrics, error == NULL ? M_SWEEPS_DONE : M_SWEEPS_FAILED);
    list_remove(&sweep->in_desk);
    if (list_empty(&worker->sweeps.running)) {
        (void)uv_timer_stop(&worker->sweeps.timer);
    }
    sweeps_leave(worker->node->sweeps, sweep);
    sweep_free(sweep);
    user->on_done(user, count, error);
}

/* `why` in the words of an error reply. */
void sweep_fail(struct sweep *sweep, const char *why)
{
    char error[SWEEP_ERROR_MAX];
    (void)snprintf(error, sizeof(error),
                   "%.*s; the sweep is not complete, %" PRIu64 " keys were %s",
                   SWEEP_ERROR_MAX - 80, why, atomic_load(&sweep->deleted),
                   sweep->shown.dry ? "found" : "deleted");
    sweep_end(sweep, error);
}

/* --- which keys are meant ------------------------------------------------------------------------------------------ */

struct slice sweep_glob(const struct sweep *sweep)
{
    return (struct slice){sweep->globs.data + sweep->at_byte, sweep->sizes[sweep->at]};
}

/* NULL: it is not there any more. */
const struct namespace *sweep_namespace(const struct sweep *sweep)
{
    return namespaces_find(sweep->worker->node->namespaces, slice_of(sweep->shown.ns));
}

/* `ns`: the one that is meant; NULL: all. */
bool sweep_means(const struct sweep *sweep, const struct namespace *ns, struct slice key)
{
    const struct node *node = sweep->worker->node;
    if (node->tiers != NULL && sweep->shown.db == tiers_coherence_db(node->tiers) &&
        slice_begins(key, "terrace:")) {
        return false;
    }
    const struct namespace *home = namespace_of(node->namespaces, key);
    return ns == NULL ? !home->managed : home == ns;
}

void sweep_count(struct sweep *sweep, uint64_t looked, uint64_t deleted)
{
    const uint64_t cost = looked + (sweep->shown.dry ? 0 : deleted * SWEEP_DELETE_COST);
    sweep->budget -= (int64_t)cost * MILLI;
    atomic_fetch_add(&sweep->looked, looked);
    atomic_fetch_add(&sweep->deleted, deleted);
    metrics_add(sweep->worker->metrics, M_SWEEP_LOOKED, looked);
    metrics_add(sweep->worker->metrics, M_SWEEP_DELETED, sweep->shown.dry ? 0 : deleted);
}

/* A walk is through, or a step of it. */
void sweep_turn(struct sweep *sweep)
{
    if (sweep->cursor == 0) {
        sweep->at_byte += sweep->sizes[sweep->at++];
    }
}

static bool sweep_is_through(const struct sweep *sweep)
{
    return sweep->at == sweep->glob_count;
}

/* --- alone --------------------------------------------------------------------------------------------------------- */

struct sweep_step {
    struct sweep *sweep;
    const struct namespace *ns;
    uint64_t looked;
    uint64_t deleted;
};

static bool sweep_fits(const struct sweep *sweep, struct slice key)
{
    const struct slice glob = sweep_glob(sweep);
    return slice_is(glob, "*") || glob_match(glob, key, false);
}

/* What was seen is deleted, not what may stand there by now. */
static void sweep_on_item(void *arg, struct item *item)
{
    struct sweep_step *step = arg;
    struct sweep *sweep = step->sweep;
    const struct slice key = item_key(item);
    step->looked++;
    if (!sweep_fits(sweep, key) || !sweep_means(sweep, step->ns, key)) {
        return;
    }
    if (sweep->shown.dry) {
        step->deleted++;
        return;
    }
    const struct ns_key at = namespaces_key(sweep->worker->node->namespaces, sweep->shown.db, key);
    const struct l1_change change = {.l1 = at.ns->l1, .key = at.at, .seen = item};
    step->deleted += l1_commit(&change, 1, sweep->worker->now_ms) == OK;
}

static void sweep_walk(struct sweep *sweep)
{
    struct node *node = sweep->worker->node;
    struct sweep_step step = {.sweep = sweep,
                              .ns = sweep->is_named ? sweep_namespace(sweep) : NULL};
    solo_sit(node->solo, sweep->worker->index);
    const uint64_t next =
        namespaces_scan(node->namespaces, sweep->shown.db, sweep->cursor, sweep->asked,
                        sweep->worker->now_ms, sweep_on_item, &step);
    solo_rise(node->solo, sweep->worker->index);
    const bool stuck = next == sweep->cursor && next != 0; /* a chain it had no memory for */
    sweep->cursor = next;
    sweep_count(sweep, step.looked, step.deleted);
    if (stuck) {
        sweep->stopped = "OOM no memory";
    } else {
        sweep_turn(sweep);
    }
}

/* --- going on ------------------------------------------------------------------------------------------------------ */

static int64_t sweep_rate(const struct sweep *sweep)
{
    const struct node *node = sweep->worker->node;
    const unsigned running = atomic_load(&node->sweeps->count);
    const int64_t share = atomic_load(&node->live.sweep_rate) / (running > 0 ? running : 1);
    return (share > 0 ? share : 1) * sweep->pace / SWEEP_PACE_FULL;
}

static void sweep_earn(struct sweep *sweep, int64_t now_ms)
{
    const int64_t rate = sweep_rate(sweep);
    const int64_t passed_ms = now_ms - sweep->earned_at_ms;
    const int64_t most = rate * SWEEP_BURST_MS > MILLI ? rate * SWEEP_BURST_MS : MILLI;
    sweep->budget += rate * passed_ms;
    sweep->budget = sweep->budget < most ? sweep->budget : most;
    sweep->earned_at_ms = now_ms;
    const int64_t fair = rate * SWEEP_TICK_MS / MILLI;
    sweep->asked = fair < SWEEP_KEYS_LEAST ? SWEEP_KEYS_LEAST
                   : fair < SWEEP_KEYS_MAX ? (unsigned)fair
                                           : SWEEP_KEYS_MAX;
    if (sweep->pace < SWEEP_PACE_FULL) {
        sweep->pace += SWEEP_PACE_STEP;
    }
}

void sweep_go(struct sweep *sweep)
{
    const bool alone = sweep->worker->node->tiers == NULL;
    while (alone && sweep->budget > 0 && !sweep_is_through(sweep) && sweep->stopped == NULL) {
        sweep_walk(sweep);
    }
    if (sweep->stopped != NULL) {
        sweep_fail(sweep, sweep->stopped);
    } else if (sweep_is_through(sweep)) {
        sweep_end(sweep, NULL);
    } else if (!alone && sweep->budget > 0) {
        sweep_ask(sweep);
    }
}

static void sweep_desk_on_tick(uv_timer_t *timer)
{
    struct worker *worker = timer->data;
    const int64_t now_ms = clock_now_ms(&worker->node->clock);
    struct list *next = NULL;
    worker_read_clock(worker);
    for (struct list *at = worker->sweeps.running.next; at != &worker->sweeps.running; at = next) {
        struct sweep *sweep = LIST_ENTRY(at, struct sweep, in_desk);
        next = at->next;
        sweep_earn(sweep, now_ms);
        if (!sweep->asks) {
            sweep_go(sweep);
        }
    }
}

/* --- a worker's ---------------------------------------------------------------------------------------------------- */

void sweep_desk_open(struct sweep_desk *desk, struct worker *worker)
{
    list_init(&desk->running);
    CHECK(uv_timer_init(&worker->loop, &desk->timer) == 0);
    desk->timer.data = worker;
}

static void sweep_desk_stop(struct sweep_desk *desk, const char *why)
{
    struct list *next = NULL;
    for (struct list *at = desk->running.next; at != &desk->running; at = next) {
        struct sweep *sweep = LIST_ENTRY(at, struct sweep, in_desk);
        next = at->next;
        sweep->stopped = why;
        if (!sweep->asks) {
            sweep_fail(sweep, why);
        }
    }
}

void sweep_desk_end(struct sweep_desk *desk)
{
    sweep_desk_stop(desk, "L2DOWN this node is ending");
}

void sweep_desk_stand_still(struct sweep_desk *desk)
{
    const struct worker *worker = desk->timer.data;
    if (worker->node->tiers == NULL) {
        sweep_desk_stop(desk, "STALE the namespaces change");
    }
}

void sweep_desk_close(struct sweep_desk *desk)
{
    uv_close((uv_handle_t *)&desk->timer, NULL);
}

/* --- beginning ----------------------------------------------------------------------------------------------------- */

/* Of a namespace only what is below its own prefix can be meant. */
static enum status sweep_add_prefix(struct sweep *sweep, const struct namespace *ns,
                                    struct slice prefix)
{
    if (ns == NULL || slice_has_prefix(prefix, ns->prefix)) {
        return sweep_glob_of_prefix(&sweep->globs, prefix);
    }
    return slice_has_prefix(ns->prefix, prefix) ? sweep_glob_of_prefix(&sweep->globs, ns->prefix)
                                                : OK;
}

static enum status sweep_add_globs(struct sweep *sweep, const struct sweep_wish *wish)
{
    enum status status = OK;
    sweep->sizes = calloc(wish->pattern_count, sizeof(*sweep->sizes));
    for (uint32_t i = 0; i < wish->pattern_count && sweep->sizes != NULL && status == OK; i++) {
        const size_t before = sweep->globs.size;
        status = wish->are_prefixes ? sweep_add_prefix(sweep, wish->ns, wish->patterns[i])
                                    : buf_append_slice(&sweep->globs, wish->patterns[i]);
        sweep->sizes[sweep->glob_count] = sweep->globs.size - before;
        sweep->glob_count += sweep->globs.size > before || !wish->are_prefixes;
    }
    return sweep->sizes == NULL ? NO_MEMORY : status;
}

/* For people, on one line of INFO. */
static void sweep_name(struct sweep_description *shown, const struct sweep_wish *wish)
{
    const struct slice first = wish->patterns[0];
    (void)snprintf(shown->what, sizeof(shown->what), "%s %.*s%s",
                   wish->are_prefixes ? "PREFIX" : "PATTERN",
                   first.size < SWEEP_WHAT_MAX / 2 ? (int)first.size : SWEEP_WHAT_MAX / 2,
                   first.data, wish->pattern_count > 1 ? " and more" : "");
    for (char *at = shown->what; *at != '\0'; at++) {
        *at = (char)(*at < ' ' || *at > '~' || *at == ',' || *at == '"' || *at == '\\' ? '?' : *at);
    }
    (void)snprintf(shown->ns, sizeof(shown->ns), "%s", wish->ns == NULL ? "" : wish->ns->name);
}

static struct sweep *sweep_new(struct worker *worker, const struct sweep_wish *wish,
                               struct sweep_user *user)
{
    struct sweep *sweep = calloc(1, sizeof(*sweep));
    if (sweep == NULL) {
        return NULL;
    }
    sweep->worker = worker;
    sweep->user = user;
    sweep->is_named = wish->ns != NULL;
    sweep->pace = SWEEP_PACE_FULL;
    sweep->earned_at_ms = clock_now_ms(&worker->node->clock);
    sweep->shown.db = wish->db;
    sweep->shown.dry = wish->dry;
    sweep->shown.began_at_ms = sweep->earned_at_ms;
    sweep_name(&sweep->shown, wish);
    if (sweep_add_globs(sweep, wish) != OK) {
        sweep_free(sweep);
        return NULL;
    }
    return sweep;
}

enum status sweep_begin(struct worker *worker, const struct sweep_wish *wish,
                        struct sweep_user *user)
{
    struct sweep_desk *desk = &worker->sweeps;
    struct sweep *sweep = sweep_new(worker, wish, user);
    if (sweep == NULL) {
        return NO_MEMORY;
    }
    if (worker->draining || !sweeps_enter(worker->node->sweeps, sweep)) {
        metrics_count(worker->metrics, M_SWEEPS_REFUSED);
        sweep_free(sweep);
        return BUSY;
    }
    if (list_empty(&desk->running)) {
        CHECK(uv_timer_start(&desk->timer, sweep_desk_on_tick, SWEEP_TICK_MS, SWEEP_TICK_MS) == 0);
    }
    list_push_back(&desk->running, &sweep->in_desk);
    return OK;
}
