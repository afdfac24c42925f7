/* SPDX-License-Identifier: BSD-3-Clause */
/* node.h -- one whole node: its settings, L1, tiers, workers and control loop. Two can live in one process.
 *
 * Threads: fields without a note are read-only once the node runs. */
#ifndef TERRACE_SERVER_NODE_H
#define TERRACE_SERVER_NODE_H

#include "server/config_names.h"
#include "server/join.h"
#include "server/live.h"
#include "server/module_waits.h"
#include "server/options.h"
#include "server/tls.h"
#include "tiers/base/clock.h"
#include "tiers/base/log.h"
#include "tiers/l2_url.h"
#include "tiers/namespace.h"
#include "tiers/peers.h"

#include <pthread.h>

struct acl;
struct behind;
struct behind_file;
struct channel_index;
struct control;
struct l2_bans;
struct errorstats;
struct hot_desk;
struct join_desk;
struct learned;
struct latency;
struct metrics;
struct pubsub_order;
struct quota_watch;
struct renames;
struct sampler;
struct revive;
struct slowlog;
struct snapshots;
struct solo;
struct sweeps;
struct tiers;
struct tracking;
struct worker;

struct node {
    struct options options; /* under options_lock once the node runs: CONFIG GET, SET, AUTH */
    struct config_kept config_kept; /* under it, too */
    pthread_mutex_t options_lock;
    struct live live;
    struct clock clock;
    struct log log;
    struct tls_place tls;            /* for clients; nothing there: no listener asks for it */
    struct tls_place l2_tls;         /* towards L2; nothing there: no url asks for it */
    struct l2_urls urls;             /* of L2, if there is one */
    struct namespaces *namespaces;   /* what there is changes while all others stand still */
    struct tracking *tracking;       /* what clients keep themselves */
    struct l2_bans *l2_bans;         /* with an L2 */
    struct tiers *tiers;             /* NULL: alone, no L2 */
    struct waits_names waits;        /* commands of L2 that wait though they are not flagged */
    struct solo *solo;               /* NULL: with an L2, which decides what is one step */
    struct behind *behind;           /* writes that L2 does not have yet; NULL: no behind-dir */
    struct behind_file *behind_file; /* their log */
    /* When the log last told what L2 refuses of them (behind_node.c). */
    _Atomic int64_t behind_told_ms;
    struct snapshots *snapshots;    /* NULL: no snapshot-dir */
    struct revive *snapshot_revive; /* what of one is to be read anew; with both, and an L2 */
    struct worker **workers;
    unsigned worker_count;
    struct control *control;
    char run_id[41];                /* 40 hex digits, as Redis */
    uint64_t id;                    /* on the bus */
    char address[PEER_ADDRESS_MAX]; /* where its clients reach it, for the other nodes to show */
    int64_t started_at_ms;
    struct metrics *metrics;     /* the control loop's */
    struct join_desk *join_desk; /* the first worker's; NULL: alone */
    struct join join;            /* how far it is on its way to a full share of the requests */
    struct acl *acl;             /* its users */
    struct renames *renames;     /* NULL: every command has its own name */
    struct slowlog *slowlog;
    struct latency *latency;
    struct errorstats *errorstats;       /* errors by first word */
    struct learned *learned;             /* commands that only L2 knows */
    struct channel_index *channel_index; /* what clients listen to */
    struct pubsub_order *pubsub_order;   /* who publishes waits for who subscribes, with an L2 */
    struct scripts *scripts;             /* that EVALSHA may name, alone */
    struct read_scripts *read_scripts;   /* that write nothing, with an L2 */
    struct quota_watch *quotas;          /* of namespaces: how much is used */
    struct sweeps *sweeps;               /* keys that are being deleted by pattern */
    struct hot_desk *hot;                /* which keys are asked for most */
    struct sampler *sampler;             /* rates, peaks, and where CONFIG RESETSTAT set the zero */
    _Atomic uint64_t next_conn_id;
    _Atomic uint64_t conns_open;
    _Atomic uint64_t tls_open;      /* of these, by TLS */
    _Atomic uint64_t native_open;   /* ... and those that speak frames */
    _Atomic uint64_t conns_blocked; /* blocking.h; and held by CLIENT PAUSE */
    _Atomic size_t bodies;          /* bytes of values on their way into their items (body.h) */
    _Atomic bool failed;            /* node_fail */
};

enum {
    NODE_ERROR_MAX = TLS_ERROR_MAX + 16
};

/* Called on the control thread: on_tick with each of its ticks until the node ends, and may be NULL; the others once each, of a
 * node that was stopped. */
struct node_watcher {
    void (*on_tick)(void *arg, const struct node *node, int64_t now_ms);
    /* The drain has begun, whoever asked for it; drain-delay is a part of it. */
    void (*on_draining)(void *arg, int64_t delay_ms);
    /* The last snapshot is being written, again and again, then once that it is not; may be NULL, too. */
    void (*on_saving)(void *arg, bool saving);
    /* All is said and closed, and only memory is left to give back. That may take for ever: a name that is being looked
     * up cannot be cancelled, and its thread keeps a loop from ending. */
    void (*on_ending)(void *arg, bool failed);
    void (*on_ended)(void *arg);
    void *arg;
};

/* Builds and starts a node; takes `options` over, whatever comes of it. INVALID, NO_MEMORY: `error` says why, nothing
 * runs. */
enum status node_start(struct options *options, const struct node_watcher *watcher,
                       struct node **ret_node, char error[NODE_ERROR_MAX]) MUST_USE;
void node_stop(struct node *node); /* begins the drain; any thread, more than once */
/* The same, because it cannot do its work as it is configured; why is in the log. */
void node_fail(struct node *node);
bool node_failed(const struct node *node);
void node_free(struct node *node); /* after on_ended; waits for the threads */

/* Reads the files of TLS anew, as `options` name them, for connections to come. INVALID, NO_MEMORY: `error` says why, and
 * what was read before stays. Under options_lock. */
enum status node_load_tls(struct node *node, const struct options *options,
                          char error[TLS_ERROR_MAX]) MUST_USE;
/* Applies the LIVE options of `next`, which has the namespaces of now, to the running node (their settings, the log,
 * live). Takes `next` over. Under options_lock, which the caller holds. */
void node_apply(struct node *node, struct options *next);
/* The same for options that may have other namespaces: then it happens a moment later, when all workers stand still, or
 * not at all if there is no memory; the log says which. Takes `next` over. Under options_lock. */
void node_reload(struct node *node, struct options *next);
/* That moment: on the control loop, nobody else looks at the namespaces. Takes `next` over. */
void node_rebuild(struct node *node, struct options *next);
void node_join_rules(const struct node *node, struct join_rules *ret_rules); /* any thread */
/* Whether new work should come here; `reasons` gets one line for each thing that is missing. Any thread. */
bool node_ready(const struct node *node, struct buf *reasons);
/* When the worker that turned the longest ago did so, to the tenth of a second. Any thread. */
int64_t node_turned_at_ms(const struct node *node);
int node_port(const struct node *node);
void node_count_rejected(struct node *node); /* a client beyond maxclients; control loop */

#endif
