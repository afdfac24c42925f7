/* SPDX-License-Identifier: BSD-3-Clause */
/* Warming keys of every kind: hashes, other types, managed values, strict ones, keys for which there is no room, and L2
 * alone. */
#include "tests/unit/prefetch_help.h"

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
