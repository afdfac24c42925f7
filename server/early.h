/* SPDX-License-Identifier: BSD-3-Clause */
/* early.h -- reads the hottest values anew shortly before they end, for standing jobs with `before_expiry`.
 *
 *      newest hot list (hot_desk.h), its first n keys -> what L1 has of each: when it ends, how long it lives
 *          in the last `percent` of its life -> the engine (warm_run.h): L2 is asked ~> it ends later than it did:
 *               -> foreseen (tiers/foreseen.h), which counts the miss that does not come
 *          L2 has no more than before -> again after half of what is left
 *          nothing is there -> L2 is asked at once, then ever later while it has nothing, EARLY_LATER_MS at most
 *
 * WHAT IT CAN DO. A plain value ends in L1 when it ends in L2, or before: because its namespace lets it live no longer
 * (`ttl`), or because it was renewed in L2, which ends it here. In the last two cases L2 has it, so who reads it here
 * first waits for L2: that read is saved. A value that has ended in L2, too, nobody but the application can make anew. Of
 * managed values the end is that of their fresh life: L2 may have one that another node's client has loaded meanwhile; if
 * not, it stays as it is, and the namespace's `eager` lets a client load it early while the others are served.
 *
 * Keys of strict namespaces are left alone: each read of theirs has all nodes wait.
 *
 * Owns:    its keys.
 * Threads: the first worker's.
 * Limits:  EARLY_JOBS_MAX jobs, EARLY_KEYS_MAX keys over all jobs; a key is that of the first job which names it. */
#ifndef TERRACE_SERVER_EARLY_H
#define TERRACE_SERVER_EARLY_H

#include "protocol/bytes.h"

enum {
    EARLY_JOBS_MAX = 32,
    EARLY_KEYS_MAX = 65536,
    EARLY_LATER_MS = 60000
};

struct worker;
struct early;

struct early_job {
    uint64_t id; /* not 0 */
    size_t n;    /* the hottest so many, of all databases; those of `db` are kept */
    int percent; /* of a life, 1 to 90 */
    uint8_t db;
};

struct early *early_new(struct worker *worker); /* NULL: no memory */
/* These and no others from now on; keys of jobs that go are left alone. */
void early_set_jobs(struct early *early, const struct early_job *jobs, size_t count);
void early_tick(struct early *early); /* each 100 ms, after the worker read the clock */
void early_stop(struct early *early); /* before the engine stops: nothing begins any more */
void early_free(struct early *early); /* NULL is fine */
size_t early_keys(const struct early *early);

#endif
