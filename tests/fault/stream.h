/* SPDX-License-Identifier: BSD-3-Clause */
/* stream.h -- one direction of one connection of the fault proxy: bytes come in, suffer, wait, and go out.
 *
 *      recv -> [bus, down: whole messages, each judged by the rules] -> flip -> queue of chunks, each with its time -> send
 *
 * Bytes are read as soon as they come, also while nothing may pass: a frozen network holds what was sent before its
 * sender closed. Above STREAM_WAITING_MAX reading stops, and the sender feels it.
 *
 * Owns: its chunks. The sockets are the connection's. Threads: one. */
#ifndef TERRACE_TESTS_FAULT_STREAM_H
#define TERRACE_TESTS_FAULT_STREAM_H

#include "protocol/resp_read.h"
#include "tests/fault/trouble.h"

#define STREAM_WAITING_MAX (256u << 20)
#define NEVER_NS           INT64_MAX

enum ending {
    ENDING_NOT, /* more may come */
    ENDING_FIN, /* its sender said that this is all */
    ENDING_RST  /* its sender is gone */
};

struct chunk;

struct stream {
    struct trouble *trouble;
    enum direction direction;
    int from; /* descriptors, borrowed */
    int to;
    bool is_bus;
    bool severed; /* a black hole for this connection alone */
    bool held;    /* the marker was in what came: nothing passes until it is released */

    enum ending ending;
    bool closed; /* its end was passed on, or its receiver is gone: what comes is thrown away */
    uint64_t lost_bytes;
    bool wants_out; /* the kernel, or slicing, asks for another turn */

    /* private */
    struct chunk *first;
    struct chunk *last;
    struct chunk *aside; /* delayed messages, in no order */
    struct buf swapped;  /* one that waits for the next to pass it */
    size_t waiting_bytes;
    struct buf begun; /* of a message */
    struct reply_framer framer;
    bool opaque; /* not RESP: passes as it comes */
    int64_t due_ns;
    uint64_t flip_left;
    int64_t paid_ns; /* up to when the rate was used */
};

void stream_init(struct stream *stream, struct trouble *trouble, enum direction direction, int from,
                 int to);
void stream_done(struct stream *stream);
void stream_became_bus(struct stream *stream);

bool stream_wants_in(const struct stream *stream);
/* Takes what was received. */
void stream_take(struct stream *stream, struct slice bytes, int64_t now_ns);
/* Sends what may go. Returns when it wants to be called again, NEVER_NS: when an event says so. */
int64_t stream_push(struct stream *stream, int64_t now_ns);
/* True when everything before its end was passed on: the end may be, too. */
bool stream_is_dry(const struct stream *stream);
void stream_throw_away(struct stream *stream); /* what waits */

#endif
