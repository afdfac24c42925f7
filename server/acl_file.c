/* SPDX-License-Identifier: BSD-3-Clause */
/* The file of users: one line each, "user NAME rules...", as ACL SAVE writes it. All of it is taken, or nothing. */
#include "protocol/limits.h"
#include "server/acl.h"
#include "server/acl_list.h"
#include "tiers/base/disk.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
    FILE_MAX = 16 << 20
};

struct reading {
    const char *path;
    const struct acl_rule_context *context;
    struct acl_parsed *parsed;
    struct buf *errors;
    unsigned line;
    enum status status; /* NO_MEMORY ends it */
};

static void keep(struct reading *reading, enum status status)
{
    reading->status = status != OK ? status : reading->status;
}

static const char spaces[] = " \t\r\n";

/* --- words ------------------------------------------------------------------------------------------------------ */

/* Cuts *rest at the next `mark`. false: it is empty, and was so before. */
static bool next_part(struct slice *rest, char mark, struct slice *ret_part)
{
    if (rest->data == NULL) {
        return false;
    }
    const char *end = rest->size > 0 ? memchr(rest->data, mark, rest->size) : NULL;
    *ret_part = end != NULL ? (struct slice){rest->data, (size_t)(end - rest->data)} : *rest;
    *rest = end != NULL ? (struct slice){end + 1, rest->size - ret_part->size - 1}
                        : (struct slice){NULL, 0};
    return true;
}

/* The words of a line, parted by single spaces. NULL: no memory. */
static struct slice *split(struct slice line, size_t *ret_count)
{
    size_t count = 1;
    for (size_t i = 0; i < line.size; i++) {
        count += line.data[i] == ' ';
    }
    struct slice *words = malloc(count * sizeof(*words));
    for (size_t i = 0; words != NULL && i < count; i++) {
        (void)next_part(&line, ' ', &words[i]);
    }
    *ret_count = count;
    return words;
}

/* --- one user --------------------------------------------------------------------------------------------------- */

static bool is_known(const struct acl_parsed *parsed, struct slice name)
{
    for (unsigned i = 0; i < parsed->count; i++) {
        if (slice_equal(parsed->users[i]->name, name)) {
            return true;
        }
    }
    return false;
}

static void add_user(struct reading *reading, struct acl_user *user)
{
    struct acl_parsed *parsed = reading->parsed;
    struct acl_user **grown = user == NULL || parsed->count >= LIMIT_ACL_USERS
                                  ? NULL
                                  : realloc(parsed->users, (parsed->count + 1) * sizeof(*grown));
    if (grown == NULL) {
        acl_user_release(user);
        reading->status = NO_MEMORY;
        return;
    }
    parsed->users = grown;
    grown[parsed->count++] = user;
}

/* Every unknown name is told, but of other mistakes only the first: those behind it may follow from it. */
static void apply_rules(struct reading *reading, struct acl_user *user,
                        const struct acl_list *rules)
{
    bool told = false;
    for (unsigned i = 0; i < rules->count && reading->status == OK; i++) {
        bool unknown = false;
        const struct slice rule = slice_trim(rules->at[i].bytes, spaces);
        const char *reason = acl_user_set(user, rule, reading->context, &unknown);
        if (reason != NULL && unknown) {
            keep(reading,
                 buf_printf(reading->errors, "%s:%u: Error in applying operation '%.*s': %s. ",
                            reading->path, reading->line, (int)rule.size, rule.data, reason));
        } else if (reason != NULL && !told) {
            keep(reading,
                 buf_printf(reading->errors, "%s:%u: %s. ", reading->path, reading->line, reason));
            told = true;
        }
    }
}

static void read_rules(struct reading *reading, struct acl_user *user, const struct slice *words,
                       size_t count)
{
    struct acl_list rules;
    size_t open = 0;
    const enum status status = acl_rules_merge(words, count, &rules, &open);
    if (status == MALFORMED) {
        keep(reading,
             buf_printf(reading->errors, "%s:%u: Unmatched parenthesis in selector definition.",
                        reading->path, reading->line));
        return;
    }
    keep(reading, status);
    apply_rules(reading, user, &rules);
    acl_list_clear(&rules);
}

static void read_user(struct reading *reading, const struct slice *words, size_t count)
{
    const unsigned line = reading->line;
    if (!slice_is(words[0], "user") || count < 2) {
        keep(reading, buf_printf(reading->errors,
                                 "%s:%u should start with user keyword followed by the username. ",
                                 reading->path, line));
        return;
    }
    const struct slice name = words[1];
    if (!acl_text_is_good(name)) {
        keep(reading,
             buf_printf(reading->errors, "'%s:%u: username '%.*s' contains invalid characters. ",
                        reading->path, line, (int)name.size, name.data));
        return;
    }
    if (is_known(reading->parsed, name)) {
        keep(reading,
             buf_printf(reading->errors, "WARNING: Duplicate user '%.*s' found on line %u. ",
                        (int)name.size, name.data, line));
        return;
    }
    add_user(reading, acl_user_new(name, reading->context));
    if (reading->status == OK) {
        read_rules(reading, reading->parsed->users[reading->parsed->count - 1], words + 2,
                   count - 2);
    }
}

static void read_line(struct reading *reading, struct slice line)
{
    size_t count = 0;
    line = slice_trim(line, spaces);
    if (line.size == 0) {
        return;
    }
    struct slice *words = split(line, &count);
    if (words == NULL) {
        reading->status = NO_MEMORY;
        return;
    }
    read_user(reading, words, count);
    free(words);
}

/* --- the file --------------------------------------------------------------------------------------------------- */

void acl_parsed_done(struct acl_parsed *parsed)
{
    for (unsigned i = 0; i < parsed->count; i++) {
        acl_user_release(parsed->users[i]);
    }
    free(parsed->users);
    *parsed = (struct acl_parsed){.count = 0};
}

enum status acl_parse(struct slice text, const char *path, const struct acl_rule_context *context,
                      struct acl_parsed *ret, struct buf *errors)
{
    *ret = (struct acl_parsed){.count = 0};
    struct reading reading = {
        .path = path, .context = context, .parsed = ret, .errors = errors, .status = OK};
    for (struct slice line; reading.status == OK && next_part(&text, '\n', &line);) {
        reading.line++;
        read_line(&reading, line);
    }
    if (reading.status == OK && errors->size == 0 && !is_known(ret, SLICE_LITERAL("default"))) {
        ret->fresh_default = acl_user_new_default(context);
        add_user(&reading, ret->fresh_default);
    }
    if (reading.status == OK && errors->size > 0) {
        reading.status = buf_append_slice(
            errors, SLICE_LITERAL("WARNING: ACL errors detected, no change to the previously "
                                  "active ACL rules was performed"));
        reading.status = reading.status == OK ? INVALID : reading.status;
    }
    if (reading.status != OK) {
        acl_parsed_done(ret);
        return reading.status;
    }
    qsort(ret->users, ret->count, sizeof(struct acl_user *), acl_order);
    return OK;
}

static enum status read_text(const char *path, struct buf *text, struct buf *errors)
{
    const int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        const enum status told =
            buf_printf(errors, "Error loading ACLs, opening file '%s': %m", path);
        return told == OK ? INVALID : told;
    }
    enum status status = disk_read_all(fd, FILE_MAX, text);
    if (status == INVALID) {
        const char *why = errno == EFBIG ? "it is larger than 16mb" : strerror(errno);
        const enum status told =
            buf_printf(errors, "Error loading ACLs, reading file '%s': %s", path, why);
        status = told == OK ? INVALID : told;
    }
    (void)close(fd);
    return status;
}

enum status acl_load(struct acl *acl, const char *path, struct slice default_password,
                     struct buf *errors)
{
    const struct acl_rule_context context = acl_context(acl);
    struct acl_parsed parsed = {.count = 0};
    struct buf text = {0};
    enum status status = read_text(path, &text, errors);
    if (status == OK) {
        status = acl_parse(buf_slice(&text), path, &context, &parsed, errors);
    }
    if (status == OK && parsed.fresh_default != NULL && default_password.size > 0) {
        status = acl_user_set_password(parsed.fresh_default, default_password, &context);
    }
    if (status == OK) {
        (void)acl_begin(acl);
        status = acl_put_all(acl, parsed.users, parsed.count);
        acl_end(acl);
    }
    if (status == OK) {
        free(parsed.users); /* its users are the node's now */
    } else {
        acl_parsed_done(&parsed);
    }
    buf_done(&text);
    return status;
}

static enum status describe_all(const struct acl_table *table, struct buf *text)
{
    enum status status = OK;
    for (unsigned i = 0; i < table->count && status == OK; i++) {
        const struct slice name = table->users[i]->name;
        status = buf_printf(text, "user %.*s ", (int)name.size, name.data);
        status = status == OK ? acl_describe_user(table->users[i], text) : status;
        status = status == OK ? buf_append(text, "\n", 1) : status;
    }
    return status;
}

/* 0, or an errno. */
static int write_file(const char *path, struct slice text)
{
    struct stat before;
    const mode_t mode = stat(path, &before) == 0 ? before.st_mode & 0777 : 0600;
    struct buf beside = {0};
    if (buf_printf(&beside, "%s.tmp-%d", path, (int)getpid()) != OK ||
        buf_append(&beside, "", 1) != OK) {
        buf_done(&beside);
        return ENOMEM;
    }
    (void)unlink(beside.data);
    int error = 0;
    const int fd = open(beside.data, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, mode);
    if (fd < 0) {
        error = errno;
    } else {
        error = disk_write(fd, text) == OK && fsync(fd) == 0 ? 0 : errno;
        (void)close(fd);
        if (error == 0 && rename(beside.data, path) != 0) {
            error = errno;
        }
        if (error != 0) {
            (void)unlink(beside.data);
        }
    }
    buf_done(&beside);
    return error;
}

enum status acl_save(struct acl *acl, const char *path, struct buf *error)
{
    struct buf text = {0};
    const struct acl_table *table = acl_begin(acl); /* two saves do not meet in one file */
    enum status status = describe_all(table, &text);
    if (status == OK) {
        const int number = write_file(path, buf_slice(&text));
        if (number != 0) {
            errno = number;
            status = buf_printf(error, "writing %s: %m", path);
            status = status == OK ? INVALID : status;
        }
    }
    acl_end(acl);
    buf_done(&text);
    return status;
}
