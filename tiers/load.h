/* SPDX-License-Identifier: BSD-3-Clause */
/* load.h -- one load in the cluster for all who want a managed key.
 *
 * load_get answers from L1 what is fresh there. Otherwise L2 is asked, by one flight for all who ask (tiers.h); what it has
 * and is fresh ends the matter. Else the value must come from where the application has it, and one of those who ask is to
 * load it, whichever node it is at: the one who wins the LEASE (lease.h). A window keeps one LOAD per key:
 *
 *      load_get -> L1 -> L2 -> not fresh
 *                               |
 *                               v      WON: one gets LOAD and a token      filled, failed, lost, too slow, gone
 *                            LEASING ------------> HELD ----------------------------+
 *                               |                                                   v
 *                               +---------------> WAITING ------------------> all ask again, from the top
 *                                  BUSY: another loads    a frame of the bus names the key, or its time is over
 *
 * Who may be served what is stale is not kept waiting: of those who find a stale value the first asks for the lease, and
 * if he wins it he is to load; all others get STALE at once. (What is EAGER is fresh, and loaded anew the same way.) SPARE
 * values are waited for, up to the soft budget. Who has nothing to be served waits up to the hard budget.
 *
 * AGAIN, from the lease: L2 has another version than the one that was found not to be fresh. Somebody was faster; all ask
 * again. So a refresh never goes to the origin when another node has been there.
 *
 * THE LOADER has the token until load-timeout. As long as its client is there the window renews the lease each second;
 * when it leaves, load_release hands it on at once: END publishes a frame, and whoever waits, on any node, asks again. A
 * node that dies renews nothing, and its leases run out (LEASE_LIFE_MS). A window renews about 5,000 in a second, in turn:
 * of more than that each is renewed more seldom, and of more than about 12,000 those that are not reached in time are given
 * up, and run out.
 *      It fills in by a managed_write with MANAGED_IF_LEASE, or fails (load_fail). After a failure who waits gets what
 * is stale, else FAILED; and where something stale exists nobody loads for a second, after the next failure for two, up to
 * THROTTLE_MAX_MS: longer and shorter by a quarter, so that keys do not fail in step. Without anything stale the next who
 * asks may load.
 *
 * PLAIN clients say GET and SET and know no tokens: one of them gets nil, and its connection remembers the token. One that
 * only asks and never fills in would make all others wait. So: when its time is over the key is IDLE for negative-ttl,
 * twice as long the next time, up to a minute, and GETs get nil at once; and once somebody has waited for a plain loader
 * in vain, the others of that worker do not wait for it.
 *
 *      And one that waits for several keys at once (MGET, a pipeline) and is to load one of them may be who another one
 * waits for, who is to load the other. So who holds a lease is hurried: then it gets nil for the others, and loads them, too.
 *
 * Owns:    loads, waits, a reference to each value that a wait could be served.
 * Threads: the window's.
 * Units:   milliseconds of clock.h. Budgets count from load_get; they are kept to LOAD_GRAIN_MS.
 * Limits:  LIMIT_LOAD_WAITS and LIMIT_LOADS per window: beyond, nobody waits (BUSY, or MISSED for plain clients).
 * Errors:  those of tiers_get; STALE also: it is not known what was invalidated. BUSY: a budget is used up, or too many wait.
 *          L2_ERROR also: Redis takes no lease (it has no memory left, or may not be written). Then nobody is to load, and
 *          plain clients get what Redis itself would say: there is nothing (MISSED). */
#ifndef TERRACE_TIERS_LOAD_H
#define TERRACE_TIERS_LOAD_H

#include "tiers/lease.h"
#include "tiers/managed.h"
#include "tiers/tiers.h"

enum {
    LOAD_GRAIN_MS = 5,
    THROTTLE_MIN_MS = 1000,
    THROTTLE_MAX_MS = 30000,
    LOAD_COUNT_MS = 60000 /* failures are remembered for so long after a throttle */
};
#define LOAD_BUDGET_NONE (-1) /* as the namespace says */

enum load_outcome {
    LOAD_HIT,      /* fresh */
    LOAD_STALE,    /* not fresh, or older than the namespace promises, and may be served */
    LOAD_NEGATIVE, /* there is no such thing, says a load of late */
    LOAD_WON,      /* load it, and fill in with the token; what is stale comes with it */
    LOAD_MISSED,   /* nothing, and nothing is loaded for this asker */
    LOAD_FAILED    /* nothing, and the load has failed */
};

struct load_result {
    enum load_outcome outcome;
    bool has_value;             /* HIT, STALE; WON: there is something stale */
    bool is_suspect;            /* of the value: what changed it may have been missed */
    struct managed_value value; /* borrowed for the call */
    enum ban_verdict bans;      /* of the value: its fresh life may be over by it */
    struct item *item;          /* that holds it; NULL: it lies in the asker's `copy` */
    char token[LEASE_TOKEN_SIZE];
    const struct l1_key *key; /* of WON, and whatever comes by on_loaded; borrowed */
    struct slice error;       /* of L2_ERROR */
};

/* The GATE of several keys that one asks for at once. Of those that are to be loaded the first, in the order of their bytes,
 * asks for its lease alone, and the others when it has been told: so of two who come together for the same keys one gets to
 * load them all, and the other waits for him without holding a lease that the first one waits for.
 *
 * Owns:    nothing. It lives as long as somebody waits with it (load_ask). */
struct load_gate {
    unsigned coming; /* waits whose value L2 is asked for */
    bool begun;
    bool is_open;
    struct list parked;
    const struct load_wait *ahead; /* NULL: nobody so far */
};
void load_gate_close(struct load_gate *gate); /* before the first of them is asked for */
void load_gate_begin(struct load_gate *gate); /* all were asked for */

/* What somebody wants, and who is told. */
struct load_ask {
    /* Exactly once after PENDING. OK with a result; else why not: the result has only an error's text. WON: the asker must
     * see to the lease: fill, fail, or release it at once if its client is gone. */
    void (*on_loaded)(void *arg, enum status status, const struct load_result *result);
    void *arg;
    /* Contract.h: how old. Of what is stale in itself: FRESH nothing, MAXSTALE as long, ANY all. */
    struct wish wish;
    bool has_wish;
    bool no_load;     /* what there is, at once */
    bool plain;       /* knows no tokens */
    bool takes_large; /* all but a value that L1 does not keep is enough (MANAGED_LARGE) */
    /* Plain: it holds a lease already, so it waits for others no longer than its soft budget. */
    bool hurried;
    uint64_t group;         /* its connection, for load_hurry */
    struct load_gate *gate; /* NULL: none */
    bool has_token;
    char token[LEASE_TOKEN_SIZE]; /* of the same key, that the asker's connection holds already */
    int64_t soft_ms;
    int64_t hard_ms;
};

struct load_wait;

/* OK: `ret` holds it; `value` is l1_get's, whose item is the caller's to release. PENDING: on_loaded follows, never from
 * inside; *ret_wait is for load_tell_to, in the same turn. What ends the wait may come by anybody's link. The key's namespace
 * must be managed. */
enum status load_get(struct tiers_window *window, const struct ns_key *key,
                     const struct load_ask *ask, struct l1_value *value, struct load_result *ret,
                     struct load_wait **ret_wait) MUST_USE;
void load_tell_to(struct load_wait *wait, void *arg); /* in place of ask.arg */
/* All that the group waits for, it waits for no longer than its soft budget from now on. */
void load_hurry(struct tiers_window *window, uint64_t group);

/* A token was used in a managed_write, which has been done; or it was refused, for the lease was lost. */
void load_filled(struct tiers_window *window, const struct l1_key *key,
                 const char token[LEASE_TOKEN_SIZE], bool is_lost);
/* The load came to nothing. NULL: that cannot be said now. Else on_ended follows, never from inside: OK, MISS (the lease was
 * lost), or as a read, with Redis' text; load_fail_tells, in the same turn, says to whom. */
struct lease_call;
typedef void load_ended_fn(void *arg, enum status status, struct slice key, struct slice error);
struct lease_call *load_fail(struct tiers_window *window, const struct ns_key *key,
                             const char token[LEASE_TOKEN_SIZE], load_ended_fn *on_ended);
void load_fail_tells(struct lease_call *call, void *arg);
/* Whoever holds the token will not load: its client is gone. */
void load_release(struct tiers_window *window, const struct l1_key *key,
                  const char token[LEASE_TOKEN_SIZE]);

/* A frame of the bus names the key, or this window has written it. */
void load_on_wake(struct tiers_window *window, const struct l1_key *key);

/* When load_tick has something to do; INT64_MAX: nothing. */
int64_t load_due_ms(const struct tiers_window *window);
/* After tiers_window_begin. */
void load_tick(struct tiers_window *window);

/* For the window. When its links have ended; nobody who waits is told any more after load_end. */
struct loads;
void load_end(struct tiers_window *window);
void load_free(struct loads *loads);

#endif
