/* SPDX-License-Identifier: BSD-3-Clause */
/* What warming brings in stands behind what is in use: under every policy three times as much as L1 holds pushes out nothing
 * hotter. One L1, in whose memory the hot keys lie; the rest of L2 is warmed. */
#include "tests/unit/l1_help.h"
#include "tiers/l1_shard.h"
#include "tiers/policy_memory.h"

#define NOW    INT64_C(1800000000000)
#define MINUTE INT64_C(60000)
#define HOUR   (60 * MINUTE)

enum {
    BUDGET = 1 << 19,
    VALUE = 400,
    HOT = 500,
    WARMED = 3 * BUDGET / VALUE
};

struct scene {
    struct l1 *l1;
    const struct policy *policy;
    int64_t now_ms;
    char name[32];
    unsigned kept; /* of what was warmed */
    unsigned read; /* of that: it was asked for */
};

static void scene_open(struct scene *scene, const struct policy *policy)
{
    *scene = (struct scene){.policy = policy, .now_ms = NOW};
    scene->l1 = help_new(BUDGET, policy, 2);
}

static struct l1_key key_of(struct scene *scene, const char *what, unsigned n)
{
    (void)snprintf(scene->name, sizeof scene->name, "%s:%u", what, n);
    return l1_key(scene->l1, 0, slice_of(scene->name));
}

static struct item *item_of(struct scene *scene, const struct l1_key *key)
{
    /* All expire, so that no policy refuses to let them go: the later, the less it is a reason to. */
    const struct item_spec spec = {.key = key->bytes,
                                   .value_size = VALUE,
                                   .expire_at_ms = NOW + 1000 * HOUR,
                                   .stamped_at_ms = scene->now_ms};
    struct item *item = l1_item_new(scene->l1, key->hash, &spec);
    assert_non_null(item);
    memset(item_value_room(item), 'v', VALUE);
    return item;
}

/* A client's read, by way of L2 if need be. True: a hit. */
static bool ask_for(struct scene *scene, const char *what, unsigned n)
{
    struct l1_value value = {0};
    struct l1_claim claim;
    const struct l1_key key = key_of(scene, what, n);
    const struct l1_ask ask = {.now_ms = scene->now_ms, .generation = 1, .join_ms = 10};
    const enum status status = l1_ask(scene->l1, &key, &ask, &value, &claim);
    item_release(value.item);
    if (status == CLAIMED) {
        struct item *item = item_of(scene, &key);
        const struct l1_landing landing = {
            .token = claim.token, .generation = 1, .install = true, .now_ms = scene->now_ms};
        (void)l1_fill(scene->l1, &key, &landing, item);
        item_release(item);
    }
    return status == OK;
}

/* The same by warming. */
static enum status warm(struct scene *scene, const char *what, unsigned n, uint8_t heat)
{
    struct l1_claim claim;
    struct item *before = NULL;
    const struct l1_key key = key_of(scene, what, n);
    const struct l1_ask ask = {.now_ms = scene->now_ms, .generation = 1, .on_probation = true};
    if (l1_claim_unasked(scene->l1, &key, &ask, &before, &claim) != CLAIMED) {
        item_release(before);
        return MISS;
    }
    if (!l1_has_room_for(scene->l1, &key, heat, scene->now_ms)) {
        l1_unclaim(scene->l1, &key, claim.token);
        return BUSY;
    }
    struct item *item = item_of(scene, &key);
    const struct l1_landing landing = {.token = claim.token,
                                       .generation = 1,
                                       .install = true,
                                       .unused = true,
                                       .on_probation = true,
                                       .heat = heat,
                                       .now_ms = scene->now_ms};
    const enum status status = l1_fill(scene->l1, &key, &landing, item);
    item_release(item);
    scene->read++;
    scene->kept += status == OK;
    return status;
}

static unsigned standing(struct scene *scene, const char *what, unsigned count)
{
    unsigned stand = 0;
    struct l1_peek peek;
    for (unsigned i = 0; i < count; i++) {
        const struct l1_key key = key_of(scene, what, i);
        stand += l1_peek(scene->l1, &key, scene->now_ms, 0, &peek) == OK;
    }
    return stand;
}

static unsigned hits(struct scene *scene, const char *what, unsigned count)
{
    unsigned hit = 0;
    for (unsigned i = 0; i < count; i++) {
        hit += ask_for(scene, what, i);
    }
    return hit;
}

/* L1 is full of keys that are read again and again. */
static void heat_up(struct scene *scene, unsigned count)
{
    for (unsigned round = 0; round < 12; round++) {
        scene->now_ms += 1000;
        (void)hits(scene, "hot", count);
    }
}

static size_t bytes(const struct scene *scene)
{
    return help_stats(scene->l1).bytes_used;
}

typedef void scenario(struct scene *scene);

static void under_every_policy(scenario *play)
{
    for (unsigned i = 0; policy_at(i) != NULL; i++) {
        struct scene scene;
        scene_open(&scene, policy_at(i));
        play(&scene);
        l1_free(scene.l1);
    }
}

static void play_full(struct scene *scene)
{
    heat_up(scene, 3 * HOT);
    const unsigned stood = standing(scene, "hot", 3 * HOT);
    assert_true(stood > HOT);
    for (unsigned i = 0; i < WARMED; i++) {
        scene->now_ms += 2;
        (void)warm(scene, "w", i, 0);
    }
    if (standing(scene, "hot", 3 * HOT) != stood) {
        fail_msg("%s: %u of %u stand", scene->policy->name, standing(scene, "hot", 3 * HOT), stood);
    }
    assert_true(scene->read < WARMED / 10); /* nor is L2 asked for what would not be kept */
}

static void warming_three_times_its_size_pushes_out_nothing_hot(void **state)
{
    (void)state;
    under_every_policy(play_full);
}

/* Clients go on reading, one hot key for each that is warmed. */
static void play_under_load(struct scene *scene)
{
    unsigned hit = 0;
    unsigned asked = 0;
    heat_up(scene, HOT);
    assert_int_equal(hits(scene, "hot", HOT), HOT);
    for (unsigned i = 0; i < WARMED; i++) {
        scene->now_ms += 2;
        (void)warm(scene, "w", i, 0);
        hit += ask_for(scene, "hot", i * 7 % HOT);
        asked++;
    }
    assert_int_equal(hit, asked);
    assert_int_equal(standing(scene, "hot", HOT), HOT);
    assert_true(scene->kept > BUDGET / VALUE / 4); /* what was free is taken */
    assert_true(bytes(scene) <=
                BUDGET + 2 * ARENA_PAGE); /* where the claim was, one in each shard */
}

static void the_hit_ratio_of_the_hot_set_is_unchanged_while_the_rest_is_warmed(void **state)
{
    (void)state;
    under_every_policy(play_under_load);
}

/* A client's keys come: what was warmed and is not used leaves for them, nothing that is hot. Under ttl the expiry
 * decides, under random chance, and where nothing may leave nothing does. */
static void play_newcomers(struct scene *scene)
{
    const struct policy *policy = scene->policy;
    if (policy != &policy_density && policy != &policy_s3fifo && policy != &policy_lru &&
        policy != &policy_lfu && policy != &policy_volatile_lru && policy != &policy_volatile_lfu) {
        return;
    }
    heat_up(scene, HOT);
    for (unsigned i = 0; i < WARMED; i++) {
        (void)warm(scene, "w", i, 0);
    }
    const unsigned warmed = standing(scene, "w", WARMED);
    scene->now_ms += 100;
    for (unsigned i = 0; i < warmed / 2; i++) {
        (void)ask_for(scene, "new", i);
    }
    assert_true(standing(scene, "hot", HOT) >= HOT - HOT / 100);
    assert_true(standing(scene, "new", warmed / 2) > warmed / 2 - warmed / 20);
    assert_true(standing(scene, "w", WARMED) < warmed * 3 / 4);
}

static void what_was_warmed_leaves_first(void **state)
{
    (void)state;
    under_every_policy(play_newcomers);
}

/* What nobody has used for hours leaves for what others say is hot. */
static void play_cold(struct scene *scene)
{
    if (scene->policy == &policy_noeviction) {
        return;
    }
    heat_up(scene, HOT);
    while (bytes(scene) < BUDGET - BUDGET / 64) {
        (void)ask_for(scene, "old", scene->kept++);
    }
    const unsigned old = scene->kept;
    scene->kept = 0;
    if (scene->policy->remembers) { /* time is the room that was filled since */
        for (unsigned i = 0; i < 4 * old; i++) {
            (void)ask_for(scene, "hot", i % HOT);
            (void)ask_for(scene, "scan", i);
        }
    }
    scene->now_ms += 3 * HOUR;
    for (unsigned round = 0; round < 10; round++) {
        (void)hits(scene, "hot", HOT);
    }
    const bool counts =
        scene->policy->frequency(0, NOW) >= 0; /* and 200 were more than these have */
    const unsigned stood = standing(scene, "hot", HOT);
    for (unsigned i = 0; i < old; i++) {
        (void)warm(scene, "w", i, counts ? 5 : 200);
    }
    if (scene->kept < old / 4) {
        fail_msg("%s: %u of %u", scene->policy->name, scene->kept, old);
    }
    /* s3fifo knows when an entry came, not when it was used last: some that are read all the time count as old. */
    const unsigned now = standing(scene, "hot", HOT);
    if (now != stood && (scene->policy != &policy_s3fifo || now < HOT / 2)) {
        fail_msg("%s: %u of %u stand", scene->policy->name, now, stood);
    }
}

static void what_is_colder_leaves_for_what_the_source_calls_hot(void **state)
{
    (void)state;
    under_every_policy(play_cold);
}

static void of_a_suspect_the_standing_stays(void **state)
{
    (void)state;
    struct scene scene;
    struct l1_claim claim;
    struct item *before = NULL;
    struct l1_peek peek;
    scene_open(&scene, &policy_lru);
    (void)ask_for(&scene, "k", 1);
    scene.now_ms += MINUTE;
    const struct l1_key key = key_of(&scene, "k", 1);
    const struct l1_ask ask = {
        .now_ms = scene.now_ms, .floor_ms = scene.now_ms, .generation = 1, .on_probation = true};
    assert_int_equal(l1_claim_unasked(scene.l1, &key, &ask, &before, &claim), CLAIMED);
    assert_non_null(before);
    item_release(before);
    struct item *item = item_of(&scene, &key);
    const struct l1_landing landing = {.token = claim.token,
                                       .generation = 1,
                                       .install = true,
                                       .unused = true,
                                       .on_probation = true,
                                       .now_ms = scene.now_ms};
    assert_int_equal(l1_fill(scene.l1, &key, &landing, item), OK);
    item_release(item);
    assert_int_equal(l1_peek(scene.l1, &key, scene.now_ms, 0, &peek), OK);
    assert_in_range(peek.idle_ms, MINUTE - 8, MINUTE + 8);
    l1_free(scene.l1);
}

/* --- the words ------------------------------------------------------------------------------------------------------ */

struct bench {
    struct arena *arena;
    struct policy_memory *memory;
};

static void bench_open(struct bench *bench)
{
    bench->arena = arena_new();
    bench->memory = policy_memory_new(bench->arena);
    assert_non_null(bench->memory);
    policy_memory_set_budget(bench->memory, 1 << 16);
}

static void bench_done(struct bench *bench)
{
    policy_memory_free(bench->memory);
    arena_close(bench->arena);
}

static const struct policy_newcomer newcomer = {.hash = 77, .size = 700, .now_ms = NOW};

static void its_first_use_makes_it_an_ordinary_newcomer(void **state)
{
    (void)state;
    for (unsigned i = 0; policy_at(i) != NULL; i++) {
        const struct policy *policy = policy_at(i);
        struct bench a;
        struct bench b;
        bench_open(&a);
        bench_open(&b);
        const uint32_t first = policy->first(a.memory, &newcomer);
        const uint32_t used =
            policy->touch(b.memory, policy->probation(b.memory, &newcomer, 0), 0, NOW, 0);
        assert_int_equal(used, first);
        assert_int_equal(b.memory->tick, a.memory->tick);
        bench_done(&a);
        bench_done(&b);
    }
}

static void warming_lets_no_clock_go_on_and_teaches_nothing(void **state)
{
    (void)state;
    for (unsigned i = 0; policy_at(i) != NULL; i++) {
        const struct policy *policy = policy_at(i);
        struct bench bench;
        bench_open(&bench);
        const struct policy_memory before = *bench.memory;
        for (unsigned k = 0; k < 1000; k++) {
            const uint32_t word = policy->probation(bench.memory, &newcomer, (uint8_t)k);
            if (policy->evicted != NULL) {
                policy->evicted(bench.memory, k, word);
            }
        }
        assert_memory_equal(bench.memory, &before, sizeof before);
        bench_done(&bench);
    }
}

static void the_hotter_the_source_says_the_warmer_it_stands(void **state)
{
    (void)state;
    for (unsigned i = 0; policy_at(i) != NULL; i++) {
        const struct policy *policy = policy_at(i);
        struct bench bench;
        bench_open(&bench);
        uint64_t last = UINT64_MAX;
        for (unsigned heat = 0; heat <= POLICY_HEAT_MAX; heat++) {
            const uint64_t coldness = policy->coldness(
                bench.memory, policy->probation(bench.memory, &newcomer, (uint8_t)heat), NOW);
            assert_true(coldness > 0 && coldness <= last);
            last = coldness;
        }
        assert_true(last < policy->coldness(bench.memory,
                                            policy->probation(bench.memory, &newcomer, 0), NOW));
        bench_done(&bench);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(warming_three_times_its_size_pushes_out_nothing_hot),
        cmocka_unit_test(the_hit_ratio_of_the_hot_set_is_unchanged_while_the_rest_is_warmed),
        cmocka_unit_test(what_was_warmed_leaves_first),
        cmocka_unit_test(what_is_colder_leaves_for_what_the_source_calls_hot),
        cmocka_unit_test(of_a_suspect_the_standing_stays),
        cmocka_unit_test(its_first_use_makes_it_an_ordinary_newcomer),
        cmocka_unit_test(warming_lets_no_clock_go_on_and_teaches_nothing),
        cmocka_unit_test(the_hotter_the_source_says_the_warmer_it_stands),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
