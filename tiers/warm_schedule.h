/* SPDX-License-Identifier: BSD-3-Clause */
/* warm_schedule.h -- when a standing warm job is due, in few words.
 *
 *      every 5m                 s, m, h or d: at whole multiples since 1970 in UTC, so "every 5m" is at :00, :05, :10 ... on
 *                               every node, whenever it was registered; "every 1d" at midnight
 *      08:55                    each day
 *      08:55 mon-fri            on these days; also sat,sun or mon,wed-fri or fri-mon
 *      08:55 mon-fri +02:00     in a zone that far ahead of UTC; days are those of that zone
 *
 * Times are UTC unless an offset is said. There are no time zones by name and no summer time: a cluster has no one zone
 * file, and a job at 02:30 would come twice or never on two days of the year. Months do not matter to any of this.
 *
 * Pure. Units: milliseconds of Unix time. */
#ifndef TERRACE_TIERS_WARM_SCHEDULE_H
#define TERRACE_TIERS_WARM_SCHEDULE_H

#include "protocol/bytes.h"

enum {
    WARM_SCHEDULE_ERROR_MAX = 160,
    WARM_SCHEDULE_TEXT_MAX = 64,
    WARM_SCHEDULE_DAYS_MAX = 366 /* "every 366d" */
};

struct warm_schedule {
    int64_t every_ms; /* 0: by the time of day */
    int minute;       /* of the day, in the zone */
    int ahead;        /* minutes that the zone is ahead of UTC */
    uint8_t days;     /* bit 0: monday */
};

/* INVALID: `error` says what was read and what was expected. */
enum status warm_schedule_parse(struct slice text, struct warm_schedule *ret_schedule,
                                char error[WARM_SCHEDULE_ERROR_MAX]) MUST_USE;
/* The first time that is later than `after_ms`, which is not negative. */
int64_t warm_schedule_next(const struct warm_schedule *schedule, int64_t after_ms);

#endif
