/* SPDX-License-Identifier: BSD-3-Clause */
#include "tests/sim/oracle.h"

#include "protocol/check.h"
#include "tests/sim/node.h"

#include <inttypes.h>
#include <stdlib.h>

/* Nobody need tell when a life is over, so no bound goes with it: only the drift of clocks, and their grain. */
#define LIFE_GRAIN_US (5 * (int64_t)SIM_MS)

struct oracle *oracle_new(struct world *world)
{
    struct oracle *oracle = sim_alloc(sizeof *oracle);
    oracle->world = world;
    oracle->write_count = 1; /* 0 is nobody's */
    oracle->write_capacity = 256;
    oracle->writes = sim_alloc(oracle->write_capacity * sizeof oracle->writes[0]);
    for (unsigned i = 0; i < SIM_SLOTS; i++) {
        oracle_changed(oracle, i, 0, 0, 0, 0); /* at first there is nothing */
    }
    return oracle;
}

void oracle_free(struct oracle *oracle)
{
    for (unsigned i = 0; i < SIM_SLOTS; i++) {
        free(oracle->slots[i].versions);
    }
    free(oracle->writes);
    free(oracle);
}

int64_t oracle_bound_us(const struct world *world, unsigned slot)
{
    const bool is_wide = slot % SIM_KEYS == SIM_KEYS - 1;
    const int64_t bound_us = (is_wide ? world->wide_bound_ms : world->bound_ms) * SIM_MS;
    return bound_us + bound_us * 2 * NODE_DRIFT_PPM / 1000000 + 3 * SIM_MS;
}

/* --- writes ------------------------------------------------------------------------------------------------------ */

uint64_t oracle_begin_write(struct oracle *oracle, unsigned slot)
{
    if (oracle->write_count == oracle->write_capacity) {
        oracle->write_capacity *= 2;
        oracle->writes = realloc(oracle->writes, oracle->write_capacity * sizeof oracle->writes[0]);
        CHECK(oracle->writes != NULL);
    }
    oracle->writes[oracle->write_count] = (struct write){.slot = slot, .version = -1};
    return oracle->write_count++;
}

static struct version *version_add(struct history *history)
{
    if (history->count == history->capacity) {
        history->capacity = history->capacity == 0 ? 64 : history->capacity * 2;
        history->versions =
            realloc(history->versions, history->capacity * sizeof history->versions[0]);
        CHECK(history->versions != NULL);
    }
    return &history->versions[history->count++];
}

void oracle_changed(struct oracle *oracle, unsigned slot, uint64_t write, uint64_t stands,
                    int64_t expire_us, int64_t acked_us)
{
    struct history *history = &oracle->slots[slot];
    const int64_t now_us = oracle->world->now_us;
    /* A rollback may bring back what expires at once: its end is not older than itself. */
    const int64_t before_us =
        history->count > 0 ? history->versions[history->count - 1].since_us : 0;
    *version_add(history) =
        (struct version){.write = stands,
                         .expire_us = expire_us > now_us || expire_us == 0 ? expire_us : now_us,
                         .since_us = now_us,
                         .acked_us = acked_us > before_us ? acked_us : before_us};
    oracle->changed_us = oracle->world->now_us;
    if (write == 0) {
        return;
    }
    struct write *known = &oracle->writes[write];
    known->version = (int)history->count - 1;
    if (known->told_unknown) {
        world_fail(oracle->world, "I9", "write %" PRIu64 " ran after its client was told UNKNOWN",
                   write);
    }
    if (known->told_down) {
        world_fail(oracle->world, "DOWN", "write %" PRIu64 " ran, its client was told L2DOWN",
                   write);
    }
}

void oracle_acked(struct oracle *oracle, uint64_t write)
{
    struct write *known = &oracle->writes[write];
    if (known->version < 0) {
        world_fail(oracle->world, "ACK", "write %" PRIu64 " is acknowledged and never ran", write);
        return;
    }
    oracle->slots[known->slot].versions[known->version].acked_us = oracle->world->now_us;
}

void oracle_done(struct oracle *oracle, uint64_t write)
{
    if (oracle->writes[write].version < 0) {
        world_fail(oracle->world, "STALE", "write %" PRIu64 " is said to be done and never ran",
                   write);
    }
}

void oracle_unknown(struct oracle *oracle, uint64_t write)
{
    struct write *known = &oracle->writes[write];
    known->told_unknown = true;
    if (known->version >= 0) { /* who looks now sees that it ran */
        oracle_told(oracle, known->slot, known->version);
    }
}

void oracle_down(struct oracle *oracle, uint64_t write)
{
    struct write *known = &oracle->writes[write];
    known->told_down = true;
    if (known->version >= 0) {
        world_fail(oracle->world, "DOWN", "write %" PRIu64 " ran, its client is told L2DOWN",
                   write);
    }
}

int oracle_version_of(const struct oracle *oracle, uint64_t write)
{
    return oracle->writes[write].version;
}

/* --- reads ------------------------------------------------------------------------------------------------------- */

/* A value whose time is over may be shown as nil before anybody deletes it. */
static bool shows(const struct version *version, uint64_t shown, int64_t now_us)
{
    return version->write == shown ||
           (shown == 0 && version->expire_us != 0 && version->expire_us <= now_us);
}

/* Its node may not have found yet that it missed an announcement. */
static bool is_deaf(const struct oracle *oracle, const struct oracle_read *read)
{
    return read->deaf_us != 0 &&
           oracle->world->now_us - read->deaf_us < 2 * oracle_bound_us(oracle->world, read->slot);
}

/* The oldest version that may still be shown. */
static int least_fresh(const struct oracle *oracle, const struct oracle_read *read)
{
    const struct history *history = &oracle->slots[read->slot];
    const int64_t bound_us = oracle_bound_us(oracle->world, read->slot);
    const int64_t before_us = is_deaf(oracle, read) ? 0 : read->called_us - bound_us;
    int at = (int)history->count - 1;
    while (at > 0 && history->versions[at].acked_us >= before_us) {
        at--;
    }
    return at;
}

static int find(const struct oracle *oracle, const struct oracle_read *read, int from)
{
    const struct history *history = &oracle->slots[read->slot];
    for (int i = from > 0 ? from : 0; i < (int)history->count; i++) {
        if (shows(&history->versions[i], read->shown, oracle->world->now_us)) {
            return i;
        }
    }
    return -1;
}

static void report(const struct oracle *oracle, const struct oracle_read *read, int fresh)
{
    struct world *world = oracle->world;
    const int64_t before_ms = (world->now_us - read->called_us) / SIM_MS;
    const int any = find(oracle, read, 0);
    const int newest_ok = find(oracle, read, fresh);
    if (any < 0) {
        world_fail(world, "I0", "slot %u shows v%" PRIu64 ", which never stood there (%s)",
                   read->slot, read->shown, read->how);
    } else if (newest_ok < 0) {
        const struct version *newer = &oracle->slots[read->slot].versions[fresh];
        world_fail(world, "I1",
                   "slot %u shows v%" PRIu64 " (version %d); version %d, v%" PRIu64
                   ", was acknowledged %" PRId64 " ms before the call, %" PRId64 " ms ago (%s)",
                   read->slot, read->shown, any, fresh, newer->write,
                   (read->called_us - newer->acked_us) / SIM_MS, before_ms, read->how);
    } else if (find(oracle, read, read->told_least) < 0) {
        world_fail(world, "STRICT",
                   "slot %u shows v%" PRIu64
                   " (version %d); somebody had been told of version %d before the call, %" PRId64
                   " ms ago (%s)",
                   read->slot, read->shown, newest_ok, read->told_least, before_ms, read->how);
    } else if (find(oracle, read, read->node_least) < 0) {
        world_fail(world, "I3",
                   "slot %u shows v%" PRIu64
                   " (version %d); its node had acknowledged version %d before the call, %" PRId64
                   " ms ago (%s)",
                   read->slot, read->shown, newest_ok, read->node_least, before_ms, read->how);
    } else {
        world_fail(world, "I4",
                   "slot %u shows v%" PRIu64
                   " (version %d); the session had seen version %d before the call, %" PRId64
                   " ms ago (%s)",
                   read->slot, read->shown, newest_ok, read->session_least, before_ms, read->how);
    }
}

static int most(int a, int b)
{
    return a > b ? a : b;
}

bool oracle_is_strict(const struct world *world, unsigned slot)
{
    return world->has_strict && slot % SIM_KEYS == 0;
}

void oracle_told(struct oracle *oracle, unsigned slot, int version)
{
    if (oracle_is_strict(oracle->world, slot)) {
        oracle->told[slot] = most(oracle->told[slot], version);
        oracle->told_count++;
    }
}

/* While two masters accept writes (a split brain, which is not promised to be seen through) each may acknowledge to one
 * link of a node what the other's link does not know, and both may begin an epoch of the same number, so that neither is
 * the newer one. So I3 and I4 are not asked for within T of a promotion; --strict asks all the same: of 8,000 storms of
 * promotions one fails, by two epochs 17. */
static bool may_lag(const struct world *world, const struct oracle_read *read)
{
    return !world->plan.strict && world->promoted_us != 0 &&
           read->called_us - world->promoted_us <= oracle_bound_us(world, SIM_SLOTS - 1);
}

int oracle_judge(struct oracle *oracle, const struct oracle_read *asked)
{
    struct oracle_read lagging = *asked;
    if (may_lag(oracle->world, asked)) {
        lagging.node_least = lagging.session_least = 0;
    }
    if (is_deaf(oracle, asked)) {
        lagging.told_least = 0;
    }
    const struct oracle_read *read = &lagging;
    const struct history *history = &oracle->slots[read->slot];
    const int fresh = least_fresh(oracle, read);
    const int found =
        find(oracle, read,
             most(most(fresh, read->told_least), most(read->session_least, read->node_least)));
    oracle->reads++;
    if (found < 0) {
        report(oracle, read, fresh);
        return -1;
    }
    const struct version *version = &history->versions[found];
    oracle->old_reads += found + 1 < (int)history->count;
    /* A value that is written between PTTL and GET has the life of the former one until its announcement comes; so of
     * one whose write nobody was told of, nothing is asked. */
    if (read->shown != 0 && version->expire_us != 0 && version->acked_us <= read->called_us &&
        version->expire_us + LIFE_GRAIN_US < read->called_us) {
        world_fail(oracle->world, "I1",
                   "slot %u shows v%" PRIu64 ", which expired %" PRId64 " ms before the call (%s)",
                   read->slot, read->shown, (read->called_us - version->expire_us) / SIM_MS,
                   read->how);
        return -1;
    }
    oracle_told(oracle, read->slot, found);
    return found;
}
