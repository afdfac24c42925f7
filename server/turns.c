/* SPDX-License-Identifier: BSD-3-Clause */
#include "server/turns.h"

#include "tiers/base/count.h"

enum {
    NS_PER_US = 1000,
    STEPS_LOG = 3
};

/* Up to 7 each has its own; then eighths of each power of two. */
unsigned turns_bin(uint64_t us)
{
    if (us < TURNS_STEPS) {
        return (unsigned)us;
    }
    const unsigned power = 63 - (unsigned)__builtin_clzll(us);
    const unsigned step = (unsigned)(us >> (power - STEPS_LOG)) & (TURNS_STEPS - 1);
    const unsigned bin = (power - STEPS_LOG + 1) * TURNS_STEPS + step;
    return bin < TURNS_BINS ? bin : TURNS_BINS - 1;
}

uint64_t turns_bin_end_us(unsigned bin)
{
    if (bin < TURNS_STEPS) {
        return bin + 1;
    }
    const unsigned shift = bin / TURNS_STEPS - 1;
    return (uint64_t)(TURNS_STEPS + bin % TURNS_STEPS + 1) << shift;
}

void turns_end(struct turns *turns, uv_loop_t *loop, unsigned requests)
{
    const uint64_t now_ns = uv_hrtime();
    const uint64_t idle_ns = uv_metrics_idle_time(loop);
    const uint64_t passed_ns = now_ns - turns->ended_ns;
    const uint64_t slept_ns = idle_ns - turns->idle_ns;
    if (requests > 0) {
        const uint64_t took_ns = passed_ns > slept_ns ? passed_ns - slept_ns : 0;
        count_add(&turns->counts[turns_bin(took_ns / NS_PER_US)], requests);
    }
    turns->ended_ns = now_ns;
    turns->idle_ns = idle_ns;
}

void turns_add(const struct turns *turns, struct turns_sum *sum)
{
    for (unsigned i = 0; i < TURNS_BINS; i++) {
        sum->counts[i] += atomic_load_explicit(&turns->counts[i], memory_order_relaxed);
    }
}

int64_t turns_percentile_us(const struct turns_sum *before, const struct turns_sum *now,
                            double share)
{
    uint64_t all = 0;
    uint64_t seen = 0;
    for (unsigned i = 0; i < TURNS_BINS; i++) {
        all += now->counts[i] - before->counts[i];
    }
    for (unsigned i = 0; i < TURNS_BINS && all > 0; i++) {
        seen += now->counts[i] - before->counts[i];
        if ((double)seen >= share * (double)all) {
            return (int64_t)turns_bin_end_us(i);
        }
    }
    return -1;
}
