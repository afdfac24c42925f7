/* SPDX-License-Identifier: BSD-3-Clause */
/* Metadata of reads as it is written by hand: it says what was put in, in the bytes of the codec. */
#include "protocol/native_read.h"
#include "tests/unit/seed_help.h"
#include "tiers/base/rand.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

static void check_same(const struct native_reply *reply)
{
    char dst[NATIVE_READ_META_MAX];
    struct buf packed = {0};
    const size_t size = native_read_meta(reply, dst);
    assert_int_equal(native_reply_pack(reply, &packed), OK);
    assert_int_equal(size, packed.size);
    if (size > 0) {
        assert_memory_equal(dst, packed.data, size);
    }
    buf_done(&packed);
}

static void nothing_is_written_of_defaults(void **state)
{
    (void)state;
    char dst[NATIVE_READ_META_MAX];
    assert_int_equal(native_read_meta(&(struct native_reply){0}, dst), 0);
}

static void the_bytes_are_those_of_the_codec(void **state)
{
    (void)state;
    static const char letters[NATIVE_READ_TOKEN_MAX] = "0123456789abcdef";
    check_same(&(struct native_reply){.state = 1, .age_ms = -1, .ttl_ms = -2});
    check_same(&(struct native_reply){.state = UINT32_MAX,
                                      .age_ms = INT64_MIN,
                                      .ttl_ms = INT64_MAX,
                                      .token = {letters, sizeof(letters)},
                                      .near_ms = UINT64_MAX,
                                      .index = UINT32_MAX});
}

/* A number of any length in bits. */
static uint64_t some_number(struct rand *rand)
{
    return rand_next(rand) >> rand_next(rand) % 64;
}

static void random_fields_are_written_as_the_codec_writes_them(void **state)
{
    (void)state;
    struct rand rand;
    rand_seed(&rand, help_seed());
    for (int i = 0; i < 20000; i++) {
        check_same(&(struct native_reply){.state = (uint32_t)some_number(&rand),
                                          .age_ms = (int64_t)some_number(&rand),
                                          .ttl_ms = -(int64_t)(some_number(&rand) >> 1),
                                          .near_ms = some_number(&rand),
                                          .index = (uint32_t)some_number(&rand)});
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nothing_is_written_of_defaults),
        cmocka_unit_test(the_bytes_are_those_of_the_codec),
        cmocka_unit_test(random_fields_are_written_as_the_codec_writes_them),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
