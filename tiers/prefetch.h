/* SPDX-License-Identifier: BSD-3-Clause */
/* prefetch.h -- journey 2 without a client: brings one key from L2 into L1 because somebody will want it.
 *
 *      tiers_prefetch -> l1_claim_unasked -> flight ~> l2 ~> l1_fill (token stands) -> on_done
 *
 * It takes the ordinary road: claim, flight, token, landing, fence. So a write, an invalidation, a ban or a change of the
 * namespaces between its claim and its landing ends it, as it would end a client's read; a client who asks meanwhile joins
 * its flight, and then it is that client's read, for the policy and the counters, too. Else it is no use of the key: no
 * hit, no miss and no read of L2 is counted.
 *
 * PROBATION: what it brings in is a newcomer of the lowest standing, or of the HEAT that the source reported (policy.h,
 * "probation"). Nothing leaves for it but what is colder by the word of L1's policy: where all that stands is hotter it is
 * not kept, and that is told (SKIPPED, "colder than what stands"). Its first use makes it an ordinary newcomer.
 *
 * MODES: MISSING  only if nothing stands for the key, not even a suspect
 *        STALE    a suspect, too, and a managed value that is not fresh any more; of bounded and available namespaces what they
 *                 serve counts as fresh, as of namespaces of mode `ttl`, which have no suspects
 *        FORCE    whatever stands; until the answer is here, that is served
 *
 * A KEY'S TYPE is not known beforehand: it is asked for as a string, and if it is no string as a whole hash (tiers.h), of at
 * most `l1-hash-fields` fields; a reader of a field finds it then. What is neither is SKIPPED. Large values, strings or
 * hashes, are not kept, and do not come: no more is asked for than L1 would keep, and of what is larger 64 KiB at most
 * (flight_ask.c): TOO_BIG.
 *
 * MANAGED keys: what L2 has is adopted if it is fresh. A value that is not is no business of warming, since only an
 * application can load it anew: SKIPPED, and nothing is kept of it, unless it makes newer what stood here.
 *
 * STRICT namespaces are left to who asks, unless FORCE is said: each read of theirs waits for all nodes and has each of them
 * beat, and behind a node that hangs it would hold up all other warming. (revalidate.h says the same.)
 *
 * Owns:    nothing of the caller's: key and tag are borrowed during the call, the struct until on_done.
 * Threads: the window's.
 * Errors:  BUSY (at present nothing could be kept: the bus is not confirmed, or L2 has just come back), L2_DOWN, NO_MEMORY. */
#ifndef TERRACE_TIERS_PREFETCH_H
#define TERRACE_TIERS_PREFETCH_H

#include "tiers/prefetch_mode.h"
#include "tiers/tiers.h"

/* What is done with a key. */
enum prefetch_act {
    PREFETCH_LOAD,
    PREFETCH_LOOK, /* a dry run: LOADED if it would be read and L2 has it; L2 is asked by EXISTS, nothing is kept */
    PREFETCH_TOUCH, /* L2 alone: TOUCH, so that it counts as used there; LOADED or ABSENT. The mode does not matter */
};

enum prefetch_outcome {
    PREFETCH_LOADED,
    PREFETCH_SKIPPED, /* `why` */
    PREFETCH_ABSENT,  /* L2 does not have it */
    PREFETCH_TOO_BIG,
    PREFETCH_FAILED, /* `why` or `error`; status AGAIN, BUSY, L2_DOWN, STALE, NO_MEMORY: it is worth another try */
};

struct prefetch_result {
    enum prefetch_outcome outcome;
    enum status status; /* OK; with FAILED the reason */
    const char *why;    /* a literal, in words for an operator; or NULL */
    struct slice error; /* Redis' own words, with L2_ERROR. During the call */
    size_t bytes;       /* of the value that came, LOADED */
};

struct tiers_prefetch {
    struct tiers_reader reader; /* first; private, as all from `window` on */
    /* Exactly once after PENDING, never from inside. It may free the struct. */
    void (*on_done)(struct tiers_prefetch *prefetch, const struct prefetch_result *result);
    enum prefetch_mode mode;
    enum prefetch_act act;
    uint8_t heat; /* on the scale of OBJECT FREQ (policy_lfu); 0: not known */
    /* Empty; or: of managed keys only those that have this tag, others are SKIPPED. */
    struct slice only_tag;
    struct tiers_window *window;
    struct link_request request; /* of LOOK and TOUCH */
    uint64_t tag_hash;           /* 0: any */
    bool replaces;               /* a value stood here that is served until the answer is here */
    bool asked_again;            /* as a hash, once it was no string */
    bool in_steps;               /* L2 was asked more than once; from on_done on for all to see */
};

/* Begin: on_done, mode, act, heat and only_tag are set, all else zero. PENDING; OK: *ret_result says what came of it at
 * once (SKIPPED, TOO_BIG); else nothing was begun. */
enum status tiers_prefetch(struct tiers_window *window, const struct ns_key *key,
                           struct tiers_prefetch *prefetch,
                           struct prefetch_result *ret_result) MUST_USE;

/* For flight.c, of a reader that is one and waits alone: how hot the source said it is; whether the value is to stand here. */
uint8_t prefetch_heat(const struct tiers_reader *reader);
bool prefetch_admits(const struct tiers_reader *reader, const struct ns_key *key,
                     const struct item *item);

#endif
