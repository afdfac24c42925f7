/* SPDX-License-Identifier: BSD-3-Clause */
/* homes.h -- whether another node keeps keys in the same namespaces as this one.
 *
 * A node that takes for plain what others manage shows their envelopes to its clients, and they take its values for foreign
 * ones; who knows a managed namespace by another name is not bound by invalidations of that name. None of this can be seen
 * in a single value, so each beat has a ROW for each namespace of its node, and who hears it compares: of a prefix, name,
 * format and writers must be the same. Everything else (memory, policy, mode, ttl, lives) is each node's own affair.
 *
 *      row:  0  u32 of XXH64 of the name     4  u32 of XXH64 of the prefix     8  u32 facts (enum home_fact)
 *
 * A namespace that only one node has is no difference if its keys fare elsewhere as they do in it, which takes a plain one
 * inside of a plain one with the same writers (it may have a budget of its own). Its node can tell, and says so: HOME_MATTERS.
 *
 * Threads: who may read namespaces (namespace.h).
 * Limits:  NAMESPACES_MAX rows; a hash is 32 bits, and nobody's enemy. */
#ifndef TERRACE_TIERS_HOMES_H
#define TERRACE_TIERS_HOMES_H

#include "protocol/frame.h"
#include "tiers/namespace.h"
#include "tiers/peers.h"

enum home_fact {
    HOME_MANAGED = 1,
    HOME_TOLD = 2,
    HOME_MATTERS = 4 /* who does not have it treats its keys otherwise */
};

_Static_assert((int)FRAME_HOMES_MAX == (int)NAMESPACES_MAX, "a beat tells of all namespaces");
_Static_assert((int)PEER_DISAGREEMENT_MAX > (int)NAMESPACE_NAME_MAX + 40, "a name and what of it");

/* How many bytes. */
size_t homes_write(const struct namespaces *spaces, char dst[FRAME_HOMES_MAX * FRAME_HOME_SIZE]);
/* `theirs`: rows of another node; none say nothing. Writes in which namespace and in what it differs, the first if in
 * several; "" if in nothing. */
void homes_compare(const struct namespaces *spaces, struct slice theirs,
                   char ret[PEER_DISAGREEMENT_MAX]);

#endif
