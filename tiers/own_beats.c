/* SPDX-License-Identifier: BSD-3-Clause */
#include "tiers/own_beats.h"

#include "protocol/check.h"

#include <stddef.h>

_Static_assert(OWN_BEATS_UNANSWERED_MAX < OWN_BEATS_MAX, "an unanswered beat is never overwritten");

static uint64_t oldest(const struct own_beats *beats)
{
    return beats->next > OWN_BEATS_MAX ? beats->next - OWN_BEATS_MAX : 0;
}

uint64_t own_beats_unanswered(const struct own_beats *beats)
{
    return beats->next - beats->answered;
}

void own_beats_sent(struct own_beats *beats, const struct own_beat *beat)
{
    CHECK(own_beats_unanswered(beats) < OWN_BEATS_UNANSWERED_MAX);
    beats->ring[beats->next % OWN_BEATS_MAX] = (struct own_beat){
        .nonce = beat->nonce,
        .applied_seq = beat->applied_seq,
        .marker = beat->marker,
        .sent_at_ms = beat->sent_at_ms,
    };
    beats->next++;
}

uint64_t own_beats_next_marker(const struct own_beats *beats)
{
    return own_beats_unanswered(beats) > 0 ? beats->ring[beats->answered % OWN_BEATS_MAX].marker
                                           : 0;
}

void own_beats_answered(struct own_beats *beats, int64_t now_ms, bool as_void)
{
    if (own_beats_unanswered(beats) > 0) {
        struct own_beat *beat = &beats->ring[beats->answered % OWN_BEATS_MAX];
        beat->answered_at_ms = now_ms;
        beat->is_void = beat->is_void || as_void;
        beats->answered++;
    }
}

void own_beats_failed(struct own_beats *beats)
{
    own_beats_answered(beats, 0, false);
}

const struct own_beat *own_beats_home(struct own_beats *beats, uint64_t nonce)
{
    for (uint64_t i = oldest(beats); i < beats->next; i++) {
        const struct own_beat *found = &beats->ring[i % OWN_BEATS_MAX];
        if (found->nonce == nonce && !found->is_home && !found->is_void) {
            for (uint64_t j = oldest(beats); j <= i; j++) {
                beats->ring[j % OWN_BEATS_MAX].is_home = true;
            }
            return found;
        }
    }
    return NULL;
}

void own_beats_void(struct own_beats *beats)
{
    for (uint64_t i = oldest(beats); i < beats->next; i++) {
        beats->ring[i % OWN_BEATS_MAX].is_void = true;
    }
}

int64_t own_beats_waiting_since_ms(const struct own_beats *beats)
{
    for (uint64_t i = oldest(beats); i < beats->answered; i++) {
        const struct own_beat *beat = &beats->ring[i % OWN_BEATS_MAX];
        if (!beat->is_void && !beat->is_home && beat->answered_at_ms != 0) {
            return beat->answered_at_ms;
        }
    }
    return 0;
}
