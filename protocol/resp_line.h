/* SPDX-License-Identifier: BSD-3-Clause */
/* resp_line.h -- the short number line that nearly every element begins with, read fast.
 *
 * For the readers of resp_read.h only. What is longer, negative, cut off or wrong is not judged here: the caller looks
 * closer, off the hot path. */
#ifndef TERRACE_PROTOCOL_RESP_LINE_H
#define TERRACE_PROTOCOL_RESP_LINE_H

#include <stddef.h>
#include <stdint.h>

enum {
    SHORT_DIGITS_MAX = 9
};

/* The number of "16\r\n" at `at`. Returns the bytes it takes with its CRLF; 0: not short, plain and complete. */
static inline size_t short_number(const char *at, size_t size, uint64_t *ret_number)
{
    if (size < 3) {
        return 0;
    }
    uint64_t number = (unsigned char)at[0] - (unsigned)'0';
    if (number <= 9 && at[1] == '\r' && at[2] == '\n') { /* nearly all have one digit, or two */
        *ret_number = number;
        return 3;
    }
    const unsigned second = (unsigned char)at[1] - (unsigned)'0';
    if (size > 3 && number - 1 <= 8 && second <= 9 && at[2] == '\r' && at[3] == '\n') {
        *ret_number = number * 10 + second;
        return 4;
    }
    size_t digits = 1;
    if (number > 9) {
        return 0;
    }
    if (number > 0) { /* a leading zero stands alone */
        const size_t digits_max = size < SHORT_DIGITS_MAX ? size : SHORT_DIGITS_MAX;
        while (digits < digits_max) {
            const unsigned digit = (unsigned char)at[digits] - (unsigned)'0';
            if (digit > 9) {
                break;
            }
            number = number * 10 + digit;
            digits++;
        }
    }
    if (size - digits < 2 || at[digits] != '\r' || at[digits + 1] != '\n') {
        return 0;
    }
    *ret_number = number;
    return digits + 2;
}

#endif
