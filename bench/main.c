/* SPDX-License-Identifier: BSD-3-Clause */
/* terrace-bench: the order of a run. Reads options and trace, connects, asks the tiers, runs, asks again, reports. */
#include "bench/history.h"
#include "bench/load.h"
#include "bench/propagation.h"
#include "bench/replay.h"
#include "bench/report.h"
#include "protocol/version.h"

#include <inttypes.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <unistd.h>

enum exit_code {
    EXIT_FINE = 0,
    EXIT_FAILED = 1,
    EXIT_USAGE = 2,
    EXIT_UNREACHABLE = 3
};

struct run {
    struct options options;
    struct target target;
    struct greeting greeting;
    struct trace trace;
    struct pool pool;
    struct result result;
    int signals;
};

static enum exit_code say(enum exit_code code, const char *text)
{
    (void)fprintf(stderr, "terrace-bench: %s\n", text);
    return code;
}

static enum exit_code say_status(enum status status, const char *text)
{
    return say(status == NO_MEMORY ? EXIT_FAILED : EXIT_UNREACHABLE,
               text[0] == '\0' ? "out of memory" : text);
}

/* Signals are read in the loop: what was measured is printed, and no handler needs a global. */
static int take_signals(void)
{
    sigset_t set;
    (void)sigemptyset(&set);
    (void)sigaddset(&set, SIGINT);
    (void)sigaddset(&set, SIGTERM);
    (void)pthread_sigmask(SIG_BLOCK, &set, NULL);
    return signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC);
}

static void raise_file_limit(void)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
        limit.rlim_cur = limit.rlim_max;
        (void)setrlimit(RLIMIT_NOFILE, &limit);
    }
}

static enum status open_pool(struct run *run, const struct target *target, struct pool *pool)
{
    bool is_trace = run->options.trace != NULL;
    const struct pool_config config = {
        .target = target,
        .greeting = run->greeting,
        .connections = (uint32_t)run->options.connections,
        .calls_max = is_trace ? replay_calls_max(&run->options) : load_calls_max(&run->options),
        .signals = run->signals,
    };
    enum status status = pool_init(pool, &config);
    return status == OK ? pool_open(pool) : status;
}

/* --preload, through the node or straight into what lies behind it. */
static enum exit_code preload(struct run *run)
{
    struct target target = run->target;
    if (run->options.preload_target != NULL &&
        target_resolve(&target, run->options.preload_target) != OK) {
        return say(EXIT_UNREACHABLE, target.error);
    }
    struct pool pool;
    enum status status = open_pool(run, &target, &pool);
    if (status == OK && !pool.interrupted) {
        status = replay_preload(&run->options, &run->trace, &pool, &run->result);
    }
    enum exit_code code = status == OK ? EXIT_FINE : say_status(status, pool.error);
    run->result.interrupted = pool.interrupted;
    pool_done(&pool);
    return code;
}

static enum exit_code measure(struct run *run)
{
    enum status status = open_pool(run, &run->target, &run->pool);
    if (status == OK && !run->pool.interrupted) {
        struct result *result = &run->result;
        bool asked = !run->greeting.memcached &&
                     tiers_ask(&run->target, &run->greeting, &result->tiers_before) == OK;
        status = run->options.trace != NULL
                     ? replay_run(&run->options, &run->trace, &run->pool, result)
                     : load_run(&run->options, &run->pool, result);
        result->has_tiers =
            asked && tiers_ask(&run->target, &run->greeting, &result->tiers_after) == OK;
    }
    run->result.interrupted = run->pool.interrupted;
    enum exit_code code = status == OK ? EXIT_FINE : say_status(status, run->pool.error);
    pool_done(&run->pool);
    return code;
}

static enum exit_code report(struct run *run)
{
    struct slo_check checks[SLO_CHECKS_MAX];
    unsigned count = slo_judge(&run->options, &run->result, checks);
    const char *file = run->options.json_file;
    bool json_only = run->options.json && file == NULL;
    if (!json_only) {
        report_text(stdout, &run->options, &run->result);
        (void)fflush(stdout);
    }
    if (run->options.json) {
        FILE *out = json_only ? stdout : fopen(file, "we");
        if (out == NULL || report_json(out, &run->options, &run->result, checks, count) != OK) {
            (void)say(EXIT_USAGE, "the JSON report cannot be written");
            return EXIT_USAGE;
        }
        if (out != stdout && fclose(out) != 0) {
            return say(EXIT_USAGE, "the JSON report cannot be written");
        }
    }
    return slo_complain(checks, count) ? EXIT_FINE : EXIT_FAILED;
}

static struct greeting greeting_of(const struct options *options)
{
    return (struct greeting){.memcached = options->memcached,
                             .user = options->user,
                             .password = options->password,
                             .resp = (int)options->resp,
                             .db = options->db};
}

static enum exit_code prepare(struct run *run)
{
    const struct options *options = &run->options;
    run->greeting = greeting_of(options);
    if (target_resolve(&run->target, options->target) != OK) {
        return say(EXIT_UNREACHABLE, run->target.error);
    }
    if (options->trace != NULL) {
        /* Before signals are taken: Ctrl-C while a long trace is read ends the program at once. */
        run->trace.copies = (uint32_t)options->trace_copies;
        if (trace_read(&run->trace, options->trace, options->trace_limit) != OK) {
            return say(EXIT_USAGE, run->trace.error);
        }
        if (run->options.connections < REPLAY_CONNECTIONS_MIN) {
            run->options.connections = REPLAY_CONNECTIONS_MIN;
        }
    }
    raise_file_limit();
    run->signals = take_signals();
    return EXIT_FINE;
}

static enum exit_code record(struct run *run)
{
    const struct options *options = &run->options;
    run->greeting = greeting_of(options);
    raise_file_limit();
    run->signals = take_signals();
    struct history_result result = {0};
    enum status status = history_run(options, &run->greeting, run->signals, &result);
    if (status != OK) {
        return say_status(status, result.error);
    }
    history_report(strcmp(options->history, "-") == 0 ? stderr : stdout, options, &result);
    return result.unread == 0 ? EXIT_FINE : EXIT_FAILED;
}

static enum exit_code propagate(struct run *run)
{
    const struct options *options = &run->options;
    run->greeting = greeting_of(options);
    run->signals = take_signals();
    struct propagation_result *result = calloc(1, sizeof *result);
    if (result == NULL) {
        return say(EXIT_FAILED, "out of memory");
    }
    enum exit_code code = EXIT_FINE;
    enum status status = propagation_run(options, &run->greeting, run->signals, result);
    if (status != OK) {
        code =
            status == CLOSE ? say_status(status, result->error) : say(EXIT_FAILED, result->error);
    } else if (propagation_report(stdout, options, result) != OK) {
        code = say(EXIT_USAGE, "the report cannot be written");
    }
    free(result);
    return code;
}

static enum exit_code run_all(struct run *run)
{
    if (run->options.propagation) {
        return propagate(run);
    }
    if (run->options.history != NULL) {
        return record(run);
    }
    enum exit_code code = prepare(run);
    if (code == EXIT_FINE && run->options.preload) {
        code = preload(run);
    }
    if (code == EXIT_FINE && !run->result.interrupted) {
        code = measure(run);
    }
    return code == EXIT_FINE ? report(run) : code;
}

static enum exit_code begin(struct run *run, int argc, char **argv)
{
    if (options_init(&run->options) != OK || options_read(&run->options, argc, argv) != OK) {
        return say(EXIT_USAGE, run->options.error);
    }
    if (run->options.help) {
        options_help(stdout);
        return EXIT_FINE;
    }
    if (run->options.version) {
        (void)puts("terrace-bench " TERRACE_VERSION);
        return EXIT_FINE;
    }
    return run_all(run);
}

int main(int argc, char **argv)
{
    struct run *run = calloc(1, sizeof *run);
    if (run == NULL) {
        return (int)say(EXIT_FAILED, "out of memory");
    }
    run->signals = -1;
    enum exit_code code = begin(run, argc, argv);
    if (run->signals >= 0) {
        (void)close(run->signals);
    }
    trace_done(&run->trace);
    options_done(&run->options);
    free(run);
    return (int)code;
}
