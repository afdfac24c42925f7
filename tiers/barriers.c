/* SPDX-License-Identifier: BSD-3-Clause */
#include "tiers/barriers.h"

#include "protocol/check.h"
#include "protocol/resp_write.h"

#include <inttypes.h>
#include <stdio.h>

#define ENTRY(node) LIST_ENTRY(node, struct barrier, link)

void barriers_open(struct barriers *barriers)
{
    *barriers = (struct barriers){0};
    list_init(&barriers->list);
}

bool barriers_empty(const struct barriers *barriers)
{
    return list_empty(&barriers->list);
}

/* From here on it waits for the pong of the next PING. */
static void want(struct barriers *barriers, struct barrier *barrier)
{
    barrier->ping = barriers->pings + 1;
    barriers->wanted = true;
    list_push_back(&barriers->list, &barrier->link);
}

void barriers_add(struct barriers *barriers, struct barrier *barrier)
{
    CHECK(barrier->on_done != NULL);
    barrier->has_first = false;
    want(barriers, barrier);
}

enum status barriers_ping(struct barriers *barriers, struct buf *out)
{
    if (!barriers->wanted) {
        return AGAIN;
    }
    char nonce[24];
    (void)snprintf(nonce, sizeof nonce, "%" PRIu64, barriers->pings + 1);
    const struct slice words[] = {SLICE_LITERAL("PING"), slice_of(nonce)};
    const enum status status = resp_append_request(out, 2, words);
    if (status == OK) {
        barriers->pings++;
        barriers->wanted = false;
    }
    return status;
}

/* on_done may ask again, so who is done leaves the list before anybody is told. */
static void tell(struct list *done)
{
    while (!list_empty(done)) {
        struct barrier *barrier = ENTRY(done->next);
        list_remove(&barrier->link);
        barrier->on_done(barrier);
    }
}

void barriers_pong(struct barriers *barriers, struct slice text)
{
    uint64_t ping = 0;
    struct list done;
    list_init(&done);
    if (slice_to_u64(text, &ping) != OK || ping > barriers->pings) {
        return;
    }
    while (!list_empty(&barriers->list) && ENTRY(barriers->list.next)->ping <= ping) {
        struct barrier *barrier = ENTRY(barriers->list.next);
        list_remove(&barrier->link);
        if (barrier->has_first) {
            list_push_back(&done, &barrier->link);
        } else {
            barrier->has_first = true;
            want(barriers, barrier);
        }
    }
    tell(&done);
}

bool barriers_late(const struct barriers *barriers, int64_t now_ms)
{
    for (struct list *at = barriers->list.next; at != &barriers->list; at = at->next) {
        if (now_ms >= ENTRY(at)->deadline_ms) {
            return true;
        }
    }
    return false;
}

void barriers_release(struct barriers *barriers)
{
    struct list done;
    list_init(&done);
    list_splice_back(&done, &barriers->list);
    barriers->wanted = false;
    tell(&done);
}
