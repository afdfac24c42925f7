/* SPDX-License-Identifier: BSD-3-Clause */
#include "tiers/prefetch.h"

#include "protocol/check.h"
#include "protocol/resp_read.h"
#include "protocol/resp_write.h"
#include "tiers/managed.h"
#include "tiers/window.h"

#include <string.h>

static const char stands_already[] = "stands already";
static const char is_under_way[] = "is being read";
static const char is_strict[] = "its namespace is strict";
static const char is_colder[] = "colder than what stands";
static const char is_not_fresh[] = "not fresh in L2";
static const char is_of_other_type[] = "neither a string nor a hash";
static const char was_changed[] = "changed meanwhile";
static const char has_no_answer[] = "L2 cannot be asked";
static const char may_not_keep[] = "nothing can be kept at present";
static const char has_no_memory[] = "no memory";

static bool prefetch_begin(struct tiers_window *window, const struct ns_key *key,
                           struct tiers_prefetch *prefetch, enum status *ret_status,
                           struct prefetch_result *ret_result);

static enum status prefetch_skip(struct prefetch_result *ret_result, const char *why)
{
    *ret_result = (struct prefetch_result){.outcome = PREFETCH_SKIPPED, .why = why};
    return OK;
}

static struct prefetch_result prefetch_failed(enum status status, struct slice error)
{
    return (struct prefetch_result){
        .outcome = PREFETCH_FAILED,
        .status = status,
        .error = error,
        .why = status == L2_ERROR    ? NULL
               : status == STALE     ? was_changed
               : status == BUSY      ? may_not_keep
               : status == NO_MEMORY ? has_no_memory
                                     : has_no_answer,
    };
}

/* --- what is worth keeping ------------------------------------------------------------------------------------------ */

static bool has_tag(const struct managed_value *value, uint64_t hash)
{
    for (unsigned i = 0; i < value->tag_count; i++) {
        uint64_t tag;
        memcpy(&tag, value->tags + i * sizeof tag, sizeof tag);
        if (tag == hash) {
            return true;
        }
    }
    return false;
}

static enum managed_state prefetch_judge(struct tiers_window *window, const struct ns_key *key,
                                         const struct item *item, struct managed_value *ret_value)
{
    enum ban_verdict bans;
    return tiers_judge(window, key, item_value(item), item_expire_at_ms(item), ret_value, &bans);
}

static bool is_fresh(enum managed_state state)
{
    return state == MANAGED_FRESH || state == MANAGED_EAGER;
}

uint8_t prefetch_heat(const struct tiers_reader *reader)
{
    return ((const struct tiers_prefetch *)(const void *)reader)->heat;
}

bool prefetch_admits(const struct tiers_reader *reader, const struct ns_key *key,
                     const struct item *item)
{
    const struct tiers_prefetch *prefetch = (const struct tiers_prefetch *)(const void *)reader;
    struct managed_value value;
    if (!reader->managed) {
        return true;
    }
    const bool fresh = is_fresh(prefetch_judge(prefetch->window, key, item, &value));
    return prefetch->replaces || (fresh && (value.flags & MANAGED_LARGE) == 0 &&
                                  (prefetch->tag_hash == 0 || has_tag(&value, prefetch->tag_hash)));
}

/* --- the answer ------------------------------------------------------------------------------------------------------ */

static struct prefetch_result result_of_managed(const struct tiers_prefetch *prefetch,
                                                const struct ns_key *key,
                                                const struct tiers_value *value)
{
    struct managed_value managed;
    struct prefetch_result result = {0};
    const enum managed_state state = prefetch_judge(prefetch->window, key, value->item, &managed);
    result.bytes = managed.value.size;
    if (state == MANAGED_UNSURE) {
        return prefetch_failed(BUSY, (struct slice){0});
    }
    if (!is_fresh(state)) {
        (void)prefetch_skip(&result, is_not_fresh);
    } else if ((managed.flags & MANAGED_LARGE) != 0) {
        result.outcome = PREFETCH_TOO_BIG;
    } else if (prefetch->tag_hash != 0 && !has_tag(&managed, prefetch->tag_hash)) {
        (void)prefetch_skip(&result, "has not the tag");
    }
    return result;
}

/* Redis answers all questions so at present, whatever they are about. */
static bool is_passing(struct slice error)
{
    static const char *const words[] = {"BUSY ", "LOADING ", "MASTERDOWN ", "TRYAGAIN "};
    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++) {
        if (slice_begins(error, words[i])) {
            return true;
        }
    }
    return false;
}

static struct prefetch_result result_of(const struct tiers_prefetch *prefetch, enum status status,
                                        const struct tiers_value *value)
{
    struct prefetch_result result = {.bytes = 0};
    if (status == TOO_BIG) {
        result.outcome = PREFETCH_TOO_BIG;
        return result;
    }
    if (status != OK) {
        return prefetch_failed(is_passing(value->error) ? L2_DOWN : status, value->error);
    }
    if (value->item == NULL) {
        result.outcome = PREFETCH_ABSENT;
        return result;
    }
    if (prefetch->reader.managed) {
        const struct ns_key key = window_key(prefetch->window, value->key);
        result = result_of_managed(prefetch, &key, value);
    } else {
        result.bytes = item_value(value->item).size;
    }
    if (result.outcome != PREFETCH_LOADED) {
        return result;
    }
    if (value->kept == BUSY) {
        (void)prefetch_skip(&result, is_colder);
    } else if (value->kept == TOO_BIG) {
        result.outcome = PREFETCH_TOO_BIG;
    } else if (value->kept != OK) {
        return prefetch_failed(STALE, (struct slice){0});
    }
    return result;
}

/* It is no string: if hashes are kept here, it is asked for as one. False: it is the end. */
static bool prefetch_ask_as_hash(struct tiers_prefetch *prefetch, const struct l1_key *at,
                                 struct prefetch_result *ret_result)
{
    if (prefetch->asked_again || prefetch->reader.of_hash ||
        prefetch->window->hash_fields_max == 0) {
        return false;
    }
    const struct ns_key key = window_key(prefetch->window, at);
    enum status status = OK;
    prefetch->asked_again = true;
    prefetch->in_steps = true;
    prefetch->reader.of_hash = true;
    if (prefetch_begin(prefetch->window, &key, prefetch, &status, ret_result)) {
        return true;
    }
    if (status != OK) {
        *ret_result = prefetch_failed(status, (struct slice){0});
    }
    prefetch->reader.of_hash = false; /* what is in *ret_result is the answer */
    return false;
}

static void prefetch_on_value(struct tiers_reader *reader, enum status status,
                              const struct tiers_value *value)
{
    struct tiers_prefetch *prefetch = (struct tiers_prefetch *)(void *)reader;
    struct prefetch_result result = result_of(prefetch, status, value);
    prefetch->in_steps = prefetch->in_steps || value->in_steps;
    if (status == L2_ERROR && slice_begins(value->error, "WRONGTYPE")) {
        (void)prefetch_skip(&result, is_of_other_type);
        if (prefetch_ask_as_hash(prefetch, value->key, &result)) {
            return;
        }
    }
    prefetch->on_done(prefetch, &result);
}

/* --- asking ---------------------------------------------------------------------------------------------------------- */

/* From when on what stands is good enough; INT64_MAX: nothing is. */
static int64_t prefetch_floor(struct tiers_window *window, const struct ns_key *key,
                              enum prefetch_mode mode)
{
    const int64_t floor_ms = mode == PREFETCH_STALE && namespace_kind(key->ns) != NAMESPACE_TTL
                                 ? window_proof(window, key->ns)->floor_ms
                                 : 0;
    struct item *item = NULL;
    if (mode == PREFETCH_FORCE) {
        return INT64_MAX;
    }
    if (!key->ns->managed || (item = l1_hold(key->ns->l1, &key->at, window->now_ms)) == NULL) {
        return floor_ms;
    }
    struct managed_value value;
    const enum managed_state state = prefetch_judge(window, key, item, &value);
    item_release(item);
    const bool is_good =
        mode == PREFETCH_STALE ? is_fresh(state) || state == MANAGED_UNSURE : state != MANAGED_DEAD;
    return is_good ? floor_ms : INT64_MAX;
}

/* True: on_done will follow. Else *ret_status, of OK with the result, says why not. */
static bool prefetch_begin(struct tiers_window *window, const struct ns_key *key,
                           struct tiers_prefetch *prefetch, enum status *ret_status,
                           struct prefetch_result *ret_result)
{
    bool foreign = false;
    struct item *before = NULL;
    struct l1_claim claim = {0};
    const struct contract contract = window_contract(window, key->ns, NULL);
    const struct l1_ask ask = {
        .now_ms = window->now_ms,
        .floor_ms = prefetch_floor(window, key, prefetch->mode),
        .worker = window->options.worker,
        .generation = window->generation,
        .on_probation = true,
    };
    enum status status = l1_claim_unasked(key->ns->l1, &key->at, &ask, &before, &claim);
    if (status == CLAIMED && before == NULL &&
        !l1_has_room_for(key->ns->l1, &key->at, prefetch->heat, window->now_ms)) {
        l1_unclaim(key->ns->l1, &key->at, claim.token);
        status = prefetch_skip(ret_result, is_colder);
    } else if (status == CLAIMED) {
        prefetch->replaces = before != NULL && prefetch->mode != PREFETCH_MISSING;
        prefetch->reader.managed = key->ns->managed;
        item_release(before);
        status = flight_join(window, key, 2, CLAIMED, &claim, contract.fence_ms, &prefetch->reader,
                             &foreign);
    } else if (status == OK || status == TAKEN) {
        status = prefetch_skip(ret_result, status == OK ? stands_already : is_under_way);
    } else if (status == NO_MEMORY && key->at.bytes.size >= LIMIT_L1_KEY) {
        *ret_result = (struct prefetch_result){.outcome = PREFETCH_TOO_BIG};
        status = OK;
    }
    *ret_status = status;
    return status == PENDING;
}

/* --- L2 alone -------------------------------------------------------------------------------------------------------- */

static void prefetch_on_count(struct link_request *request, enum status status, struct slice reply)
{
    struct tiers_prefetch *prefetch = LIST_ENTRY(request, struct tiers_prefetch, request);
    struct prefetch_result result = {.outcome = PREFETCH_ABSENT};
    struct reply_cursor cursor = {reply};
    struct reply_element element = {0};
    if (status != OK || reply_next(&cursor, &element) != OK) {
        result = prefetch_failed(L2_DOWN, (struct slice){0});
    } else if (element.type == REPLY_ERROR) {
        result = prefetch_failed(L2_ERROR, element.text);
    } else if (element.number > 0) {
        result.outcome = PREFETCH_LOADED;
    }
    prefetch->on_done(prefetch, &result);
}

static enum status prefetch_count(struct tiers_window *window, const struct ns_key *key,
                                  struct tiers_prefetch *prefetch)
{
    const struct slice verb = prefetch->act == PREFETCH_TOUCH
                                  ? (struct slice)SLICE_LITERAL("TOUCH")
                                  : (struct slice)SLICE_LITERAL("EXISTS");
    const struct slice words[] = {verb, key->at.bytes};
    struct link *link = window_link(window, 2);
    prefetch->request = (struct link_request){
        .on_reply = prefetch_on_count,
        .deadline_ms = window->now_ms + window->read_timeout_ms,
    };
    window->scratch.size = 0;
    const enum status status =
        link == NULL ? NO_MEMORY : resp_append_request(&window->scratch, 2, words);
    if (status != OK) {
        return status;
    }
    const enum status asked =
        link_ask(link, &prefetch->request, key->at.db, buf_slice(&window->scratch));
    return asked == OK ? PENDING : asked;
}

/* What L1 says of a dry run. */
static bool prefetch_stands(struct tiers_window *window, const struct ns_key *key,
                            enum prefetch_mode mode)
{
    struct l1_peek peek;
    const int64_t floor_ms = prefetch_floor(window, key, mode);
    return floor_ms != INT64_MAX &&
           l1_peek(key->ns->l1, &key->at, window->now_ms, floor_ms, &peek) == OK;
}

/* Not window_may_keep: whether its link has met what L2 is now only a beat on it shows, and where no client reads none is sent
 * but in front of this very question. */
static bool prefetch_may_be_kept(const struct tiers_window *window)
{
    const struct coherence_view *view = window->view;
    return atomic_load_explicit(&view->target, memory_order_acquire) != 0 &&
           atomic_load_explicit(&view->may_install, memory_order_acquire);
}

enum status tiers_prefetch(struct tiers_window *window, const struct ns_key *key,
                           struct tiers_prefetch *prefetch, struct prefetch_result *ret_result)
{
    CHECK(window->magic == WINDOW_MAGIC);
    enum status status = OK;
    prefetch->window = window;
    prefetch->reader = (struct tiers_reader){
        .on_value = prefetch_on_value, .in_background = true, .prefetches = true};
    prefetch->tag_hash =
        prefetch->only_tag.size == 0 ? 0 : bans_tag_hash((struct slice){0}, prefetch->only_tag);
    if (prefetch->act == PREFETCH_TOUCH) {
        return prefetch_count(window, key, prefetch);
    }
    if (namespace_kind(key->ns) == NAMESPACE_STRICT && prefetch->mode != PREFETCH_FORCE) {
        return prefetch_skip(ret_result, is_strict);
    }
    if (prefetch->act == PREFETCH_LOOK) {
        return prefetch_stands(window, key, prefetch->mode)
                   ? prefetch_skip(ret_result, stands_already)
                   : prefetch_count(window, key, prefetch);
    }
    if (namespace_kind(key->ns) != NAMESPACE_TTL && !prefetch_may_be_kept(window)) {
        return BUSY;
    }
    (void)prefetch_begin(window, key, prefetch, &status, ret_result);
    return status;
}
