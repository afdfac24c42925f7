/* SPDX-License-Identifier: BSD-3-Clause */
#include "tiers/turnstile.h"

enum {
    MILLI = 1000
};

/* A tick without reads says nothing: nobody asks, or L2 is away and it is not known yet. What is not used of a tick is lost:
 * it would come in one burst later. */
void turnstile_tick(struct turnstile *turnstile, uint64_t reads, bool calm, int64_t now_ms)
{
    const int64_t passed_ms = now_ms - turnstile->ticked_at_ms;
    if (passed_ms <= 0) {
        return;
    }
    if (calm && reads > 0 && turnstile->ticked_at_ms != 0) {
        const int64_t rate = (int64_t)reads * MILLI * MILLI / passed_ms;
        const int64_t share_ms = passed_ms < TURNSTILE_LEARN_MS ? passed_ms : TURNSTILE_LEARN_MS;
        turnstile->usual += (rate - turnstile->usual) * share_ms / TURNSTILE_LEARN_MS;
    }
    turnstile->ticked_at_ms = now_ms;
    const int64_t usual = turnstile->usual * turnstile->percent / 100;
    const int64_t least = (int64_t)TURNSTILE_LEAST * MILLI;
    const int64_t tick_ms = passed_ms < TURNSTILE_TICK_MS ? passed_ms : TURNSTILE_TICK_MS;
    turnstile->left = (usual > least ? usual : least) * tick_ms / MILLI;
}

bool turnstile_has_room(const struct turnstile *turnstile)
{
    return turnstile->left >= MILLI;
}

bool turnstile_pass(struct turnstile *turnstile)
{
    if (!turnstile_has_room(turnstile)) {
        return false;
    }
    turnstile->left -= MILLI;
    return true;
}
