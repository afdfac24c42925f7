/* SPDX-License-Identifier: BSD-3-Clause */
#include "client/region.h"

#include <string.h>

bool region_is_down(const struct region *region)
{
    return region->up + region->unknown == 0;
}

int regions_find(const struct regions *regions, const char *name)
{
    for (unsigned i = 0; i < regions->count; i++) {
        if (strcmp(regions->all[i].name, name) == 0) {
            return (int)i;
        }
    }
    return -1;
}

static bool has_proved_itself(const struct regions *regions, const struct region *region,
                              int64_t now_ms)
{
    return region->proved_at_ms >= 0 && now_ms - region->proved_at_ms >= regions->hold_down_ms;
}

/* The best one that is not DOWN; `count`: all are. */
static unsigned best_that_serves(const struct regions *regions)
{
    unsigned best = regions->count;
    for (unsigned i = 0; i < regions->count; i++) {
        const struct region *region = &regions->all[i];
        if (!region_is_down(region) &&
            (best == regions->count || region->priority < regions->all[best].priority)) {
            best = i;
        }
    }
    return best;
}

static unsigned best_to_go_back_to(const struct regions *regions, int64_t now_ms)
{
    unsigned best = regions->current;
    for (unsigned i = 0; i < regions->count; i++) {
        const struct region *region = &regions->all[i];
        if (region->priority < regions->all[best].priority &&
            has_proved_itself(regions, region, now_ms)) {
            best = i;
        }
    }
    return best;
}

static void note_proofs(struct regions *regions, int64_t now_ms)
{
    for (unsigned i = 0; i < regions->count; i++) {
        struct region *region = &regions->all[i];
        if (region->up == 0) {
            region->proved_at_ms = -1;
        } else if (region->proved_at_ms < 0) {
            region->proved_at_ms = now_ms;
        }
    }
}

enum region_move regions_settle(struct regions *regions, int64_t now_ms, unsigned *ret_from)
{
    *ret_from = regions->current;
    if (regions->count == 0) {
        return REGION_STAYS;
    }
    note_proofs(regions, now_ms);
    bool is_down = region_is_down(&regions->all[regions->current]);
    if (regions->is_pinned && (regions->is_forced || !is_down)) {
        return REGION_STAYS;
    }
    unsigned to = is_down ? best_that_serves(regions) : best_to_go_back_to(regions, now_ms);
    if (to == regions->count || to == regions->current) {
        return REGION_STAYS;
    }
    regions->is_pinned = false;
    regions->current = to;
    return is_down ? REGION_FAILOVER : REGION_FAILBACK;
}

int64_t regions_settle_at_ms(const struct regions *regions)
{
    int64_t at_ms = INT64_MAX;
    if (regions->count == 0 || regions->is_pinned) {
        return at_ms;
    }
    unsigned priority = regions->all[regions->current].priority;
    for (unsigned i = 0; i < regions->count; i++) {
        const struct region *region = &regions->all[i];
        int64_t proved_at_ms = region->proved_at_ms + regions->hold_down_ms;
        if (region->priority < priority && region->proved_at_ms >= 0 && proved_at_ms < at_ms) {
            at_ms = proved_at_ms;
        }
    }
    return at_ms;
}
