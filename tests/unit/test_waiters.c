/* SPDX-License-Identifier: BSD-3-Clause */
/* Who waits for the bus, and when a wait is over: the rules of waiters.h one by one, with beats written by hand. */
#include "tests/unit/l1_help.h"
#include "tiers/waiters.h"

enum {
    SELF = 1,
    OTHER = 2,
    T_MS = 1000,
    PATIENCE_MS = 1003,
    FENCED_MS = PATIENCE_MS + 1,
    NOW_MS = 100000
};

struct asker {
    struct coherence_waiter waiter;
    unsigned ended;
    enum status status;
    struct waiters *again; /* asks again from inside */
};

static void on_done(struct coherence_waiter *waiter, enum status status)
{
    struct asker *asker = (struct asker *)(void *)waiter;
    asker->ended++;
    asker->status = status;
    if (asker->again != NULL) {
        struct waiters *waiters = asker->again;
        asker->again = NULL;
        assert_int_equal(waiters_add(waiters, waiter, NOW_MS), OK);
    }
}

struct scene {
    struct waiters waiters;
    struct peers peers;
    int64_t now_ms;
};

static void hear(struct scene *scene, uint64_t node, uint64_t applied)
{
    const struct peer beat = {.node = node, .bound_ms = T_MS, .applied_seq = applied};
    assert_int_equal(peers_hear(&scene->peers, &beat, scene->now_ms), OK);
    waiters_look(&scene->waiters, &scene->peers, scene->now_ms);
}

/* Two nodes that beat just now, on a bus that has been whole for long. */
static struct scene scene_open(void)
{
    return (struct scene){.now_ms = NOW_MS};
}

static void scene_begin(struct scene *scene)
{
    waiters_open(&scene->waiters);
    scene->peers.self = SELF;
    hear(scene, SELF, 0);
    hear(scene, OTHER, 0);
}

static void ask(struct scene *scene, struct asker *asker, enum waiter_kind kind, int64_t within_ms)
{
    *asker = (struct asker){.waiter = {.kind = kind,
                                       .seq = asker->waiter.seq,
                                       .deadline_ms = scene->now_ms + within_ms,
                                       .on_done = on_done}};
    assert_int_equal(waiters_add(&scene->waiters, &asker->waiter, scene->now_ms), OK);
}

static void home(struct scene *scene, uint64_t marker, uint64_t seq)
{
    waiters_home(&scene->waiters, marker, seq, &scene->peers, scene->now_ms);
}

#define SCENE(name)        \
    struct scene name;     \
    (name) = scene_open(); \
    scene_begin(&(name))

static void all_of_one_turn_share_a_marker(void **state)
{
    (void)state;
    SCENE(scene);
    struct asker a = {0};
    struct asker b = {0};
    assert_int_equal(waiters_need(&scene.waiters, NOW_MS), NEED_NOTHING);
    ask(&scene, &a, WAITER_MARKER, 100);
    ask(&scene, &b, WAITER_MARKER, 100);
    assert_int_equal(waiters_need(&scene.waiters, NOW_MS), NEED_MARKER);
    const uint64_t marker = waiters_sent(&scene.waiters);
    assert_int_equal(waiters_need(&scene.waiters, NOW_MS), NEED_NOTHING);
    home(&scene, marker, 41);
    assert_int_equal(a.ended, 1);
    assert_int_equal(b.ended, 1);
    assert_int_equal(a.status, OK);
    assert_int_equal(a.waiter.seq, 41);
    assert_int_equal(b.waiter.seq, 41);
    assert_int_equal(scene.waiters.count, 0);
    peers_done(&scene.peers);
}

static void who_asks_after_the_marker_left_needs_another(void **state)
{
    (void)state;
    SCENE(scene);
    struct asker a = {0};
    struct asker b = {0};
    ask(&scene, &a, WAITER_MARKER, 100);
    const uint64_t first = waiters_sent(&scene.waiters);
    ask(&scene, &b, WAITER_MARKER, 100);
    assert_int_equal(waiters_need(&scene.waiters, NOW_MS), NEED_MARKER);
    home(&scene, first, 41);
    assert_int_equal(a.ended, 1);
    assert_int_equal(b.ended, 0);
    const uint64_t second = waiters_sent(&scene.waiters);
    home(&scene, second, 42);
    assert_int_equal(b.waiter.seq, 42);
    peers_done(&scene.peers);
}

static void a_later_marker_answers_for_an_earlier_one(void **state)
{
    (void)state;
    SCENE(scene);
    struct asker a = {0};
    struct asker b = {0};
    ask(&scene, &a, WAITER_MARKER, 100);
    (void)waiters_sent(&scene.waiters);
    ask(&scene, &b, WAITER_MARKER, 100);
    home(&scene, waiters_sent(&scene.waiters), 42);
    assert_int_equal(a.waiter.seq, 42);
    assert_int_equal(b.waiter.seq, 42);
    assert_int_equal(a.ended, 1);
    peers_done(&scene.peers);
}

static void everywhere_needs_an_ack_of_each_live_node(void **state)
{
    (void)state;
    SCENE(scene);
    struct asker a = {0};
    ask(&scene, &a, WAITER_EVERYWHERE, 500);
    assert_int_equal(waiters_need(&scene.waiters, NOW_MS), NEED_ACK);
    home(&scene, waiters_sent(&scene.waiters), 41);
    assert_int_equal(a.ended, 0);
    hear(&scene, OTHER, 40);
    assert_int_equal(a.ended, 0);
    hear(&scene, OTHER, 41);
    assert_int_equal(a.ended, 1);
    assert_int_equal(a.status, OK);
    assert_int_equal(a.waiter.seq, 41);
    peers_done(&scene.peers);
}

static void alone_on_the_bus_everywhere_is_here(void **state)
{
    (void)state;
    struct scene scene = scene_open();
    waiters_open(&scene.waiters);
    scene.peers.self = SELF;
    hear(&scene, SELF, 0);
    struct asker a = {0};
    ask(&scene, &a, WAITER_EVERYWHERE, 500);
    home(&scene, waiters_sent(&scene.waiters), 41);
    assert_int_equal(a.ended, 1);
    assert_int_equal(a.status, OK);
    peers_done(&scene.peers);
}

static void a_silent_node_is_waited_for_until_its_fence_is_closed_and_not_longer(void **state)
{
    (void)state;
    SCENE(scene);
    struct asker a = {0};
    scene.now_ms += 200; /* OTHER was heard 200 ms ago */
    hear(&scene, SELF, 0);
    ask(&scene, &a, WAITER_EVERYWHERE, 5000);
    home(&scene, waiters_sent(&scene.waiters), 41);
    scene.now_ms = NOW_MS + PATIENCE_MS;
    waiters_look(&scene.waiters, &scene.peers, scene.now_ms);
    assert_int_equal(a.ended, 0);
    scene.now_ms++;
    waiters_look(&scene.waiters, &scene.peers, scene.now_ms);
    assert_int_equal(a.ended, 1);
    assert_int_equal(a.status, OK);
    peers_done(&scene.peers);
}

static void a_node_that_beats_but_lags_is_waited_for_until_the_bound_and_not_longer(void **state)
{
    (void)state;
    SCENE(scene);
    struct asker a = {0};
    ask(&scene, &a, WAITER_EVERYWHERE, 5000);
    home(&scene, waiters_sent(&scene.waiters), 41);
    assert_int_equal(waiters_due_ms(&scene.waiters, scene.now_ms), NOW_MS + FENCED_MS);
    while (scene.now_ms < NOW_MS + FENCED_MS - 1) {
        scene.now_ms++;
        hear(&scene, OTHER, 40);
        assert_int_equal(a.ended, 0);
    }
    scene.now_ms++;
    hear(&scene, OTHER, 40);
    assert_int_equal(a.ended, 1);
    assert_int_equal(a.status, OK);
    peers_done(&scene.peers);
}

static void without_its_marker_home_nothing_is_known_and_time_proves_nothing(void **state)
{
    (void)state;
    SCENE(scene);
    struct asker a = {0};
    ask(&scene, &a, WAITER_EVERYWHERE, 5000);
    const uint64_t marker = waiters_sent(&scene.waiters);
    scene.now_ms += 3000;
    hear(&scene, OTHER, 1000); /* whatever it says */
    assert_int_equal(a.ended, 0);
    home(&scene, marker, 41);
    assert_int_equal(a.ended, 1); /* all that lived when it asked are fenced by now */
    assert_int_equal(a.status, OK);
    peers_done(&scene.peers);
}

static void the_time_counts_from_the_question_not_from_the_marker(void **state)
{
    (void)state;
    SCENE(scene);
    struct asker a = {0};
    ask(&scene, &a, WAITER_EVERYWHERE, 5000);
    scene.now_ms += 300;
    home(&scene, waiters_sent(&scene.waiters), 41);
    assert_int_equal(a.ended, 0);
    assert_int_equal(waiters_due_ms(&scene.waiters, scene.now_ms), NOW_MS + FENCED_MS);
    waiters_end(&scene.waiters);
    peers_done(&scene.peers);
}

static void after_a_gap_in_the_bus_only_time_proves(void **state)
{
    (void)state;
    SCENE(scene);
    struct asker a = {0};
    peers_missed(&scene.peers, NOW_MS);
    ask(&scene, &a, WAITER_EVERYWHERE, 5000);
    home(&scene, waiters_sent(&scene.waiters), 41);
    hear(&scene, OTHER, 41);
    assert_int_equal(a.ended, 0); /* who else is there? */
    scene.now_ms = NOW_MS + FENCED_MS;
    waiters_look(&scene.waiters, &scene.peers, scene.now_ms);
    assert_int_equal(a.ended, 1);
    assert_int_equal(a.status, OK);
    peers_done(&scene.peers);
}

static void a_deadline_before_that_is_a_timeout(void **state)
{
    (void)state;
    SCENE(scene);
    struct asker a = {0};
    ask(&scene, &a, WAITER_EVERYWHERE, 300);
    home(&scene, waiters_sent(&scene.waiters), 41);
    assert_int_equal(waiters_due_ms(&scene.waiters, scene.now_ms), NOW_MS + 300);
    scene.now_ms += 299;
    waiters_look(&scene.waiters, &scene.peers, scene.now_ms);
    assert_int_equal(a.ended, 0);
    scene.now_ms++;
    waiters_look(&scene.waiters, &scene.peers, scene.now_ms);
    assert_int_equal(a.ended, 1);
    assert_int_equal(a.status, TIMEOUT);
    assert_int_equal(waiters_due_ms(&scene.waiters, scene.now_ms), INT64_MAX);
    peers_done(&scene.peers);
}

static void applied_is_done_by_any_frame_that_is_far_enough(void **state)
{
    (void)state;
    SCENE(scene);
    struct asker a = {.waiter = {.seq = 41}};
    ask(&scene, &a, WAITER_APPLIED, 500);
    assert_int_equal(waiters_need(&scene.waiters, NOW_MS), NEED_NOTHING);
    waiters_applied(&scene.waiters, 40);
    assert_int_equal(a.ended, 0);
    waiters_applied(&scene.waiters, 42);
    assert_int_equal(a.ended, 1);
    assert_int_equal(a.status, OK);
    assert_int_equal(a.waiter.seq, 41);
    peers_done(&scene.peers);
}

static void a_void_bus_asks_everybody_again(void **state)
{
    (void)state;
    SCENE(scene);
    struct asker a = {0};
    struct asker b = {0};
    ask(&scene, &a, WAITER_MARKER, 500);
    ask(&scene, &b, WAITER_EVERYWHERE, 500);
    const uint64_t old = waiters_sent(&scene.waiters);
    home(&scene, old, 41); /* a is done, b waits for OTHER */
    waiters_void(&scene.waiters, scene.now_ms);
    assert_int_equal(waiters_need(&scene.waiters, NOW_MS), NEED_ACK);
    hear(&scene, OTHER, 41); /* of before: proves nothing */
    assert_int_equal(b.ended, 0);
    home(&scene, waiters_sent(&scene.waiters), 3);
    hear(&scene, OTHER, 3);
    assert_int_equal(b.ended, 1);
    assert_int_equal(b.waiter.seq, 3);
    peers_done(&scene.peers);
}

static void what_time_promised_once_stays_true_without_a_bus(void **state)
{
    (void)state;
    SCENE(scene);
    struct asker a = {0};
    ask(&scene, &a, WAITER_EVERYWHERE, 5000);
    home(&scene, waiters_sent(&scene.waiters), 41);
    waiters_void(&scene.waiters, scene.now_ms);
    scene.now_ms += FENCED_MS;
    waiters_look(&scene.waiters, &scene.peers, scene.now_ms);
    assert_int_equal(a.ended, 1);
    assert_int_equal(a.status, OK);
    peers_done(&scene.peers);
}

static void a_lost_marker_is_sent_again_but_not_at_once(void **state)
{
    (void)state;
    SCENE(scene);
    struct asker a = {0};
    ask(&scene, &a, WAITER_MARKER, 500);
    waiters_lost(&scene.waiters, waiters_sent(&scene.waiters), NOW_MS + 10);
    assert_int_equal(waiters_due_ms(&scene.waiters, NOW_MS), NOW_MS + 10);
    assert_int_equal(waiters_need(&scene.waiters, NOW_MS + 9), NEED_NOTHING);
    assert_int_equal(waiters_need(&scene.waiters, NOW_MS + 10), NEED_MARKER);
    home(&scene, waiters_sent(&scene.waiters), 41);
    assert_int_equal(a.ended, 1);
    peers_done(&scene.peers);
}

static void who_gave_up_needs_no_marker(void **state)
{
    (void)state;
    SCENE(scene);
    struct asker a = {0};
    ask(&scene, &a, WAITER_EVERYWHERE, 10);
    waiters_look(&scene.waiters, &scene.peers, NOW_MS + 10);
    assert_int_equal(a.status, TIMEOUT);
    assert_int_equal(waiters_need(&scene.waiters, NOW_MS + 10), NEED_NOTHING);
    peers_done(&scene.peers);
}

static void a_waiter_may_ask_again_from_inside(void **state)
{
    (void)state;
    SCENE(scene);
    struct asker a = {0};
    ask(&scene, &a, WAITER_MARKER, 500);
    a.again = &scene.waiters;
    home(&scene, waiters_sent(&scene.waiters), 41);
    assert_int_equal(a.ended, 1);
    assert_int_equal(scene.waiters.count, 1);
    assert_int_equal(waiters_need(&scene.waiters, NOW_MS), NEED_MARKER);
    waiters_end(&scene.waiters);
    assert_int_equal(a.ended, 2);
    assert_int_equal(a.status, L2_DOWN);
    assert_int_equal(scene.waiters.count, 0);
    peers_done(&scene.peers);
}

static void a_cap_is_a_deadline_for_all(void **state)
{
    (void)state;
    SCENE(scene);
    struct asker a = {0};
    struct asker b = {0};
    ask(&scene, &a, WAITER_MARKER, 60000);
    waiters_cap(&scene.waiters, NOW_MS + 100);
    ask(&scene, &b, WAITER_MARKER, 60000);
    assert_int_equal(waiters_due_ms(&scene.waiters, scene.now_ms), NOW_MS + 100);
    waiters_look(&scene.waiters, &scene.peers, NOW_MS + 100);
    assert_int_equal(a.status, TIMEOUT);
    assert_int_equal(b.status, TIMEOUT);
    peers_done(&scene.peers);
}

static void their_number_is_bounded(void **state)
{
    (void)state;
    SCENE(scene);
    struct asker *askers = calloc(LIMIT_WAITERS + 1, sizeof *askers);
    assert_non_null(askers);
    for (size_t i = 0; i < LIMIT_WAITERS; i++) {
        ask(&scene, &askers[i], WAITER_MARKER, 100);
    }
    struct asker *last = &askers[LIMIT_WAITERS];
    last->waiter.on_done = on_done;
    assert_int_equal(waiters_add(&scene.waiters, &last->waiter, NOW_MS), BUSY);
    assert_int_equal(last->ended, 0);
    waiters_end(&scene.waiters);
    assert_int_equal(askers[LIMIT_WAITERS - 1].ended, 1);
    free(askers);
    peers_done(&scene.peers);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(all_of_one_turn_share_a_marker),
        cmocka_unit_test(who_asks_after_the_marker_left_needs_another),
        cmocka_unit_test(a_later_marker_answers_for_an_earlier_one),
        cmocka_unit_test(everywhere_needs_an_ack_of_each_live_node),
        cmocka_unit_test(alone_on_the_bus_everywhere_is_here),
        cmocka_unit_test(a_silent_node_is_waited_for_until_its_fence_is_closed_and_not_longer),
        cmocka_unit_test(a_node_that_beats_but_lags_is_waited_for_until_the_bound_and_not_longer),
        cmocka_unit_test(without_its_marker_home_nothing_is_known_and_time_proves_nothing),
        cmocka_unit_test(the_time_counts_from_the_question_not_from_the_marker),
        cmocka_unit_test(after_a_gap_in_the_bus_only_time_proves),
        cmocka_unit_test(a_deadline_before_that_is_a_timeout),
        cmocka_unit_test(applied_is_done_by_any_frame_that_is_far_enough),
        cmocka_unit_test(a_void_bus_asks_everybody_again),
        cmocka_unit_test(what_time_promised_once_stays_true_without_a_bus),
        cmocka_unit_test(a_lost_marker_is_sent_again_but_not_at_once),
        cmocka_unit_test(who_gave_up_needs_no_marker),
        cmocka_unit_test(a_waiter_may_ask_again_from_inside),
        cmocka_unit_test(a_cap_is_a_deadline_for_all),
        cmocka_unit_test(their_number_is_bounded),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
