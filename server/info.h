/* SPDX-License-Identifier: BSD-3-Clause */
/* info.h -- INFO: the figures of a node in the shape that Redis' dashboards and exporters read.
 *
 * Sections and field names are those of Redis 7.0.15, in its order; what a node does not have (replicas, forks, scripts)
 * is told as Redis tells it when it has none. Our own sections follow: L1, L2, Coherence, Namespaces.
 *
 * To add a section: one line in the table of info.c, one function that calls info_line.
 *
 * Threads: any; nothing but `buf` is written. */
#ifndef TERRACE_SERVER_INFO_H
#define TERRACE_SERVER_INFO_H

#include "server/totals.h"

/* What L2 said of the data; empty when it could not be asked. */
struct info_of_l2 {
    struct slice keyspace; /* its lines */
    struct slice maxmemory;
    struct slice policy;
    struct slice dirty; /* rdb_changes_since_last_save */
};

/* What the sections write from; read once, so that they agree with each other. */
struct info {
    struct node *node;
    int64_t now_ms;
    struct totals totals; /* since CONFIG RESETSTAT */
    struct buf *text;
    struct info_of_l2 l2;
    const char *percentiles; /* of section latencystats, while it is written */
    bool failed;             /* no memory: the rest is left out and the answer is an error */
};

/* The sections that these words name, as bits; without words those of a bare INFO. */
uint32_t info_sections(const struct slice *words, size_t count);
/* They tell of L2's data, and there is an L2: who writes them asks it first, by these bytes, and reads its reply, from which
 * *ret borrows (zeros: it is no such reply). If it cannot be asked, zeros do. */
bool info_asks_l2(const struct node *node, uint32_t sections);
enum status info_data_request(const struct node *node, struct buf *to) MUST_USE;
void info_data_read(struct slice reply, struct info_of_l2 *ret);
/* The text of INFO. NO_MEMORY. */
enum status info_write(struct node *node, uint32_t sections, const struct info_of_l2 *l2,
                       struct buf *text) MUST_USE;

/* One line; the line end is added. */
void info_line(struct info *info, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* info_counts.c */
void info_stats(struct info *info);
void info_commandstats(struct info *info);
void info_latencystats(struct info *info);
void info_errorstats(struct info *info);
void info_keyspace(struct info *info);
/* info_tiers.c */
void info_l1(struct info *info);
void info_l2(struct info *info);
void info_coherence(struct info *info);
void info_warming(struct info *info);
void info_snapshot(struct info *info);
void info_namespaces(struct info *info);
void info_invalidation(struct info *info);

#endif
