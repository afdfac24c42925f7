/* SPDX-License-Identifier: BSD-3-Clause */
/* window_relay.c -- requests that a window passes on to L2 (journeys 3 and 4): the keys they touch end before the bytes
 * go out and when the answer is here, what Redis does not announce goes with its announcement, and answers of strict keys
 * wait for all nodes. */
#include "protocol/check.h"
#include "tiers/line.h"
#include "tiers/window.h"

#include <string.h>

/* T1: before the bytes go out, and again when the answer is here. */
static void relay_end_keys(struct tiers_relay *relay)
{
    struct namespaces *namespaces = relay->window->namespaces;
    namespaces_flush_dbs(namespaces, NULL, relay->ends_dbs);
    for (size_t i = 0; i < relay->key_count; i++) {
        const struct l1_key *key = &relay->keys[i];
        relay->dropped += l1_invalidate(namespace_of(namespaces, key->bytes)->l1, key);
    }
}

/* How old the proof of the link may be: the least bound of the keys' namespaces; where keys are not known, of all. */
static int64_t relay_fence_ms(const struct tiers_relay *relay)
{
    const struct tiers_window *window = relay->window;
    if (relay->key_count == 0 || relay->keys_unknown) {
        return (int64_t)atomic_load_explicit(&window->view->bound_ms, memory_order_relaxed);
    }
    int64_t least_ms = INT64_MAX;
    for (size_t i = 0; i < relay->key_count; i++) {
        int64_t bound_ms = namespace_bound_ms(window_key(window, &relay->keys[i]).ns);
        least_ms = bound_ms < least_ms ? bound_ms : least_ms;
    }
    return least_ms;
}

enum status window_confirm(struct tiers_window *window, struct tiers_confirm *confirm)
{
    const int64_t patience_ms = namespaces_most_bound_ms(window->namespaces);
    if (window->options.confirm == NULL) {
        return BUSY;
    }
    return window->options.confirm(window->options.io.roof, confirm,
                                   window->now_ms + patience_ms + patience_ms / 100 +
                                       window->read_timeout_ms);
}

/* Whether it touches a strict namespace, or may. A read, too: what it shows nobody may read older afterwards. */
static bool relay_is_strict(const struct tiers_relay *relay)
{
    for (size_t i = 0; i < relay->key_count; i++) {
        if (namespace_kind(window_key(relay->window, &relay->keys[i]).ns) == NAMESPACE_STRICT) {
            return true;
        }
    }
    const bool any = relay->keys_unknown || (relay->writes && !relay->keyless &&
                                             (relay->key_count == 0 || relay->ends_dbs != 0));
    return any && namespaces_any_strict(relay->window->namespaces);
}

static void relay_on_confirmed(struct tiers_confirm *confirm, enum status status)
{
    struct tiers_relay *relay = LIST_ENTRY(confirm, struct tiers_relay, confirm);
    struct buf kept = relay->kept; /* the relay is the asker's when it is told */
    if (relay->is_unknown) {
        relay->confirmed = status == OK;
        relay->on_reply(relay, UNKNOWN, (struct slice){0});
    } else {
        relay->on_reply(relay, status == OK ? OK : STALE, buf_slice(&kept));
    }
    buf_done(&kept);
}

static bool is_error_of(struct slice reply, const char *const *words, size_t count)
{
    if (reply.size == 0 || reply.data[0] != REPLY_ERROR) {
        return false;
    }
    const struct slice error = {reply.data + 1, reply.size - 1};
    for (size_t i = 0; i < count; i++) {
        if (slice_begins(error, words[i])) {
            return true;
        }
    }
    return false;
}

/* An error that speaks of Redis itself, or of who asks: it tells nothing about a key, and while it lasts no marker may
 * come home either. */
static bool is_refusal(struct slice reply)
{
    static const char *const words[] = {"READONLY ", "NOREPLICAS ", "OOM ",         "MISCONF ",
                                        "LOADING ",  "BUSY ",       "MASTERDOWN ",  "NOAUTH ",
                                        "NOPERM ",   "NOSCRIPT ",   "CLUSTERDOWN ", "EXECABORT ",
                                        "UNBLOCKED "};
    return is_error_of(reply, words, sizeof(words) / sizeof(words[0]));
}

/* What Redis says before it runs anything. Not syntax errors: GEORADIUS looks at its key first, so that one tells that the
 * key holds nothing of another type. */
static bool is_no_call(struct slice reply)
{
    static const char *const words[] = {"ERR unknown command ", "ERR unknown subcommand ",
                                        "ERR wrong number of arguments for "};
    return is_error_of(reply, words, sizeof(words) / sizeof(words[0]));
}

/* Other errors tell what a key holds (WRONGTYPE, no such key, not an integer), as values do. A script keeps what ran
 * before its error, whichever it is, and makes up errors. */
static bool relay_must_wait(const struct tiers_relay *relay, struct slice reply)
{
    const bool tells_nothing =
        (!relay->runs_code && is_no_call(reply)) || (!relay->keys_unknown && is_refusal(reply));
    return !tells_nothing && relay_is_strict(relay);
}

/* false: it cannot be waited. Where the outcome is not known there is no reply to keep. */
static bool relay_wait(struct tiers_relay *relay, struct slice reply)
{
    relay->confirm.on_confirmed = relay_on_confirmed;
    relay->kept = (struct buf){0};
    if ((relay->on_kept != NULL || buf_append_slice(&relay->kept, reply) == OK) &&
        window_confirm(relay->window, &relay->confirm) == OK) {
        if (relay->on_kept != NULL && !relay->is_unknown) {
            relay->on_kept(relay, reply);
        }
        return true;
    }
    buf_done(&relay->kept);
    return false;
}

/* Whether the write must tell the other nodes itself, and of which keys: those of namespaces where Redis does not. They
 * move to the front. */
static bool relay_announces(struct tiers_relay *relay, size_t *ret_count)
{
    const struct namespaces *namespaces = relay->window->namespaces;
    *ret_count = 0;
    if (!relay->writes || (relay->blocks && !relay->runs_code)) {
        return false;
    }
    if (relay->strays || relay->ends_dbs != 0) {
        return namespaces_any_told(namespaces);
    }
    for (size_t i = 0; i < relay->key_count; i++) {
        const struct l1_key key = relay->keys[i];
        if (namespace_told(namespace_of(namespaces, key.bytes))) {
            relay->keys[i] = relay->keys[*ret_count];
            relay->keys[(*ret_count)++] = key;
        }
    }
    return *ret_count > 0;
}

static bool relay_skip_part(struct link_request *request, struct slice reply)
{
    (void)request;
    (void)reply;
    return true;
}

static bool relay_on_part(struct link_request *request, struct slice reply)
{
    struct tiers_relay *relay = LIST_ENTRY(request, struct tiers_relay, request);
    announce_take(&relay->refusal, reply);
    if (!relay->opened) {
        relay->opened = announce_is_open(reply);
        relay->is_refused = !relay->opened;
    }
    return relay->opened;
}

/* MULTI was refused, and the connection is gone: nothing ran, and L2's own words are the answer. */
static bool relay_was_refused(const struct tiers_relay *relay, enum status status)
{
    return relay->wrapped && relay->is_refused &&
           (status == L2_DOWN || (status == UNKNOWN && relay->confirmed));
}

/* The request with its announcement, or all of a block, in the window's scratch. */
static enum status relay_wrap(struct tiers_relay *relay, bool announces, size_t count,
                              struct slice *bytes)
{
    struct tiers_window *window = relay->window;
    const struct announce announce = {.node = tiers_node(window->options.tiers),
                                      .keys = relay->keys,
                                      .key_count = count,
                                      .silent = !announces,
                                      .commands = *bytes,
                                      .command_count = relay->is_block ? relay->commands : 1};
    relay->wrapped = true;
    relay->refusal.size = 0;
    relay->opened = false;
    relay->is_refused = false;
    relay->request.on_part = relay_on_part;
    window->scratch.size = 0;
    const enum status status = announce_write(&window->scratch, &announce, &relay->request.parts);
    *bytes = buf_slice(&window->scratch);
    metrics_add(window->options.metrics, M_TOLD_WRITES, announces ? 1 : 0);
    return status;
}

/* What is the asker's of the reply to a request that was wrapped. */
static enum status relay_unwrap(struct tiers_relay *relay, struct slice *reply)
{
    return relay->is_block
               ? announce_replies(&relay->refusal, relay->commands, *reply, reply, &relay->frames)
               : announce_reply(&relay->refusal, *reply, reply);
}

static void relay_on_reply(struct link_request *request, enum status status, struct slice reply)
{
    struct tiers_relay *relay = LIST_ENTRY(request, struct tiers_relay, request);
    struct metrics *metrics = relay->window->options.metrics;
    relay_end_keys(relay);
    relay->confirmed = request->confirmed;
    if (relay_was_refused(relay, status)) {
        relay->run = 0;
        relay->on_reply(relay, OK,
                        (struct slice){.data = relay->refusal.text, .size = relay->refusal.size});
        return;
    }
    if (relay->wrapped && status == OK && relay_unwrap(relay, &reply) != OK) {
        status = UNKNOWN; /* what answered is no Redis */
        relay->confirmed = true;
    }
    if (status == UNKNOWN) {
        metrics_count(metrics, M_L2_UNKNOWN);
    }
    relay->run = status == OK ? link_run(relay->link) : 0;
    /* Who is told that a write cannot run any more looks whether it did: no node may show what was before it then. */
    relay->is_unknown = status == UNKNOWN && relay->confirmed && relay_is_strict(relay);
    if (relay->is_unknown) {
        if (relay_wait(relay, (struct slice){0})) {
            return;
        }
        relay->confirmed = false;
    }
    if (status == OK && relay->of_hash && relay->key_count == 1 && reply.size > LIMIT_HASH) {
        window_refuse_hash(relay->window, &relay->keys[0]);
    }
    if (status == OK && relay_must_wait(relay, reply)) {
        if (relay_wait(relay, reply)) {
            return;
        }
        status = STALE;
    }
    if (status == L2_DOWN) {
        metrics_count(metrics, M_L2_DOWN);
    }
    relay->on_reply(relay, status, reply);
}

static enum link_way relay_on_large(struct link_request *request,
                                    const struct link_large_reply *reply)
{
    struct tiers_relay *relay = LIST_ENTRY(request, struct tiers_relay, request);
    const struct namespace *ns = window_key(relay->window, &relay->keys[0]).ns;
    if (reply->size <= stream_kept_max(ns) || !relay->takes_large(relay)) {
        return LINK_GATHER;
    }
    stream_note_large(relay->window, &relay->keys[0]);
    return LINK_PASS_OVER;
}

static int64_t relay_deadline_ms(const struct tiers_relay *relay)
{
    const struct tiers_window *window = relay->window;
    const int64_t most_ms = relay->patient ? window->relay_timeout_ms : window->read_timeout_ms;
    return relay->blocks ? 0 : window->now_ms + most_ms;
}

static enum status relay_ask(struct tiers_relay *relay, int proto, struct slice bytes)
{
    const struct link_pieces pieces = {{bytes, relay->more[0], relay->more[1]}};
    if (relay->line != NULL) {
        relay->link = line_link(relay->line);
        return line_ask_pieces(relay->line, &relay->request, relay->db, &pieces);
    }
    struct link *link = window_link(relay->window, proto);
    relay->link = link;
    return link == NULL ? NO_MEMORY : link_ask_pieces(link, &relay->request, relay->db, &pieces);
}

/* All of it in one. */
static enum status relay_join(struct tiers_relay *relay, struct slice bytes, struct buf *whole)
{
    enum status status = buf_reserve(whole, bytes.size + relay->more[0].size + relay->more[1].size);
    if (status == OK) {
        status = buf_append_slice(whole, bytes);
    }
    for (size_t i = 0; i < 2 && status == OK; i++) {
        status = buf_append_slice(whole, relay->more[i]);
        relay->more[i] = (struct slice){0};
    }
    return status;
}

enum status tiers_relay(struct tiers_window *window, struct tiers_relay *relay, int proto,
                        struct slice bytes)
{
    CHECK(!relay->blocks || relay->line != NULL);
    relay->window = window;
    relay->dropped = 0;
    relay->request = (struct link_request){
        .on_reply = relay_on_reply,
        .on_part = relay_skip_part,
        .on_large = relay->takes_large != NULL ? relay_on_large : NULL,
        .deadline_ms = relay_deadline_ms(relay),
        .fence_ms = relay->writes ? 0 : relay_fence_ms(relay),
        .asked_ms = window->now_ms,
        .parts = relay->parts,
        .writes = relay->writes,
    };
    size_t announced = 0;
    enum status status = OK;
    relay->wrapped = false;
    relay->frames = 0;
    const bool announces = relay_announces(relay, &announced);
    struct buf whole = {0};
    if (announces || relay->is_block) {
        if (relay->more[0].size > 0) {
            status = relay_join(relay, bytes, &whole);
            bytes = buf_slice(&whole);
        }
        if (status == OK) {
            status = relay_wrap(relay, announces, announced, &bytes);
        }
    }
    relay_end_keys(relay);
    if (status == OK) {
        status = relay_ask(relay, proto, bytes);
    }
    buf_done(&whole);
    if (relay->wrapped && window->scratch.capacity > WINDOW_SCRATCH_KEPT) {
        buf_done(&window->scratch);
    }
    if (status == OK) {
        metrics_count(window->options.metrics, M_RELAYED);
    } else if (status == L2_DOWN) {
        metrics_count(window->options.metrics, M_L2_DOWN);
    }
    return status;
}

uint64_t tiers_relay_carrier(const struct tiers_relay *relay)
{
    return link_client_id(relay->link);
}
