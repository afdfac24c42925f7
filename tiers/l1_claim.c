/* SPDX-License-Identifier: BSD-3-Clause */
/* Reading through: claims and their tokens (COHERENCE T1 to T3).
 *
 *                 l1_ask, nothing to serve                l1_fill, token stands
 *      no entry ---------------------------->  claim  -------------------------->  value
 *         ^                                     |  ^                                 |
 *         |   invalidation, flush, any landing  |  |  l1_ask: expired, suspect,      |
 *         +-------------------------------------+  |  fence closed                   |
 *         |                                        +---------------------------------+
 *         |   the same; eviction; expiry                                             |
 *         +--------------------------------------------------------------------------+
 *
 * A token stands exactly as long as its claim is in the table, so ending it is nothing but removing an entry. */
#include "protocol/check.h"
#include "tiers/l1_shard.h"

static struct item *claim_new(struct l1_shard *shard, const struct l1_key *key)
{
    if (key->bytes.size >= LIMIT_L1_KEY) {
        return NULL; /* such keys are never kept, so there is nothing to claim */
    }
    return item_new_in(shard->arena, &(struct item_spec){.db = key->db,
                                                         .key = key->bytes,
                                                         .value_size = sizeof(struct l1_claim_body),
                                                         .look = ITEM_LOOK_CLAIM});
}

/* Hands the suspect over: the claim lets go of it. Only for claims that are not in the table (any more): those in it
 * have their suspect counted. */
static struct item *claim_take_suspect(struct item *claim)
{
    struct l1_claim_body body = l1_claim_read(claim);
    struct item *suspect = body.suspect;
    body.suspect = NULL;
    l1_claim_write(claim, &body);
    return suspect;
}

/* Unique in this L1: the shard's counter with the shard's number below it. Never 0, as the counter starts at 1. */
static uint64_t token_new(const struct l1 *l1, struct l1_shard *shard, uint64_t hash)
{
    return shard->token_next++ << L1_HASH_SHARD_BITS | l1_shard_of(l1, hash);
}

/* Puts a claim where `place` has an entry that may not be served (or nothing, `place` NULL). */
static enum status claim_install(const struct l1 *l1, struct l1_shard *shard,
                                 const struct l1_key *key, const struct l1_place *place,
                                 const struct l1_ask *ask, struct l1_claim *ret_claim)
{
    l1_tell_time(shard, ask->now_ms);
    struct item *claim = claim_new(shard, key);
    if (claim == NULL) {
        return NO_MEMORY;
    }
    struct item *before = place != NULL ? l1_place_item(place) : NULL;
    struct l1_claim_body body = {
        .token = token_new(l1, shard, key->hash),
        .generation = ask->generation,
        .issued_at_ms = ask->now_ms,
        .owner = ask->worker,
    };
    if (before != NULL) {
        body.suspect = l1_is_claim(before) ? l1_claim_read(before).suspect : before;
    }
    l1_claim_write(claim, &body);
    item_set_db(claim, l1_db_stored(l1, key->db));
    *ret_claim =
        (struct l1_claim){.token = body.token, .owner = body.owner, .generation = body.generation};
    if (before == NULL) {
        enum status status = l1_insert(shard, key->hash, claim, 0); /* the fill tells the policy */
        if (status != OK) {
            item_release_in(shard->arena, claim);
        }
        return status == OK ? CLAIMED : status;
    }
    l1_replace(shard, *place, claim);
    if (l1_is_claim(before)) {
        claim_take_suspect(before);
        l1_bury(shard, before);
    }
    return CLAIMED;
}

struct item *l1_claim_spare(const struct item *claim, int64_t now_ms, int64_t floor_ms)
{
    struct item *suspect = l1_claim_read(claim).suspect;
    const bool is_good = suspect != NULL && item_stamped_at_ms(suspect) >= floor_ms &&
                         !item_expired(suspect, now_ms);
    return is_good ? suspect : NULL;
}

static void claim_report(const struct item *claim, struct l1_claim *ret_claim)
{
    struct l1_claim_body body = l1_claim_read(claim);
    *ret_claim =
        (struct l1_claim){.token = body.token, .owner = body.owner, .generation = body.generation};
}

static bool claim_joinable(const struct item *claim, const struct l1_ask *ask)
{
    struct l1_claim_body body = l1_claim_read(claim);
    const int64_t age_ms = ask->now_ms - body.issued_at_ms;
    /* Somebody may have read the clock a little later than who asks now, but not by that much. */
    return body.generation == ask->generation && age_ms < ask->join_ms && age_ms > -ask->join_ms;
}

static void ask_serve(struct l1 *l1, struct l1_shard *shard, const struct l1_key *key,
                      const struct l1_place *place, struct item *item, const struct l1_ask *ask,
                      struct l1_value *value)
{
    count_add(&shard->hits, 1);
    l1_use(shard, place, ask->now_ms);
    l1_value_set(shard, value, item);
    l1_note(l1, shard, key, WHATIF_HIT, item, ask->now_ms);
}

static void ask_missed(struct l1 *l1, struct l1_shard *shard, const struct l1_key *key,
                       const struct l1_ask *ask, bool is_suspect)
{
    count_add(&shard->misses, 1);
    l1_note(l1, shard, key, is_suspect ? WHATIF_SUSPECT : WHATIF_MISS, NULL, ask->now_ms);
}

static enum status ask_locked(struct l1 *l1, struct l1_shard *shard, const struct l1_key *key,
                              const struct l1_ask *ask, struct l1_value *value,
                              struct l1_claim *ret_claim)
{
    struct l1_place place;
    bool found = l1_find_live(l1, shard, key, ask->now_ms, &place);
    bool is_suspect = false;
    if (found) {
        struct item *item = l1_place_item(&place);
        if (l1_is_claim(item)) {
            struct item *spare = l1_claim_spare(item, ask->now_ms, ask->floor_ms);
            if (spare != NULL) {
                ask_serve(l1, shard, key, &place, spare, ask, value);
                return OK;
            }
            is_suspect = l1_claim_read(item).suspect != NULL;
            if (claim_joinable(item, ask)) {
                ask_missed(l1, shard, key, ask, is_suspect);
                claim_report(item, ret_claim);
                return TAKEN;
            }
        } else if (item_stamped_in_ms(shard->arena, item) >= ask->floor_ms) {
            ask_serve(l1, shard, key, &place, item, ask, value);
            return OK;
        } else {
            is_suspect = true;
        }
    }
    ask_missed(l1, shard, key, ask, is_suspect);
    if (!found && ask->claims_known_only) {
        return MISS;
    }
    return claim_install(l1, shard, key, found ? &place : NULL, ask, ret_claim);
}

/* What a claim adds is little, and about that much. */
static size_t claim_bytes(const struct l1_key *key)
{
    return sizeof(struct item) + sizeof(struct l1_claim_body) + key->bytes.size;
}

enum status l1_ask(struct l1 *l1, const struct l1_key *key, const struct l1_ask *ask,
                   struct l1_value *value, struct l1_claim *ret_claim)
{
    struct l1_shard *shard = l1_lock(l1, key->hash);
    enum status status = ask_locked(l1, shard, key, ask, value, ret_claim);
    if (status == OK) {
        l1_unlock_unchanged(shard);
        return OK;
    }
    l1_unlock(l1, shard);
    if (status == CLAIMED) {
        l1_evict(l1, key->hash, NULL, claim_bytes(key), ask->now_ms);
    }
    return status;
}

static enum status claim_unasked(struct l1 *l1, struct l1_shard *shard, const struct l1_key *key,
                                 const struct l1_ask *ask, struct item **ret_before,
                                 struct l1_claim *ret_claim)
{
    struct l1_place place;
    if (!l1_find_live(l1, shard, key, ask->now_ms, &place)) {
        return ask->claims_known_only ? MISS : claim_install(l1, shard, key, NULL, ask, ret_claim);
    }
    struct item *item = l1_place_item(&place);
    if (l1_is_claim(item)) {
        return TAKEN;
    }
    if (item_stamped_at_ms(item) >= ask->floor_ms) {
        return OK;
    }
    const enum status status = claim_install(l1, shard, key, &place, ask, ret_claim);
    *ret_before = status == CLAIMED ? item_ref(item) : NULL;
    return status;
}

enum status l1_claim_unasked(struct l1 *l1, const struct l1_key *key, const struct l1_ask *ask,
                             struct item **ret_before, struct l1_claim *ret_claim)
{
    struct l1_shard *shard = l1_lock(l1, key->hash);
    *ret_before = NULL;
    const enum status status = claim_unasked(l1, shard, key, ask, ret_before, ret_claim);
    l1_unlock(l1, shard);
    if (status == CLAIMED && !ask->on_probation) {
        l1_evict(l1, key->hash, NULL, claim_bytes(key), ask->now_ms);
    }
    return status;
}

/* --- landings ----------------------------------------------------------------------------------------------------- */

static bool token_stands(const struct item *entry, const struct l1_landing *landing)
{
    if (!l1_is_claim(entry) || !landing->install) {
        return false;
    }
    struct l1_claim_body body = l1_claim_read(entry);
    return body.token == landing->token && body.generation == landing->generation;
}

enum {
    NOTED_MAX = 64 << 10, /* of longer values no note is taken: it is made under the lock */
};

/* What a value is, for comparing; 0: not noted. */
static uint64_t note_of(const struct l1 *l1, const struct l1_landing *landing,
                        const struct item *item)
{
    const struct slice value = item_value(item);
    if (value.size < landing->about || value.size > NOTED_MAX) {
        return 0;
    }
    const struct slice bytes = {.data = value.data + landing->about,
                                .size = value.size - landing->about};
    const uint64_t note = hash_key(&l1->secret, bytes) ^ item_is_hash(item);
    return note != 0 ? note : 1;
}

/* Whether what landed while the claim stood is what its own read brings. */
static bool agrees(const struct l1 *l1, const struct item *claim, const struct l1_landing *landing,
                   const struct item *item)
{
    const uint64_t noted = l1_claim_read(claim).noted;
    return noted == 0 || noted == note_of(l1, landing, item);
}

/* A landing without a live token spares the claim of another read. False: it must go. */
static bool spare_claim(const struct l1 *l1, struct item *entry, const struct l1_landing *landing,
                        const struct item *item)
{
    if (!landing->spares_claims || !l1_is_claim(entry)) {
        return false;
    }
    struct l1_claim_body body = l1_claim_read(entry);
    const uint64_t note = note_of(l1, landing, item);
    if (body.token == landing->token || body.suspect != NULL || note == 0 ||
        (body.noted != 0 && body.noted != note)) {
        return false;
    }
    body.noted = note;
    l1_claim_write(entry, &body);
    return true;
}

/* A key that was in use before its value became suspect keeps its standing with the policy. */
static uint32_t word_after(struct l1_shard *shard, const struct l1_key *key,
                           const struct l1_place *place, const struct l1_landing *landing,
                           const struct item *item)
{
    const uint32_t word = l1_place_word(place);
    if (l1_claim_read(l1_place_item(place)).suspect == NULL) {
        return landing->on_probation ? l1_word_probation(shard, key->hash, item_footprint(item),
                                                         landing->heat, landing->now_ms)
                                     : l1_word_first(shard, key->hash, item, landing->now_ms);
    }
    return landing->unused ? word : l1_word_used(shard, word, item, landing->now_ms);
}

/* Puts the item where its claim stands, a copy if it was made elsewhere. False: no memory. */
static bool fill_place(const struct l1 *l1, struct l1_shard *shard, const struct l1_key *key,
                       const struct l1_place *place, const struct l1_landing *landing,
                       struct item *item)
{
    struct item *own =
        item_is_in(item, shard->arena) ? item_ref(item) : item_copy_in(shard->arena, item);
    if (own == NULL) {
        return false;
    }
    item_set_db(own, l1_db_stored(l1, key->db));
    uint32_t word = word_after(shard, key, place, landing, own);
    l1_bury(shard, l1_replace(shard, *place, own));
    l1_place_set_word(place, word);
    shard->fills++;
    return true;
}

/* What has no room in L1 might have some elsewhere. What may not be kept may be kept nowhere. */
static enum whatif_event event_of(bool stands, const struct l1_landing *landing)
{
    if (!stands) {
        return WHATIF_END;
    }
    return landing->unused ? WHATIF_REFRESH : WHATIF_WRITE;
}

enum status l1_fill(struct l1 *l1, const struct l1_key *key, const struct l1_landing *landing,
                    struct item *item)
{
    size_t footprint = item_footprint(item);
    bool fits =
        footprint <= atomic_load_explicit(&l1->bytes_max, memory_order_relaxed) &&
        (landing->on_probation ||
         l1_make_room(l1, UINT64_C(1) << l1_shard_of(l1, key->hash), footprint, landing->now_ms));
    struct l1_place place;
    struct l1_shard *shard = l1_lock(l1, key->hash);
    CHECK(item_key(item).size == key->bytes.size);
    bool found = l1_find(l1, shard, key, &place);
    bool stands = found && token_stands(l1_place_item(&place), landing) &&
                  agrees(l1, l1_place_item(&place), landing, item);
    l1_note(l1, shard, key, event_of(stands, landing), item, landing->now_ms);
    const bool had_suspect = stands && l1_claim_read(l1_place_item(&place)).suspect != NULL;
    if (stands && fits && !item_expired(item, landing->now_ms) &&
        fill_place(l1, shard, key, &place, landing, item)) {
        const uint32_t word = l1_place_word(&place);
        l1_unlock(l1, shard);
        if (landing->on_probation && !had_suspect) {
            return l1_evict_colder(l1, key, word, footprint, landing->now_ms) ? OK : BUSY;
        }
        l1_evict(l1, key->hash, item, footprint, landing->now_ms);
        return OK;
    }
    /* T3: a landing without a live token drops the entry, whatever it is. What it carries may be older than what stands
     * there, and its reader has seen it; keeping the entry would let another reader of the same session see older. */
    if (found && !spare_claim(l1, l1_place_item(&place), landing, item)) {
        l1_bury(shard, l1_remove(shard, &place));
    }
    shard->refused_fills += fits;
    l1_unlock(l1, shard);
    return fits ? STALE : TOO_BIG;
}

/* Values that went with an entry: itself, or the suspect of a claim. */
static unsigned values_in(const struct item *entry)
{
    return !l1_is_claim(entry) || l1_claim_read(entry).suspect != NULL;
}

static unsigned drop(struct l1 *l1, const struct l1_key *key, bool invalidated)
{
    unsigned went = 0;
    struct l1_place place;
    struct l1_shard *shard = l1_lock(l1, key->hash);
    l1_note(l1, shard, key, WHATIF_END, NULL, 0);
    if (l1_find(l1, shard, key, &place)) {
        struct item *entry = l1_remove(shard, &place);
        went = values_in(entry);
        shard->invalidations += invalidated ? went : 0;
        l1_bury(shard, entry);
    }
    l1_unlock(l1, shard);
    return went;
}

void l1_land(struct l1 *l1, const struct l1_key *key)
{
    (void)drop(l1, key, false);
}

unsigned l1_invalidate(struct l1 *l1, const struct l1_key *key)
{
    return drop(l1, key, true);
}

unsigned l1_forget(struct l1 *l1, struct slice bytes)
{
    uint64_t hash = l1_hash(l1, bytes);
    unsigned went = 0;
    struct l1_place place;
    struct l1_shard *shard = l1_lock(l1, hash);
    l1_whatif_forget(shard, hash);
    while (l1_table_find(&shard->table, hash, L1_DB_ANY, bytes,
                         &place)) { /* once per database at most */
        struct item *entry = l1_remove(shard, &place);
        went += values_in(entry);
        l1_bury(shard, entry);
    }
    shard->invalidations += went;
    l1_unlock(l1, shard);
    return went;
}

void l1_unclaim(struct l1 *l1, const struct l1_key *key, uint64_t token)
{
    struct l1_place place;
    struct l1_shard *shard = l1_lock(l1, key->hash);
    if (l1_find(l1, shard, key, &place)) {
        struct item *entry = l1_place_item(&place);
        if (l1_is_claim(entry) && l1_claim_read(entry).token == token) {
            struct item *suspect = l1_claim_read(entry).suspect;
            if (suspect != NULL) {
                l1_replace(shard, place, suspect);
                claim_take_suspect(entry);
            } else {
                l1_remove(shard, &place);
            }
            l1_bury(shard, entry);
        }
    }
    l1_unlock(l1, shard);
}
