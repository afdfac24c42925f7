/* SPDX-License-Identifier: BSD-3-Clause */
/* redis_inner.h -- the inside of the fake, for redis.c (cycles, announcements, life) and redis_commands.c. */
#ifndef TERRACE_TESTS_SIM_REDIS_INNER_H
#define TERRACE_TESTS_SIM_REDIS_INNER_H

#include "tests/sim/redis.h"

/* Bits of redis.announce: the clients' keys, then the nodes'. */
enum {
    REDIS_KEY_META = SIM_KEYS,
    REDIS_KEY_NODES,
    REDIS_KEY_SEQ,
    REDIS_KEY_COUNT
};

void redis_touch(struct redis *redis, unsigned key_bit);
/* `write`: whose; 0: nobody's. */
void redis_change(struct redis *redis, unsigned slot, uint64_t write, struct redis_value value,
                  int64_t acked_us);
/* What a command sees; deletes what is over. */
struct redis_value redis_look(struct redis *redis, unsigned slot);
void redis_publish(struct redis *redis, const char *channel, struct slice payload);
/* redis_commands.c: one request; the answer goes to conn->out. */
void redis_execute(struct redis *redis, struct conn *conn, const struct request_reader *request,
                   struct slice input);

#endif
