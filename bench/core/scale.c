/* SPDX-License-Identifier: BSD-3-Clause */
/* scale -- an application with libterrace that asks at a fixed rate, wherever the nodes say, second by second.
 *
 *      bench_scale OPTIONS RATE SECONDS KEYS EXPONENT
 *
 * Reads of keys as terrace-bench --fill makes them (key: and twelve digits), drawn by Zipf. Open loop: requests are due
 * at fixed times, and a latency begins when one was due. A line of CSV each second:
 * second,answers,misses,errors,p50_us,p99_us; the answers of the end are those that come within a second of it. For
 * bench/scale.py. */
#include "bench/zipf.h"
#include "client/terrace.h"
#include "protocol/check.h"
#include "protocol/histogram.h"

#include <uv.h>

#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    TICK_MS = 2,
    KEY_ROOM = 24,
    UNDER_WAY_MAX = 4096, /* more are not asked: errors of the client */
};
#define NS_PER_S UINT64_C(1000000000)

struct load {
    struct terrace_async *client;
    uv_timer_t timer;
    struct zipf zipf;
    struct rng rng;
    uint64_t rate;
    uint64_t seconds;
    uint64_t began_ns;
    uint64_t asked; /* of all that were due */
    uint64_t told;  /* seconds that were printed */
    unsigned under_way;
    uint64_t answers, misses, errors; /* of this second */
    struct histogram latency;
    bool is_closing;
};

struct question {
    struct load *load;
    uint64_t due_ns;
};

static void tell_second(struct load *load)
{
    (void)printf("%" PRIu64 ",%" PRIu64 ",%" PRIu64 ",%" PRIu64 ",%" PRIu64 ",%" PRIu64 "\n",
                 load->told, load->answers, load->misses, load->errors,
                 histogram_quantile_ns(&load->latency, 0.5) / 1000,
                 histogram_quantile_ns(&load->latency, 0.99) / 1000);
    (void)fflush(stdout);
    load->told++;
    load->answers = load->misses = load->errors = 0;
    load->latency = (struct histogram){0};
}

static void on_got(void *arg, const struct terrace_result *result)
{
    struct question *question = arg;
    struct load *load = question->load;
    load->under_way--;
    load->answers++;
    load->misses += result->status == TERRACE_MISS;
    load->errors += result->status != TERRACE_OK && result->status != TERRACE_MISS;
    histogram_record(&load->latency, uv_hrtime() - question->due_ns);
    free(question);
}

static void ask(struct load *load, uint64_t due_ns)
{
    char key[KEY_ROOM];
    const int size =
        snprintf(key, sizeof key, "key:%012" PRIu64, zipf_next(&load->zipf, &load->rng));
    struct question *question = malloc(sizeof *question);
    CHECK(question != NULL);
    *question = (struct question){load, due_ns};
    if (load->under_way < UNDER_WAY_MAX &&
        terrace_async_get(load->client, key, (size_t)size, NULL, on_got, question) == TERRACE_OK) {
        load->under_way++;
    } else {
        load->errors++;
        free(question);
    }
}

static void on_closed(void *arg)
{
    struct load *load = arg;
    uv_close((uv_handle_t *)&load->timer, NULL);
}

static void on_tick(uv_timer_t *timer)
{
    struct load *load = timer->data;
    const uint64_t passed_ns = uv_hrtime() - load->began_ns;
    const uint64_t due = load->rate * passed_ns / NS_PER_S;
    const uint64_t all = load->rate * load->seconds;
    for (; load->asked < due && load->asked < all; load->asked++) {
        ask(load, load->began_ns + load->asked * NS_PER_S / load->rate);
    }
    while (load->told < passed_ns / NS_PER_S && load->told < load->seconds) {
        tell_second(load);
    }
    if (!load->is_closing && load->told == load->seconds &&
        (load->under_way == 0 || passed_ns / NS_PER_S > load->seconds)) {
        load->is_closing = true;
        (void)uv_timer_stop(timer);
        terrace_async_close(load->client, on_closed, load);
    }
}

int main(int argc, char **argv)
{
    static struct load load;
    uv_loop_t loop;
    char error[256];
    if (argc != 6) {
        (void)fprintf(stderr, "bench_scale OPTIONS RATE SECONDS KEYS EXPONENT\n");
        return 2;
    }
    load.rate = strtoull(argv[2], NULL, 10);
    load.seconds = strtoull(argv[3], NULL, 10);
    zipf_init(&load.zipf, strtoull(argv[4], NULL, 10), strtod(argv[5], NULL));
    rng_init(&load.rng, 1);
    CHECK(load.rate > 0 && uv_loop_init(&loop) == 0 && uv_timer_init(&loop, &load.timer) == 0);
    struct terrace_options *options = terrace_options_new();
    if (terrace_options_parse(options, argv[1], error, sizeof error) == TERRACE_OK) {
        load.client = terrace_async_open(&loop, options, error, sizeof error);
    }
    if (load.client == NULL) {
        (void)fprintf(stderr, "bench_scale: %s\n", error);
        return 2;
    }
    terrace_options_free(options);
    load.timer.data = &load;
    load.began_ns = uv_hrtime();
    CHECK(uv_timer_start(&load.timer, on_tick, TICK_MS, TICK_MS) == 0);
    (void)uv_run(&loop, UV_RUN_DEFAULT);
    return uv_loop_close(&loop) == 0 ? 0 : 1;
}
