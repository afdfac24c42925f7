/* SPDX-License-Identifier: BSD-3-Clause */
/* The section Warming of INFO, its part about what the node brought along from its former life. */
#include "server/info.h"
#include "server/node.h"
#include "server/snapshots.h"

#include <inttypes.h>

static void info_snapshot_written(struct info *info, const struct snapshots_description *seen)
{
    const int64_t ms_ago = seen->written_at_ms == 0 ? -1 : info->now_ms - seen->written_at_ms;
    info_line(info, "snapshot_file:%s", seen->file);
    info_line(info, "snapshot_busy:%d", seen->is_busy);
    info_line(info, "snapshot_written:%" PRIu64, seen->written);
    info_line(info, "snapshot_failed:%" PRIu64, seen->failed);
    info_line(info, "snapshot_last_error:%s", seen->error);
    info_line(info, "snapshot_last_ms_ago:%" PRId64, ms_ago);
    info_line(info, "snapshot_last_took_ms:%" PRId64, seen->took_ms);
    info_line(info, "snapshot_last_records:%" PRIu64, seen->totals.records);
    info_line(info, "snapshot_last_bytes:%" PRIu64, seen->totals.bytes);
    info_line(info, "snapshot_last_file_bytes:%" PRIu64, seen->file_bytes);
}

static void info_snapshot_found(struct info *info, const struct snapshots_description *seen)
{
    const struct snapshot_restored *restored = &seen->restored;
    info_line(info, "snapshot_found:%s", seen->found);
    info_line(info, "snapshot_refused_why:%s", seen->why);
    info_line(info, "snapshot_restored_managed:%" PRIu64, restored->managed);
    info_line(info, "snapshot_restored_suspects:%" PRIu64, restored->suspects);
    info_line(info, "snapshot_restored_values:%" PRIu64, restored->values);
    info_line(info, "snapshot_restored_bytes:%" PRIu64, restored->bytes);
    info_line(info, "snapshot_left_out:expired=%" PRIu64 ",homeless=%" PRIu64 ",full=%" PRIu64,
              restored->expired, restored->homeless, restored->full);
    info_line(info, "snapshot_age_ms:%" PRId64, restored->down_ms);
    info_line(info, "snapshot_load_ms:%" PRId64, seen->load_ms);
    info_line(info, "snapshot_suspects_left:%" PRIu64,
              snapshots_suspects_left(info->node->snapshots));
}

void info_snapshot(struct info *info)
{
    struct snapshots_description seen;
    if (info->node->snapshots == NULL) {
        return;
    }
    snapshots_describe(info->node->snapshots, &seen);
    info_snapshot_written(info, &seen);
    info_snapshot_found(info, &seen);
}
