/* SPDX-License-Identifier: BSD-3-Clause */
/* warm_work.c -- the lanes of this node: which job has a slot, its chunks, what became of their keys.
 *
 *      IDLE --there may be a chunk--> QUEUED --first of the heap, a slot--> ASKS --a chunk--> RUNS --its keys are done--> ASKS
 *        ^                              ^                                    |  |
 *        +------------no chunk----------|------------------------------------+  |
 *                                       +------ the next one; who is first? ----+                                              */
#include "server/node.h"
#include "server/warm_desk_inner.h"
#include "server/worker.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void lane_ask(struct warm_row *row);

/* --- slots ----------------------------------------------------------------------------------------------------------- */

static bool has_slot(const struct warm_row *row)
{
    return row->step == WARM_LANE_ASKS || (row->step == WARM_LANE_RUNS && !row->rests);
}

static void lane_forget_chunk(struct warm_row *row)
{
    buf_done(&row->chunk);
    row->key_count = 0;
    row->number = -1;
}

/* Out of its slot, or of the heap. */
static void lane_rest(struct warm_row *row, enum warm_lane_step step)
{
    struct warm_desk *desk = row->desk;
    if (has_slot(row)) {
        desk->slots--;
    }
    warm_queue_remove(&desk->queue, &row->entry, desk->worker->now_ms);
    row->step = step;
    row->rests = false;
}

static void lane_idle(struct warm_row *row)
{
    lane_rest(row, WARM_LANE_IDLE);
    lane_forget_chunk(row);
    warm_run_end(row->run);
    row->run = NULL;
    row->speed = 0;
    row->again_ms = row->desk->worker->now_ms + row->look_ms;
    row->look_ms = row->look_ms * 2 < WARM_LOOK_MAX_MS ? row->look_ms * 2 : WARM_LOOK_MAX_MS;
}

static void lane_queue(struct warm_row *row)
{
    struct warm_desk *desk = row->desk;
    lane_rest(row, WARM_LANE_QUEUED);
    if (warm_queue_push(&desk->queue, &row->entry, desk->worker->now_ms) != OK) {
        lane_idle(row);
    }
}

/* --- a chunk with the engine ----------------------------------------------------------------------------------------- */

static void done_begin(struct warm_done *done, int64_t number)
{
    struct buf failures = done->failures;
    failures.size = 0;
    *done = (struct warm_done){.number = number, .failures = failures};
}

/* What is too much to be kept is told as a count only. */
static void done_note_failure(struct warm_done *done, struct slice key, struct slice why,
                              unsigned attempts)
{
    char head[WARM_WHY_MAX + 16];
    if (done->failure_count == WARM_FAILURES_MAX) {
        return;
    }
    const int shown = (int)(why.size < WARM_WHY_MAX - 1 ? why.size : WARM_WHY_MAX - 1);
    const int size =
        snprintf(head, sizeof(head), "%u%c%.*s%c", attempts, '\0', shown, why.data, '\0');
    const size_t before = done->failures.size;
    if (buf_append(&done->failures, head, (size_t)size) == OK &&
        buf_append_slice(&done->failures, key) == OK) {
        done->failure_sizes[done->failure_count++] = done->failures.size - before;
    } else {
        done->failures.size = before;
    }
}

static void lane_on_result(void *arg, size_t index, const struct warm_result *result)
{
    struct warm_row *row = arg;
    struct warm_done *done = &row->done;
    switch (result->outcome) {
    case PREFETCH_LOADED:
        done->loaded++;
        done->bytes += result->bytes;
        break;
    case PREFETCH_SKIPPED:
    case PREFETCH_TOO_BIG: done->skipped++; break;
    case PREFETCH_ABSENT: done->absent++; break;
    case PREFETCH_FAILED:
        done->failed++;
        done_note_failure(done, row->keys[index].key, result->why, result->attempts);
        break;
    }
}

static void lane_on_hungry(void *arg)
{
    struct warm_row *row = arg;
    const int64_t took_ms = row->desk->worker->now_ms - row->began_ms;
    const double speed = (double)row->key_count * 1000 / (double)(took_ms > 0 ? took_ms : 1);
    row->speed = row->speed == 0 ? speed : (row->speed * 3 + speed) / 4;
    row->entry.served += row->key_count;
    row->done.number = row->number;
    row->step = WARM_LANE_ASKS;
    if (row->rests) { /* what was under way was the last of it */
        row->rests = false;
        row->desk->slots++;
    }
    lane_forget_chunk(row);
    lane_ask(row);
}

static enum prefetch_act act_of(const struct warm_job *job)
{
    if (job->dry) {
        return PREFETCH_LOOK;
    }
    return job->target == WARM_L2 ? PREFETCH_TOUCH : PREFETCH_LOAD;
}

/* Its chunk to the engine. */
static void lane_run(struct warm_row *row)
{
    struct warm_desk *desk = row->desk;
    const struct warm_job *job = &row->job;
    const bool by_tag = job->source == WARM_TAG;
    if (row->run == NULL) {
        row->run = warm_run_new(
            desk->worker,
            &(struct warm_run_options){
                .pace = &row->pace,
                .mode = job->mode,
                .act = act_of(job),
                .only_tag = by_tag ? (struct slice){job->text, job->text_size} : (struct slice){0},
                .priority = warm_entry_effective(&row->entry, desk->worker->now_ms),
                .on_result = lane_on_result,
                .on_hungry = lane_on_hungry,
                .arg = row,
            });
    } else {
        warm_run_set_priority(row->run, warm_entry_effective(&row->entry, desk->worker->now_ms));
    }
    done_begin(&row->done, -1);
    row->began_ms = desk->worker->now_ms;
    row->step = WARM_LANE_RUNS;
    if (row->run == NULL || warm_run_feed(row->run, row->keys, row->key_count) != OK) {
        lane_idle(row);
        return;
    }
    warm_work_pause(row);
}

/* --- asking for the next --------------------------------------------------------------------------------------------- */

/* MALFORMED: somebody else wrote it. */
static enum status lane_read_chunk(struct warm_row *row, struct slice bytes)
{
    struct warm_chunk_key key;
    size_t at = 0;
    row->chunk.size = 0;
    row->key_count = 0;
    enum status status = buf_append_slice(&row->chunk, bytes);
    while (status == OK && (status = warm_chunk_next(buf_slice(&row->chunk), &at, &key)) == OK) {
        if (row->key_count == WARM_CHUNK_KEYS) {
            return MALFORMED;
        }
        row->keys[row->key_count++] =
            (struct warm_key){.key = key.key, .db = key.db, .heat = key.heat};
    }
    return status != MISS ? status : row->key_count == 0 ? MALFORMED : OK;
}

/* state rate lanes number keys */
static void lane_take(struct warm_row *row, struct warm_answer *answer)
{
    struct warm_desk *desk = row->desk;
    done_begin(&row->done, -1);
    (void)warm_state_read(warm_answer_text(answer), &row->state);
    row->rate = warm_answer_count(answer);
    row->lanes = (unsigned)warm_answer_count(answer);
    warm_work_rate(row);
    row->number = warm_answer_number(answer);
    if (row->number < 0) {
        lane_idle(row);
        return;
    }
    const enum status status = lane_read_chunk(row, warm_answer_text(answer));
    if (status == MALFORMED) {
        lane_idle(row);
        warm_row_fail(row, "a chunk in L2 is not what a node put there");
        return;
    }
    if (status != OK) {
        lane_idle(row);
        return;
    }
    row->look_ms = WARM_LOOK_MS;
    lane_queue(row); /* is it still the first? */
    warm_work_turn(desk);
    if (row->step == WARM_LANE_QUEUED) {
        lane_forget_chunk(row);
    }
}

/* The job has ended, which the next beat tells of, or the lane is another's. */
static void lane_is_lost(struct warm_row *row, struct slice word)
{
    struct warm_desk *desk = row->desk;
    warm_row_drop(row);
    if (slice_is(word, "LOST")) {
        warm_desk_take_all(desk);
    }
    warm_work_turn(desk);
}

static void lane_on_answer(struct warm_question *question, enum status status,
                           struct warm_answer *answer)
{
    struct warm_row *row = LIST_ENTRY(question, struct warm_row, lane_question);
    struct warm_desk *desk = question->desk;
    if (!warm_row_stays(row)) {
        return;
    }
    if (row->step != WARM_LANE_ASKS) {
        return; /* its lane was taken from it meanwhile */
    }
    if (status != OK) {
        row->again_ms = desk->worker->now_ms + WARM_AGAIN_MS;
    } else if (slice_is(answer->word, "OK")) {
        lane_take(row, answer);
        if (row->produces && row->has_batch) {
            warm_produce_go(row); /* there may be room now */
        }
    } else {
        lane_is_lost(row, answer->word);
    }
}

/* What is told of the chunk: NEXT, PASS. */
static void lane_words(struct warm_row *row, struct warm_words *words, const char *verb,
                       int64_t number)
{
    struct warm_engine_description engine;
    const struct warm_done *done = &row->done;
    warm_engine_describe(row->desk->worker->warm, &engine);
    warm_desk_words(row->desk, words, verb);
    warm_word_number(words, (int64_t)row->entry.id);
    warm_word_number(words, number);
    warm_word_number(words, (int64_t)done->loaded);
    warm_word_number(words, (int64_t)done->skipped);
    warm_word_number(words, (int64_t)done->absent);
    warm_word_number(words, (int64_t)done->failed);
    warm_word_number(words, (int64_t)done->bytes);
    warm_word_number(words, (int64_t)(row->speed * 1000));
    warm_word_number(words, (int64_t)(engine.factor * 1000));
    size_t at = 0;
    for (size_t i = 0; i < done->failure_count; i++) {
        warm_word(words, (struct slice){done->failures.data + at, done->failure_sizes[i]});
        at += done->failure_sizes[i];
    }
}

static void lane_ask(struct warm_row *row)
{
    struct warm_words words;
    row->again_ms = row->desk->worker->now_ms + WARM_AGAIN_MS;
    if (row->lane_question.is_asked) {
        return;
    }
    lane_words(row, &words, "NEXT", row->done.number);
    row->lane_question.on_answer = lane_on_answer;
    if (warm_desk_ask(row->desk, &row->lane_question, &words) == OK) {
        row->again_ms = 0;
    }
}

/* --- a node that can keep nothing ------------------------------------------------------------------------------------- */

/* What came while L2 was asked is not told: those keys count as failed, too. */
static void lane_on_passed(struct warm_question *question, enum status status,
                           struct warm_answer *answer)
{
    struct warm_row *row = LIST_ENTRY(question, struct warm_row, lane_question);
    struct worker *worker = question->desk->worker;
    if (!warm_row_stays(row) || status != OK || slice_is(answer->word, "WAIT")) {
        return;
    }
    if (!slice_is(answer->word, "OK")) {
        lane_is_lost(row, answer->word);
        return;
    }
    const uint64_t keys = warm_answer_count(answer);
    log_write(&worker->node->log, LOG_WARNING, "warm_passed",
              "job=%" PRIu64 " keys=%" PRIu64
              " this node can keep nothing at present, and others waited for it",
              row->entry.id, keys);
    metrics_add(worker->metrics, M_WARM_FAILED, keys);
    if (row->step == WARM_LANE_RUNS) { /* else it has just come to its end */
        lane_idle(row);
    }
}

/* The last of its keys, which has no result, stands for all that have none. */
static void lane_pass(struct warm_row *row)
{
    struct warm_words words;
    struct warm_done *done = &row->done;
    const int64_t now_ms = row->desk->worker->now_ms;
    const size_t count = done->failure_count;
    const size_t size = done->failures.size;
    row->pass_again_ms = now_ms + WARM_AGAIN_MS;
    done_note_failure(done, row->keys[row->key_count - 1].key,
                      SLICE_LITERAL("this node could keep nothing, and others waited; it and "
                                    "all behind it are passed over"),
                      0);
    lane_words(row, &words, "PASS", row->number);
    row->lane_question.on_answer = lane_on_passed;
    (void)!warm_desk_ask(row->desk, &row->lane_question, &words);
    done->failure_count = count; /* nobody may be waiting */
    done->failures.size = size;
}

static bool lane_is_stuck(const struct warm_row *row)
{
    const struct warm_desk *desk = row->desk;
    const int64_t now_ms = desk->worker->now_ms;
    return row->step == WARM_LANE_RUNS && !row->rests && row->lanes > 1 &&
           desk->halted_at_ms != 0 && now_ms >= desk->halted_at_ms + WARM_HALTED_MS &&
           now_ms >= row->began_ms + WARM_TRIED_MS && now_ms >= row->pass_again_ms &&
           !row->lane_question.is_asked;
}

void warm_work_look(struct warm_desk *desk)
{
    struct warm_engine_description engine;
    warm_engine_describe(desk->worker->warm, &engine);
    if (!engine.is_halted) {
        desk->halted_at_ms = 0;
    } else if (desk->halted_at_ms == 0) {
        desk->halted_at_ms = desk->worker->now_ms;
    }
}

/* --- who has a slot -------------------------------------------------------------------------------------------------- */

void warm_work_turn(struct warm_desk *desk)
{
    struct warm_entry *first = NULL;
    while (!desk->stopped && desk->slots < WARM_SLOTS &&
           (first = warm_queue_pop(&desk->queue, desk->worker->now_ms)) != NULL) {
        struct warm_row *row = (struct warm_row *)(void *)first;
        desk->slots++;
        row->step = WARM_LANE_ASKS;
        if (row->key_count > 0) {
            lane_run(row);
        } else if (warm_row_knows(row)) {
            lane_ask(row);
        } else {
            lane_idle(row); /* until it does */
        }
    }
}

void warm_work_wake(struct warm_row *row)
{
    if (row->step == WARM_LANE_IDLE && row->state != WARM_PAUSED && !row->lane_question.is_asked) {
        row->again_ms = 0;
        lane_queue(row);
    }
}

/* A lane that was never asked for, since its job was paused, is due at once. */
void warm_work_tick(struct warm_row *row)
{
    const bool is_due = row->desk->worker->now_ms >= row->again_ms;
    if (row->step == WARM_LANE_IDLE && is_due) {
        warm_work_wake(row);
    } else if (row->step == WARM_LANE_ASKS && row->again_ms != 0 && is_due) {
        lane_ask(row);
    } else if (lane_is_stuck(row)) {
        lane_pass(row);
    }
}

void warm_work_pause(struct warm_row *row)
{
    const bool paused = row->state == WARM_PAUSED;
    if (row->run != NULL) {
        warm_run_pause(row->run, paused);
    }
    if (row->step == WARM_LANE_RUNS && row->rests != paused) {
        row->rests = paused;
        row->desk->slots = paused ? row->desk->slots - 1 : row->desk->slots + 1;
    }
}

void warm_work_rate(struct warm_row *row)
{
    const uint64_t lanes = row->lanes > 0 ? row->lanes : 1;
    const uint64_t keys = row->rate == 0 ? 0 : (row->rate + lanes - 1) / lanes;
    const uint64_t bytes = row->job.byte_rate == 0 ? 0 : (row->job.byte_rate + lanes - 1) / lanes;
    if (row->pace.keys.rate != keys || row->pace.bytes.rate != bytes) {
        warm_pace_set(&row->pace, keys, bytes);
    }
}

void warm_work_end(struct warm_row *row)
{
    if (row->step != WARM_LANE_NONE) {
        lane_idle(row);
        row->step = WARM_LANE_NONE;
    }
}
