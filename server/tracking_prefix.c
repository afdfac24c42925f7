/* SPDX-License-Identifier: BSD-3-Clause */
#include "server/tracking_prefix.h"

#include "protocol/check.h"

#include <stdlib.h>
#include <string.h>

/* A polynomial over the bytes, modulo the prime 2^61 - 1: whoever does not know the base cannot make two texts of one hash. */
#define PRIME ((UINT64_C(1) << 61) - 1)

static uint64_t hash_byte(uint64_t hash, uint64_t base, char byte)
{
    const unsigned __int128 product = (unsigned __int128)hash * base + (unsigned char)byte + 1;
    const uint64_t folded = (uint64_t)(product & PRIME) + (uint64_t)(product >> 61);
    return folded >= PRIME ? folded - PRIME : folded;
}

/* As the map wants it: every bit counts. */
static uint64_t spread(uint64_t hash)
{
    hash *= 0x9e3779b97f4a7c15u;
    return hash ^ hash >> 32;
}

void prefix_index_open(struct prefix_index *index, uint64_t secret)
{
    *index = (struct prefix_index){.base = 256 + secret % (PRIME - 256)};
}

void prefix_index_done(struct prefix_index *index)
{
    CHECK(index->prefixes.count == 0 && index->length_count == 0);
    map_done(&index->prefixes);
    free(index->lengths);
}

struct slice tracking_prefix_bytes(const struct tracking_prefix *prefix)
{
    return (struct slice){prefix->bytes, prefix->size};
}

static struct tracking_prefix *find(const struct prefix_index *index, struct slice bytes,
                                    uint64_t hash)
{
    for (struct map_node *node = map_find(&index->prefixes, spread(hash)); node != NULL;
         node = map_next(node)) {
        struct tracking_prefix *prefix = MAP_ENTRY(node, struct tracking_prefix, node);
        if (slice_equal(tracking_prefix_bytes(prefix), bytes)) {
            return prefix;
        }
    }
    return NULL;
}

/* --- lengths -------------------------------------------------------------------------------------------------------- */

static size_t length_place(const struct prefix_index *index, size_t size)
{
    size_t low = 0;
    size_t high = index->length_count;
    while (low < high) {
        const size_t middle = low + (high - low) / 2;
        if (index->lengths[middle].size < size) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low;
}

static enum status length_add(struct prefix_index *index, size_t size)
{
    const size_t place = length_place(index, size);
    if (place < index->length_count && index->lengths[place].size == size) {
        index->lengths[place].count++;
        return OK;
    }
    void *grown = realloc(index->lengths, (index->length_count + 1) * sizeof(*index->lengths));
    if (grown == NULL) {
        return NO_MEMORY;
    }
    index->lengths = grown;
    memmove(index->lengths + place + 1, index->lengths + place,
            (index->length_count - place) * sizeof(*index->lengths));
    index->lengths[place] = (struct prefix_length){.size = size, .count = 1};
    index->length_count++;
    return OK;
}

static void length_drop(struct prefix_index *index, size_t size)
{
    const size_t place = length_place(index, size);
    if (--index->lengths[place].count == 0) {
        index->length_count--;
        memmove(index->lengths + place, index->lengths + place + 1,
                (index->length_count - place) * sizeof(*index->lengths));
    }
}

/* --- prefixes ------------------------------------------------------------------------------------------------------- */

struct tracking_prefix *prefix_index_take(struct prefix_index *index, struct slice bytes)
{
    uint64_t hash = 0;
    for (size_t i = 0; i < bytes.size; i++) {
        hash = hash_byte(hash, index->base, bytes.data[i]);
    }
    struct tracking_prefix *prefix = find(index, bytes, hash);
    if (prefix != NULL) {
        return prefix;
    }
    prefix = malloc(sizeof(*prefix) + bytes.size);
    if (prefix == NULL || length_add(index, bytes.size) != OK) {
        free(prefix);
        return NULL;
    }
    *prefix = (struct tracking_prefix){.size = bytes.size};
    list_init(&prefix->members);
    if (bytes.size > 0) {
        memcpy(prefix->bytes, bytes.data, bytes.size);
    }
    if (map_add(&index->prefixes, &prefix->node, spread(hash)) != OK) {
        length_drop(index, bytes.size);
        free(prefix);
        return NULL;
    }
    return prefix;
}

void prefix_index_drop(struct prefix_index *index, struct tracking_prefix *prefix)
{
    map_remove(&index->prefixes, &prefix->node);
    length_drop(index, prefix->size);
    free(prefix);
}

struct tracking_prefix *prefix_index_next(const struct prefix_index *index,
                                          struct prefix_walk *walk)
{
    while (walk->length < index->length_count &&
           index->lengths[walk->length].size <= walk->key.size) {
        const size_t size = index->lengths[walk->length++].size;
        for (; walk->at < size; walk->at++) {
            walk->hash = hash_byte(walk->hash, index->base, walk->key.data[walk->at]);
        }
        struct tracking_prefix *prefix =
            find(index, (struct slice){walk->key.data, size}, walk->hash);
        if (prefix != NULL) {
            return prefix;
        }
    }
    return NULL;
}
