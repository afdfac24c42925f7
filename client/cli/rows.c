/* SPDX-License-Identifier: BSD-3-Clause */
#include "client/cli/rows.h"

#include <stdlib.h>
#include <string.h>

static const char *const sort_names[SCREEN_SORTS] = {"ops", "hits", "bytes", "name"};

const char *screen_sort_name(enum screen_sort sort)
{
    return sort_names[sort];
}

void screen_sum(const struct screen *screen, struct flow *ret_sum)
{
    *ret_sum = (struct flow){0};
    for (size_t i = 0; i < screen->node_count; i++) {
        struct flow flow;
        flow_between(screen->nodes[i].before, screen->nodes[i].now, &flow);
        flow_add(ret_sum, &flow);
    }
}

static double ratio(double part, double whole)
{
    return whole > 0 ? part / whole : 0;
}

static double grown(uint64_t before, uint64_t now)
{
    return now < before ? 0 : (double)(now - before);
}

static struct row *row_of(struct rows *rows, const struct sample_namespace *ns)
{
    for (size_t i = 0; i < rows->count; i++) {
        if (strcmp(rows->at[i].ns->name, ns->name) == 0) {
            return &rows->at[i];
        }
    }
    struct row *more = realloc(rows->at, (rows->count + 1) * sizeof *more);
    if (more == NULL) {
        return NULL;
    }
    rows->at = more;
    more[rows->count] = (struct row){.ns = ns};
    return &more[rows->count++];
}

static enum status rows_add_all(struct rows *rows, const struct screen *screen)
{
    for (size_t i = 0; i < screen->node_count; i++) {
        const struct sample *before = screen->nodes[i].before;
        const struct sample *now = screen->nodes[i].now;
        struct flow flow;
        flow_between(before, now, &flow);
        for (size_t j = 0; j < now->namespace_count; j++) {
            const struct sample_namespace *ns = &now->namespaces[j];
            const struct sample_namespace *old = sample_namespace(before, ns->name);
            struct row *row = row_of(rows, ns);
            if (row == NULL) {
                return NO_MEMORY;
            }
            row->items += (double)ns->items;
            row->bytes += (double)ns->bytes;
            row->bytes_max += (double)ns->bytes_max;
            if (flow.known && old != NULL) {
                row->ops += grown(old->ops, ns->ops) / flow.seconds;
                row->writes += grown(old->writes, ns->writes) / flow.seconds;
                row->hits += grown(old->hits, ns->hits) / flow.seconds;
                row->misses += grown(old->misses, ns->misses) / flow.seconds;
            }
        }
    }
    return OK;
}

static int by_name(const struct row *a, const struct row *b)
{
    return strcmp(a->ns->name, b->ns->name);
}

static int compare(const void *left, const void *right, void *arg)
{
    const struct row *a = left;
    const struct row *b = right;
    double first = 0;
    double second = 0;
    switch (*(const enum screen_sort *)arg) {
    case SCREEN_BY_OPS: first = a->ops, second = b->ops; break;
    case SCREEN_BY_HITS:
        first = ratio(a->hits, a->hits + a->misses), second = ratio(b->hits, b->hits + b->misses);
        break;
    case SCREEN_BY_BYTES: first = a->bytes, second = b->bytes; break;
    case SCREEN_BY_NAME:
    case SCREEN_SORTS: break;
    }
    return first == second ? by_name(a, b) : first < second ? 1 : -1;
}

enum status rows_read(struct rows *rows, const struct screen *screen)
{
    enum screen_sort sort = screen->sort;
    *rows = (struct rows){0};
    const enum status status = rows_add_all(rows, screen);
    if (rows->count > 0) {
        qsort_r(rows->at, rows->count, sizeof *rows->at, compare, &sort);
    }
    return status;
}

void rows_done(struct rows *rows)
{
    free(rows->at);
    *rows = (struct rows){0};
}
