/* SPDX-License-Identifier: BSD-3-Clause */
#include "server/join_desk.h"

#include "server/hot_desk.h"
#include "server/hot_pages.h"
#include "server/join_pace.h"
#include "server/node.h"
#include "server/snapshot_revive.h"
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
    FED_AT_ONCE = 8192,
    PERCENT = 100,
    BEATS_TELL_MS = 2000,   /* they come several times a second */
    OTHERS_LIVE_MS = 20000, /* lists are written every five seconds */
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

/* What the lists say of the nodes that wrote them. */
struct others {
    bool live;      /* some: their beats will tell what they are read */
    bool off_clock; /* there are lists, and by this node's clock none is of use */
    double
        reads_per_s; /* that each of them would have, if this one had its share; for when no beat tells */
    size_t keys_max; /* of the mean size of theirs: so many L1 can hold */
};

struct join_desk {
    enum phase phase;
    struct worker *worker;
    struct hot_fetch fetch;
    int64_t again_ms;        /* not before */
    unsigned asks;           /* in vain */
    struct hot_pages *pages; /* while they are read */
    struct others others;
    struct hot_list *list;
    size_t count; /* of its rows */
    uint8_t *rows;
    struct warm_key *keys; /* fed, and */
    uint32_t *fed;         /* which rows they are */
    size_t next;           /* row to be fed; all before it were, in this pass */
    int64_t began_ms;
    size_t to_target; /* rows, the hottest first, that make the target */
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

/* Of a key that nobody has read of late: next to nothing, but where that is so of all a part of them is one all the same. */
#define WEIGHT_LEAST 1e-6

static const char is_off[] = "warm-rate is 0";
static const char no_memory[] = "no memory for the hot lists";

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
    desk->looked = desk->unsure = desk->in = desk->next = 0;
    desk->held = desk->all = desk->listed = 0;
    desk->is_full = false;
}

void join_desk_free(struct join_desk *desk)
{
    if (desk != NULL) {
        forget_list(desk);
        free(desk);
    }
}

bool join_desk_is_over(const struct join_desk *desk)
{
    return desk->phase == PHASE_OVER;
}

void join_desk_end(struct join_desk *desk)
{
    if (desk != NULL) {
        if (desk->phase == PHASE_ASKS) {
            hot_desk_forget(&desk->fetch);
        }
        hot_pages_forget(desk->pages);
        desk->pages = NULL;
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

static double weight_of(const struct hot_row *row)
{
    return row->count + WEIGHT_LEAST;
}

static void mark_held(struct join_desk *desk, size_t place, bool held)
{
    const double weight = weight_of(&desk->list->rows[place]);
    if (held != ((desk->rows[place] & ROW_HELD) != 0)) {
        desk->rows[place] ^= ROW_HELD;
        desk->held += held ? weight : -weight;
    }
}

static void take_out(struct join_desk *desk, size_t place)
{
    if ((desk->rows[place] & ROW_OUT) == 0) {
        mark_held(desk, place, false);
        desk->rows[place] |= ROW_OUT;
        desk->all -= weight_of(&desk->list->rows[place]);
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

/* What the lists do not name is no less a hit of the others. */
static void tell_mass(const struct join_desk *desk)
{
    const double hits = desk->list->hits > desk->listed ? desk->list->hits : desk->listed;
    if (desk->pages != NULL) {
        return; /* the list alone says too little of what is missing */
    }
    join_tell_mass(join_of(desk), &(struct join_mass){.held = desk->held,
                                                      .all = desk->all,
                                                      .listed = hits,
                                                      .total = desk->list->total});
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
    tell_mass(desk);
}

/* --- the run ----------------------------------------------------------------------------------------------------- */

static void on_result(void *arg, size_t index, const struct warm_result *result)
{
    struct join_desk *desk = arg;
    const size_t place = desk->fed[index];
    bool stands = false;
    switch (result->outcome) {
    case PREFETCH_LOADED:
        desk->rows[place] |= ROW_CAME;
        look_at(desk, place);
        break;
    case PREFETCH_SKIPPED: /* because it stands here, or cannot */
        if (!is_held(desk, &desk->list->rows[place], &stands) && !stands) {
            take_out(desk, place);
        } else {
            look_at(desk, place);
        }
        break;
    case PREFETCH_ABSENT:
    case PREFETCH_TOO_BIG:
    case PREFETCH_FAILED: take_out(desk, place); break;
    }
}

/* The next of what is neither held nor given up, the hottest first. False: there is no more in this pass. */
static bool feed(struct join_desk *desk)
{
    size_t count = 0;
    for (; desk->next < desk->count && count < FED_AT_ONCE; desk->next++) {
        if ((desk->rows[desk->next] & (ROW_HELD | ROW_OUT)) == 0) {
            const struct hot_row *row = &desk->list->rows[desk->next];
            desk->fed[count] = (uint32_t)desk->next;
            desk->keys[count++] =
                (struct warm_key){.key = row->key, .db = row->db, .heat = row->heat};
        }
    }
    desk->is_hungry = count == 0 || warm_run_feed(desk->run, desk->keys, count) != OK;
    return !desk->is_hungry;
}

static void on_hungry(void *arg)
{
    struct join_desk *desk = arg;
    if (!feed(desk)) {
        desk->unsure = desk->count;
        desk->again_ms = desk->worker->now_ms + AGAIN_MS;
    }
}

/* Keys until the target is reached, the hottest first. */
static size_t keys_to_target(const struct join_desk *desk)
{
    const int64_t percent = atomic_load(&desk->worker->node->live.warm_target);
    const double target = desk->listed * (double)percent / PERCENT;
    double sum = 0;
    size_t keys = 0;
    while (keys < desk->count && sum < target) {
        sum += weight_of(&desk->list->rows[keys++]);
    }
    return keys;
}

/* Keys per second now. */
static uint64_t rate_of(const struct join_desk *desk, bool is_ready)
{
    const uint64_t expects = join_expects(join_of(desk));
    const struct join_pace pace = {
        .reads_per_s = expects > 0 ? (double)expects : desk->others.reads_per_s,
        .keys = desk->count,
        .to_target = desk->to_target,
        .deadline_ms = atomic_load(&desk->worker->node->live.warm_deadline_ms),
    };
    if (expects == 0 && desk->others.live &&
        desk->worker->now_ms - desk->began_ms < BEATS_TELL_MS) {
        return JOIN_RATE_LEAST;
    }
    return is_ready ? join_pace_when_ready(&pace, join_misses_per_s(join_of(desk)))
                    : join_pace_until_ready(&pace);
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
    desk->count = list->count < desk->others.keys_max ? list->count : desk->others.keys_max;
    desk->rows = calloc(desk->count, sizeof(*desk->rows));
    desk->keys = calloc(FED_AT_ONCE, sizeof(*desk->keys));
    desk->fed = calloc(FED_AT_ONCE, sizeof(*desk->fed));
    desk->run = warm_run_new(desk->worker, &options);
    if (desk->rows == NULL || desk->keys == NULL || desk->fed == NULL || desk->run == NULL) {
        return NO_MEMORY;
    }
    for (size_t i = 0; i < desk->count; i++) {
        desk->listed += weight_of(&list->rows[i]);
    }
    desk->all = desk->listed;
    desk->in = desk->count;
    desk->evictions = evictions_of(desk->worker->node);
    desk->to_target = keys_to_target(desk);
    warm_pace_init(&desk->pace, rate_of(desk, false), 0, desk->worker->now_ms);
    look_around(desk); /* what is here need not be fed */
    if (!feed(desk)) {
        desk->unsure = desk->count;
    }
    return OK;
}

static void give_up(struct join_desk *desk, const char *why)
{
    join_tell_nothing(join_of(desk), why);
    hot_pages_forget(desk->pages);
    desk->pages = NULL;
    forget_list(desk);
    desk->phase = PHASE_OVER;
}

/* Lists were asked for, and name nothing. */
static const char *why_nothing(const struct join_desk *desk)
{
    return desk->others.off_clock
               ? "the hot lists in L2 are more than an hour from this node's clock"
               : "no other node has left a hot list in L2";
}

/* All that is known: in place of what was begun with. */
static void on_pages(void *arg, struct hot_list *list)
{
    struct join_desk *desk = arg;
    desk->pages = NULL;
    if (list == NULL || list->count == 0) {
        if (desk->list == NULL) {
            give_up(desk, list == NULL ? no_memory : why_nothing(desk));
        } /* else what was begun goes on */
        return;
    }
    worker_read_clock(desk->worker);
    forget_list(desk);
    desk->phase = PHASE_WARMS;
    if (begin_run(desk, list) != OK) {
        give_up(desk, no_memory);
    }
}

/* One that lives has written a few seconds ago. If none does, this one will have all that they had. */
static struct others know_others(const struct join_desk *desk)
{
    const struct node *node = desk->worker->node;
    const int64_t now_ms = clock_now_ms(&node->clock);
    double reads[2] = {0};
    double nodes[2] = {0};
    double keys = 0;
    double bytes = 0;
    bool off_clock = desk->fetch.found_count > 0;
    for (size_t i = 0; i < desk->fetch.found_count; i++) {
        const struct hot_list *list = desk->fetch.found[i].list;
        const bool lives = now_ms - list->written_at_ms < OTHERS_LIVE_MS;
        off_clock = off_clock && hot_list_weight(list, now_ms) == 0;
        reads[lives] += hot_list_per_s(list, list->total);
        nodes[lives]++;
        keys += (double)list->held.keys;
        bytes += (double)list->held.bytes;
    }
    struct l1_stats stats;
    namespaces_stats(node->namespaces, &stats);
    const double fit = keys > 0 ? (double)stats.bytes_max * keys / (bytes + 1) : JOIN_KEYS_MAX;
    return (struct others){.live = nodes[1] > 0,
                           .off_clock = off_clock,
                           .reads_per_s = nodes[1] > 0 ? reads[1] / (nodes[1] + 1) : reads[0],
                           .keys_max = fit < JOIN_KEYS_MAX ? (size_t)fit + 1 : JOIN_KEYS_MAX};
}

/* The pages that the lists name, and what the own snapshot has. False: there is neither. */
static bool begin_pages(struct join_desk *desk)
{
    const struct node *node = desk->worker->node;
    struct hot_list *own =
        revive_list(node->snapshot_revive, JOIN_KEYS_MAX, clock_now_ms(&node->clock));
    const struct hot_pages_wish wish = {.found = desk->fetch.found,
                                        .found_count = desk->fetch.found_count,
                                        .own = own,
                                        .keys_max = desk->others.keys_max,
                                        .on_list = on_pages,
                                        .arg = desk};
    bool are_there = own != NULL;
    for (size_t i = 0; i < desk->fetch.found_count; i++) {
        are_there = are_there || desk->fetch.found[i].list->held.pages > 0;
    }
    if (are_there) {
        desk->pages = hot_pages_read(desk->worker, &wish);
    }
    hot_list_release(own);
    return desk->pages != NULL;
}

/* What the lists name is begun with, while pages come. */
static void begin(struct join_desk *desk, struct hot_list *list)
{
    desk->others = know_others(desk);
    desk->began_ms = desk->worker->now_ms;
    const bool more = begin_pages(desk);
    if (list == NULL || list->count == 0) {
        if (!more) {
            give_up(desk, list == NULL ? "the hot lists in L2 cannot be read" : why_nothing(desk));
        } /* else on_pages begins */
    } else if (begin_run(desk, list) != OK) {
        give_up(desk, no_memory);
    } else {
        desk->phase = PHASE_WARMS;
    }
}

/* NULL: L2 could not be asked, or what it answers is no list, which nobody can mend by waiting. */
static void on_list(struct hot_fetch *fetch, struct hot_list *list)
{
    struct join_desk *desk =
        (struct join_desk *)(void *)((char *)fetch - offsetof(struct join_desk, fetch));
    if (list == NULL && ++desk->asks < ASKS_MAX) {
        desk->phase = PHASE_WAITS;
        desk->again_ms = desk->worker->now_ms + AGAIN_MS;
    } else {
        begin(desk, list);
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
              "of_hits=%u.%u%%",
              desk->count, came, out, join_mass(join_of(desk)) / 10, join_mass(join_of(desk)) % 10,
              join_fits(join_of(desk)) / 10, join_fits(join_of(desk)) % 10);
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
    warm_pace_set(&desk->pace, rate_of(desk, is_ready), 0);
    if (desk->pages != NULL || !desk->is_hungry || desk->unsure > 0 ||
        desk->worker->now_ms < desk->again_ms) {
        return;
    }
    if (desk->in == 0) {
        give_up(desk, "of what the others' hot lists name nothing can be kept here");
    } else if (is_ready) {
        tell_end(desk);
        forget_list(desk);
        desk->phase = PHASE_OVER;
    } else {
        desk->next = 0;
        if (!feed(desk)) {
            desk->again_ms = desk->worker->now_ms + AGAIN_MS;
            desk->unsure = desk->count;
        }
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
