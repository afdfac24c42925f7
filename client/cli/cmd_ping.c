/* SPDX-License-Identifier: BSD-3-Clause */
/* ping: round trips to each node, by its own connection. */
#include "client/cli/clock.h"
#include "client/cli/commands.h"
#include "protocol/histogram.h"

#include <stdlib.h>

enum {
    INTERVAL_PRESET_MS = 1000
};

struct pings {
    struct histogram times;
    uint64_t sent;
    char error[TERRACE_ERROR_SIZE]; /* of the last that failed */
};

static void ping_once(struct cli *cli, size_t i, struct pings *pings)
{
    char figure[FIGURE_MAX];
    const int64_t began_us = clock_us();
    const enum terrace_status status =
        terrace_ping(cli->each[i], cli->timeout_ms, pings->error, sizeof pings->error);
    const int64_t us = clock_us() - began_us;
    pings->sent++;
    if (status == TERRACE_OK) {
        histogram_record(&pings->times, (uint64_t)us * 1000);
    } else if (pings->error[0] == '\0') {
        (void)snprintf(pings->error, sizeof pings->error, "%s", terrace_status_name(status));
    }
    if (!cli->json && status == TERRACE_OK) {
        (void)printf("%s: %s\n", cli->addresses[i], text_duration(figure, (double)us / 1e6));
        (void)fflush(stdout);
    } else if (!cli->json) {
        (void)cli_fail(cli, EXIT_UNREACHABLE, "%s: %s", cli->addresses[i],
                       cli_without_address(pings->error, cli->addresses[i]));
    }
}

/* The first one of a client connects, and is not counted as a round trip. */
static enum exit_code connect_first(struct cli *cli)
{
    char error[TERRACE_ERROR_SIZE];
    for (size_t i = 0; i < cli->node_count; i++) {
        struct terrace *client = cli_node(cli, i, error);
        if (client == NULL) {
            return cli_fail(cli, EXIT_USAGE, "%s", error);
        }
        (void)terrace_ping(client, cli->timeout_ms, error, sizeof error);
    }
    return EXIT_FINE;
}

static double seconds(uint64_t ns)
{
    return (double)ns / 1e9;
}

static void tell_sum(const char *address, const struct pings *pings)
{
    char least[FIGURE_MAX];
    char mean[FIGURE_MAX];
    char p99[FIGURE_MAX];
    char most[FIGURE_MAX];
    const struct histogram *times = &pings->times;
    if (times->count > 0) {
        (void)printf("%s: %llu of %llu answered, min %s, mean %s, p99 %s, max %s\n", address,
                     (unsigned long long)times->count, (unsigned long long)pings->sent,
                     text_duration(least, seconds(times->min_ns)),
                     text_duration(mean, histogram_mean_ns(times) / 1e9),
                     text_duration(p99, seconds(histogram_quantile_ns(times, 0.99))),
                     text_duration(most, seconds(times->max_ns)));
    }
}

static json_t *pings_json(const char *address, const struct pings *pings)
{
    const struct histogram *times = &pings->times;
    json_t *object = json_pack("{s:s,s:I,s:I}", "address", address, "sent", (json_int_t)pings->sent,
                               "answered", (json_int_t)times->count);
    if (times->count > 0) {
        (void)json_object_set_new(object, "min_us", json_real((double)times->min_ns / 1000));
        (void)json_object_set_new(object, "mean_us", json_real(histogram_mean_ns(times) / 1000));
        (void)json_object_set_new(object, "p99_us",
                                  json_real((double)histogram_quantile_ns(times, 0.99) / 1000));
        (void)json_object_set_new(object, "max_us", json_real((double)times->max_ns / 1000));
    }
    if (pings->error[0] != '\0') {
        (void)json_object_set_new(object, "error", json_string(pings->error));
    }
    return object;
}

static enum exit_code tell(struct cli *cli, const struct pings *pings)
{
    json_t *list = json_array();
    enum exit_code code = EXIT_FINE;
    for (size_t i = 0; i < cli->node_count; i++) {
        if (pings[i].times.count == 0 && pings[i].sent > 0) {
            code = EXIT_UNREACHABLE;
        }
        (void)json_array_append_new(list, pings_json(cli->addresses[i], &pings[i]));
        if (!cli->json && pings[i].sent > 1) {
            tell_sum(cli->addresses[i], &pings[i]);
        }
    }
    if (cli->json) {
        return cli_print_json(cli, json_pack("{s:o}", "nodes", list), code);
    }
    json_decref(list);
    return code;
}

enum exit_code cmd_ping(struct cli *cli)
{
    const int64_t count = words_number(&cli->words, "--count", 1);
    const int64_t interval_us = words_number(&cli->words, "--interval", INTERVAL_PRESET_MS) * 1000;
    struct pings *pings = calloc(cli->node_count, sizeof *pings);
    if (pings == NULL) {
        return cli_fail(cli, EXIT_FAILED, "out of memory");
    }
    clock_catch_signals();
    const enum exit_code opened = connect_first(cli);
    for (int64_t n = 0; opened == EXIT_FINE && !clock_is_ended() && (count == 0 || n < count);
         n++) {
        const int64_t began_us = clock_us();
        for (size_t i = 0; i < cli->node_count && !clock_is_ended(); i++) {
            ping_once(cli, i, &pings[i]);
        }
        if (count == 0 || n + 1 < count) {
            (void)clock_wait(began_us + interval_us, -1);
        }
    }
    const enum exit_code code = opened == EXIT_FINE ? tell(cli, pings) : opened;
    free(pings);
    return code;
}
