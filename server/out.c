/* SPDX-License-Identifier: BSD-3-Clause */
#include "server/out.h"

#include "protocol/check.h"
#include "tiers/item.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>

/* In out_send, whatever else calls them: calls would be forty instructions of each wake-up that answers. */
#define IN_PLACE static inline __attribute__((always_inline))

enum {
    OUT_IOVECS = 64,
    OUT_POOL_CHUNKS = 256
};

struct out_value {
    struct out_value *next;
    struct item *item;
    size_t size;
    struct slice rest; /* what is not sent */
    size_t before;     /* bytes of text between the value ahead and this one */
};

size_t out_pool_bytes(const struct out_pool *pool)
{
    return pool->chunks * sizeof(struct out_chunk) + pool->held;
}

void out_pool_done(struct out_pool *pool)
{
    while (pool->spare != NULL) {
        struct out_chunk *chunk = pool->spare;
        pool->spare = chunk->next;
        free(chunk);
    }
    pool->count = 0;
}

static struct out_chunk *out_chunk_new(struct out_pool *pool)
{
    struct out_chunk *chunk = pool->spare;
    if (chunk != NULL) {
        pool->spare = chunk->next;
        pool->count--;
    } else {
        chunk = malloc(sizeof(*chunk));
        if (chunk == NULL) {
            return NULL;
        }
    }
    pool->chunks++;
    chunk->next = NULL;
    chunk->start = 0;
    chunk->end = 0;
    return chunk;
}

static void out_chunk_free(struct out_pool *pool, struct out_chunk *chunk)
{
    pool->chunks--;
    if (pool->count >= OUT_POOL_CHUNKS) {
        free(chunk);
    } else {
        chunk->next = pool->spare;
        pool->spare = chunk;
        pool->count++;
    }
}

void out_init(struct out *out, struct out_pool *pool)
{
    *out = (struct out){.pool = pool};
}

static void out_drop_chunk(struct out *out)
{
    struct out_chunk *chunk = out->head;
    out->head = chunk->next;
    if (out->head == NULL) {
        out->tail = NULL;
    }
    out_chunk_free(out->pool, chunk);
}

static void out_drop_value(struct out *out)
{
    struct out_value *value = out->values;
    out->values = value->next;
    if (out->values == NULL) {
        out->last = NULL;
    }
    out->pool->held -= value->size;
    item_release(value->item);
    free(value);
}

void out_done(struct out *out)
{
    while (out->head != NULL) {
        out_drop_chunk(out);
    }
    while (out->values != NULL) {
        out_drop_value(out);
    }
    out->after = 0;
    out->size = 0;
}

static void out_link(struct out *out, struct out_chunk *chunk)
{
    if (out->tail == NULL) {
        out->head = chunk;
    } else {
        out->tail->next = chunk;
    }
    out->tail = chunk;
}

char *out_room_behind(struct out *out, size_t size)
{
    CHECK(size <= OUT_CHUNK_SIZE);
    struct out_chunk *chunk = out_chunk_new(out->pool);
    if (chunk == NULL) {
        out->broken = true;
        return NULL;
    }
    out_link(out, chunk);
    return chunk->room;
}

void out_append(struct out *out, const void *data, size_t size)
{
    const char *from = data;
    while (size > 0) {
        char *room = out_room(out, 1);
        if (room == NULL) {
            return;
        }
        size_t part = OUT_CHUNK_SIZE - out->tail->end;
        part = part < size ? part : size;
        memcpy(room, from, part);
        out_commit(out, part);
        from += part;
        size -= part;
    }
}

void out_attach(struct out *out, struct item *item, struct slice bytes)
{
    struct out_value *value = malloc(sizeof(*value));
    if (value == NULL) {
        out->broken = true;
        return;
    }
    CHECK(bytes.size > 0);
    *value = (struct out_value){
        .item = item_ref(item), .size = bytes.size, .rest = bytes, .before = out->after};
    if (out->last == NULL) {
        out->values = value;
    } else {
        out->last->next = value;
    }
    out->last = value;
    out->after = 0;
    out->size += bytes.size;
    out->pool->held += bytes.size;
}

static void out_move_values(struct out *to, struct out *from)
{
    if (from->values == NULL) {
        to->after += from->after;
        return;
    }
    from->values->before += to->after;
    if (to->last == NULL) {
        to->values = from->values;
    } else {
        to->last->next = from->values;
    }
    to->last = from->last;
    to->after = from->after;
}

/* A chunk that fits behind the last one is copied there: otherwise each of a million answers of five bytes would keep
 * 16 KB until its client reads. */
static void out_merge(struct out *to, struct out *from)
{
    struct out_chunk *tail = to->tail;
    struct out_chunk *chunk = from->head;
    size_t waits = chunk->end - chunk->start;
    if (tail == NULL || waits > OUT_CHUNK_SIZE - tail->end) {
        return;
    }
    memcpy(tail->room + tail->end, chunk->room + chunk->start, waits);
    tail->end += waits;
    out_drop_chunk(from);
}

void out_move(struct out *to, struct out *from)
{
    CHECK(to->pool == from->pool); /* which counts what they hold */
    to->size += from->size;
    out_move_values(to, from);
    if (from->head != NULL) {
        out_merge(to, from);
    }
    if (from->head != NULL) {
        out_link(to, from->head);
        to->tail = from->tail;
    }
    to->broken = to->broken || from->broken;
    *from = (struct out){.pool = from->pool};
}

static size_t least(size_t a, size_t b)
{
    return a < b ? a : b;
}

static void out_sent_text(struct out *out, size_t size)
{
    if (out->values != NULL) {
        out->values->before -= size;
    } else {
        out->after -= size;
    }
    while (size > 0) {
        struct out_chunk *chunk = out->head;
        size_t part = least(size, chunk->end - chunk->start);
        chunk->start += part;
        size -= part;
        if (chunk->start == chunk->end) {
            out_drop_chunk(out);
        }
    }
}

IN_PLACE void out_sent(struct out *out, size_t size)
{
    out->size -= size;
    while (size > 0) {
        struct out_value *value = out->values;
        size_t part = least(size, value != NULL ? value->before : out->after);
        out_sent_text(out, part);
        size -= part;
        if (size == 0) {
            break;
        }
        part = least(size, value->rest.size);
        value->rest.data += part;
        value->rest.size -= part;
        size -= part;
        if (value->rest.size == 0) {
            out_drop_value(out);
        }
    }
}

/* Parts of one system call. */
struct out_parts {
    struct iovec at[OUT_IOVECS];
    size_t count;
    size_t room; /* bytes that may follow */
};

static void parts_add(struct out_parts *parts, const char *bytes, size_t size)
{
    size = least(size, parts->room);
    /* sendmsg only reads; iovec has no const */
    memcpy(&parts->at[parts->count].iov_base, &bytes, sizeof(bytes));
    parts->at[parts->count].iov_len = size;
    parts->room -= size;
    parts->count++;
}

static bool parts_full(const struct out_parts *parts)
{
    return parts->room == 0 || parts->count == OUT_IOVECS;
}

/* The next `size` bytes of text, from `*offset` of `*chunk` on, which go on behind them. */
static void parts_add_text(struct out_parts *parts, const struct out_chunk **chunk, size_t *offset,
                           size_t size)
{
    while (size > 0 && !parts_full(parts)) {
        size_t part = least(size, (*chunk)->end - *offset);
        parts_add(parts, (*chunk)->room + *offset, part);
        size -= part;
        *offset += part;
        if (*offset == (*chunk)->end && (*chunk)->next != NULL) {
            *chunk = (*chunk)->next;
            *offset = (*chunk)->start;
        }
    }
}

/* The first `limit` bytes, or as many as fit in OUT_IOVECS parts. */
IN_PLACE void out_gather(const struct out *out, size_t limit, struct out_parts *parts)
{
    const struct out_chunk *chunk = out->head;
    size_t offset = chunk != NULL ? chunk->start : 0;
    const struct out_value *value = out->values;
    parts->count = 0;
    parts->room = limit;
    for (; value != NULL && !parts_full(parts); value = value->next) {
        parts_add_text(parts, &chunk, &offset, value->before);
        if (!parts_full(parts)) {
            parts_add(parts, value->rest.data, value->rest.size);
        }
    }
    if (value == NULL) {
        parts_add_text(parts, &chunk, &offset, out->after);
    }
}

void out_take(struct out *out, size_t size)
{
    out_sent(out, size);
}

struct slice out_peek(const struct out *out, size_t size, char *room)
{
    struct out_parts parts;
    out_gather(out, size, &parts);
    if (parts.count == 1) {
        return (struct slice){parts.at[0].iov_base, parts.at[0].iov_len};
    }
    size_t used = 0;
    for (size_t i = 0; i < parts.count; i++) {
        memcpy(room + used, parts.at[i].iov_base, parts.at[i].iov_len);
        used += parts.at[i].iov_len;
    }
    return (struct slice){room, used};
}

char *out_head(struct out *out, size_t size)
{
    struct out_chunk *chunk = out->head;
    const size_t text = out->values != NULL ? out->values->before : out->after;
    return chunk == NULL || text < size || chunk->end - chunk->start < size
               ? NULL
               : chunk->room + chunk->start;
}

/* One part needs no list, which costs the system a twentieth of a small write. */
static ssize_t parts_send(struct out_parts *parts, int fd)
{
    const int flags = MSG_NOSIGNAL | MSG_DONTWAIT;
    if (parts->count == 1) {
        return send(fd, parts->at[0].iov_base, parts->at[0].iov_len, flags);
    }
    const struct msghdr message = {.msg_iov = parts->at, .msg_iovlen = parts->count};
    return sendmsg(fd, &message, flags);
}

enum status out_send(struct out *out, int fd, size_t limit)
{
    while (out->size > 0 && limit > 0) {
        struct out_parts parts;
        out_gather(out, limit, &parts);
        ssize_t sent = parts_send(&parts, fd);
        if (sent < 0 && errno == EINTR) {
            continue;
        }
        if (sent < 0) {
            return errno == EAGAIN || errno == EWOULDBLOCK ? AGAIN : CLOSE;
        }
        out_sent(out, (size_t)sent);
        limit -= (size_t)sent;
    }
    return out->size == 0 ? OK : PENDING;
}
