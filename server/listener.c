/* SPDX-License-Identifier: BSD-3-Clause */
#include "server/listener.h"

#include "protocol/bytes.h"
#include "protocol/check.h"
#include "server/acl.h"
#include "server/address.h"
#include "server/node.h"
#include "server/worker.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

enum {
    LISTENERS_MAX = 16,
    ACCEPT_BUDGET = 64
};

struct listener {
    struct listeners *all;
    int fd;
    bool tls;
    uv_poll_t poll;
};

struct listeners {
    struct node *node;
    unsigned count;
    bool closed;
    bool watching;
    int reserve_fd; /* given up when descriptors run out */
    char *unix_path;
    struct listener items[LISTENERS_MAX];
};

/* --- opening ------------------------------------------------------------------------------------------------------------ */

static enum status listener_fail(char error[LISTENER_ERROR_MAX], const char *address,
                                 const char *what)
{
    (void)snprintf(error, LISTENER_ERROR_MAX, "cannot listen on %s: %s", address, what);
    return INVALID;
}

static enum status listener_add(struct listeners *all, int fd, bool tls,
                                const struct sockaddr *address, socklen_t size)
{
    int backlog = (int)all->node->options.tcp_backlog;
    if (bind(fd, address, size) != 0 || listen(fd, backlog) != 0) {
        int error = errno;
        (void)close(fd);
        errno = error;
        return INVALID;
    }
    all->items[all->count++] = (struct listener){.all = all, .fd = fd, .tls = tls};
    return OK;
}

static enum status listener_open_tcp(struct listeners *all, const char *text,
                                     char error[LISTENER_ERROR_MAX])
{
    struct address address;
    char why[128];
    if (address_parse(slice_of(text), &address, why, sizeof(why)) != OK) {
        return listener_fail(error, text, why);
    }
    const struct acl_table *users = acl_take(all->node->acl);
    const bool open = !all->node->options.protected_mode || !acl_is_open(users);
    acl_drop(users);
    if (!open && !address_is_loopback(&address)) {
        return listener_fail(
            error, text,
            "anybody could reach it: set requirepass, listen on 127.0.0.1 or [::1], or say "
            "protected-mode no");
    }
    if (all->count == LISTENERS_MAX) {
        return listener_fail(error, text, "more than 16 addresses");
    }
    int fd = socket(address.storage.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0) {
        return listener_fail(error, text,
                             strerror(errno)); /* NOLINT(concurrency-mt-unsafe): before threads */
    }
    int one = 1;
    (void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
    if (address.storage.ss_family == AF_INET6) {
        (void)setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &one, sizeof(one));
    }
    if (listener_add(all, fd, address.tls, (const struct sockaddr *)&address.storage,
                     address.size) != OK) {
        return listener_fail(error, text, strerror(errno)); /* NOLINT(concurrency-mt-unsafe) */
    }
    return OK;
}

/* A socket file that nobody answers is left over from a node that was killed: it is replaced. One that answers is not. */
static bool unix_path_is_alive(const struct sockaddr_un *address)
{
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    bool alive = fd >= 0 && connect(fd, (const struct sockaddr *)address, sizeof(*address)) == 0;
    if (fd >= 0) {
        (void)close(fd);
    }
    return alive;
}

static enum status listener_open_unix(struct listeners *all, const char *path,
                                      char error[LISTENER_ERROR_MAX])
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    if (strlen(path) >= sizeof(address.sun_path)) {
        return listener_fail(error, path, "the path is longer than 107 bytes");
    }
    (void)snprintf(address.sun_path, sizeof(address.sun_path), "%s", path);
    struct stat status;
    if (lstat(path, &status) == 0) {
        if (!S_ISSOCK(status.st_mode)) {
            return listener_fail(error, path, "a file that is not a socket is there");
        }
        if (unix_path_is_alive(&address)) {
            return listener_fail(error, path, "another process listens on it");
        }
        (void)unlink(path);
    }
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0 ||
        listener_add(all, fd, false, (const struct sockaddr *)&address, sizeof(address)) != OK) {
        return listener_fail(error, path, strerror(errno)); /* NOLINT(concurrency-mt-unsafe) */
    }
    all->unix_path = strdup(path);
    int64_t octal = all->node->options.unixsocketperm; /* written as digits: 700 */
    mode_t mode = (mode_t)(((octal / 100) % 10) << 6 | ((octal / 10) % 10) << 3 | (octal % 10));
    if (all->unix_path == NULL || chmod(path, mode) != 0) {
        return listener_fail(error, path, "its permissions cannot be set");
    }
    return OK;
}

enum status listeners_open(struct node *node, struct listeners **ret_listeners,
                           char error[LISTENER_ERROR_MAX])
{
    struct listeners *all = calloc(1, sizeof(*all));
    char *list = strdup(node->options.listen);
    if (all == NULL || list == NULL) {
        free(all);
        free(list);
        (void)snprintf(error, LISTENER_ERROR_MAX, "no memory");
        return NO_MEMORY;
    }
    all->node = node;
    all->reserve_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
    enum status status = OK;
    char *rest = NULL;
    for (char *one = strtok_r(list, " ,", &rest); one != NULL && status == OK;
         one = strtok_r(NULL, " ,", &rest)) {
        status = listener_open_tcp(all, one, error);
    }
    if (status == OK && node->options.unixsocket[0] != '\0') {
        status = listener_open_unix(all, node->options.unixsocket, error);
    }
    if (status == OK && all->count == 0) {
        status = listener_fail(error, "nothing", "neither listen nor unixsocket names an address");
    }
    free(list);
    if (status != OK) {
        listeners_close(all);
        listeners_free(all);
        return status;
    }
    *ret_listeners = all;
    return OK;
}

/* --- accepting ------------------------------------------------------------------------------------------------------------ */

static struct worker *least_loaded(const struct node *node)
{
    struct worker *least = node->workers[0];
    for (unsigned i = 1; i < node->worker_count; i++) {
        if (atomic_load(&node->workers[i]->load) < atomic_load(&least->load)) {
            least = node->workers[i];
        }
    }
    return least;
}

/* By TLS nothing can be said before the handshake. Who hears of it finds it counted. */
static void refuse_client(struct listener *listener, int fd)
{
    static const char text[] = "-ERR max number of clients reached\r\n";
    node_count_rejected(listener->all->node);
    if (!listener->tls) {
        (void)!send(fd, text, sizeof(text) - 1, MSG_NOSIGNAL | MSG_DONTWAIT);
    }
    (void)close(fd);
}

/* Out of descriptors: accept one on the reserve and close it, so that its client hears at once. */
static void accept_on_reserve(struct listener *listener)
{
    struct listeners *all = listener->all;
    if (all->reserve_fd >= 0) {
        (void)close(all->reserve_fd);
    }
    int fd = accept4(listener->fd, NULL, NULL, SOCK_CLOEXEC);
    if (fd >= 0) {
        refuse_client(listener, fd);
    }
    all->reserve_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
}

static void listener_on_poll(uv_poll_t *poll, int status, int events)
{
    struct listener *listener = poll->data;
    struct listeners *all = listener->all;
    (void)events;
    for (int budget = ACCEPT_BUDGET; status == 0 && budget > 0; budget--) {
        int fd = accept4(listener->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd < 0) {
            if (errno == EMFILE || errno == ENFILE) {
                accept_on_reserve(listener);
            }
            return;
        }
        if ((int64_t)atomic_load(&all->node->conns_open) >=
            atomic_load(&all->node->live.maxclients)) {
            refuse_client(listener, fd);
        } else {
            worker_post_conn(least_loaded(all->node), fd, listener->tls);
        }
    }
}

void listeners_start(struct listeners *all, uv_loop_t *loop)
{
    all->watching = true;
    for (unsigned i = 0; i < all->count; i++) {
        struct listener *listener = &all->items[i];
        CHECK(uv_poll_init(loop, &listener->poll, listener->fd) == 0);
        listener->poll.data = listener;
        CHECK(uv_poll_start(&listener->poll, UV_READABLE, listener_on_poll) == 0);
    }
}

void listeners_close(struct listeners *all)
{
    if (all == NULL || all->closed) {
        return;
    }
    all->closed = true;
    for (unsigned i = 0; i < all->count; i++) {
        if (all->watching) {
            uv_close((uv_handle_t *)&all->items[i].poll, NULL);
        }
        (void)close(all->items[i].fd);
    }
    if (all->reserve_fd >= 0) {
        (void)close(all->reserve_fd);
    }
    if (all->unix_path != NULL) {
        (void)unlink(all->unix_path);
    }
}

void listeners_free(struct listeners *all)
{
    if (all != NULL) {
        free(all->unix_path);
        free(all);
    }
}

/* 0: it has none. */
static int listener_port(const struct listener *listener)
{
    struct sockaddr_storage address = {0};
    socklen_t size = sizeof(address);
    if (getsockname(listener->fd, (struct sockaddr *)&address, &size) != 0) {
        return 0;
    }
    if (address.ss_family == AF_INET) {
        return ntohs(((struct sockaddr_in *)(void *)&address)->sin_port);
    }
    return address.ss_family == AF_INET6
               ? ntohs(((struct sockaddr_in6 *)(void *)&address)->sin6_port)
               : 0;
}

int listeners_port(const struct listeners *all)
{
    int by_tls = 0;
    for (unsigned i = 0; i < all->count; i++) {
        const int port = listener_port(&all->items[i]);
        if (port != 0 && !all->items[i].tls) {
            return port;
        }
        by_tls = by_tls != 0 ? by_tls : port;
    }
    return by_tls;
}
