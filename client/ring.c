/* SPDX-License-Identifier: BSD-3-Clause */
#include "client/ring.h"

#include "client/cluster.h"
#include "protocol/hash.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

static size_t points_of(double weight)
{
    double points = round(weight * RING_POINTS);
    if (points < 1) {
        return 1;
    }
    return points > RING_POINTS_MOST ? RING_POINTS_MOST : (size_t)points;
}

static int compare(const void *a, const void *b)
{
    const struct ring_point *left = a;
    const struct ring_point *right = b;
    if (left->hash != right->hash) {
        return left->hash < right->hash ? -1 : 1;
    }
    return left->who < right->who ? -1 : left->who > right->who;
}

enum status ring_build(struct ring *ret_ring, const struct ring_member *members, size_t count)
{
    size_t total = 0;
    for (size_t i = 0; i < count; i++) {
        total += points_of(members[i].weight);
    }
    struct ring ring = {.points = calloc(total + 1, sizeof *ring.points)};
    if (ring.points == NULL) {
        return NO_MEMORY;
    }
    for (size_t i = 0; i < count; i++) {
        size_t points = points_of(members[i].weight);
        for (size_t j = 0; j < points; j++) {
            char text[CLUSTER_ADDRESS_MAX + 24];
            int size = snprintf(text, sizeof text, "%s#%zu", members[i].address, j);
            ring.points[ring.count++] = (struct ring_point){
                .hash = hash_checksum((struct slice){text, (size_t)size}),
                .who = members[i].who,
            };
        }
    }
    qsort(ring.points, ring.count, sizeof *ring.points, compare);
    *ret_ring = ring;
    return OK;
}

void ring_done(struct ring *ring)
{
    free(ring->points);
    *ring = (struct ring){0};
}

size_t ring_find(const struct ring *ring, uint64_t hash)
{
    size_t low = 0;
    size_t high = ring->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (ring->points[middle].hash < hash) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low == ring->count ? 0 : low;
}
