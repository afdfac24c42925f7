/* SPDX-License-Identifier: BSD-3-Clause */
/* lease.h -- who in the cluster loads a managed key: what a node says to scripts/lease.lua, and what it hears.
 *
 * A lease is a record in Redis beside the key, with a time to live. Who asks for one when there is none has WON it, and
 * gets a TOKEN and a SEQ; all others are told how long it stands (BUSY). Each numbered write of the key deletes it
 * (scripts/managed.lua), and a value is filled in only while the lease stands with its token. So what was loaded before a
 * write or an invalidation never overwrites what came later (memcache's leases, NSDI 2013).
 *
 *      none --WIN--> token:seq --filled in, written, invalidated, END--> none
 *                       |  ^--RENEW
 *                       +--END '!'--> failed: nobody loads for a while (FAILED)    } they remember how often, for the next
 *                       +--END '-'--> idle: nobody who asks fills it in (IDLE)     } time to be longer
 *                       +--not renewed--> none
 *
 * SEQ is the version of what will be filled in: the value contains all that was invalidated up to it. It is taken for
 * this, so that versions of a key never come again; a W frame without keys tells it to those who count.
 * WIN says which version the asker saw in L2. If another one stands by then the answer is AGAIN: somebody filled it in.
 * END publishes a W frame, so that who waits asks at once; a lease that is not renewed ends in silence.
 *
 * Threads: pure.
 * Units:   milliseconds.
 * Errors:  L2_ERROR is Redis' own text; EPOCH: the records in Redis are not of the epoch that the node knows, and nothing
 *          was done. */
#ifndef TERRACE_TIERS_LEASE_H
#define TERRACE_TIERS_LEASE_H

#include "protocol/frame.h"
#include "tiers/l1.h"

enum {
    LEASE_TOKEN_SIZE = 16,     /* letters and digits; no terminator */
    LEASE_TOKEN_OWN_SIZE = 14, /* of these, what the asker chose; then the count of failures */
    LEASE_LIFE_MS = 3000,
    LEASE_ERROR_MAX = 160
};

extern const char lease_script[];

enum lease_verb {
    LEASE_WIN,
    LEASE_RENEW,
    LEASE_END
};

/* What an END leaves behind. */
enum lease_mark {
    LEASE_FREE,
    LEASE_MARK_FAILED,
    LEASE_MARK_IDLE
};

struct lease_request {
    enum lease_verb verb;
    unsigned coherence_db;
    struct epoch epoch; /* that must stand */
    uint64_t node;
    uint64_t nonce;
    const struct l1_key *key;
    char token[LEASE_TOKEN_SIZE]; /* WIN: its first LEASE_TOKEN_OWN_SIZE */
    int64_t life_ms;              /* WIN, RENEW */
    bool seen_any;                /* WIN: whatever version stands; or `seen` */
    uint64_t seen;                /* the version in L2; 0: nothing, or no envelope */
    bool heeds_idle;              /* WIN: the mark IDLE is a reason to say no; FAILED always is */
    enum lease_mark mark;         /* END; with it: */
    int64_t mark_ms;              /* says no for so long */
    int64_t count_ms;             /* and remembers the failures for so long after that */
};

enum lease_answer_kind {
    LEASE_WON,
    LEASE_BUSY,
    LEASE_FAILED,
    LEASE_IDLE,
    LEASE_AGAIN,
    LEASE_DONE,
    LEASE_LOST,
    LEASE_EPOCH
};

struct lease_answer {
    enum lease_answer_kind kind;
    char token[LEASE_TOKEN_SIZE]; /* WON */
    uint64_t seq;                 /* WON */
    int64_t ms;                   /* BUSY, FAILED, IDLE: how long yet */
};

/* A token's own part. `has_spare`: there is something stale to be served if the load fails; the token says so to whoever
 * is told of the failure. */
void lease_token_make(char token[LEASE_TOKEN_SIZE], uint64_t random, bool has_spare);
/* Sixteen letters and digits; whether a lease has it only Redis knows. */
bool lease_is_token(struct slice text);
bool lease_has_spare(const char token[LEASE_TOKEN_SIZE]);
/* How often loads of the key failed in a row, or were not filled in, before this one. */
unsigned lease_failures(const char token[LEASE_TOKEN_SIZE]);
/* Appends the request. NO_MEMORY, TOO_BIG: the key fits in no frame. */
enum status lease_write(struct buf *out, const struct lease_request *request) MUST_USE;
/* A reply of the script. MALFORMED; L2_ERROR with its text. */
enum status lease_read(struct slice reply, struct lease_answer *ret_answer,
                       char error[LEASE_ERROR_MAX]) MUST_USE;

#endif
