/* SPDX-License-Identifier: BSD-3-Clause */
/* warm_desk.c -- the desk's life: beats, and which jobs this node has a part in. */
#include "protocol/check.h"
#include "server/node.h"
#include "server/warm_desk_inner.h"
#include "server/worker.h"
#include "tiers/tiers.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    BEAT_IDLE_MS = 1000,
    BEAT_BUSY_MS = 500 /* while there are jobs */
};

/* --- rows ------------------------------------------------------------------------------------------------------------ */

/* A number that Redis counts up: nobody chooses what it hashes to. */
struct warm_row *warm_desk_find(struct warm_desk *desk, uint64_t id)
{
    struct map_node *node = map_find(&desk->ids, id);
    return node == NULL ? NULL : MAP_ENTRY(node, struct warm_row, by_id);
}

static void row_free(struct warm_row *row)
{
    list_remove(&row->in_desk);
    warm_job_done(&row->job);
    buf_done(&row->json);
    buf_done(&row->chunk);
    buf_done(&row->done.failures);
    buf_done(&row->batch.keys);
    buf_done(&row->telling);
    free(row);
}

bool warm_row_stays(const struct warm_row *row)
{
    return !row->is_dropped;
}

void warm_row_drop(struct warm_row *row)
{
    struct warm_desk *desk = row->desk;
    if (row->is_dropped) {
        return;
    }
    warm_work_end(row);
    warm_produce_end(row);
    row->is_dropped = true;
    map_remove(&desk->ids, &row->by_id);
    list_remove(&row->in_desk);
    list_push_back(&desk->dropped, &row->in_desk);
}

/* Here, and nowhere else: rows are dropped inside of their own callbacks, and of those of others. */
static void desk_sweep_dropped(struct warm_desk *desk)
{
    struct list *next = NULL;
    for (struct list *node = desk->dropped.next; node != &desk->dropped; node = next) {
        struct warm_row *row = LIST_ENTRY(node, struct warm_row, in_desk);
        next = node->next;
        if (!row->spec_question.is_asked && !row->lane_question.is_asked &&
            !row->append_question.is_asked && !row->is_parsing) {
            row_free(row);
        }
    }
}

static void row_on_failed(struct warm_question *question, enum status status,
                          struct warm_answer *answer)
{
    struct warm_row *row = LIST_ENTRY(question, struct warm_row, append_question);
    (void)answer;
    if (status != OK) {
        warm_desk_take_all(question->desk); /* it may not have been heard: then it comes back */
    }
    if (warm_row_stays(row)) {
        warm_row_drop(row);
    }
}

void warm_row_fail(struct warm_row *row, const char *why)
{
    struct warm_words words;
    if (row->append_question.is_asked || row->is_dropped) {
        return; /* the next look comes here again */
    }
    warm_desk_words(row->desk, &words, "FAIL");
    warm_word_number(&words, (int64_t)row->entry.id);
    warm_word(&words, slice_of(why));
    row->append_question.on_answer = row_on_failed;
    if (warm_desk_ask(row->desk, &row->append_question, &words) != OK) {
        row->append_again_ms = row->desk->worker->now_ms + WARM_AGAIN_MS;
    }
}

static void row_on_parsed(struct warm_parse *parse)
{
    struct warm_row *row = LIST_ENTRY(parse, struct warm_row, parse);
    row->is_parsing = false;
    buf_done(&row->json);
    row->job = parse->job;
    if (!warm_row_stays(row)) {
        return;
    }
    worker_read_clock(row->desk->worker);
    row->spec = WARM_SPEC_UNKNOWN;
    if (parse->status == INVALID) { /* of another version, or written by somebody else */
        char why[WARM_ERROR_MAX];
        (void)snprintf(why, sizeof(why), "a node cannot read the job: %.200s", parse->error);
        warm_row_fail(row, why);
    } else if (parse->status == OK) {
        row->spec = WARM_SPEC_KNOWN;
        warm_work_rate(row);
        warm_produce_go(row);
        warm_work_wake(row);
        warm_work_turn(row->desk);
    } else {
        row->spec_again_ms = row->desk->worker->now_ms + WARM_AGAIN_MS;
    }
}

static void row_on_spec(struct warm_question *question, enum status status,
                        struct warm_answer *answer)
{
    struct warm_row *row = LIST_ENTRY(question, struct warm_row, spec_question);
    if (!warm_row_stays(row)) {
        return;
    }
    if (status == OK && !slice_is(answer->word, "OK")) {
        warm_row_drop(row);
        return;
    }
    if (status != OK || buf_append_slice(&row->json, warm_answer_text(answer)) != OK) {
        row->spec = WARM_SPEC_UNKNOWN;
        row->spec_again_ms = row->desk->worker->now_ms + WARM_AGAIN_MS;
        return;
    }
    row->parse = (struct warm_parse){.json = buf_slice(&row->json), .on_parsed = row_on_parsed};
    row->is_parsing = warm_parse(row->desk->worker, &row->parse) == PENDING;
    if (!row->is_parsing) {
        row_on_parsed(&row->parse);
    }
}

bool warm_row_knows(struct warm_row *row)
{
    struct warm_words words;
    if (row->spec != WARM_SPEC_UNKNOWN || row->spec_question.is_asked) {
        return row->spec == WARM_SPEC_KNOWN;
    }
    if (row->desk->worker->now_ms >= row->spec_again_ms) {
        warm_desk_words(row->desk, &words, "SPEC");
        warm_word_number(&words, (int64_t)row->entry.id);
        row->spec_question.on_answer = row_on_spec;
        if (warm_desk_ask(row->desk, &row->spec_question, &words) == OK) {
            row->spec = WARM_SPEC_ASKED;
        }
    }
    return false;
}

/* --- which jobs this node has a part in ------------------------------------------------------------------------------ */

static struct warm_row *row_new(struct warm_desk *desk, uint64_t id)
{
    struct warm_row *row = calloc(1, sizeof(*row));
    if (row == NULL || map_add(&desk->ids, &row->by_id, id) != OK) {
        free(row);
        return NULL;
    }
    row->entry.id = id;
    row->desk = desk;
    row->done.number = -1;
    row->number = -1;
    row->look_ms = WARM_LOOK_MS;
    warm_pace_init(&row->pace, 0, 0, desk->worker->now_ms);
    list_push_back(&desk->rows, &row->in_desk);
    return row;
}

static void copy_word(char *dst, size_t size, struct slice text)
{
    const size_t used = text.size < size ? text.size : 0;
    if (used > 0) {
        memcpy(dst, text.data, used);
    }
    dst[used] = '\0';
}

/* It has no part in it, or none any more. */
static void desk_take_none(struct warm_desk *desk, uint64_t id)
{
    struct warm_row *row = warm_desk_find(desk, id);
    if (row != NULL) {
        warm_row_drop(row);
    }
}

static void row_take_lane(struct warm_row *row, bool has_lane)
{
    const struct warm_desk *desk = row->desk;
    if (has_lane && row->step == WARM_LANE_NONE) {
        row->step = WARM_LANE_IDLE;
        row->entry.waited_ms = warm_waited_ms(row->entry.submitted_ms,
                                              desk->worker->now_ms + desk->redis_ahead_ms);
    } else if (!has_lane && row->step != WARM_LANE_NONE) {
        warm_work_end(row);
    }
}

static void row_take_producer(struct warm_row *row, bool produces, int64_t produced,
                              struct slice cursor, struct slice run)
{
    if (produces && !row->produces) {
        row->produces = true;
        row->next = (uint64_t)produced;
        copy_word(row->cursor, sizeof(row->cursor), cursor);
        copy_word(row->source_run, sizeof(row->source_run), run);
        warm_produce_go(row);
    } else if (!produces && row->produces) {
        warm_produce_end(row);
    }
}

/* id state priority submitted deadline rate lanes lane next produced producer cursor run; or id alone. False: no memory. */
static bool desk_take_one(struct warm_desk *desk, struct warm_answer *job)
{
    const uint64_t id = warm_answer_count(job);
    if (job->count == 0) {
        desk_take_none(desk, id);
        return true;
    }
    struct warm_row *row = warm_desk_find(desk, id);
    if (row == NULL && (row = row_new(desk, id)) == NULL) {
        return false;
    }
    if (!warm_state_read(warm_answer_text(job), &row->state)) {
        row->state = WARM_QUEUED;
    }
    row->seen = desk->passes;
    row->entry.priority = warm_answer_priority(job);
    row->entry.submitted_ms = warm_answer_ms(job);
    row->entry.deadline_ms = warm_answer_ms(job);
    row->rate = warm_answer_count(job);
    row->lanes = (unsigned)warm_answer_count(job);
    const bool has_lane = warm_answer_number(job) != 0;
    const int64_t next = warm_answer_number(job);
    const int64_t produced = (int64_t)warm_answer_count(job);
    const bool produces = warm_answer_number(job) != 0;
    const struct slice cursor = warm_answer_text(job);
    const struct slice run = warm_answer_text(job);
    row_take_lane(row, has_lane);
    warm_work_rate(row);
    warm_work_pause(row);
    if (next < produced) {
        warm_work_wake(row);
    }
    row_take_producer(row, produces, produced, cursor, run);
    return true;
}

static void desk_count_states(struct warm_desk *desk)
{
    unsigned counts[WARM_STANDING + 1] = {0};
    for (struct list *node = desk->rows.next; node != &desk->rows; node = node->next) {
        counts[LIST_ENTRY(node, struct warm_row, in_desk)->state]++;
    }
    atomic_store(&desk->shown[0], counts[WARM_QUEUED]);
    atomic_store(&desk->shown[1], counts[WARM_RUNNING]);
    atomic_store(&desk->shown[2], counts[WARM_PAUSED]);
    atomic_store(&desk->shown[4], desk->slots);
}

/* All there are have been told: what is not among them is over. */
static void desk_drop_unseen(struct warm_desk *desk)
{
    struct list *next = NULL;
    for (struct list *node = desk->rows.next; node != &desk->rows; node = next) {
        struct warm_row *row = LIST_ENTRY(node, struct warm_row, in_desk);
        next = node->next;
        if (row->seen != desk->passes) {
            warm_row_drop(row);
        }
    }
}

/* version floor more all jobs ... */
static void desk_on_taken(struct warm_question *question, enum status status,
                          struct warm_answer *answer)
{
    struct warm_desk *desk = question->desk;
    struct warm_answer job;
    const bool forgot = desk->forgets;
    bool is_whole = true;
    desk->forgets = false;
    if (status != OK || !slice_is(answer->word, "OK")) {
        return; /* the next beat finds that the version is another one still */
    }
    const int64_t version = warm_answer_number(answer);
    desk->floor = warm_answer_number(answer);
    const bool has_more = warm_answer_number(answer) != 0;
    if (warm_answer_number(answer) != 0) {
        desk->passes++;
        desk->passing = true;
    }
    while (answer->count > 0) {
        if (warm_answer_array(answer, &job)) {
            is_whole = desk_take_one(desk, &job) && is_whole;
        }
    }
    if (desk->passing && !has_more) {
        desk->passing = false;
        desk_drop_unseen(desk);
    }
    desk->version = is_whole && !forgot ? version : WARM_VERSION_NONE;
    warm_work_turn(desk);
    desk_count_states(desk);
    if (desk->takes_again || has_more) {
        warm_desk_take(desk);
    }
}

void warm_desk_take(struct warm_desk *desk)
{
    struct warm_words words;
    desk->takes_again = desk->take_question.is_asked;
    if (desk->take_question.is_asked || desk->has_left) {
        return;
    }
    desk->take_question.on_answer = desk_on_taken;
    warm_desk_words(desk, &words, "TAKE");
    warm_word_number(&words, desk->version);
    warm_word_number(&words, desk->floor);
    (void)!warm_desk_ask(desk, &desk->take_question, &words);
}

void warm_desk_take_all(struct warm_desk *desk)
{
    desk->version = WARM_VERSION_NONE;
    desk->forgets = desk->take_question.is_asked;
    warm_desk_take(desk);
}

static void desk_on_beat(struct warm_question *question, enum status status,
                         struct warm_answer *answer)
{
    struct warm_desk *desk = question->desk;
    if (status != OK || !slice_is(answer->word, "OK")) {
        return;
    }
    warm_desk_is_born(desk, warm_answer_text(answer));
    const int64_t version = warm_answer_number(answer);
    const int64_t standing = warm_answer_number(answer);
    const int64_t open = warm_answer_number(answer);
    const int64_t redis_ms = warm_answer_ms(answer);
    desk->redis_ahead_ms = redis_ms - desk->worker->now_ms;
    atomic_store(&desk->shown[3], (unsigned)open);
    if (warm_answer_number(answer) > 0) {
        desk->beat_at_ms = 0; /* the dead have more; the next tick */
    }
    standing_show_jobs(desk->standing, (unsigned)warm_answer_number(answer));
    if (version != desk->version) {
        warm_desk_take(desk);
    }
    if (standing != desk->standing_version && !desk->has_left) {
        desk->standing_version = standing;
        standing_changed(desk->standing);
    }
}

/* BEAT, or LOOK of a node that takes no part: its clients are told how the queue stands, too. */
static void desk_beat(struct warm_desk *desk, const char *verb)
{
    struct warm_words words;
    const int64_t now_ms = desk->worker->now_ms;
    const bool is_busy = !list_empty(&desk->rows) || atomic_load(&desk->shown[3]) > 0;
    if (desk->beat_question.is_asked ||
        now_ms < desk->beat_at_ms + (is_busy ? BEAT_BUSY_MS : BEAT_IDLE_MS)) {
        return;
    }
    desk->beat_at_ms = now_ms;
    desk->beat_question.on_answer = desk_on_beat;
    warm_desk_words(desk, &words, verb);
    words.at[WARM_BORN_WORD] = (struct slice){0}; /* whatever queue there is */
    (void)!warm_desk_ask(desk, &desk->beat_question, &words);
}

/* --- life ------------------------------------------------------------------------------------------------------------ */

static void desk_on_left(struct warm_question *question, enum status status,
                         struct warm_answer *answer)
{
    (void)question;
    (void)status;
    (void)answer;
}

static void desk_give_back(struct warm_desk *desk)
{
    struct warm_words words;
    while (!list_empty(&desk->rows)) {
        warm_row_drop(LIST_ENTRY(desk->rows.next, struct warm_row, in_desk));
    }
    if (!desk->has_left && !desk->beat_question.is_asked) {
        warm_desk_words(desk, &words, "LEAVE");
        desk->beat_question.on_answer = desk_on_left;
        desk->has_left = warm_desk_ask(desk, &desk->beat_question, &words) == OK;
    }
}

static void desk_rest(struct warm_desk *desk)
{
    desk_give_back(desk);
    standing_rest(desk->standing);
    desk_count_states(desk);
    if (desk->has_left) {
        desk_beat(desk, "LOOK");
    }
}

void warm_desk_tick(struct warm_desk *desk)
{
    if (desk == NULL || desk->stopped || desk->worker->window == NULL) {
        return;
    }
    const struct live *live = &desk->worker->node->live;
    desk_sweep_dropped(desk);
    const bool takes_part = !atomic_load(&live->draining) && atomic_load(&live->warm_rate) != 0;
    atomic_store(&desk->shown_takes_part, takes_part);
    if (!takes_part) {
        desk_rest(desk);
        return;
    }
    if (desk->has_left) {
        desk->has_left = false;
        desk->version = WARM_VERSION_NONE;
    }
    desk_beat(desk, "BEAT");
    warm_work_look(desk);
    struct list *next = NULL;
    for (struct list *node = desk->rows.next; node != &desk->rows; node = next) {
        struct warm_row *row = LIST_ENTRY(node, struct warm_row, in_desk);
        next = node->next;
        warm_produce_tick(row);
    }
    for (struct list *node = desk->rows.next; node != &desk->rows; node = next) {
        struct warm_row *row = LIST_ENTRY(node, struct warm_row, in_desk);
        next = node->next;
        warm_work_tick(row);
    }
    warm_work_turn(desk);
    desk_count_states(desk);
    standing_tick(desk->standing);
}

void warm_desk_leave(struct warm_desk *desk)
{
    if (desk != NULL && !desk->stopped && desk->worker->window != NULL) {
        desk_give_back(desk);
    }
}

void warm_desk_stop(struct warm_desk *desk)
{
    if (desk == NULL || desk->stopped) {
        return;
    }
    desk->stopped = true;
    standing_stop(desk->standing);
    while (!list_empty(&desk->rows)) {
        warm_row_drop(LIST_ENTRY(desk->rows.next, struct warm_row, in_desk));
    }
}

struct warm_desk *warm_desk_new(struct worker *worker)
{
    struct warm_desk *desk = calloc(1, sizeof(*desk));
    if (desk == NULL) {
        return NULL;
    }
    desk->worker = worker;
    desk->version = WARM_VERSION_NONE;
    own_script_init(&desk->script, slice_of(warm_script));
    list_init(&desk->rows);
    list_init(&desk->dropped);
    list_init(&desk->sources);
    desk->standing = standing_new(desk);
    if (desk->standing == NULL) {
        free(desk);
        return NULL;
    }
    return desk;
}

void warm_desk_free(struct warm_desk *desk)
{
    if (desk == NULL) {
        return;
    }
    desk_sweep_dropped(desk);
    CHECK(list_empty(&desk->rows) && list_empty(&desk->dropped));
    map_done(&desk->ids);
    warm_queue_done(&desk->queue);
    standing_free(desk->standing);
    free(desk);
}

void warm_desk_describe(const struct warm_desk *desk, struct warm_description *ret)
{
    *ret = (struct warm_description){0};
    if (desk != NULL) {
        ret->queued = atomic_load(&desk->shown[0]);
        ret->running = atomic_load(&desk->shown[1]);
        ret->paused = atomic_load(&desk->shown[2]);
        ret->open = atomic_load(&desk->shown[3]);
        ret->slots = atomic_load(&desk->shown[4]);
        ret->takes_part = atomic_load(&desk->shown_takes_part);
        standing_describe(desk->standing, &ret->standing);
    }
}
