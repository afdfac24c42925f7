/* SPDX-License-Identifier: BSD-3-Clause */
/* hiding.h -- the nodes' own keys (terrace:* in coherence-db) and channels are nobody's business: KEYS, SCAN, DBSIZE,
 * RANDOMKEY and PUBSUB are asked through a script, which answers as the command would, without them.
 *
 * Threads: any; nothing is kept. */
#ifndef TERRACE_SERVER_HIDING_H
#define TERRACE_SERVER_HIDING_H

#include "protocol/bytes.h"
#include "server/call.h"

/* The script to ask instead of a command that may run in one of `dbs` (bits); NULL: it shows nothing of ours. */
const char *hiding_script(const struct call *call, uint16_t dbs);
/* Appends the request that asks it. OK or NO_MEMORY, then `out` may have a part of it. */
enum status hiding_request(const struct call *call, const char *script, struct buf *out) MUST_USE;

#endif
