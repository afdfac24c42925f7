/* SPDX-License-Identifier: BSD-3-Clause */
/* request_inner.h -- what request.c (its life), request_new.c (its bytes) and request_answer.c (what answers mean) share. */
#ifndef TERRACE_CLIENT_REQUEST_INNER_H
#define TERRACE_CLIENT_REQUEST_INNER_H

#include "client/core.h"
#include "client/request.h"

enum {
    TRIES = 2, /* under way at once */
    WHY_SIZE = 160,
    META_ROOM = 256,         /* for metadata, in a request that is one piece of memory */
    PAYLOAD_ALONE = 16 << 10 /* larger ones have their bytes apart, and are sent from there */
};

struct
try {
    struct call call; /* first: a call's address is its try's */
    struct request *request;
    struct cluster_endpoint *endpoint; /* NULL: not under way */
    int64_t began_us;
    bool is_hedge;
    bool is_near; /* tickets were taken */
};

struct request {
    struct timer timer; /* first, as above: the next of deadline, retry, hedge */
    struct request *next,
        *prev; /* of all that are under way, or of those that ended inside request_start */
    struct request *next_starved, *prev_starved;
    struct core *core;
    struct try tries[TRIES];

    uint8_t op;
    bool is_write, retry_unknown, is_near, drops_all, is_probe;
    bool is_starting; /* inside request_start: on_done may not be called */
    bool is_starved;
    bool may_be_done;          /* a try of this write was lost behind the last byte */
    enum terrace_status ended; /* inside request_start */
    uint64_t hash;
    uint64_t at;
    int64_t timeout_ms, hedge_ms;
    int64_t deadline_ms, retry_at_ms, hedge_at_ms; /* 0: none */
    unsigned failed;                               /* tries */
    struct cluster_endpoint *only;
    const struct cluster_endpoint *failed_at; /* only to be compared */
    char why[WHY_SIZE];

    void (*on_done)(void *arg, const struct outcome *outcome);
    void (*on_part)(void *arg, size_t at, const struct outcome *outcome);
    void *arg;

    size_t key_count, parts_left;
    uint32_t *key_sizes;         /* of several keys */
    struct near_ticket *tickets; /* one for each key; points to `ticket` if there is one key */
    struct near_ticket ticket;
    bool *seen; /* of MGET: which keys were answered */
    char *keys_memory;

    uint32_t meta_size, keys_size;
    struct slice bytes; /* metadata, keys, body: in `payload` or behind this struct */
    struct payload *payload;
    char room[];
};

static inline struct slice request_keys(const struct request *request)
{
    return (struct slice){request->bytes.data + request->meta_size, request->keys_size};
}

/* request_orphan.c. A call that is given up, of a FETCH: true: it has the call now. */
bool orphan_of(const struct request *request, struct call *call);
/* Of a call whose request is NULL. */
void orphan_on_answer(struct call *call, struct lane *lane, const struct conn_answer *answer);
void orphan_on_lost(struct call *call);

/* What an answer to this request means; *ret_is_retriable: nothing was done, and somebody else may know better. */
void request_judge(const struct request *request, const struct conn_answer *answer,
                   struct outcome *ret, bool *ret_is_retriable);
/* Fail-open: what the application is told instead. */
void request_open(const struct request *request, struct outcome *outcome);

/* L0. */
void request_near_begin(struct request *request, struct near_stream *stream, int64_t now_ms);
void request_near_fail(struct request *request);
void request_near_land(struct request *request, size_t at, bool has_ticket,
                       const struct outcome *outcome, int64_t now_ms);
void request_near_write(struct request *request);

#endif
