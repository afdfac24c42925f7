/* SPDX-License-Identifier: BSD-3-Clause */
/* Strings that are numbers. */
#include "server/cmd_common.h"
#include "server/commands.h"
#include "server/decimal.h"

#include <math.h>
#include <string.h>

static void add_integer(struct call *call, int64_t delta)
{
    struct update update;
    int64_t number = 0;
    update_open(&update, call, 1, KIND_STRING);
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

/* One turn; false: the error text to answer is in *ret_text. */
static bool sum_floats(struct slice old, struct slice delta, long double *ret_sum,
                       const char **ret_text)
{
    long double number = 0;
    long double increment = 0;
    *ret_text = "ERR value is not a valid float";
    if (!decimal_parse(old, &number) || !decimal_parse(delta, &increment)) {
        return false;
    }
    *ret_text = "ERR increment would produce NaN or Infinity";
    *ret_sum = number + increment;
    return isfinite(*ret_sum);
}

void cmd_incrbyfloat(struct call *call)
{
    char digits[DECIMAL_TEXT_MAX];
    struct slice text = {.data = digits, .size = 0};
    struct update update;
    update_open(&update, call, 1, KIND_STRING);
    while (update_next(&update)) {
        const struct slice old = update.old != NULL ? update_value(&update) : SLICE_LITERAL("0");
        const char *wrong = NULL;
        long double sum = 0;
        if (!sum_floats(old, call->argv[2], &sum, &wrong)) {
            update_refuse(&update, wrong);
            continue;
        }
        text.size = decimal_format(digits, sum);
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
