/* SPDX-License-Identifier: BSD-3-Clause */
#include "tiers/foreseen.h"

#include "protocol/check.h"

#include <stdlib.h>
#include <string.h>

struct foreseen_key {
    struct foreseen_key *next;
    uint64_t owner;
    struct foreseen_life life;
    bool is_armed;
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
static void set_armed(struct foreseen *foreseen, size_t place, struct foreseen_key *known,
                      bool is_armed)
{
    if (is_armed && !known->is_armed) {
        atomic_fetch_add_explicit(&foreseen->places[place], 1, memory_order_relaxed);
        atomic_fetch_add_explicit(&foreseen->armed, 1, memory_order_relaxed);
    } else if (!is_armed && known->is_armed) {
        atomic_fetch_sub_explicit(&foreseen->places[place], 1, memory_order_relaxed);
        atomic_fetch_sub_explicit(&foreseen->armed, 1, memory_order_relaxed);
    }
    known->is_armed = is_armed;
}

static bool is_near(const struct foreseen_key *known, int64_t now_ms)
{
    return now_ms >= known->life.from_ms - FORESEEN_AHEAD_MS;
}

static void forget(struct foreseen *foreseen, size_t place, struct foreseen_key **link)
{
    struct foreseen_key *known = *link;
    set_armed(foreseen, place, known, false);
    *link = known->next;
    free(known);
    atomic_fetch_sub_explicit(&foreseen->known, 1, memory_order_relaxed);
}

/* Where it hangs; *NULL: it is not known. */
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

/* FORESEEN_OWNERS: nowhere. */
static unsigned place_of_owner(const struct foreseen *foreseen, uint64_t owner)
{
    unsigned i = 0;
    while (i < FORESEEN_OWNERS && foreseen->counts[i].owner != owner) {
        i++;
    }
    return i;
}

static void count(struct foreseen *foreseen, uint64_t owner)
{
    unsigned at = place_of_owner(foreseen, owner);
    if (at == FORESEEN_OWNERS) {
        at = place_of_owner(foreseen, 0);
    }
    if (at < FORESEEN_OWNERS) {
        foreseen->counts[at].owner = owner;
        foreseen->counts[at].count++;
    }
}

void foreseen_done(struct foreseen *foreseen)
{
    foreseen_tick(foreseen, INT64_MAX);
    (void)pthread_mutex_destroy(&foreseen->lock);
}

/* NULL: no memory. */
static struct foreseen_key *add(struct foreseen *foreseen, const struct l1_key *key,
                                int64_t from_ms)
{
    struct foreseen_key *known = calloc(1, sizeof *known + key->bytes.size);
    if (known == NULL) {
        return NULL;
    }
    known->life.from_ms = from_ms;
    known->db = key->db;
    known->size = key->bytes.size;
    if (key->bytes.size > 0) {
        memcpy(known->bytes, key->bytes.data, key->bytes.size);
    }
    known->next = foreseen->chains[place_of(key)];
    foreseen->chains[place_of(key)] = known;
    atomic_fetch_add_explicit(&foreseen->known, 1, memory_order_relaxed);
    return known;
}

void foreseen_watch(struct foreseen *foreseen, const struct l1_key *key,
                    const struct foreseen_life *life, uint64_t owner, int64_t now_ms)
{
    CHECK(owner != 0);
    (void)pthread_mutex_lock(&foreseen->lock);
    struct foreseen_key *known = *find(foreseen, key);
    if (known == NULL &&
        atomic_load_explicit(&foreseen->known, memory_order_relaxed) < FORESEEN_MAX) {
        known = add(foreseen, key, life->from_ms);
    }
    if (known != NULL) {
        known->life.until_ms = life->until_ms;
        known->life.life_ms = life->life_ms;
        known->owner = owner;
        set_armed(foreseen, place_of(key), known, is_near(known, now_ms));
    }
    (void)pthread_mutex_unlock(&foreseen->lock);
}

bool foreseen_on_read(struct foreseen *foreseen, const struct l1_key *key, bool is_hit,
                      int64_t now_ms)
{
    bool counts = false;
    (void)pthread_mutex_lock(&foreseen->lock);
    struct foreseen_key **link = find(foreseen, key);
    struct foreseen_key *known = *link;
    if (known != NULL && !is_hit) {
        forget(foreseen, place_of(key), link);
    } else if (known != NULL && known->is_armed && now_ms >= known->life.from_ms &&
               now_ms < known->life.until_ms) {
        counts = true;
        count(foreseen, known->owner);
        set_armed(foreseen, place_of(key), known, false);
        known->life.from_ms = now_ms + known->life.life_ms;
    }
    (void)pthread_mutex_unlock(&foreseen->lock);
    return counts;
}

void foreseen_tick(struct foreseen *foreseen, int64_t now_ms)
{
    if (atomic_load_explicit(&foreseen->known, memory_order_relaxed) == 0) {
        return;
    }
    (void)pthread_mutex_lock(&foreseen->lock);
    for (size_t place = 0; place < FORESEEN_PLACES; place++) {
        for (struct foreseen_key **link = &foreseen->chains[place]; *link != NULL;) {
            struct foreseen_key *known = *link;
            if (now_ms >= known->life.until_ms) {
                forget(foreseen, place, link);
                continue;
            }
            set_armed(foreseen, place, known, is_near(known, now_ms));
            link = &known->next;
        }
    }
    (void)pthread_mutex_unlock(&foreseen->lock);
}

/* Of nobody nothing is counted. */
static uint64_t take(struct foreseen *foreseen, uint64_t owner, uint64_t owner_after)
{
    const unsigned at = place_of_owner(foreseen, owner);
    if (at == FORESEEN_OWNERS) {
        return 0;
    }
    const uint64_t taken = foreseen->counts[at].count;
    foreseen->counts[at].owner = owner_after;
    foreseen->counts[at].count = 0;
    return taken;
}

uint64_t foreseen_take(struct foreseen *foreseen, uint64_t owner)
{
    (void)pthread_mutex_lock(&foreseen->lock);
    const uint64_t taken = take(foreseen, owner, owner);
    (void)pthread_mutex_unlock(&foreseen->lock);
    return taken;
}

void foreseen_drop(struct foreseen *foreseen, uint64_t owner)
{
    (void)pthread_mutex_lock(&foreseen->lock);
    for (size_t place = 0; place < FORESEEN_PLACES; place++) {
        for (struct foreseen_key **link = &foreseen->chains[place]; *link != NULL;) {
            if ((*link)->owner == owner) {
                forget(foreseen, place, link);
            } else {
                link = &(*link)->next;
            }
        }
    }
    (void)take(foreseen, owner, 0);
    (void)pthread_mutex_unlock(&foreseen->lock);
}
