/* SPDX-License-Identifier: BSD-3-Clause */
/* admin_guard.h -- who may ask what of /v1 on the admin listener.
 *
 *      /, /livez, /readyz, /metrics   everybody: what probes and Prometheus need, from wherever, has no key and no value in it
 *      /v1, reading                   who shows the token; without it, clients of this machine that ask this machine
 *      /v1, changing                  who shows the token; none is set: nobody
 *
 * The token is `admin-token`, shown as `Authorization: Bearer TOKEN`. It is compared by the SHA-256 of both, in constant time.
 *
 * A page in a browser on this machine could have its own name resolved to 127.0.0.1 and read what we answer (DNS rebinding).
 * Such a request names the page's host. So without the token the Host must be an address, `localhost`, or the host that `admin`
 * itself names. A page cannot show the token, nor send `application/json` elsewhere without a preflight, which nobody answers.
 *
 * Nor is who comes through a proxy on this machine a client of this machine: a request that says it was handed on is from
 * elsewhere.
 *
 * So `admin` may listen beyond loopback without a token: then there is no /v1 for those beyond, and what there was before is as
 * before.
 *
 * Threads: pure. */
#ifndef TERRACE_SERVER_ADMIN_GUARD_H
#define TERRACE_SERVER_ADMIN_GUARD_H

#include "protocol/bytes.h"

#include <sys/socket.h>

struct admin_ask {
    bool changes;
    const struct sockaddr *client; /* NULL: not known, and so from elsewhere */
    struct slice host;             /* the header; empty: none */
    struct slice authorization;    /* the header; empty: none */
    struct slice token;            /* `admin-token` */
    struct slice own_host;         /* of `admin`, without the port */
};

/* 0: it may. Else the HTTP status, 401 or 403, and *ret_why in words. */
unsigned admin_guard(const struct admin_ask *ask, const char **ret_why);

#endif
