/* SPDX-License-Identifier: BSD-3-Clause */
#include "bench/clock.h"
#include "bench/history_inner.h"
#include "protocol/version.h"

#include <inttypes.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#define TICK_NS        (1 * NS_PER_MS)   /* how often connections that pause are looked at */
#define SLOW_TICK_NS   (100 * NS_PER_MS) /* ... lost ones, and the deadline of replies */
#define DRAIN_NS       (10 * NS_PER_S)
#define FILL_MAX_NS    (60 * NS_PER_S)
#define FINAL_MAX_NS   (30 * NS_PER_S)
#define REST_MARGIN_NS (100 * NS_PER_MS)

struct loop {
    struct history *run;
    int epoll;
    uint64_t tick_ns;
    uint64_t slow_tick_ns;
    uint64_t probe_ns;
};

static enum status complain(struct history *run, enum status status, const char *text)
{
    (void)snprintf(run->result->error, sizeof run->result->error, "%s", text);
    return status;
}

/* ------------------------------------------------------------------ lanes */

static enum status open_lane(struct history *run, const struct greeting *greeting, int signals,
                             const char *name, bool direct)
{
    struct history_lane *lane = &run->lanes[run->lanes_count];
    *lane = (struct history_lane){.run = run, .node = (uint16_t)run->lanes_count, .direct = direct};
    if (target_resolve(&lane->target, name) != OK) {
        return complain(run, INVALID, lane->target.error);
    }
    uint64_t pipeline = run->options->pipeline;
    const struct pool_config config = {
        .target = &lane->target,
        .greeting = *greeting,
        .connections = (uint32_t)run->options->connections,
        .calls_max =
            pipeline < HISTORY_UNANSWERED_MAX ? HISTORY_UNANSWERED_MAX : (uint32_t)pipeline,
        .signals = run->lanes_count == 0 ? signals : -1,
        .patient = true,
    };
    run->lanes_count++;
    lane->sessions = calloc(config.connections, sizeof *lane->sessions);
    lane->chunks = calloc(history_chunks(run), 1);
    if (lane->sessions == NULL || lane->chunks == NULL) {
        return complain(run, NO_MEMORY, "out of memory");
    }
    enum status status = pool_init(&lane->pool, &config);
    if (status == OK) {
        status = pool_open(&lane->pool);
    }
    if (status != OK) {
        return complain(run, status, lane->pool.error);
    }
    run->result->interrupted = run->result->interrupted || lane->pool.interrupted;
    pool_use(&lane->pool, (struct pool_user){.context = lane,
                                             .on_reply = history_on_reply,
                                             .on_ready = history_on_ready,
                                             .on_lost = history_on_lost});
    return OK;
}

static enum status open_lanes(struct history *run, const struct greeting *greeting, int signals)
{
    const struct options *options = run->options;
    char *names = strdup(options->targets != NULL ? options->targets : options->target);
    enum status status = names == NULL ? NO_MEMORY : OK;
    char *rest = names;
    for (char *name = strsep(&rest, ","); name != NULL && status == OK; name = strsep(&rest, ",")) {
        status = run->lanes_count == HISTORY_LANES_MAX
                     ? complain(run, INVALID, "--targets: at most 31 of them")
                     : open_lane(run, greeting, signals, name, false);
    }
    free(names);
    if (status == OK && options->redis != NULL) {
        status = open_lane(run, greeting, signals, options->redis, true);
    }
    run->filler = run->lanes_count > 0 ? &run->lanes[run->lanes_count - 1] : NULL;
    return status;
}

static void close_lanes(struct history *run)
{
    for (uint32_t i = 0; i < run->lanes_count; i++) {
        if (run->lanes[i].pool.conns != NULL) {
            pool_done(&run->lanes[i].pool);
        }
        free(run->lanes[i].sessions);
        free(run->lanes[i].chunks);
    }
}

/* ------------------------------------------------------------------ the loop */

static bool failed(const struct history *run)
{
    return run->out_of_memory || run->recorder.failed || run->result->error[0] != '\0';
}

/* Connections whose pause is over, strangers with a new budget, and whoever begins with a phase. */
static void kick(struct history *run)
{
    for (uint32_t i = 0; i < run->lanes_count; i++) {
        struct pool *pool = &run->lanes[i].pool;
        pool->now_ns = clock_ns();
        pool_kick(pool);
    }
}

static void drop_silent(struct history *run, uint64_t limit_ns)
{
    uint64_t now_ns = clock_ns();
    for (uint32_t i = 0; i < run->lanes_count && limit_ns > 0; i++) {
        struct pool *pool = &run->lanes[i].pool;
        for (uint32_t j = 0; j < pool->config.connections; j++) {
            struct conn *conn = &pool->conns[j];
            if (conn->state == CONN_OPEN && conn->call_count > 0 &&
                now_ns - conn->calls[conn->call_head].due_ns >= limit_ns) {
                pool_drop(pool, conn);
            }
        }
    }
}

static void probe(struct loop *loop)
{
    struct history *run = loop->run;
    uint64_t now_ns = clock_ns();
    uint64_t every_ns = (uint64_t)(run->options->probe_ms * 1e6);
    if (run->phase != PHASE_LOAD || every_ns == 0 || now_ns - loop->probe_ns < every_ns) {
        return;
    }
    loop->probe_ns = now_ns;
    for (uint32_t i = 0; i < run->lanes_count; i++) {
        history_probe(&run->lanes[i], now_ns);
    }
}

static void turn(struct loop *loop)
{
    struct history *run = loop->run;
    struct epoll_event events[HISTORY_LANES_MAX + 1];
    int count = epoll_wait(loop->epoll, events, HISTORY_LANES_MAX + 1, 1);
    uint64_t now_ns = clock_ns();
    bool slow = now_ns - loop->slow_tick_ns >= SLOW_TICK_NS;
    for (uint32_t i = 0; i < run->lanes_count; i++) {
        bool ready = slow;
        for (int j = 0; j < count; j++) {
            ready = ready || events[j].data.u32 == i;
        }
        if (ready) {
            struct pool *pool = &run->lanes[i].pool;
            pool_poll(pool, 0);
            if (pool->failure != OK) {
                (void)complain(run, pool->failure, pool->error);
            }
            run->result->interrupted = run->result->interrupted || pool->interrupted;
        }
    }
    if (slow) {
        loop->slow_tick_ns = now_ns;
        drop_silent(run, (uint64_t)(run->options->timeout_s * 1e9));
    }
    if (now_ns - loop->tick_ns >= TICK_NS) {
        loop->tick_ns = now_ns;
        kick(run);
        probe(loop);
    }
}

static enum status watch_lanes(struct loop *loop)
{
    loop->epoll = epoll_create1(EPOLL_CLOEXEC);
    for (uint32_t i = 0; i < loop->run->lanes_count && loop->epoll >= 0; i++) {
        struct epoll_event event = {.events = EPOLLIN, .data.u32 = i};
        if (epoll_ctl(loop->epoll, EPOLL_CTL_ADD, loop->run->lanes[i].pool.epoll, &event) != 0) {
            return complain(loop->run, NO_MEMORY, "epoll cannot watch the lanes");
        }
    }
    return loop->epoll >= 0 ? OK : complain(loop->run, NO_MEMORY, "epoll cannot be made");
}

/* ------------------------------------------------------------------ phases */

static bool all_answered(const struct history *run)
{
    for (uint32_t i = 0; i < run->lanes_count; i++) {
        const struct pool *pool = &run->lanes[i].pool;
        for (uint32_t j = 0; j < pool->config.connections; j++) {
            if (pool->conns[j].state == CONN_OPEN && pool->conns[j].call_count > 0) {
                return false;
            }
        }
    }
    return true;
}

static void begin_phase(struct history *run, enum history_phase phase)
{
    run->phase = phase;
    kick(run);
}

static void fill(struct loop *loop)
{
    struct history *run = loop->run;
    uint64_t until_ns = clock_ns() + FILL_MAX_NS;
    begin_phase(run, PHASE_FILL);
    while (!failed(run) && !run->result->interrupted && run->fill_done < run->options->keys) {
        turn(loop);
        if (clock_ns() >= until_ns) {
            (void)complain(run, CLOSE, "the keys cannot be written");
        }
    }
}

/* What is still asked is answered or given up; then the bound passes: what L1 holds from before is gone. */
static void rest(struct loop *loop)
{
    struct history *run = loop->run;
    run->phase = PHASE_REST;
    uint64_t until_ns = clock_ns() + DRAIN_NS;
    while (!failed(run) && !all_answered(run) && clock_ns() < until_ns) {
        turn(loop);
    }
    drop_silent(run, 1);
    uint64_t rest_ns = (uint64_t)((run->options->bound_ms + run->options->slack_ms) * 1e6);
    until_ns = clock_ns() + rest_ns + REST_MARGIN_NS;
    while (!failed(run) && clock_ns() < until_ns) {
        turn(loop);
    }
}

static void load(struct loop *loop)
{
    struct history *run = loop->run;
    const struct options *options = run->options;
    run->load_began_ns = clock_ns();
    uint64_t until_ns = HISTORY_NEVER;
    if (options->duration_s > 0) {
        until_ns = run->load_began_ns + (uint64_t)(options->duration_s * 1e9);
    }
    uint64_t most = options->requests == 0 ? UINT64_MAX : options->requests;
    recorder_flush(&run->recorder); /* whoever waits for the load sees that it begins */
    begin_phase(run, PHASE_LOAD);
    while (!failed(run) && !run->result->interrupted && clock_ns() < until_ns &&
           run->issued < most) {
        turn(loop);
    }
    run->result->seconds = (double)(clock_ns() - run->load_began_ns) / 1e9;
}

static uint32_t lanes_unread(const struct history *run)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < run->lanes_count; i++) {
        count += run->lanes[i].chunks_known < history_chunks(run) ? 1 : 0;
    }
    return count;
}

static void read_back(struct loop *loop)
{
    struct history *run = loop->run;
    uint64_t until_ns = clock_ns() + FINAL_MAX_NS;
    begin_phase(run, PHASE_FINAL);
    while (!failed(run) && lanes_unread(run) > 0 && clock_ns() < until_ns) {
        turn(loop);
    }
    run->result->unread = lanes_unread(run);
    run->phase = PHASE_REST;
}

static void run_phases(struct loop *loop)
{
    struct history *run = loop->run;
    fill(loop);
    rest(loop);
    if (!run->result->interrupted) {
        load(loop);
    }
    rest(loop);
    read_back(loop);
}

/* ------------------------------------------------------------------ the run */

static void describe(const struct history *run, struct history_header *ret_header)
{
    const struct options *options = run->options;
    *ret_header = (struct history_header){
        .seed = options->seed,
        .bound_ns = (uint64_t)(options->bound_ms * 1e6),
        .slack_ns = (uint64_t)(options->slack_ms * 1e6),
        .grace_ns = (uint64_t)(options->grace_ms * 1e6),
        .began_ns = clock_ns(),
        .keys = (uint32_t)options->keys,
        .nodes = run->lanes_count,
    };
    (void)snprintf(ret_header->prefix, sizeof ret_header->prefix, "%s", options->key_prefix);
    (void)snprintf(ret_header->description, sizeof ret_header->description,
                   "terrace-bench " TERRACE_VERSION ": seed %" PRIu64 ", %" PRIu64
                   " connections to each of %" PRIu32 " targets, pipeline %" PRIu64 ", %" PRIu64
                   " keys, zipf %g, per mille: %" PRIu64 " writes, %" PRIu64
                   " of them by strangers, %" PRIu64 " with lives, %" PRIu64 " deletions",
                   options->seed, options->connections, run->lanes_count, options->pipeline,
                   options->keys, options->zipf, options->writes,
                   run->filler->direct ? options->strangers : 0, options->lives, options->deletes);
    for (uint32_t i = 0; i < run->lanes_count; i++) {
        const struct history_lane *lane = &run->lanes[i];
        ret_header->node[i].bound_ns = lane->direct ? 0 : ret_header->bound_ns;
        (void)snprintf(ret_header->node[i].name, sizeof ret_header->node[i].name, "%s%.40s",
                       lane->direct ? "redis " : "", lane->target.name);
    }
}

static enum status prepare(struct history *run)
{
    const struct options *options = run->options;
    zipf_init(&run->zipf, options->keys, options->zipf);
    rng_init(&run->rng, options->seed);
    run->value_base = options->seed << HISTORY_WRITER_SHIFT; /* different seeds, different values */
    uint64_t most = options->mget_keys > HISTORY_CHUNK ? options->mget_keys : HISTORY_CHUNK;
    size_t size = options->value_max < 16 ? 16 : options->value_max;
    run->lanes = calloc(HISTORY_LANES_MAX + 1, sizeof *run->lanes);
    run->argv = calloc(most + 1, sizeof *run->argv);
    run->names = calloc(most, KEY_SIZE_MAX);
    run->padding = malloc(size);
    if (run->lanes == NULL || run->argv == NULL || run->names == NULL || run->padding == NULL ||
        keys_init(&run->keys, slice_of(options->key_prefix)) != OK) {
        return complain(run, NO_MEMORY, "out of memory");
    }
    memset(run->padding, '.', size);
    return OK;
}

static enum status record(struct history *run)
{
    struct history_header header;
    describe(run, &header);
    enum status status = recorder_open(&run->recorder, run->options->history, &header);
    if (status != OK) {
        return complain(run, status, run->recorder.error);
    }
    struct loop loop = {.run = run, .epoll = -1};
    status = watch_lanes(&loop);
    if (status == OK) {
        run_phases(&loop);
        status = recorder_end(&run->recorder);
        if (status != OK) {
            status = complain(run, status, run->recorder.error);
        } else if (run->out_of_memory) {
            status = complain(run, NO_MEMORY, "out of memory");
        } else if (run->result->error[0] != '\0') {
            status = CLOSE;
        }
    }
    if (loop.epoll >= 0) {
        (void)close(loop.epoll);
    }
    return status;
}

enum status history_run(const struct options *options, const struct greeting *greeting, int signals,
                        struct history_result *result)
{
    struct history *run = calloc(1, sizeof *run);
    if (run == NULL) {
        return NO_MEMORY;
    }
    run->options = options;
    run->result = result;
    run->recorder.fd = -1;
    enum status status = prepare(run);
    if (status == OK) {
        status = open_lanes(run, greeting, signals);
    }
    if (status == OK && !result->interrupted) {
        status = record(run);
    }
    for (uint32_t i = 0; run->lanes != NULL && i < run->lanes_count; i++) {
        result->connections_lost += run->lanes[i].pool.lost_count;
    }
    result->records = run->recorder.writer.total;
    if (run->lanes != NULL) {
        close_lanes(run);
    }
    recorder_done(&run->recorder);
    free(run->lanes);
    free(run->argv);
    free(run->names);
    free(run->padding);
    free(run);
    return status;
}

/* ------------------------------------------------------------------ the report */

static double rate_of(const struct history_result *result)
{
    return result->seconds > 0 ? (double)(result->reads + result->writes) / result->seconds : 0;
}

static void report_json(FILE *out, const struct history_result *result)
{
    json_t *object = json_pack(
        "{s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:f, s:f, s:I, s:b, s:s}", "reads",
        (json_int_t)result->reads, "reads_refused", (json_int_t)result->reads_refused, "writes",
        (json_int_t)result->writes, "writes_ok", (json_int_t)result->writes_ok, "writes_refused",
        (json_int_t)result->writes_refused, "writes_unknown", (json_int_t)result->writes_unknown,
        "writes_lost", (json_int_t)result->writes_lost, "stranger_writes",
        (json_int_t)result->stranger_writes, "connections_lost",
        (json_int_t)result->connections_lost, "records", (json_int_t)result->records, "seconds",
        result->seconds, "ops_per_second", rate_of(result), "unread", (json_int_t)result->unread,
        "interrupted", result->interrupted, "strange", result->strange);
    (void)json_dumpf(object, out, JSON_INDENT(2));
    (void)fputc('\n', out);
    json_decref(object);
}

void history_report(FILE *out, const struct options *options, const struct history_result *result)
{
    if (options->json) {
        report_json(out, result);
        return;
    }
    (void)fprintf(out,
                  "recorded    %" PRIu64 " reads and %" PRIu64 " writes in %.2f s, %.0f/s, %" PRIu64
                  " records\n",
                  result->reads, result->writes, result->seconds, rate_of(result), result->records);
    (void)fprintf(out,
                  "writes      %" PRIu64 " ok, %" PRIu64 " refused, %" PRIu64 " unknown, %" PRIu64
                  " lost; %" PRIu64 " by strangers\n",
                  result->writes_ok, result->writes_refused, result->writes_unknown,
                  result->writes_lost, result->stranger_writes);
    (void)fprintf(out,
                  "trouble     %" PRIu64 " replies to reads were errors, %" PRIu64
                  " connections broke, %" PRIu32 " targets not read back\n",
                  result->reads_refused, result->connections_lost, result->unread);
    if (result->strange[0] != '\0') {
        (void)fprintf(out, "strange     %s\n", result->strange);
    }
}
