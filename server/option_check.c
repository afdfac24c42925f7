/* SPDX-License-Identifier: BSD-3-Clause */
#include "protocol/check.h"
#include "server/option_table.h"
#include "tiers/policy.h"

#include <string.h>

enum {
    BOUND_MIN_MS = 10,
    BOUND_MAX_MS = 60000
};

static bool is_space(char c)
{
    return c == ' ' || c == '\t';
}

static struct slice skip_spaces(struct slice text)
{
    while (text.size > 0 && is_space(text.data[0])) {
        text.data++;
        text.size--;
    }
    return text;
}

static bool begins_with(struct slice text, const char *prefix)
{
    const size_t size = strlen(prefix);
    return text.size >= size && memcmp(text.data, prefix, size) == 0;
}

/* --- addresses ---------------------------------------------------------------------------------- */

static bool separates(char c)
{
    return is_space(c) || c == ',';
}

static enum status parse_port(struct slice text, uint16_t *ret_port)
{
    uint64_t number = 0;
    if (slice_to_u64(text, &number) != OK || number > UINT16_MAX) {
        return MALFORMED;
    }
    *ret_port = (uint16_t)number;
    return OK;
}

static enum status parse_address(struct slice text, struct option_address *ret_address)
{
    const char *colon = memrchr(text.data, ':', text.size);
    if (colon == NULL) {
        return MALFORMED;
    }
    struct slice host = {text.data, (size_t)(colon - text.data)};
    const struct slice port = {colon + 1, text.size - host.size - 1};
    if (host.size >= 2 && host.data[0] == '[' && host.data[host.size - 1] == ']') {
        host = (struct slice){host.data + 1, host.size - 2};
    } else if (host.size > 0 && memchr(host.data, ':', host.size) != NULL) {
        return MALFORMED; /* an IPv6 host without brackets: which colon is the port's? */
    }
    if (host.size == 0 || host.size > 255) {
        return MALFORMED;
    }
    ret_address->host = host;
    return parse_port(port, &ret_address->port);
}

enum status options_next_address(struct slice *rest, struct option_address *ret_address)
{
    size_t begin = 0;
    while (begin < rest->size && separates(rest->data[begin])) {
        begin++;
    }
    size_t end = begin;
    while (end < rest->size && !separates(rest->data[end])) {
        end++;
    }
    const struct slice one = {rest->data + begin, end - begin};
    *rest = (struct slice){rest->data + end, rest->size - end};
    return one.size == 0 ? MISS : parse_address(one, ret_address);
}

static const char *check_addresses(struct slice value, unsigned count_max)
{
    struct option_address address;
    enum status status = OK;
    for (unsigned count = 0; status == OK; count++) {
        status = options_next_address(&value, &address);
        if (status == OK && count == count_max) {
            return "argument must be one HOST:PORT";
        }
    }
    return status == MISS ? NULL : "argument must be HOST:PORT, an IPv6 host in brackets";
}

static bool is_loopback(struct slice host)
{
    return begins_with(host, "127.") || slice_is(host, "::1") || slice_is_nocase(host, "localhost");
}

const char *options_check_together(const struct options *options)
{
    if (!options->protected_mode || options->requirepass[0] != '\0') {
        return NULL;
    }
    struct slice rest = slice_of(options->listen);
    struct option_address address;
    while (options_next_address(&rest, &address) == OK) {
        if (!is_loopback(address.host)) {
            return "listen goes beyond loopback without a password: set requirepass, or "
                   "protected-mode = no";
        }
    }
    return NULL;
}

/* --- mode --------------------------------------------------------------------------------------- */

static enum status parse_bounded(struct slice value, int64_t *ret_ms)
{
    if (!begins_with(value, "bounded") || value.size < 8 || !is_space(value.data[7])) {
        return MALFORMED;
    }
    const struct slice time = skip_spaces((struct slice){value.data + 7, value.size - 7});
    return time_parse(time, 1, ret_ms);
}

static const char *check_mode(struct slice value, char room[OPTION_REASON_MAX])
{
    static const char *const others[] = {"strict", "available", "ttl"};
    size_t word_size = 0;
    while (word_size < value.size && !is_space(value.data[word_size])) {
        word_size++;
    }
    const struct slice word = {value.data, word_size};
    for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++) {
        if (slice_is(word, others[i])) {
            (void)snprintf(room, OPTION_REASON_MAX, "mode '%s' is not supported by this version",
                           others[i]);
            return room;
        }
    }
    int64_t bound_ms = 0;
    if (parse_bounded(value, &bound_ms) != OK || bound_ms < BOUND_MIN_MS ||
        bound_ms > BOUND_MAX_MS) {
        return "argument must be 'bounded T' with T between 10ms and 60s";
    }
    return NULL;
}

int64_t options_bound_ms(const struct options *options)
{
    int64_t bound_ms = 0;
    CHECK(parse_bounded(slice_of(options->mode), &bound_ms) == OK);
    return bound_ms;
}

/* --- l2 ----------------------------------------------------------------------------------------- */

/* Only the kind is looked at; tiers/l2_url.h reads the rest. */
static const char *check_l2(struct slice value, char room[OPTION_REASON_MAX])
{
    static const char *const others[] = {"rediss://", "redis+sentinel://", "redis+cluster://"};
    for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++) {
        if (begins_with(value, others[i])) {
            (void)snprintf(room, OPTION_REASON_MAX, "%s is not supported by this version",
                           others[i]);
            return room;
        }
    }
    if (value.size > 0 && !begins_with(value, "redis://") && !begins_with(value, "unix://")) {
        return "argument must be redis://[user:pass@]host:port[/db] or unix:///path";
    }
    /* A password may hold a comma, a host may not. */
    const char *at = value.size > 0 ? memrchr(value.data, '@', value.size) : NULL;
    const char *hosts = at != NULL ? at : value.data;
    const size_t hosts_size = value.size - (size_t)(hosts - value.data);
    if (begins_with(value, "redis://") && memchr(hosts, ',', hosts_size) != NULL) {
        return "several endpoints are not supported by this version";
    }
    return NULL;
}

/* --- words and digits --------------------------------------------------------------------------- */

static const char *check_word(struct slice value, const char *const *words, size_t count,
                              char room[OPTION_REASON_MAX])
{
    int used = snprintf(room, OPTION_REASON_MAX, "argument(s) must be one of the following:");
    for (size_t i = 0; i < count; i++) {
        if (slice_is_nocase(value, words[i])) {
            return NULL;
        }
        used += snprintf(room + used, OPTION_REASON_MAX - (size_t)used, "%s %s", i > 0 ? "," : "",
                         words[i]);
        CHECK(used < OPTION_REASON_MAX);
    }
    return room;
}

static const char *check_policy(struct slice value, char room[OPTION_REASON_MAX])
{
    if (policy_find(value) != NULL) {
        return NULL;
    }
    (void)snprintf(room, OPTION_REASON_MAX, "argument(s) must be one of the following: %s",
                   policy_names);
    return room;
}

static const char *check_octal(struct slice value)
{
    for (size_t i = 0; i < value.size; i++) {
        if (value.data[i] < '0' || value.data[i] > '7') {
            return "argument must be octal digits such as 700";
        }
    }
    return NULL;
}

/* A value must come through a file and through --print-config unharmed. */
static const char *check_printable(const struct option *option, struct slice value)
{
    const bool secret = option->offset == offsetof(struct options, requirepass);
    for (size_t i = 0; i < value.size; i++) {
        const unsigned char c = (unsigned char)value.data[i];
        if (c == '\0' || (!secret && (c < ' ' || c == 0x7f))) {
            return "argument must not hold control characters";
        }
        if (!secret && c == ';' && (i == 0 || is_space(value.data[i - 1]))) {
            return "argument must not hold ' ;', which begins a comment";
        }
    }
    if (!secret && value.size > 0 &&
        (is_space(value.data[0]) || is_space(value.data[value.size - 1]))) {
        return "argument must not begin or end with a space";
    }
    return NULL;
}

const char *option_check_text(const struct option *option, struct slice value,
                              char room[OPTION_REASON_MAX])
{
    static const char *const levels[] = {"debug", "verbose", "notice", "warning"};
    static const char *const formats[] = {"logfmt", "json"};
#define IS(field) (option->offset == offsetof(struct options, field))
    const char *reason = check_printable(option, value);
    if (reason != NULL) {
        return reason;
    }
    if (IS(listen)) {
        return check_addresses(value, UINT32_MAX);
    }
    if (IS(admin)) {
        return check_addresses(value, 1);
    }
    if (IS(mode)) {
        return check_mode(value, room);
    }
    if (IS(l2)) {
        return check_l2(value, room);
    }
    if (IS(policy)) {
        return check_policy(value, room);
    }
    if (IS(loglevel)) {
        return check_word(value, levels, sizeof(levels) / sizeof(levels[0]), room);
    }
    if (IS(logformat)) {
        return check_word(value, formats, sizeof(formats) / sizeof(formats[0]), room);
    }
    if (IS(unixsocketperm)) {
        return check_octal(value);
    }
#undef IS
    return NULL;
}
