/* SPDX-License-Identifier: BSD-3-Clause */
#include "server/standing.h"

#include "server/early.h"
#include "server/node.h"
#include "server/warm_desk_inner.h"
#include "server/worker.h"
#include "tiers/foreseen.h"
#include "tiers/tiers.h"
#include "tiers/warm_schedule.h"

#include <inttypes.h>
#include <stdlib.h>

enum {
    LIST_MS = 60000 /* between looks, even if nothing has changed */
};

struct standing_job {
    uint64_t id;
    int64_t due_ms; /* Redis' time; 0: not by the clock */
    struct warm_schedule schedule;
};

struct standing {
    struct warm_desk *desk;
    struct early *early;
    bool stopped;
    bool wants_list;
    int64_t listed_at_ms;
    int64_t list_after; /* the next page has those whose number is more; 0: the first */
    struct standing_job jobs[WARM_JOBS_MAX]; /* that go by the clock and are not paused */
    size_t count;
    struct early_job early_jobs[EARLY_JOBS_MAX];
    size_t early_count;
    struct warm_question list_question;
    struct warm_question fire_question;
    uint64_t fired_id;
    int64_t fired_next_ms;
    struct warm_question tell_question;
    int64_t told_at_ms;
    size_t tell_at; /* the job whose figure is told next */
    _Atomic unsigned shown_jobs;
    _Atomic unsigned shown_keys;
    _Atomic uint64_t shown_fired;
};

static int64_t redis_now_ms(const struct standing *standing)
{
    return standing->desk->worker->now_ms + standing->desk->redis_ahead_ms;
}

int64_t standing_first_ms(const struct warm_job *job, int64_t redis_now_ms)
{
    struct warm_schedule schedule;
    char error[WARM_SCHEDULE_ERROR_MAX];
    if (job->schedule == NULL ||
        warm_schedule_parse(slice_of(job->schedule), &schedule, error) != OK) {
        return 0;
    }
    return warm_schedule_next(&schedule, redis_now_ms > 0 ? redis_now_ms : 0);
}

/* --- the list --------------------------------------------------------------------------------------------------------- */

/* id due state schedule before n db; what cannot be read is of another version, and others' */
static void list_add(struct standing *standing, struct warm_answer *row)
{
    const uint64_t id = warm_answer_count(row);
    const int64_t due_ms = warm_answer_number(row);
    const struct slice state = warm_answer_text(row);
    const struct slice text = warm_answer_text(row);
    const int64_t percent = warm_answer_number(row);
    const int64_t n = warm_answer_number(row);
    const int64_t db = warm_answer_number(row);
    struct warm_schedule schedule;
    char error[WARM_SCHEDULE_ERROR_MAX];
    if (!slice_is(state, "standing") || id == 0) {
        return;
    }
    if (percent > 0 && percent < 100 && n > 0 && db >= 0 && db < 16) {
        if (standing->early_count < EARLY_JOBS_MAX) {
            standing->early_jobs[standing->early_count++] = (struct early_job){
                .id = id, .n = (size_t)n, .percent = (int)percent, .db = (uint8_t)db};
        }
    } else if (due_ms > 0 && standing->count < WARM_JOBS_MAX &&
               warm_schedule_parse(text, &schedule, error) == OK) {
        standing->jobs[standing->count++] = (struct standing_job){id, due_ms, schedule};
    }
}

static enum status ask_page(struct standing *standing);

/* A page; those that are on others are there a moment later. */
static void standing_on_list(struct warm_question *question, enum status status,
                             struct warm_answer *answer)
{
    struct standing *standing = LIST_ENTRY(question, struct standing, list_question);
    struct warm_answer row;
    if (status != OK || !slice_is(answer->word, "OK")) {
        standing->wants_list = true;
        return;
    }
    if (standing->list_after == 0) {
        standing->count = 0;
        standing->early_count = 0;
    }
    standing->list_after = warm_answer_number(answer);
    while (answer->count > 0) {
        if (warm_answer_array(answer, &row)) {
            list_add(standing, &row);
        }
    }
    if (standing->list_after > 0) {
        standing->wants_list = ask_page(standing) != OK || standing->wants_list;
    } else if (!standing->stopped) {
        early_set_jobs(standing->early, standing->early_jobs, standing->early_count);
    }
}

static enum status ask_page(struct standing *standing)
{
    struct warm_words words;
    standing->list_question.on_answer = standing_on_list;
    warm_desk_words(standing->desk, &words, "STANDING");
    warm_word_number(&words, standing->list_after);
    return warm_desk_ask(standing->desk, &standing->list_question, &words);
}

static void ask_list(struct standing *standing)
{
    const int64_t now_ms = standing->desk->worker->now_ms;
    if (standing->list_question.is_asked ||
        (!standing->wants_list && now_ms < standing->listed_at_ms + LIST_MS)) {
        return;
    }
    standing->listed_at_ms = now_ms;
    standing->list_after = 0;
    standing->wants_list = ask_page(standing) != OK;
}

void standing_changed(struct standing *standing)
{
    standing->wants_list = true;
}

/* --- by the clock ------------------------------------------------------------------------------------------------------- */

static struct standing_job *find(struct standing *standing, uint64_t id)
{
    for (size_t i = 0; i < standing->count; i++) {
        if (standing->jobs[i].id == id) {
            return &standing->jobs[i];
        }
    }
    return NULL;
}

/* OK: this node has submitted the run. Else another one has, or it was left out: it is due next all the same. */
static void standing_on_fired(struct warm_question *question, enum status status,
                              struct warm_answer *answer)
{
    struct standing *standing = LIST_ENTRY(question, struct standing, fire_question);
    struct standing_job *job = find(standing, standing->fired_id);
    if (status == L2_ERROR) { /* BUSY: no room; the script has set the next time before it looked */
        log_write(&standing->desk->worker->node->log, LOG_WARNING, "warm_standing",
                  "job=%" PRIu64 " a run is left out: %.*s", standing->fired_id,
                  (int)(answer->word.size < 160 ? answer->word.size : 160), answer->word.data);
    } else if (status != OK) {
        return; /* it is due still */
    }
    if (status == OK && slice_is(answer->word, "OK")) {
        atomic_fetch_add(&standing->shown_fired, 1);
        warm_desk_take(standing->desk);
    }
    if (job != NULL) {
        job->due_ms = standing->fired_next_ms;
    }
}

static void fire(struct standing *standing)
{
    struct warm_words words;
    const int64_t now_ms = redis_now_ms(standing);
    for (size_t i = 0; i < standing->count && !standing->fire_question.is_asked; i++) {
        struct standing_job *job = &standing->jobs[i];
        if (job->due_ms > now_ms) {
            continue;
        }
        standing->fired_id = job->id;
        standing->fired_next_ms = warm_schedule_next(&job->schedule, now_ms);
        standing->fire_question.on_answer = standing_on_fired;
        warm_desk_words(standing->desk, &words, "FIRE");
        warm_word_number(&words, (int64_t)job->id);
        warm_word_number(&words, job->due_ms);
        warm_word_number(&words, standing->fired_next_ms);
        warm_word_number(&words, (int64_t)WARM_QUEUE_BYTES);
        warm_word_number(&words, WARM_JOBS_MAX);
        if (warm_desk_ask(standing->desk, &standing->fire_question, &words) != OK) {
            return;
        }
    }
}

/* --- before expiry ------------------------------------------------------------------------------------------------------ */

static void standing_on_told(struct warm_question *question, enum status status,
                             struct warm_answer *answer)
{
    (void)question;
    (void)status;
    (void)answer;
}

/* One job's figure at a time. */
static void tell(struct standing *standing)
{
    struct warm_words words;
    const int64_t now_ms = standing->desk->worker->now_ms;
    if (standing->tell_question.is_asked || now_ms < standing->told_at_ms + STANDING_TELL_MS) {
        return;
    }
    for (; standing->tell_at < standing->early_count; standing->tell_at++) {
        const uint64_t id = standing->early_jobs[standing->tell_at].id;
        const uint64_t misses =
            foreseen_take(tiers_foreseen(standing->desk->worker->node->tiers), id);
        if (misses == 0) {
            continue;
        }
        standing->tell_question.on_answer = standing_on_told;
        warm_desk_words(standing->desk, &words, "PREVENTED");
        warm_word_number(&words, (int64_t)id);
        warm_word_number(&words, (int64_t)misses);
        (void)!warm_desk_ask(standing->desk, &standing->tell_question, &words);
        standing->tell_at++;
        return;
    }
    standing->tell_at = 0;
    standing->told_at_ms = now_ms;
}

/* --- life ----------------------------------------------------------------------------------------------------------------- */

void standing_tick(struct standing *standing)
{
    if (standing->stopped) {
        return;
    }
    ask_list(standing);
    fire(standing);
    early_tick(standing->early);
    tell(standing);
    atomic_store(&standing->shown_keys, (unsigned)early_keys(standing->early));
}

void standing_rest(struct standing *standing)
{
    standing->count = 0;
    standing->early_count = 0;
    standing->wants_list = true;
    early_set_jobs(standing->early, NULL, 0);
    atomic_store(&standing->shown_keys, 0);
}

void standing_stop(struct standing *standing)
{
    standing->stopped = true;
    standing->count = 0;
    early_stop(standing->early);
}

struct standing *standing_new(struct warm_desk *desk)
{
    struct standing *standing = calloc(1, sizeof *standing);
    if (standing == NULL) {
        return NULL;
    }
    standing->desk = desk;
    standing->wants_list = true;
    standing->early = early_new(desk->worker);
    if (standing->early == NULL) {
        free(standing);
        return NULL;
    }
    return standing;
}

void standing_free(struct standing *standing)
{
    if (standing != NULL) {
        early_free(standing->early);
        free(standing);
    }
}

void standing_show_jobs(struct standing *standing, unsigned jobs)
{
    atomic_store(&standing->shown_jobs, jobs);
}

void standing_describe(const struct standing *standing, struct standing_description *ret)
{
    *ret = (struct standing_description){
        .jobs = atomic_load(&standing->shown_jobs),
        .early_keys = atomic_load(&standing->shown_keys),
        .fired = atomic_load(&standing->shown_fired),
    };
}
