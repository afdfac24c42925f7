/* SPDX-License-Identifier: BSD-3-Clause */
#include "tiers/quota.h"

#include <stdbool.h>

enum {
    SHARES_PER_S = 100, /* a share of all threads together is a hundredth of a second's worth */
};
#define NS_PER_MS INT64_C(1000000)
#define NS_PER_S  INT64_C(1000000000)
#define BURST_NS  NS_PER_S
/* A debt, and what may be taken at once: a day, so that no sum overflows. */
#define COST_MAX_NS (INT64_C(86400) * NS_PER_S)

static int64_t cost_ns(int64_t count, int64_t rate)
{
    const double ns = (double)count * (double)NS_PER_S / (double)rate;
    return ns >= (double)COST_MAX_NS ? COST_MAX_NS : (int64_t)ns;
}

void quota_set(struct quota *quota, int64_t rate)
{
    if (quota_rate(quota) != rate) {
        atomic_store(&quota->rate, rate);
        atomic_store(&quota->paid_until_ns, 0);
        atomic_fetch_add(&quota->changes, 1);
    }
}

/* `must`: also if nothing is left. BUSY: *ret_free_ns says when something will be. */
static enum status take(struct quota *quota, int64_t count, bool must, int64_t now_ms,
                        int64_t *ret_free_ns)
{
    const int64_t rate = quota_rate(quota);
    const int64_t now_ns = now_ms * NS_PER_MS;
    int64_t paid_ns = atomic_load_explicit(&quota->paid_until_ns, memory_order_relaxed);
    int64_t next_ns = 0;
    if (rate <= 0) {
        return OK;
    }
    do {
        const int64_t full_ns = now_ns - BURST_NS;
        const int64_t from_ns = paid_ns > full_ns ? paid_ns : full_ns;
        const int64_t unit_ns = cost_ns(1, rate);
        if (!must && from_ns + unit_ns > now_ns) {
            *ret_free_ns = from_ns + unit_ns;
            return BUSY;
        }
        next_ns = from_ns + cost_ns(count, rate);
        next_ns = next_ns > now_ns + COST_MAX_NS ? now_ns + COST_MAX_NS : next_ns;
    } while (!atomic_compare_exchange_weak_explicit(&quota->paid_until_ns, &paid_ns, next_ns,
                                                    memory_order_relaxed, memory_order_relaxed));
    return OK;
}

enum status quota_check(struct quota *quota, struct quota_share *share, unsigned threads,
                        int64_t now_ms, int64_t *ret_wait_ms)
{
    if (share->left > 0) {
        return OK;
    }
    const unsigned changes = atomic_load_explicit(&quota->changes, memory_order_relaxed);
    if (now_ms >= share->free_at_ms || changes != share->changes) {
        const int64_t part = quota_rate(quota) / SHARES_PER_S / (threads > 0 ? threads : 1);
        int64_t free_ns = 0;
        share->changes = changes;
        share->free_at_ms = 0;
        if (take(quota, part > 0 ? part : 1, false, now_ms, &free_ns) == OK) {
            share->left = part > 0 ? part : 1;
            return OK;
        }
        share->free_at_ms = (free_ns + NS_PER_MS - 1) / NS_PER_MS;
    }
    *ret_wait_ms = share->free_at_ms > now_ms ? share->free_at_ms - now_ms : 1;
    return BUSY;
}

void quota_charge(struct quota *quota, struct quota_share *share, int64_t taken, int64_t now_ms)
{
    share->left -= taken;
    if (share->left < 0) {
        int64_t free_ns = 0;
        (void)take(quota, -share->left, true, now_ms, &free_ns);
        share->left = 0;
    }
}
