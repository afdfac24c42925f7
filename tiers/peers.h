/* SPDX-License-Identifier: BSD-3-Clause */
/* peers.h -- the nodes that are heard on the bus, this one included.
 *
 * Each beat or marker frame says who sent it, how far that node has applied the bus, and its bound T. From this follows
 * who may still serve something old, the question behind strict writes and SYNC (waiters.h).
 *
 * LIVE: its last beat came at most PATIENCE ago, where patience = T(1 + rho) for the largest T that any node announced
 * whose own patience is not over. Of a node that is not live nothing old can come: what it serves as fresh is proved by
 * an own beat that Redis published before (or at) the last one we heard, and T later its fence is closed. rho = 1/1000
 * is by how much two clocks may run apart; two more milliseconds pay for times that are cut to whole ones. A node that
 * has said goodbye (FRAME_BEAT_LEAVING) is not live from that frame on: it served nothing any more when it sent it. Its T
 * still counts for its patience: of those whom we do not hear, some may be as patient.
 *
 * WHOLE: since when nothing on the bus was missed. A node may be unknown to us that beat before; so "all live nodes" can
 * be told by name only when the bus was whole for as long as the patience. Assumed: no node beyond our hearing has a
 * larger T than any that we know.
 *
 * A node that was not heard for PEERS_KEPT_MS is forgotten; a node that starts anew has a new id.
 *
 * Owns:    its records.
 * Threads: the control loop's.
 * Units:   milliseconds of clock.h, as they are here; other nodes' clocks are never compared with ours.
 * Limits:  PEERS_MAX nodes; one more, and the one not heard for the longest time goes. If that one was live, the bus no
 *          longer counts as whole. */
#ifndef TERRACE_TIERS_PEERS_H
#define TERRACE_TIERS_PEERS_H

#include "protocol/status.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    PEERS_MAX = 1024,
    PEERS_KEPT_MS = 3600 * 1000, /* above any T; so long the record in terrace:nodes stands, too */
    PEER_ADDRESS_MAX = 64,
    PEER_DISAGREEMENT_MAX = 112
};

struct peer {
    uint64_t node;
    int64_t beat_at_ms;   /* when its last beat was heard here */
    uint64_t known_since; /* ordinal of the first beat of its present life (peers.heard) */
    uint64_t applied_seq; /* of the current epoch; 0: none reported */
    uint32_t bound_ms;    /* T it announced */
    uint32_t state;       /* enum coherence_state, as it said */
    uint32_t hit_permille;
    uint32_t load;                            /* connections of clients */
    uint32_t weight;                          /* thousandths of a full share of the requests */
    uint32_t reads_per_s;                     /* that it answered of late */
    bool has_left;                            /* it said goodbye */
    char address[PEER_ADDRESS_MAX];           /* where its clients reach it; "" if it did not say */
    char disagreement[PEER_DISAGREEMENT_MAX]; /* about namespaces (homes.h); "": none */
};

struct peers {
    uint64_t self;   /* this node's id */
    struct peer *at; /* unordered */
    size_t count;
    size_t room;
    uint64_t heard;         /* beats ever */
    int64_t whole_since_ms; /* nothing was missed since */
};

void peers_done(struct peers *peers); /* all zeros but `self` is empty */

/* A beat was heard: `beat` without beat_at_ms and known_since, which are given here. NO_MEMORY: it is not kept, and the
 * bus no longer counts as whole. */
enum status peers_hear(struct peers *peers, const struct peer *beat, int64_t now_ms);
void peers_forget(struct peers *peers, int64_t now_ms); /* whom nobody has heard for so long */
/* Something may have been missed until now. */
void peers_missed(struct peers *peers, int64_t now_ms);
/* Another epoch began: what was reported is of the old one, and beats may have been lost with it. */
void peers_new_epoch(struct peers *peers, int64_t now_ms);

/* How long after its last beat a node with this T may go on: T(1 + rho), rounded up. */
int64_t peers_patience_of(uint32_t bound_ms);
/* The patience with all: by the largest T of those that beat within their own, goodbye or not. 0: nobody did. */
int64_t peers_patience_ms(const struct peers *peers, int64_t now_ms);
size_t peers_live(const struct peers *peers, int64_t now_ms);            /* how many */
const struct peer *peers_find(const struct peers *peers, uint64_t node); /* NULL: not known */
/* The hit ratio of the live others that have a share of the requests, all their reads together, in thousandths; -1: there
 * are none, or nobody reads. */
int peers_hit_permille(const struct peers *peers, int64_t now_ms);
/* What the live others are read per second, all together, and *ret_nodes: how many they are. */
uint64_t peers_reads_per_s(const struct peers *peers, int64_t now_ms, size_t *ret_nodes);
/* How many live ones disagree with this node, and one of them. */
size_t peers_disagreeing(const struct peers *peers, int64_t now_ms, const struct peer **ret_one);
/* Whether all nodes that can matter are in the table: the bus was whole for as long as `patience_ms`. */
bool peers_are_all(const struct peers *peers, int64_t patience_ms, int64_t now_ms);
/* Whether each other node that was known when the `heard`-th beat came has applied `seq`, has left, or is silent for
 * longer than `patience_ms`. */
bool peers_have_applied(const struct peers *peers, uint64_t seq, uint64_t heard,
                        int64_t patience_ms, int64_t now_ms);

#endif
