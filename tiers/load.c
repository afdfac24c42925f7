/* SPDX-License-Identifier: BSD-3-Clause */
#include "tiers/load.h"

#include "tiers/load_inner.h"

#include <stdlib.h>
#include <string.h>

/* --- loads -------------------------------------------------------------------------------------------------------- */

static uint64_t hash_of(const struct l1_key *key)
{
    return key->hash ^ key->db * UINT64_C(0x9e3779b97f4a7c15);
}

struct load *load_find(const struct loads *loads, const struct l1_key *key)
{
    if (loads->by_key.count == 0) {
        return NULL;
    }
    for (struct map_node *node = map_find(&loads->by_key, hash_of(key)); node != NULL;
         node = map_next(node)) {
        struct load *load = MAP_ENTRY(node, struct load, by_key);
        if (load->key.db == key->db && slice_equal(load->key.bytes, key->bytes)) {
            return load;
        }
    }
    return NULL;
}

static struct load *load_new(struct loads *loads, const struct l1_key *key)
{
    struct load *load =
        loads->by_key.count < LIMIT_LOADS ? malloc(sizeof(*load) + key->bytes.size) : NULL;
    if (load == NULL || map_add(&loads->by_key, &load->by_key, hash_of(key)) != OK) {
        free(load);
        return NULL;
    }
    const struct map_node node = load->by_key;
    *load = (struct load){.by_key = node, .loads = loads, .key = *key};
    if (key->bytes.size > 0) {
        memcpy(load->bytes, key->bytes.data, key->bytes.size);
    }
    load->key.bytes.data = load->bytes;
    list_init(&load->waits);
    list_init(&load->in_due);
    wakes_wait(&loads->seat, key->hash);
    return load;
}

/* It is no more; its waits are in `ret_waits`. */
static void load_close(struct load *load, struct list *ret_waits)
{
    struct loads *loads = load->loads;
    list_init(ret_waits);
    list_splice_back(ret_waits, &load->waits);
    wakes_leave(&loads->seat, load->key.hash);
    map_remove(&loads->by_key, &load->by_key);
    list_remove(&load->in_due);
    loads->held_count -= load->state == LOAD_HELD;
    free(load);
}

static struct load_wait *pop(struct list *waits)
{
    struct load_wait *wait = LIST_ENTRY(waits->next, struct load_wait, in_load);
    list_remove(&wait->in_load);
    return wait;
}

bool load_is_token(const struct load *load, const char *token)
{
    return load != NULL && load->state == LOAD_HELD &&
           memcmp(load->token, token, LEASE_TOKEN_SIZE) == 0;
}

void load_dissolve(struct load *load)
{
    struct list waits;
    load_close(load, &waits);
    while (!list_empty(&waits)) {
        load_ask_again(pop(&waits));
    }
}

/* There is no lease. L2 was asked for the value before, and has answered that. */
static void load_refuse(struct load *load, enum status status, struct slice error)
{
    const struct load_result nothing = {.outcome = LOAD_MISSED, .error = error};
    struct list waits;
    load_close(load, &waits);
    while (!list_empty(&waits)) {
        struct load_wait *wait = pop(&waits);
        if (!load_tell_spare(wait)) {
            load_tell(wait, status == L2_ERROR && wait->ask.plain ? OK : status, &nothing);
        }
    }
}

/* Who can load, the first of them. */
static struct load_wait *load_able(const struct load *load)
{
    for (struct list *node = load->waits.next; node != &load->waits; node = node->next) {
        struct load_wait *wait = LIST_ENTRY(node, struct load_wait, in_load);
        if (!wait->ask.no_load) {
            return wait;
        }
    }
    return NULL;
}

/* Those who may have what they found get it, or all of whom `plain` says so get that or nothing; the others stay. */
static void load_settle(struct load *load, bool plain)
{
    struct list waits;
    list_init(&waits);
    list_splice_back(&waits, &load->waits);
    while (!list_empty(&waits)) {
        struct load_wait *wait = pop(&waits);
        const enum load_worth worth = load_worth(wait);
        if (plain && wait->ask.plain) {
            load_tell_or(wait, LOAD_MISSED);
        } else if (worth == WORTH_ENOUGH || worth == WORTH_REFRESHING) {
            load_tell_or(wait, LOAD_MISSED);
        } else {
            list_push_back(&load->waits, &wait->in_load);
        }
    }
}

/* --- the lease ---------------------------------------------------------------------------------------------------- */

static void load_park(struct load *load, enum load_mark mark, int64_t ms)
{
    load->state = LOAD_WAITING;
    load->mark = mark;
    load->until_ms = load->loads->window->now_ms + (ms > 0 ? ms : 1);
}

static void load_win(struct load *load)
{
    const struct load_wait *able = load_able(load);
    struct lease_request request = {
        .verb = LEASE_WIN,
        .life_ms = LEASE_LIFE_MS,
        .seen = load->facts.seen,
        .seen_any = load->facts.seen_any,
        .heeds_idle = able != NULL && able->ask.plain,
    };
    load->state = LOAD_LEASING;
    load->mark = LOAD_UNMARKED;
    load->woken = false;
    load->plain = request.heeds_idle;
    lease_token_make(load->token, rand_next(&load->loads->rand), load->facts.has_spare);
    memcpy(request.token, load->token, LEASE_TOKEN_SIZE);
    if (load_ask_lease(load->loads, &load->key, &request) == NULL) {
        load_park(load, LOAD_UNMARKED, LOAD_EPOCH_MS); /* L2 says then why not */
    }
}

bool load_is_marked(const struct load *load, enum load_mark mark)
{
    return load->state == LOAD_WAITING && load->mark == mark &&
           load->loads->window->now_ms < load->until_ms;
}

enum status load_join(struct load *load, struct load_wait *wait, const struct load_facts *facts)
{
    const bool is_over =
        load->state == LOAD_WAITING && load->loads->window->now_ms >= load->until_ms;
    list_push_back(&load->waits, &wait->in_load);
    if (is_over || load_is_marked(load, LOAD_IDLE)) {
        load->facts = *facts;
        load_win(load);
    }
    return OK;
}

enum status load_begin(struct loads *loads, struct load_wait *wait, const struct load_facts *facts)
{
    struct load *load = load_new(loads, &wait->key);
    if (load == NULL) {
        return NO_MEMORY;
    }
    load->facts = *facts;
    list_push_back(&load->waits, &wait->in_load);
    load_win(load);
    return OK;
}

/* It is the last to be renewed: `held` is in the order of renew_at_ms. */
static void load_queue(struct load *load)
{
    load->renew_at_ms = load->loads->window->now_ms + LOAD_RENEW_MS;
    list_remove(&load->in_due);
    list_push_back(&load->loads->held, &load->in_due);
}

static void load_hold(struct load *load, const struct lease_answer *answer)
{
    struct loads *loads = load->loads;
    struct load_wait *winner = load_able(load);
    const struct ns_key key = window_key(loads->window, &load->key);
    memcpy(load->token, answer->token, LEASE_TOKEN_SIZE);
    if (winner == NULL || !key.ns->managed) {
        load_release(loads->window, &key.at, answer->token);
        return;
    }
    load->state = LOAD_HELD;
    loads->held_count++;
    load->plain = winner->ask.plain;
    load_queue(load);
    load->until_ms = loads->window->now_ms + namespace_rules(key.ns).load_timeout_ms;
    namespace_tally(key.ns, loads->window->options.worker, TALLY_LOADS, 1);
    list_remove(&winner->in_load);
    load_settle(load, false);
    /* Last: he may give it back at once. */
    struct load_result result;
    load_offer(winner, &result);
    result.outcome = LOAD_WON;
    result.key = &winner->key;
    memcpy(result.token, answer->token, LEASE_TOKEN_SIZE);
    load_tell(winner, OK, &result);
}

static void load_on_busy(struct load *load, int64_t ms)
{
    load_park(load, LOAD_UNMARKED, ms);
    load_settle(load, false);
    if (load->woken) {
        load_dissolve(load);
    }
}

static void load_on_failed(struct load *load, int64_t ms)
{
    struct list waits;
    load_park(load, LOAD_THROTTLED, ms);
    list_init(&waits);
    list_splice_back(&waits, &load->waits);
    while (!list_empty(&waits)) {
        load_tell_or(pop(&waits), LOAD_FAILED);
    }
}

static void load_on_idle(struct load *load, int64_t ms)
{
    load_park(load, LOAD_IDLE, ms);
    load_settle(load, true);
    if (load_able(load) != NULL) {
        load_win(load); /* for one who knows tokens */
    }
}

/* Somebody has written it. What L1 has is older. */
static void load_on_again(struct load *load)
{
    const struct ns_key key = window_key(load->loads->window, &load->key);
    (void)l1_invalidate(key.ns->l1, &key.at);
    load_dissolve(load);
}

void load_on_win(struct load *load, enum status status, const struct lease_answer *answer,
                 struct slice error)
{
    if (status != OK) {
        load_refuse(load, status, error);
        return;
    }
    switch (answer->kind) {
    case LEASE_WON: load_hold(load, answer); return;
    case LEASE_BUSY: load_on_busy(load, answer->ms); return;
    case LEASE_FAILED: load_on_failed(load, answer->ms); return;
    case LEASE_IDLE: load_on_idle(load, answer->ms); return;
    case LEASE_AGAIN: load_on_again(load); return;
    case LEASE_EPOCH: load_on_busy(load, LOAD_EPOCH_MS); return;
    case LEASE_DONE:
    case LEASE_LOST: load_refuse(load, L2_DOWN, (struct slice){0}); return;
    }
}

void load_on_renewed(struct load *load, enum status status, const struct lease_answer *answer)
{
    if (status == OK && answer->kind == LEASE_LOST) {
        load_dissolve(load); /* it was written, or invalidated */
    }
}

/* --- how a load ends ---------------------------------------------------------------------------------------------- */

/* NULL: it was not sent, and runs out by itself. */
static struct lease_call *end_lease(struct tiers_window *window, const struct l1_key *key,
                                    const char token[LEASE_TOKEN_SIZE], enum lease_mark mark,
                                    int64_t mark_ms)
{
    struct loads *loads = loads_of(window);
    struct lease_request request = {
        .verb = LEASE_END, .mark = mark, .mark_ms = mark_ms, .count_ms = LOAD_COUNT_MS};
    memcpy(request.token, token, LEASE_TOKEN_SIZE);
    return loads == NULL ? NULL : load_ask_lease(loads, key, &request);
}

/* What waits longer each time: begin_ms, twice as long ..., most_ms. */
static int64_t doubled(int64_t begin_ms, unsigned times, int64_t most_ms)
{
    const int64_t ms = begin_ms << (times < 16 ? times : 16);
    return ms < most_ms ? ms : most_ms;
}

static struct load *load_of_token(struct tiers_window *window, const struct l1_key *key,
                                  const char token[LEASE_TOKEN_SIZE])
{
    struct load *load = window->loads == NULL ? NULL : load_find(window->loads, key);
    return load_is_token(load, token) ? load : NULL;
}

void load_filled(struct tiers_window *window, const struct l1_key *key,
                 const char token[LEASE_TOKEN_SIZE], bool is_lost)
{
    struct load *load = load_of_token(window, key, token);
    namespace_tally(window_key(window, key).ns, window->options.worker,
                    is_lost ? TALLY_LOADS_LOST : TALLY_LOADS_FILLED, 1);
    if (load != NULL) {
        load_dissolve(load);
    }
}

void load_release(struct tiers_window *window, const struct l1_key *key,
                  const char token[LEASE_TOKEN_SIZE])
{
    struct load *load = window->loads == NULL ? NULL : load_find(window->loads, key);
    end_lease(window, key, token, LEASE_FREE, 0);
    if (load != NULL && memcmp(load->token, token, LEASE_TOKEN_SIZE) == 0) {
        load_dissolve(load);
    }
}

/* Without anything stale it says no for as long as those who wait need to hear of it. */
static int64_t throttle_ms(struct loads *loads, const char token[LEASE_TOKEN_SIZE])
{
    if (!lease_has_spare(token)) {
        return LOAD_ECHO_MS;
    }
    const int64_t ms = doubled(THROTTLE_MIN_MS, lease_failures(token), THROTTLE_MAX_MS);
    return ms * 3 / 4 + (int64_t)rand_below(&loads->rand, (uint64_t)ms / 2 + 1);
}

struct lease_call *load_fail(struct tiers_window *window, const struct ns_key *key,
                             const char token[LEASE_TOKEN_SIZE], load_ended_fn *on_ended)
{
    struct loads *loads = loads_of(window);
    struct load *load = load_of_token(window, &key->at, token);
    struct lease_call *call = NULL;
    if (loads != NULL) {
        call = end_lease(window, &key->at, token, LEASE_MARK_FAILED, throttle_ms(loads, token));
    }
    if (call != NULL) {
        namespace_tally(key->ns, window->options.worker, TALLY_LOADS_FAILED, 1);
        load_call_on_ended(call, on_ended);
    }
    if (load != NULL) {
        load_dissolve(load); /* the mark tells them */
    }
    return call;
}

void load_time_out(struct load *load)
{
    struct tiers_window *window = load->loads->window;
    struct ns_key key = window_key(window, &load->key);
    const int64_t idle_ms = namespace_rules(key.ns).negative_ttl_ms;
    namespace_tally(key.ns, window->options.worker, TALLY_LOADS_FAILED, 1);
    if (load->plain && idle_ms > 0) {
        end_lease(window, &key.at, load->token, LEASE_MARK_IDLE,
                  doubled(idle_ms, lease_failures(load->token), LOAD_COUNT_MS));
    } else if (lease_has_spare(load->token)) {
        end_lease(window, &key.at, load->token, LEASE_MARK_FAILED,
                  throttle_ms(load->loads, load->token));
    } else {
        end_lease(window, &key.at, load->token, LEASE_FREE, 0);
    }
    load_dissolve(load);
}

void load_renew(struct load *load)
{
    struct lease_request request = {.verb = LEASE_RENEW, .life_ms = LEASE_LIFE_MS};
    memcpy(request.token, load->token, LEASE_TOKEN_SIZE);
    load_queue(load);
    (void)load_ask_lease(load->loads, &load->key, &request); /* not sent: the next one may be */
}

void load_on_wake(struct tiers_window *window, const struct l1_key *key)
{
    struct load *load = window->loads == NULL ? NULL : load_find(window->loads, key);
    if (load == NULL) {
        return;
    }
    switch (load->state) {
    case LOAD_LEASING: load->woken = true; return;
    case LOAD_HELD: load_renew(load); return; /* whoever wrote it has ended the lease */
    case LOAD_WAITING: load_dissolve(load); return;
    }
}

/* --- the window's --------------------------------------------------------------------------------------------------- */

struct loads *loads_of(struct tiers_window *window)
{
    struct loads *loads = window->loads;
    if (loads != NULL || window->ended) {
        return loads;
    }
    loads = calloc(1, sizeof(*loads));
    if (loads == NULL) {
        return NULL;
    }
    loads->window = window;
    loads->due_ms = INT64_MAX;
    loads->seat.wakes = tiers_wakes(window->options.tiers);
    loads->seat.worker = window->options.worker;
    list_init(&loads->waits);
    list_init(&loads->held);
    rand_seed(&loads->rand, window->options.seed);
    window->loads = loads;
    return loads;
}

void load_end(struct tiers_window *window)
{
    struct loads *loads = window->loads;
    struct list waits;
    if (loads == NULL) {
        return;
    }
    for (struct map_node *node = map_any(&loads->by_key, NULL); node != NULL;
         node = map_any(&loads->by_key, NULL)) {
        load_close(MAP_ENTRY(node, struct load, by_key), &waits);
        while (!list_empty(&waits)) {
            (void)pop(&waits); /* they are told below, with those that are in no load */
        }
    }
    list_init(&waits);
    list_splice_back(&waits, &loads->waits);
    while (!list_empty(&waits)) {
        load_tell(LIST_ENTRY(waits.next, struct load_wait, in_all), L2_DOWN, NULL);
    }
}

void load_free(struct loads *loads)
{
    if (loads != NULL) {
        map_done(&loads->by_key);
        free(loads);
    }
}
