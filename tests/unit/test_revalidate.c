/* SPDX-License-Identifier: BSD-3-Clause */
/* Suspects that are read anew in the background: which, in what order, how fast, and when not. How each is read:
 * test_revalidate_reads.c. */
#include "tests/unit/revalidate_help.h"

static void the_hottest_come_first(void **state)
{
    (void)state;
    struct scene *scene = scene_open_plain();
    char name[NAME_MAX_SIZE];
    fill(scene, 300, 20);
    raise_floor(scene);
    assert_int_equal(ticks(scene, 100), 300);
    for (unsigned i = 0; i < 300; i++) {
        name_of(name, i);
        assert_string_equal(scene->names[i], name);
    }
    assert_false(seen(scene).running);
    assert_int_equal(seen(scene).suspects, 0);
    scene_done(scene);
}

/* 10,000 in slices of 4096: what is asked for while the walk is under way is the hottest of those met. */
static void a_large_l1_is_read_anew_without_waiting_for_the_walk(void **state)
{
    (void)state;
    struct scene *scene = scene_open_plain();
    tiers_window_revalidate(scene->at.window, 1000);
    char name[NAME_MAX_SIZE];
    for (unsigned i = 0; i < 10000; i++) {
        name_of(name, i);
        used(scene, name, i < 1000 ? 0 : 50);
    }
    raise_floor(scene);
    assert_int_equal(tick(scene), 0); /* nothing is earned yet */
    assert_int_equal(ticks(scene, 10), 1000);
    for (unsigned i = 0; i < 1000; i++) {
        assert_true(strtoul(scene->names[i] + 1, NULL, 10) < 1000);
    }
    assert_int_equal(scene->asked + ticks(scene, 120), 10000); /* each once */
    struct l1_stats stats;
    namespaces_stats(scene->at.namespaces, &stats);
    assert_int_equal(stats.items, 10000);
    scene_done(scene);
}

static void it_keeps_to_its_rate(void **state)
{
    (void)state;
    struct scene *scene = scene_open_plain();
    fill(scene, 3000, 4);
    raise_floor(scene);
    assert_int_equal(ticks(scene, 11), REVALIDATE_RATE_MIN);
    tiers_window_revalidate(scene->at.window, 300);
    const unsigned asked = ticks(scene, 10);
    assert_in_range(asked, 299, 301);
    tiers_window_revalidate(scene->at.window, 0);
    assert_int_equal(ticks(scene, 10), 0);
    assert_false(seen(scene).running);
    tiers_window_revalidate(scene->at.window, 300);
    assert_true(ticks(scene, 3) > 0); /* on again: there are still suspects */
    scene_done(scene);
}

/* A pause of the process, or of the fence, is not made good by a burst. */
static void a_pause_earns_nothing(void **state)
{
    (void)state;
    struct scene *scene = scene_open_plain();
    fill(scene, 3000, 4);
    raise_floor(scene);
    (void)ticks(scene, 3);
    scene->now_ms += 10000;
    assert_in_range(tick(scene), 0, REVALIDATE_RATE_MIN / 5 + 1);
    scene_done(scene);
}

/* 2,000 reads of L2 a second: 1,000 more are allowed, whatever is asked of L2 during the outage and right after. */
static void the_rate_is_half_of_what_clients_read(void **state)
{
    (void)state;
    struct scene *scene = scene_open_plain();
    tiers_window_tick(scene->at.window, scene->now_ms);
    for (unsigned i = 0; i < 600; i++) {
        metrics_add(&scene->at.metrics, M_L2_HITS, 150);
        metrics_add(&scene->at.metrics, M_L2_MISSES, 50);
        (void)tick(scene);
    }
    assert_in_range(seen(scene).rate, 990, 1000);
    fill(scene, 3000, 4);
    for (unsigned i = 0; i < 100; i++) { /* fenced */
        scene->now_ms += TICK_MS;
        tiers_window_tick(scene->at.window, scene->now_ms + 2000);
    }
    scene->now_ms += 2000;
    raise_floor(scene);
    unsigned asked = tick(scene);
    for (unsigned i = 0; i < 10; i++) {
        metrics_add(&scene->at.metrics, M_L2_HITS, 2000); /* the clients' own suspects */
        asked += tick(scene);
    }
    assert_in_range(asked, 980, 1000);
    scene_done(scene);
}

static void its_own_reads_do_not_raise_the_rate(void **state)
{
    (void)state;
    struct scene *scene = scene_open_plain();
    tiers_window_revalidate(scene->at.window, 1000);
    fill(scene, 3000, 4);
    raise_floor(scene);
    assert_int_equal(ticks(scene, 60), 3000);
    tiers_window_revalidate(scene->at.window, REVALIDATE_AUTO);
    (void)ticks(scene, 2);
    assert_int_equal(seen(scene).rate, REVALIDATE_RATE_MIN);
    scene_done(scene);
}

static void nothing_is_asked_while_the_fence_is_closed_or_l2_away(void **state)
{
    (void)state;
    struct scene *scene = scene_open_plain();
    fill(scene, 300, 20);
    raise_floor(scene);
    for (unsigned i = 0; i < 20; i++) { /* no beat comes home */
        scene->now_ms += TICK_MS;
        if (scene->now_ms > HELP_NOW + 1000) {
            tiers_window_tick(scene->at.window, scene->now_ms);
            assert_int_equal(serve(scene), 0);
        }
    }
    (void)tick(scene);
    assert_true(scene->asked > 0);
    link_on_lost(scene->at.roof.link, "gone", scene->now_ms);
    const unsigned asked = scene->asked;
    for (unsigned i = 0; i < 5; i++) {
        scene->now_ms += TICK_MS;
        prove_now(scene);
        tiers_window_tick(scene->at.window, scene->now_ms);
    }
    assert_int_equal(scene->asked, asked);
    struct l1_stats stats;
    namespaces_stats(scene->at.namespaces, &stats);
    assert_int_equal(stats.items + stats.claims, 300); /* a claim keeps its suspect */
    assert_true(stats.claims <= REVALIDATE_ASKS_MAX);  /* they wait for the link */
    while (link_state(scene->at.roof.link) != LINK_CONNECTING) {
        (void)tick(scene);
    }
    help_make_ready(&scene->at.roof);
    assert_int_equal(asked + ticks(scene, 80), 300);
    scene_done(scene);
}

/* The bus is back, but no beat came home over it: what landed now would be kept by nobody, and end its suspect. */
static void nothing_is_asked_before_it_can_be_kept(void **state)
{
    (void)state;
    struct scene *scene = scene_open_plain();
    struct l1_stats stats;
    fill(scene, 10, 20);
    raise_floor(scene);
    (void)ticks(scene, 1);
    for (unsigned i = 0; i < 6; i++) {
        scene->now_ms += TICK_MS;
        prove_now(scene);
        if (i < 3) {
            atomic_store(&scene->at.view->may_install, false);
        } else {
            atomic_store(&scene->at.view->target, 1); /* not the link's */
        }
        tiers_window_tick(scene->at.window, scene->now_ms);
        assert_int_equal(serve(scene), 0);
    }
    namespaces_stats(scene->at.namespaces, &stats);
    assert_int_equal(stats.items, 10);
    assert_int_equal(ticks(scene, 5), 10);
    scene_done(scene);
}

static void a_newer_floor_begins_anew(void **state)
{
    (void)state;
    struct scene *scene = scene_open_plain();
    fill(scene, 40, 20);
    raise_floor(scene);
    const unsigned asked = ticks(scene, 4);
    assert_in_range(asked, 15, 20);
    scene->now_ms++;
    raise_floor(scene);
    assert_int_equal(ticks(scene, 20), 40);
    assert_string_equal(scene->names[asked], "k0");
    scene_done(scene);
}

/* Hot is what was used in the minute before the trouble, however long that was. */
static void what_is_cold_stays_suspect(void **state)
{
    (void)state;
    struct scene *scene = scene_open_plain();
    (void)ticks(scene, 5);
    used(scene, "hot", 50000);
    used(scene, "cold", 70000);
    scene->now_ms += 600000;
    raise_floor(scene);
    (void)ticks(scene, 10);
    assert_int_equal(scene->asked, 1);
    assert_string_equal(scene->names[0], "hot");
    assert_false(seen(scene).running);
    assert_int_equal(seen(scene).suspects, 1);
    struct reading asked;
    assert_int_equal(ask(&scene->at, &asked, "hot"), OK);
    assert_int_equal(ask(&scene->at, &asked, "cold"), PENDING);
    (void)serve(scene);
    scene_done(scene);
}

static void under_lfu_the_most_frequent_come_first(void **state)
{
    (void)state;
    struct namespace_spec spec = large_spec_of("default", "");
    spec.settings.policy = &policy_lfu;
    struct scene *scene = scene_open(&spec, 1);
    struct reading asked;
    fill(scene, 100, 0);
    for (unsigned i = 0; i < 1000; i++) {
        assert_int_equal(ask(&scene->at, &asked, "k60"), OK);
    }
    used(scene, "old", 300000); /* its counter has gone down to 0 */
    raise_floor(scene);
    (void)ticks(scene, 30);
    assert_string_equal(scene->names[0], "k60");
    assert_int_equal(scene->asked, 100);
    scene_done(scene);
}

static void ttl_needs_none_and_strict_is_left_to_who_asks(void **state)
{
    (void)state;
    struct namespace_spec specs[] = {large_spec_of("default", ""), large_spec_of("t", "t:"),
                                     large_spec_of("s", "s:")};
    specs[1].settings.mode.kind = NAMESPACE_TTL;
    specs[2].settings.mode.kind = NAMESPACE_STRICT;
    struct scene *scene = scene_open(specs, 3);
    used(scene, "k", 0);
    used(scene, "t:k", 0);
    used(scene, "s:k", 0);
    raise_floor(scene);
    (void)ticks(scene, 10);
    assert_int_equal(scene->asked, 1);
    assert_string_equal(scene->names[0], "k");
    assert_int_equal(seen(scene).suspects, 0);
    scene_done(scene);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_hottest_come_first),
        cmocka_unit_test(a_large_l1_is_read_anew_without_waiting_for_the_walk),
        cmocka_unit_test(it_keeps_to_its_rate),
        cmocka_unit_test(a_pause_earns_nothing),
        cmocka_unit_test(the_rate_is_half_of_what_clients_read),
        cmocka_unit_test(its_own_reads_do_not_raise_the_rate),
        cmocka_unit_test(nothing_is_asked_while_the_fence_is_closed_or_l2_away),
        cmocka_unit_test(nothing_is_asked_before_it_can_be_kept),
        cmocka_unit_test(a_newer_floor_begins_anew),
        cmocka_unit_test(what_is_cold_stays_suspect),
        cmocka_unit_test(under_lfu_the_most_frequent_come_first),
        cmocka_unit_test(ttl_needs_none_and_strict_is_left_to_who_asks),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
