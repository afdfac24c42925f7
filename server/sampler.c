/* SPDX-License-Identifier: BSD-3-Clause */
#include "server/sampler.h"

#include "protocol/check.h"
#include "server/node.h"
#include "server/worker.h"

#include <pthread.h>
#include <stdlib.h>

enum {
    BUSY_WINDOW_NS = 1000000000
};

struct busy {
    uint64_t last_ns;
    uint64_t last_idle_ns;
    _Atomic uint32_t ppm_plus_one; /* 0: not known */
};

struct sampler {
    int64_t ticked_at_ms;
    struct series series[SAMPLE_KINDS];
    struct busy busy[SAMPLER_WORKERS_MAX];
    _Atomic size_t memory_peak;
    pthread_mutex_t lock;
    struct totals zero; /* under lock */
};

struct sampler *sampler_new(void)
{
    struct sampler *sampler = calloc(1, sizeof(*sampler));
    if (sampler != NULL) {
        CHECK(pthread_mutex_init(&sampler->lock, NULL) == 0);
    }
    return sampler;
}

void sampler_free(struct sampler *sampler)
{
    if (sampler != NULL) {
        (void)pthread_mutex_destroy(&sampler->lock);
        free(sampler);
    }
}

void sampler_note(struct sampler *sampler, enum sample kind, int64_t now_ms, uint64_t total)
{
    series_note(&sampler->series[kind], now_ms, total);
}

uint64_t sampler_rate(const struct sampler *sampler, enum sample kind)
{
    return series_rate(&sampler->series[kind]);
}

void sampler_note_idle(struct sampler *sampler, unsigned worker, uint64_t now_ns, uint64_t idle_ns)
{
    if (worker >= SAMPLER_WORKERS_MAX || idle_ns == 0) {
        return;
    }
    struct busy *busy = &sampler->busy[worker];
    uint64_t elapsed_ns = now_ns - busy->last_ns;
    if (busy->last_ns != 0 && elapsed_ns < BUSY_WINDOW_NS) {
        return;
    }
    if (busy->last_ns != 0) {
        /* The two were not read at the same instant. */
        uint64_t waited_ns = idle_ns - busy->last_idle_ns;
        waited_ns = waited_ns < elapsed_ns ? waited_ns : elapsed_ns;
        uint32_t ppm = (uint32_t)((double)(elapsed_ns - waited_ns) * 1e6 / (double)elapsed_ns);
        atomic_store_explicit(&busy->ppm_plus_one, ppm + 1, memory_order_relaxed);
    }
    busy->last_ns = now_ns;
    busy->last_idle_ns = idle_ns;
}

bool sampler_busy(const struct sampler *sampler, unsigned worker, double *ret_ratio)
{
    uint32_t ppm_plus_one = 0;
    if (worker < SAMPLER_WORKERS_MAX) {
        ppm_plus_one =
            atomic_load_explicit(&sampler->busy[worker].ppm_plus_one, memory_order_relaxed);
    }
    *ret_ratio = ppm_plus_one == 0 ? 0 : (ppm_plus_one - 1) / 1e6;
    return ppm_plus_one != 0;
}

void sampler_note_memory(struct sampler *sampler, size_t bytes)
{
    size_t peak = atomic_load_explicit(&sampler->memory_peak, memory_order_relaxed);
    while (bytes > peak && !atomic_compare_exchange_weak(&sampler->memory_peak, &peak, bytes)) {
    }
}

size_t sampler_memory_peak(const struct sampler *sampler)
{
    return atomic_load_explicit(&sampler->memory_peak, memory_order_relaxed);
}

void sampler_tick(struct sampler *sampler, const struct node *node, int64_t now_ms)
{
    struct totals totals;
    if (now_ms - sampler->ticked_at_ms < SAMPLER_INTERVAL_MS) {
        return;
    }
    sampler->ticked_at_ms = now_ms;
    totals_read(node, &totals);
    sampler_note(sampler, SAMPLE_COMMANDS, now_ms, totals.metrics[M_COMMANDS]);
    sampler_note(sampler, SAMPLE_BYTES_IN, now_ms, totals.metrics[M_BYTES_IN]);
    sampler_note(sampler, SAMPLE_BYTES_OUT, now_ms, totals.metrics[M_BYTES_OUT]);
    sampler_note_memory(sampler, totals.l1.bytes_used);
    for (unsigned i = 0; i < node->worker_count; i++) {
        sampler_note_idle(sampler, i, clock_monotonic_ns(),
                          uv_metrics_idle_time(&node->workers[i]->loop));
    }
}

void sampler_zero(struct sampler *sampler, struct totals *ret_zero)
{
    (void)pthread_mutex_lock(&sampler->lock);
    *ret_zero = sampler->zero;
    (void)pthread_mutex_unlock(&sampler->lock);
}

void sampler_set_zero(struct sampler *sampler, const struct totals *zero)
{
    (void)pthread_mutex_lock(&sampler->lock);
    sampler->zero = *zero;
    (void)pthread_mutex_unlock(&sampler->lock);
    atomic_store(&sampler->memory_peak, zero->l1.bytes_used);
}
