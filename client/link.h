/* SPDX-License-Identifier: BSD-3-Clause */
/* link.h -- one socket to a node, TCP or Unix, plain or TLS.
 *
 * Not a uv_stream_t: those write by writev(2), which raises SIGPIPE in the application when the node is gone, and read
 * into memory that is asked for before anything is known of what comes. Here each send says MSG_NOSIGNAL, and a large
 * value is received where it stays.
 *
 * Whoever owns a link polls its descriptor. With TLS readiness tells all, since what OpenSSL holds back is taken out
 * before link_recv says AGAIN.
 *
 * Owns:    the descriptor (close-on-exec) until link_close, the TLS state until link_done.
 * Threads: one loop's; a link_context may be shared by links of one thread.
 * Errors:  OK, AGAIN (poll again), CLOSE (the node has ended it), L2_DOWN (broken: `why`), NO_MEMORY. */
#ifndef TERRACE_CLIENT_LINK_H
#define TERRACE_CLIENT_LINK_H

#include "client/options.h"

#include <sys/socket.h>
#include <sys/uio.h>

/* What all links of a client share: certificates. */
struct link_context;
/* `error`: which option is to blame. */
enum terrace_status link_context_new(const struct terrace_options *options,
                                     struct link_context **ret, char *error, size_t error_size);
void link_context_free(struct link_context *context); /* NULL is fine */

struct link {
    int fd;             /* -1: none */
    struct ssl_st *tls; /* NULL: plain */
    bool wants_write;   /* what AGAIN waits for, if not for bytes to read */
    char why[160];
};

/* Begins to connect. `tls_name`: NULL for a plain link. OK: poll for writing, then link_connected. */
enum status link_open(struct link *link, struct link_context *context,
                      const struct sockaddr_storage *address, socklen_t address_size,
                      const char *tls_name) MUST_USE;
/* The socket is writable for the first time. */
enum status link_connected(struct link *link) MUST_USE;
/* OK: done, at once if the link is plain. */
enum status link_handshake(struct link *link) MUST_USE;
/* Into the parts, in order. OK: *ret_got bytes, at least one; if that is all there was room for there may be more. */
enum status link_recv(struct link *link, const struct iovec *parts, size_t count,
                      size_t *ret_got) MUST_USE;
/* OK: *ret_sent bytes, at least one. */
enum status link_send(struct link *link, const struct iovec *parts, size_t count,
                      size_t *ret_sent) MUST_USE;
/* Bytes are here that no readiness of the socket will tell of. */
bool link_holds_bytes(const struct link *link);
void link_done(struct link *link); /* all but the descriptor: a handle may still watch it */
void link_close(struct link *link);

#endif
