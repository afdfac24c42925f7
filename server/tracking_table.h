/* SPDX-License-Identifier: BSD-3-Clause */
/* tracking_table.h -- which clients have read which keys since these last changed (CLIENT TRACKING).
 *
 *      row: key "user:7" -> { client 12, client 40 }
 *
 * A row is made by the first reader, and taken out whole when its key changes: who wants to be told again reads again.
 *
 * A key is known by its bytes alone: clients are not told of databases.
 *
 * Owns:    its rows, copies of their keys; a row that is taken out is the taker's.
 * Threads: any. It is cut into parts; each has a lock, held for one operation, under which nothing is called.
 * Limits:  the owner's: tracking_table_keys, tracking_table_take_any. */
#ifndef TERRACE_SERVER_TRACKING_TABLE_H
#define TERRACE_SERVER_TRACKING_TABLE_H

#include "protocol/bytes.h"

#include <stdint.h>

struct tracking_table;

struct tracking_table *tracking_table_new(void); /* NULL: no memory */
void tracking_table_free(struct tracking_table *table);

/* `hash` of the key, by which the others find it again: with a secret, keys come from outside. A client that is in the row
 * stays in it once. NO_MEMORY: it is not. */
enum status tracking_table_add(struct tracking_table *table, struct slice key, uint64_t hash,
                               uint64_t client) MUST_USE;

/* A number for the row of the key, if it has one. */
void tracking_table_stamp(struct tracking_table *table, struct slice key, uint64_t hash,
                          uint64_t stamp);

/* A row that was taken out. No client has the number 0. */
struct tracking_row;
struct tracking_row *tracking_table_take(struct tracking_table *table, struct slice key,
                                         uint64_t hash); /* NULL: nobody has read it */
/* Some row, chosen by `noise`; NULL: there is none. */
struct tracking_row *tracking_table_take_any(struct tracking_table *table, uint64_t noise);
/* All rows whose keys fit, as pointers appended to `rows`; it takes time by the number of all rows. `fits` must not come back
 * here. NO_MEMORY: not all of them. */
enum status tracking_table_take_fitting(struct tracking_table *table,
                                        bool (*fits)(void *arg, struct slice key), void *arg,
                                        struct buf *rows) MUST_USE;
struct slice tracking_row_key(const struct tracking_row *row);
uint64_t tracking_row_stamp(const struct tracking_row *row); /* 0: it had none */
/* Its clients in turn, in no order; *at is 0 for the first. 0: no more. */
uint64_t tracking_row_next(const struct tracking_row *row, size_t *at);
void tracking_row_free(struct tracking_row *row); /* NULL is fine */

void tracking_table_clear(struct tracking_table *table);

size_t tracking_table_keys(const struct tracking_table *table);  /* rows */
size_t tracking_table_items(const struct tracking_table *table); /* clients in rows */

#endif
