/* SPDX-License-Identifier: BSD-3-Clause */
/* One load for all who want a managed key: who is to load, who is served meanwhile, who waits and for how long. Redis'
 * answers are written by hand, the lease's too. */
#include "protocol/envelope.h"
#include "tests/unit/window_help.h"
#include "tiers/load.h"
#include "tiers/wakes.h"

enum {
    BOUND = 60000, /* no proof of the link gets old in these tests */
    SOFT = 50,
    HARD = 2000,
    LOADS = 10000, /* load-timeout */
    IDLE = 5000    /* negative-ttl */
};

#define WON(token)  "*3\r\n$3\r\nWON\r\n$16\r\n" token "\r\n:1000\r\n"
#define BUSY_3000   "*2\r\n$4\r\nBUSY\r\n:3000\r\n"
#define IDLE_3000   "*2\r\n$4\r\nIDLE\r\n:3000\r\n"
#define FAILED_3000 "*2\r\n$6\r\nFAILED\r\n:3000\r\n"
#define AGAIN_      "*1\r\n$5\r\nAGAIN\r\n"
#define LOST_       "*1\r\n$4\r\nLOST\r\n"
#define DONE_       "*1\r\n$2\r\nOK\r\n"
#define NOTHING     ":-2\r\n$-1\r\n"

/* Who asks, and what he was told. */
struct client {
    struct load_ask ask;
    unsigned ends;
    enum status status;
    enum load_outcome outcome;
    char value[16];
    char error[64];
    char token[LEASE_TOKEN_SIZE];
};

static void client_told(struct client *client, enum status status, const struct load_result *result)
{
    client->ends++;
    client->status = status;
    client->outcome = result->outcome;
    memcpy(client->token, result->token, LEASE_TOKEN_SIZE);
    (void)snprintf(client->error, sizeof client->error, "%.*s", (int)result->error.size,
                   result->error.size == 0 ? "" : result->error.data);
    if (status == OK && result->has_value) {
        assert_true(result->value.value.size < sizeof client->value);
        memcpy(client->value, result->value.value.data, result->value.value.size);
    }
}

static void client_on_loaded(void *arg, enum status status, const struct load_result *result)
{
    client_told(arg, status, result);
}

static void open_stage(struct stage *stage)
{
    struct namespace_spec specs[] = {spec_of("default", "", BOUND), spec_of("m", "m:", BOUND)};
    specs[1].managed = true;
    specs[1].settings.told = true;
    specs[1].settings.rules = (struct ns_rules){.soft_timeout_ms = SOFT,
                                                .hard_timeout_ms = HARD,
                                                .load_timeout_ms = LOADS,
                                                .negative_ttl_ms = IDLE};
    stage_open(stage, specs, 2);
}

static struct ns_key key_of(struct stage *stage)
{
    return namespaces_key(stage->namespaces, 0, slice_of("m:k"));
}

static enum status get_key(struct stage *stage, struct client *client, struct ns_key key)
{
    char copy[64];
    struct load_wait *wait = NULL;
    struct l1_value value = {.copy = copy, .copy_room = sizeof copy};
    struct load_result result = {0};
    client->ask.on_loaded = client_on_loaded;
    if (client->ask.soft_ms == 0 && client->ask.hard_ms == 0) {
        client->ask.soft_ms = client->ask.hard_ms = LOAD_BUDGET_NONE;
    }
    const enum status status = load_get(stage->window, &key, &client->ask, &value, &result, &wait);
    if (status == PENDING) {
        load_tell_to(wait, client);
    } else {
        client_told(client, status, &result);
        item_release(value.item);
    }
    return status;
}

static enum status get(struct stage *stage, struct client *client)
{
    return get_key(stage, client, key_of(stage));
}

static void expect_told(const struct client *client, enum load_outcome outcome, const char *value)
{
    assert_int_equal(client->ends, 1);
    assert_int_equal(client->status, OK);
    assert_int_equal(client->outcome, outcome);
    assert_string_equal(client->value, value);
}

/* How many calls of the lease script went out, and the verb of the last. */
static unsigned asked(struct stage *stage, const char *verb)
{
    struct buf written = help_written(&stage->roof);
    unsigned count = 0;
    char word[32];
    (void)snprintf(word, sizeof word, "$%zu\r\n%s\r\n", strlen(verb), verb);
    struct slice rest = buf_slice(&written);
    while (rest.size > 0) {
        const char *at = memmem(rest.data, rest.size, word, strlen(word));
        if (at == NULL) {
            break;
        }
        count++;
        rest.size -= (size_t)(at + 1 - rest.data);
        rest.data = at + 1;
    }
    buf_done(&written);
    return count;
}

static void at(struct stage *stage, int64_t after_ms)
{
    tiers_window_begin(stage->window, HELP_NOW + after_ms);
    load_tick(stage->window);
}

static void say(struct stage *stage, const char *text)
{
    help_feed(&stage->roof, slice_of(text), stage->window->now_ms);
}

/* L2 has an envelope with so many ms to live. */
static void say_value(struct stage *stage, const char *value, int64_t pttl_ms, uint64_t version,
                      int64_t fresh_ms, uint32_t swr_ms, uint32_t sie_ms)
{
    struct buf envelope = {0};
    struct buf reply = {0};
    assert_int_equal(envelope_write(&envelope,
                                    &(struct envelope){.version = version,
                                                       .fresh_ms = (uint64_t)fresh_ms,
                                                       .swr_ms = swr_ms,
                                                       .sie_ms = sie_ms,
                                                       .value_size = (uint32_t)strlen(value),
                                                       .body = slice_of(value)},
                                    NULL),
                     OK);
    assert_int_equal(buf_printf(&reply, ":%d\r\n$%zu\r\n", (int)pttl_ms, envelope.size), OK);
    assert_int_equal(buf_append_slice(&reply, buf_slice(&envelope)), OK);
    assert_int_equal(buf_append(&reply, "\r\n", 2), OK);
    help_feed(&stage->roof, buf_slice(&reply), stage->window->now_ms);
    buf_done(&envelope);
    buf_done(&reply);
}

/* A fresh one. */
static void say_fresh(struct stage *stage, const char *value)
{
    say_value(stage, value, 60000, 1000, 60000, 0, 0);
}

/* One that lives 100 s yet, and is fresh no more: swr and sie as given. */
static void say_old(struct stage *stage, uint32_t swr_ms, uint32_t sie_ms)
{
    say_value(stage, "old", 100000, 7, 1000, swr_ms, sie_ms);
}

static struct client plain(void)
{
    return (struct client){.ask = {.plain = true}};
}

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
        cmocka_unit_test(a_loader_that_leaves_hands_on_to_the_next_at_once),
        cmocka_unit_test(a_failure_is_told_to_who_waits_and_what_is_stale_to_who_may_have_it),
        cmocka_unit_test(who_holds_the_lease_renews_it_until_the_load_has_had_its_time),
        cmocka_unit_test(
            many_leases_are_renewed_in_turn_and_what_is_too_many_does_not_cost_the_others),
        cmocka_unit_test(a_lease_that_was_lost_sends_all_to_look_again),
        cmocka_unit_test(
            where_nobody_fills_in_plain_clients_get_nothing_at_once_and_others_the_load),
        cmocka_unit_test(who_has_the_token_is_not_made_to_wait_for_himself),
        cmocka_unit_test(who_will_not_load_gets_what_there_is_and_takes_no_lease),
        cmocka_unit_test(how_stale_it_may_be_is_the_askers_to_say),
        cmocka_unit_test(what_may_be_behind_is_stale),
        cmocka_unit_test(whoever_waits_is_told_when_the_window_ends),
        cmocka_unit_test(
            without_a_lease_there_is_nothing_for_plain_clients_and_the_reason_for_others),
        cmocka_unit_test(a_lost_link_ends_waits_as_reads_do),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
