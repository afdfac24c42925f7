/* SPDX-License-Identifier: BSD-3-Clause */
#include "tests/fault/pair.h"

#include "protocol/check.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
    RECV_BYTES = 64 << 10
};

static const struct slice subscribe = SLICE_LITERAL("$9\r\nSUBSCRIBE\r\n");

static void no_delay(int fd)
{
    const int on = 1;
    (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
}

/* RST, not FIN. */
static void abort_socket(int fd)
{
    const struct linger linger = {.l_onoff = 1, .l_linger = 0};
    (void)setsockopt(fd, SOL_SOCKET, SO_LINGER, &linger, sizeof linger);
    close(fd);
}

static int connect_to(int port)
{
    const int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0) {
        return -1;
    }
    const struct sockaddr_in address = {.sin_family = AF_INET,
                                        .sin_port = htons((uint16_t)port),
                                        .sin_addr = {.s_addr = htonl(INADDR_LOOPBACK)}};
    no_delay(fd);
    if (connect(fd, (const struct sockaddr *)&address, sizeof address) != 0 &&
        errno != EINPROGRESS) {
        close(fd);
        return -1;
    }
    return fd;
}

struct pair *pair_new(struct trouble *trouble, int epoll, int client, int port)
{
    const int server = connect_to(port);
    if (server < 0) {
        abort_socket(client);
        return NULL;
    }
    struct pair *pair = calloc(1, sizeof *pair);
    CHECK(pair != NULL);
    no_delay(client);
    pair->epoll = epoll;
    pair->client = (struct side){.pair = pair, .fd = client};
    pair->server = (struct side){.pair = pair, .fd = server};
    stream_init(&pair->stream[UP], trouble, UP, client, server);
    stream_init(&pair->stream[DOWN], trouble, DOWN, server, client);
    list_init(&pair->in_proxy);
    return pair;
}

static void pair_let_go(struct pair *pair, void (*end)(int fd))
{
    struct side *sides[] = {&pair->client, &pair->server};
    for (int i = 0; i < 2; i++) {
        if (sides[i]->fd >= 0) {
            end(sides[i]->fd);
            sides[i]->fd = -1;
            sides[i]->is_watched = false;
        }
    }
    pair->over = true;
}

static void close_socket(int fd)
{
    close(fd);
}

void pair_free(struct pair *pair)
{
    pair_let_go(pair, close_socket);
    list_remove(&pair->in_proxy);
    stream_done(&pair->stream[UP]);
    stream_done(&pair->stream[DOWN]);
    free(pair);
}

void pair_reset(struct pair *pair)
{
    pair_let_go(pair, abort_socket);
}

void pair_half_close(struct pair *pair, enum direction direction)
{
    struct stream *stream = &pair->stream[direction];
    if (!pair->over && !stream->closed) {
        stream->closed = true;
        stream_throw_away(stream);
        (void)shutdown(stream->to, SHUT_WR);
    }
}

/* --- in ---------------------------------------------------------------------------------------------------------- */

static bool contains(struct slice bytes, struct slice wanted)
{
    return memmem(bytes.data, bytes.size, wanted.data, wanted.size) != NULL;
}

static void look_for_subscribe(struct pair *pair, struct slice bytes)
{
    char seam[2 * sizeof pair->tail];
    const size_t head = bytes.size < sizeof pair->tail ? bytes.size : sizeof pair->tail;
    memcpy(seam, pair->tail, pair->tail_size);
    memcpy(seam + pair->tail_size, bytes.data, head);
    const struct slice joined = {.data = seam, .size = pair->tail_size + head};
    if (contains(bytes, subscribe) || contains(joined, subscribe)) {
        stream_became_bus(&pair->stream[UP]);
        stream_became_bus(&pair->stream[DOWN]);
    }
    const struct slice last = bytes.size < sizeof pair->tail ? joined : bytes;
    pair->tail_size = last.size < sizeof pair->tail ? last.size : sizeof pair->tail;
    memcpy(pair->tail, last.data + last.size - pair->tail_size, pair->tail_size);
}

void pair_receive(struct pair *pair, struct side *side, uint32_t events, const struct buf *marker,
                  int64_t now_ns)
{
    struct stream *stream = &pair->stream[side == &pair->client ? UP : DOWN];
    if (stream->ending != ENDING_NOT) {
        if ((events & (EPOLLERR | EPOLLHUP)) != 0) { /* it takes nothing any more, either */
            struct stream *other = &pair->stream[side == &pair->client ? DOWN : UP];
            other->closed = true;
        }
        return;
    }
    char bytes[RECV_BYTES];
    const ssize_t size = recv(side->fd, bytes, sizeof bytes, MSG_DONTWAIT);
    if (size < 0 && (errno == EAGAIN || errno == EINTR)) {
        return;
    }
    if (size <= 0) {
        stream->ending = size == 0 ? ENDING_FIN : ENDING_RST;
        return;
    }
    const struct slice received = {.data = bytes, .size = (size_t)size};
    if (stream->direction == UP && !stream->is_bus) {
        look_for_subscribe(pair, received);
    }
    if (marker->size > 0 && contains(received, buf_slice(marker))) {
        stream->held = true;
    }
    stream_take(stream, received, now_ns);
}

/* --- out --------------------------------------------------------------------------------------------------------- */

/* False: the pair was reset. */
static bool pass_end_on(struct pair *pair, struct stream *stream)
{
    if (stream->ending == ENDING_NOT || stream->closed || !stream_is_dry(stream) ||
        stream->lost_bytes > 0) {
        return true;
    }
    if (stream->ending == ENDING_RST) {
        pair_reset(pair);
        return false;
    }
    stream->closed = true;
    (void)shutdown(stream->to, SHUT_WR);
    return true;
}

static void watch(struct pair *pair, struct side *side, const struct stream *from_it,
                  const struct stream *to_it)
{
    const bool done = from_it->ending != ENDING_NOT && to_it->closed;
    uint32_t wanted = stream_wants_in(from_it) ? EPOLLIN : 0;
    wanted |= to_it->wants_out ? EPOLLOUT : 0;
    struct epoll_event event = {.events = wanted, .data = {.ptr = side}};
    if (done) { /* nothing is expected of it, but epoll would say so without end */
        if (side->is_watched) {
            CHECK(epoll_ctl(pair->epoll, EPOLL_CTL_DEL, side->fd, NULL) == 0);
        }
        side->is_watched = false;
    } else if (!side->is_watched) {
        CHECK(epoll_ctl(pair->epoll, EPOLL_CTL_ADD, side->fd, &event) == 0);
        side->is_watched = true;
    } else if (wanted != side->watched) {
        CHECK(epoll_ctl(pair->epoll, EPOLL_CTL_MOD, side->fd, &event) == 0);
    }
    side->watched = wanted;
}

int64_t pair_push(struct pair *pair, int64_t now_ns)
{
    struct stream *up = &pair->stream[UP];
    struct stream *down = &pair->stream[DOWN];
    if (pair->over) {
        return NEVER_NS;
    }
    const int64_t up_ns = stream_push(up, now_ns);
    const int64_t down_ns = stream_push(down, now_ns);
    if (!pass_end_on(pair, up) || !pass_end_on(pair, down)) {
        return NEVER_NS;
    }
    /* Whoever takes nothing is gone, unless its silence was made by us. */
    pair->over =
        (up->closed && down->closed && up->ending != ENDING_NOT && down->ending != ENDING_NOT);
    if (pair->over) {
        pair_let_go(pair, close_socket);
        return NEVER_NS;
    }
    watch(pair, &pair->client, up, down);
    watch(pair, &pair->server, down, up);
    return up_ns < down_ns ? up_ns : down_ns;
}
