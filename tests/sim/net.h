/* SPDX-License-Identifier: BSD-3-Clause */
/* net.h -- connections between links and Redis, without sockets.
 *
 * Each direction is a PIPE: a queue of bytes that arrive in order, late, in pieces. A frozen pipe keeps what arrives
 * until it is thawed: that is a black hole as TCP shows it, which retransmits. When a client closes its end, what it had
 * written may still arrive and run, however late; that is what COHERENCE T7 is about.
 *
 * The server's side of a connection keeps its state here, too (redis.c fills it). */
#ifndef TERRACE_TESTS_SIM_NET_H
#define TERRACE_TESTS_SIM_NET_H

#include "protocol/bytes.h"
#include "tests/sim/world.h"
#include "tiers/link.h"

enum {
    CONN_ECHOES = 64
};

struct pipe {
    struct conn *conn;
    bool to_client;
    bool frozen;
    bool closed; /* whatever arrives is dropped */
    bool ends;   /* an end of stream was put in */
    struct buf bytes;
    size_t head;
    size_t held; /* arrived while frozen */
    bool held_end;
    int64_t last_at_us;
};

struct conn {
    struct conn *next; /* world's */
    struct world *world;
    uint64_t id;
    struct thread *thread;
    struct link *link; /* NULL: the client closed its end */
    bool connected;
    int64_t latency_us;
    int64_t usual_latency_us;
    int64_t jitter_us;
    struct pipe up;   /* to the server */
    struct pipe down; /* to the client */

    /* the server's side */
    struct redis *server; /* NULL: not accepted yet, or closed by it */
    struct buf in;
    struct buf out;
    bool resp3;
    bool tracks;
    bool subscribed;
    uint64_t read_in; /* cycle in which it was read last */
    int db;

    /* of the bus, for the oracle: how many announcements each own frame needs, and how many came */
    bool in_gap;   /* everything is dropped until a frame was */
    bool tampered; /* an announcement was dropped or changed on its way */
    uint64_t announced;
    uint64_t announcements_seen;
    unsigned echo_count;
    struct {
        uint64_t nonce;
        uint64_t announced;
    } echoes[CONN_ECHOES];
};

/* The client's side, as link_io wants it. */
struct conn *net_connect(struct world *world, struct thread *thread, struct link *link);
void net_close(struct conn *conn); /* by the client */
/* Offers bytes; returns how many the kernel took. */
size_t net_write(struct conn *conn, struct slice bytes);

/* The server's side. */
void net_say(struct conn *conn); /* sends conn->out */
void net_hang_up(struct conn *conn,
                 bool reset); /* by the server; reset: what is under way is lost */

/* Trouble. */
void net_tamper(
    struct conn *conn); /* an announcement does not reach its node, and nobody says so */
void net_freeze(struct pipe *pipe);
void net_thaw(struct pipe *pipe);
void net_free_all(struct world *world);

#endif
