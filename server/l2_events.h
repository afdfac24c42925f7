/* SPDX-License-Identifier: BSD-3-Clause */
/* l2_events.h -- what the log hears of L2 and of coherence: a link that is lost, a change of state, a doubt, an envelope where
 * none should be.
 *
 * Changes are events, and so is whatever was found missing or wrong, even if it was healed before anybody looked: one line
 * per look, whatever many there were. While L2 is away one attempt follows another, so the same loss is told again after a
 * minute at the earliest, with how often it was true meanwhile.
 *
 * Threads: the control loop's. */
#ifndef TERRACE_SERVER_L2_EVENTS_H
#define TERRACE_SERVER_L2_EVENTS_H

#include "tiers/l2_url.h"

#include <stdbool.h>
#include <stdint.h>

struct link;
struct node;

enum {
    L2_LOSS_MAX = L2_URL_ADDRESS_MAX + 200
};

/* The last loss of one link. */
struct l2_loss {
    char text[L2_LOSS_MAX]; /* "": the link worked since */
    int64_t at_ms;
    unsigned times;
};

/* Zeros at first. */
struct l2_events {
    struct l2_loss control;
    struct l2_loss bus;
    const char *state; /* of coherence, as it was told */
    uint64_t doubts;
    bool untracked;
    int64_t sighted_at_ms; /* envelopes in plain namespaces were told of last; 0: never */
};

/* `event` names the link. */
void l2_events_lost(struct l2_loss *loss, struct node *node, const char *event,
                    const struct link *link, const char *why, int64_t now_ms);
/* It works. */
static inline void l2_events_found(struct l2_loss *loss)
{
    loss->text[0] = '\0';
}
/* What has changed since the last look. */
void l2_events_look(struct l2_events *events, struct node *node, int64_t now_ms);

#endif
