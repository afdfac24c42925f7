/* SPDX-License-Identifier: BSD-3-Clause */
#include "client/check/index.h"

#include <stdbool.h>
#include <stdlib.h>

enum {
    CAPACITY_MIN = 64
};

/* The finaliser of SplitMix64. Whoever writes a history judges it himself: no secret is needed. */
static uint64_t mix(uint64_t word)
{
    word = (word ^ (word >> 30)) * 0xbf58476d1ce4e5b9ull;
    word = (word ^ (word >> 27)) * 0x94d049bb133111ebull;
    return word ^ (word >> 31);
}

static size_t home_of(const struct index *index, uint64_t number)
{
    return (size_t)mix(number) & (index->capacity - 1);
}

static size_t next_of(const struct index *index, size_t at)
{
    return (at + 1) & (index->capacity - 1);
}

void index_done(struct index *index)
{
    free(index->slots);
    *index = (struct index){0};
}

void index_clear(struct index *index)
{
    for (size_t i = 0; i < index->capacity; i++) {
        index->slots[i].number = INDEX_NO_NUMBER;
    }
    index->count = 0;
}

/* The slot of the number, or the free one where it belongs. */
static size_t slot_of(const struct index *index, uint64_t number)
{
    size_t at = home_of(index, number);
    while (index->slots[at].number != INDEX_NO_NUMBER && index->slots[at].number != number) {
        at = next_of(index, at);
    }
    return at;
}

uint32_t index_find(const struct index *index, uint64_t number)
{
    if (index->count == 0) {
        return INDEX_NONE;
    }
    const struct index_slot *slot = &index->slots[slot_of(index, number)];
    return slot->number == number ? slot->place : INDEX_NONE;
}

static enum status grow(struct index *index)
{
    struct index larger = {.capacity = index->capacity == 0 ? CAPACITY_MIN : index->capacity * 2,
                           .count = index->count};
    larger.slots = malloc(larger.capacity * sizeof *larger.slots);
    if (larger.slots == NULL) {
        return NO_MEMORY;
    }
    for (size_t i = 0; i < larger.capacity; i++) {
        larger.slots[i].number = INDEX_NO_NUMBER;
    }
    for (size_t i = 0; i < index->capacity; i++) {
        if (index->slots[i].number != INDEX_NO_NUMBER) {
            larger.slots[slot_of(&larger, index->slots[i].number)] = index->slots[i];
        }
    }
    free(index->slots);
    *index = larger;
    return OK;
}

enum status index_add(struct index *index, uint64_t number, uint32_t place)
{
    if (index->count * 3 >= index->capacity * 2 && grow(index) != OK) {
        return NO_MEMORY;
    }
    index->slots[slot_of(index, number)] = (struct index_slot){.number = number, .place = place};
    index->count++;
    return OK;
}

void index_remove(struct index *index, uint64_t number)
{
    if (index->count == 0) {
        return;
    }
    size_t hole = slot_of(index, number);
    if (index->slots[hole].number != number) {
        return;
    }
    /* What follows without a gap moves back into the hole, unless it is nearer to its home where it is. */
    for (size_t at = next_of(index, hole); index->slots[at].number != INDEX_NO_NUMBER;
         at = next_of(index, at)) {
        size_t home = home_of(index, index->slots[at].number);
        bool home_between = hole <= at ? home > hole && home <= at : home > hole || home <= at;
        if (!home_between) {
            index->slots[hole] = index->slots[at];
            hole = at;
        }
    }
    index->slots[hole].number = INDEX_NO_NUMBER;
    index->count--;
}
