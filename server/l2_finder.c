/* SPDX-License-Identifier: BSD-3-Clause */
#include "server/l2_finder.h"

#include "protocol/resp_read.h"
#include "server/node.h"
#include "tiers/sentinel.h"
#include "tiers/tiers.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    ASK_EVERY_MS = 1000,    /* while all is well; it also tells of switches by itself */
    ASK_AGAIN_MS = 100,     /* when the control link fails */
    ANSWER_MS = 1000,       /* a sentinel or a probed server has so long to answer */
    NEXT_ENDPOINT_MS = 500, /* before one that failed when it was last tried */
    NEXT_SENTINEL_MS = 250, /* between two attempts, so that a dead set of them is not hammered */
};

struct l2_finder {
    struct l2_finder_options options;
    struct endpoints *endpoints;
    int64_t now_ms;

    struct link *sentinel; /* NULL: not behind sentinels, or closed */
    size_t sentinel_at;    /* which of the urls */
    struct link_request ask;
    bool asking;
    int64_t asked_at_ms;
    int64_t turned_at_ms; /* when another sentinel was taken */
    bool ask_soon;
    bool told_unknown; /* the log has heard that they do not know the name */
    bool told_down;    /* the log has heard that one cannot be asked; until one can */
    struct link_request failover;
    bool failing_over;

    struct link *probe; /* NULL: not independent, or closed */
    const struct l2_url *probed;
    struct link_request look;
    bool looking;
    int64_t probe_overdue_at_ms;

    struct buf scratch;
    pthread_mutex_t lock; /* of `described` only */
    struct l2_finder_description described;
};

static const struct l2_urls *finder_urls(const struct l2_finder *finder)
{
    return &finder->options.node->urls;
}

static void finder_read_clock(struct l2_finder *finder)
{
    finder->now_ms = clock_now_ms(&finder->options.node->clock);
}

/* The current endpoint is another one: whoever connects from now on goes there. */
static void finder_moved(struct l2_finder *finder, const char *why)
{
    const struct l2_url *url = endpoints_current(finder->endpoints);
    char address[L2_URL_ADDRESS_MAX];
    l2_url_address(url, address);
    tiers_set_url(finder->options.node->tiers, url);
    metrics_count(finder->options.node->metrics, M_L2_MOVES);
    log_write(&finder->options.node->log, LOG_WARNING, "l2_moved", "to=%s why=%s", address, why);
    /* One that was never tried, or was well when it was left, is tried at once; where all fail, nobody is hammered. */
    finder->options.on_moved(finder->options.arg,
                             endpoints_current_failed(finder->endpoints) ? NEXT_ENDPOINT_MS : 0);
}

/* --- sentinels ------------------------------------------------------------------------------------------------------------- */

static void sentinel_take_next(struct l2_finder *finder)
{
    if (finder->now_ms - finder->turned_at_ms < NEXT_SENTINEL_MS) {
        return;
    }
    finder->turned_at_ms = finder->now_ms;
    finder->sentinel_at = (finder->sentinel_at + 1) % finder_urls(finder)->count;
    if (finder_urls(finder)->count == 1) {
        link_close(finder->sentinel, "the sentinel did not help", finder->now_ms);
    }
    link_go_to(finder->sentinel, &finder_urls(finder)->urls[finder->sentinel_at], 0,
               finder->now_ms);
}

static void sentinel_says(struct l2_finder *finder, const struct sentinel_address *address)
{
    if (endpoints_on_master(finder->endpoints, address->host, address->port, finder->now_ms)) {
        finder_moved(finder, "the sentinels named this master");
    }
}

static void sentinel_on_answer(struct link_request *request, enum status status, struct slice reply)
{
    struct l2_finder *finder = LIST_ENTRY(request, struct l2_finder, ask);
    struct sentinel_address address;
    finder->asking = false;
    finder_read_clock(finder);
    if (finder->sentinel == NULL) {
        return; /* closing */
    }
    status = status == OK ? sentinel_address_read(reply, &address) : status;
    if (status == OK) {
        finder->told_unknown = false;
        finder->told_down = false;
        sentinel_says(finder, &address);
        return;
    }
    if (status != L2_DOWN && !finder->told_unknown) {
        finder->told_unknown = true;
        log_write(&finder->options.node->log, LOG_WARNING, "l2_unknown_master",
                  "the sentinel knows no master of the name in option l2");
    }
    finder->ask_soon = true; /* the next one may know */
    sentinel_take_next(finder);
}

static void sentinel_ask(struct l2_finder *finder)
{
    finder->scratch.size = 0;
    finder->ask = (struct link_request){.on_reply = sentinel_on_answer,
                                        .deadline_ms = finder->now_ms + ANSWER_MS};
    finder->asking =
        sentinel_ask_write(&finder->scratch, finder_urls(finder)->master_name) == OK &&
        link_ask(finder->sentinel, &finder->ask, -1, buf_slice(&finder->scratch)) == OK;
    finder->asked_at_ms = finder->now_ms;
    finder->ask_soon = false;
}

static void sentinel_on_ready(struct link *link, void *arg, const struct beat_answer *answer)
{
    struct l2_finder *finder = arg;
    (void)answer;
    finder_read_clock(finder);
    finder->scratch.size = 0;
    if (sentinel_subscribe_write(&finder->scratch) == OK) {
        (void)!link_say(link, buf_slice(&finder->scratch)); /* without it, asking is slower */
    }
    finder->ask_soon = true;
}

static void sentinel_on_push(struct link *link, void *arg, struct slice reply)
{
    struct l2_finder *finder = arg;
    struct sentinel_address address;
    (void)link;
    finder_read_clock(finder);
    if (sentinel_switch_read(reply, finder_urls(finder)->master_name, &address) == OK) {
        sentinel_says(finder, &address);
    }
}

/* Once for all of them: they are asked in turn, and each anew. */
static void sentinel_tell_down(struct l2_finder *finder)
{
    if (!finder->told_down) {
        char address[L2_URL_ADDRESS_MAX];
        l2_url_address(link_url(finder->sentinel), address);
        finder->told_down = true;
        log_write(&finder->options.node->log, LOG_WARNING, "l2_sentinel_down", "%s: %s", address,
                  link_why_down(finder->sentinel));
    }
}

static void sentinel_tick(struct l2_finder *finder)
{
    link_tick(finder->sentinel, finder->now_ms);
    if (link_state(finder->sentinel) == LINK_DOWN && link_is_down(finder->sentinel)) {
        sentinel_tell_down(finder);
        sentinel_take_next(finder);
    }
    const int64_t since_ms = finder->now_ms - finder->asked_at_ms;
    if (!finder->asking && link_state(finder->sentinel) == LINK_READY &&
        since_ms >= (finder->ask_soon ? ASK_AGAIN_MS : ASK_EVERY_MS)) {
        sentinel_ask(finder);
    }
}

/* --- looking at better ones ------------------------------------------------------------------------------------------------ */

static void probe_end(struct l2_finder *finder, const char *why)
{
    const struct l2_url *url = finder->probed;
    finder->probed = NULL;
    if (url != NULL && endpoints_on_probe(finder->endpoints, url, why, finder->now_ms)) {
        finder_moved(finder, "a better endpoint is back");
    }
    if (finder->probe != NULL) {
        link_go_to(finder->probe, NULL, 0, finder->now_ms);
    }
}

static bool says_master(struct slice reply)
{
    static const char role[] = "role:master";
    return reply.size > 0 && reply.data[0] == REPLY_BULK &&
           memmem(reply.data, reply.size, role, sizeof role - 1) != NULL;
}

static void probe_on_answer(struct link_request *request, enum status status, struct slice reply)
{
    struct l2_finder *finder = LIST_ENTRY(request, struct l2_finder, look);
    finder->looking = false;
    finder_read_clock(finder);
    if (finder->probe != NULL) {
        probe_end(finder, status != OK          ? "it did not answer"
                          : !says_master(reply) ? "it is no master"
                                                : NULL);
    }
}

static void probe_on_ready(struct link *link, void *arg, const struct beat_answer *answer)
{
    struct l2_finder *finder = arg;
    (void)answer;
    finder_read_clock(finder);
    finder->look = (struct link_request){.on_reply = probe_on_answer,
                                         .deadline_ms = finder->now_ms + ANSWER_MS};
    finder->looking = link_ask(link, &finder->look, -1,
                               SLICE_LITERAL("*2\r\n$4\r\nINFO\r\n$11\r\nreplication\r\n")) == OK;
}

static void probe_tick(struct l2_finder *finder)
{
    if (finder->probed == NULL) {
        finder->probed = endpoints_probe_due(finder->endpoints, finder->now_ms);
        if (finder->probed != NULL) {
            finder->probe_overdue_at_ms = finder->now_ms + ANSWER_MS;
            link_go_to(finder->probe, finder->probed, 0, finder->now_ms);
        }
    }
    link_tick(finder->probe, finder->now_ms);
    if (finder->probed != NULL && !finder->looking &&
        (link_state(finder->probe) == LINK_DOWN || finder->now_ms >= finder->probe_overdue_at_ms)) {
        probe_end(finder, link_why_down(finder->probe));
    }
}

/* --- life ------------------------------------------------------------------------------------------------------------------ */

static struct link *finder_link(struct l2_finder *finder, int proto,
                                void (*on_ready)(struct link *, void *, const struct beat_answer *))
{
    const bool hears = proto == 3;
    return link_new(&(struct link_options){
        .proto = proto,
        .plain = true,
        .io = l2_roof_io(finder->options.roof),
        .on_ready = on_ready,
        .on_push = hears ? sentinel_on_push : NULL,
        .arg = finder,
    });
}

struct l2_finder *l2_finder_new(const struct l2_finder_options *options)
{
    struct l2_finder *finder = calloc(1, sizeof *finder);
    if (finder == NULL) {
        return NULL;
    }
    finder->options = *options;
    if (pthread_mutex_init(&finder->lock, NULL) != 0) {
        free(finder);
        return NULL;
    }
    finder_read_clock(finder);
    finder->endpoints = endpoints_new(&(struct endpoints_options){
        .urls = finder_urls(finder), .hold_ms = options->node->options.l2_failback_hold});
    bool whole = finder->endpoints != NULL;
    if (finder_urls(finder)->master_name != NULL) {
        finder->sentinel = finder_link(finder, 3, sentinel_on_ready);
        whole = whole && finder->sentinel != NULL;
    } else if (finder_urls(finder)->independent) {
        finder->probe = finder_link(finder, 2, probe_on_ready);
        whole = whole && finder->probe != NULL;
    }
    if (!whole) {
        l2_finder_close(finder);
        l2_finder_free(finder);
        return NULL;
    }
    if (finder->sentinel != NULL) {
        link_go_to(finder->sentinel, &finder_urls(finder)->urls[0], 0, finder->now_ms);
    }
    tiers_set_url(options->node->tiers, endpoints_current(finder->endpoints));
    return finder;
}

void l2_finder_close(struct l2_finder *finder)
{
    struct link *sentinel = finder->sentinel;
    struct link *probe = finder->probe;
    finder->sentinel = NULL;
    finder->probe = NULL;
    finder->probed = NULL;
    link_free(sentinel);
    link_free(probe);
}

void l2_finder_free(struct l2_finder *finder)
{
    if (finder == NULL) {
        return;
    }
    endpoints_free(finder->endpoints);
    buf_done(&finder->scratch);
    (void)pthread_mutex_destroy(&finder->lock);
    free(finder);
}

static void finder_show(struct l2_finder *finder)
{
    pthread_mutex_lock(&finder->lock);
    struct l2_finder_description *described = &finder->described;
    described->count = endpoints_describe(finder->endpoints, described->endpoints);
    described->event_count = endpoints_events(finder->endpoints, described->events);
    described->sentinel[0] = '\0';
    if (finder->sentinel != NULL) {
        l2_url_address(link_url(finder->sentinel), described->sentinel);
        described->sentinel_up = link_state(finder->sentinel) == LINK_READY;
    }
    pthread_mutex_unlock(&finder->lock);
}

void l2_finder_describe(struct l2_finder *finder, struct l2_finder_description *ret)
{
    pthread_mutex_lock(&finder->lock);
    *ret = finder->described;
    pthread_mutex_unlock(&finder->lock);
}

void l2_finder_tick(struct l2_finder *finder, int64_t now_ms)
{
    finder->now_ms = now_ms;
    if (finder->sentinel != NULL) {
        sentinel_tick(finder);
    }
    if (finder->probe != NULL) {
        probe_tick(finder);
    }
    finder_show(finder);
}

/* --- the control link ------------------------------------------------------------------------------------------------------ */

void l2_finder_on_attempt(struct l2_finder *finder)
{
    endpoints_on_attempt(finder->endpoints);
}

void l2_finder_on_up(struct l2_finder *finder, int64_t now_ms)
{
    endpoints_on_up(finder->endpoints, now_ms);
}

void l2_finder_on_failure(struct l2_finder *finder, const char *why, int64_t now_ms)
{
    finder->now_ms = now_ms;
    finder->ask_soon = true;
    if (endpoints_on_failure(finder->endpoints, why, now_ms)) {
        finder_moved(finder, why);
    }
}

/* --- by hand --------------------------------------------------------------------------------------------------------------- */

static void sentinel_on_failover(struct link_request *request, enum status status,
                                 struct slice reply)
{
    struct l2_finder *finder = LIST_ENTRY(request, struct l2_finder, failover);
    finder->failing_over = false;
    const bool granted = status == OK && reply.size > 0 && reply.data[0] == REPLY_STATUS;
    const int size = status == OK ? (int)strcspn(reply.data, "\r\n") : 0;
    log_write(&finder->options.node->log, granted ? LOG_NOTICE : LOG_WARNING, "l2_failover",
              "the sentinel %s: %.*s", granted ? "agreed" : "refused", size, reply.data);
}

static enum status sentinel_fail_over(struct l2_finder *finder, char error[L2_FINDER_ERROR_MAX])
{
    finder->scratch.size = 0;
    finder->failover = (struct link_request){.on_reply = sentinel_on_failover,
                                             .deadline_ms = finder->now_ms + ANSWER_MS,
                                             .writes = true};
    if (finder->failing_over || link_state(finder->sentinel) != LINK_READY ||
        sentinel_failover_write(&finder->scratch, finder_urls(finder)->master_name) != OK ||
        link_ask(finder->sentinel, &finder->failover, -1, buf_slice(&finder->scratch)) != OK) {
        (void)snprintf(error, L2_FINDER_ERROR_MAX, "no sentinel can be asked now");
        return L2_DOWN;
    }
    finder->failing_over = true;
    return OK;
}

enum status l2_finder_choose(struct l2_finder *finder, struct slice address, int64_t now_ms,
                             char error[L2_FINDER_ERROR_MAX])
{
    char text[L2_URL_ADDRESS_MAX];
    finder->now_ms = now_ms;
    if (finder->sentinel != NULL && address.size > 0) {
        (void)snprintf(error, L2_FINDER_ERROR_MAX,
                       "behind sentinels no address can be named: they choose");
        return INVALID;
    }
    if (finder->sentinel != NULL) {
        return sentinel_fail_over(finder, error);
    }
    if (address.size >= sizeof text) {
        (void)snprintf(error, L2_FINDER_ERROR_MAX, "option l2 names no such endpoint");
        return MISS;
    }
    (void)snprintf(text, sizeof text, "%.*s", (int)address.size,
                   address.size > 0 ? address.data : "");
    const enum status status =
        endpoints_choose(finder->endpoints, address.size > 0 ? text : NULL, now_ms);
    if (status == OK) {
        finder_moved(finder, "chosen by hand");
        return OK;
    }
    (void)snprintf(error, L2_FINDER_ERROR_MAX, "%s",
                   status == AGAIN && address.size == 0 ? "option l2 names no other endpoint"
                   : status == AGAIN                    ? "that endpoint is the current one"
                                                        : "option l2 names no such endpoint");
    return status;
}
