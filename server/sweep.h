/* SPDX-License-Identifier: BSD-3-Clause */
/* sweep.h -- deletes all keys that fit a pattern where the data is: in L2, or in L1 if the node is alone.
 *
 *      SCAN cursor MATCH pattern COUNT n ~> keys that are meant ~> UNLINK ~> SCAN ... ~> on_done
 *
 * What it promises: a key that was there when it began and fits is gone when on_done says so, unless it was written
 * meanwhile; one written meanwhile may be gone, too. Only keys of the namespace that is meant are deleted (the longest
 * prefix wins), in one database, and never the nodes' own. Each UNLINK is a write like any other (tiers_relay): Redis
 * announces it to all nodes, its keys end here before on_done, and strict namespaces wait for all nodes.
 *
 * All its questions are answered by one process: cursors mean nothing to another. If L2 is another one in the middle, or
 * cannot be asked, the sweep ends with an error that says so, and how far it came.
 *
 * In the background: not more than `sweep-rate` keys per second are looked at by all sweeps of the node together (one that
 * is deleted counts as SWEEP_DELETE_COST of them); one question at a time; and when questions take much longer than they
 * did, since Redis or this worker has other work, it halves its own pace, which comes back by a tenth per 100 ms. It goes
 * on when its client leaves. It ends, with an error, when the node drains.
 *
 * Owns:    itself, from sweep_begin to on_done.
 * Threads: its worker's; sweeps_describe any.
 * Limits:  LIMIT_SWEEPS at once, of one node.
 * Errors:  BUSY, NO_MEMORY. */
#ifndef TERRACE_SERVER_SWEEP_H
#define TERRACE_SERVER_SWEEP_H

#include "protocol/limits.h"
#include "tiers/namespace.h"

#include <uv.h>

struct node;
struct sweep;
struct sweeps;
struct worker;

enum {
    SWEEP_DELETE_COST = 5,
    SWEEP_ERROR_MAX = 256,
    SWEEP_WHAT_MAX = 80,
    SWEEP_KEYS_MAX =
        100 /* of one SCAN, about, and of one UNLINK: a tenth of a millisecond of Redis */
};

struct sweep_wish {
    const struct slice *patterns; /* one after the other; copied */
    uint32_t pattern_count;
    bool are_prefixes;          /* else Redis' globs */
    const struct namespace *ns; /* NULL: all that are plain */
    uint8_t db;
    bool dry; /* counts only; a key may be counted twice, as SCAN may show it */
};

struct sweep_user {
    /* Exactly once after OK, never from inside. `error` NULL: it is complete. `count`: keys that were deleted, or would be. */
    void (*on_done)(struct sweep_user *user, size_t count, const char *error);
};

enum status sweep_begin(struct worker *worker, const struct sweep_wish *wish,
                        struct sweep_user *user) MUST_USE;

/* --- a worker's ---------------------------------------------------------------------------------------------------- */

struct sweep_desk {
    struct list running;
    uv_timer_t timer; /* while there are some */
};

void sweep_desk_open(struct sweep_desk *desk, struct worker *worker);
/* The node drains: they end as soon as their questions are answered. */
void sweep_desk_end(struct sweep_desk *desk);
/* Namespaces change: a walk over L1 cannot go on. */
void sweep_desk_stand_still(struct sweep_desk *desk);
void sweep_desk_close(struct sweep_desk *desk); /* after all have ended */

/* --- the node's ---------------------------------------------------------------------------------------------------- */

struct sweeps *sweeps_new(void); /* NULL: no memory */
void sweeps_free(struct sweeps *sweeps);

struct sweep_description {
    char what[SWEEP_WHAT_MAX];       /* "PREFIX user:", as far as it can be printed */
    char ns[NAMESPACE_NAME_MAX + 1]; /* "": all */
    uint8_t db;
    bool dry;
    int64_t began_at_ms;
    uint64_t looked; /* at so many keys, about: L2 does not say it exactly */
    uint64_t deleted;
};
/* Those that run, the oldest first. */
unsigned sweeps_describe(struct sweeps *sweeps, struct sweep_description ret[LIMIT_SWEEPS]);

/* --- pure ---------------------------------------------------------------------------------------------------------- */

/* A glob that fits what begins with `prefix`, and nothing else; appended. */
enum status sweep_glob_of_prefix(struct buf *out, struct slice prefix) MUST_USE;
/* The reply to SCAN: the next cursor, and where its keys are: *ret_count bulk strings. MALFORMED. */
struct reply_cursor;
enum status sweep_read_scan(struct slice reply, uint64_t *ret_cursor, struct reply_cursor *ret_keys,
                            size_t *ret_count) MUST_USE;

#endif
