/* SPDX-License-Identifier: BSD-3-Clause */
#include "bench/pool.h"

#include "bench/clock.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <unistd.h>

enum {
    EVENTS_MAX = 256,
    TEXT_SHOWN_MAX = 160
};

#define RETRY_NS        (100 * NS_PER_MS)
#define OPEN_TIMEOUT_NS (5 * NS_PER_S)
#define ALONE_MAX_NS \
    (30 * NS_PER_S) /* without any connection: longer than any failover a run wants to see */

static void fail(struct pool *pool, enum status status, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

static void fail(struct pool *pool, enum status status, const char *format, ...)
{
    if (pool->failure != OK) { /* the first one is the cause */
        return;
    }
    pool->failure = status;
    va_list arguments;
    va_start(arguments, format);
    (void)vsnprintf(pool->error, sizeof pool->error, format, arguments);
    va_end(arguments);
}

enum status pool_init(struct pool *pool, const struct pool_config *config)
{
    *pool = (struct pool){.config = *config, .epoll = -1};
    /* Open loops wait for a point in time; the kernel's default slack of 50 us would show in every latency. */
    (void)prctl(PR_SET_TIMERSLACK, 1000ul);
    pool->epoll = epoll_create1(EPOLL_CLOEXEC);
    pool->conns = calloc(config->connections, sizeof *pool->conns);
    if (pool->epoll < 0 || pool->conns == NULL) {
        fail(pool, NO_MEMORY, "cannot set up %" PRIu32 " connections", config->connections);
        return pool->failure;
    }
    for (uint32_t i = 0; i < config->connections; i++) {
        pool->conns[i].fd = -1;
    }
    for (uint32_t i = 0; i < config->connections; i++) {
        if (conn_init(&pool->conns[i], i, config->calls_max) != OK) {
            fail(pool, NO_MEMORY, "out of memory");
            return pool->failure;
        }
    }
    if (config->signals >= 0) {
        struct epoll_event event = {.events = EPOLLIN};
        (void)epoll_ctl(pool->epoll, EPOLL_CTL_ADD, config->signals, &event);
    }
    return OK;
}

void pool_done(struct pool *pool)
{
    for (uint32_t i = 0; pool->conns != NULL && i < pool->config.connections; i++) {
        conn_done(&pool->conns[i]);
    }
    free(pool->conns);
    pool->conns = NULL;
    if (pool->epoll >= 0) {
        (void)close(pool->epoll);
    }
    pool->epoll = -1;
}

void pool_use(struct pool *pool, struct pool_user user)
{
    pool->user = user;
}

/* ------------------------------------------------------------------ lost and found */

static void watch(struct pool *pool, struct conn *conn, int operation, bool for_write)
{
    struct epoll_event event = {.events = for_write ? EPOLLIN | EPOLLOUT : EPOLLIN,
                                .data.ptr = conn};
    if (epoll_ctl(pool->epoll, operation, conn->fd, &event) != 0) {
        fail(pool, NO_MEMORY, "epoll: %s", strerrordesc_np(errno));
    }
    conn->wants_write = for_write;
}

static void connect_again(struct pool *pool, struct conn *conn, uint64_t now_ns)
{
    enum status status = conn_start(conn, pool->config.target, &pool->config.greeting);
    if (status == NO_MEMORY) {
        fail(pool, NO_MEMORY, "out of memory");
        return;
    }
    if (status != OK) {
        conn->resume_at_ns = now_ns + RETRY_NS;
        return;
    }
    watch(pool, conn, EPOLL_CTL_ADD, true);
}

static void lose(struct pool *pool, struct conn *conn)
{
    if (conn->state == CONN_OPEN) {
        pool->open_count--;
        pool->lost_count++;
        for (uint32_t i = 0; i < conn->call_count && pool->user.on_lost != NULL; i++) {
            pool->user.on_lost(pool->user.context, conn,
                               &conn->calls[(conn->call_head + i) & (conn->call_capacity - 1)]);
        }
    }
    conn_stop(conn);
    conn_forget_calls(conn);
    conn->resume_at_ns = pool->now_ns + RETRY_NS;
}

void pool_drop(struct pool *pool, struct conn *conn)
{
    (void)snprintf(conn->error, sizeof conn->error, "broken off");
    lose(pool, conn);
}

static void ready(struct pool *pool, struct conn *conn, uint64_t now_ns)
{
    if (conn->state == CONN_OPEN && pool->user.on_ready != NULL) {
        pool->user.on_ready(pool->user.context, conn, now_ns);
    }
}

static void opened(struct pool *pool, struct conn *conn)
{
    conn->state = CONN_OPEN;
    conn->resume_at_ns = 0;
    pool->open_count++;
    ready(pool, conn, pool->now_ns);
}

static void on_connected(struct pool *pool, struct conn *conn)
{
    if (conn_on_connected(conn) != OK) {
        lose(pool, conn);
        return;
    }
    if (conn->state == CONN_OPEN) {
        opened(pool, conn);
    }
    pool_flush(pool, conn);
    if (conn->wants_write && conn->state != CONN_CLOSED &&
        conn->out.size == 0) { /* it was watched for this moment */
        watch(pool, conn, EPOLL_CTL_MOD, false);
    }
}

/* ------------------------------------------------------------------ bytes */

void pool_flush(struct pool *pool, struct conn *conn)
{
    if (conn->out.size == 0 || conn->state == CONN_CLOSED || conn->state == CONN_CONNECTING) {
        return;
    }
    enum status status = conn_flush(conn);
    if (status == AGAIN && !conn->wants_write) {
        watch(pool, conn, EPOLL_CTL_MOD, true);
    } else if (status == OK && conn->wants_write) {
        watch(pool, conn, EPOLL_CTL_MOD, false);
    } else if (status == CLOSE) {
        lose(pool, conn);
    }
}

static void greeted(struct pool *pool, struct conn *conn, struct slice reply)
{
    if (reply.data[0] == REPLY_ERROR || reply.data[0] == REPLY_BULK_ERROR) {
        int size = reply.size > TEXT_SHOWN_MAX ? TEXT_SHOWN_MAX : (int)reply.size - 2;
        fail(pool, CLOSE, "%s refused the greeting: %.*s", pool->config.target->name, size,
             reply.data);
        return;
    }
    if (conn->call_count == 0) {
        opened(pool, conn);
    }
}

static void on_readable(struct pool *pool, struct conn *conn)
{
    enum status status = conn_receive(conn);
    if (status == AGAIN) {
        return;
    }
    uint64_t now_ns = clock_ns();
    pool->now_ns = now_ns;
    while (status == OK && pool->failure == OK) {
        struct call call;
        struct slice reply;
        status = conn_take(conn, &call, &reply);
        if (status == OK && conn->state == CONN_GREETING) {
            greeted(pool, conn, reply);
        } else if (status == OK && pool->user.on_reply != NULL) {
            pool->user.on_reply(pool->user.context, conn, &call, reply, now_ns);
        }
    }
    if (status == MALFORMED) {
        fail(pool, CLOSE, "%s: %s", pool->config.target->name, conn->error);
    } else if (status == CLOSE) {
        lose(pool, conn);
    } else if (status == NO_MEMORY) {
        fail(pool, NO_MEMORY, "out of memory");
    }
    ready(pool, conn, now_ns);
    pool_flush(pool, conn);
}

static void serve(struct pool *pool, struct conn *conn, uint32_t events)
{
    if (conn->state == CONN_CONNECTING) {
        on_connected(pool, conn);
        return;
    }
    if ((events & EPOLLOUT) != 0 && conn->state != CONN_CLOSED) {
        pool_flush(pool, conn);
    }
    if ((events & (EPOLLIN | EPOLLHUP | EPOLLERR)) != 0 && conn->state != CONN_CLOSED) {
        on_readable(pool, conn);
    }
}

/* ------------------------------------------------------------------ the loop */

static void take_signal(struct pool *pool)
{
    struct signalfd_siginfo signal;
    if (read(pool->config.signals, &signal, sizeof signal) == (ssize_t)sizeof signal) {
        pool->interrupted = true;
    }
}

static void revive(struct pool *pool)
{
    if (pool->open_count > 0) {
        pool->alone_since_ns = 0;
    } else if (pool->alone_since_ns == 0) {
        pool->alone_since_ns = pool->now_ns;
    } else if (!pool->config.patient && pool->now_ns - pool->alone_since_ns > ALONE_MAX_NS) {
        fail(pool, CLOSE, "%s: no connection for %llu s", pool->config.target->name,
             ALONE_MAX_NS / NS_PER_S);
    }
    for (uint32_t i = 0; i < pool->config.connections; i++) {
        struct conn *conn = &pool->conns[i];
        if (conn->state == CONN_CLOSED && pool->now_ns >= conn->resume_at_ns) {
            connect_again(pool, conn, pool->now_ns);
        }
    }
}

void pool_poll(struct pool *pool, uint64_t wait_ns)
{
    if (pool->open_count < pool->config.connections && wait_ns > RETRY_NS) {
        wait_ns = RETRY_NS;
    }
    struct timespec wait = {.tv_sec = (time_t)(wait_ns / NS_PER_S),
                            .tv_nsec = (long)(wait_ns % NS_PER_S)};
    struct epoll_event events[EVENTS_MAX];
    int count = epoll_pwait2(pool->epoll, events, EVENTS_MAX, &wait, NULL);
    if (count < 0 && errno != EINTR) {
        fail(pool, NO_MEMORY, "epoll: %s", strerrordesc_np(errno));
    }
    pool->now_ns = clock_ns();
    for (int i = 0; i < count && pool->failure == OK; i++) {
        if (events[i].data.ptr == NULL) {
            take_signal(pool);
        } else {
            serve(pool, events[i].data.ptr, events[i].events);
        }
    }
    if (pool->open_count < pool->config.connections && pool->failure == OK) {
        revive(pool);
    }
}

enum status pool_open(struct pool *pool)
{
    pool->now_ns = clock_ns();
    uint64_t deadline_ns = pool->now_ns + OPEN_TIMEOUT_NS;
    revive(pool);
    while (pool->open_count < pool->config.connections && pool->failure == OK &&
           !pool->interrupted) {
        for (uint32_t i = 0; i < pool->config.connections && pool->failure == OK; i++) {
            if (pool->conns[i].state == CONN_CLOSED) {
                fail(pool, CLOSE, "cannot reach %s: %s", pool->config.target->name,
                     pool->conns[i].error);
            }
        }
        if (pool->failure == OK && pool->now_ns >= deadline_ns) {
            fail(pool, CLOSE, "cannot reach %s: no answer within %llu s", pool->config.target->name,
                 OPEN_TIMEOUT_NS / NS_PER_S);
        }
        if (pool->failure == OK) {
            pool_poll(pool, RETRY_NS);
        }
    }
    return pool->failure;
}

void pool_kick(struct pool *pool)
{
    for (uint32_t i = 0; i < pool->config.connections; i++) {
        ready(pool, &pool->conns[i], pool->now_ns);
        pool_flush(pool, &pool->conns[i]);
    }
}
