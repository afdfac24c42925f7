/* SPDX-License-Identifier: BSD-3-Clause */
/* One load for all who want a managed key: who is to load, who is served meanwhile, who waits and for how long. Its lease:
 * test_load_lease.c. */
#include "tests/unit/load_help.h"

static void what_is_fresh_needs_no_lease(void **state)
{
    (void)state;
    struct stage stage;
    struct client first = plain();
    struct client second = plain();
    open_stage(&stage);
    assert_int_equal(get(&stage, &first), PENDING);
    say_fresh(&stage, "v");
    expect_told(&first, LOAD_HIT, "v");
    assert_int_equal(get(&stage, &second), OK);
    expect_told(&second, LOAD_HIT, "v");
    assert_int_equal(asked(&stage, "WIN"), 0);
    assert_int_equal(load_due_ms(stage.window), INT64_MAX);
    stage_done(&stage);
}

static void of_all_who_find_nothing_one_is_to_load_and_the_others_get_what_he_fills_in(void **state)
{
    (void)state;
    struct stage stage;
    struct client clients[20];
    open_stage(&stage);
    for (unsigned i = 0; i < 20; i++) {
        clients[i] = plain();
        assert_int_equal(get(&stage, &clients[i]), PENDING);
    }
    say(&stage, NOTHING);
    assert_int_equal(asked(&stage, "WIN"), 1);
    say(&stage, WON("n000000000000100"));
    expect_told(&clients[0], LOAD_WON, "");
    assert_memory_equal(clients[0].token, "n000000000000100", LEASE_TOKEN_SIZE);
    for (unsigned i = 1; i < 20; i++) {
        assert_int_equal(clients[i].ends, 0);
    }
    const struct ns_key key = key_of(&stage);
    load_filled(stage.window, &key.at, clients[0].token, false);
    say_fresh(&stage, "v");
    for (unsigned i = 1; i < 20; i++) {
        expect_told(&clients[i], LOAD_HIT, "v");
    }
    assert_int_equal(asked(&stage, "WIN"), 0);
    stage_done(&stage);
}

static void who_waits_for_another_node_asks_again_when_a_frame_names_the_key(void **state)
{
    (void)state;
    struct stage stage;
    struct client client = plain();
    open_stage(&stage);
    const struct ns_key key = key_of(&stage);
    uint64_t workers[WAKES_WORDS];
    assert_int_equal(get(&stage, &client), PENDING);
    say(&stage, NOTHING);
    assert_true(wakes_of(tiers_wakes(stage.tiers), key.at.hash, workers));
    say(&stage, BUSY_3000);
    assert_int_equal(client.ends, 0);
    load_on_wake(stage.window, &key.at);
    assert_false(wakes_of(tiers_wakes(stage.tiers), key.at.hash, workers));
    say_fresh(&stage, "v");
    expect_told(&client, LOAD_HIT, "v");
    stage_done(&stage);
}

/* The frame may overtake the answer: they come by two connections. */
static void a_frame_that_comes_before_the_lease_answers_is_not_missed(void **state)
{
    (void)state;
    struct stage stage;
    struct client client = plain();
    open_stage(&stage);
    const struct ns_key key = key_of(&stage);
    assert_int_equal(get(&stage, &client), PENDING);
    say(&stage, NOTHING);
    load_on_wake(stage.window, &key.at);
    say(&stage, BUSY_3000);
    say_fresh(&stage, "v");
    expect_told(&client, LOAD_HIT, "v");
    stage_done(&stage);
}

static void a_lease_that_runs_out_elsewhere_is_asked_for_again(void **state)
{
    (void)state;
    struct stage stage;
    struct client client = {.ask = {.soft_ms = 1, .hard_ms = 60000}};
    open_stage(&stage);
    assert_int_equal(get(&stage, &client), PENDING);
    say(&stage, NOTHING BUSY_3000);
    at(&stage, 2999);
    assert_int_equal(asked(&stage, "WIN"), 1);
    at(&stage, 3200);
    say(&stage, NOTHING WON("n000000000000100"));
    expect_told(&client, LOAD_WON, "");
    stage_done(&stage);
}

static void of_those_who_find_a_stale_value_one_refreshes_and_all_others_are_served_at_once(
    void **state)
{
    (void)state;
    struct stage stage;
    struct client clients[10];
    open_stage(&stage);
    for (unsigned i = 0; i < 5; i++) {
        clients[i] = plain();
        assert_int_equal(get(&stage, &clients[i]), PENDING);
    }
    say_old(&stage, 101000, 0);
    for (unsigned i = 1; i < 5; i++) {
        expect_told(&clients[i], LOAD_STALE, "old");
    }
    for (unsigned i = 5; i < 10; i++) {
        clients[i] = plain();
        assert_int_equal(get(&stage, &clients[i]), OK);
        expect_told(&clients[i], LOAD_STALE, "old");
    }
    assert_int_equal(asked(&stage, "WIN"), 1);
    assert_int_equal(clients[0].ends, 0);
    say(&stage, WON("s000000000000100"));
    expect_told(&clients[0], LOAD_WON, "old");
    struct client late = plain();
    assert_int_equal(get(&stage, &late), OK);
    expect_told(&late, LOAD_STALE, "old");
    assert_int_equal(asked(&stage, "WIN"), 0);
    stage_done(&stage);
}

static void who_asks_for_the_refresh_and_is_not_the_first_is_served_too(void **state)
{
    (void)state;
    struct stage stage;
    struct client client = plain();
    open_stage(&stage);
    assert_int_equal(get(&stage, &client), PENDING);
    say_old(&stage, 101000, 0);
    say(&stage, BUSY_3000);
    expect_told(&client, LOAD_STALE, "old");
    stage_done(&stage);
}

static void a_refresh_adopts_what_another_node_has_filled_in(void **state)
{
    (void)state;
    struct stage stage;
    struct client client = plain();
    open_stage(&stage);
    assert_int_equal(get(&stage, &client), PENDING);
    say_old(&stage, 101000, 0);
    say(&stage, AGAIN_);
    say_fresh(&stage, "new");
    expect_told(&client, LOAD_HIT, "new");
    assert_int_equal(asked(&stage, "WIN"), 1);
    stage_done(&stage);
}

static void a_spare_value_is_served_when_the_soft_budget_is_over(void **state)
{
    (void)state;
    struct stage stage;
    struct client client = plain();
    open_stage(&stage);
    assert_int_equal(get(&stage, &client), PENDING);
    say_old(&stage, 0, 101000);
    say(&stage, BUSY_3000);
    assert_int_equal(client.ends, 0);
    at(&stage, SOFT - 1);
    assert_int_equal(client.ends, 0);
    assert_int_equal(load_due_ms(stage.window), HELP_NOW + SOFT);
    at(&stage, SOFT);
    expect_told(&client, LOAD_STALE, "old");
    stage_done(&stage);
}

static void with_nothing_to_serve_the_hard_budget_ends_the_wait(void **state)
{
    (void)state;
    struct stage stage;
    struct client asks = plain();
    struct client fetches = {0};
    open_stage(&stage);
    assert_int_equal(get(&stage, &asks), PENDING);
    assert_int_equal(get(&stage, &fetches), PENDING);
    say(&stage, NOTHING BUSY_3000);
    at(&stage, HARD - 1);
    assert_int_equal(asks.ends + fetches.ends, 0);
    at(&stage, HARD + LOAD_GRAIN_MS);
    expect_told(&asks, LOAD_MISSED, "");
    assert_int_equal(fetches.ends, 1);
    assert_int_equal(fetches.status, BUSY);
    /* The next plain client does not wait for the same loader. */
    struct client next = plain();
    assert_int_equal(get(&stage, &next), PENDING);
    say(&stage, NOTHING);
    expect_told(&next, LOAD_MISSED, "");
    stage_done(&stage);
}

/* Of two who wait for each other. */
static void who_is_to_load_one_key_waits_for_others_only_shortly(void **state)
{
    (void)state;
    struct stage stage;
    struct client before = plain();
    struct client other = plain();
    struct client after = plain();
    struct client next = plain();
    open_stage(&stage);
    before.ask.group = 7;
    other.ask.group = 8;
    after.ask.hurried = true;
    assert_int_equal(get(&stage, &before), PENDING);
    assert_int_equal(get(&stage, &other), PENDING);
    assert_int_equal(get(&stage, &after), PENDING);
    say(&stage, NOTHING BUSY_3000);
    at(&stage, 10);
    load_hurry(stage.window, 7);
    at(&stage, SOFT + 15);
    expect_told(&before, LOAD_MISSED, "");
    expect_told(&after, LOAD_MISSED, "");
    assert_int_equal(other.ends, 0);
    assert_int_equal(get(&stage, &next), PENDING);
    say(&stage, NOTHING);
    assert_int_equal(next.ends, 0); /* nobody has waited in vain for as long as he may */
    stage_done(&stage);
}

static void a_budget_counts_while_l2_does_not_answer_too(void **state)
{
    (void)state;
    struct stage stage;
    struct client client = {.ask = {.soft_ms = 5, .hard_ms = 10}};
    open_stage(&stage);
    assert_int_equal(get(&stage, &client), PENDING);
    at(&stage, 10);
    assert_int_equal(client.ends, 1);
    assert_int_equal(client.status, BUSY);
    say(&stage, NOTHING);
    assert_int_equal(client.ends, 1);
    assert_int_equal(asked(&stage, "WIN"), 0);
    stage_done(&stage);
}

static void who_will_not_load_gets_what_there_is_and_takes_no_lease(void **state)
{
    (void)state;
    struct stage stage;
    struct client nothing = {.ask = {.no_load = true}};
    struct client stale = {.ask = {.no_load = true}};
    open_stage(&stage);
    const struct ns_key key = key_of(&stage);
    assert_int_equal(get(&stage, &nothing), PENDING);
    say(&stage, NOTHING);
    expect_told(&nothing, LOAD_MISSED, "");
    assert_int_equal(get(&stage, &stale), PENDING);
    say_old(&stage, 0, 101000);
    expect_told(&stale, LOAD_STALE, "old");
    assert_int_equal(asked(&stage, "WIN"), 0);
    (void)key;
    stage_done(&stage);
}

static void how_stale_it_may_be_is_the_askers_to_say(void **state)
{
    (void)state;
    struct stage stage;
    static const struct {
        enum wish_kind kind;
        int64_t max_ms;
        enum load_outcome outcome;
    } cases[] = {{WISH_FRESH, 0, LOAD_MISSED},
                 {WISH_MAXSTALE, 999, LOAD_MISSED}, /* it is stale for a second */
                 {WISH_MAXSTALE, 1000, LOAD_STALE},
                 {WISH_ANY, 0, LOAD_STALE}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct client client = {
            .ask = {.no_load = true,
                    .has_wish = true,
                    .wish = {.kind = cases[i].kind, .max_stale_ms = cases[i].max_ms}}};
        open_stage(&stage);
        assert_int_equal(get(&stage, &client), PENDING);
        say_value(&stage, "old", 100000, 7, 1000, 0, 101000);
        expect_told(&client, cases[i].outcome, cases[i].outcome == LOAD_STALE ? "old" : "");
        stage_done(&stage);
    }
}

/* `available`: while Redis is not heard what is fresh by itself may be behind. */
static void what_may_be_behind_is_stale(void **state)
{
    (void)state;
    struct stage stage;
    struct client first = {0};
    struct client later = {0};
    open_stage(&stage);
    struct namespace *ns = key_of(&stage).ns;
    atomic_store(&ns->kind, NAMESPACE_AVAILABLE);
    atomic_store(&ns->grace_ms, 10 * BOUND);
    assert_int_equal(get(&stage, &first), PENDING);
    say_value(&stage, "v", 30 * BOUND, 1000, 30 * BOUND, 0, 0);
    expect_told(&first, LOAD_HIT, "v");
    tiers_window_begin(stage.window, HELP_NOW + BOUND + 1);
    assert_int_equal(get(&stage, &later), OK);
    expect_told(&later, LOAD_STALE, "v");
    stage_done(&stage);
}

static void whoever_waits_is_told_when_the_window_ends(void **state)
{
    (void)state;
    struct stage stage;
    struct client parked = plain();
    struct client flies = plain();
    open_stage(&stage);
    assert_int_equal(get(&stage, &parked), PENDING);
    say(&stage, NOTHING BUSY_3000);
    assert_int_equal(get(&stage, &flies), PENDING);
    stage_done(&stage);
    assert_int_equal(parked.ends, 1);
    assert_int_equal(flies.ends, 1);
    assert_int_equal(parked.status, L2_DOWN);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_fresh_needs_no_lease),
        cmocka_unit_test(
            of_all_who_find_nothing_one_is_to_load_and_the_others_get_what_he_fills_in),
        cmocka_unit_test(who_waits_for_another_node_asks_again_when_a_frame_names_the_key),
        cmocka_unit_test(a_frame_that_comes_before_the_lease_answers_is_not_missed),
        cmocka_unit_test(a_lease_that_runs_out_elsewhere_is_asked_for_again),
        cmocka_unit_test(
            of_those_who_find_a_stale_value_one_refreshes_and_all_others_are_served_at_once),
        cmocka_unit_test(who_asks_for_the_refresh_and_is_not_the_first_is_served_too),
        cmocka_unit_test(a_refresh_adopts_what_another_node_has_filled_in),
        cmocka_unit_test(a_spare_value_is_served_when_the_soft_budget_is_over),
        cmocka_unit_test(with_nothing_to_serve_the_hard_budget_ends_the_wait),
        cmocka_unit_test(who_is_to_load_one_key_waits_for_others_only_shortly),
        cmocka_unit_test(a_budget_counts_while_l2_does_not_answer_too),
        cmocka_unit_test(who_will_not_load_gets_what_there_is_and_takes_no_lease),
        cmocka_unit_test(how_stale_it_may_be_is_the_askers_to_say),
        cmocka_unit_test(what_may_be_behind_is_stale),
        cmocka_unit_test(whoever_waits_is_told_when_the_window_ends),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
