/* SPDX-License-Identifier: BSD-3-Clause */
/* options_url.c -- options as one text: a URL, or name=value pairs with & between them. */
#include "client/options.h"

#include <stdlib.h>
#include <string.h>

/* %41 is A. A copy of its own; NULL: no memory, or *ret_is_bad. */
static char *decoded(struct slice text, bool *ret_is_bad)
{
    char *copy = malloc(text.size + 1);
    size_t size = 0;
    for (size_t i = 0; copy != NULL && i < text.size; i++) {
        char c = text.data[i];
        if (c == '%') {
            const int high = i + 2 < text.size ? hex_digit(text.data[i + 1]) : -1;
            const int low = i + 2 < text.size ? hex_digit(text.data[i + 2]) : -1;
            *ret_is_bad |= high < 0 || low < 0 || high + low == 0;
            c = (char)((high << 4) | low);
            i += 2;
        }
        copy[size++] = c;
    }
    if (copy != NULL) {
        copy[size] = '\0';
    }
    return copy;
}

static enum terrace_status set_one(struct terrace_options *options, const char *name,
                                   struct slice value, char *error, size_t error_size)
{
    bool is_bad = false;
    char *text = decoded(value, &is_bad);
    enum terrace_status status = TERRACE_NO_MEMORY;
    if (text == NULL) {
        error_say(error, error_size, "option %s: no memory", name);
    } else if (is_bad) {
        status = TERRACE_BAD_ARGUMENT;
        error_say(error, error_size,
                  "option %s: expected two hexadecimal digits (not 00) behind %%", name);
    } else {
        status = terrace_options_set(options, name, text, error, error_size);
    }
    free(text);
    return status;
}

static enum terrace_status set_pairs(struct terrace_options *options, struct slice rest,
                                     char *error, size_t error_size)
{
    enum terrace_status status = TERRACE_OK;
    while (status == TERRACE_OK && rest.size > 0) {
        const struct slice pair = slice_next_word(&rest, "&");
        const char *equals = pair.size > 0 ? memchr(pair.data, '=', pair.size) : NULL;
        char name[64];
        const size_t name_size = equals != NULL ? (size_t)(equals - pair.data) : 0;
        if (pair.size == 0) {
            break;
        }
        if (name_size == 0 || name_size >= sizeof name) {
            error_say(error, error_size, "expected name=value, found '%.*s'",
                      (int)(pair.size < 60 ? pair.size : 60), pair.data);
            return TERRACE_BAD_ARGUMENT;
        }
        memcpy(name, pair.data, name_size);
        name[name_size] = '\0';
        status = set_one(options, name, (struct slice){equals + 1, pair.size - name_size - 1},
                         error, error_size);
    }
    return status;
}

/* Up to one of `marks`, which stays. */
static struct slice take_until(struct slice *rest, const char *marks)
{
    size_t size = 0;
    while (size < rest->size && strchr(marks, rest->data[size]) == NULL) {
        size++;
    }
    const struct slice head = {rest->data, size};
    *rest = (struct slice){rest->data + size, rest->size - size};
    return head;
}

/* user:password of user:password@hosts; :password is a password alone. */
static enum terrace_status set_login(struct terrace_options *options, struct slice *authority,
                                     char *error, size_t error_size)
{
    const char *at = authority->size > 0 ? memchr(authority->data, '@', authority->size) : NULL;
    if (at == NULL) {
        return TERRACE_OK;
    }
    struct slice login = {authority->data, (size_t)(at - authority->data)};
    *authority = (struct slice){at + 1, authority->size - login.size - 1};
    const struct slice user = take_until(&login, ":");
    enum terrace_status status = set_one(options, "user", user, error, error_size);
    if (status == TERRACE_OK && login.size > 0) {
        login = (struct slice){login.data + 1, login.size - 1};
        status = set_one(options, "password", login, error, error_size);
    }
    return status;
}

/* What stands behind terrace:// */
static enum terrace_status set_url(struct terrace_options *options, struct slice rest, char *error,
                                   size_t error_size)
{
    struct slice authority = take_until(&rest, "/?");
    enum terrace_status status = set_login(options, &authority, error, error_size);
    if (status == TERRACE_OK && authority.size > 0) {
        status = set_one(options, "endpoints", authority, error, error_size);
    }
    if (status == TERRACE_OK && rest.size > 0 && rest.data[0] == '/') {
        rest = (struct slice){rest.data + 1, rest.size - 1};
        const struct slice db = take_until(&rest, "?");
        status = db.size > 0 ? set_one(options, "db", db, error, error_size) : TERRACE_OK;
    }
    if (status == TERRACE_OK && rest.size > 0) {
        status =
            set_pairs(options, (struct slice){rest.data + 1, rest.size - 1}, error, error_size);
    }
    return status;
}

enum terrace_status terrace_options_parse(struct terrace_options *options, const char *text,
                                          char *error, size_t error_size)
{
    static const char plain[] = "terrace://", tls[] = "terraces://";
    error_say(error, error_size, "%s", "");
    if (options == NULL || text == NULL) {
        error_say(error, error_size, "options and a text are needed");
        return TERRACE_BAD_ARGUMENT;
    }
    if (strncmp(text, plain, sizeof plain - 1) == 0) {
        return set_url(options, slice_of(text + sizeof plain - 1), error, error_size);
    }
    if (strncmp(text, tls, sizeof tls - 1) == 0) {
        const enum terrace_status status =
            terrace_options_set(options, "tls", "yes", error, error_size);
        return status == TERRACE_OK
                   ? set_url(options, slice_of(text + sizeof tls - 1), error, error_size)
                   : status;
    }
    return set_pairs(options, slice_of(text), error, error_size);
}
