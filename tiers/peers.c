/* SPDX-License-Identifier: BSD-3-Clause */
#include "tiers/peers.h"

#include <stdlib.h>

enum {
    PEERS_FIRST_ROOM = 8,
    RHO_INVERSE = 1000,
    ROUNDING_MS = 2 /* theirs and ours, cut to whole milliseconds */
};

void peers_done(struct peers *peers)
{
    free(peers->at);
    *peers = (struct peers){.self = peers->self};
}

static bool is_silent(const struct peer *peer, int64_t patience_ms, int64_t now_ms)
{
    return peer->has_left || now_ms - peer->beat_at_ms > patience_ms;
}

static struct peer *find(struct peers *peers, uint64_t node)
{
    for (size_t i = 0; i < peers->count; i++) {
        if (peers->at[i].node == node) {
            return &peers->at[i];
        }
    }
    return NULL;
}

const struct peer *peers_find(const struct peers *peers, uint64_t node)
{
    return find((struct peers *)peers, node); /* the cast: what is found may be changed by others */
}

static struct peer *eldest(struct peers *peers)
{
    struct peer *found = &peers->at[0];
    for (size_t i = 1; i < peers->count; i++) {
        if (peers->at[i].beat_at_ms < found->beat_at_ms) {
            found = &peers->at[i];
        }
    }
    return found;
}

/* Room for one more record; NULL: no memory. */
static struct peer *more_room(struct peers *peers, int64_t now_ms)
{
    if (peers->count == PEERS_MAX) {
        struct peer *gone = eldest(peers);
        if (!is_silent(gone, peers_patience_ms(peers, now_ms), now_ms)) {
            peers_missed(peers, now_ms);
        }
        return gone;
    }
    if (peers->count == peers->room) {
        const size_t room = peers->room == 0 ? PEERS_FIRST_ROOM : 2 * peers->room;
        struct peer *at = realloc(peers->at, room * sizeof *at);
        if (at == NULL) {
            return NULL;
        }
        peers->at = at;
        peers->room = room;
    }
    return &peers->at[peers->count++];
}

enum status peers_hear(struct peers *peers, const struct peer *beat, int64_t now_ms)
{
    const int64_t patience_ms = peers_patience_ms(peers, now_ms);
    struct peer *peer = find(peers, beat->node);
    const bool is_known = peer != NULL && !is_silent(peer, patience_ms, now_ms);
    peers->heard++;
    const uint64_t since = is_known ? peer->known_since : peers->heard;
    if (peer == NULL) {
        peer = more_room(peers, now_ms);
    }
    if (peer == NULL) {
        peers_missed(peers, now_ms);
        return NO_MEMORY;
    }
    *peer = *beat;
    peer->beat_at_ms = now_ms;
    peer->known_since = since;
    return OK;
}

void peers_forget(struct peers *peers, int64_t now_ms)
{
    size_t kept = 0;
    for (size_t i = 0; i < peers->count; i++) {
        if (now_ms - peers->at[i].beat_at_ms <= PEERS_KEPT_MS) {
            peers->at[kept++] = peers->at[i];
        }
    }
    peers->count = kept;
}

void peers_missed(struct peers *peers, int64_t now_ms)
{
    peers->whole_since_ms = now_ms;
}

void peers_new_epoch(struct peers *peers, int64_t now_ms)
{
    for (size_t i = 0; i < peers->count; i++) {
        peers->at[i].applied_seq = 0;
    }
    peers_missed(peers, now_ms);
}

int64_t peers_patience_of(uint32_t bound_ms)
{
    const int64_t bound = bound_ms;
    return bound + (bound + RHO_INVERSE - 1) / RHO_INVERSE + ROUNDING_MS;
}

int64_t peers_patience_ms(const struct peers *peers, int64_t now_ms)
{
    int64_t patience_ms = 0;
    for (size_t i = 0; i < peers->count; i++) {
        const int64_t own_ms = peers_patience_of(peers->at[i].bound_ms);
        if (own_ms > patience_ms && now_ms - peers->at[i].beat_at_ms <= own_ms) {
            patience_ms = own_ms;
        }
    }
    return patience_ms;
}

size_t peers_live(const struct peers *peers, int64_t now_ms)
{
    const int64_t patience_ms = peers_patience_ms(peers, now_ms);
    size_t live = 0;
    for (size_t i = 0; i < peers->count && patience_ms > 0; i++) {
        live += is_silent(&peers->at[i], patience_ms, now_ms) ? 0 : 1;
    }
    return live;
}

int peers_hit_permille(const struct peers *peers, int64_t now_ms)
{
    const int64_t patience_ms = peers_patience_ms(peers, now_ms);
    uint64_t sum = 0;
    uint64_t count = 0;
    for (size_t i = 0; i < peers->count; i++) {
        const struct peer *peer = &peers->at[i];
        if (peer->node != peers->self && peer->weight > 0 &&
            !is_silent(peer, patience_ms, now_ms)) {
            sum += (uint64_t)peer->hit_permille * peer->reads_per_s;
            count += peer->reads_per_s;
        }
    }
    return count > 0 ? (int)(sum / count) : -1;
}

uint64_t peers_reads_per_s(const struct peers *peers, int64_t now_ms, size_t *ret_nodes)
{
    const int64_t patience_ms = peers_patience_ms(peers, now_ms);
    uint64_t sum = 0;
    *ret_nodes = 0;
    for (size_t i = 0; i < peers->count; i++) {
        const struct peer *peer = &peers->at[i];
        if (peer->node != peers->self && !is_silent(peer, patience_ms, now_ms)) {
            sum += peer->reads_per_s;
            (*ret_nodes)++;
        }
    }
    return sum;
}

size_t peers_disagreeing(const struct peers *peers, int64_t now_ms, const struct peer **ret_one)
{
    const int64_t patience_ms = peers_patience_ms(peers, now_ms);
    size_t count = 0;
    *ret_one = NULL;
    for (size_t i = 0; i < peers->count; i++) {
        const struct peer *peer = &peers->at[i];
        if (peer->disagreement[0] != '\0' && !is_silent(peer, patience_ms, now_ms)) {
            *ret_one = *ret_one == NULL ? peer : *ret_one;
            count++;
        }
    }
    return count;
}

bool peers_are_all(const struct peers *peers, int64_t patience_ms, int64_t now_ms)
{
    return now_ms - peers->whole_since_ms > patience_ms;
}

bool peers_have_applied(const struct peers *peers, uint64_t seq, uint64_t heard,
                        int64_t patience_ms, int64_t now_ms)
{
    for (size_t i = 0; i < peers->count; i++) {
        const struct peer *peer = &peers->at[i];
        if (peer->node != peers->self && peer->known_since <= heard && peer->applied_seq < seq &&
            !is_silent(peer, patience_ms, now_ms)) {
            return false;
        }
    }
    return true;
}
