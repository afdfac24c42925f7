/* SPDX-License-Identifier: BSD-3-Clause */
#include "tiers/wakes.h"

#include "protocol/check.h"

static _Atomic uint64_t *word_of(const struct wakes_seat *seat, uint64_t hash)
{
    CHECK(seat->worker < WAKES_WORKERS);
    return &seat->wakes->workers[hash % WAKES_BUCKETS][seat->worker / 64];
}

void wakes_wait(struct wakes_seat *seat, uint64_t hash)
{
    if (seat->counts[hash % WAKES_BUCKETS]++ == 0) {
        atomic_fetch_or(word_of(seat, hash), UINT64_C(1) << seat->worker % 64);
    }
}

void wakes_leave(struct wakes_seat *seat, uint64_t hash)
{
    uint32_t *count = &seat->counts[hash % WAKES_BUCKETS];
    CHECK(*count > 0);
    if (--*count == 0) {
        atomic_fetch_and(word_of(seat, hash), ~(UINT64_C(1) << seat->worker % 64));
    }
}
