/* SPDX-License-Identifier: BSD-3-Clause */
#include "server/client_memory.h"

#include "server/channels.h"
#include "server/conn.h"
#include "server/node.h"
#include "server/pubsub.h"
#include "server/transaction.h"
#include "server/worker.h"

#include <stdlib.h>

enum {
    SUBSCRIPTION_SIZE = sizeof(struct subscription) + sizeof(struct topic), /* without its name */
    PREFIX_SIZE = 128, /* of CLIENT TRACKING, with its membership */
    AGAIN_MS = 100
};

size_t client_memory_of(const struct conn *conn)
{
    size_t size =
        sizeof(*conn) + conn->in.capacity + body_held(&conn->body) + conn_waiting_bytes(conn);
    if (conn->transaction != NULL) {
        size += conn->transaction->bytes;
    }
    for (int kind = 0; conn->subscriber != NULL && kind < CHANNEL_KINDS; kind++) {
        size += (size_t)SUBSCRIPTION_SIZE * pubsub_count(conn, (enum channel_kind)kind);
    }
    if (conn->session.tracking != NULL) {
        size += PREFIX_SIZE * conn->session.tracking->prefix_count;
    }
    return size;
}

static void charge(struct conn *conn, size_t size)
{
    struct client_desk *desk = &conn->worker->clients;
    const size_t bytes = atomic_load_explicit(&desk->bytes, memory_order_relaxed);
    atomic_store_explicit(&desk->bytes, bytes + size - conn->charged, memory_order_relaxed);
    conn->charged = size;
}

static bool may_go(const struct conn *conn)
{
    return !conn->session.no_evict && conn->state != CONN_CLOSED;
}

static void evict(struct conn *conn)
{
    metrics_count(conn->worker->metrics, M_CLIENTS_EVICTED);
    log_write(&conn->worker->node->log, LOG_NOTICE, "client_evicted", "client=%s id=%llu bytes=%zu",
              conn->session.peer, (unsigned long long)conn->session.id, client_memory_of(conn));
    conn_close(conn);
}

void client_memory_note(struct conn *conn)
{
    const size_t max = conn->worker->clients.max;
    if (max == 0 || conn->state == CONN_CLOSED) {
        return;
    }
    charge(conn, client_memory_of(conn));
    if (conn->charged > max && may_go(conn)) {
        evict(conn);
    }
}

void client_memory_forget(struct conn *conn)
{
    charge(conn, 0);
}

void client_memory_limit(struct worker *worker, size_t max)
{
    worker->clients.max = max;
    struct list *next = NULL;
    for (struct list *at = worker->conns.next; max != 0 && at != &worker->conns; at = next) {
        struct conn *conn = LIST_ENTRY(at, struct conn, in_worker);
        next = at->next;
        charge(conn, client_memory_of(conn)); /* the next turn looks */
    }
}

/* --- all together --------------------------------------------------------------------------------------------------- */

static size_t bytes_of_all(const struct node *node)
{
    size_t bytes = 0;
    for (unsigned i = 0; i < node->worker_count; i++) {
        bytes += atomic_load_explicit(&node->workers[i]->clients.bytes, memory_order_relaxed);
    }
    return bytes;
}

struct eviction {
    struct tour tour; /* first: a tour is cast back */
    size_t max;
    size_t largest;       /* of those that may go, */
    struct worker *where; /* and at whom; NULL: there is none */
    bool closes;          /* the second tour */
};

static void eviction_find(struct eviction *eviction, struct worker *worker)
{
    for (struct list *at = worker->conns.next; at != &worker->conns; at = at->next) {
        const struct conn *conn = LIST_ENTRY(at, struct conn, in_worker);
        const size_t size = may_go(conn) ? client_memory_of(conn) : 0;
        if (size > eviction->largest) {
            eviction->largest = size;
            eviction->where = worker;
        }
    }
}

static void eviction_visit(struct tour *tour, struct worker *worker)
{
    struct eviction *eviction = (struct eviction *)(void *)tour;
    if (!eviction->closes) {
        eviction_find(eviction, worker);
        return;
    }
    struct list *next = NULL;
    for (struct list *at = worker->conns.next; eviction->where == worker && at != &worker->conns;
         at = next) {
        struct conn *conn = LIST_ENTRY(at, struct conn, in_worker);
        next = at->next;
        if (bytes_of_all(worker->node) > eviction->max && may_go(conn) &&
            client_memory_of(conn) >= eviction->largest / 2) {
            evict(conn);
        }
    }
}

static void eviction_done(struct tour *tour)
{
    struct eviction *eviction = (struct eviction *)(void *)tour;
    struct worker *home = tour->home;
    const bool goes_on =
        bytes_of_all(home->node) > eviction->max && (eviction->closes || eviction->where != NULL);
    if (!goes_on) {
        home->clients.on_tour = false;
        home->clients.again_ms = home->now_ms + AGAIN_MS;
        free(eviction);
        return;
    }
    eviction->closes = !eviction->closes;
    if (!eviction->closes) {
        eviction->largest = 0;
        eviction->where = NULL;
    }
    tour_start(&eviction->tour, home);
}

void client_memory_look(struct worker *worker)
{
    struct client_desk *desk = &worker->clients;
    if (desk->on_tour || worker->now_ms < desk->again_ms ||
        bytes_of_all(worker->node) <= desk->max) {
        return;
    }
    struct eviction *eviction = calloc(1, sizeof(*eviction));
    if (eviction != NULL) {
        desk->on_tour = true;
        eviction->max = desk->max;
        eviction->tour.visit = eviction_visit;
        eviction->tour.done = eviction_done;
        tour_start(&eviction->tour, worker);
    }
}
