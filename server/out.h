/* SPDX-License-Identifier: BSD-3-Clause */
/* out.h -- bytes on their way to a socket: text in a chain of chunks, and values that stand in it.
 *
 * Replies of a whole wake-up gather here and leave in one system call. Small pieces are copied into chunks of the
 * worker's pool; large values are attached by reference and never copied. A value knows how much text goes ahead of it,
 * so that the text around values shares its chunks:
 *
 *      text     "$5\r\nhello\r\n+OK\r\n$70000\r\n" | "\r\n:1\r\n$5000\r\n" | "\r\n"
 *      values                                  item, 70000 bytes      item, 5000 bytes
 *
 * An item that an answer refers to stays as it is, whatever becomes of its key, and its memory counts as L1's. The pool
 * counts how much is held so.
 *
 * Owns:    its chunks, and one reference to each attached item, until they are sent or out_done.
 * Threads: one loop's.
 * Errors:  memory that the system refuses sets `broken`: the owner must close, since bytes are missing. */
#ifndef TERRACE_SERVER_OUT_H
#define TERRACE_SERVER_OUT_H

#include "protocol/bytes.h"
#include "protocol/check.h"

struct item;

enum {
    OUT_CHUNK_SIZE = 16 * 1024
};

struct out_chunk {
    struct out_chunk *next;
    size_t start; /* sent so far */
    size_t end;   /* filled so far */
    char room[OUT_CHUNK_SIZE];
};
struct out_value;

/* Spare chunks of one loop, so that a reply costs no malloc. */
struct out_pool {
    struct out_chunk *spare;
    unsigned count;
    size_t chunks; /* in use */
    /* Bytes of the values that its outs refer to; one that two refer to counts twice. */
    size_t held;
};
size_t out_pool_bytes(const struct out_pool *pool); /* what its outs hold: chunks and values */
void out_pool_done(struct out_pool *pool);

struct out {
    struct out_pool *pool;
    struct out_chunk *head; /* text */
    struct out_chunk *tail;
    struct out_value *values; /* in their order */
    struct out_value *last;
    size_t after; /* bytes of text behind the last value */
    size_t size;  /* bytes waiting, text and values */
    bool broken;
};

void out_init(struct out *out, struct out_pool *pool);
void out_done(struct out *out); /* drops what waits */

void out_append(struct out *out, const void *data, size_t size);
/* Contiguous room for `size` <= OUT_CHUNK_SIZE bytes at the end; follow with out_commit(bytes written). NULL: broken. */
char *out_room_behind(struct out *out, size_t size); /* in a new chunk */
static inline char *out_room(struct out *out, size_t size)
{
    struct out_chunk *tail = out->tail;
    return tail != NULL && OUT_CHUNK_SIZE - tail->end >= size ? tail->room + tail->end
                                                              : out_room_behind(out, size);
}
static inline void out_commit(struct out *out, size_t size)
{
    CHECK(out->tail != NULL && out->tail->end + size <= OUT_CHUNK_SIZE);
    out->tail->end += size;
    out->after += size;
    out->size += size;
}
void out_attach(struct out *out, struct item *item,
                struct slice bytes);             /* bytes lie in item; takes a reference */
void out_move(struct out *to, struct out *from); /* all of `from` to the end of `to` */

/* The first `size` bytes, to be changed; NULL: they are not text that lies together. */
char *out_head(struct out *out, size_t size);
/* The next bytes, `size` at most: where they lie, if they lie together, else copied into `room` of that size. Until the
 * next call. */
struct slice out_peek(const struct out *out, size_t size, char *room);
void out_take(struct out *out, size_t size); /* the first `size` are sent, or as good as */
/* Writes what the socket takes at once, `limit` bytes at most. OK: nothing is left; PENDING: the limit was reached; AGAIN:
 * the socket is full, go on when it is writable; CLOSE: the peer is gone. */
enum status out_send(struct out *out, int fd, size_t limit) MUST_USE;

#endif
