/* SPDX-License-Identifier: BSD-3-Clause */
#include "server/errand.h"

#include "server/control.h"
#include "server/node.h"
#include "server/worker.h"
#include "tiers/tiers.h"

static void errand_on_control(struct letter *letter, void *owner)
{
    struct errand *errand = (struct errand *)(void *)letter;
    (void)owner;
    errand->run(errand);
}

static void errand_on_home(struct letter *letter, void *owner)
{
    struct errand *errand = (struct errand *)(void *)letter;
    (void)owner;
    errand->done(errand);
}

enum status errand_send(struct errand *errand, struct worker *home)
{
    errand->home = home;
    errand->letter.open = errand_on_control;
    return mailbox_post(control_mailbox(home->node->control), &errand->letter);
}

enum status errand_send_urgent(struct errand *errand, struct worker *home)
{
    errand->home = home;
    errand->letter.open = errand_on_control;
    return mailbox_post_urgent(control_mailbox(home->node->control), &errand->letter);
}

void errand_back(struct errand *errand)
{
    errand->letter.open = errand_on_home;
    /* A worker's mailbox closes only after all waits have ended; then the process ends, too, and the errand with it. */
    (void)!mailbox_post_urgent(&errand->home->mailbox, &errand->letter);
}

static void bus_wait_on_done(struct coherence_waiter *waiter, enum status status)
{
    struct bus_wait *wait = LIST_ENTRY(waiter, struct bus_wait, waiter);
    struct metrics *metrics = wait->errand.home->node->metrics; /* the control loop's */
    metrics_count(metrics, status == OK        ? M_WAITS_OK
                           : status == TIMEOUT ? M_WAITS_TIMEOUT
                                               : M_WAITS_REFUSED);
    wait->status = status;
    errand_back(&wait->errand);
}

static void bus_wait_run(struct errand *errand)
{
    struct bus_wait *wait = (struct bus_wait *)(void *)errand;
    struct node *node = errand->home->node;
    wait->waiter.on_done = bus_wait_on_done;
    /* Read now: what was acknowledged to the asker was acknowledged before. */
    const int64_t now_ms = clock_now_ms(&node->clock);
    const enum status refusal = coherence_wait(tiers_coherence(node->tiers), &wait->waiter, now_ms);
    if (refusal != OK) {
        bus_wait_on_done(&wait->waiter, refusal);
    }
}

enum status bus_wait_send(struct bus_wait *wait, struct worker *home)
{
    wait->errand.run = bus_wait_run;
    return errand_send(&wait->errand, home);
}

static void question_on_reply(struct link_request *request, enum status status, struct slice reply)
{
    struct l2_question *question = LIST_ENTRY(request, struct l2_question, request);
    question->bytes.size = 0;
    question->status = status == OK ? buf_append_slice(&question->bytes, reply) : status;
    errand_back(&question->errand);
}

static void question_run(struct errand *errand)
{
    struct l2_question *question = (struct l2_question *)(void *)errand;
    struct node *node = errand->home->node;
    question->request = (struct link_request){
        .on_reply = question_on_reply,
        .deadline_ms = clock_now_ms(&node->clock) + atomic_load(&node->live.l2_timeout_ms),
    };
    question->status =
        control_ask_l2(node->control, &question->request, buf_slice(&question->bytes));
    if (question->status != OK) {
        errand_back(errand);
    }
}

enum status l2_question_send(struct l2_question *question, struct worker *home)
{
    question->errand.run = question_run;
    return errand_send(&question->errand, home);
}
