/* SPDX-License-Identifier: BSD-3-Clause */
/* tracking_news.c -- what came for the clients of a worker that track: told one by one, or, of prefixes, at the end of
 * the turn. */
#include "server/conn.h"
#include "server/node.h"
#include "server/tracking.h"
#include "server/tracking_client_inner.h"
#include "server/worker.h"
#include "tiers/tiers.h"

#include <stdlib.h>

/* --- broadcasts ---------------------------------------------------------------------------------------------------- */

struct change {
    struct slice key;
    uint64_t writer;
    size_t order;
};

static int change_compare(const void *left, const void *right)
{
    const struct change *a = left;
    const struct change *b = right;
    const int order = tracking_compare(a->key, b->key);
    return order != 0 ? order : (a->order > b->order) - (a->order < b->order);
}

/* Each key once, with its last writer, by bytes. NULL: no memory. */
static struct change *changes_of(struct slice news, size_t *ret_count)
{
    struct news one;
    struct slice rest = news;
    size_t count = 0;
    while (tracking_next_news(&rest, &one)) {
        count++;
    }
    struct change *changes = malloc(count * sizeof(*changes));
    if (changes == NULL) {
        return NULL;
    }
    for (size_t i = 0; i < count; i++) {
        (void)tracking_next_news(&news, &one);
        changes[i] = (struct change){.key = one.bytes, .writer = one.other, .order = i};
    }
    qsort(changes, count, sizeof(*changes), change_compare);
    *ret_count = 0;
    for (size_t i = 0; i < count; i++) {
        if (i + 1 == count || !slice_equal(changes[i].key, changes[i + 1].key)) {
            changes[(*ret_count)++] = changes[i];
        }
    }
    return changes;
}

/* Of one prefix. */
struct matches {
    const struct change *at;
    size_t count;
};

/* But for those that `except` changed; false: none is left. */
static bool build(struct buf *value, const struct matches *matches, uint64_t except,
                  enum status *ret_status)
{
    size_t count = 0;
    for (size_t i = 0; i < matches->count; i++) {
        count += except == 0 || matches->at[i].writer != except;
    }
    value->size = 0;
    enum status status = tracking_append_count(value, '*', count);
    for (size_t i = 0; i < matches->count && status == OK; i++) {
        if (except == 0 || matches->at[i].writer != except) {
            status = tracking_append_key(value, matches->at[i].key);
        }
    }
    *ret_status = status;
    return count > 0;
}

static void broadcast_to(struct tracking_desk *desk, const struct tracking_prefix *prefix,
                         const struct matches *matches)
{
    for (struct list *at = prefix->members.next; at != &prefix->members; at = at->next) {
        struct tracking_client *client =
            LIST_ENTRY(at, struct tracking_membership, in_prefix)->client;
        const bool noloop = (client->flags & TRACKING_NOLOOP) != 0;
        enum status status = OK;
        if (client->line != NULL && !client->reads_here) {
            continue; /* Redis tells it */
        }
        if (build(&desk->value, matches, noloop ? client->conn->session.id : 0, &status)) {
            tracking_tell_built(client, status);
        }
    }
}

static int prefix_compare(const void *left, const void *right)
{
    const struct tracking_prefix *const *a = left;
    const struct tracking_prefix *const *b = right;
    return tracking_compare(tracking_prefix_bytes(*a), tracking_prefix_bytes(*b));
}

/* The prefixes of which something changed, as pointers in `touched`. Keys are sorted: what begins with one lies together. */
static enum status touch(const struct prefix_index *index, const struct change *changes,
                         size_t count, struct buf *touched)
{
    enum status status = OK;
    for (size_t i = 0; i < count; i++) {
        struct prefix_walk walk = {.key = changes[i].key};
        struct tracking_prefix *prefix;
        while ((prefix = prefix_index_next(index, &walk)) != NULL && status == OK) {
            if (prefix->count++ == 0) {
                prefix->first = i;
                status = buf_append(touched, &prefix, sizeof(struct tracking_prefix *));
                prefix->count = status == OK ? 1 : 0;
            }
        }
    }
    return status;
}

static void tell_touched(struct tracking_desk *desk, const struct change *changes,
                         struct buf *touched)
{
    struct tracking_prefix **prefixes = (struct tracking_prefix **)(void *)touched->data;
    const size_t count = touched->size / sizeof(struct tracking_prefix *);
    if (count > 1) {
        qsort(prefixes, count, sizeof(struct tracking_prefix *), prefix_compare);
    }
    for (size_t i = 0; i < count; i++) {
        const struct matches matches = {changes + prefixes[i]->first, prefixes[i]->count};
        prefixes[i]->count = 0;
        broadcast_to(desk, prefixes[i], &matches);
    }
}

static void broadcast(struct worker *worker)
{
    struct tracking_desk *desk = &worker->tracking;
    size_t count = 0;
    struct buf touched = {0};
    struct change *changes = changes_of(buf_slice(&desk->broadcasts), &count);
    if (changes == NULL || touch(&desk->prefixes, changes, count, &touched) != OK) {
        tracking_flush(worker->node->tracking);
    }
    tell_touched(desk, changes, &touched);
    buf_done(&touched);
    free(changes);
    tracking_empty(&desk->broadcasts);
    tracking_empty(&desk->value);
}

/* --- news ---------------------------------------------------------------------------------------------------------- */

static struct tracking_client *client_find(const struct worker *worker, uint64_t id)
{
    const struct conn *conn = conn_find(worker, id);
    return conn == NULL ? NULL : conn->session.tracking;
}

static void obey_key(const struct worker *worker, const struct news *news)
{
    struct tracking_client *client = client_find(worker, news->client);
    if (client == NULL || (client->flags & TRACKING_BCAST) != 0) {
        return;
    }
    if ((client->flags & TRACKING_NOLOOP) == 0 || news->other != news->client) {
        tracking_tell_key(client, news->bytes);
    }
}

static void obey_broadcast(struct worker *worker, const struct news *news)
{
    if (worker->tracking.prefixes.length_count > 0 &&
        tracking_append_news(&worker->tracking.broadcasts, news) != OK) {
        worker->tracking.broadcasts.size = 0;
        tracking_flush(worker->node->tracking);
    }
}

static void obey_flush(const struct worker *worker)
{
    const struct list *clients = &worker->tracking.clients;
    for (struct list *at = clients->next; at != clients; at = at->next) {
        tracking_tell_built(LIST_ENTRY(at, struct tracking_client, in_desk), NO_MEMORY);
    }
}

static void obey_passed_on(const struct worker *worker, const struct news *news)
{
    struct conn *target = conn_find(worker, news->client);
    if (target != NULL) {
        tracking_deliver(target, news->bytes, true);
        return;
    }
    const struct news broken = {.kind = NEWS_BROKEN, .client = news->other, .other = news->client};
    tracking_tell(worker->node->tracking, news->to_worker, &broken);
}

static void obey(struct worker *worker, const struct news *news)
{
    switch (news->kind) {
    case NEWS_KEY: obey_key(worker, news); return;
    case NEWS_BROADCAST: obey_broadcast(worker, news); return;
    case NEWS_FLUSH: obey_flush(worker); return;
    case NEWS_PASSED_ON: obey_passed_on(worker, news); return;
    case NEWS_BROKEN: {
        struct tracking_client *client = client_find(worker, news->client);
        if (client != NULL && client->redirect == news->other) {
            tracking_say_broken(client);
        }
        return;
    }
    }
}

void tracking_read_news(struct worker *worker)
{
    struct tracking *tracking = worker->node->tracking;
    struct buf all;
    bool lost = false;
    struct news news;
    if (!tracking_has_news(tracking, worker->index)) {
        return;
    }
    tracking_take_news(tracking, worker->index, &all, &lost);
    struct slice rest = buf_slice(&all);
    while (tracking_next_news(&rest, &news)) {
        obey(worker, &news);
    }
    buf_done(&all);
    if (lost) {
        tracking_flush(tracking);
    }
}

void tracking_on_letter(struct letter *letter, void *owner)
{
    struct worker *worker = owner;
    (void)letter;
    tracking_letter_came(worker->node->tracking, worker->index);
    tracking_read_news(worker);
}

void tracking_tick(struct worker *worker)
{
    struct list *lines = &worker->tracking.lines;
    if (!list_empty(&worker->tracking.clients)) { /* rows stay when CONFIG SET lowers the limit */
        tracking_keep_within_limit(worker);
    }
    if (!list_empty(lines)) {
        const struct coherence_view *view = coherence_view(tiers_coherence(worker->node->tiers));
        tracking_line_tick_all(lines, worker->now_ms, atomic_load(&view->bound_ms));
    }
}

void tracking_end_turn(struct worker *worker)
{
    tracking_read_news(worker);
    if (worker->tracking.broadcasts.size > 0) {
        broadcast(worker);
    }
}
