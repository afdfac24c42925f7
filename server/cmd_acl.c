/* SPDX-License-Identifier: BSD-3-Clause */
/* ACL: users are made, changed and shown. DRYRUN and LOG: cmd_acl_look.c. */
#include "server/acl.h"
#include "server/acl_list.h"
#include "server/auth.h"
#include "server/commands.h"
#include "server/conn.h"
#include "server/node.h"
#include "server/subcommand.h"
#include "server/worker.h"
#include "tiers/base/rand.h"

#include <stdlib.h>
#include <string.h>

enum {
    SHOWN_MAX = 900, /* bytes of a client's word in an error */
    GENPASS_BITS_MAX = 4096
};

static int shown(struct slice text)
{
    return text.size < SHOWN_MAX ? (int)text.size : SHOWN_MAX;
}

/* --- SETUSER ---------------------------------------------------------------------------------------------------- */

/* The rules on a copy of the user, or on a new one. NULL: the error is answered. */
static struct acl_user *make_user(struct call *call, const struct acl_table *table,
                                  const struct acl_list *rules)
{
    const struct acl_rule_context context = acl_context(call->node->acl);
    const struct acl_user *before = acl_find(table, call->argv[2]);
    struct acl_user *user =
        before != NULL ? acl_user_copy(before) : acl_user_new(call->argv[2], &context);
    if (user == NULL) {
        reply_out_of_memory(call->reply);
        return NULL;
    }
    for (unsigned i = 0; i < rules->count; i++) {
        const struct slice rule = rules->at[i].bytes;
        const char *reason = acl_user_set(user, rule, &context, NULL);
        if (reason != NULL) {
            reply_errorf(call->reply, "ERR Error in ACL SETUSER modifier '%.*s': %s", shown(rule),
                         rule.data, reason);
            acl_user_release(user);
            return NULL;
        }
    }
    return user;
}

static void set_user(struct call *call, const struct acl_list *rules)
{
    struct acl *acl = call->node->acl;
    struct acl_user *user = make_user(call, acl_begin(acl), rules);
    const bool made = user != NULL;
    const enum status status = made ? acl_put(acl, user) : OK;
    acl_end(acl);
    if (!made) {
        return;
    }
    if (status != OK) {
        reply_out_of_memory(call->reply);
        return;
    }
    reply_ok(call->reply);
    auth_tell_all(call);
}

void cmd_acl_setuser(struct call *call)
{
    struct acl_list rules;
    size_t open = 0;
    if (!acl_text_is_good(call->argv[2])) {
        reply_error(call->reply, "ERR Usernames can't contain spaces or null characters");
        return;
    }
    const enum status status = acl_rules_merge(call->argv + 3, call->argc - 3, &rules, &open);
    if (status == MALFORMED) {
        const struct slice word = call->argv[3 + open];
        reply_errorf(call->reply, "ERR Unmatched parenthesis in acl selector starting at '%.*s'.",
                     shown(word), word.data);
    } else if (status != OK) {
        reply_out_of_memory(call->reply);
    } else {
        set_user(call, &rules);
        acl_list_clear(&rules);
    }
}

void cmd_acl_deluser(struct call *call)
{
    struct acl *acl = call->node->acl;
    int64_t deleted = 0;
    enum status status = OK;
    for (uint32_t i = 2; i < call->argc; i++) {
        if (slice_is(call->argv[i], "default")) {
            reply_error(call->reply, "ERR The 'default' user cannot be removed");
            return;
        }
    }
    (void)acl_begin(acl);
    for (uint32_t i = 2; i < call->argc && status == OK; i++) {
        bool found = false;
        status = acl_remove(acl, call->argv[i], &found);
        deleted += found ? 1 : 0;
    }
    acl_end(acl);
    if (status != OK) {
        reply_out_of_memory(call->reply);
    } else {
        reply_integer(call->reply, deleted);
    }
    auth_tell_all(call);
}

/* --- shown ------------------------------------------------------------------------------------------------------ */

static void reply_described(struct reply *reply, enum status status, struct buf *text)
{
    reply_bulk(reply, status == OK ? buf_slice(text) : SLICE_LITERAL("out of memory"));
    text->size = 0;
}

static void reply_selector(struct reply *reply, const struct acl_selector *selector)
{
    struct buf text = {0};
    reply_bulk_text(reply, "commands");
    reply_described(reply, acl_describe_commands(selector, &text), &text);
    reply_bulk_text(reply, "keys");
    reply_described(reply, acl_describe_keys(selector, &text), &text);
    reply_bulk_text(reply, "channels");
    reply_described(reply, acl_describe_channels(selector, &text), &text);
    buf_done(&text);
}

static void reply_flags(struct reply *reply, unsigned flags)
{
    static const struct {
        unsigned flag;
        const char *name;
    } names[] = {{ACL_USER_NOPASS, "nopass"},
                 {ACL_USER_SKIP_SANITIZE, "skip-sanitize-payload"},
                 {ACL_USER_SANITIZE, "sanitize-payload"}};
    const unsigned shown_flags = flags & ~(unsigned)ACL_USER_ON;
    reply_set(reply, 1 + (size_t)__builtin_popcount(shown_flags));
    reply_bulk_text(reply, (flags & ACL_USER_ON) != 0 ? "on" : "off");
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        if ((flags & names[i].flag) != 0) {
            reply_bulk_text(reply, names[i].name);
        }
    }
}

void cmd_acl_getuser(struct call *call)
{
    struct reply *reply = call->reply;
    const struct acl_user *user = acl_find(call->worker->users, call->argv[2]);
    if (user == NULL) {
        reply_null(reply);
        return;
    }
    reply_map(reply, 6);
    reply_bulk_text(reply, "flags");
    reply_flags(reply, user->flags);
    reply_bulk_text(reply, "passwords");
    reply_array(reply, user->passwords.count);
    for (unsigned i = 0; i < user->passwords.count; i++) {
        reply_bulk(reply, user->passwords.at[i].bytes);
    }
    reply_selector(reply, &user->selectors[0]);
    reply_bulk_text(reply, "selectors");
    reply_array(reply, user->selector_count - 1);
    for (unsigned i = 1; i < user->selector_count; i++) {
        reply_map(reply, 3);
        reply_selector(reply, &user->selectors[i]);
    }
}

void cmd_acl_list(struct call *call)
{
    const struct acl_table *users = call->worker->users;
    struct buf text = {0};
    reply_array(call->reply, users->count);
    for (unsigned i = 0; i < users->count; i++) {
        const struct slice name = users->users[i]->name;
        enum status status = buf_printf(&text, "user %.*s ", (int)name.size, name.data);
        if (status == OK) {
            status = acl_describe_user(users->users[i], &text);
        }
        reply_described(call->reply, status, &text);
    }
    buf_done(&text);
}

void cmd_acl_users(struct call *call)
{
    const struct acl_table *users = call->worker->users;
    reply_array(call->reply, users->count);
    for (unsigned i = 0; i < users->count; i++) {
        reply_bulk(call->reply, users->users[i]->name);
    }
}

void cmd_acl_whoami(struct call *call)
{
    reply_bulk(call->reply, call->conn->session.user->name);
}

/* --- the file --------------------------------------------------------------------------------------------------- */

/* `aclfile` does not change while the node runs, but the options may be replaced: a copy. false: the error is answered. */
static bool copy_settings(struct call *call, struct buf *path, struct buf *password)
{
    struct node *node = call->node;
    (void)pthread_mutex_lock(&node->options_lock);
    const size_t size = strlen(node->options.aclfile);
    enum status status = buf_append(path, node->options.aclfile, size + 1);
    if (status == OK) {
        status = buf_append_slice(password, slice_of(node->options.requirepass));
    }
    (void)pthread_mutex_unlock(&node->options_lock);
    if (status != OK) {
        reply_out_of_memory(call->reply);
    } else if (size == 0) {
        reply_error(
            call->reply,
            "ERR This Redis instance is not configured to use an ACL file. You may want to specify "
            "users via the ACL SETUSER command and then issue a CONFIG REWRITE (assuming you have "
            "a Redis configuration file set) in order to store users in the Redis configuration.");
        status = INVALID;
    }
    return status == OK;
}

static void load(struct call *call, const char *path, struct slice password)
{
    struct buf errors = {0};
    const enum status status = acl_load(call->node->acl, path, password, &errors);
    if (status == OK) {
        reply_ok(call->reply);
        auth_tell_all(call);
    } else if (status == INVALID) {
        reply_errorf(call->reply, "ERR %.*s", (int)errors.size, errors.data);
    } else {
        reply_out_of_memory(call->reply);
    }
    buf_done(&errors);
}

void cmd_acl_load(struct call *call)
{
    struct buf path = {0};
    struct buf password = {0};
    if (copy_settings(call, &path, &password)) {
        load(call, path.data, buf_slice(&password));
    }
    buf_done(&path);
    buf_done(&password);
}

void cmd_acl_save(struct call *call)
{
    struct buf path = {0};
    struct buf password = {0};
    struct buf error = {0};
    if (copy_settings(call, &path, &password)) {
        if (acl_save(call->node->acl, path.data, &error) == OK) {
            reply_ok(call->reply);
        } else {
            log_write(&call->node->log, LOG_WARNING, "acl_save_failed", "%.*s", (int)error.size,
                      error.size > 0 ? error.data : "");
            reply_error(call->reply, "ERR There was an error trying to save the ACLs. Please check "
                                     "the server logs for more information");
        }
    }
    buf_done(&path);
    buf_done(&password);
    buf_done(&error);
}

/* --- words ------------------------------------------------------------------------------------------------------ */

void cmd_acl_cat(struct call *call)
{
    struct reply *reply = call->reply;
    if (call->argc == 2) {
        reply_array(reply, CATEGORY_COUNT);
        for (unsigned i = 0; i < CATEGORY_COUNT; i++) {
            reply_bulk_text(reply, category_name(i));
        }
        return;
    }
    if (call->argc > 3) {
        subcommand_error(call, "ACL");
        return;
    }
    const struct slice name = call->argv[2];
    const uint32_t category = category_find(name);
    if (category == 0) {
        reply_errorf(reply, "ERR Unknown category '%.*s'", name.size < 128 ? (int)name.size : 128,
                     name.data);
        return;
    }
    size_t count = 0;
    for (unsigned id = 0; id < acl_command_count(); id++) {
        count += (acl_command_at(id)->categories & category) != 0;
    }
    reply_array(reply, count);
    for (unsigned id = 0; id < acl_command_count(); id++) {
        if ((acl_command_at(id)->categories & category) != 0) {
            reply_bulk_text(reply, acl_command_at(id)->name);
        }
    }
}

void cmd_acl_genpass(struct call *call)
{
    static const char digits[] = "0123456789abcdef";
    unsigned char bytes[GENPASS_BITS_MAX / 8];
    char text[2 * sizeof(bytes)];
    int64_t bits = 256;
    if (call->argc > 3) {
        subcommand_error(call, "ACL");
        return;
    }
    if (call->argc == 3 && slice_to_i64(call->argv[2], &bits) != OK) {
        reply_not_integer(call->reply);
        return;
    }
    if (bits <= 0 || bits > GENPASS_BITS_MAX) {
        reply_errorf(call->reply,
                     "ERR ACL GENPASS argument must be the number of bits for the output "
                     "password, a positive number up to %d",
                     GENPASS_BITS_MAX);
        return;
    }
    const size_t size = (size_t)(bits + 3) / 4;
    rand_secret(bytes, sizeof(bytes));
    for (size_t i = 0; i < size; i++) {
        text[i] = digits[i % 2 == 0 ? bytes[i / 2] >> 4 : bytes[i / 2] & 15];
    }
    reply_bulk(call->reply, (struct slice){text, size});
}

void cmd_acl_help(struct call *call)
{
    static const char *const lines[] = {
        "CAT [<category>]",
        "    List all commands that belong to <category>, or all command categories",
        "    when no category is specified.",
        "DELUSER <username> [<username> ...]",
        "    Delete a list of users.",
        "DRYRUN <username> <command> [<arg> ...]",
        "    Returns whether the user can execute the given command without executing the command.",
        "GETUSER <username>",
        "    Get the user's details.",
        "GENPASS [<bits>]",
        "    Generate a secure 256-bit user password. The optional `bits` argument can",
        "    be used to specify a different size.",
        "LIST",
        "    Show users details in config file format.",
        "LOAD",
        "    Reload users from the ACL file.",
        "LOG [<count> | RESET]",
        "    Show the ACL log entries.",
        "SAVE",
        "    Save the current config to the ACL file.",
        "SETUSER <username> <attribute> [<attribute> ...]",
        "    Create or modify a user with the specified attributes.",
        "USERS",
        "    List all the registered usernames.",
        "WHOAMI",
        "    Return the current connection username.",
    };
    reply_help(call->reply, "ACL", lines, sizeof(lines) / sizeof(lines[0]));
}
