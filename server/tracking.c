/* SPDX-License-Identifier: BSD-3-Clause */
#include "server/tracking.h"

#include "protocol/check.h"
#include "protocol/limits.h"
#include "server/node.h"
#include "server/tracking_client.h"
#include "server/worker.h"

#include <stdlib.h>
#include <string.h>

enum {
    WORKER_SHIFT = 48, /* clients are counted from 1 and never get so far */
    ANNOUNCED_KEPT = 64 * 1024
};

/* How news lies in an inbox; its bytes follow. */
struct news_head {
    uint64_t client;
    uint64_t other;
    uint32_t size;
    uint16_t to_worker;
    uint8_t kind;
};

void tracking_on_worker(struct tracking *tracking, struct worker *worker)
{
    CHECK(pthread_setspecific(tracking->worker, worker) == 0);
}

/* Alone: L1 says so, with a lock of its own held. */
static void tracking_on_change(void *arg, struct slice key, uint64_t hash)
{
    struct tracking *tracking = arg;
    const struct worker *worker = pthread_getspecific(tracking->worker);
    tracking_changed(tracking, key, hash, worker == NULL ? 0 : worker->tracking.running);
}

struct tracking *tracking_new(struct node *node, unsigned workers)
{
    struct tracking *tracking = calloc(1, sizeof(*tracking));
    if (tracking == NULL) {
        return NULL;
    }
    tracking->node = node;
    tracking->table = tracking_table_new();
    tracking->inboxes = calloc(workers, sizeof(*tracking->inboxes));
    if (tracking->table == NULL || tracking->inboxes == NULL) {
        tracking_table_free(tracking->table);
        free(tracking->inboxes);
        free(tracking);
        return NULL;
    }
    tracking->listener = (struct l1_listener){.on_change = tracking_on_change, .arg = tracking};
    CHECK(pthread_key_create(&tracking->worker, NULL) == 0);
    CHECK(pthread_mutex_init(&tracking->lock, NULL) == 0);
    CHECK(pthread_mutex_init(&tracking->order, NULL) == 0);
    tracking->inbox_count = workers;
    for (unsigned i = 0; i < workers; i++) {
        tracking->inboxes[i].letter.open = tracking_on_letter;
        CHECK(pthread_mutex_init(&tracking->inboxes[i].lock, NULL) == 0);
    }
    return tracking;
}

void tracking_free(struct tracking *tracking)
{
    if (tracking == NULL) {
        return;
    }
    for (unsigned i = 0; i < tracking->inbox_count; i++) {
        buf_done(&tracking->inboxes[i].news);
        CHECK(pthread_mutex_destroy(&tracking->inboxes[i].lock) == 0);
    }
    buf_done(&tracking->announced);
    for (size_t i = 0; i < tracking->rows.size; i += sizeof(struct tracking_row *)) {
        tracking_row_free(*(struct tracking_row **)(void *)(tracking->rows.data + i));
    }
    buf_done(&tracking->rows);
    CHECK(tracking->prefixes.count == 0); /* clients are gone */
    map_done(&tracking->prefixes);
    CHECK(pthread_mutex_destroy(&tracking->lock) == 0);
    if (!tracking->applying) { /* else the last client left in the middle of a message */
        CHECK(pthread_mutex_destroy(&tracking->order) == 0);
    }
    CHECK(pthread_key_delete(tracking->worker) == 0);
    tracking_table_free(tracking->table);
    free(tracking->inboxes);
    free(tracking);
}

uint64_t tracking_name(unsigned worker, uint64_t client)
{
    return (uint64_t)worker << WORKER_SHIFT | client;
}

static unsigned worker_of(uint64_t name)
{
    return (unsigned)(name >> WORKER_SHIFT);
}

static uint64_t client_of(uint64_t name)
{
    return name & ((UINT64_C(1) << WORKER_SHIFT) - 1);
}

/* L1 is heard before the first client is told that it is on. */
void tracking_count(struct tracking *tracking, unsigned worker, bool broadcasts, int more)
{
    struct tracking_inbox *inbox = &tracking->inboxes[worker];
    struct node *node = tracking->node;
    CHECK(pthread_mutex_lock(&tracking->lock) == 0);
    if (node->tiers == NULL && atomic_load(&tracking->clients) == 0) {
        namespaces_set_listener(node->namespaces, &tracking->listener);
    }
    if (broadcasts) {
        atomic_fetch_add(&inbox->broadcasters, (unsigned)more);
    }
    atomic_fetch_add(&inbox->clients, (unsigned)more);
    atomic_fetch_add(&tracking->clients, (unsigned)more);
    if (atomic_load(&tracking->clients) == 0) {
        tracking_table_clear(tracking->table); /* of who is gone */
    }
    if (node->tiers == NULL && atomic_load(&tracking->clients) == 0) {
        namespaces_set_listener(node->namespaces, NULL);
    }
    CHECK(pthread_mutex_unlock(&tracking->lock) == 0);
}

/* --- news ---------------------------------------------------------------------------------------------------------- */

enum status tracking_append_news(struct buf *to, const struct news *news)
{
    const struct news_head head = {
        .client = news->client,
        .other = news->other,
        .size = (uint32_t)news->bytes.size,
        .to_worker = (uint16_t)news->to_worker,
        .kind = (uint8_t)news->kind,
    };
    const size_t before = to->size;
    if (before + sizeof(head) + news->bytes.size > LIMIT_TRACKING_NEWS) {
        return TOO_BIG;
    }
    enum status status = buf_append(to, &head, sizeof(head));
    if (status == OK) {
        status = buf_append_slice(to, news->bytes);
    }
    to->size = status == OK ? to->size : before;
    return status;
}

/* Under the lock: what cannot be kept is not lost, but "everything". */
static void inbox_lose(struct tracking_inbox *inbox)
{
    buf_done(&inbox->news);
    inbox->lost = true;
}

static struct tracking_inbox *inbox_lock(struct tracking *tracking, unsigned worker)
{
    struct tracking_inbox *inbox = &tracking->inboxes[worker];
    CHECK(pthread_mutex_lock(&inbox->lock) == 0);
    return inbox;
}

/* With something new in it. */
static void inbox_unlock(struct tracking *tracking, unsigned worker)
{
    struct tracking_inbox *inbox = &tracking->inboxes[worker];
    atomic_store_explicit(&inbox->waiting, true, memory_order_relaxed);
    if (!inbox->posted) { /* one that has ended opens no letters, and has no clients */
        inbox->posted = true;
        (void)!mailbox_post_urgent(&tracking->node->workers[worker]->mailbox, &inbox->letter);
    }
    CHECK(pthread_mutex_unlock(&inbox->lock) == 0);
}

void tracking_tell(struct tracking *tracking, unsigned worker, const struct news *news)
{
    struct tracking_inbox *inbox = inbox_lock(tracking, worker);
    if (!inbox->lost && tracking_append_news(&inbox->news, news) != OK) {
        inbox_lose(inbox);
    }
    inbox_unlock(tracking, worker);
}

void tracking_take_news(struct tracking *tracking, unsigned worker, struct buf *ret_news,
                        bool *ret_lost)
{
    struct tracking_inbox *inbox = inbox_lock(tracking, worker);
    *ret_news = inbox->news;
    *ret_lost = inbox->lost;
    inbox->news = (struct buf){0};
    inbox->lost = false;
    atomic_store_explicit(&inbox->waiting, false, memory_order_relaxed);
    CHECK(pthread_mutex_unlock(&inbox->lock) == 0);
}

bool tracking_has_news(const struct tracking *tracking, unsigned worker)
{
    return atomic_load_explicit(&tracking->inboxes[worker].waiting, memory_order_relaxed);
}

void tracking_letter_came(struct tracking *tracking, unsigned worker)
{
    struct tracking_inbox *inbox = inbox_lock(tracking, worker);
    inbox->posted = false;
    CHECK(pthread_mutex_unlock(&inbox->lock) == 0);
}

bool tracking_next_news(struct slice *rest, struct news *ret_news)
{
    struct news_head head;
    if (rest->size == 0) {
        return false;
    }
    memcpy(&head, rest->data, sizeof(head));
    *ret_news = (struct news){
        .kind = (enum news_kind)head.kind,
        .client = head.client,
        .other = head.other,
        .to_worker = head.to_worker,
        .bytes = {rest->data + sizeof(head), head.size},
    };
    rest->data += sizeof(head) + head.size;
    rest->size -= sizeof(head) + head.size;
    return true;
}

/* --- changes ------------------------------------------------------------------------------------------------------- */

/* Takes the row over. */
static void tell_row(struct tracking *tracking, struct tracking_row *row, uint64_t writer)
{
    size_t at = 0;
    uint64_t name;
    while (row != NULL && (name = tracking_row_next(row, &at)) != 0) {
        const struct news news = {
            .kind = NEWS_KEY,
            .client = client_of(name),
            .other = writer,
            .bytes = tracking_row_key(row),
        };
        tracking_tell(tracking, worker_of(name), &news);
    }
    tracking_row_free(row);
}

void tracking_sent(struct tracking *tracking, struct slice key, uint64_t hash)
{
    const uint64_t stamp = atomic_fetch_add_explicit(&tracking->sent, 1, memory_order_relaxed) + 1;
    tracking_table_stamp(tracking->table, key, hash, stamp);
}

bool tracking_begin_written(struct tracking *tracking)
{
    return pthread_mutex_trylock(&tracking->order) == 0;
}

void tracking_end_written(struct tracking *tracking)
{
    CHECK(pthread_mutex_unlock(&tracking->order) == 0);
}

void tracking_written(struct tracking *tracking, struct slice key, uint64_t hash)
{
    tell_row(tracking, tracking_table_take(tracking->table, key, hash), 0);
}

static bool broadcasts(const struct tracking *tracking, unsigned worker)
{
    return atomic_load(&tracking->inboxes[worker].broadcasters) > 0;
}

void tracking_changed(struct tracking *tracking, struct slice key, uint64_t hash, uint64_t writer)
{
    if (!tracking_is_wanted(tracking)) {
        return;
    }
    tell_row(tracking, tracking_table_take(tracking->table, key, hash), writer);
    const struct news news = {.kind = NEWS_BROADCAST, .other = writer, .bytes = key};
    for (unsigned i = 0; i < tracking->inbox_count; i++) {
        if (broadcasts(tracking, i)) {
            tracking_tell(tracking, i, &news);
        }
    }
}

bool tracking_is_own(struct slice key)
{
    return slice_is(key, "terrace:seq") || slice_is(key, "terrace:nodes") ||
           slice_is(key, "terrace:meta") || slice_is(key, "terrace:nothing") ||
           slice_is(key, "terrace:log") || slice_is(key, "terrace:tags") ||
           slice_is(key, "terrace:hot") || slice_begins(key, "terrace:hot:") ||
           slice_begins(key, "terrace:lease:") || slice_begins(key, "terrace:warm:");
}

static int row_compare(const void *left, const void *right)
{
    struct tracking_row *const *a = left;
    struct tracking_row *const *b = right;
    const uint64_t first = tracking_row_stamp(*a);
    const uint64_t second = tracking_row_stamp(*b);
    return (first > second) - (first < second);
}

static void take_row(struct tracking *tracking, struct slice key, uint64_t hash)
{
    struct tracking_row *row = tracking_table_take(tracking->table, key, hash);
    if (row != NULL && buf_append(&tracking->rows, &row, sizeof(struct tracking_row *)) != OK) {
        tell_row(tracking, row, 0);
    }
}

static void tell_rows(struct tracking *tracking)
{
    struct tracking_row **rows = (struct tracking_row **)(void *)tracking->rows.data;
    const size_t count = tracking->rows.size / sizeof(struct tracking_row *);
    if (count > 1) {
        qsort(rows, count, sizeof(struct tracking_row *), row_compare);
    }
    for (size_t i = 0; i < count; i++) {
        tell_row(tracking, rows[i], 0);
    }
    tracking->rows.size = 0;
    if (tracking->rows.capacity > ANNOUNCED_KEPT) {
        buf_done(&tracking->rows);
    }
}

void tracking_announced(struct tracking *tracking, struct slice key, uint64_t hash)
{
    if (!tracking->applying) {
        tracking->applying = true;
        CHECK(pthread_mutex_lock(&tracking->order) == 0);
    }
    take_row(tracking, key, hash);
    const struct news news = {.kind = NEWS_BROADCAST, .bytes = key};
    for (unsigned i = 0; i < tracking->inbox_count && !tracking_is_own(key); i++) {
        if (broadcasts(tracking, i)) {
            if (tracking_append_news(&tracking->announced, &news) != OK) {
                tracking_announced_all(tracking);
                tracking_flush(tracking);
            }
            return;
        }
    }
}

void tracking_announced_all(struct tracking *tracking)
{
    tell_rows(tracking);
    if (tracking->applying) {
        tracking->applying = false;
        CHECK(pthread_mutex_unlock(&tracking->order) == 0);
    }
    const struct slice all = buf_slice(&tracking->announced);
    for (unsigned i = 0; i < tracking->inbox_count && all.size > 0; i++) {
        if (broadcasts(tracking, i)) {
            struct tracking_inbox *inbox = inbox_lock(tracking, i);
            if (!inbox->lost && (inbox->news.size + all.size > LIMIT_TRACKING_NEWS ||
                                 buf_append_slice(&inbox->news, all) != OK)) {
                inbox_lose(inbox);
            }
            inbox_unlock(tracking, i);
        }
    }
    tracking->announced.size = 0;
    if (tracking->announced.capacity > ANNOUNCED_KEPT) {
        buf_done(&tracking->announced);
    }
}

void tracking_flush(struct tracking *tracking)
{
    if (!tracking_is_wanted(tracking)) {
        return;
    }
    tracking_table_clear(tracking->table);
    const struct news news = {.kind = NEWS_FLUSH};
    for (unsigned i = 0; i < tracking->inbox_count; i++) {
        if (atomic_load(&tracking->inboxes[i].clients) > 0) {
            tracking_tell(tracking, i, &news);
        }
    }
}

bool tracking_broadcasts(const struct tracking *tracking)
{
    bool any = false;
    for (unsigned i = 0; i < tracking->inbox_count && !any; i++) {
        any = broadcasts(tracking, i);
    }
    return any;
}

bool tracking_tell_fitting(struct tracking *tracking, bool (*fits)(void *arg, struct slice key),
                           void *arg)
{
    const enum status status =
        tracking_table_take_fitting(tracking->table, fits, arg, &tracking->rows);
    tell_rows(tracking);
    return status == OK;
}

/* What a client keeps of what it read has a row. */
void tracking_doubt(struct tracking *tracking)
{
    if (tracking_table_keys(tracking->table) > 0 || tracking_broadcasts(tracking)) {
        tracking_flush(tracking);
    }
}

bool tracking_limit(struct tracking *tracking, size_t most, uint64_t noise, unsigned effort)
{
    while (most > 0 && tracking_table_keys(tracking->table) > most) {
        struct tracking_row *row =
            effort-- > 0 ? tracking_table_take_any(tracking->table, noise) : NULL;
        if (row == NULL) {
            return false;
        }
        tell_row(tracking, row, 0);
        noise = noise * 0x9e3779b97f4a7c15u + 1;
    }
    return true;
}

/* --- prefixes ------------------------------------------------------------------------------------------------------ */

struct prefix {
    struct map_node node;
    size_t uses;
    size_t size;
    char bytes[];
};

static struct prefix *prefix_find(const struct tracking *tracking, struct slice bytes,
                                  uint64_t hash)
{
    for (struct map_node *node = map_find(&tracking->prefixes, hash); node != NULL;
         node = map_next(node)) {
        struct prefix *prefix = MAP_ENTRY(node, struct prefix, node);
        if (slice_equal((struct slice){prefix->bytes, prefix->size}, bytes)) {
            return prefix;
        }
    }
    return NULL;
}

static enum status prefix_add(struct tracking *tracking, struct slice bytes, uint64_t hash)
{
    struct prefix *prefix = malloc(sizeof(*prefix) + bytes.size);
    if (prefix == NULL || map_add(&tracking->prefixes, &prefix->node, hash) != OK) {
        free(prefix);
        return NO_MEMORY;
    }
    prefix->uses = 1;
    prefix->size = bytes.size;
    if (bytes.size > 0) {
        memcpy(prefix->bytes, bytes.data, bytes.size);
    }
    return OK;
}

/* In the tables of the node, of the worker, and of the client: that two clients share one does not make it cheaper. */
static size_t prefix_cost(struct slice bytes)
{
    return 256 + 2 * bytes.size;
}

enum status tracking_use_prefix(struct tracking *tracking, struct slice bytes)
{
    const uint64_t hash = namespaces_hash(tracking->node->namespaces, bytes);
    enum status status = OK;
    CHECK(pthread_mutex_lock(&tracking->lock) == 0);
    struct prefix *prefix = prefix_find(tracking, bytes, hash);
    if (tracking->listened + prefix_cost(bytes) > LIMIT_TRACKING_LISTENED) {
        status = BUSY;
    } else if (prefix != NULL) {
        prefix->uses++;
    } else {
        status = prefix_add(tracking, bytes, hash);
    }
    tracking->listened += status == OK ? prefix_cost(bytes) : 0;
    CHECK(pthread_mutex_unlock(&tracking->lock) == 0);
    return status;
}

void tracking_drop_prefix(struct tracking *tracking, struct slice bytes)
{
    const uint64_t hash = namespaces_hash(tracking->node->namespaces, bytes);
    CHECK(pthread_mutex_lock(&tracking->lock) == 0);
    struct prefix *prefix = prefix_find(tracking, bytes, hash);
    CHECK(prefix != NULL);
    tracking->listened -= prefix_cost(bytes);
    if (--prefix->uses == 0) {
        map_remove(&tracking->prefixes, &prefix->node);
        free(prefix);
    }
    CHECK(pthread_mutex_unlock(&tracking->lock) == 0);
}

size_t tracking_prefixes(struct tracking *tracking)
{
    CHECK(pthread_mutex_lock(&tracking->lock) == 0);
    const size_t count = tracking->prefixes.count;
    CHECK(pthread_mutex_unlock(&tracking->lock) == 0);
    return count;
}
