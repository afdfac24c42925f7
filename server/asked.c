/* SPDX-License-Identifier: BSD-3-Clause */
#include "server/asked.h"

#include <stdlib.h>

enum {
    ASKED_BITS = 8192,
    WORD_BITS = 64
};

/* The low bits of a hash choose the shard of L1 and the high ones the place in it; any others do. */
static uint64_t bit_of(uint64_t hash)
{
    return (hash >> 16) % ASKED_BITS;
}

void asked_add(struct asked *asked, uint64_t hash)
{
    if (asked->count < ASKED_FEW) {
        asked->few[asked->count++] = hash;
        return;
    }
    if (asked->bits == NULL) {
        asked->bits = calloc(ASKED_BITS / WORD_BITS, sizeof(*asked->bits));
    }
    if (asked->bits == NULL) {
        asked->anything = true;
        return;
    }
    const uint64_t bit = bit_of(hash);
    asked->bits[bit / WORD_BITS] |= UINT64_C(1) << bit % WORD_BITS;
}

bool asked_has(const struct asked *asked, uint64_t hash)
{
    for (unsigned i = 0; i < asked->count; i++) {
        if (asked->few[i] == hash) {
            return true;
        }
    }
    if (asked->bits == NULL || asked->anything) {
        return asked->anything;
    }
    const uint64_t bit = bit_of(hash);
    return (asked->bits[bit / WORD_BITS] >> bit % WORD_BITS & 1) != 0;
}

void asked_clear(struct asked *asked)
{
    free(asked->bits);
    asked->bits = NULL;
    asked->anything = false;
    asked->count = 0;
}
