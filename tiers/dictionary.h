/* SPDX-License-Identifier: BSD-3-Clause */
/* dictionary.h -- what the values of a namespace have in common, learned from them and shared by all nodes.
 *
 * A node has one `dictionaries`, in it a SPACE per namespace name, in it the dictionaries that are known here: those that
 * values in L2 were written with. One is CURRENT: new values are written with it.
 *
 *      values written -> samples (full) -> dictionary_train -> better than the current one by 12 %? -> L2 -> current
 *      value read, number not known here -> L2 -> known
 *
 * A dictionary's NUMBER is 48 bits of the hash of its bytes. So what is read under a number is either the very bytes that
 * values were written with or is refused: a wrong dictionary would decode to other bytes, and nothing else would show it.
 *
 * In L2 (hash terrace:dict:<namespace>, in coherence-db): field `current` is a number in decimal, field <number> its bytes.
 * None is ever removed, since a value without an end may be written with it, so there are DICTIONARIES_IN_L2 at most and
 * then no others are made. Whoever talks to L2 about them is dictionary_desk.h.
 *
 * When to learn: from the first values; and again when twice as many have been written as at the last attempt. So it takes
 * a few milliseconds each time, and twenty attempts see a million values.
 *
 * VERDICT: where many values in a row did not get smaller, only every 64th is tried until one does.
 *
 * Owns:    dictionaries; a space and what is known in it live as long as `dictionaries`.
 * Threads: any; what is known is found without a lock. Sampling gives up where another thread samples.
 * Limits:  DICTIONARIES_KNOWN_MAX per space, 32 KiB each with its table; DICTIONARY_SPACES_MAX spaces; samples of
 *          DICTIONARY_SAMPLES_BYTES while they are collected.
 * Errors:  INVALID: the bytes are not those of the number; TOO_BIG: a limit above; MISS; NO_MEMORY. */
#ifndef TERRACE_TIERS_DICTIONARY_H
#define TERRACE_TIERS_DICTIONARY_H

#include "protocol/codec.h"

#include <stdatomic.h>

enum {
    DICTIONARY_SIZE =
        16 << 10, /* of those made here; see bench/results/2026-11-22-compression.md */
    DICTIONARIES_IN_L2 = 8,
    DICTIONARIES_KNOWN_MAX = 16,
    DICTIONARY_SPACES_MAX = 1024,
    DICTIONARY_SAMPLES_BYTES = 128 << 10,
    DICTIONARY_SAMPLES_MAX = 1024,
    DICTIONARY_SAMPLE_MAX = 4096, /* bytes of one value, its beginning */
    DICTIONARY_TRIES = 16,        /* in vain, in a row: then only every ... */
    DICTIONARY_TRY_EVERY = 64,
};

struct dictionaries;
struct dictionary_space;

struct dictionary {
    uint64_t number;
    const struct codec_dictionary *codec;
};

struct dictionaries *dictionaries_new(void); /* NULL: no memory */
void dictionaries_free(struct dictionaries *dictionaries);
/* The space of a namespace, made when it is asked for first. NULL: no memory, or too many. */
struct dictionary_space *dictionaries_at(struct dictionaries *dictionaries, struct slice name);
/* All in turn, from NULL on. */
struct dictionary_space *dictionaries_next(struct dictionaries *dictionaries,
                                           struct dictionary_space *after);
struct slice dictionary_space_name(const struct dictionary_space *space);

uint64_t dictionary_number(struct slice bytes); /* 1 to 2^48 - 1 */
const struct codec_dictionary *dictionary_find(const struct dictionary_space *space,
                                               uint64_t number); /* NULL: not known here */
struct dictionary dictionary_current(const struct dictionary_space *space); /* number 0: none */
/* OK also if it is known. INVALID, TOO_BIG, NO_MEMORY. */
enum status dictionary_learn(struct dictionary_space *space, uint64_t number,
                             struct slice bytes) MUST_USE;
void dictionary_use(struct dictionary_space *space, uint64_t number); /* which is known */

/* --- the verdict --------------------------------------------------------------------------------------------------- */

bool dictionary_tries(struct dictionary_space *space); /* whether this value is worth trying */
void dictionary_tell(struct dictionary_space *space, bool saved); /* what became of it */

/* --- learning ------------------------------------------------------------------------------------------------------ */

/* Takes a copy, if one is wanted now. */
void dictionary_sample(struct dictionary_space *space, struct slice value);
bool dictionary_is_ready(const struct dictionary_space *space); /* samples are full */
/* Out of the samples, which end. OK: `out` has one that makes values that it was not made of smaller by 12 % than what is
 * used now does. MISS: it does not. NO_MEMORY. Takes milliseconds. */
enum status dictionary_train(struct dictionary_space *space, struct buf *out) MUST_USE;
/* No more of them: L2 has as many as it may. */
void dictionary_close(struct dictionary_space *space);

#endif
