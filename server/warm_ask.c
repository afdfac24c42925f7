/* SPDX-License-Identifier: BSD-3-Clause */
/* warm_ask.c -- what clients want of the queue: by letter to the desk, a question to the script, and back. */
#include "server/node.h"
#include "server/warm_desk_inner.h"
#include "server/warm_json.h"
#include "server/warm_parse.h"
#include "server/worker.h"
#include "tiers/tiers.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define WARM_ERROR_ENDING "L2DOWN this node is ending"

/* A call while L2 is asked. */
struct asked_call {
    struct warm_question question; /* first */
    struct warm_call *call;
};

/* --- the way back ---------------------------------------------------------------------------------------------------- */

static void call_on_home(struct letter *letter, void *owner)
{
    struct warm_call *call = (struct warm_call *)(void *)letter;
    struct warm_status *statuses = call->statuses;
    struct buf memory = call->memory;
    struct buf nodes = call->nodes;
    (void)owner;
    call->on_answer(call, call->error[0] == '\0' ? NULL : call->error, statuses, call->count);
    free(statuses); /* the call may be gone */
    buf_done(&memory);
    buf_done(&nodes);
}

static void call_answer(struct warm_call *call)
{
    call->letter.open = call_on_home;
    if (mailbox_post_urgent(call->home, &call->letter) != OK) {
        free(call->statuses); /* that loop has ended, and its calls with it */
        buf_done(&call->memory);
        buf_done(&call->nodes);
    }
}

static void call_fail(struct warm_call *call, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
static void call_fail(struct warm_call *call, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    (void)vsnprintf(call->error, sizeof(call->error), format, arguments);
    va_end(arguments);
    for (char *c = call->error; *c != '\0'; c++) {
        *c = *c == '\r' || *c == '\n' ? ' ' : *c;
    }
    call_answer(call);
}

/* --- what the script said -------------------------------------------------------------------------------------------- */

static bool changes(enum warm_verb verb)
{
    return verb != WARM_LIST && verb != WARM_STATUS;
}

static void fail_by_status(struct warm_desk *desk, struct warm_call *call, enum status status,
                           struct slice text)
{
    const int size = (int)(text.size < 200 ? text.size : 200);
    if (status == L2_ERROR && text.size > 5 && memcmp(text.data, "BUSY ", 5) == 0) {
        call_fail(call, "%.*s", size, text.data);
    } else if (status == L2_ERROR && memmem(text.data, text.size, "WRONGTYPE", 9) != NULL) {
        call_fail(call, WARM_ERROR_SPOILT "; what is wrong is removed now");
    } else if (status == L2_ERROR) {
        call_fail(call, "ERR L2 says: %.*s", size, text.data);
    } else if (status == L2_DOWN && changes(call->verb)) {
        call_fail(call, "UNKNOWN L2 did not answer (%s); it may or may not have been done",
                  tiers_why_down(desk->worker->window));
    } else if (status == L2_DOWN) {
        call_fail(call, "L2DOWN L2 cannot be asked: %s", tiers_why_down(desk->worker->window));
    } else if (status == NO_MEMORY) {
        call_fail(call, "OOM no memory");
    } else {
        call_fail(call, "ERR L2 answers what is not understood");
    }
}

static void give_id(struct warm_call *call, uint64_t id)
{
    call->statuses = calloc(1, sizeof(*call->statuses));
    if (call->statuses == NULL) {
        call_fail(call, "OOM no memory; it is job %" PRIu64, id);
        return;
    }
    call->statuses[0].id = id;
    call->count = 1;
    call_answer(call);
}

static void ask_show(struct warm_desk *desk, struct warm_call *call, uint64_t below);

/* Of all jobs there may be more. */
static void call_show(struct warm_desk *desk, struct warm_call *call, struct warm_answer *answer)
{
    uint64_t below = 0;
    const enum status status = warm_show_read(desk, answer, call, &below);
    if (status != OK) {
        fail_by_status(desk, call, status, (struct slice){0});
    } else if (call->verb == WARM_LIST && below > 0) {
        ask_show(desk, call, below);
    } else {
        warm_show_end(call);
        call_answer(call);
    }
}

static void call_done(struct warm_desk *desk, struct warm_call *call, struct warm_answer *answer)
{
    switch (call->verb) {
    case WARM_SUBMIT:
    case WARM_REGISTER:
    case WARM_PUT: give_id(call, warm_answer_count(answer)); return;
    case WARM_LIST:
    case WARM_STATUS: call_show(desk, call, answer); return;
    case WARM_PAUSE:
    case WARM_RESUME:
    case WARM_CANCEL:
    case WARM_SETRATE: give_id(call, call->id); return;
    }
}

static void call_on_answer(struct warm_question *question, enum status status,
                           struct warm_answer *answer)
{
    struct asked_call *asked = (struct asked_call *)(void *)question;
    struct warm_desk *desk = question->desk;
    struct warm_call *call = asked->call;
    free(asked);
    desk->calls--;
    if (status != OK) {
        fail_by_status(desk, call, status, answer->word);
    } else if (slice_is(answer->word, "GONE") &&
               (call->verb == WARM_SUBMIT || call->verb == WARM_REGISTER)) {
        call_fail(call, "BUSY L2 has just lost the queue of warm jobs; submit it again");
    } else if (slice_is(answer->word, "GONE")) {
        call_fail(call, WARM_ERROR_NO_JOB);
    } else if (slice_is(answer->word, "ENDED")) {
        const struct slice state = warm_answer_text(answer);
        call_fail(call, WARM_ERROR_ENDED ": %.*s", (int)(state.size < 20 ? state.size : 20),
                  state.data);
    } else {
        const bool changed = changes(call->verb);
        call_done(desk, call, answer);
        if (changed && !desk->stopped) {
            warm_desk_take(desk);
        }
    }
}

/* --- questions ------------------------------------------------------------------------------------------------------- */

static void ask(struct warm_desk *desk, struct warm_call *call, struct warm_words *words)
{
    struct asked_call *asked = malloc(sizeof(*asked));
    if (asked == NULL) {
        call_fail(call, "OOM no memory");
        return;
    }
    *asked = (struct asked_call){.question = {.on_answer = call_on_answer}, .call = call};
    const enum status status = warm_desk_ask(desk, &asked->question, words);
    if (status == OK) {
        desk->calls++;
        return;
    }
    free(asked);
    if (status == L2_DOWN) {
        call_fail(call, "L2DOWN L2 cannot be asked: %s", tiers_why_down(desk->worker->window));
    } else if (status == BUSY) {
        call_fail(call, "BUSY too many requests wait for L2");
    } else {
        call_fail(call, "OOM no memory");
    }
}

static void pair(struct warm_words *words, const char *name, struct slice text)
{
    warm_word(words, slice_of(name));
    warm_word(words, text);
}

static void pair_number(struct warm_words *words, const char *name, int64_t number)
{
    warm_word(words, slice_of(name));
    warm_word_number(words, number);
}

/* What a standing job's times are called. */
static void describe_schedule(const struct warm_job *job, char dst[WARM_SOURCE_TEXT_MAX])
{
    if (job->schedule != NULL) {
        (void)snprintf(dst, WARM_SOURCE_TEXT_MAX, "%s", job->schedule);
    } else if (job->before_expiry_percent != 0) {
        (void)snprintf(dst, WARM_SOURCE_TEXT_MAX, "before expiry %d%%", job->before_expiry_percent);
    } else {
        dst[0] = '\0';
    }
}

/* How many keys there will be, or of what the script counts them. */
static void pair_total(struct warm_words *words, const struct warm_job *job)
{
    if (job->source == WARM_KEYS) {
        pair_number(words, "expected", (int64_t)job->key_count);
    } else if (job->source == WARM_SET || job->source == WARM_ZSET) {
        pair(words, "counts", slice_of(job->source == WARM_SET ? "SCARD" : "ZCARD"));
        pair(words, "counted", (struct slice){job->text, job->text_size});
    }
}

/* `due_ms`: of a standing job, when it submits first; 0: not by the clock. -1: it is none. */
static void ask_submit(struct warm_desk *desk, struct warm_call *call, const struct warm_job *job,
                       int64_t due_ms)
{
    struct warm_words words;
    char source[WARM_SOURCE_TEXT_MAX];
    char schedule[WARM_SOURCE_TEXT_MAX];
    warm_job_describe(job, source);
    describe_schedule(job, schedule);
    warm_desk_words(desk, &words, "SUBMIT");
    warm_word(&words, call->json);
    warm_word_number(&words, (int64_t)WARM_QUEUE_BYTES);
    warm_word_number(&words, WARM_JOBS_MAX);
    if (due_ms < 0) {
        warm_word(&words, (struct slice){0});
    } else {
        warm_word_number(&words, due_ms);
    }
    pair(&words, "source", slice_of(source));
    pair(&words, "target", slice_of(warm_target_name(job->target)));
    pair(&words, "mode", slice_of(warm_mode_name(job->mode)));
    pair(&words, "schedule", slice_of(schedule));
    pair_number(&words, "bound", warm_source_is_bound(job->source));
    pair_number(&words, "priority", job->priority);
    pair_number(&words, "rate", (int64_t)job->rate);
    pair_number(&words, "life", job->deadline_s);
    pair_number(&words, "db", job->db);
    pair_number(&words, "dry", job->dry);
    pair_number(&words, "before", job->before_expiry_percent);
    pair_number(&words, "n", (int64_t)job->n);
    pair_total(&words, job);
    ask(desk, call, &words);
}

/* A SUBMIT or REGISTER while its JSON is read. */
struct submission {
    struct warm_parse parse; /* first */
    struct warm_desk *desk;
    struct warm_call *call;
};

static void submit_job(struct warm_desk *desk, struct warm_call *call, const struct warm_job *job)
{
    const bool stands = job->schedule != NULL || job->before_expiry_percent != 0;
    if (call->verb == WARM_PUT) {
        call->verb = stands ? WARM_REGISTER : WARM_SUBMIT;
    }
    if (atomic_load(&desk->worker->node->live.warm_rate) == 0 && job->target == WARM_SELF) {
        call_fail(call, "ERR $.target: this node warms nothing (warm-rate 0)");
    } else if (call->verb == WARM_SUBMIT && stands) {
        call_fail(call, "ERR $.%s: only with CACHE.WARM REGISTER",
                  job->schedule != NULL ? "schedule" : "before_expiry");
    } else if (call->verb == WARM_REGISTER && !stands) {
        call_fail(call, "ERR $.schedule: a schedule as \"every 5m\", or $.before_expiry");
    } else if (call->verb == WARM_SUBMIT) {
        ask_submit(desk, call, job, -1);
    } else {
        ask_submit(desk, call, job,
                   standing_first_ms(job, desk->worker->now_ms + desk->redis_ahead_ms));
    }
}

static void submit_on_parsed(struct warm_parse *parse)
{
    struct submission *submission = (struct submission *)(void *)parse;
    struct warm_desk *desk = submission->desk;
    struct warm_call *call = submission->call;
    struct warm_job *job = &parse->job;
    enum status status = parse->status;
    worker_read_clock(desk->worker);
    desk->calls--;
    if (status == OK && job->before_expiry_percent == 0) { /* else it has no run, and no source */
        status = warm_source_check(desk->worker, job, parse->error);
    }
    if (desk->stopped) {
        call_fail(call, WARM_ERROR_ENDING);
    } else if (status == INVALID) {
        call_fail(call, "ERR %.240s", parse->error);
    } else if (status != OK) {
        call_fail(call, "OOM no memory");
    } else {
        submit_job(desk, call, job);
    }
    warm_job_done(job);
    free(submission);
}

static void submit(struct warm_desk *desk, struct warm_call *call)
{
    struct submission *submission = calloc(1, sizeof(*submission));
    if (submission == NULL) {
        call_fail(call, "OOM no memory");
        return;
    }
    *submission = (struct submission){
        .parse = {.json = call->json, .on_parsed = submit_on_parsed}, .desk = desk, .call = call};
    desk->calls++;
    if (warm_parse(desk->worker, &submission->parse) == OK) {
        submit_on_parsed(&submission->parse);
    }
}

static void ask_change(struct warm_desk *desk, struct warm_call *call, const char *what)
{
    struct warm_words words;
    warm_desk_words(desk, &words, "CHANGE");
    warm_word_number(&words, (int64_t)call->id);
    warm_word(&words, slice_of(what));
    warm_word_number(&words, (int64_t)call->rate);
    ask(desk, call, &words);
}

/* `below`: of all jobs those whose number is less; 0: any. */
static void ask_show(struct warm_desk *desk, struct warm_call *call, uint64_t below)
{
    struct warm_words words;
    warm_desk_words(desk, &words, "SHOW");
    if (call->verb == WARM_STATUS) {
        warm_word_number(&words, (int64_t)call->id);
    } else {
        warm_word(&words, (struct slice){0});
    }
    warm_word_number(&words, (int64_t)below);
    ask(desk, call, &words);
}

static void call_on_desk(struct letter *letter, void *owner)
{
    struct warm_call *call = (struct warm_call *)(void *)letter;
    struct worker *worker = owner;
    struct warm_desk *desk = worker->warm_desk;
    worker_read_clock(worker);
    call->error[0] = '\0';
    call->statuses = NULL;
    call->count = 0;
    call->memory = (struct buf){0};
    call->nodes = (struct buf){0};
    if (worker->node->tiers == NULL) {
        call_fail(call, WARM_ERROR_ALONE);
        return;
    }
    if (desk->stopped || worker->draining) {
        call_fail(call, WARM_ERROR_ENDING);
        return;
    }
    if (desk->calls >= WARM_CALLS_MAX) {
        call_fail(call, "BUSY %d calls about warm jobs are under way", WARM_CALLS_MAX);
        return;
    }
    switch (call->verb) {
    case WARM_SUBMIT:
    case WARM_REGISTER:
    case WARM_PUT: submit(desk, call); return;
    case WARM_LIST:
    case WARM_STATUS: ask_show(desk, call, 0); return;
    case WARM_PAUSE: ask_change(desk, call, "PAUSE"); return;
    case WARM_RESUME: ask_change(desk, call, "RESUME"); return;
    case WARM_CANCEL: ask_change(desk, call, "CANCEL"); return;
    case WARM_SETRATE: ask_change(desk, call, "SETRATE"); return;
    }
}

enum status warm_ask(struct node *node, struct warm_call *call)
{
    call->letter.open = call_on_desk;
    return mailbox_post(&node->workers[0]->mailbox, &call->letter);
}
