/* SPDX-License-Identifier: BSD-3-Clause */
/* bench_near: what a hit in the near cache of libterrace costs, and how long after a stranger's write it still shows the
 * old value (bench/near.py makes tables of it).
 *
 *      bench_near hits PORT OPTIONS THREADS KEYS BYTES HITS       each thread reads so often, whole rounds over the keys
 *      bench_near stale PORT OPTIONS REDIS_PORT WRITES            one key is written in Redis, and read until the read shows it
 *
 * hits: ns of a terrace_get with its terrace_value_done, over all (no clock between them), and how many came from L0.
 * stale: of each write, when after its acknowledgement the last read began that showed the old value; 0 if none did. Between
 * writes the key is read until L0 has it again (if there is an L0), then 5 to 15 ms pass. */
#include "bench/clock.h"
#include "bench/rng.h"
#include "client/terrace.h"
#include "protocol/histogram.h"

#include <hiredis/hiredis.h>

#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    THREADS_MAX = 64,
    KEY_ROOM = 32,
    VALUE_ROOM = 1 << 16,
};

_Noreturn static void fail(const char *what, const char *why)
{
    (void)fprintf(stderr, "bench_near: %s: %s\n", what, why);
    exit(1);
}

static struct terrace *open_client(const char *port, const char *text)
{
    char error[TERRACE_ERROR_SIZE] = "no memory";
    char endpoint[64];
    struct terrace_options *options = terrace_options_new();
    (void)snprintf(endpoint, sizeof endpoint, "127.0.0.1:%s", port);
    if (options == NULL ||
        terrace_options_set(options, "endpoints", endpoint, error, sizeof error) != TERRACE_OK ||
        terrace_options_parse(options, text, error, sizeof error) != TERRACE_OK) {
        fail("options", error);
    }
    struct terrace *terrace = terrace_open(options, error, sizeof error);
    terrace_options_free(options);
    if (terrace == NULL || terrace_ping(terrace, 5000, error, sizeof error) != TERRACE_OK) {
        fail("open", error);
    }
    return terrace;
}

static unsigned long number_of(const char *text)
{
    char *end = NULL;
    const unsigned long number = strtoul(text, &end, 10);
    if (*end != '\0' || end == text) {
        fail("not a number", text);
    }
    return number;
}

/* --- hits ------------------------------------------------------------------------------------------------------------------- */

struct reader {
    struct terrace *terrace;
    pthread_barrier_t *start;
    char (*names)[KEY_ROOM];
    unsigned long keys, hits, from_near;
    size_t first; /* threads begin at different keys */
    uint64_t ns;
    pthread_t thread;
};

static void read_in_turn(struct reader *reader)
{
    size_t at = reader->first;
    for (unsigned long i = 0; i < reader->hits; i++) {
        struct terrace_value value = {0};
        const char *name = reader->names[at];
        if (terrace_get(reader->terrace, name, strlen(name), NULL, &value) != TERRACE_OK) {
            fail("get", name);
        }
        reader->from_near += value.from_near != 0;
        terrace_value_done(&value);
        at = at + 1 < reader->keys ? at + 1 : 0;
    }
}

static void *reader_main(void *arg)
{
    struct reader *reader = arg;
    (void)pthread_barrier_wait(reader->start);
    const uint64_t began_ns = clock_ns();
    read_in_turn(reader);
    reader->ns = clock_ns() - began_ns;
    return NULL;
}

static void fill(struct terrace *terrace, char (*names)[KEY_ROOM], unsigned long keys, size_t bytes)
{
    static char value[VALUE_ROOM];
    memset(value, 'v', sizeof value);
    for (unsigned long i = 0; i < keys; i++) {
        (void)snprintf(names[i], KEY_ROOM, "bench:near:%08lu", i);
        if (terrace_set(terrace, names[i], strlen(names[i]), value, bytes, NULL, NULL) !=
            TERRACE_OK) {
            fail("set", names[i]);
        }
    }
}

static void measure_hits(char **argv)
{
    struct terrace *terrace = open_client(argv[2], argv[3]);
    const unsigned long threads = number_of(argv[4]);
    const unsigned long keys = number_of(argv[5]);
    const unsigned long bytes = number_of(argv[6]);
    const unsigned long hits = number_of(argv[7]);
    static struct reader readers[THREADS_MAX];
    char(*names)[KEY_ROOM] = calloc(keys, sizeof *names);
    pthread_barrier_t start;
    if (threads == 0 || threads > THREADS_MAX || keys == 0 || bytes > VALUE_ROOM || names == NULL ||
        pthread_barrier_init(&start, NULL, (unsigned)threads) != 0) {
        fail("hits", "numbers that cannot be");
    }
    fill(terrace, names, keys, bytes);
    struct reader warm = {.terrace = terrace, .names = names, .keys = keys, .hits = keys * 4};
    read_in_turn(&warm);
    for (unsigned long i = 0; i < threads; i++) {
        readers[i] = (struct reader){.terrace = terrace,
                                     .start = &start,
                                     .names = names,
                                     .keys = keys,
                                     .hits = hits,
                                     .first = keys / threads * i};
        if (pthread_create(&readers[i].thread, NULL, reader_main, &readers[i]) != 0) {
            fail("hits", "no thread");
        }
    }
    uint64_t ns = 0, from_near = 0;
    for (unsigned long i = 0; i < threads; i++) {
        (void)pthread_join(readers[i].thread, NULL);
        ns += readers[i].ns;
        from_near += readers[i].from_near;
    }
    const double all = (double)threads * (double)hits;
    (void)printf("{\"ns\": %.2f, \"million_per_s\": %.4f, \"near\": %.6f}\n", (double)ns / all,
                 all * (double)threads * 1e3 / (double)ns, (double)from_near / all);
    terrace_close(terrace);
    free(names);
}

/* --- staleness -------------------------------------------------------------------------------------------------------------- */

static const char hot[] = "bench:near:hot";

struct sight {
    unsigned long number;
    bool from_near;
};

static struct sight look(struct terrace *terrace)
{
    struct terrace_value value = {0};
    char text[32] = {0};
    enum terrace_status status;
    do { /* in vain, if the node cannot prove its contract just now */
        status = terrace_get(terrace, hot, sizeof hot - 1, NULL, &value);
    } while (status == TERRACE_MISS && value.reason != TERRACE_REASON_ABSENT);
    if (status != TERRACE_OK || value.size >= sizeof text) {
        fail("get", terrace_status_name(status));
    }
    memcpy(text, value.data, value.size);
    const struct sight sight = {.number = number_of(text), .from_near = value.from_near != 0};
    terrace_value_done(&value);
    return sight;
}

static void stranger_sets(redisContext *redis, unsigned long number)
{
    redisReply *reply = redisCommand(redis, "SET %s %lu", hot, number);
    if (reply == NULL || reply->type == REDIS_REPLY_ERROR) {
        fail("SET", redis->errstr);
    }
    freeReplyObject(reply);
}

/* When after `acknowledged_ns` the last read began that did not show the write yet. */
static uint64_t stale_ns(struct terrace *terrace, unsigned long number, uint64_t acknowledged_ns)
{
    uint64_t last_ns = 0;
    for (;;) {
        const uint64_t began_ns = clock_ns();
        if (look(terrace).number == number) {
            return last_ns;
        }
        last_ns = began_ns - acknowledged_ns;
    }
}

static void measure_staleness(char **argv)
{
    struct terrace *terrace = open_client(argv[2], argv[3]);
    const bool has_near = strstr(argv[3], "near-memory") != NULL;
    const unsigned long writes = number_of(argv[5]);
    redisContext *redis = redisConnect("127.0.0.1", (int)number_of(argv[4]));
    static struct histogram times;
    struct rng rng;
    uint64_t most_ns = 0, unseen = 0;
    if (redis == NULL || redis->err != 0) {
        fail("Redis", redis != NULL ? redis->errstr : "no memory");
    }
    rng_init(&rng, 1);
    stranger_sets(redis, 0);
    while (look(terrace).number != 0) {
    }
    for (unsigned long i = 1; i <= writes; i++) {
        while (has_near && !look(terrace).from_near) {
        }
        const uint64_t until_ns = clock_ns() + 5 * NS_PER_MS + rng_below(&rng, 10 * NS_PER_MS);
        while (clock_ns() < until_ns) {
            (void)look(terrace);
        }
        stranger_sets(redis, i);
        const uint64_t ns = stale_ns(terrace, i, clock_ns());
        histogram_record(&times, ns);
        most_ns = ns > most_ns ? ns : most_ns;
        unseen += ns == 0;
    }
    (void)printf(
        "{\"writes\": %lu, \"at_once\": %.4f, \"p50_us\": %.1f, \"p99_us\": %.1f, \"max_us\": %.1f}\n",
        writes, (double)unseen / (double)writes, (double)histogram_quantile_ns(&times, 0.5) / 1e3,
        (double)histogram_quantile_ns(&times, 0.99) / 1e3, (double)most_ns / 1e3);
    redisFree(redis);
    terrace_close(terrace);
}

int main(int argc, char **argv)
{
    if (argc == 8 && strcmp(argv[1], "hits") == 0) {
        measure_hits(argv);
    } else if (argc == 6 && strcmp(argv[1], "stale") == 0) {
        measure_staleness(argv);
    } else {
        (void)fprintf(stderr, "usage: bench_near hits PORT OPTIONS THREADS KEYS BYTES HITS\n"
                              "       bench_near stale PORT OPTIONS REDIS_PORT WRITES\n");
        return 2;
    }
    return 0;
}
