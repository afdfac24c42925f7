/* SPDX-License-Identifier: BSD-3-Clause */
/* script_kill.h -- SCRIPT KILL and FUNCTION KILL, and FUNCTION STATS while Redis is busy.
 *
 * On the link of its worker it would wait behind the very script that it is to end, and links that must prove themselves
 * while Redis is busy are closed. So it goes over the control link, which stays; Redis' answer comes back.
 *
 * Threads: the worker's. */
#ifndef TERRACE_SERVER_SCRIPT_KILL_H
#define TERRACE_SERVER_SCRIPT_KILL_H

#include "server/call.h"

/* Whether it is one of them, as only L2 knows them. */
bool is_script_kill(const struct call *call);
void script_kill(struct call *call);

#endif
