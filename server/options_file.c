/* SPDX-License-Identifier: BSD-3-Clause */
/* The file of options, line by line through inih.
 *
 * Debian's inih tells its handler no line number, cuts lines of 200 bytes silently into two, and takes an indented line
 * as more of the value before. So lines are handed to it one by one, counted, checked for length and without their
 * indentation. */
#include "protocol/inline_split.h"
#include "server/option_table.h"

#include <ini.h>
#include <stdarg.h>
#include <string.h>

struct lines {
    struct slice rest;
    struct options *options;
    struct namespace_options *section; /* NULL: the node's own */
    const char *file;
    unsigned number; /* of the line that inih has */
    enum status status;
    char *error; /* OPTIONS_ERROR_MAX */
};

static void fail(struct lines *lines, enum status status, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

static void fail(struct lines *lines, enum status status, const char *format, ...)
{
    char what[OPTIONS_ERROR_MAX - 256];
    va_list args;
    va_start(args, format);
    (void)vsnprintf(what, sizeof(what), format, args);
    va_end(args);
    const int used =
        snprintf(lines->error, OPTIONS_ERROR_MAX, "%.200s:%u: ", lines->file, lines->number);
    (void)snprintf(lines->error + used, (size_t)(OPTIONS_ERROR_MAX - used), "%s", what);
    lines->status = status;
}

/* The next line without its end. false: there is none. */
static bool next_line(struct lines *lines, struct slice *ret_line)
{
    struct slice *rest = &lines->rest;
    if (rest->size == 0) {
        return false;
    }
    const char *end = memchr(rest->data, '\n', rest->size);
    const size_t size = end != NULL ? (size_t)(end - rest->data) : rest->size;
    *ret_line = (struct slice){rest->data, size};
    const size_t used = end != NULL ? size + 1 : size;
    *rest = (struct slice){rest->data + used, rest->size - used};
    lines->number++;
    return true;
}

static struct slice without_indentation(struct slice line)
{
    while (line.size > 0 && (line.data[0] == ' ' || line.data[0] == '\t')) {
        line.data++;
        line.size--;
    }
    return line;
}

static const struct slice namespace_word = SLICE_LITERAL("namespace ");

static bool begin_namespace(struct lines *lines, struct slice name)
{
    char reason[OPTION_REASON_MAX] = "out of memory";
    const enum status status = namespace_add(lines->options, name, lines->number, reason);
    if (status != OK) {
        fail(lines, status, "%s", reason);
        return false;
    }
    lines->section = &lines->options->namespaces[lines->options->namespace_count - 1];
    return true;
}

static bool section_is_good(struct lines *lines, struct slice line)
{
    const char *end = memchr(line.data, ']', line.size);
    if (end == NULL) {
        fail(lines, INVALID, "expected ']' at the end of the section's name");
        return false;
    }
    const struct slice name = {line.data + 1, (size_t)(end - line.data) - 1};
    lines->section = NULL;
    if (slice_is(name, "terrace")) {
        return true;
    }
    if (slice_has_prefix(name, namespace_word)) {
        return begin_namespace(
            lines, without_indentation((struct slice){name.data + namespace_word.size,
                                                      name.size - namespace_word.size}));
    }
    fail(lines, INVALID, "unknown section [%.*s]: expected [namespace NAME] or [terrace]",
         (int)name.size, name.data);
    return false;
}

static bool line_is_good(struct lines *lines, struct slice line, size_t room)
{
    if (line.size + 2 > room) {
        fail(lines, INVALID, "line is too long: expected at most %zu bytes", room - 2);
        return false;
    }
    if (memchr(line.data, '\0', line.size) != NULL) {
        fail(lines, INVALID, "line holds a NUL byte: expected text");
        return false;
    }
    return line.size == 0 || line.data[0] != '[' || section_is_good(lines, line);
}

/* inih's fgets. NULL ends the reading: no more lines, or one is bad. */
static char *read_line(char *dst, int size, void *stream)
{
    struct lines *lines = stream;
    struct slice line;
    if (lines->status != OK || size < 3 || !next_line(lines, &line)) {
        return NULL;
    }
    line = without_indentation(line);
    if (line.size > 0 && (line.data[0] == ';' || line.data[0] == '#')) {
        line.size = 0; /* a comment, however long */
    }
    if (!line_is_good(lines, line, (size_t)size)) {
        return NULL;
    }
    if (line.size > 0) {
        memcpy(dst, line.data, line.size);
    }
    dst[line.size] = '\n';
    dst[line.size + 1] = '\0';
    return dst;
}

static void fail_unknown(struct lines *lines, const char *name)
{
    const bool of_namespace = lines->section != NULL;
    const size_t word_size = strcspn(name, " \t");
    if (name[word_size] != '\0') { /* as in redis.conf; a ':' in the value separated it */
        fail(lines, INVALID, "expected 'name = value': no '=' behind '%.*s'", (int)word_size, name);
        return;
    }
    const struct option *meant =
        of_namespace ? namespace_option_suggest(slice_of(name)) : option_suggest(slice_of(name));
    fail(lines, INVALID, "unknown option '%s'%s%s%s%s", name, of_namespace ? " of a namespace" : "",
         meant != NULL ? " (did you mean '" : "", meant != NULL ? meant->name : "",
         meant != NULL ? "'?)" : "");
}

/* Notes the line of the option. false: its section has it already. [terrace] and what is before it are one section. */
static bool is_first(struct lines *lines, const struct option *option)
{
    const unsigned index = option_index(option);
    struct option_origin *origin = &lines->options->origins[index];
    unsigned *line = option->of_namespace ? &lines->section->lines[index] : &origin->line;
    if (*line > 0) {
        fail(lines, INVALID, "option '%s' is there already, in line %u", option->name, *line);
        return false;
    }
    *line = lines->number;
    if (!option->of_namespace) {
        origin->source = OPTION_IN_FILE;
    }
    return true;
}

/* What stands between quotes, as in redis.conf: else a prefix in quotes would match no key, and nobody would say so. A value
 * that does not begin with one is taken as it is. `room` holds the result. */
static enum status unquote(struct slice *value, struct buf *room)
{
    struct span word = {0};
    size_t at = 0;
    if (value->size == 0 || (value->data[0] != '"' && value->data[0] != '\'')) {
        return OK;
    }
    enum status status = buf_reserve(room, value->size);
    if (status == OK) {
        status = inline_next(*value, &at, room, &word);
    }
    if (status == OK && at < value->size) {
        status = MALFORMED;
    }
    *value = (struct slice){room->data, word.size};
    return status;
}

static void assign(struct lines *lines, const struct option *option, struct slice value)
{
    void *fields = lines->section != NULL ? (void *)lines->section : lines->options;
    char reason[OPTION_REASON_MAX] =
        "argument begins with a quote: expected the same one at its end, and \\ before any between";
    struct buf room = {0};
    enum status status = unquote(&value, &room);
    if (status == OK) {
        status = option_assign(fields, option, value, reason);
    }
    buf_done(&room);
    if (status == NO_MEMORY) {
        fail(lines, NO_MEMORY, "out of memory");
    } else if (status != OK) {
        fail(lines, INVALID, "option '%s': %s", option->name, reason);
    }
}

static int on_option(void *user, const char *section, const char *name, const char *value)
{
    struct lines *lines = user;
    (void)section; /* looked at when its line was read */
    const bool of_namespace = lines->section != NULL;
    const struct option *option =
        of_namespace ? namespace_option_find(slice_of(name)) : option_find(slice_of(name));
    if (option == NULL) {
        fail_unknown(lines, name);
        return 0;
    }
    if (!is_first(lines, option)) {
        return 0;
    }
    assign(lines, option, slice_of(value));
    return lines->status == OK;
}

enum status options_read_text(struct options *options, const char *file, struct slice text,
                              char error[OPTIONS_ERROR_MAX])
{
    static const struct slice bom = SLICE_LITERAL("\xef\xbb\xbf");
    if (slice_has_prefix(text, bom)) {
        text = (struct slice){text.data + bom.size, text.size - bom.size};
    }
    struct lines lines = {.rest = text, .options = options, .file = file, .status = OK};
    lines.error = error;
    const int result = ini_parse_stream(read_line, &lines, on_option, &lines);
    const unsigned bad_line = result > 0 ? (unsigned)result : 0;
    if (result < 0) {
        fail(&lines, NO_MEMORY, "out of memory");
    } else if (bad_line > 0 && (lines.status == OK || bad_line < lines.number)) {
        lines.number = bad_line; /* inih itself found no name and value, and read on */
        fail(&lines, INVALID, "expected 'name = value'");
    }
    char room[OPTION_REASON_MAX];
    const char *reason = lines.status == OK ? namespaces_check(options, room, &lines.number) : NULL;
    if (reason != NULL) {
        fail(&lines, INVALID, "%s", reason);
    }
    return lines.status;
}
