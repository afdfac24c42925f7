/* SPDX-License-Identifier: BSD-3-Clause */
/* load_wait.c -- who wants a managed key: what he is given at once, what he waits for, and what he is told in the end. */
#include "protocol/check.h"
#include "tiers/bans.h"
#include "tiers/load_inner.h"

#include <string.h>

enum {
    ROUNDS_MAX = 16, /* of one wait: how often it may be told to ask again */
    ROUNDS_SURE = 4  /* from then on a lease is taken whatever stands in L2 */
};

/* --- what a value is worth ---------------------------------------------------------------------------------------- */

/* What was found for a key. */
struct judged {
    bool here;   /* there is a value, dead or not */
    bool behind; /* it may be older than its namespace promises while all is well */
    bool is_suspect;
    enum managed_state state;
    enum ban_verdict bans;
    struct managed_value value;
};

static struct judged judge(struct loads *loads, const struct ns_key *key, struct slice bytes,
                           int64_t expire_at_ms, int64_t stamped_at_ms)
{
    const struct tiers_age age = tiers_age(loads->window, key->ns, stamped_at_ms);
    struct judged judged = {.here = true, .behind = age.is_stale, .is_suspect = age.is_suspect};
    judged.state =
        tiers_judge(loads->window, key, bytes, expire_at_ms, &judged.value, &judged.bans);
    return judged;
}

static struct judged judge_item(struct loads *loads, const struct ns_key *key,
                                const struct item *item)
{
    return item == NULL ? (struct judged){.state = MANAGED_DEAD}
                        : judge(loads, key, item_value(item), item_expire_at_ms(item),
                                item_stamped_at_ms(item));
}

/* Of what is stale in itself: whether the asker's wish goes so far, and may be had at once. */
static enum load_worth worth_of_stale(const struct load_ask *ask, const struct judged *judged,
                                      int64_t now_ms)
{
    const bool is_spare = judged->state == MANAGED_SPARE;
    const bool is_soft = (judged->value.flags & MANAGED_SOFT) != 0 || judged->bans == BAN_SOFT;
    if (!ask->has_wish) {
        return is_spare ? WORTH_WAITING : WORTH_REFRESHING;
    }
    switch (ask->wish.kind) {
    case WISH_FRESH: return WORTH_NOTHING;
    case WISH_ANY: return WORTH_REFRESHING;
    case WISH_MAXSTALE:
        return !is_soft && now_ms - judged->value.fresh_until_ms <= ask->wish.max_stale_ms
                   ? WORTH_REFRESHING
                   : WORTH_NOTHING;
    case WISH_NOTHING: break;
    }
    return is_spare ? WORTH_WAITING : WORTH_REFRESHING;
}

static enum load_worth worth_of(const struct load_ask *ask, const struct judged *judged,
                                int64_t now_ms)
{
    switch (judged->state) {
    case MANAGED_FRESH: return WORTH_ENOUGH;
    case MANAGED_EAGER: /* who is to load gets nothing, if he is plain; what is fresh he gets */
        return ask->plain ? WORTH_ENOUGH : WORTH_REFRESHING;
    case MANAGED_STALE:
    case MANAGED_SPARE: return worth_of_stale(ask, judged, now_ms);
    case MANAGED_DEAD:
    case MANAGED_UNSURE: break;
    }
    return WORTH_NOTHING;
}

/* What is there, as it is. */
static struct load_result result_of(const struct judged *judged, struct item *item)
{
    struct load_result result = {.outcome = LOAD_STALE,
                                 .has_value = true,
                                 .is_suspect = judged->is_suspect,
                                 .value = judged->value,
                                 .bans = judged->bans,
                                 .item = item};
    if (judged->state == MANAGED_FRESH || judged->state == MANAGED_EAGER) {
        const bool is_negative = (judged->value.flags & MANAGED_NEGATIVE) != 0;
        result.outcome = is_negative ? LOAD_NEGATIVE : judged->behind ? LOAD_STALE : LOAD_HIT;
        result.has_value = !is_negative;
    }
    return result;
}

enum load_worth load_worth(const struct load_wait *wait)
{
    const struct ns_key key = window_key(wait->loads->window, &wait->key);
    const struct judged judged = judge_item(wait->loads, &key, wait->item);
    return worth_of(&wait->ask, &judged, wait->loads->window->now_ms);
}

void load_offer(const struct load_wait *wait, struct load_result *ret)
{
    const struct ns_key key = window_key(wait->loads->window, &wait->key);
    const struct judged judged = judge_item(wait->loads, &key, wait->item);
    *ret = worth_of(&wait->ask, &judged, wait->loads->window->now_ms) == WORTH_NOTHING
               ? (struct load_result){.outcome = LOAD_MISSED}
               : result_of(&judged, wait->item);
}

/* --- waits -------------------------------------------------------------------------------------------------------- */

static void wait_free(struct load_wait *wait)
{
    struct loads *loads = wait->loads;
    item_release(wait->item);
    spares_give(loads->window->spares, wait, sizeof(*wait) + wait->key_room);
}

static struct load_wait *wait_new(struct loads *loads, size_t key_size)
{
    struct load_wait *wait = spares_take(loads->window->spares, sizeof(*wait) + key_size);
    if (wait != NULL) {
        wait->loads = loads;
        wait->key_room = key_size;
    }
    return wait;
}

/* All that a hit does not need. */
static void wait_begin(struct load_wait *wait, const struct ns_key *key, const struct load_ask *ask)
{
    struct loads *loads = wait->loads;
    const int64_t now_ms = loads->window->now_ms;
    const struct ns_rules rules = namespace_rules(key->ns);
    const int64_t soft_ms = ask->soft_ms >= 0 ? ask->soft_ms : rules.soft_timeout_ms;
    const int64_t hard_ms = ask->hard_ms >= 0 ? ask->hard_ms : rules.hard_timeout_ms;
    wait->ask = *ask;
    wait->rounds = 0;
    wait->comes = false;
    wait->key = key->at;
    list_init(&wait->in_all);
    list_init(&wait->in_load);
    wait->soft_at_ms = now_ms + soft_ms;
    wait->last_at_ms = now_ms + hard_ms;
    wait->hard_at_ms = now_ms + (ask->hurried && soft_ms < hard_ms ? soft_ms : hard_ms);
    if (wait->key.bytes.size > 0) {
        memcpy(wait->bytes, key->at.bytes.data, key->at.bytes.size);
    }
    wait->key.bytes.data = wait->bytes;
    list_push_back(&loads->waits, &wait->in_all);
    loads->wait_count++;
    const int64_t first_ms =
        wait->soft_at_ms < wait->hard_at_ms ? wait->soft_at_ms : wait->hard_at_ms;
    loads->due_ms = first_ms < loads->due_ms ? first_ms : loads->due_ms;
}

static void count(const struct loads *loads, const struct namespace *ns,
                  const struct load_result *result)
{
    if (result->outcome == LOAD_STALE || result->outcome == LOAD_NEGATIVE) {
        namespace_tally(ns, loads->window->options.worker,
                        result->outcome == LOAD_STALE ? TALLY_STALE : TALLY_NEGATIVE, 1);
    }
}

/* Its asker is told, and it is over; unless a flight has still to come home to it. */
void load_tell(struct load_wait *wait, enum status status, const struct load_result *result)
{
    static const struct load_result nothing = {.outcome = LOAD_MISSED};
    const struct load_ask ask = wait->ask;
    struct load_result told = result == NULL ? nothing : *result;
    struct load_gate *gate = load_gate_leave(wait);
    const bool won = told.outcome == LOAD_WON;
    told.key = &wait->key;
    list_remove(&wait->in_all);
    list_remove(&wait->in_load);
    wait->loads->wait_count--;
    wait->loads->due_ms = wait->loads->wait_count > 0 ? wait->loads->due_ms : INT64_MAX;
    wait->is_told = true;
    count(wait->loads, window_key(wait->loads->window, &wait->key).ns, &told);
    ask.on_loaded(ask.arg, status, &told);
    if (!wait->flies) {
        wait_free(wait);
    }
    if (gate != NULL) {
        load_gate_look(gate, won);
    }
}

static void wait_tell_outcome(struct load_wait *wait, enum load_outcome outcome)
{
    const struct load_result result = {.outcome = outcome};
    load_tell(wait, OK, &result);
}

/* With what it has, if its asker may have that; or with nothing, as `status` or `outcome` say. */
bool load_tell_spare(struct load_wait *wait)
{
    struct load_result result;
    load_offer(wait, &result);
    if (result.outcome == LOAD_MISSED) {
        return false;
    }
    load_tell(wait, OK, &result);
    return true;
}

void load_tell_or(struct load_wait *wait, enum load_outcome outcome)
{
    if (!load_tell_spare(wait)) {
        wait_tell_outcome(wait, outcome);
    }
}

/* Too many, too long. */
void load_give_up(struct load_wait *wait)
{
    if (load_tell_spare(wait)) {
        return;
    }
    if (wait->ask.plain) {
        wait_tell_outcome(wait, LOAD_MISSED);
    } else {
        load_tell(wait, BUSY, NULL);
    }
}

/* --- asking, again and again -------------------------------------------------------------------------------------- */

static void wait_took(struct load_wait *wait, struct item *item, bool is_spare);

void load_ask_again(struct load_wait *wait)
{
    struct tiers_window *window = wait->loads->window;
    const struct ns_key key = window_key(window, &wait->key);
    struct l1_value found = {0};
    bool foreign = false;
    if (!key.ns->managed || wait->rounds++ >= ROUNDS_MAX) {
        load_give_up(wait);
        return;
    }
    item_release(wait->item); /* why it is told to ask may be that this has ended */
    wait->item = NULL;
    wait->flies = true;
    const enum status status = tiers_get(window, &key, 2, &found, &wait->reader, &foreign);
    if (status == PENDING) {
        return;
    }
    wait->flies = false;
    if (status != OK) {
        load_tell(wait, status, NULL);
        return;
    }
    wait_took(wait, found.item, false);
    item_release(found.item);
}

/* --- who asks ----------------------------------------------------------------------------------------------------- */

/* What an asker gets who finds `judged`, at once. PENDING: he has to wait. STALE: nobody knows what it is worth. */
static enum status offer(const struct loads *loads, const struct load *load,
                         const struct load_ask *ask, const struct judged *judged, struct item *item,
                         struct load_result *ret)
{
    const enum load_worth worth = worth_of(ask, judged, loads->window->now_ms);
    *ret = worth == WORTH_NOTHING ? (struct load_result){.outcome = LOAD_MISSED}
                                  : result_of(judged, item);
    if (judged->state == MANAGED_UNSURE) {
        return STALE;
    }
    if (worth == WORTH_ENOUGH || ask->no_load) {
        return OK;
    }
    if (load == NULL) {
        return PENDING;
    }
    if (ask->has_token && load_is_token(load, ask->token)) {
        if (!ask->plain) {
            ret->outcome = LOAD_WON; /* once more */
            ret->key = &load->key;
            memcpy(ret->token, ask->token, LEASE_TOKEN_SIZE);
        } else {
            *ret = (struct load_result){.outcome = LOAD_MISSED};
        }
        return OK;
    }
    if (worth == WORTH_REFRESHING) {
        return OK;
    }
    const bool is_throttled = load_is_marked(load, LOAD_THROTTLED);
    const bool is_idle = load_is_marked(load, LOAD_IDLE);
    if (is_throttled && worth == WORTH_NOTHING) {
        ret->outcome = LOAD_FAILED;
    }
    return is_throttled || (ask->plain && (is_idle || load->in_vain)) ? OK : PENDING;
}

/* He waits for the load of his key, or begins it. */
void load_wait_park(struct load_wait *wait)
{
    struct loads *loads = wait->loads;
    const struct ns_key key = window_key(loads->window, &wait->key);
    const struct judged judged = judge_item(loads, &key, wait->item);
    struct load *load = load_find(loads, &wait->key);
    const struct load_facts facts = {
        .seen = judged.here ? judged.value.version : 0,
        .seen_any = wait->rounds >= ROUNDS_SURE,
        .has_spare = judged.here && judged.state != MANAGED_DEAD,
    };
    if (loads->wait_count > LIMIT_LOAD_WAITS ||
        (load != NULL ? load_join(load, wait, &facts) : load_begin(loads, wait, &facts)) != OK) {
        wait->hard_at_ms = wait->last_at_ms = loads->due_ms =
            loads->window->now_ms; /* not from inside of load_get */
    }
}

void load_decide(struct load_wait *wait)
{
    struct loads *loads = wait->loads;
    const struct ns_key key = window_key(loads->window, &wait->key);
    const struct load *load = load_find(loads, &wait->key);
    const struct judged judged = judge_item(loads, &key, wait->item);
    struct load_result result;
    if (!key.ns->managed) { /* not any more: nobody loads it */
        load_tell_or(wait, LOAD_MISSED);
        return;
    }
    const enum status status = offer(loads, load, &wait->ask, &judged, wait->item, &result);
    if (status != PENDING) {
        load_tell(wait, status, &result);
    } else if (!load_gate_parks(wait)) {
        load_wait_park(wait);
    }
}

/* L1 or L2 have answered. */
static void wait_took(struct load_wait *wait, struct item *item, bool is_spare)
{
    const bool managed = window_key(wait->loads->window, &wait->key).ns->managed;
    wait->item = item == NULL ? NULL : item_ref(item);
    if (!is_spare || !managed) {
        load_decide(wait);
    } else if (!load_tell_spare(wait)) { /* L2 cannot be asked, for a lease neither */
        load_tell(wait, L2_DOWN, NULL);
    }
}

static void wait_on_value(struct tiers_reader *reader, enum status status,
                          const struct tiers_value *value)
{
    struct load_wait *wait = (struct load_wait *)(void *)reader;
    wait->flies = false;
    if (wait->is_told) {
        wait_free(wait);
    } else if (status == OK) {
        wait_took(wait, value->item, value->is_spare);
    } else {
        const struct load_result result = {.outcome = LOAD_MISSED, .error = value->error};
        load_tell(wait, status, &result);
    }
}

/* Nothing is sent behind a load before it has ended. */
static bool wait_takes_large(struct tiers_reader *reader)
{
    (void)reader;
    return true;
}

/* What L1 has is not enough: it is kept, to be served if the load takes long. */
static enum status get_wait(struct load_wait *wait, const struct ns_key *key,
                            const struct load_ask *ask, struct l1_value *value)
{
    struct l1_value whole = {0};
    struct item *item = value->item;
    if (item == NULL && l1_get(key->ns->l1, &key->at, wait->loads->window->now_ms,
                               value->stamped_at_ms, &whole) == OK) {
        item = whole.item; /* `value` was a copy of it */
    }
    if (item != NULL && window_withholds(&wait->reader, item_value(item))) {
        item_release(item); /* what stands there by now */
        item = NULL;
    }
    value->item = NULL;
    wait->item = item;
    wait_begin(wait, key, ask);
    if (!load_gate_parks(wait)) {
        load_wait_park(wait);
    }
    return PENDING;
}

enum status load_get(struct tiers_window *window, const struct ns_key *key,
                     const struct load_ask *ask, struct l1_value *value, struct load_result *ret,
                     struct load_wait **ret_wait)
{
    struct loads *loads = loads_of(window);
    struct load_wait *wait = loads == NULL ? NULL : wait_new(loads, key->at.bytes.size);
    if (wait == NULL) {
        return NO_MEMORY;
    }
    bool foreign = false; /* the answer waits as for one of those anyway */
    wait->reader = (struct tiers_reader){.on_value = wait_on_value,
                                         .takes_large = ask->takes_large ? wait_takes_large : NULL};
    wait->item = NULL;
    wait->is_told = false;
    wait->flies = true;
    if (ask->has_wish) {
        wait->ask.wish = ask->wish;
        wait->reader.wish = &wait->ask.wish;
    }
    const enum status status = tiers_get(window, key, 2, value, &wait->reader, &foreign);
    *ret_wait = wait;
    if (status == PENDING) {
        wait_begin(wait, key, ask);
        load_gate_expect(wait);
        return PENDING;
    }
    wait->flies = false;
    if (status != OK) {
        wait_free(wait);
        return status;
    }
    const struct judged judged =
        judge(loads, key, value->bytes, value->expire_at_ms, value->stamped_at_ms);
    const struct load *load = load_find(loads, &key->at);
    const enum status offered = offer(loads, load, ask, &judged, value->item, ret);
    if (judged.state == MANAGED_DEAD) {
        namespace_tally(key->ns, window->options.worker, TALLY_DEAD, 1);
    }
    if (offered != PENDING) {
        count(loads, key->ns, ret);
        wait_free(wait);
        return offered;
    }
    return get_wait(wait, key, ask, value);
}

void load_hurry(struct tiers_window *window, uint64_t group)
{
    struct loads *loads = window->loads;
    if (loads == NULL) {
        return;
    }
    for (struct list *node = loads->waits.next; node != &loads->waits; node = node->next) {
        struct load_wait *wait = LIST_ENTRY(node, struct load_wait, in_all);
        if (wait->ask.group != group || !wait->ask.plain) {
            continue;
        }
        const struct ns_key key = window_key(window, &wait->key);
        const int64_t end_ms = window->now_ms + namespace_rules(key.ns).soft_timeout_ms;
        wait->ask.hurried = true;
        wait->hard_at_ms = end_ms < wait->hard_at_ms ? end_ms : wait->hard_at_ms;
        loads->due_ms = wait->hard_at_ms < loads->due_ms ? wait->hard_at_ms : loads->due_ms;
    }
}

void load_tell_to(struct load_wait *wait, void *arg)
{
    wait->ask.arg = arg;
}
