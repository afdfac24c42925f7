/* SPDX-License-Identifier: BSD-3-Clause */
/* Reading through an L2: COHERENCE T1 to T3, on one thread. */
#include "tests/unit/l1_help.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

enum {
    T0 = 1000000,
    JOIN_MS = 1000,
    WORKER = 7,
    GENERATION = 3
};

struct world {
    struct l1 *l1;
    struct l1_key key;
};

static struct world world_new(void)
{
    struct world world = {.l1 = help_new(1 << 20, NULL, 0)};
    world.key = l1_key(world.l1, 0, SLICE_LITERAL("key"));
    return world;
}

static struct l1_ask ask_at(int64_t now_ms)
{
    return (struct l1_ask){
        .now_ms = now_ms, .worker = WORKER, .generation = GENERATION, .join_ms = JOIN_MS};
}

/* Asks; a value found is compared with `value` (NULL: none is expected) and released. */
static enum status ask_with(const struct world *world, struct l1_ask ask, const char *value,
                            struct l1_claim *claim)
{
    char room[64];
    struct l1_value got = {.copy = room, .copy_room = sizeof room};
    enum status status = l1_ask(world->l1, &world->key, &ask, &got, claim);
    if (status == OK) {
        assert_non_null(value);
        assert_true(slice_is(got.bytes, value));
        item_release(got.item);
    }
    return status;
}

static uint64_t claim_at(const struct world *world, int64_t now_ms)
{
    struct l1_claim claim;
    assert_int_equal(ask_with(world, ask_at(now_ms), NULL, &claim), CLAIMED);
    assert_int_not_equal(claim.token, 0);
    return claim.token;
}

static enum status fill_with(const struct world *world, struct l1_landing landing,
                             const char *value, int64_t stamped_at_ms)
{
    struct item *item = help_item(&world->key, value, ITEM_NEVER, stamped_at_ms);
    enum status status = l1_fill(world->l1, &world->key, &landing, item);
    item_release(item);
    return status;
}

static enum status fill(const struct world *world, uint64_t token, const char *value)
{
    struct l1_landing landing = {
        .token = token, .generation = GENERATION, .install = true, .now_ms = T0};
    return fill_with(world, landing, value, T0);
}

static void value_put(const struct world *world, const char *value)
{
    assert_int_equal(fill(world, claim_at(world, T0), value), OK);
}

static bool served(const struct world *world, const char *value)
{
    return help_is(world->l1, 0, "key", value, T0);
}

static void a_fill_with_a_live_token_is_served(void **state)
{
    (void)state;
    struct world world = world_new();
    value_put(&world, "v1");
    struct l1_claim claim;
    assert_int_equal(ask_with(&world, ask_at(T0), "v1", &claim), OK);
    assert_int_equal(help_stats(world.l1).fills, 1);
    assert_int_equal(help_stats(world.l1).claims, 0);
    l1_free(world.l1);
}

static void late_fill_after_invalidation_is_refused(void **state)
{
    (void)state;
    struct world world = world_new();
    uint64_t token = claim_at(&world, T0);
    l1_invalidate(world.l1, &world.key);
    assert_int_equal(fill(&world, token, "old"), STALE);
    assert_true(served(&world, NULL));
    assert_int_equal(help_stats(world.l1).refused_fills, 1);
    l1_free(world.l1);
}

static void a_fill_without_a_token_is_refused(void **state)
{
    (void)state;
    struct world world = world_new();
    assert_int_equal(fill(&world, 0, "v"), STALE);
    assert_true(served(&world, NULL));
    claim_at(&world, T0);
    assert_int_equal(fill(&world, 0, "v"), STALE);
    assert_true(served(&world, NULL));
    l1_free(world.l1);
}

static void who_asks_second_is_told_who_reads(void **state)
{
    (void)state;
    struct world world = world_new();
    uint64_t token = claim_at(&world, T0);
    struct l1_ask ask = ask_at(T0 + 1);
    ask.worker = WORKER + 1;
    struct l1_claim claim;
    assert_int_equal(ask_with(&world, ask, NULL, &claim), TAKEN);
    assert_int_equal(claim.token, token);
    assert_int_equal(claim.owner, WORKER);
    assert_int_equal(claim.generation, GENERATION);
    l1_free(world.l1);
}

static void a_claim_is_joined_only_while_it_is_young(void **state)
{
    (void)state;
    struct world world = world_new();
    uint64_t first = claim_at(&world, T0);
    struct l1_claim claim;
    assert_int_equal(ask_with(&world, ask_at(T0 + JOIN_MS - 1), NULL, &claim), TAKEN);
    assert_int_equal(ask_with(&world, ask_at(T0 + JOIN_MS), NULL, &claim), CLAIMED);
    assert_int_not_equal(claim.token, first);
    assert_int_equal(help_stats(world.l1).claims, 1);
    l1_free(world.l1);
}

static void a_claim_of_an_earlier_generation_is_not_joined(void **state)
{
    (void)state;
    struct world world = world_new();
    claim_at(&world, T0);
    struct l1_ask ask = ask_at(T0);
    ask.generation++;
    struct l1_claim claim;
    assert_int_equal(ask_with(&world, ask, NULL, &claim), CLAIMED);
    assert_int_equal(claim.generation, GENERATION + 1);
    l1_free(world.l1);
}

static void any_landing_ends_other_tokens(void **state)
{
    (void)state;
    struct world world = world_new();
    uint64_t old = claim_at(&world, T0);
    struct l1_claim young;
    assert_int_equal(ask_with(&world, ask_at(T0 + JOIN_MS), NULL, &young), CLAIMED);
    assert_int_equal(fill(&world, old, "v1"), STALE);         /* ended by the replacement */
    assert_int_equal(fill(&world, young.token, "v2"), STALE); /* ended by that landing */
    assert_true(served(&world, NULL));
    l1_free(world.l1);
}

static void a_landing_without_a_live_token_drops_the_entry(void **state)
{
    (void)state;
    struct world world = world_new();
    uint64_t old = claim_at(&world, T0);
    l1_invalidate(world.l1, &world.key);
    value_put(&world, "v2");
    assert_true(served(&world, "v2"));
    assert_int_equal(fill(&world, old, "v1"), STALE);
    assert_true(served(&world, NULL));
    l1_free(world.l1);
}

/* A read that asks for claims to be spared lands without a live token; the value's first byte is about it. */
static enum status land_sparing(const struct world *world, uint64_t token, const char *value)
{
    const struct l1_landing landing = {.token = token,
                                       .generation = GENERATION,
                                       .install = true,
                                       .spares_claims = true,
                                       .about = 1,
                                       .now_ms = T0};
    return fill_with(world, landing, value, T0);
}

static void a_spared_claim_is_filled_with_what_has_landed(void **state)
{
    (void)state;
    struct world world = world_new();
    uint64_t token = claim_at(&world, T0);
    assert_int_equal(land_sparing(&world, 0, "1v"), STALE);
    assert_int_equal(land_sparing(&world, token + 1, "2v"), STALE);
    assert_true(served(&world, NULL));
    assert_int_equal(land_sparing(&world, token, "3v"), OK);
    assert_true(served(&world, "3v"));
    l1_free(world.l1);
}

static void a_spared_claim_is_not_filled_with_another_value(void **state)
{
    (void)state;
    struct world world = world_new();
    uint64_t token = claim_at(&world, T0);
    assert_int_equal(land_sparing(&world, 0, "1newer"), STALE);
    assert_int_equal(land_sparing(&world, token, "1older"), STALE);
    assert_true(served(&world, NULL));
    assert_int_equal(help_stats(world.l1).claims, 0);
    l1_free(world.l1);
}

static void two_landings_that_differ_end_a_claim(void **state)
{
    (void)state;
    struct world world = world_new();
    uint64_t token = claim_at(&world, T0);
    assert_int_equal(land_sparing(&world, 0, "1v1"), STALE);
    assert_int_equal(land_sparing(&world, 0, "1v2"), STALE);
    assert_int_equal(help_stats(world.l1).claims, 0);
    assert_int_equal(land_sparing(&world, token, "1v2"), STALE);
    assert_true(served(&world, NULL));
    l1_free(world.l1);
}

static void a_claim_that_keeps_a_suspect_is_not_spared(void **state)
{
    (void)state;
    struct world world = world_new();
    value_put(&world, "0v");
    struct l1_ask ask = ask_at(T0);
    ask.floor_ms = INT64_MAX;
    struct l1_claim claim;
    assert_int_equal(ask_with(&world, ask, NULL, &claim), CLAIMED);
    assert_int_equal(land_sparing(&world, 0, "1w"), STALE);
    assert_true(served(&world, NULL)); /* nor is the suspect, which may be older than w */
    assert_int_equal(help_stats(world.l1).claims, 0);
    l1_free(world.l1);
}

static void a_landing_that_spares_claims_still_drops_values(void **state)
{
    (void)state;
    struct world world = world_new();
    value_put(&world, "1v");
    assert_int_equal(land_sparing(&world, 0, "1w"), STALE);
    assert_true(served(&world, NULL));
    l1_free(world.l1);
}

static void a_landing_without_a_value_drops_entry_and_token(void **state)
{
    (void)state;
    struct world world = world_new();
    value_put(&world, "v");
    l1_land(world.l1, &world.key);
    assert_true(served(&world, NULL));
    uint64_t token = claim_at(&world, T0);
    l1_land(world.l1, &world.key);
    assert_int_equal(help_stats(world.l1).claims, 0);
    assert_int_equal(fill(&world, token, "v"), STALE);
    l1_free(world.l1);
}

static void a_change_of_generation_refuses_the_fill(void **state)
{
    (void)state;
    struct world world = world_new();
    struct l1_landing landing = {
        .token = claim_at(&world, T0), .generation = GENERATION + 1, .install = true, .now_ms = T0};
    assert_int_equal(fill_with(&world, landing, "v", T0), STALE);
    assert_true(served(&world, NULL));
    assert_int_equal(help_stats(world.l1).claims, 0);
    l1_free(world.l1);
}

static void nothing_is_installed_while_the_bus_is_not_confirmed(void **state)
{
    (void)state;
    struct world world = world_new();
    struct l1_landing landing = {
        .token = claim_at(&world, T0), .generation = GENERATION, .install = false, .now_ms = T0};
    assert_int_equal(fill_with(&world, landing, "v", T0), STALE);
    assert_true(served(&world, NULL));
    l1_free(world.l1);
}

static void a_value_that_has_already_expired_is_not_installed(void **state)
{
    (void)state;
    struct world world = world_new();
    uint64_t token = claim_at(&world, T0);
    struct item *item = help_item(&world.key, "v", T0 + 10, T0);
    struct l1_landing landing = {
        .token = token, .generation = GENERATION, .install = true, .now_ms = T0 + 10};
    assert_int_equal(l1_fill(world.l1, &world.key, &landing, item), STALE);
    item_release(item);
    assert_int_equal(help_stats(world.l1).items + help_stats(world.l1).claims, 0);
    l1_free(world.l1);
}

static void a_value_larger_than_everything_is_refused_and_ends_its_token(void **state)
{
    (void)state;
    struct world world = {.l1 = help_new(64 << 10, NULL, 1)};
    world.key = l1_key(world.l1, 0, SLICE_LITERAL("key"));
    uint64_t token = claim_at(&world, T0);
    struct item *item = help_item_new(0, world.key.bytes, 65 << 10);
    memset(item_value_room(item), 0, 65 << 10);
    struct l1_landing landing = {
        .token = token, .generation = GENERATION, .install = true, .now_ms = T0};
    assert_int_equal(l1_fill(world.l1, &world.key, &landing, item), TOO_BIG);
    item_release(item);
    assert_int_equal(help_stats(world.l1).claims, 0);
    l1_free(world.l1);
}

static void an_expired_entry_is_claimed(void **state)
{
    (void)state;
    struct world world = world_new();
    help_set(world.l1, 0, "key", "v", T0 + 100, T0);
    struct l1_claim claim;
    assert_int_equal(ask_with(&world, ask_at(T0 + 99), "v", &claim), OK);
    assert_int_equal(ask_with(&world, ask_at(T0 + 100), NULL, &claim), CLAIMED);
    l1_unclaim(world.l1, &world.key, claim.token);
    assert_int_equal(help_stats(world.l1).items, 0); /* expired values do not come back */
    assert_int_equal(help_stats(world.l1).expirations, 1);
    l1_free(world.l1);
}

static void suspects_are_claimed_and_restored_when_l2_is_down(void **state)
{
    (void)state;
    struct world world = world_new();
    value_put(&world, "v");
    struct l1_ask ask = ask_at(T0);
    ask.floor_ms = T0 + 1;
    struct l1_claim claim;
    assert_int_equal(ask_with(&world, ask, NULL, &claim), CLAIMED);
    assert_int_equal(ask_with(&world, ask, NULL, &claim), TAKEN);
    l1_unclaim(world.l1, &world.key, claim.token);
    assert_true(served(&world, "v"));
    assert_int_equal(ask_with(&world, ask, NULL, &claim), CLAIMED); /* still suspect */
    assert_int_equal(fill(&world, claim.token, "new"), OK);
    assert_true(served(&world, "new"));
    l1_free(world.l1);
}

static void a_closed_fence_passes_over_every_value_and_keeps_it_aside(void **state)
{
    (void)state;
    struct world world = world_new();
    value_put(&world, "v");
    struct l1_ask ask = ask_at(T0);
    ask.floor_ms = INT64_MAX; /* the fence is closed */
    struct l1_claim claim;
    assert_int_equal(ask_with(&world, ask, NULL, &claim), CLAIMED);
    l1_unclaim(world.l1, &world.key, claim.token);
    assert_true(served(&world, "v"));
    l1_free(world.l1);
}

static void a_suspect_moves_on_when_its_claim_is_replaced(void **state)
{
    (void)state;
    struct world world = world_new();
    value_put(&world, "v");
    struct l1_ask ask = ask_at(T0);
    ask.floor_ms = INT64_MAX; /* the fence is closed */
    struct l1_claim old;
    struct l1_claim young;
    assert_int_equal(ask_with(&world, ask, NULL, &old), CLAIMED);
    ask.now_ms += JOIN_MS;
    assert_int_equal(ask_with(&world, ask, NULL, &young), CLAIMED);
    l1_unclaim(world.l1, &world.key, old.token); /* ended: does nothing */
    assert_int_equal(help_stats(world.l1).claims, 1);
    l1_unclaim(world.l1, &world.key, young.token);
    assert_int_equal(help_stats(world.l1).claims, 0);
    assert_true(served(&world, "v"));
    l1_free(world.l1);
}

static void what_a_claim_keeps_aside_is_served_to_whom_it_is_good_enough(void **state)
{
    (void)state;
    struct world world = world_new();
    value_put(&world, "v");
    struct l1_ask strict = ask_at(T0);
    struct l1_ask lenient = ask_at(T0);
    strict.floor_ms = T0 + 1;
    lenient.floor_ms = T0;
    struct l1_claim claim;
    struct l1_claim other;
    assert_int_equal(ask_with(&world, strict, NULL, &claim), CLAIMED);
    assert_int_equal(ask_with(&world, lenient, "v", &other), OK);
    assert_int_equal(ask_with(&world, strict, NULL, &other), TAKEN);
    assert_true(served(&world, "v"));
    struct l1_value value = {0};
    assert_int_equal(l1_get(world.l1, &world.key, T0, T0 + 1, &value), MISS);
    assert_int_equal(fill(&world, claim.token, "new"), OK); /* the token did not end by it */
    assert_int_equal(ask_with(&world, lenient, "new", &other), OK);
    l1_free(world.l1);
}

static void an_expired_value_is_not_served_from_aside(void **state)
{
    (void)state;
    struct world world = world_new();
    help_set(world.l1, 0, "key", "v", T0 + 100, T0);
    struct l1_ask ask = ask_at(T0 + 99);
    ask.floor_ms = INT64_MAX;
    struct l1_claim claim;
    struct l1_value value = {0};
    assert_int_equal(ask_with(&world, ask, NULL, &claim), CLAIMED);
    assert_int_equal(ask_with(&world, ask_at(T0 + 99), "v", &claim), OK);
    assert_int_equal(ask_with(&world, ask_at(T0 + 100), NULL, &claim), TAKEN);
    assert_int_equal(l1_get(world.l1, &world.key, T0 + 100, 0, &value), MISS);
    l1_free(world.l1);
}

static void an_invalidated_suspect_does_not_come_back(void **state)
{
    (void)state;
    struct world world = world_new();
    value_put(&world, "v");
    struct l1_ask ask = ask_at(T0);
    ask.floor_ms = INT64_MAX; /* the fence is closed */
    struct l1_claim claim;
    assert_int_equal(ask_with(&world, ask, NULL, &claim), CLAIMED);
    l1_invalidate(world.l1, &world.key);
    l1_unclaim(world.l1, &world.key, claim.token);
    assert_true(served(&world, NULL));
    assert_int_equal(help_stats(world.l1).invalidations, 1);
    l1_free(world.l1);
}

static void a_value_below_the_floor_is_no_plain_hit_but_stays(void **state)
{
    (void)state;
    struct world world = world_new();
    value_put(&world, "v");
    char room[8];
    struct l1_value got = {.copy = room, .copy_room = sizeof room};
    assert_int_equal(l1_get(world.l1, &world.key, T0, T0 + 1, &got), MISS);
    assert_int_equal(l1_get(world.l1, &world.key, T0, T0, &got), OK);
    l1_free(world.l1);
}

static void forget_ends_entries_and_tokens_in_all_databases(void **state)
{
    (void)state;
    struct world world = world_new();
    uint64_t tokens[16] = {0};
    for (uint8_t db = 0; db < 16; db++) {
        world.key.db = db;
        tokens[db] = claim_at(&world, T0);
        if (db % 2 == 0) {
            assert_int_equal(fill(&world, tokens[db], "v"), OK);
        }
    }
    help_set(world.l1, 5, "another", "stays", 0, T0);
    assert_int_equal(l1_forget(world.l1, world.key.bytes), 8);
    for (uint8_t db = 0; db < 16; db++) {
        world.key.db = db;
        assert_true(help_is(world.l1, db, "key", NULL, T0));
        assert_int_equal(db % 2 == 0 ? STALE : fill(&world, tokens[db], "v"), STALE);
    }
    assert_true(help_is(world.l1, 5, "another", "stays", T0));
    assert_int_equal(help_stats(world.l1).claims, 0);
    l1_free(world.l1);
}

static void a_flush_ends_tokens_of_its_database_only(void **state)
{
    (void)state;
    struct world world = world_new();
    struct world other = world;
    other.key.db = 1;
    uint64_t token = claim_at(&world, T0);
    uint64_t other_token = claim_at(&other, T0);
    l1_flush(world.l1, 0);
    assert_int_equal(fill(&world, token, "v"), STALE);
    assert_int_equal(fill(&other, other_token, "v"), OK);
    token = claim_at(&world, T0);
    l1_flush_all(world.l1);
    assert_int_equal(fill(&world, token, "v"), STALE);
    assert_int_equal(l1_count(world.l1, 1), 0);
    l1_free(world.l1);
}

static void tokens_are_unique_across_keys_and_time(void **state)
{
    (void)state;
    struct l1 *l1 = help_new(1 << 20, NULL, 8);
    enum {
        KEYS = 200,
        ROUNDS = 5
    };
    uint64_t tokens[KEYS * ROUNDS];
    for (int i = 0; i < KEYS * ROUNDS; i++) {
        char name[32];
        snprintf(name, sizeof name, "key:%d", i % KEYS);
        struct world world = {.l1 = l1, .key = l1_key(l1, 0, slice_of(name))};
        l1_invalidate(l1, &world.key);
        tokens[i] = claim_at(&world, T0);
        for (int j = 0; j < i; j++) {
            assert_int_not_equal(tokens[i], tokens[j]);
        }
    }
    l1_free(l1);
}

static void claims_are_neither_entries_nor_evicted(void **state)
{
    (void)state;
    struct world world = {.l1 = help_new(128 << 10, NULL, 1)};
    world.key = l1_key(world.l1, 0, SLICE_LITERAL("key"));
    uint64_t token = claim_at(&world, T0);
    assert_int_equal(l1_count(world.l1, 0), 0);
    assert_null(l1_random(world.l1, 0, T0));
    assert_null(l1_hold(world.l1, &world.key, T0));
    for (int i = 0; i < 5000; i++) {
        char name[32];
        snprintf(name, sizeof name, "filler:%d", i);
        help_set(world.l1, 0, name, "0123456789012345678901234567890123456789", 0, T0 + 1000);
    }
    assert_true(help_stats(world.l1).evictions > 1000);
    assert_int_equal(fill(&world, token, "v"), OK);
    l1_free(world.l1);
}

static void keys_too_long_for_an_item_are_read_past_l1(void **state)
{
    (void)state;
    struct world world = world_new();
    static char name[LIMIT_L1_KEY];
    memset(name, 'k', sizeof name);
    world.key = l1_key(world.l1, 0, (struct slice){name, sizeof name});
    struct l1_claim claim;
    assert_int_equal(ask_with(&world, ask_at(T0), NULL, &claim), NO_MEMORY);
    world.key = l1_key(world.l1, 0, (struct slice){name, sizeof name - 1});
    assert_int_equal(ask_with(&world, ask_at(T0), NULL, &claim), CLAIMED);
    l1_free(world.l1);
}

static void a_revalidated_key_keeps_its_standing_with_the_policy(void **state)
{
    (void)state;
    struct world world = {.l1 = help_new(1 << 20, &policy_lfu, 1)};
    world.key = l1_key(world.l1, 0, SLICE_LITERAL("key"));
    value_put(&world, "v");
    for (int i = 0; i < 1000; i++) {
        assert_true(served(&world, "v"));
    }
    struct l1_peek before;
    struct l1_peek after;
    assert_int_equal(l1_peek(world.l1, &world.key, T0, 0, &before), OK);
    assert_true(before.frequency > 7);
    struct l1_ask ask = ask_at(T0);
    ask.floor_ms = INT64_MAX; /* the fence is closed */
    struct l1_claim claim;
    assert_int_equal(ask_with(&world, ask, NULL, &claim), CLAIMED);
    assert_int_equal(fill(&world, claim.token, "w"), OK);
    assert_int_equal(l1_peek(world.l1, &world.key, T0, 0, &after), OK);
    assert_true(after.frequency >= before.frequency);
    l1_free(world.l1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_fill_with_a_live_token_is_served),
        cmocka_unit_test(late_fill_after_invalidation_is_refused),
        cmocka_unit_test(a_fill_without_a_token_is_refused),
        cmocka_unit_test(who_asks_second_is_told_who_reads),
        cmocka_unit_test(a_claim_is_joined_only_while_it_is_young),
        cmocka_unit_test(a_claim_of_an_earlier_generation_is_not_joined),
        cmocka_unit_test(any_landing_ends_other_tokens),
        cmocka_unit_test(a_landing_without_a_live_token_drops_the_entry),
        cmocka_unit_test(a_spared_claim_is_filled_with_what_has_landed),
        cmocka_unit_test(a_spared_claim_is_not_filled_with_another_value),
        cmocka_unit_test(two_landings_that_differ_end_a_claim),
        cmocka_unit_test(a_claim_that_keeps_a_suspect_is_not_spared),
        cmocka_unit_test(a_landing_that_spares_claims_still_drops_values),
        cmocka_unit_test(a_landing_without_a_value_drops_entry_and_token),
        cmocka_unit_test(a_change_of_generation_refuses_the_fill),
        cmocka_unit_test(nothing_is_installed_while_the_bus_is_not_confirmed),
        cmocka_unit_test(a_value_that_has_already_expired_is_not_installed),
        cmocka_unit_test(a_value_larger_than_everything_is_refused_and_ends_its_token),
        cmocka_unit_test(an_expired_entry_is_claimed),
        cmocka_unit_test(suspects_are_claimed_and_restored_when_l2_is_down),
        cmocka_unit_test(a_closed_fence_passes_over_every_value_and_keeps_it_aside),
        cmocka_unit_test(a_suspect_moves_on_when_its_claim_is_replaced),
        cmocka_unit_test(what_a_claim_keeps_aside_is_served_to_whom_it_is_good_enough),
        cmocka_unit_test(an_expired_value_is_not_served_from_aside),
        cmocka_unit_test(an_invalidated_suspect_does_not_come_back),
        cmocka_unit_test(a_value_below_the_floor_is_no_plain_hit_but_stays),
        cmocka_unit_test(forget_ends_entries_and_tokens_in_all_databases),
        cmocka_unit_test(a_flush_ends_tokens_of_its_database_only),
        cmocka_unit_test(tokens_are_unique_across_keys_and_time),
        cmocka_unit_test(claims_are_neither_entries_nor_evicted),
        cmocka_unit_test(keys_too_long_for_an_item_are_read_past_l1),
        cmocka_unit_test(a_revalidated_key_keeps_its_standing_with_the_policy),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
