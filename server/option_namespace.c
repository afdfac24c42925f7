/* SPDX-License-Identifier: BSD-3-Clause */
/* The settings of namespaces: what each may be, what they must be together, and what tiers/namespace.h makes of them. */
#include "protocol/check.h"
#include "protocol/frame.h"
#include "server/machine.h"
#include "server/option_table.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

enum {
    BOUND_MIN_MS = 10,
    BOUND_MAX_MS = FRAME_BEAT_BOUND_MAX_MS, /* others refuse a node that announces more */
    BOUND_STRICT_MS = 200,
    BOUND_OTHER_MS = 1000,
    XFETCH_MAX_MILLI = 100 * 1000,
};
#define GRACE_MAX_MS INT64_C(86400000)

/* --- mode --------------------------------------------------------------------------------------- */

/* A time that must be there unless `*ret_ms` has a value already. */
static enum status next_time(struct slice *rest, int64_t max_ms, int64_t *ret_ms)
{
    const struct slice word = slice_next_word(rest, " \t");
    if (word.size == 0) {
        return *ret_ms > 0 ? OK : MALFORMED;
    }
    const enum status status = time_parse(word, 1, ret_ms);
    return status == OK && *ret_ms >= BOUND_MIN_MS && *ret_ms <= max_ms ? OK : MALFORMED;
}

enum status mode_parse(struct slice text, struct namespace_mode *ret_mode)
{
    const struct slice kind = slice_next_word(&text, " \t");
    enum status status = OK;
    *ret_mode = (struct namespace_mode){.bound_ms = BOUND_OTHER_MS};
    if (slice_is(kind, "bounded")) {
        ret_mode->kind = NAMESPACE_BOUNDED;
        status = next_time(&text, BOUND_MAX_MS, &ret_mode->bound_ms);
    } else if (slice_is(kind, "strict")) {
        ret_mode->kind = NAMESPACE_STRICT;
        ret_mode->bound_ms = BOUND_STRICT_MS;
        status = next_time(&text, BOUND_MAX_MS, &ret_mode->bound_ms);
    } else if (slice_is(kind, "available")) {
        ret_mode->kind = NAMESPACE_AVAILABLE;
        status = next_time(&text, GRACE_MAX_MS, &ret_mode->grace_ms);
        status = status == OK ? next_time(&text, BOUND_MAX_MS, &ret_mode->bound_ms) : status;
        status = ret_mode->grace_ms >= ret_mode->bound_ms ? status : MALFORMED;
    } else if (slice_is(kind, "ttl")) {
        ret_mode->kind = NAMESPACE_TTL;
    } else {
        status = MALFORMED;
    }
    return status == OK && slice_next_word(&text, " \t").size == 0 ? OK : MALFORMED;
}

const char *mode_check(struct slice text)
{
    struct namespace_mode mode;
    return mode_parse(text, &mode) == OK
               ? NULL
               : "argument must be 'strict [T]', 'bounded [T]', 'available G [T]' or 'ttl', with T "
                 "between 10ms and 60s and G from T (1s unless given) to 24h";
}

/* --- sections ----------------------------------------------------------------------------------- */

const char *prefix_check(struct slice text)
{
    if (slice_begins(text, "terrace:")) {
        return "argument must not begin with 'terrace:': such keys are the nodes' own";
    }
    return text.size <= NAMESPACE_PREFIX_MAX ? NULL : "argument must be at most 128 bytes";
}

/* "1.5" as thousandths: at most three digits behind the point. MALFORMED. */
static enum status factor_parse(struct slice text, int64_t *ret_milli)
{
    const char *point = text.size > 0 ? memchr(text.data, '.', text.size) : NULL;
    const size_t whole = point == NULL ? text.size : (size_t)(point - text.data);
    const size_t digits = point == NULL ? 0 : text.size - whole - 1;
    char behind[3] = {'0', '0', '0'};
    uint64_t units = 0;
    uint64_t milli = 0;
    if (digits > sizeof(behind) || (point != NULL && digits == 0)) {
        return MALFORMED;
    }
    if (digits > 0) {
        memcpy(behind, point + 1, digits);
    }
    for (size_t i = 0; i < sizeof(behind); i++) {
        if (behind[i] < '0' || behind[i] > '9') {
            return MALFORMED;
        }
        milli = milli * 10 + (uint64_t)(behind[i] - '0');
    }
    if (slice_to_u64((struct slice){text.data, whole}, &units) != OK ||
        units > (uint64_t)INT64_MAX / 2000) {
        return MALFORMED;
    }
    *ret_milli = (int64_t)(units * 1000 + milli);
    return OK;
}

const char *xfetch_check(struct slice text)
{
    int64_t milli = 0;
    return factor_parse(text, &milli) == OK && milli <= XFETCH_MAX_MILLI
               ? NULL
               : "argument must be a factor from 0 (off) to 100, such as 1 or 0.5";
}

const char *write_check(struct slice text)
{
    return slice_is_nocase(text, "through") || slice_is_nocase(text, "around") ||
                   slice_is_nocase(text, "behind")
               ? NULL
               : "argument must be 'through', 'around' or 'behind'";
}

static bool name_is_good(struct slice name)
{
    for (size_t i = 0; i < name.size; i++) {
        const char c = name.data[i];
        const bool good = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
                          (c >= '0' && c <= '9') || c == '-' || c == '_' || c == '.';
        if (!good) {
            return false;
        }
    }
    return name.size > 0 && name.size <= NAMESPACE_NAME_MAX;
}

static void namespace_done(struct namespace_options *ns)
{
    const struct option *option;
    for (unsigned i = 0; (option = namespace_option_at(i)) != NULL; i++) {
        if (option_is_text(option)) {
            free(*option_text_field(ns, option));
        }
    }
    free(ns->name);
}

static enum status refuse(char reason[OPTION_REASON_MAX], const char *text)
{
    (void)snprintf(reason, OPTION_REASON_MAX, "%s", text);
    return INVALID;
}

static enum status name_check(const struct options *options, struct slice name,
                              char reason[OPTION_REASON_MAX])
{
    if (!name_is_good(name)) {
        return refuse(reason,
                      "expected [namespace NAME], NAME of at most 64 letters, digits, - _ .");
    }
    if (slice_is(name, "default")) {
        return refuse(reason, "the settings of namespace 'default' are those outside of sections");
    }
    for (unsigned i = 0; i < options->namespace_count; i++) {
        if (slice_is(name, options->namespaces[i].name)) {
            (void)snprintf(reason, OPTION_REASON_MAX, "namespace '%s' is there already, in line %u",
                           options->namespaces[i].name, options->namespaces[i].line);
            return INVALID;
        }
    }
    return options->namespace_count + 1 < NAMESPACES_MAX
               ? OK
               : refuse(reason, "expected at most 63 namespaces");
}

enum status namespace_add(struct options *options, struct slice name, unsigned line,
                          char reason[OPTION_REASON_MAX])
{
    enum status status = name_check(options, name, reason);
    if (status != OK) {
        return status;
    }
    struct namespace_options ns = {.line = line, .name = strndup(name.data, name.size)};
    status = ns.name == NULL ? NO_MEMORY : OK;
    const struct option *option;
    for (unsigned i = 0; (option = namespace_option_at(i)) != NULL && status == OK; i++) {
        /* A default that its own line refuses is a bug; it comes out as an error of every section. */
        status = option_assign(&ns, option, slice_of(option->fallback), reason);
    }
    struct namespace_options *grown =
        status != OK ? NULL
                     : realloc(options->namespaces,
                               (options->namespace_count + 1) * sizeof(*options->namespaces));
    if (grown == NULL) {
        namespace_done(&ns);
        return status == OK ? NO_MEMORY : status;
    }
    options->namespaces = grown;
    grown[options->namespace_count++] = ns;
    return OK;
}

void namespaces_drop(struct options *options)
{
    for (unsigned i = 0; i < options->namespace_count; i++) {
        namespace_done(&options->namespaces[i]);
    }
    free(options->namespaces);
    options->namespaces = NULL;
    options->namespace_count = 0;
}

enum status namespaces_copy(const struct options *from, struct options *ret)
{
    char reason[OPTION_REASON_MAX];
    ret->namespaces = NULL;
    ret->namespace_count = 0;
    for (unsigned i = 0; i < from->namespace_count; i++) {
        const struct namespace_options *ns = &from->namespaces[i];
        if (namespace_add(ret, slice_of(ns->name), ns->line, reason) != OK) {
            return NO_MEMORY;
        }
        const struct option *option;
        for (unsigned j = 0; (option = namespace_option_at(j)) != NULL; j++) {
            struct namespace_options *copy = &ret->namespaces[i];
            copy->lines[j] = ns->lines[j];
            if (!option_is_text(option)) {
                memcpy((char *)copy + option->offset, (const char *)ns + option->offset,
                       sizeof(int64_t));
                continue;
            }
            char **text = option_text_field(copy, option);
            free(*text);
            *text = strdup(*(char *const *)(const void *)((const char *)ns + option->offset));
            if (*text == NULL) {
                return NO_MEMORY;
            }
        }
    }
    return OK;
}

/* --- together ----------------------------------------------------------------------------------- */

const char *namespaces_check(const struct options *options, char room[OPTION_REASON_MAX],
                             unsigned *ret_line)
{
    for (unsigned i = 0; i < options->namespace_count; i++) {
        const struct namespace_options *ns = &options->namespaces[i];
        *ret_line = ns->line;
        if (ns->prefix[0] == '\0') {
            (void)snprintf(room, OPTION_REASON_MAX, "namespace '%s': expected a prefix", ns->name);
            return room;
        }
        for (unsigned j = 0; j < i; j++) {
            if (strcmp(options->namespaces[j].prefix, ns->prefix) == 0) {
                (void)snprintf(room, OPTION_REASON_MAX,
                               "namespace '%s': namespace '%s' has the same prefix", ns->name,
                               options->namespaces[j].name);
                return room;
            }
        }
    }
    return NULL;
}

/* What the first `count` named ones take at least; INT64_MAX: more than can be counted. */
static int64_t memory_of_named(const struct options *options, unsigned count)
{
    int64_t sum = 0;
    for (unsigned i = 0; i < count; i++) {
        const int64_t own = options->namespaces[i].memory;
        if (__builtin_add_overflow(sum, own > 0 ? own : OPTION_MEMORY_MIN, &sum)) {
            return INT64_MAX;
        }
    }
    return sum;
}

/* What each gets that has no number of its own, `default` among them; what cannot be divided is that one's, too. */
static size_t memory_share(const struct options *options)
{
    size_t rest = options_memory(options);
    unsigned sharers = 1;
    for (unsigned i = 0; i < options->namespace_count; i++) {
        rest -= (size_t)options->namespaces[i].memory; /* memory_check: they fit */
        sharers += options->namespaces[i].memory == 0;
    }
    return rest / sharers;
}

static bool is_managed(const struct namespace_options *ns)
{
    return strcmp(ns->format, "managed") == 0;
}

/* A value of mode `ttl` is as old as its life in L1, so that must end. */
static bool lives_without_end(const char *mode, int64_t ttl_ms)
{
    struct namespace_mode parsed;
    return ttl_ms == 0 && mode_parse(slice_of(mode), &parsed) == OK && parsed.kind == NAMESPACE_TTL;
}

static const char *ttl_reason(const char *mode, int64_t ttl_ms, bool is_alone,
                              const char **ret_option)
{
    if (ttl_ms > 0 && is_alone) {
        *ret_option = "ttl";
        return "ttl needs l2: alone, a value lives as long as its writer said";
    }
    *ret_option = "mode";
    return lives_without_end(mode, ttl_ms) ? "mode 'ttl' needs a ttl above 0" : NULL;
}

static const char *ttl_check(const struct options *options, char room[OPTION_REASON_MAX],
                             struct option_place *ret_place)
{
    const bool is_alone = options->l2[0] == '\0';
    const char *option = NULL;
    const char *reason = ttl_reason(options->mode, options->ttl, is_alone, &option);
    if (reason != NULL) {
        *ret_place = (struct option_place){.option = option_find(slice_of(option))};
        return reason;
    }
    for (unsigned i = 0; i < options->namespace_count; i++) {
        const struct namespace_options *ns = &options->namespaces[i];
        reason = ttl_reason(ns->mode, ns->ttl, is_alone, &option);
        if (reason != NULL) {
            *ret_place = (struct option_place){.option = namespace_option_find(slice_of(option)),
                                               .section = ns};
            (void)snprintf(room, OPTION_REASON_MAX, "namespace '%s': %s", ns->name, reason);
            return room;
        }
    }
    return NULL;
}

/* Who numbers, and publishes, the writes of a managed namespace is L2. */
static const char *format_check(const struct options *options, char room[OPTION_REASON_MAX],
                                struct option_place *ret_place)
{
    for (unsigned i = 0; i < options->namespace_count && options->l2[0] == '\0'; i++) {
        const struct namespace_options *ns = &options->namespaces[i];
        if (is_managed(ns)) {
            *ret_place = (struct option_place){
                .option = namespace_option_find(SLICE_LITERAL("format")), .section = ns};
            (void)snprintf(room, OPTION_REASON_MAX,
                           "namespace '%s': format 'managed' needs l2: alone, nobody numbers its "
                           "writes",
                           ns->name);
            return room;
        }
    }
    return NULL;
}

/* A write that is answered by the disk of one node cannot have been applied by all. */
static const char *behind_check(const struct options *options, char room[OPTION_REASON_MAX],
                                struct option_place *ret_place)
{
    for (unsigned i = 0; i < options->namespace_count; i++) {
        const struct namespace_options *ns = &options->namespaces[i];
        struct namespace_mode mode;
        if (!slice_is_nocase(slice_of(ns->write), "behind")) {
            continue;
        }
        const bool is_strict =
            mode_parse(slice_of(ns->mode), &mode) == OK && mode.kind == NAMESPACE_STRICT;
        const char *why = !is_managed(ns)                  ? "needs format 'managed'"
                          : options->behind_dir[0] == '\0' ? "needs behind-dir"
                          : is_strict                      ? "does not go with mode 'strict'"
                                                           : NULL;
        if (why != NULL) {
            *ret_place = (struct option_place){
                .option = namespace_option_find(SLICE_LITERAL("write")), .section = ns};
            (void)snprintf(room, OPTION_REASON_MAX, "namespace '%s': write 'behind' %s", ns->name,
                           why);
            return room;
        }
    }
    return NULL;
}

/* The namespace with which it is too much is the one that is named. */
static const char *memory_check(const struct options *options, char room[OPTION_REASON_MAX],
                                struct option_place *ret_place)
{
    const int64_t all = (int64_t)options_memory(options);
    for (unsigned i = 0; i < options->namespace_count; i++) {
        if (memory_of_named(options, i + 1) > all - OPTION_MEMORY_MIN) {
            *ret_place =
                (struct option_place){.option = namespace_option_find(SLICE_LITERAL("memory")),
                                      .section = &options->namespaces[i]};
            (void)snprintf(room, OPTION_REASON_MAX,
                           "the namespaces' memory (%" PRId64
                           " bytes together, at least 1mb each) must leave at least 1mb "
                           "of the node's (%" PRId64 " bytes) to the keys of no namespace",
                           memory_of_named(options, options->namespace_count), all);
            return room;
        }
    }
    return NULL;
}

const char *namespaces_check_together(const struct options *options, char room[OPTION_REASON_MAX],
                                      struct option_place *ret_place)
{
    const char *reason = memory_check(options, room, ret_place);
    if (reason == NULL) {
        reason = format_check(options, room, ret_place);
    }
    if (reason == NULL) {
        reason = behind_check(options, room, ret_place);
    }
    if (reason == NULL) {
        reason = ttl_check(options, room, ret_place);
    }
    return reason != NULL ? reason : namespaces_check_sense(options, room, ret_place);
}

/* --- for the tiers ------------------------------------------------------------------------------ */

size_t options_memory(const struct options *options)
{
    static const size_t gibibyte = (size_t)1 << 30;
    if (options->memory > 0) {
        return (size_t)options->memory;
    }
    const size_t half = machine_memory() / 2;
    return half < gibibyte ? half : gibibyte;
}

unsigned options_threads(const struct options *options)
{
    enum {
        THREADS_MAX = 8
    };
    if (options->threads > 0) {
        return (unsigned)options->threads;
    }
    return machine_cpus() < THREADS_MAX ? machine_cpus() : THREADS_MAX;
}

static struct namespace_settings settings_of(const char *mode, const char *writers, size_t memory,
                                             const char *policy)
{
    struct namespace_settings settings = {.memory = memory,
                                          .told = slice_is_nocase(slice_of(writers), "nodes"),
                                          .policy = policy_find(slice_of(policy))};
    CHECK(mode_parse(slice_of(mode), &settings.mode) == OK); /* checked when it was assigned */
    return settings;
}

static enum namespace_write write_of(const struct namespace_options *ns)
{
    const struct slice write = slice_of(ns->write);
    return slice_is_nocase(write, "around")   ? NAMESPACE_AROUND
           : slice_is_nocase(write, "behind") ? NAMESPACE_BEHIND
                                              : NAMESPACE_THROUGH;
}

static struct ns_rules rules_of(const struct namespace_options *ns)
{
    struct ns_rules rules = {
        .ttl_ms = ns->ttl,
        .max_ttl_ms = ns->max_ttl,
        .jitter_percent = ns->jitter,
        .swr_ms = ns->swr,
        .sie_ms = ns->sie,
        .eager_percent = ns->eager,
        .negative_ttl_ms = ns->negative_ttl,
        .soft_timeout_ms = ns->soft_timeout,
        .hard_timeout_ms = ns->hard_timeout,
        .load_timeout_ms = ns->load_timeout,
        .compress_min = ns->compress_min,
        .write = write_of(ns),
    };
    CHECK(factor_parse(slice_of(ns->xfetch), &rules.xfetch_milli) == OK); /* as mode */
    return rules;
}

/* Of plain values `ttl` bounds the life in L1; managed ones are given it when they are written, and only nodes write them. */
static void settle_format(struct namespace_spec *spec, const struct namespace_options *ns)
{
    spec->managed = is_managed(ns);
    spec->settings.told = spec->settings.told || spec->managed;
    spec->settings.ttl_ms = spec->managed ? 0 : ns->ttl;
    spec->settings.rules = rules_of(ns);
}

unsigned options_specs(const struct options *options, struct namespace_spec specs[NAMESPACES_MAX])
{
    const size_t share = memory_share(options);
    const unsigned threads = options_threads(options);
    size_t rest = options_memory(options);
    for (unsigned i = 0; i < options->namespace_count; i++) {
        const struct namespace_options *ns = &options->namespaces[i];
        const size_t memory = ns->memory > 0 ? (size_t)ns->memory : share;
        rest -= memory;
        specs[i + 1] = (struct namespace_spec){
            .name = slice_of(ns->name),
            .prefix = slice_of(ns->prefix),
            .threads = threads,
            .settings = settings_of(ns->mode, ns->writers, memory, ns->policy)};
        specs[i + 1].settings.whatif = options->whatif;
        settle_format(&specs[i + 1], ns);
        specs[i + 1].settings.max_ops = ns->max_ops;
        specs[i + 1].settings.max_bytes = ns->max_bytes;
    }
    specs[0] = (struct namespace_spec){
        .name = SLICE_LITERAL("default"),
        .threads = threads,
        .settings = settings_of(options->mode, options->writers, rest, options->policy)};
    specs[0].settings.ttl_ms = options->ttl;
    specs[0].settings.whatif = options->whatif;
    specs[0].settings.max_ops = options->max_ops;
    specs[0].settings.max_bytes = options->max_bytes;
    return options->namespace_count + 1;
}
