/* SPDX-License-Identifier: BSD-3-Clause */
#include "tiers/warm_pace.h"

enum {
    MILLI = 1000
};

void warm_pace_init(struct warm_pace *pace, uint64_t keys_per_s, uint64_t bytes_per_s,
                    int64_t now_ms)
{
    *pace = (struct warm_pace){
        .keys = {.rate = keys_per_s},
        .bytes = {.rate = bytes_per_s},
        .factor = 1,
        .filled_at_ms = now_ms,
        .yielded_at_ms = now_ms,
    };
}

void warm_pace_set(struct warm_pace *pace, uint64_t keys_per_s, uint64_t bytes_per_s)
{
    pace->keys.rate = keys_per_s;
    pace->bytes.rate = bytes_per_s;
}

static bool is_above(int64_t value, int64_t target)
{
    return target > 0 && value > target;
}

bool warm_pace_is_due(const struct warm_pace *pace, int64_t now_ms)
{
    return now_ms - pace->yielded_at_ms >= WARM_YIELD_MS;
}

void warm_pace_yield(struct warm_pace *pace, const struct warm_load *load, int64_t now_ms)
{
    pace->yielded_at_ms = now_ms;
    const bool suffers =
        is_above(load->p99_us, load->p99_target_us) || is_above(load->l2_us, load->l2_target_us);
    pace->factor *= suffers ? 1.0 / 2 : WARM_FACTOR_GROW;
    pace->factor = pace->factor > 1 ? 1 : pace->factor;
    pace->factor = pace->factor < WARM_FACTOR_MIN ? WARM_FACTOR_MIN : pace->factor;
}

/* A pause earns no more than one burst. */
static void bucket_fill(struct warm_bucket *bucket, double factor, int64_t passed_ms)
{
    const double rate = (double)bucket->rate * factor / MILLI;
    const double most = rate * WARM_BURST_MS > 1 ? rate * WARM_BURST_MS : 1;
    bucket->level += rate * (double)passed_ms;
    bucket->level = bucket->level > most ? most : bucket->level;
}

static void pace_fill(struct warm_pace *pace, int64_t now_ms)
{
    const int64_t passed_ms = now_ms - pace->filled_at_ms;
    if (passed_ms > 0) {
        bucket_fill(&pace->keys, pace->factor, passed_ms);
        bucket_fill(&pace->bytes, pace->factor, passed_ms);
        pace->filled_at_ms = now_ms;
    }
}

unsigned warm_pace_room(struct warm_pace *pace, unsigned want, int64_t now_ms)
{
    pace_fill(pace, now_ms);
    if (pace->bytes.rate > 0 && pace->bytes.level <= 0) {
        return 0;
    }
    if (pace->keys.rate == 0) {
        return want;
    }
    const double whole = pace->keys.level > 0 ? pace->keys.level : 0;
    return whole < (double)want ? (unsigned)whole : want;
}

void warm_pace_take(struct warm_pace *pace, unsigned keys)
{
    if (pace->keys.rate > 0) {
        pace->keys.level -= keys;
    }
}

void warm_pace_charge(struct warm_pace *pace, uint64_t bytes)
{
    if (pace->bytes.rate > 0) {
        pace->bytes.level -= (double)bytes;
    }
}

double warm_pace_factor(const struct warm_pace *pace)
{
    return pace->factor;
}
