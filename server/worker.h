/* SPDX-License-Identifier: BSD-3-Clause */
/* worker.h -- one loop that serves clients.
 *
 * Each turn of the loop goes through the same stages, whatever is ready (PERFORMANCE, "stage the loop"):
 *
 *      poll     every readable connection: conn_on_read parses its requests into the BATCH and prefetches their keys
 *               (bytes of a large value go into its item: body.h);
 *               every readable link: replies land, answers are written
 *      check    the clock is read once; the batch is executed in each connection's order; links, then connections are
 *               flushed: one write each, of LIMIT_SEND bytes or a larger part of LIMIT_SEND_TURN; what is left follows
 *               in the next turn, or, of what the socket did not take, when it is writable
 *
 * A batch that is full is executed early, then reading goes on.
 *
 * Owns:    its connections, answers, links, read memory, chunks.
 * Threads: its own; others post to `mailbox`. `load` and metrics may be read by any. */
#ifndef TERRACE_SERVER_WORKER_H
#define TERRACE_SERVER_WORKER_H

#include "server/barrier.h"
#include "server/busy.h"
#include "server/channels.h"
#include "server/client_memory.h"
#include "server/conn.h"
#include "server/load_desk.h"
#include "server/mailbox.h"
#include "server/module_waits.h"
#include "server/monitor.h"
#include "server/sweep.h"
#include "server/tracking_client.h"
#include "server/turns.h"
#include "tiers/base/metrics.h"
#include "tiers/base/rand.h"
#include "tiers/base/spares.h"
#include "tiers/hot.h"
#include "tiers/namespace.h"

enum {
    BATCH_REQUESTS = 256,
    BATCH_ARGS = 2048,
    READ_MEMORY = 1024 * 1024
};

struct request {
    struct conn *conn;
    const struct command *command; /* NULL: not built in */
    const struct slice *argv;      /* in batch.args, or `owned` */
    struct slice *owned;           /* more arguments than the batch holds; freed when executed */
    uint32_t argc;                 /* 0: an empty request, stepped over */
    struct slice raw;              /* where it lies in the connection's region */
    struct item *body;             /* as in struct call; its connection's */
    struct native_ticket *native;  /* it came in a frame (native.h); or NULL */
    bool has_body;                 /* its value is not in `raw`, but there, or has gone on to L2 */
    bool is_inline;
    bool is_renamed; /* argv[0] is the command's own name, not the client's word (renames.h) */
    bool is_hidden;  /* of a command that has no such name any more */
    uint64_t hash;
    struct namespace *home;           /* of its first key; NULL: it has none */
    const struct l1_bucket *bucket;   /* of that key, being loaded */
    struct command_counters *untimed; /* set by dispatch: gets its share of the batch's time */
};

struct batch {
    unsigned count;
    unsigned arg_count;
    struct request requests[BATCH_REQUESTS];
    struct slice args[BATCH_ARGS];
};

/* Copies of node->live.limits, and what is made of them. */
struct worker_limits {
    unsigned version;
    size_t look; /* with less output, a connection is surely within its limits */
    size_t hard[2];
    size_t soft[2];
    size_t low[2];
    int64_t soft_ms[2];
    size_t query;
};

struct acl_table;
struct command_counters;
struct native_desk;
struct tiers_confirm;
struct tiers_window;
struct warm_desk;
struct warm_engine;

struct worker {
    struct node *node;
    unsigned index;
    uv_loop_t loop;
    uv_check_t check;
    uv_prepare_t prepare;
    uv_timer_t timer; /* 100 ms: deadlines, idle clients, sweeps of its share */
    struct mailbox mailbox;
    struct letter behind_letter;
    _Atomic bool behind_posted; /* it is on its way */
    uv_thread_t thread;
    bool started;
    bool joined;
    struct list conns;
    struct map conns_by_id;
    const struct acl_table *users; /* of now, or of the last batch (auth.h) */
    struct list dirty;
    struct list unsent; /* have had their share of this turn: dirty in the next */
    struct list taken;
    struct list woken;
    struct list steps;  /* steps.h */
    struct list leases; /* leases.h: of all its connections, the oldest first */
    unsigned lease_count;
    uv_idle_t
        idle; /* runs while somebody is woken or unsent, or a step waits, so that the loop does not sleep */
    struct request_reader reader; /* for requests that arrive whole */
    struct batch batch;
    char *read_memory;
    size_t read_used;
    struct worker_limits limits;
    struct client_desk clients; /* client_memory.h */
    struct out_pool pool;
    struct spares spares;      /* of what waits: answers, readers, relays, flights */
    _Atomic size_t held_bytes; /* of pool, after the last turn; read by any */
    struct rand rand;
    int64_t now_ms;    /* of the batch that runs */
    uint64_t timed_ns; /* of the batch: taken by calls that were timed by themselves */
    const struct conn
        *plain; /* of the batch: of whom dispatch.c has found its calls plain; or NULL */
    struct tiers_window *window; /* NULL: alone */
    struct metrics *metrics;
    struct command_counters *counters; /* by command index */
    _Atomic unsigned load;             /* connections */
    _Atomic int64_t turned_at_ms;      /* its last tick, for who watches whether it hangs */
    unsigned handshakes;               /* of TLS, under way */
    unsigned handshake_steps;          /* of this turn */
    bool draining;
    bool paused; /* some connection is held by CLIENT PAUSE */
    int64_t drain_until_ms;
    struct l2_roof *roof; /* sockets of its links; NULL: alone */
    struct barrier_desk barrier;
    struct busy_watch busy;
    struct waits_desk waits;
    struct load_desk loads;
    struct hot hot; /* which keys its clients read */
    struct monitor_desk monitor;
    struct channels channels; /* who of its clients listens to what */
    struct tracking_desk tracking;
    struct native_desk *native; /* NULL: no connection was native so far */
    struct sweep_desk sweeps;
    struct warm_engine *warm;    /* warm_run.h: the first worker's, with an L2; else NULL */
    struct warm_desk *warm_desk; /* warm_desk.h: the same one's, with an L2 or without */
    unsigned turn_requests;      /* executed in this turn */
    struct turns turns;
    struct list confirms;        /* of this turn, or that found CONFIRM_WAITS_MAX under way */
    int64_t confirm_deadline_ms; /* the latest of theirs */
    unsigned confirm_waits;      /* under way */
    struct buf scratch;          /* of one step of one call: nobody finds there what he left */
    struct reply aside;          /* an answer made now that must wait for its turn */
    struct reply sink;           /* answers nobody wants (CLIENT REPLY OFF) */
    unsigned ticks;
    char copy[LIMIT_COPY]; /* where l1_get copies small values to */
};

enum status worker_new(struct node *node, unsigned index, struct worker **ret_worker) MUST_USE;
void worker_start(struct worker *worker); /* its thread begins; all workers exist by then */
/* Takes a client's socket over; closes it if it cannot. `tls`: the client speaks TLS. Any thread. */
void worker_post_conn(struct worker *worker, int fd, bool tls);
/* Closes its links to any process but `run`; on its loop, as the following. */
void worker_retarget(struct worker *worker, uint64_t run);
/* The three steps of ending, each on the worker's loop (control.c's rounds): close idle clients and, by the deadline,
 * all; end the links; leave the loop. */
void worker_drain(struct worker *worker, int64_t until_ms);
void worker_end_links(struct worker *worker);
void worker_leave(struct worker *worker);
/* Waits for its thread, if it ever ran. Of all workers before the first is freed: they look at each other. NULL is fine. */
void worker_join(struct worker *worker);
void worker_free(struct worker *worker); /* after worker_join of all; NULL is fine */

/* For what runs outside of a batch, and in front of it. */
void worker_read_clock(struct worker *worker);

/* Alone: a client reads the key. With an L2 the window is told by itself. */
static inline void worker_note_read(struct worker *worker, const struct ns_key *key)
{
    hot_note(&worker->hot, key->at.hash, key->at.db, key->at.bytes);
}

/* Before the namespaces may change: nothing in its hands knows them any more (standstill.h). */
void worker_stand_still(struct worker *worker);

/* Something has happened to write-behind (tiers/behind.h): its window is to look. Any thread. */
void worker_turn_behind(struct worker *worker);

/* Executes what is in the batch now; nothing is settled, read memory stays as it is. */
void worker_execute(struct worker *worker);
/* The same, then settles every connection that was read and starts on fresh read memory. */
void worker_run_batch(struct worker *worker);
/* Its loop does not sleep before the next turn. */
void worker_stay_awake(struct worker *worker);
void worker_mark_dirty(struct worker *worker, struct conn *conn);
void worker_mark_woken(struct worker *worker, struct conn *conn);
/* Answers hold more of L1's memory than this worker's part of LIMIT_HELD_SHARE. */
bool worker_is_pressed(const struct worker *worker);
void worker_mark_unsent(struct worker *worker, struct conn *conn);

/* The node's limits of connections as they are now; the second only looks whether they changed. */
void worker_take_limits(struct worker *worker);
void worker_follow_limits(struct worker *worker);

/* worker_confirm.c. `arg`: its l2_roof. on_confirmed comes with OK, when all nodes are rid of what is older, or with why not. */
enum status worker_confirm(void *arg, struct tiers_confirm *confirm, int64_t deadline_ms) MUST_USE;
/* All who came since the last call begin to wait, together. */
void worker_send_confirms(struct worker *worker);

#endif
