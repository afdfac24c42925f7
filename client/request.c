/* SPDX-License-Identifier: BSD-3-Clause */
#include "client/request.h"

#include "client/backoff.h"
#include "client/request_inner.h"

#include <stdio.h>
#include <string.h>

static void try_again_somehow(struct request *request, enum terrace_status why);

static struct request *request_of(struct call *call)
{
    return ((struct try *)(void *)call)->request;
}

static bool is_under_way(const struct try *try)
{
    return try->endpoint != NULL;
}

static bool has_try(const struct request *request)
{
    return is_under_way(&request->tries[0]) || is_under_way(&request->tries[1]);
}

/* --- lists ---------------------------------------------------------------------------------------------------------------- */

static void link_request(struct request *request)
{
    struct core *core = request->core;
    request->prev = NULL;
    request->next = core->all;
    if (core->all != NULL) {
        core->all->prev = request;
    }
    core->all = request;
    core->inflight += !request->is_probe;
    core->queue_bytes += request->bytes.size;
}

static void unlink_request(struct request *request)
{
    struct core *core = request->core;
    *(request->prev != NULL ? &request->prev->next : &core->all) = request->next;
    if (request->next != NULL) {
        request->next->prev = request->prev;
    }
}

static void starve(struct request *request)
{
    struct core *core = request->core;
    request->is_starved = true;
    request->prev_starved = NULL;
    request->next_starved = core->starved;
    if (core->starved != NULL) {
        core->starved->prev_starved = request;
    }
    core->starved = request;
}

static void unstarve(struct request *request)
{
    if (request->is_starved) {
        request->is_starved = false;
        *(request->prev_starved != NULL ? &request->prev_starved->next_starved
                                        : &request->core->starved) = request->next_starved;
        if (request->next_starved != NULL) {
            request->next_starved->prev_starved = request->prev_starved;
        }
    }
}

/* --- the end -------------------------------------------------------------------------------------------------------------- */

enum blame {
    NOT_ITS_FAULT,
    NO_ANSWER
};

/* The try is none any more. Its call was not answered and not lost. */
static void abandon(struct request *request, struct try *try, enum blame blame)
{
    struct core *core = request->core;
    const bool was_sent = conn_was_sent(&try->call);
    if (!is_under_way(try)) {
        return;
    }
    if (!orphan_of(request, &try->call)) {
        conn_cancel(&try->call);
    }
    request->may_be_done |= request->is_write && was_sent;
    if (try->is_near) {
        request_near_fail(request);
    }
    if (request->only == NULL && blame == NO_ANSWER && was_sent) {
        cluster_on_failed(core->cluster, try->endpoint, "no answer in time", clock_ms());
        core_tick_within(core, 0);
    } else if (request->only == NULL) {
        cluster_on_left(core->cluster, try->endpoint);
    }
    *try = (struct try){.request = request};
}

static void count_outcome(struct core *core, enum terrace_status status)
{
    struct tally *tally = &core->tally;
    switch (status) {
    case TERRACE_UNKNOWN: tally_add(&tally->unknown, 1); break;
    case TERRACE_DEADLINE: tally_add(&tally->deadline, 1); break;
    case TERRACE_UNREACHABLE: tally_add(&tally->unreachable, 1); break;
    case TERRACE_BUSY:
    case TERRACE_DENIED:
    case TERRACE_REFUSED:
    case TERRACE_NO_MEMORY: tally_add(&tally->errors, 1); break;
    case TERRACE_OK:
    case TERRACE_MISS:
    case TERRACE_STALE:
    case TERRACE_NEGATIVE:
    case TERRACE_LOAD:
    case TERRACE_LOST:
    case TERRACE_UNMET:
    case TERRACE_BAD_ARGUMENT:
    case TERRACE_CLOSED: break;
    }
}

static void defer(struct request *request, enum terrace_status status)
{
    struct core *core = request->core;
    request->ended = status;
    request->next = NULL;
    *(core->ended != NULL ? &core->ended_last->next : &core->ended) = request;
    core->ended_last = request;
    core_wake(core);
}

static void announce(struct request *request, struct outcome *outcome)
{
    struct core *core = request->core; /* it counts until now: what fails at once is bounded, too */
    core->inflight -= !request->is_probe;
    core->queue_bytes -= request->bytes.size;
    if (!request->is_probe) {
        count_outcome(core, outcome->status);
    }
    request_open(request, outcome);
    request->on_done(request->arg, outcome);
    request_free(request);
}

/* `outcome`: NULL if no answer of a node ended it. */
static void end(struct request *request, enum terrace_status status, struct outcome *outcome)
{
    wheel_clear(&request->timer);
    unstarve(request);
    for (int i = 0; i < TRIES; i++) {
        abandon(request, &request->tries[i],
                status == TERRACE_DEADLINE || status == TERRACE_UNKNOWN ? NO_ANSWER
                                                                        : NOT_ITS_FAULT);
    }
    request_near_write(request);
    unlink_request(request);
    if (request->is_starting) {
        defer(request, status);
        return;
    }
    struct outcome nothing = {.status = status,
                              .error = request->why[0] != '\0' ? request->why : NULL};
    announce(request, outcome != NULL ? outcome : &nothing);
}

void request_announce(struct core *core)
{
    struct request *request = core->ended;
    core->ended = core->ended_last = NULL;
    while (request != NULL) {
        struct request *next = request->next;
        struct outcome outcome = {.status = request->ended,
                                  .error = request->why[0] != '\0' ? request->why : NULL};
        announce(request, &outcome);
        request = next;
    }
}

void request_close_all(struct core *core)
{
    while (core->all != NULL) {
        end(core->all, core->all->may_be_done ? TERRACE_UNKNOWN : TERRACE_CLOSED, NULL);
    }
}

/* No more time, or no more tries. */
static void give_up(struct request *request, enum terrace_status why)
{
    bool was_sent = request->may_be_done;
    for (int i = 0; request->is_write && i < TRIES; i++) {
        was_sent |= is_under_way(&request->tries[i]) && conn_was_sent(&request->tries[i].call);
    }
    end(request, was_sent ? TERRACE_UNKNOWN : why, NULL);
}

/* --- time ----------------------------------------------------------------------------------------------------------------- */

static void set_timer(struct request *request)
{
    int64_t due_ms = request->deadline_ms;
    if (request->retry_at_ms != 0 && request->retry_at_ms < due_ms) {
        due_ms = request->retry_at_ms;
    }
    if (request->hedge_at_ms != 0 && request->hedge_at_ms < due_ms) {
        due_ms = request->hedge_at_ms;
    }
    if (!timer_is_set(&request->timer) || request->timer.due_ms != due_ms) {
        wheel_set(&request->core->wheel, &request->timer, due_ms);
    }
}

/* --- tries ---------------------------------------------------------------------------------------------------------------- */

/* Without asking it: it could not be asked. */
static void blame_endpoint(struct request *request, struct cluster_endpoint *endpoint,
                           const char *why)
{
    const int64_t now_ms = clock_ms();
    error_say(request->why, sizeof request->why, "%s: %s", cluster_endpoint_address(endpoint), why);
    request->failed_at = endpoint;
    if (request->only == NULL) {
        cluster_on_sent(request->core->cluster, endpoint, now_ms);
        cluster_on_failed(request->core->cluster, endpoint, why, now_ms);
        core_tick_within(request->core, 0);
    }
}

static void send_try(struct request *request, struct try *try, struct lane *lane)
{
    const int64_t now_ms = clock_ms();
    const int64_t left_ms = request->deadline_ms - now_ms;
    const struct conn_frame frame = {.op = request->op,
                                     .word = (uint32_t)(left_ms < 1 ? 1 : left_ms),
                                     .rest = request->bytes,
                                     .meta_size = request->meta_size,
                                     .keys_size = request->keys_size,
                                     .payload = request->payload};
    struct call *call = &try->call;
    if (request->is_near && !try->is_hedge) {
        request_near_begin(request, &lane->stream, now_ms);
        try->is_near = true;
    }
    request_near_write(request);
    try->began_us = clock_us();
    if (conn_send(lane->conn, call, &frame) != OK) {
        end(request, TERRACE_NO_MEMORY, NULL);
    }
}

/* `endpoint` is asked now. */
static void begin_try(struct request *request, struct try *try, struct cluster_endpoint *endpoint,
                      bool is_hedge)
{
    struct core *core = request->core;
    char why[WHY_SIZE];
    struct lane *lane = core_lane(core, endpoint, why, sizeof why);
    if (lane == NULL) {
        blame_endpoint(request, endpoint, why);
        if (!has_try(request)) {
            try_again_somehow(request, TERRACE_UNREACHABLE);
        }
        return;
    }
    *try = (struct try){.request = request, .endpoint = endpoint, .is_hedge = is_hedge};
    if (request->only == NULL) {
        cluster_on_sent(core->cluster, endpoint, clock_ms());
        core_tick_within(core, CLUSTER_SILENCE_MS);
    }
    if (request->hedge_ms > 0 && !is_hedge) {
        request->hedge_at_ms = clock_ms() + request->hedge_ms;
        set_timer(request);
    }
    if (conn_is_ready(lane->conn)) {
        send_try(request, try, lane);
    } else {
        conn_await(lane->conn, &try->call);
    }
}

/* Nobody may be asked now: breakers are open, or nobody is known yet. */
static void on_nobody(struct request *request, int64_t wait_ms)
{
    const bool is_early = discovery_is_pending(request->core->discovery);
    if (!is_early && request->core->options->when_down == 0) {
        if (request->why[0] == '\0') {
            error_say(request->why, sizeof request->why, "all endpoints are down");
        }
        give_up(request, TERRACE_UNREACHABLE);
        return;
    }
    error_say(request->why, sizeof request->why, "%s",
              is_early ? discovery_why(request->core->discovery) : "all endpoints are down");
    request->retry_at_ms = clock_ms() + (wait_ms > 0 ? wait_ms : 1);
    starve(request);
    set_timer(request);
}

/* Who gave the token of a load knows best that it is good; NULL: it is not connected, or was asked already. */
static struct cluster_endpoint *holder_of_token(const struct request *request)
{
    for (const struct lane *lane = request->core->lanes;
         request->at != 0 && request->failed == 0 && lane != NULL; lane = lane->next) {
        if (lane->peer != NULL && lane->peer->at == request->at && conn_is_ready(lane->conn)) {
            return lane->peer->endpoint;
        }
    }
    return NULL;
}

static void try_now(struct request *request)
{
    int64_t wait_ms = 0;
    request->retry_at_ms = 0;
    struct cluster_endpoint *endpoint =
        request->only != NULL ? request->only : holder_of_token(request);
    if (endpoint == NULL) {
        endpoint = cluster_choose(request->core->cluster, request->hash, request->failed_at,
                                  clock_ms(), &wait_ms);
    }
    if (endpoint == NULL) {
        on_nobody(request, wait_ms);
    } else {
        begin_try(request, &request->tries[is_under_way(&request->tries[0])], endpoint, false);
    }
}

/* A try has failed, and the request may be tried again: at once, or later, or it ends. */
static void try_again_somehow(struct request *request, enum terrace_status why)
{
    struct core *core = request->core;
    const int64_t now_ms = clock_ms();
    request->failed++;
    if (why == TERRACE_DENIED || request->only != NULL ||
        request->failed > (unsigned)core->options->retries) {
        give_up(request, why);
        return;
    }
    const int64_t delay_ms =
        request->failed == 1 ? 0 : backoff_ms(&core->chance, request->failed - 1);
    if (now_ms + delay_ms >= request->deadline_ms) {
        give_up(request, why);
        return;
    }
    tally_add(&core->tally.retries, 1);
    request->hedge_at_ms = 0;
    request->retry_at_ms = now_ms + delay_ms;
    set_timer(request); /* not from here: who failed may be in the middle of telling others */
}

static void hedge(struct request *request)
{
    int64_t wait_ms = 0;
    struct try *first = &request->tries[is_under_way(&request->tries[1])];
    struct try *second = &request->tries[first == &request->tries[0]];
    request->hedge_at_ms = 0;
    if (!is_under_way(first) || is_under_way(second)) {
        return;
    }
    struct cluster_endpoint *other = cluster_choose(request->core->cluster, request->hash,
                                                    first->endpoint, clock_ms(), &wait_ms);
    if (other != NULL && other != first->endpoint) {
        tally_add(&request->core->tally.hedges, 1);
        begin_try(request, second, other, true);
    }
}

static void on_due(struct timer *timer)
{
    struct request *request = (struct request *)(void *)timer;
    const int64_t now_ms = clock_ms();
    if (now_ms >= request->deadline_ms) {
        if (request->why[0] == '\0') {
            error_say(request->why, sizeof request->why, "not answered within %lld ms",
                      (long long)request->timeout_ms);
        }
        give_up(request, TERRACE_DEADLINE);
        return;
    }
    set_timer(request);
    if (request->hedge_at_ms != 0 && now_ms >= request->hedge_at_ms) {
        hedge(request);
        return; /* it may be gone */
    }
    if (request->retry_at_ms != 0 && now_ms >= request->retry_at_ms) {
        unstarve(request);
        try_now(request);
    }
}

/* --- what connections say --------------------------------------------------------------------------------------------------- */

void request_on_turn(struct call *call, struct lane *lane)
{
    send_try(request_of(call), (struct try *)(void *)call, lane);
}

static void part_done(struct request *request, const struct try *try, struct outcome *outcome)
{
    const size_t at = outcome->reply->index;
    if (at >= request->key_count || request->seen[at]) {
        return; /* of an earlier try, or nonsense */
    }
    request_near_land(request, at, try->is_near, outcome, clock_ms());
    request->seen[at] = true;
    request->parts_left--;
    request_open(request, outcome);
    request->on_part(request->arg, at, outcome);
}

/* `Not done`, of this try: an earlier one may have done it. */
static bool says_not_done(enum terrace_status status)
{
    return status == TERRACE_LOST || status == TERRACE_UNMET || status == TERRACE_DEADLINE ||
           status == TERRACE_UNREACHABLE || status == TERRACE_BUSY || status == TERRACE_DENIED ||
           status == TERRACE_REFUSED;
}

/* A good answer; or one that no other would better. */
static void answered(struct request *request, struct try *try, struct outcome *outcome)
{
    if (try->is_hedge) {
        tally_add(&request->core->tally.hedges_won, 1);
    }
    if (request->may_be_done && says_not_done(outcome->status)) {
        outcome->status = TERRACE_UNKNOWN;
    }
    if (request->on_part == NULL) {
        request_near_land(request, 0, try->is_near, outcome, clock_ms());
    } else if (try->is_near) {
        request_near_fail(request);
    }
    *try = (struct try){.request = request};
    end(request, outcome->status, outcome);
}

static void say_error(struct request *request, const struct conn_answer *answer,
                      struct outcome *outcome)
{
    if (outcome->body.data == NULL && outcome->reason != TERRACE_REASON_ABSENT &&
        answer->body.size > 0 && answer->header->word > NATIVE_LOAD) {
        const size_t size = answer->body.size < WHY_SIZE - 1 ? answer->body.size : WHY_SIZE - 1;
        memcpy(request->why, answer->body.data, size);
        request->why[size] = '\0';
        outcome->error = request->why;
    }
}

void request_on_answer(struct call *call, struct lane *lane, struct conn_answer *answer)
{
    struct request *request = request_of(call);
    struct try *try = (struct try *)(void *)call;
    struct core *core = lane->core;
    struct outcome outcome;
    bool is_retriable = false;
    if (request == NULL) {
        orphan_on_answer(call, lane, answer);
        return;
    }
    if (!answer->is_last && request->on_part == NULL) { /* it loses this call, too */
        conn_break(lane->conn, TERRACE_UNREACHABLE, "an answer in parts to a question of one");
        return;
    }
    request_judge(request, answer, &outcome, &is_retriable);
    outcome.at = outcome.status == TERRACE_LOAD && lane->peer != NULL ? lane->peer->at : 0;
    if (answer->is_last && request->only == NULL) {
        cluster_on_answered(core->cluster, try->endpoint, clock_us() - try->began_us, clock_ms());
    }
    /* One answer for all of many keys is an error of the whole; the last of many is the last key's. */
    if (request->on_part != NULL &&
        (!answer->is_last || request->parts_left <= 1 || answer->header->word <= NATIVE_STALE)) {
        part_done(request, try, &outcome);
        if (answer->is_last) {
            if (try->is_near) { /* keys that were left out */
                request_near_fail(request);
            }
            *try = (struct try){.request = request};
            end(request, request->parts_left == 0 ? TERRACE_OK : TERRACE_REFUSED, NULL);
        }
        answer->taken = outcome.taken;
        return;
    }
    say_error(request, answer, &outcome);
    if (is_retriable) {
        request->failed_at = try->endpoint;
        if (try->is_near) {
            request_near_fail(request);
        }
        *try = (struct try){.request = request};
        request->may_be_done |= outcome.status == TERRACE_UNKNOWN;
        if (!has_try(request)) {
            try_again_somehow(request, outcome.status);
        }
        return;
    }
    answered(request, try, &outcome);
    answer->taken = outcome.taken;
}

void request_on_lost(struct call *call, struct lane *lane, enum terrace_status why)
{
    struct request *request = request_of(call);
    struct try *try = (struct try *)(void *)call;
    struct core *core = lane->core;
    if (request == NULL) {
        orphan_on_lost(call);
        return;
    }
    struct cluster_endpoint *endpoint = try->endpoint;
    const bool may_be_done = request->is_write && call->was_sent;
    if (request->only == NULL && !lane->is_blamed) {
        lane->is_blamed = true;
        cluster_on_failed(core->cluster, endpoint,
                          why == TERRACE_DENIED ? "denied" : "connection lost", clock_ms());
        core_tick_within(core, 0);
    } else if (request->only == NULL) {
        cluster_on_left(core->cluster, endpoint);
    }
    if (try->is_near) {
        request_near_fail(request);
    }
    request->failed_at = endpoint;
    request->may_be_done |= may_be_done;
    error_say(request->why, sizeof request->why, "%s: %s", cluster_endpoint_address(endpoint),
              conn_why(lane->conn));
    *try = (struct try){.request = request};
    if (has_try(request)) {
        return;
    }
    if (why == TERRACE_CLOSED || (may_be_done && !request->retry_unknown)) {
        give_up(request, why);
    } else {
        try_again_somehow(request, why);
    }
}

/* --- the beginning ---------------------------------------------------------------------------------------------------------- */

enum terrace_status request_start(struct core *core, struct request *request)
{
    const struct terrace_options *options = core->options;
    const bool is_full = core->inflight >= (size_t)options->max_inflight ||
                         (core->inflight > 0 && core->queue_bytes + request->bytes.size >
                                                    (uint64_t)options->max_queue_bytes);
    if (core->is_closing || (is_full && !request->is_probe)) {
        request_free(request);
        return core->is_closing ? TERRACE_CLOSED : TERRACE_BUSY;
    }
    request->core = core;
    request->is_near = request->is_near && core->near != NULL;
    request->timer.on_due = on_due;
    request->deadline_ms = clock_ms() + request->timeout_ms;
    link_request(request);
    if (!request->is_probe) {
        tally_add(&core->tally.requests, 1);
    }
    request->is_starting = true;
    set_timer(request);
    try_now(request);
    request->is_starting = false;
    return TERRACE_OK;
}

void core_feed(struct core *core)
{
    /* Not at once: who feeds may be in the middle of something. */
    for (struct request *request = core->starved; request != NULL;
         request = request->next_starved) {
        request->retry_at_ms = clock_ms();
        set_timer(request);
    }
}

void core_hurry(struct core *core)
{
    const int64_t now_ms = clock_ms();
    for (struct request *request = core->all; request != NULL; request = request->next) {
        if (request->retry_at_ms > now_ms) {
            request->retry_at_ms = now_ms;
            set_timer(request);
        }
    }
}
