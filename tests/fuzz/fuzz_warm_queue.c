/* SPDX-License-Identifier: BSD-3-Clause */
/* fuzz_warm_queue.c -- any bytes as what the queue of warm jobs has: as an answer of its script, which is walked as a
 * node walks them, as jobs that are shown, and as the keys of a chunk, which L2 keeps and anybody may have changed.
 *
 * What must hold: each walk ends, whatever counts are said; texts and keys lie inside what came; times and counts are within
 * their bounds, and no sum of them overflows; a chunk that is read whole is written as the same bytes again. */
#include "protocol/check.h"
#include "protocol/limits.h"
#include "server/warm_desk_inner.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum {
    DEPTH_MAX = 4, /* no answer of the script is deeper */
    STEPS_MAX = 1 << 16
};

static bool is_inside(struct slice part, struct slice whole)
{
    return part.size == 0 ||
           (part.data >= whole.data && part.data + part.size <= whole.data + whole.size);
}

static void check_number(struct warm_answer *answer)
{
    struct warm_answer as_time = *answer;
    struct warm_answer as_count = *answer;
    const int64_t ms = warm_answer_ms(&as_time);
    const int64_t number = warm_answer_number(answer);
    CHECK(ms >= 0 && ms <= WARM_MS_MAX && (ms == 0 || ms == number));
    CHECK(warm_answer_count(&as_count) == (number > 0 ? (uint64_t)number : 0));
    CHECK(as_time.count == answer->count && as_count.count == answer->count);
}

/* Numbers, texts and arrays in turns: each element is asked for as something that it may not be. */
static void walk(struct warm_answer *answer, struct slice all, unsigned depth, unsigned *steps)
{
    for (unsigned turn = 0; answer->count > 0 && *steps < STEPS_MAX; turn++, ++*steps) {
        const size_t before = answer->count;
        struct warm_answer inner;
        if (turn % 3 == 0) {
            check_number(answer);
        } else if (turn % 3 == 1) {
            CHECK(is_inside(warm_answer_text(answer), all));
        } else if (warm_answer_array(answer, &inner) && depth < DEPTH_MAX) {
            walk(&inner, all, depth + 1, steps);
        }
        CHECK(answer->count < before);
    }
}

/* As LIST and STATUS are answered. */
static void check_shown(struct warm_answer answer, enum warm_verb verb)
{
    static struct warm_desk desk;
    struct warm_call call = {.verb = verb};
    uint64_t below = 0;
    if (warm_show_read(&desk, &answer, &call, &below) == OK) {
        warm_show_end(&call);
        for (size_t i = 0; i < call.count; i++) {
            const struct warm_status *status = &call.statuses[i];
            CHECK(status->priority >= 0 && status->priority <= WARM_PRIORITY_MAX);
            CHECK(status->effective >= status->priority && status->eta_ms >= -1);
        }
    }
    free(call.statuses);
    buf_done(&call.memory);
    buf_done(&call.nodes);
}

static void check_answer(struct slice reply)
{
    struct warm_answer answer;
    unsigned steps = 0;
    const enum status status = warm_answer_read(reply, &answer);
    CHECK(is_inside(answer.word, reply));
    if (status == OK) {
        struct warm_answer shown = answer;
        walk(&answer, reply, 0, &steps);
        check_shown(shown, WARM_STATUS);
        check_shown(shown, WARM_LIST);
    }
}

static void check_chunk(struct slice chunk)
{
    struct buf again = {0};
    struct warm_chunk_key key;
    size_t at = 0;
    enum status status = OK;
    while ((status = warm_chunk_next(chunk, &at, &key)) == OK) {
        CHECK(at <= chunk.size && is_inside(key.key, chunk));
        CHECK(warm_chunk_append(&again, &key) == OK);
    }
    CHECK(status == MALFORMED || (status == MISS && at == chunk.size));
    CHECK(again.size <= chunk.size);
    CHECK(again.size == 0 || memcmp(again.data, chunk.data, again.size) == 0);
    buf_done(&again);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct reply_framer framer = {0};
    size_t whole = 0;
    char *own = malloc(size + 1); /* at an address of its own */
    CHECK(own != NULL);
    memcpy(own, data, size);
    const struct slice bytes = {own, size};
    if (reply_frame(&framer, bytes, &whole) == OK) {
        check_answer((struct slice){own, whole});
    }
    check_chunk(bytes);
    free(own);
    return 0;
}
