/* SPDX-License-Identifier: BSD-3-Clause */
#include "tiers/warm_schedule.h"

#include <stdio.h>

enum {
    DAYS = 7,
    THURSDAY = 3, /* the first of January 1970 */
    MINUTES = 24 * 60,
    AHEAD_MAX = 14 * 60,
    EVERY_DAY = (1 << DAYS) - 1
};
#define MINUTE_MS INT64_C(60000)
#define DAY_MS    (MINUTES * MINUTE_MS)

static const char *const day_names[DAYS] = {"mon", "tue", "wed", "thu", "fri", "sat", "sun"};

/* What cannot be printed is shown as a dot. */
static enum status wrong(char error[WARM_SCHEDULE_ERROR_MAX], struct slice word,
                         const char *expected)
{
    char shown[WARM_SCHEDULE_TEXT_MAX];
    size_t size = 0;
    for (; size < word.size && size < sizeof shown - 1; size++) {
        const char c = word.data[size];
        shown[size] = c;
        if (c < ' ' || c > '~') {
            shown[size] = '.';
        }
    }
    shown[size] = '\0';
    (void)snprintf(error, WARM_SCHEDULE_ERROR_MAX, "'%s' where %s was expected", shown, expected);
    return INVALID;
}

/* "HH:MM" with two digits each; -1: it is none. */
static int minutes_of(struct slice word)
{
    if (word.size != 5 || word.data[2] != ':') {
        return -1;
    }
    for (size_t i = 0; i < word.size; i++) {
        if (i != 2 && (word.data[i] < '0' || word.data[i] > '9')) {
            return -1;
        }
    }
    const int hour = (word.data[0] - '0') * 10 + word.data[1] - '0';
    const int minute = (word.data[3] - '0') * 10 + word.data[4] - '0';
    return hour < 24 && minute < 60 ? hour * 60 + minute : -1;
}

/* -1: it is none. */
static int day_of(struct slice word)
{
    for (int day = 0; day < DAYS; day++) {
        if (slice_is_nocase(word, day_names[day])) {
            return day;
        }
    }
    return -1;
}

/* "mon", "mon-fri", "fri-mon"; 0: it is none. */
static uint8_t days_of(struct slice word)
{
    struct slice rest = word;
    const int first = day_of(slice_next_word(&rest, "-"));
    int last = first;
    if (first < 0) {
        return 0;
    }
    if (word.size > 3) {
        last = word.data[3] == '-' ? day_of((struct slice){word.data + 4, word.size - 4}) : -1;
    }
    if (last < 0) {
        return 0;
    }
    uint8_t days = 0;
    for (int day = first;; day = (day + 1) % DAYS) {
        days |= (uint8_t)(1 << day);
        if (day == last) {
            return days;
        }
    }
}

static enum status parse_days(struct slice word, struct warm_schedule *schedule, char error[])
{
    size_t begin = 0;
    schedule->days = 0;
    for (size_t at = 0; at <= word.size; at++) {
        if (at < word.size && word.data[at] != ',') {
            continue;
        }
        const struct slice part = {word.data + begin, at - begin};
        const uint8_t days = days_of(part);
        if (days == 0) {
            return wrong(error, part, "a day or days as mon, mon-fri or sat,sun");
        }
        schedule->days |= days;
        begin = at + 1;
    }
    return OK;
}

static enum status parse_ahead(struct slice word, struct warm_schedule *schedule, char error[])
{
    const int minutes = minutes_of((struct slice){word.data + 1, word.size - 1});
    if (minutes < 0 || minutes > AHEAD_MAX) {
        return wrong(error, word, "an offset from UTC as +01:00, of at most 14 hours");
    }
    schedule->ahead = word.data[0] == '-' ? -minutes : minutes;
    return OK;
}

static bool is_ahead(struct slice word)
{
    return word.size > 0 && (word.data[0] == '+' || word.data[0] == '-');
}

/* HH:MM [days] [offset] */
static enum status parse_daily(struct slice text, struct warm_schedule *schedule, char error[])
{
    const struct slice time = slice_next_word(&text, " ");
    schedule->minute = minutes_of(time);
    schedule->days = EVERY_DAY;
    if (schedule->minute < 0) {
        return wrong(error, time, "a time as 08:55, or 'every 5m',");
    }
    struct slice word = slice_next_word(&text, " ");
    enum status status = OK;
    if (word.size > 0 && !is_ahead(word)) {
        status = parse_days(word, schedule, error);
        word = slice_next_word(&text, " ");
    }
    if (status == OK && is_ahead(word)) {
        status = parse_ahead(word, schedule, error);
        word = slice_next_word(&text, " ");
    }
    return status != OK || word.size == 0 ? status : wrong(error, word, "the end");
}

static enum status parse_every(struct slice text, struct warm_schedule *schedule, char error[])
{
    static const char expected[] = "a span as 30s, 5m, 2h or 1d, of at most 366d,";
    const struct slice word = slice_next_word(&text, " ");
    const struct slice more = slice_next_word(&text, " ");
    uint64_t number = 0;
    int64_t unit_ms = 0;
    if (word.size >= 2 && slice_to_u64((struct slice){word.data, word.size - 1}, &number) == OK) {
        switch (word.data[word.size - 1]) {
        case 's': unit_ms = 1000; break;
        case 'm': unit_ms = MINUTE_MS; break;
        case 'h': unit_ms = 60 * MINUTE_MS; break;
        case 'd': unit_ms = DAY_MS; break;
        default: break;
        }
    }
    if (unit_ms == 0 || number == 0 ||
        number > (uint64_t)(WARM_SCHEDULE_DAYS_MAX * DAY_MS / unit_ms)) {
        return wrong(error, word, expected);
    }
    schedule->every_ms = (int64_t)number * unit_ms;
    return more.size == 0 ? OK : wrong(error, more, "the end");
}

enum status warm_schedule_parse(struct slice text, struct warm_schedule *ret_schedule,
                                char error[WARM_SCHEDULE_ERROR_MAX])
{
    struct slice rest = text;
    *ret_schedule = (struct warm_schedule){0};
    if (text.size >= WARM_SCHEDULE_TEXT_MAX) {
        return wrong(error, text, "a schedule of less than 64 bytes");
    }
    if (slice_is_nocase(slice_next_word(&rest, " "), "every")) {
        return parse_every(rest, ret_schedule, error);
    }
    return parse_daily(text, ret_schedule, error);
}

/* Days since 1970, of a time that is not negative but for the zone. */
static int64_t day_at(int64_t ms)
{
    return (ms + DAY_MS) / DAY_MS - 1;
}

int64_t warm_schedule_next(const struct warm_schedule *schedule, int64_t after_ms)
{
    if (schedule->every_ms > 0) {
        return (after_ms / schedule->every_ms + 1) * schedule->every_ms;
    }
    const int64_t ahead_ms = schedule->ahead * MINUTE_MS;
    for (int64_t day = day_at(after_ms + ahead_ms);; day++) {
        const int64_t at_ms = day * DAY_MS + schedule->minute * MINUTE_MS - ahead_ms;
        const int weekday = (int)((day + THURSDAY + DAYS) % DAYS);
        if (at_ms > after_ms && (schedule->days >> weekday & 1) != 0) {
            return at_ms;
        }
    }
}
