/* SPDX-License-Identifier: BSD-3-Clause */
/* index.h -- a table from numbers to places in an array: open addressing, linear probing, no tombstones.
 *
 * Owns:    its slots. All zeros is an empty index.
 * Threads: one.
 * Limits:  2^32 - 1 places; a number is not INDEX_NO_NUMBER.
 * Errors:  NO_MEMORY; nothing has changed then. */
#ifndef TERRACE_CLIENT_CHECK_INDEX_H
#define TERRACE_CLIENT_CHECK_INDEX_H

#include "protocol/status.h"

#include <stddef.h>
#include <stdint.h>

#define INDEX_NO_NUMBER UINT64_MAX
#define INDEX_NONE      UINT32_MAX

struct index_slot {
    uint64_t number; /* INDEX_NO_NUMBER: free */
    uint32_t place;
};

struct index {
    struct index_slot *slots;
    size_t capacity; /* a power of two, or 0 */
    size_t count;
};

void index_done(struct index *index);
uint32_t index_find(const struct index *index, uint64_t number); /* INDEX_NONE: not there */
/* The number must not be there yet. */
enum status index_add(struct index *index, uint64_t number, uint32_t place) MUST_USE;
void index_remove(struct index *index, uint64_t number); /* nothing if it is not there */
void index_clear(struct index *index);                   /* keeps the memory */

#endif
