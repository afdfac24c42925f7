/* SPDX-License-Identifier: BSD-3-Clause */
/* acl_user.h -- a user: passwords, and what he may run, which keys and channels he may name.
 *
 * What he may do is a list of selectors; a command is allowed if one of them allows all of it. The first is the root,
 * which rules outside of parentheses change. A user is built by rules (acl_user_set), then given to acl.h and never
 * changed again: a change makes a copy and replaces him, and who holds the old one holds it until the next look.
 *
 *      acl_user_new / acl_user_copy -> acl_user_set ... -> acl_put -> read by all workers -> acl_user_release
 *
 * Rules, their order and their errors are those of Redis 7.0.15.
 *
 * Owns:    its texts. Counted references, dropped by the last one.
 * Threads: one while it is built; any once it is given away.
 * Limits:  LIMIT_ACL_TEXTS patterns, channels, passwords of one list, LIMIT_ACL_SELECTORS selectors. */
#ifndef TERRACE_SERVER_ACL_USER_H
#define TERRACE_SERVER_ACL_USER_H

#include "server/acl_command.h"

#include <stdatomic.h>

/* A short list of texts, each with a number: access of a pattern, command of a first argument ... */
struct acl_text {
    uint32_t tag;
    struct slice bytes; /* terminated behind its size */
};
struct acl_list {
    struct acl_text *at;
    unsigned count;
};

enum {
    ACL_WORDS = ACL_COMMANDS_MAX / 64,
    ACL_PASSWORD_SIZE = 64 /* SHA-256 as hex digits */
};

struct acl_selector {
    bool all_keys;
    bool all_channels;
    bool all_commands;    /* without exception */
    bool future_commands; /* what is not in our table too, unless `withheld` */
    uint32_t withheld;    /* categories taken away since +@all */
    uint64_t commands[ACL_WORDS];
    struct acl_list patterns; /* tag: ACL_KEY_READ | ACL_KEY_WRITE */
    struct acl_list channels;
    struct acl_list first_args; /* tag: the command that is allowed with it */
    struct acl_list others;     /* commands of L2 alone, by name; tag: allowed */
};

enum {
    ACL_USER_ON = 1 << 0,
    ACL_USER_NOPASS = 1 << 1,
    ACL_USER_SKIP_SANITIZE = 1 << 2,
    ACL_USER_SANITIZE = 1 << 3,
};

struct acl_user {
    _Atomic unsigned refs;
    uint64_t id; /* of acl.h: two users of one name, one after the other, are not the same */
    struct slice name;
    unsigned flags;
    struct acl_list passwords;
    struct acl_selector *selectors; /* the root first */
    unsigned selector_count;
};

/* What rules depend on. */
struct acl_rule_context {
    bool all_channels; /* acl-pubsub-default */
    /* Commands that are not in our table: does L2 have it, or may it? NULL: nobody does. */
    bool (*knows)(void *arg, struct slice name);
    void *arg;
};

/* Off, no password, nothing allowed. NULL: no memory. */
struct acl_user *acl_user_new(struct slice name, const struct acl_rule_context *context);
/* The same user, to be changed. */
struct acl_user *acl_user_copy(const struct acl_user *from);
/* The default user as a fresh server has it: on, nopass, everything allowed. */
struct acl_user *acl_user_new_default(const struct acl_rule_context *context);
const struct acl_user *acl_user_ref(const struct acl_user *user);
void acl_user_release(const struct acl_user *user); /* NULL is fine */

/* One rule. NULL: applied; else why not, in Redis' words. `ret_unknown`, unless NULL: the rule names a command or category
 * that nobody knows. */
const char *acl_user_set(struct acl_user *user, struct slice rule,
                         const struct acl_rule_context *context, bool *ret_unknown);
/* A selector may be spread over several words of a line: joined, they are one rule. MALFORMED: *ret_open is the word that
 * opens a parenthesis which nothing closes. NO_MEMORY. The list is the caller's (acl_list.h). */
enum status acl_rules_merge(const struct slice *words, size_t count, struct acl_list *ret_rules,
                            size_t *ret_open) MUST_USE;

/* A selector by itself, for acl_describe.c. */
void acl_selector_set_command(struct acl_selector *selector, unsigned id, bool allow);
bool acl_selector_has(const struct acl_selector *selector, unsigned id);
void acl_selector_done(struct acl_selector *selector);

/* Spaces and NULs may be in no name and no pattern. */
bool acl_text_is_good(struct slice text);
/* Nothing can be denied to him. */
bool acl_user_is_free(const struct acl_user *user);
/* How long it takes depends on `password` only. Not whether the user is on. */
bool acl_user_password_is(const struct acl_user *user, struct slice password);
void acl_hash_password(struct slice password, char ret_hex[ACL_PASSWORD_SIZE]);

/* --- acl_describe.c: rules that give the same again. NO_MEMORY --- */
enum status acl_describe_user(const struct acl_user *user, struct buf *text) MUST_USE;
enum status acl_describe_commands(const struct acl_selector *selector, struct buf *text) MUST_USE;
enum status acl_describe_keys(const struct acl_selector *selector, struct buf *text) MUST_USE;
enum status acl_describe_channels(const struct acl_selector *selector, struct buf *text) MUST_USE;

#endif
