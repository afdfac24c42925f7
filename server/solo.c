/* SPDX-License-Identifier: BSD-3-Clause */
#include "server/solo.h"

#include "protocol/check.h"

#include <pthread.h>
#include <stdlib.h>

struct solo {
    /* Read by all at every batch; written under the lock. A seat is taken, then `closed` is looked at; `closed` is set, then
     * the seats are looked at: with sequential consistency one of both sees the other. */
    _Alignas(64) _Atomic bool closed;
    pthread_mutex_t lock;
    pthread_cond_t changed; /* a seat that is waited for, or `closed` */
    unsigned count;
    struct solo_seat *seats;
};

struct solo *solo_new(unsigned seats)
{
    struct solo *solo = aligned_alloc(_Alignof(struct solo), sizeof *solo);
    if (solo == NULL) {
        return NULL;
    }
    solo->seats = aligned_alloc(_Alignof(struct solo_seat), seats * sizeof *solo->seats);
    if (solo->seats == NULL) {
        free(solo);
        return NULL;
    }
    atomic_init(&solo->closed, false);
    solo->count = seats;
    for (unsigned i = 0; i < seats; i++) {
        atomic_init(&solo->seats[i].taken, false);
    }
    CHECK(pthread_mutex_init(&solo->lock, NULL) == 0);
    CHECK(pthread_cond_init(&solo->changed, NULL) == 0);
    return solo;
}

void solo_free(struct solo *solo)
{
    if (solo != NULL) {
        CHECK(pthread_cond_destroy(&solo->changed) == 0);
        CHECK(pthread_mutex_destroy(&solo->lock) == 0);
        free(solo->seats);
        free(solo);
    }
}

static void lock(struct solo *solo)
{
    CHECK(pthread_mutex_lock(&solo->lock) == 0);
}

static void unlock(struct solo *solo)
{
    CHECK(pthread_mutex_unlock(&solo->lock) == 0);
}

static void wait(struct solo *solo)
{
    CHECK(pthread_cond_wait(&solo->changed, &solo->lock) == 0);
}

static void tell_all(struct solo *solo)
{
    CHECK(pthread_cond_broadcast(&solo->changed) == 0);
}

/* Under the lock: leaves the seat until nobody is alone or about to be. */
static void stand_aside(struct solo *solo, unsigned seat)
{
    while (atomic_load(&solo->closed)) {
        atomic_store(&solo->seats[seat].taken, false);
        tell_all(solo);
        wait(solo);
    }
}

void solo_sit(struct solo *solo, unsigned seat)
{
    if (solo == NULL) {
        return;
    }
    atomic_store(&solo->seats[seat].taken, true);
    if (atomic_load(&solo->closed)) {
        lock(solo);
        stand_aside(solo, seat);
        atomic_store(&solo->seats[seat].taken, true); /* who closes does so under the lock, too */
        unlock(solo);
    }
}

void solo_rise(struct solo *solo, unsigned seat)
{
    if (solo == NULL) {
        return;
    }
    atomic_store(&solo->seats[seat].taken, false);
    if (atomic_load(&solo->closed)) {
        lock(solo);
        tell_all(solo);
        unlock(solo);
    }
}

static bool others_sit(const struct solo *solo, unsigned seat)
{
    for (unsigned i = 0; i < solo->count; i++) {
        if (i != seat && atomic_load(&solo->seats[i].taken)) {
            return true;
        }
    }
    return false;
}

void solo_begin(struct solo *solo, unsigned seat)
{
    if (solo == NULL) {
        return;
    }
    lock(solo);
    stand_aside(solo, seat);
    atomic_store(&solo->seats[seat].taken, true);
    atomic_store(&solo->closed, true);
    while (others_sit(solo, seat)) {
        wait(solo);
    }
    unlock(solo);
}

void solo_end(struct solo *solo)
{
    if (solo == NULL) {
        return;
    }
    lock(solo);
    atomic_store(&solo->closed, false);
    tell_all(solo);
    unlock(solo);
}
