/* SPDX-License-Identifier: BSD-3-Clause */
#include "bench/report.h"

#include "protocol/version.h"

#include <inttypes.h>
#include <jansson.h>

struct quantile {
    const char *name;
    double part;
};

static const struct quantile quantiles[] = {
    {"p50", 0.50},    {"p90", 0.90},      {"p95", 0.95}, {"p99", 0.99},
    {"p99.9", 0.999}, {"p99.99", 0.9999}, {"max", 1.0},
};

enum {
    QUANTILE_COUNT = sizeof quantiles / sizeof quantiles[0]
};

static const char *mode_name(const struct options *options, const struct result *result)
{
    if (result->has_trace) {
        return options->trace_mode == TRACE_ASIDE ? "trace, cache aside" : "trace, GET only";
    }
    return options->rate > 0 ? "open loop" : "closed loop";
}

/* Our own share of one core: near 1 the figures are ours, not the server's. */
static double own_share(const struct result *result)
{
    return result->window.seconds > 0
               ? (double)result->window.own_cpu_ns / 1e9 / result->window.seconds
               : 0;
}

/* ------------------------------------------------------------------ text */

static void text_work(FILE *out, const struct options *options)
{
    if (options->get_parts + options->set_parts > 0) {
        (void)fprintf(out, ", get:set %" PRIu64 ":%" PRIu64, options->get_parts,
                      options->set_parts);
    } else {
        (void)fprintf(out, ", %s", operation_name(options->operation));
    }
    (void)fprintf(out, ", %" PRIu64 " keys, zipf %g, values of %" PRIu64, options->keys,
                  options->zipf, options->value_min);
    if (options->value_max != options->value_min) {
        (void)fprintf(out, "-%" PRIu64, options->value_max);
    }
    (void)fputs(" B\n", out);
}

static void text_head(FILE *out, const struct options *options, const struct result *result)
{
    (void)fprintf(out, "%s  %s, %" PRIu64 " connections, pipeline %" PRIu64, options->target,
                  mode_name(options, result), options->connections, options->pipeline);
    if (result->has_trace) {
        (void)fprintf(out, ", %" PRIu64 " requests, %" PRIu64 " keys\n", result->trace_requests,
                      result->trace_keys);
    } else {
        text_work(out, options);
    }
    if (result->interrupted) {
        (void)fputs("interrupted: what was measured until then\n", out);
    }
    if (result->has_fill) {
        (void)fprintf(out, "filled      %" PRIu64 " keys in %.2f s, %.0f/s\n",
                      result->fill.requests, result->fill_s,
                      result->fill_s > 0 ? (double)result->fill.requests / result->fill_s : 0);
    }
}

static void text_latency(FILE *out, const struct options *options, const struct result *result)
{
    const char *from =
        "sending; closed loop: a stall is asked less, so tails look better than users find them";
    if (options->rate > 0) {
        from = "the scheduled time: no coordinated omission";
    }
    (void)fprintf(out, "latency ms ");
    for (unsigned i = 0; i < QUANTILE_COUNT; i++) {
        (void)fprintf(out, " %s %.3f", quantiles[i].name,
                      (double)histogram_quantile_ns(&result->tally.latency, quantiles[i].part) /
                          1e6);
    }
    (void)fprintf(out, "\n            counted from %s\n", from);
}

static void text_counts(FILE *out, const struct result *result)
{
    const struct tally *tally = &result->tally;
    (void)fprintf(out,
                  "errors      %" PRIu64 " (%.4f %%), %" PRIu64 " lost, %" PRIu64
                  " unanswered, %" PRIu64 " connections broke\n",
                  tally->errors, tally_error_rate(tally) * 100, tally->lost, tally->unanswered,
                  result->reconnects);
    if (tally->first_error[0] != '\0') {
        (void)fprintf(out, "            first: %s\n", tally->first_error);
    }
    if (result->has_fill && result->fill.first_error[0] != '\0') {
        (void)fprintf(out, "            while filling: %s\n", result->fill.first_error);
    }
    if (tally->hits + tally->misses > 0) {
        (void)fprintf(out,
                      "hits        %" PRIu64 ", misses %" PRIu64
                      ", hit ratio %.4f, values read %" PRIu64 " B, written %" PRIu64 " B\n",
                      tally->hits, tally->misses, tally_hit_ratio(tally), tally->value_bytes_read,
                      tally->value_bytes_written);
    }
}

static void text_ratio(FILE *out, const char *name, double ratio, const char *end)
{
    if (ratio < 0) {
        (void)fprintf(out, "%s unknown%s", name, end);
    } else {
        (void)fprintf(out, "%s %.4f%s", name, ratio, end);
    }
}

void report_text(FILE *out, const struct options *options, const struct result *result)
{
    const struct tally *tally = &result->tally;
    const struct window *window = &result->window;
    text_head(out, options, result);
    (void)fprintf(out, "requests    %" PRIu64 " in %.3f s, %.0f requests/s", tally->requests,
                  window->seconds, result_rate(result));
    if (options->rate > 0) {
        (void)fprintf(out, " of %.0f asked for", options->rate);
    }
    (void)fprintf(out, ", %.1f MB in, %.1f MB out\n", (double)window->bytes_in / 1e6,
                  (double)window->bytes_out / 1e6);
    text_latency(out, options, result);
    text_counts(out, result);
    if (options->check || result->has_trace) {
        (void)fprintf(out, "checked     %" PRIu64 " values, %" PRIu64 " wrong%s%s\n", tally->hits,
                      tally->wrong, tally->wrong > 0 ? ", first of key " : "", tally->first_wrong);
    }
    if (result->has_tiers) {
        struct tier_ratios ratios = tiers_ratios(&result->tiers_before, &result->tiers_after);
        text_ratio(out, "server      L1 hit ratio", ratios.l1, ", ");
        text_ratio(out, "L2 hit ratio", ratios.l2, ", ");
        text_ratio(out, "overall", ratios.overall, "\n");
    }
    if (window->has_server_cpu) {
        (void)fprintf(out, "server CPU  %.3f us/request, %.2f cores\n", result_server_us(result),
                      (double)window->server_cpu_ns / 1e9 / window->seconds);
    } else if (options->pid != 0) {
        (void)fprintf(out, "server CPU  unknown: process %" PRIu64 " cannot be read\n",
                      options->pid);
    }
    (void)fprintf(out, "own CPU     %.2f cores%s\n", own_share(result),
                  own_share(result) > 0.97 ? ": the load tool is the bottleneck" : "");
}

/* ------------------------------------------------------------------ JSON */

static void put(json_t *object, const char *name, json_t *value)
{
    (void)json_object_set_new(object, name, value); /* a failure shows when the object is written */
}

static void put_count(json_t *object, const char *name, uint64_t number)
{
    put(object, name, json_integer((json_int_t)number));
}

static void put_ratio(json_t *object, const char *name, double ratio)
{
    put(object, name, ratio < 0 ? json_null() : json_real(ratio));
}

static json_t *json_latency(const struct histogram *latency)
{
    json_t *object = json_object();
    for (unsigned i = 0; i < QUANTILE_COUNT; i++) {
        put(object, quantiles[i].name,
            json_real((double)histogram_quantile_ns(latency, quantiles[i].part) / 1e6));
    }
    put(object, "mean", json_real(histogram_mean_ns(latency) / 1e6));
    return object;
}

static json_t *json_options(const struct options *options, const struct result *result)
{
    json_t *object = json_object();
    put_count(object, "connections", options->connections);
    put_count(object, "pipeline", options->pipeline);
    put(object, "rate", options->rate > 0 ? json_real(options->rate) : json_null());
    put(object, "protocol",
        json_string(options->memcached   ? "memcached"
                    : options->resp == 3 ? "resp3"
                                         : "resp2"));
    if (result->has_trace) {
        put(object, "trace", json_string(options->trace));
        put_count(object, "trace_requests", result->trace_requests);
        put_count(object, "trace_keys", result->trace_keys);
        put_count(object, "trace_bytes", result->trace_bytes);
        return object;
    }
    if (options->get_parts + options->set_parts > 0) {
        char ratio[48];
        (void)snprintf(ratio, sizeof ratio, "%" PRIu64 ":%" PRIu64, options->get_parts,
                       options->set_parts);
        put(object, "ratio", json_string(ratio));
    } else {
        put(object, "op", json_string(operation_name(options->operation)));
    }
    put_count(object, "keys", options->keys);
    put(object, "zipf", json_real(options->zipf));
    put_count(object, "value_size_min", options->value_min);
    put_count(object, "value_size_max", options->value_max);
    put_count(object, "ttl_s", options->ttl_s);
    put_count(object, "seed", options->seed);
    return object;
}

static json_t *json_tiers(const struct result *result)
{
    struct tier_ratios ratios = tiers_ratios(&result->tiers_before, &result->tiers_after);
    json_t *object = json_object();
    put_ratio(object, "l1_hit_ratio", ratios.l1);
    put_ratio(object, "l2_hit_ratio", ratios.l2);
    put_ratio(object, "overall_hit_ratio", ratios.overall);
    return object;
}

static json_t *json_checks(const struct slo_check *checks, unsigned count)
{
    json_t *array = json_array();
    for (unsigned i = 0; i < count; i++) {
        json_t *object = json_object();
        put(object, "name", json_string(checks[i].name));
        put(object, checks[i].at_least ? "at_least" : "at_most", json_real(checks[i].limit));
        put(object, "actual", json_real(checks[i].actual));
        put(object, "passed", json_boolean(checks[i].passed));
        (void)json_array_append_new(array, object);
    }
    return array;
}

static void put_tally(json_t *object, const struct tally *tally)
{
    put_count(object, "requests", tally->requests);
    put_count(object, "reads", tally->reads);
    put_count(object, "writes", tally->writes);
    put_count(object, "errors", tally->errors);
    put_count(object, "lost", tally->lost);
    put_count(object, "unanswered", tally->unanswered);
    put(object, "error_rate", json_real(tally_error_rate(tally)));
    put(object, "first_error",
        tally->first_error[0] == '\0' ? json_null() : json_string(tally->first_error));
    put_count(object, "hits", tally->hits);
    put_count(object, "misses", tally->misses);
    put_ratio(object, "hit_ratio", tally->hits + tally->misses == 0 ? -1 : tally_hit_ratio(tally));
    put_count(object, "wrong_values", tally->wrong);
    put_count(object, "value_bytes_read", tally->value_bytes_read);
    put_count(object, "value_bytes_written", tally->value_bytes_written);
}

enum status report_json(FILE *out, const struct options *options, const struct result *result,
                        const struct slo_check *checks, unsigned check_count)
{
    json_t *root = json_object();
    const struct window *window = &result->window;
    put(root, "tool", json_string("terrace-bench " TERRACE_VERSION));
    put(root, "target", json_string(options->target));
    put(root, "mode", json_string(mode_name(options, result)));
    put(root, "latency_from", json_string(options->rate > 0 ? "schedule" : "send"));
    put(root, "interrupted", json_boolean(result->interrupted));
    put(root, "options", json_options(options, result));
    put(root, "seconds", json_real(window->seconds));
    put(root, "rps", json_real(result_rate(result)));
    put_tally(root, &result->tally);
    put_count(root, "bytes_in", window->bytes_in);
    put_count(root, "bytes_out", window->bytes_out);
    put(root, "latency_ms", json_latency(&result->tally.latency));
    put_count(root, "reconnects", result->reconnects);
    put(root, "tiers", result->has_tiers ? json_tiers(result) : json_null());
    put_ratio(root, "server_cpu_us", window->has_server_cpu ? result_server_us(result) : -1);
    put(root, "own_cpu", json_real(own_share(result)));
    put(root, "fill_seconds", result->has_fill ? json_real(result->fill_s) : json_null());
    put(root, "thresholds", json_checks(checks, check_count));
    int failure = json_dumpf(root, out, JSON_INDENT(2) | JSON_REAL_PRECISION(9));
    json_decref(root);
    return failure != 0 || fputc('\n', out) == EOF || fflush(out) != 0 ? INVALID : OK;
}
