/* SPDX-License-Identifier: BSD-3-Clause */
/* window_read.c -- reads of a window: what L1 may serve as the contract of its namespace says, and what must be asked for
 * (flight.c). */
#include "protocol/check.h"
#include "tiers/bans.h"
#include "tiers/behind_desk.h"
#include "tiers/foreseen.h"
#include "tiers/window.h"

#include <stdlib.h>

/* Bounded reads need no look: what they are served is within their T. */
static inline void window_count_stale(const struct tiers_window *window, const struct namespace *ns,
                                      const struct wish *wish, int64_t stamp_ms)
{
    if (wish != NULL || namespace_kind(ns) != NAMESPACE_BOUNDED) {
        const struct namespace_mode mode = namespace_mode(ns);
        const unsigned stale = contract_is_stale(window_proof(window, ns), &mode, stamp_ms) ? 1 : 0;
        metrics_add(window->options.metrics, M_STALE_SERVED, stale);
        namespace_tally(ns, window->options.worker, TALLY_STALE, stale);
    }
}

enum status tiers_spare(struct tiers_window *window, const struct ns_key *key,
                        const struct wish *wish, struct l1_value *value)
{
    const struct contract contract = window_contract(window, key->ns, wish);
    if (contract.spare_from_ms == INT64_MAX) {
        return MISS;
    }
    const enum status status =
        l1_get(key->ns->l1, &key->at, window->now_ms, contract.spare_from_ms, value);
    if (status == OK) {
        window_count_stale(window, key->ns, wish, value->stamped_at_ms);
    }
    return status;
}

struct tiers_age tiers_age(const struct tiers_window *window, const struct namespace *ns,
                           int64_t stamp_ms)
{
    const struct namespace_mode mode = namespace_mode(ns);
    return (struct tiers_age){
        .age_ms = proof_age_ms(window_proof(window, ns), stamp_ms),
        .is_stale = contract_is_stale(window_proof(window, ns), &mode, stamp_ms),
        .is_suspect = stamp_ms < window_proof(window, ns)->floor_ms,
    };
}

/* What L2 answers is judged by what was heard on the bus. In a mode that serves what is old while it is silent, by what was
 * heard then. */
bool window_hears_bans(const struct tiers_window *window, const struct namespace *ns)
{
    const int64_t most_ms = window_silence_ms(ns);
    return most_ms == INT64_MAX || proof_reaches(window_proof(window, ns), most_ms);
}

static enum managed_state window_judge(struct tiers_window *window, const struct namespace *ns,
                                       const struct managed_value *value, enum ban_verdict bans)
{
    const struct ns_rules rules = namespace_rules(ns);
    const bool draws = rules.xfetch_milli > 0;
    return managed_judge(value, &rules, bans, window->now_ms,
                         draws ? (uint32_t)rand_next(&window->rand) : 0);
}

enum managed_state tiers_judge(struct tiers_window *window, const struct ns_key *key,
                               struct slice bytes, int64_t expire_at_ms,
                               struct managed_value *ret_value, enum ban_verdict *ret_bans)
{
    *ret_bans = BAN_NONE;
    if (managed_open(bytes, expire_at_ms, ret_value) != OK) {
        *ret_value = (struct managed_value){0};
        return MANAGED_DEAD;
    }
    const struct bans *bans = tiers_bans(window->options.tiers);
    if ((ret_value->flags & MANAGED_JUDGED) != 0) {
        *ret_bans = bans_check_known(bans, key->ns, key->at.bytes, ret_value->version,
                                     ret_value->tags, ret_value->tag_count);
        return window_judge(window, key->ns, ret_value, *ret_bans);
    }
    const bool is_held = (ret_value->flags & MANAGED_HELD) != 0;
    *ret_bans = is_held ? bans_check_held(bans, key->ns, key->at.bytes, ret_value->version,
                                          ret_value->tags, ret_value->tag_count)
                        : bans_check(bans, window->bans_memo, key->ns, key->at.bytes, key->at.hash,
                                     ret_value->version, ret_value->tags, ret_value->tag_count);
    if (*ret_bans == BAN_UNKNOWN ||
        (*ret_bans != BAN_HARD && !window_hears_bans(window, key->ns))) {
        *ret_bans = (ret_value->flags & MANAGED_RECENT) != 0 ? BAN_NONE : BAN_UNKNOWN;
    }
    return window_judge(window, key->ns, ret_value, *ret_bans);
}

static struct promotion_key *window_promotion(struct tiers_window *window, const struct l1_key *key)
{
    if (window->promotion == NULL) {
        window->promotion = calloc(1, sizeof *window->promotion);
        if (window->promotion == NULL) {
            return NULL;
        }
    }
    /* Of one key in two databases something else may be known: a number that spreads over all bits. */
    return promotion_at(window->promotion, key->hash ^ key->db * UINT64_C(0x9e3779b97f4a7c15),
                        window->now_ms);
}

void window_refuse_hash(struct tiers_window *window, const struct l1_key *key)
{
    struct promotion_key *known = window_promotion(window, key);
    if (known != NULL) {
        promotion_refuse(known, window->now_ms);
    }
}

/* Whether L1 shall have the hash if it has nothing of it. */
static bool window_wants(const struct tiers_window *window, const struct promotion_key *known)
{
    return window->hash_fields_max > 0 && known != NULL && promotion_wants(known, window->now_ms);
}

static void window_note_hash(const struct tiers_window *window, struct promotion_key *known,
                             enum status status)
{
    if (known == NULL) {
        return;
    }
    if (status == OK) {
        promotion_hit(known, window->now_ms);
    } else if (status == MISS) {
        promotion_passed(known, window->now_ms);
    } else if (status == CLAIMED) {
        promotion_taken(known, window->now_ms);
    }
}

/* Of reads that began from the floor on. */
static int64_t window_join_ms(const struct tiers_window *window, const struct namespace *ns,
                              int64_t join_ms)
{
    const struct proof *proof = window_proof(window, ns);
    const int64_t since_floor_ms = proof_is_whole(proof) ? window->now_ms - proof->floor_ms : 0;
    return since_floor_ms < join_ms ? since_floor_ms : join_ms;
}

static struct l1_ask window_ask(const struct tiers_window *window, const struct namespace *ns,
                                const struct contract *contract)
{
    return (struct l1_ask){
        .now_ms = window->now_ms,
        .floor_ms = contract->serve_from_ms,
        .worker = window->options.worker,
        .generation = window->generation,
        .join_ms =
            window->tracks ? window_join_ms(window, ns, contract->join_ms) : contract->join_ms,
    };
}

static enum status window_ask_for_hash(struct tiers_window *window, const struct ns_key *key,
                                       struct l1_ask *ask, struct l1_value *value,
                                       struct l1_claim *ret_claim)
{
    struct promotion_key *known = window_promotion(window, &key->at);
    ask->claims_known_only = !window_wants(window, known);
    const enum status status = l1_ask(key->ns->l1, &key->at, ask, value, ret_claim);
    window_note_hash(window, known, status);
    return status;
}

static enum status spare_for(struct tiers_window *window, const struct ns_key *key,
                             const struct tiers_reader *reader, struct l1_value *value)
{
    const enum status status = tiers_spare(window, key, reader->wish, value);
    if (status != OK || !window_withholds(reader, value->bytes)) {
        return status;
    }
    item_release(value->item);
    value->item = NULL;
    return MISS;
}

/* A client's read is counted once: a question that is asked again has a time. */
static __attribute__((cold, noinline)) void window_count_read(struct tiers_window *window,
                                                              const struct ns_key *key,
                                                              const struct tiers_reader *reader)
{
    if (reader->in_background || reader->asked_ms != 0) {
        hot_put_off(window->hot);
    } else {
        hot_sample(window->hot, key->at.hash, key->at.db, key->at.bytes);
    }
}

enum status tiers_get(struct tiers_window *window, const struct ns_key *key, int proto,
                      struct l1_value *value, struct tiers_reader *reader, bool *ret_foreign)
{
    struct l1_claim claim = {0};
    struct contract contract = window_contract(window, key->ns, reader->wish);
    if (hot_is_due(window->hot)) {
        window_count_read(window, key, reader);
    }
    reader->managed = key->ns->managed;
    if (reader->managed) {
        bans_prefetch(window->bans_memo, key->at.hash);
        if (!bans_is_whole(tiers_bans(window->options.tiers))) {
            contract.serve_from_ms = INT64_MAX; /* nobody could say what it is worth, but L2 */
        }
    }
    if (reader->managed && window->behind != NULL) {
        const enum status found = behind_desk_read(window->behind, key, value, reader);
        if (found != MISS) {
            *ret_foreign = true; /* what ends a wait is another link */
            return found;
        }
    }
    struct l1_ask ask = window_ask(window, key->ns, &contract);
    enum status status = reader->of_hash ? window_ask_for_hash(window, key, &ask, value, &claim)
                                         : l1_ask(key->ns->l1, &key->at, &ask, value, &claim);
    if (foreseen_is_armed(window->foreseen, key->at.hash) && !reader->in_background) {
        window_note_foreseen(window, &key->at, status == OK);
    }
    if (status == OK) {
        metrics_count(window->options.metrics, M_L1_HITS);
        window_count_stale(window, key->ns, reader->wish, value->stamped_at_ms);
        if (!reader->managed || !window_withholds(reader, value->bytes)) {
            return OK;
        }
        item_release(value->item);
        value->item = NULL;
        return flight_join(window, key, proto, NO_MEMORY, &claim, contract.fence_ms, reader,
                           ret_foreign);
    }
    metrics_count(window->options.metrics, M_L1_MISSES);
    if (status == MISS) {
        return MISS;
    }
    if (reader->takes_large != NULL && !reader->managed && stream_knows_large(window, &key->at)) {
        if (status == CLAIMED) {
            l1_unclaim(key->ns->l1, &key->at, claim.token);
        }
        return TOO_BIG;
    }
    if (!reader->in_background && flights_wait(window) &&
        spare_for(window, key, reader, value) == OK) {
        if (status == CLAIMED) {
            l1_unclaim(key->ns->l1, &key->at, claim.token);
        }
        return OK;
    }
    reader->asked_ms = reader->asked_ms != 0 ? reader->asked_ms : window->now_ms;
    status =
        flight_join(window, key, proto, status, &claim, contract.fence_ms, reader, ret_foreign);
    return status == L2_DOWN && spare_for(window, key, reader, value) == OK ? OK : status;
}

enum status tiers_peek(struct tiers_window *window, const struct ns_key *key, struct l1_peek *ret)
{
    const int64_t from_ms = window_contract(window, key->ns, NULL).serve_from_ms;
    return from_ms == INT64_MAX ? MISS
                                : l1_peek(key->ns->l1, &key->at, window->now_ms, from_ms, ret);
}

enum status tiers_get_here(struct tiers_window *window, const struct ns_key *key,
                           struct l1_value *value)
{
    const int64_t from_ms = window_contract(window, key->ns, NULL).serve_from_ms;
    return from_ms == INT64_MAX ? MISS
                                : l1_get(key->ns->l1, &key->at, window->now_ms, from_ms, value);
}

/* What landed now would be kept: otherwise it would end the suspect that it was to make fresh. */
static bool window_may_keep(const struct tiers_window *window)
{
    const struct coherence_view *view = window->view;
    const struct link *link = window->links[0];
    const uint64_t target = atomic_load_explicit(&view->target, memory_order_acquire);
    return link != NULL && target != 0 && link_target(link) == target &&
           atomic_load_explicit(&view->may_install, memory_order_acquire);
}

enum status tiers_revalidate(struct tiers_window *window, const struct ns_key *key,
                             struct tiers_reader *reader, struct item **ret_suspect)
{
    struct l1_claim claim = {0};
    struct item *suspect = NULL;
    bool foreign = false;
    const struct contract contract = window_contract(window, key->ns, NULL);
    const struct l1_ask ask = {
        .now_ms = window->now_ms,
        .floor_ms = window_proof(window, key->ns)->floor_ms,
        .worker = window->options.worker,
        .generation = window->generation,
        .claims_known_only = true,
    };
    CHECK(reader->in_background);
    if (!window_may_keep(window)) {
        return BUSY;
    }
    enum status status = l1_claim_unasked(key->ns->l1, &key->at, &ask, &suspect, &claim);
    if (status == OK || status == TAKEN) {
        return MISS;
    }
    if (status == CLAIMED) {
        reader->of_hash = item_is_hash(suspect);
        reader->managed = key->ns->managed;
        status = flight_join(window, key, 2, CLAIMED, &claim, contract.fence_ms, reader, &foreign);
    }
    if (status != PENDING) {
        item_release(suspect);
        return status;
    }
    *ret_suspect = suspect;
    return PENDING;
}
