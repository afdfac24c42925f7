/* SPDX-License-Identifier: BSD-3-Clause */
/* warm_produce.c -- the producer: a job's source becomes chunks in L2.
 *
 *      pull ~> a batch -> APPEND, chunk after chunk -> pull ...
 *
 * A chunk is told with the cursor behind it; of a batch that makes several, all but the last have the cursor in front of
 * the batch, so who goes on after a death gives some keys again and leaves none out. */
#include "server/node.h"
#include "server/warm_desk_inner.h"
#include "server/worker.h"

#include <stdio.h>
#include <string.h>

enum {
    CHUNKS_PER_S = 4 /* of a job whose rate is less than as many whole ones */
};

static void produce_tell(struct warm_row *row);

/* Chunks of a slow job are small: what is done is told soon, and little is done again when a node dies. */
static size_t chunk_keys(const struct warm_row *row)
{
    const uint64_t keys = row->rate / CHUNKS_PER_S > 0 ? row->rate / CHUNKS_PER_S : 1;
    return row->rate == 0 || keys > WARM_CHUNK_KEYS ? WARM_CHUNK_KEYS : (size_t)keys;
}

static void produce_later(struct warm_row *row, int64_t ms)
{
    row->append_again_ms = row->desk->worker->now_ms + ms;
}

/* It is opened again at its cursor when more is wanted of it. */
static void source_close(struct warm_row *row)
{
    if (row->source != NULL) {
        list_remove(&row->in_sources);
        row->desk->sources_weigh -= warm_source_weight(row->job.source);
        warm_source_close(row->source);
        row->source = NULL;
    }
}

static void source_end(struct warm_row *row)
{
    source_close(row);
    row->pulls = false;
    row->has_batch = false;
    row->batch_at = 0;
    row->telling.size = 0;
}

static void on_batch(void *arg)
{
    struct warm_row *row = arg;
    row->pulls = false;
    row->has_batch = true;
    row->batch_at = 0;
    produce_tell(row);
}

/* Room for one more: sources of which nothing is under way are closed, the longest open first. Their jobs are paused, or
 * wait for room in L2, which may last. */
static bool desk_makes_room(struct warm_desk *desk, unsigned weight)
{
    struct list *next = NULL;
    for (struct list *node = desk->sources.next;
         node != &desk->sources && desk->sources_weigh + weight > WARM_SOURCES_WEIGH; node = next) {
        struct warm_row *row = LIST_ENTRY(node, struct warm_row, in_sources);
        next = node->next;
        if (!row->pulls && !row->append_question.is_asked) {
            source_close(row);
        }
    }
    return desk->sources_weigh + weight <= WARM_SOURCES_WEIGH;
}

static enum status source_open(struct warm_row *row, char error[WARM_ERROR_MAX])
{
    struct warm_desk *desk = row->desk;
    const unsigned weight = warm_source_weight(row->job.source);
    if (!desk_makes_room(desk, weight)) {
        return BUSY;
    }
    const enum status status =
        warm_source_open(&(struct warm_source_at){.worker = row->desk->worker,
                                                  .job = &row->job,
                                                  .cursor = slice_of(row->cursor),
                                                  .run = slice_of(row->source_run),
                                                  .batch_keys = chunk_keys(row),
                                                  .on_batch = on_batch,
                                                  .arg = row},
                         &row->source, error);
    if (status == OK) {
        list_push_back(&desk->sources, &row->in_sources);
        desk->sources_weigh += weight;
    }
    return status;
}

static void produce_pull(struct warm_row *row)
{
    char error[WARM_ERROR_MAX];
    enum status status = row->source == NULL ? source_open(row, error) : OK;
    if (status == INVALID) {
        warm_row_fail(row, error);
        return;
    }
    if (status == OK) {
        row->source->at.batch_keys = chunk_keys(row);
        row->pulls = true;
        status = warm_source_pull(row->source, &row->batch);
        row->pulls = status == PENDING;
    }
    if (status == OK) {
        on_batch(row);
    } else if (status != PENDING) {
        produce_later(row, status == BUSY ? WARM_LOOK_MS : WARM_AGAIN_MS);
    }
}

/* Somebody else was the producer meanwhile, or the job began again. */
static void produce_from(struct warm_row *row, struct warm_answer *answer)
{
    source_end(row);
    row->next = warm_answer_count(answer);
    const struct slice cursor = warm_answer_text(answer);
    const struct slice run = warm_answer_text(answer);
    (void)snprintf(row->cursor, sizeof(row->cursor), "%.*s", (int)cursor.size, cursor.data);
    (void)snprintf(row->source_run, sizeof(row->source_run), "%.*s", (int)run.size, run.data);
    produce_pull(row);
}

/* It is in L2: on with what is behind it. */
static void produce_told(struct warm_row *row)
{
    const bool had_keys = row->telling.size > 0;
    row->next += had_keys;
    row->batch_at = row->telling_at;
    row->telling.size = 0;
    row->wait_ms = 0;
    if (row->batch_at < row->batch.keys.size) {
        produce_tell(row);
    } else {
        row->has_batch = false;
        memcpy(row->cursor, row->batch.cursor, sizeof(row->cursor));
        memcpy(row->source_run, row->batch.run, sizeof(row->source_run));
        if (row->batch.is_last) {
            row->produces = false; /* nothing is left to be done */
            source_end(row);
        } else if (row->batch.pause_ms > 0) {
            produce_later(row, row->batch.pause_ms);
        } else {
            produce_pull(row);
        }
    }
    if (had_keys) {
        warm_work_wake(row);
        warm_work_turn(row->desk);
    }
}

static void on_appended(struct warm_question *question, enum status status,
                        struct warm_answer *answer)
{
    struct warm_row *row = LIST_ENTRY(question, struct warm_row, append_question);
    if (!warm_row_stays(row)) {
        return;
    }
    if (status != OK) {
        produce_later(row, WARM_AGAIN_MS);
    } else if (!row->produces) {
        return;
    } else if (slice_is(answer->word, "OK")) {
        produce_told(row);
    } else if (slice_is(answer->word, "WAIT")) {
        row->wait_ms = row->wait_ms == 0 ? WARM_LOOK_MS : 2 * row->wait_ms;
        row->wait_ms = row->wait_ms < WARM_LOOK_MAX_MS ? row->wait_ms : WARM_LOOK_MAX_MS;
        produce_later(row, row->wait_ms);
    } else if (slice_is(answer->word, "AGAIN")) {
        produce_from(row, answer);
    } else if (slice_is(answer->word, "LOST")) {
        warm_produce_end(row);
        warm_desk_take(row->desk);
    } else {
        warm_row_drop(row);
    }
}

/* The keys of the next chunk, from batch_at on; may be none. */
static enum status produce_cut(struct warm_row *row)
{
    const struct slice keys = buf_slice(&row->batch.keys);
    struct warm_chunk_key key;
    const size_t most = chunk_keys(row);
    size_t at = row->batch_at;
    size_t end = at;
    row->telling_count = 0;
    while (row->telling_count < most && warm_chunk_next(keys, &at, &key) == OK) {
        end = at;
        row->telling_count++;
    }
    row->telling.size = 0;
    row->telling_at = end;
    return end == row->batch_at
               ? OK
               : buf_append(&row->telling, keys.data + row->batch_at, end - row->batch_at);
}

static void produce_tell(struct warm_row *row)
{
    struct warm_words words;
    const struct warm_batch *batch = &row->batch;
    if (row->append_question.is_asked || !row->produces) {
        return;
    }
    if (batch->error[0] != '\0') {
        warm_row_fail(row, batch->error);
        return;
    }
    if (row->telling.size == 0 && produce_cut(row) != OK) {
        produce_later(row, WARM_AGAIN_MS);
        return;
    }
    const bool is_end = row->telling_at == batch->keys.size;
    warm_desk_words(row->desk, &words, "APPEND");
    warm_word_number(&words, (int64_t)row->entry.id);
    warm_word_number(&words, (int64_t)row->next);
    warm_word(&words, slice_of(is_end ? batch->cursor : row->cursor));
    warm_word(&words, slice_of(is_end ? batch->run : row->source_run));
    warm_word_number(&words, (int64_t)row->telling_count);
    warm_word(&words, buf_slice(&row->telling));
    warm_word_number(&words, is_end && batch->is_last);
    warm_word_number(&words, (int64_t)WARM_QUEUE_BYTES);
    if (batch->total != UINT64_MAX) {
        warm_word_number(&words, (int64_t)batch->total);
    } else {
        warm_word(&words, (struct slice){0});
    }
    row->append_question.on_answer = on_appended;
    row->append_again_ms = 0;
    if (warm_desk_ask(row->desk, &row->append_question, &words) != OK) {
        produce_later(row, WARM_AGAIN_MS);
    }
}

void warm_produce_go(struct warm_row *row)
{
    if (!row->produces || row->state == WARM_PAUSED || row->append_question.is_asked ||
        row->pulls || !warm_row_knows(row)) {
        return;
    }
    if (row->has_batch) {
        produce_tell(row);
    } else {
        produce_pull(row);
    }
}

void warm_produce_tick(struct warm_row *row)
{
    if (row->spec != WARM_SPEC_KNOWN) {
        (void)warm_row_knows(row);
    } else if (row->desk->worker->now_ms >= row->append_again_ms) {
        warm_produce_go(row);
    }
}

void warm_produce_end(struct warm_row *row)
{
    row->produces = false;
    source_end(row);
}
