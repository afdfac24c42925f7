/* SPDX-License-Identifier: BSD-3-Clause */
#include "server/control_l2.h"

#include "protocol/check.h"
#include "server/l2_bans.h"
#include "server/l2_events.h"
#include "server/l2_finder.h"
#include "server/l2_modules.h"
#include "server/l2_rights.h"
#include "server/node.h"
#include "server/snapshots.h"
#include "server/totals.h"
#include "server/tracking.h"
#include "tiers/tiers.h"

#include <stdlib.h>
#include <string.h>

enum {
    BEATS_WAITING = 16,
    FIGURES_MS = 1000,
    PERMILLE = 1000,
    DOUBTS_PER_BOUND = 4
};

struct control_l2 {
    struct node *node;
    struct l2_finder *finder;
    struct l2_rights *rights;
    struct l2_modules *modules;
    int64_t follow_delay_ms;
    unsigned let_in;        /* tiers_others_let_in */
    bool moved;             /* L2 is elsewhere: the links of this loop must follow */
    uint64_t confirmed_run; /* the process that all workers' links were last at; 0: none yet */
    int64_t now_ms;
    struct l2_roof roof;
    struct link *control; /* NULL: closed for good, as the bus */
    struct link *bus;
    unsigned beats_waiting;
    uv_timer_t wait_timer; /* for those who wait for the bus: to the millisecond */
    int64_t wait_due_ms;   /* what it is set to */
    struct l2_events events;
    int64_t figures_at_ms;
    uint64_t figures_hits; /* as they were then */
    uint64_t figures_misses;
    struct coherence_figures figures;
    int64_t doubted_at_ms; /* clients were told last to drop what they keep */
    struct buf scratch;
};

static void l2_read_clock(struct control_l2 *l2)
{
    l2->now_ms = clock_now_ms(&l2->node->clock);
}

static struct coherence *l2_coherence(const struct control_l2 *l2)
{
    return tiers_coherence(l2->node->tiers);
}

/* --- the control link: beats and what L2 can do ---------------------------------------------------------------------------- */

struct beat_wait {
    struct link_request request;
    struct control_l2 *l2;
};

/* This Redis will not be the master again before others know another one, and its connections stay open for ever: look
 * where the address leads now. Other errors (OOM, LOADING, BUSY) may pass: they leave H as it is, so that the fence closes
 * by itself. */
static bool is_no_master(const char *error)
{
    return strncmp(error, "READONLY ", 9) == 0 || strncmp(error, "NOREPLICAS ", 11) == 0;
}

static void l2_on_beat(struct link_request *request, enum status status, struct slice reply)
{
    struct beat_wait *wait = (struct beat_wait *)(void *)request;
    struct control_l2 *l2 = wait->l2;
    struct beat_answer answer;
    char error[160] = "L2 did not answer";
    l2->beats_waiting--;
    l2_read_clock(l2);
    if (status == OK) {
        status = beat_read(reply, &answer, error);
    }
    if (status == OK) {
        coherence_on_beat_answer(l2_coherence(l2), &answer, l2->now_ms);
    } else {
        coherence_on_beat_failed(l2_coherence(l2), error, l2->now_ms);
        if (status == L2_ERROR && is_no_master(error)) {
            link_close(l2->control, error, l2->now_ms);
        }
    }
    free(wait);
}

static void l2_beat(struct control_l2 *l2)
{
    struct coherence *coherence = l2_coherence(l2);
    if (link_state(l2->control) != LINK_READY || l2->beats_waiting >= BEATS_WAITING ||
        !coherence_beat_due(coherence, l2->now_ms)) {
        return;
    }
    struct beat_wait *wait = malloc(sizeof(*wait));
    if (wait == NULL) {
        return; /* the fence closes by itself */
    }
    int64_t deadline_ms = l2->now_ms + atomic_load(&l2->node->live.l2_timeout_ms);
    *wait = (struct beat_wait){.request = {.on_reply = l2_on_beat, .deadline_ms = deadline_ms},
                               .l2 = l2};
    l2->scratch.size = 0;
    enum status status = coherence_beat(coherence, l2->now_ms, &l2->scratch);
    if (status == OK) {
        status = link_ask(l2->control, &wait->request, -1, buf_slice(&l2->scratch));
    }
    if (status != OK) {
        free(wait);
        coherence_on_beat_failed(coherence, "the beat could not be sent", l2->now_ms);
        return;
    }
    l2->beats_waiting++;
    metrics_count(l2->node->metrics, M_BEATS);
}

static void l2_on_link_ready(struct link *link, void *arg, const struct beat_answer *answer)
{
    struct control_l2 *l2 = arg;
    l2_read_clock(l2);
    coherence_on_control_up(l2_coherence(l2), answer, l2->now_ms);
    tiers_set_l2_up(l2->node->tiers, true, l2->now_ms);
    tiers_let_in(l2->node->tiers);
    l2_finder_on_up(l2->finder, l2->now_ms);
    l2_rights_on_up(l2->rights, answer->run);
    if (link_state(l2->bus) == LINK_DOWN) {
        link_go_to(l2->bus, link_url(link), 0, l2->now_ms);
    }
    l2_events_found(&l2->events.control);
    log_write(&l2->node->log, LOG_NOTICE, "l2_up", "epoch=%llu",
              (unsigned long long)answer->epoch.counter);
    l2_modules_on_up(l2->modules, link, l2->now_ms);
}

static void l2_on_link_down(struct link *link, void *arg, const char *why)
{
    struct control_l2 *l2 = arg;
    l2_read_clock(l2);
    coherence_on_control_lost(l2_coherence(l2));
    tiers_set_l2_up(l2->node->tiers, false, l2->now_ms);
    l2_events_lost(&l2->events.control, l2->node, "l2_down", link, why, l2->now_ms);
    l2_finder_on_failure(l2->finder, why, l2->now_ms);
}

static uint64_t l2_known_epoch(void *arg)
{
    return coherence_known_epoch(l2_coherence(arg));
}

/* --- the log ------------------------------------------------------------------------------------------------------------- */

struct replay_wait {
    struct link_request request;
    struct control_l2 *l2;
};

static void l2_on_replay(struct link_request *request, enum status status, struct slice reply)
{
    struct replay_wait *wait = (struct replay_wait *)(void *)request;
    struct control_l2 *l2 = wait->l2;
    l2_read_clock(l2);
    if (status == OK) {
        coherence_on_replay_answer(l2_coherence(l2), reply, l2->now_ms);
    } else {
        coherence_on_replay_failed(l2_coherence(l2), l2->now_ms);
    }
    free(wait);
}

static void l2_replay(struct control_l2 *l2)
{
    struct coherence *coherence = l2_coherence(l2);
    struct replay_wait *wait = NULL;
    l2->scratch.size = 0;
    if (link_state(l2->control) != LINK_READY ||
        coherence_replay(coherence, l2->now_ms, &l2->scratch) != OK) {
        return;
    }
    wait = malloc(sizeof(*wait));
    if (wait != NULL) {
        const int64_t deadline_ms = l2->now_ms + atomic_load(&l2->node->live.l2_timeout_ms);
        *wait = (struct replay_wait){
            .request = {.on_reply = l2_on_replay, .deadline_ms = deadline_ms}, .l2 = l2};
    }
    if (wait == NULL || link_ask(l2->control, &wait->request, -1, buf_slice(&l2->scratch)) != OK) {
        free(wait);
        coherence_on_replay_failed(coherence, l2->now_ms);
    }
}

/* --- the bus ------------------------------------------------------------------------------------------------------------- */

static void l2_on_bus_ready(struct link *link, void *arg, const struct beat_answer *answer)
{
    struct control_l2 *l2 = arg;
    struct coherence *coherence = l2_coherence(l2);
    l2_read_clock(l2);
    tiers_let_in(l2->node->tiers);
    l2->scratch.size = 0;
    if (coherence_bus_greeting(&l2->scratch, link_client_id(link)) == OK &&
        link_say(link, buf_slice(&l2->scratch)) == OK) {
        coherence_on_bus_up(coherence, answer, l2->now_ms);
    } else {
        link_close(link, "no memory for the subscription", l2->now_ms);
    }
}

static void l2_on_bus_down(struct link *link, void *arg, const char *why)
{
    struct control_l2 *l2 = arg;
    l2_read_clock(l2);
    coherence_on_bus_lost(l2_coherence(l2), why, l2->now_ms);
    l2_events_lost(&l2->events.bus, l2->node, "bus_down", link, why, l2->now_ms);
}

static void l2_on_bus_push(struct link *link, void *arg, struct slice reply)
{
    struct control_l2 *l2 = arg;
    (void)link;
    l2_read_clock(l2);
    coherence_on_bus_reply(l2_coherence(l2), reply, l2->now_ms);
}

/* Both links of this loop go where L2 is now; the workers' follow at their next tick. */
static void l2_on_moved(void *arg, int64_t delay_ms)
{
    struct control_l2 *l2 = arg;
    l2->moved =
        true; /* at the next tick: it may be called from inside the control link's own loss */
    l2->follow_delay_ms = delay_ms;
}

static void l2_follow(struct control_l2 *l2)
{
    const struct l2_url *url = tiers_url(l2->node->tiers);
    l2->moved = false;
    link_go_to(l2->control, url, l2->follow_delay_ms, l2->now_ms);
    link_go_to(l2->bus, url, l2->follow_delay_ms, l2->now_ms);
}

static enum status l2_open_links(struct control_l2 *l2, uv_loop_t *loop)
{
    struct node *node = l2->node;
    l2_roof_open(&l2->roof, loop, &node->clock, &node->l2_tls, l2);
    l2->finder = l2_finder_new(&(struct l2_finder_options){
        .node = node, .roof = &l2->roof, .on_moved = l2_on_moved, .arg = l2});
    l2->rights = l2_rights_new(node, &l2->roof);
    l2->modules = l2_modules_new(node);
    if (l2->finder == NULL || l2->rights == NULL || l2->modules == NULL) {
        return NO_MEMORY;
    }
    struct link_options options = {
        .url = tiers_url(node->tiers),
        .proto = 2,
        .coherence_db = tiers_coherence_db(node->tiers),
        .node = node->id,
        .metrics = node->metrics,
        .io = l2_roof_io(&l2->roof),
        .on_ready = l2_on_link_ready,
        .on_down = l2_on_link_down,
        .arg = l2,
        .known_epoch = l2_known_epoch,
    };
    l2->control = link_new(&options);
    options.on_ready = l2_on_bus_ready;
    options.on_down = l2_on_bus_down;
    options.on_push = l2_on_bus_push;
    l2->bus = link_new(&options);
    return l2->control != NULL && l2->bus != NULL ? OK : NO_MEMORY;
}

/* --- what others hear of this node ------------------------------------------------------------------------------------------ */

/* Without reads the hit ratio stays what it was. */
static void l2_read_figures(struct control_l2 *l2)
{
    struct totals totals;
    const int64_t passed_ms = l2->now_ms - l2->figures_at_ms;
    if (l2->figures_at_ms != 0 && passed_ms < FIGURES_MS) {
        return;
    }
    totals_read(l2->node, &totals);
    const uint64_t hits = totals.metrics[M_L1_HITS] - l2->figures_hits;
    const uint64_t reads = hits + totals.metrics[M_L1_MISSES] - l2->figures_misses;
    l2->figures_at_ms = l2->now_ms;
    l2->figures_hits = totals.metrics[M_L1_HITS];
    l2->figures_misses = totals.metrics[M_L1_MISSES];
    if (reads > 0) {
        l2->figures.hit_permille = (uint32_t)(hits * PERMILLE / reads);
    }
    l2->figures.load = (uint32_t)atomic_load(&l2->node->conns_open);
    l2->figures.reads_per_s = (uint32_t)(reads * FIGURES_MS / (uint64_t)passed_ms);
    join_note_reads(&l2->node->join, hits, reads);
}

void control_l2_tell_weight(struct control_l2 *l2)
{
    struct node *node = l2->node;
    struct join_rules rules;
    node_join_rules(node, &rules);
    const struct peers *peers = coherence_peers(l2_coherence(l2));
    const int others = peers_hit_permille(peers, l2->now_ms);
    size_t nodes = 0;
    const uint64_t reads = peers_reads_per_s(peers, l2->now_ms, &nodes);
    join_expect(&node->join, reads / (nodes + 1));
    const bool drains = atomic_load(&node->live.draining);
    l2->figures.weight = join_weigh(&node->join, &rules, others, drains, l2->now_ms);
    coherence_set_figures(l2_coherence(l2), &l2->figures);
}

static void l2_tell_figures(struct control_l2 *l2)
{
    l2_read_figures(l2);
    control_l2_tell_weight(l2);
}

/* --- what clients keep ------------------------------------------------------------------------------------------------------- */

/* While the horizon is older than T it is not known what they should be told, so they are told to drop everything, again
 * and again. What was announced meanwhile they are told when it comes. */
static void l2_tell_doubts(struct control_l2 *l2)
{
    const struct coherence_view *view = coherence_view(l2_coherence(l2));
    const int64_t bound_ms = atomic_load_explicit(&view->bound_ms, memory_order_relaxed);
    if (tracking_is_wanted(l2->node->tracking) && !coherence_fresh(view, l2->now_ms) &&
        l2->now_ms - l2->doubted_at_ms >= bound_ms / DOUBTS_PER_BOUND) {
        l2->doubted_at_ms = l2->now_ms;
        tracking_doubt(l2->node->tracking);
    }
}

/* --- which L2 ---------------------------------------------------------------------------------------------------------------- */

static void l2_close_dead_bus(struct control_l2 *l2)
{
    struct coherence_description seen;
    if (link_state(l2->bus) != LINK_READY || !coherence_bus_is_dead(l2_coherence(l2), l2->now_ms)) {
        return;
    }
    coherence_describe(l2_coherence(l2), &seen); /* a refusal, for one, in L2's own words */
    link_close(l2->bus,
               seen.state == COHERENCE_DETACHED ? seen.reason : "the bus does not echo beats",
               l2->now_ms);
}

/* Links reconnect one by one; what they find may be the former master at first. */
static void l2_close_wrong_link(struct control_l2 *l2)
{
    switch (coherence_wrong_link(l2_coherence(l2))) {
    case COHERENCE_NO_LINK: return;
    case COHERENCE_CONTROL_LINK:
        link_close(l2->control, "the bus is at a newer L2", l2->now_ms);
        return;
    case COHERENCE_BUS_LINK:
        link_close(l2->bus, "the control link is at another L2", l2->now_ms);
        return;
    }
}

uint64_t control_l2_unconfirmed_run(const struct control_l2 *l2)
{
    return coherence_unconfirmed_run(l2_coherence(l2));
}

/* Values of a server that has nothing to do with the present one are no older versions of anything: they go, whatever a
 * namespace's mode says. By now no worker's link is at the former one. */
static void l2_forget_other_server(struct control_l2 *l2)
{
    if (l2->node->urls.independent && l2->confirmed_run != 0) {
        namespaces_flush_all(l2->node->namespaces);
        tracking_flush(l2->node->tracking);
    }
}

void control_l2_targets_confirmed(struct control_l2 *l2, uint64_t run)
{
    if (l2->confirmed_run != run) {
        l2_forget_other_server(l2);
        l2->confirmed_run = run;
    }
    coherence_targets_confirmed(l2_coherence(l2), run);
}

/* --- life and time --------------------------------------------------------------------------------------------------------- */

struct control_l2 *control_l2_new(struct node *node, uv_loop_t *loop)
{
    struct control_l2 *l2 = calloc(1, sizeof(*l2));
    if (l2 == NULL) {
        return NULL;
    }
    l2->node = node;
    l2_read_clock(l2);
    if (l2_open_links(l2, loop) != OK) {
        control_l2_close(l2);
        control_l2_free(l2);
        return NULL;
    }
    CHECK(uv_timer_init(loop, &l2->wait_timer) == 0);
    l2->wait_timer.data = l2;
    l2->confirmed_run = snapshots_run(node->snapshots); /* the process that they are of */
    return l2;
}

void control_l2_close(struct control_l2 *l2)
{
    struct link *control = l2->control;
    struct link *bus = l2->bus;
    l2->control = NULL;
    l2->bus = NULL;
    link_free(bus);
    link_free(control);
    if (l2->finder != NULL) {
        l2_finder_close(l2->finder);
    }
    if (l2->rights != NULL) {
        l2_rights_close(l2->rights);
    }
    l2_roof_close(&l2->roof);
    if (l2->wait_timer.data != NULL) {
        uv_close((uv_handle_t *)&l2->wait_timer, NULL);
    }
}

bool control_l2_is_reached(const struct control_l2 *l2)
{
    return link_state(l2->control) == LINK_READY;
}

void control_l2_leave(struct control_l2 *l2)
{
    coherence_leave(l2_coherence(l2)); /* the beat goes out at the end of this turn */
}

bool control_l2_has_left(const struct control_l2 *l2)
{
    return !control_l2_is_reached(l2) || coherence_has_left(l2_coherence(l2));
}

void control_l2_free(struct control_l2 *l2)
{
    if (l2 != NULL) {
        l2_finder_free(l2->finder);
        l2_rights_free(l2->rights);
        l2_modules_free(l2->modules);
        buf_done(&l2->scratch);
        free(l2);
    }
}

void control_l2_tick(struct control_l2 *l2, int64_t now_ms)
{
    if (l2->control == NULL) {
        return;
    }
    struct coherence *coherence = l2_coherence(l2);
    l2->now_ms = now_ms;
    struct namespaces *spaces = l2->node->namespaces;
    namespaces_allow_bounds(spaces, coherence_told_bound_ms(coherence));
    coherence_set_bounds(coherence, (uint32_t)namespaces_least_bound_ms(spaces),
                         (uint32_t)namespaces_most_bound_ms(spaces));
    if (link_state(l2->control) == LINK_CONNECTING || link_state(l2->control) == LINK_GREETING) {
        l2_finder_on_attempt(l2->finder);
    }
    l2_finder_tick(l2->finder, l2->now_ms);
    if (l2->moved) {
        l2_follow(l2);
    }
    l2_rights_tick(l2->rights, l2->now_ms);
    if (tiers_others_let_in(l2->node->tiers, &l2->let_in)) {
        link_poke(l2->control, l2->now_ms);
        link_poke(l2->bus, l2->now_ms);
    }
    link_tick(l2->control, l2->now_ms);
    link_tick(l2->bus, l2->now_ms);
    l2_close_dead_bus(l2);
    l2_close_wrong_link(l2);
    l2_tell_figures(l2);
    l2_modules_tick(l2->modules, l2->control, l2->now_ms);
    l2_bans_tick(l2->node->l2_bans, l2->control, l2->now_ms);
    l2_beat(l2);
    coherence_tick(coherence, l2->now_ms);
    l2_tell_doubts(l2);
    l2_events_look(&l2->events, l2->node, l2->now_ms);
}

static void l2_on_wait_due(uv_timer_t *timer)
{
    struct control_l2 *l2 = timer->data;
    l2_read_clock(l2);
    l2->wait_due_ms = 0; /* set anew in this turn */
    coherence_tick(l2_coherence(l2), l2->now_ms);
}

/* A deadline of 5 ms is not a tick of 50. */
static void l2_set_wait_timer(struct control_l2 *l2)
{
    const int64_t due_ms = coherence_wait_due_ms(l2_coherence(l2), l2->now_ms);
    if (due_ms == l2->wait_due_ms) {
        return;
    }
    l2->wait_due_ms = due_ms;
    if (due_ms == INT64_MAX) {
        (void)uv_timer_stop(&l2->wait_timer);
    } else {
        const int64_t in_ms = due_ms - l2->now_ms;
        CHECK(uv_timer_start(&l2->wait_timer, l2_on_wait_due, in_ms > 0 ? (uint64_t)in_ms : 0, 0) ==
              0);
    }
}

/* If it cannot be said, those who wait for its pong do so until their deadline. */
static void l2_ping(struct control_l2 *l2)
{
    l2->scratch.size = 0;
    if (coherence_ping(l2_coherence(l2), &l2->scratch) == OK) {
        (void)!link_say(l2->bus, buf_slice(&l2->scratch));
    }
}

/* Markers and PINGs that letters or the bus asked for in this turn leave with it. */
void control_l2_flush(struct control_l2 *l2)
{
    if (l2->control == NULL) {
        return;
    }
    l2_read_clock(l2);
    l2_bans_flush(l2->node->l2_bans, l2->control, l2->now_ms);
    l2_beat(l2);
    l2_replay(l2);
    l2_ping(l2);
    l2_roof_flush(&l2->roof);
    l2_set_wait_timer(l2);
}

enum status control_l2_ask(struct control_l2 *l2, struct link_request *request, struct slice bytes)
{
    return l2->control == NULL ? L2_DOWN : link_ask(l2->control, request, -1, bytes);
}

enum status control_l2_choose(struct control_l2 *l2, struct slice address, char error[])
{
    l2_read_clock(l2);
    return l2_finder_choose(l2->finder, address, l2->now_ms, error);
}

void control_l2_describe(const struct control_l2 *l2, struct l2_finder_description *ret)
{
    l2_finder_describe(l2->finder, ret);
}

struct l2_rights *control_l2_rights(struct control_l2 *l2)
{
    return l2->rights;
}

bool control_l2_was_up(const struct control_l2 *l2)
{
    return l2_modules_learned(l2->modules);
}
