/* SPDX-License-Identifier: BSD-3-Clause */
/* behind_desk_inner.h -- the inside of behind_desk.h, for behind_desk.c (who waits for what) and behind_way.c (to L2). */
#ifndef TERRACE_TIERS_BEHIND_DESK_INNER_H
#define TERRACE_TIERS_BEHIND_DESK_INNER_H

#include "tiers/behind_desk.h"
#include "tiers/managed_write_inner.h"

enum {
    BEHIND_SLOT_BITS = 12
};

struct behind_desk {
    struct tiers_window *window;
    struct behind *behind;
    bool flushes;
    struct list waits;  /* managed_write.in_group, by number: for the disk */
    struct list parked; /* for a key that is in the table: writes, */
    struct list asking; /* and readers who wish to know what L2 says */
    size_t parked_bytes;
    unsigned under_way;
    int64_t retry_at_ms; /* L2 refused: not before, */
    uint64_t retry_seq;  /* or when the bus is obeyed up to here; 0: no */
    unsigned
        passing[1 << BEHIND_SLOT_BITS]; /* writes that do not go behind: parked, or asked of L2 */
    unsigned waiting[1 << BEHIND_SLOT_BITS]; /* of these: parked */
};

static inline const struct coherence_view *behind_desk_view(const struct behind_desk *desk)
{
    return desk->window->view;
}

static inline struct metrics *behind_desk_metrics(const struct behind_desk *desk)
{
    return desk->window->options.metrics;
}

/* Sends what may go, as far as L2 lets it. */
void behind_way_flush(struct behind_desk *desk);

#endif
