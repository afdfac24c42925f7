/* SPDX-License-Identifier: BSD-3-Clause */
#include "bench/profile.h"

#include <jansson.h>
#include <stdio.h>
#include <string.h>

enum {
    NUMBER_SIZE = 64
};

static enum status refuse(struct options *options, const char *name, const char *member,
                          const char *what)
{
    char text[sizeof options->error];
    (void)snprintf(text, sizeof text, "%.120s: %.60s: %.200s", name, member, what);
    memcpy(options->error, text, sizeof text);
    return INVALID;
}

/* The text a user would have typed behind the flag. False: no flag takes such a thing. */
static bool as_text(const json_t *value, char digits[NUMBER_SIZE], const char **ret_text)
{
    if (json_is_string(value)) {
        *ret_text = json_string_value(value);
        return true;
    }
    if (json_is_integer(value)) {
        (void)snprintf(digits, NUMBER_SIZE, "%" JSON_INTEGER_FORMAT, json_integer_value(value));
    } else if (json_is_real(value)) {
        (void)snprintf(digits, NUMBER_SIZE, "%.17g", json_real_value(value));
    } else if (json_is_boolean(value)) {
        (void)snprintf(digits, NUMBER_SIZE, "%s", json_is_true(value) ? "true" : "false");
    } else {
        return false;
    }
    *ret_text = digits;
    return true;
}

static enum status take_members(struct options *options, const char *name, json_t *object)
{
    const char *member = NULL;
    json_t *value = NULL;
    json_object_foreach(object, member, value)
    {
        if (strcmp(member, "description") == 0 || strcmp(member, "thresholds") == 0) {
            continue;
        }
        char digits[NUMBER_SIZE];
        const char *text = NULL;
        if (!as_text(value, digits, &text)) {
            return refuse(options, name, member, "expected a string, a number, true or false");
        }
        if (strcmp(member, "profile") == 0) {
            return refuse(options, name, member, "a profile names no other profile");
        }
        if (options_set(options, member, text) != OK) {
            char what[sizeof options->error];
            memcpy(what, options->error, sizeof what);
            return refuse(options, name, member, what);
        }
    }
    return OK;
}

enum status profile_read(struct options *options, const char *name)
{
    json_error_t trouble;
    json_t *root = json_load_file(name, JSON_REJECT_DUPLICATES, &trouble);
    if (root == NULL) {
        char place[48] = "profile";
        if (trouble.line > 0) {
            (void)snprintf(place, sizeof place, "line %d", trouble.line);
        }
        return refuse(options, name, place, trouble.text);
    }
    enum status status = OK;
    json_t *thresholds = json_object_get(root, "thresholds");
    if (!json_is_object(root)) {
        status = refuse(options, name, "profile", "expected a JSON object");
    } else if (thresholds != NULL && !json_is_object(thresholds)) {
        status = refuse(options, name, "thresholds", "expected a JSON object");
    } else {
        status = take_members(options, name, root);
    }
    if (status == OK && thresholds != NULL) {
        status = take_members(options, name, thresholds);
    }
    json_decref(root);
    return status;
}
