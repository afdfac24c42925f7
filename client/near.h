/* SPDX-License-Identifier: BSD-3-Clause */
/* near.h -- L0: copies of values in the memory of the application, never older than their contract.
 *
 * A map with L1's own code (tiers/l1.h) and L1's own rule: between a question and its answer somebody may write the key, so
 * a question that is sent takes a TICKET, each event of the key ends it, and an answer with an ended ticket keeps nothing.
 *
 *      near_get(k)  -> MISS                    |
 *      near_begin(k): ticket; GET k goes out   |   EVENT k: ends entry and ticket
 *      near_land(k, old value, ticket)         |
 *          -> nothing kept                     v   time
 *
 * STREAMS. A stream is a connection that said WATCH: its node tells of each key that was read over it when the key changes,
 * by EVENT frames with numbers. An entry belongs to the stream that its question went over, and lives by what that one
 * proves and by nothing else: a node that is slow or gone closes its own entries, and no others.
 *
 * PROOF. The client sends a BEAT at t0 of its own clock. The answer carries a: how old the node's horizon was (coherence.h:
 * all that was acknowledged before it is applied there). It was taken after the beat had come, so at t0 or later, and
 * everything that the node had heard by then stands as EVENT in front of the answer (server/tracking.h). So all that was
 * acknowledged before t0 - a, of keys that the node thought this stream had, was told and is obeyed here when the answer is:
 *
 *      H(stream) := max(H(stream), t0 - a - 1)
 *
 * The 1 is for the two clocks, each cut to milliseconds: of their difference less than one may be lost. Only lengths of
 * time go from one machine to the other, never times.
 *
 * CLAIM: an entry that may be served (T: Reply.near_ms of its answer; now - H <= T; stamped from the floor on) holds no
 * value that was replaced by a write acknowledged before now - T. Let the write be acknowledged at w < now - T <= H.
 *      The node had put this connection into its table before it looked the value up, and L1 lets go of a value before the
 * table is asked who has it. If the lookup came after that, it did not find the old value, and no flight of before was
 * joined (tiers/l1.h). If it came before, an EVENT was owed from then on. The BEAT that gave H carried it at the latest.
 * In order: if the EVENT came between near_begin and near_land it ended the ticket; if after near_land, the entry; before
 * near_begin it cannot have come, for the lookup comes after near_begin. A skipped number ends the stream. So there is no
 * such entry.
 *
 * FLOOR: an entry stamped before it is a SUSPECT: the stream was lost, skipped a number, or said `all`. Its stamp is the
 * moment its question was sent, and the floor is above all stamps given so far. A suspect is kept, not served, and handed
 * out as stale to who says that he takes such, with its age. Age: what has a stamp s was right a before it, by its answer (and
 * a millisecond, for what both were cut by); then nothing was missed until H, or until what H was when it became a suspect.
 *
 * ORDER of memory. The loop's thread applies events under L1's locks, raises floors, and then stores H (release). A reader
 * loads every H (acquire), then looks up, then loads the floor: whatever H covers has happened to the table he looks into.
 * The other way round he might find an entry, and by a newer H think it proved that it stands.
 *
 * SESSIONS. What threads of one client see of one key, while one endpoint is asked, does not go backwards: who lands with a
 * value that is not what stands drops what stands, with the tickets (COHERENCE T3). An own write ends entry and tickets
 * when it is sent, and again when it is answered: a read between the two may carry the old value; who reads after the
 * answer asks the node, which has its own write. NOT PROMISED: anything between endpoints. Two nodes may be T apart, so
 * when one key is asked of several (round robin), a read may go back by up to T, and an own write be unseen as long. Who
 * needs more reads at one endpoint (hash, sticky), or asks with ATLEAST.
 *
 * It does NOT: keep what is not there, send anything, read clocks, start threads.
 *
 * Owns:    the map. Values handed out carry a reference: near_value_done.
 * Threads: any; near_begin and near_stream_* by one at a time (the loop's). A call waits at most for a shard lock.
 * Units:   milliseconds of one monotonic clock, read by the caller: for near_get after it was called, for the others at any
 *          time between the event they are about and the call.
 * Limits:  bytes_max as the system counts; NEAR_STREAMS open streams: what is read over others is not kept.
 * Errors:  no memory keeps nothing, and is counted as refused. */
#ifndef TERRACE_CLIENT_NEAR_H
#define TERRACE_CLIENT_NEAR_H

#include "protocol/bytes.h"
#include "protocol/status.h"

#include <stdbool.h>
#include <stdint.h>

struct near;
struct item;

enum {
    NEAR_STREAMS = 64,
    NEAR_BYTES_LEAST = 256 << 10, /* of bytes_max; less is raised to it */
};

struct near_options {
    size_t bytes_max;
    const char *policy; /* lru, lfu, ttl, s3fifo ...: tiers/policy.h; NULL: L1's default */
    size_t value_max;   /* larger ones are not kept; 0: an eighth of bytes_max */
};
/* NULL: no memory, or no such policy. */
struct near *near_new(const struct near_options *options);
/* NULL is fine. Values that were handed out stay good until they are given back. */
void near_free(struct near *near);
bool near_knows_policy(const char *policy);

/* --- reading ------------------------------------------------------------------------------------------------------ */

struct near_value {
    struct slice bytes;
    int64_t age_ms;    /* how far it may be behind L2 at most; -1: not known */
    int64_t ttl_ms;    /* -1: no end */
    struct item *item; /* of near_value_done */
};
void near_value_done(struct near_value *value); /* zeros are fine */

/* OK: within its contract and at most `max_age_ms` old (INT64_MAX: no wish). STALE: not so, but at most `spare_ms` (0: none
 * is handed out). MISS: ask the node. *ret is only written with OK and STALE. */
enum status near_get(struct near *near, struct slice key, int64_t now_ms, int64_t max_age_ms,
                     int64_t spare_ms, struct near_value *ret) MUST_USE;

/* --- what is read from the node ------------------------------------------------------------------------------------ */

struct near_stream;
/* All zeros: its answer will not be kept. */
struct near_ticket {
    uint64_t token;
    uint64_t generation; /* of its stream */
    int64_t sent_ms;
};
/* A question for the key is about to be written to the connection of `stream` (NULL: one without). Exactly one of near_land,
 * near_land_nothing and near_fail must follow, also when the connection is lost. Several may be under way for one key. */
void near_begin(struct near *near, const struct near_stream *stream, struct slice key,
                int64_t now_ms, struct near_ticket *ret);

struct near_answer {
    struct slice value;
    int64_t ttl_ms;   /* -1: no end */
    int64_t age_ms;   /* -1: not known */
    uint64_t near_ms; /* T; 0: not to be kept */
};
void near_land(struct near *near, struct slice key, const struct near_ticket *ticket,
               const struct near_answer *answer, int64_t now_ms);
/* It landed without a value: what stands goes. Also when what landed is not known. */
void near_land_nothing(struct near *near, struct slice key);
/* It will not land: what stood may stand on. */
void near_fail(struct near *near, struct slice key, const struct near_ticket *ticket);

/* --- own writes ---------------------------------------------------------------------------------------------------- */

/* The application writes the key: when it is sent, and when it is answered or given up. */
void near_drop(struct near *near, struct slice key);
/* The same of an invalidation by tag, prefix, pattern: which keys it meant is not known here, so all go. */
void near_drop_all(struct near *near);

/* --- streams ------------------------------------------------------------------------------------------------------- */

/* A connection: zeros before its first use. */
struct near_stream {
    uint64_t seq; /* of the newest frame */
    bool is_open;
    unsigned slot;
    uint64_t generation;
};
/* WATCH was answered with OK. Numbers begin with 1. BUSY: there are NEAR_STREAMS; it works on, and nothing is kept. */
enum status near_stream_open(struct near *near, struct near_stream *stream,
                             int64_t now_ms) MUST_USE;
/* The keys are obeyed. MALFORMED: a number was skipped: the stream is lost, the caller closes the connection. */
enum status near_stream_event(struct near *near, struct near_stream *stream, uint64_t seq,
                              const struct slice *keys, size_t count, bool all,
                              int64_t now_ms) MUST_USE;
/* A BEAT that was sent at sent_ms was answered; `seq` as the answer says. MALFORMED: as above. */
struct near_beat {
    uint64_t seq;
    int64_t sent_ms; /* read before it was written to the connection */
    bool has_horizon;
    uint64_t horizon_age_ms;
};
enum status near_stream_beat(struct near *near, struct near_stream *stream,
                             const struct near_beat *beat, int64_t now_ms) MUST_USE;
/* The connection is gone, or not trusted. Safe twice, and of one that never was open. */
void near_stream_lost(struct near *near, struct near_stream *stream, int64_t now_ms);

/* How often each stream should beat: a quarter of the least T seen, 25 ms at least; 250 ms while nothing was kept. Any
 * thread. */
int64_t near_beat_interval_ms(const struct near *near);

/* --- housekeeping -------------------------------------------------------------------------------------------------- */

struct near_stats {
    uint64_t hits;   /* OK of near_get */
    uint64_t misses; /* MISS and STALE */
    uint64_t stale;  /* of these, STALE */
    uint64_t fills;  /* answers kept */
    /* Not kept, though their nodes allowed it: ticket ended, no stream, too large, no memory. */
    uint64_t refused;
    uint64_t dropped; /* entries ended by events and own writes */
    uint64_t doubts;  /* streams lost, numbers skipped, `all` */
    uint64_t items;
    size_t bytes_used;
    size_t bytes_max;
};
void near_stats(struct near *near, struct near_stats *ret);
void near_sweep(struct near *near, int64_t now_ms); /* every 100 ms or so: expired ones go */

#endif
