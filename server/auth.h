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

struct session;

/* A new session, or one after RESET: the default user's. */
void auth_begin(struct conn *conn);
/* Logs in. false: wrong, or the user is off; nothing is answered, all else is done. */
bool auth_login(struct call *call, struct slice user, struct slice password);
/* What that would make of a session, which no client has. false: nothing. */
bool auth_foresee(const struct worker *worker, struct slice user, struct slice password,
                  struct session *session);
bool auth_default_is_nopass(const struct worker *worker); /* whether on or off */

/* Of a guarded session: may it run the call? false: NOPERM is answered. Notes which script it may run (script_rights.h). */
bool auth_admits(struct call *call);
/* The same of a call that is still to come: nothing is answered or logged. Of none that runs scripts or sorts. */
bool auth_would_admit(struct call *call);
/* The same at EXEC, for a command that was queued when it might still be run; and the words of the refusal. */
enum acl_verdict auth_verdict_at_exec(struct call *call);
void auth_refuse_at_exec(struct call *call, enum acl_verdict verdict);

/* What would come of a command line of another user: ACL DRYRUN. false: there is no such command. */
struct auth_dry_run {
    const char *name; /* the command's, full */
    bool arity_fits;
    struct acl_denial denial;
};
bool auth_dry_run(const struct call *call, const struct acl_user *user, const struct slice *argv,
                  uint32_t argc, struct auth_dry_run *ret_run);

/* Takes the users of now if others are, and closes the connections of those who are gone: at the begin of a batch, and
 * before somebody gets in by what was true before. */
void auth_catch_up(struct worker *worker);
/* After a change of users on this worker: it and all others renew. */
void auth_tell_all(struct call *call);

/* A line of the log for a command that changes the node, or much data at once, and by whom: of the admin and dangerous
 * ones, which are about to run. Never a value or a password. */
void auth_audit(const struct call *call);

#endif
