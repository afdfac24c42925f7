/* SPDX-License-Identifier: BSD-3-Clause */
#include "bench/keys.h"

#include <string.h>

enum status keys_init(struct keys *keys, struct slice prefix)
{
    if (prefix.size > KEY_PREFIX_MAX) {
        return TOO_BIG;
    }
    memcpy(keys->prefix, prefix.data, prefix.size);
    keys->prefix_size = prefix.size;
    return OK;
}

struct slice keys_write(const struct keys *keys, uint64_t number, char dst[KEY_SIZE_MAX])
{
    memcpy(dst, keys->prefix, keys->prefix_size);
    char *digits = dst + keys->prefix_size;
    for (int i = KEY_DIGITS - 1; i >= 0; i--) {
        digits[i] = (char)('0' + number % 10);
        number /= 10;
    }
    return (struct slice){.data = dst, .size = keys->prefix_size + KEY_DIGITS};
}
