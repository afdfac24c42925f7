/* SPDX-License-Identifier: BSD-3-Clause */
/* pool.h -- the connections of a run and the one epoll that serves them.
 *
 * One thread: the load must not take from the server more of the machine than one core. A connection that is lost is
 * reported with the calls it took along and opened again, at most ten times a second each; until then it has no room.
 *
 * Who sends requests is the user: `on_reply` once for each reply, `on_ready` after all replies of one wake-up of a
 * connection (and once when it opens) to queue more; then the pool flushes, one write for all that was queued. What is
 * queued at other times is flushed by pool_flush.
 *
 * Owns:    connections and descriptors; borrows the target, the greeting's strings and the signal descriptor.
 * Threads: one.
 * Errors:  CLOSE and NO_MEMORY with one line in `error`. */
#ifndef TERRACE_BENCH_POOL_H
#define TERRACE_BENCH_POOL_H

#include "bench/conn.h"

struct pool_user {
    void *context;
    void (*on_reply)(void *context, struct conn *conn, const struct call *call, struct slice reply,
                     uint64_t now_ns);
    void (*on_ready)(void *context, struct conn *conn, uint64_t now_ns);
    void (*on_lost)(void *context, struct conn *conn,
                    const struct call *call); /* its outcome is not known */
};

struct pool_config {
    const struct target *target;
    struct greeting greeting;
    uint32_t connections;
    uint32_t calls_max; /* per connection */
    int signals;        /* a signalfd, or -1 */
    bool patient;       /* once open: however long nobody answers is no failure */
};

struct pool {
    struct pool_config config;
    struct pool_user user;
    struct conn *conns;
    int epoll;
    uint32_t open_count;
    uint64_t lost_count;     /* connections that broke */
    uint64_t alone_since_ns; /* since when no connection is open; 0: one is */
    uint64_t now_ns;         /* after the last wait */
    bool interrupted;        /* a signal came: the user winds up */
    enum status failure;     /* not OK: the run cannot go on; see error */
    char error[400];
};

enum status pool_init(struct pool *pool, const struct pool_config *config) MUST_USE;
void pool_done(struct pool *pool);

/* Opens every connection; the first refusal ends it: CLOSE. A signal ends it too, with `interrupted`. */
enum status pool_open(struct pool *pool) MUST_USE;
/* Whom replies go to from now on; NULL members are not called. Awaited replies must have come. */
void pool_use(struct pool *pool, struct pool_user user);
/* Lets every open connection begin: on_ready for each. */
void pool_kick(struct pool *pool);
/* Waits at most so long, then serves what is ready. Afterwards look at `failure` and `interrupted`. */
void pool_poll(struct pool *pool, uint64_t wait_ns);
void pool_flush(struct pool *pool, struct conn *conn);
/* Breaks a connection off; it is opened again as any that is lost. */
void pool_drop(struct pool *pool, struct conn *conn);

#endif
