/* SPDX-License-Identifier: BSD-3-Clause */
#include "tiers/foreseen.h"

#include "protocol/check.h"

#include <stdlib.h>
#include <string.h>

struct foreseen_key {
    struct foreseen_key *next;
    uint64_t owner;
    int64_t from_ms;
    int64_t until_ms;
    uint8_t db;
    size_t size;
    char bytes[];
};

void foreseen_init(struct foreseen *foreseen)
{
    memset(foreseen, 0, sizeof *foreseen);
    CHECK(pthread_mutex_init(&foreseen->lock, NULL) == 0);
}

static size_t place_of(const struct l1_key *key)
{
    return key->hash % FORESEEN_PLACES;
}

/* Under the lock, as all below. */
static void disarm(struct foreseen *foreseen, size_t place, struct foreseen_key **link)
{
    struct foreseen_key *armed = *link;
    *link = armed->next;
    free(armed);
    atomic_fetch_sub_explicit(&foreseen->places[place], 1, memory_order_relaxed);
    atomic_fetch_sub_explicit(&foreseen->armed, 1, memory_order_relaxed);
}

/* Where it hangs; *NULL: it is not armed. */
static struct foreseen_key **find(struct foreseen *foreseen, const struct l1_key *key)
{
    struct foreseen_key **link = &foreseen->chains[place_of(key)];
    while (*link != NULL &&
           ((*link)->db != key->db ||
            !slice_equal((struct slice){(*link)->bytes, (*link)->size}, key->bytes))) {
        link = &(*link)->next;
    }
    return link;
}

static void count(struct foreseen *foreseen, uint64_t owner)
{
    for (unsigned i = 0; i < FORESEEN_OWNERS; i++) {
        if (foreseen->counts[i].owner == owner || foreseen->counts[i].owner == 0) {
            foreseen->counts[i].owner = owner;
            foreseen->counts[i].count++;
            return;
        }
    }
}

void foreseen_done(struct foreseen *foreseen)
{
    foreseen_sweep(foreseen, INT64_MAX);
    (void)pthread_mutex_destroy(&foreseen->lock);
}

void foreseen_arm(struct foreseen *foreseen, const struct l1_key *key, int64_t from_ms,
                  int64_t until_ms, uint64_t owner)
{
    CHECK(owner != 0);
    (void)pthread_mutex_lock(&foreseen->lock);
    const size_t place = place_of(key);
    struct foreseen_key *armed = *find(foreseen, key);
    if (armed == NULL &&
        atomic_load_explicit(&foreseen->armed, memory_order_relaxed) < FORESEEN_MAX) {
        armed = malloc(sizeof *armed + key->bytes.size);
        if (armed != NULL) {
            armed->next = foreseen->chains[place];
            armed->db = key->db;
            armed->size = key->bytes.size;
            if (key->bytes.size > 0) {
                memcpy(armed->bytes, key->bytes.data, key->bytes.size);
            }
            foreseen->chains[place] = armed;
            atomic_fetch_add_explicit(&foreseen->places[place], 1, memory_order_relaxed);
            atomic_fetch_add_explicit(&foreseen->armed, 1, memory_order_relaxed);
        }
    }
    if (armed != NULL) {
        armed->from_ms = from_ms;
        armed->until_ms = until_ms;
        armed->owner = owner;
    }
    (void)pthread_mutex_unlock(&foreseen->lock);
}

bool foreseen_on_read(struct foreseen *foreseen, const struct l1_key *key, bool is_hit,
                      int64_t now_ms)
{
    bool counts = false;
    (void)pthread_mutex_lock(&foreseen->lock);
    struct foreseen_key **link = find(foreseen, key);
    if (*link != NULL && (!is_hit || now_ms >= (*link)->from_ms)) {
        counts = is_hit && now_ms < (*link)->until_ms;
        if (counts) {
            count(foreseen, (*link)->owner);
        }
        disarm(foreseen, place_of(key), link);
    }
    (void)pthread_mutex_unlock(&foreseen->lock);
    return counts;
}

void foreseen_sweep(struct foreseen *foreseen, int64_t now_ms)
{
    if (atomic_load_explicit(&foreseen->armed, memory_order_relaxed) == 0) {
        return;
    }
    (void)pthread_mutex_lock(&foreseen->lock);
    for (size_t place = 0; place < FORESEEN_PLACES; place++) {
        for (struct foreseen_key **link = &foreseen->chains[place]; *link != NULL;) {
            if (now_ms >= (*link)->until_ms) {
                disarm(foreseen, place, link);
            } else {
                link = &(*link)->next;
            }
        }
    }
    (void)pthread_mutex_unlock(&foreseen->lock);
}

uint64_t foreseen_take(struct foreseen *foreseen, uint64_t owner)
{
    uint64_t taken = 0;
    (void)pthread_mutex_lock(&foreseen->lock);
    for (unsigned i = 0; i < FORESEEN_OWNERS; i++) {
        if (foreseen->counts[i].owner == owner) {
            taken = foreseen->counts[i].count;
            foreseen->counts[i].count = 0;
        }
    }
    (void)pthread_mutex_unlock(&foreseen->lock);
    return taken;
}
