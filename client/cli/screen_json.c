/* SPDX-License-Identifier: BSD-3-Clause */
#include "client/cli/rows.h"

static json_t *durations_json(const struct sample_durations *durations)
{
    json_t *object = json_pack("{s:I}", "calls", (json_int_t)durations->calls);
    if (durations->calls > 0) {
        (void)json_object_update_new(
            object, json_pack("{s:f,s:f,s:f,s:f}", "p50_us", durations_quantile_us(durations, 0.5),
                              "p90_us", durations_quantile_us(durations, 0.9), "p99_us",
                              durations_quantile_us(durations, 0.99), "p999_us",
                              durations_quantile_us(durations, 0.999)));
    }
    return object;
}

static json_t *flow_json(const struct flow *flow)
{
    const struct flow_rates *rates = &flow->rates;
    if (!flow->known) {
        return json_null();
    }
    json_t *object = json_pack(
        "{s:f,s:f,s:f,s:f,s:f,s:f,s:f,s:f,s:f,s:f,s:f,s:f}", "commands", rates->commands, "errors",
        rates->errors, "l0_hits", rates->near_hits, "l1_hits", rates->l1_hits, "l1_misses",
        rates->l1_misses, "l2_reads", rates->l2_reads, "coalesced", rates->coalesced, "relayed",
        rates->relayed, "stale", rates->stale_served, "invalidations", rates->invalidations,
        "evictions", rates->evictions, "cpu", rates->cpu);
    (void)json_object_set_new(object, "warmed", json_real(rates->warmed));
    (void)json_object_set_new(object, "bytes_in", json_real(rates->bytes_in));
    (void)json_object_set_new(object, "bytes_out", json_real(rates->bytes_out));
    (void)json_object_set_new(object, "reads", durations_json(&flow->reads));
    (void)json_object_set_new(object, "writes", durations_json(&flow->writes));
    return object;
}

static json_t *peers_json(const struct sample *now)
{
    json_t *list = json_array();
    for (size_t i = 0; i < now->peer_count; i++) {
        const struct sample_peer *peer = &now->peers[i];
        (void)json_array_append_new(
            list, json_pack("{s:s,s:s,s:b,s:I,s:f,s:I,s:b}", "address", peer->address, "state",
                            peer->state, "self", peer->is_self, "heard_ms",
                            (json_int_t)peer->heard_ms, "hit_ratio", peer->hit_ratio, "clients",
                            (json_int_t)peer->clients, "disagrees", peer->disagrees));
    }
    return list;
}

static json_t *node_json(const struct screen_node *node)
{
    const struct sample *now = node->now;
    json_t *object = json_pack("{s:s,s:b}", "address", node->address, "reachable", now->reachable);
    if (!now->reachable) {
        (void)json_object_set_new(object, "error", json_string(now->error));
        return object;
    }
    struct flow flow;
    flow_between(node->before, now, &flow);
    (void)json_object_update_new(
        object, json_pack("{s:s,s:s,s:s,s:I,s:I,s:I,s:I,s:I,s:I}", "version", now->version, "state",
                          now->coherence, "l2", now->l2, "echo_ms", (json_int_t)now->echo_ms,
                          "clients", (json_int_t)now->clients, "tracking_clients",
                          (json_int_t)now->tracking_clients, "items", (json_int_t)now->items,
                          "bytes", (json_int_t)now->used, "bytes_max", (json_int_t)now->used_max));
    (void)json_object_set_new(object, "warm_jobs", json_integer((json_int_t)now->warm_jobs));
    (void)json_object_set_new(object, "warm_yield", json_real(now->warm_yield));
    (void)json_object_set_new(object, "per_second", flow_json(&flow));
    (void)json_object_set_new(object, "nodes", peers_json(now));
    return object;
}

static json_t *namespaces_json(const struct screen *screen)
{
    struct rows rows = {0};
    json_t *list = rows_read(&rows, screen) == OK ? json_array() : NULL;
    for (size_t i = 0; list != NULL && i < rows.count; i++) {
        const struct row *row = &rows.at[i];
        (void)json_array_append_new(list, json_pack("{s:s,s:f,s:f,s:f,s:f,s:f,s:f,s:f}", "name",
                                                    row->ns->name, "ops", row->ops, "writes",
                                                    row->writes, "hits", row->hits, "misses",
                                                    row->misses, "items", row->items, "bytes",
                                                    row->bytes, "bytes_max", row->bytes_max));
    }
    rows_done(&rows);
    return list;
}

static json_t *hot_json(const struct screen *screen)
{
    struct sample_hot hot[SCREEN_HOT_MAX];
    const size_t count = screen_hot(screen, hot);
    json_t *list = json_array();
    for (size_t i = 0; i < count; i++) {
        (void)json_array_append_new(
            list, json_pack("{s:s,s:f}", "key", hot[i].key, "per_second", hot[i].per_s));
    }
    return list;
}

json_t *screen_json(const struct screen *screen)
{
    struct flow sum;
    json_t *nodes = json_array();
    screen_sum(screen, &sum);
    for (size_t i = 0; i < screen->node_count; i++) {
        (void)json_array_append_new(nodes, node_json(&screen->nodes[i]));
    }
    return json_pack("{s:f,s:o,s:o,s:o,s:o}", "time", (double)screen->wall_us / 1e6, "per_second",
                     flow_json(&sum), "nodes", nodes, "hot", hot_json(screen), "namespaces",
                     namespaces_json(screen));
}
