/* SPDX-License-Identifier: BSD-3-Clause */
/* The section Warming of INFO: what this node brings in before somebody asks for it. */
#include "server/info.h"
#include "server/node.h"
#include "server/warm_desk.h"
#include "server/warm_run.h"
#include "server/worker.h"

#include <inttypes.h>

static double of_one(unsigned thousandths)
{
    return (double)thousandths / JOIN_FULL;
}

static void info_join(struct info *info)
{
    const struct join *join = &info->node->join;
    struct join_rules rules;
    char text[JOIN_TEXT_MAX];
    node_join_rules(info->node, &rules);
    join_describe(join, &rules, info->now_ms, text);
    info_line(info, "join_state:%s", join_state_name(join_state(join)));
    info_line(info, "join_hot_mass:%.3f", of_one(join_mass(join)));
    info_line(info, "join_hot_fits:%.3f", of_one(join_fits(join)));
    info_line(info, "join_promised_hits:%.3f", of_one(join_promise(join)));
    info_line(info, "join_ready_ms:%" PRId64, join_ready_ms(join));
    info_line(info, "join_why:%s", text);
    info_line(info, "weight:%.3f", of_one(join_weight(join)));
}

static void info_jobs(struct info *info)
{
    const uint64_t *metrics = info->totals.metrics;
    struct warm_description jobs;
    struct warm_engine_description engine;
    warm_desk_describe(info->node->workers[0]->warm_desk, &jobs);
    warm_engine_describe(info->node->workers[0]->warm, &engine);
    info_line(info, "warm_takes_part:%d", jobs.takes_part);
    info_line(info, "warm_jobs_open:%u", jobs.open);
    info_line(info, "warm_jobs_here:queued=%u,running=%u,paused=%u", jobs.queued, jobs.running,
              jobs.paused);
    info_line(info, "warm_slots:%u", jobs.slots);
    info_line(info, "warm_keys_loaded:%" PRIu64, metrics[M_WARM_LOADED]);
    info_line(info, "warm_keys_skipped:%" PRIu64, metrics[M_WARM_SKIPPED]);
    info_line(info, "warm_keys_absent:%" PRIu64, metrics[M_WARM_ABSENT]);
    info_line(info, "warm_keys_too_big:%" PRIu64, metrics[M_WARM_TOO_BIG]);
    info_line(info, "warm_keys_failed:%" PRIu64, metrics[M_WARM_FAILED]);
    info_line(info, "warm_bytes:%" PRIu64, metrics[M_WARM_BYTES]);
    info_line(info, "warm_yield:%.3f", engine.factor);
    info_line(info, "warm_p99_us:%" PRId64, engine.p99_us);
    info_line(info, "warm_l2_us:%" PRId64, engine.l2_us);
    info_line(info, "warm_runs:%u", engine.runs);
    info_line(info, "warm_asks:%u", engine.asks);
    info_line(info, "warm_halted:%d", engine.is_halted);
}

static void info_standing(struct info *info)
{
    struct warm_description warm;
    warm_desk_describe(info->node->workers[0]->warm_desk, &warm);
    info_line(info, "standing_jobs:%u", warm.standing.jobs);
    info_line(info, "standing_runs_submitted:%" PRIu64, warm.standing.fired);
    info_line(info, "early_keys_watched:%u", warm.standing.early_keys);
    info_line(info, "prevented_misses:%" PRIu64, info->totals.metrics[M_WARM_PREVENTED]);
}

void info_warming(struct info *info)
{
    info_join(info);
    info_jobs(info);
    info_snapshot(info);
    info_standing(info);
}
