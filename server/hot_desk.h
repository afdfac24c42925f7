/* SPDX-License-Identifier: BSD-3-Clause */
/* hot_desk.h -- the hot keys of this node as one list, made of what its workers count (tiers/hot.h), and those of the others.
 *
 *      tick -> every HOT_MERGE_MS, or when somebody looks, a tour: each worker copies its sketch -> the copies are merged in a thread of libuv's pool
 *           -> newest (CACHE.HOT, INFO, metrics) -> every HOT_PUBLISH_MS into L2 (tiers/scripts/hot.lua), and once more when
 *              the node drains: what it leaves, the others find
 *      hot_desk_fetch ~> the HOT_LISTS_READ newest lists of L2 ~> on_list, merged
 *
 * Workers never wait: a copy is made on their own loop, between two turns (some 50 microseconds for 4096 keys).
 *
 * In L2, in coherence-db: terrace:hot, a field per node with its list, and terrace:hot:at, when each was written. Lists go
 * after HOT_LIST_LIFE_MS, and there are HOT_LISTS_MAX at most. They may come from anybody who can write there: what is no
 * list is counted and stepped over.
 *
 * Owns:    its lists; what it hands out is the caller's reference, or borrowed where it says so.
 * Threads: hot_desk_newest, hot_desk_want, hot_desk_has_left, hot_desk_reads_per_s and hot_desk_describe any; the rest the first worker's.
 * Limits:  as above; a list has `hot-keys` rows at most and HOT_LIST_BYTES. */
#ifndef TERRACE_SERVER_HOT_DESK_H
#define TERRACE_SERVER_HOT_DESK_H

#include "tiers/base/list.h"
#include "tiers/hot_list.h"

enum {
    HOT_MERGE_MS = 1000,
    HOT_PUBLISH_MS = 5000,
    HOT_LISTS_MAX = 64,  /* in L2: 16 MiB at most */
    HOT_LISTS_READ = 16, /* of them, the newest */
};

struct hot_desk;
struct node;
struct worker;

struct hot_desk *hot_desk_new(struct node *node); /* NULL: no memory */
void hot_desk_free(struct hot_desk *desk);        /* after all workers; NULL is fine */
void hot_desk_tick(struct hot_desk *desk, struct worker *first);
void hot_desk_leave(struct hot_desk *desk); /* the node drains: what is known now is left in L2 */
/* What hot_desk_leave wrote, L2 has, or will not. Any thread. */
bool hot_desk_has_left(const struct hot_desk *desk);
void hot_desk_end(struct hot_desk *desk); /* before the links end: nobody is asked any more */

/* With a reference for the caller; NULL: there is none yet, or nothing is counted. */
struct hot_list *hot_desk_newest(struct hot_desk *desk);
/* The next tick makes a newer one. Any thread. */
void hot_desk_want(struct hot_desk *desk);
/* Reads that clients were answered, of late: what its list weighs beside those of others. */
uint32_t hot_desk_reads_per_s(const struct hot_desk *desk);

struct hot_description {
    size_t keys; /* of the newest list */
    double reads_per_s;
    double hottest; /* share of the first key in all reads, 0 to 1 */
    double known;   /* share of all keys of the list */
    unsigned every; /* one of so many reads is counted at present, on the busiest worker */
};
void hot_desk_describe(struct hot_desk *desk, struct hot_description *ret);

struct hot_fetch {
    /* Exactly once after OK, never from inside. `list` is borrowed, of no rows if nobody left one; NULL: L2 could not be asked, or
     * there was no memory. */
    void (*on_list)(struct hot_fetch *fetch, struct hot_list *list);
    bool with_own;       /* this node's own newest list, too */
    size_t rows_max;     /* 0: as many as a list may have */
    struct list in_desk; /* private */
};
/* L2_DOWN: the node is alone, or ends. */
enum status hot_desk_fetch(struct hot_desk *desk, struct hot_fetch *fetch) MUST_USE;
/* It is not called any more. Fine for one that has been. */
void hot_desk_forget(struct hot_fetch *fetch);

#endif
