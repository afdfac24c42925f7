/* SPDX-License-Identifier: BSD-3-Clause */
#include "bench/fill.h"

#include "bench/clock.h"

/* Large values: a batch ends here, or fifty connections would hold gigabytes of requests. */
enum {
    BATCH_BYTES_MAX = 256 << 10
};

struct fill {
    const struct fill_source *source;
    struct pool *pool;
    struct tally *tally;
    uint64_t next;
    uint64_t finished;
    bool out_of_memory;
};

enum status fill_send_set(struct conn *conn, struct call call, struct slice key, struct slice value,
                          uint64_t ttl_s)
{
    struct slice argv[5] = {SLICE_LITERAL("SET"), key, value, SLICE_LITERAL("EX")};
    if (ttl_s == 0) {
        return conn_send(conn, call, 3, argv);
    }
    char digits[I64_DIGITS_MAX];
    argv[4] = (struct slice){.data = digits, .size = i64_format(digits, (int64_t)ttl_s)};
    return conn_send(conn, call, 5, argv);
}

static void on_ready(void *context, struct conn *conn, uint64_t now_ns)
{
    struct fill *fill = context;
    if (conn->call_count != 0) {
        return;
    }
    for (uint32_t i = 0; i < FILL_PIPELINE && fill->next < fill->source->count; i++) {
        struct slice key;
        struct slice value;
        uint64_t ttl_s = 0;
        const struct call call = {.due_ns = now_ns, .number = fill->next};
        if (fill->source->at(fill->source->context, fill->next, &key, &value, &ttl_s) != OK ||
            fill_send_set(conn, call, key, value, ttl_s) != OK) {
            fill->out_of_memory = true;
            return;
        }
        fill->next++;
        fill->tally->value_bytes_written += value.size;
        if (conn->out.size > BATCH_BYTES_MAX) {
            return;
        }
    }
}

static void on_reply(void *context, struct conn *conn, const struct call *call, struct slice reply,
                     uint64_t now_ns)
{
    (void)conn;
    struct fill *fill = context;
    fill->finished++;
    fill->tally->requests++;
    fill->tally->writes++;
    histogram_record(&fill->tally->latency, now_ns - call->due_ns);
    (void)tally_done(fill->tally, reply);
}

static void on_lost(void *context, struct conn *conn, const struct call *call)
{
    (void)call;
    struct fill *fill = context;
    fill->finished++;
    tally_lost(fill->tally, conn->error);
}

enum status fill_run(struct pool *pool, const struct fill_source *source, struct tally *tally,
                     struct progress *progress)
{
    struct fill fill = {.source = source, .pool = pool, .tally = tally};
    pool_use(pool,
             (struct pool_user){
                 .context = &fill, .on_reply = on_reply, .on_ready = on_ready, .on_lost = on_lost});
    pool_kick(pool);
    while (fill.finished < source->count && pool->failure == OK && !pool->interrupted &&
           !fill.out_of_memory) {
        pool_poll(pool, 100 * NS_PER_MS);
        progress_tick(progress, pool->now_ns, (double)fill.finished / (double)source->count,
                      fill.finished, NULL);
    }
    pool_use(pool, (struct pool_user){0});
    return fill.out_of_memory ? NO_MEMORY : pool->failure;
}
