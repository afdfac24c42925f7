/* SPDX-License-Identifier: BSD-3-Clause */
#include "protocol/resp_read.h"
#include "tiers/rights.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

/* What a Redis that grants all answers, one reply per request (MULTI ... EXEC too), and SUBSCRIBE's two. */
#define BEAT_ANSWER "*6\r\n:3\r\n$8\r\nrandomly\r\n:7\r\n:0\r\n$4\r\nbeef\r\n$2\r\nr1\r\n"
static const char *const granted[] = {
    "+OK\r\n",
    BEAT_ANSWER,
    "+OK\r\n",
    "+QUEUED\r\n",
    "+QUEUED\r\n",
    "+QUEUED\r\n",
    "+QUEUED\r\n",
    "+QUEUED\r\n",
    "*5\r\n:0\r\n:1\r\n*0\r\n:0\r\n:1\r\n",
    ":-2\r\n",
    "$-1\r\n",
    ":0\r\n",
    ":0\r\n",
    ":240\r\n",
    "$68\r\n# Memory\r\nused_memory:1\r\nmaxmemory:4096\r\nmaxmemory_policy:noeviction\r\n",
    "$45\r\n# Server\r\nserver_time_usec:1700000000000001\r\n\r\n",
    "$0\r\n\r\n",
    ":0\r\n",
    ":0\r\n",
    "+OK\r\n",
    "*3\r\n$9\r\nsubscribe\r\n$20\r\n__redis__:invalidate\r\n:1\r\n",
};
enum {
    REPLIES = sizeof granted / sizeof granted[0]
};

/* Hands over what all but `odd` answer as above; `odd` says `reply`. The last status. */
static enum status answer(struct rights *rights, unsigned odd, const char *reply)
{
    struct buf out = {0};
    const struct beat_request greeting = {.coherence_db = 15, .node = 1};
    assert_int_equal(rights_write(rights, &greeting, 9, &out), OK);
    buf_done(&out);
    enum status status = AGAIN;
    for (unsigned i = 0; i < REPLIES && status == AGAIN; i++) {
        status = rights_take(rights, slice_of(i == odd ? reply : granted[i]));
        if (i + 1 < REPLIES && i != odd) {
            assert_int_equal(status, AGAIN);
        }
    }
    return status;
}

static void one_request_for_each_reply(void **state)
{
    (void)state;
    struct rights rights;
    struct buf out = {0};
    const struct beat_request greeting = {.coherence_db = 15, .node = 1};
    assert_int_equal(rights_write(&rights, &greeting, 9, &out), OK);
    struct request_reader reader;
    request_reader_init(&reader);
    unsigned requests = 0;
    struct slice rest = buf_slice(&out);
    while (rest.size > 0) {
        assert_int_equal(request_read(&reader, rest), OK);
        rest.data += reader.used;
        rest.size -= reader.used;
        request_reader_reset(&reader);
        requests++;
    }
    request_reader_done(&reader);
    buf_done(&out);
    assert_int_equal(requests, REPLIES);
}

static void all_is_granted(void **state)
{
    (void)state;
    struct rights rights;
    char missing[RIGHTS_TEXT_MAX];
    assert_int_equal(answer(&rights, REPLIES, ""), OK);
    assert_true(rights_suffice(&rights));
    assert_true(rights_track(&rights));
    assert_true(rights_warm(&rights));
    assert_false(rights_may_evict(&rights));
    assert_int_not_equal(rights.run, 0);
    assert_int_equal(rights.maxmemory, 4096);
    assert_string_equal(rights.policy, "noeviction");
    assert_int_equal(rights.clock_us, 1700000000000001);
    rights_missing(&rights, missing);
    assert_string_equal(missing, "");
}

static void each_refusal_is_named(void **state)
{
    (void)state;
    static const char *const refusals[] = {
        "-NOPERM this user has no permissions\r\n",
        "-ERR The user executing the script can't run this command or subcommand script: x\r\n",
        "-NOPERM ACL failure in script: no\r\n",
    };
    for (unsigned i = 0; i < REPLIES; i++) {
        for (size_t j = 0; j < sizeof refusals / sizeof refusals[0]; j++) {
            struct rights rights;
            char missing[RIGHTS_TEXT_MAX];
            assert_int_equal(answer(&rights, i, refusals[j]), OK);
            /* There is another way, or the node works all the same. */
            assert_int_equal(rights_suffice(&rights),
                             !rights_track(&rights) || !rights_warm(&rights));
            rights_missing(&rights, missing);
            assert_string_not_equal(missing, "");
            assert_int_equal(strncmp(rights.why, refusals[j] + 1, 20), 0);
        }
    }
}

static void other_errors_are_no_refusals(void **state)
{
    (void)state;
    static const char *const others[] = {
        "-READONLY You can't write against a read only replica.\r\n",
        "-OOM command not allowed\r\n", "-EXECABORT Transaction\r\n"};
    for (unsigned i = 0; i < REPLIES; i++) {
        for (size_t j = 0; j < sizeof others / sizeof others[0]; j++) {
            struct rights rights;
            assert_int_equal(answer(&rights, i, others[j]), OK);
            assert_true(rights_suffice(&rights));
        }
    }
}

static void a_redis_that_loads_is_asked_again(void **state)
{
    (void)state;
    struct rights rights;
    assert_int_equal(answer(&rights, 1, "-LOADING Redis is loading the dataset in memory\r\n"),
                     BUSY);
    assert_int_equal(answer(&rights, 1, "-BUSY Redis is busy running a script.\r\n"), BUSY);
    assert_int_equal(answer(&rights, 5, ""), BUSY);
}

static void a_server_without_a_command_is_no_user_without_a_right(void **state)
{
    (void)state;
    struct rights rights;
    char missing[RIGHTS_TEXT_MAX];
    assert_int_equal(answer(&rights, 12, "-ERR unknown subcommand 'KILL'. Try CLIENT HELP.\r\n"),
                     OK);
    assert_int_equal(rights.refused, 0);
    assert_true(rights_suffice(&rights)); /* its clients are told that a lost write may still run */
    rights_missing(&rights, missing);
    assert_string_equal(missing, "CLIENT KILL");
    assert_int_equal(answer(&rights, 2, "-ERR unknown command 'MULTI', with args\r\n"), OK);
    assert_false(rights_suffice(&rights));
}

static void without_what_warming_reads_by_a_node_works(void **state)
{
    (void)state;
    static const char *const names[] = {"GETRANGE", "STRLEN", "HLEN"};
    for (unsigned i = 0; i < 3; i++) {
        struct rights rights;
        char missing[RIGHTS_TEXT_MAX];
        assert_int_equal(answer(&rights, 16 + i, "-NOPERM this user has no permissions\r\n"), OK);
        assert_true(rights_suffice(&rights) && rights_track(&rights));
        assert_false(rights_warm(&rights));
        rights_missing(&rights, missing);
        assert_string_equal(missing, names[i]);
    }
}

static void several_are_listed(void **state)
{
    (void)state;
    struct rights rights = {.refused = 1u << 2 | 1u << 11, .unknown = 1u << 12};
    char missing[RIGHTS_TEXT_MAX];
    rights_missing(&rights, missing);
    assert_string_equal(missing, "MULTI, PUBLISH on terrace:* and CLIENT KILL");
    rights.refused = UINT32_MAX; /* it fits, and if it did not it would be cut */
    rights_missing(&rights, missing);
    assert_true(strlen(missing) < RIGHTS_TEXT_MAX);
}

static void only_a_policy_for_all_keys_takes_ours(void **state)
{
    (void)state;
    static const struct {
        int64_t maxmemory;
        const char *policy;
        bool may;
    } cases[] = {
        {100, "allkeys-lru", true},   {100, "allkeys-lfu", true}, {0, "allkeys-lru", false},
        {-1, "allkeys-lru", false},   {100, "", false},           {100, "noeviction", false},
        {100, "volatile-lru", false}, {100, "allkeys", false}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct rights rights = {.maxmemory = cases[i].maxmemory};
        strcpy(rights.policy, cases[i].policy);
        assert_int_equal(rights_may_evict(&rights), cases[i].may);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_request_for_each_reply),
        cmocka_unit_test(all_is_granted),
        cmocka_unit_test(each_refusal_is_named),
        cmocka_unit_test(other_errors_are_no_refusals),
        cmocka_unit_test(a_redis_that_loads_is_asked_again),
        cmocka_unit_test(a_server_without_a_command_is_no_user_without_a_right),
        cmocka_unit_test(without_what_warming_reads_by_a_node_works),
        cmocka_unit_test(several_are_listed),
        cmocka_unit_test(only_a_policy_for_all_keys_takes_ours),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
