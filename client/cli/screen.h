/* SPDX-License-Identifier: BSD-3-Clause */
/* screen.h -- what `terrace top` shows: a pure function of two looks at each node.
 *
 * Units:   as sample.h. */
#ifndef TERRACE_CLIENT_CLI_SCREEN_H
#define TERRACE_CLIENT_CLI_SCREEN_H

#include "client/cli/sample.h"

#include <jansson.h>

enum screen_sort {
    SCREEN_BY_OPS,
    SCREEN_BY_HITS,
    SCREEN_BY_BYTES,
    SCREEN_BY_NAME,
    SCREEN_SORTS
};
const char *screen_sort_name(enum screen_sort sort);

struct screen_node {
    const char *address; /* as it was given */
    const struct sample *before;
    const struct sample *now;
};

struct screen {
    const struct screen_node *nodes;
    size_t node_count;
    int64_t wall_us; /* Unix time of the look */
    int64_t interval_ms;
    enum screen_sort sort;
    bool held; /* the screen stands still */
    /* A terminal: home first, each line cleared to its end, no more lines than there are. */
    bool is_live;
    bool color;
    bool utf8;
    unsigned rows;
    unsigned columns;
};

enum {
    SCREEN_HOT_MAX = 160 /* keys of all nodes */
};
/* The hottest keys of all nodes together, into hot[SCREEN_HOT_MAX]; returns how many are worth showing. */
size_t screen_hot(const struct screen *screen, struct sample_hot *hot);

/* What all nodes did together. */
void screen_sum(const struct screen *screen, struct flow *ret_sum);
/* The whole screen, appended. NO_MEMORY. */
enum status screen_draw(const struct screen *screen, struct buf *to) MUST_USE;
/* The same figures as an object. NULL: no memory. */
json_t *screen_json(const struct screen *screen);

#endif
