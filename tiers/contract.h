/* SPDX-License-Identifier: BSD-3-Clause */
/* contract.h -- how old a value one read accepts (COHERENCE section 7): the mode of its namespace, or what the read says.
 *
 * What a node knows about its values at one moment is its PROOF, a copy of coherence.h's view. From it follows what a
 * value with stamp s may be behind L2, its proven age: now - max(s, K), where K is the horizon H if s >= floor; what the
 * horizon was when the floor last rose, if the value became a suspect then; nothing otherwise.
 *
 * THE FLOOR OF A LIMIT L: the least stamp from which on every proven age is at most L. One number suffices, so a lookup
 * compares once whatever the contract is:
 *
 *      least = now - L                                          by the stamp alone
 *      H is there, and H >= now - L:            also from the floor on
 *      H as it was, and that >= now - L:        also suspects, from the floor before this one on
 *
 * Proof that the accepted stamps have no gap above the least. Stamps from now - L on are accepted by themselves. The
 * second line accepts s >= floor, a set without upper end. The third accepts prior floor <= s < floor, and what lies
 * above is accepted too: K was taken before the floor rose, so now - L <= K < floor, and every s >= floor is at least
 * now - L. So each line only moves the least stamp down. That no stamp below is good: s < now - L needs one of the two
 * K's, and these are the two lines.
 *
 * `bounded T` and `strict T` do not use that: they serve while H is at most T old, from the floor on, and nothing else.
 * It is narrower than the proven age (a suspect read a moment ago is asked again), and it is what sessions rest on: a
 * suspect may be older than something that its reader saw through another key.
 *
 *      mode            fence open                  fence closed                       L2 cannot be asked
 *      bounded T       from the floor on           nothing                            error
 *      strict T        from the floor on           nothing                            error
 *      available G     from the floor on           proven age <= G, marked stale      proven age <= G, marked stale
 *      ttl             everything in L1            everything in L1                   everything in L1
 *
 * A read may ask for something else: at most so old (MAXSTALE, in place of T and G), anything (ANY), nothing but L2's own
 * answer (FRESH), nothing that was not told of a seq (ATLEAST). Whatever the contract, what an announcement or a write
 * ended is not in L1, and what has expired is not served.
 *
 * ATLEAST s: this node has applied s, so every announcement that went before it; a value stamped from the floor on was
 * read after the last time that something may have been missed, so whatever of s ended it has ended it. Below the floor
 * that is not known. A read under way may be joined for the same reason: its token would have ended.
 *
 * JOINING. A read under way that began less than T ago may be joined. Under `strict` only while the fence is open: then
 * what was acknowledged everywhere before (waiters.h) has been applied here, and a read that was sent before it has lost
 * its token, so it cannot be joined. With the fence closed nothing tells.
 *      Who joins when the life of the value is over is not told of it, but asks again (flight.c).
 *
 * Threads: pure.
 * Units:   milliseconds of clock.h. */
#ifndef TERRACE_TIERS_CONTRACT_H
#define TERRACE_TIERS_CONTRACT_H

#include "tiers/coherence.h"
#include "tiers/namespace.h"

struct proof {
    int64_t now_ms;
    int64_t horizon_ms; /* 0: none */
    int64_t floor_ms;
    int64_t proven_ms;      /* H as it was when the floor last rose; 0: none */
    int64_t prior_floor_ms; /* of what became suspect then */
    uint64_t applied_seq;   /* of the present epoch; 0: none */
};

/* The view as it is now, with the floor of plain or of managed namespaces. In the order that coherence_proven_age_ms asks
 * for; the seq comes before all, since what was missed in front of it has raised the floor before it was shown. */
static inline void proof_take(struct proof *proof, const struct coherence_view *view,
                              const struct coherence_floor *floor, int64_t now_ms)
{
    proof->now_ms = now_ms;
    proof->applied_seq = atomic_load_explicit(&view->applied_seq, memory_order_acquire);
    proof->horizon_ms = atomic_load_explicit(&view->horizon_ms, memory_order_acquire);
    proof->floor_ms = atomic_load_explicit(&floor->floor_ms, memory_order_acquire);
    proof->proven_ms = atomic_load_explicit(&floor->proven_ms, memory_order_acquire);
    proof->prior_floor_ms = atomic_load_explicit(&floor->prior_floor_ms, memory_order_acquire);
}

/* The fence: the horizon is at most so old. */
static inline bool proof_reaches(const struct proof *proof, int64_t bound_ms)
{
    return proof->horizon_ms != 0 && proof->now_ms - proof->horizon_ms <= bound_ms;
}

/* Nothing of managed namespaces was missed, as far as is known: not so while the log is being asked (coherence.h). */
static inline bool proof_is_whole(const struct proof *proof)
{
    return proof->floor_ms != INT64_MAX;
}

int64_t proof_age_ms(const struct proof *proof, int64_t stamp_ms); /* the proven age */
/* The floor of a limit; INT64_MAX as limit accepts everything. */
int64_t proof_floor_of(const struct proof *proof, int64_t limit_ms);

/* What a read says in place of its namespace's mode. All zeros: nothing. */
enum wish_kind {
    WISH_NOTHING,
    WISH_MAXSTALE,
    WISH_ANY,
    WISH_FRESH
};

struct wish {
    enum wish_kind kind;
    int64_t max_stale_ms; /* of WISH_MAXSTALE */
    uint64_t atleast_seq; /* 0: none */
    bool patient; /* what is older than the mode allows only when L2 does not answer (SOFT) */
};

struct contract {
    int64_t serve_from_ms; /* L1: values with stamps from here on */
    int64_t spare_from_ms; /* and from here on if L2 cannot be asked */
    int64_t join_ms;       /* a read under way may have begun so long ago; 0: join none */
    int64_t fence_ms;      /* how old the proof of the link may be that L2 is asked on */
};

/* What a mode says, and what a read with its own wish says (NULL: none). */
struct contract contract_of(const struct proof *proof, const struct namespace_mode *mode,
                            const struct wish *wish);
/* Whether a value is older than the namespace promises while all is well, so that it must be marked. */
bool contract_is_stale(const struct proof *proof, const struct namespace_mode *mode,
                       int64_t stamp_ms);

#endif
