/* SPDX-License-Identifier: BSD-3-Clause */
#include "server/hot_desk.h"

#include "protocol/check.h"
#include "server/hot_inner.h"
#include "server/node.h"
#include "server/totals.h"
#include "server/worker.h"

#include <math.h>
#include <stdlib.h>

/* --- what is known ---------------------------------------------------------------------------------------------------- */

struct hot_list *hot_desk_newest(struct hot_desk *desk)
{
    (void)pthread_mutex_lock(&desk->lock);
    struct hot_list *list = desk->newest == NULL ? NULL : hot_list_ref(desk->newest);
    (void)pthread_mutex_unlock(&desk->lock);
    return list;
}

void hot_desk_want(struct hot_desk *desk)
{
    atomic_store(&desk->wanted, true);
}

void hot_desk_describe(struct hot_desk *desk, struct hot_description *ret)
{
    struct hot_list *list = hot_desk_newest(desk);
    *ret =
        (struct hot_description){.every = atomic_load_explicit(&desk->every, memory_order_relaxed),
                                 .held = atomic_load(&desk->held.rows),
                                 .held_bytes = atomic_load(&desk->held.bytes)};
    if (list == NULL) {
        return;
    }
    double known = 0;
    for (size_t i = 0; i < list->count; i++) {
        known += list->rows[i].count;
    }
    ret->keys = list->count;
    ret->reads_per_s = hot_list_per_s(list, list->total);
    if (list->count > 0 && list->total > 0) {
        ret->hottest = list->rows[0].count / list->total;
        ret->known = known / list->total;
    }
    hot_list_release(list);
}

static void desk_show(struct hot_desk *desk, struct hot_list *list)
{
    (void)pthread_mutex_lock(&desk->lock);
    struct hot_list *before = desk->newest;
    desk->newest = list;
    (void)pthread_mutex_unlock(&desk->lock);
    hot_list_release(before);
}

/* --- merging ------------------------------------------------------------------------------------------------------------ */

static void merge_work(uv_work_t *work)
{
    struct hot_desk *desk = work->data;
    desk->made_status = hot_list_of_copies(desk->copies, desk->node->worker_count, desk->rows_max,
                                           clock_now_ms(&desk->node->clock), &desk->made);
    if (desk->made_status == OK && desk->reads > 0) {
        desk->made->hits = desk->made->total * desk->hits / desk->reads;
    }
}

static void merge_done(uv_work_t *work, int cancelled)
{
    struct hot_desk *desk = work->data;
    desk->busy = false;
    if (cancelled == 0 && desk->made_status == OK) {
        desk_show(desk, desk->made);
        metrics_count(desk->first->metrics, M_HOT_MERGES);
    }
    desk->made = NULL;
}

static void tour_visit(struct tour *tour, struct worker *worker)
{
    struct hot_desk *desk = MAP_ENTRY(tour, struct hot_desk, tour);
    const unsigned every = hot_every(&worker->hot);
    worker_read_clock(worker);
    (void)!hot_copy(&worker->hot, &desk->copies[worker->index], worker->now_ms); /* or empty */
    desk->every_seen = every > desk->every_seen ? every : desk->every_seen;
}

static void tour_done(struct tour *tour)
{
    struct hot_desk *desk = MAP_ENTRY(tour, struct hot_desk, tour);
    atomic_store_explicit(&desk->every, desk->every_seen, memory_order_relaxed);
    desk->work.data = desk;
    CHECK(uv_queue_work(&desk->first->loop, &desk->work, merge_work, merge_done) == 0);
}

/* How many of the reads L1 answered: by the same half-life as the sketches. */
static void count_hits(struct hot_desk *desk, int64_t now_ms)
{
    struct totals totals;
    totals_read(desk->node, &totals);
    const uint64_t hits = totals.metrics[M_L1_HITS];
    const uint64_t misses = totals.metrics[M_L1_MISSES];
    const double fade = exp2(-(double)(now_ms - desk->counted_at_ms) / HOT_HALF_LIFE_MS);
    const double came = (double)(hits - desk->hits_then);
    desk->hits = desk->hits * fade + came;
    desk->reads = desk->reads * fade + came + (double)(misses - desk->misses_then);
    desk->hits_then = hits;
    desk->misses_then = misses;
    desk->counted_at_ms = now_ms;
}

void hot_desk_tick(struct hot_desk *desk, struct worker *first)
{
    desk->first = first;
    hot_lists_tick(desk); /* those of others are read, even if nothing is counted here */
    hot_held_tick(desk);
    if (desk->rows_max == 0 || desk->busy ||
        (first->now_ms - desk->merged_at_ms < HOT_MERGE_MS &&
         !atomic_exchange(&desk->wanted, false))) {
        return;
    }
    desk->busy = true;
    desk->merged_at_ms = first->now_ms;
    desk->every_seen = 0;
    count_hits(desk, first->now_ms);
    desk->tour = (struct tour){.visit = tour_visit, .done = tour_done};
    tour_start(&desk->tour, first);
}

/* --- life ----------------------------------------------------------------------------------------------------------------- */

struct hot_desk *hot_desk_new(struct node *node)
{
    struct hot_desk *desk = calloc(1, sizeof(*desk));
    if (desk == NULL) {
        return NULL;
    }
    desk->node = node;
    desk->rows_max = (size_t)node->options.hot_keys;
    desk->copies = calloc(options_threads(&node->options), sizeof(*desk->copies));
    CHECK(pthread_mutex_init(&desk->lock, NULL) == 0);
    hot_lists_open(&desk->lists);
    hot_held_open(&desk->held);
    if (desk->copies == NULL) {
        hot_desk_free(desk);
        return NULL;
    }
    return desk;
}

void hot_desk_free(struct hot_desk *desk)
{
    if (desk == NULL) {
        return;
    }
    for (unsigned i = 0; desk->copies != NULL && i < desk->node->worker_count; i++) {
        hot_copy_done(&desk->copies[i]);
    }
    free(desk->copies);
    hot_lists_close(&desk->lists);
    hot_held_close(&desk->held);
    hot_list_release(desk->newest);
    (void)pthread_mutex_destroy(&desk->lock);
    free(desk);
}
