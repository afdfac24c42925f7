/* SPDX-License-Identifier: BSD-3-Clause */
/* Reading suspects anew, one by one: what is claimed, counted and told, and what L2 does not answer. */
#include "tests/unit/revalidate_help.h"

static void it_is_no_use_and_counted_nowhere(void **state)
{
    (void)state;
    struct stage *stage = stage_open_plain();
    struct l1_stats before;
    struct l1_stats after;
    struct l1_peek peek;
    used(stage, "k", 5000);
    namespaces_stats(stage->namespaces, &before);
    raise_floor(stage);
    assert_int_equal(ticks(stage, 5), 1);
    namespaces_stats(stage->namespaces, &after);
    assert_int_equal(after.hits, before.hits);
    assert_int_equal(after.misses, before.misses);
    static const enum metric none[] = {M_L1_HITS, M_L1_MISSES, M_L2_HITS, M_L2_MISSES, M_L2_ERRORS};
    for (size_t i = 0; i < sizeof none / sizeof none[0]; i++) {
        assert_int_equal(metrics_read(&stage->metrics, none[i]), 0);
    }
    const struct ns_key key = namespaces_key(stage->namespaces, 0, slice_of("k"));
    assert_int_equal(tiers_peek(stage->window, &key, &peek), OK); /* fresh again */
    assert_in_range(peek.idle_ms, 5400, 5600);
    stage_done(stage);
}

static void what_was_found_is_counted(void **state)
{
    (void)state;
    struct stage *stage = stage_open_plain();
    const struct {
        const char *value;
        enum metric metric;
        enum status then;
    } cases[] = {{"v", M_REVALIDATED_SAME, OK},
                 {"w", M_REVALIDATED_CHANGED, OK},
                 {NULL, M_REVALIDATED_GONE, PENDING}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct asked asked;
        used(stage, "k", 0);
        stage->value = cases[i].value;
        stage->now_ms++;
        raise_floor(stage);
        assert_int_equal(ticks(stage, 3), 1);
        assert_int_equal(metrics_read(&stage->metrics, cases[i].metric), 1);
        assert_int_equal(get(stage, &asked, "k"), cases[i].then);
        (void)serve(stage);
    }
    stage_done(stage);
}

static void a_client_that_comes_meanwhile_joins_and_it_is_a_use(void **state)
{
    (void)state;
    struct stage *stage = stage_open_plain();
    struct asked asked;
    struct l1_peek peek;
    used(stage, "k", 5000);
    raise_floor(stage);
    (void)tick(stage);
    stage->now_ms += TICK_MS;
    prove(stage);
    tiers_window_tick(stage->window, stage->now_ms);
    assert_int_equal(get(stage, &asked, "k"), PENDING);
    assert_int_equal(serve(stage), 1);
    assert_int_equal(asked.ends, 1);
    assert_int_equal(metrics_read(&stage->metrics, M_REVALIDATED_SAME), 1);
    assert_int_equal(asked.status, OK);
    assert_int_equal(metrics_read(&stage->metrics, M_L2_HITS), 1);
    const struct ns_key key = namespaces_key(stage->namespaces, 0, slice_of("k"));
    assert_int_equal(tiers_peek(stage->window, &key, &peek), OK);
    assert_in_range(peek.idle_ms, 0, 10);
    stage_done(stage);
}

/* Between the walk and the question a client's read began, or landed, or a write ended the key: there is no suspect. */
static void only_suspects_are_claimed(void **state)
{
    (void)state;
    struct stage *stage = stage_open_plain();
    struct asked asked;
    used(stage, "read", 0);
    used(stage, "landed", 0);
    used(stage, "written", 0);
    raise_floor(stage);
    (void)tick(stage);
    stage->now_ms += TICK_MS;
    prove(stage);
    assert_int_equal(get(stage, &asked, "landed"), PENDING);
    assert_int_equal(serve(stage), 1);
    assert_int_equal(get(stage, &asked, "read"), PENDING);
    (void)namespaces_forget(stage->namespaces, slice_of("written"));
    tiers_window_tick(stage->window, stage->now_ms);
    assert_int_equal(serve(stage), 1);
    assert_int_equal(ticks(stage, 5), 0);
    assert_int_equal(metrics_read(&stage->metrics, M_REVALIDATED_SAME), 0);
    stage_done(stage);
}

static void few_are_under_way_at_once(void **state)
{
    (void)state;
    struct stage *stage = stage_open_plain();
    tiers_window_revalidate(stage->window, 100000);
    fill(stage, 300, 20);
    raise_floor(stage);
    struct l1_stats stats;
    (void)tick(stage);
    stage->now_ms += TICK_MS;
    prove(stage);
    tiers_window_tick(stage->window, stage->now_ms);
    namespaces_stats(stage->namespaces, &stats);
    assert_int_equal(stats.claims, REVALIDATE_ASKS_MAX);
    assert_int_equal(serve(stage), 300); /* each answer sends the next */
    stage_done(stage);
}

/* `available` shows its suspects when L2 does not answer; that is no reading anew. */
static void a_suspect_that_l2_did_not_answer_for_stays_one(void **state)
{
    (void)state;
    struct namespace_spec spec = spec_of("default", "");
    spec.settings.mode.kind = NAMESPACE_AVAILABLE;
    spec.settings.mode.grace_ms = 3600000;
    struct stage *stage = stage_open(&spec, 1);
    fill(stage, 10, 20);
    raise_floor(stage);
    (void)tick(stage);
    stage->now_ms += TICK_MS;
    prove(stage);
    tiers_window_tick(stage->window, stage->now_ms);
    assert_true(link_output(stage->roof.link).size > 0);
    link_on_lost(stage->roof.link, "gone", stage->now_ms);
    stage->now_ms += 2000; /* the timeout of reads */
    prove(stage);
    tiers_window_tick(stage->window, stage->now_ms);
    assert_true(metrics_read(&stage->metrics, M_REVALIDATED_FAILED) > 0);
    assert_int_equal(metrics_read(&stage->metrics, M_REVALIDATED_SAME), 0);
    assert_int_equal(metrics_read(&stage->metrics, M_STALE_SERVED), 0);
    assert_int_equal(seen(stage).suspects, 10);
    stage_done(stage);
}

/* Redis runs a script for long, or loads its data: that says nothing about the key. */
static void an_error_of_l2_ends_the_turn_and_no_suspect(void **state)
{
    (void)state;
    struct stage *stage = stage_open_plain();
    fill(stage, 100, 20);
    raise_floor(stage);
    (void)tick(stage);
    stage->error = "BUSY Redis is busy running a script.";
    const unsigned asked = ticks(stage, 60); /* several passes over all of them, if it went on */
    assert_true(asked > 0);
    assert_int_equal(metrics_read(&stage->metrics, M_REVALIDATED_FAILED), asked);
    assert_int_equal(seen(stage).suspects, 100);
    assert_true(seen(stage).running);
    stage->error = NULL;
    assert_int_equal(ticks(stage, 60), 100);
    assert_int_equal(seen(stage).suspects, 0);
    stage->error = "WRONGTYPE Operation against a key holding the wrong kind of value";
    raise_floor(stage);
    (void)ticks(stage, 60);
    assert_int_equal(seen(stage).suspects, 0); /* they are no strings any more */
    assert_false(seen(stage).running);
    stage_done(stage);
}

static void a_window_may_end_while_reads_are_under_way(void **state)
{
    (void)state;
    struct stage *stage = stage_open_plain();
    fill(stage, 300, 20);
    raise_floor(stage);
    (void)tick(stage);
    stage->now_ms += TICK_MS;
    prove(stage);
    tiers_window_tick(stage->window, stage->now_ms);
    tiers_window_end_links(stage->window);
    assert_true(metrics_read(&stage->metrics, M_REVALIDATED_FAILED) > 0);
    tiers_window_tick(stage->window, stage->now_ms + TICK_MS);
    stage_done(stage);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(it_is_no_use_and_counted_nowhere),
        cmocka_unit_test(what_was_found_is_counted),
        cmocka_unit_test(a_client_that_comes_meanwhile_joins_and_it_is_a_use),
        cmocka_unit_test(only_suspects_are_claimed),
        cmocka_unit_test(few_are_under_way_at_once),
        cmocka_unit_test(a_suspect_that_l2_did_not_answer_for_stays_one),
        cmocka_unit_test(an_error_of_l2_ends_the_turn_and_no_suspect),
        cmocka_unit_test(a_window_may_end_while_reads_are_under_way),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
