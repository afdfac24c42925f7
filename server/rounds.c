/* SPDX-License-Identifier: BSD-3-Clause */
#include "server/rounds.h"

#include "protocol/check.h"
#include "server/node.h"
#include "server/worker.h"

#include <stdlib.h>

struct round_letter {
    struct letter letter; /* first: it is cast back */
    struct rounds *rounds;
};

struct rounds {
    struct node *node;
    struct mailbox *control;
    void (*on_done)(void *arg);
    void *arg;
    round_step *step;
    unsigned waiting; /* workers that have not answered */
    struct round_letter letters[];
};

struct rounds *rounds_new(struct node *node, struct mailbox *control, void (*on_done)(void *arg),
                          void *arg)
{
    struct rounds *rounds =
        calloc(1, sizeof(*rounds) + node->worker_count * sizeof(rounds->letters[0]));
    if (rounds != NULL) {
        rounds->node = node;
        rounds->control = control;
        rounds->on_done = on_done;
        rounds->arg = arg;
    }
    return rounds;
}

void rounds_free(struct rounds *rounds)
{
    free(rounds);
}

bool round_is_under_way(const struct rounds *rounds)
{
    return rounds->waiting > 0;
}

static void round_on_answer(struct letter *letter, void *owner)
{
    struct rounds *rounds = ((struct round_letter *)(void *)letter)->rounds;
    (void)owner;
    if (--rounds->waiting == 0) {
        rounds->on_done(rounds->arg);
    }
}

static void round_on_worker(struct letter *letter, void *owner)
{
    const struct rounds *rounds = ((struct round_letter *)(void *)letter)->rounds;
    rounds->step(owner, rounds->arg);
    letter->open = round_on_answer;
    CHECK(mailbox_post_urgent(rounds->control, letter) == OK);
}

void round_begin(struct rounds *rounds, round_step *step)
{
    const unsigned count = rounds->node->worker_count;
    CHECK(rounds->waiting == 0);
    rounds->waiting = count;
    rounds->step = step;
    for (unsigned i = 0; i < count; i++) {
        struct round_letter *letter = &rounds->letters[i];
        *letter = (struct round_letter){.letter = {.open = round_on_worker}, .rounds = rounds};
        CHECK(mailbox_post_urgent(&rounds->node->workers[i]->mailbox, &letter->letter) == OK);
    }
}
