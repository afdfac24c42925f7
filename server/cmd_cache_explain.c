/* SPDX-License-Identifier: BSD-3-Clause */
/* CACHE.EXPLAIN: why a key is where it is. The control loop is asked for the last announcement, L1 is looked at, and L2
 * is asked for the key's life if L1 has no value. */
#include "protocol/resp_write.h"
#include "server/cmd_cache.h"
#include "server/commands.h"
#include "server/errand.h"
#include "server/node.h"
#include "server/relay.h"
#include "server/worker.h"
#include "tiers/tiers.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    EXPLAIN_FIELDS = 19,
    WHY_MAX = 320,
    TTL_NONE = -1,
    TTL_NO_KEY = -2,
    NOT_KNOWN = -1
};

struct explanation {
    struct errand errand; /* first: it is cast back */
    struct tiers_relay relay;
    struct answer *answer;
    struct l1_look look;
    struct coherence_description coherence;
    struct announcement announced;
    bool is_announced;
    bool is_alone;
    bool is_fresh;     /* the fence is open */
    struct item *item; /* what L1 holds of a managed key, and what it is worth; NULL: nothing */
    struct managed_value value;
    enum managed_state worth;
    struct namespace_mode mode;
    int64_t floor_ms;
    int64_t now_ms;
    int64_t age_ms; /* how far the value may be behind L2 */
    int64_t ttl_ms;
    const char *tier;
    struct l1_key key;
    char bytes[];
};

/* --- in words ---------------------------------------------------------------------------------------------------- */

static const char *worth_of(const struct explanation *it)
{
    const bool is_negative = (it->value.flags & MANAGED_NEGATIVE) != 0;
    switch (it->worth) {
    case MANAGED_FRESH: return is_negative ? "negative" : "fresh";
    case MANAGED_EAGER: return "eager";
    case MANAGED_STALE: return "stale";
    case MANAGED_SPARE: return "spare";
    case MANAGED_DEAD: return "dead";
    case MANAGED_UNSURE: return "unsure";
    }
    return "dead";
}

static const char *state_of(const struct explanation *it)
{
    if (it->look.has_claim) {
        return "claimed";
    }
    if (!it->look.has_value) {
        return "absent";
    }
    if (it->is_alone || it->mode.kind == NAMESPACE_TTL) {
        return "fresh";
    }
    if (!it->is_fresh) {
        return "fenced";
    }
    if (it->look.stamped_at_ms < it->floor_ms) {
        return "suspect";
    }
    return it->item == NULL ? "fresh" : worth_of(it);
}

/* Whether its mode serves it all the same: `available` within its grace. */
static bool is_within_grace(const struct explanation *it)
{
    return it->look.has_value && it->mode.kind == NAMESPACE_AVAILABLE &&
           it->age_ms <= it->mode.grace_ms;
}

static void why_suspect(const struct explanation *it, char text[WHY_MAX])
{
    const char *doubt = it->coherence.doubt;
    (void)snprintf(
        text, WHY_MAX,
        "it was read before something may have been missed%s%s%s; its next read asks L2%s",
        doubt[0] != '\0' ? " (last: " : "", doubt, doubt[0] != '\0' ? ")" : "",
        is_within_grace(it) ? ", and takes it if L2 cannot be asked" : "");
}

static const char *why_fresh(const struct explanation *it)
{
    if (it->is_alone) {
        return "this node has no L2: its value is the only one";
    }
    return it->mode.kind == NAMESPACE_TTL
               ? "its namespace serves it until its ttl is over, unless a change is announced"
               : "every change that L2 acknowledged up to age_ms ago is applied here";
}

static const char *why_worth(const struct explanation *it)
{
    if ((it->value.flags & MANAGED_NEGATIVE) != 0 && it->worth == MANAGED_FRESH) {
        return "a load found that there is nothing, and that is still good";
    }
    switch (it->worth) {
    case MANAGED_FRESH: return why_fresh(it);
    case MANAGED_EAGER: return "it is fresh, and so near to its end that it is loaded anew";
    case MANAGED_STALE:
        return "it is invalidated softly, or its fresh life is over; it is served while it is "
               "loaded anew";
    case MANAGED_SPARE:
        return "its time to be served as stale (swr) is over, too; it is served if it cannot be "
               "loaded anew";
    case MANAGED_DEAD: return "it was invalidated after it was written; its next read ends it";
    case MANAGED_UNSURE:
        return "this node may have missed invalidations, and asks L2 for all there are";
    }
    return "";
}

static void why(const struct explanation *it, const char *state, char text[WHY_MAX])
{
    const char *reason = it->coherence.reason;
    if (strcmp(state, "claimed") == 0) {
        (void)snprintf(text, WHY_MAX, "a read of it from L2 is under way since %" PRId64 " ms%s",
                       it->now_ms - it->look.claimed_at_ms,
                       it->look.has_value ? "; the older value is kept aside" : "");
    } else if (strcmp(state, "absent") == 0) {
        (void)snprintf(text, WHY_MAX, "%s",
                       it->is_alone       ? "there is no such key"
                       : it->is_announced ? "its last change ended it here, and nobody has "
                                            "read it through this node since"
                                          : "nobody has read it through this node, or it "
                                            "was evicted");
    } else if (strcmp(state, "fenced") == 0) {
        (void)snprintf(text, WHY_MAX, "this node cannot prove that it heard all changes: %s%s",
                       reason[0] != '\0' ? reason : "no beat came home in time",
                       is_within_grace(it) ? "; it is served as stale, within its grace" : "");
    } else if (strcmp(state, "suspect") == 0) {
        why_suspect(it, text);
    } else {
        (void)snprintf(text, WHY_MAX, "%s", it->item == NULL ? why_fresh(it) : why_worth(it));
    }
}

/* --- the map ----------------------------------------------------------------------------------------------------- */

/* Redis announced it between two frames; a frame that names the key has that number itself. */
static void reply_invalidation(struct reply *reply, const struct explanation *it)
{
    const struct announcement *last = &it->announced;
    const bool counts = it->is_announced && last->epoch == (uint16_t)it->coherence.epoch.counter;
    reply_pair_integer(reply, "invalidated_after_seq", counts ? (int64_t)last->after_seq : -1);
    reply_pair_integer(reply, "invalidated_until_seq", counts ? (int64_t)last->after_seq + 1 : -1);
    reply_pair_integer(reply, "invalidated_ms_ago",
                       it->is_announced ? it->now_ms - last->at_ms : -1);
    reply_bulk_text(reply, "invalidated_by");
    if (!it->is_announced) {
        reply_null(reply);
    } else if (last->node == 0) {
        reply_bulk_text(reply, "announced by Redis");
    } else {
        reply_node_id(reply, last->node);
    }
}

static void reply_managed(struct reply *reply, const struct explanation *it)
{
    const bool is_here = it->item != NULL;
    reply_pair_integer(reply, "version", is_here ? (int64_t)it->value.version : NOT_KNOWN);
    reply_pair_integer(reply, "written_ms_ago",
                       is_here ? managed_age_ms(&it->value, it->now_ms) : NOT_KNOWN);
    reply_pair_integer(reply, "load_ms", is_here ? (int64_t)it->value.load_ms : NOT_KNOWN);
    reply_pair_integer(reply, "tags", is_here ? (int64_t)it->value.tag_count : NOT_KNOWN);
}

static void reply_explanation(struct reply *reply, const struct explanation *it,
                              const struct node *node)
{
    const struct namespace *ns = namespace_of(node->namespaces, it->key.bytes);
    const char *state = state_of(it);
    char text[WHY_MAX];
    char mode[NAMESPACE_MODE_TEXT_MAX];
    namespace_mode_text(ns, mode);
    why(it, state, text);
    reply_map(reply, EXPLAIN_FIELDS);
    reply_bulk_text(reply, "key");
    reply_bulk(reply, it->key.bytes);
    reply_pair_text(reply, "namespace", ns->name);
    reply_pair_text(reply, "format", ns->managed ? "managed" : "plain");
    reply_pair_text(reply, "mode", it->is_alone ? "alone" : mode);
    reply_pair_text(reply, "tier", it->tier);
    reply_pair_text(reply, "state", state);
    reply_bulk_text(reply, "type");
    if (!it->look.has_value) { /* L2 is not asked for it */
        reply_null(reply);
    } else {
        const bool is_other = it->item != NULL && (it->value.flags & MANAGED_OTHER) != 0;
        reply_bulk_text(reply, is_other ? "other" : it->look.is_hash ? "hash" : "string");
    }
    reply_pair_integer(reply, "age_ms", it->look.has_value && !it->is_alone ? it->age_ms : -1);
    reply_pair_integer(reply, "ttl_ms", it->ttl_ms);
    reply_pair_integer(reply, "stamp_age_ms",
                       it->look.has_value && !it->is_alone ? it->now_ms - it->look.stamped_at_ms
                                                           : -1);
    reply_managed(reply, it);
    reply_pair_text(reply, "why", text);
    reply_invalidation(reply, it);
}

static void explain_land(struct explanation *it)
{
    reply_explanation(&it->answer->reply, it, it->answer->worker->node);
    cache_land(it->answer);
    item_release(it->item);
    free(it);
}

/* --- the way there and back -------------------------------------------------------------------------------------- */

static void on_ttl(struct tiers_relay *relay, enum status status, struct slice bytes)
{
    struct explanation *it = LIST_ENTRY(relay, struct explanation, relay);
    int64_t ttl_ms = TTL_NO_KEY;
    const bool is_number =
        status == OK && bytes.size > 3 && bytes.data[0] == REPLY_INTEGER &&
        slice_to_i64((struct slice){bytes.data + 1, bytes.size - 3}, &ttl_ms) == OK;
    it->ttl_ms = ttl_ms;
    it->tier = !is_number ? "unknown" : ttl_ms == TTL_NO_KEY ? "none" : "l2";
    explain_land(it);
}

/* PTTL of the key, as a read that ends nothing. */
static enum status ask_l2(struct explanation *it, struct worker *worker, int proto)
{
    const struct slice words[] = {SLICE_LITERAL("PTTL"), it->key.bytes};
    struct buf request = {0};
    enum status status = resp_append_request(&request, 2, words);
    it->relay = (struct tiers_relay){.on_reply = on_ttl, .db = it->key.db};
    if (status == OK) {
        status = tiers_relay(worker->window, &it->relay, proto, buf_slice(&request));
    }
    buf_done(&request);
    return status;
}

/* What L1 has; true: that is all there is to say of its life. */
static bool look_here(struct explanation *it, struct node *node)
{
    const struct namespace *ns = namespace_of(node->namespaces, it->key.bytes);
    l1_look(ns->l1, &it->key, it->now_ms, &it->look);
    if (!it->look.has_value) {
        it->tier = "none";
        it->ttl_ms = TTL_NO_KEY;
        return it->is_alone;
    }
    it->tier = "l1";
    it->ttl_ms =
        it->look.expire_at_ms == ITEM_NEVER ? TTL_NONE : it->look.expire_at_ms - it->now_ms;
    return true;
}

/* The time left is that of its fresh life, as PTTL says. (What is not here has the whole life that L2 gives it.) */
static void look_at_managed(struct explanation *it, struct worker *worker)
{
    const struct ns_key key = {.at = it->key,
                               .ns = namespace_of(worker->node->namespaces, it->key.bytes)};
    if (!key.ns->managed || !it->look.has_value) {
        return;
    }
    it->item = l1_hold(key.ns->l1, &key.at, it->now_ms);
    if (it->item != NULL) {
        enum ban_verdict bans = BAN_NONE;
        tiers_window_begin(worker->window, it->now_ms);
        it->worth = tiers_judge(worker->window, &key, item_value(it->item),
                                item_expire_at_ms(it->item), &it->value, &bans);
        it->ttl_ms = managed_ttl_ms(&it->value, bans, it->now_ms);
    }
}

static void explain_done(struct errand *errand)
{
    struct explanation *it = (struct explanation *)(void *)errand;
    struct worker *worker = errand->home;
    const struct coherence_view *view = coherence_view(tiers_coherence(worker->node->tiers));
    it->now_ms = clock_now_ms(&worker->node->clock);
    const bool is_all = look_here(it, worker->node);
    look_at_managed(it, worker);
    const struct namespace *ns = namespace_of(worker->node->namespaces, it->key.bytes);
    it->mode = namespace_mode(ns);
    it->floor_ms = ns->managed ? it->coherence.managed_floor_ms : it->coherence.floor_ms;
    it->is_fresh = coherence_age_ms(view, it->now_ms) <= it->mode.bound_ms;
    it->age_ms = coherence_proven_age_ms(view, ns->managed, it->look.stamped_at_ms, it->now_ms);
    if (is_all) {
        explain_land(it);
    } else if (ask_l2(it, worker, it->answer->reply.proto) != OK) {
        it->tier = "unknown";
        explain_land(it);
    }
}

static void explain_run(struct errand *errand)
{
    struct explanation *it = (struct explanation *)(void *)errand;
    const struct coherence *coherence = tiers_coherence(errand->home->node->tiers);
    coherence_describe(coherence, &it->coherence);
    it->is_announced = coherence_announced(coherence, it->key.bytes, &it->announced);
    errand_back(errand);
}

void cmd_cache_explain(struct call *call)
{
    const struct slice key = call->argv[1];
    struct explanation *it = malloc(sizeof(*it) + key.size);
    if (it == NULL) {
        reply_out_of_memory(call->reply);
        return;
    }
    *it = (struct explanation){.errand = {.run = explain_run, .done = explain_done},
                               .is_alone = call->node->tiers == NULL,
                               .now_ms = call->now_ms};
    if (key.size > 0) {
        memcpy(it->bytes, key.data, key.size);
    }
    it->key =
        namespaces_key(call->node->namespaces, call->db, (struct slice){it->bytes, key.size}).at;
    if (it->is_alone) {
        (void)look_here(it, call->node);
        reply_explanation(call->reply, it, call->node);
        free(it);
        return;
    }
    const enum status status = errand_send(&it->errand, call->worker);
    if (status != OK) {
        cache_refuse(call->reply, status, "", 0);
        free(it);
        return;
    }
    it->answer = cache_defer(call);
}
