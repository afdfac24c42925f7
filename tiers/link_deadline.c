/* SPDX-License-Identifier: BSD-3-Clause */
/* link_deadline.c -- requests end when their time is over, wherever in the link they are. */
#include "tiers/link_inner.h"

void link_deadline_note(struct link *link, const struct link_request *request)
{
    if (request->deadline_ms != 0 && request->deadline_ms < link->earliest_ms) {
        link->earliest_ms = request->deadline_ms;
    }
}

/* Ends what is overdue in one of the rings. False: the connection is gone. */
static bool expire(struct link *link, struct link_fifo *fifo, int64_t now_ms)
{
    const uint64_t connection = link->connection;
    for (size_t i = 0; i < fifo->count; i++) {
        struct link_slot *slot = link_fifo_at(fifo, i);
        struct link_request *request = slot->request;
        if (request == NULL || request->deadline_ms == 0) {
            continue;
        }
        if (request->deadline_ms > now_ms) {
            link_deadline_note(link, request);
            continue;
        }
        if (fifo == &link->sent && request->writes) {
            link_close(link, "L2 did not answer a write in time", now_ms);
            return false;
        }
        if (fifo != &link->waiting && link->silent_since_ms == 0) {
            link->silent_since_ms = now_ms;
        }
        slot->request = NULL;
        if (link->state == LINK_READY) {
            link_explain(link, "no answer within the deadline");
        }
        link_end_request(link, request, L2_DOWN, (struct slice){0});
        if (connection != link->connection) {
            return false;
        }
    }
    return true;
}

void link_deadline_tick(struct link *link, int64_t now_ms)
{
    if (now_ms < link->earliest_ms) {
        return;
    }
    link->earliest_ms = INT64_MAX;
    if (!expire(link, &link->fence.kept, now_ms) || !expire(link, &link->sent, now_ms) ||
        !expire(link, &link->waiting, now_ms)) {
        link->earliest_ms = 0; /* the queues are others now: look again */
    }
}
