/* SPDX-License-Identifier: BSD-3-Clause */
#include "server/quota_watch.h"

#include "server/node.h"
#include "server/series.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

enum {
    BELOW_PERCENT = 10, /* a level ends when the use is so far below it, */
    BELOW_MS = 10000,   /* for so long */
};

static const unsigned levels[QUOTA_LEVELS] = {50, 80, 100};

struct seat_quota {
    struct quota_alarm alarm;
    uint64_t stopped; /* commands refused, or values evicted, when last looked at */
    _Atomic uint64_t used;
    _Atomic uint64_t limit;
    _Atomic unsigned percent;
    _Atomic unsigned level;
    _Atomic uint64_t alerts[QUOTA_LEVELS];
};

/* Of the namespace that has this place, as long as it has. */
struct seat {
    const struct namespace *ns;
    char name[NAMESPACE_NAME_MAX + 1];
    struct series ops;
    struct series bytes;
    struct seat_quota quotas[QUOTA_KINDS];
};

struct quota_watch {
    struct seat seats[NAMESPACES_MAX];
};

const char *quota_kind_name(enum quota_kind kind)
{
    switch (kind) {
    case QUOTA_MEMORY: return "memory";
    case QUOTA_OPS: return "ops";
    case QUOTA_BYTES: return "bytes";
    case QUOTA_KINDS: break;
    }
    return "";
}

/* --- the alarm ----------------------------------------------------------------------------------------------------- */

unsigned quota_level_percent(unsigned level)
{
    return level == 0 ? 0 : levels[level - 1];
}

unsigned quota_alarm_note(struct quota_alarm *alarm, unsigned percent, int64_t now_ms)
{
    const unsigned before = alarm->told;
    while (alarm->told < QUOTA_LEVELS && percent >= levels[alarm->told]) {
        alarm->told++;
    }
    if (alarm->told == 0 || percent + BELOW_PERCENT > levels[alarm->told - 1]) {
        alarm->low_since_ms = 0;
    } else if (alarm->low_since_ms == 0) {
        alarm->low_since_ms = now_ms;
    } else if (now_ms - alarm->low_since_ms >= BELOW_MS) {
        while (alarm->told > 0 && percent + BELOW_PERCENT <= levels[alarm->told - 1]) {
            alarm->told--;
        }
        alarm->low_since_ms = 0;
    }
    return alarm->told > before ? alarm->told - before : 0;
}

/* --- the namespaces ------------------------------------------------------------------------------------------------ */

struct quota_watch *quota_watch_new(void)
{
    return calloc(1, sizeof(struct quota_watch));
}

void quota_watch_free(struct quota_watch *watch)
{
    free(watch);
}

static unsigned percent_of(uint64_t used, uint64_t limit, bool stopped)
{
    const double percent = limit == 0 ? 0 : (double)used * 100 / (double)limit;
    const unsigned whole = percent >= 1000000 ? 1000000 : (unsigned)percent;
    return stopped && limit > 0 && whole < 100 ? 100 : whole;
}

/* `stopped`: how often the quota stopped something, since the namespace came. */
static void quota_note(struct seat *seat, enum quota_kind kind, struct quota_use use,
                       uint64_t stopped, struct log *log, int64_t now_ms)
{
    struct seat_quota *quota = &seat->quotas[kind];
    use.percent = percent_of(use.used, use.limit, stopped > quota->stopped);
    quota->stopped = stopped;
    const unsigned before = quota->alarm.told;
    const unsigned reached = quota_alarm_note(&quota->alarm, use.percent, now_ms);
    for (unsigned i = before; i < before + reached; i++) {
        atomic_fetch_add_explicit(&quota->alerts[i], 1, memory_order_relaxed);
        log_write(log, kind != QUOTA_MEMORY && levels[i] == 100 ? LOG_WARNING : LOG_NOTICE, "quota",
                  "namespace=%s quota=%s percent=%u used=%" PRIu64 " limit=%" PRIu64, seat->name,
                  quota_kind_name(kind), levels[i], use.used, use.limit);
    }
    atomic_store_explicit(&quota->used, use.used, memory_order_relaxed);
    atomic_store_explicit(&quota->limit, use.limit, memory_order_relaxed);
    atomic_store_explicit(&quota->percent, use.percent, memory_order_relaxed);
    atomic_store_explicit(&quota->level, quota_level_percent(quota->alarm.told),
                          memory_order_relaxed);
}

static void seat_take(struct seat *seat, const struct namespace *ns)
{
    seat->ns = ns;
    memcpy(seat->name, ns->name, sizeof(seat->name));
    series_reset(&seat->ops);
    series_reset(&seat->bytes);
    for (int i = 0; i < QUOTA_KINDS; i++) {
        seat->quotas[i].alarm = (struct quota_alarm){0};
        seat->quotas[i].stopped = 0;
        for (int j = 0; j < QUOTA_LEVELS; j++) {
            atomic_store_explicit(&seat->quotas[i].alerts[j], 0, memory_order_relaxed);
        }
    }
}

static void seat_note(struct seat *seat, const struct namespace *ns, struct log *log,
                      int64_t now_ms)
{
    uint64_t tallies[TALLY_COUNT];
    struct l1_stats l1;
    if (seat->ns != ns || strcmp(seat->name, ns->name) != 0) {
        seat_take(seat, ns);
    }
    namespace_tallies(ns, tallies);
    l1_stats(ns->l1, &l1);
    series_note(&seat->ops, now_ms, tallies[TALLY_OPS]);
    series_note(&seat->bytes, now_ms, tallies[TALLY_BYTES_IN] + tallies[TALLY_BYTES_OUT]);
    quota_note(seat, QUOTA_MEMORY, (struct quota_use){.used = l1.bytes_used, .limit = l1.bytes_max},
               l1.evictions, log, now_ms);
    quota_note(seat, QUOTA_OPS,
               (struct quota_use){.used = series_rate(&seat->ops),
                                  .limit = (uint64_t)quota_rate(&ns->ops)},
               tallies[TALLY_REFUSED_OPS], log, now_ms);
    quota_note(seat, QUOTA_BYTES,
               (struct quota_use){.used = series_rate(&seat->bytes),
                                  .limit = (uint64_t)quota_rate(&ns->bytes)},
               tallies[TALLY_REFUSED_BYTES], log, now_ms);
}

void quota_watch_tick(struct quota_watch *watch, struct node *node, int64_t now_ms)
{
    const struct namespace *ns;
    for (unsigned at = 0; (ns = namespaces_next(node->namespaces, &at)) != NULL;) {
        seat_note(&watch->seats[ns->place], ns, &node->log, now_ms);
    }
}

void quota_watch_read(const struct quota_watch *watch, const struct namespace *ns,
                      enum quota_kind kind, struct quota_use *ret_use)
{
    const struct seat_quota *quota = &watch->seats[ns->place].quotas[kind];
    *ret_use =
        (struct quota_use){.used = atomic_load_explicit(&quota->used, memory_order_relaxed),
                           .limit = atomic_load_explicit(&quota->limit, memory_order_relaxed),
                           .percent = atomic_load_explicit(&quota->percent, memory_order_relaxed),
                           .level = atomic_load_explicit(&quota->level, memory_order_relaxed)};
    for (unsigned i = 0; i < QUOTA_LEVELS; i++) {
        ret_use->alerts[i] = atomic_load_explicit(&quota->alerts[i], memory_order_relaxed);
    }
}
