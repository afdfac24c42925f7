/* SPDX-License-Identifier: BSD-3-Clause */
#include "client/cli/contract.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

enum exit_code contract_read(struct cli *cli, struct terrace_read_options *ret_options)
{
    const struct words *words = &cli->words;
    const bool max = words_has(words, "--max-stale");
    const bool fresh = words_has(words, "--fresh");
    const bool any = words_has(words, "--any");
    if (max + fresh + any > 1) {
        return cli_fail(cli, EXIT_USAGE, "one of --max-stale, --fresh and --any");
    }
    *ret_options = (struct terrace_read_options){
        .timeout_ms = cli->timeout_ms,
        .contract = max     ? TERRACE_CONTRACT_MAXSTALE
                    : fresh ? TERRACE_CONTRACT_FRESH
                    : any   ? TERRACE_CONTRACT_ANY
                            : TERRACE_CONTRACT_NAMESPACE,
        .max_stale_ms = words_number(words, "--max-stale", 0),
        .atleast_seq = (uint64_t)words_number(words, "--atleast", 0),
        .soft_ms = words_number(words, "--soft", 0),
        .no_near = 1,
        .error = cli->error,
        .error_size = sizeof cli->error,
    };
    return EXIT_FINE;
}

/* Of the library, 0 is the namespace's own and -1 none; of the command line, 0 is none. */
static int64_t life_of(const struct words *words, const char *name)
{
    const int64_t ms = words_number(words, name, -1);
    return ms < 0 ? 0 : ms == 0 ? -1 : ms;
}

enum exit_code contract_write(struct cli *cli, struct terrace_write_options *ret_options)
{
    const struct words *words = &cli->words;
    const char **tags = calloc(words->option_count + 1, sizeof *tags);
    size_t count = 0;
    if (tags == NULL) {
        return cli_fail(cli, EXIT_FAILED, "out of memory");
    }
    for (size_t i = 0; i < words->option_count; i++) {
        if (strcmp(words->options[i].spec->name, "--tag") == 0) {
            tags[count++] = words->options[i].text;
        }
    }
    *ret_options = (struct terrace_write_options){
        .timeout_ms = cli->timeout_ms,
        .ttl_ms = words_number(words, "--ttl", 0),
        .swr_ms = life_of(words, "--swr"),
        .sie_ms = life_of(words, "--sie"),
        .tags = tags,
        .tag_count = count,
        .error = cli->error,
        .error_size = sizeof cli->error,
    };
    if (words_has(words, "--ttl") && ret_options->ttl_ms == 0) {
        contract_done(ret_options);
        return cli_fail(cli, EXIT_USAGE, "--ttl: expected 1ms or more");
    }
    return EXIT_FINE;
}

void contract_done(struct terrace_write_options *options)
{
    free((void *)(uintptr_t)options->tags);
    options->tags = NULL;
}

bool contract_has_value(enum terrace_status status, const struct terrace_value *value)
{
    return value->data != NULL &&
           (status == TERRACE_OK || status == TERRACE_STALE || status == TERRACE_LOAD);
}

bool contract_failed(enum terrace_status status, const struct terrace_value *value)
{
    switch (status) {
    case TERRACE_OK:
    case TERRACE_STALE:
    case TERRACE_NEGATIVE:
    case TERRACE_LOAD: return false;
    case TERRACE_MISS:
        return value->reason != TERRACE_REASON_ABSENT && value->reason != TERRACE_REASON_NONE;
    case TERRACE_LOST:
    case TERRACE_UNMET:
    case TERRACE_UNKNOWN:
    case TERRACE_DEADLINE:
    case TERRACE_UNREACHABLE:
    case TERRACE_BUSY:
    case TERRACE_DENIED:
    case TERRACE_REFUSED:
    case TERRACE_BAD_ARGUMENT:
    case TERRACE_NO_MEMORY:
    case TERRACE_CLOSED: return true;
    }
    return true;
}

enum exit_code contract_fail(struct cli *cli, const char *key, enum terrace_status status,
                             const struct terrace_value *value)
{
    if (value->reason == TERRACE_REASON_CONTRACT) {
        return cli_fail(
            cli, EXIT_FAILED,
            "%s: the node cannot prove it as fresh as that now; --any takes what it has", key);
    }
    return cli_fail_status(cli, status, key, cli->error);
}

static void age_text(char dst[FIGURE_MAX], int64_t ms)
{
    if (ms < 0) {
        (void)snprintf(dst, FIGURE_MAX, "-");
    } else {
        (void)text_duration(dst, (double)ms / 1000);
    }
}

void contract_tell(enum terrace_status status, const struct terrace_value *value)
{
    char age[FIGURE_MAX];
    char ttl[FIGURE_MAX];
    age_text(age, value->age_ms);
    age_text(ttl, value->ttl_ms);
    (void)fprintf(stderr, "%s, age %s, ttl %s, %zu bytes\n", terrace_status_name(status), age,
                  value->ttl_ms == -1 ? "none" : ttl, value->size);
}

json_t *contract_json(struct slice key, enum terrace_status status,
                      const struct terrace_value *value)
{
    json_t *object = json_pack("{s:s}", "status", terrace_status_name(status));
    if (object == NULL) {
        return NULL;
    }
    (void)json_object_set_new(object, "key", json_bytes(key));
    if (value->reason != TERRACE_REASON_NONE) {
        (void)json_object_set_new(object, "reason",
                                  json_string(terrace_reason_name(value->reason)));
    }
    const bool has_value = contract_has_value(status, value);
    (void)json_object_set_new(object, "value",
                              has_value ? json_bytes((struct slice){value->data, value->size})
                                        : json_null());
    if (has_value) {
        (void)json_object_set_new(object, "age_ms", json_integer(value->age_ms));
        (void)json_object_set_new(object, "ttl_ms", json_integer(value->ttl_ms));
    }
    return object;
}
