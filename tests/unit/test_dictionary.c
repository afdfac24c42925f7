/* SPDX-License-Identifier: BSD-3-Clause */
/* Learning a dictionary, and which one is used. */
#include "protocol/check.h"
#include "tiers/base/rand.h"
#include "tiers/dictionary.h"
#include "tiers/trainer.h"

#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static struct dictionary_space *space_in(struct dictionaries *dictionaries)
{
    struct dictionary_space *space = dictionaries_at(dictionaries, SLICE_LITERAL("sessions"));
    assert_non_null(space);
    return space;
}

static struct slice row(char dst[256], uint64_t n)
{
    const int size = snprintf(
        dst, 256,
        "{\"id\":%llu,\"name\":\"user%llu\",\"roles\":[\"reader\",\"writer\"],\"active\":true}",
        (unsigned long long)n, (unsigned long long)(n * 7 % 1000));
    return (struct slice){dst, (size_t)size};
}

static struct slice noise(char dst[256], struct rand *rand)
{
    for (unsigned i = 0; i < 256; i += 8) {
        put_u64le(dst + i, rand_next(rand));
    }
    return (struct slice){dst, 256};
}

static void sample_rows(struct dictionary_space *space, uint64_t from, uint64_t to)
{
    char text[256];
    for (uint64_t n = from; n < to; n++) {
        dictionary_sample(space, row(text, n));
    }
}

static size_t compressed(struct slice value, struct slice bytes)
{
    struct codec_dictionary *codec = bytes.size == 0 ? NULL : codec_dictionary_new(bytes);
    struct buf block = {0};
    bool used = false;
    const enum status status = codec_compress(&block, value, codec, &used);
    const size_t size = status == OK ? block.size : value.size;
    buf_done(&block);
    codec_dictionary_free(codec);
    return size;
}

static void what_values_share_is_learned(void **state)
{
    (void)state;
    struct dictionaries *dictionaries = dictionaries_new();
    struct dictionary_space *space = space_in(dictionaries);
    sample_rows(space, 0, DICTIONARY_SAMPLES_MAX - 1);
    assert_false(dictionary_is_ready(space));
    sample_rows(space, 5000, 5001);
    assert_true(dictionary_is_ready(space));
    struct buf bytes = {0};
    assert_int_equal(dictionary_train(space, &bytes), OK);
    assert_true(bytes.size > 50 && bytes.size <= DICTIONARY_SIZE);
    assert_false(dictionary_is_ready(space));
    char text[256];
    const struct slice fresh = row(text, 777777);
    assert_true(compressed(fresh, buf_slice(&bytes)) * 2 < fresh.size);
    assert_int_equal(compressed(fresh, (struct slice){0}), fresh.size);
    buf_done(&bytes);
    dictionaries_free(dictionaries);
}

static void of_noise_nothing_is_learned(void **state)
{
    (void)state;
    struct rand rand;
    rand_seed(&rand, 7);
    struct dictionaries *dictionaries = dictionaries_new();
    struct dictionary_space *space = space_in(dictionaries);
    char text[256];
    while (!dictionary_is_ready(space)) {
        dictionary_sample(space, noise(text, &rand));
    }
    struct buf bytes = {0};
    assert_int_equal(dictionary_train(space, &bytes), MISS);
    assert_int_equal(bytes.size, 0);
    buf_done(&bytes);
    dictionaries_free(dictionaries);
}

/* The next attempt comes with twice as many values; one that is no better than the current one is none. */
static void a_dictionary_is_replaced_only_by_a_better_one(void **state)
{
    (void)state;
    struct dictionaries *dictionaries = dictionaries_new();
    struct dictionary_space *space = space_in(dictionaries);
    struct buf bytes = {0};
    sample_rows(space, 0, DICTIONARY_SAMPLES_MAX);
    assert_int_equal(dictionary_train(space, &bytes), OK);
    const uint64_t number = dictionary_number(buf_slice(&bytes));
    assert_int_equal(dictionary_learn(space, number, buf_slice(&bytes)), OK);
    dictionary_use(space, number);

    sample_rows(space, 0, DICTIONARY_SAMPLES_MAX - 1); /* as many again, and it collects anew: */
    assert_false(dictionary_is_ready(space));
    sample_rows(space, 0, DICTIONARY_SAMPLES_MAX);
    assert_true(dictionary_is_ready(space));
    bytes.size = 0;
    assert_int_equal(dictionary_train(space, &bytes), MISS);

    char text[256];
    for (unsigned n = 0; !dictionary_is_ready(space); n++) {
        const int size = snprintf(
            text, sizeof text, "<row><key>%u</key><value kind='other'>%u</value></row>", n, n * 3);
        dictionary_sample(space, (struct slice){text, (size_t)size});
    }
    assert_int_equal(dictionary_train(space, &bytes), OK);
    assert_true(dictionary_number(buf_slice(&bytes)) != number);
    buf_done(&bytes);
    dictionaries_free(dictionaries);
}

static void only_the_bytes_of_its_number_are_learned(void **state)
{
    (void)state;
    struct dictionaries *dictionaries = dictionaries_new();
    struct dictionary_space *space = space_in(dictionaries);
    const struct slice bytes = SLICE_LITERAL("any bytes at all");
    const uint64_t number = dictionary_number(bytes);
    assert_true(number > 0 && number < UINT64_C(1) << 48);
    assert_int_equal(dictionary_learn(space, number, SLICE_LITERAL("any bytes at al!")), INVALID);
    assert_int_equal(dictionary_learn(space, number, SLICE_LITERAL("")), INVALID);
    assert_int_equal(dictionary_learn(space, number + 1, bytes), INVALID);
    assert_null(dictionary_find(space, number));
    assert_int_equal(dictionary_learn(space, number, bytes), OK);
    assert_int_equal(dictionary_learn(space, number, bytes), OK);
    assert_true(slice_equal(codec_dictionary_bytes(dictionary_find(space, number)), bytes));
    assert_true(dictionary_current(space).number == 0);
    dictionary_use(space, number);
    assert_true(dictionary_current(space).number == number);
    dictionaries_free(dictionaries);
}

static void so_many_are_known_and_no_more(void **state)
{
    (void)state;
    struct dictionaries *dictionaries = dictionaries_new();
    struct dictionary_space *space = space_in(dictionaries);
    char text[32];
    for (unsigned i = 0; i <= DICTIONARIES_KNOWN_MAX; i++) {
        (void)snprintf(text, sizeof text, "dictionary %u", i);
        const struct slice bytes = slice_of(text);
        assert_int_equal(dictionary_learn(space, dictionary_number(bytes), bytes),
                         i < DICTIONARIES_KNOWN_MAX ? OK : TOO_BIG);
    }
    static char large[CODEC_DICTIONARY_MAX + 1];
    const struct slice bytes = {large, sizeof large};
    assert_int_equal(dictionary_learn(space, dictionary_number(bytes), bytes), TOO_BIG);
    dictionaries_free(dictionaries);
}

static void spaces_are_those_of_their_names(void **state)
{
    (void)state;
    struct dictionaries *dictionaries = dictionaries_new();
    struct dictionary_space *a = dictionaries_at(dictionaries, SLICE_LITERAL("a"));
    struct dictionary_space *b = dictionaries_at(dictionaries, SLICE_LITERAL("b"));
    assert_ptr_not_equal(a, b);
    assert_ptr_equal(dictionaries_at(dictionaries, SLICE_LITERAL("a")), a);
    assert_true(slice_is(dictionary_space_name(b), "b"));
    unsigned count = 0;
    for (struct dictionary_space *at = NULL; (at = dictionaries_next(dictionaries, at)) != NULL;) {
        count++;
    }
    assert_int_equal(count, 2);
    char name[16];
    for (unsigned i = 2; i <= DICTIONARY_SPACES_MAX; i++) {
        (void)snprintf(name, sizeof name, "n%u", i);
        assert_true((dictionaries_at(dictionaries, slice_of(name)) != NULL) ==
                    (i < DICTIONARY_SPACES_MAX));
    }
    dictionaries_free(dictionaries);
}

static void what_does_not_get_smaller_is_tried_seldom(void **state)
{
    (void)state;
    struct dictionaries *dictionaries = dictionaries_new();
    struct dictionary_space *space = space_in(dictionaries);
    for (unsigned i = 0; i < DICTIONARY_TRIES; i++) {
        assert_true(dictionary_tries(space));
        dictionary_tell(space, false);
    }
    unsigned tried = 0;
    for (unsigned i = 0; i < 10 * DICTIONARY_TRY_EVERY; i++) {
        if (dictionary_tries(space)) {
            tried++;
            dictionary_tell(space, false);
        }
    }
    assert_int_equal(tried, 10);
    dictionary_tell(space, true);
    assert_true(dictionary_tries(space));
    for (unsigned i = 0; i < DICTIONARY_TRIES; i++) {
        dictionary_tell(space, false);
    }
    assert_false(dictionary_tries(space));
    const struct slice bytes = SLICE_LITERAL("what failed without it may not with it");
    assert_int_equal(dictionary_learn(space, dictionary_number(bytes), bytes), OK);
    dictionary_use(space, dictionary_number(bytes));
    assert_true(dictionary_tries(space));
    dictionaries_free(dictionaries);
}

static void after_the_last_one_nothing_is_collected(void **state)
{
    (void)state;
    struct dictionaries *dictionaries = dictionaries_new();
    struct dictionary_space *space = space_in(dictionaries);
    sample_rows(space, 0, 100);
    dictionary_close(space);
    sample_rows(space, 0, 2 * DICTIONARY_SAMPLES_MAX);
    assert_false(dictionary_is_ready(space));
    dictionaries_free(dictionaries);
}

/* --- threads --- */

enum {
    WRITERS = 3,
    WRITES = 1000 /* behind the moment at which it is there */
};

struct writer {
    pthread_t thread;
    struct dictionaries *dictionaries;
    uint64_t first;
    _Atomic bool *learned;
    unsigned with_one; /* values that were compressed with a dictionary */
};

/* As a worker does: a sample, a try, a look at what is current. */
static void *write_rows(void *arg)
{
    struct writer *writer = arg;
    struct dictionary_space *space = space_in(writer->dictionaries);
    char text[256];
    struct buf block = {0};
    unsigned left = WRITES;
    for (uint64_t n = writer->first; left > 0; n++) {
        left -= atomic_load(writer->learned) ? 1 : 0;
        const struct slice value = row(text, n);
        dictionary_sample(space, value);
        if (!dictionary_tries(space)) {
            continue;
        }
        const struct dictionary current = dictionary_current(space);
        bool used = false;
        block.size = 0;
        const bool saved = codec_compress(&block, value, current.codec, &used) == OK;
        dictionary_tell(space, saved);
        if (saved && used) {
            char back[256];
            CHECK(dictionary_find(space, current.number) == current.codec);
            CHECK(codec_decompress(back, value.size, buf_slice(&block), current.codec) == OK);
            CHECK(memcmp(back, value.data, value.size) == 0);
            writer->with_one++;
        }
    }
    buf_done(&block);
    return NULL;
}

static void workers_write_while_one_learns(void **state)
{
    (void)state;
    struct dictionaries *dictionaries = dictionaries_new();
    struct writer writers[WRITERS];
    _Atomic bool learned = false;
    for (unsigned i = 0; i < WRITERS; i++) {
        writers[i] = (struct writer){
            .dictionaries = dictionaries, .first = i * 10000000, .learned = &learned};
        assert_int_equal(pthread_create(&writers[i].thread, NULL, write_rows, &writers[i]), 0);
    }
    struct dictionary_space *space = space_in(dictionaries);
    while (!dictionary_is_ready(space)) {
        sched_yield();
    }
    struct buf bytes = {0};
    assert_int_equal(dictionary_train(space, &bytes), OK);
    const uint64_t number = dictionary_number(buf_slice(&bytes));
    assert_int_equal(dictionary_learn(space, number, buf_slice(&bytes)), OK);
    dictionary_use(space, number);
    atomic_store(&learned, true);
    unsigned with_one = 0;
    for (unsigned i = 0; i < WRITERS; i++) {
        assert_int_equal(pthread_join(writers[i].thread, NULL), 0);
        with_one += writers[i].with_one;
    }
    assert_true(with_one > 0);
    buf_done(&bytes);
    dictionaries_free(dictionaries);
}

/* --- the trainer by itself --- */

static size_t train_of(struct slice bytes, unsigned count, char *dst, size_t capacity)
{
    uint32_t ends[64];
    assert_true(count <= 64);
    for (unsigned i = 0; i < count; i++) {
        ends[i] = (uint32_t)(bytes.size * (i + 1) / count);
    }
    const struct trainer_samples samples = {bytes, ends, count};
    size_t size = SIZE_MAX;
    assert_int_equal(train(&samples, dst, capacity, &size), OK);
    assert_true(size <= capacity);
    return size;
}

static void the_trainer_takes_what_repeats_and_leaves_the_rest(void **state)
{
    (void)state;
    char text[64 * 40 + 1];
    struct rand rand;
    rand_seed(&rand, 3);
    for (unsigned i = 0; i < 64; i++) {
        (void)snprintf(text + i * 40, 41, "%016llx<common piece of all>",
                       (unsigned long long)rand_next(&rand));
    }
    char dst[64 * 40];
    const size_t size = train_of((struct slice){text, 64 * 40}, 64, dst, sizeof dst);
    assert_in_range(size, 21, 64 * 40 / 2); /* what stands between comes along */
    assert_non_null(memmem(dst, size, "<common piece of all>", 21));
}

static void the_trainer_takes_any_samples(void **state)
{
    (void)state;
    static char zeros[4096];
    char dst[1024];
    assert_int_equal(train_of((struct slice){"", 0}, 0, dst, sizeof dst), 0);
    assert_int_equal(train_of(SLICE_LITERAL("short"), 1, dst, sizeof dst), 0);
    assert_int_equal(train_of(SLICE_LITERAL("eight by"), 1, dst, sizeof dst), 0);
    assert_int_equal(
        train_of(SLICE_LITERAL("each run is here once, not twice"), 1, dst, sizeof dst), 0);
    assert_true(train_of((struct slice){zeros, sizeof zeros}, 3, dst, sizeof dst) > 0);
    assert_int_equal(train_of((struct slice){zeros, sizeof zeros}, 3, dst, 3), 0);
    const struct trainer_samples many = {{zeros, TRAINER_BYTES_MAX + 1}, NULL, 0};
    size_t size = 1;
    assert_int_equal(train(&many, dst, sizeof dst, &size), INVALID);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_values_share_is_learned),
        cmocka_unit_test(of_noise_nothing_is_learned),
        cmocka_unit_test(a_dictionary_is_replaced_only_by_a_better_one),
        cmocka_unit_test(only_the_bytes_of_its_number_are_learned),
        cmocka_unit_test(so_many_are_known_and_no_more),
        cmocka_unit_test(spaces_are_those_of_their_names),
        cmocka_unit_test(what_does_not_get_smaller_is_tried_seldom),
        cmocka_unit_test(after_the_last_one_nothing_is_collected),
        cmocka_unit_test(workers_write_while_one_learns),
        cmocka_unit_test(the_trainer_takes_what_repeats_and_leaves_the_rest),
        cmocka_unit_test(the_trainer_takes_any_samples),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
