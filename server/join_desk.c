/* SPDX-License-Identifier: BSD-3-Clause */
#include "server/join_desk.h"

#include "server/hot_desk.h"
#include "server/node.h"
#include "server/totals.h"
#include "server/warm_run.h"
#include "server/worker.h"
#include "tiers/tiers.h"

#include <stdlib.h>
#include <string.h>

enum {
    PRIORITY = 1000, /* above all jobs: who is not ready serves nobody */
    PRIORITY_READY = 9,
    AGAIN_MS = 1000,
    ASKS_MAX = 3,
    RATE_LEAST = 500, /* keys per second */
    PART_OF_DEADLINE = 3,
    MS_PER_S = 1000,
};

enum phase {
    PHASE_WAITS, /* for L2, or to ask once more */
    PHASE_ASKS,
    PHASE_WARMS,
    PHASE_OVER
};

/* Of a row of the list, as bits. */
enum {
    ROW_HELD = 1, /* when it was looked at last */
    ROW_CAME = 2, /* it was brought in */
    ROW_OUT = 4   /* it cannot be kept */
};

struct join_desk {
    enum phase phase;
    struct worker *worker;
    struct hot_fetch fetch;
    int64_t again_ms; /* not before */
    unsigned asks;    /* in vain */
    struct hot_list *list;
    size_t count; /* of its rows */
    uint8_t *rows;
    struct warm_key *keys; /* fed, and */
    uint32_t *fed;         /* which rows they are */
    struct warm_run *run;
    struct warm_pace pace;
    bool is_hungry;
    size_t looked;      /* the next row to look at */
    size_t unsure;      /* rows that were not looked at since the engine became hungry */
    double held;        /* reads of keys that are held */
    double all;         /* of keys that can be */
    size_t in;          /* how many these are */
    double listed;      /* of all of the list */
    uint64_t evictions; /* when it began */
    bool is_full;
};

static const char is_off[] = "warm-rate is 0";

struct join_desk *join_desk_new(void)
{
    return calloc(1, sizeof(struct join_desk));
}

static void forget_list(struct join_desk *desk)
{
    warm_run_end(desk->run);
    hot_list_release(desk->list);
    free(desk->rows);
    free(desk->keys);
    free(desk->fed);
    desk->run = NULL;
    desk->list = NULL;
    desk->rows = NULL;
    desk->keys = NULL;
    desk->fed = NULL;
}

void join_desk_free(struct join_desk *desk)
{
    if (desk != NULL) {
        forget_list(desk);
        free(desk);
    }
}

void join_desk_end(struct join_desk *desk)
{
    if (desk != NULL) {
        if (desk->phase == PHASE_ASKS) {
            hot_desk_forget(&desk->fetch);
        }
        forget_list(desk);
        desk->phase = PHASE_OVER;
    }
}

static struct join *join_of(const struct join_desk *desk)
{
    return &desk->worker->node->join;
}

static uint64_t evictions_of(const struct node *node)
{
    struct totals totals;
    totals_read(node, &totals);
    return totals.l1.evictions;
}

/* --- the mass ---------------------------------------------------------------------------------------------------- */

/* Whether a read of the key would be answered here. */
static bool is_held(const struct join_desk *desk, const struct hot_row *row, bool *ret_stands)
{
    const struct worker *worker = desk->worker;
    const struct ns_key key = namespaces_key(worker->node->namespaces, row->db, row->key);
    struct l1_look look;
    l1_look(key.ns->l1, &key.at, worker->now_ms, &look);
    *ret_stands = look.has_value || look.has_claim;
    return look.has_value && !tiers_age(worker->window, key.ns, look.stamped_at_ms).is_suspect;
}

static void mark_held(struct join_desk *desk, size_t place, bool held)
{
    const double count = desk->list->rows[place].count;
    if (held != ((desk->rows[place] & ROW_HELD) != 0)) {
        desk->rows[place] ^= ROW_HELD;
        desk->held += held ? count : -count;
    }
}

static void take_out(struct join_desk *desk, size_t place)
{
    if ((desk->rows[place] & ROW_OUT) == 0) {
        mark_held(desk, place, false);
        desk->rows[place] |= ROW_OUT;
        desk->all -= desk->list->rows[place].count;
        desk->in--;
    }
}

/* What came and is not there any more, though nobody may have changed it, had to leave for others: all cannot stay. */
static void look_at(struct join_desk *desk, size_t place)
{
    bool stands = false;
    const bool held = is_held(desk, &desk->list->rows[place], &stands);
    if (!stands && desk->is_full && (desk->rows[place] & ROW_CAME) != 0) {
        take_out(desk, place);
    } else if ((desk->rows[place] & ROW_OUT) == 0) {
        mark_held(desk, place, held);
    }
}

static void look_around(struct join_desk *desk)
{
    const size_t count = desk->count < JOIN_LOOKS ? desk->count : JOIN_LOOKS;
    desk->is_full = desk->is_full || evictions_of(desk->worker->node) > desk->evictions;
    for (size_t i = 0; i < count; i++) {
        look_at(desk, desk->looked);
        desk->looked = desk->looked + 1 < desk->count ? desk->looked + 1 : 0;
    }
    desk->unsure -= desk->unsure < count ? desk->unsure : count;
    join_tell_mass(join_of(desk), &(struct join_mass){.held = desk->held,
                                                      .all = desk->all,
                                                      .listed = desk->listed,
                                                      .total = desk->list->total});
}

/* --- the run ----------------------------------------------------------------------------------------------------- */

static void on_result(void *arg, size_t index, const struct warm_result *result)
{
    struct join_desk *desk = arg;
    const size_t place = desk->fed[index];
    bool stands = false;
    switch (result->outcome) {
    case PREFETCH_LOADED: desk->rows[place] |= ROW_CAME; break;
    case PREFETCH_SKIPPED: /* because it stands here, or cannot */
        if (!is_held(desk, &desk->list->rows[place], &stands) && !stands) {
            take_out(desk, place);
        }
        break;
    case PREFETCH_ABSENT:
    case PREFETCH_TOO_BIG:
    case PREFETCH_FAILED: take_out(desk, place); break;
    }
}

static void on_hungry(void *arg)
{
    struct join_desk *desk = arg;
    desk->is_hungry = true;
    desk->unsure = desk->count;
    desk->again_ms = desk->worker->now_ms + AGAIN_MS;
}

/* What is neither held nor given up, the hottest first. How many keys that is. */
static size_t feed(struct join_desk *desk)
{
    size_t count = 0;
    for (size_t i = 0; i < desk->count; i++) {
        if ((desk->rows[i] & (ROW_HELD | ROW_OUT)) == 0) {
            const struct hot_row *row = &desk->list->rows[i];
            desk->fed[count] = (uint32_t)i;
            desk->keys[count++] =
                (struct warm_key){.key = row->key, .db = row->db, .heat = row->heat};
        }
    }
    desk->is_hungry = count == 0 || warm_run_feed(desk->run, desk->keys, count) != OK;
    return count;
}

/* All of the list in a third of the deadline: Redis is not to feel what clients do not wait for. A short list comes at once. */
static uint64_t rate_of(const struct join_desk *desk)
{
    const int64_t deadline_ms = atomic_load(&desk->worker->node->live.warm_deadline_ms);
    const uint64_t part_ms = (uint64_t)deadline_ms / PART_OF_DEADLINE;
    const uint64_t rate = part_ms > 0 ? desk->count * MS_PER_S / part_ms : 0;
    return part_ms > 0 && rate < RATE_LEAST ? RATE_LEAST : rate;
}

static enum status begin_run(struct join_desk *desk, struct hot_list *list)
{
    const struct warm_run_options options = {.pace = &desk->pace,
                                             .mode = PREFETCH_STALE,
                                             .act = PREFETCH_LOAD,
                                             .priority = PRIORITY,
                                             .on_result = on_result,
                                             .on_hungry = on_hungry,
                                             .arg = desk};
    desk->list = hot_list_ref(list);
    desk->count = list->count < JOIN_KEYS_MAX ? list->count : JOIN_KEYS_MAX;
    desk->rows = calloc(desk->count, sizeof(*desk->rows));
    desk->keys = calloc(desk->count, sizeof(*desk->keys));
    desk->fed = calloc(desk->count, sizeof(*desk->fed));
    warm_pace_init(&desk->pace, rate_of(desk), 0, desk->worker->now_ms);
    desk->run = warm_run_new(desk->worker, &options);
    if (desk->rows == NULL || desk->keys == NULL || desk->fed == NULL || desk->run == NULL) {
        return NO_MEMORY;
    }
    for (size_t i = 0; i < desk->count; i++) {
        desk->listed += list->rows[i].count;
    }
    desk->all = desk->listed;
    desk->in = desk->count;
    desk->evictions = evictions_of(desk->worker->node);
    (void)feed(desk);
    return OK;
}

static void give_up(struct join_desk *desk, const char *why)
{
    join_tell_nothing(join_of(desk), why);
    forget_list(desk);
    desk->phase = PHASE_OVER;
}

/* NULL: L2 could not be asked, or what it answers is no list, which nobody can mend by waiting. */
static void on_list(struct hot_fetch *fetch, struct hot_list *list)
{
    struct join_desk *desk =
        (struct join_desk *)(void *)((char *)fetch - offsetof(struct join_desk, fetch));
    if (list == NULL && ++desk->asks == ASKS_MAX) {
        give_up(desk, "the hot lists in L2 cannot be read");
    } else if (list == NULL) {
        desk->phase = PHASE_WAITS;
        desk->again_ms = desk->worker->now_ms + AGAIN_MS;
    } else if (list->count == 0) {
        give_up(desk, "no other node has left a hot list in L2");
    } else if (begin_run(desk, list) != OK) {
        give_up(desk, "no memory for the hot lists");
    } else {
        desk->phase = PHASE_WARMS;
        look_around(desk);
    }
}

static void ask(struct join_desk *desk)
{
    const struct node *node = desk->worker->node;
    if (atomic_load(&node->live.warm_rate) == 0) {
        give_up(desk, is_off);
        return;
    }
    desk->fetch = (struct hot_fetch){.on_list = on_list, .rows_max = JOIN_KEYS_MAX};
    if (hot_desk_fetch(node->hot, &desk->fetch) == OK) {
        desk->phase = PHASE_ASKS;
    }
}

static void tell_end(struct join_desk *desk)
{
    size_t came = 0;
    size_t out = 0;
    for (size_t i = 0; i < desk->count; i++) {
        came += (desk->rows[i] & ROW_CAME) != 0;
        out += (desk->rows[i] & ROW_OUT) != 0;
    }
    log_write(&desk->worker->node->log, LOG_NOTICE, "warmed",
              "by the others' hot lists: keys=%zu read=%zu cannot_be_kept=%zu hot_mass=%u.%u%% "
              "of_lists=%.1f%%",
              desk->count, came, out, join_mass(join_of(desk)) / 10, join_mass(join_of(desk)) % 10,
              desk->listed > 0 ? 100 * desk->all / desk->listed : 0);
}

static void warm(struct join_desk *desk)
{
    const bool is_ready = join_is_ready(join_of(desk));
    if (!is_ready && atomic_load(&desk->worker->node->live.warm_rate) == 0) {
        give_up(desk, is_off);
        return;
    }
    look_around(desk);
    warm_run_set_priority(desk->run, is_ready ? PRIORITY_READY : PRIORITY);
    warm_pace_set(&desk->pace, is_ready ? (rate_of(desk) + 1) / 2 : rate_of(desk), 0);
    if (!desk->is_hungry || desk->unsure > 0 || desk->worker->now_ms < desk->again_ms) {
        return;
    }
    if (desk->in == 0) {
        give_up(desk, "of what the others' hot lists name nothing can be kept here");
    } else if (is_ready) {
        tell_end(desk);
        forget_list(desk);
        desk->phase = PHASE_OVER;
    } else {
        desk->again_ms = desk->worker->now_ms + AGAIN_MS;
        (void)feed(desk);
    }
}

void join_desk_tick(struct join_desk *desk, struct worker *first)
{
    desk->worker = first;
    switch (desk->phase) {
    case PHASE_WAITS:
        /* WARMING, or ready already because nobody wanted to wait. */
        if (join_state(join_of(desk)) != JOIN_APART && first->now_ms >= desk->again_ms) {
            ask(desk);
        }
        break;
    case PHASE_WARMS: warm(desk); break;
    case PHASE_ASKS:
    case PHASE_OVER: break;
    }
}
