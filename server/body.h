/* SPDX-License-Identifier: BSD-3-Clause */
/* body.h -- a large value on its way from a socket into the item where it will stand, or to L2 (upload.h).
 *
 * Without it, a SET of 4 MB would be read into a buffer, which grows as the bytes come, and copied from there. With it, the
 * buffer keeps the words of the request, and the socket's bytes go where they belong:
 *
 *      conn->in     *3 $3 SET $1 k $4194304   | \r\n *1 $4 PING ...
 *      conn->body                  item: key "k", [ 4194304 bytes ]
 *
 * The reader takes the value for one of no bytes (request_elsewhere), the dispatcher puts it in its place in argv, and the
 * handler of SET (cmd_set.c) stores the item instead of a copy.
 *
 * It begins when what came before on the connection is executed, so that its request is the first that `in` holds, and ends
 * when the request is executed, or with the connection.
 *
 * Only for commands that store their value as it is. With an L2 there is no item: a value that L1 would not keep goes on to
 * L2, and any other comes through the buffer.
 *
 * Memory: a client that announces much has sent a 32nd of it (BODY_SHARE) before memory is taken, so that L1, to whose
 * bytes it counts, gives up for nothing at most 32 times what was really sent. None begins that would make all bodies of
 * the node together more than a quarter of the memory of its namespace (BODY_MEMORY_SHARE). Beyond that, and where there is
 * no memory or a policy refuses, the value comes through the buffer, and is refused, if it must be, when it is there.
 *
 * Owns:    one reference to its item; its upload.
 * Threads: the worker's own. */
#ifndef TERRACE_SERVER_BODY_H
#define TERRACE_SERVER_BODY_H

#include "protocol/bytes.h"

struct conn;
struct item;
struct upload;

struct body {
    struct item *item; /* these two: one, or none if there is no body */
    struct upload *upload;
    size_t size;
    size_t got;
    uint32_t arg; /* of the request */
};

/* For a connection whose reader waits for more of `rest`, at whose beginning it stands: if that is for a value that can go
 * into its item, or on to L2, what of it is in `rest` goes there. Returns how many bytes at the end of `rest` are no
 * longer needed. */
size_t body_begin(struct conn *conn, struct slice rest);
void body_end(struct conn *conn);
/* The client is gone: nothing more goes on to L2. */
void body_leave(struct conn *conn);

static inline bool body_is_there(const struct body *body)
{
    return body->item != NULL || body->upload != NULL;
}

/* Memory that it takes. */
static inline size_t body_held(const struct body *body)
{
    return body->item != NULL ? body->size : 0;
}

/* Whether more bytes of it are to come. */
static inline bool body_is_open(const struct body *body)
{
    return body_is_there(body) && body->got < body->size;
}

#endif
