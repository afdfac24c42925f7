/* SPDX-License-Identifier: BSD-3-Clause */
/* tiers.h -- THE verbs: get a value from the nearest tier that may serve it, send a write to the one that decides.
 *
 * A node has one `tiers`; each worker looks at it through its own WINDOW, which owns the worker's links to L2 and the
 * reads under way (flights). Everything about RESP of clients stays above; everything about sockets stays with the roof.
 *
 *      tiers_get    L1 -> (claim) -> L2            HIT at once, or PENDING and then one on_value
 *      tiers_relay  end keys -> L2 -> end keys     the client's own bytes; Redis decides; nothing is installed
 *
 * tiers_get asks L2 for `PTTL key` and `GET key`, next to each other on one link; the value lives here no longer than
 * the time of asking plus that PTTL. However many ask for a key, on whatever worker, one flight carries the question:
 * the claim in L1 says whose it is, a worker that is not the owner joins by one letter and gets the shared value by one
 * letter back. A letter that cannot be posted never blocks: that worker reads for itself and installs nothing.
 *
 * HASHES: what L1 has of them are whole ones (protocol/fields.h), read by `PTTL key` and `HSCAN key 0 COUNT n`: one that L2
 * tells in one step, of which n bounds the work. Not every read of a field is worth that: the first of a key are passed on
 * as they came (promotion.h), as are those of a hash that is too large. A flight is of one kind, and a reader of the other
 * does not join it; what it brings in is found by both, and is of the wrong type for one.
 *
 * Reads are fenced (link.h) by T, whether they are questions of our own or relayed: what comes from a link that sits on a
 * demoted master is older than T to nobody, and it is kept only if that link's target is the node's.
 *
 * How old a value may be is the contract of the read (contract.h): its namespace's mode, or what the reader wishes. If L2
 * cannot be asked, or answers an error that is not about the key (-BUSY, -LOADING), a read gets what L1 holds, as far as
 * its contract goes.
 *
 * STRICT: whatever L2 answers about a key of a strict namespace, to a write or to a read, an error included that tells
 * what the key holds, is handed out only when every live node has applied all changes that Redis made before its answer (waiters.h, EVERYWHERE). So
 *      - no read that begins after the acknowledgement of a write sees older, on any node: what was older ended in each
 *        L1, and in each claim, before the acknowledgement; a node that is not live is fenced;
 *      - no read sees older than one that ended before it began, even of a write that is not acknowledged yet: the first
 *        one was answered by L2 and waited for all others, or by an L1 whose value had waited before it was installed.
 * A read under way is joined only as contract.h says. So each key is a linearizable register, for clients of nodes on which
 * its namespace is strict, as long as Redis itself is one; what strangers write at Redis is not acknowledged by us. If it
 * cannot be told that all have applied (the bus is cut), the status is STALE: a write that L2 did not answer with an error
 * has been done, and the client cannot rely on anything else. UNKNOWN waits, too, where it says that the write cannot run any
 * more: who reads afterwards sees whether it ran. If that cannot be waited for, it does not say so.
 *
 * What COHERENCE calls T1 and T3 lives here: keys of a write end when it is sent and when it is answered; a landing
 * whose token has ended keeps nothing and drops what stands.
 *
 * Owns:    links, flights. A reader or relay is borrowed from the asker until its callback.
 * Limits:  values of strict reads that wait for all nodes: WINDOW_KEPT_BYTES_MAX, and one; then reads end with STALE. What
 *          on_kept gives away is the asker's to limit.
 * Threads: `tiers` is shared and thread-safe where noted; a window belongs to its worker's loop.
 * Units:   milliseconds of clock.h.
 * Errors:  L2_DOWN (nothing was done), UNKNOWN (a write was sent), L2_ERROR (Redis' own error text), BUSY, NO_MEMORY. */
#ifndef TERRACE_TIERS_TIERS_H
#define TERRACE_TIERS_TIERS_H

#include "tiers/announce.h"
#include "tiers/base/list.h"
#include "tiers/coherence.h"
#include "tiers/contract.h"
#include "tiers/l1.h"
#include "tiers/l2_commands.h"
#include "tiers/link.h"
#include "tiers/managed.h"

/* --- the node's ---------------------------------------------------------------------------------------------------- */

struct bans;
struct foreseen;
struct hot;
struct spares;
struct sighting;
struct behind;
struct wakes;
struct dictionaries;
struct line;
struct tiers;
struct tiers_window;

/* Write-behind (behind.h), if the node has it. */
struct tiers_behind {
    struct behind *behind;   /* borrowed; NULL: it has not */
    void (*wake)(void *arg); /* something was appended to the log; any thread, as below */
    void (*flushed)(
        void *arg); /* L2 has something that others wait for: tiers_window_behind of all windows */
    /* Readers of this node see another value of the key from now on. */
    void (*taken)(void *arg, const struct l1_key *key);
    /* L2 does not take what waits for it: its own words, without '-'. `all`: nothing at all. */
    void (*refused)(void *arg, unsigned worker, struct slice key, struct slice error, bool all);
    void *arg;
};

struct tiers_options {
    struct metrics *metrics;       /* the control loop's */
    struct namespaces *namespaces; /* borrowed */
    const struct l2_url *url; /* where L2 is at first; NULL: not known yet. See tiers_set_url */
    unsigned coherence_db;
    uint64_t node;
    uint64_t seed; /* of the coherence's nonces; 0: unpredictable */
    struct coherence_listener listener;
    struct coherence_managed_listener managed;
    struct tiers_behind behind;
    int64_t log_length; /* entries that are kept of terrace:log, about; 0: LOG_LENGTH_DEFAULT */
};
enum {
    LOG_LENGTH_DEFAULT = 16384 /* as in beat.lua */
};

struct tiers *tiers_new(const struct tiers_options *options); /* NULL: no memory */
void tiers_free(struct tiers *tiers);                         /* after all windows */
struct namespaces *tiers_namespaces(const struct tiers *tiers);
struct coherence *tiers_coherence(const struct tiers *tiers); /* the control loop's */
struct wakes *tiers_wakes(struct tiers *tiers);               /* any thread (wakes.h) */
struct bans *tiers_bans(const struct tiers *tiers);           /* the control loop writes (bans.h) */
struct sighting *tiers_sighting(struct tiers *tiers);         /* any thread (sighting.h) */
struct foreseen *tiers_foreseen(struct tiers *tiers);         /* any thread (foreseen.h) */
/* Where L2 is now. Any thread reads, the control loop sets; links follow at their window's next tick. URLs that were
 * ever set live as long as the tiers. NULL: nobody knows yet. */
const struct l2_url *tiers_url(const struct tiers *tiers);
/* Any thread; the others only with write-behind. */
struct behind *tiers_behind(const struct tiers *tiers); /* NULL: none */
void tiers_behind_wake(const struct tiers *tiers);
void tiers_behind_park(struct tiers *tiers,
                       int more); /* so many writes more wait for L2 to have others */
bool tiers_behind_parks(const struct tiers *tiers); /* some do */
void tiers_behind_flushed(struct tiers *tiers);
void tiers_behind_taken(const struct tiers *tiers, const struct l1_key *key);
void tiers_behind_refused(const struct tiers *tiers, unsigned worker, struct slice key,
                          struct slice error, bool all);
void tiers_set_url(struct tiers *tiers, const struct l2_url *url);
unsigned tiers_coherence_db(const struct tiers *tiers);
int64_t tiers_log_length(const struct tiers *tiers);
uint64_t tiers_node(const struct tiers *tiers);                     /* its number on the bus */
struct dictionaries *tiers_dictionaries(const struct tiers *tiers); /* any thread */

/* What L2's COMMAND says, published by the control loop; any thread reads. NULL: L2 has not been reached yet. The
 * tables live as long as the tiers. Takes it over; one that equals the current is dropped. */
void tiers_learn_commands(struct tiers *tiers, struct l2_commands *commands);
const struct l2_commands *tiers_commands(const struct tiers *tiers);

/* Suspects that are read anew in the background (revalidate.h). */
struct tiers_revalidation {
    bool running;
    uint64_t rate; /* keys per second at most */
    uint64_t
        suspects; /* in L1 when they were last counted, less those read anew in the background since */
};
void tiers_show_revalidation(struct tiers *tiers, const struct tiers_revalidation *now);
/* Reads of L2 that were answered to clients, of all windows. Any thread, as the above. */
uint64_t tiers_reads(const struct tiers *tiers);
void tiers_add_reads(struct tiers *tiers, uint64_t n);

struct tiers_description {
    const char *l2_state; /* "up", "down" */
    struct tiers_revalidation revalidation;
    struct coherence_description coherence;
};
void tiers_describe(const struct tiers *tiers, struct tiers_description *ret); /* any thread */
void tiers_set_l2_up(struct tiers *tiers, bool up,
                     int64_t now_ms); /* control loop: its link's state */
/* L2 was away, or is, and reads go through the turnstiles (turnstile.h). Any thread, as the next. */
bool tiers_is_returning(const struct tiers *tiers, int64_t now_ms);
void tiers_row_is_waiting(struct tiers *tiers, int64_t now_ms); /* so that it goes on */
/* Some link of this node was let in by L2: those that were not need not wait for the end of their own delays (link_poke).
 * Each loop looks once per tick, with a number of its own; 0 at first. Any thread. */
void tiers_let_in(struct tiers *tiers);
bool tiers_others_let_in(const struct tiers *tiers, unsigned *seen);

/* --- a worker's ---------------------------------------------------------------------------------------------------- */

/* A letter to another worker's window. The first words are the roof's to use as it likes. */
struct tiers_post {
    void *roof_room[2];
    void (*open)(struct tiers_post *post, struct tiers_window *at);
};

/* A wait for all live nodes, by the roof. */
struct tiers_confirm {
    /* Exactly once after OK, never from inside, on the window's loop. OK: all have applied. */
    void (*on_confirmed)(struct tiers_confirm *confirm, enum status status);
    struct list in_roof; /* the roof's, until then */
};

struct tiers_window_options {
    struct tiers *tiers;
    unsigned worker;
    struct metrics *metrics;
    struct link_io io; /* for its links */
    uint64_t seed;
    struct hot *hot;       /* borrowed: told what clients read; NULL: nobody is */
    struct spares *spares; /* borrowed: of its flights; NULL: it has some of its own */
    bool revalidates;      /* suspects in the background, for the whole node: one window does */
    size_t
        look_bytes; /* of a value that nobody waits for, before its size is asked for; 0: 64 KiB (flight_ask.c) */
    /* BUSY: not posted. With `must` only a worker that has ended refuses. */
    enum status (*post)(void *roof, unsigned worker, struct tiers_post *post, bool must);
    /* For strict namespaces; NULL: there are none. What L2 answered before the call shall be applied everywhere. BUSY,
     * NO_MEMORY: on_confirmed will not be called. */
    enum status (*confirm)(void *roof, struct tiers_confirm *confirm, int64_t deadline_ms);
};

struct tiers_window *tiers_window_new(
    const struct tiers_window_options *options); /* NULL: no memory */
/* L2 is the process `run` now (beat.h): closes the links that are at another one. One that is not greeted yet stays: the
 * other process would have to be a master that writes to greet it, and would begin an epoch of its own. */
void tiers_window_retarget(struct tiers_window *window, uint64_t run, int64_t now_ms);
/* The end, in two steps, since letters of other windows may still be on their way: outstanding questions end with
 * L2_DOWN or UNKNOWN and claims are handed back; later, when no letter can come any more, the memory goes. */
void tiers_window_end_links(struct tiers_window *window);
void tiers_window_free(struct tiers_window *window);
void tiers_window_tick(struct tiers_window *window, int64_t now_ms); /* every 100 ms: links */
/* The log of write-behind is safe up to somewhere, or L2 has something of it (tiers_behind). */
void tiers_window_behind(struct tiers_window *window);
/* Once per batch, after the clock was read: looks at the fence. */
void tiers_window_begin(struct tiers_window *window, int64_t now_ms);
/* Namespaces are about to change (standstill.h): reads under way install nothing and are joined by nobody any more. */
void tiers_window_forget_claims(struct tiers_window *window);
/* The reads that follow are remembered by who asks, until he says false: they join none that began before the floor, for
 * of that time nobody would tell him of changes. Takes the proof anew: the reads go by what holds now. */
void tiers_window_tracks(struct tiers_window *window, bool tracks, int64_t now_ms);
/* Limits of waiting, when they change. */
void tiers_window_timeouts(struct tiers_window *window, int64_t read_ms, int64_t relay_ms);

/* Hashes with so many fields are kept, more not. 0: none. */
void tiers_window_hash_fields(struct tiers_window *window, int64_t fields_max);

/* What share of the usual reads of L2 may be asked while it has just come back (turnstile.h), in percent. 0: all. */
void tiers_window_return_load(struct tiers_window *window, int64_t percent);

/* How many suspects are read anew per second at most. 0: none. */
enum {
    REVALIDATE_AUTO = -1 /* by the load (revalidate.h) */
};
void tiers_window_revalidate(struct tiers_window *window, int64_t rate);

/* --- reading ------------------------------------------------------------------------------------------------------- */

struct tiers_value {
    struct item *item;  /* borrowed; NULL: there is no such key */
    struct slice error; /* L2_ERROR: Redis' text without '-' and line end */
    bool is_spare;      /* it is L1's, since L2 could not be asked */
    enum status kept;   /* to one in the background: what l1_fill said of the item */
    bool in_steps;      /* to one in the background: L2 was asked more than once */
    const struct l1_key
        *key; /* whose, with TOO_BIG of a string, or in the background; during the call */
};

struct tiers_reader {
    /* Exactly once after PENDING. OK (item, of either kind, or nil), L2_ERROR, L2_DOWN, NO_MEMORY, STALE (strict). Of a
     * hash also TOO_BIG or MISS: it was not read, so ask L2 for what is wanted of it. With takes_large TOO_BIG, too: it is
     * larger than L1 keeps, so tiers_download it (download.h), or ask L2 for what is wanted of it. */
    void (*on_value)(struct tiers_reader *reader, enum status status,
                     const struct tiers_value *value);
    /* Whether it can ask for a large value anew, on another connection, as if it had not asked: nothing that was asked behind
     * it on the same link may matter to it. NULL: never, so it is held whole for it. On the window's loop. */
    bool (*takes_large)(struct tiers_reader *reader);
    const struct wish *wish; /* borrowed; NULL: as the namespace says */
    bool in_background;      /* nobody asked: the read is no use of the key and not counted */
    bool prefetches;         /* it is one of prefetch.h, in the background */
    bool of_hash;            /* it wants a field, or all, of a hash */
    bool managed; /* private from here: what it expects an item to be, and the flight's */
    struct tiers_reader *next;
    int64_t asked_ms; /* when L1 did not have it; 0: not so far */
};

/* OK: `value` holds it (l1_value's rules), of either kind, as old as the contract allows; of a managed namespace in the shape
 * of managed.h, whatever it is worth. In L2 a broken envelope is nothing. MISS: of a hash that is not worth
 * reading whole; ask L2 for what is wanted of it. TOO_BIG: as on_value says. PENDING: on_value
 * follows, never from inside; *ret_foreign says whether somebody else's link carries the question. L2_DOWN, BUSY,
 * NO_MEMORY. `proto` chooses the link (2 or 3), so that a client's commands stay in order. */
enum status tiers_get(struct tiers_window *window, const struct ns_key *key, int proto,
                      struct l1_value *value, struct tiers_reader *reader,
                      bool *ret_foreign) MUST_USE;
/* What L1 holds, as far as the contract goes if L2 cannot be asked: OK or MISS. Counts as a use; `wish` may be NULL. */
enum status tiers_spare(struct tiers_window *window, const struct ns_key *key,
                        const struct wish *wish, struct l1_value *value) MUST_USE;
/* What an item of a managed namespace is worth now: by its times, the bans, and the rules of its namespace. `bytes` and
 * expiry are the item's, as l1_value has them; what cannot be opened is DEAD. */
enum managed_state tiers_judge(struct tiers_window *window, const struct ns_key *key,
                               struct slice bytes, int64_t expire_at_ms,
                               struct managed_value *ret_value, enum ban_verdict *ret_bans);
struct tiers_age {
    int64_t age_ms; /* how far a value of L1 may be behind L2 */
    bool is_stale;  /* more than its namespace promises while all is well */
    bool
        is_suspect; /* something may have been missed since its stamp, of which nobody will ever tell */
};
struct tiers_age tiers_age(const struct tiers_window *window, const struct namespace *ns,
                           int64_t stamp_ms);
/* L1 only, not a use: OK with the peek, or MISS (it may be in L2). */
enum status tiers_peek(struct tiers_window *window, const struct ns_key *key,
                       struct l1_peek *ret) MUST_USE;
/* L1 only, a use: OK or MISS. */
enum status tiers_get_here(struct tiers_window *window, const struct ns_key *key,
                           struct l1_value *value) MUST_USE;

/* Reads a suspect of L1 anew, as tiers_get would on its next read, for a reader in the background. PENDING: on_value
 * follows, and *ret_suspect is what stood there, with a reference for the caller. MISS: there is no suspect to read, or
 * somebody does already. BUSY: not at present, since nothing could be kept. L2_DOWN, NO_MEMORY. */
enum status tiers_revalidate(struct tiers_window *window, const struct ns_key *key,
                             struct tiers_reader *reader, struct item **ret_suspect) MUST_USE;

/* --- passing on ---------------------------------------------------------------------------------------------------- */

struct tiers_relay {
    /* Strict: the reply, valid during the call, which the asker keeps until all nodes have applied it: on_reply then comes
     * without bytes. NULL: it is short, and the tiers keep it. */
    void (*on_kept)(struct tiers_relay *relay, struct slice reply);
    /* Exactly once after OK of tiers_relay. OK: one whole reply as bytes of the link's protocol. L2_DOWN, UNKNOWN, STALE
     * (strict), with the reply that may not be told: it says what became of a write. */
    void (*on_reply)(struct tiers_relay *relay, enum status status, struct slice reply);
    /* As in tiers_reader, for a GET of the one key that `keys` names; on_reply then says TOO_BIG. */
    bool (*takes_large)(struct tiers_relay *relay);
    struct l1_key *keys; /* that end; memory of the asker, alive until on_reply */
    size_t key_count;
    uint16_t ends_dbs; /* bit n: everything in database n ends, too (FLUSHDB, FLUSHALL, SWAPDB) */
    bool writes;
    bool keyless;      /* it changes and shows no key at all: a message */
    struct line *line; /* which carries it (line.h); NULL: the window's shared link */
    unsigned parts;    /* requests in front of it, whose replies nobody wants; only of a read */
    bool blocks;       /* it may take as long as it likes; only on a line */
    bool
        of_hash; /* a read of the one hash that `keys` names: what it is told may show that it is too large for L1 */
    bool patient;      /* wait as long as relay_ms instead of read_ms */
    bool confirmed;    /* set with UNKNOWN: the write cannot run any more (link.h, "Lost writes") */
    bool keys_unknown; /* it may change, or show, more than `keys` */
    bool runs_code;    /* a script, or a module's: its errors may say anything */
    bool
        strays; /* a write may change keys that the table does not name: all nodes are told to suspect */
    uint8_t db;
    struct slice more
        [2]; /* of the request, behind its bytes: a large value, and what stands behind it. During the call */
    uint64_t run; /* when on_reply is called: the process that answered; 0: none did */
    bool
        is_block; /* it is `commands` requests, to run in one step: MULTI and EXEC are put around them */
    unsigned commands;
    unsigned
        frames; /* of a block, when its array is handed over: so many elements in front are not its own */
    size_t dropped;              /* values of L1 that its keys ended, when on_reply is called */
    struct tiers_window *window; /* private from here */
    const struct link *link;
    struct link_request request;
    struct tiers_confirm confirm;
    struct buf kept; /* the reply, while all nodes are waited for */
    bool is_unknown; /* it was UNKNOWN */
    bool wrapped;    /* in MULTI and EXEC (announce.h) */
    bool opened;     /* MULTI was answered OK; */
    bool is_refused; /* it was not */
    struct announce_refusal refusal;
};

/* Where keys of it are in namespaces with `writers = nodes`, it carries its announcement with it; the reply is still its
 * own. One that blocks does not, for in MULTI it would not: what Redis' own blocking commands change are lists, sorted sets
 * and streams before and after, so no L1 holds a value of such a key that they could make older. Those of modules (runs_code)
 * carry theirs, and do not block. */
enum status tiers_relay(struct tiers_window *window, struct tiers_relay *relay, int proto,
                        struct slice bytes) MUST_USE;
/* Redis' CLIENT ID of the connection over which it went; 0: it has none now. Until on_reply. */
uint64_t tiers_relay_carrier(const struct tiers_relay *relay);
/* A request that tells all nodes to empty their L1, or to suspect what is in it (frame.h), and then runs a command that
 * Redis announces to nobody (SWAPDB), in one step; its reply is the command's own. Without words the reply is the
 * beat's. TOO_BIG: more than BEAT_COMMAND_WORDS_MAX words. */
enum status tiers_write_announced(struct tiers_window *window, const struct frame_flush *flush,
                                  const struct slice *words, size_t count,
                                  struct buf *out) MUST_USE;
/* A request of the node's own about keys of coherence-db, over the window's link, with a read's deadline; on_reply and what
 * else it needs is set by the asker. As link_ask. */
enum status tiers_ask(struct tiers_window *window, struct link_request *request,
                      const struct slice *words, size_t count) MUST_USE;
/* L2 is known not to answer, so that nobody who asks it for something waits: -L2DOWN. */
bool tiers_is_down(const struct tiers_window *window);
/* Why L2 cannot be asked, for the message behind -L2DOWN. */
const char *tiers_why_down(const struct tiers_window *window);

#endif
