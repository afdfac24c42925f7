/* SPDX-License-Identifier: BSD-3-Clause */
#include "client/cli/warm_words.h"

#include "client/cli/json.h"
#include "client/cli/slurp.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Options that are a source: their names in the job. */
static const struct {
    const char *option;
    const char *name;
    bool is_number;
} sources[] = {
    {"--pattern", "pattern", false}, {"--tag", "tag", false},           {"--hot", "hot", true},
    {"--set", "set", false},         {"--zset", "zset", false},         {"--file", "file", false},
    {"--log", "log", false},         {"--snapshot", "snapshot", false}, {"--keys", "keys", false},
};

/* Options beside it that go into the job as they are. */
static const struct {
    const char *option;
    const char *name;
    bool is_number;
} rest[] = {
    {"--priority", "priority", true},
    {"--rate", "rate", true},
    {"--bytes", "bytes", true},
    {"--mode", "mode", false},
    {"--target", "target", false},
    {"--schedule", "schedule", false},
    {"--db", "db", true},
    {"--before-expiry", "before_expiry", false},
};

/* Those that are changed on their way. */
static const char *const others[] = {"--top", "--deadline", "--dry-run"};

const char *warm_words_option(const struct words *words)
{
    const char *found = NULL;
    for (size_t i = 0; i < sizeof sources / sizeof sources[0] && found == NULL; i++) {
        found = words_has(words, sources[i].option) ? sources[i].option : NULL;
    }
    for (size_t i = 0; i < sizeof rest / sizeof rest[0] && found == NULL; i++) {
        const bool is_of_all = strcmp(rest[i].option, "--db") == 0;
        found = !is_of_all && words_has(words, rest[i].option) ? rest[i].option : NULL;
    }
    for (size_t i = 0; i < sizeof others / sizeof others[0] && found == NULL; i++) {
        found = words_has(words, others[i]) ? others[i] : NULL;
    }
    return found;
}

static json_t *value_of(const struct words *words, const char *option, bool is_number)
{
    return is_number ? json_integer(words_number(words, option, 0))
                     : json_bytes(slice_of(words_text(words, option)));
}

/* The arguments behind `submit`. */
static json_t *keys_of(const struct words *words)
{
    json_t *keys = json_array();
    for (size_t i = 1; i < words->argument_count; i++) {
        (void)json_array_append_new(keys, json_bytes(slice_of(words->arguments[i])));
    }
    return keys;
}

/* NULL: `error` says why, or there is no memory. */
static json_t *source_of(const struct words *words, char error[WARM_WORDS_ERROR_MAX])
{
    json_t *source = json_object();
    for (size_t i = 0; i < sizeof sources / sizeof sources[0]; i++) {
        if (!words_has(words, sources[i].option)) {
            continue;
        }
        const bool are_keys = strcmp(sources[i].name, "keys") == 0;
        json_t *value =
            are_keys ? keys_of(words) : value_of(words, sources[i].option, sources[i].is_number);
        (void)json_object_set_new(source, sources[i].name, value);
        if (!are_keys && words->argument_count > 1) {
            (void)snprintf(error, WARM_WORDS_ERROR_MAX, "what is '%s'? Keys stand behind --keys",
                           words->arguments[1]);
        }
    }
    const size_t count = json_object_size(source);
    if (count != 1) {
        (void)snprintf(error, WARM_WORDS_ERROR_MAX,
                       "expected the job as JSON, or one of --keys, --pattern, --tag, --hot, "
                       "--set, --zset, --file, --log, --snapshot");
    }
    if (words_has(words, "--top")) {
        (void)json_object_set_new(source, "n", json_integer(words_number(words, "--top", 0)));
    }
    if (error[0] != '\0') {
        json_decref(source);
        return NULL;
    }
    return source;
}

static enum status from_options(const struct words *words, struct buf *to,
                                char error[WARM_WORDS_ERROR_MAX])
{
    json_t *source = source_of(words, error);
    if (source == NULL) {
        return error[0] != '\0' ? INVALID : NO_MEMORY;
    }
    json_t *job = json_pack("{s:o}", "source", source);
    for (size_t i = 0; i < sizeof rest / sizeof rest[0]; i++) {
        if (words_has(words, rest[i].option)) {
            (void)json_object_set_new(job, rest[i].name,
                                      value_of(words, rest[i].option, rest[i].is_number));
        }
    }
    if (words_has(words, "--deadline")) {
        const int64_t ms = words_number(words, "--deadline", 0);
        (void)json_object_set_new(job, "deadline", json_integer((ms + 999) / 1000));
    }
    if (words_has(words, "--dry-run")) {
        (void)json_object_set_new(job, "dryrun", json_true());
    }
    char *text = job == NULL ? NULL : json_dumps(job, JSON_COMPACT);
    const enum status status = text == NULL ? NO_MEMORY : buf_append_slice(to, slice_of(text));
    free(text);
    json_decref(job);
    return status;
}

enum status warm_words_json(const struct words *words, struct buf *to,
                            char error[WARM_WORDS_ERROR_MAX])
{
    error[0] = '\0';
    const bool has_text = words->argument_count == 2 && !words_has(words, "--keys");
    if (!has_text) {
        return from_options(words, to, error);
    }
    const char *option = words_has(words, "--db") ? "--db" : warm_words_option(words);
    if (option != NULL) { /* it would not be in the job, and nobody would be told */
        (void)snprintf(error, WARM_WORDS_ERROR_MAX, "either JSON or %s", option);
        return INVALID;
    }
    const char *text = words->arguments[1];
    if (strcmp(text, "-") != 0) {
        return buf_append_slice(to, slice_of(text));
    }
    const enum status status = slurp(STDIN_FILENO, to);
    if (status != OK && status != NO_MEMORY) {
        (void)snprintf(error, WARM_WORDS_ERROR_MAX, "standard input cannot be read");
        return INVALID;
    }
    return status;
}
