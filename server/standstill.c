/* SPDX-License-Identifier: BSD-3-Clause */
#include "server/standstill.h"

#include "protocol/check.h"
#include "server/node.h"
#include "server/worker.h"

#include <stdlib.h>

struct stop_letter {
    struct letter letter;
    struct standstill *standstill;
};

struct standstill {
    struct node *node;
    struct mailbox *control;
    void (*work)(void *arg);
    void *arg;
    bool busy;                 /* the control loop's */
    struct letter arrived;     /* all stand still */
    struct stop_letter *stops; /* one per worker */
    pthread_mutex_t lock;
    pthread_cond_t go_on;
    unsigned moving; /* workers that do not stand yet; under lock, as below */
    uint64_t turn;   /* of the standstill that began last */
    /* Of the one that ended last: whoever stood for it may wake when the next has begun. */
    uint64_t ended;
};

/* On the control loop. */
static void on_all_stand(struct letter *letter, void *owner)
{
    struct standstill *standstill = LIST_ENTRY(letter, struct standstill, arrived);
    (void)owner;
    standstill->work(standstill->arg);
    standstill->busy = false;
    CHECK(pthread_mutex_lock(&standstill->lock) == 0);
    standstill->ended = standstill->turn;
    CHECK(pthread_cond_broadcast(&standstill->go_on) == 0);
    CHECK(pthread_mutex_unlock(&standstill->lock) == 0);
}

static void on_stop(struct letter *letter, void *owner)
{
    struct standstill *standstill = ((struct stop_letter *)(void *)letter)->standstill;
    worker_stand_still(owner);
    CHECK(pthread_mutex_lock(&standstill->lock) == 0);
    if (--standstill->moving == 0) {
        standstill->arrived.open = on_all_stand;
        CHECK(mailbox_post_urgent(standstill->control, &standstill->arrived) ==
              OK); /* control ends after its workers */
    }
    const uint64_t turn = standstill->turn;
    while (standstill->ended < turn) {
        CHECK(pthread_cond_wait(&standstill->go_on, &standstill->lock) == 0);
    }
    CHECK(pthread_mutex_unlock(&standstill->lock) == 0);
}

struct standstill *standstill_new(struct node *node, struct mailbox *control)
{
    struct standstill *standstill = calloc(1, sizeof(*standstill));
    struct stop_letter *stops = calloc(node->worker_count, sizeof(*stops));
    if (standstill == NULL || stops == NULL) {
        free(standstill);
        free(stops);
        return NULL;
    }
    standstill->node = node;
    standstill->control = control;
    standstill->stops = stops;
    CHECK(pthread_mutex_init(&standstill->lock, NULL) == 0);
    CHECK(pthread_cond_init(&standstill->go_on, NULL) == 0);
    return standstill;
}

bool standstill_is_under_way(const struct standstill *standstill)
{
    return standstill->busy;
}

void standstill_free(struct standstill *standstill)
{
    if (standstill != NULL) {
        CHECK(pthread_cond_destroy(&standstill->go_on) == 0);
        CHECK(pthread_mutex_destroy(&standstill->lock) == 0);
        free(standstill->stops);
        free(standstill);
    }
}

enum status standstill_begin(struct standstill *standstill, void (*work)(void *arg), void *arg)
{
    const unsigned count = standstill->node->worker_count;
    if (standstill->busy) {
        return BUSY;
    }
    standstill->busy = true;
    standstill->work = work;
    standstill->arg = arg;
    CHECK(pthread_mutex_lock(&standstill->lock) == 0);
    standstill->moving = count;
    standstill->turn++;
    CHECK(pthread_mutex_unlock(&standstill->lock) == 0);
    for (unsigned i = 0; i < count; i++) {
        standstill->stops[i] =
            (struct stop_letter){.letter = {.open = on_stop}, .standstill = standstill};
        CHECK(mailbox_post_urgent(&standstill->node->workers[i]->mailbox,
                                  &standstill->stops[i].letter) == OK);
    }
    return OK;
}
