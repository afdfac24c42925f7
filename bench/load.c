/* SPDX-License-Identifier: BSD-3-Clause */
#include "bench/load.h"

#include "bench/clock.h"
#include "bench/fill.h"
#include "bench/keys.h"
#include "bench/progress.h"
#include "bench/values.h"
#include "bench/zipf.h"

#include <math.h>
#include <stdlib.h>

#define DRAIN_S 10ull
#define LOOK_NS (100 * NS_PER_MS) /* how often an idle loop looks at the time */
#define NEVER   UINT64_MAX

struct load {
    const struct options *options;
    struct pool *pool;
    struct result *result;
    struct tally *warmup; /* what does not count */
    struct keys keys;
    struct keys counters; /* INCR has names of its own: it must not meet values */
    struct zipf zipf;
    struct rng rng;
    struct buf value;
    struct slice *argv; /* of one request */
    char *mget_keys;
    uint32_t version;

    bool kicking;
    bool measuring;
    bool out_of_memory;
    uint64_t begin_ns; /* of the window; NEVER: not yet */
    uint64_t end_ns;   /* NEVER: no limit */
    uint64_t issued;   /* the warm-up included, all of them */
    uint64_t issue_max;
    uint64_t finished;

    double interval_ns; /* open loop only, from here on */
    uint64_t schedule_ns;
    uint64_t arrivals_warmup;
    uint32_t next_conn;
};

/* ------------------------------------------------------------------ requests */

static enum operation draw_operation(struct load *load)
{
    const struct options *options = load->options;
    uint64_t parts = options->get_parts + options->set_parts;
    if (parts == 0) {
        return options->operation;
    }
    return rng_below(&load->rng, parts) < options->get_parts ? OP_GET : OP_SET;
}

static enum status issue_set(struct load *load, struct conn *conn, struct call call,
                             struct slice key)
{
    const struct options *options = load->options;
    uint64_t owner = value_owner(key);
    size_t size = value_size_of(owner, options->value_min, options->value_max);
    load->value.size = 0;
    if (buf_reserve(&load->value, size) != OK) {
        return NO_MEMORY;
    }
    value_write(load->value.data, size, owner, load->version++);
    if (load->measuring) {
        load->result->tally.value_bytes_written += size;
    }
    return fill_send_set(conn, call, key, (struct slice){.data = load->value.data, .size = size},
                         options->ttl_s);
}

/* The keys of an MGET all follow from one drawn number, so that the reply can be checked without remembering them. */
static struct slice mget_key(const struct load *load, struct rng *rng, char *dst)
{
    return keys_write(&load->keys, zipf_next(&load->zipf, rng), dst);
}

static enum status issue_mget(struct load *load, struct conn *conn, struct call call)
{
    struct rng rng;
    call.number = rng_next(&load->rng);
    call.count = (uint32_t)load->options->mget_keys;
    rng_init(&rng, call.number);
    load->argv[0] = SLICE_LITERAL("MGET");
    for (uint32_t i = 0; i < call.count; i++) {
        load->argv[i + 1] = mget_key(load, &rng, load->mget_keys + (size_t)i * KEY_SIZE_MAX);
    }
    return conn_send(conn, call, call.count + 1, load->argv);
}

static enum status issue_plain(struct conn *conn, struct call call, struct slice key)
{
    static const struct slice verbs[] = {[OP_GET] = {"GET", 3},
                                         [OP_INCR] = {"INCR", 4},
                                         [OP_DEL] = {"DEL", 3},
                                         [OP_EXISTS] = {"EXISTS", 6}};
    const struct slice argv[2] = {verbs[call.kind], key};
    return conn_send(conn, call, 2, argv);
}

static void issue(struct load *load, struct conn *conn, uint64_t due_ns)
{
    enum operation operation = draw_operation(load);
    struct call call = {.due_ns = due_ns, .kind = (uint32_t)operation, .count = 1};
    enum status status = OK;
    if (operation == OP_MGET) {
        status = issue_mget(load, conn, call);
    } else if (operation == OP_PING) {
        const struct slice ping = SLICE_LITERAL("PING");
        status = conn_send(conn, call, 1, &ping);
    } else {
        char name[KEY_SIZE_MAX];
        call.number = zipf_next(&load->zipf, &load->rng);
        struct slice key =
            keys_write(operation == OP_INCR ? &load->counters : &load->keys, call.number, name);
        status =
            operation == OP_SET ? issue_set(load, conn, call, key) : issue_plain(conn, call, key);
    }
    load->issued++;
    load->out_of_memory = load->out_of_memory || status != OK;
}

/* ------------------------------------------------------------------ replies */

static void judge_mget(struct load *load, struct tally *tally, const struct call *call,
                       struct slice reply)
{
    struct reply_cursor cursor = {.rest = reply};
    struct reply_element element;
    if (!tally_done(tally, reply) || reply_next(&cursor, &element) != OK) {
        return;
    }
    struct rng rng;
    rng_init(&rng, call->number);
    for (uint32_t i = 0; i < call->count && reply_next(&cursor, &element) == OK; i++) {
        char name[KEY_SIZE_MAX];
        struct slice key = load->options->check ? mget_key(load, &rng, name) : (struct slice){0};
        (void)tally_value(tally, element.text, element.type == REPLY_NULL, key,
                          load->options->check);
    }
}

static void judge(struct load *load, struct tally *tally, const struct call *call,
                  struct slice reply)
{
    switch ((enum operation)call->kind) {
    case OP_GET: {
        char name[KEY_SIZE_MAX];
        bool check = load->options->check;
        struct slice key = check ? keys_write(&load->keys, call->number, name) : (struct slice){0};
        tally->reads++;
        (void)tally_get(tally, reply, key, check);
        return;
    }
    case OP_MGET:
        tally->reads++;
        judge_mget(load, tally, call, reply);
        return;
    case OP_SET:
    case OP_INCR:
    case OP_DEL:
        tally->writes++;
        (void)tally_done(tally, reply);
        return;
    case OP_EXISTS:
    case OP_PING: (void)tally_done(tally, reply); return;
    }
}

static bool is_open(const struct load *load)
{
    return load->options->rate > 0;
}

/* Closed: what is answered in the window counts. Open: what was due in it, whenever the answer comes. */
static struct tally *tally_of(struct load *load, const struct call *call)
{
    bool counts = is_open(load) ? call->due_ns >= load->begin_ns : load->measuring;
    return counts ? &load->result->tally : load->warmup;
}

static void on_reply(void *context, struct conn *conn, const struct call *call, struct slice reply,
                     uint64_t now_ns)
{
    (void)conn;
    struct load *load = context;
    struct tally *tally = tally_of(load, call);
    load->finished++;
    tally->requests++;
    histogram_record(&tally->latency, now_ns > call->due_ns ? now_ns - call->due_ns : 0);
    judge(load, tally, call, reply);
}

static void on_lost(void *context, struct conn *conn, const struct call *call)
{
    struct load *load = context;
    load->finished++;
    tally_lost(tally_of(load, call), conn->error);
}

/* ------------------------------------------------------------------ closed loop */

static uint64_t think_ns(const struct load *load)
{
    return (uint64_t)(load->options->think_ms * 1e6);
}

static void send_batch(struct load *load, struct conn *conn, uint64_t now_ns)
{
    for (uint64_t i = 0; i < load->options->pipeline && load->issued < load->issue_max; i++) {
        issue(load, conn, now_ns);
    }
}

static void on_ready_closed(void *context, struct conn *conn, uint64_t now_ns)
{
    struct load *load = context;
    if (conn->call_count != 0 || conn->resume_at_ns != 0) {
        return;
    }
    if (load->options->think_ms <= 0) {
        send_batch(load, conn, now_ns);
    } else if (load->kicking) { /* users do not all begin in the same moment */
        conn->resume_at_ns = now_ns + 1 + rng_below(&load->rng, think_ns(load) + 1);
    } else {
        conn->resume_at_ns = now_ns + think_ns(load) + 1;
    }
}

/* Connections that have thought long enough send; returns how long until the next one will. */
static uint64_t resume_thinkers(struct load *load)
{
    uint64_t now_ns = clock_ns();
    uint64_t wait_ns = LOOK_NS;
    if (load->options->think_ms <= 0) {
        return wait_ns;
    }
    for (uint32_t i = 0; i < load->pool->config.connections; i++) {
        struct conn *conn = &load->pool->conns[i];
        if (conn->state != CONN_OPEN || conn->resume_at_ns == 0) {
            continue;
        }
        if (conn->resume_at_ns <= now_ns) {
            conn->resume_at_ns = 0;
            send_batch(load, conn, now_ns);
            pool_flush(load->pool, conn);
        } else if (conn->resume_at_ns - now_ns < wait_ns) {
            wait_ns = conn->resume_at_ns - now_ns;
        }
    }
    return wait_ns;
}

static bool failed(const struct load *load)
{
    return load->pool->failure != OK || load->pool->interrupted || load->out_of_memory;
}

static void begin_window(struct load *load)
{
    const struct options *options = load->options;
    window_open(&load->result->window, load->pool, options->pid);
    load->measuring = true;
    load->begin_ns = load->result->window.begin_ns;
    load->end_ns =
        options->duration_s > 0 ? load->begin_ns + (uint64_t)(options->duration_s * 1e9) : NEVER;
    load->issue_max = options->requests != 0 ? load->finished + options->requests : NEVER;
}

static double part_done(const struct load *load, uint64_t now_ns)
{
    const struct options *options = load->options;
    if (!load->measuring) {
        return 0;
    }
    double by_time =
        options->duration_s > 0 ? (double)(now_ns - load->begin_ns) / 1e9 / options->duration_s : 0;
    double by_count = options->requests != 0
                          ? (double)load->result->tally.requests / (double)options->requests
                          : 0;
    return fmax(by_time, by_count);
}

static void run_closed(struct load *load, struct progress *progress)
{
    uint64_t warm_until_ns = clock_ns() + (uint64_t)(load->options->warmup_s * 1e9);
    if (load->options->warmup_s <= 0) {
        begin_window(load);
    }
    pool_use(load->pool, (struct pool_user){.context = load,
                                            .on_reply = on_reply,
                                            .on_ready = on_ready_closed,
                                            .on_lost = on_lost});
    load->kicking = true;
    pool_kick(load->pool);
    load->kicking = false;
    uint64_t wait_ns = LOOK_NS;
    while (!failed(load)) {
        pool_poll(load->pool, wait_ns);
        uint64_t now_ns = load->pool->now_ns;
        if (!load->measuring && now_ns >= warm_until_ns) {
            begin_window(load);
        }
        if (load->measuring && (now_ns >= load->end_ns || load->finished >= load->issue_max)) {
            break;
        }
        wait_ns = resume_thinkers(load);
        progress_tick(progress, now_ns, part_done(load, now_ns), load->finished,
                      &load->result->tally.latency);
    }
}

/* ------------------------------------------------------------------ open loop */

static uint64_t due_of(const struct load *load, uint64_t arrival)
{
    return load->schedule_ns + (uint64_t)((double)arrival * load->interval_ns);
}

/* The next connection, round robin, that may take one more. NULL: all are as busy as they may be. */
static struct conn *next_free(struct load *load)
{
    uint32_t count = load->pool->config.connections;
    for (uint32_t i = 0; i < count; i++) {
        struct conn *conn = &load->pool->conns[load->next_conn];
        load->next_conn = load->next_conn + 1 == count ? 0 : load->next_conn + 1;
        if (conn->state == CONN_OPEN && conn->call_count < load->options->pipeline) {
            return conn;
        }
    }
    return NULL;
}

/* Sends all that is due and for which there is room; returns how long until the next one is due. */
static uint64_t send_due(struct load *load)
{
    uint64_t now_ns = clock_ns();
    uint64_t wait_ns = LOOK_NS;
    bool sent = false;
    while (load->issued < load->issue_max) {
        uint64_t due_ns = due_of(load, load->issued);
        if (due_ns > now_ns) {
            wait_ns = due_ns - now_ns < LOOK_NS ? due_ns - now_ns : LOOK_NS;
            break;
        }
        struct conn *conn = next_free(load);
        if (conn == NULL) { /* a reply will wake us */
            break;
        }
        issue(load, conn, due_ns);
        sent = true;
    }
    for (uint32_t i = 0; sent && i < load->pool->config.connections; i++) {
        pool_flush(load->pool, &load->pool->conns[i]);
    }
    return wait_ns;
}

static void count_missing(struct load *load, uint64_t now_ns, uint64_t due_ns)
{
    struct tally *tally = &load->result->tally;
    if (due_ns < load->begin_ns || due_ns > now_ns) {
        return;
    }
    tally->errors++;
    tally->unanswered++;
    histogram_record(&tally->latency, now_ns - due_ns);
}

static void count_unanswered(struct load *load)
{
    uint64_t now_ns = clock_ns();
    for (uint32_t i = 0; i < load->pool->config.connections; i++) {
        const struct conn *conn = &load->pool->conns[i];
        for (uint32_t j = 0; j < conn->call_count && conn->state == CONN_OPEN; j++) {
            count_missing(load, now_ns,
                          conn->calls[(conn->call_head + j) & (conn->call_capacity - 1)].due_ns);
        }
    }
    for (; load->issued < load->issue_max; load->issued++) {
        count_missing(load, now_ns, due_of(load, load->issued));
    }
}

static void run_open(struct load *load, struct progress *progress)
{
    const struct options *options = load->options;
    load->interval_ns = 1e9 / options->rate;
    load->arrivals_warmup = (uint64_t)ceil(options->warmup_s * options->rate);
    uint64_t arrivals = options->requests != 0 ? options->requests : NEVER;
    if (options->duration_s > 0) {
        uint64_t by_time = (uint64_t)ceil(options->duration_s * options->rate);
        arrivals = by_time < arrivals ? by_time : arrivals;
    }
    load->issue_max = load->arrivals_warmup + arrivals;
    load->schedule_ns = clock_ns();
    load->begin_ns = due_of(load, load->arrivals_warmup);
    load->end_ns = due_of(load, load->issue_max - 1);
    pool_use(load->pool,
             (struct pool_user){.context = load, .on_reply = on_reply, .on_lost = on_lost});
    while (!failed(load)) {
        uint64_t wait_ns = send_due(load);
        uint64_t now_ns = clock_ns();
        if (!load->measuring && now_ns >= load->begin_ns) {
            window_open(&load->result->window, load->pool, options->pid);
            load->measuring = true;
        }
        if (load->finished >= load->issue_max || now_ns >= load->end_ns + DRAIN_S * NS_PER_S) {
            break;
        }
        pool_poll(load->pool, wait_ns);
        double part = (double)load->finished / (double)load->issue_max;
        progress_tick(progress, now_ns, part, load->finished, &load->result->tally.latency);
    }
}

/* ------------------------------------------------------------------ the run */

static enum status fill_at(void *context, uint64_t i, struct slice *ret_key,
                           struct slice *ret_value, uint64_t *ret_ttl_s)
{
    struct load *load = context;
    const struct options *options = load->options;
    *ret_key = keys_write(&load->keys, i, load->mget_keys);
    uint64_t owner = value_owner(*ret_key);
    size_t size = value_size_of(owner, options->value_min, options->value_max);
    load->value.size = 0;
    if (buf_reserve(&load->value, size) != OK) {
        return NO_MEMORY;
    }
    value_write(load->value.data, size, owner, load->version++);
    *ret_value = (struct slice){.data = load->value.data, .size = size};
    *ret_ttl_s = options->ttl_s;
    return OK;
}

static enum status fill(struct load *load)
{
    const struct fill_source source = {
        .context = load, .count = load->options->keys, .at = fill_at};
    struct progress progress;
    progress_begin(&progress, "fill", !load->options->quiet);
    enum status status = fill_run(load->pool, &source, &load->result->fill, &progress);
    progress_end(&progress);
    load->result->has_fill = true;
    load->result->fill_s = (double)(clock_ns() - progress.begin_ns) / 1e9;
    return status;
}

static enum status prepare(struct load *load)
{
    const struct options *options = load->options;
    char name[KEY_PREFIX_MAX + 3];
    int size = snprintf(name, sizeof name, "%s", options->key_prefix);
    enum status status = keys_init(&load->keys, (struct slice){.data = name, .size = (size_t)size});
    if (status != OK) {
        return status;
    }
    size = snprintf(name, sizeof name, "n:%s", options->key_prefix);
    if (options->operation == OP_INCR &&
        keys_init(&load->counters, (struct slice){.data = name, .size = (size_t)size}) != OK) {
        return TOO_BIG;
    }
    zipf_init(&load->zipf, options->keys, options->zipf);
    rng_init(&load->rng, options->seed);
    load->argv = calloc(options->mget_keys + 1, sizeof *load->argv);
    load->mget_keys = calloc(options->mget_keys, KEY_SIZE_MAX);
    load->warmup = calloc(1, sizeof *load->warmup);
    return load->argv == NULL || load->mget_keys == NULL || load->warmup == NULL ? NO_MEMORY : OK;
}

static void measure(struct load *load)
{
    struct progress progress;
    progress_begin(&progress, is_open(load) ? "open" : "closed", !load->options->quiet);
    if (is_open(load)) {
        run_open(load, &progress);
    } else {
        run_closed(load, &progress);
    }
    if (load->measuring) {
        window_close(&load->result->window, load->pool);
    }
    if (is_open(load) && !failed(load)) {
        count_unanswered(load);
    }
    progress_end(&progress);
    load->result->tally.wrong += load->warmup->wrong; /* wrong is wrong, whenever it is seen */
}

uint32_t load_calls_max(const struct options *options)
{
    return options->pipeline > FILL_PIPELINE ? (uint32_t)options->pipeline : FILL_PIPELINE;
}

enum status load_run(const struct options *options, struct pool *pool, struct result *result)
{
    struct load load = {.options = options,
                        .pool = pool,
                        .result = result,
                        .begin_ns = NEVER,
                        .end_ns = NEVER,
                        .issue_max = NEVER};
    enum status status = prepare(&load);
    if (status == OK && options->fill) {
        status = fill(&load);
    }
    if (status == OK && !pool->interrupted) {
        measure(&load);
        status = load.out_of_memory ? NO_MEMORY : pool->failure;
    }
    result->interrupted = pool->interrupted;
    result->reconnects = pool->lost_count;
    free(load.argv);
    free(load.mget_keys);
    free(load.warmup);
    buf_done(&load.value);
    return status;
}
