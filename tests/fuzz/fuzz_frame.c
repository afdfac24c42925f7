/* SPDX-License-Identifier: BSD-3-Clause */
/* fuzz_frame.c -- any bytes as a frame of the bus.
 *
 * A random checksum is never right, so the bytes are read twice: as they are, and with the checksum made right. What
 * must hold: what parses is written again as the same bytes; keys lie inside the body and are appended again as the
 * same body; and (by the sanitizers, the frame at an address of its own) no step beyond the input. */
#include "protocol/check.h"
#include "protocol/frame.h"
#include "protocol/frame_ban.h"
#include "protocol/hash.h"
#include "protocol/limits.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_keys(struct slice body)
{
    struct buf again = {0};
    size_t position = 0;
    uint8_t db = 0;
    struct slice key;
    enum status status = OK;
    while ((status = frame_next_key(body, &position, &db, &key)) == OK) {
        CHECK(position <= body.size);
        CHECK(key.data >= body.data && key.data + key.size <= body.data + body.size);
        CHECK(frame_append_key(&again, db, key) == OK);
    }
    CHECK(status == AGAIN || status == MALFORMED);
    CHECK(slice_equal(buf_slice(&again), (struct slice){body.data, position}));
    buf_done(&again);
}

static void check_beat(struct slice body)
{
    struct frame_beat beat;
    if (frame_beat_read(body, &beat) == OK) {
        char again[FRAME_BEAT_BODY_SIZE];
        frame_beat_write(again, &beat);
        CHECK(body.size == sizeof again + beat.homes.size + beat.figures.size + beat.address.size);
        CHECK(beat.weight <= FRAME_WEIGHT_FULL);
        CHECK(slice_equal((struct slice){body.data, sizeof again},
                          (struct slice){again, sizeof again}));
    }
}

static void check_flush(struct slice body)
{
    char again[FRAME_FLUSH_BODY_MAX];
    struct frame_flush flush;
    if (frame_flush_read(body, &flush) == OK && body.size > 0) {
        CHECK(slice_equal(body, frame_flush_write(again, &flush)));
    }
}

/* Entries without a flag are appended again as the same bytes; all lie inside. */
static void check_bans(struct slice body)
{
    size_t position = 0;
    size_t before = 0;
    struct frame_ban ban;
    enum status status = OK;
    while ((status = frame_ban_next(body, 1, &position, &ban)) == OK) {
        CHECK(position <= body.size);
        CHECK(ban.name.data >= body.data && ban.name.data + ban.name.size == body.data + position);
        struct buf again = {0};
        CHECK(frame_ban_append(&again, ban.name, ban.age_s, ban.hard, ban.soft) == OK);
        CHECK(
            body.data[before + 2] != 0 ||
            slice_equal(buf_slice(&again), (struct slice){body.data + before, position - before}));
        again.size = 0;
        CHECK(frame_ban_name(&again, ban.kind, ban.ns, ban.text) == OK);
        CHECK(slice_equal(buf_slice(&again), ban.name));
        buf_done(&again);
        before = position;
    }
    CHECK(status == AGAIN || status == MALFORMED);
}

static void read_one(struct slice input)
{
    struct frame frame;
    const enum status status = frame_read(input, &frame);
    if (status != OK) {
        CHECK(status == (input.size > LIMIT_FRAME ? TOO_BIG : MALFORMED));
        return;
    }
    CHECK(frame_type_known((uint8_t)frame.type) || (frame.flags & FRAME_SKIPPABLE) != 0);
    struct buf again = {0};
    CHECK(frame_write(&again, &frame) == OK);
    CHECK(slice_equal(buf_slice(&again), input));
    buf_done(&again);
    check_keys(frame.body);
    check_beat(frame.body);
    check_flush(frame.body);
    check_bans(frame.body);
}

static void seal(char *bytes, size_t size)
{
    if (size < FRAME_HEADER_SIZE + FRAME_CHECKSUM_SIZE) {
        return;
    }
    const size_t covered = size - FRAME_CHECKSUM_SIZE;
    char words[FRAME_REDIS_WORDS_SIZE];
    memcpy(words, bytes + FRAME_REDIS_WORDS_OFFSET, sizeof words);
    memset(bytes + FRAME_REDIS_WORDS_OFFSET, 0, sizeof words);
    put_u64le(bytes + covered, hash_checksum((struct slice){bytes, covered}));
    memcpy(bytes + FRAME_REDIS_WORDS_OFFSET, words, sizeof words);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *copy = malloc(size > 0 ? size : 1);
    CHECK(copy != NULL);
    if (size > 0) {
        memcpy(copy, data, size);
    }
    const struct slice input = {.data = copy, .size = size};
    read_one(input);
    seal(copy, size);
    read_one(input);
    check_keys(input);
    check_bans(input);
    free(copy);
    return 0;
}
