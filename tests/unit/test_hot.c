/* SPDX-License-Identifier: BSD-3-Clause */
#include "bench/zipf.h"
#include "protocol/codec.h"
#include "protocol/hash.h"
#include "tiers/base/rand.h"
#include "tiers/hot.h"
#include "tiers/hot_merge.h"
#include "tiers/policy.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "seed_help.h"

#define NOW INT64_C(1800000000000)

enum {
    ROWS = 64,
    KEYS = 20000
};

/* What was read, exactly, beside the sketch that is to know it within its bounds. */
struct world {
    struct hot hot;
    int64_t now_ms;
    double reads[KEYS];
    double total;
};

static struct slice key_of(char dst[16], uint64_t number)
{
    return (struct slice){dst, (size_t)snprintf(dst, 16, "key:%llu", (unsigned long long)number)};
}

static struct world *world_new(unsigned rows, unsigned samples)
{
    struct world *world = calloc(1, sizeof *world);
    assert_non_null(world);
    world->now_ms = NOW;
    const struct hot_options options = {
        .rows = rows, .samples = samples, .seed = help_seed(), .now_ms = NOW};
    assert_int_equal(hot_open(&world->hot, &options), OK);
    return world;
}

static void world_free(struct world *world)
{
    hot_close(&world->hot);
    free(world);
}

static void world_read(struct world *world, uint64_t number)
{
    char text[16];
    const struct slice key = key_of(text, number);
    hot_note(&world->hot, hash_checksum(key), 0, key);
    world->reads[number]++;
    world->total++;
}

/* Time goes on; what was read before counts less. */
static void world_waits(struct world *world, int64_t ms)
{
    const double factor = exp2(-(double)ms / HOT_HALF_LIFE_MS);
    world->now_ms += ms;
    world->total *= factor;
    for (size_t i = 0; i < KEYS; i++) {
        world->reads[i] *= factor;
    }
    hot_tick(&world->hot, world->now_ms);
}

static uint64_t number_of(struct slice key)
{
    char text[16] = "";
    memcpy(text, key.data, key.size);
    unsigned long long number = KEYS;
    assert_int_equal(sscanf(text, "key:%llu", &number), 1);
    assert_true(number < KEYS);
    return number;
}

/* The promise of hot.h: every row is within its bounds, no error is above W/m, and no key with more than that is missing. */
static void check_bounds(const struct world *world, unsigned rows)
{
    const double slack = 1e-6 * (1 + world->total);
    struct hot_copy copy = {0};
    bool *is_there = calloc(KEYS, sizeof *is_there);
    assert_non_null(is_there);
    assert_int_equal(hot_copy(&world->hot, &copy, world->now_ms), OK);
    assert_true(fabs(copy.total - world->total) < slack);
    assert_true(copy.least <= world->total / rows + slack);
    for (size_t i = 0; i < copy.count; i++) {
        const struct hot_copied *row = &copy.rows[i];
        const uint64_t number =
            number_of((struct slice){copy.keys.data + row->key_at, row->key_size});
        assert_false(is_there[number]);
        is_there[number] = true;
        assert_true(row->count <= world->reads[number] + slack);
        assert_true(row->count + row->error >= world->reads[number] - slack);
        assert_true(row->error <= world->total / rows + slack);
    }
    for (size_t i = 0; i < KEYS; i++) {
        assert_true(is_there[i] || world->reads[i] <= copy.least + slack);
    }
    free(is_there);
    hot_copy_done(&copy);
}

static void few_keys_are_counted_exactly(void **state)
{
    (void)state;
    struct world *world = world_new(ROWS, 0);
    for (uint64_t i = 0; i < ROWS; i++) {
        for (uint64_t j = 0; j <= i; j++) {
            world_read(world, i);
        }
    }
    struct hot_copy copy = {0};
    assert_int_equal(hot_copy(&world->hot, &copy, NOW), OK);
    assert_int_equal(copy.count, ROWS);
    for (size_t i = 0; i < copy.count; i++) {
        const struct hot_copied *row = &copy.rows[i];
        const struct slice key = {copy.keys.data + row->key_at, row->key_size};
        assert_true(row->count == (double)number_of(key) + 1 && row->error == 0);
    }
    hot_copy_done(&copy);
    world_free(world);
}

static void counts_of_a_zipf_are_within_their_bounds(void **state)
{
    (void)state;
    static const double exponents[] = {0, 0.7, 1.0, 1.3};
    for (size_t i = 0; i < sizeof exponents / sizeof exponents[0]; i++) {
        struct world *world = world_new(ROWS, 0);
        struct zipf zipf;
        struct rng rng;
        zipf_init(&zipf, KEYS, exponents[i]);
        rng_init(&rng, help_seed());
        for (int read = 0; read < HELP_ROUNDS(30000); read++) {
            world_read(world, zipf_next(&zipf, &rng));
            if (read % 5000 == 0) {
                check_bounds(world, ROWS);
                world_waits(world, 7000);
            }
        }
        check_bounds(world, ROWS);
        world_free(world);
    }
}

/* Shaped as the traces of caches that were looked at: a head that drifts, loops over much more than fits, and keys that come
 * once. */
static void counts_of_a_drifting_load_are_within_their_bounds(void **state)
{
    (void)state;
    struct world *world = world_new(ROWS, 0);
    struct rng rng;
    rng_init(&rng, help_seed());
    uint64_t once = KEYS / 2;
    for (uint64_t read = 0; read < (uint64_t)HELP_ROUNDS(40000); read++) {
        const uint64_t kind = rng_next(&rng) % 10;
        if (kind < 5) {
            const uint64_t head = read / 4000 * 20;
            world_read(world, (head + rng_next(&rng) % 20) % (KEYS / 4));
        } else if (kind < 8) {
            world_read(world, KEYS / 4 + read % (KEYS / 4));
        } else {
            world_read(world, once++ % (KEYS / 2) + KEYS / 2);
        }
        if (read % 3000 == 0) {
            world_waits(world, 20000);
        }
    }
    check_bounds(world, ROWS);
    world_free(world);
}

/* Each key once: every row ends with W/m, of which all but the last read may be another's. */
static void who_asks_for_each_key_once_makes_none_hot(void **state)
{
    (void)state;
    struct world *world = world_new(ROWS, 0);
    for (uint64_t i = 0; i < KEYS / 2; i++) {
        world_read(world, i);
        if (i % 100 == 0) {
            world_read(world, KEYS - 1);
        }
    }
    check_bounds(world, ROWS);
    struct hot_copy copy = {0};
    struct hot_list *list = NULL;
    assert_int_equal(hot_copy(&world->hot, &copy, NOW), OK);
    assert_int_equal(hot_list_of_copies(&copy, 1, ROWS, NOW, &list), OK);
    for (size_t i = 0; i < list->count; i++) {
        assert_true(list->rows[i].count <= 100);
    }
    hot_list_release(list);
    hot_copy_done(&copy);
    world_free(world);
}

/* An adversary who reads a key just often enough to push another one out, again and again. */
static void who_pushes_rows_out_breaks_no_bound(void **state)
{
    (void)state;
    struct world *world = world_new(8, 0);
    for (uint64_t round = 0; round < 2000; round++) {
        for (uint64_t i = 0; i < 9; i++) {
            world_read(world, i);
        }
        world_read(world, 100 + round % 3);
    }
    check_bounds(world, 8);
    world_free(world);
}

static void what_was_read_fades_by_half(void **state)
{
    (void)state;
    struct world *world = world_new(ROWS, 0);
    for (int i = 0; i < 800; i++) {
        world_read(world, 1);
    }
    world_waits(world, 3 * HOT_HALF_LIFE_MS);
    check_bounds(world, ROWS);
    struct hot_copy copy = {0};
    assert_int_equal(hot_copy(&world->hot, &copy, world->now_ms), OK);
    assert_true(fabs(copy.rows[0].count - 100) < 1e-6);
    world_waits(world, 500 * (int64_t)HOT_HALF_LIFE_MS); /* all weights begin anew */
    world_read(world, 2);
    check_bounds(world, ROWS);
    world_waits(world, 5000 * (int64_t)HOT_HALF_LIFE_MS);
    world_read(world, 3);
    check_bounds(world, ROWS);
    hot_copy_done(&copy);
    world_free(world);
}

static void a_steady_load_has_its_rate_from_the_first_minute_on(void **state)
{
    (void)state;
    struct world *world = world_new(ROWS, 0);
    struct hot_copy copy = {0};
    for (int tick = 1; tick <= 3000; tick++) {
        for (int i = 0; i < 5; i++) {
            world_read(world, 7);
        }
        world->now_ms += 100;
        hot_tick(&world->hot, world->now_ms);
        if (tick == 100 || tick == 3000) { /* 10 s, 5 minutes: 50 reads a second */
            assert_int_equal(hot_copy(&world->hot, &copy, world->now_ms), OK);
            assert_true(fabs(copy.rows[0].count / copy.window_s - 50) < 0.5);
        }
    }
    hot_copy_done(&copy);
    world_free(world);
}

/* One read of many is counted, as many: what is told of a key is right on average, whatever the rhythm of the reads. */
static void a_busy_worker_counts_samples_that_stand_for_all(void **state)
{
    (void)state;
    struct world *world = world_new(ROWS, HOT_SAMPLES);
    const int rounds = HELP_ROUNDS(60);
    for (int tick = 0; tick < rounds; tick++) {
        for (uint64_t i = 0; i < 16384; i++) {
            world_read(world,
                       i % 16 == 0 ? 1 : 2 + i % 16); /* a pipeline of 16: always the first */
        }
        world->now_ms += 100;
        hot_tick(&world->hot, world->now_ms);
    }
    assert_true(hot_every(&world->hot) >= 64 && hot_every(&world->hot) <= 512);
    struct hot_copy copy = {0};
    assert_int_equal(hot_copy(&world->hot, &copy, world->now_ms), OK);
    const double samples = rounds * (HOT_SAMPLES / 4.0);
    const double deviations = 6 * sqrt(15.0 / 16 / 16 / samples);
    assert_true(copy.count == 16);
    for (size_t i = 0; i < copy.count; i++) {
        assert_true(fabs(copy.rows[i].count / copy.total - 1.0 / 16) < deviations);
    }
    for (int tick = 0; tick < 20; tick++) { /* and when it is quiet again, every one */
        world_waits(world, 100);
    }
    assert_int_equal(hot_every(&world->hot), 1);
    hot_copy_done(&copy);
    world_free(world);
}

static void long_keys_and_no_rows_count_nothing(void **state)
{
    (void)state;
    static char big[HOT_KEY_MAX + 1];
    struct world *world = world_new(ROWS, 0);
    struct hot_copy copy = {0};
    hot_note(&world->hot, 1, 0, (struct slice){big, sizeof big});
    hot_note(&world->hot, 1, 0, (struct slice){big, HOT_KEY_MAX});
    hot_note(&world->hot, 1, 1, (struct slice){big, HOT_KEY_MAX});
    hot_note(&world->hot, 2, 1, (struct slice){0});
    assert_int_equal(hot_copy(&world->hot, &copy, NOW), OK);
    assert_int_equal(copy.count, 3);
    world_free(world);

    struct hot none;
    assert_int_equal(hot_open(&none, &(struct hot_options){0}), OK);
    for (int i = 0; i < 10; i++) {
        hot_note(&none, 1, 0, SLICE_LITERAL("k"));
    }
    hot_tick(&none, NOW);
    assert_int_equal(hot_copy(&none, &copy, NOW), OK);
    assert_int_equal(copy.count, 0);
    hot_copy_done(&copy);
    hot_close(&none);
}

/* --- lists ------------------------------------------------------------------------------------------------------------ */

/* Reads of several workers, each with a part of the keys' reads; the merged list against the exact sums. */
static void merged_sketches_keep_their_bounds(void **state)
{
    (void)state;
    enum {
        WORKERS = 3
    };
    struct world *worlds[WORKERS];
    struct hot_copy copies[WORKERS] = {{0}};
    struct zipf zipf;
    struct rng rng;
    zipf_init(&zipf, KEYS, 1.1);
    rng_init(&rng, help_seed());
    double total = 0;
    for (int i = 0; i < WORKERS; i++) {
        worlds[i] = world_new(ROWS, 0);
        for (int read = 0; read < 4000 * (i + 1); read++) {
            world_read(worlds[i], zipf_next(&zipf, &rng));
        }
        total += worlds[i]->total;
        assert_int_equal(hot_copy(&worlds[i]->hot, &copies[i], NOW), OK);
    }
    struct hot_list *list = NULL;
    assert_int_equal(hot_list_of_copies(copies, WORKERS, KEYS, NOW, &list), OK);
    assert_true(list->total == total);
    for (size_t i = 0; i < list->count; i++) {
        const struct hot_row *row = &list->rows[i];
        double reads = 0;
        for (int j = 0; j < WORKERS; j++) {
            reads += worlds[j]->reads[number_of(row->key)];
        }
        assert_true(row->count <= reads && row->count + row->error >= reads - 1e-6);
        assert_true(row->error <= total / ROWS + 1e-6);
        assert_true(i == 0 || list->rows[i - 1].count >= row->count);
        assert_true(i == 0 || list->rows[i - 1].heat >= row->heat);
    }
    assert_int_equal(number_of(list->rows[0].key), 0);
    hot_list_release(list);
    for (int i = 0; i < WORKERS; i++) {
        hot_copy_done(&copies[i]);
        world_free(worlds[i]);
    }
}

/* A list of `count` keys, whose names begin with `name` and hold every byte. */
static struct hot_list *list_of(const char *name, size_t count, double first, int64_t at_ms)
{
    struct hot hot;
    struct hot_copy copy = {0};
    struct hot_list *list = NULL;
    assert_int_equal(hot_open(&hot, &(struct hot_options){.rows = (unsigned)count, .now_ms = NOW}),
                     OK);
    for (size_t i = 0; i < count; i++) {
        char key[16];
        const int size = snprintf(key, sizeof key, "%s%c%zu", name, (char)i, i);
        const struct slice bytes = {key, (size_t)size};
        for (double reads = 0; reads < first / (double)(i + 1); reads++) {
            hot_note(&hot, hash_checksum(bytes), (uint8_t)(i % 16), bytes);
        }
    }
    assert_int_equal(hot_copy(&hot, &copy, NOW + 1000), OK);
    assert_int_equal(hot_list_of_copies(&copy, 1, count, at_ms, &list), OK);
    hot_copy_done(&copy);
    hot_close(&hot);
    return list;
}

static void check_same(const struct hot_list *a, const struct hot_list *b)
{
    assert_int_equal(a->count, b->count);
    assert_int_equal(a->written_at_ms, b->written_at_ms);
    assert_true(fabs(a->total - b->total) < 0.01 && fabs(a->window_s - b->window_s) < 0.01);
    for (size_t i = 0; i < a->count; i++) {
        assert_true(slice_equal(a->rows[i].key, b->rows[i].key));
        assert_int_equal(a->rows[i].db, b->rows[i].db);
        assert_int_equal(a->rows[i].heat, b->rows[i].heat);
        assert_true(fabs(a->rows[i].count - b->rows[i].count) < 0.01);
    }
}

static void a_list_is_read_as_it_was_written(void **state)
{
    (void)state;
    static const size_t counts[] = {1, 3, 300};
    for (size_t i = 0; i < sizeof counts / sizeof counts[0]; i++) {
        struct hot_list *list = list_of("k", counts[i], 500, NOW);
        struct hot_list *copy = NULL;
        struct buf bytes = {0};
        assert_int_equal(hot_list_write(list, &bytes), OK);
        assert_int_equal(hot_list_read(buf_slice(&bytes), &copy), OK);
        check_same(list, copy);
        hot_list_release(copy);
        hot_list_release(list);
        buf_done(&bytes);
    }
}

static void a_list_with_any_bit_flipped_or_cut_is_none(void **state)
{
    (void)state;
    struct hot_list *list = list_of("k", 20, 50, NOW);
    struct hot_list *copy = NULL;
    struct buf bytes = {0};
    assert_int_equal(hot_list_write(list, &bytes), OK);
    for (size_t i = 0; i < bytes.size; i++) {
        assert_int_equal(hot_list_read((struct slice){bytes.data, i}, &copy), MALFORMED);
        bytes.data[i] ^= (char)(1 << i % 8);
        assert_int_equal(hot_list_read(buf_slice(&bytes), &copy), MALFORMED);
        bytes.data[i] ^= (char)(1 << i % 8);
    }
    hot_list_release(list);
    buf_done(&bytes);
}

static void lists_of_nodes_add_up_and_old_ones_count_less(void **state)
{
    (void)state;
    struct hot_list *lists[] = {
        list_of("ab", 1, 100, NOW), NULL, list_of("ab", 1, 100, NOW - HOT_HALF_LIFE_MS),
        list_of("ab", 1, 1000, NOW - HOT_LIST_LIFE_MS - 1), list_of("c", 1, 120, NOW + 5000)};
    struct hot_list *merged = NULL;
    assert_int_equal(hot_list_of_lists(lists, 5, 10, NOW, &merged), OK);
    assert_int_equal(merged->count, 2);
    const double second = exp2(-1000.0 / HOT_HALF_LIFE_MS); /* between a read and its list */
    assert_true(fabs(merged->rows[0].count - 150 * second) < 1e-6);
    assert_true(fabs(merged->rows[1].count - 120 * second) < 1e-6);
    assert_true(fabs(merged->total - 270 * second) < 1e-6);
    hot_list_release(merged);
    assert_int_equal(hot_list_of_lists(lists, 5, 1, NOW, &merged), OK);
    assert_int_equal(merged->count, 1);
    hot_list_release(merged);
    for (size_t i = 0; i < 5; i++) {
        hot_list_release(lists[i]);
    }
}

static void a_list_takes_no_more_bytes_than_it_may(void **state)
{
    (void)state;
    static char key[HOT_KEY_MAX];
    struct hot hot;
    struct hot_copy copy = {0};
    struct hot_list *list = NULL;
    struct buf bytes = {0};
    assert_int_equal(hot_open(&hot, &(struct hot_options){.rows = 1000, .now_ms = NOW}), OK);
    struct rng rng;
    rng_init(&rng, 5);
    for (uint64_t i = 0; i < 1000; i++) {
        for (size_t j = 0; j < sizeof key; j += 8) {
            put_u64le(key + j, rng_next(&rng));
        }
        hot_note(&hot, i, 0, (struct slice){key, sizeof key});
    }
    assert_int_equal(hot_copy(&hot, &copy, NOW), OK);
    assert_int_equal(hot_list_of_copies(&copy, 1, 1000, NOW, &list), OK);
    assert_true(list->count < 1000 && list->count > 450);
    assert_int_equal(hot_list_write(list, &bytes), OK);
    assert_true(bytes.size <= HOT_LIST_BYTES + HOT_LIST_HEADER);
    buf_done(&bytes);
    hot_list_release(list);
    hot_copy_done(&copy);
    hot_close(&hot);
}

static void a_merge_that_is_full_adds_up_what_it_has_and_takes_no_more(void **state)
{
    (void)state;
    struct hot_list *first = list_of("a", 3, 30, NOW);
    struct hot_list *second = list_of("b", 3, 300, NOW);
    struct hot_merge *merge = hot_merge_new(3);
    struct hot_list *merged = NULL;
    assert_non_null(merge);
    assert_int_equal(hot_merge_list(merge, first, 1), OK);
    assert_true(hot_merge_is_full(merge));
    assert_int_equal(hot_merge_list(merge, second, 1), OK);
    assert_int_equal(hot_merge_page(merge, first, 0.5),
                     OK); /* of a page the reads are known already */
    assert_int_equal(hot_merge_end(merge, 10, SIZE_MAX, NOW, &merged), OK);
    assert_int_equal(merged->count, 3);
    for (size_t i = 0; i < 3; i++) {
        assert_true(slice_equal(merged->rows[i].key, first->rows[i].key));
        assert_true(fabs(merged->rows[i].count - 1.5 * first->rows[i].count) < 1e-6);
    }
    assert_true(fabs(merged->total - first->total - second->total) < 1e-6);
    hot_list_release(merged);
    hot_merge_free(merge);
    hot_list_release(first);
    hot_list_release(second);
}

/* The counter of lfu itself, read so often, on average. */
static double frequency_after(unsigned reads, unsigned tries)
{
    struct rand rand;
    double sum = 0;
    rand_seed(&rand, help_seed());
    for (unsigned i = 0; i < tries; i++) {
        const struct policy_newcomer newcomer = {.now_ms = NOW};
        uint32_t word = policy_lfu.first(NULL, &newcomer);
        for (unsigned read = 0; read < reads; read++) {
            word = policy_lfu.touch(NULL, word, 1, NOW, rand_next(&rand));
        }
        sum += policy_lfu.frequency(word, NOW);
    }
    return sum / tries;
}

static void heat_is_what_lfu_counts_on_average(void **state)
{
    (void)state;
    assert_int_equal(hot_heat(0), 5);
    assert_int_equal(hot_heat(1), 6);
    assert_int_equal(hot_heat(1e9), 255);
    static const unsigned reads[] = {1, 10, 30, 300, 3000};
    for (size_t i = 0; i < sizeof reads / sizeof reads[0]; i++) {
        const double counted = frequency_after(reads[i], 200);
        assert_true(fabs(counted - hot_heat(reads[i])) < 1 + 0.05 * counted);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(few_keys_are_counted_exactly),
        cmocka_unit_test(counts_of_a_zipf_are_within_their_bounds),
        cmocka_unit_test(counts_of_a_drifting_load_are_within_their_bounds),
        cmocka_unit_test(who_asks_for_each_key_once_makes_none_hot),
        cmocka_unit_test(who_pushes_rows_out_breaks_no_bound),
        cmocka_unit_test(what_was_read_fades_by_half),
        cmocka_unit_test(a_steady_load_has_its_rate_from_the_first_minute_on),
        cmocka_unit_test(a_busy_worker_counts_samples_that_stand_for_all),
        cmocka_unit_test(long_keys_and_no_rows_count_nothing),
        cmocka_unit_test(merged_sketches_keep_their_bounds),
        cmocka_unit_test(a_list_is_read_as_it_was_written),
        cmocka_unit_test(a_list_with_any_bit_flipped_or_cut_is_none),
        cmocka_unit_test(lists_of_nodes_add_up_and_old_ones_count_less),
        cmocka_unit_test(a_list_takes_no_more_bytes_than_it_may),
        cmocka_unit_test(a_merge_that_is_full_adds_up_what_it_has_and_takes_no_more),
        cmocka_unit_test(heat_is_what_lfu_counts_on_average),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
