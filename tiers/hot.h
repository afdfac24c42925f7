/* SPDX-License-Identifier: BSD-3-Clause */
/* hot.h -- which keys are asked for most: a bounded sketch, one per worker, of the reads that clients were answered.
 *
 * SPACE SAVING (Metwally, Agrawal, El Abbadi: "Efficient computation of frequent and top-k elements in data streams", ICDT
 * 2005, section 3): `rows` keys have a count each. A read of one of them adds to its count; a read of another key takes the
 * place of the row with the least count, and goes on from that count, which it remembers as its ERROR:
 *
 *      a 9 (0)   b 7 (2)   c 4 (1)        read of d        a 9 (0)   b 7 (2)   d 5 (4)
 *
 * Reads FADE by half in HOT_HALF_LIFE_MS, all alike, by "forward decay" (Cormode, Shkapenyuk, Srivastava, Xu, ICDE 2009): a
 * later read weighs more, and nothing that is kept needs to be touched. So the arguments below hold for weighted reads; all
 * that is told is divided by the weight of now.
 *
 *      Bound. Let W be the weight of all reads and m the rows. (1) The counts sum up to W: each read adds its weight to one
 *      of them, and who takes a row's place takes its count over. (2) So the least count is W/m at most. (3) A key that
 *      is in no row was read for the least count at most: by induction, since it had no row before it came, or lost one
 *      whose count was an upper bound of its reads and the least then, and the least never falls. (4) So the count of a row is
 *      no less than its key's reads, and too high by its error at most, which was the least count at some time: W/m at most.
 *
 *      count - error <= reads of the key <= count,    error <= W/m,    and no key with more than W/m reads is missing.
 *
 * What is told is the LOWER of the two, since an adversary who asks for each key once gives every row the count W/m: the
 * lower bound of such a key is 1. Sketches merge (Agarwal et al., "Mergeable summaries", PODS 2012): bounds add up, and of
 * who has no row in one the upper bound there is its least count; so the sum of W/m over all sketches, W of them all over m,
 * bounds the error of the merged list.
 *
 * SAMPLING: above so many reads per tick that keeping rows would cost more than it is worth, one of N reads on average
 * is counted, as N; the gaps are drawn (1 to 2N - 1), so that no rhythm of requests hides a key. N doubles when a tick's
 * samples are used up and halves when a quarter was enough, so the cost per second is bounded whatever comes, and a quiet
 * worker counts every read. The bounds then hold for what was sampled; of a key with a share p of S samples that weigh
 * alike, the standard deviation of the share is sqrt(p(1 - p)/S). A busy worker takes HOT_SAMPLES a tick or a quarter of that
 * at least, so S is 27,000 to 110,000 in the 87 seconds that count: a share of 1 % is known to 0.06 %.
 *
 * Does NOT count keys longer than HOT_KEY_MAX, reads in the background, nor what libterrace answers from its L0.
 *
 * Owns:    its rows, and copies of their keys.
 * Threads: its worker's; hot_copy gives a picture to whoever merges.
 * Units:   reads, as doubles: fractions come of fading. Milliseconds of clock.h.
 * Limits:  HOT_ROWS_MAX rows; a row takes about 100 bytes and its key.
 * Errors:  without memory for a key its read is not counted. */
#ifndef TERRACE_TIERS_HOT_H
#define TERRACE_TIERS_HOT_H

#include "protocol/bytes.h"

enum {
    HOT_HALF_LIFE_MS = 60000,
    HOT_KEY_MAX = 512,
    HOT_ROWS_MAX = 65536,
    HOT_SAMPLES = 128, /* per hot_tick */
    HOT_EVERY_MAX = 65536,
};

struct hot_sketch;

struct hot {
    uint32_t left; /* reads until the next sample; all others are private to hot.c */
    struct hot_sketch *sketch;
};

struct hot_options {
    unsigned rows;    /* 0: nothing is counted */
    unsigned samples; /* per tick; 0: every read is counted */
    uint64_t seed;    /* of the gaps */
    int64_t now_ms;
};

enum status hot_open(struct hot *hot, const struct hot_options *options) MUST_USE; /* NO_MEMORY */
void hot_close(struct hot *hot); /* all zeros is fine */

/* Counts the read as many. Seldom called, so its code is laid out of the way. */
void hot_sample(struct hot *hot, uint64_t hash, uint8_t db, struct slice key) __attribute__((cold));

/* Whether this read is one to be counted: then hot_sample is to follow, or hot_put_off: it is no client's, but the next one. */
static inline bool hot_is_due(struct hot *hot)
{
    return --hot->left == 0;
}
static inline void hot_put_off(struct hot *hot)
{
    hot->left = 1;
}

/* A client read the key. `hash` is one that nobody outside can foresee (hash.h), the same for the key in all databases. */
static inline void hot_note(struct hot *hot, uint64_t hash, uint8_t db, struct slice key)
{
    if (hot_is_due(hot)) {
        hot_sample(hot, hash, db, key);
    }
}

/* Ten times a second: reads that follow weigh as of now. */
void hot_tick(struct hot *hot, int64_t now_ms);
unsigned hot_every(const struct hot *hot); /* N: one of so many reads is counted at present */

/* --- a picture of it ----------------------------------------------------------------------------------------------- */

struct hot_copied {
    uint64_t hash;
    double count;    /* the lower bound */
    double error;    /* the upper one is so much more */
    uint32_t key_at; /* in `keys` */
    uint16_t key_size;
    uint8_t db;
};

/* All zeros is empty. */
struct hot_copy {
    struct hot_copied *rows; /* in no order */
    size_t count;
    size_t room;
    struct buf keys;
    double total; /* reads of all keys */
    double grain; /* reads that a sample stands for, on average of reads: what counts are made of */
    double least; /* a key without a row was read so often at most */
    double
        window_s; /* so long `total` takes at its rate: half-life / ln 2, or less while the sketch is young; a
                        second at least */
};

/* In place of what was there. NO_MEMORY: it is empty. */
enum status hot_copy(const struct hot *hot, struct hot_copy *copy, int64_t now_ms) MUST_USE;
void hot_copy_done(struct hot_copy *copy);

#endif
