/* SPDX-License-Identifier: BSD-3-Clause */
#include "tiers/line.h"

#include "protocol/check.h"
#include "tiers/window.h"

#include <stdlib.h>

enum {
    LINE_MAGIC = 0x4c494e45
};

enum line_state {
    LINE_USED,
    LINE_IDLE,
    LINE_ENDED
};

struct line {
    struct window_seat seat; /* first */
    uint32_t magic;
    struct list in_pool;
    struct link *link;
    struct line_user *user; /* NULL unless USED */
    enum line_kind kind;
    enum line_state state;
    int proto;
    bool lost;
    int64_t idle_since_ms;
    struct buf unsaid; /* by line_say, until READY */
};

/* --- how many -------------------------------------------------------------------------------------------------------- */

static struct line_counts *counts_of(const struct tiers_window *window)
{
    return tiers_lines(window->options.tiers);
}

static uint32_t count_read(const _Atomic uint32_t *count)
{
    return atomic_load_explicit(count, memory_order_relaxed);
}

static void count_change(_Atomic uint32_t *count, int by)
{
    (void)atomic_fetch_add_explicit(count, (uint32_t)by, memory_order_relaxed);
}

static _Atomic uint32_t *used_count(struct line_counts *counts, enum line_kind kind)
{
    switch (kind) {
    case LINE_SUBSCRIBER: return &counts->subscribers;
    case LINE_STREAM: return &counts->streams;
    case LINE_ALONE: break;
    }
    return &counts->used;
}

/* One more, if there may be. */
static bool count_enter(struct line_counts *counts, enum line_kind kind)
{
    _Atomic uint32_t *count = used_count(counts, kind);
    const uint32_t max =
        kind == LINE_STREAM
            ? UINT32_MAX
            : count_read(kind == LINE_SUBSCRIBER ? &counts->subscribers_max : &counts->max);
    uint32_t now = count_read(count);
    while (now < max) {
        if (atomic_compare_exchange_weak_explicit(count, &now, now + 1, memory_order_relaxed,
                                                  memory_order_relaxed)) {
            return true;
        }
    }
    return false;
}

/* More are open than may be; the idle ones go first. */
static bool counts_are_exceeded(const struct line_counts *counts)
{
    return (uint64_t)count_read(&counts->used) + count_read(&counts->idle) >
           count_read(&counts->max);
}

/* --- states -------------------------------------------------------------------------------------------------------- */

static void line_leave_state(struct line *line)
{
    struct line_counts *counts = counts_of(line->seat.window);
    CHECK(line->state != LINE_ENDED);
    count_change(line->state == LINE_IDLE ? &counts->idle : used_count(counts, line->kind), -1);
    list_remove(&line->in_pool);
    line->user = NULL;
}

void line_end(struct line *line)
{
    if (line == NULL) {
        return;
    }
    CHECK_MAGIC(line, LINE_MAGIC);
    if (line->state == LINE_ENDED) {
        return; /* the end of its requests may bring somebody here again */
    }
    line_leave_state(line);
    line->state = LINE_ENDED;
    list_push_back(&line->seat.window->lines.ended, &line->in_pool);
    buf_done(&line->unsaid);
    link_end(line->link);
}

static bool line_is_clean(const struct line *line)
{
    return line->kind != LINE_SUBSCRIBER && !line->lost && link_state(line->link) == LINK_READY &&
           link_is_quiet(line->link);
}

void line_give_back(struct line *line)
{
    CHECK_MAGIC(line, LINE_MAGIC);
    struct tiers_window *window = line->seat.window;
    if (line->state != LINE_USED || !line_is_clean(line) ||
        counts_are_exceeded(counts_of(window))) {
        line_end(line);
        return;
    }
    line_leave_state(line);
    line->state = LINE_IDLE;
    line->idle_since_ms = window->now_ms;
    count_change(&counts_of(window)->idle, 1);
    list_push_back(&window->lines.idle[line->proto == 3], &line->in_pool);
}

static void line_on_ready(struct link *link, void *arg, const struct beat_answer *answer)
{
    struct line *line = arg;
    (void)answer;
    if (line->lost || line->state != LINE_USED) {
        return;
    }
    if (line->user->on_ready != NULL) {
        line->user->on_ready(line->user);
    }
    if (line->unsaid.size == 0) {
        return;
    }
    struct buf unsaid = line->unsaid;
    line->unsaid = (struct buf){0};
    const enum status status = link_say(link, buf_slice(&unsaid));
    buf_done(&unsaid);
    if (status != OK) {
        link_close(link, "no memory for what a subscriber said", line->seat.window->now_ms);
    }
}

static void line_on_down(struct link *link, void *arg, const char *why)
{
    struct line *line = arg;
    (void)link;
    if (line->state == LINE_IDLE) {
        line_end(line);
    } else if (line->state == LINE_USED && !line->lost) {
        line->lost = true;
        buf_done(&line->unsaid);
        if (line->user->on_lost != NULL) {
            line->user->on_lost(line->user, why);
        }
    }
}

static void line_on_push(struct link *link, void *arg, struct slice reply)
{
    struct line *line = arg;
    (void)link;
    if (line->state == LINE_USED && line->user->on_push != NULL) {
        line->user->on_push(line->user, reply);
    }
}

static void line_on_room(struct link *link, void *arg)
{
    struct line *line = arg;
    (void)link;
    if (line->state == LINE_USED && line->user->on_room != NULL) {
        line->user->on_room(line->user);
    }
}

/* --- taking --------------------------------------------------------------------------------------------------------- */

static struct line *line_new(struct tiers_window *window, int proto, enum line_kind kind)
{
    struct line *line = calloc(1, sizeof(*line));
    if (line == NULL) {
        return NULL;
    }
    line->seat.window = window;
    line->magic = LINE_MAGIC;
    line->kind = kind;
    line->proto = proto;
    struct link_options options = window_link_options(window, proto, &line->seat);
    options.seed = 0; /* the randoms of its beats are its own */
    options.on_ready = line_on_ready;
    options.on_down = line_on_down;
    options.on_push = kind == LINE_SUBSCRIBER ? line_on_push : NULL;
    options.on_room = line_on_room;
    line->link = link_new(&options);
    if (line->link == NULL) {
        free(line);
        return NULL;
    }
    return line;
}

static void line_free(struct line *line)
{
    list_remove(&line->in_pool);
    link_free(line->link);
    line->magic = 0;
    free(line);
}

/* The one that was used last, so that those that are not needed stay idle. */
static struct line *idle_pop(struct tiers_window *window, int proto)
{
    struct list *idle = &window->lines.idle[proto == 3];
    if (list_empty(idle)) {
        return NULL;
    }
    struct line *line = LIST_ENTRY(idle->prev, struct line, in_pool);
    line_leave_state(line);
    return line;
}

enum status line_take(struct tiers_window *window, int proto, enum line_kind kind,
                      struct line_user *user, struct line **ret_line)
{
    CHECK_MAGIC(window, WINDOW_MAGIC);
    if (window->ended || link_is_down(window->links[0])) {
        return L2_DOWN;
    }
    struct line_counts *counts = counts_of(window);
    if (!count_enter(counts, kind)) {
        metrics_count(window->options.metrics, M_LINES_REFUSED);
        return BUSY;
    }
    struct line *line = kind != LINE_SUBSCRIBER ? idle_pop(window, proto) : NULL;
    const bool is_new = line == NULL;
    if (is_new) {
        line = line_new(window, proto, kind);
    }
    if (line == NULL) {
        count_change(used_count(counts, kind), -1);
        return NO_MEMORY;
    }
    metrics_count(window->options.metrics, is_new ? M_LINES_OPENED : M_LINES_REUSED);
    line->state = LINE_USED;
    line->kind = kind;
    line->user = user;
    list_push_back(&window->lines.used, &line->in_pool);
    if (is_new) {
        link_tick(line->link, window->now_ms); /* connects now rather than at the next tick */
    }
    *ret_line = line;
    return OK;
}

/* --- using ----------------------------------------------------------------------------------------------------------- */

enum status line_ask(struct line *line, struct link_request *request, int db, struct slice bytes)
{
    return line_ask_pieces(line, request, db, &(const struct link_pieces){{bytes}});
}

enum status line_ask_pieces(struct line *line, struct link_request *request, int db,
                            const struct link_pieces *pieces)
{
    CHECK_MAGIC(line, LINE_MAGIC);
    CHECK(line->state == LINE_USED && line->kind != LINE_SUBSCRIBER);
    return line->lost ? L2_DOWN : link_ask_pieces(line->link, request, db, pieces);
}

enum status line_say(struct line *line, struct slice bytes)
{
    CHECK_MAGIC(line, LINE_MAGIC);
    CHECK(line->state == LINE_USED && line->kind == LINE_SUBSCRIBER);
    if (line->lost) {
        return L2_DOWN;
    }
    const bool is_ready = link_state(line->link) == LINK_READY;
    const size_t waits = is_ready ? link_output(line->link).size : line->unsaid.size;
    if (waits > 0 && waits + bytes.size > LINK_OUTPUT_MAX) {
        return BUSY;
    }
    return is_ready ? link_say(line->link, bytes) : buf_append_slice(&line->unsaid, bytes);
}

enum status line_pour(struct line *line, struct slice bytes)
{
    CHECK_MAGIC(line, LINE_MAGIC);
    CHECK(line->state == LINE_USED && line->kind == LINE_STREAM);
    return line->lost ? L2_DOWN : link_pour(line->link, bytes);
}

void line_hold(struct line *line, bool holds)
{
    CHECK_MAGIC(line, LINE_MAGIC);
    if (line->state == LINE_USED) {
        link_hold(line->link, holds);
    }
}

bool line_is_lost(const struct line *line)
{
    CHECK_MAGIC(line, LINE_MAGIC);
    return line->lost;
}

const char *line_why_lost(const struct line *line)
{
    return link_why_down(line_link(line));
}

uint64_t line_client_id(const struct line *line)
{
    return line->lost ? 0 : link_client_id(line_link(line));
}

const struct link *line_link(const struct line *line)
{
    CHECK_MAGIC(line, LINE_MAGIC);
    return line->link;
}

/* --- the pool -------------------------------------------------------------------------------------------------------- */

void line_pool_open(struct line_pool *pool)
{
    list_init(&pool->used);
    list_init(&pool->idle[0]);
    list_init(&pool->idle[1]);
    list_init(&pool->ended);
}

/* A lost one connects again only to learn what became of its writes. */
static void used_tick(struct line *line, const struct l2_url *url, int64_t now_ms)
{
    if (!line->lost && link_url(line->link) != url) {
        link_close(line->link, "L2 is at another address", now_ms);
    }
    if (line->state == LINE_USED && (!line->lost || !link_is_quiet(line->link))) {
        link_tick(line->link, now_ms);
    }
}

static void idle_tick(struct line *line, const struct l2_url *url, int64_t now_ms)
{
    const struct line_counts *counts = counts_of(line->seat.window);
    const bool is_spare = now_ms - line->idle_since_ms >= LINE_IDLE_MS &&
                          count_read(&counts->idle) > count_read(&counts->min);
    if (is_spare || link_url(line->link) != url || counts_are_exceeded(counts)) {
        line_end(line);
    } else {
        link_tick(line->link, now_ms);
    }
}

/* Each of a list once. A callback may end any line, and take others. */
static void lines_tick(struct list *lines,
                       void (*tick)(struct line *line, const struct l2_url *url, int64_t now_ms),
                       const struct l2_url *url, int64_t now_ms)
{
    struct list due;
    list_init(&due);
    list_splice_back(&due, lines);
    while (!list_empty(&due)) {
        struct line *line = LIST_ENTRY(due.next, struct line, in_pool);
        list_remove(&line->in_pool);
        list_push_back(lines, &line->in_pool);
        tick(line, url, now_ms);
    }
}

static void ended_free(struct line_pool *pool)
{
    while (!list_empty(&pool->ended)) {
        line_free(LIST_ENTRY(pool->ended.next, struct line, in_pool));
    }
}

void line_pool_tick(struct tiers_window *window, int64_t now_ms)
{
    struct line_pool *pool = &window->lines;
    const struct l2_url *url = tiers_url(window->options.tiers);
    lines_tick(&pool->used, used_tick, url, now_ms);
    lines_tick(&pool->idle[0], idle_tick, url, now_ms);
    lines_tick(&pool->idle[1], idle_tick, url, now_ms);
    ended_free(pool);
}

void line_pool_retarget(struct tiers_window *window, uint64_t run, int64_t now_ms)
{
    struct list *const lists[] = {&window->lines.used, &window->lines.idle[0],
                                  &window->lines.idle[1]};
    for (size_t i = 0; i < sizeof(lists) / sizeof(lists[0]); i++) {
        struct list due;
        list_init(&due);
        list_splice_back(&due, lists[i]);
        while (!list_empty(&due)) {
            struct line *line = LIST_ENTRY(due.next, struct line, in_pool);
            list_remove(&line->in_pool);
            list_push_back(lists[i], &line->in_pool);
            if (link_state(line->link) == LINK_READY && link_run(line->link) != run) {
                link_close(line->link, "L2 is another process now", now_ms);
            }
        }
    }
    line_pool_tick(window, now_ms);
}

void line_pool_end(struct tiers_window *window)
{
    struct line_pool *pool = &window->lines;
    struct list *const lists[] = {&pool->used, &pool->idle[0], &pool->idle[1]};
    for (size_t i = 0; i < sizeof(lists) / sizeof(lists[0]); i++) {
        while (!list_empty(lists[i])) {
            struct line *line = LIST_ENTRY(lists[i]->next, struct line, in_pool);
            struct line_user *user = line->user;
            const bool is_news = user != NULL && !line->lost && user->on_lost != NULL;
            line->lost = true;
            if (is_news) {
                user->on_lost(user, "the node is ending");
            }
            line_end(line);
        }
    }
    ended_free(pool);
}
