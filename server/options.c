/* SPDX-License-Identifier: BSD-3-Clause */
#include "server/options.h"

#include "server/option_table.h"
#include "server/version.h"
#include "tiers/base/disk.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
    FILE_SIZE_MAX = 1 << 20,
    VARIABLE_MAX = 64 /* TERRACE_ and the longest name */
};

/* --- one option --------------------------------------------------------------------------------- */

const char *options_name(unsigned i)
{
    const struct option *option = option_at(i);
    return option != NULL ? option->name : NULL;
}

bool options_is_live(unsigned i)
{
    const struct option *option = option_at(i);
    return option != NULL && option->when == OPTION_LIVE;
}

enum status options_set(struct options *options, struct slice name, struct slice value,
                        bool running, char error[OPTIONS_ERROR_MAX])
{
    const struct option *option = option_find(name);
    if (option == NULL) {
        (void)snprintf(error, OPTIONS_ERROR_MAX, "unknown option");
        return INVALID;
    }
    if (running && option->when != OPTION_LIVE) {
        (void)snprintf(error, OPTIONS_ERROR_MAX, "can't set immutable config");
        return INVALID;
    }
    char reason[OPTION_REASON_MAX] = "out of memory";
    const enum status status = option_assign(options, option, value, reason);
    if (status != OK) {
        (void)snprintf(error, OPTIONS_ERROR_MAX, "%s", reason);
    }
    return status;
}

enum status options_get(const struct options *options, const char *name, struct buf *text)
{
    const struct option *option = option_find(slice_of(name));
    return option == NULL ? MISS : option_format(options, option, false, text);
}

/* --- all of them -------------------------------------------------------------------------------- */

void options_done(struct options *options)
{
    const struct option *option;
    for (unsigned i = 0; (option = option_at(i)) != NULL; i++) {
        if (option_is_text(option)) {
            free(*option_text_field(options, option));
        }
    }
    namespaces_drop(options);
    free(options->file);
    *options = (struct options){.file = NULL};
}

enum status options_copy(const struct options *from, struct options *ret)
{
    struct options copy = *from;
    bool whole = true;
    const struct option *option;
    for (unsigned i = 0; (option = option_at(i)) != NULL; i++) {
        if (option_is_text(option)) {
            char **field = option_text_field(&copy, option);
            *field = strdup(*field);
            whole = whole && *field != NULL;
        }
    }
    copy.file = from->file != NULL ? strdup(from->file) : NULL;
    whole = whole && (copy.file != NULL || from->file == NULL);
    whole = namespaces_copy(from, &copy) == OK && whole;
    if (!whole) {
        options_done(&copy);
        return NO_MEMORY;
    }
    *ret = copy;
    return OK;
}

/* A default that its own line of options.def refuses is a bug; it comes out as an error of every start. */
static enum status set_defaults(struct options *options, char error[OPTIONS_ERROR_MAX])
{
    *options = (struct options){.file = NULL};
    const struct option *option;
    for (unsigned i = 0; (option = option_at(i)) != NULL; i++) {
        char reason[OPTION_REASON_MAX] = "out of memory";
        const enum status status =
            option_assign(options, option, slice_of(option->fallback), reason);
        if (status != OK) {
            (void)snprintf(error, OPTIONS_ERROR_MAX, "default of '%s': %s", option->name, reason);
            return status;
        }
    }
    return OK;
}

/* --- sources ------------------------------------------------------------------------------------ */

static const char env_prefix[] = "TERRACE_";

/* What the command line asks for besides options. */
struct wishes {
    const char *file;
    bool help;
    bool version;
    bool check;
    bool print;
};

static enum status assign_from(struct options *options, const struct option *option,
                               struct slice value, enum option_source source, const char *where,
                               char error[OPTIONS_ERROR_MAX])
{
    char reason[OPTION_REASON_MAX] = "out of memory";
    const enum status status = option_assign(options, option, value, reason);
    if (status != OK) {
        (void)snprintf(error, OPTIONS_ERROR_MAX, "%.200s: %s", where, reason);
    }
    options->origins[option_index(option)] = (struct option_origin){.source = source};
    return status;
}

/* TERRACE_LISTEN_SOMETHING of listen-something. */
static void variable_of(const struct option *option, char ret[VARIABLE_MAX])
{
    (void)snprintf(ret, VARIABLE_MAX, "%s%s", env_prefix, option->name);
    for (char *c = ret; *c != '\0'; c++) {
        *c = (char)(*c == '-' ? '_' : *c >= 'a' && *c <= 'z' ? *c & ~0x20 : *c);
    }
}

void option_describe(const struct options *options, const struct option_place *place,
                     char where[OPTION_WHERE_MAX])
{
    const unsigned index = option_index(place->option);
    struct option_origin origin = {.source = OPTION_IN_FILE};
    if (place->section == NULL) {
        origin = options->origins[index];
    } else { /* what is not said was left out where the section begins */
        const unsigned line = place->section->lines[index];
        origin.line = line > 0 ? line : place->section->line;
    }
    switch (origin.source) {
    case OPTION_BY_DEFAULT:
        (void)snprintf(where, OPTION_WHERE_MAX, "default of '%s'", place->option->name);
        break;
    case OPTION_IN_FILE:
        (void)snprintf(where, OPTION_WHERE_MAX, "%.200s:%u", options->file, origin.line);
        break;
    case OPTION_IN_ENVIRONMENT:
        (void)snprintf(where, OPTION_WHERE_MAX, "environment ");
        variable_of(place->option, where + strlen(where));
        break;
    case OPTION_BY_FLAG:
        (void)snprintf(where, OPTION_WHERE_MAX, "flag --%s", place->option->name);
        break;
    }
}

static void refuse_place(const struct options *options, const struct option_place *place,
                         const char *reason, char error[OPTIONS_ERROR_MAX])
{
    char where[OPTION_WHERE_MAX];
    option_describe(options, place, where);
    (void)snprintf(error, OPTIONS_ERROR_MAX, "%s: %s", where, reason);
}

static enum status refuse_name(const char *where, const char *suggestion,
                               char error[OPTIONS_ERROR_MAX])
{
    (void)snprintf(error, OPTIONS_ERROR_MAX, "%.200s: unknown option%s%s%s", where,
                   suggestion != NULL ? " (did you mean '" : "",
                   suggestion != NULL ? suggestion : "", suggestion != NULL ? "'?)" : "");
    return INVALID;
}

static bool is_wish(const char *arg, struct wishes *wishes)
{
    const struct {
        const char *flag;
        bool *wish;
    } flags[] = {
        {"--help", &wishes->help},          {"-h", &wishes->help},
        {"--version", &wishes->version},    {"-v", &wishes->version},
        {"--check-config", &wishes->check}, {"--print-config", &wishes->print},
    };
    for (size_t i = 0; i < sizeof(flags) / sizeof(flags[0]); i++) {
        if (strcmp(arg, flags[i].flag) == 0) {
            *flags[i].wish = true;
            return true;
        }
    }
    return false;
}

/* One flag at argv[*at], which moves past its value. */
static enum status read_flag(int argc, char **argv, int *at, struct options *options,
                             char error[OPTIONS_ERROR_MAX])
{
    const char *arg = argv[*at];
    const char *equals = strchr(arg, '=');
    const size_t flag_size = equals != NULL ? (size_t)(equals - arg) : strlen(arg);
    char where[256];
    (void)snprintf(where, sizeof(where), "flag %.*s", (int)flag_size, arg);
    if (flag_size < 3 || arg[1] != '-') {
        return refuse_name(where, NULL, error);
    }
    const struct slice name = {arg + 2, flag_size - 2};
    const struct option *option = option_find(name);
    if (option == NULL) {
        const struct option *meant = option_suggest(name);
        char flag[64] = "--";
        (void)snprintf(flag + 2, sizeof(flag) - 2, "%s", meant != NULL ? meant->name : "");
        return refuse_name(where, meant != NULL ? flag : NULL, error);
    }
    if (equals == NULL && *at + 1 >= argc) {
        (void)snprintf(error, OPTIONS_ERROR_MAX, "%s: expected a value after it", where);
        return INVALID;
    }
    const char *value = equals != NULL ? equals + 1 : argv[++*at];
    return options != NULL
               ? assign_from(options, option, slice_of(value), OPTION_BY_FLAG, where, error)
               : OK;
}

/* The command line; with `options` NULL only what else it asks for, since the file comes before the flags. */
static enum status read_flags(int argc, char **argv, struct options *options, struct wishes *wishes,
                              char error[OPTIONS_ERROR_MAX])
{
    *wishes = (struct wishes){.file = NULL};
    for (int i = 1; i < argc; i++) {
        if (is_wish(argv[i], wishes)) {
            continue;
        }
        if (argv[i][0] != '-') {
            if (wishes->file != NULL) {
                (void)snprintf(error, OPTIONS_ERROR_MAX,
                               "argument '%.200s': expected one file only, and got '%.200s' before",
                               argv[i], wishes->file);
                return INVALID;
            }
            wishes->file = argv[i];
            continue;
        }
        const enum status status = read_flag(argc, argv, &i, options, error);
        if (status != OK) {
            return status;
        }
    }
    return OK;
}

/* LISTEN_SOMETHING as listen-something. */
static struct slice option_name_of(struct slice variable, char room[64])
{
    const size_t size = variable.size < 64 ? variable.size : 64;
    for (size_t i = 0; i < size; i++) {
        const char c = variable.data[i];
        room[i] = (char)(c == '_' ? '-' : c >= 'A' && c <= 'Z' ? c | 0x20 : c);
    }
    return (struct slice){room, size};
}

/* `equals` is the '=' in `entry`. */
static enum status read_variable(const char *entry, const char *equals, struct options *options,
                                 char error[OPTIONS_ERROR_MAX])
{
    char room[64];
    const char *name = entry + sizeof(env_prefix) - 1;
    const struct slice wanted = option_name_of((struct slice){name, (size_t)(equals - name)}, room);
    const struct option *option = option_find(wanted);
    char where[256];
    (void)snprintf(where, sizeof(where), "environment %.*s", (int)(equals - entry), entry);
    if (option == NULL) {
        const struct option *meant = option_suggest(wanted);
        char variable[VARIABLE_MAX] = "";
        if (meant != NULL) {
            variable_of(meant, variable);
        }
        return refuse_name(where, meant != NULL ? variable : NULL, error);
    }
    return assign_from(options, option, slice_of(equals + 1), OPTION_IN_ENVIRONMENT, where, error);
}

static enum status read_environment(char **environment, struct options *options,
                                    char error[OPTIONS_ERROR_MAX])
{
    enum status status = OK;
    for (char **entry = environment; entry != NULL && *entry != NULL && status == OK; entry++) {
        const char *equals = strchr(*entry, '=');
        if (equals != NULL && strncmp(*entry, env_prefix, sizeof(env_prefix) - 1) == 0) {
            status = read_variable(*entry, equals, options, error);
        }
    }
    return status;
}

/* The bytes of the file. */
static enum status read_text(const char *path, struct buf *text, char error[OPTIONS_ERROR_MAX])
{
    const int fd = open(path, O_RDONLY | O_CLOEXEC);
    const enum status status = fd < 0 ? INVALID : disk_read_all(fd, FILE_SIZE_MAX, text);
    if (status == NO_MEMORY) {
        (void)snprintf(error, OPTIONS_ERROR_MAX, "out of memory");
    } else if (status != OK && errno == EFBIG) {
        (void)snprintf(error, OPTIONS_ERROR_MAX, "%.300s: file is too large: expected at most 1mb",
                       path);
    } else if (status != OK) {
        (void)snprintf(error, OPTIONS_ERROR_MAX, "%.300s: %m", path);
    }
    (void)(fd >= 0 && close(fd) != 0);
    return status;
}

static enum status read_file(const char *path, struct options *options,
                             char error[OPTIONS_ERROR_MAX])
{
    struct buf text = {.data = NULL};
    enum status status = read_text(path, &text, error);
    if (status == OK) {
        status = options_read_text(options, path, buf_slice(&text), error);
    }
    buf_done(&text);
    if (status == OK) {
        options->file = strdup(path);
        if (options->file == NULL) {
            (void)snprintf(error, OPTIONS_ERROR_MAX, "out of memory");
            return NO_MEMORY;
        }
    }
    return status;
}

/* All sources over the defaults, the strongest last. Unless OK, *options is freed. */
static enum status read_sources(struct options *options, int argc, char **argv, char **environment,
                                char error[OPTIONS_ERROR_MAX])
{
    struct wishes wishes;
    enum status status = set_defaults(options, error);
    if (status == OK) {
        status = read_flags(argc, argv, NULL, &wishes, error);
    }
    if (status == OK && wishes.file != NULL) {
        status = read_file(wishes.file, options, error);
    }
    if (status == OK) {
        status = read_environment(environment, options, error);
    }
    if (status == OK) {
        status = read_flags(argc, argv, options, &wishes, error);
    }
    char room[OPTION_REASON_MAX];
    struct option_place place;
    const char *reason = status == OK ? options_check_together(options, room, &place) : NULL;
    if (reason != NULL) {
        refuse_place(options, &place, reason, error);
        status = INVALID;
    }
    if (status != OK) {
        options_done(options);
    }
    return status;
}

static void print_advice(void *arg, const char *text)
{
    (void)arg;
    (void)fprintf(stderr, "warning: %s\n", text);
}

enum options_verdict options_load(struct options *options, int argc, char **argv,
                                  char **environment, char error[OPTIONS_ERROR_MAX])
{
    struct wishes wishes;
    *options = (struct options){.file = NULL};
    if (read_flags(argc, argv, NULL, &wishes, error) != OK) {
        return OPTIONS_WRONG;
    }
    if (wishes.help) {
        options_help(stdout);
        return OPTIONS_DONE;
    }
    if (wishes.version) {
        (void)printf("terraced %s (speaks as Redis %s)\n", TERRACE_VERSION, REDIS_VERSION);
        return OPTIONS_DONE;
    }
    if (read_sources(options, argc, argv, environment, error) != OK) {
        return OPTIONS_WRONG;
    }
    if (!wishes.check && !wishes.print) {
        return OPTIONS_RUN;
    }
    if (wishes.print) {
        options_print(options, stdout);
    } else {
        options_advise(options, print_advice, NULL);
        (void)printf("configuration is good\n");
    }
    options_done(options);
    return OPTIONS_DONE;
}

enum status options_reload(const struct options *running, int argc, char **argv, char **environment,
                           struct options *ret, char error[OPTIONS_ERROR_MAX])
{
    struct options next;
    const enum status status = read_sources(&next, argc, argv, environment, error);
    if (status != OK) {
        return status;
    }
    const struct option *option;
    for (unsigned i = 0; (option = option_at(i)) != NULL; i++) {
        if (option->when == OPTION_START && !option_same(running, &next, option)) {
            char reason[OPTION_REASON_MAX];
            (void)snprintf(reason, sizeof(reason), "option '%s' cannot change while the node runs",
                           option->name);
            refuse_place(&next, &(struct option_place){.option = option}, reason, error);
            options_done(&next);
            return INVALID;
        }
    }
    *ret = next;
    return OK;
}

/* --- for people --------------------------------------------------------------------------------- */

/* As the file takes it: what begins with a quote is put between quotes. */
static void print_value(struct slice value, FILE *file)
{
    const bool quoted = value.size > 0 && (value.data[0] == '"' || value.data[0] == '\'');
    const char *quote = quoted ? "\"" : "";
    (void)fprintf(file, "%s", quote);
    for (size_t i = 0; i < value.size; i++) {
        const bool special = quoted && (value.data[i] == '"' || value.data[i] == '\\');
        (void)fprintf(file, "%s%c", special ? "\\" : "", value.data[i]);
    }
    (void)fprintf(file, "%s", quote);
}

static void print_option(const void *fields, const struct option *option, FILE *file)
{
    struct buf text = {.data = NULL};
    if (option_format(fields, option, true, &text) == OK) {
        (void)fprintf(file, "%s = ", option->name);
        print_value(buf_slice(&text), file);
        (void)fprintf(file, "\n");
    }
    buf_done(&text);
}

void options_print(const struct options *options, FILE *file)
{
    const struct option *option;
    for (unsigned i = 0; (option = option_at(i)) != NULL; i++) {
        print_option(options, option, file);
    }
    for (unsigned i = 0; i < options->namespace_count; i++) {
        (void)fprintf(file, "\n[namespace %s]\n", options->namespaces[i].name);
        for (unsigned j = 0; (option = namespace_option_at(j)) != NULL; j++) {
            print_option(&options->namespaces[i], option, file);
        }
    }
}

static const char *operand_name(enum option_type type)
{
    switch (type) {
    case OPTION_TEXT: return "TEXT";
    case OPTION_WORD: return "WORD";
    case OPTION_NUMBER: return "N";
    case OPTION_BYTES: return "BYTES";
    case OPTION_TIME: return "TIME";
    case OPTION_PERCENT: return "PERCENT";
    case OPTION_BOOL: return "yes|no";
    }
    return "";
}

static void help_option(const struct option *option, const char *dashes, FILE *file)
{
    (void)fprintf(file, "  %s%s %s\n        %s", dashes, option->name, operand_name(option->type),
                  option->help);
    if (option->fallback[0] != '\0') {
        (void)fprintf(file, " (default: %s)", option->fallback);
    }
    (void)fprintf(file, "\n");
}

void options_help(FILE *file)
{
    (void)fprintf(
        file,
        "usage: terraced [FILE] [--name value | --name=value]...\n"
        "       terraced --help | --version\n"
        "       terraced [FILE] [flags] --check-config | --print-config\n"
        "\n"
        "A setting comes from a flag, else the environment (TERRACE_NAME, dashes as underscores),\n"
        "else FILE (name = value, ';' or '#' begins a comment), else its default. In FILE a value\n"
        "may stand between quotes, as in redis.conf.\n"
        "BYTES: 64mb, 1gb, 1000k. TIME: 250ms, 2s, 5m, 1h; a bare number is\n"
        "milliseconds where nothing else is said.\n"
        "\n");
    const struct option *option;
    for (unsigned i = 0; (option = option_at(i)) != NULL; i++) {
        help_option(option, "--", file);
    }
    (void)fprintf(
        file, "\nIn FILE, below [namespace NAME], for the keys that begin with its prefix:\n\n");
    for (unsigned i = 0; (option = namespace_option_at(i)) != NULL; i++) {
        help_option(option, "", file);
    }
}
