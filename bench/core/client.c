/* SPDX-License-Identifier: BSD-3-Clause */
/* bench_client: how fast a program gets at a node with libterrace, and with hiredis (bench/client.py compares them).
 *
 *      bench_client LIBRARY WAY [--host H] --port P [--threads N] [--window N] [--requests N] [--keys N] [--value BYTES]
 *                   [--op get|set] [--options TEXT]
 *
 * LIBRARY: terrace, hiredis. WAY: sync (each thread asks and waits; `--threads`), batch (one thread sends `--window` requests,
 * then waits for all answers), async (one thread, callbacks, always `--window` requests under way), fill (sets all keys).
 * --requests: of all threads together. --options: of libterrace ("near-memory=64mb&connections=2").
 * Prints one JSON object: requests, seconds, per_s, p50_us, p99_us, cpu_us (of this process, per request). */
#include "bench/clock.h"
#include "bench/core/client_ways.h"

#include <getopt.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    THREADS_MAX = 256
};

typedef void way_fn(void *shared, struct work *work);

struct worker {
    struct work work;
    struct histogram times;
    way_fn *way;
    void *shared;
    pthread_barrier_t *start;
    pthread_t thread;
};

void work_key(struct work *work, char key[WAY_KEY_SIZE + 1])
{
    uint64_t number = work->in_turn ? work->next++ : rng_below(&work->rng, work->keys);
    (void)snprintf(key, WAY_KEY_SIZE + 1, "bench:%010u", (unsigned)number);
}

_Noreturn void way_fails(const char *library, const char *what)
{
    (void)fprintf(stderr, "bench_client: %s: %s\n", library, what);
    exit(1);
}

_Noreturn static void usage(void)
{
    (void)fprintf(
        stderr,
        "usage: bench_client terrace|hiredis sync|batch|async|fill --port P [--host H] [--threads N]\n"
        "       [--window N] [--requests N] [--keys N] [--value BYTES] [--op get|set] [--options TEXT]\n");
    exit(2);
}

static void *run_worker(void *arg)
{
    struct worker *worker = arg;
    (void)pthread_barrier_wait(worker->start);
    worker->way(worker->shared, &worker->work);
    return NULL;
}

static uint64_t own_cpu_ns(void)
{
    struct timespec spent;
    (void)clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &spent);
    return (uint64_t)spent.tv_sec * NS_PER_S + (uint64_t)spent.tv_nsec;
}

static void report(const struct histogram *times, uint64_t ns, uint64_t cpu_ns)
{
    double count = (double)times->count;
    (void)printf("{\"requests\": %llu, \"seconds\": %.6f, \"per_s\": %.1f, \"p50_us\": %.3f, "
                 "\"p99_us\": %.3f, \"cpu_us\": %.4f}\n",
                 (unsigned long long)times->count, (double)ns / 1e9, count * 1e9 / (double)ns,
                 (double)histogram_quantile_ns(times, 0.5) / 1e3,
                 (double)histogram_quantile_ns(times, 0.99) / 1e3, (double)cpu_ns / count / 1e3);
}

/* All threads begin at once; what it takes to open a client is not counted, what it takes each of hiredis' threads to connect
 * is: one connection per thread and run. */
static void run(const struct library *library, way_fn *way, const struct work *work,
                unsigned threads)
{
    static struct histogram all;
    struct worker *workers = calloc(threads, sizeof *workers);
    pthread_barrier_t start;
    if (workers == NULL || pthread_barrier_init(&start, NULL, threads + 1) != 0) {
        way_fails(library->name, "no memory");
    }
    void *shared = library->open(work);
    for (unsigned i = 0; i < threads; i++) {
        struct worker *worker = &workers[i];
        worker->work = *work;
        worker->work.requests = work->requests / threads;
        worker->work.times = &worker->times;
        rng_init(&worker->work.rng, i + 1);
        worker->way = way;
        worker->shared = shared;
        worker->start = &start;
        if (pthread_create(&worker->thread, NULL, run_worker, worker) != 0) {
            way_fails(library->name, "no thread");
        }
    }
    uint64_t cpu_ns = own_cpu_ns();
    uint64_t began_ns = clock_ns();
    (void)pthread_barrier_wait(&start);
    for (unsigned i = 0; i < threads; i++) {
        (void)pthread_join(workers[i].thread, NULL);
        histogram_add(&all, &workers[i].times);
    }
    report(&all, clock_ns() - began_ns, own_cpu_ns() - cpu_ns);
    library->close(shared);
    (void)pthread_barrier_destroy(&start);
    free(workers);
}

static unsigned long number(const char *text, unsigned long least, unsigned long most)
{
    char *end = NULL;
    unsigned long value = strtoul(text, &end, 10);
    if (end == text || *end != 0 || value < least || value > most) {
        usage();
    }
    return value;
}

static void parse(int argc, char **argv, struct work *work, unsigned *threads)
{
    static const struct option options[] = {
        {"host", required_argument, NULL, 'h'},     {"port", required_argument, NULL, 'p'},
        {"threads", required_argument, NULL, 't'},  {"window", required_argument, NULL, 'w'},
        {"requests", required_argument, NULL, 'n'}, {"keys", required_argument, NULL, 'k'},
        {"value", required_argument, NULL, 's'},    {"op", required_argument, NULL, 'o'},
        {"options", required_argument, NULL, 'x'},  {NULL, 0, NULL, 0}};
    int option = 0;
    while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
        switch (option) {
        case 'h': work->host = optarg; break;
        case 'p': work->port = (int)number(optarg, 1, 65535); break;
        case 't': *threads = (unsigned)number(optarg, 1, THREADS_MAX); break;
        case 'w': work->window = (unsigned)number(optarg, 1, WAY_WINDOW_MAX); break;
        case 'n': work->requests = number(optarg, 1, 1000000000); break;
        case 'k': work->keys = (unsigned)number(optarg, 1, 100000000); break;
        case 's': work->value_size = number(optarg, 1, WAY_VALUE_MAX); break;
        case 'o': work->writes = strcmp(optarg, "set") == 0; break;
        case 'x': work->options = optarg; break;
        default: usage();
        }
    }
}

static const struct library *library_of(const char *name)
{
    if (strcmp(name, "terrace") == 0) {
        return &library_terrace;
    }
    return strcmp(name, "hiredis") == 0 ? &library_hiredis : NULL;
}

static way_fn *way_of(const struct library *library, const char *name)
{
    if (strcmp(name, "sync") == 0 || strcmp(name, "fill") == 0) {
        return library->sync;
    }
    if (strcmp(name, "batch") == 0) {
        return library->batches;
    }
    return strcmp(name, "async") == 0 ? library->async : NULL;
}

int main(int argc, char **argv)
{
    const struct library *library = argc > 2 ? library_of(argv[1]) : NULL;
    way_fn *way = library == NULL ? NULL : way_of(library, argv[2]);
    if (way == NULL) {
        usage();
    }
    static char value[WAY_VALUE_MAX];
    memset(value, 'v', sizeof value);
    struct work work = {.host = "127.0.0.1",
                        .options = "",
                        .keys = 10000,
                        .value_size = 100,
                        .value = value,
                        .window = 16,
                        .requests = 100000};
    unsigned threads = 1;
    parse(argc - 2, argv + 2, &work, &threads);
    if (work.port == 0) {
        usage();
    }
    if (strcmp(argv[2], "fill") == 0) {
        work.writes = work.in_turn = true;
        work.requests = work.keys;
    }
    if (way != library->sync) {
        threads = 1;
        work.requests -= work.requests % work.window; /* whole batches */
    }
    run(library, way, &work, threads);
    return 0;
}
