/* SPDX-License-Identifier: BSD-3-Clause */
/* warm_source.h -- where the keys of a warm job come from, a batch at a time.
 *
 *      warm_source_open (at a cursor) -> pull -> OK: a batch is there
 *                                             -> PENDING ~> on_batch -> pull ...
 *
 * A CURSOR is text that says where to go on: what comes from it is all that is behind what was given before, or more. A
 * source whose cursor is good for one process of L2 only says so by `run`, and begins anew in another.
 *
 * Which kinds there are: warm_source_keys.c (listed in the job), _l2.c (pattern, tag, set, zset), _file.c (file), _log.c (log),
 * _hot.c (hot), _snapshot.c (snapshot).
 *
 * Threads: the first worker's.
 * Limits:  WARM_BATCH_BYTES a batch, and one key. */
#ifndef TERRACE_SERVER_WARM_SOURCE_H
#define TERRACE_SERVER_WARM_SOURCE_H

#include "server/warm.h"
#include "tiers/warm_script.h"

struct worker;

enum {
    WARM_CURSOR_MAX = 48,
    WARM_RUN_MAX = 24,
    WARM_BATCH_BYTES = 256 * 1024,
    WARM_LOG_WEIGHT = 8 /* up to 256 MiB while it counts */
};

struct warm_batch {
    struct buf keys; /* as a chunk (warm_script.h) */
    size_t count;
    char cursor[WARM_CURSOR_MAX]; /* behind them */
    char run[WARM_RUN_MAX];       /* "": it is good for any */
    bool is_last;
    uint64_t total;   /* how many keys the source has in all; UINT64_MAX: it does not know */
    int64_t pause_ms; /* before the next pull: L2 has other work, too */
    char error[WARM_ERROR_MAX]; /* not "": the source has failed, for good */
};

struct warm_source_at {
    struct worker *worker;
    const struct warm_job *job; /* as long as the source lives */
    struct slice cursor;        /* empty: the beginning */
    struct slice run;
    size_t batch_keys; /* not more, if it can */
    /* After PENDING, exactly once, never from inside: the batch of `pull` is filled, or has an error. */
    void (*on_batch)(void *arg);
    void *arg;
};

struct warm_feed {
    const struct warm_source_kind *kind; /* first of each kind's own struct */
    struct warm_source_at at;            /* cursor and run are not kept in it */
    struct warm_batch *batch;            /* of the pull under way */
};
struct warm_source_kind {
    enum status (*open)(const struct warm_source_at *at, struct warm_feed **ret_source,
                        char error[WARM_ERROR_MAX]);
    enum status (*pull)(struct warm_feed *source);
    void (*close)(struct warm_feed *source);
    unsigned weight; /* of what an open one holds: 1, or what is dear by as much more */
};
extern const struct warm_source_kind warm_source_keys;
extern const struct warm_source_kind warm_source_l2;
extern const struct warm_source_kind warm_source_file;
extern const struct warm_source_kind warm_source_log;
extern const struct warm_source_kind warm_source_hot;
extern const struct warm_source_kind warm_source_snapshot;

/* NO_MEMORY; INVALID: `error` says why it cannot be had on this node. */
enum status warm_source_open(const struct warm_source_at *at, struct warm_feed **ret_source,
                             char error[WARM_ERROR_MAX]) MUST_USE;
/* `batch` is emptied, filled, and the caller's again with OK, or with on_batch. */
enum status warm_source_pull(struct warm_feed *source, struct warm_batch *batch) MUST_USE;
/* on_batch is not called any more. NULL is fine. What waits for somebody else ends in its own time, and touches nothing of the
 * caller's. */
void warm_source_close(struct warm_feed *source);

/* For kinds: one more key in the batch, of the job's database. */
enum status warm_batch_add(struct warm_feed *source, struct slice key, uint8_t db,
                           uint8_t heat) MUST_USE;
/* Whether a SUBMIT of this job would fail here at once; INVALID with the reason. */
enum status warm_source_check(struct worker *worker, const struct warm_job *job,
                              char error[WARM_ERROR_MAX]) MUST_USE;
unsigned warm_source_weight(enum warm_source source);
/* Only the node that was asked can read it. */
bool warm_source_is_bound(enum warm_source source);

#endif
