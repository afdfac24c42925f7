/* SPDX-License-Identifier: BSD-3-Clause */
/* live.h -- settings that commands and loops read while they change: copies of LIVE options, atomics, and what an operator
 * sets for a moment (CLIENT PAUSE, CACHE.DRAIN).
 *
 * Threads: any. */
#ifndef TERRACE_SERVER_LIVE_H
#define TERRACE_SERVER_LIVE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct config_kept;
struct options;

/* What clients may take, of each class (client_limits.h): those who listen, and others. Workers keep copies, and look at the
 * version, which changes last. */
struct live_limits {
    _Atomic unsigned version;
    _Atomic size_t hard[2];
    _Atomic size_t soft[2];
    _Atomic size_t low[2]; /* not more than that ends the time above soft */
    _Atomic int64_t soft_ms[2];
    _Atomic size_t query;
    _Atomic size_t clients; /* all together; 0: no limit */
};

struct live {
    _Atomic int64_t l2_timeout_ms;
    _Atomic int64_t l2_relay_timeout_ms;
    _Atomic int64_t revalidate_rate;
    _Atomic int64_t warm_rate;
    _Atomic int64_t warm_p99_target_us;
    _Atomic int64_t warm_l2_target_us;
    _Atomic int64_t snapshot_interval_ms;
    _Atomic int64_t snapshot_max;
    _Atomic int64_t l1_hash_fields;
    _Atomic int64_t sweep_rate;
    _Atomic int64_t l2_return_load;
    _Atomic size_t memory;
    _Atomic int64_t maxclients;
    _Atomic int64_t timeout_ms;
    struct live_limits limits;
    _Atomic int64_t tcp_keepalive_s;
    _Atomic int64_t slowlog_slower_us;
    _Atomic int64_t slowlog_max_len;
    _Atomic int64_t acllog_max_len;
    _Atomic bool acl_scripts;
    _Atomic int64_t latency_threshold_ms;
    _Atomic int64_t tracking_max_keys;
    _Atomic int64_t pause_until_ms; /* CLIENT PAUSE; 0: none */
    _Atomic bool pause_writes_only;
    _Atomic unsigned monitors; /* clients in MONITOR, of all workers */
    _Atomic bool draining;     /* SIGTERM came, or CACHE.DRAIN */
    _Atomic int64_t drain_delay_ms;
    _Atomic int64_t warm_target;
    _Atomic int64_t warm_deadline_ms;
    _Atomic int64_t slow_start_ms;
    _Atomic size_t little;   /* alone: a maxmemory that is less than L1 can do with; 0: it is not */
    _Atomic bool sweeps_not; /* DEBUG SET-ACTIVE-EXPIRE 0 */
    _Atomic int64_t hash_packed_fields; /* hash-max-listpack-entries, alone */
    _Atomic int64_t hash_packed_bytes;  /* and -value */
    /* What Redis says while a script runs for too long (busy.h); or NULL. */
    const char *_Atomic l2_busy;
};

/* All that options say of it. Under the node's options_lock once it runs. */
void live_apply(struct live *live, const struct options *options, const struct config_kept *kept);

#endif
