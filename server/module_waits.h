/* SPDX-License-Identifier: BSD-3-Clause */
/* module_waits.h -- commands of modules that wait in L2 and do not say so.
 *
 * Few modules flag what waits as `blocking`. What does not goes over the link that all clients of a worker share, and would
 * hold up everything behind it. Redis alone knows whether it waits, or works in the background and answers by itself. So
 * after half of `l2-timeout` Redis is asked, over the control link, to unblock that link's connection (CLIENT UNBLOCK ...
 * ERROR), which it does only for what can be interrupted. If it does, the call was one that waits: its client gets
 * `-UNBLOCKED ...`, the link goes on, and the command is taken as blocking from then on (blocking.h).
 *
 *      relay: waits_begin .. waits_end      worker: waits_tick -> control: CLIENT UNBLOCK ~> worker: the name is noted
 *
 * Owns:    nothing: a place is part of whoever waits, a name is of tiers/l2_commands.h, for good.
 * Threads: each function on its worker's loop; the names are the node's, and any may read.
 * Limits:  WAITS_NAMES_MAX names; further ones are unblocked each time. */
#ifndef TERRACE_SERVER_MODULE_WAITS_H
#define TERRACE_SERVER_MODULE_WAITS_H

#include "tiers/base/list.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

struct tiers_relay;
struct worker;

enum {
    WAITS_NAMES_MAX = 64
};

struct waits_names {
    const char *_Atomic at[WAITS_NAMES_MAX];
};

bool waits_named(const struct waits_names *names, const char *name);

/* A call on a shared link that is not answered. */
struct waits_place {
    struct list link; /* list_init: in no desk */
    const struct tiers_relay *relay;
    const char *name;
    int64_t due_ms;
};

/* Of a worker: the calls on each of its links, oldest first. */
struct waits_desk {
    struct list calls[2];
    bool asks;
};

void waits_desk_open(struct waits_desk *desk);
/* Of RESP2 or RESP3. */
void waits_begin(struct worker *worker, struct waits_place *place, int proto);
void waits_end(struct waits_place *place); /* fine if it never began */
void waits_tick(struct worker *worker);

#endif
