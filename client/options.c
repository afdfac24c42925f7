/* SPDX-License-Identifier: BSD-3-Clause */
#include "client/options.h"

#include "client/cluster.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum kind {
    TEXT,
    ENDPOINTS,
    REGIONS,
    CHOICE,
    SWITCH,
    COUNT,
    REAL,
    DURATION,
    BYTES
};

struct row {
    const char *name;
    enum kind kind;
    size_t offset;
    const char *preset;
    int64_t least;
    int64_t most;
    const char *choices;
    const char *summary;
};

static const struct row rows[] = {
#define OPTION(name, kind, field, preset, least, most, choices, summary) \
    {name, kind, offsetof(struct terrace_options, field), preset, least, most, choices, summary},
#include "client/options.def"
#undef OPTION
};

enum {
    ROW_COUNT = sizeof rows / sizeof rows[0],
    REAL_DIGITS = 15 /* behind the point; a double has no more */
};

struct unit {
    const char *name;
    int64_t factor;
};
static const struct unit duration_units[] = {
    {"ms", 1}, {"s", 1000}, {"m", 60000}, {"h", 3600000}, {"", 1}, {NULL, 0},
};
static const struct unit byte_units[] = {
    {"b", 1},       {"kb", 1 << 10}, {"mb", 1 << 20}, {"gb", 1 << 30}, {"k", 1 << 10},
    {"m", 1 << 20}, {"g", 1 << 30},  {"", 1},         {NULL, 0},
};

void error_say(char *error, size_t error_size, const char *format, ...)
{
    if (error == NULL || error_size == 0) {
        return;
    }
    va_list args;
    va_start(args, format);
    (void)vsnprintf(error, error_size, format, args);
    va_end(args);
}

static void *field_of(const struct terrace_options *options, const struct row *row)
{
    return (char *)(uintptr_t)options + row->offset;
}

static bool is_text(const struct row *row)
{
    return row->kind == TEXT || row->kind == ENDPOINTS || row->kind == REGIONS;
}

/* --- lists ---------------------------------------------------------------------------------------------------------- */

static struct slice trimmed(struct slice text)
{
    while (text.size > 0 && text.data[0] == ' ') {
        text.data++;
        text.size--;
    }
    while (text.size > 0 && text.data[text.size - 1] == ' ') {
        text.size--;
    }
    return text;
}

/* Up to `mark`, which is taken away too; all of it if there is none. */
static struct slice cut_before(struct slice *rest, char mark)
{
    const char *at = rest->size > 0 ? memchr(rest->data, mark, rest->size) : NULL;
    const struct slice head = {rest->data, at != NULL ? (size_t)(at - rest->data) : rest->size};
    const size_t taken = head.size + (at != NULL);
    *rest = (struct slice){taken > 0 ? rest->data + taken : rest->data, rest->size - taken};
    return head;
}

static struct slice next_of_list(struct slice *rest)
{
    struct slice item = {0};
    while (rest->size > 0 && item.size == 0) {
        item = trimmed(cut_before(rest, ','));
    }
    return item;
}

static bool read_port(struct slice text, uint16_t *ret_port)
{
    uint64_t port = 0;
    if (slice_to_u64(text, &port) != OK || port == 0 || port > UINT16_MAX) {
        return false;
    }
    *ret_port = (uint16_t)port;
    return true;
}

/* host:port, [v6]:port */
static bool read_host_port(struct slice text, struct endpoint_text *ret)
{
    const char *colon = memrchr(text.data, ':', text.size);
    if (colon == NULL) {
        return false;
    }
    const size_t host_size = (size_t)(colon - text.data);
    ret->host = (struct slice){text.data, host_size};
    if (host_size > 2 && text.data[0] == '[' && colon[-1] == ']') {
        ret->host = (struct slice){text.data + 1, host_size - 2};
    } else if (memchr(text.data, ':', host_size) != NULL) {
        return false; /* v6 without brackets: which colon is the port's? */
    }
    return ret->host.size > 0 &&
           read_port((struct slice){colon + 1, text.size - host_size - 1}, &ret->port);
}

/* Cuts `*number` off the end. What stands behind a star and is no number may be of a path. false: it is, of a host. */
static bool cut_weight(struct slice *item, struct endpoint_text *ret)
{
    const char *star = memrchr(item->data, '*', item->size);
    uint64_t weight = 0;
    ret->weight = 1;
    if (star == NULL) {
        return true;
    }
    const struct slice number = {star + 1, item->size - (size_t)(star + 1 - item->data)};
    if (slice_to_u64(number, &weight) != OK || weight > WEIGHT_MAX) {
        return ret->is_unix;
    }
    ret->weight = (unsigned)weight;
    item->size = (size_t)(star - item->data);
    return true;
}

bool options_next_endpoint(struct slice *rest, struct endpoint_text *ret, const char **ret_error)
{
    *ret = (struct endpoint_text){0};
    *ret_error = NULL;
    struct slice item = next_of_list(rest);
    if (item.size == 0) {
        return false;
    }
    ret->is_unix = slice_begins(item, "unix:");
    if (!cut_weight(&item, ret)) {
        *ret_error = "weights (host:port*weight) from 0 to 1000";
        return false;
    }
    const char *at = memrchr(item.data, '@', item.size);
    if (at != NULL) {
        ret->region = (struct slice){at + 1, item.size - (size_t)(at + 1 - item.data)};
        item.size = (size_t)(at - item.data);
    }
    if (ret->region.size > CLUSTER_REGION_NAME_MAX) {
        *ret_error = "regions with at most 63 characters";
        return false;
    }
    if (ret->is_unix) {
        ret->host = (struct slice){item.data + 5, item.size - 5};
        if (ret->host.size > 2 && slice_begins(ret->host, "//")) { /* unix:///path */
            ret->host = (struct slice){ret->host.data + 2, ret->host.size - 2};
        }
        if (ret->host.size < 2 || ret->host.data[0] != '/' || ret->host.size > 100) {
            *ret_error = "unix:/path with at most 100 bytes";
            return false;
        }
        return true;
    }
    if (item.size == 0 || !read_host_port(item, ret) || ret->host.size > 253) {
        *ret_error =
            "host:port, [v6]:port or unix:/path, each with an optional @region, separated by commas";
        return false;
    }
    return true;
}

struct region_text {
    struct slice name;
    unsigned priority;
};

/* As options_next_endpoint, of the option `regions`. */
static bool next_region(struct slice *rest, struct region_text *ret, const char **ret_error)
{
    *ret_error = NULL;
    struct slice item = next_of_list(rest);
    if (item.size == 0) {
        return false;
    }
    uint64_t priority = 0;
    ret->name = cut_before(&item, ':');
    if (ret->name.size == 0 || ret->name.size > 63 || slice_to_u64(item, &priority) != OK ||
        priority > 1000000) {
        *ret_error = "name:priority separated by commas, priorities from 0 to 1000000";
        return false;
    }
    ret->priority = (unsigned)priority;
    return true;
}

unsigned options_region_priority(const struct terrace_options *options, struct slice region)
{
    struct slice rest = slice_of(options->regions);
    struct region_text found;
    const char *error = NULL;
    while (next_region(&rest, &found, &error)) {
        if (slice_equal(found.name, region)) {
            return found.priority;
        }
    }
    return REGION_PRIORITY;
}

/* --- one value ------------------------------------------------------------------------------------------------------ */

static enum terrace_status refuse(const struct row *row, const char *value, const char *expected,
                                  char *error, size_t error_size)
{
    error_say(error, error_size, "option %s: expected %s, found '%.60s'", row->name, expected,
              value);
    return TERRACE_BAD_ARGUMENT;
}

static enum terrace_status set_text(struct terrace_options *options, const struct row *row,
                                    const char *value)
{
    char *copy = strdup(value);
    if (copy == NULL) {
        return TERRACE_NO_MEMORY;
    }
    char **field = field_of(options, row);
    free(*field);
    *field = copy;
    return TERRACE_OK;
}

struct regions_seen {
    struct slice names[CLUSTER_REGIONS_MAX];
    size_t count; /* more than there is room for: too many */
};

static void see_region(struct regions_seen *seen, struct slice name)
{
    for (size_t i = 0; i < seen->count && i < CLUSTER_REGIONS_MAX; i++) {
        if (slice_equal(seen->names[i], name)) {
            return;
        }
    }
    if (seen->count < CLUSTER_REGIONS_MAX) {
        seen->names[seen->count] = name;
    }
    seen->count++;
}

/* What struct cluster would not take is refused here, where somebody is told. */
static const char *endpoints_error(struct slice rest)
{
    struct regions_seen seen = {.count = 0};
    struct endpoint_text endpoint;
    const char *error = NULL;
    size_t count = 0;
    while (options_next_endpoint(&rest, &endpoint, &error)) {
        see_region(&seen, endpoint.region);
        count++;
    }
    return error != NULL                      ? error
           : count == 0                       ? "at least one host:port, [v6]:port or unix:/path"
           : count > CLUSTER_ENDPOINTS_MAX    ? "at most 256 endpoints"
           : seen.count > CLUSTER_REGIONS_MAX ? "at most 16 regions"
                                              : NULL;
}

static const char *list_error(const struct row *row, const char *value)
{
    struct slice rest = slice_of(value);
    struct region_text region;
    const char *error = NULL;
    if (row->kind == ENDPOINTS) {
        return endpoints_error(rest);
    }
    while (next_region(&rest, &region, &error)) {
    }
    return error;
}

static bool set_choice(struct terrace_options *options, const struct row *row, const char *value)
{
    struct slice rest = slice_of(row->choices);
    for (int i = 0; rest.size > 0; i++) {
        if (slice_is(slice_next_word(&rest, "|"), value)) {
            *(int *)field_of(options, row) = i;
            return true;
        }
    }
    return false;
}

static bool set_switch(struct terrace_options *options, const struct row *row, const char *value)
{
    static const char *const words[] = {"no", "yes", "off", "on", "false", "true", "0", "1"};
    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++) {
        if (strcmp(words[i], value) == 0) {
            *(int *)field_of(options, row) = (int)(i % 2);
            return true;
        }
    }
    return false;
}

/* 12 or 12.5, whatever the locale of the application takes for a point. */
static bool read_real(struct slice text, double *ret_number)
{
    const struct slice whole = cut_before(&text, '.');
    int64_t units = 0, parts = 0;
    if (slice_to_i64(whole, &units) != OK || text.size > REAL_DIGITS) {
        return false;
    }
    double scale = 1;
    for (size_t i = 0; i < text.size; i++) {
        if (text.data[i] < '0' || text.data[i] > '9') {
            return false;
        }
        parts = parts * 10 + (text.data[i] - '0');
        scale *= 10;
    }
    *ret_number = (double)units + (double)parts / scale;
    return true;
}

static bool set_real(struct terrace_options *options, const struct row *row, const char *value)
{
    double number = 0;
    if (!read_real(slice_of(value), &number) || number < (double)row->least ||
        number > (double)row->most) {
        return false;
    }
    *(double *)field_of(options, row) = number;
    return true;
}

static bool read_units(const char *value, const struct unit *units, int64_t *ret_number)
{
    const struct slice digits = {value, strspn(value, "0123456789")};
    int64_t number = 0;
    if (slice_to_i64(digits, &number) != OK) {
        return false;
    }
    for (const struct unit *unit = units; unit->name != NULL; unit++) {
        if (slice_is_nocase(slice_of(value + digits.size), unit->name)) {
            return !__builtin_mul_overflow(number, unit->factor, ret_number);
        }
    }
    return false;
}

static bool set_number(struct terrace_options *options, const struct row *row, const char *value)
{
    static const struct unit no_units[] = {{"", 1}, {NULL, 0}};
    const struct unit *units = row->kind == DURATION ? duration_units
                               : row->kind == BYTES  ? byte_units
                                                     : no_units;
    int64_t number = 0;
    if (!read_units(value, units, &number) || number < row->least || number > row->most) {
        return false;
    }
    *(int64_t *)field_of(options, row) = number;
    return true;
}

static const char *expected_of(const struct row *row, char *room, size_t size)
{
    switch (row->kind) {
    case CHOICE: return row->choices;
    case SWITCH: return "yes or no";
    case REAL:
        (void)snprintf(room, size, "a number from %" PRId64 " to %" PRId64, row->least, row->most);
        return room;
    case COUNT:
        (void)snprintf(room, size, "a whole number from %" PRId64 " to %" PRId64, row->least,
                       row->most);
        return room;
    case DURATION:
        (void)snprintf(room, size,
                       "a duration such as 250ms, 2s or 10m, from %" PRId64 "ms to %" PRId64 "ms",
                       row->least, row->most);
        return room;
    case BYTES:
        (void)snprintf(room, size, "a size such as 64mb, from %" PRId64 " to %" PRId64 " bytes",
                       row->least, row->most);
        return room;
    case TEXT:
    case ENDPOINTS:
    case REGIONS: break;
    }
    return "a text";
}

static enum terrace_status set_row(struct terrace_options *options, const struct row *row,
                                   const char *value, char *error, size_t error_size)
{
    bool is_good = false;
    switch (row->kind) {
    case ENDPOINTS:
    case REGIONS: {
        const char *wrong = list_error(row, value);
        if (wrong != NULL) {
            return refuse(row, value, wrong, error, error_size);
        }
    } /* fall through */
    case TEXT: {
        const enum terrace_status status = set_text(options, row, value);
        if (status != TERRACE_OK) {
            error_say(error, error_size, "option %s: no memory", row->name);
        }
        return status;
    }
    case CHOICE: is_good = set_choice(options, row, value); break;
    case SWITCH: is_good = set_switch(options, row, value); break;
    case REAL: is_good = set_real(options, row, value); break;
    case COUNT:
    case DURATION:
    case BYTES: is_good = set_number(options, row, value); break;
    }
    char room[128];
    return is_good ? TERRACE_OK
                   : refuse(row, value, expected_of(row, room, sizeof room), error, error_size);
}

/* --- all of them ---------------------------------------------------------------------------------------------------- */

struct terrace_options *terrace_options_new(void)
{
    struct terrace_options *options = calloc(1, sizeof *options);
    for (size_t i = 0; options != NULL && i < ROW_COUNT; i++) {
        if (set_row(options, &rows[i], rows[i].preset, NULL, 0) != TERRACE_OK) {
            terrace_options_free(options);
            options = NULL;
        }
    }
    return options;
}

void terrace_options_free(struct terrace_options *options)
{
    for (size_t i = 0; options != NULL && i < ROW_COUNT; i++) {
        if (is_text(&rows[i])) {
            free(*(char **)field_of(options, &rows[i]));
        }
    }
    free(options);
}

struct terrace_options *options_copy(const struct terrace_options *options)
{
    struct terrace_options *copy = malloc(sizeof *copy);
    if (copy == NULL) {
        return NULL;
    }
    *copy = *options;
    bool is_whole = true;
    for (size_t i = 0; i < ROW_COUNT; i++) {
        if (is_text(&rows[i])) {
            char **field = field_of(copy, &rows[i]);
            *field = is_whole ? strdup(*field) : NULL;
            is_whole = is_whole && *field != NULL;
        }
    }
    if (!is_whole) {
        terrace_options_free(copy);
        return NULL;
    }
    return copy;
}

enum terrace_status terrace_options_set(struct terrace_options *options, const char *name,
                                        const char *value, char *error, size_t error_size)
{
    error_say(error, error_size, "%s", "");
    if (options == NULL || name == NULL || value == NULL) {
        error_say(error, error_size, "options, a name and a value are needed");
        return TERRACE_BAD_ARGUMENT;
    }
    for (size_t i = 0; i < ROW_COUNT; i++) {
        if (strcmp(rows[i].name, name) == 0) {
            return set_row(options, &rows[i], value, error, error_size);
        }
    }
    error_say(error, error_size,
              "option %.60s: there is no such option (terrace-options(5) lists them)", name);
    return TERRACE_BAD_ARGUMENT;
}

int terrace_options_list(size_t i, struct terrace_option_info *ret_info)
{
    if (i >= ROW_COUNT || ret_info == NULL) {
        return 0;
    }
    *ret_info = (struct terrace_option_info){rows[i].name, rows[i].preset, rows[i].summary};
    return 1;
}
