/* SPDX-License-Identifier: BSD-3-Clause */
#include "tiers/behind_log.h"

#include "protocol/check.h"
#include "protocol/hash.h"
#include "protocol/limits.h"

#include <string.h>

static const char magic[BEHIND_LOG_MAGIC_SIZE] = {'T', 'E', 'R', 'R', 'B', 'H', 'D', '1'};

/* --- writing ------------------------------------------------------------------------------------------------------- */

enum status behind_log_begin(struct buf *out)
{
    return buf_append(out, magic, sizeof magic);
}

static size_t body_size(const struct behind_record *record)
{
    return BEHIND_BODY_HEAD + record->key.size +
           (record->kind == BEHIND_FINISHED ? 0 : BEHIND_WRITE_HEAD + record->envelope.size);
}

static void copy(char *dst, struct slice bytes)
{
    if (bytes.size > 0) {
        memcpy(dst, bytes.data, bytes.size);
    }
}

enum status behind_log_append(struct buf *out, const struct behind_record *record)
{
    const size_t size = body_size(record);
    CHECK(record->key.size < LIMIT_L1_KEY && record->envelope.size <= BEHIND_VALUE_MAX);
    if (buf_reserve(out, BEHIND_RECORD_HEAD + size) != OK) {
        return NO_MEMORY;
    }
    char *head = out->data + out->size;
    char *body = head + BEHIND_RECORD_HEAD;
    body[0] = (char)record->kind;
    put_u64le(body + 1, record->number);
    body[9] = (char)record->db;
    put_u16le(body + 10, (uint16_t)record->key.size);
    copy(body + BEHIND_BODY_HEAD, record->key);
    if (record->kind == BEHIND_WRITE) {
        char *write = body + BEHIND_BODY_HEAD + record->key.size;
        put_u64le(write, record->base);
        put_u64le(write + 8, (uint64_t)record->dies_at_ms);
        copy(write + BEHIND_WRITE_HEAD, record->envelope);
    }
    put_u32le(head, (uint32_t)size);
    put_u32le(head + 4, ~(uint32_t)size);
    put_u64le(head + 8, hash_checksum((struct slice){body, size}));
    out->size += BEHIND_RECORD_HEAD + size;
    return OK;
}

/* --- reading ------------------------------------------------------------------------------------------------------- */

enum status behind_log_open(struct behind_log_reader *reader, struct slice file)
{
    *reader = (struct behind_log_reader){.file = file};
    const size_t here = file.size < sizeof magic ? file.size : sizeof magic;
    if (here > 0 && memcmp(file.data, magic, here) != 0) {
        return MALFORMED;
    }
    if (here < sizeof magic) {
        return AGAIN;
    }
    reader->offset = sizeof magic;
    return OK;
}

static bool is_zeros(struct slice bytes)
{
    for (size_t i = 0; i < bytes.size; i++) {
        if (bytes.data[i] != 0) {
            return false;
        }
    }
    return true;
}

/* A body whose checksum is right: what is wrong in it was written so. */
static enum status read_body(struct slice body, struct behind_record *ret_record)
{
    *ret_record = (struct behind_record){0};
    if (body.size < BEHIND_BODY_HEAD ||
        (body.data[0] != BEHIND_WRITE && body.data[0] != BEHIND_FINISHED)) {
        return MALFORMED;
    }
    const size_t key_size = get_u16le(body.data + 10);
    struct slice rest = {body.data + BEHIND_BODY_HEAD, body.size - BEHIND_BODY_HEAD};
    ret_record->kind = body.data[0] == BEHIND_WRITE ? BEHIND_WRITE : BEHIND_FINISHED;
    ret_record->number = get_u64le(body.data + 1);
    ret_record->db = (uint8_t)body.data[9];
    if (key_size > rest.size || key_size >= LIMIT_L1_KEY || ret_record->db >= LIMIT_DATABASES) {
        return MALFORMED;
    }
    ret_record->key = (struct slice){rest.data, key_size};
    rest = (struct slice){rest.data + key_size, rest.size - key_size};
    if (ret_record->kind == BEHIND_FINISHED) {
        return rest.size == 0 ? OK : MALFORMED;
    }
    if (rest.size < BEHIND_WRITE_HEAD || rest.size - BEHIND_WRITE_HEAD > BEHIND_VALUE_MAX) {
        return MALFORMED;
    }
    ret_record->base = get_u64le(rest.data);
    ret_record->dies_at_ms = (int64_t)get_u64le(rest.data + 8);
    ret_record->envelope =
        (struct slice){rest.data + BEHIND_WRITE_HEAD, rest.size - BEHIND_WRITE_HEAD};
    return ret_record->dies_at_ms >= 0 ? OK : MALFORMED;
}

enum status behind_log_next(struct behind_log_reader *reader, struct behind_record *ret_record)
{
    const struct slice rest = {reader->file.data + reader->offset,
                               reader->file.size - reader->offset};
    if (rest.size == 0) {
        return MISS;
    }
    if (rest.size < BEHIND_RECORD_HEAD || is_zeros(rest)) {
        return AGAIN;
    }
    const uint32_t size = get_u32le(rest.data);
    if (get_u32le(rest.data + 4) != ~size || size > BEHIND_RECORD_MAX) {
        return MALFORMED;
    }
    if (size > rest.size - BEHIND_RECORD_HEAD) {
        return AGAIN;
    }
    const struct slice body = {rest.data + BEHIND_RECORD_HEAD, size};
    if (hash_checksum(body) != get_u64le(rest.data + 8)) {
        return BEHIND_RECORD_HEAD + size == rest.size ? AGAIN : MALFORMED;
    }
    const enum status status = read_body(body, ret_record);
    if (status == OK) {
        reader->offset += BEHIND_RECORD_HEAD + size;
    }
    return status;
}
