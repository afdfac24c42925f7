/* SPDX-License-Identifier: BSD-3-Clause */
/* Of bans (bans.h) clients that keep values are told like of changes: of those keys that they have read and that a ban of a
 * prefix may bind. A ban that names tags or a pattern says nothing of keys, and who listens to prefixes (BCAST) may keep what
 * nobody has a row of: then all are told to drop everything, and so when looking would take long, or is done too often.
 *
 * A client has its row before the value is looked up, and a ban is in its table before rows are looked at: either the
 * look-up comes behind the ban, or the row is found. */
#include "protocol/frame_ban.h"
#include "server/node.h"
#include "server/tracking.h"

#include <string.h>

enum {
    LOOKS_MAX = 1 << 18, /* rows times bans, in so long: some percent of the control loop's time */
    LOOKS_MS = 1000
};

struct bound {
    const struct namespaces *spaces;
    struct frame_ban ban;
};

/* May it bind a value of that key? */
static bool is_bound(void *arg, struct slice key)
{
    const struct bound *bound = arg;
    const struct slice prefix = bound->ban.text;
    if (key.size < prefix.size || memcmp(key.data, prefix.data, prefix.size) != 0) {
        return false;
    }
    const struct namespace *ns = namespace_of(bound->spaces, key);
    return ns->managed &&
           (bound->ban.ns.size == 0 || slice_equal(bound->ban.ns, slice_of(ns->name)));
}

/* How many; 0: not of prefixes alone, or it is malformed. */
static size_t count_prefixes(struct slice entries)
{
    struct frame_ban ban;
    size_t position = 0;
    size_t count = 0;
    enum status status = OK;
    while ((status = frame_ban_next(entries, 0, &position, &ban)) == OK) {
        if (ban.kind != FRAME_BAN_PREFIX) {
            return 0;
        }
        count++;
    }
    return status == AGAIN ? count : 0;
}

/* Beats wait behind it. Who is told to drop everything has no rows any more, so what follows costs nothing. */
static bool may_look(struct tracking *tracking, size_t bans, size_t keys)
{
    const int64_t now_ms = clock_now_ms(&tracking->node->clock);
    if (now_ms - tracking->looks_since_ms >= LOOKS_MS) {
        tracking->looks_since_ms = now_ms;
        tracking->looks = 0;
    }
    if (keys > (LOOKS_MAX - tracking->looks) / bans) {
        return false;
    }
    tracking->looks += keys * bans;
    return true;
}

void tracking_banned(struct tracking *tracking, struct slice entries)
{
    if (!tracking_is_wanted(tracking)) {
        return;
    }
    const size_t bans = count_prefixes(entries);
    const size_t keys = tracking_table_keys(tracking->table);
    if (bans == 0 || tracking_broadcasts(tracking) || !may_look(tracking, bans, keys)) {
        tracking_doubt(tracking);
        return;
    }
    struct bound bound = {.spaces = tracking->node->namespaces};
    size_t position = 0;
    while (frame_ban_next(entries, 0, &position, &bound.ban) == OK) {
        if (!tracking_tell_fitting(tracking, is_bound, &bound)) {
            tracking_doubt(tracking);
            return;
        }
    }
}
