/* SPDX-License-Identifier: BSD-3-Clause */
/* sentinel.h -- the words in which one asks a Redis Sentinel where the master is.
 *
 *      SENTINEL get-master-addr-by-name NAME       an address, or nil: it watches no such group
 *      SUBSCRIBE +switch-master                    from then on: "NAME old-host old-port new-host new-port"
 *
 * Both on one RESP3 connection, where what is published comes as pushes. What a sentinel says is only where to look:
 * whether a writable master is there, the greeting of the links finds out (a sentinel that was cut off tells of a master
 * that is none any more).
 *
 * Pure. Addresses borrow from the reply. */
#ifndef TERRACE_TIERS_SENTINEL_H
#define TERRACE_TIERS_SENTINEL_H

#include "protocol/bytes.h"

struct sentinel_address {
    struct slice host;
    int port;
};

enum status sentinel_ask_write(struct buf *out, const char *name) MUST_USE;
enum status sentinel_subscribe_write(struct buf *out) MUST_USE;
/* `SENTINEL failover NAME`: asks for a failover without the consent of the others. */
enum status sentinel_failover_write(struct buf *out, const char *name) MUST_USE;

/* The answer to the question. MISS: it watches no group of that name. MALFORMED: anything else. */
enum status sentinel_address_read(struct slice reply, struct sentinel_address *ret) MUST_USE;
/* A push. OK: the group called `name` has this master now. MISS: it is about something else. */
enum status sentinel_switch_read(struct slice push, const char *name,
                                 struct sentinel_address *ret) MUST_USE;

#endif
