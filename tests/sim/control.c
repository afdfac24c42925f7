/* SPDX-License-Identifier: BSD-3-Clause */
#include "tests/sim/control.h"

#include "protocol/check.h"
#include "protocol/frame.h"
#include "tests/sim/sockets.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

enum {
    SWEEP_STEPS = 64,
    BEATS_WAITING = 16,
};

/* --- the horizon: I6 -------------------------------------------------------------------------------------------------- */

static int64_t horizon_ms(const struct node *node)
{
    return atomic_load(&coherence_view(tiers_coherence(node->tiers))->horizon_ms);
}

/* How many announcements in front of the echo of this beat are not applied. */
static uint64_t overtaken(struct node *node, uint64_t nonce)
{
    uint64_t missing = 0;
    const struct socket *socket = sockets_find(&node->threads[0], node->bus);
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

void control_on_gap(void *arg)
{
    struct node *node = arg;
    node->world->replays++;
}

/* A short cut costs nothing: where the log told all, the floor is where it was, so whatever was not written since is served
 * without another question. */
void control_on_whole(void *arg, bool replayed)
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
    const struct socket *socket = sockets_find(&node->threads[0], link);
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

void control_tick(struct world *world, void *arg, uint64_t number)
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
    world_at(world, CONTROL_TICK_US, &node->threads[0], control_tick, node, 0);
}

void control_end_turn(struct node *node)
{
    begin_round(node);
    beat(node, node_now_ms(node));
    replay(node, node_now_ms(node));
}

void control_open(struct node *node, const struct l2_url *url)
{
    struct link_options options = {
        .url = url,
        .proto = 2,
        .coherence_db = 15,
        .node = node->id,
        .seed = rand_next(&node->world->rand),
        .metrics = &node->metrics,
        .io = sockets_io(&node->threads[0]),
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
