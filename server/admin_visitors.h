/* SPDX-License-Identifier: BSD-3-Clause */
/* admin_visitors.h -- the connections of the admin listener, and which of them has to go so that a probe always gets in.
 *
 * A listener has so many connections. Whoever holds them and asks nothing, or asks a byte at a time, must keep nobody out
 * who asks:
 *
 *      comes -> HEAD --the head of a request is whole--> BODY --what it asks is known--> OURS --an answer--> ANSWER --it was read-> IDLE
 *                                                          ^                                                                     |
 *                                                          +------------------------ the next head is whole ---------------------+
 *
 * Each state has an end, counted from its begin and not from the last byte, but for OURS, where the node is waited for.
 * Who is over it goes. When VISITORS_MAX are there and another one comes, one goes whose turn it is: of the address that
 * has most, who has been in his state for longest. So one address cannot keep out the others, and of one address the
 * newest gets in.
 *
 * An address is IPv4's, or the first 64 bits of IPv6's, which is what one network has.
 *
 * Owns:    nothing: a visitor is its connection's.
 * Threads: the admin's loop.
 * Units:   milliseconds of any clock that does not go back. */
#ifndef TERRACE_SERVER_ADMIN_VISITORS_H
#define TERRACE_SERVER_ADMIN_VISITORS_H

#include "tiers/base/list.h"

#include <stdint.h>
#include <sys/socket.h>

enum {
    VISITORS_MAX = 64,
    VISITOR_HEAD_MS = 3000,
    VISITOR_IDLE_MS = 10000,
    VISITOR_BODY_MS = 20000,   /* 1 MiB at 52 KiB/s */
    VISITOR_ANSWER_MS = 60000, /* the metrics of a thousand namespaces at 40 KiB/s */
};

enum visitor_state {
    VISITOR_HEAD,
    VISITOR_BODY,
    VISITOR_OURS,
    VISITOR_ANSWER,
    VISITOR_IDLE
};

struct visitor {
    struct list link; /* by the time at which the state began */
    unsigned char address[16];
    enum visitor_state state;
    int64_t since_ms;
};

struct visitors {
    struct list all;
    unsigned count;
};

void visitors_init(struct visitors *visitors);
/* One comes, in state HEAD. `address` NULL: all of whom that is not known are one. */
void visitor_comes(struct visitors *visitors, struct visitor *visitor,
                   const struct sockaddr *address, int64_t now_ms);
void visitor_goes(struct visitors *visitors, struct visitor *visitor);
/* Counts as a new begin also if it was in that state before. */
void visitor_enters(struct visitors *visitors, struct visitor *visitor, enum visitor_state state,
                    int64_t now_ms);

/* One who has to go; NULL: nobody. To be asked again after visitor_goes. */
struct visitor *visitors_overdue(const struct visitors *visitors, int64_t now_ms);
struct visitor *visitors_surplus(const struct visitors *visitors);

#endif
