/* SPDX-License-Identifier: BSD-3-Clause */
/* The scripts for shells are data from the table of verbs around a fixed part: which verb stands in the line, which of its
 * options takes a value, and what the first argument may be. */
#include "client/cli/help.h"

#include <string.h>

/* The names of the options, or only of those that take a value, between spaces. */
static void print_names(FILE *out, const struct option_spec *options, bool with_value_only)
{
    for (const struct option_spec *one = options; one != NULL && one->name != NULL; one++) {
        if (with_value_only && one->kind == OPTION_FLAG) {
            continue;
        }
        (void)fprintf(out, " %s", one->name);
        if (one->letter != '\0') {
            (void)fprintf(out, " -%c", one->letter);
        }
    }
}

static void print_verbs(FILE *out)
{
    const struct verb *verb;
    for (size_t i = 0; (verb = verb_at(i)) != NULL; i++) {
        (void)fprintf(out, "%s%s", i == 0 ? "" : " ", verb->name);
    }
}

/* A case of bash for each verb. */
static void print_bash_verbs(FILE *out)
{
    const struct verb *verb;
    for (size_t i = 0; (verb = verb_at(i)) != NULL; i++) {
        (void)fprintf(out, "        %s) options=\"", verb->name);
        print_names(out, verb->options, false);
        (void)fputs(" $globals\"; valued=\"", out);
        print_names(out, verb->options, true);
        (void)fprintf(out, " $global_valued\"; choices=\"%s\"; files=%d ;;\n",
                      verb->choices == NULL ? "" : verb->choices, verb->kind == ARGUMENT_FILE);
    }
}

static const char bash_head[] =
    "# Completion of terrace for bash; made by `terrace completions bash`.\n"
    "_terrace()\n"
    "{\n"
    "    local current=${COMP_WORDS[COMP_CWORD]} previous=\"\" verb=\"\" options valued choices=\"\" files=0 i word arguments=0\n";

static const char bash_walk[] =
    "    options=$globals valued=$global_valued\n"
    "    for ((i = 1; i < COMP_CWORD; i++)); do\n"
    "        word=${COMP_WORDS[i]}\n"
    "        if [[ $word == -* && \" $valued \" == *\" $word \"* ]]; then\n"
    "            ((i++))\n"
    "            [[ ${COMP_WORDS[i]} == = ]] && ((i++))\n"
    "        elif [[ $word == -?* ]]; then\n"
    "            :\n"
    "        elif [[ -n $verb ]]; then\n"
    "            ((arguments++))\n"
    "        else\n"
    "            verb=$word\n"
    "            case $verb in\n";

static const char bash_tail[] =
    "            esac\n"
    "        fi\n"
    "    done\n"
    "    previous=${COMP_WORDS[COMP_CWORD - 1]}\n"
    "    if [[ $previous == = ]]; then\n"
    "        previous=${COMP_WORDS[COMP_CWORD - 2]}\n"
    "    fi\n"
    "    COMPREPLY=()\n"
    "    if [[ \" $valued \" == *\" $previous \"* ]]; then\n"
    "        case $previous in\n"
    "            --color) COMPREPLY=($(compgen -W \"auto always never\" -- \"$current\")) ;;\n"
    "            --sort | -s) COMPREPLY=($(compgen -W \"ops hits bytes name\" -- \"$current\")) ;;\n"
    "            --ca | --cert | --key) COMPREPLY=($(compgen -f -- \"$current\")) ;;\n"
    "        esac\n"
    "    elif [[ $current == -* ]]; then\n"
    "        COMPREPLY=($(compgen -W \"$options\" -- \"$current\"))\n"
    "    elif [[ -z $verb ]]; then\n"
    "        COMPREPLY=($(compgen -W \"$verbs\" -- \"$current\"))\n"
    "    elif ((files)); then\n"
    "        COMPREPLY=($(compgen -f -- \"$current\"))\n"
    "    elif ((arguments == 0)); then\n"
    "        COMPREPLY=($(compgen -W \"$choices\" -- \"$current\"))\n"
    "    fi\n"
    "}\n"
    "complete -F _terrace terrace\n";

void completions_bash(FILE *out)
{
    (void)fputs(bash_head, out);
    (void)fputs("    local verbs=\"", out);
    print_verbs(out);
    (void)fputs("\"\n    local globals=\"", out);
    print_names(out, global_options, false);
    (void)fputs("\"\n    local global_valued=\"", out);
    print_names(out, global_options, true);
    (void)fputs("\"\n", out);
    (void)fputs(bash_walk, out);
    print_bash_verbs(out);
    (void)fputs(bash_tail, out);
}

/* --- zsh ----------------------------------------------------------------------------------------------------------- */

/* Text inside of '...[here]': what zsh would read as its own is taken away. */
static void print_quoted(FILE *out, const char *text)
{
    for (; *text != '\0'; text++) {
        if (*text == '\'') {
            (void)fputs("'\\''", out);
        } else if (strchr("[]:\\", *text) != NULL) {
            (void)fprintf(out, "\\%c", *text);
        } else {
            (void)fputc(*text, out);
        }
    }
}

static void print_zsh_action(FILE *out, const struct option_spec *option)
{
    if (strcmp(option->name, "--color") == 0) {
        (void)fputs(":when:(auto always never)", out);
    } else if (strcmp(option->name, "--sort") == 0) {
        (void)fputs(":field:(ops hits bytes name)", out);
    } else if (option->value != NULL && strcmp(option->value, "FILE") == 0) {
        (void)fputs(":file:_files", out);
    } else if (option->kind != OPTION_FLAG) {
        (void)fputs(":", out);
        print_quoted(out, option->value);
        (void)fputs(": ", out);
    }
}

static void print_zsh_options(FILE *out, const struct option_spec *options, const char *indent)
{
    for (const struct option_spec *one = options; one != NULL && one->name != NULL; one++) {
        for (int letter = 0; letter <= (one->letter != '\0'); letter++) {
            (void)fprintf(out, "%s'", indent);
            if (one->kind == OPTION_LIST) {
                (void)fputc('*', out);
            }
            if (letter == 1) {
                (void)fprintf(out, "-%c[", one->letter);
            } else {
                (void)fprintf(out, "%s%s[", one->name, one->kind == OPTION_FLAG ? "" : "=");
            }
            print_quoted(out, one->summary == NULL ? "" : one->summary);
            (void)fputc(']', out);
            print_zsh_action(out, one);
            (void)fputs("'\n", out);
        }
    }
}

static void print_zsh_verb(FILE *out, const struct verb *verb)
{
    (void)fprintf(out, "        %s) options=(\n", verb->name);
    print_zsh_options(out, verb->options, "            ");
    if (verb->kind == ARGUMENT_CHOICE) {
        (void)fprintf(out, "            '1:what:(%s)'\n", verb->choices);
        (void)fputs("            '*:word: '\n", out);
    } else if (verb->kind == ARGUMENT_FILE) {
        (void)fputs("            '*:file:_files'\n", out);
    } else if (verb->kind == ARGUMENT_TEXT) {
        (void)fputs("            '*:word: '\n", out);
    }
    (void)fputs("            ) ;;\n", out);
}

void completions_zsh(FILE *out)
{
    const struct verb *verb;
    (void)fputs("#compdef terrace\n"
                "# Completion of terrace for zsh; made by `terrace completions zsh`.\n"
                "_terrace()\n"
                "{\n"
                "    local -a globals verbs options\n"
                "    local state line context\n"
                "    typeset -A opt_args\n"
                "    globals=(\n",
                out);
    print_zsh_options(out, global_options, "        ");
    (void)fputs("    )\n    verbs=(\n", out);
    for (size_t i = 0; (verb = verb_at(i)) != NULL; i++) {
        (void)fprintf(out, "        '%s:", verb->name);
        print_quoted(out, verb->summary);
        (void)fputs("'\n", out);
    }
    (void)fputs("    )\n"
                "    _arguments -C $globals '1:verb:->verb' '*::argument:->argument' && return\n"
                "    case $state in\n"
                "    verb) _describe verb verbs ;;\n"
                "    argument)\n"
                "        case $words[1] in\n",
                out);
    for (size_t i = 0; (verb = verb_at(i)) != NULL; i++) {
        print_zsh_verb(out, verb);
    }
    (void)fputs("        esac\n"
                "        _arguments $globals $options ;;\n"
                "    esac\n"
                "}\n"
                "_terrace \"$@\"\n",
                out);
}
