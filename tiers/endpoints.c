/* SPDX-License-Identifier: BSD-3-Clause */
#include "tiers/endpoints.h"

#include "protocol/check.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    ENDPOINTS_MAGIC = 0x656e6470
};

/* A master that sentinels named; kept, since links may still hold its URL. */
struct named_master {
    struct named_master *older;
    int64_t named_at_ms; /* last, as another one than before */
    struct l2_url url;
};

struct endpoint {
    const struct l2_url *url;
    unsigned failures;
    int64_t up_at_ms;
    int64_t failed_at_ms;
    int64_t well_since_ms; /* of probes in a row; 0: the last one failed, or there was none */
    int64_t probed_at_ms;
    bool probing;
    bool attempted; /* by the control link */
    char why[ENDPOINT_WHY_MAX];
};

struct endpoints {
    unsigned magic;
    struct endpoints_options options;
    struct endpoint all[L2_URLS_MAX];
    size_t count; /* behind sentinels: 0 until one has said, then 1 */
    size_t current;
    bool by_hand;
    struct named_master *masters; /* the one that was named last is the first */
    size_t master_count;
    struct endpoint_event events[ENDPOINT_EVENTS];
    uint64_t event_count;
};

static bool behind_sentinels(const struct endpoints *endpoints)
{
    return endpoints->options.urls->master_name != NULL;
}

struct endpoints *endpoints_new(const struct endpoints_options *options)
{
    struct endpoints *endpoints = calloc(1, sizeof *endpoints);
    if (endpoints == NULL) {
        return NULL;
    }
    endpoints->magic = ENDPOINTS_MAGIC;
    endpoints->options = *options;
    if (!behind_sentinels(endpoints)) {
        CHECK(options->urls->count > 0);
        endpoints->count = options->urls->count;
        for (size_t i = 0; i < endpoints->count; i++) {
            endpoints->all[i].url = &options->urls->urls[i];
        }
    }
    return endpoints;
}

void endpoints_free(struct endpoints *endpoints)
{
    if (endpoints == NULL) {
        return;
    }
    CHECK_MAGIC(endpoints, ENDPOINTS_MAGIC);
    while (endpoints->masters != NULL) {
        struct named_master *master = endpoints->masters;
        endpoints->masters = master->older;
        l2_url_done(&master->url);
        free(master);
    }
    endpoints->magic = 0;
    free(endpoints);
}

const struct l2_url *endpoints_current(const struct endpoints *endpoints)
{
    CHECK_MAGIC(endpoints, ENDPOINTS_MAGIC);
    return endpoints->count == 0 ? NULL : endpoints->all[endpoints->current].url;
}

bool endpoints_current_failed(const struct endpoints *endpoints)
{
    return endpoints->all[endpoints->current].failures > 0;
}

const char *const endpoint_breaker_names[] = {"closed", "open", "half-open"};

static enum endpoint_breaker breaker_of(const struct endpoint *endpoint)
{
    if (endpoint->failures < ENDPOINT_FAILURES) {
        return ENDPOINT_CLOSED;
    }
    return endpoint->probing || endpoint->attempted ? ENDPOINT_HALF_OPEN : ENDPOINT_OPEN;
}

/* --- moving ---------------------------------------------------------------------------------------------------------- */

static void note_change(struct endpoints *endpoints, const char *why, int64_t now_ms)
{
    struct endpoint_event *event = &endpoints->events[endpoints->event_count++ % ENDPOINT_EVENTS];
    *event = (struct endpoint_event){.at_ms = now_ms, .to = endpoints_current(endpoints)};
    (void)snprintf(event->why, sizeof event->why, "%s", why);
}

static void move_to(struct endpoints *endpoints, size_t to, bool by_hand, const char *why,
                    int64_t now_ms)
{
    endpoints->all[endpoints->current].attempted = false;
    endpoints->current = to;
    endpoints->by_hand = by_hand;
    for (size_t i = 0; i < endpoints->count; i++) {
        endpoints->all[i].well_since_ms = 0; /* probes count from the last change on */
    }
    note_change(endpoints, why, now_ms);
}

static bool failed_lately(const struct endpoints *endpoints, const struct endpoint *endpoint,
                          int64_t now_ms)
{
    return endpoint->failures > 0 && now_ms - endpoint->failed_at_ms < endpoints->options.hold_ms;
}

/* Where to go from the current one: they stand by priority. */
static size_t best_other(const struct endpoints *endpoints, int64_t now_ms)
{
    size_t oldest = endpoints->current;
    for (size_t i = 0; i < endpoints->count; i++) {
        if (i == endpoints->current) {
            continue;
        }
        const struct endpoint *one = &endpoints->all[i];
        if (!failed_lately(endpoints, one, now_ms)) {
            return i;
        }
        if (oldest == endpoints->current ||
            one->failed_at_ms < endpoints->all[oldest].failed_at_ms) {
            oldest = i;
        }
    }
    return oldest;
}

void endpoints_on_attempt(struct endpoints *endpoints)
{
    CHECK_MAGIC(endpoints, ENDPOINTS_MAGIC);
    if (endpoints->count > 0) {
        endpoints->all[endpoints->current].attempted = true;
    }
}

void endpoints_on_up(struct endpoints *endpoints, int64_t now_ms)
{
    CHECK_MAGIC(endpoints, ENDPOINTS_MAGIC);
    struct endpoint *current = &endpoints->all[endpoints->current];
    current->attempted = false;
    current->failures = 0;
    current->up_at_ms = now_ms;
}

static void fail(struct endpoint *endpoint, const char *why, int64_t now_ms)
{
    endpoint->failures++;
    endpoint->attempted = false;
    endpoint->failed_at_ms = now_ms;
    endpoint->well_since_ms = 0;
    (void)snprintf(endpoint->why, sizeof endpoint->why, "%s", why);
}

bool endpoints_on_failure(struct endpoints *endpoints, const char *why, int64_t now_ms)
{
    CHECK_MAGIC(endpoints, ENDPOINTS_MAGIC);
    if (endpoints->count == 0) {
        return false;
    }
    struct endpoint *current = &endpoints->all[endpoints->current];
    fail(current, why, now_ms);
    if (endpoints->count < 2 || current->failures < ENDPOINT_FAILURES) {
        return false;
    }
    move_to(endpoints, best_other(endpoints, now_ms), false, why, now_ms);
    return true;
}

/* --- going back ------------------------------------------------------------------------------------------------------ */

static struct endpoint *find(struct endpoints *endpoints, const struct l2_url *url)
{
    for (size_t i = 0; i < endpoints->count; i++) {
        if (endpoints->all[i].url == url) {
            return &endpoints->all[i];
        }
    }
    return NULL;
}

const struct l2_url *endpoints_probe_due(struct endpoints *endpoints, int64_t now_ms)
{
    CHECK_MAGIC(endpoints, ENDPOINTS_MAGIC);
    if (!endpoints->options.urls->independent || endpoints->by_hand) {
        return NULL;
    }
    struct endpoint *longest_ago = NULL;
    for (size_t i = 0; i < endpoints->current; i++) {
        struct endpoint *better = &endpoints->all[i];
        if (!better->probing &&
            (longest_ago == NULL || better->probed_at_ms < longest_ago->probed_at_ms)) {
            longest_ago = better;
        }
    }
    if (longest_ago == NULL || now_ms - longest_ago->probed_at_ms < ENDPOINT_PROBE_MS) {
        return NULL;
    }
    longest_ago->probing = true;
    longest_ago->probed_at_ms = now_ms;
    return longest_ago->url;
}

bool endpoints_on_probe(struct endpoints *endpoints, const struct l2_url *url, const char *why,
                        int64_t now_ms)
{
    CHECK_MAGIC(endpoints, ENDPOINTS_MAGIC);
    struct endpoint *endpoint = find(endpoints, url);
    if (endpoint == NULL) {
        return false;
    }
    endpoint->probing = false;
    if (why != NULL) {
        fail(endpoint, why, now_ms);
        return false;
    }
    endpoint->failures = 0;
    endpoint->up_at_ms = now_ms;
    if (endpoint->well_since_ms == 0) {
        endpoint->well_since_ms = now_ms;
    }
    const size_t i = (size_t)(endpoint - endpoints->all);
    if (endpoints->by_hand || i >= endpoints->current ||
        now_ms - endpoint->well_since_ms < endpoints->options.hold_ms) {
        return false;
    }
    move_to(endpoints, i, false, "a better endpoint has answered for the hold-down", now_ms);
    return true;
}

/* --- sentinels ------------------------------------------------------------------------------------------------------- */

static bool is_at(const struct l2_url *url, struct slice host, int port)
{
    return url->port == port && slice_equal(slice_of(url->host), host);
}

static struct named_master *master_take_out(struct named_master **link)
{
    struct named_master *master = *link;
    *link = master->older;
    return master;
}

static const struct l2_url *master_put_first(struct endpoints *endpoints,
                                             struct named_master *master, int64_t now_ms)
{
    master->named_at_ms = now_ms;
    master->older = endpoints->masters;
    endpoints->masters = master;
    return &master->url;
}

/* Room for one more. false: the oldest one may still be held by somebody. */
static bool master_make_room(struct endpoints *endpoints, int64_t now_ms)
{
    if (endpoints->master_count < ENDPOINT_MASTERS_MAX) {
        return true;
    }
    struct named_master **oldest = &endpoints->masters;
    while ((*oldest)->older != NULL) {
        oldest = &(*oldest)->older;
    }
    if (now_ms - (*oldest)->named_at_ms < ENDPOINT_MASTER_KEPT_MS) {
        return false;
    }
    struct named_master *master = master_take_out(oldest);
    l2_url_done(&master->url);
    free(master);
    endpoints->master_count--;
    return true;
}

static const struct l2_url *master_keep(struct endpoints *endpoints, struct slice host, int port,
                                        int64_t now_ms)
{
    for (struct named_master **one = &endpoints->masters; *one != NULL; one = &(*one)->older) {
        if (is_at(&(*one)->url, host, port)) {
            return master_put_first(endpoints, master_take_out(one), now_ms);
        }
    }
    if (!master_make_room(endpoints, now_ms)) {
        return NULL;
    }
    char name[L2_URL_ADDRESS_MAX];
    struct named_master *master = calloc(1, sizeof *master);
    if (master == NULL || host.size >= sizeof name) {
        free(master);
        return NULL;
    }
    (void)snprintf(name, sizeof name, "%.*s", (int)host.size, host.data);
    const struct l2_url url = {.tls = endpoints->options.urls->master_tls,
                               .host = name,
                               .port = port,
                               .user = endpoints->options.urls->master_user,
                               .pass = endpoints->options.urls->master_pass};
    if (l2_url_copy(&url, &master->url) != OK) {
        free(master);
        return NULL;
    }
    endpoints->master_count++;
    return master_put_first(endpoints, master, now_ms);
}

bool endpoints_on_master(struct endpoints *endpoints, struct slice host, int port, int64_t now_ms)
{
    CHECK_MAGIC(endpoints, ENDPOINTS_MAGIC);
    const struct l2_url *current = endpoints_current(endpoints);
    if (!behind_sentinels(endpoints) || (current != NULL && is_at(current, host, port))) {
        return false;
    }
    const struct l2_url *url = master_keep(endpoints, host, port, now_ms);
    if (url == NULL) {
        return false;
    }
    endpoints->all[0] = (struct endpoint){.url = url};
    endpoints->count = 1;
    move_to(endpoints, 0, false, "the sentinels named this master", now_ms);
    return true;
}

/* --- by hand --------------------------------------------------------------------------------------------------------- */

enum status endpoints_choose(struct endpoints *endpoints, const char *address, int64_t now_ms)
{
    CHECK_MAGIC(endpoints, ENDPOINTS_MAGIC);
    if (endpoints->count == 0) {
        return MISS;
    }
    size_t to = address == NULL ? (endpoints->current + 1) % endpoints->count : 0;
    for (; address != NULL && to < endpoints->count; to++) {
        char text[L2_URL_ADDRESS_MAX];
        l2_url_address(endpoints->all[to].url, text);
        if (strcmp(text, address) == 0) {
            break;
        }
    }
    if (to == endpoints->count) {
        return MISS;
    }
    if (to == endpoints->current) {
        return AGAIN;
    }
    endpoints->all[to].failures = 0; /* whoever chose it wants it tried in earnest */
    move_to(endpoints, to, true, "chosen by hand", now_ms);
    return OK;
}

/* --- looking --------------------------------------------------------------------------------------------------------- */

size_t endpoints_describe(const struct endpoints *endpoints,
                          struct endpoint_description ret[L2_URLS_MAX])
{
    CHECK_MAGIC(endpoints, ENDPOINTS_MAGIC);
    for (size_t i = 0; i < endpoints->count; i++) {
        const struct endpoint *one = &endpoints->all[i];
        ret[i] = (struct endpoint_description){.url = one->url,
                                               .is_current = i == endpoints->current,
                                               .breaker = breaker_of(one),
                                               .failures = one->failures,
                                               .up_at_ms = one->up_at_ms,
                                               .failed_at_ms = one->failed_at_ms};
        memcpy(ret[i].why, one->why, sizeof ret[i].why);
    }
    return endpoints->count;
}

size_t endpoints_events(const struct endpoints *endpoints,
                        struct endpoint_event ret[ENDPOINT_EVENTS])
{
    CHECK_MAGIC(endpoints, ENDPOINTS_MAGIC);
    size_t count = 0;
    for (; count < ENDPOINT_EVENTS && count < endpoints->event_count; count++) {
        ret[count] = endpoints->events[(endpoints->event_count - 1 - count) % ENDPOINT_EVENTS];
    }
    return count;
}
