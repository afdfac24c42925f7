/* SPDX-License-Identifier: BSD-3-Clause */
#include "tiers/base/rand.h"
#include "tiers/endpoints.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define HOLD_MS 10000

static struct l2_urls parsed(const char *text)
{
    struct l2_urls urls = {0};
    char error[L2_URL_ERROR_MAX] = "";
    assert_int_equal(l2_urls_parse(slice_of(text), &urls, error), OK);
    return urls;
}

static struct endpoints *opened(const struct l2_urls *urls)
{
    struct endpoints *endpoints =
        endpoints_new(&(struct endpoints_options){.urls = urls, .hold_ms = HOLD_MS});
    assert_non_null(endpoints);
    return endpoints;
}

static void current_is(const struct endpoints *endpoints, const char *host)
{
    assert_string_equal(endpoints_current(endpoints)->host, host);
}

static void the_first_by_priority_is_tried_first(void **state)
{
    (void)state;
    struct l2_urls urls = parsed("redis://b?priority=2,redis://a?priority=1");
    struct endpoints *endpoints = opened(&urls);
    current_is(endpoints, "a");
    endpoints_free(endpoints);
    l2_urls_done(&urls);
}

static void three_failures_in_a_row_move_on(void **state)
{
    (void)state;
    struct l2_urls urls = parsed("redis://a,redis://b");
    struct endpoints *endpoints = opened(&urls);
    assert_false(endpoints_on_failure(endpoints, "refused", 1));
    assert_false(endpoints_on_failure(endpoints, "refused", 2));
    endpoints_on_up(endpoints, 3); /* not in a row */
    assert_false(endpoints_on_failure(endpoints, "refused", 4));
    assert_false(endpoints_on_failure(endpoints, "refused", 5));
    current_is(endpoints, "a");
    assert_true(endpoints_on_failure(endpoints, "went away", 6));
    current_is(endpoints, "b");
    struct endpoint_event events[ENDPOINT_EVENTS];
    assert_int_equal(endpoints_events(endpoints, events), 1);
    assert_string_equal(events[0].why, "went away");
    assert_int_equal(events[0].at_ms, 6);
    endpoints_free(endpoints);
    l2_urls_done(&urls);
}

static void what_failed_lately_is_not_gone_back_to_while_another_may_work(void **state)
{
    (void)state;
    struct l2_urls urls = parsed("redis://a,redis://b,redis://c");
    struct endpoints *endpoints = opened(&urls);
    for (int i = 0; i < 3; i++) {
        (void)endpoints_on_failure(endpoints, "a", 100 + i);
    }
    for (int i = 0; i < 3; i++) {
        (void)endpoints_on_failure(endpoints, "b", 200 + i);
    }
    current_is(endpoints, "c"); /* not a: its hold-down is not over */
    endpoints_free(endpoints);
    l2_urls_done(&urls);
}

static void where_all_fail_each_gets_one_attempt_in_turn(void **state)
{
    (void)state;
    struct l2_urls urls = parsed("redis://a,redis://b,redis://c");
    struct endpoints *endpoints = opened(&urls);
    int64_t now_ms = 0;
    for (int i = 0; i < 9; i++) {
        (void)endpoints_on_failure(endpoints, "no", ++now_ms);
    }
    current_is(endpoints, "a"); /* the one whose failure is the longest ago */
    assert_true(endpoints_on_failure(endpoints, "no", ++now_ms));
    current_is(endpoints, "b");
    assert_true(endpoints_on_failure(endpoints, "no", ++now_ms));
    current_is(endpoints, "c");
    endpoints_free(endpoints);
    l2_urls_done(&urls);
}

static void one_endpoint_is_never_left(void **state)
{
    (void)state;
    struct l2_urls urls = parsed("redis://a");
    struct endpoints *endpoints = opened(&urls);
    for (int i = 0; i < 10; i++) {
        assert_false(endpoints_on_failure(endpoints, "no", i));
    }
    assert_int_equal(endpoints_choose(endpoints, NULL, 11), AGAIN);
    assert_null(endpoints_probe_due(endpoints, 99999));
    endpoints_free(endpoints);
    l2_urls_done(&urls);
}

static void breaker_is(const struct endpoints *endpoints, size_t i, const char *name)
{
    struct endpoint_description all[L2_URLS_MAX];
    assert_true(i < endpoints_describe(endpoints, all));
    assert_string_equal(endpoint_breaker_names[all[i].breaker], name);
}

static void a_breaker_opens_after_three_failures_and_is_half_open_while_it_is_tried(void **state)
{
    (void)state;
    struct l2_urls urls = parsed("redis://a");
    struct endpoints *endpoints = opened(&urls);
    for (int i = 0; i < ENDPOINT_FAILURES; i++) {
        endpoints_on_attempt(endpoints);
        breaker_is(endpoints, 0, "closed");
        (void)endpoints_on_failure(endpoints, "refused", 100 + i);
    }
    breaker_is(endpoints, 0, "open");
    endpoints_on_attempt(endpoints);
    breaker_is(endpoints, 0, "half-open");
    (void)endpoints_on_failure(endpoints, "refused", 200);
    breaker_is(endpoints, 0, "open");
    endpoints_on_attempt(endpoints);
    endpoints_on_up(endpoints, 300);
    breaker_is(endpoints, 0, "closed");
    endpoints_free(endpoints);
    l2_urls_done(&urls);
}

static void each_endpoint_has_a_breaker_of_its_own(void **state)
{
    (void)state;
    struct l2_urls urls = parsed("redis://a,redis://b");
    struct endpoints *endpoints = opened(&urls);
    for (int i = 0; i < ENDPOINT_FAILURES; i++) {
        endpoints_on_attempt(endpoints);
        (void)endpoints_on_failure(endpoints, "refused", 100 + i);
    }
    current_is(endpoints, "b");
    endpoints_on_attempt(endpoints);
    breaker_is(endpoints, 0, "open");
    breaker_is(endpoints, 1, "closed");
    endpoints_free(endpoints);
    l2_urls_done(&urls);
}

static void a_group_is_not_probed(void **state)
{
    (void)state;
    struct l2_urls urls = parsed("redis://a,redis://b");
    struct endpoints *endpoints = opened(&urls);
    for (int i = 0; i < 3; i++) {
        (void)endpoints_on_failure(endpoints, "no", i);
    }
    assert_null(endpoints_probe_due(endpoints, 60000));
    endpoints_free(endpoints);
    l2_urls_done(&urls);
}

static void an_independent_one_is_gone_back_to_after_the_hold_down(void **state)
{
    (void)state;
    struct l2_urls urls = parsed("redis://a?independent=1,redis://b");
    struct endpoints *endpoints = opened(&urls);
    int64_t now_ms = 1000;
    for (int i = 0; i < 3; i++) {
        (void)endpoints_on_failure(endpoints, "no", now_ms);
    }
    current_is(endpoints, "b");
    now_ms += ENDPOINT_PROBE_MS;
    const struct l2_url *a = endpoints_probe_due(endpoints, now_ms);
    assert_non_null(a);
    assert_null(endpoints_probe_due(endpoints, now_ms + 5000)); /* one is under way */
    assert_false(endpoints_on_probe(endpoints, a, NULL, now_ms));
    int64_t well_since_ms = now_ms;
    now_ms += 4000;
    assert_ptr_equal(endpoints_probe_due(endpoints, now_ms), a);
    assert_false(endpoints_on_probe(endpoints, a, "gone again", now_ms)); /* begins anew */
    for (well_since_ms = 0;; now_ms += ENDPOINT_PROBE_MS) {
        assert_ptr_equal(endpoints_probe_due(endpoints, now_ms + ENDPOINT_PROBE_MS), a);
        well_since_ms = well_since_ms != 0 ? well_since_ms : now_ms;
        if (endpoints_on_probe(endpoints, a, NULL, now_ms)) {
            break;
        }
        current_is(endpoints, "b");
    }
    assert_int_equal(now_ms - well_since_ms, HOLD_MS);
    current_is(endpoints, "a");
    assert_null(endpoints_probe_due(endpoints, now_ms + 60000)); /* there is no better one */
    endpoints_free(endpoints);
    l2_urls_done(&urls);
}

static void a_choice_by_hand_stays_until_it_fails(void **state)
{
    (void)state;
    struct l2_urls urls = parsed("redis://a:1?independent=1,redis://b:2,redis://c:3");
    struct endpoints *endpoints = opened(&urls);
    assert_int_equal(endpoints_choose(endpoints, "x:1", 1), MISS);
    assert_int_equal(endpoints_choose(endpoints, "a:1", 1), AGAIN);
    assert_int_equal(endpoints_choose(endpoints, "c:3", 1), OK);
    current_is(endpoints, "c");
    assert_null(endpoints_probe_due(endpoints, 90000));
    for (int i = 0; i < 3; i++) {
        (void)endpoints_on_failure(endpoints, "no", 90000);
    }
    current_is(endpoints, "a");
    assert_int_equal(endpoints_choose(endpoints, NULL, 90001), OK);
    current_is(endpoints, "b");
    endpoints_free(endpoints);
    l2_urls_done(&urls);
}

static void sentinels_say_where_the_master_is(void **state)
{
    (void)state;
    struct l2_urls urls = parsed("rediss+sentinel://u:p@s/m");
    struct endpoints *endpoints = opened(&urls);
    assert_null(endpoints_current(endpoints));
    assert_false(endpoints_on_failure(endpoints, "nowhere to go", 1));
    assert_true(endpoints_on_master(endpoints, SLICE_LITERAL("10.0.0.1"), 6379, 2));
    const struct l2_url *first = endpoints_current(endpoints);
    assert_true(first->tls);
    assert_string_equal(first->user, "u");
    assert_string_equal(first->pass, "p");
    assert_false(endpoints_on_master(endpoints, SLICE_LITERAL("10.0.0.1"), 6379, 3));
    assert_true(endpoints_on_master(endpoints, SLICE_LITERAL("10.0.0.2"), 6379, 4));
    assert_true(endpoints_on_master(endpoints, SLICE_LITERAL("10.0.0.1"), 6379, 5));
    assert_ptr_equal(endpoints_current(endpoints), first); /* kept, not made again */
    for (int i = 0; i < 9; i++) {
        assert_false(endpoints_on_failure(endpoints, "no", 6)); /* theirs to judge */
    }
    endpoints_free(endpoints);
    l2_urls_done(&urls);
}

static bool names_master(struct endpoints *endpoints, unsigned n, int64_t now_ms)
{
    char host[32];
    (void)snprintf(host, sizeof host, "10.0.%u.%u", n / 256, n % 256);
    return endpoints_on_master(endpoints, slice_of(host), 6379, now_ms);
}

static void ever_new_masters_do_not_grow_without_bound(void **state)
{
    (void)state;
    struct l2_urls urls = parsed("redis+sentinel://s/m");
    struct endpoints *endpoints = opened(&urls);
    const int64_t later_ms = 1000 + ENDPOINT_MASTER_KEPT_MS;
    for (unsigned n = 0; n < ENDPOINT_MASTERS_MAX; n++) {
        assert_true(names_master(endpoints, n, 1000));
    }
    assert_false(names_master(endpoints, 1000, later_ms - 1)); /* somebody may be at the oldest */
    assert_true(names_master(endpoints, 0, later_ms - 1));     /* that one is the latest now */
    const struct l2_url *first = endpoints_current(endpoints);
    for (unsigned n = 1000; n < 1000 + ENDPOINT_MASTERS_MAX - 1; n++) {
        assert_true(names_master(endpoints, n, later_ms)); /* in place of 1, 2, ... */
    }
    assert_false(names_master(endpoints, 2000, later_ms));
    assert_true(names_master(endpoints, 0, later_ms));
    assert_ptr_equal(endpoints_current(endpoints), first);
    assert_string_equal(first->host, "10.0.0.0");
    endpoints_free(endpoints);
    l2_urls_done(&urls);
}

/* Whatever happened before: with servers that stay as they are, the node comes to rest at one that works; if they are
 * independent, at the best that works; and it does not move more often than the header says. */
static void any_history_ends_at_the_best_that_works(void **state)
{
    (void)state;
    struct rand rand;
    rand_seed(&rand, 20261121);
    for (int round = 0; round < 300; round++) {
        const bool independent = rand_below(&rand, 2) == 1;
        struct l2_urls urls =
            parsed(independent ? "redis://a?independent=1,redis://b,redis://c,redis://d"
                               : "redis://a,redis://b,redis://c,redis://d");
        struct endpoints *endpoints = opened(&urls);
        unsigned works = 0;
        int64_t now_ms = 1;
        uint64_t moves = 0;
        uint64_t failures = 0;
        const int64_t chaos_until_ms = 120000;
        const int64_t end_ms = chaos_until_ms + 4 * HOLD_MS;
        for (; now_ms < end_ms; now_ms += 500) {
            if (now_ms < chaos_until_ms && rand_below(&rand, 20) == 0) {
                works ^= 1u << rand_below(&rand, 4);
            }
            if (now_ms >= chaos_until_ms && works == 0) {
                works = 1u << rand_below(&rand, 4);
            }
            const size_t i = (size_t)(endpoints_current(endpoints) - urls.urls);
            if ((works & 1u << i) != 0) {
                endpoints_on_up(endpoints, now_ms);
            } else {
                failures++;
                moves += endpoints_on_failure(endpoints, "down", now_ms);
            }
            const struct l2_url *probe = endpoints_probe_due(endpoints, now_ms);
            if (probe != NULL) {
                const bool well = (works & 1u << (probe - urls.urls)) != 0;
                moves += endpoints_on_probe(endpoints, probe, well ? NULL : "down", now_ms);
            }
        }
        const size_t at = (size_t)(endpoints_current(endpoints) - urls.urls);
        assert_true((works & 1u << at) != 0);
        if (independent) {
            assert_int_equal(works & ((1u << at) - 1), 0);
        }
        assert_true(moves <= failures + (uint64_t)(end_ms / HOLD_MS));
        endpoints_free(endpoints);
        l2_urls_done(&urls);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_first_by_priority_is_tried_first),
        cmocka_unit_test(three_failures_in_a_row_move_on),
        cmocka_unit_test(what_failed_lately_is_not_gone_back_to_while_another_may_work),
        cmocka_unit_test(where_all_fail_each_gets_one_attempt_in_turn),
        cmocka_unit_test(one_endpoint_is_never_left),
        cmocka_unit_test(a_breaker_opens_after_three_failures_and_is_half_open_while_it_is_tried),
        cmocka_unit_test(each_endpoint_has_a_breaker_of_its_own),
        cmocka_unit_test(a_group_is_not_probed),
        cmocka_unit_test(an_independent_one_is_gone_back_to_after_the_hold_down),
        cmocka_unit_test(a_choice_by_hand_stays_until_it_fails),
        cmocka_unit_test(sentinels_say_where_the_master_is),
        cmocka_unit_test(ever_new_masters_do_not_grow_without_bound),
        cmocka_unit_test(any_history_ends_at_the_best_that_works),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
