/* SPDX-License-Identifier: BSD-3-Clause */
/* oracle.h -- what really happened, and whether a read may have shown what it showed.
 *
 * For each key the oracle keeps its VERSIONS in the order of the master, with the time at which the write was
 * acknowledged to whoever made it. What a restart or a failover loses is a version like any other: the old value once
 * more, acknowledged at the moment of the loss. So one rule covers writes, deletions, expiry, flushes and lost history:
 *
 *      I1   at its call, no newer version was acknowledged more than T(1 + rho) ago
 *      I3   it is not older than a write that its node acknowledged before the call
 *      I4   it is not older than what its session saw before
 *      STRICT  of a strict key: it is not older than what anybody was told of the key before the call, by whatever node,
 *           as the acknowledgement of a write or as the value of a read: each key is a linearizable register
 *
 * An announcement that is lost inside a living connection must be found by the stream hash; until 2 T after the loss
 * I1 is not asked of that node (RELIABILITY R9: T and a heartbeat).
 *
 * A value may stand at several versions (nil, or a value that a rollback brought back): the oldest one that fits is
 * taken, so nothing is called wrong that could be right. */
#ifndef TERRACE_TESTS_SIM_ORACLE_H
#define TERRACE_TESTS_SIM_ORACLE_H

#include "tests/sim/world.h"

struct version {
    uint64_t write; /* what stands: 0 none */
    int64_t expire_us;
    int64_t since_us;
    int64_t acked_us; /* SIM_NEVER: not (yet) */
};

/* A write that somebody began. */
struct write {
    unsigned slot;
    int version; /* -1: did not run */
    bool told_unknown;
    bool told_down; /* "nothing was done" */
};

struct history {
    struct version *versions;
    size_t count;
    size_t capacity;
};

struct oracle {
    struct world *world;
    struct history slots[SIM_SLOTS];
    struct write *writes;
    size_t write_count;
    size_t write_capacity;
    int64_t changed_us; /* the last change */
    /* The newest version of a strict key that any client of a node was told of. */
    int told[SIM_SLOTS];
    uint64_t told_count;
    uint64_t reads;
    uint64_t hits;
    uint64_t old_reads; /* of a value that was not the newest any more */
};

struct oracle *oracle_new(struct world *world);
void oracle_free(struct oracle *oracle);

/* True time that the fence may leave open: T, drift, and the grain of the clocks. */
int64_t oracle_bound_us(const struct world *world, unsigned slot);

uint64_t oracle_begin_write(struct oracle *oracle, unsigned slot);
/* The master did it: `stands` (0: deleted) by `write` (0: nobody's), acknowledged at once if `acked_us` says so. */
void oracle_changed(struct oracle *oracle, unsigned slot, uint64_t write, uint64_t stands,
                    int64_t expire_us, int64_t acked_us);
void oracle_acked(struct oracle *oracle, uint64_t write);
/* It ran, and nobody may rely on more. */
void oracle_done(struct oracle *oracle, uint64_t write);
void oracle_unknown(struct oracle *oracle, uint64_t write);
void oracle_down(struct oracle *oracle, uint64_t write);
/* The newest version of a slot: the least that a read must show which is called after it was acknowledged. */
int oracle_version_of(const struct oracle *oracle, uint64_t write);

struct oracle_read {
    unsigned slot;
    int64_t called_us;
    int session_least; /* versions at the call */
    int node_least;
    int told_least;  /* of a strict key: oracle.told */
    int64_t deaf_us; /* when its node last lost an announcement; 0: never */
    uint64_t shown;  /* 0: nil */
    const char *how; /* for the message */
};
bool oracle_is_strict(const struct world *world, unsigned slot);
/* A client of a node was told that this version of a strict key stood. */
void oracle_told(struct oracle *oracle, unsigned slot, int version);
/* The version that was shown; -1: a violation was reported. */
int oracle_judge(struct oracle *oracle, const struct oracle_read *asked);

#endif
