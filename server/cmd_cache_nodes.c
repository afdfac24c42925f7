/* SPDX-License-Identifier: BSD-3-Clause */
/* CACHE.NODES: who is heard on the bus, as this node sees it. The table is the control loop's, so a copy is fetched. */
#include "server/cmd_cache.h"
#include "server/commands.h"
#include "server/errand.h"
#include "server/node.h"
#include "server/worker.h"
#include "tiers/tiers.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    NODE_FIELDS = 11,
    PERMILLE = 1000
};

/* A copy of the table, by id. */
struct seen_nodes {
    struct peer *at; /* NULL: no memory */
    size_t count;
    int64_t patience_ms;
    int64_t now_ms;
};

struct nodes_errand {
    struct errand errand; /* first: it is cast back */
    struct answer *answer;
    struct seen_nodes seen;
};

static int peer_compare(const void *left, const void *right)
{
    const struct peer *a = left;
    const struct peer *b = right;
    return a->node < b->node ? -1 : a->node > b->node;
}

/* This node is on the list even if its bus is down, and says how it is now, not how it was when it last beat. */
static void correct_self(struct seen_nodes *nodes, const struct node *node)
{
    struct coherence_description seen;
    const struct coherence *coherence = tiers_coherence(node->tiers);
    coherence_describe(coherence, &seen);
    struct peer *self = NULL;
    for (size_t i = 0; i < nodes->count && self == NULL; i++) {
        self = nodes->at[i].node == node->id ? &nodes->at[i] : NULL;
    }
    if (self == NULL) {
        self = &nodes->at[nodes->count++]; /* there is room for one more */
        *self = (struct peer){.node = node->id};
    }
    self->state = (uint32_t)seen.state;
    self->applied_seq = seen.seq;
    self->bound_ms = (uint32_t)namespaces_most_bound_ms(node->namespaces);
    self->weight = join_weight(&node->join);
    memcpy(self->address, node->address, sizeof(self->address));
}

/* On the control loop. */
static void nodes_see(struct seen_nodes *nodes, const struct node *node)
{
    const struct peers *peers = coherence_peers(tiers_coherence(node->tiers));
    nodes->now_ms = clock_now_ms(&node->clock);
    nodes->patience_ms = peers_patience_ms(peers, nodes->now_ms);
    nodes->at = malloc((peers->count + 1) * sizeof(*nodes->at));
    if (nodes->at != NULL) {
        nodes->count = peers->count;
        if (peers->count > 0) {
            memcpy(nodes->at, peers->at, peers->count * sizeof(*nodes->at));
        }
        correct_self(nodes, node);
        qsort(nodes->at, nodes->count, sizeof(*nodes->at), peer_compare);
    }
}

static void nodes_run(struct errand *errand)
{
    struct nodes_errand *nodes = (struct nodes_errand *)(void *)errand;
    nodes_see(&nodes->seen, errand->home->node);
    errand_back(errand);
}

static void reply_permille(struct reply *reply, const char *name, uint32_t permille)
{
    char text[16];
    (void)snprintf(text, sizeof(text), "%u.%03u", permille / PERMILLE, permille % PERMILLE);
    reply_bulk_text(reply, name);
    reply_double_text(reply, slice_of(text));
}

static void reply_peer(struct reply *reply, const struct peer *peer, const char *state,
                       int64_t age_ms, bool is_self)
{
    reply_map(reply, NODE_FIELDS);
    reply_bulk_text(reply, "id");
    reply_node_id(reply, peer->node);
    reply_bulk_text(reply, "address");
    reply_bulk_text(reply, peer->address);
    reply_bulk_text(reply, "state");
    reply_bulk_text(reply, state);
    reply_pair_integer(reply, "applied_seq", (int64_t)peer->applied_seq);
    reply_pair_integer(reply, "bound_ms", peer->bound_ms);
    reply_permille(reply, "hit_ratio", peer->hit_permille);
    reply_permille(reply, "weight", peer->weight);
    reply_pair_integer(reply, "load", peer->load);
    reply_pair_integer(reply, "age_ms", age_ms);
    reply_bulk_text(reply, "disagreement");
    reply_bulk_text(reply, peer->disagreement);
    reply_bulk_text(reply, "self");
    reply_boolean(reply, is_self);
}

/* LEFT: it said goodbye. GONE: it fell silent. */
static const char *state_of(const struct peer *peer, bool is_self, int64_t age_ms,
                            int64_t patience_ms)
{
    if (!is_self && peer->has_left) {
        return "LEFT";
    }
    return !is_self && age_ms > patience_ms ? "GONE" : coherence_state_name(peer->state);
}

static void reply_nodes(struct reply *reply, const struct seen_nodes *nodes,
                        const struct node *node)
{
    reply_array(reply, nodes->count);
    for (size_t i = 0; i < nodes->count; i++) {
        const struct peer *peer = &nodes->at[i];
        const bool is_self = peer->node == node->id;
        const int64_t age_ms = peer->beat_at_ms == 0 ? -1 : nodes->now_ms - peer->beat_at_ms;
        reply_peer(reply, peer, state_of(peer, is_self, age_ms, nodes->patience_ms), age_ms,
                   is_self);
    }
}

static void reply_alone(struct reply *reply, const struct node *node)
{
    struct peer self = {.node = node->id, .weight = join_weight(&node->join)};
    memcpy(self.address, node->address, sizeof(self.address));
    reply_array(reply, 1);
    reply_peer(reply, &self, "ALONE", -1, true);
}

enum status cache_reply_nodes(struct reply *reply, const struct node *node)
{
    if (node->tiers == NULL) {
        reply_alone(reply, node);
        return OK;
    }
    struct seen_nodes nodes = {0};
    nodes_see(&nodes, node);
    if (nodes.at == NULL) {
        return NO_MEMORY;
    }
    reply_nodes(reply, &nodes, node);
    free(nodes.at);
    return OK;
}

static void nodes_done(struct errand *errand)
{
    struct nodes_errand *nodes = (struct nodes_errand *)(void *)errand;
    struct reply *reply = &nodes->answer->reply;
    if (nodes->seen.at == NULL) {
        reply_out_of_memory(reply);
    } else {
        reply_nodes(reply, &nodes->seen, errand->home->node);
    }
    cache_land(nodes->answer);
    free(nodes->seen.at);
    free(nodes);
}

void cmd_cache_nodes(struct call *call)
{
    if (call->node->tiers == NULL) {
        reply_alone(call->reply, call->node);
        return;
    }
    struct nodes_errand *nodes = malloc(sizeof(*nodes));
    if (nodes == NULL) {
        reply_out_of_memory(call->reply);
        return;
    }
    *nodes = (struct nodes_errand){.errand = {.run = nodes_run, .done = nodes_done}};
    const enum status status = errand_send(&nodes->errand, call->worker);
    if (status != OK) {
        cache_refuse(call->reply, status, "", 0);
        free(nodes);
        return;
    }
    nodes->answer = cache_defer(call);
}
