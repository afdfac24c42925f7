/* SPDX-License-Identifier: BSD-3-Clause */
/* The SET family: SET and its old names, and GETEX, which shares SET's words for time. */
#include "server/cmd_common.h"
#include "server/commands.h"
#include "server/node.h"
#include "server/set_options.h"
#include "server/worker.h"

static bool time_of(struct call *call, const struct set_options *options, int64_t *ret_at_ms)
{
    return set_options_time(call->reply, call->command, call->now_ms, options, ret_at_ms);
}

enum set_outcome {
    SET_STORED,
    SET_DECLINED,
    SET_FAILED
};

/* A small value, whatever stands: most SETs by far. */
static enum set_outcome put_key(struct call *call, struct slice value, int64_t expire_at_ms)
{
    if (!call_key_fits(call, call->argv[1])) {
        return SET_FAILED;
    }
    const struct ns_key key = call_key(call, 1);
    if (l1_put(key.ns->l1, &key.at, value, expire_at_ms, call->now_ms) != OK) {
        reply_out_of_memory(call->reply);
        return SET_FAILED;
    }
    return SET_STORED;
}

/* With SET_GET the old value is answered here; otherwise only what failed. */
static enum set_outcome set_key(struct call *call, struct slice value, unsigned flags,
                                int64_t expire_at_ms)
{
    struct update update;
    bool declined = false;
    const bool looks = (flags & (SET_NX | SET_XX | SET_GET | SET_KEEPTTL)) != 0;
    if (!looks && value.size <= LIMIT_COPY) {
        return put_key(call, value, expire_at_ms);
    }
    if (looks) {
        update_open(&update, call, 1, (flags & SET_GET) != 0 ? KIND_STRING : KIND_ANY);
    } else {
        update_open_blind(&update, call, 1);
    }
    while (update_next(&update)) {
        const bool found = update.old != NULL;
        declined = ((flags & SET_NX) != 0 && found) || ((flags & SET_XX) != 0 && !found);
        if (declined) {
            update_leave(&update);
        } else {
            const bool keep = (flags & SET_KEEPTTL) != 0;
            update_put(&update, value, keep ? update_expire_at_ms(&update) : expire_at_ms);
        }
    }
    const bool ok = update_ok(&update);
    if ((flags & SET_GET) != 0 && ok) {
        call_count_lookup(call, update.old != NULL);
        call_reply_item(call, update.old);
    }
    update_close(&update);
    if (!ok) {
        return SET_FAILED;
    }
    return declined ? SET_DECLINED : SET_STORED;
}

void cmd_set(struct call *call)
{
    struct set_options options = {0};
    int64_t expire_at_ms = ITEM_NEVER;
    if (!set_options_parse(call, 3, OF_SET, &options) || !time_of(call, &options, &expire_at_ms)) {
        return;
    }
    const enum set_outcome outcome = set_key(call, call->argv[2], options.flags, expire_at_ms);
    if ((options.flags & SET_GET) != 0) {
        return;
    }
    if (outcome == SET_STORED) {
        reply_ok(call->reply);
    } else if (outcome == SET_DECLINED) {
        reply_null(call->reply);
    }
}

void cmd_setnx(struct call *call)
{
    const enum set_outcome outcome = set_key(call, call->argv[2], SET_NX, ITEM_NEVER);
    if (outcome != SET_FAILED) {
        reply_integer(call->reply, outcome == SET_STORED ? 1 : 0);
    }
}

static void set_timed(struct call *call, unsigned unit)
{
    const struct set_options options = {.flags = unit, .time = call->argv[2]};
    int64_t expire_at_ms = ITEM_NEVER;
    if (time_of(call, &options, &expire_at_ms) &&
        set_key(call, call->argv[3], unit, expire_at_ms) == SET_STORED) {
        reply_ok(call->reply);
    }
}

void cmd_setex(struct call *call)
{
    set_timed(call, SET_EX);
}

void cmd_psetex(struct call *call)
{
    set_timed(call, SET_PX);
}

void cmd_getset(struct call *call)
{
    (void)set_key(call, call->argv[2], SET_GET, ITEM_NEVER);
}

/* GETEX without a word is GET. */
static void get_only(struct call *call)
{
    const struct ns_key key = call_key(call, 1);
    struct l1_value value = {.copy = call->worker->copy, .copy_room = sizeof call->worker->copy};
    worker_note_read(call->worker, &key);
    const bool hit = key.at.bytes.size < LIMIT_L1_KEY &&
                     l1_get(key.ns->l1, &key.at, call->now_ms, 0, &value) == OK;
    call_count_lookup(call, hit);
    if (!hit) {
        reply_null(call->reply);
        return;
    }
    if (value.is_hash) {
        reply_error(call->reply, text_wrong_type);
    } else if (value.item != NULL) {
        reply_item(call->reply, value.item);
    } else {
        reply_bulk(call->reply, value.bytes);
    }
    item_release(value.item);
}

void cmd_getex(struct call *call)
{
    struct set_options options = {0};
    int64_t expire_at_ms = ITEM_NEVER;
    if (!set_options_parse(call, 2, OF_GETEX, &options)) {
        return;
    }
    if (options.flags == 0) {
        get_only(call);
        return;
    }
    struct update update;
    update_open(&update, call, 1, KIND_STRING);
    while (update_next(&update)) {
        /* The time is looked at only if the key is there: as Redis. */
        if (update.old != NULL && !time_of(call, &options, &expire_at_ms)) {
            update_fail(&update);
        } else if (update.old == NULL || item_expire_at_ms(update.old) == expire_at_ms) {
            update_leave(&update);
        } else {
            update_expire(&update, expire_at_ms);
        }
    }
    call_count_lookup(call, update.old != NULL);
    if (update_ok(&update)) {
        call_reply_item(call, update.old);
    }
    update_close(&update);
}
