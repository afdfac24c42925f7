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
/* An entry of the log, in place of the oldest if it is full. */
void redis_log(struct redis *redis, const struct redis_logged *logged);
/* The frame of an entry, as it was published; appended. */
void redis_logged_frame(const struct redis *redis, const struct redis_logged *logged,
                        struct buf *out);
/* redis_scripts.c: EVAL, EVALSHA and SCRIPT LOAD. */
struct redis_request {
    struct redis *redis;
    struct conn *conn;
    uint32_t argc;
    struct slice argv[512];
};
void redis_run_script(const struct redis_request *request);
const char *redis_refusal_text(const struct redis *redis); /* NULL: it writes */
/* The same of what frees memory. */
const char *redis_refusal_of_del(const struct redis *redis);
/* A managed value, as it lies in Redis. */
void redis_append_envelope(struct buf *out, struct redis_value value);

/* redis_commands.c: one request; the answer goes to conn->out. */
void redis_execute(struct redis *redis, struct conn *conn, const struct request_reader *request,
                   struct slice input);

#endif
