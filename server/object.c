/* SPDX-License-Identifier: BSD-3-Clause */
#include "server/object.h"

enum {
    EMBSTR_BYTES_MAX = 44,
    SHARED_INTEGERS = 10000
}; /* of Redis 7.0 */

const char *object_encoding(struct slice value, enum item_look look)
{
    int64_t number;
    if (look == ITEM_LOOK_RAW) {
        return "raw";
    }
    if (look == ITEM_LOOK_PACKED || look == ITEM_LOOK_TABLE) {
        return look == ITEM_LOOK_PACKED ? "listpack" : "hashtable";
    }
    if (look != ITEM_LOOK_STRING && value.size <= I64_DIGITS_MAX &&
        slice_to_i64(value, &number) == OK) {
        return "int";
    }
    return value.size <= EMBSTR_BYTES_MAX ? "embstr" : "raw";
}

int64_t object_refcount(struct slice value, enum item_look look)
{
    int64_t number;
    bool shared = look == ITEM_LOOK_PLAIN && value.size <= I64_DIGITS_MAX &&
                  slice_to_i64(value, &number) == OK && number >= 0 && number < SHARED_INTEGERS;
    return shared ? INT32_MAX : 1;
}
