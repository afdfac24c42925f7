/* SPDX-License-Identifier: BSD-3-Clause */
/* A worker's window over namespaces that differ, and that change while reads and writes are on their way to L2. Redis'
 * bytes are written by hand; what the bus would have proved is put into the view. */
#include "tests/unit/l1_help.h"
#include "tests/unit/link_help.h"
#include "tiers/l2_url.h"
#include "tiers/window.h"

enum {
    MB = 1 << 20
};

struct stage {
    struct roof roof; /* of the window's one link */
    struct metrics metrics;
    struct l2_url url;
    struct namespaces *namespaces;
    struct tiers *tiers;
    struct coherence_view *view;
    struct tiers_window *window;
};

static void on_connect(void *arg, struct link *link)
{
    struct stage *stage = arg;
    stage->roof.link = link;
}

static void on_close(void *arg, struct link *link)
{
    (void)arg;
    (void)link;
}

static enum status on_post(void *roof, unsigned worker, struct tiers_post *post, bool must)
{
    (void)roof;
    (void)worker;
    (void)post;
    (void)must;
    return BUSY; /* there is no other worker */
}

static struct namespace_spec spec_of(const char *name, const char *prefix, int64_t bound_ms)
{
    return (struct namespace_spec){
        .name = slice_of(name),
        .prefix = slice_of(prefix),
        .settings = {.mode = {.bound_ms = bound_ms}, .memory = MB, .policy = &policy_lru}};
}

/* The bus has proved all up to this moment. */
static void prove(struct stage *stage, int64_t now_ms)
{
    atomic_store(&stage->view->horizon_ms, now_ms);
    atomic_store(&stage->view->may_install, true);
    atomic_store(&stage->view->target, link_target(stage->roof.link));
    tiers_window_begin(stage->window, now_ms);
}

static void stage_open(struct stage *stage, const struct namespace_spec *specs, unsigned count)
{
    memset(stage, 0, sizeof *stage);
    stage->url = (struct l2_url){.is_unix = true, .host = (char[]){"/nowhere"}};
    stage->namespaces = namespaces_new(specs, count, 1);
    assert_non_null(stage->namespaces);
    stage->tiers = tiers_new(&(struct tiers_options){.namespaces = stage->namespaces,
                                                     .metrics = &stage->metrics,
                                                     .url = &stage->url,
                                                     .coherence_db = 15,
                                                     .node = 77});
    assert_non_null(stage->tiers);
    stage->view = (struct coherence_view *)coherence_view(tiers_coherence(stage->tiers));
    stage->window = tiers_window_new(&(struct tiers_window_options){
        .tiers = stage->tiers,
        .metrics = &stage->metrics,
        .io = {.roof = stage, .connect = on_connect, .close = on_close, .wants_flush = on_close},
        .seed = 1,
        .post = on_post});
    assert_non_null(stage->window);
    tiers_window_timeouts(stage->window, 2000, 2000);
    tiers_window_tick(stage->window, HELP_NOW);
    help_make_ready(&stage->roof);
    prove(stage, HELP_NOW);
}

static void stage_done(struct stage *stage)
{
    tiers_window_free(stage->window);
    tiers_free(stage->tiers);
    namespaces_free(stage->namespaces);
}

struct asked {
    struct tiers_reader reader;
    unsigned ends;
    enum status status;
    char text[32];
};

static void on_value(struct tiers_reader *reader, enum status status,
                     const struct tiers_value *value)
{
    struct asked *asked = (struct asked *)(void *)reader;
    asked->ends++;
    asked->status = status;
    if (value->item != NULL) {
        struct slice bytes = item_value(value->item);
        memcpy(asked->text, bytes.data, bytes.size);
    }
}

/* OK: a hit. */
static enum status ask(struct stage *stage, struct asked *asked, const char *name)
{
    char copy[64];
    bool foreign = false;
    struct l1_value value = {.copy = copy, .copy_room = sizeof copy};
    *asked = (struct asked){.reader = {.on_value = on_value}};
    struct ns_key key = namespaces_key(stage->namespaces, 0, slice_of(name));
    return tiers_get(stage->window, &key, 2, &value, &asked->reader, &foreign);
}

static void expect_ended(const struct asked *asked, const char *text)
{
    assert_int_equal(asked->ends, 1);
    assert_int_equal(asked->status, OK);
    assert_string_equal(asked->text, text);
}

static bool stands(struct stage *stage, const char *name, const char *value)
{
    return help_is(namespace_of(stage->namespaces, slice_of(name))->l1, 0, name, value, HELP_NOW);
}

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
    struct asked slow;
    struct asked fast;
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
        struct asked asked;
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
    struct asked first;
    struct asked second;
    struct asked third;
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
    struct asked moved;
    struct asked stays;
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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_key_has_the_bound_of_its_namespace),
        cmocka_unit_test(a_namespaces_ttl_limits_what_l2_says),
        cmocka_unit_test(a_read_from_before_a_change_installs_nothing_after_it),
        cmocka_unit_test(a_change_leaves_no_claims_behind),
        cmocka_unit_test(a_write_ends_its_key_where_it_lives_by_then),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
