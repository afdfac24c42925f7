/* SPDX-License-Identifier: BSD-3-Clause */
/* The sections of INFO that count: stats, commandstats, errorstats, latencystats, keyspace. */
#include "protocol/check.h"
#include "server/account.h"
#include "server/channel_index.h"
#include "server/command.h"
#include "server/errorstats.h"
#include "server/histogram.h"
#include "server/info.h"
#include "server/learned.h"
#include "server/node.h"
#include "server/sampler.h"
#include "server/tracking.h"
#include "server/worker.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    PERCENTILES_TEXT = 1024 /* further ones are left out */
};

static void info_pubsub(struct info *info)
{
    static const char *const names[CHANNEL_KINDS] = {"pubsub_channels", "pubsub_patterns",
                                                     "pubsubshard_channels"};
    for (int kind = 0; kind < CHANNEL_KINDS; kind++) {
        info_line(info, "%s:%zu", names[kind],
                  channel_index_count(info->node->channel_index, (enum channel_kind)kind));
    }
}

/* What a node has not, to the end of the section. */
static void info_stats_rest(struct info *info)
{
    static const char *const zeros[] = {
        "latest_fork_usec",         "total_forks",
        "migrate_cached_sockets",   "slave_expires_tracked_keys",
        "active_defrag_hits",       "active_defrag_misses",
        "active_defrag_key_hits",   "active_defrag_key_misses",
        "total_active_defrag_time", "current_active_defrag_time",
    };
    for (size_t i = 0; i < sizeof(zeros) / sizeof(zeros[0]); i++) {
        info_line(info, "%s:0", zeros[i]);
    }
    struct tracking *tracking = info->node->tracking;
    info_line(info, "tracking_total_keys:%zu", tracking_table_keys(tracking->table));
    info_line(info, "tracking_total_items:%zu", tracking_table_items(tracking->table));
    info_line(info, "tracking_total_prefixes:%zu", tracking_prefixes(tracking));
    info_line(info, "unexpected_error_replies:0");
}

void info_stats(struct info *info)
{
    const uint64_t *metrics = info->totals.metrics;
    const struct sampler *sampler = info->node->sampler;
    info_line(info, "total_connections_received:%" PRIu64, metrics[M_CONNECTIONS]);
    info_line(info, "total_commands_processed:%" PRIu64, metrics[M_COMMANDS]);
    info_line(info, "instantaneous_ops_per_sec:%" PRIu64, sampler_rate(sampler, SAMPLE_COMMANDS));
    info_line(info, "total_net_input_bytes:%" PRIu64, metrics[M_BYTES_IN]);
    info_line(info, "total_net_output_bytes:%" PRIu64, metrics[M_BYTES_OUT]);
    info_line(info, "total_net_repl_input_bytes:0");
    info_line(info, "total_net_repl_output_bytes:0");
    info_line(info, "instantaneous_input_kbps:%.2f",
              (double)sampler_rate(sampler, SAMPLE_BYTES_IN) / 1024);
    info_line(info, "instantaneous_output_kbps:%.2f",
              (double)sampler_rate(sampler, SAMPLE_BYTES_OUT) / 1024);
    info_line(info, "instantaneous_input_repl_kbps:0.00");
    info_line(info, "instantaneous_output_repl_kbps:0.00");
    info_line(info, "rejected_connections:%" PRIu64, metrics[M_REJECTED]);
    info_line(info, "sync_full:0");
    info_line(info, "sync_partial_ok:0");
    info_line(info, "sync_partial_err:0");
    info_line(info, "expired_keys:%" PRIu64, info->totals.l1.expirations);
    info_line(info, "expired_stale_perc:0.00");
    info_line(info, "expired_time_cap_reached_count:0");
    info_line(info, "expire_cycle_cpu_milliseconds:0");
    info_line(info, "evicted_keys:%" PRIu64, info->totals.l1.evictions);
    info_line(info, "evicted_clients:%" PRIu64, metrics[M_CLIENTS_EVICTED]);
    info_line(info, "total_eviction_exceeded_time:0");
    info_line(info, "current_eviction_exceeded_time:0");
    info_line(info, "keyspace_hits:%" PRIu64, metrics[M_KEY_HITS]);
    info_line(info, "keyspace_misses:%" PRIu64, metrics[M_KEY_MISSES]);
    info_pubsub(info);
    info_stats_rest(info);
    info_line(info, "total_error_replies:%" PRIu64, metrics[M_ERRORS]);
    info_line(info, "dump_payload_sanitizations:0");
    info_line(info, "total_reads_processed:%" PRIu64, metrics[M_READS]);
    info_line(info, "total_writes_processed:%" PRIu64, metrics[M_WRITES]);
    info_line(info, "io_threaded_reads_processed:0");
    info_line(info, "io_threaded_writes_processed:0");
    info_line(info, "reply_buffer_shrinks:0");
    info_line(info, "reply_buffer_expands:0");
}

/* --- commandstats ------------------------------------------------------------------------------------------------ */

static void command_line(struct info *info, const struct command *command)
{
    uint64_t calls = 0;
    uint64_t nsec = 0;
    uint64_t rejected = 0;
    uint64_t failed = 0;
    for (unsigned i = 0; i < info->node->worker_count; i++) {
        const struct command_counters *counters = account_of(info->node->workers[i], command);
        calls += atomic_load_explicit(&counters->calls, memory_order_relaxed);
        nsec += atomic_load_explicit(&counters->nsec, memory_order_relaxed);
        rejected += atomic_load_explicit(&counters->rejected, memory_order_relaxed);
        failed += atomic_load_explicit(&counters->failed, memory_order_relaxed);
    }
    if (calls + rejected + failed == 0) {
        return;
    }
    info_line(info,
              "cmdstat_%s:calls=%" PRIu64 ",usec=%" PRIu64
              ",usec_per_call=%.2f,rejected_calls=%" PRIu64 ",failed_calls=%" PRIu64,
              command->full_name, calls, nsec / 1000,
              calls == 0 ? 0 : (double)nsec / 1000 / (double)calls, rejected, failed);
}

static void info_each_command(struct info *info,
                              void (*line)(struct info *info, const struct command *command))
{
    struct learned_walk walk = {0};
    struct command command;
    while (learned_next(info->node->learned, &walk, &command)) {
        line(info, &command);
    }
}

void info_commandstats(struct info *info)
{
    info_each_command(info, command_line);
}

/* A setting that CONFIG keeps; "": no memory. */
static void append_setting(struct info *info, const char *name, struct buf *text)
{
    unsigned index = 0;
    CHECK(config_name_find(slice_of(name), &index));
    (void)pthread_mutex_lock(&info->node->options_lock);
    info->failed = info->failed || config_name_format(info->node, index, text) != OK ||
                   buf_append(text, "", 1) != OK;
    (void)pthread_mutex_unlock(&info->node->options_lock);
}

static void latency_line(struct info *info, const struct command *command)
{
    struct histogram histogram;
    char line[PERCENTILES_TEXT] = "";
    size_t used = 0;
    histogram_read(info->node, command, &histogram);
    const char *percentiles = info->percentiles;
    char *end = NULL;
    for (double percent = strtod(percentiles, &end); end != percentiles && used < sizeof(line);
         percent = strtod(percentiles, &end)) {
        const int size =
            snprintf(line + used, sizeof(line) - used, "%sp%g=%.3f", used == 0 ? "" : ",", percent,
                     histogram_percentile_usec(&histogram, percent / 100));
        used += (size_t)size;
        percentiles = end;
    }
    if (histogram.calls > 0) {
        info_line(info, "latency_percentiles_usec_%s:%s", command->full_name, line);
    }
}

/* Durations are always counted; `latency-tracking` says whether they are shown. */
void info_latencystats(struct info *info)
{
    struct buf shown = {0};
    struct buf percentiles = {0};
    append_setting(info, "latency-tracking", &shown);
    append_setting(info, "latency-tracking-info-percentiles", &percentiles);
    if (!info->failed && strcmp(shown.data, "yes") == 0) {
        info->percentiles = percentiles.data;
        info_each_command(info, latency_line);
        info->percentiles = NULL;
    }
    buf_done(&shown);
    buf_done(&percentiles);
}

void info_errorstats(struct info *info)
{
    struct errorstat stats[ERRORSTATS_MAX];
    size_t count = errorstats_read(info->node->errorstats, stats);
    for (size_t i = 0; i < count; i++) {
        info_line(info, "errorstat_%s:count=%" PRIu64, stats[i].word, stats[i].count);
    }
}

/* --- keyspace ---------------------------------------------------------------------------------------------------- */

/* Alone, L1 is the data. With an L2 the data is there, and what L1 holds of it is told in section L1. */
void info_keyspace(struct info *info)
{
    if (info->l2.keyspace.size > 0 && buf_append_slice(info->text, info->l2.keyspace) != OK) {
        info->failed = true;
    }
    for (unsigned db = 0; db < LIMIT_DATABASES && info->node->tiers == NULL; db++) {
        struct namespaces_count count = namespaces_count(info->node->namespaces, (uint8_t)db);
        if (count.entries > 0) {
            info_line(info, "db%u:keys=%" PRIu64 ",expires=%" PRIu64 ",avg_ttl=%" PRId64, db,
                      count.entries, count.expiring, count.average_ttl_ms);
        }
    }
}
