/* SPDX-License-Identifier: BSD-3-Clause */
#include "tiers/whatif_table.h"

#include "protocol/check.h"

#include <string.h>

/* One allocation: rows, then prints, then holders, as their alignment falls. */
enum status whatif_table_init(struct whatif_table *table, struct arena *arena, unsigned slots)
{
    CHECK(slots > 0 && (slots & (slots - 1)) == 0);
    char *memory = arena_alloc_pages(arena, (size_t)slots * WHATIF_SLOT_BYTES);
    if (memory == NULL) {
        return NO_MEMORY;
    }
    memset(memory, 0, (size_t)slots * WHATIF_SLOT_BYTES);
    *table = (struct whatif_table){.slots = slots, .arena = arena};
    table->rows = (struct whatif_row *)(void *)memory;
    table->prints = (uint32_t *)(void *)(table->rows + slots);
    table->held = (uint16_t *)(void *)(table->prints + slots);
    return OK;
}

void whatif_table_done(struct whatif_table *table)
{
    if (table->slots > 0) {
        arena_free_raw(table->arena, table->rows);
    }
    *table = (struct whatif_table){0};
}

uint32_t whatif_print(uint64_t hash, uint8_t db)
{
    uint64_t mixed = (hash ^ hash >> 29 ^ db) * UINT64_C(0xbf58476d1ce4e5b9);
    mixed = (mixed ^ mixed >> 32) * UINT64_C(0x94d049bb133111eb);
    const uint32_t print = (uint32_t)(mixed >> 32);
    return print == 0 ? 1 : print;
}

static unsigned home_of(const struct whatif_table *table, uint32_t print)
{
    return print & (table->slots - 1);
}

int whatif_table_find(const struct whatif_table *table, uint32_t print)
{
    unsigned slot = home_of(table, print);
    while (table->prints[slot] != 0) {
        if (table->prints[slot] == print) {
            return (int)slot;
        }
        slot = (slot + 1) & (table->slots - 1);
    }
    return WHATIF_NO_SLOT;
}

int whatif_table_add(struct whatif_table *table, uint32_t print)
{
    CHECK(table->used < table->slots - 1);
    unsigned slot = home_of(table, print);
    while (table->prints[slot] != 0) {
        slot = (slot + 1) & (table->slots - 1);
    }
    table->used++;
    table->prints[slot] = print;
    table->held[slot] = 0;
    table->rows[slot] = (struct whatif_row){0};
    return (int)slot;
}

/* Rows further on that would no longer be found move back (Knuth 6.4, algorithm R). */
void whatif_table_drop(struct whatif_table *table, int slot)
{
    const unsigned mask = table->slots - 1;
    unsigned hole = (unsigned)slot;
    for (unsigned next = (hole + 1) & mask; table->prints[next] != 0; next = (next + 1) & mask) {
        const unsigned distance = (next - home_of(table, table->prints[next])) & mask;
        if (distance >= ((next - hole) & mask)) {
            table->prints[hole] = table->prints[next];
            table->held[hole] = table->held[next];
            table->rows[hole] = table->rows[next];
            hole = next;
        }
    }
    table->prints[hole] = 0;
    table->held[hole] = 0;
    table->used--;
}
