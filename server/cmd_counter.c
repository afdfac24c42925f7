/* SPDX-License-Identifier: BSD-3-Clause */
/* Strings that are numbers. */
#include "server/cmd_common.h"
#include "server/commands.h"

#include <ctype.h>
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void add_integer(struct call *call, int64_t delta)
{
    struct update update;
    int64_t number = 0;
    update_open(&update, call, 1);
    while (update_next(&update)) {
        number = 0;
        if (update.old != NULL && slice_to_i64(update_value(&update), &number) != OK) {
            reply_not_integer(call->reply);
            update_fail(&update);
        } else if (__builtin_add_overflow(number, delta, &number)) {
            update_refuse(&update, "ERR increment or decrement would overflow");
        } else {
            char digits[I64_DIGITS_MAX];
            const struct slice text = {.data = digits, .size = i64_format(digits, number)};
            update_put(&update, text, update_expire_at_ms(&update));
        }
    }
    if (update_ok(&update)) {
        reply_integer(call->reply, number);
    }
    update_close(&update);
}

void cmd_incr(struct call *call)
{
    add_integer(call, 1);
}

void cmd_decr(struct call *call)
{
    add_integer(call, -1);
}

void cmd_incrby(struct call *call)
{
    int64_t delta = 0;
    if (call_integer(call, 2, &delta)) {
        add_integer(call, delta);
    }
}

void cmd_decrby(struct call *call)
{
    int64_t delta = 0;
    if (!call_integer(call, 2, &delta)) {
        return;
    }
    if (delta == INT64_MIN) { /* has no negative */
        reply_error(call->reply, "ERR decrement would overflow");
        return;
    }
    add_integer(call, -delta);
}

/* The longest text of a long double in plain decimals: 4,933 digits before the point, 17 behind; Redis' bound too. */
enum {
    FLOAT_TEXT_MAX = 5 * 1024
};

/* As Redis: what strtold takes, the whole slice, no leading space, neither overflow nor underflow nor NaN. */
static bool parse_float(struct slice text, long double *ret_number)
{
    char copy[FLOAT_TEXT_MAX];
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

/* 17 decimals (of x87's 19 digits those that survive most sums), without the zeros at the end. */
static size_t format_float(char dst[FLOAT_TEXT_MAX], long double number)
{
    size_t size = (size_t)snprintf(dst, FLOAT_TEXT_MAX, "%.17Lf", number);
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

/* One turn; false: the error text to answer is in *ret_text. */
static bool sum_floats(struct slice old, struct slice delta, long double *ret_sum,
                       const char **ret_text)
{
    long double number = 0;
    long double increment = 0;
    *ret_text = "ERR value is not a valid float";
    if (!parse_float(old, &number) || !parse_float(delta, &increment)) {
        return false;
    }
    *ret_text = "ERR increment would produce NaN or Infinity";
    *ret_sum = number + increment;
    return isfinite(*ret_sum);
}

void cmd_incrbyfloat(struct call *call)
{
    char digits[FLOAT_TEXT_MAX];
    struct slice text = {.data = digits, .size = 0};
    struct update update;
    update_open(&update, call, 1);
    while (update_next(&update)) {
        const struct slice old = update.old != NULL ? update_value(&update) : SLICE_LITERAL("0");
        const char *wrong = NULL;
        long double sum = 0;
        if (!sum_floats(old, call->argv[2], &sum, &wrong)) {
            update_refuse(&update, wrong);
            continue;
        }
        text.size = format_float(digits, sum);
        char *room =
            update_room(&update, text.size, update_expire_at_ms(&update), ITEM_LOOK_STRING);
        if (room != NULL) {
            memcpy(room, text.data, text.size);
            update_store(&update);
        }
    }
    if (update_ok(&update)) {
        reply_bulk(call->reply, text);
    }
    update_close(&update);
}
