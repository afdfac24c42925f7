/* SPDX-License-Identifier: BSD-3-Clause */
#include "tiers/trainer.h"

#include <stdlib.h>
#include <string.h>

enum {
    TABLE_BITS = 16,
    TABLE_SIZE = 1 << TABLE_BITS,
    WORD = 8, /* bytes that are read for a run */
    SELDOM = 128,
    ROUNDS = 4, /* so often each part is gone over, if all of them give a segment */
    PART_MIN = 10 * TRAINER_SEGMENT,
    BARREN_MIN = 10, /* parts in a row without a segment, after which there is none */
};

struct trainer {
    struct slice bytes;
    uint32_t counts[TABLE_SIZE]; /* of runs, in all samples */
    uint16_t here[TABLE_SIZE];   /* ... in the window that moves over a part */
};

/* A segment of the samples. */
struct segment {
    size_t begin;
    size_t end;
    uint64_t score;
};

static uint32_t run_at(const struct trainer *trainer, size_t at)
{
    const uint64_t word = get_u64le(trainer->bytes.data + at) << 8 * (WORD - TRAINER_RUN);
    return (uint32_t)(word * UINT64_C(0x9e3779b97f4a7c15) >> (64 - TABLE_BITS));
}

/* What less than one value in SELDOM has takes room that others use better: LZ4's table has 4,096 places. */
static uint32_t least_count(const struct trainer_samples *samples)
{
    return 2 + samples->count / SELDOM;
}

static void count_runs(struct trainer *trainer, const struct trainer_samples *samples)
{
    size_t begin = 0;
    for (unsigned i = 0; i < samples->count; i++) {
        const size_t end = samples->ends[i];
        for (size_t at = begin; at + WORD <= end; at++) {
            trainer->counts[run_at(trainer, at)]++;
        }
        begin = end;
    }
    const uint32_t least = least_count(samples);
    for (size_t i = 0; i < TABLE_SIZE; i++) {
        trainer->counts[i] = trainer->counts[i] < least ? 0 : trainer->counts[i];
    }
}

/* The segment of [begin, end) whose different runs have the highest counts together; they count nothing afterwards. */
static struct segment take_best(struct trainer *trainer, size_t begin, size_t end)
{
    const size_t runs = TRAINER_SEGMENT - TRAINER_RUN + 1;
    struct segment best = {.begin = begin, .end = begin};
    struct segment window = best;
    for (; window.end < end; window.end++) {
        const uint32_t run = run_at(trainer, window.end);
        window.score += trainer->here[run]++ == 0 ? trainer->counts[run] : 0;
        if (window.end - window.begin == runs) {
            const uint32_t left = run_at(trainer, window.begin++);
            window.score -= --trainer->here[left] == 0 ? trainer->counts[left] : 0;
        }
        if (window.score > best.score) {
            best = (struct segment){window.begin, window.end + 1, window.score};
        }
    }
    for (size_t at = window.begin; at < end; at++) {
        trainer->here[run_at(trainer, at)] = 0;
    }
    /* Runs that count nothing are left off at both ends. */
    while (best.begin < best.end && trainer->counts[run_at(trainer, best.begin)] == 0) {
        best.begin++;
    }
    while (best.end > best.begin && trainer->counts[run_at(trainer, best.end - 1)] == 0) {
        best.end--;
    }
    for (size_t at = best.begin; at < best.end; at++) {
        trainer->counts[run_at(trainer, at)] = 0;
    }
    return best;
}

/* Fills `dst` from its end; returns how much. */
static size_t cover(struct trainer *trainer, char *dst, size_t capacity)
{
    const size_t last = trainer->bytes.size - WORD + 1; /* runs begin below */
    size_t parts = capacity / TRAINER_SEGMENT / ROUNDS;
    if (parts == 0 || last / parts < PART_MIN) {
        parts = last / PART_MIN + 1;
    }
    const size_t part_size = (last + parts - 1) / parts;
    const size_t barren_max = parts > BARREN_MIN ? parts : BARREN_MIN;
    size_t left = capacity;
    size_t barren = 0;
    for (size_t part = 0; left >= TRAINER_RUN && barren < barren_max; part = (part + 1) % parts) {
        const size_t begin = part * part_size;
        const size_t end = begin + part_size < last ? begin + part_size : last;
        const struct segment segment =
            begin < end ? take_best(trainer, begin, end) : (struct segment){0};
        if (segment.score == 0) {
            barren++;
            continue;
        }
        barren = 0;
        const size_t whole = segment.end - segment.begin + TRAINER_RUN - 1;
        const size_t size = whole < left ? whole : left;
        left -= size;
        memcpy(dst + left, trainer->bytes.data + segment.begin, size);
    }
    return capacity - left;
}

enum status train(const struct trainer_samples *samples, char *dst, size_t capacity,
                  size_t *ret_size)
{
    *ret_size = 0;
    if (samples->bytes.size > TRAINER_BYTES_MAX) {
        return INVALID;
    }
    if (samples->bytes.size < WORD || capacity < TRAINER_RUN) {
        return OK;
    }
    struct trainer *trainer = calloc(1, sizeof *trainer);
    if (trainer == NULL) {
        return NO_MEMORY;
    }
    trainer->bytes = samples->bytes;
    count_runs(trainer, samples);
    const size_t size = cover(trainer, dst, capacity);
    memmove(dst, dst + capacity - size, size);
    free(trainer);
    *ret_size = size;
    return OK;
}
