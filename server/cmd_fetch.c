/* SPDX-License-Identifier: BSD-3-Clause */
/* CACHE.FETCH: a read that says how old its value may be, and is told how old it is (tiers/contract.h).
 *
 *      CACHE.FETCH key [SOFT ms] [HARD ms] [MAXSTALE ms | FRESH | ANY] [ATLEAST seq] [NOLOAD]
 *          -> [HIT | STALE | MISS, value, age_ms, ttl_ms, token]
 *
 * MAXSTALE takes from L1 what is at most so old, in place of the namespace's mode; ANY whatever is there; FRESH nothing.
 * ATLEAST takes from L1 only what this node was told of up to that seq. STALE is a value older than the namespace promises
 * while all is well, which only these, or a mode, allow. The age is how far the value may be behind L2.
 *
 * SOFT: what is older than the mode allows is not served at once, but when L2 has not answered for so long. HARD: then the
 * answer is an error. Both count from the moment the command is executed. On plain namespaces nobody loads a value, so
 * NOLOAD changes nothing and the token is nil.
 *
 * A hit waits for nothing and allocates nothing: the reader that a miss needs is kept for the next one. */
#include "server/cmd_common.h"
#include "server/commands.h"
#include "server/conn.h"
#include "server/fetch_options.h"
#include "server/fetched.h"
#include "server/node.h"
#include "server/relay.h"
#include "server/worker.h"
#include "tiers/tiers.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

/* One that waits for L2. It is freed when the tiers and the timer have both let go of it. */
struct fetch {
    struct tiers_reader reader; /* first: it is cast back */
    struct worker *worker;
    struct answer *answer; /* NULL: it has been answered */
    struct wish wish;
    int64_t hard_ms; /* of the budgets, what is left when the timer ends; FETCH_NO_BUDGET: none */
    int64_t hard_said_ms;
    bool is_read;   /* the tiers have answered */
    bool has_timer; /* it is open, or being closed */
    bool soft;      /* the timer that runs is SOFT's */
    uv_timer_t timer;
    struct l1_key key;
    char *bytes; /* of the key; NULL: no timer needs it */
};

/* --- the answer -------------------------------------------------------------------------------------------------- */

static int64_t ttl_of(int64_t expire_at_ms, int64_t now_ms)
{
    if (expire_at_ms == ITEM_NEVER) {
        return FETCHED_TTL_NONE;
    }
    return expire_at_ms > now_ms ? expire_at_ms - now_ms : 0;
}

static void reply_missing(struct reply *reply)
{
    const struct fetched missing = {
        .state = FETCHED_MISS, .age_ms = FETCHED_AGE_UNKNOWN, .ttl_ms = FETCHED_TTL_NO_KEY};
    reply_fetched(reply, &missing);
}

static void count_lookup(struct worker *worker, bool hit)
{
    metrics_count(worker->metrics, hit ? M_KEY_HITS : M_KEY_MISSES);
}

/* A value out of L1, as `found` says. */
static void reply_from_l1(struct reply *reply, struct worker *worker, const struct namespace *ns,
                          const struct l1_value *found, int64_t now_ms)
{
    const struct tiers_age age = worker->window == NULL
                                     ? (struct tiers_age){0}
                                     : tiers_age(worker->window, ns, found->stamped_at_ms);
    const struct fetched fetched = {.state = age.is_stale ? FETCHED_STALE : FETCHED_HIT,
                                    .has_value = true,
                                    .item = found->item,
                                    .bytes = found->bytes,
                                    .age_ms = age.age_ms,
                                    .ttl_ms = ttl_of(found->expire_at_ms, now_ms),
                                    .ns = ns,
                                    .is_sound = !age.is_suspect};
    count_lookup(worker, true);
    if (found->is_hash) {
        reply_error(reply, text_wrong_type);
    } else {
        reply_fetched(reply, &fetched);
    }
}

/* What the tiers answered: L2's value, which is as old as its question, or L1's. */
static void reply_value(struct reply *reply, struct worker *worker, const struct tiers_value *value)
{
    struct item *item = value->item;
    const int64_t now_ms = clock_now_ms(&worker->node->clock);
    if (item == NULL) {
        count_lookup(worker, false);
        reply_missing(reply);
    } else if (item_is_hash(item)) {
        count_lookup(worker, true);
        reply_error(reply, text_wrong_type);
    } else if (value->is_spare) {
        const struct l1_value found = {.item = item,
                                       .bytes = item_value(item),
                                       .expire_at_ms = item_expire_at_ms(item),
                                       .stamped_at_ms = item_stamped_at_ms(item)};
        reply_from_l1(reply, worker, namespace_of(worker->node->namespaces, item_key(item)), &found,
                      now_ms);
    } else {
        const struct namespace *ns = namespace_of(worker->node->namespaces, item_key(item));
        const int64_t stamp_ms = item_stamped_at_ms(item);
        const struct fetched fetched = {.state = FETCHED_HIT,
                                        .has_value = true,
                                        .item = item,
                                        .bytes = item_value(item),
                                        .age_ms = now_ms - stamp_ms,
                                        .ttl_ms = ttl_of(item_expire_at_ms(item), now_ms),
                                        .ns = ns,
                                        .is_sound =
                                            !tiers_age(worker->window, ns, stamp_ms).is_suspect};
        count_lookup(worker, true);
        reply_fetched(reply, &fetched);
    }
}

/* --- one that waits ---------------------------------------------------------------------------------------------- */

static void fetch_free(struct fetch *fetch)
{
    free(fetch->bytes);
    spares_give(&fetch->worker->spares, fetch, sizeof(*fetch));
}

static void on_timer_closed(uv_handle_t *handle)
{
    struct fetch *fetch = handle->data;
    fetch->has_timer = false;
    if (fetch->is_read) {
        fetch_free(fetch);
    }
}

static void timer_end(struct fetch *fetch)
{
    if (fetch->has_timer && uv_is_closing((uv_handle_t *)&fetch->timer) == 0) {
        uv_close((uv_handle_t *)&fetch->timer, on_timer_closed);
    }
}

static void fetch_land(struct fetch *fetch)
{
    answer_land(fetch->answer);
    fetch->answer = NULL;
    timer_end(fetch);
}

static void on_value(struct tiers_reader *reader, enum status status,
                     const struct tiers_value *value)
{
    struct fetch *fetch = (struct fetch *)(void *)reader;
    fetch->is_read = true;
    if (fetch->answer != NULL) {
        struct answer *answer = fetch->answer;
        if (status == OK) {
            reply_value(&answer->reply, answer->worker, value);
        } else {
            relay_refuse_read(&answer->reply, answer->worker, status, value->error);
        }
        fetch_land(fetch);
    }
    if (!fetch->has_timer) {
        fetch_free(fetch);
    }
}

/* A budget is used up: SOFT's, and what L1 has may be good enough; or HARD's. */
static void on_timer(uv_timer_t *timer)
{
    struct fetch *fetch = timer->data;
    struct answer *answer = fetch->answer;
    struct worker *worker = answer->worker;
    if (fetch->soft) {
        struct ns_key key = {.at = fetch->key,
                             .ns = namespace_of(worker->node->namespaces, fetch->key.bytes)};
        struct l1_value found = {0};
        const int64_t now_ms = clock_now_ms(&worker->node->clock);
        tiers_window_begin(worker->window, now_ms);
        if (tiers_spare(worker->window, &key, &fetch->wish, &found) == OK) {
            reply_from_l1(&answer->reply, worker, key.ns, &found, now_ms);
            item_release(found.item);
            fetch_land(fetch);
            return;
        }
        if (fetch->hard_ms == FETCH_NO_BUDGET) {
            timer_end(fetch); /* L2 is waited for as long as any read waits */
            return;
        }
        fetch->soft = false;
        (void)uv_timer_start(timer, on_timer, (uint64_t)fetch->hard_ms, 0);
        return;
    }
    reply_errorf(&answer->reply, "STALE L2 has not answered within %" PRId64 " ms",
                 fetch->hard_said_ms);
    fetch_land(fetch);
}

static void timer_begin(struct fetch *fetch, struct worker *worker,
                        const struct fetch_options *options)
{
    int64_t first_ms = options->hard_ms;
    fetch->hard_ms = fetch->hard_said_ms = options->hard_ms;
    fetch->soft = options->soft_ms != FETCH_NO_BUDGET &&
                  (options->hard_ms == FETCH_NO_BUDGET || options->soft_ms < options->hard_ms);
    if (fetch->soft) {
        first_ms = options->soft_ms;
        fetch->hard_ms =
            options->hard_ms == FETCH_NO_BUDGET ? FETCH_NO_BUDGET : options->hard_ms - first_ms;
    }
    if (first_ms == FETCH_NO_BUDGET || uv_timer_init(&worker->loop, &fetch->timer) != 0) {
        return;
    }
    fetch->timer.data = fetch;
    fetch->has_timer = true;
    (void)uv_timer_start(&fetch->timer, on_timer, (uint64_t)first_ms, 0);
}

/* --- asking ------------------------------------------------------------------------------------------------------ */

/* This node's L1 is the only copy, and always current. */
static void fetch_alone(struct call *call, const struct fetch_options *options)
{
    const struct ns_key key = call_key(call, 1);
    struct l1_value found = {.copy = call->worker->copy, .copy_room = sizeof(call->worker->copy)};
    if (options->wish.atleast_seq > 0) {
        reply_error(call->reply, "STALE this node has no L2: nothing is numbered, and no seq but 0 "
                                 "is ever applied");
        return;
    }
    worker_note_read(call->worker, &key);
    if (l1_get(key.ns->l1, &key.at, call->now_ms, 0, &found) == OK) {
        reply_from_l1(call->reply, call->worker, key.ns, &found, call->now_ms);
        item_release(found.item);
    } else {
        count_lookup(call->worker, false);
        reply_missing(call->reply);
    }
}

/* What on_timer needs of the key when the request is gone. */
static bool keep_key(struct fetch *fetch, const struct ns_key *key)
{
    fetch->bytes = malloc(key->at.bytes.size + 1);
    if (fetch->bytes == NULL) {
        return false;
    }
    fetch->key = key->at;
    if (key->at.bytes.size > 0) {
        memcpy(fetch->bytes, key->at.bytes.data, key->at.bytes.size);
    }
    fetch->key.bytes.data = fetch->bytes;
    return true;
}

static struct fetch *fetch_new(struct worker *worker)
{
    struct fetch *fetch = spares_take(&worker->spares, sizeof(*fetch));
    if (fetch != NULL) {
        fetch->worker = worker;
        fetch->reader = (struct tiers_reader){.on_value = on_value};
        fetch->bytes = NULL;
        fetch->is_read = fetch->has_timer = false;
    }
    return fetch;
}

void cmd_cache_fetch(struct call *call)
{
    struct worker *worker = call->worker;
    struct fetch_options options;
    if (!fetch_read_options(call, &options)) {
        return;
    }
    if (call->node->tiers == NULL) {
        fetch_alone(call, &options);
        return;
    }
    const struct ns_key key = call_key(call, 1);
    const bool has_budget =
        options.soft_ms != FETCH_NO_BUDGET || options.hard_ms != FETCH_NO_BUDGET;
    struct fetch *fetch = fetch_new(worker);
    if (fetch == NULL || (has_budget && !keep_key(fetch, &key))) {
        spares_give(&worker->spares, fetch, sizeof(*fetch));
        reply_out_of_memory(call->reply);
        return;
    }
    if (options.has_wish) {
        fetch->wish = options.wish;
        fetch->reader.wish = &fetch->wish;
    }
    struct l1_value found = {.copy = worker->copy, .copy_room = sizeof(worker->copy)};
    bool foreign = false;
    const enum status status = tiers_get(worker->window, &key, call->conn->session.proto, &found,
                                         &fetch->reader, &foreign);
    if (status == PENDING) {
        fetch->answer = call_defer(call, foreign ? WAIT_FOREIGN : WAIT_READ);
        timer_begin(fetch, worker, &options);
        return;
    }
    fetch_free(fetch);
    if (status == OK) {
        reply_from_l1(call->reply, worker, key.ns, &found, call->now_ms);
        item_release(found.item);
    } else {
        relay_refuse_read(call->reply, worker, status, (struct slice){0});
    }
}
