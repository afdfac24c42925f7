/* SPDX-License-Identifier: BSD-3-Clause */
/* cluster_inner.h -- what the files of cluster.h share. */
#ifndef TERRACE_CLIENT_CLUSTER_INNER_H
#define TERRACE_CLIENT_CLUSTER_INNER_H

#include "client/chronicle.h"
#include "client/cluster.h"
#include "client/health.h"
#include "client/latency.h"
#include "client/region.h"
#include "client/ring.h"
#include "client/sticky.h"

struct cluster_endpoint {
    struct cluster *cluster;
    void *user;
    unsigned region; /* of cluster->regions; while listed */
    double weight;
    double warmth;
    struct health health;
    struct latency latency;
    unsigned inflight;
    int64_t heard_ms; /* the last answer or probe, or the first request of those under way */
    uint64_t requests;
    uint64_t failures;
    double turn;        /* of smooth weighted round robin */
    uint64_t chosen;    /* the number of the choice that fell on it last */
    uint64_t candidacy; /* the number of the choice that it was a candidate of last */
    double share;       /* of that choice; above 0 */
    bool is_looked_at;  /* by that choice's walk around the ring */
    bool has_left;
    bool is_left_told;
    struct cluster_endpoint *next_left;
    char address[]; /* ended by 0 */
};

struct cluster {
    struct cluster_options options; /* with defaults in place of zeros */
    struct health_rules rules;
    uint64_t random;
    uint64_t choices; /* made so far */
    struct cluster_endpoint **listed;
    size_t count;
    struct cluster_endpoint *left; /* those that are still held */
    struct regions regions;
    struct ring rings[CLUSTER_REGIONS_MAX]; /* of CLUSTER_HASH; by region */
    struct sticky sticky;                   /* of CLUSTER_STICKY */
    struct cluster_counters counters;
    struct chronicle chronicle;
};

/* After any change of health, and when time has passed (cluster.c). */
void cluster_settle_regions(struct cluster *cluster, int64_t now_ms);

/* Frees one that has left if nobody holds it any more (cluster_update.c). */
void cluster_let_go(struct cluster_endpoint *endpoint);

/* Those that may be asked, all of the current region and of equal standing. */
struct candidates {
    struct cluster_endpoint *all[CLUSTER_ENDPOINTS_MAX];
    size_t count; /* not 0 */
};
/* By the strategy (balance.c). `except`: not among them, though it might be another time; NULL: none. */
struct cluster_endpoint *balance_pick(struct cluster *cluster, const struct candidates *candidates,
                                      uint64_t hash, const struct cluster_endpoint *except,
                                      int64_t now_ms);

#endif
