/* SPDX-License-Identifier: BSD-3-Clause */
/* CACHE.NAMESPACES: what each namespace is and holds, as maps. */
#include "server/call.h"
#include "server/commands.h"
#include "server/node.h"

static void reply_namespace(struct reply *reply, const struct namespace *ns)
{
    char mode[NAMESPACE_MODE_TEXT_MAX];
    struct l1_stats l1;
    namespace_mode_text(ns, mode);
    l1_stats(ns->l1, &l1);
    reply_map(reply, 11);
    reply_pair_text(reply, "name", ns->name);
    reply_bulk_text(reply, "prefix");
    reply_bulk(reply, ns->prefix);
    reply_pair_text(reply, "mode", mode);
    reply_pair_text(reply, "policy", l1_policy(ns->l1)->name);
    reply_pair_integer(reply, "ttl_ms", namespace_ttl_ms(ns));
    reply_pair_integer(reply, "items", (int64_t)l1.items);
    reply_pair_integer(reply, "bytes", (int64_t)l1.bytes_used);
    reply_pair_integer(reply, "bytes_max", (int64_t)l1.bytes_max);
    reply_pair_integer(reply, "hits", (int64_t)l1.hits);
    reply_pair_integer(reply, "misses", (int64_t)l1.misses);
    reply_pair_integer(reply, "evictions", (int64_t)l1.evictions);
}

void cmd_cache_namespaces(struct call *call)
{
    const struct namespaces *namespaces = call->node->namespaces;
    const struct namespace *ns;
    reply_array(call->reply, namespaces->named + 1);
    for (unsigned at = 0; (ns = namespaces_next(namespaces, &at)) != NULL;) {
        reply_namespace(call->reply, ns);
    }
}
