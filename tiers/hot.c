/* SPDX-License-Identifier: BSD-3-Clause */
#include "tiers/hot.h"

#include "protocol/check.h"
#include "tiers/base/rand.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum {
    HOT_MAGIC = 0x71e5507a,
    NOWHERE = UINT32_MAX,
    GROWN_MAX = 40,    /* half-lives until all weights begin at 1 again */
    KEY_GRANULE = 32,  /* bytes of a key's memory */
    NEVER = UINT32_MAX /* reads until the next look of one that counts nothing */
};

struct row {
    double count; /* the upper bound, by the weights of forward decay */
    double error;
    uint64_t hash;
    uint32_t next;  /* in its chain */
    uint32_t place; /* in the heap */
    char *key;
    uint16_t key_size;
    uint16_t key_room;
    uint8_t db;
};

struct hot_sketch {
    uint32_t magic;
    unsigned rows_max;
    unsigned used;
    uint32_t chain_mask;
    struct row *rows;
    uint32_t *chains; /* by hash, to the first row */
    uint32_t *heap;   /* rows; the least count in front */
    double total;
    double squares;       /* of the samples' weights */
    double weight;        /* of a read now */
    double sample_weight; /* in reads, of the one that hot->left counts down to */
    unsigned samples_max; /* per tick; 0: no limit */
    unsigned samples;     /* of this tick */
    unsigned every;
    struct rand rand;
    int64_t began_ms; /* when a read weighed 1 */
    int64_t born_ms;
};

/* --- the heap ------------------------------------------------------------------------------------------------------- */

static void heap_put(struct hot_sketch *sketch, uint32_t place, uint32_t at)
{
    sketch->heap[place] = at;
    sketch->rows[at].place = place;
}

static void heap_rise(struct hot_sketch *sketch, uint32_t place)
{
    const uint32_t at = sketch->heap[place];
    while (place > 0) {
        const uint32_t parent = (place - 1) / 2;
        if (sketch->rows[sketch->heap[parent]].count <= sketch->rows[at].count) {
            break;
        }
        heap_put(sketch, place, sketch->heap[parent]);
        place = parent;
    }
    heap_put(sketch, place, at);
}

static void heap_sink(struct hot_sketch *sketch, uint32_t place)
{
    const uint32_t at = sketch->heap[place];
    for (;;) {
        uint32_t child = 2 * place + 1;
        if (child >= sketch->used) {
            break;
        }
        if (child + 1 < sketch->used &&
            sketch->rows[sketch->heap[child + 1]].count < sketch->rows[sketch->heap[child]].count) {
            child++;
        }
        if (sketch->rows[sketch->heap[child]].count >= sketch->rows[at].count) {
            break;
        }
        heap_put(sketch, place, sketch->heap[child]);
        place = child;
    }
    heap_put(sketch, place, at);
}

/* --- rows ----------------------------------------------------------------------------------------------------------- */

static uint32_t *chain_of(struct hot_sketch *sketch, uint64_t hash)
{
    return &sketch->chains[hash & sketch->chain_mask];
}

static uint32_t row_find(struct hot_sketch *sketch, uint64_t hash, uint8_t db, struct slice key)
{
    uint32_t at = *chain_of(sketch, hash);
    for (; at != NOWHERE; at = sketch->rows[at].next) {
        const struct row *row = &sketch->rows[at];
        if (row->hash == hash && row->db == db &&
            slice_equal((struct slice){row->key, row->key_size}, key)) {
            break;
        }
    }
    return at;
}

static void row_unchain(struct hot_sketch *sketch, uint32_t at)
{
    uint32_t *link = chain_of(sketch, sketch->rows[at].hash);
    while (*link != at) {
        link = &sketch->rows[*link].next;
    }
    *link = sketch->rows[at].next;
}

/* If it can, what was there is lost. */
static bool row_makes_room(struct row *row, size_t size)
{
    if (size > row->key_room || row->key == NULL) {
        const size_t room = (size / KEY_GRANULE + 1) * KEY_GRANULE;
        char *key = malloc(room);
        if (key == NULL) {
            return false;
        }
        free(row->key);
        row->key = key;
        row->key_room = (uint16_t)room;
    }
    return true;
}

/* A new row, or the one with the least count, whose key goes. NOWHERE: no memory. */
static uint32_t row_take(struct hot_sketch *sketch, uint64_t hash, uint8_t db, struct slice key)
{
    const bool is_full = sketch->used == sketch->rows_max;
    const uint32_t at = is_full ? sketch->heap[0] : sketch->used;
    struct row *row = &sketch->rows[at];
    if (!row_makes_room(row, key.size)) {
        return NOWHERE;
    }
    if (is_full) {
        row_unchain(sketch, at);
    }
    if (key.size > 0) { /* an empty key has no bytes to be copied, nor a place for them */
        memcpy(row->key, key.data, key.size);
    }
    row->key_size = (uint16_t)key.size;
    row->error = row->count;
    row->hash = hash;
    row->db = db;
    uint32_t *chain = chain_of(sketch, hash);
    row->next = *chain;
    *chain = at;
    if (!is_full) {
        heap_put(sketch, sketch->used++, at);
        heap_rise(sketch, row->place);
    }
    return at;
}

/* --- reads ---------------------------------------------------------------------------------------------------------- */

/* When the next read is to be counted, and as how many. */
static void sample_next(struct hot *hot)
{
    struct hot_sketch *sketch = hot->sketch;
    if (sketch->samples_max > 0 && ++sketch->samples >= sketch->samples_max &&
        sketch->every < HOT_EVERY_MAX) {
        sketch->samples = 0;
        sketch->every *= 2;
    }
    sketch->sample_weight = sketch->every;
    hot->left = sketch->every == 1
                    ? 1
                    : 1 + (uint32_t)rand_below(&sketch->rand, 2 * (uint64_t)sketch->every - 1);
}

void hot_sample(struct hot *hot, uint64_t hash, uint8_t db, struct slice key)
{
    struct hot_sketch *sketch = hot->sketch;
    if (sketch == NULL) {
        hot->left = NEVER;
        return;
    }
    const double weight = sketch->weight * sketch->sample_weight;
    sample_next(hot);
    if (key.size > HOT_KEY_MAX) {
        return;
    }
    uint32_t at = row_find(sketch, hash, db, key);
    if (at == NOWHERE) {
        at = row_take(sketch, hash, db, key);
    }
    if (at == NOWHERE) {
        return;
    }
    sketch->total += weight;
    sketch->squares += weight * weight;
    sketch->rows[at].count += weight;
    heap_sink(sketch, sketch->rows[at].place);
}

/* --- time ----------------------------------------------------------------------------------------------------------- */

/* Doubles have room for a thousand half-lives; long before that all begins at 1 again. A power of two: nothing is rounded. */
static void sketch_rebase(struct hot_sketch *sketch)
{
    const double factor = ldexp(1.0, -GROWN_MAX);
    for (unsigned i = 0; i < sketch->used; i++) {
        sketch->rows[i].count *= factor;
        sketch->rows[i].error *= factor;
    }
    sketch->total *= factor;
    sketch->squares *= factor * factor;
    sketch->began_ms += (int64_t)GROWN_MAX * HOT_HALF_LIFE_MS;
}

static double weight_at(const struct hot_sketch *sketch, int64_t now_ms)
{
    return exp2((double)(now_ms - sketch->began_ms) / HOT_HALF_LIFE_MS);
}

void hot_tick(struct hot *hot, int64_t now_ms)
{
    struct hot_sketch *sketch = hot->sketch;
    if (sketch == NULL) {
        return;
    }
    CHECK_MAGIC(sketch, HOT_MAGIC);
    for (int steps = 0; now_ms - sketch->began_ms > (int64_t)GROWN_MAX * HOT_HALF_LIFE_MS;
         steps++) {
        if (steps == 30) { /* what is left is less than a read in 2^1200 */
            sketch->began_ms = now_ms;
        } else {
            sketch_rebase(sketch);
        }
    }
    sketch->weight = weight_at(sketch, now_ms);
    if (sketch->samples < sketch->samples_max / 4 && sketch->every > 1) {
        sketch->every /= 2;
        if (hot->left > 2 * sketch->every) { /* a quiet worker need not wait for a long gap */
            sketch->sample_weight = sketch->every;
            hot->left = 1 + (uint32_t)rand_below(&sketch->rand, 2 * (uint64_t)sketch->every - 1);
        }
    }
    sketch->samples = 0;
}

unsigned hot_every(const struct hot *hot)
{
    return hot->sketch == NULL ? 0 : hot->sketch->every;
}

/* --- life ----------------------------------------------------------------------------------------------------------- */

enum status hot_open(struct hot *hot, const struct hot_options *options)
{
    CHECK(options->rows <= HOT_ROWS_MAX);
    *hot = (struct hot){.left = 1};
    if (options->rows == 0) {
        return OK;
    }
    struct hot_sketch *sketch = calloc(1, sizeof(*sketch));
    if (sketch == NULL) {
        return NO_MEMORY;
    }
    size_t chains = 1;
    while (chains < options->rows) {
        chains *= 2;
    }
    *sketch = (struct hot_sketch){
        .magic = HOT_MAGIC,
        .rows_max = options->rows,
        .chain_mask = (uint32_t)chains - 1,
        .rows = calloc(options->rows, sizeof(*sketch->rows)),
        .chains = malloc(chains * sizeof(*sketch->chains)),
        .heap = malloc(options->rows * sizeof(*sketch->heap)),
        .weight = 1,
        .sample_weight = 1,
        .samples_max = options->samples,
        .every = 1,
        .began_ms = options->now_ms,
        .born_ms = options->now_ms,
    };
    hot->sketch = sketch;
    if (sketch->rows == NULL || sketch->chains == NULL || sketch->heap == NULL) {
        hot_close(hot);
        return NO_MEMORY;
    }
    memset(sketch->chains, 0xff, chains * sizeof(*sketch->chains)); /* NOWHERE */
    rand_seed(&sketch->rand, options->seed);
    return OK;
}

void hot_close(struct hot *hot)
{
    struct hot_sketch *sketch = hot->sketch;
    if (sketch == NULL) {
        return;
    }
    CHECK_MAGIC(sketch, HOT_MAGIC);
    for (unsigned i = 0; sketch->rows != NULL && i < sketch->used; i++) {
        free(sketch->rows[i].key);
    }
    free(sketch->rows);
    free(sketch->chains);
    free(sketch->heap);
    sketch->magic = 0;
    free(sketch);
    *hot = (struct hot){.left = 1};
}

/* --- a picture of it -------------------------------------------------------------------------------------------------- */

void hot_copy_done(struct hot_copy *copy)
{
    free(copy->rows);
    buf_done(&copy->keys);
    *copy = (struct hot_copy){0};
}

static enum status copy_reserve(struct hot_copy *copy, size_t count)
{
    if (copy->room >= count) {
        return OK;
    }
    struct hot_copied *rows = realloc(copy->rows, count * sizeof(*rows));
    if (rows == NULL) {
        return NO_MEMORY;
    }
    copy->rows = rows;
    copy->room = count;
    return OK;
}

enum status hot_copy(const struct hot *hot, struct hot_copy *copy, int64_t now_ms)
{
    const struct hot_sketch *sketch = hot->sketch;
    copy->count = 0;
    copy->keys.size = 0;
    copy->total = copy->least = copy->window_s = copy->grain = 0;
    if (sketch == NULL) {
        return OK;
    }
    if (copy_reserve(copy, sketch->used) != OK) {
        return NO_MEMORY;
    }
    const double scale = 1 / weight_at(sketch, now_ms);
    for (unsigned i = 0; i < sketch->used; i++) {
        const struct row *row = &sketch->rows[i];
        const size_t at = copy->keys.size;
        if (buf_append(&copy->keys, row->key, row->key_size) != OK) {
            copy->count = 0;
            return NO_MEMORY;
        }
        copy->rows[copy->count++] = (struct hot_copied){
            .hash = row->hash,
            .count = (row->count - row->error) * scale,
            .error = row->error * scale,
            .key_at = (uint32_t)at,
            .key_size = row->key_size,
            .db = row->db,
        };
    }
    const double half_lives = (double)(now_ms - sketch->born_ms) / HOT_HALF_LIFE_MS;
    copy->total = sketch->total * scale;
    copy->grain = sketch->total > 0 ? sketch->squares / sketch->total * scale : 0;
    copy->least = sketch->used < sketch->rows_max ? 0 : sketch->rows[sketch->heap[0]].count * scale;
    const double window_s = HOT_HALF_LIFE_MS / 1e3 / M_LN2 * (1 - exp2(-half_lives));
    copy->window_s = window_s > 1 ? window_s : 1;
    return OK;
}
