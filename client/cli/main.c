/* SPDX-License-Identifier: BSD-3-Clause */
/* terrace: the command line. Finds the verb and hands it the rest. */
#include "client/cli/cmd_check.h"

#include <stdio.h>
#include <string.h>

static const char help[] =
    "Usage: terrace [--json] VERB [argument]...\n"
    "\n"
    "  check FILE...  judge a recorded history: staleness, sessions, lost writes\n"
    "\n"
    "  --json         one JSON object instead of text\n"
    "  --help         this; behind a verb, more about it\n"
    "  --version      the version\n"
    "\n"
    "Exit: 0 fine, 1 a check failed, 2 wrong usage or input.\n";

static enum exit_code say(const char *what, const char *word)
{
    (void)fprintf(stderr, "terrace: %s '%s'; --help lists them\n", what, word);
    return EXIT_USAGE;
}

static enum exit_code run(int argc, char **argv)
{
    bool json = false;
    int at = 1;
    for (; at < argc && argv[at][0] == '-'; at++) {
        if (strcmp(argv[at], "--json") == 0) {
            json = true;
        } else if (strcmp(argv[at], "--help") == 0 || strcmp(argv[at], "-h") == 0) {
            (void)fputs(help, stdout);
            return EXIT_FINE;
        } else if (strcmp(argv[at], "--version") == 0) {
            (void)puts("terrace " TERRACE_VERSION);
            return EXIT_FINE;
        } else {
            return say("unknown option", argv[at]);
        }
    }
    if (at == argc) {
        (void)fputs(help, stderr);
        return EXIT_USAGE;
    }
    if (strcmp(argv[at], "check") == 0) {
        return cmd_check(argc - at - 1, argv + at + 1, json);
    }
    return say("no verb", argv[at]);
}

int main(int argc, char **argv)
{
    return (int)run(argc, argv);
}
