/* SPDX-License-Identifier: BSD-3-Clause */
/* script_rights.h -- scripts of users who may not do everything.
 *
 * What a script does on L2 runs as the node, and nobody there asks the rules of its user; without an L2 nobody asks them
 * either. But of a script that is known by heart (scripts.h) the node knows what it will call: with the key that it is given,
 * the user must be allowed each of these commands, whether the script comes to it or not. So that what was checked is what
 * runs, L2 is sent the text that is known here, and not the client's, nor its SHA1.
 *
 * Threads: the worker's own. */
#ifndef TERRACE_SERVER_SCRIPT_RIGHTS_H
#define TERRACE_SERVER_SCRIPT_RIGHTS_H

#include "server/acl_user.h"
#include "server/call.h"
#include "server/scripts.h"

/* The script that EVAL or EVALSHA names with a key; NULL: none that is known. */
const struct script *script_of_call(const struct call *call);
/* EVALSHA of a script that has not come by as a text: the client will say it. */
bool script_is_to_be_told(const struct call *call);
/* SCRIPT LOAD, on its way to L2. */
void script_note_load(const struct call *call);
/* Whether the user may call all that it calls. */
bool script_is_allowed(const struct acl_user *user, const struct script *script, struct slice key);
/* EVAL of the text that is known, with the arguments of the call. */
enum status script_request(const struct call *call, struct buf *out) MUST_USE;

#endif
