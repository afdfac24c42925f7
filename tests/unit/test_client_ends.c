/* SPDX-License-Identifier: BSD-3-Clause */
/* The client on a slow way, at its limits, and at its end. */
#include "client/request_inner.h"
#include "tests/unit/liar.h"

static void on_core_closed(void *arg)
{
    core_free(*(struct core **)arg);
}

/* --- slow ways ------------------------------------------------------------------------------------------------------------------------ */

enum {
    SLOW_SIZE = 24 << 20,
    SLOW_SIP = 400 << 10, /* of each tick: some 3 s for all of it */
    SLOW_TICK_MS = 50
};

struct slow {
    struct ear *ear;
    uv_timer_t timer;
    size_t at_tick; /* bytes that were there when it last began to read */
    unsigned sets;
};

static void hear_a_sip(uv_stream_t *stream, ssize_t got, const uv_buf_t *buf)
{
    struct ear *ear = stream->data;
    const struct slow *slow = scene_of(ear)->own;
    hear(stream, got, buf);
    if (got > 0 && ear->in.size > slow->at_tick + SLOW_SIP) {
        (void)uv_read_stop(stream);
    }
}

static void sip(uv_timer_t *timer)
{
    struct slow *slow = timer->data;
    if (slow->ear != NULL && !uv_is_closing((uv_handle_t *)&slow->ear->tcp)) {
        slow->at_tick = slow->ear->in.size;
        (void)uv_read_start((uv_stream_t *)&slow->ear->tcp, ear_room, hear_a_sip);
    }
}

static bool hears_slowly(struct ear *ear, const struct native_frame *frame)
{
    struct slow *slow = scene_of(ear)->own;
    if (frame->header.op == NATIVE_GET) {
        slow->ear = ear;
        answer(ear, frame, NATIVE_OK, "v");
        (void)uv_read_stop((uv_stream_t *)&ear->tcp);
    } else if (frame->header.op == NATIVE_SET) {
        slow->sets++;
        answer(ear, frame, NATIVE_OK, "");
    }
    return frame->header.op == NATIVE_GET || frame->header.op == NATIVE_SET;
}

static void a_large_value_on_a_slow_way_arrives(void **state)
{
    (void)state;
    struct scene scene;
    struct slow slow = {0};
    struct told first = {0}, big = {0};
    const struct terrace_write_options patient = {.timeout_ms = 19000};
    char *bytes = calloc(1, SLOW_SIZE);
    assert_non_null(bytes);
    scene_open(&scene, "", hears_slowly);
    scene.own = &slow;
    get(&scene, "k", 10000, &first);
    run_until(&scene, &first.times, 1);
    assert_int_equal(uv_timer_init(&scene.loop, &slow.timer), 0);
    slow.timer.data = &slow;
    assert_int_equal(uv_timer_start(&slow.timer, sip, SLOW_TICK_MS, SLOW_TICK_MS), 0);
    assert_int_equal(
        terrace_async_set(scene.client, "big", 3, bytes, SLOW_SIZE, &patient, on_told, &big),
        TERRACE_OK);
    run_until(&scene, &big.times, 1);
    assert_int_equal(big.status, TERRACE_OK);
    assert_int_equal(slow.sets, 1);
    assert_int_equal(scene.liar.accepted, 1); /* over the connection that it began on */
    free(bytes);
    uv_close((uv_handle_t *)&slow.timer, NULL);
    scene_close(&scene);
}

/* --- which node ------------------------------------------------------------------------------------------------------------------------ */

static uint64_t hash_of(uint8_t op, const struct slice *words, size_t count)
{
    struct terrace_options *options = terrace_options_new();
    struct request *request = NULL;
    const struct ask ask = {.op = op, .keys = words, .key_count = count};
    assert_non_null(options);
    assert_int_equal(request_new(options, &ask, &request), TERRACE_OK);
    const uint64_t hash = request->hash;
    request_free(request);
    terrace_options_free(options);
    return hash;
}

static void a_command_goes_where_its_key_goes(void **state)
{
    (void)state;
    const struct slice key = SLICE_LITERAL("user:1");
    const struct slice words[] = {SLICE_LITERAL("HGETALL"), key};
    assert_true(hash_of(NATIVE_CALL, words, 2) == hash_of(NATIVE_GET, &key, 1));
    assert_true(hash_of(NATIVE_CALL, words, 1) == hash_of(NATIVE_GET, words, 1));
}

/* --- what nodes tell of each other -------------------------------------------------------------------------------------------------- */

static bool tells_of_others(struct ear *ear, const struct native_frame *frame)
{
    const struct native_node nodes[] = {
        {.address = SLICE_LITERAL("127.0.0.1:1"), .is_live = true, .weight = __builtin_nan("")},
        {.address = SLICE_LITERAL("127.0.0.1:2"), .is_live = true, .weight = 1},
        {.address = SLICE_LITERAL("127.0.0.1:3"), .is_live = true, .weight = -1},
    };
    if (frame->header.op != NATIVE_TOPOLOGY) {
        return false;
    }
    answer_with(ear, frame, 0, NATIVE_OK, &(struct native_reply){.nodes = nodes, .node_count = 3},
                (struct slice){0});
    return true;
}

static void a_weight_that_is_no_number_spoils_no_list(void **state)
{
    (void)state;
    struct scene scene;
    struct terrace_endpoint_info infos[8];
    char error[TERRACE_ERROR_SIZE];
    scene_open(&scene, "", tells_of_others);
    struct terrace_options *options =
        scene_options(&scene.liar, "discover=nodes&discover-every=10ms");
    struct core *core = core_open(&scene.loop, options, error, sizeof error);
    terrace_options_free(options);
    assert_non_null(core);
    run_until(&scene, &scene.liar.frames[NATIVE_TOPOLOGY], 3);
    assert_int_equal(core_endpoints(core, infos, 8), 4);
    core_close(core, on_core_closed, &core);
    scene_close(&scene);
}

/* --- limits ------------------------------------------------------------------------------------------------------------------------ */

static void what_fails_at_once_is_bounded_too(void **state)
{
    (void)state;
    enum {
        MOST = 100
    };
    struct scene scene;
    struct told told = {0};
    enum terrace_status status = TERRACE_OK;
    unsigned taken = 0;
    scene_open(&scene, "failures-to-down=1&breaker-open=1h&breaker-most=1h&max-inflight=100", NULL);
    liar_close(&scene.liar); /* nobody listens */
    while (told.reason != TERRACE_REASON_UNREACHABLE) {
        told = (struct told){0};
        get(&scene, "k", 1000, &told);
        run_until(&scene, &told.times, 1);
    }
    told = (struct told){0};
    while (taken <= MOST && status == TERRACE_OK) {
        status = terrace_async_get(scene.client, "k", 1, NULL, on_told, &told);
        taken += status == TERRACE_OK;
    }
    assert_int_equal(status, TERRACE_BUSY);
    assert_int_equal(taken, MOST);
    run_until(&scene, &told.times, MOST);
    get(&scene, "k", 1000, &told); /* and then there is room again */
    run_until(&scene, &told.times, MOST + 1);
    terrace_async_close(scene.client, NULL, NULL);
    assert_int_equal(uv_run(&scene.loop, UV_RUN_DEFAULT), 0);
    assert_int_equal(uv_loop_close(&scene.loop), 0);
}

/* --- closed from inside a callback --------------------------------------------------------------------------------------------------- */

struct last_words {
    struct scene *scene;
    unsigned told, closed, told_at_close;
};

static void on_all_closed(void *arg)
{
    struct last_words *words = arg;
    words->closed++;
    words->told_at_close = words->told;
}

static void closes_it(void *arg, const struct terrace_result *result)
{
    struct last_words *words = arg;
    (void)result;
    if (words->told++ == 0) {
        terrace_async_close(words->scene->client, on_all_closed, words);
        assert_int_equal(words->told, 1);
        assert_int_equal(terrace_async_get(words->scene->client, "k", 1, NULL, closes_it, words),
                         TERRACE_CLOSED);
    }
}

static bool gives_v(struct ear *ear, const struct native_frame *frame)
{
    if (frame->header.op == NATIVE_GET) {
        answer(ear, frame, NATIVE_OK, "v");
    }
    return frame->header.op == NATIVE_GET;
}

/* `is_there`: they are answered; otherwise they fail at once, and are told from a list. */
static void close_from_inside(bool is_there)
{
    enum {
        CALLS = 10
    };
    struct scene scene;
    struct last_words words = {.scene = &scene};
    struct told told = {0};
    scene_open(&scene, "failures-to-down=1&breaker-open=1h&breaker-most=1h", gives_v);
    if (!is_there) {
        liar_close(&scene.liar);
    }
    while (!is_there && told.reason != TERRACE_REASON_UNREACHABLE) {
        told = (struct told){0};
        get(&scene, "k", 1000, &told);
        run_until(&scene, &told.times, 1);
    }
    for (int i = 0; i < CALLS; i++) {
        assert_int_equal(terrace_async_get(scene.client, "k", 1, NULL, closes_it, &words),
                         TERRACE_OK);
    }
    run_until(&scene, &words.closed, 1);
    if (is_there) {
        liar_close(&scene.liar);
    }
    assert_int_equal(uv_run(&scene.loop, UV_RUN_DEFAULT), 0);
    assert_int_equal(words.told_at_close, CALLS); /* all of them before the last word */
    assert_int_equal(words.told, CALLS);
    assert_int_equal(words.closed, 1);
    assert_int_equal(uv_loop_close(&scene.loop), 0);
}

static void a_callback_may_close_its_client(void **state)
{
    (void)state;
    close_from_inside(true);
    close_from_inside(false);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_large_value_on_a_slow_way_arrives),
        cmocka_unit_test(a_command_goes_where_its_key_goes),
        cmocka_unit_test(a_weight_that_is_no_number_spoils_no_list),
        cmocka_unit_test(what_fails_at_once_is_bounded_too),
        cmocka_unit_test(a_callback_may_close_its_client),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
