/* SPDX-License-Identifier: BSD-3-Clause */
/* options_help.h -- the sources of a node's settings: arguments, environment, and a file; and what is said of them. */
#ifndef TERRACE_TESTS_UNIT_OPTIONS_HELP_H
#define TERRACE_TESTS_UNIT_OPTIONS_HELP_H

#include "server/option_table.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

enum {
    ARGS_MAX = 8,
    WORD_MAX = 128
};

/* A node's sources: arguments, environment, and a file of its own if `text` is not NULL. */
struct sources {
    char path[64];
    char words[ARGS_MAX][WORD_MAX];
    char *argv[ARGS_MAX];
    int argc;
    char variables[ARGS_MAX][WORD_MAX];
    char *environment[ARGS_MAX];
    struct options options;
    char error[OPTIONS_ERROR_MAX];
};

static inline void sources_add(struct sources *sources, const char *arg)
{
    const int i = sources->argc++;
    assert_true(i + 1 < ARGS_MAX && strlen(arg) < WORD_MAX);
    sources->argv[i] = memcpy(sources->words[i], arg, strlen(arg) + 1);
}

static inline void sources_set_variable(struct sources *sources, unsigned i, const char *entry)
{
    assert_true(strlen(entry) < WORD_MAX);
    sources->environment[i] = memcpy(sources->variables[i], entry, strlen(entry) + 1);
}

static inline void sources_open(struct sources *sources, const char *text)
{
    *sources = (struct sources){.path = "/tmp/terrace-options-XXXXXX"};
    sources_add(sources, "terraced");
    if (text != NULL) {
        const int fd = mkstemp(sources->path);
        assert_true(fd >= 0);
        assert_int_equal(write(fd, text, strlen(text)), strlen(text));
        assert_int_equal(close(fd), 0);
        sources_add(sources, sources->path);
    }
}

static inline enum options_verdict sources_load(struct sources *sources)
{
    return options_load(&sources->options, sources->argc, sources->argv, sources->environment,
                        sources->error);
}

static inline void sources_done(struct sources *sources)
{
    options_done(&sources->options);
    (void)unlink(sources->path);
}

/* Loads `text` as a file and expects `error` after the file's name. */
static inline void check_file_error(const char *text, const char *error)
{
    struct sources sources;
    sources_open(&sources, text);
    assert_int_equal(sources_load(&sources), OPTIONS_WRONG);
    const size_t path_size = strlen(sources.path);
    assert_memory_equal(sources.error, sources.path, path_size);
    assert_string_equal(sources.error + path_size, error);
    sources_done(&sources);
}

static inline void check_flag_error(const char *flag, const char *value, const char *error)
{
    struct sources sources;
    sources_open(&sources, NULL);
    sources_add(&sources, flag);
    if (value != NULL) {
        sources_add(&sources, value);
    }
    assert_int_equal(sources_load(&sources), OPTIONS_WRONG);
    assert_string_equal(sources.error, error);
    sources_done(&sources);
}

static inline void check_get(const struct options *options, const char *name, const char *value)
{
    struct buf text = {.data = NULL};
    assert_int_equal(options_get(options, name, &text), OK);
    assert_int_equal(text.size, strlen(value));
    assert_memory_equal(text.size > 0 ? text.data : "", value, text.size);
    buf_done(&text);
}

/* Sets one option by flag and looks at what CONFIG GET would show. */
static inline void check_value(const char *flag, const char *value, const char *name,
                               const char *shown)
{
    struct sources sources;
    sources_open(&sources, NULL);
    sources_add(&sources, flag);
    sources_add(&sources, value);
    const enum options_verdict verdict = sources_load(&sources);
    if (verdict != OPTIONS_RUN) {
        print_error("%s\n", sources.error);
    }
    assert_int_equal(verdict, OPTIONS_RUN);
    check_get(&sources.options, name, shown);
    sources_done(&sources);
}

#endif
