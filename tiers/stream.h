/* SPDX-License-Identifier: BSD-3-Clause */
/* stream.h -- large values on their way between L2 and a client, each on a line of its own (line.h): who may, and when.
 *
 * A value of LIMIT_STREAM bytes or more that L1 would not keep is never held whole. It passes in pieces, and whoever reads
 * or writes it slowly holds up nobody else, so it needs a connection to L2 to itself. A worker has LIMIT_STREAMS SEATS for
 * those that are read and as many for those that are written, since a write may wait for a read of its connection; who finds
 * none waits in a row, first come first served, until his deadline:
 *
 *      stream_sit: OK, or PENDING ... on_seated(OK) -> seat.line is his -> stream_rise
 *                              \...... on_seated(BUSY, L2_DOWN, NO_MEMORY): he has none
 *
 * That a value is large is learnt from its first read (link.h, "Large replies"), and remembered for the next ones, so that
 * they ask on a line at once: a few keys by their hashes, each until another takes its place, or it is found small. A guess
 * that is wrong costs a read its way over the shared link, or over a line.
 *
 * Owns:    the line of a seat, until stream_rise. Seats are borrowed until then, or until on_seated says why not.
 * Threads: the window's. */
#ifndef TERRACE_TIERS_STREAM_H
#define TERRACE_TIERS_STREAM_H

#include "tiers/line.h"
#include "tiers/namespace.h"

struct stream_seat {
    struct line_user user; /* its callbacks are the owner's to set, before it sits */
    /* Once after PENDING, never from inside. */
    void (*on_seated)(struct stream_seat *seat, enum status status);
    int proto;
    int64_t deadline_ms; /* of the row */
    bool writes;
    struct line *line;  /* NULL: not seated */
    struct list in_row; /* private */
};

struct stream_row {
    struct list waiting;
    unsigned seated;
};

/* A window's: calloc'ed zeros but for the lists. */
struct stream_hall {
    struct stream_row rows[2]; /* of reads, of writes */
    struct list under_way;     /* downloads (download.h) */
    struct list uploads;
    uint64_t *known; /* hashes of large keys; NULL: none so far */
};

void stream_hall_open(struct stream_hall *hall);
void stream_hall_tick(struct tiers_window *window);
/* Nobody sits down any more: who is in the row hears L2_DOWN. Before the window's lines end. */
void stream_hall_end(struct tiers_window *window);
void stream_hall_done(struct stream_hall *hall);

/* OK, PENDING, L2_DOWN, NO_MEMORY. */
enum status stream_sit(struct tiers_window *window, struct stream_seat *seat) MUST_USE;
/* Leaves the seat, or the row. The line goes to the next one if nothing is under way on it, else it ends. */
void stream_rise(struct tiers_window *window, struct stream_seat *seat);
/* The same as far as the seat goes; the line ends with the window's others. */
void stream_forget(struct tiers_window *window, struct stream_seat *seat);

/* How many bytes a value may have for L1 to keep it. */
size_t stream_kept_max(const struct namespace *ns);
void stream_note_large(struct tiers_window *window, const struct l1_key *key);
void stream_note_small(struct tiers_window *window, const struct l1_key *key);
/* Its checksum was wrong: it is to be read whole, and found broken. */
void stream_note_broken(struct tiers_window *window, const struct l1_key *key);
bool stream_knows_broken(const struct tiers_window *window, const struct l1_key *key);
bool stream_knows_large(const struct tiers_window *window, const struct l1_key *key);

#endif
