/* SPDX-License-Identifier: BSD-3-Clause */
/* trainer.h -- a dictionary out of samples: the pieces of text that most values repeat.
 *
 * After FastCover (Liao, Petri, Moffat, Wirth: "Effective Construction of Relative Lempel-Ziv Dictionaries", WWW 2016; the
 * hashed counts are zstd's). Short runs of TRAINER_RUN bytes are counted over all samples, in a table by hash. Then the
 * samples are gone over in parts, round after round: of each part the segment is taken whose runs are the most frequent,
 * and its runs count nothing from then on, so no two segments say the same:
 *
 *      samples   |----part----|----part----|----part----|          counts: "name":  900   ,"roles  880   xq7Zp1  0
 *                     [segment]    [segment]  [segment]
 *      dictionary     ... 5th best | 3rd | 2nd | best              what is best lies last: LZ4's table, in which the
 *                                                                  later displaces the earlier, keeps it
 *
 * It ends when the dictionary is full or nothing is left that many values have.
 *
 * Threads: pure.
 * Limits:  TRAINER_BYTES_MAX of samples; it takes some milliseconds for that, and half a megabyte of memory. */
#ifndef TERRACE_TIERS_TRAINER_H
#define TERRACE_TIERS_TRAINER_H

#include "protocol/bytes.h"

enum {
    TRAINER_BYTES_MAX = 1 << 20,
    TRAINER_RUN = 4, /* bytes: what LZ4 gains from */
    TRAINER_SEGMENT =
        256, /* bytes; shorter ones cut what stands together (bench/results/2026-11-22-compression.md) */
};

/* Values, one after the other; `ends[i]` is where the i-th ends. */
struct trainer_samples {
    struct slice bytes;
    const uint32_t *ends;
    unsigned count;
};

/* Writes the dictionary into `dst`; *ret_size 0: there is nothing to learn. INVALID: too many samples; NO_MEMORY. */
enum status train(const struct trainer_samples *samples, char *dst, size_t capacity,
                  size_t *ret_size) MUST_USE;

#endif
