/* SPDX-License-Identifier: BSD-3-Clause */
/* listener.h -- the sockets that clients connect to.
 *
 * The control loop watches them and accepts within a budget per turn, so that a storm of connections does not starve it;
 * each accepted socket is handed to the worker with the fewest clients, which speaks TLS to it if its address said
 * tls://. When descriptors run out, a reserve descriptor is given up for a moment to accept and close, else the queue
 * would stay readable for ever.
 *
 * Owns:    the sockets; a Unix socket's file is removed at close.
 * Threads: the control loop's.
 * Errors:  `error` names the address and what was wrong with it. */
#ifndef TERRACE_SERVER_LISTENER_H
#define TERRACE_SERVER_LISTENER_H

#include "protocol/status.h"

#include <uv.h>

#include <stddef.h>

struct node;
struct listeners;

enum {
    LISTENER_ERROR_MAX = 256
};

/* All addresses of the options (listen, unixsocket). INVALID, NO_MEMORY. Nothing is accepted before listeners_start. */
enum status listeners_open(struct node *node, struct listeners **ret_listeners,
                           char error[LISTENER_ERROR_MAX]) __attribute__((warn_unused_result));
void listeners_start(struct listeners *all, uv_loop_t *loop);
void listeners_close(struct listeners *all); /* twice is fine */
void listeners_free(struct listeners *all);  /* after the loop has run its close callbacks */
/* Of the first TCP address that is plain, or if there is none, of the first; 0: none. */
int listeners_port(const struct listeners *all);

#endif
