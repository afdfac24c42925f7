/* SPDX-License-Identifier: BSD-3-Clause */
#include "protocol/frame.h"

#include "protocol/check.h"
#include "protocol/hash.h"
#include "protocol/limits.h"

#include <string.h>

enum {
    FRAME_MAGIC = 'T',
    FRAME_VERSION = 1,
    PERMILLE = 1000
};

/* Offsets in the header, as drawn in frame.h. */
enum {
    AT_MAGIC = 0,
    AT_VERSION = 1,
    AT_TYPE = 2,
    AT_FLAGS = 3,
    AT_HEADER_SIZE = 4,
    AT_SHARD = 6,
    AT_RESERVED_8 = 8,
    AT_EPOCH_COUNTER = FRAME_REDIS_WORDS_OFFSET,
    AT_EPOCH_RANDOM = 24,
    AT_SEQ_FIRST = 32,
    AT_COUNT = 40,
    AT_RESERVED_44 = 44,
    AT_NODE = 48,
    AT_NONCE = 56,
};

/* Offsets in the body of a beat. */
enum {
    BEAT_AT_APPLIED = 0,
    BEAT_AT_BOUND = 8,
    BEAT_AT_FLAGS = 12,
    BEAT_AT_SINCE = 16,
    BEAT_AT_STREAM = 24,
    BEAT_AT_MARK = 32,
    BEAT_AT_STATE = 36,
    BEAT_AT_HIT = 40,
    BEAT_AT_LOAD = 44,
    BEAT_AT_HOMES = 48
};

/* In the row of a figure. */
enum {
    FIGURE_AT_WHICH = 0,
    FIGURE_AT_VALUE = 4,
    FIGURE_AT_MARK = 8
};

/* In front of every key of a keys body: u8 kind, u8 db, u16 size. */
enum {
    KEY_KIND = 0,
    KEY_HEAD_SIZE = 4
};

/* In front of the name in the body of a flush. */
enum {
    FLUSH_HEAD_SIZE = 6
};

enum {
    FRAME_BODY_MAX = LIMIT_FRAME - FRAME_HEADER_SIZE - FRAME_CHECKSUM_SIZE
};

static uint64_t checksum_of(const char *header, struct slice body)
{
    char sealed[FRAME_HEADER_SIZE];
    memcpy(sealed, header, sizeof sealed);
    memset(sealed + FRAME_REDIS_WORDS_OFFSET, 0, FRAME_REDIS_WORDS_SIZE);
    return hash_checksum_of_two((struct slice){.data = sealed, .size = sizeof sealed}, body);
}

bool frame_type_known(uint8_t type)
{
    switch ((enum frame_type)type) {
    case FRAME_KEYS:
    case FRAME_PREFIX:
    case FRAME_TAG:
    case FRAME_FLUSH:
    case FRAME_BEAT:
    case FRAME_MARKER:
    case FRAME_WAKE: return true;
    }
    return false;
}

enum status frame_write(struct buf *out, const struct frame *frame)
{
    if (frame->body.size > FRAME_BODY_MAX) {
        return TOO_BIG;
    }
    const size_t size = FRAME_HEADER_SIZE + frame->body.size + FRAME_CHECKSUM_SIZE;
    const enum status status = buf_reserve(out, size);
    if (status != OK) {
        return status;
    }
    char *header = out->data + out->size;
    memset(header, 0, FRAME_HEADER_SIZE);
    header[AT_MAGIC] = FRAME_MAGIC;
    header[AT_VERSION] = FRAME_VERSION;
    header[AT_TYPE] = (char)frame->type;
    header[AT_FLAGS] = (char)frame->flags;
    put_u16le(header + AT_HEADER_SIZE, FRAME_HEADER_SIZE);
    put_u16le(header + AT_SHARD, frame->shard);
    put_u64le(header + AT_EPOCH_COUNTER, frame->epoch.counter);
    put_u64le(header + AT_EPOCH_RANDOM, frame->epoch.random);
    put_u64le(header + AT_SEQ_FIRST, frame->seq_first);
    put_u32le(header + AT_COUNT, frame->count);
    put_u64le(header + AT_NODE, frame->node);
    put_u64le(header + AT_NONCE, frame->nonce);
    if (frame->body.size > 0) {
        memcpy(header + FRAME_HEADER_SIZE, frame->body.data, frame->body.size);
    }
    put_u64le(header + FRAME_HEADER_SIZE + frame->body.size, checksum_of(header, frame->body));
    out->size += size;
    return OK;
}

/* What a version 1 header must say, whatever the frame is about. Reserved words and flags are zero: who uses them one
 * day must not be half understood by us. */
static bool header_holds(const char *header)
{
    const uint8_t flags = (uint8_t)header[AT_FLAGS];
    if (header[AT_MAGIC] != FRAME_MAGIC || header[AT_VERSION] != FRAME_VERSION ||
        get_u16le(header + AT_HEADER_SIZE) != FRAME_HEADER_SIZE) {
        return false;
    }
    if ((flags & ~FRAME_SKIPPABLE) != 0 || get_u64le(header + AT_RESERVED_8) != 0 ||
        get_u32le(header + AT_RESERVED_44) != 0) {
        return false;
    }
    return frame_type_known((uint8_t)header[AT_TYPE]) || (flags & FRAME_SKIPPABLE) != 0;
}

enum status frame_read(struct slice input, struct frame *ret_frame)
{
    if (input.size > LIMIT_FRAME) {
        return TOO_BIG;
    }
    if (input.size < FRAME_HEADER_SIZE + FRAME_CHECKSUM_SIZE) {
        return MALFORMED;
    }
    const char *header = input.data;
    const struct slice body = {
        .data = input.data + FRAME_HEADER_SIZE,
        .size = input.size - FRAME_HEADER_SIZE - FRAME_CHECKSUM_SIZE,
    };
    if (!header_holds(header) || get_u64le(body.data + body.size) != checksum_of(header, body)) {
        return MALFORMED;
    }
    *ret_frame = (struct frame){
        .type = (enum frame_type)(uint8_t)header[AT_TYPE],
        .flags = (uint8_t)header[AT_FLAGS],
        .shard = get_u16le(header + AT_SHARD),
        .epoch = {.counter = get_u64le(header + AT_EPOCH_COUNTER),
                  .random = get_u64le(header + AT_EPOCH_RANDOM)},
        .seq_first = get_u64le(header + AT_SEQ_FIRST),
        .count = get_u32le(header + AT_COUNT),
        .node = get_u64le(header + AT_NODE),
        .nonce = get_u64le(header + AT_NONCE),
        .body = body,
    };
    return OK;
}

void frame_beat_write(char dst[FRAME_BEAT_BODY_SIZE], const struct frame_beat *beat)
{
    put_u64le(dst + BEAT_AT_APPLIED, beat->applied_seq);
    put_u32le(dst + BEAT_AT_BOUND, beat->bound_ms);
    put_u32le(dst + BEAT_AT_FLAGS, beat->flags);
    put_u64le(dst + BEAT_AT_SINCE, beat->since_seq);
    put_u64le(dst + BEAT_AT_STREAM, beat->stream_hash);
    put_u32le(dst + BEAT_AT_MARK, beat->epoch_mark);
    put_u32le(dst + BEAT_AT_STATE, beat->state);
    put_u32le(dst + BEAT_AT_HIT, beat->hit_permille);
    put_u32le(dst + BEAT_AT_LOAD, beat->load);
    put_u32le(dst + BEAT_AT_HOMES,
              (uint32_t)((beat->homes.size + beat->figures.size) / FRAME_HOME_SIZE));
}

size_t frame_figures_write(char *dst, size_t room, const struct frame_beat *beat)
{
    const struct {
        uint32_t which;
        uint32_t value;
    } figures[FRAME_FIGURES_MAX] = {{FRAME_FIGURE_WEIGHT, beat->weight},
                                    {FRAME_FIGURE_READS, beat->reads_per_s}};
    size_t count = 0;
    for (; count < FRAME_FIGURES_MAX && count < room; count++) {
        char *row = dst + count * FRAME_HOME_SIZE;
        put_u32le(row + FIGURE_AT_WHICH, figures[count].which);
        put_u32le(row + FIGURE_AT_VALUE, figures[count].value);
        put_u32le(row + FIGURE_AT_MARK, FRAME_FIGURE);
    }
    return count * FRAME_HOME_SIZE;
}

static bool is_figure(const char *row)
{
    return (get_u32le(row + FIGURE_AT_MARK) & FRAME_FIGURE) != 0;
}

/* Cuts the figures off the rows. false: a namespace stands behind one. */
static bool split_figures(struct frame_beat *beat, struct slice rows)
{
    size_t at = 0;
    while (at < rows.size && !is_figure(rows.data + at)) {
        at += FRAME_HOME_SIZE;
    }
    beat->homes = (struct slice){rows.data, at};
    beat->figures = (struct slice){rows.data + at, rows.size - at};
    beat->weight = FRAME_WEIGHT_FULL;
    for (; at < rows.size; at += FRAME_HOME_SIZE) {
        const char *row = rows.data + at;
        const uint32_t value = get_u32le(row + FIGURE_AT_VALUE);
        if (!is_figure(row)) {
            return false;
        }
        switch (get_u32le(row + FIGURE_AT_WHICH)) {
        case FRAME_FIGURE_WEIGHT: beat->weight = value; break;
        case FRAME_FIGURE_READS: beat->reads_per_s = value; break;
        default: break; /* of a later version */
        }
    }
    return true;
}

static bool is_printable(struct slice text)
{
    for (size_t i = 0; i < text.size; i++) {
        if (text.data[i] <= ' ' || text.data[i] > '~') {
            return false;
        }
    }
    return true;
}

enum status frame_beat_read(struct slice body, struct frame_beat *ret_beat)
{
    const uint32_t rows =
        body.size < FRAME_BEAT_BODY_SIZE ? UINT32_MAX : get_u32le(body.data + BEAT_AT_HOMES);
    const size_t homes_size = (size_t)rows * FRAME_HOME_SIZE;
    if (rows > FRAME_HOMES_MAX || body.size < FRAME_BEAT_BODY_SIZE + homes_size ||
        body.size > FRAME_BEAT_BODY_SIZE + homes_size + FRAME_ADDRESS_MAX) {
        return MALFORMED;
    }
    const char *homes = body.data + FRAME_BEAT_BODY_SIZE;
    struct frame_beat beat = {
        .applied_seq = get_u64le(body.data + BEAT_AT_APPLIED),
        .bound_ms = get_u32le(body.data + BEAT_AT_BOUND),
        .flags = get_u32le(body.data + BEAT_AT_FLAGS),
        .since_seq = get_u64le(body.data + BEAT_AT_SINCE),
        .stream_hash = get_u64le(body.data + BEAT_AT_STREAM),
        .epoch_mark = get_u32le(body.data + BEAT_AT_MARK),
        .state = get_u32le(body.data + BEAT_AT_STATE),
        .hit_permille = get_u32le(body.data + BEAT_AT_HIT),
        .load = get_u32le(body.data + BEAT_AT_LOAD),
        .address = {homes + homes_size, body.size - FRAME_BEAT_BODY_SIZE - homes_size},
    };
    const uint32_t known = FRAME_BEAT_ACK | FRAME_BEAT_UNTRACKED | FRAME_BEAT_LEAVING;
    if ((beat.flags & ~known) != 0 || beat.bound_ms > FRAME_BEAT_BOUND_MAX_MS ||
        beat.since_seq > beat.applied_seq || beat.hit_permille > PERMILLE ||
        !split_figures(&beat, (struct slice){homes, homes_size}) ||
        beat.weight > FRAME_WEIGHT_FULL || !is_printable(beat.address)) {
        return MALFORMED;
    }
    *ret_beat = beat;
    return OK;
}

uint32_t frame_epoch_mark(struct epoch epoch)
{
    return (uint32_t)(epoch.random ^ epoch.random >> 32 ^ epoch.counter);
}

struct slice frame_flush_write(char dst[FRAME_FLUSH_BODY_MAX], const struct frame_flush *flush)
{
    CHECK(flush->name.size <= FRAME_FLUSH_NAME_MAX);
    dst[0] = (char)flush->kind;
    dst[1] = 0;
    put_u16le(dst + 2, flush->dbs);
    put_u16le(dst + 4, (uint16_t)flush->name.size);
    if (flush->name.size > 0) {
        memcpy(dst + FLUSH_HEAD_SIZE, flush->name.data, flush->name.size);
    }
    return (struct slice){.data = dst, .size = FLUSH_HEAD_SIZE + flush->name.size};
}

enum status frame_flush_read(struct slice body, struct frame_flush *ret_flush)
{
    *ret_flush = (struct frame_flush){.kind = FRAME_FLUSH_SUSPECT};
    if (body.size == 0) {
        return OK;
    }
    if (body.size < FLUSH_HEAD_SIZE || body.size > FRAME_FLUSH_BODY_MAX || body.data[1] != 0 ||
        (body.data[0] != FRAME_FLUSH_SUSPECT && body.data[0] != FRAME_FLUSH_DROP) ||
        get_u16le(body.data + 4) != body.size - FLUSH_HEAD_SIZE) {
        return MALFORMED;
    }
    ret_flush->kind = (enum frame_flush_kind)body.data[0];
    ret_flush->dbs = get_u16le(body.data + 2);
    ret_flush->name = (struct slice){body.data + FLUSH_HEAD_SIZE, body.size - FLUSH_HEAD_SIZE};
    return OK;
}

enum status frame_next_key(struct slice body, size_t *position, uint8_t *ret_db,
                           struct slice *ret_key)
{
    if (*position == body.size) {
        return AGAIN;
    }
    if (*position > body.size || body.size - *position < KEY_HEAD_SIZE) {
        return MALFORMED;
    }
    const char *head = body.data + *position;
    const size_t size = get_u16le(head + 2);
    if (head[0] != KEY_KIND || body.size - *position - KEY_HEAD_SIZE < size) {
        return MALFORMED;
    }
    *ret_db = (uint8_t)head[1];
    *ret_key = (struct slice){.data = head + KEY_HEAD_SIZE, .size = size};
    *position += KEY_HEAD_SIZE + size;
    return OK;
}

enum status frame_append_key(struct buf *body, uint8_t db, struct slice key)
{
    /* Within a frame every size fits its 16 bits. */
    _Static_assert(FRAME_BODY_MAX - KEY_HEAD_SIZE <= UINT16_MAX, "a key's size is 16 bits");
    if (body->size > FRAME_BODY_MAX || FRAME_BODY_MAX - body->size < KEY_HEAD_SIZE ||
        FRAME_BODY_MAX - body->size - KEY_HEAD_SIZE < key.size) {
        return TOO_BIG;
    }
    const enum status status = buf_reserve(body, KEY_HEAD_SIZE + key.size);
    if (status != OK) {
        return status;
    }
    char *head = body->data + body->size;
    head[0] = KEY_KIND;
    head[1] = (char)db;
    put_u16le(head + 2, (uint16_t)key.size);
    body->size += KEY_HEAD_SIZE;
    return buf_append_slice(body, key);
}

bool epoch_equal(struct epoch a, struct epoch b)
{
    return a.counter == b.counter && a.random == b.random;
}
