/* SPDX-License-Identifier: BSD-3-Clause */
#include "client/wheel.h"

#include <stddef.h>

static uint64_t slot_of(int64_t ms)
{
    return (uint64_t)ms % WHEEL_SLOTS;
}

void wheel_init(struct wheel *wheel, int64_t now_ms)
{
    for (int i = 0; i < WHEEL_SLOTS; i++) {
        struct timer *head = &wheel->slots[i];
        *head = (struct timer){.next = head, .prev = head};
    }
    for (int i = 0; i < WHEEL_SLOTS / 64; i++) {
        wheel->used[i] = 0;
    }
    wheel->turned_ms = now_ms;
    wheel->alarm_ms = INT64_MAX;
    wheel->on_earlier = NULL;
}

bool timer_is_set(const struct timer *timer)
{
    return timer->next != NULL;
}

void wheel_clear(struct timer *timer)
{
    if (timer->next != NULL) {
        timer->prev->next = timer->next;
        timer->next->prev = timer->prev;
        timer->next = timer->prev = NULL;
    }
}

void wheel_set(struct wheel *wheel, struct timer *timer, int64_t due_ms)
{
    wheel_clear(timer);
    timer->due_ms = due_ms;
    const uint64_t slot = slot_of(due_ms > wheel->turned_ms ? due_ms : wheel->turned_ms + 1);
    struct timer *head = &wheel->slots[slot];
    timer->prev = head->prev;
    timer->next = head;
    head->prev->next = timer;
    head->prev = timer;
    wheel->used[slot / 64] |= UINT64_C(1) << (slot % 64);
    if (wheel->on_earlier != NULL && due_ms < wheel->alarm_ms) {
        wheel->on_earlier(wheel, due_ms);
    }
}

/* The first slot from `ms` on that may have timers, as the time it stands for within this turn; INT64_MAX: none. */
static int64_t next_used(const struct wheel *wheel, int64_t ms)
{
    for (int passed = 0; passed < WHEEL_SLOTS;) {
        const uint64_t slot = slot_of(ms + passed);
        const uint64_t bits = wheel->used[slot / 64] >> (slot % 64);
        if (bits != 0) {
            const int64_t found = passed + __builtin_ctzll(bits);
            return found < WHEEL_SLOTS ? ms + found : INT64_MAX;
        }
        passed += (int)(64 - slot % 64);
    }
    return INT64_MAX;
}

struct timer *wheel_turn(struct wheel *wheel, int64_t now_ms)
{
    if (now_ms - wheel->turned_ms > WHEEL_SLOTS) { /* we slept: each slot is looked at once */
        wheel->turned_ms = now_ms - WHEEL_SLOTS;
    }
    for (;;) {
        const int64_t at = next_used(wheel, wheel->turned_ms + 1);
        if (at > now_ms) {
            wheel->turned_ms = now_ms > wheel->turned_ms ? now_ms : wheel->turned_ms;
            return NULL;
        }
        const uint64_t slot = slot_of(at);
        struct timer *head = &wheel->slots[slot];
        for (struct timer *timer = head->next; timer != head; timer = timer->next) {
            if (timer->due_ms <= now_ms) {
                wheel_clear(timer);
                return timer;
            }
        }
        if (head->next == head) {
            wheel->used[slot / 64] &= ~(UINT64_C(1) << (slot % 64));
        }
        wheel->turned_ms = at;
    }
}

int64_t wheel_next_ms(const struct wheel *wheel)
{
    return next_used(wheel, wheel->turned_ms + 1);
}
