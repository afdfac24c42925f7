/* SPDX-License-Identifier: BSD-3-Clause */
#include "server/warm_run.h"

#include "protocol/check.h"
#include "server/node.h"
#include "server/turns.h"
#include "server/worker.h"
#include "tiers/window.h"

#include <stdlib.h>

enum {
    ENGINE_MAGIC = 0x3a4e0001,
    RUN_MAGIC = 0x3a4e0002,
    STEP_MS = 1, /* what begins together lands together, and clients would feel it behind them */
    ASKS_MIN = 8,
    KEYS_PER_STEP = 256, /* of those that need no answer of L2 there may be many */
    BACKOFF_MS = 100,
    BACKOFF_MAX_MS = 5000,
    BACKOFF_DOUBLINGS = 6,
    FACTOR_MILLION = 1000000,
    MICRO = 1000000,
    NS_PER_US = 1000,
};
#define P99 0.99

/* A key that failed, and will be asked for again. */
struct retry {
    size_t index;
    unsigned attempts; /* so far */
    int64_t due_ms;
};

struct warm_run {
    uint32_t magic;
    struct list in_engine;
    struct warm_engine *engine;
    struct warm_run_options options;
    const struct warm_key *keys; /* NULL: hungry */
    size_t count;
    size_t next;    /* not asked for yet */
    size_t open;    /* keys without a result */
    unsigned taken; /* in its turn */
    struct retry *retries;
    size_t retry_count;
    size_t retry_room;
    unsigned holds; /* asks under way, and functions that look at it */
    bool paused;
    bool ended;
};

/* One prefetch under way. */
struct ask {
    struct tiers_prefetch prefetch; /* first */
    struct warm_engine *engine;
    struct warm_run *run; /* NULL: the place is free */
    size_t index;
    unsigned attempts;
    uint64_t began_ns;
};

struct warm_engine {
    uint32_t magic;
    struct worker *worker;
    uv_timer_t timer;
    bool ticking;
    bool stopped;
    bool pumping;
    struct list runs;
    struct warm_pace pace;
    bool is_off; /* warm-rate is 0 */
    unsigned asks_busy;
    unsigned asks_max;       /* twice what its rate takes at L2's round trip */
    unsigned halts;          /* in a row */
    int64_t halted_until_ms; /* 0: it is not */
    /* of the second that runs: */
    struct turns_sum turns_before;
    uint64_t trips;
    uint64_t trips_ns;
    /* shown: */
    _Atomic unsigned shown_factor; /* in millionths */
    _Atomic int64_t shown_p99_us;
    _Atomic int64_t shown_l2_us;
    _Atomic unsigned shown_runs;
    _Atomic unsigned shown_asks;
    _Atomic bool shown_halted;
    struct ask asks[WARM_ASKS_MAX];
};

static void engine_pump(struct warm_engine *engine);

static int64_t engine_now_ms(const struct warm_engine *engine)
{
    return clock_now_ms(&engine->worker->node->clock);
}

static int64_t engine_backoff_ms(struct warm_engine *engine, unsigned times)
{
    const int64_t whole_ms = (int64_t)BACKOFF_MS
                             << (times < BACKOFF_DOUBLINGS ? times : BACKOFF_DOUBLINGS);
    const int64_t delay_ms = whole_ms < BACKOFF_MAX_MS ? whole_ms : BACKOFF_MAX_MS;
    return delay_ms * 3 / 4 +
           (int64_t)rand_below(&engine->worker->rand, (uint64_t)delay_ms / 2 + 1);
}

/* --- runs ------------------------------------------------------------------------------------------------------------ */

struct warm_run *warm_run_new(struct worker *worker, const struct warm_run_options *options)
{
    struct warm_engine *engine = worker->warm;
    struct warm_run *run = engine == NULL ? NULL : calloc(1, sizeof *run);
    if (run == NULL) {
        return NULL;
    }
    CHECK_MAGIC(engine, ENGINE_MAGIC);
    CHECK(options->on_hungry != NULL);
    run->magic = RUN_MAGIC;
    run->engine = engine;
    run->options = *options;
    list_push_back(&engine->runs, &run->in_engine);
    return run;
}

static void run_let_go(struct warm_run *run)
{
    run->holds--;
    if (run->ended && run->holds == 0) {
        free(run->retries);
        run->magic = 0;
        free(run);
    }
}

void warm_run_end(struct warm_run *run)
{
    if (run == NULL) {
        return;
    }
    CHECK_MAGIC(run, RUN_MAGIC);
    CHECK(!run->ended);
    list_remove(&run->in_engine);
    run->keys = NULL;
    run->ended = true;
    run->holds++;
    run_let_go(run);
}

static void engine_on_step(uv_timer_t *timer)
{
    engine_pump(timer->data);
}

static void engine_wake(struct warm_engine *engine)
{
    if (!engine->ticking && !engine->stopped) {
        engine->ticking = true;
        CHECK(uv_timer_start(&engine->timer, engine_on_step, STEP_MS, STEP_MS) == 0);
    }
}

enum status warm_run_feed(struct warm_run *run, const struct warm_key *keys, size_t count)
{
    CHECK_MAGIC(run, RUN_MAGIC);
    CHECK(count > 0 && !run->ended);
    if (run->keys != NULL) {
        return BUSY;
    }
    run->keys = keys;
    run->count = count;
    run->next = 0;
    run->open = count;
    engine_wake(run->engine);
    return OK;
}

void warm_run_set_priority(struct warm_run *run, int priority)
{
    CHECK_MAGIC(run, RUN_MAGIC);
    run->options.priority = priority;
}

void warm_run_pause(struct warm_run *run, bool paused)
{
    CHECK_MAGIC(run, RUN_MAGIC);
    run->paused = paused;
    if (!paused) {
        engine_wake(run->engine);
    }
}

/* --- results --------------------------------------------------------------------------------------------------------- */

static enum metric metric_of(enum prefetch_outcome outcome)
{
    switch (outcome) {
    case PREFETCH_LOADED: return M_WARM_LOADED;
    case PREFETCH_SKIPPED: return M_WARM_SKIPPED;
    case PREFETCH_ABSENT: return M_WARM_ABSENT;
    case PREFETCH_TOO_BIG: return M_WARM_TOO_BIG;
    case PREFETCH_FAILED: break;
    }
    return M_WARM_FAILED;
}

/* The run is held by the caller; afterwards it may have ended. */
static void run_tell(struct warm_run *run, size_t index, const struct prefetch_result *result,
                     unsigned attempts)
{
    struct warm_engine *engine = run->engine;
    struct metrics *metrics = engine->worker->metrics;
    const bool loads = run->options.act == PREFETCH_LOAD;
    metrics_count(metrics, metric_of(result->outcome));
    if (result->outcome == PREFETCH_LOADED) {
        metrics_add(metrics, M_WARM_BYTES, loads ? result->bytes : 0);
    }
    if (run->options.pace != NULL && result->bytes > 0) {
        warm_pace_charge(run->options.pace, result->bytes);
    }
    const struct warm_result told = {
        .outcome = result->outcome,
        .bytes = result->bytes,
        .why = result->why != NULL ? slice_of(result->why) : result->error,
        .attempts = attempts,
    };
    run->open--;
    if (run->options.on_result != NULL) {
        run->options.on_result(run->options.arg, index, &told);
    }
    if (!run->ended && run->open == 0) {
        run->keys = NULL;
        run->options.on_hungry(run->options.arg);
    }
}

static bool may_pass(const struct prefetch_result *result)
{
    return result->outcome == PREFETCH_FAILED && result->status != L2_ERROR;
}

/* False: it is the key's last try. */
static bool run_try_later(struct warm_run *run, size_t index, unsigned attempts)
{
    if (attempts >= WARM_ATTEMPTS_MAX) {
        return false;
    }
    if (run->retry_count == run->retry_room) {
        const size_t room = run->retry_room == 0 ? WARM_ASKS_MAX : 2 * run->retry_room;
        struct retry *more = realloc(run->retries, room * sizeof *more);
        if (more == NULL) {
            return false;
        }
        run->retries = more;
        run->retry_room = room;
    }
    struct warm_engine *engine = run->engine;
    run->retries[run->retry_count++] = (struct retry){
        .index = index,
        .attempts = attempts,
        .due_ms = engine_now_ms(engine) + engine_backoff_ms(engine, attempts - 1),
    };
    return true;
}

/* L2 cannot be asked, or nothing can be kept: nobody asks for a while. */
static void engine_halt(struct warm_engine *engine)
{
    if (engine->halted_until_ms == 0) {
        engine->halted_until_ms = engine_now_ms(engine) + engine_backoff_ms(engine, engine->halts);
        engine->halts++;
    }
}

static void ask_on_done(struct tiers_prefetch *prefetch, const struct prefetch_result *result)
{
    struct ask *ask = (struct ask *)(void *)prefetch;
    struct warm_engine *engine = ask->engine;
    struct warm_run *run = ask->run;
    const bool answered = result->outcome != PREFETCH_FAILED || result->status == L2_ERROR;
    engine->asks_busy--;
    ask->run = NULL;
    if (answered) {
        engine->halts = 0;
        engine->trips += !prefetch->in_steps;
        engine->trips_ns += prefetch->in_steps ? 0 : clock_monotonic_ns() - ask->began_ns;
    } else if (result->status == L2_DOWN || result->status == BUSY) {
        engine_halt(engine);
    }
    if (!run->ended && !engine->stopped &&
        (!may_pass(result) || !run_try_later(run, ask->index, ask->attempts))) {
        run_tell(run, ask->index, result, ask->attempts);
    }
    run_let_go(run);
    engine_pump(engine);
}

/* --- asking ---------------------------------------------------------------------------------------------------------- */

static size_t due_retry(const struct warm_run *run, int64_t now_ms)
{
    size_t i = 0;
    while (i < run->retry_count && run->retries[i].due_ms > now_ms) {
        i++;
    }
    return i;
}

static bool run_may_go(struct warm_run *run, int64_t now_ms)
{
    return run->keys != NULL && !run->paused &&
           (run->next < run->count || due_retry(run, now_ms) < run->retry_count) &&
           (run->options.pace == NULL || warm_pace_room(run->options.pace, 1, now_ms) > 0);
}

/* The first of the highest priority that may go. Who has had his turn stands at the end. */
static struct warm_run *engine_choose(struct warm_engine *engine, int64_t now_ms)
{
    struct warm_run *best = NULL;
    for (struct list *node = engine->runs.next; node != &engine->runs; node = node->next) {
        struct warm_run *run = LIST_ENTRY(node, struct warm_run, in_engine);
        if ((best == NULL || run->options.priority > best->options.priority) &&
            run_may_go(run, now_ms)) {
            best = run;
        }
    }
    return best;
}

static void run_had_its_turn(struct warm_run *run)
{
    run->taken++;
    if (run->taken >= WARM_TURN) {
        run->taken = 0;
        list_remove(&run->in_engine);
        list_push_back(&run->engine->runs, &run->in_engine);
    }
}

static struct ask *engine_free_ask(struct warm_engine *engine)
{
    struct ask *ask = engine->asks;
    while (ask->run != NULL) {
        ask++;
    }
    return ask;
}

static void run_take(struct warm_run *run, int64_t now_ms, struct retry *ret_key)
{
    const size_t due = due_retry(run, now_ms);
    if (due < run->retry_count) {
        *ret_key = run->retries[due];
        run->retries[due] = run->retries[--run->retry_count];
    } else {
        *ret_key = (struct retry){.index = run->next++};
    }
}

/* It was not begun: as if it had not been taken. */
static void run_give_back(struct warm_run *run, const struct retry *key)
{
    if (key->attempts == 0) {
        CHECK(key->index + 1 == run->next);
        run->next--;
    } else {
        run->retries[run->retry_count++] = *key; /* where it was, there is room */
    }
}

static void engine_ask(struct warm_engine *engine, struct warm_run *run, int64_t now_ms)
{
    struct retry taken;
    run_take(run, now_ms, &taken);
    const struct warm_key *wanted = &run->keys[taken.index];
    const struct ns_key key =
        namespaces_key(engine->worker->node->namespaces, wanted->db, wanted->key);
    struct prefetch_result result = {0};
    struct ask *ask = engine_free_ask(engine);
    *ask = (struct ask){
        .prefetch = {.on_done = ask_on_done,
                     .mode = run->options.mode,
                     .act = run->options.act,
                     .heat = wanted->heat,
                     .only_tag = run->options.only_tag},
        .engine = engine,
        .index = taken.index,
        .attempts = taken.attempts + 1,
        .began_ns = clock_monotonic_ns(),
    };
    const enum status status =
        tiers_prefetch(engine->worker->window, &key, &ask->prefetch, &result);
    if (status != OK && status != PENDING) {
        run_give_back(run, &taken);
        engine_halt(engine);
        return;
    }
    warm_pace_take(&engine->pace, 1);
    if (run->options.pace != NULL) {
        warm_pace_take(run->options.pace, 1);
    }
    run->holds++;
    run_had_its_turn(run);
    if (status == PENDING) {
        ask->run = run;
        engine->asks_busy++;
        return;
    }
    run_tell(run, taken.index, &result, taken.attempts + 1);
    run_let_go(run);
}

static bool engine_may_ask(struct warm_engine *engine, int64_t now_ms)
{
    if (engine->halted_until_ms != 0 && now_ms >= engine->halted_until_ms) {
        engine->halted_until_ms = 0;
    }
    const unsigned asks_max = engine->halts > 0 ? 1 : engine->asks_max; /* is L2 back? */
    return !engine->stopped && !engine->is_off && !engine->worker->draining &&
           engine->halted_until_ms == 0 && engine->asks_busy < asks_max &&
           warm_pace_room(&engine->pace, 1, now_ms) > 0;
}

static bool engine_has_work(const struct warm_engine *engine)
{
    for (const struct list *node = engine->runs.next; node != &engine->runs; node = node->next) {
        const struct warm_run *run = LIST_ENTRY(node, const struct warm_run, in_engine);
        if (run->keys != NULL && !run->paused && (run->next < run->count || run->retry_count > 0)) {
            return true;
        }
    }
    return false;
}

/* As far as the paces go; the rest with time, or when answers come. A callback of a run may come here again: the loop that
 * runs goes on with what it finds. */
static void engine_pump(struct warm_engine *engine)
{
    struct warm_run *run = NULL;
    if (engine->pumping) {
        return;
    }
    engine->pumping = true;
    const int64_t now_ms = engine_now_ms(engine);
    worker_read_clock(engine->worker);
    for (unsigned left = KEYS_PER_STEP; left > 0 && engine_may_ask(engine, now_ms) &&
                                        (run = engine_choose(engine, now_ms)) != NULL;
         left--) {
        engine_ask(engine, run, now_ms);
    }
    engine->pumping = false;
    atomic_store_explicit(&engine->shown_asks, engine->asks_busy, memory_order_relaxed);
    if (engine_has_work(engine)) { /* a key may just have failed that nobody waited for any more */
        engine_wake(engine);
    } else if (engine->ticking) {
        engine->ticking = false;
        (void)uv_timer_stop(&engine->timer);
    }
}

/* --- time ------------------------------------------------------------------------------------------------------------ */

static int64_t engine_p99_us(struct warm_engine *engine)
{
    const struct node *node = engine->worker->node;
    struct turns_sum now = {0};
    for (unsigned i = 0; i < node->worker_count; i++) {
        turns_add(&node->workers[i]->turns, &now);
    }
    const int64_t p99_us = turns_percentile_us(&engine->turns_before, &now, P99);
    engine->turns_before = now;
    return p99_us;
}

/* Little's law: as many are under way as begin in a round trip. */
static unsigned engine_asks_for(const struct warm_engine *engine, int64_t l2_us)
{
    const double per_us = (double)engine->pace.keys.rate * warm_pace_factor(&engine->pace) / MICRO;
    const double asks = 2 * per_us * (double)(l2_us > 0 ? l2_us : 0);
    return asks < ASKS_MIN ? ASKS_MIN : asks > WARM_ASKS_MAX ? WARM_ASKS_MAX : (unsigned)asks;
}

static void engine_yield(struct warm_engine *engine, int64_t now_ms)
{
    const struct live *live = &engine->worker->node->live;
    if (!warm_pace_is_due(&engine->pace, now_ms)) {
        return;
    }
    const struct warm_load load = {
        .p99_us = engine_p99_us(engine),
        .p99_target_us = atomic_load(&live->warm_p99_target_us),
        .l2_us = engine->trips == 0 ? -1 : (int64_t)(engine->trips_ns / engine->trips / NS_PER_US),
        .l2_target_us = atomic_load(&live->warm_l2_target_us),
    };
    engine->trips = 0;
    engine->trips_ns = 0;
    warm_pace_yield(&engine->pace, &load, now_ms);
    engine->asks_max = engine_asks_for(engine, load.l2_us);
    atomic_store(&engine->shown_factor,
                 (unsigned)(warm_pace_factor(&engine->pace) * FACTOR_MILLION));
    atomic_store(&engine->shown_p99_us, load.p99_us);
    atomic_store(&engine->shown_l2_us, load.l2_us);
}

void warm_engine_tick(struct warm_engine *engine)
{
    CHECK_MAGIC(engine, ENGINE_MAGIC);
    const int64_t now_ms = engine_now_ms(engine);
    const int64_t rate = atomic_load(&engine->worker->node->live.warm_rate);
    unsigned runs = 0;
    engine->is_off = rate == 0;
    warm_pace_set(&engine->pace, (uint64_t)rate, 0);
    engine_yield(engine, now_ms);
    for (const struct list *node = engine->runs.next; node != &engine->runs; node = node->next) {
        runs += LIST_ENTRY(node, const struct warm_run, in_engine)->keys != NULL;
    }
    atomic_store(&engine->shown_runs, runs);
    atomic_store(&engine->shown_halted, engine->halts > 0);
}

/* --- life ------------------------------------------------------------------------------------------------------------ */

struct warm_engine *warm_engine_new(struct worker *worker)
{
    struct warm_engine *engine = calloc(1, sizeof *engine);
    if (engine == NULL) {
        return NULL;
    }
    engine->magic = ENGINE_MAGIC;
    engine->worker = worker;
    engine->asks_max = ASKS_MIN;
    list_init(&engine->runs);
    CHECK(uv_timer_init(&worker->loop, &engine->timer) == 0);
    engine->timer.data = engine;
    warm_pace_init(&engine->pace, 1, 0, engine_now_ms(engine)); /* the first tick says the rate */
    engine->shown_factor = FACTOR_MILLION;
    engine->shown_p99_us = -1;
    engine->shown_l2_us = -1;
    return engine;
}

void warm_engine_stop(struct warm_engine *engine)
{
    if (engine == NULL) {
        return;
    }
    CHECK_MAGIC(engine, ENGINE_MAGIC);
    engine->stopped = true;
    (void)uv_timer_stop(&engine->timer);
}

void warm_engine_close(struct warm_engine *engine)
{
    if (engine != NULL) {
        uv_close((uv_handle_t *)&engine->timer, NULL);
    }
}

void warm_engine_free(struct warm_engine *engine)
{
    if (engine == NULL) {
        return;
    }
    CHECK_MAGIC(engine, ENGINE_MAGIC);
    CHECK(engine->asks_busy == 0);
    while (!list_empty(&engine->runs)) { /* whose feeder has not ended them */
        warm_run_end(LIST_ENTRY(engine->runs.next, struct warm_run, in_engine));
    }
    engine->magic = 0;
    free(engine);
}

void warm_engine_describe(const struct warm_engine *engine, struct warm_engine_description *ret)
{
    *ret = (struct warm_engine_description){.factor = 1, .p99_us = -1, .l2_us = -1};
    if (engine != NULL) {
        ret->factor = (double)atomic_load(&engine->shown_factor) / FACTOR_MILLION;
        ret->p99_us = atomic_load(&engine->shown_p99_us);
        ret->l2_us = atomic_load(&engine->shown_l2_us);
        ret->runs = atomic_load(&engine->shown_runs);
        ret->asks = atomic_load(&engine->shown_asks);
        ret->is_halted = atomic_load(&engine->shown_halted);
    }
}
