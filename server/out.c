/* SPDX-License-Identifier: BSD-3-Clause */
#include "server/out.h"

#include "protocol/check.h"
#include "tiers/item.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>

enum {
    OUT_IOVECS = 64,
    OUT_POOL_CHUNKS = 256
};

struct out_chunk {
    struct out_chunk *next;
    struct item *item; /* attached: the bytes lie in it; else NULL and they lie in `room` */
    const char *bytes;
    size_t start; /* sent so far */
    size_t end;   /* filled so far */
    char room[];  /* OUT_CHUNK_SIZE bytes; none when attached */
};

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
        chunk = malloc(sizeof(*chunk) + OUT_CHUNK_SIZE);
        if (chunk == NULL) {
            return NULL;
        }
    }
    chunk->next = NULL;
    chunk->item = NULL;
    chunk->bytes = chunk->room;
    chunk->start = 0;
    chunk->end = 0;
    return chunk;
}

static void out_chunk_free(struct out_pool *pool, struct out_chunk *chunk)
{
    if (chunk->item != NULL) {
        item_release(chunk->item);
        free(chunk);
    } else if (pool->count >= OUT_POOL_CHUNKS) {
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

void out_done(struct out *out)
{
    while (out->head != NULL) {
        struct out_chunk *chunk = out->head;
        out->head = chunk->next;
        out_chunk_free(out->pool, chunk);
    }
    out->tail = NULL;
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

/* The last chunk if it has room for at least `size` bytes, else a new one. */
static struct out_chunk *out_tail_with(struct out *out, size_t size)
{
    struct out_chunk *tail = out->tail;
    if (tail != NULL && tail->item == NULL && OUT_CHUNK_SIZE - tail->end >= size) {
        return tail;
    }
    tail = out_chunk_new(out->pool);
    if (tail == NULL) {
        out->broken = true;
        return NULL;
    }
    out_link(out, tail);
    return tail;
}

char *out_room(struct out *out, size_t size)
{
    struct out_chunk *tail = out_tail_with(out, size);
    return tail == NULL ? NULL : tail->room + tail->end;
}

void out_commit(struct out *out, size_t size)
{
    CHECK(out->tail != NULL && out->tail->end + size <= OUT_CHUNK_SIZE);
    out->tail->end += size;
    out->size += size;
}

void out_append(struct out *out, const void *data, size_t size)
{
    const char *from = data;
    while (size > 0) {
        struct out_chunk *tail = out_tail_with(out, 1);
        if (tail == NULL) {
            return;
        }
        size_t part = OUT_CHUNK_SIZE - tail->end;
        part = part < size ? part : size;
        memcpy(tail->room + tail->end, from, part);
        tail->end += part;
        out->size += part;
        from += part;
        size -= part;
    }
}

void out_attach(struct out *out, struct item *item, struct slice bytes)
{
    struct out_chunk *chunk = malloc(sizeof(*chunk));
    if (chunk == NULL) {
        out->broken = true;
        return;
    }
    *chunk = (struct out_chunk){.item = item_ref(item), .bytes = bytes.data, .end = bytes.size};
    out_link(out, chunk);
    out->size += bytes.size;
}

/* A chunk that fits behind the last one is copied there: otherwise each of a million answers of five bytes would keep
 * 16 KB until its client reads. */
static void out_merge(struct out *to, struct out *from)
{
    struct out_chunk *tail = to->tail;
    struct out_chunk *chunk = from->head;
    size_t waits = chunk->end - chunk->start;
    if (tail == NULL || tail->item != NULL || chunk->item != NULL ||
        waits > OUT_CHUNK_SIZE - tail->end) {
        return;
    }
    memcpy(tail->room + tail->end, chunk->room + chunk->start, waits);
    tail->end += waits;
    from->head = chunk->next;
    out_chunk_free(from->pool, chunk);
}

void out_move(struct out *to, struct out *from)
{
    if (from->head != NULL) {
        to->size += from->size;
        out_merge(to, from);
    }
    if (from->head != NULL) {
        out_link(to, from->head);
        to->tail = from->tail;
    }
    to->broken = to->broken || from->broken;
    *from = (struct out){.pool = from->pool};
}

static void out_sent(struct out *out, size_t size)
{
    out->size -= size;
    while (out->head != NULL) {
        struct out_chunk *chunk = out->head;
        size_t waits = chunk->end - chunk->start;
        if (size < waits) {
            chunk->start += size;
            return;
        }
        size -= waits;
        out->head = chunk->next;
        out_chunk_free(out->pool, chunk);
    }
    out->tail = NULL;
}

/* The first `limit` bytes, or as many as fit in OUT_IOVECS parts. Returns how many parts. */
static size_t out_parts(const struct out *out, size_t limit, struct iovec parts[OUT_IOVECS])
{
    size_t count = 0;
    for (struct out_chunk *chunk = out->head; chunk != NULL && count < OUT_IOVECS && limit > 0;
         chunk = chunk->next) {
        const char *bytes = chunk->bytes + chunk->start;
        size_t size = chunk->end - chunk->start;
        size = size < limit ? size : limit;
        memcpy(&parts[count].iov_base, &bytes,
               sizeof(bytes)); /* sendmsg only reads; iovec has no const */
        parts[count].iov_len = size;
        limit -= size;
        count++;
    }
    return count;
}

enum status out_send(struct out *out, int fd, size_t limit)
{
    while (out->size > 0 && limit > 0) {
        struct iovec parts[OUT_IOVECS];
        struct msghdr message = {.msg_iov = parts, .msg_iovlen = out_parts(out, limit, parts)};
        ssize_t sent = sendmsg(fd, &message, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (sent < 0 && errno == EINTR) {
            continue;
        }
        if (sent < 0) {
            return errno == EAGAIN || errno == EWOULDBLOCK ? AGAIN : CLOSE;
        }
        out_sent(out, (size_t)sent);
        limit -= (size_t)sent;
    }
    return out->size == 0 ? OK : AGAIN;
}
