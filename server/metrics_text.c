/* SPDX-License-Identifier: BSD-3-Clause */
#include "server/metrics_text.h"

#include "server/memory_report.h"
#include "server/node.h"
#include "server/sampler.h"
#include "server/version.h"
#include "tiers/line.h"
#include "tiers/tiers.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>

/* Appends until memory fails; then `status` stays what it is. */
struct page {
    struct buf *text;
    enum status status;
};

static void page_add(struct page *page, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
static void page_add(struct page *page, const char *format, ...)
{
    char piece[512];
    va_list arguments;
    va_start(arguments, format);
    int size = vsnprintf(piece, sizeof(piece), format, arguments);
    va_end(arguments);
    if (page->status == OK && size > 0) {
        size_t used = (size_t)size < sizeof(piece) ? (size_t)size : sizeof(piece) - 1;
        page->status = buf_append(page->text, piece, used);
    }
}

static void page_family(struct page *page, const char *name, const char *type, const char *help)
{
    page_add(page, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, type);
}

static void page_integer(struct page *page, const char *name, const char *type, uint64_t number,
                         const char *help)
{
    page_family(page, name, type, help);
    page_add(page, "%s %" PRIu64 "\n", name, number);
}

static void page_real(struct page *page, const char *name, const char *type, double number,
                      const char *help)
{
    page_family(page, name, type, help);
    page_add(page, "%s %.15g\n", name, number);
}

/* --- counters ---------------------------------------------------------------------------------------------------- */

static void page_counters(struct page *page, const struct totals *totals)
{
    static const struct {
        const char *type;
        const char *name;
        const char *labels;
        const char *help;
    } table[] = {
#define METRIC(id, type, name, labels, help) [id] = {#type, name, labels, help},
#include "tiers/base/metrics.def"
#undef METRIC
    };
    for (int i = 0; i < METRIC_COUNT; i++) {
        if (i == 0 || strcmp(table[i].name, table[i - 1].name) != 0) {
            page_family(page, table[i].name, table[i].type, table[i].help);
        }
        if (table[i].labels[0] == '\0') {
            page_add(page, "%s %" PRIu64 "\n", table[i].name, totals->metrics[i]);
        } else {
            page_add(page, "%s{%s} %" PRIu64 "\n", table[i].name, table[i].labels,
                     totals->metrics[i]);
        }
    }
}

static void page_l1(struct page *page, const struct l1_stats *l1)
{
    page_integer(page, "terrace_items", "gauge", l1->items, "Values in L1");
    page_integer(page, "terrace_claims", "gauge", l1->claims,
                 "Keys of L1 that are being read from L2");
    page_integer(page, "terrace_evictions_total", "counter", l1->evictions,
                 "Values that left L1 for want of memory");
    page_integer(page, "terrace_expirations_total", "counter", l1->expirations,
                 "Values that left L1 at their time");
    page_integer(page, "terrace_fills_total", "counter", l1->fills,
                 "Values read from L2 and kept in L1");
    page_integer(page, "terrace_refused_fills_total", "counter", l1->refused_fills,
                 "Values read from L2 and not kept, since their key changed meanwhile");
    page_integer(page, "terrace_invalidations_total", "counter", l1->invalidations,
                 "Values of L1 ended by a change");
}

/* What each namespace has, by its name: at most NAMESPACES_MAX of each. */
static void page_namespaces(struct page *page, const struct node *node)
{
    static const struct {
        const char *name;
        const char *type;
        const char *help;
    } families[] = {
        {"terrace_namespace_items", "gauge", "Values in L1"},
        {"terrace_namespace_bytes", "gauge", "Memory of L1 that is used"},
        {"terrace_namespace_max_bytes", "gauge", "Memory of L1 that may be used"},
        {"terrace_namespace_hits_total", "counter",
         "Lookups of values in L1 that found one to serve"},
        {"terrace_namespace_misses_total", "counter", "Lookups of values in L1 that found none"},
        {"terrace_namespace_evictions_total", "counter", "Values that left L1 for want of memory"},
    };
    enum {
        FAMILIES = sizeof(families) / sizeof(families[0])
    };
    for (int i = 0; i < FAMILIES; i++) {
        const struct namespace *ns;
        page_family(page, families[i].name, families[i].type, families[i].help);
        for (unsigned at = 0; (ns = namespaces_next(node->namespaces, &at)) != NULL;) {
            struct l1_stats l1;
            l1_stats(ns->l1, &l1);
            const uint64_t figures[FAMILIES] = {l1.items, l1.bytes_used, l1.bytes_max,
                                                l1.hits,  l1.misses,     l1.evictions};
            page_add(page, "%s{namespace=\"%s\"} %" PRIu64 "\n", families[i].name, ns->name,
                     figures[i]);
        }
    }
}

static void page_whatif_add(struct page *page, const struct namespace *ns,
                            const struct whatif_report *report)
{
    for (unsigned i = 0; i < WHATIF_SCALES; i++) {
        page_add(page,
                 "terrace_namespace_whatif_hit_ratio{namespace=\"%s\",policy=\"%s\","
                 "memory=\"%g\"} %.4f\n",
                 ns->name, report->policy->name, whatif_scales[i], report->at_scale[i]);
    }
    for (unsigned i = 0; policy_at(i) != NULL; i++) {
        page_add(page,
                 "terrace_namespace_whatif_hit_ratio{namespace=\"%s\",policy=\"%s\","
                 "memory=\"1\"} %.4f\n",
                 ns->name, policy_at(i)->name, report->at_policy[i]);
    }
}

static void page_whatif(struct page *page, const struct node *node)
{
    struct namespace *ns;
    page_family(page, "terrace_namespace_whatif_hit_ratio", "gauge",
                "Hit ratio at so many times the memory, under the policy (CACHE.WHATIF)");
    for (unsigned at = 0; (ns = namespaces_next(node->namespaces, &at)) != NULL;) {
        struct whatif_report report;
        if (l1_whatif(ns->l1, &report) == OK && report.requests > 0) {
            page_whatif_add(page, ns, &report);
        }
    }
}

/* --- gauges ------------------------------------------------------------------------------------------------------ */

static void page_memory(struct page *page, const struct memory_report *report)
{
    page_family(page, "terrace_memory_bytes", "gauge",
                "Memory of L1: its budget, what is used of it, the tables in that");
    page_add(page, "terrace_memory_bytes{kind=\"max\"} %zu\n", report->max);
    page_add(page, "terrace_memory_bytes{kind=\"used\"} %zu\n", report->used);
    page_add(page, "terrace_memory_bytes{kind=\"tables\"} %zu\n", report->tables);
    page_integer(page, "terrace_client_memory_bytes", "gauge", report->clients,
                 "Values that answers refer to or that are being received, and text of answers");
    page_integer(page, "process_resident_memory_bytes", "gauge", report->resident,
                 "Memory of the process in RAM");
}

static void page_node(struct page *page, struct node *node)
{
    struct rusage usage = {0};
    struct buf reasons = {0};
    (void)getrusage(RUSAGE_SELF, &usage);
    page_integer(page, "terrace_up", "gauge", 1, "The node answers");
    page_integer(page, "terrace_ready", "gauge", node_ready(node, &reasons),
                 "Clients may be sent here, as /readyz says");
    page_family(page, "terrace_build_info", "gauge", "Always 1; the version is in the labels");
    page_add(page, "terrace_build_info{version=\"" TERRACE_VERSION
                   "\",redis_version=\"" REDIS_VERSION "\"} 1\n");
    page_real(page, "terrace_start_time_seconds", "gauge", (double)(node->started_at_ms / 1000),
              "Unix time of the start");
    page_integer(page, "terrace_connected_clients", "gauge", atomic_load(&node->conns_open),
                 "Client connections");
    page_integer(page, "terrace_tls_connections", "gauge", atomic_load(&node->tls_open),
                 "Client connections by TLS");
    page_integer(page, "terrace_tls_certificate_expires_seconds", "gauge",
                 (uint64_t)tls_place_expires_s(&node->tls),
                 "Unix time when the certificate of tls:// addresses is over; 0: there is none");
    page_integer(page, "terrace_max_clients", "gauge",
                 (uint64_t)atomic_load(&node->live.maxclients),
                 "Client connections that are allowed");
    page_real(page, "process_cpu_seconds_total", "counter",
              (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
                  (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6,
              "CPU time of the process");
    buf_done(&reasons);
}

static void page_loops(struct page *page, const struct node *node)
{
    bool begun = false;
    for (unsigned i = 0; i < node->worker_count; i++) {
        double ratio = 0;
        if (!sampler_busy(node->sampler, i, &ratio)) {
            continue;
        }
        if (!begun) {
            page_family(page, "terrace_loop_utilization_ratio", "gauge",
                        "Share of the last second in which a worker's loop was not waiting");
            begun = true;
        }
        page_add(page, "terrace_loop_utilization_ratio{thread=\"%u\"} %.6f\n", i, ratio);
    }
}

static void page_lines(struct page *page, struct tiers *tiers)
{
    const struct line_counts *lines = tiers_lines(tiers);
    page_family(page, "terrace_l2_lines", "gauge",
                "Connections to L2 for one client alone: used and idle for blocking commands and "
                "WATCH, those of subscribers");
    page_add(page, "terrace_l2_lines{state=\"used\"} %u\n", atomic_load(&lines->used));
    page_add(page, "terrace_l2_lines{state=\"idle\"} %u\n", atomic_load(&lines->idle));
    page_add(page, "terrace_l2_lines{state=\"subscribed\"} %u\n", atomic_load(&lines->subscribers));
    page_integer(page, "terrace_l2_lines_max", "gauge", atomic_load(&lines->max),
                 "How many of them may be used at once (l2-pool-max)");
}

static void page_tiers(struct page *page, const struct node *node)
{
    static const char *const states[] = {"DETACHED", "CATCHUP", "SYNCED", "SUSPECT"};
    struct tiers_description tiers;
    if (node->tiers == NULL) {
        return;
    }
    tiers_describe(node->tiers, &tiers);
    page_integer(page, "terrace_l2_up", "gauge", strcmp(tiers.l2_state, "up") == 0,
                 "L2 can be asked");
    page_family(page, "terrace_coherence_state", "gauge",
                "1 for the state the node is in, 0 for the others");
    for (size_t i = 0; i < sizeof(states) / sizeof(states[0]); i++) {
        page_add(page, "terrace_coherence_state{state=\"%s\"} %d\n", states[i],
                 strcmp(states[i], tiers.coherence.state_name) == 0);
    }
    page_integer(page, "terrace_suspects", "gauge", tiers.revalidation.suspects,
                 "Values of L1 that were suspect when last counted, less those read anew since");
    page_integer(page, "terrace_revalidate_rate", "gauge", tiers.revalidation.rate,
                 "Suspects that may be read anew per second");
    page_lines(page, node->tiers);
    if (tiers.coherence.horizon_ms != 0) {
        page_real(page, "terrace_horizon_age_seconds", "gauge",
                  (double)(clock_now_ms(&node->clock) - tiers.coherence.horizon_ms) / 1000,
                  "Age of the newest moment up to which all changes of L2 are known here");
    }
    if (tiers.coherence.echo_ms >= 0) {
        page_real(page, "terrace_echo_seconds", "gauge", (double)tiers.coherence.echo_ms / 1000,
                  "How long the last beat took from here through L2 and the bus back");
    }
}

enum status metrics_text(struct node *node, struct buf *text)
{
    struct page page = {.text = text, .status = OK};
    struct totals totals;
    struct memory_report report;
    totals_read(node, &totals);
    memory_report(node, &report);
    page_node(&page, node);
    page_counters(&page, &totals);
    page_l1(&page, &totals.l1);
    page_namespaces(&page, node);
    page_whatif(&page, node);
    page_memory(&page, &report);
    page_loops(&page, node);
    page_tiers(&page, node);
    return page.status;
}
