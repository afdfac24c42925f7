/* SPDX-License-Identifier: BSD-3-Clause */
/* pound.c -- an application that asks and writes all the time, and counts what it is told:
 * `pound OPTIONS THREADS KEYS WRITE_PERCENT PAUSE_US`, options as terrace_options_parse takes them.
 *
 * Prints `ready` when a node has answered. Reads lines:
 *      mark NANOSECONDS   of CLOCK_MONOTONIC: something was broken then. How long until each thread had ended a call that was
 *                         under way then or began after: the worst of them is a `stall`
 *      end                (or the end of input): stops, prints one JSON object, exits.
 * Values begin with their key; one that does not is `wrong`. Writes are tried again though their outcome is not known. */
#include "client/terrace.h"
#include "protocol/histogram.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum {
    THREADS_MAX = 64,
    MARKS_MAX = 4096,
    STATUSES = TERRACE_CLOSED + 1,
    EVENTS = 256,
    TOLD_MAX = 20
};

struct mark {
    uint64_t at_ns;
    _Atomic uint64_t worst_ns;
};

struct thread {
    pthread_t id;
    unsigned seed;
    unsigned next_mark;
    uint64_t calls[2]; /* reads, writes */
    uint64_t statuses[2][STATUSES];
    uint64_t wrong;
    struct histogram times;
};

static struct terrace *client;
static unsigned keys;
static unsigned write_percent;
static unsigned pause_us;
static struct mark marks[MARKS_MAX];
static _Atomic unsigned mark_count;
static atomic_bool is_over;
static _Atomic unsigned told;

static _Noreturn void die(const char *what)
{
    (void)fprintf(stderr, "pound: %s\n", what);
    exit(2);
}

static uint64_t now_ns(void)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

/* A call that was under way at a mark, and the first that began after it. */
static void see_marks(struct thread *thread, uint64_t began_ns, uint64_t ended_ns)
{
    unsigned count = atomic_load(&mark_count);
    for (unsigned i = thread->next_mark; i < count; i++) {
        struct mark *mark = &marks[i];
        if (ended_ns < mark->at_ns) {
            break;
        }
        uint64_t stall_ns = ended_ns - mark->at_ns;
        uint64_t worst_ns = atomic_load(&mark->worst_ns);
        while (stall_ns > worst_ns &&
               !atomic_compare_exchange_weak(&mark->worst_ns, &worst_ns, stall_ns)) {
        }
        if (began_ns >= mark->at_ns) {
            thread->next_mark = i + 1;
        }
    }
}

static bool is_answer(enum terrace_status status)
{
    return status == TERRACE_OK || status == TERRACE_MISS || status == TERRACE_STALE ||
           status == TERRACE_NEGATIVE;
}

static void tell(const char *what, enum terrace_status status, uint64_t began_ns)
{
    if (atomic_fetch_add(&told, 1) < TOLD_MAX) {
        (void)fprintf(stderr, "pound: %s: %s after %.1f ms, at %.3f s\n", what,
                      terrace_status_name(status), (double)(now_ns() - began_ns) / 1e6,
                      (double)began_ns / 1e9);
    }
}

static enum terrace_status read_one(struct thread *thread, const char *key)
{
    struct terrace_value value = {0};
    enum terrace_status status = terrace_get(client, key, strlen(key), NULL, &value);
    if (value.data != NULL &&
        (value.size < strlen(key) || memcmp(value.data, key, strlen(key)) != 0)) {
        thread->wrong++;
    }
    terrace_value_done(&value);
    return status;
}

static enum terrace_status write_one(const char *key, uint64_t number)
{
    const struct terrace_write_options options = {.retry_unknown = 1};
    char value[128];
    int size = snprintf(value, sizeof value, "%s %llu", key, (unsigned long long)number);
    return terrace_set(client, key, strlen(key), value, (size_t)size, &options, NULL);
}

static void call_one(struct thread *thread)
{
    bool writes = (unsigned)rand_r(&thread->seed) % 100 < write_percent;
    char key[32];
    (void)snprintf(key, sizeof key, "pound:%06u", (unsigned)rand_r(&thread->seed) % keys);
    uint64_t began_ns = now_ns();
    enum terrace_status status =
        writes ? write_one(key, ++thread->calls[1]) : read_one(thread, key);
    uint64_t ended_ns = now_ns();
    thread->calls[0] += !writes;
    thread->statuses[writes][status]++;
    histogram_record(&thread->times, ended_ns - began_ns);
    see_marks(thread, began_ns, ended_ns);
    if (!is_answer(status)) {
        tell(writes ? "a write" : "a read", status, began_ns);
    }
}

static void *run_thread(void *arg)
{
    struct thread *thread = arg;
    const struct timespec pause = {.tv_nsec = (long)pause_us * 1000};
    while (!atomic_load(&is_over)) {
        call_one(thread);
        if (pause_us > 0) {
            (void)nanosleep(&pause, NULL); /* the load is what this is */
        }
    }
    return NULL;
}

/* --- the report -------------------------------------------------------------------------------------------------------- */

static void report_statuses(const struct thread *threads, unsigned count)
{
    static const char *const names[] = {"reads", "writes"};
    for (int kind = 0; kind < 2; kind++) {
        const char *comma = "";
        (void)printf("\"%s\": {", names[kind]);
        for (int status = 0; status < STATUSES; status++) {
            uint64_t sum = 0;
            for (unsigned i = 0; i < count; i++) {
                sum += threads[i].statuses[kind][status];
            }
            if (sum > 0) {
                (void)printf("%s\"%s\": %llu", comma,
                             terrace_status_name((enum terrace_status)status),
                             (unsigned long long)sum);
                comma = ", ";
            }
        }
        (void)printf("}, ");
    }
}

static void report_history(void)
{
    static struct terrace_health_event events[EVENTS];
    size_t count = terrace_health_history(client, events, EVENTS);
    (void)printf("\"history\": [");
    for (size_t i = count < EVENTS ? count : EVENTS; i > 0; i--) {
        (void)printf("\"%s %s %s\"%s", events[i - 1].address, events[i - 1].region,
                     events[i - 1].what, i > 1 ? ", " : "");
    }
    (void)printf("], ");
}

static void report(struct thread *threads, unsigned count)
{
    static struct histogram times;
    struct terrace_counters counters = {0};
    uint64_t wrong = 0;
    for (unsigned i = 0; i < count; i++) {
        histogram_add(&times, &threads[i].times);
        wrong += threads[i].wrong;
    }
    terrace_counters(client, &counters);
    (void)printf("{\"calls\": %llu, \"wrong\": %llu, ", (unsigned long long)times.count,
                 (unsigned long long)wrong);
    report_statuses(threads, count);
    report_history();
    (void)printf("\"p50_ms\": %.3f, \"p99_ms\": %.3f, \"max_ms\": %.3f, ",
                 (double)histogram_quantile_ns(&times, 0.5) / 1e6,
                 (double)histogram_quantile_ns(&times, 0.99) / 1e6, (double)times.max_ns / 1e6);
    (void)printf("\"retries\": %llu, \"connects\": %llu, \"failovers\": %llu, \"stalls_ms\": [",
                 (unsigned long long)counters.retries, (unsigned long long)counters.connects,
                 (unsigned long long)counters.failovers);
    for (unsigned i = 0; i < atomic_load(&mark_count); i++) {
        (void)printf("%s%.3f", i > 0 ? ", " : "", (double)atomic_load(&marks[i].worst_ns) / 1e6);
    }
    (void)printf("]}\n");
}

/* --- orders -------------------------------------------------------------------------------------------------------------- */

static void obey_until_the_end(void)
{
    char line[128];
    while (fgets(line, sizeof line, stdin) != NULL && strncmp(line, "end", 3) != 0) {
        unsigned long long at_ns = 0;
        unsigned count = atomic_load(&mark_count);
        if (sscanf(line, "mark %llu", &at_ns) == 1 && count < MARKS_MAX) {
            marks[count].at_ns = at_ns;
            atomic_store(&mark_count, count + 1);
        }
    }
}

static struct terrace *open_client(const char *text)
{
    char error[TERRACE_ERROR_SIZE] = "no memory";
    struct terrace_options *options = terrace_options_new();
    if (options == NULL ||
        terrace_options_parse(options, text, error, sizeof error) != TERRACE_OK) {
        die(error);
    }
    struct terrace *opened = terrace_open(options, error, sizeof error);
    terrace_options_free(options);
    if (opened == NULL || terrace_ping(opened, 10000, error, sizeof error) != TERRACE_OK) {
        die(error);
    }
    return opened;
}

int main(int argc, char **argv)
{
    static struct thread threads[THREADS_MAX];
    unsigned count = argc == 6 ? (unsigned)atoi(argv[2]) : 0;
    if (count == 0 || count > THREADS_MAX) {
        die("usage: pound OPTIONS THREADS KEYS WRITE_PERCENT PAUSE_US");
    }
    keys = (unsigned)atoi(argv[3]);
    write_percent = (unsigned)atoi(argv[4]);
    pause_us = (unsigned)atoi(argv[5]);
    client = open_client(argv[1]);
    (void)printf("ready\n");
    (void)fflush(stdout);
    for (unsigned i = 0; i < count; i++) {
        threads[i].seed = i + 1;
        if (pthread_create(&threads[i].id, NULL, run_thread, &threads[i]) != 0) {
            die("no thread");
        }
    }
    obey_until_the_end();
    atomic_store(&is_over, true);
    for (unsigned i = 0; i < count; i++) {
        (void)pthread_join(threads[i].id, NULL);
    }
    report(threads, count);
    terrace_close(client);
    return 0;
}
