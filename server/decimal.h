/* SPDX-License-Identifier: BSD-3-Clause */
/* decimal.h -- numbers with a point, as INCRBYFLOAT and HINCRBYFLOAT read and write them. */
#ifndef TERRACE_SERVER_DECIMAL_H
#define TERRACE_SERVER_DECIMAL_H

#include "protocol/bytes.h"

/* The longest text of a long double in plain decimals: 4,933 digits before the point, 17 behind; Redis' bound too. */
enum {
    DECIMAL_TEXT_MAX = 5 * 1024
};

/* As Redis: what strtold takes, the whole slice, no leading space, neither overflow nor underflow nor NaN. */
bool decimal_parse(struct slice text, long double *ret_number);
/* 17 decimals (of x87's 19 digits those that survive most sums), without the zeros at the end. Returns the size. */
size_t decimal_format(char dst[DECIMAL_TEXT_MAX], long double number);

#endif
