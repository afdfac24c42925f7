/* SPDX-License-Identifier: BSD-3-Clause */
#include "tiers/negatives.h"

/* A slot: its number in the upper bits, so that one word says what it is of, and bytes in the lower. */
enum {
    BYTES_BITS = 40
};
#define BYTES_MASK ((UINT64_C(1) << BYTES_BITS) - 1)

static uint64_t number_of(uint64_t slot)
{
    return slot >> BYTES_BITS;
}

static uint64_t kept(const struct negatives *negatives, uint64_t number)
{
    uint64_t bytes = 0;
    for (unsigned i = 0; i < NEGATIVES_SLOTS; i++) {
        const uint64_t slot = atomic_load_explicit(&negatives->slots[i], memory_order_relaxed);
        bytes += number_of(slot) + NEGATIVES_SLOTS > number ? slot & BYTES_MASK : 0;
    }
    return bytes;
}

bool negatives_admit(struct negatives *negatives, size_t bytes, size_t bytes_max, int64_t now_ms)
{
    const uint64_t number = (uint64_t)now_ms / NEGATIVES_SLOT_MS & (UINT64_MAX >> BYTES_BITS);
    _Atomic uint64_t *slot = &negatives->slots[number % NEGATIVES_SLOTS];
    if (kept(negatives, number) + bytes > bytes_max / NEGATIVES_SHARE) {
        return false; /* who asks at the same moment may be let in, too: one entry for each thread */
    }
    uint64_t old = atomic_load_explicit(slot, memory_order_relaxed);
    uint64_t next = 0;
    do {
        const uint64_t before = number_of(old) == number ? old & BYTES_MASK : 0;
        next = number << BYTES_BITS | (before + bytes);
    } while (!atomic_compare_exchange_weak(slot, &old, next));
    return true;
}
