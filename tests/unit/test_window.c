/* SPDX-License-Identifier: BSD-3-Clause */
/* A worker's window: what it keeps of what it read, over namespaces that differ, and that change while reads and writes
 * are on their way to L2. */
#include "tests/unit/window_help.h"

static void change(struct stage *stage, const struct namespace_spec *specs, unsigned count)
{
    tiers_window_forget_claims(stage->window);
    assert_int_equal(namespaces_rebuild(stage->namespaces, specs, count, false, HELP_NOW), OK);
}

static void each_key_has_the_bound_of_its_namespace(void **state)
{
    (void)state;
    const struct namespace_spec specs[] = {spec_of("default", "", 1000),
                                           spec_of("fast", "fast:", 200)};
    struct stage stage;
    struct reading slow;
    struct reading fast;
    stage_open(&stage, specs, 2);
    assert_int_equal(ask(&stage, &slow, "k"), PENDING);
    assert_int_equal(ask(&stage, &fast, "fast:k"), PENDING);
    HELP_SAY(&stage.roof, ":-1\r\n$1\r\na\r\n:-1\r\n$1\r\nb\r\n");
    expect_ended(&slow, "a");
    expect_ended(&fast, "b");
    tiers_window_begin(stage.window, HELP_NOW + 200);
    assert_int_equal(ask(&stage, &slow, "k"), OK);
    assert_int_equal(ask(&stage, &fast, "fast:k"), OK);
    tiers_window_begin(stage.window, HELP_NOW + 201);
    assert_int_equal(ask(&stage, &slow, "k"), OK);
    assert_int_equal(ask(&stage, &fast, "fast:k"), PENDING);
    tiers_window_begin(stage.window, HELP_NOW + 1001);
    assert_int_equal(ask(&stage, &slow, "k"), PENDING);
    stage_done(&stage);
}

static void a_namespaces_ttl_limits_what_l2_says(void **state)
{
    (void)state;
    struct namespace_spec specs[] = {spec_of("default", "", 1000), spec_of("short", "s:", 1000)};
    specs[1].settings.ttl_ms = 5000;
    static const struct {
        const char *reply;
        int64_t life_ms;
        bool capped;
    } cases[] = {{":-1\r\n$1\r\nv\r\n", 5000, true},
                 {":9000\r\n$1\r\nv\r\n", 5000, true},
                 {":5000\r\n$1\r\nv\r\n", 5000, false},
                 {":10\r\n$1\r\nv\r\n", 10, false}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct stage stage;
        struct reading asked;
        struct l1_peek peek;
        stage_open(&stage, specs, 2);
        assert_int_equal(ask(&stage, &asked, "s:k"), PENDING);
        help_feed(&stage.roof, slice_of(cases[i].reply), HELP_NOW);
        expect_ended(&asked, "v");
        struct ns_key key = namespaces_key(stage.namespaces, 0, slice_of("s:k"));
        assert_int_equal(tiers_peek(stage.window, &key, &peek), OK);
        assert_int_equal(peek.expire_at_ms, HELP_NOW + cases[i].life_ms);
        assert_int_equal(peek.capped, cases[i].capped);
        stage_done(&stage);
    }
}

/* The L1s count their tokens alike: the first of each has the same number. What was read before the change may be older
 * than an announcement that came after it, when nothing stood for the key in its new home. */
static void a_read_from_before_a_change_installs_nothing_after_it(void **state)
{
    (void)state;
    const struct namespace_spec specs[] = {spec_of("default", "", 1000), spec_of("a", "a:", 1000)};
    struct stage stage;
    struct reading first;
    struct reading second;
    struct reading third;
    stage_open(&stage, specs, 1);
    assert_int_equal(ask(&stage, &first, "a:k"), PENDING);
    change(&stage, specs, 2);
    (void)namespaces_forget(stage.namespaces, slice_of("a:k"));
    assert_int_equal(ask(&stage, &second, "a:k"), PENDING);
    HELP_SAY(&stage.roof, ":-1\r\n$3\r\nold\r\n");
    expect_ended(&first, "old");
    assert_true(stands(&stage, "a:k", NULL));
    HELP_SAY(&stage.roof, ":-1\r\n$3\r\nnew\r\n");
    expect_ended(&second, "new");
    assert_true(stands(&stage, "a:k", NULL)); /* the first landing ended its token */
    assert_int_equal(ask(&stage, &third, "a:k"), PENDING);
    HELP_SAY(&stage.roof, ":-1\r\n$3\r\nnew\r\n");
    expect_ended(&third, "new");
    assert_true(stands(&stage, "a:k", "new"));
    stage_done(&stage);
}

/* A claim whose read nobody can join any more must not stay for ever, should the key not be asked for again. */
static void a_change_leaves_no_claims_behind(void **state)
{
    (void)state;
    const struct namespace_spec specs[] = {spec_of("default", "", 1000), spec_of("a", "a:", 1000)};
    struct stage stage;
    struct reading moved;
    struct reading stays;
    struct l1_stats stats;
    stage_open(&stage, specs, 1);
    assert_int_equal(ask(&stage, &moved, "a:k"), PENDING);
    assert_int_equal(ask(&stage, &stays, "k"), PENDING);
    change(&stage, specs, 2);
    namespaces_stats(stage.namespaces, &stats);
    assert_int_equal(stats.claims, 0);
    stage_done(&stage);
    assert_int_equal(moved.ends, 1);
    assert_int_equal(moved.status, L2_DOWN);
    assert_int_equal(stays.ends, 1);
}

static void on_written(struct tiers_relay *relay, enum status status, struct slice reply)
{
    (void)relay;
    assert_int_equal(status, OK);
    assert_true(slice_is(reply, "+OK\r\n"));
}

static void a_write_ends_its_key_where_it_lives_by_then(void **state)
{
    (void)state;
    const struct namespace_spec specs[] = {spec_of("default", "", 1000), spec_of("a", "a:", 1000)};
    struct stage stage;
    stage_open(&stage, specs, 1);
    struct l1_key key = namespaces_key(stage.namespaces, 0, slice_of("a:k")).at;
    struct tiers_relay relay = {
        .on_reply = on_written, .keys = &key, .key_count = 1, .writes = true};
    assert_int_equal(tiers_relay(stage.window, &relay, 2,
                                 SLICE_LITERAL("*3\r\n$3\r\nSET\r\n$3\r\na:k\r\n$1\r\nv\r\n")),
                     OK);
    change(&stage, specs, 2);
    help_set(namespace_of(stage.namespaces, slice_of("a:k"))->l1, 0, "a:k", "old", 0, HELP_NOW);
    HELP_SAY(&stage.roof, "+OK\r\n");
    assert_true(stands(&stage, "a:k", NULL));
    stage_done(&stage);
}

/* --- what may be kept -------------------------------------------------------------------------------------------- */

static struct l1_look look(struct stage *stage, const char *name)
{
    struct l1_look seen;
    struct ns_key key = namespaces_key(stage->namespaces, 0, slice_of(name));
    l1_look(key.ns->l1, &key.at, stage->window->now_ms, &seen);
    return seen;
}

/* Not as the answer: whatever happened in between, nobody knows whether the answer is older. */
static void an_entry_is_as_old_as_the_question(void **state)
{
    (void)state;
    const struct namespace_spec specs[] = {spec_of("default", "", 1000)};
    struct stage stage;
    struct reading asked;
    stage_open(&stage, specs, 1);
    assert_int_equal(ask(&stage, &asked, "k"), PENDING);
    tiers_window_begin(stage.window, HELP_NOW + 50);
    help_feed(&stage.roof, SLICE_LITERAL(":5000\r\n$1\r\nv\r\n"), HELP_NOW + 50);
    expect_ended(&asked, "v");
    const struct l1_look seen = look(&stage, "k");
    assert_true(seen.has_value);
    assert_int_equal(seen.stamped_at_ms, HELP_NOW);
    assert_int_equal(seen.expire_at_ms, HELP_NOW + 5000);
    stage_done(&stage);
}

/* The reply is late; the value was there when the first reader asked, and no more when the third did. Those who joined
 * too late share one more question. */
static void who_joins_after_a_life_is_over_asks_again(void **state)
{
    (void)state;
    const struct namespace_spec specs[] = {spec_of("default", "", 1000)};
    struct stage stage;
    struct reading first;
    struct reading second;
    struct reading third;
    struct reading fourth;
    stage_open(&stage, specs, 1);
    assert_int_equal(ask(&stage, &first, "k"), PENDING);
    tiers_window_begin(stage.window, HELP_NOW + 29);
    assert_int_equal(ask(&stage, &second, "k"), PENDING);
    tiers_window_begin(stage.window, HELP_NOW + 30);
    assert_int_equal(ask(&stage, &third, "k"), PENDING);
    assert_int_equal(ask(&stage, &fourth, "k"), PENDING);
    help_feed(&stage.roof, SLICE_LITERAL(":30\r\n$3\r\nold\r\n"), HELP_NOW + 700);
    expect_ended(&first, "old");
    expect_ended(&second, "old");
    assert_int_equal(third.ends + fourth.ends, 0);
    tiers_window_begin(stage.window, HELP_NOW + 900);
    help_feed(&stage.roof, SLICE_LITERAL(":0\r\n$3\r\nnew\r\n"), HELP_NOW + 900);
    expect_ended(&third, "new");
    expect_ended(&fourth, "new");
    assert_int_equal(metrics_read(&stage.metrics, M_L2_HITS), 2);
    stage_done(&stage);
}

/* PTTL says 0 of a life of less than a millisecond. */
static void a_life_of_no_millisecond_is_told_to_all_who_asked_in_it(void **state)
{
    (void)state;
    const struct namespace_spec specs[] = {spec_of("default", "", 1000)};
    struct stage stage;
    struct reading first;
    struct reading second;
    stage_open(&stage, specs, 1);
    assert_int_equal(ask(&stage, &first, "k"), PENDING);
    assert_int_equal(ask(&stage, &second, "k"), PENDING);
    HELP_SAY(&stage.roof, ":0\r\n$1\r\nv\r\n");
    expect_ended(&first, "v");
    expect_ended(&second, "v");
    stage_done(&stage);
}

static void only_what_came_from_the_nodes_target_is_kept(void **state)
{
    (void)state;
    const struct namespace_spec specs[] = {spec_of("default", "", 1000)};
    for (int i = 0; i < 4; i++) {
        struct stage stage;
        struct reading asked;
        stage_open(&stage, specs, 1);
        const uint64_t target = link_target(stage.roof.link);
        assert_int_equal(ask(&stage, &asked, "k"), PENDING);
        const uint64_t targets[] = {target, target + 1, 0, target};
        atomic_store(&stage.view->target, targets[i]);
        atomic_store(&stage.view->may_install, i != 3); /* no beat came home yet */
        HELP_SAY(&stage.roof, ":-1\r\n$1\r\nv\r\n");
        expect_ended(&asked, "v");
        assert_true(stands(&stage, "k", i == 0 ? "v" : NULL));
        stage_done(&stage);
    }
}

static void links_leave_another_process_before_the_worker_confirms(void **state)
{
    (void)state;
    const struct namespace_spec specs[] = {spec_of("default", "", 1000)};
    struct stage stage;
    struct reading asked;
    stage_open(&stage, specs, 1);
    const uint64_t run = link_run(stage.roof.link);
    assert_int_equal(ask(&stage, &asked, "k"), PENDING);
    tiers_window_retarget(stage.window, run, HELP_NOW);
    assert_int_equal(link_state(stage.roof.link), LINK_READY);
    assert_int_equal(asked.ends, 0);
    tiers_window_retarget(stage.window, run + 1, HELP_NOW);
    assert_int_not_equal(link_state(stage.roof.link), LINK_READY);
    assert_int_equal(asked.ends, 1);
    assert_int_equal(asked.status, L2_DOWN);
    stage_done(&stage);
}

static void links_that_failed_try_again_when_another_is_let_in(void **state)
{
    (void)state;
    const struct namespace_spec specs[] = {spec_of("default", "", 1000)};
    struct stage stage;
    stage_open(&stage, specs, 1);
    link_on_lost(stage.roof.link, "reset", HELP_NOW);
    tiers_window_tick(stage.window, HELP_NOW + 400);
    assert_int_equal(link_state(stage.roof.link), LINK_CONNECTING);
    link_on_lost(stage.roof.link, "refused", HELP_NOW + 400);
    tiers_window_tick(stage.window, HELP_NOW + 401);
    assert_int_equal(link_state(stage.roof.link), LINK_DOWN);
    tiers_let_in(stage.tiers);
    tiers_window_tick(stage.window, HELP_NOW + 402);
    assert_int_equal(link_state(stage.roof.link), LINK_CONNECTING);
    help_make_ready(&stage.roof);
    unsigned seen = 1;
    assert_true(tiers_others_let_in(stage.tiers, &seen)); /* it calls others, too */
    assert_int_equal(seen, 3);
    stage_done(&stage);
}

static void a_write_ends_entry_and_token_before_it_leaves(void **state)
{
    (void)state;
    const struct namespace_spec specs[] = {spec_of("default", "", 1000)};
    struct stage stage;
    struct reading asked;
    stage_open(&stage, specs, 1);
    help_set(namespaces_default(stage.namespaces)->l1, 0, "old", "v", 0, HELP_NOW);
    assert_int_equal(ask(&stage, &asked, "asked"), PENDING);
    struct l1_key keys[] = {namespaces_key(stage.namespaces, 0, slice_of("old")).at,
                            namespaces_key(stage.namespaces, 0, slice_of("asked")).at};
    struct tiers_relay relay = {
        .on_reply = on_written, .keys = keys, .key_count = 2, .writes = true};
    assert_int_equal(tiers_relay(stage.window, &relay, 2, SLICE_LITERAL("*1\r\n$1\r\nX\r\n")), OK);
    assert_true(stands(&stage, "old", NULL));
    assert_false(look(&stage, "asked").has_claim);
    HELP_SAY(&stage.roof, ":-1\r\n$1\r\nv\r\n+OK\r\n");
    expect_ended(&asked, "v");
    assert_true(stands(&stage, "asked", NULL));
    stage_done(&stage);
}

static void a_relayed_read_is_fenced_as_its_keys_or_as_all_that_it_may_show(void **state)
{
    (void)state;
    static const struct {
        const char *names[2];
        size_t count;
        bool keys_unknown; /* a script: EVAL_RO, FCALL_RO */
        bool writes;
        int64_t fence_ms;
    } rows[] = {
        {{"slow:k"}, 1, false, false, 9000},      {{"k"}, 1, false, false, 3000},
        {{"slow:k", "k"}, 2, false, false, 3000}, {{"fast:k", "slow:k"}, 2, false, false, 500},
        {{"slow:k"}, 1, true, false, 500},        {{NULL}, 0, true, false, 500},
        {{NULL}, 0, false, false, 500},           {{"fast:k"}, 1, false, true, 0},
    };
    const struct namespace_spec specs[] = {spec_of("default", "", 3000),
                                           spec_of("fast", "fast:", 500),
                                           spec_of("slow", "slow:", 9000)};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct stage stage;
        stage_open(&stage, specs, 3);
        struct l1_key keys[2];
        for (size_t j = 0; j < rows[i].count; j++) {
            keys[j] = namespaces_key(stage.namespaces, 0, slice_of(rows[i].names[j])).at;
        }
        struct tiers_relay relay = {.on_reply = on_written,
                                    .keys = keys,
                                    .key_count = rows[i].count,
                                    .keys_unknown = rows[i].keys_unknown,
                                    .writes = rows[i].writes};
        assert_int_equal(tiers_relay(stage.window, &relay, 2, SLICE_LITERAL("*1\r\n$1\r\nX\r\n")),
                         OK);
        assert_int_equal(relay.request.fence_ms, rows[i].fence_ms);
        HELP_SAY(&stage.roof, "+OK\r\n");
        stage_done(&stage);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_key_has_the_bound_of_its_namespace),
        cmocka_unit_test(a_namespaces_ttl_limits_what_l2_says),
        cmocka_unit_test(a_read_from_before_a_change_installs_nothing_after_it),
        cmocka_unit_test(a_change_leaves_no_claims_behind),
        cmocka_unit_test(a_write_ends_its_key_where_it_lives_by_then),
        cmocka_unit_test(a_relayed_read_is_fenced_as_its_keys_or_as_all_that_it_may_show),
        cmocka_unit_test(an_entry_is_as_old_as_the_question),
        cmocka_unit_test(who_joins_after_a_life_is_over_asks_again),
        cmocka_unit_test(a_life_of_no_millisecond_is_told_to_all_who_asked_in_it),
        cmocka_unit_test(only_what_came_from_the_nodes_target_is_kept),
        cmocka_unit_test(links_leave_another_process_before_the_worker_confirms),
        cmocka_unit_test(links_that_failed_try_again_when_another_is_let_in),
        cmocka_unit_test(a_write_ends_entry_and_token_before_it_leaves),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
