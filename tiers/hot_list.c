/* SPDX-License-Identifier: BSD-3-Clause */
#include "tiers/hot_list.h"

#include "protocol/codec.h"
#include "protocol/hash.h"

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

static const char list_magic[4] = {'T', 'H', 'L', '2'};

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

struct hot_list *hot_list_new(size_t rows, size_t key_bytes)
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

double hot_list_sure(const struct hot_list *list, double count)
{
    const double chance = sqrt(count * list->grain);
    return count > chance ? count - chance : 0;
}

size_t hot_list_row_bytes(struct slice key)
{
    return ROW_HEADER + key.size;
}

double hot_list_weight(const struct hot_list *list, int64_t now_ms)
{
    const int64_t age_ms = now_ms - list->written_at_ms;
    if (age_ms > HOT_LIST_LIFE_MS || age_ms < -(int64_t)HOT_LIST_LIFE_MS) {
        return 0;
    }
    return age_ms <= 0 ? 1 : exp2(-(double)age_ms / HOT_HALF_LIFE_MS);
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

static void write_header(const struct hot_list *list, size_t size, size_t packed,
                         char header[HOT_LIST_HEADER])
{
    memset(header, 0, HOT_LIST_HEADER);
    memcpy(header, list_magic, sizeof list_magic);
    put_u32le(header + 4, (uint32_t)list->count);
    put_u64le(header + 8, (uint64_t)list->written_at_ms);
    put_u64le(header + 16, units(list->total));
    put_u64le(header + 24, (uint64_t)(list->window_s * 1e3));
    put_u32le(header + 32, (uint32_t)size);
    put_u32le(header + 36, (uint32_t)packed);
    put_u64le(header + 40, units(list->hits));
    put_u64le(header + 48, list->held.writing);
    put_u32le(header + 56, list->held.pages);
    put_u32le(header + 60, list->held.page);
    put_u64le(header + 64, list->held.keys);
    put_u64le(header + 72, list->held.bytes);
    put_u64le(header + 80, units(list->grain));
}

enum status hot_list_write(const struct hot_list *list, struct buf *out)
{
    struct buf rows = {0};
    struct buf packed = {0};
    bool dictionary = false;
    enum status status = write_rows(list, &rows);
    if (status == OK) {
        status = rows.size > HOT_LIST_BYTES
                     ? TOO_BIG
                     : codec_compress(&packed, buf_slice(&rows), NULL, &dictionary);
    }
    if (status == OK || status == MISS) {
        const struct slice body = status == OK ? buf_slice(&packed) : buf_slice(&rows);
        char header[HOT_LIST_HEADER];
        write_header(list, rows.size, status == OK ? packed.size : 0, header);
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

struct header {
    size_t count;
    size_t size; /* of the rows */
    size_t packed;
    uint64_t written_at_ms;
    uint64_t total;
    uint64_t hits;
    uint64_t window_ms;
    uint64_t grain;
    struct held_told held;
};

static struct header read_header(const char *bytes)
{
    return (struct header){.count = get_u32le(bytes + 4),
                           .written_at_ms = get_u64le(bytes + 8),
                           .total = get_u64le(bytes + 16),
                           .window_ms = get_u64le(bytes + 24),
                           .size = get_u32le(bytes + 32),
                           .packed = get_u32le(bytes + 36),
                           .hits = get_u64le(bytes + 40),
                           .grain = get_u64le(bytes + 80),
                           .held = {.writing = get_u64le(bytes + 48),
                                    .pages = get_u32le(bytes + 56),
                                    .page = get_u32le(bytes + 60),
                                    .keys = get_u64le(bytes + 64),
                                    .bytes = get_u64le(bytes + 72)}};
}

static bool held_is_sound(const struct held_told *held)
{
    return held->pages <= HELD_PAGES_MAX && (held->pages == 0) == (held->writing == 0) &&
           (held->page == 0 || held->page < held->pages) && held->keys <= COUNT_MAX &&
           held->bytes <= COUNT_MAX;
}

static bool header_is_sound(const struct header *header, size_t body_size)
{
    return header->count <= ROWS_MOST && header->size <= HOT_LIST_BYTES &&
           header->size >= header->count * ROW_HEADER && header->total <= COUNT_MAX &&
           header->hits <= header->total && header->grain <= COUNT_MAX &&
           header->window_ms <= WINDOW_MS_MAX && header->written_at_ms <= COUNT_MAX &&
           held_is_sound(&header->held) &&
           body_size == (header->packed == 0 ? header->size : header->packed) &&
           (header->packed == 0 || codec_fits(header->packed, header->size));
}

enum status hot_list_read(struct slice bytes, struct hot_list **ret_list)
{
    if (bytes.size < HOT_LIST_HEADER || memcmp(bytes.data, list_magic, sizeof list_magic) != 0) {
        return MALFORMED;
    }
    const struct slice body = {bytes.data + HOT_LIST_HEADER, bytes.size - HOT_LIST_HEADER};
    const struct header header = read_header(bytes.data);
    if (get_u64le(bytes.data + SUM_AT) != sum_of(bytes.data, body) ||
        !header_is_sound(&header, body.size)) {
        return MALFORMED;
    }
    struct hot_list *list = hot_list_new(header.count, header.size);
    if (list == NULL) {
        return NO_MEMORY;
    }
    enum status status = OK;
    if (header.packed != 0) {
        status = codec_decompress(list->keys, header.size, body, NULL);
    } else if (header.size > 0) {
        memcpy(list->keys, body.data, header.size);
    }
    if (status == OK) {
        status = read_rows(list, header.count, header.size);
    }
    if (status != OK) {
        hot_list_release(list);
        return status;
    }
    list->written_at_ms = (int64_t)header.written_at_ms;
    list->total = (double)header.total / COUNT_UNIT;
    list->hits = (double)header.hits / COUNT_UNIT;
    list->window_s = (double)header.window_ms / 1e3;
    list->grain = (double)header.grain / COUNT_UNIT;
    list->held = header.held;
    list_set_heats(list);
    *ret_list = list;
    return OK;
}
