/* SPDX-License-Identifier: BSD-3-Clause */
#include "tiers/snapshot.h"

#include "protocol/check.h"
#include "protocol/codec.h"
#include "protocol/hash.h"
#include "protocol/limits.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char magic[] = "TERRSNP2";
static const char end_magic[] = "TERRSNPE";

enum {
    MAGIC_SIZE = sizeof magic - 1,
    BLOCK_MAGIC = 0x4b4c4254,
    FLAG_ALONE = 1,
    HEAD_FIXED = 152, /* without names and sum */
    SUMMED_FROM = 16, /* behind magic and ENDED */
    SUM_SIZE = 8,
    NAME_MANAGED = 128, /* beside its size, which is at most NAMESPACE_NAME_MAX */
    HEAD_MAX = HEAD_FIXED +
               NAMESPACES_MAX * (1 + NAMESPACE_NAME_MAX + 1 + SNAPSHOT_POLICY_NAME_MAX) + SUM_SIZE,
    RECORD_CAPPED = 128,
    SUMMED_OF_BLOCK = 16, /* bytes of its head, in front of their sum */
};
_Static_assert(LIMIT_L1_KEY <= 1 << 16, "two bytes hold the size of a key");
_Static_assert((int)NAMESPACE_NAME_MAX < (int)NAME_MANAGED,
               "a byte holds the size of a name and a flag");

/* --- writing --------------------------------------------------------------------------------------------------------- */

static enum status emit(struct snapshot_writer *writer, struct slice bytes)
{
    writer->written += bytes.size;
    return writer->sink.write(writer->sink.arg, bytes);
}

/* In the order of the drawing in the header; unpack_head reads it. */
static size_t pack_head(char *dst, const struct snapshot_head *head)
{
    memcpy(dst, magic, MAGIC_SIZE);
    put_u64le(dst + SNAPSHOT_ENDED_OFFSET, 0);
    put_u32le(dst + 20, head->is_alone ? FLAG_ALONE : 0);
    put_u64le(dst + 24, head->l2);
    put_u64le(dst + 32, head->node);
    put_u64le(dst + 40, head->epoch.counter);
    put_u64le(dst + 48, head->epoch.random);
    put_u64le(dst + 56, head->run);
    put_u64le(dst + 64, head->seq);
    put_u64le(dst + 72, (uint64_t)head->horizon_ms);
    put_u64le(dst + 80, (uint64_t)head->floor_ms);
    put_u64le(dst + 88, (uint64_t)head->managed_floor_ms);
    put_u64le(dst + 96, (uint64_t)head->now_ms);
    put_u64le(dst + 104, (uint64_t)head->boot_ms);
    put_u64le(dst + 112, (uint64_t)head->unix_ms);
    memcpy(dst + 120, head->boot, SNAPSHOT_BOOT_SIZE);
    put_u64le(dst + 136, head->name_count);
    put_u64le(dst + 144, 0);
    size_t at = HEAD_FIXED;
    for (unsigned i = 0; i < head->name_count; i++) {
        const struct snapshot_name *name = &head->names[i];
        dst[at++] = (char)(name->name.size | (name->managed ? NAME_MANAGED : 0u));
        memcpy(dst + at, name->name.data, name->name.size);
        at += name->name.size;
        dst[at++] = (char)name->policy.size;
        memcpy(dst + at, name->policy.data, name->policy.size);
        at += name->policy.size;
    }
    put_u32le(dst + 16, (uint32_t)(at + SUM_SIZE));
    return at;
}

enum status snapshot_begin(struct snapshot_writer *writer, struct snapshot_sink sink,
                           const struct snapshot_head *head)
{
    char bytes[HEAD_MAX];
    CHECK(head->name_count <= NAMESPACES_MAX);
    *writer = (struct snapshot_writer){.sink = sink};
    const size_t size = pack_head(bytes, head);
    writer->head_sum = hash_checksum((struct slice){bytes + SUMMED_FROM, size - SUMMED_FROM});
    put_u64le(bytes + size, writer->head_sum);
    return emit(writer, (struct slice){bytes, size + SUM_SIZE});
}

static enum status emit_block(struct snapshot_writer *writer, unsigned band)
{
    struct buf *raw = &writer->bands[band];
    char head[SNAPSHOT_BLOCK_HEAD] = {0};
    bool used = false;
    writer->packed.size = 0;
    enum status status = raw->size > LIMIT_BULK /* more than the codec takes back */
                             ? MISS
                             : codec_compress(&writer->packed, buf_slice(raw), NULL, &used);
    if (status != OK && status != MISS) {
        return status;
    }
    const struct slice body = status == OK ? buf_slice(&writer->packed) : buf_slice(raw);
    put_u32le(head, BLOCK_MAGIC);
    head[4] = (char)band;
    put_u32le(head + 8, (uint32_t)raw->size);
    put_u32le(head + 12, (uint32_t)body.size);
    put_u64le(head + SUMMED_OF_BLOCK,
              hash_checksum_of_two((struct slice){head, SUMMED_OF_BLOCK}, body));
    status = emit(writer, (struct slice){head, sizeof head});
    if (status == OK) {
        status = emit(writer, body);
    }
    writer->totals.blocks++;
    raw->size = 0;
    if (raw->capacity > 4 * SNAPSHOT_BLOCK) { /* a large value passed */
        buf_done(raw);
        buf_done(&writer->packed);
    }
    return status;
}

static void pack_record(char *dst, const struct snapshot_record *record)
{
    dst[0] =
        (char)(record->db | (unsigned)record->look << 4 | (record->capped ? RECORD_CAPPED : 0u));
    dst[1] = (char)record->place;
    put_u16le(dst + 2, record->kept);
    put_u32le(dst + 4, record->idle_ms);
    put_u64le(dst + 8, (uint64_t)record->expire_at_ms);
    put_u64le(dst + 16, (uint64_t)record->stamped_at_ms);
    put_u16le(dst + 24, (uint16_t)record->key.size);
    dst[26] = (char)record->hotness;
    dst[27] = 0;
    put_u32le(dst + 28, (uint32_t)record->value.size);
}

enum status snapshot_put(struct snapshot_writer *writer, unsigned band,
                         const struct snapshot_record *record)
{
    CHECK(band < SNAPSHOT_BANDS && record->db < LIMIT_DATABASES && record->look < ITEM_LOOK_CLAIM);
    CHECK(record->key.size < LIMIT_L1_KEY && record->value.size <= LIMIT_BULK);
    struct buf *raw = &writer->bands[band];
    const size_t size = SNAPSHOT_RECORD_HEAD + record->key.size + record->value.size;
    if (raw->size > 0 && raw->size + size > SNAPSHOT_BLOCK) {
        const enum status status = emit_block(writer, band);
        if (status != OK) {
            return status;
        }
    }
    if (buf_reserve(raw, size) != OK) {
        return NO_MEMORY;
    }
    pack_record(raw->data + raw->size, record);
    raw->size += SNAPSHOT_RECORD_HEAD;
    (void)!buf_append_slice(raw, record->key); /* there is room */
    (void)!buf_append_slice(raw, record->value);
    writer->totals.records++;
    writer->totals.bytes += record->key.size + record->value.size;
    return OK;
}

static void pack_end(char dst[SNAPSHOT_END_SIZE], const struct snapshot_totals *totals,
                     uint64_t head_sum)
{
    char summed[32];
    memcpy(dst, end_magic, MAGIC_SIZE);
    put_u64le(dst + 8, totals->blocks);
    put_u64le(dst + 16, totals->records);
    put_u64le(dst + 24, totals->bytes);
    memcpy(summed, dst + 8, 24);
    put_u64le(summed + 24, head_sum);
    put_u64le(dst + 32, hash_checksum((struct slice){summed, sizeof summed}));
}

enum status snapshot_end(struct snapshot_writer *writer)
{
    enum status status = OK;
    for (unsigned band = SNAPSHOT_BANDS; band-- > 0 && status == OK;) {
        status = writer->bands[band].size > 0 ? emit_block(writer, band) : OK;
    }
    if (status != OK) {
        return status;
    }
    char end[SNAPSHOT_END_SIZE];
    pack_end(end, &writer->totals, writer->head_sum);
    return emit(writer, (struct slice){end, sizeof end});
}

void snapshot_writer_done(struct snapshot_writer *writer)
{
    for (unsigned band = 0; band < SNAPSHOT_BANDS; band++) {
        buf_done(&writer->bands[band]);
    }
    buf_done(&writer->packed);
}

/* --- reading: the first time ----------------------------------------------------------------------------------------- */

static enum status malformed(struct snapshot_reader *reader, const char *why, ...)
    __attribute__((format(printf, 2, 3)));
static enum status malformed(struct snapshot_reader *reader, const char *why, ...)
{
    va_list args;
    va_start(args, why);
    (void)vsnprintf(reader->error, sizeof reader->error, why, args);
    va_end(args);
    return MALFORMED;
}

/* False: so many bytes are not there. */
static bool is_there(const struct snapshot_reader *reader, uint64_t offset, uint64_t size)
{
    return offset <= reader->source.size && size <= reader->source.size - offset;
}

static enum status read_at(struct snapshot_reader *reader, uint64_t offset, char *dst, size_t size)
{
    const enum status status = reader->source.read(reader->source.arg, offset, dst, size);
    return status == OK ? OK : malformed(reader, "it cannot be read at offset %" PRIu64, offset);
}

static int64_t time_at(const char *bytes)
{
    return (int64_t)get_u64le(bytes);
}

/* The next `size` bytes; false: they are not there. */
static bool unpack_name(struct slice names, size_t *at, size_t size, struct slice *ret)
{
    *ret = (struct slice){names.data + *at, size};
    if (size == 0 || size > names.size - *at) {
        return false;
    }
    *at += size;
    return true;
}

static bool unpack_namespace(struct slice names, size_t *at, struct snapshot_name *name)
{
    const uint8_t first = (uint8_t)names.data[(*at)++];
    const size_t size = first & (NAME_MANAGED - 1u);
    name->managed = (first & NAME_MANAGED) != 0;
    if (size > NAMESPACE_NAME_MAX || !unpack_name(names, at, size, &name->name) ||
        *at == names.size) {
        return false;
    }
    const size_t policy_size = (uint8_t)names.data[(*at)++];
    return policy_size <= SNAPSHOT_POLICY_NAME_MAX &&
           unpack_name(names, at, policy_size, &name->policy);
}

static enum status unpack_names(struct snapshot_reader *reader, uint64_t count, struct slice names)
{
    struct snapshot_head *head = &reader->head;
    size_t at = 0;
    for (; head->name_count < count && at < names.size; head->name_count++) {
        if (!unpack_namespace(names, &at, &head->names[head->name_count])) {
            return malformed(reader, "its names of namespaces are broken");
        }
    }
    return head->name_count == count && at == names.size
               ? OK
               : malformed(reader, "its names of namespaces are broken");
}

static enum status unpack_head(struct snapshot_reader *reader)
{
    const char *bytes = reader->head_bytes.data;
    const size_t size = reader->head_bytes.size - SUM_SIZE;
    const uint64_t sum = get_u64le(bytes + size);
    if (sum != hash_checksum((struct slice){bytes + SUMMED_FROM, size - SUMMED_FROM})) {
        return malformed(reader, "the sum of its head is wrong");
    }
    const uint64_t name_count = get_u64le(bytes + 136);
    if (name_count == 0 || name_count > NAMESPACES_MAX || get_u64le(bytes + 144) != 0 ||
        get_u32le(bytes + 20) > FLAG_ALONE) {
        return malformed(reader, "its head says what this version does not know");
    }
    reader->head = (struct snapshot_head){
        .is_alone = get_u32le(bytes + 20) == FLAG_ALONE,
        .has_ended = get_u64le(bytes + SNAPSHOT_ENDED_OFFSET) == sum,
        .l2 = get_u64le(bytes + 24),
        .node = get_u64le(bytes + 32),
        .epoch = {.counter = get_u64le(bytes + 40), .random = get_u64le(bytes + 48)},
        .run = get_u64le(bytes + 56),
        .seq = get_u64le(bytes + 64),
        .horizon_ms = time_at(bytes + 72),
        .floor_ms = time_at(bytes + 80),
        .managed_floor_ms = time_at(bytes + 88),
        .now_ms = time_at(bytes + 96),
        .boot_ms = time_at(bytes + 104),
        .unix_ms = time_at(bytes + 112),
    };
    memcpy(reader->head.boot, bytes + 120, SNAPSHOT_BOOT_SIZE);
    return unpack_names(reader, name_count, (struct slice){bytes + HEAD_FIXED, size - HEAD_FIXED});
}

static enum status read_head(struct snapshot_reader *reader)
{
    char first[SUMMED_FROM + 4];
    if (!is_there(reader, 0, sizeof first)) {
        return malformed(reader, "it is cut off in its head");
    }
    enum status status = read_at(reader, 0, first, sizeof first);
    if (status != OK) {
        return status;
    }
    if (memcmp(first, magic, MAGIC_SIZE - 1) != 0) {
        return malformed(reader, "it is no snapshot");
    }
    if (first[MAGIC_SIZE - 1] != magic[MAGIC_SIZE - 1]) {
        return malformed(reader, "another version wrote it");
    }
    const size_t size = get_u32le(first + SUMMED_FROM);
    if (size < HEAD_FIXED + SUM_SIZE || size > HEAD_MAX || !is_there(reader, 0, size)) {
        return malformed(reader, "it is cut off in its head");
    }
    if (buf_reserve(&reader->head_bytes, size) != OK) {
        return NO_MEMORY;
    }
    reader->head_bytes.size = size;
    status = read_at(reader, 0, reader->head_bytes.data, size);
    return status == OK ? unpack_head(reader) : status;
}

static enum status note_block(struct snapshot_reader *reader, const struct snapshot_block *block)
{
    const size_t count = reader->block_count;
    if (count == SNAPSHOT_BLOCKS_MAX) {
        return malformed(reader, "it has more than %d blocks", SNAPSHOT_BLOCKS_MAX);
    }
    if ((count & (count - 1)) == 0) { /* the room is a power of two */
        const size_t room = count == 0 ? 1 : 2 * count;
        struct snapshot_block *grown = realloc(reader->blocks, room * sizeof *grown);
        if (grown == NULL) {
            return NO_MEMORY;
        }
        reader->blocks = grown;
    }
    reader->blocks[reader->block_count++] = *block;
    return OK;
}

static enum status read_packed(struct snapshot_reader *reader, const struct snapshot_block *block)
{
    reader->packed.size = 0;
    if (buf_reserve(&reader->packed, block->packed) != OK) {
        return NO_MEMORY;
    }
    reader->packed.size = block->packed;
    return read_at(reader, block->offset, reader->packed.data, block->packed);
}

/* The sum of a block, whose bytes pass in pieces: nothing is made of them yet. */
static enum status sum_block(struct snapshot_reader *reader, const char head[SNAPSHOT_BLOCK_HEAD],
                             const struct snapshot_block *block, uint64_t *ret_sum)
{
    struct hash_sum sum;
    hash_sum_begin(&sum);
    hash_sum_add(&sum, (struct slice){head, SUMMED_OF_BLOCK});
    if (buf_reserve(&reader->packed, SNAPSHOT_BLOCK) != OK) {
        return NO_MEMORY;
    }
    for (uint32_t at = 0; at < block->packed;) {
        const uint32_t left = block->packed - at;
        const uint32_t size = left < SNAPSHOT_BLOCK ? left : SNAPSHOT_BLOCK;
        const enum status status = read_at(reader, block->offset + at, reader->packed.data, size);
        if (status != OK) {
            return status;
        }
        hash_sum_add(&sum, (struct slice){reader->packed.data, size});
        at += size;
    }
    *ret_sum = hash_sum_end(&sum);
    return OK;
}

/* Its limits before its bytes, its bytes before anything is made of them. */
static enum status look_at_block(struct snapshot_reader *reader, uint64_t offset,
                                 struct snapshot_block *block)
{
    char head[SNAPSHOT_BLOCK_HEAD];
    enum status status = read_at(reader, offset, head, sizeof head);
    if (status != OK) {
        return status;
    }
    *block = (struct snapshot_block){.offset = offset + sizeof head,
                                     .raw = get_u32le(head + 8),
                                     .packed = get_u32le(head + 12),
                                     .band = (uint8_t)head[4]};
    if (get_u32le(head) != BLOCK_MAGIC || block->band >= SNAPSHOT_BANDS ||
        !is_there(reader, block->offset, block->packed)) {
        return malformed(reader, "there is no block at offset %" PRIu64, offset);
    }
    if (block->raw < SNAPSHOT_RECORD_HEAD || block->packed == 0 || block->packed > block->raw ||
        (block->packed < block->raw && !codec_fits(block->packed, block->raw))) {
        return malformed(reader, "the block at offset %" PRIu64 " cannot be %" PRIu32 " bytes",
                         offset, block->raw);
    }
    uint64_t sum = 0;
    status = sum_block(reader, head, block, &sum);
    if (status != OK) {
        return status;
    }
    if (sum != get_u64le(head + SUMMED_OF_BLOCK)) {
        return malformed(reader, "the sum of the block at offset %" PRIu64 " is wrong", offset);
    }
    return note_block(reader, block);
}

static enum status look_at_end(struct snapshot_reader *reader, uint64_t offset)
{
    char end[SNAPSHOT_END_SIZE];
    char wanted[SNAPSHOT_END_SIZE];
    const enum status status = read_at(reader, offset, end, sizeof end);
    if (status != OK) {
        return status;
    }
    reader->totals = (struct snapshot_totals){
        .blocks = get_u64le(end + 8), .records = get_u64le(end + 16), .bytes = get_u64le(end + 24)};
    pack_end(wanted, &reader->totals,
             get_u64le(reader->head_bytes.data + reader->head_bytes.size - SUM_SIZE));
    return memcmp(end, wanted, sizeof end) == 0 && reader->totals.blocks == reader->block_count
               ? OK
               : malformed(reader, "its end is broken, or cut off");
}

enum status snapshot_open(struct snapshot_reader *reader, const struct snapshot_source *source,
                          uint64_t raw_max)
{
    *reader = (struct snapshot_reader){
        .source = *source,
        .raw_max = raw_max > SNAPSHOT_BLOCK ? raw_max : SNAPSHOT_BLOCK,
        .band = SNAPSHOT_BANDS - 1,
    };
    enum status status = read_head(reader);
    uint64_t offset = reader->head_bytes.size;
    while (status == OK && is_there(reader, offset, SNAPSHOT_END_SIZE + 1)) {
        struct snapshot_block block = {0};
        status = look_at_block(reader, offset, &block);
        offset = block.offset + block.packed;
    }
    if (status == OK && !is_there(reader, offset, SNAPSHOT_END_SIZE)) {
        status = malformed(reader, "its end is broken, or cut off");
    }
    return status == OK ? look_at_end(reader, offset) : status;
}

/* --- reading: the second time ---------------------------------------------------------------------------------------- */

static enum status unpack_block(struct snapshot_reader *reader, const struct snapshot_block *block)
{
    reader->raw.size = 0;
    reader->at = 0;
    enum status status = read_packed(reader, block);
    if (status == OK && buf_reserve(&reader->raw, block->raw) != OK) {
        status = NO_MEMORY;
    }
    if (status != OK) {
        return status;
    }
    reader->raw.size = block->raw;
    if (block->packed == block->raw) {
        memcpy(reader->raw.data, reader->packed.data, block->raw);
    } else if (codec_decompress(reader->raw.data, block->raw, buf_slice(&reader->packed), NULL) !=
               OK) {
        return malformed(reader,
                         "the block at offset %" PRIu64 " is not compressed as it should be",
                         block->offset - SNAPSHOT_BLOCK_HEAD);
    }
    return OK;
}

/* A record with a block to itself, for which there is no room. */
static void leave_out(struct snapshot_reader *reader, const struct snapshot_block *block)
{
    reader->left_out++;
    reader->seen.records++;
    reader->seen.bytes += block->raw - SNAPSHOT_RECORD_HEAD;
}

/* MISS: all were read. */
static enum status next_block(struct snapshot_reader *reader)
{
    for (; reader->band >= 0; reader->band--, reader->next = 0) {
        while (reader->next < reader->block_count) {
            const struct snapshot_block *block = &reader->blocks[reader->next++];
            if (block->band == reader->band && block->raw > reader->raw_max) {
                leave_out(reader, block);
            } else if (block->band == reader->band) {
                return unpack_block(reader, block);
            }
        }
    }
    return MISS;
}

static bool unpack_record(const struct snapshot_reader *reader, struct snapshot_record *record)
{
    const char *bytes = reader->raw.data + reader->at;
    const size_t left = reader->raw.size - reader->at;
    if (left < SNAPSHOT_RECORD_HEAD) {
        return false;
    }
    const unsigned char first = (unsigned char)bytes[0];
    const uint64_t key_size = get_u16le(bytes + 24);
    const uint64_t value_size = get_u32le(bytes + 28);
    *record = (struct snapshot_record){
        .db = first & ITEM_DB_MASK,
        .look = (enum item_look)(first >> 4 & ITEM_LOOK_MASK),
        .capped = (first & RECORD_CAPPED) != 0,
        .place = (uint8_t)bytes[1],
        .hotness = (uint8_t)bytes[26],
        .kept = get_u16le(bytes + 2),
        .idle_ms = get_u32le(bytes + 4),
        .expire_at_ms = time_at(bytes + 8),
        .stamped_at_ms = time_at(bytes + 16),
        .key = {bytes + SNAPSHOT_RECORD_HEAD, key_size},
        .value = {bytes + SNAPSHOT_RECORD_HEAD + key_size, value_size},
    };
    return value_size <= LIMIT_BULK && key_size + value_size <= left - SNAPSHOT_RECORD_HEAD &&
           bytes[27] == 0 && record->look < ITEM_LOOK_CLAIM &&
           record->place < reader->head.name_count && record->expire_at_ms >= 0 &&
           record->stamped_at_ms >= 0;
}

enum status snapshot_next(struct snapshot_reader *reader, struct snapshot_record *ret_record)
{
    if (reader->at == reader->raw.size) {
        const enum status status = next_block(reader);
        if (status == MISS && (reader->seen.records != reader->totals.records ||
                               reader->seen.bytes != reader->totals.bytes)) {
            return malformed(reader, "it has %" PRIu64 " records, and its end says %" PRIu64,
                             reader->seen.records, reader->totals.records);
        }
        if (status != OK) {
            return status;
        }
    }
    if (!unpack_record(reader, ret_record)) {
        return malformed(reader, "a record is broken");
    }
    const size_t size = ret_record->key.size + ret_record->value.size;
    reader->at += SNAPSHOT_RECORD_HEAD + size;
    reader->seen.records++;
    reader->seen.bytes += size;
    return OK;
}

void snapshot_close(struct snapshot_reader *reader)
{
    buf_done(&reader->head_bytes);
    buf_done(&reader->packed);
    buf_done(&reader->raw);
    free(reader->blocks);
    reader->blocks = NULL;
}
