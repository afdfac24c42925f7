/* SPDX-License-Identifier: BSD-3-Clause */
/* keys.h -- key number n is the prefix and n in twelve digits: `key:000000000042`.
 *
 * A fixed width, so that every request of a run has the same size on the wire and figures of two runs compare.
 *
 * Threads: read-only after keys_init. */
#ifndef TERRACE_BENCH_KEYS_H
#define TERRACE_BENCH_KEYS_H

#include "protocol/bytes.h"

enum {
    KEY_DIGITS = 12,
    KEY_PREFIX_MAX = 500,
    KEY_SIZE_MAX = KEY_PREFIX_MAX + KEY_DIGITS
};

#define KEYS_MAX 1000000000000ull /* what twelve digits can tell apart */

struct keys {
    char prefix[KEY_PREFIX_MAX];
    size_t prefix_size;
};

/* TOO_BIG: the prefix is longer than KEY_PREFIX_MAX. */
enum status keys_init(struct keys *keys, struct slice prefix) MUST_USE;
/* Writes key `number` into dst and returns it as a slice of dst. */
struct slice keys_write(const struct keys *keys, uint64_t number, char dst[KEY_SIZE_MAX]);

#endif
