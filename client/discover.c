/* SPDX-License-Identifier: BSD-3-Clause */
/* discover.c -- which endpoints there are: what the application listed, what names stand for, what nodes tell of each other.
 *
 *      endpoints ---> numbers, paths: at once           \
 *                ---> names: getaddrinfo, again and again --> cluster_update
 *      TOPOLOGY of any node, again and again            /
 *
 * What is listed stays, whatever nodes say. A name that cannot be resolved keeps what it stood for. */
#include "client/core.h"

#include <math.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    ADDRESS_SIZE = CLUSTER_ADDRESS_MAX + 1,
    ADDRESSES_OF_NAME = 32,
    NO_MEMORY_MS = 50,
    AGAIN_MS = 1000 /* a name that stands for nothing yet */
};

/* One item of option endpoints. */
struct source {
    uv_getaddrinfo_t lookup; /* first: its address is the source's */
    struct discovery *discovery;
    char host[256];
    char region[CLUSTER_REGION_NAME_MAX + 1];
    unsigned priority;
    unsigned weight; /* of each of its addresses */
    uint16_t port;
    bool is_name;
    bool is_under_way;
    struct timer again;
    size_t count;
    char addresses[ADDRESSES_OF_NAME][ADDRESS_SIZE];
};

struct told { /* by TOPOLOGY */
    char address[ADDRESS_SIZE];
    double warmth; /* 0: nothing is said */
    bool drains;   /* weight 0: not to be asked while another may be */
};

struct discovery {
    struct core *core;
    struct source *sources;
    size_t source_count;
    struct timer ask_nodes, publish_again;
    struct told *told;
    size_t told_count;
    bool is_found; /* the cluster has something */
    char why[320]; /* of the name that was looked up in vain last */
};

static void publish(struct discovery *discovery);

/* --- to the cluster --------------------------------------------------------------------------------------------------------- */

static const struct told *told_of(const struct discovery *discovery, const char *address)
{
    for (size_t i = 0; i < discovery->told_count; i++) {
        if (strcmp(discovery->told[i].address, address) == 0) {
            return &discovery->told[i];
        }
    }
    return NULL;
}

static size_t list_sources(const struct discovery *discovery, struct cluster_endpoint_spec *specs)
{
    size_t count = 0;
    for (size_t i = 0; i < discovery->source_count; i++) {
        const struct source *source = &discovery->sources[i];
        for (size_t j = 0; j < source->count && count < CLUSTER_ENDPOINTS_MAX; j++) {
            const struct told *told = told_of(discovery, source->addresses[j]);
            specs[count++] = (struct cluster_endpoint_spec){
                .address = source->addresses[j],
                .region = source->region,
                .priority = source->priority,
                .weight = told != NULL && told->drains ? 0 : source->weight,
                .warmth = told != NULL ? told->warmth : 0};
        }
    }
    return count;
}

static bool is_listed(const struct cluster_endpoint_spec *specs, size_t count, const char *address)
{
    for (size_t i = 0; i < count; i++) {
        if (strcmp(specs[i].address, address) == 0) {
            return true;
        }
    }
    return false;
}

static void publish_again(struct timer *timer)
{
    publish((struct discovery *)((char *)timer - offsetof(struct discovery, publish_again)));
}

/* What cannot be told now, for want of memory, is told later. */
static void publish(struct discovery *discovery)
{
    struct core *core = discovery->core;
    struct cluster_endpoint_spec specs[CLUSTER_ENDPOINTS_MAX];
    char region[CLUSTER_REGION_NAME_MAX + 1];
    size_t count = list_sources(discovery, specs);
    error_say(region, sizeof region, "%s", cluster_current_region(core->cluster));
    const unsigned priority = options_region_priority(core->options, slice_of(region));
    for (size_t i = 0; i < discovery->told_count && count < CLUSTER_ENDPOINTS_MAX; i++) {
        const struct told *told = &discovery->told[i];
        if (!is_listed(specs, count, told->address)) {
            specs[count++] = (struct cluster_endpoint_spec){told->address, region, priority,
                                                            told->drains ? 0 : 1, told->warmth};
        }
    }
    const enum status status =
        count > 0 ? cluster_update(core->cluster, specs, count, clock_ms()) : INVALID;
    if (status == OK) {
        discovery->is_found = true;
        core_feed(core);
    } else if (status == NO_MEMORY) {
        wheel_set(&core->wheel, &discovery->publish_again, clock_ms() + NO_MEMORY_MS);
    }
}

bool discovery_is_pending(const struct discovery *discovery)
{
    return !discovery->is_found;
}

const char *discovery_why(const struct discovery *discovery)
{
    return discovery->why[0] != '\0' ? discovery->why : "no endpoint was found yet";
}

const char *discovery_host(const struct discovery *discovery, const char *address)
{
    for (size_t i = 0; i < discovery->source_count; i++) {
        const struct source *source = &discovery->sources[i];
        for (size_t j = 0; j < source->count; j++) {
            if (strcmp(source->addresses[j], address) == 0) {
                return source->host;
            }
        }
    }
    return NULL;
}

/* --- names ------------------------------------------------------------------------------------------------------------------- */

static void add_address(struct source *source, const struct sockaddr *address)
{
    char host[INET6_ADDRSTRLEN];
    char *to = source->addresses[source->count];
    if (address->sa_family == AF_INET &&
        uv_ip4_name((const struct sockaddr_in *)(const void *)address, host, sizeof host) == 0) {
        (void)snprintf(to, ADDRESS_SIZE, "%s:%u", host, source->port);
        source->count++;
    } else if (address->sa_family == AF_INET6 &&
               uv_ip6_name((const struct sockaddr_in6 *)(const void *)address, host, sizeof host) ==
                   0) {
        (void)snprintf(to, ADDRESS_SIZE, "[%s]:%u", host, source->port);
        source->count++;
    }
}

static void on_looked_up(uv_getaddrinfo_t *lookup, int error, struct addrinfo *found)
{
    struct source *source = (struct source *)(void *)lookup;
    struct discovery *discovery = source->discovery;
    struct core *core = discovery->core;
    source->is_under_way = false;
    if (error == 0 && !core->is_closing) {
        source->count = 0;
        for (struct addrinfo *one = found; one != NULL && source->count < ADDRESSES_OF_NAME;
             one = one->ai_next) {
            add_address(source, one->ai_addr);
        }
        publish(discovery);
    }
    uv_freeaddrinfo(found);
    if (error != 0) {
        error_say(discovery->why, sizeof discovery->why, "%s: %s", source->host,
                  uv_strerror(error));
    }
    if (!core->is_closing) {
        const int64_t wait_ms = source->count > 0 ? core->options->dns_refresh_ms : AGAIN_MS;
        wheel_set(&core->wheel, &source->again, clock_ms() + wait_ms);
    }
    core_unref(core); /* last: it may go, with this */
}

static void look_up(struct timer *timer)
{
    struct source *source = (struct source *)((char *)timer - offsetof(struct source, again));
    struct core *core = source->discovery->core;
    const struct addrinfo hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM};
    if (uv_getaddrinfo(core->setting.loop, &source->lookup, on_looked_up, source->host, NULL,
                       &hints) == 0) {
        source->is_under_way = true;
        core->open++;
    } else {
        wheel_set(&core->wheel, timer, clock_ms() + AGAIN_MS);
    }
}

/* --- nodes ------------------------------------------------------------------------------------------------------------------- */

static void note_nodes(struct discovery *discovery, const struct native_reply *reply)
{
    struct told *told = calloc(reply->node_count + 1, sizeof *told);
    size_t count = 0;
    struct peer where = {0};
    if (told == NULL) {
        return; /* those of before stay */
    }
    for (size_t i = 0; i < reply->node_count; i++) {
        const struct native_node *node = &reply->nodes[i];
        if (node->is_live && node->address.size > 0 && node->address.size < ADDRESS_SIZE) {
            memcpy(told[count].address, node->address.data, node->address.size);
            told[count].address[node->address.size] = '\0';
            told[count].warmth = isfinite(node->weight) && node->weight > 0 ? node->weight : 0;
            told[count].drains = node->has_weight && node->weight == 0;
            count += core_resolve(discovery->core, told[count].address, &where);
        }
    }
    free(discovery->told);
    discovery->told = told;
    discovery->told_count = count;
    publish(discovery);
}

static void on_told(void *arg, const struct outcome *outcome)
{
    struct discovery *discovery = arg;
    struct core *core = discovery->core;
    if (core->is_closing) {
        return;
    }
    if (outcome->status == TERRACE_OK && outcome->reply != NULL) {
        note_nodes(discovery, outcome->reply);
    }
    wheel_set(&core->wheel, &discovery->ask_nodes, clock_ms() + core->options->discover_every_ms);
}

static void ask_nodes(struct timer *timer)
{
    struct discovery *discovery =
        (struct discovery *)((char *)timer - offsetof(struct discovery, ask_nodes));
    struct core *core = discovery->core;
    const struct ask ask = {.op = NATIVE_TOPOLOGY, .on_done = on_told, .arg = discovery};
    struct request *request = NULL;
    if (request_new(core->options, &ask, &request) != TERRACE_OK ||
        request_start(core, request) != TERRACE_OK) {
        wheel_set(&core->wheel, timer, clock_ms() + core->options->discover_every_ms);
    }
}

/* --- life -------------------------------------------------------------------------------------------------------------------- */

static void note_source(struct discovery *discovery, const struct endpoint_text *text)
{
    struct source *source = &discovery->sources[discovery->source_count++];
    struct sockaddr_storage room;
    source->discovery = discovery;
    source->port = text->port;
    source->weight = text->weight;
    source->priority = options_region_priority(discovery->core->options, text->region);
    source->again.on_due = look_up;
    error_say(source->region, sizeof source->region, "%.*s", (int)text->region.size,
              text->region.size > 0 ? text->region.data : "");
    error_say(source->host, sizeof source->host, "%.*s", (int)text->host.size, text->host.data);
    char *to = source->addresses[0];
    if (text->is_unix) {
        error_say(to, ADDRESS_SIZE, "unix:%s", source->host);
    } else if (uv_ip4_addr(source->host, text->port, (struct sockaddr_in *)&room) == 0) {
        error_say(to, ADDRESS_SIZE, "%s:%u", source->host, text->port);
    } else if (uv_ip6_addr(source->host, text->port, (struct sockaddr_in6 *)&room) == 0) {
        error_say(to, ADDRESS_SIZE, "[%s]:%u", source->host, text->port);
    } else {
        source->is_name = true;
    }
    source->count = !source->is_name;
}

struct discovery *discovery_new(struct core *core)
{
    struct discovery *discovery = calloc(1, sizeof *discovery);
    struct slice rest = slice_of(core->options->endpoints);
    struct endpoint_text text;
    const char *error = NULL;
    size_t count = 0;
    while (options_next_endpoint(&rest, &text, &error)) {
        count++;
    }
    if (discovery != NULL) {
        discovery->core = core;
        discovery->ask_nodes.on_due = ask_nodes;
        discovery->publish_again.on_due = publish_again;
        discovery->sources = calloc(count, sizeof *discovery->sources);
    }
    if (discovery == NULL || discovery->sources == NULL) {
        free(discovery);
        return NULL;
    }
    rest = slice_of(core->options->endpoints);
    while (options_next_endpoint(&rest, &text, &error)) {
        note_source(discovery, &text);
    }
    return discovery;
}

void discovery_begin(struct discovery *discovery)
{
    struct core *core = discovery->core;
    for (size_t i = 0; i < discovery->source_count; i++) {
        if (discovery->sources[i].is_name) {
            look_up(&discovery->sources[i].again);
        }
    }
    publish(discovery);
    if (core->options->discover != 0) {
        wheel_set(&core->wheel, &discovery->ask_nodes, clock_ms() + 1);
    }
}

void discovery_stop(struct discovery *discovery)
{
    for (size_t i = 0; i < discovery->source_count; i++) {
        wheel_clear(&discovery->sources[i].again);
        if (discovery->sources[i].is_under_way) { /* its callback comes in any case */
            (void)uv_cancel((uv_req_t *)&discovery->sources[i].lookup);
        }
    }
    wheel_clear(&discovery->ask_nodes);
    wheel_clear(&discovery->publish_again);
}

void discovery_free(struct discovery *discovery)
{
    if (discovery != NULL) {
        free(discovery->sources);
        free(discovery->told);
        free(discovery);
    }
}
