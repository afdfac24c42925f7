/* SPDX-License-Identifier: BSD-3-Clause */
#include "server/l2_events.h"

#include "server/node.h"
#include "tiers/link.h"
#include "tiers/sighting.h"
#include "tiers/tiers.h"

#include <stdio.h>
#include <string.h>

enum {
    TOLD_AGAIN_MS = 60000
};

void l2_events_lost(struct l2_loss *loss, struct node *node, const char *event,
                    const struct link *link, const char *why, int64_t now_ms)
{
    char address[L2_URL_ADDRESS_MAX];
    char text[L2_LOSS_MAX];
    l2_url_address(link_url(link), address);
    (void)snprintf(text, sizeof text, "%s: %s", address, why);
    loss->times++;
    if (strcmp(text, loss->text) == 0 && now_ms - loss->at_ms < TOLD_AGAIN_MS) {
        return;
    }
    if (strcmp(text, loss->text) != 0) {
        loss->times = 1;
    }
    log_write(&node->log, LOG_WARNING, event, "times=%u %s", loss->times, text);
    memcpy(loss->text, text, sizeof text);
    loss->at_ms = now_ms;
    loss->times = 0;
}

static void events_tracking(struct node *node, const struct coherence_description *seen)
{
    if (seen->tracks) {
        log_write(&node->log, LOG_NOTICE, "l2_tracks", "L2 announces changes again");
        return;
    }
    log_write(
        &node->log, LOG_WARNING, "l2_untracked",
        "L2 announces no changes: %s. Namespaces with writers = any fall to mode ttl (values live for their ttl, "
        "or if they have none for their bound); those with writers = nodes are coherent if nobody else writes",
        seen->untracked_why);
}

static void events_coherence(struct l2_events *events, struct node *node)
{
    struct tiers_description seen;
    tiers_describe(node->tiers, &seen);
    const struct coherence_description *coherence = &seen.coherence;
    if (coherence->doubts != events->doubts) {
        log_write(&node->log, LOG_WARNING, "coherence_doubt", "times=%llu %s",
                  (unsigned long long)(coherence->doubts - events->doubts), coherence->doubt);
        events->doubts = coherence->doubts;
    }
    if (events->untracked == coherence->tracks) {
        events->untracked = !coherence->tracks;
        events_tracking(node, coherence);
    }
    if (coherence->state == COHERENCE_SYNCED) {
        l2_events_found(&events->bus);
    }
    if (events->state == NULL || strcmp(events->state, coherence->state_name) != 0) {
        events->state = coherence->state_name;
        log_write(&node->log, LOG_NOTICE, "coherence", "%s%s%s", coherence->state_name,
                  coherence->reason[0] != '\0' ? " " : "", coherence->reason);
    }
}

/* The disagreement of nodes says so, too, if the node that manages them is still there. */
static void events_sightings(struct l2_events *events, struct node *node, int64_t now_ms)
{
    struct sighting seen;
    if ((events->sighted_at_ms == 0 || now_ms - events->sighted_at_ms >= TOLD_AGAIN_MS) &&
        sighting_take(tiers_sighting(node->tiers), &seen)) {
        events->sighted_at_ms = now_ms;
        log_write(&node->log, LOG_WARNING, "envelope_in_plain",
                  "namespace=%s key=%s times=%llu clients are shown what a node with another "
                  "configuration wrote: 'format = managed' is missing here, or was taken away",
                  seen.namespace, seen.key, (unsigned long long)seen.times);
    }
}

void l2_events_look(struct l2_events *events, struct node *node, int64_t now_ms)
{
    events_coherence(events, node);
    events_sightings(events, node, now_ms);
}
