/* SPDX-License-Identifier: BSD-3-Clause */
#include "server/join.h"

#include <stdio.h>

enum {
    PERCENT = JOIN_FULL / 100,
    AS_THE_OTHERS = 950,
    NEARLY_ALL = 995,
    MS_PER_S = 1000,
    NOT_YET = -1
};
#define ROUNDING 1e-9

enum join_state join_state(const struct join *join)
{
    return (enum join_state)atomic_load(&join->state);
}

const char *join_state_name(enum join_state state)
{
    switch (state) {
    case JOIN_APART: return "apart";
    case JOIN_WARMING: return "warming";
    case JOIN_WARM: return "warm";
    case JOIN_LATE: return "late";
    case JOIN_NOTHING: return "nothing";
    }
    return "?";
}

bool join_is_ready(const struct join *join)
{
    const enum join_state state = join_state(join);
    return state != JOIN_APART && state != JOIN_WARMING;
}

unsigned join_weight(const struct join *join)
{
    return atomic_load(&join->weight);
}

unsigned join_promise(const struct join *join)
{
    return atomic_load(&join->promise);
}

unsigned join_fits(const struct join *join)
{
    return atomic_load(&join->fits);
}

unsigned join_mass(const struct join *join)
{
    return atomic_load(&join->mass);
}

int64_t join_ready_ms(const struct join *join)
{
    return join_is_ready(join) ? atomic_load(&join->took_ms) : -1;
}

/* --- readiness --------------------------------------------------------------------------------------------------- */

void join_alone(struct join *join)
{
    atomic_store(&join->nothing, "this node is alone");
    atomic_store(&join->state, JOIN_NOTHING);
    atomic_store(&join->weight, JOIN_FULL);
    join->is_full = true;
}

/* Who has been at the target once is ready by then, so that what changes meanwhile holds up nobody. */
static int64_t lingers_until(const struct join *join, const struct join_rules *rules)
{
    const int64_t until_ms = atomic_load(&join->target_ms) + JOIN_LINGER_MS;
    return until_ms < rules->deadline_ms ? until_ms : rules->deadline_ms;
}

static enum join_state next_state(struct join *join, const struct join_rules *rules,
                                  int64_t took_ms)
{
    const unsigned mass = join_mass(join);
    const unsigned target = rules->target_percent * PERCENT;
    if (atomic_load(&join->nothing) != NULL) {
        return JOIN_NOTHING;
    }
    if (mass >= target && atomic_load(&join->target_ms) < 0) {
        atomic_store(&join->target_ms, took_ms);
    }
    if (atomic_load(&join->target_ms) < 0) {
        return took_ms >= rules->deadline_ms ? JOIN_LATE : JOIN_WARMING;
    }
    const bool lingers =
        target > 0 && mass < JOIN_NEARLY_WARM && took_ms < lingers_until(join, rules);
    return lingers ? JOIN_WARMING : JOIN_WARM;
}

void join_tick(struct join *join, const struct join_rules *rules, bool reached, int64_t now_ms)
{
    switch (join_state(join)) {
    case JOIN_APART:
        if (reached) {
            atomic_store(&join->began_ms, now_ms);
            atomic_store(&join->target_ms, NOT_YET);
            atomic_store(&join->state, JOIN_WARMING);
        }
        break;
    case JOIN_WARMING: {
        const int64_t took_ms = now_ms - atomic_load(&join->began_ms);
        atomic_store(&join->took_ms, took_ms); /* before the state that makes others look at it */
        atomic_store(&join->mass_then, join_mass(join));
        atomic_store(&join->state, (int)next_state(join, rules, took_ms));
        break;
    }
    case JOIN_WARM:
    case JOIN_LATE:
    case JOIN_NOTHING: break;
    }
}

/* Counts have faded, so that sums of the same in two orders differ by a little: that must not look like a key that is missing. */
static unsigned thousandths(double part, double whole)
{
    const double share = whole > 0 && part > 0 ? part / whole + ROUNDING : 0;
    return share < 1 ? (unsigned)(share * JOIN_FULL) : (unsigned)JOIN_FULL;
}

void join_tell_mass(struct join *join, const struct join_mass *mass)
{
    atomic_store(&join->promise, thousandths(mass->held, mass->total));
    atomic_store(&join->fits, thousandths(mass->all, mass->listed));
    atomic_store(&join->mass, thousandths(mass->held, mass->all));
}

void join_tell_nothing(struct join *join, const char *why)
{
    atomic_store(&join->nothing, why);
}

/* --- weight ------------------------------------------------------------------------------------------------------ */

void join_expect(struct join *join, uint64_t reads_per_s)
{
    atomic_store(&join->expects, reads_per_s);
}

uint64_t join_expects(const struct join *join)
{
    return atomic_load(&join->expects);
}

uint32_t join_misses_per_s(const struct join *join)
{
    return atomic_load(&join->misses_per_s);
}

void join_note_reads(struct join *join, uint64_t hits, uint64_t reads)
{
    const uint64_t misses = reads - hits;
    atomic_store(&join->misses_per_s, misses < UINT32_MAX ? (uint32_t)misses : UINT32_MAX);
    if (join_is_ready(join)) {
        join->hits = join->hits * 3 / 4 + hits;
        join->reads = join->reads * 3 / 4 + reads;
    }
}

/* How often this node hits, as a share of how often the others do; in thousandths, at most all. */
static unsigned as_good_as_others(const struct join *join)
{
    const uint64_t own = join->reads >= JOIN_READS_ENOUGH ? join->hits * JOIN_FULL / join->reads
                                                          : atomic_load(&join->promise);
    const uint64_t share = own * JOIN_FULL / join->others;
    return share < JOIN_FULL ? (unsigned)share : (unsigned)JOIN_FULL;
}

static unsigned slow_start(struct join *join, const struct join_rules *rules, int64_t now_ms)
{
    const int64_t ready_ms = now_ms - atomic_load(&join->began_ms) - atomic_load(&join->took_ms);
    join->is_full = join->is_full || ready_ms >= rules->slow_start_ms;
    if (join->is_full || join->others == 0) { /* of the others nothing may have been heard yet */
        return JOIN_FULL;
    }
    const unsigned share = as_good_as_others(join);
    join->is_full = share >= AS_THE_OTHERS && join->reads >= JOIN_READS_ENOUGH;
    const unsigned by_hits = JOIN_START + (JOIN_FULL - JOIN_START) * share / JOIN_FULL;
    const unsigned by_time = (unsigned)(ready_ms * JOIN_FULL / rules->slow_start_ms);
    const unsigned weight = by_time > by_hits ? by_time : by_hits;
    return join->is_full ? (unsigned)JOIN_FULL : weight;
}

unsigned join_weigh(struct join *join, const struct join_rules *rules, int others, bool drains,
                    int64_t now_ms)
{
    join->others = others >= 0 ? (unsigned)others : join->others;
    const unsigned weight = drains || !join_is_ready(join) ? 0 : slow_start(join, rules, now_ms);
    atomic_store(&join->weight, weight);
    return weight;
}

/* --- words ------------------------------------------------------------------------------------------------------- */

static void describe_mass(const struct join *join, const char *what, char text[JOIN_TEXT_MAX])
{
    const int64_t ms = atomic_load(&join->took_ms);
    const unsigned fits = join_fits(join);
    char part[48] = "";
    if (fits < NEARLY_ALL) {
        (void)snprintf(part, sizeof part, " (of the %u %% that can be kept here)", fits / PERCENT);
    }
    (void)snprintf(text, JOIN_TEXT_MAX, "%s: %u %% of hot mass%s after %lld.%lld s", what,
                   atomic_load(&join->mass_then) / PERCENT, part, (long long)(ms / MS_PER_S),
                   (long long)(ms % MS_PER_S / 100));
}

static void describe_way(const struct join *join, const struct join_rules *rules, int64_t now_ms,
                         char text[JOIN_TEXT_MAX])
{
    const bool lingers = atomic_load(&join->target_ms) >= 0;
    (void)snprintf(text, JOIN_TEXT_MAX,
                   "warming: %u %% of hot mass after %lld ms; ready at %u %%, or after %lld ms",
                   join_mass(join) / PERCENT, (long long)(now_ms - atomic_load(&join->began_ms)),
                   lingers ? JOIN_NEARLY_WARM / PERCENT : rules->target_percent,
                   (long long)(lingers ? lingers_until(join, rules) : rules->deadline_ms));
}

void join_describe(const struct join *join, const struct join_rules *rules, int64_t now_ms,
                   char text[JOIN_TEXT_MAX])
{
    const char *nothing = atomic_load(&join->nothing);
    switch (join_state(join)) {
    case JOIN_APART:
        (void)snprintf(text, JOIN_TEXT_MAX, "warming has not begun: L2 was not reached yet");
        break;
    case JOIN_WARMING: describe_way(join, rules, now_ms, text); break;
    case JOIN_WARM: describe_mass(join, "warm", text); break;
    case JOIN_LATE: describe_mass(join, "deadline", text); break;
    case JOIN_NOTHING:
        (void)snprintf(text, JOIN_TEXT_MAX, "nothing to warm: %s", nothing != NULL ? nothing : "");
        break;
    }
}
