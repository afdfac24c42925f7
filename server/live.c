/* SPDX-License-Identifier: BSD-3-Clause */
#include "server/live.h"

#include "protocol/check.h"
#include "protocol/limits.h"
#include "server/client_limits.h"
#include "server/config_names.h"
#include "server/options.h"

/* A worker that was not read from may be a tick, 100 ms, behind with its clock: nobody is closed too early. */
static void apply_class(struct live_limits *live, unsigned class, const struct output_limit *limit)
{
    const bool soft = limit->soft > 0;
    atomic_store(&live->hard[class], limit->hard > 0 ? (size_t)limit->hard : SIZE_MAX);
    atomic_store(&live->soft[class], soft ? (size_t)limit->soft : LIMIT_OUTPUT_PAUSE);
    atomic_store(&live->low[class], soft ? (size_t)limit->soft : LIMIT_OUTPUT_PAUSE / 2);
    atomic_store(&live->soft_ms[class], soft ? limit->soft_s * 1000 + 100 : LIMIT_OUTPUT_PAUSE_MS);
}

static void apply_limits(struct live_limits *live, const struct options *options)
{
    struct output_limits limits = {0};
    int64_t memory = 0;
    const char *wrong = output_limits_parse(slice_of(options->client_output_buffer_limit), &limits);
    CHECK(wrong == NULL &&
          client_memory_parse(slice_of(options->maxmemory_clients), &memory) == NULL);
    apply_class(live, 0, &limits.of[CLIENT_NORMAL]);
    apply_class(live, 1, &limits.of[CLIENT_PUBSUB]);
    atomic_store(&live->query, (size_t)options->client_query_buffer_limit);
    atomic_store(&live->clients,
                 memory < 0 ? options_memory(options) / 100 * (size_t)-memory : (size_t)memory);
    atomic_fetch_add(&live->version, 1);
}

void live_apply(struct live *live, const struct options *options, const struct config_kept *kept)
{
    int64_t rate = 0;
    atomic_store(&live->l2_timeout_ms, options->l2_timeout);
    atomic_store(&live->l2_relay_timeout_ms, options->l2_relay_timeout);
    if (options_rate(slice_of(options->revalidate_rate), &rate) == OK) {
        atomic_store(&live->revalidate_rate, rate);
    }
    atomic_store(&live->warm_rate, options->warm_rate);
    atomic_store(&live->warm_p99_target_us, options->warm_p99_target * 1000);
    atomic_store(&live->warm_l2_target_us, options->warm_l2_target * 1000);
    atomic_store(&live->snapshot_interval_ms, options->snapshot_interval);
    atomic_store(&live->snapshot_max, options->snapshot_max);
    atomic_store(&live->l1_hash_fields, options->l1_hash_fields);
    atomic_store(&live->sweep_rate, options->sweep_rate);
    atomic_store(&live->l2_return_load, options->l2_return_load);
    atomic_store(&live->memory, options_memory(options));
    atomic_store(&live->maxclients, options->maxclients);
    atomic_store(&live->timeout_ms, options->timeout);
    apply_limits(&live->limits, options);
    atomic_store(&live->tcp_keepalive_s, options->tcp_keepalive);
    atomic_store(&live->slowlog_slower_us, options->slowlog_slower_us);
    atomic_store(&live->slowlog_max_len, options->slowlog_max_len);
    atomic_store(&live->acllog_max_len, options->acllog_max_len);
    atomic_store(&live->acl_scripts, options->acl_scripts);
    atomic_store(&live->latency_threshold_ms, options->latency_threshold_ms);
    atomic_store(&live->tracking_max_keys, options->tracking_table_max_keys);
    atomic_store(&live->drain_delay_ms, options->drain_delay);
    atomic_store(&live->warm_target, options->warm_target);
    atomic_store(&live->warm_deadline_ms, options->warm_deadline);
    atomic_store(&live->slow_start_ms, options->slow_start);
    atomic_store(&live->little, config_kept_little(kept, options));
    atomic_store(&live->hash_packed_fields, config_kept_number(kept, "hash-max-listpack-entries"));
    atomic_store(&live->hash_packed_bytes, config_kept_number(kept, "hash-max-listpack-value"));
}
