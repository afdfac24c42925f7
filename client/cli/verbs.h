/* SPDX-License-Identifier: BSD-3-Clause */
/* verbs.h -- the table of verbs. The dispatch, --help, the help of each verb and the completions of the shells are all made
 * from it; a new verb is a line in verbs.c and a handler. */
#ifndef TERRACE_CLIENT_CLI_VERBS_H
#define TERRACE_CLIENT_CLI_VERBS_H

#include "client/cli/exit_code.h"
#include "client/cli/words.h"

struct cli;

/* What an argument is, for completions. */
enum argument_kind {
    ARGUMENT_NONE,
    ARGUMENT_TEXT,   /* nothing can be proposed */
    ARGUMENT_CHOICE, /* the first is one of `choices` */
    ARGUMENT_FILE
};

enum {
    ARGUMENTS_ANY = 1 << 20
};

struct verb {
    const char *name;
    const char *arguments; /* as in the help */
    size_t least;
    size_t most;
    enum argument_kind kind;
    const char *choices; /* with ARGUMENT_CHOICE: words between spaces */
    const struct option_spec *options;
    const char *summary;
    const char *details; /* lines of the help behind the options, or "" */
    bool is_raw;         /* reads its words itself */
    enum exit_code (*run)(struct cli *cli);
};

/* The i-th; NULL: no more. */
const struct verb *verb_at(size_t i);
const struct verb *verb_find(const char *name); /* NULL: there is none */
extern const struct option_spec global_options[];

#endif
