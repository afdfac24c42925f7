/* SPDX-License-Identifier: BSD-3-Clause */
/* quota_watch.h -- how much of its quotas each namespace uses, and a line in the log when that comes near.
 *
 * Three quotas: memory, operations per second, bytes per second. What is used of the latter two is the mean of the last
 * second and a half (series.h). Each has an alarm with the levels 50, 80 and 100 %; 100 is also when a command was
 * refused, or, of memory, a value evicted. A level that is reached is told once; it is told again only after the use was
 * 10 points below it for 10 s, so that a use that wavers around a level does not fill the log:
 *
 *      use     0 ... 50 ... 80 . 78 . 81 ... 100 ............ 60 for 10 s ... 80
 *      told          50     80               100                              80
 *
 * Threads: quota_watch_tick by one loop (control); the rest by any. */
#ifndef TERRACE_SERVER_QUOTA_WATCH_H
#define TERRACE_SERVER_QUOTA_WATCH_H

#include "tiers/namespace.h"

struct node;

enum quota_kind {
    QUOTA_MEMORY,
    QUOTA_OPS,
    QUOTA_BYTES,
    QUOTA_KINDS
};

enum {
    QUOTA_LEVELS = 3
};

/* The arithmetic alone. All zeros: nothing told. */
struct quota_alarm {
    unsigned told;        /* levels that were, and have not ended: 0 to QUOTA_LEVELS */
    int64_t low_since_ms; /* the highest of them may end; 0: not now */
};
unsigned quota_level_percent(unsigned level); /* level 1: 50 ... */
/* Returns how many levels above `told` were reached. */
unsigned quota_alarm_note(struct quota_alarm *alarm, unsigned percent, int64_t now_ms);

struct quota_watch;

struct quota_watch *quota_watch_new(void); /* NULL: no memory */
void quota_watch_free(struct quota_watch *watch);
/* Every 100 ms or so. */
void quota_watch_tick(struct quota_watch *watch, struct node *node, int64_t now_ms);

struct quota_use {
    uint64_t used;                 /* bytes; of the others: per second */
    uint64_t limit;                /* 0: none */
    unsigned percent;              /* 0 without a limit */
    unsigned level;                /* 0, 50, 80 or 100: what was told last and has not ended */
    uint64_t alerts[QUOTA_LEVELS]; /* how often each was told since the namespace came */
};
const char *quota_kind_name(enum quota_kind kind); /* "memory", "ops", "bytes" */
void quota_watch_read(const struct quota_watch *watch, const struct namespace *ns,
                      enum quota_kind kind, struct quota_use *ret_use);

#endif
