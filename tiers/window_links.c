/* SPDX-License-Identifier: BSD-3-Clause */
/* window_links.c -- the links of a window: one for each protocol, which all its clients share, and its lines (line.h). */
#include "protocol/check.h"
#include "tiers/behind_desk.h"
#include "tiers/load.h"
#include "tiers/managed_write.h"
#include "tiers/window.h"

enum {
    KILL_WAIT_MIN_MS = 300
};

/* --- what links ask of their window ------------------------------------------------------------------------------- */

static const struct tiers_window *window_of(void *arg)
{
    return ((const struct window_seat *)arg)->window;
}

/* A worker's link must not accept a Redis that was rolled back behind what the node has seen. */
static uint64_t window_known_epoch(void *arg)
{
    return atomic_load_explicit(&window_of(arg)->view->known_epoch, memory_order_relaxed);
}

/* Asked by a link when it sends a check, so at most a few times per T. */
static struct epoch window_expected_epoch(void *arg)
{
    struct coherence_description seen;
    coherence_describe(tiers_coherence(window_of(arg)->options.tiers), &seen);
    return seen.epoch;
}

static void window_on_ready(struct link *link, void *arg, const struct beat_answer *answer)
{
    (void)link;
    (void)answer;
    tiers_let_in(window_of(arg)->options.tiers);
}

static bool window_is_newest(void *arg, uint64_t run, uint64_t counter)
{
    return coherence_is_newest(window_of(arg)->view, run, counter);
}

static void window_on_met(void *arg, const struct beat_answer *answer)
{
    coherence_meet(tiers_coherence(window_of(arg)->options.tiers), answer);
}

/* As long again as a write may take, but not less than what a reconnection takes: it begins with a tick. */
static int64_t window_kill_wait_ms(void *arg)
{
    const int64_t timeout_ms = window_of(arg)->read_timeout_ms;
    return timeout_ms > KILL_WAIT_MIN_MS ? timeout_ms : KILL_WAIT_MIN_MS;
}

struct link_options window_link_options(const struct tiers_window *window, int proto,
                                        struct window_seat *seat)
{
    const struct tiers_window_options *options = &window->options;
    return (struct link_options){
        .url = tiers_url(options->tiers),
        .proto = proto,
        .coherence_db = tiers_coherence_db(options->tiers),
        .node = tiers_node(options->tiers),
        .seed = options->seed + (uint64_t)proto,
        .metrics = options->metrics,
        .io = options->io,
        .on_ready = window_on_ready,
        .arg = seat,
        .known_epoch = window_known_epoch,
        .expected_epoch = window_expected_epoch,
        .on_met = window_on_met,
        .is_newest = window_is_newest,
        .kill_wait_ms = window_kill_wait_ms,
    };
}

/* --- the shared ones ------------------------------------------------------------------------------------------------ */

struct link *window_link(struct tiers_window *window, int proto)
{
    struct link **link = &window->links[proto == 3];
    if (*link == NULL && !window->ended) {
        const struct link_options options = window_link_options(window, proto, &window->seat);
        *link = link_new(&options);
        if (*link != NULL && window->now_ms != 0) {
            link_tick(*link, window->now_ms); /* connects now rather than at the next tick */
        }
    }
    return *link;
}

void tiers_window_end_links(struct tiers_window *window)
{
    CHECK_MAGIC(window, WINDOW_MAGIC);
    window->ended = true;
    flights_end_row(window);
    stream_hall_end(window);
    for (unsigned i = 0; i < 2; i++) {
        struct link *link = window->links[i];
        window->links[i] = NULL;
        link_free(link);
    }
    line_pool_end(window);
    managed_write_end(window);
    if (window->behind != NULL) {
        behind_desk_end(window->behind);
    }
    load_end(window);
}

void tiers_window_retarget(struct tiers_window *window, uint64_t run, int64_t now_ms)
{
    CHECK_MAGIC(window, WINDOW_MAGIC);
    const struct l2_url *url = tiers_url(window->options.tiers);
    for (unsigned i = 0; i < 2; i++) {
        struct link *link = window->links[i];
        if (link == NULL) {
            continue;
        }
        if (link_state(link) == LINK_READY && link_run(link) != run) {
            link_close(link, "L2 is another process now", now_ms);
        }
        if (link_state(link) != LINK_READY || link_url(link) != url) {
            link_go_to(link, url, 0, now_ms); /* the control link has just been let in there */
        }
        link_tick(link, now_ms);
    }
    line_pool_retarget(window, run, now_ms);
}

void window_links_tick(struct tiers_window *window, int64_t now_ms)
{
    const struct l2_url *url = tiers_url(window->options.tiers);
    const bool is_back = tiers_others_let_in(window->options.tiers, &window->let_in);
    for (unsigned i = 0; i < 2; i++) {
        struct link *link = window->links[i];
        if (link == NULL) {
            continue;
        }
        if (link_url(link) != url) {
            link_go_to(link, url, 0, now_ms);
        } else if (is_back) {
            link_poke(link, now_ms);
        }
        link_tick(link, now_ms);
    }
    line_pool_tick(window, now_ms);
}
