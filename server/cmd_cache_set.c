/* SPDX-License-Identifier: BSD-3-Clause */
/* CACHE.SET: a write that says how long its value is good for, and by which tags it can be invalidated. Its answer is a
 * seq that covers it: with a managed key that of the write, with a plain one that of a marker behind it; alone nothing is
 * numbered. */
#include "protocol/resp_write.h"
#include "server/cmd_cache.h"
#include "server/cmd_common.h"
#include "server/commands.h"
#include "server/conn.h"
#include "server/errand.h"
#include "server/managed.h"
#include "server/managed_edit.h"
#include "server/node.h"
#include "server/put_options.h"
#include "server/relay.h"
#include "server/tracking_client.h"
#include "server/worker.h"

#include <stdlib.h>
#include <string.h>

enum {
    PUT_WORDS_AT = 3 /* argv */
};

/* --- managed ---------------------------------------------------------------------------------------------------------- */

static bool put_decide(struct edit *edit, struct reply *reply)
{
    return edit_put(edit, reply, edit_life_ms(edit));
}

static void put_answer(const struct edit *edit, struct reply *reply, uint64_t seq)
{
    (void)edit;
    reply_integer(reply, (int64_t)seq);
}

void managed_cache_set(struct call *call)
{
    static const struct edit_rule rule = {.decide = put_decide, .answer = put_answer};
    struct put_options options;
    if (!put_options_parse(call, PUT_WORDS_AT, &options)) {
        return;
    }
    const struct edit model = {
        .rule = &rule,
        .own_right = true,
        .is_timed = options.px_ms != PUT_UNSAID,
        .life_ms = options.px_ms,
        .value = call->argv[2],
        .wishes = {.swr_ms = options.swr_ms,
                   .sie_ms = options.sie_ms,
                   .tags = options.tags,
                   .tag_count = options.tag_count},
    };
    edit_begin(call, &model);
}

/* --- plain ------------------------------------------------------------------------------------------------------------ */

/* A SET of L2's, and the marker behind it. */
struct plain_set {
    struct bus_wait wait; /* first: an errand is cast back */
    struct tiers_relay relay;
    struct answer *answer;
    int64_t ms;
    struct l1_key key;
    char bytes[]; /* of the key */
};

static void plain_land(struct plain_set *set)
{
    cache_land(set->answer);
    free(set);
}

static void on_marked(struct errand *errand)
{
    struct plain_set *set = (struct plain_set *)(void *)errand;
    if (set->wait.status == OK) {
        reply_integer(&set->answer->reply, (int64_t)set->wait.waiter.seq);
    } else {
        cache_refuse(&set->answer->reply, TIMEOUT, "the write was done, but no marker came home",
                     set->ms);
    }
    plain_land(set);
}

static void on_set(struct tiers_relay *relay, enum status status, struct slice bytes)
{
    struct plain_set *set = LIST_ENTRY(relay, struct plain_set, relay);
    struct answer *answer = set->answer;
    const bool failed = status != OK || (bytes.size > 0 && bytes.data[0] == '-');
    if (failed) {
        relay_answer(answer, relay, status, bytes);
        plain_land(set);
        return;
    }
    tracking_on_write(answer->worker->node, answer->conn, relay, bytes);
    set->wait.waiter.deadline_ms = answer->worker->now_ms + set->ms;
    if (bus_wait_send(&set->wait, answer->worker) != OK) {
        set->wait.status = BUSY;
        on_marked(&set->wait.errand);
    }
}

static struct plain_set *plain_new(const struct call *call)
{
    const struct slice key = call->argv[1];
    struct plain_set *set = malloc(sizeof(*set) + key.size);
    if (set == NULL) {
        return NULL;
    }
    *set = (struct plain_set){
        .wait = {.errand = {.done = on_marked}, .waiter = {.kind = WAITER_MARKER}},
        .relay = {.on_reply = on_set, .keys = &set->key, .writes = true, .db = call->db},
        .ms = atomic_load(&call->node->live.l2_timeout_ms),
    };
    if (key.size > 0) {
        memcpy(set->bytes, key.data, key.size);
    }
    if (key.size < LIMIT_L1_KEY) {
        set->key =
            namespaces_key(call->node->namespaces, call->db, (struct slice){set->bytes, key.size})
                .at;
        set->relay.key_count = 1;
    } else {
        set->relay.keys_unknown = true; /* L1 never has it; its namespace may be a strict one */
    }
    return set;
}

static enum status plain_send(struct call *call, struct plain_set *set, int64_t px_ms)
{
    char digits[I64_DIGITS_MAX];
    struct slice words[5] = {SLICE_LITERAL("SET"), call->argv[1], call->argv[2]};
    size_t count = 3;
    if (px_ms != PUT_UNSAID) {
        words[count++] = SLICE_LITERAL("PX");
        words[count++] = (struct slice){digits, i64_format(digits, px_ms)};
    }
    struct buf request = {0};
    enum status status = resp_append_request(&request, count, words);
    if (status == OK) {
        status = tiers_relay(call->worker->window, &set->relay, call->conn->session.proto,
                             buf_slice(&request));
    }
    buf_done(&request);
    return status;
}

static void set_through(struct call *call, int64_t px_ms)
{
    if (call->conn->answer_count > 0 &&
        call->conn->native == NULL) { /* the marker is behind all that the connection asked for */
        conn_hold(call->conn, HOLD_ORDER);
        call->held = true;
        return;
    }
    struct plain_set *set = plain_new(call);
    const enum status status = set == NULL ? NO_MEMORY : plain_send(call, set, px_ms);
    if (status != OK) {
        relay_refuse(call->reply, call->worker, status);
        free(set);
        return;
    }
    tracking_on_send(call->node, &set->relay);
    set->answer = cache_defer(call);
}

static void set_alone(struct call *call, int64_t px_ms)
{
    struct update update;
    update_open_blind(&update, call, 1);
    while (update_next(&update)) {
        update_put(&update, call->argv[2], px_ms == PUT_UNSAID ? ITEM_NEVER : call->now_ms + px_ms);
    }
    if (update_ok(&update)) {
        reply_integer(call->reply, 0);
    }
    update_close(&update);
}

void cmd_cache_set(struct call *call)
{
    struct put_options options;
    if (!put_options_parse(call, PUT_WORDS_AT, &options)) {
        return;
    }
    if (options.swr_ms != PUT_UNSAID || options.sie_ms != PUT_UNSAID || options.tags != NULL) {
        reply_errorf(call->reply,
                     "ERR SWR, SIE and TAGS are of managed keys, and namespace '%s' is plain",
                     namespace_of(call->node->namespaces, call->argv[1])->name);
    } else if (call->node->tiers == NULL) {
        set_alone(call, options.px_ms);
    } else {
        set_through(call, options.px_ms);
    }
}
