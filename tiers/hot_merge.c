/* SPDX-License-Identifier: BSD-3-Clause */
#include "tiers/hot_merge.h"

#include "protocol/check.h"
#include "protocol/hash.h"
#include "tiers/base/map.h"
#include "tiers/base/rand.h"

#include <stdlib.h>
#include <string.h>

/* A key that is being added up. */
struct sum {
    struct map_node node;
    struct slice key; /* when all is there; until then its size, */
    size_t key_at;    /* and where it is */
    double count;
    double upper; /* what exceeds the bound of who does not have it (hot_copy.least) */
    uint8_t db;
};

struct hot_merge {
    struct map map;
    struct hash_secret secret; /* of this merge: keys of other nodes may be anything */
    struct sum *sums;          /* room for all */
    size_t room;
    size_t count;
    struct buf keys;
    double least; /* the upper bound of a key that nobody has */
    double total;
    double hits;
    double grains; /* each times its total */
    double window_s;
};

struct hot_merge *hot_merge_new(size_t keys_max)
{
    unsigned char random[HASH_SECRET_SIZE];
    struct hot_merge *merge = calloc(1, sizeof(*merge));
    CHECK(keys_max <= HOT_MERGE_KEYS_MAX);
    if (merge == NULL) {
        return NULL;
    }
    merge->room = keys_max;
    merge->sums = malloc((keys_max + 1) * sizeof(*merge->sums));
    if (merge->sums == NULL) {
        hot_merge_free(merge);
        return NULL;
    }
    rand_secret(random, sizeof random);
    hash_secret_init(&merge->secret, random);
    return merge;
}

void hot_merge_free(struct hot_merge *merge)
{
    if (merge != NULL) {
        map_done(&merge->map);
        buf_done(&merge->keys);
        free(merge->sums);
        free(merge);
    }
}

bool hot_merge_is_full(const struct hot_merge *merge)
{
    return merge->count == merge->room;
}

static struct slice key_of(const struct hot_merge *merge, const struct sum *sum)
{
    return (struct slice){merge->keys.data + sum->key_at, sum->key.size};
}

/* OK; MISS: it is a new one, and there is no room. */
static enum status sum_find(struct hot_merge *merge, uint64_t hash, uint8_t db, struct slice key,
                            struct sum **ret_sum)
{
    for (struct map_node *node = map_find(&merge->map, hash); node != NULL; node = map_next(node)) {
        struct sum *sum = MAP_ENTRY(node, struct sum, node);
        if (sum->db == db && slice_equal(key_of(merge, sum), key)) {
            *ret_sum = sum;
            return OK;
        }
    }
    if (hot_merge_is_full(merge)) {
        return MISS;
    }
    struct sum *sum = &merge->sums[merge->count];
    *sum = (struct sum){.key = {NULL, key.size}, .key_at = merge->keys.size, .db = db};
    if (buf_append_slice(&merge->keys, key) != OK || map_add(&merge->map, &sum->node, hash) != OK) {
        return NO_MEMORY;
    }
    merge->count++;
    *ret_sum = sum;
    return OK;
}

static enum status add(struct hot_merge *merge, uint64_t hash, const struct hot_row *row,
                       double upper)
{
    struct sum *sum = NULL;
    const enum status status = sum_find(merge, hash, row->db, row->key, &sum);
    if (status == OK) {
        sum->count += row->count;
        sum->upper += upper;
    }
    return status == MISS ? OK : status;
}

static double longer(double a, double b)
{
    return a > b ? a : b;
}

static enum status hot_merge_copy(struct hot_merge *merge, const struct hot_copy *copy)
{
    enum status status = OK;
    merge->total += copy->total;
    merge->least += copy->least;
    merge->grains += copy->grain * copy->total;
    merge->window_s = longer(copy->window_s, merge->window_s);
    for (size_t i = 0; i < copy->count && status == OK; i++) {
        const struct hot_copied *copied = &copy->rows[i];
        const struct hot_row row = {.key = {copy->keys.data + copied->key_at, copied->key_size},
                                    .count = copied->count,
                                    .db = copied->db};
        status = add(merge, copied->hash, &row, copied->count + copied->error - copy->least);
    }
    return status;
}

enum status hot_merge_page(struct hot_merge *merge, const struct hot_list *page, double weight)
{
    enum status status = OK;
    for (size_t i = 0; i < page->count && status == OK; i++) {
        struct hot_row row = page->rows[i];
        row.count *= weight;
        status = add(merge, hash_key(&merge->secret, row.key), &row,
                     row.count + page->rows[i].error * weight);
    }
    return status;
}

static void add_totals(struct hot_merge *merge, const struct hot_list *list, double weight)
{
    merge->total += list->total * weight;
    merge->hits += list->hits * weight;
    merge->grains += list->grain * list->total * weight * weight;
    merge->window_s = longer(list->window_s, merge->window_s);
}

enum status hot_merge_list(struct hot_merge *merge, const struct hot_list *list, double weight)
{
    add_totals(merge, list, weight);
    return hot_merge_page(merge, list, weight);
}

enum status hot_merge_sure(struct hot_merge *merge, const struct hot_list *list, double weight)
{
    enum status status = OK;
    add_totals(merge, list, weight);
    for (size_t i = 0; i < list->count && status == OK; i++) {
        struct hot_row row = list->rows[i];
        row.count = hot_list_sure(list, row.count) * weight;
        status = add(merge, hash_key(&merge->secret, row.key), &row, row.count);
    }
    return status;
}

/* --- the list ------------------------------------------------------------------------------------------------------- */

/* The hottest first; of equals in an order that is the same everywhere. */
static int sum_compare(const void *a, const void *b)
{
    const struct sum *left = a;
    const struct sum *right = b;
    if (left->count != right->count) {
        return left->count > right->count ? -1 : 1;
    }
    const size_t least = left->key.size < right->key.size ? left->key.size : right->key.size;
    const int order = least == 0 ? 0 : memcmp(left->key.data, right->key.data, least);
    if (order != 0 || left->key.size != right->key.size) {
        return order != 0 ? order : left->key.size < right->key.size ? -1 : 1;
    }
    return left->db < right->db ? -1 : left->db > right->db;
}

static void merge_sort(struct hot_merge *merge)
{
    map_done(&merge->map); /* of no use when they are in order */
    for (size_t i = 0; i < merge->count; i++) {
        merge->sums[i].key = key_of(merge, &merge->sums[i]);
    }
    if (merge->count > 0) {
        qsort(merge->sums, merge->count, sizeof(*merge->sums), sum_compare);
    }
}

/* How many of the sums, in order, the list takes. */
static size_t merge_fits(const struct hot_merge *merge, size_t rows_max, size_t bytes_max,
                         size_t *ret_key_bytes)
{
    size_t bytes = 0;
    size_t count = 0;
    *ret_key_bytes = 0;
    for (; count < merge->count && count < rows_max; count++) {
        bytes += hot_list_row_bytes(merge->sums[count].key);
        if (bytes > bytes_max) {
            break;
        }
        *ret_key_bytes += merge->sums[count].key.size;
    }
    return count;
}

static void list_fill(struct hot_list *list, const struct hot_merge *merge, size_t count)
{
    char *bytes = list->keys;
    list->count = count;
    for (size_t i = 0; i < count; i++) {
        const struct sum *sum = &merge->sums[i];
        if (sum->key.size > 0) {
            memcpy(bytes, sum->key.data, sum->key.size);
        }
        const double error = sum->upper + merge->least - sum->count;
        list->rows[i] = (struct hot_row){.key = {bytes, sum->key.size},
                                         .count = sum->count,
                                         .error = error > 0 ? error : 0,
                                         .db = sum->db,
                                         .heat = hot_heat(sum->count)};
        bytes += sum->key.size;
    }
}

enum status hot_merge_end(struct hot_merge *merge, size_t rows_max, size_t bytes_max,
                          int64_t now_ms, struct hot_list **ret_list)
{
    size_t key_bytes = 0;
    merge_sort(merge);
    const size_t count = merge_fits(merge, rows_max, bytes_max, &key_bytes);
    struct hot_list *list = hot_list_new(count, key_bytes);
    if (list == NULL) {
        return NO_MEMORY;
    }
    list->written_at_ms = now_ms;
    list->total = merge->total;
    list->hits = merge->hits;
    list->grain = merge->total > 0 ? merge->grains / merge->total : 0;
    list->window_s = merge->window_s;
    list_fill(list, merge, count);
    *ret_list = list;
    return OK;
}

enum status hot_list_of_copies(const struct hot_copy *copies, size_t count, size_t rows_max,
                               int64_t now_ms, struct hot_list **ret_list)
{
    size_t room = 0;
    for (size_t i = 0; i < count; i++) {
        room += copies[i].count;
    }
    struct hot_merge *merge = hot_merge_new(room);
    enum status status = merge == NULL ? NO_MEMORY : OK;
    for (size_t i = 0; i < count && status == OK; i++) {
        status = hot_merge_copy(merge, &copies[i]);
    }
    if (status == OK) {
        status = hot_merge_end(merge, rows_max, HOT_LIST_BYTES, now_ms, ret_list);
    }
    hot_merge_free(merge);
    return status;
}

enum status hot_list_of_lists(struct hot_list *const *lists, size_t count, size_t rows_max,
                              int64_t now_ms, struct hot_list **ret_list)
{
    size_t room = 0;
    for (size_t i = 0; i < count; i++) {
        room += lists[i] == NULL ? 0 : lists[i]->count;
    }
    struct hot_merge *merge = hot_merge_new(room);
    enum status status = merge == NULL ? NO_MEMORY : OK;
    for (size_t i = 0; i < count && status == OK; i++) {
        const double weight = lists[i] == NULL ? 0 : hot_list_weight(lists[i], now_ms);
        if (weight > 0) {
            status = hot_merge_list(merge, lists[i], weight);
        }
    }
    if (status == OK) {
        status = hot_merge_end(merge, rows_max, HOT_LIST_BYTES, now_ms, ret_list);
    }
    hot_merge_free(merge);
    return status;
}
