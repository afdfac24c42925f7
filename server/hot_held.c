/* SPDX-License-Identifier: BSD-3-Clause */
/* hot_held.c -- what L1 holds is written down (held.h), and goes into L2 page by page. */
#include "protocol/check.h"
#include "server/hot_inner.h"
#include "server/join.h"
#include "server/node.h"
#include "server/totals.h"
#include "server/worker.h"
#include "tiers/tiers.h"

#include <stdio.h>
#include <string.h>

enum {
    AGAIN_MS = 5000 /* it is looked again whether L1 changed */
};

extern const char held_script[];
/* The script's text, with a NUL behind it. The path is seen from the project root, where the build runs. */
__asm__(".pushsection .rodata\n"
        ".global held_script\n"
        ".type held_script, %object\n"
        "held_script:\n"
        ".incbin \"tiers/scripts/held.lua\"\n"
        ".byte 0\n"
        ".size held_script, . - held_script\n"
        ".popsection\n");

const struct slice held_nodes_key = SLICE_LITERAL("terrace:hot:held");

struct slice held_key(char dst[HELD_KEY_SIZE + 1], struct slice node, uint64_t writing)
{
    (void)snprintf(dst, HELD_KEY_SIZE + 1, "terrace:hot:held:%.*s:%u", (int)node.size, node.data,
                   (unsigned)(writing & 1));
    return (struct slice){dst, HELD_KEY_SIZE};
}

/* --- who may look ------------------------------------------------------------------------------------------------------ */

static bool walk_change(struct hot_held *held, enum hot_walk from, enum hot_walk to)
{
    int expected = from;
    return atomic_compare_exchange_strong(&held->walk, &expected, to);
}

bool hot_desk_keep_off(struct hot_desk *desk)
{
    return atomic_load(&desk->held.walk) == WALK_KEPT_OFF ||
           walk_change(&desk->held, WALK_FREE, WALK_KEPT_OFF);
}

void hot_desk_let_walk(struct hot_desk *desk)
{
    (void)walk_change(&desk->held, WALK_KEPT_OFF, WALK_FREE);
}

/* --- into L2 ----------------------------------------------------------------------------------------------------------- */

static void held_write_next(struct hot_desk *desk);

/* The one under way is over; what was named before still is, unless this one is told. */
static void held_over(struct hot_desk *desk)
{
    held_done(&desk->held.made);
    desk->held.busy = false;
}

/* All pages are there: from now on the list names them. */
static void held_tell(struct hot_desk *desk)
{
    struct hot_held *held = &desk->held;
    held->told = held->made.told;
    held->rows = held->made.rows;
    held->bytes = held->made.bytes.size;
    held->fills_then = held->fills_now;
    held->items_then = held->items_now;
    held->written_at_ms = desk->first->now_ms;
    held->due_ms = desk->first->now_ms + HELD_EVERY_MS;
    if (desk->lists.writes) {
        desk->lists.again = true;
    } else {
        hot_lists_write(desk);
    }
    held_over(desk);
}

static void held_on_page(struct script_ask *ask, enum status status, struct slice reply)
{
    struct hot_desk *desk = MAP_ENTRY(ask, struct hot_desk, held.write);
    struct hot_held *held = &desk->held;
    const bool is_there = status == OK && slice_is(reply, ":1\r\n");
    held->asks = false;
    metrics_count(desk->first->metrics, is_there ? M_HELD_WRITTEN : M_HELD_NOT_WRITTEN);
    if (!is_there || desk->lists.ended) {
        held->due_ms = desk->first->now_ms + HELD_EVERY_MS;
        held_over(desk);
    } else if (++held->page == held->made.told.pages) {
        held_tell(desk);
    } else if (held->hurries) {
        held_write_next(desk);
    }
}

static void held_write_next(struct hot_desk *desk)
{
    struct hot_held *held = &desk->held;
    char name[HOT_NAME_SIZE + 1];
    char key[HELD_KEY_SIZE + 1];
    char page[I64_DIGITS_MAX];
    char linger[I64_DIGITS_MAX];
    char nodes[I64_DIGITS_MAX];
    const struct slice own = hot_own_name(desk, name);
    struct slice words[] = {
        {0}, /* SCRIPT_HEAD_WORDS */
        {0},
        SLICE_LITERAL("2"),
        held_key(key, own, held->made.told.writing),
        held_nodes_key,
        {page, i64_format(page, held->page)},
        held_page(&held->made, held->page),
        {linger, i64_format(linger, HELD_LINGER_MS)},
        own,
        {nodes, i64_format(nodes, HELD_NODES_MAX)},
    };
    held->write.on_reply = held_on_page;
    held->asks = true;
    if (script_ask(desk->first->window, &held->script, &held->write, words,
                   sizeof words / sizeof words[0]) != OK) {
        held->asks = false;
        metrics_count(desk->first->metrics, M_HELD_NOT_WRITTEN);
        held_over(desk);
    }
}

/* --- written down ------------------------------------------------------------------------------------------------------ */

static void held_work(uv_work_t *work)
{
    struct hot_desk *desk = work->data;
    struct hot_held *held = &desk->held;
    held->made_status = held_take(&held->made, desk->node->namespaces, &held->wish);
    CHECK(walk_change(held, WALK_GOES_ON, WALK_FREE));
}

static void held_worked(uv_work_t *work, int cancelled)
{
    struct hot_desk *desk = work->data;
    struct hot_held *held = &desk->held;
    struct hot_list *list = held->made_of;
    held->made_of = NULL;
    hot_list_release(list);
    CHECK(cancelled == 0); /* nobody does */
    if (held->made_status != OK || desk->lists.ended || desk->first->window == NULL) {
        held_over(desk);
    } else if (held->made.told.pages == 0) {
        held->told = (struct held_told){0};
        held->rows = held->bytes = 0;
        held_over(desk);
    } else {
        held->page = 0;
        held_write_next(desk);
    }
}

/* The place that the list does not name. Never 0. */
static uint64_t next_writing(const struct hot_desk *desk)
{
    const uint64_t place = (desk->held.told.writing & 1) ^ 1;
    return ((uint64_t)clock_now_ms(&desk->node->clock) << 2 | 2) | place;
}

static void held_begin(struct hot_desk *desk)
{
    struct hot_held *held = &desk->held;
    struct hot_list *list = hot_desk_newest(desk);
    if (list == NULL || list->count == 0 || list->hits <= 0 ||
        !walk_change(held, WALK_FREE, WALK_GOES_ON)) {
        hot_list_release(list);
        return;
    }
    held->busy = true;
    held->made_of = list;
    held->wish = (struct held_wish){
        .list = list, .writing = next_writing(desk), .now_ms = desk->first->now_ms};
    held->work.data = desk;
    CHECK(uv_queue_work(&desk->first->loop, &held->work, held_work, held_worked) == 0);
}

/* Of L1 so much is another one that it is worth it. */
static bool held_has_changed(struct hot_desk *desk)
{
    struct hot_held *held = &desk->held;
    struct totals totals;
    totals_read(desk->node, &totals);
    held->fills_now = totals.l1.fills;
    held->items_now = totals.l1.items;
    const uint64_t gone =
        held->items_then > held->items_now ? held->items_then - held->items_now : 0;
    const uint64_t came = held->fills_now - held->fills_then;
    return held->items_now > 0 && (came + gone) * HELD_CHANGED >= held->items_now;
}

void hot_held_tick(struct hot_desk *desk)
{
    struct hot_held *held = &desk->held;
    const int64_t now_ms = desk->first->now_ms;
    if (desk->first->window == NULL || desk->lists.ended) {
        return;
    }
    if (held->due_ms == 0) {
        held->due_ms = now_ms + HELD_FIRST_MS;
    }
    if (held->busy) {
        if (held->made_of == NULL && !held->asks) { /* else a thread of the pool is at work */
            held_write_next(desk);
        }
    } else if (now_ms >= held->due_ms && join_is_ready(&desk->node->join)) {
        held->due_ms = now_ms + AGAIN_MS;
        if (held_has_changed(desk) || now_ms - held->written_at_ms >= HELD_AT_LEAST_MS) {
            held_begin(desk);
        }
    }
}

void hot_held_open(struct hot_held *held)
{
    own_script_init(&held->script, slice_of(held_script));
}

void hot_held_leave(struct hot_desk *desk)
{
    desk->held.hurries = true;
    if (!desk->held.busy && join_is_ready(&desk->node->join) && held_has_changed(desk)) {
        held_begin(desk);
    }
}

/* Between two pages nobody would ever come back to it. */
void hot_held_end(struct hot_desk *desk)
{
    const struct hot_held *held = &desk->held;
    if (held->busy && held->made_of == NULL && !held->asks) {
        held_over(desk);
    }
}

void hot_held_close(struct hot_held *held)
{
    CHECK(!held->busy);
    held_done(&held->made);
}
