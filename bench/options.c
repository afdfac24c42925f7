/* SPDX-License-Identifier: BSD-3-Clause */
#include "bench/options.h"

#include "bench/keys.h"
#include "bench/profile.h"
#include "protocol/bytes.h"
#include "protocol/history.h"
#include "protocol/limits.h"

#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

/* How an option's text becomes its field. */
enum kind {
    TEXT,
    COUNT,
    REAL,
    PART,
    SWITCH,
    OPERATION,
    MODE,
    PROTOCOL,
    RATIO,
    SIZES,
    OUTPUT
};

struct row {
    const char *section;
    const char *name;
    int letter;
    enum kind kind;
    size_t offset;
    double least;
    double most;
    const char *argument; /* NULL: a switch */
    const char *help;
};

#define OPTION(section, name, letter, kind, field, least, most, argument, help) \
    {section, name, letter, kind, offsetof(struct options, field), least, most, argument, help},
static const struct row rows[] = {
#include "bench/options.def"
};
#undef OPTION

#define UNSET_COUNT UINT64_MAX

enum {
    ROW_COUNT = sizeof rows / sizeof rows[0]
};

static const char *const operation_names[] = {
    [OP_GET] = "get", [OP_SET] = "set",       [OP_INCR] = "incr", [OP_MGET] = "mget",
    [OP_DEL] = "del", [OP_EXISTS] = "exists", [OP_PING] = "ping",
};

enum {
    OPERATION_COUNT = sizeof operation_names / sizeof operation_names[0]
};

const char *operation_name(enum operation operation)
{
    return operation_names[operation];
}

static enum status refuse(struct options *options, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

static enum status refuse(struct options *options, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    (void)vsnprintf(options->error, sizeof options->error, format, arguments);
    va_end(arguments);
    return INVALID;
}

/* ------------------------------------------------------------------ one option */

static bool read_real(const char *text, double *ret_number)
{
    char *end = NULL;
    errno = 0;
    double number = strtod(text, &end);
    if (errno != 0 || end == text || *end != '\0' || !isfinite(number)) {
        return false;
    }
    *ret_number = number;
    return true;
}

static enum status set_text(struct options *options, char **field, const char *text)
{
    char *copy = strdup(text);
    if (copy == NULL) {
        return refuse(options, "out of memory");
    }
    free(*field);
    *field = copy;
    return OK;
}

static enum status set_count(struct options *options, const struct row *row, const char *text)
{
    uint64_t number = 0;
    if (slice_to_u64(slice_of(text), &number) != OK || (double)number < row->least ||
        (double)number > row->most) {
        return refuse(options, "--%s: expected a whole number from %.0f to %.0f, found '%s'",
                      row->name, row->least, row->most, text);
    }
    memcpy((char *)options + row->offset, &number, sizeof number);
    return OK;
}

static enum status set_real(struct options *options, const struct row *row, const char *text)
{
    double number = 0;
    if (!read_real(text, &number) || number < row->least || number > row->most) {
        return refuse(options, "--%s: expected a number from %g to %g, found '%s'", row->name,
                      row->least, row->most, text);
    }
    memcpy((char *)options + row->offset, &number, sizeof number);
    return OK;
}

/* A part of one: 0.001, or 0.1% for the same. */
static enum status set_part(struct options *options, const struct row *row, const char *text)
{
    char digits[64];
    size_t size = strlen(text);
    bool percent = size > 1 && size < sizeof digits && text[size - 1] == '%';
    (void)snprintf(digits, sizeof digits, "%.*s", (int)(percent ? size - 1 : size), text);
    double number = 0;
    if (size >= sizeof digits || !read_real(digits, &number) || number < 0 ||
        number > (percent ? 100 : 1)) {
        return refuse(options, "--%s: expected 0 to 1, or 0%% to 100%%, found '%s'", row->name,
                      text);
    }
    number = percent ? number / 100 : number;
    memcpy((char *)options + row->offset, &number, sizeof number);
    return OK;
}

static enum status set_operation(struct options *options, const char *text)
{
    for (unsigned i = 0; i < OPERATION_COUNT; i++) {
        if (strcasecmp(text, operation_names[i]) == 0) {
            options->operation = (enum operation)i;
            options->get_parts = 0;
            options->set_parts = 0;
            return OK;
        }
    }
    return refuse(options, "--op: expected get, set, incr, mget, del, exists or ping, found '%s'",
                  text);
}

static enum status set_mode(struct options *options, const char *text)
{
    if (strcmp(text, "aside") == 0) {
        options->trace_mode = TRACE_ASIDE;
        return OK;
    }
    if (strcmp(text, "load") == 0) {
        options->trace_mode = TRACE_LOAD;
        return OK;
    }
    return refuse(options, "--trace-mode: expected aside or load, found '%s'", text);
}

static enum status set_protocol(struct options *options, const char *text)
{
    options->memcached = strcmp(text, "memcached") == 0;
    if (!options->memcached && strcmp(text, "resp") != 0) {
        return refuse(options, "--protocol: expected resp or memcached, found '%s'", text);
    }
    return OK;
}

/* Two whole numbers with `between` in the middle. */
static bool read_pair(const char *text, char between, uint64_t *ret_first, uint64_t *ret_second)
{
    const char *middle = strchr(text, between);
    if (middle == NULL) {
        return false;
    }
    struct slice first = {.data = text, .size = (size_t)(middle - text)};
    return slice_to_u64(first, ret_first) == OK &&
           slice_to_u64(slice_of(middle + 1), ret_second) == OK;
}

static enum status set_ratio(struct options *options, const char *text)
{
    uint64_t gets = 0;
    uint64_t sets = 0;
    if (!read_pair(text, ':', &gets, &sets) || gets > 1000000 || sets > 1000000 ||
        gets + sets == 0) {
        return refuse(options, "--ratio: expected GET:SET as 9:1, found '%s'", text);
    }
    options->get_parts = gets;
    options->set_parts = sets;
    return OK;
}

static enum status set_sizes(struct options *options, const char *text)
{
    uint64_t least = 0;
    uint64_t most = 0;
    bool whole = slice_to_u64(slice_of(text), &least) == OK;
    if (whole) {
        most = least;
    }
    if ((!whole && !read_pair(text, '-', &least, &most)) || least > most || most > LIMIT_BULK) {
        return refuse(options, "--value-size: expected N or A-B bytes, at most %llu, found '%s'",
                      LIMIT_BULK, text);
    }
    options->value_min = least;
    options->value_max = most;
    return OK;
}

static enum status set_switch(struct options *options, const struct row *row, const char *text)
{
    bool on = text == NULL || strcmp(text, "true") == 0;
    if (!on && strcmp(text, "false") != 0) {
        return refuse(options, "--%s: takes no value, found '%s'", row->name, text);
    }
    memcpy((char *)options + row->offset, &on, sizeof on);
    return OK;
}

static enum status set_row(struct options *options, const struct row *row, const char *text)
{
    if (text == NULL && row->kind != SWITCH && row->kind != OUTPUT) {
        return refuse(options, "--%s: needs a value: %s", row->name, row->help);
    }
    switch (row->kind) {
    case TEXT: return set_text(options, (char **)(void *)((char *)options + row->offset), text);
    case COUNT: return set_count(options, row, text);
    case REAL: return set_real(options, row, text);
    case PART: return set_part(options, row, text);
    case SWITCH: return set_switch(options, row, text);
    case OPERATION: return set_operation(options, text);
    case MODE: return set_mode(options, text);
    case PROTOCOL: return set_protocol(options, text);
    case RATIO: return set_ratio(options, text);
    case SIZES: return set_sizes(options, text);
    case OUTPUT:
        options->json = true;
        return text == NULL ? OK : set_text(options, &options->json_file, text);
    }
    return INVALID;
}

static bool same_name(const char *name, struct slice given)
{
    if (strlen(name) != given.size) {
        return false;
    }
    for (size_t i = 0; i < given.size; i++) {
        bool same = given.data[i] == name[i] || (given.data[i] == '_' && name[i] == '-');
        if (!same) {
            return false;
        }
    }
    return true;
}

static const struct row *find_name(struct slice name)
{
    for (unsigned i = 0; i < ROW_COUNT; i++) {
        if (same_name(rows[i].name, name)) {
            return &rows[i];
        }
    }
    return NULL;
}

static const struct row *find_letter(char letter)
{
    for (unsigned i = 0; i < ROW_COUNT; i++) {
        if (rows[i].letter != 0 && rows[i].letter == letter) {
            return &rows[i];
        }
    }
    return NULL;
}

enum status options_set(struct options *options, const char *name, const char *text)
{
    const struct row *row = find_name(slice_of(name));
    return row == NULL ? refuse(options, "no option '%s'", name) : set_row(options, row, text);
}

/* ------------------------------------------------------------------ the command line */

/* One flag as it was written: which option, and its value if it has one. */
struct flag {
    const struct row *row;
    const char *text;
};

/* Reads the flag at argv[*at] and steps over it. Three spellings: --name VALUE, --name=VALUE, -lVALUE or -l VALUE. */
static enum status next_flag(struct options *options, char **argv, int argc, int *at,
                             struct flag *ret_flag)
{
    const char *word = argv[*at];
    *ret_flag = (struct flag){0};
    if (word[0] == '-' && word[1] == '-') {
        const char *equals = strchr(word, '=');
        size_t size = equals == NULL ? strlen(word + 2) : (size_t)(equals - word - 2);
        ret_flag->row = find_name((struct slice){.data = word + 2, .size = size});
        ret_flag->text = equals == NULL ? NULL : equals + 1;
    } else if (word[0] == '-' && word[1] != '\0') {
        ret_flag->row = find_letter(word[1]);
        ret_flag->text = word[2] == '\0' ? NULL : word + 2;
    }
    if (ret_flag->row == NULL) {
        return refuse(options, "unknown option '%s'; --help lists them", word);
    }
    (*at)++;
    bool takes_next = ret_flag->text == NULL && ret_flag->row->argument != NULL && *at < argc;
    /* What --json may do without is not taken from the next flag; a lone minus is a value. */
    if (takes_next && (ret_flag->row->kind != OUTPUT || argv[*at][0] != '-')) {
        ret_flag->text = argv[*at];
        (*at)++;
    }
    return OK;
}

static enum status check_propagation(struct options *options)
{
    if (options->history != NULL || options->trace != NULL || options->fill || options->rate > 0 ||
        options->duration_s > 0) {
        return refuse(
            options,
            "--propagation does not go with --history, --trace, --fill, --rate or --duration");
    }
    if (options->targets == NULL) {
        return refuse(options, "--propagation needs --targets");
    }
    if (options->json_file != NULL) {
        return refuse(options, "--propagation prints its JSON; --json takes no file here");
    }
    options->requests = options->requests == 0 ? 2000 : options->requests;
    return OK;
}

static enum status check_history(struct options *options)
{
    if (options->propagation) {
        return check_propagation(options);
    }
    if (options->history == NULL) {
        bool alone = options->targets == NULL && options->redis == NULL;
        return alone ? OK
                     : refuse(options, "--targets and --redis are for --history and --propagation");
    }
    if (options->trace != NULL || options->fill || options->check || options->ttl_s != 0) {
        return refuse(options, "--history does not go with --trace, --fill, --check or --ttl");
    }
    if (options->keys > HISTORY_KEYS_MAX) {
        return refuse(options, "--history: at most %d keys", HISTORY_KEYS_MAX);
    }
    if (options->seed >= 1 << 24) {
        return refuse(options, "--history: the seed names the writer, below %d", 1 << 24);
    }
    if (strlen(options->key_prefix) >= HISTORY_PREFIX_SIZE) {
        return refuse(options, "--history: --key-prefix has at most %d bytes",
                      HISTORY_PREFIX_SIZE - 1);
    }
    if (options->strangers == UNSET_COUNT) {
        options->strangers = options->redis != NULL ? 300 : 0;
    }
    if (options->strangers > 0 && options->redis == NULL) {
        return refuse(options, "--stranger needs --redis");
    }
    return OK;
}

/* What memcached.h can say. */
static enum status check_memcached(struct options *options)
{
    if (!options->memcached) {
        return OK;
    }
    const bool is_mix = options->get_parts + options->set_parts > 0;
    const bool known = is_mix || options->operation == OP_GET || options->operation == OP_SET ||
                       options->operation == OP_PING;
    if (!known || options->history != NULL || options->propagation || options->password != NULL ||
        options->resp != 2 || options->db != 0 || options->preload_target != NULL) {
        return refuse(options, "--protocol memcached: get, set, ping, --fill and traces only");
    }
    return OK;
}

static enum status check_whole(struct options *options)
{
    if (check_history(options) != OK || check_memcached(options) != OK) {
        return INVALID;
    }
    bool is_trace = options->trace != NULL;
    if (is_trace && (options->duration_s > 0 || options->requests != 0 || options->fill)) {
        return refuse(
            options,
            "--trace does not go with --duration, --requests or --fill; see --trace-limit");
    }
    if (!is_trace && (options->preload || options->preload_target != NULL)) {
        return refuse(options, "--preload needs --trace; --fill is for made-up keys");
    }
    if (options->preload_target != NULL && !options->preload) {
        return refuse(options, "--preload-target needs --preload");
    }
    if (!is_trace && (options->trace_copies != 1 || options->item_size != 0)) {
        return refuse(options, "--trace-copies and --item-size need --trace");
    }
    if (options->rate > 0 && options->think_ms > 0) {
        return refuse(options, "--think is for a closed loop; --rate makes the loop open");
    }
    if (options->keys > KEYS_MAX || strlen(options->key_prefix) > KEY_PREFIX_MAX) {
        return refuse(options, "--key-prefix: at most %d bytes", KEY_PREFIX_MAX);
    }
    if (options->user != NULL && options->password == NULL) {
        return refuse(options, "--user needs --auth");
    }
    if (!is_trace && options->duration_s < 0 && options->requests == 0) {
        options->duration_s = 10;
    }
    return OK;
}

enum status options_read(struct options *options, int argc, char **argv)
{
    struct flag flag;
    enum status status = OK;
    for (int at = 1; at < argc &&
                     status == OK;) { /* the profile first, wherever it stands: flags override it */
        status = next_flag(options, argv, argc, &at, &flag);
        if (status == OK && flag.text != NULL && strcmp(flag.row->name, "profile") == 0) {
            status = profile_read(options, flag.text);
        }
    }
    for (int at = 1; at < argc && status == OK;) {
        status = next_flag(options, argv, argc, &at, &flag);
        if (status == OK) {
            status = set_row(options, flag.row, flag.text);
        }
    }
    if (status != OK || options->help || options->version) {
        return status;
    }
    return check_whole(options);
}

enum status options_init(struct options *options)
{
    *options = (struct options){
        .resp = 2,
        .connections = 50,
        .pipeline = 1,
        .rate = OPTION_UNSET,
        .duration_s = OPTION_UNSET,
        .mget_keys = 10,
        .seed = 1,
        .keys = 100000,
        .value_min = 32,
        .value_max = 32,
        .size_scale = 1,
        .trace_copies = 1,
        .writes = 100,
        .strangers = UNSET_COUNT,
        .probe_ms = 40,
        .bound_ms = 1000,
        .slack_ms = 3,
        .poll_us = 20,
        .p50_ms = OPTION_UNSET,
        .p95_ms = OPTION_UNSET,
        .p99_ms = OPTION_UNSET,
        .max_error_rate = OPTION_UNSET,
        .min_hit_ratio = OPTION_UNSET,
        .min_rps = OPTION_UNSET,
    };
    enum status status = set_text(options, &options->target, "127.0.0.1:7379");
    return status == OK ? set_text(options, &options->key_prefix, "key:") : status;
}

void options_done(struct options *options)
{
    for (unsigned i = 0; i < ROW_COUNT; i++) {
        if (rows[i].kind == TEXT) {
            char **field = (char **)(void *)((char *)options + rows[i].offset);
            free(*field);
            *field = NULL;
        }
    }
    free(options->json_file);
    options->json_file = NULL;
}

void options_help(FILE *out)
{
    (void)fputs(
        "Usage: terrace-bench [option]...\n"
        "Loads a cache server that speaks RESP or memcached's protocol, measures it, and checks thresholds.\n"
        "\n"
        "A closed loop (default) waits for replies before it sends more, so a slow server is asked less and\n"
        "its worst moments weigh little. --rate makes the loop open: requests are due at fixed times, and a\n"
        "latency begins when the request was due, sent or not. Quote open-loop latencies; use the closed\n"
        "loop for capacity and CPU time per request.\n",
        out);
    const char *section = "";
    for (unsigned i = 0; i < ROW_COUNT; i++) {
        const struct row *row = &rows[i];
        if (strcmp(section, row->section) != 0) {
            section = row->section;
            (void)fprintf(out, "\n%s:\n", section);
        }
        char left[64];
        char letter[8] = "    ";
        if (row->letter != 0) {
            (void)snprintf(letter, sizeof letter, "-%c, ", row->letter);
        }
        (void)snprintf(left, sizeof left, "%s--%s %s", letter, row->name,
                       row->argument == NULL ? "" : row->argument);
        (void)fprintf(out, "  %-30s %s\n", left, row->help);
    }
    (void)fputs(
        "\nExit: 0 fine, 1 a threshold or check failed, 2 wrong usage or input, 3 not reachable.\n"
        "\n"
        "  terrace-bench --target 127.0.0.1:7379 --fill --keys 1000000 -P 16 --pid $(pidof terraced)\n"
        "  terrace-bench --rate 20000 --zipf 0.99 --ratio 9:1 --duration 30 --p99-ms 1.25 --json out.json\n"
        "  terrace-bench --trace requests.txt.xz --min-value 64 --check\n"
        "  terrace-bench --history run.hist --targets 127.0.0.1:7379,127.0.0.1:7389 --redis 127.0.0.1:6379 \\\n"
        "                --keys 1000 --zipf 0.99 --connections 16 --pipeline 16; terrace check run.hist\n",
        out);
}
