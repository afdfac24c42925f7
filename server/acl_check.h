/* SPDX-License-Identifier: BSD-3-Clause */
/* acl_check.h -- may this user run this command line?
 *
 * A selector must allow the command, all its keys with what is done to them, and all its channels. If none does, the
 * reason is the latest that any of them came to: command, then key, then channel.
 *
 * Threads: any; users do not change. */
#ifndef TERRACE_SERVER_ACL_CHECK_H
#define TERRACE_SERVER_ACL_CHECK_H

#include "server/acl_user.h"

enum acl_verdict {
    ACL_OK,
    ACL_DENIED_COMMAND,
    ACL_DENIED_KEY,
    ACL_DENIED_CHANNEL,
    ACL_DENIED_AUTH /* for the log: a login that failed */
};

/* A command line, as far as it is known. */
struct acl_line {
    unsigned id;         /* of our table; acl_command_count(): L2's alone, with: */
    struct slice name;   /* of the command, as the client wrote it; */
    uint32_t categories; /* 0: L2 does not say */
    bool reads;          /* keys are only read */
    bool keys_unknown;   /* where they are is not known */
    uint32_t first_key;  /* 0: none */
    uint32_t last_key;
    uint32_t key_step;
    /* A subcommand that is not in our table: where its keys are is not known. */
    bool own_subcommand;
    bool scripts_pass; /* scripts are trusted with what they touch */
    const struct slice *argv;
    uint32_t argc;
};

struct acl_denial {
    enum acl_verdict verdict;
    uint32_t at; /* the argument it is about; 0: none */
};

struct acl_denial acl_check(const struct acl_user *user, const struct acl_line *line);
/* Whether the command may be run, and any key read too: SORT's BY and GET. */
bool acl_check_reads_all(const struct acl_user *user, const struct acl_line *line);
/* Patterns of PSUBSCRIBE must be in the rules letter by letter. */
bool acl_check_channel(const struct acl_user *user, struct slice channel, bool is_pattern);

#endif
