/* SPDX-License-Identifier: BSD-3-Clause */
/* near_load -- applications with a near cache, and strangers who write in Redis: a load whose history is judged
 * (docs/history.md).
 *
 *      near_load FILE REDIS_PORT SECONDS SEED KEYS one:OPTIONS... many:OPTIONS...
 *
 * Each OPTIONS is a client of libterrace with three threads, which read, and now and then write. They read within the
 * contract of the node (T, 1 s), or at most YOUNG_MS old, past L0, several at once, or take what is stale if nobody can
 * be asked. In the history a client is two nodes, one for each bound: so "this node had acknowledged a later write" is
 * said of all threads of the client, and what a read says of its age is held against it. A thread of a client `one:` is a
 * session, since it asks one endpoint; for `many:` nothing is promised but the bounds, so each of its reads is a session
 * of its own.
 *
 * At the end nobody writes for the bound, and every client reads every key. Prints counts as JSON. Exit 1: the file could
 * not be written, or Redis not be asked. */
#include "client/terrace.h"
#include "protocol/check.h"
#include "protocol/history.h"

#include <hiredis/hiredis.h>

#include <inttypes.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum {
    BOUND_MS = 1000,
    YOUNG_MS = 200,
    SPARE_MS = 4000,
    CLIENTS_MAX = 8,
    THREADS = 3, /* of each client */
    STRANGERS = 2,
    BURST = 24,
    MANY = 5, /* keys of one terrace_mget */
    KEY_DIGITS = 12,
    VALUE_ROOM = 1200,
};

static const char prefix[] = "near:";

struct load {
    pthread_mutex_t lock; /* of the next three */
    FILE *file;
    struct history_writer writer;
    uint64_t values;
    uint64_t seed;
    int redis_port;
    uint32_t keys;
    uint64_t ends_at_ns;
    _Atomic uint32_t sessions;
    _Atomic bool has_failed;
};

struct application {
    struct load *load;
    struct terrace *terrace;
    uint16_t node; /* that of the bound; the next one is that of YOUNG_MS */
    bool asks_one;
};

struct thread {
    struct application *application; /* NULL: a stranger */
    struct load *load;
    uint64_t chance;
    uint32_t session;
    pthread_t id;
    uint64_t reads, near_hits, spares, writes, errors;
};

/* --- time and chance ------------------------------------------------------------------------------------------------------ */

static uint64_t now_ns(void)
{
    struct timespec now;
    CHECK(clock_gettime(CLOCK_MONOTONIC, &now) == 0);
    return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

static void rest_ns(uint64_t ns)
{
    const struct timespec time = {.tv_sec = (time_t)(ns / 1000000000),
                                  .tv_nsec = (long)(ns % 1000000000)};
    (void)nanosleep(&time, NULL);
}

/* SplitMix64. */
static uint64_t draw(struct thread *thread, uint64_t below)
{
    uint64_t number = thread->chance += UINT64_C(0x9e3779b97f4a7c15);
    number = (number ^ number >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    number = (number ^ number >> 27) * UINT64_C(0x94d049bb133111eb);
    return (number ^ number >> 31) % below;
}

/* Half of what is asked for is a tenth of the keys. */
static uint32_t draw_key(struct thread *thread)
{
    const uint32_t keys = thread->load->keys;
    return (uint32_t)draw(thread, draw(thread, 2) == 0 ? (keys + 9) / 10 : keys);
}

/* --- the record ------------------------------------------------------------------------------------------------------------ */

static void take_away(struct load *load)
{
    struct buf *out = &load->writer.out;
    if (out->size > 0 && fwrite(out->data, 1, out->size, load->file) != out->size) {
        load->has_failed = true;
    }
    out->size = 0;
}

static void note(struct load *load, struct history_record record)
{
    CHECK(pthread_mutex_lock(&load->lock) == 0);
    if (history_write(&load->writer, record) != OK) {
        load->has_failed = true;
    }
    take_away(load);
    CHECK(pthread_mutex_unlock(&load->lock) == 0);
}

/* A write that is about to be asked for; its clock is read in the order of the file. */
static struct history_record begin_write(struct thread *thread, uint16_t node, uint32_t key,
                                         enum history_kind kind, uint32_t life_ms)
{
    struct load *load = thread->load;
    CHECK(pthread_mutex_lock(&load->lock) == 0);
    struct history_record record = {.kind = (uint8_t)kind,
                                    .key = key,
                                    .node = node,
                                    .session = thread->session,
                                    .life_ms = life_ms,
                                    .value = load->seed << HISTORY_WRITER_SHIFT | ++load->values,
                                    .invoked_ns = now_ns()};
    if (history_write(&load->writer, record) != OK) {
        load->has_failed = true;
    }
    take_away(load);
    CHECK(pthread_mutex_unlock(&load->lock) == 0);
    return record;
}

static void end_write(struct thread *thread, struct history_record record,
                      enum history_outcome outcome)
{
    record.kind = HISTORY_END;
    record.what = (uint8_t)outcome;
    record.life_ms = 0;
    record.completed_ns = now_ns();
    thread->writes++;
    note(thread->load, record);
}

static size_t value_text(char text[VALUE_ROOM], struct thread *thread, uint64_t value)
{
    static const size_t paddings[] = {0, 0, 0, 20, 200, 1100};
    const size_t padding = paddings[draw(thread, sizeof paddings / sizeof paddings[0])];
    const size_t size = (size_t)snprintf(text, VALUE_ROOM, "%016" PRIx64, value);
    memset(text + size, '.', padding);
    return size + padding;
}

static uint64_t value_of(const void *data, size_t size)
{
    char digits[17] = {0};
    if (size < 16) {
        return HISTORY_FOREIGN;
    }
    memcpy(digits, data, 16);
    char *end = NULL;
    const uint64_t value = strtoull(digits, &end, 16);
    return *end == '\0' && value != 0 ? value : HISTORY_FOREIGN;
}

static size_t key_text(char text[32], uint32_t key)
{
    return (size_t)snprintf(text, 32, "%s%0*" PRIu32, prefix, KEY_DIGITS, key);
}

/* --- what an application does ----------------------------------------------------------------------------------------------- */

static void note_read(struct thread *thread, uint32_t key, bool is_young, uint64_t invoked_ns,
                      enum terrace_status status, const struct terrace_value *value, uint8_t what)
{
    const struct application *application = thread->application;
    struct history_record record = {.kind = HISTORY_READ,
                                    .key = key,
                                    .invoked_ns = invoked_ns,
                                    .what = what,
                                    .session = thread->session,
                                    .node = application->node};
    if (status == TERRACE_MISS && value->reason != TERRACE_REASON_ABSENT) {
        thread->errors++;
        return;
    }
    if (status == TERRACE_OK || status == TERRACE_STALE) {
        record.value = value_of(value->data, value->size);
    } else if (status != TERRACE_MISS && status != TERRACE_NEGATIVE) {
        thread->errors++;
        return;
    }
    record.node = (uint16_t)(record.node + (is_young && status == TERRACE_OK));
    record.what |= status == TERRACE_STALE ? HISTORY_MARKED_STALE : 0;
    if (!application->asks_one || status == TERRACE_STALE) { /* what is stale goes back */
        record.session = atomic_fetch_add(&thread->load->sessions, 1);
    }
    thread->reads++;
    thread->near_hits += value->from_near != 0 && status == TERRACE_OK;
    thread->spares += status == TERRACE_STALE;
    record.completed_ns = now_ns();
    note(thread->load, record);
}

static void read_one(struct thread *thread, uint32_t key, uint8_t what)
{
    char text[32];
    const size_t size = key_text(text, key);
    const uint64_t kind = what != 0 ? 99 : draw(thread, 100);
    const bool is_young = kind < 15;
    struct terrace_read_options options = {0};
    if (is_young) {
        options.contract = TERRACE_CONTRACT_MAXSTALE;
        options.max_stale_ms = YOUNG_MS;
    } else if (kind < 20) {
        options.no_near = 1;
    } else if (kind < 60) {
        options.spare_ms = SPARE_MS;
    }
    struct terrace_value value = {0};
    const uint64_t invoked_ns = now_ns();
    const enum terrace_status status =
        terrace_get(thread->application->terrace, text, size, &options, &value);
    note_read(thread, key, is_young, invoked_ns, status, &value, what);
    terrace_value_done(&value);
}

static void read_many(struct thread *thread)
{
    char texts[MANY][32];
    uint32_t keys[MANY];
    struct terrace_pair pairs[MANY] = {0};
    for (size_t i = 0; i < MANY; i++) {
        keys[i] = draw_key(thread);
        pairs[i].key = texts[i];
        pairs[i].key_size = key_text(texts[i], keys[i]);
    }
    const uint64_t invoked_ns = now_ns();
    (void)terrace_mget(thread->application->terrace, pairs, MANY, NULL);
    for (size_t i = 0; i < MANY; i++) {
        note_read(thread, keys[i], false, invoked_ns, pairs[i].status, &pairs[i].value, 0);
        terrace_value_done(&pairs[i].value);
    }
}

/* What was refused for a reason that this does not know may be done at any time, or never. */
static enum history_outcome outcome_of(enum terrace_status status)
{
    return status == TERRACE_OK || status == TERRACE_MISS ? HISTORY_OK : HISTORY_LOST;
}

static void write_one(struct thread *thread)
{
    struct terrace *terrace = thread->application->terrace;
    const uint32_t key = draw_key(thread);
    char name[32], text[VALUE_ROOM];
    const size_t name_size = key_text(name, key);
    enum terrace_status status;
    struct history_record record;
    /* Of what asks many endpoints nothing is promised about its own writes: they are Redis'. */
    const uint16_t node = thread->application->asks_one ? thread->application->node : 0;
    if (draw(thread, 5) == 0) {
        record = begin_write(thread, node, key, HISTORY_DELETE, 0);
        status = terrace_delete(terrace, name, name_size, NULL);
    } else {
        record = begin_write(thread, node, key, HISTORY_SET, 0);
        const size_t size = value_text(text, thread, record.value);
        status = terrace_set(terrace, name, name_size, text, size, NULL, NULL);
    }
    thread->errors += status != TERRACE_OK && status != TERRACE_MISS;
    end_write(thread, record, outcome_of(status));
}

static void *application_main(void *arg)
{
    struct thread *thread = arg;
    while (now_ns() < thread->load->ends_at_ns) {
        const uint64_t errors = thread->errors;
        for (int i = 0; i < BURST; i++) {
            const uint64_t kind = draw(thread, 1000);
            if (kind < 8) {
                write_one(thread);
            } else if (kind < 40) {
                read_many(thread);
            } else {
                read_one(thread, draw_key(thread), 0);
            }
        }
        rest_ns(thread->errors == errors ? 1000000
                                         : 5000000); /* the pace of the load is its subject */
    }
    return NULL;
}

/* --- strangers --------------------------------------------------------------------------------------------------------------- */

static enum history_outcome outcome_of_redis(const redisReply *reply)
{
    return reply != NULL && reply->type != REDIS_REPLY_ERROR ? HISTORY_OK : HISTORY_LOST;
}

static bool stranger_writes(struct thread *thread, redisContext *redis, uint32_t key, uint64_t kind)
{
    char name[32], text[VALUE_ROOM];
    const size_t name_size = key_text(name, key);
    redisReply *reply;
    struct history_record record;
    if (kind < 10) {
        record = begin_write(thread, 0, key, HISTORY_DELETE, 0);
        reply = redisCommand(redis, "DEL %b", name, name_size);
    } else {
        const uint32_t life_ms = kind < 20 ? (uint32_t)(5 + draw(thread, 400)) : 0;
        record = begin_write(thread, 0, key, HISTORY_SET, life_ms);
        const size_t size = value_text(text, thread, record.value);
        reply = life_ms != 0 ? redisCommand(redis, "SET %b %b PX %u", name, name_size, text, size,
                                            (unsigned)life_ms)
                             : redisCommand(redis, "SET %b %b", name, name_size, text, size);
    }
    end_write(thread, record, outcome_of_redis(reply));
    freeReplyObject(reply);
    return redis->err == 0;
}

static redisContext *redis_open(const struct load *load)
{
    const struct timeval limit = {.tv_sec = 3};
    redisContext *redis = redisConnectWithTimeout("127.0.0.1", load->redis_port, limit);
    if (redis != NULL && redis->err == 0 && redisSetTimeout(redis, limit) == REDIS_OK) {
        return redis;
    }
    redisFree(redis);
    return NULL;
}

static void *stranger_main(void *arg)
{
    struct thread *thread = arg;
    redisContext *redis = NULL;
    while (now_ns() < thread->load->ends_at_ns) {
        if (redis == NULL) {
            redis = redis_open(thread->load);
        }
        if (redis == NULL || !stranger_writes(thread, redis, draw_key(thread), draw(thread, 100))) {
            redisFree(redis);
            redis = NULL;
        }
        rest_ns(1000000 + draw(thread, 6000000));
    }
    redisFree(redis);
    return NULL;
}

/* --- the run ----------------------------------------------------------------------------------------------------------------- */

static bool open_application(struct application *application, const char *text)
{
    char error[TERRACE_ERROR_SIZE];
    struct terrace_options *options = terrace_options_new();
    application->asks_one = strncmp(text, "one:", 4) == 0;
    text = strchr(text, ':');
    if (options != NULL && text != NULL &&
        terrace_options_parse(options, text + 1, error, sizeof error) == TERRACE_OK) {
        application->terrace = terrace_open(options, error, sizeof error);
    }
    terrace_options_free(options);
    if (application->terrace == NULL) {
        (void)fprintf(stderr, "near_load: %s\n", error);
    }
    return application->terrace != NULL;
}

static bool write_header(struct load *load, const char *path, uint32_t clients)
{
    static struct history_header header;
    header = (struct history_header){.seed = load->seed,
                                     .bound_ns = UINT64_C(1000000) * BOUND_MS,
                                     .slack_ns = 3000000,
                                     .grace_ns = UINT64_C(1000000) * SPARE_MS,
                                     .began_ns = now_ns(),
                                     .keys = load->keys,
                                     .nodes = 1 + 2 * clients};
    (void)snprintf(header.prefix, sizeof header.prefix, "%s", prefix);
    (void)snprintf(header.node[0].name, sizeof header.node[0].name, "Redis");
    for (uint32_t i = 0; i < clients; i++) {
        struct history_node *node = &header.node[1 + 2 * i];
        (void)snprintf(node[0].name, sizeof node[0].name, "client %u", i);
        (void)snprintf(node[1].name, sizeof node[1].name, "client %u, %d ms", i, YOUNG_MS);
        node[0].bound_ns = header.bound_ns;
        node[1].bound_ns = UINT64_C(1000000) * YOUNG_MS;
    }
    load->file = fopen(path, "wb");
    return load->file != NULL && history_write_header(&load->writer, &header) == OK;
}

static bool fill(struct load *load)
{
    struct thread filler = {.load = load, .chance = load->seed, .session = load->sessions++};
    redisContext *redis = redis_open(load);
    bool is_good = redis != NULL;
    for (uint32_t key = 0; is_good && key < load->keys; key++) {
        is_good = stranger_writes(&filler, redis, key, 99);
    }
    redisFree(redis);
    return is_good;
}

static void run(struct load *load, struct application *applications, uint32_t clients,
                struct thread *threads, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        const bool is_stranger = i >= clients * THREADS;
        threads[i] = (struct thread){.load = load,
                                     .application = is_stranger ? NULL : &applications[i / THREADS],
                                     .chance = load->seed * 1000 + i,
                                     .session = load->sessions++};
    }
    for (uint32_t i = 0; i < count; i++) {
        void *(*body)(void *) = threads[i].application != NULL ? application_main : stranger_main;
        CHECK(pthread_create(&threads[i].id, NULL, body, &threads[i]) == 0);
    }
    for (uint32_t i = 0; i < count; i++) {
        CHECK(pthread_join(threads[i].id, NULL) == 0);
    }
}

/* By the first thread of each client, when nobody has written for the bound: nothing that was acknowledged may be missing. */
static void read_back(struct load *load, struct thread *threads, uint32_t clients)
{
    rest_ns(UINT64_C(1100000) * BOUND_MS);
    for (uint32_t i = 0; i < clients; i++) {
        for (uint32_t key = 0; key < load->keys; key++) {
            read_one(&threads[i * THREADS], key, HISTORY_FINAL);
        }
    }
}

static bool report(struct load *load, const struct application *applications, uint32_t clients,
                   const struct thread *threads, uint32_t count)
{
    struct thread sum = {0};
    struct terrace_counters of_all = {0};
    for (uint32_t i = 0; i < count; i++) {
        sum.reads += threads[i].reads;
        sum.near_hits += threads[i].near_hits;
        sum.spares += threads[i].spares;
        sum.writes += threads[i].writes;
        sum.errors += threads[i].errors;
    }
    for (uint32_t i = 0; i < clients; i++) {
        struct terrace_counters counters;
        terrace_counters(applications[i].terrace, &counters);
        of_all.near_fills += counters.near_fills;
        of_all.near_refused += counters.near_refused;
        of_all.near_dropped += counters.near_dropped;
        of_all.near_doubts += counters.near_doubts;
        of_all.disconnects += counters.disconnects;
    }
    (void)printf("{\"reads\": %" PRIu64 ", \"near_hits\": %" PRIu64 ", \"spares\": %" PRIu64
                 ", \"writes\": %" PRIu64 ", \"errors\": %" PRIu64 ", \"fills\": %" PRIu64
                 ", \"refused\": %" PRIu64 ", \"dropped\": %" PRIu64 ", \"doubts\": %" PRIu64
                 ", \"disconnects\": %" PRIu64 "}\n",
                 sum.reads, sum.near_hits, sum.spares, sum.writes, sum.errors, of_all.near_fills,
                 of_all.near_refused, of_all.near_dropped, of_all.near_doubts, of_all.disconnects);
    const bool is_whole = history_write_end(&load->writer) == OK;
    take_away(load);
    history_writer_done(&load->writer);
    return is_whole && fclose(load->file) == 0 && !load->has_failed;
}

int main(int argc, char **argv)
{
    static struct load load = {.lock = PTHREAD_MUTEX_INITIALIZER};
    static struct application applications[CLIENTS_MAX];
    static struct thread threads[CLIENTS_MAX * THREADS + STRANGERS];
    const uint32_t clients = (uint32_t)(argc - 6);
    if (argc < 7 || clients > CLIENTS_MAX) {
        (void)fprintf(stderr, "near_load FILE REDIS_PORT SECONDS SEED KEYS one:OPTIONS...\n");
        return 2;
    }
    load.redis_port = (int)strtol(argv[2], NULL, 10);
    load.seed = strtoull(argv[4], NULL, 10);
    load.keys = (uint32_t)strtoul(argv[5], NULL, 10);
    for (uint32_t i = 0; i < clients; i++) {
        applications[i].load = &load;
        applications[i].node = (uint16_t)(1 + 2 * i);
        if (!open_application(&applications[i], argv[6 + i])) {
            return 1;
        }
    }
    if (!write_header(&load, argv[1], clients) || !fill(&load)) {
        (void)fprintf(stderr, "near_load: no file, or no Redis\n");
        return 1;
    }
    load.ends_at_ns = now_ns() + (uint64_t)(strtod(argv[3], NULL) * 1e9);
    const uint32_t count = clients * THREADS + STRANGERS;
    run(&load, applications, clients, threads, count);
    read_back(&load, threads, clients);
    const bool is_good = report(&load, applications, clients, threads, count);
    for (uint32_t i = 0; i < clients; i++) {
        terrace_close(applications[i].terrace);
    }
    return is_good ? 0 : 1;
}
