/* SPDX-License-Identifier: BSD-3-Clause */
/* window.h -- what tiers.h keeps to itself: a worker's window, shared by window.c (its life), window_read.c and flight.c
 * (reads), window_relay.c (what is passed on), window_links.c and line.c (links).
 *
 * Threads: the worker's. */
#ifndef TERRACE_TIERS_WINDOW_H
#define TERRACE_TIERS_WINDOW_H

#include "tiers/base/list.h"
#include "tiers/base/rand.h"
#include "tiers/base/spares.h"
#include "tiers/contract.h"
#include "tiers/hot.h"
#include "tiers/promotion.h"
#include "tiers/stream.h"
#include "tiers/tiers.h"
#include "tiers/turnstile.h"

enum {
    WINDOW_MAGIC = 0x71e55002,
    WINDOW_FLIGHT_BUCKETS = 256,
    WINDOW_SCRATCH_KEPT = 256 * 1024 /* of what wrote one large request */
};
#define WINDOW_KEPT_BYTES_MAX (256ull << 20)

/* What the callbacks of a window's links get as their `arg`: the first member of whoever the link belongs to. */
struct window_seat {
    struct tiers_window *window;
};

/* The window's lines (line.h), each in one of the lists. */
struct line_pool {
    struct list used;
    struct list idle[2]; /* RESP2, RESP3; the one that was used last is last */
    struct list ended;   /* their memory goes with the next tick */
};

struct tiers_window {
    struct window_seat seat; /* of the shared links */
    uint32_t magic;
    struct tiers_window_options options;
    struct namespaces *namespaces;
    const struct coherence_view *view;
    struct foreseen *foreseen;
    struct hot *hot;       /* told what clients read */
    struct hot no_hot;     /* if there is none: it counts nothing */
    struct spares *spares; /* the roof's, or if there are none: */
    struct spares own_spares;
    struct link *links[2]; /* RESP2, RESP3; the second from its first use on */
    struct line_pool lines;
    struct stream_hall streams;
    unsigned let_in;                            /* as of the last tick */
    bool ended;                                 /* its links are closed for good */
    struct list flights[WINDOW_FLIGHT_BUCKETS]; /* by token */
    struct turnstile turnstile;
    struct list row; /* flights that wait in front of it */
    unsigned row_count;
    struct buf scratch;          /* a request being written */
    struct buf block;            /* a value being compressed (wrap.h) */
    struct desk *desk;           /* what it asks about dictionaries */
    struct promotion *promotion; /* from the first read of a hash on */
    int64_t hash_fields_max;
    struct revalidate *revalidate;         /* NULL: another window does */
    struct bans_memo *bans_memo;           /* for bans_check */
    struct rand rand;                      /* for XFetch */
    uint64_t reads_told;                   /* to the node, by tiers_add_reads */
    size_t kept_bytes;                     /* values that wait for all nodes */
    unsigned verdicts;                     /* asked since the last tick (verdict.h) */
    struct behind_desk *behind;            /* NULL: the node has no write-behind */
    struct managed_writes *managed_writes; /* from the first write of a managed key on */
    struct loads *loads;                   /* load.h; from the first read of a managed key on */
    int64_t read_timeout_ms;
    int64_t relay_timeout_ms;
    /* of the batch: */
    int64_t now_ms;
    uint64_t generation;
    struct proof proofs[2]; /* of plain and of managed namespaces: window_proof */
    bool tracks;            /* tiers_window_tracks */
};

static inline const struct proof *window_proof(const struct tiers_window *window,
                                               const struct namespace *ns)
{
    return &window->proofs[ns->managed];
}

/* The contract of a read at serve time; `wish` may be NULL. The default mode, which is that of almost all reads, is
 * looked at here. */
static inline struct contract window_contract(const struct tiers_window *window,
                                              const struct namespace *ns, const struct wish *wish)
{
    const struct proof *proof = window_proof(window, ns);
    if (wish != NULL || namespace_kind(ns) != NAMESPACE_BOUNDED) {
        const struct namespace_mode mode = namespace_mode(ns);
        return contract_of(proof, &mode, wish);
    }
    const int64_t bound_ms = namespace_bound_ms(ns);
    const int64_t from_ms = proof_reaches(proof, bound_ms) ? proof->floor_ms : INT64_MAX;
    return (struct contract){.serve_from_ms = from_ms,
                             .spare_from_ms = from_ms,
                             .join_ms = bound_ms,
                             .fence_ms = bound_ms};
}

/* How long the bus may be silent until nobody may say any more what was not invalidated, in this mode; INT64_MAX: for ever. */
static inline int64_t window_silence_ms(const struct namespace *ns)
{
    const struct namespace_mode mode = namespace_mode(ns);
    if (mode.kind == NAMESPACE_TTL) {
        return INT64_MAX;
    }
    return mode.kind == NAMESPACE_AVAILABLE && mode.grace_ms > mode.bound_ms ? mode.grace_ms
                                                                             : mode.bound_ms;
}

/* A key whose home may have changed since it was asked for. */
static inline struct ns_key window_key(const struct tiers_window *window, const struct l1_key *key)
{
    return (struct ns_key){.at = *key, .ns = namespace_of(window->namespaces, key->bytes)};
}

/* Waits until all live nodes have applied what L2 answered; as long as any of them may need, and then as a read. OK, or
 * why not: then on_confirmed will not be called. */
enum status window_confirm(struct tiers_window *window, struct tiers_confirm *confirm) MUST_USE;

/* What L1 had for a client's read of a key whose place is armed. */
void window_note_foreseen(struct tiers_window *window, const struct l1_key *key, bool is_hit)
    __attribute__((cold));

/* The link for a protocol; NULL: no memory, or the window has ended. */
struct link *window_link(struct tiers_window *window, int proto);
/* Options of a link of this window, whose owner has the `seat`. */
struct link_options window_link_options(const struct tiers_window *window, int proto,
                                        struct window_seat *seat);
/* A tick of all links, wherever L2 is now. */
void window_links_tick(struct tiers_window *window, int64_t now_ms);

/* line.c */
void line_pool_open(struct line_pool *pool);
void line_pool_tick(struct tiers_window *window, int64_t now_ms);
/* L2 is the process `run` now: lines at another are lost. */
void line_pool_retarget(struct tiers_window *window, uint64_t run, int64_t now_ms);
void line_pool_end(struct tiers_window *window); /* for good; those in use are lost */

/* What L1 has of a managed key is all but its value, and this reader wants that. */
static inline bool window_withholds(const struct tiers_reader *reader, struct slice bytes)
{
    return reader->managed && reader->takes_large == NULL && !reader->in_background &&
           managed_is_large(bytes);
}

/* The hash is too large to be kept, or L2 will not tell it. */
void window_refuse_hash(struct tiers_window *window, const struct l1_key *key);
/* The bus was heard of late enough for managed values of this namespace to be judged by the bans that are known here. */
bool window_hears_bans(const struct tiers_window *window, const struct namespace *ns);

/* flight.c */
struct flight;
/* Those in the row go on, as far as they are let through; what waited for too long ends. */
void flights_tick(struct tiers_window *window);
void flights_end_row(struct tiers_window *window); /* with L2_DOWN */
/* A read that would begin now would have to wait in the row. */
bool flights_wait(const struct tiers_window *window);
/* Joins or begins the read of a key whose claim says `status` (CLAIMED, TAKEN), or reads without a claim
 * (NO_MEMORY). PENDING, or why not. */
enum status flight_join(struct tiers_window *window, const struct ns_key *key, int proto,
                        enum status status, const struct l1_claim *claim, int64_t fence_ms,
                        struct tiers_reader *reader, bool *ret_foreign) MUST_USE;

#endif
