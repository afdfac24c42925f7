/* SPDX-License-Identifier: BSD-3-Clause */
#include "tests/sim/world.h"

#include "protocol/check.h"
#include "tests/sim/node.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

void *sim_alloc(size_t size)
{
    void *memory = calloc(1, size);
    CHECK(memory != NULL);
    return memory;
}

/* --- the heap ---------------------------------------------------------------------------------------------------- */

static bool sooner(const struct event *a, const struct event *b)
{
    return a->at_us != b->at_us ? a->at_us < b->at_us : a->order < b->order;
}

static void heap_push(struct world *world, struct event event)
{
    if (world->event_count == world->event_capacity) {
        world->event_capacity = world->event_capacity == 0 ? 256 : world->event_capacity * 2;
        world->events = realloc(world->events, world->event_capacity * sizeof event);
        CHECK(world->events != NULL);
    }
    size_t at = world->event_count++;
    while (at > 0 && sooner(&event, &world->events[(at - 1) / 2])) {
        world->events[at] = world->events[(at - 1) / 2];
        at = (at - 1) / 2;
    }
    world->events[at] = event;
}

static struct event heap_pop(struct world *world)
{
    const struct event first = world->events[0];
    const struct event last = world->events[--world->event_count];
    size_t at = 0;
    for (;;) {
        size_t child = 2 * at + 1;
        if (child >= world->event_count) {
            break;
        }
        if (child + 1 < world->event_count &&
            sooner(&world->events[child + 1], &world->events[child])) {
            child++;
        }
        if (!sooner(&world->events[child], &last)) {
            break;
        }
        world->events[at] = world->events[child];
        at = child;
    }
    world->events[at] = last;
    return first;
}

/* --- events ------------------------------------------------------------------------------------------------------ */

void world_at(struct world *world, int64_t delay_us, struct thread *thread, event_fn *run,
              void *arg, uint64_t number)
{
    CHECK(delay_us >= 0);
    heap_push(world, (struct event){.at_us = world->now_us + delay_us,
                                    .order = world->next_order++,
                                    .thread = thread,
                                    .run = run,
                                    .arg = arg,
                                    .number = number});
}

static void run_one(struct world *world, const struct event *event)
{
    world->events_run++;
    event->run(world, event->arg, event->number);
    if (event->thread != NULL && !event->thread->ended) {
        node_end_turn(event->thread);
    }
}

void world_run(struct world *world, int64_t until_us)
{
    while (!world->failed && world->event_count > 0 && world->events[0].at_us <= until_us) {
        struct event event = heap_pop(world);
        world->now_us = event.at_us;
        if (event.thread != NULL && event.thread->ended) {
            continue;
        }
        if (event.thread != NULL && event.thread->paused_until_us > world->now_us) {
            event.at_us = event.thread->paused_until_us;
            heap_push(world, event);
            continue;
        }
        run_one(world, &event);
    }
    if (!world->failed && world->now_us < until_us) {
        world->now_us = until_us;
    }
}

/* Takes the earliest event of the kind out of the heap; the rest is put in order again. */
static bool take(struct world *world, const struct node *node, event_fn *run, struct event *ret)
{
    size_t found = world->event_count;
    for (size_t i = 0; i < world->event_count; i++) {
        const struct event *event = &world->events[i];
        if (event->run == run && event->thread != NULL && event->thread->node == node &&
            (found == world->event_count || sooner(event, &world->events[found]))) {
            found = i;
        }
    }
    if (found == world->event_count) {
        return false;
    }
    *ret = world->events[found];
    world->events[found].at_us = INT64_MIN; /* to the top, and away */
    const size_t count = world->event_count;
    struct event *all = world->events;
    world->events = NULL;
    world->event_count = 0;
    world->event_capacity = 0;
    for (size_t i = 0; i < count; i++) {
        if (i != found) {
            heap_push(world, all[i]);
        }
    }
    free(all);
    return true;
}

void world_run_letters(struct world *world, const struct node *node, event_fn *run)
{
    struct event event;
    while (take(world, node, run, &event)) {
        event.run(world, event.arg, event.number);
    }
}

void world_done(struct world *world)
{
    free(world->events);
    world->events = NULL;
}

/* --- chance ------------------------------------------------------------------------------------------------------ */

uint64_t world_below(struct world *world, uint64_t bound)
{
    return rand_below(&world->rand, bound);
}

int64_t world_between(struct world *world, int64_t least, int64_t most)
{
    return least + (int64_t)rand_below(&world->rand, (uint64_t)(most - least) + 1);
}

bool world_chance(struct world *world, unsigned per_mille)
{
    return rand_below(&world->rand, 1000) < per_mille;
}

/* --- the verdict ------------------------------------------------------------------------------------------------- */

void world_fail(struct world *world, const char *invariant, const char *format, ...)
{
    if (world->failed) {
        return;
    }
    world->failed = true;
    const int size = snprintf(world->failure, sizeof world->failure,
                              "%s at %" PRId64 " us: ", invariant, world->now_us);
    va_list args;
    va_start(args, format);
    (void)vsnprintf(world->failure + size, sizeof world->failure - (size_t)size, format, args);
    va_end(args);
    TRACE(world, "VIOLATED %s", world->failure);
}

void world_trace(const struct world *world, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    printf("%12.3f ms  ", (double)world->now_us / 1000.0);
    (void)vprintf(format, args);
    (void)putchar('\n');
    va_end(args);
}
