/* SPDX-License-Identifier: BSD-3-Clause */
#include "tests/sim/node.h"

#include "protocol/check.h"
#include "tests/sim/confirm.h"
#include "tests/sim/control.h"
#include "tests/sim/saved.h"
#include "tests/sim/sockets.h"
#include "tiers/managed_write.h"

#include <inttypes.h>
#include <stdlib.h>

enum {
    WORKER_TICK_US = 100000,
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

void node_end_turn(struct thread *thread)
{
    if (thread->index == 0) {
        control_end_turn(thread->node);
    } else {
        managed_write_flush(thread->node->windows[thread->index - 1]);
        confirm_send(thread);
    }
    sockets_flush(thread);
}

/* --- ticks -------------------------------------------------------------------------------------------------------------- */

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

static void open_worker(struct node *node, unsigned worker)
{
    list_init(&node->confirms[worker].list);
    node->windows[worker] = tiers_window_new(&(struct tiers_window_options){
        .tiers = node->tiers,
        .worker = worker,
        .metrics = &node->metrics,
        .io = sockets_io(&node->threads[1 + worker]),
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
    node->tiers = tiers_new(&(struct tiers_options){
        .metrics = &node->metrics,
        .namespaces = node->namespaces,
        .url = &url,
        .coherence_db = 15,
        .seed = rand_next(&world->rand) | 1,
        .managed = {.on_gap = control_on_gap, .on_whole = control_on_whole, .arg = node},
        .node = node->id});
    CHECK(node->tiers != NULL);
    for (unsigned i = 0; i <= world->worker_count; i++) {
        node->threads[i] = (struct thread){.node = node, .index = i};
    }
    saved_restore(node);
    control_open(node, &url);
    for (unsigned i = 0; i < world->worker_count; i++) {
        open_worker(node, i);
        world_at(world, world_between(world, 0, WORKER_TICK_US), &node->threads[1 + i],
                 on_worker_tick, node, i);
    }
    world_at(world, world_between(world, 0, CONTROL_TICK_US), &node->threads[0], control_tick, node,
             0);
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
