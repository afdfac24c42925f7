/* SPDX-License-Identifier: BSD-3-Clause */
/* Every rule: a history that passes, and the smallest that does not. Times are tiny numbers of nanoseconds. */
#include "tests/unit/judge_help.h"

/* ------------------------------------------------------------------ unwritten */

static void what_nobody_wrote_is_found(void **state)
{
    struct story *story = *state;
    two_writes(story);
    read(story, 2, 111, 120);
    assert_rules(story, "");
    read(story, 3, 111, 120);
    read(story, HISTORY_FOREIGN, 111, 120);
    read_on(story, 2, 1, NODE_B, 111, 120)->key = 1;
    assert_rules(story, "unwritten, unwritten, unwritten");
}

static void what_is_written_only_later_is_found(void **state)
{
    struct story *story = *state;
    two_writes(story);
    read(story, 2, 20, 101);
    assert_rules(story, "");
    read(story, 2, 20, 99);
    assert_rules(story, "unwritten");
}

static void a_refused_write_never_shows(void **state)
{
    struct story *story = *state;
    two_writes(story);
    (void)begin_write(story, 3, 1, NODE_A, 200);
    end_write(story, 3, 1, NODE_A, 210, HISTORY_REFUSED);
    read(story, 2, 5000, 5010);
    assert_rules(story, "");
    read(story, 3, 220, 230);
    assert_rules(story, "unwritten");
    story->count -= 2;
    read(story, 3, 201, 205); /* before the refusal was known */
    assert_rules(story, "unwritten");
}

/* ------------------------------------------------------------------ stale */

static void an_old_value_is_right_until_the_bound_and_stale_after_it(void **state)
{
    struct story *story = *state;
    two_writes(story);
    read(story, 1, 110 + LATE, 9000);
    assert_rules(story, "");
    assert_int_equal(story->judge->nodes[NODE_B].ages.max_ns, LATE);
    read(story, 1, 110 + LATE + 1, 9000);
    assert_rules(story, "stale");
}

static void the_bound_counts_from_the_invocation_not_from_the_answer(void **state)
{
    struct story *story = *state;
    two_writes(story);
    read(story, 1, 110, 90000);
    assert_rules(story, "");
}

static void redis_itself_has_no_bound_to_hide_in(void **state)
{
    struct story *story = *state;
    two_writes(story);
    (void)read_on(story, 1, 1, REDIS, 110, 120);
    assert_rules(story, "");
    (void)read_on(story, 1, 2, REDIS, 111, 120);
    assert_rules(story, "stale");
}

static void writes_that_overlap_have_no_order(void **state)
{
    struct story *story = *state;
    set(story, 1, 1, 100);
    set(story, 2, 100, 150);
    read(story, 1, 9000, 9001);
    read(story, 2, 9000, 9001);
    assert_rules(story, "");
}

/* It had been taken 35 ms before it was stored: the deletion in between is later. */
static void what_a_load_stores_is_as_old_as_its_beginning(void **state)
{
    struct story *story = *state;
    for (uint32_t life_ms = 0; life_ms <= 35; life_ms += 35) {
        story->count = 0;
        (void)begin_write(story, 1, 7, NODE_B, 10 * MS);
        del(story, 2, 0, 20 * MS, 21 * MS);
        end_write(story, 1, 7, NODE_B, 50 * MS, HISTORY_OK);
        story->records[story->count - 1].life_ms = life_ms;
        read(story, 1, 60 * MS, 61 * MS);
        assert_rules(story, life_ms == 0 ? "" : "stale");
    }
}

static void a_write_is_known_to_have_happened_when_it_is_seen(void **state)
{
    struct story *story = *state;
    two_writes(story);
    (void)begin_write(story, 3, 1, NODE_A, 200); /* never answered */
    read(story, 2, 9000, 9010);
    assert_rules(story, "");
    read(story, 3, 300, 310);
    assert_rules(story, "stale");
}

static void what_was_seen_before_a_write_began_is_older_than_it(void **state)
{
    struct story *story = *state;
    set(story, 1, 1, 10);
    (void)begin_write(story, 2, 1, NODE_B, 20); /* never answered: any time */
    set(story, 3, 100, 110);
    read(story, 2, 9000, 9010);
    assert_rules(story, "");
    read(story, 2, 50, 60);
    assert_rules(story, "stale");
}

static void an_unknown_outcome_is_over_when_it_is_told(void **state)
{
    struct story *story = *state;
    set(story, 1, 1, 10);
    (void)begin_write(story, 2, 1, NODE_B, 20);
    end_write(story, 2, 1, NODE_B, 30, HISTORY_UNKNOWN);
    read(story, 1, 9000, 9010);
    read(story, 2, 9000, 9010);
    assert_rules(story, "");
    set(story, 3, 100, 110);
    read(story, 2, 9000, 9010);
    assert_rules(story, "stale, stale, stale");
}

static void a_lost_write_may_come_late(void **state)
{
    struct story *story = *state;
    set(story, 1, 1, 10);
    (void)begin_write(story, 2, 1, NODE_B, 20);
    end_write(story, 2, 1, NODE_B, 30, HISTORY_LOST);
    set(story, 3, 100, 110);
    read(story, 3, 5000, 5010);
    read(story, 2, 9000, 9010);
    assert_rules(story, "");
    set(story, 4, 9100, 9110);
    read(story, 2, 9111 + LATE, 20000);
    assert_rules(story, "stale");
}

static void what_is_marked_stale_has_the_grace(void **state)
{
    struct story *story = *state;
    story->grace_ns = 3000;
    two_writes(story);
    read_on(story, 1, 1, NODE_B, 110 + 3000, 9000)->what = HISTORY_MARKED_STALE;
    assert_rules(story, "");
    read_on(story, 1, 2, NODE_B, 110 + 3000 + SLACK + 1, 9000)->what = HISTORY_MARKED_STALE;
    (void)read_on(story, 1, 3, NODE_B, 110 + 3000, 9000);
    assert_rules(story, "stale, stale");
}

static void a_lost_acknowledged_write_is_found_in_the_end(void **state)
{
    struct story *story = *state;
    two_writes(story);
    read_on(story, 2, 1, REDIS, 5000, 5001)->what = HISTORY_FINAL;
    assert_rules(story, "");
    assert_int_equal(story->judge->read_back, 1);
    read_on(story, 1, 1, REDIS, 5000, 5002)->what = HISTORY_FINAL;
    assert_rules(story, "lost");
}

/* ------------------------------------------------------------------ nodes and sessions */

static void a_node_serves_nothing_older_than_what_it_acknowledged(void **state)
{
    struct story *story = *state;
    two_writes(story);
    (void)read_on(story, 1, 1, NODE_B, 111, 120);
    (void)read_on(story, 1, 2, NODE_A, 109, 120);
    assert_rules(story, "");
    (void)read_on(story, 1, 3, NODE_A, 110, 120);
    assert_rules(story, "node");
}

static void a_session_reads_its_own_write(void **state)
{
    struct story *story = *state;
    two_writes(story);
    (void)begin_write(story, 3, 7, NODE_A, 200);
    end_write(story, 3, 7, NODE_A, 210, HISTORY_OK);
    (void)read_on(story, 2, 8, NODE_A, 200, 220); /* pipelined: asked before the answer */
    (void)read_on(story, 3, 7, NODE_A, 200, 220);
    assert_rules(story, "");
    (void)read_on(story, 2, 7, NODE_A, 200, 221);
    assert_rules(story, "own write");
}

static void a_session_never_goes_back(void **state)
{
    struct story *story = *state;
    two_writes(story);
    (void)read_on(story, 2, 1, NODE_B, 111, 120);
    (void)read_on(story, 1, 2, NODE_B, 121, 130);
    assert_rules(story, "");
    (void)read_on(story, 1, 1, NODE_B, 121, 131);
    assert_rules(story, "backwards");
}

static void a_session_never_goes_back_to_before_the_key_was(void **state)
{
    struct story *story = *state;
    set(story, 1, 1, 10);
    read(story, HISTORY_NOTHING, 11, 12);
    (void)read_on(story, 1, 1, NODE_B, 11, 12);
    assert_rules(story, "");
    (void)read_on(story, HISTORY_NOTHING, 1, NODE_B, 13, 14);
    assert_rules(story, "backwards");
}

/* ------------------------------------------------------------------ nothing */

static void absence_is_right_before_the_first_write_and_stale_after_it(void **state)
{
    struct story *story = *state;
    set(story, 1, 1, 10);
    read(story, HISTORY_NOTHING, 10 + LATE, 9000);
    assert_rules(story, "");
    read(story, HISTORY_NOTHING, 10 + LATE + 1, 9000);
    assert_rules(story, "stale");
}

static void a_deletion_explains_absence_and_overwrites(void **state)
{
    struct story *story = *state;
    two_writes(story);
    del(story, 3, 0, 200, 210);
    read(story, HISTORY_NOTHING, 9000, 9010);
    read(story, 2, 210 + LATE, 9010);
    assert_rules(story, "");
    read(story, 2, 211 + LATE, 9010);
    set(story, 4, 10000, 10010);
    read(story, HISTORY_NOTHING, 10011 + LATE, 20000);
    assert_rules(story, "stale, stale");
}

static void a_session_never_goes_back_from_a_deletion(void **state)
{
    struct story *story = *state;
    two_writes(story);
    del(story, 3, 0, 3000, 3010);
    (void)read_on(story, HISTORY_NOTHING, 1, NODE_B, 3005, 3011);
    (void)read_on(story, 2, 2, NODE_B, 3012, 3020);
    assert_rules(story, "");
    (void)read_on(story, 2, 1, NODE_B, 3012, 3021);
    assert_rules(story, "backwards");
}

static void a_deletion_under_way_explains_absence(void **state)
{
    struct story *story = *state;
    set(story, 1, 1, 10);
    (void)read_on(story, HISTORY_NOTHING, 1, NODE_B, 5000, 5010);
    begin_write(story, 3, 100, NODE_A, 5005)->kind = HISTORY_DELETE;
    assert_rules(story, "");
    story->records[story->count - 1].invoked_ns = 5011;
    assert_rules(story, "stale");
}

static void a_life_ends_in_time(void **state)
{
    struct story *story = *state;
    set(story, 1, 1 * MS, 2 * MS);
    begin_write(story, 2, 100, NODE_A, 10 * MS)->life_ms = 50;
    end_write(story, 2, 100, NODE_A, 11 * MS, HISTORY_OK);
    read(story, 2, 63 * MS, 65 * MS);
    read(story, HISTORY_NOTHING, 58 * MS, 59 * MS);
    assert_rules(story, "");
    read(story, 2, 65 * MS, 66 * MS);
    assert_rules(story, "expired");
    story->count--;
    read(story, HISTORY_NOTHING, 55 * MS, 56 * MS); /* not yet */
    assert_rules(story, "stale");
}

static void a_write_over_a_life_ends_the_absence(void **state)
{
    struct story *story = *state;
    begin_write(story, 2, 100, NODE_A, 10 * MS)->life_ms = 50;
    end_write(story, 2, 100, NODE_A, 11 * MS, HISTORY_OK);
    set(story, 3, 100 * MS, 101 * MS);
    read(story, 3, 110 * MS, 111 * MS);
    assert_rules(story, "");
    read(story, HISTORY_NOTHING, 110 * MS, 111 * MS);
    assert_rules(story, "stale");
}

/* ------------------------------------------------------------------ all keys */

static void a_flush_is_a_deletion_of_every_key(void **state)
{
    struct story *story = *state;
    two_writes(story);
    del(story, 9, HISTORY_ALL_KEYS, 3000, 3100);
    (void)read_on(story, 2, 1, NODE_B, 3100 + LATE, 9000);
    (void)read_on(story, HISTORY_NOTHING, 2, NODE_B, 3050, 3060);
    (void)read_on(story, HISTORY_NOTHING, 100, NODE_A, 3200, 3201); /* its own write is lost, too */
    read_on(story, HISTORY_NOTHING, 4, NODE_B, 9000, 9001)->key = 3;
    assert_rules(story, "");
    (void)read_on(story, 2, 3, NODE_B, 3101 + LATE, 9000);
    (void)read_on(story, 2, 2, NODE_B, 3050, 3070);
    assert_rules(story, "stale, backwards");
}

static void a_loss_may_bring_back_what_was_overwritten(void **state)
{
    struct story *story = *state;
    two_writes(story);
    begin_write(story, 9, 1, REDIS, 3000)->kind = HISTORY_LOSS;
    story->records[story->count - 1].key = HISTORY_ALL_KEYS;
    end_write(story, 9, 1, REDIS, 3100, HISTORY_OK);
    story->records[story->count - 1].key = HISTORY_ALL_KEYS;
    (void)read_on(story, 2, 5, NODE_B, 2900, 2901);
    (void)read_on(story, 1, 5, NODE_B, 9000, 9001);
    (void)read_on(story, HISTORY_NOTHING, 5, NODE_B, 9002, 9003);
    (void)read_on(story, 2, 5, NODE_B, 9004, 9005);
    assert_rules(story, "");
    set(story, 4, 9100, 9110);
    read(story, 1, 9111 + LATE, 20000);
    (void)read_on(story, 1, 6, NODE_B, 2000, 2999);
    assert_rules(story, "stale, stale");
}

/* ------------------------------------------------------------------ what contradicts itself */

static void assert_refused(struct story *story, const char *why)
{
    assert_int_equal(judge_all(story), INVALID);
    judge_done(story->judge);
    assert_non_null(strstr(story->judge->error, why));
    story->count = 0;
}

static void what_contradicts_itself_is_refused(void **state)
{
    struct story *story = *state;
    set(story, 1, 1, 10);
    set(story, 1, 20, 30);
    assert_refused(story, "written twice");
    end_write(story, 1, 1, NODE_A, 10, HISTORY_OK);
    assert_refused(story, "did not begin");
    set(story, 1, 1, 10);
    end_write(story, 1, 1, NODE_A, 20, HISTORY_OK);
    assert_refused(story, "ended already");
    set(story, 1, 1, 10);
    story->records[1].key = 1;
    assert_refused(story, "another key");
    story->strict = true;
    del(story, 1, 0, 1, 10);
    assert_refused(story, "--strict");
}

/* ------------------------------------------------------------------ what is forgotten */

static void what_is_forgotten_is_still_stale(void **state)
{
    struct story *story = *state;
    story->window_ns = 10000;
    uint64_t time_ns = 0;
    for (uint64_t value = 1; value <= 500; value++) {
        time_ns += 100;
        set(story, value, time_ns, time_ns + 10);
    }
    (void)read_on(story, 500, 1, NODE_B, time_ns + 20, time_ns + 30);
    assert_rules(story, "");
    assert_in_range(story->judge->writes_used, 1, 250);
    (void)read_on(story, 3, 2, NODE_B, time_ns + 20, time_ns + 30);
    (void)read_on(story, 400, 3, NODE_B, time_ns + 20, time_ns + 30);
    (void)read_on(story, 501, 4, NODE_B, time_ns + 20, time_ns + 30);
    assert_rules(story, "unwritten, stale, stale");
}

static void a_read_that_lasts_longer_than_what_is_remembered_is_not_judged(void **state)
{
    struct story *story = *state;
    story->window_ns = 10000;
    uint64_t time_ns = 0;
    for (uint64_t value = 1; value <= 500; value++) {
        time_ns += 100;
        set(story, value, time_ns, time_ns + 10);
    }
    (void)read_on(story, 3, 2, NODE_B, 350, time_ns + 30);
    assert_rules(story, "");
    assert_int_equal(story->judge->unjudged, 1);
}

/* ------------------------------------------------------------------ strict */

static void strict_finds_what_the_bound_forgives(void **state)
{
    struct story *story = *state;
    two_writes(story);
    read(story, 1, 105, 120);
    read(story, 2, 121, 130);
    story->strict = true;
    assert_rules(story, "");
    read(story, 1, 121, 130);
    assert_rules(story, "order");
    story->strict = false;
    assert_rules(story, "");
}

static void strict_leaves_out_what_nobody_saw(void **state)
{
    struct story *story = *state;
    story->strict = true;
    two_writes(story);
    (void)begin_write(story, 3, 1, NODE_A, 50);
    end_write(story, 3, 1, NODE_A, 60, HISTORY_LOST);
    (void)begin_write(story, 4, 1, NODE_A, 50);
    end_write(story, 4, 1, NODE_A, 60, HISTORY_UNKNOWN);
    read(story, 1, 70, 80);
    read(story, 2, 200, 210);
    assert_rules(story, "");
    read(story, 3, 300, 310); /* it came late */
    assert_rules(story, "");
    read(story, 2, 320, 330);
    assert_rules(story, "order");
}

static void strict_knows_the_time_before_the_first_write(void **state)
{
    struct story *story = *state;
    story->strict = true;
    set(story, 1, 5, 10);
    read(story, HISTORY_NOTHING, 9, 20);
    assert_rules(story, "");
    read(story, HISTORY_NOTHING, 11, 20);
    assert_rules(story, "order");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(what_nobody_wrote_is_found),
        TEST(what_is_written_only_later_is_found),
        TEST(a_refused_write_never_shows),
        TEST(an_old_value_is_right_until_the_bound_and_stale_after_it),
        TEST(the_bound_counts_from_the_invocation_not_from_the_answer),
        TEST(redis_itself_has_no_bound_to_hide_in),
        TEST(writes_that_overlap_have_no_order),
        TEST(what_a_load_stores_is_as_old_as_its_beginning),
        TEST(a_write_is_known_to_have_happened_when_it_is_seen),
        TEST(what_was_seen_before_a_write_began_is_older_than_it),
        TEST(an_unknown_outcome_is_over_when_it_is_told),
        TEST(a_lost_write_may_come_late),
        TEST(what_is_marked_stale_has_the_grace),
        TEST(a_lost_acknowledged_write_is_found_in_the_end),
        TEST(a_node_serves_nothing_older_than_what_it_acknowledged),
        TEST(a_session_reads_its_own_write),
        TEST(a_session_never_goes_back),
        TEST(a_session_never_goes_back_to_before_the_key_was),
        TEST(absence_is_right_before_the_first_write_and_stale_after_it),
        TEST(a_deletion_explains_absence_and_overwrites),
        TEST(a_session_never_goes_back_from_a_deletion),
        TEST(a_deletion_under_way_explains_absence),
        TEST(a_life_ends_in_time),
        TEST(a_write_over_a_life_ends_the_absence),
        TEST(a_flush_is_a_deletion_of_every_key),
        TEST(a_loss_may_bring_back_what_was_overwritten),
        TEST(what_contradicts_itself_is_refused),
        TEST(what_is_forgotten_is_still_stale),
        TEST(a_read_that_lasts_longer_than_what_is_remembered_is_not_judged),
        TEST(strict_finds_what_the_bound_forgives),
        TEST(strict_leaves_out_what_nobody_saw),
        TEST(strict_knows_the_time_before_the_first_write),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
