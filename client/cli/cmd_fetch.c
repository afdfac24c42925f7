/* SPDX-License-Identifier: BSD-3-Clause */
/* fetch: a read with a contract, and what comes of a load that is won. */
#include "client/cli/commands.h"
#include "client/cli/contract.h"
#include "client/cli/slurp.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

enum {
    NOTHING_CODE = 1,        /* of a COMMAND: there is no such thing */
    NEGATIVE_MOST_MS = 60000 /* of CACHE.FAIL */
};

/* --- the command --------------------------------------------------------------------------------------------------- */

/* Runs argv and reads what it prints. Its exit code, or -1 with `why`. */
static int run_command(const char *const *argv, struct buf *output, const char **ret_why)
{
    int ends[2];
    if (pipe2(ends, O_CLOEXEC) != 0) {
        *ret_why = strerror(errno);
        return -1;
    }
    const pid_t child = fork();
    if (child == 0) {
        (void)dup2(ends[1], STDOUT_FILENO);
        (void)execvp(argv[0], (char *const *)(uintptr_t)argv);
        (void)fprintf(stderr, "terrace fetch: %s: %s\n", argv[0], strerror(errno));
        _exit(127);
    }
    (void)close(ends[1]);
    const enum status status = child < 0 ? INVALID : slurp(ends[0], output);
    *ret_why = strerror(errno);
    (void)close(ends[0]);
    int ended = 0;
    while (child > 0 && waitpid(child, &ended, 0) < 0 && errno == EINTR) {
    }
    if (status != OK) {
        return -1;
    }
    *ret_why = "a signal ended it";
    return WIFEXITED(ended) ? WEXITSTATUS(ended) : -1;
}

/* --- the load ------------------------------------------------------------------------------------------------------ */

struct load {
    struct slice key;
    struct terrace_value value;
    struct buf output;
    enum terrace_status status;
};

static enum exit_code give_back(struct cli *cli, struct load *load, int64_t negative_ms)
{
    const enum terrace_status status =
        terrace_fail(cli->all, load->key.data, load->key.size, &load->value.token, negative_ms);
    return status == TERRACE_OK || status == TERRACE_LOST
               ? EXIT_FINE
               : cli_fail_status(cli, status, load->key.data, "");
}

/* The value is what the command printed, for everybody. */
static enum exit_code fill(struct cli *cli, struct load *load)
{
    struct terrace_write_options options;
    const enum exit_code code = contract_write(cli, &options);
    if (code != EXIT_FINE) {
        (void)give_back(cli, load, 0);
        return code;
    }
    const struct slice bytes =
        load->output.size == 0 ? (struct slice){"", 0} : buf_slice(&load->output);
    const enum terrace_status status =
        terrace_fill(cli->all, load->key.data, load->key.size, &load->value.token, bytes.data,
                     bytes.size, &options, NULL);
    contract_done(&options);
    /* LOST: somebody wrote the key meanwhile. What was loaded is printed all the same. */
    return status == TERRACE_OK || status == TERRACE_LOST
               ? EXIT_FINE
               : cli_fail_status(cli, status, load->key.data, cli->error);
}

static enum exit_code load_it(struct cli *cli, struct load *load)
{
    const char *const *command = cli->words.arguments + 1; /* ends with NULL */
    const char *why = "";
    if (cli->words.argument_count == 1) {
        return give_back(cli, load, 0);
    }
    const int code = run_command(command, &load->output, &why);
    if (code == 0) {
        load->status = TERRACE_OK;
        return fill(cli, load);
    }
    const int64_t negative_ms =
        code == NOTHING_CODE ? words_number(&cli->words, "--negative", 0) : 0;
    const enum exit_code given = give_back(cli, load, negative_ms);
    if (given == EXIT_FINE && negative_ms > 0) {
        load->status = TERRACE_NEGATIVE;
        return EXIT_FINE;
    }
    return given != EXIT_FINE ? given
           : code < 0         ? cli_fail(cli, EXIT_FAILED, "%s: %s", command[0], why)
                              : cli_fail(cli, EXIT_FAILED, "%s: ended with %d", command[0], code);
}

/* --- the verb ------------------------------------------------------------------------------------------------------ */

static enum exit_code tell(struct cli *cli, const struct load *load)
{
    struct terrace_value shown = load->value;
    const bool is_loaded = load->value.token.size > 0 && load->status == TERRACE_OK;
    if (is_loaded) {
        shown.data = load->output.size == 0 ? "" : load->output.data;
        shown.size = load->output.size;
        shown.age_ms = 0;
        shown.reason = TERRACE_REASON_NONE;
    }
    const bool has_value = contract_has_value(load->status, &shown);
    const enum exit_code code = has_value ? EXIT_FINE : EXIT_FAILED;
    if (cli->json) {
        json_t *object = contract_json(load->key, load->status, &shown);
        (void)json_object_set_new(object, "loaded", json_boolean(is_loaded));
        return cli_print_json(cli, object, code);
    }
    if (words_has(&cli->words, "--verbose")) {
        contract_tell(load->status, &shown);
    }
    if (!has_value) {
        return code;
    }
    /* A command's own line end is not doubled. */
    const bool ends =
        is_loaded && shown.size > 0 && ((const char *)shown.data)[shown.size - 1] == '\n';
    const enum exit_code wrote = cli_print(cli, (struct slice){shown.data, shown.size}, code);
    return wrote == code && !ends ? cli_print(cli, SLICE_LITERAL("\n"), code) : wrote;
}

enum exit_code cmd_fetch(struct cli *cli)
{
    struct load load = {.key = slice_of(cli->words.arguments[0])};
    struct terrace_read_options options;
    enum exit_code code = contract_read(cli, &options);
    if (code == EXIT_FINE && words_number(&cli->words, "--negative", 0) > NEGATIVE_MOST_MS) {
        code = cli_fail(cli, EXIT_USAGE, "--negative: at most 1m");
    }
    if (code == EXIT_FINE) {
        code = cli_open(cli);
    }
    if (code != EXIT_FINE) {
        return code;
    }
    load.status = terrace_fetch(cli->all, load.key.data, load.key.size, &options, &load.value);
    if (contract_failed(load.status, &load.value)) {
        code = contract_fail(cli, load.key.data, load.status, &load.value);
    } else {
        if (load.status == TERRACE_LOAD) {
            code = load_it(cli, &load);
        }
        code = code == EXIT_FINE ? tell(cli, &load) : code;
    }
    terrace_value_done(&load.value);
    buf_done(&load.output);
    return code;
}
