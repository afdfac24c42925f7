/* SPDX-License-Identifier: BSD-3-Clause */
#include "tiers/l2_url.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SENTINEL_SCHEME     "redis+sentinel://"
#define SENTINEL_TLS_SCHEME "rediss+sentinel://"

enum {
    REDIS_PORT = 6379,
    SENTINEL_PORT = 26379,
    PORT_MAX = 65535,
    PRIORITY_MAX = 65535,
    UNIX_PATH_MAX = 107 /* sun_path less its NUL */
};

/* No part of the URL is ever repeated in an error: it may hold a password. */
static enum status __attribute__((format(printf, 2, 3)))
refuse(char *error, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    (void)vsnprintf(error, L2_URL_ERROR_MAX, format, args);
    va_end(args);
    return INVALID;
}

static struct slice slice_from(struct slice text, size_t start)
{
    return (struct slice){.data = text.data + start, .size = text.size - start};
}

/* Where the byte stands first, or text.size. */
static size_t find_first(struct slice text, char byte)
{
    const char *at = text.size > 0 ? memchr(text.data, byte, text.size) : NULL;
    return at != NULL ? (size_t)(at - text.data) : text.size;
}

static size_t find_last(struct slice text, char byte)
{
    const char *at = text.size > 0 ? memrchr(text.data, byte, text.size) : NULL;
    return at != NULL ? (size_t)(at - text.data) : text.size;
}

static char *text_copy(struct slice text)
{
    char *copy = malloc(text.size + 1);
    if (copy != NULL) {
        memcpy(copy, text.data, text.size);
        copy[text.size] = '\0';
    }
    return copy;
}

/* Decodes %xx into a string of its own. */
static enum status unescape(struct slice text, char **ret_text, char *error)
{
    char *plain = malloc(text.size + 1);
    if (plain == NULL) {
        return NO_MEMORY;
    }
    size_t size = 0;
    for (size_t i = 0; i < text.size; i++) {
        char byte = text.data[i];
        if (byte == '%') {
            const int high = i + 2 < text.size ? hex_digit(text.data[i + 1]) : -1;
            const int low = i + 2 < text.size ? hex_digit(text.data[i + 2]) : -1;
            byte = (char)(high >= 0 && low >= 0 ? high * 16 + low : 0);
            i += 2;
        }
        if (byte == '\0') {
            free(plain);
            return refuse(error, "user and password want %%xx escapes of two hex digits, not %%00");
        }
        plain[size++] = byte;
    }
    plain[size] = '\0';
    *ret_text = plain;
    return OK;
}

static enum status login_copy(const struct l2_url *from, struct l2_url *to)
{
    to->user = from->user != NULL ? text_copy(slice_of(from->user)) : NULL;
    to->pass = from->pass != NULL ? text_copy(slice_of(from->pass)) : NULL;
    const bool whole =
        (from->user == NULL) == (to->user == NULL) && (from->pass == NULL) == (to->pass == NULL);
    return whole ? OK : NO_MEMORY;
}

/* "user", "user:pass" or ":pass". */
static enum status credentials_parse(struct slice text, struct l2_url *url, char *error)
{
    const size_t colon = find_first(text, ':');
    if (colon > 0) {
        const enum status status =
            unescape((struct slice){.data = text.data, .size = colon}, &url->user, error);
        if (status != OK) {
            return status;
        }
    }
    return colon < text.size ? unescape(slice_from(text, colon + 1), &url->pass, error) : OK;
}

/* "host", "host:port", "[v6]", "[v6]:port". */
static enum status endpoint_parse(struct slice text, int default_port, struct l2_url *url,
                                  char *error)
{
    const bool bracketed = text.size > 0 && text.data[0] == '[';
    struct slice host = {.data = text.data, .size = find_first(text, bracketed ? ']' : ':')};
    size_t end = host.size;
    if (bracketed) {
        if (end == text.size) {
            return refuse(error, "expected ] after the IPv6 address");
        }
        host.data++;
        host.size--;
        end++;
    }
    if (host.size == 0) {
        return refuse(error, "expected a host, as in redis://127.0.0.1:6379");
    }
    for (size_t i = 0; i < host.size; i++) {
        if (host.data[i] <= ' ' || host.data[i] == 0x7f) {
            return refuse(error, "a host has no spaces or control characters");
        }
    }
    uint64_t port = (uint64_t)default_port;
    if (end < text.size &&
        (text.data[end] != ':' || slice_to_u64(slice_from(text, end + 1), &port) != OK ||
         port < 1 || port > PORT_MAX)) {
        return refuse(error, "expected a port from 1 to %d after the host", PORT_MAX);
    }
    url->port = (int)port;
    url->host = text_copy(host);
    return url->host != NULL ? OK : NO_MEMORY;
}

static enum status db_parse(struct slice text, char *error)
{
    uint64_t db = 0;
    if (slice_to_u64(text, &db) != OK) {
        return refuse(error, "expected the number of a database");
    }
    if (db != 0) {
        return refuse(
            error,
            "another database than 0 is not supported by this version: clients choose theirs by SELECT");
    }
    return OK;
}

/* --- parameters ------------------------------------------------------------------------------------------------------ */

/* What may stand behind '?'. A NULL place: not in this kind of URL. */
struct parameters {
    int *priority;
    bool *independent;
    bool takes_db;
    char **user;
    char **pass;
};

static enum status secret_take(struct slice value, char **place, char *error)
{
    if (*place != NULL) {
        return refuse(error, "a parameter is given twice");
    }
    return unescape(value, place, error);
}

static enum status parameter_take(struct slice name, struct slice value,
                                  const struct parameters *known, char *error)
{
    uint64_t number = 0;
    if (slice_equal(name, SLICE_LITERAL("priority")) && known->priority != NULL) {
        if (slice_to_u64(value, &number) != OK || number > PRIORITY_MAX) {
            return refuse(error, "priority wants a number from 0 to %d", PRIORITY_MAX);
        }
        *known->priority = (int)number;
        return OK;
    }
    if (slice_equal(name, SLICE_LITERAL("independent")) && known->independent != NULL) {
        if (slice_to_u64(value, &number) != OK || number > 1) {
            return refuse(error, "independent wants 0 or 1");
        }
        *known->independent = *known->independent || number == 1;
        return OK;
    }
    if (slice_equal(name, SLICE_LITERAL("db")) && known->takes_db) {
        return db_parse(value, error);
    }
    if (slice_equal(name, SLICE_LITERAL("sentinel-user")) && known->user != NULL) {
        return secret_take(value, known->user, error);
    }
    if (slice_equal(name, SLICE_LITERAL("sentinel-pass")) && known->pass != NULL) {
        return secret_take(value, known->pass, error);
    }
    return refuse(error,
                  known->user != NULL ? "the parameters of redis+sentinel:// are sentinel-user and "
                                        "sentinel-pass"
                                      : "the parameters are priority, independent%s",
                  known->takes_db ? " and, of unix://, db" : "");
}

/* "a=1&b=2". */
static enum status parameters_parse(struct slice text, const struct parameters *known, char *error)
{
    while (text.size > 0) {
        const struct slice one = {.data = text.data, .size = find_first(text, '&')};
        const size_t equals = find_first(one, '=');
        if (equals == one.size) {
            return refuse(error, "expected name=value behind the ?");
        }
        const enum status status = parameter_take((struct slice){.data = one.data, .size = equals},
                                                  slice_from(one, equals + 1), known, error);
        if (status != OK) {
            return status;
        }
        text = slice_from(text, one.size < text.size ? one.size + 1 : one.size);
    }
    return OK;
}

/* Cuts what stands behind '?' off. */
static struct slice query_cut(struct slice *text)
{
    const size_t question = find_first(*text, '?');
    const struct slice query = slice_from(*text, question < text->size ? question + 1 : question);
    text->size = question;
    return query;
}

/* --- one endpoint ---------------------------------------------------------------------------------------------------- */

/* Where "user:pass@" ends: at the last '@' in front of the first '/', for passwords are often written unescaped. */
static enum status login_cut(struct slice *authority, struct l2_url *url, char *error)
{
    const size_t at = find_last(*authority, '@');
    if (at == authority->size) {
        return OK;
    }
    const enum status status =
        credentials_parse((struct slice){.data = authority->data, .size = at}, url, error);
    *authority = slice_from(*authority, at + 1);
    return status;
}

/* Behind "redis://". A '?' in a password must be escaped. */
static enum status tcp_parse(struct slice text, struct l2_url *url, bool *independent, char *error)
{
    const struct slice query = query_cut(&text);
    const size_t slash = find_first(text, '/');
    struct slice authority = {.data = text.data, .size = slash};
    enum status status = login_cut(&authority, url, error);
    if (status == OK && find_first(authority, ',') < authority.size) {
        status = refuse(error, "write each endpoint in full, as in redis://a,redis://b");
    }
    if (status == OK) {
        status = endpoint_parse(authority, REDIS_PORT, url, error);
    }
    if (status == OK && slash + 1 < text.size) {
        status = db_parse(slice_from(text, slash + 1), error);
    }
    const struct parameters known = {.priority = &url->priority, .independent = independent};
    return status == OK ? parameters_parse(query, &known, error) : status;
}

/* Behind "unix://". */
static enum status unix_parse(struct slice text, struct l2_url *url, bool *independent, char *error)
{
    url->is_unix = true;
    const size_t slash = find_first(text, '/');
    if (slash > 0 && slash < text.size && text.data[slash - 1] == '@') {
        const enum status status =
            credentials_parse((struct slice){.data = text.data, .size = slash - 1}, url, error);
        if (status != OK) {
            return status;
        }
        text = slice_from(text, slash);
    }
    const struct slice query = query_cut(&text);
    if (text.size < 2 || text.data[0] != '/' || text.size > UNIX_PATH_MAX ||
        memchr(text.data, '\0', text.size) != NULL) {
        return refuse(error,
                      "expected an absolute path of at most %d bytes, as in unix:///run/redis.sock",
                      UNIX_PATH_MAX);
    }
    const struct parameters known = {
        .priority = &url->priority, .independent = independent, .takes_db = true};
    const enum status status = parameters_parse(query, &known, error);
    if (status != OK) {
        return status;
    }
    url->host = text_copy(text);
    return url->host != NULL ? OK : NO_MEMORY;
}

static enum status url_parse(struct slice text, struct l2_url *url, bool *independent, char *error)
{
    static const char *const known[] = {"redis+cluster://", "rediss+cluster://"};
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++) {
        if (slice_begins(text, known[i])) {
            return refuse(error, "%s is not supported by this version", known[i]);
        }
    }
    url->tls = slice_begins(text, "rediss://");
    if (url->tls) {
        return tcp_parse(slice_from(text, strlen("rediss://")), url, independent, error);
    }
    if (slice_begins(text, "redis://")) {
        return tcp_parse(slice_from(text, strlen("redis://")), url, independent, error);
    }
    if (slice_begins(text, "unix://")) {
        return unix_parse(slice_from(text, strlen("unix://")), url, independent, error);
    }
    if (slice_begins(text, SENTINEL_SCHEME) || slice_begins(text, SENTINEL_TLS_SCHEME)) {
        return refuse(error, "%s names all sentinels itself and stands alone", SENTINEL_SCHEME);
    }
    return refuse(error, "expected redis://[user[:pass]@]host[:port] (rediss:// by TLS), "
                         "unix:///path or redis+sentinel://host,host/name");
}

/* --- several --------------------------------------------------------------------------------------------------------- */

/* Where the next endpoint begins: behind a comma that a scheme follows; a password may hold other commas. */
static size_t next_endpoint(struct slice text)
{
    static const char *const schemes[] = {"redis://", "rediss://", "unix://", "redis+", "rediss+"};
    for (size_t i = 0; i < text.size; i++) {
        for (size_t k = 0; text.data[i] == ',' && k < sizeof schemes / sizeof schemes[0]; k++) {
            if (slice_begins(slice_from(text, i + 1), schemes[k])) {
                return i;
            }
        }
    }
    return text.size;
}

/* Insertion keeps the order of equals. */
static void sort_by_priority(struct l2_urls *urls)
{
    for (size_t i = 1; i < urls->count; i++) {
        const struct l2_url one = urls->urls[i];
        size_t at = i;
        for (; at > 0 && urls->urls[at - 1].priority > one.priority; at--) {
            urls->urls[at] = urls->urls[at - 1];
        }
        urls->urls[at] = one;
    }
}

static enum status list_parse(struct slice text, struct l2_urls *urls, char *error)
{
    enum status status = OK;
    do {
        if (urls->count == L2_URLS_MAX) {
            return refuse(error, "at most %d endpoints", L2_URLS_MAX);
        }
        const size_t size = next_endpoint(text);
        /* Counted at once, so that what was read of it is freed if the rest is wrong. */
        status = url_parse((struct slice){.data = text.data, .size = size},
                           &urls->urls[urls->count++], &urls->independent, error);
        text = slice_from(text, size < text.size ? size + 1 : size);
    } while (status == OK && text.size > 0);
    sort_by_priority(urls);
    return status;
}

/* Behind "redis+sentinel://". Its login is L2's; that of the sentinels is in the parameters. */
static enum status sentinel_parse(struct slice text, struct l2_urls *urls, char *error)
{
    struct l2_url master = {0};
    struct l2_url login = {0};
    const struct slice query = query_cut(&text);
    const size_t slash = find_first(text, '/');
    struct slice hosts = {.data = text.data, .size = slash};
    enum status status = login_cut(&hosts, &master, error);
    urls->master_user = master.user;
    urls->master_pass = master.pass;
    if (status == OK && slash + 1 >= text.size) {
        status = refuse(error, "expected the name of the master behind the sentinels, as in "
                               "redis+sentinel://host,host/name");
    }
    if (status == OK) {
        status = unescape(slice_from(text, slash + 1), &urls->master_name, error);
    }
    if (status == OK && find_first(slice_from(text, slash + 1), ',') < text.size - slash - 1) {
        status = refuse(error, "expected nothing behind the name of the master, where is a comma: "
                               "sentinels are listed before it, and no other endpoint beside it");
    }
    const struct parameters known = {.user = &login.user, .pass = &login.pass};
    if (status == OK) {
        status = parameters_parse(query, &known, error);
    }
    for (bool more = true; status == OK && more;) {
        if (urls->count == L2_URLS_MAX) {
            status = refuse(error, "at most %d sentinels", L2_URLS_MAX);
            break;
        }
        const size_t size = find_first(hosts, ',');
        struct l2_url *url = &urls->urls[urls->count++];
        more = size < hosts.size;
        status = endpoint_parse((struct slice){.data = hosts.data, .size = size}, SENTINEL_PORT,
                                url, error);
        url->tls = urls->master_tls;
        hosts = slice_from(hosts, more ? size + 1 : size);
        if (status == OK) {
            status = login_copy(&login, url);
        }
    }
    l2_url_done(&login);
    return status;
}

enum status l2_urls_parse(struct slice text, struct l2_urls *ret_urls, char error[L2_URL_ERROR_MAX])
{
    struct l2_urls urls = {.master_tls = slice_begins(text, SENTINEL_TLS_SCHEME)};
    const size_t scheme = urls.master_tls                       ? strlen(SENTINEL_TLS_SCHEME)
                          : slice_begins(text, SENTINEL_SCHEME) ? strlen(SENTINEL_SCHEME)
                                                                : 0;
    const enum status status = scheme > 0 ? sentinel_parse(slice_from(text, scheme), &urls, error)
                                          : list_parse(text, &urls, error);
    if (status == OK) {
        *ret_urls = urls;
        return OK;
    }
    if (status == NO_MEMORY) {
        (void)snprintf(error, L2_URL_ERROR_MAX, "no memory");
    }
    l2_urls_done(&urls);
    return status;
}

bool l2_urls_use_tls(struct slice text)
{
    struct l2_urls urls;
    char error[L2_URL_ERROR_MAX];
    if (text.size == 0 || l2_urls_parse(text, &urls, error) != OK) {
        return false;
    }
    bool any = urls.master_tls;
    for (size_t i = 0; i < urls.count; i++) {
        any = any || urls.urls[i].tls;
    }
    l2_urls_done(&urls);
    return any;
}

/* scheme://user:PASSWORD@host: the last '@' ends the password, which may hold others. */
static enum status append_login_masked(struct buf *out, struct slice one)
{
    const char *scheme_end = one.size > 0 ? memmem(one.data, one.size, "://", 3) : NULL;
    const size_t login = scheme_end != NULL ? (size_t)(scheme_end - one.data) + 3 : one.size;
    const size_t colon = login + find_first(slice_from(one, login), ':');
    const size_t at = find_last(one, '@');
    if (at == one.size || colon >= at) {
        return buf_append_slice(out, one);
    }
    enum status status = buf_append(out, one.data, colon + 1);
    if (status == OK) {
        status = buf_append(out, L2_URL_MASK, strlen(L2_URL_MASK));
    }
    return status == OK ? buf_append_slice(out, slice_from(one, at)) : status;
}

static enum status append_query_masked(struct buf *out, struct slice query)
{
    static const char parameter[] = "sentinel-pass=";
    const char *secret =
        query.size > 0 ? memmem(query.data, query.size, parameter, sizeof parameter - 1) : NULL;
    if (secret == NULL) {
        return buf_append_slice(out, query);
    }
    /* All that is behind it goes, too: there is nothing else to know. */
    const enum status status =
        buf_append(out, query.data, (size_t)(secret - query.data) + sizeof parameter - 1);
    return status == OK ? buf_append(out, L2_URL_MASK, strlen(L2_URL_MASK)) : status;
}

enum status l2_urls_append_masked(struct buf *out, struct slice text)
{
    enum status status = OK;
    while (text.size > 0 && status == OK) {
        const struct slice one = {.data = text.data, .size = next_endpoint(text)};
        const size_t query = find_first(one, '?');
        status = append_login_masked(out, (struct slice){.data = one.data, .size = query});
        if (status == OK) {
            status = append_query_masked(out, slice_from(one, query));
        }
        text = slice_from(text, one.size);
        if (status == OK && text.size > 0) {
            status = buf_append(out, ",", 1);
            text = slice_from(text, 1);
        }
    }
    return status;
}

void l2_url_address(const struct l2_url *url, char text[L2_URL_ADDRESS_MAX])
{
    if (url->is_unix) {
        (void)snprintf(text, L2_URL_ADDRESS_MAX, "%s", url->host);
    } else {
        const bool bracketed = strchr(url->host, ':') != NULL;
        (void)snprintf(text, L2_URL_ADDRESS_MAX, "%s%s%s:%d", bracketed ? "[" : "", url->host,
                       bracketed ? "]" : "", url->port);
    }
}

enum status l2_url_copy(const struct l2_url *url, struct l2_url *ret_url)
{
    struct l2_url copy = {.is_unix = url->is_unix,
                          .tls = url->tls,
                          .port = url->port,
                          .db = url->db,
                          .priority = url->priority};
    copy.host = text_copy(slice_of(url->host));
    if (copy.host == NULL || login_copy(url, &copy) != OK) {
        l2_url_done(&copy);
        return NO_MEMORY;
    }
    *ret_url = copy;
    return OK;
}

/* A password does not stay behind in freed memory. */
static void secret_free(char *secret)
{
    if (secret != NULL) {
        explicit_bzero(secret, strlen(secret));
        free(secret);
    }
}

void l2_url_done(struct l2_url *url)
{
    free(url->host);
    free(url->user);
    secret_free(url->pass);
    *url = (struct l2_url){0};
}

void l2_urls_done(struct l2_urls *urls)
{
    for (size_t i = 0; i < urls->count; i++) {
        l2_url_done(&urls->urls[i]);
    }
    free(urls->master_name);
    free(urls->master_user);
    secret_free(urls->master_pass);
    *urls = (struct l2_urls){0};
}
