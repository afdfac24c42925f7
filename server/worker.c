/* SPDX-License-Identifier: BSD-3-Clause */
#include "server/worker.h"

#include "protocol/check.h"
#include "server/account.h"
#include "server/acl.h"
#include "server/client_memory.h"
#include "server/conn_tls.h"
#include "server/hot_desk.h"
#include "server/join_desk.h"
#include "server/l2_socket.h"
#include "server/learned.h"
#include "server/native.h"
#include "server/node.h"
#include "server/pubsub_order.h"
#include "server/snapshot_revive.h"
#include "server/steps.h"
#include "server/tracking.h"
#include "server/warm_desk.h"
#include "server/warm_run.h"
#include "tiers/managed_write.h"
#include "tiers/tiers.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum {
    WORKER_TICK_MS = 100,
    WORKER_CONN_TICKS = 10
};

void worker_mark_dirty(struct worker *worker, struct conn *conn)
{
    if (list_empty(&conn->in_dirty) && conn->state != CONN_CLOSED) {
        list_push_back(&worker->dirty, &conn->in_dirty);
    }
}

static void worker_on_idle(uv_idle_t *idle)
{
    (void)idle; /* its only work is to keep the loop from sleeping */
}

void worker_stay_awake(struct worker *worker)
{
    (void)uv_idle_start(&worker->idle, worker_on_idle);
}

void worker_mark_woken(struct worker *worker, struct conn *conn)
{
    if (list_empty(&conn->in_woken)) {
        list_push_back(&worker->woken, &conn->in_woken);
        worker_stay_awake(worker);
    }
}

bool worker_is_pressed(const struct worker *worker)
{
    const struct node *node = worker->node;
    const size_t memory = atomic_load_explicit(&node->live.memory, memory_order_relaxed);
    return worker->pool.held > memory / LIMIT_HELD_SHARE / node->worker_count;
}

void worker_mark_unsent(struct worker *worker, struct conn *conn)
{
    if (list_empty(&conn->in_dirty) && conn->state != CONN_CLOSED) {
        list_push_back(&worker->unsent, &conn->in_dirty);
        worker_stay_awake(worker);
    }
}

/* --- the stages of a turn -------------------------------------------------------------------------------------------------- */

/* What each may be sent this turn. A socket whose client does not read takes megabytes, and all the others would wait for
 * their copying; one that is alone need not come back for each 64 KiB. */
static size_t worker_send_limit(const struct worker *worker)
{
    size_t part = LIMIT_SEND_TURN;
    size_t count = 0;
    for (struct list *node = worker->dirty.next; node != &worker->dirty && part > LIMIT_SEND;
         node = node->next) {
        count++;
        part = LIMIT_SEND_TURN / count;
    }
    return part > LIMIT_SEND ? part : LIMIT_SEND;
}

static void worker_flush(struct worker *worker)
{
    if (!list_empty(&worker->tracking.clients)) {
        tracking_end_turn(worker);
    }
    worker_send_confirms(worker);
    if (worker->monitor.lines.size > 0) {
        monitor_send(worker);
    }
    if (worker->roof != NULL) {
        managed_write_flush(worker->window);
        l2_roof_flush(worker->roof);
    }
    const size_t limit = worker_send_limit(worker);
    while (!list_empty(&worker->dirty)) {
        struct conn *conn = LIST_ENTRY(worker->dirty.next, struct conn, in_dirty);
        list_remove(&conn->in_dirty);
        conn_flush(conn, limit);
    }
    if (worker->clients.max != 0) {
        client_memory_look(worker);
    }
    atomic_store_explicit(&worker->held_bytes, out_pool_bytes(&worker->pool), memory_order_relaxed);
}

/* Connections whose last hold went: their bytes are taken up as if they had just come. Each is looked at once per turn, so
 * that one which is held again at once cannot keep the others waiting. */
static void worker_take_woken(struct worker *worker)
{
    struct list woken;
    list_init(&woken);
    list_splice_back(&woken, &worker->woken);
    while (!list_empty(&woken)) {
        struct conn *conn = LIST_ENTRY(woken.next, struct conn, in_woken);
        list_remove(&conn->in_woken);
        conn_take_waiting(conn);
    }
}

static void worker_on_check(uv_check_t *check)
{
    struct worker *worker = check->data;
    (void)uv_idle_stop(&worker->idle);
    worker->handshake_steps = 0;
    worker_run_batch(worker);
    if (!list_empty(&worker->woken)) {
        worker_take_woken(worker);
        worker_run_batch(worker);
    }
    if (!list_empty(&worker->steps)) {
        worker_read_clock(worker);
        steps_run(worker);
    }
    list_splice_back(&worker->dirty, &worker->unsent);
    worker_flush(worker);
    turns_end(&worker->turns, &worker->loop, worker->turn_requests);
    worker->turn_requests = 0;
}

/* What timers made dirty leaves before the loop sleeps. */
static void worker_on_prepare(uv_prepare_t *prepare)
{
    worker_flush(prepare->data);
    load_desk_arm(prepare->data);
}

static void worker_tick_conns(struct worker *worker)
{
    struct list *next = NULL;
    for (struct list *node = worker->conns.next; node != &worker->conns; node = next) {
        next = node->next;
        struct conn *conn = LIST_ENTRY(node, struct conn, in_worker);
        bool idle = conn->answer_count == 0 && conn_unsent(conn) == 0 && conn->in.size == 0;
        if (worker->draining && conn->native != NULL) {
            if (native_drains(conn, idle)) {
                conn_close(conn);
            }
        } else if (worker->draining && (idle || worker->now_ms >= worker->drain_until_ms)) {
            conn_close(conn);
        } else {
            conn_tick(conn, worker->now_ms);
        }
    }
}

static void worker_end_pause(struct worker *worker)
{
    struct live *live = &worker->node->live;
    if (atomic_load_explicit(&live->pause_until_ms, memory_order_relaxed) > worker->now_ms) {
        return;
    }
    worker->paused = false;
    for (struct list *node = worker->conns.next; node != &worker->conns; node = node->next) {
        conn_unhold(LIST_ENTRY(node, struct conn, in_worker), HOLD_PAUSE);
    }
}

static void worker_on_tick(uv_timer_t *timer)
{
    struct worker *worker = timer->data;
    struct live *live = &worker->node->live;
    worker_read_clock(worker);
    atomic_store_explicit(&worker->turned_at_ms, worker->now_ms, memory_order_relaxed);
    worker_follow_limits(worker);
    if (worker->window != NULL) {
        tiers_window_timeouts(worker->window, atomic_load(&live->l2_timeout_ms),
                              atomic_load(&live->l2_relay_timeout_ms));
        tiers_window_revalidate(worker->window, atomic_load(&live->revalidate_rate));
        tiers_window_return_load(worker->window, atomic_load(&live->l2_return_load));
        tiers_window_hash_fields(worker->window, atomic_load(&live->l1_hash_fields));
        tiers_window_tick(worker->window, worker->now_ms);
        busy_tick(worker);
        waits_tick(worker);
    }
    if (worker->warm != NULL) {
        revive_tick(worker->node->snapshot_revive, worker);
        warm_engine_tick(worker->warm);
    }
    hot_tick(&worker->hot, worker->now_ms);
    if (worker->index == 0) {
        if (worker->node->join_desk != NULL) {
            join_desk_tick(worker->node->join_desk, worker);
        }
        hot_desk_tick(worker->node->hot, worker);
    }
    warm_desk_tick(worker->warm_desk);
    tracking_tick(worker);
    if (worker->ticks++ % WORKER_CONN_TICKS == 0 || worker->draining) {
        worker_tick_conns(worker);
    }
    pubsub_order_tick(worker);
    if (worker->paused) {
        worker_end_pause(worker);
    }
}

/* --- letters ---------------------------------------------------------------------------------------------------------------- */

static void worker_on_behind(struct letter *letter, void *owner)
{
    struct worker *worker = owner;
    (void)letter;
    atomic_store(&worker->behind_posted, false);
    worker_read_clock(worker);
    if (worker->window != NULL) {
        tiers_window_behind(worker->window);
    }
}

void worker_turn_behind(struct worker *worker)
{
    if (!atomic_exchange(&worker->behind_posted, true)) {
        worker->behind_letter.open = worker_on_behind;
        if (mailbox_post_urgent(&worker->mailbox, &worker->behind_letter) != OK) {
            atomic_store(&worker->behind_posted, false);
        }
    }
}

struct conn_letter {
    struct letter letter;
    int fd;
    bool tls;
    uint64_t id; /* given at accept, so that ids grow as clients connect, on whatever worker */
};

/* false: the socket is closed. */
static bool worker_open_conn(struct worker *worker, const struct conn_letter *arrival)
{
    struct tls_stream *tls = NULL;
    if (!worker->draining && arrival->tls) {
        tls = conn_tls_accept(worker);
    }
    if (worker->draining || (arrival->tls && tls == NULL)) {
        (void)close(arrival->fd);
        return false;
    }
    if (conn_open(worker, arrival->fd, arrival->id, tls) == NULL) {
        conn_tls_give_up(worker, tls);
        return false;
    }
    return true;
}

static void worker_on_conn(struct letter *letter, void *owner)
{
    struct conn_letter *arrival = (struct conn_letter *)(void *)letter;
    struct worker *worker = owner;
    worker_read_clock(worker);
    if (worker_open_conn(worker, arrival)) {
        metrics_count(worker->metrics, M_CONNECTIONS);
    } else {
        atomic_fetch_sub(&worker->load, 1);
        atomic_fetch_sub(&worker->node->conns_open, 1);
    }
    free(arrival);
}

void worker_post_conn(struct worker *worker, int fd, bool tls)
{
    struct conn_letter *arrival = malloc(sizeof(*arrival));
    atomic_fetch_add(&worker->load, 1);
    atomic_fetch_add(&worker->node->conns_open, 1);
    if (arrival != NULL) {
        uint64_t id = atomic_fetch_add(&worker->node->next_conn_id, 1) + 1;
        *arrival = (struct conn_letter){
            .letter = {.open = worker_on_conn}, .fd = fd, .tls = tls, .id = id};
        if (mailbox_post_urgent(&worker->mailbox, &arrival->letter) == OK) {
            return;
        }
    }
    free(arrival);
    (void)close(fd);
    atomic_fetch_sub(&worker->load, 1);
    atomic_fetch_sub(&worker->node->conns_open, 1);
}

/* A letter of one window to another travels in a letter of ours. */
static void worker_on_tiers_post(struct letter *letter, void *owner)
{
    struct worker *worker = owner;
    struct tiers_post *post = (struct tiers_post *)(void *)letter;
    worker_read_clock(worker);
    post->open(post, worker->window);
}

static enum status worker_post_tiers(void *arg, unsigned to, struct tiers_post *post, bool must)
{
    struct l2_roof *roof = arg;
    struct worker *worker = roof->owner;
    struct letter *letter = (struct letter *)(void *)post->roof_room;
    _Static_assert(sizeof(struct letter) <= sizeof(post->roof_room),
                   "a letter fits in the room of a post");
    _Static_assert(offsetof(struct tiers_post, roof_room) == 0, "a post begins with its letter");
    letter->open = worker_on_tiers_post;
    struct mailbox *mailbox = &worker->node->workers[to]->mailbox;
    return must ? mailbox_post_urgent(mailbox, letter) : mailbox_post(mailbox, letter);
}

/* --- life -------------------------------------------------------------------------------------------------------------------- */

static enum status worker_open_window(struct worker *worker)
{
    struct node *node = worker->node;
    if (node->tiers == NULL) {
        return OK;
    }
    worker->roof = calloc(1, sizeof(*worker->roof));
    if (worker->roof == NULL) {
        return NO_MEMORY;
    }
    l2_roof_open(worker->roof, &worker->loop, &node->clock, &node->l2_tls, worker);
    worker->window = tiers_window_new(&(struct tiers_window_options){
        .tiers = node->tiers,
        .worker = worker->index,
        .metrics = worker->metrics,
        .io = l2_roof_io(worker->roof),
        .seed = rand_next(&worker->rand),
        .revalidates = worker->index == 0,
        .hot = &worker->hot,
        .spares = &worker->spares,
        .post = worker_post_tiers,
        .confirm = worker_confirm,
    });
    if (worker->window == NULL) {
        return NO_MEMORY;
    }
    worker->warm = worker->index == 0 ? warm_engine_new(worker) : NULL;
    return worker->index == 0 && worker->warm == NULL ? NO_MEMORY : OK;
}

static void worker_open_loop(struct worker *worker)
{
    CHECK(uv_loop_init(&worker->loop) == 0);
    CHECK(uv_loop_configure(&worker->loop, UV_METRICS_IDLE_TIME) ==
          0); /* how busy it is: the signal to scale by */
    CHECK(uv_check_init(&worker->loop, &worker->check) == 0);
    CHECK(uv_prepare_init(&worker->loop, &worker->prepare) == 0);
    CHECK(uv_idle_init(&worker->loop, &worker->idle) == 0);
    CHECK(uv_timer_init(&worker->loop, &worker->timer) == 0);
    load_desk_open(worker);
    worker->check.data = worker;
    worker->prepare.data = worker;
    worker->timer.data = worker;
    sweep_desk_open(&worker->sweeps, worker);
    mailbox_open(&worker->mailbox, &worker->loop, worker);
}

static void worker_init_replies(struct worker *worker)
{
    out_init(&worker->aside.out, &worker->pool);
    out_init(&worker->sink.out, &worker->pool);
    worker->aside.worker = worker;
    worker->sink.worker = worker;
    request_reader_init(&worker->reader);
    list_init(&worker->conns);
    list_init(&worker->dirty);
    list_init(&worker->unsent);
    list_init(&worker->taken);
    list_init(&worker->woken);
    list_init(&worker->steps);
    list_init(&worker->leases);
    list_init(&worker->confirms);
    barrier_desk_open(&worker->barrier);
    waits_desk_open(&worker->waits);
    monitor_desk_open(&worker->monitor);
    channels_open(&worker->channels, worker->node->channel_index);
    uint64_t secret = 0;
    rand_secret(&secret, sizeof(secret));
    tracking_desk_open(&worker->tracking, secret);
}

static void worker_run(void *arg)
{
    struct worker *worker = arg;
    char name[16];
    (void)snprintf(name, sizeof(name), "worker-%u", worker->index);
    (void)pthread_setname_np(pthread_self(), name);
    tracking_on_worker(worker->node->tracking, worker);
    worker_on_tick(&worker->timer);
    CHECK(uv_check_start(&worker->check, worker_on_check) == 0);
    CHECK(uv_prepare_start(&worker->prepare, worker_on_prepare) == 0);
    CHECK(uv_timer_start(&worker->timer, worker_on_tick, WORKER_TICK_MS, WORKER_TICK_MS) == 0);
    (void)uv_run(&worker->loop, UV_RUN_DEFAULT);
}

/* The memory, when no thread runs and the loop is closed or never was opened. */
static void worker_release(struct worker *worker)
{
    request_reader_done(&worker->reader);
    acl_drop(worker->users);
    out_done(&worker->aside.out);
    out_done(&worker->sink.out);
    out_pool_done(&worker->pool);
    map_done(&worker->conns_by_id);
    channels_close(&worker->channels);
    monitor_desk_close(&worker->monitor);
    tracking_desk_done(&worker->tracking);
    native_free_desk(worker);
    warm_desk_free(worker->warm_desk);
    warm_engine_free(worker->warm);
    hot_close(&worker->hot);
    buf_done(&worker->scratch);
    spares_done(&worker->spares);
    free(worker->roof);
    free(worker->read_memory);
    free(worker->counters);
    free(worker->metrics);
    free(worker);
}

enum status worker_new(struct node *node, unsigned index, struct worker **ret_worker)
{
    struct worker *worker = calloc(1, sizeof(*worker));
    if (worker == NULL) {
        return NO_MEMORY;
    }
    worker->node = node;
    worker->index = index;
    worker->read_memory = malloc(READ_MEMORY);
    worker->metrics = calloc(1, sizeof(*worker->metrics));
    worker->counters = calloc(command_count() + LEARNED_NUMBERS, sizeof(*worker->counters));
    worker->users = acl_take(node->acl);
    uint64_t seed = 0;
    rand_secret(&seed, sizeof(seed));
    rand_seed(&worker->rand, seed);
    worker_init_replies(worker);
    const enum status counts = hot_open(&worker->hot, &(struct hot_options){
                                                          .rows = (unsigned)node->options.hot_keys,
                                                          .samples = HOT_SAMPLES,
                                                          .seed = rand_next(&worker->rand),
                                                          .now_ms = clock_now_ms(&node->clock),
                                                      });
    worker->warm_desk = index == 0 ? warm_desk_new(worker) : NULL;
    if (worker->read_memory == NULL || worker->metrics == NULL || worker->counters == NULL ||
        counts != OK || (index == 0 && worker->warm_desk == NULL)) {
        worker_release(worker);
        return NO_MEMORY;
    }
    worker_open_loop(worker);
    worker_take_limits(worker);
    CHECK(worker_open_window(worker) == OK); /* at start, before anything is served */
    *ret_worker = worker;
    return OK;
}

void worker_start(struct worker *worker)
{
    worker->started = true;
    CHECK(uv_thread_create(&worker->thread, worker_run, worker) == 0);
}

void worker_drain(struct worker *worker, int64_t until_ms)
{
    worker->draining = true;
    worker->drain_until_ms = until_ms;
    worker_read_clock(worker);
    if (worker->index == 0) {
        join_desk_end(worker->node->join_desk);
        hot_desk_leave(worker->node->hot);
    }
    sweep_desk_end(&worker->sweeps);
    warm_desk_leave(worker->warm_desk);
    worker_tick_conns(worker);
}

void worker_retarget(struct worker *worker, uint64_t run)
{
    if (worker->window != NULL) {
        tiers_window_retarget(worker->window, run, clock_now_ms(&worker->node->clock));
    }
}

void worker_stand_still(struct worker *worker)
{
    worker_execute(worker);
    sweep_desk_stand_still(&worker->sweeps);
    if (worker->window != NULL) {
        tiers_window_forget_claims(worker->window);
    }
}

void worker_end_links(struct worker *worker)
{
    while (!list_empty(&worker->conns)) {
        conn_close(LIST_ENTRY(worker->conns.next, struct conn, in_worker));
    }
    tracking_line_end_all(&worker->tracking.lines);
    sweep_desk_end(&worker->sweeps);
    warm_desk_stop(worker->warm_desk);
    if (worker->index == 0) {
        join_desk_end(worker->node->join_desk);
        revive_stop(worker->node->snapshot_revive);
    }
    warm_engine_stop(worker->warm);
    if (worker->index == 0) {
        hot_desk_end(worker->node->hot);
    }
    if (worker->window != NULL) {
        tiers_window_end_links(worker->window);
    }
    steps_end(worker);
}

void worker_leave(struct worker *worker)
{
    (void)uv_timer_stop(&worker->timer);
    mailbox_close(&worker->mailbox);
    uv_close((uv_handle_t *)&worker->check, NULL);
    uv_close((uv_handle_t *)&worker->prepare, NULL);
    uv_close((uv_handle_t *)&worker->idle, NULL);
    uv_close((uv_handle_t *)&worker->timer, NULL);
    sweep_desk_close(&worker->sweeps);
    load_desk_close(worker);
    warm_engine_close(worker->warm);
    native_close_desk(worker);
    tiers_window_free(worker->window);
    worker->window = NULL;
    if (worker->roof != NULL) {
        l2_roof_close(worker->roof);
    }
}

void worker_join(struct worker *worker)
{
    if (worker != NULL && worker->started && !worker->joined) {
        CHECK(uv_thread_join(&worker->thread) == 0);
        worker->joined = true;
    }
}

void worker_free(struct worker *worker)
{
    if (worker == NULL) {
        return;
    }
    worker_join(worker);
    if (!worker->started) { /* the loop ends here, on the caller's thread */
        worker_end_links(worker);
        worker_leave(worker);
        (void)uv_run(&worker->loop, UV_RUN_DEFAULT);
    }
    CHECK(uv_loop_close(&worker->loop) == 0);
    worker_release(worker);
}
