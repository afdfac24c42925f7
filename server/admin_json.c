/* SPDX-License-Identifier: BSD-3-Clause */
#include "server/admin_json.h"

#include "server/admin_guard.h"
#include "server/admin_reply.h"
#include "server/admin_warm.h"
#include "server/answer_json.h"
#include "server/cmd_cache.h"
#include "server/control.h"
#include "server/hot_desk.h"
#include "server/hot_reply.h"
#include "server/info.h"
#include "server/node.h"
#include "server/options.h"
#include "tiers/link.h"

#include <microhttpd.h>
#include <stdlib.h>
#include <string.h>

/* --- what commands write ----------------------------------------------------------------------------------------- */

static void get_nodes(struct admin_request *request)
{
    struct admin_reply place;
    admin_reply_begin(&place);
    const enum status status = cache_reply_nodes(&place.reply, request->node);
    admin_reply_end(&place, request, status);
}

static void get_namespaces(struct admin_request *request)
{
    struct admin_reply place;
    admin_reply_begin(&place);
    cache_reply_namespaces(&place.reply, request->node);
    admin_reply_end(&place, request, OK);
}

static void get_hot(struct admin_request *request)
{
    struct node *node = request->node;
    const struct slice wanted = admin_argument(request, "n");
    uint64_t rows = HOT_REPLY_ROWS;
    if (wanted.size > 0 &&
        (slice_to_u64(wanted, &rows) != OK || rows == 0 || rows > HOT_ROWS_MAX)) {
        admin_refuse(request, MHD_HTTP_BAD_REQUEST, SLICE_LITERAL("n: a number from 1 on"), NULL);
        return;
    }
    if (node->options.hot_keys == 0) {
        admin_refuse(request, MHD_HTTP_CONFLICT,
                     SLICE_LITERAL("no reads are counted: this node was started with hot-keys 0"),
                     NULL);
        return;
    }
    struct admin_reply place;
    admin_reply_begin(&place);
    hot_desk_want(node->hot);
    struct hot_list *list = hot_desk_newest(node->hot);
    hot_reply(&place.reply, node, list, rows, clock_now_ms(&node->clock));
    hot_list_release(list);
    admin_reply_end(&place, request, OK);
}

/* --- stats ------------------------------------------------------------------------------------------------------- */

struct stats_wait {
    struct admin_wait wait; /* first: it is cast back */
    struct link_request ask;
    uint32_t sections;
};

static void answer_stats(struct admin_request *request, uint32_t sections,
                         const struct info_of_l2 *l2)
{
    struct buf text = {0};
    json_t *json = NULL;
    if (info_write(request->node, sections, l2, &text) == OK &&
        answer_json_info(buf_slice(&text), &json) == OK) {
        admin_answer(request, MHD_HTTP_OK, json);
    } else {
        admin_answer(request, MHD_HTTP_OK, NULL);
    }
    json_decref(json);
    buf_done(&text);
}

static void stats_on_data(struct link_request *ask, enum status status, struct slice reply)
{
    struct stats_wait *stats = LIST_ENTRY(ask, struct stats_wait, ask);
    struct info_of_l2 l2 = {0};
    if (status == OK) {
        info_data_read(reply, &l2);
    }
    if (stats->wait.request != NULL) {
        answer_stats(stats->wait.request, stats->sections, &l2);
    }
    free(stats);
}

/* Whether the answer comes later, or has been a refusal. */
static bool stats_ask_l2(struct admin_request *request, uint32_t sections)
{
    struct node *node = request->node;
    struct stats_wait *stats = calloc(1, sizeof(*stats));
    struct buf bytes = {0};
    if (stats == NULL || !admin_wait(request, &stats->wait)) {
        free(stats);
        return request->code != 0;
    }
    stats->sections = sections;
    stats->ask.on_reply = stats_on_data;
    stats->ask.deadline_ms = clock_now_ms(&node->clock) + atomic_load(&node->live.l2_timeout_ms);
    const bool asked = info_data_request(node, &bytes) == OK &&
                       control_ask_l2(node->control, &stats->ask, buf_slice(&bytes)) == OK;
    buf_done(&bytes);
    if (!asked) {
        admin_wait_not(request);
        free(stats);
    }
    return asked;
}

/* All that a page of figures needs; commands have hundreds of lines and are asked for by name. */
static const char *const usual[] = {"server",    "clients",      "memory", "stats",
                                    "cpu",       "keyspace",     "l1",     "l2",
                                    "coherence", "invalidation", "warming"};

static void get_stats(struct admin_request *request)
{
    struct slice words[sizeof(usual) / sizeof(usual[0])];
    size_t count = 0;
    words[0] = admin_argument(request, "section");
    if (words[0].size > 0) {
        count = 1;
    } else {
        for (; count < sizeof(usual) / sizeof(usual[0]); count++) {
            words[count] = slice_of(usual[count]);
        }
    }
    const uint32_t sections = info_sections(words, count);
    if (sections == 0) {
        admin_refuse(request, MHD_HTTP_BAD_REQUEST,
                     SLICE_LITERAL("no such section: a name as INFO takes it is expected"), NULL);
    } else if (!info_asks_l2(request->node, sections) || !stats_ask_l2(request, sections)) {
        answer_stats(request, sections, &(struct info_of_l2){0});
    }
}

/* --- routes ------------------------------------------------------------------------------------------------------ */

typedef void admin_page(struct admin_request *request);

static const struct route {
    const char *path;            /* one that ends with a slash goes on */
    admin_page *on[ADMIN_OTHER]; /* by method; NULL: not with this one */
    const char *allow;
} routes[] = {
    {"/v1/stats", {get_stats}, "GET, HEAD"},
    {"/v1/nodes", {get_nodes}, "GET, HEAD"},
    {"/v1/namespaces", {get_namespaces}, "GET, HEAD"},
    {"/v1/hot", {get_hot}, "GET, HEAD"},
    {"/v1/warm", {admin_warm_list, admin_warm_submit}, "GET, HEAD, POST"},
    {ADMIN_WARM_JOB,
     {admin_warm_status, admin_warm_change, admin_warm_cancel},
     "GET, HEAD, POST, DELETE"},
};

static const struct route *route_of(const char *path)
{
    for (size_t i = 0; i < sizeof(routes) / sizeof(routes[0]); i++) {
        const size_t size = strlen(routes[i].path);
        const bool goes_on = routes[i].path[size - 1] == '/';
        if (goes_on ? strncmp(path, routes[i].path, size) == 0
                    : strcmp(path, routes[i].path) == 0) {
            return &routes[i];
        }
    }
    return NULL;
}

bool admin_json_claims(const char *path)
{
    return strcmp(path, "/v1") == 0 || strncmp(path, "/v1/", strlen("/v1/")) == 0;
}

/* By a proxy: then the connection's address is the proxy's, and who asks is not known. */
static bool is_handed_on(const struct admin_request *request)
{
    static const char *const names[] = {"Forwarded", "Via", "X-Forwarded-For", "X-Real-IP"};
    bool found = false;
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]) && !found; i++) {
        found = admin_header(request, names[i]).size > 0;
    }
    return found;
}

/* What the guard asks, with the settings of now. false: refused. */
static bool passes_guard(struct admin_request *request)
{
    struct node *node = request->node;
    const union MHD_ConnectionInfo *client =
        MHD_get_connection_info(request->connection, MHD_CONNECTION_INFO_CLIENT_ADDRESS);
    const char *why = NULL;
    struct admin_ask ask = {
        .changes = request->method != ADMIN_GET,
        .client = client == NULL || is_handed_on(request) ? NULL : client->client_addr,
        .host = admin_header(request, MHD_HTTP_HEADER_HOST),
        .authorization = admin_header(request, MHD_HTTP_HEADER_AUTHORIZATION),
    };
    struct option_address own = {0};
    (void)pthread_mutex_lock(&node->options_lock); /* both are LIVE or borrowed from what is */
    struct slice address = slice_of(node->options.admin);
    if (options_next_address(&address, &own) == OK) {
        ask.own_host = own.host;
    }
    ask.token = slice_of(node->options.admin_token);
    const unsigned code = admin_guard(&ask, &why);
    (void)pthread_mutex_unlock(&node->options_lock);
    if (code != 0) {
        admin_refuse(request, code, slice_of(why), NULL);
    }
    return code == 0;
}

static bool is_json(struct slice type)
{
    struct slice rest = type;
    return slice_is_nocase(slice_next_word(&rest, "; \t"), "application/json");
}

/* A body's size and type, as the head tells them. */
static void check_body(struct admin_request *request)
{
    uint64_t size = 0;
    const struct slice told = admin_header(request, MHD_HTTP_HEADER_CONTENT_LENGTH);
    if (!is_json(admin_header(request, MHD_HTTP_HEADER_CONTENT_TYPE))) {
        admin_refuse(request, MHD_HTTP_UNSUPPORTED_MEDIA_TYPE,
                     SLICE_LITERAL("the body must be JSON: Content-Type: application/json"), NULL);
    } else if (slice_to_u64(told, &size) == OK && size > ADMIN_BODY_MAX) {
        admin_refuse(request, MHD_HTTP_CONTENT_TOO_LARGE, SLICE_LITERAL("a body has 1 MiB at most"),
                     NULL);
    }
}

void admin_json_begin(struct admin_request *request)
{
    const struct route *route = route_of(request->path);
    if (!passes_guard(request)) {
        return;
    }
    if (route == NULL) {
        admin_refuse(request, MHD_HTTP_NOT_FOUND, SLICE_LITERAL("there is no such page"), NULL);
    } else if (request->method == ADMIN_OTHER || route->on[request->method] == NULL) {
        request->allow = route->allow;
        admin_refuse(request, MHD_HTTP_METHOD_NOT_ALLOWED,
                     SLICE_LITERAL("not with this method; Allow says with which"), NULL);
    } else if (request->method == ADMIN_POST) {
        check_body(request);
    }
}

void admin_json_run(struct admin_request *request)
{
    route_of(request->path)->on[request->method](request);
}
