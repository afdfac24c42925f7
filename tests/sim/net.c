/* SPDX-License-Identifier: BSD-3-Clause */
#include "tests/sim/net.h"

#include "protocol/check.h"
#include "tests/sim/node.h"
#include "tests/sim/redis.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

enum {
    SLICES_MAX = 24,
    CONNECT_SILENT_PER_MILLE = 200
};

/* --- pipes -------------------------------------------------------------------------------------------------------- */

static void pipe_done(struct pipe *pipe)
{
    pipe->closed = true;
    buf_done(&pipe->bytes);
    pipe->head = 0;
    pipe->held = 0;
}

static void to_server(struct conn *conn, struct slice bytes)
{
    if (conn->server != NULL) {
        CHECK(buf_append_slice(&conn->in, bytes) == OK);
        redis_wake(conn->server);
    }
}

static void to_client(struct conn *conn, struct slice bytes)
{
    if (conn->link == NULL) {
        return;
    }
    size_t room = 0;
    char *at = link_read_room(conn->link, bytes.size, &room);
    CHECK(at != NULL && room >= bytes.size);
    memcpy(at, bytes.data, bytes.size);
    link_on_read(conn->link, bytes.size, node_now_ms(conn->thread->node));
}

static void arrive(struct pipe *pipe, size_t size)
{
    struct conn *conn = pipe->conn;
    CHECK(size <= pipe->bytes.size - pipe->head);
    /* Out of the pipe first: whoever gets the bytes may close it. */
    const struct buf taken = pipe->bytes;
    const struct slice bytes = {.data = taken.data + pipe->head, .size = size};
    struct buf copy = {0};
    if (pipe->to_client) {
        CHECK(buf_append_slice(&copy, bytes) == OK);
    }
    pipe->head += size;
    if (!pipe->to_client) {
        to_server(conn, bytes);
    }
    if (pipe->head == pipe->bytes.size) {
        pipe->head = 0;
        pipe->bytes.size = 0;
    } else if (pipe->head > 32768) {
        buf_consume(&pipe->bytes, pipe->head);
        pipe->head = 0;
    }
    if (pipe->to_client) {
        to_client(conn, buf_slice(&copy));
        buf_done(&copy);
    }
}

static void end_of_stream(struct pipe *pipe)
{
    struct conn *conn = pipe->conn;
    if (!pipe->to_client) {
        if (conn->server != NULL) {
            redis_forget(conn->server, conn);
        }
        pipe_done(pipe);
        return;
    }
    struct link *link = conn->link;
    conn->link = NULL;
    pipe_done(pipe);
    if (link != NULL) {
        node_lost(conn->thread, link, conn->connected ? "closed by L2" : "connection refused");
    }
}

static void on_arrival(struct world *world, void *arg, uint64_t size)
{
    struct pipe *pipe = arg;
    (void)world;
    if (pipe->closed) {
        return;
    }
    if (pipe->frozen) {
        pipe->held += size;
    } else {
        arrive(pipe, size);
    }
}

static void on_end(struct world *world, void *arg, uint64_t number)
{
    struct pipe *pipe = arg;
    (void)world;
    (void)number;
    if (pipe->closed) {
        return;
    }
    if (pipe->frozen) {
        pipe->held_end = true;
    } else {
        end_of_stream(pipe);
    }
}

/* When the next bytes of the pipe come: never before those ahead of them. */
static int64_t next_arrival_us(struct pipe *pipe)
{
    const struct conn *conn = pipe->conn;
    struct world *world = conn->world;
    const int64_t at_us =
        world->now_us + conn->latency_us + world_between(world, 0, conn->jitter_us);
    return at_us > pipe->last_at_us ? at_us : pipe->last_at_us;
}

static void pipe_put(struct pipe *pipe, struct slice bytes)
{
    struct conn *conn = pipe->conn;
    struct world *world = conn->world;
    if (pipe->closed || bytes.size == 0) {
        return;
    }
    CHECK(buf_append_slice(&pipe->bytes, bytes) == OK);
    struct thread *thread = pipe->to_client ? conn->thread : NULL;
    int64_t at_us = next_arrival_us(pipe);
    const bool single = world->slices && world_chance(world, 100);
    unsigned pieces = world->slices ? (unsigned)world_below(world, SLICES_MAX) : 0;
    size_t left = bytes.size;
    while (left > 0) {
        size_t part = left;
        if (pieces > 0 && left > 1) {
            part = single ? 1 : 1 + (size_t)world_below(world, left);
            pieces--;
        }
        world_at(world, at_us - world->now_us, thread, on_arrival, pipe, part);
        left -= part;
        at_us += left > 0 ? world_between(world, 0, conn->jitter_us / 4) : 0;
    }
    pipe->last_at_us = at_us;
}

static void pipe_end(struct pipe *pipe)
{
    struct world *world = pipe->conn->world;
    if (pipe->closed || pipe->ends) {
        return;
    }
    pipe->ends = true;
    struct thread *thread = pipe->to_client ? pipe->conn->thread : NULL;
    pipe->last_at_us = next_arrival_us(pipe);
    world_at(world, pipe->last_at_us - world->now_us, thread, on_end, pipe, 0);
}

/* --- the client's side -------------------------------------------------------------------------------------------- */

static void on_connected(struct world *world, void *arg, uint64_t number)
{
    struct conn *conn = arg;
    (void)number;
    if (conn->link == NULL) {
        return;
    }
    struct redis *redis = conn->server;
    conn->server = NULL;
    if (conn->thread->node->is_cut) {
        return; /* nobody answers; the attempt will be given up */
    }
    if (redis == NULL || !redis->alive) {
        if (!world_chance(world, CONNECT_SILENT_PER_MILLE)) { /* else the same */
            end_of_stream(&conn->down);
        }
        return;
    }
    conn->connected = true;
    redis_accept(redis, conn);
    link_on_connected(conn->link, node_now_ms(conn->thread->node));
}

struct conn *net_connect(struct world *world, struct thread *thread, struct link *link)
{
    struct conn *conn = sim_alloc(sizeof *conn);
    conn->world = world;
    conn->next = world->conns;
    world->conns = conn;
    conn->id = ++world->next_id;
    conn->thread = thread;
    conn->link = link;
    conn->latency_us =
        world_between(world, 20, world->lags || world_chance(world, 100) ? 15 * SIM_MS : 400);
    conn->usual_latency_us = conn->latency_us;
    conn->jitter_us =
        world_between(world, 0, world->lags || world_chance(world, 100) ? 15 * SIM_MS : 300);
    conn->up = (struct pipe){.conn = conn};
    conn->down = (struct pipe){.conn = conn, .to_client = true};
    conn->server = world->endpoint;
    world_at(world, conn->latency_us * 2, thread, on_connected, conn, 0);
    return conn;
}

void net_close(struct conn *conn)
{
    struct world *world = conn->world;
    conn->link = NULL;
    pipe_done(&conn->down);
    if (!conn->connected) {
        pipe_done(&conn->up);
        conn->server = NULL;
        return;
    }
    if (world_chance(world, 200)) { /* a reset: what is under way is lost */
        if (conn->server != NULL) {
            redis_forget(conn->server, conn);
        }
        pipe_done(&conn->up);
    } else {
        pipe_end(&conn->up);
    }
}

size_t net_write(struct conn *conn, struct slice bytes)
{
    if (world_chance(conn->world, 10)) { /* the kernel's buffer is full */
        bytes.size = (size_t)world_below(conn->world, bytes.size);
    }
    pipe_put(&conn->up, bytes);
    return bytes.size;
}

/* --- the server's side -------------------------------------------------------------------------------------------- */

void net_say(struct conn *conn)
{
    pipe_put(&conn->down, buf_slice(&conn->out));
    conn->out.size = 0;
}

static void on_reset(struct world *world, void *arg, uint64_t number)
{
    struct conn *conn = arg;
    struct link *link = conn->link;
    (void)world;
    (void)number;
    conn->link = NULL;
    if (link != NULL) {
        node_lost(conn->thread, link, "reset by L2");
    }
}

void net_hang_up(struct conn *conn, bool reset)
{
    conn->server = NULL;
    pipe_done(&conn->up);
    buf_done(&conn->in);
    buf_done(&conn->out);
    if (!reset) {
        pipe_end(&conn->down);
    } else if (!conn->down.frozen) {
        pipe_done(&conn->down); /* what is under way arrives nowhere */
        world_at(conn->world, conn->latency_us, conn->thread, on_reset, conn, 0);
    }
}

/* --- trouble ------------------------------------------------------------------------------------------------------- */

void net_tamper(struct conn *conn)
{
    conn->tampered = true;
    conn->thread->node->deaf_us = conn->world->now_us;
}

void net_freeze(struct pipe *pipe)
{
    pipe->frozen = true;
}

void net_thaw(struct pipe *pipe)
{
    struct world *world = pipe->conn->world;
    if (!pipe->frozen || pipe->closed) {
        pipe->frozen = false;
        return;
    }
    pipe->frozen = false;
    /* As one piece, now; what is planned for later comes behind it. */
    struct thread *thread = pipe->to_client ? pipe->conn->thread : NULL;
    if (pipe->held > 0) {
        world_at(world, 0, thread, on_arrival, pipe, pipe->held);
        pipe->held = 0;
    }
    if (pipe->held_end) {
        pipe->held_end = false;
        world_at(world, 0, thread, on_end, pipe, 0);
    }
}

void net_free_all(struct world *world)
{
    while (world->conns != NULL) {
        struct conn *conn = world->conns;
        world->conns = conn->next;
        pipe_done(&conn->up);
        pipe_done(&conn->down);
        buf_done(&conn->in);
        buf_done(&conn->out);
        free(conn);
    }
}
