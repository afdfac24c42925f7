/* SPDX-License-Identifier: BSD-3-Clause */
/* Contracts of reads: the floor of a limit against every stamp tried one by one, and what each mode and wish say. */
#include "tests/unit/l1_help.h"
#include "tiers/contract.h"

#include <inttypes.h>

#define NOW 1000
#define OPEN                                              \
    {                                                     \
        NOW, NOW - 50, NOW - 400, NOW - 420, NOW - 700, 7 \
    }
#define CLOSED                                             \
    {                                                      \
        NOW, NOW - 300, NOW - 400, NOW - 420, NOW - 700, 7 \
    }

/* As coherence makes them: what was proved for suspects was proved before they became such. */
static struct proof any_proof(struct rand *rand)
{
    struct proof proof = {.now_ms = 40 + (int64_t)rand_below(rand, 40)};
    proof.floor_ms = rand_below(rand, 8) == 0 ? 0 : 1 + (int64_t)rand_below(rand, 40);
    proof.prior_floor_ms = (int64_t)rand_below(rand, (uint64_t)proof.floor_ms + 1);
    proof.proven_ms =
        rand_below(rand, 4) == 0 ? 0 : (int64_t)rand_below(rand, (uint64_t)proof.floor_ms + 1);
    if (proof.proven_ms == proof.floor_ms) {
        proof.proven_ms = 0;
    }
    proof.horizon_ms =
        rand_below(rand, 4) == 0 ? 0 : (int64_t)rand_below(rand, (uint64_t)proof.now_ms + 1);
    return proof;
}

static void the_floor_of_a_limit_accepts_just_the_stamps_whose_age_is_within_it(void **state)
{
    (void)state;
    const uint64_t seed = help_seed();
    struct rand rand;
    rand_seed(&rand, seed);
    unsigned both = 0;
    for (unsigned n = 0; n < 20000; n++) {
        const struct proof proof = any_proof(&rand);
        const int64_t limit_ms = (int64_t)rand_below(&rand, 80);
        const int64_t from_ms = proof_floor_of(&proof, limit_ms);
        bool accepted = false;
        bool refused = false;
        for (int64_t stamp_ms = 1; stamp_ms <= proof.now_ms; stamp_ms++) {
            const bool is_within = proof_age_ms(&proof, stamp_ms) <= limit_ms;
            HELP_CHECK(is_within == (stamp_ms >= from_ms), seed);
            accepted = accepted || is_within;
            refused = refused || !is_within;
        }
        both += accepted && refused;
    }
    assert_true(both > 1000);
}

static void ages_are_those_of_the_view(void **state)
{
    (void)state;
    const uint64_t seed = help_seed();
    struct rand rand;
    rand_seed(&rand, seed);
    for (unsigned n = 0; n < 2000; n++) {
        const struct proof want = any_proof(&rand);
        struct coherence_view view = {0};
        struct proof proof;
        atomic_store(&view.horizon_ms, want.horizon_ms);
        atomic_store(&view.plain.floor_ms, want.floor_ms);
        atomic_store(&view.plain.proven_ms, want.proven_ms);
        atomic_store(&view.plain.prior_floor_ms, want.prior_floor_ms);
        atomic_store(&view.applied_seq, n);
        proof_take(&proof, &view, &view.plain, want.now_ms);
        assert_int_equal(proof.applied_seq, n);
        const int64_t stamp_ms = (int64_t)rand_below(&rand, (uint64_t)want.now_ms);
        assert_int_equal(proof_age_ms(&proof, stamp_ms),
                         coherence_proven_age_ms(&view, false, stamp_ms, want.now_ms));
    }
}

/* --- tables ------------------------------------------------------------------------------------------------------ */

struct row {
    const char *what;
    struct proof proof;
    struct namespace_mode mode;
    struct wish wish;
    int64_t serve_from_ms;
    int64_t spare_from_ms;
    int64_t join_ms;
    int64_t fence_ms;
};

static void check_rows(const struct row *rows, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        const struct row *row = &rows[i];
        const struct contract got = contract_of(&row->proof, &row->mode, &row->wish);
        if (got.serve_from_ms != row->serve_from_ms || got.spare_from_ms != row->spare_from_ms ||
            got.join_ms != row->join_ms || got.fence_ms != row->fence_ms) {
            fail_msg("%s: serve %" PRId64 " spare %" PRId64 " join %" PRId64 " fence %" PRId64,
                     row->what, got.serve_from_ms, got.spare_from_ms, got.join_ms, got.fence_ms);
        }
    }
}

#define NONE  INT64_MAX
#define ALL   INT64_MIN
#define FLOOR (NOW - 400)
#define PRIOR (NOW - 700)

static void each_mode_serves_what_its_row_says(void **state)
{
    (void)state;
    static const struct row rows[] = {
        {"bounded, open", OPEN, {NAMESPACE_BOUNDED, 100, 0}, {0}, FLOOR, FLOOR, 100, 100},
        {"bounded, closed", CLOSED, {NAMESPACE_BOUNDED, 100, 0}, {0}, NONE, NONE, 100, 100},
        {"bounded, at its T", CLOSED, {NAMESPACE_BOUNDED, 300, 0}, {0}, FLOOR, FLOOR, 300, 300},
        {"bounded, after it", CLOSED, {NAMESPACE_BOUNDED, 299, 0}, {0}, NONE, NONE, 299, 299},
        {"strict, open", OPEN, {NAMESPACE_STRICT, 100, 0}, {0}, FLOOR, FLOOR, 100, 100},
        {"strict, closed: joins none", CLOSED, {NAMESPACE_STRICT, 100, 0}, {0}, NONE, NONE, 0, 100},
        {"available, open: suspects are spare",
         OPEN,
         {NAMESPACE_AVAILABLE, 100, 420},
         {0},
         FLOOR,
         PRIOR,
         100,
         100},
        {"available, open, but suspects are too old",
         OPEN,
         {NAMESPACE_AVAILABLE, 100, 401},
         {0},
         FLOOR,
         NOW - 401,
         100,
         100},
        {"available, closed: all within G",
         CLOSED,
         {NAMESPACE_AVAILABLE, 100, 420},
         {0},
         PRIOR,
         PRIOR,
         100,
         100},
        {"available, closed, G is over but for what was just read",
         CLOSED,
         {NAMESPACE_AVAILABLE, 100, 200},
         {0},
         NOW - 200,
         NOW - 200,
         100,
         100},
        {"available, nothing was ever proved",
         {NOW, 0, NOW, 0, 0, 0},
         {NAMESPACE_AVAILABLE, 100, 200},
         {0},
         NOW - 200,
         NOW - 200,
         100,
         100},
        {"ttl, open", OPEN, {NAMESPACE_TTL, 1000, 0}, {0}, ALL, ALL, 1000, 1000},
        {"ttl, closed", CLOSED, {NAMESPACE_TTL, 1000, 0}, {0}, ALL, ALL, 1000, 1000},
    };
    check_rows(rows, sizeof rows / sizeof rows[0]);
}

static void a_wish_takes_the_place_of_the_mode(void **state)
{
    (void)state;
#define BOUNDED                   \
    {                             \
        NAMESPACE_BOUNDED, 100, 0 \
    }
    static const struct row rows[] = {
        {"maxstale below T", OPEN, BOUNDED, {WISH_MAXSTALE, 60, 0, false}, FLOOR, FLOOR, 60, 60},
        {"maxstale below the horizon's age",
         OPEN,
         BOUNDED,
         {WISH_MAXSTALE, 49, 0, false},
         NOW - 49,
         NOW - 49,
         49,
         49},
        {"maxstale 0", OPEN, BOUNDED, {WISH_MAXSTALE, 0, 0, false}, NOW, NOW, 0, 10},
        {"maxstale beyond T, closed",
         CLOSED,
         BOUNDED,
         {WISH_MAXSTALE, 300, 0, false},
         FLOOR,
         FLOOR,
         100,
         100},
        {"maxstale takes in suspects",
         OPEN,
         BOUNDED,
         {WISH_MAXSTALE, 420, 0, false},
         PRIOR,
         PRIOR,
         100,
         100},
        {"any", CLOSED, BOUNDED, {WISH_ANY, 0, 0, false}, ALL, ALL, 100, 100},
        {"fresh", OPEN, BOUNDED, {WISH_FRESH, 0, 0, false}, NONE, NONE, 0, 100},
        {"patient: what the mode allows at once, the rest if L2 does not answer",
         OPEN,
         BOUNDED,
         {WISH_MAXSTALE, 420, 0, true},
         FLOOR,
         PRIOR,
         100,
         100},
        {"patient, closed", CLOSED, BOUNDED, {WISH_ANY, 0, 0, true}, NONE, ALL, 100, 100},
        {"patient, and within less than T",
         OPEN,
         BOUNDED,
         {WISH_MAXSTALE, 49, 0, true},
         NOW - 49,
         NOW - 49,
         49,
         49},
        {"patient in available",
         CLOSED,
         {NAMESPACE_AVAILABLE, 100, 420},
         {WISH_NOTHING, 0, 0, true},
         NONE,
         PRIOR,
         100,
         100},
        {"any in strict, closed",
         CLOSED,
         {NAMESPACE_STRICT, 100, 0},
         {WISH_ANY, 0, 0, false},
         ALL,
         ALL,
         0,
         100},
    };
    check_rows(rows, sizeof rows / sizeof rows[0]);
}

static void a_seq_that_is_not_applied_needs_l2_itself(void **state)
{
    (void)state;
    static const struct row rows[] = {
        {"applied", OPEN, BOUNDED, {WISH_NOTHING, 0, 7, false}, FLOOR, FLOOR, 100, 100},
        {"not applied", OPEN, BOUNDED, {WISH_NOTHING, 0, 8, false}, NONE, NONE, 0, 100},
        {"applied, closed", CLOSED, BOUNDED, {WISH_NOTHING, 0, 7, false}, NONE, NONE, 100, 100},
        {"applied, any: no suspects",
         CLOSED,
         BOUNDED,
         {WISH_ANY, 0, 7, false},
         FLOOR,
         FLOOR,
         100,
         100},
        {"applied, ttl: no suspects",
         CLOSED,
         {NAMESPACE_TTL, 1000, 0},
         {WISH_NOTHING, 0, 7, false},
         FLOOR,
         FLOOR,
         1000,
         1000},
        {"not applied, any", OPEN, BOUNDED, {WISH_ANY, 0, 8, false}, NONE, NONE, 0, 100},
    };
    check_rows(rows, sizeof rows / sizeof rows[0]);
}

static void stale_is_what_is_older_than_the_bound(void **state)
{
    (void)state;
    const struct proof open = OPEN;
    const struct proof closed = CLOSED;
    const struct namespace_mode available = {NAMESPACE_AVAILABLE, 100, 5000};
    const struct namespace_mode ttl = {NAMESPACE_TTL, 100, 0};
    assert_false(contract_is_stale(&open, &available, FLOOR));
    assert_true(contract_is_stale(&open, &available, FLOOR - 1));
    assert_true(contract_is_stale(&closed, &available, FLOOR));
    assert_false(contract_is_stale(&closed, &available, NOW - 100));
    assert_true(contract_is_stale(&closed, &available, NOW - 101));
    assert_false(contract_is_stale(&closed, &ttl, 1));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_floor_of_a_limit_accepts_just_the_stamps_whose_age_is_within_it),
        cmocka_unit_test(ages_are_those_of_the_view),
        cmocka_unit_test(each_mode_serves_what_its_row_says),
        cmocka_unit_test(a_wish_takes_the_place_of_the_mode),
        cmocka_unit_test(a_seq_that_is_not_applied_needs_l2_itself),
        cmocka_unit_test(stale_is_what_is_older_than_the_bound),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
