/* SPDX-License-Identifier: BSD-3-Clause */
#include "client/cli/screen.h"

#include "client/cli/pen.h"
#include "client/cli/rows.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static double ratio(double part, double whole)
{
    return whole > 0 ? part / whole : 0;
}

/* --- the head ------------------------------------------------------------------------------------------------------ */

static void draw_head(struct pen *pen, const struct screen *screen)
{
    struct tm local;
    char clock[16];
    char interval[FIGURE_MAX];
    const time_t seconds = (time_t)(screen->wall_us / 1000000);
    size_t up = 0;
    for (size_t i = 0; i < screen->node_count; i++) {
        up += screen->nodes[i].now->reachable;
    }
    (void)localtime_r(&seconds, &local);
    (void)strftime(clock, sizeof clock, "%H:%M:%S", &local);
    pen_put(pen, TONE_TITLE, "terrace top");
    pen_put(pen, up == screen->node_count ? TONE_NONE : TONE_BAD, "   %zu of %zu nodes", up,
            screen->node_count);
    pen_put(pen, TONE_NONE, "   %s   every %s", clock,
            text_duration(interval, (double)screen->interval_ms / 1000));
    if (screen->held) {
        pen_put(pen, TONE_WARN, "   HELD");
    }
    if (screen->is_live) {
        pen_put(pen, TONE_DIM, "   q ends, space holds, s sorts, +/-");
    }
    pen_line(pen);
    pen_line(pen);
}

/* --- flow ---------------------------------------------------------------------------------------------------------- */

enum {
    FLOW_RATE_COLUMN = 28,
    FLOW_SHARE_COLUMN = 38,
    FLOW_BAR_COLUMN = 40,
    FLOW_BAR_WIDTH = 24,
    HOT_RATE = 53,
    HOT_ROOM = 8 /* lines that hot keys leave for others */
};

static void draw_tier(struct pen *pen, const char *name, enum tone tone, double rate, double whole,
                      const char *more)
{
    char figure[FIGURE_MAX];
    pen_put(pen, TONE_NONE, " %s", name);
    pen_right(pen, FLOW_RATE_COLUMN, TONE_BOLD, text_count(figure, rate));
    (void)snprintf(figure, sizeof figure, "%.1f %%", 100 * ratio(rate, whole));
    pen_right(pen, FLOW_SHARE_COLUMN, TONE_NONE, figure);
    pen_to(pen, FLOW_BAR_COLUMN);
    pen_bar(pen, tone, ratio(rate, whole), FLOW_BAR_WIDTH);
    if (more[0] != '\0') {
        pen_to(pen, FLOW_BAR_COLUMN + FLOW_BAR_WIDTH + 1);
        pen_put(pen, TONE_DIM, "%s", more);
    }
    pen_line(pen);
}

/* What clients keep themselves (L0) a node knows by what they tell it, and by whom it has to tell of changes. */
static void near_text(const struct screen *screen, char *dst, size_t room)
{
    uint64_t clients = 0;
    uint64_t keys = 0;
    char figure[FIGURE_MAX];
    for (size_t i = 0; i < screen->node_count; i++) {
        clients += screen->nodes[i].now->tracking_clients;
        keys += screen->nodes[i].now->tracked_keys;
    }
    (void)snprintf(dst, room, "%llu clients keep %s keys", (unsigned long long)clients,
                   text_count(figure, (double)keys));
}

/* Nothing if nothing is warmed. Each node knows all jobs; they hold back each by itself. */
static void draw_warming(struct pen *pen, const struct screen *screen, double warmed)
{
    uint64_t jobs = 0;
    double yield = 1;
    char figure[FIGURE_MAX];
    for (size_t i = 0; i < screen->node_count; i++) {
        const struct sample *now = screen->nodes[i].now;
        jobs = now->warm_jobs > jobs ? now->warm_jobs : jobs;
        yield = now->reachable && now->warm_yield < yield ? now->warm_yield : yield;
    }
    if (jobs == 0 && warmed <= 0) {
        return;
    }
    pen_put(pen, TONE_NONE, " warming %llu %s, %s keys/s", (unsigned long long)jobs,
            jobs == 1 ? "job" : "jobs", text_count(figure, warmed));
    if (yield < 1) {
        pen_put(pen, TONE_WARN, "   held back for clients by %.0f %%", 100 * (1 - yield));
    }
    pen_line(pen);
}

static void draw_flow(struct pen *pen, const struct screen *screen, const struct flow *flow)
{
    const struct flow_rates *rates = &flow->rates;
    const double whole = rates->near_hits + rates->l1_hits + rates->l2_reads + rates->coalesced;
    char near[64];
    char shared[64];
    char figure[FIGURE_MAX];
    char other[FIGURE_MAX];
    near_text(screen, near, sizeof near);
    (void)snprintf(shared, sizeof shared, "%s/s shared with another",
                   text_count(figure, rates->coalesced));
    pen_put(pen, TONE_BOLD, "READS FROM");
    pen_right(pen, FLOW_RATE_COLUMN, TONE_BOLD, "per second");
    pen_right(pen, FLOW_SHARE_COLUMN, TONE_BOLD, "share");
    pen_line(pen);
    draw_tier(pen, "L0  in the clients", TONE_GOOD, rates->near_hits, whole, near);
    draw_tier(pen, "L1  in the nodes", TONE_GOOD, rates->l1_hits, whole, "");
    draw_tier(pen, "L2  Redis", TONE_WARN, rates->l2_reads + rates->coalesced, whole, shared);
    pen_put(pen, TONE_NONE, " hits %.1f %%", 100 * ratio(rates->near_hits + rates->l1_hits, whole));
    pen_put(pen, TONE_NONE, "   all commands %s/s", text_count(figure, rates->commands));
    pen_put(pen, TONE_NONE, "   passed on to L2 %s/s", text_count(figure, rates->relayed));
    pen_put(pen, rates->errors > 0 ? TONE_BAD : TONE_NONE, "   errors %s/s",
            text_count(figure, rates->errors));
    pen_put(pen, rates->stale_served > 0 ? TONE_WARN : TONE_NONE, "   stale %s/s",
            text_count(figure, rates->stale_served));
    pen_line(pen);
    pen_put(pen, TONE_NONE, " in %s/s, out %s/s", text_bytes(figure, rates->bytes_in),
            text_bytes(other, rates->bytes_out));
    pen_put(pen, TONE_NONE, "   invalidated %s/s", text_count(figure, rates->invalidations));
    pen_put(pen, TONE_NONE, "   evicted %s/s", text_count(figure, rates->evictions));
    pen_line(pen);
    draw_warming(pen, screen, rates->warmed);
    pen_line(pen);
}

/* --- latency ------------------------------------------------------------------------------------------------------- */

static void draw_durations(struct pen *pen, const char *name,
                           const struct sample_durations *durations, double seconds)
{
    static const double shares[] = {0.5, 0.9, 0.99, 0.999};
    char figure[FIGURE_MAX];
    pen_put(pen, TONE_NONE, " %s", name);
    pen_right(pen, 20, TONE_NONE, text_count(figure, ratio((double)durations->calls, seconds)));
    for (unsigned i = 0; i < sizeof shares / sizeof shares[0]; i++) {
        const double us = durations_quantile_us(durations, shares[i]);
        pen_right(pen, 30 + 10 * i, TONE_NONE,
                  durations->calls == 0 ? "-" : text_duration(figure, us / 1e6));
    }
    pen_line(pen);
}

static void draw_latency(struct pen *pen, const struct flow *flow)
{
    static const char *const titles[] = {"p50", "p90", "p99", "p99.9"};
    pen_put(pen, TONE_BOLD, "TIME IN THE NODE");
    pen_right(pen, 20, TONE_BOLD, "/s");
    for (unsigned i = 0; i < sizeof titles / sizeof titles[0]; i++) {
        pen_right(pen, 30 + 10 * i, TONE_BOLD, titles[i]);
    }
    pen_put(pen, TONE_DIM, "  at most");
    pen_line(pen);
    draw_durations(pen, "reads", &flow->reads, flow->seconds);
    draw_durations(pen, "writes", &flow->writes, flow->seconds);
    pen_line(pen);
}

/* --- nodes --------------------------------------------------------------------------------------------------------- */

static enum tone state_tone(const char *state)
{
    const bool is_good = strcmp(state, "SYNCED") == 0 || strcmp(state, "ALONE") == 0;
    const bool is_poor = strcmp(state, "CATCHUP") == 0 || strcmp(state, "SUSPECT") == 0;
    return is_good                      ? TONE_GOOD
           : is_poor                    ? TONE_WARN
           : strcmp(state, "LEFT") == 0 ? TONE_DIM
                                        : TONE_BAD;
}

/* Columns of the table of nodes end here. */
enum {
    NODE_STATE = 23,
    NODE_RATE = 43,
    NODE_HITS = 51,
    NODE_CPU = 58,
    NODE_CLIENTS = 67,
    NODE_MEMORY = 88,
    NODE_L2 = 90
};

static void draw_node(struct pen *pen, const struct screen_node *node)
{
    const struct sample *now = node->now;
    struct flow flow;
    char figure[FIGURE_MAX];
    char most[FIGURE_MAX];
    char text[64];
    pen_put(pen, TONE_NONE, " %.21s", node->address);
    pen_to(pen, NODE_STATE);
    if (!now->reachable) {
        pen_put(pen, TONE_BAD, now->refused ? "REFUSED" : "UNREACHABLE");
        pen_put(pen, TONE_NONE, "  %s", now->error);
        pen_line(pen);
        return;
    }
    flow_between(node->before, now, &flow);
    pen_put(pen, state_tone(now->coherence), "%s", now->coherence);
    pen_right(pen, NODE_RATE, TONE_NONE,
              flow.known ? text_count(figure, flow.rates.commands) : "-");
    (void)snprintf(text, sizeof text, "%.1f %%",
                   100 * ratio(flow.rates.l1_hits, flow.rates.l1_hits + flow.rates.l1_misses));
    pen_right(pen, NODE_HITS, TONE_NONE, flow.known ? text : "-");
    (void)snprintf(text, sizeof text, "%.0f %%", 100 * flow.rates.cpu);
    pen_right(pen, NODE_CPU, TONE_NONE, flow.known ? text : "-");
    (void)snprintf(text, sizeof text, "%llu", (unsigned long long)now->clients);
    pen_right(pen, NODE_CLIENTS, TONE_NONE, text);
    (void)snprintf(text, sizeof text, "%s of %s", text_bytes(figure, (double)now->used),
                   text_bytes(most, (double)now->used_max));
    pen_right(pen, NODE_MEMORY, TONE_NONE, text);
    pen_to(pen, NODE_L2);
    pen_put(pen, strcmp(now->l2, "up") == 0 || strcmp(now->l2, "none") == 0 ? TONE_NONE : TONE_BAD,
            "%s", now->l2);
    if (now->echo_ms >= 0 && strcmp(now->l2, "up") == 0) {
        pen_put(pen, TONE_NONE, " %s",
                now->echo_ms == 0 ? "<1ms" : text_duration(figure, (double)now->echo_ms / 1000));
    }
    pen_line(pen);
}

/* Of the nodes that are asked, the address they announce, so that none is shown twice. */
static bool is_asked(const struct screen *screen, const char *address)
{
    for (size_t i = 0; i < screen->node_count; i++) {
        const struct sample *now = screen->nodes[i].now;
        if (strcmp(screen->nodes[i].address, address) == 0) {
            return true;
        }
        for (size_t j = 0; j < now->peer_count; j++) {
            if (now->peers[j].is_self && strcmp(now->peers[j].address, address) == 0) {
                return true;
            }
        }
    }
    return false;
}

/* Nodes that are not asked themselves: as the first one that answers hears them. */
static void draw_peers(struct pen *pen, const struct screen *screen)
{
    const struct sample *teller = NULL;
    for (size_t i = 0; i < screen->node_count && teller == NULL; i++) {
        teller = screen->nodes[i].now->reachable ? screen->nodes[i].now : NULL;
    }
    for (size_t i = 0; teller != NULL && i < teller->peer_count; i++) {
        const struct sample_peer *peer = &teller->peers[i];
        char figure[FIGURE_MAX];
        if (is_asked(screen, peer->address)) {
            continue;
        }
        pen_put(pen, TONE_DIM, " %.21s", peer->address);
        pen_to(pen, NODE_STATE);
        pen_put(pen, state_tone(peer->state), "%s", peer->state);
        (void)snprintf(figure, sizeof figure, "%.1f %%", 100 * peer->hit_ratio);
        pen_right(pen, NODE_HITS, TONE_DIM, figure);
        (void)snprintf(figure, sizeof figure, "%lld", (long long)peer->clients);
        pen_right(pen, NODE_CLIENTS, TONE_DIM, figure);
        pen_put(pen, TONE_DIM, "  heard %s ago, not asked",
                text_duration(figure, (double)peer->heard_ms / 1000));
        pen_line(pen);
    }
}

static void draw_nodes(struct pen *pen, const struct screen *screen)
{
    pen_put(pen, TONE_BOLD, "NODES");
    pen_to(pen, NODE_STATE);
    pen_put(pen, TONE_BOLD, "STATE");
    pen_right(pen, NODE_RATE, TONE_BOLD, "/s");
    pen_right(pen, NODE_HITS, TONE_BOLD, "HITS");
    pen_right(pen, NODE_CPU, TONE_BOLD, "CPU");
    pen_right(pen, NODE_CLIENTS, TONE_BOLD, "CLIENTS");
    pen_right(pen, NODE_MEMORY, TONE_BOLD, "L1 MEMORY");
    pen_to(pen, NODE_L2);
    pen_put(pen, TONE_BOLD, "L2");
    pen_line(pen);
    for (size_t i = 0; i < screen->node_count; i++) {
        draw_node(pen, &screen->nodes[i]);
    }
    draw_peers(pen, screen);
    pen_line(pen);
}

/* --- hot keys ------------------------------------------------------------------------------------------------------ */

static int hot_compare(const void *left, const void *right)
{
    const struct sample_hot *a = left;
    const struct sample_hot *b = right;
    return a->per_s < b->per_s ? 1 : a->per_s > b->per_s ? -1 : strcmp(a->key, b->key);
}

size_t screen_hot(const struct screen *screen, struct sample_hot *hot)
{
    size_t count = 0;
    for (size_t i = 0; i < screen->node_count; i++) {
        const struct sample *now = screen->nodes[i].now;
        for (size_t j = 0; j < now->hot_count; j++) {
            size_t at = 0;
            while (at < count && strcmp(hot[at].key, now->hot[j].key) != 0) {
                at++;
            }
            if (at < count) {
                hot[at].per_s += now->hot[j].per_s;
            } else if (count < SCREEN_HOT_MAX) {
                hot[count++] = now->hot[j];
            }
        }
    }
    qsort(hot, count, sizeof *hot, hot_compare);
    return count < SAMPLE_HOT_MAX ? count : SAMPLE_HOT_MAX;
}

/* Where there is room for namespaces, too. */
static void draw_hot(struct pen *pen, const struct screen *screen)
{
    struct sample_hot hot[SCREEN_HOT_MAX];
    char figure[FIGURE_MAX];
    const size_t count = screen_hot(screen, hot);
    if (count == 0 || pen_lines_left(pen) < count + HOT_ROOM) {
        return;
    }
    pen_put(pen, TONE_BOLD, "HOT KEYS");
    pen_right(pen, HOT_RATE, TONE_BOLD, "READS/S");
    pen_line(pen);
    for (size_t i = 0; i < count; i++) {
        pen_put(pen, TONE_NONE, " %s", hot[i].key);
        pen_right(pen, HOT_RATE, TONE_NONE, text_count(figure, hot[i].per_s));
        pen_line(pen);
    }
    pen_line(pen);
}

/* --- namespaces ---------------------------------------------------------------------------------------------------- */

static void draw_row(struct pen *pen, const struct row *row)
{
    char figure[FIGURE_MAX];
    char most[FIGURE_MAX];
    char text[64];
    pen_put(pen, TONE_NONE, " %.21s", row->ns->name);
    pen_right(pen, 32, TONE_NONE, text_count(figure, row->ops));
    pen_right(pen, 43, TONE_NONE, text_count(figure, row->writes));
    (void)snprintf(text, sizeof text, "%.1f %%", 100 * ratio(row->hits, row->hits + row->misses));
    pen_right(pen, 51, TONE_NONE, row->hits + row->misses > 0 ? text : "-");
    pen_right(pen, 61, TONE_NONE, text_count(figure, row->items));
    (void)snprintf(text, sizeof text, "%s of %s", text_bytes(figure, row->bytes),
                   text_bytes(most, row->bytes_max));
    pen_right(pen, NODE_MEMORY, TONE_NONE, text);
    pen_to(pen, NODE_L2);
    pen_put(pen, TONE_DIM, "%s, %s", row->ns->mode, row->ns->policy);
    pen_line(pen);
}

static enum status draw_namespaces(struct pen *pen, const struct screen *screen)
{
    struct rows rows = {0};
    const enum screen_sort sort = screen->sort;
    const enum status status = rows_read(&rows, screen);
    pen_put(pen, TONE_BOLD, "NAMESPACES");
    pen_right(pen, 32, sort == SCREEN_BY_OPS ? TONE_TITLE : TONE_BOLD, "OPS/S");
    pen_right(pen, 43, TONE_BOLD, "WRITES/S");
    pen_right(pen, 51, sort == SCREEN_BY_HITS ? TONE_TITLE : TONE_BOLD, "HITS");
    pen_right(pen, 61, TONE_BOLD, "ITEMS");
    pen_right(pen, NODE_MEMORY, sort == SCREEN_BY_BYTES ? TONE_TITLE : TONE_BOLD, "L1 MEMORY");
    pen_put(pen, TONE_DIM, "   by %s", screen_sort_name(sort));
    pen_line(pen);
    for (size_t i = 0; i < rows.count; i++) {
        if (pen_lines_left(pen) == 1 && i + 1 < rows.count) {
            pen_put(pen, TONE_DIM, " and %zu more", rows.count - i);
            break;
        }
        draw_row(pen, &rows.at[i]);
    }
    rows_done(&rows);
    return status;
}

/* --- all ----------------------------------------------------------------------------------------------------------- */

enum status screen_draw(const struct screen *screen, struct buf *to)
{
    struct pen pen = {.to = to,
                      .rows = screen->is_live ? screen->rows : 0,
                      .columns = screen->columns,
                      .is_live = screen->is_live,
                      .color = screen->color,
                      .utf8 = screen->utf8};
    struct flow sum;
    screen_sum(screen, &sum);
    if (screen->is_live && buf_append(to, "\x1b[H", 3) != OK) {
        return NO_MEMORY;
    }
    draw_head(&pen, screen);
    draw_flow(&pen, screen, &sum);
    draw_latency(&pen, &sum);
    draw_nodes(&pen, screen);
    draw_hot(&pen, screen);
    enum status status = draw_namespaces(&pen, screen);
    if (status == OK && screen->is_live) {
        status = buf_append(to, "\x1b[K\x1b[J", 6);
    }
    return pen.failed ? NO_MEMORY : status;
}
