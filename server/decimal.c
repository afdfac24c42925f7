/* SPDX-License-Identifier: BSD-3-Clause */
#include "server/decimal.h"

#include <ctype.h>
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

bool decimal_parse(struct slice text, long double *ret_number)
{
    char copy[DECIMAL_TEXT_MAX];
    if (text.size == 0 || text.size >= sizeof copy || isspace((unsigned char)text.data[0])) {
        return false;
    }
    memcpy(copy, text.data, text.size);
    copy[text.size] = '\0';
    char *end = NULL;
    errno = 0;
    const long double number = strtold(copy, &end);
    const bool out_of_range = errno == ERANGE && (isinf(number) || number == 0);
    if ((size_t)(end - copy) != text.size || out_of_range || isnan(number)) {
        return false;
    }
    *ret_number = number;
    return true;
}

size_t decimal_format(char dst[DECIMAL_TEXT_MAX], long double number)
{
    size_t size = (size_t)snprintf(dst, DECIMAL_TEXT_MAX, "%.17Lf", number);
    while (dst[size - 1] == '0') {
        size--;
    }
    if (dst[size - 1] == '.') {
        size--;
    }
    if (size == 2 && memcmp(dst, "-0", 2) == 0) {
        dst[0] = '0';
        size = 1;
    }
    return size;
}
