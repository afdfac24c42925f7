/* SPDX-License-Identifier: BSD-3-Clause */
/* near_help.h -- short ways to say what the tests of L0 say often. Time is a plain number. */
#ifndef TERRACE_TESTS_UNIT_NEAR_HELP_H
#define TERRACE_TESTS_UNIT_NEAR_HELP_H

#include "client/near.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

enum {
    T0 = 1000000,
    T = 1000, /* the contract of what is read, unless a test says otherwise */
};

static inline struct near *help_near(size_t bytes_max)
{
    struct near *near = near_new(&(struct near_options){.bytes_max = bytes_max});
    assert_non_null(near);
    return near;
}

static inline struct near_stream help_open(struct near *near, int64_t now_ms)
{
    struct near_stream stream = {0};
    assert_int_equal(near_stream_open(near, &stream, now_ms), OK);
    return stream;
}

/* A beat that was sent at sent_ms and proves what was acknowledged `age_ms` before. */
static inline void help_beat(struct near *near, struct near_stream *stream, int64_t sent_ms,
                             uint64_t age_ms)
{
    const struct near_beat beat = {
        .seq = stream->seq, .sent_ms = sent_ms, .has_horizon = true, .horizon_age_ms = age_ms};
    assert_int_equal(near_stream_beat(near, stream, &beat, sent_ms + 1), OK);
}

static inline struct near_ticket help_begin(struct near *near, const struct near_stream *stream,
                                            const char *key, int64_t now_ms)
{
    struct near_ticket ticket;
    near_begin(near, stream, slice_of(key), now_ms, &ticket);
    return ticket;
}

static inline void help_land(struct near *near, const char *key, const struct near_ticket *ticket,
                             const char *value, int64_t now_ms)
{
    const struct near_answer answer = {
        .value = slice_of(value), .ttl_ms = -1, .age_ms = 0, .near_ms = T};
    near_land(near, slice_of(key), ticket, &answer, now_ms);
}

/* Asked and answered in the same millisecond. */
static inline void help_read(struct near *near, const struct near_stream *stream, const char *key,
                             const char *value, int64_t now_ms)
{
    const struct near_ticket ticket = help_begin(near, stream, key, now_ms);
    help_land(near, key, &ticket, value, now_ms);
}

static inline void help_event(struct near *near, struct near_stream *stream, const char *key,
                              int64_t now_ms)
{
    const struct slice slice = slice_of(key);
    assert_int_equal(near_stream_event(near, stream, stream->seq + 1, &slice, 1, false, now_ms),
                     OK);
}

static inline void help_event_all(struct near *near, struct near_stream *stream, int64_t now_ms)
{
    assert_int_equal(near_stream_event(near, stream, stream->seq + 1, NULL, 0, true, now_ms), OK);
}

/* Whether the key is served with exactly this value; NULL: not served. */
static inline bool help_serves(struct near *near, const char *key, const char *value,
                               int64_t now_ms)
{
    struct near_value got;
    if (near_get(near, slice_of(key), now_ms, INT64_MAX, 0, &got) != OK) {
        return value == NULL;
    }
    const bool is_same = value != NULL && slice_is(got.bytes, value);
    near_value_done(&got);
    return is_same;
}

/* Of what is served, or handed out as stale: how old it is said to be. -2: neither. */
static inline int64_t help_age(struct near *near, const char *key, int64_t now_ms)
{
    struct near_value got;
    const enum status status = near_get(near, slice_of(key), now_ms, INT64_MAX, INT64_MAX, &got);
    if (status == MISS) {
        return -2;
    }
    const int64_t age_ms = got.age_ms;
    near_value_done(&got);
    return age_ms;
}

static inline struct near_stats help_near_stats(struct near *near)
{
    struct near_stats stats;
    near_stats(near, &stats);
    return stats;
}

#endif
