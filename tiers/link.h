/* SPDX-License-Identifier: BSD-3-Clause */
/* link.h -- one connection to Redis, without its socket.
 *
 * The roof owns the socket and the clock; the link is told bytes and time and says what to send. So it runs unchanged
 * in a simulator. A link is a FIFO: requests go out in the order they were asked, and replies come home in that order.
 *
 *      DOWN --connect--> CONNECTING --link_on_connected--> GREETING --beat answered--> READY
 *        ^                                                     |                         |
 *        +------------- lost, refused, overdue; retry after 250, 500, 1000, 1000 ... ms -+
 *
 * GREETING sends AUTH, HELLO 3 (a RESP3 link), CLIENT ID, then the BEAT script (COHERENCE section 4: the first command
 * on every link; it proves that this is a writable master and agrees on the epoch); no request is sent before it
 * answered. Requests asked meanwhile wait, unless the last attempt failed: then the answer is L2_DOWN at once. Connecting
 * and greeting may take LINK_ATTEMPT_MS each. A refusal (NOAUTH, WRONGPASS, READONLY, LOADING, OOM, NOPERM ...) is a
 * failed attempt whose reason is Redis' own text. Waiting times vary by a quarter up and down, so that nodes do not
 * return in step.
 *
 * A bus link then sends CLIENT TRACKING and SUBSCRIBE (coherence.h), and every reply goes to on_push.
 *
 * What a lost link means for a request: its last byte was not yet written to the socket, or it only reads: L2_DOWN.
 * Written and writing: UNKNOWN, for Redis may have run it.
 *
 * Lost writes (COHERENCE T7): its bytes may even lie somewhere on the way and run when everybody has forgotten them. So
 * UNKNOWN is not said before that is ruled out: the link connects again at once, and behind the beat of its greeting it
 * says CLIENT KILL ID of the lost connection. An integer as the answer (it was killed, or was gone) confirms it; so does
 * a greeting that finds another process in a newer epoch at the same address, for then the connection died with its
 * server. (An address that several servers answer by turns, a virtual IP or a name, can deceive it.) At another address
 * nothing can be confirmed, and UNKNOWN is said at once: the former server may come back. If neither comes within
 * kill_wait_ms, UNKNOWN is said without confirmation, and the connection is killed when Redis is back. Without
 * kill_wait_ms, UNKNOWN is said at once and nothing is killed.
 *
 * A request with a deadline that passes ends with L2_DOWN if it only reads (its reply is dropped when it comes); if it
 * writes, the link is closed, since a late byte must not run after UNKNOWN was said. A link on which a read expired and
 * then not one byte came for LINK_SILENCE_MS is closed too: the path is a black hole.
 *
 * The fence (COHERENCE section 3, "L2 reads have their own fence"): a link may still sit on a master that was demoted,
 * and its connection stays open. So a request with a fence gets its reply only if a beat on this link, sent at most
 * fence_ms ago, succeeded: the value is then no older than that beat. The link sends such beats itself (a check, beat.h),
 * in front of a fenced request when its newest one is older than a quarter of the fence, or the node knows a newer epoch
 * than the link. A reply that meets a closed
 * fence is kept until the next beat on this link succeeds (one is sent at once): that Redis was still the master after
 * the read ran, which is as good. Fenced replies stay in order among themselves; others overtake kept ones. The deadline
 * of a kept one still counts; one that finds no room ends with L2_DOWN, and those kept before it end so first: a read may be
 * two requests, of which the second takes the first's memory with it.
 *      A check must find a master that writes, and the node's epoch (or a newer one that this link met first) or the REIGN
 * (beat.h) of the link's last proof. FLUSHALL takes the record of the epoch along and changes nobody's mastership: the
 * reign proves as much. If both are others, the fence stays as it was and the link asks again, for as long as the fence
 * at most, since the node may learn of a promotion a moment later; any other failure closes the link at once.
 *      What was kept was read between two proofs. It was read from the master if the epoch or the reign is the same at both,
 * for a promotion changes both; else the process may have been somebody's replica when it read, and they end with L2_DOWN.
 *
 * The database: a link remembers what it selected and puts SELECT before a request of another one. A SELECT that fails
 * would let its request run in the wrong database, so the greeting of a link for requests tries them all; a request for
 * one that cannot be had is not sent, and gets the error that Redis gives to `SELECT -1` as its reply.
 *
 * Large replies: a value of LIMIT_STREAM bytes or more that is still coming need not be gathered. When its head is here its
 * request is asked (on_large), and the reply comes one of three ways:
 *      LINK_GATHER     as any other: whole, to on_reply
 *      LINK_PASS_OVER  its bytes are dropped as they come; on_reply says TOO_BIG at once (or when its fence opens), with the
 *                      beginning, so that it can be asked for elsewhere. A reply whose deadline passed goes so, too
 *      LINK_STREAM     to on_piece as it comes, head and line end included, fence or not; then on_reply says OK, without
 *                      bytes. From its head on it has no deadline. Whoever takes it may hold the link (link_hold): its
 *                      socket is not read meanwhile. For links of one asker, since all behind it wait
 *
 * Large requests: what comes before the end of one may be poured into a link that is READY and quiet (link_pour), piece by
 * piece; the end is asked as every request is. Nothing else may be asked meanwhile. L2 runs nothing of it before its last
 * byte; a connection that is lost, or closed, before that takes all of it along.
 *
 * Callbacks may ask, say and close again, not free the link; on_large may do none of it.
 *
 * Owns:    its buffers and queues; a request belongs to the asker and is borrowed until on_reply.
 * Threads: one loop's.
 * Units:   milliseconds of clock.h.
 * Limits:  LIMIT_LINK_QUEUE requests, LINK_OUTPUT_MAX bytes that wait to be written; link_ask answers BUSY above. Kept
 *          replies: LINK_KEPT_BYTES_MAX. */
#ifndef TERRACE_TIERS_LINK_H
#define TERRACE_TIERS_LINK_H

#include "protocol/resp_read.h"
#include "tiers/base/list.h"
#include "tiers/base/metrics.h"
#include "tiers/base/rand.h"
#include "tiers/beat.h"
#include "tiers/l2_url.h"

#define LINK_OUTPUT_MAX \
    (256ull << 20) /* bytes; one larger request still goes when nothing else waits */
#define LINK_KEPT_BYTES_MAX (256ull << 20)
#define LINK_ATTEMPT_MS     2000
#define LINK_SILENCE_MS     3000

enum link_state {
    LINK_DOWN,
    LINK_CONNECTING,
    LINK_GREETING,
    LINK_READY
};

struct link;

/* What the link needs of the roof. `roof` is passed through. */
struct link_io {
    void *roof;
    void (*connect)(
        void *roof,
        struct link *link); /* begin; later link_on_connected or link_on_lost, never inside */
    void (*close)(void *roof, struct link *link); /* drop the socket; no link_on_lost follows */
    void (*wants_flush)(void *roof,
                        struct link *link); /* link_output has bytes; flush once in this turn */
    void (*wants_read)(void *roof, struct link *link); /* it is held no more. May be NULL */
};

enum link_way {
    LINK_GATHER,
    LINK_PASS_OVER,
    LINK_STREAM
};

struct link_large_reply {
    uint64_t size; /* of the whole, head and line end included */
    uint64_t value_size;
    struct slice beginning; /* of the value, as many bytes as the request wants */
    bool is_fenced;         /* the fence is open */
};

/* One question. Embedded by the asker. */
struct link_request {
    /* Exactly once. OK: `reply` is one whole reply (an error reply too), valid during the call. TOO_BIG: `reply` is the
     * beginning that on_large has seen. L2_DOWN, UNKNOWN: it is empty. Never called from inside link_ask. The request is
     * the asker's again when it is called. */
    void (*on_reply)(struct link_request *request, enum status status, struct slice reply);
    int64_t deadline_ms; /* 0: none */
    int64_t fence_ms;    /* how old the proof of the link may be; 0: no fence. Only for reads */
    int64_t asked_ms;    /* with a fence: now, as read before link_ask */
    /* Of several requests in one (MULTI ... EXEC): the replies in front of the last, each as it comes. `parts` of them;
     * with any, on_part must be there. It may not close the link; false: the link
     * does, for L2 runs this request otherwise than it was meant. */
    bool (*on_part)(struct link_request *request, struct slice reply);
    unsigned parts;
    /* A large reply has begun. NULL: it is gathered. */
    enum link_way (*on_large)(struct link_request *request, const struct link_large_reply *reply);
    size_t beginning; /* bytes of the value that on_large must see */
    void (*on_piece)(struct link_request *request, struct slice bytes); /* with LINK_STREAM */
    bool writes;    /* it may change something */
    bool confirmed; /* set with UNKNOWN: it cannot run any more */
};

struct link_options {
    const struct l2_url *url; /* borrowed for the life of the link; NULL: link_go_to says later */
    int proto;                /* 2 or 3 */
    unsigned coherence_db;
    uint64_t node;
    uint64_t seed;           /* of the jitter and of epoch randoms; 0: unpredictable */
    struct metrics *metrics; /* may be NULL */
    struct link_io io;
    /* May be NULL. After the greeting: its epoch as the beat saw it. Before any waiting request is sent. */
    void (*on_ready)(struct link *link, void *arg, const struct beat_answer *answer);
    /* May be NULL. Before the requests that were lost with it end. Not called by link_free. */
    void (*on_down)(struct link *link, void *arg, const char *why);
    /* A link with on_push hands over every reply that no request waits for (the bus), and RESP3's pushes. Without it
     * pushes are skipped, and any other reply that nobody asked for closes the link. */
    void (*on_push)(struct link *link, void *arg, struct slice reply);
    /* May be NULL. Of what was poured less than LIMIT_STREAM_AHEAD / 2 waits now, after more did. It may pour nothing. */
    void (*on_room)(struct link *link, void *arg);
    void *arg;
    /* Not for L2: a sentinel, or a server that is only looked at. The greeting is AUTH, HELLO and CLIENT ID; there is no
     * beat (on_ready gets zeros), no database but 0, no fence. */
    bool plain;
    uint64_t (*known_epoch)(void *arg); /* counter for the greeting's beat; NULL: 0 */
    /* The node's epoch, which a check must find. NULL, or counter 0: the link's own. */
    struct epoch (*expected_epoch)(void *arg);
    /* Both or none. Each beat that succeeded on this link; and whether no link of the node met a newer L2 than this
     * process in this epoch: else the fence is closed, however young its proof. */
    void (*on_met)(void *arg, const struct beat_answer *answer);
    bool (*is_newest)(void *arg, uint64_t run, uint64_t counter);
    int64_t (*kill_wait_ms)(void *arg); /* how long a lost write may wait for its end; NULL: 0 */
};

struct link *link_new(
    const struct link_options *options); /* NULL: no memory. DOWN; the first tick connects */
void link_free(struct link *link);       /* outstanding requests end as if the link were lost */
/* What link_free does, but for the memory, which it frees later. At once, even inside a callback; no on_down. */
void link_end(struct link *link);

/* Connects to `url` from now on, first after delay_ms: what is under way to another address is closed. NULL: nowhere,
 * until it is said again. The same address again changes only when the next attempt is. Without a delay requests are
 * taken and wait for that attempt. */
void link_go_to(struct link *link, const struct l2_url *url, int64_t delay_ms, int64_t now_ms);
/* Another link was let in: if the last attempt of this one failed, it tries again now. (One that was let in itself and
 * lost keeps its delay: two that drive each other out must not do so without a pause.) */
void link_poke(struct link *link, int64_t now_ms);
const struct l2_url *link_url(const struct link *link);
enum link_state link_state(const struct link *link);
bool link_is_down(const struct link *link); /* the last attempt failed and no newer one succeeded */
const char *link_why_down(const struct link *link); /* of the last loss, for messages; never NULL */
uint64_t link_client_id(const struct link *link);   /* of Redis' CLIENT ID; 0 unless READY */
uint64_t link_target(const struct link *link); /* of its newest beat that succeeded; 0: none yet */
uint64_t link_run(const struct link *link);    /* the process behind it (beat.h); 0 unless READY */
/* No request waits for anything: neither to be sent, nor for its reply, nor for the end of a lost write. */
bool link_is_quiet(const struct link *link);

/* Sends `bytes`, exactly one request (and as many in front of it as it has parts), in database `db` (-1: any). OK:
 * on_reply will come. L2_DOWN, BUSY, NO_MEMORY: it will not, nothing was sent. */
enum status link_ask(struct link *link, struct link_request *request, int db,
                     struct slice bytes) MUST_USE;
/* The same of a request that lies in pieces: a large value that words stand around is copied no more often than one that came
 * in a request of its own. The first is not empty. */
enum {
    LINK_PIECES = 3
};
struct link_pieces {
    struct slice at[LINK_PIECES]; /* empty: no more */
};
enum status link_ask_pieces(struct link *link, struct link_request *request, int db,
                            const struct link_pieces *pieces) MUST_USE;
/* Bytes for which no request waits: SUBSCRIBE and CLIENT TRACKING on the bus, whose replies come to on_push. L2_DOWN
 * unless READY. */
enum status link_say(struct link *link, struct slice bytes) MUST_USE;
/* The next bytes of a request whose end link_ask will bring, in the database of the one before it. L2_DOWN unless READY,
 * NO_MEMORY. */
enum status link_pour(struct link *link, struct slice bytes) MUST_USE;

/* From the roof: */
void link_set_socket(struct link *link, void *socket); /* the roof's own, kept with the link */
void *link_socket(const struct link *link);            /* NULL at first */
void link_on_connected(struct link *link, int64_t now_ms);
void link_on_lost(struct link *link, const char *why, int64_t now_ms); /* also: could not connect */
/* Where the next bytes may be read to, at least `want`; then link_on_read says how many came. NULL: no memory. */
char *link_read_room(struct link *link, size_t want, size_t *ret_room);
void link_on_read(struct link *link, size_t size, int64_t now_ms);
/* Its socket shall not be read, for whoever takes what comes has no room. What was read already is still handed on. Ends
 * with the connection. */
void link_hold(struct link *link, bool holds);
bool link_is_held(const struct link *link);
struct slice link_output(
    const struct link *link); /* what waits to be written; until the next call on the link */
/* Bytes of link_output that the kernel took. Say it at once, before anything else is told to the link: whether a lost
 * write is L2_DOWN or UNKNOWN is decided by it. */
void link_on_written(struct link *link, size_t size);
uint64_t link_written(const struct link *link);    /* bytes, of all its connections so far */
void link_tick(struct link *link, int64_t now_ms); /* every 100 ms or sooner: connects, deadlines */
void link_close(struct link *link, const char *why, int64_t now_ms); /* drop it and retry later */

#endif
