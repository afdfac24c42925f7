/* SPDX-License-Identifier: BSD-3-Clause */
/* LATENCY. */
#include "server/call.h"
#include "server/commands.h"
#include "server/histogram.h"
#include "server/latency.h"
#include "server/learned.h"
#include "server/node.h"
#include "server/worker.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void cmd_latency_latest(struct call *call)
{
    const char *events[LATENCY_EVENTS_MAX];
    struct latency_series found[LATENCY_EVENTS_MAX];
    size_t names = latency_events(call->node->latency, events);
    size_t count = 0;
    for (size_t i = 0; i < names; i++) { /* one may be reset meanwhile */
        count += latency_read(call->node->latency, slice_of(events[i]), &found[count]);
    }
    reply_array(call->reply, count);
    for (size_t i = 0; i < count; i++) {
        const struct latency_sample *last = &found[i].samples[found[i].count - 1];
        reply_array(call->reply, 4);
        reply_bulk_text(call->reply, found[i].event);
        reply_integer(call->reply, last->unix_s);
        reply_integer(call->reply, (int64_t)last->ms);
        reply_integer(call->reply, (int64_t)found[i].worst_ms);
    }
}

void cmd_latency_history(struct call *call)
{
    struct latency_series series = {0};
    (void)latency_read(call->node->latency, call->argv[2], &series); /* unknown: none */
    reply_array(call->reply, series.count);
    for (size_t i = 0; i < series.count; i++) {
        reply_array(call->reply, 2);
        reply_integer(call->reply, series.samples[i].unix_s);
        reply_integer(call->reply, (int64_t)series.samples[i].ms);
    }
}

void cmd_latency_reset(struct call *call)
{
    size_t count = 0;
    if (call->argc == 2) {
        count = latency_reset(call->node->latency, (struct slice){NULL, 0});
    }
    for (uint32_t i = 2; i < call->argc; i++) {
        if (call->argv[i].size > 0) { /* an empty name may have no address, which would mean all */
            count += latency_reset(call->node->latency, call->argv[i]);
        }
    }
    reply_integer(call->reply, (int64_t)count);
}

/* --- GRAPH ------------------------------------------------------------------------------------------------------- */

enum {
    GRAPH_COLUMNS = 80,
    GRAPH_ROWS = 8,
    LABEL_SIZE = 16
};

/* One column per sample, the newest on the right; below it how long ago, in its largest unit, read downwards. */
struct graph {
    const struct latency_series *series;
    size_t first;
    size_t columns;
    uint64_t low_ms;
    uint64_t high_ms;
};

static struct graph graph_of(const struct latency_series *series)
{
    struct graph graph = {.series = series, .low_ms = UINT64_MAX};
    graph.columns = series->count < GRAPH_COLUMNS ? series->count : GRAPH_COLUMNS;
    graph.first = series->count - graph.columns;
    for (size_t i = graph.first; i < series->count; i++) {
        uint64_t ms = series->samples[i].ms;
        graph.low_ms = ms < graph.low_ms ? ms : graph.low_ms;
        graph.high_ms = ms > graph.high_ms ? ms : graph.high_ms;
    }
    return graph;
}

static void age_label(char label[LABEL_SIZE], int64_t age_s)
{
    static const struct {
        int64_t seconds;
        char unit;
    } units[] = {{86400, 'd'}, {3600, 'h'}, {60, 'm'}, {1, 's'}};
    size_t i = 0;
    age_s = age_s < 0 ? 0 : age_s > 999 * 86400 ? 999 * 86400 : age_s;
    while (i < 3 && age_s < units[i].seconds) {
        i++;
    }
    (void)snprintf(label, LABEL_SIZE, "%d%c", (int)(age_s / units[i].seconds), units[i].unit);
}

static enum status graph_bars(const struct graph *graph, struct buf *text)
{
    enum status status = OK;
    uint64_t span_ms = graph->high_ms - graph->low_ms + 1;
    for (int row = GRAPH_ROWS; row >= 1 && status == OK; row--) {
        char line[GRAPH_COLUMNS + 1];
        for (size_t i = 0; i < graph->columns; i++) {
            uint64_t above_ms = graph->series->samples[graph->first + i].ms - graph->low_ms;
            int height = 1 + (int)((double)above_ms * GRAPH_ROWS / (double)span_ms);
            line[i] = height == row ? '#' : height > row ? '|' : ' ';
        }
        line[graph->columns] = '\n';
        status = buf_append(text, line, graph->columns + 1);
    }
    return status;
}

static enum status graph_ages(const struct graph *graph, int64_t now_s, struct buf *text)
{
    char lines[4][GRAPH_COLUMNS + 1];
    enum status status = OK;
    memset(lines, ' ', sizeof(lines));
    for (size_t i = 0; i < graph->columns; i++) {
        char label[LABEL_SIZE];
        age_label(label, now_s - graph->series->samples[graph->first + i].unix_s);
        for (size_t row = 0; row < 4 && label[row] != '\0'; row++) {
            lines[row][i] = label[row];
        }
    }
    for (size_t row = 0; row < 4 && status == OK; row++) {
        lines[row][graph->columns] = '\n';
        status = buf_append(text, lines[row], graph->columns + 1);
    }
    return status;
}

void cmd_latency_graph(struct call *call)
{
    struct latency_series series;
    struct buf text = {0};
    if (!latency_read(call->node->latency, call->argv[2], &series)) {
        int shown = call->argv[2].size > 900 ? 900 : (int)call->argv[2].size;
        reply_errorf(call->reply, "ERR No samples available for event '%.*s'", shown,
                     call->argv[2].data);
        return;
    }
    struct graph graph = graph_of(&series);
    enum status status = buf_printf(
        &text,
        "%s - high %" PRIu64 " ms, low %" PRIu64 " ms (all time high %" PRIu64 " ms)\n"
        "--------------------------------------------------------------------------------\n",
        series.event, graph.high_ms, graph.low_ms, series.worst_ms);
    if (status == OK) {
        status = graph_bars(&graph, &text);
    }
    if (status == OK) {
        status = graph_ages(&graph, call->now_ms / 1000, &text);
    }
    if (status == OK) {
        reply_verbatim(call->reply, buf_slice(&text));
    } else {
        reply_out_of_memory(call->reply);
    }
    buf_done(&text);
}

/* --- DOCTOR ------------------------------------------------------------------------------------------------------ */

static enum status doctor_event(const struct latency_series *series, int number, struct buf *text)
{
    uint64_t sum_ms = 0;
    for (size_t i = 0; i < series->count; i++) {
        sum_ms += series->samples[i].ms;
    }
    int64_t span_s = series->samples[series->count - 1].unix_s - series->samples[0].unix_s;
    return buf_printf(text,
                      "%d. %s: %zu latency spikes (average %" PRIu64 "ms, period %.2f sec). "
                      "Worst all time event %" PRIu64 "ms.\n",
                      number, series->event, series->count, sum_ms / series->count,
                      (double)span_s / (double)series->count, series->worst_ms);
}

static enum status doctor(struct call *call, struct buf *text)
{
    const char *events[LATENCY_EVENTS_MAX];
    struct latency_series series;
    size_t count = latency_events(call->node->latency, events);
    enum status status = OK;
    int number = 0;
    if (atomic_load(&call->node->live.latency_threshold_ms) == 0) {
        return buf_printf(text, "Latency monitoring is off on this node. Turn it on with "
                                "\"CONFIG SET latency-monitor-threshold <milliseconds>\".\n");
    }
    for (size_t i = 0; i < count && status == OK; i++) {
        if (latency_read(call->node->latency, slice_of(events[i]), &series)) {
            status = doctor_event(&series, ++number, text);
        }
    }
    if (status == OK && number == 0) {
        return buf_printf(
            text, "No latency spike was observed on this node since it started or was reset.\n");
    }
    if (status == OK) {
        status = buf_printf(
            text, "\nWhat to look at:\n"
                  "- SLOWLOG GET shows which commands were slow, with their arguments.\n"
                  "- With an L2, time spent there counts: see l2_state in INFO l2.\n"
                  "- Very large values keep a loop busy: MEMORY USAGE shows the size of a key.\n");
    }
    return status;
}

void cmd_latency_doctor(struct call *call)
{
    struct buf text = {0};
    if (doctor(call, &text) == OK) {
        reply_verbatim(call->reply, buf_slice(&text));
    } else {
        reply_out_of_memory(call->reply);
    }
    buf_done(&text);
}

/* --- HISTOGRAM --------------------------------------------------------------------------------------------------- */

/* One command as Redis shows it: how many calls took at most 1, 2, 4 ... microseconds, steps without a call left out. */
static void histogram_reply(struct reply *reply, const struct command *command,
                            const struct histogram *histogram)
{
    uint64_t calls = 0;
    reply_bulk_text(reply, command->full_name);
    reply_map(reply, 2);
    reply_bulk_text(reply, "calls");
    reply_integer(reply, (int64_t)histogram->calls);
    reply_bulk_text(reply, "histogram_usec");
    reply_map(reply, histogram->filled);
    for (unsigned i = 0; i < COMMAND_DURATIONS; i++) {
        calls += histogram->durations[i];
        if (histogram->durations[i] > 0) {
            reply_integer(reply, (int64_t)1 << i);
            reply_integer(reply, (int64_t)calls);
        }
    }
}

/* Whether the call names the command or its container; without names, all are meant. */
static bool histogram_wanted(const struct call *call, const char *full_name)
{
    const struct slice container = {full_name, strcspn(full_name, "|")};
    bool wanted = call->argc == 2;
    for (uint32_t i = 2; i < call->argc; i++) {
        wanted = wanted || slice_is_nocase(call->argv[i], full_name) ||
                 slice_equal_nocase(call->argv[i], container);
    }
    return wanted;
}

/* The first walk notes what is wanted and was called, by index, and counts it; the second answers just that, since other
 * workers go on counting meanwhile. */
static size_t histogram_walk(struct call *call, bool *called, bool answer)
{
    size_t count = 0;
    struct learned_walk walk = {0};
    struct command command;
    while (learned_next(call->node->learned, &walk, &command)) {
        struct histogram histogram;
        histogram_read(call->node, &command, &histogram);
        if (answer && called[command.index]) {
            histogram_reply(call->reply, &command, &histogram);
        } else if (!answer) {
            called[command.index] =
                histogram.calls > 0 && histogram_wanted(call, command.full_name);
            count += called[command.index];
        }
    }
    return count;
}

void cmd_latency_histogram(struct call *call)
{
    bool *called = calloc(command_count() + LEARNED_NUMBERS, sizeof(*called));
    if (called == NULL) {
        reply_out_of_memory(call->reply);
        return;
    }
    reply_map(call->reply, histogram_walk(call, called, false));
    (void)histogram_walk(call, called, true);
    free(called);
}

void cmd_latency_help(struct call *call)
{
    static const char *const lines[] = {
        "DOCTOR",
        "    Return what can be said about the samples, in words.",
        "GRAPH <event>",
        "    Draw the samples of <event>.",
        "HISTOGRAM [COMMAND ...]",
        "    How many calls of these commands, or of all, took how many microseconds.",
        "HISTORY <event>",
        "    Return time and milliseconds of the samples of <event>.",
        "LATEST",
        "    Return the latest sample and the all-time worst of every event.",
        "RESET [<event> ...]",
        "    Forget the samples of these events, or of all.",
    };
    reply_help(call->reply, "LATENCY", lines, sizeof(lines) / sizeof(lines[0]));
}
