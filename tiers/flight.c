/* SPDX-License-Identifier: BSD-3-Clause */
/* flight.c -- one question to L2 for many who ask (journey 2).
 *
 *      worker 1: l1_ask -> CLAIMED   flight 7 begins: PTTL k, GET k
 *      worker 1: l1_ask -> TAKEN     reader 2 joins flight 7
 *      worker 2: l1_ask -> TAKEN     a letter to worker 1: join flight 7;  ...  a letter back with the shared item
 *
 * A flight lands once: it installs if its token stands, then tells its readers. A letter that comes too late for its
 * flight goes back as MISSED, and its sender looks again: what landed is in L1 now, or the key was written meanwhile.
 *      A hash is asked for by HSCAN in place of GET (flight_ask.c). What is no whole hash, or cannot be kept, is landed as TOO_BIG: nothing
 * stands for the key then, and each reader asks for what it wants of it.
 *      What a managed namespace has in L2 is an envelope, and an item in the shape of managed.h here. Readers and flight agree
 * on that when they begin: when the format of a namespace changes, reads under way end as they began, and are not kept.
 *      A reader who joined after the life of the value was over is not told of it, but asks again. Not of nothing, either:
 * who knows whether the key was written before its life ended. */
#include "protocol/check.h"
#include "tiers/dictionary_desk.h"
#include "tiers/flight_inner.h"
#include "tiers/managed.h"
#include "tiers/prefetch.h"
#include "tiers/rights.h"
#include "tiers/wrap.h"

#include <string.h>

static struct list *flight_bucket(struct tiers_window *window, uint64_t token)
{
    return &window->flights[(token * 0x9e3779b97f4a7c15u) >> 56];
}

/* Tokens are unique in an L1, and there is one per namespace: so the key decides, too. */
struct flight *flight_find(struct tiers_window *window, const struct l1_key *key, uint64_t token)
{
    struct list *bucket = flight_bucket(window, token);
    for (struct list *node = bucket->next; node != bucket; node = node->next) {
        struct flight *flight = LIST_ENTRY(node, struct flight, in_window);
        if (flight->token == token && flight->key.db == key->db &&
            slice_equal(flight->key.bytes, key->bytes)) {
            return flight;
        }
    }
    return NULL;
}

/* --- landing ------------------------------------------------------------------------------------------------------- */

bool flight_error_is_of_l2(struct slice error)
{
    return !slice_begins(error, "WRONGTYPE");
}

static bool is_no_answer(enum status status, struct slice error)
{
    return status == L2_DOWN || (status == L2_ERROR && flight_error_is_of_l2(error));
}

/* Its life, counted from the question, ended before this reader asked. Whoever asked in the same millisecond did so in
 * time: PTTL says 0 of what has less than one to live. */
static bool is_over_for(const struct tiers_reader *reader, const struct item *item)
{
    return item != NULL && reader->asked_ms > item_stamped_at_ms(item) &&
           item_expired(item, reader->asked_ms);
}

/* At most once: the next question is a later one than the reader's. All who do so share it. */
static void reader_ask_again(struct tiers_window *window, const struct ns_key *key,
                             struct tiers_reader *reader)
{
    struct l1_value found = {0};
    bool foreign = false; /* whoever joined waits as for a foreign one */
    const enum status status = tiers_get(window, key, 2, &found, reader, &foreign);
    if (status != PENDING) {
        const struct tiers_value value = {.item = found.item, .key = &key->at};
        reader->on_value(reader, status, &value);
        item_release(found.item);
    }
}

/* He came to a flight that does without the value. */
static void reader_read_whole(struct tiers_window *window, const struct ns_key *home,
                              struct tiers_reader *reader)
{
    const struct contract contract = window_contract(window, home->ns, reader->wish);
    const struct tiers_value nothing = {0};
    bool in_row = false;
    const enum status status = flight_begin(window, home, 2, 0, contract.fence_ms, reader, &in_row);
    if (status != PENDING) {
        reader->on_value(reader, status, &nothing);
    }
}

/* Who wants it whole came when it had been passed over already: he asks, and others who ask now may join him. */
static void flight_tell_large(struct tiers_window *window, const struct ns_key *home,
                              struct tiers_reader *reader)
{
    const struct tiers_value value = {.key = &home->at};
    stream_note_large(window, &home->at);
    if (reader->takes_large == NULL) {
        reader_ask_again(window, home, reader);
    } else {
        reader->on_value(reader, TOO_BIG, &value);
    }
}

void flight_tell_reader(struct tiers_window *window, const struct l1_key *key,
                        struct tiers_reader *reader, enum status status,
                        const struct tiers_value *value)
{
    struct l1_value found = {0};
    const struct ns_key home = window_key(window, key);
    const bool unanswered = is_no_answer(status, value->error);
    if (status == TOO_BIG && reader->of_hash) {
        window_refuse_hash(window, key);
    }
    if (status == TOO_BIG && !reader->of_hash && !reader->in_background) {
        flight_tell_large(window, &home, reader);
        return;
    }
    if (reader->in_background) {
        const bool is_told = reader->prefetches || rights_is_denial(value->error);
        reader->on_value(reader, unanswered && !is_told ? L2_DOWN : status, value);
        return;
    }
    const bool may_look = home.ns->managed == reader->managed;
    if (unanswered && may_look && tiers_spare(window, &home, reader->wish, &found) == OK &&
        !window_withholds(reader, found.bytes)) {
        const struct tiers_value spare = {.item = found.item, .is_spare = true};
        reader->on_value(reader, OK, &spare);
        item_release(found.item);
        return;
    }
    item_release(found.item);
    if (status == OK && value->item != NULL && window_withholds(reader, item_value(value->item))) {
        reader_read_whole(window, &home, reader);
        return;
    }
    if (status == OK && may_look && is_over_for(reader, value->item)) {
        reader_ask_again(window, &home, reader);
        return;
    }
    reader->on_value(reader, status, value);
}

static void flight_tell(struct flight *flight, enum status status, const struct tiers_value *answer)
{
    const struct tiers_value nothing = {
        .error = answer->error, .key = answer->key, .in_steps = answer->in_steps};
    const struct tiers_value *value = status == OK ? answer : &nothing;
    struct tiers_reader *reader = flight->readers;
    while (reader != NULL) {
        struct tiers_reader *next = reader->next; /* the reader may free itself */
        flight_tell_reader(flight->window, &flight->key, reader, status, value);
        reader = next;
    }
    flight_tell_guests(flight, status, value);
}

/* Namespaces change: a token of the old ones must not meet a claim of the new ones that happens to have its number. The
 * claim is handed back as if L2 could not be asked; the landing will find no token, keep nothing and drop what stands. */
void tiers_window_forget_claims(struct tiers_window *window)
{
    CHECK_MAGIC(window, WINDOW_MAGIC);
    for (unsigned i = 0; i < WINDOW_FLIGHT_BUCKETS; i++) {
        while (!list_empty(&window->flights[i])) {
            struct flight *flight = LIST_ENTRY(window->flights[i].next, struct flight, in_window);
            l1_unclaim(window_key(window, &flight->key).ns->l1, &flight->key, flight->token);
            flight->token = 0;
            list_remove(&flight->in_window);
        }
    }
}

/* What came from another Redis than the node's, or of another epoch, may be told but not kept. If the node changes its
 * target a moment later, its floor rises above the stamp of what was kept. */
static bool flight_is_on_target(const struct flight *flight)
{
    const uint64_t target =
        atomic_load_explicit(&flight->window->view->target, memory_order_acquire);
    return target != 0 && target == flight->target;
}

/* A value of `ttl` needs no bus: nobody relies on being told of its changes. While the node knows of no target, that
 * cannot decide either. */
static bool flight_may_install(const struct flight *flight, const struct namespace *ns)
{
    const struct coherence_view *view = flight->window->view;
    if (namespace_kind(ns) == NAMESPACE_TTL) {
        return atomic_load_explicit(&view->target, memory_order_acquire) == 0 ||
               flight_is_on_target(flight);
    }
    return flight_is_on_target(flight) &&
           atomic_load_explicit(&view->may_install, memory_order_acquire);
}

/* That there is nothing may take a part of the memory only. */
static bool flight_has_room(const struct flight *flight, struct namespace *ns,
                            const struct item *item)
{
    struct managed_value value;
    const int64_t expire_at_ms = item_expire_at_ms(item);
    if (!flight->managed || managed_open(item_value(item), expire_at_ms, &value) != OK ||
        (value.flags & MANAGED_NEGATIVE) == 0) {
        return true;
    }
    return expire_at_ms != ITEM_NEVER &&
           expire_at_ms - item_stamped_at_ms(item) <= NEGATIVES_LIFE_MS &&
           negatives_admit(&ns->negatives, item_footprint(item), l1_bytes_max(ns->l1),
                           flight->window->now_ms);
}

bool flight_is_in_background(const struct flight *flight)
{
    return flight->guests == NULL && flight->readers->in_background &&
           flight->readers->next == NULL;
}

static bool flight_prefetches(const struct flight *flight)
{
    return flight_is_in_background(flight) && flight->readers->prefetches;
}

/* Warming may not want it here at all. */
static bool flight_admits(const struct flight *flight, const struct item *item)
{
    const struct ns_key key = window_key(flight->window, &flight->key);
    return !flight_prefetches(flight) || prefetch_admits(flight->readers, &key, item);
}

/* T3: keep the value iff the token stands, its life is known, and it came from the node's own Redis; whatever else lands
 * drops what stands. */
static enum status flight_keep(struct flight *flight, enum status status,
                               const struct tiers_value *value)
{
    struct tiers_window *window = flight->window;
    struct namespace *ns = window_key(window, &flight->key).ns;
    struct l1 *l1 = ns->l1;
    struct item *item = value->item;
    if (is_no_answer(status, value->error)) {
        l1_unclaim(l1, &flight->key, flight->token);
        return status;
    }
    if (item == NULL || status != OK) {
        l1_land(l1, &flight->key);
        return status;
    }
    if (!flight_admits(flight, item)) {
        l1_unclaim(l1, &flight->key, flight->token); /* nobody has seen what came */
        return MISS;
    }
    struct l1_landing landing = {
        .token = flight->token,
        .generation = atomic_load_explicit(&window->view->generation, memory_order_acquire),
        .install = flight->pttl_ms >= -1 && !flight->judged && flight_may_install(flight, ns) &&
                   flight_has_room(flight, ns, item),
        .unused = flight_is_in_background(flight),
        .on_probation = flight_prefetches(flight),
        .heat = flight_prefetches(flight) ? prefetch_heat(flight->readers) : 0,
        .now_ms = window->now_ms,
    };
    if (landing.on_probation && !landing.install) {
        l1_unclaim(l1, &flight->key, flight->token); /* what stood is no worse by it */
        return STALE;
    }
    return l1_fill(l1, &flight->key, &landing, item);
}

/* NULL is fine. */
static void flight_free(struct flight *flight)
{
    if (flight != NULL) {
        spares_give(flight->window->spares, flight, sizeof(*flight) + flight->key.bytes.size);
    }
}

static void flight_end(struct flight *flight, enum status status, struct tiers_value *value)
{
    struct metrics *metrics = flight->window->options.metrics;
    list_remove(&flight->in_window);
    value->key = &flight->key;
    value->in_steps = flight->in_steps;
    value->kept = flight_keep(flight, status, value); /* STALE: the readers get it anyway */
    if (!flight_is_in_background(flight)) {
        metrics_count(metrics, status == TOO_BIG
                                   ? flight->of_hash ? M_HASHES_TOO_LARGE : M_LARGE_FOUND
                               : status != OK        ? M_L2_ERRORS
                               : value->item != NULL ? M_L2_HITS
                                                     : M_L2_MISSES);
    }
    flight_tell(flight, status, value);
    item_release(value->item);
    buf_done(&flight->error);
    buf_done(&flight->reply);
    flight_free(flight);
}

static size_t flight_kept_bytes(const struct flight *flight)
{
    return flight->item == NULL ? 0 : item_value(flight->item).size;
}

static void flight_on_confirmed(struct tiers_confirm *confirm, enum status status)
{
    struct flight *flight = LIST_ENTRY(confirm, struct flight, confirm);
    struct tiers_value value = {.item = flight->item};
    flight->window->kept_bytes -= flight_kept_bytes(flight);
    if (status != OK) {
        flight_end(flight, STALE, &value);
        return;
    }
    value.error = buf_slice(&flight->error);
    flight_end(flight, value.error.size > 0 ? L2_ERROR : OK, &value);
}

/* false: it cannot be waited, or too much waits already. */
static bool flight_wait(struct flight *flight, const struct tiers_value *value)
{
    struct tiers_window *window = flight->window;
    flight->item = value->item;
    flight->confirm.on_confirmed = flight_on_confirmed;
    if (window->kept_bytes > WINDOW_KEPT_BYTES_MAX ||
        (value->error.size > 0 && buf_append_slice(&flight->error, value->error) != OK) ||
        window_confirm(window, &flight->confirm) != OK) {
        return false;
    }
    window->kept_bytes += flight_kept_bytes(flight);
    return true;
}

/* Strict: nobody may see the answer, be it in L1 or not, before all nodes are rid of what is older; an error that tells
 * what the key holds (WRONGTYPE) is an answer, too. Until then the flight may be joined, as long as its token stands. */
void flight_landed(struct flight *flight, enum status status, struct tiers_value *value)
{
    struct tiers_window *window = flight->window;
    const bool is_told =
        status == OK || (status == L2_ERROR && !flight_error_is_of_l2(value->error));
    if (is_told && namespace_kind(window_key(window, &flight->key).ns) == NAMESPACE_STRICT) {
        if (flight_wait(flight, value)) {
            return;
        }
        status = STALE;
    }
    flight_end(flight, status, value);
}

/* The dictionary is here, or is not to be had: then there is nothing. */
static void flight_on_dictionary(struct desk_waiter *waiter)
{
    struct flight *flight = LIST_ENTRY(waiter, struct flight, dictionary);
    struct tiers_value value = {0};
    struct buf reply = flight->reply;
    flight->reply = (struct buf){0};
    flight->window->kept_bytes -= reply.size;
    const enum status status =
        flight_read_value(flight, buf_slice(&reply), &value.item, &value.error);
    if (status != OK || !flight_ask_verdict(flight, buf_slice(&reply), value.item)) {
        flight_landed(flight, status == AGAIN ? OK : status, &value);
    }
    buf_done(&reply);
}

/* Keeps the reply until then. false: too much is kept already. */
static bool flight_wait_for_dictionary(struct flight *flight, struct slice reply)
{
    struct tiers_window *window = flight->window;
    struct reply_cursor cursor = {reply};
    struct reply_element element;
    struct envelope envelope;
    if (window->kept_bytes > WINDOW_KEPT_BYTES_MAX || reply_next(&cursor, &element) != OK ||
        envelope_read(element.text, &envelope) != OK ||
        buf_append_slice(&flight->reply, reply) != OK) {
        return false;
    }
    window->kept_bytes += reply.size;
    flight->dictionary.on_known = flight_on_dictionary;
    unwrap_wait(window, window_key(window, &flight->key).ns, &envelope, &flight->dictionary);
    return true;
}

void flight_land(struct flight *flight, enum status status, struct slice reply)
{
    struct tiers_value value = {0};
    if (status == TOO_BIG && flight->managed) {
        flight->target = link_target(flight->link);
        metrics_count(flight->window->options.metrics, M_LARGE_FOUND);
        status = flight_read_large(flight, reply, &value.item);
    } else if (status == OK) {
        flight->target = link_target(flight->link);
        status = flight_read_value(flight, reply, &value.item, &value.error);
    }
    if (status == AGAIN) {
        if (flight_wait_for_dictionary(flight, reply)) {
            return;
        }
        status = BUSY; /* not OK: there is a value */
    }
    if (status == OK && flight_ask_verdict(flight, reply, value.item)) {
        return;
    }
    flight_landed(flight, status, &value);
}

/* --- readers -------------------------------------------------------------------------------------------------------- */

static void flight_add_reader(struct flight *flight, struct tiers_reader *reader)
{
    reader->next = NULL;
    *flight->last_reader = reader;
    flight->last_reader = &reader->next;
}

static struct flight *flight_new(struct tiers_window *window, const struct ns_key *wanted,
                                 int proto, uint64_t token, int64_t fence_ms,
                                 const struct tiers_reader *reader)
{
    const struct l1_key *key = &wanted->at;
    struct flight *flight = spares_take(window->spares, sizeof(*flight) + key->bytes.size);
    if (flight == NULL) {
        return NULL;
    }
    *flight = (struct flight){.window = window,
                              .proto = proto,
                              .token = token,
                              .of_hash = reader->of_hash,
                              .managed = reader->managed,
                              .fence_ms = fence_ms,
                              .key = *key};
    memcpy(flight->bytes, key->bytes.data, key->bytes.size);
    flight->key.bytes.data = flight->bytes;
    flight->last_reader = &flight->readers;
    flight_prepare(flight, reader);
    list_init(&flight->in_window);
    list_init(&flight->in_row);
    return flight;
}

enum status flight_begin(struct tiers_window *window, const struct ns_key *wanted, int proto,
                         uint64_t token, int64_t fence_ms, struct tiers_reader *reader,
                         bool *ret_in_row)
{
    struct flight *flight = flight_new(window, wanted, proto, token, fence_ms, reader);
    enum status status = flight == NULL ? NO_MEMORY : flight_admit(flight, reader->in_background);
    *ret_in_row = status == PENDING;
    if (status == OK) {
        status = flight_ask(flight);
    }
    if (status != OK && status != PENDING) {
        l1_unclaim(wanted->ns->l1, &wanted->at, token);
        flight_free(flight);
        return status;
    }
    flight_add_reader(flight, reader);
    if (token != 0) {
        list_push_back(flight_bucket(window, token), &flight->in_window);
    }
    return PENDING;
}

enum status flight_join(struct tiers_window *window, const struct ns_key *key, int proto,
                        enum status status, const struct l1_claim *claim, int64_t fence_ms,
                        struct tiers_reader *reader, bool *ret_foreign)
{
    *ret_foreign = false;
    if (status == CLAIMED) {
        return flight_begin(window, key, proto, claim->token, fence_ms, reader, ret_foreign);
    }
    if (status == TAKEN && claim->owner == window->options.worker) {
        struct flight *flight = flight_find(window, &key->at, claim->token);
        if (flight != NULL && flight->fence_ms <= fence_ms && flight->of_hash == reader->of_hash) {
            metrics_count(window->options.metrics, M_COALESCED);
            flight_add_reader(flight, reader);
            *ret_foreign = true; /* it may travel on the other protocol's link */
            return PENDING;
        }
    }
    if (status == TAKEN && claim->owner != window->options.worker &&
        flight_visit(window, &key->at, proto, claim, fence_ms, reader) == PENDING) {
        metrics_count(window->options.metrics, M_COALESCED);
        *ret_foreign = true;
        return PENDING;
    }
    return flight_begin(window, key, proto, 0, fence_ms, reader, ret_foreign);
}
