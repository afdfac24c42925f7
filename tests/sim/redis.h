/* SPDX-License-Identifier: BSD-3-Clause */
/* redis.h -- a fake Redis: what links, beats and the bus need of Redis 7.0, with its ordering (COHERENCE section 11).
 *
 * It runs in CYCLES, as the real one: all requests that have arrived are executed; a PUBLISH lies in its subscribers'
 * output at once; at the end of the cycle the changed keys are announced, each once, behind that; then the answers go
 * out (F11). In a long cycle some of the answers go out in the middle, in front of the announcements; what arrives behind
 * them is executed in the same cycle. A connection is read once in a cycle. A flush announces nil at once. A key whose
 * time is over is announced when it is deleted, not before (F12).
 *
 * Commands: HELLO, CLIENT ID, CLIENT TRACKING, CLIENT KILL, SUBSCRIBE, SELECT, PING, GET, GETRANGE from 0, STRLEN,
 * PTTL, SET [PX], DEL, and EVAL of
 * the scripts beat, replay and managed, which are recognised and whose meaning is written here once more, in C (of managed:
 * P without a condition). What deletes a managed key puts a negative envelope whose load time is the number of the write;
 * here the key is gone then.
 *
 * Keys are k0..k5 in databases 0 and 3. A value is "v" and the number of the write that made it; a DEL names its number
 * by a second key that never exists ("op7"). Of some writes STRLEN says that they are large, as of what is written anew before
 * it is read. So the oracle knows what ran, when, and in which order.
 *
 * Every change of the master is told to the oracle; a Redis that is not the master any more changes nothing. */
#ifndef TERRACE_TESTS_SIM_REDIS_H
#define TERRACE_TESTS_SIM_REDIS_H

#include "protocol/resp_read.h"
#include "tests/sim/net.h"

enum {
    REDIS_CLIENTS_MAX = 256,
    REDIS_PAST = 256, /* states that are remembered, for snapshots and replicas that lag */
};

struct redis_value {
    uint64_t write;    /* 0: no such key */
    int64_t expire_us; /* 0: never */
    uint64_t version;  /* of a managed value */
    uint64_t fresh_ms;
};

enum {
    REDIS_LOG = 48 /* entries of terrace:log, then the oldest goes */
};

struct redis_logged {
    uint64_t seq;
    uint64_t node;
    uint32_t slots; /* as bits; none: a flush of database 0 */
    bool is_record; /* where an epoch began */
};

struct redis_data {
    struct redis_value slots[SIM_SLOTS];
    bool has_meta;
    bool has_seq;
    uint64_t epoch;
    uint64_t random;
    uint64_t run;
    uint64_t replid;
    uint64_t seq;
    unsigned log_count; /* 0: there is no log */
    struct redis_logged log[REDIS_LOG];
};

/* Why it does not write. */
enum redis_refusal {
    REDIS_WRITES,
    REDIS_READONLY,
    REDIS_NOREPLICAS,
    REDIS_OOM,
};

struct redis_stranger {
    unsigned slot;
    uint64_t write;
    int64_t ttl_us; /* 0: none; -1: DEL */
};

struct redis {
    struct redis *next; /* world's chain */
    struct world *world;
    bool alive;
    bool is_master;
    enum redis_refusal refusal;
    int64_t paused_until_us;
    uint64_t run;
    uint64_t replid;
    uint64_t replid2; /* 0: zeros */
    struct redis_data data;

    struct conn *clients[REDIS_CLIENTS_MAX];
    unsigned client_count;
    bool cycle_planned;
    uint64_t cycle;
    bool in_cycle;        /* in the middle of a long one */
    unsigned long_cycles; /* so many more are long */
    bool changed;         /* in this cycle */
    bool dies_unsaid;     /* at the end of the next cycle that changes a key, with nothing said */
    uint32_t announce;    /* bit per key name */
    /* A stranger's write that hides in the cycle of the next write of its key. */
    struct redis_stranger beside;
    bool has_beside;
    bool dropped;         /* the present message, on its way to one of them */
    unsigned drop_frames; /* so many frames vanish on their way to one subscriber */
    unsigned gaps; /* so many times some subscriber misses everything up to and with a frame */
    unsigned repeat_frames; /* ... come twice */
    unsigned drop_keys;     /* ... announcements */
    unsigned flips;         /* ... messages have a byte changed */
    bool knows_script;      /* managed.lua was loaded */

    struct {
        int64_t at_us;
        struct redis_data data;
    } past[REDIS_PAST];
    uint64_t past_count;
};

struct redis *redis_new(struct world *world); /* a first master, empty */
void redis_wake(struct redis *redis);         /* input has come, or a stranger's work */
void redis_accept(struct redis *redis, struct conn *conn);
void redis_forget(struct redis *redis, struct conn *conn); /* the client's end was closed */
void redis_free_all(struct world *world);

/* --- strangers: they act in a cycle of their own, or beside a write --- */
void redis_stranger_write(struct redis *redis, struct redis_stranger write);
void redis_flush(struct redis *redis,
                 bool all); /* or database 0, through a node, if any key is managed */
void redis_trim(struct redis *redis, unsigned keep); /* the log loses its oldest entries */
void redis_forge(struct redis *redis, const char *channel, struct slice payload);
void redis_expire(struct redis *redis); /* the active expiry */

/* --- life --- */
/* What stood `age_us` ago, or the oldest that is remembered. */
struct redis_data redis_past(const struct redis *redis, int64_t age_us);
/* Dies (connections are cut) and comes back at once as another process with `data`; `gone_us` later it listens. */
struct redis *redis_restart(struct redis *redis, const struct redis_data *data, int64_t gone_us);
/* Another process, a replica of `redis`, becomes the master with `data`. The old one is left as it is. */
struct redis *redis_promote(struct redis *redis, const struct redis_data *data);
void redis_cut_all(struct redis *redis, bool reset);

/* "k3" in a database: its slot, or -1. */
int redis_slot(int db, struct slice key);
int redis_slot_db(unsigned slot); /* 0 or 3 */
/* "k3" as text for a slot. */
struct slice redis_slot_key(unsigned slot);

#endif
