/* SPDX-License-Identifier: BSD-3-Clause */
#include "client/cli/help.h"

#include <string.h>

enum {
    NAME_WIDTH = 24
};

static void print_options(FILE *out, const struct option_spec *options)
{
    for (const struct option_spec *one = options; one != NULL && one->name != NULL; one++) {
        if (one->summary == NULL) {
            continue;
        }
        char name[64];
        const bool has_letter = one->letter != '\0';
        (void)snprintf(name, sizeof name, "%s%c%s%s%s%s", has_letter ? "-" : "",
                       has_letter ? one->letter : ' ', has_letter ? ", " : "", one->name,
                       one->value == NULL ? "" : " ", one->value == NULL ? "" : one->value);
        (void)fprintf(out, "  %-*s %s\n", NAME_WIDTH, has_letter ? name : name + 1, one->summary);
    }
}

void help_print(FILE *out)
{
    const struct verb *verb;
    (void)fputs("Usage: terrace [OPTION]... VERB [ARGUMENT]...\n\n", out);
    for (size_t i = 0; (verb = verb_at(i)) != NULL; i++) {
        char name[64];
        (void)snprintf(name, sizeof name, "%s%s%s", verb->name,
                       verb->arguments[0] == '\0' ? "" : " ", verb->arguments);
        if (strlen(name) > NAME_WIDTH) {
            (void)snprintf(name, sizeof name, "%s ...", verb->name);
        }
        (void)fprintf(out, "  %-*s %s\n", NAME_WIDTH, name, verb->summary);
    }
    (void)fputs("\nOptions, in front of the verb or behind it:\n", out);
    print_options(out, global_options);
    (void)fputs(
        "\nEnvironment: TERRACE_PASSWORD, the password (others can read --password in the list of processes);\n"
        "NO_COLOR, no colours.\n"
        "Exit: 0 fine or warnings, 1 nil, refused or a failed check, 2 wrong usage, 3 no node answered, or no L2 behind it.\n"
        "`terrace VERB --help` tells more about a verb.\n",
        out);
}

void help_print_verb(FILE *out, const struct verb *verb)
{
    const bool has_options = verb->options != NULL && verb->options[0].name != NULL;
    (void)fprintf(out, "Usage: terrace [OPTION]... %s%s%s%s\n", verb->name,
                  has_options ? " [option]..." : "", verb->arguments[0] == '\0' ? "" : " ",
                  verb->arguments);
    (void)fprintf(out, "%s.\n", verb->summary);
    if (has_options) {
        (void)fputc('\n', out);
        print_options(out, verb->options);
    }
    if (verb->details[0] != '\0') {
        (void)fprintf(out, "\n%s", verb->details);
    }
    (void)fputs("\n`terrace --help` lists the options that all verbs take.\n", out);
}
