/* SPDX-License-Identifier: BSD-3-Clause */
/* flights.h -- loads that are under way in this process: one per key; who wants the same waits for it.
 *
 *      flights_join -> LEADS: loads, then flights_land (exactly once)
 *                   -> WAITS: flight_wait, with a deadline of its own -> what the leader brought
 *
 * A leader that has something stale says so at once (flight_offer), and nobody waits for it then who takes such.
 * Between a question that found nothing and flights_join somebody may have landed: flights_mark before the question tells, and
 * the leader asks again (`landed_meanwhile`) instead of loading a second time.
 *
 * Owns:    flights, and copies of keys and values, until the last one who waits has gone.
 * Threads: any. A lock is held for a look into the table, never while somebody loads.
 * Units:   ms of CLOCK_MONOTONIC.
 * Limits:  FLIGHTS_MAX keys; who comes then leads alone, and nobody waits for him. */
#ifndef TERRACE_CLIENT_FLIGHTS_H
#define TERRACE_CLIENT_FLIGHTS_H

#include "protocol/bytes.h"

enum {
    FLIGHTS_MAX = 4096
};

struct flights;
struct flight;

struct flights *flights_new(void);           /* NULL: no memory */
void flights_close(struct flights *flights); /* all who wait end with CLOSED, now and later */
void flights_free(struct flights *flights);  /* closed, and nobody is inside; NULL is fine */

uint64_t flights_mark(struct flights *flights, struct slice key);

enum flight_role {
    FLIGHT_LEADS,
    FLIGHT_LEADS_ALONE, /* the table is full, or no memory: *ret_flight is NULL */
    FLIGHT_WAITS
};
/* `mark`: of before the question. */
enum flight_role flights_join(struct flights *flights, struct slice key, uint64_t mark,
                              struct flight **ret_flight, bool *ret_landed_meanwhile);
/* Waits only: NULL if nobody loads the key here. */
struct flight *flights_find(struct flights *flights, struct slice key);

/* What a leader brought, or has to offer meanwhile. */
struct flight_result {
    int status;         /* the leader's own word */
    bool asks_again;    /* this is not for others: they ask for themselves */
    struct slice value; /* data NULL: none */
    int64_t age_ms;
    int64_t ttl_ms;
};
/* Copies the value; without memory nothing is offered. At most once. */
void flight_offer(struct flights *flights, struct flight *flight,
                  const struct flight_result *stale);
/* Ends the leader's part. Copies the value if somebody waits; without memory they ask again. `flight` NULL is fine. */
void flights_land(struct flights *flights, struct flight *flight,
                  const struct flight_result *result);

/* OK: *ret is what was brought, or, if the waiter takes such, offered; its value borrows until flight_leave. TIMEOUT: nothing
 * came until `deadline_ms`. CLOSE: the client is being closed. Ends with flight_leave in any case. */
enum status flight_wait(struct flights *flights, struct flight *flight, bool takes_stale,
                        int64_t deadline_ms, struct flight_result *ret) MUST_USE;
void flight_leave(struct flights *flights, struct flight *flight);

#endif
