/* SPDX-License-Identifier: BSD-3-Clause */
/* libterrace: one client for all threads; callbacks for batches and windows. */
#include "bench/clock.h"
#include "bench/core/client_ways.h"
#include "client/terrace.h"

#include <uv.h>

#include <stdio.h>

static struct terrace_options *options_of(const struct work *work)
{
    struct terrace_options *options = terrace_options_new();
    char error[TERRACE_ERROR_SIZE] = "no memory";
    char endpoint[128];
    (void)snprintf(endpoint, sizeof endpoint, "%s:%d", work->host, work->port);
    if (options == NULL ||
        terrace_options_set(options, "endpoints", endpoint, error, sizeof error) != TERRACE_OK ||
        terrace_options_parse(options, work->options, error, sizeof error) != TERRACE_OK) {
        way_fails("libterrace", error);
    }
    return options;
}

static void must_be_right(const struct work *work, enum terrace_status status, size_t size)
{
    if (status != TERRACE_OK || (!work->writes && size != work->value_size)) {
        way_fails("libterrace", terrace_status_name(status));
    }
}

static void *open_one(const struct work *work)
{
    struct terrace_options *options = options_of(work);
    char error[TERRACE_ERROR_SIZE] = "";
    struct terrace *terrace = terrace_open(options, error, sizeof error);
    terrace_options_free(options);
    if (terrace == NULL || terrace_ping(terrace, 5000, error, sizeof error) != TERRACE_OK) {
        way_fails("libterrace", error);
    }
    return terrace;
}

static void close_one(void *shared)
{
    terrace_close(shared);
}

static void ask_in_turn(void *shared, struct work *work)
{
    for (unsigned long i = 0; i < work->requests; i++) {
        char key[WAY_KEY_SIZE + 1];
        work_key(work, key);
        struct terrace_value value = {0};
        uint64_t began_ns = clock_ns();
        enum terrace_status status =
            work->writes
                ? terrace_set(shared, key, WAY_KEY_SIZE, work->value, work->value_size, NULL, NULL)
                : terrace_get(shared, key, WAY_KEY_SIZE, NULL, &value);
        histogram_record(work->times, clock_ns() - began_ns);
        must_be_right(work, status, value.size);
        terrace_value_done(&value);
    }
}

/* --- callbacks --------------------------------------------------------------------------------------------------------- */

struct run {
    struct work *work;
    struct terrace_async *client;
    unsigned long sent;
    unsigned long answered;
    bool goes_on; /* each answer sends the next request */
};

struct one {
    struct run *run;
    uint64_t began_ns;
};

static void on_done(void *arg, const struct terrace_result *result);

static void send_one(struct one *one)
{
    struct work *work = one->run->work;
    char key[WAY_KEY_SIZE + 1];
    work_key(work, key);
    one->began_ns = clock_ns();
    one->run->sent++;
    enum terrace_status status =
        work->writes ? terrace_async_set(one->run->client, key, WAY_KEY_SIZE, work->value,
                                         work->value_size, NULL, on_done, one)
                     : terrace_async_get(one->run->client, key, WAY_KEY_SIZE, NULL, on_done, one);
    if (status != TERRACE_OK) {
        way_fails("libterrace", terrace_status_name(status));
    }
}

static void on_done(void *arg, const struct terrace_result *result)
{
    struct one *one = arg;
    struct run *run = one->run;
    histogram_record(run->work->times, clock_ns() - one->began_ns);
    must_be_right(run->work, result->status, result->value == NULL ? 0 : result->value->size);
    run->answered++;
    if (run->goes_on && run->sent < run->work->requests) {
        send_one(one);
    }
}

static void run_until(uv_loop_t *loop, const struct run *run, unsigned long answered)
{
    while (run->answered < answered) {
        (void)uv_run(loop, UV_RUN_ONCE);
    }
}

static void ask_by_callbacks(struct work *work, bool goes_on)
{
    uv_loop_t loop;
    static struct one ones[WAY_WINDOW_MAX];
    struct terrace_options *options = options_of(work);
    char error[TERRACE_ERROR_SIZE] = "no loop";
    struct run run = {.work = work, .goes_on = goes_on};
    if (uv_loop_init(&loop) != 0 ||
        (run.client = terrace_async_open(&loop, options, error, sizeof error)) == NULL) {
        way_fails("libterrace", error);
    }
    terrace_options_free(options);
    do {
        for (unsigned i = 0; i < work->window; i++) {
            ones[i].run = &run;
            send_one(&ones[i]);
        }
        run_until(&loop, &run, goes_on ? work->requests : run.sent);
    } while (run.answered < work->requests);
    terrace_async_close(run.client, NULL, NULL);
    (void)uv_run(&loop, UV_RUN_DEFAULT);
    (void)uv_loop_close(&loop);
}

static void in_batches(void *shared, struct work *work)
{
    (void)shared;
    ask_by_callbacks(work, false);
}

static void in_a_window(void *shared, struct work *work)
{
    (void)shared;
    ask_by_callbacks(work, true);
}

const struct library library_terrace = {
    .name = "libterrace",
    .open = open_one,
    .close = close_one,
    .sync = ask_in_turn,
    .batches = in_batches,
    .async = in_a_window,
};
