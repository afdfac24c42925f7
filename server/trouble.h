/* SPDX-License-Identifier: BSD-3-Clause */
/* trouble.h -- the first thing that went wrong with one of several keys, kept for the one answer of all. */
#ifndef TERRACE_SERVER_TROUBLE_H
#define TERRACE_SERVER_TROUBLE_H

#include "protocol/bytes.h"

/* All zeros: there is none. */
struct trouble {
    enum status status;
    bool confirmed;    /* of a write (tiers/link.h) */
    struct buf matter; /* what the answer needs besides: Redis' text, or the key */
};

/* OK, or not the first: nothing. Without memory for `matter` that is the trouble. */
void trouble_note(struct trouble *trouble, enum status status, bool confirmed, struct slice matter);
void trouble_clear(struct trouble *trouble); /* zeros again, and its memory goes */

#endif
