/* SPDX-License-Identifier: BSD-3-Clause */
/* The sections of INFO that are our own: L1, L2, Coherence, Namespaces. */
#include "server/control.h"
#include "server/hot_desk.h"
#include "server/info.h"
#include "server/l2_finder.h"
#include "server/l2_rights.h"
#include "server/namespace_report.h"
#include "server/node.h"
#include "server/sweep.h"
#include "tiers/bans.h"
#include "tiers/behind.h"
#include "tiers/line.h"
#include "tiers/tiers.h"

#include <inttypes.h>
#include <stdio.h>

void info_l1(struct info *info)
{
    const struct l1_stats *l1 = &info->totals.l1;
    uint64_t hits = info->totals.metrics[M_L1_HITS];
    uint64_t misses = info->totals.metrics[M_L1_MISSES];
    /* Reads that clients answered themselves, as they tell with their beats (docs/protocol.md). */
    info_line(info, "near_hits:%" PRIu64, info->totals.metrics[M_NEAR_HITS]);
    info_line(info, "l1_hits:%" PRIu64, hits);
    info_line(info, "l1_misses:%" PRIu64, misses);
    info_line(info, "l1_hit_ratio:%.4f",
              hits + misses == 0 ? 0 : (double)hits / (double)(hits + misses));
    info_line(info, "l1_items:%" PRIu64, l1->items);
    info_line(info, "l1_claims:%" PRIu64, l1->claims);
    info_line(info, "l1_bytes_used:%zu", l1->bytes_used);
    info_line(info, "l1_bytes_tables:%zu", l1->bytes_tables);
    info_line(info, "l1_bytes_max:%zu", l1->bytes_max);
    info_line(info, "l1_policy:%s",
              l1_policy(namespaces_default(info->node->namespaces)->l1)->name);
    info_line(info, "l1_evictions:%" PRIu64, l1->evictions);
    info_line(info, "l1_expirations:%" PRIu64, l1->expirations);
    info_line(info, "l1_fills:%" PRIu64, l1->fills);
    info_line(info, "l1_refused_fills:%" PRIu64, l1->refused_fills);
    info_line(info, "l1_invalidations:%" PRIu64, l1->invalidations);
    struct hot_description hot;
    hot_desk_describe(info->node->hot, &hot);
    info_line(info, "hot_keys:%zu", hot.keys);
    info_line(info, "hot_reads_per_second:%.1f", hot.reads_per_s);
    info_line(info, "hot_share_of_first:%.4f", hot.hottest);
    info_line(info, "hot_share_of_all:%.4f", hot.known);
    info_line(info, "hot_one_counted_of:%u", hot.every);
    info_line(info, "hot_held_keys:%zu", hot.held);
    info_line(info, "hot_held_bytes:%zu", hot.held_bytes);
}

/* The current endpoint, then all of them by priority, then the last change. Times are how long ago, -1: never. */
static void info_endpoints(struct info *info)
{
    struct l2_finder_description found;
    control_describe_l2(info->node->control, &found);
    char address[L2_URL_ADDRESS_MAX] = "";
    for (size_t i = 0; i < found.count; i++) {
        if (found.endpoints[i].is_current) {
            l2_url_address(found.endpoints[i].url, address);
        }
    }
    info_line(info, "l2_endpoint:%s", address);
    for (size_t i = 0; i < found.count; i++) {
        const struct endpoint_description *one = &found.endpoints[i];
        l2_url_address(one->url, address);
        info_line(
            info,
            "l2_endpoint_%zu:address=%s,priority=%d,current=%d,failures=%u,breaker=%s,up_ms_ago=%" PRId64
            ",failed_ms_ago=%" PRId64 ",why=%s",
            i, address, one->url->priority, one->is_current, one->failures,
            endpoint_breaker_names[one->breaker],
            one->up_at_ms == 0 ? -1 : info->now_ms - one->up_at_ms,
            one->failed_at_ms == 0 ? -1 : info->now_ms - one->failed_at_ms, one->why);
    }
    if (found.sentinel[0] != '\0') {
        info_line(info, "l2_sentinel:%s", found.sentinel);
        info_line(info, "l2_sentinel_up:%d", found.sentinel_up);
    }
    info_line(info, "l2_moves:%" PRIu64, info->totals.metrics[M_L2_MOVES]);
    if (found.event_count > 0) {
        l2_url_address(found.events[0].to, address);
        info_line(info, "l2_last_move:to=%s,ms_ago=%" PRId64 ",why=%s", address,
                  info->now_ms - found.events[0].at_ms, found.events[0].why);
    }
}

static void info_rights(struct info *info)
{
    struct l2_rights_description seen;
    control_describe_rights(info->node->control, &seen);
    const char *state = seen.suffices ? "granted" : "refused";
    info_line(info, "l2_rights:%s", seen.known ? state : "unknown");
    info_line(info, "l2_rights_missing:%s", seen.missing);
    info_line(info, "l2_maxmemory:%" PRId64, seen.known ? seen.rights.maxmemory : -1);
    info_line(info, "l2_maxmemory_policy:%s", seen.rights.policy);
    info_line(info, "l2_may_evict_nodes_keys:%d", rights_may_evict(&seen.rights));
    if (seen.clock_known) { /* as of the last look, 15 s ago at most */
        info_line(info, "l2_clock_ahead_ms:%" PRId64, seen.clock_ahead_ms);
    }
}

static void info_lines(struct info *info)
{
    const struct line_counts *lines = tiers_lines(info->node->tiers);
    info_line(info, "l2_lines_used:%u", atomic_load(&lines->used));
    info_line(info, "l2_lines_streaming:%u", atomic_load(&lines->streams));
    info_line(info, "l2_lines_idle:%u", atomic_load(&lines->idle));
    info_line(info, "l2_lines_max:%u", atomic_load(&lines->max));
    info_line(info, "l2_lines_refused:%" PRIu64, info->totals.metrics[M_LINES_REFUSED]);
    info_line(info, "l2_subscribers:%u", atomic_load(&lines->subscribers));
}

static void info_behind(struct info *info)
{
    const uint64_t *metrics = info->totals.metrics;
    struct behind_counts counts;
    behind_counts(info->node->behind, &counts);
    info_line(info, "behind_entries:%zu", counts.entries);
    info_line(info, "behind_bytes:%zu", counts.bytes);
    info_line(info, "behind_failed:%d", counts.failed);
    info_line(info, "behind_stalled:%d", counts.stalled);
    info_line(info, "behind_stalls:%" PRIu64, counts.stalls);
    info_line(info, "behind_paused:%zu", counts.paused);
    info_line(info, "behind_refused:%" PRIu64, metrics[M_BEHIND_REFUSED]);
    info_line(info,
              "behind_writes:taken=%" PRIu64 ",through=%" PRIu64 ",sent=%" PRIu64
              ",invalidated=%" PRIu64,
              metrics[M_BEHIND_TAKEN], metrics[M_BEHIND_FULL], metrics[M_BEHIND_FLUSHED],
              metrics[M_BEHIND_INVALIDATED]);
    info_line(info, "behind_conflicts:%" PRIu64, metrics[M_BEHIND_CONFLICTS]);
}

void info_l2(struct info *info)
{
    const uint64_t *metrics = info->totals.metrics;
    struct tiers_description description = {.l2_state = "none"};
    if (info->node->tiers != NULL) {
        tiers_describe(info->node->tiers, &description);
    }
    info_line(info, "l2_configured:%d", info->node->tiers != NULL);
    info_line(info, "l2_state:%s", description.l2_state);
    if (info->node->tiers != NULL) {
        info_endpoints(info);
        info_rights(info);
        info_lines(info);
    }
    if (info->node->behind != NULL) {
        info_behind(info);
    }
    info_line(info, "l2_reads:%" PRIu64,
              metrics[M_L2_HITS] + metrics[M_L2_MISSES] + metrics[M_L2_ERRORS]);
    info_line(info, "l2_hits:%" PRIu64, metrics[M_L2_HITS]);
    info_line(info, "l2_misses:%" PRIu64, metrics[M_L2_MISSES]);
    info_line(info, "l2_errors:%" PRIu64, metrics[M_L2_ERRORS]);
    info_line(info, "l2_coalesced:%" PRIu64, metrics[M_COALESCED]);
    info_line(info, "stale_served:%" PRIu64, metrics[M_STALE_SERVED]);
    info_line(info, "l2_relayed:%" PRIu64, metrics[M_RELAYED]);
    info_line(info, "l2_managed_writes:%" PRIu64, metrics[M_MANAGED_WRITES]);
    info_line(info, "l2_managed_calls:%" PRIu64, metrics[M_MANAGED_GROUPS]);
    info_line(info, "l2_refused:%" PRIu64, metrics[M_L2_DOWN]);
    info_line(info, "l2_unknown:%" PRIu64, metrics[M_L2_UNKNOWN]);
    info_line(info, "l2_connects:%" PRIu64, metrics[M_L2_CONNECTS]);
    info_line(info, "l2_losses:%" PRIu64, metrics[M_L2_LOSSES]);
}

static void info_coherence_state(struct info *info)
{
    struct tiers_description tiers;
    tiers_describe(info->node->tiers, &tiers);
    const struct coherence_description *coherence = &tiers.coherence;
    info_line(info, "coherence_state:%s", coherence->state_name);
    info_line(info, "coherence_reason:%s", coherence->reason);
    info_line(info, "coherence_epoch:%" PRIu64, coherence->epoch.counter);
    info_line(info, "coherence_seq:%" PRIu64, coherence->seq);
    info_line(info, "coherence_generation:%" PRIu64, coherence->generation);
    info_line(info, "coherence_horizon_age_ms:%" PRId64,
              coherence->horizon_ms == 0 ? -1 : info->now_ms - coherence->horizon_ms);
    info_line(info, "coherence_floor_ms:%" PRId64, coherence->floor_ms);
    if (coherence->managed_floor_ms == INT64_MAX) {
        info_line(info, "coherence_managed_floor_ms:replaying");
    } else {
        info_line(info, "coherence_managed_floor_ms:%" PRId64, coherence->managed_floor_ms);
    }
    info_line(info, "coherence_echo_ms:%" PRId64, coherence->echo_ms);
    info_line(info, "coherence_nodes:%zu", coherence->nodes);
    info_line(info, "coherence_nodes_disagreeing:%zu", coherence->disagreeing);
    info_line(info, "coherence_disagreement:%s", coherence->disagreement);
    info_line(info, "coherence_waiters:%zu", coherence->waiters);
    info_line(info, "coherence_revalidating:%d", tiers.revalidation.running);
    info_line(info, "coherence_revalidate_rate:%" PRIu64, tiers.revalidation.rate);
    info_line(info, "coherence_suspects:%" PRIu64, tiers.revalidation.suspects);
    info_line(info, "coherence_tracking:%s%s",
              coherence->tracks ? "yes" : "no: ", coherence->untracked_why);
    info_line(info, "coherence_writers:%s",
              coherence->tracks                             ? "any"
              : namespaces_any_told(info->node->namespaces) ? "nodes"
                                                            : "none");
    info_line(info, "coherence_doubts:%" PRIu64, coherence->doubts);
    info_line(info, "coherence_last_doubt:%s", coherence->doubt);
}

void info_coherence(struct info *info)
{
    const uint64_t *metrics = info->totals.metrics;
    if (info->node->tiers == NULL) {
        info_line(info, "coherence_state:ALONE"); /* this node's L1 is the only copy */
        return;
    }
    info_coherence_state(info);
    info_line(info, "announced_keys:%" PRIu64, metrics[M_ANNOUNCED_KEYS]);
    info_line(info, "announced_flushes:%" PRIu64, metrics[M_ANNOUNCED_FLUSHES]);
    info_line(info, "bus_frames:%" PRIu64, metrics[M_BUS_FRAMES]);
    info_line(info, "bus_told:%" PRIu64, metrics[M_BUS_TOLD]);
    info_line(info, "told_writes:%" PRIu64, metrics[M_TOLD_WRITES]);
    info_line(info, "bus_malformed:%" PRIu64, metrics[M_BUS_MALFORMED]);
    info_line(info, "bus_holes:%" PRIu64, metrics[M_BUS_HOLES]);
    info_line(info, "verdicts_asked:%" PRIu64, metrics[M_VERDICTS]);
    info_line(info, "bus_losses:%" PRIu64, metrics[M_BUS_LOSSES]);
    info_line(info,
              "replays:begun=%" PRIu64 ",whole=%" PRIu64 ",short=%" PRIu64 ",pages=%" PRIu64
              ",frames=%" PRIu64,
              metrics[M_REPLAYS], metrics[M_REPLAYS_WHOLE], metrics[M_REPLAYS_SHORT],
              metrics[M_REPLAY_PAGES], metrics[M_REPLAYED_FRAMES]);
    const struct bans *bans = tiers_bans(info->node->tiers);
    info_line(info, "bans_known:%s", bans_is_whole(bans) ? "yes" : "no");
    info_line(info, "bans_live:%" PRIu64, bans_count(bans));
    info_line(info, "bans_bytes:%" PRIu64, bans_bytes(bans));
    info_line(info, "bans_loaded:%" PRIu64, metrics[M_BANS_LOADED]);
    info_line(info, "bans_swept:%" PRIu64, metrics[M_BANS_SWEPT]);
    info_line(info, "stream_reports_same:%" PRIu64, metrics[M_STREAM_SAME]);
    info_line(info, "stream_reports_different:%" PRIu64, metrics[M_STREAM_DIFFERS]);
    info_line(info, "stream_reports_skipped:%" PRIu64, metrics[M_STREAM_SKIPPED]);
    info_line(info,
              "floors_raised:bus=%" PRIu64 ",epoch=%" PRIu64 ",hole=%" PRIu64 ",stream=%" PRIu64
              ",malformed=%" PRIu64 ",flush=%" PRIu64 ",barrier=%" PRIu64,
              metrics[M_FLOORS_BUS], metrics[M_FLOORS_EPOCH], metrics[M_FLOORS_HOLE],
              metrics[M_FLOORS_STREAM], metrics[M_FLOORS_MALFORMED], metrics[M_FLOORS_FLUSH],
              metrics[M_FLOORS_BARRIER]);
    info_line(info,
              "revalidated:same=%" PRIu64 ",changed=%" PRIu64 ",gone=%" PRIu64 ",failed=%" PRIu64,
              metrics[M_REVALIDATED_SAME], metrics[M_REVALIDATED_CHANGED],
              metrics[M_REVALIDATED_GONE], metrics[M_REVALIDATED_FAILED]);
    info_line(info, "l2_changes:%" PRIu64, metrics[M_TARGETS]);
    info_line(info, "epochs_seen:%" PRIu64, metrics[M_EPOCHS]);
    info_line(info, "beats_sent:%" PRIu64, metrics[M_BEATS]);
    info_line(info, "beats_home:%" PRIu64, metrics[M_BEATS_HOME]);
    info_line(info, "markers_sent:%" PRIu64, metrics[M_MARKERS]);
    info_line(info, "bus_waits_ok:%" PRIu64, metrics[M_WAITS_OK]);
    info_line(info, "bus_waits_timeout:%" PRIu64, metrics[M_WAITS_TIMEOUT]);
    info_line(info, "bus_waits_refused:%" PRIu64, metrics[M_WAITS_REFUSED]);
}

enum {
    NAMESPACE_REPORT_MAX = 1024
};

/* What clients did there, and how much of its quotas is used. */
static void report_text(const struct namespace_report *report, char dst[NAMESPACE_REPORT_MAX])
{
    const struct quota_use *uses = report->uses;
    size_t size = 0;
    for (int i = 0; i < TALLY_COUNT && size < NAMESPACE_REPORT_MAX; i++) {
        size += (size_t)snprintf(dst + size, NAMESPACE_REPORT_MAX - size, ",%s=%" PRIu64,
                                 tally_line((enum tally)i)->name, report->tallies[i]);
    }
    if (size < NAMESPACE_REPORT_MAX) {
        (void)snprintf(dst + size, NAMESPACE_REPORT_MAX - size,
                       ",ops_per_second=%" PRIu64 ",bytes_per_second=%" PRIu64 ",max_ops=%" PRIu64
                       ",max_bytes=%" PRIu64 ",memory_percent=%u,ops_percent=%u,bytes_percent=%u",
                       uses[QUOTA_OPS].used, uses[QUOTA_BYTES].used, uses[QUOTA_OPS].limit,
                       uses[QUOTA_BYTES].limit, uses[QUOTA_MEMORY].percent, uses[QUOTA_OPS].percent,
                       uses[QUOTA_BYTES].percent);
    }
}

/* A line each, as Redis' keyspace. Hits and misses since the start, or since it was added. */
void info_namespaces(struct info *info)
{
    const struct namespace *ns;
    for (unsigned at = 0; (ns = namespaces_next(info->node->namespaces, &at)) != NULL;) {
        char mode[NAMESPACE_MODE_TEXT_MAX];
        struct namespace_report report;
        char more[NAMESPACE_REPORT_MAX];
        const struct l1_stats *l1 = &report.l1;
        namespace_report(info->node, ns, &report);
        report_text(&report, more);
        namespace_mode_text(ns, mode);
        info_line(info,
                  "ns_%s:prefix=%.*s,format=%s,mode=%s,writers=%s,write=%s,policy=%s,items=%" PRIu64
                  ",bytes=%zu,bytes_max=%zu,hits=%" PRIu64 ",misses=%" PRIu64 ",evictions=%" PRIu64
                  ",ttl_ms=%" PRId64 "%s",
                  ns->name, (int)ns->prefix.size, ns->prefix.data,
                  ns->managed ? "managed" : "plain", info->node->tiers == NULL ? "alone" : mode,
                  namespace_told(ns) ? "nodes" : "any",
                  namespace_write_name(ns->managed ? (enum namespace_write)namespace_rules(ns).write
                                                   : NAMESPACE_THROUGH),
                  l1_policy(ns->l1)->name, l1->items, l1->bytes_used, l1->bytes_max, l1->hits,
                  l1->misses, l1->evictions, namespace_ttl_ms(ns), more);
    }
}

/* Sweeps: how many so far, and those that run, a line each. */
void info_invalidation(struct info *info)
{
    const uint64_t *metrics = info->totals.metrics;
    struct sweep_description running[LIMIT_SWEEPS];
    const unsigned count = sweeps_describe(info->node->sweeps, running);
    info_line(info, "sweeps_running:%u", count);
    info_line(info, "sweeps_done:%" PRIu64, metrics[M_SWEEPS_DONE]);
    info_line(info, "sweeps_failed:%" PRIu64, metrics[M_SWEEPS_FAILED]);
    info_line(info, "sweeps_refused:%" PRIu64, metrics[M_SWEEPS_REFUSED]);
    info_line(info, "sweep_keys_looked_at:%" PRIu64, metrics[M_SWEEP_LOOKED]);
    info_line(info, "sweep_keys_deleted:%" PRIu64, metrics[M_SWEEP_DELETED]);
    for (unsigned i = 0; i < count; i++) {
        const struct sweep_description *one = &running[i];
        info_line(info,
                  "sweep_%u:what=%s,ns=%s,db=%u,dryrun=%d,began_ms_ago=%" PRId64
                  ",looked_at=%" PRIu64 ",%s=%" PRIu64,
                  i, one->what, one->ns, one->db, one->dry, info->now_ms - one->began_at_ms,
                  one->looked, one->dry ? "found" : "deleted", one->deleted);
    }
}
