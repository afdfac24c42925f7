/* SPDX-License-Identifier: BSD-3-Clause */
#include "server/control.h"

#include "protocol/check.h"
#include "server/admin.h"
#include "server/behind_node.h"
#include "server/control_l2.h"
#include "server/hot_desk.h"
#include "server/l2_rights.h"
#include "server/listener.h"
#include "server/mailbox.h"
#include "server/node.h"
#include "server/quota_watch.h"
#include "server/rounds.h"
#include "server/sampler.h"
#include "server/snapshots.h"
#include "server/solo.h"
#include "server/standstill.h"
#include "server/worker.h"
#include "tiers/behind.h"
#include "tiers/tiers.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    CONTROL_TICK_MS = 25, /* beats may be due that often */
    SWEEP_STEPS = 1024,
    SWEEP_TURNS = 8,
    LEAVE_MS = 250 /* for the goodbye; without it the others wait for T */
};

/* The way to the end, in order. */
enum control_state {
    CONTROL_RUNNING,
    CONTROL_UNREADY,
    CONTROL_DRAINING,
    CONTROL_ENDING,
    CONTROL_ENDED
};

struct control {
    struct node *node;
    uv_loop_t loop;
    uv_thread_t thread;
    uv_timer_t timer;
    uv_prepare_t prepare;
    uv_check_t check;
    struct mailbox mailbox;
    bool started;
    _Atomic bool stop_asked;
    _Atomic int state; /* enum control_state */
    struct listeners *listeners;
    struct admin *admin;
    int64_t now_ms;
    int64_t listen_until_ms; /* drain-delay is over */
    int64_t drain_until_ms;
    struct control_l2 *l2; /* NULL: alone */
    struct standstill *standstill;
    /* Options that wait for a standstill, or NULL; under the node's options_lock. */
    struct options *rebuild;
    struct rounds *rounds;
    unsigned ending_step;   /* the next */
    bool saves;             /* the last snapshot is being written */
    int64_t leave_until_ms; /* how long the goodbye is waited for; 0: it was not said yet */
    uint64_t retargets;     /* the run that the workers are being told of; 0: no such round */
    struct node_watcher watcher;
};

static void control_read_clock(struct control *control)
{
    control->now_ms = clock_now_ms(&control->node->clock);
}

/* --- rounds ---------------------------------------------------------------------------------------------------------------- */

static void step_drain(struct worker *worker, void *arg)
{
    const struct control *control = arg;
    worker_drain(worker, control->drain_until_ms);
}

static void step_end_links(struct worker *worker, void *arg)
{
    (void)arg;
    worker_end_links(worker);
}

static void step_retarget(struct worker *worker, void *arg)
{
    const struct control *control = arg;
    worker_retarget(worker, control->retargets);
}

/* Letters that were on their way when the links ended arrive in the first of these, their answers in the second. Until the
 * last of them a reply of L2 may still travel to its reader; then nothing is served any more. */
static void step_letters(struct worker *worker, void *arg)
{
    (void)worker;
    (void)arg;
}

static void step_leave(struct worker *worker, void *arg)
{
    (void)arg;
    worker_leave(worker);
}

static round_step *const ending_steps[] = {step_end_links, step_letters, step_letters, step_letters,
                                           step_leave};
enum {
    ENDING_STEPS = sizeof(ending_steps) / sizeof(ending_steps[0])
};

/* L2 is another process: the workers leave the former one, then the fence may open. One round at a time; the drain's
 * wait for it and it for them. */
static void control_retarget(struct control *control)
{
    if (control->l2 == NULL || round_is_under_way(control->rounds) ||
        control->state >= CONTROL_ENDING) {
        return;
    }
    control->retargets = control_l2_unconfirmed_run(control->l2);
    if (control->retargets != 0) {
        round_begin(control->rounds, step_retarget);
    }
}

static void control_end(struct control *control);

/* No client is served any more: all connections are closed, and no link brings anything. The others are told, so that they
 * wait for this node no longer; true: that is under way. */
static bool control_takes_leave(struct control *control)
{
    if (control->l2 == NULL || control->ending_step != ENDING_STEPS - 1) {
        return false;
    }
    control_read_clock(control);
    if (control->leave_until_ms == 0) {
        control_l2_leave(control->l2);
        control->leave_until_ms = control->now_ms + LEAVE_MS;
    }
    return control->now_ms < control->leave_until_ms && !control_l2_has_left(control->l2);
}

/* L1 as it is now, that no worker is left. */
static bool control_saves(struct control *control)
{
    control_read_clock(control);
    control->saves = snapshots_end(control->node->snapshots, control->now_ms);
    if (control->watcher.on_saving != NULL) {
        control->watcher.on_saving(control->watcher.arg, control->saves);
    }
    return control->saves;
}

static void control_step_ending(struct control *control)
{
    if (control_takes_leave(control)) {
        return; /* the next tick looks again */
    }
    if (control->ending_step < ENDING_STEPS) {
        round_begin(control->rounds, ending_steps[control->ending_step++]);
    } else if (control_saves(control)) {
        return; /* as above */
    } else {
        control_end(control);
    }
}

static void control_on_round(void *arg)
{
    struct control *control = arg;
    if (control->retargets != 0) {
        control_l2_targets_confirmed(control->l2, control->retargets);
        control->retargets = 0;
    }
    if (control->state == CONTROL_ENDING) {
        control_step_ending(control);
    }
}

/* All workers are leaving their loops. */
static void control_end(struct control *control)
{
    control->state = CONTROL_ENDED;
    if (control->started) {
        control->watcher.on_ending(control->watcher.arg, node_failed(control->node));
    }
    if (control->l2 != NULL) {
        control_l2_close(control->l2);
    }
    admin_close(control->admin);
    control->admin = NULL;
    mailbox_close(&control->mailbox);
    uv_close((uv_handle_t *)&control->timer, NULL);
    uv_close((uv_handle_t *)&control->prepare, NULL);
    uv_close((uv_handle_t *)&control->check, NULL);
}

/* L2 has what others may want to know, or cannot be reached. */
static bool control_has_told(const struct control *control)
{
    return control->l2 == NULL || !control_l2_is_reached(control->l2) ||
           hot_desk_has_left(control->node->hot);
}

/* No clients, and L2 has all that was answered; what it has not is in the log of write-behind. */
static bool control_is_drained(const struct control *control)
{
    const struct node *node = control->node;
    return atomic_load(&node->conns_open) == 0 && control_has_told(control) &&
           (node->behind == NULL || behind_is_empty(node->behind));
}

/* Readiness goes off, and the other nodes hear of weight 0, a tick before the listeners close, or drain-delay, so that
 * whoever balances load can see it first. */
static void control_begin_drain(struct control *control)
{
    struct node *node = control->node;
    const int64_t delay_ms = atomic_load(&node->live.drain_delay_ms);
    log_write(&node->log, LOG_NOTICE, "draining", "no new clients in %lld ms; then %d ms of grace",
              (long long)delay_ms, (int)LIMIT_DRAIN_MS);
    atomic_store(&node->live.draining, true);
    if (control->l2 != NULL) {
        control_l2_tell_weight(control->l2);
    }
    hot_desk_want(node->hot); /* so that what it leaves is of now */
    control->listen_until_ms = control->now_ms + delay_ms;
    control->state = CONTROL_UNREADY;
    control->watcher.on_draining(control->watcher.arg, delay_ms);
}

static void control_tick_end(struct control *control)
{
    switch ((enum control_state)atomic_load(&control->state)) {
    case CONTROL_RUNNING:
        if (atomic_load(&control->stop_asked)) {
            control_begin_drain(control);
        }
        break;
    case CONTROL_UNREADY:
        if (round_is_under_way(control->rounds) || control->now_ms < control->listen_until_ms) {
            break;
        }
        listeners_close(control->listeners);
        control->drain_until_ms = control->now_ms + LIMIT_DRAIN_MS;
        control->state = CONTROL_DRAINING;
        if (control->l2 !=
            NULL) { /* who waits for the bus is answered before the connections close */
            coherence_cap_waits(tiers_coherence(control->node->tiers),
                                control->now_ms + LIMIT_DRAIN_MS / 2);
        }
        round_begin(control->rounds, step_drain);
        break;
    case CONTROL_DRAINING:
        if (!round_is_under_way(control->rounds) &&
            (control_is_drained(control) || control->now_ms >= control->drain_until_ms)) {
            control->state = CONTROL_ENDING;
            snapshots_end_waits(control->node->snapshots);
            if (control->l2 != NULL) {
                coherence_end_waits(tiers_coherence(control->node->tiers));
            }
            round_begin(control->rounds, ending_steps[control->ending_step++]);
        }
        break;
    case CONTROL_ENDING:
        if (!round_is_under_way(control->rounds) &&
            (control->leave_until_ms != 0 || control->saves)) {
            control_step_ending(control);
        }
        break;
    case CONTROL_ENDED: break;
    }
}

/* --- the loop ----------------------------------------------------------------------------------------------------------------- */

/* Expired entries go within seconds even if nobody asks for them; a slice at a time, more while many are found. */
static void control_sweep(struct control *control)
{
    struct node *node = control->node;
    bool goes_on = !atomic_load_explicit(&node->live.sweeps_not, memory_order_relaxed);
    solo_sit(node->solo, node->worker_count); /* for EXEC time stands still */
    for (int turn = 0; turn < SWEEP_TURNS && goes_on; turn++) {
        goes_on =
            namespaces_sweep(node->namespaces, control->now_ms, SWEEP_STEPS) >= SWEEP_STEPS / 4;
    }
    solo_rise(node->solo, node->worker_count);
}

/* The options that wait, taken over; NULL: none. */
static struct options *control_take_rebuild(struct control *control)
{
    struct node *node = control->node;
    (void)pthread_mutex_lock(&node->options_lock);
    struct options *next = control->rebuild;
    control->rebuild = NULL;
    (void)pthread_mutex_unlock(&node->options_lock);
    return next;
}

static void control_on_standstill(void *arg)
{
    struct control *control = arg;
    struct options *next = control_take_rebuild(control);
    if (next != NULL) {
        node_rebuild(control->node, next);
        free(next);
    }
    hot_desk_let_walk(control->node->hot);
}

static void control_tick_rebuild(struct control *control)
{
    struct node *node = control->node;
    if (atomic_load(&control->state) != CONTROL_RUNNING) {
        return; /* it will not be, and nobody is kept off for it: what L1 holds is to be left in L2 */
    }
    (void)pthread_mutex_lock(&node->options_lock);
    const bool waits = control->rebuild != NULL && !snapshots_is_busy(node->snapshots) &&
                       !behind_node_holds_back(node, control->rebuild, control->now_ms) &&
                       hot_desk_keep_off(node->hot);
    (void)pthread_mutex_unlock(&node->options_lock);
    if (waits) {
        (void)!standstill_begin(control->standstill, control_on_standstill,
                                control); /* BUSY: the one under way takes them */
    }
}

static void control_tick_snapshots(struct control *control)
{
    struct node *node = control->node;
    (void)pthread_mutex_lock(&node->options_lock);
    const bool rebuilds = control->rebuild != NULL;
    (void)pthread_mutex_unlock(&node->options_lock);
    const bool may_begin = atomic_load(&control->state) == CONTROL_RUNNING && !rebuilds &&
                           !standstill_is_under_way(control->standstill);
    snapshots_tick(node->snapshots, may_begin, control->now_ms);
}

void control_rebuild(struct control *control, struct options *next)
{
    if (control->rebuild != NULL) {
        options_done(control->rebuild);
        free(control->rebuild);
        control->rebuild = NULL;
    }
    if (next != NULL) {
        control->rebuild = malloc(sizeof(*next));
        CHECK(control->rebuild != NULL); /* a few hundred bytes */
        *control->rebuild = *next;
        *next = (struct options){0};
    }
}

/* NULL: all is there that a node needs to be asked, but what is warm. */
static const char *control_lacks(const struct control *control)
{
    if (control->l2 == NULL) {
        return NULL;
    }
    return !control_l2_was_up(control->l2) ? "L2 has not told its commands yet\n"
           : !l2_rights_granted(control_l2_rights(control->l2))
               ? "L2 has not granted its rights yet\n"
               : NULL;
}

static void control_tick_join(struct control *control)
{
    struct node *node = control->node;
    struct join_rules rules;
    const enum join_state before = join_state(&node->join);
    node_join_rules(node, &rules);
    join_tick(&node->join, &rules, control_lacks(control) == NULL, control->now_ms);
    if (join_state(&node->join) != before && join_is_ready(&node->join)) {
        char text[JOIN_TEXT_MAX];
        join_describe(&node->join, &rules, control->now_ms, text);
        log_write(&node->log, LOG_NOTICE, "ready", "%s", text);
    }
}

static void control_on_tick(uv_timer_t *timer)
{
    struct control *control = timer->data;
    control_read_clock(control);
    if (control->l2 != NULL) {
        control_l2_tick(control->l2, control->now_ms);
    }
    control_tick_join(control);
    control_sweep(control);
    control_tick_rebuild(control);
    control_tick_snapshots(control);
    sampler_tick(control->node->sampler, control->node, control->now_ms);
    quota_watch_tick(control->node->quotas, control->node, control->now_ms);
    control_tick_end(control);
    if (control->watcher.on_tick != NULL && atomic_load(&control->state) != CONTROL_ENDED) {
        control->watcher.on_tick(control->watcher.arg, control->node, control->now_ms);
    }
}

static void control_flush(struct control *control)
{
    control_retarget(control);
    if (control->l2 != NULL) {
        control_l2_flush(control->l2);
    }
}

static void control_on_prepare(uv_prepare_t *prepare)
{
    control_flush(prepare->data);
}

static void control_on_check(uv_check_t *check)
{
    control_flush(check->data);
}

static void control_run(void *arg)
{
    struct control *control = arg;
    (void)pthread_setname_np(pthread_self(), "control");
    listeners_start(control->listeners, &control->loop);
    CHECK(uv_timer_start(&control->timer, control_on_tick, 0, CONTROL_TICK_MS) == 0);
    CHECK(uv_prepare_start(&control->prepare, control_on_prepare) == 0);
    CHECK(uv_check_start(&control->check, control_on_check) == 0);
    (void)uv_run(&control->loop, UV_RUN_DEFAULT);
    control->watcher.on_ended(control->watcher.arg);
}

/* --- life ------------------------------------------------------------------------------------------------------------------- */

static void control_open_loop(struct control *control)
{
    CHECK(uv_loop_init(&control->loop) == 0);
    CHECK(uv_timer_init(&control->loop, &control->timer) == 0);
    CHECK(uv_prepare_init(&control->loop, &control->prepare) == 0);
    CHECK(uv_check_init(&control->loop, &control->check) == 0);
    control->timer.data = control;
    control->prepare.data = control;
    control->check.data = control;
    mailbox_open(&control->mailbox, &control->loop, control);
}

enum status control_new(struct node *node, struct control **ret_control,
                        char error[CONTROL_ERROR_MAX])
{
    struct control *control = calloc(1, sizeof(*control));
    if (control == NULL) {
        (void)snprintf(error, CONTROL_ERROR_MAX, "no memory");
        return NO_MEMORY;
    }
    control->node = node;
    control_open_loop(control);
    control_read_clock(control);
    enum status status = listeners_open(node, &control->listeners, error);
    if (status == OK && node->options.admin[0] != '\0') {
        status = admin_open(node, &control->loop, node->options.admin, &control->admin, error);
    }
    control->standstill = standstill_new(node, &control->mailbox);
    control->rounds = rounds_new(node, &control->mailbox, control_on_round, control);
    if (control->standstill == NULL || control->rounds == NULL) {
        status = NO_MEMORY;
    }
    if (status == OK && node->tiers != NULL) {
        control->l2 = control_l2_new(node, &control->loop);
        status = control->l2 != NULL ? OK : NO_MEMORY;
    }
    *ret_control = control; /* node_start frees it whatever came of it */
    return status;
}

void control_start(struct control *control, const struct node_watcher *watcher)
{
    control->watcher = *watcher;
    control->started = true;
    CHECK(uv_thread_create(&control->thread, control_run, control) == 0);
}

void control_stop(struct control *control)
{
    atomic_store(&control->stop_asked, true); /* the next tick sees it */
}

void control_join(struct control *control)
{
    if (control == NULL || !control->started) {
        return;
    }
    CHECK(uv_thread_join(&control->thread) == 0);
}

/* Also after control_new failed half way, when no thread ever ran. */
void control_free(struct control *control)
{
    if (control == NULL) {
        return;
    }
    if (control->state != CONTROL_ENDED) {
        listeners_close(control->listeners);
        control_end(control);
        (void)uv_run(&control->loop, UV_RUN_DEFAULT);
    }
    CHECK(uv_loop_close(&control->loop) == 0);
    listeners_free(control->listeners);
    control_l2_free(control->l2);
    standstill_free(control->standstill);
    control_rebuild(control, NULL);
    rounds_free(control->rounds);
    free(control);
}

struct mailbox *control_mailbox(struct control *control)
{
    return &control->mailbox;
}

enum status control_choose_l2(struct control *control, struct slice address, char error[])
{
    return control_l2_choose(control->l2, address, error);
}

enum status control_ask_l2(struct control *control, struct link_request *request,
                           struct slice bytes)
{
    return control_l2_ask(control->l2, request, bytes);
}

void control_describe_l2(const struct control *control, struct l2_finder_description *ret)
{
    control_l2_describe(control->l2, ret);
}

void control_describe_rights(const struct control *control, struct l2_rights_description *ret)
{
    l2_rights_describe(control_l2_rights(control->l2), ret);
}

int control_port(const struct control *control)
{
    return listeners_port(control->listeners);
}

/* No reason not to be ready: while namespaces are changed node by node all of them would be. */
static void control_tell_disagreement(const struct control *control, struct buf *reasons)
{
    struct tiers_description tiers = {0};
    if (control->node->tiers != NULL) {
        tiers_describe(control->node->tiers, &tiers);
    }
    if (tiers.coherence.disagreeing > 0) {
        (void)!buf_printf(reasons, "namespaces differ: %s\n", tiers.coherence.disagreement);
    }
}

static void control_tell_join(const struct control *control, struct buf *reasons)
{
    const struct node *node = control->node;
    struct join_rules rules;
    char text[JOIN_TEXT_MAX];
    node_join_rules(node, &rules);
    join_describe(&node->join, &rules, clock_now_ms(&node->clock), text);
    (void)!buf_printf(reasons, "%s\n", text);
}

bool control_ready(const struct control *control, struct buf *reasons)
{
    const bool drains = atomic_load(&control->state) != CONTROL_RUNNING ||
                        atomic_load(&control->node->live.draining);
    const char *lacks = drains ? "draining\n" : control_lacks(control);
    const bool is_warm = join_is_ready(&control->node->join);
    if (reasons != NULL) {
        if (lacks != NULL) {
            (void)!buf_append(reasons, lacks, strlen(lacks));
        } else {
            control_tell_join(control, reasons);
        }
        control_tell_disagreement(control, reasons);
    }
    return lacks == NULL && is_warm;
}
