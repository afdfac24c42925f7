/* SPDX-License-Identifier: BSD-3-Clause */
/* prefetch_help.h -- keys that are warmed, and how that ends. Redis' bytes are written by hand. */
#ifndef TERRACE_TESTS_UNIT_PREFETCH_HELP_H
#define TERRACE_TESTS_UNIT_PREFETCH_HELP_H

#include "protocol/envelope.h"
#include "protocol/resp_write.h"
#include "tests/unit/window_help.h"
#include "tiers/flight_inner.h"
#include "tiers/prefetch.h"

enum {
    BOUND = 60000 /* no proof gets old in these tests */
};

#define VALUE(text)  ":-1\r\n$1\r\n" text "\r\n"
#define NOTHING      ":-2\r\n$0\r\n\r\n"
#define WRONG_TYPE   ":-1\r\n-WRONGTYPE Operation against a key holding the wrong kind of value\r\n"
#define HASH         ":-1\r\n*2\r\n$1\r\n0\r\n*2\r\n$1\r\nf\r\n$1\r\nv\r\n"
#define HASH_UNENDED ":-1\r\n*2\r\n$1\r\n7\r\n*2\r\n$1\r\nf\r\n$1\r\nv\r\n"

struct warmed {
    struct tiers_prefetch prefetch; /* first */
    unsigned ends;
    struct prefetch_result result;
    char error[64];
};

static inline void on_done(struct tiers_prefetch *prefetch, const struct prefetch_result *result)
{
    struct warmed *warmed = (struct warmed *)(void *)prefetch;
    warmed->ends++;
    warmed->result = *result;
    (void)snprintf(warmed->error, sizeof warmed->error, "%.*s", (int)result->error.size,
                   result->error.size == 0 ? "" : result->error.data);
}

static inline enum status begin(struct stage *stage, struct warmed *warmed, const char *name)
{
    const struct ns_key key = namespaces_key(stage->namespaces, 0, slice_of(name));
    warmed->prefetch.on_done = on_done;
    return tiers_prefetch(stage->window, &key, &warmed->prefetch, &warmed->result);
}

/* It is on its way to L2. */
static inline void warm_as(struct stage *stage, struct warmed *warmed, const char *name,
                           enum prefetch_mode mode)
{
    *warmed = (struct warmed){.prefetch = {.mode = mode}};
    assert_int_equal(begin(stage, warmed, name), PENDING);
}

static inline void warm(struct stage *stage, struct warmed *warmed, const char *name)
{
    warm_as(stage, warmed, name, PREFETCH_MISSING);
}

static inline void expect(const struct warmed *warmed, enum prefetch_outcome outcome,
                          enum status status, const char *why)
{
    assert_int_equal(warmed->ends, 1);
    assert_int_equal(warmed->result.outcome, outcome);
    assert_int_equal(warmed->result.status, status);
    if (why == NULL) {
        assert_null(warmed->result.why);
    } else {
        assert_string_equal(warmed->result.why, why);
    }
}

/* It says so at once. */
static inline void expect_skipped(struct stage *stage, const char *name, enum prefetch_mode mode,
                                  const char *why)
{
    struct warmed warmed = {.prefetch = {.mode = mode}};
    assert_int_equal(begin(stage, &warmed, name), OK);
    assert_int_equal(warmed.result.outcome, PREFETCH_SKIPPED);
    assert_string_equal(warmed.result.why, why);
    assert_int_equal(warmed.ends, 0);
}

static inline void open_plain(struct stage *stage)
{
    const struct namespace_spec specs[] = {spec_of("default", "", BOUND)};
    stage_open(stage, specs, 1);
    tiers_window_hash_fields(stage->window, 4);
}

static inline void raise_floor(struct stage *stage, int64_t at_ms)
{
    atomic_store(&stage->view->plain.floor_ms, at_ms);
    prove(stage, at_ms);
}

static inline struct l1_stats stats(const struct stage *stage)
{
    struct l1_stats all;
    namespaces_stats(stage->namespaces, &all);
    return all;
}

static inline void open_managed(struct stage *stage)
{
    struct namespace_spec specs[] = {spec_of("default", "", BOUND), spec_of("m", "m:", BOUND)};
    specs[1].managed = true;
    specs[1].settings.told = true;
    stage_open(stage, specs, 2);
}

#endif
