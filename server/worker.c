/* SPDX-License-Identifier: BSD-3-Clause */
#include "server/worker.h"

#include "protocol/check.h"
#include "server/acl.h"
#include "server/auth.h"
#include "server/body.h"
#include "server/client_memory.h"
#include "server/conn_tls.h"
#include "server/dispatch.h"
#include "server/errand.h"
#include "server/l2_socket.h"
#include "server/learned.h"
#include "server/node.h"
#include "server/pubsub_order.h"
#include "server/solo.h"
#include "server/tracking.h"
#include "tiers/tiers.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
    WORKER_TICK_MS = 100,
    WORKER_CONN_TICKS = 10,
    CONFIRM_WAITS_MAX = 128 /* of one worker */
};

/* --- the batch ---------------------------------------------------------------------------------------------------------- */

static void worker_read_clock(struct worker *worker)
{
    worker->now_ms = clock_now_ms(&worker->node->clock);
    if (worker->window != NULL) {
        tiers_window_begin(worker->window, worker->now_ms);
    }
}

static void worker_execute_one(struct worker *worker, struct request *request)
{
    struct conn *conn = request->conn;
    /* Behind a request that was stepped over all others are, even if the hold is gone by now. */
    bool in_order = conn->state == CONN_OPEN && conn->holds == 0 && !conn->parse_again;
    if (in_order && dispatch_request(worker, request)) {
        const char *end = request->raw.data + request->raw.size;
        conn->region.size -= (size_t)(end - conn->region.data);
        conn->region.data = end;
        if (request->body != NULL) {
            body_end(conn);
        }
    } else {
        conn->parse_again = true;
    }
    free(request->owned);
}

/* What the batch took beyond the calls that were timed, in equal parts to those that were not. */
static void worker_share_time(struct worker *worker, uint64_t batch_ns)
{
    struct batch *batch = &worker->batch;
    unsigned untimed = 0;
    for (unsigned i = 0; i < batch->count; i++) {
        untimed += batch->requests[i].untimed != NULL;
    }
    unsigned next = 0;
    for (unsigned i = 0; i < batch->count && untimed > 0; i = next) {
        struct command_counters *counters = batch->requests[i].untimed;
        for (next = i + 1; next < batch->count && batch->requests[next].untimed == counters;
             next++) {
        }
        if (counters != NULL) {
            dispatch_note_durations(counters, (batch_ns - worker->timed_ns) / untimed, next - i);
        }
    }
}

static void worker_take_limits(struct worker *worker)
{
    const struct live_limits *live = &worker->node->live.limits;
    struct worker_limits *limits = &worker->limits;
    limits->version = atomic_load(&live->version);
    limits->look = LIMIT_OUTPUT_PRESSED;
    for (unsigned i = 0; i < 2; i++) {
        limits->hard[i] = atomic_load(&live->hard[i]);
        limits->soft[i] = atomic_load(&live->soft[i]);
        limits->low[i] = atomic_load(&live->low[i]);
        limits->soft_ms[i] = atomic_load(&live->soft_ms[i]);
        limits->look = limits->hard[i] < limits->look ? limits->hard[i] : limits->look;
        limits->look = limits->soft[i] < limits->look ? limits->soft[i] : limits->look;
    }
    limits->query = atomic_load(&live->query);
    client_memory_limit(worker, atomic_load(&live->clients));
}

static void worker_follow_limits(struct worker *worker)
{
    const struct live_limits *live = &worker->node->live.limits;
    if (worker->limits.version != atomic_load_explicit(&live->version, memory_order_acquire)) {
        worker_take_limits(worker);
    }
}

void worker_execute(struct worker *worker)
{
    struct batch *batch = &worker->batch;
    if (batch->count == 0) {
        return;
    }
    solo_sit(worker->node->solo, worker->index);
    uint64_t began_ns = clock_monotonic_ns();
    worker->timed_ns = 0;
    worker_read_clock(worker);
    auth_catch_up(worker);
    worker_follow_limits(worker);
    for (unsigned i = 0; i < batch->count;
         i++) { /* the buckets are here by now; their items come while we begin */
        if (batch->requests[i].home != NULL) {
            const struct request *request = &batch->requests[i];
            l1_prefetch_item(request->home->l1, request->bucket, request->hash);
        }
    }
    for (unsigned i = 0; i < batch->count; i++) {
        worker_execute_one(worker, &batch->requests[i]);
    }
    worker_share_time(worker, clock_monotonic_ns() - began_ns);
    solo_rise(worker->node->solo, worker->index);
    batch->count = 0;
    batch->arg_count = 0;
}

void worker_run_batch(struct worker *worker)
{
    worker_execute(worker);
    while (!list_empty(&worker->taken)) {
        conn_settle(LIST_ENTRY(worker->taken.next, struct conn, in_taken));
    }
    worker->read_used = 0;
}

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

void worker_mark_woken(struct worker *worker, struct conn *conn)
{
    if (list_empty(&conn->in_woken)) {
        list_push_back(&worker->woken, &conn->in_woken);
        (void)uv_idle_start(&worker->idle, worker_on_idle);
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
        (void)uv_idle_start(&worker->idle, worker_on_idle);
    }
}

/* --- strict: waiting for all nodes ---------------------------------------------------------------------------------------- */

/* All who come in one turn of the loop share one wait, so that pipelines of writes do not use up LIMIT_WAITERS. */
struct confirm_wait {
    struct bus_wait wait; /* first: an errand is cast back */
    struct list confirms;
};

static void confirms_end(struct list *confirms, enum status status)
{
    while (!list_empty(confirms)) {
        struct tiers_confirm *confirm = LIST_ENTRY(confirms->next, struct tiers_confirm, in_roof);
        list_remove(&confirm->in_roof);
        confirm->on_confirmed(confirm, status);
    }
}

static void worker_on_confirmed(struct errand *errand)
{
    struct confirm_wait *wait = (struct confirm_wait *)(void *)errand;
    struct worker *worker = errand->home;
    worker_read_clock(worker);
    worker->confirm_waits--;
    confirms_end(&wait->confirms, wait->wait.status);
    free(wait);
}

static void worker_send_confirms(struct worker *worker)
{
    if (list_empty(&worker->confirms) || worker->confirm_waits >= CONFIRM_WAITS_MAX) {
        return;
    }
    struct confirm_wait *wait = malloc(sizeof(*wait));
    struct list confirms;
    list_init(&confirms);
    list_splice_back(&confirms, &worker->confirms);
    if (wait == NULL) {
        confirms_end(&confirms, NO_MEMORY);
        return;
    }
    *wait = (struct confirm_wait){
        .wait = {.errand = {.done = worker_on_confirmed},
                 .waiter = {.kind = WAITER_EVERYWHERE, .deadline_ms = worker->confirm_deadline_ms}},
    };
    list_init(&wait->confirms);
    list_splice_back(&wait->confirms, &confirms);
    worker->confirm_deadline_ms = 0;
    worker->confirm_waits++;
    if (bus_wait_send(&wait->wait, worker) != OK) {
        worker->confirm_waits--;
        list_splice_back(&confirms, &wait->confirms);
        free(wait);
        confirms_end(&confirms, BUSY);
    }
}

static enum status worker_confirm(void *arg, struct tiers_confirm *confirm, int64_t deadline_ms)
{
    struct worker *worker = ((struct l2_roof *)arg)->owner;
    list_push_back(&worker->confirms, &confirm->in_roof);
    if (deadline_ms > worker->confirm_deadline_ms) {
        worker->confirm_deadline_ms = deadline_ms;
    }
    return OK;
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
    list_splice_back(&worker->dirty, &worker->unsent);
    worker_flush(worker);
}

/* What timers made dirty leaves before the loop sleeps. */
static void worker_on_prepare(uv_prepare_t *prepare)
{
    worker_flush(prepare->data);
}

static void worker_tick_conns(struct worker *worker)
{
    struct list *next = NULL;
    for (struct list *node = worker->conns.next; node != &worker->conns; node = next) {
        next = node->next;
        struct conn *conn = LIST_ENTRY(node, struct conn, in_worker);
        bool idle = conn->answer_count == 0 && conn_unsent(conn) == 0 && conn->in.size == 0;
        if (worker->draining && (idle || worker->now_ms >= worker->drain_until_ms)) {
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
    worker_follow_limits(worker);
    if (worker->window != NULL) {
        tiers_window_timeouts(worker->window, atomic_load(&live->l2_timeout_ms),
                              atomic_load(&live->l2_relay_timeout_ms));
        tiers_window_revalidate(worker->window, atomic_load(&live->revalidate_rate));
        tiers_window_hash_fields(worker->window, atomic_load(&live->l1_hash_fields));
        tiers_window_tick(worker->window, worker->now_ms);
        busy_tick(worker);
        waits_tick(worker);
    }
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
        .post = worker_post_tiers,
        .confirm = worker_confirm,
    });
    return worker->window == NULL ? NO_MEMORY : OK;
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
    worker->check.data = worker;
    worker->prepare.data = worker;
    worker->timer.data = worker;
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
    free(worker->spare_read);
    free(worker->spare_fetch);
    free(worker->spare_hash);
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
    if (worker->read_memory == NULL || worker->metrics == NULL || worker->counters == NULL) {
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
    if (worker->window != NULL) {
        tiers_window_end_links(worker->window);
    }
}

void worker_leave(struct worker *worker)
{
    (void)uv_timer_stop(&worker->timer);
    mailbox_close(&worker->mailbox);
    uv_close((uv_handle_t *)&worker->check, NULL);
    uv_close((uv_handle_t *)&worker->prepare, NULL);
    uv_close((uv_handle_t *)&worker->idle, NULL);
    uv_close((uv_handle_t *)&worker->timer, NULL);
    tiers_window_free(worker->window);
    worker->window = NULL;
    if (worker->roof != NULL) {
        l2_roof_close(worker->roof);
    }
}

void worker_free(struct worker *worker)
{
    if (worker == NULL) {
        return;
    }
    if (worker->started) {
        CHECK(uv_thread_join(&worker->thread) == 0);
    } else { /* the node could not start: the loop ends here, on the caller's thread */
        worker_end_links(worker);
        worker_leave(worker);
        (void)uv_run(&worker->loop, UV_RUN_DEFAULT);
    }
    CHECK(uv_loop_close(&worker->loop) == 0);
    worker_release(worker);
}
