/* SPDX-License-Identifier: BSD-3-Clause */
#include "tiers/base/spares.h"

#include "protocol/check.h"

#include <malloc.h>
#include <stdlib.h>

void *spares_new(size_t size)
{
    const size_t rounded = (size + SPARES_STEP - 1) / SPARES_STEP * SPARES_STEP;
    return malloc(SPARES_NONE || size > SPARES_MOST ? size : rounded);
}

void spares_drop(void *block, size_t size)
{
    CHECK(!SPARES_NONE || block == NULL || malloc_usable_size(block) == size);
    free(block);
}

void spares_done(struct spares *spares)
{
    for (unsigned row = 0; row < SPARES_SIZES; row++) {
        while (spares->of[row].first != NULL) {
            struct spare *spare = spares->of[row].first;
            spares->of[row].first = spare->next;
            free(spare);
        }
        spares->of[row].count = 0;
    }
}
