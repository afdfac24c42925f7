/* SPDX-License-Identifier: BSD-3-Clause */
#include "protocol/envelope.h"

#include "protocol/envelope.pb-c.h"
#include "protocol/hash.h"
#include "protocol/limits.h"

#include <string.h>

static const char magic[3] = {'\xf5', 'T', 'E'};

enum {
    LAYOUT = 1
};

/* Offsets in the head, as drawn in envelope.h. */
enum {
    AT_LAYOUT = 3,
    AT_SOFT = ENVELOPE_SOFT_OFFSET,
    AT_KIND = 5,
    AT_METADATA_SIZE = 6,
    AT_VERSION = ENVELOPE_VERSION_OFFSET,
    AT_FRESH = ENVELOPE_FRESH_OFFSET,
    AT_SWR = 24,
    AT_SIE = 28,
    AT_VALUE_SIZE = 32,
    AT_LOAD = 36,
    AT_CHECKSUM = 40,
};

typedef Terrace__EnvelopeMetadata metadata_message; /* the name that protoc-c gives it */

enum {
    FIXED_SIZE = 4 + 3 + 16
};

/* What scripts never change of the head. */
static struct slice fixed_words(const char *head, char room[FIXED_SIZE])
{
    memcpy(room, head, 4);
    memcpy(room + 4, head + AT_KIND, 3);
    memcpy(room + 7, head + AT_SWR, 16);
    return (struct slice){room, FIXED_SIZE};
}

/* XXH64 over that; `rest` is metadata and body. */
static uint64_t checksum(const char *head, struct slice rest)
{
    char fixed[FIXED_SIZE];
    return hash_checksum_of_two(fixed_words(head, fixed), rest);
}

void envelope_sum_begin(struct hash_sum *sum, const char *head)
{
    char fixed[FIXED_SIZE];
    hash_sum_begin(sum);
    hash_sum_add(sum, fixed_words(head, fixed));
}

bool envelope_sum_fits(const struct hash_sum *sum, const char *head)
{
    return hash_sum_end(sum) == get_u64le(head + AT_CHECKSUM);
}

/* --- tags where they stand ------------------------------------------------------------------------------------------- */

enum {
    TAG_KEY = 1 << 3 | 2, /* protobuf: field 1, with a length */
    LENGTH_MORE = 0x80    /* ... which goes on in the next byte */
};

/* The tag at `at`; returns where the next one begins, or 0: none is there. */
static size_t tag_at(struct slice metadata, size_t at, struct slice *ret_tag)
{
    const size_t left = metadata.size - at;
    if (left < 2) {
        return 0;
    }
    const unsigned char *bytes = (const unsigned char *)metadata.data + at;
    if (bytes[0] != TAG_KEY) {
        return 0;
    }
    size_t size = bytes[1];
    size_t head = 2;
    if ((size & LENGTH_MORE) != 0) {
        if (left < 3 || bytes[2] > 1) {
            return 0;
        }
        size = (size & ~(size_t)LENGTH_MORE) | (size_t)bytes[2] << 7;
        head = 3;
    }
    if (size == 0 || size > ENVELOPE_TAG_MAX || size > left - head) {
        return 0;
    }
    *ret_tag = (struct slice){metadata.data + at + head, size};
    return at + head + size;
}

bool envelope_next_tag(const struct envelope *envelope, size_t *at, struct slice *ret_tag)
{
    const size_t next = tag_at(envelope->tags, *at, ret_tag);
    if (next == 0) {
        return false;
    }
    *at = next;
    return true;
}

/* How many tags the metadata begins with, and how many bytes they take. */
static unsigned count_tags(struct slice metadata, size_t *ret_size)
{
    unsigned count = 0;
    size_t at = 0;
    struct slice tag;
    for (size_t next; (next = tag_at(metadata, at, &tag)) != 0; at = next) {
        count++;
    }
    *ret_size = at;
    return count;
}

/* --- metadata by protobuf-c ------------------------------------------------------------------------------------------ */

/* All that protobuf-c may take for one message: a copy of the metadata, its table of tags, and what it notes of each field
 * while it parses. */
struct room {
    size_t used;
    _Alignas(16) char bytes[2 * ENVELOPE_METADATA_MAX];
};

static void *room_alloc(void *arg, size_t size)
{
    struct room *room = arg;
    if (size > sizeof room->bytes - room->used) {
        return NULL;
    }
    void *memory = room->bytes + room->used;
    const size_t aligned = (size + 15) & ~(size_t)15;
    const size_t left = sizeof room->bytes - room->used;
    room->used += aligned < left ? aligned : left;
    return memory;
}

static void room_free(void *arg, void *memory)
{
    (void)arg;
    (void)memory;
}

/* The tags must stand in front, one after the other, as protobuf-c writes them: so they are found without a copy. */
static enum status read_metadata(struct slice metadata, struct envelope *ret)
{
    if (metadata.size == 0) {
        return OK;
    }
    struct room room;
    room.used = 0;
    ProtobufCAllocator allocator = {
        .alloc = room_alloc, .free = room_free, .allocator_data = &room};
    const metadata_message *message = terrace__envelope_metadata__unpack(
        &allocator, metadata.size, (const uint8_t *)metadata.data);
    if (message == NULL) {
        return MALFORMED;
    }
    size_t size = 0;
    const unsigned count = count_tags(metadata, &size);
    if (count != message->n_tags || count > ENVELOPE_TAGS_MAX) {
        return MALFORMED;
    }
    ret->tag_count = count;
    ret->tags = (struct slice){metadata.data, size};
    ret->dictionary = message->dictionary;
    return OK;
}

/* --- all of it ------------------------------------------------------------------------------------------------------- */

/* What kinds have and have not. */
static bool kind_fits(const struct envelope *envelope)
{
    if ((envelope->dictionary != 0) != (envelope->kind == ENVELOPE_LZ4_DICTIONARY)) {
        return false;
    }
    switch (envelope->kind) {
    case ENVELOPE_RAW: return envelope->body.size == envelope->value_size;
    case ENVELOPE_LZ4:
    case ENVELOPE_LZ4_DICTIONARY:
        return envelope->body.size > 0 && envelope->body.size < envelope->value_size;
    case ENVELOPE_NEGATIVE: return envelope->body.size == 0 && envelope->value_size == 0;
    }
    return false;
}

static bool numbers_fit(const struct envelope *envelope)
{
    return envelope->version < ENVELOPE_NUMBER_END && envelope->fresh_ms < ENVELOPE_NUMBER_END &&
           envelope->value_size <= LIMIT_BULK;
}

/* TAKES the words of the head; false: one of them is none that a head can have. */
static bool read_head(const char *head, struct envelope *ret)
{
    const unsigned char kind = (unsigned char)head[AT_KIND];
    const unsigned char soft = (unsigned char)head[AT_SOFT];
    if (head[AT_LAYOUT] != LAYOUT || kind > ENVELOPE_NEGATIVE || soft > 1) {
        return false;
    }
    *ret = (struct envelope){
        .kind = (enum envelope_kind)kind,
        .soft = soft == 1,
        .version = get_u64le(head + AT_VERSION),
        .fresh_ms = get_u64le(head + AT_FRESH),
        .swr_ms = get_u32le(head + AT_SWR),
        .sie_ms = get_u32le(head + AT_SIE),
        .load_ms = get_u32le(head + AT_LOAD),
        .value_size = get_u32le(head + AT_VALUE_SIZE),
    };
    return true;
}

enum status envelope_read(struct slice input, struct envelope *ret_envelope)
{
    if (input.size < sizeof magic || memcmp(input.data, magic, sizeof magic) != 0) {
        return MISS;
    }
    struct envelope envelope;
    if (input.size < ENVELOPE_HEAD_SIZE || !read_head(input.data, &envelope)) {
        return MALFORMED;
    }
    const struct slice rest = {input.data + ENVELOPE_HEAD_SIZE, input.size - ENVELOPE_HEAD_SIZE};
    const size_t metadata_size = get_u16le(input.data + AT_METADATA_SIZE);
    if (metadata_size > rest.size || metadata_size > ENVELOPE_METADATA_MAX ||
        checksum(input.data, rest) != get_u64le(input.data + AT_CHECKSUM)) {
        return MALFORMED;
    }
    envelope.body = (struct slice){rest.data + metadata_size, rest.size - metadata_size};
    if (read_metadata((struct slice){rest.data, metadata_size}, &envelope) != OK ||
        !numbers_fit(&envelope) || !kind_fits(&envelope)) {
        return MALFORMED;
    }
    *ret_envelope = envelope;
    return OK;
}

enum status envelope_begin(struct slice beginning, uint64_t size, struct envelope *ret_envelope)
{
    const size_t known = beginning.size < sizeof magic ? beginning.size : sizeof magic;
    if (size < sizeof magic || (known > 0 && memcmp(beginning.data, magic, known) != 0)) {
        return MISS;
    }
    if (known < sizeof magic) {
        return AGAIN;
    }
    if (size < ENVELOPE_HEAD_SIZE) {
        return MALFORMED;
    }
    if (beginning.size < ENVELOPE_HEAD_SIZE) {
        return AGAIN;
    }
    struct envelope envelope;
    if (!read_head(beginning.data, &envelope)) {
        return MALFORMED;
    }
    const size_t metadata_size = get_u16le(beginning.data + AT_METADATA_SIZE);
    const size_t before = ENVELOPE_HEAD_SIZE + metadata_size;
    if (metadata_size > ENVELOPE_METADATA_MAX || before > size) {
        return MALFORMED;
    }
    if (beginning.size < before) {
        return AGAIN;
    }
    const struct slice metadata = {beginning.data + ENVELOPE_HEAD_SIZE, metadata_size};
    if (read_metadata(metadata, &envelope) != OK || !numbers_fit(&envelope)) {
        return MALFORMED;
    }
    if (envelope.kind != ENVELOPE_RAW) {
        return INVALID;
    }
    if (envelope.dictionary != 0 || size - before != envelope.value_size) {
        return MALFORMED;
    }
    envelope.body = (struct slice){beginning.data + before, beginning.size - before};
    *ret_envelope = envelope;
    return OK;
}

bool envelope_peek_version(struct slice input, uint64_t *ret_version)
{
    if (input.size < AT_VALUE_SIZE || memcmp(input.data, magic, sizeof magic) != 0 ||
        input.data[AT_LAYOUT] != LAYOUT) {
        return false;
    }
    *ret_version = get_u64le(input.data + AT_VERSION);
    return true;
}

static bool tags_fit(const struct slice *tags, unsigned count)
{
    bool fit = count <= ENVELOPE_TAGS_MAX;
    for (unsigned i = 0; fit && i < count; i++) {
        fit = tags[i].size >= 1 && tags[i].size <= ENVELOPE_TAG_MAX;
    }
    return fit;
}

static void write_head(char *head, const struct envelope *envelope, size_t metadata_size)
{
    memcpy(head, magic, sizeof magic);
    head[AT_LAYOUT] = LAYOUT;
    head[AT_SOFT] = envelope->soft ? 1 : 0;
    head[AT_KIND] = (char)envelope->kind;
    put_u16le(head + AT_METADATA_SIZE, (uint16_t)metadata_size);
    put_u64le(head + AT_VERSION, envelope->version);
    put_u64le(head + AT_FRESH, envelope->fresh_ms);
    put_u32le(head + AT_SWR, envelope->swr_ms);
    put_u32le(head + AT_SIE, envelope->sie_ms);
    put_u32le(head + AT_VALUE_SIZE, envelope->value_size);
    put_u32le(head + AT_LOAD, envelope->load_ms);
}

enum status envelope_write(struct buf *out, const struct envelope *envelope,
                           const struct slice *tags)
{
    if (!tags_fit(tags, envelope->tag_count) || !numbers_fit(envelope) || !kind_fits(envelope)) {
        return INVALID;
    }
    ProtobufCBinaryData texts[ENVELOPE_TAGS_MAX];
    for (unsigned i = 0; i < envelope->tag_count; i++) {
        /* protobuf-c only reads what it packs, but says so nowhere. */
        texts[i] =
            (ProtobufCBinaryData){.len = tags[i].size, .data = (uint8_t *)(uintptr_t)tags[i].data};
    }
    metadata_message message = TERRACE__ENVELOPE_METADATA__INIT;
    message.n_tags = envelope->tag_count;
    message.tags = texts;
    message.dictionary = envelope->dictionary;
    const size_t metadata_size = terrace__envelope_metadata__get_packed_size(&message);
    const size_t size = ENVELOPE_HEAD_SIZE + metadata_size + envelope->body.size;
    if (buf_reserve(out, size) != OK) {
        return NO_MEMORY;
    }
    char *head = out->data + out->size;
    char *metadata = head + ENVELOPE_HEAD_SIZE;
    write_head(head, envelope, metadata_size);
    (void)terrace__envelope_metadata__pack(&message, (uint8_t *)metadata);
    if (envelope->body.size > 0) {
        memcpy(metadata + metadata_size, envelope->body.data, envelope->body.size);
    }
    put_u64le(head + AT_CHECKSUM,
              checksum(head, (struct slice){metadata, size - ENVELOPE_HEAD_SIZE}));
    out->size += size;
    return OK;
}

void envelope_head_begin(char head[ENVELOPE_HEAD_SIZE], const struct envelope *envelope)
{
    write_head(head, envelope, 0);
    put_u64le(head + AT_CHECKSUM, 0);
}

void envelope_head_end(char head[ENVELOPE_HEAD_SIZE], uint64_t fresh_ms, const struct hash_sum *sum)
{
    put_u64le(head + AT_FRESH, fresh_ms);
    put_u64le(head + AT_CHECKSUM, hash_sum_end(sum));
}
