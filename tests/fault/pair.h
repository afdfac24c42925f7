/* SPDX-License-Identifier: BSD-3-Clause */
/* pair.h -- one connection through the fault proxy: two sockets and the two streams between them.
 *
 * An end is passed on as it came (FIN or RST), after the bytes before it, and only when its direction passes: what is
 * frozen or swallowed tells nobody that its sender is gone.
 *
 * Owns: its sockets and streams. Threads: one. */
#ifndef TERRACE_TESTS_FAULT_PAIR_H
#define TERRACE_TESTS_FAULT_PAIR_H

#include "tests/fault/stream.h"
#include "tiers/base/list.h"

struct pair;

/* What epoll's data points to. */
struct side {
    struct pair *pair;
    int fd;
    uint32_t watched; /* events asked for */
    bool is_watched;
};

struct pair {
    struct list in_proxy;
    int epoll;
    struct side client;
    struct side server;
    struct stream stream[DIRECTIONS];
    char tail[16]; /* of what went up: a SUBSCRIBE may come in two reads */
    size_t tail_size;
    bool over; /* both ends were passed on, or it was reset: to be freed */
};

/* A connection from `client` (owned from now on) to the server. NULL: it could not even begin; the client was reset. */
struct pair *pair_new(struct trouble *trouble, int epoll, int client, int port);
void pair_free(struct pair *pair); /* FIN on what is open */
void pair_reset(struct pair *pair);
/* No more bytes go in this direction: its receiver gets a FIN, the other direction goes on. */
void pair_half_close(struct pair *pair, enum direction direction);

/* Receives on a side. Returns the direction whose stream took something. `marker`: see proxy.c; what the stream holds is
 * reported by stream.held. */
void pair_receive(struct pair *pair, struct side *side, uint32_t events, const struct buf *marker,
                  int64_t now_ns);
/* Sends, passes ends on, watches what is to be watched. Returns when it wants to be called again. */
int64_t pair_push(struct pair *pair, int64_t now_ns);

#endif
