/* SPDX-License-Identifier: BSD-3-Clause */
/* Numbering, epochs, malformed frames and the stream hash: COHERENCE T4, T6 and section 4. */
#include "tests/unit/coherence_help.h"

/* The frame `seq` of another node, whatever came before. */
static void peer_at(struct stage *stage, uint64_t seq)
{
    stage->seq = seq - 1;
    stage_peer(stage);
}

static void assert_closed(const struct stage *stage)
{
    assert_false(stage_fresh(stage));
    assert_int_equal(stage_horizon(stage), 0);
    assert_int_equal(stage_floor(stage), stage->now_ms + 1);
    assert_int_equal(stage_described(stage).state, COHERENCE_CATCHUP);
    assert_true(strlen(stage_described(stage).reason) > 0);
}

/* --- numbering --------------------------------------------------------------------------------------------------- */

static void the_first_frame_after_the_confirmation_defines_the_start(void **state)
{
    (void)state;
    struct stage stage;
    stage_open_confirmed(&stage);
    stage.seq = 1000;
    stage_sync(&stage);
    assert_true(stage_fresh(&stage));
    assert_int_equal(stage_described(&stage).seq, 1001);
    assert_int_equal(stage_count(&stage, M_BUS_HOLES), 0);
    coherence_on_bus_lost(stage.coherence, "reset", stage.now_ms);
    stage_bus_up(&stage);
    stage_confirm(&stage);
    assert_int_equal(stage_described(&stage).seq, 0);
    stage.seq = 2000; /* what happened meanwhile is covered by the floor */
    stage_sync(&stage);
    assert_true(stage_fresh(&stage));
    assert_int_equal(stage_count(&stage, M_BUS_HOLES), 0);
    stage_done(&stage);
}

static void frames_in_order_keep_the_fence_open(void **state)
{
    (void)state;
    struct stage stage;
    stage_open_synced(&stage);
    for (int i = 0; i < 100; i++) {
        stage_peer(&stage);
    }
    assert_true(stage_fresh(&stage));
    assert_int_equal(stage_described(&stage).seq, 141);
    assert_int_equal(stage_count(&stage, M_BUS_FRAMES), 101);
    stage_done(&stage);
}

static void a_hole_closes_the_fence_until_the_next_echo(void **state)
{
    (void)state;
    struct stage stage;
    stage_open_synced(&stage);
    assert_int_equal(stage_fill(&stage, "k", stage_claim(&stage, "k"), stage.now_ms), OK);
    stage.now_ms += 1;
    peer_at(&stage, 43); /* 42 is missing */
    assert_closed(&stage);
    assert_int_equal(stage_count(&stage, M_BUS_HOLES), 1);
    assert_true(atomic_load(&stage.view->may_install));
    stage_peer(&stage);
    assert_false(stage_fresh(&stage)); /* order alone does not open */
    stage_sync(&stage);
    assert_true(stage_fresh(&stage));
    assert_false(stage_serves(&stage, "k"));
    assert_int_equal(l1_count(stage.l1, 0), 1);
    stage_done(&stage);
}

static void our_own_echo_behind_a_hole_does_not_open(void **state)
{
    (void)state;
    struct stage stage;
    stage_open_synced(&stage);
    stage_beat(&stage);
    stage.seq++;
    stage_echo(&stage);
    assert_closed(&stage);
    stage_sync(&stage);
    assert_true(stage_fresh(&stage));
    stage_done(&stage);
}

static void a_repeated_frame_is_a_hole(void **state)
{
    (void)state;
    struct stage stage;
    stage_open_synced(&stage);
    stage_peer(&stage);
    peer_at(&stage, stage.seq);
    assert_closed(&stage);
    assert_int_equal(stage_count(&stage, M_BUS_HOLES), 1);
    stage_sync(&stage);
    assert_true(stage_fresh(&stage));
    stage_done(&stage);
}

static void a_smaller_seq_is_a_hole_and_the_numbering_goes_on_from_there(void **state)
{
    (void)state;
    struct stage stage;
    stage_open_synced(&stage);
    peer_at(&stage, 7);
    assert_closed(&stage);
    assert_int_equal(stage_count(&stage, M_BUS_HOLES), 1);
    stage_sync(&stage);
    assert_true(stage_fresh(&stage));
    assert_int_equal(stage_described(&stage).seq, 8);
    stage_done(&stage);
}

static void a_frame_of_keys_has_one_seq_and_ends_all_its_keys(void **state)
{
    (void)state;
    struct stage stage;
    stage_open_synced(&stage);
    help_set(stage.l1, 0, "a", "v", ITEM_NEVER, stage.now_ms);
    help_set(stage.l1, 3, "b", "v", ITEM_NEVER, stage.now_ms);
    struct buf body = {0};
    assert_int_equal(frame_append_key(&body, 0, SLICE_LITERAL("a")), OK);
    assert_int_equal(frame_append_key(&body, 3, SLICE_LITERAL("b")), OK);
    struct frame frame = stage_frame(&stage, PEER, 0, stage.seq + 1);
    frame.type = FRAME_KEYS;
    frame.count = 2;
    frame.body = buf_slice(&body);
    stage_publish(&stage, &frame);
    stage.seq++;
    assert_int_equal(l1_count(stage.l1, 0) + l1_count(stage.l1, 3), 0);
    stage_peer(&stage);
    assert_true(stage_fresh(&stage));
    frame.body.size--; /* the last key is cut */
    frame.seq_first = stage.seq + 1;
    stage_publish(&stage, &frame);
    assert_closed(&stage);
    buf_done(&body);
    stage_done(&stage);
}

/* Bans are about managed values, which are compared with them; plain ones end one by one. */
static void a_flush_makes_everything_suspect_and_a_ban_nothing(void **state)
{
    (void)state;
    static const enum frame_type types[] = {FRAME_PREFIX, FRAME_TAG, FRAME_FLUSH};
    for (size_t i = 0; i < sizeof types / sizeof types[0]; i++) {
        struct stage stage;
        stage_open_synced(&stage);
        const int64_t floor_ms = stage_floor(&stage);
        struct frame frame = stage_frame(&stage, PEER, 0, ++stage.seq);
        frame.type = types[i];
        frame.body = (struct slice){0};
        stage_publish(&stage, &frame);
        assert_int_equal(stage_floor(&stage),
                         types[i] == FRAME_FLUSH ? stage.now_ms + 1 : floor_ms);
        assert_true(stage_fresh(&stage));
        stage_done(&stage);
    }
}

static void unknown_frames_marked_skippable_are_only_counted(void **state)
{
    (void)state;
    struct stage stage;
    stage_open_synced(&stage);
    const int64_t floor_ms = stage_floor(&stage);
    struct frame frame = stage_frame(&stage, PEER, 0, ++stage.seq);
    frame.type = (enum frame_type)'z';
    frame.flags = FRAME_SKIPPABLE;
    stage_publish(&stage, &frame);
    frame.type = FRAME_WAKE;
    frame.seq_first = ++stage.seq;
    stage_publish(&stage, &frame);
    stage_peer(&stage);
    assert_true(stage_fresh(&stage));
    assert_int_equal(stage_floor(&stage), floor_ms);
    frame.type = (enum frame_type)'z';
    frame.flags = 0;
    frame.seq_first = ++stage.seq;
    stage_publish(&stage, &frame);
    assert_closed(&stage);
    stage_done(&stage);
}

/* --- epochs ------------------------------------------------------------------------------------------------------ */

static void a_larger_epoch_on_the_bus_is_adopted_and_closes(void **state)
{
    (void)state;
    struct stage stage;
    stage_open_synced(&stage);
    stage_beat(&stage);
    stage.epoch = (struct epoch){.counter = 6, .random = 66};
    stage.seq = 3; /* the numbering of a new epoch begins anywhere */
    stage.now_ms += 1;
    stage_peer(&stage);
    assert_closed(&stage);
    assert_false(atomic_load(&stage.view->may_install));
    assert_int_equal(stage_described(&stage).epoch.counter, 6);
    assert_int_equal(stage_described(&stage).epoch.random, 66);
    assert_int_equal(stage_described(&stage).seq, 4);
    assert_int_equal(coherence_known_epoch(stage.coherence), 6);
    assert_int_equal(stage_count(&stage, M_EPOCHS), 1);
    assert_int_equal(stage_count(&stage, M_BUS_HOLES), 0);
    stage_echo(&stage); /* sent in the old epoch */
    assert_false(stage_fresh(&stage));
    stage_answer(&stage);
    stage_sync(&stage);
    assert_int_equal(stage.known, 6);
    assert_true(stage_fresh(&stage));
    assert_true(atomic_load(&stage.view->may_install));
    stage_done(&stage);
}

/* Reads ask for at least a seq; a larger one of a former epoch covers nothing of this one. */
static void how_far_the_bus_was_applied_is_said_of_this_epoch_only(void **state)
{
    (void)state;
    struct stage stage;
    stage_open_synced(&stage);
    assert_int_equal(atomic_load(&stage.view->applied_seq), stage.seq);
    stage.epoch = (struct epoch){.counter = 6, .random = 66};
    stage.seq = 2;
    stage_beat(&stage);
    stage_answer(&stage);
    assert_int_equal(atomic_load(&stage.view->applied_seq), 0);
    stage_echo(&stage);
    assert_int_equal(atomic_load(&stage.view->applied_seq), 3);
    coherence_on_bus_lost(stage.coherence, "cut", stage.now_ms);
    assert_int_equal(atomic_load(&stage.view->applied_seq), 0);
    stage_done(&stage);
}

/* What is taken behind L2 while it is away must not count as older than all that was ever invalidated. */
static void what_was_heard_of_stays_known_while_the_bus_is_lost(void **state)
{
    (void)state;
    struct stage stage;
    stage_open(&stage);
    assert_int_equal(coherence_known_seq(stage.view), 0);
    stage_done(&stage);
    stage_open_synced(&stage);
    const uint64_t seq = stage.seq;
    assert_int_equal(coherence_known_seq(stage.view), seq);
    coherence_on_bus_lost(stage.coherence, "cut", stage.now_ms);
    assert_int_equal(coherence_known_seq(stage.view), seq);
    stage_done(&stage);
}

static void an_own_echo_that_brings_the_new_epoch_does_not_open(void **state)
{
    (void)state;
    struct stage stage;
    stage_open_synced(&stage);
    stage_beat(&stage);
    stage.epoch = (struct epoch){.counter = 6, .random = 66};
    stage_echo(&stage);
    assert_closed(&stage);
    stage_answer(&stage);
    assert_false(stage_fresh(&stage));
    assert_true(coherence_beat_due(stage.coherence, stage.now_ms + 10)); /* soon, not at T/4 */
    stage_sync(&stage);
    assert_true(stage_fresh(&stage));
    stage_done(&stage);
}

static void a_new_epoch_in_an_answer_closes_before_the_bus_has_said_anything(void **state)
{
    (void)state;
    struct stage stage;
    stage_open_synced(&stage);
    stage_beat(&stage);
    stage.epoch = (struct epoch){.counter = 6, .random = 66};
    stage_answer(&stage);
    assert_closed(&stage);
    stage_echo(&stage);
    assert_false(stage_fresh(&stage));
    stage_sync(&stage);
    assert_true(stage_fresh(&stage));
    stage_done(&stage);
}

static void a_new_epoch_in_another_links_greeting_closes(void **state)
{
    (void)state;
    struct stage stage;
    stage_open_synced(&stage);
    const struct beat_answer answer = {.epoch = {.counter = 9, .random = 99}};
    coherence_on_bus_up(stage.coherence, &answer, stage.now_ms);
    stage_confirm(&stage);
    assert_closed(&stage);
    assert_false(atomic_load(&stage.view->may_install));
    assert_int_equal(coherence_known_epoch(stage.coherence), 9);
    stage_done(&stage);
}

/* The mutant "old epoch accepted after a rollback" dies here: Redis restarted with an older snapshot and counts an epoch
 * that we have left behind. Its frames follow in number and bring our own nonce, and still prove nothing. */
static void frames_of_an_older_epoch_prove_nothing(void **state)
{
    (void)state;
    struct stage stage;
    stage_open_synced(&stage);
    const int64_t horizon_ms = stage_horizon(&stage);
    const struct epoch ours = stage.epoch;
    stage_beat(&stage);
    stage.epoch = (struct epoch){.counter = 4, .random = 55};
    stage_echo(&stage);
    stage_peer(&stage);
    assert_int_equal(stage_horizon(&stage), horizon_ms);
    assert_int_equal(stage_described(&stage).seq, 41);
    assert_int_equal(stage_described(&stage).epoch.counter, 5);
    assert_int_equal(coherence_known_epoch(stage.coherence), 5);
    assert_int_equal(stage_count(&stage, M_BUS_OTHER_EPOCH), 2);
    assert_int_equal(stage_count(&stage, M_BEATS_HOME), 1);
    stage.epoch = ours; /* and what belongs to ours still follows */
    stage.seq = 41;
    stage_peer(&stage);
    assert_int_equal(stage_count(&stage, M_BUS_HOLES), 0);
    stage_done(&stage);
}

static void an_older_epoch_in_an_answer_voids_that_beat_and_the_next_one_asks_for_ours(void **state)
{
    (void)state;
    struct stage stage;
    stage_open_synced(&stage);
    stage_beat(&stage);
    const uint64_t nonce = stage.nonce;
    const struct epoch ours = stage.epoch;
    stage.epoch = (struct epoch){.counter = 4, .random = 44};
    stage_answer(&stage);
    assert_int_equal(stage_described(&stage).epoch.counter, 5);
    stage.epoch = ours;
    stage_echo_of(&stage, nonce);
    assert_int_equal(stage_count(&stage, M_BEATS_HOME), 1);
    assert_true(coherence_beat_due(stage.coherence, stage.now_ms + 10));
    stage_beat(&stage);
    assert_int_equal(stage.known, 5);
    stage_done(&stage);
}

static void two_epochs_of_one_number_trust_neither_and_ask_for_a_larger(void **state)
{
    (void)state;
    struct stage stage;
    stage_open_synced(&stage);
    stage_beat(&stage);
    const struct epoch ours = stage.epoch;
    stage.epoch.random = 1;
    stage_peer(&stage);
    assert_closed(&stage);
    assert_false(atomic_load(&stage.view->may_install));
    assert_int_equal(stage_described(&stage).epoch.random, 55); /* not adopted */
    assert_int_equal(coherence_known_epoch(stage.coherence), 6);
    stage.epoch = ours;
    stage.seq = 41;
    stage_echo(&stage);
    assert_false(stage_fresh(&stage)); /* sent before the clash */
    stage_answer(&stage);
    stage_beat(&stage);
    assert_int_equal(stage.known, 6);
    stage.epoch = (struct epoch){.counter = 7, .random = 7};
    stage_answer(&stage);
    stage_sync(&stage);
    assert_true(stage_fresh(&stage));
    stage_done(&stage);
}

static void an_absurd_epoch_is_a_malformed_frame(void **state)
{
    (void)state;
    static const uint64_t counters[] = {0, 5 + (1u << 20) + 1, UINT64_MAX, EPOCH_COUNTER_MAX + 1};
    for (size_t i = 0; i < sizeof counters / sizeof counters[0]; i++) {
        struct stage stage;
        stage_open_synced(&stage);
        stage.epoch.counter = counters[i];
        stage_peer(&stage);
        assert_closed(&stage);
        assert_int_equal(stage_described(&stage).epoch.counter, 5);
        assert_int_equal(coherence_known_epoch(stage.coherence), 5);
        assert_int_equal(stage_count(&stage, M_BUS_MALFORMED), 1);
        stage_done(&stage);
    }
}

static void the_counter_has_an_end_that_no_frame_passes(void **state)
{
    (void)state;
    struct stage stage;
    stage_open_synced(&stage);
    stage.epoch = (struct epoch){.counter = EPOCH_COUNTER_MAX, .random = 1};
    stage_beat(&stage);
    stage_answer(&stage);
    stage_sync(&stage);
    assert_true(stage_fresh(&stage));
    stage.epoch.counter++;
    stage_peer(&stage);
    assert_closed(&stage);
    assert_int_equal(stage_described(&stage).epoch.counter, EPOCH_COUNTER_MAX);
    assert_int_equal(coherence_known_epoch(stage.coherence), EPOCH_COUNTER_MAX);
    stage.epoch = (struct epoch){.counter = EPOCH_COUNTER_MAX, .random = 2};
    stage_peer(&stage); /* a clash, and no larger number to ask for */
    assert_int_equal(coherence_known_epoch(stage.coherence), EPOCH_COUNTER_MAX);
    stage_beat(&stage);
    stage_done(&stage);
}

/* --- malformed frames -------------------------------------------------------------------------------------------- */

static void every_flipped_bit_of_a_frame_fails_closed(void **state)
{
    (void)state;
    struct stage stage;
    stage_open_synced(&stage);
    struct buf bytes = {0};
    const struct frame frame = stage_frame(&stage, PEER, 3, 42);
    assert_int_equal(frame_write(&bytes, &frame), OK);
    stage_done(&stage);
    for (size_t bit = 0; bit < bytes.size * 8; bit++) {
        stage_open_synced(&stage);
        bytes.data[bit / 8] = (char)(bytes.data[bit / 8] ^ (1 << bit % 8));
        stage_message(&stage, buf_slice(&bytes));
        /* Epoch 5 with a bit less is an old epoch: ignored. All else closes. */
        const bool is_old = stage_count(&stage, M_BUS_OTHER_EPOCH) > 0 && stage_fresh(&stage);
        if (is_old) {
            assert_int_equal(stage_described(&stage).seq, 41); /* so the next frame is a hole */
        } else {
            assert_closed(&stage);
        }
        bytes.data[bit / 8] = (char)(bytes.data[bit / 8] ^ (1 << bit % 8));
        stage_done(&stage);
    }
    buf_done(&bytes);
}

static void cut_foreign_and_wrong_frames_close_the_fence(void **state)
{
    (void)state;
    for (int what = 0; what < 4; what++) {
        struct stage stage;
        stage_open_synced(&stage);
        struct frame frame = stage_frame(&stage, NODE, 3, 42);
        switch (what) {
        case 0: frame.shard = 1; break;
        case 1: frame.body.size = 23; break;
        case 2: frame.body.size = 0; break;
        default: frame.type = FRAME_MARKER; frame.body.size = 8;
        }
        stage_publish(&stage, &frame);
        assert_closed(&stage);
        assert_int_equal(stage_count(&stage, M_BUS_MALFORMED), 1);
        assert_int_equal(stage_count(&stage, M_BUS_FRAMES), 1); /* the echo that had opened */
        stage_done(&stage);
    }
}

static void a_frame_before_the_confirmation_is_ignored(void **state)
{
    (void)state;
    struct stage stage;
    stage_open(&stage);
    stage_bus_up(&stage);
    stage.epoch.counter++;
    stage_peer(&stage);
    assert_int_equal(stage_described(&stage).epoch.counter, 5);
    assert_int_equal(stage_described(&stage).seq, 0);
    stage_done(&stage);
}

/* --- stream hash ------------------------------------------------------------------------------------------------- */

static void two_nodes_that_hear_the_same_have_the_same_stream_hash(void **state)
{
    (void)state;
    struct stage a;
    struct stage b;
    stage_open_synced(&a);
    stage_open_synced(&b);
    struct stage *const both[] = {&a, &b};
    for (int i = 0; i < 2; i++) {
        stage_announce(both[i], "x");
        stage_announce(both[i], "y");
        if (i == 0) { /* answered to this node alone: not a part */
            STAGE_SAYS(both[i], "*2\r\n$4\r\npong\r\n$3\r\nabc\r\n");
        }
        stage_peer(both[i]);
    }
    assert_true(stage_described(&a).stream_hash != 0);
    assert_int_equal(stage_described(&a).stream_hash, stage_described(&b).stream_hash);
    stage_beat(&a);
    assert_int_equal(a.beat.applied_seq, 42);
    assert_int_equal(a.beat.bound_ms, T_MS);
    stage_announce(&a, "lost");
    stage_peer(&a);
    stage_peer(&b); /* b did not hear of it */
    assert_true(stage_described(&b).stream_hash != 0);
    assert_int_not_equal(stage_described(&a).stream_hash, stage_described(&b).stream_hash);
    stage_announce(&a, "again");
    stage_announce(&b, "again");
    stage_peer(&a);
    stage_peer(&b); /* each segment begins afresh */
    assert_int_equal(stage_described(&a).stream_hash, stage_described(&b).stream_hash);
    stage_done(&a);
    stage_done(&b);
}

static void the_order_of_announcements_is_in_the_hash_and_so_are_flushes(void **state)
{
    (void)state;
    struct stage a;
    struct stage b;
    stage_open_synced(&a);
    stage_open_synced(&b);
    stage_announce(&a, "x");
    stage_announce(&a, "y");
    stage_announce(&b, "y");
    stage_announce(&b, "x");
    stage_peer(&a);
    stage_peer(&b);
    assert_int_not_equal(stage_described(&a).stream_hash, stage_described(&b).stream_hash);
    STAGE_SAYS(&a, "*3\r\n$7\r\nmessage\r\n$20\r\n__redis__:invalidate\r\n*-1\r\n");
    stage_peer(&a);
    stage_peer(&b);
    assert_int_not_equal(stage_described(&a).stream_hash, stage_described(&b).stream_hash);
    stage_done(&a);
    stage_done(&b);
}

static void a_segment_that_was_not_seen_whole_has_no_hash(void **state)
{
    (void)state;
    struct stage stage;
    stage_open_confirmed(&stage);
    stage_announce(&stage, "x");
    stage_peer(&stage);
    assert_int_equal(stage_described(&stage).stream_hash, 0); /* it began before the subscription */
    stage_peer(&stage);
    assert_true(stage_described(&stage).stream_hash != 0);
    peer_at(&stage, stage.seq + 2);
    assert_int_equal(stage_described(&stage).stream_hash, 0); /* a hole is inside */
    stage_peer(&stage);
    assert_true(stage_described(&stage).stream_hash != 0);
    STAGE_SAYS(&stage, "*3\r\n$7\r\nmessage\r\n$11\r\nterrace:bus\r\n$4\r\njunk\r\n");
    stage_peer(&stage);
    assert_int_equal(stage_described(&stage).stream_hash, 0); /* a frame that did not parse */
    stage.epoch.counter = 4;
    stage_peer(&stage);
    stage.epoch.counter = 5;
    stage.seq--;
    stage_peer(&stage);
    assert_int_equal(stage_described(&stage).stream_hash, 0); /* a frame of another epoch */
    stage_peer(&stage);
    assert_true(stage_described(&stage).stream_hash != 0);
    coherence_on_bus_lost(stage.coherence, "reset", stage.now_ms);
    stage_beat(&stage);
    assert_int_equal(stage.beat.applied_seq, 0);
    assert_int_equal(stage.beat.stream_hash, 0);
    stage_done(&stage);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_first_frame_after_the_confirmation_defines_the_start),
        cmocka_unit_test(frames_in_order_keep_the_fence_open),
        cmocka_unit_test(a_hole_closes_the_fence_until_the_next_echo),
        cmocka_unit_test(our_own_echo_behind_a_hole_does_not_open),
        cmocka_unit_test(a_repeated_frame_is_a_hole),
        cmocka_unit_test(a_smaller_seq_is_a_hole_and_the_numbering_goes_on_from_there),
        cmocka_unit_test(a_frame_of_keys_has_one_seq_and_ends_all_its_keys),
        cmocka_unit_test(a_flush_makes_everything_suspect_and_a_ban_nothing),
        cmocka_unit_test(unknown_frames_marked_skippable_are_only_counted),
        cmocka_unit_test(a_larger_epoch_on_the_bus_is_adopted_and_closes),
        cmocka_unit_test(how_far_the_bus_was_applied_is_said_of_this_epoch_only),
        cmocka_unit_test(what_was_heard_of_stays_known_while_the_bus_is_lost),
        cmocka_unit_test(an_own_echo_that_brings_the_new_epoch_does_not_open),
        cmocka_unit_test(a_new_epoch_in_an_answer_closes_before_the_bus_has_said_anything),
        cmocka_unit_test(a_new_epoch_in_another_links_greeting_closes),
        cmocka_unit_test(frames_of_an_older_epoch_prove_nothing),
        cmocka_unit_test(
            an_older_epoch_in_an_answer_voids_that_beat_and_the_next_one_asks_for_ours),
        cmocka_unit_test(two_epochs_of_one_number_trust_neither_and_ask_for_a_larger),
        cmocka_unit_test(an_absurd_epoch_is_a_malformed_frame),
        cmocka_unit_test(the_counter_has_an_end_that_no_frame_passes),
        cmocka_unit_test(every_flipped_bit_of_a_frame_fails_closed),
        cmocka_unit_test(cut_foreign_and_wrong_frames_close_the_fence),
        cmocka_unit_test(a_frame_before_the_confirmation_is_ignored),
        cmocka_unit_test(two_nodes_that_hear_the_same_have_the_same_stream_hash),
        cmocka_unit_test(the_order_of_announcements_is_in_the_hash_and_so_are_flushes),
        cmocka_unit_test(a_segment_that_was_not_seen_whole_has_no_hash),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
