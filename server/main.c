/* SPDX-License-Identifier: BSD-3-Clause */
/* main.c -- the process around one node: its settings, its signals, its exit code.
 *
 * SIGTERM or SIGINT: the node drains and the process ends with 0, also if a name is being looked up and no answer comes,
 * or a worker does not come to its end in time; the second one ends it at once. CACHE.DRAIN is no signal. SIGHUP: settings are
 * read again; a bad file keeps the old ones and says so. A service manager that wants to know is told of all that (notify.h).
 * Settings that are wrong, or with which the node cannot work at the L2 that they name: 78. */
#include "protocol/limits.h"
#include "server/node.h"
#include "server/notify.h"
#include "tiers/base/log.h"

#include <uv.h>

#include <malloc.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <unistd.h>

enum {
    EXIT_CONFIG = 78,                        /* EX_CONFIG of sysexits.h */
    END_S = 2,                               /* from the last goodbye to the end of the process */
    GRACE_S = LIMIT_DRAIN_MS / 1000 + END_S, /* from the signal */
    SAVE_S = 60,                             /* more, while the last snapshot is being written */
    NOTIFY_MS = 100,
};

struct process {
    uv_loop_t loop;
    uv_signal_t signals[3];
    uv_async_t ended;
    struct node *node;
    struct notify *notify; /* NULL: nobody wants to know */
    int64_t notified_at_ms;
    int argc;
    char **argv;
    bool stopping;
    _Atomic unsigned grace_s; /* of end_after_grace; 0: nobody has asked for the end */
    _Atomic int forced_code;  /* of end_anyway */
    _Atomic bool saving;      /* the last snapshot is being written */
};

/* A signal that a thread happens to take shortens its sleep. */
static void sleep_all(unsigned seconds)
{
    while (seconds > 0) {
        seconds = sleep(seconds);
    }
}

/* The node did not end in time: a worker has work without end, or memory is not given back. Nobody is there who would miss
 * it: whoever waits for an answer has had the grace. */
static void *end_after_grace(void *arg)
{
    const struct process *process = arg;
    sleep_all(atomic_load(&process->grace_s));
    for (unsigned i = 0; i < SAVE_S && atomic_load(&process->saving); i++) {
        sleep_all(1);
    }
    _exit(atomic_load(&process->forced_code));
}

static void *end_after_goodbye(void *arg)
{
    const struct process *process = arg;
    sleep_all(END_S);
    _exit(atomic_load(&process->forced_code));
}

static void end_anyway(struct process *process, void *(*after)(void *))
{
    pthread_t thread;
    if (pthread_create(&thread, NULL, after, process) == 0) {
        (void)pthread_detach(thread);
    }
}

/* On the loop of this process or on the node's; whoever is first. */
static void on_node_draining(void *arg, int64_t delay_ms)
{
    struct process *process = arg;
    if (atomic_exchange(&process->grace_s, GRACE_S + (unsigned)((delay_ms + 999) / 1000)) == 0) {
        end_anyway(process, end_after_grace);
    }
}

static void on_node_ending(void *arg, bool failed)
{
    struct process *process = arg;
    atomic_store(&process->forced_code, failed ? EXIT_CONFIG : EXIT_SUCCESS);
    end_anyway(process, end_after_goodbye);
}

static void on_node_saving(void *arg, bool saving)
{
    struct process *process = arg;
    atomic_store(&process->saving, saving);
}

static void on_terminate(uv_signal_t *handle, int number)
{
    struct process *process = handle->data;
    if (process->stopping) {
        _exit(128 + number);
    }
    process->stopping = true;
    log_write(&process->node->log, LOG_NOTICE, "terminate",
              "signal %d: the node drains; another one ends it at once", number);
    on_node_draining(process, atomic_load(&process->node->live.drain_delay_ms));
    node_stop(process->node);
}

/* On the control thread; process->node may not be there yet. */
static void on_node_tick(void *arg, const struct node *node, int64_t now_ms)
{
    struct process *process = arg;
    struct buf reasons = {0};
    const bool stopping = atomic_load(&node->live.draining);
    if (!stopping && now_ms - process->notified_at_ms < NOTIFY_MS) {
        return; /* a node without clients has drained before that: then each tick counts */
    }
    process->notified_at_ms = now_ms;
    const bool ready = node_ready(node, &reasons);
    notify_tick(
        process->notify,
        &(struct notify_seen){.ready = ready,
                              .stopping = stopping,
                              .status = reasons.size > 0 ? buf_slice(&reasons) : slice_of("ready"),
                              .turned_at_ms = node_turned_at_ms(node)},
        now_ms);
    buf_done(&reasons);
}

static void log_advice(void *arg, const char *text)
{
    struct node *node = arg;
    log_write(&node->log, LOG_WARNING, "setting", "%s", text);
}

static void on_hangup(uv_signal_t *handle, int number)
{
    struct process *process = handle->data;
    struct node *node = process->node;
    struct options next;
    char error[OPTIONS_ERROR_MAX];
    (void)number;
    if (process->notify != NULL) {
        notify_reload(process->notify, (int64_t)(uv_hrtime() / 1000));
    }
    (void)pthread_mutex_lock(&node->options_lock);
    if (options_reload(&node->options, process->argc, process->argv, environ, &next, error) == OK) {
        options_advise(&next, log_advice, node);
        node_reload(node, &next);
    } else {
        log_write(&node->log, LOG_WARNING, "reload_refused", "%s; the old settings stay", error);
    }
    (void)pthread_mutex_unlock(&node->options_lock);
    if (process->notify != NULL) {
        notify_reloaded(process->notify);
    }
}

static void on_node_ended(void *arg)
{
    struct process *process = arg;
    (void)uv_async_send(&process->ended);
}

static void on_ended(uv_async_t *async)
{
    struct process *process = async->data;
    for (size_t i = 0; i < sizeof(process->signals) / sizeof(process->signals[0]); i++) {
        uv_close((uv_handle_t *)&process->signals[i], NULL);
    }
    uv_close((uv_handle_t *)&process->ended, NULL);
}

static void watch_signal(struct process *process, unsigned i, int number, uv_signal_cb on_signal)
{
    (void)uv_signal_init(&process->loop, &process->signals[i]);
    process->signals[i].data = process;
    (void)uv_signal_start(&process->signals[i], on_signal, number);
}

/* As many descriptors as clients may want, if the hard limit allows. */
static void raise_descriptor_limit(int64_t maxclients)
{
    struct rlimit limit;
    rlim_t wanted = (rlim_t)maxclients + 128;
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur < wanted) {
        limit.rlim_cur = limit.rlim_max < wanted ? limit.rlim_max : wanted;
        (void)setrlimit(RLIMIT_NOFILE, &limit);
    }
}

/* Values live in arenas (arena.h), buffers of requests and replies in malloc. Without these it would give the pages of
 * every large buffer back at once and take them anew for the next: its own thresholds only rise while large blocks of
 * longer lives come and go. With them a SET of 100 KB takes a third of the CPU. */
static void keep_pages_of_buffers(void)
{
    (void)mallopt(M_MMAP_THRESHOLD, 4 * 1024 * 1024);
    (void)mallopt(M_TRIM_THRESHOLD, 8 * 1024 * 1024);
}

int main(int argc, char **argv)
{
    keep_pages_of_buffers();
    struct process process = {.argc = argc, .argv = argv};
    struct options options;
    char error[OPTIONS_ERROR_MAX];
    switch (options_load(&options, argc, argv, environ, error)) {
    case OPTIONS_RUN: break;
    case OPTIONS_DONE: return EXIT_SUCCESS;
    case OPTIONS_WRONG: (void)fprintf(stderr, "terraced: %s\n", error); return EXIT_CONFIG;
    }
    (void)signal(SIGPIPE, SIG_IGN);
    (void)signal(SIGXFSZ, SIG_IGN); /* a snapshot that is too large for the limit fails, no more */
    raise_descriptor_limit(options.maxclients);
    (void)uv_loop_init(&process.loop);
    (void)uv_async_init(&process.loop, &process.ended, on_ended);
    process.ended.data = &process;
    /* Before the node, which may be answering already when node_start returns; they are looked at in uv_run. */
    watch_signal(&process, 0, SIGTERM, on_terminate);
    watch_signal(&process, 1, SIGINT, on_terminate);
    watch_signal(&process, 2, SIGHUP, on_hangup);
    process.notify = notify_new(&(struct notify_place){.socket = getenv("NOTIFY_SOCKET"),
                                                       .watchdog_us = getenv("WATCHDOG_USEC"),
                                                       .watchdog_pid = getenv("WATCHDOG_PID")});
    const struct node_watcher watcher = {.on_tick = process.notify != NULL ? on_node_tick : NULL,
                                         .on_draining = on_node_draining,
                                         .on_saving = on_node_saving,
                                         .on_ending = on_node_ending,
                                         .on_ended = on_node_ended,
                                         .arg = &process};
    if (node_start(&options, &watcher, &process.node, error) != OK) {
        (void)fprintf(stderr, "terraced: %s\n", error);
        on_ended(&process.ended);
        (void)uv_run(&process.loop, UV_RUN_DEFAULT);
        (void)uv_loop_close(&process.loop);
        notify_free(process.notify);
        return EXIT_CONFIG;
    }
    /* The node may be answering already: CONFIG SET changes them. */
    (void)pthread_mutex_lock(&process.node->options_lock);
    options_advise(&process.node->options, log_advice, process.node);
    (void)pthread_mutex_unlock(&process.node->options_lock);
    (void)uv_run(&process.loop, UV_RUN_DEFAULT);
    (void)uv_loop_close(&process.loop);
    log_write(&process.node->log, LOG_NOTICE, "ended", "all is closed");
    int code = node_failed(process.node) ? EXIT_CONFIG : EXIT_SUCCESS;
    node_free(process.node);
    notify_free(process.notify);
    return code;
}
