/* SPDX-License-Identifier: BSD-3-Clause */
/* load_gate.c -- of several keys that one asker wants at once, one goes ahead (load.h). */
#include "tiers/load_inner.h"

#include <string.h>

void load_gate_close(struct load_gate *gate)
{
    *gate = (struct load_gate){0};
    list_init(&gate->parked);
}

static bool is_before(const struct load_wait *wait, const struct load_wait *other)
{
    const struct slice a = wait->key.bytes;
    const struct slice b = other->key.bytes;
    const int order = memcmp(a.data, b.data, a.size < b.size ? a.size : b.size);
    return order != 0 ? order < 0 : a.size < b.size;
}

static struct load_wait *pop(struct list *waits)
{
    struct load_wait *wait = LIST_ENTRY(waits->next, struct load_wait, in_load);
    list_remove(&wait->in_load);
    return wait;
}

/* Who goes ahead now; NULL: nobody yet, or any more. */
static struct load_wait *take_first(struct load_gate *gate)
{
    if (!gate->begun || gate->is_open || gate->ahead != NULL || gate->coming > 0 ||
        list_empty(&gate->parked)) {
        return NULL;
    }
    struct load_wait *first = LIST_ENTRY(gate->parked.next, struct load_wait, in_load);
    for (struct list *node = gate->parked.next; node != &gate->parked; node = node->next) {
        struct load_wait *wait = LIST_ENTRY(node, struct load_wait, in_load);
        first = is_before(wait, first) ? wait : first;
    }
    list_remove(&first->in_load);
    gate->ahead = first;
    return first;
}

void load_gate_begin(struct load_gate *gate)
{
    gate->begun = true;
    struct load_wait *first = take_first(gate);
    if (first != NULL) {
        load_wait_park(first);
    }
}

void load_gate_expect(struct load_wait *wait)
{
    if (wait->ask.gate != NULL) {
        wait->comes = true;
        wait->ask.gate->coming++;
    }
}

static void arrive(struct load_wait *wait)
{
    if (wait->comes) {
        wait->comes = false;
        wait->ask.gate->coming--;
    }
}

bool load_gate_parks(struct load_wait *wait)
{
    struct load_gate *gate = wait->ask.gate;
    if (gate == NULL || gate->is_open || gate->ahead == wait) {
        return false;
    }
    arrive(wait);
    list_push_back(&gate->parked, &wait->in_load);
    struct load_wait *first = take_first(gate);
    if (first != NULL) {
        load_wait_park(first);
    }
    return true;
}

struct load_gate *load_gate_leave(struct load_wait *wait)
{
    struct load_gate *gate = wait->ask.gate;
    if (gate == NULL) {
        return NULL;
    }
    arrive(wait);
    gate->is_open = gate->is_open || gate->ahead == wait;
    return gate->coming > 0 || !list_empty(&gate->parked) ? gate : NULL;
}

void load_gate_look(struct load_gate *gate, bool won)
{
    struct load_wait *first = take_first(gate);
    if (first != NULL) {
        load_wait_park(first);
        return;
    }
    struct list waits;
    list_init(&waits);
    if (gate->is_open) {
        list_splice_back(&waits, &gate->parked);
    }
    while (!list_empty(&waits)) { /* the gate goes with the last of them */
        struct load_wait *wait = pop(&waits);
        if (won) {
            load_decide(wait);
        } else {
            load_ask_again(wait); /* whom the first one waited for has loaded the others, too */
        }
    }
}
