/* SPDX-License-Identifier: BSD-3-Clause */
/* fuzz_envelope.c -- any bytes as an envelope.
 *
 * A random checksum is never right, so the bytes are read twice: as they are, and with the checksum made right. What must
 * hold: what parses lies inside the input, is within the limits, and written again it is read as the same; and (by the
 * sanitizers, the envelope at an address of its own) no step beyond the input. */
#include "protocol/check.h"
#include "protocol/envelope.h"
#include "protocol/hash.h"
#include "protocol/limits.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static bool inside(struct slice part, struct slice whole)
{
    return part.data >= whole.data && part.data + part.size <= whole.data + whole.size;
}

static bool same(const struct envelope *a, const struct envelope *b)
{
    return a->kind == b->kind && a->soft == b->soft && a->version == b->version &&
           a->fresh_ms == b->fresh_ms && a->swr_ms == b->swr_ms && a->sie_ms == b->sie_ms &&
           a->load_ms == b->load_ms && a->value_size == b->value_size &&
           a->dictionary == b->dictionary && a->tag_count == b->tag_count &&
           slice_equal(a->tags, b->tags) && slice_equal(a->body, b->body);
}

/* As it comes in pieces: what is said of a beginning holds to the end, and the end agrees with the whole. */
static void begin_one(struct slice input, enum status whole, const struct envelope *envelope)
{
    enum status before = AGAIN;
    for (size_t size = 0; size <= input.size; size += size < 80 ? 1 : 1 + size / 3) {
        struct envelope begun;
        const enum status status =
            envelope_begin((struct slice){input.data, size}, input.size, &begun);
        CHECK(before == AGAIN || status == before);
        CHECK(status != AGAIN || size < ENVELOPE_BEGINNING);
        before = status;
        if (status == OK) {
            CHECK(begun.kind == ENVELOPE_RAW &&
                  inside(begun.body, (struct slice){input.data, size}));
            CHECK(begun.body.data + begun.value_size == input.data + input.size);
        }
    }
    struct envelope begun;
    const enum status last = envelope_begin(input, input.size, &begun);
    CHECK((last == MISS) == (whole == MISS));
    CHECK(whole != OK || last == (envelope->kind == ENVELOPE_RAW ? OK : INVALID));
    if (last == OK) {
        struct hash_sum sum;
        envelope_sum_begin(&sum, input.data);
        for (size_t at = ENVELOPE_HEAD_SIZE; at < input.size; at += 7) {
            const size_t left = input.size - at;
            hash_sum_add(&sum, (struct slice){input.data + at, left < 7 ? left : 7});
        }
        CHECK(envelope_sum_fits(&sum, input.data) == (whole == OK));
        CHECK(whole != OK || same(&begun, envelope));
    }
}

static void read_one(struct slice input)
{
    struct envelope envelope;
    const enum status status = envelope_read(input, &envelope);
    begin_one(input, status, &envelope);
    if (status != OK) {
        CHECK(status == MISS || status == MALFORMED);
        return;
    }
    CHECK(envelope.version < ENVELOPE_NUMBER_END && envelope.fresh_ms < ENVELOPE_NUMBER_END);
    CHECK(envelope.value_size <= LIMIT_BULK && inside(envelope.body, input));
    struct slice tags[ENVELOPE_TAGS_MAX];
    unsigned count = 0;
    for (size_t at = 0; envelope_next_tag(&envelope, &at, &tags[count]); count++) {
        CHECK(count < envelope.tag_count && inside(tags[count], input));
        CHECK(tags[count].size >= 1 && tags[count].size <= ENVELOPE_TAG_MAX);
        if (count + 1 == ENVELOPE_TAGS_MAX) {
            count++;
            break;
        }
    }
    CHECK(count == envelope.tag_count);
    struct buf out = {0};
    CHECK(envelope_write(&out, &envelope, tags) == OK);
    struct envelope again;
    CHECK(envelope_read(buf_slice(&out), &again) == OK);
    CHECK(again.tag_count == count && again.dictionary == envelope.dictionary);
    if (out.size == input.size) { /* nothing in the metadata that only others know */
        envelope.tags = again.tags;
    }
    again.tags = envelope.tags;
    CHECK(same(&envelope, &again));
    buf_done(&out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *own = malloc(size + (size == 0));
    CHECK(own != NULL);
    memcpy(own, data, size);
    read_one((struct slice){own, size});
    if (size >= ENVELOPE_HEAD_SIZE) {
        char head[23];
        memcpy(head, own, 4);
        memcpy(head + 4, own + 5, 3);
        memcpy(head + 7, own + 24, 16);
        put_u64le(own + 40, hash_checksum_of_two((struct slice){head, sizeof head},
                                                 (struct slice){own + ENVELOPE_HEAD_SIZE,
                                                                size - ENVELOPE_HEAD_SIZE}));
        read_one((struct slice){own, size});
    }
    free(own);
    return 0;
}
