/* SPDX-License-Identifier: BSD-3-Clause */
/* fuzz_native.c -- any bytes as frames of the native protocol, and any metadata as messages of each kind.
 *
 * The first byte chooses the sizes of the pieces in which the rest arrives, the second the limits. What must hold: however the
 * bytes are cut the frames are the same, and a reader is told to wait for no more than the next frame needs; what is over a
 * limit is refused from its header; what is unpacked and packed is unpacked and packed as the same again; keys lie inside their
 * part; and (by the sanitizers, each piece and each metadata at an address of its own) no step beyond the input. */
#include "protocol/check.h"
#include "protocol/envelope.h"
#include "protocol/hash.h"
#include "protocol/limits.h"
#include "protocol/native_codec.h"
#include "protocol/native_frame.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* At an address of its own; freed with free. */
static char *copy_of(struct slice bytes)
{
    char *own = malloc(bytes.size + (bytes.size == 0));
    CHECK(own != NULL);
    if (bytes.size > 0) {
        memcpy(own, bytes.data, bytes.size);
    }
    return own;
}

static void walk_keys(struct slice keys, const uint32_t *sizes, size_t count)
{
    const bool fit = native_keys_fit(keys, sizes, count);
    struct slice rest = keys;
    struct slice key;
    size_t seen = 0;
    for (size_t at = 0; native_next_key(&rest, sizes, count, &at, &key); seen++) {
        CHECK(key.data + key.size == rest.data && key.data >= keys.data);
        CHECK(rest.data + rest.size == keys.data + keys.size);
        CHECK(at == seen + 1 && (count == 0 || key.size == sizes[seen]));
    }
    CHECK(!fit || (seen == (count == 0 ? 1 : count) && rest.size == 0));
}

/* Unpacks, packs, unpacks and packs: of one kind of message. `look` sees what was unpacked first. */
#define ROUND_TRIP(kind, meta, look)                                        \
    do {                                                                    \
        struct native_##kind first;                                         \
        const enum status status = native_##kind##_unpack((meta), &first);  \
        CHECK(status == OK || status == MALFORMED);                         \
        CHECK(status == OK || first.memory == NULL);                        \
        if (status == OK) {                                                 \
            look;                                                           \
            struct buf once = {0};                                          \
            struct buf twice = {0};                                         \
            CHECK(native_##kind##_pack(&first, &once) == OK);               \
            struct native_##kind second;                                    \
            CHECK(native_##kind##_unpack(buf_slice(&once), &second) == OK); \
            CHECK(native_##kind##_pack(&second, &twice) == OK);             \
            CHECK(slice_equal(buf_slice(&once), buf_slice(&twice)));        \
            native_##kind##_done(&second);                                  \
            buf_done(&twice);                                               \
            buf_done(&once);                                                \
        }                                                                   \
        native_##kind##_done(&first);                                       \
    } while (0)

static void read_messages(const struct native_frame *frame)
{
    char *own = copy_of(frame->meta);
    const struct slice meta = {own, frame->meta.size};
    ROUND_TRIP(hello, meta, CHECK(first.user.size <= meta.size));
    ROUND_TRIP(welcome, meta, CHECK(first.node.size <= meta.size));
    ROUND_TRIP(request, meta, {
        CHECK(first.tag_count <= ENVELOPE_TAGS_MAX && first.key_count <= meta.size);
        walk_keys(frame->keys, first.key_sizes, first.key_count);
    });
    ROUND_TRIP(reply, meta, CHECK(first.node_count <= meta.size));
    ROUND_TRIP(event, meta, walk_keys(frame->keys, first.key_sizes, first.key_count));
    free(own);
}

struct outcome {
    uint64_t hash; /* over the bytes of every frame */
    uint64_t frames;
    size_t consumed;
    enum status status;
};

static void note(struct outcome *outcome, struct slice bytes)
{
    outcome->hash = outcome->hash * UINT64_C(0x9e3779b97f4a7c15) + hash_checksum(bytes);
    outcome->consumed += bytes.size;
    outcome->frames++;
}

static void check_frame(const struct native_frame *frame, struct slice bytes,
                        const struct native_limits *limits)
{
    const struct native_header *header = &frame->header;
    char head[NATIVE_HEADER_SIZE];
    native_header_write(head, header);
    CHECK(memcmp(head, bytes.data, sizeof head) == 0);
    CHECK(header->meta_size <= limits->meta && header->keys_size <= limits->keys);
    CHECK(header->body_size <= limits->body);
    CHECK(frame->meta.data == bytes.data + sizeof head && frame->meta.size == header->meta_size);
    CHECK(frame->keys.data == frame->meta.data + frame->meta.size);
    CHECK(frame->body.data == frame->keys.data + frame->keys.size);
    CHECK(frame->body.data + frame->body.size == bytes.data + bytes.size);
}

/* Reads frames until there is none; returns how many bytes are missing then. */
static size_t read_all(struct slice rest, const struct native_limits *limits, bool looks_inside,
                       struct outcome *outcome)
{
    size_t missing = 0;
    for (;;) {
        struct native_frame frame;
        size_t used = 0;
        outcome->status = native_frame_read(rest, limits, &frame, &used, &missing);
        if (outcome->status != OK) {
            break;
        }
        const struct slice bytes = {rest.data, used};
        CHECK(used <= rest.size && used >= NATIVE_HEADER_SIZE);
        check_frame(&frame, bytes, limits);
        if (looks_inside) {
            read_messages(&frame);
        }
        note(outcome, bytes);
        rest = (struct slice){rest.data + used, rest.size - used};
    }
    CHECK(outcome->status != AGAIN || missing > 0);
    return missing;
}

/* The same in pieces: a frame comes exactly when what was said to be missing has come. */
static struct outcome read_pieces(struct slice input, const struct native_limits *limits,
                                  unsigned pace)
{
    struct outcome outcome = {.status = AGAIN};
    size_t had = 0;
    size_t missing = NATIVE_HEADER_SIZE;
    while (outcome.status == AGAIN && had < input.size) {
        const size_t left = input.size - had;
        const size_t piece = 1 + (pace * (had + 7)) % 61;
        had += piece < left ? piece : left;
        const struct slice here = {input.data + outcome.consumed, had - outcome.consumed};
        char *own = copy_of(here);
        const uint64_t before = outcome.frames;
        const size_t waiting = missing;
        const size_t brought = piece < left ? piece : left;
        missing = read_all((struct slice){own, here.size}, limits, false, &outcome);
        CHECK(outcome.frames == before || brought >= waiting);
        missing = outcome.status == AGAIN ? missing : 0;
        free(own);
    }
    return outcome;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 2) {
        return 0;
    }
    const struct native_limits few = {.meta = 40, .keys = 20, .body = 30};
    const struct native_limits many = {
        .meta = LIMIT_NATIVE_META, .keys = LIMIT_NATIVE_KEYS, .body = (uint32_t)LIMIT_BULK};
    const struct native_limits *limits = data[1] % 2 == 0 ? &few : &many;
    char *own = copy_of((struct slice){(const char *)data + 2, size - 2});
    const struct slice input = {own, size - 2};
    struct outcome whole = {0};
    (void)read_all(input, limits, true, &whole);
    const struct outcome pieces = read_pieces(input, limits, data[0]);
    CHECK(pieces.frames == whole.frames && pieces.hash == whole.hash);
    CHECK(pieces.consumed == whole.consumed && pieces.status == whole.status);
    free(own);
    return 0;
}
