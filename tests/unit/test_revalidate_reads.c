/* SPDX-License-Identifier: BSD-3-Clause */
/* Reading suspects anew, one by one: what is claimed, counted and told, and what L2 does not answer. */
#include "tests/unit/revalidate_help.h"

static void it_is_no_use_and_counted_nowhere(void **state)
{
    (void)state;
    struct scene *scene = scene_open_plain();
    struct l1_stats before;
    struct l1_stats after;
    struct l1_peek peek;
    used(scene, "k", 5000);
    namespaces_stats(scene->at.namespaces, &before);
    raise_floor(scene);
    assert_int_equal(ticks(scene, 5), 1);
    namespaces_stats(scene->at.namespaces, &after);
    assert_int_equal(after.hits, before.hits);
    assert_int_equal(after.misses, before.misses);
    static const enum metric none[] = {M_L1_HITS, M_L1_MISSES, M_L2_HITS, M_L2_MISSES, M_L2_ERRORS};
    for (size_t i = 0; i < sizeof none / sizeof none[0]; i++) {
        assert_int_equal(metrics_read(&scene->at.metrics, none[i]), 0);
    }
    const struct ns_key key = namespaces_key(scene->at.namespaces, 0, slice_of("k"));
    assert_int_equal(tiers_peek(scene->at.window, &key, &peek), OK); /* fresh again */
    assert_in_range(peek.idle_ms, 5400, 5600);
    scene_done(scene);
}

static void what_was_found_is_counted(void **state)
{
    (void)state;
    struct scene *scene = scene_open_plain();
    const struct {
        const char *value;
        enum metric metric;
        enum status then;
    } cases[] = {{"v", M_REVALIDATED_SAME, OK},
                 {"w", M_REVALIDATED_CHANGED, OK},
                 {NULL, M_REVALIDATED_GONE, PENDING}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct reading asked;
        used(scene, "k", 0);
        scene->value = cases[i].value;
        scene->now_ms++;
        raise_floor(scene);
        assert_int_equal(ticks(scene, 3), 1);
        assert_int_equal(metrics_read(&scene->at.metrics, cases[i].metric), 1);
        assert_int_equal(ask(&scene->at, &asked, "k"), cases[i].then);
        (void)serve(scene);
    }
    scene_done(scene);
}

static void a_client_that_comes_meanwhile_joins_and_it_is_a_use(void **state)
{
    (void)state;
    struct scene *scene = scene_open_plain();
    struct reading asked;
    struct l1_peek peek;
    used(scene, "k", 5000);
    raise_floor(scene);
    (void)tick(scene);
    scene->now_ms += TICK_MS;
    prove_now(scene);
    tiers_window_tick(scene->at.window, scene->now_ms);
    assert_int_equal(ask(&scene->at, &asked, "k"), PENDING);
    assert_int_equal(serve(scene), 1);
    assert_int_equal(asked.ends, 1);
    assert_int_equal(metrics_read(&scene->at.metrics, M_REVALIDATED_SAME), 1);
    assert_int_equal(asked.status, OK);
    assert_int_equal(metrics_read(&scene->at.metrics, M_L2_HITS), 1);
    const struct ns_key key = namespaces_key(scene->at.namespaces, 0, slice_of("k"));
    assert_int_equal(tiers_peek(scene->at.window, &key, &peek), OK);
    assert_in_range(peek.idle_ms, 0, 10);
    scene_done(scene);
}

/* Between the walk and the question a client's read began, or landed, or a write ended the key: there is no suspect. */
static void only_suspects_are_claimed(void **state)
{
    (void)state;
    struct scene *scene = scene_open_plain();
    struct reading asked;
    used(scene, "read", 0);
    used(scene, "landed", 0);
    used(scene, "written", 0);
    raise_floor(scene);
    (void)tick(scene);
    scene->now_ms += TICK_MS;
    prove_now(scene);
    assert_int_equal(ask(&scene->at, &asked, "landed"), PENDING);
    assert_int_equal(serve(scene), 1);
    assert_int_equal(ask(&scene->at, &asked, "read"), PENDING);
    (void)namespaces_forget(scene->at.namespaces, slice_of("written"));
    tiers_window_tick(scene->at.window, scene->now_ms);
    assert_int_equal(serve(scene), 1);
    assert_int_equal(ticks(scene, 5), 0);
    assert_int_equal(metrics_read(&scene->at.metrics, M_REVALIDATED_SAME), 0);
    scene_done(scene);
}

static void few_are_under_way_at_once(void **state)
{
    (void)state;
    struct scene *scene = scene_open_plain();
    tiers_window_revalidate(scene->at.window, 100000);
    fill(scene, 300, 20);
    raise_floor(scene);
    struct l1_stats stats;
    (void)tick(scene);
    scene->now_ms += TICK_MS;
    prove_now(scene);
    tiers_window_tick(scene->at.window, scene->now_ms);
    namespaces_stats(scene->at.namespaces, &stats);
    assert_int_equal(stats.claims, REVALIDATE_ASKS_MAX);
    assert_int_equal(serve(scene), 300); /* each answer sends the next */
    scene_done(scene);
}

/* `available` shows its suspects when L2 does not answer; that is no reading anew. */
static void a_suspect_that_l2_did_not_answer_for_stays_one(void **state)
{
    (void)state;
    struct namespace_spec spec = large_spec_of("default", "");
    spec.settings.mode.kind = NAMESPACE_AVAILABLE;
    spec.settings.mode.grace_ms = 3600000;
    struct scene *scene = scene_open(&spec, 1);
    fill(scene, 10, 20);
    raise_floor(scene);
    (void)tick(scene);
    scene->now_ms += TICK_MS;
    prove_now(scene);
    tiers_window_tick(scene->at.window, scene->now_ms);
    assert_true(link_output(scene->at.roof.link).size > 0);
    link_on_lost(scene->at.roof.link, "gone", scene->now_ms);
    scene->now_ms += 2000; /* the timeout of reads */
    prove_now(scene);
    tiers_window_tick(scene->at.window, scene->now_ms);
    assert_true(metrics_read(&scene->at.metrics, M_REVALIDATED_FAILED) > 0);
    assert_int_equal(metrics_read(&scene->at.metrics, M_REVALIDATED_SAME), 0);
    assert_int_equal(metrics_read(&scene->at.metrics, M_STALE_SERVED), 0);
    assert_int_equal(seen(scene).suspects, 10);
    scene_done(scene);
}

/* Redis runs a script for long, or loads its data: that says nothing about the key. */
static void an_error_of_l2_ends_the_turn_and_no_suspect(void **state)
{
    (void)state;
    struct scene *scene = scene_open_plain();
    fill(scene, 100, 20);
    raise_floor(scene);
    (void)tick(scene);
    scene->error = "BUSY Redis is busy running a script.";
    const unsigned asked = ticks(scene, 60); /* several passes over all of them, if it went on */
    assert_true(asked > 0);
    assert_int_equal(metrics_read(&scene->at.metrics, M_REVALIDATED_FAILED), asked);
    assert_int_equal(seen(scene).suspects, 100);
    assert_true(seen(scene).running);
    scene->error = NULL;
    assert_int_equal(ticks(scene, 60), 100);
    assert_int_equal(seen(scene).suspects, 0);
    scene->error = "WRONGTYPE Operation against a key holding the wrong kind of value";
    raise_floor(scene);
    (void)ticks(scene, 60);
    assert_int_equal(seen(scene).suspects, 0); /* they are no strings any more */
    assert_false(seen(scene).running);
    scene_done(scene);
}

/* Nobody can mend that by asking again, at a few keys a second for ever. */
static void a_pass_that_was_refused_all_is_the_last_until_the_floor_rises(void **state)
{
    (void)state;
    struct scene *scene = scene_open_plain();
    fill(scene, 100, 20);
    raise_floor(scene);
    scene->error = "NOPERM User terrace has no permissions to run the 'getrange' command";
    assert_int_equal(ticks(scene, 60), 100); /* each is asked for once */
    assert_int_equal(metrics_read(&scene->at.metrics, M_REVALIDATED_FAILED), 100);
    assert_int_equal(seen(scene).suspects, 100);
    assert_false(seen(scene).running);
    scene->error = NULL; /* somebody has granted it */
    raise_floor(scene);
    assert_int_equal(ticks(scene, 60), 100);
    assert_int_equal(seen(scene).suspects, 0);
    scene_done(scene);
}

static void a_window_may_end_while_reads_are_under_way(void **state)
{
    (void)state;
    struct scene *scene = scene_open_plain();
    fill(scene, 300, 20);
    raise_floor(scene);
    (void)tick(scene);
    scene->now_ms += TICK_MS;
    prove_now(scene);
    tiers_window_tick(scene->at.window, scene->now_ms);
    tiers_window_end_links(scene->at.window);
    assert_true(metrics_read(&scene->at.metrics, M_REVALIDATED_FAILED) > 0);
    tiers_window_tick(scene->at.window, scene->now_ms + TICK_MS);
    scene_done(scene);
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
        cmocka_unit_test(a_pass_that_was_refused_all_is_the_last_until_the_floor_rises),
        cmocka_unit_test(a_window_may_end_while_reads_are_under_way),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
