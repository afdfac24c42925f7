/* SPDX-License-Identifier: BSD-3-Clause */
/* hot_inner.h -- what hot_desk.c (merging) and hot_lists.c (L2) share.
 *
 * Threads: the first worker's, but for what is said. */
#ifndef TERRACE_SERVER_HOT_INNER_H
#define TERRACE_SERVER_HOT_INNER_H

#include "server/hot_desk.h"
#include "server/mailbox.h"
#include "tiers/hot_merge.h"
#include "tiers/link.h"

#include <pthread.h>

enum {
    HOT_NAME_SIZE = 16 /* of a node, in hex digits */
};

/* Lists in L2: this node's on its way there, and a round of reading the others'. */
struct hot_lists {
    int64_t publish_due_ms;
    bool ended;
    _Atomic bool writes;
    struct buf bytes; /* of the list that is written, or was */
    struct link_request write;
    /* a round: the names, then list after list */
    bool reads;
    struct link_request read;
    char names[HOT_LISTS_READ][HOT_NAME_SIZE];
    size_t name_count;
    size_t name_at;
    struct hot_list *lists[HOT_LISTS_READ + 1];
    size_t list_count;
    struct list round; /* fetches that this round answers */
    struct list waits; /* those that came since */
};

struct hot_desk {
    struct node *node;
    struct worker *first;
    size_t rows_max;
    int64_t merged_at_ms;
    bool busy; /* a tour or a merge is under way */
    struct tour tour;
    uv_work_t work;          /* the pool's while it runs, as the next two */
    unsigned every_seen;     /* the largest, of the workers that the tour came to */
    struct hot_copy *copies; /* one per worker: its, while the tour visits it */
    struct hot_list *made;
    enum status made_status;
    pthread_mutex_t lock;
    struct hot_list *newest; /* under the lock */
    _Atomic uint32_t reads_per_s;
    _Atomic unsigned every;
    _Atomic bool wanted; /* somebody looks */
    struct hot_lists lists;
};

/* hot_lists.c */
void hot_lists_open(struct hot_lists *lists);
void hot_lists_close(struct hot_lists *lists);
void hot_lists_tick(struct hot_desk *desk);

#endif
