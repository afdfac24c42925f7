/* SPDX-License-Identifier: BSD-3-Clause */
/* An entry: fingerprint in bits 31..16, group in 14..10, tick in 9..0; 0 is free, so no fingerprint is 0. */
#include "tiers/policy_ghost.h"

#include <stdlib.h>
#include <string.h>

enum {
    SETTLE_LINES = 4,
    GROUP_SHIFT = POLICY_AGE_BITS,
    GROUP_MASK = 31,
};

typedef uint32_t ghost_line[GHOST_LINE];

static uint16_t tick_of(uint32_t entry)
{
    return entry & POLICY_AGE_MAX;
}

static uint32_t print_of(uint64_t spread_hash)
{
    const uint32_t print = (uint32_t)(spread_hash >> 48);
    return print == 0 ? 1u << 8 : print;
}

static ghost_line *line_at(const struct policy_ghost *ghost, uint32_t index)
{
    return &ghost->chunks[index / GHOST_CHUNK_LINES][index % GHOST_CHUNK_LINES];
}

/* The largest power of two that is not above `lines`. */
static uint32_t round_of(uint32_t lines)
{
    return UINT32_C(1) << (31 - __builtin_clz(lines));
}

static ghost_line *line_of(const struct policy_ghost *ghost, uint64_t spread_hash)
{
    const uint32_t round = round_of(ghost->lines);
    uint32_t index = (uint32_t)spread_hash & (round * 2 - 1);
    if (index >= ghost->lines) {
        index -= round;
    }
    return line_at(ghost, index);
}

/* --- size --------------------------------------------------------------------------------------------------------- */

/* Below a page's worth, the lines are one piece of the heap, a power of two of them: at most half a page. */
static bool is_small(uint32_t lines)
{
    return lines < GHOST_CHUNK_LINES;
}

static void free_chunk(struct policy_ghost *ghost, uint32_t chunk)
{
    if (is_small(ghost->lines)) {
        free(ghost->chunks[chunk]);
    } else {
        arena_free_raw(ghost->arena, ghost->chunks[chunk]);
    }
}

void policy_ghost_clear(struct policy_ghost *ghost)
{
    for (uint32_t i = 0; i < ghost->lines; i += GHOST_CHUNK_LINES) {
        free_chunk(ghost, i / GHOST_CHUNK_LINES);
    }
    free(ghost->chunks);
    *ghost = (struct policy_ghost){.arena = ghost->arena};
}

size_t policy_ghost_bytes(const struct policy_ghost *ghost)
{
    const size_t chunks = (ghost->lines + GHOST_CHUNK_LINES - 1) / GHOST_CHUNK_LINES;
    const size_t lines = is_small(ghost->lines) ? ghost->lines : chunks * GHOST_CHUNK_LINES;
    return lines * sizeof(ghost_line) + ghost->chunk_room * sizeof(ghost->chunks[0]);
}

static bool make_directory(struct policy_ghost *ghost, uint32_t chunk)
{
    if (chunk < ghost->chunk_room) {
        return true;
    }
    const uint32_t room = ghost->chunk_room == 0 ? 1 : ghost->chunk_room * 2;
    ghost_line **chunks = reallocarray(ghost->chunks, room, sizeof(ghost_line *));
    if (chunks == NULL) {
        return false;
    }
    ghost->chunks = chunks;
    ghost->chunk_room = room;
    return true;
}

/* A small one as a whole becomes another of so many lines, a power of two up to a page. */
static bool resize_small(struct policy_ghost *ghost, uint32_t lines)
{
    const size_t bytes = lines * sizeof(ghost_line);
    if (!make_directory(ghost, 0)) {
        return false;
    }
    ghost_line *to = is_small(lines) ? malloc(bytes) : arena_alloc_pages(ghost->arena, bytes);
    if (to == NULL) {
        return false;
    }
    if (ghost->lines == 0) {
        memset(to, 0, bytes);
    } else {
        for (uint32_t i = 0; i < lines; i++) {
            memcpy(to[i], ghost->chunks[0][i % ghost->lines], sizeof *to);
        }
        free_chunk(ghost, 0);
    }
    ghost->chunks[0] = to;
    ghost->lines = lines;
    return true;
}

static bool add_line(struct policy_ghost *ghost)
{
    if (is_small(ghost->lines)) {
        return resize_small(ghost, ghost->lines == 0 ? 1 : ghost->lines * 2);
    }
    const uint32_t chunk = ghost->lines / GHOST_CHUNK_LINES;
    if (ghost->lines % GHOST_CHUNK_LINES == 0) {
        if (!make_directory(ghost, chunk)) {
            return false;
        }
        ghost_line *lines = arena_alloc_pages(ghost->arena, GHOST_CHUNK_LINES * sizeof(ghost_line));
        if (lines == NULL) {
            return false;
        }
        ghost->chunks[chunk] = lines;
    }
    const ghost_line *buddy = line_at(ghost, ghost->lines - round_of(ghost->lines));
    memcpy(line_at(ghost, ghost->lines), buddy, sizeof *buddy);
    ghost->lines++;
    return true;
}

static void drop_line(struct policy_ghost *ghost)
{
    if (ghost->lines <= GHOST_CHUNK_LINES) {
        (void)resize_small(ghost, ghost->lines / 2);
        return;
    }
    ghost->lines--;
    if (ghost->lines % GHOST_CHUNK_LINES == 0) {
        arena_free_raw(ghost->arena, ghost->chunks[ghost->lines / GHOST_CHUNK_LINES]);
    }
}

static size_t lines_for(size_t residents, size_t resident_bytes)
{
    size_t entries = resident_bytes / (GHOST_BYTES_SHARE * sizeof(uint32_t));
    entries = entries < residents ? residents : entries;
    if (entries > residents * GHOST_PER_RESIDENT_MAX) {
        entries = residents * GHOST_PER_RESIDENT_MAX;
    }
    const size_t lines = (entries + GHOST_LINE - 1) / GHOST_LINE;
    return lines < UINT32_MAX / 2 ? lines : UINT32_MAX / 2;
}

/* Small ones double, so they do when that is nearer to what is wanted. */
static bool is_short(uint32_t lines, size_t wanted)
{
    return lines == 0 || (is_small(lines) ? wanted * 2 >= (size_t)lines * 3 : wanted > lines);
}

void policy_ghost_settle(struct policy_ghost *ghost, size_t residents, size_t resident_bytes)
{
    if (residents == 0) {
        if (ghost->lines > 0) {
            policy_ghost_clear(ghost);
        }
        return;
    }
    const size_t wanted = lines_for(residents, resident_bytes);
    for (unsigned step = 0; step < SETTLE_LINES && is_short(ghost->lines, wanted); step++) {
        if (!add_line(ghost)) {
            return;
        }
    }
    /* Some slack, so that a table at rest does not free and allocate the same chunk again and again. */
    for (unsigned step = 0; step < SETTLE_LINES; step++) {
        const size_t slack = ghost->lines > GHOST_CHUNK_LINES ? wanted / 8 : wanted * 3 / 2;
        if (ghost->lines <= wanted + slack) {
            return;
        }
        drop_line(ghost);
    }
}

/* --- entries ------------------------------------------------------------------------------------------------------ */

void policy_ghost_put(struct policy_ghost *ghost, uint64_t hash, struct policy_ghost_entry entry)
{
    if (ghost->lines == 0) {
        return;
    }
    const uint64_t spread_hash = policy_spread(hash); /* its own bits have places in the table */
    uint32_t *line = *line_of(ghost, spread_hash);
    unsigned end =
        0; /* the newest is first; those up to a free place, or to the last one, move on */
    while (end < GHOST_LINE - 1 && line[end] != 0) {
        end++;
    }
    memmove(line + 1, line, end * sizeof line[0]);
    line[0] = print_of(spread_hash) << 16 | (uint32_t)entry.group << GROUP_SHIFT | entry.tick;
}

bool policy_ghost_take(struct policy_ghost *ghost, uint64_t hash, struct policy_ghost_entry *ret)
{
    if (ghost->lines == 0) {
        return false;
    }
    const uint64_t spread_hash = policy_spread(hash);
    const uint32_t print = print_of(spread_hash);
    uint32_t *line = *line_of(ghost, spread_hash);
    for (unsigned i = 0; i < GHOST_LINE; i++) {
        if (line[i] >> 16 == print) {
            *ret = (struct policy_ghost_entry){
                .tick = tick_of(line[i]), .group = (uint8_t)(line[i] >> GROUP_SHIFT & GROUP_MASK)};
            line[i] = 0;
            return true;
        }
    }
    return false;
}
