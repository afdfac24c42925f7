/* SPDX-License-Identifier: BSD-3-Clause */
#include "server/totals.h"

#include "server/account.h"
#include "server/command.h"
#include "server/errorstats.h"
#include "server/learned.h"
#include "server/node.h"
#include "server/sampler.h"
#include "server/worker.h"

static void totals_add(struct totals *totals, const struct metrics *metrics)
{
    for (int i = 0; i < METRIC_COUNT; i++) {
        totals->metrics[i] += metrics_read(metrics, (enum metric)i);
    }
}

void totals_read(const struct node *node, struct totals *ret_totals)
{
    *ret_totals = (struct totals){0};
    totals_add(ret_totals, node->metrics);
    for (unsigned i = 0; i < node->worker_count; i++) {
        totals_add(ret_totals, node->workers[i]->metrics);
    }
    namespaces_stats(node->namespaces, &ret_totals->l1);
    if (node->tiers ==
        NULL) { /* alone, every lookup of a key is one of L1, and commands count it as such */
        ret_totals->metrics[M_L1_HITS] = ret_totals->metrics[M_KEY_HITS];
        ret_totals->metrics[M_L1_MISSES] = ret_totals->metrics[M_KEY_MISSES];
    }
}

void totals_since_reset(const struct node *node, struct totals *ret_totals)
{
    struct totals zero;
    totals_read(node, ret_totals);
    sampler_zero(node->sampler, &zero);
    for (int i = 0; i < METRIC_COUNT; i++) {
        ret_totals->metrics[i] -= zero.metrics[i];
    }
    ret_totals->l1.evictions -= zero.l1.evictions;
    ret_totals->l1.expirations -= zero.l1.expirations;
    ret_totals->l1.refused_fills -= zero.l1.refused_fills;
    ret_totals->l1.fills -= zero.l1.fills;
    ret_totals->l1.invalidations -= zero.l1.invalidations;
}

void totals_reset(struct node *node)
{
    struct totals now;
    totals_read(node, &now);
    sampler_set_zero(node->sampler, &now);
    errorstats_reset(node->errorstats);
    for (unsigned i = 0; i < node->worker_count; i++) {
        struct command_counters *counters = node->workers[i]->counters;
        for (unsigned j = 0; j < command_count() + LEARNED_NUMBERS; j++) {
            atomic_store_explicit(&counters[j].calls, 0, memory_order_relaxed);
            atomic_store_explicit(&counters[j].nsec, 0, memory_order_relaxed);
            for (unsigned k = 0; k < COMMAND_DURATIONS; k++) {
                atomic_store_explicit(&counters[j].durations[k], 0, memory_order_relaxed);
            }
            atomic_store_explicit(&counters[j].rejected, 0, memory_order_relaxed);
            atomic_store_explicit(&counters[j].failed, 0, memory_order_relaxed);
        }
    }
}
