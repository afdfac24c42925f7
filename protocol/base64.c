/* SPDX-License-Identifier: BSD-3-Clause */
#include "protocol/base64.h"

enum status base64_append(struct slice bytes, struct buf *to)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    if (buf_reserve(to, (bytes.size + 2) / 3 * 4) != OK) {
        return NO_MEMORY;
    }
    for (size_t at = 0; at < bytes.size; at += 3) {
        uint32_t three = 0;
        for (size_t i = 0; i < 3; i++) {
            three = three << 8 | (at + i < bytes.size ? (unsigned char)bytes.data[at + i] : 0u);
        }
        for (size_t i = 0; i < 4; i++) {
            to->data[to->size++] =
                at + i > bytes.size ? '=' : digits[three >> (18 - 6 * (unsigned)i) & 0x3f];
        }
    }
    return OK;
}
