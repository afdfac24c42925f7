/* SPDX-License-Identifier: BSD-3-Clause */
/* How a link comes up: what it says first, who is refused, when it tries again, and what waits meanwhile. */
#include "tests/unit/link_help.h"
#include "tiers/link.h"

#define HELLO_3   "*2\r\n$5\r\nHELLO\r\n$1\r\n3\r\n"
#define CLIENT_ID "*2\r\n$6\r\nCLIENT\r\n$2\r\nID\r\n"

static char user[] = "alice";
static char pass[] = "se cret";
static const struct l2_url guarded = {.host = "h", .port = 1, .user = user, .pass = pass};

static void open_greeting(struct roof *roof, const struct link_options *options)
{
    help_open(roof, options);
    link_tick(roof->link, HELP_NOW);
    link_on_connected(roof->link, HELP_NOW);
}

static void the_first_tick_connects(void **state)
{
    (void)state;
    struct roof roof = {0};
    const struct link_options options = help_options(&roof, &here);
    help_open(&roof, &options);
    assert_int_equal(link_state(roof.link), LINK_DOWN);
    assert_false(link_is_down(roof.link)); /* nothing has failed */
    assert_true(strlen(link_why_down(roof.link)) > 0);
    link_tick(roof.link, 0);
    assert_int_equal(roof.connects, 1);
    assert_int_equal(link_state(roof.link), LINK_CONNECTING);
    assert_int_equal(link_output(roof.link).size, 0);
    link_tick(roof.link, 1);
    assert_int_equal(roof.connects, 1);
    help_done(&roof);
}

/* The requests of the greeting, by their first word. */
static void expect_words(struct roof *roof, const char *const *words, size_t word_count)
{
    struct buf written = help_written(roof);
    struct request_reader reader;
    request_reader_init(&reader);
    struct slice rest = buf_slice(&written);
    for (size_t i = 0; i < word_count; i++) {
        assert_int_equal(request_read(&reader, rest), OK);
        if (!slice_is(request_arg(&reader, rest, 0), words[i])) {
            fail_msg("request %zu is not %s", i, words[i]);
        }
        rest.data += reader.used;
        rest.size -= reader.used;
        request_reader_reset(&reader);
    }
    assert_int_equal(rest.size, 0);
    request_reader_done(&reader);
    buf_done(&written);
}

static void the_greeting_is_auth_hello_id_beat_and_sixteen_selects(void **state)
{
    (void)state;
    struct roof roof = {0};
    struct link_options options = help_options(&roof, &guarded);
    options.proto = 3;
    open_greeting(&roof, &options);
    assert_int_equal(roof.flushes, 1);
    const struct slice output = link_output(roof.link);
    static const char begin[] =
        "*3\r\n$4\r\nAUTH\r\n$5\r\nalice\r\n$7\r\nse cret\r\n" HELLO_3 CLIENT_ID;
    assert_true(output.size > sizeof begin);
    assert_memory_equal(output.data, begin, sizeof begin - 1);
    static const char *const words[] = {"AUTH",   "HELLO",  "CLIENT", "EVAL",   "SELECT",
                                        "SELECT", "SELECT", "SELECT", "SELECT", "SELECT",
                                        "SELECT", "SELECT", "SELECT", "SELECT", "SELECT",
                                        "SELECT", "SELECT", "SELECT", "SELECT", "SELECT"};
    expect_words(&roof, words, sizeof words / sizeof words[0]);
    help_done(&roof);
}

static void a_greeting_without_credentials_begins_with_client_id(void **state)
{
    (void)state;
    struct roof roof = {0};
    const struct link_options options = help_options(&roof, &here);
    open_greeting(&roof, &options);
    assert_memory_equal(link_output(roof.link).data, CLIENT_ID, sizeof CLIENT_ID - 1);
    help_done(&roof);
}

static void a_password_alone_is_the_default_users(void **state)
{
    (void)state;
    struct roof roof = {0};
    const struct l2_url url = {.host = "h", .port = 1, .pass = pass};
    const struct link_options options = help_options(&roof, &url);
    open_greeting(&roof, &options);
    static const char begin[] = "*2\r\n$4\r\nAUTH\r\n$7\r\nse cret\r\n";
    assert_memory_equal(link_output(roof.link).data, begin, sizeof begin - 1);
    help_done(&roof);
}

static void the_beat_of_the_greeting_knows_the_epoch(void **state)
{
    (void)state;
    struct roof roof = {.known = 4711};
    const struct link_options options = help_options(&roof, &here);
    open_greeting(&roof, &options);
    const struct slice output = link_output(roof.link);
    static const char arguments[] = "\r\n$1\r\n0\r\n$2\r\n15\r\n$4\r\n4711\r\n$8\r\n";
    assert_non_null(memmem(output.data, output.size, arguments, sizeof arguments - 1));
    static const char end[] = "\r\n$2\r\n77\r\n$7\r\n1010000\r\n$0\r\n\r\n*2\r\n$6\r\nSELECT";
    assert_non_null(memmem(output.data, output.size, end, sizeof end - 1));
    help_done(&roof);
}

static void ready_comes_with_the_epoch_that_the_beat_saw(void **state)
{
    (void)state;
    struct roof roof = {0};
    struct link_options options = help_options(&roof, &guarded);
    options.proto = 3;
    open_greeting(&roof, &options);
    HELP_SAY(
        &roof,
        "+OK\r\n%1\r\n$6\r\nserver\r\n$5\r\nredis\r\n:12\r\n" HELP_BEAT_ANSWER HELP_SELECTED_8);
    assert_int_equal(link_state(roof.link), LINK_GREETING);
    assert_int_equal(link_client_id(roof.link), 0);
    HELP_SAY(&roof, HELP_SELECTED_8);
    assert_int_equal(link_state(roof.link), LINK_READY);
    assert_int_equal(roof.readies, 1);
    assert_int_equal(roof.answer.epoch.counter, 5);
    assert_int_equal(roof.answer.epoch.random, 1);
    assert_int_equal(roof.answer.seq, 41);
    assert_int_equal(link_client_id(roof.link), 12);
    assert_int_equal(metrics_read(&roof.metrics, M_L2_CONNECTS), 1);
    help_done(&roof);
}

/* --- refusals ---------------------------------------------------------------------------------------------------- */

static void every_refusal_is_a_failed_attempt_in_redis_words(void **state)
{
    (void)state;
    static const struct {
        const char *says;
        const char *why;
    } cases[] = {
        {"-WRONGPASS invalid username-password pair\r\n",
         "WRONGPASS invalid username-password pair"},
        {"+OK\r\n-NOPROTO unsupported protocol version\r\n",
         "NOPROTO unsupported protocol version"},
        {"+OK\r\n%0\r\n-NOAUTH Authentication required.\r\n", "NOAUTH Authentication required."},
        {"+OK\r\n%0\r\n-NOPERM no 'client|id'\r\n", "NOPERM no 'client|id'"},
        {"+OK\r\n%0\r\n:1\r\n-READONLY You can't write. script: 12ab, on @user_script:1.\r\n",
         "READONLY You can't write."},
        {"+OK\r\n%0\r\n:1\r\n-LOADING Redis is loading the dataset in memory\r\n",
         "LOADING Redis is loading the dataset in memory"},
        {"+OK\r\n%0\r\n:1\r\n-OOM command not allowed\r\n", "OOM command not allowed"},
        {"+OK\r\n%0\r\n:1\r\n+PONG\r\n", "the answer of the beat is not what its script returns"},
        {"+OK\r\n%0\r\n+PONG\r\n", "L2 does not answer CLIENT ID with a number"},
        {"SSH-2.0-OpenSSH_9.2\r\n", "L2 sent bytes that are no reply of Redis"},
        {"-DENIED \x1b[31mred\r\n", "DENIED  [31mred"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct roof roof = {0};
        struct link_options options = help_options(&roof, &guarded);
        options.proto = 3;
        open_greeting(&roof, &options);
        struct question waits = help_question(&roof, true, 0);
        help_ask(&waits, 0, "DEL a\r\n");
        help_feed(&roof, slice_of(cases[i].says), HELP_NOW);
        assert_int_equal(link_state(roof.link), LINK_DOWN);
        assert_true(link_is_down(roof.link));
        assert_string_equal(link_why_down(roof.link), cases[i].why);
        assert_string_equal(roof.why, cases[i].why);
        assert_int_equal(roof.closes, 1);
        assert_int_equal(roof.readies, 0);
        assert_int_equal(metrics_read(&roof.metrics, M_L2_LOSSES),
                         0); /* there was nothing to lose */
        help_ended(&waits, L2_DOWN, "");
        help_done(&roof);
    }
}

static void a_connection_that_takes_too_long_is_given_up(void **state)
{
    (void)state;
    struct roof roof = {0};
    const struct link_options options = help_options(&roof, &here);
    help_open(&roof, &options);
    link_tick(roof.link, HELP_NOW);
    link_tick(roof.link, HELP_NOW + LINK_ATTEMPT_MS - 1);
    assert_int_equal(link_state(roof.link), LINK_CONNECTING);
    link_tick(roof.link, HELP_NOW + LINK_ATTEMPT_MS);
    assert_int_equal(link_state(roof.link), LINK_DOWN);
    assert_int_equal(roof.closes, 1);
    assert_true(link_is_down(roof.link));
    help_done(&roof);
}

static void a_greeting_that_takes_too_long_is_given_up(void **state)
{
    (void)state;
    struct roof roof = {0};
    const struct link_options options = help_options(&roof, &here);
    open_greeting(&roof, &options);
    HELP_SAY(&roof, ":7\r\n");
    link_tick(roof.link, HELP_NOW + LINK_ATTEMPT_MS - 1);
    assert_int_equal(link_state(roof.link), LINK_GREETING);
    link_tick(roof.link, HELP_NOW + LINK_ATTEMPT_MS);
    assert_int_equal(link_state(roof.link), LINK_DOWN);
    assert_int_equal(roof.closes, 1);
    help_done(&roof);
}

/* --- trying again ------------------------------------------------------------------------------------------------ */

/* The link goes down at HELP_NOW; after how long does it connect again? */
static int64_t delay_until_connect(struct roof *roof)
{
    const unsigned before = roof->connects;
    for (int64_t delay_ms = 0; delay_ms < 10000; delay_ms++) {
        link_tick(roof->link, HELP_NOW + delay_ms);
        if (roof->connects > before) {
            return delay_ms;
        }
    }
    fail();
    return 0;
}

static void attempts_come_after_a_quarter_half_one_one_second_give_or_take_a_quarter(void **state)
{
    (void)state;
    static const int64_t middle_ms[] = {250, 500, 1000, 1000, 1000};
    int64_t least[5] = {INT64_MAX, INT64_MAX, INT64_MAX, INT64_MAX, INT64_MAX};
    int64_t most[5] = {0};
    for (uint64_t seed = 1; seed <= 50; seed++) {
        struct roof roof = {0};
        struct link_options options = help_options(&roof, &here);
        options.seed = seed;
        help_open(&roof, &options);
        link_tick(roof.link, HELP_NOW);
        for (int i = 0; i < 5; i++) {
            link_on_lost(roof.link, "connection refused", HELP_NOW);
            const int64_t delay_ms = delay_until_connect(&roof);
            assert_in_range(delay_ms, middle_ms[i] * 3 / 4, middle_ms[i] * 5 / 4);
            least[i] = delay_ms < least[i] ? delay_ms : least[i];
            most[i] = delay_ms > most[i] ? delay_ms : most[i];
        }
        help_done(&roof);
    }
    for (int i = 0; i < 5; i++) { /* nodes do not return in step */
        assert_true(most[i] - least[i] > middle_ms[i] / 3);
    }
}

static void a_link_that_was_ready_begins_with_a_quarter_second_again(void **state)
{
    (void)state;
    struct roof roof = {0};
    const struct link_options options = help_options(&roof, &here);
    help_open(&roof, &options);
    link_tick(roof.link, HELP_NOW);
    for (int i = 0; i < 4; i++) {
        link_on_lost(roof.link, "connection refused", HELP_NOW);
        (void)delay_until_connect(&roof);
    }
    help_make_ready(&roof);
    assert_false(link_is_down(roof.link));
    link_on_lost(roof.link, "reset", HELP_NOW);
    assert_in_range(delay_until_connect(&roof), 187, 313);
    help_done(&roof);
}

static void a_poke_ends_the_delay_of_a_link_whose_attempt_failed(void **state)
{
    (void)state;
    struct roof roof = {0};
    const struct link_options options = help_options(&roof, &here);
    help_open(&roof, &options);
    link_tick(roof.link, HELP_NOW);
    link_on_lost(roof.link, "connection refused", HELP_NOW);
    link_tick(roof.link, HELP_NOW + 1);
    assert_int_equal(roof.connects, 1);
    link_poke(roof.link, HELP_NOW + 1);
    link_tick(roof.link, HELP_NOW + 1);
    assert_int_equal(roof.connects, 2);
    help_make_ready(&roof);
    link_poke(roof.link, HELP_NOW + 2); /* nothing to do */
    assert_int_equal(link_state(roof.link), LINK_READY);
    link_on_lost(roof.link, "reset", HELP_NOW + 3);
    link_poke(roof.link, HELP_NOW + 3); /* it was let in itself */
    link_tick(roof.link, HELP_NOW + 3);
    assert_int_equal(link_state(roof.link), LINK_DOWN);
    help_done(&roof);
}

/* --- what waits -------------------------------------------------------------------------------------------------- */

static void say_hello(struct roof *roof)
{
    assert_int_equal(link_say(roof->link, SLICE_LITERAL("FIRST\r\n")), OK);
}

static void requests_wait_for_the_greeting_and_go_out_in_order_behind_on_ready(void **state)
{
    (void)state;
    struct roof roof = {.when_ready = say_hello};
    const struct link_options options = help_options(&roof, &here);
    help_open(&roof, &options);
    struct question a = help_question(&roof, false, 0);
    struct question b = help_question(&roof, true, 0);
    struct question c = help_question(&roof, false, 0);
    help_ask(&a, 0, "GET a\r\n"); /* DOWN, and nothing has failed yet */
    link_tick(roof.link, HELP_NOW);
    help_ask(&b, 3, "DEL b\r\n");
    link_on_connected(roof.link, HELP_NOW);
    help_ask(&c, 3, "GET c\r\n");
    struct buf greeting = help_written(&roof);
    assert_null(memmem(greeting.data, greeting.size, "GET a", 5));
    buf_done(&greeting);
    HELP_SAY(&roof, ":7\r\n" HELP_BEAT_ANSWER HELP_SELECTED_8 HELP_SELECTED_8);
    help_expect_written(&roof,
                        "FIRST\r\nGET a\r\n*2\r\n$6\r\nSELECT\r\n$1\r\n3\r\nDEL b\r\nGET c\r\n");
    help_done(&roof);
    help_ended(&a, L2_DOWN, "");
    help_ended(&b, UNKNOWN, "");
    help_ended(&c, L2_DOWN, "");
}

static void after_a_failed_attempt_the_answer_is_down_at_once(void **state)
{
    (void)state;
    struct roof roof = {0};
    const struct link_options options = help_options(&roof, &here);
    help_open(&roof, &options);
    struct question waits = help_question(&roof, true, 0);
    help_ask(&waits, 0, "DEL a\r\n");
    link_tick(roof.link, HELP_NOW);
    link_on_lost(roof.link, "connection refused", HELP_NOW);
    help_ended(&waits, L2_DOWN, ""); /* a write, but not one byte of it was sent */
    struct question late = help_question(&roof, false, 0);
    assert_int_equal(link_ask(roof.link, &late.request, 0, SLICE_LITERAL("GET a\r\n")), L2_DOWN);
    link_tick(roof.link, HELP_NOW + 1000);
    assert_int_equal(roof.connects, 2);
    assert_int_equal(link_ask(roof.link, &late.request, 0, SLICE_LITERAL("GET a\r\n")), L2_DOWN);
    help_make_ready(&roof);
    help_ask(&late, 0, "GET a\r\n");
    help_expect_written(&roof, "GET a\r\n");
    help_done(&roof);
    help_ended(&late, L2_DOWN, "");
}

static void a_request_that_waited_too_long_is_never_sent(void **state)
{
    (void)state;
    struct roof roof = {0};
    const struct link_options options = help_options(&roof, &here);
    open_greeting(&roof, &options);
    struct question a = help_question(&roof, true, HELP_NOW + 100);
    struct question b = help_question(&roof, true, HELP_NOW + 1000);
    help_ask(&a, 0, "DEL a\r\n");
    help_ask(&b, 0, "DEL b\r\n");
    link_tick(roof.link, HELP_NOW + 100);
    help_ended(&a, L2_DOWN, "");
    assert_int_equal(link_state(roof.link), LINK_GREETING);
    struct buf greeting = help_written(&roof);
    buf_done(&greeting);
    HELP_SAY(&roof, ":7\r\n" HELP_BEAT_ANSWER HELP_SELECTED_8 HELP_SELECTED_8);
    help_expect_written(&roof, "DEL b\r\n");
    HELP_SAY(&roof, ":1\r\n");
    help_ended(&b, OK, ":1\r\n");
    help_done(&roof);
}

static void close_at_once(struct roof *roof)
{
    link_close(roof->link, "not this one", HELP_NOW);
}

static void on_ready_may_close_the_link(void **state)
{
    (void)state;
    struct roof roof = {.when_ready = close_at_once};
    const struct link_options options = help_options(&roof, &here);
    open_greeting(&roof, &options);
    struct question a = help_question(&roof, true, 0);
    help_ask(&a, 0, "DEL a\r\n");
    struct buf greeting = help_written(&roof);
    buf_done(&greeting);
    HELP_SAY(&roof, ":7\r\n" HELP_BEAT_ANSWER HELP_SELECTED_8 HELP_SELECTED_8 "+rest\r\n");
    help_ended(&a, L2_DOWN, "");
    assert_int_equal(link_state(roof.link), LINK_DOWN);
    help_done(&roof);
}

static void bytes_of_a_connection_that_was_given_up_are_ignored(void **state)
{
    (void)state;
    struct roof roof = {0};
    const struct link_options options = help_options(&roof, &here);
    open_greeting(&roof, &options);
    link_close(roof.link, "enough", HELP_NOW);
    HELP_SAY(&roof, "$5\r\nhal");
    assert_int_equal(link_state(roof.link), LINK_DOWN);
    link_on_lost(roof.link, "late news", HELP_NOW);
    assert_string_equal(link_why_down(roof.link), "enough");
    link_tick(roof.link, HELP_NOW + 1000);
    help_make_ready(&roof);
    help_done(&roof);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_first_tick_connects),
        cmocka_unit_test(the_greeting_is_auth_hello_id_beat_and_sixteen_selects),
        cmocka_unit_test(a_greeting_without_credentials_begins_with_client_id),
        cmocka_unit_test(a_password_alone_is_the_default_users),
        cmocka_unit_test(the_beat_of_the_greeting_knows_the_epoch),
        cmocka_unit_test(ready_comes_with_the_epoch_that_the_beat_saw),
        cmocka_unit_test(every_refusal_is_a_failed_attempt_in_redis_words),
        cmocka_unit_test(a_connection_that_takes_too_long_is_given_up),
        cmocka_unit_test(a_greeting_that_takes_too_long_is_given_up),
        cmocka_unit_test(attempts_come_after_a_quarter_half_one_one_second_give_or_take_a_quarter),
        cmocka_unit_test(a_link_that_was_ready_begins_with_a_quarter_second_again),
        cmocka_unit_test(a_poke_ends_the_delay_of_a_link_whose_attempt_failed),
        cmocka_unit_test(requests_wait_for_the_greeting_and_go_out_in_order_behind_on_ready),
        cmocka_unit_test(after_a_failed_attempt_the_answer_is_down_at_once),
        cmocka_unit_test(a_request_that_waited_too_long_is_never_sent),
        cmocka_unit_test(on_ready_may_close_the_link),
        cmocka_unit_test(bytes_of_a_connection_that_was_given_up_are_ignored),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
