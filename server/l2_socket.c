/* SPDX-License-Identifier: BSD-3-Clause */
#include "server/l2_socket.h"

#include "protocol/check.h"
#include "protocol/limits.h"

#include <errno.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

/* REFUSED: could not even begin; its link hears of it at the next flush, since link_on_lost must not come from inside. */
enum l2_socket_state {
    L2_RESOLVING,
    L2_REFUSED,
    L2_CONNECTING,
    L2_SHAKING, /* TLS' handshake */
    L2_OPEN,
    L2_CLOSED
};

enum {
    KEEPALIVE_IDLE_S = 30,
    KEEPALIVE_INTERVAL_S = 10,
    KEEPALIVE_COUNT = 5,
    L2_READ_TURNS = 16,
    L2_CIPHERTEXT = 64 * 1024, /* one read */
};

struct l2_socket {
    struct l2_roof *roof;
    struct link *link; /* NULL once closed */
    struct list in_roof;
    struct list in_due; /* roof->due: it has something to write, or to say */
    enum l2_socket_state state;
    uv_getaddrinfo_t resolve;
    uv_poll_t poll;
    struct tls_stream *tls; /* NULL: plain */
    bool has_poll;
    int fd;
    int refused; /* errno */
    int events;
};

static int64_t roof_now_ms(const struct l2_roof *roof)
{
    return clock_now_ms(roof->clock);
}

/* --- closing ------------------------------------------------------------------------------------------------------------ */

static void l2_socket_free(struct l2_socket *s)
{
    tls_stream_free(s->tls);
    free(s);
}

static void l2_socket_on_closed(uv_handle_t *handle)
{
    l2_socket_free(handle->data);
}

/* Or why it goes: as far as the socket takes it. */
static void l2_socket_say_goodbye(struct l2_socket *s)
{
    tls_end(s->tls);
    const struct slice output = tls_output(s->tls);
    if (output.size > 0 && s->fd >= 0) {
        (void)!send(s->fd, output.data, output.size, MSG_NOSIGNAL | MSG_DONTWAIT);
    }
}

/* Lets go of the descriptor. Memory goes when libuv is done with its handle or its resolver. */
static void l2_socket_close(struct l2_socket *s)
{
    if (s->state == L2_CLOSED) {
        return;
    }
    bool resolving = s->state == L2_RESOLVING;
    s->state = L2_CLOSED;
    link_set_socket(s->link, NULL);
    s->link = NULL;
    if (s->tls != NULL) {
        l2_socket_say_goodbye(s);
    }
    list_remove(&s->in_roof);
    list_remove(&s->in_due);
    if (s->has_poll) {
        uv_close((uv_handle_t *)&s->poll,
                 l2_socket_on_closed); /* before close(2): libuv still names it to epoll */
    }
    if (s->fd >= 0) {
        (void)close(s->fd);
        s->fd = -1;
    }
    if (resolving) {
        (void)uv_cancel((uv_req_t *)&s->resolve); /* its callback frees */
    } else if (!s->has_poll) {
        l2_socket_free(s);
    }
}

/* The socket is gone; its link hears why. */
static void l2_socket_lost(struct l2_socket *s, const char *why)
{
    struct link *link = s->link;
    struct l2_roof *roof = s->roof;
    roof->address_turn += s->state != L2_OPEN;
    char text[160];
    (void)snprintf(text, sizeof(text), "%s", why);
    l2_socket_close(s);
    if (link != NULL) {
        link_on_lost(link, text, roof_now_ms(roof));
    }
}

/* --- reading and writing --------------------------------------------------------------------------------------------------- */

static void l2_socket_on_poll(uv_poll_t *poll, int status, int events);

static void l2_socket_watch(struct l2_socket *s, int events)
{
    if (link_is_held(s->link)) {
        events &= ~UV_READABLE;
    }
    if (s->events == events) {
        return;
    }
    if ((events == 0 ? uv_poll_stop(&s->poll)
                     : uv_poll_start(&s->poll, events, l2_socket_on_poll)) == 0) {
        s->events = events;
    }
}

/* After a read: who takes what comes may have no more room. */
static bool l2_socket_is_held(struct l2_socket *s)
{
    if (s->link == NULL || !link_is_held(s->link)) {
        return false;
    }
    l2_socket_watch(s, s->events);
    return true;
}

/* What recv says. false: no bytes came; if that is the end, the link was told. */
static bool l2_socket_has_read(struct l2_socket *s, ssize_t got)
{
    if (got == 0) {
        l2_socket_lost(s, s->state == L2_SHAKING
                              ? "L2 closed the connection during the TLS handshake"
                              : "L2 closed the connection");
    } else if (got < 0 && errno != EINTR && errno != EAGAIN && errno != EWOULDBLOCK) {
        l2_socket_lost(
            s, strerror(errno)); /* NOLINT(concurrency-mt-unsafe): glibc's is thread-safe here */
    }
    return got > 0;
}

static void l2_socket_broken(struct l2_socket *s)
{
    char why[TLS_WHY_MAX + 8];
    (void)snprintf(why, sizeof(why), "TLS: %s", tls_error(s->tls));
    l2_socket_lost(s, why);
}

/* Ciphertext that waits. AGAIN: the socket is full; CLOSE: errno says why nothing can be sent any more. */
static enum status l2_socket_push(struct l2_socket *s)
{
    while (tls_waiting(s->tls) > 0) {
        const struct slice output = tls_output(s->tls);
        const ssize_t sent = send(s->fd, output.data, output.size, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (sent >= 0) {
            tls_sent(s->tls, (size_t)sent);
        } else if (errno == EAGAIN || errno == EWOULDBLOCK) {
            l2_socket_watch(s, UV_READABLE | UV_WRITABLE);
            return AGAIN;
        } else if (errno != EINTR) {
            return CLOSE;
        }
    }
    return OK;
}

/* All plaintext of what was fed goes to the link, which may close its socket meanwhile. */
static void l2_socket_drain(struct l2_socket *s)
{
    enum status status = OK;
    while (status == OK && s->link != NULL) {
        size_t room = 0;
        size_t got = 0;
        char *data = link_read_room(s->link, LIMIT_READ, &room);
        if (data == NULL) {
            l2_socket_lost(s, "no memory for a reply");
            return;
        }
        status = tls_read(s->tls, data, room, &got);
        if (got > 0) {
            link_on_read(s->link, got, roof_now_ms(s->roof));
        }
    }
    if (s->link != NULL && status == CLOSE) {
        l2_socket_lost(s, "L2 closed the connection");
    } else if (s->link != NULL && status == MALFORMED) {
        l2_socket_broken(s);
    }
}

static void l2_socket_shake(struct l2_socket *s)
{
    const enum status status = tls_handshake(s->tls);
    if (status == MALFORMED) {
        l2_socket_broken(s);
        return;
    }
    if (status == OK) {
        s->state = L2_OPEN;
        link_on_connected(s->link, roof_now_ms(s->roof));
    }
    if (s->link != NULL && l2_socket_push(s) != AGAIN) {
        l2_socket_watch(
            s, UV_READABLE); /* what is wrong is met at the next read, behind an alert, perhaps */
    }
}

static void l2_socket_read_tls(struct l2_socket *s)
{
    char bytes[L2_CIPHERTEXT];
    for (int turn = 0; turn < L2_READ_TURNS && s->link != NULL; turn++) {
        const ssize_t got = recv(s->fd, bytes, sizeof(bytes), MSG_DONTWAIT);
        if (!l2_socket_has_read(s, got)) {
            return;
        }
        tls_feed(s->tls, (struct slice){bytes, (size_t)got});
        if (s->state == L2_SHAKING) {
            l2_socket_shake(s);
        }
        if (s->state == L2_OPEN) {
            l2_socket_drain(
                s); /* also what came with the end of the handshake: nothing fed may stay */
        }
        if (l2_socket_is_held(s) || (size_t)got < sizeof(bytes)) {
            return;
        }
    }
}

static void l2_socket_read(struct l2_socket *s)
{
    if (s->tls != NULL) {
        l2_socket_read_tls(s);
        return;
    }
    for (int turn = 0; turn < L2_READ_TURNS && s->link != NULL; turn++) {
        size_t room = 0;
        char *data = link_read_room(s->link, LIMIT_READ, &room);
        if (data == NULL) {
            l2_socket_lost(s, "no memory for a reply");
            return;
        }
        const ssize_t got = recv(s->fd, data, room, MSG_DONTWAIT);
        if (!l2_socket_has_read(s, got)) {
            return;
        }
        link_on_read(s->link, (size_t)got, roof_now_ms(s->roof));
        if (l2_socket_is_held(s) || (size_t)got < room) {
            return;
        }
    }
}

/* Nothing can be sent: what came until then may say why better than the error does. */
static void l2_socket_gone(struct l2_socket *s, int error)
{
    l2_socket_read(s);
    if (s->link != NULL) {
        l2_socket_lost(s, strerror(error)); /* NOLINT(concurrency-mt-unsafe) */
    }
}

/* Until nothing waits, or the socket is full. */
static void l2_socket_write_tls(struct l2_socket *s)
{
    for (;;) {
        const enum status pushed = l2_socket_push(s);
        if (pushed == CLOSE) {
            l2_socket_gone(s, errno);
        }
        if (pushed != OK) {
            return;
        }
        struct slice waits = link_output(s->link);
        if (waits.size == 0) {
            l2_socket_watch(s, UV_READABLE);
            return;
        }
        enum status status = OK;
        while (status == OK && waits.size > 0) {
            size_t taken = 0;
            status = tls_write(s->tls, waits, &taken);
            link_on_written(s->link, taken);
            waits = link_output(s->link);
        }
        if (status == MALFORMED) {
            l2_socket_broken(s);
            return;
        }
    }
}

static void l2_socket_write(struct l2_socket *s)
{
    list_remove(&s->in_due);
    if (s->tls != NULL) {
        l2_socket_write_tls(s);
        return;
    }
    for (;;) {
        struct slice waits = link_output(s->link);
        if (waits.size == 0) {
            l2_socket_watch(s, UV_READABLE);
            return;
        }
        ssize_t sent = send(s->fd, waits.data, waits.size, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (sent >= 0) {
            link_on_written(s->link, (size_t)sent);
        } else if (errno == EAGAIN || errno == EWOULDBLOCK) {
            l2_socket_watch(s, UV_READABLE | UV_WRITABLE);
            return;
        } else if (errno != EINTR) {
            l2_socket_lost(s, strerror(errno)); /* NOLINT(concurrency-mt-unsafe) */
            return;
        }
    }
}

static void l2_socket_on_connected(struct l2_socket *s)
{
    int error = 0;
    socklen_t size = sizeof(error);
    if (getsockopt(s->fd, SOL_SOCKET, SO_ERROR, &error, &size) != 0 || error != 0) {
        l2_socket_lost(s, strerror(error != 0 ? error : errno)); /* NOLINT(concurrency-mt-unsafe) */
        return;
    }
    if (s->tls != NULL) {
        s->state = L2_SHAKING;
        l2_socket_shake(s);
        return;
    }
    s->state = L2_OPEN;
    l2_socket_watch(s, UV_READABLE);
    link_on_connected(s->link, roof_now_ms(s->roof));
}

/* The peer answers: the handshake, or the link. */
static bool l2_socket_is_up(const struct l2_socket *s)
{
    return s->state == L2_OPEN || s->state == L2_SHAKING;
}

static void l2_socket_on_poll(uv_poll_t *poll, int status, int events)
{
    struct l2_socket *s = poll->data;
    if (s->state == L2_CONNECTING) {
        l2_socket_on_connected(s);
        return;
    }
    if (status < 0) {
        l2_socket_read(s); /* takes what still came and hears the reason from recv */
        if (l2_socket_is_up(s)) {
            l2_socket_lost(s, "the connection to L2 was reset");
        }
        return;
    }
    if (s->state == L2_SHAKING && (events & UV_WRITABLE) != 0) {
        l2_socket_shake(s);
    } else if (s->state == L2_OPEN && (events & UV_WRITABLE) != 0) {
        l2_socket_write(s);
    }
    if (l2_socket_is_up(s) && (events & UV_READABLE) != 0) {
        l2_socket_read(s);
    }
}

/* --- connecting -------------------------------------------------------------------------------------------------------------- */

static void l2_socket_set_options(int fd)
{
    int one = 1;
    int idle_s = KEEPALIVE_IDLE_S;
    int interval_s = KEEPALIVE_INTERVAL_S;
    int count = KEEPALIVE_COUNT;
    (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
    (void)setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &one, sizeof(one));
    (void)setsockopt(fd, IPPROTO_TCP, TCP_KEEPIDLE, &idle_s, sizeof(idle_s));
    (void)setsockopt(fd, IPPROTO_TCP, TCP_KEEPINTVL, &interval_s, sizeof(interval_s));
    (void)setsockopt(fd, IPPROTO_TCP, TCP_KEEPCNT, &count, sizeof(count));
}

/* It could not even begin: link_on_lost must not come from inside, so its link hears of it at the next flush. */
static void l2_socket_refuse(struct l2_socket *s, int error)
{
    s->state = L2_REFUSED;
    s->refused = error;
    list_push_back(&s->roof->due, &s->in_due);
}

static void l2_socket_connect(struct l2_socket *s, const struct sockaddr *address, socklen_t size)
{
    s->fd = socket(address->sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (s->fd < 0) {
        l2_socket_refuse(s, errno);
        return;
    }
    if (address->sa_family != AF_UNIX) {
        l2_socket_set_options(s->fd);
    }
    if (connect(s->fd, address, size) != 0 && errno != EINPROGRESS) {
        l2_socket_refuse(s, errno);
        return;
    }
    if (uv_poll_init(s->roof->loop, &s->poll, s->fd) != 0) {
        l2_socket_refuse(s, ENOMEM);
        return;
    }
    s->has_poll = true;
    s->state = L2_CONNECTING;
    s->poll.data = s;
    l2_socket_watch(s, UV_WRITABLE);
}

/* A name may have addresses on which nobody answers (localhost: ::1 before 127.0.0.1): attempts take turns. */
static const struct addrinfo *l2_socket_choose(const struct l2_socket *s,
                                               const struct addrinfo *found)
{
    unsigned count = 0;
    for (const struct addrinfo *one = found; one != NULL; one = one->ai_next) {
        count++;
    }
    for (unsigned turn = s->roof->address_turn % count; turn > 0; turn--) {
        found = found->ai_next;
    }
    return found;
}

static void l2_socket_on_resolved(uv_getaddrinfo_t *request, int status, struct addrinfo *found)
{
    struct l2_socket *s = request->data;
    if (s->state == L2_CLOSED) {
        l2_socket_free(s);
    } else if (status != 0 || found == NULL) {
        s->state = L2_CONNECTING; /* the resolver is done with it */
        l2_socket_lost(s, status != 0 ? uv_strerror(status) : "the name has no address");
    } else {
        const struct addrinfo *chosen = l2_socket_choose(s, found);
        l2_socket_connect(s, chosen->ai_addr, chosen->ai_addrlen);
    }
    uv_freeaddrinfo(found);
}

static void l2_socket_resolve(struct l2_socket *s, const struct l2_url *url)
{
    char port[16];
    (void)snprintf(port, sizeof(port), "%d", url->port);
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_family = AF_UNSPEC};
    s->resolve.data = s;
    if (uv_getaddrinfo(s->roof->loop, &s->resolve, l2_socket_on_resolved, url->host, port,
                       &hints) != 0) {
        l2_socket_refuse(s, ENOMEM);
    }
}

/* --- the roof's side of a link ------------------------------------------------------------------------------------------------ */

static void roof_open_socket(struct l2_roof *roof, struct l2_socket *s, struct link *link)
{
    const struct l2_url *url = link_url(link);
    if (url->tls) {
        s->tls = tls_place_stream(roof->tls, url->host);
        if (s->tls == NULL) {
            l2_socket_refuse(s, ENOMEM);
            return;
        }
    }
    if (!url->is_unix) {
        l2_socket_resolve(s, url);
        return;
    }
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    (void)snprintf(address.sun_path, sizeof(address.sun_path), "%s", url->host);
    l2_socket_connect(s, (const struct sockaddr *)&address, sizeof(address));
}

static void roof_connect(void *arg, struct link *link)
{
    struct l2_roof *roof = arg;
    struct l2_socket *s = calloc(1, sizeof(*s));
    CHECK(s != NULL);
    s->roof = roof;
    s->link = link;
    s->fd = -1;
    link_set_socket(link, s);
    list_init(&s->in_due);
    list_push_back(&roof->sockets, &s->in_roof);
    roof_open_socket(roof, s, link);
}

static void roof_close_link(void *arg, struct link *link)
{
    struct l2_socket *s = link_socket(link);
    (void)arg;
    if (s != NULL) {
        l2_socket_close(s);
    }
}

static void roof_wants_flush(void *arg, struct link *link)
{
    struct l2_roof *roof = arg;
    struct l2_socket *s = link_socket(link);
    if (s != NULL && list_empty(&s->in_due)) {
        list_push_back(&roof->due, &s->in_due);
    }
}

static void roof_wants_read(void *arg, struct link *link)
{
    struct l2_socket *s = link_socket(link);
    (void)arg;
    if (s != NULL && s->state == L2_OPEN) {
        l2_socket_watch(s, s->events | UV_READABLE);
    }
}

void l2_roof_open(struct l2_roof *roof, uv_loop_t *loop, const struct clock *clock,
                  struct tls_place *tls, void *owner)
{
    *roof = (struct l2_roof){.loop = loop, .clock = clock, .tls = tls, .owner = owner};
    list_init(&roof->sockets);
    list_init(&roof->due);
}

void l2_roof_close(struct l2_roof *roof)
{
    CHECK(list_empty(&roof->sockets));
}

struct link_io l2_roof_io(struct l2_roof *roof)
{
    return (struct link_io){.roof = roof,
                            .connect = roof_connect,
                            .close = roof_close_link,
                            .wants_flush = roof_wants_flush,
                            .wants_read = roof_wants_read};
}

void l2_roof_flush(struct l2_roof *roof)
{
    struct list due; /* losing one may close others, and open some */
    list_init(&due);
    list_splice_back(&due, &roof->due);
    while (!list_empty(&due)) {
        struct l2_socket *s = LIST_ENTRY(due.next, struct l2_socket, in_due);
        list_remove(&s->in_due);
        if (s->state == L2_REFUSED) {
            l2_socket_lost(s, strerror(s->refused)); /* NOLINT(concurrency-mt-unsafe) */
        } else if (s->state == L2_OPEN) {
            l2_socket_write(s);
        }
    }
}
