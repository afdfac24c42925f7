/* SPDX-License-Identifier: BSD-3-Clause */
/* managed_read.h -- what commands that read one managed key (managed_read.c) and those that read several
 * (managed_several.c) share: a key is asked for, what is found is judged, and a client is shown what it may see.
 *
 * Threads: the worker's. */
#ifndef TERRACE_SERVER_MANAGED_READ_H
#define TERRACE_SERVER_MANAGED_READ_H

#include "server/call.h"
#include "tiers/load.h"
#include "tiers/tiers.h"

/* What a client may see of a key. */
struct managed_found {
    bool exists;
    struct item *item; /* holds the value; NULL: it lies in the asker's copy */
    struct managed_value value;
    enum ban_verdict bans;
};

/* It is no string, so there is nothing to be shown. */
static inline bool managed_found_is_other(const struct managed_found *found)
{
    return found->exists && (found->value.flags & MANAGED_OTHER) != 0;
}

/* OK: *ret, whose item is the caller's to release. What L1 holds of a dead value ends, and L2 is asked. Otherwise as
 * tiers_get; STALE: it is not known what was invalidated. */
enum status managed_ask(struct worker *worker, const struct ns_key *key, struct l1_value *value,
                        struct tiers_reader *reader, struct managed_found *ret,
                        bool *ret_foreign) MUST_USE;
/* What L2 had; `item`, which is borrowed, may be NULL. OK or STALE. */
enum status managed_judge_item(struct worker *worker, struct item *item,
                               struct managed_found *ret) MUST_USE;
/* What a load came to, as a client sees it who knows no tokens: he who is to load gets nothing. */
struct managed_found managed_found_of(const struct load_result *result);

/* What such a client asks for. */
struct load_ask managed_load_ask(struct conn *conn, const struct ns_key *key);
/* Whoever is to load has the lease from now on; who sees a value is not about to fill it in: what he writes later is a write
 * like any other. `conn` NULL: the client is gone. `key` NULL: the connection's leases stay. `several`: the call waits for
 * more keys than this one. */
void managed_take_result(struct worker *worker, struct conn *conn, const struct l1_key *key,
                         const struct load_result *result, bool several);

/* A client that speaks RESP3 has its other calls on another link than managed reads. */
enum wait_kind managed_read_waits(const struct conn *conn, bool foreign);

void managed_reply_found(struct reply *reply, const struct managed_found *found);
/* `matter`: of L2_ERROR Redis' text, of STALE the key, if it is known. */
void managed_refuse_read(struct reply *reply, struct worker *worker, enum status status,
                         struct slice matter);
/* What that is told besides the status. */
struct slice managed_matter_of(enum status status, struct slice key, struct slice error);
struct slice managed_key_of(const struct tiers_value *value); /* empty: there is none */

#endif
