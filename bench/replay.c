/* SPDX-License-Identifier: BSD-3-Clause */
#include "bench/replay.h"

#include "bench/clock.h"
#include "bench/fill.h"
#include "bench/progress.h"
#include "bench/values.h"
#include "protocol/limits.h"

#include <stdlib.h>

enum {
    WINDOW = 4096
};

#define LOOK_NS  (100 * NS_PER_MS)
#define SLEEP_NS (NS_PER_MS / 10) /* while requests are due at fixed times */

enum kind {
    KIND_GET,
    KIND_SET
};

/* The requests of one connection: a run of `order`, which lists them in the order of the trace. */
struct lane {
    uint32_t next; /* the next one to send, as a place in `order` */
    uint32_t end;
};

struct replay {
    const struct options *options;
    const struct trace *trace;
    struct pool *pool;
    struct result *result;
    struct lane *lanes; /* one for each connection */
    uint32_t *order;
    struct buf value;
    uint32_t finished;
    uint32_t horizon; /* requests before this one may be sent */
    uint64_t begin_ns;
    double interval_ns; /* between requests that are due at fixed times; 0: they are not */
    bool out_of_memory;
};

static uint64_t value_bytes(const struct options *options, struct slice key, uint32_t size)
{
    double scaled = (double)size * options->size_scale;
    uint64_t bytes = scaled > (double)LIMIT_BULK ? LIMIT_BULK : (uint64_t)scaled;
    if (options->item_size != 0) {
        bytes = options->item_size > key.size ? options->item_size - key.size : 0;
    }
    return bytes < options->value_least ? options->value_least : bytes;
}

static enum status make_value(const struct options *options, struct buf *value, struct slice key,
                              uint32_t size)
{
    const uint64_t bytes = value_bytes(options, key, size);
    value->size = 0;
    if (buf_reserve(value, bytes) != OK) {
        return NO_MEMORY;
    }
    value_write(value->data, bytes, value_owner(key), 0);
    value->size = bytes;
    return OK;
}

static uint64_t ttl_of(const struct options *options, const struct trace_request *request)
{
    return options->trace_ttl ? request->ttl_s : 0;
}

/* ------------------------------------------------------------------ requests */

static struct call *call_at(const struct conn *conn, uint32_t i)
{
    return &conn->calls[(conn->call_head + i) & (conn->call_capacity - 1)];
}

static bool is_under_way(const struct replay *replay, const struct conn *conn, uint32_t key)
{
    for (uint32_t i = 0; i < conn->call_count; i++) {
        if (replay->trace->requests[call_at(conn, i)->number].key == key) {
            return true;
        }
    }
    return false;
}

/* When a request of the trace is to be sent: at its time, or as soon as may be. */
static uint64_t due_of(const struct replay *replay, uint32_t number, uint64_t now_ns)
{
    return replay->interval_ns > 0
               ? replay->begin_ns + (uint64_t)((double)number * replay->interval_ns)
               : now_ns;
}

static void send_more(struct replay *replay, struct conn *conn, uint64_t now_ns)
{
    struct lane *lane = &replay->lanes[conn->id];
    while (conn->call_count < replay->options->pipeline && lane->next < lane->end) {
        uint32_t number = replay->order[lane->next];
        uint32_t key = replay->trace->requests[number].key;
        const uint64_t due_ns = due_of(replay, number, now_ns);
        if (due_ns > now_ns || number >= replay->horizon || is_under_way(replay, conn, key)) {
            return;
        }
        const struct call call = {.due_ns = due_ns, .number = number, .kind = KIND_GET};
        const struct slice argv[2] = {SLICE_LITERAL("GET"), trace_key(replay->trace, key)};
        if (conn_send(conn, call, 2, argv) != OK) {
            replay->out_of_memory = true;
            return;
        }
        lane->next++;
    }
}

/* The oldest request that is not finished decides how far ahead anybody may be. */
static void move_horizon(struct replay *replay)
{
    uint32_t oldest = replay->trace->count;
    for (uint32_t i = 0; i < replay->pool->config.connections; i++) {
        const struct conn *conn = &replay->pool->conns[i];
        const struct lane *lane = &replay->lanes[i];
        if (lane->next < lane->end && replay->order[lane->next] < oldest) {
            oldest = replay->order[lane->next];
        }
        for (uint32_t j = 0; j < conn->call_count; j++) {
            uint32_t number = (uint32_t)call_at(conn, j)->number;
            oldest = number < oldest ? number : oldest;
        }
    }
    replay->horizon = oldest + WINDOW;
}

static void store(struct replay *replay, struct conn *conn, const struct call *get, uint64_t now_ns)
{
    const struct trace_request *request = &replay->trace->requests[get->number];
    struct slice key = trace_key(replay->trace, request->key);
    struct call call = {.due_ns = now_ns, .number = get->number, .kind = KIND_SET};
    if (make_value(replay->options, &replay->value, key, request->size) != OK ||
        fill_send_set(conn, call, key, buf_slice(&replay->value),
                      ttl_of(replay->options, request)) != OK) {
        replay->out_of_memory = true;
        return;
    }
    replay->result->tally.value_bytes_written += replay->value.size;
}

static void on_reply(void *context, struct conn *conn, const struct call *call, struct slice reply,
                     uint64_t now_ns)
{
    struct replay *replay = context;
    struct tally *tally = &replay->result->tally;
    tally->requests++;
    histogram_record(&tally->latency, now_ns > call->due_ns ? now_ns - call->due_ns : 0);
    if (call->kind == KIND_SET) {
        tally->writes++;
        replay->finished++;
        (void)tally_done(tally, reply);
        return;
    }
    tally->reads++;
    struct slice key = trace_key(replay->trace, replay->trace->requests[call->number].key);
    if (tally_get(tally, reply, key, true) == TALLY_MISS &&
        replay->options->trace_mode == TRACE_ASIDE) {
        store(replay, conn, call, now_ns);
    } else {
        replay->finished++;
    }
}

static void on_ready(void *context, struct conn *conn, uint64_t now_ns)
{
    send_more(context, conn, now_ns);
}

static void on_lost(void *context, struct conn *conn, const struct call *call)
{
    (void)call;
    struct replay *replay = context;
    replay->finished++;
    tally_lost(&replay->result->tally, conn->error);
}

/* ------------------------------------------------------------------ the run */

static uint32_t lane_of(const struct replay *replay, uint32_t request)
{
    struct slice key = trace_key(replay->trace, replay->trace->requests[request].key);
    return (uint32_t)((value_owner(key) >> 32) % replay->pool->config.connections);
}

/* Deals the requests out to the lanes: counted first, then laid down in the order of the trace. */
static enum status deal(struct replay *replay)
{
    uint32_t count = replay->pool->config.connections;
    replay->lanes = calloc(count, sizeof *replay->lanes);
    replay->order = calloc(replay->trace->count + 1, sizeof *replay->order);
    if (replay->lanes == NULL || replay->order == NULL) {
        return NO_MEMORY;
    }
    for (uint32_t i = 0; i < replay->trace->count; i++) {
        replay->lanes[lane_of(replay, i)].end++;
    }
    uint32_t begin = 0;
    for (uint32_t i = 0; i < count; i++) {
        struct lane *lane = &replay->lanes[i];
        uint32_t size = lane->end;
        lane->next = begin;
        lane->end = begin;
        begin += size;
    }
    for (uint32_t i = 0; i < replay->trace->count; i++) {
        struct lane *lane = &replay->lanes[lane_of(replay, i)];
        replay->order[lane->end++] = i;
    }
    return OK;
}

/* Lanes that waited for the horizon, or for their own reply, go on. */
static void resume(struct replay *replay)
{
    move_horizon(replay);
    for (uint32_t i = 0; i < replay->pool->config.connections; i++) {
        struct conn *conn = &replay->pool->conns[i];
        if (conn->state == CONN_OPEN) {
            send_more(replay, conn, replay->pool->now_ns);
            pool_flush(replay->pool, conn);
        }
    }
}

static void play(struct replay *replay)
{
    struct pool *pool = replay->pool;
    struct progress progress;
    progress_begin(&progress, "replay", !replay->options->quiet);
    window_open(&replay->result->window, pool, replay->options->pid);
    pool_use(pool, (struct pool_user){.context = replay,
                                      .on_reply = on_reply,
                                      .on_ready = on_ready,
                                      .on_lost = on_lost});
    pool->now_ns = clock_ns();
    replay->begin_ns = pool->now_ns;
    replay->interval_ns = replay->options->rate > 0 ? 1e9 / replay->options->rate : 0;
    resume(replay);
    while (replay->finished < replay->trace->count && pool->failure == OK && !pool->interrupted &&
           !replay->out_of_memory) {
        pool_poll(pool, replay->interval_ns > 0 ? SLEEP_NS : LOOK_NS);
        resume(replay);
        double part = (double)replay->finished / (double)replay->trace->count;
        progress_tick(&progress, pool->now_ns, part, replay->finished,
                      &replay->result->tally.latency);
    }
    window_close(&replay->result->window, pool);
    progress_end(&progress);
}

/* Keys and values of all distinct keys, at the size each first has. */
static uint64_t footprint(const struct options *options, const struct trace *trace)
{
    uint64_t bytes = 0;
    for (uint32_t i = 0; i < trace->key_count; i++) {
        const struct slice key = trace_key(trace, i);
        bytes += key.size + value_bytes(options, key, trace_first(trace, i)->size);
    }
    return bytes;
}

uint32_t replay_calls_max(const struct options *options)
{
    return options->pipeline > FILL_PIPELINE ? (uint32_t)options->pipeline : FILL_PIPELINE;
}

enum status replay_run(const struct options *options, const struct trace *trace, struct pool *pool,
                       struct result *result)
{
    struct replay replay = {.options = options, .trace = trace, .pool = pool, .result = result};
    enum status status = deal(&replay);
    if (status == OK) {
        play(&replay);
        status = replay.out_of_memory ? NO_MEMORY : pool->failure;
    }
    result->has_trace = true;
    result->trace_requests = trace->count;
    result->trace_keys = trace->key_count;
    result->trace_bytes = footprint(options, trace);
    result->interrupted = pool->interrupted;
    result->reconnects = pool->lost_count;
    free(replay.lanes);
    free(replay.order);
    buf_done(&replay.value);
    return status;
}

/* ------------------------------------------------------------------ beforehand */

struct preload {
    const struct options *options;
    const struct trace *trace;
    struct buf value;
};

static enum status preload_at(void *context, uint64_t i, struct slice *ret_key,
                              struct slice *ret_value, uint64_t *ret_ttl_s)
{
    struct preload *preload = context;
    const struct trace_request *request = trace_first(preload->trace, (uint32_t)i);
    *ret_key = trace_key(preload->trace, (uint32_t)i);
    if (make_value(preload->options, &preload->value, *ret_key, request->size) != OK) {
        return NO_MEMORY;
    }
    *ret_value = buf_slice(&preload->value);
    *ret_ttl_s = ttl_of(preload->options, request);
    return OK;
}

enum status replay_preload(const struct options *options, const struct trace *trace,
                           struct pool *pool, struct result *result)
{
    struct preload preload = {.options = options, .trace = trace};
    const struct fill_source source = {
        .context = &preload, .count = trace->key_count, .at = preload_at};
    struct progress progress;
    progress_begin(&progress, "preload", !options->quiet);
    enum status status = fill_run(pool, &source, &result->fill, &progress);
    progress_end(&progress);
    result->has_fill = true;
    result->fill_s = (double)(clock_ns() - progress.begin_ns) / 1e9;
    result->interrupted = pool->interrupted;
    buf_done(&preload.value);
    return status;
}
