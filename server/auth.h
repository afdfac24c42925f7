/* SPDX-License-Identifier: BSD-3-Clause */
/* auth.h -- who a connection is, and what it may run: users (acl.h) as the sessions of one worker see them.
 *
 * Every session has a user: `default` until AUTH. It may run commands if it is `authenticated`: it logged in, or the default
 * user asks for no password. Only a session whose user can be denied something is `guarded`, and pays for checks.
 *
 * What is refused is answered, counted, noted in ACL LOG and written to the log; never with a password.
 *
 * Threads: the worker's own. */
#ifndef TERRACE_SERVER_AUTH_H
#define TERRACE_SERVER_AUTH_H

#include "server/acl_check.h"
#include "server/call.h"

/* A new session, or one after RESET: the default user's. */
void auth_begin(struct conn *conn);
/* Logs in. false: wrong, or the user is off; nothing is answered, all else is done. */
bool auth_login(struct call *call, struct slice user, struct slice password);
bool auth_default_is_nopass(const struct worker *worker); /* whether on or off */

/* Of a guarded session: may it run the call? false: NOPERM is answered. */
bool auth_admits(struct call *call);
/* The same at EXEC, for a command that was queued when it might still be run. */
bool auth_admits_at_exec(struct call *call);

/* What would come of a command line of another user: ACL DRYRUN. false: there is no such command. */
struct auth_dry_run {
    const char *name; /* the command's, full */
    bool arity_fits;
    struct acl_denial denial;
};
bool auth_dry_run(const struct call *call, const struct acl_user *user, const struct slice *argv,
                  uint32_t argc, struct auth_dry_run *ret_run);

/* Users have changed: takes the new ones, closes the connections of those who are gone. At the begin of a batch, if
 * auth_is_behind; inside of `call`, whose own connection closes after its answer, if it must. */
void auth_renew(struct worker *worker, struct call *call);
bool auth_is_behind(const struct worker *worker);
/* After a change of users on this worker: it and all others renew. */
void auth_tell_all(struct call *call);

/* For the log: a command that changes the node, by whom. `what` is never a password. */
void auth_audit(const struct call *call, const char *what, struct slice object);

#endif
