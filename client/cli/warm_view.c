/* SPDX-License-Identifier: BSD-3-Clause */
#include "client/cli/warm_view.h"

#include <stdio.h>
#include <string.h>

static int64_t number(const struct tree *job, const char *name)
{
    return tree_number(tree_find(job, name), 0);
}

static struct slice text(const struct tree *job, const char *name)
{
    return tree_text(tree_find(job, name));
}

static enum tone state_tone(struct slice state)
{
    return slice_is(state, "done")                                     ? TONE_GOOD
           : slice_is(state, "failed")                                 ? TONE_BAD
           : slice_is(state, "cancelled") || slice_is(state, "paused") ? TONE_WARN
           : slice_is(state, "running")                                ? TONE_BOLD
                                                                       : TONE_NONE;
}

bool warm_view_is_done(const struct tree *job)
{
    return slice_is(text(job, "state"), "done");
}

bool warm_view_stands(const struct tree *job)
{
    return slice_is(text(job, "state"), "standing");
}

bool warm_view_has_ended(const struct tree *job)
{
    const struct slice state = text(job, "state");
    return slice_is(state, "done") || slice_is(state, "failed") || slice_is(state, "cancelled");
}

/* 0 to 1, or -1: nobody knows yet how many keys there are. */
static double share_of(const struct tree *job)
{
    const double total = (double)tree_number(tree_find(job, "total"), -1);
    const double processed = (double)number(job, "processed");
    if (warm_view_is_done(job)) {
        return 1;
    }
    return total < 0 ? -1 : total == 0 ? 0 : processed >= total ? 1 : processed / total;
}

static const char *share_text(char dst[FIGURE_MAX], const struct tree *job)
{
    const double share = share_of(job);
    if (share < 0) {
        return strcpy(dst, "-");
    }
    (void)snprintf(dst, FIGURE_MAX, "%d %%", (int)(share * 100)); /* 100 only when it is all */
    return dst;
}

static const char *eta_text(char dst[FIGURE_MAX], const struct tree *job)
{
    const int64_t eta_ms = tree_number(tree_find(job, "eta_ms"), -1);
    return eta_ms < 0 || warm_view_has_ended(job) ? strcpy(dst, "-")
                                                  : text_duration(dst, (double)eta_ms / 1000);
}

/* --- the table ----------------------------------------------------------------------------------------------------- */

void warm_view_columns(struct table *table)
{
    table_column(table, "JOB", true);
    table_column(table, "STATE", false);
    table_column(table, "SOURCE", false);
    table_column(table, "TARGET", false);
    table_column(table, "PRIORITY", true);
    table_column(table, "DONE", true);
    table_column(table, "LOADED", true);
    table_column(table, "FAILED", true);
    table_column(table, "KEYS/S", true);
    table_column(table, "ETA", true);
}

void warm_view_row(struct table *table, const struct tree *job)
{
    char figure[FIGURE_MAX];
    const struct slice state = text(job, "state");
    table_addf(table, TONE_BOLD, "%lld", (long long)number(job, "id"));
    table_add(table, state, state_tone(state));
    table_add(table, text(job, "source"), TONE_NONE);
    table_add(table, text(job, "target"), TONE_NONE);
    table_addf(table, TONE_NONE, "%lld", (long long)number(job, "priority"));
    table_addf(table, TONE_NONE, "%s", share_text(figure, job));
    table_addf(table, TONE_NONE, "%s", text_count(figure, (double)number(job, "loaded")));
    table_addf(table, number(job, "failed") > 0 ? TONE_WARN : TONE_NONE, "%s",
               text_count(figure, (double)number(job, "failed")));
    table_addf(table, TONE_NONE, "%s", text_count(figure, tree_real(tree_find(job, "rate"), 0)));
    table_addf(table, TONE_NONE, "%s", eta_text(figure, job));
}

/* --- a line -------------------------------------------------------------------------------------------------------- */

/* Nothing of none. */
static void put_count(struct pen *pen, double count, const char *what)
{
    char figure[FIGURE_MAX];
    if (count > 0) {
        pen_put(pen, TONE_NONE, ", %s%s", text_count(figure, count), what);
    }
}

void warm_view_line(struct pen *pen, const struct tree *job, unsigned bar)
{
    char done[FIGURE_MAX];
    char total[FIGURE_MAX];
    const struct slice state = text(job, "state");
    const double share = share_of(job);
    const int64_t most = tree_number(tree_find(job, "total"), -1);
    pen_put(pen, TONE_DIM, "job %lld ", (long long)number(job, "id"));
    pen_text(pen, state_tone(state), state);
    pen_put(pen, TONE_NONE, " ");
    if (bar > 0) {
        pen_put(pen, TONE_DIM, "[");
        const unsigned from = pen->column;
        pen_bar(pen, state_tone(state), share, bar);
        pen_to(pen, from + bar);
        pen_put(pen, TONE_DIM, "] ");
    }
    if (share >= 0) {
        pen_put(pen, TONE_NONE, "%s, ", share_text(done, job));
    }
    (void)text_count(done, (double)number(job, "processed"));
    if (most < 0) {
        pen_put(pen, TONE_NONE, "%s keys", done);
    } else {
        pen_put(pen, TONE_NONE, "%s of %s keys", done, text_count(total, (double)most));
    }
    put_count(pen, (double)number(job, "loaded"), " loaded");
    put_count(pen, (double)number(job, "failed"), " failed");
    if (!warm_view_has_ended(job)) {
        put_count(pen, tree_real(tree_find(job, "rate"), 0), "/s");
        if (tree_number(tree_find(job, "eta_ms"), -1) >= 0) {
            pen_put(pen, TONE_NONE, ", %s left", eta_text(done, job));
        }
    } else if (text(job, "error").size > 0) {
        pen_put(pen, TONE_NONE, ": ");
        pen_text(pen, TONE_NONE, text(job, "error"));
    }
}

/* --- all that is known --------------------------------------------------------------------------------------------- */

static void put_field(struct pen *pen, const char *name)
{
    pen_put(pen, TONE_DIM, "%s", name);
    pen_to(pen, 12);
}

static void put_ago(struct pen *pen, const char *name, int64_t at_ms, int64_t now_ms)
{
    char figure[FIGURE_MAX];
    if (at_ms > 0) {
        const int64_t ago_ms = now_ms > at_ms ? now_ms - at_ms : at_ms - now_ms;
        put_field(pen, name);
        pen_put(pen, TONE_NONE, at_ms > now_ms ? "in %s" : "%s ago",
                text_duration(figure, (double)ago_ms / 1000));
        pen_line(pen);
    }
}

static void put_text(struct pen *pen, const char *name, struct slice value)
{
    if (value.size > 0) {
        put_field(pen, name);
        pen_text(pen, TONE_NONE, value);
        pen_line(pen);
    }
}

static void put_figures(struct pen *pen, const struct tree *job)
{
    static const char *const names[] = {"loaded", "skipped", "absent", "failed"};
    char figure[FIGURE_MAX];
    put_field(pen, "keys");
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        pen_put(pen, TONE_NONE, "%s%s %s", i == 0 ? "" : ", ",
                text_count(figure, (double)number(job, names[i])), names[i]);
    }
    pen_line(pen);
    put_field(pen, "bytes");
    pen_put(pen, TONE_NONE, "%s", text_bytes(figure, (double)number(job, "bytes")));
    pen_line(pen);
}

static void put_settings(struct pen *pen, const struct tree *job)
{
    char figure[FIGURE_MAX];
    const struct slice mode = text(job, "mode");
    const struct slice target = text(job, "target");
    const int64_t limit = number(job, "rate_limit");
    put_field(pen, "how");
    pen_put(pen, TONE_NONE, "%.*s, target %.*s, db %lld, priority %lld (now %lld)%s",
            (int)mode.size, mode.data, (int)target.size, target.data, (long long)number(job, "db"),
            (long long)number(job, "priority"), (long long)number(job, "effective"),
            number(job, "dryrun") != 0 ? ", dry run" : "");
    if (limit > 0) {
        pen_put(pen, TONE_NONE, ", at most %s/s", text_count(figure, (double)limit));
    }
    pen_line(pen);
    put_text(pen, "schedule", text(job, "schedule"));
    if (text(job, "schedule").size > 0) {
        put_field(pen, "prevented");
        pen_put(pen, TONE_NONE, "%s misses", text_count(figure, (double)number(job, "prevented")));
        pen_line(pen);
    }
}

static enum status put_nodes(const struct tree *nodes, bool color, struct buf *to)
{
    static const char *const names[] = {"done", "loaded", "skipped", "absent", "failed"};
    struct table table = {0};
    char figure[FIGURE_MAX];
    table_column(&table, "NODE", false);
    table_column(&table, "ADDRESS", false);
    table_column(&table, "KEYS", true);
    table_column(&table, "LOADED", true);
    table_column(&table, "SKIPPED", true);
    table_column(&table, "ABSENT", true);
    table_column(&table, "FAILED", true);
    table_column(&table, "KEYS/S", true);
    table_column(&table, "YIELDS", true);
    for (size_t i = 0; nodes != NULL && i < nodes->count; i++) {
        const struct tree *node = tree_at(nodes, i);
        table_add(&table, text(node, "node"), TONE_DIM);
        table_add(&table, text(node, "address"), TONE_NONE);
        for (size_t j = 0; j < sizeof names / sizeof names[0]; j++) {
            table_addf(&table, TONE_NONE, "%s", text_count(figure, (double)number(node, names[j])));
        }
        table_addf(&table, TONE_NONE, "%s",
                   text_count(figure, tree_real(tree_find(node, "rate"), 0)));
        table_addf(&table, TONE_NONE, "%.0f %%",
                   100 * (1 - tree_real(tree_find(node, "yield"), 1)));
    }
    const enum status status = table_write(&table, color, to);
    table_done(&table);
    return status;
}

static enum status put_failures(const struct tree *failures, struct buf *to)
{
    enum status status = OK;
    for (size_t i = 0; failures != NULL && i < failures->count && status == OK; i++) {
        const struct tree *failure = tree_at(failures, i);
        status = buf_printf(to, "failed      ");
        status = status == OK ? text_append_shown(to, text(failure, "key")) : status;
        status = status == OK ? buf_printf(to, ": ") : status;
        status = status == OK ? text_append_shown(to, text(failure, "why")) : status;
        status = status == OK ? buf_append(to, "\n", 1) : status;
    }
    return status;
}

enum status warm_view_all(const struct tree *job, int64_t now_ms, bool color, struct buf *to)
{
    struct pen pen = {.to = to, .columns = 1u << 16, .color = color};
    put_field(&pen, "progress");
    warm_view_line(&pen, job, 0);
    pen_line(&pen);
    put_text(&pen, "source", text(job, "source"));
    put_figures(&pen, job);
    put_settings(&pen, job);
    put_ago(&pen, "submitted", number(job, "submitted_at_ms"), now_ms);
    put_ago(&pen, "started", number(job, "started_at_ms"), now_ms);
    put_ago(&pen, "ended", number(job, "ended_at_ms"), now_ms);
    put_ago(&pen, "deadline", number(job, "deadline_at_ms"), now_ms);
    put_ago(&pen, "next", number(job, "next_at_ms"), now_ms);
    const struct tree *nodes = tree_find(job, "nodes");
    enum status status = pen.failed ? NO_MEMORY : OK;
    if (status == OK && nodes != NULL && nodes->count > 0) {
        status = put_nodes(nodes, color, to);
    }
    return status == OK ? put_failures(tree_find(job, "failures"), to) : status;
}
