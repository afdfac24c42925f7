/* SPDX-License-Identifier: BSD-3-Clause */
/* asked.h -- the keys whose reads a connection is waiting for.
 *
 * A pipeline is a session, too, and must not go back in time:
 *
 *      GET k  -> L2, which is slow     a write ends the token; another worker asks again, and is answered first: v1
 *             <- v2                    the next write has come
 *      GET k  -> v1, from L1 or that other flight, if it had not waited for the first to land
 *
 * So a read of a key that is waited for waits as well. When the first has landed, what is older than it is gone from L1
 * (COHERENCE T3), and one flight serves whoever waited.
 *
 * The first ASKED_FEW are remembered as they are; most who wait have no more. Then one bit per hash: a read of another key
 * may wait for nothing, about 1 in 80 with a hundred keys outstanding.
 *
 * Owns:    its bits, from the key that is one too many until asked_clear.
 * Threads: its connection's. All zeros is empty. */
#ifndef TERRACE_SERVER_ASKED_H
#define TERRACE_SERVER_ASKED_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    ASKED_FEW = 8
};

struct asked {
    uint64_t *bits; /* of all after those; NULL: none, or no memory for them */
    bool anything;  /* without memory: every key counts as asked for */
    unsigned count; /* of `few` */
    uint64_t few[ASKED_FEW];
};

void asked_add(struct asked *asked, uint64_t hash);
bool asked_has(const struct asked *asked, uint64_t hash);
static inline bool asked_is_empty(const struct asked *asked)
{
    return asked->count == 0;
}
void asked_clear(struct asked *asked); /* nothing is waited for any more */

#endif
