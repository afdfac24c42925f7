/* SPDX-License-Identifier: BSD-3-Clause */
/* Warming one key: what it asks L2 for, what it keeps, and all that may happen between its claim and its landing. */
#include "tests/unit/prefetch_help.h"

/* --- the ordinary road ---------------------------------------------------------------------------------------------- */

static void a_key_that_is_not_here_is_brought_in_and_counts_as_no_read(void **state)
{
    (void)state;
    struct stage stage;
    struct warmed warmed;
    open_plain(&stage);
    warm(&stage, &warmed, "k");
    help_expect_written(&stage.roof,
                        "*2\r\n$4\r\nPTTL\r\n$1\r\nk\r\n"
                        "*4\r\n$8\r\nGETRANGE\r\n$1\r\nk\r\n$1\r\n0\r\n$5\r\n65536\r\n");
    HELP_SAY(&stage.roof, VALUE("v"));
    expect(&warmed, PREFETCH_LOADED, OK, NULL);
    assert_int_equal(warmed.result.bytes, 1);
    assert_int_equal(stats(&stage).hits + stats(&stage).misses, 0);
    assert_int_equal(metrics_read(&stage.metrics, M_L1_HITS), 0);
    assert_int_equal(metrics_read(&stage.metrics, M_L1_MISSES), 0);
    assert_int_equal(metrics_read(&stage.metrics, M_L2_HITS), 0);
    assert_true(stands(&stage, "k", "v"));
    stage_done(&stage);
}

/* As PEXPIREAT lets a key have: counted from a clock that is ahead of Redis' it would be beyond all times. */
static void what_lives_nearly_for_ever_is_kept(void **state)
{
    (void)state;
    struct stage stage;
    struct warmed warmed;
    open_plain(&stage);
    warm(&stage, &warmed, "k");
    HELP_SAY(&stage.roof, ":9223372036854775807\r\n$1\r\nv\r\n");
    expect(&warmed, PREFETCH_LOADED, OK, NULL);
    assert_true(stands(&stage, "k", "v"));
    stage_done(&stage);
}

static void what_l2_does_not_have_is_absent(void **state)
{
    (void)state;
    struct stage stage;
    struct warmed warmed;
    open_plain(&stage);
    warm(&stage, &warmed, "k");
    HELP_SAY(&stage.roof, NOTHING);
    expect(&warmed, PREFETCH_ABSENT, OK, NULL);
    assert_int_equal(metrics_read(&stage.metrics, M_L2_MISSES), 0);
    assert_int_equal(stats(&stage).items, 0);
    stage_done(&stage);
}

static void the_modes_say_what_is_read_though_something_stands(void **state)
{
    (void)state;
    struct stage stage;
    struct warmed warmed;
    struct reading asked;
    open_plain(&stage);
    warm(&stage, &warmed, "k");
    HELP_SAY(&stage.roof, VALUE("1"));
    expect_skipped(&stage, "k", PREFETCH_MISSING, "stands already");
    expect_skipped(&stage, "k", PREFETCH_STALE, "stands already");
    warm_as(&stage, &warmed, "k", PREFETCH_FORCE);
    assert_int_equal(ask(&stage, &asked, "k"), OK); /* it is served meanwhile */
    HELP_SAY(&stage.roof, VALUE("2"));
    expect(&warmed, PREFETCH_LOADED, OK, NULL);
    assert_true(stands(&stage, "k", "2"));
    raise_floor(&stage, HELP_NOW + 10);
    expect_skipped(&stage, "k", PREFETCH_MISSING, "stands already"); /* a suspect */
    warm_as(&stage, &warmed, "k", PREFETCH_STALE);
    HELP_SAY(&stage.roof, VALUE("3"));
    expect(&warmed, PREFETCH_LOADED, OK, NULL);
    assert_int_equal(ask(&stage, &asked, "k"), OK);
    stage_done(&stage);
}

static void a_key_that_somebody_reads_is_left_to_him(void **state)
{
    (void)state;
    struct stage stage;
    struct reading asked;
    open_plain(&stage);
    assert_int_equal(ask(&stage, &asked, "k"), PENDING);
    expect_skipped(&stage, "k", PREFETCH_FORCE, "is being read");
    HELP_SAY(&stage.roof, VALUE("v"));
    expect_ended(&asked, "v");
    stage_done(&stage);
}

/* Then it is his read: it counts, and what he asked for does not enter on probation. */
static void a_client_who_asks_meanwhile_joins_it(void **state)
{
    (void)state;
    struct stage stage;
    struct warmed warmed;
    struct reading asked;
    struct l1_peek peek;
    open_plain(&stage);
    warm(&stage, &warmed, "k");
    assert_int_equal(ask(&stage, &asked, "k"), PENDING);
    HELP_SAY(&stage.roof, VALUE("v"));
    expect(&warmed, PREFETCH_LOADED, OK, NULL);
    expect_ended(&asked, "v");
    assert_int_equal(metrics_read(&stage.metrics, M_L2_HITS), 1);
    const struct ns_key key = namespaces_key(stage.namespaces, 0, slice_of("k"));
    assert_int_equal(tiers_peek(stage.window, &key, &peek), OK);
    assert_int_equal(peek.idle_ms, 0);
    stage_done(&stage);
}

static void it_stands_as_idle_as_its_source_says(void **state)
{
    (void)state;
    struct stage stage;
    struct warmed warmed = {.prefetch = {.heat = 245}};
    struct l1_peek peek;
    open_plain(&stage);
    assert_int_equal(begin(&stage, &warmed, "k"), PENDING);
    HELP_SAY(&stage.roof, VALUE("v"));
    const struct ns_key key = namespaces_key(stage.namespaces, 0, slice_of("k"));
    assert_int_equal(tiers_peek(stage.window, &key, &peek), OK);
    assert_in_range(peek.idle_ms, 10 * 60000 - 8, 10 * 60000 + 8); /* policy_lru */
    stage_done(&stage);
}

/* --- what ends it --------------------------------------------------------------------------------------------------- */

static void a_write_between_its_claim_and_its_landing_ends_it(void **state)
{
    (void)state;
    struct stage stage;
    struct warmed warmed;
    open_plain(&stage);
    warm(&stage, &warmed, "k");
    const struct ns_key key = namespaces_key(stage.namespaces, 0, slice_of("k"));
    assert_int_equal(l1_invalidate(key.ns->l1, &key.at), 0);
    HELP_SAY(&stage.roof, VALUE("v"));
    expect(&warmed, PREFETCH_FAILED, STALE, "changed meanwhile");
    assert_true(stands(&stage, "k", NULL));
    stage_done(&stage);
}

/* Nor does it take the claim of the read that came after the write: what that brings is newer. */
static void what_was_read_before_a_write_does_not_land_on_a_claim_from_after_it(void **state)
{
    (void)state;
    struct stage stage;
    struct warmed warmed;
    struct reading asked;
    open_plain(&stage);
    warm(&stage, &warmed, "k");
    const struct ns_key key = namespaces_key(stage.namespaces, 0, slice_of("k"));
    (void)l1_invalidate(key.ns->l1, &key.at);
    assert_int_equal(ask(&stage, &asked, "k"), PENDING);
    HELP_SAY(&stage.roof, VALUE("1"));
    expect(&warmed, PREFETCH_FAILED, STALE, "changed meanwhile");
    assert_true(stands(&stage, "k", NULL));
    HELP_SAY(&stage.roof, VALUE("2"));
    expect_ended(&asked, "2");
    assert_false(stands(&stage, "k", "1"));
    stage_done(&stage);
}

static void an_announcement_ends_it(void **state)
{
    (void)state;
    struct stage stage;
    struct warmed warmed;
    open_plain(&stage);
    warm(&stage, &warmed, "k");
    (void)namespaces_forget(stage.namespaces, slice_of("k"));
    HELP_SAY(&stage.roof, VALUE("v"));
    expect(&warmed, PREFETCH_FAILED, STALE, "changed meanwhile");
    assert_true(stands(&stage, "k", NULL));
    stage_done(&stage);
}

static void a_flush_ends_it(void **state)
{
    (void)state;
    struct stage stage;
    struct warmed warmed;
    open_plain(&stage);
    warm(&stage, &warmed, "k");
    namespaces_flush_all(stage.namespaces);
    HELP_SAY(&stage.roof, VALUE("v"));
    expect(&warmed, PREFETCH_FAILED, STALE, "changed meanwhile");
    assert_true(stands(&stage, "k", NULL));
    stage_done(&stage);
}

static void a_change_of_the_namespaces_ends_it(void **state)
{
    (void)state;
    const struct namespace_spec specs[] = {spec_of("default", "", BOUND),
                                           spec_of("a", "a:", BOUND)};
    struct stage stage;
    struct warmed warmed;
    stage_open(&stage, specs, 1);
    warm(&stage, &warmed, "a:k");
    tiers_window_forget_claims(stage.window);
    assert_int_equal(namespaces_rebuild(stage.namespaces, specs, 2, false, HELP_NOW), OK);
    HELP_SAY(&stage.roof, VALUE("v"));
    expect(&warmed, PREFETCH_FAILED, STALE, "changed meanwhile");
    assert_true(stands(&stage, "a:k", NULL));
    warm(&stage, &warmed, "a:k"); /* its next try */
    HELP_SAY(&stage.roof, VALUE("v"));
    expect(&warmed, PREFETCH_LOADED, OK, NULL);
    stage_done(&stage);
}

static void what_has_expired_before_it_lands_is_not_kept(void **state)
{
    (void)state;
    struct stage stage;
    struct warmed warmed;
    open_plain(&stage);
    warm(&stage, &warmed, "k");
    tiers_window_begin(stage.window, HELP_NOW + 100);
    HELP_SAY(&stage.roof, ":50\r\n$1\r\nv\r\n");
    expect(&warmed, PREFETCH_FAILED, STALE, "changed meanwhile");
    assert_int_equal(stats(&stage).items, 0);
    stage_done(&stage);
}

static void a_lost_link_gives_back_what_stood(void **state)
{
    (void)state;
    struct stage stage;
    struct warmed warmed;
    open_plain(&stage);
    warm(&stage, &warmed, "k");
    HELP_SAY(&stage.roof, VALUE("v"));
    warm_as(&stage, &warmed, "k", PREFETCH_FORCE);
    link_on_lost(stage.roof.link, "reset", HELP_NOW);
    expect(&warmed, PREFETCH_FAILED, L2_DOWN, "L2 cannot be asked");
    assert_true(stands(&stage, "k", "v"));
    stage_done(&stage);
}

static void while_nothing_could_be_kept_nothing_is_asked(void **state)
{
    (void)state;
    struct stage stage;
    struct warmed warmed = {0};
    open_plain(&stage);
    atomic_store(&stage.view->may_install, false);
    assert_int_equal(begin(&stage, &warmed, "k"), BUSY);
    atomic_store(&stage.view->may_install, true);
    atomic_store(&stage.view->target, 0);
    assert_int_equal(begin(&stage, &warmed, "k"), BUSY);
    assert_int_equal(link_output(stage.roof.link).size, 0);
    assert_int_equal(stats(&stage).claims, 0);
    stage_done(&stage);
}

static void what_lands_when_the_bus_does_not_confirm_any_more_is_not_kept(void **state)
{
    (void)state;
    struct stage stage;
    struct warmed warmed;
    open_plain(&stage);
    warm(&stage, &warmed, "k");
    atomic_store(&stage.view->may_install, false);
    HELP_SAY(&stage.roof, VALUE("v"));
    expect(&warmed, PREFETCH_FAILED, STALE, "changed meanwhile");
    assert_true(stands(&stage, "k", NULL));
    atomic_store(&stage.view->may_install, true);
    warm(&stage, &warmed, "k");
    HELP_SAY(&stage.roof, VALUE("1"));
    warm_as(&stage, &warmed, "k", PREFETCH_FORCE);
    atomic_store(&stage.view->may_install, false);
    HELP_SAY(&stage.roof, VALUE("2"));
    expect(&warmed, PREFETCH_FAILED, STALE, "changed meanwhile");
    assert_true(stands(&stage, "k", "1")); /* what stood stays */
    stage_done(&stage);
}

static void a_node_that_ends_lets_go_of_what_is_under_way(void **state)
{
    (void)state;
    struct stage stage;
    struct warmed warmed;
    open_plain(&stage);
    warm(&stage, &warmed, "k");
    tiers_window_end_links(stage.window);
    expect(&warmed, PREFETCH_FAILED, L2_DOWN, "L2 cannot be asked");
    assert_int_equal(stats(&stage).claims, 0);
    stage_done(&stage);
}

static void an_error_of_l2_is_told_in_its_words(void **state)
{
    (void)state;
    struct stage stage;
    struct warmed warmed;
    open_plain(&stage);
    warm(&stage, &warmed, "k");
    HELP_SAY(&stage.roof, ":-1\r\n-NOPERM no rights\r\n");
    expect(&warmed, PREFETCH_FAILED, L2_ERROR, NULL);
    assert_string_equal(warmed.error, "NOPERM no rights");
    warm(&stage, &warmed, "k");
    HELP_SAY(&stage.roof, "-LOADING Redis is loading the dataset in memory\r\n"
                          "-LOADING Redis is loading the dataset in memory\r\n");
    expect(&warmed, PREFETCH_FAILED, L2_DOWN, "L2 cannot be asked"); /* it will pass */
    stage_done(&stage);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_key_that_is_not_here_is_brought_in_and_counts_as_no_read),
        cmocka_unit_test(what_lives_nearly_for_ever_is_kept),
        cmocka_unit_test(what_l2_does_not_have_is_absent),
        cmocka_unit_test(the_modes_say_what_is_read_though_something_stands),
        cmocka_unit_test(a_key_that_somebody_reads_is_left_to_him),
        cmocka_unit_test(a_client_who_asks_meanwhile_joins_it),
        cmocka_unit_test(it_stands_as_idle_as_its_source_says),
        cmocka_unit_test(a_write_between_its_claim_and_its_landing_ends_it),
        cmocka_unit_test(what_was_read_before_a_write_does_not_land_on_a_claim_from_after_it),
        cmocka_unit_test(an_announcement_ends_it),
        cmocka_unit_test(a_flush_ends_it),
        cmocka_unit_test(a_change_of_the_namespaces_ends_it),
        cmocka_unit_test(what_has_expired_before_it_lands_is_not_kept),
        cmocka_unit_test(a_lost_link_gives_back_what_stood),
        cmocka_unit_test(while_nothing_could_be_kept_nothing_is_asked),
        cmocka_unit_test(what_lands_when_the_bus_does_not_confirm_any_more_is_not_kept),
        cmocka_unit_test(a_node_that_ends_lets_go_of_what_is_under_way),
        cmocka_unit_test(an_error_of_l2_is_told_in_its_words),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
