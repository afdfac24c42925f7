/* SPDX-License-Identifier: BSD-3-Clause */
/* conn_tls.h -- a client connection's bytes, where they go through TLS.
 *
 * The handshake is what is read first: until it is done no byte of it becomes a request. All that one read of the socket
 * brings is decrypted at once (tls.h), into the room that a plain connection's bytes would have gone to. Answers become
 * records of up to 16 KiB, large values straight from where L1 holds them; the ciphertext that the socket does not take
 * waits in the stream, TLS_OUTPUT_MAX of it at most, and counts as unsent.
 *
 * A handshake takes a thousand times the CPU of a GET. So that a thousand clients who come at once do not hold up the
 * others, LIMIT_HANDSHAKE_STEPS go on in each turn of the loop (1,000 at once: a PING of another client waits 20 ms in place
 * of 700).
 *
 * Who connects and does not end the handshake is closed after LIMIT_HANDSHAKE_MS, and while LIMIT_HANDSHAKES are under way
 * on a worker, those who come are closed at once.
 *
 * Threads: the worker's own. */
#ifndef TERRACE_SERVER_CONN_TLS_H
#define TERRACE_SERVER_CONN_TLS_H

#include "server/conn.h"

#include <sys/uio.h>

/* For a connection just accepted. NULL: it must be closed; counted. */
struct tls_stream *conn_tls_accept(struct worker *worker) MUST_USE;
/* For one that could not be opened after all; NULL is fine. */
void conn_tls_give_up(struct worker *worker, struct tls_stream *stream);
/* As recvmsg: how many bytes are in the parts, which have room for LIMIT_READ together at least; 0: the client says no
 * more; -1, errno EAGAIN: nothing that could be parsed yet. */
ssize_t conn_tls_recv(struct conn *conn, const struct iovec *parts, size_t count);
/* As out_send, of its answers; `limit` counts their bytes. */
enum status conn_tls_send(struct conn *conn, size_t limit) MUST_USE;
/* Says goodbye and sends what waits. Whether that is all gone, or never will be. */
bool conn_tls_leave(struct conn *conn);
/* The connection closes: the last words, as far as the socket takes them. */
void conn_tls_close(struct conn *conn);
/* The handshake takes too long. */
bool conn_tls_is_late(const struct conn *conn, int64_t now_ms);

#endif
