/* SPDX-License-Identifier: BSD-3-Clause */
/* How hot an entry is, as each policy sees it: on one scale, and in the order of its use. */
#include "tests/unit/l1_help.h"
#include "tiers/policy.h"
#include "tiers/policy_memory.h"

#define NOW    INT64_C(1800000000000)
#define SECOND INT64_C(1000)
#define MINUTE (60 * SECOND)

enum {
    BUDGET = 1 << 20,
    TICK_BYTES = BUDGET / POLICY_TICKS_PER_TURNOVER,
    SMALL_TICKS = 6 /* as s3fifo has it */
};

/* A shard's worth of what a policy knows. */
struct world {
    const struct policy *policy;
    struct arena *arena;
    struct policy_memory *memory;
    int64_t now_ms;
};

static void open_world(struct world *world, const struct policy *policy)
{
    *world = (struct world){.policy = policy, .arena = arena_new(), .now_ms = NOW};
    world->memory = policy_memory_new(world->arena);
    assert_non_null(world->memory);
    policy_memory_set_budget(world->memory, BUDGET);
}

static void close_world(struct world *world)
{
    policy_memory_free(world->memory);
    arena_close(world->arena);
}

static uint32_t arrive(struct world *world, uint64_t hash, size_t size)
{
    const struct policy_newcomer newcomer = {.hash = hash, .size = size, .now_ms = world->now_ms};
    return world->policy->first(world->memory, &newcomer);
}

static uint32_t use(struct world *world, uint32_t word)
{
    return world->policy->touch(world->memory, word, 0, world->now_ms, 0);
}

static unsigned hotness(const struct world *world, uint32_t word)
{
    return world->policy->hotness(world->memory, word, world->now_ms);
}

/* Others come in, so many ticks of them, a second each. */
static void pass(struct world *world, unsigned ticks)
{
    for (unsigned i = 0; i < ticks; i++) {
        world->now_ms += SECOND;
        (void)arrive(world, 1000 + i, TICK_BYTES);
    }
}

static void what_is_used_often_is_hotter_than_what_is_not_under_every_policy(void **state)
{
    (void)state;
    const struct policy *policy;
    for (unsigned i = 0; (policy = policy_at(i)) != NULL; i++) {
        struct world world;
        open_world(&world, policy);
        uint32_t often = arrive(&world, 1, 100);
        const uint32_t never = arrive(&world, 2, 100);
        const unsigned newcomer = hotness(&world, never);
        for (unsigned round = 0; round < 8; round++) {
            pass(&world, 1);
            often = use(&world, often);
        }
        assert_true(hotness(&world, often) > hotness(&world, never));
        assert_true(hotness(&world, never) > 0 && hotness(&world, never) <= newcomer);
        close_world(&world);
    }
}

static void under_lru_each_doubling_of_idleness_is_eight_steps_and_a_minute_is_a_newcomer(
    void **state)
{
    (void)state;
    struct world world;
    open_world(&world, &policy_lru);
    const uint32_t word = arrive(&world, 1, 100);
    unsigned last = hotness(&world, word);
    assert_in_range(last, POLICY_HOTNESS_NEW + 100, POLICY_HOTNESS_MAX);
    world.now_ms = NOW + MINUTE / 256;
    last = hotness(&world, word);
    for (int64_t idle_ms = MINUTE / 128; idle_ms <= 256 * MINUTE; idle_ms *= 2) {
        world.now_ms = NOW + idle_ms;
        assert_in_range(last - hotness(&world, word), POLICY_HOTNESS_DOUBLE - 1,
                        POLICY_HOTNESS_DOUBLE + 1);
        last = hotness(&world, word);
    }
    world.now_ms = NOW + MINUTE;
    assert_in_range(hotness(&world, word), POLICY_HOTNESS_NEW - 1, POLICY_HOTNESS_NEW + 1);
    close_world(&world);
}

static void under_lfu_it_is_the_order_of_the_counters_in_uses(void **state)
{
    (void)state;
    struct world world;
    open_world(&world, &policy_lfu);
    unsigned last = 0;
    for (unsigned heat = 5; heat <= 255; heat++) {
        const struct policy_newcomer newcomer = {.now_ms = NOW};
        const uint32_t word = policy_lfu.probation(world.memory, &newcomer, (uint8_t)heat);
        assert_int_equal(policy_lfu.frequency(word, NOW), heat);
        assert_true(hotness(&world, word) >= last);
        last = hotness(&world, word);
    }
    /* 250 above the first are 311,500 uses: more than 2^18 */
    assert_in_range(last, POLICY_HOTNESS_NEW + 18 * POLICY_HOTNESS_DOUBLE,
                    POLICY_HOTNESS_NEW + 19 * POLICY_HOTNESS_DOUBLE);
    const uint32_t newcomer = arrive(&world, 1, 100);
    assert_int_equal(hotness(&world, newcomer), POLICY_HOTNESS_NEW);
    for (unsigned minute = 1; minute <= 5; minute++) {
        world.now_ms = NOW + minute * MINUTE;
        assert_int_equal(hotness(&world, newcomer),
                         POLICY_HOTNESS_NEW - minute * POLICY_HOTNESS_DOUBLE);
    }
    close_world(&world);
}

static void under_s3fifo_it_is_the_queue_and_the_uses(void **state)
{
    (void)state;
    struct world world;
    unsigned by_uses[5];
    open_world(&world, &policy_s3fifo);
    for (unsigned uses = 0; uses < 5; uses++) {
        uint32_t word = arrive(&world, uses, 100);
        for (unsigned i = 0; i < uses; i++) {
            word = use(&world, word);
        }
        by_uses[uses] = hotness(&world, word);
    }
    assert_int_equal(by_uses[0], POLICY_HOTNESS_NEW);
    assert_true(by_uses[0] < by_uses[1] && by_uses[1] < by_uses[2] && by_uses[2] < by_uses[3]);
    assert_int_equal(by_uses[3], by_uses[4]); /* three count */
    uint32_t proven = use(&world, use(&world, arrive(&world, 7, 100)));
    const uint32_t failed = arrive(&world, 8, 100);
    pass(&world, SMALL_TICKS);
    const unsigned just_failed = hotness(&world, failed);
    assert_true(just_failed < POLICY_HOTNESS_NEW);
    assert_int_equal(hotness(&world, proven), by_uses[2]); /* its round begins now */
    pass(&world, POLICY_TICKS_PER_TURNOVER);
    assert_true(hotness(&world, failed) < just_failed && hotness(&world, failed) > 0);
    assert_in_range(hotness(&world, proven), by_uses[1] + 1, by_uses[2] - 1);
    close_world(&world);
}

static void under_density_it_is_what_was_learned_and_a_newcomer_is_used_in_four_turnovers(
    void **state)
{
    (void)state;
    struct world world;
    open_world(&world, &policy_density);
    uint32_t word = arrive(&world, 1, 100);
    assert_in_range(hotness(&world, word), POLICY_HOTNESS_NEW - 1, POLICY_HOTNESS_NEW + 1);
    assert_int_equal(hotness(&world, arrive(&world, 2, 100000)), hotness(&world, word));
    unsigned last = hotness(&world, word);
    for (unsigned uses = 2; uses <= 4;
         uses *= 2) { /* by the prior, twice the uses twice as often */
        word = use(&world, word);
        word = uses == 4 ? use(&world, word) : word;
        assert_in_range(hotness(&world, word) - last, POLICY_HOTNESS_DOUBLE - 2,
                        POLICY_HOTNESS_DOUBLE + 2);
        last = hotness(&world, word);
    }
    close_world(&world);
}

static void what_nobody_has_asked_for_is_below_all_else(void **state)
{
    (void)state;
    const struct policy *const policies[] = {&policy_density, &policy_s3fifo};
    for (unsigned i = 0; i < 2; i++) {
        struct world world;
        open_world(&world, policies[i]);
        const struct policy_newcomer newcomer = {.hash = 1, .size = 100, .now_ms = NOW};
        const uint32_t cold = policies[i]->probation(world.memory, &newcomer, 0);
        const uint32_t hot = policies[i]->probation(world.memory, &newcomer, POLICY_HEAT_HOT);
        const uint32_t old = arrive(&world, 2, 100);
        assert_true(hotness(&world, hot) > hotness(&world, old));
        pass(&world, POLICY_AGE_MAX - 1);
        assert_int_equal(hotness(&world, cold), 0);
        assert_true(hotness(&world, old) > 0);
        close_world(&world);
    }
}

/* A word that was used so often, so many ticks ago. */
static uint32_t used(struct world *world, uint64_t hash, unsigned uses, unsigned ticks_ago)
{
    uint32_t word = arrive(world, hash, 100);
    for (unsigned i = 0; i < uses; i++) {
        word = use(world, word);
    }
    pass(world, ticks_ago);
    return word;
}

static void what_is_kept_makes_an_equal_entry_in_another_life_under_every_policy(void **state)
{
    (void)state;
    const struct policy *policy;
    for (unsigned i = 0; (policy = policy_at(i)) != NULL; i++) {
        for (unsigned uses = 0; uses < 12; uses++) {
            struct world world;
            struct world next;
            open_world(&world, policy);
            open_world(&next, policy);
            next.now_ms = NOW / 2;
            const uint32_t word = used(&world, 1, uses, 20 * uses);
            const int64_t idle_ms = policy->idle_ms(world.memory, word, world.now_ms);
            const struct policy_former former = {
                .size = 100,
                .idle_ms = idle_ms > 0 ? idle_ms : 0,
                .now_ms = next.now_ms,
                .kept = policy->keep(world.memory, word, world.now_ms)};
            const uint32_t again = policy->adopt(next.memory, &former);
            assert_int_equal(policy->keep(next.memory, again, next.now_ms), former.kept);
            assert_int_equal(policy->frequency(again, next.now_ms),
                             policy->frequency(word, world.now_ms));
            const uint16_t tick = world.memory->tick;
            policy_memory_reset(world.memory); /* of what was learned nothing is kept */
            world.memory->tick = tick;
            assert_in_range(hotness(&next, again) + 1, hotness(&world, word),
                            hotness(&world, word) + 2);
            if (idle_ms >= 0) {
                assert_in_range(policy->idle_ms(next.memory, again, next.now_ms) + 4000, idle_ms,
                                idle_ms + 8000);
            }
            close_world(&next);
            close_world(&world);
        }
    }
}

static struct l1 *home_is(const void *arg, struct slice key)
{
    (void)key;
    return *(struct l1 *const *)arg;
}

static void on_sight(void *arg, const struct l1_sight *sight)
{
    *(unsigned *)arg = sight->hotness;
}

static void what_moves_house_under_one_policy_is_as_hot_there(void **state)
{
    (void)state;
    struct l1 *from = help_new(BUDGET, &policy_density, 1);
    struct l1 *to = l1_new(&(struct l1_options){
        .bytes_max = BUDGET, .policy = &policy_density, .kin = from, .seed = 1, .shards = 1});
    const struct l1_key key = l1_key(from, 0, SLICE_LITERAL("k"));
    unsigned before = 0;
    unsigned then = 0;
    assert_int_equal(l1_put(from, &key, SLICE_LITERAL("v"), ITEM_NEVER, NOW), OK);
    for (unsigned i = 0; i < 5; i++) {
        struct l1_value value = {0};
        assert_int_equal(l1_get(from, &key, NOW, 0, &value), OK);
        item_release(value.item);
    }
    assert_int_equal(l1_survey(from, NOW, on_sight, &before), OK);
    l1_move(from, home_is, &to, true, NOW);
    assert_int_equal(l1_survey(to, NOW, on_sight, &then), OK);
    assert_true(before > POLICY_HOTNESS_NEW + POLICY_HOTNESS_DOUBLE);
    assert_int_equal(then, before);
    l1_free(to);
    l1_free(from);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_used_often_is_hotter_than_what_is_not_under_every_policy),
        cmocka_unit_test(
            under_lru_each_doubling_of_idleness_is_eight_steps_and_a_minute_is_a_newcomer),
        cmocka_unit_test(under_lfu_it_is_the_order_of_the_counters_in_uses),
        cmocka_unit_test(under_s3fifo_it_is_the_queue_and_the_uses),
        cmocka_unit_test(
            under_density_it_is_what_was_learned_and_a_newcomer_is_used_in_four_turnovers),
        cmocka_unit_test(what_nobody_has_asked_for_is_below_all_else),
        cmocka_unit_test(what_moves_house_under_one_policy_is_as_hot_there),
        cmocka_unit_test(what_is_kept_makes_an_equal_entry_in_another_life_under_every_policy),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
