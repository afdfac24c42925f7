/* SPDX-License-Identifier: BSD-3-Clause */
/* tracking.h -- CLIENT TRACKING: clients that keep values themselves are told when these are no longer right.
 *
 *      worker 1 (client 12):  GET k:  the table says 12 has k | k is looked up | reply
 *      any thread:            k changed in L1 ............... | 12 leaves the table ~> news for worker 1
 *      worker 1:              >2 invalidate [k], behind all replies that client 12 still waits for
 *
 * None is lost, since a client is put into the table BEFORE the value is looked up, and L1 forgets the old value BEFORE the
 * table is asked who had it: either the lookup comes after the change and finds no old value, or the change comes after the
 * entry and finds the client. What the client is told stands behind the reply that may carry the old value (push.h).
 *      The same of a doubt, when any key may have changed: the floor rises first, then all are told to drop everything.
 * A lookup goes by a proof (contract.h) that is taken after the client was put into the table, not by that of its batch.
 *
 * WHERE CHANGES COME FROM. Alone: from L1, where all of them happen, expiry and eviction too. With an L2: from what Redis
 * announces, whoever wrote, and from a write of this node's when it is answered; and, since nobody is told while the bus
 * cannot be trusted, everybody is told to drop everything: at a doubt, and while the horizon is older than T every quarter of
 * T (control_l2.c). A read that began before a doubt is not joined behind it (tiers_window_tracks).
 *      So what a client keeps is at most T behind while the bus is heard, and one and a quarter T otherwise; plus a tick of
 * the control loop (25 ms), and the way to the client.
 *
 * NEWS is for the clients of one worker, and waits in its inbox; the first one sends the letter. A client that redirects has
 * its news sent on, by its own worker to that of the other.
 *
 * Owns:    the table, the inboxes.
 * Threads: any, but for what tracking_client.h has.
 * Limits:  keys by tracking-table-max-keys (tracking_client.h); the news of a worker LIMIT_TRACKING_NEWS: what would be more
 *          becomes "drop everything", for all. */
#ifndef TERRACE_SERVER_TRACKING_H
#define TERRACE_SERVER_TRACKING_H

#include "server/mailbox.h"
#include "server/tracking_table.h"
#include "tiers/base/map.h"
#include "tiers/l1.h"

#include <pthread.h>
#include <stdatomic.h>

struct node;
struct worker;

enum news_kind {
    NEWS_KEY,       /* `bytes` changed, which `client` has read */
    NEWS_BROADCAST, /* `bytes` changed: for whoever listens to a prefix of it */
    NEWS_FLUSH,     /* all who track: drop everything */
    NEWS_PASSED_ON, /* `bytes`, as RESP, for `client`, to which `other` redirects */
    NEWS_BROKEN,    /* `client` redirects to one that is gone */
};

struct news {
    enum news_kind kind;
    uint64_t client;    /* its number */
    uint64_t other;     /* who changed the key, 0: nobody on this node; or who redirects */
    unsigned to_worker; /* PASSED_ON: the worker of `other`, for BROKEN */
    struct slice bytes;
};

struct tracking_inbox {
    struct letter letter; /* first */
    pthread_mutex_t lock;
    bool posted; /* under the lock, as the next two */
    bool lost;   /* there was too much */
    struct buf news;
    _Atomic bool waiting;          /* something is in it */
    _Atomic unsigned clients;      /* of this worker, that track */
    _Atomic unsigned broadcasters; /* of these, in mode BCAST */
};

struct tracking {
    struct node *node;
    struct tracking_table *table;
    _Atomic unsigned clients;    /* that track */
    pthread_key_t worker;        /* whose loop runs on this thread; NULL: none's */
    struct l1_listener listener; /* alone */
    pthread_mutex_t lock;
    struct map prefixes; /* under it, as the next; of all clients in mode BCAST */
    size_t listened;     /* bytes that these take */
    unsigned inbox_count;
    struct tracking_inbox *inboxes; /* of each worker */
    _Atomic uint64_t sent;          /* keys of writes, so far */
    struct buf announced; /* the control loop's: broadcasts of the message that is being applied, */
    struct buf rows;      /* and the rows that it ends, as pointers */
    /* And how many rows it has looked at for bans since then (tracking_bans.c). */
    int64_t looks_since_ms;
    size_t looks;
    bool applying; /* a message is being applied, and has the next: */
    pthread_mutex_t
        order; /* who tells of several keys, so that two who do not take turns at the same ones */
};

struct tracking *tracking_new(struct node *node, unsigned workers); /* NULL: no memory */
void tracking_free(struct tracking *tracking);                      /* NULL is fine */

/* The one look that changes cost while nobody tracks. */
static inline bool tracking_is_wanted(const struct tracking *tracking)
{
    return atomic_load_explicit(&tracking->clients, memory_order_acquire) > 0;
}

/* A key has changed, and L1 does not serve the old value any more. `hash` is namespaces_hash. `writer`: the client that
 * changed it, 0 if that is not known: one that said NOLOOP is not told of its own. */
void tracking_changed(struct tracking *tracking, struct slice key, uint64_t hash, uint64_t writer);
/* The same of a write of this node's that L2 has answered; its announcement is still to come, and tells those who listen to
 * prefixes. */
void tracking_written(struct tracking *tracking, struct slice key, uint64_t hash);
/* Around it. False: an announcement is being applied; what was written is told with its own. */
bool tracking_begin_written(struct tracking *tracking);
void tracking_end_written(struct tracking *tracking);
/* A write of this node's is sent: if its keys are announced in one message, which has them by their bytes, they are told
 * in this order all the same, as Redis tells them. */
void tracking_sent(struct tracking *tracking, struct slice key, uint64_t hash);
/* The same for the control loop: what one message says is told at its end. */
void tracking_announced(struct tracking *tracking, struct slice key, uint64_t hash);
void tracking_announced_all(struct tracking *tracking);
/* Bans of managed values, as entries of a frame, which the table of bans has by now (tracking_bans.c). The control loop. */
void tracking_banned(struct tracking *tracking, struct slice entries);
/* Any key may have changed: FLUSHALL, or nobody knows. */
void tracking_flush(struct tracking *tracking);
/* The same, but nobody hears of it when nobody can have kept anything. */
void tracking_doubt(struct tracking *tracking);
/* While there are more than `most` rows, some leave, and their clients are told: `effort` at most. False: still more. */
bool tracking_limit(struct tracking *tracking, size_t most, uint64_t noise, unsigned effort);

/* What the nodes write themselves is no news to anybody. */
bool tracking_is_own(struct slice key);

/* Clients as the table knows them: the worker is in their number. */
uint64_t tracking_name(unsigned worker, uint64_t client);

/* On the thread of a worker, before anything else here. */
void tracking_on_worker(struct tracking *tracking, struct worker *worker);

/* For tracking_bans.c: somebody listens to prefixes; and all who have read keys that fit are told. false: no memory. */
bool tracking_broadcasts(const struct tracking *tracking);
bool tracking_tell_fitting(struct tracking *tracking, bool (*fits)(void *arg, struct slice key),
                           void *arg);

/* For tracking_client.c and what belongs to it: */
void tracking_tell(struct tracking *tracking, unsigned worker, const struct news *news);
/* Everything in the inbox of a worker, in order, taken over; *ret_lost: there was more. */
void tracking_take_news(struct tracking *tracking, unsigned worker, struct buf *ret_news,
                        bool *ret_lost);
bool tracking_has_news(const struct tracking *tracking, unsigned worker);
/* The next news sends a letter again. */
void tracking_letter_came(struct tracking *tracking, unsigned worker);
enum status tracking_append_news(struct buf *to, const struct news *news) MUST_USE;
/* One after the other; false: no more. */
bool tracking_next_news(struct slice *rest, struct news *ret_news);
void tracking_count(struct tracking *tracking, unsigned worker, bool broadcasts, int more);
/* A prefix more or less, of some client. NO_MEMORY; BUSY: clients listen to as many as they may. */
enum status tracking_use_prefix(struct tracking *tracking, struct slice prefix) MUST_USE;
void tracking_drop_prefix(struct tracking *tracking, struct slice prefix);
size_t tracking_prefixes(struct tracking *tracking); /* different ones */

#endif
