/* SPDX-License-Identifier: BSD-3-Clause */
/* hot_merge.h -- adds up what several tell of the same keys: sketches of workers (hot.h), lists of nodes, pages of what they
 * hold (held.h), one after the other, and makes a list of the hottest (hot_list.h).
 *
 * Counts add up. Of what is full, further keys are not taken, and those that it has go on adding up: so the hottest come
 * first, as far as one knows.
 *
 * Owns:    copies of the keys.
 * Threads: one at a time.
 * Limits:  keys_max keys of HOT_KEY_MAX each; 70 bytes and its name for a key, and while it makes a list 50 and its name more.
 * Errors:  NO_MEMORY: it is of no more use. */
#ifndef TERRACE_TIERS_HOT_MERGE_H
#define TERRACE_TIERS_HOT_MERGE_H

#include "tiers/hot_list.h"

enum {
    HOT_MERGE_KEYS_MAX = 1 << 22 /* their names are below 2 GiB */
};

struct hot_merge;

struct hot_merge *hot_merge_new(size_t keys_max); /* NULL: no memory */
void hot_merge_free(struct hot_merge *merge);     /* NULL is fine */

/* Its counts, totals and hits times `weight`. */
enum status hot_merge_list(struct hot_merge *merge, const struct hot_list *list,
                           double weight) MUST_USE;
/* Only what its counts are sure of (hot_list_sure): the rest is in the pages. */
enum status hot_merge_sure(struct hot_merge *merge, const struct hot_list *list,
                           double weight) MUST_USE;
/* Its counts times `weight`; its reads are counted in the list of its node. */
enum status hot_merge_page(struct hot_merge *merge, const struct hot_list *page,
                           double weight) MUST_USE;
bool hot_merge_is_full(const struct hot_merge *merge);

/* The hottest `rows_max`, as many as `bytes_max` of rows hold. The merge can only be freed then. `now_ms`: of the wall
 * clock. */
enum status hot_merge_end(struct hot_merge *merge, size_t rows_max, size_t bytes_max,
                          int64_t now_ms, struct hot_list **ret_list) MUST_USE;

/* In one call: of all that the copies have, the hottest `rows_max`, as many as HOT_LIST_BYTES hold. */
enum status hot_list_of_copies(const struct hot_copy *copies, size_t count, size_t rows_max,
                               int64_t now_ms, struct hot_list **ret_list) MUST_USE;
/* The same of lists: older ones count less (hot_list_weight). NULLs are stepped over. */
enum status hot_list_of_lists(struct hot_list *const *lists, size_t count, size_t rows_max,
                              int64_t now_ms, struct hot_list **ret_list) MUST_USE;

#endif
