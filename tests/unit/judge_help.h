/* SPDX-License-Identifier: BSD-3-Clause */
/* judge_help.h -- short histories and their judge. Times are tiny numbers of nanoseconds. */
#ifndef TERRACE_TESTS_UNIT_JUDGE_HELP_H
#define TERRACE_TESTS_UNIT_JUDGE_HELP_H

#include "client/check/judge.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum {
    BOUND = 1000,
    SLACK = 5,
    LATE = BOUND + SLACK,
    RECORDS_MAX = 4000,
    NODE_A = 0,
    NODE_B = 1,
    REDIS = 2
};

#define MS 1000000ull

struct story {
    struct history_record records[RECORDS_MAX];
    uint32_t count;
    uint64_t window_ns;
    uint64_t grace_ns;
    bool strict;
    struct judge *judge;
};

static inline int set_up(void **state)
{
    struct story *story = calloc(1, sizeof *story);
    story->judge = calloc(1, sizeof *story->judge);
    *state = story;
    return 0;
}

static inline int tear_down(void **state)
{
    struct story *story = *state;
    free(story->judge);
    free(story);
    return 0;
}

static inline struct history_record *add(struct story *story)
{
    assert_in_range(story->count, 0, RECORDS_MAX - 1);
    return &story->records[story->count++];
}

static inline struct history_record *begin_write(struct story *story, uint64_t value,
                                                 uint32_t session, uint16_t node, uint64_t begin_ns)
{
    struct history_record *record = add(story);
    *record = (struct history_record){.kind = HISTORY_SET,
                                      .value = value,
                                      .session = session,
                                      .node = node,
                                      .invoked_ns = begin_ns};
    return record;
}

static inline void end_write(struct story *story, uint64_t value, uint32_t session, uint16_t node,
                             uint64_t end_ns, enum history_outcome outcome)
{
    *add(story) = (struct history_record){.kind = HISTORY_END,
                                          .what = (uint8_t)outcome,
                                          .value = value,
                                          .session = session,
                                          .node = node,
                                          .invoked_ns = 0,
                                          .completed_ns = end_ns};
}

/* By session 100 on node A, acknowledged. */
static inline void set(struct story *story, uint64_t value, uint64_t begin_ns, uint64_t end_ns)
{
    (void)begin_write(story, value, 100, NODE_A, begin_ns);
    end_write(story, value, 100, NODE_A, end_ns, HISTORY_OK);
}

static inline void del(struct story *story, uint64_t value, uint32_t key, uint64_t begin_ns,
                       uint64_t end_ns)
{
    struct history_record *record = begin_write(story, value, 100, NODE_A, begin_ns);
    record->kind = HISTORY_DELETE;
    record->key = key;
    end_write(story, value, 100, NODE_A, end_ns, HISTORY_OK);
    story->records[story->count - 1].key = key;
}

static inline struct history_record *read_on(struct story *story, uint64_t value, uint32_t session,
                                             uint16_t node, uint64_t begin_ns, uint64_t end_ns)
{
    struct history_record *record = add(story);
    *record = (struct history_record){.kind = HISTORY_READ,
                                      .value = value,
                                      .session = session,
                                      .node = node,
                                      .invoked_ns = begin_ns,
                                      .completed_ns = end_ns};
    return record;
}

/* By a session of its own, on node B. */
static inline void read(struct story *story, uint64_t value, uint64_t begin_ns, uint64_t end_ns)
{
    (void)read_on(story, value, 1000 + story->count, NODE_B, begin_ns, end_ns);
}

static inline int by_moment(const void *left, const void *right)
{
    uint64_t a = history_moment(left);
    uint64_t b = history_moment(right);
    return a < b ? -1 : a > b;
}

static inline enum status judge_all(struct story *story)
{
    static const struct history_header header = {
        .bound_ns = BOUND,
        .slack_ns = SLACK,
        .keys = 4,
        .nodes = 3,
        .node = {{BOUND, "a"}, {BOUND, "b"}, {0, "redis"}},
        .prefix = "k",
    };
    struct history_record records[RECORDS_MAX];
    memcpy(records, story->records, story->count * sizeof *records);
    for (uint32_t i = 1; i < story->count; i++) { /* stable, unlike qsort */
        for (uint32_t j = i; j > 0 && by_moment(&records[j - 1], &records[j]) > 0; j--) {
            struct history_record record = records[j];
            records[j] = records[j - 1];
            records[j - 1] = record;
        }
    }
    struct judge_config config = {
        .header = header, .window_ns = story->window_ns, .strict = story->strict};
    config.header.grace_ns = story->grace_ns;
    enum status status = judge_init(story->judge, &config);
    for (uint32_t i = 0; i < story->count && status == OK; i++) {
        status = judge_record(story->judge, &records[i]);
    }
    if (status == OK) {
        status = judge_end(story->judge);
    }
    return status;
}

static inline void assert_rules(struct story *story, const char *expected)
{
    char found[200] = "";
    assert_int_equal(judge_all(story), OK);
    for (int i = 0; i < RULE_COUNT; i++) {
        for (uint64_t j = 0; j < story->judge->violations[i]; j++) {
            (void)snprintf(found + strlen(found), sizeof found - strlen(found), "%s%s",
                           found[0] == '\0' ? "" : ", ", rule_name((enum rule)i));
        }
    }
    judge_done(story->judge);
    assert_string_equal(found, expected);
}

/* Value 1 in [1, 10], value 2 in [100, 110]. */
static inline void two_writes(struct story *story)
{
    set(story, 1, 1, 10);
    set(story, 2, 100, 110);
}

#endif
