/* SPDX-License-Identifier: BSD-3-Clause */
#include "tests/sim/sockets.h"

#include "protocol/check.h"

struct socket *sockets_find(struct thread *thread, const struct link *link)
{
    struct socket *sockets = thread->node->sockets[thread->index];
    for (unsigned i = 0; i < NODE_SOCKETS; i++) {
        if (sockets[i].link == link) {
            return &sockets[i];
        }
    }
    return NULL;
}

static void io_connect(void *roof, struct link *link)
{
    struct thread *thread = roof;
    struct socket *free_one = sockets_find(thread, NULL);
    CHECK(free_one != NULL);
    *free_one =
        (struct socket){.link = link, .conn = net_connect(thread->node->world, thread, link)};
}

static void io_close(void *roof, struct link *link)
{
    struct socket *found = sockets_find(roof, link);
    if (found != NULL) {
        struct conn *conn = found->conn;
        *found = (struct socket){0};
        net_close(conn);
    }
}

static void io_wants_flush(void *roof, struct link *link)
{
    struct socket *found = sockets_find(roof, link);
    if (found != NULL) {
        found->wants_flush = true;
    }
}

struct link_io sockets_io(struct thread *thread)
{
    return (struct link_io){
        .roof = thread, .connect = io_connect, .close = io_close, .wants_flush = io_wants_flush};
}

void node_lost(struct thread *thread, struct link *link, const char *why)
{
    struct socket *found = sockets_find(thread, link);
    CHECK(found != NULL);
    *found = (struct socket){0};
    TRACE(thread->node->world, "node %u.%u: a connection is lost: %s", thread->node->slot,
          thread->index, why);
    link_on_lost(link, why, node_now_ms(thread->node));
}

/* The socket takes bytes again. */
static void on_writable(struct world *world, void *arg, uint64_t index)
{
    struct thread *thread = arg;
    (void)world;
    thread->node->sockets[thread->index][index].wants_flush = true;
}

static void flush(struct thread *thread, unsigned index)
{
    struct socket *socket = &thread->node->sockets[thread->index][index];
    struct world *world = thread->node->world;
    socket->wants_flush = false;
    const struct slice waits = link_output(socket->link);
    if (waits.size == 0) {
        return;
    }
    const size_t taken = net_write(socket->conn, waits);
    link_on_written(socket->link, taken);
    if (taken < waits.size) {
        world_at(world, world_between(world, 100, 20 * SIM_MS), thread, on_writable, thread, index);
    }
}

void sockets_flush(struct thread *thread)
{
    struct socket *sockets = thread->node->sockets[thread->index];
    for (unsigned i = 0; i < NODE_SOCKETS; i++) {
        if (sockets[i].link != NULL && sockets[i].wants_flush && sockets[i].conn->connected) {
            flush(thread, i);
        }
    }
}
