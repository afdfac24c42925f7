/* SPDX-License-Identifier: BSD-3-Clause */
/* acl.h -- the users of a node: a table that is replaced whole, and each worker's view of it.
 *
 * Users do not change (acl_user.h). A change makes a new table that shares all other users, publishes it and counts the
 * generation up. A worker looks at the generation once per batch; if it is another than that of its view, it takes the
 * new table and looks every connection's user up again. So nothing is locked, and no counter moved, for a request.
 *
 *      ACL SETUSER on worker 0:  lock | copy, change, publish generation 8 | unlock, view 8, a tour wakes the others
 *      worker 1:                 ... batch (view 7) | generation is 8: view 8, connections look again | batch ...
 *
 * A client that was answered +OK may count on it: a batch that begins later, on any worker, runs under the new rules.
 *
 * A user who is deleted, or loaded anew, is another one, even under the same name: his connections are closed. `default`
 * is always the same.
 *
 * Owns:    the users it is given.
 * Threads: any, but a view is its worker's.
 * Limits:  LIMIT_ACL_USERS. */
#ifndef TERRACE_SERVER_ACL_H
#define TERRACE_SERVER_ACL_H

#include "server/acl_user.h"

struct acl;
struct acl_log;
struct command;
struct node;

struct acl_table {
    _Atomic unsigned refs;
    uint64_t generation;
    const struct acl_user *default_user;
    unsigned count;
    const struct acl_user *users[]; /* by name, as memcmp orders */
};

struct acl *acl_new(struct node *node); /* with the default user; NULL: no memory */
void acl_free(struct acl *acl);         /* NULL is fine */
uint64_t acl_generation(const struct acl *acl);
struct acl_log *acl_log_of(struct acl *acl);
/* The number of a built-in command in acl_command.h. */
unsigned acl_id_of(const struct acl *acl, const struct command *command);
/* Under the lock of options, or before the node runs. */
struct acl_rule_context acl_context(struct acl *acl);
void acl_set_channels_default(struct acl *acl, bool all_channels); /* of users made from now on */

/* The table of now, with a reference. */
const struct acl_table *acl_take(struct acl *acl);
void acl_drop(const struct acl_table *table); /* NULL is fine */
const struct acl_user *acl_find(const struct acl_table *table, struct slice name); /* NULL: none */

/* Changes, one at a time: between begin and end the table stands still for all others who change it. */
const struct acl_table *acl_begin(struct acl *acl);
void acl_end(struct acl *acl);
/* Puts a user in, in place of one of his name; who has no id gets one. Takes over the reference, whatever comes of it. */
enum status acl_put(struct acl *acl, struct acl_user *user) MUST_USE;
/* *ret_found: there was one. */
enum status acl_remove(struct acl *acl, struct slice name, bool *ret_found) MUST_USE;
/* All of `users`, sorted by acl_order, in place of all; takes the references over if OK. `default` is among them. */
enum status acl_put_all(struct acl *acl, struct acl_user **users, unsigned count) MUST_USE;
int acl_order(const void *a, const void *b); /* of struct acl_user *const */

/* `requirepass`: the password of the default user; empty: none is asked for. */
/* The same of a user who is being built. */
enum status acl_user_set_password(struct acl_user *user, struct slice password,
                                  const struct acl_rule_context *context) MUST_USE;
enum status acl_set_default_password(struct acl *acl, struct slice password) MUST_USE;
/* New clients begin as the default user without a login. */
bool acl_is_open(const struct acl_table *table);

/* --- acl_file.c --- */
/* Replaces all users by those of the file. A file that does not speak of the default user leaves him as a fresh node has
 * him, with `default_password`; empty: none. INVALID: none changed, and `errors` says where and why, as Redis says it. */
enum status acl_load(struct acl *acl, const char *path, struct slice default_password,
                     struct buf *errors) MUST_USE;
/* Of a file's text: what a fuzzer drives. The users in *ret (the caller's; acl_parsed_done) are sorted, `default` among
 * them. */
struct acl_parsed {
    struct acl_user **users;
    unsigned count;
    struct acl_user *fresh_default; /* of them, if the file does not speak of him; or NULL */
};
enum status acl_parse(struct slice text, const char *path, const struct acl_rule_context *context,
                      struct acl_parsed *ret, struct buf *errors) MUST_USE;
void acl_parsed_done(struct acl_parsed *parsed);
/* By a file beside it, renamed. INVALID: `error` says why. */
enum status acl_save(struct acl *acl, const char *path, struct buf *error) MUST_USE;

#endif
