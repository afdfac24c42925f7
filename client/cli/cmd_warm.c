/* SPDX-License-Identifier: BSD-3-Clause */
/* warm: jobs that bring keys into the nodes' memory (CACHE.WARM). */
#include "client/cli/clock.h"
#include "client/cli/commands.h"
#include "client/cli/terminal.h"
#include "client/cli/warm_view.h"
#include "client/cli/warm_words.h"

#include <string.h>

enum {
    WATCH_PATIENCE_S = 10, /* no node answers: it is asked on for so long */
    BAR_MOST = 30,
    BAR_LEAST = 10,
    LINE_TEXT = 70,  /* columns that the words around the bar want */
    LINE_NARROW = 48 /* fewer than these: what is said is worth more than a bar */
};

static enum exit_code fail_reply(struct cli *cli, const struct cli_reply *reply, const char *what)
{
    return cli_fail_status(cli, reply->status, what, reply->error);
}

static bool is_fleeting(enum terrace_status status)
{
    return status == TERRACE_UNREACHABLE || status == TERRACE_DEADLINE ||
           status == TERRACE_UNKNOWN || status == TERRACE_BUSY;
}

/* --- watch --------------------------------------------------------------------------------------------------------- */

struct watch {
    const char *id;
    bool is_live; /* one line of a terminal, written again and again */
    int64_t answered_at_us;
};

static enum exit_code show_line(struct cli *cli, const struct watch *watch, const struct tree *job)
{
    unsigned rows = 0;
    unsigned columns = 1u << 16;
    struct buf line = {0};
    if (watch->is_live) {
        terminal_size(&rows, &columns);
        (void)!buf_append(&line, "\r\x1b[K", 4);
    }
    const unsigned spare = columns > LINE_TEXT + BAR_LEAST ? columns - LINE_TEXT
                           : columns >= LINE_NARROW        ? BAR_LEAST
                                                           : 0;
    struct pen pen = {.to = &line,
                      .columns = columns,
                      .is_live = watch->is_live,
                      .color = cli->color,
                      .utf8 = terminal_is_utf8()};
    warm_view_line(&pen, job, !watch->is_live ? 0 : spare < BAR_MOST ? spare : BAR_MOST);
    const bool ends = !watch->is_live || warm_view_has_ended(job) || warm_view_stands(job);
    const bool failed = pen.failed || (ends && buf_append(&line, "\n", 1) != OK);
    const enum exit_code code = failed ? cli_fail(cli, EXIT_FAILED, "out of memory")
                                       : cli_print(cli, buf_slice(&line), EXIT_FINE);
    buf_done(&line);
    return code;
}

/* Asks and shows once. *ret_ended: there is no more to come. */
static enum exit_code watch_once(struct cli *cli, struct watch *watch, bool *ret_ended)
{
    struct cli_reply reply;
    enum exit_code code = EXIT_FINE;
    if (cli_ask(cli, cli->all, &reply, "CACHE.WARM", "STATUS", watch->id, NULL)) {
        const struct tree *job = &reply.tree;
        watch->answered_at_us = clock_us();
        *ret_ended = warm_view_has_ended(job);
        code =
            cli->json ? cli_print_json(cli, tree_json(job), EXIT_FINE) : show_line(cli, watch, job);
        if (*ret_ended && code == EXIT_FINE) {
            code = warm_view_is_done(job) ? EXIT_FINE : EXIT_FAILED;
        } else if (warm_view_stands(job) && code == EXIT_FINE) {
            *ret_ended = true;
            code = cli_fail(cli, EXIT_FAILED, "job %s is a standing one: watch what it submits",
                            watch->id);
        }
    } else if (!is_fleeting(reply.status) ||
               clock_us() - watch->answered_at_us > WATCH_PATIENCE_S * INT64_C(1000000)) {
        *ret_ended = true;
        code = fail_reply(cli, &reply, "watch");
    }
    cli_reply_done(&reply);
    return code;
}

/* 0: it is done; 1: it failed or was cancelled, or it goes on without us. */
static enum exit_code watch_job(struct cli *cli, const char *id)
{
    const int64_t every_us = 1000 * words_number(&cli->words, "--interval", 1000);
    struct watch watch = {.id = id, .answered_at_us = clock_us()};
    watch.is_live = !cli->json && terminal_is_there();
    enum exit_code code = EXIT_FINE;
    bool ended = false;
    while (!ended && code == EXIT_FINE && !clock_is_ended()) {
        const int64_t next_us = clock_us() + every_us;
        code = watch_once(cli, &watch, &ended);
        while (!ended && code == EXIT_FINE && !clock_is_ended()) {
            (void)clock_wait(next_us, -1); /* also when it is late: signals are seen there */
            if (clock_us() >= next_us) {
                break;
            }
        }
    }
    if (!ended && code == EXIT_FINE) {
        if (watch.is_live) {
            (void)cli_print(cli, (struct slice)SLICE_LITERAL("\n"), EXIT_FINE);
        }
        code = cli_fail(cli, EXIT_FAILED, "job %s goes on", id);
    }
    return code;
}

/* --- submit -------------------------------------------------------------------------------------------------------- */

enum {
    ID_MAX = I64_DIGITS_MAX + 1
};

static enum exit_code send_job(struct cli *cli, const char *verb, struct slice job, bool is_told,
                               char ret_id[ID_MAX])
{
    const struct slice words[] = {SLICE_LITERAL("CACHE.WARM"), slice_of(verb), job};
    struct cli_reply reply;
    enum exit_code code = EXIT_FINE;
    if (cli_ask_words(cli, cli->all, &reply, words, 3)) {
        const int64_t number = tree_number(&reply.tree, 0);
        ret_id[i64_format(ret_id, number)] = '\0';
        if (is_told && cli->json) {
            code = cli_print_json(cli, json_pack("{s:I}", "id", (json_int_t)number), EXIT_FINE);
        } else if (is_told) {
            char line[ID_MAX + 1];
            (void)snprintf(line, sizeof line, "%s\n", ret_id);
            code = cli_print(cli, slice_of(line), EXIT_FINE);
        }
    } else {
        code = fail_reply(cli, &reply, verb);
    }
    cli_reply_done(&reply);
    return code;
}

/* For who watches: they are caught before there is a client, and not while a job is typed. */
static enum exit_code open_to_watch(struct cli *cli, bool watches)
{
    if (watches) {
        clock_catch_signals();
    }
    return cli_open(cli);
}

/* What is no job is told before a node is looked for. */
static enum exit_code submit(struct cli *cli, const char *verb)
{
    struct buf job = {0};
    char error[WARM_WORDS_ERROR_MAX];
    char id[ID_MAX] = "";
    const bool waits = words_has(&cli->words, "--wait");
    const enum status made = warm_words_json(&cli->words, &job, error);
    enum exit_code code = made == OK        ? open_to_watch(cli, waits)
                          : made == INVALID ? cli_fail(cli, EXIT_USAGE, "%s", error)
                                            : cli_fail(cli, EXIT_FAILED, "out of memory");
    if (code == EXIT_FINE) {
        code = send_job(cli, verb, buf_slice(&job), !waits, id);
    }
    buf_done(&job);
    return code == EXIT_FINE && waits ? watch_job(cli, id) : code;
}

/* --- looking ------------------------------------------------------------------------------------------------------- */

static enum exit_code list(struct cli *cli)
{
    struct cli_reply reply;
    enum exit_code code;
    if (!cli_ask(cli, cli->all, &reply, "CACHE.WARM", "LIST", NULL)) {
        code = fail_reply(cli, &reply, "list");
    } else if (cli->json) {
        code = cli_print_json(cli, json_pack("{s:o}", "jobs", tree_json(&reply.tree)), EXIT_FINE);
    } else {
        struct table table = {0};
        warm_view_columns(&table);
        for (size_t i = 0; i < reply.tree.count; i++) {
            warm_view_row(&table, tree_at(&reply.tree, i));
        }
        code = cli_print_table(cli, &table, EXIT_FINE);
    }
    cli_reply_done(&reply);
    return code;
}

static enum exit_code status_of(struct cli *cli, const char *id)
{
    struct cli_reply reply;
    enum exit_code code;
    if (!cli_ask(cli, cli->all, &reply, "CACHE.WARM", "STATUS", id, NULL)) {
        code = fail_reply(cli, &reply, id);
    } else if (cli->json) {
        code = cli_print_json(cli, tree_json(&reply.tree), EXIT_FINE);
    } else {
        struct buf text = {0};
        const bool fine =
            warm_view_all(&reply.tree, clock_wall_us() / 1000, cli->color, &text) == OK;
        code = fine ? cli_print(cli, buf_slice(&text), EXIT_FINE)
                    : cli_fail(cli, EXIT_FAILED, "out of memory");
        buf_done(&text);
    }
    cli_reply_done(&reply);
    return code;
}

/* --- changing ------------------------------------------------------------------------------------------------------ */

static enum exit_code change(struct cli *cli, const char *verb, const char *id, const char *rate)
{
    struct cli_reply reply;
    enum exit_code code;
    if (!cli_ask(cli, cli->all, &reply, "CACHE.WARM", verb, id, rate, NULL)) {
        code = fail_reply(cli, &reply, id);
    } else if (cli->json) {
        code = cli_print_json(cli, json_pack("{s:s}", "status", "OK"), EXIT_FINE);
    } else {
        code = cli_print(cli, (struct slice)SLICE_LITERAL("OK\n"), EXIT_FINE);
    }
    cli_reply_done(&reply);
    return code;
}

/* --- warm ---------------------------------------------------------------------------------------------------------- */

static const struct {
    const char *name;
    const char *verb; /* of CACHE.WARM */
    size_t least, most;
    const char *expected;
} actions[] = {
    {"submit", "SUBMIT", 1, ARGUMENTS_ANY, "a job"},
    {"register", "REGISTER", 1, ARGUMENTS_ANY, "a job"},
    {"list", "LIST", 1, 1, "nothing more"},
    {"status", "STATUS", 2, 2, "the number of a job"},
    {"watch", "STATUS", 2, 2, "the number of a job"},
    {"pause", "PAUSE", 2, 2, "the number of a job"},
    {"resume", "RESUME", 2, 2, "the number of a job"},
    {"cancel", "CANCEL", 2, 2, "the number of a job"},
    {"setrate", "SETRATE", 3, 3, "the number of a job, and keys per second"},
};

static enum exit_code act(struct cli *cli, const char *name, const char *verb)
{
    const char *const *arguments = cli->words.arguments;
    if (strcmp(verb, "SUBMIT") == 0 || strcmp(verb, "REGISTER") == 0) {
        return submit(cli, verb);
    }
    const char *option = warm_words_option(&cli->words);
    if (option != NULL) {
        return cli_fail(cli, EXIT_USAGE, "%s: %s is of submit and register", name, option);
    }
    const bool watches = strcmp(name, "watch") == 0;
    const enum exit_code code = open_to_watch(cli, watches);
    if (code != EXIT_FINE) {
        return code;
    }
    if (strcmp(verb, "LIST") == 0) {
        return list(cli);
    }
    if (watches) {
        return watch_job(cli, arguments[1]);
    }
    return strcmp(verb, "STATUS") == 0
               ? status_of(cli, arguments[1])
               : change(cli, verb, arguments[1],
                        cli->words.argument_count > 2 ? arguments[2] : NULL);
}

enum exit_code cmd_warm(struct cli *cli)
{
    const char *name = cli->words.arguments[0];
    const size_t count = cli->words.argument_count;
    for (size_t i = 0; i < sizeof actions / sizeof actions[0]; i++) {
        if (strcmp(name, actions[i].name) != 0) {
            continue;
        }
        if (count < actions[i].least || count > actions[i].most) {
            return cli_fail(cli, EXIT_USAGE, "%s: expected %s", name, actions[i].expected);
        }
        return act(cli, name, actions[i].verb);
    }
    return cli_fail(cli, EXIT_USAGE,
                    "expected submit, register, list, status, watch, pause, resume, cancel or "
                    "setrate, not '%s'",
                    name);
}
