/* SPDX-License-Identifier: BSD-3-Clause */
#include "server/metrics_text.h"

#include "server/control.h"
#include "server/histogram.h"
#include "server/hot_desk.h"
#include "server/l2_finder.h"
#include "server/learned.h"
#include "server/memory_report.h"
#include "server/namespace_report.h"
#include "server/node.h"
#include "server/sampler.h"
#include "server/snapshots.h"
#include "server/version.h"
#include "server/warm_desk.h"
#include "server/warm_run.h"
#include "server/worker.h"
#include "tiers/bans.h"
#include "tiers/behind.h"
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

enum kind {
    KIND_READ,
    KIND_WRITE,
    KIND_OTHER,
    KINDS
};

static enum kind kind_of(const struct command *command)
{
    return (command->flags & COMMAND_WRITE) != 0      ? KIND_WRITE
           : (command->flags & COMMAND_READONLY) != 0 ? KIND_READ
                                                      : KIND_OTHER;
}

static void page_durations(struct page *page, const struct node *node)
{
    static const char *const names[KINDS] = {"read", "write", "other"};
    struct histogram kinds[KINDS] = {0};
    struct learned_walk walk = {0};
    struct command command;
    while (learned_next(node->learned, &walk, &command)) {
        struct histogram histogram;
        histogram_read(node, &command, &histogram);
        histogram_add(&kinds[kind_of(&command)], &histogram);
    }
    page_family(page, "terrace_request_duration_seconds", "histogram",
                "How long commands took in the node, L2 included; other: what is flagged neither "
                "readonly nor write, and what only L2 knows. Begins anew with CONFIG RESETSTAT");
    for (int kind = 0; kind < KINDS; kind++) {
        uint64_t calls = 0;
        for (unsigned i = 0; i < COMMAND_DURATIONS - 1; i++) {
            calls += kinds[kind].durations[i];
            page_add(page,
                     "terrace_request_duration_seconds_bucket{kind=\"%s\",le=\"%.9g\"} %" PRIu64
                     "\n",
                     names[kind], (double)(UINT64_C(1024) << i) / 1e9, calls);
        }
        page_add(page,
                 "terrace_request_duration_seconds_bucket{kind=\"%s\",le=\"+Inf\"} %" PRIu64 "\n"
                 "terrace_request_duration_seconds_sum{kind=\"%s\"} %.9g\n"
                 "terrace_request_duration_seconds_count{kind=\"%s\"} %" PRIu64 "\n",
                 names[kind], kinds[kind].calls, names[kind], (double)kinds[kind].nsec / 1e9,
                 names[kind], kinds[kind].calls);
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

/* What each namespace has, by its name: at most NAMESPACES_MAX of each. `label`: one more, or empty. */
static void page_namespace(struct page *page, const char *name, const struct namespace *ns,
                           const char *label, uint64_t number)
{
    page_add(page, "%s{namespace=\"%s\"%s%s} %" PRIu64 "\n", name, ns->name,
             label[0] == '\0' ? "" : ",", label, number);
}

static void page_namespace_l1(struct page *page, const struct node *node)
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
            struct namespace_report report;
            namespace_report(node, ns, &report);
            const struct l1_stats *l1 = &report.l1;
            const uint64_t figures[FAMILIES] = {l1->items, l1->bytes_used, l1->bytes_max,
                                                l1->hits,  l1->misses,     l1->evictions};
            page_namespace(page, families[i].name, ns, "", figures[i]);
        }
    }
}

static void page_tallies(struct page *page, const struct node *node)
{
    for (int i = 0; i < TALLY_COUNT; i++) {
        const struct tally_line *line = tally_line((enum tally)i);
        const struct namespace *ns;
        if (i == 0 || strcmp(line->prometheus, tally_line((enum tally)(i - 1))->prometheus) != 0) {
            page_family(page, line->prometheus, "counter", line->help);
        }
        for (unsigned at = 0; (ns = namespaces_next(node->namespaces, &at)) != NULL;) {
            uint64_t tallies[TALLY_COUNT];
            namespace_tallies(ns, tallies);
            page_namespace(page, line->prometheus, ns, line->labels, tallies[i]);
        }
    }
}

/* One family for each figure of a quota. */
enum quota_figure {
    QUOTA_USED,
    QUOTA_LIMIT,
    QUOTA_LEVEL,
    QUOTA_FIGURES
};

static uint64_t quota_figure(const struct quota_use *use, enum quota_figure figure)
{
    switch (figure) {
    case QUOTA_USED: return use->used;
    case QUOTA_LIMIT: return use->limit;
    case QUOTA_LEVEL: return use->level;
    case QUOTA_FIGURES: break;
    }
    return 0;
}

static void page_quotas(struct page *page, const struct node *node)
{
    static const struct {
        const char *name;
        const char *help;
    } families[QUOTA_FIGURES] = {
        {"terrace_namespace_quota_used",
         "What is used of a quota: bytes of memory, operations or bytes per second"},
        {"terrace_namespace_quota_limit", "The quota; 0: none"},
        {"terrace_namespace_quota_level",
         "The alarm of a quota: 50, 80 or 100 % were reached and told; 0: none"},
    };
    for (int i = 0; i < QUOTA_FIGURES; i++) {
        const struct namespace *ns;
        page_family(page, families[i].name, "gauge", families[i].help);
        for (unsigned at = 0; (ns = namespaces_next(node->namespaces, &at)) != NULL;) {
            for (int kind = 0; kind < QUOTA_KINDS; kind++) {
                struct quota_use use;
                char label[32];
                quota_watch_read(node->quotas, ns, (enum quota_kind)kind, &use);
                (void)snprintf(label, sizeof(label), "quota=\"%s\"",
                               quota_kind_name((enum quota_kind)kind));
                page_namespace(page, families[i].name, ns, label,
                               quota_figure(&use, (enum quota_figure)i));
            }
        }
    }
}

static void page_alerts(struct page *page, const struct node *node)
{
    static const char name[] = "terrace_namespace_quota_alerts_total";
    const struct namespace *ns;
    page_family(page, name, "counter", "Times that a level of a quota was reached and told");
    for (unsigned at = 0; (ns = namespaces_next(node->namespaces, &at)) != NULL;) {
        for (int kind = 0; kind < QUOTA_KINDS; kind++) {
            struct quota_use use;
            quota_watch_read(node->quotas, ns, (enum quota_kind)kind, &use);
            for (unsigned i = 0; i < QUOTA_LEVELS; i++) {
                char label[48];
                (void)snprintf(label, sizeof(label), "quota=\"%s\",level=\"%u\"",
                               quota_kind_name((enum quota_kind)kind), quota_level_percent(i + 1));
                page_namespace(page, name, ns, label, use.alerts[i]);
            }
        }
    }
}

static void page_namespaces(struct page *page, const struct node *node)
{
    page_namespace_l1(page, node);
    page_tallies(page, node);
    page_quotas(page, node);
    page_alerts(page, node);
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

static void page_hot(struct page *page, const struct node *node)
{
    struct hot_description hot;
    hot_desk_describe(node->hot, &hot);
    page_integer(page, "terrace_hot_keys", "gauge", hot.keys, "Keys in the list of the hottest");
    page_real(page, "terrace_hot_reads_per_second", "gauge", hot.reads_per_s,
              "Reads of clients in the last minutes, later ones counting more");
    page_real(page, "terrace_hot_first_share", "gauge", hot.hottest,
              "Share of the hottest key in these reads, at least");
    page_real(page, "terrace_hot_share", "gauge", hot.known,
              "Share of all keys of the list in these reads, at least");
    page_integer(page, "terrace_hot_one_of", "gauge", hot.every,
                 "One of so many reads is counted at present, on the busiest worker");
    page_integer(page, "terrace_hot_held_keys", "gauge", hot.held,
                 "Keys beyond that list that L1 holds, in the pages in L2 that it names");
    page_integer(page, "terrace_hot_held_bytes", "gauge", hot.held_bytes,
                 "Bytes of these pages in L2");
}

static void page_warm(struct page *page, const struct node *node)
{
    struct warm_description jobs;
    struct warm_engine_description engine;
    warm_desk_describe(node->workers[0]->warm_desk, &jobs);
    warm_engine_describe(node->workers[0]->warm, &engine);
    page_family(page, "terrace_warm_jobs", "gauge", "Warm jobs in which this node has a part");
    page_add(page, "terrace_warm_jobs{state=\"queued\"} %u\n", jobs.queued);
    page_add(page, "terrace_warm_jobs{state=\"running\"} %u\n", jobs.running);
    page_add(page, "terrace_warm_jobs{state=\"paused\"} %u\n", jobs.paused);
    page_integer(page, "terrace_warm_jobs_open", "gauge", jobs.open,
                 "Warm jobs of the cluster that have not ended");
    page_integer(page, "terrace_warm_takes_part", "gauge", jobs.takes_part,
                 "1 if this node works for them; 0 if warm-rate is 0, it drains or has no L2");
    page_real(page, "terrace_warm_yield_ratio", "gauge", engine.factor,
              "What is left of warm-rate while warming yields to clients");
}

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
    page_real(page, "terrace_weight_ratio", "gauge", (double)join_weight(&node->join) / JOIN_FULL,
              "Share of the requests that this node asks for, of a full one");
    page_real(
        page, "terrace_join_hot_mass_ratio", "gauge", (double)join_mass(&node->join) / JOIN_FULL,
        "Of the reads that the others' hot lists counted when it joined, those of keys held here");
    page_real(page, "terrace_join_seconds", "gauge", (double)join_ready_ms(&node->join) / 1000,
              "From L2 was reached to ready; below 0: not ready");
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
                "Connections to L2 for one client alone: used for blocking commands and WATCH, "
                "streaming large values, idle, those of subscribers");
    page_add(page, "terrace_l2_lines{state=\"used\"} %u\n", atomic_load(&lines->used));
    page_add(page, "terrace_l2_lines{state=\"streaming\"} %u\n", atomic_load(&lines->streams));
    page_add(page, "terrace_l2_lines{state=\"idle\"} %u\n", atomic_load(&lines->idle));
    page_add(page, "terrace_l2_lines{state=\"subscribed\"} %u\n", atomic_load(&lines->subscribers));
    page_integer(page, "terrace_l2_lines_max", "gauge", atomic_load(&lines->max),
                 "How many of them may be used at once (l2-pool-max)");
}

static void page_behind(struct page *page, const struct node *node)
{
    struct behind_counts counts;
    if (node->behind == NULL) {
        return;
    }
    behind_counts(node->behind, &counts);
    page_integer(page, "terrace_behind_entries", "gauge", counts.entries,
                 "Keys whose last write L2 does not have yet");
    page_integer(page, "terrace_behind_bytes", "gauge", counts.bytes, "Their keys and values");
    page_integer(page, "terrace_behind_failed", "gauge", counts.failed,
                 "The log of write-behind could not be written: writes go through");
    page_integer(page, "terrace_behind_stalled", "gauge", counts.stalled,
                 "The disk of that log has not answered for half of l2-timeout: writes go through");
    page_integer(page, "terrace_behind_stalls_total", "counter", counts.stalls,
                 "How often that was so");
    page_integer(page, "terrace_behind_paused", "gauge", counts.paused,
                 "Keys that L2 refused; each is tried again after 100 ms, 200 ms ... 30 s");
}

static void page_snapshots(struct page *page, const struct node *node)
{
    struct snapshots_description seen;
    if (node->snapshots == NULL) {
        return;
    }
    snapshots_describe(node->snapshots, &seen);
    page_family(page, "terrace_snapshot_writes_total", "counter",
                "Snapshots of L1: written, and not");
    page_add(page, "terrace_snapshot_writes_total{result=\"ok\"} %" PRIu64 "\n", seen.written);
    page_add(page, "terrace_snapshot_writes_total{result=\"failed\"} %" PRIu64 "\n", seen.failed);
    page_integer(page, "terrace_snapshot_file_bytes", "gauge", seen.file_bytes,
                 "Size of the last one");
    page_integer(page, "terrace_snapshot_records", "gauge", seen.totals.records,
                 "Values in the last one");
    page_family(
        page, "terrace_snapshot_restored", "gauge",
        "Values that the node found in a snapshot when it started: managed ones that the log "
        "may prove, suspects, and others");
    page_add(page, "terrace_snapshot_restored{kind=\"managed\"} %" PRIu64 "\n",
             seen.restored.managed);
    page_add(page, "terrace_snapshot_restored{kind=\"suspect\"} %" PRIu64 "\n",
             seen.restored.suspects);
    page_add(page, "terrace_snapshot_restored{kind=\"value\"} %" PRIu64 "\n", seen.restored.values);
    page_integer(page, "terrace_snapshot_suspects", "gauge",
                 snapshots_suspects_left(node->snapshots),
                 "Of these, keys that wait to be read anew");
}

static void page_breakers(struct page *page, const struct node *node)
{
    struct l2_finder_description found;
    control_describe_l2(node->control, &found);
    page_family(page, "terrace_l2_breaker", "gauge",
                "1 for the state that an endpoint's circuit breaker is in, 0 for the others");
    for (size_t i = 0; i < found.count; i++) {
        char address[L2_URL_ADDRESS_MAX];
        l2_url_address(found.endpoints[i].url, address);
        for (unsigned state = 0; state < 3; state++) {
            page_add(page, "terrace_l2_breaker{endpoint=\"%s\",state=\"%s\"} %d\n", address,
                     endpoint_breaker_names[state], found.endpoints[i].breaker == state);
        }
    }
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
    page_integer(page, "terrace_nodes_disagreeing", "gauge", tiers.coherence.disagreeing,
                 "Live nodes on the bus whose namespaces differ from this node's in name, prefix, "
                 "format or writers");
    const struct bans *bans = tiers_bans(node->tiers);
    page_integer(page, "terrace_bans", "gauge", bans_count(bans),
                 "Invalidations by tag, prefix or pattern that still bind something");
    page_integer(page, "terrace_bans_bytes", "gauge", bans_bytes(bans), "Memory that these take");
    page_integer(page, "terrace_suspects", "gauge", tiers.revalidation.suspects,
                 "Values of L1 that were suspect when last counted, less those read anew since");
    page_integer(page, "terrace_revalidate_rate", "gauge", tiers.revalidation.rate,
                 "Suspects that may be read anew per second");
    page_lines(page, node->tiers);
    page_breakers(page, node);
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
    page_durations(&page, node);
    page_l1(&page, &totals.l1);
    page_namespaces(&page, node);
    page_whatif(&page, node);
    page_hot(&page, node);
    page_warm(&page, node);
    page_memory(&page, &report);
    page_loops(&page, node);
    page_tiers(&page, node);
    page_behind(&page, node);
    page_snapshots(&page, node);
    return page.status;
}
