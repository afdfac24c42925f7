/* SPDX-License-Identifier: BSD-3-Clause */
/* ring.h -- the order in which endpoints are asked for a key: consistent hashing.
 *
 * Karger et al., Consistent Hashing and Random Trees (STOC 1997). Each endpoint has RING_POINTS points per weight 1, the
 * i-th at XXH64(seed 0) of "<address>#<i>"; a key's endpoints are those at and after the hash of the key, in turn, the
 * first of each. When one of n leaves, only its keys move, 1/n of them. The hash is fixed: all clients, whatever their
 * language, agree.
 *
 * Owns:    the points.
 * Threads: read-only once built. */
#ifndef TERRACE_CLIENT_RING_H
#define TERRACE_CLIENT_RING_H

#include "protocol/status.h"

#include <stddef.h>
#include <stdint.h>

enum {
    RING_POINTS = 160,      /* of weight 1: shares differ by 8 % (1/sqrt(160)) */
    RING_POINTS_MOST = 1600 /* of one endpoint */
};

struct ring_point {
    uint64_t hash;
    uint32_t who;
};

struct ring {
    struct ring_point *points; /* by hash; of equal hashes, by `who` */
    size_t count;
};

struct ring_member {
    const char *address;
    double weight;
    uint32_t who; /* what its points say */
};

enum status ring_build(struct ring *ret_ring, const struct ring_member *members,
                       size_t count) MUST_USE; /* NO_MEMORY */
void ring_done(struct ring *ring);             /* zeros are fine; empty again */
/* The place of the first point at or after `hash`; the ring has one. The next is the one after it, the first after the last. */
size_t ring_find(const struct ring *ring, uint64_t hash);

#endif
