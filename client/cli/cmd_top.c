/* SPDX-License-Identifier: BSD-3-Clause */
/* top: looks at all nodes at once, draws, waits, again. What it shows is in screen.c, how the figures come about in sample.c;
 * a node that does not answer is a line on the screen and not the end. */
#include "client/cli/clock.h"
#include "client/cli/commands.h"
#include "client/cli/screen.h"
#include "client/cli/terminal.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

enum {
    PLAIN_COLUMNS = 120,
    INTERVAL_PRESET_MS = 1000,
    INTERVAL_LEAST_MS = 100,
    INTERVAL_MOST_MS = 3600000
};

struct eye { /* on one node */
    struct cli *cli;
    size_t node;
    struct sample before;
    struct sample now;
    pthread_t thread;
    bool is_running;
};

struct top {
    struct cli *cli;
    struct eye eyes[NODES_MAX];
    struct screen_node shown[NODES_MAX];
    struct screen screen;
    struct buf frame;
    bool is_over;
};

/* --- looking ------------------------------------------------------------------------------------------------------- */

static void look_failed(const struct eye *eye, struct sample *sample, enum terrace_status status,
                        const char *why)
{
    *sample = (struct sample){.refused = status == TERRACE_DENIED || status == TERRACE_REFUSED};
    (void)snprintf(sample->error, sizeof sample->error, "%s",
                   why[0] == '\0' ? terrace_status_name(status)
                                  : cli_without_address(why, eye->cli->addresses[eye->node]));
}

/* The sections that a node tells without asking L2, so that a look costs L2 nothing. */
static void look(struct eye *eye, struct sample *sample)
{
    struct cli *cli = eye->cli;
    struct terrace *client = cli->each[eye->node];
    struct cli_reply info;
    struct cli_reply durations;
    struct cli_reply nodes;
    if (!cli_ask(cli, client, &info, "INFO", "server", "clients", "stats", "cpu", "l1", "l2",
                 "coherence", "warming", "namespaces", NULL)) {
        look_failed(eye, sample, info.status, info.error);
        cli_reply_done(&info);
        return;
    }
    const int64_t at_us = clock_us();
    const bool has_durations =
        cli_ask(cli, client, &durations, "LATENCY", "HISTOGRAM", "get", "mget", "cache.fetch",
                "set", "del", "cache.set", "cache.fill", "cache.invalidate", NULL);
    const bool has_nodes = cli_ask(cli, client, &nodes, "CACHE.NODES", NULL);
    if (sample_read(sample, tree_text(&info.tree), has_durations ? &durations.tree : NULL,
                    has_nodes ? &nodes.tree : NULL) != OK) {
        look_failed(eye, sample, TERRACE_NO_MEMORY, "out of memory");
    }
    struct cli_reply hot;
    const bool has_hot = sample->reachable && cli_ask(cli, client, &hot, "CACHE.HOT", "5", NULL);
    sample_read_hot(sample, has_hot ? &hot.tree : NULL);
    if (sample->reachable) {
        cli_reply_done(&hot);
    }
    sample->at_us = at_us;
    cli_reply_done(&info);
    cli_reply_done(&durations);
    cli_reply_done(&nodes);
}

static void *look_thread(void *arg)
{
    struct eye *eye = arg;
    look(eye, &eye->now);
    return NULL;
}

/* All at once: a node that does not answer holds up the others by one timeout at most. */
static void look_at_all(struct top *top)
{
    struct cli *cli = top->cli;
    for (size_t i = 0; i < cli->node_count; i++) {
        struct eye *eye = &top->eyes[i];
        sample_done(&eye->before);
        eye->before = eye->now;
        eye->now = (struct sample){0};
        eye->is_running = pthread_create(&eye->thread, NULL, look_thread, eye) == 0;
        if (!eye->is_running) {
            look(eye, &eye->now);
        }
    }
    for (size_t i = 0; i < cli->node_count; i++) {
        if (top->eyes[i].is_running) {
            (void)pthread_join(top->eyes[i].thread, NULL);
        }
        top->shown[i] =
            (struct screen_node){cli->addresses[i], &top->eyes[i].before, &top->eyes[i].now};
    }
    top->screen.wall_us = clock_wall_us();
}

/* --- showing ------------------------------------------------------------------------------------------------------- */

static enum exit_code show(struct top *top)
{
    struct cli *cli = top->cli;
    if (cli->json) {
        return cli_print_json(cli, screen_json(&top->screen), EXIT_FINE);
    }
    if (top->screen.is_live) {
        terminal_size(&top->screen.rows, &top->screen.columns);
    }
    top->frame.size = 0;
    if (screen_draw(&top->screen, &top->frame) != OK) {
        return cli_fail(cli, EXIT_FAILED, "out of memory");
    }
    if (!top->screen.is_live) {
        return cli_print(cli, buf_slice(&top->frame), EXIT_FINE);
    }
    top->is_over = top->is_over || !terminal_write(buf_slice(&top->frame));
    return EXIT_FINE;
}

static void take_key(struct top *top, int key)
{
    struct screen *screen = &top->screen;
    switch (key) {
    case 'q':
    case 'Q':
    case 3: top->is_over = true; break;
    case ' ': screen->held = !screen->held; break;
    case 's': screen->sort = (screen->sort + 1) % SCREEN_SORTS; break;
    case '+':
        screen->interval_ms =
            screen->interval_ms * 2 < INTERVAL_MOST_MS ? screen->interval_ms * 2 : INTERVAL_MOST_MS;
        break;
    case '-':
        screen->interval_ms = screen->interval_ms / 2 > INTERVAL_LEAST_MS ? screen->interval_ms / 2
                                                                          : INTERVAL_LEAST_MS;
        break;
    default: break;
    }
}

/* Until the next look is due. A key, or another size of the terminal, draws anew. */
static enum exit_code wait_for_next(struct top *top, int64_t began_us)
{
    const struct screen *screen = &top->screen;
    enum exit_code code = EXIT_FINE;
    bool is_due = false;
    while (!is_due && code == EXIT_FINE && !top->is_over && !clock_is_ended()) {
        const int64_t due_us = began_us + screen->interval_ms * 1000;
        const int64_t until_us =
            screen->held ? clock_us() + INTERVAL_MOST_MS * INT64_C(1000) : due_us;
        /* Also when it is late, as a node that hangs makes it each time: keys and signals are seen here. */
        const bool has_key = clock_wait(until_us, terminal_keys());
        for (int key; has_key && (key = terminal_key()) >= 0;) {
            take_key(top, key);
        }
        is_due = !screen->held && clock_us() >= began_us + screen->interval_ms * 1000;
        if (screen->is_live && !top->is_over && !is_due) {
            code = show(top);
        }
    }
    return code;
}

/* --- the verb ------------------------------------------------------------------------------------------------------ */

static bool any_answers(const struct top *top)
{
    for (size_t i = 0; i < top->cli->node_count; i++) {
        if (top->eyes[i].now.reachable) {
            return true;
        }
    }
    return false;
}

/* The first screen comes at once on a terminal; else when there is a flow to tell. */
static enum exit_code run(struct top *top, int64_t count)
{
    enum exit_code code = EXIT_FINE;
    int64_t began_us = clock_us();
    look_at_all(top);
    if (top->screen.is_live) {
        code = show(top);
    }
    for (int64_t n = 0; n < count && code == EXIT_FINE && !top->is_over; n++) {
        code = wait_for_next(top, began_us);
        if (code != EXIT_FINE || top->is_over || clock_is_ended()) {
            break;
        }
        began_us = clock_us();
        look_at_all(top);
        code = show(top);
    }
    return code;
}

static enum exit_code prepare(struct top *top)
{
    struct cli *cli = top->cli;
    char error[TERRACE_ERROR_SIZE];
    const char *sort = words_text(&cli->words, "--sort");
    struct screen *screen = &top->screen;
    *screen = (struct screen){
        .nodes = top->shown,
        .node_count = cli->node_count,
        .interval_ms = words_number(&cli->words, "--interval", INTERVAL_PRESET_MS),
        .color = cli->color,
        .utf8 = terminal_is_utf8(),
        .columns = PLAIN_COLUMNS,
    };
    if (screen->interval_ms < INTERVAL_LEAST_MS || screen->interval_ms > INTERVAL_MOST_MS) {
        return cli_fail(cli, EXIT_USAGE, "--interval: expected 100ms to 1h");
    }
    while (sort != NULL && strcmp(sort, screen_sort_name(screen->sort)) != 0) {
        if (++screen->sort == SCREEN_SORTS) {
            return cli_fail(cli, EXIT_USAGE, "--sort: expected ops, hits, bytes or name, not '%s'",
                            sort);
        }
    }
    for (size_t i = 0; i < cli->node_count; i++) {
        top->eyes[i].cli = cli;
        top->eyes[i].node = i;
        if (cli_node(cli, i, error) == NULL) {
            return cli_fail(cli, EXIT_USAGE, "%s", error);
        }
    }
    return EXIT_FINE;
}

enum exit_code cmd_top(struct cli *cli)
{
    struct top *top = calloc(1, sizeof *top);
    if (top == NULL) {
        return cli_fail(cli, EXIT_FAILED, "out of memory");
    }
    top->cli = cli;
    clock_catch_signals();
    const bool once = words_has(&cli->words, "--once");
    enum exit_code code = prepare(top);
    if (code == EXIT_FINE) {
        top->screen.is_live = !cli->json && !once && terminal_begin();
        code = run(top, once ? 1 : words_number(&cli->words, "--count", INT64_MAX));
        terminal_end();
    }
    if (code == EXIT_FINE && !top->screen.is_live && !any_answers(top)) {
        code = EXIT_UNREACHABLE;
    }
    for (size_t i = 0; i < cli->node_count; i++) {
        sample_done(&top->eyes[i].before);
        sample_done(&top->eyes[i].now);
    }
    buf_done(&top->frame);
    free(top);
    return code;
}
