/* SPDX-License-Identifier: BSD-3-Clause */
/* request.h -- one thing that the application wants done, whatever it takes: tries, retries, a hedge, a deadline.
 *
 *      request_new        any thread: checks, encodes                      .--- answered: on_done
 *      request_start ---> choose an endpoint ---> wait for it, or send ---+--- lost, not done: the next try, at once or later
 *                             ^   |                                        |--- lost, may be done: UNKNOWN, unless it is a read
 *                             '---' none may be asked: starved             '--- deadline
 *
 * It is encoded once, whatever number of tries it takes. Two tries may be under way at a time: the first, and a hedge.
 *
 * Owns:    its bytes. on_done is called exactly once, and then it is gone: whoever made it may not name it any more.
 * Threads: request_new and request_free: any. The rest: the loop's. */
#ifndef TERRACE_CLIENT_REQUEST_H
#define TERRACE_CLIENT_REQUEST_H

#include "client/cluster.h"
#include "client/conn.h"
#include "client/near.h"

struct core;
struct request;

enum {
    REQUEST_MS_MOST = INT32_MAX /* longer times are this: 24 days, and a word of a frame */
};

static inline int64_t request_ms(int64_t ms)
{
    return ms < REQUEST_MS_MOST ? ms : REQUEST_MS_MOST;
}

/* What came of it. Borrowed until on_done (on_part) returns. */
struct outcome {
    enum terrace_status status;
    enum terrace_reason reason;
    const struct native_reply *reply; /* NULL: no node answered */
    struct slice body;                /* data NULL: none */
    char *taken;       /* not NULL: the memory of `body`; whoever sets it to NULL owns it */
    uint64_t at;       /* which endpoint answered, of LOAD: hash_checksum of its address */
    const char *error; /* NULL, or text for people */
};

/* What is asked. Borrowed until request_new returns. */
struct ask {
    uint8_t op;
    const struct slice *keys;
    size_t key_count;
    const struct native_request *meta; /* NULL: all defaults. key_sizes are filled in */
    struct slice body;
    const char *affinity; /* NULL: the first key */
    int64_t timeout_ms;   /* 0: the client's */
    int64_t hedge_ms;     /* 0: the client's; -1: none */
    bool is_write;
    bool retry_unknown;
    bool is_near;   /* the answer may be kept */
    bool drops_all; /* a write: of keys that are not named */
    bool is_probe;
    uint64_t at;                   /* not 0: this endpoint (struct outcome), if it is connected */
    struct cluster_endpoint *only; /* not NULL: no other; then a cluster is told nothing of it */
    void (*on_done)(void *arg, const struct outcome *outcome);
    /* Of MGET: of each key, once, before on_done. `at`: which. */
    void (*on_part)(void *arg, size_t at, const struct outcome *outcome);
    void *arg;
};

/* BAD_ARGUMENT (too large), NO_MEMORY. */
enum terrace_status request_new(const struct terrace_options *options, const struct ask *ask,
                                struct request **ret);
void request_free(struct request *request); /* of one that was not started; NULL is fine */

/* OK: on_done will be called, but not from here. BUSY, CLOSED: it will not, and the request is gone. */
enum terrace_status request_start(struct core *core, struct request *request);

#endif
