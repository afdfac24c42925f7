/* SPDX-License-Identifier: BSD-3-Clause */
/* world.h -- virtual time: one queue of events, one source of chance, one verdict.
 *
 * Nothing in the simulator sleeps, reads a clock or asks the kernel for randomness: a seed decides everything, so a seed
 * replays a failure.
 *
 * An event belongs to a THREAD of a node, or to nobody (the network, Redis, the clients). A thread that is paused gets
 * its events when it wakes, in their order, as a process after SIGCONT finds its sockets full. One event is one turn of
 * the thread's loop: when it ends, the thread's sockets are flushed.
 *
 * Units: microseconds of true time; each node's own clock is made of it in node.h. */
#ifndef TERRACE_TESTS_SIM_WORLD_H
#define TERRACE_TESTS_SIM_WORLD_H

#include "protocol/bytes.h"
#include "tiers/base/rand.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    SIM_DATABASES = 2, /* that clients use: 0 and 3 */
    SIM_KEYS = 6,
    SIM_SLOTS = SIM_DATABASES * SIM_KEYS,
    SIM_NODES_MAX = 5,
    SIM_WORKERS_MAX = 2,
    SIM_SESSIONS_MAX = 24,
    SIM_FAILURE_MAX = 400,
};

#define SIM_MS    INT64_C(1000)
#define SIM_NEVER INT64_MAX

/* Whether nodes number and log the writes of a slot. */
#define SIM_IS_MANAGED(world, slot) \
    ((world)->plan.managed && ((slot) % SIM_KEYS == 1 || (slot) % SIM_KEYS == 2))

struct client;
struct nemesis;
struct node;
struct oracle;
struct redis;
struct saving;
struct warmer;
struct world;

struct thread {
    struct node *node;
    unsigned index; /* 0: control; 1 and up: workers */
    bool ended;
    int64_t paused_until_us;
};

typedef void event_fn(struct world *world, void *arg, uint64_t number);

struct event {
    int64_t at_us;
    uint64_t order;
    struct thread *thread;
    event_fn *run;
    void *arg;
    uint64_t number;
};

struct plan {
    uint64_t seed;
    unsigned steps;  /* length of the stormy part, in units of 10 ms */
    unsigned nodes;  /* 0: the seed decides */
    uint64_t faults; /* bits of enum fault (nemesis.h) that may be used */
    bool trace;
    bool strict;  /* sessions across a split brain are judged, too (oracle.c) */
    bool managed; /* keys k1 and k2 are */
};

struct world {
    struct plan plan;
    struct rand rand;
    int64_t now_us;
    struct event *events; /* a heap */
    size_t event_count;
    size_t event_capacity;
    uint64_t next_order;
    uint64_t next_id; /* of connections, runs, nodes: whatever must be unique */
    uint64_t events_run;
    uint64_t replays; /* of the log, that a node began */
    uint64_t replays_whole;
    uint64_t replays_short;
    uint64_t saves;         /* snapshots that nodes wrote, */
    uint64_t returns;       /* nodes that began with managed values of one, */
    uint64_t returns_whole; /* and those of them whose values the log proved */
    struct saving *savings;
    struct buf files[SIM_NODES_MAX]; /* the newest of each slot */
    uint64_t boots[SIM_NODES_MAX];   /* of its machine */

    bool failed;
    char failure[SIM_FAILURE_MAX];

    uint32_t bound_ms;      /* T */
    uint32_t wide_bound_ms; /* of keys k5 */
    bool has_strict;        /* keys k0 are */
    int64_t read_timeout_ms;
    int64_t relay_timeout_ms;
    size_t l1_bytes;
    size_t look_bytes; /* tiers_window_options */
    bool calm;         /* the storm is over: no faults, no new calls */
    bool lags;         /* connections differ widely in how slow they are */
    unsigned refusals; /* per mille of the letters between workers that find no room */
    bool slices;       /* the network cuts what it carries into small pieces */
    unsigned node_count;
    unsigned worker_count;
    struct node *nodes[SIM_NODES_MAX];
    struct node *buried;    /* nodes that were killed, kept until the end */
    struct redis *redis;    /* the chain of all that ever lived; the newest first */
    struct redis *truth;    /* whose data the oracle follows: the master */
    struct redis *endpoint; /* where new connections arrive */
    int64_t promoted_us;    /* when a replica last took over; 0: never */
    struct conn *conns;     /* all that ever were */
    struct oracle *oracle;
    struct client *client;
    struct nemesis *nemesis;
    struct warmer *warmer;
    uint64_t warmed; /* keys that it brought in */
};

/* --- events --- */
void world_at(struct world *world, int64_t delay_us, struct thread *thread, event_fn *run,
              void *arg, uint64_t number);
/* Runs events until `until_us`, or until a failure. */
void world_run(struct world *world, int64_t until_us);
/* Runs at once, in their order, the events of one kind that wait for threads of `node`; they may add others. */
void world_run_letters(struct world *world, const struct node *node, event_fn *run);
void world_done(struct world *world); /* frees the queue */

/* --- chance --- */
uint64_t world_below(struct world *world, uint64_t bound);
int64_t world_between(struct world *world, int64_t least, int64_t most);
bool world_chance(struct world *world, unsigned per_mille);

/* --- the verdict --- */
/* The first failure stands; the run ends with the event that is under way. */
void world_fail(struct world *world, const char *invariant, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
void world_trace(const struct world *world, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
#define TRACE(world, ...) ((world)->plan.trace ? world_trace((world), __VA_ARGS__) : (void)0)

void *sim_alloc(size_t size); /* zeroed; no memory ends the program */

#endif
