/* SPDX-License-Identifier: BSD-3-Clause */
#include "protocol/check.h"
#include "protocol/limits.h"
#include "tiers/bans_inner.h"

#include <string.h>

enum {
    MS = 1000,
    MALLOC_OVERHEAD = 16
};

/* Borrows from it. */
static struct frame_ban ban_row_read(const struct ban_row *row)
{
    struct frame_ban ban;
    CHECK(frame_ban_read_name(ban_row_name(row), &ban) == OK); /* it was read before it was kept */
    ban.hard = row->hard;
    ban.soft = row->soft;
    return ban;
}

/* --- the list ---------------------------------------------------------------------------------------------------- */

static bool is_listed(const struct frame_ban *ban)
{
    return ban->kind == FRAME_BAN_GLOB || ban->kind == FRAME_BAN_ALL_TAGS;
}

/* NO_MEMORY: it stays as it is. */
static enum status remake_list(struct bans *bans)
{
    const uint64_t count = atomic_load_explicit(&bans->listed, memory_order_relaxed);
    struct bans_list *list = NULL;
    if (count > 0) {
        struct frame_ban *of = malloc(count * sizeof(*of));
        unsigned have = 0;
        for (size_t i = 0; of != NULL && i < bans->row_count; i++) {
            const struct frame_ban ban = ban_row_read(bans->rows[i]);
            if (is_listed(&ban)) {
                of[have++] = ban;
            }
        }
        list = of != NULL ? bans_list_new(of, have) : NULL;
        free(of);
        if (list == NULL) {
            return NO_MEMORY;
        }
    }
    bans_swap_list(bans, list);
    return OK;
}

/* --- rows -------------------------------------------------------------------------------------------------------- */

static struct ban_row *row_of(struct map_node *node)
{
    return MAP_ENTRY(node, struct ban_row, in_map);
}

static struct ban_row *row_find(const struct bans *bans, struct slice name)
{
    for (struct map_node *node = map_find(&bans->by_name, hash_key(&bans->names, name));
         node != NULL; node = map_next(node)) {
        if (slice_equal(ban_row_name(row_of(node)), name)) {
            return row_of(node);
        }
    }
    return NULL;
}

static bool rows_have_room(struct bans *bans)
{
    if (bans->row_count < bans->row_room) {
        return true;
    }
    const size_t room = bans->row_room > 0 ? 2 * bans->row_room : 64;
    struct ban_row **rows = realloc((void *)bans->rows, room * sizeof(*rows));
    if (rows != NULL) {
        bans->rows = rows;
        bans->row_room = room;
    }
    return rows != NULL;
}

static bool may_take(const struct bans *bans, const struct frame_ban *ban)
{
    return bans->row_count < LIMIT_BANS &&
           (!is_listed(ban) ||
            atomic_load_explicit(&bans->listed, memory_order_relaxed) < 2 * LIMIT_BAN_LIST);
}

/* NULL: it cannot be taken. */
static struct ban_row *row_add(struct bans *bans, const struct frame_ban *ban, int64_t at_ms)
{
    if (!may_take(bans, ban) || !rows_have_room(bans)) {
        return NULL;
    }
    struct ban_row *row = malloc(sizeof(*row) + ban->name.size);
    if (row == NULL) {
        return NULL;
    }
    *row = (struct ban_row){
        .at_ms = at_ms, .place = (uint32_t)bans->row_count, .size = (uint16_t)ban->name.size};
    memcpy(row->name, ban->name.data, ban->name.size);
    if (map_add(&bans->by_name, &row->in_map, hash_key(&bans->names, ban->name)) != OK) {
        free(row);
        return NULL;
    }
    bans->rows[bans->row_count++] = row;
    atomic_store_explicit(&bans->count, bans->row_count, memory_order_relaxed);
    bans->row_bytes += sizeof(*row) + row->size;
    if (is_listed(ban)) {
        atomic_fetch_add_explicit(&bans->listed, 1, memory_order_relaxed);
    }
    return row;
}

static void row_remove(struct bans *bans, struct ban_row *row)
{
    const struct frame_ban ban = ban_row_read(row);
    struct ban_row *last = bans->rows[--bans->row_count];
    atomic_store_explicit(&bans->count, bans->row_count, memory_order_relaxed);
    bans->rows[row->place] = last;
    last->place = row->place;
    map_remove(&bans->by_name, &row->in_map);
    bans->row_bytes -= sizeof(*row) + row->size;
    bans->removed = true;
    if (is_listed(&ban)) {
        atomic_fetch_sub_explicit(&bans->listed, 1, memory_order_relaxed);
        bans->list_changed = true;
    }
    free(row);
}

static uint64_t larger(uint64_t a, uint64_t b)
{
    return a > b ? a : b;
}

static void rise(_Atomic uint64_t *seq, uint64_t to)
{
    if (atomic_load_explicit(seq, memory_order_relaxed) < to) {
        atomic_store_explicit(seq, to, memory_order_relaxed);
    }
}

/* Instead of what cannot be kept: more dies than was meant. */
static void give_up(struct bans *bans, const struct frame_ban *ban)
{
    rise(&bans->below, larger(ban->hard, ban->soft));
}

/* With twice the room, when there is none. */
static bool table_take(struct bans *bans, const struct frame_ban *ban)
{
    while (!bans_table_raise(bans_table_of(bans), ban)) {
        const struct bans_table *from = bans_table_of(bans);
        struct bans_table *table = bans_table_new(&bans->secret, from->mask + 1);
        if (table == NULL) {
            return false;
        }
        bans_table_copy(table, from);
        bans_swap_table(bans, table);
    }
    return true;
}

static void add(struct bans *bans, const struct frame_ban *ban, int64_t now_ms)
{
    if (ban->kind == FRAME_BAN_LOST) {
        rise(&bans->lost, larger(ban->hard, ban->soft));
        return;
    }
    const int64_t at_ms = now_ms - (int64_t)ban->age_s * MS;
    struct ban_row *row = row_find(bans, ban->name);
    if (row == NULL) {
        row = row_add(bans, ban, at_ms);
    }
    if (row == NULL) {
        give_up(bans, ban);
        return;
    }
    row->at_ms = at_ms > row->at_ms ? at_ms : row->at_ms;
    row->hard = larger(row->hard, ban->hard);
    row->soft = larger(row->soft, ban->soft);
    bans->top = larger(bans->top, larger(ban->hard, ban->soft));
    bans->list_changed |= is_listed(ban);
    if (!table_take(bans, ban)) {
        give_up(bans, ban);
    }
}

/* Once for all of a frame. */
static void finish(struct bans *bans)
{
    if (bans->list_changed) {
        if (remake_list(bans) != OK) {
            rise(&bans->below, bans->top);
        }
        bans->list_changed = false;
    }
    bans_changed(bans);
}

void bans_add(struct bans *bans, const struct frame_ban *ban, int64_t now_ms)
{
    CHECK_MAGIC(bans, BANS_MAGIC);
    add(bans, ban, now_ms);
    finish(bans);
}

enum status bans_add_all(struct bans *bans, struct slice body, uint64_t seq, int64_t now_ms)
{
    CHECK_MAGIC(bans, BANS_MAGIC);
    struct frame_ban ban;
    size_t position = 0;
    enum status status = OK;
    while ((status = frame_ban_next(body, seq, &position, &ban)) == OK) {
        add(bans, &ban, now_ms);
    }
    if (position > 0) {
        finish(bans);
    }
    return status == AGAIN ? OK : status;
}

void bans_give_up(struct bans *bans, uint64_t seq)
{
    CHECK_MAGIC(bans, BANS_MAGIC);
    rise(&bans->below, seq);
    bans_changed(bans);
}

bool bans_have_room(const struct bans *bans, enum frame_ban_kind kind, unsigned *ret_limit)
{
    const bool listed = kind == FRAME_BAN_GLOB || kind == FRAME_BAN_ALL_TAGS;
    *ret_limit = listed ? LIMIT_BAN_LIST : LIMIT_BANS;
    return atomic_load_explicit(listed ? &bans->listed : &bans->count, memory_order_relaxed) <
           *ret_limit;
}

bool bans_tell(const struct bans *bans, size_t *place, int64_t now_ms, struct buf *body)
{
    CHECK_MAGIC(bans, BANS_MAGIC);
    /* From the end to the beginning: a row that takes the place of a removed one comes from the end, where it was told. */
    if (*place > bans->row_count) {
        *place = bans->row_count;
    }
    while (*place > 0) {
        const struct ban_row *row = bans->rows[*place - 1];
        const int64_t age_ms = now_ms > row->at_ms ? now_ms - row->at_ms : 0;
        if (frame_ban_append(body, ban_row_name(row), (uint32_t)(age_ms / MS), row->hard,
                             row->soft) != OK) {
            break;
        }
        --*place;
    }
    return *place > 0;
}

/* --- cleaning ---------------------------------------------------------------------------------------------------- */

/* A ban of everything is newer. */
static bool is_covered(const struct bans *bans, const struct ban_row *row)
{
    const struct bans_table *table = bans_table_of(bans);
    const struct frame_ban ban = ban_row_read(row);
    const uint64_t seq = larger(row->hard, row->soft);
    return seq < bans_table_all(table, 0) ||
           (ban.ns.size > 0 && seq < bans_table_all(table, bans_ns_id(ban.ns)));
}

static bool is_over(const struct bans *bans, const struct ban_row *row, int64_t now_ms,
                    int64_t life_ms)
{
    return (life_ms > 0 && now_ms - row->at_ms > life_ms + BANS_SLACK_MS) || is_covered(bans, row);
}

/* One of everything is there once, and stays. */
static bool is_older(const struct ban_row *row, int64_t now_ms, int64_t most_ms)
{
    const struct frame_ban ban = ban_row_read(row);
    const bool is_everything =
        ban.kind == FRAME_BAN_PREFIX && ban.ns.size == 0 && ban.text.size == 0;
    return !is_everything && now_ms - row->at_ms > most_ms;
}

/* Of what is left. NULL: no memory; or *slots were too few, and are more now. */
static struct bans_table *table_of_rows(const struct bans *bans, size_t *slots)
{
    struct bans_table *table = bans_table_new(&bans->secret, *slots);
    for (size_t i = 0; table != NULL && i < bans->row_count; i++) {
        const struct frame_ban ban = ban_row_read(bans->rows[i]);
        if (!bans_table_raise(table, &ban)) {
            bans_table_free(table);
            table = NULL;
            *slots *= 2;
        }
    }
    return table;
}

/* Without memory the old one stays, which binds more, and the next pass tries again. */
static void remake_table(struct bans *bans)
{
    size_t slots = bans->row_count + NAMESPACES_MAX + 1;
    struct bans_table *table = table_of_rows(bans, &slots);
    if (table == NULL) {
        table = table_of_rows(bans, &slots); /* each row takes two at most */
    }
    if (table == NULL) {
        return;
    }
    bans->top = 0;
    for (size_t i = 0; i < bans->row_count; i++) {
        bans->top = larger(bans->top, larger(bans->rows[i]->hard, bans->rows[i]->soft));
    }
    bans->removed = false;
    bans_swap_table(bans, table);
    finish(bans);
}

/* A row that binds, where values may live for ever. */
static void note_age(struct bans *bans, const struct ban_row *row, int64_t now_ms)
{
    const uint64_t seq = larger(row->hard, row->soft);
    if (is_older(row, now_ms, BANS_KEEP_MS)) {
        bans->pass_aged = larger(bans->pass_aged, seq + 1);
    }
    if (is_older(row, now_ms, BANS_KEEP_MS + BANS_COVER_MS)) {
        bans->pass_overdue = larger(bans->pass_overdue, seq);
    }
}

/* Unless another node has covered what is overdue meanwhile. */
static void end_pass(struct bans *bans)
{
    if (bans->pass_overdue > 0 && bans->pass_overdue >= bans_table_all(bans_table_of(bans), 0)) {
        bans->aged = bans->pass_aged;
    }
    bans->pass_aged = 0;
    bans->pass_overdue = 0;
}

void bans_over(struct bans *bans, int64_t now_ms, int64_t life_ms, unsigned steps, struct buf *over)
{
    CHECK_MAGIC(bans, BANS_MAGIC);
    if (bans->clean_at > bans->row_count) {
        bans->clean_at = bans->row_count;
    }
    for (; steps > 0 && bans->clean_at > 0; steps--) {
        const struct ban_row *row = bans->rows[bans->clean_at - 1];
        const bool over_now = is_over(bans, row, now_ms, life_ms);
        if (over_now && frame_ban_append(over, ban_row_name(row), 0, row->hard, row->soft) != OK) {
            return; /* it is full */
        }
        if (!over_now && life_ms == 0) {
            note_age(bans, row, now_ms);
        }
        bans->clean_at--;
    }
    if (bans->clean_at == 0) {
        end_pass(bans);
        if (bans->removed) {
            remake_table(bans);
        }
        bans->clean_at = bans->row_count;
    }
}

uint64_t bans_aged(struct bans *bans)
{
    CHECK_MAGIC(bans, BANS_MAGIC);
    const uint64_t aged = bans->aged;
    bans->aged = 0;
    return aged;
}

void bans_remove(struct bans *bans, struct slice over)
{
    CHECK_MAGIC(bans, BANS_MAGIC);
    struct frame_ban ban;
    size_t position = 0;
    while (frame_ban_next(over, 0, &position, &ban) == OK) {
        struct ban_row *row = row_find(bans, ban.name);
        if (row != NULL && row->hard <= ban.hard && row->soft <= ban.soft) {
            row_remove(bans, row);
        }
    }
}

/* --- all of them ------------------------------------------------------------------------------------------------- */

void bans_free_rows(struct bans *bans)
{
    for (size_t i = 0; i < bans->row_count; i++) {
        free(bans->rows[i]);
    }
    free((void *)bans->rows);
    map_done(&bans->by_name);
}

size_t bans_row_bytes(const struct bans *bans)
{
    return bans->row_bytes + bans->row_count * MALLOC_OVERHEAD +
           bans->row_room * sizeof(struct ban_row *) +
           bans->by_name.chain_count * sizeof(struct map_node *);
}
