/* SPDX-License-Identifier: BSD-3-Clause */
/* beat.h -- the numbered script call with which a node proves that Redis heard it (COHERENCE section 4).
 *
 * One atomic script (scripts/beat.lua) decides the epoch, takes the next seq, keeps the node's record (a real write:
 * READONLY, NOREPLICAS, OOM, CLUSTERDOWN show) and publishes the frame. A GREETING beat, the first command on every
 * link, does all that but takes no seq and publishes nothing. A CHECK changes nothing at all: it proves that this Redis
 * is a master that writes, or answers an error; and it finds the epoch that the caller expects, or says why it does not
 * (another one stands, or must begin: a check begins none).
 *
 * REIGN: a process under one replication id. A master that is demoted and promoted again has another one (Redis makes
 * a new id with each promotion), also when nobody beat in between and when FLUSHALL has taken the record of the epoch
 * along. So two beats on one connection that show the same reign prove that this process was the master all the time
 * between them. The opposite does not hold: the id changes when the first replica comes, too.
 *
 * Seqs go on over epochs, and those of a later epoch are above all earlier ones (epoch << 32 at least): a seq that was
 * taken in it is not reached by a node that has not heard of it yet.
 *
 * Redis' side: hash terrace:meta (epoch, rand, run, replid), string terrace:seq, hash terrace:nodes (node: deadline in
 * ms), channel terrace:bus, all in coherence-db. The random of the epoch is 8 raw bytes, little endian, in the hash as
 * in the frame. A key of another type is an error of every beat; a hash whose fields are not ours is no epoch, and a
 * new one begins.
 *
 * hiredis formats the request and reads the flat answer; both look the same in RESP2 and RESP3. */
#ifndef TERRACE_TIERS_BEAT_H
#define TERRACE_TIERS_BEAT_H

#include "protocol/frame.h"

/* Above this a counter is refused as garbage: coherence_meet has 48 bits for it, and the script counts to 14 digits. It
 * believes no leap towards it, after which there might be no larger one for the next epoch. */
#define EPOCH_COUNTER_MAX 99999999999999ll
enum {
    BEAT_ERROR_MAX = 160
};

enum {
    BEAT_COMMAND_WORDS_MAX = 4
};

struct beat_request {
    unsigned coherence_db;
    uint64_t known_epoch;  /* largest counter this node ever saw */
    uint64_t fresh_random; /* of a new epoch, should one begin */
    uint64_t node;
    int64_t deadline_ms; /* of the node's record in terrace:nodes */
    bool publish;        /* false: greeting */
    /* To publish; the script fills in its epoch and seq words; NULL on a greeting. */
    const struct frame *frame;
    /* That the frame announces and the script runs last; its reply is the answer then. */
    const struct slice *command;
    size_t command_words; /* 0: none; at most BEAT_COMMAND_WORDS_MAX */
};

struct beat_answer {
    struct epoch epoch;
    uint64_t seq;    /* of this beat; the current one on a greeting or a check */
    bool began;      /* this call began the epoch */
    uint64_t run;    /* which process answered: XXH64 of its run_id */
    uint64_t target; /* which process in which epoch; never 0 */
    uint64_t reign;  /* which process under which replication id; never 0 */
};

extern const char beat_script[]; /* the text of scripts/beat.lua, embedded by the build */

/* The EVAL request, appended to `out`. known_epoch is at most EPOCH_COUNTER_MAX. */
enum status beat_write(struct buf *out, const struct beat_request *request) MUST_USE;
/* The request of a check: is it still `epoch`? */
enum status beat_write_check(struct buf *out, unsigned coherence_db, struct epoch epoch) MUST_USE;
/* `reply` is one whole reply. OK; MISS: a check did not find its epoch, and the answer has nothing but run and reign;
 * L2_ERROR: Redis answered an error, its text in `error`; MALFORMED; NO_MEMORY. Unless OK, `error` says why. */
enum status beat_read(struct slice reply, struct beat_answer *ret_answer,
                      char error[BEAT_ERROR_MAX]) MUST_USE;

#endif
