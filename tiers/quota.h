/* SPDX-License-Identifier: BSD-3-Clause */
/* quota.h -- at most so much per second, over all threads of the node.
 *
 * A token bucket that holds one second's worth. It is kept as a time (GCRA, ITU-T I.371): `paid_until_ns` is when what was
 * taken will have been earned. A second's worth back from now, the bucket is full; at now it is empty; beyond, it is in debt.
 *
 *      -1 s ................ now ........ paid_until      in debt: nothing more until then
 *      -1 s .... paid_until .. now                        so much may be taken at once
 *
 * So that threads do not meet at one cache line for each call, each keeps a SHARE in hand, 10 ms' worth for all of them
 * together, and takes the next one when that is used up.
 *
 *      quota_check before: is anything left?     quota_charge after: what it was
 *
 * What a call takes is often known only when it is over (its answer), so the last one before the bucket is empty may take
 * more than is left, and all others wait until that is earned. Over t seconds no more than rate * (t + 1.01) and one call
 * of each thread.
 *
 * Threads: quota_check and quota_charge by any, a share by its owner. quota_set by one at a time.
 * Units:   of the quota's own (operations, bytes) per second; milliseconds of clock.h. */
#ifndef TERRACE_TIERS_QUOTA_H
#define TERRACE_TIERS_QUOTA_H

#include "protocol/status.h"

#include <stdatomic.h>
#include <stdint.h>

/* All zeros: no quota. */
struct quota {
    _Atomic int64_t rate; /* 0: none */
    _Atomic int64_t paid_until_ns;
    _Atomic unsigned changes; /* of the rate */
};

/* All zeros: nothing in hand. */
struct quota_share {
    int64_t left;
    int64_t free_at_ms; /* the bucket is empty until then, */
    unsigned changes;   /* unless the rate has changed since */
};

static inline int64_t quota_rate(const struct quota *quota)
{
    return atomic_load_explicit(&quota->rate, memory_order_relaxed);
}

/* Another rate begins with a full bucket. */
void quota_set(struct quota *quota, int64_t rate);
/* OK, or BUSY: nothing before *ret_wait_ms. `threads`: how many have shares. */
enum status quota_check(struct quota *quota, struct quota_share *share, unsigned threads,
                        int64_t now_ms, int64_t *ret_wait_ms) MUST_USE;
void quota_charge(struct quota *quota, struct quota_share *share, int64_t taken, int64_t now_ms);

#endif
