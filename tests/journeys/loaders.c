/* SPDX-License-Identifier: BSD-3-Clause */
/* loaders.c -- an application that loads by terrace_get_or_load, on orders: `loaders OPTIONS`, as terrace_options_parse
 * takes them.
 *
 * Reads lines, prints lines:
 *      want COUNT KEY TIMEOUT_MS [no-near]     so many threads want it; each prints `got STATUS REASON NEAR VALUE`
 *      ok VALUE [TTL SWR SIE] | miss NEGATIVE_MS | fail | nothing     what the loader that has waited longest does;
 *                              each loader prints `load KEY DEADLINE_MS` when it is called
 *      counters                prints `counters LOADS SHARED STALE NEAR_HITS`
 *      close                   closes the client, and prints `closed`
 * At the end of input it closes the client and exits. */
#include "client/terrace.h"

#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    LINE_MAX_SIZE = 4096
};

struct order {
    struct order *next;
    char text[LINE_MAX_SIZE];
};

struct call {
    char key[512];
    struct terrace_read_options read;
    pthread_t thread;
    struct call *next;
};

static struct terrace *client;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t given = PTHREAD_COND_INITIALIZER;
static struct order *orders;
static struct order **last_order = &orders;
static unsigned long tickets;
static unsigned long served;

static void die(const char *what)
{
    (void)fprintf(stderr, "loaders: %s\n", what);
    exit(2);
}

/* In the order in which loaders came. */
static struct order *next_order(const char *key, int64_t deadline_ms)
{
    (void)pthread_mutex_lock(&lock);
    unsigned long ticket = tickets++;
    (void)printf("load %s %lld\n", key, (long long)deadline_ms);
    (void)fflush(stdout);
    while (served != ticket || orders == NULL) {
        (void)pthread_cond_wait(&given, &lock);
    }
    struct order *order = orders;
    orders = order->next;
    last_order = orders == NULL ? &orders : last_order;
    served++;
    (void)pthread_cond_broadcast(&given);
    (void)pthread_mutex_unlock(&lock);
    return order;
}

static enum terrace_status load(void *arg, const void *key, size_t key_size, int64_t deadline_ms,
                                struct terrace_loaded *loaded)
{
    const struct call *call = arg;
    if (key_size != strlen(call->key) || memcmp(key, call->key, key_size) != 0) {
        die("the loader is given another key");
    }
    struct order *order = next_order(call->key, deadline_ms);
    char value[LINE_MAX_SIZE] = "";
    long long ttl_ms = 0;
    long long swr_ms = 0;
    long long sie_ms = 0;
    enum terrace_status status = TERRACE_UNREACHABLE; /* of the origin */
    if (sscanf(order->text, "ok %4000s %lld %lld %lld", value, &ttl_ms, &swr_ms, &sie_ms) >= 1) {
        status = terrace_loaded_set(loaded, "first", 5);
        status = terrace_loaded_set(loaded, value, strlen(value)); /* the last one counts */
        loaded->write.ttl_ms = ttl_ms;
        loaded->write.swr_ms = swr_ms;
        loaded->write.sie_ms = sie_ms;
    } else if (sscanf(order->text, "miss %lld", &ttl_ms) == 1) {
        loaded->negative_ms = ttl_ms;
        status = TERRACE_MISS;
    } else if (strncmp(order->text, "nothing", 7) == 0) {
        status = TERRACE_OK; /* and sets no value */
    }
    free(order);
    return status;
}

static void *run_call(void *arg)
{
    struct call *call = arg;
    struct terrace_value value = {0};
    enum terrace_status status =
        terrace_get_or_load(client, call->key, strlen(call->key), &call->read, load, call, &value);
    (void)pthread_mutex_lock(&lock);
    (void)printf("got %s %s %d %.*s\n", terrace_status_name(status),
                 terrace_reason_name(value.reason), value.from_near, (int)value.size,
                 value.data == NULL ? "" : (const char *)value.data);
    (void)fflush(stdout);
    (void)pthread_mutex_unlock(&lock);
    terrace_value_done(&value);
    return NULL;
}

static struct call *start_calls(const char *line, struct call *before)
{
    int count = 0;
    char key[512] = "";
    long long timeout_ms = 0;
    char word[16] = "";
    if (sscanf(line, "want %d %500s %lld %15s", &count, key, &timeout_ms, word) < 3) {
        die(line);
    }
    for (int i = 0; i < count; i++) {
        struct call *call = calloc(1, sizeof *call);
        if (call == NULL) {
            die("no memory");
        }
        (void)snprintf(call->key, sizeof call->key, "%s", key);
        call->read.timeout_ms = timeout_ms;
        call->read.no_near = strcmp(word, "no-near") == 0;
        call->next = before;
        before = call;
        if (pthread_create(&call->thread, NULL, run_call, call) != 0) {
            die("no thread");
        }
    }
    return before;
}

static void give_order(const char *line)
{
    struct order *order = calloc(1, sizeof *order);
    if (order == NULL) {
        die("no memory");
    }
    (void)snprintf(order->text, sizeof order->text, "%s", line);
    (void)pthread_mutex_lock(&lock);
    *last_order = order;
    last_order = &order->next;
    (void)pthread_cond_broadcast(&given);
    (void)pthread_mutex_unlock(&lock);
}

static void say(const char *text)
{
    (void)pthread_mutex_lock(&lock);
    (void)printf("%s\n", text);
    (void)fflush(stdout);
    (void)pthread_mutex_unlock(&lock);
}

static void say_counters(void)
{
    struct terrace_counters counters = {0};
    char text[128];
    terrace_counters(client, &counters);
    (void)snprintf(text, sizeof text, "counters %llu %llu %llu %llu",
                   (unsigned long long)counters.loads, (unsigned long long)counters.loads_shared,
                   (unsigned long long)counters.loads_stale,
                   (unsigned long long)counters.near_hits);
    say(text);
}

static void join_all(struct call *calls)
{
    while (calls != NULL) {
        struct call *call = calls;
        calls = call->next;
        (void)pthread_join(call->thread, NULL);
        free(call);
    }
}

int main(int argc, char **argv)
{
    char error[TERRACE_ERROR_SIZE] = "";
    struct terrace_options *options = terrace_options_new();
    if (argc != 2 || options == NULL ||
        terrace_options_parse(options, argv[1], error, sizeof error) != TERRACE_OK) {
        die(error);
    }
    client = terrace_open(options, error, sizeof error);
    terrace_options_free(options);
    if (client == NULL) {
        die(error);
    }
    struct call *calls = NULL;
    char line[LINE_MAX_SIZE];
    bool is_open = true;
    while (fgets(line, sizeof line, stdin) != NULL) {
        line[strcspn(line, "\n")] = 0;
        if (strncmp(line, "want ", 5) == 0) {
            calls = start_calls(line, calls);
        } else if (strcmp(line, "counters") == 0) {
            say_counters();
        } else if (strcmp(line, "close") == 0) {
            terrace_close(client);
            is_open = false;
            say("closed");
            break;
        } else {
            give_order(line);
        }
    }
    join_all(calls);
    if (is_open) {
        terrace_close(client);
    }
    return 0;
}
