/* SPDX-License-Identifier: BSD-3-Clause */
#include "protocol/utf8.h"

size_t utf8_character(struct slice bytes, size_t at)
{
    const unsigned char *text = (const unsigned char *)bytes.data + at;
    const size_t left = bytes.size - at;
    const unsigned char first = text[0];
    if (first < 0x80) {
        return 1;
    }
    const size_t size = first < 0xe0 ? 2 : first < 0xf0 ? 3 : 4;
    if (first < 0xc2 || first > 0xf4 || size > left) {
        return 0;
    }
    const unsigned char least = first == 0xe0 ? 0xa0 : first == 0xf0 ? 0x90 : 0x80;
    const unsigned char most = first == 0xed ? 0x9f : first == 0xf4 ? 0x8f : 0xbf;
    if (text[1] < least || text[1] > most) {
        return 0;
    }
    for (size_t i = 2; i < size; i++) {
        if ((text[i] & 0xc0) != 0x80) {
            return 0;
        }
    }
    return size;
}

bool utf8_is(struct slice bytes)
{
    size_t at = 0;
    size_t size = 1;
    while (at < bytes.size && size > 0) {
        size = utf8_character(bytes, at);
        at += size;
    }
    return size > 0;
}
