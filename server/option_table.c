/* SPDX-License-Identifier: BSD-3-Clause */
#include "server/option_table.h"

#include "protocol/check.h"
#include "server/client_limits.h"
#include "tiers/l2_url.h"
#include "tiers/policy.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#define OPTION_LINE(struct_, of_namespace_, type_, field_, name_, fallback_, minimum_, maximum_, \
                    when_, help_)                                                                \
    {.name = (name_),                                                                            \
     .type = OPTION_##type_,                                                                     \
     .of_namespace = (of_namespace_),                                                            \
     .offset = offsetof(struct struct_, field_),                                                 \
     .fallback = (fallback_),                                                                    \
     .minimum = (minimum_),                                                                      \
     .maximum = (maximum_),                                                                      \
     .when = OPTION_##when_,                                                                     \
     .help = (help_)},
#define OPTION(...) OPTION_LINE(options, false, __VA_ARGS__)
static const struct option node_table[] = {
#include "server/options.def"
};
#undef OPTION
#define OPTION(...) OPTION_LINE(namespace_options, true, __VA_ARGS__)
static const struct option namespace_table[] = {
#include "server/namespace_options.def"
};
#undef OPTION

struct option_list {
    const struct option *table;
    unsigned count;
};
static const struct option_list node_options = {node_table,
                                                sizeof(node_table) / sizeof(node_table[0])};
static const struct option_list namespace_options = {
    namespace_table, sizeof(namespace_table) / sizeof(namespace_table[0])};

_Static_assert(sizeof(node_table) / sizeof(node_table[0]) <= OPTIONS_MAX, "room for origins");
_Static_assert(sizeof(namespace_table) / sizeof(namespace_table[0]) <= NAMESPACE_OPTIONS_MAX,
               "room for lines");

unsigned option_index(const struct option *option)
{
    return (unsigned)(option - (option->of_namespace ? namespace_table : node_table));
}

static const struct option *find_in(const struct option_list *list, struct slice name)
{
    for (unsigned i = 0; i < list->count; i++) {
        if (slice_is_nocase(name, list->table[i].name)) {
            return &list->table[i];
        }
    }
    return NULL;
}

unsigned option_count(void)
{
    return node_options.count;
}

const struct option *option_at(unsigned i)
{
    return i < node_options.count ? &node_options.table[i] : NULL;
}

const struct option *option_find(struct slice name)
{
    return find_in(&node_options, name);
}

const struct option *namespace_option_at(unsigned i)
{
    return i < namespace_options.count ? &namespace_options.table[i] : NULL;
}

const struct option *namespace_option_find(struct slice name)
{
    return find_in(&namespace_options, name);
}

enum {
    NAME_SIZE_MAX = 40
};

static unsigned least(unsigned a, unsigned b)
{
    return a < b ? a : b;
}

/* Edit distance with swapped neighbours (optimal string alignment), in three rows. */
static unsigned distance(struct slice from, struct slice to)
{
    unsigned rows[3][NAME_SIZE_MAX + 1];
    for (size_t j = 0; j <= to.size; j++) {
        rows[0][j] = (unsigned)j;
    }
    for (size_t i = 1; i <= from.size; i++) {
        unsigned *row = rows[i % 3];
        const unsigned *above = rows[(i + 2) % 3];
        const unsigned *two_above = rows[(i + 1) % 3];
        row[0] = (unsigned)i;
        for (size_t j = 1; j <= to.size; j++) {
            const bool same = from.data[i - 1] == to.data[j - 1];
            row[j] = least(above[j - 1] + (same ? 0 : 1), least(above[j], row[j - 1]) + 1);
            const bool swapped = i > 1 && j > 1 && from.data[i - 1] == to.data[j - 2] &&
                                 from.data[i - 2] == to.data[j - 1];
            if (swapped) {
                row[j] = least(row[j], two_above[j - 2] + 1);
            }
        }
    }
    return rows[from.size % 3][to.size];
}

static const struct option *suggest_in(const struct option_list *list, struct slice name)
{
    const struct option *best = NULL;
    unsigned best_distance = 4; /* further away is no likeness */
    for (unsigned i = 0; i < list->count && name.size <= NAME_SIZE_MAX; i++) {
        const struct slice candidate = slice_of(list->table[i].name);
        CHECK(candidate.size <= NAME_SIZE_MAX);
        const unsigned far = distance(name, candidate);
        /* Of a short name a third may be wrong, not all of it. */
        if (far < best_distance && far * 3 <= candidate.size) {
            best = &list->table[i];
            best_distance = far;
        }
    }
    return best;
}

const struct option *option_suggest(struct slice name)
{
    return suggest_in(&node_options, name);
}

const struct option *namespace_option_suggest(struct slice name)
{
    return suggest_in(&namespace_options, name);
}

bool option_is_text(const struct option *option)
{
    return option->type == OPTION_TEXT || option->type == OPTION_WORD;
}

char **option_text_field(void *fields, const struct option *option)
{
    CHECK(option_is_text(option));
    return (char **)(void *)((char *)fields + option->offset);
}

bool option_is_secret(const struct option *option)
{
    return !option->of_namespace &&
           (option->offset == offsetof(struct options, requirepass) ||
            option->offset == offsetof(struct options, admin_token) ||
            option->offset == offsetof(struct options, tls_key_file_pass) ||
            option->offset == offsetof(struct options, l2_tls_key_file_pass));
}

static const void *field_of(const void *fields, const struct option *option)
{
    return (const char *)fields + option->offset;
}

static const char *text_in(const void *fields, const struct option *option)
{
    CHECK(option_is_text(option));
    return *(char *const *)field_of(fields, option);
}

static int64_t number_in(const void *fields, const struct option *option)
{
    CHECK(!option_is_text(option) && option->type != OPTION_BOOL);
    return *(const int64_t *)field_of(fields, option);
}

static bool bool_in(const void *fields, const struct option *option)
{
    CHECK(option->type == OPTION_BOOL);
    return *(const bool *)field_of(fields, option);
}

/* `timeout` is Redis' name, so its bare numbers, its bounds and CONFIG GET are in Redis' seconds. */
static bool counts_seconds(const struct option *option)
{
    return !option->of_namespace && option->offset == offsetof(struct options, timeout);
}

struct unit {
    const char *name;
    int64_t factor;
};

/* Digits, then a unit. */
static enum status parse_with_unit(struct slice text, const struct unit *units, size_t unit_count,
                                   int64_t *ret_number)
{
    size_t digits = 0;
    while (digits < text.size && text.data[digits] >= '0' && text.data[digits] <= '9') {
        digits++;
    }
    int64_t number = 0;
    if (slice_to_i64((struct slice){text.data, digits}, &number) != OK) {
        return MALFORMED;
    }
    const struct slice unit = {text.data + digits, text.size - digits};
    for (size_t i = 0; i < unit_count; i++) {
        if (slice_is_nocase(unit, units[i].name)) {
            return __builtin_mul_overflow(number, units[i].factor, ret_number) ? MALFORMED : OK;
        }
    }
    return MALFORMED;
}

enum status time_parse(struct slice text, int64_t bare_ms, int64_t *ret_ms)
{
    const struct unit units[] = {
        {"", bare_ms}, {"ms", 1}, {"s", 1000}, {"m", 60 * 1000}, {"h", 60 * 60 * 1000}};
    return parse_with_unit(text, units, sizeof(units) / sizeof(units[0]), ret_ms);
}

enum status bytes_parse(struct slice text, int64_t *ret_bytes)
{
    static const struct unit units[] = {{"", 1},
                                        {"b", 1},
                                        {"k", 1000},
                                        {"kb", 1024},
                                        {"m", 1000 * 1000},
                                        {"mb", 1024 * 1024},
                                        {"g", 1000000000},
                                        {"gb", 1024 * 1024 * 1024}};
    return parse_with_unit(text, units, sizeof(units) / sizeof(units[0]), ret_bytes);
}

/* "80%"; the sign may be missing. MALFORMED. */
static enum status percent_parse(struct slice text, int64_t *ret_percent)
{
    static const struct unit units[] = {{"", 1}, {"%", 1}};
    return parse_with_unit(text, units, sizeof(units) / sizeof(units[0]), ret_percent);
}

/* The largest unit that leaves nothing over. */
static void time_format(int64_t ms, char dst[32])
{
    static const struct unit units[] = {{"h", 60 * 60 * 1000}, {"m", 60 * 1000}, {"s", 1000}};
    for (size_t i = 0; ms != 0 && i < sizeof(units) / sizeof(units[0]); i++) {
        if (ms % units[i].factor == 0) {
            (void)snprintf(dst, 32, "%" PRId64 "%s", ms / units[i].factor, units[i].name);
            return;
        }
    }
    (void)snprintf(dst, 32, "%" PRId64 "ms", ms);
}

static void format_time_of(const struct option *option, int64_t ms, char dst[32])
{
    if (counts_seconds(option) && ms % 1000 == 0) {
        (void)snprintf(dst, 32, "%" PRId64, ms / 1000);
    } else {
        time_format(ms, dst);
    }
}

static const char *check_bounds(const struct option *option, int64_t number,
                                char reason[OPTION_REASON_MAX])
{
    const bool bounded = option->minimum != option->maximum;
    if (number >= option->minimum && (!bounded || number <= option->maximum)) {
        return NULL;
    }
    char low[32];
    char high[32];
    if (option->type == OPTION_TIME) {
        format_time_of(option, option->minimum, low);
        format_time_of(option, option->maximum, high);
    } else if (option->type == OPTION_PERCENT) {
        (void)snprintf(low, sizeof(low), "%" PRId64 "%%", option->minimum);
        (void)snprintf(high, sizeof(high), "%" PRId64 "%%", option->maximum);
    } else {
        (void)snprintf(low, sizeof(low), "%" PRId64, option->minimum);
        (void)snprintf(high, sizeof(high), "%" PRId64, bounded ? option->maximum : INT64_MAX);
    }
    (void)snprintf(reason, OPTION_REASON_MAX, "argument must be between %s and %s inclusive", low,
                   high);
    return reason;
}

static const char *parse_number(const struct option *option, struct slice value, int64_t *ret)
{
    if (option->type == OPTION_BYTES) {
        return bytes_parse(value, ret) == OK ? NULL : "argument must be a memory value";
    }
    if (option->type == OPTION_PERCENT) {
        return percent_parse(value, ret) == OK ? NULL : "argument must be a share such as 80%";
    }
    if (slice_to_i64(value, ret) == OK && option->type == OPTION_NUMBER) {
        return NULL;
    }
    if (option->type == OPTION_NUMBER) {
        return "argument couldn't be parsed into an integer";
    }
    const int64_t bare_ms = counts_seconds(option) ? 1000 : 1;
    if (slice_to_i64(value, ret) == OK) { /* negative ones go on to the bounds, which they miss */
        return __builtin_mul_overflow(*ret, bare_ms, ret) ? "argument is out of range" : NULL;
    }
    if (time_parse(value, bare_ms, ret) == OK) {
        return NULL;
    }
    return counts_seconds(option) ? "argument couldn't be parsed into an integer"
                                  : "argument must be a time such as 250ms, 2s, 5m or 2h";
}

static const char *assign_number(void *fields, const struct option *option, struct slice value,
                                 char room[OPTION_REASON_MAX])
{
    int64_t number = 0;
    const char *reason = parse_number(option, value, &number);
    if (reason == NULL) {
        reason = check_bounds(option, number, room);
    }
    if (reason == NULL) {
        reason = option_check_text(option, value, room);
    }
    if (reason == NULL) {
        memcpy((char *)fields + option->offset, &number, sizeof(number));
    }
    return reason;
}

static const char *assign_bool(void *fields, const struct option *option, struct slice value)
{
    const bool yes = slice_is_nocase(value, "yes");
    if (!yes && !slice_is_nocase(value, "no")) {
        return "argument must be 'yes' or 'no'";
    }
    memcpy((char *)fields + option->offset, &yes, sizeof(yes));
    return NULL;
}

static enum status assign_text(void *fields, const struct option *option, struct slice value)
{
    char *copy = malloc(value.size + 1);
    if (copy == NULL) {
        return NO_MEMORY;
    }
    if (value.size > 0) {
        memcpy(copy, value.data, value.size);
    }
    copy[value.size] = '\0';
    if (option->type == OPTION_WORD) { /* words are told apart in any case and kept in lower case */
        for (char *c = copy; *c != '\0'; c++) {
            *c = (char)(*c >= 'A' && *c <= 'Z' ? *c | 0x20 : *c);
        }
    }
    char **field = option_text_field(fields, option);
    free(*field);
    *field = copy;
    return OK;
}

/* Texts that are kept as CONFIG GET shows them, in `room`; any other as it is given. */
static struct slice shown_text(void *fields, const struct option *option, struct slice value,
                               char room[OPTION_REASON_MAX])
{
    struct output_limits limits = {0};
    int64_t number = 0;
    if (option->of_namespace) {
        return value;
    }
    if (option->offset == offsetof(struct options, client_output_buffer_limit)) {
        const char *before = *option_text_field(fields, option);
        (void)output_limits_parse(slice_of(before == NULL ? "" : before), &limits);
        (void)output_limits_parse(value, &limits); /* classes that it does not name stay */
        output_limits_format(&limits, room);
        return slice_of(room);
    }
    if (option->offset == offsetof(struct options, maxmemory_clients)) {
        (void)client_memory_parse(value, &number);
        client_memory_format(number, room);
        return slice_of(room);
    }
    return value;
}

enum status option_assign(void *fields, const struct option *option, struct slice value,
                          char reason[OPTION_REASON_MAX])
{
    char room[OPTION_REASON_MAX];
    const char *why = NULL;
    switch (option->type) {
    case OPTION_TEXT:
    case OPTION_WORD:
        why = option_check_text(option, value, room);
        if (why == NULL) {
            return assign_text(fields, option, shown_text(fields, option, value, room));
        }
        break;
    case OPTION_NUMBER:
    case OPTION_BYTES:
    case OPTION_TIME:
    case OPTION_PERCENT: why = assign_number(fields, option, value, room); break;
    case OPTION_BOOL: why = assign_bool(fields, option, value); break;
    }
    if (why != NULL) {
        (void)snprintf(reason, OPTION_REASON_MAX, "%s", why);
        return INVALID;
    }
    return OK;
}

bool option_same(const void *a, const void *b, const struct option *option)
{
    switch (option->type) {
    case OPTION_TEXT:
    case OPTION_WORD: return strcmp(text_in(a, option), text_in(b, option)) == 0;
    case OPTION_NUMBER:
    case OPTION_BYTES:
    case OPTION_TIME:
    case OPTION_PERCENT: return number_in(a, option) == number_in(b, option);
    case OPTION_BOOL: return bool_in(a, option) == bool_in(b, option);
    }
    return false;
}

static const char mask[] = L2_URL_MASK;

static enum status append_text(const struct option *option, const char *value, bool masked,
                               struct buf *text)
{
    if (option->of_namespace) {
        return buf_append_slice(text, slice_of(value));
    }
    if (option->offset == offsetof(struct options, l2)) {
        return l2_urls_append_masked(text,
                                     slice_of(value)); /* nobody but the node needs L2's password */
    }
    const bool secret = masked && option_is_secret(option);
    return buf_append_slice(text, slice_of(secret && value[0] != '\0' ? mask : value));
}

enum status option_format(const void *fields, const struct option *option, bool masked,
                          struct buf *text)
{
    char time[32];
    switch (option->type) {
    case OPTION_TEXT:
    case OPTION_WORD: return append_text(option, text_in(fields, option), masked, text);
    case OPTION_NUMBER:
    case OPTION_BYTES: return buf_printf(text, "%" PRId64, number_in(fields, option));
    case OPTION_TIME:
        format_time_of(option, number_in(fields, option), time);
        return buf_append_slice(text, slice_of(time));
    case OPTION_PERCENT: return buf_printf(text, "%" PRId64 "%%", number_in(fields, option));
    case OPTION_BOOL:
        return buf_append_slice(text, slice_of(bool_in(fields, option) ? "yes" : "no"));
    }
    return INVALID;
}
