/* SPDX-License-Identifier: BSD-3-Clause */
/* fetched.h -- what CACHE.FETCH found, as its client reads it.
 *
 *      RESP      [state, value, age_ms, ttl_ms, token]
 *      native    a frame (native.h): status, metadata, and the raw value; also how long a copy may be served (near_ms). Of
 *                CALL the five, as RESP3
 *
 * Threads: the worker's. */
#ifndef TERRACE_SERVER_FETCHED_H
#define TERRACE_SERVER_FETCHED_H

#include "server/reply.h"
#include "tiers/namespace.h"

enum fetched_state {
    FETCHED_MISS,
    FETCHED_HIT,
    FETCHED_STALE,
    FETCHED_NEGATIVE,
    FETCHED_LOAD
};

enum {
    FETCHED_TTL_NONE = -1,
    FETCHED_TTL_NO_KEY = -2,
    FETCHED_AGE_UNKNOWN = -1
};

struct fetched {
    enum fetched_state state;
    bool has_value;
    struct item *item; /* that holds it; NULL: it is copied */
    struct slice bytes;
    int64_t age_ms;
    int64_t ttl_ms;
    struct slice token; /* of LOAD */
    const struct namespace *ns;
    bool is_sound; /* no suspect: whatever changes it will be told */
};

void reply_fetched(struct reply *reply, const struct fetched *fetched);

#endif
