/* SPDX-License-Identifier: BSD-3-Clause */
/* zipf.h -- ranks 0 .. count - 1, rank k drawn with a probability in proportion to 1 / (k + 1)^exponent.
 *
 * Rejection-inversion: W. Hormann and G. Derflinger, "Rejection-inversion to generate variates from monotone discrete
 * distributions", ACM TOMACS 6(3), 1996. The area under the continuous x^-s between 1.5 - 1 and count + 0.5 is drawn
 * uniformly and inverted; the nearest integer is taken unless the point lies in the sliver that belongs to no bar. The
 * distribution is exact for every exponent > 0 (1 included), needs no table whatever the count, and rejects rarely.
 *
 * Exponent 0 is the uniform distribution and is drawn as such.
 *
 * Threads: a zipf is read-only after zipf_init; the rng belongs to the caller. */
#ifndef TERRACE_BENCH_ZIPF_H
#define TERRACE_BENCH_ZIPF_H

#include "bench/rng.h"

#include <stdint.h>

struct zipf {
    uint64_t count;
    double exponent;
    double area_low;  /* H(1.5) - 1 */
    double area_high; /* H(count + 0.5) */
    double squeeze;   /* distance within which no look at the bar is needed */
};

/* count >= 1, exponent >= 0. */
void zipf_init(struct zipf *zipf, uint64_t count, double exponent);
uint64_t zipf_next(const struct zipf *zipf, struct rng *rng);

#endif
