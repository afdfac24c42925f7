/* SPDX-License-Identifier: BSD-3-Clause */
/* get_or_load -- eight threads want the same value, which takes long to make: one makes it, the others get it.
 *
 *      cc get_or_load.c $(pkg-config --cflags --libs terrace) -pthread -o get_or_load
 *      ./get_or_load 'endpoints=127.0.0.1:7379' KEY
 *
 * If the key lies in a managed namespace, one in the whole cluster makes it; else one in each process. */
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <terrace.h>
#include <time.h>

enum {
    THREADS = 8
};

struct run {
    struct terrace *terrace;
    const char *key;
    _Atomic int loads;
    _Atomic int values;
};

/* What takes long: a query, a rendered page, the answer of a model. It holds no lock of the library's and may use it. */
static enum terrace_status make_value(void *arg, const void *key, size_t key_size,
                                      int64_t deadline_ms, struct terrace_loaded *loaded)
{
    struct run *run = arg;
    char text[128];
    (void)deadline_ms; /* how long we may take */
    atomic_fetch_add(&run->loads, 1);
    const struct timespec long_time = {.tv_nsec = 100 * 1000 * 1000};
    (void)nanosleep(&long_time, NULL);
    const int size = snprintf(text, sizeof text, "made for %.*s", (int)key_size, (const char *)key);
    loaded->write.ttl_ms = 60000;
    return terrace_loaded_set(loaded, text, (size_t)size);
}

static void *want(void *arg)
{
    struct run *run = arg;
    struct terrace_value value = {0};
    const struct terrace_read_options patient = {.timeout_ms = 10000};
    const enum terrace_status status = terrace_get_or_load(run->terrace, run->key, strlen(run->key),
                                                           &patient, make_value, run, &value);
    if (status == TERRACE_OK || status == TERRACE_STALE) {
        atomic_fetch_add(&run->values, 1);
    } else {
        (void)fprintf(stderr, "get_or_load: %s (%s)\n", terrace_status_name(status),
                      terrace_reason_name(value.reason));
    }
    terrace_value_done(&value);
    return NULL;
}

static void run_threads(struct run *run)
{
    pthread_t threads[THREADS];
    int started = 0;
    while (started < THREADS && pthread_create(&threads[started], NULL, want, run) == 0) {
        started++;
    }
    for (int i = 0; i < started; i++) {
        (void)pthread_join(threads[i], NULL);
    }
    (void)printf("%d threads, %d values, %d loads\n", started, atomic_load(&run->values),
                 atomic_load(&run->loads));
}

int main(int argc, char **argv)
{
    char error[TERRACE_ERROR_SIZE] = "no memory";
    struct terrace_options *options = terrace_options_new();
    struct run run = {.key = argc > 2 ? argv[2] : "example:slow"};
    if (options != NULL && terrace_options_parse(options, argc > 1 ? argv[1] : "", error,
                                                 sizeof error) == TERRACE_OK) {
        run.terrace = terrace_open(options, error, sizeof error);
    }
    terrace_options_free(options);
    if (run.terrace == NULL) {
        (void)fprintf(stderr, "get_or_load: %s\n", error);
        return 1;
    }
    run_threads(&run);
    terrace_close(run.terrace);
    return 0;
}
