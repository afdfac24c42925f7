/* SPDX-License-Identifier: BSD-3-Clause */
/* auth.h -- who may talk to this node: one user, "default", with the password of `requirepass`.
 *
 * Without a password everybody is the default user, and any password of his is right (Redis' nopass).
 *
 * How long a comparison takes depends on what the caller sent, not on the password: no prefix can be measured.
 *
 * Threads: any; the password is read under options_lock. */
#ifndef TERRACE_SERVER_AUTH_H
#define TERRACE_SERVER_AUTH_H

#include "protocol/bytes.h"

struct node;

bool auth_needed(struct node *node); /* a password is set: new clients begin unauthenticated */
bool auth_check(struct node *node, struct slice user, struct slice pass);

#endif
