/* SPDX-License-Identifier: BSD-3-Clause */
#include "tiers/waiters.h"

#include "protocol/check.h"
#include "protocol/limits.h"

#define ENTRY(node) LIST_ENTRY(node, struct coherence_waiter, link)

void waiters_open(struct waiters *waiters)
{
    *waiters = (struct waiters){0};
    list_init(&waiters->list);
}

static int64_t deadline_of(const struct waiters *waiters, const struct coherence_waiter *waiter)
{
    return waiters->cap_ms != 0 && waiters->cap_ms < waiter->deadline_ms ? waiters->cap_ms
                                                                         : waiter->deadline_ms;
}

static bool needs_marker(const struct coherence_waiter *waiter)
{
    return waiter->kind != WAITER_APPLIED && waiter->marker == 0 && waiter->home == 0;
}

static void count_unasked(struct waiters *waiters, const struct coherence_waiter *waiter, int by)
{
    if (needs_marker(waiter)) {
        waiters->unasked += (size_t)by;
        waiters->unasked_acks += waiter->kind == WAITER_EVERYWHERE ? (size_t)by : 0;
    }
}

enum status waiters_add(struct waiters *waiters, struct coherence_waiter *waiter, int64_t now_ms)
{
    CHECK(waiter->on_done != NULL);
    if (waiters->count >= LIMIT_WAITERS) {
        return BUSY;
    }
    waiter->asked_at_ms = now_ms;
    waiter->marker = 0;
    waiter->home = 0;
    waiter->fenced_at_ms = 0;
    list_push_back(&waiters->list, &waiter->link);
    waiters->count++;
    count_unasked(waiters, waiter, 1);
    return OK;
}

/* --- the end of a wait ------------------------------------------------------------------------------------------- */

/* on_done may add and end waiters, so who is done leaves the list before anybody is told. */
static void set_aside(struct waiters *waiters, struct coherence_waiter *waiter, struct list *done)
{
    count_unasked(waiters, waiter, -1);
    list_remove(&waiter->link);
    list_push_back(done, &waiter->link);
    waiters->count--;
}

static void tell(struct list *done, enum status status)
{
    while (!list_empty(done)) {
        struct coherence_waiter *waiter = ENTRY(done->next);
        list_remove(&waiter->link);
        waiter->on_done(waiter, status);
    }
}

/* --- markers ----------------------------------------------------------------------------------------------------- */

enum waiters_need waiters_need(const struct waiters *waiters, int64_t now_ms)
{
    if (waiters->unasked == 0 || now_ms < waiters->not_before_ms) {
        return NEED_NOTHING;
    }
    return waiters->unasked_acks > 0 ? NEED_ACK : NEED_MARKER;
}

uint64_t waiters_sent(struct waiters *waiters)
{
    waiters->markers++;
    for (struct list *at = waiters->list.next; at != &waiters->list; at = at->next) {
        if (needs_marker(ENTRY(at))) {
            ENTRY(at)->marker = waiters->markers;
        }
    }
    waiters->unasked = 0;
    waiters->unasked_acks = 0;
    return waiters->markers;
}

void waiters_lost(struct waiters *waiters, uint64_t marker, int64_t not_before_ms)
{
    waiters->not_before_ms = not_before_ms;
    for (struct list *at = waiters->list.next; at != &waiters->list; at = at->next) {
        if (ENTRY(at)->marker == marker) {
            ENTRY(at)->marker = 0;
            count_unasked(waiters, ENTRY(at), 1);
        }
    }
}

void waiters_void(struct waiters *waiters, int64_t not_before_ms)
{
    if (waiters->count > 0) {
        waiters->not_before_ms = not_before_ms;
    }
    waiters->unasked = 0;
    waiters->unasked_acks = 0;
    for (struct list *at = waiters->list.next; at != &waiters->list; at = at->next) {
        ENTRY(at)->marker = 0;
        ENTRY(at)->home = 0;
        count_unasked(waiters, ENTRY(at), 1);
    }
}

void waiters_home(struct waiters *waiters, uint64_t marker, uint64_t seq, const struct peers *peers,
                  int64_t now_ms)
{
    struct list done;
    list_init(&done);
    const int64_t patience_ms = peers_patience_ms(peers, now_ms);
    for (struct list *at = waiters->list.next, *next; at != &waiters->list; at = next) {
        struct coherence_waiter *waiter = ENTRY(at);
        next = at->next;
        if (waiter->marker == 0 || waiter->marker > marker) {
            continue;
        }
        waiter->seq = seq;
        if (waiter->kind == WAITER_MARKER) {
            set_aside(waiters, waiter, &done);
            continue;
        }
        waiter->marker = 0;
        waiter->home = marker;
        waiter->heard = peers->heard;
        waiter->patience_ms = patience_ms;
        waiter->knows_all = peers_are_all(peers, patience_ms, now_ms);
        if (waiter->fenced_at_ms == 0) {
            waiter->fenced_at_ms = waiter->asked_at_ms + patience_ms + 1;
        }
    }
    tell(&done, OK);
    waiters_look(waiters, peers, now_ms);
}

void waiters_applied(struct waiters *waiters, uint64_t seq)
{
    struct list done;
    list_init(&done);
    for (struct list *at = waiters->list.next, *next; at != &waiters->list; at = next) {
        struct coherence_waiter *waiter = ENTRY(at);
        next = at->next;
        if (waiter->kind == WAITER_APPLIED && waiter->seq <= seq) {
            set_aside(waiters, waiter, &done);
        }
    }
    tell(&done, OK);
}

/* --- everywhere, and time ---------------------------------------------------------------------------------------- */

/* Those of one marker stand next to each other and share its verdict, so that each node is looked at once for it. */
struct verdict {
    uint64_t home;
    bool everywhere;
};

static bool is_everywhere(const struct coherence_waiter *waiter, struct verdict *last,
                          const struct peers *peers, int64_t now_ms)
{
    if (waiter->kind != WAITER_EVERYWHERE) {
        return false;
    }
    if (waiter->fenced_at_ms != 0 && now_ms >= waiter->fenced_at_ms) {
        return true;
    }
    if (waiter->home == 0 || !waiter->knows_all) {
        return false;
    }
    if (waiter->home != last->home) {
        last->home = waiter->home;
        last->everywhere =
            peers_have_applied(peers, waiter->seq, waiter->heard, waiter->patience_ms, now_ms);
    }
    return last->everywhere;
}

void waiters_look(struct waiters *waiters, const struct peers *peers, int64_t now_ms)
{
    struct list done;
    struct list late;
    struct verdict last = {0};
    list_init(&done);
    list_init(&late);
    for (struct list *at = waiters->list.next, *next; at != &waiters->list; at = next) {
        struct coherence_waiter *waiter = ENTRY(at);
        next = at->next;
        if (is_everywhere(waiter, &last, peers, now_ms)) {
            set_aside(waiters, waiter, &done);
        } else if (now_ms >= deadline_of(waiters, waiter)) {
            set_aside(waiters, waiter, &late);
        }
    }
    tell(&done, OK);
    tell(&late, TIMEOUT);
}

int64_t waiters_due_ms(const struct waiters *waiters, int64_t now_ms)
{
    const bool is_held = waiters->unasked > 0 && waiters->not_before_ms > now_ms;
    int64_t due_ms = is_held ? waiters->not_before_ms : INT64_MAX;
    for (const struct list *at = waiters->list.next; at != &waiters->list; at = at->next) {
        const struct coherence_waiter *waiter = ENTRY(at);
        const int64_t deadline_ms = deadline_of(waiters, waiter);
        due_ms = deadline_ms < due_ms ? deadline_ms : due_ms;
        if (waiter->fenced_at_ms != 0 && waiter->fenced_at_ms < due_ms) {
            due_ms = waiter->fenced_at_ms;
        }
    }
    return due_ms;
}

void waiters_cap(struct waiters *waiters, int64_t cap_ms)
{
    waiters->cap_ms = cap_ms;
}

void waiters_end(struct waiters *waiters)
{
    struct list done;
    list_init(&done);
    list_splice_back(&done, &waiters->list);
    waiters->count = 0;
    waiters->unasked = 0;
    waiters->unasked_acks = 0;
    tell(&done, L2_DOWN);
}
