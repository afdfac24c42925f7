/* SPDX-License-Identifier: BSD-3-Clause */
/* tracking_client.h -- one client of CLIENT TRACKING: what it asked for, and how it is told.
 *
 *      default      told of each key that it has read, once; OPTIN: only what it read after CLIENT CACHING YES; OPTOUT: not
 *                   what it read after CLIENT CACHING NO
 *      BCAST        told of all keys that begin with one of its prefixes, whatever it read, at the end of each turn
 *      NOLOOP       not told of what it changed itself; with an L2 it is Redis that knows what that is (tracking_line.h)
 *      REDIRECT id  another client is told in its place
 *
 * What is told is `>2 invalidate [keys]`, nil in place of the keys for "drop everything". A client that speaks RESP2 is told
 * only if it is redirected to and subscribed: as a message on `__redis__:invalidate`, whatever it subscribed to.
 *      It stands behind all replies that the client waits for; alone, what its own call changed right behind its reply.
 *
 * The desk of a worker knows its clients that track, and gathers what is to be broadcast.
 *
 * Owns:    the client, until tracking_client_end; the desk its lists.
 * Threads: the worker's own. */
#ifndef TERRACE_SERVER_TRACKING_CLIENT_H
#define TERRACE_SERVER_TRACKING_CLIENT_H

#include "protocol/bytes.h"
#include "server/tracking_line.h"
#include "server/tracking_prefix.h"
#include "tiers/base/list.h"

struct call;
struct conn;
struct letter;
struct node;
struct tiers_relay;
struct worker;

/* As CLIENT TRACKINGINFO names them; the last two come and go by themselves. */
enum {
    TRACKING_BCAST = 1,
    TRACKING_OPTIN = 2,
    TRACKING_OPTOUT = 4,
    TRACKING_NOLOOP = 8,
    TRACKING_CACHING = 16, /* CLIENT CACHING came, and the next command has not */
    TRACKING_BROKEN = 32,  /* the client to which it redirects was found to be gone */
};

/* A client's part in a prefix. */
struct tracking_membership {
    struct list in_prefix;
    struct tracking_client *client;
    struct tracking_prefix *prefix;
};

struct tracking_client {
    struct list in_desk;
    struct conn *conn;
    unsigned flags;
    uint64_t redirect; /* 0: nowhere */
    unsigned redirect_worker;
    struct tracking_membership **prefixes; /* by bytes, ascending */
    size_t prefix_count;
    struct tracking_line_user line_user;
    struct tracking_line *line; /* NOLOOP with an L2; NULL: none, or it was lost */
    /* The line is gone, but what was asked over it may still run: nothing overtakes it on the shared link. */
    bool settles;
    bool keeps;      /* something that it read over the line, for which only Redis has a row */
    bool reads_here; /* mode BCAST: it may have read something of L1, behind what the ear hears */
};

struct tracking_desk {
    struct list clients;
    struct prefix_index prefixes;
    struct list lines;     /* tracking_line.h */
    struct buf broadcasts; /* news of this turn, as in the inbox */
    struct buf value;      /* scratch */
    struct buf push;
    uint64_t running;  /* the client whose call runs, if it tracks; else 0 */
    unsigned overfull; /* calls in a row that found the table too full */
};

void tracking_desk_open(struct tracking_desk *desk, uint64_t secret);
void tracking_desk_done(struct tracking_desk *desk); /* clients are gone */

/* CLIENT TRACKING ON: what it may be is checked by the caller. NO_MEMORY: as it was before. */
struct tracking_wish {
    unsigned flags;
    uint64_t redirect;
    unsigned redirect_worker;
    const struct slice *prefixes;
    size_t prefix_count;
    struct tracking_line *line; /* OPEN, taken over when it has begun; or NULL */
};
enum status tracking_client_begin(struct conn *conn, const struct tracking_wish *wish) MUST_USE;
void tracking_client_end(struct conn *conn); /* OFF, RESET, and the end of the connection */
struct slice tracking_client_prefix(const struct tracking_client *client, size_t i);
/* The connection speaks another protocol from now on. */
void tracking_client_change_protocol(struct conn *conn);

/* Its calls must wait until those before them are answered. */
bool tracking_client_settles(const struct conn *conn);

/* Around each call of a client that tracks: in front, its way to L2 is set, and keys that it reads are put into the table;
 * behind, when its answer is in its place, what it changed is told. */
void tracking_before(struct call *call);
void tracking_before_queued(const struct call *call); /* one that waits for EXEC */
void tracking_after(struct conn *conn, const struct call *call);
/* Keys that another command of the same call reads (EXEC). */
void tracking_note_reads(struct call *call);

/* A write is sent to L2. */
void tracking_on_send(struct node *node, const struct tiers_relay *write);
/* L2 has answered a write: its keys are told, without waiting for the announcement. If the reply says that nothing changed,
 * nobody is told: the announcement knows better. `writer` may be NULL. */
void tracking_on_write(struct node *node, const struct conn *writer,
                       const struct tiers_relay *write, struct slice reply);

/* News came for clients of the worker that opens it. */
void tracking_on_letter(struct letter *letter, void *owner);
/* The end of a turn: what is broadcast leaves. */
void tracking_end_turn(struct worker *worker);
void tracking_tick(struct worker *worker); /* every 100 ms */

#endif
