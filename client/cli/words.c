/* SPDX-License-Identifier: BSD-3-Clause */
#include "client/cli/words.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum status words_time_ms(const char *text, int64_t *ret_ms)
{
    static const struct {
        const char *name;
        int64_t ms;
    } units[] = {{"ms", 1}, {"s", 1000}, {"m", 60000}, {"h", 3600000}, {"d", 86400000}, {"", 1}};
    const size_t digits = strspn(text, "0123456789");
    uint64_t number = 0;
    if (slice_to_u64((struct slice){text, digits}, &number) != OK) {
        return INVALID;
    }
    for (size_t i = 0; i < sizeof units / sizeof units[0]; i++) {
        if (strcmp(text + digits, units[i].name) == 0) {
            if (number > (uint64_t)(INT64_MAX / units[i].ms)) {
                return INVALID;
            }
            *ret_ms = (int64_t)number * units[i].ms;
            return OK;
        }
    }
    return INVALID;
}

/* --- one option ---------------------------------------------------------------------------------------------------- */

/* What `word` names, and where its value begins if it stands in the same word. */
static const struct option_spec *spec_of(const struct option_spec *specs, const char *word,
                                         const char **ret_value)
{
    for (const struct option_spec *spec = specs; spec != NULL && spec->name != NULL; spec++) {
        const size_t size = strlen(spec->name);
        if (strncmp(word, spec->name, size) == 0 && (word[size] == '\0' || word[size] == '=')) {
            *ret_value = word[size] == '=' ? word + size + 1 : NULL;
            return spec;
        }
        if (spec->letter != '\0' && word[1] == spec->letter) {
            if (spec->kind == OPTION_FLAG && word[2] != '\0') {
                continue;
            }
            *ret_value = word[2] == '\0' ? NULL : word + 2;
            return spec;
        }
    }
    return NULL;
}

static enum status refuse(struct words *words, const char *name, const char *what, const char *text)
{
    (void)snprintf(words->error, sizeof words->error, "%s: %s%s%s%s", name, what,
                   text == NULL ? "" : ", not '", text == NULL ? "" : text,
                   text == NULL ? "" : "'");
    return INVALID;
}

static enum status value_read(struct words *words, struct option_given *given)
{
    const struct option_spec *spec = given->spec;
    uint64_t number = 0;
    switch (spec->kind) {
    case OPTION_FLAG:
    case OPTION_TEXT:
    case OPTION_LIST: return OK;
    case OPTION_TIME:
        return words_time_ms(given->text, &given->number) == OK
                   ? OK
                   : refuse(words, spec->name, "expected a time like 250ms or 2s", given->text);
    case OPTION_NUMBER:
        if (slice_to_u64(slice_of(given->text), &number) != OK || number > INT64_MAX) {
            return refuse(words, spec->name, "expected a whole number", given->text);
        }
        given->number = (int64_t)number;
        return OK;
    }
    return INVALID;
}

static enum status option_add(struct words *words, const struct option_given *given)
{
    struct option_given *grown = realloc(words->options, (words->option_count + 1) * sizeof *grown);
    if (grown == NULL) {
        return NO_MEMORY;
    }
    words->options = grown;
    grown[words->option_count++] = *given;
    return OK;
}

/* argv[*at] begins with a dash. */
static enum status option_read(struct words *words, int argc, const char *const *argv, int *at,
                               const struct option_spec *first, const struct option_spec *second)
{
    const char *word = argv[*at];
    struct option_given given = {0};
    given.spec = spec_of(first, word, &given.text);
    if (given.spec == NULL) {
        given.spec = spec_of(second, word, &given.text);
    }
    if (given.spec == NULL) {
        return refuse(words, word, "unknown option; --help lists them", NULL);
    }
    if (given.spec->kind == OPTION_FLAG && given.text != NULL) {
        return refuse(words, given.spec->name, "takes no value", given.text);
    }
    if (given.spec->kind != OPTION_FLAG && given.text == NULL) {
        if (*at + 1 == argc) {
            return refuse(words, given.spec->name, "a value must follow", NULL);
        }
        given.text = argv[++*at];
    }
    const enum status status = value_read(words, &given);
    return status == OK ? option_add(words, &given) : status;
}

/* --- all ----------------------------------------------------------------------------------------------------------- */

static enum status argument_add(struct words *words, const char *word)
{
    const char **grown =
        realloc(words->arguments, (words->argument_count + 2) * sizeof *words->arguments);
    if (grown == NULL) {
        return NO_MEMORY;
    }
    words->arguments = grown;
    grown[words->argument_count++] = word;
    grown[words->argument_count] = NULL;
    return OK;
}

enum status words_read(struct words *words, int argc, const char *const *argv,
                       const struct option_spec *first, const struct option_spec *second,
                       bool stops)
{
    bool only_arguments = false;
    enum status status = OK;
    int at = 0;
    for (; at < argc && status == OK; at++) {
        const char *word = argv[at];
        const bool is_option = !only_arguments && word[0] == '-' && word[1] != '\0';
        if (is_option && strcmp(word, "--") == 0) {
            only_arguments = true;
        } else if (is_option) {
            status = option_read(words, argc, argv, &at, first, second);
        } else if (stops) {
            break;
        } else {
            status = argument_add(words, word);
        }
    }
    words->used = at;
    if (status == NO_MEMORY) {
        (void)snprintf(words->error, sizeof words->error, "out of memory");
    }
    return status;
}

void words_done(struct words *words)
{
    free(words->arguments);
    free(words->options);
    *words = (struct words){0};
}

/* The last one given by this name; NULL: none. */
static const struct option_given *words_option(const struct words *words, const char *name)
{
    for (size_t i = words->option_count; i > 0; i--) {
        if (strcmp(words->options[i - 1].spec->name, name) == 0) {
            return &words->options[i - 1];
        }
    }
    return NULL;
}

bool words_has(const struct words *words, const char *name)
{
    return words_option(words, name) != NULL;
}

const char *words_text(const struct words *words, const char *name)
{
    const struct option_given *given = words_option(words, name);
    return given == NULL ? NULL : given->text;
}

int64_t words_number(const struct words *words, const char *name, int64_t preset)
{
    const struct option_given *given = words_option(words, name);
    return given == NULL ? preset : given->number;
}
