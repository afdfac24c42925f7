/* SPDX-License-Identifier: BSD-3-Clause */
#include "protocol/hash.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static struct hash_secret secret_of(unsigned seed)
{
    unsigned char random[HASH_SECRET_SIZE];
    uint64_t word = seed + 1;
    for (size_t i = 0; i < sizeof random; i++) {
        word = word * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
        random[i] = (unsigned char)(word >> 56);
    }
    struct hash_secret secret;
    hash_secret_init(&secret, random);
    return secret;
}

static void checksums_are_those_of_xxh64_with_seed_zero(void **state)
{
    (void)state;
    /* The reference values of the xxHash specification's implementations. */
    assert_true(hash_checksum(SLICE_LITERAL("")) == UINT64_C(0xef46db3751d8e999));
    assert_true(hash_checksum(SLICE_LITERAL("a")) == UINT64_C(0xd24ec4f1a98c6e5b));
    assert_true(hash_checksum(SLICE_LITERAL("abc")) == UINT64_C(0x44bc2cf5ad770999));
}

static void a_checksum_of_two_pieces_is_that_of_the_whole(void **state)
{
    (void)state;
    char bytes[100];
    for (size_t i = 0; i < sizeof bytes; i++) {
        bytes[i] = (char)(i * 7);
    }
    const uint64_t whole = hash_checksum((struct slice){bytes, sizeof bytes});
    for (size_t cut = 0; cut <= sizeof bytes; cut++) {
        const struct slice head = {cut > 0 ? bytes : NULL, cut};
        const struct slice rest = {cut < sizeof bytes ? bytes + cut : NULL, sizeof bytes - cut};
        assert_true(hash_checksum_of_two(head, rest) == whole);
    }
}

static void the_same_key_and_secret_give_the_same_hash_at_any_address(void **state)
{
    (void)state;
    const struct hash_secret secret = secret_of(1);
    for (size_t size = 0; size < 600; size++) {
        char *one = malloc(size + 1);
        char *other = malloc(size + 2);
        assert_non_null(one);
        assert_non_null(other);
        memset(one, 'k', size);
        memset(other + 1, 'k', size);
        assert_true(hash_key(&secret, (struct slice){one, size}) ==
                    hash_key(&secret, (struct slice){other + 1, size}));
        free(one);
        free(other);
    }
}

static void another_secret_gives_another_hash_for_every_length(void **state)
{
    (void)state;
    const struct hash_secret one = secret_of(1);
    const struct hash_secret other = secret_of(2);
    char bytes[600] = {0};
    for (size_t size = 0; size <= sizeof bytes; size++) {
        const struct slice key = {bytes, size};
        assert_true(hash_key(&one, key) != hash_key(&other, key));
    }
}

static void one_changed_bit_changes_the_hash(void **state)
{
    (void)state;
    const struct hash_secret secret = secret_of(3);
    char bytes[300] = {0};
    const struct slice key = {bytes, sizeof bytes};
    const uint64_t before = hash_key(&secret, key);
    const uint64_t checksum_before = hash_checksum(key);
    for (size_t bit = 0; bit < sizeof bytes * 8; bit++) {
        bytes[bit / 8] = (char)(1u << (bit % 8));
        assert_true(hash_key(&secret, key) != before);
        assert_true(hash_checksum(key) != checksum_before);
        bytes[bit / 8] = 0;
    }
}

static void an_empty_key_may_have_no_address(void **state)
{
    (void)state;
    const struct hash_secret secret = secret_of(4);
    const struct slice nothing = {0};
    assert_true(hash_key(&secret, nothing) == hash_key(&secret, SLICE_LITERAL("")));
    assert_true(hash_checksum(nothing) == hash_checksum(SLICE_LITERAL("")));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(checksums_are_those_of_xxh64_with_seed_zero),
        cmocka_unit_test(a_checksum_of_two_pieces_is_that_of_the_whole),
        cmocka_unit_test(the_same_key_and_secret_give_the_same_hash_at_any_address),
        cmocka_unit_test(another_secret_gives_another_hash_for_every_length),
        cmocka_unit_test(one_changed_bit_changes_the_hash),
        cmocka_unit_test(an_empty_key_may_have_no_address),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
