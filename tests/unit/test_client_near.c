/* SPDX-License-Identifier: BSD-3-Clause */
/* What the client tells its near cache, and when: a node that says just what the test wants, in the order that it wants. */
#include "tests/unit/liar.h"

enum {
    PATIENCE_MS = 10000,
    T_MS = 3600000, /* so that no fence closes while the test runs */
};

struct play {
    const char *value; /* of every key; NULL: the node cannot keep its contract */
    bool is_near;      /* near_ms is T_MS */
    bool is_slow;      /* answers to GET wait */
    struct ear *ear;   /* who asked last */
    struct native_frame asked, set;
    unsigned sets, gets;
    uint64_t events;
};

static void answer_get(struct play *play, const struct native_frame *frame)
{
    const struct native_reply reply = {.state = play->value != NULL ? NATIVE_STATE_HIT : 0,
                                       .ttl_ms = -1,
                                       .near_ms = play->is_near ? T_MS : 0};
    if (play->value != NULL) {
        answer_with(play->ear, frame, 0, NATIVE_OK, &reply, slice_of(play->value));
    } else {
        answer(play->ear, frame, NATIVE_STALE, "STALE not now");
    }
}

static bool plays(struct ear *ear, const struct native_frame *frame)
{
    struct play *play = scene_of(ear)->own;
    const struct native_reply proof = {
        .has_horizon = true, .horizon_age_ms = 1, .stream_seq = play->events};
    play->ear = ear;
    switch (frame->header.op) {
    case NATIVE_BEAT: answer_with(ear, frame, 0, NATIVE_OK, &proof, (struct slice){0}); return true;
    case NATIVE_SET:
        play->set = *frame;
        play->sets++;
        return true;
    case NATIVE_GET:
        play->asked = *frame;
        play->gets++;
        if (!play->is_slow) {
            answer_get(play, frame);
        }
        return true;
    default: return false;
    }
}

static void play_open(struct scene *scene, struct play *play, const char *value)
{
    *play = (struct play){.value = value, .is_near = true};
    scene_open(scene, "near-memory=1mb&retries=0", plays);
    scene->own = play;
}

static void tell(struct play *play, uint64_t seq, const char *key)
{
    struct buf meta = {0};
    const struct native_event event = {.stream_seq = seq};
    assert_int_equal(native_event_pack(&event, &meta), OK);
    say_frame(play->ear, (struct native_header){.op = NATIVE_EVENT}, buf_slice(&meta),
              slice_of(key), (struct slice){0});
    buf_done(&meta);
    play->events = seq;
}

/* One read of k; whether the node was asked. */
static bool asks(struct scene *scene, const struct terrace_read_options *options, struct told *told)
{
    const struct play *play = scene->own;
    const unsigned gets = play->gets;
    *told = (struct told){0};
    assert_int_equal(terrace_async_get(scene->client, "k", 1, options, on_told, told), TERRACE_OK);
    run_until(scene, &told->times, 1);
    return play->gets > gets;
}

static void keep(struct scene *scene)
{
    struct told told;
    const struct terrace_read_options options = {.timeout_ms = PATIENCE_MS};
    for (unsigned tries = 0; asks(scene, &options, &told); tries++) {
        assert_true(tries < 1000);
        run_for(scene, 1);
    }
    assert_int_equal(told.status, TERRACE_OK);
}

static void what_a_read_brings_while_a_write_is_under_way_ends_with_its_answer(void **state)
{
    (void)state;
    struct scene scene;
    struct play play;
    struct told wrote = {0}, told;
    play_open(&scene, &play, "old");
    keep(&scene);
    set(&scene, "k", PATIENCE_MS, &wrote);
    run_until(&scene, &play.sets, 1);
    keep(&scene); /* a read that overtakes the write at the node */
    answer(play.ear, &play.set, NATIVE_OK, "");
    run_until(&scene, &wrote.times, 1);
    assert_int_equal(wrote.status, TERRACE_OK);
    assert_true(asks(&scene, NULL, &told)); /* nobody was told of it by an event */
    scene_close(&scene);
}

static void an_event_in_front_of_the_answer_keeps_it_out(void **state)
{
    (void)state;
    struct scene scene;
    struct play play;
    struct told told;
    play_open(&scene, &play, "v");
    keep(&scene);
    play.is_slow = true;
    tell(&play, 1, "k");
    const unsigned gets = play.gets;
    const struct terrace_read_options options = {.timeout_ms = PATIENCE_MS};
    do { /* until the event is there, L0 serves it */
        told = (struct told){0};
        assert_int_equal(terrace_async_get(scene.client, "k", 1, &options, on_told, &told),
                         TERRACE_OK);
        while (told.times == 0 && play.gets == gets) {
            (void)uv_run(&scene.loop, UV_RUN_ONCE);
        }
    } while (play.gets == gets);
    tell(&play, 2, "k");
    answer_get(&play, &play.asked);
    run_until(&scene, &told.times, 1);
    assert_int_equal(told.status, TERRACE_OK);
    play.is_slow = false;
    assert_true(asks(&scene, NULL, &told));
    scene_close(&scene);
}

static void a_skipped_event_ends_the_connection_and_what_it_kept(void **state)
{
    (void)state;
    struct scene scene;
    struct play play;
    struct told told;
    play_open(&scene, &play, "v");
    keep(&scene);
    tell(&play, 2, "other");
    run_until(&scene, &scene.liar.accepted, 1);
    while (!asks(&scene, NULL, &told)) {
    }
    run_until(&scene, &scene.liar.accepted, 2); /* another connection */
    scene_close(&scene);
}

static void a_read_past_l0_that_shows_another_value_ends_what_is_kept(void **state)
{
    (void)state;
    struct scene scene;
    struct play play;
    struct told told;
    const struct terrace_read_options past = {.timeout_ms = PATIENCE_MS, .no_near = 1};
    play_open(&scene, &play, "old");
    keep(&scene);
    assert_true(asks(&scene, &past, &told));
    assert_false(asks(&scene, NULL, &told)); /* the same value */
    play.value = "new";
    assert_true(asks(&scene, &past, &told));
    assert_true(asks(&scene, NULL, &told));
    scene_close(&scene);
}

static void what_the_node_cannot_answer_leaves_what_may_be_handed_out_as_stale(void **state)
{
    (void)state;
    struct scene scene;
    struct play play;
    struct told told;
    const struct terrace_read_options spare = {
        .timeout_ms = PATIENCE_MS, .contract = TERRACE_CONTRACT_FRESH, .spare_ms = 60000};
    play_open(&scene, &play, "v");
    keep(&scene);
    play.value = NULL;
    assert_true(asks(&scene, &spare, &told));
    assert_int_equal(told.status, TERRACE_STALE);
    assert_int_equal(told.size, 1);
    assert_int_equal(told.reason, TERRACE_REASON_CONTRACT);
    scene_close(&scene);
}

static void what_the_node_does_not_allow_is_asked_again(void **state)
{
    (void)state;
    struct scene scene;
    struct play play;
    struct told told;
    play_open(&scene, &play, "v");
    play.is_near = false;
    for (unsigned i = 0; i < 20; i++) {
        assert_true(asks(&scene, NULL, &told));
        assert_int_equal(told.status, TERRACE_OK);
    }
    scene_close(&scene);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_a_read_brings_while_a_write_is_under_way_ends_with_its_answer),
        cmocka_unit_test(an_event_in_front_of_the_answer_keeps_it_out),
        cmocka_unit_test(a_skipped_event_ends_the_connection_and_what_it_kept),
        cmocka_unit_test(a_read_past_l0_that_shows_another_value_ends_what_is_kept),
        cmocka_unit_test(what_the_node_cannot_answer_leaves_what_may_be_handed_out_as_stale),
        cmocka_unit_test(what_the_node_does_not_allow_is_asked_again),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
