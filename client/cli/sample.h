/* SPDX-License-Identifier: BSD-3-Clause */
/* sample.h -- what one look at a node found, and what went on between two looks.
 *
 * Counters of a node only grow; a node that was started anew, or whose counters were reset, has smaller ones: then there is
 * no flow to tell until the look after (flow.known).
 *
 * Threads: pure; cmd_top.c asks the node.
 * Units:   ms, us, bytes, per second. */
#ifndef TERRACE_CLIENT_CLI_SAMPLE_H
#define TERRACE_CLIENT_CLI_SAMPLE_H

#include "client/cli/tree.h"

enum {
    SAMPLE_TEXT_MAX = 256,
    SAMPLE_NAMESPACES_MAX = 256,
    SAMPLE_PEERS_MAX = 128,
    SAMPLE_HOT_MAX = 5,
    SAMPLE_BUCKETS = 26, /* of durations: up to 1, 2, 4 ... us */
};

struct sample_namespace {
    char name[48];
    char mode[32];
    char policy[24];
    uint64_t ops, writes, hits, misses;
    uint64_t items, bytes, bytes_max;
};

struct sample_peer {
    char address[64];
    char state[16];
    bool is_self;
    int64_t heard_ms; /* ago; -1: never */
    double hit_ratio;
    int64_t clients;
    bool disagrees;
};

struct sample_hot {
    char key[40]; /* as it can be shown, cut */
    double per_s;
};

/* How long calls took: counts, each with all shorter ones. */
struct sample_durations {
    uint64_t calls;
    uint64_t upto[SAMPLE_BUCKETS];
};

struct sample {
    bool reachable;
    bool refused;                /* it answers, but not this user */
    char error[SAMPLE_TEXT_MAX]; /* if not, why */
    int64_t at_us;               /* of a monotonic clock */
    char version[24];
    char coherence[16];
    char reason[SAMPLE_TEXT_MAX];
    char l2[24]; /* up, down ..., none */
    char l2_endpoint[64];
    int64_t uptime_s;
    int64_t echo_ms; /* the last beat through L2; -1: none */

    uint64_t commands, errors, bytes_in, bytes_out;
    uint64_t near_hits;
    uint64_t l1_hits, l1_misses;
    uint64_t l2_reads, l2_hits, l2_errors, coalesced, relayed, stale_served;
    uint64_t invalidations, evictions;
    uint64_t clients, tracking_clients, blocked_clients;
    uint64_t tracked_keys;
    uint64_t items, used, used_max;
    uint64_t warm_jobs, warmed; /* of the cluster, not ended; keys that were loaded here */
    double warm_yield;          /* by which it holds back; 1: not at all */
    double cpu_s;

    struct sample_durations reads;  /* GET, MGET, CACHE.FETCH */
    struct sample_durations writes; /* SET, DEL, CACHE.SET, CACHE.FILL, CACHE.INVALIDATE */
    size_t namespace_count;
    struct sample_namespace *namespaces;
    size_t peer_count;
    struct sample_peer *peers;
    size_t hot_count;
    struct sample_hot hot[SAMPLE_HOT_MAX]; /* hottest first */
};

/* From INFO, LATENCY HISTOGRAM and CACHE.NODES (NULL: not known). NO_MEMORY. */
enum status sample_read(struct sample *sample, struct slice info, const struct tree *durations,
                        const struct tree *nodes) MUST_USE;
/* Adds what CACHE.HOT answered; NULL: not known. */
void sample_read_hot(struct sample *sample, const struct tree *keys);
void sample_done(struct sample *sample);

struct flow_rates {
    double commands, errors, bytes_in, bytes_out;
    double near_hits;
    double l1_hits, l1_misses;
    double l2_reads, coalesced, relayed, stale_served;
    double invalidations, evictions;
    double warmed;
    double cpu; /* of one processor: 1 is all of it */
};

struct flow {
    bool known;
    double seconds;
    struct flow_rates rates;
    struct sample_durations reads, writes; /* of this time alone */
};

void flow_between(const struct sample *before, const struct sample *now, struct flow *ret_flow);
/* Adds what another node did. */
void flow_add(struct flow *sum, const struct flow *one);
/* The time in us that the share (0 to 1) of the calls did not exceed, in powers of two; 0: no calls. */
double durations_quantile_us(const struct sample_durations *durations, double share);
/* A namespace by its name; NULL: it was not there. */
const struct sample_namespace *sample_namespace(const struct sample *sample, const char *name);

#endif
