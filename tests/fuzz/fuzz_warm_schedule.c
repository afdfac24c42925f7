/* SPDX-License-Identifier: BSD-3-Clause */
/* fuzz_warm_schedule.c -- any bytes as when a standing job is due. The first eight are a moment.
 *
 * What must hold: what is refused is told in printable letters; of what is read a next time is found, later than the moment, no
 * farther away than its period, on the minute if it goes by the time of day; and none is left out: from just before it, it is
 * found again. */
#include "protocol/check.h"
#include "tiers/warm_schedule.h"

#include <stdint.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define DAY_MS    INT64_C(86400000)
#define LAST_MS   (INT64_C(4000) * 366 * DAY_MS)
#define MINUTE_MS INT64_C(60000)

static void check_refused(const char error[WARM_SCHEDULE_ERROR_MAX])
{
    const size_t size = strnlen(error, WARM_SCHEDULE_ERROR_MAX);
    CHECK(size > 0 && size < WARM_SCHEDULE_ERROR_MAX);
    for (size_t i = 0; i < size; i++) {
        CHECK(error[i] >= ' ' && error[i] <= '~');
    }
}

static void check_next(const struct warm_schedule *schedule, int64_t after_ms)
{
    const int64_t next_ms = warm_schedule_next(schedule, after_ms);
    const bool by_clock = schedule->every_ms == 0;
    CHECK(next_ms > after_ms);
    CHECK(next_ms - after_ms <= (by_clock ? 8 * DAY_MS : schedule->every_ms));
    CHECK(by_clock ? next_ms % MINUTE_MS == 0 : next_ms % schedule->every_ms == 0);
    CHECK(warm_schedule_next(schedule, next_ms - 1) == next_ms);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct warm_schedule schedule;
    char error[WARM_SCHEDULE_ERROR_MAX];
    int64_t after_ms = 0;
    if (size < sizeof after_ms) {
        return 0;
    }
    memcpy(&after_ms, data, sizeof after_ms);
    after_ms = (int64_t)((uint64_t)after_ms % LAST_MS);
    const struct slice text = {(const char *)data + sizeof after_ms, size - sizeof after_ms};
    if (warm_schedule_parse(text, &schedule, error) != OK) {
        check_refused(error);
        return 0;
    }
    CHECK(schedule.every_ms <= WARM_SCHEDULE_DAYS_MAX * DAY_MS);
    CHECK(schedule.every_ms > 0 || (schedule.days != 0 && schedule.days < 128));
    check_next(&schedule, after_ms);
    return 0;
}
