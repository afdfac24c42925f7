/* SPDX-License-Identifier: BSD-3-Clause */
#include "client/check/judge_inner.h"

#include <stdlib.h>

enum {
    CAPACITY_MIN = 256,
    LOOKED_AT_EACH_TIME = 2, /* more than one comes with each write: the ring never grows behind */
};

/* Room for `count` + 1 items. */
static enum status make_room(void **items, size_t size, uint32_t count, uint32_t *capacity)
{
    if (count < *capacity) {
        return OK;
    }
    if (*capacity > UINT32_MAX / 2) {
        return NO_MEMORY;
    }
    uint32_t larger = *capacity == 0 ? CAPACITY_MIN : *capacity * 2;
    void *moved = realloc(*items, larger * size);
    if (moved == NULL) {
        return NO_MEMORY;
    }
    *items = moved;
    *capacity = larger;
    return OK;
}

/* ------------------------------------------------------------------ writes */

struct write *judge_find(struct judge *judge, uint64_t value)
{
    uint32_t place = index_find(&judge->by_value, value);
    return place == INDEX_NONE ? NULL : &judge->writes[place];
}

static enum status note_writer(struct judge *judge, uint64_t value)
{
    uint64_t counter = value & ((1ull << HISTORY_WRITER_SHIFT) - 1);
    uint64_t writer = value >> HISTORY_WRITER_SHIFT;
    uint32_t place = index_find(&judge->writers, writer);
    if (place == INDEX_NONE) {
        place = judge->counters_count;
        uint64_t *moved = realloc(judge->counters, ((size_t)place + 1) * sizeof *moved);
        if (moved == NULL) {
            return NO_MEMORY;
        }
        judge->counters = moved;
        judge->counters[place] = 0;
        if (index_add(&judge->writers, writer, place) != OK) {
            return NO_MEMORY;
        }
        judge->counters_count++;
    }
    if (counter > judge->counters[place]) {
        judge->counters[place] = counter;
    }
    return OK;
}

bool judge_may_be_forgotten(const struct judge *judge, uint64_t value)
{
    uint32_t place = index_find(&judge->writers, value >> HISTORY_WRITER_SHIFT);
    return !judge->config.strict && place != INDEX_NONE &&
           (value & ((1ull << HISTORY_WRITER_SHIFT) - 1)) <= judge->counters[place];
}

/* Certainly overwritten since before the window, or never there. */
static bool may_go(const struct judge *judge, const struct write *write)
{
    if (write->outcome == 0 || write->key == HISTORY_ALL_KEYS) {
        return false;
    }
    if (write->outcome == HISTORY_REFUSED || write->kind != HISTORY_SET) {
        return true; /* what it left, if anything, stands among the spans */
    }
    uint64_t high_ns =
        write->high_ns > judge->losses_high_ns ? write->high_ns : judge->losses_high_ns;
    const struct step *step = stairs_above(&judge->orders[write->key].all, high_ns);
    return judge->losses_open == 0 && step != NULL && step->completed_ns < judge_keep_ns(judge);
}

static enum status look_later(struct judge *judge, uint32_t place)
{
    if (judge->later.count == judge->later.capacity) {
        uint32_t old = judge->later.capacity;
        void *items = judge->later.items;
        if (make_room(&items, sizeof *judge->later.items, judge->later.count,
                      &judge->later.capacity) != OK) {
            return NO_MEMORY;
        }
        judge->later.items = items;
        for (uint32_t i = 0; i < judge->later.head; i++) { /* what had wrapped around */
            judge->later.items[old + i] = judge->later.items[i];
        }
    }
    uint32_t at = (judge->later.head + judge->later.count) & (judge->later.capacity - 1);
    judge->later.items[at] =
        (struct judge_later){.due_ns = judge->last_ns + judge->config.window_ns, .write = place};
    judge->later.count++;
    return OK;
}

static enum status forget_some(struct judge *judge)
{
    for (int i = 0; i < LOOKED_AT_EACH_TIME && judge->later.count > 0; i++) {
        const struct judge_later item = judge->later.items[judge->later.head];
        if (item.due_ns > judge->last_ns) {
            return OK;
        }
        judge->later.head = (judge->later.head + 1) & (judge->later.capacity - 1);
        judge->later.count--;
        struct write *write = &judge->writes[item.write];
        if (may_go(judge, write)) {
            index_remove(&judge->by_value, write->value);
            write->key = judge->free_write; /* the chain */
            judge->free_write = item.write;
        } else if (look_later(judge, item.write) != OK) {
            return NO_MEMORY;
        }
    }
    return OK;
}

static enum status take_place(struct judge *judge, uint32_t *ret_place)
{
    if (judge->free_write != INDEX_NONE) {
        *ret_place = judge->free_write;
        judge->free_write = judge->writes[*ret_place].key;
        return OK;
    }
    void *items = judge->writes;
    if (make_room(&items, sizeof *judge->writes, judge->writes_used, &judge->writes_capacity) !=
        OK) {
        return NO_MEMORY;
    }
    judge->writes = items;
    *ret_place = judge->writes_used++;
    return OK;
}

enum status judge_add_write(struct judge *judge, const struct history_record *record)
{
    uint32_t place = INDEX_NONE;
    if ((!judge->config.strict && forget_some(judge) != OK) ||
        note_writer(judge, record->value) != OK || take_place(judge, &place) != OK ||
        index_add(&judge->by_value, record->value, place) != OK) {
        return NO_MEMORY;
    }
    judge->writes[place] = (struct write){
        .value = record->value,
        .begun_ns = record->invoked_ns,
        .high_ns = HISTORY_NEVER,
        .gone_ns = HISTORY_NEVER,
        .key = record->key,
        .session = record->session,
        .life_ms = record->life_ms,
        .node = record->node,
        .kind = record->kind,
    };
    return judge->config.strict ? OK : look_later(judge, place);
}

/* ------------------------------------------------------------------ sessions */

static uint64_t view_number(uint32_t session, uint32_t key)
{
    return (uint64_t)session << 32 | key;
}

/* A view that nobody touches goes with the older half, between one window and two after its last touch. */
static void turn_views(struct judge *judge)
{
    if (judge->config.strict || judge->last_ns - judge->views_since_ns < judge->config.window_ns) {
        return;
    }
    judge->views_since_ns = judge->last_ns;
    struct judge_views older = judge->views[1];
    judge->views[1] = judge->views[0];
    judge->views[0] = older;
    judge->views[0].count = 0;
    index_clear(&judge->views[0].index);
}

struct judge_view *judge_view_make(struct judge *judge, uint32_t session, uint32_t key)
{
    turn_views(judge);
    uint64_t number = view_number(session, key);
    struct judge_views *views = &judge->views[0];
    uint32_t place = index_find(&views->index, number);
    if (place != INDEX_NONE) {
        return &views->items[place];
    }
    void *items = views->items;
    if (make_room(&items, sizeof *views->items, views->count, &views->capacity) != OK) {
        return NULL;
    }
    views->items = items;
    uint32_t older = index_find(&judge->views[1].index, number);
    if (index_add(&views->index, number, views->count) != OK) {
        return NULL;
    }
    struct judge_view *view = &views->items[views->count++];
    *view = older == INDEX_NONE ? (struct judge_view){0} : judge->views[1].items[older];
    return view;
}

/* ------------------------------------------------------------------ all keys at once */

enum status judge_note_wide(struct judge *judge, uint64_t value, uint64_t moment_ns, bool ends)
{
    void *items = judge->wide.items;
    if (make_room(&items, sizeof *judge->wide.items, judge->wide.count, &judge->wide.capacity) !=
        OK) {
        return NO_MEMORY;
    }
    judge->wide.items = items;
    judge->wide.items[judge->wide.count++] = (struct judge_wide){
        .moment_ns = moment_ns, .write = index_find(&judge->by_value, value), .ends = ends};
    return OK;
}

void judge_memory_done(struct judge *judge)
{
    free(judge->writes);
    free(judge->counters);
    free(judge->later.items);
    free(judge->wide.items);
    index_done(&judge->by_value);
    index_done(&judge->writers);
    for (int i = 0; i < 2; i++) {
        free(judge->views[i].items);
        index_done(&judge->views[i].index);
    }
}
