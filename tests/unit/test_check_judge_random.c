/* SPDX-License-Identifier: BSD-3-Clause */
/* Many random histories: of nodes that keep the bound, and with one read changed, which is counted by hand. */
#include "tests/unit/judge_help.h"

enum {
    SIM_WRITES = 60,
    SIM_READS = 240,
    SIM_SESSIONS = 4,
    SIM_RUNS = 400
};

struct sim_write {
    uint64_t value;
    uint64_t begin;
    uint64_t effect; /* when it took effect at L2; UINT64_MAX: never */
    uint64_t end;
};

/* A model of nodes: writes take effect at L2 at a moment of their own; a node's copy follows with a lag, never goes back,
 * and is as new as what the node acknowledged. So all rules hold, whatever overlaps. */
struct sim {
    struct sim_write writes[SIM_WRITES];
    uint64_t copied_ns[2]; /* what the node's copy shows: L2 as it was then */
    unsigned seed;
};

static uint64_t sim_draw(struct sim *sim, uint64_t below)
{
    return (uint64_t)rand_r(&sim->seed) % below;
}

static uint64_t value_at(const struct sim *sim, uint64_t time_ns)
{
    uint64_t value = HISTORY_NOTHING;
    uint64_t newest = 0;
    for (int i = 0; i < SIM_WRITES; i++) {
        if (sim->writes[i].effect <= time_ns && sim->writes[i].effect >= newest) {
            newest = sim->writes[i].effect;
            value = sim->writes[i].value;
        }
    }
    return value;
}

static void sim_write_all(struct sim *sim, struct story *story)
{
    for (uint32_t i = 0; i < SIM_WRITES; i++) {
        struct sim_write *write = &sim->writes[i];
        write->value = i + 1;
        write->begin = 1 + sim_draw(sim, 20000);
        write->end = write->begin + sim_draw(sim, 800);
        write->effect = write->begin + sim_draw(sim, write->end - write->begin + 1);
        uint32_t session = 100 + (uint32_t)sim_draw(sim, 2);
        uint16_t node = (uint16_t)(session - 100);
        (void)begin_write(story, write->value, session, node, write->begin);
        enum history_outcome outcome = HISTORY_OK;
        if (sim_draw(sim, 5) == 0) {
            outcome = HISTORY_LOST;
            write->effect += sim_draw(sim, 3000);
        } else if (sim_draw(sim, 8) == 0) {
            outcome = sim_draw(sim, 2) == 0 ? HISTORY_UNKNOWN : HISTORY_REFUSED;
            write->effect = UINT64_MAX;
        }
        end_write(story, write->value, session, node, write->end, outcome);
    }
}

/* What the node acknowledged before the moment is in its copy. */
static uint64_t node_floor(const struct story *story, const struct sim *sim, uint16_t node,
                           uint64_t time_ns)
{
    uint64_t floor_ns = 0;
    for (uint32_t i = 0; i < story->count; i++) {
        const struct history_record *record = &story->records[i];
        if (record->kind == HISTORY_END && record->what == HISTORY_OK && record->node == node &&
            record->completed_ns <= time_ns) {
            uint64_t effect = sim->writes[record->value - 1].effect;
            floor_ns = effect > floor_ns ? effect : floor_ns;
        }
    }
    return floor_ns;
}

static void sim_read_all(struct sim *sim, struct story *story)
{
    uint64_t time_ns = 0;
    for (int i = 0; i < SIM_READS; i++) {
        time_ns += 1 + sim_draw(sim, 200);
        uint64_t begin = time_ns;
        time_ns += sim_draw(sim, 20);
        uint16_t node = (uint16_t)sim_draw(sim, 2);
        uint64_t oldest = begin > BOUND ? begin - BOUND : 0;
        uint64_t shown = oldest + sim_draw(sim, time_ns - oldest + 1);
        uint64_t floor_ns = node_floor(story, sim, node, begin);
        sim->copied_ns[node] = shown > sim->copied_ns[node] ? shown : sim->copied_ns[node];
        sim->copied_ns[node] = floor_ns > sim->copied_ns[node] ? floor_ns : sim->copied_ns[node];
        uint64_t at = sim->copied_ns[node];
        (void)read_on(story, value_at(sim, at), (uint32_t)sim_draw(sim, SIM_SESSIONS) * 2 + node,
                      node, begin, time_ns > at ? time_ns : at);
    }
}

static void histories_of_nodes_that_keep_the_bound_pass(void **state)
{
    struct story *story = *state;
    for (unsigned seed = 1; seed <= SIM_RUNS; seed++) {
        struct sim sim = {.seed = seed};
        story->count = 0;
        sim_write_all(&sim, story);
        sim_read_all(&sim, story);
        assert_int_equal(judge_all(story), OK);
        if (judge_violations(story->judge) != 0) {
            fail_msg("seed %u: %s: %s", seed, rule_name(story->judge->explained[0].rule),
                     story->judge->explained[0].why);
        }
        judge_done(story->judge);
    }
}

/* What a single changed read must be called is found by asking every write: quadratic, and not as the judge does it. */
static bool is_stale_by_hand(const struct story *story, const struct history_record *read)
{
    const struct history_record *begin = NULL;
    uint64_t high = UINT64_MAX;
    for (uint32_t i = 0; i < story->count; i++) {
        const struct history_record *record = &story->records[i];
        if (record->value != read->value) {
            continue;
        }
        begin = history_is_begin(record) ? record : begin;
        bool ends = (record->kind == HISTORY_END && record->what != HISTORY_LOST) ||
                    (record->kind == HISTORY_READ && record != read &&
                     record->completed_ns < read->completed_ns);
        high = ends && record->completed_ns < high ? record->completed_ns : high;
    }
    if (begin == NULL || begin->invoked_ns > read->completed_ns) {
        return false;
    }
    for (uint32_t i = 0; i < story->count;
         i++) { /* an acknowledged or seen write that began after `high` */
        const struct history_record *other = &story->records[i];
        bool happened = (other->kind == HISTORY_END && other->what == HISTORY_OK) ||
                        (other->kind == HISTORY_READ && other->value != HISTORY_NOTHING);
        if (!happened || other->completed_ns + LATE >= read->invoked_ns) {
            continue;
        }
        for (uint32_t j = 0; j < story->count; j++) {
            const struct history_record *later = &story->records[j];
            if (history_is_begin(later) && later->value == other->value &&
                later->invoked_ns > high) {
                return true;
            }
        }
    }
    return false;
}

static void one_changed_read_is_stale_exactly_when_counting_by_hand_says_so(void **state)
{
    struct story *story = *state;
    unsigned stale = 0;
    for (unsigned seed = 1; seed <= SIM_RUNS; seed++) {
        struct sim sim = {.seed = seed};
        story->count = 0;
        sim_write_all(&sim, story);
        sim_read_all(&sim, story);
        struct history_record *last = &story->records[story->count - 1];
        last->session = 999;
        do {
            last->value = 1 + sim_draw(&sim, SIM_WRITES);
        } while (sim.writes[last->value - 1].effect == UINT64_MAX);
        bool expected = is_stale_by_hand(story, last);
        assert_int_equal(judge_all(story), OK);
        if ((story->judge->violations[RULE_STALE] != 0) != expected) {
            fail_msg("seed %u: by hand %d", seed, expected);
        }
        judge_done(story->judge);
        stale += expected ? 1 : 0;
    }
    assert_in_range(stale, SIM_RUNS / 10, SIM_RUNS - 1);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(histories_of_nodes_that_keep_the_bound_pass),
        TEST(one_changed_read_is_stale_exactly_when_counting_by_hand_says_so),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
