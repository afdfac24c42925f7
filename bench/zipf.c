/* SPDX-License-Identifier: BSD-3-Clause */
#include "bench/zipf.h"

#include <math.h>

/* (e^x - 1) / x and log(1 + x) / x, both 1 at 0: what makes an exponent of 1, or close to it, no special case. */
static double exp_ratio(double x)
{
    return fabs(x) > 1e-8 ? expm1(x) / x : 1 + x / 2;
}

static double log_ratio(double x)
{
    return fabs(x) > 1e-8 ? log1p(x) / x : 1 - x / 2;
}

/* H(x): the integral of t^-s from 1 to x. */
static double area(double exponent, double x)
{
    double log_x = log(x);
    return exp_ratio((1 - exponent) * log_x) * log_x;
}

static double area_inverse(double exponent, double y)
{
    double scaled = (1 - exponent) * y;
    if (scaled < -1) { /* rounding at the far end of a steep distribution */
        scaled = -1;
    }
    return exp(log_ratio(scaled) * y);
}

static double height(double exponent, double x)
{
    return exp(-exponent * log(x));
}

void zipf_init(struct zipf *zipf, uint64_t count, double exponent)
{
    zipf->count = count;
    zipf->exponent = exponent;
    zipf->area_low = area(exponent, 1.5) - 1;
    zipf->area_high = area(exponent, (double)count + 0.5);
    zipf->squeeze = 2 - area_inverse(exponent, area(exponent, 2.5) - height(exponent, 2));
}

uint64_t zipf_next(const struct zipf *zipf, struct rng *rng)
{
    if (zipf->exponent <= 0) {
        return rng_below(rng, zipf->count);
    }
    for (;;) { /* ends: the share of rejected points is bounded well below one half */
        double point = zipf->area_high + rng_unit(rng) * (zipf->area_low - zipf->area_high);
        double x = area_inverse(zipf->exponent, point);
        double rank = floor(x + 0.5);
        if (rank < 1) {
            rank = 1;
        } else if (rank > (double)zipf->count) {
            rank = (double)zipf->count;
        }
        if (rank - x <= zipf->squeeze ||
            point >= area(zipf->exponent, rank + 0.5) - height(zipf->exponent, rank)) {
            return (uint64_t)rank - 1;
        }
    }
}
