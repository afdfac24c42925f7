/* SPDX-License-Identifier: BSD-3-Clause */
#include "server/hot_pages.h"

#include "protocol/check.h"
#include "protocol/resp_read.h"
#include "server/hot_inner.h"
#include "server/node.h"
#include "server/worker.h"
#include "tiers/tiers.h"

#include <stdlib.h>
#include <string.h>

#define SCALE_MAX 64.0 /* reads of a node now, beside those when it wrote its pages */

struct source {
    struct hot_list *list;
    char node[HOT_NAME_SIZE];
    unsigned page; /* the next one */
    bool over;
};

struct hot_pages {
    struct worker *worker;
    struct hot_pages_wish wish;
    struct source sources[HOT_LISTS_READ];
    size_t count;
    size_t at; /* whose turn it is */
    bool l2_is_gone;
    bool forgotten;
    struct link_request request;
    /* The pool's while it works: */
    uv_work_t work;
    struct source *of; /* whose page; NULL: all lists, or the end */
    struct hot_list *own;
    struct buf bytes;
    struct hot_merge *merge;
    struct hot_list *made;
    int64_t now_ms; /* of the wall clock */
    bool page_is_none;
    enum status status;
};

static void pages_free(struct hot_pages *pages)
{
    for (size_t i = 0; i < pages->count; i++) {
        hot_list_release(pages->sources[i].list);
    }
    hot_merge_free(pages->merge);
    hot_list_release(pages->own);
    hot_list_release(pages->made);
    buf_done(&pages->bytes);
    free(pages);
}

static void pages_next(struct hot_pages *pages);

/* --- in the pool ------------------------------------------------------------------------------------------------------- */

/* One that knows no number of reads has as many as the others on average. */
static double weight_of_own(const struct hot_pages *pages)
{
    double total = 0;
    size_t count = 0;
    for (size_t i = 0; i < pages->count; i++) {
        const double weight = hot_list_weight(pages->sources[i].list, pages->now_ms);
        total += pages->sources[i].list->total * weight;
        count += weight > 0;
    }
    return count > 0 && total > 0 && pages->own->total > 0
               ? total / (double)count / pages->own->total
               : 1;
}

static void merge_lists(struct hot_pages *pages)
{
    if (pages->own != NULL) {
        pages->status = hot_merge_list(pages->merge, pages->own, weight_of_own(pages));
    }
    for (size_t i = 0; i < pages->count && pages->status == OK; i++) {
        const struct hot_list *list = pages->sources[i].list;
        const double weight = hot_list_weight(list, pages->now_ms);
        if (weight > 0) {
            pages->status = list->held.pages > 0 ? hot_merge_sure(pages->merge, list, weight)
                                                 : hot_merge_list(pages->merge, list, weight);
        }
    }
}

/* What it says is of the reads that there were then. */
static double weight_of(const struct hot_pages *pages, const struct hot_list *page)
{
    const struct hot_list *list = pages->of->list;
    const double scale = page->total > 0 ? list->total / page->total : 0;
    return hot_list_weight(list, pages->now_ms) * (scale < SCALE_MAX ? scale : SCALE_MAX);
}

static void merge_page(struct hot_pages *pages)
{
    const struct held_told *told = &pages->of->list->held;
    struct hot_list *page = NULL;
    const enum status status = hot_list_read(buf_slice(&pages->bytes), &page);
    pages->page_is_none =
        status != OK || page->held.writing != told->writing || page->held.page != pages->of->page;
    if (!pages->page_is_none) {
        pages->status = hot_merge_page(pages->merge, page, weight_of(pages, page));
    }
    if (status == OK) {
        hot_list_release(page);
    }
}

static void on_work(uv_work_t *work)
{
    struct hot_pages *pages = work->data;
    if (pages->of == NULL) {
        merge_lists(pages);
    } else {
        merge_page(pages);
    }
}

static void on_worked(uv_work_t *work, int cancelled)
{
    struct hot_pages *pages = work->data;
    CHECK(cancelled == 0); /* nobody does */
    if (pages->of != NULL) {
        pages->of->page++;
        pages->of->over = pages->page_is_none || pages->of->page == pages->of->list->held.pages;
        metrics_count(pages->worker->metrics, pages->page_is_none ? M_HELD_MALFORMED : M_HELD_READ);
    }
    pages_next(pages);
}

static void on_end(uv_work_t *work)
{
    struct hot_pages *pages = work->data;
    if (pages->status == OK) {
        pages->status = hot_merge_end(pages->merge, pages->wish.keys_max, SIZE_MAX, pages->now_ms,
                                      &pages->made);
    }
}

static void on_ended(uv_work_t *work, int cancelled)
{
    struct hot_pages *pages = work->data;
    CHECK(cancelled == 0);
    if (!pages->forgotten) {
        pages->wish.on_list(pages->wish.arg, pages->made);
    }
    pages_free(pages);
}

static void pages_work(struct hot_pages *pages, uv_work_cb work, uv_after_work_cb done)
{
    pages->work.data = pages;
    CHECK(uv_queue_work(&pages->worker->loop, &pages->work, work, done) == 0);
}

/* --- out of L2 --------------------------------------------------------------------------------------------------------- */

static void on_page(struct link_request *request, enum status status, struct slice reply)
{
    struct hot_pages *pages = MAP_ENTRY(request, struct hot_pages, request);
    struct reply_cursor cursor = {reply};
    struct reply_element element;
    pages->bytes.size = 0;
    pages->l2_is_gone = status != OK && status != TOO_BIG;
    if (pages->l2_is_gone || pages->forgotten) {
        pages_next(pages);
    } else if (status != OK || reply_next(&cursor, &element) != OK || element.type != REPLY_BULK ||
               element.text.size > HELD_PAGE_BYTES ||
               buf_append_slice(&pages->bytes, element.text) != OK) {
        metrics_count(pages->worker->metrics, M_HELD_MALFORMED);
        pages->of->over = true;
        pages_next(pages);
    } else {
        pages_work(pages, on_work, on_worked);
    }
}

static void ask_page(struct hot_pages *pages)
{
    char key[HELD_KEY_SIZE + 1];
    char number[I64_DIGITS_MAX];
    const struct source *of = pages->of;
    const struct slice words[] = {
        SLICE_LITERAL("HGET"),
        held_key(key, (struct slice){of->node, HOT_NAME_SIZE}, of->list->held.writing),
        {number, i64_format(number, of->page)}};
    pages->request = (struct link_request){.on_reply = on_page, .on_large = hot_pass_over};
    if (tiers_ask(pages->worker->window, &pages->request, words, 3) != OK) {
        pages->l2_is_gone = true;
        pages_next(pages);
    }
}

/* Whose turn it is; NULL: all have been read. */
static struct source *next_source(struct hot_pages *pages)
{
    for (size_t i = 0; i < pages->count; i++) {
        struct source *source = &pages->sources[(pages->at + i) % pages->count];
        if (!source->over) {
            pages->at = (pages->at + i + 1) % pages->count;
            return source;
        }
    }
    return NULL;
}

static void pages_next(struct hot_pages *pages)
{
    const bool goes_on = pages->status == OK && !pages->forgotten && !pages->l2_is_gone &&
                         !hot_merge_is_full(pages->merge);
    pages->of = goes_on ? next_source(pages) : NULL;
    if (pages->of == NULL) {
        pages_work(pages, on_end, on_ended);
    } else {
        ask_page(pages);
    }
}

/* --- life -------------------------------------------------------------------------------------------------------------- */

struct hot_pages *hot_pages_read(struct worker *first, const struct hot_pages_wish *wish)
{
    struct hot_pages *pages = calloc(1, sizeof(*pages));
    size_t listed = 0;
    if (pages == NULL) {
        return NULL;
    }
    pages->worker = first;
    pages->wish = *wish;
    pages->now_ms = clock_now_ms(&first->node->clock);
    for (size_t i = 0; i < wish->found_count && i < HOT_LISTS_READ; i++) {
        struct source *source = &pages->sources[pages->count++];
        source->list = hot_list_ref(wish->found[i].list);
        source->over =
            source->list->held.pages == 0 || hot_list_weight(source->list, pages->now_ms) == 0;
        memcpy(source->node, wish->found[i].node, HOT_NAME_SIZE);
        listed += source->list->count;
    }
    if (wish->own != NULL) {
        pages->own = hot_list_ref(wish->own);
        listed += wish->own->count;
    }
    pages->merge = hot_merge_new(wish->keys_max + listed);
    if (pages->merge == NULL) {
        pages_free(pages);
        return NULL;
    }
    pages_work(pages, on_work, on_worked);
    return pages;
}

void hot_pages_forget(struct hot_pages *pages)
{
    if (pages != NULL) {
        pages->forgotten = true;
    }
}
