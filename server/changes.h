/* SPDX-License-Identifier: BSD-3-Clause */
/* changes.h -- the changes of one command to many keys, one per key, ready for l1_commit.
 *
 * MSET a 1 a 2 names a key twice, and so may DEL: the last change of a key counts, as if they were made one by one.
 *
 * Owns:    the references in the changes it was given, `seen` and `item`, until changes_close.
 * Threads: one at a time.
 * Limits:  as many changes as changes_open was told. */
#ifndef TERRACE_SERVER_CHANGES_H
#define TERRACE_SERVER_CHANGES_H

#include "tiers/l1.h"

enum {
    CHANGES_FEW = 16,
    CHANGES_FEW_SLOTS = 4 * CHANGES_FEW
};

struct changes {
    struct l1_change *at;
    size_t count;
    uint32_t *slots; /* by hash, linear probing: position in `at` plus one; 0: free */
    size_t mask;
    struct l1_change few[CHANGES_FEW];
    uint32_t few_slots[CHANGES_FEW_SLOTS];
};

enum status changes_open(struct changes *changes, size_t count) MUST_USE;
/* Takes over the references; the key's bytes are borrowed until changes_close. */
void changes_add(struct changes *changes, const struct l1_change *change);
void changes_close(struct changes *changes); /* also after a changes_open that failed */

#endif
