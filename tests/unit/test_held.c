/* SPDX-License-Identifier: BSD-3-Clause */
/* What L1 holds, told to others: which keys, how much each weighs, and in what order. */
#include "bench/zipf.h"
#include "tests/unit/l1_help.h"
#include "tiers/held.h"
#include "tiers/hot_merge.h"
#include "tiers/policy.h"

#include <math.h>

#define NOW INT64_C(1800000000000)

enum {
    KEYS = 8000,
    ROWS = 400, /* of the sketch */
    READS = 60000
};

/* A node whose clients read by Zipf what all lies in L1, and the pages that it writes. */
struct world {
    struct namespaces *spaces;
    struct l1 *l1;
    struct hot hot;
    double reads[KEYS];
    int64_t now_ms;
    struct hot_list *list;
    struct held held;
};

static struct slice key_of(char dst[24], uint64_t number)
{
    return (struct slice){dst, (size_t)snprintf(dst, 24, "key:%05llu", (unsigned long long)number)};
}

static uint64_t number_of(struct slice key)
{
    char text[24] = "";
    unsigned long long number = KEYS;
    memcpy(text, key.data, key.size < sizeof text ? key.size : sizeof text - 1);
    assert_int_equal(sscanf(text, "key:%llu", &number), 1);
    assert_true(number < KEYS);
    return number;
}

static struct world *world_new(const struct policy *policy, unsigned keys)
{
    struct world *world = calloc(1, sizeof *world);
    const struct namespace_spec spec = {
        .name = SLICE_LITERAL("default"),
        .settings = {.mode = {.bound_ms = 1000}, .memory = 32 << 20, .policy = policy}};
    assert_non_null(world);
    world->spaces = namespaces_new(&spec, 1, help_seed());
    assert_non_null(world->spaces);
    world->l1 = namespaces_default(world->spaces)->l1;
    world->now_ms = NOW;
    assert_int_equal(
        hot_open(&world->hot,
                 &(struct hot_options){.rows = ROWS, .seed = help_seed(), .now_ms = NOW}),
        OK);
    for (unsigned i = 0; i < keys; i++) {
        char text[24];
        (void)key_of(text, i);
        help_set(world->l1, 0, text, "value", 0, NOW);
    }
    return world;
}

static void world_free(struct world *world)
{
    held_done(&world->held);
    hot_list_release(world->list);
    hot_close(&world->hot);
    namespaces_free(world->spaces);
    free(world);
}

static void world_read(struct world *world, uint64_t number)
{
    char text[24];
    const struct slice key = key_of(text, number);
    const struct l1_key at = l1_key(world->l1, 0, key);
    char room[16];
    struct l1_value got = {.copy = room, .copy_room = sizeof room};
    assert_int_equal(l1_get(world->l1, &at, world->now_ms, 0, &got), OK);
    item_release(got.item);
    hot_note(&world->hot, at.hash, 0, key);
    world->reads[number]++;
}

/* So many reads of Zipf 0.99 over the first `keys`, in one minute. */
static void world_serves(struct world *world, unsigned keys, unsigned reads)
{
    struct zipf zipf;
    struct rng rng;
    zipf_init(&zipf, keys, 0.99);
    rng_init(&rng, help_seed());
    for (unsigned i = 0; i < reads; i++) {
        if (i % (reads / 600) == 0) {
            world->now_ms += 100;
            hot_tick(&world->hot, world->now_ms);
            for (unsigned j = 0; j < KEYS; j++) {
                world->reads[j] *= exp2(-100.0 / HOT_HALF_LIFE_MS);
            }
        }
        world_read(world, zipf_next(&zipf, &rng));
    }
}

/* Writes down what it holds, L1 having answered that part of the reads. */
static void world_tells(struct world *world, double part)
{
    struct hot_copy copy = {0};
    hot_list_release(world->list);
    held_done(&world->held);
    assert_int_equal(hot_copy(&world->hot, &copy, world->now_ms), OK);
    assert_int_equal(hot_list_of_copies(&copy, 1, ROWS, NOW, &world->list), OK);
    hot_copy_done(&copy);
    world->list->hits = world->list->total * part;
    const struct held_wish wish = {.list = world->list, .writing = 7, .now_ms = world->now_ms};
    assert_int_equal(held_take(&world->held, world->spaces, &wish), OK);
}

/* As one who comes reads it: the list, and all pages. */
static struct hot_list *merged(const struct world *world)
{
    struct hot_merge *merge = hot_merge_new(2 * KEYS);
    struct hot_list *all = NULL;
    assert_non_null(merge);
    assert_int_equal(hot_merge_sure(merge, world->list, 1), OK);
    for (unsigned i = 0; i < world->held.told.pages; i++) {
        struct hot_list *page = NULL;
        const struct slice bytes = held_page(&world->held, i);
        assert_true(bytes.size <= HELD_PAGE_BYTES);
        assert_int_equal(hot_list_read(bytes, &page), OK);
        assert_int_equal(page->held.writing, 7);
        assert_int_equal(page->held.page, i);
        assert_int_equal(hot_merge_page(merge, page, 1), OK);
        hot_list_release(page);
    }
    assert_int_equal(hot_merge_end(merge, SIZE_MAX, SIZE_MAX, NOW, &all), OK);
    hot_merge_free(merge);
    return all;
}

static double mass_of(const struct hot_list *list)
{
    double sum = 0;
    for (size_t i = 0; i < list->count; i++) {
        sum += list->rows[i].count;
    }
    return sum;
}

static void every_key_that_is_held_is_told_and_all_together_weigh_the_hits(void **state)
{
    (void)state;
    struct world *world = world_new(&policy_lru, KEYS);
    world_serves(world, KEYS, READS);
    world_tells(world, 1);
    struct hot_list *all = merged(world);
    assert_int_equal(all->count, KEYS);
    assert_int_equal(world->held.told.keys, KEYS);
    assert_true(mass_of(world->list) <
                0.8 * world->list->total); /* or there were nothing to tell */
    assert_true(fabs(mass_of(all) / world->list->hits - 1) < 0.01);
    hot_list_release(all);
    world_free(world);
}

/* Of the real reads, those of the keys by which the list says that `part` of its mass is held. */
static double real_part(const struct world *world, const struct hot_list *all, double part)
{
    double told = 0;
    double real = 0;
    double sum = 0;
    for (size_t i = 0; i < KEYS; i++) {
        sum += world->reads[i];
    }
    for (size_t i = 0; i < all->count && told < part * mass_of(all); i++) {
        told += all->rows[i].count;
        real += world->reads[number_of(all->rows[i].key)];
    }
    return real / sum;
}

static void what_is_told_of_the_hottest_is_what_they_were_read_under_every_policy(void **state)
{
    (void)state;
    for (unsigned i = 0; policy_at(i) != NULL; i++) {
        struct world *world = world_new(policy_at(i), KEYS);
        world_serves(world, KEYS, READS);
        world_tells(world, 1);
        struct hot_list *all = merged(world);
        const double real = real_part(world, all, 0.8);
        print_message("%-16s 80 %% of the mass are %.1f %% of the reads\n", policy_at(i)->name,
                      100 * real);
        assert_true(real > 0.74);
        hot_list_release(all);
        world_free(world);
    }
}

/* Of one read in many, counted as so many: most rows are keys that were met once by chance. */
static void what_a_busy_worker_sampled_passes_for_no_more_than_it_is(void **state)
{
    (void)state;
    struct world *world = world_new(&policy_density, KEYS);
    hot_close(&world->hot);
    const struct hot_options options = {
        .rows = ROWS, .samples = 2, .seed = help_seed(), .now_ms = NOW};
    assert_int_equal(hot_open(&world->hot, &options), OK);
    world_serves(world, KEYS, READS);
    assert_true(hot_every(&world->hot) > 8);
    world_tells(world, 1);
    struct hot_list *all = merged(world);
    assert_int_equal(all->count, KEYS);
    assert_true(mass_of(world->list) > 0.9 * world->list->total); /* so it would say by itself */
    assert_true(real_part(world, all, 0.8) > 0.74);
    hot_list_release(all);
    world_free(world);
}

static void keys_that_nobody_reads_come_last_and_weigh_little(void **state)
{
    (void)state;
    struct world *world = world_new(&policy_lfu, KEYS);
    world->now_ms += 600000; /* they have been idle for long */
    hot_tick(&world->hot, world->now_ms);
    world_serves(world, KEYS / 4, READS / 4);
    world_tells(world, 1);
    struct hot_list *all = merged(world);
    double idle = 0;
    size_t in_front = 0;
    for (size_t i = 0; i < all->count; i++) {
        const bool is_idle = number_of(all->rows[i].key) >= KEYS / 4;
        idle += is_idle ? all->rows[i].count : 0;
        in_front += is_idle && i < KEYS / 8;
    }
    assert_true(in_front == 0);
    assert_true(idle < 0.25 * mass_of(all)); /* three in four of the keys */
    hot_list_release(all);
    world_free(world);
}

static void where_nothing_can_be_measured_all_is_spread_evenly(void **state)
{
    (void)state;
    struct world *world = world_new(&policy_random, 1000);
    world_read(world, 0);
    world_tells(world, 1);
    world->list->hits = world->list->total = 1001;
    held_done(&world->held);
    const struct held_wish wish = {.list = world->list, .writing = 7, .now_ms = world->now_ms};
    assert_int_equal(held_take(&world->held, world->spaces, &wish), OK);
    struct hot_list *all = merged(world);
    assert_int_equal(all->count, 1000);
    assert_true(all->rows[0].count < 2 * all->rows[999].count + 1);
    assert_true(fabs(mass_of(all) - 1001) < 10); /* pages count in 256ths */
    hot_list_release(all);
    world_free(world);
}

static void a_node_whose_sketch_knows_all_that_it_holds_writes_no_pages(void **state)
{
    (void)state;
    struct world *world = world_new(&policy_lru, ROWS / 2);
    for (uint64_t i = 0; i < ROWS / 2; i++) {
        world_read(world, i);
    }
    world_serves(world, ROWS / 2, READS / 10);
    world_tells(world, 1);
    assert_int_equal(world->held.told.pages, 0);
    assert_int_equal(world->held.told.writing, 0);
    world_free(world);
}

static void a_list_that_knows_more_than_the_hits_leaves_no_weight_for_the_rest(void **state)
{
    (void)state;
    struct world *world = world_new(&policy_lru, KEYS);
    world_serves(world, KEYS, READS / 10);
    world_tells(world, 0.1);
    struct hot_list *all = merged(world);
    assert_int_equal(all->count, KEYS); /* named all the same */
    double sure = 0;
    for (size_t i = 0; i < world->list->count; i++) {
        sure += hot_list_sure(world->list, world->list->rows[i].count);
    }
    assert_true(fabs(mass_of(all) - sure) < 1e-3);
    hot_list_release(all);
    world_free(world);
}

/* Long keys that LZ4 makes nothing of: more than there may be pages. */
static void pages_are_bounded_and_it_is_the_coldest_that_is_left_out(void **state)
{
    (void)state;
    enum {
        LONG = 500,
        MANY = 12000
    };
    struct world *world = world_new(&policy_lru, 0);
    struct rand rand;
    rand_seed(&rand, help_seed());
    for (unsigned i = 0; i < MANY; i++) {
        char text[LONG + 1];
        for (unsigned j = 0; j < LONG; j++) {
            text[j] = (char)('!' + rand_below(&rand, 90));
        }
        (void)memcpy(text, i < MANY / 2 ? "cold" : "warm", 4);
        text[LONG] = '\0';
        help_set(world->l1, 0, text, "", 0, i < MANY / 2 ? NOW - 3600000 : NOW);
    }
    char key[24];
    (void)key_of(key, 0);
    help_set(world->l1, 0, key, "value", 0, NOW);
    world_read(world, 0);
    world_tells(world, 1);
    assert_int_equal(world->held.told.pages, HELD_PAGES_MAX);
    assert_true(world->held.rows < MANY);
    assert_true(world->held.bytes.size <= (size_t)HELD_PAGES_MAX * HELD_PAGE_BYTES);
    struct hot_list *all = merged(world);
    size_t warm = 0;
    for (size_t i = 0; i < all->count; i++) {
        warm += memcmp(all->rows[i].key.data, "warm", 4) == 0;
    }
    assert_true(warm > MANY / 2 - 200 || warm >= world->held.rows - 1);
    assert_true(world->held.bytes.size > (size_t)HELD_PAGES_MAX * HELD_PAGE_BYTES * 3 / 4);
    hot_list_release(all);
    world_free(world);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_key_that_is_held_is_told_and_all_together_weigh_the_hits),
        cmocka_unit_test(what_is_told_of_the_hottest_is_what_they_were_read_under_every_policy),
        cmocka_unit_test(what_a_busy_worker_sampled_passes_for_no_more_than_it_is),
        cmocka_unit_test(keys_that_nobody_reads_come_last_and_weigh_little),
        cmocka_unit_test(where_nothing_can_be_measured_all_is_spread_evenly),
        cmocka_unit_test(a_node_whose_sketch_knows_all_that_it_holds_writes_no_pages),
        cmocka_unit_test(a_list_that_knows_more_than_the_hits_leaves_no_weight_for_the_rest),
        cmocka_unit_test(pages_are_bounded_and_it_is_the_coldest_that_is_left_out),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
