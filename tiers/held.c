/* SPDX-License-Identifier: BSD-3-Clause */
#include "tiers/held.h"

#include "protocol/check.h"
#include "protocol/hash.h"
#include "tiers/base/map.h"
#include "tiers/base/rand.h"
#include "tiers/policy_tick.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum {
    HEATS = POLICY_HOTNESS_MAX + 1,
    GROUPS = 2 * HEATS,
    DOUBLE = POLICY_HOTNESS_DOUBLE * 5 / 4, /* steps of hotness, see held.h */
    HALVINGS = 40,                          /* of the range in which the factor lies, which was */
    DOUBLINGS = 60,                         /* found by so many at most */
};
#define ROW_LEAST (1.0 / 256) /* what a page can say */

/* A key of L1. */
struct row {
    uint32_t key_at;
    uint16_t key_size;
    uint8_t db;
    uint8_t hotness;
    bool by_time; /* hotness says no more than when it was read last */
    float listed; /* reads that the list has; below 0: it does not have the key */
    float rate;   /* how often it may be expected to be read, beside the others */
};

/* A row of the list. */
struct known {
    struct map_node node;
    const struct hot_row *row;
};

struct gathering {
    const struct held_wish *wish;
    struct hash_secret secret;
    struct map map; /* of the list's keys */
    struct known *known;
    bool only_counts;
    bool by_time;        /* in this namespace */
    unsigned coldest;    /* hotness: what is colder stays out, */
    size_t coldest_left; /* and of this hotness so many may go in */
    size_t keys_of[HEATS];
    size_t bytes_of[HEATS];
    size_t keys;
    size_t bytes; /* in L1 */
    struct row *rows;
    size_t count;
    size_t room;
    struct buf names;
    uint32_t *order; /* rows, the hottest first */
    enum status status;
};

/* --- looking around -------------------------------------------------------------------------------------------------- */

static enum status know_list(struct gathering *gathering)
{
    unsigned char random[HASH_SECRET_SIZE];
    const struct hot_list *list = gathering->wish->list;
    rand_secret(random, sizeof random);
    hash_secret_init(&gathering->secret, random);
    gathering->known = malloc((list->count + 1) * sizeof(*gathering->known));
    enum status status = gathering->known == NULL ? NO_MEMORY : OK;
    for (size_t i = 0; i < list->count && status == OK; i++) {
        struct known *known = &gathering->known[i];
        known->row = &list->rows[i];
        status =
            map_add(&gathering->map, &known->node, hash_key(&gathering->secret, known->row->key));
    }
    return status;
}

/* -1: the list does not have the key. */
static float listed(const struct gathering *gathering, uint8_t db, struct slice key)
{
    struct map_node *node = map_find(&gathering->map, hash_key(&gathering->secret, key));
    for (; node != NULL; node = map_next(node)) {
        const struct hot_row *row = MAP_ENTRY(node, struct known, node)->row;
        if (row->db == db && slice_equal(row->key, key)) {
            return (float)hot_list_sure(gathering->wish->list, row->count);
        }
    }
    return -1;
}

static enum status reserve_row(struct gathering *gathering)
{
    if (gathering->count < gathering->room) {
        return OK;
    }
    const size_t room = gathering->room == 0 ? 1024 : 2 * gathering->room;
    struct row *rows = realloc(gathering->rows, room * sizeof(*rows));
    if (rows == NULL) {
        return NO_MEMORY;
    }
    gathering->rows = rows;
    gathering->room = room;
    return OK;
}

static enum status take(struct gathering *gathering, const struct l1_sight *sight)
{
    const struct slice key = item_key(sight->item);
    enum status status = reserve_row(gathering);
    if (status == OK) {
        status = buf_reserve(&gathering->names, key.size);
    }
    if (status == OK) {
        gathering->rows[gathering->count++] =
            (struct row){.key_at = (uint32_t)gathering->names.size,
                         .key_size = (uint16_t)key.size,
                         .db = sight->db,
                         .hotness = sight->hotness,
                         .by_time = gathering->by_time,
                         .listed = listed(gathering, sight->db, key)};
        (void)!buf_append_slice(&gathering->names, key); /* there is room */
    }
    return status;
}

/* More than was counted may have come since. */
static bool has_room(struct gathering *gathering, const struct l1_sight *sight)
{
    if (gathering->count == HELD_KEYS_MAX ||
        gathering->names.size + item_key(sight->item).size > HELD_BYTES_MAX ||
        sight->hotness < gathering->coldest) {
        return false;
    }
    return sight->hotness > gathering->coldest ||
           (gathering->coldest_left > 0 && gathering->coldest_left-- > 0);
}

static void on_sight(void *arg, const struct l1_sight *sight)
{
    struct gathering *gathering = arg;
    const size_t size = item_key(sight->item).size;
    if (gathering->status != OK || size > HOT_KEY_MAX) {
        return;
    }
    if (gathering->only_counts) {
        gathering->keys_of[sight->hotness]++;
        gathering->bytes_of[sight->hotness] += size;
    } else if (has_room(gathering, sight)) {
        gathering->status = take(gathering, sight);
    }
}

static enum status walk(struct gathering *gathering, struct namespaces *spaces)
{
    const struct namespace *ns;
    unsigned at = 0;
    while ((ns = namespaces_next(spaces, &at)) != NULL) {
        const struct policy *policy = l1_policy(ns->l1);
        gathering->by_time = !policy->remembers && policy->frequency == policy_no_frequency;
        const enum status status = l1_survey(ns->l1, gathering->wish->now_ms, on_sight, gathering);
        if (status != OK || gathering->status != OK) {
            return status != OK ? status : gathering->status;
        }
    }
    return OK;
}

/* The hottest that there is room for. */
static void find_coldest(struct gathering *gathering)
{
    size_t keys = 0;
    size_t bytes = 0;
    unsigned heat = HEATS;
    while (heat > 0 && keys + gathering->keys_of[heat - 1] <= HELD_KEYS_MAX &&
           bytes + gathering->bytes_of[heat - 1] <= HELD_BYTES_MAX) {
        heat--;
        keys += gathering->keys_of[heat];
        bytes += gathering->bytes_of[heat];
    }
    gathering->coldest = heat > 0 ? heat - 1 : 0;
    gathering->coldest_left = heat > 0 ? HELD_KEYS_MAX - keys : SIZE_MAX;
}

static enum status gather(struct gathering *gathering, struct namespaces *spaces)
{
    struct l1_stats stats;
    namespaces_stats(spaces, &stats);
    gathering->keys = stats.items;
    gathering->bytes = stats.bytes_live;
    gathering->coldest_left = SIZE_MAX;
    if (stats.items > HELD_KEYS_MAX || stats.bytes_live > HELD_BYTES_MAX) {
        gathering->only_counts = true;
        const enum status status = walk(gathering, spaces);
        if (status != OK) {
            return status;
        }
        find_coldest(gathering);
        gathering->only_counts = false;
    }
    return walk(gathering, spaces);
}

/* --- weights ----------------------------------------------------------------------------------------------------------- */

static unsigned group_of(const struct row *row)
{
    return (row->by_time ? HEATS : 0u) + POLICY_HOTNESS_MAX - row->hotness;
}

static enum status put_in_order(struct gathering *gathering)
{
    size_t first[GROUPS] = {0};
    size_t at = 0;
    gathering->order = malloc((gathering->count + 1) * sizeof(*gathering->order));
    if (gathering->order == NULL) {
        return NO_MEMORY;
    }
    for (size_t i = 0; i < gathering->count; i++) {
        first[group_of(&gathering->rows[i])]++;
    }
    for (unsigned group = 0; group < GROUPS; group++) {
        const size_t count = first[group];
        first[group] = at;
        at += count;
    }
    for (size_t i = 0; i < gathering->count; i++) {
        gathering->order[first[group_of(&gathering->rows[i])]++] = (uint32_t)i;
    }
    return OK;
}

static const struct row *row_at(const struct gathering *gathering, size_t place)
{
    return &gathering->rows[gathering->order[place]];
}

/* As the policy has it; of those that know no more than when, by their place among them. */
static void set_rates(struct gathering *gathering)
{
    const double of_new = exp2((double)POLICY_HOTNESS_NEW / DOUBLE);
    size_t by_time = 0;
    size_t place = 0;
    for (size_t i = 0; i < gathering->count; i++) {
        by_time += gathering->rows[i].by_time;
    }
    for (size_t i = 0; i < gathering->count; i++) {
        struct row *row = &gathering->rows[gathering->order[i]];
        row->rate = (float)(row->by_time ? of_new * (1.5 - ((double)place + 0.5) / (double)by_time)
                                         : exp2((double)row->hotness / DOUBLE));
        place += row->by_time;
    }
}

static double listed_of(const struct row *row)
{
    return row->listed > 0 ? (double)row->listed : 0;
}

/* Reads that are expected of all that L1 holds. What is not among the rows is as cold as the coldest of them. */
static double expected(const struct gathering *gathering, double factor)
{
    const size_t absent =
        gathering->keys > gathering->count ? gathering->keys - gathering->count : 0;
    double coldest = factor * (double)row_at(gathering, 0)->rate;
    double sum = 0;
    for (size_t i = 0; i < gathering->count; i++) {
        const struct row *row = &gathering->rows[i];
        const double each = factor * (double)row->rate;
        sum += listed_of(row) > each ? listed_of(row) : each;
        coldest = each < coldest ? each : coldest;
    }
    return sum + coldest * (double)absent;
}

/* For which all together come to the hits. */
static double find_factor(const struct gathering *gathering)
{
    const double hits = gathering->wish->list->hits;
    double least = 0;
    double most = 1;
    if (gathering->count == 0 || expected(gathering, 0) >= hits) {
        return 0;
    }
    for (unsigned i = 0; i < DOUBLINGS && expected(gathering, most) < hits; i++) {
        most *= 2;
    }
    for (unsigned i = 0; i < HALVINGS; i++) {
        const double middle = (least + most) / 2;
        if (expected(gathering, middle) < hits) {
            least = middle;
        } else {
            most = middle;
        }
    }
    return least;
}

/* --- pages ----------------------------------------------------------------------------------------------------------- */

/* What is read most in front. */
static int row_compare(const void *a, const void *b)
{
    const double left = ((const struct hot_row *)a)->count;
    const double right = ((const struct hot_row *)b)->count;
    return left > right ? -1 : left < right;
}

/* All that is to be told, in order. */
static enum status make_rows(struct gathering *gathering, struct hot_row **ret_rows,
                             size_t *ret_count)
{
    const double factor = find_factor(gathering);
    struct hot_row *rows = malloc((gathering->count + 1) * sizeof(*rows));
    size_t count = 0;
    bool names_all = true; /* the list */
    if (rows == NULL) {
        return NO_MEMORY;
    }
    for (size_t i = 0; i < gathering->count; i++) {
        const struct row *row = row_at(gathering, i);
        names_all = names_all && row->listed >= 0;
        const double more = factor * (double)row->rate - listed_of(row);
        if (row->listed < 0 || more >= ROW_LEAST) {
            rows[count++] = (struct hot_row){
                .key = {gathering->names.data + row->key_at, row->key_size},
                .count = more > 0 ? more + ROW_LEAST / 2 : 0, /* or all were a little too low */
                .db = row->db};
        }
    }
    qsort(rows, count, sizeof(*rows), row_compare);
    *ret_rows = rows;
    *ret_count = names_all ? 0 : count;
    return OK;
}

/* As many as a list may have. */
static size_t rows_of_a_list(const struct hot_row *rows, size_t count)
{
    size_t bytes = 0;
    size_t taken = 0;
    while (taken < count && (bytes += hot_list_row_bytes(rows[taken].key)) <= HOT_LIST_BYTES) {
        taken++;
    }
    return taken;
}

/* How many rows of a page that became so large fit, about: never none, and fewer than there were. */
static size_t fewer(size_t count, size_t size)
{
    const size_t fit = count * (HELD_PAGE_BYTES - HELD_PAGE_BYTES / 16) / size;
    return fit < 1 ? 1 : fit;
}

/* How many rows it took; 0: no memory. */
static size_t write_page(struct held *held, const struct hot_list *of, struct hot_row *rows,
                         size_t count)
{
    struct hot_list page = {.written_at_ms = of->written_at_ms,
                            .total = of->total,
                            .hits = of->hits,
                            .window_s = of->window_s,
                            .held = held->told,
                            .rows = rows,
                            .count = rows_of_a_list(rows, count)};
    const size_t before = held->bytes.size;
    while (hot_list_write(&page, &held->bytes) == OK) {
        const size_t size = held->bytes.size - before;
        if (size <= HELD_PAGE_BYTES) {
            return page.count;
        }
        CHECK(page.count > 1);
        held->bytes.size = before;
        page.count = fewer(page.count, size);
    }
    return 0;
}

static enum status write_pages(struct held *held, const struct hot_list *of, struct hot_row *rows,
                               size_t count)
{
    held->told.pages = HELD_PAGES_MAX; /* each says its own number; how many there are, the list */
    for (held->told.page = 0; held->rows < count && held->told.page < HELD_PAGES_MAX;
         held->told.page++) {
        const size_t taken = write_page(held, of, rows + held->rows, count - held->rows);
        if (taken == 0) {
            return NO_MEMORY;
        }
        held->rows += taken;
        held->ends[held->told.page] = held->bytes.size;
    }
    held->told.pages = held->told.page;
    held->told.page = 0;
    return OK;
}

static enum status take_all(struct held *held, struct gathering *gathering,
                            struct namespaces *spaces)
{
    struct hot_row *rows = NULL;
    size_t count = 0;
    enum status status = know_list(gathering);
    if (status == OK) {
        status = gather(gathering, spaces);
    }
    if (status == OK) {
        status = put_in_order(gathering);
    }
    if (status == OK) {
        set_rates(gathering);
        status = make_rows(gathering, &rows, &count);
    }
    if (status == OK) {
        held->told = (struct held_told){.writing = gathering->wish->writing,
                                        .keys = gathering->keys,
                                        .bytes = gathering->bytes};
        status = write_pages(held, gathering->wish->list, rows, count);
    }
    free(rows);
    return status;
}

enum status held_take(struct held *held, struct namespaces *spaces, const struct held_wish *wish)
{
    struct gathering *gathering = calloc(1, sizeof(*gathering));
    *held = (struct held){0};
    if (gathering == NULL) {
        return NO_MEMORY;
    }
    CHECK(wish->writing != 0);
    gathering->wish = wish;
    const enum status status = take_all(held, gathering, spaces);
    map_done(&gathering->map);
    free(gathering->known);
    free(gathering->rows);
    free(gathering->order);
    buf_done(&gathering->names);
    free(gathering);
    if (status != OK || held->told.pages == 0) {
        held_done(held);
    }
    return status;
}

void held_done(struct held *held)
{
    buf_done(&held->bytes);
    *held = (struct held){0};
}

struct slice held_page(const struct held *held, unsigned page)
{
    CHECK(page < held->told.pages);
    const size_t begin = page == 0 ? 0 : held->ends[page - 1];
    return (struct slice){held->bytes.data + begin, held->ends[page] - begin};
}
