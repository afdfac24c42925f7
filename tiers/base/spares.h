/* SPDX-License-Identifier: BSD-3-Clause */
/* spares.h -- memory of what lives as long as one request waits: a block that is given back is the next one's.
 *
 * What waits for L2 needs a few blocks of some hundred bytes (an answer, a reader, a flight or a relay), and a pipeline needs
 * them as often as it has requests. malloc keeps seven of a size at hand; each beyond them costs two to three hundred
 * instructions there and back, and one of calloc always. A block of these costs ten.
 *
 * Who gives a block back says its size, as he did when he took it. Where AddressSanitizer looks, each block is malloc's
 * own, so that one that is used after it was given back is seen, and a size that is another one stops the process.
 *
 * Owns:    what nobody has. A block that is not given back is its taker's, as one of malloc.
 * Threads: one loop's, blocks and all.
 * Limits:  SPARES_KEPT of each size are kept, 1.3 MB in all; what is larger than SPARES_MOST is malloc's.
 * Errors:  NULL: no memory. */
#ifndef TERRACE_TIERS_BASE_SPARES_H
#define TERRACE_TIERS_BASE_SPARES_H

#include <stddef.h>

enum {
    SPARES_STEP = 64,
    SPARES_SIZES = 12,
    SPARES_MOST = SPARES_STEP * SPARES_SIZES,
    SPARES_KEPT = 256, /* as many as a batch has requests */
};

#if defined(__SANITIZE_ADDRESS__)
#define SPARES_NONE 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define SPARES_NONE 1
#endif
#endif
#ifndef SPARES_NONE
#define SPARES_NONE 0
#endif

struct spare {
    struct spare *next;
};

/* All zeros is one that has none. */
struct spares {
    struct {
        struct spare *first;
        unsigned count;
    } of[SPARES_SIZES]; /* by size, in steps, rounded up */
};

void *spares_new(size_t size);              /* there was none */
void spares_drop(void *block, size_t size); /* it is not kept */
void spares_done(struct spares *spares);    /* frees what is kept; it has none then */

/* `size` > 0; its bytes are anything. */
static inline void *spares_take(struct spares *spares, size_t size)
{
    const size_t row = (size - 1) / SPARES_STEP;
    if (SPARES_NONE || row >= SPARES_SIZES || spares->of[row].first == NULL) {
        return spares_new(size);
    }
    struct spare *block = spares->of[row].first;
    spares->of[row].first = block->next;
    spares->of[row].count--;
    return block;
}

/* NULL is fine. */
static inline void spares_give(struct spares *spares, void *block, size_t size)
{
    const size_t row = (size - 1) / SPARES_STEP;
    struct spare *spare = block;
    if (SPARES_NONE || block == NULL || row >= SPARES_SIZES ||
        spares->of[row].count == SPARES_KEPT) {
        spares_drop(block, size);
        return;
    }
    spare->next = spares->of[row].first;
    spares->of[row].first = spare;
    spares->of[row].count++;
}

#endif
