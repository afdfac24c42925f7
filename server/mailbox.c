/* SPDX-License-Identifier: BSD-3-Clause */
#include "server/mailbox.h"

#include "protocol/check.h"
#include "protocol/limits.h"
#include "server/node.h"
#include "server/worker.h"

static void mailbox_open_letters(struct mailbox *mailbox)
{
    (void)pthread_mutex_lock(&mailbox->lock);
    struct letter *letter = mailbox->head;
    mailbox->head = NULL;
    mailbox->tail = NULL;
    mailbox->count = 0;
    (void)pthread_mutex_unlock(&mailbox->lock);
    while (letter != NULL) {
        struct letter *next = letter->next; /* opening may free or post the letter */
        letter->open(letter, mailbox->owner);
        letter = next;
    }
}

static void mailbox_on_async(uv_async_t *async)
{
    mailbox_open_letters(async->data);
}

void mailbox_open(struct mailbox *mailbox, uv_loop_t *loop, void *owner)
{
    *mailbox = (struct mailbox){.owner = owner};
    CHECK(pthread_mutex_init(&mailbox->lock, NULL) == 0);
    CHECK(uv_async_init(loop, &mailbox->async, mailbox_on_async) == 0);
    mailbox->async.data = mailbox;
}

void mailbox_close(struct mailbox *mailbox)
{
    (void)pthread_mutex_lock(&mailbox->lock);
    mailbox->closed = true;
    (void)pthread_mutex_unlock(&mailbox->lock);
    mailbox_open_letters(mailbox);
    uv_close((uv_handle_t *)&mailbox->async, NULL);
}

static enum status mailbox_put(struct mailbox *mailbox, struct letter *letter, unsigned limit)
{
    letter->next = NULL;
    (void)pthread_mutex_lock(&mailbox->lock);
    bool refused = mailbox->closed || mailbox->count >= limit;
    if (!refused) {
        if (mailbox->tail == NULL) {
            mailbox->head = letter;
        } else {
            mailbox->tail->next = letter;
        }
        mailbox->tail = letter;
        mailbox->count++;
        /* Under the lock, so that a closing mailbox is never signalled after its handle closed. */
        CHECK(uv_async_send(&mailbox->async) == 0);
    }
    (void)pthread_mutex_unlock(&mailbox->lock);
    return refused ? BUSY : OK;
}

enum status mailbox_post(struct mailbox *mailbox, struct letter *letter)
{
    return mailbox_put(mailbox, letter, LIMIT_MAILBOX);
}

enum status mailbox_post_urgent(struct mailbox *mailbox, struct letter *letter)
{
    return mailbox_put(mailbox, letter, UINT32_MAX);
}

/* --- tours ------------------------------------------------------------------------------------------------------- */

static void tour_on_done(struct letter *letter, void *owner)
{
    (void)owner;
    struct tour *tour = (struct tour *)(void *)letter;
    tour->done(tour);
}

static void tour_on_visit(struct letter *letter, void *owner);

/* To the next worker that is still there, and home at last. A worker that ends has closed its mailbox and is skipped;
 * if even home has, the process is ending and the tour with it. */
static void tour_travel(struct tour *tour)
{
    struct node *node = tour->home->node;
    while (tour->next < node->worker_count) {
        struct worker *worker = node->workers[tour->next++];
        tour->letter.open = tour_on_visit;
        if (mailbox_post_urgent(&worker->mailbox, &tour->letter) == OK) {
            return;
        }
    }
    tour->letter.open = tour_on_done;
    (void)!mailbox_post_urgent(&tour->home->mailbox, &tour->letter);
}

static void tour_on_visit(struct letter *letter, void *owner)
{
    struct tour *tour = (struct tour *)(void *)letter;
    tour->visit(tour, owner);
    tour_travel(tour);
}

void tour_start(struct tour *tour, struct worker *home)
{
    tour->home = home;
    tour->next = 0;
    tour_travel(tour);
}
