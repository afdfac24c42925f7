/* SPDX-License-Identifier: BSD-3-Clause */
/* Suspects that are read anew in the background: which, in what order, how fast, and when not. How each is read:
 * test_revalidate_reads.c. */
#include "tests/unit/revalidate_help.h"

static void the_hottest_come_first(void **state)
{
    (void)state;
    struct stage *stage = stage_open_plain();
    char name[NAME_MAX_SIZE];
    fill(stage, 300, 20);
    raise_floor(stage);
    assert_int_equal(ticks(stage, 100), 300);
    for (unsigned i = 0; i < 300; i++) {
        name_of(name, i);
        assert_string_equal(stage->names[i], name);
    }
    assert_false(seen(stage).running);
    assert_int_equal(seen(stage).suspects, 0);
    stage_done(stage);
}

/* 10,000 in slices of 4096: what is asked for while the walk is under way is the hottest of those met. */
static void a_large_l1_is_read_anew_without_waiting_for_the_walk(void **state)
{
    (void)state;
    struct stage *stage = stage_open_plain();
    tiers_window_revalidate(stage->window, 1000);
    char name[NAME_MAX_SIZE];
    for (unsigned i = 0; i < 10000; i++) {
        name_of(name, i);
        used(stage, name, i < 1000 ? 0 : 50);
    }
    raise_floor(stage);
    assert_int_equal(tick(stage), 0); /* nothing is earned yet */
    assert_int_equal(ticks(stage, 10), 1000);
    for (unsigned i = 0; i < 1000; i++) {
        assert_true(strtoul(stage->names[i] + 1, NULL, 10) < 1000);
    }
    assert_int_equal(stage->asked + ticks(stage, 120), 10000); /* each once */
    struct l1_stats stats;
    namespaces_stats(stage->namespaces, &stats);
    assert_int_equal(stats.items, 10000);
    stage_done(stage);
}

static void it_keeps_to_its_rate(void **state)
{
    (void)state;
    struct stage *stage = stage_open_plain();
    fill(stage, 3000, 4);
    raise_floor(stage);
    assert_int_equal(ticks(stage, 11), REVALIDATE_RATE_MIN);
    tiers_window_revalidate(stage->window, 300);
    const unsigned asked = ticks(stage, 10);
    assert_in_range(asked, 299, 301);
    tiers_window_revalidate(stage->window, 0);
    assert_int_equal(ticks(stage, 10), 0);
    assert_false(seen(stage).running);
    tiers_window_revalidate(stage->window, 300);
    assert_true(ticks(stage, 3) > 0); /* on again: there are still suspects */
    stage_done(stage);
}

/* A pause of the process, or of the fence, is not made good by a burst. */
static void a_pause_earns_nothing(void **state)
{
    (void)state;
    struct stage *stage = stage_open_plain();
    fill(stage, 3000, 4);
    raise_floor(stage);
    (void)ticks(stage, 3);
    stage->now_ms += 10000;
    assert_in_range(tick(stage), 0, REVALIDATE_RATE_MIN / 5 + 1);
    stage_done(stage);
}

/* 2,000 reads of L2 a second: 1,000 more are allowed, whatever is asked of L2 during the outage and right after. */
static void the_rate_is_half_of_what_clients_read(void **state)
{
    (void)state;
    struct stage *stage = stage_open_plain();
    tiers_window_tick(stage->window, stage->now_ms);
    for (unsigned i = 0; i < 600; i++) {
        metrics_add(&stage->metrics, M_L2_HITS, 150);
        metrics_add(&stage->metrics, M_L2_MISSES, 50);
        (void)tick(stage);
    }
    assert_in_range(seen(stage).rate, 990, 1000);
    fill(stage, 3000, 4);
    for (unsigned i = 0; i < 100; i++) { /* fenced */
        stage->now_ms += TICK_MS;
        tiers_window_tick(stage->window, stage->now_ms + 2000);
    }
    stage->now_ms += 2000;
    raise_floor(stage);
    unsigned asked = tick(stage);
    for (unsigned i = 0; i < 10; i++) {
        metrics_add(&stage->metrics, M_L2_HITS, 2000); /* the clients' own suspects */
        asked += tick(stage);
    }
    assert_in_range(asked, 980, 1000);
    stage_done(stage);
}

static void its_own_reads_do_not_raise_the_rate(void **state)
{
    (void)state;
    struct stage *stage = stage_open_plain();
    tiers_window_revalidate(stage->window, 1000);
    fill(stage, 3000, 4);
    raise_floor(stage);
    assert_int_equal(ticks(stage, 60), 3000);
    tiers_window_revalidate(stage->window, REVALIDATE_AUTO);
    (void)ticks(stage, 2);
    assert_int_equal(seen(stage).rate, REVALIDATE_RATE_MIN);
    stage_done(stage);
}

static void nothing_is_asked_while_the_fence_is_closed_or_l2_away(void **state)
{
    (void)state;
    struct stage *stage = stage_open_plain();
    fill(stage, 300, 20);
    raise_floor(stage);
    for (unsigned i = 0; i < 20; i++) { /* no beat comes home */
        stage->now_ms += TICK_MS;
        if (stage->now_ms > HELP_NOW + 1000) {
            tiers_window_tick(stage->window, stage->now_ms);
            assert_int_equal(serve(stage), 0);
        }
    }
    (void)tick(stage);
    assert_true(stage->asked > 0);
    link_on_lost(stage->roof.link, "gone", stage->now_ms);
    const unsigned asked = stage->asked;
    for (unsigned i = 0; i < 5; i++) {
        stage->now_ms += TICK_MS;
        prove(stage);
        tiers_window_tick(stage->window, stage->now_ms);
    }
    assert_int_equal(stage->asked, asked);
    struct l1_stats stats;
    namespaces_stats(stage->namespaces, &stats);
    assert_int_equal(stats.items + stats.claims, 300); /* a claim keeps its suspect */
    assert_true(stats.claims <= REVALIDATE_ASKS_MAX);  /* they wait for the link */
    while (link_state(stage->roof.link) != LINK_CONNECTING) {
        (void)tick(stage);
    }
    help_make_ready(&stage->roof);
    assert_int_equal(asked + ticks(stage, 80), 300);
    stage_done(stage);
}

/* The bus is back, but no beat came home over it: what landed now would be kept by nobody, and end its suspect. */
static void nothing_is_asked_before_it_can_be_kept(void **state)
{
    (void)state;
    struct stage *stage = stage_open_plain();
    struct l1_stats stats;
    fill(stage, 10, 20);
    raise_floor(stage);
    (void)ticks(stage, 1);
    for (unsigned i = 0; i < 6; i++) {
        stage->now_ms += TICK_MS;
        prove(stage);
        if (i < 3) {
            atomic_store(&stage->view->may_install, false);
        } else {
            atomic_store(&stage->view->target, 1); /* not the link's */
        }
        tiers_window_tick(stage->window, stage->now_ms);
        assert_int_equal(serve(stage), 0);
    }
    namespaces_stats(stage->namespaces, &stats);
    assert_int_equal(stats.items, 10);
    assert_int_equal(ticks(stage, 5), 10);
    stage_done(stage);
}

static void a_newer_floor_begins_anew(void **state)
{
    (void)state;
    struct stage *stage = stage_open_plain();
    fill(stage, 40, 20);
    raise_floor(stage);
    const unsigned asked = ticks(stage, 4);
    assert_in_range(asked, 15, 20);
    stage->now_ms++;
    raise_floor(stage);
    assert_int_equal(ticks(stage, 20), 40);
    assert_string_equal(stage->names[asked], "k0");
    stage_done(stage);
}

/* Hot is what was used in the minute before the trouble, however long that was. */
static void what_is_cold_stays_suspect(void **state)
{
    (void)state;
    struct stage *stage = stage_open_plain();
    (void)ticks(stage, 5);
    used(stage, "hot", 50000);
    used(stage, "cold", 70000);
    stage->now_ms += 600000;
    raise_floor(stage);
    (void)ticks(stage, 10);
    assert_int_equal(stage->asked, 1);
    assert_string_equal(stage->names[0], "hot");
    assert_false(seen(stage).running);
    assert_int_equal(seen(stage).suspects, 1);
    struct asked asked;
    assert_int_equal(get(stage, &asked, "hot"), OK);
    assert_int_equal(get(stage, &asked, "cold"), PENDING);
    (void)serve(stage);
    stage_done(stage);
}

static void under_lfu_the_most_frequent_come_first(void **state)
{
    (void)state;
    struct namespace_spec spec = spec_of("default", "");
    spec.settings.policy = &policy_lfu;
    struct stage *stage = stage_open(&spec, 1);
    struct asked asked;
    fill(stage, 100, 0);
    for (unsigned i = 0; i < 1000; i++) {
        assert_int_equal(get(stage, &asked, "k60"), OK);
    }
    used(stage, "old", 300000); /* its counter has gone down to 0 */
    raise_floor(stage);
    (void)ticks(stage, 30);
    assert_string_equal(stage->names[0], "k60");
    assert_int_equal(stage->asked, 100);
    stage_done(stage);
}

static void ttl_needs_none_and_strict_is_left_to_who_asks(void **state)
{
    (void)state;
    struct namespace_spec specs[] = {spec_of("default", ""), spec_of("t", "t:"),
                                     spec_of("s", "s:")};
    specs[1].settings.mode.kind = NAMESPACE_TTL;
    specs[2].settings.mode.kind = NAMESPACE_STRICT;
    struct stage *stage = stage_open(specs, 3);
    used(stage, "k", 0);
    used(stage, "t:k", 0);
    used(stage, "s:k", 0);
    raise_floor(stage);
    (void)ticks(stage, 10);
    assert_int_equal(stage->asked, 1);
    assert_string_equal(stage->names[0], "k");
    assert_int_equal(seen(stage).suspects, 0);
    stage_done(stage);
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
