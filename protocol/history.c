/* SPDX-License-Identifier: BSD-3-Clause */
#include "protocol/history.h"

#include "protocol/hash.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define MAGIC       "TRHIST\r\n"
#define BLOCK_MAGIC 0x31425254u /* "TRB1" */

enum {
    MAGIC_SIZE = 8,
    VERSION = 1,
    NODE_SIZE = 8 + HISTORY_NAME_SIZE,
    NODES_OFFSET = 64,
    PREFIX_OFFSET = NODES_OFFSET + HISTORY_NODES_MAX * NODE_SIZE,
    DESCRIPTION_OFFSET = PREFIX_OFFSET + HISTORY_PREFIX_SIZE,
    CHECKSUM_OFFSET = DESCRIPTION_OFFSET + HISTORY_DESCRIPTION_SIZE,
};

_Static_assert(CHECKSUM_OFFSET + 8 == HISTORY_HEADER_SIZE, "the fields fill the header");

/* ------------------------------------------------------------------ writing */

static void encode(char *dst, const struct history_record *record)
{
    put_u64le(dst, record->invoked_ns);
    put_u64le(dst + 8, record->completed_ns);
    put_u64le(dst + 16, record->value);
    put_u32le(dst + 24, record->key);
    put_u32le(dst + 28, record->session);
    put_u16le(dst + 32, record->node);
    dst[34] = (char)record->kind;
    dst[35] = (char)record->what;
    put_u32le(dst + 36, record->life_ms);
}

void history_writer_done(struct history_writer *writer)
{
    buf_done(&writer->out);
    writer->open_count = 0;
}

enum status history_write_header(struct history_writer *writer, const struct history_header *header)
{
    char bytes[HISTORY_HEADER_SIZE] = MAGIC;
    put_u32le(bytes + 8, VERSION);
    put_u32le(bytes + 12, HISTORY_HEADER_SIZE);
    put_u64le(bytes + 16, header->seed);
    put_u64le(bytes + 24, header->bound_ns);
    put_u64le(bytes + 32, header->slack_ns);
    put_u64le(bytes + 40, header->grace_ns);
    put_u64le(bytes + 48, header->began_ns);
    put_u32le(bytes + 56, header->keys);
    put_u32le(bytes + 60, header->nodes);
    for (uint32_t i = 0; i < header->nodes && i < HISTORY_NODES_MAX; i++) {
        char *dst = bytes + NODES_OFFSET + (size_t)i * NODE_SIZE;
        put_u64le(dst, header->node[i].bound_ns);
        memcpy(dst + 8, header->node[i].name, strnlen(header->node[i].name, HISTORY_NAME_SIZE - 1));
    }
    memcpy(bytes + PREFIX_OFFSET, header->prefix, strnlen(header->prefix, HISTORY_PREFIX_SIZE - 1));
    memcpy(bytes + DESCRIPTION_OFFSET, header->description,
           strnlen(header->description, HISTORY_DESCRIPTION_SIZE - 1));
    put_u64le(bytes + CHECKSUM_OFFSET, hash_checksum((struct slice){bytes, CHECKSUM_OFFSET}));
    return buf_append(&writer->out, bytes, sizeof bytes);
}

static enum status close_block(struct history_writer *writer)
{
    struct slice records = {writer->open, (size_t)writer->open_count * HISTORY_RECORD_SIZE};
    char head[HISTORY_BLOCK_HEAD_SIZE];
    put_u32le(head, BLOCK_MAGIC);
    put_u32le(head + 4, writer->open_count);
    put_u64le(head + 8, hash_checksum(records));
    enum status status = buf_reserve(&writer->out, sizeof head + records.size);
    if (status == OK) {
        status = buf_append(&writer->out, head, sizeof head);
    }
    if (status == OK) {
        status = buf_append_slice(&writer->out, records);
    }
    if (status == OK) {
        writer->open_count = 0;
    }
    return status;
}

enum status history_write(struct history_writer *writer, struct history_record record)
{
    if (writer->open_count == HISTORY_BLOCK_RECORDS && close_block(writer) != OK) {
        return NO_MEMORY;
    }
    if (history_moment(&record) < writer->last_ns) {
        *(history_is_begin(&record) ? &record.invoked_ns : &record.completed_ns) = writer->last_ns;
    }
    writer->last_ns = history_moment(&record);
    encode(writer->open + (size_t)writer->open_count * HISTORY_RECORD_SIZE, &record);
    writer->open_count++;
    writer->total++;
    return OK;
}

enum status history_write_flush(struct history_writer *writer)
{
    return writer->open_count > 0 ? close_block(writer) : OK;
}

enum status history_write_end(struct history_writer *writer)
{
    if (history_write_flush(writer) != OK) {
        return NO_MEMORY;
    }
    char head[HISTORY_BLOCK_HEAD_SIZE];
    put_u32le(head, BLOCK_MAGIC);
    put_u32le(head + 4, 0);
    put_u64le(head + 8, writer->total);
    return buf_append(&writer->out, head, sizeof head);
}

/* ------------------------------------------------------------------ reading */

static enum status complain(struct history_reader *reader, uint64_t offset, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

static enum status complain(struct history_reader *reader, uint64_t offset, const char *format, ...)
{
    int size = snprintf(reader->error, sizeof reader->error, "at byte %" PRIu64 ": ", offset);
    va_list arguments;
    va_start(arguments, format);
    (void)vsnprintf(reader->error + size, sizeof reader->error - (size_t)size, format, arguments);
    va_end(arguments);
    return MALFORMED;
}

/* Texts are ended by a zero and printable: they go to a terminal. */
static bool read_text(char *dst, const char *src, size_t size)
{
    size_t used = strnlen(src, size);
    for (size_t i = 0; i < size; i++) {
        bool fits = i < used ? (unsigned char)src[i] >= ' ' && src[i] != 0x7f : src[i] == 0;
        if (!fits || used == size) {
            return false;
        }
    }
    memcpy(dst, src, size);
    return true;
}

static enum status check_numbers(struct history_reader *reader)
{
    const struct history_header *header = &reader->header;
    if (header->keys == 0 || header->keys > HISTORY_KEYS_MAX) {
        return complain(reader, 56, "%" PRIu32 " keys; 1 to %d are possible", header->keys,
                        HISTORY_KEYS_MAX);
    }
    if (header->nodes == 0 || header->nodes > HISTORY_NODES_MAX) {
        return complain(reader, 60, "%" PRIu32 " nodes; 1 to %d are possible", header->nodes,
                        HISTORY_NODES_MAX);
    }
    const uint64_t times[] = {header->bound_ns, header->slack_ns, header->grace_ns,
                              header->began_ns};
    for (size_t i = 0; i < sizeof times / sizeof times[0]; i++) {
        if (times[i] >= HISTORY_NEVER) {
            return complain(reader, 24 + 8 * i, "a time of %" PRIu64 " ns", times[i]);
        }
    }
    return OK;
}

static enum status read_header(struct history_reader *reader, struct slice input, size_t *ret_used)
{
    size_t known = input.size < MAGIC_SIZE ? input.size : MAGIC_SIZE;
    if (memcmp(input.data, MAGIC, known) != 0) {
        return complain(reader, 0, "not a history: it does not begin with TRHIST");
    }
    if (input.size < HISTORY_HEADER_SIZE) {
        return AGAIN;
    }
    const char *bytes = input.data;
    if (get_u32le(bytes + 8) != VERSION || get_u32le(bytes + 12) != HISTORY_HEADER_SIZE) {
        return complain(reader, 8, "version %" PRIu32 ", this program reads version %d",
                        get_u32le(bytes + 8), VERSION);
    }
    if (get_u64le(bytes + CHECKSUM_OFFSET) !=
        hash_checksum((struct slice){bytes, CHECKSUM_OFFSET})) {
        return complain(reader, CHECKSUM_OFFSET, "the checksum of the header is wrong");
    }
    struct history_header *header = &reader->header;
    header->seed = get_u64le(bytes + 16);
    header->bound_ns = get_u64le(bytes + 24);
    header->slack_ns = get_u64le(bytes + 32);
    header->grace_ns = get_u64le(bytes + 40);
    header->began_ns = get_u64le(bytes + 48);
    header->keys = get_u32le(bytes + 56);
    header->nodes = get_u32le(bytes + 60);
    if (check_numbers(reader) != OK) {
        return MALFORMED;
    }
    for (uint32_t i = 0; i < header->nodes; i++) {
        size_t at = NODES_OFFSET + (size_t)i * NODE_SIZE;
        header->node[i].bound_ns = get_u64le(bytes + at);
        if (header->node[i].bound_ns >= HISTORY_NEVER ||
            !read_text(header->node[i].name, bytes + at + 8, HISTORY_NAME_SIZE)) {
            return complain(reader, at, "node %" PRIu32 " is not a bound and a name", i);
        }
    }
    if (!read_text(header->prefix, bytes + PREFIX_OFFSET, HISTORY_PREFIX_SIZE) ||
        !read_text(header->description, bytes + DESCRIPTION_OFFSET, HISTORY_DESCRIPTION_SIZE)) {
        return complain(reader, PREFIX_OFFSET, "prefix and description are not text");
    }
    reader->has_header = true;
    *ret_used = HISTORY_HEADER_SIZE;
    return OK;
}

static void decode(const char *src, struct history_record *record)
{
    record->invoked_ns = get_u64le(src);
    record->completed_ns = get_u64le(src + 8);
    record->value = get_u64le(src + 16);
    record->key = get_u32le(src + 24);
    record->session = get_u32le(src + 28);
    record->node = get_u16le(src + 32);
    record->kind = (uint8_t)src[34];
    record->what = (uint8_t)src[35];
    record->life_ms = get_u32le(src + 36);
}

/* NULL: the record is as it must be. */
static const char *fault_of(const struct history_header *header,
                            const struct history_record *record)
{
    bool begins = history_is_begin(record);
    if (!begins && record->kind != HISTORY_READ && record->kind != HISTORY_END) {
        return "no such kind of record";
    }
    if (record->key == HISTORY_ALL_KEYS
            ? record->kind == HISTORY_READ || record->kind == HISTORY_SET
            : record->key >= header->keys) {
        return "a key that the header does not have";
    }
    if (record->session >= HISTORY_SESSIONS_MAX) {
        return "a session number beyond 2^27";
    }
    if (record->node >= header->nodes) {
        return "a node that the header does not have";
    }
    if (record->invoked_ns >= HISTORY_NEVER || record->completed_ns >= HISTORY_NEVER ||
        (begins ? record->completed_ns != 0 : record->completed_ns < record->invoked_ns)) {
        return "times that cannot be";
    }
    if (record->kind != HISTORY_READ &&
        (record->value == HISTORY_NOTHING || record->value == HISTORY_FOREIGN)) {
        return "a write without a name";
    }
    if (record->kind == HISTORY_END
            ? record->what < HISTORY_OK || record->what > HISTORY_LOST
            : (record->what & ~(record->kind == HISTORY_READ ? 3u : 0u)) != 0) {
        return "no such outcome or mark";
    }
    if (record->life_ms != 0 && record->kind != HISTORY_SET && record->kind != HISTORY_END) {
        return "a life of what is not SET";
    }
    return NULL;
}

static enum status read_end_mark(struct history_reader *reader, uint64_t total, size_t *ret_used)
{
    if (total != reader->total) {
        return complain(reader, reader->offset + 8,
                        "the end mark counts %" PRIu64 " records, the file has %" PRIu64, total,
                        reader->total);
    }
    reader->ended = true;
    *ret_used = HISTORY_BLOCK_HEAD_SIZE;
    return OK;
}

static enum status read_records(struct history_reader *reader, const char *src, uint32_t count,
                                struct history_record *records)
{
    for (uint32_t i = 0; i < count; i++) {
        uint64_t offset =
            reader->offset + HISTORY_BLOCK_HEAD_SIZE + (uint64_t)i * HISTORY_RECORD_SIZE;
        decode(src + (size_t)i * HISTORY_RECORD_SIZE, &records[i]);
        const char *fault = fault_of(&reader->header, &records[i]);
        if (fault != NULL) {
            return complain(reader, offset, "%s", fault);
        }
        uint64_t moment_ns = history_moment(&records[i]);
        if (moment_ns < reader->last_ns) {
            return complain(reader, offset,
                            "not sorted: moment %" PRIu64 " ns after %" PRIu64 " ns", moment_ns,
                            reader->last_ns);
        }
        reader->last_ns = moment_ns;
    }
    reader->total += count;
    return OK;
}

static enum status read_block(struct history_reader *reader, struct slice input,
                              struct history_record *records, uint32_t *ret_count, size_t *ret_used)
{
    if (input.size < HISTORY_BLOCK_HEAD_SIZE) {
        return AGAIN;
    }
    uint32_t count = get_u32le(input.data + 4);
    uint64_t checksum = get_u64le(input.data + 8);
    if (get_u32le(input.data) != BLOCK_MAGIC) {
        return complain(reader, reader->offset, "no block begins here");
    }
    if (count > HISTORY_BLOCK_RECORDS) {
        return complain(reader, reader->offset + 4,
                        "a block of %" PRIu32 " records; %d are possible", count,
                        HISTORY_BLOCK_RECORDS);
    }
    if (count == 0) {
        return read_end_mark(reader, checksum, ret_used);
    }
    struct slice bytes = {input.data + HISTORY_BLOCK_HEAD_SIZE,
                          (size_t)count * HISTORY_RECORD_SIZE};
    if (input.size - HISTORY_BLOCK_HEAD_SIZE < bytes.size) {
        return AGAIN;
    }
    if (hash_checksum(bytes) != checksum) {
        return complain(reader, reader->offset + 8, "the checksum of the block is wrong");
    }
    enum status status = read_records(reader, bytes.data, count, records);
    *ret_count = count;
    *ret_used = HISTORY_BLOCK_HEAD_SIZE + bytes.size;
    return status;
}

enum status history_read(struct history_reader *reader, struct slice input,
                         struct history_record records[HISTORY_BLOCK_RECORDS], uint32_t *ret_count,
                         size_t *ret_used)
{
    *ret_count = 0;
    *ret_used = 0;
    if (input.size == 0) {
        return AGAIN;
    }
    if (reader->ended) {
        return complain(reader, reader->offset, "bytes after the end mark");
    }
    enum status status = reader->has_header
                             ? read_block(reader, input, records, ret_count, ret_used)
                             : read_header(reader, input, ret_used);
    if (status == OK) {
        reader->offset += *ret_used;
    } else {
        *ret_count = 0;
        *ret_used = 0;
    }
    return status;
}

enum status history_read_end(struct history_reader *reader, size_t left)
{
    if (reader->ended && left == 0) {
        return OK;
    }
    return complain(reader, reader->offset + left,
                    "the file ends without an end mark: it is cut off, or its driver was killed");
}
