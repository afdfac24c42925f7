/* SPDX-License-Identifier: BSD-3-Clause */
/* warm_question.c -- questions to the script: how they are asked, and what any answer may tell of the queue itself. */
#include "protocol/check.h"
#include "server/node.h"
#include "server/warm_desk_inner.h"
#include "server/worker.h"
#include "tiers/tiers.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

enum {
    MEND_MS = 1000,
    TROUBLE_MS = 60000
};

static bool is_wrong_type(struct slice text)
{
    return memmem(text.data, text.size, "WRONGTYPE", 9) != NULL;
}

static void desk_on_mended(struct warm_question *question, enum status status,
                           struct warm_answer *answer)
{
    struct warm_desk *desk = question->desk;
    if (status == OK) {
        log_write(&desk->worker->node->log, LOG_WARNING, "warm_mended",
                  "somebody else wrote terrace:warm:*; keys that were removed: %" PRId64,
                  warm_answer_number(answer));
    }
}

/* Keys of the queue have types that others gave them: they go, or it would never work again. */
static void desk_mend(struct warm_desk *desk)
{
    struct warm_words words;
    if (desk->mend_question.is_asked || desk->worker->now_ms < desk->mended_at_ms + MEND_MS) {
        return;
    }
    desk->mended_at_ms = desk->worker->now_ms;
    desk->mend_question.on_answer = desk_on_mended;
    warm_desk_words(desk, &words, "MEND");
    (void)!warm_desk_ask(desk, &desk->mend_question, &words);
}

/* Where one verb is refused and another is not, it is trouble and well in turns: that is told once. */
static void desk_note_trouble(struct warm_desk *desk, enum status status, struct slice text)
{
    const int64_t now_ms = desk->worker->now_ms;
    if (status == OK || status == L2_DOWN) {
        return;
    }
    const bool is_told = desk->trouble_at_ms != 0 && now_ms - desk->trouble_at_ms < TROUBLE_MS;
    desk->trouble_at_ms = now_ms;
    if (!is_told) {
        log_write(&desk->worker->node->log, LOG_WARNING, "warm_queue_trouble",
                  "the queue of warm jobs in L2 answers: %.*s",
                  (int)(text.size < 160 ? text.size : 160), text.data);
    }
}

/* Another queue than the one that was known: what this node knew of jobs is void. */
void warm_desk_is_born(struct warm_desk *desk, struct slice born)
{
    if (slice_is(born, desk->born) || born.size >= sizeof(desk->born)) {
        return;
    }
    if (desk->born[0] != '\0') {
        log_write(&desk->worker->node->log, LOG_WARNING, "warm_queue_lost",
                  "L2 has lost the queue of warm jobs (a flush, or a restart without its data); "
                  "what was in it is gone");
    }
    memcpy(desk->born, born.data, born.size);
    desk->born[born.size] = '\0';
    desk->version = WARM_VERSION_NONE;
    desk->standing_version = -1;
    desk->forgets = desk->take_question.is_asked;
    while (!list_empty(&desk->rows)) {
        warm_row_drop(LIST_ENTRY(desk->rows.next, struct warm_row, in_desk));
    }
}

static void desk_on_reply(struct script_ask *ask, enum status status, struct slice reply)
{
    struct warm_question *question = (struct warm_question *)(void *)ask;
    struct warm_desk *desk = question->desk;
    struct warm_answer answer = {0};
    worker_read_clock(desk->worker);
    question->is_asked = false;
    if (status == OK) {
        status = warm_answer_read(reply, &answer);
    } else if (status != NO_MEMORY) {
        status = L2_DOWN;
    }
    desk_note_trouble(desk, status, answer.word);
    if (status == L2_ERROR && is_wrong_type(answer.word)) {
        desk_mend(desk);
    }
    if (status == OK && slice_is(answer.word, "GONE") && answer.count == 1) {
        struct warm_answer born = answer;
        warm_desk_is_born(desk, warm_answer_text(&born));
    }
    question->on_answer(question, status, &answer);
}

void warm_desk_words(struct warm_desk *desk, struct warm_words *words, const char *verb)
{
    const struct node *node = desk->worker->node;
    if (desk->node[0] == '\0') {
        (void)snprintf(desk->node, sizeof(desk->node), "%016" PRIx64 " %s", node->id,
                       node->address);
    }
    warm_words_begin(words, tiers_coherence_db(node->tiers), verb, slice_of(desk->born),
                     slice_of(desk->node));
}

enum status warm_desk_ask(struct warm_desk *desk, struct warm_question *question,
                          struct warm_words *words)
{
    CHECK(!question->is_asked);
    if (desk->stopped) {
        return L2_DOWN;
    }
    question->desk = desk;
    question->ask.on_reply = desk_on_reply;
    const enum status status =
        script_ask(desk->worker->window, &desk->script, &question->ask, words->at, words->count);
    question->is_asked = status == OK;
    return status;
}
