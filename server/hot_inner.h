/* SPDX-License-Identifier: BSD-3-Clause */
/* hot_inner.h -- what hot_desk.c (merging), hot_lists.c (lists in L2) and hot_held.c (pages there) share.
 *
 * Threads: the first worker's, but for what is said. */
#ifndef TERRACE_SERVER_HOT_INNER_H
#define TERRACE_SERVER_HOT_INNER_H

#include "server/hot_desk.h"
#include "server/mailbox.h"
#include "server/script_ask.h"
#include "tiers/held.h"
#include "tiers/hot_merge.h"
#include "tiers/link.h"

#include <pthread.h>

enum {
    HELD_KEY_SIZE = 17 + HOT_NAME_SIZE + 2
};

/* Lists in L2: this node's on its way there, and a round of reading the others'. */
struct hot_lists {
    int64_t publish_due_ms;
    bool ended;
    _Atomic bool writes;
    _Atomic bool again; /* when that is done: the pages that it names are others now */
    struct buf bytes;   /* of the list that is written, or was */
    struct own_script script;
    struct script_ask write;
    /* a round: the names, then list after list */
    bool reads;
    struct link_request read;
    char names[HOT_LISTS_READ][HOT_NAME_SIZE];
    size_t name_count;
    size_t name_at;
    struct hot_found found[HOT_LISTS_READ];
    size_t list_count;
    struct list round; /* fetches that this round answers */
    struct list waits; /* those that came since */
};

/* What L1 holds, on its way into L2. */
struct hot_held {
    int64_t due_ms;
    int64_t written_at_ms; /* the last that L2 has */
    uint64_t fills_then;   /* of L1, when that was begun */
    uint64_t items_then;
    struct held_told told; /* which the list names; no writing: none */
    _Atomic size_t rows;   /* of it, and */
    _Atomic size_t bytes;
    _Atomic int walk;   /* enum hot_walk */
    _Atomic bool busy;  /* one is under way */
    bool hurries;       /* the node drains */
    bool asks;          /* a page is on its way */
    uint64_t fills_now; /* as fills_then, of the one under way, as the rest */
    uint64_t items_now;
    uv_work_t work; /* the pool's while it runs, as the next four */
    struct held_wish wish;
    struct hot_list *made_of; /* a reference */
    struct held made;
    enum status made_status;
    unsigned page; /* the next one */
    struct own_script script;
    struct script_ask write;
};

/* Who may look at all of L1. */
enum hot_walk {
    WALK_FREE,
    WALK_GOES_ON, /* the first worker's, and then a thread's of the pool */
    WALK_KEPT_OFF /* the control loop's: namespaces change */
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
    _Atomic unsigned every;
    _Atomic bool wanted; /* somebody looks */
    double hits;         /* of L1, and */
    double reads;        /* of clients; both fade as the sketches do */
    uint64_t hits_then;
    uint64_t misses_then;
    int64_t counted_at_ms;
    struct hot_lists lists;
    struct hot_held held;
};

/* hot_lists.c */
/* Of a request for a list or a page: what is so large that a link need not gather it is none. Its bytes pass; TOO_BIG. */
enum link_way hot_pass_over(struct link_request *request, const struct link_large_reply *reply);
void hot_lists_open(struct hot_lists *lists);
void hot_lists_close(struct hot_lists *lists);
void hot_lists_tick(struct hot_desk *desk);
/* The list, with the pages that it names. */
void hot_lists_write(struct hot_desk *desk);
struct slice hot_own_name(const struct hot_desk *desk, char dst[HOT_NAME_SIZE + 1]);

/* hot_held.c */
extern const struct slice held_nodes_key;
struct slice held_key(char dst[HELD_KEY_SIZE + 1], struct slice node, uint64_t writing);
void hot_held_open(struct hot_held *held);
void hot_held_tick(struct hot_desk *desk);
void hot_held_leave(struct hot_desk *desk); /* begins the last one, if it is worth it */
void hot_held_end(struct hot_desk *desk);   /* no page more */
void hot_held_close(struct hot_held *held);

#endif
