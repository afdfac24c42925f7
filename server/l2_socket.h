/* SPDX-License-Identifier: BSD-3-Clause */
/* l2_socket.h -- the sockets of links (tiers/link.h) on a libuv loop.
 *
 * A roof serves all links of one loop: it resolves and connects (TCP, TLS or Unix), reads what comes straight into the
 * link's buffer, and writes what waits once per turn of the loop. Resets are seen at once (the poll handle reports
 * errors), a silent peer by TCP keepalive after 30 s, probed every 10 s, 3 to 5 times (10 s of unacknowledged data).
 *
 * By TLS (rediss://) a link is told of its connection when the handshake is done and the server's certificate was found
 * good: signed by whom the node believes, and for the host that was asked for (or l2-tls-server-name). Bytes that were
 * encrypted count as written, though they may still wait here (64 KiB at most): a lost write is rather called UNKNOWN.
 *
 * Owns:    sockets. Links belong to others and must be freed before l2_roof_close.
 * Threads: the loop's. */
#ifndef TERRACE_SERVER_L2_SOCKET_H
#define TERRACE_SERVER_L2_SOCKET_H

#include "server/tls.h"
#include "tiers/base/clock.h"
#include "tiers/base/list.h"
#include "tiers/link.h"

#include <uv.h>

struct l2_roof {
    uv_loop_t *loop;
    const struct clock *clock;
    struct tls_place *tls; /* for servers that are reached by TLS */
    void *owner;           /* the worker or control whose links these are */
    /* Which of the name's addresses is tried next: the one after the last that failed. */
    unsigned address_turn;
    struct list sockets;
    struct list due; /* of them: to be flushed */
};

void l2_roof_open(struct l2_roof *roof, uv_loop_t *loop, const struct clock *clock,
                  struct tls_place *tls, void *owner);
void l2_roof_close(struct l2_roof *roof); /* no link may be left */
struct link_io l2_roof_io(struct l2_roof *roof);
/* Twice per turn, before and after polling: writes what the links have to say. */
void l2_roof_flush(struct l2_roof *roof);

#endif
