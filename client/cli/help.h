/* SPDX-License-Identifier: BSD-3-Clause */
/* help.h -- what --help prints, and what shells complete by: all made from the table of verbs. */
#ifndef TERRACE_CLIENT_CLI_HELP_H
#define TERRACE_CLIENT_CLI_HELP_H

#include "client/cli/verbs.h"

#include <stdio.h>

void help_print(FILE *out);
void help_print_verb(FILE *out, const struct verb *verb);

/* A script for bash or zsh. */
void completions_bash(FILE *out);
void completions_zsh(FILE *out);

#endif
