/* SPDX-License-Identifier: BSD-3-Clause */
/* managed_write.h -- writes of managed keys: numbered, logged, published and done by one script of Redis, many in one call.
 *
 * What is asked for in one turn of the loop goes out at its end as one GROUP: one call, one seq, one frame that names the
 * keys. The script (scripts/managed.lua) finds the node's epoch or does nothing; then the log, the bus, the commands, each by
 * itself: one that fails stops no other.
 *
 *      managed_write_send   -> the group that is open (full: another one)
 *      managed_write_flush  -> EVALSHA, if no other group is on its way; a full one as EVAL, behind others
 *      reply                -> keys end in L1 once more ~> on_written of each, in the order of asking
 *
 * ORDER. What was asked first is done first, whatever happens between: a group that was refused for the epoch, or because
 * Redis does not know the script, did nothing, and nothing that was asked later goes before it. So a call that may be refused
 * while the next one is not never has another one behind it: EVALSHA goes alone, and the groups on their way together all
 * name the same epoch, which no Redis finds again once it has lost it. While one is on its way the next fills: that is
 * what makes groups large when Redis is the limit. (EVAL is hashed by Redis, all of its text: as dear as ten writes, so
 * it is for groups that are full.)
 *
 * EPOCH. A group whose epoch Redis does not find is sent again, unchanged, when the node has met another one, or after
 * MANAGED_RETRY_MS; at its deadline it ends with L2_DOWN: nothing was done.
 *
 * VERSION of what stands for a key, for MANAGED_IF_VERSION: that of its envelope; 0: there is nothing;
 * MANAGED_VERSION_FOREIGN: a value without envelope; MANAGED_VERSION_OTHER: no string. What is put gets the seq of its
 * group as version, with MANAGED_IF_LEASE the seq with which the lease was won.
 *
 * T1: keys end in L1 when they are sent and when they are answered; nothing is installed. Strict namespaces: on_written
 * comes when all live nodes have applied it (window_confirm). T7: a write is UNKNOWN when it cannot run any more (link.h).
 *
 * DEADLINE: the window's for reads, from when the group was begun; that of relays, if it is larger than groups of several are.
 *
 * Without memory Redis refuses what takes some (OOM) and still does what frees some.
 *
 * Owns:    copies of everything but keys, which are borrowed until on_written, as the write itself is.
 * Threads: the window's.
 * Limits:  MANAGED_GROUP_WRITES and MANAGED_GROUP_BYTES per call, MANAGED_KEYS_BYTES of keys; what belongs together may be
 *          more writes, one write more bytes; MANAGED_QUEUE_BYTES that wait.
 * Units:   milliseconds. */
#ifndef TERRACE_TIERS_MANAGED_WRITE_H
#define TERRACE_TIERS_MANAGED_WRITE_H

#include "tiers/base/list.h"
#include "tiers/l1.h"

enum {
    MANAGED_GROUP_WRITES = 64,
    MANAGED_GROUP_BYTES = 256 * 1024, /* of a group that is more than one write */
    MANAGED_KEYS_BYTES = 60 * 1024,   /* one frame names them, each with 4 bytes more */
    MANAGED_QUEUE_BYTES = 256 << 20,
    MANAGED_RETRY_MS = 50,
    MANAGED_TOKEN_SIZE = 16
};
#define MANAGED_VERSION_FOREIGN UINT64_MAX
#define MANAGED_VERSION_OTHER   (UINT64_MAX - 1)

struct line;
struct tiers_window;
struct managed_writes;

enum managed_op {
    MANAGED_PUT = 'P',
    MANAGED_DELETE = 'D',
    MANAGED_EXPIRE = 'E', /* the version stays */
    MANAGED_SOFTEN = 'S'  /* stale from now on, of the same version; gone if it is no envelope */
};

enum managed_cond {
    MANAGED_ALWAYS,
    MANAGED_IF_VERSION,
    MANAGED_IF_LEASE,
    MANAGED_IF_NOT_NEWER /* what stands has this version or an older one, or none; and see `judged` */
};

struct managed_write {
    /* Exactly once after OK of managed_write_send, never from inside. OK: done, with the seq of its group. AGAIN: another
     * version stands. MISS: the lease is lost, or `judged` is too old. L2_ERROR: with Redis' own text, without '-' and line
     * end, valid during the call. L2_DOWN, BUSY, NO_MEMORY: nothing was done. UNKNOWN. STALE (strict): done, or not, with
     * the error if Redis answered one, but not known to be applied everywhere. It may send writes, this one again, too. */
    void (*on_written)(struct managed_write *write, enum status status, uint64_t seq,
                       struct slice error);
    enum managed_op op;
    struct l1_key key; /* its bytes are borrowed until on_written */
    enum managed_cond cond;
    uint64_t version; /* MANAGED_IF_VERSION, MANAGED_IF_NOT_NEWER */
    /* MANAGED_IF_NOT_NEWER: MISS if something was invalidated by tag, prefix or pattern behind this seq, or an epoch began.
     * What is put gets a number that no such invalidation reaches any more, so they must have been looked at up to there. */
    uint64_t judged;
    char token[MANAGED_TOKEN_SIZE];
    /* PUT: borrowed until managed_write_send returns; its version is not looked at. */
    struct slice envelope;
    /* PUT: hard life; 0: no end. EXPIRE: fresh life, to which what the envelope allows after it is added; -1: no end. */
    int64_t px_ms;

    /* When on_written is called: */
    bool stood;     /* OK: there was something; a negative entry is nothing. A PUT does not know */
    bool confirmed; /* UNKNOWN: it cannot run any more */
    unsigned dropped; /* values of L1 that it ended */

    struct list in_group; /* private from here */
    bool passing;         /* behind_desk.h counts it */
    uint64_t number;      /* of behind.h */
    int64_t until_ms;     /* and so long it waits for the disk */
    enum status status;
    struct slice error;
};

/* TOO_BIG: its key does not fit into a frame, or (several) all keys do not fit into one. L2_DOWN, BUSY, NO_MEMORY. */
enum status managed_write_send(struct tiers_window *window, struct managed_write *write) MUST_USE;
/* Several that belong together: one group, done in one step. `all_or_none`: if the version or lease of one differs, or Redis
 * has no memory for one, none is done, and all end alike. */
enum status managed_writes_send(struct tiers_window *window, struct managed_write *const *writes,
                                size_t count, bool all_or_none) MUST_USE;
/* One put whose value is larger than may be held: its value goes out in front of all the rest, in pieces, on a line of its own.
 *      managed_stream_begin    the bytes in front of the value, of so many bytes
 *      managed_stream_end      those behind it, as a group of one; `write->envelope` is its head alone
 * The script is said by its text, with two lines in front that put value and head together: so Redis holds it several
 * times while it runs. What is refused for its epoch cannot be sent again, and is L2_DOWN: nothing was done. */
enum status managed_stream_begin(struct buf *out, size_t value_size) MUST_USE;
enum status managed_stream_end(struct tiers_window *window, struct managed_write *write,
                               struct line *line) MUST_USE;
/* At the end of the loop's turn, before links are flushed. */
void managed_write_flush(struct tiers_window *window);

/* For the window. */
void managed_write_tick(struct tiers_window *window); /* deadlines of what waits */
void managed_write_end(struct tiers_window *window);  /* its links have ended: so does what waits */
void managed_write_free(struct managed_writes *writes);

#endif
