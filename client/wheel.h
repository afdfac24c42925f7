/* SPDX-License-Identifier: BSD-3-Clause */
/* wheel.h -- many timers that hardly ever fire: the deadlines of requests.
 *
 * A hashed timing wheel (Varghese and Lauck 1987, scheme 6): 1024 slots of a millisecond, each a list; what is due later than a
 * turn from now is met once per turn and left. Setting and clearing is O(1) and allocates nothing, since nearly every
 * deadline is cleared by its answer.
 *
 * Threads: one loop's.   Units: ms of a monotonic clock. */
#ifndef TERRACE_CLIENT_WHEEL_H
#define TERRACE_CLIENT_WHEEL_H

#include <stdbool.h>
#include <stdint.h>

enum {
    WHEEL_SLOTS = 1024 /* a power of 2 */
};

/* Embedded in what waits; zeros but for on_due: not set. */
struct timer {
    struct timer *next, *prev;
    int64_t due_ms;
    void (*on_due)(struct timer *timer); /* for whoever turns the wheel */
};

struct wheel {
    struct timer slots[WHEEL_SLOTS]; /* heads of rings */
    uint64_t used[WHEEL_SLOTS / 64]; /* a bit per slot that may have timers */
    int64_t turned_ms;               /* all slots up to here were looked at */
    int64_t alarm_ms;                /* when its owner will turn it; INT64_MAX: never */
    void (*on_earlier)(struct wheel *wheel,
                       int64_t due_ms); /* NULL, or to be told that this is too late */
};

void wheel_init(struct wheel *wheel, int64_t now_ms);
/* Sets it anew if it was set. What is due already fires with the next wheel_turn. */
void wheel_set(struct wheel *wheel, struct timer *timer, int64_t due_ms);
void wheel_clear(struct timer *timer); /* not set: nothing */
bool timer_is_set(const struct timer *timer);

/* The next one that is due, cleared; NULL: none. To be called until NULL. */
struct timer *wheel_turn(struct wheel *wheel, int64_t now_ms);
/* When to call wheel_turn next: never later than the next timer is due, but perhaps earlier. INT64_MAX: nothing is set. */
int64_t wheel_next_ms(const struct wheel *wheel);

#endif
