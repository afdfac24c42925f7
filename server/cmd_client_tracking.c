/* SPDX-License-Identifier: BSD-3-Clause */
/* CLIENT TRACKING, CACHING, TRACKINGINFO, GETREDIR: what a client wants to be told of (tracking_client.h). */
#include "server/commands.h"
#include "server/conn.h"
#include "server/mailbox.h"
#include "server/node.h"
#include "server/tracking_client.h"
#include "server/worker.h"
#include "tiers/tiers.h"

#include <stdlib.h>
#include <string.h>

enum {
    FIRST_OPTION = 3
};

/* CLIENT TRACKING, as far as it has been read. The target of a redirection may be any worker's, so a tour looks for it; with
 * an L2, Redis is asked to track for who says NOLOOP, and a barrier follows, so that the client is not told of what was changed
 * before. Meanwhile the connection is held, and the prefixes are copies. */
struct order {
    struct tour tour; /* first: a tour is cast back */
    struct barrier_place place;
    struct tracking_line_user line_user;
    struct answer *answer;
    bool on;
    bool redirects;
    bool found; /* the client it redirects to */
    bool lines; /* for Redis to track */
    bool holds; /* for a barrier */
    struct tracking_wish wish;
    struct slice prefixes[]; /* and their bytes, of an order that travels */
};

/* --- the words ------------------------------------------------------------------------------------------------------ */

static const char no_such_client[] = "ERR The client ID you want redirect to does not exist";

static unsigned option_flag(struct slice word)
{
    static const struct {
        const char *name;
        unsigned flag;
    } options[] = {{"bcast", TRACKING_BCAST},
                   {"optin", TRACKING_OPTIN},
                   {"optout", TRACKING_OPTOUT},
                   {"noloop", TRACKING_NOLOOP}};
    for (size_t i = 0; i < sizeof(options) / sizeof(options[0]); i++) {
        if (slice_is_nocase(word, options[i].name)) {
            return options[i].flag;
        }
    }
    return 0;
}

/* False: the error is answered. */
static bool read_redirect(struct call *call, struct order *order, struct slice word)
{
    int64_t number = 0;
    if (order->redirects) {
        reply_error(call->reply, "ERR A client can only redirect to a single other client");
        return false;
    }
    if (slice_to_i64(word, &number) != OK) {
        reply_not_integer(call->reply);
        return false;
    }
    if (number <= 0) {
        reply_error(call->reply, no_such_client);
        return false;
    }
    order->redirects = true;
    order->wish.redirect = (uint64_t)number;
    return true;
}

static bool read_options(struct call *call, struct order *order)
{
    for (uint32_t i = FIRST_OPTION; i < call->argc; i++) {
        const struct slice word = call->argv[i];
        const bool more = i + 1 < call->argc;
        const unsigned flag = option_flag(word);
        if (flag != 0) {
            order->wish.flags |= flag;
        } else if (slice_is_nocase(word, "redirect") && more) {
            if (!read_redirect(call, order, call->argv[++i])) {
                return false;
            }
        } else if (slice_is_nocase(word, "prefix") && more) {
            order->prefixes[order->wish.prefix_count++] = call->argv[++i];
        } else {
            reply_syntax_error(call->reply);
            return false;
        }
    }
    order->on = slice_is_nocase(call->argv[2], "on");
    if (!order->on && !slice_is_nocase(call->argv[2], "off")) {
        reply_syntax_error(call->reply);
        return false;
    }
    return true;
}

/* --- what goes together ---------------------------------------------------------------------------------------------- */

static bool overlap(struct slice a, struct slice b)
{
    const size_t least = a.size < b.size ? a.size : b.size;
    return least == 0 || memcmp(a.data, b.data, least) == 0;
}

/* As Redis prints them: up to a zero byte. */
static int shown(struct slice text)
{
    const char *zero = text.size > 0 ? memchr(text.data, '\0', text.size) : NULL;
    const size_t size = zero == NULL ? text.size : (size_t)(zero - text.data);
    return size > 400 ? 400 : (int)size;
}

static void reply_overlap(struct reply *reply, struct slice prefix, const char *what,
                          struct slice other)
{
    reply_errorf(reply,
                 "ERR Prefix '%.*s' overlaps with %s prefix '%.*s'. "
                 "Prefixes for a single client must not overlap.",
                 shown(prefix), prefix.size == 0 ? "" : prefix.data, what, shown(other),
                 other.size == 0 ? "" : other.data);
}

static bool overlaps_existing(struct reply *reply, const struct tracking_client *client,
                              struct slice prefix)
{
    for (size_t i = 0; client != NULL && i < client->prefix_count; i++) {
        if (overlap(tracking_client_prefix(client, i), prefix)) {
            reply_overlap(reply, prefix, "an existing", tracking_client_prefix(client, i));
            return true;
        }
    }
    return false;
}

static bool prefixes_overlap(struct reply *reply, const struct tracking_client *client,
                             const struct tracking_wish *wish)
{
    for (size_t i = 0; i < wish->prefix_count; i++) {
        if (overlaps_existing(reply, client, wish->prefixes[i])) {
            return true;
        }
        for (size_t j = i + 1; j < wish->prefix_count; j++) {
            if (overlap(wish->prefixes[i], wish->prefixes[j])) {
                reply_overlap(reply, wish->prefixes[i], "another provided", wish->prefixes[j]);
                return true;
            }
        }
    }
    return false;
}

/* Why it cannot be turned on so, in the order in which Redis asks; NULL: it can, but for its prefixes. */
static const char *why_not(const struct tracking_client *client, const struct tracking_wish *wish)
{
    const unsigned flags = wish->flags;
    const unsigned both = TRACKING_OPTIN | TRACKING_OPTOUT;
    const unsigned now = client == NULL ? 0 : client->flags;
    if ((flags & TRACKING_BCAST) == 0 && wish->prefix_count > 0) {
        return "ERR PREFIX option requires BCAST mode to be enabled";
    }
    if (client != NULL && ((flags ^ now) & TRACKING_BCAST) != 0) {
        return "ERR You can't switch BCAST mode on/off before disabling tracking for this client, "
               "and then re-enabling it with a different mode.";
    }
    if ((flags & TRACKING_BCAST) != 0 && (flags & both) != 0) {
        return "ERR OPTIN and OPTOUT are not compatible with BCAST";
    }
    if ((flags & both) == both) {
        return "ERR You can't specify both OPTIN mode and OPTOUT mode";
    }
    if (((flags & TRACKING_OPTIN) != 0 && (now & TRACKING_OPTOUT) != 0) ||
        ((flags & TRACKING_OPTOUT) != 0 && (now & TRACKING_OPTIN) != 0)) {
        return "ERR You can't switch OPTIN/OPTOUT mode before disabling tracking for this client, "
               "and then re-enabling it with a different mode.";
    }
    if (wish->prefix_count + (client == NULL ? 0 : client->prefix_count) >
        LIMIT_TRACKING_PREFIXES) {
        return "ERR too many prefixes for one client";
    }
    return NULL;
}

/* --- doing it -------------------------------------------------------------------------------------------------------- */

static void order_do(struct conn *conn, struct reply *reply, struct order *order)
{
    const struct tracking_client *client = conn->session.tracking;
    if (order->redirects && !order->found) {
        reply_error(reply, no_such_client);
        return;
    }
    if (!order->on) {
        tracking_client_end(conn);
        reply_ok(reply);
        return;
    }
    const char *why = why_not(client, &order->wish);
    if (why != NULL) {
        reply_error(reply, why);
    } else if ((order->wish.flags & TRACKING_BCAST) == 0 ||
               !prefixes_overlap(reply, client, &order->wish)) {
        const enum status status = tracking_client_begin(conn, &order->wish);
        if (status == OK) {
            order->wish.line = NULL; /* the client's now */
            reply_ok(reply);
        } else if (status == BUSY) {
            reply_error(reply, "ERR clients listen to too many prefixes");
        } else {
            reply_out_of_memory(reply);
        }
    }
}

static void order_visit(struct tour *tour, struct worker *worker)
{
    struct order *order = (struct order *)(void *)tour;
    if (!order->found && conn_find(worker, order->wish.redirect) != NULL) {
        order->found = true;
        order->wish.redirect_worker = worker->index;
    }
}

static void order_end(struct order *order)
{
    struct conn *conn = order->answer->conn;
    if (conn != NULL) {
        order_do(conn, &order->answer->reply, order);
        conn_unhold(conn, HOLD_ALONE);
    }
    tracking_line_close(order->wish.line);
    answer_land(order->answer);
    free(order);
}

static void order_on_passed(struct barrier_place *place)
{
    order_end(LIST_ENTRY(place, struct order, place));
}

/* While the bus cannot be heard, a barrier would only make all suspect. */
static bool wants_barrier(const struct call *call, const struct order *order)
{
    return order->on && call->node->tiers != NULL && call->conn->session.tracking == NULL &&
           coherence_fresh(coherence_view(tiers_coherence(call->node->tiers)), call->now_ms);
}

/* Without OPTIN and OPTOUT: what does not count as read would count for Redis. Without a line the client is told of its own
 * changes, too. */
static bool wants_line(const struct call *call, const struct order *order)
{
    const unsigned not_now = TRACKING_OPTIN | TRACKING_OPTOUT;
    return order->on && call->node->tiers != NULL &&
           (order->wish.flags & (TRACKING_NOLOOP | not_now)) == TRACKING_NOLOOP &&
           why_not(call->conn->session.tracking, &order->wish) == NULL;
}

static void order_go_on(struct order *order);

static void order_on_open(struct tracking_line_user *user)
{
    order_go_on(LIST_ENTRY(user, struct order, line_user));
}

/* Nobody has read anything yet. */
static void order_on_keys(struct tracking_line_user *user, struct slice keys)
{
    (void)user;
    (void)keys;
}

static void order_on_lost(struct tracking_line_user *user)
{
    struct order *order = LIST_ENTRY(user, struct order, line_user);
    struct tracking_line *line = order->wish.line;
    const bool was_open = tracking_line_voice(line) != NULL;
    order->wish.line = NULL;
    tracking_line_close(line);
    if (!was_open) {
        order_go_on(order);
    }
}

/* With the prefixes that the client has, too. */
static struct tracking_line *open_line(struct order *order, const struct conn *conn)
{
    const struct tracking_client *client = conn->session.tracking;
    const size_t before = client == NULL ? 0 : client->prefix_count;
    const size_t count = before + order->wish.prefix_count;
    struct slice *prefixes = malloc((count + 1) * sizeof(*prefixes));
    struct tracking_line *line = NULL;
    for (size_t i = 0; prefixes != NULL && i < count; i++) {
        prefixes[i] =
            i < before ? tracking_client_prefix(client, i) : order->wish.prefixes[i - before];
    }
    if (prefixes != NULL) {
        order->line_user = (struct tracking_line_user){
            .on_open = order_on_open, .on_keys = order_on_keys, .on_lost = order_on_lost};
        line = tracking_line_open(conn->worker, conn->session.proto,
                                  (order->wish.flags & TRACKING_BCAST) != 0, prefixes, count,
                                  &order->line_user);
    }
    free(prefixes);
    return line;
}

static void order_go_on(struct order *order)
{
    struct worker *worker = order->answer->worker;
    const struct conn *conn = order->answer->conn;
    if (order->lines && conn != NULL) {
        order->lines = false;
        order->wish.line = open_line(order, conn);
        if (order->wish.line != NULL) {
            return;
        }
    }
    if (order->holds) {
        order->place.on_passed = order_on_passed;
        barrier_hold(worker, &order->place, BARRIER_RUN_ANY);
    } else {
        order_end(order);
    }
}

static void order_done(struct tour *tour)
{
    order_go_on((struct order *)(void *)tour);
}

static struct order *order_new(const struct call *call)
{
    size_t size = 0;
    for (uint32_t i = FIRST_OPTION; i < call->argc; i++) {
        size += call->argv[i].size;
    }
    struct order *order = malloc(sizeof(*order) + call->argc * sizeof(order->prefixes[0]) + size);
    if (order != NULL) {
        *order = (struct order){.wish = {.prefixes = order->prefixes}};
    }
    return order;
}

/* What it points to goes with it. */
static void order_keep(struct order *order)
{
    char *bytes = (char *)&order->prefixes[order->wish.prefix_count];
    for (size_t i = 0; i < order->wish.prefix_count; i++) {
        struct slice *prefix = &order->prefixes[i];
        if (prefix->size > 0) {
            memcpy(bytes, prefix->data, prefix->size);
        }
        prefix->data = bytes;
        bytes += prefix->size;
    }
}

void cmd_client_tracking(struct call *call)
{
    struct order *order = order_new(call);
    if (order == NULL) {
        reply_out_of_memory(call->reply);
        return;
    }
    if (!read_options(call, order)) {
        free(order);
        return;
    }
    if (order->redirects) {
        order_visit(&order->tour, call->worker);
    }
    const bool travels = order->redirects && !order->found && call->node->worker_count > 1;
    order->holds = wants_barrier(call, order);
    order->lines = wants_line(call, order);
    if (!travels && !order->holds && !order->lines) {
        order_do(call->conn, call->reply, order);
        free(order);
        return;
    }
    order_keep(order);
    order->answer = call_defer(call, WAIT_LOCAL);
    conn_hold(call->conn, HOLD_ALONE);
    if (travels) {
        order->tour.visit = order_visit;
        order->tour.done = order_done;
        tour_start(&order->tour, call->worker);
    } else {
        order_go_on(order);
    }
}

/* --- the others ------------------------------------------------------------------------------------------------------ */

void cmd_client_caching(struct call *call)
{
    struct tracking_client *client = call->conn->session.tracking;
    const bool yes = slice_is_nocase(call->argv[2], "yes");
    if (client == NULL) {
        reply_error(call->reply, "ERR CLIENT CACHING can be called only when the client is in "
                                 "tracking mode with OPTIN or OPTOUT mode enabled");
    } else if (!yes && !slice_is_nocase(call->argv[2], "no")) {
        reply_syntax_error(call->reply);
    } else if ((client->flags & (yes ? TRACKING_OPTIN : TRACKING_OPTOUT)) == 0) {
        reply_errorf(call->reply,
                     "ERR CLIENT CACHING %s is only valid when tracking is enabled in %s mode.",
                     yes ? "YES" : "NO", yes ? "OPTIN" : "OPTOUT");
    } else {
        client->flags |= TRACKING_CACHING;
        reply_ok(call->reply);
    }
}

static int64_t redirection(const struct tracking_client *client)
{
    return client == NULL ? -1 : (int64_t)client->redirect;
}

void cmd_client_getredir(struct call *call)
{
    reply_integer(call->reply, redirection(call->conn->session.tracking));
}

static size_t flag_names(const struct tracking_client *client, const char *names[])
{
    static const struct {
        unsigned flags;
        const char *name;
    } known[] = {
        {TRACKING_BCAST, "bcast"},
        {TRACKING_OPTIN, "optin"},
        {TRACKING_OPTIN | TRACKING_CACHING, "caching-yes"},
        {TRACKING_OPTOUT, "optout"},
        {TRACKING_OPTOUT | TRACKING_CACHING, "caching-no"},
        {TRACKING_NOLOOP, "noloop"},
        {TRACKING_BROKEN, "broken_redirect"},
    };
    size_t count = 0;
    names[count++] = client != NULL ? "on" : "off";
    for (size_t i = 0; client != NULL && i < sizeof(known) / sizeof(known[0]); i++) {
        if ((client->flags & known[i].flags) == known[i].flags) {
            names[count++] = known[i].name;
        }
    }
    return count;
}

void cmd_client_trackinginfo(struct call *call)
{
    const struct tracking_client *client = call->conn->session.tracking;
    const size_t prefixes = client == NULL ? 0 : client->prefix_count;
    const char *names[8];
    const size_t count = flag_names(client, names);
    reply_map(call->reply, 3);
    reply_bulk_text(call->reply, "flags");
    reply_set(call->reply, count);
    for (size_t i = 0; i < count; i++) {
        reply_bulk_text(call->reply, names[i]);
    }
    reply_bulk_text(call->reply, "redirect");
    reply_integer(call->reply, redirection(client));
    reply_bulk_text(call->reply, "prefixes");
    reply_array(call->reply, prefixes);
    for (size_t i = 0; i < prefixes; i++) {
        reply_bulk(call->reply, tracking_client_prefix(client, i));
    }
}
