/* SPDX-License-Identifier: BSD-3-Clause */
#include "protocol/codec.h"
#include "protocol/limits.h"
#include "tiers/base/rand.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static const char pattern[] =
    "{\"user\":1234,\"name\":\"somebody\",\"roles\":[\"reader\",\"writer\"]}";

/* Text of many such, no two alike. */
static struct buf text(size_t size)
{
    struct buf out = {0};
    for (unsigned n = 0; out.size < size; n++) {
        assert_int_equal(buf_printf(&out, "{\"user\":%u,\"name\":\"n%u\",\"roles\":[\"reader\"]}",
                                    n * 7919, n % 97),
                         OK);
    }
    out.size = size;
    return out;
}

static struct buf noise(size_t size)
{
    struct rand rand;
    rand_seed(&rand, 7);
    struct buf out = {0};
    assert_int_equal(buf_reserve(&out, size), OK);
    for (; out.size < size; out.size++) {
        out.data[out.size] = (char)rand_next(&rand);
    }
    return out;
}

/* Decodes at an address and of a size of its own. */
static enum status decode(struct slice block, size_t size,
                          const struct codec_dictionary *dictionary, struct slice expected)
{
    char *dst = malloc(size + (size == 0));
    char *own = malloc(block.size + (block.size == 0));
    assert_non_null(dst);
    assert_non_null(own);
    memcpy(own, block.data, block.size);
    const enum status status =
        codec_decompress(dst, size, (struct slice){own, block.size}, dictionary);
    if (status == OK && expected.data != NULL) {
        assert_true(slice_equal((struct slice){dst, size}, expected));
    }
    free(dst);
    free(own);
    return status;
}

static void what_is_compressed_is_decoded_the_same(void **state)
{
    (void)state;
    static const size_t sizes[] = {64, 137, 1000, 4096, 65536, 65537, 1 << 20};
    struct codec_dictionary *dictionary = codec_dictionary_new(slice_of(pattern));
    assert_non_null(dictionary);
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        struct buf value = text(sizes[i]);
        struct buf block = {0};
        bool used = true;
        assert_int_equal(codec_compress(&block, buf_slice(&value), NULL, &used),
                         sizes[i] > 64 ? OK : MISS);
        if (block.size > 0) {
            assert_false(used);
            assert_true(block.size * 100 <= value.size * 88);
            assert_true(codec_fits(block.size, value.size));
            assert_int_equal(decode(buf_slice(&block), value.size, NULL, buf_slice(&value)), OK);
        }
        block.size = 0;
        assert_int_equal(codec_compress(&block, buf_slice(&value), dictionary, &used), OK);
        assert_int_equal(used, sizes[i] <= CODEC_DICTIONARY_VALUE_MAX);
        assert_int_equal(
            decode(buf_slice(&block), value.size, used ? dictionary : NULL, buf_slice(&value)), OK);
        buf_done(&block);
        buf_done(&value);
    }
    codec_dictionary_free(dictionary);
}

static void a_dictionary_makes_short_values_short(void **state)
{
    (void)state;
    struct codec_dictionary *dictionary = codec_dictionary_new(slice_of(pattern));
    const struct slice value =
        SLICE_LITERAL("{\"user\":77,\"name\":\"somebody\",\"roles\":[\"reader\",\"writer\"]}");
    struct buf block = {0};
    bool used = false;
    assert_int_equal(codec_compress(&block, value, NULL, &used), MISS);
    assert_int_equal(codec_compress(&block, value, dictionary, &used), OK);
    assert_true(used && block.size * 3 < value.size);
    buf_done(&block);
    codec_dictionary_free(dictionary);
}

static void what_saves_too_little_stays_as_it_is(void **state)
{
    (void)state;
    struct buf value = noise(4096);
    struct buf block = {0};
    bool used = false;
    assert_int_equal(codec_compress(&block, buf_slice(&value), NULL, &used), MISS);
    assert_int_equal(block.size, 0);
    memset(value.data, 'a', 300); /* saves 7 % */
    assert_int_equal(codec_compress(&block, buf_slice(&value), NULL, &used), MISS);
    memset(value.data, 'a', 600); /* saves 14 % */
    assert_int_equal(codec_compress(&block, buf_slice(&value), NULL, &used), OK);
    assert_int_equal(codec_compress(&block, SLICE_LITERAL(""), NULL, &used), MISS);
    assert_int_equal(codec_compress(&block, SLICE_LITERAL("a"), NULL, &used), MISS);
    buf_done(&block);
    buf_done(&value);
}

/* The claim of a hundred bytes is refused before anything is allocated for it, and what LZ4 itself can do never is. */
static void a_claim_is_bounded_by_the_block(void **state)
{
    (void)state;
    assert_false(codec_fits(100, LIMIT_BULK));
    assert_false(codec_fits(100, 100 * 256 + 255));
    assert_false(codec_fits(LIMIT_BULK, LIMIT_BULK + 1));
    assert_true(codec_fits(1, 1));
    struct buf zeros = {0};
    assert_int_equal(buf_reserve(&zeros, 16 << 20), OK);
    memset(zeros.data, 0, 16 << 20);
    for (size_t size = 16; size <= 16 << 20; size *= 4) {
        struct buf block = {0};
        bool used = false;
        assert_int_equal(codec_compress(&block, (struct slice){zeros.data, size}, NULL, &used), OK);
        assert_true(codec_fits(block.size, size));
        buf_done(&block);
    }
    buf_done(&zeros);
}

static void a_wrong_size_cuts_and_flips_are_malformed_or_other_bytes_never_more(void **state)
{
    (void)state;
    struct codec_dictionary *dictionary = codec_dictionary_new(slice_of(pattern));
    struct buf value = text(500);
    struct buf block = {0};
    bool used = false;
    assert_int_equal(codec_compress(&block, buf_slice(&value), dictionary, &used), OK);
    const struct slice whole = buf_slice(&block);
    assert_int_equal(decode(whole, 499, dictionary, (struct slice){0}), MALFORMED);
    assert_int_equal(decode(whole, 501, dictionary, (struct slice){0}), MALFORMED);
    assert_int_equal(decode(whole, 0, dictionary, (struct slice){0}), MALFORMED);
    for (size_t size = 0; size < whole.size; size++) {
        assert_int_equal(
            decode((struct slice){whole.data, size}, 500, dictionary, (struct slice){0}),
            MALFORMED);
    }
    for (size_t bit = 0; bit < 8 * whole.size; bit++) {
        block.data[bit / 8] = (char)(block.data[bit / 8] ^ 1 << bit % 8);
        const enum status status = decode(whole, 500, dictionary, (struct slice){0});
        assert_true(status == OK || status == MALFORMED);
        (void)decode(whole, 500, NULL, (struct slice){0});
        block.data[bit / 8] = (char)(block.data[bit / 8] ^ 1 << bit % 8);
    }
    buf_done(&block);
    buf_done(&value);
    codec_dictionary_free(dictionary);
}

static void dictionaries_have_bounds(void **state)
{
    (void)state;
    struct buf bytes = noise(CODEC_DICTIONARY_MAX + 1);
    assert_null(codec_dictionary_new((struct slice){bytes.data, 0}));
    assert_null(codec_dictionary_new(buf_slice(&bytes)));
    bytes.size--;
    struct codec_dictionary *dictionary = codec_dictionary_new(buf_slice(&bytes));
    assert_non_null(dictionary);
    assert_true(slice_equal(codec_dictionary_bytes(dictionary), buf_slice(&bytes)));
    assert_true(codec_dictionary_footprint(dictionary) >= bytes.size);
    codec_dictionary_free(dictionary);
    codec_dictionary_free(NULL);
    buf_done(&bytes);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_compressed_is_decoded_the_same),
        cmocka_unit_test(a_dictionary_makes_short_values_short),
        cmocka_unit_test(what_saves_too_little_stays_as_it_is),
        cmocka_unit_test(a_claim_is_bounded_by_the_block),
        cmocka_unit_test(a_wrong_size_cuts_and_flips_are_malformed_or_other_bytes_never_more),
        cmocka_unit_test(dictionaries_have_bounds),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
