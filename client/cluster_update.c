/* SPDX-License-Identifier: BSD-3-Clause */
/* cluster_update.c -- a new list of endpoints in place of the old one: all of it, or none.
 *
 * Everything that needs memory or may be refused is prepared in a struct draft; taking it over cannot fail. */
#include "client/cluster_inner.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct draft {
    struct cluster_endpoint **listed;
    const struct cluster_endpoint_spec **specs; /* of each */
    unsigned *region;                           /* of each */
    size_t count;
    struct region regions[CLUSTER_REGIONS_MAX];
    unsigned region_count;
    struct ring rings[CLUSTER_REGIONS_MAX];
};

static const char *region_name(const struct cluster_endpoint_spec *spec)
{
    return spec->region == NULL ? "" : spec->region;
}

static bool is_sound(const struct cluster_endpoint_spec *spec)
{
    size_t address = spec->address == NULL ? 0 : strnlen(spec->address, CLUSTER_ADDRESS_MAX + 1);
    return address > 0 && address <= CLUSTER_ADDRESS_MAX &&
           strnlen(region_name(spec), CLUSTER_REGION_NAME_MAX + 1) <= CLUSTER_REGION_NAME_MAX &&
           isfinite(spec->weight) && spec->weight >= 0 && isfinite(spec->warmth) &&
           spec->warmth >= 0;
}

static struct cluster_endpoint *find_listed(const struct cluster *cluster, const char *address)
{
    for (size_t i = 0; i < cluster->count; i++) {
        if (strcmp(cluster->listed[i]->address, address) == 0) {
            return cluster->listed[i];
        }
    }
    return NULL;
}

static bool is_drafted(const struct draft *draft, const char *address)
{
    for (size_t i = 0; i < draft->count; i++) {
        if (strcmp(draft->listed[i]->address, address) == 0) {
            return true;
        }
    }
    return false;
}

static enum status draft_region(const struct cluster *cluster, struct draft *draft,
                                const struct cluster_endpoint_spec *spec, unsigned *ret_at)
{
    const char *name = region_name(spec);
    unsigned at = 0;
    while (at < draft->region_count && strcmp(draft->regions[at].name, name) != 0) {
        at++;
    }
    *ret_at = at;
    if (at < draft->region_count) {
        struct region *region = &draft->regions[at];
        region->priority = spec->priority < region->priority ? spec->priority : region->priority;
        return OK;
    }
    if (at == CLUSTER_REGIONS_MAX) {
        return TOO_BIG;
    }
    int old = regions_find(&cluster->regions, name);
    struct region *region = &draft->regions[draft->region_count++];
    *region = (struct region){
        .priority = spec->priority,
        .proved_at_ms = old < 0 ? -1 : cluster->regions.all[old].proved_at_ms,
    };
    (void)snprintf(region->name, sizeof region->name, "%s", name);
    return OK;
}

static struct cluster_endpoint *endpoint_new(struct cluster *cluster, const char *address,
                                             int64_t now_ms)
{
    size_t size = strlen(address) + 1;
    struct cluster_endpoint *endpoint = calloc(1, sizeof *endpoint + size);
    if (endpoint != NULL) {
        memcpy(endpoint->address, address, size);
        endpoint->cluster = cluster;
        health_init(&endpoint->health, now_ms);
    }
    return endpoint;
}

static enum status draft_endpoint(struct cluster *cluster, struct draft *draft,
                                  const struct cluster_endpoint_spec *spec, int64_t now_ms)
{
    if (!is_sound(spec)) {
        return INVALID;
    }
    if (is_drafted(draft, spec->address)) {
        return OK;
    }
    if (draft->count == CLUSTER_ENDPOINTS_MAX) {
        return TOO_BIG;
    }
    enum status status = draft_region(cluster, draft, spec, &draft->region[draft->count]);
    if (status != OK) {
        return status;
    }
    struct cluster_endpoint *endpoint = find_listed(cluster, spec->address);
    endpoint = endpoint != NULL ? endpoint : endpoint_new(cluster, spec->address, now_ms);
    if (endpoint == NULL) {
        return NO_MEMORY;
    }
    draft->specs[draft->count] = spec;
    draft->listed[draft->count++] = endpoint;
    return OK;
}

static enum status draft_ring(struct draft *draft, unsigned region)
{
    struct ring_member members[CLUSTER_ENDPOINTS_MAX];
    size_t count = 0;
    for (size_t i = 0; i < draft->count; i++) {
        if (draft->region[i] == region) {
            members[count++] = (struct ring_member){
                .address = draft->listed[i]->address,
                .weight = draft->specs[i]->weight,
                .who = (uint32_t)i,
            };
        }
    }
    return ring_build(&draft->rings[region], members, count);
}

static enum status fill_draft(struct cluster *cluster, struct draft *draft,
                              const struct cluster_endpoint_spec *specs, size_t count,
                              int64_t now_ms)
{
    draft->listed = calloc(CLUSTER_ENDPOINTS_MAX, sizeof *draft->listed);
    draft->specs = calloc(CLUSTER_ENDPOINTS_MAX, sizeof *draft->specs);
    draft->region = calloc(CLUSTER_ENDPOINTS_MAX, sizeof *draft->region);
    enum status status = OK;
    if (draft->listed == NULL || draft->specs == NULL || draft->region == NULL) {
        status = NO_MEMORY;
    }
    for (size_t i = 0; i < count && status == OK; i++) {
        status = draft_endpoint(cluster, draft, &specs[i], now_ms);
    }
    bool wants_rings = cluster->options.strategy == CLUSTER_HASH;
    for (unsigned i = 0; i < draft->region_count && status == OK && wants_rings; i++) {
        status = draft_ring(draft, i);
    }
    return status;
}

static void drop_draft(struct cluster *cluster, struct draft *draft)
{
    for (size_t i = 0; i < draft->count; i++) {
        if (find_listed(cluster, draft->listed[i]->address) == NULL) {
            free(draft->listed[i]);
        }
    }
    for (unsigned i = 0; i < CLUSTER_REGIONS_MAX; i++) {
        ring_done(&draft->rings[i]);
    }
    free(draft->listed);
}

/* --- taking it over ---------------------------------------------------------------------------------------------------- */

static void unlink_left(struct cluster *cluster, struct cluster_endpoint *endpoint)
{
    struct cluster_endpoint **link = &cluster->left;
    while (*link != NULL && *link != endpoint) {
        link = &(*link)->next_left;
    }
    if (*link != NULL) {
        *link = endpoint->next_left;
    }
}

void cluster_let_go(struct cluster_endpoint *endpoint)
{
    if (!endpoint->has_left || endpoint->inflight > 0 || endpoint->health.is_probing ||
        endpoint->user != NULL) {
        return;
    }
    unlink_left(endpoint->cluster, endpoint);
    free(endpoint);
}

static void leave(struct cluster *cluster, struct cluster_endpoint *endpoint, int64_t now_ms)
{
    chronicle_note(&cluster->chronicle, now_ms, endpoint->address,
                   cluster->regions.all[endpoint->region].name, "left");
    sticky_forget(&cluster->sticky, endpoint);
    endpoint->has_left = true;
    endpoint->next_left = cluster->left;
    cluster->left = endpoint;
    cluster_let_go(endpoint);
}

/* The current region and the hand's choice go by name; the best takes the place of one that is gone. */
static void take_regions(struct cluster *cluster, const struct draft *draft)
{
    struct regions *regions = &cluster->regions;
    char current[CLUSTER_REGION_NAME_MAX + 1];
    (void)snprintf(current, sizeof current, "%s", cluster_current_region(cluster));
    bool had_one = regions->count > 0;
    memcpy(regions->all, draft->regions, sizeof regions->all);
    regions->count = draft->region_count;
    int at = had_one ? regions_find(regions, current) : -1;
    if (at >= 0) {
        regions->current = (unsigned)at;
        return;
    }
    regions->is_pinned = false;
    regions->current = 0;
    for (unsigned i = 1; i < regions->count; i++) {
        if (regions->all[i].priority < regions->all[regions->current].priority) {
            regions->current = i;
        }
    }
}

static void take_endpoint(struct cluster_endpoint *endpoint,
                          const struct cluster_endpoint_spec *spec, unsigned region)
{
    endpoint->region = region;
    endpoint->weight = spec->weight;
    endpoint->warmth = spec->warmth > 0 && spec->warmth < 1 ? spec->warmth : 1;
}

static void take_draft(struct cluster *cluster, struct draft *draft, int64_t now_ms)
{
    bool had_some = cluster->count > 0;
    for (size_t i = 0; i < draft->count && had_some; i++) {
        if (find_listed(cluster, draft->listed[i]->address) == NULL) {
            chronicle_note(&cluster->chronicle, now_ms, draft->listed[i]->address,
                           draft->regions[draft->region[i]].name, "joined");
        }
    }
    for (size_t i = 0; i < cluster->count; i++) {
        if (!is_drafted(draft, cluster->listed[i]->address)) {
            leave(cluster, cluster->listed[i], now_ms);
        }
    }
    take_regions(cluster, draft);
    for (size_t i = 0; i < draft->count; i++) {
        take_endpoint(draft->listed[i], draft->specs[i], draft->region[i]);
    }
    for (unsigned i = 0; i < CLUSTER_REGIONS_MAX; i++) {
        ring_done(&cluster->rings[i]);
        cluster->rings[i] = draft->rings[i];
    }
    free(cluster->listed);
    cluster->listed = draft->listed;
    cluster->count = draft->count;
    cluster_settle_regions(cluster, now_ms);
}

enum status cluster_update(struct cluster *cluster, const struct cluster_endpoint_spec *specs,
                           size_t count, int64_t now_ms)
{
    if (count == 0) {
        return INVALID;
    }
    struct draft *draft = calloc(1, sizeof *draft);
    if (draft == NULL) {
        return NO_MEMORY;
    }
    enum status status = fill_draft(cluster, draft, specs, count, now_ms);
    if (status == OK) {
        take_draft(cluster, draft, now_ms);
    } else {
        drop_draft(cluster, draft);
    }
    free(draft->specs);
    free(draft->region);
    free(draft);
    return status;
}

struct cluster_endpoint *cluster_next_left(struct cluster *cluster)
{
    for (struct cluster_endpoint *endpoint = cluster->left; endpoint != NULL;
         endpoint = endpoint->next_left) {
        if (endpoint->user != NULL && !endpoint->is_left_told) {
            endpoint->is_left_told = true;
            return endpoint;
        }
    }
    return NULL;
}
