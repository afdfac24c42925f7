/* SPDX-License-Identifier: BSD-3-Clause */
#include "server/warm_json.h"

#include "protocol/limits.h"
#include "tiers/warm_schedule.h"

#include <inttypes.h>
#include <jansson.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    PERCENT_MAX = 90,  /* of before_expiry: a value would be read again as soon as it is here */
    VALUES_BESIDE = 64 /* of a job, beside its keys */
};

/* What the values are read into, and where the first error is noted. */
struct parse {
    struct warm_job *job;
    char *error; /* WARM_ERROR_MAX bytes */
};

static enum status wrong(struct parse *parse, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
static enum status wrong(struct parse *parse, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    (void)vsnprintf(parse->error, WARM_ERROR_MAX, format, arguments);
    va_end(arguments);
    return INVALID;
}

/* --- values of one kind ---------------------------------------------------------------------------------------------- */

static enum status read_number(struct parse *parse, const char *path, const json_t *value,
                               uint64_t least, uint64_t most, uint64_t *ret_number)
{
    if (!json_is_integer(value) || json_integer_value(value) < 0 ||
        (uint64_t)json_integer_value(value) < least || (uint64_t)json_integer_value(value) > most) {
        return wrong(parse, "%s: a number from %" PRIu64 " to %" PRIu64, path, least, most);
    }
    *ret_number = (uint64_t)json_integer_value(value);
    return OK;
}

static struct slice string_of(const json_t *value)
{
    return (struct slice){json_string_value(value), json_string_length(value)};
}

static enum status read_word(struct parse *parse, const char *path, const json_t *value,
                             const char *const *words, unsigned count, unsigned *ret_index)
{
    for (unsigned i = 0; i < count && json_is_string(value); i++) {
        if (slice_is(string_of(value), words[i])) {
            *ret_index = i;
            return OK;
        }
    }
    char all[64] = "";
    for (unsigned i = 0; i < count; i++) {
        const size_t used = strlen(all);
        (void)snprintf(all + used, sizeof(all) - used, "%s\"%s\"",
                       i == 0          ? ""
                       : i + 1 < count ? ", "
                                       : " or ",
                       words[i]);
    }
    return wrong(parse, "%s: %s", path, all);
}

static enum status copy_text(struct slice from, char **ret_text)
{
    char *text = malloc(from.size + 1);
    if (text == NULL) {
        return NO_MEMORY;
    }
    memcpy(text, from.data, from.size);
    text[from.size] = '\0';
    *ret_text = text;
    return OK;
}

static enum status read_source_text(struct parse *parse, const char *path, const json_t *value,
                                    size_t least, const char *expected)
{
    if (!json_is_string(value) || json_string_length(value) < least ||
        json_string_length(value) >= LIMIT_L1_KEY) {
        return wrong(parse, "%s: %s", path, expected);
    }
    parse->job->text_size = json_string_length(value);
    return copy_text(string_of(value), &parse->job->text);
}

/* A name that leads nowhere else than into the folder it is looked for in. */
static bool is_file_name(struct slice name)
{
    return name.size > 0 && name.size <= 255 && memchr(name.data, '/', name.size) == NULL &&
           memchr(name.data, '\0', name.size) == NULL && name.data[0] != '.';
}

static enum status read_file_name(struct parse *parse, const char *path, const json_t *value)
{
    static const char expected[] =
        "the name of a file in warm-dir, without a path or a leading dot";
    if (!json_is_string(value) || !is_file_name(string_of(value))) {
        return wrong(parse, "%s: %s", path, expected);
    }
    return read_source_text(parse, path, value, 1, expected);
}

/* --- sources --------------------------------------------------------------------------------------------------------- */

static enum status source_keys(struct parse *parse, const json_t *value)
{
    struct warm_job *job = parse->job;
    const size_t count = json_array_size(value);
    if (!json_is_array(value) || count == 0 || count > WARM_KEYS_MAX) {
        return wrong(parse, "$.source.keys: a list of 1 to %" PRIu64 " strings", WARM_KEYS_MAX);
    }
    for (size_t i = 0; i < count; i++) {
        const json_t *key = json_array_get(value, i);
        const struct slice bytes = string_of(key);
        char size[sizeof(uint32_t)];
        if (!json_is_string(key) || bytes.size >= LIMIT_L1_KEY) {
            return wrong(parse, "$.source.keys[%zu]: a string of less than %u bytes", i,
                         LIMIT_L1_KEY);
        }
        put_u32le(size, (uint32_t)bytes.size);
        if (buf_append(&job->keys, size, sizeof(size)) != OK ||
            buf_append_slice(&job->keys, bytes) != OK) {
            return NO_MEMORY;
        }
    }
    job->key_count = count;
    return OK;
}

static enum status source_file(struct parse *parse, const json_t *value)
{
    return read_file_name(parse, "$.source.file", value);
}

static enum status source_set(struct parse *parse, const json_t *value)
{
    return read_source_text(parse, "$.source.set", value, 0, "the key of a set in L2");
}

static enum status source_zset(struct parse *parse, const json_t *value)
{
    return read_source_text(parse, "$.source.zset", value, 0, "the key of a sorted set in L2");
}

static enum status source_pattern(struct parse *parse, const json_t *value)
{
    return read_source_text(parse, "$.source.pattern", value, 1, "a pattern as KEYS has it");
}

static enum status source_tag(struct parse *parse, const json_t *value)
{
    return read_source_text(parse, "$.source.tag", value, 1, "a tag of managed values");
}

static enum status source_hot(struct parse *parse, const json_t *value)
{
    return read_number(parse, "$.source.hot", value, 1, WARM_N_MAX, &parse->job->n);
}

static enum status source_snapshot(struct parse *parse, const json_t *value)
{
    static const char expected[] = "the name of a snapshot in snapshot-dir, or \"\": the newest";
    if (!json_is_string(value) ||
        (json_string_length(value) > 0 && !is_file_name(string_of(value)))) {
        return wrong(parse, "$.source.snapshot: %s", expected);
    }
    return read_source_text(parse, "$.source.snapshot", value, 0, expected);
}

static enum status source_log(struct parse *parse, const json_t *value)
{
    return read_file_name(parse, "$.source.log", value);
}

static const struct {
    const char *name;
    bool has_n; /* "n" beside it, which must be there */
    enum status (*read)(struct parse *parse, const json_t *value);
} sources[] = {
    [WARM_KEYS] = {"keys", false, source_keys},
    [WARM_FILE] = {"file", false, source_file},
    [WARM_SET] = {"set", false, source_set},
    [WARM_ZSET] = {"zset", true, source_zset},
    [WARM_PATTERN] = {"pattern", false, source_pattern},
    [WARM_TAG] = {"tag", false, source_tag},
    [WARM_HOT] = {"hot", false, source_hot},
    [WARM_SNAPSHOT] = {"snapshot", false, source_snapshot},
    [WARM_LOG] = {"log", true, source_log},
};
#define SOURCE_COUNT (sizeof(sources) / sizeof(sources[0]))
static const char source_expected[] =
    "an object with one of keys, file, set, zset, pattern, tag, hot, snapshot, log";

/* A name of the job, as far as it can be shown in an error. */
static void shown_name(char dst[40], const char *name)
{
    (void)snprintf(dst, 40, "%s", name);
    for (char *c = dst; *c != '\0'; c++) {
        *c = *c >= ' ' && *c <= '~' ? *c : '.';
    }
}

/* The one of the source's names that says what it is. */
static enum status find_source(struct parse *parse, const json_t *value, unsigned *ret_source)
{
    const char *name;
    const json_t *member;
    unsigned found = SOURCE_COUNT;
    json_object_foreach((json_t *)(uintptr_t)value, name, member)
    {
        unsigned i = 0;
        while (i < SOURCE_COUNT && strcmp(sources[i].name, name) != 0) {
            i++;
        }
        if (i < SOURCE_COUNT && found < SOURCE_COUNT) {
            return wrong(parse, "$.source: only one of %s and %s", sources[found].name, name);
        }
        if (i == SOURCE_COUNT && strcmp(name, "n") != 0) {
            char shown[40];
            shown_name(shown, name);
            return wrong(parse, "$.source.%s: no such name; expected is %s", shown,
                         source_expected);
        }
        found = i < SOURCE_COUNT ? i : found;
    }
    *ret_source = found;
    return found < SOURCE_COUNT ? OK : wrong(parse, "$.source: %s", source_expected);
}

static enum status field_source(struct parse *parse, const json_t *value)
{
    unsigned source = 0;
    if (!json_is_object(value)) {
        return wrong(parse, "$.source: %s", source_expected);
    }
    enum status status = find_source(parse, value, &source);
    const json_t *n = json_object_get(value, "n");
    if (status == OK && !sources[source].has_n && n != NULL) {
        return wrong(parse, "$.source.n: only with zset or log");
    }
    if (status == OK) {
        parse->job->source = (enum warm_source)source;
        status = sources[source].read(parse, json_object_get(value, sources[source].name));
    }
    if (status == OK && sources[source].has_n) {
        status = read_number(parse, "$.source.n", n, 1, WARM_N_MAX, &parse->job->n);
    }
    return status;
}

/* --- the other names ------------------------------------------------------------------------------------------------- */

static enum status field_db(struct parse *parse, const json_t *value)
{
    uint64_t db = 0;
    const enum status status = read_number(parse, "$.db", value, 0, LIMIT_DATABASES - 1, &db);
    parse->job->db = (uint8_t)db;
    return status;
}

static enum status field_priority(struct parse *parse, const json_t *value)
{
    uint64_t priority = 0;
    const enum status status =
        read_number(parse, "$.priority", value, 0, WARM_PRIORITY_MAX, &priority);
    parse->job->priority = (int)priority;
    return status;
}

static enum status field_rate(struct parse *parse, const json_t *value)
{
    return read_number(parse, "$.rate", value, 0, WARM_RATE_MAX, &parse->job->rate);
}

static enum status field_bytes(struct parse *parse, const json_t *value)
{
    return read_number(parse, "$.bytes", value, 0, UINT64_C(1) << 40, &parse->job->byte_rate);
}

static const char *const modes[] = {
    [PREFETCH_MISSING] = "missing", [PREFETCH_STALE] = "stale", [PREFETCH_FORCE] = "force"};
static const char *const targets[] = {[WARM_ALL] = "all", [WARM_SELF] = "self", [WARM_L2] = "l2"};

static enum status field_mode(struct parse *parse, const json_t *value)
{
    unsigned mode = 0;
    const enum status status = read_word(parse, "$.mode", value, modes, 3, &mode);
    parse->job->mode = (enum prefetch_mode)mode;
    return status;
}

static enum status field_target(struct parse *parse, const json_t *value)
{
    unsigned target = 0;
    const enum status status = read_word(parse, "$.target", value, targets, 3, &target);
    parse->job->target = (enum warm_target)target;
    return status;
}

static enum status field_deadline(struct parse *parse, const json_t *value)
{
    uint64_t deadline = 0;
    const enum status status =
        read_number(parse, "$.deadline", value, 1, WARM_DEADLINE_MAX, &deadline);
    parse->job->deadline_s = (int64_t)deadline;
    return status;
}

static enum status field_dryrun(struct parse *parse, const json_t *value)
{
    parse->job->dry = json_is_true(value);
    return json_is_boolean(value) ? OK : wrong(parse, "$.dryrun: true or false");
}

static enum status field_schedule(struct parse *parse, const json_t *value)
{
    if (!json_is_string(value) || json_string_length(value) == 0 ||
        json_string_length(value) >= WARM_SOURCE_TEXT_MAX ||
        strlen(json_string_value(value)) != json_string_length(value)) {
        return wrong(parse, "$.schedule: a schedule as \"every 5m\" or \"08:55 mon-fri\"");
    }
    struct warm_schedule schedule;
    char error[WARM_SCHEDULE_ERROR_MAX];
    if (warm_schedule_parse(string_of(value), &schedule, error) != OK) {
        return wrong(parse, "$.schedule: %s", error);
    }
    return copy_text(string_of(value), &parse->job->schedule);
}

static enum status field_before_expiry(struct parse *parse, const json_t *value)
{
    const struct slice text = json_is_string(value) ? string_of(value) : (struct slice){0};
    uint64_t percent = 0;
    if (text.size < 2 || text.data[text.size - 1] != '%' ||
        slice_to_u64((struct slice){text.data, text.size - 1}, &percent) != OK || percent < 1 ||
        percent > PERCENT_MAX) {
        return wrong(parse, "$.before_expiry: a part of a life from \"1%%\" to \"%d%%\"",
                     PERCENT_MAX);
    }
    parse->job->before_expiry_percent = (int)percent;
    return OK;
}

static const struct {
    const char *name;
    enum status (*read)(struct parse *parse, const json_t *value);
} fields[] = {
    {"source", field_source},
    {"db", field_db},
    {"priority", field_priority},
    {"rate", field_rate},
    {"bytes", field_bytes},
    {"mode", field_mode},
    {"target", field_target},
    {"deadline", field_deadline},
    {"dryrun", field_dryrun},
    {"schedule", field_schedule},
    {"before_expiry", field_before_expiry},
};
static const char field_expected[] = "source, db, priority, rate, bytes, mode, target, deadline, "
                                     "dryrun, schedule, before_expiry";

static enum status read_field(struct parse *parse, const char *name, const json_t *value)
{
    for (size_t i = 0; i < sizeof(fields) / sizeof(fields[0]); i++) {
        if (strcmp(fields[i].name, name) == 0) {
            return fields[i].read(parse, value);
        }
    }
    char shown[40];
    shown_name(shown, name);
    return wrong(parse, "$.%s: no such name; a job has %s", shown, field_expected);
}

/* What goes together, and what does not. */
static enum status read_sense(struct parse *parse)
{
    const struct warm_job *job = parse->job;
    if (job->before_expiry_percent != 0 && job->source != WARM_HOT) {
        return wrong(parse, "$.before_expiry: only with the source hot");
    }
    if (job->before_expiry_percent != 0 && job->schedule != NULL) {
        return wrong(parse, "$.before_expiry: not with a schedule: it is one itself");
    }
    return OK;
}

static enum status read_job(struct parse *parse, const json_t *root)
{
    const char *name;
    const json_t *value;
    if (!json_is_object(root)) {
        return wrong(parse, "$: an object with %s", field_expected);
    }
    if (json_object_get(root, "source") == NULL) {
        return wrong(parse, "$.source: %s", source_expected);
    }
    json_object_foreach((json_t *)(uintptr_t)root, name, value)
    {
        const enum status status = read_field(parse, name, value);
        if (status != OK) {
            return status;
        }
    }
    return read_sense(parse);
}

/* Of each value a reader of JSON makes a hundred bytes and more: of eight million brackets nearly a gigabyte. */
static bool has_too_many_values(struct slice json)
{
    size_t values = 0;
    bool in_string = false;
    for (size_t i = 0; i < json.size; i++) {
        const char c = json.data[i];
        if (in_string && c == '\\') {
            i++;
        } else if (c == '"') {
            in_string = !in_string;
        } else if (!in_string && (c == ',' || c == '[' || c == '{')) {
            values++;
        }
    }
    return values > WARM_KEYS_MAX + VALUES_BESIDE;
}

enum status warm_job_parse(struct slice json, struct warm_job *ret_job, char error[WARM_ERROR_MAX])
{
    struct parse parse = {.job = ret_job, .error = error};
    json_error_t where;
    *ret_job = (struct warm_job){.priority = WARM_PRIORITY_DEFAULT};
    error[0] = '\0';
    if (json.size > WARM_JSON_MAX) {
        return wrong(&parse, "$: at most %u bytes", WARM_JSON_MAX);
    }
    if (has_too_many_values(json)) {
        return wrong(&parse, "$: at most %" PRIu64 " keys", WARM_KEYS_MAX);
    }
    json_t *root =
        json_loadb(json.data, json.size, JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL, &where);
    enum status status = OK;
    if (root == NULL) {
        char text[JSON_ERROR_TEXT_LENGTH];
        (void)snprintf(text, sizeof(text), "%.120s", where.text);
        for (char *c = text; *c != '\0'; c++) {
            *c = *c >= ' ' && *c <= '~' ? *c : '.';
        }
        status = wrong(&parse, "$: JSON is expected; line %d, column %d: %s", where.line,
                       where.column, text);
    } else {
        status = read_job(&parse, root);
    }
    json_decref(root);
    if (status != OK) {
        warm_job_done(ret_job);
    }
    return status;
}

/* --- names ----------------------------------------------------------------------------------------------------------- */

static const char *const states[] = {
    [WARM_QUEUED] = "queued",    [WARM_RUNNING] = "running", [WARM_PAUSED] = "paused",
    [WARM_DONE] = "done",        [WARM_FAILED] = "failed",   [WARM_CANCELLED] = "cancelled",
    [WARM_STANDING] = "standing"};

const char *warm_state_name(enum warm_state state)
{
    return states[state];
}

bool warm_state_read(struct slice name, enum warm_state *ret_state)
{
    for (unsigned i = 0; i < sizeof(states) / sizeof(states[0]); i++) {
        if (slice_is(name, states[i])) {
            *ret_state = (enum warm_state)i;
            return true;
        }
    }
    return false;
}

const char *warm_target_name(enum warm_target target)
{
    return targets[target];
}

const char *warm_mode_name(enum prefetch_mode mode)
{
    return modes[mode];
}

void warm_job_describe(const struct warm_job *job, char dst[WARM_SOURCE_TEXT_MAX])
{
    const char *name = sources[job->source].name;
    const char *text = job->text == NULL ? "" : job->text;
    if (job->source == WARM_KEYS) {
        (void)snprintf(dst, WARM_SOURCE_TEXT_MAX, "%s %zu", name, job->key_count);
    } else if (job->source == WARM_HOT) {
        (void)snprintf(dst, WARM_SOURCE_TEXT_MAX, "%s %" PRIu64, name, job->n);
    } else if (job->n != 0) {
        (void)snprintf(dst, WARM_SOURCE_TEXT_MAX, "%s %.64s %" PRIu64, name, text, job->n);
    } else {
        (void)snprintf(dst, WARM_SOURCE_TEXT_MAX, "%s%s%.80s", name, text[0] == '\0' ? "" : " ",
                       text);
    }
    for (char *c = dst; *c != '\0'; c++) {
        *c = *c >= ' ' && *c <= '~' ? *c : '.';
    }
}

void warm_job_done(struct warm_job *job)
{
    free(job->text);
    free(job->schedule);
    buf_done(&job->keys);
    *job = (struct warm_job){0};
}
