/* SPDX-License-Identifier: BSD-3-Clause */
#include "server/control.h"

#include "protocol/check.h"
#include "protocol/resp_write.h"
#include "server/admin.h"
#include "server/l2_socket.h"
#include "server/listener.h"
#include "server/mailbox.h"
#include "server/node.h"
#include "server/sampler.h"
#include "server/worker.h"
#include "tiers/base/list.h"
#include "tiers/tiers.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    CONTROL_TICK_MS = 50,
    SWEEP_STEPS = 1024,
    SWEEP_TURNS = 8,
    BEATS_WAITING = 16
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
    _Atomic int state;      /* enum control_state */
    _Atomic bool l2_was_up; /* L2 answered once */
    struct listeners *listeners;
    struct admin *admin;
    int64_t now_ms;
    int64_t drain_until_ms;
    /* with an L2: */
    struct l2_roof roof;
    struct link *link;
    struct link *bus;
    struct link_request commands_request;
    bool commands_waiting;
    unsigned beats_waiting;
    const char *logged_state; /* of coherence */
    struct buf scratch;
    /* the round that is under way: */
    struct round_letter *round;
    unsigned round_waiting;
    unsigned round_step;
    void (*on_ended)(void *arg);
    void *arg;
};

static void control_read_clock(struct control *control)
{
    control->now_ms = clock_now_ms(&control->node->clock);
}

static struct coherence *control_coherence(const struct control *control)
{
    return tiers_coherence(control->node->tiers);
}

/* --- the control link: beats and what L2 can do ---------------------------------------------------------------------------- */

struct beat_wait {
    struct link_request request;
    struct control *control;
};

static void control_on_beat(struct link_request *request, enum status status, struct slice reply)
{
    struct beat_wait *wait = (struct beat_wait *)(void *)request;
    struct control *control = wait->control;
    struct beat_answer answer;
    char error[160] = "L2 did not answer";
    control->beats_waiting--;
    control_read_clock(control);
    if (status == OK) {
        status = beat_read(reply, &answer, error);
    }
    if (status == OK) {
        coherence_on_beat_answer(control_coherence(control), &answer, control->now_ms);
    } else {
        coherence_on_beat_failed(control_coherence(control), error, control->now_ms);
    }
    free(wait);
}

static void control_beat(struct control *control)
{
    struct coherence *coherence = control_coherence(control);
    if (link_state(control->link) != LINK_READY || control->beats_waiting >= BEATS_WAITING ||
        !coherence_beat_due(coherence, control->now_ms)) {
        return;
    }
    struct beat_wait *wait = malloc(sizeof(*wait));
    if (wait == NULL) {
        return; /* the fence closes by itself */
    }
    int64_t deadline_ms = control->now_ms + atomic_load(&control->node->live.l2_timeout_ms);
    *wait = (struct beat_wait){.request = {.on_reply = control_on_beat, .deadline_ms = deadline_ms},
                               .control = control};
    control->scratch.size = 0;
    enum status status = coherence_beat(coherence, control->now_ms, &control->scratch);
    if (status == OK) {
        status = link_ask(control->link, &wait->request, -1, buf_slice(&control->scratch));
    }
    if (status != OK) {
        free(wait);
        coherence_on_beat_failed(coherence, "the beat could not be sent", control->now_ms);
        return;
    }
    control->beats_waiting++;
    metrics_count(control->node->metrics, M_BEATS);
}

static void control_on_commands(struct link_request *request, enum status status,
                                struct slice reply)
{
    struct control *control = LIST_ENTRY(request, struct control, commands_request);
    struct l2_commands *commands = NULL;
    control->commands_waiting = false;
    if (status == OK && l2_commands_read(reply, &commands) == OK) {
        tiers_learn_commands(control->node->tiers, commands);
    } else if (status == OK) {
        log_write(&control->node->log, LOG_WARNING, "l2_commands_unreadable",
                  "the reply to COMMAND is not a table: only built-in commands are relayed");
    }
}

static void control_on_link_ready(struct link *link, void *arg, const struct beat_answer *answer)
{
    struct control *control = arg;
    control_read_clock(control);
    coherence_on_epoch(control_coherence(control), answer, control->now_ms);
    tiers_set_l2_up(control->node->tiers, true);
    atomic_store(&control->l2_was_up, true);
    log_write(&control->node->log, LOG_NOTICE, "l2_up", "epoch=%llu",
              (unsigned long long)answer->epoch.counter);
    if (!control->commands_waiting) {
        control->commands_request = (struct link_request){.on_reply = control_on_commands};
        control->commands_waiting = link_ask(link, &control->commands_request, -1,
                                             SLICE_LITERAL("*1\r\n$7\r\nCOMMAND\r\n")) == OK;
    }
}

static void control_on_link_down(struct link *link, void *arg, const char *why)
{
    struct control *control = arg;
    (void)link;
    tiers_set_l2_up(control->node->tiers, false);
    log_write(&control->node->log, LOG_WARNING, "l2_down", "%s", why);
}

static uint64_t control_known_epoch(void *arg)
{
    return coherence_known_epoch(control_coherence(arg));
}

/* --- the bus ------------------------------------------------------------------------------------------------------------- */

static void control_on_bus_ready(struct link *link, void *arg, const struct beat_answer *answer)
{
    struct control *control = arg;
    struct coherence *coherence = control_coherence(control);
    control_read_clock(control);
    coherence_on_epoch(coherence, answer, control->now_ms);
    control->scratch.size = 0;
    if (coherence_bus_greeting(&control->scratch, link_client_id(link)) == OK &&
        link_say(link, buf_slice(&control->scratch)) == OK) {
        coherence_on_bus_up(coherence, control->now_ms);
    } else {
        link_close(link, "no memory for the subscription", control->now_ms);
    }
}

static void control_on_bus_down(struct link *link, void *arg, const char *why)
{
    struct control *control = arg;
    (void)link;
    control_read_clock(control);
    coherence_on_bus_lost(control_coherence(control), why, control->now_ms);
    log_write(&control->node->log, LOG_WARNING, "bus_down", "%s", why);
}

static void control_on_bus_push(struct link *link, void *arg, struct slice reply)
{
    struct control *control = arg;
    (void)link;
    control_read_clock(control);
    coherence_on_bus_reply(control_coherence(control), reply, control->now_ms);
}

static enum status control_open_links(struct control *control)
{
    struct node *node = control->node;
    l2_roof_open(&control->roof, &control->loop, &node->clock, tiers_url(node->tiers), control);
    struct link_options options = {
        .url = tiers_url(node->tiers),
        .proto = 2,
        .coherence_db = tiers_coherence_db(node->tiers),
        .node = node->id,
        .metrics = control->node->metrics,
        .io = l2_roof_io(&control->roof),
        .on_ready = control_on_link_ready,
        .on_down = control_on_link_down,
        .arg = control,
        .known_epoch = control_known_epoch,
    };
    control->link = link_new(&options);
    options.on_ready = control_on_bus_ready;
    options.on_down = control_on_bus_down;
    options.on_push = control_on_bus_push;
    control->bus = link_new(&options);
    return control->link != NULL && control->bus != NULL ? OK : NO_MEMORY;
}

static void control_close_links(struct control *control)
{
    struct link *link = control->link;
    struct link *bus = control->bus;
    control->link = NULL;
    control->bus = NULL;
    link_free(bus);
    link_free(link);
}

static void control_tick_l2(struct control *control)
{
    if (control->link == NULL) {
        return;
    }
    struct coherence *coherence = control_coherence(control);
    link_tick(control->link, control->now_ms);
    link_tick(control->bus, control->now_ms);
    if (link_state(control->bus) == LINK_READY &&
        coherence_bus_is_dead(coherence, control->now_ms)) {
        link_close(control->bus, "the bus does not echo beats", control->now_ms);
    }
    control_beat(control);
    coherence_tick(coherence, control->now_ms);
}

/* --- rounds ---------------------------------------------------------------------------------------------------------------- */

struct round_letter {
    struct letter letter;
    struct control *control;
    struct worker *worker;
    void (*step)(struct worker *worker, struct control *control);
};

static void step_drain(struct worker *worker, struct control *control)
{
    worker_drain(worker, control->drain_until_ms);
}

static void step_end_links(struct worker *worker, struct control *control)
{
    (void)control;
    worker_end_links(worker);
}

/* Letters that were on their way when the links ended arrive in the first of these, their answers in the second. */
static void step_letters(struct worker *worker, struct control *control)
{
    (void)worker;
    (void)control;
}

static void step_leave(struct worker *worker, struct control *control)
{
    (void)control;
    worker_leave(worker);
}

static void (*const ending_steps[])(struct worker *, struct control *) = {
    step_end_links, step_letters, step_letters, step_letters, step_leave};
enum {
    ENDING_STEPS = sizeof(ending_steps) / sizeof(ending_steps[0])
};

static void control_on_round(struct letter *letter, void *owner);

static void round_on_worker(struct letter *letter, void *owner)
{
    struct round_letter *round = (struct round_letter *)(void *)letter;
    struct control *control = round->control;
    round->step(owner, control);
    letter->open = control_on_round;
    CHECK(mailbox_post_urgent(&control->mailbox, letter) ==
          OK); /* control ends after its workers */
}

static void round_start(struct control *control, void (*step)(struct worker *, struct control *))
{
    control->round_waiting = control->node->worker_count;
    for (unsigned i = 0; i < control->node->worker_count; i++) {
        struct round_letter *round = &control->round[i];
        *round = (struct round_letter){
            .letter = {.open = round_on_worker}, .control = control, .step = step};
        CHECK(mailbox_post_urgent(&control->node->workers[i]->mailbox, &round->letter) == OK);
    }
}

static void control_end(struct control *control);

static void control_on_round(struct letter *letter, void *owner)
{
    struct control *control = owner;
    (void)letter;
    if (--control->round_waiting > 0 || control->state != CONTROL_ENDING) {
        return;
    }
    if (control->round_step < ENDING_STEPS) {
        round_start(control, ending_steps[control->round_step++]);
    } else {
        control_end(control);
    }
}

/* All workers are leaving their loops. */
static void control_end(struct control *control)
{
    control->state = CONTROL_ENDED;
    if (control->roof.loop != NULL) {
        control_close_links(control);
        l2_roof_close(&control->roof);
    }
    admin_close(control->admin);
    control->admin = NULL;
    mailbox_close(&control->mailbox);
    uv_close((uv_handle_t *)&control->timer, NULL);
    uv_close((uv_handle_t *)&control->prepare, NULL);
    uv_close((uv_handle_t *)&control->check, NULL);
}

/* Readiness goes off a tick before the listeners close, so that whoever balances load can see it first. */
static void control_tick_end(struct control *control)
{
    switch ((enum control_state)atomic_load(&control->state)) {
    case CONTROL_RUNNING:
        if (atomic_load(&control->stop_asked)) {
            log_write(&control->node->log, LOG_NOTICE, "draining", "no new clients; %d ms of grace",
                      (int)LIMIT_DRAIN_MS);
            atomic_store(&control->node->live.draining, true);
            control->state = CONTROL_UNREADY;
        }
        break;
    case CONTROL_UNREADY:
        listeners_close(control->listeners);
        control->drain_until_ms = control->now_ms + LIMIT_DRAIN_MS;
        control->state = CONTROL_DRAINING;
        round_start(control, step_drain);
        break;
    case CONTROL_DRAINING:
        if (control->round_waiting == 0 && (atomic_load(&control->node->conns_open) == 0 ||
                                            control->now_ms >= control->drain_until_ms)) {
            control->state = CONTROL_ENDING;
            round_start(control, ending_steps[control->round_step++]);
        }
        break;
    case CONTROL_ENDING:
    case CONTROL_ENDED: break;
    }
}

/* --- the loop ----------------------------------------------------------------------------------------------------------------- */

/* Expired entries go within seconds even if nobody asks for them; a slice at a time, more while many are found. */
static void control_sweep(struct control *control)
{
    for (int turn = 0; turn < SWEEP_TURNS; turn++) {
        if (l1_sweep(control->node->l1, control->now_ms, SWEEP_STEPS) < SWEEP_STEPS / 4) {
            return;
        }
    }
}

/* Changes of state are events; the reason goes with them. */
static void control_log_coherence(struct control *control)
{
    struct tiers_description seen;
    if (control->node->tiers == NULL) {
        return;
    }
    tiers_describe(control->node->tiers, &seen);
    if (control->logged_state == NULL ||
        strcmp(control->logged_state, seen.coherence.state_name) != 0) {
        control->logged_state = seen.coherence.state_name;
        log_write(&control->node->log, LOG_NOTICE, "coherence", "%s %s", seen.coherence.state_name,
                  seen.coherence.reason);
    }
}

static void control_on_tick(uv_timer_t *timer)
{
    struct control *control = timer->data;
    control_read_clock(control);
    control_tick_l2(control);
    control_log_coherence(control);
    control_sweep(control);
    sampler_tick(control->node->sampler, control->node, control->now_ms);
    control_tick_end(control);
}

static void control_flush(struct control *control)
{
    if (control->link != NULL) {
        l2_roof_flush(&control->roof);
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
    if (control->on_ended != NULL) {
        control->on_ended(control->arg);
    }
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
    struct round_letter *round = calloc(node->worker_count, sizeof(*round));
    if (control == NULL || round == NULL) {
        free(control);
        free(round);
        (void)snprintf(error, CONTROL_ERROR_MAX, "no memory");
        return NO_MEMORY;
    }
    control->node = node;
    control->round = round;
    control_open_loop(control);
    control_read_clock(control);
    enum status status = listeners_open(node, &control->listeners, error);
    if (status == OK && node->options.admin[0] != '\0') {
        status = admin_open(node, &control->loop, node->options.admin, &control->admin, error);
    }
    if (status == OK && node->tiers != NULL) {
        status = control_open_links(control);
    }
    *ret_control = control; /* node_start frees it whatever came of it */
    return status;
}

void control_start(struct control *control, void (*on_ended)(void *arg), void *arg)
{
    control->on_ended = on_ended;
    control->arg = arg;
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
    buf_done(&control->scratch);
    free(control->round);
    free(control);
}

int control_port(const struct control *control)
{
    return listeners_port(control->listeners);
}

bool control_ready(const struct control *control, struct buf *reasons)
{
    const char *reason = NULL;
    if (atomic_load(&control->state) != CONTROL_RUNNING ||
        atomic_load(&control->node->live.draining)) {
        reason = "draining\n";
    } else if (control->node->tiers != NULL && !atomic_load(&control->l2_was_up)) {
        reason = "L2 has not answered yet\n";
    }
    if (reason != NULL && reasons != NULL) {
        (void)!buf_append(reasons, reason, strlen(reason));
    }
    return reason == NULL;
}
