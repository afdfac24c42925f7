/* SPDX-License-Identifier: BSD-3-Clause */
#include "tests/sim/node.h"

#include "protocol/check.h"
#include "protocol/frame.h"
#include "tests/sim/confirm.h"
#include "tests/sim/oracle.h"
#include "tests/sim/saved.h"
#include "tiers/managed_write.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

enum {
    CONTROL_TICK_US = 50000,
    WORKER_TICK_US = 100000,
    SWEEP_STEPS = 64,
    BEATS_WAITING = 16,
    LETTER_LATE_PER_MILLE = 20,
};

int64_t node_now_ms(const struct node *node)
{
    const int64_t now_us = node->world->now_us;
    return node->clock_offset_ms + (now_us + now_us * node->drift_ppm / 1000000) / SIM_MS;
}

uint64_t node_id(const struct node *node)
{
    return node->id;
}

/* --- sockets ------------------------------------------------------------------------------------------------------ */

static struct socket *socket_find(struct thread *thread, const struct link *link)
{
    struct socket *sockets = thread->node->sockets[thread->index];
    for (unsigned i = 0; i < NODE_SOCKETS; i++) {
        if (sockets[i].link == link) {
            return &sockets[i];
        }
    }
    return NULL;
}

static void io_connect(void *roof, struct link *link)
{
    struct thread *thread = roof;
    struct socket *free_one = socket_find(thread, NULL);
    CHECK(free_one != NULL);
    *free_one =
        (struct socket){.link = link, .conn = net_connect(thread->node->world, thread, link)};
}

static void io_close(void *roof, struct link *link)
{
    struct socket *found = socket_find(roof, link);
    if (found != NULL) {
        struct conn *conn = found->conn;
        *found = (struct socket){0};
        net_close(conn);
    }
}

static void io_wants_flush(void *roof, struct link *link)
{
    struct socket *found = socket_find(roof, link);
    if (found != NULL) {
        found->wants_flush = true;
    }
}

static struct link_io io_of(struct thread *thread)
{
    return (struct link_io){
        .roof = thread, .connect = io_connect, .close = io_close, .wants_flush = io_wants_flush};
}

void node_lost(struct thread *thread, struct link *link, const char *why)
{
    struct socket *found = socket_find(thread, link);
    CHECK(found != NULL);
    *found = (struct socket){0};
    TRACE(thread->node->world, "node %u.%u: a connection is lost: %s", thread->node->slot,
          thread->index, why);
    link_on_lost(link, why, node_now_ms(thread->node));
}

/* The socket takes bytes again. */
static void on_writable(struct world *world, void *arg, uint64_t index)
{
    struct thread *thread = arg;
    (void)world;
    thread->node->sockets[thread->index][index].wants_flush = true;
}

static void flush(struct thread *thread, unsigned index)
{
    struct socket *socket = &thread->node->sockets[thread->index][index];
    struct world *world = thread->node->world;
    socket->wants_flush = false;
    const struct slice waits = link_output(socket->link);
    if (waits.size == 0) {
        return;
    }
    const size_t taken = net_write(socket->conn, waits);
    link_on_written(socket->link, taken);
    if (taken < waits.size) {
        world_at(world, world_between(world, 100, 20 * SIM_MS), thread, on_writable, thread, index);
    }
}

/* --- the horizon: I6 -------------------------------------------------------------------------------------------------- */

static int64_t horizon_ms(const struct node *node)
{
    return atomic_load(&coherence_view(tiers_coherence(node->tiers))->horizon_ms);
}

/* How many announcements in front of the echo of this beat are not applied. */
static uint64_t overtaken(struct node *node, uint64_t nonce)
{
    uint64_t missing = 0;
    const struct socket *socket = socket_find(&node->threads[0], node->bus);
    const struct conn *conn = socket != NULL ? socket->conn : NULL;
    for (unsigned j = 0; conn != NULL && j < conn->echo_count && j < CONN_ECHOES; j++) {
        if (conn->echoes[j].nonce == nonce && !conn->tampered &&
            conn->announcements_seen < conn->echoes[j].announced) {
            missing = conn->echoes[j].announced - conn->announcements_seen;
        }
    }
    return missing;
}

/* When the horizon moved, it is the send time of an own beat, and every announcement in front of that beat was applied.
 * Markers may leave in the same millisecond; one of them came home. */
static void judge_horizon(struct node *node)
{
    const int64_t now_horizon_ms = horizon_ms(node);
    if (now_horizon_ms == node->horizon_seen_ms) {
        return;
    }
    node->horizon_seen_ms = now_horizon_ms;
    bool is_known = now_horizon_ms == 0;
    uint64_t missing = is_known ? 0 : UINT64_MAX;
    for (uint64_t i = 0; i < node->beat_count && i < NODE_BEATS && missing > 0; i++) {
        if (node->beats[i].sent_ms == now_horizon_ms) {
            const uint64_t of_this = overtaken(node, node->beats[i].nonce);
            is_known = true;
            missing = of_this < missing ? of_this : missing;
        }
    }
    if (is_known && missing > 0) {
        world_fail(node->world, "I6", "node %u: the horizon overtook %" PRIu64 " announcements",
                   node->slot, missing);
    }
    if (!is_known) {
        world_fail(node->world, "I6",
                   "node %u: the horizon is the send time of no beat: %" PRId64 " ms ago",
                   node->slot, node_now_ms(node) - now_horizon_ms);
    }
}

/* --- rounds: the workers leave a former L2, then the fence may open (server/control.c) ------------------------------ */

static void on_round_back(struct world *world, void *arg, uint64_t number)
{
    struct node *node = arg;
    (void)world;
    (void)number;
    if (--node->round_waiting == 0) {
        coherence_targets_confirmed(tiers_coherence(node->tiers), node->retargets);
        judge_horizon(node);
    }
}

static void on_round(struct world *world, void *arg, uint64_t worker)
{
    struct node *node = arg;
    tiers_window_retarget(node->windows[worker], node->retargets, node_now_ms(node));
    world_at(world, world_between(world, 1, 300), &node->threads[0], on_round_back, node, 0);
}

static void begin_round(struct node *node)
{
    struct world *world = node->world;
    const uint64_t run = coherence_unconfirmed_run(tiers_coherence(node->tiers));
    if (run == 0 || node->round_waiting > 0) {
        return;
    }
    node->retargets = run;
    node->round_waiting = world->worker_count;
    for (unsigned i = 0; i < world->worker_count; i++) {
        world_at(world, world_between(world, 1, 300), &node->threads[1 + i], on_round, node, i);
    }
}

/* --- the control loop: beats ---------------------------------------------------------------------------------------- */

struct beat_wait {
    struct link_request request;
    struct node *node;
};

static bool is_no_master(const char *error)
{
    return strncmp(error, "READONLY ", 9) == 0 || strncmp(error, "NOREPLICAS ", 11) == 0;
}

static void on_beat(struct link_request *request, enum status status, struct slice reply)
{
    struct beat_wait *wait = (struct beat_wait *)(void *)request;
    struct node *node = wait->node;
    struct beat_answer answer;
    char error[BEAT_ERROR_MAX] = "L2 did not answer";
    node->beats_waiting--;
    if (status == OK) {
        status = beat_read(reply, &answer, error);
    }
    if (status == OK) {
        coherence_on_beat_answer(tiers_coherence(node->tiers), &answer, node_now_ms(node));
        judge_horizon(node);
    } else {
        coherence_on_beat_failed(tiers_coherence(node->tiers), error, node_now_ms(node));
        if (status == L2_ERROR && is_no_master(error)) {
            link_close(node->control, error, node_now_ms(node));
        }
    }
    free(wait);
}

/* What the oracle wants to know of a beat: its nonce and when it was sent. */
static void note_beat(struct node *node, int64_t now_ms)
{
    struct request_reader reader;
    request_reader_init(&reader);
    const struct slice bytes = buf_slice(&node->scratch);
    CHECK(request_read(&reader, bytes) == OK);
    const struct slice frame = request_arg(&reader, bytes, 8);
    CHECK(frame.size > FRAME_HEADER_SIZE);
    const uint64_t at = node->beat_count++ % NODE_BEATS;
    node->beats[at].nonce = get_u64le(frame.data + 56);
    node->beats[at].sent_us = node->world->now_us;
    node->beats[at].sent_ms = now_ms;
    request_reader_done(&reader);
}

static void beat(struct node *node, int64_t now_ms)
{
    struct coherence *coherence = tiers_coherence(node->tiers);
    if (link_state(node->control) != LINK_READY || node->beats_waiting >= BEATS_WAITING ||
        !coherence_beat_due(coherence, now_ms)) {
        return;
    }
    struct beat_wait *wait = sim_alloc(sizeof *wait);
    *wait = (struct beat_wait){
        .request = {.on_reply = on_beat, .deadline_ms = now_ms + node->world->read_timeout_ms},
        .node = node};
    node->scratch.size = 0;
    enum status status = coherence_beat(coherence, now_ms, &node->scratch);
    if (status == OK) {
        note_beat(node, now_ms);
        status = link_ask(node->control, &wait->request, -1, buf_slice(&node->scratch));
    }
    if (status != OK) {
        free(wait);
        coherence_on_beat_failed(coherence, "the beat could not be sent", now_ms);
        return;
    }
    node->beats_waiting++;
}

/* --- the control loop: the log --------------------------------------------------------------------------------------- */

struct replay_wait {
    struct link_request request;
    struct node *node;
};

static void on_replay(struct link_request *request, enum status status, struct slice reply)
{
    struct replay_wait *wait = (struct replay_wait *)(void *)request;
    struct coherence *coherence = tiers_coherence(wait->node->tiers);
    if (status == OK) {
        coherence_on_replay_answer(coherence, reply, node_now_ms(wait->node));
    } else {
        coherence_on_replay_failed(coherence, node_now_ms(wait->node));
    }
    free(wait);
}

static void replay(struct node *node, int64_t now_ms)
{
    struct coherence *coherence = tiers_coherence(node->tiers);
    node->scratch.size = 0;
    if (link_state(node->control) != LINK_READY ||
        coherence_replay(coherence, now_ms, &node->scratch) != OK) {
        return;
    }
    struct replay_wait *wait = sim_alloc(sizeof *wait);
    *wait = (struct replay_wait){
        .request = {.on_reply = on_replay, .deadline_ms = now_ms + node->world->read_timeout_ms},
        .node = node};
    if (link_ask(node->control, &wait->request, -1, buf_slice(&node->scratch)) != OK) {
        free(wait);
        coherence_on_replay_failed(coherence, now_ms);
    }
}

static void on_gap(void *arg)
{
    struct node *node = arg;
    node->world->replays++;
}

/* A short cut costs nothing: where the log told all, the floor is where it was, so whatever was not written since is served
 * without another question. */
static void on_whole(void *arg, bool replayed)
{
    struct node *node = arg;
    const struct coherence_view *view = coherence_view(tiers_coherence(node->tiers));
    const int64_t floor_ms = atomic_load(&view->managed.floor_ms);
    if (replayed && floor_ms != node->managed_floor_ms) {
        world_fail(node->world, "SURVIVE",
                   "node %u: the log told all, and the floor rose by %" PRId64 " ms", node->slot,
                   floor_ms - node->managed_floor_ms);
    }
    node->managed_floor_ms = floor_ms;
    node->world->returns_whole += replayed && node->resumes;
    node->resumes = false;
    node->world->replays_whole += replayed;
    node->world->replays_short += !replayed;
}

void node_end_turn(struct thread *thread)
{
    struct socket *sockets = thread->node->sockets[thread->index];
    if (thread->index == 0) {
        begin_round(thread->node);
        beat(thread->node, node_now_ms(thread->node));
        replay(thread->node, node_now_ms(thread->node));
    } else {
        managed_write_flush(thread->node->windows[thread->index - 1]);
        confirm_send(thread);
    }
    for (unsigned i = 0; i < NODE_SOCKETS; i++) {
        if (sockets[i].link != NULL && sockets[i].wants_flush && sockets[i].conn->connected) {
            flush(thread, i);
        }
    }
}

static void on_control_ready(struct link *link, void *arg, const struct beat_answer *answer)
{
    struct node *node = arg;
    (void)link;
    tiers_let_in(node->tiers);
    coherence_on_control_up(tiers_coherence(node->tiers), answer, node_now_ms(node));
    judge_horizon(node);
}

static void on_control_down(struct link *link, void *arg, const char *why)
{
    const struct node *node = arg;
    (void)link;
    (void)why;
    coherence_on_control_lost(tiers_coherence(node->tiers));
}

static uint64_t known_epoch(void *arg)
{
    const struct node *node = arg;
    return coherence_known_epoch(tiers_coherence(node->tiers));
}

/* --- the bus ---------------------------------------------------------------------------------------------------------- */

static void on_bus_ready(struct link *link, void *arg, const struct beat_answer *answer)
{
    struct node *node = arg;
    struct coherence *coherence = tiers_coherence(node->tiers);
    tiers_let_in(node->tiers);
    node->scratch.size = 0;
    CHECK(coherence_bus_greeting(&node->scratch, link_client_id(link)) == OK);
    CHECK(link_say(link, buf_slice(&node->scratch)) == OK);
    coherence_on_bus_up(coherence, answer, node_now_ms(node));
}

static void on_bus_down(struct link *link, void *arg, const char *why)
{
    struct node *node = arg;
    (void)link;
    coherence_on_bus_lost(tiers_coherence(node->tiers), why, node_now_ms(node));
}

/* The frame in a message of terrace:bus, if it is an own beat: its nonce. 0: another thing. */
static uint64_t own_nonce(const struct node *node, struct slice reply)
{
    static const char head[] = "*3\r\n$7\r\nmessage\r\n$11\r\nterrace:bus\r\n$";
    if (reply.size < sizeof head + FRAME_HEADER_SIZE ||
        memcmp(reply.data, head, sizeof head - 1) != 0) {
        return 0;
    }
    const char *frame = memchr(reply.data + sizeof head - 1, '\n', 8);
    if (frame == NULL || get_u64le(frame + 1 + 48) != node->id) {
        return 0;
    }
    return get_u64le(frame + 1 + 56);
}

static void note_proof(struct node *node, uint64_t nonce)
{
    for (uint64_t i = 0; i < node->beat_count && i < NODE_BEATS; i++) {
        if (node->beats[i].nonce == nonce && node->beats[i].sent_us > node->proved_us) {
            node->proved_us = node->beats[i].sent_us;
        }
    }
}

static void on_bus_push(struct link *link, void *arg, struct slice reply)
{
    static const char invalidate[] = "*3\r\n$7\r\nmessage\r\n$20\r\n__redis__";
    struct node *node = arg;
    const struct socket *socket = socket_find(&node->threads[0], link);
    CHECK(socket != NULL);
    struct conn *conn = socket->conn;
    conn->announcements_seen += reply.size > sizeof invalidate &&
                                memcmp(reply.data, invalidate, sizeof invalidate - 1) == 0;
    const uint64_t nonce = own_nonce(node, reply);
    if (nonce != 0) {
        note_proof(node, nonce);
    }
    coherence_on_bus_reply(tiers_coherence(node->tiers), reply, node_now_ms(node));
    judge_horizon(node);
}

/* --- ticks -------------------------------------------------------------------------------------------------------------- */

/* I7. */
static void judge_epoch(struct node *node)
{
    struct coherence_description seen;
    coherence_describe(tiers_coherence(node->tiers), &seen);
    if (seen.epoch.counter < node->epoch_seen) {
        world_fail(node->world, "I7", "node %u went from epoch %" PRIu64 " to %" PRIu64, node->slot,
                   node->epoch_seen, seen.epoch.counter);
    }
    node->epoch_seen = seen.epoch.counter;
}

static void trace_state(struct node *node)
{
    struct coherence_description seen;
    coherence_describe(tiers_coherence(node->tiers), &seen);
    if (node->world->plan.trace && seen.state != node->state_seen) {
        node->state_seen = seen.state;
        node_trace(node);
    }
}

static void close_wrong_link(struct node *node, int64_t now_ms)
{
    switch (coherence_wrong_link(tiers_coherence(node->tiers))) {
    case COHERENCE_NO_LINK: return;
    case COHERENCE_CONTROL_LINK:
        link_close(node->control, "the bus is at a newer L2", now_ms);
        return;
    case COHERENCE_BUS_LINK:
        link_close(node->bus, "the control link is at another L2", now_ms);
        return;
    }
}

static void on_control_tick(struct world *world, void *arg, uint64_t number)
{
    struct node *node = arg;
    struct coherence *coherence = tiers_coherence(node->tiers);
    const int64_t now_ms = node_now_ms(node);
    (void)number;
    coherence_set_bounds(coherence, (uint32_t)namespaces_least_bound_ms(node->namespaces),
                         (uint32_t)namespaces_most_bound_ms(node->namespaces));
    if (tiers_others_let_in(node->tiers, &node->let_in)) {
        link_poke(node->control, now_ms);
        link_poke(node->bus, now_ms);
    }
    link_tick(node->control, now_ms);
    link_tick(node->bus, now_ms);
    if (link_state(node->bus) == LINK_READY && coherence_bus_is_dead(coherence, now_ms)) {
        link_close(node->bus, "the bus does not echo beats", now_ms);
    }
    close_wrong_link(node, now_ms);
    beat(node, now_ms);
    coherence_tick(coherence, now_ms);
    trace_state(node);
    (void)namespaces_sweep(node->namespaces, now_ms, SWEEP_STEPS);
    judge_epoch(node);
    world_at(world, CONTROL_TICK_US, &node->threads[0], on_control_tick, node, 0);
}

struct tiers_window *node_begin_batch(struct node *node, unsigned worker)
{
    tiers_window_begin(node->windows[worker], node_now_ms(node));
    return node->windows[worker];
}

static void on_worker_tick(struct world *world, void *arg, uint64_t worker)
{
    struct node *node = arg;
    struct tiers_window *window = node_begin_batch(node, (unsigned)worker);
    tiers_window_timeouts(window, world->read_timeout_ms, world->relay_timeout_ms);
    tiers_window_tick(window, node_now_ms(node));
    world_at(world, WORKER_TICK_US, &node->threads[1 + worker], on_worker_tick, node, worker);
}

/* --- letters ------------------------------------------------------------------------------------------------------------- */

static void on_letter(struct world *world, void *arg, uint64_t number)
{
    struct tiers_post *post = arg;
    const struct node *node = post->roof_room[0];
    const unsigned worker = (unsigned)number;
    (void)world;
    tiers_window_begin(node->windows[worker], node_now_ms(node));
    post->open(post, node->windows[worker]);
}

static enum status post_letter(void *roof, unsigned worker, struct tiers_post *post, bool must)
{
    struct thread *thread = roof;
    struct node *node = thread->node;
    struct world *world = node->world;
    if (!must && world_chance(world, world->refusals)) {
        return BUSY;
    }
    const bool late = world_chance(world, LETTER_LATE_PER_MILLE);
    post->roof_room[0] = node;
    world_at(world, world_between(world, 1, late ? 300 * SIM_MS : 300), &node->threads[1 + worker],
             on_letter, post, worker);
    return OK;
}

/* --- life ----------------------------------------------------------------------------------------------------------------- */

static void open_control(struct node *node, const struct l2_url *url)
{
    struct link_options options = {
        .url = url,
        .proto = 2,
        .coherence_db = 15,
        .node = node->id,
        .seed = rand_next(&node->world->rand),
        .metrics = &node->metrics,
        .io = io_of(&node->threads[0]),
        .on_ready = on_control_ready,
        .on_down = on_control_down,
        .arg = node,
        .known_epoch = known_epoch,
    };
    node->control = link_new(&options);
    options.seed = rand_next(&node->world->rand);
    options.on_ready = on_bus_ready;
    options.on_down = on_bus_down;
    options.on_push = on_bus_push;
    node->bus = link_new(&options);
    CHECK(node->control != NULL && node->bus != NULL);
}

static void open_worker(struct node *node, unsigned worker)
{
    list_init(&node->confirms[worker].list);
    node->windows[worker] = tiers_window_new(&(struct tiers_window_options){
        .tiers = node->tiers,
        .worker = worker,
        .metrics = &node->metrics,
        .io = io_of(&node->threads[1 + worker]),
        .seed = rand_next(&node->world->rand) | 1,
        .revalidates = worker == 0,
        .look_bytes = node->world->look_bytes,
        .post = post_letter,
        .confirm = confirm_ask,
    });
    CHECK(node->windows[worker] != NULL);
    tiers_window_timeouts(node->windows[worker], node->world->read_timeout_ms,
                          node->world->relay_timeout_ms);
}

/* Keys k5 may have a wider bound than the others, and keys k0, the hottest, may be strict. */
static void open_namespaces(struct node *node)
{
    const struct world *world = node->world;
    struct namespace_spec specs[5] = {
        {.name = SLICE_LITERAL("default"),
         .prefix = SLICE_LITERAL(""),
         .settings = {.mode = {.bound_ms = world->bound_ms}, .memory = world->l1_bytes}},
        {.name = SLICE_LITERAL("wide"),
         .prefix = SLICE_LITERAL("k5"),
         .settings = {.mode = {.bound_ms = world->wide_bound_ms}, .memory = world->l1_bytes}}};
    unsigned count = world->wide_bound_ms == world->bound_ms ? 1 : 2;
    if (world->has_strict) {
        specs[count++] = (struct namespace_spec){
            .name = SLICE_LITERAL("strict"),
            .prefix = SLICE_LITERAL("k0"),
            .settings = {.mode = {.kind = NAMESPACE_STRICT, .bound_ms = world->bound_ms},
                         .memory = world->l1_bytes}};
    }
    for (unsigned i = 1; world->plan.managed && i <= 2; i++) {
        specs[count++] = (struct namespace_spec){
            .name = i == 1 ? SLICE_LITERAL("managed1") : SLICE_LITERAL("managed2"),
            .prefix = i == 1 ? SLICE_LITERAL("k1") : SLICE_LITERAL("k2"),
            .managed = true,
            .settings = {
                .mode = {.bound_ms = world->bound_ms}, .memory = world->l1_bytes, .told = true}};
    }
    node->namespaces = namespaces_new(specs, count, rand_next(&node->world->rand) | 1);
    CHECK(node->namespaces != NULL);
}

struct node *node_new(struct world *world, unsigned slot)
{
    static const struct l2_url url = {.host = (char *)(uintptr_t) "redis", .port = 6379};
    struct node *node = sim_alloc(sizeof *node);
    node->world = world;
    node->slot = slot;
    node->id = ++world->next_id;
    node->clock_offset_ms = world_between(world, 1000000, 100000000);
    node->drift_ppm = world_between(world, -NODE_DRIFT_PPM, NODE_DRIFT_PPM);
    open_namespaces(node);
    node->tiers = tiers_new(
        &(struct tiers_options){.metrics = &node->metrics,
                                .namespaces = node->namespaces,
                                .url = &url,
                                .coherence_db = 15,
                                .seed = rand_next(&world->rand) | 1,
                                .managed = {.on_gap = on_gap, .on_whole = on_whole, .arg = node},
                                .node = node->id});
    CHECK(node->tiers != NULL);
    for (unsigned i = 0; i <= world->worker_count; i++) {
        node->threads[i] = (struct thread){.node = node, .index = i};
    }
    saved_restore(node);
    open_control(node, &url);
    for (unsigned i = 0; i < world->worker_count; i++) {
        open_worker(node, i);
        world_at(world, world_between(world, 0, WORKER_TICK_US), &node->threads[1 + i],
                 on_worker_tick, node, i);
    }
    world_at(world, world_between(world, 0, CONTROL_TICK_US), &node->threads[0], on_control_tick,
             node, 0);
    world->nodes[slot] = node;
    return node;
}

static void end_links(struct node *node)
{
    node->dying = true;
    for (unsigned i = 0; i < node->world->worker_count; i++) {
        tiers_window_end_links(node->windows[i]);
    }
}

void node_leave(struct node *node)
{
    end_links(node);
    coherence_end_waits(tiers_coherence(node->tiers));
    coherence_leave(tiers_coherence(node->tiers)); /* at the end of a turn of its control thread */
}

/* As server/control.c does it: the links first, then the letters that were under way, then the memory. */
void node_kill(struct node *node)
{
    struct world *world = node->world;
    end_links(node);
    confirm_end(node);
    world_run_letters(world, node, on_letter);
    for (unsigned i = 0; i < world->worker_count; i++) {
        tiers_window_free(node->windows[i]);
        node->windows[i] = NULL;
    }
    link_free(node->bus);
    link_free(node->control);
    tiers_free(node->tiers);
    namespaces_free(node->namespaces);
    buf_done(&node->scratch);
    for (unsigned i = 0; i <= world->worker_count; i++) {
        node->threads[i].ended = true;
    }
    node->ended = true;
    node->next_buried = world->buried;
    world->buried = node;
    world->nodes[node->slot] = NULL;
}

void node_free_all(struct world *world)
{
    for (unsigned i = 0; i < world->node_count; i++) {
        if (world->nodes[i] != NULL) {
            node_kill(world->nodes[i]);
        }
    }
    while (world->buried != NULL) {
        struct node *node = world->buried;
        world->buried = node->next_buried;
        free(node);
    }
}

bool node_is_synced(const struct node *node)
{
    struct coherence_description seen;
    coherence_describe(tiers_coherence(node->tiers), &seen);
    return seen.state == COHERENCE_SYNCED;
}

void node_trace(const struct node *node)
{
    struct coherence_description seen;
    coherence_describe(tiers_coherence(node->tiers), &seen);
    TRACE(node->world, "node %u: %s, epoch %" PRIu64 ", seq %" PRIu64 ", %s; control %s, bus %s",
          node->slot, seen.state_name, seen.epoch.counter, seen.seq, seen.reason,
          link_state(node->control) == LINK_READY ? "ready" : link_why_down(node->control),
          link_state(node->bus) == LINK_READY ? "ready" : link_why_down(node->bus));
}

int64_t node_proved_us(const struct node *node)
{
    const int64_t now_horizon_ms = horizon_ms(node);
    for (uint64_t i = 0; now_horizon_ms != 0 && i < node->beat_count && i < NODE_BEATS; i++) {
        if (node->beats[i].sent_ms == now_horizon_ms) {
            return node->beats[i].sent_us;
        }
    }
    return 0;
}
