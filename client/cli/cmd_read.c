/* SPDX-License-Identifier: BSD-3-Clause */
#include "client/cli/commands.h"
#include "client/cli/contract.h"

#include <stdlib.h>

/* The value as it is, and a newline. */
static enum exit_code print_value(struct cli *cli, const struct terrace_value *value)
{
    const enum exit_code code = cli_print(cli, (struct slice){value->data, value->size}, EXIT_FINE);
    return code == EXIT_FINE ? cli_print(cli, SLICE_LITERAL("\n"), EXIT_FINE) : code;
}

enum exit_code cmd_get(struct cli *cli)
{
    struct terrace_read_options options;
    struct terrace_value value = {0};
    const struct slice key = slice_of(cli->words.arguments[0]);
    enum exit_code code = contract_read(cli, &options);
    if (code == EXIT_FINE) {
        code = cli_open(cli);
    }
    if (code != EXIT_FINE) {
        return code;
    }
    const enum terrace_status status = terrace_get(cli->all, key.data, key.size, &options, &value);
    if (contract_failed(status, &value)) {
        code = contract_fail(cli, key.data, status, &value);
    } else if (cli->json) {
        code = cli_print_json(cli, contract_json(key, status, &value), cli_exit_of(status));
    } else {
        if (words_has(&cli->words, "--verbose")) {
            contract_tell(status, &value);
        }
        code = contract_has_value(status, &value) ? print_value(cli, &value) : EXIT_FAILED;
    }
    terrace_value_done(&value);
    return code;
}

/* --- several ------------------------------------------------------------------------------------------------------- */

static enum exit_code print_pairs_json(struct cli *cli, const struct terrace_pair *pairs,
                                       size_t count, enum exit_code code)
{
    json_t *values = json_array();
    for (size_t i = 0; values != NULL && i < count; i++) {
        const struct slice key = {pairs[i].key, pairs[i].key_size};
        (void)json_array_append_new(values, contract_json(key, pairs[i].status, &pairs[i].value));
    }
    return cli_print_json(cli, json_pack("{s:o}", "values", values), code);
}

static enum exit_code print_pairs(struct cli *cli, const struct terrace_pair *pairs, size_t count,
                                  enum exit_code code)
{
    struct buf text = {0};
    enum status status = OK;
    for (size_t i = 0; i < count && status == OK; i++) {
        if (contract_has_value(pairs[i].status, &pairs[i].value)) {
            status = buf_append(&text, pairs[i].key, pairs[i].key_size);
            status = status == OK ? buf_append(&text, "\t", 1) : status;
            status =
                status == OK ? buf_append(&text, pairs[i].value.data, pairs[i].value.size) : status;
            status = status == OK ? buf_append(&text, "\n", 1) : status;
        }
    }
    code = status == OK ? cli_print(cli, buf_slice(&text), code)
                        : cli_fail(cli, EXIT_FAILED, "out of memory");
    buf_done(&text);
    return code;
}

static enum exit_code tell_pairs(struct cli *cli, const struct terrace_pair *pairs, size_t count)
{
    enum exit_code code = EXIT_FAILED;
    for (size_t i = 0; i < count; i++) {
        if (contract_failed(pairs[i].status, &pairs[i].value)) {
            return contract_fail(cli, pairs[i].key, pairs[i].status, &pairs[i].value);
        }
        if (contract_has_value(pairs[i].status, &pairs[i].value)) {
            code = EXIT_FINE;
        }
    }
    return cli->json ? print_pairs_json(cli, pairs, count, code)
                     : print_pairs(cli, pairs, count, code);
}

enum exit_code cmd_mget(struct cli *cli)
{
    struct terrace_read_options options;
    const size_t count = cli->words.argument_count;
    enum exit_code code = contract_read(cli, &options);
    if (code == EXIT_FINE) {
        code = cli_open(cli);
    }
    if (code != EXIT_FINE) {
        return code;
    }
    struct terrace_pair *pairs = calloc(count, sizeof *pairs);
    if (pairs == NULL) {
        return cli_fail(cli, EXIT_FAILED, "out of memory");
    }
    for (size_t i = 0; i < count; i++) {
        const struct slice key = slice_of(cli->words.arguments[i]);
        pairs[i].key = key.data;
        pairs[i].key_size = key.size;
    }
    const enum terrace_status status = terrace_mget(cli->all, pairs, count, &options);
    code = status == TERRACE_OK ? tell_pairs(cli, pairs, count)
                                : cli_fail_status(cli, status, "mget", cli->error);
    for (size_t i = 0; i < count; i++) {
        terrace_value_done(&pairs[i].value);
    }
    free(pairs);
    return code;
}
