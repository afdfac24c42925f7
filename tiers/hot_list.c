/* SPDX-License-Identifier: BSD-3-Clause */
#include "tiers/hot_list.h"

#include "protocol/check.h"
#include "protocol/codec.h"
#include "protocol/hash.h"
#include "tiers/base/map.h"
#include "tiers/base/rand.h"

#include <math.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

enum {
    ROW_HEADER = 20,
    SUM_AT = HOT_LIST_HEADER - 8,
    ROWS_MOST = HOT_LIST_BYTES / ROW_HEADER,
    HEAT_FIRST = 5,
    DATABASES = 16
};
#define COUNT_UNIT    256.0
#define COUNT_MAX     (UINT64_C(1) << 52) /* in units: a double has them exactly */
#define WINDOW_MS_MAX (24u * 3600 * 1000)

static const char list_magic[4] = {'T', 'H', 'L', '1'};

/* --- life ----------------------------------------------------------------------------------------------------------- */

struct hot_list *hot_list_ref(struct hot_list *list)
{
    atomic_fetch_add_explicit(&list->references, 1, memory_order_relaxed);
    return list;
}

void hot_list_release(struct hot_list *list)
{
    if (list != NULL &&
        atomic_fetch_sub_explicit(&list->references, 1, memory_order_acq_rel) == 1) {
        free(list->rows);
        free(list->keys);
        free(list);
    }
}

/* NULL: no memory. */
static struct hot_list *list_new(size_t rows, size_t key_bytes)
{
    struct hot_list *list = calloc(1, sizeof(*list));
    if (list == NULL) {
        return NULL;
    }
    list->references = 1;
    list->rows = malloc((rows + 1) * sizeof(*list->rows));
    list->keys = malloc(key_bytes + 1);
    if (list->rows == NULL || list->keys == NULL) {
        hot_list_release(list);
        return NULL;
    }
    return list;
}

double hot_list_per_s(const struct hot_list *list, double count)
{
    return list->window_s > 0 ? count / list->window_s : 0;
}

uint8_t hot_heat(double reads)
{
    const double steps = floor((4 + sqrt(16 + 20 * reads)) / 10);
    return steps < UINT8_MAX - HEAT_FIRST ? (uint8_t)(HEAT_FIRST + steps) : UINT8_MAX;
}

static void list_set_heats(struct hot_list *list)
{
    for (size_t i = 0; i < list->count; i++) {
        list->rows[i].heat = hot_heat(list->rows[i].count);
    }
}

/* --- merging ---------------------------------------------------------------------------------------------------------- */

/* A key that is being added up; its bytes are borrowed of what it came from. */
struct sum {
    struct map_node node;
    struct slice key;
    double count;
    double upper; /* what exceeds the bound of who does not have it (hot_copy.least) */
    uint8_t db;
};

struct merge {
    struct map map;
    struct hash_secret secret; /* of this merge: keys of other nodes may be anything */
    struct sum *sums;          /* room for all */
    size_t count;
    double least; /* the upper bound of a key that nobody has */
    double total;
    double window_s;
};

static enum status merge_begin(struct merge *merge, size_t room)
{
    unsigned char random[HASH_SECRET_SIZE];
    *merge = (struct merge){.sums = malloc((room + 1) * sizeof(*merge->sums))};
    rand_secret(random, sizeof random);
    hash_secret_init(&merge->secret, random);
    return merge->sums == NULL ? NO_MEMORY : OK;
}

static void merge_end(struct merge *merge)
{
    map_done(&merge->map);
    free(merge->sums);
}

/* NULL: no memory. */
static struct sum *merge_sum(struct merge *merge, uint64_t hash, uint8_t db, struct slice key)
{
    for (struct map_node *node = map_find(&merge->map, hash); node != NULL; node = map_next(node)) {
        struct sum *sum = MAP_ENTRY(node, struct sum, node);
        if (sum->db == db && slice_equal(sum->key, key)) {
            return sum;
        }
    }
    struct sum *sum = &merge->sums[merge->count];
    *sum = (struct sum){.key = key, .db = db};
    if (map_add(&merge->map, &sum->node, hash) != OK) {
        return NULL;
    }
    merge->count++;
    return sum;
}

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

/* How many of the sums, in order, the list takes. */
static size_t merge_fits(const struct merge *merge, size_t rows_max, size_t *ret_key_bytes)
{
    size_t bytes = 0;
    size_t count = 0;
    *ret_key_bytes = 0;
    for (; count < merge->count && count < rows_max; count++) {
        bytes += ROW_HEADER + merge->sums[count].key.size;
        if (bytes > HOT_LIST_BYTES) {
            break;
        }
        *ret_key_bytes += merge->sums[count].key.size;
    }
    return count;
}

/* Ends the merge. The map is of no use when the sums are in order. */
static enum status merge_list(struct merge *merge, size_t rows_max, int64_t now_ms,
                              struct hot_list **ret_list)
{
    size_t key_bytes = 0;
    if (merge->count > 0) {
        qsort(merge->sums, merge->count, sizeof(*merge->sums), sum_compare);
    }
    const size_t count = merge_fits(merge, rows_max, &key_bytes);
    struct hot_list *list = list_new(count, key_bytes);
    if (list != NULL) {
        char *bytes = list->keys;
        list->written_at_ms = now_ms;
        list->total = merge->total;
        list->window_s = merge->window_s;
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
                                             .db = sum->db};
            bytes += sum->key.size;
        }
        list_set_heats(list);
        *ret_list = list;
    }
    merge_end(merge);
    return list == NULL ? NO_MEMORY : OK;
}

enum status hot_list_of_copies(const struct hot_copy *copies, size_t count, size_t rows_max,
                               int64_t now_ms, struct hot_list **ret_list)
{
    struct merge merge;
    size_t room = 0;
    for (size_t i = 0; i < count; i++) {
        room += copies[i].count;
    }
    enum status status = merge_begin(&merge, room);
    for (size_t i = 0; i < count && status == OK; i++) {
        const struct hot_copy *copy = &copies[i];
        merge.total += copy->total;
        merge.least += copy->least;
        merge.window_s = copy->window_s > merge.window_s ? copy->window_s : merge.window_s;
        for (size_t j = 0; j < copy->count && status == OK; j++) {
            const struct hot_copied *row = &copy->rows[j];
            const struct slice key = {copy->keys.data + row->key_at, row->key_size};
            struct sum *sum = merge_sum(&merge, row->hash, row->db, key);
            status = sum == NULL ? NO_MEMORY : OK;
            if (sum != NULL) {
                sum->count += row->count;
                sum->upper += row->count + row->error - copy->least;
            }
        }
    }
    if (status != OK) {
        merge_end(&merge);
        return status;
    }
    return merge_list(&merge, rows_max, now_ms, ret_list);
}

/* What is left of its reads now; 0: it is too old, or of a time to come that no clock is wrong by. */
static double list_weight(const struct hot_list *list, int64_t now_ms)
{
    const int64_t age_ms = now_ms - list->written_at_ms;
    if (age_ms > HOT_LIST_LIFE_MS || age_ms < -(int64_t)HOT_LIST_LIFE_MS) {
        return 0;
    }
    return age_ms <= 0 ? 1 : exp2(-(double)age_ms / HOT_HALF_LIFE_MS);
}

static enum status merge_add_list(struct merge *merge, const struct hot_list *list, double weight)
{
    merge->total += list->total * weight;
    merge->window_s = list->window_s > merge->window_s ? list->window_s : merge->window_s;
    for (size_t i = 0; i < list->count; i++) {
        const struct hot_row *row = &list->rows[i];
        struct sum *sum = merge_sum(merge, hash_key(&merge->secret, row->key), row->db, row->key);
        if (sum == NULL) {
            return NO_MEMORY;
        }
        sum->count += row->count * weight;
        sum->upper += (row->count + row->error) * weight;
    }
    return OK;
}

enum status hot_list_of_lists(struct hot_list *const *lists, size_t count, size_t rows_max,
                              int64_t now_ms, struct hot_list **ret_list)
{
    struct merge merge;
    size_t room = 0;
    for (size_t i = 0; i < count; i++) {
        room += lists[i] == NULL ? 0 : lists[i]->count;
    }
    enum status status = merge_begin(&merge, room);
    for (size_t i = 0; i < count && status == OK; i++) {
        const double weight = lists[i] == NULL ? 0 : list_weight(lists[i], now_ms);
        if (weight > 0) {
            status = merge_add_list(&merge, lists[i], weight);
        }
    }
    if (status != OK) {
        merge_end(&merge);
        return status;
    }
    return merge_list(&merge, rows_max, now_ms, ret_list);
}

/* --- in L2 -------------------------------------------------------------------------------------------------------------- */

static uint64_t units(double count)
{
    const double most = (double)COUNT_MAX;
    const double exact = count * COUNT_UNIT;
    return exact >= most ? COUNT_MAX : exact > 0 ? (uint64_t)exact : 0;
}

static enum status write_rows(const struct hot_list *list, struct buf *out)
{
    enum status status = OK;
    for (size_t i = 0; i < list->count && status == OK; i++) {
        const struct hot_row *row = &list->rows[i];
        char header[ROW_HEADER] = {0};
        put_u16le(header, (uint16_t)row->key.size);
        header[2] = (char)row->db;
        put_u64le(header + 4, units(row->count));
        put_u64le(header + 12, units(row->error));
        status = buf_append(out, header, sizeof header);
        if (status == OK) {
            status = buf_append_slice(out, row->key);
        }
    }
    return status;
}

static uint64_t sum_of(const char *header, struct slice body)
{
    return hash_checksum_of_two((struct slice){header, SUM_AT}, body);
}

enum status hot_list_write(const struct hot_list *list, struct buf *out)
{
    struct buf rows = {0};
    struct buf packed = {0};
    bool dictionary = false;
    enum status status = write_rows(list, &rows);
    if (status == OK) {
        status = codec_compress(&packed, buf_slice(&rows), NULL, &dictionary);
    }
    if (status == OK || status == MISS) {
        const struct slice body = status == OK ? buf_slice(&packed) : buf_slice(&rows);
        char header[HOT_LIST_HEADER] = {0};
        memcpy(header, list_magic, sizeof list_magic);
        put_u32le(header + 4, (uint32_t)list->count);
        put_u64le(header + 8, (uint64_t)list->written_at_ms);
        put_u64le(header + 16, units(list->total));
        put_u64le(header + 24, (uint64_t)(list->window_s * 1e3));
        put_u32le(header + 32, (uint32_t)rows.size);
        put_u32le(header + 36, status == OK ? (uint32_t)packed.size : 0);
        put_u64le(header + SUM_AT, sum_of(header, body));
        status = buf_reserve(out, sizeof header + body.size);
        if (status == OK) {
            status = buf_append(out, header, sizeof header);
        }
        if (status == OK) {
            status = buf_append_slice(out, body);
        }
    }
    buf_done(&rows);
    buf_done(&packed);
    return status;
}

/* One row from *rest on. */
static bool read_row(struct slice *rest, struct hot_list *list)
{
    const char *at = rest->data;
    if (rest->size < ROW_HEADER) {
        return false;
    }
    const size_t size = get_u16le(at);
    const uint8_t db = (uint8_t)at[2];
    const uint64_t count = get_u64le(at + 4);
    const uint64_t error = get_u64le(at + 12);
    if (size > HOT_KEY_MAX || size > rest->size - ROW_HEADER || db >= DATABASES || at[3] != 0 ||
        count > COUNT_MAX || error > COUNT_MAX) {
        return false;
    }
    list->rows[list->count++] = (struct hot_row){.key = {at + ROW_HEADER, size},
                                                 .count = (double)count / COUNT_UNIT,
                                                 .error = (double)error / COUNT_UNIT,
                                                 .db = db};
    rest->data += ROW_HEADER + size;
    rest->size -= ROW_HEADER + size;
    return true;
}

/* The keys stay where they are among the rows' bytes, which are the list's. */
static enum status read_rows(struct hot_list *list, size_t count, size_t size)
{
    struct slice rest = {list->keys, size};
    while (list->count < count) {
        if (!read_row(&rest, list)) {
            return MALFORMED;
        }
    }
    return rest.size == 0 ? OK : MALFORMED;
}

enum status hot_list_read(struct slice bytes, struct hot_list **ret_list)
{
    const char *header = bytes.data;
    if (bytes.size < HOT_LIST_HEADER || memcmp(header, list_magic, sizeof list_magic) != 0) {
        return MALFORMED;
    }
    const struct slice body = {header + HOT_LIST_HEADER, bytes.size - HOT_LIST_HEADER};
    const size_t count = get_u32le(header + 4);
    const size_t size = get_u32le(header + 32);
    const size_t packed = get_u32le(header + 36);
    const uint64_t total = get_u64le(header + 16);
    const uint64_t window_ms = get_u64le(header + 24);
    const uint64_t written_at_ms = get_u64le(header + 8);
    if (get_u64le(header + SUM_AT) != sum_of(header, body) || count > ROWS_MOST ||
        size > HOT_LIST_BYTES || size < count * ROW_HEADER || total > COUNT_MAX ||
        window_ms > WINDOW_MS_MAX || written_at_ms > COUNT_MAX ||
        body.size != (packed == 0 ? size : packed) || (packed != 0 && !codec_fits(packed, size))) {
        return MALFORMED;
    }
    struct hot_list *list = list_new(count, size);
    if (list == NULL) {
        return NO_MEMORY;
    }
    enum status status = OK;
    if (packed != 0) {
        status = codec_decompress(list->keys, size, body, NULL);
    } else if (size > 0) {
        memcpy(list->keys, body.data, size);
    }
    if (status == OK) {
        status = read_rows(list, count, size);
    }
    if (status != OK) {
        hot_list_release(list);
        return status;
    }
    list->written_at_ms = (int64_t)written_at_ms;
    list->total = (double)total / COUNT_UNIT;
    list->window_s = (double)window_ms / 1e3;
    list_set_heats(list);
    *ret_list = list;
    return OK;
}
