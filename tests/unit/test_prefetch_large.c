/* SPDX-License-Identifier: BSD-3-Clause */
/* What nobody waits for is asked for in steps (flight_ask.c): no value that L1 would not keep comes, none comes in part, and a
 * client who joins gets the whole. Redis' bytes are written by hand. */
#include "tests/unit/prefetch_help.h"

enum {
    LOOK = FLIGHT_LOOK_BYTES + 1,
    SIZE = 100000,
    HUGE_SIZE = 512 << 20,
};

#define ASKED_FIRST                             \
    "*2\r\n$4\r\nPTTL\r\n$1\r\nk\r\n"           \
    "*4\r\n$8\r\nGETRANGE\r\n$1\r\nk\r\n$1\r\n" \
    "0\r\n$5\r\n65536\r\n"
#define ASKED_SIZE "*2\r\n$6\r\nSTRLEN\r\n$1\r\nk\r\n"
#define ASKED_MOST                              \
    "*2\r\n$4\r\nPTTL\r\n$1\r\nk\r\n"           \
    "*4\r\n$8\r\nGETRANGE\r\n$1\r\nk\r\n$1\r\n" \
    "0\r\n$7\r\n1048576\r\n"
#define ASKED_WHOLE "*2\r\n$4\r\nPTTL\r\n$1\r\nk\r\n*2\r\n$3\r\nGET\r\n$1\r\nk\r\n"

struct large_reading {
    struct tiers_reader reader; /* first */
    unsigned ends;
    enum status status;
    size_t size;
};

static void on_large_value(struct tiers_reader *reader, enum status status,
                           const struct tiers_value *value)
{
    struct large_reading *reading = (struct large_reading *)(void *)reader;
    reading->ends++;
    reading->status = status;
    reading->size = value->item == NULL ? 0 : item_value(value->item).size;
}

/* Whether it can ask anew in pieces. */
static bool takes(struct tiers_reader *reader)
{
    return reader != NULL;
}

static bool takes_not(struct tiers_reader *reader)
{
    return reader == NULL;
}

static void join(struct stage *stage, struct large_reading *reading,
                 bool (*takes_large)(struct tiers_reader *reader))
{
    bool foreign = false;
    struct l1_value value = {0};
    const struct ns_key key = namespaces_key(stage->namespaces, 0, slice_of("k"));
    *reading =
        (struct large_reading){.reader = {.on_value = on_large_value, .takes_large = takes_large}};
    assert_int_equal(tiers_get(stage->window, &key, 2, &value, &reading->reader, &foreign),
                     PENDING);
}

static void open_small(struct stage *stage)
{
    struct namespace_spec specs[] = {spec_of("default", "", BOUND)};
    specs[0].settings.memory = 2 * MB; /* a quarter of it is less than LIMIT_STREAM */
    stage_open(stage, specs, 1);
    tiers_window_hash_fields(stage->window, 4);
}

/* What PTTL says, and `size` bytes. */
static void say_bytes(struct stage *stage, int64_t pttl_ms, size_t size)
{
    struct buf reply = {0};
    char *bytes = malloc(size + 1);
    assert_non_null(bytes);
    memset(bytes, 'x', size + 1);
    assert_int_equal(buf_printf(&reply, ":%d\r\n$%zu\r\n", (int)pttl_ms, size), OK);
    assert_int_equal(buf_append(&reply, bytes, size), OK);
    assert_int_equal(buf_append(&reply, "\r\n", 2), OK);
    help_feed(&stage->roof, buf_slice(&reply), stage->window->now_ms);
    buf_done(&reply);
    free(bytes);
}

/* The first piece of a longer value has come. */
static void warm_cut(struct stage *stage, struct warmed *warmed)
{
    open_small(stage);
    warm_as(stage, warmed, "k", PREFETCH_MISSING);
    help_expect_written(&stage->roof, ASKED_FIRST);
    say_bytes(stage, -1, LOOK);
    help_expect_written(&stage->roof, ASKED_SIZE);
    assert_int_equal(warmed->ends, 0);
}

static void expect_outcome(const struct warmed *warmed, enum prefetch_outcome outcome)
{
    assert_int_equal(warmed->ends, 1);
    assert_int_equal(warmed->result.outcome, outcome);
}

static void expect_nothing_left(struct stage *stage)
{
    assert_int_equal(stats(stage).items + stats(stage).claims, 0);
}

static int64_t ttl_of(struct stage *stage)
{
    struct l1_peek peek;
    const struct ns_key key = namespaces_key(stage->namespaces, 0, slice_of("k"));
    assert_int_equal(tiers_peek(stage->window, &key, &peek), OK);
    return peek.expire_at_ms - HELP_NOW;
}

/* --- how large ------------------------------------------------------------------------------------------------------ */

static void what_is_as_long_as_the_first_piece_is_whole(void **state)
{
    (void)state;
    struct stage stage;
    struct warmed warmed;
    open_small(&stage);
    warm_as(&stage, &warmed, "k", PREFETCH_MISSING);
    say_bytes(&stage, -1, FLIGHT_LOOK_BYTES);
    expect_outcome(&warmed, PREFETCH_LOADED);
    assert_int_equal(warmed.result.bytes, FLIGHT_LOOK_BYTES);
    stage_done(&stage);
}

static void what_is_longer_is_asked_for_as_a_whole_when_its_size_is_known(void **state)
{
    (void)state;
    struct stage stage;
    struct warmed warmed;
    warm_cut(&stage, &warmed);
    HELP_SAY(&stage.roof, ":100000\r\n");
    help_expect_written(&stage.roof, ASKED_MOST);
    say_bytes(&stage, 5000, SIZE);
    expect_outcome(&warmed, PREFETCH_LOADED);
    assert_int_equal(warmed.result.bytes, SIZE);
    assert_int_equal(ttl_of(&stage), 5000); /* of the second answer, not of the first */
    stage_done(&stage);
}

static void of_a_large_value_no_more_than_the_first_piece_comes(void **state)
{
    (void)state;
    struct stage stage;
    struct warmed warmed;
    warm_cut(&stage, &warmed);
    HELP_SAY(&stage.roof, ":536870912\r\n");
    expect_outcome(&warmed, PREFETCH_TOO_BIG);
    assert_int_equal(link_output(stage.roof.link).size, 0); /* no other question */
    expect_nothing_left(&stage);
    stage_done(&stage);
}

static void what_has_grown_meanwhile_is_too_big(void **state)
{
    (void)state;
    struct stage stage;
    struct warmed warmed;
    warm_cut(&stage, &warmed);
    HELP_SAY(&stage.roof, ":100000\r\n");
    help_expect_written(&stage.roof, ASKED_MOST);
    say_bytes(&stage, -1, MB + 1);
    expect_outcome(&warmed, PREFETCH_TOO_BIG);
    expect_nothing_left(&stage);
    stage_done(&stage);
}

static void what_has_shrunk_meanwhile_is_whole(void **state)
{
    (void)state;
    struct stage stage;
    struct warmed warmed;
    warm_cut(&stage, &warmed);
    HELP_SAY(&stage.roof, ":100000\r\n");
    say_bytes(&stage, -1, 1);
    expect_outcome(&warmed, PREFETCH_LOADED);
    assert_true(stands(&stage, "k", "x"));
    stage_done(&stage);
}

/* A suspect whose value has grown is read anew by the same road. */
static void what_stood_goes_when_what_is_in_l2_is_large(void **state)
{
    (void)state;
    struct stage stage;
    struct warmed warmed;
    open_small(&stage);
    warm_as(&stage, &warmed, "k", PREFETCH_MISSING);
    say_bytes(&stage, -1, 1);
    assert_true(stands(&stage, "k", "x"));
    warm_as(&stage, &warmed, "k", PREFETCH_FORCE);
    say_bytes(&stage, -1, LOOK);
    HELP_SAY(&stage.roof, ":536870912\r\n");
    expect_outcome(&warmed, PREFETCH_TOO_BIG);
    assert_true(stands(&stage, "k", NULL));
    stage_done(&stage);
}

/* --- nothing, or an empty value ------------------------------------------------------------------------------------- */

static void an_empty_value_is_told_from_none(void **state)
{
    (void)state;
    struct stage stage;
    struct warmed warmed;
    open_small(&stage);
    warm_as(&stage, &warmed, "k", PREFETCH_MISSING);
    say_bytes(&stage, -2, 0);
    expect_outcome(&warmed, PREFETCH_ABSENT);
    warm_as(&stage, &warmed, "k", PREFETCH_MISSING);
    struct buf before = help_written(&stage.roof);
    buf_done(&before);
    say_bytes(&stage, -1, 0);
    help_expect_written(&stage.roof, ASKED_WHOLE);
    say_bytes(&stage, -1, 0);
    expect_outcome(&warmed, PREFETCH_LOADED);
    assert_true(stands(&stage, "k", ""));
    stage_done(&stage);
}

static void what_goes_between_its_two_answers_is_absent(void **state)
{
    (void)state;
    struct stage stage;
    struct warmed warmed;
    open_small(&stage);
    warm_as(&stage, &warmed, "k", PREFETCH_MISSING);
    say_bytes(&stage, 3, 0); /* its life ended behind PTTL */
    HELP_SAY(&stage.roof, ":-2\r\n$-1\r\n");
    expect_outcome(&warmed, PREFETCH_ABSENT);
    expect_nothing_left(&stage);
    stage_done(&stage);
}

/* --- clients who join ----------------------------------------------------------------------------------------------- */

static void a_client_who_joins_gets_the_whole_of_what_was_cut(void **state)
{
    (void)state;
    struct stage stage;
    struct warmed warmed;
    struct large_reading asked;
    open_small(&stage);
    warm_as(&stage, &warmed, "k", PREFETCH_MISSING);
    help_expect_written(&stage.roof, ASKED_FIRST);
    join(&stage, &asked, NULL);
    say_bytes(&stage, -1, LOOK);
    help_expect_written(&stage.roof, ASKED_WHOLE);
    say_bytes(&stage, -1, SIZE);
    expect_outcome(&warmed, PREFETCH_LOADED);
    assert_int_equal(asked.ends, 1);
    assert_int_equal(asked.size, SIZE);
    stage_done(&stage);
}

static void a_client_who_joins_while_its_size_is_asked_for_gets_what_is_large(void **state)
{
    (void)state;
    struct stage stage;
    struct warmed warmed;
    struct large_reading asked;
    warm_cut(&stage, &warmed);
    join(&stage, &asked, takes_not);
    HELP_SAY(&stage.roof, ":2000000\r\n");
    help_expect_written(&stage.roof, ASKED_WHOLE);
    say_bytes(&stage, -1, 2000000);
    assert_int_equal(asked.ends, 1);
    assert_int_equal(asked.status, OK);
    assert_int_equal(asked.size, 2000000);
    assert_int_equal(warmed.ends, 1);
    stage_done(&stage);
}

static void a_client_who_takes_it_in_pieces_is_told_that_it_is_large(void **state)
{
    (void)state;
    struct stage stage;
    struct warmed warmed;
    struct large_reading asked;
    warm_cut(&stage, &warmed);
    join(&stage, &asked, takes);
    HELP_SAY(&stage.roof, ":536870912\r\n");
    HELP_SAY(&stage.roof, ":-1\r\n$536870912\r\nbeginning");
    expect_outcome(&warmed, PREFETCH_TOO_BIG);
    assert_int_equal(asked.ends, 1);
    assert_int_equal(asked.status, TOO_BIG);
    stage_done(&stage);
}

static void expect_whole(struct stage *stage, const struct warmed *warmed,
                         const struct large_reading *asked)
{
    help_expect_written(&stage->roof, ASKED_WHOLE);
    say_bytes(stage, -1, 3);
    assert_int_equal(asked->ends, 1);
    assert_int_equal(asked->status, OK);
    assert_int_equal(asked->size, 3);
    expect_outcome(warmed, PREFETCH_LOADED);
}

static void a_client_who_joins_does_not_hear_that_a_piece_may_not_be_asked_for(void **state)
{
    (void)state;
    struct stage stage;
    struct warmed warmed;
    struct large_reading asked;
    open_small(&stage);
    warm_as(&stage, &warmed, "k", PREFETCH_MISSING);
    help_expect_written(&stage.roof, ASKED_FIRST);
    join(&stage, &asked, NULL);
    HELP_SAY(&stage.roof, ":-1\r\n-NOPERM User terrace has no permissions to run the 'getrange' "
                          "command\r\n");
    expect_whole(&stage, &warmed, &asked);
    stage_done(&stage);
}

static void a_client_who_joins_does_not_hear_that_its_size_may_not_be_asked_for(void **state)
{
    (void)state;
    struct stage stage;
    struct warmed warmed;
    struct large_reading asked;
    warm_cut(&stage, &warmed);
    join(&stage, &asked, takes_not);
    HELP_SAY(&stage.roof, "-ERR unknown command 'STRLEN'\r\n");
    expect_whole(&stage, &warmed, &asked);
    stage_done(&stage);
}

/* Nobody waits: it is told as it is. */
static void that_a_piece_may_not_be_asked_for_is_told(void **state)
{
    (void)state;
    struct stage stage;
    struct warmed warmed;
    open_small(&stage);
    warm_as(&stage, &warmed, "k", PREFETCH_MISSING);
    HELP_SAY(&stage.roof, ":-1\r\n-NOPERM no permissions\r\n");
    expect_outcome(&warmed, PREFETCH_FAILED);
    assert_string_equal(warmed.error, "NOPERM no permissions");
    expect_nothing_left(&stage);
    stage_done(&stage);
}

/* --- what ends it --------------------------------------------------------------------------------------------------- */

static void a_write_between_two_questions_ends_it(void **state)
{
    (void)state;
    struct stage stage;
    struct warmed warmed;
    warm_cut(&stage, &warmed);
    const struct ns_key key = namespaces_key(stage.namespaces, 0, slice_of("k"));
    (void)l1_invalidate(key.ns->l1, &key.at);
    HELP_SAY(&stage.roof, ":100000\r\n");
    say_bytes(&stage, -1, SIZE);
    expect_outcome(&warmed, PREFETCH_FAILED);
    assert_int_equal(warmed.result.status, STALE);
    expect_nothing_left(&stage);
    stage_done(&stage);
}

static void a_link_that_is_lost_between_two_questions_takes_it_along(void **state)
{
    (void)state;
    struct stage stage;
    struct warmed warmed;
    warm_cut(&stage, &warmed);
    link_on_lost(stage.roof.link, "reset", HELP_NOW);
    expect_outcome(&warmed, PREFETCH_FAILED);
    assert_int_equal(warmed.result.status, L2_DOWN);
    assert_int_equal(stats(&stage).claims, 0);
    stage_done(&stage);
}

static void what_became_a_list_between_two_questions_is_skipped(void **state)
{
    (void)state;
    struct stage stage;
    struct warmed warmed;
    warm_cut(&stage, &warmed);
    HELP_SAY(&stage.roof, "-WRONGTYPE Operation against a key\r\n");
    HELP_SAY(&stage.roof, ":-1\r\n-WRONGTYPE Operation against a key\r\n"); /* asked as a hash */
    expect_outcome(&warmed, PREFETCH_SKIPPED);
    expect_nothing_left(&stage);
    stage_done(&stage);
}

/* --- managed -------------------------------------------------------------------------------------------------------- */

/* The first piece of an envelope around HUGE_SIZE bytes; PTTL leaves it fresh. */
static void say_huge_envelope(struct stage *stage, uint64_t version)
{
    struct envelope envelope = {
        .version = version, .fresh_ms = 60000, .value_size = HUGE_SIZE - ENVELOPE_HEAD_SIZE};
    char head[ENVELOPE_HEAD_SIZE];
    struct hash_sum sum;
    struct buf reply = {0};
    char *body = calloc(1, LOOK);
    assert_non_null(body);
    envelope_head_begin(head, &envelope);
    envelope_sum_begin(&sum, head);
    envelope_head_end(head, 60000, &sum);
    put_u64le(head + ENVELOPE_VERSION_OFFSET, version);
    assert_int_equal(buf_printf(&reply, ":60000\r\n$%d\r\n", LOOK), OK);
    assert_int_equal(buf_append(&reply, head, sizeof head), OK);
    assert_int_equal(buf_append(&reply, body, LOOK - sizeof head), OK);
    assert_int_equal(buf_append(&reply, "\r\n", 2), OK);
    help_feed(&stage->roof, buf_slice(&reply), stage->window->now_ms);
    buf_done(&reply);
    free(body);
}

static void of_a_large_managed_value_nothing_is_kept_where_nothing_stood(void **state)
{
    (void)state;
    struct stage stage;
    struct warmed warmed;
    open_managed(&stage);
    warm_as(&stage, &warmed, "m:k", PREFETCH_MISSING);
    say_huge_envelope(&stage, 1000);
    HELP_SAY(&stage.roof, ":536870912\r\n");
    expect_outcome(&warmed, PREFETCH_TOO_BIG);
    expect_nothing_left(&stage);
    stage_done(&stage);
}

/* What stood is made newer: by it a client's read is judged before it goes for the value in pieces. */
static void of_a_large_managed_value_its_envelope_replaces_what_stood(void **state)
{
    (void)state;
    struct stage stage;
    struct warmed warmed;
    struct managed_value value;
    open_managed(&stage);
    warm_as(&stage, &warmed, "m:k", PREFETCH_MISSING);
    struct buf first = help_written(&stage.roof);
    say_bytes(&stage, -1, 3); /* a stranger's */
    warm_as(&stage, &warmed, "m:k", PREFETCH_FORCE);
    say_huge_envelope(&stage, 1000);
    HELP_SAY(&stage.roof, ":536870912\r\n");
    expect_outcome(&warmed, PREFETCH_TOO_BIG);
    const struct ns_key key = namespaces_key(stage.namespaces, 0, slice_of("m:k"));
    struct item *item = l1_hold(key.ns->l1, &key.at, HELP_NOW);
    assert_non_null(item);
    assert_int_equal(managed_open(item_value(item), item_expire_at_ms(item), &value), OK);
    assert_int_equal(value.version, 1000);
    assert_int_equal(value.size, HUGE_SIZE - ENVELOPE_HEAD_SIZE);
    assert_true((value.flags & MANAGED_LARGE) != 0);
    item_release(item);
    buf_done(&first);
    stage_done(&stage);
}

/* The beginning was of another value than the size. */
static void a_beginning_that_does_not_fit_its_size_leaves_nothing(void **state)
{
    (void)state;
    struct stage stage;
    struct warmed warmed;
    open_managed(&stage);
    warm_as(&stage, &warmed, "m:k", PREFETCH_MISSING);
    say_bytes(&stage, -1, 3);
    warm_as(&stage, &warmed, "m:k", PREFETCH_FORCE);
    say_huge_envelope(&stage, 1000);
    HELP_SAY(&stage.roof, ":536870913\r\n");
    expect_outcome(&warmed, PREFETCH_TOO_BIG);
    assert_int_equal(stats(&stage).items + stats(&stage).claims, 0);
    stage_done(&stage);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_as_long_as_the_first_piece_is_whole),
        cmocka_unit_test(what_is_longer_is_asked_for_as_a_whole_when_its_size_is_known),
        cmocka_unit_test(of_a_large_value_no_more_than_the_first_piece_comes),
        cmocka_unit_test(what_has_grown_meanwhile_is_too_big),
        cmocka_unit_test(what_has_shrunk_meanwhile_is_whole),
        cmocka_unit_test(what_stood_goes_when_what_is_in_l2_is_large),
        cmocka_unit_test(an_empty_value_is_told_from_none),
        cmocka_unit_test(what_goes_between_its_two_answers_is_absent),
        cmocka_unit_test(a_client_who_joins_gets_the_whole_of_what_was_cut),
        cmocka_unit_test(a_client_who_joins_while_its_size_is_asked_for_gets_what_is_large),
        cmocka_unit_test(a_client_who_takes_it_in_pieces_is_told_that_it_is_large),
        cmocka_unit_test(a_client_who_joins_does_not_hear_that_a_piece_may_not_be_asked_for),
        cmocka_unit_test(a_client_who_joins_does_not_hear_that_its_size_may_not_be_asked_for),
        cmocka_unit_test(that_a_piece_may_not_be_asked_for_is_told),
        cmocka_unit_test(a_write_between_two_questions_ends_it),
        cmocka_unit_test(a_link_that_is_lost_between_two_questions_takes_it_along),
        cmocka_unit_test(what_became_a_list_between_two_questions_is_skipped),
        cmocka_unit_test(of_a_large_managed_value_nothing_is_kept_where_nothing_stood),
        cmocka_unit_test(of_a_large_managed_value_its_envelope_replaces_what_stood),
        cmocka_unit_test(a_beginning_that_does_not_fit_its_size_leaves_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
