/* SPDX-License-Identifier: BSD-3-Clause */
/* flight_row.c -- the row in front of the turnstile (turnstile.h): flights that wait until L2 may be asked so much. */
#include "tiers/flight_inner.h"

static bool row_is_open(const struct tiers_window *window)
{
    return window->turnstile.percent > 0 &&
           tiers_is_returning(window->options.tiers, window->now_ms);
}

bool flights_wait(const struct tiers_window *window)
{
    return row_is_open(window) &&
           (window->row_count > 0 || !turnstile_has_room(&window->turnstile));
}

enum status flight_admit(struct flight *flight, bool in_background)
{
    struct tiers_window *window = flight->window;
    const struct link *link = window_link(window, flight->proto);
    if (link == NULL || link_is_down(link) || !row_is_open(window) ||
        (window->row_count == 0 && turnstile_pass(&window->turnstile))) {
        return OK;
    }
    if (in_background) {
        return BUSY;
    }
    if (window->row_count == TURNSTILE_ROW_MAX) {
        return L2_DOWN;
    }
    list_push_back(&window->row, &flight->in_row);
    window->row_count++;
    tiers_row_is_waiting(window->options.tiers, window->now_ms);
    metrics_count(window->options.metrics, M_READS_IN_ROW);
    return PENDING;
}

static struct flight *row_take(struct tiers_window *window)
{
    struct flight *flight = LIST_ENTRY(window->row.next, struct flight, in_row);
    list_remove(&flight->in_row);
    window->row_count--;
    return flight;
}

void flights_end_row(struct tiers_window *window)
{
    while (!list_empty(&window->row)) {
        flight_land(row_take(window), L2_DOWN, (struct slice){0});
    }
}

static bool row_goes_on(struct tiers_window *window)
{
    const struct flight *first = LIST_ENTRY(window->row.next, struct flight, in_row);
    return first->ttl_request.deadline_ms <= window->now_ms || !row_is_open(window) ||
           turnstile_pass(&window->turnstile);
}

void flights_tick(struct tiers_window *window)
{
    while (!list_empty(&window->row) && row_goes_on(window)) {
        struct flight *flight = row_take(window);
        const bool is_late = flight->ttl_request.deadline_ms <= window->now_ms;
        const enum status status = is_late ? L2_DOWN : flight_ask(flight);
        if (status != OK) {
            flight_land(flight, status == NO_MEMORY ? NO_MEMORY : L2_DOWN, (struct slice){0});
        }
    }
    if (window->row_count > 0) {
        tiers_row_is_waiting(window->options.tiers, window->now_ms);
    }
}
