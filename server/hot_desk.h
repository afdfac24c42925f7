/* SPDX-License-Identifier: BSD-3-Clause */
/* hot_desk.h -- the hot keys of this node as one list, made of what its workers count (tiers/hot.h), and those of the others.
 *
 *      tick -> every HOT_MERGE_MS, or when somebody looks, a tour: each worker copies its sketch -> the copies are merged
 *              in a thread of libuv's pool
 *           -> newest (CACHE.HOT, INFO, metrics) -> every HOT_PUBLISH_MS into L2 (tiers/scripts/hot.lua), and once more when
 *              the node drains: what it leaves, the others find
 *           -> every HELD_EVERY_MS, if L1 is another one: all that it holds is written down in a thread of the pool (held.h)
 *              -> a page per tick into L2 (tiers/scripts/held.lua) -> from then on the list names them
 *      hot_desk_fetch ~> the HOT_LISTS_READ newest lists of L2 ~> on_list, merged (pages: hot_pages.h)
 *
 * Workers never wait: a copy is made on their own loop, between two turns (some 50 microseconds for 4096 keys), and who walks
 * over L1 locks one chain at a time.
 *
 * In L2, in coherence-db: terrace:hot, a field per node with its list, and terrace:hot:at, when each was written. Lists go
 * after HOT_LIST_LIFE_MS, and there are HOT_LISTS_MAX at most. They may come from anybody who can write there: what is no
 * list is counted and stepped over.
 *
 * THE LIFE OF PAGES: terrace:hot:held:<node>:<0 or 1>, a field per page. Writings take turns in the two places, and a
 * list names a writing only when all its pages are there. So what a list names stands still: it is written over
 * HELD_EVERY_MS after another writing was named at the soonest, and stays HELD_LINGER_MS when it is no longer named. Who
 * reads even more slowly sees it, for every page says of which writing it is, and which. A node that dies while it writes
 * leaves a place that ends by itself; the list names the other. Pages end with the list. Redis' memory is the users': of
 * HELD_NODES_MAX nodes there are pages (terrace:hot:held says of which); one more takes the place of one that has gone,
 * and while all live it writes none, and its list says so.
 *
 * When the node drains, it writes once more what changed since, page after page, as long as it has time: then the list names
 * the new ones, else the former.
 *
 * Owns:    its lists; what it hands out is the caller's reference, or borrowed where it says so.
 * Threads: hot_desk_newest, hot_desk_want, hot_desk_has_left and hot_desk_describe any;
 *          hot_desk_keep_off and hot_desk_let_walk the control loop's; the rest the first worker's.
 * Limits:  as above; a list has `hot-keys` rows at most and HOT_LIST_BYTES; pages as held.h says: 4 MiB per node, twice
 *          while they are written. */
#ifndef TERRACE_SERVER_HOT_DESK_H
#define TERRACE_SERVER_HOT_DESK_H

#include "tiers/base/list.h"
#include "tiers/hot_list.h"

enum {
    HOT_MERGE_MS = 1000,
    HOT_PUBLISH_MS = 5000,
    HOT_LISTS_MAX = 64, /* in L2: 16 MiB at most */
    HELD_FIRST_MS = 5000,
    HELD_EVERY_MS = 60000,
    HELD_AT_LEAST_MS = 600000, /* though nothing came: reads have other keys by then */
    HELD_LINGER_MS = 60000,
    HELD_NODES_MAX = 16, /* that have pages in L2: 64 MiB, and what is being written */
    HELD_CHANGED = 8,    /* one in so many values of L1 is another one: then it is worth writing */
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
/* Before the namespaces change: nobody looks at all of them, nor will. False: somebody does, for a moment. */
bool hot_desk_keep_off(struct hot_desk *desk);
void hot_desk_let_walk(struct hot_desk *desk);
void hot_desk_end(struct hot_desk *desk); /* before the links end: nobody is asked any more */

/* With a reference for the caller; NULL: there is none yet, or nothing is counted. */
struct hot_list *hot_desk_newest(struct hot_desk *desk);
/* The next tick makes a newer one. Any thread. */
void hot_desk_want(struct hot_desk *desk);

struct hot_description {
    size_t keys; /* of the newest list */
    double reads_per_s;
    double hottest;    /* share of the first key in all reads, 0 to 1 */
    double known;      /* share of all keys of the list */
    size_t held;       /* keys in the pages of what L1 holds that are in L2 */
    size_t held_bytes; /* that these take there */
    unsigned every;    /* one of so many reads is counted at present, on the busiest worker */
};
void hot_desk_describe(struct hot_desk *desk, struct hot_description *ret);

enum {
    HOT_NAME_SIZE = 16 /* of a node, in hex digits */
};

/* A list as it lies in L2. */
struct hot_found {
    struct hot_list *list;
    char node[HOT_NAME_SIZE];
};

struct hot_fetch {
    /* Exactly once after OK, never from inside. `list` is borrowed, of no rows if nobody left one; NULL: L2 could not be
     * asked, or there was no memory. */
    void (*on_list)(struct hot_fetch *fetch, struct hot_list *list);
    /* What `list` was merged of, while on_list runs; not this node's own. */
    const struct hot_found *found;
    size_t found_count;
    bool with_own;       /* this node's own newest list, too */
    size_t rows_max;     /* 0: as many as a list may have */
    struct list in_desk; /* private */
};
/* L2_DOWN: the node is alone, or ends. */
enum status hot_desk_fetch(struct hot_desk *desk, struct hot_fetch *fetch) MUST_USE;
/* It is not called any more. Fine for one that has been. */
void hot_desk_forget(struct hot_fetch *fetch);

#endif
