/* SPDX-License-Identifier: BSD-3-Clause */
/* What comes by time: budgets of those who wait, leases to be renewed, loaders that had their time. */
#include "tiers/load_inner.h"

enum {
    WALK_MS = 100,
    /* Calls of the script, for leases that are held, in one walk: some 15 % of a Redis. */
    WALK_CALLS = 512,
    WALK_ENDS = WALK_CALLS / 2, /* of these, most for loaders that had their time */
    LATE_MS = LEASE_LIFE_MS / 2 /* behind its time a renewal may come too late: 500 ms are left */
};

int64_t load_due_ms(const struct tiers_window *window)
{
    return window->loads == NULL ? INT64_MAX : window->loads->due_ms;
}

/* Others load what it waits for, which is what one who holds a lease must not wait for long. */
static bool wait_is_for_others(const struct load_wait *wait, const struct load *load)
{
    return !wait->flies && load != NULL && load->state != LOAD_LEASING;
}

/* Its budget is used up. */
static bool wait_is_over(struct load_wait *wait, int64_t now_ms)
{
    struct load *load = load_find(wait->loads, &wait->key);
    if (now_ms >= (wait_is_for_others(wait, load) ? wait->hard_at_ms : wait->last_at_ms)) {
        if (wait->ask.plain && !wait->ask.hurried && load != NULL && load->state != LOAD_LEASING) {
            load->in_vain = true;
        }
        load_give_up(wait);
        return true;
    }
    return now_ms >= wait->soft_at_ms && wait->item != NULL && load_tell_spare(wait);
}

static void look_at_waits(struct loads *loads, int64_t now_ms)
{
    struct list waits;
    list_init(&waits);
    list_splice_back(&waits, &loads->waits);
    loads->due_ms = INT64_MAX;
    while (!list_empty(&waits)) {
        struct load_wait *wait = LIST_ENTRY(waits.next, struct load_wait, in_all);
        list_remove(&wait->in_all);
        list_push_back(&loads->waits, &wait->in_all);
        if (!wait_is_over(wait, now_ms)) {
            int64_t next_ms = now_ms < wait->soft_at_ms ? wait->soft_at_ms : wait->hard_at_ms;
            next_ms = next_ms < wait->hard_at_ms ? next_ms : wait->hard_at_ms;
            loads->due_ms = next_ms < loads->due_ms ? next_ms : loads->due_ms;
        }
    }
    if (loads->due_ms != INT64_MAX && loads->due_ms < now_ms + LOAD_GRAIN_MS) {
        loads->due_ms = now_ms + LOAD_GRAIN_MS;
    }
}

static void load_on_time(struct load *load, int64_t now_ms)
{
    if (load->state == LOAD_HELD && now_ms >= load->until_ms) {
        load_time_out(load);
    } else if (load->state == LOAD_HELD) {
        load_renew(load);
    } else if (list_empty(&load->waits) && load->in_vain && load->mark == LOAD_UNMARKED) {
        load->mark = LOAD_IDLE; /* who loads it has been waited for in vain, and does so still */
        load->until_ms =
            now_ms +
            namespace_rules(window_key(load->loads->window, &load->key).ns).load_timeout_ms;
    } else {
        load_dissolve(load);
    }
}

/* Those whose time is over, all but the held ones that are too many for one walk. How many calls they took, at most. */
static unsigned look_at_ends(struct loads *loads, int64_t now_ms)
{
    struct list due;
    unsigned calls = 0;
    list_init(&due);
    for (struct map_node *node = map_any(&loads->by_key, NULL); node != NULL;
         node = map_any(&loads->by_key, node)) {
        struct load *load = MAP_ENTRY(node, struct load, by_key);
        const bool is_over = load->state != LOAD_LEASING && now_ms >= load->until_ms;
        if (is_over && (load->state != LOAD_HELD || calls++ < WALK_ENDS)) {
            list_remove(&load->in_due);
            list_push_back(&due, &load->in_due);
        }
    }
    while (!list_empty(&due)) {
        struct load *load = LIST_ENTRY(due.next, struct load, in_due);
        list_remove(&load->in_due);
        load_on_time(load, now_ms);
    }
    return calls < WALK_ENDS ? calls : WALK_ENDS;
}

/* The held one that is to be renewed first, if that was due at `due_ms`; else NULL. */
static struct load *first_held(const struct loads *loads, int64_t due_ms)
{
    if (list_empty(&loads->held)) {
        return NULL;
    }
    struct load *load = LIST_ENTRY(loads->held.next, struct load, in_due);
    return load->renew_at_ms <= due_ms ? load : NULL;
}

/* In turn, so that all are as old when they are renewed; ahead of time, if they are too many for one LOAD_RENEW_MS. Those
 * that are not reached in time even so are given up: they would only make the next ones late, too, until all are lost. */
static void look_at_held(struct loads *loads, unsigned calls, int64_t now_ms)
{
    const bool is_many = loads->held_count > WALK_CALLS * (LOAD_RENEW_MS / WALK_MS);
    const int64_t due_ms = is_many ? now_ms + LOAD_RENEW_MS - WALK_MS : now_ms;
    struct load *load = NULL;
    while (calls < WALK_CALLS && (load = first_held(loads, due_ms)) != NULL) {
        calls++;
        load_on_time(load, now_ms);
    }
    while ((load = first_held(loads, now_ms - LATE_MS)) != NULL) {
        load_dissolve(load);
    }
}

static void look_at_loads(struct loads *loads, int64_t now_ms)
{
    const unsigned calls = look_at_ends(loads, now_ms);
    look_at_held(loads, calls, now_ms);
}

void load_tick(struct tiers_window *window)
{
    struct loads *loads = window->loads;
    if (loads == NULL) {
        return;
    }
    if (window->now_ms >= loads->due_ms) {
        look_at_waits(loads, window->now_ms);
    }
    if (window->now_ms >= loads->walk_at_ms && loads->by_key.count > 0) {
        loads->walk_at_ms = window->now_ms + WALK_MS;
        look_at_loads(loads, window->now_ms);
    }
}
