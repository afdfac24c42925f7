/* SPDX-License-Identifier: BSD-3-Clause */
/* Lists of hot keys as L2 has them: whole, within their limits and equal to what they are written as, or none. */
#include "protocol/check.h"
#include "protocol/hash.h"
#include "tiers/hot_merge.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_list(const struct hot_list *list)
{
    size_t bytes = 0;
    for (size_t i = 0; i < list->count; i++) {
        const struct hot_row *row = &list->rows[i];
        CHECK(row->db < 16 && row->count >= 0 && row->error >= 0 && row->key.size <= HOT_KEY_MAX);
        bytes += row->key.size;
    }
    CHECK(bytes <= HOT_LIST_BYTES);
    CHECK(list->total >= 0 && list->window_s >= 0);
}

static void check_written(const struct hot_list *list)
{
    struct buf out = {0};
    struct hot_list *again = NULL;
    CHECK(hot_list_write(list, &out) == OK);
    CHECK(hot_list_read(buf_slice(&out), &again) == OK);
    CHECK(again->count == list->count);
    hot_list_release(again);
    buf_done(&out);
}

static void check_merged(struct hot_list *list)
{
    struct hot_list *lists[] = {list, NULL, list};
    struct hot_list *merged = NULL;
    CHECK(hot_list_of_lists(lists, 3, HOT_ROWS_MAX, list->written_at_ms, &merged) == OK);
    CHECK(merged->count <= list->count);
    check_list(merged);
    hot_list_release(merged);
}

/* As a page beside others: no more keys than there is room for, and what it does not know stays out. */
static void check_page(const struct hot_list *page)
{
    struct hot_merge *merge = hot_merge_new(page->count / 2 + 1);
    struct hot_list *merged = NULL;
    CHECK(merge != NULL);
    CHECK(page->held.pages <= HELD_PAGES_MAX && page->held.page <= HELD_PAGES_MAX);
    CHECK(hot_merge_page(merge, page, 0.5) == OK && hot_merge_page(merge, page, 0.5) == OK);
    CHECK(hot_merge_end(merge, SIZE_MAX, SIZE_MAX, page->written_at_ms, &merged) == OK);
    CHECK(merged->count <= page->count / 2 + 1 && merged->total == 0);
    hot_list_release(merged);
    hot_merge_free(merge);
}

/* As it came, and once more with a sum that is right: behind it are all the others. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct hot_list *list = NULL;
    char *bytes = malloc(size + 1);
    CHECK(bytes != NULL);
    if (size > 0) {
        memcpy(bytes, data, size);
    }
    for (int tries = 0; tries < 2; tries++) {
        if (hot_list_read((struct slice){bytes, size}, &list) == OK) {
            check_list(list);
            check_written(list);
            check_merged(list);
            check_page(list);
            hot_list_release(list);
        }
        if (size >= HOT_LIST_HEADER) {
            const struct slice body = {bytes + HOT_LIST_HEADER, size - HOT_LIST_HEADER};
            put_u64le(bytes + HOT_LIST_HEADER - 8,
                      hash_checksum_of_two((struct slice){bytes, HOT_LIST_HEADER - 8}, body));
        }
    }
    free(bytes);
    return 0;
}
