/* SPDX-License-Identifier: BSD-3-Clause */
/* leases.h -- which keys a connection is to load (tiers/load.h), so that they are handed on when it closes, and so that the
 * SET of a client that knows no tokens carries the one that its GET won.
 *
 * Such a SET goes through only while the lease stands: what was written or invalidated since the GET is not overwritten by
 * what is older. It answers OK all the same, for the client asked for a cache, not for a lock; it is counted (loads_lost). A
 * SET of the same key by another connection is a write like any other, and ends the lease.
 *
 * A lease is remembered for the load-timeout of its namespace.
 *
 * Owns:    the table, from the first lease of the connection on.
 * Threads: the connection's worker.
 * Limits:  LEASES_MAX of all connections of a worker; beyond, its oldest is handed on. */
#ifndef TERRACE_SERVER_LEASES_H
#define TERRACE_SERVER_LEASES_H

#include "protocol/limits.h"
#include "tiers/base/map.h"
#include "tiers/load.h"

enum {
    LEASES_MAX = LIMIT_LOADS
};

struct conn;
struct leases;
struct worker;

struct lease {
    struct map_node by_key;
    struct list in_leases;
    struct list in_worker;
    struct leases *leases; /* of its connection */
    struct l1_key key;
    char token[LEASE_TOKEN_SIZE];
    bool plain; /* its client knows no tokens */
    int64_t won_at_ms;
    int64_t until_ms;
    char bytes[];
};

/* The lease of that key that the connection holds; NULL: none. Until the next call. */
const struct lease *leases_find(struct conn *conn, const struct l1_key *key);
/* The asker's connection has won. NULL, or it sends no more, or no memory: the lease is given back. */
void leases_add(struct worker *worker, struct conn *conn, const struct load_result *won,
                bool plain);
/* It is to load some key. */
bool leases_any(const struct conn *conn);
/* The connection does not load it any more: its lease is handed on. */
void leases_forget(struct conn *conn, const struct l1_key *key);
/* The same, but a write that is sent now ends the lease; if that write fails, load_release with this token hands it on. false:
 * there is none. `conn` may be NULL: the client is gone. */
bool leases_take(struct conn *conn, const struct l1_key *key, char ret_token[LEASE_TOKEN_SIZE]);
/* Hands on all whose client knows no tokens: it has invalidated something, and what it sets from now on is new. */
void leases_end_plain(struct conn *conn);
/* The connection closes, or will send no more: all are handed on. */
void leases_end(struct conn *conn);

#endif
