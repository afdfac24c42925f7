/* SPDX-License-Identifier: BSD-3-Clause */
/* notify.h -- what the service manager is told of this process: systemd's Type=notify (sd_notify(3)), which is datagrams of
 * NAME=VALUE lines to the socket that NOTIFY_SOCKET names. It is a page of code, so there is no library for it.
 *
 *      READY=1       as soon as clients may be sent here (/readyz says 200): what is ordered after the unit, and the restart of
 *                    the next node, wait for that
 *      STATUS=       that, or what is missing: the line of `systemctl status`
 *      RELOADING=1   around SIGHUP, with MONOTONIC_USEC, so that Type=notify-reload (systemd 253) does as well
 *      STOPPING=1    as soon as the node drains
 *      WATCHDOG=1    four times per WATCHDOG_USEC, and only if every worker has turned since the one before: a loop that hangs,
 *                    be it the control loop's or a worker's, ends them, and the manager ends the process
 *      EXTEND_TIMEOUT_USEC=   every 15 s while it is not ready yet, or ends: as long as the control loop turns, nothing
 *                    is wrong with a start that waits for L2, or with an end that waits for a disk
 *
 * A datagram that the socket has no room for is said again at the next tick. Nothing waits.
 *
 * Threads: notify_tick is one thread's, the reload's two are another's.
 * Errors:  none that matter to the node: without a manager it serves as well. */
#ifndef TERRACE_SERVER_NOTIFY_H
#define TERRACE_SERVER_NOTIFY_H

#include "protocol/bytes.h"

#include <stdbool.h>
#include <stdint.h>

struct notify;

/* As in the environment; each may be NULL. */
struct notify_place {
    const char *socket;       /* NOTIFY_SOCKET: a path, or @ and an abstract name */
    const char *watchdog_us;  /* WATCHDOG_USEC */
    const char *watchdog_pid; /* WATCHDOG_PID: whose watchdog that is */
};

/* What is so now. */
struct notify_seen {
    bool ready;
    bool stopping;
    struct slice status;  /* lines; they become one */
    int64_t turned_at_ms; /* when the worker that did so the longest ago last turned */
};

enum {
    NOTIFY_STATUS_MAX = 256,
};

/* NULL: there is no manager, or no memory, or an address that no socket can have (vsock: is none of ours). */
struct notify *notify_new(const struct notify_place *place);
void notify_free(struct notify *notify); /* NULL is fine */

void notify_tick(struct notify *notify, const struct notify_seen *seen, int64_t now_ms);

/* Settings are being read again; and have been, so that the next tick says READY=1. `monotonic_us`: CLOCK_MONOTONIC. Before
 * the first READY=1 neither says anything. */
void notify_reload(struct notify *notify, int64_t monotonic_us);
void notify_reloaded(struct notify *notify);

#endif
