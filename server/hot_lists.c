/* SPDX-License-Identifier: BSD-3-Clause */
/* hot_lists.c -- lists of hot keys in L2: this node's is written there, those of others are read. */
#include "protocol/check.h"
#include "protocol/resp_read.h"
#include "server/hot_inner.h"
#include "server/node.h"
#include "server/worker.h"
#include "tiers/tiers.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

extern const char hot_script[];
/* The script's text, with a NUL behind it. The path is seen from the project root, where the build runs. */
__asm__(".pushsection .rodata\n"
        ".global hot_script\n"
        ".type hot_script, %object\n"
        "hot_script:\n"
        ".incbin \"tiers/scripts/hot.lua\"\n"
        ".byte 0\n"
        ".size hot_script, . - hot_script\n"
        ".popsection\n");

static const struct slice key_lists = SLICE_LITERAL("terrace:hot");
static const struct slice key_times = SLICE_LITERAL("terrace:hot:at");

struct slice hot_own_name(const struct hot_desk *desk, char dst[HOT_NAME_SIZE + 1])
{
    (void)snprintf(dst, HOT_NAME_SIZE + 1, "%016" PRIx64, desk->node->id);
    return (struct slice){dst, HOT_NAME_SIZE};
}

/* --- writing ------------------------------------------------------------------------------------------------------------ */

static void lists_on_written(struct script_ask *ask, enum status status, struct slice reply)
{
    struct hot_desk *desk = MAP_ENTRY(ask, struct hot_desk, lists.write);
    struct hot_lists *lists = &desk->lists;
    const bool is_taken = status == OK && reply.size > 0 && reply.data[0] == ':';
    lists->writes = false;
    metrics_count(desk->first->metrics, is_taken ? M_HOT_WRITTEN : M_HOT_NOT_WRITTEN);
    if (lists->again && !lists->ended) {
        hot_lists_write(desk);
    }
    lists->again = false;
}

static enum status write_named(const struct hot_desk *desk, const struct hot_list *list,
                               struct buf *out)
{
    const struct hot_list named = {.written_at_ms = list->written_at_ms,
                                   .total = list->total,
                                   .hits = list->hits,
                                   .grain = list->grain,
                                   .window_s = list->window_s,
                                   .held = desk->held.told,
                                   .rows = list->rows,
                                   .count = list->count};
    return hot_list_write(&named, out);
}

/* An empty list is none: then the next tick looks again. */
void hot_lists_write(struct hot_desk *desk)
{
    struct hot_lists *lists = &desk->lists;
    struct hot_list *list = hot_desk_newest(desk);
    char name[HOT_NAME_SIZE + 1];
    char life[I64_DIGITS_MAX];
    char most[I64_DIGITS_MAX];
    char linger[I64_DIGITS_MAX];
    char named[HELD_KEY_SIZE + 1];
    char other[HELD_KEY_SIZE + 1];
    lists->bytes.size = 0;
    if (list == NULL || list->count == 0 || write_named(desk, list, &lists->bytes) != OK) {
        hot_list_release(list);
        return;
    }
    hot_list_release(list);
    lists->publish_due_ms = desk->first->now_ms + HOT_PUBLISH_MS;
    const struct slice own = hot_own_name(desk, name);
    struct slice words[] = {
        {0}, /* SCRIPT_HEAD_WORDS */
        {0},
        SLICE_LITERAL("5"),
        key_lists,
        key_times,
        held_key(named, own, desk->held.told.writing),
        held_key(other, own, desk->held.told.writing + 1),
        held_nodes_key,
        own,
        buf_slice(&lists->bytes),
        {life, i64_format(life, HOT_LIST_LIFE_MS)},
        {most, i64_format(most, HOT_LISTS_MAX)},
        {linger, i64_format(linger, HELD_LINGER_MS)},
        slice_of(desk->held.told.pages > 0 ? "1" : "0"),
    };
    /* Not as a write: one that runs late does no harm, so its link need not close. */
    lists->write.on_reply = lists_on_written;
    lists->writes = true;
    if (script_ask(desk->first->window, &lists->script, &lists->write, words,
                   sizeof words / sizeof words[0]) != OK) {
        lists->writes = false;
        metrics_count(desk->first->metrics, M_HOT_NOT_WRITTEN);
    }
}

/* --- reading -------------------------------------------------------------------------------------------------------------- */

static struct hot_list *round_merge(struct hot_desk *desk, const struct hot_fetch *fetch)
{
    const struct hot_lists *lists = &desk->lists;
    struct hot_list *all[HOT_LISTS_READ + 1];
    struct hot_list *merged = NULL;
    const size_t rows_max = fetch->rows_max == 0 ? HOT_ROWS_MAX : fetch->rows_max;
    for (size_t i = 0; i < lists->list_count; i++) {
        all[i] = lists->found[i].list;
    }
    all[lists->list_count] = fetch->with_own ? hot_desk_newest(desk) : NULL;
    if (hot_list_of_lists(all, lists->list_count + 1, rows_max, clock_now_ms(&desk->node->clock),
                          &merged) != OK) {
        merged = NULL;
    }
    hot_list_release(all[lists->list_count]);
    return merged;
}

/* Everybody of this round gets what was found; who asks from inside waits for the next, and so for a tick. */
static void round_end(struct hot_desk *desk, enum status status)
{
    struct hot_lists *lists = &desk->lists;
    struct list told;
    list_init(&told);
    list_splice_back(&told, &lists->round);
    while (!list_empty(&told)) {
        struct hot_fetch *fetch = LIST_ENTRY(told.next, struct hot_fetch, in_desk);
        struct hot_list *merged = status == OK ? round_merge(desk, fetch) : NULL;
        list_remove(&fetch->in_desk);
        fetch->found = lists->found;
        fetch->found_count = lists->list_count;
        fetch->on_list(fetch, merged);
        hot_list_release(merged);
    }
    for (size_t i = 0; i < lists->list_count; i++) {
        hot_list_release(lists->found[i].list);
    }
    lists->list_count = 0;
    lists->reads = false;
}

static void lists_read_next(struct hot_desk *desk);

enum link_way hot_pass_over(struct link_request *request, const struct link_large_reply *reply)
{
    (void)request;
    (void)reply;
    return LINK_PASS_OVER;
}

static void lists_on_list(struct link_request *request, enum status status, struct slice reply)
{
    struct hot_desk *desk = MAP_ENTRY(request, struct hot_desk, lists.read);
    struct hot_lists *lists = &desk->lists;
    struct reply_cursor cursor = {reply};
    struct reply_element element;
    if (status != OK && status != TOO_BIG) {
        round_end(desk, status);
        return;
    }
    const bool is_bulk =
        status == OK && reply_next(&cursor, &element) == OK && element.type == REPLY_BULK;
    struct hot_found *found = &lists->found[lists->list_count];
    if (is_bulk && hot_list_read(element.text, &found->list) == OK) {
        memcpy(found->node, lists->names[lists->name_at - 1], HOT_NAME_SIZE);
        lists->list_count++;
        metrics_count(desk->first->metrics, M_HOT_READ);
    } else {
        metrics_count(desk->first->metrics, M_HOT_MALFORMED);
    }
    lists_read_next(desk);
}

static void lists_read_next(struct hot_desk *desk)
{
    struct hot_lists *lists = &desk->lists;
    if (lists->name_at == lists->name_count) {
        round_end(desk, OK);
        return;
    }
    const size_t at = lists->name_at++;
    const struct slice words[] = {
        SLICE_LITERAL("HGET"), key_lists, {lists->names[at], HOT_NAME_SIZE}};
    lists->read = (struct link_request){.on_reply = lists_on_list, .on_large = hot_pass_over};
    const enum status status = tiers_ask(desk->first->window, &lists->read, words, 3);
    if (status != OK) {
        round_end(desk, status);
    }
}

static bool is_name(struct slice text)
{
    for (size_t i = 0; i < text.size; i++) {
        if (hex_digit(text.data[i]) < 0) {
            return false;
        }
    }
    return text.size == HOT_NAME_SIZE;
}

/* Names are ours, of 16 digits; what else is there is nobody's list. */
static void lists_on_names(struct link_request *request, enum status status, struct slice reply)
{
    struct hot_desk *desk = MAP_ENTRY(request, struct hot_desk, lists.read);
    struct hot_lists *lists = &desk->lists;
    struct reply_cursor cursor = {reply};
    struct reply_element element;
    char name[HOT_NAME_SIZE + 1];
    const struct slice own = hot_own_name(desk, name);
    if (status == OK && (reply_next(&cursor, &element) != OK || element.type != REPLY_ARRAY)) {
        status = L2_ERROR;
    }
    if (status != OK) {
        round_end(desk, status);
        return;
    }
    lists->name_count = lists->name_at = 0;
    while (lists->name_count < HOT_LISTS_READ && reply_next(&cursor, &element) == OK) {
        if (element.type == REPLY_BULK && is_name(element.text) &&
            !slice_equal(element.text, own)) {
            memcpy(lists->names[lists->name_count++], element.text.data, HOT_NAME_SIZE);
        }
    }
    lists_read_next(desk);
}

static void lists_begin(struct hot_desk *desk)
{
    struct hot_lists *lists = &desk->lists;
    char last[I64_DIGITS_MAX];
    const struct slice words[] = {SLICE_LITERAL("ZREVRANGE"),
                                  key_times,
                                  SLICE_LITERAL("0"),
                                  {last, i64_format(last, HOT_LISTS_READ)}};
    lists->reads = true;
    list_splice_back(&lists->round, &lists->waits);
    lists->read = (struct link_request){.on_reply = lists_on_names};
    const enum status status = tiers_ask(desk->first->window, &lists->read, words, 4);
    if (status != OK) {
        round_end(desk, status);
    }
}

enum status hot_desk_fetch(struct hot_desk *desk, struct hot_fetch *fetch)
{
    if (desk->first == NULL || desk->first->window == NULL || desk->lists.ended) {
        return L2_DOWN;
    }
    list_push_back(&desk->lists.waits, &fetch->in_desk);
    return OK; /* the next tick asks, so that nobody is called from inside */
}

void hot_desk_forget(struct hot_fetch *fetch)
{
    if (fetch->in_desk.next != NULL) {
        list_remove(&fetch->in_desk);
    }
}

/* --- life ----------------------------------------------------------------------------------------------------------------- */

void hot_lists_tick(struct hot_desk *desk)
{
    struct hot_lists *lists = &desk->lists;
    if (desk->first->window == NULL || lists->ended) {
        return;
    }
    if (!lists->reads && !list_empty(&lists->waits)) {
        lists_begin(desk);
    }
    if (desk->first->now_ms >= lists->publish_due_ms && !lists->writes) {
        hot_lists_write(desk);
    }
}

/* In the order in which one leads to the other: the first worker may go on meanwhile. */
bool hot_desk_has_left(const struct hot_desk *desk)
{
    return !desk->held.busy && !desk->lists.again && !desk->lists.writes;
}

void hot_desk_leave(struct hot_desk *desk)
{
    if (desk->first != NULL && desk->first->window != NULL) {
        if (!desk->lists.writes) {
            hot_lists_write(desk);
        }
        hot_held_leave(desk);
    }
}

void hot_desk_end(struct hot_desk *desk)
{
    struct hot_lists *lists = &desk->lists;
    lists->ended = true;
    list_splice_back(&lists->round, &lists->waits);
    if (!lists->reads) {
        round_end(desk, L2_DOWN);
    }
    hot_held_end(desk);
}

void hot_lists_open(struct hot_lists *lists)
{
    list_init(&lists->round);
    list_init(&lists->waits);
    own_script_init(&lists->script, slice_of(hot_script));
}

void hot_lists_close(struct hot_lists *lists)
{
    CHECK(!lists->reads && !lists->writes);
    buf_done(&lists->bytes);
}
