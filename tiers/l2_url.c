/* SPDX-License-Identifier: BSD-3-Clause */
#include "tiers/l2_url.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    REDIS_PORT = 6379,
    PORT_MAX = 65535,
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

static bool starts_with(struct slice text, const char *prefix)
{
    const size_t size = strlen(prefix);
    return text.size >= size && memcmp(text.data, prefix, size) == 0;
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

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9') {
        return c - '0';
    }
    const char lower = (char)(c | 0x20);
    return lower >= 'a' && lower <= 'f' ? lower - 'a' + 10 : -1;
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
            return refuse(
                error, "L2 URL: user and password want %%xx escapes of two hex digits, not %%00");
        }
        plain[size++] = byte;
    }
    plain[size] = '\0';
    *ret_text = plain;
    return OK;
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
static enum status endpoint_parse(struct slice text, struct l2_url *url, char *error)
{
    const bool bracketed = text.size > 0 && text.data[0] == '[';
    struct slice host = {.data = text.data, .size = find_first(text, bracketed ? ']' : ':')};
    size_t end = host.size;
    if (bracketed) {
        if (end == text.size) {
            return refuse(error, "L2 URL: expected ] after the IPv6 address");
        }
        host.data++;
        host.size--;
        end++;
    }
    if (host.size == 0) {
        return refuse(error, "L2 URL: expected a host, as in redis://127.0.0.1:6379");
    }
    for (size_t i = 0; i < host.size; i++) {
        if (host.data[i] <= ' ' || host.data[i] == 0x7f) {
            return refuse(error, "L2 URL: a host has no spaces or control characters");
        }
    }
    uint64_t port = REDIS_PORT;
    if (end < text.size &&
        (text.data[end] != ':' || slice_to_u64(slice_from(text, end + 1), &port) != OK ||
         port < 1 || port > PORT_MAX)) {
        return refuse(error, "L2 URL: expected a port from 1 to %d after the host", PORT_MAX);
    }
    url->port = (int)port;
    url->host = text_copy(host);
    return url->host != NULL ? OK : NO_MEMORY;
}

static enum status db_parse(struct slice text, struct l2_url *url, char *error)
{
    uint64_t db = 0;
    if (slice_to_u64(text, &db) != OK) {
        return refuse(error, "L2 URL: expected the number of a database");
    }
    if (db != 0) {
        return refuse(error,
                      "L2 URL: only database 0 can be named: clients choose theirs by SELECT");
    }
    url->db = 0;
    return OK;
}

/* Behind "redis://". */
static enum status tcp_parse(struct slice text, struct l2_url *url, char *error)
{
    if (find_first(text, '?') < text.size) {
        return refuse(error, "L2 URL: parameters (?...) are not supported by this version");
    }
    const size_t slash = find_first(text, '/');
    struct slice authority = {.data = text.data, .size = slash};
    enum status status = OK;
    const size_t at =
        find_last(authority, '@'); /* the last: passwords are often written unescaped */
    if (at < authority.size) {
        status = credentials_parse((struct slice){.data = authority.data, .size = at}, url, error);
        authority = slice_from(authority, at + 1);
    }
    if (status == OK && find_first(authority, ',') < authority.size) {
        status = refuse(error, "L2 URL: several endpoints are not supported by this version");
    }
    if (status == OK) {
        status = endpoint_parse(authority, url, error);
    }
    if (status == OK && slash + 1 < text.size) {
        status = db_parse(slice_from(text, slash + 1), url, error);
    }
    return status;
}

/* Behind "unix://". */
static enum status unix_parse(struct slice text, struct l2_url *url, char *error)
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
    const size_t question = find_first(text, '?');
    const struct slice path = {.data = text.data, .size = question};
    if (path.size < 2 || path.data[0] != '/' || path.size > UNIX_PATH_MAX ||
        memchr(path.data, '\0', path.size) != NULL) {
        return refuse(
            error,
            "L2 URL: expected an absolute path of at most %d bytes, as in unix:///run/redis.sock",
            UNIX_PATH_MAX);
    }
    if (question < text.size) {
        const struct slice query = slice_from(text, question + 1);
        if (!starts_with(query, "db=")) {
            return refuse(error, "L2 URL: the only parameter of unix:// is ?db=");
        }
        const enum status status = db_parse(slice_from(query, 3), url, error);
        if (status != OK) {
            return status;
        }
    }
    url->host = text_copy(path);
    return url->host != NULL ? OK : NO_MEMORY;
}

enum status l2_url_parse(struct slice text, struct l2_url *ret_url, char error[L2_URL_ERROR_MAX])
{
    static const char *const known[] = {"rediss://", "redis+sentinel://", "redis+cluster://"};
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++) {
        if (starts_with(text, known[i])) {
            return refuse(error, "L2 URL: %s is not supported by this version", known[i]);
        }
    }
    struct l2_url url = {0};
    enum status status = INVALID;
    if (starts_with(text, "redis://")) {
        status = tcp_parse(slice_from(text, strlen("redis://")), &url, error);
    } else if (starts_with(text, "unix://")) {
        status = unix_parse(slice_from(text, strlen("unix://")), &url, error);
    } else {
        return refuse(error, "L2 URL: expected redis://[user[:pass]@]host[:port] or unix:///path");
    }
    if (status == OK) {
        *ret_url = url;
        return OK;
    }
    if (status == NO_MEMORY) {
        (void)snprintf(error, L2_URL_ERROR_MAX, "L2 URL: no memory");
    }
    l2_url_done(&url);
    return status;
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
