/* SPDX-License-Identifier: BSD-3-Clause */
/* hot_pages.h -- the lists of other nodes with the pages that they name (held.h), read out of L2 and made one list.
 *
 *      hot_pages_read -> the lists are merged -> the first page of each node, the second of each ... ~> on_list
 *
 * One page is asked for at a time, and taken apart and added up in a thread of libuv's pool: neither the link nor the
 * first worker has more than one in its hands. Pages come hottest first, and of all nodes alike; when so many keys are
 * known as were wished, further ones are not read. A page that is missing, is none, or is of another writing than its
 * list names, ends those of its node: what was read of it stays.
 *
 * Owns:    references to the lists; the merge.
 * Threads: the first worker's.
 * Limits:  HOT_LISTS_READ lists; keys_max keys: 70 bytes and its name for each, and as much again while the list is made.
 * Errors:  L2 cannot be asked any more: what is known so far is the list. NULL instead: no memory. */
#ifndef TERRACE_SERVER_HOT_PAGES_H
#define TERRACE_SERVER_HOT_PAGES_H

#include "server/hot_desk.h"

struct hot_pages;

struct hot_pages_wish {
    const struct hot_found *found;
    size_t found_count;
    /* What this node held in its former life: as the list of one node more; NULL: none. */
    struct hot_list *own;
    size_t keys_max;
    void (*on_list)(void *arg, struct hot_list *list); /* once; `list` is borrowed */
    void *arg;
};

/* Never calls from inside. NULL: no memory. */
struct hot_pages *hot_pages_read(struct worker *first, const struct hot_pages_wish *wish);
void hot_pages_forget(struct hot_pages *pages); /* no call any more; NULL is fine */

#endif
