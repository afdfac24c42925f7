/* SPDX-License-Identifier: BSD-3-Clause */
#include "client/cli/commands.h"
#include "client/cli/contract.h"
#include "client/cli/slurp.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>
#include <unistd.h>

/* --- set ----------------------------------------------------------------------------------------------------------- */

static enum exit_code tell_set(struct cli *cli, struct slice key, enum terrace_status status,
                               uint64_t seq)
{
    const bool wants_seq = words_has(&cli->words, "--seq");
    if (cli->json && (status == TERRACE_OK || status == TERRACE_UNMET)) {
        json_t *object = json_pack("{s:s}", "status", terrace_status_name(status));
        (void)json_object_set_new(object, "key", json_bytes(key));
        if (wants_seq && status == TERRACE_OK) {
            (void)json_object_set_new(object, "seq", json_integer((json_int_t)seq));
        }
        return cli_print_json(cli, object, cli_exit_of(status));
    }
    if (status != TERRACE_OK) {
        return cli_fail_status(cli, status, key.data, cli->error);
    }
    char line[32];
    (void)snprintf(line, sizeof line, "%" PRIu64 "\n", seq);
    return cli_print(cli, wants_seq ? slice_of(line) : SLICE_LITERAL("OK\n"), EXIT_FINE);
}

static enum exit_code set(struct cli *cli, struct terrace_write_options *options)
{
    const struct slice key = slice_of(cli->words.arguments[0]);
    struct slice value = slice_of(cli->words.arguments[1]);
    struct buf input = {0};
    options->condition = words_has(&cli->words, "--nx")   ? 1
                         : words_has(&cli->words, "--xx") ? 2
                                                          : 0;
    options->want_seq = words_has(&cli->words, "--seq");
    if (slice_is(value, "-")) {
        if (slurp(STDIN_FILENO, &input) != OK) {
            buf_done(&input);
            return cli_fail(cli, EXIT_USAGE, "standard input: %s", strerror(errno));
        }
        value = input.size == 0 ? (struct slice){"", 0} : buf_slice(&input);
    }
    enum exit_code code = cli_open(cli);
    if (code == EXIT_FINE) {
        uint64_t seq = 0;
        const enum terrace_status status =
            terrace_set(cli->all, key.data, key.size, value.data, value.size, options, &seq);
        code = tell_set(cli, key, status, seq);
    }
    buf_done(&input);
    return code;
}

enum exit_code cmd_set(struct cli *cli)
{
    struct terrace_write_options options;
    const struct words *words = &cli->words;
    const bool conditional = words_has(words, "--nx") || words_has(words, "--xx");
    if (words_has(words, "--nx") && words_has(words, "--xx")) {
        return cli_fail(cli, EXIT_USAGE, "one of --nx and --xx");
    }
    if (conditional && (words_has(words, "--swr") || words_has(words, "--sie") ||
                        words_has(words, "--tag") || words_has(words, "--seq"))) {
        return cli_fail(cli, EXIT_USAGE, "--nx and --xx go with --ttl only");
    }
    enum exit_code code = contract_write(cli, &options);
    if (code == EXIT_FINE) {
        code = set(cli, &options);
        contract_done(&options);
    }
    return code;
}

/* --- del ----------------------------------------------------------------------------------------------------------- */

enum exit_code cmd_del(struct cli *cli)
{
    const struct terrace_write_options options = {
        .timeout_ms = cli->timeout_ms, .error = cli->error, .error_size = sizeof cli->error};
    enum exit_code code = cli_open(cli);
    size_t count = 0;
    for (size_t i = 0; i < cli->words.argument_count && code == EXIT_FINE; i++) {
        const struct slice key = slice_of(cli->words.arguments[i]);
        const enum terrace_status status = terrace_delete(cli->all, key.data, key.size, &options);
        count += status == TERRACE_OK;
        if (status != TERRACE_OK && status != TERRACE_MISS) {
            code = cli_fail_status(cli, status, key.data, cli->error);
        }
    }
    if (code != EXIT_FINE) {
        return code;
    }
    code = count > 0 ? EXIT_FINE : EXIT_FAILED;
    if (cli->json) {
        return cli_print_json(cli, json_pack("{s:I}", "deleted", (json_int_t)count), code);
    }
    char line[32];
    (void)snprintf(line, sizeof line, "%zu\n", count);
    return cli_print(cli, slice_of(line), code);
}

/* --- invalidate ---------------------------------------------------------------------------------------------------- */

static enum exit_code tell_invalidated(struct cli *cli, const struct terrace_invalidation *what,
                                       const struct terrace_invalidated *result)
{
    if (cli->json) {
        return cli_print_json(cli,
                              json_pack("{s:I,s:I,s:b}", "seq", (json_int_t)result->seq, "count",
                                        (json_int_t)result->dropped, "dry_run", what->dry_run),
                              EXIT_FINE);
    }
    char line[96];
    (void)snprintf(line, sizeof line,
                   what->dry_run ? "would end %" PRIu64 " values\n"
                                 : "%" PRIu64 " values, seq %" PRIu64 "\n",
                   result->dropped, result->seq);
    return cli_print(cli, slice_of(line), EXIT_FINE);
}

static enum exit_code read_target(struct cli *cli, enum terrace_target *ret_target)
{
    static const struct {
        const char *name;
        enum terrace_target target;
    } targets[] = {{"key", TERRACE_KEY},
                   {"tag", TERRACE_TAG},
                   {"prefix", TERRACE_PREFIX},
                   {"pattern", TERRACE_PATTERN},
                   {"all", TERRACE_ALL}};
    const char *word = cli->words.arguments[0];
    for (size_t i = 0; i < sizeof targets / sizeof targets[0]; i++) {
        if (strcmp(word, targets[i].name) == 0) {
            *ret_target = targets[i].target;
            const bool needs = targets[i].target != TERRACE_ALL;
            if (needs != (cli->words.argument_count > 1)) {
                return cli_fail(cli, EXIT_USAGE, needs ? "%s: which?" : "%s takes no word", word);
            }
            return EXIT_FINE;
        }
    }
    return cli_fail(cli, EXIT_USAGE, "expected key, tag, prefix, pattern or all, not '%s'", word);
}

enum exit_code cmd_invalidate(struct cli *cli)
{
    struct terrace_invalidation what = {
        .words = cli->words.arguments + 1,
        .count = cli->words.argument_count - 1,
        .match_all = words_has(&cli->words, "--all-of"),
        .soft = words_has(&cli->words, "--soft"),
        .dry_run = words_has(&cli->words, "--dry-run"),
        .sync_ms = words_number(&cli->words, "--sync", 0),
        .ns = words_text(&cli->words, "--ns"),
    };
    enum exit_code code = read_target(cli, &what.target);
    if (code == EXIT_FINE && what.match_all && what.target != TERRACE_TAG) {
        code = cli_fail(cli, EXIT_USAGE, "--all-of is for tags");
    }
    if (code == EXIT_FINE) {
        code = cli_open(cli);
    }
    if (code != EXIT_FINE) {
        return code;
    }
    /* A sweep takes as long as L2 has keys; the node waits for the others besides. */
    const bool is_sweep = what.target == TERRACE_PREFIX || what.target == TERRACE_PATTERN;
    const bool is_given = words_has(&cli->words, "--timeout");
    what.timeout_ms = is_sweep && !is_given ? INT64_C(3600000) : cli->timeout_ms + what.sync_ms;
    struct terrace_invalidated result = {0};
    char error[TERRACE_ERROR_SIZE] = "";
    const enum terrace_status status =
        terrace_invalidate(cli->all, &what, &result, error, sizeof error);
    if (status == TERRACE_OK) {
        return tell_invalidated(cli, &what, &result);
    }
    const char *const word = cli->words.arguments[0];
    return status == TERRACE_UNKNOWN &&
                   strncmp(error, "STALE", 5) == 0 /* --sync, and the node says so */
               ? cli_fail(cli, EXIT_FAILED, "%s: %s", word, error)
               : cli_fail_status(cli, status, word, error);
}
