/* SPDX-License-Identifier: BSD-3-Clause */
/* CACHE.NAMESPACES: what each namespace is and holds, as maps. */
#include "server/call.h"
#include "server/commands.h"
#include "server/node.h"

static void pair_text(struct reply *reply, const char *name, struct slice text)
{
    reply_bulk_text(reply, name);
    reply_bulk(reply, text);
}

static void pair_integer(struct reply *reply, const char *name, int64_t number)
{
    reply_bulk_text(reply, name);
    reply_integer(reply, number);
}

static void reply_namespace(struct reply *reply, const struct namespace *ns)
{
    char mode[NAMESPACE_MODE_TEXT_MAX];
    struct l1_stats l1;
    namespace_mode_text(ns, mode);
    l1_stats(ns->l1, &l1);
    reply_map(reply, 11);
    pair_text(reply, "name", slice_of(ns->name));
    pair_text(reply, "prefix", ns->prefix);
    pair_text(reply, "mode", slice_of(mode));
    pair_text(reply, "policy", slice_of(l1_policy(ns->l1)->name));
    pair_integer(reply, "ttl_ms", namespace_ttl_ms(ns));
    pair_integer(reply, "items", (int64_t)l1.items);
    pair_integer(reply, "bytes", (int64_t)l1.bytes_used);
    pair_integer(reply, "bytes_max", (int64_t)l1.bytes_max);
    pair_integer(reply, "hits", (int64_t)l1.hits);
    pair_integer(reply, "misses", (int64_t)l1.misses);
    pair_integer(reply, "evictions", (int64_t)l1.evictions);
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
