/* SPDX-License-Identifier: BSD-3-Clause */
/* Warming one key: what it asks L2 for, what it keeps, and all that may happen between its claim and its landing. Redis'
 * bytes are written by hand. */
#include "protocol/envelope.h"
#include "protocol/resp_write.h"
#include "tests/unit/window_help.h"
#include "tiers/flight_inner.h"
#include "tiers/prefetch.h"

enum {
    BOUND = 60000 /* no proof gets old in these tests */
};

#define VALUE(text)  ":-1\r\n$1\r\n" text "\r\n"
#define NOTHING      ":-2\r\n$0\r\n\r\n"
#define WRONG_TYPE   ":-1\r\n-WRONGTYPE Operation against a key holding the wrong kind of value\r\n"
#define HASH         ":-1\r\n*2\r\n$1\r\n0\r\n*2\r\n$1\r\nf\r\n$1\r\nv\r\n"
#define HASH_UNENDED ":-1\r\n*2\r\n$1\r\n7\r\n*2\r\n$1\r\nf\r\n$1\r\nv\r\n"

struct warmed {
    struct tiers_prefetch prefetch; /* first */
    unsigned ends;
    struct prefetch_result result;
    char error[64];
};

static void on_done(struct tiers_prefetch *prefetch, const struct prefetch_result *result)
{
    struct warmed *warmed = (struct warmed *)(void *)prefetch;
    warmed->ends++;
    warmed->result = *result;
    (void)snprintf(warmed->error, sizeof warmed->error, "%.*s", (int)result->error.size,
                   result->error.size == 0 ? "" : result->error.data);
}

static enum status begin(struct stage *stage, struct warmed *warmed, const char *name)
{
    const struct ns_key key = namespaces_key(stage->namespaces, 0, slice_of(name));
    warmed->prefetch.on_done = on_done;
    return tiers_prefetch(stage->window, &key, &warmed->prefetch, &warmed->result);
}

/* It is on its way to L2. */
static void warm_as(struct stage *stage, struct warmed *warmed, const char *name,
                    enum prefetch_mode mode)
{
    *warmed = (struct warmed){.prefetch = {.mode = mode}};
    assert_int_equal(begin(stage, warmed, name), PENDING);
}

static void warm(struct stage *stage, struct warmed *warmed, const char *name)
{
    warm_as(stage, warmed, name, PREFETCH_MISSING);
}

static void expect(const struct warmed *warmed, enum prefetch_outcome outcome, enum status status,
                   const char *why)
{
    assert_int_equal(warmed->ends, 1);
    assert_int_equal(warmed->result.outcome, outcome);
    assert_int_equal(warmed->result.status, status);
    if (why == NULL) {
        assert_null(warmed->result.why);
    } else {
        assert_string_equal(warmed->result.why, why);
    }
}

/* It says so at once. */
static void expect_skipped(struct stage *stage, const char *name, enum prefetch_mode mode,
                           const char *why)
{
    struct warmed warmed = {.prefetch = {.mode = mode}};
    assert_int_equal(begin(stage, &warmed, name), OK);
    assert_int_equal(warmed.result.outcome, PREFETCH_SKIPPED);
    assert_string_equal(warmed.result.why, why);
    assert_int_equal(warmed.ends, 0);
}

static void open_plain(struct stage *stage)
{
    const struct namespace_spec specs[] = {spec_of("default", "", BOUND)};
    stage_open(stage, specs, 1);
    tiers_window_hash_fields(stage->window, 4);
}

static void raise_floor(struct stage *stage, int64_t at_ms)
{
    atomic_store(&stage->view->plain.floor_ms, at_ms);
    prove(stage, at_ms);
}

static struct l1_stats stats(const struct stage *stage)
{
    struct l1_stats all;
    namespaces_stats(stage->namespaces, &all);
    return all;
}

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

/* --- other types, other sizes --------------------------------------------------------------------------------------- */

/* By a script that counts first: four fields at most, and 256 KiB. */
static void expect_asked_as_hash(struct stage *stage)
{
    struct buf wanted = {0};
    const struct slice ttl[] = {SLICE_LITERAL("PTTL"), SLICE_LITERAL("h")};
    const struct slice hash[] = {SLICE_LITERAL("EVAL"), slice_of(whole_hash_script),
                                 SLICE_LITERAL("1"),    SLICE_LITERAL("h"),
                                 SLICE_LITERAL("4"),    SLICE_LITERAL("262144")};
    assert_int_equal(resp_append_request(&wanted, 2, ttl), OK);
    assert_int_equal(resp_append_request(&wanted, 6, hash), OK);
    assert_int_equal(buf_append(&wanted, "", 1), OK);
    help_expect_written(&stage->roof, wanted.data);
    buf_done(&wanted);
}

static void a_hash_is_brought_in_whole(void **state)
{
    (void)state;
    struct stage stage;
    struct warmed warmed;
    open_plain(&stage);
    warm(&stage, &warmed, "h");
    struct buf first = help_written(&stage.roof);
    buf_done(&first);
    HELP_SAY(&stage.roof, WRONG_TYPE);
    assert_int_equal(warmed.ends, 0);
    expect_asked_as_hash(&stage);
    HELP_SAY(&stage.roof, HASH);
    expect(&warmed, PREFETCH_LOADED, OK, NULL);
    struct l1_peek peek;
    const struct ns_key key = namespaces_key(stage.namespaces, 0, slice_of("h"));
    assert_int_equal(tiers_peek(stage.window, &key, &peek), OK);
    assert_true(peek.is_hash);
    stage_done(&stage);
}

static void of_a_hash_that_is_too_large_nothing_is_kept(void **state)
{
    (void)state;
    struct stage stage;
    struct warmed warmed;
    open_plain(&stage);
    warm(&stage, &warmed, "h");
    HELP_SAY(&stage.roof, WRONG_TYPE);
    HELP_SAY(&stage.roof, HASH_UNENDED);
    expect(&warmed, PREFETCH_TOO_BIG, OK, NULL);
    assert_int_equal(stats(&stage).items, 0);
    stage_done(&stage);
}

static void what_is_neither_string_nor_hash_is_skipped(void **state)
{
    (void)state;
    struct stage stage;
    struct warmed warmed;
    open_plain(&stage);
    warm(&stage, &warmed, "list");
    HELP_SAY(&stage.roof, WRONG_TYPE);
    HELP_SAY(&stage.roof, WRONG_TYPE);
    expect(&warmed, PREFETCH_SKIPPED, OK, "neither a string nor a hash");
    tiers_window_hash_fields(stage.window, 0); /* and no hashes here: one question is enough */
    warm(&stage, &warmed, "list");
    HELP_SAY(&stage.roof, WRONG_TYPE);
    expect(&warmed, PREFETCH_SKIPPED, OK, "neither a string nor a hash");
    assert_int_equal(stats(&stage).items + stats(&stage).claims, 0);
    stage_done(&stage);
}

static void a_key_too_long_for_l1_is_too_big_at_once(void **state)
{
    (void)state;
    struct stage stage;
    struct warmed warmed = {0};
    open_plain(&stage);
    char *name = malloc(LIMIT_L1_KEY + 1);
    assert_non_null(name);
    memset(name, 'k', LIMIT_L1_KEY);
    name[LIMIT_L1_KEY] = '\0';
    assert_int_equal(begin(&stage, &warmed, name), OK);
    assert_int_equal(warmed.result.outcome, PREFETCH_TOO_BIG);
    free(name);
    stage_done(&stage);
}

/* --- no room -------------------------------------------------------------------------------------------------------- */

static void where_all_is_hotter_it_is_skipped_before_l2_is_asked(void **state)
{
    (void)state;
    struct stage stage;
    char name[16];
    open_plain(&stage); /* a megabyte under lru */
    struct l1 *l1 = namespaces_default(stage.namespaces)->l1;
    for (unsigned i = 0; i < 8000; i++) {
        (void)snprintf(name, sizeof name, "hot%u", i);
        help_set(l1, 0, name,
                 "0123456789012345678901234567890123456789012345678901234567890123456789"
                 "0123456789012345678901234567890123456789012345678901234567890123456789"
                 "01234567890123456789012345678901234567890123456789012345678901",
                 0, HELP_NOW);
    }
    const uint64_t before = stats(&stage).items;
    expect_skipped(&stage, "k", PREFETCH_MISSING, "colder than what stands");
    assert_int_equal(stats(&stage).items, before);
    assert_int_equal(stats(&stage).claims, 0);
    assert_int_equal(link_output(stage.roof.link).size, 0);
    stage_done(&stage);
}

/* --- contracts ------------------------------------------------------------------------------------------------------ */

static void strict_namespaces_are_left_to_who_asks_unless_forced(void **state)
{
    (void)state;
    struct stage stage;
    struct warmed warmed;
    struct namespace_spec specs[] = {spec_of("default", "", BOUND), spec_of("s", "s:", BOUND)};
    specs[1].settings.mode.kind = NAMESPACE_STRICT;
    stage_open(&stage, specs, 2);
    expect_skipped(&stage, "s:k", PREFETCH_STALE, "its namespace is strict");
    warm_as(&stage, &warmed, "s:k", PREFETCH_FORCE);
    HELP_SAY(&stage.roof, VALUE("v"));
    assert_int_equal(warmed.ends, 0); /* all nodes are waited for */
    confirm(&stage, 0, OK);
    expect(&warmed, PREFETCH_LOADED, OK, NULL);
    assert_true(stands(&stage, "s:k", "v"));
    stage_done(&stage);
}

/* --- managed -------------------------------------------------------------------------------------------------------- */

static void open_managed(struct stage *stage)
{
    struct namespace_spec specs[] = {spec_of("default", "", BOUND), spec_of("m", "m:", BOUND)};
    specs[1].managed = true;
    specs[1].settings.told = true;
    stage_open(stage, specs, 2);
}

/* An envelope whose fresh life is over when what is left of PTTL is no more than swr. */
static void say_envelope(struct stage *stage, int64_t pttl_ms, uint32_t swr_ms, const char *tag)
{
    struct buf envelope = {0};
    struct buf reply = {0};
    const struct slice tags[] = {slice_of(tag)};
    const struct envelope written = {.version = 1000,
                                     .fresh_ms = 1000,
                                     .swr_ms = swr_ms,
                                     .value_size = 1,
                                     .tag_count = tag[0] != '\0',
                                     .body = slice_of("v")};
    assert_int_equal(envelope_write(&envelope, &written, tags), OK);
    assert_int_equal(buf_printf(&reply, ":%d\r\n$%zu\r\n", (int)pttl_ms, envelope.size), OK);
    assert_int_equal(buf_append_slice(&reply, buf_slice(&envelope)), OK);
    assert_int_equal(buf_append(&reply, "\r\n", 2), OK);
    help_feed(&stage->roof, buf_slice(&reply), stage->window->now_ms);
    buf_done(&envelope);
    buf_done(&reply);
}

static void a_fresh_envelope_is_adopted(void **state)
{
    (void)state;
    struct stage stage;
    struct warmed warmed;
    open_managed(&stage);
    warm(&stage, &warmed, "m:k");
    say_envelope(&stage, 6000, 5000, "");
    expect(&warmed, PREFETCH_LOADED, OK, NULL);
    assert_int_equal(warmed.result.bytes, 1);
    assert_int_equal(stats(&stage).items, 1);
    expect_skipped(&stage, "m:k", PREFETCH_STALE, "stands already");
    stage_done(&stage);
}

static void what_is_not_fresh_in_l2_is_skipped_and_not_kept(void **state)
{
    (void)state;
    struct stage stage;
    struct warmed warmed;
    open_managed(&stage);
    warm(&stage, &warmed, "m:k");
    say_envelope(&stage, 4000, 5000, "");
    expect(&warmed, PREFETCH_SKIPPED, OK, "not fresh in L2");
    assert_int_equal(stats(&stage).items + stats(&stage).claims, 0);
    stage_done(&stage);
}

/* What stood is stale by now; so is what L2 has, but it is no older. */
static void a_stale_value_is_asked_for_anew_and_made_newer(void **state)
{
    (void)state;
    struct stage stage;
    struct warmed warmed;
    open_managed(&stage);
    warm(&stage, &warmed, "m:k");
    say_envelope(&stage, 6000, 5000, "");
    prove(&stage, HELP_NOW + 2000);
    expect_skipped(&stage, "m:k", PREFETCH_MISSING, "stands already");
    warm_as(&stage, &warmed, "m:k", PREFETCH_STALE);
    say_envelope(&stage, 4000, 5000, "");
    expect(&warmed, PREFETCH_SKIPPED, OK, "not fresh in L2");
    assert_int_equal(stats(&stage).items, 1);
    warm_as(&stage, &warmed, "m:k", PREFETCH_STALE);
    say_envelope(&stage, 6000, 5000, "");
    expect(&warmed, PREFETCH_LOADED, OK, NULL);
    expect_skipped(&stage, "m:k", PREFETCH_STALE, "stands already");
    stage_done(&stage);
}

static void only_what_has_the_tag_is_kept(void **state)
{
    (void)state;
    struct stage stage;
    struct warmed warmed = {.prefetch = {.only_tag = SLICE_LITERAL("red")}};
    open_managed(&stage);
    assert_int_equal(begin(&stage, &warmed, "m:a"), PENDING);
    say_envelope(&stage, 6000, 5000, "blue");
    expect(&warmed, PREFETCH_SKIPPED, OK, "has not the tag");
    assert_int_equal(stats(&stage).items + stats(&stage).claims, 0);
    warmed = (struct warmed){.prefetch = {.only_tag = SLICE_LITERAL("red")}};
    assert_int_equal(begin(&stage, &warmed, "m:b"), PENDING);
    say_envelope(&stage, 6000, 5000, "red");
    expect(&warmed, PREFETCH_LOADED, OK, NULL);
    assert_int_equal(stats(&stage).items, 1);
    stage_done(&stage);
}

/* --- L2 alone ------------------------------------------------------------------------------------------------------- */

static void a_touch_keeps_nothing_and_says_what_l2_has(void **state)
{
    (void)state;
    struct stage stage;
    struct warmed warmed = {.prefetch = {.act = PREFETCH_TOUCH}};
    open_plain(&stage);
    assert_int_equal(begin(&stage, &warmed, "k"), PENDING);
    help_expect_written(&stage.roof, "*2\r\n$5\r\nTOUCH\r\n$1\r\nk\r\n");
    HELP_SAY(&stage.roof, ":1\r\n");
    expect(&warmed, PREFETCH_LOADED, OK, NULL);
    warmed = (struct warmed){.prefetch = {.act = PREFETCH_TOUCH}};
    assert_int_equal(begin(&stage, &warmed, "k"), PENDING);
    HELP_SAY(&stage.roof, ":0\r\n");
    expect(&warmed, PREFETCH_ABSENT, OK, NULL);
    warmed = (struct warmed){.prefetch = {.act = PREFETCH_TOUCH}};
    assert_int_equal(begin(&stage, &warmed, "k"), PENDING);
    HELP_SAY(&stage.roof, "-NOPERM no rights\r\n");
    expect(&warmed, PREFETCH_FAILED, L2_ERROR, NULL);
    assert_string_equal(warmed.error, "NOPERM no rights");
    assert_int_equal(stats(&stage).items + stats(&stage).claims, 0);
    stage_done(&stage);
}

static void a_dry_run_asks_l2_only_for_what_would_be_read(void **state)
{
    (void)state;
    struct stage stage;
    struct warmed warmed;
    open_plain(&stage);
    warm(&stage, &warmed, "k");
    HELP_SAY(&stage.roof, VALUE("v"));
    struct buf before = help_written(&stage.roof);
    buf_done(&before);
    warmed = (struct warmed){.prefetch = {.act = PREFETCH_LOOK}};
    assert_int_equal(begin(&stage, &warmed, "k"), OK);
    assert_string_equal(warmed.result.why, "stands already");
    warmed = (struct warmed){.prefetch = {.act = PREFETCH_LOOK}};
    assert_int_equal(begin(&stage, &warmed, "other"), PENDING);
    help_expect_written(&stage.roof, "*2\r\n$6\r\nEXISTS\r\n$5\r\nother\r\n");
    HELP_SAY(&stage.roof, ":1\r\n");
    expect(&warmed, PREFETCH_LOADED, OK, NULL);
    assert_int_equal(stats(&stage).items, 1);
    stage_done(&stage);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_key_that_is_not_here_is_brought_in_and_counts_as_no_read),
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
        cmocka_unit_test(a_hash_is_brought_in_whole),
        cmocka_unit_test(of_a_hash_that_is_too_large_nothing_is_kept),
        cmocka_unit_test(what_is_neither_string_nor_hash_is_skipped),
        cmocka_unit_test(a_key_too_long_for_l1_is_too_big_at_once),
        cmocka_unit_test(where_all_is_hotter_it_is_skipped_before_l2_is_asked),
        cmocka_unit_test(strict_namespaces_are_left_to_who_asks_unless_forced),
        cmocka_unit_test(a_fresh_envelope_is_adopted),
        cmocka_unit_test(what_is_not_fresh_in_l2_is_skipped_and_not_kept),
        cmocka_unit_test(a_stale_value_is_asked_for_anew_and_made_newer),
        cmocka_unit_test(only_what_has_the_tag_is_kept),
        cmocka_unit_test(a_touch_keeps_nothing_and_says_what_l2_has),
        cmocka_unit_test(a_dry_run_asks_l2_only_for_what_would_be_read),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
