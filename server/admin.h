/* SPDX-License-Identifier: BSD-3-Clause */
/* admin.h -- the HTTP side of a node, for operators and their machines; clients never see it.
 *
 *      GET /livez     200 "ok" while the control loop turns
 *      GET /readyz    200 "ready", or 503 with a line per reason; ?verbose always tells more
 *      GET /metrics   Prometheus' text format
 *      /v1/...        JSON (admin_json.h); who may is in admin_guard.h
 *
 * HEAD too. Anything else is 404, any other method 405.
 *
 * libmicrohttpd serves; it has no thread of its own. Its epoll descriptor is watched by the loop that opened the admin:
 *
 *      socket ready -> MHD's epoll descriptor ready -> uv_poll -> MHD_run -> admin_on_request -> response
 *
 * A request that waits for another loop is suspended meanwhile (admin_request.h).
 *
 * Owns:    its listening socket and its clients.
 * Threads: the loop's it was opened on.
 * Limits:  64 connections, whose states have an end each (admin_visitors.h); 16 KiB for a request's head, 1 MiB for a
 *          body of /v1; more is refused or closed. */
#ifndef TERRACE_SERVER_ADMIN_H
#define TERRACE_SERVER_ADMIN_H

#include "protocol/status.h"

#include <uv.h>

struct admin;
struct node;

enum {
    ADMIN_ERROR_MAX = 256
};

/* `address` as HOST:PORT or [HOST]:PORT; port 0: any. INVALID: `error` says what is wrong with it, or why it cannot be
 * listened on. */
enum status admin_open(struct node *node, uv_loop_t *loop, const char *address,
                       struct admin **ret_admin, char error[ADMIN_ERROR_MAX]) MUST_USE;
/* Stops listening and drops its clients; its memory goes with the loop's next turns. NULL is fine. */
void admin_close(struct admin *admin);

#endif
