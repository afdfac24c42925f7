/* SPDX-License-Identifier: BSD-3-Clause */
/* The client against a node that lies, breaks off, or does not read: what it is told is true all the same, and nothing
 * leaks. */
#include "client/core.h"
#include "tests/unit/liar.h"

/* --- answers that no node gives -------------------------------------------------------------------------------------------- */

static bool more_twice(struct ear *ear, const struct native_frame *frame)
{
    const struct native_reply reply = {.state = NATIVE_STATE_HIT};
    if (frame->header.op != NATIVE_GET) {
        return false;
    }
    answer_with(ear, frame, NATIVE_MORE, NATIVE_OK, &reply, slice_of("one"));
    answer_with(ear, frame, NATIVE_MORE, NATIVE_OK, &reply, slice_of("two"));
    answer_with(ear, frame, 0, NATIVE_OK, &reply, slice_of("three"));
    return true;
}

static void an_answer_in_parts_to_a_question_of_one_is_no_answer(void **state)
{
    (void)state;
    struct scene scene;
    struct told told = {0};
    scene_open(&scene, "retries=0&fail=closed", more_twice);
    get(&scene, "k", 2000, &told);
    run_until(&scene, &told.times, 1);
    run_for(&scene, 50);
    assert_int_equal(told.times, 1);
    assert_int_equal(told.status, TERRACE_UNREACHABLE);
    scene_close(&scene);
}

static char long_text[200001];

static bool long_error(struct ear *ear, const struct native_frame *frame)
{
    if (frame->header.op != NATIVE_GET) {
        return false;
    }
    answer(ear, frame, NATIVE_ERROR, long_text);
    return true;
}

static void a_long_error_text_is_given_back(void **state)
{
    (void)state;
    struct scene scene;
    struct told told = {0};
    memset(long_text, 'x', sizeof long_text - 1);
    scene_open(&scene, "fail=closed", long_error);
    get(&scene, "k", 2000, &told);
    run_until(&scene, &told.times, 1);
    assert_int_equal(told.status, TERRACE_REFUSED);
    scene_close(&scene); /* ASan tells of what is left */
}

/* --- what is known of a write --------------------------------------------------------------------------------------------- */

struct deaf {
    unsigned sets, heard;
    bool reads;
};

static bool deaf_after_hello(struct ear *ear, const struct native_frame *frame)
{
    struct deaf *deaf = scene_of(ear)->own;
    if (frame->header.op == NATIVE_GET) {
        (void)uv_read_stop((uv_stream_t *)&ear->tcp);
        answer(ear, frame, NATIVE_OK, "v");
    } else if (frame->header.op == NATIVE_SET) {
        deaf->sets++;
        deaf->heard += frame->keys.size == 4 && memcmp(frame->keys.data, "last", 4) == 0;
        answer(ear, frame, NATIVE_OK, "");
    }
    return frame->header.op == NATIVE_GET || frame->header.op == NATIVE_SET;
}

static void a_write_that_the_node_still_gets_was_not_refused_for_time(void **state)
{
    (void)state;
    struct scene scene;
    struct deaf deaf = {0};
    struct told first = {0}, big = {0}, last = {0};
    const struct terrace_write_options patient = {.timeout_ms = 20000};
    const size_t size = 24 << 20; /* more than sockets take */
    char *bytes = calloc(1, size);
    assert_non_null(bytes);
    scene_open(&scene, "connect-timeout=30s", deaf_after_hello);
    scene.own = &deaf;
    get(&scene, "k", 10000, &first);
    run_until(&scene, &first.times, 1);
    assert_int_equal(
        terrace_async_set(scene.client, "big", 3, bytes, size, &patient, on_told, &big),
        TERRACE_OK);
    run_for(&scene, 50);
    set(&scene, "last", 100, &last);
    run_until(&scene, &last.times, 1);
    assert_int_equal(deaf.heard, 0);
    assert_int_equal(uv_read_start((uv_stream_t *)&scene.liar.ears->tcp, ear_room, hear), 0);
    run_until(&scene, &big.times, 1);
    run_for(&scene, 50);
    /* DEADLINE says that it was not done. */
    assert_int_equal(last.status, deaf.heard > 0 ? TERRACE_UNKNOWN : TERRACE_DEADLINE);
    free(bytes);
    scene_close(&scene);
}

static bool done_then_down(struct ear *ear, const struct native_frame *frame)
{
    if (frame->header.op != NATIVE_SET) {
        return false;
    }
    if (ear->liar->frames[NATIVE_SET] == 1) {
        ear_close(ear); /* it did it, and died */
    } else {
        answer(ear, frame, NATIVE_L2DOWN, "");
    }
    return true;
}

static void what_may_be_done_is_not_called_undone_by_a_second_try(void **state)
{
    (void)state;
    struct scene scene;
    struct told told = {0};
    const struct terrace_write_options again = {.timeout_ms = 5000, .retry_unknown = 1};
    scene_open(&scene, "retries=3", done_then_down);
    assert_int_equal(terrace_async_set(scene.client, "k", 1, "v", 1, &again, on_told, &told),
                     TERRACE_OK);
    run_until(&scene, &told.times, 1);
    assert_int_equal(scene.liar.frames[NATIVE_SET], 2);
    assert_int_equal(told.status, TERRACE_UNKNOWN);
    scene_close(&scene);
}

/* --- connections ------------------------------------------------------------------------------------------------------------ */

static bool goodbye_without_end(struct ear *ear, const struct native_frame *frame)
{
    if (frame->header.op != NATIVE_GET) {
        return false;
    }
    say_frame(ear, (struct native_header){.op = NATIVE_GOODBYE}, (struct slice){0},
              (struct slice){0}, (struct slice){0});
    return true;
}

static void a_node_that_says_goodbye_and_stays_is_left(void **state)
{
    (void)state;
    struct scene scene;
    scene_open(&scene, "connect-timeout=100ms&failures-to-down=1000", goodbye_without_end);
    for (int i = 0; i < 5; i++) {
        struct told told = {0};
        get(&scene, "k", 50, &told);
        run_until(&scene, &told.times, 1);
    }
    assert_true(scene.liar.accepted >= 5);
    run_for(&scene, 1000);
    assert_true(scene.liar.open <= 1); /* that of the probes */
    scene_close(&scene);
}

static bool drops_each(struct ear *ear, const struct native_frame *frame)
{
    if (frame->header.op == NATIVE_GET) {
        ear_close(ear);
        return true;
    }
    return false;
}

static void on_outcome(void *arg, const struct outcome *outcome)
{
    struct told *told = arg;
    told->times++;
    told->status = outcome->status;
}

static void on_core_closed(void *arg)
{
    core_free(*(struct core **)arg);
}

/* Also one that lies in memory where another was before. */
static void each_connection_that_is_lost_counts(void **state)
{
    (void)state;
    enum {
        TIMES = 60
    };
    struct scene scene;
    struct terrace_endpoint_info info;
    char error[TERRACE_ERROR_SIZE];
    const struct slice key = slice_of("k");
    scene_open(&scene, "", drops_each);
    struct terrace_options *options =
        scene_options(&scene.liar, "failures-to-down=1000&retries=0&fail=closed");
    struct core *core = core_open(&scene.loop, options, error, sizeof error);
    terrace_options_free(options);
    assert_non_null(core);
    for (int i = 0; i < TIMES; i++) {
        struct told told = {0};
        struct request *request = NULL;
        const struct ask ask = {
            .op = NATIVE_GET, .keys = &key, .key_count = 1, .on_done = on_outcome, .arg = &told};
        assert_int_equal(request_new(core->options, &ask, &request), TERRACE_OK);
        assert_int_equal(request_start(core, request), TERRACE_OK);
        run_until(&scene, &told.times, 1);
        assert_int_equal(told.status, TERRACE_UNREACHABLE);
        run_for(&scene, 2); /* libuv lets go of it */
    }
    assert_int_equal(core_endpoints(core, &info, 1), 1);
    assert_int_equal(info.failures, TIMES);
    core_close(core, on_core_closed, &core);
    scene_close(&scene);
}

/* --- time -------------------------------------------------------------------------------------------------------------------- */

static bool hits(struct ear *ear, const struct native_frame *frame)
{
    if (frame->header.op != NATIVE_GET) {
        return false;
    }
    *(uint32_t *)scene_of(ear)->own = frame->header.word;
    answer(ear, frame, NATIVE_OK, "v");
    return true;
}

static void a_timeout_without_end_is_one(void **state)
{
    (void)state;
    struct scene scene;
    uint32_t patience = 0;
    const int64_t times[] = {INT64_MAX, INT64_MAX / 2, (INT64_C(1) << 32) + 1, INT64_C(1) << 32};
    scene_open(&scene, "fail=closed", hits);
    scene.own = &patience;
    for (size_t i = 0; i < sizeof times / sizeof times[0]; i++) {
        struct told told = {0};
        get(&scene, "k", times[i], &told);
        run_until(&scene, &told.times, 1);
        assert_int_equal(told.status, TERRACE_OK);
        assert_true(patience == 0 || patience > 86400000);
    }
    scene_close(&scene);
}

static void on_closing(void *arg, const struct terrace_result *result)
{
    on_told(arg, result);
}

static void what_ends_by_closing_is_told_from_the_loop(void **state)
{
    (void)state;
    struct scene scene;
    struct told told = {0};
    scene_open(&scene, "", NULL);
    assert_int_equal(terrace_async_get(scene.client, "k", 1, NULL, on_closing, &told), TERRACE_OK);
    terrace_async_close(scene.client, NULL, NULL);
    assert_int_equal(told.times, 0);
    liar_close(&scene.liar);
    assert_int_equal(uv_run(&scene.loop, UV_RUN_DEFAULT), 0);
    assert_int_equal(told.times, 1);
    assert_int_equal(told.status, TERRACE_CLOSED);
    assert_int_equal(uv_loop_close(&scene.loop), 0);
}

/* --- a loop that stood still --------------------------------------------------------------------------------------------------- */

enum {
    OWN_BEAT = (int)0xfffffff3u, /* the connection's own, not a probe's */
    STALL_MS = 2600              /* more than a beat may take */
};

struct stall {
    unsigned beats, sets;
    struct native_frame kept;
    bool is_kept;
};

/* Answers are there, behind a program that was busy with something else. */
static bool stalls(struct ear *ear, const struct native_frame *frame)
{
    struct stall *stall = scene_of(ear)->own;
    if (frame->header.op == NATIVE_BEAT && frame->header.id == (uint32_t)OWN_BEAT &&
        ++stall->beats == 2) {
        stall->kept = *frame;
        stall->is_kept = true;
        return true;
    }
    if (frame->header.op == NATIVE_SET) {
        stall->sets++;
        answer_with(ear, &stall->kept, 0, NATIVE_OK, &(struct native_reply){0}, (struct slice){0});
        answer(ear, frame, NATIVE_OK, "");
        uv_sleep(STALL_MS);
        return true;
    }
    return false;
}

static void a_loop_that_stood_still_reads_before_it_judges(void **state)
{
    (void)state;
    struct scene scene;
    struct stall stall = {0};
    struct told told = {0};
    scene_open(&scene, "near-memory=1mb&connect-timeout=10s", stalls);
    scene.own = &stall;
    set(&scene, "first", 1, &told); /* opens the connection */
    run_until(&scene, &stall.beats, 2);
    told = (struct told){0};
    stall.sets = 0;
    set(&scene, "k", 20000, &told);
    run_until(&scene, &told.times, 1);
    assert_int_equal(told.status, TERRACE_OK);
    scene_close(&scene);
}

/* --- loads that nobody waits for any more --------------------------------------------------------------------------------------- */

struct late {
    struct native_frame fetch;
    unsigned fetches, fails;
    char failed_key[8], failed_token[24];
};

static bool keeps_fetch(struct ear *ear, const struct native_frame *frame)
{
    struct late *late = scene_of(ear)->own;
    struct native_request request;
    if (frame->header.op == NATIVE_FETCH) {
        late->fetch = *frame;
        late->fetches++;
        return true;
    }
    if (frame->header.op == NATIVE_FAIL) {
        assert_int_equal(native_request_unpack(frame->meta, &request), OK);
        (void)snprintf(late->failed_key, sizeof late->failed_key, "%.*s", (int)frame->keys.size,
                       frame->keys.data);
        (void)snprintf(late->failed_token, sizeof late->failed_token, "%.*s",
                       (int)request.token.size, request.token.data);
        native_request_done(&request);
        answer(ear, frame, NATIVE_OK, "");
        late->fails++;
        return true;
    }
    return false;
}

static void a_load_that_comes_too_late_is_given_back(void **state)
{
    (void)state;
    struct scene scene;
    struct late late = {0};
    struct told told = {0};
    const struct native_reply load = {.token = SLICE_LITERAL("0123456789abcdef")};
    const struct terrace_read_options brief = {.timeout_ms = 50};
    scene_open(&scene, "connect-timeout=10s&retries=0", keeps_fetch);
    scene.own = &late;
    assert_int_equal(terrace_async_fetch(scene.client, "key", 3, &brief, on_told, &told),
                     TERRACE_OK);
    run_until(&scene, &told.times, 1);
    assert_int_equal(told.status, TERRACE_MISS);
    assert_int_equal(told.reason, TERRACE_REASON_DEADLINE);
    assert_int_equal(late.fetches, 1);
    answer_with(scene.liar.ears, &late.fetch, 0, NATIVE_LOAD, &load, (struct slice){0});
    run_until(&scene, &late.fails, 1);
    assert_string_equal(late.failed_key, "key");
    assert_string_equal(late.failed_token, "0123456789abcdef");
    assert_int_equal(told.times, 1);
    scene_close(&scene);
}

/* --- L0 --------------------------------------------------------------------------------------------------------------------- */

/* It lets everything be kept, proves that nothing has changed, and tells of no change. */
static bool keeps_all(struct ear *ear, const struct native_frame *frame)
{
    const struct native_reply kept = {
        .state = NATIVE_STATE_HIT, .ttl_ms = -1, .near_ms = 3600 * 1000};
    const struct native_reply proof = {.has_horizon = true};
    if (frame->header.op == NATIVE_GET) {
        answer_with(ear, frame, 0, NATIVE_OK, &kept, slice_of("v"));
    } else if (frame->header.op == NATIVE_CALL) {
        answer(ear, frame, NATIVE_OK, "+OK\r\n");
    } else if (frame->header.op == NATIVE_BEAT) {
        answer_with(ear, frame, 0, NATIVE_OK, &proof, (struct slice){0});
    } else {
        return false;
    }
    return true;
}

/* Whether the node was asked. */
static bool asks(struct scene *scene, const char *key)
{
    const unsigned before = scene->liar.frames[NATIVE_GET];
    struct told told = {0};
    assert_int_equal(terrace_async_get(scene->client, key, strlen(key), NULL, on_told, &told),
                     TERRACE_OK);
    run_until(scene, &told.times, 1);
    assert_int_equal(told.status, TERRACE_OK);
    return scene->liar.frames[NATIVE_GET] > before;
}

static void keep(struct scene *scene, const char *key)
{
    for (int i = 0; i < 1000 && asks(scene, key); i++) {
        run_for(scene, 5);
    }
    assert_false(asks(scene, key));
}

static void what_a_command_names_is_not_kept_behind_its_answer(void **state)
{
    (void)state;
    struct scene scene;
    const void *write[] = {"MSET", "one", "1", "two", "2"};
    struct told told = {0};
    scene_open(&scene, "near-memory=1mb", keeps_all);
    keep(&scene, "one");
    keep(&scene, "two");
    keep(&scene, "three");
    assert_int_equal(terrace_async_command(scene.client, write, NULL, 5, 0, on_told, &told),
                     TERRACE_OK);
    run_until(&scene, &told.times, 1);
    assert_int_equal(told.status, TERRACE_OK);
    assert_true(asks(&scene, "one"));
    assert_true(asks(&scene, "two"));
    assert_false(asks(&scene, "three"));
    scene_close(&scene);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_answer_in_parts_to_a_question_of_one_is_no_answer),
        cmocka_unit_test(a_long_error_text_is_given_back),
        cmocka_unit_test(a_write_that_the_node_still_gets_was_not_refused_for_time),
        cmocka_unit_test(what_may_be_done_is_not_called_undone_by_a_second_try),
        cmocka_unit_test(a_node_that_says_goodbye_and_stays_is_left),
        cmocka_unit_test(each_connection_that_is_lost_counts),
        cmocka_unit_test(a_timeout_without_end_is_one),
        cmocka_unit_test(a_loop_that_stood_still_reads_before_it_judges),
        cmocka_unit_test(a_load_that_comes_too_late_is_given_back),
        cmocka_unit_test(what_ends_by_closing_is_told_from_the_loop),
        cmocka_unit_test(what_a_command_names_is_not_kept_behind_its_answer),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
