/* SPDX-License-Identifier: BSD-3-Clause */
#include "client/check/zones.h"

#include <stdlib.h>

static bool is_forward(const struct zone *zone)
{
    return zone->first_end_ns < zone->last_begin_ns;
}

/* Forward zones first, by where they begin. */
static int compare(const void *left, const void *right)
{
    const struct zone *a = left;
    const struct zone *b = right;
    if (is_forward(a) != is_forward(b)) {
        return is_forward(a) ? -1 : 1;
    }
    if (a->first_end_ns != b->first_end_ns) {
        return a->first_end_ns < b->first_end_ns ? -1 : 1;
    }
    return 0;
}

static bool must_precede(const struct zone *a, const struct zone *b)
{
    return a->first_end_ns < b->last_begin_ns;
}

/* The last of `count` forward zones that begins before `time_ns`, or NULL. */
static const struct zone *last_before(const struct zone *forward, size_t count, uint64_t time_ns)
{
    size_t below = 0;
    size_t above = count;
    while (below < above) {
        size_t middle = below + (above - below) / 2;
        if (forward[middle].first_end_ns < time_ns) {
            below = middle + 1;
        } else {
            above = middle;
        }
    }
    return below == 0 ? NULL : forward + below - 1;
}

bool zones_agree(struct zone *zones, size_t count, struct zone *ret_a, struct zone *ret_b)
{
    if (count == 0) {
        return true;
    }
    qsort(zones, count, sizeof *zones, compare);
    size_t forward = 0;
    while (forward < count && is_forward(&zones[forward])) {
        forward++;
    }
    for (size_t i = 0; i < count; i++) {
        /* Forward zones that do not overlap are sorted by their ends, too: only the neighbour can be in the way. */
        const struct zone *other = NULL;
        if (i >= forward) {
            other = last_before(zones, forward, zones[i].last_begin_ns);
        } else if (i > 0) {
            other = &zones[i - 1];
        }
        if (other != NULL && must_precede(other, &zones[i]) && must_precede(&zones[i], other)) {
            *ret_a = *other;
            *ret_b = zones[i];
            return false;
        }
    }
    return true;
}
