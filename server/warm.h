/* SPDX-License-Identifier: BSD-3-Clause */
/* warm.h -- warm jobs of the cluster, as commands, HTTP, the native protocol and standing jobs ask for them.
 *
 * A JOB names keys by a SOURCE, and says which nodes shall have them, how fast, and how urgent it is. The queue is in L2
 * (terrace:warm:* of coherence-db; tiers/scripts/warm.lua is the only hand on it), so every node sees every job, and a job
 * outlives the node it was submitted at. Each node's desk (warm_desk.h), on the first worker's loop, works on what is there.
 *
 *      any loop: warm_ask -> first worker: the desk -> L2 ~> the desk ~> on_answer on the asker's loop
 *
 * Threads: warm_ask any loop that has a mailbox; on_answer on that loop.
 * Units:   milliseconds of Redis' wall clock; bytes of keys and values.
 * Limits:  all below, and -BUSY with the reason beyond them.
 * Errors:  `error` has its prefix: ERR (what was asked is wrong), BUSY (no room now), L2DOWN, UNKNOWN (a SUBMIT that may
 *          or may not have happened), OOM. */
#ifndef TERRACE_SERVER_WARM_H
#define TERRACE_SERVER_WARM_H

#include "protocol/bytes.h"
#include "server/mailbox.h"
#include "tiers/prefetch_mode.h"

struct node;

enum {
    WARM_CHUNK_KEYS =
        256, /* keys of a chunk at most: what is leased, and done again when a node dies */
    WARM_PRIORITY_MAX = 9,
    WARM_PRIORITY_DEFAULT = 4,
    WARM_FAILURES_MAX = 100, /* keys of a job whose failure is told one by one */
    WARM_WHY_MAX = 128,
    WARM_ERROR_MAX = 256,
    WARM_SOURCE_TEXT_MAX = 96, /* of what LIST shows: "pattern w:*" */
    WARM_NODE_ID_MAX = 17,
    WARM_ADDRESS_MAX = 64
};
#define WARM_RATE_MAX     UINT64_C(1000000000)
#define WARM_N_MAX        UINT64_C(1000000)           /* of sources hot, zset, log */
#define WARM_KEYS_MAX     UINT64_C(100000)            /* listed in the job itself */
#define WARM_JSON_MAX     (8u << 20)                  /* bytes of a job's JSON */
#define WARM_JOBS_MAX     1000                        /* not ended, of the cluster */
#define WARM_QUEUE_BYTES  (UINT64_C(64) << 20)        /* of JSON and chunks; and a chunk each */
#define WARM_DEADLINE_MAX (UINT64_C(366) * 24 * 3600) /* s */

enum warm_verb {
    WARM_SUBMIT,
    WARM_REGISTER,
    WARM_PUT, /* what the job itself says: the desk makes it one of the two above */
    WARM_LIST,
    WARM_STATUS,
    WARM_PAUSE,
    WARM_RESUME,
    WARM_CANCEL,
    WARM_SETRATE
};
enum warm_state {
    WARM_QUEUED, /* no key was looked at yet */
    WARM_RUNNING,
    WARM_PAUSED,
    WARM_DONE, /* and from here on it has ended */
    WARM_FAILED,
    WARM_CANCELLED,
    WARM_STANDING /* registered: it submits others when their time has come */
};
enum warm_source {
    WARM_KEYS,     /* listed in the job */
    WARM_FILE,     /* a key per line of a file in warm-dir of the node that was asked */
    WARM_SET,      /* members of a set in L2 */
    WARM_ZSET,     /* the n members of a sorted set with the highest scores */
    WARM_PATTERN,  /* SCAN of L2 */
    WARM_TAG,      /* managed values with a tag */
    WARM_HOT,      /* what all nodes ask for most */
    WARM_SNAPSHOT, /* keys of a snapshot in snapshot-dir of the node that was asked */
    WARM_LOG       /* the n keys that an access log in warm-dir names most */
};
enum warm_target {
    WARM_ALL,  /* every node loads every key */
    WARM_SELF, /* the node that was asked */
    WARM_L2    /* nothing is loaded: L2 is told that they are used (TOUCH), by any one node */
};

const char *warm_state_name(enum warm_state state);
const char *warm_target_name(enum warm_target target);
const char *warm_mode_name(enum prefetch_mode mode);
/* By those names; false: none of them. */
bool warm_state_read(struct slice name, enum warm_state *ret_state);

/* What was submitted. Owns its text and keys; all zeros is an empty one. */
struct warm_job {
    enum warm_source source;
    /* Pattern, tag, key of a set, name of a file, of a snapshot ("": the newest); NUL behind text_size bytes. */
    char *text;
    size_t text_size;
    uint64_t n;      /* of zset, hot, log; of others 0 */
    struct buf keys; /* of WARM_KEYS: u32 little endian size, bytes; key_count times */
    size_t key_count;
    uint8_t db;
    int priority;       /* 0..9, 9 first */
    uint64_t rate;      /* keys/s over all nodes; 0: as fast as warm-rate of the nodes lets it */
    uint64_t byte_rate; /* bytes/s over all nodes; 0: no limit */
    enum prefetch_mode mode;
    enum warm_target target;
    int64_t deadline_s;        /* after it was submitted; 0: none */
    bool dry;                  /* looks what it would do */
    char *schedule;            /* tiers/warm_schedule.h; or NULL */
    int before_expiry_percent; /* with source hot; 0: none */
};
void warm_job_done(struct warm_job *job); /* frees what it owns; it is empty again */

struct warm_failure {
    struct slice key;
    char why[WARM_WHY_MAX];
    unsigned attempts;
};
struct warm_node_status {
    char node[WARM_NODE_ID_MAX]; /* 16 hex digits, as CACHE.NODES has them */
    char address[WARM_ADDRESS_MAX];
    uint64_t processed; /* loaded + skipped + absent + failed */
    uint64_t loaded;
    uint64_t skipped;
    uint64_t absent;
    uint64_t failed;
    uint64_t bytes;
    double rate;  /* keys/s, of its last chunks */
    double yield; /* factor by which it holds back for clients, 1: not at all */
};
/* Over all nodes that take part: each key counts once for each of them. */
struct warm_status {
    uint64_t id;
    enum warm_state state;
    char source[WARM_SOURCE_TEXT_MAX];
    uint8_t db;
    enum prefetch_mode mode;
    enum warm_target target;
    bool dry;
    int priority;
    int effective;       /* with what waiting has earned it */
    uint64_t rate_limit; /* keys/s over all nodes; 0: none */
    uint64_t total;      /* UINT64_MAX while the source has not told all */
    uint64_t processed;
    uint64_t loaded;
    uint64_t skipped;
    uint64_t absent;
    uint64_t failed;
    uint64_t bytes;
    double rate;
    int64_t eta_ms;          /* -1: not known */
    int64_t submitted_at_ms; /* 0: not yet, as the following */
    int64_t started_at_ms;
    int64_t ended_at_ms;
    int64_t deadline_at_ms;
    char error[WARM_ERROR_MAX]; /* why it failed; or "" */
    const struct warm_failure *failures;
    size_t failure_count;
    const struct warm_node_status *nodes;
    size_t node_count;
    bool standing;
    char schedule[WARM_SOURCE_TEXT_MAX]; /* "every 5m", "before expiry 20%"; or "" */
    int64_t next_at_ms; /* of a standing one: when it submits the next; 0: not by the clock */
    uint64_t prevented; /* misses, of a standing one */
};

/* Errors that are told apart by who shows them otherwise than in RESP: what they begin with. */
#define WARM_ERROR_NO_JOB "ERR no such warm job"
#define WARM_ERROR_ENDED  "ERR the job has ended"
#define WARM_ERROR_ALONE  "ERR warming brings keys from L2, and this node has none"
#define WARM_ERROR_SPOILT "ERR terrace:warm:* in L2 is not what nodes wrote there"

struct warm_call {
    struct letter letter; /* first; private */
    struct mailbox *home; /* of the loop that asks */
    enum warm_verb verb;
    uint64_t id;       /* of STATUS, PAUSE, RESUME, CANCEL, SETRATE */
    uint64_t rate;     /* of SETRATE */
    struct slice json; /* of SUBMIT, REGISTER and PUT; the caller's, until on_answer */
    /* On the asker's loop, exactly once after OK. `error` or NULL; then `statuses`: LIST all jobs, the newest first; the
     * others the one (of SUBMIT and REGISTER, only its id is sure). Valid during the call. */
    void (*on_answer)(struct warm_call *call, const char *error, const struct warm_status *statuses,
                      size_t count);
    char error[WARM_ERROR_MAX]; /* private from here */
    struct warm_status *statuses;
    size_t count;
    struct buf memory; /* what the statuses borrow: failures, */
    struct buf nodes;  /* and nodes */
};
/* BUSY: the first worker's mailbox is full. on_answer is never called from inside. */
enum status warm_ask(struct node *node, struct warm_call *call) MUST_USE;

#endif
