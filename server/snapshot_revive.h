/* SPDX-License-Identifier: BSD-3-Clause */
/* snapshot_revive.h -- the keys of a snapshot that may not be served as they are, read anew by the engine (warm_run.h), the
 * hottest first, once the bus is up and it is known what the log says of managed ones. What is fresh by then costs nothing.
 * First they are a list of what the node is to hold when it is ready, beside those of the other nodes, and it is read by that
 * at the pace of the join (join_desk.h). The engine's own run is of what is left when that is over: more keys than it takes.
 *
 * Owns:    copies of the keys, REVIVE_BYTES_MAX of them at most, until they were read; the coldest are left to who asks.
 * Threads: revive_note before the node runs, revive_list, revive_tick and revive_stop the first worker's, revive_left any. */
#ifndef TERRACE_SERVER_SNAPSHOT_REVIVE_H
#define TERRACE_SERVER_SNAPSHOT_REVIVE_H

#include "tiers/hot_list.h"

struct revive;
struct worker;

enum {
    REVIVE_BYTES_MAX = 64 << 20,
    REVIVE_LIST = 1024, /* keys that the engine gets at once */
    REVIVE_READS = 1000000
};

struct revive *revive_new(void);
void revive_free(struct revive *revive); /* NULL is fine, as below */
/* As snapshot_listener has it. */
void revive_note(void *revive, uint8_t db, struct slice key, uint8_t hotness);
/* What was noted, as a hot list (join_desk.h): the hottest `rows_max` of it, weighed by how often they may be expected to be
 * read (policy.h: HOTNESS), REVIVE_READS in all. The caller's reference; NULL: nothing was, or no memory. */
struct hot_list *revive_list(const struct revive *revive, size_t rows_max, int64_t unix_ms);
void revive_forget(struct revive *revive); /* all of them */
void revive_tick(struct revive *revive, struct worker *worker);
void revive_stop(struct revive *revive); /* before the engine is freed */
/* Keys that have no result yet. */
uint64_t revive_left(const struct revive *revive);

#endif
