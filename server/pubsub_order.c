/* SPDX-License-Identifier: BSD-3-Clause */
#include "server/pubsub_order.h"

#include "server/call.h"
#include "server/conn.h"
#include "server/mailbox.h"
#include "server/node.h"
#include "server/worker.h"

#include <stdlib.h>

enum {
    ORDER_WAIT_MS = 500
};

struct pubsub_order {
    pthread_mutex_t lock;
    uint64_t next_number; /* under lock, as the lists */
    struct list turns;    /* both in order of their numbers */
    struct list waits;
    _Atomic unsigned turn_count; /* of the lists; read by any */
    _Atomic unsigned wait_count;
};

struct order_wait {
    struct letter letter;
    struct list link;
    struct worker *worker;
    uint64_t conn_id;
    uint64_t before; /* turns with lower numbers come first */
    int64_t until_ms;
};

struct pubsub_order *pubsub_order_new(void)
{
    struct pubsub_order *order = calloc(1, sizeof(*order));
    if (order != NULL) {
        (void)pthread_mutex_init(&order->lock, NULL);
        list_init(&order->turns);
        list_init(&order->waits);
    }
    return order;
}

void pubsub_order_free(struct pubsub_order *order)
{
    if (order == NULL) {
        return;
    }
    while (!list_empty(&order->waits)) {
        struct order_wait *wait = LIST_ENTRY(order->waits.next, struct order_wait, link);
        list_remove(&wait->link);
        free(wait);
    }
    (void)pthread_mutex_destroy(&order->lock);
    free(order);
}

/* On the loop of its connection's worker. */
static void wait_on_letter(struct letter *letter, void *owner)
{
    struct order_wait *wait = (struct order_wait *)(void *)letter;
    struct conn *conn = conn_find(owner, wait->conn_id);
    if (conn != NULL) {
        conn->heard_out = true;
        conn_unhold(conn, HOLD_PUBSUB);
    }
    free(wait);
}

/* Under lock. Lets those go whom no turn keeps, or who have waited until now. */
static void release(struct pubsub_order *order, int64_t now_ms)
{
    const uint64_t first = list_empty(&order->turns)
                               ? UINT64_MAX
                               : LIST_ENTRY(order->turns.next, struct pubsub_turn, link)->number;
    while (!list_empty(&order->waits)) {
        struct order_wait *wait = LIST_ENTRY(order->waits.next, struct order_wait, link);
        if (wait->before > first && wait->until_ms > now_ms) {
            return;
        }
        list_remove(&wait->link);
        atomic_fetch_sub(&order->wait_count, 1);
        wait->letter.open = wait_on_letter;
        if (mailbox_post_urgent(&wait->worker->mailbox, &wait->letter) != OK) {
            free(wait); /* that worker ends, and its connections with it */
        }
    }
}

void pubsub_order_enter(struct pubsub_order *order, struct pubsub_turn *turn)
{
    (void)pthread_mutex_lock(&order->lock);
    turn->number = order->next_number++;
    list_push_back(&order->turns, &turn->link);
    atomic_fetch_add(&order->turn_count, 1);
    (void)pthread_mutex_unlock(&order->lock);
}

void pubsub_order_leave(struct pubsub_order *order, struct pubsub_turn *turn)
{
    (void)pthread_mutex_lock(&order->lock);
    list_remove(&turn->link);
    atomic_fetch_sub(&order->turn_count, 1);
    release(order, INT64_MIN);
    (void)pthread_mutex_unlock(&order->lock);
}

bool pubsub_order_holds(struct call *call)
{
    struct pubsub_order *order = call->node->pubsub_order;
    struct conn *conn = call->conn;
    const bool heard_out = conn->heard_out;
    conn->heard_out = false;
    if (heard_out || atomic_load(&order->turn_count) == 0) {
        return false;
    }
    struct order_wait *wait = malloc(sizeof(*wait));
    if (wait == NULL) {
        return false;
    }
    *wait = (struct order_wait){.worker = call->worker,
                                .conn_id = conn->session.id,
                                .until_ms = call->now_ms + ORDER_WAIT_MS};
    (void)pthread_mutex_lock(&order->lock);
    const bool holds = !list_empty(&order->turns);
    if (holds) {
        wait->before = order->next_number;
        list_push_back(&order->waits, &wait->link);
        atomic_fetch_add(&order->wait_count, 1);
        conn_hold(conn, HOLD_PUBSUB);
    } else {
        free(wait);
    }
    (void)pthread_mutex_unlock(&order->lock);
    return holds;
}

void pubsub_order_tick(struct worker *worker)
{
    struct pubsub_order *order = worker->node->pubsub_order;
    if (atomic_load(&order->wait_count) > 0) {
        (void)pthread_mutex_lock(&order->lock);
        release(order, worker->now_ms);
        (void)pthread_mutex_unlock(&order->lock);
    }
}
