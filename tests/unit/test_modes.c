/* SPDX-License-Identifier: BSD-3-Clause */
/* What a worker's window serves in each mode, with L2 there and away, with the fence open and closed. */
#include "tests/unit/window_help.h"

enum {
    T_MS = 1000,
    G_MS = 5000
};

static struct namespace_spec spec_in(enum namespace_kind kind)
{
    struct namespace_spec spec = spec_of("default", "", T_MS);
    spec.settings.mode.kind = kind;
    spec.settings.mode.grace_ms = G_MS;
    spec.settings.ttl_ms = kind == NAMESPACE_TTL ? 3600000 : 0;
    return spec;
}

/* The value of k, read from L2 and kept. */
static void stage_with_value(struct stage *stage, enum namespace_kind kind)
{
    const struct namespace_spec spec = spec_in(kind);
    struct asked asked;
    stage_open(stage, &spec, 1);
    assert_int_equal(ask(stage, &asked, "k"), PENDING);
    HELP_SAY(&stage->roof, ":-1\r\n$1\r\nv\r\n");
    expect_ended(&asked, "v");
    assert_int_equal(ask(stage, &asked, "k"), OK);
}

/* Everything that stands becomes suspect, as coherence would say it; a new horizon is there at once. */
static void suspect_all(struct stage *stage, int64_t now_ms)
{
    atomic_store(&stage->view->prior_floor_ms, atomic_load(&stage->view->floor_ms));
    atomic_store(&stage->view->proven_ms, atomic_load(&stage->view->horizon_ms));
    atomic_store(&stage->view->floor_ms, now_ms + 1);
    atomic_store(&stage->view->horizon_ms, now_ms);
    tiers_window_begin(stage->window, now_ms);
}

/* The connection is lost, and the next attempt fails: from then on L2 refuses at once. */
static void lose_l2(struct stage *stage)
{
    const int64_t now_ms = stage->window->now_ms;
    link_on_lost(stage->roof.link, "a test", now_ms);
    for (int64_t ms = 0; !link_is_down(stage->roof.link); ms += 100) {
        assert_true(ms < 10000);
        link_tick(stage->roof.link, now_ms + ms);
        if (link_state(stage->roof.link) == LINK_CONNECTING) {
            link_on_lost(stage->roof.link, "a test", now_ms + ms);
        }
    }
}

static uint64_t stale_served(const struct stage *stage)
{
    return metrics_read(&stage->metrics, M_STALE_SERVED);
}

static void with_the_fence_closed_each_mode_serves_what_it_may(void **state)
{
    (void)state;
    static const struct {
        enum namespace_kind kind;
        int64_t until_ms; /* the last moment of a hit; the horizon is that of HELP_NOW */
    } rows[] = {{NAMESPACE_BOUNDED, T_MS},
                {NAMESPACE_STRICT, T_MS},
                {NAMESPACE_AVAILABLE, G_MS},
                {NAMESPACE_TTL, 3600000 - 1}};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct stage stage;
        struct asked asked;
        stage_with_value(&stage, rows[i].kind);
        tiers_window_begin(stage.window, HELP_NOW + rows[i].until_ms);
        assert_int_equal(ask(&stage, &asked, "k"), OK);
        tiers_window_begin(stage.window, HELP_NOW + rows[i].until_ms + 1);
        assert_int_equal(ask(&stage, &asked, "k"), PENDING);
        stage_done(&stage);
    }
}

static void what_is_older_than_t_is_counted(void **state)
{
    (void)state;
    struct stage stage;
    struct asked asked;
    stage_with_value(&stage, NAMESPACE_AVAILABLE);
    tiers_window_begin(stage.window, HELP_NOW + T_MS);
    assert_int_equal(ask(&stage, &asked, "k"), OK);
    assert_int_equal(stale_served(&stage), 0);
    tiers_window_begin(stage.window, HELP_NOW + T_MS + 1);
    assert_int_equal(ask(&stage, &asked, "k"), OK);
    assert_int_equal(stale_served(&stage), 1);
    stage_done(&stage);
}

static void available_asks_l2_for_a_suspect_and_serves_it_when_l2_is_lost(void **state)
{
    (void)state;
    struct stage stage;
    struct asked first;
    struct asked second;
    stage_with_value(&stage, NAMESPACE_AVAILABLE);
    suspect_all(&stage, HELP_NOW + 10);
    assert_int_equal(ask(&stage, &first, "k"), PENDING);
    assert_int_equal(ask(&stage, &second, "k"), PENDING); /* joins */
    lose_l2(&stage);
    expect_ended(&first, "v");
    expect_ended(&second, "v");
    assert_true(first.is_spare && second.is_spare);
    assert_int_equal(stale_served(&stage), 0);      /* it is 10 ms old */
    assert_int_equal(ask(&stage, &first, "k"), OK); /* L2 refuses at once: the same */
    tiers_window_begin(stage.window, HELP_NOW + G_MS);
    assert_int_equal(ask(&stage, &first, "k"), OK);
    assert_int_equal(stale_served(&stage), 1);
    stage_done(&stage);
}

static void bounded_and_strict_serve_no_suspect_when_l2_is_lost(void **state)
{
    (void)state;
    static const enum namespace_kind kinds[] = {NAMESPACE_BOUNDED, NAMESPACE_STRICT};
    for (size_t i = 0; i < 2; i++) {
        struct stage stage;
        struct asked asked;
        stage_with_value(&stage, kinds[i]);
        suspect_all(&stage, HELP_NOW + 10);
        assert_int_equal(ask(&stage, &asked, "k"), PENDING);
        lose_l2(&stage);
        assert_int_equal(asked.ends, 1);
        assert_int_equal(asked.status, L2_DOWN);
        assert_int_equal(ask(&stage, &asked, "k"), L2_DOWN);
        stage_done(&stage);
    }
}

static void an_invalidated_value_is_served_in_no_mode(void **state)
{
    (void)state;
    static const struct wish any = {.kind = WISH_ANY};
    for (int kind = NAMESPACE_BOUNDED; kind <= NAMESPACE_TTL; kind++) {
        struct stage stage;
        struct asked asked;
        stage_with_value(&stage, (enum namespace_kind)kind);
        (void)namespaces_forget(stage.namespaces, slice_of("k"));
        assert_int_equal(ask_with(&stage, &asked, "k", &any), PENDING);
        lose_l2(&stage);
        assert_int_equal(asked.status, L2_DOWN);
        stage_done(&stage);
    }
}

static void an_expired_value_is_served_in_no_mode(void **state)
{
    (void)state;
    static const struct wish any = {.kind = WISH_ANY};
    for (int kind = NAMESPACE_BOUNDED; kind <= NAMESPACE_TTL; kind++) {
        const struct namespace_spec spec = spec_in((enum namespace_kind)kind);
        struct stage stage;
        struct asked asked;
        stage_open(&stage, &spec, 1);
        assert_int_equal(ask(&stage, &asked, "k"), PENDING);
        HELP_SAY(&stage.roof, ":300\r\n$1\r\nv\r\n");
        tiers_window_begin(stage.window, HELP_NOW + 299);
        assert_int_equal(ask_with(&stage, &asked, "k", &any), OK);
        tiers_window_begin(stage.window, HELP_NOW + 300);
        assert_int_equal(ask_with(&stage, &asked, "k", &any), PENDING);
        stage_done(&stage);
    }
}

/* -BUSY says nothing about the key: what stood stays, and is served where the contract allows. */
static void an_error_of_l2_ends_nothing(void **state)
{
    (void)state;
    static const struct wish any = {.kind = WISH_ANY, .patient = true};
    struct stage stage;
    struct asked bounded;
    struct asked lenient;
    stage_with_value(&stage, NAMESPACE_BOUNDED);
    suspect_all(&stage, HELP_NOW + 10);
    assert_int_equal(ask(&stage, &bounded, "k"), PENDING);
    assert_int_equal(ask_with(&stage, &lenient, "k", &any), PENDING);
    HELP_SAY(&stage.roof, "-BUSY a script\r\n-BUSY a script\r\n");
    assert_int_equal(bounded.status, L2_ERROR);
    expect_ended(&lenient, "v");
    assert_true(lenient.is_spare);
    assert_int_equal(ask(&stage, &bounded, "k"), PENDING);
    assert_int_equal(ask_with(&stage, &lenient, "k", &any), PENDING);
    HELP_SAY(&stage.roof, ":-1\r\n-WRONGTYPE Operation\r\n");
    assert_int_equal(bounded.status, L2_ERROR);
    assert_int_equal(lenient.status, L2_ERROR); /* that is about the key */
    assert_true(stands(&stage, "k", NULL));
    stage_done(&stage);
}

static void a_fresh_read_joins_none_and_installs(void **state)
{
    (void)state;
    static const struct wish fresh = {.kind = WISH_FRESH};
    struct stage stage;
    struct asked first;
    struct asked second;
    stage_with_value(&stage, NAMESPACE_BOUNDED);
    assert_int_equal(ask_with(&stage, &first, "k", &fresh), PENDING);
    assert_int_equal(ask_with(&stage, &second, "k", &fresh), PENDING);
    HELP_SAY(&stage.roof, ":-1\r\n$1\r\nw\r\n");
    expect_ended(&first, "w");
    assert_int_equal(second.ends, 0);
    assert_true(stands(&stage, "k", NULL)); /* the second took the token */
    HELP_SAY(&stage.roof, ":-1\r\n$1\r\nx\r\n");
    expect_ended(&second, "x");
    assert_int_equal(ask_with(&stage, &first, "k", &fresh), PENDING);
    HELP_SAY(&stage.roof, ":-1\r\n$1\r\ny\r\n");
    assert_int_equal(ask(&stage, &first, "k"), OK);
    assert_true(stands(&stage, "k", "y"));
    stage_done(&stage);
}

static void a_seq_not_applied_here_is_asked_of_l2(void **state)
{
    (void)state;
    struct wish wish = {.atleast_seq = 5};
    struct stage stage;
    struct asked asked;
    struct asked other;
    stage_with_value(&stage, NAMESPACE_TTL);
    atomic_store(&stage.view->applied_seq, 5);
    tiers_window_begin(stage.window, HELP_NOW + 1);
    assert_int_equal(ask_with(&stage, &asked, "k", &wish), OK);
    wish.atleast_seq = 6;
    assert_int_equal(ask_with(&stage, &asked, "k", &wish), PENDING);
    assert_int_equal(ask_with(&stage, &other, "k", &wish), PENDING);
    HELP_SAY(&stage.roof, ":-1\r\n$1\r\nw\r\n");
    expect_ended(&asked, "w");
    assert_int_equal(other.ends, 0); /* it did not join */
    stage_done(&stage);
}

/* A reader that wants its link proved more closely does not take the word of one that was not. */
static void a_read_joins_none_whose_link_is_proved_less(void **state)
{
    (void)state;
    static const struct wish close = {.kind = WISH_MAXSTALE, .max_stale_ms = 400};
    struct stage stage;
    struct asked wide;
    struct asked narrow;
    const struct namespace_spec spec = spec_in(NAMESPACE_BOUNDED);
    stage_open(&stage, &spec, 1);
    assert_int_equal(ask(&stage, &wide, "k"), PENDING);
    assert_int_equal(ask_with(&stage, &narrow, "k", &close), PENDING);
    HELP_SAY(&stage.roof, ":-1\r\n$1\r\nv\r\n");
    expect_ended(&wide, "v");
    assert_int_equal(narrow.ends, 0);
    HELP_SAY(&stage.roof, ":-1\r\n$1\r\nv\r\n");
    expect_ended(&narrow, "v");
    stage_done(&stage);
}

static void ttl_installs_without_the_bus_and_the_others_do_not(void **state)
{
    (void)state;
    for (int kind = NAMESPACE_BOUNDED; kind <= NAMESPACE_TTL; kind++) {
        const struct namespace_spec spec = spec_in((enum namespace_kind)kind);
        struct stage stage;
        struct asked asked;
        stage_open(&stage, &spec, 1);
        atomic_store(&stage.view->may_install, false);
        assert_int_equal(ask(&stage, &asked, "k"), PENDING);
        HELP_SAY(&stage.roof, ":-1\r\n$1\r\nv\r\n");
        expect_ended(&asked, "v");
        assert_true(stands(&stage, "k", kind == NAMESPACE_TTL ? "v" : NULL));
        assert_int_equal(ask(&stage, &asked, "j"), PENDING);
        (void)namespaces_forget(stage.namespaces, slice_of("j")); /* ends the token all the same */
        HELP_SAY(&stage.roof, ":-1\r\n$1\r\nv\r\n");
        assert_true(stands(&stage, "j", NULL));
        stage_done(&stage);
    }
}

static void what_makes_others_suspect_ends_what_looks_at_no_floor(void **state)
{
    (void)state;
    struct namespace_spec specs[] = {spec_in(NAMESPACE_TTL), spec_of("other", "o:", T_MS)};
    struct stage stage;
    stage_open(&stage, specs, 2);
    help_set(stage.namespaces->at[0]->l1, 0, "k", "v", 0, HELP_NOW);
    help_set(stage.namespaces->at[1]->l1, 0, "o:k", "v", 0, HELP_NOW);
    namespaces_flush_floorless(stage.namespaces);
    assert_true(stands(&stage, "k", NULL));
    assert_true(stands(&stage, "o:k", "v"));
    stage_done(&stage);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(with_the_fence_closed_each_mode_serves_what_it_may),
        cmocka_unit_test(what_is_older_than_t_is_counted),
        cmocka_unit_test(available_asks_l2_for_a_suspect_and_serves_it_when_l2_is_lost),
        cmocka_unit_test(bounded_and_strict_serve_no_suspect_when_l2_is_lost),
        cmocka_unit_test(an_invalidated_value_is_served_in_no_mode),
        cmocka_unit_test(an_expired_value_is_served_in_no_mode),
        cmocka_unit_test(an_error_of_l2_ends_nothing),
        cmocka_unit_test(a_fresh_read_joins_none_and_installs),
        cmocka_unit_test(a_seq_not_applied_here_is_asked_of_l2),
        cmocka_unit_test(a_read_joins_none_whose_link_is_proved_less),
        cmocka_unit_test(ttl_installs_without_the_bus_and_the_others_do_not),
        cmocka_unit_test(what_makes_others_suspect_ends_what_looks_at_no_floor),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
