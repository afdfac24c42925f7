/* SPDX-License-Identifier: BSD-3-Clause */
#include "tiers/stream.h"

#include "protocol/limits.h"
#include "tiers/download.h"
#include "tiers/upload.h"
#include "tiers/window.h"

#include <stdlib.h>

enum {
    KNOWN_MAX = 512 /* a power of two */
};

void stream_hall_open(struct stream_hall *hall)
{
    list_init(&hall->rows[0].waiting);
    list_init(&hall->rows[1].waiting);
    list_init(&hall->under_way);
    list_init(&hall->uploads);
}

void stream_hall_done(struct stream_hall *hall)
{
    free(hall->known);
    hall->known = NULL;
}

/* --- seats --------------------------------------------------------------------------------------------------------- */

static struct stream_row *row_of(struct tiers_window *window, const struct stream_seat *seat)
{
    return &window->streams.rows[seat->writes];
}

/* BUSY: there is none free. */
static enum status seat_take(struct tiers_window *window, struct stream_seat *seat)
{
    struct stream_row *row = row_of(window, seat);
    if (row->seated >= LIMIT_STREAMS) {
        return BUSY;
    }
    const enum status status =
        line_take(window, seat->proto, LINE_STREAM, &seat->user, &seat->line);
    row->seated += status == OK;
    return status;
}

enum status stream_sit(struct tiers_window *window, struct stream_seat *seat)
{
    struct stream_row *row = row_of(window, seat);
    seat->line = NULL;
    list_init(&seat->in_row);
    const enum status status = list_empty(&row->waiting) ? seat_take(window, seat) : BUSY;
    if (status != BUSY) {
        return status;
    }
    list_push_back(&row->waiting, &seat->in_row);
    return PENDING;
}

/* Each of those that wait at most once, so that one who comes back does not keep the loop going. */
static void row_go_on(struct tiers_window *window, struct stream_row *row)
{
    while (!list_empty(&row->waiting)) {
        struct stream_seat *seat = LIST_ENTRY(row->waiting.next, struct stream_seat, in_row);
        const enum status status = seat_take(window, seat);
        if (status == BUSY) {
            return;
        }
        list_remove(&seat->in_row);
        seat->on_seated(seat, status);
    }
}

void stream_rise(struct tiers_window *window, struct stream_seat *seat)
{
    list_remove(&seat->in_row);
    if (seat->line == NULL) {
        return;
    }
    struct stream_row *row = row_of(window, seat);
    struct line *line = seat->line;
    seat->line = NULL;
    row->seated--;
    line_hold(line, false);
    line_give_back(line);
    row_go_on(window, row);
}

void stream_forget(struct tiers_window *window, struct stream_seat *seat)
{
    list_remove(&seat->in_row);
    row_of(window, seat)->seated -= seat->line != NULL;
    seat->line = NULL;
}

static void row_end_late(struct stream_row *row, int64_t now_ms)
{
    struct list *next = NULL;
    struct list late;
    list_init(&late);
    for (struct list *node = row->waiting.next; node != &row->waiting; node = next) {
        struct stream_seat *seat = LIST_ENTRY(node, struct stream_seat, in_row);
        next = node->next;
        if (seat->deadline_ms <= now_ms) {
            list_remove(node);
            list_push_back(&late, node);
        }
    }
    while (!list_empty(&late)) {
        struct stream_seat *seat = LIST_ENTRY(late.next, struct stream_seat, in_row);
        list_remove(&seat->in_row);
        seat->on_seated(seat, BUSY);
    }
}

void stream_hall_tick(struct tiers_window *window)
{
    for (unsigned i = 0; i < 2; i++) {
        row_end_late(&window->streams.rows[i], window->now_ms);
        row_go_on(window, &window->streams.rows[i]);
    }
    downloads_tick(window);
    uploads_tick(window);
}

void stream_hall_end(struct tiers_window *window)
{
    for (unsigned i = 0; i < 2; i++) {
        struct list *row = &window->streams.rows[i].waiting;
        while (!list_empty(row)) {
            struct stream_seat *seat = LIST_ENTRY(row->next, struct stream_seat, in_row);
            list_remove(&seat->in_row);
            seat->on_seated(seat, L2_DOWN);
        }
    }
    uploads_end(window);
}

/* --- which values are large ------------------------------------------------------------------------------------------ */

size_t stream_kept_max(const struct namespace *ns)
{
    const size_t share = l1_bytes_max(ns->l1) / LIMIT_KEPT_SHARE;
    return share > LIMIT_STREAM ? share : LIMIT_STREAM;
}

/* Never 0. Of one key in two databases something else may be known. */
static uint64_t known_as(const struct l1_key *key)
{
    return (key->hash ^ key->db * UINT64_C(0x9e3779b97f4a7c15)) | 1;
}

static uint64_t *known_place(const struct tiers_window *window, uint64_t id)
{
    return &window->streams.known[(id >> 1) & (KNOWN_MAX - 1)];
}

static void note_as(struct tiers_window *window, const struct l1_key *key, uint64_t what)
{
    struct stream_hall *hall = &window->streams;
    if (hall->known == NULL) {
        hall->known = calloc(KNOWN_MAX, sizeof *hall->known);
    }
    if (hall->known != NULL) {
        *known_place(window, known_as(key)) = what;
    }
}

void stream_note_large(struct tiers_window *window, const struct l1_key *key)
{
    note_as(window, key, known_as(key));
}

/* The same, and even. */
void stream_note_broken(struct tiers_window *window, const struct l1_key *key)
{
    note_as(window, key, known_as(key) - 1);
}

bool stream_knows_broken(const struct tiers_window *window, const struct l1_key *key)
{
    const uint64_t id = known_as(key);
    return window->streams.known != NULL && *known_place(window, id) == id - 1;
}

bool stream_knows_large(const struct tiers_window *window, const struct l1_key *key)
{
    const uint64_t id = known_as(key);
    return window->streams.known != NULL && *known_place(window, id) == id;
}

void stream_note_small(struct tiers_window *window, const struct l1_key *key)
{
    if (stream_knows_large(window, key)) {
        *known_place(window, known_as(key)) = 0;
    }
}
