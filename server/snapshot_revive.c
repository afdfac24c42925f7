/* SPDX-License-Identifier: BSD-3-Clause */
#include "server/snapshot_revive.h"

#include "server/join_desk.h"
#include "server/node.h"
#include "server/warm_run.h"
#include "server/worker.h"
#include "tiers/tiers.h"

#include <math.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

enum {
    PRIORITY = 5, /* beside jobs, which have 4 unless they say otherwise */
    KEY_HEAD = 4, /* db, hotness, size */
    HOTNESSES = POLICY_HOTNESS_MAX + 1
};

struct revive {
    struct buf keys; /* db, hotness, u16 size, key ... */
    size_t at;       /* what was fed ends here */
    _Atomic uint64_t left;
    struct warm_run *run; /* while it goes on */
    bool over;
    size_t count; /* of the list */
    struct warm_key list[REVIVE_LIST];
};

struct revive *revive_new(void)
{
    return calloc(1, sizeof(struct revive));
}

void revive_free(struct revive *revive)
{
    if (revive != NULL) {
        buf_done(&revive->keys);
        free(revive);
    }
}

void revive_note(void *arg, uint8_t db, struct slice key, uint8_t hotness)
{
    struct revive *revive = arg;
    const size_t size = KEY_HEAD + key.size;
    if (revive == NULL || revive->keys.size + size > REVIVE_BYTES_MAX ||
        buf_reserve(&revive->keys, size) != OK) {
        return;
    }
    char *head = revive->keys.data + revive->keys.size;
    head[0] = (char)db;
    head[1] = (char)hotness;
    put_u16le(head + 2, (uint16_t)key.size);
    revive->keys.size += KEY_HEAD;
    (void)!buf_append_slice(&revive->keys, key); /* there is room */
    atomic_fetch_add(&revive->left, 1);
}

void revive_forget(struct revive *revive)
{
    if (revive != NULL) {
        buf_done(&revive->keys);
        revive->at = 0;
        atomic_store(&revive->left, 0);
    }
}

uint64_t revive_left(const struct revive *revive)
{
    return revive == NULL ? 0 : atomic_load(&revive->left);
}

/* --- as a list --------------------------------------------------------------------------------------------------------- */

struct noted {
    struct slice key;
    uint8_t db;
    uint8_t hotness;
};

/* The one at *at, which goes on; false: there are no more that a list may name. */
static bool next_noted(const struct revive *revive, size_t *at, struct noted *ret)
{
    do {
        if (*at >= revive->keys.size) {
            return false;
        }
        const char *head = revive->keys.data + *at;
        *ret = (struct noted){.key = {head + KEY_HEAD, get_u16le(head + 2)},
                              .db = (uint8_t)head[0],
                              .hotness = (uint8_t)head[1]};
        *at += KEY_HEAD + ret->key.size;
    } while (ret->key.size > HOT_KEY_MAX);
    return true;
}

/* Reads of a key for one of a newcomer. */
static double reads_of(unsigned hotness)
{
    return exp2(((double)hotness - POLICY_HOTNESS_NEW) / POLICY_HOTNESS_DOUBLE);
}

/* Where the rows of each hotness begin, the hottest first; how many rows there are, how many bytes of keys. */
static size_t place_rows(const struct revive *revive, size_t begins[HOTNESSES], size_t *ret_bytes)
{
    struct noted noted;
    size_t counts[HOTNESSES] = {0};
    size_t rows = 0;
    *ret_bytes = 0;
    for (size_t at = 0; next_noted(revive, &at, &noted);) {
        counts[noted.hotness]++;
        *ret_bytes += noted.key.size;
    }
    for (unsigned hotness = HOTNESSES; hotness-- > 0;) {
        begins[hotness] = rows;
        rows += counts[hotness];
    }
    return rows;
}

static void scale(struct hot_list *list, double sum)
{
    for (size_t i = 0; i < list->count; i++) {
        list->rows[i].count *= REVIVE_READS / sum;
    }
    list->total = list->hits = REVIVE_READS;
}

struct hot_list *revive_list(const struct revive *revive, size_t rows_max, int64_t unix_ms)
{
    size_t begins[HOTNESSES];
    size_t bytes = 0;
    const size_t rows = revive == NULL ? 0 : place_rows(revive, begins, &bytes);
    struct hot_list *list =
        rows == 0 ? NULL : hot_list_new(rows < rows_max ? rows : rows_max, bytes);
    if (list == NULL) {
        return NULL;
    }
    struct noted noted;
    char *keys = list->keys;
    double sum = 0;
    list->written_at_ms = unix_ms;
    list->count = rows < rows_max ? rows : rows_max;
    for (size_t at = 0; next_noted(revive, &at, &noted);) {
        const size_t place = begins[noted.hotness]++;
        if (place < list->count) {
            const double reads = reads_of(noted.hotness);
            list->rows[place] = (struct hot_row){.key = {keys, noted.key.size},
                                                 .count = reads,
                                                 .db = noted.db,
                                                 .heat = hot_heat(reads)};
            memcpy(keys, noted.key.data, noted.key.size);
            keys += noted.key.size;
            sum += reads;
        }
    }
    scale(list, sum);
    return list;
}

/* --- the first worker's ---------------------------------------------------------------------------------------------- */

static void read_list(struct revive *revive)
{
    revive->count = 0;
    while (revive->count < REVIVE_LIST && revive->at < revive->keys.size) {
        const char *head = revive->keys.data + revive->at;
        const struct slice key = {head + KEY_HEAD, get_u16le(head + 2)};
        revive->list[revive->count++] = (struct warm_key){.key = key, .db = (uint8_t)head[0]};
        revive->at += KEY_HEAD + key.size;
    }
}

static void end(struct revive *revive)
{
    warm_run_end(revive->run);
    revive->run = NULL;
    revive->over = true;
    revive_forget(revive);
}

static void on_result(void *arg, size_t index, const struct warm_result *result)
{
    struct revive *revive = arg;
    (void)index;
    (void)result;
    atomic_fetch_sub(&revive->left, 1);
}

static void feed(void *arg)
{
    struct revive *revive = arg;
    read_list(revive);
    if (revive->count == 0 || warm_run_feed(revive->run, revive->list, revive->count) != OK) {
        end(revive);
    }
}

/* Before that nothing would be kept, and what is proved an instant later would be read for nothing. Until the
 * desk is over that reads by the list, at a pace that L2 does not feel; what was not in that is left. */
static bool is_known(const struct worker *worker)
{
    const struct coherence_view *view = coherence_view(tiers_coherence(worker->node->tiers));
    return join_desk_is_over(worker->node->join_desk) && coherence_fresh(view, worker->now_ms) &&
           atomic_load_explicit(&view->managed.floor_ms, memory_order_acquire) != INT64_MAX;
}

void revive_tick(struct revive *revive, struct worker *worker)
{
    if (revive == NULL || revive->over || revive->run != NULL || worker->node->tiers == NULL ||
        revive->keys.size == 0 || !is_known(worker)) {
        return;
    }
    revive->run = warm_run_new(worker, &(struct warm_run_options){.mode = PREFETCH_STALE,
                                                                  .act = PREFETCH_LOAD,
                                                                  .priority = PRIORITY,
                                                                  .on_result = on_result,
                                                                  .on_hungry = feed,
                                                                  .arg = revive});
    if (revive->run != NULL) {
        feed(revive);
    }
}

void revive_stop(struct revive *revive)
{
    if (revive != NULL && !revive->over) {
        end(revive);
    }
}
