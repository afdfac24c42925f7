/* SPDX-License-Identifier: BSD-3-Clause */
/* Who else is on the bus, who waits for it, and what it announced last: what coherence keeps for peers.h, waiters.h and
 * announced.h, and tells them. */
#include "protocol/check.h"
#include "tiers/coherence_inner.h"
#include "tiers/homes.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

/* After something on the bus went wrong: whoever puts rubbish there must not make us send markers without end. */
#define AGAIN_MS 10

/* --- those who wait ---------------------------------------------------------------------------------------------- */

enum status coherence_wait(struct coherence *coherence, struct coherence_waiter *waiter,
                           int64_t now_ms)
{
    CHECK_MAGIC(coherence, COHERENCE_MAGIC);
    if (coherence->no_more) {
        return L2_DOWN;
    }
    const enum status status = waiters_add(&coherence->waiters, waiter, now_ms);
    if (status != OK) {
        return status;
    }
    if (coherence_applied_seq(coherence) != 0) {
        waiters_applied(&coherence->waiters, coherence_applied_seq(coherence));
    }
    coherence_show(coherence);
    return OK;
}

int64_t coherence_wait_due_ms(const struct coherence *coherence, int64_t now_ms)
{
    return waiters_due_ms(&coherence->waiters, now_ms);
}

void coherence_cap_waits(struct coherence *coherence, int64_t cap_ms)
{
    waiters_cap(&coherence->waiters, cap_ms);
}

void coherence_end_waits(struct coherence *coherence)
{
    coherence->no_more = true;
    waiters_end(&coherence->waiters);
    barriers_release(&coherence->barriers);
}

void coherence_leave(struct coherence *coherence)
{
    CHECK_MAGIC(coherence, COHERENCE_MAGIC);
    CHECK(coherence->no_more);
    coherence->leaving = true;
}

bool coherence_has_left(const struct coherence *coherence)
{
    return coherence->has_left && own_beats_unanswered(&coherence->beats) == 0;
}

bool coherence_is_asked(const struct coherence *coherence, int64_t now_ms)
{
    return coherence->phase == BUS_CONFIRMED &&
           (coherence->ack || waiters_need(&coherence->waiters, now_ms) != NEED_NOTHING);
}

void coherence_interrupt(struct coherence *coherence, int64_t now_ms)
{
    waiters_void(&coherence->waiters, now_ms + AGAIN_MS);
    peers_missed(&coherence->peers, now_ms);
    coherence->unproved.home_ms = 0;
    coherence->unproved.marker = 0;
}

void coherence_prove(struct coherence *coherence, int64_t now_ms)
{
    const struct unproved proved = coherence->unproved;
    coherence->unannounced_from_ms = 0;
    if (proved.seq == 0) {
        return;
    }
    coherence->unproved = (struct unproved){0};
    coherence_show_applied(coherence, proved.seq);
    coherence->ack = coherence->ack || proved.ack;
    if (proved.home_ms != 0) {
        coherence->echo_ms = now_ms - proved.home_ms;
        coherence->home_ms = proved.home_ms;
        coherence->told_ms = proved.told_ms;
        coherence_open(coherence);
    }
    if (proved.marker != 0) {
        waiters_home(&coherence->waiters, proved.marker, proved.marker_seq, &coherence->peers,
                     now_ms);
    }
    waiters_applied(&coherence->waiters, proved.seq);
    coherence_show(coherence);
}

/* --- barriers ---------------------------------------------------------------------------------------------------- */

void coherence_barrier(struct coherence *coherence, struct barrier *barrier, int64_t now_ms)
{
    CHECK_MAGIC(coherence, COHERENCE_MAGIC);
    if (coherence->no_more) {
        barrier->on_done(barrier);
        return;
    }
    barriers_add(&coherence->barriers, barrier);
    const bool elsewhere = barrier->run != BARRIER_RUN_ANY && barrier->run != coherence->bus.run;
    if (coherence->phase != BUS_CONFIRMED || elsewhere) {
        coherence_release_barriers(coherence, now_ms);
    }
}

enum status coherence_ping(struct coherence *coherence, struct buf *out)
{
    CHECK_MAGIC(coherence, COHERENCE_MAGIC);
    const enum status status = barriers_ping(&coherence->barriers, out);
    coherence_count(coherence, M_BARRIER_PINGS, status == OK ? 1 : 0);
    return status;
}

/* The floor stands in for the pong: of all, since it is one. */
void coherence_release_barriers(struct coherence *coherence, int64_t now_ms)
{
    if (!barriers_empty(&coherence->barriers)) {
        coherence_raise_floor(coherence, now_ms, M_FLOORS_BARRIER);
        coherence_show(coherence);
        barriers_release(&coherence->barriers);
    }
}

/* --- the others -------------------------------------------------------------------------------------------------- */

const struct peers *coherence_peers(const struct coherence *coherence)
{
    return &coherence->peers;
}

void coherence_set_address(struct coherence *coherence, const char *address)
{
    const size_t size = strlen(address);
    coherence->address_size = size < FRAME_ADDRESS_MAX ? size : FRAME_ADDRESS_MAX;
    memcpy(coherence->address_room, address, coherence->address_size);
}

/* What is said of a node that cannot be kept in the table is said again with each of its beats. */
static void compare_homes(struct coherence *coherence, const struct frame_beat *beat,
                          struct peer *peer)
{
    const struct coherence_managed_listener *listener = &coherence->options.managed;
    const struct peer *before = peers_find(&coherence->peers, peer->node);
    homes_compare(coherence->options.namespaces, beat->homes, peer->disagreement);
    if (listener->on_disagreement != NULL &&
        strcmp(before != NULL ? before->disagreement : "", peer->disagreement) != 0) {
        listener->on_disagreement(listener->arg, peer);
    }
}

void coherence_hear_peer(struct coherence *coherence, const struct frame *frame,
                         const struct frame_beat *beat, int64_t now_ms)
{
    struct peer peer = {
        .node = frame->node,
        .applied_seq = beat->applied_seq,
        .bound_ms = beat->bound_ms,
        .state = beat->state,
        .hit_permille = beat->hit_permille,
        .load = beat->load,
        .weight = beat->weight,
        .reads_per_s = beat->reads_per_s,
        .has_left = (beat->flags & FRAME_BEAT_LEAVING) != 0,
    };
    _Static_assert((int)FRAME_ADDRESS_MAX < (int)PEER_ADDRESS_MAX, "the rest of it stays zero");
    if (beat->address.size > 0) {
        memcpy(peer.address, beat->address.data, beat->address.size);
    }
    if (frame->node != coherence->options.node) {
        compare_homes(coherence, beat, &peer);
    }
    (void)!peers_hear(&coherence->peers, &peer, now_ms);
}

void coherence_count_disagreements(struct coherence *coherence, int64_t now_ms)
{
    const struct peer *one = NULL;
    const size_t before = coherence->disagreeing;
    coherence->disagreeing = peers_disagreeing(&coherence->peers, now_ms, &one);
    if (one != NULL) {
        (void)snprintf(coherence->disagreement, sizeof coherence->disagreement,
                       "node %016" PRIx64 " at %s: %s", one->node, one->address, one->disagreement);
    } else {
        coherence->disagreement[0] = '\0';
    }
    if (coherence->disagreeing + before > 0) {
        coherence_show(coherence);
    }
}

/* --- the record of announcements --------------------------------------------------------------------------------- */

static bool is_heard(const struct coherence *coherence)
{
    const struct coherence_listener *listener = &coherence->options.listener;
    return listener->wants != NULL && listener->wants(listener->arg);
}

void coherence_tell_flush(const struct coherence *coherence)
{
    if (is_heard(coherence)) {
        coherence->options.listener.on_flush(coherence->options.listener.arg);
    }
}

void coherence_tell_doubt(const struct coherence *coherence)
{
    if (is_heard(coherence)) {
        coherence->options.listener.on_doubt(coherence->options.listener.arg);
    }
}

void coherence_forgot_all(const struct coherence *coherence)
{
    if (is_heard(coherence)) {
        coherence->options.listener.on_end(coherence->options.listener.arg);
    }
}

void coherence_forget(struct coherence *coherence, struct slice key, uint64_t node, int64_t now_ms)
{
    const uint64_t hash = namespaces_hash(coherence->options.namespaces, key);
    (void)namespaces_forget(coherence->options.namespaces, key);
    const struct announcement announcement = {
        .after_seq = coherence->seq,
        .node = node,
        .at_ms = now_ms,
        .epoch = (uint16_t)coherence->epoch.counter,
    };
    announced_put(coherence->announced, hash, &announcement);
    if (is_heard(coherence)) {
        coherence->options.listener.on_key(coherence->options.listener.arg, key, hash);
    }
}

bool coherence_announced(const struct coherence *coherence, struct slice key,
                         struct announcement *ret)
{
    return announced_find(coherence->announced, namespaces_hash(coherence->options.namespaces, key),
                          ret);
}
