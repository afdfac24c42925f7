/* SPDX-License-Identifier: BSD-3-Clause */
#include "protocol/check.h"
#include "server/client_limits.h"
#include "server/option_table.h"
#include "server/renames.h"
#include "server/tls.h"
#include "tiers/l2_url.h"
#include "tiers/policy.h"
#include "tiers/tiers.h"

#include <string.h>

static bool is_space(char c)
{
    return c == ' ' || c == '\t';
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
    static const char scheme[] = "tls://";
    ret_address->tls = slice_begins(text, scheme);
    if (ret_address->tls) {
        text = (struct slice){text.data + sizeof(scheme) - 1, text.size - (sizeof(scheme) - 1)};
    }
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

enum status options_first_address(const struct options *options, bool tls,
                                  struct option_address *ret_address)
{
    struct slice rest = slice_of(options->listen);
    enum status status = OK;
    do {
        status = options_next_address(&rest, ret_address);
    } while (status == OK && ret_address->tls != tls);
    return status == OK ? OK : MISS;
}

static const char *check_addresses(struct slice value, unsigned count_max)
{
    struct option_address address;
    enum status status = OK;
    for (unsigned count = 0; status == OK; count++) {
        status = options_next_address(&value, &address);
        if (status == OK && (count == count_max || (address.tls && count_max == 1))) {
            return "argument must be one HOST:PORT";
        }
    }
    return status == MISS ? NULL : "argument must be HOST:PORT, an IPv6 host in brackets";
}

static bool is_loopback(struct slice host)
{
    return slice_begins(host, "127.") || slice_is(host, "::1") ||
           slice_is_nocase(host, "localhost");
}

static const char *check_listen(const struct options *options, struct option_place *ret_place)
{
    *ret_place = (struct option_place){.option = option_find(SLICE_LITERAL("listen"))};
    if (!options->protected_mode || options->requirepass[0] != '\0' ||
        options->aclfile[0] != '\0') { /* the listener looks at what the file says */
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

/* --- TLS ---------------------------------------------------------------------------------------- */

/* Redis' words; "optional" in any case, too. */
static const char *const auth_words[] = {"no", "yes", "optional"};

enum tls_asks options_tls_asks(const struct options *options)
{
    return slice_is_nocase(slice_of(options->tls_auth_clients), "no")         ? TLS_ASKS_NOT
           : slice_is_nocase(slice_of(options->tls_auth_clients), "optional") ? TLS_ASKS
                                                                              : TLS_DEMANDS;
}

static const char *check_pair(const char *cert, const char *key)
{
    return (cert[0] == '\0') == (key[0] == '\0')
               ? NULL
               : "a certificate and its key go together: one of the two files is not set";
}

static const char *check_tls(const struct options *options, struct option_place *ret_place)
{
    struct option_address address;
    *ret_place = (struct option_place){.option = option_find(SLICE_LITERAL("tls-cert-file"))};
    const char *reason = check_pair(options->tls_cert_file, options->tls_key_file);
    if (reason == NULL && options_first_address(options, true, &address) == OK) {
        if (options->tls_cert_file[0] == '\0') {
            *ret_place = (struct option_place){.option = option_find(SLICE_LITERAL("listen"))};
            return "tls:// needs a certificate: set tls-cert-file and tls-key-file";
        }
        if (options_tls_asks(options) != TLS_ASKS_NOT && options->tls_ca_cert_file[0] == '\0' &&
            options->tls_ca_cert_dir[0] == '\0') {
            *ret_place =
                (struct option_place){.option = option_find(SLICE_LITERAL("tls-auth-clients"))};
            return "clients must show certificates, and nobody may sign them: set "
                   "tls-ca-cert-file or tls-ca-cert-dir, or tls-auth-clients = no";
        }
    }
    if (reason == NULL) {
        *ret_place =
            (struct option_place){.option = option_find(SLICE_LITERAL("l2-tls-cert-file"))};
        reason = check_pair(options->l2_tls_cert_file, options->l2_tls_key_file);
    }
    return reason;
}

const char *options_check_together(const struct options *options, char room[OPTION_REASON_MAX],
                                   struct option_place *ret_place)
{
    const char *reason = check_listen(options, ret_place);
    if (reason == NULL) {
        reason = check_tls(options, ret_place);
    }
    return reason != NULL ? reason : namespaces_check_together(options, room, ret_place);
}

/* --- l2 ----------------------------------------------------------------------------------------- */

static const char *check_l2(struct slice value, char room[OPTION_REASON_MAX])
{
    struct l2_urls urls;
    char why[L2_URL_ERROR_MAX];
    if (value.size == 0) {
        return NULL;
    }
    if (l2_urls_parse(value, &urls, why) == OK) {
        l2_urls_done(&urls);
        return NULL;
    }
    (void)snprintf(room, OPTION_REASON_MAX, "%s", why);
    return room;
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
    const bool secret = option_is_secret(option);
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

static const char *check_writers(struct slice value, char room[OPTION_REASON_MAX])
{
    static const char *const writers[] = {"any", "nodes"};
    return check_word(value, writers, 2, room);
}

static const char *check_memory(struct slice value)
{
    int64_t bytes = 0;
    return bytes_parse(value, &bytes) == OK && (bytes == 0 || bytes >= OPTION_MEMORY_MIN)
               ? NULL
               : "argument must be 0 or at least 1mb; a number without a unit counts bytes";
}

static const char *check_namespace_text(const struct option *option, struct slice value,
                                        char room[OPTION_REASON_MAX])
{
    static const char *const formats[] = {"plain", "managed"};
    switch (option->offset) {
    case offsetof(struct namespace_options, prefix): return prefix_check(value);
    case offsetof(struct namespace_options, mode): return mode_check(value);
    case offsetof(struct namespace_options, memory): return check_memory(value);
    case offsetof(struct namespace_options, policy): return check_policy(value, room);
    case offsetof(struct namespace_options, writers): return check_writers(value, room);
    case offsetof(struct namespace_options, format): return check_word(value, formats, 2, room);
    case offsetof(struct namespace_options, xfetch): return xfetch_check(value);
    case offsetof(struct namespace_options, write): return write_check(value);
    default: return NULL;
    }
}

enum status options_rate(struct slice value, int64_t *ret_rate)
{
    uint64_t number = 0;
    if (slice_is_nocase(value, "auto")) {
        *ret_rate = REVALIDATE_AUTO;
        return OK;
    }
    if (slice_to_u64(value, &number) != OK || number > OPTION_RATE_MAX) {
        return MALFORMED;
    }
    *ret_rate = (int64_t)number;
    return OK;
}

static const char *check_rate(struct slice value)
{
    int64_t rate = 0;
    return options_rate(value, &rate) == OK
               ? NULL
               : "argument must be 'auto' or a number of keys per second up to 1000000";
}

static const char *check_renames(struct slice value, char room[OPTION_REASON_MAX])
{
    struct renames *renames = NULL;
    const enum status status = renames_parse(value, &renames, room, OPTION_REASON_MAX);
    renames_free(renames);
    return status == OK ? NULL : status == INVALID ? room : "out of memory";
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
    if (option->of_namespace) {
        return check_namespace_text(option, value, room);
    }
    if (IS(listen)) {
        return check_addresses(value, UINT32_MAX);
    }
    if (IS(admin)) {
        return check_addresses(value, 1);
    }
    if (IS(mode)) {
        return mode_check(value);
    }
    if (IS(tls_auth_clients)) {
        return check_word(value, auth_words, 3, room);
    }
    if (IS(tls_protocols)) {
        return tls_protocols_are_known(value)
                   ? NULL
                   : "argument must be TLSv1.2, TLSv1.3 or both: older ones are not spoken";
    }
    if (IS(l2)) {
        return check_l2(value, room);
    }
    if (IS(memory)) {
        return check_memory(value);
    }
    if (IS(revalidate_rate)) {
        return check_rate(value);
    }
    if (IS(writers)) {
        return check_writers(value, room);
    }
    if (IS(policy)) {
        return check_policy(value, room);
    }
    if (IS(client_output_buffer_limit)) {
        struct output_limits limits = {0};
        return output_limits_parse(value, &limits);
    }
    if (IS(maxmemory_clients)) {
        int64_t number = 0;
        return client_memory_parse(value, &number);
    }
    if (IS(loglevel)) {
        return check_word(value, levels, sizeof(levels) / sizeof(levels[0]), room);
    }
    if (IS(logformat)) {
        return check_word(value, formats, sizeof(formats) / sizeof(formats[0]), room);
    }
    if (IS(rename_command)) {
        return check_renames(value, room);
    }
    if (IS(acl_pubsub_default)) {
        static const char *const words[] = {"allchannels", "resetchannels"};
        return check_word(value, words, 2, room);
    }
    if (IS(unixsocketperm)) {
        return check_octal(value);
    }
#undef IS
    return NULL;
}
