/* SPDX-License-Identifier: BSD-3-Clause */
/* The value out of an envelope that comes in pieces, however it is cut. */
#include "tiers/unpack.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum {
    VALUE = 300
};

/* A reply of GET with an envelope. The caller frees it. */
static struct buf reply_of(size_t value_size, unsigned tag_count, struct envelope *ret)
{
    static char value[VALUE];
    memset(value, 'v', sizeof value);
    value[0] = '^';
    value[value_size - 1] = '$';
    const struct slice tags[] = {SLICE_LITERAL("red"), SLICE_LITERAL("green")};
    *ret = (struct envelope){.kind = ENVELOPE_RAW,
                             .version = 7,
                             .value_size = (uint32_t)value_size,
                             .tag_count = tag_count,
                             .body = {value, value_size}};
    struct buf envelope = {0};
    struct buf reply = {0};
    assert_int_equal(envelope_write(&envelope, ret, tags), OK);
    assert_int_equal(buf_printf(&reply, "$%zu\r\n", envelope.size), OK);
    assert_int_equal(buf_append_slice(&reply, buf_slice(&envelope)), OK);
    assert_int_equal(buf_append(&reply, "\r\n", 2), OK);
    buf_done(&envelope);
    return reply;
}

/* What comes out of it in pieces of `step`. */
static enum status unpacked(const struct buf *reply, const struct envelope *envelope, size_t step,
                            struct buf *out)
{
    struct unpack unpack;
    enum status status = OK;
    unpack_begin(&unpack, reply->size, envelope);
    for (size_t at = 0; at < reply->size && status == OK; at += step) {
        const size_t left = reply->size - at;
        struct slice piece = {reply->data + at, left < step ? left : step};
        status = unpack_take(&unpack, &piece);
        assert_int_equal(buf_append_slice(out, piece), OK);
    }
    return status;
}

static void every_cut_gives_the_value_and_its_line_end(void **state)
{
    (void)state;
    for (unsigned tags = 0; tags <= 2; tags++) {
        for (size_t size = 1; size <= VALUE; size = size * 3 + 1) {
            struct envelope envelope;
            struct buf reply = reply_of(size, tags, &envelope);
            for (size_t step = 1; step <= reply.size; step++) {
                struct buf out = {0};
                assert_int_equal(unpacked(&reply, &envelope, step, &out), OK);
                assert_int_equal(out.size, size + 2);
                assert_memory_equal(out.data, envelope.body.data, size);
                assert_memory_equal(out.data + size, "\r\n", 2);
                buf_done(&out);
            }
            buf_done(&reply);
        }
    }
}

static void what_is_damaged_never_ends(void **state)
{
    (void)state;
    struct envelope envelope;
    struct buf reply = reply_of(VALUE, 2, &envelope);
    for (size_t bad = reply.size - VALUE - 6; bad < reply.size - 2; bad++) {
        for (size_t step = 1; step <= reply.size; step += 13) {
            struct buf out = {0};
            reply.data[bad] ^= 1;
            assert_int_equal(unpacked(&reply, &envelope, step, &out), MALFORMED);
            assert_true(out.size <= VALUE);
            reply.data[bad] ^= 1;
            buf_done(&out);
        }
    }
    buf_done(&reply);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_cut_gives_the_value_and_its_line_end),
        cmocka_unit_test(what_is_damaged_never_ends),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
