/* SPDX-License-Identifier: BSD-3-Clause */
/* Suspects that are read anew in the background: which, in what order, how fast, and what that does not disturb. A window
 * with one link; Redis is a function that answers what was written. */
#include "protocol/resp_read.h"
#include "tests/unit/l1_help.h"
#include "tests/unit/link_help.h"
#include "tiers/l2_url.h"
#include "tiers/revalidate.h"
#include "tiers/window.h"

enum {
    MB = 1 << 20,
    TICK_MS = 100,
    ASKED_MAX = 20000,
    NAME_MAX_SIZE = 16
};

struct stage {
    struct roof roof; /* of the window's one link */
    struct metrics metrics;
    struct l2_url url;
    struct namespaces *namespaces;
    struct tiers *tiers;
    struct coherence_view *view;
    struct tiers_window *window;
    int64_t now_ms;
    const char *value; /* what Redis has for each key; NULL: nothing */
    const char *error; /* what it answers to GET instead; NULL: the value */
    unsigned asked;
    char names[ASKED_MAX][NAME_MAX_SIZE]; /* in the order they were asked for */
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

static struct namespace_spec spec_of(const char *name, const char *prefix)
{
    return (struct namespace_spec){
        .name = slice_of(name),
        .prefix = slice_of(prefix),
        .settings = {.mode = {.bound_ms = 1000}, .memory = 64 * MB, .policy = &policy_lru}};
}

/* The bus has proved all up to now. */
static void prove(struct stage *stage)
{
    atomic_store(&stage->view->horizon_ms, stage->now_ms);
    atomic_store(&stage->view->may_install, true);
    atomic_store(&stage->view->target, link_target(stage->roof.link));
    tiers_window_begin(stage->window, stage->now_ms);
}

static struct stage *stage_open(const struct namespace_spec *specs, unsigned count)
{
    struct stage *stage = calloc(1, sizeof *stage);
    assert_non_null(stage);
    stage->now_ms = HELP_NOW;
    stage->value = "v";
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
        .revalidates = true,
        .post = on_post});
    assert_non_null(stage->window);
    tiers_window_timeouts(stage->window, 2000, 2000);
    tiers_window_tick(stage->window, stage->now_ms);
    help_make_ready(&stage->roof);
    prove(stage);
    return stage;
}

static struct stage *stage_open_plain(void)
{
    const struct namespace_spec spec = spec_of("default", "");
    return stage_open(&spec, 1);
}

static void stage_done(struct stage *stage)
{
    tiers_window_free(stage->window);
    tiers_free(stage->tiers);
    namespaces_free(stage->namespaces);
    free(stage);
}

/* --- Redis --------------------------------------------------------------------------------------------------------- */

static void answer_one(struct stage *stage, const struct request_reader *reader, struct slice input,
                       struct buf *out)
{
    const struct slice verb = request_arg(reader, input, 0);
    const char *const beat = HELP_BEAT_ANSWER;
    if (slice_is(verb, "PTTL")) {
        const struct slice name = request_arg(reader, input, 1);
        assert_true(stage->asked < ASKED_MAX && name.size < NAME_MAX_SIZE);
        memcpy(stage->names[stage->asked++], name.data, name.size);
        assert_int_equal(buf_printf(out, stage->value == NULL ? ":-2\r\n" : ":-1\r\n"), OK);
    } else if ((slice_is(verb, "GET") || slice_is(verb, "GETRANGE")) && stage->error != NULL) {
        assert_int_equal(buf_printf(out, "-%s\r\n", stage->error), OK);
    } else if (slice_is(verb, "GET") && stage->value == NULL) {
        assert_int_equal(buf_printf(out, "$-1\r\n"), OK);
    } else if (slice_is(verb, "GET") || slice_is(verb, "GETRANGE")) {
        const char *value = stage->value == NULL ? "" : stage->value;
        assert_int_equal(buf_printf(out, "$%zu\r\n%s\r\n", strlen(value), value), OK);
    } else {
        assert_int_equal(buf_append(out, beat, sizeof HELP_BEAT_ANSWER - 1), OK); /* a check */
    }
}

/* Answers until nothing is asked any more; returns how many keys were asked for. */
static unsigned serve(struct stage *stage)
{
    const unsigned before = stage->asked;
    while (link_output(stage->roof.link).size > 0) {
        struct buf written = help_written(&stage->roof);
        struct buf replies = {0};
        struct slice rest = buf_slice(&written);
        while (rest.size > 0) {
            struct request_reader reader;
            request_reader_init(&reader);
            assert_int_equal(request_read(&reader, rest), OK);
            answer_one(stage, &reader, rest, &replies);
            rest = (struct slice){rest.data + reader.used, rest.size - reader.used};
            request_reader_done(&reader);
        }
        help_feed(&stage->roof, buf_slice(&replies), stage->now_ms);
        buf_done(&replies);
        buf_done(&written);
    }
    return stage->asked - before;
}

/* --- what happens -------------------------------------------------------------------------------------------------- */

/* A value that was read from L2 and used so many milliseconds ago. */
static void used(struct stage *stage, const char *name, int64_t ago_ms)
{
    help_set(namespace_of(stage->namespaces, slice_of(name))->l1, 0, name, "v", 0,
             stage->now_ms - ago_ms);
}

static void raise_floor(struct stage *stage)
{
    atomic_store(&stage->view->plain.floor_ms, stage->now_ms);
}

/* A tick of the worker, the bus being well. Returns how many keys were asked for. */
static unsigned tick(struct stage *stage)
{
    stage->now_ms += TICK_MS;
    prove(stage);
    tiers_window_tick(stage->window, stage->now_ms);
    return serve(stage);
}

static unsigned ticks(struct stage *stage, unsigned count)
{
    unsigned asked = 0;
    for (unsigned i = 0; i < count; i++) {
        asked += tick(stage);
    }
    return asked;
}

static struct tiers_revalidation seen(const struct stage *stage)
{
    struct tiers_description description;
    tiers_describe(stage->tiers, &description);
    return description.revalidation;
}

static void name_of(char name[NAME_MAX_SIZE], unsigned i)
{
    (void)snprintf(name, NAME_MAX_SIZE, "k%u", i);
}

/* k0 is the hottest. */
static void fill(struct stage *stage, unsigned count, int64_t step_ms)
{
    char name[NAME_MAX_SIZE];
    for (unsigned i = 0; i < count; i++) {
        name_of(name, i);
        used(stage, name, i * step_ms);
    }
}

struct asked {
    struct tiers_reader reader;
    unsigned ends;
    enum status status;
};

static void on_value(struct tiers_reader *reader, enum status status,
                     const struct tiers_value *value)
{
    struct asked *asked = (struct asked *)(void *)reader;
    (void)value;
    asked->ends++;
    asked->status = status;
}

/* A client's GET. OK: a hit. */
static enum status get(struct stage *stage, struct asked *asked, const char *name)
{
    char copy[64];
    bool foreign = false;
    struct l1_value value = {.copy = copy, .copy_room = sizeof copy};
    *asked = (struct asked){.reader = {.on_value = on_value}};
    const struct ns_key key = namespaces_key(stage->namespaces, 0, slice_of(name));
    const enum status status = tiers_get(stage->window, &key, 2, &value, &asked->reader, &foreign);
    item_release(value.item);
    return status;
}

/* --- tests --------------------------------------------------------------------------------------------------------- */

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

static void it_is_no_use_and_counted_nowhere(void **state)
{
    (void)state;
    struct stage *stage = stage_open_plain();
    struct l1_stats before;
    struct l1_stats after;
    struct l1_peek peek;
    used(stage, "k", 5000);
    namespaces_stats(stage->namespaces, &before);
    raise_floor(stage);
    assert_int_equal(ticks(stage, 5), 1);
    namespaces_stats(stage->namespaces, &after);
    assert_int_equal(after.hits, before.hits);
    assert_int_equal(after.misses, before.misses);
    static const enum metric none[] = {M_L1_HITS, M_L1_MISSES, M_L2_HITS, M_L2_MISSES, M_L2_ERRORS};
    for (size_t i = 0; i < sizeof none / sizeof none[0]; i++) {
        assert_int_equal(metrics_read(&stage->metrics, none[i]), 0);
    }
    const struct ns_key key = namespaces_key(stage->namespaces, 0, slice_of("k"));
    assert_int_equal(tiers_peek(stage->window, &key, &peek), OK); /* fresh again */
    assert_in_range(peek.idle_ms, 5400, 5600);
    stage_done(stage);
}

static void what_was_found_is_counted(void **state)
{
    (void)state;
    struct stage *stage = stage_open_plain();
    const struct {
        const char *value;
        enum metric metric;
        enum status then;
    } cases[] = {{"v", M_REVALIDATED_SAME, OK},
                 {"w", M_REVALIDATED_CHANGED, OK},
                 {NULL, M_REVALIDATED_GONE, PENDING}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct asked asked;
        used(stage, "k", 0);
        stage->value = cases[i].value;
        stage->now_ms++;
        raise_floor(stage);
        assert_int_equal(ticks(stage, 3), 1);
        assert_int_equal(metrics_read(&stage->metrics, cases[i].metric), 1);
        assert_int_equal(get(stage, &asked, "k"), cases[i].then);
        (void)serve(stage);
    }
    stage_done(stage);
}

static void a_client_that_comes_meanwhile_joins_and_it_is_a_use(void **state)
{
    (void)state;
    struct stage *stage = stage_open_plain();
    struct asked asked;
    struct l1_peek peek;
    used(stage, "k", 5000);
    raise_floor(stage);
    (void)tick(stage);
    stage->now_ms += TICK_MS;
    prove(stage);
    tiers_window_tick(stage->window, stage->now_ms);
    assert_int_equal(get(stage, &asked, "k"), PENDING);
    assert_int_equal(serve(stage), 1);
    assert_int_equal(asked.ends, 1);
    assert_int_equal(metrics_read(&stage->metrics, M_REVALIDATED_SAME), 1);
    assert_int_equal(asked.status, OK);
    assert_int_equal(metrics_read(&stage->metrics, M_L2_HITS), 1);
    const struct ns_key key = namespaces_key(stage->namespaces, 0, slice_of("k"));
    assert_int_equal(tiers_peek(stage->window, &key, &peek), OK);
    assert_in_range(peek.idle_ms, 0, 10);
    stage_done(stage);
}

/* Between the walk and the question a client's read began, or landed, or a write ended the key: there is no suspect. */
static void only_suspects_are_claimed(void **state)
{
    (void)state;
    struct stage *stage = stage_open_plain();
    struct asked asked;
    used(stage, "read", 0);
    used(stage, "landed", 0);
    used(stage, "written", 0);
    raise_floor(stage);
    (void)tick(stage);
    stage->now_ms += TICK_MS;
    prove(stage);
    assert_int_equal(get(stage, &asked, "landed"), PENDING);
    assert_int_equal(serve(stage), 1);
    assert_int_equal(get(stage, &asked, "read"), PENDING);
    (void)namespaces_forget(stage->namespaces, slice_of("written"));
    tiers_window_tick(stage->window, stage->now_ms);
    assert_int_equal(serve(stage), 1);
    assert_int_equal(ticks(stage, 5), 0);
    assert_int_equal(metrics_read(&stage->metrics, M_REVALIDATED_SAME), 0);
    stage_done(stage);
}

static void few_are_under_way_at_once(void **state)
{
    (void)state;
    struct stage *stage = stage_open_plain();
    tiers_window_revalidate(stage->window, 100000);
    fill(stage, 300, 20);
    raise_floor(stage);
    struct l1_stats stats;
    (void)tick(stage);
    stage->now_ms += TICK_MS;
    prove(stage);
    tiers_window_tick(stage->window, stage->now_ms);
    namespaces_stats(stage->namespaces, &stats);
    assert_int_equal(stats.claims, REVALIDATE_ASKS_MAX);
    assert_int_equal(serve(stage), 300); /* each answer sends the next */
    stage_done(stage);
}

/* `available` shows its suspects when L2 does not answer; that is no reading anew. */
static void a_suspect_that_l2_did_not_answer_for_stays_one(void **state)
{
    (void)state;
    struct namespace_spec spec = spec_of("default", "");
    spec.settings.mode.kind = NAMESPACE_AVAILABLE;
    spec.settings.mode.grace_ms = 3600000;
    struct stage *stage = stage_open(&spec, 1);
    fill(stage, 10, 20);
    raise_floor(stage);
    (void)tick(stage);
    stage->now_ms += TICK_MS;
    prove(stage);
    tiers_window_tick(stage->window, stage->now_ms);
    assert_true(link_output(stage->roof.link).size > 0);
    link_on_lost(stage->roof.link, "gone", stage->now_ms);
    stage->now_ms += 2000; /* the timeout of reads */
    prove(stage);
    tiers_window_tick(stage->window, stage->now_ms);
    assert_true(metrics_read(&stage->metrics, M_REVALIDATED_FAILED) > 0);
    assert_int_equal(metrics_read(&stage->metrics, M_REVALIDATED_SAME), 0);
    assert_int_equal(metrics_read(&stage->metrics, M_STALE_SERVED), 0);
    assert_int_equal(seen(stage).suspects, 10);
    stage_done(stage);
}

/* Redis runs a script for long, or loads its data: that says nothing about the key. */
static void an_error_of_l2_ends_the_turn_and_no_suspect(void **state)
{
    (void)state;
    struct stage *stage = stage_open_plain();
    fill(stage, 100, 20);
    raise_floor(stage);
    (void)tick(stage);
    stage->error = "BUSY Redis is busy running a script.";
    const unsigned asked = ticks(stage, 60); /* several passes over all of them, if it went on */
    assert_true(asked > 0);
    assert_int_equal(metrics_read(&stage->metrics, M_REVALIDATED_FAILED), asked);
    assert_int_equal(seen(stage).suspects, 100);
    assert_true(seen(stage).running);
    stage->error = NULL;
    assert_int_equal(ticks(stage, 60), 100);
    assert_int_equal(seen(stage).suspects, 0);
    stage->error = "WRONGTYPE Operation against a key holding the wrong kind of value";
    raise_floor(stage);
    (void)ticks(stage, 60);
    assert_int_equal(seen(stage).suspects, 0); /* they are no strings any more */
    assert_false(seen(stage).running);
    stage_done(stage);
}

static void a_window_may_end_while_reads_are_under_way(void **state)
{
    (void)state;
    struct stage *stage = stage_open_plain();
    fill(stage, 300, 20);
    raise_floor(stage);
    (void)tick(stage);
    stage->now_ms += TICK_MS;
    prove(stage);
    tiers_window_tick(stage->window, stage->now_ms);
    tiers_window_end_links(stage->window);
    assert_true(metrics_read(&stage->metrics, M_REVALIDATED_FAILED) > 0);
    tiers_window_tick(stage->window, stage->now_ms + TICK_MS);
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
        cmocka_unit_test(it_is_no_use_and_counted_nowhere),
        cmocka_unit_test(what_was_found_is_counted),
        cmocka_unit_test(a_client_that_comes_meanwhile_joins_and_it_is_a_use),
        cmocka_unit_test(only_suspects_are_claimed),
        cmocka_unit_test(few_are_under_way_at_once),
        cmocka_unit_test(a_suspect_that_l2_did_not_answer_for_stays_one),
        cmocka_unit_test(an_error_of_l2_ends_the_turn_and_no_suspect),
        cmocka_unit_test(a_window_may_end_while_reads_are_under_way),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
