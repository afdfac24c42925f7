/* SPDX-License-Identifier: BSD-3-Clause */
/* Who is heard on the bus, who counts as live, and what is known about how far they are. */
#include "tests/unit/l1_help.h"
#include "tiers/peers.h"

enum {
    SELF = 1,
    T_MS = 1000,
    PATIENCE_MS = 1003 /* T, a thousandth of it, and two of rounding */
};

static void hear(struct peers *peers, uint64_t node, uint32_t bound_ms, uint64_t applied,
                 int64_t now_ms)
{
    const struct peer beat = {.node = node, .bound_ms = bound_ms, .applied_seq = applied};
    assert_int_equal(peers_hear(peers, &beat, now_ms), OK);
}

static void patience_is_t_and_a_thousandth_rounded_up(void **state)
{
    (void)state;
    assert_int_equal(peers_patience_of(1000), PATIENCE_MS);
    assert_int_equal(peers_patience_of(10), 13);
    assert_int_equal(peers_patience_of(1001), 1005);
    assert_int_equal(peers_patience_of(60000), 60062);
}

static void a_node_is_live_for_its_patience_after_its_last_beat(void **state)
{
    (void)state;
    struct peers peers = {.self = SELF};
    assert_int_equal(peers_live(&peers, 5000), 0);
    assert_int_equal(peers_patience_ms(&peers, 5000), 0);
    hear(&peers, 2, T_MS, 0, 5000);
    assert_int_equal(peers_live(&peers, 5000 + PATIENCE_MS), 1);
    assert_int_equal(peers_live(&peers, 5000 + PATIENCE_MS + 1), 0);
    assert_int_equal(peers_patience_ms(&peers, 5000 + PATIENCE_MS + 1), 0);
    peers_done(&peers);
}

static void the_largest_t_of_a_live_node_counts_for_all(void **state)
{
    (void)state;
    struct peers peers = {.self = SELF};
    hear(&peers, 2, 100, 0, 5000);
    hear(&peers, 3, 4000, 0, 5000);
    assert_int_equal(peers_patience_ms(&peers, 5000), 4006);
    assert_int_equal(peers_live(&peers, 9006), 2);
    assert_int_equal(peers_live(&peers, 9007), 0);
    hear(&peers, 2, 100, 0, 9007); /* the large one is silent for too long by its own measure */
    assert_int_equal(peers_patience_ms(&peers, 9007), 103);
    assert_int_equal(peers_live(&peers, 9007), 1);
    peers_done(&peers);
}

static void reads_are_those_of_the_live_others(void **state)
{
    (void)state;
    struct peers peers = {.self = SELF};
    size_t nodes = 9;
    assert_int_equal(peers_reads_per_s(&peers, 5000, &nodes), 0);
    assert_int_equal(nodes, 0);
    for (uint64_t node = SELF; node < SELF + 4; node++) {
        const struct peer beat = {
            .node = node, .bound_ms = T_MS, .reads_per_s = 100, .has_left = node == SELF + 3};
        assert_int_equal(peers_hear(&peers, &beat, 5000 + 100 * (int64_t)node), OK);
    }
    assert_int_equal(peers_reads_per_s(&peers, 5400, &nodes), 200);
    assert_int_equal(nodes, 2);
    assert_int_equal(peers_reads_per_s(&peers, 5250 + PATIENCE_MS, &nodes), 100);
    assert_int_equal(nodes, 1);
    peers_done(&peers);
}

static void a_later_beat_replaces_what_a_node_said(void **state)
{
    (void)state;
    struct peers peers = {.self = SELF};
    hear(&peers, 2, 4000, 7, 5000);
    hear(&peers, 2, 100, 9, 5010);
    assert_int_equal(peers.count, 1);
    assert_int_equal(peers.at[0].applied_seq, 9);
    assert_int_equal(peers.at[0].beat_at_ms, 5010);
    assert_int_equal(peers_patience_ms(&peers, 5010), 103);
    peers_done(&peers);
}

static void all_have_applied_when_each_other_live_node_says_so(void **state)
{
    (void)state;
    struct peers peers = {.self = SELF};
    hear(&peers, SELF, T_MS, 0, 5000); /* its own report is always behind: it does not count */
    hear(&peers, 2, T_MS, 40, 5000);
    hear(&peers, 3, T_MS, 41, 5000);
    const uint64_t heard = peers.heard;
    assert_false(peers_have_applied(&peers, 41, heard, PATIENCE_MS, 5000));
    assert_true(peers_have_applied(&peers, 40, heard, PATIENCE_MS, 5000));
    hear(&peers, 2, T_MS, 41, 5001);
    assert_true(peers_have_applied(&peers, 41, heard, PATIENCE_MS, 5001));
    peers_done(&peers);
}

static void a_silent_node_does_not_hold_up(void **state)
{
    (void)state;
    struct peers peers = {.self = SELF};
    hear(&peers, 2, T_MS, 40, 5000);
    assert_false(peers_have_applied(&peers, 41, 1, PATIENCE_MS, 5000 + PATIENCE_MS));
    assert_true(peers_have_applied(&peers, 41, 1, PATIENCE_MS, 5000 + PATIENCE_MS + 1));
    peers_done(&peers);
}

static void a_node_that_came_later_does_not_hold_up(void **state)
{
    (void)state;
    struct peers peers = {.self = SELF};
    hear(&peers, 2, T_MS, 41, 5000);
    const uint64_t heard = peers.heard;
    hear(&peers, 3, T_MS, 0, 5001);
    assert_true(peers_have_applied(&peers, 41, heard, PATIENCE_MS, 5001));
    assert_false(peers_have_applied(&peers, 41, peers.heard, PATIENCE_MS, 5001));
    peers_done(&peers);
}

static void a_node_that_was_silent_begins_a_new_life(void **state)
{
    (void)state;
    struct peers peers = {.self = SELF};
    hear(&peers, 2, T_MS, 0, 5000);
    hear(&peers, SELF, T_MS, 0, 9000);
    const uint64_t heard = peers.heard;
    hear(&peers, 2, T_MS, 0, 9001);
    assert_true(peers_have_applied(&peers, 41, heard, PATIENCE_MS, 9001));
    hear(&peers, 2, T_MS, 0, 9500); /* the same life */
    assert_int_equal(peers.at[0].known_since, heard + 1);
    peers_done(&peers);
}

static void another_epoch_forgets_how_far_they_were(void **state)
{
    (void)state;
    struct peers peers = {.self = SELF};
    hear(&peers, 2, T_MS, 41, 5000);
    peers_new_epoch(&peers, 5001);
    assert_false(peers_have_applied(&peers, 1, peers.heard, PATIENCE_MS, 5001));
    assert_int_equal(peers_live(&peers, 5001), 1);
    assert_false(peers_are_all(&peers, PATIENCE_MS, 5001));
    peers_done(&peers);
}

static void they_are_all_when_nothing_was_missed_for_the_patience(void **state)
{
    (void)state;
    struct peers peers = {.self = SELF};
    peers_missed(&peers, 5000);
    assert_false(peers_are_all(&peers, PATIENCE_MS, 5000 + PATIENCE_MS));
    assert_true(peers_are_all(&peers, PATIENCE_MS, 5000 + PATIENCE_MS + 1));
    peers_done(&peers);
}

static void one_node_too_many_and_the_eldest_goes(void **state)
{
    (void)state;
    struct peers peers = {.self = SELF};
    for (uint64_t i = 0; i < PEERS_MAX; i++) {
        hear(&peers, 100 + i, T_MS, 0, 5000 + (int64_t)i);
    }
    assert_int_equal(peers.count, PEERS_MAX);
    const int64_t later_ms = 5000 + PATIENCE_MS + 1; /* the first is silent for too long by now */
    hear(&peers, 9, T_MS, 0, later_ms);
    assert_int_equal(peers.count, PEERS_MAX);
    assert_true(peers_are_all(&peers, PATIENCE_MS, later_ms));
    hear(&peers, 10, T_MS, 0, later_ms); /* and now one goes that was live */
    assert_int_equal(peers.count, PEERS_MAX);
    assert_false(peers_are_all(&peers, PATIENCE_MS, later_ms));
    for (size_t i = 0; i < peers.count; i++) {
        assert_true(peers.at[i].node != 100 && peers.at[i].node != 101);
    }
    peers_done(&peers);
}

static void who_said_goodbye_is_not_live_and_holds_nobody_up(void **state)
{
    (void)state;
    struct peers peers = {.self = SELF};
    const struct peer goodbye = {.node = 3, .bound_ms = 4000, .applied_seq = 40, .has_left = true};
    hear(&peers, 2, T_MS, 42, 5000);
    hear(&peers, 3, 4000, 40, 5000);
    assert_false(peers_have_applied(&peers, 42, peers.heard, 4006, 5001));
    assert_int_equal(peers_hear(&peers, &goodbye, 5001), OK);
    assert_true(peers_have_applied(&peers, 42, peers.heard, 4006, 5001));
    assert_int_equal(peers_live(&peers, 5001), 1);
    assert_int_equal(peers_patience_ms(&peers, 5001), 4006); /* for whom we do not hear */
    assert_int_equal(peers_patience_ms(&peers, 5001 + 4007), 0);
    hear(&peers, 3, 4000, 40, 5002); /* another life, should it come back with its id */
    assert_int_equal(peers_live(&peers, 5002), 2);
    assert_true(peers_have_applied(&peers, 42, peers.heard - 1, 4006, 5002));
    peers_done(&peers);
}

static void who_was_not_heard_for_an_hour_is_forgotten(void **state)
{
    (void)state;
    struct peers peers = {.self = SELF};
    hear(&peers, 2, T_MS, 0, 5000);
    hear(&peers, 3, T_MS, 0, 5001);
    peers_forget(&peers, 5000 + PEERS_KEPT_MS);
    assert_int_equal(peers.count, 2);
    peers_forget(&peers, 5001 + PEERS_KEPT_MS);
    assert_int_equal(peers.count, 1);
    assert_int_equal(peers.at[0].node, 3);
    peers_done(&peers);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(patience_is_t_and_a_thousandth_rounded_up),
        cmocka_unit_test(a_node_is_live_for_its_patience_after_its_last_beat),
        cmocka_unit_test(the_largest_t_of_a_live_node_counts_for_all),
        cmocka_unit_test(reads_are_those_of_the_live_others),
        cmocka_unit_test(a_later_beat_replaces_what_a_node_said),
        cmocka_unit_test(all_have_applied_when_each_other_live_node_says_so),
        cmocka_unit_test(a_silent_node_does_not_hold_up),
        cmocka_unit_test(a_node_that_came_later_does_not_hold_up),
        cmocka_unit_test(a_node_that_was_silent_begins_a_new_life),
        cmocka_unit_test(another_epoch_forgets_how_far_they_were),
        cmocka_unit_test(they_are_all_when_nothing_was_missed_for_the_patience),
        cmocka_unit_test(one_node_too_many_and_the_eldest_goes),
        cmocka_unit_test(who_said_goodbye_is_not_live_and_holds_nobody_up),
        cmocka_unit_test(who_was_not_heard_for_an_hour_is_forgotten),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
