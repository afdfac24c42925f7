/* SPDX-License-Identifier: BSD-3-Clause */
/* node.h -- a node in virtual time: L1, tiers and links unchanged, under a roof that does what server/control_l2.c,
 * worker.c and l2_socket.c do.
 *
 * Its clock starts anywhere and runs up to NODE_DRIFT_PPM fast or slow. A thread may be paused, alone or with the whole
 * node; the clock goes on. */
#ifndef TERRACE_TESTS_SIM_NODE_H
#define TERRACE_TESTS_SIM_NODE_H

#include "tests/sim/net.h"
#include "tests/sim/world.h"
#include "tiers/tiers.h"

enum {
    NODE_DRIFT_PPM = 1000,
    NODE_THREADS = 1 + SIM_WORKERS_MAX,
    NODE_SOCKETS = 2, /* of one thread: control and bus, or RESP2 and RESP3 */
    NODE_BEATS = 256,
};

/* What a worker's strict answers wait for, in this turn (confirm.c). */
struct node_confirms {
    struct list list;
    int64_t deadline_ms;
};

struct socket {
    struct link *link; /* NULL: free */
    struct conn *conn;
    bool wants_flush;
};

struct node {
    struct world *world;
    struct node *next_buried;
    unsigned slot; /* its place among the nodes */
    uint64_t id;
    bool dying; /* callbacks of its end mean nothing to the clients, and it serves them no more */
    bool ended;
    bool is_cut; /* it reaches nobody */
    int64_t clock_offset_ms;
    int64_t drift_ppm;
    struct namespaces *namespaces;
    struct metrics metrics;
    struct tiers *tiers;
    struct link *control;
    struct link *bus;
    unsigned let_in; /* tiers_others_let_in */
    unsigned beats_waiting;
    unsigned round_waiting; /* workers that have not left the former L2 yet */
    uint64_t retargets;     /* the run that they are told of */
    struct buf scratch;
    struct thread threads[NODE_THREADS];
    struct socket sockets[NODE_THREADS][NODE_SOCKETS];
    struct tiers_window *windows[SIM_WORKERS_MAX];
    struct node_confirms confirms[SIM_WORKERS_MAX];

    /* what the oracle knows of it */
    int least[SIM_SLOTS]; /* versions that were acknowledged through it */
    int64_t deaf_us;      /* when an announcement last went missing on its bus; 0: never */
    int64_t proved_us; /* true send time of the newest own beat whose echo was taken from the bus */
    struct {
        uint64_t nonce;
        int64_t sent_us;
        int64_t sent_ms; /* by its clock */
    } beats[NODE_BEATS];
    uint64_t beat_count;
    uint64_t epoch_seen;
    int64_t horizon_seen_ms;
    enum coherence_state state_seen; /* by the trace */
    bool replay_asked;
    bool resumes;             /* what it found of a former life is not decided yet */
    int64_t managed_floor_ms; /* as it was when it was last known */
};

struct node *node_new(struct world *world, unsigned slot);
/* As a node that gets SIGTERM: it serves nobody any more, and then says goodbye. node_kill must follow. After
 * client_node_dies. */
void node_leave(struct node *node);
/* Ends everything as a process that is killed does: the kernel closes its connections. The memory stays until
 * node_free_all, since events still name it. */
void node_kill(struct node *node);
void node_free_all(struct world *world);

int64_t node_now_ms(const struct node *node);
uint64_t node_id(const struct node *node);
bool node_is_synced(const struct node *node);
void node_trace(const struct node *node); /* its state and why */
/* Its horizon as true time; 0: none. */
int64_t node_proved_us(const struct node *node);
/* The clock is read and the fence looked at: what a worker does before a batch. */
struct tiers_window *node_begin_batch(struct node *node, unsigned worker);

/* For world.c and net.c. */
void node_end_turn(struct thread *thread);
void node_lost(struct thread *thread, struct link *link, const char *why);

#endif
