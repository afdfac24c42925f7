/* SPDX-License-Identifier: BSD-3-Clause */
#include "client/flights.h"

#include "protocol/hash.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum {
    CHAINS = 1024
};

struct flight {
    struct flight *next;
    uint64_t hash;
    unsigned holders; /* the leader, and those who wait */
    bool has_landed;
    bool has_offer;
    struct flight_result landed; /* values: owned */
    struct flight_result offer;
    pthread_cond_t changed;
    size_t key_size;
    char key[];
};

struct flights {
    pthread_mutex_t lock;
    pthread_condattr_t monotonic;
    bool is_closing;
    unsigned count;
    struct flight *chains[CHAINS]; /* those that have not landed */
    uint64_t landed[CHAINS];       /* how many have */
};

struct flights *flights_new(void)
{
    struct flights *flights = calloc(1, sizeof *flights);
    if (flights == NULL) {
        return NULL;
    }
    if (pthread_condattr_init(&flights->monotonic) != 0) {
        free(flights);
        return NULL;
    }
    if (pthread_mutex_init(&flights->lock, NULL) != 0) {
        (void)pthread_condattr_destroy(&flights->monotonic);
        free(flights);
        return NULL;
    }
    (void)pthread_condattr_setclock(&flights->monotonic, CLOCK_MONOTONIC);
    return flights;
}

void flights_close(struct flights *flights)
{
    (void)pthread_mutex_lock(&flights->lock);
    flights->is_closing = true;
    for (size_t i = 0; i < CHAINS; i++) {
        for (struct flight *flight = flights->chains[i]; flight != NULL; flight = flight->next) {
            (void)pthread_cond_broadcast(&flight->changed);
        }
    }
    (void)pthread_mutex_unlock(&flights->lock);
}

void flights_free(struct flights *flights)
{
    if (flights == NULL) {
        return;
    }
    (void)pthread_mutex_destroy(&flights->lock);
    (void)pthread_condattr_destroy(&flights->monotonic);
    free(flights);
}

/* --- the table ------------------------------------------------------------------------------------------------------- */

static struct flight **link_of(struct flights *flights, uint64_t hash, struct slice key)
{
    struct flight **link = &flights->chains[hash % CHAINS];
    while (*link != NULL && ((*link)->hash != hash ||
                             !slice_equal((struct slice){(*link)->key, (*link)->key_size}, key))) {
        link = &(*link)->next;
    }
    return link;
}

static struct flight *flight_new(struct flights *flights, uint64_t hash, struct slice key)
{
    struct flight *flight =
        flights->count < FLIGHTS_MAX ? calloc(1, sizeof *flight + key.size) : NULL;
    if (flight == NULL) {
        return NULL;
    }
    if (pthread_cond_init(&flight->changed, &flights->monotonic) != 0) {
        free(flight);
        return NULL;
    }
    flight->hash = hash;
    flight->key_size = key.size;
    if (key.size > 0) {
        memcpy(flight->key, key.data, key.size);
    }
    return flight;
}

static void release(struct flight *flight)
{
    flight->holders--;
    if (flight->holders > 0) {
        return;
    }
    free((void *)(uintptr_t)flight->landed.value.data);
    free((void *)(uintptr_t)flight->offer.value.data);
    (void)pthread_cond_destroy(&flight->changed);
    free(flight);
}

uint64_t flights_mark(struct flights *flights, struct slice key)
{
    uint64_t hash = hash_checksum(key);
    (void)pthread_mutex_lock(&flights->lock);
    uint64_t mark = flights->landed[hash % CHAINS];
    (void)pthread_mutex_unlock(&flights->lock);
    return mark;
}

struct flight *flights_find(struct flights *flights, struct slice key)
{
    uint64_t hash = hash_checksum(key);
    (void)pthread_mutex_lock(&flights->lock);
    struct flight *flight = *link_of(flights, hash, key);
    if (flight != NULL) {
        flight->holders++;
    }
    (void)pthread_mutex_unlock(&flights->lock);
    return flight;
}

enum flight_role flights_join(struct flights *flights, struct slice key, uint64_t mark,
                              struct flight **ret_flight, bool *ret_landed_meanwhile)
{
    uint64_t hash = hash_checksum(key);
    (void)pthread_mutex_lock(&flights->lock);
    *ret_landed_meanwhile = flights->landed[hash % CHAINS] != mark;
    struct flight **link = link_of(flights, hash, key);
    enum flight_role role = *link == NULL ? FLIGHT_LEADS : FLIGHT_WAITS;
    if (*link == NULL) {
        *link = flight_new(flights, hash, key);
        flights->count += *link != NULL;
    }
    struct flight *flight = *link;
    if (flight != NULL) {
        flight->holders++;
    }
    (void)pthread_mutex_unlock(&flights->lock);
    *ret_flight = flight;
    return flight == NULL ? FLIGHT_LEADS_ALONE : role;
}

/* --- what the leader brings -------------------------------------------------------------------------------------------- */

/* The value is the flight's own afterwards; false: no memory. */
static bool copy_result(const struct flight_result *from, struct flight_result *ret)
{
    *ret = *from;
    if (from->value.data == NULL) {
        return true;
    }
    char *copy = malloc(from->value.size + 1);
    ret->value.data = copy;
    if (copy != NULL) {
        memcpy(copy, from->value.data, from->value.size);
    }
    return copy != NULL;
}

void flight_offer(struct flights *flights, struct flight *flight, const struct flight_result *stale)
{
    struct flight_result offer = {0};
    if (flight == NULL || !copy_result(stale, &offer)) {
        return;
    }
    (void)pthread_mutex_lock(&flights->lock);
    flight->offer = offer;
    flight->has_offer = true;
    (void)pthread_cond_broadcast(&flight->changed);
    (void)pthread_mutex_unlock(&flights->lock);
}

static void unlink_flight(struct flights *flights, struct flight *flight)
{
    struct flight **link = &flights->chains[flight->hash % CHAINS];
    while (*link != flight) {
        link = &(*link)->next;
    }
    *link = flight->next;
    flights->count--;
    flights->landed[flight->hash % CHAINS]++;
}

/* Out of the table first, so that nobody joins while the value is copied outside of the lock. */
void flights_land(struct flights *flights, struct flight *flight,
                  const struct flight_result *result)
{
    if (flight == NULL) {
        return;
    }
    (void)pthread_mutex_lock(&flights->lock);
    unlink_flight(flights, flight);
    bool is_wanted = flight->holders > 1;
    (void)pthread_mutex_unlock(&flights->lock);
    struct flight_result landed = {.asks_again = true};
    if (is_wanted && !copy_result(result, &landed)) {
        landed = (struct flight_result){.asks_again = true};
    }
    (void)pthread_mutex_lock(&flights->lock);
    flight->landed = landed;
    flight->has_landed = true;
    (void)pthread_cond_broadcast(&flight->changed);
    release(flight);
    (void)pthread_mutex_unlock(&flights->lock);
}

/* --- who waits --------------------------------------------------------------------------------------------------------- */

enum status flight_wait(struct flights *flights, struct flight *flight, bool takes_stale,
                        int64_t deadline_ms, struct flight_result *ret)
{
    const struct timespec until = {
        .tv_sec = deadline_ms / 1000,
        .tv_nsec = deadline_ms % 1000 * 1000000,
    };
    int late = 0;
    enum status status = TIMEOUT;
    (void)pthread_mutex_lock(&flights->lock);
    while (!flight->has_landed && !(takes_stale && flight->has_offer) && !flights->is_closing &&
           late == 0) {
        late = pthread_cond_timedwait(&flight->changed, &flights->lock, &until);
    }
    if (flight->has_landed) {
        *ret = flight->landed;
        status = OK;
    } else if (takes_stale && flight->has_offer) {
        *ret = flight->offer;
        status = OK;
    } else if (flights->is_closing) {
        status = CLOSE;
    }
    (void)pthread_mutex_unlock(&flights->lock);
    return status;
}

void flight_leave(struct flights *flights, struct flight *flight)
{
    (void)pthread_mutex_lock(&flights->lock);
    release(flight);
    (void)pthread_mutex_unlock(&flights->lock);
}
