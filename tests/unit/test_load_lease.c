/* SPDX-License-Identifier: BSD-3-Clause */
/* The lease of a load: held, renewed, handed on, lost; a load that fails, and leases that cannot be had. */
#include "tests/unit/load_help.h"

static void a_loader_that_leaves_hands_on_to_the_next_at_once(void **state)
{
    (void)state;
    struct stage stage;
    struct client first = plain();
    struct client second = plain();
    open_stage(&stage);
    const struct ns_key key = key_of(&stage);
    assert_int_equal(get(&stage, &first), PENDING);
    assert_int_equal(get(&stage, &second), PENDING);
    say(&stage, NOTHING WON("n000000000000100"));
    load_release(stage.window, &key.at, first.token);
    assert_int_equal(asked(&stage, "END"), 1);
    say(&stage, DONE_ NOTHING WON("n000000000000200"));
    expect_told(&second, LOAD_WON, "");
    stage_done(&stage);
}

static void on_failed(void *arg, enum status status, struct slice key, struct slice error)
{
    (void)key;
    (void)error;
    *(enum status *)arg = status;
}

static void a_failure_is_told_to_who_waits_and_what_is_stale_to_who_may_have_it(void **state)
{
    (void)state;
    struct stage stage;
    struct client loader = {0};
    struct client waits = {0};
    struct client asks_again = {0};
    enum status ended = PENDING;
    open_stage(&stage);
    const struct ns_key key = key_of(&stage);
    assert_int_equal(get(&stage, &loader), PENDING);
    assert_int_equal(get(&stage, &waits), PENDING);
    say(&stage, NOTHING WON("n000000000000100"));
    (void)asked(&stage, "WIN");
    struct lease_call *call = load_fail(stage.window, &key, loader.token, on_failed);
    assert_non_null(call);
    load_fail_tells(call, &ended);
    assert_int_equal(asked(&stage, "END"), 1);
    say(&stage, DONE_);
    assert_int_equal(ended, OK);
    say(&stage, NOTHING FAILED_3000);
    expect_told(&waits, LOAD_FAILED, "");
    (void)asked(&stage, "WIN");

    /* As long as Redis said, to the millisecond, the failure is told; then the next who asks may load. */
    tiers_window_begin(stage.window, HELP_NOW + 2999);
    assert_int_equal(get(&stage, &asks_again), PENDING);
    say(&stage, NOTHING);
    expect_told(&asks_again, LOAD_FAILED, "");
    asks_again = loader = (struct client){0};
    tiers_window_begin(stage.window, HELP_NOW + 3000);
    assert_int_equal(get(&stage, &asks_again), PENDING);
    say(&stage, NOTHING WON("n000000000000101"));
    expect_told(&asks_again, LOAD_WON, "");
    assert_int_equal(asked(&stage, "WIN"), 1);
    load_filled(stage.window, &key.at, asks_again.token, false);

    asks_again = waits = (struct client){0};
    assert_int_equal(get(&stage, &loader), PENDING);
    assert_int_equal(get(&stage, &waits), PENDING);
    say_old(&stage, 0, 101000);
    say(&stage, WON("s000000000000200"));
    load_fail_tells(load_fail(stage.window, &key, loader.token, on_failed), &ended);
    say(&stage, LOST_);
    assert_int_equal(ended, MISS);
    say(&stage, FAILED_3000);
    expect_told(&waits, LOAD_STALE, "old");
    assert_int_equal(get(&stage, &asks_again), OK); /* this worker knows by now */
    expect_told(&asks_again, LOAD_STALE, "old");
    assert_int_equal(asked(&stage, "WIN"), 2);
    stage_done(&stage);
}

static void who_holds_the_lease_renews_it_until_the_load_has_had_its_time(void **state)
{
    (void)state;
    struct stage stage;
    struct client client = plain();
    open_stage(&stage);
    assert_int_equal(get(&stage, &client), PENDING);
    say(&stage, NOTHING WON("n000000000000100"));
    (void)asked(&stage, "WIN");
    for (int64_t after_ms = 1000; after_ms < LOADS; after_ms += 1000) {
        at(&stage, after_ms);
        assert_int_equal(asked(&stage, "RENEW"), 1);
        say(&stage, DONE_);
    }
    at(&stage, LOADS);
    assert_int_equal(asked(&stage, "END"), 1);
    say(&stage, DONE_);
    at(&stage, LOADS + 5000);
    assert_int_equal(asked(&stage, "RENEW"), 0);
    stage_done(&stage);
}

/* What Redis knows of many leases: when each was won or renewed. */
enum {
    MANY = 16000
};

static void win_many(struct stage *stage, unsigned count, int64_t *renewed_ms)
{
    char name[16];
    for (unsigned i = 0; i < count; i++) {
        struct client client = plain();
        (void)snprintf(name, sizeof name, "m:%05u", i);
        assert_int_equal(
            get_key(stage, &client, namespaces_key(stage->namespaces, 0, slice_of(name))), PENDING);
        say(stage, NOTHING WON("n000000000000100"));
        assert_int_equal(client.outcome, LOAD_WON);
        (void)asked(stage, "WIN");
        renewed_ms[i] = 0;
    }
}

/* Redis is asked to renew nothing that is over. */
static void renew_many(struct stage *stage, int64_t after_ms, int64_t *renewed_ms)
{
    static const char word[] = "$5\r\nRENEW\r\n$1\r\n0\r\n$7\r\nm:";
    at(stage, after_ms);
    struct buf written = help_written(&stage->roof);
    struct slice rest = buf_slice(&written);
    unsigned count = 0;
    const char *found = NULL;
    while (rest.size > 0 && (found = memmem(rest.data, rest.size, word, sizeof word - 1)) != NULL) {
        const char *digits = found + sizeof word - 1;
        const unsigned long i = strtoul(digits, NULL, 10);
        assert_true(i < MANY && after_ms - renewed_ms[i] < LEASE_LIFE_MS);
        renewed_ms[i] = after_ms;
        count++;
        rest.size -= (size_t)(digits - rest.data);
        rest.data = digits;
    }
    buf_done(&written);
    assert_true(count <= 512);
    while (count-- > 0) {
        say(stage, DONE_);
    }
}

static unsigned kept_of_many(unsigned count)
{
    struct stage stage;
    int64_t *renewed_ms = calloc(MANY, sizeof *renewed_ms);
    unsigned kept = 0;
    int64_t after_ms = 0;
    assert_non_null(renewed_ms);
    open_stage(&stage);
    win_many(&stage, count, renewed_ms);
    for (after_ms = 100; after_ms < LOADS; after_ms += 100) {
        renew_many(&stage, after_ms, renewed_ms);
    }
    for (unsigned i = 0; i < count; i++) {
        kept += after_ms - renewed_ms[i] < LEASE_LIFE_MS;
    }
    stage_done(&stage);
    free(renewed_ms);
    return kept;
}

static void many_leases_are_renewed_in_turn_and_what_is_too_many_does_not_cost_the_others(
    void **state)
{
    (void)state;
    assert_int_equal(kept_of_many(12000), 12000);
    assert_in_range(kept_of_many(MANY), 12000, MANY - 1);
}

static void a_lease_that_was_lost_sends_all_to_look_again(void **state)
{
    (void)state;
    struct stage stage;
    struct client loader = plain();
    struct client waits = plain();
    open_stage(&stage);
    const struct ns_key key = key_of(&stage);
    assert_int_equal(get(&stage, &loader), PENDING);
    assert_int_equal(get(&stage, &waits), PENDING);
    say(&stage, NOTHING WON("n000000000000100"));
    load_on_wake(stage.window, &key.at); /* somebody has written it */
    assert_int_equal(asked(&stage, "RENEW"), 1);
    say(&stage, LOST_);
    say_fresh(&stage, "written");
    expect_told(&waits, LOAD_HIT, "written");
    stage_done(&stage);
}

static void where_nobody_fills_in_plain_clients_get_nothing_at_once_and_others_the_load(
    void **state)
{
    (void)state;
    struct stage stage;
    struct client first = plain();
    struct client second = plain();
    struct client fetches = {0};
    open_stage(&stage);
    assert_int_equal(get(&stage, &first), PENDING);
    say(&stage, NOTHING IDLE_3000);
    expect_told(&first, LOAD_MISSED, "");
    assert_int_equal(get(&stage, &second), PENDING);
    say(&stage, NOTHING);
    expect_told(&second, LOAD_MISSED, "");
    assert_int_equal(asked(&stage, "WIN"), 1);
    assert_int_equal(get(&stage, &fetches), PENDING);
    say(&stage, NOTHING WON("n000000000000101"));
    expect_told(&fetches, LOAD_WON, "");
    stage_done(&stage);
}

static void who_has_the_token_is_not_made_to_wait_for_himself(void **state)
{
    (void)state;
    struct stage stage;
    struct client asks = plain();
    struct client fetches = {0};
    open_stage(&stage);
    const struct ns_key key = key_of(&stage);
    assert_int_equal(get(&stage, &asks), PENDING);
    say(&stage, NOTHING WON("n000000000000100"));
    struct client again = plain();
    again.ask.has_token = fetches.ask.has_token = true;
    memcpy(again.ask.token, asks.token, LEASE_TOKEN_SIZE);
    memcpy(fetches.ask.token, asks.token, LEASE_TOKEN_SIZE);
    assert_int_equal(get(&stage, &again), PENDING);
    assert_int_equal(get(&stage, &fetches), PENDING);
    say(&stage, NOTHING);
    expect_told(&again, LOAD_MISSED, "");
    expect_told(&fetches, LOAD_WON, "");
    assert_memory_equal(fetches.token, asks.token, LEASE_TOKEN_SIZE);
    load_release(stage.window, &key.at, asks.token);
    stage_done(&stage);
}

static void without_a_lease_there_is_nothing_for_plain_clients_and_the_reason_for_others(
    void **state)
{
    (void)state;
    struct stage stage;
    struct client plain_one = plain();
    struct client other = {0};
    struct client stale = {0};
    open_stage(&stage);
    assert_int_equal(get(&stage, &plain_one), PENDING);
    assert_int_equal(get(&stage, &other), PENDING);
    say(&stage, NOTHING "-OOM command not allowed\r\n");
    expect_told(&plain_one, LOAD_MISSED, "");
    assert_int_equal(other.ends, 1);
    assert_int_equal(other.status, L2_ERROR);
    assert_string_equal(other.error, "OOM command not allowed");

    assert_int_equal(get(&stage, &stale), PENDING);
    say_old(&stage, 0, 101000);
    say(&stage, "-OOM command not allowed\r\n");
    expect_told(&stale, LOAD_STALE, "old");
    stage_done(&stage);
}

static void a_lost_link_ends_waits_as_reads_do(void **state)
{
    (void)state;
    struct stage stage;
    struct client leasing = plain();
    struct client spare = plain();
    open_stage(&stage);
    assert_int_equal(get(&stage, &leasing), PENDING);
    say(&stage, NOTHING);
    link_on_lost(stage.roof.link, "cut", HELP_NOW);
    assert_int_equal(leasing.ends, 1);
    assert_int_equal(leasing.status, L2_DOWN);
    (void)spare;
    stage_done(&stage);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_loader_that_leaves_hands_on_to_the_next_at_once),
        cmocka_unit_test(a_failure_is_told_to_who_waits_and_what_is_stale_to_who_may_have_it),
        cmocka_unit_test(who_holds_the_lease_renews_it_until_the_load_has_had_its_time),
        cmocka_unit_test(
            many_leases_are_renewed_in_turn_and_what_is_too_many_does_not_cost_the_others),
        cmocka_unit_test(a_lease_that_was_lost_sends_all_to_look_again),
        cmocka_unit_test(
            where_nobody_fills_in_plain_clients_get_nothing_at_once_and_others_the_load),
        cmocka_unit_test(who_has_the_token_is_not_made_to_wait_for_himself),
        cmocka_unit_test(
            without_a_lease_there_is_nothing_for_plain_clients_and_the_reason_for_others),
        cmocka_unit_test(a_lost_link_ends_waits_as_reads_do),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
