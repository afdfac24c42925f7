/* SPDX-License-Identifier: BSD-3-Clause */
/* terrace_threads -- many threads on one client, all operations, whatever happens to the nodes meanwhile.
 *
 *      terrace_threads OPTIONS THREADS exact|own     until a line comes on standard input, or it ends
 *
 * Each thread owns some keys and knows what it may find under them. `exact`: what it wrote last, or nothing (nodes are
 * killed, and those without an L2 forget). `own`: what it once wrote under that key: two nodes may be their bound apart.
 * Anything else is printed and the exit code is 1. A write that is UNKNOWN may still come true later, so its key is not
 * used any more. */
#include "client/terrace.h"

#include <inttypes.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
    KEYS = 32,
    THREADS_MAX = 64,
    ERROR_SIZE = 256,
    LARGE = 40000
};

struct worker {
    pthread_t thread;
    struct terrace *terrace;
    unsigned number;
    unsigned random;
    uint64_t generation[KEYS]; /* of a key: part of its name */
    uint64_t written[KEYS];    /* the number in the value; 0: nothing */
    uint64_t next;
    uint64_t statuses[TERRACE_CLOSED + 1];
};

static atomic_bool is_ending;
static atomic_uint wrong;
static bool is_exact;

static unsigned draw(struct worker *worker, unsigned bound)
{
    worker->random = worker->random * 1664525u + 1013904223u;
    return (worker->random >> 8) % bound;
}

static int key_of(const struct worker *worker, unsigned k, char *room, size_t size)
{
    return snprintf(room, size, "t%u:%u:%" PRIu64, worker->number, k, worker->generation[k]);
}

static void complain(const struct worker *worker, const char *what, const char *key,
                     const struct terrace_value *value)
{
    if (atomic_fetch_add(&wrong, 1) < 10) {
        (void)printf("thread %u: %s: %s is %.*s\n", worker->number, what, key,
                     (int)(value->size < 40 ? value->size : 40),
                     value->data != NULL ? (const char *)value->data : "nothing");
    }
}

/* The number stands at the front; large values are filled up with dots. */
static void check(struct worker *worker, unsigned k, const char *key, enum terrace_status status,
                  const struct terrace_value *value)
{
    worker->statuses[status]++;
    if (status != TERRACE_OK && status != TERRACE_STALE) {
        return;
    }
    char expected[64];
    unsigned long long number = 0;
    unsigned thread = 0, place = 0;
    char text[64] = "";
    memcpy(text, value->data, value->size < sizeof text - 1 ? value->size : sizeof text - 1);
    const bool is_whole =
        sscanf(text, "%llu.%u.%u.", &number, &thread, &place) == 3 &&
        (value->size < 100 || ((const char *)value->data)[value->size - 1] == '.');
    const int size = snprintf(expected, sizeof expected, "%llu.%u.%u.", number, worker->number, k);
    const bool is_own =
        is_whole && strncmp(text, expected, (size_t)size) == 0 && number <= worker->next;
    if (!is_own || (is_exact && number != worker->written[k])) {
        complain(worker, "read", key, value);
    }
}

static void read_one(struct worker *worker, unsigned k)
{
    char key[64];
    struct terrace_value value = {0};
    const int size = key_of(worker, k, key, sizeof key);
    const struct terrace_read_options options = {.spare_ms = draw(worker, 2) * 1000};
    check(worker, k, key, terrace_get(worker->terrace, key, (size_t)size, &options, &value),
          &value);
    terrace_value_done(&value);
}

static void read_many(struct worker *worker)
{
    char names[8][64];
    unsigned which[8];
    struct terrace_pair pairs[8] = {0};
    for (unsigned i = 0; i < 8; i++) {
        which[i] = draw(worker, KEYS);
        pairs[i].key = names[i];
        pairs[i].key_size = (size_t)key_of(worker, which[i], names[i], sizeof names[i]);
    }
    (void)terrace_mget(worker->terrace, pairs, 8, NULL);
    for (unsigned i = 0; i < 8; i++) {
        check(worker, which[i], names[i], pairs[i].status, &pairs[i].value);
        terrace_value_done(&pairs[i].value);
    }
}

static void settle(struct worker *worker, unsigned k, enum terrace_status status, uint64_t now)
{
    worker->statuses[status]++;
    if (status == TERRACE_OK || status == TERRACE_MISS) {
        worker->written[k] = now;
    } else if (status == TERRACE_UNKNOWN) {
        worker->generation[k]++;
        worker->written[k] = 0;
    }
}

static void write_one(struct worker *worker, unsigned k)
{
    static _Thread_local char data[LARGE];
    char key[64];
    const int key_size = key_of(worker, k, key, sizeof key);
    const int digits =
        snprintf(data, sizeof data, "%" PRIu64 ".%u.%u.", ++worker->next, worker->number, k);
    const size_t size = draw(worker, 8) == 0 ? LARGE : (size_t)digits;
    memset(data + digits, '.', sizeof data - (size_t)digits);
    const enum terrace_status status =
        terrace_set(worker->terrace, key, (size_t)key_size, data, size, NULL, NULL);
    settle(worker, k, status, worker->next);
}

static void delete_one(struct worker *worker, unsigned k)
{
    char key[64];
    const int size = key_of(worker, k, key, sizeof key);
    settle(worker, k, terrace_delete(worker->terrace, key, (size_t)size, NULL), 0);
}

static void look_inside(struct worker *worker)
{
    char error[ERROR_SIZE];
    struct terrace_counters counters;
    struct terrace_endpoint_info infos[4];
    struct terrace_health_event events[4];
    struct terrace_value reply = {0};
    const void *words[] = {"ECHO", "hello"};
    terrace_counters(worker->terrace, &counters);
    (void)terrace_endpoints(worker->terrace, infos, 4);
    (void)terrace_health_history(worker->terrace, events, 4);
    worker->statuses[terrace_ping(worker->terrace, 200, error, sizeof error)]++;
    const enum terrace_status status =
        terrace_command(worker->terrace, words, NULL, 2, 0, &reply, error, sizeof error);
    worker->statuses[status]++;
    if (status == TERRACE_OK &&
        (reply.size != 11 || memcmp(reply.data, "$5\r\nhello\r\n", 11) != 0)) {
        complain(worker, "ECHO", "hello", &reply);
    }
    terrace_value_done(&reply);
}

static void load_one(struct worker *worker)
{
    struct terrace_value value = {0};
    const enum terrace_status status = terrace_fetch(worker->terrace, "shared", 6, NULL, &value);
    worker->statuses[status]++;
    if (status == TERRACE_LOAD && draw(worker, 2) == 0) {
        worker->statuses[terrace_fill(worker->terrace, "shared", 6, &value.token, "loaded", 6, NULL,
                                      NULL)]++;
    } else if (status == TERRACE_LOAD) {
        worker->statuses[terrace_fail(worker->terrace, "shared", 6, &value.token, 0)]++;
    } else if (status == TERRACE_OK && (value.size != 6 || memcmp(value.data, "loaded", 6) != 0)) {
        complain(worker, "fetch", "shared", &value);
    }
    terrace_value_done(&value);
    const char *const word = "shared";
    const struct terrace_invalidation what = {.target = TERRACE_KEY, .words = &word, .count = 1};
    if (draw(worker, 4) == 0) {
        worker->statuses[terrace_invalidate(worker->terrace, &what, NULL, NULL, 0)]++;
    }
}

static void on_change(void *arg, const void *key, size_t size)
{
    (void)key;
    (void)size;
    atomic_fetch_add((atomic_uint *)arg, 1);
}

static void watch_a_while(struct worker *worker)
{
    atomic_uint heard = 0;
    struct terrace_watch *watch = NULL;
    if (terrace_watch_begin(worker->terrace, "t", 1, on_change, &heard, &watch) == TERRACE_OK) {
        for (unsigned i = 0; i < 50; i++) {
            read_one(worker, draw(worker, KEYS));
        }
        terrace_watch_end(watch);
    }
}

static void *work(void *arg)
{
    struct worker *worker = arg;
    while (!atomic_load(&is_ending)) {
        const unsigned what = draw(worker, 1000);
        if (what < 550) {
            read_one(worker, draw(worker, KEYS));
        } else if (what < 600) {
            read_many(worker);
        } else if (what < 900) {
            write_one(worker, draw(worker, KEYS));
        } else if (what < 950) {
            delete_one(worker, draw(worker, KEYS));
        } else if (what < 990) {
            load_one(worker);
        } else if (what < 998) {
            look_inside(worker);
        } else {
            watch_a_while(worker);
        }
    }
    return NULL;
}

int main(int count, char **words)
{
    static struct worker workers[THREADS_MAX];
    char error[ERROR_SIZE] = "";
    struct terrace_options *options = terrace_options_new();
    const unsigned threads = count == 4 ? (unsigned)atoi(words[2]) : 0;
    is_exact = count == 4 && strcmp(words[3], "exact") == 0;
    if (threads < 1 || threads > THREADS_MAX ||
        terrace_options_parse(options, words[1], error, sizeof error) != TERRACE_OK) {
        (void)fprintf(stderr, "terrace_threads OPTIONS THREADS exact|own: %s\n", error);
        return 2;
    }
    struct terrace *terrace = terrace_open(options, error, sizeof error);
    if (terrace == NULL) {
        (void)fprintf(stderr, "%s\n", error);
        return 2;
    }
    for (unsigned i = 0; i < threads; i++) {
        workers[i] = (struct worker){.terrace = terrace, .number = i, .random = i + 1};
        if (pthread_create(&workers[i].thread, NULL, work, &workers[i]) != 0) {
            return 2;
        }
    }
    char line[16];
    (void)!read(STDIN_FILENO, line, sizeof line);
    atomic_store(&is_ending, true);
    uint64_t sums[TERRACE_CLOSED + 1] = {0};
    for (unsigned i = 0; i < threads; i++) {
        (void)pthread_join(workers[i].thread, NULL);
        for (unsigned j = 0; j <= TERRACE_CLOSED; j++) {
            sums[j] += workers[i].statuses[j];
        }
    }
    terrace_close(terrace);
    terrace_options_free(options);
    for (unsigned j = 0; j <= TERRACE_CLOSED; j++) {
        (void)printf("%s=%" PRIu64 " ", terrace_status_name((enum terrace_status)j), sums[j]);
    }
    (void)printf("WRONG=%u\n", atomic_load(&wrong));
    return atomic_load(&wrong) != 0;
}
